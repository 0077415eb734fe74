/**
 * A store in the memory of this process. It promises atomicity and no durability: what it holds ends with the process.
 *
 * Records and finished reservations are dropped once they were kept as long as the protocol asks; entries are kept.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import type { ReservationId } from "../protocol/Ids.ts"
import type { Operations, Page } from "./LedgerStore.ts"
import { LedgerStore } from "./LedgerStore.ts"
import * as Listing from "./Listing.ts"
import type { BudgetRow, Entry, IdempotencyRow, ReservationRow, TenantRow } from "./Model.ts"
import { deadline } from "./Model.ts"
import type { Keys, View, Writes } from "./View.ts"
import { replaceUnit } from "./View.ts"

const KEEP_SETTLED_MS = 30 * 86_400_000

/** Holds in the order they fall due, in buckets of a second, so that adding and removing one is cheap. */
class DueIndex {
  private readonly buckets = new Map<number, Map<ReservationId, ReservationRow>>()
  private earliest = Infinity

  private static bucketOf(row: ReservationRow): number {
    return Math.floor(deadline(row) / 1_000)
  }

  add(row: ReservationRow): void {
    const at = DueIndex.bucketOf(row)
    const bucket = this.buckets.get(at)
    if (bucket === undefined) this.buckets.set(at, new Map([[row.id, row]]))
    else bucket.set(row.id, row)
    if (at < this.earliest) this.earliest = at
  }

  remove(row: ReservationRow): void {
    const at = DueIndex.bucketOf(row)
    const bucket = this.buckets.get(at)
    if (bucket === undefined) return
    bucket.delete(row.id)
    if (bucket.size === 0) this.buckets.delete(at)
  }

  due(now: number): ReadonlyArray<ReservationRow> {
    const until = Math.floor(now / 1_000)
    if (until < this.earliest) return []
    const rows: Array<ReservationRow> = []
    let earliest = Infinity
    for (const [at, bucket] of this.buckets) {
      if (at <= until) {
        for (const row of bucket.values()) if (now > deadline(row)) rows.push(row)
      }
      if (at < earliest) earliest = at
    }
    this.earliest = earliest
    return rows.sort((a, b) => deadline(a) - deadline(b) || (a.id < b.id ? -1 : 1))
  }
}

/** Everything one tenant has. */
class TenantSpace {
  row: TenantRow
  readonly scopes = new Set<string>()
  readonly reservations = new Map<ReservationId, ReservationRow>()
  readonly entries: Array<Entry> = []
  readonly due = new DueIndex()

  constructor(tenant: string) {
    this.row = { tenant, lastTimeMs: 0, lastEntry: 0 }
  }
}

/**
 * Makes a store in memory.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Operations> = Effect.sync(() => {
  const tenants = new Map<string, TenantSpace>()
  const budgets = new Map<string, ReadonlyArray<BudgetRow>>()
  const records = new Map<string, IdempotencyRow>()
  const owners = new Map<ReservationId, TenantSpace>()
  const exclusive = Semaphore.makeUnsafe(1)

  const spaceOf = (tenant: string): TenantSpace => {
    let space = tenants.get(tenant)
    if (space === undefined) tenants.set(tenant, space = new TenantSpace(tenant))
    return space
  }

  const load = (keys: Keys, view: View, now: number): void => {
    for (const tenant of keys.tenants) {
      const space = spaceOf(tenant)
      view.loadedTenant(space.row, space.due.due(now))
    }
    for (const scope of keys.scopes) view.loadedScope(scope, budgets.get(scope) ?? [])
    for (const id of keys.reservations) view.loadedReservation(id, owners.get(id)?.reservations.get(id))
    for (const key of keys.records) view.loadedRecord(key, records.get(key.id))
  }

  const write = (writes: Writes): void => {
    for (const row of writes.tenants) spaceOf(row.tenant).row = row
    for (const row of writes.budgets) {
      budgets.set(row.scope, replaceUnit(budgets.get(row.scope) ?? [], row))
      spaceOf(row.tenant).scopes.add(row.scope)
    }
    for (const row of writes.reservations) {
      const space = spaceOf(row.tenant)
      const before = space.reservations.get(row.id)
      if (before === undefined) owners.set(row.id, space)
      else if (before.status === "ACTIVE") space.due.remove(before)
      if (row.status === "ACTIVE") space.due.add(row)
      space.reservations.set(row.id, row)
    }
    for (const row of writes.records) records.set(row.id, row)
    for (const entry of writes.entries) spaceOf(entry.tenant).entries.push(entry)
  }

  const pageOf = (rows: ReadonlyArray<BudgetRow>, page: Page) => {
    const after = page.after
    const from = after === undefined
      ? 0
      : rows.findIndex((row) => row.scope > after[0] || (row.scope === after[0] && row.unit > after[1]))
    return from < 0 ? [] : rows.slice(from, from + page.limit)
  }

  return {
    lanes: 1,
    laneOf: () => 0,
    transact: (names, body) =>
      exclusive.withPermit(Effect.flatMap(Clock.currentTimeMillis, (clock) => {
        let now = clock
        for (const name of names) now = Math.max(now, tenants.get(name)?.row.lastTimeMs ?? 0)
        return body({
          now,
          load: (keys, view) => Effect.sync(() => load(keys, view, now)),
          write: (writes) => Effect.sync(() => write(writes)),
          budgets: (tenant, query, page) =>
            Effect.sync(() => {
              const rows = Array.from(spaceOf(tenant).scopes)
                .filter((scope) => Listing.hasSegments(scope, query))
                .flatMap((scope) => budgets.get(scope) ?? [])
                .sort(Listing.compareBudgets)
              return pageOf(rows, page)
            }),
          reservations: (tenant, query, page) =>
            Effect.sync(() => {
              const after = page.after
              return Array.from(spaceOf(tenant).reservations.values())
                .filter((row) => Listing.matches(row, query))
                .map((row) => ({ row, at: [Listing.position(row, query), row.id] as const }))
                .filter(({ at }) => after === undefined || Listing.compare(at, after, query) > 0)
                .sort((a, b) => Listing.compare(a.at, b.at, query))
                .slice(0, page.limit)
                .map(({ row }) => row)
            }),
          entries: (tenant, after, limit) => Effect.sync(() => spaceOf(tenant).entries.slice(after, after + limit))
        })
      })),
    dueTenants: (limit) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const names: Array<string> = []
        for (const [name, space] of tenants) {
          if (names.length === limit) break
          if (space.due.due(now).length > 0) names.push(name)
        }
        return names
      }),
    prune: Effect.map(Clock.currentTimeMillis, (now) => {
      let dropped = 0
      for (const space of tenants.values()) {
        for (const [id, row] of space.reservations) {
          if (row.status !== "ACTIVE" && now > (row.finalizedAtMs ?? deadline(row)) + KEEP_SETTLED_MS) {
            space.reservations.delete(id)
            owners.delete(id)
            dropped++
          }
        }
      }
      for (const [id, row] of records) {
        const settled = row.operation === "commit" || row.operation === "release"
        const needed = settled && row.reservationId !== undefined && owners.has(row.reservationId)
        if (now > row.keepUntilMs && !needed) {
          records.delete(id)
          dropped++
        }
      }
      return dropped
    })
  }
})

/**
 * Provides a store in memory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<LedgerStore> = Layer.effect(LedgerStore, make)
