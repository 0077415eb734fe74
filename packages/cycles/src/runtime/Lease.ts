/**
 * The life of one reservation, as both the guarded call and the scoped resource live it: take the hold without losing it,
 * keep it alive, settle it.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import type * as Types from "effect/Types"
import type { Action } from "../protocol/Action.ts"
import type { Amount, AnyAmount, Unit } from "../protocol/Amount.ts"
import type { Operations } from "../protocol/BudgetAuthority.ts"
import type { CommitError, ReserveError } from "../protocol/CyclesError.ts"
import * as Errors from "../protocol/CyclesError.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import { IdempotencyKey } from "../protocol/Ids.ts"
import type { JsonObject } from "../protocol/Metrics.ts"
import type { OveragePolicy } from "../protocol/OveragePolicy.ts"
import type { ReserveReply, ReserveRequest } from "../protocol/Reserve.ts"
import { DEFAULT_GRACE_PERIOD_MS, DEFAULT_TTL_MS } from "../protocol/Reserve.ts"
import type { CommitRequest } from "../protocol/Settle.ts"
import type { Subject } from "../protocol/Subject.ts"
import type { Background, Restore } from "./Background.ts"
import * as Heartbeat from "./Heartbeat.ts"
import type { Details } from "./Hold.ts"
import type { Outcome, Report } from "./Settlement.ts"
import { settledBadly } from "./Settling.ts"
import * as Settling from "./Settling.ts"
import * as Telemetry from "./Telemetry.ts"

/** What a lease needs from the budget it belongs to. */
export interface Keeper {
  readonly authority: Operations
  readonly background: Background
  readonly heartbeatTimeoutMs: number
  readonly newKey: () => IdempotencyKey
  /** Settles through a journal, where there is one. */
  readonly settling: Settling.Settling | undefined
  /** Settles a hold and takes another, with nothing in between; where the authority is in this process and can do that. */
  readonly exchange: Exchange | undefined
}

/** Charges what was used of a hold, or gives it back where nothing was, and takes another in its place: both or neither. */
export type Exchange = (
  held: { readonly id: ReservationId; readonly commit: CommitRequest | undefined },
  next: ReserveRequest
) => Effect.Effect<ReserveReply, ReserveError | CommitError>

/** A request with every default filled in. */
export interface Request {
  readonly idempotencyKey: IdempotencyKey | undefined
  readonly subject: Subject
  readonly action: Action
  readonly estimate: AnyAmount
  readonly ttlMs: number | undefined
  readonly gracePeriodMs: number | undefined
  readonly overagePolicy: OveragePolicy | undefined
  readonly metadata: JsonObject | undefined
  /** Why it is not sent at all, where somebody in this process has decided so. */
  readonly refused?: ReserveError
}

/** A hold that was given. */
export interface Lease {
  readonly id: ReservationId
  readonly request: ReserveRequest
  readonly reply: ReserveReply
  readonly lead: Heartbeat.Lead | undefined
  /** When the reply was received, in monotonic milliseconds. */
  readonly receivedAtMs: number
}

/** What taking a hold can fail with. */
export type AcquireError = ReserveError | Errors.ReservationFinalized

interface Timed {
  readonly reply: ReserveReply
  readonly sentAtMs: number
  readonly receivedAtMs: number
}

/** Absent fields stay absent: they mean the authority's defaults. */
export const toWire = (keeper: Keeper, request: Request): ReserveRequest => {
  const wire: Types.Mutable<ReserveRequest> = {
    idempotencyKey: request.idempotencyKey ?? keeper.newKey(),
    subject: request.subject,
    action: request.action,
    estimate: request.estimate
  }
  if (request.ttlMs !== undefined) wire.ttlMs = request.ttlMs
  if (request.gracePeriodMs !== undefined) wire.gracePeriodMs = request.gracePeriodMs
  if (request.overagePolicy !== undefined) wire.overagePolicy = request.overagePolicy
  if (request.metadata !== undefined) wire.metadata = request.metadata
  return wire
}

/** Waits between repetitions of a request whose outcome is not known, at least as long as the authority asked for. */
const backoff = Schedule.exponential("100 millis").pipe(
  Schedule.jittered,
  Schedule.modifyDelay(({ duration, input }: { readonly duration: Duration.Duration; readonly input: unknown }) => {
    const asked = typeof input === "object" && input !== null && "retryAfter" in input ? input.retryAfter : undefined
    const wait = Duration.min(duration, Duration.seconds(5))
    return Effect.succeed(Duration.isDuration(asked) ? Duration.max(wait, asked) : wait)
  })
)

const SETTLE_RETRIES = 6

/** Repeats an operation, with the same key, while its failure may be of the moment. Costs nothing where it succeeds. */
const persist = <A, E extends { readonly isTransient: boolean; readonly retryAfter: Duration.Duration | undefined }, R>(
  operation: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.catch(operation, (error) =>
    error.isTransient
      ? Effect.retry(
        Effect.delay(operation, Duration.max(Duration.millis(50), error.retryAfter ?? Duration.zero)),
        { schedule: backoff, times: SETTLE_RETRIES, while: (error) => error.isTransient }
      )
      : Effect.fail(error))

/** Whether a failed reserve may have taken a hold after all. */
const isLost = (error: ReserveError): boolean => error._tag === "AuthorityUnavailable" || error._tag === "InternalError"

/**
 * Takes a hold. The request is sent in a fiber of its own: an interrupt of the caller does not abort it, and what it brings back
 * is released. A lost reply is asked for once more with the same key; after that the failure is the caller's, and the hold
 * that may exist is tracked down in the background.
 */
export const acquire = (keeper: Keeper, request: Request, restore: Restore): Effect.Effect<Lease, AcquireError> =>
  Effect.tapError(
    Effect.suspend(() => request.refused === undefined ? ask(keeper, request, restore) : Effect.fail(request.refused)),
    (error) => Errors.isDenied(error) ? Telemetry.denied(request.action, error) : Effect.void
  )

const ask = (keeper: Keeper, request: Request, restore: Restore): Effect.Effect<Lease, AcquireError> =>
  Effect.suspend(() => {
    const wire = toWire(keeper, request)
    const send = timed(keeper.authority.reserve(wire))
    const sent = Effect.catch(send, (error) => isLost(error) ? send : Effect.fail(error))
    const abandoned = (exit: Exit.Exit<Timed, ReserveError>): Effect.Effect<void> => {
      if (Exit.isSuccess(exit)) {
        const id = exit.value.reply.reservationId
        return id === undefined ? Effect.void : release(keeper, id, "abandoned")
      }
      const failure = Exit.findErrorOption(exit)
      return failure._tag === "Some" && isLost(failure.value) ? reclaim(keeper, wire) : Effect.void
    }
    return Effect.matchEffect(keeper.background.run(restore, sent, abandoned), {
      onFailure: (error): Effect.Effect<Lease, AcquireError> =>
        isLost(error)
          ? Effect.andThen(keeper.background.start(reclaim(keeper, wire)), Effect.fail(error))
          : Effect.fail(error),
      onSuccess: (answer) => accept(wire, answer)
    })
  })

/** Takes a hold in the place of another, where the keeper can. Takes no time, and is not to be interrupted. */
export const exchange = (
  keeper: Keeper,
  exchange: Exchange,
  request: Request,
  held: Lease,
  used: { readonly actual: AnyAmount; readonly report: Report } | undefined
): Effect.Effect<Lease, AcquireError | CommitError> =>
  Effect.suspend(() => {
    const wire = toWire(keeper, request)
    const commit = used === undefined ? undefined : commitOf(held, used.actual, used.report)
    return Effect.flatMap(timed(exchange({ id: held.id, commit }, wire)), (answer) => accept(wire, answer))
  })

const timed = <E>(reserve: Effect.Effect<ReserveReply, E>): Effect.Effect<Timed, E> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const sentAtMs = monotonicMs(clock)
    return Effect.map(reserve, (reply) => ({ reply, sentAtMs, receivedAtMs: monotonicMs(clock) }))
  })

const monotonicMs = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000n) / 1_000

/** A live reserve that was answered DENY is the denial its reason names; a hold that has ended already is no hold. */
const accept = (wire: ReserveRequest, { receivedAtMs, reply, sentAtMs }: Timed): Effect.Effect<Lease, AcquireError> => {
  if (reply.decision === "DENY") {
    return Effect.fail(Errors.fromReason(reply.reasonCode ?? "DENY", {
      scope: reply.scopePath ?? reply.affectedScopes[reply.affectedScopes.length - 1] ?? "",
      unit: wire.estimate.unit,
      requested: wire.estimate.amount,
      ...(reply.retryAfterMs === undefined ? undefined : { retryAfterMs: reply.retryAfterMs })
    }))
  }
  const id = reply.reservationId
  if (id === undefined) {
    return Effect.fail(new Errors.InternalError({ reason: "a reserve was allowed but brought no reservation id" }))
  }
  if (reply.remainingTtlMs === 0) {
    return Effect.fail(
      new Errors.ReservationFinalized({
        reason: `the key "${wire.idempotencyKey}" belongs to a reservation that has ended`
      })
    )
  }
  const lead = reply.remainingTtlMs === undefined
    ? undefined
    : Heartbeat.observe(reply.remainingTtlMs, sentAtMs, receivedAtMs, 0)
  return Effect.succeed({ id, request: wire, reply, lead, receivedAtMs })
}

/**
 * Finds out whether a reserve without an answer took a hold, by asking again with its key, and releases it. Gives up when the
 * hold would have ended by itself.
 */
const reclaim = (keeper: Keeper, wire: ReserveRequest): Effect.Effect<void> => {
  const lifetimeMs = (wire.ttlMs ?? DEFAULT_TTL_MS) + (wire.gracePeriodMs ?? DEFAULT_GRACE_PERIOD_MS)
  return Effect.delay(keeper.authority.reserve(wire), "50 millis").pipe(
    Effect.retry({ schedule: backoff, while: (error) => error.isTransient }),
    Effect.flatMap((reply) =>
      reply.reservationId === undefined || reply.remainingTtlMs === 0
        ? Effect.void
        : release(keeper, reply.reservationId, "reply lost")
    ),
    Effect.timeoutOption(lifetimeMs),
    Effect.ignore
  )
}

/**
 * Extends a hold that somebody else took, which proves that it is alive and says how long it still lives. Whoever asks for it has
 * it from then on: an interrupt does not abort the extension, and what it has not found to be over is released.
 */
export const adopt = (
  keeper: Keeper,
  hold: Pick<Lease, "id" | "request" | "reply">,
  restore: Restore
): Effect.Effect<Lease, Errors.ExtendError> =>
  keeper.background.run(restore, extended(keeper, hold), (exit) => {
    const failure = Exit.findErrorOption(exit)
    return failure._tag === "Some" && !failure.value.isTransient ? Effect.void : release(keeper, hold.id, "abandoned")
  })

const extended = (
  keeper: Keeper,
  hold: Pick<Lease, "id" | "request" | "reply">
): Effect.Effect<Lease, Errors.ExtendError> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const extendByMs = hold.request.ttlMs ?? DEFAULT_TTL_MS
    const idempotencyKey = IdempotencyKey.make(`adopt-${keeper.newKey()}`)
    // Timed by the attempt, so that repetitions do not count as a slow network.
    const extend = Effect.suspend(() => {
      const sentAtMs = monotonicMs(clock)
      return Effect.map(keeper.authority.extend(hold.id, { idempotencyKey, extendByMs }), (reply): Lease => {
        const receivedAtMs = monotonicMs(clock)
        return {
          ...hold,
          reply: { ...hold.reply, expiresAtMs: reply.expiresAtMs },
          lead: reply.remainingTtlMs === undefined
            ? undefined
            : Heartbeat.observe(reply.remainingTtlMs, sentAtMs, receivedAtMs, 0),
          receivedAtMs
        }
      })
    })
    return persist(extend)
  })

/** Gives a hold back; whatever hinders it is logged, and the lease ends by itself. */
export const release = (keeper: Keeper, id: ReservationId, reason: string): Effect.Effect<void> =>
  Effect.asVoid(releaseOutcome(keeper, id, reason))

/** Gives a hold back and says what became of it. */
export const releaseOutcome = (keeper: Keeper, id: ReservationId, reason: string): Effect.Effect<Outcome> =>
  Effect.matchEffect(
    persist(keeper.authority.release(id, { idempotencyKey: IdempotencyKey.make(`release-${id}`), reason })),
    {
      onFailure: (error) => settledBadly(id, "release", error),
      onSuccess: ({ released }) => Effect.succeed<Outcome>({ _tag: "Released", released })
    }
  )

/**
 * Charges what was used. With a journal it is durable when this returns, and an interrupt can no longer lose it; what is returned
 * waits for the charge. Where the lease has ended it is charged as an event, under the same key.
 *
 * `stop` ends the heartbeat: as soon as the charge is journaled, else when the authority has answered.
 */
export const commit = (
  keeper: Keeper,
  lease: Lease,
  actual: AnyAmount,
  report: Report | undefined,
  stop: () => void
): Effect.Effect<Effect.Effect<Outcome>> => {
  const request = commitOf(lease, actual, report)
  const direct = Effect.onExit(commitOutcome(keeper, lease, request), () => Effect.sync(stop))
  const { settling } = keeper
  const begun = settling === undefined
    ? Effect.succeed(direct)
    : Effect.map(settling.begin(lease.id, request, lease.request), (journaled) => {
      if (journaled === undefined) return direct
      stop()
      return journaled
    })
  return Telemetry.using(lease.request.action, lease.request.estimate, actual, begun)
}

const commitOf = (lease: Lease, actual: AnyAmount, report: Report | undefined): CommitRequest => {
  const request: Types.Mutable<CommitRequest> = {
    idempotencyKey: IdempotencyKey.make(`commit-${lease.id}`),
    actual
  }
  if (report?.metrics !== undefined) request.metrics = report.metrics
  if (report?.metadata !== undefined) request.metadata = report.metadata
  return request
}

/** Charges what was used, as long as there is hope in this call; without a journal there is nothing after it. */
const commitOutcome = (keeper: Keeper, lease: Lease, request: CommitRequest): Effect.Effect<Outcome> =>
  Effect.matchEffect(persist(keeper.authority.commit(lease.id, request)), {
    onFailure: (error) =>
      error._tag === "ReservationExpired"
        ? eventOutcome(keeper, lease, request)
        : error._tag === "BudgetExceeded" || error._tag === "OverdraftLimitExceeded"
        ? heldOutcome(keeper, lease, request, error)
        : settledBadly(lease.id, "commit", error),
    onSuccess: ({ charged, released }) => Effect.succeed<Outcome>({ _tag: "Committed", charged, released })
  })

/**
 * What was used is more than the overage policy lets through. The hold is what was allowed, so that much is charged: letting it
 * expire would give back money that was spent.
 */
const heldOutcome = (
  keeper: Keeper,
  lease: Lease,
  refused: CommitRequest,
  error: CommitError
): Effect.Effect<Outcome> =>
  Effect.matchEffect(
    persist(keeper.authority.commit(lease.id, Settling.heldOf(lease.id, refused, lease.request.estimate))),
    {
      onFailure: () => settledBadly(lease.id, "commit", error),
      onSuccess: ({ charged }) => settledBadly(lease.id, "commit", error, charged)
    }
  )

const eventOutcome = (keeper: Keeper, lease: Lease, commit: CommitRequest): Effect.Effect<Outcome> =>
  Effect.matchEffect(persist(keeper.authority.event(Settling.eventOf(lease.id, commit, lease.request))), {
    onFailure: (error) => settledBadly(lease.id, "event", error),
    onSuccess: ({ charged }) =>
      Effect.as(Telemetry.recovered("event"), {
        _tag: "RecoveredAsEvent",
        charged: charged ?? commit.actual
      })
  })

/** What a hold's owner may know of it. */
export const detailsOf = <U extends Unit>(lease: Lease, reserved: Amount<U>): Details<U> => ({
  id: lease.id,
  held: true,
  decision: lease.reply.decision === "ALLOW_WITH_CAPS" ? "ALLOW_WITH_CAPS" : "ALLOW",
  caps: lease.reply.caps,
  reserved,
  affectedScopes: lease.reply.affectedScopes,
  scopePath: lease.reply.scopePath,
  expiresAtMs: lease.reply.expiresAtMs
})

/** The heartbeat of a lease: a fiber that ends when it is told to, and a place to look for why it could not go on. */
export interface Beating {
  /** Why the lease was lost, once it was. */
  lost: Heartbeat.LeaseLost | undefined
  /** How often the lease was extended. */
  extensions: number
  readonly fiber: Fiber.Fiber<Heartbeat.LeaseLost>
}

/** Starts the heartbeat. It does nothing before the fiber that started it first waits. */
export const beat = (keeper: Keeper, lease: Lease, policy: Heartbeat.Policy): Effect.Effect<Beating> => {
  let beating: Beating | undefined
  return Effect.map(
    Effect.forkDetach(
      Effect.tap(
        Heartbeat.run({
          authority: keeper.authority,
          reservationId: lease.id,
          ttlMs: lease.request.ttlMs ?? DEFAULT_TTL_MS,
          timeoutMs: keeper.heartbeatTimeoutMs,
          lead: lease.lead,
          receivedAtMs: lease.receivedAtMs,
          expiresAtMs: lease.reply.expiresAtMs,
          keyPrefix: () => `extend-${keeper.newKey()}`,
          onExtended: (times) => {
            if (beating !== undefined) beating.extensions = times
          }
        }),
        (lost) => policy === "warn" ? Effect.logWarning(lost.message) : Effect.void
      )
    ),
    (fiber) => {
      const started: Beating = { lost: undefined, extensions: 0, fiber }
      fiber.addObserver((exit) => {
        if (Exit.isSuccess(exit)) started.lost = exit.value
      })
      beating = started
      return started
    }
  )
}

/** Whether an exit is the caller being interrupted, and nothing else. */
export const wasInterrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
