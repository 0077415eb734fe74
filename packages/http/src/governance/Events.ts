/**
 * Events on the wire: an operator's list of those of all tenants, one of them, and a tenant's list of its own.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, tag Events.
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
import { AdminKey, TenantKey } from "./Access.ts"

/**
 * The first words of event types.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EventCategory = Schema.Literals([
  "budget",
  "tenant",
  "api_key",
  "policy",
  "reservation",
  "system",
  "webhook"
])

/**
 * What events are about. Not all of these happen here.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EventType = Schema.Literals([
  "budget.created",
  "budget.updated",
  "budget.funded",
  "budget.debited",
  "budget.reset",
  "budget.reset_spent",
  "budget.debt_repaid",
  "budget.frozen",
  "budget.unfrozen",
  "budget.closed",
  "budget.closed_via_tenant_cascade",
  "budget.threshold_crossed",
  "budget.exhausted",
  "budget.over_limit_entered",
  "budget.over_limit_exited",
  "budget.debt_incurred",
  "budget.burn_rate_anomaly",
  "reservation.denied",
  "reservation.denial_rate_spike",
  "reservation.expired",
  "reservation.expiry_rate_spike",
  "reservation.commit_overage",
  "reservation.released_via_tenant_cascade",
  "tenant.created",
  "tenant.updated",
  "tenant.suspended",
  "tenant.reactivated",
  "tenant.closed",
  "tenant.settings_changed",
  "webhook.created",
  "webhook.updated",
  "webhook.paused",
  "webhook.resumed",
  "webhook.disabled",
  "webhook.deleted",
  "webhook.disabled_via_tenant_cascade",
  "api_key.created",
  "api_key.revoked",
  "api_key.revoked_via_tenant_cascade",
  "api_key.expired",
  "api_key.permissions_changed",
  "api_key.auth_failed",
  "api_key.auth_failure_rate_spike",
  "policy.created",
  "policy.updated",
  "policy.deleted",
  "system.store_connection_lost",
  "system.store_connection_restored",
  "system.high_latency",
  "system.webhook_delivery_failed",
  "system.webhook_test"
])

/**
 * Who or what caused an event.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EventActor = Schema.Struct({
  type: Schema.optionalKey(Schema.Literals(["admin", "api_key", "admin_on_behalf_of", "system", "scheduler"])),
  key_id: Schema.optionalKey(Schema.String),
  source_ip: Schema.optionalKey(Schema.String)
})

/**
 * An event. What `data` has is up to its type, in the specification's `EventData…` schemas; amounts in it may be `bigint`.
 * `timestamp` is Unix milliseconds here and a date-time on the wire.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Event = Schema.Struct({
  event_id: Schema.String,
  event_type: EventType,
  category: EventCategory,
  timestamp: Wire.Instant,
  tenant_id: Schema.String,
  scope: Schema.optionalKey(Schema.String),
  actor: Schema.optionalKey(EventActor),
  source: Schema.String,
  data: Schema.optionalKey(JsonObject),
  correlation_id: Schema.optionalKey(Schema.String),
  request_id: Schema.optionalKey(Schema.String),
  trace_id: Schema.optionalKey(Wire.TraceId),
  metadata: Schema.optionalKey(JsonObject)
}).annotate({ identifier: "Event" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Event extends Schema.Schema.Type<typeof Event> {}

/**
 * A page of events. It may be shorter than was asked for, and more follow all the same where `has_more` says so.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EventListResponse = Schema.Struct({
  events: Schema.Array(Event),
  next_cursor: Schema.optionalKey(Schema.String),
  has_more: Schema.Boolean
}).annotate({ identifier: "EventListResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface EventListResponse extends Schema.Schema.Type<typeof EventListResponse> {}

const filters = {
  event_type: parameter(EventType),
  category: parameter(EventCategory),
  scope: Wire.TextParameter,
  correlation_id: Wire.TextParameter,
  from: parameter(Wire.Instant),
  to: parameter(Wire.Instant)
}

const sorts = ["event_type", "category", "scope", "tenant_id", "timestamp"] as const

/**
 * The query string of `listEvents`. A blank parameter counts as absent, and so does one that is not listed here.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EventsParameters = Schema.Struct({
  tenant_id: Wire.TextParameter,
  ...filters,
  trace_id: parameter(Wire.TraceId),
  request_id: Wire.TextParameter,
  search: Wire.SearchParameter,
  sort_by: parameter(Schema.Literals(sorts)),
  sort_dir: Wire.SortDirParameter,
  cursor: Wire.CursorParameter,
  limit: Wire.LimitParameter
})

/**
 * @category models
 * @since 0.1.0
 */
export interface EventsParameters extends Schema.Schema.Type<typeof EventsParameters> {}

/**
 * The query string of `listTenantEvents`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const TenantEventsParameters = Schema.Struct({
  ...filters,
  cursor: Wire.CursorParameter,
  limit: Wire.LimitParameter
})

/**
 * @category models
 * @since 0.1.0
 */
export interface TenantEventsParameters extends Schema.Schema.Type<typeof TenantEventsParameters> {}

/**
 * Methods and paths of the operations.
 *
 * @category contract
 * @since 0.1.0
 */
export const routes = {
  listEvents: { method: "GET", path: "/v1/admin/events" },
  getEvent: { method: "GET", path: "/v1/admin/events/:event_id" },
  listTenantEvents: { method: "GET", path: "/v1/events" }
} as const

const withParameters = withParametersOf({
  ...Wire.parameterSchemas,
  event_type: { type: "string", enum: EventType.literals },
  category: { type: "string", enum: EventCategory.literals },
  correlation_id: { type: "string" },
  trace_id: { type: "string", pattern: "^[0-9a-f]{32}$" },
  request_id: { type: "string" },
  from: { type: "string", format: "date-time" },
  to: { type: "string", format: "date-time" },
  sort_by: { type: "string", enum: sorts, default: "timestamp" },
  limit: { type: "integer", minimum: 1, maximum: 100, default: 50 }
})

/**
 * The operations on events that are an operator's.
 *
 * @category contract
 * @since 0.1.0
 */
export class EventsGroup extends HttpApiGroup.make("events", { topLevel: true }).add(
  HttpApiEndpoint.get("listEvents", routes.listEvents.path, {
    query: EventsParameters,
    success: EventListResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.get("getEvent", routes.getEvent.path, {
    params: { event_id: Schema.String },
    success: Event,
    error: Wire.errors(400, 401, 403, 404, 429, 500, 503)
  })
).middleware(BadParameters).middleware(AdminKey) {}

/**
 * The operation on events that is a tenant's.
 *
 * @category contract
 * @since 0.1.0
 */
export class TenantEventsGroup extends HttpApiGroup.make("tenantEvents", { topLevel: true }).add(
  HttpApiEndpoint.get("listTenantEvents", routes.listTenantEvents.path, {
    query: TenantEventsParameters,
    success: EventListResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters)
).middleware(BadParameters).middleware(TenantKey) {}
