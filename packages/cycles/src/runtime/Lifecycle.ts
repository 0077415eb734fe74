/**
 * One guarded piece of work from its request to its end: reserve as the mode says, run the work under a heartbeat, settle as the
 * end demands.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import type { Amount, AnyAmount, Unit } from "../protocol/Amount.ts"
import type { ToolNotAllowed } from "../protocol/Caps.ts"
import * as Caps from "../protocol/Caps.ts"
import type { CommitError, ReserveError } from "../protocol/CyclesError.ts"
import { isDenied } from "../protocol/CyclesError.ts"
import { ReservationId } from "../protocol/Ids.ts"
import type { ReserveReply } from "../protocol/Reserve.ts"
import type { Restore } from "./Background.ts"
import type { LeaseLost, Policy } from "./Heartbeat.ts"
import type { Details, Guarded } from "./Hold.ts"
import * as Lease from "./Lease.ts"
import type { Mode, OnUnavailable } from "./Mode.ts"
import type { Outcome, Report, Settlement } from "./Settlement.ts"
import * as Settlements from "./Settlement.ts"
import * as Telemetry from "./Telemetry.ts"

/** The reservation the current fiber works under. */
export const Current: Context.Reference<Details<Unit> | undefined> = Context.Reference<Details<Unit> | undefined>(
  "effect-cycles/runtime/Lifecycle/Current",
  { defaultValue: () => undefined }
)

/** A piece of work with every default filled in. */
export interface Task<U extends Unit> {
  readonly keeper: Lease.Keeper
  readonly request: Lease.Request
  readonly estimate: Amount<U>
  readonly mode: Mode
  readonly onUnavailable: OnUnavailable
  readonly heartbeat: Policy
  readonly enforceCaps: boolean
}

/** What an end means for the reservation. */
export type Verdict =
  | { readonly _tag: "Commit"; readonly actual: AnyAmount; readonly report: Report | undefined }
  | { readonly _tag: "Release"; readonly reason: string }

/** The hold a piece of work stands on. It can be renewed while the work goes on. */
export interface Tenure {
  lease: Lease.Lease
  beating: Lease.Beating
  /** Since when, in monotonic nanoseconds. */
  since: bigint
  /** Why a hold before this one was lost, if one was. */
  lostBefore: LeaseLost | undefined
}

/** How a piece of work ended. What became of its settlement is not waited for where the work was interrupted. */
export interface Ended<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly outcome: Outcome | undefined
}

/**
 * Runs `work` under a reservation and settles it by `verdict`. Fails only where the work may not begin. There is no tenure where
 * there is no hold.
 */
export const run = <U extends Unit, A, E, R>(
  task: Task<U>,
  work: (reservation: Guarded<unknown, U>, tenure: Tenure | undefined) => Effect.Effect<A, E, R>,
  verdict: (exit: Exit.Exit<A, E | LeaseLost>, reservation: Guarded<unknown, U>) => Verdict
): Effect.Effect<Ended<A, E | LeaseLost>, Lease.AcquireError | ToolNotAllowed, R> =>
  Effect.uninterruptibleMask((restore) => {
    if (task.mode === "off") return unguarded(task, restore, work, "off", undefined)
    if (task.mode === "shadow") {
      return Effect.flatMap(rehearse(task, restore), (reply) => unguarded(task, restore, work, "shadow", reply))
    }
    return Effect.matchEffect(Lease.acquire(task.keeper, task.request, restore), {
      onFailure: (error): Effect.Effect<Ended<A, E>, Lease.AcquireError, R> =>
        error._tag === "AuthorityUnavailable" && task.onUnavailable === "open"
          ? Effect.andThen(
            Effect.andThen(
              Effect.logWarning("The authority is unavailable; the work goes on without a budget", error),
              Telemetry.ranUnguarded(task.request.action)
            ),
            unguarded(task, restore, work, "unavailable", undefined)
          )
          : Effect.fail(error),
      onSuccess: (lease) => underLease(task, lease, restore, work, verdict)
    })
  })

const underLease = <U extends Unit, A, E, R>(
  task: Task<U>,
  lease: Lease.Lease,
  restore: Restore,
  work: (reservation: Guarded<unknown, U>, tenure: Tenure) => Effect.Effect<A, E, R>,
  verdict: (exit: Exit.Exit<A, E | LeaseLost>, reservation: Guarded<unknown, U>) => Verdict
): Effect.Effect<Ended<A, E | LeaseLost>, ToolNotAllowed, R> =>
  Effect.withFiber((fiber) => {
    const { heartbeat, keeper } = task
    const { action } = lease.request
    if (task.enforceCaps && !Caps.isToolAllowed(lease.reply.caps, action.name)) {
      return Effect.andThen(
        keeper.background.run(restore, Lease.release(keeper, lease.id, "tool not allowed")),
        Effect.fail(new Caps.ToolNotAllowed({ tool: action.name }))
      )
    }
    const clock = fiber.getRef(Clock.Clock)
    const since = clock.monotonicTimeNanosUnsafe()
    return Effect.flatMap(Lease.beat(keeper, lease, heartbeat), (beating) => {
      const tenure: Tenure = { lease, beating, since, lostBefore: undefined }
      const reservation = guarded(Lease.detailsOf(lease, task.estimate))
      const span = Telemetry.spanOf(fiber)
      if (span !== undefined) Telemetry.given(span, reservation)
      let begun = false
      const running = inside(task, reservation, (reservation: Guarded<unknown, U>) => {
        begun = true
        return work(reservation, tenure)
      })
      // Work that was interrupted before it began has cost nothing, whatever is charged for one that was cut short.
      const verdictOf = (exit: Exit.Exit<A, E | LeaseLost>): Verdict =>
        begun ? verdict(exit, reservation) : { _tag: "Release", reason: "interrupted" }
      return Effect.flatMap(
        Effect.exit(restore(heartbeat === "interrupt" ? orLost(running, tenure) : running)),
        (exit) => {
          const ending = settle(
            keeper,
            tenure,
            heartbeat,
            exit,
            () => verdictOf(exit),
            elapsedMs(clock, tenure),
            restore
          )
          return span === undefined ? ending : Effect.map(ending, (ended) => {
            if (ended.outcome !== undefined) Telemetry.ended(span, ended.outcome)
            return ended
          })
        }
      )
    })
  })

/** What the body finds around itself: its reservation, and what is logged of it. */
const inside = <U extends Unit, A, E, R>(
  { request }: Task<U>,
  reservation: Guarded<unknown, U>,
  work: (reservation: Guarded<unknown, U>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.updateContext(
    Effect.suspend(() => work(reservation)),
    (context: Context.Context<R>) =>
      Telemetry.annotated(Context.add(context, Current, reservation), request.action, reservation)
  )

const elapsedMs = (clock: Clock.Clock, { since }: Tenure): number =>
  Number((clock.monotonicTimeNanosUnsafe() - since) / 1_000_000n)

const orLost = <A, E, R>(work: Effect.Effect<A, E, R>, tenure: Tenure): Effect.Effect<A, E | LeaseLost, R> =>
  Effect.raceFirst(work, lossOf(tenure))

/** Fails when the lease is lost; the end of a heartbeat whose hold was renewed is no loss. */
const lossOf = (tenure: Tenure): Effect.Effect<never, LeaseLost> =>
  Effect.suspend(() => {
    const { fiber } = tenure.beating
    return Effect.flatMap(
      Fiber.await(fiber),
      (exit) => tenure.beating.fiber === fiber ? Effect.flatMap(exit, Effect.fail) : lossOf(tenure)
    )
  })

/**
 * Takes another hold, and settles the one the work stands on by what it cost. Fails where the other is not given, and then nothing
 * has changed. To be called where interruption is masked, with the mask's `restore`; an interrupt while the other is asked for is
 * such a failure, and what it brings is released.
 *
 * What is returned waits for the settlement, which goes on in the background.
 */
export const renew = <U extends Unit>(
  task: Task<U>,
  tenure: Tenure,
  estimate: AnyAmount,
  verdict: Verdict,
  restore: Restore
): Effect.Effect<Effect.Effect<void>, Lease.AcquireError | CommitError> =>
  Effect.withFiber((fiber) => {
    const { heartbeat, keeper } = task
    const { beating, lease } = tenure
    const clock = fiber.getRef(Clock.Clock)
    const request: Lease.Request = {
      ...task.request,
      // The key of the request is that of its first hold.
      idempotencyKey: undefined,
      estimate,
      metadata: { ...task.request.metadata, renews: lease.id }
    }
    const stop = (): void => beating.fiber.interruptUnsafe()
    const exchange = keeper.exchange
    const taken: Effect.Effect<Lease.Lease, Lease.AcquireError | CommitError> = exchange === undefined
      ? Lease.acquire(keeper, request, restore)
      : Lease.exchange(keeper, exchange, request, lease, usedOf(verdict, elapsedMs(clock, tenure)))
    return Effect.flatMap(taken, (next) =>
      Effect.flatMap(Lease.beat(keeper, next, heartbeat), (nextBeating) => {
        const latencyMs = elapsedMs(clock, tenure)
        tenure.lease = next
        tenure.beating = nextBeating
        tenure.since = clock.monotonicTimeNanosUnsafe()
        tenure.lostBefore ??= beating.lost
        const span = Telemetry.spanOf(fiber)
        if (span !== undefined) Telemetry.renewed(span, clock, next.id)
        if (exchange !== undefined || verdict._tag === "Release") stop()
        return exchange !== undefined ? Effect.succeed(Effect.void) : Effect.map(
          Effect.flatMap(begin(keeper, lease, verdict, latencyMs, stop), keeper.background.fork),
          (settling) => Effect.asVoid(Fiber.await(settling))
        )
      }))
  })

const settle = <A, E>(
  keeper: Lease.Keeper,
  tenure: Tenure,
  policy: Policy,
  exit: Exit.Exit<A, E>,
  verdictOf: () => Verdict,
  latencyMs: number,
  restore: Restore
): Effect.Effect<Ended<A, E | LeaseLost>> => {
  const { beating, lease } = tenure
  const stop = (): void => beating.fiber.interruptUnsafe()
  let verdict: Verdict
  let ended: Exit.Exit<A, E | LeaseLost> = exit
  try {
    verdict = verdictOf()
  } catch (defect) {
    // What was used cannot be said; the hold goes back and the defect is the caller's.
    verdict = { _tag: "Release", reason: "not settled" }
    ended = Exit.die(defect)
  }
  // A hold that is given back needs no lease; one that is committed keeps it until the authority has answered.
  if (verdict._tag === "Release") stop()
  return Effect.flatMap(
    begin(keeper, lease, verdict, latencyMs, stop),
    (settled): Effect.Effect<Ended<A, E | LeaseLost>> =>
      Lease.wasInterrupted(exit)
        ? Effect.as(keeper.background.start(settled), { exit: ended, outcome: undefined })
        : Effect.map(keeper.background.run(restore, settled), (outcome) => {
          const lost = policy === "failOnSettle" ? tenure.lostBefore ?? beating.lost : undefined
          return { exit: lost !== undefined && Exit.isSuccess(ended) ? Exit.fail(lost) : ended, outcome }
        })
  )
}

/**
 * What must not be lost is kept when this returns, and what it returns carries the verdict out. Latency is known here, so it is
 * reported, unless the body measured it better.
 */
const begin = (
  keeper: Lease.Keeper,
  lease: Lease.Lease,
  verdict: Verdict,
  latencyMs: number,
  stop: () => void
): Effect.Effect<Effect.Effect<Outcome>> => {
  if (verdict._tag === "Release") return Effect.succeed(Lease.releaseOutcome(keeper, lease.id, verdict.reason))
  return Lease.commit(keeper, lease, verdict.actual, reportOf(verdict.report, latencyMs), stop)
}

const reportOf = (report: Report | undefined, latencyMs: number): Report => ({
  metrics: report?.metrics === undefined ? { latencyMs } : { latencyMs, ...report.metrics },
  metadata: report?.metadata
})

const usedOf = (verdict: Verdict, latencyMs: number) =>
  verdict._tag === "Release"
    ? undefined
    : { actual: verdict.actual, report: reportOf(verdict.report, latencyMs) }

// ---------------------------------------------------------------------------------------------------------------------
// without a hold
// ---------------------------------------------------------------------------------------------------------------------

/** Asks what a reserve would be answered, logs and counts it. Whatever happens, the work goes on. */
const rehearse = <U extends Unit>(task: Task<U>, restore: Restore): Effect.Effect<ReserveReply | undefined> => {
  const { keeper, request } = task
  const counted = (decision: string, reason: string): Effect.Effect<void> =>
    Effect.andThen(
      Telemetry.rehearsed(request.action, decision, reason),
      decision === "ALLOW"
        ? Effect.void
        : Effect.logWarning(
          `Shadow: ${request.action.kind} ${request.action.name} would have been ${decision} (${reason})`
        )
    )
  return restore(Effect.matchEffect(keeper.authority.reserve({ ...Lease.toWire(keeper, request), dryRun: true }), {
    onFailure: (error: ReserveError) => Effect.as(counted(isDenied(error) ? "DENY" : "ERROR", error._tag), undefined),
    onSuccess: (reply) => Effect.as(counted(reply.decision, reply.reasonCode ?? "none"), reply)
  }))
}

const unguarded = <U extends Unit, A, E, R>(
  task: Task<U>,
  restore: Restore,
  work: (reservation: Guarded<unknown, U>, tenure: undefined) => Effect.Effect<A, E, R>,
  because: "off" | "shadow" | "unavailable",
  reply: ReserveReply | undefined
): Effect.Effect<Ended<A, E>, never, R> => {
  const reservation = guarded<U>({
    id: ReservationId.make(`none-${task.keeper.newKey()}`),
    held: false,
    decision: reply?.decision === "ALLOW_WITH_CAPS" ? "ALLOW_WITH_CAPS" : "ALLOW",
    caps: reply?.caps,
    reserved: task.estimate,
    affectedScopes: reply?.affectedScopes ?? [],
    scopePath: reply?.scopePath,
    expiresAtMs: undefined
  })
  return Effect.withFiber((fiber) => {
    const span = Telemetry.spanOf(fiber)
    if (span !== undefined) {
      Telemetry.given(span, reservation)
      span.attribute("cycles.outcome", "Unguarded")
    }
    return Effect.map(
      Effect.exit(restore(inside(task, reservation, (reservation) => work(reservation, undefined)))),
      (exit) => ({ exit, outcome: { _tag: "Unguarded", because } })
    )
  })
}

/**
 * The reservation a body is given. The settlements know it by identity, so that one of another reservation is found out at run
 * time too, where the types were not asked. One literal and no spread: it is made for every guarded call.
 */
const guarded = <U extends Unit>(details: Details<U>): Guarded<unknown, U> => {
  const reservation: Guarded<unknown, U> = {
    id: details.id,
    held: details.held,
    decision: details.decision,
    caps: details.caps,
    reserved: details.reserved,
    affectedScopes: details.affectedScopes,
    scopePath: details.scopePath,
    expiresAtMs: details.expiresAtMs,
    "~S": identity,
    commit: <A>(actual: Amount<U>, value?: A, report?: Report): Settlement<unknown, U, A> =>
      Settlements.make({ _tag: "Commit", of: reservation, actual: Settlements.widen(actual), report, value }),
    commitEstimate: <A>(value?: A, report?: Report): Settlement<unknown, U, A> =>
      Settlements.make({
        _tag: "Commit",
        of: reservation,
        actual: Settlements.widen(details.reserved),
        report: { ...report, metadata: { ...report?.metadata, estimated: true } },
        value
      }),
    release: <A>(value?: A): Settlement<unknown, U, A> => Settlements.make({ _tag: "Release", of: reservation, value }),
    commitFail: (actual, error, report) =>
      Settlements.make({ _tag: "CommitFail", of: reservation, actual: Settlements.widen(actual), report, error })
  }
  return reservation
}
