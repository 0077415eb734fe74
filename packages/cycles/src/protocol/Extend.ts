/**
 * Keeping a hold alive while the work goes on.
 *
 * Specification: `cycles-protocol-v0.yaml`, operation `extendReservation`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Balance } from "./Balance.ts"
import { IdempotencyKey } from "./Ids.ts"
import { JsonObject } from "./Metrics.ts"

/**
 * How often an authority that was not told otherwise lets one reservation be extended. Replies do not say how many of them are
 * left.
 *
 * @category constants
 * @since 0.1.0
 */
export const DEFAULT_MAX_EXTENSIONS = 10

/**
 * Moves the end of a lease out by `extendByMs` (1 to 86,400,000), counted from its present end and not from now.
 *
 * @category models
 * @since 0.1.0
 */
export const ExtendRequest = Schema.Struct({
  idempotencyKey: IdempotencyKey,
  extendByMs: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400_000 })),
  metadata: Schema.optionalKey(JsonObject)
}).pipe(Schema.encodeKeys({ idempotencyKey: "idempotency_key", extendByMs: "extend_by_ms" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface ExtendRequest extends Schema.Schema.Type<typeof ExtendRequest> {}

/**
 * The new end of the lease (Unix milliseconds), and how long it still lives.
 *
 * @category models
 * @since 0.1.0
 */
export const ExtendReply = Schema.Struct({
  status: Schema.Literal("ACTIVE"),
  expiresAtMs: Schema.Natural,
  remainingTtlMs: Schema.optionalKey(Schema.Natural),
  balances: Schema.optionalKey(Schema.Array(Balance))
}).pipe(Schema.encodeKeys({ expiresAtMs: "expires_at_ms", remainingTtlMs: "remaining_ttl_ms" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface ExtendReply extends Schema.Schema.Type<typeof ExtendReply> {}
