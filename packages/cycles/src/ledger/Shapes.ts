/**
 * What is wrong with a request before any rule is asked.
 *
 * @internal
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { AnyAmount, Unit } from "../protocol/Amount.ts"
import { Amount } from "../protocol/Amount.ts"
import { BalancesQuery } from "../protocol/Balance.ts"
import { DecideRequest } from "../protocol/Decide.ts"
import { EventRequest } from "../protocol/Event.ts"
import { ExtendRequest } from "../protocol/Extend.ts"
import { IdempotencyKey } from "../protocol/Ids.ts"
import { JsonObject } from "../protocol/Metrics.ts"
import { OveragePolicy } from "../protocol/OveragePolicy.ts"
import { ReservationsQuery } from "../protocol/ReservationRecord.ts"
import { ReserveRequest } from "../protocol/Reserve.ts"
import { CommitRequest, ReleaseRequest } from "../protocol/Settle.ts"
import * as Shape from "../protocol/Shape.ts"
import * as CanonicalJson from "./CanonicalJson.ts"
import * as LimitShape from "./LimitShape.ts"
import type { BudgetPeriod, BudgetRow } from "./Model.ts"
import { permissions } from "./Permission.ts"
import type { Refusal } from "./Refusal.ts"
import type { BudgetOptions, UpdateRequest } from "./rules/Command.ts"
import * as ScopeFilter from "./ScopeFilter.ts"
import * as ScopePath from "./ScopePath.ts"

const tenantName = /^[a-zA-Z0-9_.-]{1,128}$/

export const invalidTenant = (tenant: string): Refusal | undefined =>
  tenantName.test(tenant)
    ? undefined
    : { code: "INVALID_REQUEST", field: "tenant", reason: "must be 1 to 128 letters, digits, '_', '.' or '-'" }

/** What a tenant can be registered as. Source: `cycles-governance-admin-v0.1.25.yaml`, schema `TenantCreateRequest`. */
export const flawedTenantId = (tenant: string): Refusal | undefined =>
  /^[a-z0-9-]{3,64}$/.test(tenant)
    ? undefined
    : { code: "INVALID_REQUEST", field: "tenant", reason: "must be 3 to 64 of a to z, 0 to 9 and '-'" }

const FundShape = Schema.Struct({
  idempotencyKey: IdempotencyKey,
  scope: Schema.String,
  operation: Schema.Literals(["CREDIT", "DEBIT", "RESET", "RESET_SPENT", "REPAY_DEBT"]),
  amount: Amount,
  spent: Schema.optionalKey(Amount),
  reason: Schema.optionalKey(Schema.String.check(Schema.isMaxCodePoints(512)))
})

const ReasonShape = Schema.optional(Schema.String.check(Schema.isMaxCodePoints(512)))
const OverageShape = Schema.optional(OveragePolicy)
/** What JSON has no word for cannot be kept. */
const MetadataShape = Schema.optional(JsonObject.check(Schema.makeFilter((metadata) => {
  try {
    CanonicalJson.stringify(metadata)
    return true
  } catch (cause) {
    return String(cause)
  }
})))
const MOST_PERMISSIONS = 64
const MOST_SCOPES = 100
const NameShape = Schema.String.check(Schema.isMinCodePoints(1), Schema.isMaxCodePoints(256))
const TtlShape = Schema.optional(
  Schema.Number.check(Schema.isInt(), Schema.isBetween({ minimum: 1_000, maximum: 86_400_000 }))
)

const InstantShape = Schema.optional(Schema.Natural)

const PeriodShape = Schema.Struct({
  rollover: Schema.optional(Schema.Literals(["NONE", "CARRY_FORWARD", "CAP_AT_ALLOCATED"])),
  startMs: InstantShape,
  endMs: InstantShape
}).check(
  Schema.makeFilter(({ endMs, startMs }) =>
    endMs === undefined || startMs === undefined || endMs > startMs || "must end after it starts"
  )
)

const BudgetShape = Schema.Struct({
  status: Schema.optional(Schema.Literals(["ACTIVE", "FROZEN", "CLOSED"])),
  overagePolicy: OverageShape,
  period: Schema.optional(PeriodShape),
  metadata: MetadataShape,
  reason: ReasonShape
})

const TenantShape = Schema.Struct({
  name: Schema.optional(NameShape),
  parent: Schema.optional(Schema.NullOr(Schema.String)),
  overagePolicy: OverageShape,
  defaultTtlMs: TtlShape,
  maxTtlMs: TtlShape,
  maxExtensions: Schema.optional(Schema.Natural),
  expiryPolicy: Schema.optional(Schema.Literals(["AUTO_RELEASE", "GRACE_ONLY"])),
  status: Schema.optional(Schema.Literals(["ACTIVE", "SUSPENDED", "CLOSED"])),
  metadata: Schema.optional(Schema.Record(Schema.String, Schema.String).check(Schema.isMaxProperties(32)))
})

const ApiKeyShape = Schema.Struct({
  name: Schema.optional(NameShape),
  description: Schema.optional(Schema.String.check(Schema.isMaxCodePoints(1_024))),
  permissions: Schema.optional(Schema.Array(Schema.Literals(permissions)).check(Schema.isMaxLength(MOST_PERMISSIONS))),
  scopeFilter: Schema.optional(
    Schema.Array(Schema.String).check(
      Schema.isMaxLength(MOST_SCOPES),
      Schema.makeFilter((filter) => ScopeFilter.flaw(filter) ?? true)
    )
  ),
  metadata: MetadataShape
})

export const flaws = {
  decide: Shape.checker(DecideRequest),
  reserve: Shape.checker(ReserveRequest),
  commit: Shape.checker(CommitRequest),
  release: Shape.checker(ReleaseRequest),
  extend: Shape.checker(ExtendRequest),
  event: Shape.checker(EventRequest),
  balances: Shape.checker(BalancesQuery),
  reservations: Shape.checker(ReservationsQuery),
  fund: Shape.checker(FundShape),
  budget: Shape.checker(BudgetShape),
  tenant: Shape.checker(TenantShape),
  apiKey: Shape.checker(ApiKeyShape),
  reason: Shape.checker(Schema.Struct({ reason: ReasonShape })),
  amount: Shape.checker(Amount)
}

/** What is wrong with a page that is asked for. A store would take it for all rows, or for trouble of its own. */
export const invalidPage = (
  page: { readonly after?: unknown; readonly limit?: number | undefined } | undefined
): Refusal | undefined => {
  const { after, limit } = page ?? {}
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit > 0)) {
    return { code: "INVALID_REQUEST", field: "limit", reason: "must be a whole number above 0" }
  }
  return typeof after === "number" && !(Number.isSafeInteger(after) && after >= 0)
    ? { code: "INVALID_REQUEST", field: "after", reason: "must be the number of an entry, an event or an act, or 0" }
    : undefined
}

/** The digest of a request as sent, or a refusal where it holds something JSON has no word for. */
export const digestOf = (payload: unknown): Result.Result<string, Refusal> => {
  try {
    return Result.succeed(CanonicalJson.digest(payload))
  } catch (cause) {
    return Result.fail({ code: "INVALID_REQUEST", field: "metadata", reason: String(cause) })
  }
}

export const flawedUpdate = (tenant: string, request: UpdateRequest): Refusal | undefined => {
  const parsed = ScopePath.parse(tenant, request.scope)
  if (Result.isFailure(parsed)) return parsed.failure
  const { overdraftLimit, unit } = request
  const shape = flaws.budget(request)
  if (shape !== undefined) return { code: "INVALID_REQUEST", ...shape }
  return overdraftLimit === undefined
    ? undefined
    : flawedAmount("overdraftLimit", overdraftLimit) ?? otherUnit(overdraftLimit, unit)
}

/** Constructors refuse what is out of range; an amount made by hand is refused here. */
const flawedAmount = (field: string, amount: AnyAmount): Refusal | undefined => {
  const flaw = flaws.amount(amount)
  return flaw === undefined ? undefined : { code: "INVALID_REQUEST", field, reason: flaw.reason }
}

const otherUnit = (overdraftLimit: AnyAmount, unit: Unit): Refusal | undefined =>
  overdraftLimit.unit === unit
    ? undefined
    : { code: "INVALID_REQUEST", field: "overdraftLimit", reason: `must be in ${unit}, the unit of the budget` }

const periodOf = (period: BudgetOptions["period"]): BudgetPeriod | undefined =>
  period === undefined
    ? undefined
    : { rollover: period.rollover, startMs: period.startMs, endMs: period.endMs }

export const budgetRow = (
  tenant: string,
  id: string,
  budget: BudgetOptions
): Result.Result<BudgetRow, Refusal> => {
  const parsed = ScopePath.parse(tenant, budget.scope)
  if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
  const { overdraftLimit, allocated } = budget
  const shape = flaws.budget(budget)
  if (shape !== undefined) return Result.fail({ code: "INVALID_REQUEST", ...shape })
  const flaw = flawedAmount("allocated", allocated) ?? (overdraftLimit === undefined
    ? undefined
    : flawedAmount("overdraftLimit", overdraftLimit) ?? otherUnit(overdraftLimit, allocated.unit))
  if (flaw !== undefined) return Result.fail(flaw)
  const limits = LimitShape.parse(budget.limits, allocated.unit)
  if (Result.isFailure(limits)) return Result.fail(limits.failure)
  return Result.succeed({
    id,
    tenant,
    scope: budget.scope,
    unit: allocated.unit,
    allocated: allocated.amount,
    spent: 0n,
    reserved: 0n,
    debt: 0n,
    overdraftLimit: overdraftLimit?.amount ?? 0n,
    capped: false,
    status: budget.status ?? "ACTIVE",
    lastEntry: 0,
    limits: limits.success ?? [],
    overagePolicy: budget.overagePolicy,
    period: periodOf(budget.period),
    metadata: budget.metadata,
    createdAtMs: 0,
    updatedAtMs: 0,
    lastDenial: undefined,
    pace: undefined
  })
}
