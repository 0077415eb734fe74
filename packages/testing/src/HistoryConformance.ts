/**
 * What every ledger must remember, whatever store it keeps its rows in: events and their delivery, balances explained, spending over
 * time, and a history that can be folded without losing what it says.
 *
 * **Example** (The store in memory)
 *
 * ```ts
 * import { HistoryConformance } from "@effect-cycles/testing"
 * import { LedgerStoreMemory } from "effect-cycles"
 *
 * const layer: HistoryConformance.StoreLayer = LedgerStoreMemory.layer
 *
 * // In a test file: HistoryConformance.suite("A store in memory", layer)
 * console.log(typeof layer) // => "object"
 * ```
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import type { CostQuery, SpendQuery } from "effect-cycles/ledger/History"
import * as Ledger from "effect-cycles/ledger/Ledger"
import { LedgerStore } from "effect-cycles/ledger/LedgerStore"
import type { LedgerEvent } from "effect-cycles/ledger/Model"
import type { AnyAmount } from "effect-cycles/protocol/Amount"
import * as Breakdown from "effect-cycles/protocol/Breakdown"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import type { ReserveRequest } from "effect-cycles/protocol/Reserve"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

/**
 * A fresh, empty store whenever it is built. It takes its time from Effect's clock, which stands still in the tests.
 *
 * @category models
 * @since 0.1.0
 */
export type StoreLayer = Layer.Layer<LedgerStore, unknown>

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const ACME = "tenant:acme"
const BOT = "tenant:acme/agent:bot"

const tokens = (amount: number | bigint): AnyAmount => ({ unit: "TOKENS", amount: BigInt(amount) })

let made = 0
const fresh = (): IdempotencyKey => IdempotencyKey.make(`key-${++made}`)

const action = { kind: "llm.completion", name: "gpt-4o" }

const request = (estimate: number, subject: Subject = { agent: "bot" }): ReserveRequest => ({
  idempotencyKey: fresh(),
  subject,
  action,
  estimate: tokens(estimate)
})

/** Reserves and commits; the commit may be more than the estimate, in debt where there is an overdraft limit. */
const use = Effect.fnUntraced(
  function*(ledger: Ledger.Operations, estimate: number, actual: number, subject?: Subject, tenant = "acme") {
    const authority = ledger.as({ tenant })
    const { reservationId } = yield* authority.reserve({
      ...request(estimate, subject),
      overagePolicy: "ALLOW_WITH_OVERDRAFT"
    })
    yield* authority.commit(reservationId!, { idempotencyKey: fresh(), actual: tokens(actual) })
  }
)

const eventsOf = (ledger: Ledger.Operations, tenant = "acme") =>
  Effect.map(Stream.runCollect(ledger.events(tenant)), (events): ReadonlyArray<LedgerEvent> => events)

const told = (events: ReadonlyArray<LedgerEvent>): ReadonlyArray<string> =>
  events.map(({ scope, type }) => `${type} ${scope ?? ""}`)

/** The types of the events of one scope after those that opening its budget made. */
const typesAt = (events: ReadonlyArray<LedgerEvent>, scope: string): ReadonlyArray<string> =>
  events.filter((event) => event.scope === scope && event.type !== "budget.created").map(({ type }) => type)

const open = (ledger: Ledger.Operations, scope: string, allocated: number, overdraftLimit = 0) =>
  ledger.createBudget(scope.slice("tenant:".length).split("/")[0] ?? "", {
    scope,
    allocated: tokens(allocated),
    overdraftLimit: tokens(overdraftLimit)
  })

const credit = (ledger: Ledger.Operations, scope: string, amount: number) =>
  ledger.fund("acme", { idempotencyKey: fresh(), scope, operation: "CREDIT", amount: tokens(amount) })

/** Lets time and the work in the background go on until something holds: a store may need real time for it. */
const until = Effect.fnUntraced(function*<E, R>(holds: Effect.Effect<boolean, E, R>, stepMs = 10) {
  for (let turn = 0; turn < 1_000 && !(yield* holds); turn++) {
    yield* TestClock.adjust(stepMs)
    yield* TestClock.withLive(Effect.sleep(2))
  }
})

/** Until every event was handed on. */
const delivered = Effect.flatMap(
  LedgerStore,
  (store) => until(Effect.map(store.undelivered(10), (tenants) => tenants.length === 0))
)

/** Numbers that look random and are the same every time. */
const random = (seed: number): (below: number) => number => {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(state / 2 ** 32 * below)
  }
}

/**
 * Runs the suite over a store.
 *
 * @category suites
 * @since 0.1.0
 */
export const suite = (name: string, store: StoreLayer): void => {
  const test = (
    title: string,
    body: Effect.Effect<unknown, unknown, LedgerStore | Scope.Scope>
  ): void => it.effect(title, () => Effect.scoped(Effect.provide(body, store)))

  const ledgerOf = (options?: Ledger.Options) => Ledger.make({ sweepEveryMs: 1_000 * DAY_MS, ...options })

  describe(`${name}: events`, () => {
    test(
      "tell of a live hold that was denied, and why; questions leave none",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 100)
        yield* open(ledger, BOT, 1_000)
        const authority = ledger.as({ tenant: "acme", actor: "someone" })
        yield* authority.decide(request(500))
        yield* authority.reserve({ ...request(500), dryRun: true })
        yield* Effect.flip(authority.reserve({ ...request(5), estimate: { unit: "CREDITS", amount: 5n } }))
        assert.deepStrictEqual(told(yield* eventsOf(ledger)), [`budget.created ${ACME}`, `budget.created ${BOT}`])
        const denied = request(500)
        yield* Effect.flip(authority.reserve(denied))
        const event = (yield* eventsOf(ledger))[2]
        assert.deepInclude(event, {
          type: "reservation.denied",
          scope: ACME,
          unit: "TOKENS",
          number: 3,
          actor: "someone"
        })
        assert.deepInclude(event?.details, {
          reason_code: "BUDGET_EXCEEDED",
          requested_amount: 500n,
          remaining: 100n,
          scope_path: BOT
        })
        for (const scope of [ACME, BOT]) {
          const { denial } = yield* ledger.explain("acme", { scope, unit: "TOKENS" })
          assert.strictEqual(denial?.event.number, 3)
          assert.match(denial?.text ?? "", /^BUDGET_EXCEEDED at tenant:acme: 500 TOKENS were asked for, 100 remained/)
        }
        yield* credit(ledger, ACME, 1_000)
        yield* authority.reserve(denied)
        assert.isUndefined((yield* ledger.verify("acme")).flaws[0])
      })
    )

    test(
      "tell once when a threshold is passed, upwards and downwards, and when a budget is exhausted",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf({ alerts: { thresholds: [0.5, 0.9] } })
        yield* open(ledger, ACME, 100)
        yield* use(ledger, 40, 40)
        yield* ledger.as({ tenant: "acme" }).reserve(request(55))
        assert.deepStrictEqual(typesAt(yield* eventsOf(ledger), ACME), [], "holds come and go")
        yield* TestClock.adjust(DAY_MS)
        yield* use(ledger, 10, 10)
        yield* use(ledger, 10, 10)
        yield* use(ledger, 40, 40)
        yield* credit(ledger, ACME, 15)
        yield* credit(ledger, ACME, 900)
        const events = yield* eventsOf(ledger)
        assert.deepStrictEqual(
          events.filter(({ scope, type }) => scope === ACME && !/created|funded/.test(type))
            .map(({ details, type }) => [type, details.threshold, details.direction]),
          [
            ["budget.threshold_crossed", 0.5, "rising"],
            ["budget.threshold_crossed", 0.9, "rising"],
            ["budget.exhausted", 1, "rising"],
            ["budget.threshold_crossed", 0.9, "falling"],
            ["budget.threshold_crossed", 0.5, "falling"]
          ]
        )
        const rising = events.find(({ details }) => details.threshold === 0.5)
        assert.deepInclude(rising?.details, { utilization: 0.5, allocated: 100n, spent: 50n, remaining: 50n })
      })
    )

    test(
      "tell of overage, debt, and of the over-limit state entered and left",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf({ alerts: { thresholds: [] } })
        yield* open(ledger, ACME, 100, 60)
        yield* use(ledger, 100, 150)
        yield* ledger.updateBudget("acme", { scope: ACME, unit: "TOKENS", overdraftLimit: tokens(20) })
        yield* credit(ledger, ACME, 200)
        const events = yield* eventsOf(ledger)
        assert.deepStrictEqual(typesAt(events, ACME), [
          "budget.exhausted",
          "budget.debt_incurred",
          "budget.updated",
          "budget.over_limit_entered",
          "budget.funded",
          "budget.over_limit_exited"
        ])
        assert.deepStrictEqual(typesAt(events, BOT), ["reservation.commit_overage"])
        const overage = events.find(({ type }) => type === "reservation.commit_overage")
        assert.deepInclude(overage?.details, {
          estimated_amount: 100n,
          actual_amount: 150n,
          overage: 50n,
          debt_incurred: 50n
        })
        assert.strictEqual(overage?.reservationId, overage?.details.reservation_id)
        const debt = events.find(({ type }) => type === "budget.debt_incurred")
        assert.deepInclude(debt?.details, { debt_incurred: 50n, total_debt: 50n, overdraft_limit: 60n })
        const left = events.find(({ type }) => type === "budget.over_limit_exited")
        assert.deepInclude(left?.details, { is_over_limit: false, debt: 0n })
      })
    )

    test(
      "tell of a lease that ended",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf({ sweepEveryMs: 1_000 })
        yield* open(ledger, ACME, 100)
        const { reservationId } = yield* ledger.as({ tenant: "acme" }).reserve({ ...request(10), ttlMs: 5_000 })
        yield* TestClock.adjust(60_000)
        const [event] = (yield* eventsOf(ledger)).slice(1)
        assert.deepInclude(event, { type: "reservation.expired", actor: "system", reservationId, scope: BOT })
        assert.deepInclude(event?.details, { estimated_amount: 10n, ttl_ms: 5_000, extensions_used: 0 })
      })
    )

    test(
      "tell of what is done with a budget",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 100)
        const fund = (operation: "CREDIT" | "DEBIT" | "RESET" | "RESET_SPENT" | "REPAY_DEBT") =>
          ledger.fund("acme", { idempotencyKey: fresh(), scope: ACME, operation, amount: tokens(10) })
        yield* fund("CREDIT")
        yield* fund("DEBIT")
        yield* fund("RESET")
        yield* fund("RESET_SPENT")
        yield* fund("REPAY_DEBT")
        const update = (status: "FROZEN" | "ACTIVE" | "CLOSED") =>
          ledger.updateBudget("acme", { scope: ACME, unit: "TOKENS", status })
        yield* update("FROZEN")
        yield* update("ACTIVE")
        yield* update("CLOSED")
        const events = yield* eventsOf(ledger)
        assert.deepStrictEqual(events.map(({ type }) => type), [
          "budget.created",
          "budget.funded",
          "budget.debited",
          "budget.reset",
          "budget.reset_spent",
          "budget.debt_repaid",
          "budget.frozen",
          "budget.unfrozen",
          "budget.closed"
        ])
        assert.deepStrictEqual(events.map(({ number }) => number), [1, 2, 3, 4, 5, 6, 7, 8, 9])
        assert.deepInclude(events[4]?.details, { operation: "RESET_SPENT", spent_override_provided: false })
        assert.deepInclude(events[6]?.details, { operation: "STATUS_CHANGE" })
      })
    )

    test(
      "tell once per window when a budget is spent much faster than before",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf({ alerts: { thresholds: [] } })
        yield* open(ledger, ACME, 100_000)
        for (let window = 0; window < 24; window++) {
          yield* use(ledger, 500, 500)
          yield* TestClock.adjust(300_000)
        }
        const anomalies = Effect.map(
          eventsOf(ledger),
          (events) => events.filter(({ type }) => type === "budget.burn_rate_anomaly")
        )
        yield* use(ledger, 1_400, 1_400)
        assert.lengthOf(yield* anomalies, 0)
        yield* use(ledger, 100, 100)
        yield* use(ledger, 5_000, 5_000)
        const found = yield* anomalies
        assert.lengthOf(found, 1)
        assert.deepStrictEqual(found[0]?.details, {
          scope: ACME,
          unit: "TOKENS",
          current_rate: 300,
          baseline_rate: 100,
          multiplier: 3,
          window_seconds: 300,
          projected_exhaustion_minutes: 86_500 / 300
        })
      })
    )

    test(
      "are read from a cursor on, and waited for",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 100)
        yield* credit(ledger, ACME, 1)
        yield* open(ledger, "tenant:other", 100)
        const rest = yield* Stream.runCollect(ledger.events("acme", { after: 1 }))
        assert.deepStrictEqual(rest.map(({ number, type }) => [number, type]), [[2, "budget.funded"]])
        const following = yield* ledger.events("acme", { after: 1, follow: true }).pipe(
          Stream.take(3),
          Stream.runCollect,
          Effect.forkScoped({ startImmediately: true })
        )
        yield* Effect.yieldNow
        yield* credit(ledger, ACME, 1)
        yield* open(ledger, "tenant:other/agent:x", 100)
        yield* credit(ledger, ACME, 1)
        const followed = yield* Fiber.join(following)
        assert.deepStrictEqual(followed.map(({ number, tenant }) => [number, tenant]), [
          [2, "acme"],
          [3, "acme"],
          [4, "acme"]
        ])
      })
    )
  })

  describe(`${name}: the outbox`, () => {
    test(
      "hands every event on at least once, over restarts, in order within a tenant",
      Effect.gen(function*() {
        const seen: Array<string> = []
        const note = ({ number, tenant }: LedgerEvent) => Effect.sync(() => seen.push(`${tenant} ${number}`))
        yield* Effect.scoped(Effect.gen(function*() {
          const ledger = yield* ledgerOf()
          for (const tenant of ["acme", "beta"]) {
            yield* open(ledger, `tenant:${tenant}`, 100)
            yield* open(ledger, `tenant:${tenant}/agent:a`, 100)
          }
          // It dies over the second one, so both count as not handed on.
          const dies = ledger.outbox.pipe(
            Stream.runForEach((event) =>
              Effect.andThen(note(event), event.number === 2 ? Effect.die("the consumer ended") : Effect.void)
            ),
            Effect.exit
          )
          yield* dies
          assert.lengthOf(seen, 2)
        }))
        seen.length = 0
        yield* Effect.scoped(Effect.gen(function*() {
          const ledger = yield* ledgerOf()
          const relay = yield* Effect.forkScoped(Stream.runForEach(ledger.outbox, note), { startImmediately: true })
          yield* delivered
          assert.deepStrictEqual([...seen].sort(), ["acme 1", "acme 2", "beta 1", "beta 2"])
          // New events wake it at once, without time passing.
          yield* credit(ledger, ACME, 1)
          for (let turn = 0; turn < 500 && seen.length < 5; turn++) yield* TestClock.withLive(Effect.sleep(2))
          assert.lengthOf(seen, 5)
          yield* delivered
          assert.deepStrictEqual(seen.slice(4), ["acme 3"])
          yield* Fiber.interrupt(relay)
        }))
        seen.length = 0
        const ledger = yield* ledgerOf()
        yield* Effect.forkScoped(Stream.runForEach(ledger.outbox, note), { startImmediately: true })
        yield* credit(ledger, ACME, 1)
        yield* delivered
        assert.deepStrictEqual(seen, ["acme 4"])
        assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
      })
    )

    test(
      "hands on more events than it holds at a time",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 1_000)
        yield* Effect.forEach(Array.from({ length: 249 }), () => credit(ledger, ACME, 1), { concurrency: 64 })
        const numbers = yield* ledger.outbox.pipe(
          Stream.map(({ number }) => number),
          Stream.take(250),
          Stream.runCollect
        )
        assert.deepStrictEqual(numbers, Array.from({ length: 250 }, (_, i) => i + 1))
      })
    )
  })

  describe(`${name}: the longest names there may be`, () => {
    test(
      "are kept like any others",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        const pick = random(7)
        const plain = (length: number) =>
          Array.from({ length }, () => "abcdefghijklmnopqrstuvwxyz0123456789"[pick(36)]).join("")
        // Beyond the first plane of Unicode, where no two letters are alike: what is hardest to keep in an index.
        const wide = (length: number) =>
          Array.from({ length }, () => String.fromCodePoint(0x10000 + pick(0xfffff))).join("")
        const tenant = plain(128)
        const subject = {
          tenant,
          workspace: plain(128),
          app: plain(128),
          workflow: plain(128),
          agent: plain(128),
          toolset: plain(128),
          dimensions: { run_id: wide(256) }
        }
        const scope =
          `tenant:${tenant}/workspace:${subject.workspace}/app:${subject.app}/workflow:${subject.workflow}` +
          `/agent:${subject.agent}/toolset:${subject.toolset}`
        yield* ledger.createPolicy(tenant, {
          name: wide(256),
          scopePattern: "*",
          maxSteps: 9,
          maxReservationsPerMinute: 9
        })
        yield* ledger.createBudget(tenant, {
          scope,
          allocated: tokens(100),
          limits: [
            { id: plain(64), window: { _tag: "rolling", lengthMs: DAY_MS }, amount: tokens(90) },
            {
              id: plain(64),
              window: { _tag: "calendar", every: "month", timeZone: "America/Argentina/ComodRivadavia" },
              amount: tokens(90),
              rollover: tokens(1)
            }
          ]
        })
        const authority = ledger.as({ tenant })
        const key = (): IdempotencyKey => IdempotencyKey.make(wide(256))
        const named = { kind: wide(64), name: wide(256) }
        const { reservationId } = yield* authority.reserve({
          idempotencyKey: key(),
          subject,
          action: named,
          estimate: tokens(10)
        })
        const metrics = { modelVersion: wide(128) }
        yield* authority.commit(reservationId!, { idempotencyKey: key(), actual: tokens(10), metrics })
        yield* authority.event({ idempotencyKey: key(), subject, action: named, actual: tokens(1), metrics })
        yield* ledger.fund(tenant, { idempotencyKey: key(), scope, operation: "CREDIT", amount: tokens(5) })
        const { balance } = yield* ledger.explain(tenant, { scope, unit: "TOKENS" })
        assert.strictEqual(balance.spent?.amount, 11n)
      })
    )
  })

  describe(`${name}: explaining`, () => {
    test(
      "shows what has just expired as given back",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 100)
        yield* ledger.as({ tenant: "acme" }).reserve({ ...request(10), ttlMs: 5_000 })
        yield* TestClock.adjust(60_000)
        const { balance, lines } = yield* ledger.explain("acme", { scope: ACME, unit: "TOKENS" })
        assert.deepStrictEqual(lines.map(({ kind }) => kind), ["EXPIRE", "RESERVE", "CREATE"])
        assert.strictEqual(balance.reserved?.amount, 0n)
      })
    )

    test(
      "the lines of a balance add up to it, newest first, page by page",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 10_000)
        yield* open(ledger, BOT, 1_000, 50)
        for (let i = 0; i < 20; i++) yield* use(ledger, 10, 7, i % 4 === 0 ? { agent: "bot" } : { tenant: "acme" })
        const { reservationId } = yield* ledger.as({ tenant: "acme" }).reserve(request(5))
        yield* ledger.as({ tenant: "acme" }).release(reservationId!, { idempotencyKey: fresh() })
        const whole = yield* ledger.explain("acme", { scope: BOT, unit: "TOKENS", limit: 1_000 })
        assert.isUndefined(whole.next)
        assert.lengthOf(whole.lines, 1 + 2 * 5 + 2)
        const sum = (field: "allocated" | "spent" | "reserved" | "debt") =>
          whole.lines.reduce((total, line) => total + line[field], 0n)
        assert.deepStrictEqual(
          [sum("allocated"), sum("spent"), sum("reserved"), sum("debt")],
          [whole.balance.allocated?.amount, whole.balance.spent?.amount, whole.balance.reserved?.amount, 0n]
        )
        assert.strictEqual(whole.lines[0]?.remaining, whole.balance.remaining.amount)
        assert.deepStrictEqual(whole.lines.slice(0, 3).map(({ text }) => text), [
          "a hold of 5 TOKENS released for llm.completion gpt-4o; 965 TOKENS remain",
          "5 TOKENS held for llm.completion gpt-4o; 960 TOKENS remain",
          "7 TOKENS charged of 10 held for llm.completion gpt-4o; 965 TOKENS remain"
        ])
        const paged: Array<number> = []
        let from: number | undefined
        do {
          const page = yield* ledger.explain("acme", { scope: BOT, unit: "TOKENS", limit: 3, from })
          assert.isAtMost(page.lines.length, 3)
          paged.push(...page.lines.map(({ number }) => number))
          from = page.next
        } while (from !== undefined)
        assert.deepStrictEqual(paged, whole.lines.map(({ number }) => number))
      })
    )

    test(
      "refuses what is no budget, and another tenant's",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 10)
        const tag = (tenant: string, scope: string, limit?: number) =>
          Effect.map(Effect.flip(ledger.explain(tenant, { scope, unit: "TOKENS", limit })), ({ _tag }) => _tag)
        assert.strictEqual(yield* tag("acme", BOT), "BudgetNotFound")
        assert.strictEqual(yield* tag("beta", ACME), "Forbidden")
        assert.strictEqual(yield* tag("acme", "acme"), "InvalidRequest")
        assert.strictEqual(yield* tag("acme", ACME, 0), "InvalidRequest")
      })
    )
  })

  describe(`${name}: spending over time`, () => {
    const sums = (ledger: Ledger.Operations, query: Partial<SpendQuery>, tenant = "acme") =>
      Effect.map(
        ledger.spend(tenant, { by: "model", unit: "TOKENS", from: 0, to: 10 * DAY_MS, every: "day", ...query }),
        (rows) => rows.map(({ amount, startMs, value }) => [startMs / HOUR_MS, value, amount] as const)
      )

    test(
      "is counted by scope, agent, action and model, once, in the hour of the charge",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 100_000)
        yield* open(ledger, BOT, 100_000)
        const authority = ledger.as({ tenant: "acme" })
        const { reservationId } = yield* authority.reserve({ ...request(10), ttlMs: 2 * HOUR_MS })
        yield* TestClock.adjust(HOUR_MS)
        const commit = {
          idempotencyKey: fresh(),
          actual: tokens(7),
          metrics: { modelVersion: "gpt-4o-2024-08-06" }
        }
        yield* authority.commit(reservationId!, commit)
        yield* authority.commit(reservationId!, commit)
        const event = {
          idempotencyKey: fresh(),
          subject: { tenant: "acme" },
          action: { kind: "tool.search", name: "web|1/ü%\ud83d\ude00" },
          actual: tokens(3)
        }
        yield* authority.event(event)
        yield* authority.event(event)
        yield* TestClock.adjust(2 * HOUR_MS)
        yield* use(ledger, 5, 5)
        assert.deepStrictEqual(yield* sums(ledger, { every: "hour" }), [
          [1, "gpt-4o-2024-08-06", 7n],
          [1, "web|1/ü%\ud83d\ude00", 3n],
          [3, "gpt-4o", 5n]
        ])
        assert.deepStrictEqual(yield* sums(ledger, { by: "action" }), [
          [0, "llm.completion:gpt-4o", 12n],
          [0, "tool.search:web|1/ü%\ud83d\ude00", 3n]
        ])
        assert.deepStrictEqual(yield* sums(ledger, { by: "agent" }), [[0, undefined, 3n], [0, "bot", 12n]])
        assert.deepStrictEqual(yield* sums(ledger, { by: "scope" }), [[0, ACME, 15n], [0, BOT, 12n]])
        assert.deepStrictEqual(yield* sums(ledger, { by: "scope", scope: BOT }), [[0, BOT, 12n]])
        assert.deepStrictEqual(yield* sums(ledger, { from: 2 * HOUR_MS }), [[0, "gpt-4o", 5n]])
        assert.deepStrictEqual(yield* sums(ledger, { to: HOUR_MS }), [])
        assert.deepStrictEqual(yield* sums(ledger, { unit: "CREDITS" }), [])
        assert.deepStrictEqual(yield* sums(ledger, {}, "beta"), [])
        assert.deepStrictEqual(yield* sums(ledger, { timeZone: "Asia/Tokyo" }), [
          [-9, "gpt-4o", 5n],
          [-9, "gpt-4o-2024-08-06", 7n],
          [-9, "web|1/ü%\ud83d\ude00", 3n]
        ])
      })
    )

    test(
      "adds up to what the budgets say was spent, with many charges at once",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf({ alerts: { thresholds: [] } })
        yield* open(ledger, ACME, 3_000, 200)
        for (const agent of ["a", "b", "c"]) yield* open(ledger, `${ACME}/agent:${agent}`, 2_000, 200)
        const pick = random(7)
        for (let hour = 0; hour < 30; hour++) {
          yield* Effect.forEach(
            Array.from({ length: 8 }, () => [pick(3), pick(30), pick(60)] as const),
            ([agent, estimate, actual]) =>
              Effect.exit(use(ledger, estimate, actual, { agent: ["a", "b", "c"][agent] ?? "" })),
            { concurrency: 8 }
          )
          yield* TestClock.adjust(HOUR_MS)
        }
        const { balances } = yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
        const spent = balances.map(({ debt, scope, spent }): readonly [string, bigint] => [
          scope,
          (spent?.amount ?? 0n) + (debt?.amount ?? 0n)
        ])
        for (const every of ["hour", "day"] as const) {
          const rows = yield* sums(ledger, { by: "scope", every })
          assert.deepStrictEqual(
            spent,
            spent.map(([scope]) => [
              scope,
              rows.reduce((sum, [, value, amount]) => value === scope ? sum + amount : sum, 0n)
            ])
          )
        }
        assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
      })
    )

    test(
      "counts what was billed, not what was used, and tells long names apart",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 10)
        const long = "x".repeat(250)
        for (const end of ["a", "b"]) {
          yield* ledger.as({ tenant: "acme" }).event({
            idempotencyKey: fresh(),
            subject: { tenant: "acme" },
            action: { kind: "tool.search", name: `${long}${end}` },
            actual: tokens(8)
          })
        }
        const rows = yield* sums(ledger, {})
        assert.deepStrictEqual(rows.map(([, , amount]) => amount).sort(), [2n, 8n])
        for (const [, value] of rows) assert.isTrue(value?.startsWith("xxx") && value.length <= 96)
      })
    )

    test(
      "puts the parts of an allotment where its breakdown puts them, and no more than was charged",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 1_000)
        const authority = ledger.as({ tenant: "acme" })
        const row = (scope: string, name: string, charged: bigint, model?: string): Breakdown.Row => ({
          scope,
          action: { kind: "llm.completion", name },
          charged,
          ...(model === undefined ? undefined : { model })
        })
        const { reservationId } = yield* authority.reserve(request(100))
        yield* authority.commit(reservationId!, {
          idempotencyKey: fresh(),
          actual: tokens(60),
          metadata: Breakdown.toMetadata([
            row(`${BOT}/toolset:web`, "m1", 30n, "m1-v2"),
            row(BOT, "m2", 20n),
            row("tenant:acme/agent:somebody-else", "m3", 5n),
            row("tenant:other", "m3", 5n)
          ])
        })
        assert.deepStrictEqual(yield* sums(ledger, { by: "scope" }), [
          [0, ACME, 60n],
          [0, BOT, 60n],
          [0, `${BOT}/toolset:web`, 30n]
        ])
        assert.deepStrictEqual(yield* sums(ledger, { by: "model" }), [
          [0, "gpt-4o", 10n],
          [0, "m1-v2", 30n],
          [0, "m2", 20n]
        ])
        const second = yield* authority.reserve(request(100))
        yield* authority.commit(second.reservationId!, {
          idempotencyKey: fresh(),
          actual: tokens(10),
          metadata: Breakdown.toMetadata([row(BOT, "m4", 8n), row(BOT, "m5", 1_000n)])
        })
        assert.deepStrictEqual(yield* sums(ledger, { by: "agent" }), [[0, "bot", 70n]])
        assert.isTrue((yield* sums(ledger, {})).some(([, value, amount]) => value === "m5" && amount === 2n))
      })
    )

    test(
      "is put down to whom it was for: each charge once, and all of it",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf({ alerts: { thresholds: [] } })
        yield* open(ledger, ACME, 1_000_000)
        yield* open(ledger, "tenant:acme/workflow:a", 100_000)
        yield* open(ledger, "tenant:acme/workflow:a/agent:bot", 100_000)
        const authority = ledger.as({ tenant: "acme" })
        const costs = (by: CostQuery["by"], query: Partial<CostQuery> = {}) =>
          Effect.map(
            ledger.costs("acme", { by, unit: "TOKENS", from: 0, to: 10 * DAY_MS, ...query }),
            (rows) =>
              rows.map(({ own, steps, total }) =>
                [steps.map(({ dimension, value }) => `${dimension}:${value}`).join(";"), own, total] as const
              )
          )
        yield* use(ledger, 100, 40, { workflow: "a" })
        yield* use(ledger, 100, 30, { workflow: "a", agent: "bot" })
        yield* TestClock.adjust(HOUR_MS)
        yield* use(ledger, 100, 20, { agent: "bot", toolset: "web" })
        yield* use(ledger, 100, 5, { tenant: "acme" })
        yield* use(ledger, 100, 0, { agent: "idle" })
        const { reservationId } = yield* authority.reserve(request(100, { workflow: "a" }))
        yield* authority.commit(reservationId!, {
          idempotencyKey: fresh(),
          actual: tokens(60),
          metadata: Breakdown.toMetadata([
            { scope: "tenant:acme/workflow:a/agent:bot", action, charged: 25n, model: "gpt-4o-mini" },
            { scope: "tenant:acme/workflow:b", action, charged: 500n }
          ])
        })
        assert.deepStrictEqual(yield* costs(["workflow", "agent"]), [
          ["", 5n, 155n],
          ["workflow:a", 75n, 130n],
          ["workflow:a;agent:bot", 55n, 55n],
          ["agent:bot", 20n, 20n]
        ])
        assert.deepStrictEqual(yield* costs(["agent", "model"], { scope: "tenant:acme/workflow:a" }), [
          ["model:gpt-4o", 75n, 75n],
          ["agent:bot", 0n, 55n],
          ["agent:bot;model:gpt-4o", 30n, 30n],
          ["agent:bot;model:gpt-4o-mini", 25n, 25n]
        ])
        assert.deepStrictEqual(yield* costs(["scope"], { from: HOUR_MS }), [
          ["tenant:acme", 5n, 85n],
          ["tenant:acme;workflow:a", 35n, 60n],
          ["tenant:acme;workflow:a;agent:bot", 25n, 25n],
          ["tenant:acme;agent:bot", 0n, 20n],
          ["tenant:acme;agent:bot;toolset:web", 20n, 20n]
        ])
        assert.deepStrictEqual(yield* costs(["model"], { to: HOUR_MS }), [["model:gpt-4o", 70n, 70n]])
        assert.deepStrictEqual(yield* costs(["action"], { unit: "CREDITS" }), [])
        const { balances } = yield* authority.balances({ tenant: "acme" })
        const places = new Map((yield* costs(["scope"])).map(([place, , total]) => [place.replaceAll(";", "/"), total]))
        // What an allotment's children use is charged to their parent: the budgets below it were not asked.
        assert.deepStrictEqual(
          balances.map(({ scope, spent }) => [scope, (places.get(scope) ?? 0n) - (spent?.amount ?? 0n)]),
          [[ACME, 0n], ["tenant:acme/workflow:a", 0n], ["tenant:acme/workflow:a/agent:bot", 25n]]
        )
        const by: ReadonlyArray<CostQuery["by"]> = [["model", "agent"], ["toolset"], ["tenant", "action"], [
          "scope",
          "model"
        ]]
        for (const names of by) {
          const sum = (yield* costs(names)).reduce((sum, [, own]) => sum + own, 0n)
          assert.strictEqual(sum, 155n, names.join())
        }
      })
    )

    test(
      "is put down to whom it was for, with many charges at once",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf({ alerts: { thresholds: [] } })
        yield* open(ledger, ACME, 3_000, 200)
        for (const agent of ["a", "b", "c"]) yield* open(ledger, `${ACME}/agent:${agent}`, 2_000, 200)
        const pick = random(11)
        for (let hour = 0; hour < 10; hour++) {
          yield* Effect.forEach(
            Array.from({ length: 8 }, () => [pick(3), pick(30), pick(60)] as const),
            ([agent, estimate, actual]) =>
              Effect.exit(use(ledger, estimate, actual, { agent: ["a", "b", "c"][agent] ?? "" })),
            { concurrency: 8 }
          )
          yield* TestClock.adjust(HOUR_MS)
        }
        const { balances } = yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
        const rows = yield* ledger.costs("acme", { by: ["scope"], unit: "TOKENS", from: 0, to: DAY_MS })
        const totals = new Map(
          rows.map((
            { steps, total }
          ) => [steps.map(({ dimension, value }) => `${dimension}:${value}`).join("/"), total])
        )
        assert.lengthOf(balances, 4)
        for (const { debt, scope, spent } of balances) {
          assert.strictEqual(totals.get(scope), (spent?.amount ?? 0n) + (debt?.amount ?? 0n), scope)
        }
        assert.strictEqual(rows.reduce((sum, { own }) => sum + own, 0n), totals.get(ACME))
      })
    )

    test(
      "refuses a question that is not well formed",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        const flawed = (query: Partial<SpendQuery>) =>
          Effect.map(
            Effect.flip(sums(ledger, query)),
            (error) => error._tag === "InvalidRequest" ? error.field : error._tag
          )
        assert.strictEqual(yield* flawed({ timeZone: "Mars/Olympus" }), "timeZone")
        assert.strictEqual(yield* flawed({ from: 5, to: 4 }), "to")
        assert.strictEqual(yield* flawed({ scope: "agent:bot" }), "scope")
        assert.strictEqual(yield* flawed({ scope: "tenant:other" }), "Forbidden")
        const by = (...by: CostQuery["by"]) =>
          Effect.map(
            Effect.flip(ledger.costs("acme", { by, unit: "TOKENS", from: 0, to: HOUR_MS })),
            (error) => error._tag === "InvalidRequest" ? error.field : error._tag
          )
        assert.strictEqual(yield* by(), "by")
        assert.strictEqual(yield* by("agent", "model", "agent"), "by")
        assert.strictEqual(yield* by("scope", "agent"), "by")
      })
    )
  })

  describe(`${name}: retention`, () => {
    test(
      "folds older entries into one opening entry per balance, and what follows continues from it",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 100_000)
        yield* open(ledger, BOT, 1_000)
        yield* open(ledger, "tenant:acme/agent:idle", 5)
        for (let i = 0; i < 10; i++) yield* use(ledger, 10, 7)
        yield* TestClock.adjust(DAY_MS)
        for (let i = 0; i < 3; i++) yield* use(ledger, 10, 7)
        const before = yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
        assert.deepStrictEqual(yield* ledger.compact("acme", { entries: DAY_MS }), {
          folded: 23,
          openings: 3,
          events: 0,
          acts: 0
        })
        const kept = yield* Stream.runCollect(ledger.history("acme"))
        assert.deepStrictEqual(kept.map(({ kind, number }) => [number, kind]), [
          [21, "OPENING"],
          [22, "OPENING"],
          [23, "OPENING"],
          [24, "RESERVE"],
          [25, "COMMIT"],
          [26, "RESERVE"],
          [27, "COMMIT"],
          [28, "RESERVE"],
          [29, "COMMIT"]
        ])
        assert.deepStrictEqual(yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" }), before)
        assert.deepStrictEqual(yield* ledger.verify("acme"), { entries: 9, budgets: 3, flaws: [] })
        for (const [scope, lines] of [[ACME, 7], [BOT, 7], ["tenant:acme/agent:idle", 1]] as const) {
          const explained = yield* ledger.explain("acme", { scope, unit: "TOKENS" })
          assert.lengthOf(explained.lines, lines)
          const last = explained.lines[explained.lines.length - 1]
          assert.strictEqual(last?.kind, "OPENING")
          assert.strictEqual(
            explained.lines.reduce((sum, line) => sum + line.spent, 0n),
            explained.balance.spent?.amount
          )
        }
        assert.deepInclude(yield* ledger.compact("acme", { entries: DAY_MS }), { folded: 0 })
        yield* use(ledger, 10, 7)
        assert.deepInclude(yield* ledger.compact("acme", { entries: 2 * DAY_MS }), { folded: 8, openings: 3 })
        assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
        yield* use(ledger, 10, 7)
        assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
      })
    )

    test(
      "drops events once they were handed on and are old, and no others",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 100)
        yield* credit(ledger, ACME, 1)
        assert.deepInclude(yield* ledger.compact("acme", { events: DAY_MS }), { events: 0 })
        const relay = Effect.forkScoped(Stream.runDrain(ledger.outbox), { startImmediately: true })
        const first = yield* relay
        yield* delivered
        yield* Fiber.interrupt(first)
        yield* TestClock.adjust(DAY_MS)
        yield* credit(ledger, ACME, 1)
        yield* relay
        yield* delivered
        assert.deepInclude(yield* ledger.compact("acme", { events: DAY_MS }), { events: 2 })
        assert.deepStrictEqual((yield* eventsOf(ledger)).map(({ number }) => number), [3])
        yield* credit(ledger, ACME, 1)
        assert.deepStrictEqual((yield* eventsOf(ledger)).map(({ number }) => number), [3, 4])
      })
    )

    test(
      "drops governance acts that are old",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        const { transact } = yield* LedgerStore
        const act = (name: string) => ledger.createPolicy("acme", { name, scopePattern: ACME, maxSteps: 3 })
        yield* act("old")
        yield* act("older")
        yield* TestClock.adjust(DAY_MS)
        yield* act("new")
        assert.deepInclude(yield* ledger.compact("acme", { acts: DAY_MS }), { acts: 2 })
        const acts = yield* transact(["acme"], (tx) => tx.acts("acme", 0, 10))
        assert.deepStrictEqual(acts.map(({ number }) => number), [3])
      })
    )

    test(
      "happens by itself where it is asked for",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf({ retention: { entriesMs: HOUR_MS, spendMs: HOUR_MS } })
        for (const tenant of ["acme", "beta"]) {
          yield* open(ledger, `tenant:${tenant}`, 1_000)
          for (let i = 0; i < 4; i++) yield* use(ledger, 10, 7, { tenant }, tenant)
        }
        const query = { by: "agent", unit: "TOKENS", from: 0, to: DAY_MS, every: "hour" } as const
        assert.lengthOf(yield* ledger.spend("acme", query), 1)
        const isFolded = (tenant: string) =>
          Effect.map(Stream.runCollect(ledger.history(tenant)), ([first]) => first?.kind === "OPENING")
        yield* until(isFolded("acme"), HOUR_MS)
        yield* until(isFolded("beta"), HOUR_MS)
        for (const tenant of ["acme", "beta"]) {
          const kept = yield* Stream.runCollect(ledger.history(tenant))
          assert.deepStrictEqual(kept.map(({ kind }) => kind), ["OPENING"])
          assert.deepStrictEqual((yield* ledger.verify(tenant)).flaws, [])
        }
        yield* until(Effect.map(ledger.spend("acme", query), (rows) => rows.length === 0), HOUR_MS)
        assert.lengthOf(yield* ledger.spend("acme", query), 0)
      })
    )

    test(
      "is done once when it is asked for several times at once",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        yield* open(ledger, ACME, 1_000)
        for (let i = 0; i < 10; i++) yield* use(ledger, 10, 10)
        yield* TestClock.adjust(DAY_MS)
        const compact = ledger.compact("acme", { entries: DAY_MS, acts: DAY_MS })
        // What comes first has the lane to itself; the others wait for it, and are one transaction.
        const [, ...all] = yield* Effect.all([
          Effect.as(ledger.entries("acme"), { folded: 0 }),
          compact,
          compact,
          compact
        ], { concurrency: "unbounded" })
        assert.strictEqual(all.reduce((sum, { folded }) => sum + folded, 0), 21)
        assert.deepStrictEqual(yield* ledger.verify("acme"), { entries: 1, budgets: 1, flaws: [] })
      })
    )

    test(
      "works through a history of several pages, many balances among them",
      Effect.gen(function*() {
        const ledger = yield* ledgerOf()
        const scopes = Array.from({ length: 1_200 }, (_, i) => `${ACME}/agent:a${i}`)
        yield* Effect.forEach(scopes, (scope) => open(ledger, scope, 1_000), { concurrency: 256 })
        yield* Effect.forEach(
          Array.from({ length: 2_000 }, (_, i) => i),
          (i) =>
            ledger.as({ tenant: "acme" }).event({
              idempotencyKey: fresh(),
              subject: { agent: `a${i % 7}` },
              action,
              actual: tokens(1)
            }),
          { concurrency: 256 }
        )
        const { folded, openings } = yield* ledger.compact("acme", { entries: 1 })
        assert.strictEqual(openings, 1_200)
        assert.strictEqual(folded, 3_200)
        assert.deepStrictEqual(yield* ledger.verify("acme"), { entries: 1_200, budgets: 1_200, flaws: [] })
        for (const agent of ["a0", "a6", "a777", "a1199"]) {
          const { lines } = yield* ledger.explain("acme", { scope: `${ACME}/agent:${agent}`, unit: "TOKENS" })
          assert.deepStrictEqual(lines.map(({ kind }) => kind), ["OPENING"])
        }
      })
    )

    test(
      "leaves balances, proofs and explanations as they were, whenever it comes",
      Effect.forEach(Array.from({ length: 20 }, (_, i) => i + 1), (seed) =>
        Effect.scoped(Effect.gen(function*() {
          const pick = random(seed)
          const tenant = `t${seed}`
          const ledger = yield* ledgerOf({ alerts: { thresholds: [] } })
          const authority = ledger.as({ tenant })
          const start = yield* Clock.currentTimeMillis
          const scopes = [`tenant:${tenant}`, `tenant:${tenant}/agent:a`, `tenant:${tenant}/agent:b`]
          for (const scope of scopes) yield* open(ledger, scope, 200 + pick(2_000), pick(2) * 100)
          const held: Array<NonNullable<Parameters<typeof authority.commit>[0]>> = []
          for (let step = 0; step < 80; step++) {
            const subject = [{ tenant }, { agent: "a" }, { agent: "b" }][pick(3)] ?? {}
            const which = pick(8)
            const ignored = (effect: Effect.Effect<unknown, unknown>) => Effect.asVoid(Effect.exit(effect))
            if (which <= 2) {
              const reply = yield* Effect.exit(
                authority.reserve({ ...request(1 + pick(100), subject), overagePolicy: "ALLOW_WITH_OVERDRAFT" })
              )
              if (reply._tag === "Success" && reply.value.reservationId !== undefined) {
                held.push(reply.value.reservationId)
              }
            } else if (which <= 4 && held.length > 0) {
              const [id] = held.splice(pick(held.length), 1)
              yield* ignored(authority.commit(id!, { idempotencyKey: fresh(), actual: tokens(pick(150)) }))
            } else if (which === 5) {
              yield* ignored(ledger.fund(tenant, {
                idempotencyKey: fresh(),
                scope: scopes[pick(3)] ?? "",
                operation: (["CREDIT", "DEBIT", "RESET", "RESET_SPENT", "REPAY_DEBT"] as const)[pick(5)] ?? "CREDIT",
                amount: tokens(pick(500))
              }))
            } else if (which === 6) {
              yield* TestClock.setTime(start + step * 10_000)
            } else {
              const before = yield* authority.balances({ tenant })
              yield* ledger.compact(tenant, { entries: start + pick(step * 10_000 + 1) })
              assert.deepStrictEqual(yield* authority.balances({ tenant }), before)
            }
            if (step % 8 === 0) {
              const { flaws } = yield* ledger.verify(tenant)
              assert.deepStrictEqual(flaws, [], `seed ${seed}, step ${step}`)
            }
          }
          for (const scope of scopes) {
            const { balance, lines } = yield* ledger.explain(tenant, { scope, unit: "TOKENS", limit: 1_000 })
            for (const field of ["allocated", "spent", "reserved", "debt"] as const) {
              assert.strictEqual(
                lines.reduce((sum, line) => sum + line[field], 0n),
                balance[field]?.amount ?? 0n,
                `seed ${seed}, ${scope}, ${field}`
              )
            }
          }
        })))
    )
  })
}
