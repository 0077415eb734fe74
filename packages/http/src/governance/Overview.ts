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

/** How many of something there are, which is never below nothing. */
const Count = Schema.Natural

const topTen = <S extends Schema.Top>(row: S) => Schema.Array(row).check(Schema.isMaxLength(10))

const counts = Schema.Record(Schema.String, Count)

/**
 * How all tenants stand, and what the last hour saw. There are no webhooks here, so those that are counted are none. Figures of
 * budgets are `bigint`; `as_of` is Unix milliseconds here and a date-time on the wire.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AdminOverviewResponse = Schema.Struct({
  as_of: Wire.Instant,
  event_window_seconds: Count,
  tenant_counts: Schema.Struct({
    total: Count,
    active: Count,
    suspended: Count,
    closed: Count
  }),
  budget_counts: Schema.Struct({
    total: Count,
    active: Count,
    frozen: Count,
    closed: Count,
    over_limit: Count,
    with_debt: Count,
    by_unit: counts
  }),
  over_limit_scopes: topTen(Schema.Struct({
    scope: Schema.String,
    unit: Unit,
    allocated: Int64,
    remaining: Int64,
    debt: Int64
  })),
  debt_scopes: topTen(Schema.Struct({ scope: Schema.String, unit: Unit, debt: Int64, overdraft_limit: Int64 })),
  webhook_counts: Schema.Struct({
    total: Count,
    active: Count,
    disabled: Count,
    with_failures: Count
  }),
  failing_webhooks: topTen(Schema.Struct({
    subscription_id: Schema.String,
    url: Schema.String,
    consecutive_failures: Count,
    last_failure_at: Schema.optionalKey(Wire.Instant)
  })),
  event_counts: Schema.Struct({ total_recent: Count, by_category: counts }),
  recent_denials: topTen(Event),
  recent_expiries: topTen(Event),
  recent_denials_by_reason: Schema.optionalKey(counts),
  access_control_stats: Schema.optionalKey(Schema.Struct({
    policies_with_allow_list: Schema.optionalKey(Count),
    policies_with_deny_list: Schema.optionalKey(Count)
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
