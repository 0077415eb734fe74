/**
 * In whose name an authority acts, and what that one may do.
 *
 * @since 0.1.0
 */

/**
 * What a principal may do, one word per operation of the runtime plane.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `Permission`.
 *
 * @category models
 * @since 0.1.0
 */
export type Permission =
  | "reservations:create"
  | "reservations:commit"
  | "reservations:release"
  | "reservations:extend"
  | "reservations:list"
  | "balances:read"

/**
 * In whose name an authority acts.
 *
 * - `tenant`: 1 to 128 letters, digits, `_`, `.` or `-`
 * - `actor`: what the ledger's entries name as the cause; the tenant when not given
 * - `permissions`: what may be done; everything when not given
 * - `balances`: whether replies show the budgets after the change, which the protocol leaves open and which costs time on deep
 *   paths; not when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Principal {
  readonly tenant: string
  readonly actor?: string | undefined
  readonly permissions?: ReadonlySet<Permission> | undefined
  readonly balances?: boolean | undefined
}
