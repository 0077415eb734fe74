/**
 * The error body every operation answers with on the wire.
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `ErrorResponse`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ErrorCode } from "./CyclesError.ts"
import { EvidenceRef } from "./Evidence.ts"
import { JsonObject } from "./Metrics.ts"

/**
 * @category models
 * @since 0.1.0
 */
export const ErrorResponse = Schema.Struct({
  error: ErrorCode,
  message: Schema.String,
  requestId: Schema.String,
  traceId: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[0-9a-f]{32}$/u))),
  details: Schema.optionalKey(JsonObject),
  evidence: Schema.optionalKey(EvidenceRef)
}).pipe(Schema.encodeKeys({ requestId: "request_id", traceId: "trace_id", evidence: "cycles_evidence" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface ErrorResponse extends Schema.Schema.Type<typeof ErrorResponse> {}
