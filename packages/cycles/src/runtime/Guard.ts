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
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { Action } from "../protocol/Action.ts"
import type { Amount, Unit } from "../protocol/Amount.ts"
import { BudgetAuthority } from "../protocol/BudgetAuthority.ts"
import type { ToolNotAllowed } from "../protocol/Caps.ts"
import type { Denied, ReservationFinalized, ReserveError } from "../protocol/CyclesError.ts"
import { isDenied } from "../protocol/CyclesError.ts"
import { IdempotencyKey } from "../protocol/Ids.ts"
import type { JsonObject } from "../protocol/Metrics.ts"
import type { OveragePolicy } from "../protocol/OveragePolicy.ts"
import type { Subject } from "../protocol/Subject.ts"
import * as Subjects from "../protocol/Subject.ts"
import * as Background from "./Background.ts"
import type { LeaseLost, Policy } from "./Heartbeat.ts"
import type { Details, Guarded } from "./Hold.ts"
import { Journal } from "./Journal.ts"
import * as Lease from "./Lease.ts"
import * as Lifecycle from "./Lifecycle.ts"
import * as Line from "./Line.ts"
import * as Mode from "./Mode.ts"
import type { Outcome, Settled, Settlement } from "./Settlement.ts"
import * as Settlements from "./Settlement.ts"
import * as Settling from "./Settling.ts"
import * as Telemetry from "./Telemetry.ts"

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
 * - `mode`: how strictly budget is asked for; `enforce` when not given
 * - `onUnavailable`: what happens when the authority cannot be reached; `closed` when not given
 * - `rules`: mode and overage policy for some kinds of action
 * - `enforceCaps`: fail with `ToolNotAllowed` before the work where the caps do not allow the action's name as a tool; caps are
 *   advice otherwise
 * - `onUnsettled`: what work costs that failed or was interrupted; `release` when not given
 * - `heartbeat`: what a lost lease does to the work; `warn` when not given
 * - `heartbeatTimeout`: how long one extension may take; 5 seconds when not given. The beat comes early enough for two of
 *   them, so keep it well below a third of the ttl
 * - `shutdownTimeout`: how long the end of the layer waits for releases and commits under way; 10 seconds when not given
 * - `journal`: whether to keep what was used in the `Journal` of the context, where there is one, until it is charged. Yes when not
 *   given; turn it off for a budget whose authority is not the one that journal belongs to
 * - `settleTimeout`: how long a call waits for a charge that is journaled before it goes on with the outcome `Pending`; 5 seconds
 *   when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly subject?: Subject | undefined
  readonly ttl?: Duration.Input | undefined
  readonly gracePeriod?: Duration.Input | undefined
  readonly overagePolicy?: OveragePolicy | undefined
  readonly mode?: Mode.Mode | undefined
  readonly onUnavailable?: Mode.OnUnavailable | undefined
  readonly rules?: Mode.Rules | undefined
  readonly enforceCaps?: boolean | undefined
  readonly onUnsettled?: "release" | "commitEstimate" | undefined
  readonly heartbeat?: Policy | undefined
  readonly heartbeatTimeout?: Duration.Input | undefined
  readonly shutdownTimeout?: Duration.Input | undefined
  readonly journal?: boolean | undefined
  readonly settleTimeout?: Duration.Input | undefined
}

/**
 * What to reserve, and for what. Fields that are absent come from {@link within}, then from {@link Options}.
 *
 * - `estimate`: the most the action is expected to use; its unit is the unit of the settlement
 * - `subject`: laid over the levels given by {@link within} and by configuration
 * - `idempotencyKey`: give one to make a repetition of this call, by another process too, the same reservation; a new one is
 *   made for every run when not given
 * - `metadata`: kept with the reservation
 * - `fingerprint`: what tells this call from others of its action, its arguments or a digest of them; for {@link breakLoops}, and sent
 *   nowhere
 * - `onUnsettled`: what this call costs when its body fails or is interrupted, instead of returning a settlement: nothing, the
 *   estimate (marked `estimated: true` in the commit's metadata), or what a function of its exit says. A provider may bill a call
 *   that timed out; `release` says that it did not
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
  readonly mode?: Mode.Mode | undefined
  readonly onUnavailable?: Mode.OnUnavailable | undefined
  readonly enforceCaps?: boolean | undefined
  readonly onUnsettled?: "release" | "commitEstimate" | ((exit: Exit.Exit<never, unknown>) => Amount<U>) | undefined
  readonly heartbeat?: Policy | undefined
  readonly idempotencyKey?: IdempotencyKey | undefined
  readonly metadata?: JsonObject | undefined
  readonly fingerprint?: string | undefined
}

/**
 * What a guarded call can fail with beside its own errors: the denials, trouble with the request or the authority,
 * `ReservationFinalized` when the idempotency key belongs to a reservation that has ended, `LeaseLost` under the heartbeat
 * policies that fail, and `ToolNotAllowed` where caps are enforced.
 *
 * @category errors
 * @since 0.1.0
 */
export type GuardError = ReserveError | ReservationFinalized | LeaseLost | ToolNotAllowed

/**
 * What a guarded program asks of its budget; made by {@link make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** @internal */
  readonly keeper: Lease.Keeper
  /** Fills a request with everything it leaves open. @internal */
  readonly complete: <U extends Unit>(request: Request<U>, spending: Spending) => Lifecycle.Task<U>
  /** @internal */
  readonly onUnsettled: "release" | "commitEstimate"
  /** Who waits for budget. @internal */
  readonly line: Line.Line
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
 * What {@link within} has set for a fiber; see {@link Spender}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Spending {
  readonly subject: Subject | undefined
  readonly tags: ReadonlyArray<string> | undefined
}

/**
 * What {@link within} has set for the current fiber; its children inherit it. For who puts work of several fibers together and has to
 * keep apart what different spenders pay for.
 *
 * @category services
 * @since 0.1.0
 */
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
 * With a `Journal` in the context, what was used is written there before it is sent for the first time, and what earlier runs
 * left there is settled in the background.
 *
 * Throws a `RangeError` for a duration that cannot be read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options?: Options) {
  const line = Line.make()
  const authority = Telemetry.observe(Line.watch(line, yield* BudgetAuthority))
  const subject = Subjects.merge(yield* Subjects.Default, options?.subject ?? {})
  const defaults = {
    ttlMs: millis(options?.ttl),
    gracePeriodMs: millis(options?.gracePeriod),
    overagePolicy: options?.overagePolicy,
    mode: options?.mode ?? "enforce",
    onUnavailable: options?.onUnavailable ?? "closed",
    heartbeat: options?.heartbeat ?? "warn",
    enforceCaps: options?.enforceCaps ?? false
  }
  const rules = options?.rules
  const shutdownTimeoutMs = millis(options?.shutdownTimeout) ?? 10_000
  const background = yield* Background.make(shutdownTimeoutMs)
  const journal = options?.journal === false ? Option.none() : yield* Effect.serviceOption(Journal)
  const settleTimeoutMs = millis(options?.settleTimeout) ?? 5_000
  const prefix = crypto.randomUUID()
  let keys = 0
  const keeper: Lease.Keeper = {
    authority,
    background,
    heartbeatTimeoutMs: millis(options?.heartbeatTimeout) ?? 5_000,
    newKey: () => IdempotencyKey.make(`${prefix}-${++keys}`),
    settling: Option.isNone(journal)
      ? undefined
      : yield* Settling.make({ authority, background, journal: journal.value, settleTimeoutMs, shutdownTimeoutMs }),
    exchange: undefined
  }
  return Budget.of({
    keeper,
    line,
    onUnsettled: options?.onUnsettled ?? "release",
    complete: (request, { subject: spender, tags }) => {
      const rule = rules === undefined ? undefined : Mode.ruleFor(rules, request.action.kind)
      return {
        keeper,
        estimate: request.estimate,
        mode: request.mode ?? rule?.mode ?? defaults.mode,
        onUnavailable: request.onUnavailable ?? defaults.onUnavailable,
        heartbeat: request.heartbeat ?? defaults.heartbeat,
        enforceCaps: request.enforceCaps ?? defaults.enforceCaps,
        request: {
          idempotencyKey: request.idempotencyKey,
          subject: Subjects.merge(Subjects.merge(subject, spender), request.subject),
          action: tags === undefined
            ? request.action
            : { ...request.action, tags: Array.from(new Set([...tags, ...(request.action.tags ?? [])])) },
          estimate: Settlements.widen(request.estimate),
          ttlMs: millis(request.ttl) ?? defaults.ttlMs,
          gracePeriodMs: millis(request.gracePeriod) ?? defaults.gracePeriodMs,
          overagePolicy: request.overagePolicy ?? rule?.overagePolicy ?? defaults.overagePolicy,
          metadata: request.metadata
        }
      }
    }
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
 * Provides the service with mode, overage policy, rules and what happens when the authority is unavailable taken from the
 * environment; see `Mode.config`. Options given here win over it.
 *
 * This is what makes a rollout a matter of configuration: shadow first, then a lenient overage policy, then a strict one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options?: Options): Layer.Layer<Budget, Config.ConfigError, BudgetAuthority> =>
  Layer.effect(Budget, Effect.flatMap(Mode.config, (config) => make({ ...config, ...options })))

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
 * What the body logs is annotated with `cycles.reservation_id`, `cycles.scope` and `cycles.action`. Where a tracer is installed, the
 * call is a span `Budget.guard`, with the decision and the outcome among its attributes.
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
  Telemetry.spanned(request.action, Effect.flatMap(runGuarded(request, body), ({ exit }) => valueOf(exit)))

/**
 * Like {@link guard}, and also says what became of the settlement: charged, capped, recovered as an event, rejected.
 *
 * **Example** (Failing where a charge was refused)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger, Settlement } from "effect-cycles"
 *
 * const program = Budget.guardOutcome(
 *   { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(100), overagePolicy: "REJECT" },
 *   (r) => Effect.succeed(r.commit(Amount.tokens(120), "a long answer"))
 * ).pipe(
 *   Effect.flatMap(Settlement.valueOrFail),
 *   Effect.catchTag("SettlementFailed", (failed) => Effect.succeed(`${failed.outcome}: ${failed.value}`)),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] }))
 * )
 *
 * const answer = await Effect.runPromise(program)
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const guardOutcome = <
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
): Effect.Effect<Settled<A>, E | E2 | Effect.Error<Eff> | GuardError, R | Effect.Services<Eff> | Budget> =>
  Telemetry.spanned(
    request.action,
    Effect.flatMap(runGuarded(request, body), ({ exit, outcome }) =>
      // An exit whose settlement was not waited for is an interruption, which has no value.
      Effect.map(valueOf(exit), (value) => ({ value, outcome: outcome as Outcome })))
  )

/**
 * Puts a budget around an effect that knows nothing of it: what it cost is read from its exit.
 *
 * The function is asked for every exit, success, failure and interruption alike, so that a provider's charge for a failed call can be
 * taken into account. An amount of zero gives the whole hold back.
 *
 * **Example** (A model call, charged by its usage)
 *
 * ```ts
 * import { Effect, Exit } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const callLlm = Effect.succeed({ text: "hello", tokens: 12 })
 *
 * const program = callLlm.pipe(
 *   Budget.charge(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *     (exit) => Amount.tokens(Exit.isSuccess(exit) ? exit.value.tokens : 0)
 *   ),
 *   Effect.map(({ text }) => text),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "hello"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const charge: {
  <const U extends Unit, A, E>(
    request: Request<U>,
    actual: (exit: Exit.Exit<A, E | LeaseLost>) => Amount<NoInfer<U>>
  ): <R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | GuardError, R | Budget>
  <A, E, R, const U extends Unit>(
    self: Effect.Effect<A, E, R>,
    request: Request<U>,
    actual: (exit: Exit.Exit<A, E | LeaseLost>) => Amount<NoInfer<U>>
  ): Effect.Effect<A, E | GuardError, R | Budget>
} = dual(3, <A, E, R, const U extends Unit>(
  self: Effect.Effect<A, E, R>,
  request: Request<U>,
  actual: (exit: Exit.Exit<A, E | LeaseLost>) => Amount<NoInfer<U>>
): Effect.Effect<A, E | GuardError, R | Budget> =>
  Telemetry.spanned(
    request.action,
    Effect.flatMap(
      perform(request, () => self, (exit) => spent(actual(exit))),
      ({ exit }): Effect.Effect<A, E | LeaseLost> => exit
    )
  ))

/**
 * Puts a budget around a stream. What it used is a fold over what was seen of it, so that success, failure, an early stop and an
 * interruption are each settled by what really came through.
 *
 * - `stream`: built from the reservation, so that it can heed the caps
 * - `meter`: `initial`, and a `step` for every element
 * - `settle`: what the final state means, `commit` or `release`; asked however the stream ends
 * - `cutWhen`: ends the stream after the element for whose state it is true, for example at a token cap
 *
 * The hold is taken when the stream is run, and settled when its scope ends.
 *
 * **Example** (Counting tokens, stopping at a cap)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const answer = Budget.guardStream(
 *   { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *   {
 *     stream: () => Stream.make("one", "two", "three", "four"),
 *     meter: { initial: 0, step: (tokens, _word) => tokens + 1 },
 *     settle: (r, tokens) => r.commit(Amount.tokens(tokens)),
 *     cutWhen: (tokens) => tokens >= 3
 *   }
 * )
 *
 * const program = Stream.runCollect(answer).pipe(
 *   Effect.map((words) => words.join(" ")),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "one two three"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const guardStream = <const U extends Unit, A, E, R, M>(
  request: Request<U>,
  options: {
    readonly stream: <S>(reservation: Guarded<S, U>) => Stream.Stream<A, E, R>
    readonly meter: { readonly initial: M; readonly step: (state: M, element: A) => M }
    readonly settle: <S>(
      reservation: Guarded<S, U>,
      state: M,
      exit: Exit.Exit<unknown, unknown>
    ) => Settlement<S, U, void>
    readonly cutWhen?: ((state: M) => boolean) | undefined
  }
): Stream.Stream<A, E | GuardError, R | Budget> =>
  Stream.unwrap(Effect.gen(function*() {
    let state = options.meter.initial
    const opened = yield* Deferred.make<
      { readonly reservation: Guarded<unknown, U>; readonly span: Tracer.Span | undefined },
      GuardError
    >()
    const closing = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
    // The guarded work is the stream's life: it begins with the hold and ends when the stream's scope does.
    const life = yield* perform(
      request,
      (reservation) =>
        Effect.withFiber((fiber) =>
          Effect.andThen(
            Deferred.succeed(opened, { reservation, span: Telemetry.spanOf(fiber) }),
            Deferred.await(closing)
          )
        ),
      (exit, reservation) =>
        verdictOf(options.settle(reservation, state, Exit.isSuccess(exit) ? exit.value : exit), reservation)
    ).pipe(
      Effect.flatMap(({ exit }): Effect.Effect<unknown, LeaseLost> => Exit.asVoid(exit)),
      (life) => Telemetry.spanned(request.action, life),
      Effect.tapCause((cause) => Deferred.failCause(opened, cause)),
      Effect.forkScoped({ startImmediately: true })
    )
    yield* Effect.addFinalizer((exit) =>
      Effect.andThen(Deferred.succeed(closing, exit), Lease.wasInterrupted(exit) ? Effect.void : Fiber.await(life))
    )
    const { reservation, span } = yield* Deferred.await(opened)
    const built = options.stream(reservation)
    // What the stream does is done under the guard's span, though in the fiber of whoever runs it.
    const traced = span === undefined ? built : Stream.updateContext(
      built,
      (context: Context.Context<R>) => Context.add(context, Tracer.ParentSpan, span)
    )
    const metered = Stream.tap(traced, (element) =>
      Effect.sync(() => {
        state = options.meter.step(state, element)
      }))
    const cut = options.cutWhen
    const ending = cut === undefined ? metered : Stream.takeUntil(metered, () => cut(state))
    // A life ends before its stream under this policy alone, and the watch for it costs several times what the rest does.
    const budget = yield* Budget
    return budget.complete(request, yield* Spender).heartbeat === "interrupt"
      ? Stream.interruptWhen(ending, Effect.andThen(Fiber.join(life), Effect.never))
      : ending
  }))

/**
 * The reservation the current fiber works under, inside a guarded body and the fibers it forks: its id, decision, caps and scopes.
 *
 * @category getters
 * @since 0.1.0
 */
export const current: Effect.Effect<Option.Option<Details<Unit>>> = Effect.map(
  Lifecycle.Current,
  Option.fromUndefinedOr
)

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
// how a guarded call is carried out
// ---------------------------------------------------------------------------------------------------------------------

const perform = <U extends Unit, A, E, R>(
  request: Request<U>,
  work: (reservation: Guarded<unknown, U>) => Effect.Effect<A, E, R>,
  verdict: (exit: Exit.Exit<A, E | LeaseLost>, reservation: Guarded<unknown, U>) => Lifecycle.Verdict
): Effect.Effect<Lifecycle.Ended<A, E | LeaseLost>, Exclude<GuardError, LeaseLost>, R | Budget> =>
  Effect.withFiber((fiber) => {
    const budget = Context.getUnsafe(fiber.context, Budget)
    return Lifecycle.run(budget.complete(request, fiber.getRef(Spender)), work, verdict)
  })

const runGuarded = <U extends Unit, A, E2, E, R, Eff extends Effect.Effect<unknown, unknown, unknown>>(
  request: Request<U>,
  body: <S>(
    reservation: Guarded<S, U>
  ) => Effect.Effect<Settlement<S, U, A, E2>, E, R> | Generator<Eff, Settlement<S, U, A, E2>, never>
) =>
  Effect.withFiber((fiber) => {
    const { onUnsettled } = Context.getUnsafe(fiber.context, Budget)
    return perform(
      request,
      (reservation) => toEffect(body(reservation)),
      (exit, reservation) =>
        Exit.isSuccess(exit)
          ? verdictOf(exit.value, reservation)
          : unsettled(request, onUnsettled, Exit.failCause(exit.cause), reservation)
    )
  })

const toEffect = <S, U extends Unit, A, E2, E, R, Eff extends Effect.Effect<unknown, unknown, unknown>>(
  body: Effect.Effect<Settlement<S, U, A, E2>, E, R> | Generator<Eff, Settlement<S, U, A, E2>, never>
): Effect.Effect<Settlement<S, U, A, E2>, E | Effect.Error<Eff>, R | Effect.Services<Eff>> =>
  // `Effect.gen` infers the same error and services from `Eff`, in a form the checker cannot compare while `Eff` is open.
  Effect.isEffect(body)
    ? body
    : Effect.gen(() => body) as Effect.Effect<Settlement<S, U, A, E2>, Effect.Error<Eff>, Effect.Services<Eff>>

const spent = <U extends Unit>(amount: Amount<U>): Lifecycle.Verdict =>
  amount.amount === 0n
    ? { _tag: "Release", reason: "unused" }
    : { _tag: "Commit", actual: Settlements.widen(amount), report: undefined }

/** What a body returned, as what to do. Throws for what is not a settlement of this reservation, which the types refuse too. */
const verdictOf = <S, U extends Unit, A, E2>(
  settlement: Settlement<S, U, A, E2>,
  reservation: Guarded<S, U>
): Lifecycle.Verdict => decidedOf(Settlements.decisionOf(settlement), reservation)

/** @internal */
export const decidedOf = (decision: Settlements.Decision | undefined, reservation: object): Lifecycle.Verdict => {
  if (decision?.of !== reservation) {
    throw new TypeError("A guarded body must return a settlement of its own reservation")
  }
  return decision._tag === "Release"
    ? { _tag: "Release", reason: "unused" }
    : { _tag: "Commit", actual: decision.actual, report: decision.report }
}

/** What a body costs that failed, died or was interrupted. @internal */
export const unsettled = <U extends Unit>(
  request: Request<U>,
  byDefault: "release" | "commitEstimate",
  exit: Exit.Exit<never, unknown>,
  reservation: Guarded<unknown, U>
): Lifecycle.Verdict => {
  const policy = request.onUnsettled ?? byDefault
  const reason = Lease.wasInterrupted(exit) ? "interrupted" : "failed"
  if (policy === "release") return { _tag: "Release", reason }
  return policy === "commitEstimate"
    ? {
      _tag: "Commit",
      actual: Settlements.widen(reservation.reserved),
      report: { metadata: { estimated: true, unsettled: reason } }
    }
    : spent(policy(exit))
}

/** What the settlement an exit holds is worth to the caller: its value, or its error. */
const valueOf = <S, U extends Unit, A, E2, E>(
  exit: Exit.Exit<Settlement<S, U, A, E2>, E>
): Effect.Effect<A, E | E2> => {
  if (Exit.isFailure(exit)) return Effect.failCause(exit.cause)
  const decision = Settlements.decisionOf(exit.value)
  // What a settlement holds is what its type says: it was built by this call's reservation.
  return decision._tag === "CommitFail" ? Effect.fail(decision.error as E2) : Effect.succeed(decision.value as A)
}
