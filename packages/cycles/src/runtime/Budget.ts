/**
 * Budget around a piece of work: reserve before it, keep the lease while it runs, commit what it used, release on every other
 * way out.
 *
 * `Budget.guard` is the way most code should go. What the work used is what its body *returns*, as a settlement, so that
 * forgetting to settle, settling twice, and settling in the wrong unit do not type-check.
 *
 * **Example** (A guarded call)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Caps, Ledger } from "effect-cycles"
 *
 * const callLlm = (prompt: string, maxTokens: number) =>
 *   Effect.succeed({ text: `${prompt}: done`, tokens: Math.min(420, maxTokens) })
 *
 * const answer = Budget.guard(
 *   { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *   function*(r) {
 *     const out = yield* callLlm("Summarize", Caps.clampTokens(r.caps, 1_000))
 *     return r.commit(Amount.tokens(out.tokens), out.text)
 *   }
 * )
 *
 * const program = answer.pipe(
 *   Effect.catchTag("BudgetExceeded", () => Effect.succeed("from the cache")),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "Summarize: done"
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { dual, identity } from "effect/Function"
import * as Layer from "effect/Layer"
import type { Action } from "../protocol/Action.ts"
import type { Amount, Unit } from "../protocol/Amount.ts"
import { BudgetAuthority } from "../protocol/BudgetAuthority.ts"
import type { Denied, ReservationFinalized, ReserveError } from "../protocol/CyclesError.ts"
import { isDenied } from "../protocol/CyclesError.ts"
import { IdempotencyKey } from "../protocol/Ids.ts"
import type { JsonObject } from "../protocol/Metrics.ts"
import type { OveragePolicy } from "../protocol/OveragePolicy.ts"
import type { Subject } from "../protocol/Subject.ts"
import * as Subjects from "../protocol/Subject.ts"
import * as Background from "./Background.ts"
import type { LeaseLost, Policy } from "./Heartbeat.ts"
import * as Lease from "./Lease.ts"
import type { Guarded } from "./Reservation.ts"
import type { Decision, Outcome, Report, Settlement } from "./Settlement.ts"
import * as Settlements from "./Settlement.ts"

// Web Crypto, which every supported runtime has; declared here so that the core needs no platform's types.
declare const crypto: { readonly randomUUID: () => string }

/**
 * How budgets are asked for where a request does not say.
 *
 * - `subject`: who spends; laid over the tenant the authority acts for
 * - `ttl`: how long a hold lives without being extended, 1 second to 24 hours; the authority's default (60 seconds) when not given
 * - `gracePeriod`: how long after its end a hold still takes a commit, at most 60 seconds; the authority's default (5 seconds)
 *   when not given
 * - `overagePolicy`: what happens when more was used than reserved; the authority's default (`ALLOW_IF_AVAILABLE`) when not given
 * - `heartbeat`: what a lost lease does to the work; `warn` when not given
 * - `heartbeatTimeout`: how long one extension may take; 5 seconds when not given. The beat comes early enough for two of
 *   them, so keep it well below a third of the ttl
 * - `shutdownTimeout`: how long the end of the layer waits for releases and commits under way; 10 seconds when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly subject?: Subject | undefined
  readonly ttl?: Duration.Input | undefined
  readonly gracePeriod?: Duration.Input | undefined
  readonly overagePolicy?: OveragePolicy | undefined
  readonly heartbeat?: Policy | undefined
  readonly heartbeatTimeout?: Duration.Input | undefined
  readonly shutdownTimeout?: Duration.Input | undefined
}

/**
 * What to reserve, and for what. Fields that are absent come from {@link within}, then from {@link Options}.
 *
 * - `estimate`: the most the action is expected to use; its unit is the unit of the settlement
 * - `subject`: laid over the levels given by {@link within} and by configuration
 * - `idempotencyKey`: give one to make a repetition of this call, by another process too, the same reservation; a new one is
 *   made for every run when not given
 * - `metadata`: kept with the reservation
 *
 * @category models
 * @since 0.1.0
 */
export interface Request<out U extends Unit> {
  readonly action: Action
  readonly estimate: Amount<U>
  readonly subject?: Subject | undefined
  readonly ttl?: Duration.Input | undefined
  readonly gracePeriod?: Duration.Input | undefined
  readonly overagePolicy?: OveragePolicy | undefined
  readonly heartbeat?: Policy | undefined
  readonly idempotencyKey?: IdempotencyKey | undefined
  readonly metadata?: JsonObject | undefined
}

/**
 * What a guarded call can fail with beside its own errors: the denials, trouble with the request or the authority,
 * `ReservationFinalized` when the idempotency key belongs to a reservation that has ended, and `LeaseLost` under the heartbeat
 * policies that fail.
 *
 * @category errors
 * @since 0.1.0
 */
export type GuardError = ReserveError | ReservationFinalized | LeaseLost

/**
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** @internal */
  readonly keeper: Lease.Keeper
  /** Fills a request with everything it leaves open. @internal */
  readonly complete: (request: Request<Unit>, spending: Spending) => Lease.Request
  /** @internal */
  readonly heartbeat: Policy
}

/**
 * The one service a guarded program needs. Provide it with {@link layer}, around a `BudgetAuthority`.
 *
 * @category services
 * @since 0.1.0
 */
export class Budget extends Context.Service<Budget, Service>()("effect-cycles/runtime/Budget") {}

/**
 * Who spends from here on, with labels for reporting and tags for the actions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Within extends Subject {
  readonly tags?: ReadonlyArray<string>
}

/**
 * What {@link within} has set for the current fiber; its children inherit it.
 *
 * @internal
 */
export interface Spending {
  readonly subject: Subject | undefined
  readonly tags: ReadonlyArray<string> | undefined
}

/** @internal */
export const Spender: Context.Reference<Spending> = Context.Reference<Spending>(
  "effect-cycles/runtime/Budget/Spender",
  {
    defaultValue: () => ({ subject: undefined, tags: undefined })
  }
)

const millis = (input: Duration.Input | undefined): number | undefined =>
  input === undefined ? undefined : Duration.toMillis(input)

/**
 * Makes the service for an authority. The scope owns the work that outlives its callers: holds being traced, releases and
 * commits under way. Its end waits for them.
 *
 * Throws a `RangeError` for a duration that cannot be read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options?: Options) {
  const authority = yield* BudgetAuthority
  const subject = Subjects.merge(yield* Subjects.Default, options?.subject ?? {})
  const defaults = {
    ttlMs: millis(options?.ttl),
    gracePeriodMs: millis(options?.gracePeriod),
    overagePolicy: options?.overagePolicy
  }
  const background = yield* Background.make(millis(options?.shutdownTimeout) ?? 10_000)
  const prefix = crypto.randomUUID()
  let keys = 0
  return Budget.of({
    heartbeat: options?.heartbeat ?? "warn",
    keeper: {
      authority,
      background,
      heartbeatTimeoutMs: millis(options?.heartbeatTimeout) ?? 5_000,
      newKey: () => IdempotencyKey.make(`${prefix}-${++keys}`)
    },
    complete: (request, { subject: spender, tags }) => ({
      idempotencyKey: request.idempotencyKey,
      subject: Subjects.merge(Subjects.merge(subject, spender), request.subject),
      action: tags === undefined
        ? request.action
        : { ...request.action, tags: Array.from(new Set([...tags, ...(request.action.tags ?? [])])) },
      estimate: Settlements.widen(request.estimate),
      ttlMs: millis(request.ttl) ?? defaults.ttlMs,
      gracePeriodMs: millis(request.gracePeriod) ?? defaults.gracePeriodMs,
      overagePolicy: request.overagePolicy ?? defaults.overagePolicy,
      metadata: request.metadata
    })
  })
})

/**
 * Provides the service for the authority around it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Budget, never, BudgetAuthority> =>
  Layer.effect(Budget, make(options))

/**
 * Says who spends: every guard inside, in child fibers too, takes these levels, dimensions and tags where its own request does
 * not set them. Inner calls are laid over outer ones; tags add up.
 *
 * **Example** (Two agents of one workflow)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
 *
 * const step = (agent: string) =>
 *   Budget.guard(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(100) },
 *     (r) => Effect.succeed(r.commit(Amount.tokens(10), r.affectedScopes.at(-1)))
 *   ).pipe(Budget.within({ agent }))
 *
 * const program = Effect.all([step("planner"), step("writer")], { concurrency: 2 }).pipe(
 *   Budget.within({ workflow: "report" }),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] }))
 * )
 *
 * console.log((await Effect.runPromise(program)).join("\n"))
 * // => tenant:acme/workflow:report/agent:planner
 * // => tenant:acme/workflow:report/agent:writer
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const within: {
  (spender: Within): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, spender: Within): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, spender: Within): Effect.Effect<A, E, R> =>
    Effect.updateService(self, Spender, (outer) => {
      const { tags, ...subject } = spender
      return {
        subject: outer.subject === undefined ? subject : Subjects.merge(outer.subject, subject),
        tags: outer.tags === undefined ? tags : [...outer.tags, ...(tags ?? [])]
      }
    })
)

/**
 * Runs a body under a reservation.
 *
 * The estimate is reserved first; where that is denied the body does not run. While the body runs a heartbeat keeps the
 * lease. The body returns a settlement, built by the reservation it is given:
 *
 * - `r.commit(actual, value)`: this much was used; the call succeeds with `value`
 * - `r.release(value)`: nothing was used; the call succeeds with `value`
 * - `r.commitFail(actual, error)`: this much was used; the call fails with `error`
 *
 * Where the body fails, dies or is interrupted instead, the hold is released. An interrupt while the reserve is under way returns at
 * once; what the reserve brings back is released in the background. Trouble with a settlement never loses the body's value: it
 * is repeated while that can help, charged as an event where the lease had ended, and logged as an error where it is refused.
 *
 * The body may be a generator, or a function that returns an effect. An inline `Effect.fn` is not accepted, since it fixes its
 * argument's type too early; write the generator directly.
 *
 * @category combinators
 * @since 0.1.0
 */
export const guard = <
  const U extends Unit,
  A = never,
  E2 = never,
  E = never,
  R = never,
  Eff extends Effect.Effect<unknown, unknown, unknown> = never
>(
  request: Request<U>,
  body: <S>(
    reservation: Guarded<S, U>
  ) => Effect.Effect<Settlement<S, U, A, E2>, E, R> | Generator<Eff, Settlement<S, U, A, E2>, never>
): Effect.Effect<A, E | E2 | Effect.Error<Eff> | GuardError, R | Effect.Services<Eff> | Budget> =>
  Effect.withFiber((fiber) => {
    const budget = Context.getUnsafe(fiber.context, Budget)
    const { keeper } = budget
    const policy = request.heartbeat ?? budget.heartbeat
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        Lease.acquire(keeper, budget.complete(request, fiber.getRef(Spender)), restore),
        (lease) =>
          Effect.flatMap(Lease.beat(keeper, lease, policy), (beating) => {
            const reservation = guarded<unknown, U>(lease, request.estimate)
            const work = restore(Effect.suspend(() => toEffect(body(reservation))))
            return Effect.flatMap(
              Effect.exit(policy === "interrupt" ? orLost(work, beating) : work),
              (exit) => settle(keeper, lease, beating, policy, reservation, exit, restore)
            )
          })
      )
    )
  })

/**
 * Turns a denial into something else: a cached answer, a cheaper model. Errors that are not denials pass.
 *
 * **Example** (A cached answer)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const program = Budget.guard(
 *   { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *   (r) => Effect.succeed(r.commit(Amount.tokens(900), "fresh"))
 * ).pipe(
 *   Budget.catchDenied((denied) => Effect.succeed(`cached, because of ${denied._tag}`)),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(10) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "cached, because of BudgetExceeded"
 * ```
 *
 * @category error handling
 * @since 0.1.0
 */
export const catchDenied: {
  <E, B, E2, R2>(
    onDenied: (denied: Extract<E, Denied>) => Effect.Effect<B, E2, R2>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | B, Exclude<E, Denied> | E2, R | R2>
  <A, E, R, B, E2, R2>(
    self: Effect.Effect<A, E, R>,
    onDenied: (denied: Extract<E, Denied>) => Effect.Effect<B, E2, R2>
  ): Effect.Effect<A | B, Exclude<E, Denied> | E2, R | R2>
} = dual(
  2,
  <A, E, R, B, E2, R2>(
    self: Effect.Effect<A, E, R>,
    onDenied: (denied: Extract<E, Denied>) => Effect.Effect<B, E2, R2>
  ): Effect.Effect<A | B, Exclude<E, Denied> | E2, R | R2> =>
    Effect.catch(self, (error): Effect.Effect<B, Exclude<E, Denied> | E2, R2> =>
      // `isDenied` splits E in two; the checker cannot take a type parameter apart by a guard.
      isDenied(error) ? onDenied(error as Extract<E, Denied>) : Effect.fail(error as Exclude<E, Denied>))
)

// ---------------------------------------------------------------------------------------------------------------------
// the end of a guarded call
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The reservation a body is given. One literal and no spread: it is made for every guarded call. The settlements know it by
 * identity, so that one of another reservation is found out at run time too, where the types were not asked.
 */
const guarded = <S, U extends Unit>(lease: Lease.Lease, estimate: Amount<U>): Guarded<S, U> => {
  const { id, reply } = lease
  const reservation: Guarded<S, U> = {
    id,
    decision: reply.decision === "ALLOW_WITH_CAPS" ? "ALLOW_WITH_CAPS" : "ALLOW",
    caps: reply.caps,
    reserved: estimate,
    affectedScopes: reply.affectedScopes,
    scopePath: reply.scopePath,
    expiresAtMs: reply.expiresAtMs,
    "~S": identity,
    commit: <A>(actual: Amount<U>, value?: A, report?: Report): Settlement<S, U, A> =>
      Settlements.make({ _tag: "Commit", of: reservation, actual: Settlements.widen(actual), report, value }),
    release: <A>(value?: A): Settlement<S, U, A> => Settlements.make({ _tag: "Release", of: reservation, value }),
    commitFail: (actual, error, report) =>
      Settlements.make({ _tag: "CommitFail", of: reservation, actual: Settlements.widen(actual), report, error })
  }
  return reservation
}

const toEffect = <S, U extends Unit, A, E2, E, R, Eff extends Effect.Effect<unknown, unknown, unknown>>(
  body: Effect.Effect<Settlement<S, U, A, E2>, E, R> | Generator<Eff, Settlement<S, U, A, E2>, never>
): Effect.Effect<Settlement<S, U, A, E2>, E | Effect.Error<Eff>, R | Effect.Services<Eff>> =>
  // `Effect.gen` infers the same error and services from `Eff`, in a form the checker cannot compare while `Eff` is open.
  Effect.isEffect(body)
    ? body
    : Effect.gen(() => body) as Effect.Effect<Settlement<S, U, A, E2>, Effect.Error<Eff>, Effect.Services<Eff>>

const orLost = <A, E, R>(work: Effect.Effect<A, E, R>, beating: Lease.Beating): Effect.Effect<A, E | LeaseLost, R> =>
  Effect.raceFirst(work, Effect.flatMap(Fiber.join(beating.fiber), Effect.fail))

const settle = <S, U extends Unit, A, E2, E>(
  keeper: Lease.Keeper,
  lease: Lease.Lease,
  beating: Lease.Beating,
  policy: Policy,
  reservation: Guarded<S, U>,
  exit: Exit.Exit<Settlement<S, U, A, E2>, E>,
  restore: Background.Restore
): Effect.Effect<A, E | E2 | LeaseLost> => {
  const stop = (): void => beating.fiber.interruptUnsafe()
  if (Exit.isFailure(exit)) {
    stop()
    const release = Lease.release(keeper, lease.id, Lease.wasInterrupted(exit) ? "interrupted" : "failed")
    return Effect.andThen(
      Lease.wasInterrupted(exit) ? keeper.background.start(release) : keeper.background.run(restore, release),
      Effect.failCause(exit.cause)
    )
  }
  const decision = Settlements.decisionOf(exit.value)
  if (decision.of !== reservation) {
    stop()
    return Effect.andThen(
      keeper.background.run(restore, Lease.release(keeper, lease.id, "not settled")),
      Effect.die(new TypeError("A guarded body must return a settlement of its own reservation"))
    )
  }
  // A hold that is given back needs no lease; one that is committed keeps it until the authority has answered.
  if (decision._tag === "Release") stop()
  const carriedOut = Effect.onExit(carryOut(keeper, lease, decision), () => Effect.sync(stop))
  return Effect.flatMap(keeper.background.run(restore, carriedOut), (): Effect.Effect<A, E2 | LeaseLost> => {
    if (policy === "failOnSettle" && beating.lost !== undefined) return Effect.fail(beating.lost)
    // What a settlement holds is what its type says: it was built by this reservation.
    return decision._tag === "CommitFail" ? Effect.fail(decision.error as E2) : Effect.succeed(decision.value as A)
  })
}

const carryOut = (keeper: Lease.Keeper, lease: Lease.Lease, decision: Decision): Effect.Effect<Outcome> =>
  decision._tag === "Release"
    ? Lease.releaseOutcome(keeper, lease.id, "unused")
    : Lease.commitOutcome(keeper, lease, decision.actual, decision.report)
