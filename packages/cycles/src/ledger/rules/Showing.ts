/**
 * Rows as they are shown: reservations and balances.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { Balance } from "../../protocol/Balance.ts"
import type { ReservationId } from "../../protocol/Ids.ts"
import type { ReservationRecord } from "../../protocol/ReservationRecord.ts"
import type { BudgetRow, ReservationRow } from "../Model.ts"
import { isOverLimit, remaining } from "../Model.ts"
import type { Refusal } from "../Refusal.ts"
import type { View } from "../View.ts"
import type { Cause, Command, Verdict } from "./Command.ts"

/** The caller's reservation, or why not: unknown first, another tenant's next. */
export const owned = (view: View, cause: Cause, id: ReservationId): Result.Result<ReservationRow, Refusal> => {
  const row = view.reservation(id)
  if (row === undefined) return Result.fail({ code: "NOT_FOUND", reason: `there is no reservation ${id}` })
  if (row.tenant !== cause.tenant) {
    return Result.fail({ code: "FORBIDDEN", reason: "the reservation belongs to another tenant" })
  }
  return Result.succeed(row)
}

/** Specification: operation `getReservation`. */
export const decideRead = (view: View, command: Command & { readonly _tag: "Read" }): Verdict => {
  const found = owned(view, command.cause, command.id)
  if (Result.isFailure(found)) return { _tag: "Refused", refusal: found.failure }
  const row = found.success
  if (row.status === "EXPIRED") {
    return {
      _tag: "Refused",
      refusal: { code: "RESERVATION_EXPIRED", reason: `its lease ended at ${row.expiresAtMs}` }
    }
  }
  return {
    _tag: "Done",
    reply: recordOf(row, new Set(["metadata", "committed_metadata"])),
    changes: [],
    record: undefined
  }
}

/**
 * A reservation as it is shown, with the larger fields that were asked for.
 *
 * @category conversions
 * @since 0.1.0
 */
export const recordOf = (row: ReservationRow, include: ReadonlySet<string>): ReservationRecord => ({
  reservationId: row.id,
  status: row.status,
  idempotencyKey: row.idempotencyKey,
  subject: row.subject,
  action: row.action,
  reserved: row.estimate,
  createdAtMs: row.createdAtMs,
  expiresAtMs: row.expiresAtMs,
  scopePath: row.scopes[row.scopes.length - 1] ?? "",
  affectedScopes: row.scopes,
  ...(row.charged === undefined ? undefined : { committed: row.charged }),
  ...(row.finalizedAtMs === undefined ? undefined : { finalizedAtMs: row.finalizedAtMs }),
  ...(row.metadata === undefined || !include.has("metadata") ? undefined : { metadata: row.metadata }),
  ...(row.committedMetadata === undefined || !include.has("committed_metadata")
    ? undefined
    : { committedMetadata: row.committedMetadata })
})

/**
 * A budget as it is shown: debt, overdraft limit and the over-limit flag only where they say something.
 *
 * @category conversions
 * @since 0.1.0
 */
export const balanceOf = (row: BudgetRow): Balance => {
  const unit = row.unit
  return {
    scope: row.scope,
    scopePath: row.scope,
    remaining: { unit, amount: remaining(row) },
    reserved: { unit, amount: row.reserved },
    spent: { unit, amount: row.spent },
    allocated: { unit, amount: row.allocated },
    ...(row.debt > 0n ? { debt: { unit, amount: row.debt } } : undefined),
    ...(row.overdraftLimit > 0n ? { overdraftLimit: { unit, amount: row.overdraftLimit } } : undefined),
    ...(isOverLimit(row) ? { isOverLimit: true } : undefined)
  }
}
