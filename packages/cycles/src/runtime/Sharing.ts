/**
 * Dividing an amount among children, so that together they cannot spend more than it.
 *
 * Reachable as `Budget.forEach` and `Budget.all`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Action } from "../protocol/Action.ts"
import * as Actions from "../protocol/Action.ts"
import type { Amount, AnyAmount, Unit } from "../protocol/Amount.ts"
import type { Breakdown } from "../protocol/Breakdown.ts"
import type { Denied } from "../protocol/CyclesError.ts"
import { InvalidRequest, isDenied } from "../protocol/CyclesError.ts"
import { allot, Current, Exhausted } from "./Allotment.ts"
import type { Budget, GuardError } from "./Guard.ts"

/**
 * How an amount is divided.
 *
 * - `equal`: each child may spend the same; what does not divide goes to the last ones
 * - `weighted`: each child may spend in proportion to its weight, see `weightOf`
 * - `firstCome`: any child may spend all that is left
 *
 * @category models
 * @since 0.1.0
 */
export type Share = "equal" | "weighted" | "firstCome"

/**
 * - `share`: how the amount is divided
 * - `weightOf`: the weight of a child, a number of at least zero; for `weighted`, and needed there
 * - `amount`: what is divided; all that is left of the allotment around when not given, which fails with `InvalidRequest` where
 *   there is none
 * - `action`: what the holds on the amount and on the shares are for; `budget.share` when not given
 * - `concurrency`: how many children run at a time; one after the other when not given
 *
 * @category models
 * @since 0.1.0
 */
export type ShareOptions<Item> =
  & {
    readonly amount?: AnyAmount | undefined
    readonly action?: Action | undefined
    readonly concurrency?: number | "unbounded" | undefined
  }
  & (
    | { readonly share: "equal" | "firstCome" }
    | { readonly share: "weighted"; readonly weightOf: (item: Item, index: number) => number }
  )

/**
 * Runs a guarded effect for each item and divides an amount among them: what remains of the allotment around, or an amount of its
 * own that is held for the purpose. Whatever the children do, they spend no more than that together.
 *
 * A child that is denied ends without a result and does not stop the others, which have their shares. When all have ended and one was
 * denied, the whole fails with `Exhausted`, which holds the results of the others; with none where the amount itself was denied. An
 * error that is not a denial fails the whole at once and interrupts the rest, as in `Effect.forEach`. A share that its child does not use goes back to the whole when all
 * have ended, not to its siblings; with `firstCome` there are no shares.
 *
 * A weight that is negative or not finite is a defect, a `RangeError`.
 *
 * **Example** (Eight children want two calls each, nine can be paid)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * let calls = 0
 * const call = Budget.guard({ action: Action.make("tool.search", "web"), estimate: Amount.credits(1) }, (r) =>
 *   Effect.sync(() => {
 *     calls++
 *     return r.commit(Amount.credits(1))
 *   }))
 *
 * const program = Budget.forEach([1, 2, 3, 4, 5, 6, 7, 8], () => Effect.andThen(call, call), {
 *   amount: Amount.credits(9),
 *   share: "equal",
 *   concurrency: 8
 * }).pipe(
 *   Effect.catchTag("Exhausted", ({ done }) => Effect.succeed(done)),
 *   Effect.map((done) => `${done.length} finished, ${calls} calls`),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.credits(50) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "1 finished, 9 calls"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const forEach = <Item, A, E, R>(
  items: Iterable<Item>,
  f: (item: Item, index: number) => Effect.Effect<A, E, R>,
  options: ShareOptions<Item>
): Effect.Effect<
  ReadonlyArray<A>,
  Exclude<E | GuardError, Denied> | Exhausted<ReadonlyArray<A>>,
  R | Budget
> =>
  shared(
    Array.from(items),
    f,
    options,
    (results) => results.flatMap((result) => Result.isSuccess(result) ? [result.success] : [])
  )

/**
 * Like {@link forEach}, for effects that are given, by name or place. `weightOf` is given the name or the place.
 *
 * What `Exhausted` says was done has the results by name or place too; those that were denied are absent or `undefined`.
 *
 * **Example** (A third for the search, the rest for the writing)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const call = (tokens: number) =>
 *   Budget.guard(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(tokens) },
 *     (r) => Effect.succeed(r.commit(Amount.tokens(tokens), tokens))
 *   )
 *
 * const weights = { search: 1, write: 2 }
 * const program = Budget.all({ search: call(100), write: call(201) }, {
 *   amount: Amount.tokens(300),
 *   share: "weighted",
 *   weightOf: (name) => weights[name]
 * }).pipe(
 *   Effect.catchTag("Exhausted", ({ done }) => Effect.succeed(done)),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(300) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => { search: 100 }
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const all: {
  <const Effects extends ReadonlyArray<Effect.Effect<unknown, unknown, unknown>>>(
    effects: Effects,
    options: ShareOptions<number>
  ): Effect.Effect<
    { -readonly [K in keyof Effects]: Effect.Success<Effects[K]> },
    AllError<Effects[number], { -readonly [K in keyof Effects]: Effect.Success<Effects[K]> | undefined }>,
    Effect.Services<Effects[number]> | Budget
  >
  <const Effects extends Readonly<Record<string, Effect.Effect<unknown, unknown, unknown>>>>(
    effects: Effects,
    options: ShareOptions<keyof Effects>
  ): Effect.Effect<
    { -readonly [K in keyof Effects]: Effect.Success<Effects[K]> },
    AllError<Effects[keyof Effects], { -readonly [K in keyof Effects]?: Effect.Success<Effects[K]> }>,
    Effect.Services<Effects[keyof Effects]> | Budget
  >
} = (
  effects: ReadonlyArray<AnyEffect> | Readonly<Record<string, AnyEffect>>,
  options: ShareOptions<number> | ShareOptions<string>
) =>
  // What comes out by name or place is what went in there, which the overloads say and the implementation cannot.
  (Array.isArray(effects)
    ? shared(Array.from(effects.keys()), (at) => effects[at] as AnyEffect, options as ShareOptions<number>, placed)
    : named(effects as Readonly<Record<string, AnyEffect>>, options as ShareOptions<string>)) as never

type AnyEffect = Effect.Effect<unknown, unknown, unknown>

type AllError<Eff extends AnyEffect, Done> = Exclude<Effect.Error<Eff> | GuardError, Denied> | Exhausted<Done>

// ---------------------------------------------------------------------------------------------------------------------
// how it is divided
// ---------------------------------------------------------------------------------------------------------------------

type Results<A> = ReadonlyArray<Result.Result<A, Denied>>

const placed = <A>(results: Results<A>): ReadonlyArray<A | undefined> =>
  results.map((result) => Result.isSuccess(result) ? result.success : undefined)

const named = (effects: Readonly<Record<string, AnyEffect>>, options: ShareOptions<string>) => {
  const names = Object.keys(effects)
  return shared(names, (name) => effects[name] as AnyEffect, options, (results) => {
    const done: Array<readonly [string, unknown]> = []
    results.forEach((result, i) => {
      if (Result.isSuccess(result)) done.push([names[i] as string, result.success])
    })
    return Object.fromEntries(done)
  })
}

const defaultAction = Actions.make("budget.share", "share")

const shared = <Item, A, E, R, Done>(
  items: ReadonlyArray<Item>,
  f: (item: Item, index: number) => Effect.Effect<A, E, R>,
  options: ShareOptions<Item>,
  doneOf: (results: Results<A>) => Done
): Effect.Effect<Done, Exclude<E | GuardError, Denied> | Exhausted<Done>, R | Budget> => {
  const { action = defaultAction, amount, concurrency = 1, share } = options
  const exhausted = (results: Results<A>, denied: Denied, spent: Breakdown): Exhausted<Done> =>
    // `done` is of unknown type in the schema, and this is where it gets one.
    new Exhausted({ done: doneOf(results), denied, spent }) as Exhausted<Done>

  const children = (whole: AnyAmount) => {
    const shares = share === "firstCome" ? undefined : divide(whole.amount, weightsOf(items, options))
    const child = (item: Item, i: number): Effect.Effect<A, E | GuardError, R | Budget> => {
      const work = Effect.suspend(() => f(item, i))
      return shares === undefined ? work : allot({ action, estimate: ofUnit(whole.unit, shares[i] ?? 0n) }, work)
    }
    return Effect.flatMap(Current, (part) =>
      Effect.flatMap(
        Effect.forEach(items, (item, i) => resultOf(child(item, i)), { concurrency }),
        (results) => {
          const denied = results.find(Result.isFailure)
          return denied === undefined
            ? Effect.succeed(doneOf(results))
            : Effect.fail(exhausted(results, denied.failure, part?.spent() ?? []))
        }
      ))
  }
  // The whole is held first, so that nobody beside the children can take from the shares.
  const held = (whole: AnyAmount) =>
    Effect.catch(
      allot({ action, estimate: ofUnit(whole.unit, whole.amount) }, Effect.suspend(() => children(whole))),
      (error) =>
        Effect.fail(
          isDenied(error)
            ? exhausted(items.map(() => Result.fail(error)), error, [])
            // `isDenied` splits the errors in two; the checker cannot take a type parameter apart by a guard.
            : error as Exclude<E | GuardError, Denied> | Exhausted<Done>
        )
    )
  if (amount !== undefined) return held(amount)
  return Effect.flatMap(
    Current,
    (around): Effect.Effect<Done, Exclude<E | GuardError, Denied> | Exhausted<Done>, R | Budget> =>
      around === undefined
        ? Effect.fail(
          new InvalidRequest({
            field: "amount",
            reason: "there is no allotment around whose rest could be divided"
          }) as Exclude<GuardError, Denied>
        )
        : Effect.flatMap(around.remaining, (rest) => share === "firstCome" ? children(rest) : held(rest))
  )
}

const ofUnit = (unit: Unit, amount: bigint): Amount<Unit> => ({ unit, amount })

/** A denial as a result beside the others; every other failure stays one. */
const resultOf = <A, E, R>(
  child: Effect.Effect<A, E, R>
): Effect.Effect<Result.Result<A, Denied>, Exclude<E, Denied>, R> =>
  Effect.matchEffect(child, {
    onFailure: (error): Effect.Effect<Result.Result<A, Denied>, Exclude<E, Denied>> =>
      // `isDenied` splits E in two; the checker cannot take a type parameter apart by a guard.
      isDenied(error) ? Effect.succeed(Result.fail(error)) : Effect.fail(error as Exclude<E, Denied>),
    onSuccess: (value) => Effect.succeed(Result.succeed(value))
  })

const weightsOf = <Item>(items: ReadonlyArray<Item>, options: ShareOptions<Item>): ReadonlyArray<bigint> =>
  items.map((item, i) => {
    if (options.share !== "weighted") return 1n
    const weight = options.weightOf(item, i)
    if (!Number.isFinite(weight) || weight < 0) {
      throw new RangeError(`A weight must be a finite number of at least zero; got ${weight}`)
    }
    return BigInt(Math.round(weight * WEIGHT_SCALE))
  })

/** Weights may be fractions; a millionth is fine enough for a share. */
const WEIGHT_SCALE = 1_000_000

/** Whole shares that add up to the amount to the last one: each is the difference of two rounded running sums. */
const divide = (amount: bigint, weights: ReadonlyArray<bigint>): ReadonlyArray<bigint> => {
  const sum = weights.reduce((a, b) => a + b, 0n)
  if (sum === 0n) return weights.length === 0 ? [] : divide(amount, weights.map(() => 1n))
  let upTo = 0n
  return weights.map((weight) => {
    const from = amount * upTo / sum
    upTo += weight
    return amount * upTo / sum - from
  })
}
