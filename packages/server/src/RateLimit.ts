/**
 * How often something may happen: a rate for each name, with a burst.
 *
 * Kept as one number a name, the time at which all of its burst is there again (the generic cell rate algorithm). Names whose burst
 * is whole again are forgotten, so that memory is bounded by what happens within one burst.
 *
 * @since 0.1.0
 */

/**
 * What came of asking.
 *
 * - `isAllowed`: whether it may happen now
 * - `remaining`: how often it may happen at once after this
 * - `resetAtMs`: when the whole burst is there again, in Unix milliseconds
 * - `retryAfterMs`: how long to wait until it may happen again; 0 where it may now
 *
 * @category models
 * @since 0.1.0
 */
export interface Verdict {
  readonly isAllowed: boolean
  readonly remaining: number
  readonly resetAtMs: number
  readonly retryAfterMs: number
}

/**
 * A rate: `burst` times at once, and from then on `perMs` as often as time goes by.
 *
 * - `maxNames`: how many names are kept at most; 10,000 when not given. Where more are busy at once, those that were first seen
 *   longest ago are forgotten
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly burst: number
  readonly refillPerSecond: number
  readonly maxNames?: number | undefined
}

/**
 * Counts by name.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimit {
  /** Counts one, where it may happen. */
  readonly take: (name: string, nowMs: number) => Verdict
  /** What `take` would say, without counting. */
  readonly look: (name: string, nowMs: number) => Verdict
  /** How many names are kept. */
  readonly size: () => number
}

/** So often, at most, names whose burst is whole again are looked for. */
const SWEEP_MS = 1_000

/** A sum of intervals is off by less than this. */
const ROUNDING_MS = 1e-3

/**
 * A rate limit that nothing was counted in yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ burst, maxNames = 10_000, refillPerSecond }: Options): RateLimit => {
  const intervalMs = 1_000 / refillPerSecond
  const toleranceMs = burst * intervalMs
  /** When the whole burst of a name is there again. */
  const wholeAt = new Map<string, number>()

  let sweptAtMs = Number.NEGATIVE_INFINITY

  const forget = (nowMs: number): void => {
    // Whoever sends many names must not make each of them go through all of them.
    if (nowMs - sweptAtMs >= SWEEP_MS) {
      sweptAtMs = nowMs
      for (const [name, at] of wholeAt) if (at <= nowMs) wholeAt.delete(name)
    }
    for (const name of wholeAt.keys()) {
      if (wholeAt.size < maxNames) return
      wholeAt.delete(name)
    }
  }

  const ask = (name: string, nowMs: number, counts: boolean): Verdict => {
    const before = Math.max(wholeAt.get(name) ?? nowMs, nowMs)
    const after = before + intervalMs
    const isAllowed = after - nowMs <= toleranceMs + ROUNDING_MS
    if (isAllowed && counts) {
      if (!wholeAt.has(name) && wholeAt.size >= maxNames) forget(nowMs)
      wholeAt.set(name, after)
    }
    const at = isAllowed && counts ? after : before
    return {
      isAllowed,
      remaining: Math.max(0, Math.floor((toleranceMs + ROUNDING_MS - (at - nowMs)) / intervalMs)),
      resetAtMs: at,
      retryAfterMs: isAllowed ? 0 : Math.max(1, Math.ceil(after - nowMs - toleranceMs))
    }
  }

  return {
    take: (name, nowMs) => ask(name, nowMs, true),
    look: (name, nowMs) => ask(name, nowMs, false),
    size: () => wholeAt.size
  }
}
