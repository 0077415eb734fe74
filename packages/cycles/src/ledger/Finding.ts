/**
 * Tenants, keys, budgets and policies as an operator looks for them: filtered, searched, sorted, a page at a time.
 *
 * Where a tenant is named, its own rows are all that is read. Where none is, the registered tenants are gone through one after the
 * other.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { StoreError } from "./LedgerStore.ts"
import type { TenantProfile } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"
import * as Searching from "./Searching.ts"

/** So many tenants are read at once. */
const TENANTS = 100
const LIMIT = 50

/** A tenant and its profile, as the list has them. */
interface Registered extends TenantProfile {
  readonly tenant: string
}

/**
 * Which tenants, in what order.
 *
 * - `search`: what the id or the name has in it, whatever the case; at most 128 characters
 * - `sortBy`: by id, upwards, when not given; else downwards unless `sortDir` says otherwise
 * - `cursor`: that of the page before, for the same query
 * - `limit`: 1 to 1,000; 50 when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantsQuery extends Searching.Asked {
  readonly status?: TenantProfile["status"] | undefined
  readonly parent?: string | undefined
  readonly sortBy?: "tenant_id" | "name" | "status" | "created_at" | undefined
}

/** A page of rows that were read in some order, or why there is none. */
const found = <Row, E>(
  query: Searching.Asked,
  by: Searching.Order<Row>,
  isMatch: (row: Row) => boolean,
  read: (after: Searching.Position | undefined) => Effect.Effect<Searching.Batch<Row>, E>
): Result.Result<Effect.Effect<Searching.Found<Row>, E>, Refusal> => {
  const flaw = Searching.flawed(query)
  if (flaw !== undefined) return Result.fail(flaw)
  return Result.map(Searching.fromCursor(query), (after) => {
    const limit = query.limit ?? LIMIT
    return Effect.map(
      Searching.collect(read, isMatch, by, { after, limit: limit + 1 }),
      (rows) => Searching.pageOf(rows, limit, query, by)
    )
  })
}

const isDown = ({ sortDir }: Searching.Asked): boolean => sortDir !== "asc"

export const tenants = <Row extends Registered>(
  query: TenantsQuery,
  rowsAfter: (after: string, limit: number) => Effect.Effect<ReadonlyArray<Row | string>, StoreError>
): Result.Result<Effect.Effect<Searching.Found<Row>, StoreError>, Refusal> => {
  const { sortBy } = query
  const by: Searching.Order<Row> = {
    position: (row) => {
      switch (sortBy) {
        case undefined:
        case "tenant_id":
          return [row.tenant, ""]
        case "name":
          return [row.name, row.tenant]
        case "status":
          return [row.status, row.tenant]
        case "created_at":
          return [Searching.padded(row.createdAtMs), row.tenant]
      }
    },
    isDown: sortBy !== undefined && isDown(query),
    isRead: sortBy === undefined || (sortBy === "tenant_id" && !isDown(query))
  }
  return found(
    query,
    by,
    (row) =>
      (query.status === undefined || row.status === query.status) &&
      (query.parent === undefined || row.parent === query.parent) &&
      Searching.isFound(query.search, row.tenant, row.name),
    (after) =>
      Effect.map(rowsAfter(after?.[0] ?? "", TENANTS), (rows) => {
        const last = rows[rows.length - 1]
        return {
          // Those that were never registered are known by name alone.
          rows: rows.filter((row) => typeof row !== "string"),
          next: last === undefined || rows.length < TENANTS
            ? undefined
            : [typeof last === "string" ? last : last.tenant, ""]
        }
      })
  )
}
