/**
 * Filters, order and cursors of the lists, for stores that cannot leave them to a database.
 *
 * Specification: `cycles-protocol-v0.yaml`, operations `listReservations` and `getBalances`.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { BalancesQuery } from "../protocol/Balance.ts"
import { Cursor } from "../protocol/Ids.ts"
import type { ReservationsQuery } from "../protocol/ReservationRecord.ts"
import { levels } from "../protocol/Subject.ts"
import * as CanonicalJson from "./CanonicalJson.ts"
import type { BudgetRow, ReservationRow } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"

type Segments = Pick<BalancesQuery, (typeof levels)[number]>

/**
 * Whether a path has every segment a query asks for, wherever in the path.
 *
 * @category predicates
 * @since 0.1.0
 */
export const hasSegments = (scope: string, query: Segments): boolean => {
  for (const level of levels) {
    const value = query[level]
    if (value !== undefined && !`/${scope}/`.includes(`/${level}:${value}/`)) return false
  }
  return true
}

const within = (at: number | undefined, from: number | undefined, to: number | undefined): boolean =>
  (from === undefined && to === undefined) ||
  (at !== undefined && (from === undefined || at >= from) && (to === undefined || at <= to))

/**
 * Whether a reservation passes every filter of a query. Only settled reservations have a `finalizedAtMs`.
 *
 * @category predicates
 * @since 0.1.0
 */
export const matches = (row: ReservationRow, query: ReservationsQuery): boolean =>
  (query.idempotencyKey === undefined || row.idempotencyKey === query.idempotencyKey) &&
  (query.status === undefined || row.status === query.status) &&
  hasSegments(row.scopes[row.scopes.length - 1] ?? "", query) &&
  within(row.createdAtMs, query.createdFromMs, query.createdToMs) &&
  within(row.expiresAtMs, query.expiresFromMs, query.expiresToMs) &&
  within(row.finalizedAtMs, query.finalizedFromMs, query.finalizedToMs)

const padded = (n: number | bigint): string => n.toString().padStart(20, "0")

/**
 * Where a reservation stands in the order a query asks for, as a text that sorts like it.
 *
 * @category getters
 * @since 0.1.0
 */
export const position = (row: ReservationRow, query: ReservationsQuery): string => {
  switch (query.sortBy ?? "created_at_ms") {
    case "reservation_id":
      return row.id
    case "tenant":
      return row.tenant
    case "scope_path":
      return row.scopes[row.scopes.length - 1] ?? ""
    case "status":
      return row.status
    case "reserved":
      return padded(row.estimate.amount)
    case "created_at_ms":
      return padded(row.createdAtMs)
    case "expires_at_ms":
      return padded(row.expiresAtMs)
  }
}

const order = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/**
 * Compares two positions in the direction a query asks for; ties by id, ascending.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const compare = (
  a: readonly [value: string, id: string],
  b: readonly [value: string, id: string],
  query: ReservationsQuery
): number => (query.sortDir === "asc" ? 1 : -1) * order(a[0], b[0]) || order(a[1], b[1])

/**
 * Compares two budgets by scope and unit.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const compareBudgets = (a: BudgetRow, b: BudgetRow): number => order(a.scope, b.scope) || order(a.unit, b.unit)

/**
 * A cursor is bound to the filters and the order it was made under, not to what is included.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toCursor = (
  query: BalancesQuery | ReservationsQuery,
  position: readonly [value: string, id: string]
): Cursor =>
  Cursor.make(
    [fingerprint(query), ...position].map((part) => encodeURIComponent(part).replaceAll(".", "%2E")).join(".")
  )

/**
 * The position a cursor stands for, or a refusal where it belongs to another list.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromCursor = (
  query: BalancesQuery | ReservationsQuery
): Result.Result<readonly [value: string, id: string] | undefined, Refusal> => {
  if (query.cursor === undefined) return Result.succeed(undefined)
  const invalid: Refusal = {
    code: "INVALID_REQUEST",
    field: "cursor",
    reason: "it was not given for these filters and this order"
  }
  try {
    const [print, value, id, more] = query.cursor.split(".").map(decodeURIComponent)
    return print === fingerprint(query) && value !== undefined && id !== undefined && more === undefined
      ? Result.succeed([value, id])
      : Result.fail(invalid)
  } catch {
    return Result.fail(invalid)
  }
}

const fingerprint = (query: BalancesQuery | ReservationsQuery): string =>
  CanonicalJson.digest({ ...query, cursor: undefined, limit: undefined, include: undefined }).slice(0, 16)
