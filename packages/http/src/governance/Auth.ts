/**
 * Who is asking, and what they can do: `auth/introspect`.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, operation `introspectAuth`.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Schema from "effect/Schema"
import * as Wire from "../internal/governed.ts"
import { BadParameters } from "../RuntimeApi.ts"
import { EitherKey } from "./Access.ts"

/**
 * What a caller can do, one flag for each page of a console; all of them are always there.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Capabilities = Schema.Struct({
  view_overview: Schema.Boolean,
  view_budgets: Schema.Boolean,
  view_events: Schema.Boolean,
  view_webhooks: Schema.Boolean,
  view_audit: Schema.Boolean,
  view_tenants: Schema.Boolean,
  view_api_keys: Schema.Boolean,
  view_policies: Schema.Boolean,
  view_reservations: Schema.optionalKey(Schema.Boolean),
  manage_budgets: Schema.optionalKey(Schema.Boolean),
  manage_policies: Schema.optionalKey(Schema.Boolean),
  manage_webhooks: Schema.optionalKey(Schema.Boolean),
  manage_tenants: Schema.optionalKey(Schema.Boolean),
  manage_api_keys: Schema.optionalKey(Schema.Boolean),
  manage_reservations: Schema.optionalKey(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Capabilities extends Schema.Schema.Type<typeof Capabilities> {}

/**
 * Whose key it is, and what it is good for. `permissions` of the admin key are `["*"]`; a tenant's key names its tenant, and its scope
 * filter where it has one.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AuthIntrospectResponse = Schema.Struct({
  authenticated: Schema.Boolean,
  auth_type: Schema.Literals(["admin", "tenant"]),
  permissions: Schema.Array(Schema.String),
  capabilities: Capabilities,
  tenant_id: Schema.optionalKey(Schema.String),
  scope_filter: Schema.optionalKey(Schema.Array(Schema.String))
}).annotate({ identifier: "AuthIntrospectResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface AuthIntrospectResponse extends Schema.Schema.Type<typeof AuthIntrospectResponse> {}

/**
 * What the permissions of a tenant's key let it do. What is an operator's alone is never among it, whatever the key may carry.
 *
 * **Example** (Reading is not writing)
 *
 * ```ts
 * import * as Auth from "@effect-cycles/http/governance/Auth"
 *
 * const { manage_budgets, view_budgets, view_tenants } = Auth.capabilitiesOf(new Set(["admin:read"]))
 *
 * console.log(view_budgets, manage_budgets, view_tenants) // => true false false
 * ```
 *
 * Source: schema `AuthIntrospectResponse`, CAPABILITY DERIVATION.
 *
 * @category conversions
 * @since 0.1.0
 */
export const capabilitiesOf = (permissions: ReadonlySet<string>): Required<Capabilities> => {
  const any = (...wanted: ReadonlyArray<string>): boolean => wanted.some((permission) => permissions.has(permission))
  const reads = (what: string): boolean => any(`${what}:read`, "admin:read", `admin:${what}:read`)
  const writes = (what: string): boolean => any(`${what}:write`, "admin:write", `admin:${what}:write`)
  const spends = any("reservations:create", "reservations:commit", "reservations:release", "reservations:extend")
  return {
    view_overview: false,
    view_budgets: reads("budgets"),
    view_events: reads("events"),
    view_webhooks: reads("webhooks"),
    view_audit: false,
    view_tenants: false,
    view_api_keys: false,
    view_policies: reads("policies"),
    view_reservations: spends || any("reservations:list", "admin:read"),
    manage_budgets: writes("budgets"),
    manage_policies: writes("policies"),
    manage_webhooks: writes("webhooks"),
    manage_tenants: false,
    manage_api_keys: false,
    manage_reservations: spends || any("admin:write")
  }
}

/**
 * What an operator can do: everything, or what its permissions say.
 *
 * @category conversions
 * @since 0.1.0
 */
export const operatorCapabilitiesOf = (permissions: ReadonlySet<string> | undefined): Required<Capabilities> => {
  const granted = permissions ?? new Set(["admin:read", "admin:write"])
  const any = (...wanted: ReadonlyArray<string>): boolean => wanted.some((permission) => granted.has(permission))
  return {
    ...capabilitiesOf(granted),
    view_overview: any("admin:read"),
    view_audit: any("admin:read", "admin:audit:read"),
    view_tenants: any("admin:read", "admin:tenants:read"),
    view_api_keys: any("admin:read", "admin:apikeys:read"),
    manage_tenants: any("admin:write", "admin:tenants:write"),
    manage_api_keys: any("admin:write", "admin:apikeys:write")
  }
}

/**
 * Method and path of the operation.
 *
 * @category contract
 * @since 0.1.0
 */
export const routes = { introspectAuth: { method: "GET", path: "/v1/auth/introspect" } } as const

/**
 * What anyone with a key may ask.
 *
 * @category contract
 * @since 0.1.0
 */
export class AuthGroup extends HttpApiGroup.make("auth", { topLevel: true }).add(
  HttpApiEndpoint.get("introspectAuth", routes.introspectAuth.path, {
    success: AuthIntrospectResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  })
).middleware(BadParameters).middleware(EitherKey) {}
