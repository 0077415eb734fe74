/**
 * Limits: how much of a budget may be taken within a window of time. What a limit has seen is counted per period of its window,
 * so a window that ends needs nobody to reset it.
 *
 * A hold counts in the period it was taken in, and so does its settlement, whenever that is. Limits gate what is asked for, not
 * what has happened: a charge above the estimate is counted, even beyond the limit, and an event is refused by a limit only
 * under the overage policy REJECT.
 *
 * @internal
 */
import * as Result from "effect/Result"
import type { Unit } from "../../protocol/Amount.ts"
import { format, MAX_INT64 } from "../../protocol/Amount.ts"
import type { BudgetRow, CounterRow, Limit, ReservationRow } from "../Model.ts"
import type { Refusal } from "../Refusal.ts"
import type { Missing, View } from "../View.ts"
import * as Window from "../Window.ts"
import type { LimitState } from "./Command.ts"

const MARGIN_MS = 4 * 86_400_000

const none: ReadonlyArray<never> = []
const nothing = Result.succeed(none)

type Named = Pick<BudgetRow, "tenant" | "scope" | "unit">

const idOf = (row: Named, limit: Limit, period: Window.Period): string =>
  `limit ${row.scope} ${row.unit} ${limit.id} ${period.id}`

// ---------------------------------------------------------------------------------------------------------------------
// what to load
// ---------------------------------------------------------------------------------------------------------------------

/** Asks for the counters that some limits of a budget need at a time. */
export const want = (row: Named, limits: ReadonlyArray<Limit>, now: number, missing: Missing): void => {
  for (const limit of limits) {
    const periods = Window.periodsAt(limit.window, now)
    for (const period of periods) missing.counter(row.tenant, idOf(row, limit, period))
    if (limit.window._tag === "calendar" && limit.rollover !== undefined) {
      missing.counter(row.tenant, idOf(row, limit, Window.before(limit.window, Window.periodAt(limit.window, now))))
    }
  }
}

/** Asks for the counters of the budgets a path takes from, as far as these are known yet. */
export const wantAll = (
  view: View,
  scopes: ReadonlyArray<string>,
  unit: Unit,
  now: number,
  missing: Missing
): void => {
  for (const scope of scopes) {
    const row = view.budget(scope, unit)
    if (row !== undefined && row.limits.length > 0) want(row, row.limits, now, missing)
  }
}

/** Asks for the counters a hold counts in. */
export const wantHeld = (row: ReservationRow, missing: Missing): void => {
  for (const id of row.windows) missing.counter(row.tenant, id)
}

// ---------------------------------------------------------------------------------------------------------------------
// what a limit has seen
// ---------------------------------------------------------------------------------------------------------------------

const min = (a: bigint, b: bigint): bigint => a < b ? a : b
const atLeastZero = (n: bigint): bigint => n > 0n ? n : 0n

/** What of a period's own amount goes on to the next. What had been carried over into it is used first, and ends with it. */
const unused = (limit: Limit, counter: CounterRow | undefined): bigint => {
  const over = counter === undefined ? 0n : atLeastZero(counter.used + counter.held - counter.carried)
  return min(limit.rollover ?? 0n, atLeastZero(limit.amount - over))
}

/** The counter of a period, or the one it begins with. */
const counterOf = (view: View, row: BudgetRow, limit: Limit, period: Window.Period): CounterRow => {
  const id = idOf(row, limit, period)
  const { window } = limit
  const counter = view.counter(row.tenant, id)
  if (counter !== undefined) return counter
  const carries = window._tag === "calendar" && limit.rollover !== undefined
  return {
    tenant: row.tenant,
    id,
    used: 0n,
    held: 0n,
    carried: carries
      ? unused(limit, view.counter(row.tenant, idOf(row, limit, Window.before(window, period))))
      : 0n,
    keepUntilMs: keepUntil(limit, period)
  }
}

/**
 * A period matters as long as it counts, and a calendar's also for what the next one begins with. The margin is for months that
 * are longer than the one before, and for clocks.
 */
const keepUntil = ({ window }: Limit, { countsUntilMs, endMs, startMs }: Window.Period): number =>
  countsUntilMs + (window._tag === "calendar" ? endMs - startMs : 0) + MARGIN_MS

interface Seen {
  readonly used: bigint
  readonly held: bigint
  readonly carried: bigint
  readonly remaining: bigint
  /** Each period that counts with what it has seen, oldest first. */
  readonly periods: ReadonlyArray<{ readonly period: Window.Period; readonly counter: CounterRow }>
}

const see = (view: View, row: BudgetRow, limit: Limit, now: number): Seen => {
  const periods = Window.periodsAt(limit.window, now).map((period) => ({
    period,
    counter: counterOf(view, row, limit, period)
  }))
  let [used, held, carried] = [0n, 0n, 0n]
  for (const { counter } of periods) {
    used += counter.used
    held += counter.held
    carried += counter.carried
  }
  return { used, held, carried, remaining: limit.amount + carried - used - held, periods }
}

/** When an amount that does not fit now will, if nothing else happens; nothing where waiting cannot help. */
const reopensAt = (limit: Limit, seen: Seen, requested: bigint): number | undefined => {
  if (limit.window._tag === "calendar") {
    const last = seen.periods[seen.periods.length - 1]
    return last !== undefined && requested <= limit.amount + unused(limit, last.counter)
      ? last.period.endMs
      : undefined
  }
  if (requested > limit.amount) return undefined
  let left = seen.remaining
  for (const { counter, period } of seen.periods) {
    left += counter.used + counter.held
    if (left >= requested) return period.countsUntilMs
  }
  return undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// admission
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Why the limits of a budget do not let an amount be taken. Where several do not, the one that reopens last speaks: before it
 * does, asking again is in vain.
 */
export const refuses = (view: View, row: BudgetRow, requested: bigint, now: number): Refusal | undefined => {
  let worst: { readonly limit: Limit; readonly remaining: bigint; readonly at: number | undefined } | undefined
  for (const limit of row.limits) {
    const seen = see(view, row, limit, now)
    if (seen.remaining >= requested) continue
    const at = reopensAt(limit, seen, requested)
    if (worst === undefined || (at ?? Infinity) > (worst.at ?? Infinity)) {
      worst = { limit, remaining: seen.remaining, at }
    }
  }
  if (worst === undefined) return undefined
  const { at, limit, remaining } = worst
  const { scope, unit } = row
  const window = Window.format(limit.window)
  const suggestion = suggest(row, limit, remaining, at)
  return {
    code: "BUDGET_EXCEEDED",
    scope,
    unit,
    requested,
    remaining,
    reason: `the limit "${limit.id}" allows ${format({ unit, amount: limit.amount })} per ${window}`,
    ...(at === undefined
      ? { details: { limit_id: limit.id, window, suggestion } }
      : { retryAfterMs: at - now, details: { limit_id: limit.id, window, reopens_at_ms: at, suggestion } })
  }
}

const suggest = (row: BudgetRow, limit: Limit, remaining: bigint, at: number | undefined): string => {
  const raise = `raise the limit "${limit.id}" of ${row.scope}`
  if (at === undefined) return `Ask for less at once, or ${raise}; waiting does not help`
  const wait = `Wait until ${new Date(at).toISOString()}`
  return remaining > 0n
    ? `${wait}, ask for ${format({ unit: row.unit, amount: remaining })} or less, or ${raise}`
    : `${wait}, or ${raise}`
}

/** The counters of some budgets with a hold on them; the reservation remembers their ids. */
export const hold = (
  view: View,
  rows: ReadonlyArray<BudgetRow>,
  estimate: bigint,
  now: number
): ReadonlyArray<CounterRow> =>
  rows.every(isUnlimited)
    ? none
    : current(view, rows, now).map((counter) => ({ ...counter, held: counter.held + estimate }))

const isUnlimited = (row: BudgetRow): boolean => row.limits.length === 0

/** The counters that what is taken now counts in. */
const current = (view: View, rows: ReadonlyArray<BudgetRow>, now: number): Array<CounterRow> => {
  const counters: Array<CounterRow> = []
  for (const row of rows) {
    for (const limit of row.limits) {
      counters.push(counterOf(view, row, limit, Window.periodAt(limit.window, now)))
    }
  }
  return counters
}

// ---------------------------------------------------------------------------------------------------------------------
// settling
// ---------------------------------------------------------------------------------------------------------------------

/** The counters of a hold that ends, with what was charged. A counter that is gone has ceased to matter. */
export const settle = (
  view: Pick<View, "counter">,
  row: ReservationRow,
  charged: bigint
): Result.Result<ReadonlyArray<CounterRow>, Refusal> => {
  if (row.windows.length === 0) return nothing
  const held: Array<CounterRow> = []
  for (const id of row.windows) {
    const counter = view.counter(row.tenant, id)
    if (counter !== undefined) held.push({ ...counter, held: counter.held - row.estimate.amount })
  }
  return add(held, charged)
}

/** The counters of a hold that ends and is charged nothing. */
export const giveBack = (view: Pick<View, "counter">, row: ReservationRow): ReadonlyArray<CounterRow> =>
  Result.getOrThrow(settle(view, row, 0n))

/** The counters of some budgets that are charged without a hold. */
export const charge = (
  view: View,
  rows: ReadonlyArray<BudgetRow>,
  charged: bigint,
  now: number
): Result.Result<ReadonlyArray<CounterRow>, Refusal> =>
  rows.every(isUnlimited) ? nothing : add(current(view, rows, now), charged)

const add = (
  counters: ReadonlyArray<CounterRow>,
  charged: bigint
): Result.Result<ReadonlyArray<CounterRow>, Refusal> => {
  const after = counters.map((counter) => ({ ...counter, used: counter.used + charged }))
  return after.some(({ used }) => used > MAX_INT64)
    ? Result.fail({
      code: "INVALID_REQUEST",
      field: "actual",
      requested: charged,
      reason: "what a limit of the budget has counted would leave the range of an int64"
    })
    : Result.succeed(after)
}

// ---------------------------------------------------------------------------------------------------------------------
// limits themselves
// ---------------------------------------------------------------------------------------------------------------------

/** The counters new limits begin with, so that nothing is carried over from before there was a limit. */
export const begin = (
  view: View,
  before: BudgetRow | undefined,
  after: BudgetRow,
  now: number
): ReadonlyArray<CounterRow> => {
  const counters: Array<CounterRow> = []
  for (const limit of after.limits) {
    const { window } = limit
    const isOld = before?.limits.some(({ id, window: other }) => id === limit.id && Window.isSame(window, other))
    if (window._tag !== "calendar" || isOld === true) continue
    const counter = counterOf(view, after, limit, Window.periodAt(window, now))
    if (view.counter(counter.tenant, counter.id) === undefined) counters.push({ ...counter, carried: 0n })
  }
  return counters
}

/** Where the limits of a budget stand. */
export const statesOf = (view: View, row: BudgetRow, now: number): ReadonlyArray<LimitState> =>
  row.limits.map((limit) => {
    const { carried, held, periods, remaining, used } = see(view, row, limit, now)
    const { unit } = row
    const first = periods.find(({ counter }) => counter.used + counter.held > 0n)
    const { window } = limit
    return {
      id: limit.id,
      window,
      amount: { unit, amount: limit.amount },
      used: { unit, amount: used },
      held: { unit, amount: held },
      carriedOver: { unit, amount: carried },
      remaining: { unit, amount: remaining },
      startMs: window._tag === "calendar" ? periods[0]?.period.startMs ?? now : now - window.lengthMs + 1,
      reopensAtMs: window._tag === "calendar" ? periods[0]?.period.endMs : first?.period.countsUntilMs
    }
  })
