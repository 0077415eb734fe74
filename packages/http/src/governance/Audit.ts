/**
 * The audit on the wire.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, tag Audit.
 *
 * @since 0.1.0
 */
import { JsonObject } from "effect-cycles/protocol/Metrics"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { withParametersOf } from "../internal/contract.ts"
import * as Wire from "../internal/governed.ts"
import { parameter } from "../internal/wire.ts"
import { BadParameters } from "../RuntimeApi.ts"
import { AdminKey } from "./Access.ts"

/**
 * One act of governance, done or refused. `status` is the HTTP status code it was answered with. `tenant_id` is whom it was about;
 * `__admin__` where that is nobody there could be. `metadata` has what was asked for, and as `actor_type` what kind of caller
 * asked. `timestamp` is Unix milliseconds here and a date-time on the wire.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AuditLogEntry = Schema.Struct({
  log_id: Schema.String,
  timestamp: Wire.Instant,
  tenant_id: Schema.String,
  key_id: Schema.optionalKey(Schema.String),
  user_agent: Schema.optionalKey(Schema.String),
  source_ip: Schema.optionalKey(Schema.String),
  operation: Schema.String,
  resource_type: Schema.optionalKey(Schema.String),
  resource_id: Schema.optionalKey(Schema.String),
  request_id: Schema.optionalKey(Schema.String),
  trace_id: Schema.optionalKey(Wire.TraceId),
  status: Schema.Int,
  error_code: Schema.optionalKey(Schema.String),
  subject: Schema.optionalKey(JsonObject),
  action: Schema.optionalKey(JsonObject),
  amount: Schema.optionalKey(JsonObject),
  metadata: Schema.optionalKey(JsonObject)
}).annotate({ identifier: "AuditLogEntry" })

/**
 * @category models
 * @since 0.1.0
 */
export interface AuditLogEntry extends Schema.Schema.Type<typeof AuditLogEntry> {}

/**
 * A page of the audit. It may be shorter than was asked for, and more follow all the same where `has_more` says so.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AuditLogListResponse = Schema.Struct({
  logs: Schema.Array(AuditLogEntry),
  next_cursor: Schema.optionalKey(Schema.String),
  has_more: Schema.Boolean
}).annotate({ identifier: "AuditLogListResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface AuditLogListResponse extends Schema.Schema.Type<typeof AuditLogListResponse> {}

const sorts = ["timestamp", "operation", "resource_type", "tenant_id", "key_id", "status"] as const

/**
 * The query string of `listAuditLogs`. A blank parameter counts as absent, and so does one that is not listed here. Lists are
 * separated by commas.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AuditLogsParameters = Schema.Struct({
  tenant_id: Wire.TextParameter,
  key_id: Wire.TextParameter,
  operation: Wire.ListParameter,
  status: Wire.IntParameter,
  resource_type: Wire.ListParameter,
  resource_id: Wire.TextParameter,
  error_code: Wire.ListParameter,
  error_code_exclude: Wire.ListParameter,
  status_min: Wire.StatusParameter,
  status_max: Wire.StatusParameter,
  from: parameter(Wire.Instant),
  to: parameter(Wire.Instant),
  search: Wire.SearchParameter,
  trace_id: parameter(Wire.TraceId),
  request_id: Wire.TextParameter,
  sort_by: parameter(Schema.Literals(sorts)),
  sort_dir: Wire.SortDirParameter,
  cursor: Wire.CursorParameter,
  limit: Wire.FreeLimitParameter
})

/**
 * @category models
 * @since 0.1.0
 */
export interface AuditLogsParameters extends Schema.Schema.Type<typeof AuditLogsParameters> {}

/**
 * Methods and paths of the operations.
 *
 * @category contract
 * @since 0.1.0
 */
export const routes = {
  listAuditLogs: { method: "GET", path: "/v1/admin/audit/logs" }
} as const

const list = { type: "array", items: { type: "string" }, maxItems: 25 }
const status = { type: "integer", minimum: 100, maximum: 599 }

const withParameters = withParametersOf({
  ...Wire.parameterSchemas,
  key_id: { type: "string" },
  operation: list,
  status: { type: "integer" },
  resource_type: list,
  resource_id: { type: "string" },
  error_code: list,
  error_code_exclude: list,
  status_min: status,
  status_max: status,
  from: { type: "string", format: "date-time" },
  to: { type: "string", format: "date-time" },
  trace_id: { type: "string", pattern: "^[0-9a-f]{32}$" },
  request_id: { type: "string" },
  sort_by: { type: "string", enum: sorts, default: "timestamp" }
})

/**
 * The operation on the audit, an operator's.
 *
 * @category contract
 * @since 0.1.0
 */
export class AuditGroup extends HttpApiGroup.make("audit", { topLevel: true }).add(
  HttpApiEndpoint.get("listAuditLogs", routes.listAuditLogs.path, {
    query: AuditLogsParameters,
    success: AuditLogListResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters)
).middleware(BadParameters).middleware(AdminKey) {}
