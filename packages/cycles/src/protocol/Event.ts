/**
 * Charging for something that has already happened and could not be reserved.
 *
 * Specification: `cycles-protocol-v0.yaml`, operation `createEvent`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Action } from "./Action.ts"
import { Amount } from "./Amount.ts"
import { Balance } from "./Balance.ts"
import { EventId, IdempotencyKey } from "./Ids.ts"
import { JsonObject, Metrics } from "./Metrics.ts"
import { OveragePolicy } from "./OveragePolicy.ts"
import { Subject } from "./Subject.ts"

/**
 * A debit without a hold. `clientTimeMs` (Unix milliseconds) is kept for the record and decides nothing.
 *
 * @category models
 * @since 0.1.0
 */
export const EventRequest = Schema.Struct({
  idempotencyKey: IdempotencyKey,
  subject: Subject,
  action: Action,
  actual: Amount,
  overagePolicy: Schema.optionalKey(OveragePolicy),
  metrics: Schema.optionalKey(Metrics),
  clientTimeMs: Schema.optionalKey(Schema.Natural),
  metadata: Schema.optionalKey(JsonObject)
}).pipe(Schema.encodeKeys({
  idempotencyKey: "idempotency_key",
  overagePolicy: "overage_policy",
  clientTimeMs: "client_time_ms"
}))

/**
 * @category models
 * @since 0.1.0
 */
export interface EventRequest extends Schema.Schema.Type<typeof EventRequest> {}

/**
 * `charged` is given when less than the actual was billed.
 *
 * @category models
 * @since 0.1.0
 */
export const EventReply = Schema.Struct({
  status: Schema.Literal("APPLIED"),
  eventId: EventId,
  charged: Schema.optionalKey(Amount),
  balances: Schema.optionalKey(Schema.Array(Balance))
}).pipe(Schema.encodeKeys({ eventId: "event_id" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface EventReply extends Schema.Schema.Type<typeof EventReply> {}
