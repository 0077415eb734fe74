/**
 * A no as plain data. The rules speak in these; the error a caller sees is built once, at the edge.
 *
 * @since 0.1.0
 */
import type { Unit } from "../protocol/Amount.ts"
import type { Context, CyclesError, ErrorCode } from "../protocol/CyclesError.ts"
import * as Errors from "../protocol/CyclesError.ts"
import type { JsonObject } from "../protocol/Metrics.ts"

/**
 * Why a command was refused: a code, and what is known of the place.
 *
 * @category models
 * @since 0.1.0
 */
export interface Refusal {
  readonly code:
    | ErrorCode
    | "BUDGET_NOT_FOUND"
    | "ACTION_QUOTA_EXCEEDED"
    | "ACTION_KIND_DENIED"
    | "ACTION_KIND_NOT_ALLOWED"
  readonly field?: string
  readonly reason?: string
  readonly scope?: string
  readonly unit?: Unit
  readonly requested?: bigint
  readonly remaining?: bigint
  readonly expectedUnits?: ReadonlyArray<Unit>
  readonly retryAfterMs?: number
  /** What else is known, in the protocol's words: `policy_id` and `suggestion`. */
  readonly details?: JsonObject
}

/**
 * The error a refusal stands for.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toError = (
  refusal: Refusal,
  ids: { readonly requestId?: string | undefined; readonly traceId?: string | undefined }
): CyclesError => {
  const { code, expectedUnits, field, ...rest } = refusal
  const context: Context = {
    ...rest,
    ...(ids.requestId === undefined ? undefined : { requestId: ids.requestId }),
    ...(ids.traceId === undefined ? undefined : { traceId: ids.traceId })
  }
  switch (code) {
    case "INVALID_REQUEST":
      return new Errors.InvalidRequest({ ...context, field: field ?? "" })
    case "UNAUTHORIZED":
      return new Errors.Unauthorized(context)
    case "FORBIDDEN":
      return new Errors.Forbidden(context)
    case "NOT_FOUND":
      return new Errors.NotFound(context)
    case "UNIT_MISMATCH":
      return new Errors.UnitMismatch(expectedUnits === undefined ? context : { ...context, expectedUnits })
    case "IDEMPOTENCY_MISMATCH":
      return new Errors.IdempotencyMismatch(context)
    case "RESERVATION_FINALIZED":
      return new Errors.ReservationFinalized(context)
    case "RESERVATION_EXPIRED":
      return new Errors.ReservationExpired(context)
    case "MAX_EXTENSIONS_EXCEEDED":
      return new Errors.MaxExtensionsExceeded(context)
    case "LIMIT_EXCEEDED":
      return new Errors.RateLimited(context)
    case "INTERNAL_ERROR":
      return new Errors.InternalError(context)
    default:
      return Errors.fromReason(code, context)
  }
}
