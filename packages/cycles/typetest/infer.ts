/**
 * What is inferred. Each `expectType` line stops compiling when an inferred type changes, in either direction.
 *
 * What must be rejected is in `misuse/`, one program a file.
 */
import {
  Action,
  Amount,
  Budget,
  BudgetAuthority,
  Caps,
  CyclesError,
  Heartbeat,
  Reservation,
  Settlement
} from "effect-cycles"
import type { ReservationId } from "effect-cycles/protocol/Ids"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import type * as Layer from "effect/Layer"
import * as Match from "effect/Match"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

type Equals<X, Y> = (<T>() => T extends X ? 1 : 2) extends (<T>() => T extends Y ? 1 : 2) ? true : false

/** `expectType(value).is<Expected>()` does not compile where the type of the value is anything but `Expected`. */
const expectType = <Actual>(_actual: Actual) => ({
  is: <Expected>(..._proof: Equals<Actual, Expected> extends true ? [] : [{ expected: Expected; actual: Actual }]) => {}
})

class LlmError extends Schema.TaggedError<LlmError>()("LlmError", { usedTokens: Schema.Natural }) {}

class Llm extends Context.Service<Llm, {
  readonly call: (prompt: string) => Effect.Effect<{ readonly text: string; readonly tokens: number }, LlmError>
}>()("typetest/Llm") {}

const call = Effect.flatMap(Llm, (llm) => llm.call("hi"))

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const inDollars = { action: Action.make("tool.search", "web"), estimate: Amount.usd(0.05) }

type GuardError = Budget.GuardError

// ---------------------------------------------------------------------------------------------------------------------
// the three forms of a body
// ---------------------------------------------------------------------------------------------------------------------

expectType(
  Budget.guard(request, (r) => Effect.succeed(r.commit(Amount.tokens(3), 42)))
).is<Effect.Effect<number, GuardError, Budget.Budget>>()

const gen = Budget.guard(request, (r) =>
  Effect.gen(function*() {
    const llm = yield* Llm
    const out = yield* llm.call("hi")
    return r.commit(Amount.tokens(out.tokens), out.text)
  }))
expectType(gen).is<Effect.Effect<string, GuardError | LlmError, Budget.Budget | Llm>>()

const generator = Budget.guard(request, function*(r) {
  const llm = yield* Llm
  const out = yield* llm.call("hi")
  return r.commit(Amount.tokens(out.tokens), out.text)
})
expectType(generator).is<Effect.Effect<string, GuardError | LlmError, Budget.Budget | Llm>>()

// a generator that yields nothing
expectType(
  Budget.guard(request, function*(r) {
    return r.commit(Amount.tokens(1), "x")
  })
).is<Effect.Effect<string, GuardError, Budget.Budget>>()

// pipe style; the body's own error is handled inside and gone
expectType(
  Budget.guard(request, (r) =>
    pipe(
      call,
      Effect.map((out) => r.commit(Amount.tokens(out.tokens), out.text)),
      Effect.catchTag("LlmError", () => Effect.succeed(r.release("fallback")))
    ))
).is<Effect.Effect<string, GuardError, Budget.Budget | Llm>>()

// ---------------------------------------------------------------------------------------------------------------------
// settlements
// ---------------------------------------------------------------------------------------------------------------------

// commit in one branch, release in the other
expectType(
  Budget.guard(request, (r) =>
    Effect.gen(function*() {
      const out = yield* call
      if (out.tokens === 0) return r.release("cached" as const)
      return r.commit(Amount.tokens(out.tokens), out.text)
    }))
).is<Effect.Effect<string, GuardError | LlmError, Budget.Budget | Llm>>()

// branches with different values
expectType(
  Budget.guard(request, (r) =>
    Effect.gen(function*() {
      const n = yield* Effect.succeed(1)
      if (n === 0) return r.release(null)
      return r.commit(Amount.tokens(1), { text: "x" })
    }))
).is<Effect.Effect<{ text: string } | null, GuardError, Budget.Budget>>()

// all three settlements in one generator: the value from two, the error from the third
expectType(
  Budget.guard(request, function*(r) {
    const out = yield* call
    if (out.tokens === 0) return r.release(null)
    if (out.tokens > 100) return r.commitFail(Amount.tokens(out.tokens), "TooLong" as const)
    return r.commit(Amount.tokens(out.tokens), out.text)
  })
).is<Effect.Effect<string | null, GuardError | LlmError | "TooLong", Budget.Budget | Llm>>()

// a failure that is charged keeps its type
expectType(
  Budget.guard(request, (r) =>
    call.pipe(
      Effect.map((out) => r.commit(Amount.tokens(out.tokens), out.text)),
      Effect.catchTag("LlmError", (e) => Effect.succeed(r.commitFail(Amount.tokens(e.usedTokens), e)))
    ))
).is<Effect.Effect<string, GuardError | LlmError, Budget.Budget | Llm>>()

// no value
expectType(
  Budget.guard(request, (r) => Effect.succeed(r.commit(Amount.tokens(1))))
).is<Effect.Effect<void, GuardError, Budget.Budget>>()
expectType(
  Budget.guard(request, (r) => Effect.succeed(r.release()))
).is<Effect.Effect<void, GuardError, Budget.Budget>>()

// a body that only fails
expectType(
  Budget.guard(request, () => Effect.fail("x" as const))
).is<Effect.Effect<never, GuardError | "x", Budget.Budget>>()

// ---------------------------------------------------------------------------------------------------------------------
// what a body is given
// ---------------------------------------------------------------------------------------------------------------------

Budget.guard(request, (r) => {
  expectType(r.id).is<ReservationId>()
  expectType(r.reserved).is<Amount.Amount<"TOKENS">>()
  expectType(r.decision).is<"ALLOW" | "ALLOW_WITH_CAPS">()
  expectType(r.caps).is<Caps.Caps | undefined>()
  expectType(r.affectedScopes).is<ReadonlyArray<string>>()
  return Effect.succeed(r.release())
})

// ---------------------------------------------------------------------------------------------------------------------
// bodies and wrappers with a name
// ---------------------------------------------------------------------------------------------------------------------

const body = Effect.fn("body")(function*<S>(r: Reservation.Guarded<S, "TOKENS">) {
  const llm = yield* Llm
  const out = yield* llm.call(r.id)
  return r.commit(Amount.tokens(out.tokens), out)
})
expectType(
  Budget.guard(request, body)
).is<Effect.Effect<{ readonly text: string; readonly tokens: number }, GuardError | LlmError, Budget.Budget | Llm>>()

const generatorBody = function*<S>(r: Reservation.Guarded<S, "TOKENS">) {
  const out = yield* call
  return r.commit(Amount.tokens(out.tokens), out.text)
}
expectType(Budget.guard(request, generatorBody)).is<Effect.Effect<string, GuardError | LlmError, Budget.Budget | Llm>>()

const lambdaBody = <S>(
  r: Reservation.Guarded<S, "TOKENS">
): Effect.Effect<Settlement.Settlement<S, "TOKENS", number>> => Effect.succeed(r.commit(Amount.tokens(1), 1))
expectType(Budget.guard(request, lambdaBody)).is<Effect.Effect<number, GuardError, Budget.Budget>>()

// a wrapper of one's own stays generic
const withTokens =
  (tokens: number) => <A, E, R>(self: Effect.Effect<{ readonly value: A; readonly used: number }, E, R>) =>
    Budget.guard(
      { ...request, estimate: Amount.tokens(tokens) },
      (r) => Effect.map(self, ({ used, value }) => r.commit(Amount.tokens(used), value))
    )
expectType(
  call.pipe(Effect.map((out) => ({ value: out.text, used: out.tokens })), withTokens(10))
).is<Effect.Effect<string, GuardError | LlmError, Budget.Budget | Llm>>()

// generic in the unit
const unused = <U extends Amount.Unit>(estimate: Amount.Amount<U>) =>
  Budget.guard({ action: request.action, estimate }, (r) => Effect.succeed(r.release(r.reserved.unit)))
expectType(unused(Amount.credits(1))).is<Effect.Effect<"CREDITS", GuardError, Budget.Budget>>()

// ---------------------------------------------------------------------------------------------------------------------
// guards in guards
// ---------------------------------------------------------------------------------------------------------------------

expectType(
  Budget.guard(request, function*(outer) {
    const found = yield* Budget.guard(
      inDollars,
      (inner) => Effect.map(call, (out) => inner.commit(Amount.microcents(5), out.text))
    )
    return outer.commit(Amount.tokens(1), found)
  })
).is<Effect.Effect<string, GuardError | LlmError, Budget.Budget | Llm>>()

// ---------------------------------------------------------------------------------------------------------------------
// errors: handling one removes that one and no other
// ---------------------------------------------------------------------------------------------------------------------

expectType(
  gen.pipe(Effect.catchTag("BudgetExceeded", (e) => {
    expectType(e).is<CyclesError.BudgetExceeded>()
    expectType(e.remaining).is<bigint | undefined>()
    return Effect.succeed(null)
  }))
).is<Effect.Effect<string | null, Exclude<GuardError, CyclesError.BudgetExceeded> | LlmError, Budget.Budget | Llm>>()
expectType(
  gen.pipe(Effect.catchTags({
    BudgetExceeded: (e) => Effect.succeed(e.remaining ?? 0n),
    LlmError: () => Effect.succeed(0n)
  }))
).is<Effect.Effect<string | bigint, Exclude<GuardError, CyclesError.BudgetExceeded>, Budget.Budget | Llm>>()
expectType(gen.pipe(Effect.catchTag(["BudgetExceeded", "LeaseLost"], (e) => {
  expectType(e).is<CyclesError.BudgetExceeded | Heartbeat.LeaseLost>()
  return Effect.succeed(e.message)
}))).is<
  Effect.Effect<
    string,
    Exclude<GuardError, CyclesError.BudgetExceeded | Heartbeat.LeaseLost> | LlmError,
    Budget.Budget | Llm
  >
>()

// all denials at once, data-last and data-first
expectType(
  gen.pipe(Budget.catchDenied((denied) => {
    expectType(denied).is<CyclesError.Denied>()
    return Effect.succeed(null)
  }))
).is<Effect.Effect<string | null, Exclude<GuardError, CyclesError.Denied> | LlmError, Budget.Budget | Llm>>()
expectType(
  Budget.catchDenied(gen, () => Effect.succeed(null))
).is<Effect.Effect<string | null, Exclude<GuardError, CyclesError.Denied> | LlmError, Budget.Budget | Llm>>()

expectType(Effect.result(gen)).is<
  Effect.Effect<Result.Result<string, GuardError | LlmError>, never, Budget.Budget | Llm>
>()

// every denial has a case, or this does not compile
const explain = Match.type<CyclesError.Denied>().pipe(
  Match.tag("BudgetExceeded", (e) => e.remaining),
  Match.tag("OverdraftLimitExceeded", "DebtOutstanding", () => "repay" as const),
  Match.tag("BudgetFrozen", "BudgetClosed", "TenantClosed", () => "ask an operator" as const),
  Match.tag("ActionDenied", (e) => e.code),
  Match.tag("UnknownDenial", () => null),
  Match.exhaustive
)
expectType(explain).is<
  (denied: CyclesError.Denied) =>
    | bigint
    | undefined
    | "repay"
    | "ask an operator"
    | "ACTION_QUOTA_EXCEEDED"
    | "ACTION_KIND_DENIED"
    | "ACTION_KIND_NOT_ALLOWED"
    | null
>()

// ---------------------------------------------------------------------------------------------------------------------
// a unit known only at run time distributes
// ---------------------------------------------------------------------------------------------------------------------

declare const configured: Amount.AnyAmount

expectType(
  Budget.guard({ action: request.action, estimate: configured }, (r) => {
    expectType(r.reserved.unit).is<Amount.Unit>()
    return Effect.succeed(r.commit(configured, r.reserved.unit))
  })
).is<Effect.Effect<Amount.Unit, GuardError, Budget.Budget>>()

// ---------------------------------------------------------------------------------------------------------------------
// who spends, and what has to be provided
// ---------------------------------------------------------------------------------------------------------------------

expectType(gen.pipe(Budget.within({ agent: "writer" }))).is<
  Effect.Effect<string, GuardError | LlmError, Budget.Budget | Llm>
>()
expectType(Budget.within(gen, { agent: "writer" })).is<
  Effect.Effect<string, GuardError | LlmError, Budget.Budget | Llm>
>()
expectType(Budget.layer()).is<Layer.Layer<Budget.Budget, never, BudgetAuthority.BudgetAuthority>>()

// ---------------------------------------------------------------------------------------------------------------------
// the scoped form
// ---------------------------------------------------------------------------------------------------------------------

type ReservationError = CyclesError.ReserveError | CyclesError.ReservationFinalized | Caps.ToolNotAllowed

expectType(Reservation.make({ ...request, idempotencyKey: IdempotencyKey.make("k") })).is<
  Effect.Effect<Reservation.Reservation<"TOKENS">, ReservationError, Budget.Budget | Scope.Scope>
>()

expectType(Effect.flatMap(Reservation.make(request), (r) => Reservation.commit(r, Amount.tokens(1)))).is<
  Effect.Effect<Settlement.Outcome, ReservationError | Reservation.AlreadySettled, Budget.Budget | Scope.Scope>
>()

expectType(Effect.scoped(Effect.flatMap(Reservation.make(request), Reservation.release))).is<
  Effect.Effect<Settlement.Outcome, ReservationError | Reservation.AlreadySettled, Budget.Budget>
>()
