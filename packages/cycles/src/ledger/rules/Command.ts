/**
 * What can be asked of a ledger, and what comes of it.
 *
 * @since 0.1.0
 */
import type { AnyAmount, SignedAmount, Unit } from "../../protocol/Amount.ts"
import type { DecideRequest } from "../../protocol/Decide.ts"
import type { EventRequest } from "../../protocol/Event.ts"
import type { ExtendRequest } from "../../protocol/Extend.ts"
import type { EventId, IdempotencyKey, ReservationId } from "../../protocol/Ids.ts"
import type { JsonObject } from "../../protocol/Metrics.ts"
import type { OveragePolicy } from "../../protocol/OveragePolicy.ts"
import type { ReservationRecord } from "../../protocol/ReservationRecord.ts"
import type { ReserveRequest } from "../../protocol/Reserve.ts"
import type { CommitRequest, ReleaseRequest } from "../../protocol/Settle.ts"
import type {
  Act,
  ActorType,
  ApiKeyRow,
  BudgetPeriod,
  BudgetRow,
  BudgetStatus,
  CounterRow,
  Document,
  DocumentKey,
  EntryKind,
  IdempotencyRow,
  LedgerEvent,
  Limit,
  PolicyRow,
  RecordKey,
  Reply,
  ReservationRow,
  TenantProfile,
  Window
} from "../Model.ts"
import type { Permission } from "../Permission.ts"
import type { PolicyChange } from "../PolicyShape.ts"
import type { Refusal } from "../Refusal.ts"
import type { Order, Registration } from "./Order.ts"

/**
 * A limit to put on a budget: how much may be taken within a window of time. All amounts are in the budget's unit.
 *
 * - `id`: names it within the budget, 1 to 64 letters, digits, `_`, `.` or `-`
 * - `window`: see `Window`; a rolling one is 1 minute to 366 days long
 * - `amount`: more than 0
 * - `rollover`: how much of what a calendar window leaves unused is added to the next one, at most; no more than `amount`, and
 *   nothing when not given. What was carried over is used first, and ends with the window it was carried into
 *
 * A limit counts from the moment it is added. One whose amount or rollover changes goes on counting; one whose window changes
 * begins anew.
 *
 * @category models
 * @since 0.1.0
 */
export interface LimitOptions {
  readonly id: string
  readonly window: Window
  readonly amount: AnyAmount
  readonly rollover?: AnyAmount | undefined
}

/**
 * Where a limit stands: `remaining = amount + carriedOver − used − held`. Times are Unix milliseconds.
 *
 * - `used`: what was charged to holds taken in the window, and to events in it
 * - `held`: what open holds taken in the window may still use
 * - `remaining`: what new holds may take; negative after charges above their estimates
 * - `startMs`: where the window begins now
 * - `reopensAtMs`: where a calendar window ends, or when a rolling one forgets the oldest of what it counts, if it counts anything
 *
 * @category models
 * @since 0.1.0
 */
export interface LimitState {
  readonly id: string
  readonly window: Window
  readonly amount: AnyAmount
  readonly used: AnyAmount
  readonly held: AnyAmount
  readonly carriedOver: AnyAmount
  readonly remaining: SignedAmount<Unit>
  readonly startMs: number
  readonly reopensAtMs: number | undefined
}

/**
 * A budget to open: an allocation on a scope. Its unit is the allocation's.
 *
 * - `scope`: canonical, starting at its tenant, for example `tenant:acme/agent:writer`
 * - `overdraftLimit`: how much debt ALLOW_WITH_OVERDRAFT may make; none when not given
 * - `status`: ACTIVE when not given
 * - `overagePolicy`: of holds on this budget that name none; the tenant's when not given
 * - `period`: kept and shown, see `BudgetPeriod`; its end, if any, is after its start
 * - `metadata`: free, never looked into
 * - `limits`: how much of it may be taken within windows of time, at most 16; none when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetOptions {
  readonly scope: string
  readonly allocated: AnyAmount
  readonly overdraftLimit?: AnyAmount | undefined
  readonly status?: BudgetStatus | undefined
  readonly overagePolicy?: OveragePolicy | undefined
  readonly period?: Partial<BudgetPeriod> | undefined
  readonly metadata?: JsonObject | undefined
  readonly limits?: ReadonlyArray<LimitOptions> | undefined
}

/**
 * A change to a budget that moves no money: its status (a closed one stays closed), its overdraft limit, its overage policy, its
 * metadata, or its limits, which take the place of all it had.
 *
 * - `from`: the status it must have for this, when that matters
 * - `reason`: kept with the entry and the act, at most 512 characters
 *
 * @category models
 * @since 0.1.0
 */
export interface UpdateRequest {
  readonly scope: string
  readonly unit: Unit
  readonly status?: BudgetStatus | undefined
  readonly from?: BudgetStatus | undefined
  readonly reason?: string | undefined
  readonly overdraftLimit?: AnyAmount | undefined
  readonly overagePolicy?: OveragePolicy | undefined
  readonly metadata?: JsonObject | undefined
  readonly limits?: ReadonlyArray<LimitOptions> | undefined
}

/**
 * Who asks, and in the course of what.
 *
 * - `needs`, `scopeFilter`: what the caller must be permitted, and where it may act; looked at again in the transaction
 * - `keyId`: the API key whose word counts for that
 * - `registered`: whether budgets and policies are taken of registered tenants only
 * - `deed`: the governance act that the command is, to be audited
 *
 * @category models
 * @since 0.1.0
 */
export interface Cause {
  readonly tenant: string
  readonly actor: string
  readonly actorType: ActorType
  readonly requestId: string | undefined
  readonly traceId: string | undefined
  /** Whether replies show the budgets after the change. */
  readonly balances: boolean
  readonly keyId?: string | undefined
  readonly needs?: Permission | undefined
  readonly scopeFilter?: ReadonlyArray<string> | undefined
  readonly registered?: boolean | undefined
  readonly deed?: Deed | undefined
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
 * A change to the allocation of one budget. `spent` is for RESET_SPENT only; `reason`, at most 512 characters, is kept with the
 * entry.
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
  readonly reason?: string
}

/** A command that remembers its answer: under which key, and for what payload. */
export interface Remembered {
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
  | Remembered & {
    readonly _tag: "UpdateBudget"
    readonly request: UpdateRequest
    readonly limits: ReadonlyArray<Limit> | undefined
  }
  | { readonly _tag: "ReadLimits"; readonly cause: Cause; readonly scope: string; readonly unit: Unit }
  | { readonly _tag: "CreatePolicy"; readonly cause: Cause; readonly policy: PolicyRow }
  | { readonly _tag: "UpdatePolicy"; readonly cause: Cause; readonly id: string; readonly change: PolicyChange }
  | Remembered & { readonly _tag: "DeletePolicy"; readonly id: string }
  | { readonly _tag: "Govern"; readonly cause: Cause; readonly order: Order }
  | { readonly _tag: "Sweep"; readonly cause: Cause }
  | { readonly _tag: "Delivered"; readonly cause: Cause; readonly upTo: number }

/**
 * One budget before and after a change; `before` is absent when the budget is created.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetChange {
  readonly before: BudgetRow | undefined
  readonly after: BudgetRow
}

/**
 * An event to be told: what is not known from the command's cause and the transaction.
 *
 * @category models
 * @since 0.1.0
 */
export interface Happening extends Pick<LedgerEvent, "type" | "details"> {
  readonly scope?: string
  readonly unit?: Unit
  readonly reservationId?: ReservationId
}

/**
 * A governance act to be audited: what is not known from the command's cause and the transaction.
 *
 * @category models
 * @since 0.1.0
 */
export interface Deed extends Pick<Act, "operation" | "resourceType" | "resourceId" | "details"> {
  readonly errorCode?: string
}

/**
 * What a command changes: each row once, in its new state. `kind` names its entry; a change of rows that are not money has none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
  readonly kind: EntryKind | undefined
  readonly budgets: ReadonlyArray<BudgetChange>
  /** Why, where somebody said; kept with the entry. */
  readonly reason?: string | undefined
  readonly reservation?: ReservationRow
  readonly eventId?: EventId
  readonly counters?: ReadonlyArray<CounterRow>
  readonly documents?: ReadonlyArray<Document>
  readonly removed?: ReadonlyArray<DocumentKey>
  readonly profile?: TenantProfile
  readonly events?: ReadonlyArray<Happening>
  /** Events up to this number have been handed on. */
  readonly delivered?: number
  readonly act?: Deed
}

/**
 * What comes of a command. A refusal changes no money; it may leave events and an audited act.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict =
  | {
    readonly _tag: "Done"
    readonly reply:
      | Reply
      | ReservationRecord
      | BudgetRow
      | ReadonlyArray<LimitState>
      | PolicyRow
      | TenantProfile
      | Registration
      | ApiKeyRow
      | undefined
    readonly changes: ReadonlyArray<Change>
    readonly record: IdempotencyRow | undefined
  }
  | { readonly _tag: "Refused"; readonly refusal: Refusal; readonly changes?: ReadonlyArray<Change> }
