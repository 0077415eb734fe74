// A server of ours on a free port, with a ledger of its own in a new folder. A tenant, its budgets, its policies and a key are
// made on the inside, and on the inside the balances are read in the end.
import { Server } from "@effect-cycles/server"
import { Effect, ManagedRuntime, Redacted } from "effect"
import { Governance, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"

export const start = async (dataDir) => {
  const runtime = ManagedRuntime.make(
    Server.layerStandalone({
      port: 0,
      adminKey: Redacted.make("an admin key that no client of these has"),
      peppers: [Redacted.make("thirty-two or more secret characters")],
      store: { store: "sqlite", dataDir }
    })
  )
  const { governance, ledger, server } = await runtime.runPromise(
    Effect.all({ governance: Governance.Governance, ledger: Ledger.Ledger, server: Server.Server })
  )
  const operator = governance.asOperator({ actor: "interop" })

  /** What there is and as much as `inDebt` is charged on credit, and then there is no credit any more. */
  const runIntoDebt = (tenant, { amount, inDebt, scope, unit }) =>
    Effect.gen(function*() {
      yield* operator.updateBudget(tenant, { scope, unit, overdraftLimit: { unit, amount: inDebt } })
      yield* ledger.as({ tenant }).event({
        idempotencyKey: IdempotencyKey.make(scope),
        subject: { tenant, agent: scope.split(":").at(-1) },
        action: { kind: "llm.completion", name: "gpt-4o" },
        actual: { unit, amount: amount + inDebt },
        overagePolicy: "ALLOW_WITH_OVERDRAFT"
      })
      yield* operator.updateBudget(tenant, { scope, unit, overdraftLimit: { unit, amount: 0n } })
    })

  return {
    url: server.url,

    /** Makes a tenant with what it needs, and returns the secret of its key. */
    provision: (tenant, budgets, policies) =>
      runtime.runPromise(Effect.gen(function*() {
        yield* operator.createTenant(tenant, { name: tenant })
        for (const { amount, overdraft, scope, unit } of budgets) {
          yield* operator.createBudget(tenant, {
            scope,
            allocated: { unit, amount },
            ...(overdraft === undefined ? undefined : { overdraftLimit: { unit, amount: overdraft } })
          })
        }
        for (const budget of budgets) if (budget.inDebt !== undefined) yield* runIntoDebt(tenant, budget)
        for (const policy of policies) yield* operator.createPolicy(tenant, policy)
        const { secret } = yield* operator.createApiKey(tenant, { name: "interop" })
        return Redacted.value(secret)
      })),

    /** Every balance of a tenant. */
    balances: (tenant) =>
      runtime.runPromise(Effect.map(operator.budgets(tenant), (rows) => rows.map(({ balance }) => balance))),

    stop: () => runtime.dispose()
  }
}
