/**
 * What the owner of a hold knows of it, and the reservation a guarded body is given. Reachable as `Reservation.Details` and
 * `Reservation.Guarded`.
 *
 * @since 0.1.0
 */
import type * as Types from "effect/Types"
import type { Amount, Unit } from "../protocol/Amount.ts"
import type * as Caps from "../protocol/Caps.ts"
import type { Decision } from "../protocol/Decision.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type { Report, Settlement } from "./Settlement.ts"

/**
 * What is known of a hold that was given.
 *
 * - `held`: whether a hold stands behind it; not in the modes `off` and `shadow`, nor where the authority was unreachable and that
 *   was to be open
 * - `decision`: `ALLOW`, or `ALLOW_WITH_CAPS` with `caps`
 * - `reserved`: what is held
 * - `affectedScopes`: every scope of the subject, widest first; `scopePath` is the narrowest
 * - `expiresAtMs`: the end of the first lease, Unix milliseconds by the authority's clock; the heartbeat moves it out
 *
 * @category models
 * @since 0.1.0
 */
export interface Details<out U extends Unit> {
  readonly id: ReservationId
  readonly held: boolean
  readonly decision: Exclude<Decision, "DENY">
  readonly caps: Caps.Caps | undefined
  readonly reserved: Amount<U>
  readonly affectedScopes: ReadonlyArray<string>
  readonly scopePath: string | undefined
  readonly expiresAtMs: number | undefined
}

/**
 * The reservation a guarded body is given. It builds settlements and does nothing else; `S` ties them to this one call.
 *
 * A reusable body names both parameters: `function*<S>(r: Reservation.Guarded<S, "TOKENS">) { … }`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Guarded<in out S, in out U extends Unit> extends Details<U> {
  readonly "~S": Types.Invariant<S>
  /** This much was used. The guarded call succeeds with the value. */
  readonly commit: {
    (actual: Amount<NoInfer<U>>): Settlement<S, U, void>
    <A>(actual: Amount<NoInfer<U>>, value: A, report?: Report): Settlement<S, U, A>
  }
  /** What was used is not known, and the estimate is to stand for it. The commit's metadata says `estimated: true`. */
  readonly commitEstimate: {
    (): Settlement<S, U, void>
    <A>(value: A, report?: Report): Settlement<S, U, A>
  }
  /** Nothing was used. The guarded call succeeds with the value. */
  readonly release: {
    (): Settlement<S, U, void>
    <A>(value: A): Settlement<S, U, A>
  }
  /** This much was used before it went wrong. The guarded call fails with the error. */
  readonly commitFail: <E>(actual: Amount<NoInfer<U>>, error: E, report?: Report) => Settlement<S, U, never, E>
}
