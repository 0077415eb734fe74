/**
 * Budgets themselves: opening, changing and funding them.
 *
 * @internal
 */
import type { Unit } from "../../protocol/Amount.ts"
import * as Charge from "../Charge.ts"
import type { BudgetRow, FundReply } from "../Model.ts"
import { remaining } from "../Model.ts"
import type { View } from "../View.ts"
import { blocked } from "./Admission.ts"
import type { Command, FundOperation, Verdict } from "./Command.ts"
import * as Limits from "./Limits.ts"
import { balanceOf } from "./Showing.ts"
import { done, KEEP_MS, refused, replay } from "./Verdict.ts"

export const decideCreate = (
  view: View,
  command: Command & { readonly _tag: "CreateBudget" },
  now: number
): Verdict => {
  const budget: BudgetRow = { ...command.budget, createdAtMs: now, updatedAtMs: now }
  const there = view.budget(budget.scope, budget.unit)
  if (there !== undefined) {
    // The same command again, because its first transaction took effect and its answer was lost.
    if (there.id === budget.id) return { _tag: "Done", reply: there, changes: [], record: undefined }
    return refused({
      code: "INVALID_REQUEST",
      field: "scope",
      scope: budget.scope,
      unit: budget.unit,
      reason: "there is already a budget on this scope in this unit",
      details: { conflict: "DUPLICATE_RESOURCE", suggestion: "Fund or update the one that is there" }
    })
  }
  return {
    _tag: "Done",
    reply: budget,
    changes: [{
      kind: "CREATE",
      budgets: [{ before: undefined, after: budget }],
      counters: Limits.begin(view, undefined, budget, now)
    }],
    record: undefined
  }
}

const noBudget = (scope: string, unit: Unit): Verdict =>
  refused({
    code: "BUDGET_NOT_FOUND",
    scope,
    unit,
    reason: `Budget not found for provided scope: ${scope}`,
    details: { suggestion: `Check the scope and the unit, or create a budget in ${unit} there` }
  })

export const decideUpdate = (
  view: View,
  command: Command & { readonly _tag: "UpdateBudget" },
  now: number
): Verdict => {
  const { limits, request: { from, metadata, overagePolicy, overdraftLimit, reason, scope, status, unit } } = command
  const before = view.budget(scope, unit)
  if (before === undefined) return noBudget(scope, unit)
  if (view.record(command.record) !== undefined) return { _tag: "Done", reply: before, changes: [], record: undefined }
  if (before.status === "CLOSED") return refused({ code: "BUDGET_CLOSED", scope, unit, reason: "closing is for good" })
  if (from !== undefined && before.status !== from) {
    const is = `the budget is ${before.status}, not ${from}`
    return refused(
      before.status === "FROZEN"
        ? { code: "BUDGET_FROZEN", scope, unit, reason: is }
        : {
          code: "INVALID_REQUEST",
          field: "status",
          scope,
          unit,
          reason: is,
          details: { conflict: "INVALID_REQUEST" }
        }
    )
  }
  const after: BudgetRow = {
    ...before,
    status: status ?? before.status,
    overdraftLimit: overdraftLimit?.amount ?? before.overdraftLimit,
    overagePolicy: overagePolicy ?? before.overagePolicy,
    metadata: metadata ?? before.metadata,
    limits: limits ?? before.limits,
    updatedAtMs: now
  }
  return {
    _tag: "Done",
    reply: after,
    changes: [
      { kind: "UPDATE", budgets: [{ before, after }], reason, counters: Limits.begin(view, before, after, now) }
    ],
    record: {
      ...command.record,
      digest: command.digest,
      reply: { previous: balanceOf(before), balance: balanceOf(after) },
      reservationId: undefined,
      keepUntilMs: now + KEEP_MS
    }
  }
}

export const decideReadLimits = (
  view: View,
  { scope, unit }: Command & { readonly _tag: "ReadLimits" },
  now: number
): Verdict => {
  const row = view.budget(scope, unit)
  return row === undefined
    ? noBudget(scope, unit)
    : { _tag: "Done", reply: Limits.statesOf(view, row, now), changes: [], record: undefined }
}

/** Source: `cycles-governance-admin-v0.1.25.yaml`, operation `fundBudget`; debt first, as `cycles-protocol-v0.yaml` demands. */
export const decideFund = (view: View, command: Command & { readonly _tag: "Fund" }, now: number): Verdict => {
  const { request } = command
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const { amount: x, unit } = request.amount
  const before = view.budget(request.scope, unit)
  if (before === undefined) return noBudget(request.scope, unit)
  const status = blocked(before)
  if (status !== undefined) return refused(status)
  if (request.spent !== undefined && request.spent.unit !== unit) {
    return refused({
      code: "UNIT_MISMATCH",
      scope: request.scope,
      unit: request.spent.unit,
      expectedUnits: [unit],
      reason: `the budget is in ${unit}`
    })
  }
  if (request.operation === "DEBIT" && remaining(before) < x) {
    return refused({
      code: "BUDGET_EXCEEDED",
      scope: request.scope,
      unit,
      requested: x,
      remaining: remaining(before),
      reason: "a debit cannot take what is not there",
      details: { suggestion: "Debit what remains or less" }
    })
  }
  const funded = fund(before, request.operation, x, request.spent?.amount ?? 0n)
  if (!Charge.fits(funded)) {
    return refused({
      code: "INVALID_REQUEST",
      field: "amount",
      scope: request.scope,
      unit,
      requested: x,
      reason: "the budget's figures would leave the range of an int64"
    })
  }
  const after = { ...funded, capped: stillCapped(funded, request.operation) }
  const reply: FundReply = { previous: balanceOf(before), balance: balanceOf(after) }
  return done(
    command,
    reply,
    { kind: request.operation, budgets: [{ before, after }], reason: request.reason },
    now + KEEP_MS
  )
}

const fund = (row: BudgetRow, operation: FundOperation, x: bigint, spent: bigint): BudgetRow => {
  const repaid = row.debt < x ? row.debt : x
  switch (operation) {
    case "CREDIT":
      // What was consumed on credit is now paid for, so it counts as spent: remaining rises by exactly x.
      return { ...row, allocated: row.allocated + x, debt: row.debt - repaid, spent: row.spent + repaid }
    case "REPAY_DEBT":
      return { ...row, allocated: row.allocated + x - repaid, debt: row.debt - repaid }
    case "DEBIT":
      return { ...row, allocated: row.allocated - x }
    case "RESET":
      return { ...row, allocated: x }
    case "RESET_SPENT":
      return { ...row, allocated: x, spent }
  }
}

/** New money that leaves something to spend makes good for a capped charge; taking money away and repaying debt do not. */
const stillCapped = (row: BudgetRow, operation: FundOperation): boolean =>
  row.capped && (operation === "DEBIT" || operation === "REPAY_DEBT" || remaining(row) <= 0n)
