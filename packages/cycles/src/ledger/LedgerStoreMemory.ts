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
import * as Logs from "./Logs.ts"
import type {
  Act,
  ApiKeyRow,
  BudgetRow,
  CounterRow,
  Document,
  DocumentKey,
  Entry,
  IdempotencyRow,
  LedgerEvent,
  PolicyRow,
  ReservationRow,
  TenantRow
} from "./Model.ts"
import { deadline, emptyTenant } from "./Model.ts"
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

/** Rows of a log with numbers above `after`: they stand in order, so a search by halves finds the first. */
const above = <A extends { readonly number: number }>(
  log: ReadonlyArray<A>,
  after: number,
  limit: number
): ReadonlyArray<A> => {
  let from = 0
  for (let to = log.length; from < to;) {
    const middle = (from + to) >> 1
    if ((log[middle]?.number ?? 0) > after) to = middle
    else from = middle + 1
  }
  return log.slice(from, from + limit)
}

/** A log without its rows up to a number. */
const without = <A extends { readonly number: number }>(log: Array<A>, upTo: number): Array<A> => {
  let kept = 0
  while (kept < log.length && (log[kept]?.number ?? 0) <= upTo) kept++
  return kept === 0 ? log : log.slice(kept)
}

/** Adds an entry in order: at the end, but for the opening entries of a folded history. */
const insert = (log: Array<Entry>, entry: Entry): void => {
  let at = log.length
  while (at > 0 && (log[at - 1]?.number ?? 0) > entry.number) at--
  if (at === log.length) log.push(entry)
  else log.splice(at, 0, entry)
}

/** Everything one tenant has. */
class TenantSpace {
  row: TenantRow
  readonly scopes = new Set<string>()
  readonly reservations = new Map<ReservationId, ReservationRow>()
  entries: Array<Entry> = []
  events: Array<LedgerEvent> = []
  acts: Array<Act> = []
  readonly counters = new Map<string, CounterRow>()
  readonly policies = new Map<string, PolicyRow>()
  readonly apiKeys = new Map<string, ApiKeyRow>()
  readonly due = new DueIndex()

  constructor(tenant: string) {
    this.row = emptyTenant(tenant)
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

  /** The spaces a page of a log is about. */
  const spacesOf = ({ by, only }: Logs.LogPage<string>): ReadonlyArray<TenantSpace> => {
    if (by !== "tenant" || only === undefined) return Array.from(tenants.values())
    const space = tenants.get(only)
    return space === undefined ? [] : [space]
  }

  const documentsOf = (tenant: string, kind: Document["_tag"]): ReadonlyMap<string, Document> => {
    const space = spaceOf(tenant)
    return kind === "policy" ? space.policies : space.apiKeys
  }

  const putDocument = (row: Document): void => {
    if (row._tag === "policy") spaceOf(row.tenant).policies.set(row.id, row)
    else spaceOf(row.tenant).apiKeys.set(row.id, row)
  }

  const removeDocument = ({ id, kind, tenant }: DocumentKey): void => {
    if (kind === "policy") spaceOf(tenant).policies.delete(id)
    else spaceOf(tenant).apiKeys.delete(id)
  }

  const load = (keys: Keys, view: View, now: number): void => {
    for (const tenant of keys.tenants) {
      const space = spaceOf(tenant)
      view.loadedTenant(space.row, space.due.due(now), Array.from(space.policies.values()))
    }
    for (const tenant of keys.wholes) {
      const space = spaceOf(tenant)
      view.loadedWhole(tenant, {
        budgets: Array.from(space.scopes).flatMap((scope) => budgets.get(scope) ?? []),
        open: Array.from(space.reservations.values()).filter((row) => row.status === "ACTIVE"),
        apiKeys: Array.from(space.apiKeys.values())
      })
    }
    for (const scope of keys.scopes) view.loadedScope(scope, budgets.get(scope) ?? [])
    for (const id of keys.reservations) view.loadedReservation(id, owners.get(id)?.reservations.get(id))
    for (const key of keys.records) view.loadedRecord(key, records.get(key.id))
    for (const { id, tenant } of keys.counters) view.loadedCounter(tenant, id, spaceOf(tenant).counters.get(id))
    for (const key of keys.documents) view.loadedDocument(key, documentsOf(key.tenant, key.kind).get(key.id))
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
    for (const row of writes.counters) spaceOf(row.tenant).counters.set(row.id, row)
    for (const row of writes.documents) putDocument(row)
    for (const key of writes.removed) removeDocument(key)
    for (const [tenant, upTo] of writes.foldedEntries) {
      const space = spaceOf(tenant)
      space.entries = without(space.entries, upTo)
    }
    for (const [tenant, upTo] of writes.droppedEvents) {
      const space = spaceOf(tenant)
      space.events = without(space.events, upTo)
    }
    for (const [tenant, upTo] of writes.droppedActs) {
      const space = spaceOf(tenant)
      space.acts = without(space.acts, upTo)
    }
    for (const entry of writes.entries) insert(spaceOf(entry.tenant).entries, entry)
    for (const event of writes.events) spaceOf(event.tenant).events.push(event)
    for (const act of writes.acts) spaceOf(act.tenant).acts.push(act)
  }

  /** Takes back some writes that have been made; asked for before they are. */
  const undoing = (writes: Writes): () => void => {
    const undo: Array<() => void> = []
    for (const { tenant } of writes.tenants) {
      const space = spaceOf(tenant)
      const { row } = space
      undo.push(() => {
        space.row = row
      })
    }
    for (const { scope, tenant } of writes.budgets) {
      const rows = budgets.get(scope)
      undo.push(() => {
        if (rows !== undefined) budgets.set(scope, rows)
        else {
          budgets.delete(scope)
          spaceOf(tenant).scopes.delete(scope)
        }
      })
    }
    for (const row of writes.reservations) {
      const space = spaceOf(row.tenant)
      const before = space.reservations.get(row.id)
      undo.push(() => {
        if (row.status === "ACTIVE") space.due.remove(row)
        if (before === undefined) {
          owners.delete(row.id)
          space.reservations.delete(row.id)
          return
        }
        if (before.status === "ACTIVE") space.due.add(before)
        space.reservations.set(row.id, before)
      })
    }
    for (const { id } of writes.records) {
      const before = records.get(id)
      undo.push(() => {
        if (before === undefined) records.delete(id)
        else records.set(id, before)
      })
    }
    for (const { id, tenant } of writes.counters) {
      const { counters } = spaceOf(tenant)
      const before = counters.get(id)
      undo.push(() => {
        if (before === undefined) counters.delete(id)
        else counters.set(id, before)
      })
    }
    const changed = writes.documents.map(({ _tag, id, tenant }): DocumentKey => ({ tenant, kind: _tag, id }))
    for (const key of [...changed, ...writes.removed]) {
      const before = documentsOf(key.tenant, key.kind).get(key.id)
      undo.push(() => before === undefined ? removeDocument(key) : putDocument(before))
    }
    const logged = new Set([...writes.entries, ...writes.events, ...writes.acts].map(({ tenant }) => tenant))
    const folded = [writes.foldedEntries, writes.droppedEvents, writes.droppedActs].flatMap((of) => [...of.keys()])
    const added = new Set<unknown>([...writes.entries, ...writes.events, ...writes.acts])
    for (const tenant of new Set([...logged, ...folded])) {
      const space = spaceOf(tenant)
      const { acts, entries, events } = space
      undo.push(() => {
        space.entries = entries.filter((row) => !added.has(row))
        space.events = events.filter((row) => !added.has(row))
        space.acts = acts.filter((row) => !added.has(row))
      })
    }
    return () => {
      for (const step of undo.reverse()) step()
    }
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
    gathers: false,
    laneOf: () => 0,
    transact: (names, body) =>
      exclusive.withPermit(Effect.flatMap(Clock.currentTimeMillis, (clock) => {
        let now = clock
        for (const name of names) now = Math.max(now, tenants.get(name)?.row.lastTimeMs ?? 0)
        // Made once the body has succeeded; or, where it reads a list before that, then, and taken back if it fails.
        let pending: Writes | undefined
        let undo: (() => void) | undefined
        const list = <A>(read: () => A): Effect.Effect<A> =>
          Effect.sync(() => {
            if (pending !== undefined) {
              undo = undoing(pending)
              write(pending)
              pending = undefined
            }
            return read()
          })
        const result = body({
          now,
          load: (keys, view) => Effect.sync(() => load(keys, view, now)),
          write: (writes) =>
            Effect.sync(() => {
              pending = writes
            }),
          budgets: (tenant, query, page) =>
            list(() => {
              const rows = Array.from(spaceOf(tenant).scopes)
                .filter((scope) => Listing.hasSegments(scope, query))
                .flatMap((scope) => budgets.get(scope) ?? [])
                .sort(Listing.compareBudgets)
              return pageOf(rows, page)
            }),
          reservations: (tenant, query, page) =>
            list(() => {
              const after = page.after
              return Array.from(spaceOf(tenant).reservations.values())
                .filter((row) => Listing.matches(row, query))
                .map((row) => ({ row, at: [Listing.position(row, query), row.id] as const }))
                .filter(({ at }) => after === undefined || Listing.compare(at, after, query) > 0)
                .sort((a, b) => Listing.compare(a.at, b.at, query))
                .slice(0, page.limit)
                .map(({ row }) => row)
            }),
          entries: (tenant, after, limit) => list(() => above(spaceOf(tenant).entries, after, limit)),
          events: (tenant, after, limit) => list(() => above(spaceOf(tenant).events, after, limit)),
          acts: (tenant, after, limit) => list(() => above(spaceOf(tenant).acts, after, limit)),
          counters: (tenant, from, to, limit) =>
            list(() =>
              Array.from(spaceOf(tenant).counters.values())
                .filter(({ id }) => id >= from && id < to)
                .sort((a, b) => a.id < b.id ? -1 : 1)
                .slice(0, limit)
            ),
          documents: (tenant, kind, after, limit) =>
            list(() =>
              Array.from(documentsOf(tenant, kind).values())
                .filter(({ id }) => id > after)
                .sort((a, b) => a.id < b.id ? -1 : 1)
                .slice(0, limit)
            )
        })
        return Effect.onExit(result, (exit) =>
          Effect.sync(() => {
            if (exit._tag === "Failure") undo?.()
            else if (pending !== undefined) write(pending)
          }))
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
    tenants: (after, limit) =>
      Effect.sync(() =>
        Array.from(tenants.values(), (space) => space.row)
          .filter((row) => row.tenant > after)
          .sort((a, b) => a.tenant < b.tenant ? -1 : 1)
          .slice(0, limit)
      ),
    undelivered: (limit) =>
      Effect.sync(() => {
        const names: Array<string> = []
        for (const { row } of tenants.values()) {
          if (names.length === limit) break
          if (row.lastEvent > row.deliveredEvent) names.push(row.tenant)
        }
        return names
      }),
    find: (kind, id) =>
      Effect.sync(() => {
        for (const tenant of tenants.keys()) {
          const found = documentsOf(tenant, kind).get(id)
          if (found !== undefined) return found
        }
        return undefined
      }),
    ownerOf: (id) => Effect.sync(() => owners.get(id)?.row.tenant),
    eventLog: (page) =>
      Effect.sync(() => Logs.pageOf(spacesOf(page).flatMap(({ events }) => events), page, Logs.eventColumns)),
    actLog: (page) => Effect.sync(() => Logs.pageOf(spacesOf(page).flatMap(({ acts }) => acts), page, Logs.actColumns)),
    allBudgets: (page) =>
      Effect.sync(() => pageOf(Array.from(budgets.values()).flat().sort(Listing.compareBudgets), page)),
    allDocuments: (kind, { after, limit }) =>
      Effect.sync(() =>
        Array.from(tenants.keys())
          .flatMap((tenant) => Array.from(documentsOf(tenant, kind).values()))
          .filter(({ id, tenant }) => after === undefined || id > after[0] || (id === after[0] && tenant > after[1]))
          .sort((a, b) => a.id < b.id || (a.id === b.id && a.tenant < b.tenant) ? -1 : 1)
          .slice(0, limit)
      ),
    prune: Effect.map(Clock.currentTimeMillis, (now) => {
      let dropped = 0
      for (const space of tenants.values()) {
        for (const [id, row] of space.counters) {
          if (now > row.keepUntilMs) {
            space.counters.delete(id)
            dropped++
          }
        }
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
