/**
 * What a ledger keeps: budgets, reservations, idempotency records and entries. Rows are immutable values; a change is a new
 * row in place of the old.
 *
 * @since 0.1.0
 */
import type { Action } from "../protocol/Action.ts"
import type { AnyAmount, Unit } from "../protocol/Amount.ts"
import type { Balance } from "../protocol/Balance.ts"
import type { Caps } from "../protocol/Caps.ts"
import type { DecideReply } from "../protocol/Decide.ts"
import type { EventReply } from "../protocol/Event.ts"
import type { ExtendReply } from "../protocol/Extend.ts"
import type { EventId, IdempotencyKey, ReservationId } from "../protocol/Ids.ts"
import type { JsonObject, Metrics } from "../protocol/Metrics.ts"
import type { OveragePolicy } from "../protocol/OveragePolicy.ts"
import type { ReservationStatus } from "../protocol/ReservationRecord.ts"
import type { ReserveReply } from "../protocol/Reserve.ts"
import type { CommitReply, ReleaseReply } from "../protocol/Settle.ts"
import type { Subject } from "../protocol/Subject.ts"

/**
 * `FROZEN` and `CLOSED` budgets refuse holds, events and funding, never the settlement of a hold already given.
 *
 * @category models
 * @since 0.1.0
 */
export type BudgetStatus = "ACTIVE" | "FROZEN" | "CLOSED"

/**
 * One budget: an allocation on a scope in one unit. What remains is derived, see {@link remaining}.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetRow {
  readonly tenant: string
  readonly scope: string
  readonly unit: Unit
  readonly allocated: bigint
  readonly spent: bigint
  readonly reserved: bigint
  readonly debt: bigint
  readonly overdraftLimit: bigint
  /** Set when a charge was capped because less was there; see {@link isOverLimit}. */
  readonly capped: boolean
  readonly status: BudgetStatus
}

/**
 * What new reservations may take: `allocated − spent − reserved − debt`.
 *
 * @category getters
 * @since 0.1.0
 */
export const remaining = (row: BudgetRow): bigint => row.allocated - row.spent - row.reserved - row.debt

/**
 * Whether a budget takes no new reservations until someone reconciles it: a charge was capped, or its debt is above its overdraft
 * limit. Debt where there is no overdraft limit at all is another matter, `DEBT_OUTSTANDING`.
 *
 * Specification: section OVERDRAFT RECONCILIATION, schema `Balance`.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isOverLimit = (row: BudgetRow): boolean =>
  row.capped || (row.overdraftLimit > 0n && row.debt > row.overdraftLimit)

/**
 * One reservation. Times are Unix milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReservationRow {
  readonly id: ReservationId
  readonly tenant: string
  readonly idempotencyKey: IdempotencyKey
  readonly status: ReservationStatus
  readonly subject: Subject
  readonly action: Action
  readonly estimate: AnyAmount
  /** Every scope of the subject, widest first. */
  readonly scopes: ReadonlyArray<string>
  /** Those of them that had a budget when the hold was taken; the set its settlement works on. */
  readonly budgeted: ReadonlyArray<string>
  readonly overagePolicy: OveragePolicy
  readonly createdAtMs: number
  readonly expiresAtMs: number
  readonly gracePeriodMs: number
  readonly extensions: number
  readonly caps: Caps | undefined
  readonly metadata: JsonObject | undefined
  readonly charged: AnyAmount | undefined
  readonly metrics: Metrics | undefined
  readonly committedMetadata: JsonObject | undefined
  readonly finalizedAtMs: number | undefined
}

/**
 * The last moment a commit or release of a reservation is taken; after it the hold is due to expire.
 *
 * @category getters
 * @since 0.1.0
 */
export const deadline = (row: ReservationRow): number => row.expiresAtMs + row.gracePeriodMs

/**
 * The operations that remember what they answered.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = "decide" | "reserve" | "commit" | "release" | "extend" | "event" | "fund"

/**
 * What a funding operation answers: the budget before and after.
 *
 * @category models
 * @since 0.1.0
 */
export interface FundReply {
  readonly previous: Balance
  readonly balance: Balance
}

/**
 * A reply that is kept to be given again.
 *
 * @category models
 * @since 0.1.0
 */
export type Reply = DecideReply | ReserveReply | CommitReply | ReleaseReply | ExtendReply | EventReply | FundReply

/**
 * Names an idempotency record: the tenant, the operation and the key, and the three as one text.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordKey {
  readonly id: string
  readonly tenant: string
  readonly operation: Operation
  readonly key: string
}

/**
 * Names the record of a key.
 *
 * @category constructors
 * @since 0.1.0
 */
export const recordKey = (tenant: string, operation: Operation, key: string): RecordKey => ({
  id: `${tenant}/${operation}/${key}`,
  tenant,
  operation,
  key
})

/**
 * Remembers that a key was used: for what payload, and what was answered.
 *
 * @category models
 * @since 0.1.0
 */
export interface IdempotencyRow extends RecordKey {
  readonly digest: string
  readonly reply: Reply
  /** The reservation the reply is about, where there is one. */
  readonly reservationId: ReservationId | undefined
  /** Unix milliseconds until which the record is kept at least. */
  readonly keepUntilMs: number
}

/**
 * What kind of change an entry records.
 *
 * @category models
 * @since 0.1.0
 */
export type EntryKind =
  | "RESERVE"
  | "COMMIT"
  | "RELEASE"
  | "EXTEND"
  | "EXPIRE"
  | "EVENT"
  | "CREATE"
  | "UPDATE"
  | "CREDIT"
  | "DEBIT"
  | "RESET"
  | "RESET_SPENT"
  | "REPAY_DEBT"

/**
 * One budget before and after a change; `before` is absent when the budget was created.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetChange {
  readonly before: BudgetRow | undefined
  readonly after: BudgetRow
}

/**
 * One change to a tenant's ledger, never altered once written. Entries are numbered from 1 per tenant without gaps, and
 * folding them gives the balances.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly tenant: string
  readonly number: number
  readonly atMs: number
  readonly kind: EntryKind
  /** Who caused it, as named by the principal; `system` for expiry. */
  readonly actor: string
  readonly reservationId: ReservationId | undefined
  readonly eventId: EventId | undefined
  readonly action: Action | undefined
  readonly metrics: Metrics | undefined
  readonly requestId: string | undefined
  readonly traceId: string | undefined
  readonly changes: ReadonlyArray<BudgetChange>
}

/**
 * One tenant: the time of its last change, so that time never runs backwards for it, and the number of its last entry.
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantRow {
  readonly tenant: string
  readonly lastTimeMs: number
  readonly lastEntry: number
}
