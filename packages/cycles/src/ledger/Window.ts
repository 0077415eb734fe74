/**
 * Stretches of time that limits count in: which one a moment falls into, and until when what happened then counts.
 *
 * Time is cut into periods without gaps or overlaps. A calendar window is one period: the day, week (from Monday) or month of
 * its time zone, 23 or 25 hours long where clocks change. A rolling window is cut into {@link ROLLING_PERIODS} periods, and
 * counts the oldest one whole as long as any of it lies within: what was used is never forgotten too early, and at most one
 * period (a 24th of the window) too late.
 *
 * Pure functions of a window and a time in Unix milliseconds. Windows are checked before they come here (see `Limits`); a time
 * zone that is not known throws.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type { Window } from "./Model.ts"

/**
 * How many periods a rolling window is cut into.
 *
 * @category constants
 * @since 0.1.0
 */
export const ROLLING_PERIODS = 24

/**
 * A piece of time that is counted as one: from `startMs` up to, not including, `endMs`.
 *
 * - `id`: names it among all periods of all windows
 * - `countsUntilMs`: the first moment at which what happened in it counts no more
 *
 * @category models
 * @since 0.1.0
 */
export interface Period {
  readonly id: string
  readonly startMs: number
  readonly endMs: number
  readonly countsUntilMs: number
}

/** How many windows are remembered at most, of each kind. */
const REMEMBERED = 2_000

type Calendar = Window & { readonly _tag: "calendar" }
type Rolling = Window & { readonly _tag: "rolling" }

/**
 * The day, week (from Monday) or month of a time zone, an IANA name such as `Europe/Berlin`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const calendar = (every: Calendar["every"], timeZone: string): Window => ({ _tag: "calendar", every, timeZone })

/**
 * The time just past, for example `Window.rolling("5 hours")`: 1 minute to 366 days.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rolling = (length: Duration.Input): Window => ({ _tag: "rolling", lengthMs: Duration.toMillis(length) })

/**
 * The period a moment falls into.
 *
 * **Example** (A day of 25 hours)
 *
 * ```ts
 * import * as Window from "effect-cycles/ledger/Window"
 *
 * const day = Window.calendar("day", "Europe/Berlin")
 * const { endMs, startMs } = Window.periodAt(day, Date.UTC(2026, 9, 25, 12))
 *
 * console.log((endMs - startMs) / 3_600_000) // => 25
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const periodAt = (window: Window, now: number): Period =>
  window._tag === "calendar" ? calendarAt(window, now) : rollingAt(window, Math.floor(now / pieceOf(window)))

/**
 * The periods that count at a moment, oldest first; the last one is that of the moment itself.
 *
 * @category getters
 * @since 0.1.0
 */
export const periodsAt = (window: Window, now: number): ReadonlyArray<Period> => {
  if (window._tag === "calendar") return [calendarAt(window, now)]
  const piece = pieceOf(window)
  const first = Math.floor((now - window.lengthMs + 1) / piece)
  const last = Math.floor(now / piece)
  const known = rolled.get(window.lengthMs)
  if (known !== undefined && known.first === first && known.last === last) return known.periods
  const periods: Array<Period> = []
  for (let n = first; n <= last; n++) periods.push(rollingAt(window, n))
  if (rolled.size >= REMEMBERED) rolled.clear()
  rolled.set(window.lengthMs, { first, last, periods })
  return periods
}

/**
 * The calendar period before another one.
 *
 * @category getters
 * @since 0.1.0
 */
export const before = (window: Calendar, period: Period): Period => {
  const name = nameOf(window)
  const known = earlier.get(name)
  if (known !== undefined && known.endMs === period.startMs) return known
  return remember(earlier, name, calculate(window, period.startMs - 1))
}

/**
 * Whether two windows cut time alike, so that what one has counted holds for the other.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isSame = (a: Window, b: Window): boolean =>
  a._tag === "calendar"
    ? b._tag === "calendar" && a.every === b.every && a.timeZone === b.timeZone
    : b._tag === "rolling" && a.lengthMs === b.lengthMs

const units = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000], ["second", 1_000], [
  "millisecond",
  1
]] as const

/**
 * A window in words, for example `day in Europe/Berlin` or `rolling 5 hours`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const format = (window: Window): string => {
  if (window._tag === "calendar") return `${window.every} in ${window.timeZone}`
  const [name, ms] = units.find(([, ms]) => window.lengthMs % ms === 0) ?? units[4]
  const n = window.lengthMs / ms
  return `rolling ${n} ${name}${n === 1 ? "" : "s"}`
}

// ---------------------------------------------------------------------------------------------------------------------
// rolling
// ---------------------------------------------------------------------------------------------------------------------

/** The periods that last counted in a window of each length. */
const rolled = new Map<
  number,
  { readonly first: number; readonly last: number; readonly periods: ReadonlyArray<Period> }
>()

const pieceOf = (window: Rolling): number => Math.ceil(window.lengthMs / ROLLING_PERIODS)

const rollingAt = (window: Rolling, n: number): Period => {
  const piece = pieceOf(window)
  const startMs = n * piece
  const endMs = startMs + piece
  return {
    id: `rolling ${window.lengthMs} ${startMs}`,
    startMs,
    endMs,
    // Its last millisecond is the last one to leave the window.
    countsUntilMs: endMs - 1 + window.lengthMs
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// calendar
// ---------------------------------------------------------------------------------------------------------------------

const DAY_MS = 86_400_000

/** The period each kind of window was last asked for, and the one before: nearly every question is about the same again. */
const latest = new Map<string, Period>()
const earlier = new Map<string, Period>()
const remember = (periods: Map<string, Period>, name: string, period: Period): Period => {
  if (periods.size >= REMEMBERED) periods.clear()
  periods.set(name, period)
  return period
}

const nameOf = (window: Calendar): string => `${window.every} ${window.timeZone}`

const calendarAt = (window: Calendar, now: number): Period => {
  const name = nameOf(window)
  const known = latest.get(name)
  return known !== undefined && known.startMs <= now && now < known.endMs
    ? known
    : remember(latest, name, calculate(window, now))
}

/**
 * Boundaries are a function of the calendar alone, and the period is the one between two of them that holds the moment. So
 * there are no gaps and no overlaps, whatever a time zone's clocks do.
 */
const calculate = (window: Calendar, now: number): Period => {
  const { every, timeZone } = window
  const zone = DateTime.zoneMakeNamedUnsafe(timeZone)
  let wall = firstOf(every, now + offsetAt(zone, now))
  let startMs = reached(zone, wall)
  // Where clocks go back over midnight, the new day begins before the old date is last read.
  while (startMs > now) startMs = reached(zone, wall = firstOf(every, wall - 1))
  let endMs = reached(zone, wall = following(every, wall))
  while (endMs <= now) {
    startMs = endMs
    endMs = reached(zone, wall = following(every, wall))
  }
  return { id: `${nameOf(window)} ${startMs}`, startMs, endMs, countsUntilMs: endMs }
}

const offsetAt = (zone: DateTime.TimeZone, at: number): number =>
  DateTime.zonedOffset(DateTime.makeZonedUnsafe(at, { timeZone: zone }))

/** The first midnight of the period a local time is in, both as if they were UTC. */
const firstOf = (every: Calendar["every"], wall: number): number => {
  const date = new Date(wall)
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  switch (every) {
    case "day":
      return Date.UTC(year, month, day)
    case "week":
      return Date.UTC(year, month, day - (date.getUTCDay() + 6) % 7)
    case "month":
      return Date.UTC(year, month)
  }
}

const following = (every: Calendar["every"], wall: number): number => {
  const date = new Date(wall)
  return every === "month"
    ? Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1)
    : wall + (every === "week" ? 7 : 1) * DAY_MS
}

/** The moment the clocks of a zone first show a local midnight, or jump over it. */
const reached = (zone: DateTime.TimeZone, wall: number): number => {
  const before = offsetAt(zone, wall - DAY_MS)
  const after = offsetAt(zone, wall + DAY_MS)
  if (before === after || offsetAt(zone, wall - before) === before) return wall - before
  if (offsetAt(zone, wall - after) === after) return wall - after
  // The clocks jumped over it: at the first moment of the new offset.
  let low = wall - DAY_MS
  let high = wall + DAY_MS
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (offsetAt(zone, middle) === before) low = middle
    else high = middle
  }
  return high
}
