/**
 * The registry of action kinds on the wire. Anyone may read it; it does not change while a server runs.
 *
 * What policies allow and deny are exact kinds, of this registry or any other. Quotas by kind or by risk class, and the counters of
 * those, are no part of this version.
 *
 * Source: `cycles-action-kinds-v0.1.26.yaml`, tag ActionKinds.
 *
 * @since 0.1.0
 */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { withParametersOf } from "../internal/contract.ts"
import * as Wire from "../internal/governed.ts"
import { BooleanText, parameter } from "../internal/wire.ts"
import { BadParameters } from "../RuntimeApi.ts"

/**
 * How much an action can do, from reading to what cannot be undone.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ActionRiskClass = Schema.Literals([
  "read_only",
  "local_mutation",
  "side_effect",
  "external_side_effect",
  "high_risk"
])

/**
 * One kind of action.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ActionKind = Schema.Struct({
  kind: Wire.textUpTo(64),
  risk_class: ActionRiskClass,
  policy_key_spec: Schema.optionalKey(Schema.Struct({
    host: Schema.optionalKey(Schema.Boolean),
    recipient_domain: Schema.optionalKey(Schema.Boolean),
    resource_type: Schema.optionalKey(Schema.String),
    path_prefix: Schema.optionalKey(Schema.Boolean)
  })),
  description: Schema.optionalKey(Wire.textUpTo(512)),
  mcp_tool_prefixes: Schema.optionalKey(Schema.Array(Wire.textUpTo(128))),
  deprecated: Schema.optionalKey(Schema.Boolean),
  replacement_kind: Schema.optionalKey(Wire.textUpTo(64))
}).annotate({ identifier: "ActionKind" })

/**
 * @category models
 * @since 0.1.0
 */
export interface ActionKind extends Schema.Schema.Type<typeof ActionKind> {}

/**
 * A page of the registry.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ActionKindRegistry = Schema.Struct({
  version: Schema.String,
  kinds: Schema.Array(ActionKind),
  next_cursor: Schema.optionalKey(Schema.String),
  has_more: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "ActionKindRegistry" })

/**
 * @category models
 * @since 0.1.0
 */
export interface ActionKindRegistry extends Schema.Schema.Type<typeof ActionKindRegistry> {}

/**
 * The query string of `listActionKinds`. Deprecated kinds are left out unless `deprecated` is `true`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ActionKindsParameters = Schema.Struct({
  risk_class: parameter(ActionRiskClass),
  deprecated: parameter(BooleanText),
  cursor: Wire.CursorParameter,
  limit: Wire.LimitParameter
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ActionKindsParameters extends Schema.Schema.Type<typeof ActionKindsParameters> {}

/**
 * Methods and paths of the operations.
 *
 * @category contract
 * @since 0.1.0
 */
export const routes = {
  listActionKinds: { method: "GET", path: "/v1/action-kinds" },
  getActionKind: { method: "GET", path: "/v1/action-kinds/:kind" }
} as const

const withParameters = withParametersOf({
  ...Wire.parameterSchemas,
  risk_class: { type: "string", enum: ActionRiskClass.literals },
  deprecated: { type: "boolean" },
  limit: { type: "integer", minimum: 1, maximum: 100, default: 50 }
})

/**
 * The two operations on the registry.
 *
 * @category contract
 * @since 0.1.0
 */
export class ActionKindsGroup extends HttpApiGroup.make("actionKinds", { topLevel: true }).add(
  HttpApiEndpoint.get("listActionKinds", routes.listActionKinds.path, {
    query: ActionKindsParameters,
    success: ActionKindRegistry,
    error: Wire.errors(400, 429, 500)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.get("getActionKind", routes.getActionKind.path, {
    params: { kind: Schema.String },
    success: ActionKind,
    error: Wire.errors(404, 429, 500)
  })
).middleware(BadParameters) {}
