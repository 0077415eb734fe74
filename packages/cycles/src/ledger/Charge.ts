/**
 * The arithmetic of a charge: what is billed, and from where, when more was used than was held.
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `CommitOveragePolicy`. Its overdraft text adds the whole overage to debt;
 * here the part that budget covers is spent and only the rest becomes debt, as its definition of debt says.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { MAX_INT64, MIN_INT64 } from "../protocol/Amount.ts"
import type { OveragePolicy } from "../protocol/OveragePolicy.ts"
import type { BudgetRow } from "./Model.ts"
import { remaining } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"

/**
 * What was billed, and the budgets after it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Charged {
  readonly charged: bigint
  readonly after: ReadonlyArray<BudgetRow>
}

const atLeastZero = (n: bigint): bigint => n > 0n ? n : 0n
const min = (a: bigint, b: bigint): bigint => a < b ? a : b

/**
 * Whether every figure of a budget is an int64; a change that would leave that range is refused, never wrapped.
 *
 * @category predicates
 * @since 0.1.0
 */
export const fits = (row: BudgetRow): boolean =>
  row.allocated <= MAX_INT64 && row.spent <= MAX_INT64 && row.reserved <= MAX_INT64 && row.debt <= MAX_INT64 &&
  remaining(row) >= MIN_INT64

/**
 * Ends a hold of `held` on every row and bills `actual`, or refuses and changes nothing.
 *
 * A debit without a hold has `held` 0. The policy REJECT is a question of admission and is settled by the caller; here it bills
 * in full.
 *
 * @category combinators
 * @since 0.1.0
 */
export const charge = (
  rows: ReadonlyArray<BudgetRow>,
  held: bigint,
  actual: bigint,
  policy: OveragePolicy
): Result.Result<Charged, Refusal> => {
  const over = atLeastZero(actual - held)
  const billedOver = over === 0n ? 0n : billable(rows, over, policy)
  const after: Array<BudgetRow> = []
  for (const row of rows) {
    const left = remaining(row)
    const funded = policy === "ALLOW_WITH_OVERDRAFT" ? min(billedOver, atLeastZero(left)) : billedOver
    const deficit = billedOver - funded
    if (deficit > 0n && row.debt + deficit > row.overdraftLimit) {
      return Result.fail({
        code: "OVERDRAFT_LIMIT_EXCEEDED",
        scope: row.scope,
        unit: row.unit,
        requested: deficit,
        remaining: row.overdraftLimit - row.debt,
        reason: "the debt would exceed the overdraft limit"
      })
    }
    const fellShort = billedOver < over && left < over &&
      (policy === "ALLOW_IF_AVAILABLE" || row.overdraftLimit === 0n)
    after.push({
      ...row,
      reserved: row.reserved - held,
      spent: row.spent + min(actual, held) + funded,
      debt: row.debt + deficit,
      capped: row.capped || fellShort
    })
  }
  const outOfRange = after.find((row) => !fits(row))
  if (outOfRange !== undefined) {
    return Result.fail({
      code: "INVALID_REQUEST",
      field: "actual",
      scope: outOfRange.scope,
      unit: outOfRange.unit,
      requested: actual,
      reason: "the budget's figures would leave the range of an int64"
    })
  }
  return Result.succeed({ charged: min(actual, held) + billedOver, after })
}

/** How much of an overage can be billed: one figure for all scopes, so that they stay in step. */
const billable = (rows: ReadonlyArray<BudgetRow>, over: bigint, policy: OveragePolicy): bigint => {
  let billed = over
  for (const row of rows) {
    const left = remaining(row)
    if (left >= over) continue
    if (policy === "ALLOW_IF_AVAILABLE" || (policy === "ALLOW_WITH_OVERDRAFT" && row.overdraftLimit === 0n)) {
      billed = min(billed, atLeastZero(left))
    }
  }
  return billed
}
