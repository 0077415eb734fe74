/**
 * Keeping a lease alive while the work goes on.
 *
 * Specification: `cycles-protocol-v0.yaml`, operation `extendReservation`, HEARTBEAT GUIDANCE. The next beat is scheduled from
 * the last reply alone, early enough that one failed attempt and one retry still fit before the lease ends. A retry uses the
 * key of the attempt it repeats.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Operations } from "../protocol/BudgetAuthority.ts"
import type { ExtendError } from "../protocol/CyclesError.ts"
import type { ExtendReply } from "../protocol/Extend.ts"
import { IdempotencyKey, ReservationId } from "../protocol/Ids.ts"
import { Patience } from "../protocol/RequestContext.ts"

/**
 * What a lost lease does to the work it covered.
 *
 * - `warn` (default): log a warning; the settlement decides
 * - `failOnSettle`: let the work finish and settle, then fail with {@link LeaseLost}
 * - `interrupt`: interrupt the work and fail with {@link LeaseLost}
 *
 * @category models
 * @since 0.1.0
 */
export type Policy = "warn" | "failOnSettle" | "interrupt"

/**
 * The lease of a reservation could not be kept: its budget may have gone back before the work was done.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>("effect-cycles/LeaseLost")("LeaseLost", {
  reservationId: ReservationId,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  override get message(): string {
    return `The lease of reservation ${this.reservationId} was lost: ${this.reason.replace(/\.$/, "")}. ` +
      "Use a longer ttl, or settle in smaller pieces."
  }
}

const MIN_ATTEMPT_MS = 1_000
const MIN_MARGIN_MS = 1_000
const MAX_RETRY_DELAY_MS = 30_000

/**
 * What is known of a lease: the least that was left of it when the last reply came, and how slow an exchange can be.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lead {
  /** Milliseconds left, at the least, when the last reply was received. */
  readonly floorMs: number
  /** Monotonic milliseconds at which that reply was received. */
  readonly receivedAtMs: number
  /** The longest round trip seen, in milliseconds. */
  readonly maxRttMs: number
}

const attemptBudget = (maxRttMs: number, timeoutMs: number): number => Math.max(timeoutMs, MIN_ATTEMPT_MS, 2 * maxRttMs)
const safetyMargin = (maxRttMs: number): number => Math.max(MIN_MARGIN_MS, 2 * maxRttMs)

/**
 * What a reply says of the lease: `remaining_ttl_ms` less the round trip that brought it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (
  remainingTtlMs: number,
  sentAtMs: number,
  receivedAtMs: number,
  maxRttMs: number
): Lead => {
  const rtt = Math.max(0, receivedAtMs - sentAtMs)
  return { floorMs: Math.max(0, remainingTtlMs - rtt), receivedAtMs, maxRttMs: Math.max(maxRttMs, rtt) }
}

/**
 * How long to wait before the next beat: `lead − (2 × attempt + margin)`, never below zero.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nextDelay = (lead: Lead, timeoutMs: number): number =>
  Math.max(
    0,
    Math.floor(lead.floorMs) - 2 * Math.ceil(attemptBudget(lead.maxRttMs, timeoutMs)) -
      Math.ceil(safetyMargin(lead.maxRttMs))
  )

/**
 * How long to wait before repeating a failed beat, or nothing when no repetition provably fits. `retryAfterMs` is the wait a
 * throttling authority asked for; `throttled` without it means it did not say, and the beat cannot be repeated safely.
 *
 * @category combinators
 * @since 0.1.0
 */
export const retryDelay = (
  lead: Lead,
  timeoutMs: number,
  nowMs: number,
  throttle: { readonly throttled: boolean; readonly retryAfterMs?: number | undefined }
): { readonly delayMs: number; readonly windowMs: number } | undefined => {
  const left = Math.max(0, lead.floorMs - (nowMs - lead.receivedAtMs))
  const windowMs = Math.floor(left - attemptBudget(lead.maxRttMs, timeoutMs) - safetyMargin(lead.maxRttMs))
  if (windowMs < 0) return undefined
  if (throttle.throttled) {
    const wait = throttle.retryAfterMs
    return wait === undefined || wait > windowMs ? undefined : { delayMs: wait, windowMs }
  }
  return { delayMs: Math.floor(Math.min(MAX_RETRY_DELAY_MS, left / 4, windowMs)), windowMs }
}

/**
 * Extends a reservation until it is interrupted or cannot go on, and returns why it could not.
 *
 * @internal
 */
export const run = Effect.fnUntraced(function*(options: {
  readonly authority: Pick<Operations, "extend">
  readonly reservationId: ReservationId
  readonly ttlMs: number
  readonly timeoutMs: number
  /** The lease as the reserve reply described it; absent when the authority does not say how long a lease still lives. */
  readonly lead: Lead | undefined
}): Effect.fn.Return<LeaseLost> {
  const { authority, reservationId, timeoutMs, ttlMs } = options
  const clock = yield* Clock.Clock
  const now = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000n) / 1_000
  const lost = (reason: string, cause?: unknown): LeaseLost =>
    new LeaseLost({ reservationId, reason, ...(cause === undefined ? undefined : { cause }) })

  const attempt = (key: IdempotencyKey): Effect.Effect<Result.Result<ExtendReply, ExtendError | "timeout">> =>
    authority.extend(reservationId, { idempotencyKey: key, extendByMs: ttlMs }).pipe(
      // Whether there is room for a wait is known here.
      Effect.provideService(Patience, "fail"),
      Effect.timeoutOption(timeoutMs),
      Effect.map((reply) => Option.isNone(reply) ? Result.fail("timeout" as const) : Result.succeed(reply.value)),
      Effect.catch((error) => Effect.succeed(Result.fail(error)))
    )

  let lead = options.lead
  let zeroDelays = 0
  for (let beat = 1;; beat++) {
    const delay = lead === undefined ? Math.min(ttlMs / 2, MAX_RETRY_DELAY_MS) : nextDelay(lead, timeoutMs)
    zeroDelays = delay === 0 ? zeroDelays + 1 : 0
    if (zeroDelays === 2) return lost("it is shorter than the time a safe retry needs")
    yield* Effect.sleep(Duration.millis(delay))

    const key = IdempotencyKey.make(`extend-${reservationId}-${beat}`)
    const firstSentAt = now()
    let lastWindow = Infinity
    for (;;) {
      const sentAt = now()
      const result = yield* attempt(key)
      if (Result.isSuccess(result)) {
        const remainingTtlMs = result.success.remainingTtlMs
        lead = remainingTtlMs === undefined ? undefined : observe(remainingTtlMs, sentAt, now(), lead?.maxRttMs ?? 0)
        break
      }
      const error = result.failure
      if (error !== "timeout" && !error.isTransient) return lost(error.message, error)
      const trouble = error === "timeout" ? `no answer within ${timeoutMs} ms` : error.message
      // Without word of the lease nothing can be proved; the lease is then at least as long as the wait since the last beat.
      const known: Lead = lead ?? { floorMs: ttlMs - delay, receivedAtMs: firstSentAt, maxRttMs: 0 }
      const retry = retryDelay(known, timeoutMs, now(), {
        throttled: error !== "timeout" && error._tag === "RateLimited",
        retryAfterMs: error === "timeout" ? undefined : error.retryAfterMs
      })
      if (retry === undefined || retry.windowMs >= lastWindow) {
        return lost(`${trouble}; no further attempt fits before it ends`, error === "timeout" ? undefined : error)
      }
      lastWindow = retry.windowMs
      yield* Effect.logWarning(
        `A heartbeat of reservation ${reservationId} failed and is tried again in ${retry.delayMs} ms: ${trouble}`
      )
      yield* Effect.sleep(Duration.millis(retry.delayMs))
    }
  }
})
