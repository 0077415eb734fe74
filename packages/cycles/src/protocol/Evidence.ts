/**
 * References to the signed evidence an authority may emit for its answers.
 *
 * Specification: `cycles-protocol-v0.yaml`, schemas `CyclesEvidenceRef` and `ReservationEvidence`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Points at the signed envelope of one operation: its content hash (64 hex digits) and where to fetch it. The envelope is
 * stored after the answer is sent, so a fetch may find nothing for a moment.
 *
 * @category models
 * @since 0.1.0
 */
export const EvidenceRef = Schema.Struct({
  evidenceId: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/u)),
  url: Schema.String.annotate({ format: "uri" })
}).pipe(Schema.encodeKeys({ evidenceId: "evidence_id", url: "cycles_evidence_url" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface EvidenceRef extends Schema.Schema.Type<typeof EvidenceRef> {}

/**
 * The evidence of one reservation: at most its reserve and its settlement.
 *
 * @category models
 * @since 0.1.0
 */
export const ReservationEvidence = Schema.Struct({
  reserve: Schema.optionalKey(EvidenceRef),
  commit: Schema.optionalKey(EvidenceRef),
  release: Schema.optionalKey(EvidenceRef)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface ReservationEvidence extends Schema.Schema.Type<typeof ReservationEvidence> {}
