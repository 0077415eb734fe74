/**
 * What commands show of answers. Members that nobody shows are not looked at: JSON has them all.
 *
 * @internal
 */
import { Action } from "effect-cycles/protocol/Action"
import { Amount, Int64, SignedAmount, Unit } from "effect-cycles/protocol/Amount"
import * as Schema from "effect/Schema"

const text = Schema.String
const maybe = Schema.optionalKey(Schema.String)

export const Tenant = Schema.Struct({
  tenant_id: text,
  name: text,
  status: text,
  created_at: maybe,
  parent_tenant_id: maybe,
  default_commit_overage_policy: maybe
})
export type Tenant = typeof Tenant.Type
export const Tenants = Schema.Array(Tenant)

export const Key = Schema.Struct({
  key_id: text,
  tenant_id: text,
  key_prefix: text,
  name: maybe,
  status: maybe,
  permissions: Schema.optionalKey(Schema.Array(text)),
  scope_filter: Schema.optionalKey(Schema.Array(text)),
  created_at: maybe,
  expires_at: maybe
})
export type Key = typeof Key.Type
export const Keys = Schema.Array(Key)
export const NewKey = Schema.Struct({ key_id: text, key_secret: text, key_prefix: text, expires_at: maybe })

export const Budget = Schema.Struct({
  tenant_id: maybe,
  scope: text,
  unit: Unit,
  allocated: Amount,
  remaining: SignedAmount,
  reserved: Schema.optionalKey(Amount),
  spent: Schema.optionalKey(Amount),
  debt: Schema.optionalKey(Amount),
  overdraft_limit: Schema.optionalKey(Amount),
  is_over_limit: Schema.optionalKey(Schema.Boolean),
  commit_overage_policy: maybe,
  status: text
})
export type Budget = typeof Budget.Type
export const Budgets = Schema.Array(Budget)

export const Funding = Schema.Struct({
  operation: text,
  previous_allocated: Amount,
  new_allocated: Amount,
  previous_remaining: SignedAmount,
  new_remaining: SignedAmount
})

export const Policy = Schema.Struct({
  policy_id: text,
  name: maybe,
  scope_pattern: text,
  status: text,
  priority: Schema.optionalKey(Schema.Int)
})
export type Policy = typeof Policy.Type
export const Policies = Schema.Array(Policy)

export const Reservation = Schema.Struct({
  reservation_id: text,
  status: text,
  action: Action,
  scope_path: text,
  reserved: Amount,
  committed: Schema.optionalKey(Amount),
  created_at_ms: Schema.Int,
  expires_at_ms: Schema.Int
})
export type Reservation = typeof Reservation.Type
export const Reservations = Schema.Array(Reservation)

export const Event = Schema.Struct({
  event_id: text,
  event_type: text,
  timestamp: text,
  tenant_id: text,
  scope: maybe,
  data: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown))
})
export type Event = typeof Event.Type
export const Events = Schema.Array(Event)

export const AuditEntry = Schema.Struct({
  log_id: text,
  timestamp: text,
  tenant_id: maybe,
  operation: text,
  status: Schema.Int,
  error_code: maybe,
  resource_type: maybe,
  resource_id: maybe
})
export const AuditEntries = Schema.Array(AuditEntry)

export const Figures = Schema.Struct({ spent: Int64, reserved: Int64, remaining: Int64, debt: Int64 })
