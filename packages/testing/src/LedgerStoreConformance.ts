/**
 * What every `LedgerStore` must do, as a suite of tests that any store can run.
 *
 * The suite asks for nothing but the inner port. It says nothing of rules, which no store knows, and nothing of durability, which
 * each store promises in its own words and has to prove by itself.
 *
 * **Example** (The store in memory is one)
 *
 * ```ts
 * import { LedgerStoreConformance } from "@effect-cycles/testing"
 * import { LedgerStoreMemory } from "effect-cycles"
 *
 * const layerOf: LedgerStoreConformance.LayerOf = () => LedgerStoreMemory.layer
 *
 * // In a test file: LedgerStoreConformance.suite("a store in memory", layerOf)
 * console.log(typeof layerOf) // => "function"
 * ```
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import type { LedgerTx, Operations } from "effect-cycles/ledger/LedgerStore"
import { LedgerStore, StoreError } from "effect-cycles/ledger/LedgerStore"
import * as Listing from "effect-cycles/ledger/Listing"
import * as Logs from "effect-cycles/ledger/Logs"
import type {
  Act,
  ApiKeyRow,
  BudgetRow,
  CounterRow,
  Entry,
  IdempotencyRow,
  LedgerEvent,
  Operation,
  PolicyRow,
  ReservationRow,
  TenantRow
} from "effect-cycles/ledger/Model"
import { emptyTenant, recordKey } from "effect-cycles/ledger/Model"
import type { Keys, Writes } from "effect-cycles/ledger/View"
import { View } from "effect-cycles/ledger/View"
import type { Unit } from "effect-cycles/protocol/Amount"
import { MAX_INT64, MIN_INT64 } from "effect-cycles/protocol/Amount"
import { EventId, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import type { ReservationsQuery, ReservationStatus, SortBy } from "effect-cycles/protocol/ReservationRecord"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import type * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"

/**
 * How a suite gets a store with nothing in it for each of its tests. It takes its time from the `Clock`, which stands still but
 * when a test moves it.
 *
 * @category models
 * @since 0.1.0
 */
export type LayerOf = () => Layer.Layer<LedgerStore, unknown>

// ---------------------------------------------------------------------------------------------------------------------
// words for the tests
// ---------------------------------------------------------------------------------------------------------------------

const DAY_MS = 86_400_000
const START_MS = 1_790_000_000_000

const noKeys: Keys = {
  tenants: [],
  wholes: [],
  scopes: [],
  reservations: [],
  records: [],
  counters: [],
  documents: []
}

const noWrites: Writes = {
  tenants: [],
  budgets: [],
  reservations: [],
  records: [],
  counters: [],
  documents: [],
  removed: [],
  entries: [],
  foldedEntries: new Map(),
  droppedEvents: new Map(),
  droppedActs: new Map(),
  events: [],
  acts: []
}

const tenantRow = (tenant: string, over?: Partial<TenantRow>): TenantRow => ({ ...emptyTenant(tenant), ...over })

const budgetRow = (tenant: string, path = "", over?: Partial<BudgetRow>): BudgetRow => ({
  id: `budget-${tenant}${path}`,
  tenant,
  scope: `tenant:${tenant}${path}`,
  unit: "TOKENS",
  allocated: 1_000n,
  spent: 10n,
  reserved: 20n,
  debt: 0n,
  overdraftLimit: 5n,
  capped: false,
  status: "ACTIVE",
  lastEntry: 3,
  limits: [],
  overagePolicy: undefined,
  metadata: undefined,
  createdAtMs: START_MS,
  updatedAtMs: START_MS,
  lastDenial: undefined,
  pace: undefined,
  period: undefined,
  ...over
})

const reservationId = (id: string): ReservationId => ReservationId.make(id)

const reservationRow = (tenant: string, id: string, over?: Partial<ReservationRow>): ReservationRow => ({
  id: reservationId(id),
  tenant,
  idempotencyKey: IdempotencyKey.make(`key-${id}`),
  status: "ACTIVE",
  subject: { tenant, agent: "bot", dimensions: { run_id: "7" } },
  action: { kind: "llm.completion", name: "gpt-4o", tags: ["a"] },
  estimate: { unit: "TOKENS", amount: 100n },
  scopes: [`tenant:${tenant}`, `tenant:${tenant}/agent:bot`],
  budgeted: [`tenant:${tenant}`],
  overagePolicy: "REJECT",
  createdAtMs: START_MS,
  expiresAtMs: START_MS + 60_000,
  gracePeriodMs: 5_000,
  extensions: 0,
  maxExtensions: undefined,
  caps: undefined,
  policyId: undefined,
  windows: [],
  metadata: undefined,
  charged: undefined,
  metrics: undefined,
  committedMetadata: undefined,
  finalizedAtMs: undefined,
  ...over
})

const settled = (row: ReservationRow, status: ReservationStatus, finalizedAtMs: number): ReservationRow => ({
  ...row,
  status,
  finalizedAtMs,
  charged: { unit: "TOKENS", amount: 40n },
  metrics: { tokensInput: 3, custom: { exact: 9_007_199_254_740_993n } },
  committedMetadata: { note: "é" }
})

const recordRow = (
  tenant: string,
  key: string,
  operation: Operation = "reserve",
  over?: Partial<IdempotencyRow>
): IdempotencyRow => ({
  ...recordKey(tenant, operation, key),
  digest: "d".repeat(64),
  reply: {
    decision: "ALLOW",
    reservationId: reservationId("r-1"),
    reserved: { unit: "TOKENS", amount: MAX_INT64 },
    affectedScopes: [`tenant:${tenant}`]
  },
  reservationId: undefined,
  keepUntilMs: START_MS + DAY_MS,
  ...over
})

const counterRow = (tenant: string, id: string, used = 1n, keepUntilMs = START_MS + DAY_MS): CounterRow => ({
  tenant,
  id,
  used,
  held: 2n,
  carried: MIN_INT64,
  keepUntilMs
})

const figuresOf = (tenant: string, lastEntry: number, spent: bigint) => ({
  tenant,
  scope: `tenant:${tenant}`,
  unit: "TOKENS" as const,
  allocated: 1_000n,
  spent,
  reserved: 0n,
  debt: 0n,
  overdraftLimit: 0n,
  capped: false,
  status: "ACTIVE" as const,
  lastEntry
})

const entryRow = (tenant: string, number: number, over?: Partial<Entry>): Entry => ({
  tenant,
  number,
  atMs: START_MS + number,
  kind: "COMMIT",
  actor: "key-1",
  reservationId: reservationId("r-1"),
  eventId: EventId.make("e-1"),
  action: { kind: "llm.completion", name: "gpt-4o" },
  metrics: { latencyMs: 5 },
  reason: "why",
  requestId: "request",
  traceId: undefined,
  changes: [{ before: figuresOf(tenant, number - 1, 0n), after: figuresOf(tenant, number, 7n) }],
  ...over
})

const eventRow = (tenant: string, number: number, over?: Partial<LedgerEvent>): LedgerEvent => ({
  tenant,
  number,
  atMs: START_MS,
  type: "reservation.denied",
  actor: "key-1",
  actorType: "api_key",
  keyId: "key-1",
  scope: `tenant:${tenant}`,
  unit: "CREDITS",
  reservationId: undefined,
  requestId: undefined,
  traceId: "trace",
  details: { requested: MAX_INT64, text: "n1", list: ["a"], deep: { share: 0.5 } },
  ...over
})

const actRow = (tenant: string, number: number, over?: Partial<Act>): Act => ({
  tenant,
  number,
  atMs: START_MS,
  actor: "operator",
  actorType: "admin",
  keyId: undefined,
  operation: "createBudget",
  resourceType: "budget",
  resourceId: `tenant:${tenant}`,
  errorCode: number % 2 === 0 ? "NOT_FOUND" : undefined,
  requestId: undefined,
  traceId: undefined,
  details: { amount: 5n },
  ...over
})

const apiKeyRow = (tenant: string, id: string, over?: Partial<ApiKeyRow>): ApiKeyRow => ({
  _tag: "api_key",
  tenant,
  id,
  prefix: "cyc_",
  hash: "f".repeat(64),
  status: "ACTIVE",
  name: "a key",
  description: undefined,
  permissions: ["reservations:create"],
  scopeFilter: [],
  metadata: { since: 2n ** 60n },
  createdAtMs: START_MS,
  expiresAtMs: START_MS + DAY_MS,
  revokedAtMs: undefined,
  revokedReason: undefined,
  ...over
})

const policyRow = (tenant: string, id: string, over?: Partial<PolicyRow>): PolicyRow => ({
  _tag: "policy",
  tenant,
  id,
  name: "a policy",
  description: undefined,
  scopePattern: "tenant:*",
  priority: 3,
  status: "ACTIVE",
  caps: { maxTokens: 100 },
  stateCaps: [{ belowShare: 0.2, caps: { cooldownMs: 5 } }],
  overagePolicy: undefined,
  defaultTtlMs: 1_000,
  maxTtlMs: undefined,
  maxExtensions: undefined,
  maxReservationsPerMinute: undefined,
  maxCommitsPerMinute: undefined,
  maxSteps: 5,
  allowedActionKinds: [],
  deniedActionKinds: ["x"],
  effectiveFromMs: undefined,
  effectiveUntilMs: undefined,
  createdAtMs: START_MS,
  updatedAtMs: START_MS,
  ...over
})

/** Reads a log by everything it can be read by, in pages of some sizes, and compares it with what it should be. */
const inEveryOrder = Effect.fnUntraced(
  function*<Row extends { readonly atMs: number; readonly tenant: string; readonly number: number }, C extends string>(
    read: (page: Logs.LogPage<C>) => Effect.Effect<ReadonlyArray<Row>, StoreError>,
    rows: ReadonlyArray<Row>,
    columns: Logs.Columns<Row, C>,
    sorted: ReadonlyArray<C>
  ) {
    const names: ReadonlyArray<C> = Object.keys(columns) as Array<C>
    const orders: Array<Pick<Logs.LogPage<C>, "by" | "only">> = [{ by: "time" }, { by: "tenant" }]
    for (const tenant of new Set(rows.map((row) => row.tenant))) orders.push({ by: "tenant", only: tenant })
    for (const by of sorted) orders.push({ by })
    for (const by of names) {
      for (const only of new Set(rows.map(columns[by]))) if (only !== "") orders.push({ by, only })
    }
    for (const order of orders) {
      for (const isDown of [false, true]) {
        const expected = Logs.pageOf(rows, { ...order, isDown, limit: rows.length }, columns)
        for (const limit of [1, 4, 100]) {
          const found: Array<Row> = []
          for (;;) {
            const last = found[found.length - 1]
            const after = last === undefined ? undefined : Logs.positionOf(last, order.by, columns)
            const page = yield* read({ ...order, isDown, after, limit })
            found.push(...page)
            if (page.length < limit) break
          }
          assert.deepStrictEqual(found, expected, Formatter.format({ ...order, isDown, limit }))
        }
      }
    }
    // A place where no row is, as the end of a stretch of time is one.
    const between = { value: "", atMs: START_MS + 20, tenant: "", number: 0 }
    const page = { by: "time" as const, after: between, limit: 100 }
    assert.notInclude([
      ...(yield* read({ ...page, isDown: false })).map(({ atMs }) => atMs >= START_MS + 20),
      ...(yield* read({ ...page, isDown: true })).map(({ atMs }) => atMs < START_MS + 20)
    ], false)
  }
)

/** Writes some rows in a transaction of their tenants. */
const write = (store: Operations, tenants: ReadonlyArray<string>, writes: Partial<Writes>) =>
  store.transact(tenants, (tx) => tx.write({ ...noWrites, ...writes }))

/** Loads some keys in a transaction, twice over: what a store answers once, it answers again. */
const load = (store: Operations, tenants: ReadonlyArray<string>, keys: Partial<Keys>) =>
  store.transact(tenants, (tx) =>
    Effect.gen(function*() {
      const view = new View()
      yield* tx.load({ ...noKeys, ...keys }, view)
      return view
    }))

/** Reads a list in a transaction of one tenant. */
const list = <A>(
  store: Operations,
  tenant: string,
  read: (tx: LedgerTx) => Effect.Effect<A, StoreError>
): Effect.Effect<A, StoreError> => store.transact([tenant], read)

/** The same numbers for the same seed, from 0 to below a bound. */
const numbers = (seed: number) => (below: number): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((seed / 4_294_967_296) * below)
}

const ids = (rows: ReadonlyArray<{ readonly id: string }>): ReadonlyArray<string> => rows.map(({ id }) => id)

const statuses = ["ACTIVE", "COMMITTED", "RELEASED", "EXPIRED"] as const
const units: ReadonlyArray<Unit> = ["CREDITS", "RISK_POINTS", "TOKENS", "USD_MICROCENTS"]

/** Texts that a database may know differently. */
const odd = [
  "plain",
  "",
  " ",
  "a/b",
  "a b",
  "'; DROP TABLE tenants; --",
  "%_*?",
  "\"\\",
  "A",
  "a",
  "é",
  "e\u0301",
  "ß",
  "ss",
  "💸",
  "\uffff",
  "\ud800",
  "\ud801",
  "\udc00\ud800",
  "x\u0000",
  "x\u0000y",
  "\u0001",
  "\u007f",
  "\u2028",
  "null",
  "1",
  "01",
  "long".repeat(31)
]

const byCodeUnit = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/** A query, for a message. */
const say = (query: ReservationsQuery): string =>
  Object.entries(query).map(([name, value]) => `${name}: ${String(value)}`).join(", ")

/** A body that fails on purpose. */
class Regretted extends Error {
  override readonly name = "Regretted"
}
const regret = new StoreError({ outcome: "none", cause: new Regretted("changed its mind") })

// ---------------------------------------------------------------------------------------------------------------------
// the suite
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Runs the suite over a store.
 *
 * @category tests
 * @since 0.1.0
 */
export const suite = (name: string, layerOf: LayerOf): void => {
  /** A test with a fresh store at the beginning of time. */
  const test = (title: string, body: (store: Operations) => Effect.Effect<void, StoreError>): void =>
    it.effect(title, () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(START_MS)
        yield* Effect.flatMap(LedgerStore, body)
      }).pipe(Effect.provide(layerOf())))

  describe(`${name}, a place for rows,`, () => {
    test("answers every key, with nothing where there is nothing", (store) =>
      Effect.gen(function*() {
        const record = recordKey("acme", "reserve", "k")
        const document = { tenant: "acme", kind: "policy", id: "p" } as const
        const view = yield* load(store, ["acme"], {
          tenants: ["acme"],
          wholes: ["acme"],
          scopes: ["tenant:acme"],
          reservations: [reservationId("r")],
          records: [record],
          counters: [{ tenant: "acme", id: "c" }],
          documents: [document]
        })
        assert.isTrue(view.knowsTenant("acme") && view.knowsWhole("acme") && view.knowsScope("tenant:acme"))
        assert.isTrue(view.knowsReservation(reservationId("r")) && view.knowsRecord(record))
        assert.isTrue(view.knowsCounter("acme", "c") && view.knowsDocument(document))
        assert.deepStrictEqual(view.tenant("acme"), emptyTenant("acme"))
        assert.deepStrictEqual(view.whole("acme"), { budgets: [], open: [], apiKeys: [] })
        assert.deepStrictEqual(view.budgetsAt("tenant:acme"), [])
        assert.isUndefined(view.reservation(reservationId("r")))
        assert.isUndefined(view.record(record))
        assert.isUndefined(view.counter("acme", "c"))
        assert.isUndefined(view.document(document))
      }))

    test("gives back every kind of row as it was written, and as it was written over", (store) =>
      Effect.gen(function*() {
        const profile = {
          name: "Acme",
          status: "SUSPENDED",
          parent: "group",
          overagePolicy: "ALLOW_WITH_OVERDRAFT",
          defaultTtlMs: 5_000,
          maxTtlMs: undefined,
          maxExtensions: 3,
          expiryPolicy: "GRACE_ONLY",
          metadata: { plan: "gold", seats: 2n ** 62n },
          createdAtMs: START_MS,
          updatedAtMs: START_MS + 1,
          suspendedAtMs: START_MS + 1,
          closedAtMs: undefined
        } as const
        const limits = [
          { id: "l", window: { _tag: "rolling", lengthMs: 1_000 }, amount: MAX_INT64, rollover: undefined },
          { id: "m", window: { _tag: "calendar", every: "day", timeZone: "Europe/Berlin" }, amount: 1n, rollover: 0n }
        ] as const
        const pace = { window: 7, spent: MAX_INT64, dozen: 3n, dozenBefore: 0n }
        const states: ReadonlyArray<
          Pick<Writes, "tenants" | "budgets" | "reservations" | "records" | "counters" | "documents">
        > = [
          {
            tenants: [tenantRow("acme", { lastTimeMs: 5, lastEntry: 1 })],
            budgets: [budgetRow("acme"), budgetRow("acme", "", { unit: "CREDITS" })],
            reservations: [reservationRow("acme", "r-1"), reservationRow("acme", "r-2")],
            records: [recordRow("acme", "k")],
            counters: [counterRow("acme", "c")],
            documents: [policyRow("acme", "d"), apiKeyRow("acme", "d")]
          },
          {
            tenants: [tenantRow("acme", { lastTimeMs: 9, lastEntry: 2, lastEvent: 3, lastAct: 4, profile })],
            budgets: [
              budgetRow("acme", "", {
                limits,
                pace,
                period: { rollover: "NONE", startMs: 1, endMs: undefined },
                lastDenial: 7,
                metadata: { a: [1, "n1", 2n ** 63n] }
              }),
              budgetRow("acme", "", { unit: "CREDITS", status: "CLOSED", spent: MAX_INT64 })
            ],
            reservations: [
              settled(reservationRow("acme", "r-1"), "COMMITTED", START_MS + 50),
              reservationRow("acme", "r-2", { expiresAtMs: START_MS + 90_000, extensions: 1 })
            ],
            records: [
              recordRow("acme", "k", "reserve", { digest: "e".repeat(64), reservationId: reservationId("r-2") })
            ],
            counters: [counterRow("acme", "c", MAX_INT64)],
            documents: [
              policyRow("acme", "d", { status: "DISABLED", caps: undefined }),
              apiKeyRow("acme", "d", { status: "REVOKED", revokedAtMs: START_MS, revokedReason: "lost" })
            ]
          }
        ]
        for (const state of states) {
          yield* write(store, ["acme"], state)
          const view = yield* load(store, ["acme"], {
            tenants: ["acme"],
            scopes: ["tenant:acme"],
            reservations: [reservationId("r-1"), reservationId("r-2")],
            records: state.records,
            counters: [{ tenant: "acme", id: "c" }],
            documents: [{ tenant: "acme", kind: "policy", id: "d" }, { tenant: "acme", kind: "api_key", id: "d" }]
          })
          assert.deepStrictEqual(view.tenant("acme"), state.tenants[0])
          assert.deepStrictEqual(view.budget("tenant:acme", "TOKENS"), state.budgets[0])
          assert.deepStrictEqual(view.budget("tenant:acme", "CREDITS"), state.budgets[1])
          assert.strictEqual(view.budgetsAt("tenant:acme").length, 2)
          assert.deepStrictEqual(view.reservation(reservationId("r-1")), state.reservations[0])
          assert.deepStrictEqual(view.reservation(reservationId("r-2")), state.reservations[1])
          assert.deepStrictEqual(view.record(recordKey("acme", "reserve", "k")), state.records[0])
          assert.deepStrictEqual(view.counter("acme", "c"), state.counters[0])
          assert.deepStrictEqual(view.document({ tenant: "acme", kind: "policy", id: "d" }), state.documents[0])
          assert.deepStrictEqual(view.document({ tenant: "acme", kind: "api_key", id: "d" }), state.documents[1])
          assert.deepStrictEqual<ReadonlyArray<unknown>>(view.policiesOf("acme"), [state.documents[0]])
        }
      }))

    test("writes over what the same transaction loaded, whatever changed of it", (store) =>
      Effect.gen(function*() {
        const row = reservationRow("acme", "r")
        const ends = [
          { ...row, expiresAtMs: row.expiresAtMs + 1_000, extensions: 1 },
          { ...row, gracePeriodMs: 0 },
          settled(row, "RELEASED", START_MS + 1),
          { ...settled(row, "EXPIRED", START_MS + 2), expiresAtMs: row.expiresAtMs + 5 }
        ]
        for (const end of ends) {
          yield* write(store, ["acme"], { reservations: [row] })
          yield* store.transact(["acme"], (tx) =>
            Effect.gen(function*() {
              const view = new View()
              yield* tx.load({ ...noKeys, reservations: [row.id] }, view)
              assert.deepStrictEqual(view.reservation(row.id), row)
              yield* tx.write({ ...noWrites, reservations: [end] })
            }))
          assert.deepStrictEqual((yield* load(store, ["acme"], { reservations: [row.id] })).reservation(row.id), end)
          const query: ReservationsQuery = {
            status: end.status,
            expiresFromMs: end.expiresAtMs,
            expiresToMs: end.expiresAtMs
          }
          const page = { after: undefined, limit: 5 }
          assert.deepStrictEqual(yield* list(store, "acme", (tx) => tx.reservations("acme", query, page)), [end])
        }
      }))

    for (const count of [1, 7, 8, 9, 300]) {
      test(`loads ${count} of each at once, and no others`, (store) =>
        Effect.gen(function*() {
          const all = Array.from({ length: count + 5 }, (_, i) => `${i}`)
          yield* write(store, ["acme"], {
            budgets: all.map((i) => budgetRow("acme", `/agent:${i}`, { spent: BigInt(i) })),
            reservations: all.map((i) => reservationRow("acme", `r-${i}`, { extensions: Number(i) })),
            records: all.map((i) => recordRow("acme", i, "commit", { digest: i })),
            counters: all.map((i) => counterRow("acme", i, BigInt(i))),
            documents: all.map((i) => policyRow("acme", i, { priority: Number(i) }))
          })
          const some = all.slice(0, count)
          const view = yield* load(store, ["acme"], {
            scopes: [...some, "none"].map((i) => `tenant:acme/agent:${i}`),
            reservations: [...some, "none"].map((i) => reservationId(`r-${i}`)),
            records: [...some, "none"].map((i) => recordKey("acme", "commit", i)),
            counters: [...some, "none"].map((id) => ({ tenant: "acme", id })),
            documents: [...some, "none"].map((id) => ({ tenant: "acme", kind: "policy", id }))
          })
          for (const i of some) {
            assert.strictEqual(view.budget(`tenant:acme/agent:${i}`, "TOKENS")?.spent, BigInt(i))
            assert.strictEqual(view.reservation(reservationId(`r-${i}`))?.extensions, Number(i))
            assert.strictEqual(view.record(recordKey("acme", "commit", i))?.digest, i)
            assert.strictEqual(view.counter("acme", i)?.used, BigInt(i))
            const document = view.document({ tenant: "acme", kind: "policy", id: i })
            assert.isTrue(document?._tag === "policy" && document.priority === Number(i))
          }
          assert.deepStrictEqual(view.budgetsAt("tenant:acme/agent:none"), [])
          assert.isTrue(view.knowsScope("tenant:acme/agent:none"))
          assert.isTrue(view.knowsReservation(reservationId("r-none")))
          assert.isTrue(view.knowsRecord(recordKey("acme", "commit", "none")))
          assert.isTrue(view.knowsCounter("acme", "none"))
          assert.isFalse(view.knowsReservation(reservationId(`r-${count}`)))
        }))
    }

    test("keeps amounts to the last digit and texts to the last unit, and takes none for another", (store) =>
      Effect.gen(function*() {
        const extremes = [MAX_INT64, MIN_INT64, 0n, -1n, 2n ** 53n + 1n]
        yield* write(store, ["acme"], {
          budgets: extremes.map((spent, i) => budgetRow("acme", `/agent:${i}`, { spent, allocated: spent })),
          reservations: odd.map((text, i) =>
            reservationRow("acme", `r-${text}`, {
              idempotencyKey: IdempotencyKey.make(`k-${text}`),
              estimate: { unit: "CREDITS", amount: MAX_INT64 - BigInt(i) },
              metadata: { [text]: text, n: BigInt(i) }
            })
          ),
          records: odd.map((text) => recordRow("acme", text, "release", { digest: text })),
          counters: odd.map((text, i) => counterRow("acme", text, BigInt(i))),
          documents: odd.map((text) => apiKeyRow("acme", text, { name: text }))
        })
        const view = yield* load(store, ["acme"], {
          scopes: extremes.map((_, i) => `tenant:acme/agent:${i}`),
          reservations: odd.map((text) => reservationId(`r-${text}`)),
          records: odd.map((text) => recordKey("acme", "release", text)),
          counters: odd.map((id) => ({ tenant: "acme", id })),
          documents: odd.map((id) => ({ tenant: "acme", kind: "api_key", id }))
        })
        for (const [i, spent] of extremes.entries()) {
          assert.strictEqual(view.budget(`tenant:acme/agent:${i}`, "TOKENS")?.spent, spent)
        }
        for (const [i, text] of odd.entries()) {
          const row = view.reservation(reservationId(`r-${text}`))
          assert.strictEqual(
            row?.estimate.amount,
            MAX_INT64 - BigInt(i),
            Array.from(text, (unit) => unit.charCodeAt(0)).join()
          )
          assert.deepStrictEqual(row?.metadata, { [text]: text, n: BigInt(i) })
          assert.strictEqual(view.record(recordKey("acme", "release", text))?.digest, text)
          assert.strictEqual(view.counter("acme", text)?.used, BigInt(i))
          const document = view.document({ tenant: "acme", kind: "api_key", id: text })
          assert.strictEqual(document?.name, text)
          assert.deepStrictEqual(yield* store.find("api_key", text), document)
          const page = { after: undefined, limit: 5 }
          const query = { idempotencyKey: IdempotencyKey.make(`k-${text}`) }
          const found = yield* list(store, "acme", (tx) => tx.reservations("acme", query, page))
          assert.deepStrictEqual<ReadonlyArray<unknown>>(found, [row])
        }
      }))

    test("loads everything a tenant has to close", (store) =>
      Effect.gen(function*() {
        const budgets = [budgetRow("acme"), budgetRow("acme", "/agent:a"), budgetRow("acme", "", { unit: "CREDITS" })]
        const open = reservationRow("acme", "open")
        const keys = [apiKeyRow("acme", "a"), apiKeyRow("acme", "b")]
        yield* write(store, ["acme", "other"], {
          budgets: [...budgets, budgetRow("other")],
          reservations: [
            open,
            settled(reservationRow("acme", "done"), "COMMITTED", START_MS),
            reservationRow("other", "o")
          ],
          documents: [...keys, policyRow("acme", "p"), apiKeyRow("other", "c")]
        })
        const whole = (yield* load(store, ["acme"], { wholes: ["acme"] })).whole("acme")
        const name = (row: BudgetRow) => `${row.scope} ${row.unit}`
        assert.sameMembers(whole?.budgets.map(name) ?? [], budgets.map(name))
        assert.deepStrictEqual(whole?.open, [open])
        assert.sameDeepMembers([...whole?.apiKeys ?? []], keys)
      }))
  })

  describe(`${name}, in its transactions,`, () => {
    test("writes all or nothing: a body that fails, dies or is interrupted leaves no trace", (store) =>
      Effect.gen(function*() {
        yield* write(store, ["acme"], { budgets: [budgetRow("acme")], counters: [counterRow("acme", "c", 1n)] })
        const writes: Writes = {
          ...noWrites,
          tenants: [tenantRow("acme", { lastTimeMs: 9 }), tenantRow("fresh", { lastEvent: 1 })],
          budgets: [budgetRow("acme", "", { spent: 99n }), budgetRow("acme", "/agent:new"), budgetRow("fresh")],
          reservations: [reservationRow("acme", "r"), reservationRow("fresh", "f")],
          records: [recordRow("acme", "k")],
          counters: [counterRow("acme", "c", 99n), counterRow("fresh", "c", 99n)],
          documents: [policyRow("acme", "p")],
          entries: [entryRow("acme", 1)],
          events: [eventRow("acme", 1)],
          acts: [actRow("acme", 1)]
        }
        const seen = (tx: LedgerTx) =>
          Effect.map(tx.entries("acme", 0, 9), (entries) => assert.strictEqual(entries.length, 1))
        const endings: ReadonlyArray<(tx: LedgerTx) => Effect.Effect<unknown, StoreError>> = [
          () => Effect.fail(regret),
          () => Effect.die(new Regretted("broke")),
          () => Effect.interrupt,
          (tx) => Effect.andThen(seen(tx), Effect.fail(regret))
        ]
        for (const ending of endings) {
          const exit = yield* Effect.exit(
            store.transact(["acme", "fresh"], (tx) => Effect.andThen(tx.write(writes), ending(tx)))
          )
          assert.isTrue(Exit.isFailure(exit))
          const view = yield* load(store, ["acme", "fresh"], {
            tenants: ["acme", "fresh"],
            scopes: ["tenant:acme", "tenant:acme/agent:new", "tenant:fresh"],
            reservations: [reservationId("r"), reservationId("f")],
            records: [recordKey("acme", "reserve", "k")],
            counters: [{ tenant: "acme", id: "c" }, { tenant: "fresh", id: "c" }],
            documents: [{ tenant: "acme", kind: "policy", id: "p" }]
          })
          assert.strictEqual(view.tenant("acme")?.lastTimeMs, 0)
          assert.strictEqual(view.tenant("fresh")?.lastEvent, 0)
          assert.strictEqual(view.budget("tenant:acme", "TOKENS")?.spent, 10n)
          assert.isUndefined(view.budget("tenant:acme/agent:new", "TOKENS"))
          assert.isUndefined(view.budget("tenant:fresh", "TOKENS"))
          assert.isUndefined(view.reservation(reservationId("r")))
          assert.isUndefined(view.reservation(reservationId("f")))
          assert.isUndefined(view.record(recordKey("acme", "reserve", "k")))
          assert.strictEqual(view.counter("acme", "c")?.used, 1n)
          assert.isUndefined(view.counter("fresh", "c"))
          assert.isUndefined(view.document({ tenant: "acme", kind: "policy", id: "p" }))
          assert.deepStrictEqual(yield* list(store, "acme", (tx) => tx.entries("acme", 0, 10)), [])
          assert.deepStrictEqual(yield* list(store, "acme", (tx) => tx.events("acme", 0, 10)), [])
          assert.deepStrictEqual(yield* list(store, "acme", (tx) => tx.acts("acme", 0, 10)), [])
          assert.deepStrictEqual(yield* store.undelivered(10), [])
        }
        // And the store goes on as if nothing had been, with new tenants too.
        yield* store.transact(["acme", "fresh"], (tx) => tx.write(writes))
        const view = yield* load(store, ["fresh"], {
          tenants: ["fresh"],
          counters: [{ tenant: "fresh", id: "c" }],
          scopes: ["tenant:fresh"]
        })
        assert.strictEqual(view.counter("fresh", "c")?.used, 99n)
        assert.strictEqual(view.budget("tenant:fresh", "TOKENS")?.scope, "tenant:fresh")
        assert.deepStrictEqual(yield* store.undelivered(10), ["fresh"])
      }))

    /** Adds one to a counter of each tenant, giving way in between. */
    const increment = (store: Operations, tenants: ReadonlyArray<string>) =>
      store.transact(tenants, (tx) =>
        Effect.gen(function*() {
          const view = new View()
          yield* tx.load({ ...noKeys, counters: tenants.map((tenant) => ({ tenant, id: "c" })) }, view)
          yield* Effect.yieldNow
          const counters = tenants.map((tenant) =>
            counterRow(tenant, "c", (view.counter(tenant, "c")?.used ?? 0n) + 1n)
          )
          yield* tx.write({ ...noWrites, counters })
          yield* Effect.yieldNow
        }))

    test("lets no other transaction on its tenants come in between", (store) =>
      Effect.gen(function*() {
        yield* Effect.forEach(Array.from({ length: 50 }), () => increment(store, ["acme"]), {
          concurrency: "unbounded",
          discard: true
        })
        const view = yield* load(store, ["acme"], { counters: [{ tenant: "acme", id: "c" }] })
        assert.strictEqual(view.counter("acme", "c")?.used, 50n)
      }))

    test("never waits for itself, whichever tenants overlap", (store) =>
      Effect.gen(function*() {
        const sets = [["a", "b"], ["b", "c"], ["a", "c"], ["a", "b", "c"], ["b"], ["d", "e"]]
        yield* Effect.forEach(Array.from({ length: 60 }, (_, i) => sets[i % 6]!), (set) => increment(store, set), {
          concurrency: "unbounded",
          discard: true
        })
        const tenants = ["a", "b", "c", "d", "e"]
        const view = yield* load(store, tenants, { counters: tenants.map((tenant) => ({ tenant, id: "c" })) })
        assert.deepStrictEqual(tenants.map((tenant) => view.counter(tenant, "c")?.used), [30n, 40n, 30n, 10n, 10n])
      }))

    test("shows nobody what is not yet written for good", (store) =>
      Effect.gen(function*() {
        yield* write(store, ["acme"], { tenants: [tenantRow("acme")] })
        const writing = yield* Effect.forkChild(store.transact(["acme"], (tx) =>
          Effect.gen(function*() {
            yield* tx.write({
              ...noWrites,
              tenants: [tenantRow("acme", { lastEvent: 5 })],
              documents: [apiKeyRow("acme", "k")],
              reservations: [reservationRow("acme", "r", { expiresAtMs: START_MS - 60_000 })]
            })
            for (let turn = 0; turn < 5; turn++) yield* Effect.yieldNow
            return yield* regret
          })))
        yield* Effect.yieldNow
        assert.isUndefined(yield* store.find("api_key", "k"))
        assert.deepStrictEqual(yield* store.undelivered(5), [])
        assert.deepStrictEqual(yield* store.dueTenants(5), [])
        assert.deepStrictEqual((yield* store.tenants("", 5)).map(({ lastEvent }) => lastEvent), [0])
        assert.isTrue(Exit.isFailure(yield* Fiber.await(writing)))
      }))

    test("has the time of the clock, and never one before a tenant's last change", (store) =>
      Effect.gen(function*() {
        const at = (tenants: ReadonlyArray<string>) => store.transact(tenants, (tx) => Effect.succeed(tx.now))
        assert.strictEqual(yield* at(["acme"]), START_MS)
        yield* TestClock.adjust(5)
        assert.strictEqual(yield* at(["acme"]), START_MS + 5)
        yield* write(store, ["acme"], { tenants: [tenantRow("acme", { lastTimeMs: START_MS + 1_000 })] })
        assert.strictEqual(yield* at(["acme"]), START_MS + 1_000)
        assert.strictEqual(yield* at(["other"]), START_MS + 5)
        assert.strictEqual(yield* at(["other", "acme"]), START_MS + 1_000)
        yield* TestClock.setTime(START_MS - 1_000)
        assert.strictEqual(yield* at(["acme"]), START_MS + 1_000)
        yield* TestClock.setTime(START_MS + 2_000)
        assert.strictEqual(yield* at(["acme"]), START_MS + 2_000)
      }))

    test("always puts a tenant in the same lane", (store) =>
      Effect.sync(() => {
        for (const tenant of ["acme", "other", "t-1", "t-2", "t-3"]) {
          const lane = store.laneOf(tenant)
          assert.isTrue(Number.isInteger(lane) && lane >= 0 && lane < store.lanes)
          assert.strictEqual(store.laneOf(tenant), lane)
        }
      }))
  })

  describe(`${name}, with several tenants,`, () => {
    test("never gives one what is another's, whatever has the same name", (store) =>
      Effect.gen(function*() {
        const tenants = ["acme", "acme2", "Acme", "acm"]
        yield* write(store, tenants, {
          tenants: tenants.map((tenant, i) => tenantRow(tenant, { lastEntry: i })),
          budgets: tenants.map((tenant) => budgetRow(tenant, "/agent:bot")),
          reservations: tenants.map((tenant) =>
            reservationRow(tenant, `r-${tenant}`, { idempotencyKey: IdempotencyKey.make("same") })
          ),
          records: tenants.map((tenant) => recordRow(tenant, "same", "commit", { digest: tenant })),
          counters: tenants.map((tenant, i) => counterRow(tenant, "same", BigInt(i))),
          documents: tenants.map((tenant) => policyRow(tenant, "same", { name: tenant })),
          entries: tenants.map((tenant) => entryRow(tenant, 1)),
          events: tenants.map((tenant) => eventRow(tenant, 1)),
          acts: tenants.map((tenant) => actRow(tenant, 1))
        })
        const page = { after: undefined, limit: 10 }
        for (const [i, tenant] of tenants.entries()) {
          const view = yield* load(store, [tenant], {
            tenants: [tenant],
            wholes: [tenant],
            records: [recordKey(tenant, "commit", "same")],
            counters: [{ tenant, id: "same" }],
            documents: [{ tenant, kind: "policy", id: "same" }]
          })
          assert.strictEqual(view.tenant(tenant)?.lastEntry, i)
          assert.strictEqual(view.record(recordKey(tenant, "commit", "same"))?.digest, tenant)
          assert.strictEqual(view.counter(tenant, "same")?.used, BigInt(i))
          assert.deepStrictEqual(view.policiesOf(tenant).map((row) => row.name), [tenant])
          assert.deepStrictEqual(view.whole(tenant)?.budgets.map((row) => row.tenant), [tenant])
          assert.deepStrictEqual(view.whole(tenant)?.open.map((row) => row.tenant), [tenant])
          const seen = yield* list(store, tenant, (tx) =>
            Effect.all([
              tx.budgets(tenant, { agent: "bot" }, page),
              tx.reservations(tenant, { idempotencyKey: IdempotencyKey.make("same") }, page),
              tx.reservations(tenant, {}, page),
              tx.entries(tenant, 0, 10),
              tx.events(tenant, 0, 10),
              tx.acts(tenant, 0, 10),
              tx.counters(tenant, "", "z", 10),
              tx.documents(tenant, "policy", "", 10)
            ]))
          for (const rows of seen) assert.deepStrictEqual(rows.map((row) => row.tenant), [tenant])
        }
      }))

    test("lists them by name, page by page", (store) =>
      Effect.gen(function*() {
        const tenants = ["b", "a", "B", "a-1", "a.1", "c", "10", "9"]
        const rows = tenants.map((tenant, i) => tenantRow(tenant, { lastEntry: i }))
        yield* write(store, tenants, { tenants: rows })
        const found: Array<TenantRow> = []
        for (let after = "";;) {
          const page = yield* store.tenants(after, 3)
          found.push(...page)
          if (page.length < 3) break
          after = page[2]?.tenant ?? ""
        }
        assert.deepStrictEqual(found, rows.sort((a, b) => byCodeUnit(a.tenant, b.tenant)))
      }))

    test("knows which of them have events to hand on", (store) =>
      Effect.gen(function*() {
        yield* write(store, ["a", "b", "c"], {
          tenants: [
            tenantRow("a", { lastEvent: 2, deliveredEvent: 1 }),
            tenantRow("b", { lastEvent: 2, deliveredEvent: 2 }),
            tenantRow("c", { lastEvent: 1 })
          ]
        })
        assert.notInclude([...yield* store.undelivered(10)], ["a", "c"])
        assert.strictEqual((yield* store.undelivered(1)).length, 1)
        yield* write(store, ["a"], { tenants: [tenantRow("a", { lastEvent: 2, deliveredEvent: 2 })] })
        assert.deepStrictEqual(yield* store.undelivered(10), ["c"])
      }))

    test("finds a document by its id alone", (store) =>
      Effect.gen(function*() {
        const key = apiKeyRow("acme", "k-1")
        yield* write(store, ["acme", "other"], {
          documents: [key, policyRow("other", "k-1"), apiKeyRow("other", "k-2")]
        })
        assert.deepStrictEqual(yield* store.find("api_key", "k-1"), key)
        assert.strictEqual((yield* store.find("policy", "k-1"))?.tenant, "other")
        assert.isUndefined(yield* store.find("policy", "k-2"))
        yield* write(store, ["acme"], { removed: [{ tenant: "acme", kind: "api_key", id: "k-1" }] })
        assert.isUndefined(yield* store.find("api_key", "k-1"))
      }))
  })

  describe(`${name}, over time,`, () => {
    test("loads the holds of a tenant that are due, by when they fell due, and names the tenants that have some", (store) =>
      Effect.gen(function*() {
        const due = (id: string, expiresAtMs: number, tenant = "acme") =>
          reservationRow(tenant, id, { expiresAtMs: START_MS + expiresAtMs, gracePeriodMs: 10 })
        yield* write(store, ["acme", "other", "idle"], {
          reservations: [
            due("c", 200),
            due("b", 100),
            due("a", 100),
            due("later", 500),
            settled(due("done", 50), "COMMITTED", START_MS),
            due("o", 300, "other"),
            settled(due("i", 1, "idle"), "RELEASED", START_MS)
          ]
        })
        const dueOf = (tenant: string) =>
          Effect.map(load(store, [tenant], { tenants: [tenant] }), (view) => ids(view.dueOf(tenant)))
        assert.deepStrictEqual(yield* dueOf("acme"), [])
        assert.deepStrictEqual(yield* store.dueTenants(10), [])
        // Grace ends after its last millisecond.
        yield* TestClock.setTime(START_MS + 110)
        assert.deepStrictEqual(yield* dueOf("acme"), [])
        yield* TestClock.setTime(START_MS + 111)
        assert.deepStrictEqual(yield* dueOf("acme"), ["a", "b"])
        assert.deepStrictEqual(yield* store.dueTenants(10), ["acme"])
        yield* TestClock.setTime(START_MS + 400)
        assert.deepStrictEqual(yield* dueOf("acme"), ["a", "b", "c"])
        assert.deepStrictEqual(yield* dueOf("idle"), [])
        assert.notInclude([...yield* store.dueTenants(10)], ["acme", "other"])
        assert.strictEqual((yield* store.dueTenants(1)).length, 1)
        // What was extended is not due, nor is what has ended.
        yield* write(store, ["acme", "other"], {
          reservations: [
            due("a", 10_000),
            settled(due("b", 100), "EXPIRED", START_MS + 400),
            settled(due("o", 300, "other"), "EXPIRED", START_MS + 400)
          ]
        })
        assert.deepStrictEqual(yield* dueOf("acme"), ["c"])
        assert.deepStrictEqual(yield* store.dueTenants(10), ["acme"])
      }))

    test("drops what was kept as long as promised, and nothing else", (store) =>
      Effect.gen(function*() {
        const id = (text: string) => reservationId(text)
        yield* write(store, ["acme"], {
          reservations: [
            reservationRow("acme", "active"),
            settled(reservationRow("acme", "old"), "COMMITTED", START_MS),
            settled(reservationRow("acme", "young"), "RELEASED", START_MS + 10 * DAY_MS)
          ],
          records: [
            recordRow("acme", "short"),
            recordRow("acme", "long", "event", { keepUntilMs: START_MS + 31 * DAY_MS }),
            // Replies to what was settled are kept as long as the reservation is.
            recordRow("acme", "of-old", "commit", { reservationId: id("old") }),
            recordRow("acme", "of-young", "release", { reservationId: id("young") }),
            recordRow("acme", "extend-young", "extend", { reservationId: id("young") })
          ],
          counters: [counterRow("acme", "short"), counterRow("acme", "long", 1n, START_MS + 31 * DAY_MS)],
          entries: [entryRow("acme", 1)],
          documents: [policyRow("acme", "p")]
        })
        const names = ["short", "long", "of-old", "of-young", "extend-young"]
        const operations = ["reserve", "event", "commit", "release", "extend"] as const
        const left = Effect.gen(function*() {
          const view = yield* load(store, ["acme"], {
            reservations: ["active", "old", "young"].map(id),
            records: names.map((key, i) => recordKey("acme", operations[i]!, key)),
            counters: ["short", "long"].map((counter) => ({ tenant: "acme", id: counter }))
          })
          return [
            ...["active", "old", "young"].filter((text) => view.reservation(id(text)) !== undefined),
            ...names.filter((key, i) => view.record(recordKey("acme", operations[i]!, key)) !== undefined),
            ...["short", "long"].filter((counter) => view.counter("acme", counter) !== undefined).map((c) => `#${c}`)
          ]
        })
        assert.strictEqual(yield* store.prune, 0)
        yield* TestClock.setTime(START_MS + DAY_MS)
        assert.strictEqual(yield* store.prune, 0)
        yield* TestClock.setTime(START_MS + DAY_MS + 1)
        assert.strictEqual(yield* store.prune, 3)
        assert.deepStrictEqual(yield* left, ["active", "old", "young", "long", "of-old", "of-young", "#long"])
        yield* TestClock.setTime(START_MS + 30 * DAY_MS + 1)
        assert.strictEqual(yield* store.prune, 2)
        assert.deepStrictEqual(yield* left, ["active", "young", "long", "of-young", "#long"])
        yield* TestClock.setTime(START_MS + 400 * DAY_MS)
        assert.strictEqual(yield* store.prune, 4)
        assert.deepStrictEqual(yield* left, ["active"])
        assert.strictEqual((yield* list(store, "acme", (tx) => tx.entries("acme", 0, 9))).length, 1)
        assert.isDefined(yield* store.find("policy", "p"))
      }))

    test("drops thousands at once", (store) =>
      Effect.gen(function*() {
        const all = Array.from({ length: 1_700 }, (_, i) => `${i}`)
        yield* write(store, ["acme"], {
          counters: all.map((i) => counterRow("acme", i)),
          reservations: all.map((i) => settled(reservationRow("acme", i), "COMMITTED", START_MS)),
          records: all.map((i) => recordRow("acme", i, "commit", { reservationId: reservationId(i) }))
        })
        yield* TestClock.setTime(START_MS + 60 * DAY_MS)
        assert.strictEqual(yield* store.prune, 5_100)
        assert.strictEqual(yield* store.prune, 0)
      }))
  })

  describe(`${name}, in its lists,`, () => {
    test("has the logs of a tenant in order, from any number on", (store) =>
      Effect.gen(function*() {
        const from = (n: number) => Array.from({ length: 12 }, (_, i) => i + n)
        for (const start of [1, 13]) {
          yield* write(store, ["acme"], {
            entries: from(start).map((n) => entryRow("acme", n)),
            events: from(start).map((n) => eventRow("acme", n)),
            acts: from(start).map((n) => actRow("acme", n))
          })
        }
        yield* list(store, "acme", (tx) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* tx.entries("acme", 0, 2), [entryRow("acme", 1), entryRow("acme", 2)])
            assert.deepStrictEqual(yield* tx.events("acme", 11, 2), [eventRow("acme", 12), eventRow("acme", 13)])
            assert.deepStrictEqual(yield* tx.acts("acme", 22, 9), [actRow("acme", 23), actRow("acme", 24)])
            assert.deepStrictEqual(yield* tx.entries("acme", 24, 2), [])
            assert.strictEqual((yield* tx.entries("acme", 0, 100)).length, 24)
          }))
        yield* write(store, ["acme"], {
          foldedEntries: new Map([["acme", 20]]),
          droppedEvents: new Map([["acme", 22]]),
          droppedActs: new Map([["acme", 24]]),
          entries: [entryRow("acme", 20, { kind: "OPENING" }), entryRow("acme", 25)]
        })
        yield* list(store, "acme", (tx) =>
          Effect.gen(function*() {
            const entries = yield* tx.entries("acme", 0, 100)
            assert.deepStrictEqual(entries.map(({ number }) => number), [20, 21, 22, 23, 24, 25])
            assert.strictEqual(entries[0]?.kind, "OPENING")
            assert.deepStrictEqual((yield* tx.events("acme", 0, 100)).map(({ number }) => number), [23, 24])
            assert.deepStrictEqual(yield* tx.acts("acme", 0, 100), [])
          }))
      }))

    test("has the events of all tenants in every order it is asked for, either way, page by page", (store) =>
      Effect.gen(function*() {
        const types = ["budget.funded", "reservation.denied", "tenant.created"]
        const scopes = [undefined, "tenant:acme", "tenant:acme/agent:é", "tenant:beta"]
        const rows = ["acme", "beta", "a"].flatMap((tenant, t) =>
          Array.from({ length: 13 }, (_, i) =>
            eventRow(tenant, i + 1, {
              atMs: START_MS + Math.floor(i / 2) * 10 + t,
              type: types[i % types.length]!,
              scope: scopes[(i + t) % scopes.length],
              traceId: i % 4 === 0 ? undefined : `trace-${i % 3}`,
              requestId: i % 2 === 0 ? undefined : `request-${i % 5}`,
              reservationId: i % 6 === 0 ? reservationId(`r-${i}`) : undefined
            }))
        )
        yield* write(store, ["acme", "beta", "a"], { events: rows })
        yield* inEveryOrder(store.eventLog, rows, Logs.eventColumns, ["type", "scope"])
        assert.deepStrictEqual(
          yield* store.eventLog({ by: "tenant", only: "nobody", isDown: true, limit: 9 }),
          []
        )
      }))

    test("has the acts of all tenants in every order it is asked for, either way, page by page", (store) =>
      Effect.gen(function*() {
        const operations = ["createBudget", "updateTenant"]
        const rows = ["acme", "beta"].flatMap((tenant, t) =>
          Array.from({ length: 11 }, (_, i) =>
            actRow(tenant, i + 1, {
              atMs: START_MS + i * 10 + t,
              operation: operations[i % 2]!,
              resourceType: i % 3 === 0 ? "budget" : "tenant",
              resourceId: `resource-${i % 4}`,
              keyId: i % 3 === 0 ? undefined : `key_${i % 3}`,
              errorCode: [undefined, "NOT_FOUND", "TENANT_CLOSED"][i % 3],
              traceId: i % 4 === 0 ? undefined : `trace-${i % 3}`,
              requestId: i % 2 === 0 ? undefined : `request-${i}`
            }))
        )
        yield* write(store, ["acme", "beta"], { acts: rows })
        yield* inEveryOrder(store.actLog, rows, Logs.actColumns, [
          "operation",
          "resource_type",
          "resource_id",
          "key_id",
          "status"
        ])
      }))

    test("has the budgets and the documents of all tenants, page by page", (store) =>
      Effect.gen(function*() {
        const budgets = ["acme", "acme2", "b"].flatMap((tenant) =>
          ["", "/agent:a"].flatMap((path) => units.map((unit) => budgetRow(tenant, path, { unit })))
        )
        const documents = ["acme", "acme2", "b"].flatMap((tenant, t) =>
          ["p-1", "p-2", "é"].map((id) => policyRow(tenant, `${id}-${t}`))
        )
        yield* write(store, ["acme", "acme2", "b"], {
          budgets: budgets.toReversed(),
          documents: [...documents, apiKeyRow("acme", "p-1")]
        })
        for (const limit of [1, 5, 100]) {
          const pages = <A>(
            read: (after: readonly [string, string] | undefined) => Effect.Effect<ReadonlyArray<A>, StoreError>,
            position: (row: A) => readonly [string, string]
          ) =>
            Effect.gen(function*() {
              const found: Array<A> = []
              for (;;) {
                const last = found[found.length - 1]
                const page = yield* read(last === undefined ? undefined : position(last))
                found.push(...page)
                if (page.length < limit) return found
              }
            })
          assert.deepStrictEqual(
            yield* pages((after) => store.allBudgets({ after, limit }), ({ scope, unit }) => [scope, unit]),
            budgets.toSorted(Listing.compareBudgets)
          )
          assert.deepStrictEqual(
            ids(yield* pages((after) => store.allDocuments("policy", { after, limit }), (row) => [row.id, row.tenant])),
            ids(documents).toSorted(byCodeUnit)
          )
        }
      }))

    test("knows whose a reservation is, open or ended", (store) =>
      Effect.gen(function*() {
        yield* write(store, ["acme", "beta"], {
          reservations: [
            reservationRow("acme", "r-1"),
            settled(reservationRow("beta", "r-2"), "COMMITTED", START_MS)
          ]
        })
        assert.strictEqual(yield* store.ownerOf(reservationId("r-1")), "acme")
        assert.strictEqual(yield* store.ownerOf(reservationId("r-2")), "beta")
        assert.isUndefined(yield* store.ownerOf(reservationId("r-3")))
      }))

    test("has counters from one id to before another, by code unit", (store) =>
      Effect.gen(function*() {
        const all = ["a", "a/1", "a/10", "a/2", "a0", "b", "A", "é", "\uffff", "💸", ""]
        yield* write(store, ["acme"], { counters: all.map((id) => counterRow("acme", id)) })
        const between = (from: string, to: string, limit = 100) =>
          Effect.map(list(store, "acme", (tx) => tx.counters("acme", from, to, limit)), ids)
        assert.deepStrictEqual(yield* between("a/", "a0"), ["a/1", "a/10", "a/2"])
        assert.deepStrictEqual(yield* between("a/", "a0", 2), ["a/1", "a/10"])
        assert.deepStrictEqual(yield* between("b", "b"), [])
        assert.deepStrictEqual(yield* between("", "\uffff\uffff"), all.toSorted(byCodeUnit))
        assert.deepStrictEqual(yield* between("c", "\uffff"), ["é", "💸"])
      }))

    test("has documents by id, page by page", (store) =>
      Effect.gen(function*() {
        const all = ["p-2", "p-1", "p-10", "P", "é", "💸", "\uffff"]
        yield* write(store, ["acme"], {
          documents: [...all.map((id) => policyRow("acme", id)), apiKeyRow("acme", "p-3")]
        })
        const page = (after: string, limit: number) =>
          Effect.map(list(store, "acme", (tx) => tx.documents("acme", "policy", after, limit)), ids)
        const sorted = all.toSorted(byCodeUnit)
        assert.deepStrictEqual(yield* page("", 3), sorted.slice(0, 3))
        assert.deepStrictEqual(yield* page(sorted[2]!, 10), sorted.slice(3))
        const keys = yield* list(store, "acme", (tx) => tx.documents("acme", "api_key", "", 9))
        assert.deepStrictEqual(ids(keys), ["p-3"])
        yield* write(store, ["acme"], { removed: [{ tenant: "acme", kind: "policy", id: "p-1" }] })
        assert.deepStrictEqual(yield* page("", 10), sorted.filter((id) => id !== "p-1"))
        assert.isFalse(
          (yield* load(store, ["acme"], { tenants: ["acme"] })).policiesOf("acme").some((row) => row.id === "p-1")
        )
      }))

    test("has budgets by scope and unit, with all the segments asked for, page by page", (store) =>
      Effect.gen(function*() {
        const paths = [
          "",
          "/agent:a",
          "/agent:ab",
          "/agent:a.b",
          "/app:x/agent:a",
          "/app:x",
          "/app:X",
          "/workspace:a/app:x"
        ]
        const rows = paths.flatMap((path) => units.map((unit) => budgetRow("acme", path, { unit })))
        yield* write(store, ["acme", "acme2"], { budgets: [...rows.toReversed(), budgetRow("acme2", "/agent:a")] })
        const sorted = rows.toSorted(Listing.compareBudgets)
        for (
          const query of [{}, { tenant: "acme" }, { agent: "a" }, { app: "x" }, { app: "x", agent: "a" }, { app: "no" }]
        ) {
          const expected = sorted.filter((row) => Listing.hasSegments(row.scope, query))
          for (const limit of [1, 3, 200]) {
            const found: Array<BudgetRow> = []
            for (;;) {
              const last = found[found.length - 1]
              const after = last === undefined ? undefined : [last.scope, last.unit] as const
              const page = yield* list(store, "acme", (tx) => tx.budgets("acme", query, { after, limit }))
              found.push(...page)
              if (page.length < limit) break
            }
            assert.deepStrictEqual(found, expected)
          }
        }
      }))

    test("shows what the same transaction has written", (store) =>
      Effect.gen(function*() {
        yield* write(store, ["acme"], { reservations: [reservationRow("acme", "r")], budgets: [budgetRow("acme")] })
        const page = { after: undefined, limit: 10 }
        yield* store.transact(["acme"], (tx) =>
          Effect.gen(function*() {
            const done = settled(reservationRow("acme", "r"), "COMMITTED", START_MS)
            const budget = budgetRow("acme", "", { spent: 77n })
            yield* tx.write({
              ...noWrites,
              reservations: [done],
              budgets: [budget],
              entries: [entryRow("acme", 1)],
              events: [eventRow("acme", 1)],
              acts: [actRow("acme", 1)],
              counters: [counterRow("acme", "c")],
              documents: [policyRow("acme", "p")]
            })
            assert.deepStrictEqual(yield* tx.reservations("acme", { status: "COMMITTED" }, page), [done])
            assert.deepStrictEqual(yield* tx.reservations("acme", { status: "ACTIVE" }, page), [])
            assert.deepStrictEqual(yield* tx.budgets("acme", {}, page), [budget])
            assert.strictEqual((yield* tx.entries("acme", 0, 9)).length, 1)
            assert.strictEqual((yield* tx.events("acme", 0, 9)).length, 1)
            assert.strictEqual((yield* tx.acts("acme", 0, 9)).length, 1)
            assert.strictEqual((yield* tx.counters("acme", "", "z", 9)).length, 1)
            assert.strictEqual((yield* tx.documents("acme", "policy", "", 9)).length, 1)
          }))
      }))

    const sorts: ReadonlyArray<SortBy | undefined> = [
      undefined,
      "reservation_id",
      "tenant",
      "scope_path",
      "status",
      "reserved",
      "created_at_ms",
      "expires_at_ms"
    ]
    const filters: ReadonlyArray<ReservationsQuery> = [
      {},
      { status: "ACTIVE" },
      { status: "COMMITTED" },
      { agent: "a" },
      { app: "x", status: "EXPIRED" },
      { createdFromMs: START_MS + 100, createdToMs: START_MS + 140 },
      { expiresToMs: START_MS + 60_100 },
      { finalizedFromMs: START_MS + 1_000 },
      { finalizedToMs: START_MS + 1_010, status: "RELEASED" },
      { idempotencyKey: IdempotencyKey.make("key-3") },
      { tenant: "acme", createdFromMs: -5 },
      { agent: "nobody" }
    ]

    /** Rows that share values with many others, and ids that are in no order of time. */
    const manyReservations = (count: number): ReadonlyArray<ReservationRow> => {
      const next = numbers(7)
      const paths = ["", "/agent:a", "/app:x", "/app:x/agent:a", "/agent:b"]
      const amounts = [1n, 5n, 40n, 1_000n, MAX_INT64, MAX_INT64 - 1n]
      return Array.from({ length: count }, (_, i) => {
        const path = paths[next(paths.length)]!
        const createdAtMs = START_MS + next(200)
        const row = reservationRow("acme", `${next(1_000_000)}-${i}`, {
          idempotencyKey: IdempotencyKey.make(`key-${next(20)}`),
          scopes: path === "" ? ["tenant:acme"] : ["tenant:acme", `tenant:acme${path}`],
          createdAtMs,
          expiresAtMs: createdAtMs + 60_000 * next(3),
          estimate: { unit: "TOKENS", amount: amounts[next(amounts.length)]! }
        })
        const status = statuses[next(4)]!
        return status === "ACTIVE" ? row : settled(row, status, START_MS + 1_000 + next(50))
      })
    }

    const expected = (rows: ReadonlyArray<ReservationRow>, query: ReservationsQuery) =>
      rows
        .filter((row) => Listing.matches(row, query))
        .toSorted((a, b) =>
          Listing.compare([Listing.position(a, query), a.id], [Listing.position(b, query), b.id], query)
        )

    const walk = (store: Operations, query: ReservationsQuery, limit: number) =>
      Effect.gen(function*() {
        const found: Array<ReservationRow> = []
        for (;;) {
          const last = found[found.length - 1]
          const after = last === undefined ? undefined : [Listing.position(last, query), last.id] as const
          const page = yield* list(store, "acme", (tx) => tx.reservations("acme", query, { after, limit }))
          assert.isAtMost(page.length, limit)
          found.push(...page)
          if (page.length < limit) return found
        }
      })

    test("has reservations by every filter, in every order, page by page", (store) =>
      Effect.gen(function*() {
        const rows = manyReservations(150)
        yield* write(store, ["acme", "other"], {
          reservations: [...rows, ...Array.from({ length: 20 }, (_, i) => reservationRow("other", `o-${i}`))]
        })
        for (const filter of filters) {
          for (const sortBy of sorts) {
            for (const sortDir of [undefined, "asc", "desc"] as const) {
              const query: ReservationsQuery = {
                ...filter,
                ...(sortBy === undefined ? undefined : { sortBy }),
                ...(sortDir === undefined ? undefined : { sortDir })
              }
              const wanted = ids(expected(rows, query))
              for (const limit of [7, 200]) {
                assert.deepStrictEqual(ids(yield* walk(store, query, limit)), wanted, say(query))
              }
            }
          }
        }
      }))

    test("has them as exactly when there are very many", (store) =>
      Effect.gen(function*() {
        const rows = manyReservations(5_000)
        for (let i = 0; i < rows.length; i += 1_000) {
          yield* write(store, ["acme"], { reservations: rows.slice(i, i + 1_000) })
        }
        for (const filter of filters.filter((_, i) => i % 2 === 0)) {
          for (const sortBy of sorts) {
            for (const sortDir of ["asc", "desc"] as const) {
              const query: ReservationsQuery = {
                ...filter,
                sortDir,
                ...(sortBy === undefined ? undefined : { sortBy })
              }
              const wanted = expected(rows, query)
              const page = yield* list(
                store,
                "acme",
                (tx) => tx.reservations("acme", query, { after: undefined, limit: 50 })
              )
              assert.deepStrictEqual(ids(page), ids(wanted.slice(0, 50)), say(query))
              const at = wanted[Math.floor(wanted.length * 0.9)]
              if (at === undefined) continue
              const next = yield* list(
                store,
                "acme",
                (tx) => tx.reservations("acme", query, { after: [Listing.position(at, query), at.id], limit: 50 })
              )
              const from = Math.floor(wanted.length * 0.9) + 1
              assert.deepStrictEqual(ids(next), ids(wanted.slice(from, from + 50)), say(query))
            }
          }
        }
      }))

    test("takes any text for a position, and has nothing beyond one that is none", (store) =>
      Effect.gen(function*() {
        yield* write(store, ["acme"], { reservations: [reservationRow("acme", "r")] })
        for (const sortBy of sorts) {
          for (const text of ["", "x", "-1", "99999999999999999999", "1.5", "\u0000", "\ud800"]) {
            const query: ReservationsQuery = sortBy === undefined ? {} : { sortBy }
            const page = yield* list(store, "acme", (tx) =>
              tx.reservations("acme", query, { after: [text, text], limit: 5 }))
            assert.isAtMost(page.length, 1)
          }
        }
      }))
  })
}
