/**
 * Taking a hold on budget before an action.
 *
 * Specification: `cycles-protocol-v0.yaml`, operation `createReservation`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Action } from "./Action.ts"
import { Amount } from "./Amount.ts"
import { Balance } from "./Balance.ts"
import { Caps } from "./Caps.ts"
import { Decision, ReasonCode } from "./Decision.ts"
import { EvidenceRef } from "./Evidence.ts"
import { IdempotencyKey, ReservationId } from "./Ids.ts"
import { JsonObject } from "./Metrics.ts"
import { OveragePolicy } from "./OveragePolicy.ts"
import { Subject } from "./Subject.ts"

/**
 * How long a hold lives without being extended: 1,000 to 86,400,000 milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export const TtlMs = Schema.Int.check(Schema.isBetween({ minimum: 1_000, maximum: 86_400_000 }))

/**
 * How long after its end a hold still takes a commit: 0 to 60,000 milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export const GracePeriodMs = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60_000 }))

/**
 * The lease of a request that names none: 60,000 milliseconds.
 *
 * @category constants
 * @since 0.1.0
 */
export const DEFAULT_TTL_MS = 60_000

/**
 * The grace period of a request that names none: 5,000 milliseconds.
 *
 * @category constants
 * @since 0.1.0
 */
export const DEFAULT_GRACE_PERIOD_MS = 5_000

/**
 * The overage policy of a request that names none.
 *
 * @category constants
 * @since 0.1.0
 */
export const DEFAULT_OVERAGE_POLICY: OveragePolicy = "ALLOW_IF_AVAILABLE"

/**
 * Asks for a hold. With `dryRun` the authority evaluates the request and holds nothing.
 *
 * Absent fields mean {@link DEFAULT_TTL_MS}, {@link DEFAULT_GRACE_PERIOD_MS}, {@link DEFAULT_OVERAGE_POLICY} and
 * `dryRun: false`.
 *
 * @category models
 * @since 0.1.0
 */
export const ReserveRequest = Schema.Struct({
  idempotencyKey: IdempotencyKey,
  subject: Subject,
  action: Action,
  estimate: Amount,
  ttlMs: Schema.optionalKey(TtlMs),
  gracePeriodMs: Schema.optionalKey(GracePeriodMs),
  overagePolicy: Schema.optionalKey(OveragePolicy),
  dryRun: Schema.optionalKey(Schema.Boolean),
  metadata: Schema.optionalKey(JsonObject)
}).pipe(Schema.encodeKeys({
  idempotencyKey: "idempotency_key",
  ttlMs: "ttl_ms",
  gracePeriodMs: "grace_period_ms",
  overagePolicy: "overage_policy",
  dryRun: "dry_run"
}))

/**
 * @category models
 * @since 0.1.0
 */
export interface ReserveRequest extends Schema.Schema.Type<typeof ReserveRequest> {}

/**
 * The hold that was taken, or the verdict of a dry run.
 *
 * - `reservationId`, `expiresAtMs` (Unix milliseconds) and `remainingTtlMs` are absent after a dry run or a DENY
 * - `remainingTtlMs` is how long the lease still lives; a repeated request gets it anew, 0 when the hold has ended
 * - `affectedScopes`: every scope of the path, widest first, budgeted or not
 * - `reserved`: what is held; after a dry run, what would be
 *
 * @category models
 * @since 0.1.0
 */
export const ReserveReply = Schema.Struct({
  decision: Decision,
  reservationId: Schema.optionalKey(ReservationId),
  reserved: Schema.optionalKey(Amount),
  expiresAtMs: Schema.optionalKey(Schema.Natural),
  remainingTtlMs: Schema.optionalKey(Schema.Natural),
  scopePath: Schema.optionalKey(Schema.String),
  affectedScopes: Schema.Array(Schema.String),
  caps: Schema.optionalKey(Caps),
  balances: Schema.optionalKey(Schema.Array(Balance)),
  reasonCode: Schema.optionalKey(ReasonCode),
  retryAfterMs: Schema.optionalKey(Schema.Natural),
  evidence: Schema.optionalKey(EvidenceRef)
}).pipe(Schema.encodeKeys({
  reservationId: "reservation_id",
  expiresAtMs: "expires_at_ms",
  remainingTtlMs: "remaining_ttl_ms",
  scopePath: "scope_path",
  affectedScopes: "affected_scopes",
  reasonCode: "reason_code",
  retryAfterMs: "retry_after_ms",
  evidence: "cycles_evidence"
}))

/**
 * @category models
 * @since 0.1.0
 */
export interface ReserveReply extends Schema.Schema.Type<typeof ReserveReply> {}
