/**
 * The authority's answer, and the words for why it was no.
 *
 * Specification: `cycles-protocol-v0.yaml`, schemas `DecisionEnum` and `DecisionReasonCode`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * `ALLOW`, `ALLOW_WITH_CAPS` (yes, within limits) or `DENY`.
 *
 * @category models
 * @since 0.1.0
 */
export const Decision = Schema.Literals(["ALLOW", "ALLOW_WITH_CAPS", "DENY"])

/**
 * @category models
 * @since 0.1.0
 */
export type Decision = typeof Decision.Type

/**
 * The reasons this version knows. The protocol keeps the set open: an unknown reason is a denial all the same.
 *
 * @category constants
 * @since 0.1.0
 */
export const knownReasons = [
  "BUDGET_EXCEEDED",
  "BUDGET_FROZEN",
  "BUDGET_CLOSED",
  "BUDGET_NOT_FOUND",
  "OVERDRAFT_LIMIT_EXCEEDED",
  "DEBT_OUTSTANDING",
  "TENANT_CLOSED",
  "ACTION_QUOTA_EXCEEDED",
  "ACTION_KIND_DENIED",
  "ACTION_KIND_NOT_ALLOWED"
] as const

/**
 * A reason this version knows.
 *
 * @category models
 * @since 0.1.0
 */
export type KnownReason = (typeof knownReasons)[number]

/**
 * Why a decision was DENY: one of {@link knownReasons}, or a word of a later version; at most 128 characters.
 *
 * @category models
 * @since 0.1.0
 */
export const ReasonCode = Schema.String.check(Schema.isMaxCodePoints(128))

/**
 * @category models
 * @since 0.1.0
 */
export type ReasonCode = KnownReason | (string & {})
