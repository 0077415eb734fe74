/**
 * API keys on the wire: create, list, update, revoke, validate.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, tags API Keys and Authentication.
 *
 * @since 0.1.0
 */
import { permissions } from "effect-cycles/ledger/Permission"
import { JsonObject } from "effect-cycles/protocol/Metrics"
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
 * What a key may do.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Permission = Schema.Literals(permissions)

/**
 * What a key's status is; `EXPIRED` is an active one whose time is over.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ApiKeyStatus = Schema.Literals(["ACTIVE", "REVOKED", "EXPIRED"])

const Permissions = Schema.Array(Permission)
const ScopeFilter = Schema.Array(Schema.String)

/**
 * A key, without its secret. Times are Unix milliseconds here and date-times on the wire.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ApiKey = Schema.Struct({
  key_id: Schema.String,
  tenant_id: Schema.String,
  key_prefix: Schema.String,
  name: Schema.optionalKey(Wire.textUpTo(256)),
  description: Schema.optionalKey(Wire.textUpTo(1_024)),
  permissions: Schema.optionalKey(Permissions),
  scope_filter: Schema.optionalKey(ScopeFilter),
  status: ApiKeyStatus,
  created_at: Wire.Instant,
  last_used_at: Schema.optionalKey(Wire.Instant),
  expires_at: Wire.Instant,
  revoked_at: Schema.optionalKey(Wire.Instant),
  revoked_reason: Schema.optionalKey(Wire.textUpTo(512)),
  metadata: Schema.optionalKey(JsonObject)
}).annotate({ identifier: "ApiKey" })

/**
 * @category models
 * @since 0.1.0
 */
export interface ApiKey extends Schema.Schema.Type<typeof ApiKey> {}

/**
 * A key to make. It lives 90 days when no `expires_at` is given.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ApiKeyCreateRequest = Schema.Struct({
  tenant_id: Schema.String,
  name: Schema.String,
  description: Schema.optionalKey(Schema.String),
  permissions: Schema.optionalKey(Permissions),
  scope_filter: Schema.optionalKey(ScopeFilter),
  expires_at: Schema.optionalKey(Wire.Instant),
  metadata: Schema.optionalKey(JsonObject)
}).annotate({ identifier: "ApiKeyCreateRequest" })

/**
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyCreateRequest extends Schema.Schema.Type<typeof ApiKeyCreateRequest> {}

/**
 * A key that was just made, with its secret, which nobody can show again.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ApiKeyCreateResponse = Schema.Struct({
  key_id: Schema.String,
  key_secret: Schema.String,
  key_prefix: Schema.String,
  tenant_id: Schema.String,
  permissions: Schema.optionalKey(Permissions),
  created_at: Wire.Instant,
  expires_at: Wire.Instant
}).annotate({ identifier: "ApiKeyCreateResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyCreateResponse extends Schema.Schema.Type<typeof ApiKeyCreateResponse> {}

/**
 * What is to be changed of a key; what is not given stays.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ApiKeyUpdateRequest = Schema.Struct({
  name: Schema.optionalKey(Wire.textUpTo(256)),
  description: Schema.optionalKey(Wire.textUpTo(1_024)),
  permissions: Schema.optionalKey(Permissions),
  scope_filter: Schema.optionalKey(ScopeFilter),
  metadata: Schema.optionalKey(JsonObject)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyUpdateRequest extends Schema.Schema.Type<typeof ApiKeyUpdateRequest> {}

/**
 * A page of keys.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ApiKeyListResponse = Schema.Struct({
  keys: Schema.Array(ApiKey),
  next_cursor: Schema.optionalKey(Schema.String),
  has_more: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "ApiKeyListResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyListResponse extends Schema.Schema.Type<typeof ApiKeyListResponse> {}

/**
 * A secret to look into.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ApiKeyValidationRequest = Schema.Struct({
  key_secret: Schema.String
}).annotate({ identifier: "ApiKeyValidationRequest" })

/**
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyValidationRequest extends Schema.Schema.Type<typeof ApiKeyValidationRequest> {}

/**
 * What a secret is good for. Of one nobody knows the `tenant_id` is empty.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ApiKeyValidationResponse = Schema.Struct({
  valid: Schema.Boolean,
  tenant_id: Schema.String,
  key_id: Schema.optionalKey(Schema.String),
  permissions: Schema.optionalKey(Permissions),
  scope_filter: Schema.optionalKey(ScopeFilter),
  expires_at: Schema.optionalKey(Wire.Instant),
  reason: Schema.optionalKey(Schema.String)
}).annotate({ identifier: "ApiKeyValidationResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyValidationResponse extends Schema.Schema.Type<typeof ApiKeyValidationResponse> {}

const sortKeys = ["key_id", "name", "tenant_id", "status", "created_at", "expires_at"] as const

/**
 * The query string of `listApiKeys`. A blank parameter counts as absent, and so does one that is not listed here.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ApiKeysParameters = Schema.Struct({
  tenant_id: Wire.TextParameter,
  status: parameter(ApiKeyStatus),
  search: Wire.SearchParameter,
  sort_by: parameter(Schema.Literals(sortKeys)),
  sort_dir: Wire.SortDirParameter,
  cursor: Wire.CursorParameter,
  limit: Wire.FreeLimitParameter
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ApiKeysParameters extends Schema.Schema.Type<typeof ApiKeysParameters> {}

/**
 * The query string of `revokeApiKey`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RevokeParameters = Schema.Struct({ reason: parameter(Wire.textUpTo(512)) })

/**
 * Methods and paths of the operations.
 *
 * @category contract
 * @since 0.1.0
 */
export const routes = {
  createApiKey: { method: "POST", path: "/v1/admin/api-keys" },
  listApiKeys: { method: "GET", path: "/v1/admin/api-keys" },
  updateApiKey: { method: "PATCH", path: "/v1/admin/api-keys/:key_id" },
  revokeApiKey: { method: "DELETE", path: "/v1/admin/api-keys/:key_id" },
  validateApiKey: { method: "POST", path: "/v1/auth/validate" }
} as const

const id = { key_id: Schema.String }

const withParameters = withParametersOf({
  ...Wire.parameterSchemas,
  status: { type: "string", enum: ApiKeyStatus.literals },
  sort_by: { type: "string", enum: sortKeys, default: "created_at" },
  reason: { type: "string", maxLength: 512 }
})

/**
 * The operations on API keys, all of them an operator's.
 *
 * @category contract
 * @since 0.1.0
 */
export class ApiKeysGroup extends HttpApiGroup.make("apiKeys", { topLevel: true }).add(
  HttpApiEndpoint.post("createApiKey", routes.createApiKey.path, {
    payload: ApiKeyCreateRequest,
    success: ApiKeyCreateResponse.pipe(HttpApiSchema.status(201)),
    error: Wire.errors(400, 401, 403, 409, 429, 500, 503)
  }),
  HttpApiEndpoint.get("listApiKeys", routes.listApiKeys.path, {
    query: ApiKeysParameters,
    success: ApiKeyListResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.patch("updateApiKey", routes.updateApiKey.path, {
    params: id,
    payload: named(ApiKeyUpdateRequest, "ApiKeyUpdateRequest"),
    success: ApiKey,
    error: Wire.errors(400, 401, 403, 404, 409, 429, 500, 503)
  }),
  HttpApiEndpoint.delete("revokeApiKey", routes.revokeApiKey.path, {
    params: id,
    query: RevokeParameters,
    success: ApiKey,
    error: Wire.errors(400, 401, 403, 404, 409, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.post("validateApiKey", routes.validateApiKey.path, {
    payload: ApiKeyValidationRequest,
    success: ApiKeyValidationResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  })
).middleware(BadParameters).middleware(AdminKey) {}
