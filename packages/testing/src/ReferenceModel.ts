/**
 * The rules of the ledger once more, written for the eye.
 *
 * A model to hold a real authority against: one plain state, straightforward loops, `bigint` arithmetic, the time given by
 * the caller. It shares no code with the ledger, only the protocol's vocabulary, and it is meant to be read from top to
 * bottom next to the specification. It is slow, and that is fine.
 *
 * Every rule has a name. A model made with `broken: rule` gets exactly that rule wrong, which is how a test suite shows that
 * it would have noticed: over the same commands a broken model must part from the authority somewhere.
 *
 * Specification: `cycles-protocol-v0.yaml`; section names in capitals below are those of its description.
 *
 * **Example** (Asking the model)
 *
 * ```ts
 * import { ReferenceModel } from "@effect-cycles/testing"
 * import { Amount } from "effect-cycles"
 * import { EventId, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
 *
 * const model = ReferenceModel.makeModel()
 * const state = model.initial([{ tenant: "acme", scope: "tenant:acme", unit: "TOKENS", allocated: 100n }])
 * const outcome = model.apply(
 *   state,
 *   {
 *     _tag: "Reserve",
 *     tenant: "acme",
 *     request: {
 *       idempotencyKey: IdempotencyKey.make("k"),
 *       subject: { agent: "writer" },
 *       action: { kind: "llm.completion", name: "gpt-4o" },
 *       estimate: Amount.tokens(101)
 *     }
 *   },
 *   0,
 *   { reservationId: ReservationId.make("r-1"), eventId: EventId.make("e-1") }
 * )
 *
 * console.log(outcome._tag === "Failure" && outcome.error) // => "BudgetExceeded"
 * ```
 *
 * @since 0.1.0
 */
import type { Action } from "effect-cycles/protocol/Action"
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import type { Balance, BalancesPage, BalancesQuery } from "effect-cycles/protocol/Balance"
import type { Caps } from "effect-cycles/protocol/Caps"
import type { CyclesError } from "effect-cycles/protocol/CyclesError"
import type { DecideReply, DecideRequest } from "effect-cycles/protocol/Decide"
import type { EventReply, EventRequest } from "effect-cycles/protocol/Event"
import type { ExtendReply, ExtendRequest } from "effect-cycles/protocol/Extend"
import type { EventId, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import type { JsonObject } from "effect-cycles/protocol/Metrics"
import type { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import type {
  ReservationRecord,
  ReservationsPage,
  ReservationsQuery,
  ReservationStatus
} from "effect-cycles/protocol/ReservationRecord"
import type { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import type { CommitReply, CommitRequest, ReleaseReply, ReleaseRequest } from "effect-cycles/protocol/Settle"
import type { Subject } from "effect-cycles/protocol/Subject"

// ---------------------------------------------------------------------------------------------------------------------
// what the model keeps
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Whether a budget takes holds, events and funding (`ACTIVE`) or not.
 *
 * @category models
 * @since 0.1.0
 */
export type BudgetStatus = "ACTIVE" | "FROZEN" | "CLOSED"

/**
 * @category models
 * @since 0.1.0
 */
export type TenantStatus = "ACTIVE" | "SUSPENDED" | "CLOSED"

/**
 * The stretch of time a limit counts in: the day, week (from Monday) or month of a time zone, or the milliseconds just past.
 *
 * @category models
 * @since 0.1.0
 */
export type LimitWindow = CalendarWindow | { readonly rollingMs: number }

interface CalendarWindow {
  readonly every: "day" | "week" | "month"
  readonly timeZone: string
}

/**
 * How much of a budget may be taken within a window. `rollover`: how much of what a calendar window leaves unused is added to
 * the next one, at most.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limit {
  readonly id: string
  readonly window: LimitWindow
  readonly amount: bigint
  readonly rollover?: bigint
}

/**
 * What a hold or an event means to one limit. It counts at the time the hold was taken, whenever that is settled.
 *
 * @category models
 * @since 0.1.0
 */
export interface Use {
  readonly budget: Budget
  readonly limitId: string
  readonly window: LimitWindow
  atMs: number
  held: bigint
  used: bigint
}

/** What a calendar window began with. It is settled when something is first taken in it, or the limit is put there. */
interface Beginning {
  readonly budget: Budget
  readonly limitId: string
  readonly window: LimitWindow
  readonly name: string
  readonly carriedOver: bigint
}

/**
 * One budget: a row per (scope, unit).
 *
 * @category models
 * @since 0.1.0
 */
export interface Budget {
  readonly tenant: string
  readonly scope: string
  readonly unit: Unit
  allocated: bigint
  spent: bigint
  reserved: bigint
  debt: bigint
  overdraftLimit: bigint
  /** A charge was capped because less was there. */
  capped: boolean
  status: BudgetStatus
  limits: ReadonlyArray<Limit>
}

/**
 * A budget to begin with. What is not given is 0, false, `ACTIVE` or none.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetSeed {
  readonly tenant: string
  readonly scope: string
  readonly unit: Unit
  readonly allocated: bigint
  readonly spent?: bigint
  readonly debt?: bigint
  readonly overdraftLimit?: bigint
  readonly capped?: boolean
  readonly status?: BudgetStatus
  readonly limits?: ReadonlyArray<Limit>
}

/**
 * One hold. `budgets` are the budgeted scopes of its path, frozen when it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reservation {
  readonly id: ReservationId
  readonly tenant: string
  readonly key: IdempotencyKey
  readonly subject: Subject
  readonly action: Action
  readonly estimate: AnyAmount
  readonly policy: OveragePolicy
  readonly graceMs: number
  readonly createdAtMs: number
  readonly scopes: ReadonlyArray<string>
  readonly budgets: ReadonlyArray<Budget>
  readonly metadata: JsonObject | undefined
  /** How often it may be extended, where its policy or its tenant says so. */
  readonly maxExtensions: number | undefined
  readonly uses: ReadonlyArray<Use>
  status: ReservationStatus
  expiresAtMs: number
  extensions: number
  finalizedAtMs: number | undefined
  charged: bigint | undefined
  committedMetadata: JsonObject | undefined
}

/**
 * Caps that come of how a budget stands: while less than a share of its allocation is left.
 *
 * @category models
 * @since 0.1.0
 */
export interface StateCaps {
  readonly belowShare: number
  readonly caps: Caps
}

/**
 * A policy as it is given: what holds of the scopes its pattern stands for. `priority` is 0, and `status` ACTIVE, where they are
 * not.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicySeed {
  readonly name: string
  readonly scopePattern: string
  readonly priority?: number
  readonly status?: "ACTIVE" | "DISABLED"
  readonly caps?: Caps
  readonly stateCaps?: ReadonlyArray<StateCaps>
  readonly overagePolicy?: OveragePolicy
  readonly defaultTtlMs?: number
  readonly maxTtlMs?: number
  readonly maxExtensions?: number
  readonly maxReservationsPerMinute?: number
  readonly maxSteps?: number
  readonly allowedActionKinds?: ReadonlyArray<string>
  readonly deniedActionKinds?: ReadonlyArray<string>
  readonly effectiveFromMs?: number
  readonly effectiveUntilMs?: number
}

/**
 * A policy that was taken.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy extends PolicySeed {
  readonly tenant: string
  readonly id: string
}

/**
 * What a registered tenant says of holds that say nothing themselves.
 *
 * @category models
 * @since 0.1.0
 */
export interface TenantDefaults {
  readonly tenant: string
  readonly overagePolicy?: OveragePolicy
  readonly defaultTtlMs?: number
  readonly maxTtlMs?: number
  readonly maxExtensions?: number
}

/**
 * A key a tenant's programs ask by. `granted`: what it was made with.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApiKey extends ApiKeyRights {
  readonly id: string
  readonly tenant: string
  readonly granted: ApiKeyRights
  expiresAtMs: number
  isRevoked: boolean
}

/**
 * What a key may do, in the specification's words, and where: names of levels, one of which each level that is named must have.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyRights {
  permissions: ReadonlyArray<string>
  scopeFilter: ReadonlyArray<string>
}

interface IdempotencyRecord {
  readonly space: string
  readonly key: string
  readonly payload: unknown
  readonly result: Reply | Refusal
}

/**
 * Everything there is. `apply` changes it in place; reservations are in the order of their making.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly budgets: Array<Budget>
  readonly reservations: Array<Reservation>
  readonly records: Array<IdempotencyRecord>
  readonly policies: Array<Policy>
  readonly defaults: ReadonlyArray<TenantDefaults>
  /** Of the registered tenants that are not ACTIVE. */
  readonly statuses: Map<string, TenantStatus>
  readonly apiKeys: Array<ApiKey>
  /** What policies have counted: holds by minute and by run. */
  readonly counts: Map<string, number>
  readonly uses: Array<Use>
  readonly beginnings: Array<Beginning>
}

/**
 * LEDGER INVARIANT: `remaining = allocated − spent − reserved − debt`. The model has no other notion of it.
 *
 * @category getters
 * @since 0.1.0
 */
export const remaining = (budget: Budget): bigint => budget.allocated - budget.spent - budget.reserved - budget.debt

// ---------------------------------------------------------------------------------------------------------------------
// what it is asked, and what it answers
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What an operator does to the money of a budget.
 *
 * @category models
 * @since 0.1.0
 */
export type FundOperation = "CREDIT" | "DEBIT" | "RESET" | "RESET_SPENT" | "REPAY_DEBT"

/**
 * `spent` goes with `RESET_SPENT`.
 *
 * @category models
 * @since 0.1.0
 */
export interface FundRequest {
  readonly idempotencyKey: IdempotencyKey
  readonly operation: FundOperation
  readonly amount: bigint
  readonly spent?: bigint
}

/**
 * What is asked, and of what a tenant asks for itself, by which of its keys; by none, whoever asks may do everything.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = Asked & { readonly apiKeyId?: string }

/**
 * Something a tenant (or, from `Fund` to `Limits`, its operator) does.
 *
 * @category models
 * @since 0.1.0
 */
export type Asked =
  | { readonly _tag: "Decide"; readonly tenant: string; readonly request: DecideRequest }
  | { readonly _tag: "Reserve"; readonly tenant: string; readonly request: ReserveRequest }
  | { readonly _tag: "Commit"; readonly tenant: string; readonly id: ReservationId; readonly request: CommitRequest }
  | { readonly _tag: "Release"; readonly tenant: string; readonly id: ReservationId; readonly request: ReleaseRequest }
  | { readonly _tag: "Extend"; readonly tenant: string; readonly id: ReservationId; readonly request: ExtendRequest }
  | { readonly _tag: "Event"; readonly tenant: string; readonly request: EventRequest }
  | {
    readonly _tag: "Fund"
    readonly tenant: string
    readonly scope: string
    readonly unit: Unit
    readonly request: FundRequest
  }
  | {
    readonly _tag: "SetStatus"
    readonly tenant: string
    readonly scope: string
    readonly unit: Unit
    readonly status: BudgetStatus
  }
  | {
    readonly _tag: "SetLimit"
    readonly tenant: string
    readonly scope: string
    readonly unit: Unit
    readonly overdraftLimit: bigint
  }
  | { readonly _tag: "CreatePolicy"; readonly tenant: string; readonly policy: PolicySeed }
  /** What is given replaces what was. */
  | {
    readonly _tag: "UpdatePolicy"
    readonly tenant: string
    readonly id: string
    readonly change: Omit<Partial<PolicySeed>, "scopePattern">
  }
  | { readonly _tag: "DeletePolicy"; readonly tenant: string; readonly id: string }
  | { readonly _tag: "SetTenantStatus"; readonly tenant: string; readonly status: TenantStatus }
  | {
    readonly _tag: "CreateApiKey"
    readonly tenant: string
    readonly rights: Partial<ApiKeyRights>
    readonly expiresAtMs?: number
  }
  /** What is given replaces what was. */
  | {
    readonly _tag: "UpdateApiKey"
    readonly tenant: string
    readonly id: string
    readonly rights: Partial<ApiKeyRights>
  }
  | { readonly _tag: "RevokeApiKey"; readonly tenant: string; readonly id: string }
  | {
    readonly _tag: "SetLimits"
    readonly tenant: string
    readonly scope: string
    readonly unit: Unit
    readonly limits: ReadonlyArray<Limit>
  }
  | { readonly _tag: "Limits"; readonly tenant: string; readonly scope: string; readonly unit: Unit }
  | { readonly _tag: "Balances"; readonly tenant: string; readonly query: BalancesQuery }
  | { readonly _tag: "ReadReservation"; readonly tenant: string; readonly id: ReservationId }
  | { readonly _tag: "ListReservations"; readonly tenant: string; readonly query: ReservationsQuery }

/**
 * The names to give to what an operation makes. They are the authority's to choose, so the caller takes them from its reply.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewIds {
  readonly reservationId: ReservationId
  readonly eventId: EventId
  /** For a policy that is created. */
  readonly policyId?: string
  /** For a key that is made. */
  readonly apiKeyId?: string
}

/**
 * What is answered about a policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyReply {
  readonly policyId: string
  readonly name: string
  readonly status: "ACTIVE" | "DISABLED"
  readonly priority: number
}

/**
 * What is answered about a key.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyReply {
  readonly apiKeyId: string
  readonly status: "ACTIVE" | "REVOKED" | "EXPIRED"
  readonly permissions: ReadonlyArray<string>
  readonly scopeFilter: ReadonlyArray<string>
  readonly expiresAtMs: number
}

/**
 * Where a limit stands: `remaining = amount + carriedOver − used − held`.
 *
 * @category models
 * @since 0.1.0
 */
export interface LimitState {
  readonly id: string
  readonly used: bigint
  readonly held: bigint
  readonly carriedOver: bigint
  readonly remaining: bigint
}

/**
 * Where all limits of a budget stand, in their order.
 *
 * @category models
 * @since 0.1.0
 */
export interface LimitStates {
  readonly limits: ReadonlyArray<LimitState>
}

/**
 * What a success carries. The operator's writing operations answer with the balance afterwards. Lists are whole: `limit` and
 * `cursor` are for whoever pages through the authority's.
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
  | Balance
  | PolicyReply
  | ApiKeyReply
  | { readonly status: TenantStatus }
  | BalancesPage
  | ReservationRecord
  | ReservationsPage
  | LimitStates

/**
 * @category models
 * @since 0.1.0
 */
export interface Success {
  readonly _tag: "Success"
  readonly value: Reply
}

/**
 * A refusal: the tag of the error, and where the rule settles it, the scope and the figures.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure extends Where {
  readonly _tag: "Failure"
  readonly error: CyclesError["_tag"]
}

interface Where {
  readonly scope?: string
  readonly unit?: Unit
  readonly requested?: bigint
  readonly remaining?: bigint
  readonly retryAfterMs?: number
}

/**
 * @category models
 * @since 0.1.0
 */
export type Outcome = Success | Failure

/**
 * The outcome an authority's error stands for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromError = (error: { readonly _tag: CyclesError["_tag"] } & Where): Failure => ({
  _tag: "Failure",
  error: error._tag,
  ...(error.scope !== undefined && { scope: error.scope }),
  ...(error.unit !== undefined && { unit: error.unit }),
  ...(error.requested !== undefined && { requested: error.requested }),
  ...(error.remaining !== undefined && { remaining: error.remaining }),
  ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs })
})

/**
 * Whether an authority did what the model says.
 *
 * A failure agrees when its tag does, and each of scope, unit, requested, remaining and the time to wait that
 * the model gives. A success agrees
 * when the replies are equal, apart from what is volatile or optional to the letter: evidence, the paging of lists, fields that
 * are `undefined`, and in a balance a debt or overdraft limit of 0 and an over-limit of false, which may as well be absent.
 * `ignore` names further fields to leave out of the comparison, at any depth.
 *
 * @category comparing
 * @since 0.1.0
 */
export const agrees = (
  expected: Outcome,
  actual: Outcome,
  options?: { readonly ignore?: ReadonlyArray<string> }
): boolean => {
  if (expected._tag === "Failure" || actual._tag === "Failure") {
    return expected._tag === "Failure" && actual._tag === "Failure" && expected.error === actual.error &&
      (["scope", "unit", "requested", "remaining", "retryAfterMs"] as const).every((field) =>
        expected[field] === undefined || expected[field] === actual[field]
      )
  }
  const ignored = new Set(["evidence", "nextCursor", "hasMore", ...(options?.ignore ?? [])])
  const bare = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(bare)
    if (typeof value !== "object" || value === null) return value
    const isBalance = "scopePath" in value && "remaining" in value
    return Object.fromEntries(
      Object.entries(value).filter(([name, field]) =>
        field !== undefined && !ignored.has(name) &&
        !(isBalance && (name === "debt" || name === "overdraftLimit") && field.amount === 0n) &&
        !(isBalance && name === "isOverLimit" && field === false)
      ).map(([name, field]) => [name, bare(field)])
    )
  }
  return same(bare(expected.value), bare(actual.value))
}

/** Equality of data; the order of an object's fields does not count, unless asked. */
const same = (a: unknown, b: unknown, inOrder = false): boolean => {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const ours: ReadonlyArray<readonly [string, unknown]> = Object.entries(a)
  const theirs: ReadonlyArray<readonly [string, unknown]> = Object.entries(b)
  const other = new Map(theirs)
  return ours.length === theirs.length &&
    ours.every(([name, value], i) =>
      other.has(name) && same(value, other.get(name), inOrder) && (!inOrder || theirs[i]?.[0] === name)
    )
}

// ---------------------------------------------------------------------------------------------------------------------
// the rules by name
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The rules that can be broken, one at a time.
 *
 * @category rules
 * @since 0.1.0
 */
export const rules = [
  // who asks, and for whom
  "invalid-before-forbidden",
  "subject-tenant-must-match",
  "absent-tenant-is-own",
  "tenant-isolation",
  "reads-own-tenant-only",
  "case-sensitive-scopes",
  // idempotency
  "replay",
  "replay-before-state",
  "mismatch",
  "only-successes-recorded",
  "keys-per-tenant",
  "keys-per-operation",
  "dry-run-shares-keys",
  "fund-keys-per-budget",
  "path-id-in-payload",
  "key-order-is-no-difference",
  "defaults-are-a-difference",
  "remaining-ttl-recomputed",
  "remaining-ttl-zero-when-ended",
  // time
  "expire-before-deciding",
  "expiry-includes-the-last-millisecond",
  "grace-counts-for-settling",
  "extend-not-in-grace",
  "extend-includes-the-last-millisecond",
  "extend-from-old-expiry",
  "max-extensions",
  // holding
  "all-scopes",
  "widest-scope-first",
  "frozen-blocks-reserve",
  "closed-blocks-reserve",
  "over-limit-blocks-reserve",
  "over-limit-before-exceeded",
  "debt-without-limit-blocks-reserve",
  "debt-within-limit-passes",
  "budget-exceeded",
  "unit-mismatch-before-not-found",
  "unit-mismatch-is-no-denial",
  "not-found-is-a-denial-when-asking",
  "dry-run-holds-nothing",
  // settling
  "commit-in-reserved-unit",
  "reject-refuses",
  "cap-at-what-remains",
  "cap-at-the-tightest-scope",
  "cap-not-below-zero",
  "flag-over-limit",
  "flag-only-short-scopes",
  "funded-before-debt",
  "overdraft-limit",
  "zero-limit-caps-overdraft",
  "frozen-does-not-block-commit",
  "release-returns-all",
  "int64",
  // events and funding
  "frozen-blocks-event",
  "over-limit-does-not-block-event",
  "frozen-blocks-funding",
  "credit-repays-debt",
  "repaid-debt-is-spent",
  "repayment-surplus-is-allocated",
  "debit-needs-remaining",
  "debit-keeps-flag",
  "repayment-keeps-flag",
  "funding-clears-flag",
  "flag-stays-while-nothing-remains",
  "reset-keeps-spent",
  "lowering-the-limit-flags",
  // policies: which one
  "policy-of-own-tenant",
  "policy-by-narrowest-scope",
  "policy-below-is-not-itself",
  "policy-of-an-agent-reaches-its-tools",
  "policy-highest-priority",
  "policy-longest-pattern",
  "policy-disabled",
  "policy-effective-from",
  "policy-effective-until",
  // policies: whether
  "policy-before-budgets",
  "kinds-denied",
  "kinds-allowed",
  "kinds-do-not-concern-events",
  "rate-limit",
  "rate-per-scope",
  "rate-per-minute",
  "rate-counts-holds-only",
  "rate-is-no-denial",
  "steps-of-a-run",
  "steps-count-down",
  "steps-stay-taken",
  "steps-of-one-workflow",
  "steps-need-a-run",
  // policies: how
  "caps-of-the-policy",
  "caps-of-the-state",
  "caps-strictly-below",
  "caps-of-any-budget",
  "caps-fewest-tokens",
  "caps-tools-in-common",
  "caps-tools-denied-by-any",
  "caps-longest-cooldown",
  "lease-of-the-policy",
  "lease-of-the-tenant",
  "lease-cut-by-the-policy",
  "lease-cut-by-the-tenant",
  "lease-policy-before-tenant",
  "lease-of-a-registered-tenant",
  "extensions-of-the-policy",
  "extensions-of-the-tenant",
  "overage-of-the-policy",
  "overage-of-the-tenant",
  "overage-policy-before-tenant",
  "overage-of-the-request",
  "policy-name-once",
  "policy-kinds-not-both",
  // limits
  "limits-gate-holds",
  "limits-after-the-budget",
  "limits-count-holds",
  "limits-count-at-the-reserve",
  "limits-count-overage",
  "limits-take-back-what-ended",
  "limits-end-with-their-window",
  "rolling-keeps-the-oldest-piece-whole",
  "last-limit-to-reopen-speaks",
  "waiting-in-vain-is-not-suggested",
  "reject-events-obey-limits",
  "other-events-do-not",
  "limits-count-events",
  "rollover",
  "rollover-is-capped",
  "new-limits-carry-nothing",
  "changed-limits-keep-counting",
  // tenants
  "suspended-tenant-takes-no-holds",
  "suspended-tenant-settles",
  "suspended-tenant-is-a-denial-when-asking",
  "closed-tenant-takes-nothing",
  "closed-tenant-is-a-denial-when-asking",
  "closed-tenant-before-state",
  "replay-before-tenant-status",
  "closing-returns-holds",
  "closing-returns-what-limits-held",
  "closing-is-for-good",
  // keys
  "key-of-own-tenant",
  "key-revoked",
  "key-expires",
  "key-ends-before-its-expiry",
  "key-before-replay",
  "key-permission",
  "key-admin-reads",
  "key-changes-bind",
  "key-filter",
  "key-filter-every-level",
  "key-filter-any-name",
  "key-filter-star-is-a-name",
  "key-filter-by-id",
  "key-filter-in-lists",
  "key-life",
  "revoked-key-stays-as-it-is",
  "keys-of-registered-tenants",
  "suspended-tenant-makes-no-keys",
  "closing-revokes-keys",
  // reading
  "expired-is-gone",
  "newest-first",
  "finalized-window-excludes-open"
] as const

/**
 * @category rules
 * @since 0.1.0
 */
export type RuleName = (typeof rules)[number]

/**
 * The model.
 *
 * @category models
 * @since 0.1.0
 */
export interface Model {
  /** The budgets as they are opened at `now` (0 when not given), which is where their limits begin. */
  readonly initial: (
    budgets: ReadonlyArray<BudgetSeed>,
    now?: number,
    defaults?: ReadonlyArray<TenantDefaults>
  ) => State
  /** Where the limits of a budget stand. */
  readonly limits: (state: State, budget: Budget, now: number) => ReadonlyArray<LimitState>
  /** When windows of limits end, or have forgotten something they count: later than `now`, soonest first. */
  readonly reopenings: (state: State, now: number) => ReadonlyArray<number>
  /** Does one operation at a time (Unix milliseconds) that must not go back. Changes `state`; a refusal changes nothing. */
  readonly apply: (state: State, operation: Operation, now: number, ids: NewIds) => Outcome
}

/** Thrown inside the model only; becomes a `Failure`. */
class Refusal {
  readonly failure: Failure
  readonly reasonCode: string | undefined
  constructor(failure: Failure, reasonCode: string | undefined) {
    this.failure = failure
    this.reasonCode = reasonCode
  }
}

const refuse = (error: Failure["error"], where: Where = {}, reasonCode = reasons[error]): never => {
  throw new Refusal({ _tag: "Failure", error, ...where }, reasonCode)
}

const reasons: Partial<Record<Failure["error"], string>> = {
  BudgetExceeded: "BUDGET_EXCEEDED",
  BudgetFrozen: "BUDGET_FROZEN",
  BudgetClosed: "BUDGET_CLOSED",
  BudgetNotFound: "BUDGET_NOT_FOUND",
  OverdraftLimitExceeded: "OVERDRAFT_LIMIT_EXCEEDED",
  DebtOutstanding: "DEBT_OUTSTANDING"
}

/** `createApiKey`, PERMISSIONS: what a key may do that was made without saying so. */
const KEY_PERMISSIONS = [
  "reservations:create",
  "reservations:commit",
  "reservations:release",
  "reservations:extend",
  "reservations:list",
  "balances:read",
  "budgets:read",
  "budgets:write",
  "policies:read",
  "policies:write"
]

/** What a key must be permitted, by what is asked. */
const NEEDS: { readonly [tag in Asked["_tag"]]?: string } = {
  Decide: "reservations:create",
  Reserve: "reservations:create",
  Event: "reservations:create",
  Commit: "reservations:commit",
  Release: "reservations:release",
  Extend: "reservations:extend",
  ReadReservation: "reservations:list",
  ListReservations: "reservations:list",
  Balances: "balances:read"
}

const LEVELS = ["tenant", "workspace", "app", "workflow", "agent", "toolset"] as const
const INT64_MAX = 2n ** 63n - 1n
const INT64_MIN = -(2n ** 63n)

const min = (a: bigint, b: bigint): bigint => a < b ? a : b
const orZero = (a: bigint): bigint => a > 0n ? a : 0n
const amountOf = (unit: Unit, amount: bigint): AnyAmount => ({ unit, amount })
const textOrder = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

// ---------------------------------------------------------------------------------------------------------------------
// windows of limits
// ---------------------------------------------------------------------------------------------------------------------

const formats = new Map<string, Intl.DateTimeFormat>()

/** What a calendar on the wall of the time zone shows: `2026-11-22`. */
const dateIn = (timeZone: string, at: number): string => {
  let format = formats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" })
    formats.set(timeZone, format)
  }
  return format.format(at)
}

const DAY_MS = 86_400_000

/** A calendar window is known by a date: its day's, its Monday's, or its month's without the day. */
const windowName = (window: CalendarWindow, at: number): string => {
  const date = dateIn(window.timeZone, at)
  if (window.every === "day") return date
  if (window.every === "month") return date.slice(0, 7)
  const noon = Date.parse(`${date}T12:00:00Z`)
  const sinceMonday = (new Date(noon).getUTCDay() + 6) % 7
  return new Date(noon - sinceMonday * DAY_MS).toISOString().slice(0, 10)
}

interface Span {
  readonly name: string
  readonly startMs: number
  readonly endMs: number
}

/** Spans that were asked for before: looking at a calendar takes its time. */
const spans = new Map<string, Array<Span>>()

/** The time around `at` in which a calendar window has the same name, found by looking at the calendar. */
const spanOf = (window: CalendarWindow, at: number): Span => {
  const key = `${window.every} ${window.timeZone}`
  const known = spans.get(key) ?? []
  spans.set(key, known)
  const found = known.find(({ endMs, startMs }) => startMs <= at && at < endMs)
  if (found !== undefined) return found
  const name = windowName(window, at)
  /** How far one can go from `at`, in steps of 1 or −1, and still be in the window. */
  const reach = (direction: 1 | -1): number => {
    let [inside, outside] = [0, 32 * DAY_MS]
    while (outside - inside > 1) {
      const middle = Math.floor((inside + outside) / 2)
      if (windowName(window, at + direction * middle) === name) inside = middle
      else outside = middle
    }
    return inside
  }
  const span = { name, startMs: at - reach(-1), endMs: at + reach(1) + 1 }
  known.push(span)
  return span
}

const sameWindow = (a: LimitWindow, b: LimitWindow): boolean =>
  "every" in a
    ? "every" in b && a.every === b.every && a.timeZone === b.timeZone
    : "rollingMs" in b && a.rollingMs === b.rollingMs

/** A rolling window counts in 24 pieces, each of them whole until its last millisecond has left the window. */
const pieceOf = (rollingMs: number, at: number): { readonly n: number; readonly leavesAt: number } => {
  const length = Math.ceil(rollingMs / 24)
  const n = Math.floor(at / length)
  return { n, leavesAt: (n + 1) * length - 1 + rollingMs }
}

/**
 * Makes a model; with `broken`, one that gets that rule wrong.
 *
 * `maxExtensions` is how often a lease can be extended, 10 when not given.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeModel = (options?: { readonly broken?: RuleName; readonly maxExtensions?: number }): Model => {
  const holds = (rule: RuleName): boolean => options?.broken !== rule
  const maxExtensions = options?.maxExtensions ?? 10

  // -- shape: `InvalidRequest` precedes everything ---------------------------------------------------------------------

  const check = (ok: boolean): void => {
    if (!ok) refuse("InvalidRequest")
  }
  const between = (n: number | undefined, low: number, high: number): boolean =>
    n === undefined || (Number.isSafeInteger(n) && n >= low && n <= high)
  const int64 = (n: bigint): boolean => n >= 0n && n <= INT64_MAX

  const checkKey = (key: string): void => check(key.length >= 1 && key.length <= 256)

  /** Schema Subject, CHARSET: letters, digits, `_`, `.` and `-`, at least one level. */
  const checkSubject = (subject: Subject): void => {
    const values = LEVELS.flatMap((level) => subject[level] ?? [])
    check(LEVELS.some((level) => subject[level] !== undefined))
    check(values.every((value) => value.length <= 128 && /^[a-zA-Z0-9_.-]+$/.test(value)))
    const dimensions = Object.values(subject.dimensions ?? {})
    check(dimensions.length <= 16 && dimensions.every((value) => value.length <= 256))
  }

  const checkAction = (action: Action): void => {
    const tags = action.tags ?? []
    check(action.kind.length <= 64 && action.name.length <= 256)
    check(tags.length <= 10 && tags.every((tag) => tag.length <= 64))
  }

  const checkWindow = (from: number | undefined, to: number | undefined): void =>
    check(from === undefined || to === undefined || from <= to)

  // -- AUTH & TENANCY --------------------------------------------------------------------------------------------------

  /** A subject's tenant must be the asker's; a subject without one is the asker's. */
  const ownSubject = (tenant: string, subject: Subject): Subject => {
    if (subject.tenant !== undefined && subject.tenant !== tenant && holds("subject-tenant-must-match")) {
      refuse("Forbidden")
    }
    return holds("absent-tenant-is-own") ? { ...subject, tenant } : { ...subject }
  }

  const subjectOf = (tenant: string, subject: Subject): Subject => {
    if (!holds("invalid-before-forbidden")) ownSubject(tenant, subject)
    checkSubject(subject)
    return ownSubject(tenant, subject)
  }

  /** By id: what never was is `NotFound`, what is another's is `Forbidden`. */
  const ownReservation = (state: State, tenant: string, id: ReservationId): Reservation => {
    const rights = rightsOf(state)
    const found = state.reservations.find((reservation) => reservation.id === id)
    if (found === undefined) return refuse("NotFound")
    if (found.tenant !== tenant && holds("tenant-isolation")) return refuse("Forbidden")
    const scope = deepest(found.scopes)
    if (!reaches(rights, scope) && holds("key-filter") && holds("key-filter-by-id")) refuse("Forbidden", { scope })
    return found
  }

  const ownQuery = (tenant: string, query: { readonly tenant?: string }): void => {
    if (query.tenant !== undefined && query.tenant !== tenant) refuse("Forbidden")
  }

  const visible = (tenant: string, owner: string): boolean => owner === tenant || !holds("reads-own-tenant-only")

  // -- API keys: governance, schemas ApiKey and Permission -------------------------------------------------------------

  /** What is being asked; an operation is done before the next one begins. */
  let asking: { readonly operation: Operation; readonly now: number } | undefined

  const hasExpired = (key: ApiKey, now: number): boolean =>
    holds("key-expires") && (holds("key-ends-before-its-expiry") ? now >= key.expiresAtMs : now > key.expiresAtMs)

  /** The rights of the key that asks, as they are now; nothing where no key does. */
  const rightsOf = (state: State): ApiKeyRights | undefined => {
    if (asking?.operation.apiKeyId === undefined) return undefined
    const { now, operation } = asking
    const { apiKeyId, tenant } = operation
    if (!holds("key-before-replay") && "request" in operation) {
      const { idempotencyKey } = operation.request
      if (state.records.some(({ key, space }) => key === idempotencyKey && space.startsWith(tenant))) return undefined
    }
    const key = state.apiKeys.find(({ id }) => id === apiKeyId)
    if (key === undefined || (key.tenant !== tenant && holds("key-of-own-tenant"))) return refuse("Unauthorized")
    if ((key.isRevoked && holds("key-revoked")) || hasExpired(key, now)) refuse("Unauthorized")
    const rights = holds("key-changes-bind") ? key : key.granted
    // Permission, WILDCARD SEMANTICS: the admin's form of a word covers it, and `admin:read` whatever reads.
    const needed = NEEDS[operation._tag] ?? ""
    const isReading = needed.endsWith(":read") && rights.permissions.includes("admin:read") && holds("key-admin-reads")
    if (!rights.permissions.includes(needed) && !isReading && holds("key-permission")) refuse("Forbidden")
    return rights
  }

  /** Each level the filter names must be there, by one of the names it gives; a star is any name. */
  const reaches = (rights: ApiKeyRights | undefined, path: string): boolean => {
    if (rights === undefined || rights.scopeFilter.length === 0) return true
    const segments = path.split("/")
    const passes = (entry: string): boolean =>
      entry.endsWith(":*")
        ? segments.some((segment) => segment.startsWith(entry.slice(0, -1))) || !holds("key-filter-star-is-a-name")
        : segments.includes(entry)
    if (!holds("key-filter-any-name")) return rights.scopeFilter.every(passes)
    if (!holds("key-filter-every-level")) return rights.scopeFilter.some(passes)
    return LEVELS.every((level) => {
      const entries = rights.scopeFilter.filter((entry) => entry.startsWith(`${level}:`))
      return entries.length === 0 || entries.some(passes)
    })
  }

  /** Whether the key that asks may be asked by at all, and whether it may at the narrowest of the scopes. */
  const mustReach = (state: State, scopes: ReadonlyArray<string>): void => {
    const scope = scopes.at(-1) ?? ""
    if (!reaches(rightsOf(state), scope) && holds("key-filter")) refuse("Forbidden", { scope })
  }

  const checkRights = ({ scopeFilter = [] }: Partial<ApiKeyRights>): void =>
    check(scopeFilter.every((entry) => new RegExp(`^(${LEVELS.join("|")}):(\\*|[a-zA-Z0-9_.-]+)$`).test(entry)))

  const apiKeyReplyOf = (key: ApiKey, now: number): ApiKeyReply => ({
    apiKeyId: key.id,
    status: key.isRevoked ? "REVOKED" : hasExpired(key, now) ? "EXPIRED" : "ACTIVE",
    permissions: key.permissions,
    scopeFilter: key.scopeFilter,
    expiresAtMs: key.expiresAtMs
  })

  const createApiKey = (
    state: State,
    { expiresAtMs, rights, tenant }: Operation & { readonly _tag: "CreateApiKey" },
    now: number,
    id: string
  ): ApiKeyReply => {
    checkRights(rights)
    mustBeOpen(state, tenant)
    if (state.statuses.get(tenant) === "SUSPENDED" && holds("suspended-tenant-makes-no-keys")) refuse("Forbidden")
    const isRegistered = state.defaults.some((defaults) => defaults.tenant === tenant)
    if (!isRegistered && holds("keys-of-registered-tenants")) refuse("NotFound")
    const end = expiresAtMs ?? now + (holds("key-life") ? 90 : 30) * DAY_MS
    check(end > now)
    const granted = { permissions: rights.permissions ?? KEY_PERMISSIONS, scopeFilter: rights.scopeFilter ?? [] }
    const key: ApiKey = { id, tenant, granted, ...granted, expiresAtMs: end, isRevoked: false }
    state.apiKeys.push(key)
    return apiKeyReplyOf(key, now)
  }

  const ownApiKey = (state: State, tenant: string, id: string): ApiKey => {
    mustBeOpen(state, tenant)
    return state.apiKeys.find((key) => key.id === id && key.tenant === tenant) ?? refuse("NotFound")
  }

  const updateApiKey = (
    state: State,
    { id, rights, tenant }: Operation & { readonly _tag: "UpdateApiKey" },
    now: number
  ): ApiKeyReply => {
    checkRights(rights)
    const key = ownApiKey(state, tenant, id)
    if (holds("revoked-key-stays-as-it-is")) check(!key.isRevoked && !hasExpired(key, now))
    Object.assign(key, rights)
    return apiKeyReplyOf(key, now)
  }

  const revokeApiKey = (state: State, tenant: string, id: string, now: number): ApiKeyReply => {
    const key = ownApiKey(state, tenant, id)
    key.isRevoked = true
    return apiKeyReplyOf(key, now)
  }

  // -- SCOPE DERIVATION ------------------------------------------------------------------------------------------------

  /** Cumulative paths in canonical order; levels that are not given are skipped. */
  const scopesOf = (subject: Subject): Array<string> => {
    const segments: Array<string> = []
    const scopes: Array<string> = []
    for (const level of LEVELS) {
      const value = subject[level]
      if (value === undefined) continue
      segments.push(`${level}:${holds("case-sensitive-scopes") ? value : value.toLowerCase()}`)
      scopes.push(segments.join("/"))
    }
    return scopes
  }

  const deepest = (scopes: ReadonlyArray<string>): string => scopes.at(-1) ?? ""

  /** Scopes without a budget in the unit are skipped, but one must have one. */
  const budgeted = (state: State, scopes: ReadonlyArray<string>, unit: Unit): Array<Budget> => {
    const found = scopes.flatMap((scope) => state.budgets.filter((b) => b.scope === scope && b.unit === unit))
    if (found.length === 0) {
      // ERROR SEMANTICS, unit mismatch (a), (c), (d): a budget in another unit makes it a mistake of the unit.
      const other = scopes.find((scope) => state.budgets.some((b) => b.scope === scope))
      if (other !== undefined && holds("unit-mismatch-before-not-found")) refuse("UnitMismatch", { scope: other, unit })
      refuse("BudgetNotFound", { scope: deepest(scopes), unit })
    }
    return holds("all-scopes") ? found : found.slice(-1)
  }

  // Balance.is_over_limit: a capped charge, or debt beyond the limit. Debt without any limit is DEBT_OUTSTANDING instead.
  const isOverLimit = (b: Budget): boolean =>
    b.capped || (b.overdraftLimit > 0n && b.debt > b.overdraftLimit && holds("lowering-the-limit-flags"))

  const balanceOf = (b: Budget): Balance => ({
    scope: b.scope,
    scopePath: b.scope,
    remaining: amountOf(b.unit, remaining(b)),
    reserved: amountOf(b.unit, b.reserved),
    spent: amountOf(b.unit, b.spent),
    allocated: amountOf(b.unit, b.allocated),
    ...(b.debt > 0n && { debt: amountOf(b.unit, b.debt) }),
    ...(b.overdraftLimit > 0n && { overdraftLimit: amountOf(b.unit, b.overdraftLimit) }),
    ...(isOverLimit(b) && { isOverLimit: true })
  })

  // -- changing budgets: all or none, and never beyond int64 -----------------------------------------------------------

  interface Change {
    readonly budget: Budget
    readonly allocated?: bigint
    readonly spent?: bigint
    readonly reserved?: bigint
    readonly debt?: bigint
    readonly flag?: boolean
  }

  const write = (changes: ReadonlyArray<Change>): void => {
    const next = changes.map(({ budget, ...by }) => ({
      ...budget,
      allocated: budget.allocated + (by.allocated ?? 0n),
      spent: budget.spent + (by.spent ?? 0n),
      reserved: budget.reserved + (by.reserved ?? 0n),
      debt: budget.debt + (by.debt ?? 0n),
      capped: budget.capped || by.flag === true
    }))
    for (const b of next) {
      const largest = [b.allocated, b.spent, b.reserved, b.debt].every((n) => n <= INT64_MAX)
      if (holds("int64")) check(largest && remaining(b) >= INT64_MIN)
    }
    changes.forEach(({ budget }, i) => Object.assign(budget, next[i]))
  }

  // -- limits ----------------------------------------------------------------------------------------------------------

  const usesOf = (state: State, budget: Budget, limit: Limit): Array<Use> =>
    state.uses.filter((use) =>
      use.budget === budget && use.limitId === limit.id && sameWindow(use.window, limit.window)
    )

  /** When a use ceases to count. */
  const leavesAt = ({ atMs, window }: Use): number => {
    if ("every" in window) return spanOf(window, atMs).endMs
    return holds("rolling-keeps-the-oldest-piece-whole")
      ? pieceOf(window.rollingMs, atMs).leavesAt
      : atMs + window.rollingMs
  }

  const countsAt = (use: Use, now: number): boolean => now < leavesAt(use) || !holds("limits-end-with-their-window")

  const sum = (uses: ReadonlyArray<Use>): bigint =>
    uses.reduce((total, { held, used }) => total + used + (holds("limits-count-holds") ? held : 0n), 0n)

  const beginningOf = (state: State, budget: Budget, limit: Limit, name: string): Beginning | undefined =>
    state.beginnings.find((b) =>
      b.budget === budget && b.limitId === limit.id && sameWindow(b.window, limit.window) && b.name === name
    )

  /** What a window leaves to the next: of its own amount, for what it was given itself is used first and ends with it. */
  const unused = (state: State, budget: Budget, limit: Limit, at: number): bigint => {
    if (!("every" in limit.window) || limit.rollover === undefined || !holds("rollover")) return 0n
    const name = spanOf(limit.window, at).name
    const given = beginningOf(state, budget, limit, name)?.carriedOver ?? 0n
    const taken = sum(
      usesOf(state, budget, limit).filter(({ atMs, window }) => "every" in window && spanOf(window, atMs).name === name)
    )
    const left = orZero(limit.amount - orZero(taken - given))
    return holds("rollover-is-capped") ? min(limit.rollover, left) : left
  }

  const carriedOver = (state: State, budget: Budget, limit: Limit, now: number): bigint => {
    if (!("every" in limit.window)) return 0n
    const beginning = beginningOf(state, budget, limit, spanOf(limit.window, now).name)
    return beginning === undefined
      ? unused(state, budget, limit, spanOf(limit.window, now).startMs - 1)
      : beginning.carriedOver
  }

  const stateOf = (state: State, budget: Budget, limit: Limit, now: number): LimitState => {
    const uses = usesOf(state, budget, limit).filter((use) => countsAt(use, now))
    const carried = carriedOver(state, budget, limit, now)
    return {
      id: limit.id,
      used: uses.reduce((total, use) => total + use.used, 0n),
      held: uses.reduce((total, use) => total + use.held, 0n),
      carriedOver: carried,
      remaining: limit.amount + carried - sum(uses)
    }
  }

  const limitsOf = (state: State, budget: Budget, now: number): Array<LimitState> =>
    budget.limits.map((limit) => stateOf(state, budget, limit, now))

  /** When an amount that does not fit would, if nothing else happened. */
  const fitsAt = (state: State, budget: Budget, limit: Limit, amount: bigint, now: number): number | undefined => {
    if ("every" in limit.window) {
      const next = limit.amount + unused(state, budget, limit, now)
      const isInVain = amount > next && holds("waiting-in-vain-is-not-suggested")
      return isInVain ? undefined : spanOf(limit.window, now).endMs
    }
    const uses = usesOf(state, budget, limit)
    return uses.map(leavesAt).filter((at) => at > now).sort((a, b) => a - b).find((at) =>
      limit.amount - sum(uses.filter((use) => countsAt(use, at))) >= amount
    )
  }

  /** All limits have a say. Of those that refuse, the one that does so for longest is named. */
  const checkLimits = (state: State, budget: Budget, amount: bigint, now: number): void => {
    if (!holds("limits-gate-holds")) return
    const refusing = budget.limits
      .map((limit) => ({ limit, left: stateOf(state, budget, limit, now).remaining }))
      .filter(({ left }) => left < amount)
      .map(({ left, limit }) => ({ left, at: fitsAt(state, budget, limit, amount, now) }))
    if (holds("last-limit-to-reopen-speaks")) refusing.sort((a, b) => later(b.at, a.at))
    const first = refusing[0]
    if (first === undefined) return
    refuse("BudgetExceeded", {
      scope: budget.scope,
      unit: budget.unit,
      requested: amount,
      remaining: first.left,
      ...(first.at !== undefined && { retryAfterMs: first.at - now })
    })
  }

  const later = (a: number | undefined, b: number | undefined): number =>
    a === b ? 0 : a === undefined ? 1 : b === undefined ? -1 : a - b

  const begin = (state: State, budget: Budget, limit: Limit, now: number, carried: bigint): void => {
    const { id: limitId, window } = limit
    if (!("every" in window)) return
    const name = spanOf(window, now).name
    if (beginningOf(state, budget, limit, name) !== undefined) return
    state.beginnings.push({ budget, limitId, window, name, carriedOver: carried })
  }

  /** A limit that was not there counts from now; nothing is carried over from before. */
  const putLimits = (
    state: State,
    budget: Budget,
    before: ReadonlyArray<Limit>,
    limits: ReadonlyArray<Limit>,
    now: number
  ): void => {
    for (const limit of limits) {
      const isOld = before.some(({ id, window }) => id === limit.id && sameWindow(window, limit.window))
      if (!isOld && holds("new-limits-carry-nothing")) begin(state, budget, limit, now, 0n)
      if (!holds("changed-limits-keep-counting")) {
        for (const use of usesOf(state, budget, limit)) use.used = 0n
      }
    }
    budget.limits = limits
  }

  const use = (
    state: State,
    budgets: ReadonlyArray<Budget>,
    by: Pick<Use, "held" | "used">,
    now: number
  ): Array<Use> => {
    const uses = budgets.flatMap((budget) =>
      budget.limits.map((limit): Use => {
        begin(state, budget, limit, now, carriedOver(state, budget, limit, now))
        return { budget, limitId: limit.id, window: limit.window, atMs: now, ...by }
      })
    )
    state.uses.push(...uses)
    return uses
  }

  /** What a limit counts within one window, or one piece of a rolling one, is an int64 as well. */
  const checkCounts = (state: State, uses: ReadonlyArray<Use>, charged: bigint): void => {
    const together = (a: Use, b: Use): boolean =>
      a.budget === b.budget && a.limitId === b.limitId && sameWindow(a.window, b.window) &&
      ("every" in a.window
        ? spanOf(a.window, a.atMs).name === spanOf(a.window, b.atMs).name
        : pieceOf(a.window.rollingMs, a.atMs).n === pieceOf(a.window.rollingMs, b.atMs).n)
    for (const use of uses) {
      const used = state.uses.filter((other) => together(use, other)).reduce((total, other) => total + other.used, 0n)
      check(used + charged <= INT64_MAX)
    }
  }

  /** The settlement of a hold counts where the hold did. */
  const settleUses = (reservation: Reservation, charged: bigint, now: number): void => {
    for (const use of reservation.uses) {
      if (!holds("limits-count-at-the-reserve")) use.atMs = now
      use.held = 0n
      use.used = holds("limits-count-overage") ? charged : min(charged, reservation.estimate.amount)
    }
  }

  // -- IDEMPOTENCY -----------------------------------------------------------------------------------------------------

  const spaceOf = (tenant: string, operation: string): string =>
    [holds("keys-per-tenant") ? tenant : "", holds("keys-per-operation") ? operation : ""].join(" ")

  /**
   * The same key with the same request (as sent, path id included) gives the first reply again; with another request it is
   * refused. Only a success leaves a record, and the DENY of `decide` and of a dry run is one.
   */
  const once = <A extends Reply>(
    state: State,
    space: string,
    key: IdempotencyKey,
    payload: unknown,
    first: () => A,
    again: (reply: A) => A = (reply) => reply
  ): A => {
    const record = state.records.find((r) => r.space === space && r.key === key)
    if (record !== undefined) {
      const isSame = same(record.payload, payload, !holds("key-order-is-no-difference"))
      if (!isSame && holds("mismatch")) refuse("IdempotencyMismatch")
      if (!isSame || holds("replay")) {
        if (record.result instanceof Refusal) throw record.result
        return again(record.result as A)
      }
    }
    try {
      const reply = first()
      state.records.push({ space, key, payload, result: reply })
      return reply
    } catch (refusal) {
      if (refusal instanceof Refusal && !holds("only-successes-recorded")) {
        state.records.push({ space, key, payload, result: refusal })
      }
      throw refusal
    }
  }

  const payloadOf = (request: object, defaults: object = {}): object =>
    holds("defaults-are-a-difference") ? request : { ...defaults, ...request }

  const payloadById = (id: ReservationId, request: object): object =>
    holds("path-id-in-payload") ? { id, request } : { request }

  /** A replay recomputes `remainingTtlMs` from the *original* expiry; it is 0 once the reservation is no longer ACTIVE. */
  const withFreshTtl = <A extends { readonly expiresAtMs?: number; readonly remainingTtlMs?: number }>(
    reply: A,
    reservation: Reservation | undefined,
    now: number
  ): A => {
    if (reply.expiresAtMs === undefined || !holds("remaining-ttl-recomputed")) return reply
    const ended = reservation?.status !== "ACTIVE" && holds("remaining-ttl-zero-when-ended")
    return { ...reply, remainingTtlMs: ended ? 0 : Math.max(0, reply.expiresAtMs - now) }
  }

  // -- tenants: ERROR SEMANTICS, closed owning tenant; governance, CASCADE SEMANTICS -------------------------------------

  const mustBeOpen = (state: State, tenant: string): void => {
    if (state.statuses.get(tenant) === "CLOSED" && holds("closed-tenant-takes-nothing")) {
      refuse("TenantClosed", {}, "TENANT_CLOSED")
    }
  }

  /** A suspended tenant gets nothing new. */
  const mustTakeHolds = (state: State, tenant: string): void => {
    mustBeOpen(state, tenant)
    if (state.statuses.get(tenant) === "SUSPENDED" && holds("suspended-tenant-takes-no-holds")) {
      refuse("Forbidden", {}, "TENANT_SUSPENDED")
    }
  }

  /** What it has it can settle: an open tenant is enough. */
  const mustSettle = (state: State, tenant: string): void =>
    holds("suspended-tenant-settles") ? mustBeOpen(state, tenant) : mustTakeHolds(state, tenant)

  const setTenantStatus = (
    state: State,
    tenant: string,
    status: TenantStatus,
    now: number
  ): { readonly status: TenantStatus } => {
    if (!state.defaults.some((defaults) => defaults.tenant === tenant)) refuse("NotFound")
    const before = state.statuses.get(tenant) ?? "ACTIVE"
    if (before === status) return { status }
    if (before === "CLOSED" && holds("closing-is-for-good")) refuse("TenantClosed")
    state.statuses.set(tenant, status)
    if (status === "CLOSED") {
      for (const r of state.reservations) {
        if (r.tenant !== tenant || r.status !== "ACTIVE" || !holds("closing-returns-holds")) continue
        write(r.budgets.map((budget) => ({ budget, reserved: -r.estimate.amount })))
        if (holds("closing-returns-what-limits-held")) settleUses(r, 0n, now)
        r.status = "RELEASED"
        r.finalizedAtMs = now
      }
      for (const b of state.budgets) if (b.tenant === tenant) b.status = "CLOSED"
      for (const key of state.apiKeys) if (key.tenant === tenant && holds("closing-revokes-keys")) key.isRevoked = true
    }
    return { status }
  }

  // -- expiry ----------------------------------------------------------------------------------------------------------

  /** What is due in the tenant is expired before anything is decided. The last millisecond of the grace still counts. */
  const expire = (state: State, tenant: string, now: number): void => {
    if (!holds("expire-before-deciding")) return
    for (const r of state.reservations) {
      if (r.tenant !== tenant || r.status !== "ACTIVE") continue
      const end = r.expiresAtMs + r.graceMs
      if (holds("expiry-includes-the-last-millisecond") ? now > end : now >= end) {
        r.status = "EXPIRED"
        write(r.budgets.map((budget) => ({ budget, reserved: -r.estimate.amount })))
        if (holds("limits-take-back-what-ended")) settleUses(r, 0n, now)
      }
    }
  }

  // -- policies: RESERVATION EVALUATION ORDER --------------------------------------------------------------------------

  interface Hold {
    readonly tenant: string
    readonly subject: Subject
    readonly scopes: ReadonlyArray<string>
    readonly action: Action
    readonly estimate: AnyAmount
    readonly now: number
  }

  interface Grant {
    readonly budgets: Array<Budget>
    readonly policy: Policy | undefined
    readonly caps: Caps | undefined
    /** Counts the hold, once it is taken. */
    readonly count: () => void
  }

  const expressions = new Map<string, RegExp>()

  /**
   * SCOPE PATTERNS: a star is one or more segments, `level:*` any name. What begins at the tenant is a whole path; what does not
   * may begin anywhere, and stands for what is below it too.
   */
  const expressionOf = (pattern: string): RegExp => {
    const known = expressions.get(pattern)
    if (known !== undefined) return known
    const whole = /^(tenant:|\*)/.test(pattern) ? pattern : `*/${pattern}`
    const source = whole.split("/").map((segment) =>
      segment === "*" ? "[^/]+(/[^/]+)*" : segment.replaceAll(".", "\\.").replace("*", "[^/]+")
    ).join("/")
    const below = pattern.startsWith("tenant:") || !holds("policy-of-an-agent-reaches-its-tools") ? "" : "(/.+)?"
    const expression = new RegExp(`^${source}${below}$`)
    expressions.set(pattern, expression)
    return expression
  }

  const standsFor = (pattern: string, scope: string): boolean =>
    expressionOf(pattern).test(scope) || (!holds("policy-below-is-not-itself") && pattern === `${scope}/*`)

  /** "If multiple policies match, highest priority wins." Then the longest pattern, then the lowest id. */
  const policyOf = (
    state: State,
    tenant: string,
    scopes: ReadonlyArray<string>,
    now: number
  ): Policy | undefined => {
    const matching = state.policies.filter((p) =>
      (p.tenant === tenant || !holds("policy-of-own-tenant")) &&
      (p.status !== "DISABLED" || !holds("policy-disabled")) &&
      ((p.effectiveFromMs ?? 0) <= now || !holds("policy-effective-from")) &&
      (now < (p.effectiveUntilMs ?? Infinity) || !holds("policy-effective-until")) &&
      (holds("policy-by-narrowest-scope")
        ? standsFor(p.scopePattern, deepest(scopes))
        : scopes.some((scope) => standsFor(p.scopePattern, scope)))
    )
    const byPriority = holds("policy-highest-priority") ? 1 : 0
    const byLength = holds("policy-longest-pattern") ? 1 : -1
    return matching.sort((a, b) =>
      byPriority * ((b.priority ?? 0) - (a.priority ?? 0)) ||
      byLength * (b.scopePattern.length - a.scopePattern.length) || textOrder(a.id, b.id)
    )[0]
  }

  const checkKind = ({ allowedActionKinds = [], deniedActionKinds = [] }: Policy, { kind }: Action): void => {
    if (deniedActionKinds.includes(kind) && holds("kinds-denied")) refuse("ActionDenied", {}, "ACTION_KIND_DENIED")
    if (allowedActionKinds.length > 0 && !allowedActionKinds.includes(kind) && holds("kinds-allowed")) {
      refuse("ActionDenied", {}, "ACTION_KIND_NOT_ALLOWED")
    }
  }

  /** The caps of several sources: only what none of them forbids. */
  const strictest = (all: ReadonlyArray<Caps>): Caps | undefined => {
    if (all.length === 1) return all[0]
    const numbers = (field: "maxTokens" | "maxStepsRemaining" | "cooldownMs"): Array<number> =>
      all.flatMap((caps) => caps[field] ?? [])
    const restricting = all.filter(({ toolAllowlist = [] }) => toolAllowlist.length > 0)
    const denying = all.filter((caps) => !restricting.includes(caps))
    const denied = new Set(denying.flatMap(({ toolDenylist = [] }) => toolDenylist))
    const inCommon = (restricting[0]?.toolAllowlist ?? []).filter((tool) =>
      (restricting.every(({ toolAllowlist = [] }) => toolAllowlist.includes(tool)) || !holds("caps-tools-in-common")) &&
      (!denied.has(tool) || !holds("caps-tools-denied-by-any"))
    )
    const tokens = numbers("maxTokens")
    const steps = numbers("maxStepsRemaining")
    const cooldown = holds("caps-longest-cooldown")
      ? Math.max(0, ...numbers("cooldownMs"))
      : numbers("cooldownMs")[0] ?? 0
    return {
      ...(tokens.length > 0 && { maxTokens: holds("caps-fewest-tokens") ? Math.min(...tokens) : tokens[0]! }),
      ...(steps.length > 0 && { maxStepsRemaining: Math.min(...steps) }),
      // An empty list would restrict nothing.
      ...(restricting.length > 0 && { toolAllowlist: inCommon.length > 0 ? inCommon : [""] }),
      ...(restricting.length === 0 && denied.size > 0 && { toolDenylist: [...denied] }),
      ...(cooldown > 0 && { cooldownMs: cooldown })
    }
  }

  const isBelow = (b: Budget, share: number): boolean => {
    const left = remaining(b) * 1_000_000n
    const bound = b.allocated * BigInt(Math.round(share * 1_000_000))
    return holds("caps-strictly-below") ? left < bound : left <= bound
  }

  /** What the policy that applies makes of a hold: hard gates, rate, steps, and then caps. */
  const termsOf = (state: State, hold: Hold): Omit<Grant, "budgets"> => {
    const { action, estimate, now, scopes, subject, tenant } = hold
    const policy = policyOf(state, tenant, scopes, now)
    if (policy === undefined) return { policy, caps: undefined, count: () => {} }
    checkKind(policy, action)

    const minute = holds("rate-per-minute") ? Math.floor(now / 60_000) : 0
    const rate = `rate ${policy.id} ${minute} ${holds("rate-per-scope") ? deepest(scopes) : ""}`
    const counted = (name: string): number => state.counts.get(name) ?? 0
    if (counted(rate) >= (policy.maxReservationsPerMinute ?? Infinity) && holds("rate-limit")) {
      refuse("RateLimited", { retryAfterMs: 60_000 - now % 60_000 })
    }

    const workflow = scopes.find((scope) => scope.split("/").at(-1)?.startsWith("workflow:"))
    const named = subject.dimensions?.["run_id"]
    const run = named === undefined ? holds("steps-of-one-workflow") ? workflow : subject.workflow : `run_id ${named}`
    const steps = `steps ${policy.id} ${run}`
    if (policy.maxSteps !== undefined && run === undefined && holds("steps-need-a-run")) refuse("InvalidRequest")

    const sources = holds("caps-of-the-policy") && policy.caps !== undefined ? [policy.caps] : []
    const budgets = state.budgets.filter((b) => scopes.includes(b.scope) && b.unit === estimate.unit)
    for (const { belowShare, caps } of policy.stateCaps ?? []) {
      const concerned = holds("caps-of-any-budget") ? budgets : budgets.filter(({ scope }) => scope === deepest(scopes))
      if (holds("caps-of-the-state") && concerned.some((b) => isBelow(b, belowShare))) sources.push(caps)
    }
    if (policy.maxSteps !== undefined && holds("steps-of-a-run")) {
      const taken = holds("steps-count-down") ? counted(steps) : 0
      sources.push({ maxStepsRemaining: Math.max(0, policy.maxSteps - taken) })
    }
    const caps = sources.length === 0 ? undefined : strictest(sources)
    if (caps?.maxStepsRemaining === 0) refuse("ActionDenied", {}, "ACTION_QUOTA_EXCEEDED")
    const count = (): void => {
      if (policy.maxReservationsPerMinute !== undefined) state.counts.set(rate, counted(rate) + 1)
      if (policy.maxSteps !== undefined) state.counts.set(steps, counted(steps) + 1)
    }
    return { policy, caps: Object.keys(caps ?? {}).length === 0 ? undefined : caps, count }
  }

  const allow = (caps: Caps | undefined): { readonly decision: "ALLOW" | "ALLOW_WITH_CAPS"; readonly caps?: Caps } =>
    caps === undefined ? { decision: "ALLOW" } : { decision: "ALLOW_WITH_CAPS", caps }

  const defaultsOf = (state: State, tenant: string): TenantDefaults | undefined =>
    state.defaults.find((defaults) => defaults.tenant === tenant)

  /** Schemas ReservationTtlOverride and Tenant: what nobody says is a minute, and an hour at most in a registered tenant. */
  const leaseOf = (state: State, tenant: string, policy: Policy | undefined, asked: number | undefined): number => {
    const own = defaultsOf(state, tenant)
    const byPolicy = holds("lease-of-the-policy") ? policy?.defaultTtlMs : undefined
    const byTenant = holds("lease-of-the-tenant") ? own?.defaultTtlMs : undefined
    const first = holds("lease-policy-before-tenant") ? byPolicy ?? byTenant : byTenant ?? byPolicy
    const hour = own === undefined || !holds("lease-of-a-registered-tenant") ? Infinity : 3_600_000
    const most = (holds("lease-cut-by-the-policy") ? policy?.maxTtlMs : undefined) ??
      (holds("lease-cut-by-the-tenant") ? own?.maxTtlMs : undefined) ?? hour
    return Math.min(asked ?? first ?? 60_000, most)
  }

  /** Schema CommitOveragePolicy: request, policy, tenant, default. */
  const overageOf = (
    state: State,
    tenant: string,
    policy: Policy | undefined,
    asked: OveragePolicy | undefined
  ): OveragePolicy => {
    const byPolicy = holds("overage-of-the-policy") ? policy?.overagePolicy : undefined
    const byTenant = holds("overage-of-the-tenant") ? defaultsOf(state, tenant)?.overagePolicy : undefined
    const first = holds("overage-policy-before-tenant") ? byPolicy ?? byTenant : byTenant ?? byPolicy
    const order = holds("overage-of-the-request") ? asked ?? first : first ?? asked
    return order ?? "ALLOW_IF_AVAILABLE"
  }

  /** Policies speak before budgets. */
  const grant = (state: State, hold: Hold): Grant => {
    mustTakeHolds(state, hold.tenant)
    if (!holds("policy-before-budgets")) admit(state, hold.scopes, hold.estimate, hold.now)
    const terms = termsOf(state, hold)
    return { ...terms, budgets: admit(state, hold.scopes, hold.estimate, hold.now) }
  }

  // -- createReservation, decide ---------------------------------------------------------------------------------------

  /** The checks of a hold: widest scope first, the first failure wins. Gives the budgeted scopes. */
  const admit = (
    state: State,
    scopes: ReadonlyArray<string>,
    estimate: AnyAmount,
    now: number
  ): Array<Budget> => {
    const budgets = budgeted(state, scopes, estimate.unit)
    for (const b of holds("widest-scope-first") ? budgets : budgets.toReversed()) {
      const where = { scope: b.scope, unit: b.unit }
      const exceeded = (): void => {
        if (remaining(b) >= estimate.amount || !holds("budget-exceeded")) return
        refuse("BudgetExceeded", { ...where, requested: estimate.amount, remaining: remaining(b) })
      }
      if (b.status === "FROZEN" && holds("frozen-blocks-reserve")) refuse("BudgetFrozen", where)
      if (b.status === "CLOSED" && holds("closed-blocks-reserve")) refuse("BudgetClosed", where)
      if (!holds("over-limit-before-exceeded")) exceeded()
      // OVERDRAFT RECONCILIATION: over-limit blocks, and precedes outstanding debt.
      if (isOverLimit(b) && holds("over-limit-blocks-reserve")) refuse("OverdraftLimitExceeded", where)
      // Debt blocks where no overdraft is permitted; within a positive limit it passes.
      const tolerated = b.overdraftLimit > 0n && holds("debt-within-limit-passes")
      if (b.debt > 0n && !tolerated && (b.overdraftLimit > 0n || holds("debt-without-limit-blocks-reserve"))) {
        refuse("DebtOutstanding", where)
      }
      if (!holds("limits-after-the-budget")) checkLimits(state, b, estimate.amount, now)
      exceeded()
      checkLimits(state, b, estimate.amount, now)
    }
    return budgets
  }

  /** The same evaluation, with a denial as a reason code. A mismatch of the unit is still an error. */
  const ask = (
    state: State,
    hold: Hold
  ): Grant | { readonly reasonCode: string; readonly retryAfterMs?: number } => {
    try {
      const granted = grant(state, hold)
      if (!holds("rate-counts-holds-only")) granted.count()
      return granted
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal
      const { failure: { error, retryAfterMs }, reasonCode } = refusal
      if (error === "UnitMismatch" && !holds("unit-mismatch-is-no-denial")) return { reasonCode: "BUDGET_NOT_FOUND" }
      if (error === "BudgetNotFound" && !holds("not-found-is-a-denial-when-asking")) throw refusal
      if (error === "RateLimited" && !holds("rate-is-no-denial")) return { reasonCode: "LIMIT_EXCEEDED" }
      if (reasonCode === "TENANT_CLOSED" && !holds("closed-tenant-is-a-denial-when-asking")) throw refusal
      if (reasonCode === "TENANT_SUSPENDED" && !holds("suspended-tenant-is-a-denial-when-asking")) throw refusal
      if (reasonCode === undefined) throw refusal
      return retryAfterMs === undefined ? { reasonCode } : { reasonCode, retryAfterMs }
    }
  }

  const decide = (state: State, tenant: string, request: DecideRequest, now: number): DecideReply => {
    checkKey(request.idempotencyKey)
    checkAction(request.action)
    check(int64(request.estimate.amount))
    const subject = subjectOf(tenant, request.subject)
    const affectedScopes = scopesOf(subject)
    mustReach(state, affectedScopes)
    const { action, estimate } = request
    return once(state, spaceOf(tenant, "decide"), request.idempotencyKey, request, (): DecideReply => {
      const answer = ask(state, { tenant, subject, scopes: affectedScopes, action, estimate, now })
      return "reasonCode" in answer
        ? { decision: "DENY", ...answer, affectedScopes }
        : { ...allow(answer.caps), affectedScopes }
    })
  }

  const reserve = (
    state: State,
    tenant: string,
    request: ReserveRequest,
    now: number,
    id: ReservationId
  ): ReserveReply => {
    checkKey(request.idempotencyKey)
    checkAction(request.action)
    check(int64(request.estimate.amount))
    check(between(request.ttlMs, 1_000, 86_400_000) && between(request.gracePeriodMs, 0, 60_000))
    const subject = subjectOf(tenant, request.subject)
    const affectedScopes = scopesOf(subject)
    mustReach(state, affectedScopes)
    const scopePath = deepest(affectedScopes)
    const graceMs = request.gracePeriodMs ?? 5_000
    const { action, estimate } = request
    const hold = { tenant, subject, scopes: affectedScopes, action, estimate, now }

    const dryRun = (): ReserveReply => {
      const answer = ask(state, hold)
      if ("reasonCode" in answer) return { decision: "DENY", ...answer, scopePath, affectedScopes }
      if (!holds("dry-run-holds-nothing")) {
        write(answer.budgets.map((budget) => ({ budget, reserved: estimate.amount })))
      }
      return {
        ...allow(answer.caps),
        reserved: estimate,
        scopePath,
        affectedScopes,
        balances: answer.budgets.map(balanceOf)
      }
    }

    const live = (): ReserveReply => {
      const { budgets, caps, count, policy } = grant(state, hold)
      const ttlMs = leaseOf(state, tenant, policy, request.ttlMs)
      const expiresAtMs = now + ttlMs
      write(budgets.map((budget) => ({ budget, reserved: estimate.amount })))
      count()
      const ofPolicy = holds("extensions-of-the-policy") ? policy?.maxExtensions : undefined
      const ofTenant = holds("extensions-of-the-tenant") ? defaultsOf(state, tenant)?.maxExtensions : undefined
      state.reservations.push({
        id,
        tenant,
        key: request.idempotencyKey,
        subject,
        action: request.action,
        estimate,
        policy: overageOf(state, tenant, policy, request.overagePolicy),
        maxExtensions: ofPolicy ?? ofTenant,
        graceMs,
        createdAtMs: now,
        scopes: affectedScopes,
        budgets,
        metadata: request.metadata,
        uses: use(state, budgets, { held: estimate.amount, used: 0n }, now),
        status: "ACTIVE",
        expiresAtMs,
        extensions: 0,
        finalizedAtMs: undefined,
        charged: undefined,
        committedMetadata: undefined
      })
      return {
        ...allow(caps),
        reservationId: id,
        reserved: estimate,
        expiresAtMs,
        remainingTtlMs: ttlMs,
        scopePath,
        affectedScopes,
        balances: budgets.map(balanceOf)
      }
    }

    const isDry = request.dryRun === true
    return once(
      state,
      spaceOf(tenant, isDry && !holds("dry-run-shares-keys") ? "dry-run" : "reserve"),
      request.idempotencyKey,
      payloadOf(request, {
        ttlMs: 60_000,
        gracePeriodMs: 5_000,
        overagePolicy: "ALLOW_IF_AVAILABLE",
        dryRun: false
      }),
      isDry ? dryRun : live,
      (reply) => withFreshTtl(reply, state.reservations.find((r) => r.id === reply.reservationId), now)
    )
  }

  // -- commitReservation, releaseReservation, extendReservation --------------------------------------------------------

  const mustBeActive = (r: Reservation): void => {
    if (r.status === "EXPIRED") refuse("ReservationExpired")
    if (r.status !== "ACTIVE") refuse("ReservationFinalized")
  }

  const mustBeInGrace = (r: Reservation, now: number): void => {
    if (now > r.expiresAtMs + (holds("grace-counts-for-settling") ? r.graceMs : 0)) refuse("ReservationExpired")
  }

  /** Schema CommitOveragePolicy: what an actual `a` costs each budget over an estimate `e` that is held there. */
  const charge = (
    budgets: ReadonlyArray<Budget>,
    e: bigint,
    a: bigint,
    policy: OveragePolicy
  ): { readonly charged: bigint; readonly changes: Array<Change> } => {
    const d = a - e
    if (d <= 0n || policy === "REJECT") {
      return { charged: a, changes: budgets.map((budget) => ({ budget, reserved: -e, spent: a })) }
    }
    const available = (b: Budget): bigint => holds("cap-not-below-zero") ? orZero(remaining(b)) : remaining(b)

    if (policy === "ALLOW_IF_AVAILABLE") {
      // Never refuses, never makes debt: the delta is capped to what the tightest scope has left.
      const lefts = budgets.map(available)
      const left = holds("cap-at-the-tightest-scope") ? lefts.reduce(min) : lefts.reduce((x, y) => x > y ? x : y)
      const c = holds("cap-at-what-remains") ? min(d, left) : d
      const changes = budgets.map((budget) => ({
        budget,
        reserved: -e,
        spent: e + c,
        // Only the scopes that could not have covered the whole delta take no new holds.
        flag: c < d && holds("flag-over-limit") && (remaining(budget) < d || !holds("flag-only-short-scopes"))
      }))
      return { charged: e + c, changes }
    }

    // ALLOW_WITH_OVERDRAFT: scopes without an overdraft limit behave as ALLOW_IF_AVAILABLE and cap the delta …
    const cannotCover = (b: Budget): boolean => b.overdraftLimit === 0n && remaining(b) < d
    let c = d
    for (const b of budgets) {
      if (cannotCover(b) && holds("zero-limit-caps-overdraft")) c = min(c, available(b))
    }
    // … the others take what is there, and the rest as debt up to their limit.
    const changes = budgets.map((budget): Change => {
      const flag = c < d && cannotCover(budget) && holds("flag-over-limit")
      if (budget.overdraftLimit === 0n || remaining(budget) >= c) return { budget, reserved: -e, spent: e + c, flag }
      const funded = holds("funded-before-debt") ? orZero(remaining(budget)) : 0n
      const deficit = c - funded
      // Debt that is above a lowered limit already is no reason where none is made.
      if (deficit > 0n && budget.debt + deficit > budget.overdraftLimit && holds("overdraft-limit")) {
        refuse("OverdraftLimitExceeded", { scope: budget.scope, unit: budget.unit })
      }
      return { budget, reserved: -e, spent: e + funded, debt: deficit, flag }
    })
    return { charged: e + c, changes }
  }

  const commit = (
    state: State,
    tenant: string,
    id: ReservationId,
    request: CommitRequest,
    now: number
  ): CommitReply => {
    checkKey(request.idempotencyKey)
    check(int64(request.actual.amount))
    const r = ownReservation(state, tenant, id)
    if (!holds("replay-before-state")) mustBeActive(r)
    if (!holds("replay-before-tenant-status")) mustSettle(state, tenant)
    const payload = payloadById(id, request)
    return once(state, spaceOf(tenant, "commit"), request.idempotencyKey, payload, (): CommitReply => {
      if (holds("closed-tenant-before-state")) mustSettle(state, tenant)
      mustBeActive(r)
      mustSettle(state, tenant)
      if (request.actual.unit !== r.estimate.unit && holds("commit-in-reserved-unit")) refuse("UnitMismatch")
      mustBeInGrace(r, now)
      const e = r.estimate.amount
      const a = request.actual.amount
      // FROZEN and CLOSED budgets refuse new work, never the settlement of a hold that was given.
      const frozen = r.budgets.find((b) => b.status === "FROZEN")
      if (frozen !== undefined && !holds("frozen-does-not-block-commit")) {
        refuse("BudgetFrozen", { scope: frozen.scope })
      }
      // REJECT: anything above the estimate is refused, and the hold stays.
      const policy = r.policy === "REJECT" && !holds("reject-refuses") ? "ALLOW_IF_AVAILABLE" : r.policy
      if (policy === "REJECT" && a > e) refuse("BudgetExceeded")
      const { changes, charged } = charge(r.budgets, e, a, policy)
      checkCounts(state, r.uses, charged)
      write(changes)
      settleUses(r, charged, now)
      r.status = "COMMITTED"
      r.finalizedAtMs = now
      r.charged = charged
      r.committedMetadata = request.metadata
      return {
        status: "COMMITTED",
        charged: amountOf(r.estimate.unit, charged),
        ...(charged < e && { released: amountOf(r.estimate.unit, e - charged) }),
        balances: r.budgets.map(balanceOf)
      }
    })
  }

  const release = (
    state: State,
    tenant: string,
    id: ReservationId,
    request: ReleaseRequest,
    now: number
  ): ReleaseReply => {
    checkKey(request.idempotencyKey)
    check((request.reason ?? "").length <= 256)
    const r = ownReservation(state, tenant, id)
    if (!holds("replay-before-state")) mustBeActive(r)
    if (!holds("replay-before-tenant-status")) mustSettle(state, tenant)
    const payload = payloadById(id, request)
    return once(state, spaceOf(tenant, "release"), request.idempotencyKey, payload, (): ReleaseReply => {
      if (holds("closed-tenant-before-state")) mustSettle(state, tenant)
      mustBeActive(r)
      mustSettle(state, tenant)
      mustBeInGrace(r, now)
      const all = holds("release-returns-all") ? r.budgets : r.budgets.slice(-1)
      write(all.map((budget) => ({ budget, reserved: -r.estimate.amount })))
      if (holds("limits-take-back-what-ended")) settleUses(r, 0n, now)
      r.status = "RELEASED"
      if (!holds("steps-stay-taken")) {
        for (const [name, n] of state.counts) if (name.startsWith("steps ")) state.counts.set(name, n - 1)
      }
      r.finalizedAtMs = now
      return { status: "RELEASED", released: r.estimate, balances: r.budgets.map(balanceOf) }
    })
  }

  const extend = (
    state: State,
    tenant: string,
    id: ReservationId,
    request: ExtendRequest,
    now: number
  ): ExtendReply => {
    checkKey(request.idempotencyKey)
    check(between(request.extendByMs, 1, 86_400_000))
    const r = ownReservation(state, tenant, id)
    if (!holds("replay-before-state")) mustBeActive(r)
    if (!holds("replay-before-tenant-status")) mustSettle(state, tenant)
    return once(
      state,
      spaceOf(tenant, "extend"),
      request.idempotencyKey,
      payloadById(id, request),
      (): ExtendReply => {
        if (holds("closed-tenant-before-state")) mustSettle(state, tenant)
        mustBeActive(r)
        mustSettle(state, tenant)
        // The grace is for settling, not for extending; the last millisecond of the lease still counts.
        const end = r.expiresAtMs + (holds("extend-not-in-grace") ? 0 : r.graceMs)
        if (holds("extend-includes-the-last-millisecond") ? now > end : now >= end) refuse("ReservationExpired")
        if (r.extensions >= (r.maxExtensions ?? maxExtensions) && holds("max-extensions")) {
          refuse("MaxExtensionsExceeded")
        }
        // From the present end of the lease, not from now.
        const expiresAtMs = (holds("extend-from-old-expiry") ? r.expiresAtMs : now) + request.extendByMs
        check(Number.isSafeInteger(expiresAtMs))
        r.expiresAtMs = expiresAtMs
        r.extensions += 1
        return { status: "ACTIVE", expiresAtMs, remainingTtlMs: expiresAtMs - now, balances: r.budgets.map(balanceOf) }
      },
      (reply) => withFreshTtl(reply, r, now)
    )
  }

  // -- createEvent -----------------------------------------------------------------------------------------------------

  /** A debit without a hold: the arithmetic of a commit with an estimate of 0. Debt and over-limit do not block it. */
  const event = (
    state: State,
    tenant: string,
    request: EventRequest,
    now: number,
    eventId: EventId
  ): EventReply => {
    checkKey(request.idempotencyKey)
    checkAction(request.action)
    check(int64(request.actual.amount) && between(request.clientTimeMs, 0, Number.MAX_SAFE_INTEGER))
    const scopes = scopesOf(subjectOf(tenant, request.subject))
    mustReach(state, scopes)
    const payload = payloadOf(request, { overagePolicy: "ALLOW_IF_AVAILABLE" })
    return once(state, spaceOf(tenant, "event"), request.idempotencyKey, payload, (): EventReply => {
      mustTakeHolds(state, tenant)
      const { amount: a, unit } = request.actual
      const applies = policyOf(state, tenant, scopes, now)
      if (applies !== undefined && !holds("kinds-do-not-concern-events")) checkKind(applies, request.action)
      const policy = overageOf(state, tenant, applies, request.overagePolicy)
      const budgets = budgeted(state, scopes, unit)
      for (const b of budgets) {
        if (b.status === "FROZEN" && holds("frozen-blocks-event")) refuse("BudgetFrozen", { scope: b.scope, unit })
        if (b.status === "CLOSED") refuse("BudgetClosed", { scope: b.scope, unit })
        if (isOverLimit(b) && !holds("over-limit-does-not-block-event")) {
          refuse("OverdraftLimitExceeded", { scope: b.scope, unit })
        }
        if (policy === "REJECT" && remaining(b) < a && holds("reject-refuses")) {
          refuse("BudgetExceeded", { scope: b.scope, unit, requested: a, remaining: remaining(b) })
        }
        // A limit gates what is asked for. An event has happened, and is refused only where it says that it may be.
        const obeys = policy === "REJECT" ? holds("reject-events-obey-limits") : !holds("other-events-do-not")
        if (obeys) checkLimits(state, b, a, now)
      }
      const { changes, charged } = charge(budgets, 0n, a, policy)
      const uses: ReadonlyArray<Use> = budgets.flatMap((budget) =>
        budget.limits.map(({ id, window }) => ({ budget, limitId: id, window, atMs: now, held: 0n, used: 0n }))
      )
      checkCounts(state, uses, charged)
      write(changes)
      use(state, budgets, { held: 0n, used: holds("limits-count-events") ? charged : 0n }, now)
      return {
        status: "APPLIED",
        eventId,
        ...(charged < a && { charged: amountOf(unit, charged) }),
        balances: budgets.map(balanceOf)
      }
    })
  }

  // -- the operator ----------------------------------------------------------------------------------------------------

  const ownBudget = (state: State, tenant: string, scope: string, unit: Unit): Budget => {
    if (scope.split("/")[0] !== `tenant:${tenant}`) refuse("Forbidden")
    return state.budgets.find((b) => b.scope === scope && b.unit === unit) ?? refuse("BudgetNotFound", { scope, unit })
  }

  /** To change it: a closed tenant's takes no change, even if there is none. */
  const ownOpenBudget = (state: State, tenant: string, scope: string, unit: Unit): Budget => {
    if (scope.split("/")[0] === `tenant:${tenant}`) mustBeOpen(state, tenant)
    return ownBudget(state, tenant, scope, unit)
  }

  const fund = (state: State, tenant: string, scope: string, unit: Unit, request: FundRequest): Balance => {
    checkKey(request.idempotencyKey)
    check(int64(request.amount) && int64(request.spent ?? 0n))
    const isThere = state.budgets.some((b) => b.scope === scope && b.unit === unit)
    const b = (isThere ? ownBudget : ownOpenBudget)(state, tenant, scope, unit)
    const space = spaceOf(tenant, holds("fund-keys-per-budget") ? `fund ${scope} ${unit}` : "fund")
    return once(state, space, request.idempotencyKey, request, () => {
      mustBeOpen(state, tenant)
      const { amount: x, operation } = request
      if (b.status === "FROZEN" && holds("frozen-blocks-funding")) refuse("BudgetFrozen", { scope, unit })
      if (b.status === "CLOSED") refuse("BudgetClosed", { scope, unit })
      switch (operation) {
        case "CREDIT": {
          // DEBT SEMANTICS: debt is repaid first. What was consumed on debt is thereby paid for, so it becomes spent, and
          // remaining rises by exactly what was given.
          const r = holds("credit-repays-debt") ? min(b.debt, x) : 0n
          write([{ budget: b, allocated: x, debt: -r, spent: holds("repaid-debt-is-spent") ? r : 0n }])
          break
        }
        case "REPAY_DEBT": {
          // fundBudget: debt -= amount; what is above the debt is added to what remains.
          const r = min(b.debt, x)
          write([{ budget: b, allocated: holds("repayment-surplus-is-allocated") ? x - r : x, debt: -r }])
          break
        }
        case "DEBIT": {
          if (remaining(b) < x && holds("debit-needs-remaining")) {
            refuse("BudgetExceeded", { scope, unit, requested: x, remaining: remaining(b) })
          }
          write([{ budget: b, allocated: -x }])
          break
        }
        case "RESET":
          write([{ budget: b, allocated: x - b.allocated, spent: holds("reset-keeps-spent") ? 0n : -b.spent }])
          break
        case "RESET_SPENT":
          write([{ budget: b, allocated: x - b.allocated, spent: (request.spent ?? 0n) - b.spent }])
          break
      }
      // OVERDRAFT RECONCILIATION: new money that leaves something to spend clears the flag of a capped charge.
      const something = remaining(b) > 0n || !holds("flag-stays-while-nothing-remains")
      const newMoney = (operation !== "DEBIT" || !holds("debit-keeps-flag")) &&
        (operation !== "REPAY_DEBT" || !holds("repayment-keeps-flag"))
      if (newMoney && something && holds("funding-clears-flag")) b.capped = false
      return balanceOf(b)
    })
  }

  const setStatus = (state: State, tenant: string, scope: string, unit: Unit, status: BudgetStatus): Balance => {
    const b = ownOpenBudget(state, tenant, scope, unit)
    b.status = status
    return balanceOf(b)
  }

  const setLimits = (
    state: State,
    tenant: string,
    scope: string,
    unit: Unit,
    limits: ReadonlyArray<Limit>,
    now: number
  ): Balance => {
    const b = ownOpenBudget(state, tenant, scope, unit)
    if (b.status === "CLOSED") refuse("BudgetClosed", { scope, unit })
    putLimits(state, b, b.limits, limits, now)
    return balanceOf(b)
  }

  /** PATCH budgets: the limit itself; what follows from it for debt is in `isOverLimit`. */
  const setLimit = (state: State, tenant: string, scope: string, unit: Unit, overdraftLimit: bigint): Balance => {
    check(int64(overdraftLimit))
    const b = ownOpenBudget(state, tenant, scope, unit)
    b.overdraftLimit = overdraftLimit
    return balanceOf(b)
  }

  // -- createPolicy, updatePolicy and deleting one ---------------------------------------------------------------------

  const checkPolicy = (state: State, policy: Policy): void => {
    const { allowedActionKinds = [], deniedActionKinds = [], defaultTtlMs, effectiveFromMs, effectiveUntilMs } = policy
    const { maxTtlMs, priority = 0 } = policy
    check(policy.name.length >= 1 && between(priority, 0, Number.MAX_SAFE_INTEGER))
    check(between(defaultTtlMs, 1_000, 86_400_000) && between(maxTtlMs, 1_000, 86_400_000))
    check((defaultTtlMs ?? 0) <= (maxTtlMs ?? Infinity))
    check((effectiveFromMs ?? -1) < (effectiveUntilMs ?? Infinity))
    if (holds("policy-kinds-not-both")) check(allowedActionKinds.length === 0 || deniedActionKinds.length === 0)
    // A segment is a level, by a name or any name, or a lone star for some of them; the tenant is one's own.
    const segments = policy.scopePattern.split("/")
    check(segments.every((segment) => segment === "*" || new RegExp(`^(${LEVELS.join("|")}):.+$`).test(segment)))
    if (segments.some((s) => s.startsWith("tenant:") && s !== "tenant:*" && s !== `tenant:${policy.tenant}`)) {
      refuse("Forbidden")
    }
    mustBeOpen(state, policy.tenant)
    const others = state.policies.filter((other) => other.tenant === policy.tenant && other.id !== policy.id)
    if (holds("policy-name-once")) check(others.every(({ name }) => name !== policy.name))
  }

  const policyReplyOf = ({ id, name, priority, status }: Policy): PolicyReply => ({
    policyId: id,
    name,
    status: status ?? "ACTIVE",
    priority: priority ?? 0
  })

  const ownPolicy = (state: State, tenant: string, id: string): number => {
    const at = state.policies.findIndex((policy) => policy.id === id && policy.tenant === tenant)
    return at === -1 ? refuse("NotFound") : at
  }

  const createPolicy = (state: State, tenant: string, seed: PolicySeed, id: string): PolicyReply => {
    const policy = { ...seed, tenant, id }
    checkPolicy(state, policy)
    state.policies.push(policy)
    return policyReplyOf(policy)
  }

  const updatePolicy = (state: State, tenant: string, id: string, change: Partial<PolicySeed>): PolicyReply => {
    mustBeOpen(state, tenant)
    const at = ownPolicy(state, tenant, id)
    const policy = { ...state.policies[at]!, ...change }
    checkPolicy(state, policy)
    state.policies[at] = policy
    return policyReplyOf(policy)
  }

  const deletePolicy = (state: State, tenant: string, id: string): PolicyReply => {
    mustBeOpen(state, tenant)
    const [policy] = state.policies.splice(ownPolicy(state, tenant, id), 1)
    return policyReplyOf(policy!)
  }

  // -- getBalances, getReservation, listReservations -------------------------------------------------------------------

  const balances = (state: State, tenant: string, query: BalancesQuery): BalancesPage => {
    check(LEVELS.some((level) => query[level] !== undefined) && between(query.limit, 1, 200))
    ownQuery(tenant, query)
    const rights = rightsOf(state)
    const wanted = LEVELS.flatMap((level) => query[level] === undefined ? [] : [`${level}:${query[level]}`])
    const found = state.budgets.filter((b) => {
      const segments = b.scope.split("/")
      return visible(tenant, b.tenant) && wanted.every((segment) => segments.includes(segment)) &&
        (reaches(rights, b.scope) || !holds("key-filter-in-lists"))
    })
    return { balances: found.sort((a, b) => textOrder(a.scope, b.scope) || textOrder(a.unit, b.unit)).map(balanceOf) }
  }

  const recordOf = (r: Reservation, withMetadata: boolean, withCommittedMetadata: boolean): ReservationRecord => ({
    reservationId: r.id,
    status: r.status,
    idempotencyKey: r.key,
    subject: r.subject,
    action: r.action,
    reserved: r.estimate,
    ...(r.charged !== undefined && { committed: amountOf(r.estimate.unit, r.charged) }),
    createdAtMs: r.createdAtMs,
    expiresAtMs: r.expiresAtMs,
    ...(r.finalizedAtMs !== undefined && { finalizedAtMs: r.finalizedAtMs }),
    scopePath: deepest(r.scopes),
    affectedScopes: r.scopes,
    ...(withMetadata && r.metadata !== undefined && { metadata: r.metadata }),
    ...(withCommittedMetadata && r.committedMetadata !== undefined && { committedMetadata: r.committedMetadata })
  })

  const reservation = (state: State, tenant: string, id: ReservationId): ReservationRecord => {
    const r = ownReservation(state, tenant, id)
    if (r.status === "EXPIRED" && holds("expired-is-gone")) refuse("ReservationExpired")
    return recordOf(r, true, true)
  }

  const reservations = (state: State, tenant: string, query: ReservationsQuery): ReservationsPage => {
    check(between(query.limit, 1, 200))
    checkWindow(query.createdFromMs, query.createdToMs)
    checkWindow(query.expiresFromMs, query.expiresToMs)
    checkWindow(query.finalizedFromMs, query.finalizedToMs)
    ownQuery(tenant, query)
    const rights = rightsOf(state)
    const within = (at: number, from: number | undefined, to: number | undefined): boolean =>
      (from === undefined || at >= from) && (to === undefined || at <= to)
    // TIME-RANGE FILTERS: a row that has no finalized time is in no window of finalized times.
    const open = !holds("finalized-window-excludes-open") ||
      (query.finalizedFromMs === undefined && query.finalizedToMs === undefined)
    const found = state.reservations.filter((r) =>
      visible(tenant, r.tenant) && (reaches(rights, deepest(r.scopes)) || !holds("key-filter-in-lists")) &&
      (query.idempotencyKey === undefined || r.key === query.idempotencyKey) &&
      (query.status === undefined || r.status === query.status) &&
      LEVELS.every((level) => query[level] === undefined || r.subject[level] === query[level]) &&
      within(r.createdAtMs, query.createdFromMs, query.createdToMs) &&
      within(r.expiresAtMs, query.expiresFromMs, query.expiresToMs) &&
      (r.finalizedAtMs === undefined ? open : within(r.finalizedAtMs, query.finalizedFromMs, query.finalizedToMs))
    )
    const sorts: Record<NonNullable<ReservationsQuery["sortBy"]>, (a: Reservation, b: Reservation) => number> = {
      reservation_id: (a, b) => textOrder(a.id, b.id),
      tenant: (a, b) => textOrder(a.tenant, b.tenant),
      scope_path: (a, b) => textOrder(deepest(a.scopes), deepest(b.scopes)),
      status: (a, b) => textOrder(a.status, b.status),
      reserved: (a, b) => a.estimate.amount < b.estimate.amount ? -1 : a.estimate.amount > b.estimate.amount ? 1 : 0,
      created_at_ms: (a, b) => a.createdAtMs - b.createdAtMs,
      expires_at_ms: (a, b) => a.expiresAtMs - b.expiresAtMs
    }
    const by = sorts[query.sortBy ?? "created_at_ms"]
    const sign = (query.sortDir ?? (holds("newest-first") ? "desc" : "asc")) === "desc" ? -1 : 1
    const include = query.include ?? []
    return {
      reservations: found
        .sort((a, b) => sign * by(a, b) || textOrder(a.id, b.id))
        .map((r) => recordOf(r, include.includes("metadata"), include.includes("committed_metadata")))
    }
  }

  // --------------------------------------------------------------------------------------------------------------------

  const run = (state: State, op: Operation, now: number, ids: NewIds): Reply => {
    switch (op._tag) {
      case "Decide":
        return decide(state, op.tenant, op.request, now)
      case "Reserve":
        return reserve(state, op.tenant, op.request, now, ids.reservationId)
      case "Commit":
        return commit(state, op.tenant, op.id, op.request, now)
      case "Release":
        return release(state, op.tenant, op.id, op.request, now)
      case "Extend":
        return extend(state, op.tenant, op.id, op.request, now)
      case "Event":
        return event(state, op.tenant, op.request, now, ids.eventId)
      case "Fund":
        return fund(state, op.tenant, op.scope, op.unit, op.request)
      case "SetStatus":
        return setStatus(state, op.tenant, op.scope, op.unit, op.status)
      case "SetLimit":
        return setLimit(state, op.tenant, op.scope, op.unit, op.overdraftLimit)
      case "CreatePolicy":
        return createPolicy(state, op.tenant, op.policy, ids.policyId ?? `policy-${state.policies.length}`)
      case "UpdatePolicy":
        return updatePolicy(state, op.tenant, op.id, op.change)
      case "DeletePolicy":
        return deletePolicy(state, op.tenant, op.id)
      case "SetTenantStatus":
        return setTenantStatus(state, op.tenant, op.status, now)
      case "CreateApiKey":
        return createApiKey(state, op, now, ids.apiKeyId ?? `key-${state.apiKeys.length}`)
      case "UpdateApiKey":
        return updateApiKey(state, op, now)
      case "RevokeApiKey":
        return revokeApiKey(state, op.tenant, op.id, now)
      case "SetLimits":
        return setLimits(state, op.tenant, op.scope, op.unit, op.limits, now)
      case "Limits":
        return { limits: limitsOf(state, ownBudget(state, op.tenant, op.scope, op.unit), now) }
      case "Balances":
        return balances(state, op.tenant, op.query)
      case "ReadReservation":
        return reservation(state, op.tenant, op.id)
      case "ListReservations":
        return reservations(state, op.tenant, op.query)
    }
  }

  return {
    initial: (seeds, now = 0, defaults = []) => {
      const state: State = {
        budgets: seeds.map((seed) => ({
          spent: 0n,
          debt: 0n,
          overdraftLimit: 0n,
          capped: false,
          status: "ACTIVE",
          limits: [],
          ...seed,
          reserved: 0n
        })),
        reservations: [],
        records: [],
        policies: [],
        defaults,
        statuses: new Map(),
        apiKeys: [],
        counts: new Map(),
        uses: [],
        beginnings: []
      }
      for (const budget of state.budgets) putLimits(state, budget, [], budget.limits, now)
      return state
    },
    limits: limitsOf,
    reopenings: (state, now) =>
      [
        ...state.budgets.flatMap(({ limits }) =>
          limits.flatMap(({ window }) => "every" in window ? [spanOf(window, now).endMs] : [])
        ),
        ...state.uses.map(leavesAt)
      ].filter((at) => at > now).sort((a, b) => a - b),
    apply: (state, operation, now, ids) => {
      expire(state, operation.tenant, now)
      asking = { operation, now }
      try {
        return { _tag: "Success", value: run(state, operation, now, ids) }
      } catch (refusal) {
        if (refusal instanceof Refusal) return refusal.failure
        throw refusal
      }
    }
  }
}
