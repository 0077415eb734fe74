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
 * - `limitId`, `window`: the limit that spoke, and what it counts in
 * - `reopensAtMs`: when the same request would fit, if nothing else happens (Unix milliseconds)
 * - `retryAfterMs`: the same, from now
 * - `policyId`: the policy that spoke
 * - `suggestion`: what to do about it, where {@link suggestion} does not know better from the rest
 *
 * @category models
 * @since 0.1.0
 */
export interface Refusal {
  readonly code: ErrorCode | "BUDGET_NOT_FOUND"
  readonly field?: string
  readonly reason?: string
  readonly scope?: string
  readonly unit?: Unit
  readonly requested?: bigint
  readonly remaining?: bigint
  readonly expectedUnits?: ReadonlyArray<Unit>
  readonly limitId?: string
  readonly window?: string
  readonly reopensAtMs?: number
  readonly retryAfterMs?: number
  readonly policyId?: string
  readonly suggestion?: string
}

/**
 * What a caller, or whoever looks after the budget, can do about a denial; nothing where the error's own words say it all.
 *
 * @category getters
 * @since 0.1.0
 */
export const suggestion = (refusal: Refusal): string | undefined => {
  const { code, scope, unit } = refusal
  if (refusal.suggestion !== undefined) return refusal.suggestion
  if (scope === undefined) return undefined
  switch (code) {
    case "BUDGET_EXCEEDED":
      return suggestMore(refusal, scope)
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

const suggestMore = (refusal: Refusal, scope: string): string | undefined => {
  const { limitId, remaining, reopensAtMs, requested, unit } = refusal
  if (requested === undefined || remaining === undefined) return undefined
  const less = remaining > 0n
    ? `ask for ${remaining} ${unit} or less`
    : "wait until running work gives back what it holds"
  if (limitId === undefined) return `Credit ${scope} by at least ${requested - remaining} ${unit}, or ${less}`
  const raise = `raise the limit "${limitId}" of ${scope}`
  if (reopensAtMs === undefined) return `Ask for less at once, or ${raise}; waiting does not help`
  const wait = `Wait until ${new Date(reopensAtMs).toISOString()}`
  return remaining > 0n ? `${wait}, ${less}, or ${raise}` : `${wait}, or ${raise}`
}

/** What an error tells beside its own fields, in the names of the wire. */
const detailsOf = (refusal: Refusal): JsonObject | undefined => {
  const known = {
    limit_id: refusal.limitId,
    window: refusal.window,
    reopens_at_ms: refusal.reopensAtMs,
    policy_id: refusal.policyId,
    suggestion: suggestion(refusal)
  }
  const given = Object.entries(known).filter(([, value]) => value !== undefined)
  return given.length === 0 ? undefined : Object.fromEntries(given)
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
  const { code, expectedUnits, field, reason, remaining, requested, retryAfterMs, scope, unit } = refusal
  const details = detailsOf(refusal)
  const context: Context = {
    ...(reason === undefined ? undefined : { reason }),
    ...(scope === undefined ? undefined : { scope }),
    ...(unit === undefined ? undefined : { unit }),
    ...(requested === undefined ? undefined : { requested }),
    ...(remaining === undefined ? undefined : { remaining }),
    ...(retryAfterMs === undefined ? undefined : { retryAfterMs }),
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
