/**
 * What to do when a guarded call cannot be paid, has failed, or takes too long. Reachable as `Budget.ladder`, `Budget.retry` and
 * `Budget.race`.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Schedule from "effect/Schedule"
import type { Denied } from "../protocol/CyclesError.ts"
import { isDenied } from "../protocol/CyclesError.ts"

type AnyEffect = Effect.Effect<unknown, unknown, unknown>

/**
 * Tries one rung after the other until one is not denied: the good model, a cheaper one, a cached answer, putting it off. Only a
 * denial leads to the next rung; every other failure is the ladder's. The last rung's denial is the ladder's too.
 *
 * **Example** (A cheaper model, then the cache)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const ask = (model: string, tokens: number) =>
 *   Budget.guard(
 *     { action: Action.make("llm.completion", model), estimate: Amount.tokens(tokens) },
 *     (r) => Effect.succeed(r.commit(Amount.tokens(tokens), model))
 *   )
 *
 * const answer = Budget.ladder([ask("large", 1_000), ask("small", 100), Effect.succeed("cached")])
 *
 * const program = Effect.all([answer, answer]).pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(150) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => [ "small", "cached" ]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const ladder = <const Rungs extends readonly [...ReadonlyArray<AnyEffect>, AnyEffect]>(
  rungs: Rungs
): Effect.Effect<
  Effect.Success<Rungs[number]>,
  Exclude<Effect.Error<Rungs[number]>, Denied> | LastDenial<Rungs>,
  Effect.Services<Rungs[number]>
> => {
  const climb = (at: number): AnyEffect => {
    const rung = rungs[at] as AnyEffect
    return at === rungs.length - 1
      ? rung
      : Effect.catch(rung, (error) => isDenied(error) ? climb(at + 1) : Effect.fail(error))
  }
  // The type says what this loop does, rung by rung.
  return climb(0) as Effect.Effect<never, never, never>
}

type LastDenial<Rungs extends ReadonlyArray<AnyEffect>> = Rungs extends
  readonly [...ReadonlyArray<AnyEffect>, infer Last] ? Extract<Effect.Error<Last>, Denied>
  : never

/**
 * How often and when to try again.
 *
 * - `schedule`: the waits between attempts; 100 ms when not given, doubling up to 5 seconds, with jitter
 * - `times`: how many repetitions there are at most; 3 when not given
 * - `retryDenied`: try again after a denial too, not sooner than it said; a denial ends it when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy {
  readonly schedule?: Schedule.Schedule<unknown> | undefined
  readonly times?: number | undefined
  readonly retryDenied?: boolean | undefined
}

const defaultSchedule = Schedule.exponential("100 millis").pipe(
  Schedule.jittered,
  Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, Duration.seconds(5))))
)

/**
 * Tries again what has failed, as long as it can be paid. Every attempt makes a reservation of its own, so the attempt that
 * the budget does not cover is denied, and the denial ends the repetition: hammering on an empty budget helps nobody.
 *
 * An error that says it is not transient ends it as well. An error that says nothing of the kind, as those of most libraries, is
 * taken to be transient. Where an error says when to come back, the wait is at least that long.
 *
 * What a failed attempt costs is the request's `onUnsettled`, or what its body says with `r.commitFail`.
 *
 * **Example** (Two attempts are paid for, a third is not)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * let attempts = 0
 * const flaky = Budget.guard({ action: Action.make("tool.search", "web"), estimate: Amount.credits(1) }, (r) =>
 *   Effect.sync(() => {
 *     attempts++
 *     return r.commitFail(Amount.credits(1), "no answer" as const)
 *   }))
 *
 * const program = flaky.pipe(
 *   Budget.retry({ times: 5 }),
 *   Effect.catchTag("BudgetExceeded", () => Effect.succeed(`out of budget after ${attempts} attempts`)),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.credits(2) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "out of budget after 2 attempts"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const retry: {
  (policy?: RetryPolicy): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, policy?: RetryPolicy): Effect.Effect<A, E, R>
} = dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R>(self: Effect.Effect<A, E, R>, policy: RetryPolicy = {}): Effect.Effect<A, E, R> => {
    const { retryDenied = false, schedule = defaultSchedule, times = 3 } = policy
    return Effect.retry(self, {
      schedule: notSoonerThanAsked(schedule),
      times,
      while: (error) => isDenied(error) ? retryDenied : saysTransient(error) ?? true
    })
  }
)

const notSoonerThanAsked = (schedule: Schedule.Schedule<unknown>): Schedule.Schedule<unknown> =>
  Schedule.modifyDelay(
    schedule,
    ({ duration, input }: { readonly duration: Duration.Duration; readonly input: unknown }) => {
      const asked = typeof input === "object" && input !== null && "retryAfter" in input ? input.retryAfter : undefined
      return Effect.succeed(Duration.isDuration(asked) ? Duration.max(duration, asked) : duration)
    }
  )

const saysTransient = (error: unknown): boolean | undefined =>
  typeof error === "object" && error !== null && "isTransient" in error && typeof error.isTransient === "boolean"
    ? error.isTransient
    : undefined

/**
 * Runs two guarded calls for one answer: the first that succeeds wins and the other is interrupted. Both hold budget as long as
 * both run, so a hedge can be denied, and then the other arm goes on alone.
 *
 * What the loser costs is its request's `onUnsettled`. Its hold goes back by default, but a provider may well bill a call that was
 * cut off: `commitEstimate` is the honest choice there.
 *
 * - `hedgeAfter`: start, and reserve for, the second arm only where the first has not answered by then, or has failed; both
 *   start at once when not given
 *
 * Where both fail, the failures of both are the cause.
 *
 * **Example** (A second try, if the first is slow)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const ask = (model: string, wait: number) =>
 *   Budget.guard(
 *     { action: Action.make("llm.completion", model), estimate: Amount.tokens(100), onUnsettled: "commitEstimate" },
 *     (r) => Effect.as(Effect.sleep(wait), r.commit(Amount.tokens(40), model))
 *   )
 *
 * const program = Budget.race(ask("slow", 10_000), ask("fast", 1), { hedgeAfter: "5 millis" }).pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(200) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "fast"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const race: {
  <B, E2, R2>(
    hedge: Effect.Effect<B, E2, R2>,
    options?: { readonly hedgeAfter?: Duration.Input | undefined }
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | B, E | E2, R | R2>
  <A, E, R, B, E2, R2>(
    self: Effect.Effect<A, E, R>,
    hedge: Effect.Effect<B, E2, R2>,
    options?: { readonly hedgeAfter?: Duration.Input | undefined }
  ): Effect.Effect<A | B, E | E2, R | R2>
} = dual((args) => Effect.isEffect(args[1]), <A, E, R, B, E2, R2>(
  self: Effect.Effect<A, E, R>,
  hedge: Effect.Effect<B, E2, R2>,
  options?: { readonly hedgeAfter?: Duration.Input | undefined }
): Effect.Effect<A | B, E | E2, R | R2> => {
  const hedgeAfter = options?.hedgeAfter
  if (hedgeAfter === undefined) return Effect.race(self, hedge)
  return Effect.flatMap(Deferred.make<void>(), (failed) =>
    Effect.race(
      Effect.tapCause(self, () => Deferred.succeed(failed, undefined)),
      Effect.andThen(Effect.timeoutOption(Deferred.await(failed), hedgeAfter), hedge)
    ))
})
