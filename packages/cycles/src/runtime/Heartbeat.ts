/**
 * Keeping a lease alive while the work goes on.
 *
 * Specification: `cycles-protocol-v0.yaml`, operation `extendReservation`, HEARTBEAT GUIDANCE. The next beat is scheduled from
 * the last reply alone, early enough that one failed attempt and one retry still fit before the lease ends. A retry uses the
 * key of the attempt it repeats. Where replies do not say how long the lease still lives, the schedule is that of
 * `HeartbeatFallback`.
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
import * as Fallback from "./HeartbeatFallback.ts"

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
 * What a reply says of the lease: `remaining_ttl_ms` less the round trip that brought it. A round trip that cannot be told, because
 * the clock did not go forward, proves nothing: the lead is zero then.
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
  const rtt = receivedAtMs - sentAtMs
  return rtt >= 0
    ? { floorMs: Math.max(0, remainingTtlMs - rtt), receivedAtMs, maxRttMs: Math.max(maxRttMs, rtt) }
    : { floorMs: 0, receivedAtMs, maxRttMs }
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
  const elapsed = nowMs - lead.receivedAtMs
  const left = elapsed >= 0 ? Math.max(0, lead.floorMs - elapsed) : 0
  const windowMs = Math.floor(left) - Math.ceil(attemptBudget(lead.maxRttMs, timeoutMs)) -
    Math.ceil(safetyMargin(lead.maxRttMs))
  // Written so that a number that is none stops, too.
  if (!(windowMs >= 0)) return undefined
  if (throttle.throttled) {
    const wait = throttle.retryAfterMs
    return wait !== undefined && wait >= 0 && wait <= windowMs ? { delayMs: wait, windowMs } : undefined
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
  /** When the reserve reply was received, in monotonic milliseconds; now when not given. */
  readonly receivedAtMs?: number | undefined
  /** The end of the lease in the reserve reply, by the authority's clock. */
  readonly expiresAtMs?: number | undefined
  /** What the keys of this run begin with. Whoever keeps the same reservation alive elsewhere must use something else. */
  readonly keyPrefix?: (() => string) | undefined
  /** Told after every extension how many there were. */
  readonly onExtended?: ((times: number) => void) | undefined
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
  let measured = Fallback.make(ttlMs, options.expiresAtMs, options.receivedAtMs ?? now())
  let maxRttMs = lead?.maxRttMs ?? 0
  let zeroDelays = 0
  let keyPrefix: string | undefined
  let warned = false
  for (let beat = 1;; beat++) {
    if (lead === undefined) {
      zeroDelays = 0
      yield* Effect.sleep(Duration.millis(Fallback.nextDelay(measured, now())))
    } else {
      const delay = nextDelay(lead, timeoutMs)
      zeroDelays = delay === 0 ? zeroDelays + 1 : 0
      if (zeroDelays === 2) return lost("it is shorter than the time a safe retry needs")
      // Counted from the reply, which may have come some time before this fiber got to run.
      yield* Effect.sleep(Duration.millis(Math.max(0, lead.receivedAtMs + delay - now())))
    }

    keyPrefix ??= options.keyPrefix?.() ?? `extend-${reservationId}`
    const key = IdempotencyKey.make(`${keyPrefix}-${beat}`)
    let lastWindow = Infinity
    for (let retries = 1;; retries++) {
      const sentAt = now()
      const result = yield* attempt(key)
      const receivedAt = now()
      if (Result.isSuccess(result)) {
        const { expiresAtMs, remainingTtlMs } = result.success
        options.onExtended?.(beat)
        maxRttMs = Math.max(maxRttMs, receivedAt - sentAt)
        measured = Fallback.measure(measured, expiresAtMs, receivedAt, maxRttMs)
        lead = remainingTtlMs === undefined ? undefined : observe(remainingTtlMs, sentAt, receivedAt, maxRttMs)
        if (lead === undefined && measured.regime === "maximumLead" && beat > 1 && !warned) {
          warned = true
          yield* Effect.logInfo(
            `The authority seems to hold the lease of reservation ${reservationId} at a maximum and does not say which, so it ` +
              `is extended every ${measured.cadenceMs} ms, which it may allow only a limited number of times.`
          )
        }
        break
      }
      const error = result.failure
      if (error !== "timeout" && !error.isTransient) return lost(error.message, error)
      const trouble = error === "timeout" ? `no answer within ${timeoutMs} ms` : error.message
      const cause = error === "timeout" ? undefined : error
      const throttle = { throttled: cause?._tag === "RateLimited", retryAfterMs: cause?.retryAfterMs }
      let delayMs: number
      if (lead === undefined) {
        const delay = Fallback.retryDelay(measured, retries, throttle)
        if (delay === undefined) return lost(`${trouble}; it was tried ${retries} times`, cause)
        delayMs = delay
      } else {
        const retry = retryDelay(lead, timeoutMs, receivedAt, throttle)
        if (retry === undefined || retry.windowMs >= lastWindow) {
          return lost(`${trouble}; no further attempt fits before it ends`, cause)
        }
        lastWindow = retry.windowMs
        delayMs = retry.delayMs
      }
      yield* Effect.logWarning(
        `A heartbeat of reservation ${reservationId} failed and is tried again in ${delayMs} ms: ${trouble}`
      )
      yield* Effect.sleep(Duration.millis(delayMs))
    }
  }
})
