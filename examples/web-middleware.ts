// A budget around every route of a server: half a cent is held for each request, and the handler says what it used.
import { HttpGuard } from "@effect-cycles/web"
import { Effect, Layer } from "effect"
import { Amount, Budget, Ledger } from "effect-cycles"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"

const reply = (text: string) => Effect.as(HttpGuard.charge(Amount.microcents(300_000)), HttpServerResponse.text(text))

const routes = Layer.mergeAll(
  HttpRouter.add("POST", "/chat", reply("hello")),
  HttpRouter.add("GET", "/threads/:id", reply("a thread")),
  HttpRouter.add("GET", "/broken", HttpServerResponse.text("no answer today", { status: 500 }))
)

// What is not given here follows from the request: its action is `http.request`, with the method and the route's template.
const budgeted = routes.pipe(Layer.provide(HttpGuard.middleware({ estimate: Amount.microcents(500_000) }).layer))

const ledger = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.microcents(1_000_000) }]
})

const app = budgeted.pipe(
  Layer.provide(Budget.layer()),
  Layer.provideMerge(Layer.merge(ledger, HttpServer.layerServices))
)
const { dispose, handler } = HttpRouter.toWebHandler(app, { disableLogger: true })

const ask = async (method: string, path: string): Promise<void> => {
  const response = await handler(new Request(`http://localhost${path}`, { method }))
  console.log(`${method} ${path}: ${response.status} ${await response.text()}`)
}

await ask("GET", "/threads/7")
await ask("GET", "/broken")
await ask("POST", "/chat")
await ask("POST", "/chat")
await dispose()
