// A server of ours with a fresh ledger, for the drivers: a tenant, its budgets, its policies and a key are made in it, and what
// it says of the balances in the end is read from the ledger itself.
import { Handlers } from "@effect-cycles/http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { Governance, Ledger, LedgerStoreMemory } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import { createServer } from "node:http"

export const start = async () => {
  const node = createServer()
  const served = Layer.unwrap(Effect.gen(function*() {
    const governance = yield* Governance.Governance
    const ledger = yield* Ledger.Ledger
    return Handlers.serve({
      authenticate: (key) =>
        Effect.map(governance.authenticate(key), (principal) => ({
          tenant: principal.tenant,
          authority: ledger.as(principal)
        }))
    })
  })).pipe(Layer.provide(NodeHttpServer.layer(() => node, { port: 0, host: "127.0.0.1" })))
  const runtime = ManagedRuntime.make(
    served.pipe(
      Layer.provideMerge(Governance.layer({ peppers: [Redacted.make("thirty-two or more secret characters")] })),
      Layer.provideMerge(Ledger.layer()),
      Layer.provide(LedgerStoreMemory.layer)
    )
  )
  const ledger = await runtime.runPromise(Ledger.Ledger)
  const operator = await runtime.runPromise(
    Effect.map(Governance.Governance, (governance) => governance.asOperator({ actor: "interop" }))
  )
  return {
    url: `http://127.0.0.1:${node.address().port}`,
    provision: (tenant, budgets, policies) =>
      runtime.runPromise(Effect.gen(function*() {
        yield* operator.createTenant(tenant, { name: tenant })
        for (const { overdraft, scope, unit, amount } of budgets) {
          yield* operator.createBudget(tenant, {
            scope,
            allocated: { unit, amount },
            ...(overdraft === undefined ? undefined : { overdraftLimit: { unit, amount: overdraft } })
          })
        }
        for (const { amount, inDebt, scope, unit } of budgets) {
          if (inDebt === undefined) continue
          // What there is and more is charged on credit, and then there is no credit any more.
          yield* operator.updateBudget(tenant, { scope, overdraftLimit: { unit, amount: inDebt }, unit })
          yield* ledger.as({ tenant }).event({
            idempotencyKey: IdempotencyKey.make(scope),
            subject: { tenant, agent: scope.split(":").at(-1) },
            action: { kind: "llm.completion", name: "gpt-4o" },
            actual: { unit, amount: amount + inDebt },
            overagePolicy: "ALLOW_WITH_OVERDRAFT"
          })
          yield* operator.updateBudget(tenant, { scope, overdraftLimit: { unit, amount: 0n }, unit })
        }
        for (const policy of policies) yield* operator.createPolicy(tenant, policy)
        const { secret } = yield* operator.createApiKey(tenant, { name: "interop" })
        return Redacted.value(secret)
      })),
    balances: (tenant) =>
      runtime.runPromise(Effect.map(operator.budgets(tenant), (rows) => rows.map(({ balance }) => balance))),
    stop: () => runtime.dispose()
  }
}
