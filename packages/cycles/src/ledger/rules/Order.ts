/**
 * What can be asked of a ledger's governance beside its budgets: tenants and API keys.
 *
 * @since 0.1.0
 */
import type { Unit } from "../../protocol/Amount.ts"
import type { JsonObject } from "../../protocol/Metrics.ts"
import type { OveragePolicy } from "../../protocol/OveragePolicy.ts"
import type { ApiKeyRow, TenantProfile } from "../Model.ts"
import type { Permission } from "../Permission.ts"
import type { Refusal } from "../Refusal.ts"

/**
 * What is set of a tenant; what is not given stays as it is.
 *
 * - `name`: 1 to 256 characters
 * - `parent`: the tenant above, which must exist; `null` for none
 * - `overagePolicy`: of holds that name none, where neither policy nor budget does
 * - `defaultTtlMs`, `maxTtlMs`: 1,000 to 86,400,000 milliseconds; longer leases are cut to `maxTtlMs`
 * - `maxExtensions`: how often one reservation may be extended
 * - `expiryPolicy`: kept and shown. Holds whose lease has ended take commits until their grace is over and are given back then,
 *   which is what both say; there is none under which holds are kept
 * - `metadata`: at most 32 texts by name
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantSettings {
  readonly name?: string | undefined
  readonly parent?: string | null | undefined
  readonly overagePolicy?: OveragePolicy | undefined
  readonly defaultTtlMs?: number | undefined
  readonly maxTtlMs?: number | undefined
  readonly maxExtensions?: number | undefined
  readonly expiryPolicy?: TenantProfile["expiryPolicy"]
  readonly metadata?: JsonObject | undefined
}

/**
 * What is set of an API key; what is not given stays as it is.
 *
 * - `name`: 1 to 256 characters
 * - `description`: at most 1,024 characters
 * - `permissions`: all it may do
 * - `scopeFilter`: all of where it may do it, see `ScopeFilter`; everywhere when empty
 * - `metadata`: free, never looked into
 *
 * @category models
 * @since 0.1.0
 */
export interface ApiKeySettings {
  readonly name?: string | undefined
  readonly description?: string | undefined
  readonly permissions?: ReadonlyArray<Permission> | undefined
  readonly scopeFilter?: ReadonlyArray<string> | undefined
  readonly metadata?: JsonObject | undefined
}

/**
 * An order of governance, checked for shape. `Refuse` is one that was refused before the rules were asked and is to be audited all
 * the same.
 *
 * @category models
 * @since 0.1.0
 */
export type Order =
  | { readonly _tag: "CreateTenant"; readonly name: string; readonly settings: TenantSettings }
  | {
    readonly _tag: "UpdateTenant"
    readonly settings: TenantSettings
    readonly status: TenantProfile["status"] | undefined
  }
  | { readonly _tag: "SetTenantStatus"; readonly status: TenantProfile["status"] }
  | { readonly _tag: "ReadTenant" }
  | { readonly _tag: "CreateApiKey"; readonly key: ApiKeyRow }
  | { readonly _tag: "UpdateApiKey"; readonly id: string; readonly settings: ApiKeySettings }
  | {
    readonly _tag: "RevokeApiKey"
    readonly id: string
    readonly reason: string | undefined
    /** Whether one that is revoked already is a conflict. */
    readonly once: boolean
  }
  | {
    readonly _tag: "RotateApiKey"
    readonly id: string
    readonly next: Pick<ApiKeyRow, "id" | "prefix" | "hash">
    readonly overlapMs: number
  }
  | { readonly _tag: "ReadApiKey"; readonly id: string }
  | { readonly _tag: "ReadBudget"; readonly scope: string; readonly unit: Unit }
  | { readonly _tag: "Refuse"; readonly refusal: Refusal }

/**
 * What registering a tenant answers: its profile, and whether it is one that was not there before.
 *
 * @category models
 * @since 0.1.0
 */
export interface Registration {
  readonly profile: TenantProfile
  readonly isNew: boolean
}

/**
 * The tenant whose row whoever changes parents owns as well, so that two such changes never run side by side. Its name is none a
 * tenant can be registered under.
 *
 * @internal
 */
export const HIERARCHY = "__tenants__"

/** Whether an order changes who is whose parent. */
export const movesTenant = (order: Order): boolean =>
  (order._tag === "CreateTenant" || order._tag === "UpdateTenant") && typeof order.settings.parent === "string"
