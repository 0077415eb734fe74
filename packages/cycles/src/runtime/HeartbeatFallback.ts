/**
 * When to extend a lease whose authority does not say how long it still lives.
 *
 * Specification: `cycles-protocol-v0.yaml`, operation `extendReservation`, HEARTBEAT GUIDANCE, FALLBACK (non-normative). All that
 * is known then is by how much the end of the lease moves from one reply to the next, so this measures it, and guesses how the
 * authority limits extensions. The guess can be wrong: the specification says that no better one exists, and that a beat too
 * many is the better error. Servers that send `remaining_ttl_ms` never get here.
 *
 * **Example** (An authority that grants what is asked for)
 *
 * ```ts
 * import * as HeartbeatFallback from "effect-cycles/runtime/HeartbeatFallback"
 *
 * const reserved = HeartbeatFallback.make(60_000, 1_060_000, 0)
 * console.log(HeartbeatFallback.nextDelay(reserved, 0)) // => 0
 *
 * const extended = HeartbeatFallback.measure(reserved, 1_120_000, 10, 10)
 * console.log(extended.regime, HeartbeatFallback.nextDelay(extended, 10)) // => "normal" 30000
 * console.log(HeartbeatFallback.leadMin(extended, 20_000)) // => 40000
 * ```
 *
 * @since 0.1.0
 */

/**
 * How the authority seems to limit extensions.
 *
 * - `unmeasured`: nothing is known yet
 * - `normal`: it grants what is asked for
 * - `delta`: it grants less each time, so the lease is a smaller one
 * - `maximumLead`: it keeps the end of the lease a fixed time from now, whatever is asked; every beat then uses up one of a limited
 *   number of extensions
 *
 * @category models
 * @since 0.1.0
 */
export type Regime = "unmeasured" | "normal" | "delta" | "maximumLead"

/**
 * By how much an extension moved the end of the lease, and how long after the reply before it that was.
 *
 * @category models
 * @since 0.1.0
 */
export interface Grant {
  readonly grantMs: number
  readonly elapsedMs: number
}

/**
 * What was measured of a lease. Times are monotonic milliseconds, except for `expiresAtMs`, which is the authority's own clock and
 * only ever compared with itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Measured {
  /** What every extension asks for. */
  readonly ttlMs: number
  /** The end of the lease in the last reply; `undefined` where no reply has told it. */
  readonly expiresAtMs: number | undefined
  /** When the reply to the reserve was received. */
  readonly sinceMs: number
  /** When the last reply that counts was received. */
  readonly renewedAtMs: number
  /** By how much all extensions together have moved the end of the lease. */
  readonly grantedMs: number
  /** By how much the last one has, and how long after the one before it. */
  readonly grant: Grant | undefined
  readonly regime: Regime
  /** How long after a reply the next beat is due. */
  readonly cadenceMs: number
}

const MIN_CADENCE_MS = 1_000
const MAX_HELD_CADENCE_MS = 30_000
const NORMAL_GRANT = 0.9
const BAND = 0.25
const AHEAD = 1.5

/**
 * The cadence where grants say nothing: half the ttl, half a minute at most.
 *
 * @category combinators
 * @since 0.1.0
 */
export const heldCadence = (ttlMs: number): number => Math.floor(Math.min(ttlMs / 2, MAX_HELD_CADENCE_MS))

/**
 * Nothing measured: the first extension is due at once, because the lease may be much shorter than what was asked for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (ttlMs: number, expiresAtMs: number | undefined, receivedAtMs: number): Measured => ({
  ttlMs,
  expiresAtMs,
  sinceMs: receivedAtMs,
  renewedAtMs: receivedAtMs,
  grantedMs: 0,
  grant: undefined,
  regime: "unmeasured",
  cadenceMs: 0
})

/**
 * Guesses the regime from a grant, in the light of what was measured before it, and says when to beat next.
 *
 * A grant of nine tenths of the ttl is normal. One that is the same as the one before it, although the time between beats was not, is
 * one of an authority that grants less each time, and stays so while the only reason for another guess is a beat that was
 * skipped. Of the rest, none at all, and one within a quarter of the elapsed time, is what an authority with a maximum lead would
 * grant; what is left is a lease as short as the grant.
 *
 * Both ends of the elapsed time are only known to `toleranceMs`, a round trip. The comparison with the grant before is not in the
 * specification, whose own counterexample (a lease that is taken for one with a maximum lead after a skipped beat) it resolves.
 *
 * @category combinators
 * @since 0.1.0
 */
export const classify = (
  before: Measured,
  { elapsedMs, grantMs }: Grant,
  toleranceMs: number
): Pick<Measured, "regime" | "cadenceMs"> => {
  const { grant, regime, ttlMs } = before
  const cadenceMs = Math.max(MIN_CADENCE_MS, Math.floor(Math.min(grantMs, ttlMs) / 2))
  if (grantMs >= NORMAL_GRANT * ttlMs) return { regime: "normal", cadenceMs }
  const isConstant = grant !== undefined && Math.abs(grantMs - grant.grantMs) <= toleranceMs && (
    Math.abs(elapsedMs - grant.elapsedMs) > 3 * toleranceMs ||
    regime === "delta" && elapsedMs >= AHEAD * before.cadenceMs
  )
  const isEcho = Math.abs(grantMs - elapsedMs) <= Math.max(BAND * elapsedMs, toleranceMs)
  return grantMs > 0 && (isConstant || !isEcho)
    ? { regime: "delta", cadenceMs }
    : { regime: "maximumLead", cadenceMs: heldCadence(ttlMs) }
}

/**
 * Takes the reply to an extension into account.
 *
 * @category combinators
 * @since 0.1.0
 */
export const measure = (
  self: Measured,
  expiresAtMs: number,
  receivedAtMs: number,
  toleranceMs: number
): Measured => {
  if (self.expiresAtMs === undefined) {
    return { ...self, expiresAtMs, renewedAtMs: receivedAtMs, cadenceMs: heldCadence(self.ttlMs) }
  }
  const grant = { grantMs: expiresAtMs - self.expiresAtMs, elapsedMs: Math.max(0, receivedAtMs - self.renewedAtMs) }
  return {
    ...self,
    expiresAtMs,
    renewedAtMs: receivedAtMs,
    grantedMs: self.grantedMs + grant.grantMs,
    grant,
    ...classify(self, grant, toleranceMs)
  }
}

/**
 * How long the lease still lives at the least: what was granted, less the time since the reserve. Negative where grants have not
 * made up for it, which does not mean that the lease has ended.
 *
 * @category combinators
 * @since 0.1.0
 */
export const leadMin = (self: Measured, nowMs: number): number => self.grantedMs - Math.max(0, nowMs - self.sinceMs)

/**
 * How long to wait for the next beat from now: what is left of the cadence, and as many more beats as the lease is ahead. A beat is
 * skipped where `leadMin` is one and a half times the last grant or more, so that the end of the lease does not drift outward.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nextDelay = (self: Measured, nowMs: number): number => {
  const dueMs = self.renewedAtMs + self.cadenceMs
  const grantMs = self.grant?.grantMs ?? 0
  if (grantMs <= 0) return Math.max(0, dueMs - nowMs)
  const surplus = leadMin(self, dueMs) - AHEAD * grantMs
  const skipped = surplus < 0 ? 0 : Math.floor(surplus / self.cadenceMs) + 1
  return Math.max(0, dueMs + skipped * self.cadenceMs - nowMs)
}

/** A beat that failed for the moment is repeated this often. The authority's word on the lease comes before that, as a rule. */
const MAX_RETRIES = 8

/**
 * How long to wait before repeating a failed beat for the `retries`-th time, or nothing when that has been enough: one second, two,
 * four, half the cadence at most. A throttling authority is waited for as long as it asks, unless that is longer than the ttl, and
 * for a cadence where it does not say.
 *
 * @category combinators
 * @since 0.1.0
 */
export const retryDelay = (
  self: Measured,
  retries: number,
  throttle: { readonly throttled: boolean; readonly retryAfterMs?: number | undefined }
): number | undefined => {
  if (retries > MAX_RETRIES) return undefined
  const cadenceMs = self.cadenceMs === 0 ? heldCadence(self.ttlMs) : self.cadenceMs
  if (throttle.throttled) {
    const asked = throttle.retryAfterMs ?? cadenceMs
    return asked >= 0 && asked <= self.ttlMs ? asked : undefined
  }
  const longest = Math.max(MIN_CADENCE_MS, Math.floor(cadenceMs / 2))
  return Math.min(MIN_CADENCE_MS * 2 ** (retries - 1), longest, MAX_HELD_CADENCE_MS)
}
