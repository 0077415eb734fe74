import { Amount, Governance } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { send } from "./support.ts"

export * from "./support.ts"

/**
 * The tenant acme with a budget of 1,000 tokens and a key, which was denied a hold beyond what a number holds; then the tenant
 * beta. One act after the other, a little time between them.
 */
export const seeded = Effect.gen(function*() {
  const { asOperator } = yield* Governance.Governance
  const governing = asOperator({ actor: "ops" })
  yield* governing.createTenant("acme", { name: "Acme" })
  yield* Effect.sleep(2)
  yield* governing.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(1_000) })
  yield* Effect.sleep(2)
  const { key, secret } = yield* governing.createApiKey("acme", { name: "bot" })
  yield* Effect.sleep(2)
  const denied = yield* send("POST", "/v1/reservations", {
    headers: {
      "x-cycles-api-key": Redacted.value(secret),
      traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`
    },
    body: `{"idempotency_key":"denied","subject":{"agent":"bot"},"action":{"kind":"tool.call","name":"search"},` +
      `"estimate":{"unit":"TOKENS","amount":9007199254740993}}`
  })
  yield* Effect.sleep(2)
  yield* governing.createTenant("beta", { name: "Beta" })
  return { governing, keyId: key.id, secret: Redacted.value(secret), denied }
})
