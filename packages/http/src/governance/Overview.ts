/**
 * The standing of all tenants on the wire.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, tag Dashboard.
 *
 * @since 0.1.0
 */
import { Int64, Unit } from "effect-cycles/protocol/Amount"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Schema from "effect/Schema"
import * as Wire from "../internal/governed.ts"
import { BadParameters } from "../RuntimeApi.ts"
import { AdminKey } from "./Access.ts"
import { Event } from "./Events.ts"

const counts = Schema.Record(Schema.String, Schema.Natural)

/**
 * How all tenants stand, and what the last hour saw. There are no webhooks here, so those that are counted are none. Figures of
 * budgets are `bigint`; `as_of` is Unix milliseconds here and a date-time on the wire.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AdminOverviewResponse = Schema.Struct({
  as_of: Wire.Instant,
  event_window_seconds: Schema.Natural,
  tenant_counts: Schema.Struct({
    total: Schema.Natural,
    active: Schema.Natural,
    suspended: Schema.Natural,
    closed: Schema.Natural
  }),
  budget_counts: Schema.Struct({
    total: Schema.Natural,
    active: Schema.Natural,
    frozen: Schema.Natural,
    closed: Schema.Natural,
    over_limit: Schema.Natural,
    with_debt: Schema.Natural,
    by_unit: counts
  }),
  over_limit_scopes: Schema.Array(Schema.Struct({
    scope: Schema.String,
    unit: Unit,
    allocated: Int64,
    remaining: Int64,
    debt: Int64
  })),
  debt_scopes: Schema.Array(Schema.Struct({ scope: Schema.String, unit: Unit, debt: Int64, overdraft_limit: Int64 })),
  webhook_counts: Schema.Struct({
    total: Schema.Natural,
    active: Schema.Natural,
    disabled: Schema.Natural,
    with_failures: Schema.Natural
  }),
  failing_webhooks: Schema.Array(Schema.Struct({
    subscription_id: Schema.String,
    url: Schema.String,
    consecutive_failures: Schema.Natural,
    last_failure_at: Schema.optionalKey(Wire.Instant)
  })),
  event_counts: Schema.Struct({ total_recent: Schema.Natural, by_category: counts }),
  recent_denials: Schema.Array(Event),
  recent_expiries: Schema.Array(Event),
  recent_denials_by_reason: Schema.optionalKey(counts),
  access_control_stats: Schema.optionalKey(Schema.Struct({
    policies_with_allow_list: Schema.Natural,
    policies_with_deny_list: Schema.Natural
  }))
}).annotate({ identifier: "AdminOverviewResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface AdminOverviewResponse extends Schema.Schema.Type<typeof AdminOverviewResponse> {}

/**
 * Methods and paths of the operations.
 *
 * @category contract
 * @since 0.1.0
 */
export const routes = {
  getAdminOverview: { method: "GET", path: "/v1/admin/overview" }
} as const

/**
 * The overview, an operator's.
 *
 * @category contract
 * @since 0.1.0
 */
export class OverviewGroup extends HttpApiGroup.make("overview", { topLevel: true }).add(
  HttpApiEndpoint.get("getAdminOverview", routes.getAdminOverview.path, {
    success: AdminOverviewResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  })
).middleware(BadParameters).middleware(AdminKey) {}
