/**
 * Requests about budgets made into commands: shapes, scopes and digests, and what they are audited as.
 *
 * @internal
 */
import * as Result from "effect/Result"
import type { Unit } from "../protocol/Amount.ts"
import * as CanonicalJson from "./CanonicalJson.ts"
import * as LimitShape from "./LimitShape.ts"
import { recordKey } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"
import type { BudgetOptions, Cause, Command, Deed, FundRequest, UpdateRequest } from "./rules/Command.ts"
import * as ScopePath from "./ScopePath.ts"
import { budgetRow, flawedUpdate, flaws } from "./Shapes.ts"
import * as TimeOrderedId from "./TimeOrderedId.ts"

const deedOf = (operation: string, scope: string, unit: Unit, details: Deed["details"]): Deed => ({
  operation,
  resourceType: "budget",
  resourceId: `${scope} ${unit}`,
  details: { scope, unit, ...details }
})

/** A command with its cause, or the cause and why it is none. */
export interface Asked {
  readonly cause: Cause
  readonly command: Result.Result<Command, Refusal>
}

export const create = (cause: Cause, budget: BudgetOptions, now: number): Asked => {
  const { allocated, overagePolicy, overdraftLimit, scope, status } = budget
  const audited = {
    ...cause,
    deed: deedOf("createBudget", scope, allocated.unit, {
      allocated: allocated.amount,
      overdraft_limit: overdraftLimit?.amount,
      commit_overage_policy: overagePolicy,
      status
    })
  }
  return {
    cause: audited,
    command: Result.map(
      budgetRow(cause.tenant, TimeOrderedId.make(now), budget),
      (row): Command => ({ _tag: "CreateBudget", cause: audited, budget: row })
    )
  }
}

export const fund = (cause: Cause, request: FundRequest): Asked => {
  const { amount, idempotencyKey, operation, scope, spent } = request
  const audited = {
    ...cause,
    deed: deedOf("fundBudget", scope, amount.unit, {
      operation,
      amount: amount.amount,
      spent: spent?.amount,
      reason: request.reason,
      idempotency_key: idempotencyKey
    })
  }
  const refuse = (refusal: Refusal): Asked => ({ cause: audited, command: Result.fail(refusal) })
  const parsed = ScopePath.parse(cause.tenant, scope)
  if (Result.isFailure(parsed)) return refuse(parsed.failure)
  const flaw = flaws.fund(request)
  if (flaw !== undefined) return refuse({ code: "INVALID_REQUEST", ...flaw })
  return {
    cause: audited,
    command: Result.succeed({
      _tag: "Fund",
      cause: audited,
      record: recordKey(cause.tenant, "fund", `${scope} ${amount.unit} ${idempotencyKey}`),
      digest: CanonicalJson.digest(request),
      request
    })
  }
}

export const update = (
  cause: Cause,
  request: UpdateRequest,
  now: number,
  operation = "updateBudget"
): Asked => {
  const { overagePolicy, overdraftLimit, reason, scope, status, unit } = request
  const audited = {
    ...cause,
    deed: deedOf(operation, scope, unit, {
      status,
      overdraft_limit: overdraftLimit?.amount,
      commit_overage_policy: overagePolicy,
      reason
    })
  }
  // The key is the command's own: when the answer of its transaction is lost, it is run again and finds what it did.
  const record = recordKey(cause.tenant, "updateBudget", TimeOrderedId.make(now))
  const flaw = flawedUpdate(cause.tenant, request)
  return {
    cause: audited,
    command: flaw === undefined
      ? Result.map(
        LimitShape.parse(request.limits, unit),
        (limits): Command => ({ _tag: "UpdateBudget", cause: audited, record, digest: "", request, limits })
      )
      : Result.fail(flaw)
  }
}

export const read = (cause: Cause, scope: string, unit: Unit): Result.Result<Command, Refusal> =>
  Result.map(
    ScopePath.parse(cause.tenant, scope),
    (): Command => ({ _tag: "Govern", cause, order: { _tag: "ReadBudget", scope, unit } })
  )

export const readLimits = (cause: Cause, scope: string, unit: Unit): Result.Result<Command, Refusal> =>
  Result.map(
    ScopePath.parse(cause.tenant, scope),
    (): Command => ({ _tag: "ReadLimits", cause, scope, unit })
  )
