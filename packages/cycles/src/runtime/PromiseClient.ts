/// <reference lib="esnext.disposable" preserve="true" />

/**
 * Budgets for code that is not written with Effect: promises, `async` functions, `AbortSignal`, `await using`.
 *
 * A client is the same runtime behind another door. Requests, amounts, settlements and errors are the same types: what
 * `Budget.guard` refuses to compile does not compile here either, and a denial is thrown as the class it is.
 *
 * The client's timers (heartbeats, the sweeper of a ledger in memory) never keep a process alive. A script that forgets to close its
 * client, or forgets a reservation, ends when its own work does; Node then gives back what it held.
 *
 * **Example** (A guarded call)
 *
 * ```ts
 * import { Action, Amount, Caps, CyclesError, Ledger, makePromiseClient } from "effect-cycles"
 *
 * const client = makePromiseClient({
 *   layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_500) }] })
 * })
 * const callLlm = async (prompt: string, maxTokens: number) => ({ text: `${prompt}: done`, tokens: Math.min(420, maxTokens) })
 *
 * const ask = (prompt: string) =>
 *   client.guard(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *     async (r) => {
 *       const out = await callLlm(prompt, Caps.clampTokens(r.caps, 1_000))
 *       return r.commit(Amount.tokens(out.tokens), out.text)
 *     }
 *   )
 *
 * console.log(await ask("One")) // => "One: done"
 * await ask("Two")
 * try {
 *   await ask("Three")
 * } catch (error) {
 *   console.log(error instanceof CyclesError.BudgetExceeded) // => true
 * }
 * await client.close()
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Types from "effect/Types"
import type { Amount, AnyAmount, Unit } from "../protocol/Amount.ts"
import type { BalancesPage, BalancesQuery } from "../protocol/Balance.ts"
import { BudgetAuthority } from "../protocol/BudgetAuthority.ts"
import type * as Decide from "../protocol/Decide.ts"
import type * as Event from "../protocol/Event.ts"
import { IdempotencyKey } from "../protocol/Ids.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type { ReservationRecord, ReservationsPage, ReservationsQuery } from "../protocol/ReservationRecord.ts"
import type { CommitReply, CommitRequest, ReleaseReply } from "../protocol/Settle.ts"
import type { Subject } from "../protocol/Subject.ts"
import * as Budget from "./Guard.ts"
import type { LeaseLost } from "./Heartbeat.ts"
import * as Lease from "./Lease.ts"
import * as Reservation from "./Reservation.ts"
import type { Outcome, Report, Settled, Settlement } from "./Settlement.ts"

declare global {
  // The platform's own, which this merges with; the core is compiled without any platform's types.
  interface AbortSignal {}
}

/**
 * The client was closed before the call began, or while it was under way. What the call held has been given back.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClientClosed extends Schema.TaggedError<ClientClosed>("effect-cycles/ClientClosed")("ClientClosed", {}) {
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  override get message(): string {
    return "The client is closed. Close it after the last call, or make another one."
  }
}

/**
 * - `layer`: the authority to ask: `Ledger.layerMemory`, another ledger, or a client over HTTP. It is built by the first call, and a
 *   failure to build it is what every call then throws
 * - `budget`: how budgets are asked for where a request does not say
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly layer: Layer.Layer<BudgetAuthority, unknown>
  readonly budget?: Budget.Options | undefined
}

/**
 * `signal`: aborting it interrupts the call, which then throws the signal's reason at once. What the call held is given back, or
 * charged where the request's `onUnsettled` says so.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

/** A request of the port whose key is made, and whose subject is completed, where they are not given. */
type Completed<Request> = Omit<Request, "idempotencyKey" | "subject"> & {
  readonly idempotencyKey?: IdempotencyKey | undefined
  readonly subject?: Subject | undefined
}

/**
 * Would this be allowed now?
 *
 * @category models
 * @since 0.1.0
 */
export interface DecideRequest extends Completed<Decide.DecideRequest> {}

/**
 * What has already happened and is to be charged.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventRequest extends Completed<Event.EventRequest> {}

/**
 * A reservation to settle by hand. Settle it once, or let `await using` give it back at the end of its block:
 *
 * ```ts
 * import { Action, Amount, Ledger, makePromiseClient } from "effect-cycles"
 *
 * await using client = makePromiseClient({
 *   layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_500) }] })
 * })
 * await using r = await client.reserve({ action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) })
 * const outcome = await r.commit(Amount.tokens(420))
 * console.log(outcome._tag) // => "Committed"
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Handle<in out U extends Unit> extends Reservation.Details<U>, AsyncDisposable {
  /** Charges what was used. Throws `AlreadySettled` where the reservation was settled before. */
  readonly commit: (actual: Amount<NoInfer<U>>, report?: Report) => Promise<Outcome>
  /** Gives the hold back unused. Throws `AlreadySettled` where the reservation was settled before. */
  readonly release: () => Promise<Outcome>
  /** Why the lease could not be kept, once that has happened; `undefined` while it is fine. */
  readonly lost: LeaseLost | undefined
}

/**
 * What a client offers. Every method throws what the effect it stands for fails with: see `Budget.GuardError` and the errors of
 * `BudgetAuthority`.
 *
 * @category models
 * @since 0.1.0
 */
export interface PromiseClient extends AsyncDisposable {
  /**
   * Runs a body under a reservation; see `Budget.guard`. The body returns a settlement of the reservation it is given. What it throws is
   * thrown, after the hold was given back.
   *
   * The body's signal is aborted when the call is interrupted: by its own `signal`, by {@link PromiseClient.close}, or by the loss of
   * the lease where `heartbeat` is `interrupt`. The call does not wait for the body then, so pass the signal on.
   */
  readonly guard: <const U extends Unit, A = never, E = never>(
    request: Budget.Request<U>,
    body: <S>(reservation: Reservation.Guarded<S, U>, signal: AbortSignal) => Promise<Settlement<S, U, A, E>>,
    options?: CallOptions
  ) => Promise<A>
  /** Like `guard`, and also says what became of the settlement; see `Budget.guardOutcome`. */
  readonly guardOutcome: <const U extends Unit, A = never, E = never>(
    request: Budget.Request<U>,
    body: <S>(reservation: Reservation.Guarded<S, U>, signal: AbortSignal) => Promise<Settlement<S, U, A, E>>,
    options?: CallOptions
  ) => Promise<Settled<A>>
  /** Takes a hold that is settled by hand and kept alive until then; see `Reservation.make`. */
  readonly reserve: <const U extends Unit>(request: Reservation.Request<U>, options?: CallOptions) => Promise<Handle<U>>
  /** Asks without holding anything. A denial is a reply here, and not thrown. */
  readonly decide: (request: DecideRequest, options?: CallOptions) => Promise<Decide.DecideReply>
  /** Charges something that has already happened and was not reserved. */
  readonly event: (request: EventRequest, options?: CallOptions) => Promise<Event.EventReply>
  /** The budgets whose paths have all of the given segments. */
  readonly balances: (query: BalancesQuery, options?: CallOptions) => Promise<BalancesPage>
  /** One reservation. An expired one is thrown as `ReservationExpired`; it still appears in lists. */
  readonly reservation: (id: ReservationId, options?: CallOptions) => Promise<ReservationRecord>
  /** A page of the tenant's reservations. */
  readonly reservations: (query: ReservationsQuery, options?: CallOptions) => Promise<ReservationsPage>
  /** Charges a reservation that was taken elsewhere, for example by another process. Repeating it is safe. */
  readonly commit: (
    id: ReservationId,
    actual: AnyAmount,
    options?: CallOptions & Report
  ) => Promise<CommitReply>
  /** Gives back a reservation that was taken elsewhere. Repeating it is safe. */
  readonly release: (
    id: ReservationId,
    options?: CallOptions & { readonly reason?: string | undefined }
  ) => Promise<ReleaseReply>
  /** The same client for another spender; see `Budget.within`. Closing either closes both. */
  readonly within: (spender: Budget.Within) => PromiseClient
  /**
   * Interrupts what is under way, gives back what is held, and waits for it, 10 seconds at most (`shutdownTimeout`). Calls from then on
   * throw {@link ClientClosed}.
   */
  readonly close: () => Promise<void>
}

/**
 * Makes a client. Nothing is built and nothing is asked before the first call.
 *
 * Throws a `RangeError` at the first call for a duration that cannot be read.
 *
 * **Example** (Aborting a call)
 *
 * ```ts
 * import { Action, Amount, Ledger, PromiseClient } from "effect-cycles"
 *
 * const client = PromiseClient.make({
 *   layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_500) }] })
 * })
 * const controller = new AbortController()
 *
 * const answer = client.guard(
 *   { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *   async (r, signal) => {
 *     signal.addEventListener("abort", () => console.log("the request is cut off"))
 *     await new Promise((resolve) => setTimeout(resolve, 60_000).unref())
 *     return r.commit(Amount.tokens(420))
 *   },
 *   { signal: controller.signal }
 * )
 * setTimeout(() => controller.abort(new Error("no longer needed")), 10)
 *
 * console.log(await answer.catch((error: unknown) => String(error)))
 * // => the request is cut off
 * // => Error: no longer needed
 * await client.close()
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): PromiseClient => {
  const runtime = ManagedRuntime.make(
    Budget.layer(options.budget).pipe(
      Layer.provideMerge(options.layer),
      Layer.provideMerge(Layer.succeed(Clock.Clock, detachedClock))
    )
  )
  // What is reserved by hand lives in scopes below this one, which ends before the layers do.
  const handles = Scope.makeUnsafe("parallel")
  const liveness = makeLiveness()
  let closing: Promise<void> | undefined
  let exiting = false
  let attached = false

  const shutDown = async (): Promise<void> => {
    detach()
    // An interrupted end leaves the releases to the layer, which bounds how long they may take.
    await Effect.runPromise(Scope.close(handles, Exit.interrupt()))
    await Effect.runPromise(Effect.provideService(runtime.disposeEffect, Clock.Clock, detachedClock))
  }

  const close = (): Promise<void> => {
    if (closing === undefined) {
      liveness.hold()
      closing = shutDown().finally(liveness.drop)
    }
    return closing
  }

  // The script is over. Whoever still waits for a call waits for something that cannot come, and is not told any more.
  const onBeforeExit = (): void => {
    exiting = true
    const deadline = setTimeout(() => {}, EXIT_MS)
    closing ??= shutDown().finally(() => clearTimeout(deadline))
  }
  const attach = (): void => {
    attached = true
    host?.once?.("beforeExit", onBeforeExit)
  }
  const detach = (): void => {
    host?.removeListener?.("beforeExit", onBeforeExit)
  }

  const run = <A, E>(
    effect: Effect.Effect<A, E, Budget.Budget | BudgetAuthority>,
    signal: AbortSignal | undefined
  ): Promise<A> =>
    new Promise((resolve, reject) => {
      if (closing !== undefined) return reject(new ClientClosed())
      const abort = abortOf(signal)
      if (abort?.aborted === true) return reject(abort.reason)
      if (!attached) attach()
      liveness.hold()
      const settle = (exit: Exit.Exit<A, unknown>): void => {
        liveness.drop()
        if (Exit.isSuccess(exit)) return resolve(exit.value)
        if (!Cause.hasInterruptsOnly(exit.cause)) return reject(Cause.squash(exit.cause))
        if (abort?.aborted === true) return reject(abort.reason)
        if (!exiting) return reject(new ClientClosed())
      }
      runtime.runPromiseExit(effect, { signal }).then(settle, reject)
    })

  /** The body is the caller's own work: while it runs, its own handles decide whether the process lives. */
  const work = <S, U extends Unit, A, E>(
    body: (reservation: Reservation.Guarded<S, U>, signal: AbortSignal) => Promise<Settlement<S, U, A, E>>,
    reservation: Reservation.Guarded<S, U>,
    outer: AbortSignal | undefined
  ): Effect.Effect<Settlement<S, U, A, E>, unknown> =>
    Effect.callback((resume) => {
      const controller = new AbortController()
      let running = true
      const ended = (): void => {
        if (running) liveness.hold()
        running = false
      }
      const start = async (): Promise<Settlement<S, U, A, E>> => body(reservation, controller.signal)
      liveness.drop()
      start().then(
        (settlement) => {
          ended()
          resume(Effect.succeed(settlement))
        },
        (error: unknown) => {
          ended()
          resume(Effect.fail(error))
        }
      )
      return Effect.sync(() => {
        ended()
        controller.abort(abortOf(outer)?.reason)
      })
    })

  const asked = <A, E>(
    ask: (authority: BudgetAuthority["Service"]) => Effect.Effect<A, E>
  ): Effect.Effect<A, E, BudgetAuthority> => Effect.flatMap(BudgetAuthority, ask)

  /** A request as `Budget` would send it, for the two operations that take no reservation. */
  const completed = (
    request: Pick<Budget.Request<Unit>, "action" | "subject" | "idempotencyKey">,
    amount: AnyAmount
  ) =>
    Effect.gen(function*() {
      const budget = yield* Budget.Budget
      const { keeper, request: filled } = budget.complete({ ...request, estimate: amount }, yield* Budget.Spender)
      const { action, idempotencyKey, overagePolicy, subject } = Lease.toWire(keeper, filled)
      return { action, idempotencyKey, subject, ...(overagePolicy === undefined ? undefined : { overagePolicy }) }
    })

  const handleOf = <U extends Unit>(reservation: Reservation.Reservation<U>, scope: Scope.Closeable): Handle<U> => {
    const settled = <A, E>(settle: Effect.Effect<A, E>): Promise<A> =>
      run(Effect.tap(settle, () => Scope.close(scope, Exit.void)), undefined)
    return {
      id: reservation.id,
      held: reservation.held,
      decision: reservation.decision,
      caps: reservation.caps,
      reserved: reservation.reserved,
      affectedScopes: reservation.affectedScopes,
      scopePath: reservation.scopePath,
      expiresAtMs: reservation.expiresAtMs,
      get lost() {
        return Reservation.lost(reservation)
      },
      commit: (actual, report) => settled(Reservation.commit(reservation, actual, report)),
      release: () => settled(Reservation.release(reservation)),
      // A client that is closed has given it back, or is about to.
      [Symbol.asyncDispose]: () => closing ?? run(Scope.close(scope, Exit.void), undefined)
    }
  }

  const clientFor = (
    spending: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ): PromiseClient => ({
    guard: (request, body, options) =>
      run(spending(Budget.guard(request, (r) => work(body, r, options?.signal))), options?.signal),
    guardOutcome: (request, body, options) =>
      run(spending(Budget.guardOutcome(request, (r) => work(body, r, options?.signal))), options?.signal),
    reserve: (request, options) =>
      run(
        spending(Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(Scope.fork(handles), (scope) =>
            restore(Scope.provide(Reservation.make(request), scope)).pipe(
              Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
              Effect.map((reservation) => handleOf(reservation, scope))
            ))
        )),
        options?.signal
      ),
    decide: (request, options) =>
      run(
        spending(Effect.flatMap(completed(request, request.estimate), ({ action, idempotencyKey, subject }) =>
          asked((authority) =>
            authority.decide({ ...request, action, idempotencyKey, subject })
          ))),
        options?.signal
      ),
    event: (request, options) =>
      run(
        spending(Effect.flatMap(completed(request, request.actual), (filled) => {
          const { action, idempotencyKey, subject } = filled
          return asked((authority) => authority.event({ ...filled, ...request, action, idempotencyKey, subject }))
        })),
        options?.signal
      ),
    balances: (query, options) => run(asked((authority) => authority.balances(query)), options?.signal),
    reservation: (id, options) => run(asked((authority) => authority.reservation(id)), options?.signal),
    reservations: (query, options) => run(asked((authority) => authority.reservations(query)), options?.signal),
    commit: (id, actual, options) => {
      const request: Types.Mutable<CommitRequest> = { idempotencyKey: IdempotencyKey.make(`commit-${id}`), actual }
      if (options?.metrics !== undefined) request.metrics = options.metrics
      if (options?.metadata !== undefined) request.metadata = options.metadata
      return run(asked((authority) => authority.commit(id, request)), options?.signal)
    },
    release: (id, options) =>
      run(
        asked((authority) =>
          authority.release(id, {
            idempotencyKey: IdempotencyKey.make(`release-${id}`),
            reason: options?.reason ?? "unused"
          })
        ),
        options?.signal
      ),
    within: (spender) => clientFor((effect) => spending(Budget.within(effect, spender))),
    close,
    [Symbol.asyncDispose]: close
  })

  return clientFor((effect) => effect)
}

// ---------------------------------------------------------------------------------------------------------------------
// timers that do not keep a process alive, and what does
// ---------------------------------------------------------------------------------------------------------------------

// What every supported runtime has; declared here so that the core needs no platform's types.
declare const setTimeout: (task: () => void, ms: number) => unknown
declare const clearTimeout: (timer: unknown) => void
declare const AbortController: new() => {
  readonly signal: AbortSignal
  readonly abort: (reason?: unknown) => void
}

/** What is asked of a signal here. Every `AbortSignal` has it, which the empty declaration above cannot say. */
interface Abort {
  readonly aborted: boolean
  readonly reason: unknown
}
const abortOf = (signal: AbortSignal | undefined): Abort | undefined => signal as (AbortSignal & Abort) | undefined

/** Node's way to hear of the end of a script, where there is one. */
const host = (globalThis as {
  readonly process?: {
    readonly once?: (event: "beforeExit", listener: () => void) => unknown
    readonly removeListener?: (event: "beforeExit", listener: () => void) => unknown
  }
}).process

/** How long the end of a script waits for what it forgot to be given back. */
const EXIT_MS = 400

const MAX_TIMER_MS = 2 ** 31 - 1

/** Node's timers can be told whether to keep the process alive. Elsewhere a timer is a number, and nothing does. */
interface Timer {
  readonly ref: () => unknown
  readonly unref: () => unknown
}
const isTimer = (timer: unknown): timer is Timer =>
  typeof timer === "object" && timer !== null && "ref" in timer && "unref" in timer

const unref = (timer: unknown): void => {
  if (isTimer(timer)) timer.unref()
}

/** The clock of the platform, but for its timers: they do not keep the process alive. */
const detachedClock: Clock.Clock = (() => {
  const clock = Clock.Clock.defaultValue()
  const sleep = (ms: number): Effect.Effect<void> => {
    if (ms <= 0) return Effect.yieldNow
    if (!Number.isFinite(ms)) return Effect.never
    return Effect.callback((resume) => {
      const timer = setTimeout(
        () => resume(ms > MAX_TIMER_MS ? sleep(ms - MAX_TIMER_MS) : Effect.void),
        Math.min(ms, MAX_TIMER_MS)
      )
      unref(timer)
      return Effect.sync(() => clearTimeout(timer))
    })
  }
  return {
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
    currentTimeMillis: clock.currentTimeMillis,
    currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
    currentTimeNanos: clock.currentTimeNanos,
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => sleep(Duration.toMillis(duration))
  }
})()

/**
 * Keeps the process alive while a call is under way, which may be waiting for nothing but a timer of the clock above: a retry, say.
 * One timer for the client, attached while anything holds it.
 */
const makeLiveness = (): { readonly hold: () => void; readonly drop: () => void } => {
  let holders = 0
  let timer: unknown
  const wait = (): void => {
    timer = setTimeout(wait, MAX_TIMER_MS)
    if (holders === 0) unref(timer)
  }
  return {
    hold: () => {
      holders++
      if (holders > 1) return
      if (timer === undefined) wait()
      else if (isTimer(timer)) timer.ref()
    },
    drop: () => {
      holders--
      if (holders === 0) unref(timer)
    }
  }
}
