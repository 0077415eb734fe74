// What has to be inferred where budgets are composed.
import { Action, Amount, Budget, CyclesError, Settlement } from "effect-cycles"
import type { Breakdown } from "effect-cycles"
import * as Effect from "effect/Effect"

type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
declare const expectType: <Actual>(actual: Actual) => {
  is: <Expected>(
    ...mismatch: Equals<Actual, Expected> extends true ? [] : [{ expected: Expected; actual: Actual }]
  ) => void
}

const action = Action.make("llm.completion", "gpt-4o")
const request = { action, estimate: Amount.tokens(10) }
const call = Budget.guard(request, (r) => Effect.succeed(r.commit(Amount.tokens(3), "x")))

type GuardError = Budget.GuardError
type Undenied = Exclude<GuardError, CyclesError.Denied>

// an allotment, data-first and data-last
expectType(Budget.allot(request, call)).is<Effect.Effect<string, GuardError, Budget.Budget>>()
expectType(call.pipe(Budget.allot({ ...request, finalReserve: Amount.tokens(2) }))).is<
  Effect.Effect<string, GuardError, Budget.Budget>
>()
expectType(Budget.allot(request, Effect.fail("boom" as const))).is<
  Effect.Effect<never, GuardError | "boom", Budget.Budget>
>()

// a closing turn knows what was done, and denials are gone after it
const each = Budget.forEach([1, 2], () => call, { share: "equal", amount: Amount.tokens(5) })
expectType(each).is<
  Effect.Effect<ReadonlyArray<string>, Undenied | Budget.Exhausted<ReadonlyArray<string>>, Budget.Budget>
>()
expectType(each.pipe(Budget.closing((exhausted) => {
  expectType(exhausted.done).is<ReadonlyArray<string>>()
  expectType(exhausted.denied).is<CyclesError.Denied>()
  expectType(exhausted.spent).is<Breakdown.Breakdown>()
  return Effect.succeed(exhausted.done.length)
}))).is<Effect.Effect<ReadonlyArray<string> | number, Undenied, Budget.Budget>>()
expectType(call.pipe(Budget.closing((exhausted) => {
  expectType(exhausted.done).is<undefined>()
  return Effect.succeed(null)
}))).is<Effect.Effect<string | null, Undenied, Budget.Budget>>()

// by name and by place
expectType(Budget.all({ a: call, b: Effect.succeed(1) }, { share: "firstCome" })).is<
  Effect.Effect<
    { a: string; b: number },
    Undenied | Budget.Exhausted<{ a?: string; b?: number }>,
    Budget.Budget
  >
>()
expectType(Budget.all([call, Effect.succeed(1)], { share: "equal" })).is<
  Effect.Effect<
    [string, number],
    Undenied | Budget.Exhausted<[string | undefined, number | undefined]>,
    Budget.Budget
  >
>()

// a ladder fails with a denial only where its last rung can
expectType(Budget.ladder([call, Effect.succeed(1)])).is<Effect.Effect<string | number, Undenied, Budget.Budget>>()
expectType(Budget.ladder([Effect.succeed(1), call])).is<Effect.Effect<string | number, GuardError, Budget.Budget>>()

expectType(call.pipe(Budget.retry({ times: 2 }))).is<Effect.Effect<string, GuardError, Budget.Budget>>()
expectType(Budget.retry(call)).is<Effect.Effect<string, GuardError, Budget.Budget>>()
expectType(call.pipe(Budget.race(Effect.fail("slow" as const)))).is<
  Effect.Effect<string, GuardError | "slow", Budget.Budget>
>()
expectType(call.pipe(Budget.whenAvailable({ timeout: "1 second" }))).is<
  Effect.Effect<string, GuardError, Budget.Budget>
>()

// several units: each reservation has its own, and the value and errors are those of the settlements
const both = { tokens: request, money: { action, estimate: Amount.usd(0.05) } }
expectType(Budget.guardAll(both, ({ money, tokens }) => {
  expectType(money.reserved).is<Amount.Amount<"USD_MICROCENTS">>()
  expectType(tokens.reserved).is<Amount.Amount<"TOKENS">>()
  return Effect.succeed(Settlement.all({ tokens: tokens.commit(Amount.tokens(1)), money: money.release() }, 42))
})).is<Effect.Effect<number, GuardError, Budget.Budget>>()
expectType(Budget.guardAll(both, function*({ money, tokens }) {
  yield* Effect.fail("boom" as const)
  return Settlement.all({ tokens: tokens.commitFail(Amount.tokens(1), "long" as const), money: money.release() })
})).is<Effect.Effect<void, GuardError | "boom" | "long", Budget.Budget>>()
