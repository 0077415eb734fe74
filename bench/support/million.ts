/** Lists, balances and a lifecycle in a ledger with a million finished reservations. */
import type { LedgerStore } from "effect-cycles"
import { recordKey } from "effect-cycles/ledger/Model"
import type { Writes } from "effect-cycles/ledger/View"
import type { ReservationId } from "effect-cycles/protocol/Ids"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import type { ReservationsQuery } from "effect-cycles/protocol/ReservationRecord"
import * as Effect from "effect/Effect"
import type { Bed } from "./beds.ts"
import * as Beds from "./beds.ts"
import type { Case } from "./harness.ts"
import { usedHeap } from "./harness.ts"
import { lifecycle, subjectOf, withLedger } from "./load.ts"

const FINISHED = 1_000_000
const AT_ONCE = 1_000
const TENANT = "tenant-0"
const TIMES = 100

const nothing: Omit<Writes, "tenants" | "reservations" | "records" | "entries"> = {
  budgets: [],
  counters: [],
  documents: [],
  removed: [],
  foldedEntries: new Map(),
  droppedEvents: new Map(),
  droppedActs: new Map(),
  events: [],
  acts: []
}

/** Writes copies of the rows of one lifecycle, each with ids of its own, a millisecond apart. */
const fill = (store: LedgerStore.Operations, one: ReadonlyArray<Writes>) =>
  Effect.gen(function*() {
    const tenant = one.flatMap(({ tenants }) => tenants).at(-1)!
    const reservation = one.flatMap(({ reservations }) => reservations).at(-1)!
    const records = one.flatMap(({ records }) => records)
    const entries = one.flatMap(({ entries }) => entries)
    for (let from = 0; from < FINISHED; from += AT_ONCE) {
      const numbers = Array.from({ length: AT_ONCE }, (_, i) => from + i)
      const idOf = (n: number): ReservationId =>
        `${n.toString().padStart(12, "0")}${reservation.id.slice(12)}` as ReservationId
      const writes: Writes = {
        ...nothing,
        tenants: [{ ...tenant, lastEntry: tenant.lastEntry + (from + AT_ONCE) * entries.length }],
        reservations: numbers.map((n) => ({
          ...reservation,
          id: idOf(n),
          idempotencyKey: IdempotencyKey.make(`finished-${n}`),
          createdAtMs: reservation.createdAtMs - FINISHED + n
        })),
        records: numbers.flatMap((n) =>
          records.map((record) => {
            const key = recordKey(TENANT, record.operation, `finished-${n}`)
            return { ...record, ...key, reservationId: idOf(n) }
          })
        ),
        entries: numbers.flatMap((n) =>
          entries.map((entry, i) => ({
            ...entry,
            reservationId: idOf(n),
            number: tenant.lastEntry + n * entries.length + i + 1
          }))
        )
      }
      yield* store.transact([TENANT], (tx) => tx.write(writes))
    }
  })

const measure = async (bed: Bed): Promise<ReadonlyMap<string, number>> => {
  const figures = new Map<string, number>()
  const address = await bed.fresh()
  try {
    await withLedger(
      Beds.storeOf(address),
      { callers: 1, scopes: 1, tenants: 1 },
      (ledger, watch, store) =>
        Effect.gen(function*() {
          const authority = ledger.as({ tenant: TENANT })
          const subject = subjectOf(TENANT, 1)
          watch.recorded = []
          yield* lifecycle(authority, subject, () => undefined)
          const one = watch.recorded
          watch.recorded = undefined
          const heap = usedHeap()
          yield* fill(store, one)

          const timed = <A, E>(name: string, operation: Effect.Effect<A, E>) =>
            Effect.gen(function*() {
              const latencies: Array<number> = []
              for (let i = 0; i < TIMES; i++) {
                const start = performance.now()
                yield* operation
                latencies.push(performance.now() - start)
              }
              latencies.sort((a, b) => a - b)
              figures.set(`${name}, p50`, latencies[TIMES / 2]!)
              figures.set(`${name}, slowest of ${TIMES}`, latencies[TIMES - 1]!)
            })
          const page = (query: ReservationsQuery) => authority.reservations({ limit: 50, ...query })
          yield* timed("reservations, oldest", page({}))
          yield* timed("reservations, newest", page({ sortBy: "created_at_ms", sortDir: "desc" }))
          yield* timed("reservations, ACTIVE", page({ status: "ACTIVE" }))
          yield* timed(
            "reservations, COMMITTED",
            page({ status: "COMMITTED", sortBy: "created_at_ms", sortDir: "desc" })
          )
          const walk: ReservationsQuery = { sortBy: "created_at_ms", limit: 200 }
          let cursor = (yield* page(walk)).nextCursor!
          for (let i = 1; i < 100; i++) cursor = (yield* page({ ...walk, cursor })).nextCursor!
          yield* timed("reservations, hundredth page", page({ sortBy: "created_at_ms", cursor }))
          yield* timed("reservations, by key", page({ idempotencyKey: IdempotencyKey.make("finished-500000") }))
          yield* timed("balances", authority.balances({ tenant: TENANT }))
          yield* timed("reserve+commit", lifecycle(authority, subject, () => undefined))
          figures.set("heap", usedHeap() - heap)
        })
    )
  } finally {
    await Beds.remove(address)
  }
  return figures
}

const timings = [
  "reservations, oldest",
  "reservations, newest",
  "reservations, ACTIVE",
  "reservations, COMMITTED",
  "reservations, hundredth page",
  "reservations, by key",
  "balances",
  "reserve+commit"
].flatMap((name) => [`${name}, p50`, `${name}, slowest of ${TIMES}`])

/** Filling a store takes long, so it is filled once, whatever the rounds. */
export const million = (bed: Bed): ReadonlyArray<Case> => {
  let figures: Promise<ReadonlyMap<string, number>> | undefined
  const name = `${bed.name}, ${FINISHED.toLocaleString("en")} finished`
  const figure = (what: string, unit: Case["unit"]): Case => ({
    name: `${name}, ${what}`,
    unit,
    run: async () => (await (figures ??= measure(bed))).get(what) ?? NaN
  })
  return [...timings.map((what) => figure(what, "ms")), figure("heap", "bytes")]
}
