// Requests of many tenants: a header says whose a request is, and each tenant spends from a budget of its own. The header is believed, so
// a gateway has to set it; `Tenant.bearer` asks a function whose token it is.
import { HttpGuard, Tenant, TenantBudgets } from "@effect-cycles/web"
import { Effect, Layer } from "effect"
import { Action, Amount, Budget, Ledger, LedgerStoreMemory } from "effect-cycles"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"

const callLlm = (prompt: string) => Effect.succeed({ text: `on ${prompt}`, microcents: 1_500_000 })

const chat = HttpRouter.add(
  "POST",
  "/chat",
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const prompt = yield* Effect.orDie(request.text)
    return yield* Budget.guard(
      { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.microcents(2_000_000) },
      function*(r) {
        const out = yield* callLlm(prompt)
        return r.commit(Amount.microcents(out.microcents), HttpServerResponse.text(out.text))
      }
    )
  }).pipe(HttpGuard.catchRefused())
)

const tenants = TenantBudgets.middleware({
  tenant: Tenant.header("X-Tenant-ID"),
  authority: (tenant) => Effect.map(Ledger.Ledger, (ledger) => ledger.as({ tenant }))
})

const funded = Layer.effectDiscard(Effect.gen(function*() {
  const ledger = yield* Ledger.Ledger
  yield* ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.microcents(3_500_000) })
  yield* ledger.createBudget("umbrella", { scope: "tenant:umbrella", allocated: Amount.microcents(2_000_000) })
})).pipe(Layer.provideMerge(Layer.provide(Ledger.layer(), LedgerStoreMemory.layer)))

const app = chat.pipe(Layer.provide(tenants.layer), Layer.provide([funded, HttpServer.layerServices]))
const { dispose, handler } = HttpRouter.toWebHandler(app, { disableLogger: true })

const ask = async (who: string, headers: Record<string, string>): Promise<void> => {
  const response = await handler(new Request("http://localhost/chat", { method: "POST", headers, body: "budgets" }))
  console.log(`${who}: ${response.status} ${await response.text()}`)
}

await ask("nobody", {})
for (const tenant of ["acme", "acme", "acme", "umbrella", "stranger"]) await ask(tenant, { "X-Tenant-ID": tenant })
await dispose()
