/**
 * In whose name an authority acts, and what that one may do.
 *
 * @since 0.1.0
 */
import type { Permission } from "./Permission.ts"

export type { Permission } from "./Permission.ts"

/**
 * In whose name an authority acts.
 *
 * - `tenant`: 1 to 128 letters, digits, `_`, `.` or `-`
 * - `actor`: what the ledger's entries name as the cause; the tenant when not given
 * - `keyId`: the API key it authenticated with. The key is read again in the transaction of every operation: once it is revoked
 *   or expired, or its permissions are taken away, the principal can do no more
 * - `permissions`: what may be done; everything when not given
 * - `scopeFilter`: where it may be done, for example `["workspace:eng", "agent:*"]`, see `ScopeFilter`; everywhere in the tenant
 *   when not given
 * - `balances`: whether replies show the budgets after the change, which the protocol leaves open and which costs time on deep
 *   paths; not when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Principal {
  readonly tenant: string
  readonly actor?: string | undefined
  readonly keyId?: string | undefined
  readonly permissions?: ReadonlySet<Permission> | undefined
  readonly scopeFilter?: ReadonlyArray<string> | undefined
  readonly balances?: boolean | undefined
}
