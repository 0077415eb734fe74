/**
 * Pages of lists, read from indexes.
 *
 * A list of reservations may be filtered by anything and sorted by anything, which no set of indexes covers. Where a filter leaves few
 * rows, they are read by its index and sorted; else the rows are read in the order asked for and filtered on the way, some
 * thousands at a time, so that a filter that fits few of very many does not hold up the event loop.
 *
 * @internal
 */
import * as KeyText from "effect-cycles/ledger/KeyText"
import type { Page } from "effect-cycles/ledger/LedgerStore"
import type { BudgetRow, ReservationRow } from "effect-cycles/ledger/Model"
import * as RowJson from "effect-cycles/ledger/RowJson"
import { MAX_INT64 } from "effect-cycles/protocol/Amount"
import type { BalancesQuery } from "effect-cycles/protocol/Balance"
import type { ReservationsQuery, ReservationStatus } from "effect-cycles/protocol/ReservationRecord"
import { levels } from "effect-cycles/protocol/Subject"
import * as Effect from "effect/Effect"
import type { Connection, Row, Value } from "./Connection.ts"

/** So few rows are read and sorted whatever order they are in. */
const FEW = 500

/** So many paths are read one by one, where a list is of only some of a tenant's. */
const FEW_PATHS = 64

/** Beyond so many paths of a tenant, those that match are not looked for. */
const MANY_PATHS = 2_000

/** So many rows are filtered before others get a turn. */
const SLICE = 4_000

/** A condition and the values in it. */
interface Condition {
  readonly sql: string
  readonly values: ReadonlyArray<Value>
}

const condition = (sql: string, ...values: ReadonlyArray<Value>): Condition => ({ sql, values })

const where = (conditions: ReadonlyArray<Condition>): string => conditions.map(({ sql }) => sql).join(" AND ")

const valuesOf = (conditions: ReadonlyArray<Condition>): ReadonlyArray<Value> =>
  conditions.flatMap(({ values }) => values)

/** The segments a query asks for, wherever they are in a path. */
const segments = (query: BalancesQuery | ReservationsQuery): ReadonlyArray<Condition> =>
  levels.flatMap((level) => {
    const value = query[level]
    return value === undefined
      ? []
      : [condition("instr('/' || scope || '/', ?) > 0", KeyText.encode(`/${level}:${value}/`))]
  })

/** A page of a tenant's budgets. */
export const budgets = (
  connection: Connection,
  t: number,
  query: BalancesQuery,
  page: Page
): ReadonlyArray<BudgetRow> => {
  const conditions = [condition("t = ?", t), ...segments(query)]
  if (page.after !== undefined) {
    conditions.push(condition("(scope, unit) > (?, ?)", KeyText.encode(page.after[0]), page.after[1]))
  }
  return connection
    .statement(
      `SELECT body FROM budgets INDEXED BY budgets_tenant WHERE ${where(conditions)} ORDER BY scope, unit LIMIT ?`
    )
    .all([...valuesOf(conditions), page.limit])
    .map((row) => RowJson.budget.decode(String(row[0])))
}

/** Rows an index has together, and the filter that leaves only them. */
interface Narrowing {
  readonly index: string
  readonly conditions: ReadonlyArray<Condition>
}

const range = (column: string, from: number | undefined, to: number | undefined): ReadonlyArray<Condition> => [
  ...(from === undefined ? [] : [condition(`${column} >= ?`, from)]),
  ...(to === undefined ? [] : [condition(`${column} <= ?`, to)])
]

const ofStatus = (status: ReservationStatus): Narrowing =>
  status === "ACTIVE"
    ? { index: "reservations_active", conditions: [condition("status = 'ACTIVE'")] }
    : {
      index: "reservations_settled",
      // Said twice, since SQLite does not see that the one follows from the other.
      conditions: [condition("status = ?", status), condition("status <> 'ACTIVE'")]
    }

const narrowings = (query: ReservationsQuery): ReadonlyArray<Narrowing> => {
  const found: Array<Narrowing> = []
  if (query.idempotencyKey !== undefined) {
    const conditions = [condition("key = ?", KeyText.encode(query.idempotencyKey))]
    found.push({ index: "reservations_key", conditions })
  }
  if (query.status !== undefined) found.push(ofStatus(query.status))
  const created = range("created", query.createdFromMs, query.createdToMs)
  if (created.length > 0) found.push({ index: "reservations_created", conditions: created })
  const expires = range("expires", query.expiresFromMs, query.expiresToMs)
  if (expires.length > 0) found.push({ index: "reservations_expires", conditions: expires })
  const finalized = range("finalized", query.finalizedFromMs, query.finalizedToMs)
  if (finalized.length > 0) {
    const conditions = [condition("finalized IS NOT NULL"), ...finalized]
    found.push({ index: "reservations_finalized", conditions })
  }
  return found
}

/** How a list is sorted: by which column, of which index, and downwards or not. Ties are in the order of their ids. */
interface Order {
  readonly column: "id" | "scope" | "status" | "reserved" | "created" | "expires"
  readonly index: string
  readonly isDown: boolean
}

const orderOf = (query: ReservationsQuery): Order => {
  const isDown = query.sortDir !== "asc"
  switch (query.sortBy ?? "created_at_ms") {
    case "reservation_id":
      return { column: "id", index: "reservations_id", isDown }
    case "tenant":
      // They are all of one tenant, and so in the order of their ids.
      return { column: "id", index: "reservations_id", isDown: false }
    case "scope_path":
      return { column: "scope", index: "reservations_scope", isDown }
    case "status":
      return { column: "status", index: "reservations_id", isDown }
    case "reserved":
      return { column: "reserved", index: "reservations_reserved", isDown }
    case "created_at_ms":
      return { column: "created", index: "reservations_created", isDown }
    case "expires_at_ms":
      return { column: "expires", index: "reservations_expires", isDown }
  }
}

interface Position {
  readonly value: Value
  readonly id: string
}

const positionOf = (query: ReservationsQuery, order: Order, [value, id]: NonNullable<Page["after"]>): Position => {
  const encoded = KeyText.encode(id)
  switch (order.column) {
    case "id":
      return { value: query.sortBy === "tenant" ? encoded : KeyText.encode(value), id: encoded }
    case "scope":
    case "status":
      return { value: KeyText.encode(value), id: encoded }
    case "reserved":
    case "created":
    case "expires":
      return { value: BigInt(value), id: encoded }
  }
}

const isNumeric = ({ column }: Order): boolean => column === "reserved" || column === "created" || column === "expires"

/** A number as positions have it; a position may come from outside, and then be anything. */
const isInt64 = (text: string): boolean => /^\d{1,20}$/.test(text) && BigInt(text) <= MAX_INT64

const beyond = ({ column, isDown }: Order, at: Position): Condition => {
  if (column === "id") return condition(`id ${isDown ? "<" : ">"} ?`, at.id)
  const sign = isDown ? "<" : ">"
  return condition(`${column} ${sign}= ? AND (${column} ${sign} ? OR id > ?)`, at.value, at.value, at.id)
}

const sorting = ({ column, isDown }: Order): string =>
  `ORDER BY ${column}${isDown ? " DESC" : ""}${column === "id" ? "" : ", id"}`

const bodies = (rows: ReadonlyArray<Row>): ReadonlyArray<ReservationRow> =>
  rows.map((row) => RowJson.reservation.decode(String(row[0])))

/** The paths of a tenant's reservations that have the segments a query asks for, where they are few and not just its own. */
const pathsOf = (connection: Connection, t: number, query: ReservationsQuery): ReadonlyArray<string> | undefined => {
  if (!levels.some((level) => level !== "tenant" && query[level] !== undefined)) return undefined
  // From each path to the next, past all reservations between them.
  const rows = connection
    .statement(
      "WITH RECURSIVE paths (scope) AS (SELECT min(scope) FROM reservations WHERE t = ? UNION ALL " +
        "SELECT (SELECT min(r.scope) FROM reservations r WHERE r.t = ? AND r.scope > paths.scope) FROM paths " +
        "WHERE paths.scope IS NOT NULL LIMIT ?) SELECT scope FROM paths WHERE scope IS NOT NULL"
    )
    .all([t, t, MANY_PATHS + 1])
  if (rows.length > MANY_PATHS) return undefined
  const wanted = levels.flatMap((level) => {
    const value = query[level]
    return value === undefined ? [] : [KeyText.encode(`/${level}:${value}/`)]
  })
  const paths = rows.map((row) => String(row[0])).filter((path) => wanted.every((part) => `/${path}/`.includes(part)))
  return paths.length > FEW_PATHS ? undefined : paths
}

/** A page of a tenant's reservations. */
export const reservations = Effect.fnUntraced(function*(
  connection: Connection,
  t: number,
  query: ReservationsQuery,
  page: Page
): Effect.fn.Return<ReadonlyArray<ReservationRow>> {
  const tenant = condition("t = ?", t)
  const order = orderOf(query)
  if (page.after !== undefined && isNumeric(order) && !isInt64(page.after[0])) return []
  const after = page.after === undefined ? undefined : positionOf(query, order, page.after)
  const narrowed = narrowings(query)
  const filters = [...narrowed.flatMap(({ conditions }) => conditions), ...segments(query)]

  const read = (
    select: string,
    index: string,
    conditions: ReadonlyArray<Condition>,
    rest: string,
    ...values: ReadonlyArray<Value>
  ): ReadonlyArray<Row> =>
    connection
      .statement(`SELECT ${select} FROM reservations INDEXED BY ${index} WHERE ${where(conditions)} ${rest}`)
      .all([...valuesOf(conditions), ...values])

  const isFew = (index: string, conditions: ReadonlyArray<Condition>): boolean =>
    read("1", index, [tenant, ...conditions], "LIMIT ?", FEW + 1).length <= FEW

  const rest = after === undefined ? [] : [beyond(order, after)]
  for (const { conditions, index } of narrowed) {
    if (!isFew(index, conditions)) continue
    return bodies(read("body", index, [tenant, ...filters, ...rest], `${sorting(order)} LIMIT ?`, page.limit))
  }

  const paths = pathsOf(connection, t, query)
  if (paths !== undefined) {
    const own = condition(`scope IN (${paths.map(() => "?").join()})`, ...paths)
    if (paths.length === 0) return []
    if (isFew("reservations_scope", [own])) {
      const all = [tenant, own, ...filters, ...rest]
      return bodies(read("body", "reservations_scope", all, `${sorting(order)} LIMIT ?`, page.limit))
    }
    if (order.column === "created") {
      // The first of each path, merged: each is in order by itself.
      const heads = paths.flatMap((path) => {
        const all = [tenant, condition("scope = ?", path), ...filters, ...rest]
        return read("created, id, seq", "reservations_scope", all, `${sorting(order)} LIMIT ?`, page.limit)
      })
      const sign = order.isDown ? -1 : 1
      const byPosition = (a: Row, b: Row): number =>
        sign * (Number(a[0]) - Number(b[0])) || (String(a[1]) < String(b[1]) ? -1 : 1)
      const body = connection.statement("SELECT body FROM reservations WHERE seq = ?")
      return bodies(
        heads.sort(byPosition).slice(0, page.limit).flatMap((row) => body.get([row[2] ?? null]) ?? [])
          .map((text) => [text])
      )
    }
  }

  const found: Array<ReservationRow> = []

  /** Reads the rows of an index that fulfil `fixed`, in an order the index has, until the page is full. */
  const scan = Effect.fnUntraced(function*(
    index: string,
    fixed: ReadonlyArray<Condition>,
    order: Order,
    from: Position | undefined
  ): Effect.fn.Return<void> {
    let at = from
    while (found.length < page.limit) {
      const own = [...fixed, ...(at === undefined ? [] : [beyond(order, at)])]
      const missing = page.limit - found.length
      const end: Row | undefined = filters.length === 0
        ? undefined
        : read(`${order.column}, id`, index, own, `${sorting(order)} LIMIT 1 OFFSET ?`, SLICE)[0]
      if (end === undefined) {
        found.push(...bodies(read("body", index, [...own, ...filters], `${sorting(order)} LIMIT ?`, missing)))
        return
      }
      const last: Position = { value: end[0] ?? null, id: String(end[1]) }
      const upTo = until(order, last)
      found.push(...bodies(read("body", index, [...own, upTo, ...filters], `${sorting(order)} LIMIT ?`, missing)))
      at = last
      yield* Effect.yieldNow
    }
  })

  // Where many rows share a value, an index can only be read upwards within it: so value by value, each by id.
  const byId = (index: string): Order => ({ column: "id", index, isDown: false })
  const scanValue = (index: string, fixed: ReadonlyArray<Condition>, value: Value): Effect.Effect<void> => {
    const isCurrent = after !== undefined && String(after.value) === String(value)
    return scan(index, [tenant, ...fixed], byId(index), isCurrent ? after : undefined)
  }

  switch (order.column) {
    case "id":
      yield* scan(order.index, [tenant], order, after)
      break
    case "created": {
      const fixed = [tenant, ...range("created", query.createdFromMs, query.createdToMs)]
      const status = query.status === undefined || query.status === "ACTIVE" ? undefined : ofStatus(query.status)
      if (status === undefined) yield* scan(order.index, fixed, order, after)
      else yield* scan(status.index, [...fixed, ...status.conditions], order, after)
      break
    }
    case "expires":
      yield* scan(order.index, [tenant, ...range("expires", query.expiresFromMs, query.expiresToMs)], order, after)
      break
    case "status": {
      const statuses: ReadonlyArray<ReservationStatus> = ["ACTIVE", "COMMITTED", "EXPIRED", "RELEASED"]
      for (const status of order.isDown ? statuses.toReversed() : statuses) {
        const isBefore = after !== undefined &&
          (order.isDown ? status > String(after.value) : status < String(after.value))
        if (isBefore || found.length === page.limit) continue
        const { conditions, index } = ofStatus(status)
        yield* scanValue(isFew(index, conditions) ? index : order.index, conditions, status)
      }
      break
    }
    case "scope":
    case "reserved": {
      const { column, index, isDown } = order
      // As a text, since a number would not hold every amount.
      // Of paths only those that match.
      const known = column === "scope" ? paths : undefined
      const only = known === undefined ? [] : [condition(`scope IN (${known.map(() => "?").join()})`, ...known)]
      const next = (than: Condition | undefined): Value | undefined => {
        const conditions = [tenant, ...only, ...(than === undefined ? [] : [than])]
        const row = read(`CAST(${column} AS TEXT)`, index, conditions, `${sorting(order)} LIMIT 1`)[0]
        return row === undefined ? undefined : column === "reserved" ? BigInt(String(row[0])) : String(row[0])
      }
      const sign = isDown ? "<" : ">"
      let value = next(after === undefined ? undefined : condition(`${column} ${sign}= ?`, after.value))
      while (value !== undefined && found.length < page.limit) {
        const own = condition(`${column} = ?`, value)
        yield* scanValue(column === "reserved" || isFew(index, [own]) ? index : "reservations_id", [own], value)
        value = next(condition(`${column} ${sign} ?`, value))
      }
      break
    }
  }
  return found
})

/** Up to a position and with it. */
const until = ({ column, isDown }: Order, at: Position): Condition => {
  if (column === "id") return condition(`id ${isDown ? ">=" : "<="} ?`, at.id)
  const sign = isDown ? ">" : "<"
  return condition(`${column} ${sign}= ? AND (${column} ${sign} ? OR id <= ?)`, at.value, at.value, at.id)
}
