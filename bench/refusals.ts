/**
 * What a bad request costs a server, from the request as it arrived to the answer: one of each kind, through the router and the
 * handlers in this process, without a socket. A good one that is denied stands beside them.
 */
import { Handlers } from "@effect-cycles/http"
import { Amount, BudgetAuthority, Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import { derived, main, measure } from "./support/harness.ts"

const COUNT = 500

const good = {
  idempotency_key: "k",
  subject: { agent: "bot" },
  action: { kind: "llm.completion", name: "gpt-4o" },
  estimate: { unit: "TOKENS", amount: 10_000 }
}

const reserve = (change: object, headers?: { readonly [name: string]: string }) => ({
  path: "/v1/reservations",
  method: "POST",
  body: JSON.stringify({ ...good, ...change }),
  headers
})

const raw = (body: string) => ({ ...reserve({}), body })
const list = (query: string) => ({
  path: `/v1/reservations?${query}`,
  method: "GET",
  body: undefined,
  headers: undefined
})

const kinds = {
  "denied for its budget": reserve({}),
  "malformed JSON": raw("{\"idempotency_key\":"),
  "deep JSON": raw("[".repeat(50_000)),
  "wrong type": reserve({ ttl_ms: "60000" }),
  "unknown field": reserve({ colour: "red" }),
  "integer beyond int64": raw(JSON.stringify(good).replace("10000", "9223372036854775808")),
  "body of 2 MiB": raw(" ".repeat(2 * 1_024 * 1_024)),
  "wrong content type": reserve({}, { "content-type": "text/plain" }),
  "bad cursor": list("cursor=nobody's"),
  "bad date": list("from=2026-02-30T00:00:00Z"),
  "no key": reserve({}, { "x-cycles-api-key": "" })
}

const authority = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1) }]
})

const send = ({ body, headers, method, path }: typeof kinds[keyof typeof kinds]) =>
  Effect.gen(function*() {
    const authority = yield* BudgetAuthority.BudgetAuthority
    const { dispose, handler } = HttpRouter.toWebHandler(
      Handlers.layer({ authenticate: () => Effect.succeed({ tenant: "acme", authority }) }),
      { routerConfig: Handlers.routerConfig, disableLogger: true }
    )
    yield* Effect.promise(async () => {
      for (let i = 0; i < COUNT; i++) {
        const response = await handler(
          new Request(`http://localhost${path}`, {
            method,
            headers: { "x-cycles-api-key": "key", "content-type": "application/json", ...headers },
            ...(body === undefined ? undefined : { body })
          })
        )
        if (response.status < 400) throw new Error(`${path} was not refused`)
        await response.text()
      }
      await dispose()
    })
  }).pipe(Effect.provide(Layer.fresh(authority)))

await main("refusals", () =>
  Object.entries(kinds).flatMap(([name, request]) => [
    measure(name, COUNT, send(request)),
    derived(`${name}, each`, "µs", (of) => 1e6 / of(name))
  ]))
