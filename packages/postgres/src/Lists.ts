/**
 * The statements of the lists: pages in the order of an index, of one tenant alone.
 *
 * @internal
 */
import * as KeyText from "effect-cycles/ledger/KeyText"
import type { Page } from "effect-cycles/ledger/LedgerStore"
import type { LogPage } from "effect-cycles/ledger/Logs"
import type { BalancesQuery } from "effect-cycles/protocol/Balance"
import type { ReservationsQuery, ReservationStatus } from "effect-cycles/protocol/ReservationRecord"
import { levels } from "effect-cycles/protocol/Subject"
import { integer } from "./Parameters.ts"
import type { Statement } from "./Session.ts"
import { quoted } from "./Tables.ts"

/** Collects the parameters of a statement as its text is put together. */
class Text {
  readonly params: Array<string> = []

  key(value: string): string {
    return `$${this.params.push(KeyText.encode(value))}::text`
  }

  integer(value: string | number): string {
    return `$${this.params.push(typeof value === "number" ? integer(Math.trunc(value)) : value)}::bigint`
  }
}

/** Written into the statement, since its plan depends on it. */
const limitOf = (limit: number): string => integer(Math.max(0, Math.trunc(limit)))

/** Conditions for every segment asked for, wherever in the path; that of the tenant is true of all its rows, or of none. */
const segments = (text: Text, tenant: string, query: Pick<BalancesQuery, (typeof levels)[number]>): Array<string> =>
  levels.flatMap((level) => {
    const value = query[level]
    if (value === undefined || (level === "tenant" && value === tenant)) return []
    return [`position(${text.key(`/${level}:${value}/`)} IN '/' || scope || '/') > 0`]
  })

export const budgets = (schema: string, tenant: string, query: BalancesQuery, page: Page): Statement => {
  const text = new Text()
  const where = [`tenant = ${text.key(tenant)}`, ...segments(text, tenant, query)]
  if (page.after !== undefined) {
    where.push(`(scope, unit) > (${text.key(page.after[0])}, ${text.key(page.after[1])})`)
  }
  return {
    sql: `SELECT data FROM ${quoted(schema)}.budgets WHERE ${where.join(" AND ")}
      ORDER BY scope, unit LIMIT ${limitOf(page.limit)}`,
    params: text.params
  }
}

/** With more paths than this, a tenant's reservations are looked through in the order of their list. */
const MANY_PATHS = 1_000

const endedStatuses = ["COMMITTED", "EXPIRED", "RELEASED"] satisfies ReadonlyArray<ReservationStatus>

type SortBy = NonNullable<ReservationsQuery["sortBy"]>

const columns: { readonly [S in SortBy]: { readonly name: string; readonly isNumber: boolean } } = {
  reservation_id: { name: "id", isNumber: false },
  // The same for every row of a tenant: the ties decide.
  tenant: { name: "id", isNumber: false },
  scope_path: { name: "scope", isNumber: false },
  status: { name: "status", isNumber: false },
  reserved: { name: "reserved", isNumber: true },
  created_at_ms: { name: "created_at", isNumber: true },
  expires_at_ms: { name: "expires_at", isNumber: true }
}

const between = (
  text: Text,
  column: string,
  from: number | undefined,
  to: number | undefined
): ReadonlyArray<string> => [
  ...(from === undefined ? [] : [`${column} >= ${text.integer(Math.ceil(from))}`]),
  ...(to === undefined ? [] : [`${column} <= ${text.integer(Math.floor(to))}`])
]

/** A position in the list that stands for nothing there is, as a cursor somebody made up may hold. */
const isNowhere = (value: string): boolean => !/^\d{1,20}$/.test(value) || BigInt(value) > 9_223_372_036_854_775_807n

/** A page of a tenant's reservations, or `undefined` where it is known to be empty. */
export const reservations = (
  schema: string,
  tenant: string,
  query: ReservationsQuery,
  page: Page
): Statement | undefined => {
  const text = new Text()
  const sortBy = query.sortBy ?? "created_at_ms"
  const { isNumber, name: column } = columns[sortBy]
  // Ties are by id, ascending, whatever the direction.
  const descending = query.sortDir !== "asc" && sortBy !== "tenant"
  if (isNumber && page.after !== undefined && isNowhere(page.after[0])) return undefined
  const byId = column === "id"
  const after = page.after === undefined
    ? undefined
    : {
      value: byId ? "" : isNumber ? text.integer(page.after[0]) : text.key(page.after[0]),
      id: text.key(page.after[1])
    }

  const own = text.key(tenant)
  const inPath = segments(text, tenant, query)
  const filters = [
    ...inPath,
    ...between(text, "created_at", query.createdFromMs, query.createdToMs),
    ...between(text, "expires_at", query.expiresFromMs, query.expiresToMs)
  ]
  const isFinalized = query.finalizedFromMs !== undefined || query.finalizedToMs !== undefined
  // What ended or expired by a time began before it: the index of creation times then has an end.
  for (const to of [query.finalizedToMs, query.expiresToMs]) {
    if (to !== undefined) filters.push(`created_at <= ${text.integer(Math.floor(to))}`)
  }
  if (query.idempotencyKey !== undefined) {
    filters.push(`idempotency_key = ${text.key(query.idempotencyKey)}`)
  }
  const limit = limitOf(page.limit)
  const direction = descending ? " DESC" : ""
  const order = byId ? `ORDER BY id${direction}` : `ORDER BY ${column}${direction}, id`
  const passed = (value: string, id: string): string =>
    after === undefined
      ? "true"
      : byId
      ? `${id} ${descending ? "<" : ">"} ${after.id}`
      : descending
      ? `${value} <= ${after.value} AND (${value} < ${after.value} OR ${id} > ${after.id})`
      : `(${value}, ${id}) > (${after.value}, ${after.id})`

  const parts: Array<string> = []
  if ((query.status === undefined || query.status === "ACTIVE") && !isFinalized) {
    // All open ones of a tenant are looked at: there are few.
    const where = [...filters, passed(column, "id")].join(" AND ")
    parts.push(
      `SELECT * FROM (
        SELECT id, tenant, scope, idempotency_key, reserved, created_at, expires_at, data,
          'ACTIVE'::text COLLATE "C" AS status
        FROM ${quoted(schema)}.open_reservations WHERE tenant = ${own}
      ) open WHERE ${where} ${order} LIMIT ${limit}`
    )
  }
  if (query.status !== "ACTIVE") {
    const ended = `${quoted(schema)}.ended_reservations`
    const where = [
      `tenant = ${own}`,
      ...filters,
      ...(query.status === undefined ? [] : [`status = ${text.key(query.status)}`]),
      ...between(text, "finalized_at", query.finalizedFromMs, query.finalizedToMs)
    ].join(" AND ")
    const all = "id, tenant, scope, idempotency_key, reserved, created_at, expires_at, data, status"
    if (query.idempotencyKey !== undefined) {
      // Found by its key first, whatever the order: what `OFFSET 0` fences off is not planned together with it.
      parts.push(
        `SELECT * FROM (SELECT ${all} FROM ${ended} WHERE ${where} OFFSET 0) keyed
          WHERE ${passed(column, "id")} ${order} LIMIT ${limit}`
      )
    } else if (byId) {
      // The index of each status is in the order of ids.
      for (const status of query.status === undefined ? endedStatuses : [query.status]) {
        const of = query.status === undefined ? ` AND status = '${status}'` : ""
        parts.push(
          `SELECT ${all} FROM ${ended} WHERE ${where}${of} AND ${passed(column, "id")} ${order} LIMIT ${limit}`
        )
      }
    } else {
      // Down the index from value to value, and up within each: ties are by id, ascending, in either direction.
      const from = after === undefined ? "" : ` AND ${column} <= ${after.value}`
      const inOrder = descending
        ? `SELECT page.* FROM (
          WITH RECURSIVE steps(at) AS (
            (SELECT ${column} FROM ${ended} WHERE ${where}${from} ORDER BY ${column} DESC LIMIT 1)
            UNION ALL
            SELECT (SELECT ${column} FROM ${ended} WHERE ${where} AND ${column} < steps.at ORDER BY ${column} DESC LIMIT 1)
            FROM steps WHERE steps.at IS NOT NULL
          )
          SELECT rows.* FROM steps CROSS JOIN LATERAL (
            SELECT ${all} FROM ${ended} WHERE ${where} AND ${column} = steps.at
              AND ${after === undefined ? "true" : `(steps.at < ${after.value} OR id > ${after.id})`}
            ORDER BY id LIMIT ${limit}
          ) rows WHERE steps.at IS NOT NULL LIMIT ${limit}
        ) page`
        : `SELECT ${all} FROM ${ended} WHERE ${where} AND ${passed(column, "id")} ${order} LIMIT ${limit}`
      // The few of a segment among the many of a tenant: its paths are looked up first, unless there are too many of them.
      parts.push(
        inPath.length === 0 || column !== "created_at" ? inOrder : `SELECT page.* FROM (
          WITH RECURSIVE steps(at) AS (
            (SELECT scope FROM ${ended} WHERE tenant = ${own} ORDER BY scope LIMIT 1)
            UNION ALL
            SELECT (SELECT scope FROM ${ended} WHERE tenant = ${own} AND scope > steps.at ORDER BY scope LIMIT 1)
            FROM steps WHERE steps.at IS NOT NULL
          ),
          paths AS MATERIALIZED (SELECT at AS scope FROM steps WHERE at IS NOT NULL LIMIT ${MANY_PATHS + 1})
          SELECT rows.* FROM (SELECT scope FROM paths WHERE ${inPath.join(" AND ")}) path CROSS JOIN LATERAL (
            SELECT ${all} FROM ${ended} WHERE ${where} AND scope = path.scope AND ${passed(column, "id")}
            ${order} LIMIT ${limit}
          ) rows WHERE (SELECT count(*) FROM paths) <= ${MANY_PATHS}
          UNION ALL
          SELECT others.* FROM (${inOrder}) others WHERE (SELECT count(*) FROM paths) > ${MANY_PATHS}
        ) page`
      )
    }
  }
  if (parts.length === 0) return undefined
  const union = parts.map((part) => `SELECT id, ${column} AS at, data FROM (${part}) part`)
  return {
    sql: `SELECT data FROM (${union.join(" UNION ALL ")}) found ORDER BY at${
      descending ? " DESC" : ""
    }, id LIMIT ${limit}`,
    params: text.params
  }
}

/** A page of a log, read from one index. */
export const log = <Column extends string>(
  schema: string,
  table: "events" | "acts",
  { after, by, isDown, limit, only }: LogPage<Column>
): Statement => {
  const text = new Text()
  const [beyond, direction] = isDown ? ["<", " DESC"] : [">", ""]
  const names = by === "tenant" ? ["tenant", "number"] : ["at", "tenant", "number"]
  const where: Array<string> = []
  // A partial index has what is not empty; of one value the rest of its order is the order.
  if (only !== undefined && by !== "time") where.push(`${by} = ${text.key(only)}`, `${by} <> ''`)
  else if (by !== "tenant" && by !== "time") names.unshift(by)
  if (after !== undefined) {
    const at = names.map((name) =>
      name === "at"
        ? text.integer(after.atMs)
        : name === "number"
        ? text.integer(after.number)
        : text.key(name === "tenant" ? after.tenant : after.value)
    )
    where.push(`(${names.join(", ")}) ${beyond} (${at.join(", ")})`)
  }
  return {
    sql: `SELECT data FROM ${quoted(schema)}.${table}${where.length === 0 ? "" : ` WHERE ${where.join(" AND ")}`}
      ORDER BY ${names.map((name) => `${name}${direction}`).join(", ")} LIMIT ${limitOf(limit)}`,
    params: text.params
  }
}
