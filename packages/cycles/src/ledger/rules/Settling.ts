/**
 * What ends or prolongs a hold: commit, release, extend and expiry.
 *
 * @internal
 */
import * as Result from "effect/Result"
import { format } from "../../protocol/Amount.ts"
import type { ExtendReply } from "../../protocol/Extend.ts"
import type { CommitReply, ReleaseReply } from "../../protocol/Settle.ts"
import * as Charge from "../Charge.ts"
import type { BudgetRow, ReservationRow } from "../Model.ts"
import type { Refusal } from "../Refusal.ts"
import type { View } from "../View.ts"
import type { BudgetChange, Change, Command, Verdict } from "./Command.ts"
import * as Limits from "./Limits.ts"
import { balanceOf, owned } from "./Showing.ts"
import { done, KEEP_MS, KEEP_SETTLED_MS, nothing, pairs, refused, replay, shown } from "./Verdict.ts"

/**
 * Ends a hold whose grace has passed: it goes back to every budget it was taken from, once.
 *
 * Specification: section ERROR SEMANTICS, expiry at `expires_at_ms + grace_period_ms`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const expire = (view: View, row: ReservationRow): Change => ({
  kind: "EXPIRE",
  budgets: giveBack(view, row),
  reservation: { ...row, status: "EXPIRED" },
  counters: Limits.giveBack(view, row)
})

/** A reservation that can still be changed, or why not. */
const unsettled = (row: ReservationRow): Refusal | undefined =>
  row.status === "EXPIRED"
    ? { code: "RESERVATION_EXPIRED", reason: `its lease ended at ${row.expiresAtMs}` }
    : row.status !== "ACTIVE"
    ? { code: "RESERVATION_FINALIZED", reason: `it is ${row.status}` }
    : undefined

const budgeted = (view: View, row: ReservationRow): ReadonlyArray<BudgetRow> => {
  const rows: Array<BudgetRow> = []
  for (const scope of row.budgeted) {
    const budget = view.budget(scope, row.estimate.unit)
    if (budget === undefined) throw new Error(`budget ${scope} of reservation ${row.id} is missing`)
    rows.push(budget)
  }
  return rows
}

const giveBack = (view: View, row: ReservationRow): ReadonlyArray<BudgetChange> =>
  budgeted(view, row).map((before) => ({
    before,
    after: { ...before, reserved: before.reserved - row.estimate.amount }
  }))

/** Specification: operation `commitReservation`, schema `CommitOveragePolicy`. */
export const decideCommit = (view: View, command: Command & { readonly _tag: "Commit" }, now: number): Verdict => {
  const { cause, id, request } = command
  const found = owned(view, cause, id)
  if (Result.isFailure(found)) return refused(found.failure)
  const row = found.success
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const state = unsettled(row)
  if (state !== undefined) return refused(state)
  const { actual } = request
  const unit = row.estimate.unit
  const held = row.estimate.amount
  if (actual.unit !== unit) {
    return refused({
      code: "UNIT_MISMATCH",
      unit: actual.unit,
      expectedUnits: [unit],
      reason: `the reservation is in ${unit}`
    })
  }
  const rows = budgeted(view, row)
  if (row.overagePolicy === "REJECT" && actual.amount > held) {
    return refused({
      code: "BUDGET_EXCEEDED",
      scope: row.scopes[row.scopes.length - 1] ?? "",
      unit,
      requested: actual.amount,
      remaining: held,
      reason: "more was used than reserved, and the overage policy is REJECT",
      details: {
        suggestion: `Commit ${format({ unit, amount: held })} or less, or reserve under another overage policy`
      }
    })
  }
  const charged = Charge.charge(rows, held, actual.amount, row.overagePolicy)
  if (Result.isFailure(charged)) return refused(charged.failure)
  const billed = charged.success.charged
  const counters = Limits.settle(view, row, billed)
  if (Result.isFailure(counters)) return refused(counters.failure)
  const budgets = pairs(rows, charged.success.after)
  const reply: CommitReply = {
    status: "COMMITTED",
    charged: { unit, amount: billed },
    ...(billed < held ? { released: { unit, amount: held - billed } } : undefined),
    ...shown(cause, budgets)
  }
  const reservation: ReservationRow = {
    ...row,
    status: "COMMITTED",
    charged: reply.charged,
    metrics: request.metrics,
    committedMetadata: request.metadata,
    finalizedAtMs: now
  }
  return done(
    command,
    reply,
    { kind: "COMMIT", budgets, reservation, counters: counters.success },
    now + KEEP_SETTLED_MS,
    id
  )
}

/** Specification: operation `releaseReservation`. */
export const decideRelease = (view: View, command: Command & { readonly _tag: "Release" }, now: number): Verdict => {
  const { cause, id } = command
  const found = owned(view, cause, id)
  if (Result.isFailure(found)) return refused(found.failure)
  const row = found.success
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const state = unsettled(row)
  if (state !== undefined) return refused(state)
  const budgets = giveBack(view, row)
  const reply: ReleaseReply = {
    status: "RELEASED",
    released: row.estimate,
    ...shown(cause, budgets)
  }
  const reservation: ReservationRow = { ...row, status: "RELEASED", finalizedAtMs: now }
  const counters = Limits.giveBack(view, row)
  const change: Change = { kind: "RELEASE", budgets, reservation, counters, reason: command.request.reason }
  return done(command, reply, change, now + KEEP_SETTLED_MS, id)
}

/** Specification: operation `extendReservation`. Grace is for settling, not for extending. */
export const decideExtend = (view: View, command: Command & { readonly _tag: "Extend" }, now: number): Verdict => {
  const { cause, id, maxExtensions, request } = command
  const found = owned(view, cause, id)
  if (Result.isFailure(found)) return refused(found.failure)
  const row = found.success
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const state = unsettled(row)
  if (state !== undefined) return refused(state)
  if (now > row.expiresAtMs) {
    return refused({ code: "RESERVATION_EXPIRED", reason: `its lease ended at ${row.expiresAtMs}` })
  }
  if (row.extensions >= (row.maxExtensions ?? maxExtensions)) {
    return refused({ code: "MAX_EXTENSIONS_EXCEEDED", reason: `it was extended ${row.extensions} times` })
  }
  const expiresAtMs = row.expiresAtMs + request.extendByMs
  const reply: ExtendReply = {
    status: "ACTIVE",
    expiresAtMs,
    remainingTtlMs: Math.max(0, expiresAtMs - now),
    ...(cause.balances ? { balances: budgeted(view, row).map(balanceOf) } : nothing)
  }
  const reservation: ReservationRow = { ...row, expiresAtMs, extensions: row.extensions + 1 }
  return done(command, reply, { kind: "EXTEND", budgets: [], reservation }, now + KEEP_MS, id)
}
