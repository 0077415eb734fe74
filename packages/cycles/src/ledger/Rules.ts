/**
 * The rule-book: what every command loads, and what comes of it. Pure: the same view, command and time give the same verdict.
 *
 * A verdict is either a refusal, which changes nothing, or a reply with the change it makes. There are no rules anywhere
 * else; a store only loads and writes rows.
 *
 * The order of refusals, first one wins: the request's shape, the tenant (by id: unknown, then another tenant's), a
 * repeated key, the reservation's state, the unit, the budgets from the widest scope to the narrowest.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { AnyAmount, Unit } from "../protocol/Amount.ts"
import type { Balance } from "../protocol/Balance.ts"
import type { DecideReply, DecideRequest } from "../protocol/Decide.ts"
import type { KnownReason } from "../protocol/Decision.ts"
import type { EventReply, EventRequest } from "../protocol/Event.ts"
import type { ExtendReply, ExtendRequest } from "../protocol/Extend.ts"
import type { EventId, IdempotencyKey, ReservationId } from "../protocol/Ids.ts"
import type { ReservationRecord } from "../protocol/ReservationRecord.ts"
import type { ReserveReply, ReserveRequest } from "../protocol/Reserve.ts"
import { DEFAULT_GRACE_PERIOD_MS, DEFAULT_OVERAGE_POLICY, DEFAULT_TTL_MS } from "../protocol/Reserve.ts"
import type { CommitReply, CommitRequest, ReleaseReply, ReleaseRequest } from "../protocol/Settle.ts"
import * as Charge from "./Charge.ts"
import type {
  BudgetChange,
  BudgetRow,
  BudgetStatus,
  EntryKind,
  FundReply,
  IdempotencyRow,
  RecordKey,
  Reply,
  ReservationRow
} from "./Model.ts"
import { deadline, isOverLimit, remaining } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"
import type { Missing, View } from "./View.ts"

/**
 * A change to a budget that moves no money: its status (a closed one stays closed) or its overdraft limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface UpdateRequest {
  readonly scope: string
  readonly unit: Unit
  readonly status?: BudgetStatus | undefined
  readonly overdraftLimit?: AnyAmount | undefined
}

/**
 * Who asks, and in the course of what.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cause {
  readonly tenant: string
  readonly actor: string
  readonly requestId: string | undefined
  readonly traceId: string | undefined
  /** Whether replies show the budgets after the change. */
  readonly balances: boolean
}

/**
 * How a budget is funded.
 *
 * - `CREDIT`: adds `amount`; outstanding debt is repaid from it first
 * - `DEBIT`: takes `amount` away; refused when less remains
 * - `RESET`: sets the allocation to `amount`; spent, reserved and debt stay
 * - `RESET_SPENT`: a new period: the allocation becomes `amount`, spent becomes `spent` or zero; reserved and debt stay
 * - `REPAY_DEBT`: takes `amount` off the debt; what is above the debt is added to the allocation
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, operation `fundBudget`.
 *
 * @category models
 * @since 0.1.0
 */
export type FundOperation = "CREDIT" | "DEBIT" | "RESET" | "RESET_SPENT" | "REPAY_DEBT"

/**
 * A change to the allocation of one budget. `spent` is for RESET_SPENT only.
 *
 * @category models
 * @since 0.1.0
 */
export interface FundRequest {
  readonly idempotencyKey: IdempotencyKey
  readonly scope: string
  readonly operation: FundOperation
  readonly amount: AnyAmount
  readonly spent?: AnyAmount
}

/** A command that remembers its answer: under which key, and for what payload. */
interface Remembered {
  readonly cause: Cause
  readonly record: RecordKey
  readonly digest: string
}

/**
 * What can be asked of a ledger, checked for shape, with everything that is not a question of rules already chosen: ids,
 * digests, scopes.
 *
 * @category models
 * @since 0.1.0
 */
export type Command =
  | Remembered & { readonly _tag: "Decide"; readonly request: DecideRequest; readonly scopes: ReadonlyArray<string> }
  | Remembered & {
    readonly _tag: "Reserve"
    readonly request: ReserveRequest
    readonly scopes: ReadonlyArray<string>
    readonly id: ReservationId
  }
  | Remembered & { readonly _tag: "Commit"; readonly id: ReservationId; readonly request: CommitRequest }
  | Remembered & { readonly _tag: "Release"; readonly id: ReservationId; readonly request: ReleaseRequest }
  | Remembered & {
    readonly _tag: "Extend"
    readonly id: ReservationId
    readonly request: ExtendRequest
    readonly maxExtensions: number
  }
  | Remembered & {
    readonly _tag: "Event"
    readonly request: EventRequest
    readonly scopes: ReadonlyArray<string>
    readonly id: EventId
  }
  | Remembered & { readonly _tag: "Fund"; readonly request: FundRequest }
  | { readonly _tag: "Read"; readonly cause: Cause; readonly id: ReservationId }
  | { readonly _tag: "CreateBudget"; readonly cause: Cause; readonly budget: BudgetRow }
  | { readonly _tag: "UpdateBudget"; readonly cause: Cause; readonly request: UpdateRequest }
  | { readonly _tag: "Sweep"; readonly cause: Cause }

/**
 * What a command changes: each row once, in its new state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
  readonly kind: EntryKind
  readonly budgets: ReadonlyArray<BudgetChange>
  readonly reservation?: ReservationRow
  readonly eventId?: EventId
}

/**
 * What comes of a command.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict =
  | {
    readonly _tag: "Done"
    readonly reply: Reply | ReservationRecord | Balance | undefined
    readonly change: Change | undefined
    readonly record: IdempotencyRow | undefined
  }
  | { readonly _tag: "Refused"; readonly refusal: Refusal }

const refused = (refusal: Refusal): Verdict => ({ _tag: "Refused", refusal })

const DAY_MS = 86_400_000

/** Keys of settlements and events outlive any sensible retry; the others cover a day of them. */
const KEEP_SETTLED_MS = 30 * DAY_MS
const KEEP_MS = DAY_MS

/**
 * Asks for what a command needs to see and the view does not have. Asked again once those rows are there, since some rows name
 * others.
 *
 * @category combinators
 * @since 0.1.0
 */
export const keys = (command: Command, view: View, missing: Missing): void => {
  switch (command._tag) {
    case "Decide":
    case "Event":
      missing.record(command.record)
      for (const scope of command.scopes) missing.scope(scope)
      return
    case "Reserve": {
      missing.record(command.record)
      const first = view.record(command.record)?.reservationId
      if (first !== undefined) missing.reservation(first)
      for (const scope of command.scopes) missing.scope(scope)
      return
    }
    case "Commit":
    case "Release":
    case "Extend": {
      missing.record(command.record)
      missing.reservation(command.id)
      const reservation = view.reservation(command.id)
      if (reservation !== undefined) { for (const scope of reservation.budgeted) missing.scope(scope) }
      return
    }
    case "Fund":
      missing.record(command.record)
      missing.scope(command.request.scope)
      return
    case "Read":
      missing.reservation(command.id)
      return
    case "CreateBudget":
      missing.scope(command.budget.scope)
      return
    case "UpdateBudget":
      missing.scope(command.request.scope)
      return
    case "Sweep":
      return
  }
}

/**
 * What comes of a command at a time. The tenant's due reservations have been expired before.
 *
 * @category combinators
 * @since 0.1.0
 */
export const decide = (view: View, command: Command, now: number): Verdict => {
  switch (command._tag) {
    case "Decide":
      return decideDecide(view, command, now)
    case "Reserve":
      return decideReserve(view, command, now)
    case "Commit":
      return decideCommit(view, command, now)
    case "Release":
      return decideRelease(view, command, now)
    case "Extend":
      return decideExtend(view, command, now)
    case "Event":
      return decideEvent(view, command, now)
    case "Read":
      return decideRead(view, command)
    case "CreateBudget":
      return decideCreate(view, command)
    case "UpdateBudget":
      return decideUpdate(view, command)
    case "Fund":
      return decideFund(view, command, now)
    case "Sweep":
      return { _tag: "Done", reply: undefined, change: undefined, record: undefined }
  }
}

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
  reservation: { ...row, status: "EXPIRED" }
})

// ---------------------------------------------------------------------------------------------------------------------
// repeated keys
// ---------------------------------------------------------------------------------------------------------------------

/** The first reply again, a refusal for another payload under the same key, or nothing for a new key. */
const replay = (view: View, command: Remembered, now: number): Verdict | undefined => {
  const record = view.record(command.record)
  if (record === undefined) return undefined
  if (record.digest !== command.digest) {
    return refused({
      code: "IDEMPOTENCY_MISMATCH",
      reason: `key "${record.key}" was used for another ${record.operation}`
    })
  }
  return { _tag: "Done", reply: observed(view, record, now), change: undefined, record: undefined }
}

/** A kept reply is given again to the letter, but for what is left of the lease, which is as of now. */
const observed = (view: View, record: IdempotencyRow, now: number): Reply => {
  const reply = record.reply
  if (record.reservationId === undefined || !("remainingTtlMs" in reply) || reply.expiresAtMs === undefined) {
    return reply
  }
  const active = view.reservation(record.reservationId)?.status === "ACTIVE"
  return { ...reply, remainingTtlMs: active ? Math.max(0, reply.expiresAtMs - now) : 0 }
}

const done = (
  command: Remembered,
  reply: Reply,
  change: Change | undefined,
  keepUntilMs: number,
  reservationId?: ReservationId
): Verdict => {
  const { id, key, operation, tenant } = command.record
  return {
    _tag: "Done",
    reply,
    change,
    record: { id, tenant, operation, key, digest: command.digest, reply, reservationId, keepUntilMs }
  }
}

/** The budgets after a change, for a reply; left out where the principal does not want them. */
const shown = (cause: Cause, budgets: ReadonlyArray<BudgetChange>): { readonly balances?: ReadonlyArray<Balance> } =>
  cause.balances ? { balances: budgets.map(({ after }) => balanceOf(after)) } : nothing

const nothing = {}

// ---------------------------------------------------------------------------------------------------------------------
// admission
// ---------------------------------------------------------------------------------------------------------------------

/** The budgets of the path that are kept in the unit, widest first, or why there are none. */
const budgetsFor = (
  view: View,
  scopes: ReadonlyArray<string>,
  unit: Unit
): Result.Result<ReadonlyArray<BudgetRow>, Refusal> => {
  const rows: Array<BudgetRow> = []
  for (const scope of scopes) {
    const row = view.budget(scope, unit)
    if (row !== undefined) rows.push(row)
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

/** Whether a budget's status lets anything new be taken from it. */
const blocked = (row: BudgetRow): Refusal | undefined =>
  row.status === "FROZEN"
    ? { code: "BUDGET_FROZEN", scope: row.scope, unit: row.unit }
    : row.status === "CLOSED"
    ? { code: "BUDGET_CLOSED", scope: row.scope, unit: row.unit }
    : undefined

const admit = (row: BudgetRow, estimate: bigint): Refusal | undefined => {
  const at = { scope: row.scope, unit: row.unit, requested: estimate, remaining: remaining(row) }
  const status = blocked(row)
  if (status !== undefined) return status
  if (isOverLimit(row)) return { code: "OVERDRAFT_LIMIT_EXCEEDED", ...at }
  if (row.debt > 0n && row.overdraftLimit === 0n) return { code: "DEBT_OUTSTANDING", ...at }
  return at.remaining < estimate ? { code: "BUDGET_EXCEEDED", ...at } : undefined
}

const evaluate = (
  view: View,
  scopes: ReadonlyArray<string>,
  estimate: AnyAmount
): Result.Result<ReadonlyArray<BudgetRow>, Refusal> => {
  const found = budgetsFor(view, scopes, estimate.unit)
  if (Result.isFailure(found)) return found
  for (const row of found.success) {
    const refusal = admit(row, estimate.amount)
    if (refusal !== undefined) return Result.fail(refusal)
  }
  return found
}

const isDenial = (code: Refusal["code"]): code is Refusal["code"] & KnownReason =>
  code !== "UNIT_MISMATCH" && code !== "INVALID_REQUEST"

// ---------------------------------------------------------------------------------------------------------------------
// decide, reserve
// ---------------------------------------------------------------------------------------------------------------------

/** Specification: operation `decide`. */
const decideDecide = (view: View, command: Command & { readonly _tag: "Decide" }, now: number): Verdict => {
  const { request, scopes } = command
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const evaluated = evaluate(view, scopes, request.estimate)
  if (Result.isFailure(evaluated) && !isDenial(evaluated.failure.code)) return refused(evaluated.failure)
  const reply: DecideReply = Result.isSuccess(evaluated)
    ? { decision: "ALLOW", affectedScopes: scopes }
    : { decision: "DENY", reasonCode: evaluated.failure.code, affectedScopes: scopes }
  return done(command, reply, undefined, now + KEEP_MS)
}

/** Specification: operation `createReservation`, with DRY-RUN RESPONSE RULES. */
const decideReserve = (view: View, command: Command & { readonly _tag: "Reserve" }, now: number): Verdict => {
  const { cause, id, request, scopes } = command
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const estimate = request.estimate
  const evaluated = evaluate(view, scopes, estimate)
  const scopePath = scopes[scopes.length - 1] ?? ""
  if (request.dryRun === true) {
    if (Result.isFailure(evaluated) && !isDenial(evaluated.failure.code)) return refused(evaluated.failure)
    const reply: ReserveReply = Result.isSuccess(evaluated)
      ? {
        decision: "ALLOW",
        affectedScopes: scopes,
        scopePath,
        reserved: estimate,
        ...(cause.balances ? { balances: evaluated.success.map(balanceOf) } : nothing)
      }
      : { decision: "DENY", affectedScopes: scopes, scopePath, reasonCode: evaluated.failure.code }
    return done(command, reply, undefined, now + KEEP_MS)
  }
  if (Result.isFailure(evaluated)) return refused(evaluated.failure)
  const budgets = evaluated.success.map((before): BudgetChange => ({
    before,
    after: { ...before, reserved: before.reserved + estimate.amount }
  }))
  const ttlMs = request.ttlMs ?? DEFAULT_TTL_MS
  const reservation: ReservationRow = {
    id,
    tenant: cause.tenant,
    idempotencyKey: request.idempotencyKey,
    status: "ACTIVE",
    subject: request.subject.tenant === undefined ? { tenant: cause.tenant, ...request.subject } : request.subject,
    action: request.action,
    estimate,
    scopes,
    budgeted: evaluated.success.map((row) => row.scope),
    overagePolicy: request.overagePolicy ?? DEFAULT_OVERAGE_POLICY,
    createdAtMs: now,
    expiresAtMs: now + ttlMs,
    gracePeriodMs: request.gracePeriodMs ?? DEFAULT_GRACE_PERIOD_MS,
    extensions: 0,
    caps: undefined,
    metadata: request.metadata,
    charged: undefined,
    metrics: undefined,
    committedMetadata: undefined,
    finalizedAtMs: undefined
  }
  const reply: ReserveReply = {
    decision: "ALLOW",
    reservationId: id,
    reserved: estimate,
    expiresAtMs: reservation.expiresAtMs,
    remainingTtlMs: ttlMs,
    scopePath,
    affectedScopes: scopes,
    ...shown(cause, budgets)
  }
  return done(
    command,
    reply,
    { kind: "RESERVE", budgets, reservation },
    Math.max(now + KEEP_MS, deadline(reservation)),
    id
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// commit, release, extend
// ---------------------------------------------------------------------------------------------------------------------

/** The caller's reservation, or why not: unknown first, another tenant's next. */
const owned = (view: View, cause: Cause, id: ReservationId): Result.Result<ReservationRow, Refusal> => {
  const row = view.reservation(id)
  if (row === undefined) return Result.fail({ code: "NOT_FOUND", reason: `there is no reservation ${id}` })
  if (row.tenant !== cause.tenant) {
    return Result.fail({ code: "FORBIDDEN", reason: "the reservation belongs to another tenant" })
  }
  return Result.succeed(row)
}

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
const decideCommit = (view: View, command: Command & { readonly _tag: "Commit" }, now: number): Verdict => {
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
      reason: "more was used than reserved, and the overage policy is REJECT"
    })
  }
  const charged = Charge.charge(rows, held, actual.amount, row.overagePolicy)
  if (Result.isFailure(charged)) return refused(charged.failure)
  const billed = charged.success.charged
  const budgets = changes(rows, charged.success.after)
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
  return done(command, reply, { kind: "COMMIT", budgets, reservation }, now + KEEP_SETTLED_MS, id)
}

/** Specification: operation `releaseReservation`. */
const decideRelease = (view: View, command: Command & { readonly _tag: "Release" }, now: number): Verdict => {
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
  return done(command, reply, { kind: "RELEASE", budgets, reservation }, now + KEEP_SETTLED_MS, id)
}

/** Specification: operation `extendReservation`. Grace is for settling, not for extending. */
const decideExtend = (view: View, command: Command & { readonly _tag: "Extend" }, now: number): Verdict => {
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
  if (row.extensions >= maxExtensions) {
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

// ---------------------------------------------------------------------------------------------------------------------
// event
// ---------------------------------------------------------------------------------------------------------------------

/** Specification: operation `createEvent`. Debt and an over-limit flag do not refuse what has already happened. */
const decideEvent = (view: View, command: Command & { readonly _tag: "Event" }, now: number): Verdict => {
  const { cause, id, request, scopes } = command
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const { actual } = request
  const policy = request.overagePolicy ?? DEFAULT_OVERAGE_POLICY
  const found = budgetsFor(view, scopes, actual.unit)
  if (Result.isFailure(found)) return refused(found.failure)
  const rows = found.success
  for (const row of rows) {
    const status = blocked(row)
    if (status !== undefined) return refused(status)
    if (policy === "REJECT" && remaining(row) < actual.amount) {
      return refused({
        code: "BUDGET_EXCEEDED",
        scope: row.scope,
        unit: row.unit,
        requested: actual.amount,
        remaining: remaining(row)
      })
    }
  }
  const charged = Charge.charge(rows, 0n, actual.amount, policy)
  if (Result.isFailure(charged)) return refused(charged.failure)
  const billed = charged.success.charged
  const budgets = changes(rows, charged.success.after)
  const reply: EventReply = {
    status: "APPLIED",
    eventId: id,
    ...(billed < actual.amount ? { charged: { unit: actual.unit, amount: billed } } : undefined),
    ...shown(cause, budgets)
  }
  return done(command, reply, { kind: "EVENT", budgets, eventId: id }, now + KEEP_SETTLED_MS)
}

// ---------------------------------------------------------------------------------------------------------------------
// reading one reservation
// ---------------------------------------------------------------------------------------------------------------------

/** Specification: operation `getReservation`. */
const decideRead = (view: View, command: Command & { readonly _tag: "Read" }): Verdict => {
  const found = owned(view, command.cause, command.id)
  if (Result.isFailure(found)) return refused(found.failure)
  const row = found.success
  if (row.status === "EXPIRED") {
    return refused({ code: "RESERVATION_EXPIRED", reason: `its lease ended at ${row.expiresAtMs}` })
  }
  return {
    _tag: "Done",
    reply: recordOf(row, new Set(["metadata", "committed_metadata"])),
    change: undefined,
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

// ---------------------------------------------------------------------------------------------------------------------
// budgets themselves
// ---------------------------------------------------------------------------------------------------------------------

const changes = (before: ReadonlyArray<BudgetRow>, after: ReadonlyArray<BudgetRow>): ReadonlyArray<BudgetChange> =>
  after.map((row, i) => ({ before: before[i], after: row }))

const decideCreate = (view: View, command: Command & { readonly _tag: "CreateBudget" }): Verdict => {
  const { budget } = command
  if (view.budget(budget.scope, budget.unit) !== undefined) {
    return refused({
      code: "INVALID_REQUEST",
      field: "scope",
      scope: budget.scope,
      unit: budget.unit,
      reason: "there is already a budget on this scope in this unit"
    })
  }
  return {
    _tag: "Done",
    reply: balanceOf(budget),
    change: { kind: "CREATE", budgets: [{ before: undefined, after: budget }] },
    record: undefined
  }
}

const noBudget = (scope: string, unit: Unit): Verdict =>
  refused({ code: "BUDGET_NOT_FOUND", scope, unit, reason: `Budget not found for provided scope: ${scope}` })

const decideUpdate = (view: View, command: Command & { readonly _tag: "UpdateBudget" }): Verdict => {
  const { overdraftLimit, scope, status, unit } = command.request
  const before = view.budget(scope, unit)
  if (before === undefined) return noBudget(scope, unit)
  if (before.status === "CLOSED") return refused({ code: "BUDGET_CLOSED", scope, unit })
  const after: BudgetRow = {
    ...before,
    status: status ?? before.status,
    overdraftLimit: overdraftLimit?.amount ?? before.overdraftLimit
  }
  return {
    _tag: "Done",
    reply: balanceOf(after),
    change: { kind: "UPDATE", budgets: [{ before, after }] },
    record: undefined
  }
}

/** Source: `cycles-governance-admin-v0.1.25.yaml`, operation `fundBudget`; debt first, as `cycles-protocol-v0.yaml` demands. */
const decideFund = (view: View, command: Command & { readonly _tag: "Fund" }, now: number): Verdict => {
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
      reason: "a debit cannot take what is not there"
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
  return done(command, reply, { kind: request.operation, budgets: [{ before, after }] }, now + KEEP_MS)
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
