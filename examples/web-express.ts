// The same around the routes of an Express application, with promises. Fastify, Hono and fetch handlers are alike: `FastifyGuard`,
// `HonoGuard`, `FetchGuard`. What is refused is answered with a status and a body that say what to do next.
import { ExpressGuard, Problem } from "@effect-cycles/web"
import { Amount, CyclesError, Ledger, makePromiseClient } from "effect-cycles"
import express from "express"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

await using client = makePromiseClient({
  layer: Ledger.layerMemory({
    tenant: "acme",
    budgets: [{ scope: "tenant:acme", allocated: Amount.microcents(1_000_000) }]
  })
})

const app = express()
const guard = ExpressGuard.middleware({ client, estimate: Amount.microcents(500_000) })

app.post("/chat", guard, (_request, response) => {
  ExpressGuard.current(response).charge(Amount.microcents(300_000))
  response.json({ reply: "hello" })
})
app.post("/unfinished", guard, (_request, response) => {
  response.status(422).json({ reply: "say more" })
})

const server = createServer(app).listen(0, "127.0.0.1")
await once(server, "listening")
const { port } = server.address() as AddressInfo

const ask = async (path: string): Promise<void> => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST" })
  console.log(`${path}: ${response.status} ${await response.text()}`)
}

await ask("/chat")
await ask("/unfinished")
await ask("/chat")
await ask("/chat")
server.close()

// The answers to other refusals, and whether the same request can succeed later.
for (
  const error of [
    new CyclesError.BudgetExceeded({ retryAfterMs: 90_000 }),
    new CyclesError.DebtOutstanding({}),
    new CyclesError.ActionDenied({ code: "ACTION_KIND_DENIED" }),
    new CyclesError.AuthorityUnavailable({ reason: "timeout" })
  ]
) {
  const { headers, status } = Problem.of(error)
  const retryAfter = headers["retry-after"]
  console.log(
    `${error._tag}: ${status}, transient: ${error.isTransient}${
      retryAfter === undefined ? "" : `, again after ${retryAfter} s`
    }`
  )
}
