/**
 * Reading reservations back: one by its id, or a list of them.
 *
 * Specification: `cycles-protocol-v0.yaml`, operations `getReservation` and `listReservations`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Action } from "./Action.ts"
import { Amount } from "./Amount.ts"
import { Limit } from "./Balance.ts"
import { ReservationEvidence } from "./Evidence.ts"
import { Cursor, IdempotencyKey, ReservationId } from "./Ids.ts"
import { JsonObject } from "./Metrics.ts"
import { Subject } from "./Subject.ts"

/**
 * `ACTIVE`, or one of the three ends: `COMMITTED`, `RELEASED`, `EXPIRED`.
 *
 * @category models
 * @since 0.1.0
 */
export const ReservationStatus = Schema.Literals(["ACTIVE", "COMMITTED", "RELEASED", "EXPIRED"])

/**
 * @category models
 * @since 0.1.0
 */
export type ReservationStatus = typeof ReservationStatus.Type

/**
 * The state of a reservation as an authority tells it, which may be of a later version: one this version knows, or another word.
 *
 * @category models
 * @since 0.1.0
 */
export type ToldStatus = ReservationStatus | (string & {})

const ToldStatus: Schema.Codec<ToldStatus, string> = Schema.String

/**
 * One reservation, as the authority keeps it. Times are Unix milliseconds.
 *
 * - `status`: one of {@link ReservationStatus}, or a word of a later version: a list is read all the same
 * - `committed`: what was charged; on COMMITTED ones only
 * - `finalizedAtMs`: on COMMITTED and RELEASED ones only
 * - `metadata`, `committedMetadata`, `evidence`: always on a reservation read by its id; on a list only when asked for
 *
 * @category models
 * @since 0.1.0
 */
export const ReservationRecord = Schema.Struct({
  reservationId: ReservationId,
  status: ToldStatus,
  idempotencyKey: Schema.optionalKey(IdempotencyKey),
  subject: Subject,
  action: Action,
  reserved: Amount,
  committed: Schema.optionalKey(Amount),
  createdAtMs: Schema.Natural,
  expiresAtMs: Schema.Natural,
  finalizedAtMs: Schema.optionalKey(Schema.Natural),
  scopePath: Schema.String,
  affectedScopes: Schema.Array(Schema.String),
  metadata: Schema.optionalKey(JsonObject),
  committedMetadata: Schema.optionalKey(JsonObject),
  evidence: Schema.optionalKey(ReservationEvidence)
}).pipe(Schema.encodeKeys({
  reservationId: "reservation_id",
  idempotencyKey: "idempotency_key",
  createdAtMs: "created_at_ms",
  expiresAtMs: "expires_at_ms",
  finalizedAtMs: "finalized_at_ms",
  scopePath: "scope_path",
  affectedScopes: "affected_scopes",
  committedMetadata: "committed_metadata"
}))

/**
 * @category models
 * @since 0.1.0
 */
export interface ReservationRecord extends Schema.Schema.Type<typeof ReservationRecord> {}

/**
 * What a list can be sorted by.
 *
 * @category models
 * @since 0.1.0
 */
export const SortBy = Schema.Literals([
  "reservation_id",
  "tenant",
  "scope_path",
  "status",
  "reserved",
  "created_at_ms",
  "expires_at_ms"
])

/**
 * @category models
 * @since 0.1.0
 */
export type SortBy = typeof SortBy.Type

// A bound may lie before 1970, where no reservation does.
const Instant = Schema.Int

/**
 * Which reservations, in what order. Every filter given must hold; bounds are inclusive Unix milliseconds.
 *
 * - `createdFromMs`, `createdToMs`, and the same for `expires` and `finalized` (only settled ones have that time)
 * - `sortBy`: `created_at_ms` when not given; ties by id, ascending
 * - `sortDir`: `desc` when not given
 * - `include`: which of the larger fields to fill in
 *
 * @category models
 * @since 0.1.0
 */
export const ReservationsQuery = Schema.Struct({
  idempotencyKey: Schema.optionalKey(IdempotencyKey),
  status: Schema.optionalKey(ReservationStatus),
  tenant: Schema.optionalKey(Schema.String),
  workspace: Schema.optionalKey(Schema.String),
  app: Schema.optionalKey(Schema.String),
  workflow: Schema.optionalKey(Schema.String),
  agent: Schema.optionalKey(Schema.String),
  toolset: Schema.optionalKey(Schema.String),
  createdFromMs: Schema.optionalKey(Instant),
  createdToMs: Schema.optionalKey(Instant),
  expiresFromMs: Schema.optionalKey(Instant),
  expiresToMs: Schema.optionalKey(Instant),
  finalizedFromMs: Schema.optionalKey(Instant),
  finalizedToMs: Schema.optionalKey(Instant),
  sortBy: Schema.optionalKey(SortBy),
  sortDir: Schema.optionalKey(Schema.Literals(["asc", "desc"])),
  include: Schema.optionalKey(Schema.Array(Schema.Literals(["metadata", "committed_metadata", "evidence"]))),
  limit: Schema.optionalKey(Limit),
  cursor: Schema.optionalKey(Cursor)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ReservationsQuery extends Schema.Schema.Type<typeof ReservationsQuery> {}

/**
 * One page of reservations.
 *
 * @category models
 * @since 0.1.0
 */
export const ReservationsPage = Schema.Struct({
  reservations: Schema.Array(ReservationRecord),
  nextCursor: Schema.optionalKey(Cursor),
  hasMore: Schema.optionalKey(Schema.Boolean)
}).pipe(Schema.encodeKeys({ nextCursor: "next_cursor", hasMore: "has_more" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface ReservationsPage extends Schema.Schema.Type<typeof ReservationsPage> {}
