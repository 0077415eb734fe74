/**
 * A no as plain data. The rules speak in these; the error a caller sees is built once, at the edge.
 *
 * @since 0.1.0
 */
import type { Unit } from "../protocol/Amount.ts"
import { format } from "../protocol/Amount.ts"
import type { Context, CyclesError, ErrorCode } from "../protocol/CyclesError.ts"
import * as Errors from "../protocol/CyclesError.ts"
import type { JsonObject } from "../protocol/Metrics.ts"

/**
 * Why a command was refused: a code, and what is known of the place.
 *
 * - `denial`: the word for it where a denial is told, when that is another than the code
 * - `retryAfterMs`: after how long the same request would be admitted, if nothing else happens
 * - `details`: what else is known, in the names of the wire: `policy_id`; `limit_id`, `window` and `reopens_at_ms`; a
 *   `suggestion`, where {@link suggestion} does not find one in the rest
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
  readonly denial?: string
  readonly field?: string
  readonly reason?: string
  readonly scope?: string
  readonly unit?: Unit
  readonly requested?: bigint
  readonly remaining?: bigint
  readonly expectedUnits?: ReadonlyArray<Unit>
  readonly retryAfterMs?: number
  readonly details?: JsonObject
}

/**
 * What a caller, or whoever looks after the budget, can do about a refusal; nothing where the error's own words say it all.
 *
 * @category getters
 * @since 0.1.0
 */
export const suggestion = (refusal: Refusal): string | undefined => {
  const { code, remaining, requested, scope, unit } = refusal
  const given = refusal.details?.["suggestion"]
  if (typeof given === "string") return given
  if (scope === undefined) return undefined
  switch (code) {
    case "BUDGET_EXCEEDED":
      return requested === undefined || remaining === undefined || unit === undefined
        ? undefined
        : `Credit ${scope} by at least ${format({ unit, amount: requested - remaining })}, or ${
          remaining > 0n
            ? `ask for ${format({ unit, amount: remaining })} or less`
            : "wait until running work gives back what it holds"
        }`
    case "BUDGET_NOT_FOUND":
      return `Create a budget in ${unit} on ${scope} or on a scope above it`
    case "BUDGET_FROZEN":
      return `Ask an operator to unfreeze ${scope}`
    case "BUDGET_CLOSED":
      return `Use another budget; ${scope} is closed for good`
    case "DEBT_OUTSTANDING":
      return `Repay the debt of ${scope}`
    case "OVERDRAFT_LIMIT_EXCEEDED":
      return `Credit ${scope} until something remains, or raise its overdraft limit`
    default:
      return undefined
  }
}

const detailsOf = (refusal: Refusal): JsonObject | undefined => {
  const suggested = suggestion(refusal)
  return suggested === undefined ? refusal.details : { ...refusal.details, suggestion: suggested }
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
  const { code, denial: _, expectedUnits, field, ...rest } = refusal
  const details = detailsOf(refusal)
  const context: Context = {
    ...rest,
    ...(details === undefined ? undefined : { details }),
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
