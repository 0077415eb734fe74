/**
 * Events and acts of all tenants, in the orders an operator may ask for: which columns a store finds them by, and where one stands.
 *
 * A log is read by one thing at a time: a tenant, the time, or one column. What else a list is filtered by is left to whoever
 * reads it, page by page.
 *
 * @since 0.1.0
 */
import type { Act, LedgerEvent } from "./Model.ts"

/**
 * What events are found and sorted by, beside their tenant and their time.
 *
 * - `correlation`: the request that led to them or, of those that none did, the reservation they are about
 *
 * @category models
 * @since 0.1.0
 */
export type EventColumn = "type" | "scope" | "trace" | "correlation"

/**
 * What acts are found and sorted by, beside their tenant and their time. A `status` is the HTTP status code of the answer.
 *
 * @category models
 * @since 0.1.0
 */
export type ActColumn = "operation" | "resource_type" | "resource_id" | "key_id" | "status" | "trace" | "request"

/**
 * The value of each column of a row; the empty text where it has none.
 *
 * @category models
 * @since 0.1.0
 */
export type Columns<Row, Column extends string> = { readonly [C in Column]: (row: Row) => string }

/**
 * Where a row stands: its value of the column that is read by (the empty text where that is the time or the tenant), its time,
 * and what names it.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogPosition {
  readonly value: string
  readonly atMs: number
  readonly tenant: string
  readonly number: number
}

/**
 * A page of a log.
 *
 * - `by`: the order. Of one value rows are in the order of their time, then of their tenants and numbers; by `tenant` they are in the
 *   order of tenants and numbers
 * - `only`: the rows of that one value alone; never the empty text, and not with `time`
 * - `isDown`: the order backwards
 * - `after`: the position of the last row of the page before. What names it need not exist
 *
 * @category models
 * @since 0.1.0
 */
export interface LogPage<Column extends string> {
  readonly by: "tenant" | "time" | Column
  readonly only?: string | undefined
  readonly isDown: boolean
  readonly after?: LogPosition | undefined
  readonly limit: number
}

/**
 * What links an event with others: the request they come of or, where there is none, the reservation they are about.
 *
 * @category getters
 * @since 0.1.0
 */
export const correlationOf = (event: LedgerEvent): string | undefined => event.requestId ?? event.reservationId

/**
 * @category constants
 * @since 0.1.0
 */
export const eventColumns: Columns<LedgerEvent, EventColumn> = {
  type: ({ type }) => type,
  scope: ({ scope }) => scope ?? "",
  trace: ({ traceId }) => traceId ?? "",
  correlation: (event) => correlationOf(event) ?? ""
}

/**
 * @category constants
 * @since 0.1.0
 */
export const actColumns: Columns<Act, ActColumn> = {
  operation: ({ operation }) => operation,
  resource_type: ({ resourceType }) => resourceType,
  resource_id: ({ resourceId }) => resourceId,
  key_id: ({ keyId }) => keyId ?? "",
  status: (act) => String(statusOf(act)),
  trace: ({ traceId }) => traceId ?? "",
  request: ({ requestId }) => requestId ?? ""
}

const statuses: { readonly [code: string]: number } = {
  INVALID_REQUEST: 400,
  UNIT_MISMATCH: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  BUDGET_NOT_FOUND: 404,
  INSUFFICIENT_PERMISSIONS: 403,
  TENANT_NOT_FOUND: 404,
  RESERVATION_EXPIRED: 410,
  LIMIT_EXCEEDED: 429,
  INTERNAL_ERROR: 500
}

const creating = new Set(["createTenant", "createApiKey", "createBudget", "createPolicy"])

/**
 * The HTTP status code an act was answered with, as the specification has it for its operation and its error.
 *
 * @category getters
 * @since 0.1.0
 */
export const statusOf = ({ errorCode, operation }: Pick<Act, "operation" | "errorCode">): number => {
  if (errorCode === undefined) return creating.has(operation) ? 201 : 200
  // A tenant that is none is a flaw of what is made for it; and of updating one, that it is closed.
  if (errorCode === "TENANT_NOT_FOUND" && creating.has(operation)) return 400
  if (errorCode === "TENANT_CLOSED" && operation === "updateTenant") return 400
  return statuses[errorCode] ?? 409
}

/**
 * Where a row stands in a page's order.
 *
 * @category getters
 * @since 0.1.0
 */
export const positionOf = <Row extends Pick<LogPosition, "atMs" | "tenant" | "number">, Column extends string>(
  row: Row,
  by: LogPage<Column>["by"],
  columns: Columns<Row, Column>
): LogPosition => ({
  value: by === "tenant" || by === "time" ? "" : columns[by](row),
  atMs: row.atMs,
  tenant: row.tenant,
  number: row.number
})

const order = (a: string | number, b: string | number): number => a < b ? -1 : a > b ? 1 : 0

/**
 * Compares two positions upwards.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const compare = (by: string, a: LogPosition, b: LogPosition): number =>
  (by === "tenant" ? 0 : order(a.value, b.value) || order(a.atMs, b.atMs)) || order(a.tenant, b.tenant) ||
  order(a.number, b.number)

/**
 * A page of rows that are all at hand, in whatever order.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pageOf = <Row extends Pick<LogPosition, "atMs" | "tenant" | "number">, Column extends string>(
  rows: Iterable<Row>,
  { after, by, isDown, limit, only }: LogPage<Column>,
  columns: Columns<Row, Column>
): ReadonlyArray<Row> => {
  const sign = isDown ? -1 : 1
  const found: Array<{ readonly row: Row; readonly at: LogPosition }> = []
  for (const row of rows) {
    const at = positionOf(row, by, columns)
    if (only !== undefined && (by === "tenant" ? row.tenant : at.value) !== only) continue
    if (after === undefined || sign * compare(by, at, after) > 0) found.push({ row, at })
  }
  return found.sort((a, b) => sign * compare(by, a.at, b.at)).slice(0, limit).map(({ row }) => row)
}
