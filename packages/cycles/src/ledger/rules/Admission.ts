/**
 * Whether budgets admit a hold, and taking it: decide and reserve.
 *
 * @internal
 */
import * as Result from "effect/Result"
import type { AnyAmount, Unit } from "../../protocol/Amount.ts"
import type { DecideReply } from "../../protocol/Decide.ts"
import type { KnownReason } from "../../protocol/Decision.ts"
import type { ReserveReply } from "../../protocol/Reserve.ts"
import { DEFAULT_GRACE_PERIOD_MS } from "../../protocol/Reserve.ts"
import type { BudgetRow, ReservationRow } from "../Model.ts"
import { deadline, isOverLimit, remaining } from "../Model.ts"
import type { Refusal } from "../Refusal.ts"
import type { View } from "../View.ts"
import type { BudgetChange, Command, Verdict } from "./Command.ts"
import * as Limits from "./Limits.ts"
import { allowed, overageOf, termsOf, ttlOf } from "./Policies.ts"
import { balanceOf } from "./Showing.ts"
import { done, KEEP_MS, nothing, refused, replay, shown } from "./Verdict.ts"

/** The budgets of the path that are kept in the unit, widest first, or why there are none. */
export const budgetsFor = (
  view: View,
  scopes: ReadonlyArray<string>,
  unit: Unit
): Result.Result<ReadonlyArray<BudgetRow>, Refusal> => {
  const rows: Array<BudgetRow> = []
  for (const scope of scopes) {
    const row = view.budget(scope, unit)
    if (row !== undefined) rows.push(row)
    // A budget that was not looked for must not pass for one that is not there.
    else if (!view.knowsScope(scope)) throw new Error(`the budgets of ${scope} were not loaded`)
  }
  if (rows.length > 0) return Result.succeed(rows)
  const other = scopes.find((scope) => view.budgetsAt(scope).length > 0)
  const deepest = scopes[scopes.length - 1] ?? ""
  return Result.fail(
    other === undefined
      ? { code: "BUDGET_NOT_FOUND", scope: deepest, unit, reason: `Budget not found for provided scope: ${deepest}` }
      : {
        code: "UNIT_MISMATCH",
        scope: other,
        unit,
        expectedUnits: view.budgetsAt(other).map((row) => row.unit),
        reason: `there is no budget in ${unit}`
      }
  )
}

/** Whether a budget's status lets anything new be taken from it. A status this version does not know lets nothing. */
export const blocked = (row: BudgetRow): Refusal | undefined =>
  row.status === "ACTIVE"
    ? undefined
    : { code: row.status === "FROZEN" ? "BUDGET_FROZEN" : "BUDGET_CLOSED", scope: row.scope, unit: row.unit }

const admit = (view: View, row: BudgetRow, estimate: bigint, now: number): Refusal | undefined => {
  const at = { scope: row.scope, unit: row.unit, requested: estimate, remaining: remaining(row) }
  const status = blocked(row)
  if (status !== undefined) return status
  if (isOverLimit(row)) return { code: "OVERDRAFT_LIMIT_EXCEEDED", ...at }
  if (row.debt > 0n && row.overdraftLimit === 0n) return { code: "DEBT_OUTSTANDING", ...at }
  if (at.remaining < estimate) return { code: "BUDGET_EXCEEDED", ...at }
  return row.limits.length === 0 ? undefined : Limits.refuses(view, row, estimate, now)
}

const evaluate = (
  view: View,
  scopes: ReadonlyArray<string>,
  estimate: AnyAmount,
  now: number
): Result.Result<ReadonlyArray<BudgetRow>, Refusal> => {
  const found = budgetsFor(view, scopes, estimate.unit)
  if (Result.isFailure(found)) return found
  for (const row of found.success) {
    const refusal = admit(view, row, estimate.amount, now)
    if (refusal !== undefined) return Result.fail(refusal)
  }
  return found
}

const isDenial = (code: Refusal["code"]): code is Refusal["code"] & KnownReason =>
  code !== "UNIT_MISMATCH" && code !== "INVALID_REQUEST" && code !== "LIMIT_EXCEEDED"

const askAgain = ({ retryAfterMs }: Refusal): { readonly retryAfterMs?: number } =>
  retryAfterMs === undefined ? nothing : { retryAfterMs }

/** Specification: operation `decide`. */
export const decideDecide = (view: View, command: Command & { readonly _tag: "Decide" }, now: number): Verdict => {
  const { request, scopes } = command
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const terms = termsOf(view, command, now)
  const evaluated = terms?.refusal === undefined
    ? evaluate(view, scopes, request.estimate, now)
    : Result.fail(terms.refusal)
  if (Result.isFailure(evaluated) && !isDenial(evaluated.failure.code)) return refused(evaluated.failure)
  const reply: DecideReply = Result.isSuccess(evaluated)
    ? { affectedScopes: scopes, ...allowed(terms) }
    : { decision: "DENY", reasonCode: evaluated.failure.code, affectedScopes: scopes, ...askAgain(evaluated.failure) }
  return done(command, reply, undefined, now + KEEP_MS)
}

/** Specification: operation `createReservation`, with DRY-RUN RESPONSE RULES. */
export const decideReserve = (view: View, command: Command & { readonly _tag: "Reserve" }, now: number): Verdict => {
  const { cause, id, request, scopes } = command
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const estimate = request.estimate
  const terms = termsOf(view, command, now)
  const evaluated = terms?.refusal === undefined ? evaluate(view, scopes, estimate, now) : Result.fail(terms.refusal)
  const scopePath = scopes[scopes.length - 1] ?? ""
  if (request.dryRun === true) {
    if (Result.isFailure(evaluated) && !isDenial(evaluated.failure.code)) return refused(evaluated.failure)
    const reply: ReserveReply = Result.isSuccess(evaluated)
      ? {
        affectedScopes: scopes,
        scopePath,
        reserved: estimate,
        ...allowed(terms),
        ...(cause.balances ? { balances: evaluated.success.map(balanceOf) } : nothing)
      }
      : {
        decision: "DENY",
        affectedScopes: scopes,
        scopePath,
        reasonCode: evaluated.failure.code,
        ...askAgain(evaluated.failure)
      }
    return done(command, reply, undefined, now + KEEP_MS)
  }
  if (Result.isFailure(evaluated)) return refused(evaluated.failure)
  const budgets = evaluated.success.map((before): BudgetChange => ({
    before,
    after: { ...before, reserved: before.reserved + estimate.amount }
  }))
  const windows = Limits.hold(view, evaluated.success, estimate.amount, now)
  const policy = terms?.policy
  const profile = view.tenant(cause.tenant)?.profile
  const ttlMs = ttlOf(request.ttlMs, policy, profile)
  const reservation: ReservationRow = {
    id,
    tenant: cause.tenant,
    idempotencyKey: request.idempotencyKey,
    status: "ACTIVE",
    subject: request.subject.tenant === undefined ? { tenant: cause.tenant, ...request.subject } : request.subject,
    action: request.action,
    estimate,
    scopes,
    budgeted: evaluated.success.length === scopes.length ? scopes : evaluated.success.map((row) => row.scope),
    overagePolicy: overageOf(request.overagePolicy, policy, evaluated.success, profile),
    createdAtMs: now,
    expiresAtMs: now + ttlMs,
    gracePeriodMs: request.gracePeriodMs ?? DEFAULT_GRACE_PERIOD_MS,
    extensions: 0,
    maxExtensions: policy?.maxExtensions ?? profile?.maxExtensions,
    caps: terms?.caps,
    policyId: policy?.id,
    windows: windows.map(({ id }) => id),
    metadata: request.metadata,
    charged: undefined,
    metrics: undefined,
    committedMetadata: undefined,
    finalizedAtMs: undefined
  }
  // What is spread stands last: members added to a spread object cost V8 a microsecond each.
  const reply: ReserveReply = {
    reservationId: id,
    reserved: estimate,
    expiresAtMs: reservation.expiresAtMs,
    remainingTtlMs: ttlMs,
    scopePath,
    affectedScopes: scopes,
    ...allowed(terms),
    ...shown(cause, budgets)
  }
  return done(
    command,
    reply,
    {
      kind: "RESERVE",
      budgets,
      reservation,
      counters: terms === undefined ? windows : [...windows, ...terms.counters]
    },
    Math.max(now + KEEP_MS, deadline(reservation)),
    id
  )
}
