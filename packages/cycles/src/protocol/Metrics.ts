/**
 * What an action measured of itself, sent along with the charge.
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `StandardMetrics`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * A free JSON object: metadata and custom metrics.
 *
 * @category models
 * @since 0.1.0
 */
export const JsonObject = Schema.Record(Schema.String, Schema.Unknown)

/**
 * @category models
 * @since 0.1.0
 */
export type JsonObject = typeof JsonObject.Type

/**
 * Measurements of one action; all optional.
 *
 * - `tokensInput`, `tokensOutput`: whole tokens
 * - `latencyMs`: milliseconds from start to finish
 * - `modelVersion`: the model or tool version that really ran, at most 128 characters
 * - `custom`: anything else
 *
 * @category models
 * @since 0.1.0
 */
export const Metrics = Schema.Struct({
  tokensInput: Schema.optionalKey(Schema.Natural),
  tokensOutput: Schema.optionalKey(Schema.Natural),
  latencyMs: Schema.optionalKey(Schema.Natural),
  modelVersion: Schema.optionalKey(Schema.String.check(Schema.isMaxCodePoints(128))),
  custom: Schema.optionalKey(JsonObject)
}).pipe(Schema.encodeKeys({
  tokensInput: "tokens_input",
  tokensOutput: "tokens_output",
  latencyMs: "latency_ms",
  modelVersion: "model_version"
}))

/**
 * @category models
 * @since 0.1.0
 */
export interface Metrics extends Schema.Schema.Type<typeof Metrics> {}
