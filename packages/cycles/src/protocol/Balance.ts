/**
 * What is left of a budget, and how it got there.
 *
 * Specification: `cycles-protocol-v0.yaml`, schemas `Balance` and `BalanceResponse`, operation `getBalances`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Amount, SignedAmount } from "./Amount.ts"
import { Cursor } from "./Ids.ts"

/**
 * The state of one budget. Where all of them are given, `remaining = allocated − spent − reserved − debt`, in one unit.
 *
 * - `scope`, `scopePath`: the canonical path, for example `tenant:acme/agent:writer`
 * - `remaining`: what new reservations may take; negative after an overdraft
 * - `isOverLimit`: no new reservations until someone reconciles the budget; absent means false
 *
 * @category models
 * @since 0.1.0
 */
export const Balance = Schema.Struct({
  scope: Schema.String,
  scopePath: Schema.String,
  remaining: SignedAmount,
  reserved: Schema.optionalKey(Amount),
  spent: Schema.optionalKey(Amount),
  debt: Schema.optionalKey(Amount),
  allocated: Schema.optionalKey(Amount),
  overdraftLimit: Schema.optionalKey(Amount),
  isOverLimit: Schema.optionalKey(Schema.Boolean)
}).pipe(Schema.encodeKeys({
  scopePath: "scope_path",
  overdraftLimit: "overdraft_limit",
  isOverLimit: "is_over_limit"
}))

/**
 * @category models
 * @since 0.1.0
 */
export interface Balance extends Schema.Schema.Type<typeof Balance> {}

/**
 * How many rows a page holds: 1 to 200, 50 when not given.
 *
 * Specification: parameter `Limit`.
 *
 * @category models
 * @since 0.1.0
 */
export const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 }))

/**
 * Which balances: every budget whose path has all of the given segments. At least one level must be given, and a tenant
 * other than the authority's own is `Forbidden`. `includeChildren` is accepted and has no effect, as the specification
 * allows: segments are matched anywhere in the path.
 *
 * @category models
 * @since 0.1.0
 */
export const BalancesQuery = Schema.Struct({
  tenant: Schema.optionalKey(Schema.String),
  workspace: Schema.optionalKey(Schema.String),
  app: Schema.optionalKey(Schema.String),
  workflow: Schema.optionalKey(Schema.String),
  agent: Schema.optionalKey(Schema.String),
  toolset: Schema.optionalKey(Schema.String),
  includeChildren: Schema.optionalKey(Schema.Boolean),
  limit: Schema.optionalKey(Limit),
  cursor: Schema.optionalKey(Cursor)
}).pipe(Schema.encodeKeys({ includeChildren: "include_children" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface BalancesQuery extends Schema.Schema.Type<typeof BalancesQuery> {}

/**
 * One page of balances, in the order of their paths.
 *
 * @category models
 * @since 0.1.0
 */
export const BalancesPage = Schema.Struct({
  balances: Schema.Array(Balance),
  nextCursor: Schema.optionalKey(Cursor),
  hasMore: Schema.optionalKey(Schema.Boolean)
}).pipe(Schema.encodeKeys({ nextCursor: "next_cursor", hasMore: "has_more" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface BalancesPage extends Schema.Schema.Type<typeof BalancesPage> {}
