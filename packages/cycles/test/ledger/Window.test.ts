import { assert, describe, it } from "@effect/vitest"
import { Window } from "effect-cycles"
import type { Window as AnyWindow } from "effect-cycles/ledger/Model"
import * as Schema from "effect/Schema"

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const formats = new Map<string, Intl.DateTimeFormat>()

const formatIn = (timeZone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat => {
  const name = `${timeZone} ${Object.keys(options).join()}`
  const format = formats.get(name) ?? new Intl.DateTimeFormat("en-CA", { timeZone, ...options })
  formats.set(name, format)
  return format
}

/** The date a clock on the wall of a zone shows. */
const dateIn = (timeZone: string, at: number): string =>
  formatIn(timeZone, { year: "numeric", month: "2-digit", day: "2-digit" }).format(at)

const hours = (every: "day" | "week" | "month", timeZone: string, at: number): number => {
  const { endMs, startMs } = Window.periodAt(Window.calendar(every, timeZone), at)
  return (endMs - startMs) / HOUR_MS
}

const ZONES = [
  "UTC",
  "Europe/Berlin",
  "America/New_York",
  "America/Sao_Paulo",
  "America/Havana",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Asia/Beirut",
  "Africa/Cairo",
  "Australia/Lord_Howe",
  "Pacific/Apia",
  "Pacific/Chatham",
  "Atlantic/Azores"
]

const Zone = Schema.Literals(ZONES)
const Every = Schema.Literals(["day", "week", "month"])
/** 1990 to 2037. */
const Moment = Schema.Int.check(Schema.isBetween({ minimum: 631_152_000_000, maximum: 2_145_916_800_000 }))
const Length = Schema.Int.check(Schema.isBetween({ minimum: 60_000, maximum: 366 * DAY_MS }))
const Short = Schema.Int.check(Schema.isBetween({ minimum: 60_000, maximum: 120_000 }))

describe("calendar windows", () => {
  it("are the days, weeks and months of a time zone", () => {
    const at = Date.UTC(2026, 10, 22, 23, 30)
    const start = (every: "day" | "week" | "month", zone: string): string =>
      new Date(Window.periodAt(Window.calendar(every, zone), at).startMs).toISOString()
    assert.strictEqual(start("day", "UTC"), "2026-11-22T00:00:00.000Z")
    assert.strictEqual(start("day", "Europe/Berlin"), "2026-11-22T23:00:00.000Z")
    assert.strictEqual(start("day", "Asia/Kolkata"), "2026-11-22T18:30:00.000Z")
    assert.strictEqual(start("week", "UTC"), "2026-11-16T00:00:00.000Z")
    assert.strictEqual(start("week", "Europe/Berlin"), "2026-11-22T23:00:00.000Z")
    assert.strictEqual(start("month", "America/New_York"), "2026-11-01T04:00:00.000Z")
  })

  it("are 23 or 25 hours long where clocks change, and the rest whole days", () => {
    assert.strictEqual(hours("day", "Europe/Berlin", Date.UTC(2026, 2, 29, 12)), 23)
    assert.strictEqual(hours("day", "Europe/Berlin", Date.UTC(2026, 9, 25, 12)), 25)
    assert.strictEqual(hours("day", "Europe/Berlin", Date.UTC(2026, 9, 26, 12)), 24)
    assert.strictEqual(hours("week", "America/New_York", Date.UTC(2026, 2, 8, 12)), 7 * 24 - 1)
    assert.strictEqual(hours("day", "Australia/Lord_Howe", Date.UTC(2026, 3, 5, 0)), 24.5)
    assert.strictEqual(hours("month", "Europe/Berlin", Date.UTC(2026, 9, 5)), 31 * 24 + 1)
  })

  it("begin when clocks jump over midnight, or with the last midnight where it is undone", () => {
    // From 24:00 on 3 November 2018 clocks in São Paulo went to 01:00; on 17 February they went from 24:00 back to 23:00.
    const gap = Window.periodAt(Window.calendar("day", "America/Sao_Paulo"), Date.UTC(2018, 10, 4, 12))
    assert.strictEqual(new Date(gap.startMs).toISOString(), "2018-11-04T03:00:00.000Z")
    assert.strictEqual((gap.endMs - gap.startMs) / HOUR_MS, 23)
    assert.strictEqual(hours("day", "America/Sao_Paulo", Date.UTC(2018, 1, 17, 12)), 25)
    // In Havana clocks go from 01:00 back to midnight: the day begins at the first of the two.
    const twice = Window.periodAt(Window.calendar("day", "America/Havana"), Date.UTC(2026, 10, 1, 12))
    assert.strictEqual(new Date(twice.startMs).toISOString(), "2026-11-01T04:00:00.000Z")
    assert.strictEqual((twice.endMs - twice.startMs) / HOUR_MS, 25)
    // Samoa had no 30 December 2011.
    const samoa = Window.periodAt(Window.calendar("day", "Pacific/Apia"), Date.UTC(2011, 11, 30, 12))
    assert.strictEqual(dateIn("Pacific/Apia", samoa.startMs), "2011-12-31")
    assert.strictEqual(dateIn("Pacific/Apia", samoa.startMs - 1), "2011-12-29")
  })

  it.prop("hold their moment, and follow each other without gap or overlap", [Every, Zone, Moment], ([
    every,
    zone,
    at
  ]) => {
    const window = Window.calendar(every, zone)
    const period = Window.periodAt(window, at)
    assert.isTrue(period.startMs <= at && at < period.endMs)
    assert.deepStrictEqual(Window.periodAt(window, period.startMs), period)
    assert.deepStrictEqual(Window.periodAt(window, period.endMs - 1), period)
    const next = Window.periodAt(window, period.endMs)
    assert.strictEqual(next.startMs, period.endMs)
    assert.notStrictEqual(next.id, period.id)
    assert.isTrue(window._tag === "calendar")
    if (window._tag === "calendar") assert.deepStrictEqual(Window.before(window, next), period)
    assert.deepStrictEqual(Window.periodsAt(window, at), [period])
    assert.strictEqual(period.countsUntilMs, period.endMs)
  }, { arbitrary: { runs: 2_000 } })

  it.prop("of a day hold one date of the zone", [Zone, Moment], ([zone, at]) => {
    const { endMs, startMs } = Window.periodAt(Window.calendar("day", zone), at)
    assert.strictEqual(dateIn(zone, startMs), dateIn(zone, endMs - 1))
    assert.strictEqual(dateIn(zone, startMs), dateIn(zone, at))
    assert.notStrictEqual(dateIn(zone, startMs), dateIn(zone, startMs - 1))
  }, { arbitrary: { runs: 1_000 } })
})

/** The dates of every change of clocks in a year, and the hours around them. */
const changes = (zone: string, year: number): ReadonlyArray<number> => {
  const wall = (at: number): string => formatIn(zone, { timeZoneName: "longOffset" }).format(at).slice(-6)
  const found: Array<number> = []
  for (let at = Date.UTC(year, 0, 1); at < Date.UTC(year + 1, 0, 1); at += HOUR_MS) {
    if (wall(at) !== wall(at + HOUR_MS)) found.push(at)
  }
  return found
}

describe("calendar windows around the changes of clocks", () => {
  it("hold one date each, at every half hour of the days around", () => {
    for (const zone of ["Europe/Berlin", "America/New_York", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe"]) {
      const found = changes(zone, 2025)
      assert.strictEqual(found.length, 2, zone)
      for (const change of found) {
        for (let at = change - 2 * DAY_MS; at < change + 2 * DAY_MS; at += HOUR_MS / 2) {
          const { endMs, startMs } = Window.periodAt(Window.calendar("day", zone), at)
          assert.isTrue(startMs <= at && at < endMs)
          assert.deepStrictEqual([dateIn(zone, startMs), dateIn(zone, endMs - 1)], [dateIn(zone, at), dateIn(zone, at)])
        }
      }
    }
  })
})

/** Whether what happened at `then` counts at `now`. */
const counts = (window: AnyWindow, then: number, now: number): boolean =>
  Window.periodsAt(window, now).some(({ id }) => id === Window.periodAt(window, then).id)

describe("rolling windows", () => {
  it.prop(
    "never forget what is in the window, and remember the rest for one period at most",
    [Length, Moment, Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1.2 }))],
    ([lengthMs, now, share]) => {
      const window = Window.rolling(lengthMs)
      const then = now - Math.floor(share * lengthMs)
      const age = now - then
      const piece = Math.ceil(lengthMs / Window.ROLLING_PERIODS)
      if (age < lengthMs) assert.isTrue(counts(window, then, now))
      if (age >= lengthMs + piece) assert.isFalse(counts(window, then, now))
      const { countsUntilMs } = Window.periodAt(window, then)
      assert.isTrue(counts(window, then, countsUntilMs - 1))
      assert.isFalse(counts(window, then, countsUntilMs))
    },
    { arbitrary: { runs: 2_000 } }
  )

  it.prop(
    "never under-count against the exact sum, and over-count by one period at most",
    [Short, Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300_000 })))],
    ([lengthMs, ages]) => {
      const window = Window.rolling(lengthMs)
      const now = Date.UTC(2026, 10, 22, 12, 34, 56, 789)
      const counted = ages.filter((age) => counts(window, now - age, now)).length
      const within = (ms: number): number => ages.filter((age) => age < ms).length
      assert.isAtLeast(counted, within(lengthMs))
      assert.isAtMost(counted, within(lengthMs + Math.ceil(lengthMs / Window.ROLLING_PERIODS)))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop("are cut without gap or overlap", [Length, Moment], ([lengthMs, now]) => {
    const periods = Window.periodsAt(Window.rolling(lengthMs), now)
    assert.isAtMost(periods.length, Window.ROLLING_PERIODS + 1)
    assert.isTrue((periods[0]?.startMs ?? now) <= now - lengthMs + 1)
    assert.deepStrictEqual(periods[periods.length - 1], Window.periodAt(Window.rolling(lengthMs), now))
    for (let i = 1; i < periods.length; i++) assert.strictEqual(periods[i]?.startMs, periods[i - 1]?.endMs)
  })
})

describe("windows in words", () => {
  it("say what they are", () => {
    assert.strictEqual(Window.format(Window.calendar("week", "Europe/Berlin")), "week in Europe/Berlin")
    assert.strictEqual(Window.format(Window.rolling("5 hours")), "rolling 5 hours")
    assert.strictEqual(Window.format(Window.rolling("1 day")), "rolling 1 day")
    assert.strictEqual(Window.format(Window.rolling(61_001)), "rolling 61001 milliseconds")
  })
})
