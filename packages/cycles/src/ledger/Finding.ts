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
import type { Unit } from "../protocol/Amount.ts"
import type { StoreError } from "./LedgerStore.ts"
import type { BudgetRow, BudgetStatus, PolicyRow, TenantProfile } from "./Model.ts"
import { isOverLimit } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"
import * as Searching from "./Searching.ts"

/** So many tenants are listed at once. */
const TENANTS = 100
/** So many tenants are read side by side, where none is named. */
const SIDE_BY_SIDE = 8
/** So many rows of one tenant are read at once. */
const ROWS = 200
const LIMIT = 50
/** Beyond every id. */
const END = "\uffff"

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

/**
 * Which API keys, in what order.
 *
 * - `tenant`: whose; those of every tenant when not given
 * - `search`: what the id or the name has in it, whatever the case; at most 128 characters
 * - `sortBy`: by tenant and id, upwards, when not given; else downwards unless `sortDir` says otherwise
 * - `cursor`, `limit`: as in {@link TenantsQuery}
 *
 * @category models
 * @since 0.1.0
 */
export interface ApiKeysQuery extends Searching.Asked {
  readonly tenant?: string | undefined
  readonly status?: "ACTIVE" | "REVOKED" | "EXPIRED" | undefined
  readonly sortBy?: "key_id" | "name" | "tenant_id" | "status" | "created_at" | "expires_at" | undefined
}

/**
 * Which budgets, in what order.
 *
 * - `tenant`: whose; those of every tenant when not given
 * - `scopePrefix`: what the scope begins with, letter by letter
 * - `hasDebt`: whether it has debt; `overLimit`: whether it takes no holds until someone reconciles it
 * - `utilizationMin`, `utilizationMax`: what share of the allocation is spent, 0 to 1, both ends included; 0 where nothing is allocated
 * - `search`: what the tenant or the scope has in it, whatever the case; at most 128 characters
 * - `sortBy`: by tenant, scope and unit, upwards, when not given; else downwards unless `sortDir` says otherwise
 * - `cursor`, `limit`: as in {@link TenantsQuery}
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetsQuery extends Searching.Asked {
  readonly tenant?: string | undefined
  readonly scopePrefix?: string | undefined
  readonly unit?: Unit | undefined
  readonly status?: BudgetStatus | undefined
  readonly overLimit?: boolean | undefined
  readonly hasDebt?: boolean | undefined
  readonly utilizationMin?: number | undefined
  readonly utilizationMax?: number | undefined
  readonly sortBy?:
    | "tenant_id"
    | "scope"
    | "unit"
    | "status"
    | "commit_overage_policy"
    | "utilization"
    | "debt"
    | undefined
}

/**
 * Which of a tenant's policies; by id.
 *
 * - `scopePattern`: exactly this one
 * - `actionKind`: allowed or denied by name
 * - `cursor`, `limit`: as in {@link TenantsQuery}
 *
 * @category models
 * @since 0.1.0
 */
export interface PoliciesQuery extends Omit<Searching.Asked, "search" | "sortDir"> {
  readonly scopePattern?: string | undefined
  readonly status?: PolicyRow["status"] | undefined
  readonly actionKind?: string | undefined
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

/** Rows of one tenant after an id of the kind {@link Searching.Position} has, fewer than asked for where there are no more. */
type Within<Row, E> = (tenant: string, after: string, limit: number) => Effect.Effect<ReadonlyArray<Row>, E>

/** The tenants whose rows are read: one, or all whose name a prefix leaves. */
interface Whose<E> {
  readonly tenant: string | undefined
  readonly namesAfter: (after: string, limit: number) => Effect.Effect<ReadonlyArray<string>, E>
  readonly isWanted: (tenant: string) => boolean
}

/** Rows of one tenant after the other, by tenant and id, from a position on. */
const within = <Row, E>(
  { isWanted, namesAfter, tenant }: Whose<E>,
  idOf: (row: Row) => string,
  rows: Within<Row, E>
) =>
(after: Searching.Position | undefined): Effect.Effect<Searching.Batch<Row>, E> => {
  const unfinished = after === undefined || after[1] === END ? [] : [after[0]]
  const following = tenant !== undefined
    ? Effect.succeed(after === undefined ? [tenant] : [])
    : namesAfter(after?.[0] ?? "", SIDE_BY_SIDE)
  return Effect.flatMap(following, (names) =>
    Effect.map(
      Effect.forEach(
        [...unfinished, ...names].filter(isWanted),
        (name) => Effect.map(rows(name, after?.[0] === name ? after[1] : "", ROWS), (found) => ({ name, found })),
        { concurrency: SIDE_BY_SIDE }
      ),
      (tenants): Searching.Batch<Row> => {
        const found: Array<Row> = []
        for (const { found: own, name } of tenants) {
          found.push(...own)
          const last = own[own.length - 1]
          // What was read of those behind is read again: their turn comes after the rest of this one.
          if (last !== undefined && own.length >= ROWS) return { rows: found, next: [name, idOf(last)] }
        }
        const last = names[names.length - 1]
        return {
          rows: found,
          next: tenant !== undefined || last === undefined || names.length < SIDE_BY_SIDE ? undefined : [last, END]
        }
      }
    ))
}

/** What is asked of keys, as the list shows them. */
interface Shown {
  readonly tenant: string
  readonly id: string
  readonly name: string
  readonly status: "ACTIVE" | "REVOKED" | "EXPIRED"
  readonly createdAtMs: number
  readonly expiresAtMs: number
}

export const apiKeys = <Row extends Shown, E>(
  query: ApiKeysQuery,
  namesAfter: Whose<E>["namesAfter"],
  rows: Within<Row, E>
): Result.Result<Effect.Effect<Searching.Found<Row>, E>, Refusal> => {
  const { sortBy } = query
  const by: Searching.Order<Row> = {
    position: (row) => {
      switch (sortBy) {
        case undefined:
        case "tenant_id":
          return [row.tenant, row.id]
        case "key_id":
          return [row.id, ""]
        case "name":
          return [row.name, row.id]
        case "status":
          return [row.status, row.id]
        case "created_at":
          return [Searching.padded(row.createdAtMs), row.id]
        case "expires_at":
          return [Searching.padded(row.expiresAtMs), row.id]
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
      Searching.isFound(query.search, row.id, row.name),
    within({ tenant: query.tenant, namesAfter, isWanted: () => true }, (row) => row.id, rows)
  )
}

/** Names a budget within its tenant; sorts by scope, then by unit, since a space comes before all a scope may have. */
const nameOf = ({ scope, unit }: BudgetRow): string => `${scope} ${unit}`

/** A share of the allocation. */
const utilization = ({ allocated, spent }: BudgetRow): number =>
  allocated === 0n ? 0 : Number(spent) / Number(allocated)

/** Shares that differ by less than this part of the allocation count as equal in an order. */
const SHARES = 10n ** 20n

const budgetsOrder = ({ sortBy, sortDir }: BudgetsQuery): Searching.Order<BudgetRow> => {
  const valueOf = (row: BudgetRow): string => {
    switch (sortBy) {
      case undefined:
      case "tenant_id":
        return row.tenant
      case "scope":
        return row.scope
      case "unit":
        return row.unit
      case "status":
        return row.status
      case "commit_overage_policy":
        return row.overagePolicy ?? ""
      case "utilization":
        return Searching.padded(row.allocated === 0n ? 0n : row.spent * SHARES / row.allocated)
      case "debt":
        return Searching.padded(row.debt)
    }
  }
  return {
    position: (row) => [valueOf(row), nameOf(row)],
    isDown: sortBy !== undefined && sortDir !== "asc",
    isRead: sortBy === undefined || (sortBy === "tenant_id" && sortDir === "asc")
  }
}

const flawedShare = (field: string, share: number | undefined): Refusal | undefined =>
  share === undefined || (share >= 0 && share <= 1)
    ? undefined
    : { code: "INVALID_REQUEST", field, reason: "must be a number from 0 to 1" }

const flawedShares = ({ utilizationMax: max, utilizationMin: min }: BudgetsQuery): Refusal | undefined =>
  flawedShare("utilizationMin", min) ?? flawedShare("utilizationMax", max) ??
    (min !== undefined && max !== undefined && min > max
      ? { code: "INVALID_REQUEST", field: "utilizationMin", reason: "must not be above utilization_max" }
      : undefined)

/** The place of a budget by its name within its tenant. */
const placeOf = (name: string): readonly [scope: string, unit: string] | undefined => {
  const space = name.lastIndexOf(" ")
  return name === "" ? undefined : space < 0 ? [name, ""] : [name.slice(0, space), name.slice(space + 1)]
}

export const budgets = <E>(
  query: BudgetsQuery,
  namesAfter: Whose<E>["namesAfter"],
  rows: (
    tenant: string,
    after: readonly [scope: string, unit: string] | undefined,
    limit: number
  ) => Effect.Effect<ReadonlyArray<BudgetRow>, E>
): Result.Result<Effect.Effect<Searching.Found<BudgetRow>, E>, Refusal> => {
  const flaw = flawedShares(query)
  if (flaw !== undefined) return Result.fail(flaw)
  const { hasDebt, overLimit, scopePrefix = "", status, unit, utilizationMax, utilizationMin } = query
  const isMatch = (row: BudgetRow): boolean =>
    row.scope.startsWith(scopePrefix) &&
    (unit === undefined || row.unit === unit) &&
    (status === undefined || row.status === status) &&
    (overLimit === undefined || isOverLimit(row) === overLimit) &&
    (hasDebt === undefined || (row.debt > 0n) === hasDebt) &&
    (utilizationMin === undefined || utilization(row) >= utilizationMin) &&
    (utilizationMax === undefined || utilization(row) <= utilizationMax) &&
    Searching.isFound(query.search, row.tenant, row.scope)
  const isWanted = (tenant: string): boolean => {
    const root = `tenant:${tenant}`
    return root.startsWith(scopePrefix) || scopePrefix === root || scopePrefix.startsWith(`${root}/`)
  }
  return found(
    query,
    budgetsOrder(query),
    isMatch,
    within({ tenant: query.tenant ?? ownerOf(scopePrefix), namesAfter, isWanted }, nameOf, (tenant, after, limit) =>
      // From the prefix on; scopes that begin with it follow one another.
      Effect.map(
        rows(tenant, placeOf(after) ?? (scopePrefix === "" ? undefined : [scopePrefix, ""]), limit),
        (found) => {
          const last = found[found.length - 1]
          return last === undefined || last.scope.startsWith(scopePrefix)
            ? found
            : found.filter(({ scope }) => scope.startsWith(scopePrefix))
        }
      ))
  )
}

/** The tenant in a prefix that goes beyond it. */
const ownerOf = (scopePrefix: string): string | undefined => /^tenant:([^/]+)\//.exec(scopePrefix)?.[1]

export const policies = <E>(
  query: PoliciesQuery,
  tenant: string,
  rows: Within<PolicyRow, E>
): Result.Result<Effect.Effect<Searching.Found<PolicyRow>, E>, Refusal> => {
  const { actionKind, scopePattern, status } = query
  return found(
    { ...query, tenant } as Searching.Asked,
    { position: (row) => [row.tenant, row.id], isDown: false, isRead: true },
    (row) =>
      (status === undefined || row.status === status) &&
      (scopePattern === undefined || row.scopePattern === scopePattern) &&
      (actionKind === undefined || row.allowedActionKinds.includes(actionKind) ||
        row.deniedActionKinds.includes(actionKind)),
    within(
      { tenant, namesAfter: () => Effect.succeed([]), isWanted: () => true },
      (row) => row.id,
      rows
    )
  )
}
