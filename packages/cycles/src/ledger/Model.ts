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
 * What a budget stands at: the figures its entries record, and whose fold they are.
 *
 * @category models
 * @since 0.1.0
 */
export interface Figures {
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
  /** The number of the last entry that changed the budget; following it from `before` to `before` gives its history. */
  readonly lastEntry: number
}

/**
 * The stretch of time a limit counts in.
 *
 * - `calendar`: the day, week (from Monday) or month of a time zone, an IANA name such as `Europe/Berlin`
 * - `rolling`: the last `lengthMs` milliseconds
 *
 * @category models
 * @since 0.1.0
 */
export type Window =
  | { readonly _tag: "calendar"; readonly every: "day" | "week" | "month"; readonly timeZone: string }
  | { readonly _tag: "rolling"; readonly lengthMs: number }

/**
 * A limit on what may be spent from a budget within a window of time. Its counters are {@link CounterRow}s.
 *
 * - `amount`: in the budget's unit
 * - `rollover`: how much of an unused window at most is added to the next one; nothing when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Limit {
  readonly id: string
  readonly window: Window
  readonly amount: bigint
  readonly rollover: bigint | undefined
}

/**
 * How fast a budget is spent, in windows of a fixed length counted from the epoch. Twelve windows are a dozen.
 *
 * - `window`: the number of the window of the last charge
 * - `spent`: what that window has seen so far
 * - `dozen`: what the earlier windows of its dozen saw
 * - `dozenBefore`: what the dozen before saw
 *
 * @category models
 * @since 0.1.0
 */
export interface Pace {
  readonly window: number
  readonly spent: bigint
  readonly dozen: bigint
  readonly dozenBefore: bigint
}

/**
 * What is said of a budget's period: kept and shown. No period begins by itself; whoever begins one does so by RESET_SPENT, and what a
 * limit counts in is a window.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetPeriod {
  readonly rollover: "NONE" | "CARRY_FORWARD" | "CAP_AT_ALLOCATED" | undefined
  /** Unix milliseconds. */
  readonly startMs: number | undefined
  /** Unix milliseconds. */
  readonly endMs: number | undefined
}

/**
 * One budget: an allocation on a scope in one unit, and its limits. What remains is derived, see {@link remaining}.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetRow extends Figures {
  /** Chosen by whoever opened it, so that opening it twice by the same command is opening it once. */
  readonly id: string
  readonly limits: ReadonlyArray<Limit>
  /** The overage policy of holds on this budget that name none; the tenant's when not given. */
  readonly overagePolicy: OveragePolicy | undefined
  readonly period: BudgetPeriod | undefined
  readonly metadata: JsonObject | undefined
  readonly createdAtMs: number
  readonly updatedAtMs: number
  /** The number of the event that says why a hold on a path through this budget was last denied. */
  readonly lastDenial: number | undefined
  /** How fast it is spent; not known before the first charge. */
  readonly pace: Pace | undefined
}

/**
 * What new reservations may take: `allocated − spent − reserved − debt`.
 *
 * @category getters
 * @since 0.1.0
 */
export const remaining = (row: Figures): bigint => row.allocated - row.spent - row.reserved - row.debt

/**
 * Whether a budget takes no new reservations until someone reconciles it: a charge was capped, or its debt is above its overdraft
 * limit. Debt where there is no overdraft limit at all is another matter, `DEBT_OUTSTANDING`.
 *
 * Specification: section OVERDRAFT RECONCILIATION, schema `Balance`.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isOverLimit = (row: Figures): boolean =>
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
  /** How often it may be extended, where its tenant or a policy says so. */
  readonly maxExtensions: number | undefined
  readonly caps: Caps | undefined
  /** The policy that applied when the hold was taken. */
  readonly policyId: string | undefined
  /** The counters of the windows the hold counts in, by id: those of its creation, whenever it is settled. */
  readonly windows: ReadonlyArray<string>
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
export type Operation =
  | "decide"
  | "reserve"
  | "commit"
  | "release"
  | "extend"
  | "event"
  | "fund"
  | "updateBudget"
  | "deletePolicy"

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
export type Reply =
  | DecideReply
  | ReserveReply
  | CommitReply
  | ReleaseReply
  | ExtendReply
  | EventReply
  | FundReply
  | PolicyRow

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
  | "OPENING"

/**
 * One budget before and after a change; `before` is absent when the budget was created.
 *
 * @category models
 * @since 0.1.0
 */
export interface FiguresChange {
  readonly before: Figures | undefined
  readonly after: Figures
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
  /** Why, where somebody said: what a release gave as its reason, `tenant_closed` for those of a tenant that was closed. */
  readonly reason: string | undefined
  readonly requestId: string | undefined
  readonly traceId: string | undefined
  readonly changes: ReadonlyArray<FiguresChange>
}

/**
 * What is known of a tenant that was registered. A tenant that was not has budgets and nothing else to say.
 *
 * Times are Unix milliseconds. What the defaults leave out is the protocol's.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `Tenant`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantProfile {
  readonly name: string
  readonly status: "ACTIVE" | "SUSPENDED" | "CLOSED"
  readonly parent: string | undefined
  readonly overagePolicy: OveragePolicy | undefined
  readonly defaultTtlMs: number | undefined
  readonly maxTtlMs: number | undefined
  readonly maxExtensions: number | undefined
  /** What is said of holds whose lease has ended; both are what the ledger does. */
  readonly expiryPolicy: "AUTO_RELEASE" | "GRACE_ONLY" | undefined
  readonly metadata: JsonObject | undefined
  readonly createdAtMs: number
  readonly updatedAtMs: number
  readonly suspendedAtMs: number | undefined
  readonly closedAtMs: number | undefined
}

/**
 * One tenant: the time of its last change, so that time never runs backwards for it, and the numbers of its last entry, event
 * and act.
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantRow {
  readonly tenant: string
  readonly lastTimeMs: number
  readonly lastEntry: number
  readonly lastEvent: number
  /** The last event that was handed on; those above it wait in the outbox. */
  readonly deliveredEvent: number
  readonly lastAct: number
  /** Which batch of which ledger changed the row last: one whose commit was not heard of finds its own name here, or not. */
  readonly lastBatch: string | undefined
  readonly profile: TenantProfile | undefined
}

/**
 * A tenant nothing is known of yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const emptyTenant = (tenant: string): TenantRow => ({
  tenant,
  lastTimeMs: 0,
  lastEntry: 0,
  lastEvent: 0,
  deliveredEvent: 0,
  lastAct: 0,
  lastBatch: undefined,
  profile: undefined
})

/**
 * A count within a tenant: of what a window has seen, of requests in a minute, of steps in a run, of what was spent in an hour.
 * The id says which and of what time; rows past `keepUntilMs` are dropped.
 *
 * @category models
 * @since 0.1.0
 */
export interface CounterRow {
  readonly tenant: string
  readonly id: string
  /** What is used up for good. */
  readonly used: bigint
  /** What open holds may still use. */
  readonly held: bigint
  /** What was carried over from the window before. */
  readonly carried: bigint
  readonly keepUntilMs: number
}

/**
 * A key a caller authenticates with. The secret itself is never kept, only its HMAC under the server's pepper, in hex.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `ApiKey`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyRow {
  readonly _tag: "api_key"
  readonly tenant: string
  readonly id: string
  readonly prefix: string
  readonly hash: string
  readonly status: "ACTIVE" | "REVOKED"
  readonly name: string
  readonly description: string | undefined
  readonly permissions: ReadonlyArray<string>
  /** Scopes the key is restricted to; none means all of its tenant's. */
  readonly scopeFilter: ReadonlyArray<string>
  readonly metadata: JsonObject | undefined
  readonly createdAtMs: number
  readonly expiresAtMs: number
  readonly revokedAtMs: number | undefined
  readonly revokedReason: string | undefined
}

/**
 * What a budget's state does to the caps of an ALLOW: below `belowShare` of the allocation (0 to 1) these caps apply too.
 *
 * @category models
 * @since 0.1.0
 */
export interface StateCaps {
  readonly belowShare: number
  readonly caps: Caps
}

/**
 * A rule about the holds of matching scopes.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `Policy`; `cycles-governance-extensions-v0.1.26.yaml`, schema
 * `PolicyExtension`.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyRow {
  readonly _tag: "policy"
  readonly tenant: string
  readonly id: string
  readonly name: string
  readonly description: string | undefined
  readonly scopePattern: string
  readonly priority: number
  readonly status: "ACTIVE" | "DISABLED"
  readonly caps: Caps | undefined
  readonly stateCaps: ReadonlyArray<StateCaps>
  readonly overagePolicy: OveragePolicy | undefined
  readonly defaultTtlMs: number | undefined
  readonly maxTtlMs: number | undefined
  readonly maxExtensions: number | undefined
  readonly maxReservationsPerMinute: number | undefined
  readonly maxCommitsPerMinute: number | undefined
  /** How many holds one run may take: `dimensions.run_id`, else the workflow. */
  readonly maxSteps: number | undefined
  readonly allowedActionKinds: ReadonlyArray<string>
  readonly deniedActionKinds: ReadonlyArray<string>
  readonly effectiveFromMs: number | undefined
  readonly effectiveUntilMs: number | undefined
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/**
 * What is kept of a tenant beside its money, one row each by kind and id.
 *
 * @category models
 * @since 0.1.0
 */
export type Document = ApiKeyRow | PolicyRow

/**
 * Names a document.
 *
 * @category models
 * @since 0.1.0
 */
export interface DocumentKey {
  readonly tenant: string
  readonly kind: Document["_tag"]
  readonly id: string
}

/**
 * A detail of an event or an act: plain values, amounts as `bigint`.
 *
 * @category models
 * @since 0.1.0
 */
export type Details = {
  readonly [name: string]: string | number | bigint | boolean | ReadonlyArray<string> | Details | undefined
}

/**
 * What kind of caller an event or an act is of: the operator; the operator in a tenant's place, doing what the tenant could do
 * itself; a tenant, by its key or in a program of its own; or the ledger.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `Event`, `actor.type`.
 *
 * @category models
 * @since 0.1.0
 */
export type ActorType = "admin" | "admin_on_behalf_of" | "api_key" | "system"

/**
 * Something that happened in a tenant's ledger that others may want to know, never altered once written, numbered from 1 per
 * tenant without gaps.
 *
 * @category models
 * @since 0.1.0
 */
export interface LedgerEvent {
  readonly tenant: string
  readonly number: number
  readonly atMs: number
  /** A word of `cycles-governance-admin-v0.1.25.yaml`, schema `EventType`, for example `reservation.denied`. */
  readonly type: string
  readonly actor: string
  /** Not known of rows that an earlier version wrote. */
  readonly actorType: ActorType | undefined
  /** The API key it was done with. */
  readonly keyId: string | undefined
  readonly scope: string | undefined
  readonly unit: Unit | undefined
  readonly reservationId: ReservationId | undefined
  readonly requestId: string | undefined
  readonly traceId: string | undefined
  readonly details: Details
}

/**
 * One governance act, done or refused, never altered once written, numbered from 1 per tenant without gaps.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `AuditLogEntry`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Act {
  readonly tenant: string
  readonly number: number
  readonly atMs: number
  readonly actor: string
  /** Not known of rows that an earlier version wrote. */
  readonly actorType: ActorType | undefined
  /** The API key it was done with. */
  readonly keyId: string | undefined
  /** The operation's name in the specification, for example `createBudget`. */
  readonly operation: string
  readonly resourceType: string
  readonly resourceId: string
  /** The code of the refusal, when the act was refused. */
  readonly errorCode: string | undefined
  readonly requestId: string | undefined
  readonly traceId: string | undefined
  readonly details: Details
}
