/**
 * Everything an authority can answer but yes: one tagged error per protocol code.
 *
 * All of them carry what is known of the refusal (scope, unit, what was requested, what remains), the request and trace id
 * to look it up by, and two answers every caller needs: `isTransient` (may the same request succeed later, unchanged?) and
 * `retryAfter`. Their message ends with what a person can do next.
 *
 * **Example** (Matching a denial)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CyclesError } from "effect-cycles"
 *
 * const call: Effect.Effect<string, CyclesError.BudgetExceeded | CyclesError.BudgetFrozen> = Effect.fail(
 *   new CyclesError.BudgetExceeded({ scope: "tenant:acme", unit: "TOKENS", requested: 1_000n, remaining: 20n })
 * )
 *
 * const answer = call.pipe(
 *   Effect.catchTag("BudgetExceeded", (denied) => Effect.succeed(`cached (${denied.remaining} left)`))
 * )
 *
 * console.log(await Effect.runPromise(answer)) // => "cached (20 left)"
 * ```
 *
 * Specification: `cycles-protocol-v0.yaml`, section ERROR SEMANTICS, schemas `ErrorCode` and `DecisionReasonCode`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { format, Unit } from "./Amount.ts"
import { JsonObject } from "./Metrics.ts"

/**
 * The error codes of the protocol's error body.
 *
 * @category models
 * @since 0.1.0
 */
export const ErrorCode = Schema.Literals([
  "INVALID_REQUEST",
  "UNAUTHORIZED",
  "FORBIDDEN",
  "NOT_FOUND",
  "BUDGET_EXCEEDED",
  "BUDGET_FROZEN",
  "BUDGET_CLOSED",
  "RESERVATION_EXPIRED",
  "RESERVATION_FINALIZED",
  "IDEMPOTENCY_MISMATCH",
  "UNIT_MISMATCH",
  "OVERDRAFT_LIMIT_EXCEEDED",
  "DEBT_OUTSTANDING",
  "MAX_EXTENSIONS_EXCEEDED",
  "LIMIT_EXCEEDED",
  "TENANT_CLOSED",
  "INTERNAL_ERROR"
])

/**
 * @category models
 * @since 0.1.0
 */
export type ErrorCode = typeof ErrorCode.Type

const context = {
  /** The authority's own words, where it sent some. */
  reason: Schema.optionalKey(Schema.String),
  /** The canonical path the refusal is about, for example `tenant:acme/agent:writer`. */
  scope: Schema.optionalKey(Schema.String),
  /** The unit of `requested` and `remaining`. */
  unit: Schema.optionalKey(Unit),
  /** What was asked for, in `unit`. */
  requested: Schema.optionalKey(Schema.BigInt),
  /** What was left at that scope, in `unit`; negative after an overdraft. */
  remaining: Schema.optionalKey(Schema.BigInt),
  /** Milliseconds after which the authority suggests asking again. */
  retryAfterMs: Schema.optionalKey(Schema.Natural),
  /** The authority's name for the request. */
  requestId: Schema.optionalKey(Schema.String),
  /** The W3C trace the request belonged to: 32 hex digits. */
  traceId: Schema.optionalKey(Schema.String),
  /**
   * Whatever else the authority said, in the names of the wire. This one's own says, where it applies: `limit_id` and `window`
   * of the limit that spoke, `reopens_at_ms` (Unix milliseconds), `policy_id`, and a `suggestion` that the message ends with.
   */
  details: Schema.optionalKey(JsonObject)
}

/**
 * What every error may carry. All optional: a remote authority decides how much it tells.
 *
 * @category models
 * @since 0.1.0
 */
export interface Context extends Schema.Schema.Type<typeof ContextStruct> {}
const ContextStruct = Schema.Struct(context)

const describe = (what: string, self: Context, next: string): string => {
  const where = self.scope === undefined ? "" : ` at ${self.scope}`
  // Dollars say for themselves what they are; other amounts share the name of their unit.
  const isMoney = self.unit === "USD_MICROCENTS"
  const shown = (amount: bigint): string => isMoney ? format({ unit: "USD_MICROCENTS", amount }) : String(amount)
  const numbers = self.requested === undefined && self.remaining === undefined
    ? ""
    : ` (${
      [
        self.requested === undefined ? undefined : `requested ${shown(self.requested)}`,
        self.remaining === undefined ? undefined : `remaining ${shown(self.remaining)}`,
        isMoney ? undefined : self.unit
      ].filter((part) => part !== undefined).join(", ")
    })`
  const reason = self.reason === undefined ? "" : `: ${self.reason}`
  const again = self.retryAfterMs === undefined ? "" : ` Ask again after ${self.retryAfterMs} ms.`
  const suggestion = self.details?.["suggestion"]
  return `${what}${where}${numbers}${reason}. ${typeof suggestion === "string" ? `${suggestion}.` : next}${again}`
}

const retryAfterOf = (self: Context): Duration.Duration | undefined =>
  self.retryAfterMs === undefined ? undefined : Duration.millis(self.retryAfterMs)

/**
 * The request breaks a rule of the protocol; `field` names the part and `reason` the rule. Nothing was done.
 *
 * Where it is fine in itself and only what is there stands against it, `details.conflict` says so in a word of the governance
 * specification: `DUPLICATE_RESOURCE`, `KEY_REVOKED`, `KEY_EXPIRED`; or `INVALID_REQUEST`, where that has none.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRequest
  extends Schema.TaggedError<InvalidRequest>("effect-cycles/InvalidRequest")("InvalidRequest", {
    ...context,
    /** The path of the field at fault, for example `subject.agent`. */
    field: Schema.String
  })
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "INVALID_REQUEST"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe(`Invalid request: ${this.field}`, this, "Correct the field and send it again.")
  }
}

/**
 * The authority does not know the key that was sent, or no longer accepts it.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unauthorized
  extends Schema.TaggedError<Unauthorized>("effect-cycles/Unauthorized")("Unauthorized", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "UNAUTHORIZED"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Unauthorized", this, "Check that the API key is set, active and of this authority.")
  }
}

/**
 * The key is good, but not for this: another tenant's subject or reservation, or a missing permission.
 *
 * @category errors
 * @since 0.1.0
 */
export class Forbidden extends Schema.TaggedError<Forbidden>("effect-cycles/Forbidden")("Forbidden", context) {
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "FORBIDDEN"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Forbidden", this, "Use a key of that tenant and scope, or ask for the permission.")
  }
}

/**
 * There is nothing of that id: no reservation or, in governance, no tenant or API key.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedError<NotFound>("effect-cycles/NotFound")("NotFound", context) {
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "NOT_FOUND"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Not found", this, "Check the id; finished reservations are kept for 30 days.")
  }
}

/**
 * No budget exists, in any unit, on any scope of the subject. Answered to reserve and event.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetNotFound
  extends Schema.TaggedError<BudgetNotFound>("effect-cycles/BudgetNotFound")("BudgetNotFound", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "NOT_FOUND"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("No budget found", this, "Create a budget on one of the subject's scopes.")
  }
}

/**
 * What remains does not cover the request. The ordinary denial.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetExceeded
  extends Schema.TaggedError<BudgetExceeded>("effect-cycles/BudgetExceeded")("BudgetExceeded", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "BUDGET_EXCEEDED"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Budget exceeded", this, "Ask for less, wait for running work to settle, or add budget.")
  }
}

/**
 * The budget is over its limit and takes no new reservations until reconciled, or this commit would take its debt above the overdraft limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class OverdraftLimitExceeded
  extends Schema.TaggedError<OverdraftLimitExceeded>("effect-cycles/OverdraftLimitExceeded")(
    "OverdraftLimitExceeded",
    context
  )
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "OVERDRAFT_LIMIT_EXCEEDED"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Over limit", this, "Repay the debt or add budget; new reservations are refused until then.")
  }
}

/**
 * The budget is in debt and has no overdraft limit; it takes no new reservations until the debt is repaid.
 *
 * @category errors
 * @since 0.1.0
 */
export class DebtOutstanding
  extends Schema.TaggedError<DebtOutstanding>("effect-cycles/DebtOutstanding")("DebtOutstanding", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "DEBT_OUTSTANDING"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Debt outstanding", this, "Repay the debt first.")
  }
}

/**
 * An operator froze the budget. Holds already given can still be settled.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetFrozen
  extends Schema.TaggedError<BudgetFrozen>("effect-cycles/BudgetFrozen")("BudgetFrozen", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "BUDGET_FROZEN"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Budget frozen", this, "Ask an operator to unfreeze it.")
  }
}

/**
 * The budget is closed for good. Holds already given can still be settled.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetClosed
  extends Schema.TaggedError<BudgetClosed>("effect-cycles/BudgetClosed")("BudgetClosed", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "BUDGET_CLOSED"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Budget closed", this, "Use another budget.")
  }
}

/**
 * The tenant is closed for good; nothing of it can change any more.
 *
 * @category errors
 * @since 0.1.0
 */
export class TenantClosed
  extends Schema.TaggedError<TenantClosed>("effect-cycles/TenantClosed")("TenantClosed", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "TENANT_CLOSED"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Tenant closed", this, "Use another tenant.")
  }
}

/**
 * A policy forbids the action, whatever the budget: its kind is denied, not on the allowed list, or its quota is used up.
 *
 * @category errors
 * @since 0.1.0
 */
export class ActionDenied extends Schema.TaggedError<ActionDenied>("effect-cycles/ActionDenied")("ActionDenied", {
  ...context,
  /** Which rule spoke. */
  code: Schema.Literals(["ACTION_QUOTA_EXCEEDED", "ACTION_KIND_DENIED", "ACTION_KIND_NOT_ALLOWED"])
}) {
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe(`Action denied (${this.code})`, this, "Choose an action the policy allows.")
  }
}

/**
 * A denial for a reason this version does not know. It is a denial all the same.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownDenial extends Schema.TaggedError<UnknownDenial>("effect-cycles/UnknownDenial")("UnknownDenial", {
  ...context,
  /** The authority's word for the reason. */
  code: Schema.String
}) {
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe(`Denied (${this.code})`, this, "See the reason; a newer version may know it by name.")
  }
}

/**
 * The amount is in a unit this budget, or this reservation, is not kept in.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnitMismatch extends Schema.TaggedError<UnitMismatch>("effect-cycles/UnitMismatch")("UnitMismatch", {
  ...context,
  /** The units there is a budget in, where known. */
  expectedUnits: Schema.optionalKey(Schema.Array(Unit))
}) {
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "UNIT_MISMATCH"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe(
      "Unit mismatch",
      this,
      this.expectedUnits === undefined
        ? "Send the amount in the unit of the budget."
        : `Send the amount in ${this.expectedUnits.join(" or ")}.`
    )
  }
}

/**
 * The idempotency key was used before, with another request.
 *
 * @category errors
 * @since 0.1.0
 */
export class IdempotencyMismatch
  extends Schema.TaggedError<IdempotencyMismatch>("effect-cycles/IdempotencyMismatch")("IdempotencyMismatch", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "IDEMPOTENCY_MISMATCH"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe(
      "Idempotency key reused with a different request",
      this,
      "Repeat the original request, or choose a new key."
    )
  }
}

/**
 * The reservation is already committed or released.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReservationFinalized
  extends Schema.TaggedError<ReservationFinalized>("effect-cycles/ReservationFinalized")(
    "ReservationFinalized",
    context
  )
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "RESERVATION_FINALIZED"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Reservation already settled", this, "Nothing to do: it was settled once, and only once.")
  }
}

/**
 * The lease ended, grace included, before the request came. The hold has gone back.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReservationExpired
  extends Schema.TaggedError<ReservationExpired>("effect-cycles/ReservationExpired")("ReservationExpired", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "RESERVATION_EXPIRED"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe(
      "Reservation expired",
      this,
      "Record what was spent as an event; keep the lease alive with a heartbeat next time."
    )
  }
}

/**
 * The reservation was extended as often as it may be.
 *
 * @category errors
 * @since 0.1.0
 */
export class MaxExtensionsExceeded
  extends Schema.TaggedError<MaxExtensionsExceeded>("effect-cycles/MaxExtensionsExceeded")(
    "MaxExtensionsExceeded",
    context
  )
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "MAX_EXTENSIONS_EXCEEDED"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("No more extensions", this, "Commit what was used and reserve again.")
  }
}

/**
 * The authority is throttling requests. It says nothing of the budget.
 *
 * @category errors
 * @since 0.1.0
 */
export class RateLimited extends Schema.TaggedError<RateLimited>("effect-cycles/RateLimited")("RateLimited", context) {
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "LIMIT_EXCEEDED"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return true
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("Rate limited", this, "Wait, then repeat the request with the same key.")
  }
}

/**
 * The authority failed while handling the request; whether it took effect is not known.
 *
 * @category errors
 * @since 0.1.0
 */
export class InternalError
  extends Schema.TaggedError<InternalError>("effect-cycles/InternalError")("InternalError", context)
{
  /** The protocol's code for this error. */
  get code(): ErrorCode {
    return "INTERNAL_ERROR"
  }

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return true
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("The authority failed", this, "Repeat the request with the same key.")
  }
}

/**
 * The authority could not be reached, did not answer in time, or refused for being overloaded. Whether the request took effect is not known.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthorityUnavailable
  extends Schema.TaggedError<AuthorityUnavailable>("effect-cycles/AuthorityUnavailable")("AuthorityUnavailable", {
    ...context,
    /** What went wrong underneath. */
    cause: Schema.optionalKey(Schema.Defect())
  })
{
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return true
  }

  /** How long the authority suggests to wait, where it said. */
  get retryAfter(): Duration.Duration | undefined {
    return retryAfterOf(this)
  }

  override get message(): string {
    return describe("The authority is unavailable", this, "Repeat the request with the same key.")
  }
}

/**
 * A typed no to a request that was understood: the union to match when the question is "may I spend this?".
 *
 * @category errors
 * @since 0.1.0
 */
export type Denied =
  | BudgetExceeded
  | OverdraftLimitExceeded
  | DebtOutstanding
  | BudgetFrozen
  | BudgetClosed
  | TenantClosed
  | ActionDenied
  | UnknownDenial

const denied: ReadonlySet<string> = new Set<Denied["_tag"]>([
  "BudgetExceeded",
  "OverdraftLimitExceeded",
  "DebtOutstanding",
  "BudgetFrozen",
  "BudgetClosed",
  "TenantClosed",
  "ActionDenied",
  "UnknownDenial"
])

/**
 * Whether an error is a denial, as opposed to a mistake in the request or trouble with the authority.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isDenied = (error: unknown): error is Denied =>
  error instanceof Error && "_tag" in error && typeof error._tag === "string" && denied.has(error._tag)

/**
 * Trouble any operation can meet: the request itself, the caller's rights, or the authority.
 *
 * @category errors
 * @since 0.1.0
 */
export type Trouble = InvalidRequest | Unauthorized | Forbidden | RateLimited | InternalError | AuthorityUnavailable

/**
 * What `decide` can fail with. Denials are part of its reply.
 *
 * @category errors
 * @since 0.1.0
 */
export type DecideError = Trouble | UnitMismatch | IdempotencyMismatch | UnknownDenial

/**
 * What `reserve` can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReserveError = Trouble | Denied | BudgetNotFound | UnitMismatch | IdempotencyMismatch

/**
 * What `commit` can fail with. `BudgetExceeded` comes of the overage policy REJECT, `OverdraftLimitExceeded` of
 * ALLOW_WITH_OVERDRAFT.
 *
 * @category errors
 * @since 0.1.0
 */
export type CommitError =
  | Trouble
  | NotFound
  | BudgetExceeded
  | OverdraftLimitExceeded
  | TenantClosed
  | UnknownDenial
  | UnitMismatch
  | IdempotencyMismatch
  | ReservationFinalized
  | ReservationExpired

/**
 * What `release` can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReleaseError =
  | Trouble
  | NotFound
  | TenantClosed
  | UnknownDenial
  | IdempotencyMismatch
  | ReservationFinalized
  | ReservationExpired

/**
 * What `extend` can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type ExtendError = ReleaseError | MaxExtensionsExceeded

/**
 * What `event` can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type EventError = Trouble | Denied | BudgetNotFound | UnitMismatch | IdempotencyMismatch

/**
 * What reading a reservation by its id can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReadError = Trouble | NotFound | ReservationExpired

/**
 * Every error of the protocol.
 *
 * @category errors
 * @since 0.1.0
 */
export type CyclesError =
  | DecideError
  | ReserveError
  | CommitError
  | ReleaseError
  | ExtendError
  | EventError
  | ReadError

/**
 * The denial a reason code stands for, so that a DENY in a reply and an error of the same cause are one type.
 *
 * An unknown code becomes {@link UnknownDenial}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromReason = (code: string, fields: Context): Denied | BudgetNotFound => {
  switch (code) {
    case "BUDGET_EXCEEDED":
      return new BudgetExceeded(fields)
    case "OVERDRAFT_LIMIT_EXCEEDED":
      return new OverdraftLimitExceeded(fields)
    case "DEBT_OUTSTANDING":
      return new DebtOutstanding(fields)
    case "BUDGET_FROZEN":
      return new BudgetFrozen(fields)
    case "BUDGET_CLOSED":
      return new BudgetClosed(fields)
    case "BUDGET_NOT_FOUND":
      return new BudgetNotFound(fields)
    case "TENANT_CLOSED":
      return new TenantClosed(fields)
    case "ACTION_QUOTA_EXCEEDED":
    case "ACTION_KIND_DENIED":
    case "ACTION_KIND_NOT_ALLOWED":
      return new ActionDenied({ ...fields, code })
    default:
      return new UnknownDenial({ ...fields, code })
  }
}
