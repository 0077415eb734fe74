/**
 * How fast a budget is spent, and when that is much faster than before.
 *
 * The last window is compared with the average of the 12 to 23 windows before it: the earlier ones of its dozen, and the dozen
 * before. No row and no scan is needed for it, since a budget's row knows its {@link Pace}.
 *
 * @internal
 */
import type { Details, Pace } from "../Model.ts"

/**
 * When spending is called anomalous.
 *
 * - `windowMs`: how long a window is
 * - `multiplier`: how many times the average of the windows before it one window must see
 * - `minimumShare`: the share of the allocation one window must see at least, so that a quiet budget does not cry wolf
 */
export interface BurnRate {
  readonly windowMs: number
  readonly multiplier: number
  readonly minimumShare: number
}

const DOZEN = 12

/** The pace after a charge. Nothing is carried over from more than a dozen ago. */
export const charge = (pace: Pace | undefined, amount: bigint, now: number, { windowMs }: BurnRate): Pace => {
  const window = Math.floor(now / windowMs)
  if (pace === undefined) return { window, spent: amount, dozen: 0n, dozenBefore: 0n }
  if (pace.window === window) return { ...pace, spent: pace.spent + amount }
  const dozens = Math.floor(window / DOZEN) - Math.floor(pace.window / DOZEN)
  const past = pace.dozen + pace.spent
  if (dozens === 0 && window > pace.window) {
    return { window, spent: amount, dozen: past, dozenBefore: pace.dozenBefore }
  }
  return { window, spent: amount, dozen: 0n, dozenBefore: dozens === 1 ? past : 0n }
}

/** What one window saw on average before the current one; nothing where the dozen before saw nothing. */
const baseline = (pace: Pace): number =>
  pace.dozenBefore === 0n ? 0 : Number(pace.dozenBefore + pace.dozen) / (DOZEN + pace.window % DOZEN)

const isAnomalous = (pace: Pace, allocated: bigint, { minimumShare, multiplier }: BurnRate): boolean => {
  const usual = baseline(pace)
  const spent = Number(pace.spent)
  return usual > 0 && spent >= usual * multiplier && spent >= Number(allocated) * minimumShare
}

/**
 * The details of an anomaly that a charge of `amount` has just begun: once per window, when its spending comes to be too much.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `EventDataBurnRateAnomaly`.
 */
export const anomaly = (
  pace: Pace,
  amount: bigint,
  allocated: bigint,
  left: bigint,
  rate: BurnRate
): Details | undefined => {
  if (pace.dozenBefore === 0n || !isAnomalous(pace, allocated, rate)) return undefined
  if (isAnomalous({ ...pace, spent: pace.spent - amount }, allocated, rate)) return undefined
  const minutes = rate.windowMs / 60_000
  const current = Number(pace.spent) / minutes
  return {
    current_rate: current,
    baseline_rate: baseline(pace) / minutes,
    multiplier: Number(pace.spent) / baseline(pace),
    window_seconds: rate.windowMs / 1_000,
    projected_exhaustion_minutes: left > 0n ? Number(left) / current : 0
  }
}
