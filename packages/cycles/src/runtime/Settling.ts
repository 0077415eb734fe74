/**
 * Settlement that survives: what was used is journaled before it is sent, and sent until the authority has given its last word.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Types from "effect/Types"
import type { AnyAmount } from "../protocol/Amount.ts"
import type { Operations } from "../protocol/BudgetAuthority.ts"
import type { CommitError, EventError, ReleaseError } from "../protocol/CyclesError.ts"
import type { EventRequest } from "../protocol/Event.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import { IdempotencyKey } from "../protocol/Ids.ts"
import { Patience } from "../protocol/RequestContext.ts"
import type { ReserveRequest } from "../protocol/Reserve.ts"
import type { CommitRequest } from "../protocol/Settle.ts"
import type { Background } from "./Background.ts"
import type * as Journal from "./Journal.ts"
import type { Outcome } from "./Settlement.ts"
import * as Telemetry from "./Telemetry.ts"

export interface Settling {
  /**
   * Writes down what was used and starts to settle it in the background. To be called where interruption is masked. Returns the
   * wait for the outcome; it ends with `Pending` after a while, and may be given up. `undefined` where the journal failed.
   */
  readonly begin: (
    id: ReservationId,
    commit: CommitRequest,
    reserved: ReserveRequest
  ) => Effect.Effect<Effect.Effect<Outcome> | undefined>
}

type SettleError = CommitError | EventError

/** How one record fares, for those who look at it from outside. */
interface Trial {
  error: SettleError | undefined
}

/** Several records that are settled together: what the authority will say to all of them need not be asked for each. */
interface Run {
  unauthorized: boolean
  /** Whether they were left by an earlier attempt, perhaps of another process. */
  readonly isReplay: boolean
  readonly gate: <A, E>(attempt: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

const BACKOFF_MS = 500
const MAX_BACKOFF_MS = 30_000
/** The longest wait an authority or a record is believed: a mangled one must not park what was spent for days. */
const MAX_FLOOR_MS = 3_600_000
/** Idempotency keys of commits are kept for 30 days. After that a repetition could charge a second time. */
const MAX_AGE_MS = 25 * 86_400_000
const REPLAY_INTERVAL_MS = 300_000
const REPLAY_CONCURRENCY = 8

const monotonicMs = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

/** The event a commit becomes when its lease has ended: under the same key, for all of what was used. */
export const eventOf = (
  id: ReservationId,
  commit: CommitRequest,
  { action, overagePolicy, subject }: Pick<ReserveRequest, "action" | "overagePolicy" | "subject">
): EventRequest => {
  const event: Types.Mutable<EventRequest> = {
    ...commit,
    subject,
    action,
    metadata: {
      ...commit.metadata,
      recovered_reservation_id: id,
      recovery_reason: "commit_after_reservation_expired"
    }
  }
  // The default charges what there is. An overdraft would charge more; a refusal would charge nothing of what was spent.
  if (overagePolicy === "ALLOW_WITH_OVERDRAFT") event.overagePolicy = overagePolicy
  return event
}

/** The commit of a hold, in the place of a larger one that the overage policy refused. */
export const heldOf = (id: ReservationId, refused: CommitRequest, held: AnyAmount): CommitRequest => ({
  ...refused,
  idempotencyKey: heldKey(id),
  actual: held,
  metadata: { ...refused.metadata, refused_actual: refused.actual.amount.toString() }
})

const heldKey = (id: ReservationId): IdempotencyKey => IdempotencyKey.make(`commit-held-${id}`)

/** Never silent: what was used and is not charged is an error in the log, a hold that was not given back a warning. */
export const settledBadly = (
  id: ReservationId,
  operation: "commit" | "release" | "event",
  error: CommitError | ReleaseError | EventError,
  charged?: AnyAmount
): Effect.Effect<Outcome> => {
  const outcome: Outcome = error.isTransient ? { _tag: "Unresolved", error } : { _tag: "Rejected", error, charged }
  const message = `The ${operation} of reservation ${id} ${error.isTransient ? "got no answer" : "was refused"}`
  const log = operation === "release" ? Effect.logWarning(message, error) : Effect.logError(message, error)
  return Effect.as(log, outcome)
}

/**
 * What an answer means for a journaled settlement.
 *
 * - `again`: it may go through later
 * - `keep`: not now, and it is not for this process to say why; the record stays for a later run
 * - `event`: the lease has ended
 * - `hold`: the overage policy does not let through more than the hold
 * - `moot`: it was settled already, or the key was used for something else; sending it again changes nothing
 * - `refused`: understood, and refused for good
 */
type Verdict = "again" | "keep" | "event" | "hold" | "moot" | "refused"

const verdictOf = (mode: Journal.JournalRecord["mode"], error: SettleError): Verdict => {
  if (error.isTransient) return "again"
  switch (error._tag) {
    case "Unauthorized":
    case "Forbidden":
    case "UnknownDenial":
      return "keep"
    case "ReservationFinalized":
    case "IdempotencyMismatch":
      return "moot"
    case "ReservationExpired":
      return "event"
    case "BudgetExceeded":
    case "OverdraftLimitExceeded":
      return mode === "commit" ? "hold" : "refused"
    default:
      return "refused"
  }
}

/**
 * Settles through a journal. Starts with what earlier runs left there, and looks again now and then: another process may have
 * left something since, and what was kept may go through by now. The end of the scope wakes up what waits and gives it
 * `shutdownTimeoutMs` for what it can still do; the rest stays in the journal.
 */
export const make = Effect.fnUntraced(function*(options: {
  readonly authority: Operations
  readonly background: Background
  readonly journal: Journal.Service
  readonly settleTimeoutMs: number
  readonly shutdownTimeoutMs: number
}): Effect.fn.Return<Settling, never, Scope.Scope> {
  const { authority, background, journal, settleTimeoutMs, shutdownTimeoutMs } = options
  const clock = yield* Clock.Clock
  const semaphore = yield* Semaphore.make(REPLAY_CONCURRENCY)
  const closing = yield* Deferred.make<void>()
  let deadlineMs = Infinity
  const active = new Set<ReservationId>()

  /** A journal that fails is reported; what it was told is known here, and what it forgets is sent under the same key. */
  const told = (operation: Effect.Effect<void, Journal.JournalError>): Effect.Effect<void> =>
    Effect.catch(operation, (error) => Effect.logWarning(error.message, error))

  /** Waits before an attempt, and says whether it may be made: not where the scope ends before it could. */
  const wait = (backoffMs: number, floorMs: number): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const now = monotonicMs(clock)
      const floorAt = now + floorMs
      const delayMs = Math.max(backoffMs, floorMs)
      if (deadlineMs !== Infinity) {
        return now + delayMs < deadlineMs ? Effect.as(Effect.sleep(delayMs), true) : Effect.succeed(false)
      }
      if (delayMs === 0) return Effect.succeed(true)
      const woken = Effect.andThen(
        Deferred.await(closing),
        // The last chance is taken at once, unless the authority asked for patience.
        Effect.suspend(() => wait(0, Math.max(0, floorAt - monotonicMs(clock))))
      )
      return Effect.raceFirst(Effect.as(Effect.sleep(delayMs), true), woken)
    })

  const send = (record: Journal.JournalRecord): Effect.Effect<Outcome, SettleError> =>
    record.mode === "commit"
      ? Effect.map(
        authority.commit(record.reservationId, record.commit),
        ({ charged, released }): Outcome => ({ _tag: "Committed", charged, released })
      )
      : Effect.map(
        authority.event(record.event),
        ({ charged }): Outcome => ({ _tag: "RecoveredAsEvent", charged: charged ?? record.event.actual })
      )

  /** Nothing where the authority has said to another record of the run that it does not accept the key. */
  const attempt = (record: Journal.JournalRecord, run: Run): Effect.Effect<Outcome | undefined, SettleError> =>
    run.gate(
      Effect.suspend(() =>
        run.unauthorized ? Effect.undefined : Effect.tapError(
          // A wait the authority asks for is journaled before it begins.
          Effect.provideService(send(record), Patience, "fail"),
          (error) =>
            Effect.sync(() => {
              if (error._tag === "Unauthorized") run.unauthorized = true
            })
        )
      )
    )

  const pending = (trial: Trial): Outcome => ({ _tag: "Pending", error: trial.error })

  const kept = (id: ReservationId, trial: Trial): Effect.Effect<Outcome> =>
    Effect.as(
      Effect.logError(`The settlement of reservation ${id} did not go through and is kept in the journal`, trial.error),
      pending(trial)
    )

  const settle = Effect.fnUntraced(function*(
    first: Journal.JournalRecord,
    held: AnyAmount | undefined,
    trial: Trial,
    run: Run
  ): Effect.fn.Return<Outcome> {
    const id = first.reservationId
    let record = first
    /** The commit that the overage policy refused, while the hold is charged in its place. */
    let refused: SettleError | undefined
    let failures = 0
    let backoffMs = 0
    let floorMs = first.notBeforeMs === undefined ? 0 : first.notBeforeMs - clock.currentTimeMillisUnsafe()
    for (;;) {
      if (!(yield* wait(backoffMs, Math.min(Math.max(0, floorMs), MAX_FLOOR_MS)))) return pending(trial)
      if (clock.currentTimeMillisUnsafe() - record.recordedAtMs > MAX_AGE_MS) {
        yield* Effect.logWarning(
          `The settlement of reservation ${id} is older than 25 days. It is put aside and not sent: the authority may have ` +
            "forgotten its key, and charge it twice. Look the reservation up, and record what is missing as an event."
        )
        yield* told(journal.quarantine(id, "older than 25 days"))
        return pending(trial)
      }
      const exit = yield* Effect.exit(attempt(record, run))
      if (Exit.isSuccess(exit)) {
        if (exit.value === undefined) return pending(trial)
        yield* told(journal.resolve(id))
        if (exit.value._tag === "RecoveredAsEvent") yield* Telemetry.recovered("event")
        else if (run.isReplay) yield* Telemetry.recovered("journal")
        return refused === undefined || exit.value._tag !== "Committed"
          ? exit.value
          : yield* settledBadly(id, "commit", refused, exit.value.charged)
      }
      const failure = Exit.findErrorOption(exit)
      if (failure._tag === "None") {
        yield* Effect.logError(`The settlement of reservation ${id} died and is kept in the journal`, exit.cause)
        return pending(trial)
      }
      const error = failure.value
      trial.error = error
      let verdict = verdictOf(record.mode, error)

      if (verdict === "hold" && record.mode === "commit" && record.commit.idempotencyKey !== heldKey(id)) {
        // After a restart the hold is the authority's to tell.
        const amount = held === undefined
          ? yield* Effect.exit(Effect.map(authority.reservation(id), ({ reserved }) => reserved))
          : Exit.succeed(held)
        if (Exit.isSuccess(amount)) {
          held = amount.value
          refused = error
          record = chargingHold(record, record.commit, held)
          yield* told(journal.append(record))
          backoffMs = floorMs = 0
          continue
        }
        const unread = Exit.findErrorOption(amount)
        if (unread._tag === "Some" && unread.value.isTransient) verdict = "again"
      }
      switch (verdict) {
        case "again": {
          backoffMs = yield* backoffAfter(++failures)
          floorMs = Math.min(error.retryAfterMs ?? 0, MAX_FLOOR_MS)
          if (floorMs > 0) yield* told(journal.defer(id, clock.currentTimeMillisUnsafe() + floorMs))
          continue
        }
        case "event": {
          if (record.mode === "event" || record.event === undefined) return yield* kept(id, trial)
          // Whoever comes next must not ask for the commit again.
          record = chargingEvent(record, record.event)
          yield* told(journal.append(record))
          backoffMs = floorMs = 0
          continue
        }
        case "keep":
          return yield* kept(id, trial)
        case "moot":
          yield* told(journal.resolve(id))
          yield* Effect.logWarning(`The ${record.mode} of reservation ${id} was settled by something else`, error)
          return { _tag: "Rejected", error, charged: undefined }
        default:
          yield* told(journal.resolve(id))
          return yield* settledBadly(id, record.mode, refused ?? error)
      }
    }
  })

  /** Settles one record, unless that is being done already. */
  const start = (
    record: Journal.JournalRecord,
    held: AnyAmount | undefined,
    trial: Trial,
    run: Run
  ): Effect.Effect<Fiber.Fiber<Outcome>> => {
    const id = record.reservationId
    active.add(id)
    return background.fork(Effect.onExit(settle(record, held, trial, run), () =>
      Effect.sync(() => {
        active.delete(id)
      })))
  }

  const replay = Effect.gen(function*() {
    const records = yield* Effect.catch(
      journal.pending,
      (error) => Effect.as(Effect.logWarning(error.message, error), [])
    )
    const left = records.filter(({ reservationId }) => !active.has(reservationId))
    if (left.length === 0) return
    yield* Effect.logInfo(`Settling ${left.length} reservations that were left in the journal`)
    const run: Run = { unauthorized: false, gate: semaphore.withPermit, isReplay: true }
    yield* Effect.forEach(left, (record) => start(record, undefined, { error: undefined }, run), { discard: true })
  })

  yield* Effect.forkScoped(Effect.forever(Effect.andThen(replay, Effect.sleep(REPLAY_INTERVAL_MS))))
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      deadlineMs = monotonicMs(clock) + shutdownTimeoutMs
      return Deferred.succeed(closing, undefined)
    })
  )

  return {
    begin: (id, commit, reserved) =>
      Effect.suspend(() => {
        const record: Journal.JournalRecord = {
          reservationId: id,
          mode: "commit",
          commit,
          event: eventOf(id, commit, reserved),
          recordedAtMs: clock.currentTimeMillisUnsafe(),
          notBeforeMs: undefined
        }
        // Before it is there to be found by a replay.
        active.add(id)
        return Effect.matchEffect(journal.append(record), {
          onFailure: (error) => {
            active.delete(id)
            return Effect.as(
              Effect.logError(`The commit of reservation ${id} is not journaled. ${error.message}`, error),
              undefined
            )
          },
          onSuccess: () => {
            const trial: Trial = { error: undefined }
            return Effect.map(
              start(record, reserved.estimate, trial, {
                unauthorized: false,
                isReplay: false,
                gate: (attempt) => attempt
              }),
              (fiber) =>
                Effect.flatMap(Effect.timeoutOption(Fiber.await(fiber), settleTimeoutMs), (exit) => {
                  if (exit._tag === "Some") {
                    return Effect.succeed(Exit.isSuccess(exit.value) ? exit.value.value : pending(trial))
                  }
                  const message = `The commit of reservation ${id} is journaled and tried further in the background`
                  return Effect.as(Effect.logWarning(message, trial.error), pending(trial))
                })
            )
          }
        })
      })
  }
})

const chargingHold = (
  record: Journal.JournalRecord,
  refused: CommitRequest,
  held: AnyAmount
): Journal.JournalRecord => ({ ...record, mode: "commit", commit: heldOf(record.reservationId, refused, held) })

const chargingEvent = (record: Journal.JournalRecord, event: EventRequest): Journal.JournalRecord => ({
  ...record,
  mode: "event",
  event
})

/** Half a second, doubled with every failure, and a fifth more or less, so that many do not come back in step. */
const backoffAfter = (failures: number): Effect.Effect<number> => {
  const meanMs = Math.min(BACKOFF_MS * 2 ** (failures - 1), MAX_BACKOFF_MS)
  return Effect.map(Random.nextBetween(0.8, 1.2), (factor) => meanMs * factor)
}
