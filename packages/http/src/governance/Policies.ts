/**
 * Policies on the wire: create, list, update.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, tag Policies; `cycles-governance-extensions-v0.1.26.yaml`, schema `PolicyExtension`,
 * for the lists of action kinds.
 *
 * @since 0.1.0
 */
import { Caps } from "effect-cycles/protocol/Caps"
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
import { EitherKey } from "./Access.ts"

/**
 * Whether a policy applies at all.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PolicyStatus = Schema.Literals(["ACTIVE", "DISABLED"])

/**
 * What a policy says of leases, in milliseconds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ReservationTtlOverride = Schema.Struct({
  default_ttl_ms: Schema.optionalKey(Wire.TtlMs),
  max_ttl_ms: Schema.optionalKey(Wire.TtlMs),
  max_extensions: Schema.optionalKey(Schema.Natural)
}).annotate({ identifier: "ReservationTtlOverride" })

const AtLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/**
 * How often a scope may be asked of in a minute. That of commits is kept and shown; a commit is never refused for it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RateLimits = Schema.Struct({
  max_reservations_per_minute: Schema.optionalKey(AtLeastOne),
  max_commits_per_minute: Schema.optionalKey(AtLeastOne)
}).annotate({ identifier: "RateLimits" })

const ActionKinds = Schema.Array(Wire.textUpTo(64)).check(Schema.isMaxLength(200))

const rules = {
  caps: Schema.optionalKey(Caps),
  commit_overage_policy: Schema.optionalKey(OveragePolicy),
  reservation_ttl_override: Schema.optionalKey(ReservationTtlOverride),
  rate_limits: Schema.optionalKey(RateLimits),
  effective_from: Schema.optionalKey(Wire.Instant),
  effective_until: Schema.optionalKey(Wire.Instant)
}

const lists = {
  allowed_action_kinds: Schema.optionalKey(ActionKinds),
  denied_action_kinds: Schema.optionalKey(ActionKinds)
}

/**
 * A policy. A list of action kinds is absent where it is empty. Times are Unix milliseconds here and date-times on the wire.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Policy = Schema.Struct({
  policy_id: Schema.String,
  name: Schema.optionalKey(Wire.textUpTo(256)),
  description: Schema.optionalKey(Wire.textUpTo(1_024)),
  scope_pattern: Schema.String,
  priority: Schema.optionalKey(Schema.Natural),
  ...rules,
  ...lists,
  status: PolicyStatus,
  created_at: Wire.Instant,
  updated_at: Schema.optionalKey(Wire.Instant)
}).annotate({ identifier: "Policy" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Policy extends Schema.Schema.Type<typeof Policy> {}

/**
 * A policy to create. An operator says for which tenant; a tenant must not.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PolicyCreateRequest = Schema.Struct({
  tenant_id: Schema.optionalKey(Schema.String),
  name: Schema.String,
  description: Schema.optionalKey(Schema.String),
  scope_pattern: Schema.String,
  priority: Schema.optionalKey(Schema.Natural),
  ...rules,
  ...lists
}).annotate({ identifier: "PolicyCreateRequest" })

/**
 * @category models
 * @since 0.1.0
 */
export interface PolicyCreateRequest extends Schema.Schema.Type<typeof PolicyCreateRequest> {}

/**
 * What is to be changed of a policy; what is not given stays, and what is given takes the place of all that was there.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PolicyUpdateRequest = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  description: Schema.optionalKey(Schema.String),
  priority: Schema.optionalKey(Schema.Natural),
  ...rules,
  ...lists,
  status: Schema.optionalKey(PolicyStatus)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface PolicyUpdateRequest extends Schema.Schema.Type<typeof PolicyUpdateRequest> {}

/**
 * A page of policies.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PolicyListResponse = Schema.Struct({
  policies: Schema.Array(Policy),
  next_cursor: Schema.optionalKey(Schema.String),
  has_more: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "PolicyListResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface PolicyListResponse extends Schema.Schema.Type<typeof PolicyListResponse> {}

/**
 * The query string of `listPolicies`. An operator names the tenant. A blank parameter counts as absent, and so does one that is not
 * listed here.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PoliciesParameters = Schema.Struct({
  tenant_id: Wire.TextParameter,
  scope_pattern: Wire.TextParameter,
  status: parameter(PolicyStatus),
  references_action_kind: parameter(Wire.textUpTo(64)),
  cursor: Wire.CursorParameter,
  limit: Wire.FreeLimitParameter
})

/**
 * @category models
 * @since 0.1.0
 */
export interface PoliciesParameters extends Schema.Schema.Type<typeof PoliciesParameters> {}

/**
 * Methods and paths of the operations.
 *
 * @category contract
 * @since 0.1.0
 */
export const routes = {
  createPolicy: { method: "POST", path: "/v1/admin/policies" },
  listPolicies: { method: "GET", path: "/v1/admin/policies" },
  updatePolicy: { method: "PATCH", path: "/v1/admin/policies/:policy_id" }
} as const

const withParameters = withParametersOf({
  ...Wire.parameterSchemas,
  scope_pattern: { type: "string" },
  status: { type: "string", enum: PolicyStatus.literals },
  references_action_kind: { type: "string", maxLength: 64 }
})

/**
 * The operations on policies, of operators and tenants alike.
 *
 * @category contract
 * @since 0.1.0
 */
export class PoliciesGroup extends HttpApiGroup.make("policies", { topLevel: true }).add(
  HttpApiEndpoint.post("createPolicy", routes.createPolicy.path, {
    payload: PolicyCreateRequest,
    success: Policy.pipe(HttpApiSchema.status(201)),
    error: Wire.errors(400, 401, 403, 409, 429, 500, 503)
  }),
  HttpApiEndpoint.get("listPolicies", routes.listPolicies.path, {
    query: PoliciesParameters,
    success: PolicyListResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.patch("updatePolicy", routes.updatePolicy.path, {
    params: { policy_id: Schema.String },
    payload: named(PolicyUpdateRequest, "PolicyUpdateRequest"),
    success: Policy,
    error: Wire.errors(400, 401, 403, 404, 409, 429, 500, 503)
  })
).middleware(BadParameters).middleware(EitherKey) {}
