/**
 * Asking without holding: would this be allowed right now?
 *
 * Specification: `cycles-protocol-v0.yaml`, operation `decide`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Action } from "./Action.ts"
import { Amount } from "./Amount.ts"
import { Caps } from "./Caps.ts"
import { Decision, ReasonCode } from "./Decision.ts"
import { EvidenceRef } from "./Evidence.ts"
import { IdempotencyKey } from "./Ids.ts"
import { JsonObject } from "./Metrics.ts"
import { Subject } from "./Subject.ts"

/**
 * A question to the authority. Nothing is held, and the answer may be out of date as soon as it is given.
 *
 * @category models
 * @since 0.1.0
 */
export const DecideRequest = Schema.Struct({
  idempotencyKey: IdempotencyKey,
  subject: Subject,
  action: Action,
  estimate: Amount,
  metadata: Schema.optionalKey(JsonObject)
}).pipe(Schema.encodeKeys({ idempotencyKey: "idempotency_key" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface DecideRequest extends Schema.Schema.Type<typeof DecideRequest> {}

/**
 * The answer. `caps` come with ALLOW_WITH_CAPS only; `reasonCode` and `retryAfterMs` with DENY.
 *
 * @category models
 * @since 0.1.0
 */
export const DecideReply = Schema.Struct({
  decision: Decision,
  caps: Schema.optionalKey(Caps),
  reasonCode: Schema.optionalKey(ReasonCode),
  retryAfterMs: Schema.optionalKey(Schema.Natural),
  affectedScopes: Schema.optionalKey(Schema.Array(Schema.String)),
  evidence: Schema.optionalKey(EvidenceRef)
}).pipe(Schema.encodeKeys({
  reasonCode: "reason_code",
  retryAfterMs: "retry_after_ms",
  affectedScopes: "affected_scopes",
  evidence: "cycles_evidence"
}))

/**
 * @category models
 * @since 0.1.0
 */
export interface DecideReply extends Schema.Schema.Type<typeof DecideReply> {}
