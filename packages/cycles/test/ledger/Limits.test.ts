import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Ledger, LedgerStore, LedgerStoreMemory, Window } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import type { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"

const SCOPE = "tenant:acme"
const HOUR_MS = 3_600_000
/** A Sunday noon in Berlin. */
const NOON = Date.parse("2026-11-22T11:00:00Z")
const MIDNIGHT = Date.parse("2026-11-22T23:00:00Z")
const MONTH_END = Date.parse("2026-11-30T23:00:00Z")

const store = Layer.provideMerge(
  LedgerStoreMemory.layer,
  Layer.effectDiscard(TestClock.setTime(NOON))
)
/** Nothing here waits for the sweeper, and it would take long to run through days of its rounds. */
const options = { sweepEveryMs: 1_000 * 24 * HOUR_MS }
const layer = Ledger.layer(options).pipe(Layer.provideMerge(store), Layer.provideMerge(TestClock.layer()))

const daily = (amount: number, rollover?: number): Ledger.LimitOptions => ({
  id: "daily",
  window: Window.calendar("day", "Europe/Berlin"),
  amount: Amount.tokens(amount),
  ...(rollover === undefined ? undefined : { rollover: Amount.tokens(rollover) })
})
const monthly = (amount: number): Ledger.LimitOptions => ({
  id: "monthly",
  window: Window.calendar("month", "Europe/Berlin"),
  amount: Amount.tokens(amount)
})
const rolling = (amount: number, lengthMs: number): Ledger.LimitOptions => ({
  id: "rolling",
  window: Window.rolling(lengthMs),
  amount: Amount.tokens(amount)
})

/** What the tests do, in short: one budget with limits, and holds on it. */
const harness = Effect.fnUntraced(function*(limits: ReadonlyArray<Ledger.LimitOptions>, allocated = 1_000_000) {
  const ledger = yield* Ledger.Ledger
  yield* ledger.createBudget("acme", { scope: SCOPE, allocated: Amount.tokens(allocated), limits })
  const authority = ledger.as({ tenant: "acme" })
  const action = Action.make("llm.completion", "gpt-4o")
  let keys = 0
  const asking = (subject: Subject = { tenant: "acme" }) => ({
    idempotencyKey: IdempotencyKey.make(`k-${++keys}`),
    subject,
    action
  })
  const reserve = (estimate: number | bigint, options?: {
    readonly overagePolicy?: OveragePolicy
    readonly ttlMs?: number
    readonly subject?: Subject
    readonly dryRun?: boolean
  }) => {
    const { subject, ...rest } = options ?? {}
    return authority.reserve({ ...asking(subject), ...rest, estimate: Amount.tokens(estimate) })
  }
  const hold = (estimate: number | bigint, options?: Parameters<typeof reserve>[1]) =>
    Effect.map(reserve(estimate, options), ({ reservationId }) => reservationId ?? ReservationId.make("none"))
  const commit = (id: ReservationId, actual: number | bigint) =>
    authority.commit(id, { idempotencyKey: IdempotencyKey.make(`k-${++keys}`), actual: Amount.tokens(actual) })
  const release = (id: ReservationId) => authority.release(id, { idempotencyKey: IdempotencyKey.make(`k-${++keys}`) })
  const event = (actual: number | bigint, overagePolicy?: OveragePolicy) =>
    authority.event({
      ...asking(),
      actual: Amount.tokens(actual),
      ...(overagePolicy === undefined ? undefined : { overagePolicy })
    })
  const decide = (estimate: number) => authority.decide({ ...asking(), estimate: Amount.tokens(estimate) })
  const spend = (n: number) => Effect.flatMap(hold(n), (id) => commit(id, n))
  const denied = (estimate: number | bigint, options?: Parameters<typeof reserve>[1]) =>
    Effect.flatMap(Effect.flip(reserve(estimate, options)), (error) => {
      assert.strictEqual(error._tag, "BudgetExceeded")
      return Effect.succeed(error)
    })
  /** Of each limit: used, held, carried over, remaining. */
  const stands = Effect.map(
    ledger.limits("acme", SCOPE, "TOKENS"),
    (states) =>
      states.map(({ carriedOver, held, remaining, used }) => [
        used.amount,
        held.amount,
        carriedOver.amount,
        remaining.amount
      ])
  )
  return { ledger, authority, reserve, hold, commit, release, event, decide, spend, denied, stands }
})

describe("a limit", () => {
  it.effect("counts holds and what they cost, and gives back what they did not use", () =>
    Effect.gen(function*() {
      const { commit, denied, hold, release, stands } = yield* harness([daily(100)])
      const first = yield* hold(60)
      const second = yield* hold(40)
      assert.deepStrictEqual(yield* stands, [[0n, 100n, 0n, 0n]])
      assert.deepInclude(yield* denied(1), { scope: SCOPE, unit: "TOKENS", requested: 1n, remaining: 0n })
      yield* commit(first, 50)
      assert.deepStrictEqual(yield* stands, [[50n, 40n, 0n, 10n]])
      yield* release(second)
      assert.deepStrictEqual(yield* stands, [[50n, 0n, 0n, 50n]])
      yield* hold(50)
      yield* denied(1)
    }).pipe(Effect.provide(layer)))

  it.effect("gives back a hold that expires", () =>
    Effect.gen(function*() {
      const { authority, denied, hold, spend, stands } = yield* harness([daily(100)])
      yield* hold(100, { ttlMs: 1_000 })
      yield* denied(1)
      yield* TestClock.adjust(6_001)
      // Whatever touches the tenant expires what is due, also where it has nothing to do with limits itself.
      yield* authority.balances({ tenant: "acme" })
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 0n, 100n]])
      yield* spend(100)
      assert.deepStrictEqual(yield* stands, [[100n, 0n, 0n, 0n]])
    }).pipe(Effect.provide(layer)))

  it.effect("explains a denial: the limit, the window, when it reopens, and what to do", () =>
    Effect.gen(function*() {
      const { decide, denied, reserve, spend } = yield* harness([daily(100)])
      yield* spend(70)
      const error = yield* denied(31)
      assert.strictEqual(error.retryAfterMs, MIDNIGHT - NOON)
      assert.deepStrictEqual(error.details, {
        limit_id: "daily",
        window: "day in Europe/Berlin",
        reopens_at_ms: MIDNIGHT,
        suggestion:
          `Wait until 2026-11-22T23:00:00.000Z, ask for 30 TOKENS or less, or raise the limit "daily" of tenant:acme`
      })
      assert.strictEqual(
        error.message,
        "Budget exceeded at tenant:acme (requested 31, remaining 30, TOKENS): the limit \"daily\" allows 100 TOKENS per day " +
          "in Europe/Berlin. Wait until 2026-11-22T23:00:00.000Z, ask for 30 TOKENS or less, or raise the limit \"daily\" " +
          "of tenant:acme. Ask again after 43200000 ms."
      )
      const answer = { decision: "DENY", reasonCode: "BUDGET_EXCEEDED", retryAfterMs: MIDNIGHT - NOON } as const
      assert.deepInclude(yield* decide(31), answer)
      assert.deepInclude(yield* reserve(31, { dryRun: true }), answer)
      assert.deepInclude(yield* decide(30), { decision: "ALLOW" })
      assert.deepInclude(yield* reserve(30, { dryRun: true }), { decision: "ALLOW" })
    }).pipe(Effect.provide(layer)))

  it.effect("says that waiting does not help where more is asked for than it ever allows", () =>
    Effect.gen(function*() {
      const { decide, denied } = yield* harness([daily(100)])
      const error = yield* denied(101)
      assert.isUndefined(error.retryAfterMs)
      assert.deepStrictEqual(error.details?.["reopens_at_ms"], undefined)
      assert.include(
        error.message,
        "Ask for less at once, or raise the limit \"daily\" of tenant:acme; waiting does not help."
      )
      assert.notProperty(yield* decide(101), "retryAfterMs")
    }).pipe(Effect.provide(layer)))

  it.effect("opens again with its window, at the millisecond it named", () =>
    Effect.gen(function*() {
      const { denied, spend, stands } = yield* harness([daily(100)])
      yield* spend(100)
      const { retryAfterMs } = yield* denied(100)
      yield* TestClock.adjust((retryAfterMs ?? 0) - 1)
      assert.strictEqual((yield* denied(100)).retryAfterMs, 1)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 0n, 100n]])
      yield* spend(100)
      yield* denied(1)
    }).pipe(Effect.provide(layer)))

  it.effect("counts a hold and its settlement in the window of the reserve", () =>
    Effect.gen(function*() {
      const { commit, hold, release, stands } = yield* harness([daily(100)])
      yield* TestClock.setTime(MIDNIGHT - 1_000)
      const [first, second, third] = [yield* hold(50), yield* hold(30), yield* hold(20, { ttlMs: 1_000 })]
      assert.isDefined(third)
      yield* TestClock.setTime(MIDNIGHT)
      yield* hold(100)
      yield* commit(first, 50)
      yield* release(second)
      yield* TestClock.setTime(MIDNIGHT + 10_000)
      assert.deepStrictEqual(yield* stands, [[0n, 100n, 0n, 0n]])
    }).pipe(Effect.provide(layer)))

  it.effect("counts a charge above the estimate, even beyond the limit", () =>
    Effect.gen(function*() {
      const { commit, denied, hold, stands } = yield* harness([daily(100)])
      yield* commit(yield* hold(90), 150)
      assert.deepStrictEqual(yield* stands, [[150n, 0n, 0n, -50n]])
      assert.deepInclude(yield* denied(0), { requested: 0n, remaining: -50n })
    }).pipe(Effect.provide(layer)))

  it.effect("records events, and refuses those under REJECT that it has no room for", () =>
    Effect.gen(function*() {
      const { event, stands } = yield* harness([daily(100)])
      yield* event(60, "REJECT")
      const error = yield* Effect.flip(event(41, "REJECT"))
      assert.deepInclude(error, { _tag: "BudgetExceeded", requested: 41n, remaining: 40n })
      assert.deepStrictEqual(yield* stands, [[60n, 0n, 0n, 40n]])
      yield* event(41)
      assert.deepStrictEqual(yield* stands, [[101n, 0n, 0n, -1n]])
    }).pipe(Effect.provide(layer)))

  it.effect("lets a repeated key have its first answer, whatever it has counted since", () =>
    Effect.gen(function*() {
      const { authority, spend } = yield* harness([daily(100)])
      const request = {
        idempotencyKey: IdempotencyKey.make("once"),
        subject: { tenant: "acme" },
        action: Action.make("llm.completion", "gpt-4o"),
        estimate: Amount.tokens(60)
      }
      const first = yield* authority.reserve(request)
      yield* spend(40)
      assert.strictEqual((yield* authority.reserve(request)).reservationId, first.reservationId)
    }).pipe(Effect.provide(layer)))
})

describe("several limits", () => {
  it.effect("all have a say, and the one that reopens last speaks", () =>
    Effect.gen(function*() {
      const { denied, spend, stands } = yield* harness([daily(100), monthly(150)])
      yield* spend(100)
      assert.deepInclude((yield* denied(1)).details, { limit_id: "daily", reopens_at_ms: MIDNIGHT })
      yield* TestClock.setTime(MIDNIGHT)
      yield* spend(50)
      assert.deepInclude((yield* denied(50)).details, { limit_id: "monthly", reopens_at_ms: MONTH_END })
      assert.deepInclude((yield* denied(60)).details, { limit_id: "monthly", reopens_at_ms: MONTH_END })
      yield* TestClock.setTime(MONTH_END)
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 0n, 100n], [0n, 0n, 0n, 150n]])
    }).pipe(Effect.provide(layer)))

  it.effect("come after the budget itself, from the widest scope to the narrowest", () =>
    Effect.gen(function*() {
      const { denied, ledger, spend } = yield* harness([daily(100)], 50)
      const below = "tenant:acme/workspace:w/app:a/workflow:f/agent:b/toolset:t"
      yield* ledger.createBudget("acme", { scope: below, allocated: Amount.tokens(1_000), limits: [daily(30)] })
      const subject = { workspace: "w", app: "a", workflow: "f", agent: "b", toolset: "t" }
      const stock = yield* denied(60, { subject })
      assert.deepInclude(stock, { scope: SCOPE, remaining: 50n })
      assert.deepStrictEqual(stock.details, {
        suggestion: "Credit tenant:acme by at least 10 TOKENS, or ask for 50 TOKENS or less"
      })
      assert.deepInclude(yield* denied(40, { subject }), { scope: below, remaining: 30n })
      yield* spend(50)
      const empty = yield* denied(1)
      assert.match(empty.message, /or wait until running work gives back what it holds\.$/)
    }).pipe(Effect.provide(layer)))

  it.effect("count on every budget of a path of six levels, or on none", () =>
    Effect.gen(function*() {
      const { commit, denied, hold, ledger } = yield* harness([daily(1_000)])
      const levels = ["workspace:w", "app:a", "workflow:f", "agent:b", "toolset:t"]
      const scopes = levels.map((_, i) => [SCOPE, ...levels.slice(0, i + 1)].join("/"))
      for (const [i, scope] of scopes.entries()) {
        const limits = [daily(900 - 100 * i), rolling(900 - 100 * i, HOUR_MS)]
        yield* ledger.createBudget("acme", { scope, allocated: Amount.tokens(10_000), limits })
      }
      const subject = { workspace: "w", app: "a", workflow: "f", agent: "b", toolset: "t" }
      assert.deepInclude(yield* denied(501, { subject }), { scope: scopes[4] ?? "", remaining: 500n })
      const used = Effect.forEach([SCOPE, ...scopes], (scope) =>
        Effect.map(ledger.limits("acme", scope, "TOKENS"), (states) =>
          states.map(({ held, used }) =>
            `${used.amount}+${held.amount}`
          ).join(" ")))
      assert.deepStrictEqual(yield* used, ["0+0", ...scopes.map(() => "0+0 0+0")])
      const id = yield* hold(500, { subject })
      assert.deepStrictEqual(yield* used, ["0+500", ...scopes.map(() => "0+500 0+500")])
      yield* commit(id, 321)
      assert.deepStrictEqual(yield* used, ["321+0", ...scopes.map(() => "321+0 321+0")])
    }).pipe(Effect.provide(layer)))
})

describe("a rollover", () => {
  const nextDay = (n: number) => TestClock.setTime(NOON + n * 24 * HOUR_MS)

  it.effect("carries over what a window left, up to its cap, for one window", () =>
    Effect.gen(function*() {
      const { denied, spend, stands } = yield* harness([daily(100, 40)])
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 0n, 100n]])
      yield* spend(30)
      yield* nextDay(1)
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 40n, 140n]])
      assert.strictEqual((yield* denied(141)).retryAfterMs, undefined)
      yield* spend(120)
      assert.deepStrictEqual(yield* stands, [[120n, 0n, 40n, 20n]])
      // 40 of them were carried over and are used first: 80 of the day's own 100 are gone.
      assert.strictEqual((yield* denied(120)).retryAfterMs, 12 * HOUR_MS)
      yield* nextDay(2)
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 20n, 120n]])
      // A day without use leaves all of its own, and nothing of what it was given.
      yield* nextDay(4)
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 40n, 140n]])
    }).pipe(Effect.provide(layer)))

  it.effect("carries nothing over from before there was a limit", () =>
    Effect.gen(function*() {
      const { ledger, stands } = yield* harness([])
      const put = (limits: ReadonlyArray<Ledger.LimitOptions>) =>
        ledger.updateBudget("acme", { scope: SCOPE, unit: "TOKENS", limits })
      yield* nextDay(3)
      yield* put([daily(100, 40)])
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 0n, 100n]])
      yield* nextDay(4)
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 40n, 140n]])
      yield* put([daily(50, 50)])
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 50n, 100n]])
    }).pipe(Effect.provide(layer)))
})

describe("a rolling limit", () => {
  it.effect("forgets what has left it, and says when enough has", () =>
    Effect.gen(function*() {
      const { denied, spend, stands } = yield* harness([rolling(100, 24 * HOUR_MS)])
      yield* spend(60)
      yield* TestClock.adjust(10 * HOUR_MS)
      yield* spend(40)
      // The sixty leave with the hour they were used in, whole.
      assert.strictEqual((yield* denied(60)).retryAfterMs, 15 * HOUR_MS - 1)
      assert.strictEqual((yield* denied(61)).retryAfterMs, 25 * HOUR_MS - 1)
      assert.isUndefined((yield* denied(101)).retryAfterMs)
      yield* TestClock.adjust(15 * HOUR_MS - 2)
      yield* denied(60)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* stands, [[40n, 0n, 0n, 60n]])
      yield* spend(60)
      yield* denied(1)
    }).pipe(Effect.provide(layer)))
})

describe("changing limits", () => {
  it.effect("keeps what was counted unless the window is another", () =>
    Effect.gen(function*() {
      const { hold, commit, ledger, spend, stands } = yield* harness([daily(100)])
      const put = (...limits: ReadonlyArray<Ledger.LimitOptions>) =>
        ledger.updateBudget("acme", { scope: SCOPE, unit: "TOKENS", limits })
      yield* spend(60)
      const open = yield* hold(10)
      yield* put(daily(200))
      assert.deepStrictEqual(yield* stands, [[60n, 10n, 0n, 130n]])
      yield* put()
      assert.deepStrictEqual(yield* stands, [])
      yield* commit(open, 5)
      yield* put(daily(100))
      assert.deepStrictEqual(yield* stands, [[65n, 0n, 0n, 35n]])
      yield* put({ ...daily(100), window: Window.calendar("week", "Europe/Berlin") })
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 0n, 100n]])
      yield* ledger.updateBudget("acme", { scope: SCOPE, unit: "TOKENS", status: "ACTIVE" })
      assert.strictEqual((yield* stands).length, 1)
      const entries = yield* ledger.entries("acme")
      assert.strictEqual(entries.filter(({ kind }) => kind === "UPDATE").length, 5)
      assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
    }).pipe(Effect.provide(layer)))

  it.effect("refuses what is no limit, and names the field", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      const allocated = Amount.tokens(1)
      const zero = { unit: "TOKENS", amount: 0n } as const
      const max = Amount.tokens(Amount.MAX_INT64)
      const cases: ReadonlyArray<readonly [string, ReadonlyArray<unknown>]> = [
        ["limits.0.id", [{ ...daily(1), id: "" }]],
        ["limits.0.id", [{ ...daily(1), id: "a b" }]],
        ["limits.1.id", [daily(1), daily(2)]],
        ["limits.0.amount", [{ ...daily(1), amount: zero }]],
        ["limits.0.amount", [{ ...daily(1), amount: Amount.usd(1) }]],
        ["limits.0.amount.amount", [{ ...daily(1), amount: { unit: "TOKENS", amount: 2n ** 63n } }]],
        ["limits.0.window.timeZone", [{ ...daily(1), window: Window.calendar("day", "Europe/Nowhere") }]],
        ["limits.0.window.timeZone", [{ ...daily(1), window: Window.calendar("day", "+01:00") }]],
        ["limits.0.window.lengthMs", [rolling(1, 59_999)]],
        ["limits.0.window.lengthMs", [rolling(1, 366 * 24 * HOUR_MS + 1)]],
        ["limits.0.window.lengthMs", [rolling(1, 60_000.5)]],
        ["limits.0.rollover", [{ ...rolling(1, 60_000), rollover: Amount.tokens(1) }]],
        ["limits.0.rollover", [{ ...daily(1), rollover: Amount.tokens(2) }]],
        ["limits.0.rollover", [{ ...daily(1), rollover: Amount.usd(1) }]],
        ["limits.0.rollover", [{ ...daily(1), amount: max, rollover: max }]],
        ["limits.0.rollover.amount", [{ ...daily(1), rollover: { unit: "TOKENS", amount: -1n } }]],
        ["limits", Array.from({ length: 17 }, (_, i) => ({ ...daily(1), id: `l-${i}` }))]
      ]
      for (const [field, wrong] of cases) {
        // What a program without types would send.
        const limits = wrong as ReadonlyArray<Ledger.LimitOptions>
        const error = yield* Effect.flip(ledger.createBudget("acme", { scope: SCOPE, allocated, limits }))
        assert.deepInclude(error, { _tag: "InvalidRequest", field })
      }
      yield* ledger.createBudget("acme", { scope: SCOPE, allocated, limits: [daily(1, 1), rolling(1, 60_000)] })
      const limits = [{ ...daily(1), id: "?" }]
      const changed = yield* Effect.flip(ledger.updateBudget("acme", { scope: SCOPE, unit: "TOKENS", limits }))
      assert.deepInclude(changed, { _tag: "InvalidRequest", field: "limits.0.id" })
      const none = yield* Effect.flip(ledger.limits("acme", `${SCOPE}/agent:b`, "TOKENS"))
      assert.strictEqual(none._tag, "BudgetNotFound")
      const foreign = yield* Effect.flip(ledger.limits("beta", SCOPE, "TOKENS"))
      assert.strictEqual(foreign._tag, "Forbidden")
    }).pipe(Effect.provide(layer)))
})

describe("limits at the edges", () => {
  it.effect("count up to the end of an int64, and refuse to count beyond it", () =>
    Effect.gen(function*() {
      const max = Amount.MAX_INT64
      const ledger = yield* Ledger.Ledger
      const { commit, denied, event, hold, stands } = yield* harness([{ ...daily(1), amount: Amount.tokens(max) }])
      const fund = (key: string) =>
        ledger.fund("acme", {
          idempotencyKey: IdempotencyKey.make(key),
          scope: SCOPE,
          operation: "RESET_SPENT",
          amount: Amount.tokens(max)
        })
      yield* fund("first")
      yield* commit(yield* hold(max), max)
      yield* fund("second")
      assert.deepStrictEqual(yield* stands, [[max, 0n, 0n, 0n]])
      assert.deepInclude(yield* denied(1), { remaining: 0n })
      const error = yield* Effect.flip(event(1))
      assert.deepInclude(error, { _tag: "InvalidRequest", field: "actual" })
      assert.deepStrictEqual(yield* stands, [[max, 0n, 0n, 0n]])
    }).pipe(Effect.provide(layer)))

  it.effect("do not reopen when a clock goes back, nor count twice when it jumps", () =>
    Effect.gen(function*() {
      const { denied, spend, stands } = yield* harness([daily(100)])
      yield* spend(100)
      yield* TestClock.setTime(MIDNIGHT + 5)
      yield* spend(60)
      yield* TestClock.setTime(NOON)
      // The tenant's time stands still until the clock has caught up.
      assert.strictEqual((yield* denied(41)).retryAfterMs, 24 * HOUR_MS - 5)
      assert.deepStrictEqual(yield* stands, [[60n, 0n, 0n, 40n]])
      yield* spend(40)
      yield* denied(1)
    }).pipe(Effect.provide(layer)))

  it.effect("drop their counters once they can no longer matter, and outlive a hold that does", () =>
    Effect.gen(function*() {
      const { commit, hold, spend, stands } = yield* harness([daily(100, 100), rolling(1_000, 60_000)])
      const { prune, transact } = yield* LedgerStore.LedgerStore
      const ids = transact(
        ["acme"],
        (tx) =>
          Effect.map(
            tx.counters("acme", "limit ", "limit~", 100),
            (rows) => rows.map(({ held, used }) => `${used}+${held}`)
          )
      )
      const open = yield* hold(10, { ttlMs: 86_400_000 })
      yield* spend(20)
      assert.deepStrictEqual(yield* ids, ["20+10", "20+10"])
      yield* TestClock.adjust(23 * HOUR_MS)
      yield* prune
      assert.strictEqual((yield* ids).length, 2)
      assert.deepStrictEqual((yield* stands)[0], [0n, 0n, 70n, 170n])
      for (let day = 0; day < 7; day++) {
        const authority = (yield* Ledger.Ledger).as({ tenant: "acme" })
        const idempotencyKey = IdempotencyKey.make(`extend-${day}`)
        yield* authority.extend(open, { idempotencyKey, extendByMs: 86_400_000 })
        yield* TestClock.adjust(24 * HOUR_MS)
      }
      yield* prune
      assert.deepStrictEqual(yield* ids, [])
      yield* commit(open, 10)
      assert.deepStrictEqual(yield* ids, [])
      assert.deepStrictEqual(yield* stands, [[0n, 0n, 100n, 200n], [0n, 0n, 0n, 1_000n]])
    }).pipe(Effect.provide(layer)))

  it.effect("admit exactly what they allow, however many ask at once", () =>
    Effect.gen(function*() {
      const { reserve, stands } = yield* harness([daily(100), rolling(55, HOUR_MS)])
      const results = yield* Effect.forEach(
        Array.from({ length: 64 }),
        () => Effect.match(reserve(1), { onFailure: () => 0, onSuccess: () => 1 }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(results.reduce((a: number, b) => a + b, 0), 55)
      assert.deepStrictEqual(yield* stands, [[0n, 55n, 0n, 45n], [0n, 55n, 0n, 0n]])
    }).pipe(Effect.provide(layer)))

  it.effect("load no counter where there is no limit", () =>
    Effect.gen(function*() {
      const asked: Array<number> = []
      const counting = Layer.effect(
        LedgerStore.LedgerStore,
        Effect.map(LedgerStoreMemory.make, (memory): LedgerStore.Operations => ({
          ...memory,
          transact: (tenants, body) =>
            memory.transact(tenants, (tx) =>
              body({
                ...tx,
                load: (keys, view) => {
                  asked.push(keys.counters.filter(({ id }) => id.startsWith("limit ")).length)
                  return tx.load(keys, view)
                }
              }))
        }))
      )
      yield* Effect.gen(function*() {
        const { ledger, spend } = yield* harness([])
        yield* spend(1)
        assert.isTrue(asked.every((n) => n === 0))
        yield* ledger.updateBudget("acme", { scope: SCOPE, unit: "TOKENS", limits: [daily(10)] })
        asked.length = 0
        yield* spend(1)
        assert.deepStrictEqual(asked, [0, 1, 0, 1])
      }).pipe(Effect.provide(Layer.provide(Ledger.layer(options), counting)))
    }))
})
