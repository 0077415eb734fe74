/**
 * Branded identifiers. A `ReservationId` cannot stand where an `IdempotencyKey` is asked for; the brands cost nothing at
 * run time.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Names one reservation; chosen by the authority, opaque, 1 to 128 characters.
 *
 * Specification: parameter `ReservationId`.
 *
 * @category models
 * @since 0.1.0
 */
export const ReservationId = Schema.String.check(Schema.isMinCodePoints(1), Schema.isMaxCodePoints(128)).pipe(
  Schema.brand("ReservationId")
)

/**
 * @category models
 * @since 0.1.0
 */
export type ReservationId = typeof ReservationId.Type

/**
 * Names one attempt to do something, so that repeating it does it once. Chosen by the caller, 1 to 256 characters,
 * unique per tenant and operation.
 *
 * **Example** (A key that survives a restart)
 *
 * ```ts
 * import { IdempotencyKey } from "effect-cycles/protocol/Ids"
 *
 * const key = IdempotencyKey.make("invoice-1042-summary")
 *
 * console.log(key) // => "invoice-1042-summary"
 * ```
 *
 * Specification: schema `IdempotencyKey`, section IDEMPOTENCY.
 *
 * @category models
 * @since 0.1.0
 */
export const IdempotencyKey = Schema.String.check(Schema.isMinCodePoints(1), Schema.isMaxCodePoints(256)).pipe(
  Schema.brand("IdempotencyKey")
)

/**
 * @category models
 * @since 0.1.0
 */
export type IdempotencyKey = typeof IdempotencyKey.Type

/**
 * Names one applied event (a debit without a reservation); chosen by the authority.
 *
 * @category models
 * @since 0.1.0
 */
export const EventId = Schema.String.pipe(Schema.brand("EventId"))

/**
 * @category models
 * @since 0.1.0
 */
export type EventId = typeof EventId.Type

/**
 * Where the next page of a list begins; opaque, only ever handed back to the authority that gave it.
 *
 * @category models
 * @since 0.1.0
 */
export const Cursor = Schema.String.pipe(Schema.brand("Cursor"))

/**
 * @category models
 * @since 0.1.0
 */
export type Cursor = typeof Cursor.Type
