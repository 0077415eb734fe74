/**
 * What whoever governs sees of all tenants: their events, the audit, and how things stand.
 *
 * A list is read by one index, whichever leaves least of what is asked for or has the order that is asked for; the rest of the query is
 * looked at row by row. So that no list holds up anything, a page ends after so many rows, however many of them met the query: the
 * next one goes on from there.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Cursor } from "../protocol/Ids.ts"
import type { AuditLogQuery } from "./AuditQuery.ts"
import * as AuditQuery from "./AuditQuery.ts"
import * as CanonicalJson from "./CanonicalJson.ts"
import type { EventQuery } from "./EventQuery.ts"
import * as Events from "./EventQuery.ts"
import type { Operations as Store, StoreError } from "./LedgerStore.ts"
import type { ActColumn, Columns, EventColumn, LogPage, LogPosition } from "./Logs.ts"
import * as Logs from "./Logs.ts"
import type { Act, BudgetRow, LedgerEvent } from "./Model.ts"
import { isOverLimit, remaining } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"

/** So many rows are looked through for one page. */
const MOST = 10_000

/** So many rows are read at once. */
const SLICE = 1_000

const DEFAULT_LIMIT = 50

interface Row {
  readonly tenant: string
  readonly number: number
  readonly atMs: number
}

/** What any log is asked for. */
interface Query {
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly sortDir?: "asc" | "desc" | undefined
  readonly limit?: number | undefined
  readonly cursor?: Cursor | undefined
}

/** How a query is read: by what, and whether what is read is all in the order asked for. */
interface Plan<Column extends string> {
  readonly by: LogPage<Column>["by"]
  readonly only?: string | undefined
  /** What the rows are sorted by once they have been gathered; where they are read in their order already, nothing. */
  readonly sort?: LogPage<Column>["by"] | undefined
}

interface Found<A> {
  readonly rows: ReadonlyArray<A>
  readonly next: LogPosition | undefined
}

const fingerprint = (query: Query): string =>
  CanonicalJson.digest({ ...query, cursor: undefined, limit: undefined }).slice(0, 16)

const toCursor = (query: Query, { atMs, number, tenant, value }: LogPosition): Cursor =>
  Cursor.make(
    [fingerprint(query), value, String(atMs), tenant, String(number)]
      .map((part) => encodeURIComponent(part).replaceAll(".", "%2E")).join(".")
  )

const invalidCursor: Refusal = {
  code: "INVALID_REQUEST",
  field: "cursor",
  reason: "it was not given for these filters and this order"
}

const fromCursor = (query: Query): Result.Result<LogPosition | undefined, Refusal> => {
  if (query.cursor === undefined) return Result.succeed(undefined)
  try {
    const [print, value, at, tenant, digits, more] = query.cursor.split(".").map(decodeURIComponent)
    const [atMs, number] = [Number(at), Number(digits)]
    return print === fingerprint(query) && value !== undefined && tenant !== undefined && more === undefined &&
        Number.isSafeInteger(atMs) && Number.isSafeInteger(number)
      ? Result.succeed({ value, atMs, tenant, number })
      : Result.fail(invalidCursor)
  } catch {
    return Result.fail(invalidCursor)
  }
}

/** Reads a tenant's log by numbers. Its times never go back, so the place of a time in it is found by halves. */
const lastUpTo = Effect.fnUntraced(function*<A extends Row, Column extends string>(
  read: (page: LogPage<Column>) => Effect.Effect<ReadonlyArray<A>, StoreError>,
  tenant: string,
  ms: number
): Effect.fn.Return<number, StoreError> {
  const page = { by: "tenant" as const, only: tenant, limit: 1 }
  const [newest] = yield* read({ ...page, isDown: true })
  let [low, high] = [0, newest?.number ?? 0]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const [next] = yield* read({ ...page, isDown: false, after: { value: "", atMs: 0, tenant, number: middle } })
    if (next !== undefined && next.atMs <= ms) low = next.number
    else high = middle
  }
  return low
})

const list = Effect.fnUntraced(function*<A extends Row, Column extends string>(
  log: {
    readonly read: (page: LogPage<Column>) => Effect.Effect<ReadonlyArray<A>, StoreError>
    readonly columns: Columns<A, Column>
  },
  query: Query,
  cursor: LogPosition | undefined,
  plan: Plan<Column>,
  matches: (row: A) => boolean
): Effect.fn.Return<Found<A>, StoreError> {
  const { fromMs, limit = DEFAULT_LIMIT, toMs } = query
  const isDown = query.sortDir !== "asc"
  const { by, only, sort } = plan
  const inTime = by === "time" || only !== undefined

  // The end of the stretch of time that is read first.
  const edge = isDown ? toMs === undefined ? undefined : toMs + 1 : fromMs
  const begin = Effect.fnUntraced(function*(): Effect.fn.Return<LogPosition | undefined, StoreError> {
    if (sort === undefined && cursor !== undefined) return cursor
    if (edge === undefined || !inTime) return undefined
    if (by === "tenant" && only !== undefined) {
      const number = yield* lastUpTo(log.read, only, edge - 1)
      return { value: "", atMs: 0, tenant: only, number: isDown ? number + 1 : number }
    }
    return { value: by === "time" ? "" : only ?? "", atMs: edge, tenant: "", number: 0 }
  })
  const isPast = (row: A): boolean =>
    inTime && (isDown ? fromMs !== undefined && row.atMs < fromMs : toMs !== undefined && row.atMs > toMs)

  const found: Array<A> = []
  const wanted = sort === undefined ? limit : Infinity
  let after = yield* begin()
  // Most pages are full of what is read first.
  for (let [seen, size] = [0, Math.min(SLICE, limit + 1)];; size = Math.min(SLICE, size * 4)) {
    const rows = yield* log.read({ by, only, isDown, after, limit: size })
    for (const row of rows) {
      if (isPast(row)) return finished(found)
      if (matches(row)) {
        if (found.length === wanted) {
          const last = found[found.length - 1]
          return { rows: found, next: last === undefined ? undefined : Logs.positionOf(last, by, log.columns) }
        }
        found.push(row)
      }
      after = Logs.positionOf(row, by, log.columns)
    }
    seen += rows.length
    if (rows.length < size) return finished(found)
    if (seen >= MOST) {
      // There are too many to gather: read in the order that is asked for.
      return sort === undefined
        ? { rows: found, next: after }
        : yield* list(log, query, cursor, { by: sort }, matches)
    }
    yield* Effect.yieldNow
  }

  function finished(rows: ReadonlyArray<A>): Found<A> {
    if (sort === undefined) return { rows, next: undefined }
    const page = Logs.pageOf(rows, { by: sort, isDown, after: cursor, limit: limit + 1 }, log.columns)
    const last = page[limit - 1]
    return page.length <= limit || last === undefined
      ? { rows: page, next: undefined }
      : { rows: page.slice(0, limit), next: Logs.positionOf(last, sort, log.columns) }
  }
})

const planOf = <Column extends string>(
  sort: LogPage<Column>["by"],
  tenant: string | undefined,
  few: ReadonlyArray<readonly [by: Column, only: string | undefined]>,
  some: ReadonlyArray<readonly [by: Column, only: string | undefined]>
): Plan<Column> => {
  for (const [by, only] of few) {
    if (only !== undefined && only !== "") return { by, only, sort: sort === "time" ? undefined : sort }
  }
  // Of one tenant, the order by tenants is that by time.
  if (tenant !== undefined && (sort === "time" || sort === "tenant")) return { by: "tenant", only: tenant }
  if (sort !== "time") return { by: sort }
  for (const [by, only] of some) if (only !== undefined && only !== "") return { by, only }
  return { by: "time" }
}

const eventSorts = {
  timestamp: "time",
  event_type: "type",
  // A type begins with its category.
  category: "type",
  scope: "scope",
  tenant_id: "tenant"
} as const

/** A page of events, and what keeps it from being read. */
export const events = (
  store: Store,
  query: EventQuery,
  isVisible: (event: LedgerEvent) => boolean
): Result.Result<Effect.Effect<{ readonly events: ReadonlyArray<LedgerEvent> } & After, StoreError>, Refusal> =>
  Result.map(fromCursor(query), (cursor) => {
    const { correlationId, requestId, sortBy = "timestamp", tenant, traceId, type } = query
    const plan = planOf<EventColumn>(
      eventSorts[sortBy],
      tenant,
      [["correlation", requestId ?? correlationId], ["trace", traceId]],
      [["type", type]]
    )
    const log = { read: store.eventLog, columns: Logs.eventColumns }
    const matches = (event: LedgerEvent): boolean => Events.matches(query, event) && isVisible(event)
    return Effect.map(
      list(log, query, cursor, plan, matches),
      ({ next, rows }) => ({ events: rows, ...afterwards(query, next) })
    )
  })

const actSorts = {
  timestamp: "time",
  operation: "operation",
  resource_type: "resource_type",
  tenant_id: "tenant",
  key_id: "key_id",
  status: "status"
} as const

/** A page of the audit, and what keeps it from being read. */
export const acts = (
  store: Store,
  query: AuditLogQuery
): Result.Result<Effect.Effect<{ readonly acts: ReadonlyArray<Act> } & After, StoreError>, Refusal> => {
  const { keyId, operations, requestId, resourceId, resourceTypes, sortBy = "timestamp", status, tenant, traceId } =
    query
  if (status !== undefined && (query.statusMin !== undefined || query.statusMax !== undefined)) {
    return Result.fail({ code: "INVALID_REQUEST", field: "status", reason: "cannot be combined with a range of it" })
  }
  if (query.statusMin !== undefined && query.statusMax !== undefined && query.statusMin > query.statusMax) {
    return Result.fail({ code: "INVALID_REQUEST", field: "statusMin", reason: "must not be above statusMax" })
  }
  const one = (values: ReadonlyArray<string> | undefined): string | undefined =>
    values?.length === 1 ? values[0] : undefined
  return Result.map(fromCursor(query), (cursor) => {
    const plan = planOf<ActColumn>(
      actSorts[sortBy],
      tenant,
      [["request", requestId], ["trace", traceId]],
      [
        ["resource_id", resourceId],
        ["key_id", keyId],
        ["operation", one(operations)],
        ["status", status === undefined ? undefined : String(status)],
        ["resource_type", one(resourceTypes)]
      ]
    )
    const log = { read: store.actLog, columns: Logs.actColumns }
    const matches = (act: Act): boolean =>
      (tenant === undefined || act.tenant === tenant) && AuditQuery.matches(query, act)
    return Effect.map(
      list(log, query, cursor, plan, matches),
      ({ next, rows }) => ({ acts: rows, ...afterwards(query, next) })
    )
  })
}

interface After {
  readonly hasMore: boolean
  readonly nextCursor?: Cursor | undefined
}

const afterwards = (query: Query, next: LogPosition | undefined): After =>
  next === undefined ? { hasMore: false } : { hasMore: true, nextCursor: toCursor(query, next) }

/** The event of a tenant and a number. */
export const event = (
  store: Store,
  tenant: string,
  number: number
): Effect.Effect<LedgerEvent | undefined, StoreError> =>
  Effect.map(
    store.eventLog({
      by: "tenant",
      only: tenant,
      isDown: false,
      after: { value: "", atMs: 0, tenant, number: number - 1 },
      limit: 1
    }),
    ([found]) => found?.number === number ? found : undefined
  )

/** How many of the most telling are shown. */
const TOP = 10

/** Events of the last hour are told of. */
export const WINDOW_MS = 3_600_000

/** Everything of a kind, page by page; others get a turn in between. */
const all = Effect.fnUntraced(function*<A, P>(
  read: (after: P | undefined) => Effect.Effect<ReadonlyArray<A>, StoreError>,
  position: (row: A) => P,
  each: (row: A) => boolean | void
): Effect.fn.Return<void, StoreError> {
  for (let after: P | undefined;;) {
    const rows = yield* read(after)
    for (const row of rows) if (each(row) === false) return
    const last = rows[rows.length - 1]
    if (last === undefined || rows.length < SLICE) return
    after = position(last)
    yield* Effect.yieldNow
  }
})

/** Keeps the first of what is added, in an order. */
const first = <A>(order: (a: A, b: A) => number): { readonly add: (row: A) => void; readonly rows: Array<A> } => {
  const rows: Array<A> = []
  return {
    rows,
    add: (row) => {
      rows.push(row)
      rows.sort(order)
      if (rows.length > TOP) rows.pop()
    }
  }
}

const more = (a: bigint, b: bigint): number => a > b ? -1 : a < b ? 1 : 0

const byDebt = (a: BudgetRow, b: BudgetRow): number =>
  more(a.debt, b.debt) || more(remaining(b), remaining(a)) || (a.scope < b.scope ? -1 : 1)

const count = (counts: Map<string, number>, name: string): void => void counts.set(name, (counts.get(name) ?? 0) + 1)

/** Counts what there is, row by row: as long as there are tenants, budgets, policies and events of the last hour. */
export const overview = Effect.fnUntraced(function*(store: Store, now: number): Effect.fn.Return<
  {
    readonly tenants: ReadonlyMap<string, number>
    readonly budgets: ReadonlyMap<string, number>
    readonly units: ReadonlyMap<string, number>
    readonly overLimit: { readonly count: number; readonly top: ReadonlyArray<BudgetRow> }
    readonly inDebt: { readonly count: number; readonly top: ReadonlyArray<BudgetRow> }
    readonly allowing: number
    readonly denying: number
    readonly categories: ReadonlyMap<string, number>
    readonly denials: ReadonlyArray<LedgerEvent>
    readonly expiries: ReadonlyArray<LedgerEvent>
    readonly reasons: ReadonlyMap<string, number>
  },
  StoreError
> {
  const tenants = new Map<string, number>()
  yield* all(
    (after: string | undefined) => store.tenants(after ?? "", SLICE),
    ({ tenant }) => tenant,
    ({ profile }) => {
      if (profile !== undefined) count(tenants, profile.status)
    }
  )
  const [budgets, units] = [new Map<string, number>(), new Map<string, number>()]
  const [over, debt] = [first(byDebt), first(byDebt)]
  let [overCount, debtCount] = [0, 0]
  yield* all(
    (after: readonly [string, string] | undefined) => store.allBudgets({ after, limit: SLICE }),
    ({ scope, unit }) => [scope, unit] as const,
    (row) => {
      count(budgets, row.status)
      count(units, row.unit)
      if (isOverLimit(row)) {
        overCount++
        over.add(row)
      }
      if (row.debt > 0n) {
        debtCount++
        debt.add(row)
      }
    }
  )
  let [allowing, denying] = [0, 0]
  yield* all(
    (after: readonly [string, string] | undefined) => store.allDocuments("policy", { after, limit: SLICE }),
    ({ id, tenant }) => [id, tenant] as const,
    (row) => {
      if (row._tag !== "policy") return
      if (row.allowedActionKinds.length > 0) allowing++
      if (row.deniedActionKinds.length > 0) denying++
    }
  )
  const [categories, reasons] = [new Map<string, number>(), new Map<string, number>()]
  const [denials, expiries]: [Array<LedgerEvent>, Array<LedgerEvent>] = [[], []]
  yield* all(
    (after: LogPosition | undefined) => store.eventLog({ by: "time", isDown: true, after, limit: SLICE }),
    (row) => Logs.positionOf(row, "time", Logs.eventColumns),
    (row) => {
      if (row.atMs < now - WINDOW_MS) return false
      count(categories, Events.categoryOf(row))
      if (row.type === "reservation.denied") {
        if (denials.length < TOP) denials.push(row)
        count(reasons, String(row.details["reason_code"]))
      }
      if (row.type === "reservation.expired" && expiries.length < TOP) expiries.push(row)
      return true
    }
  )
  return {
    tenants,
    budgets,
    units,
    overLimit: { count: overCount, top: over.rows },
    inDebt: { count: debtCount, top: debt.rows },
    allowing,
    denying,
    categories,
    denials,
    expiries,
    reasons
  }
})
