// For code that does not use Effect: one runtime, made at the start and disposed of at the end, and functions that
// return promises. Asking an authority takes an await, so there is no blocking form.
import { Effect, Layer, ManagedRuntime } from "effect"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Ledger } from "effect-cycles"
import type { ReservationId } from "effect-cycles/protocol/Ids"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"

const callLlm = async (prompt: string) => ({ text: `on ${prompt}`, microcents: 1_500_000 })

const runtime = ManagedRuntime.make(Layer.provideMerge(
  Budget.layer(),
  Ledger.layerMemory({
    tenant: "acme",
    budgets: [{ scope: "tenant:acme", allocated: Amount.microcents(4_000_000) }]
  })
))

// A guard around a promise, as a promise: it has the heartbeat, and it releases when the signal aborts.
const ask = (prompt: string, signal?: AbortSignal): Promise<string> =>
  runtime.runPromise(
    Budget.guard(
      { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.microcents(2_000_000) },
      function*(r) {
        const out = yield* Effect.promise(() => callLlm(prompt))
        return r.commit(Amount.microcents(out.microcents), out.text)
      }
    ),
    signal === undefined ? {} : { signal }
  )

// The operations one by one, as promises: the lease and the settlement are the caller's.
const withAuthority = <A, E>(use: (authority: BudgetAuthority.Operations) => Effect.Effect<A, E>): Promise<A> =>
  runtime.runPromise(Effect.flatMap(BudgetAuthority.BudgetAuthority, use))

const reserve = (key: string) =>
  withAuthority((authority) =>
    authority.reserve({
      idempotencyKey: IdempotencyKey.make(key),
      subject: { tenant: "acme" },
      action: Action.make("llm.completion", "gpt-4o"),
      estimate: Amount.microcents(2_000_000)
    })
  )

const commit = (id: ReservationId, key: string, microcents: number) =>
  withAuthority((authority) =>
    authority.commit(id, { idempotencyKey: IdempotencyKey.make(key), actual: Amount.microcents(microcents) })
  )

const main = async (): Promise<void> => {
  console.log("guarded:", await ask("budgets"))
  const { decision, reservationId } = await reserve("job-1")
  if (reservationId === undefined) throw new Error(decision)
  const { charged, released } = await commit(reservationId, "job-1-done", 1_500_000)
  console.log(`by hand: charged ${Amount.format(charged)}, released ${released && Amount.format(released)}`)
  try {
    console.log("guarded:", await ask("agents"))
  } catch (error) {
    if (!CyclesError.isDenied(error)) throw error
    console.log(`denied: ${error.message}`)
  }
}

try {
  await main()
} finally {
  await runtime.dispose()
}
