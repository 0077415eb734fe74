/**
 * Tenants on the wire: create, list, get, update.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, tag Tenants.
 *
 * @since 0.1.0
 */
import { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { named, withParametersOf } from "../internal/contract.ts"
import * as Wire from "../internal/governed.ts"
import { parameter } from "../internal/wire.ts"
import { BadParameters } from "../RuntimeApi.ts"
import { AdminKey } from "./Access.ts"

/**
 * What a tenant's status is.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantStatus = Schema.Literals(["ACTIVE", "SUSPENDED", "CLOSED"])

/**
 * What becomes of holds whose lease has ended. The ledger gives them back once their grace is over, and until then takes commits:
 * `AUTO_RELEASE` and `GRACE_ONLY` both say that. `MANUAL_CLEANUP`, which would keep them, is refused.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ExpiryPolicy = Schema.Literals(["AUTO_RELEASE", "MANUAL_CLEANUP", "GRACE_ONLY"])

const TenantId = Schema.String.check(
  Schema.isPattern(/^[a-z0-9-]+$/u),
  Schema.isMinCodePoints(3),
  Schema.isMaxCodePoints(64)
)
const TenantMetadata = Schema.Record(Schema.String, Schema.String)

const settings = {
  default_commit_overage_policy: Schema.optionalKey(OveragePolicy),
  default_reservation_ttl_ms: Schema.optionalKey(Wire.TtlMs),
  max_reservation_ttl_ms: Schema.optionalKey(Wire.TtlMs),
  max_reservation_extensions: Schema.optionalKey(Schema.Natural)
}

/**
 * A tenant. Times are Unix milliseconds here and date-times on the wire.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Tenant = Schema.Struct({
  tenant_id: TenantId,
  name: Wire.textUpTo(256),
  status: TenantStatus,
  parent_tenant_id: Schema.optionalKey(Schema.String),
  ...settings,
  reservation_expiry_policy: Schema.optionalKey(ExpiryPolicy),
  metadata: Schema.optionalKey(TenantMetadata.check(Schema.isMaxProperties(32))),
  created_at: Wire.Instant,
  updated_at: Schema.optionalKey(Wire.Instant),
  suspended_at: Schema.optionalKey(Wire.Instant),
  closed_at: Schema.optionalKey(Wire.Instant)
}).annotate({ identifier: "Tenant" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Tenant extends Schema.Schema.Type<typeof Tenant> {}

/**
 * A tenant to register.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantCreateRequest = Schema.Struct({
  tenant_id: TenantId,
  name: Wire.textUpTo(256),
  parent_tenant_id: Schema.optionalKey(Schema.String),
  metadata: Schema.optionalKey(TenantMetadata),
  ...settings,
  reservation_expiry_policy: Schema.optionalKey(ExpiryPolicy)
}).annotate({ identifier: "TenantCreateRequest" })

/**
 * @category models
 * @since 0.1.0
 */
export interface TenantCreateRequest extends Schema.Schema.Type<typeof TenantCreateRequest> {}

/**
 * What is to be changed of a tenant; what is not given stays.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantUpdateRequest = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  status: Schema.optionalKey(TenantStatus),
  metadata: Schema.optionalKey(TenantMetadata),
  ...settings
})

/**
 * @category models
 * @since 0.1.0
 */
export interface TenantUpdateRequest extends Schema.Schema.Type<typeof TenantUpdateRequest> {}

/**
 * A page of tenants.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantListResponse = Schema.Struct({
  tenants: Schema.Array(Tenant),
  next_cursor: Schema.optionalKey(Schema.String),
  has_more: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "TenantListResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface TenantListResponse extends Schema.Schema.Type<typeof TenantListResponse> {}

/**
 * The query string of `listTenants`. A blank parameter counts as absent, and so does one that is not listed here.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantsParameters = Schema.Struct({
  status: parameter(TenantStatus),
  parent_tenant_id: Wire.TextParameter,
  search: Wire.SearchParameter,
  sort_by: parameter(Schema.Literals(["tenant_id", "name", "status", "created_at"])),
  sort_dir: Wire.SortDirParameter,
  cursor: Wire.CursorParameter,
  limit: Wire.LimitParameter
})

/**
 * @category models
 * @since 0.1.0
 */
export interface TenantsParameters extends Schema.Schema.Type<typeof TenantsParameters> {}

/**
 * Methods and paths of the operations.
 *
 * @category contract
 * @since 0.1.0
 */
export const routes = {
  createTenant: { method: "POST", path: "/v1/admin/tenants" },
  listTenants: { method: "GET", path: "/v1/admin/tenants" },
  getTenant: { method: "GET", path: "/v1/admin/tenants/:tenant_id" },
  updateTenant: { method: "PATCH", path: "/v1/admin/tenants/:tenant_id" }
} as const

const id = { tenant_id: Schema.String }

const withParameters = withParametersOf({
  ...Wire.parameterSchemas,
  status: { type: "string", enum: TenantStatus.literals },
  parent_tenant_id: { type: "string" },
  sort_by: { type: "string", enum: ["tenant_id", "name", "status", "created_at"], default: "created_at" },
  limit: { type: "integer", minimum: 1, maximum: 100, default: 50 }
})

/**
 * The operations on tenants, all of them an operator's.
 *
 * @category contract
 * @since 0.1.0
 */
export class TenantsGroup extends HttpApiGroup.make("tenants", { topLevel: true }).add(
  HttpApiEndpoint.post("createTenant", routes.createTenant.path, {
    payload: TenantCreateRequest,
    success: [Tenant.pipe(HttpApiSchema.status(201)), Tenant.pipe(HttpApiSchema.status(200))],
    error: Wire.errors(400, 401, 403, 409, 429, 500, 503)
  }),
  HttpApiEndpoint.get("listTenants", routes.listTenants.path, {
    query: TenantsParameters,
    success: TenantListResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.get("getTenant", routes.getTenant.path, {
    params: id,
    success: Tenant,
    error: Wire.errors(400, 401, 403, 404, 429, 500, 503)
  }),
  HttpApiEndpoint.patch("updateTenant", routes.updateTenant.path, {
    params: id,
    payload: named(TenantUpdateRequest, "TenantUpdateRequest"),
    success: Tenant,
    error: Wire.errors(400, 401, 403, 404, 429, 500, 503)
  })
).middleware(BadParameters).middleware(AdminKey) {}
