/**
 * What a caller may do, one word per kind of operation.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `Permission`.
 *
 * @since 0.1.0
 */

/**
 * Every permission of the specification: those of a tenant's runtime and self-service, the two wildcards, and those of
 * operators.
 *
 * @category constants
 * @since 0.1.0
 */
export const permissions = [
  "reservations:create",
  "reservations:commit",
  "reservations:release",
  "reservations:extend",
  "reservations:list",
  "balances:read",
  "budgets:read",
  "budgets:write",
  "policies:read",
  "policies:write",
  "webhooks:read",
  "webhooks:write",
  "events:read",
  "admin:read",
  "admin:write",
  "admin:tenants:read",
  "admin:tenants:write",
  "admin:budgets:read",
  "admin:budgets:write",
  "admin:policies:read",
  "admin:policies:write",
  "admin:apikeys:read",
  "admin:apikeys:write",
  "admin:webhooks:read",
  "admin:webhooks:write",
  "admin:events:read",
  "admin:audit:read"
] as const

/**
 * One of {@link permissions}.
 *
 * @category models
 * @since 0.1.0
 */
export type Permission = (typeof permissions)[number]

/**
 * What an API key may do that was made without saying so: everything of the runtime, and its own budgets and policies.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, operation `createApiKey`, PERMISSIONS.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults: ReadonlyArray<Permission> = permissions.slice(0, 10)

/**
 * Whether what was granted covers what is needed. `admin:write` covers every `…:write`, `admin:read` every `…:read`, and neither
 * covers the other; `admin:budgets:write` covers `budgets:write`, and so on.
 *
 * **Example** (Wildcards)
 *
 * ```ts
 * import { Permission } from "effect-cycles"
 *
 * console.log(Permission.covers(new Set(["admin:write"]), "budgets:write")) // => true
 * console.log(Permission.covers(new Set(["admin:write"]), "budgets:read")) // => false
 * ```
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `Permission`, WILDCARD SEMANTICS.
 *
 * @category predicates
 * @since 0.1.0
 */
export const covers = (granted: ReadonlySet<string>, needed: Permission): boolean =>
  granted.has(needed) || granted.has(`admin:${needed}`) ||
  (needed.endsWith(":write") && granted.has("admin:write")) ||
  (needed.endsWith(":read") && granted.has("admin:read"))
