/**
 * Ending a hold: commit what was used, or release it all.
 *
 * Specification: `cycles-protocol-v0.yaml`, operations `commitReservation` and `releaseReservation`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Amount } from "./Amount.ts"
import { Balance } from "./Balance.ts"
import { EvidenceRef } from "./Evidence.ts"
import { IdempotencyKey } from "./Ids.ts"
import { JsonObject, Metrics } from "./Metrics.ts"

/**
 * What was really used, in the unit of the reservation. What was held beyond it goes back at once.
 *
 * @category models
 * @since 0.1.0
 */
export const CommitRequest = Schema.Struct({
  idempotencyKey: IdempotencyKey,
  actual: Amount,
  metrics: Schema.optionalKey(Metrics),
  metadata: Schema.optionalKey(JsonObject)
}).pipe(Schema.encodeKeys({ idempotencyKey: "idempotency_key" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface CommitRequest extends Schema.Schema.Type<typeof CommitRequest> {}

/**
 * `charged` is what was billed: `actual`, or less where ALLOW_IF_AVAILABLE found less. `released` is what went back, and is
 * absent when nothing did.
 *
 * @category models
 * @since 0.1.0
 */
export const CommitReply = Schema.Struct({
  status: Schema.Literal("COMMITTED"),
  charged: Amount,
  released: Schema.optionalKey(Amount),
  balances: Schema.optionalKey(Schema.Array(Balance)),
  evidence: Schema.optionalKey(EvidenceRef)
}).pipe(Schema.encodeKeys({ evidence: "cycles_evidence" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface CommitReply extends Schema.Schema.Type<typeof CommitReply> {}

/**
 * Gives a hold back unused. `reason` is for the record, at most 256 characters.
 *
 * @category models
 * @since 0.1.0
 */
export const ReleaseRequest = Schema.Struct({
  idempotencyKey: IdempotencyKey,
  reason: Schema.optionalKey(Schema.String.check(Schema.isMaxCodePoints(256)))
}).pipe(Schema.encodeKeys({ idempotencyKey: "idempotency_key" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface ReleaseRequest extends Schema.Schema.Type<typeof ReleaseRequest> {}

/**
 * `released` is the whole estimate.
 *
 * @category models
 * @since 0.1.0
 */
export const ReleaseReply = Schema.Struct({
  status: Schema.Literal("RELEASED"),
  released: Amount,
  balances: Schema.optionalKey(Schema.Array(Balance)),
  evidence: Schema.optionalKey(EvidenceRef)
}).pipe(Schema.encodeKeys({ evidence: "cycles_evidence" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface ReleaseReply extends Schema.Schema.Type<typeof ReleaseReply> {}
