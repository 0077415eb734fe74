/**
 * Budgets on the wire: create, fund, list, look up, update, freeze, unfreeze; and the governance plane's own `GET /v1/balances`.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, tags Budgets and Balances.
 *
 * @since 0.1.0
 */
import { Amount, SignedAmount, Unit } from "effect-cycles/protocol/Amount"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import { JsonObject } from "effect-cycles/protocol/Metrics"
import { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { named, withParametersOf } from "../internal/contract.ts"
import * as Wire from "../internal/governed.ts"
import { BooleanText, parameter } from "../internal/wire.ts"
import { BadParameters } from "../RuntimeApi.ts"
import { AdminKey, EitherKey, TenantKey } from "./Access.ts"

/**
 * What a budget's status is.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetStatus = Schema.Literals(["ACTIVE", "FROZEN", "CLOSED"])

/**
 * What is said of budget that is left at the end of a period: kept and shown. Whoever begins a period does so by RESET_SPENT.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RolloverPolicy = Schema.Literals(["NONE", "CARRY_FORWARD", "CAP_AT_ALLOCATED"])

/**
 * A budget: what is allocated to a scope in a unit, and what became of it. Times are Unix milliseconds here and date-times on the
 * wire.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetLedger = Schema.Struct({
  ledger_id: Schema.String,
  tenant_id: Schema.optionalKey(Schema.String),
  scope: Schema.String,
  scope_path: Schema.optionalKey(Schema.String),
  unit: Unit,
  allocated: Amount,
  remaining: SignedAmount,
  reserved: Schema.optionalKey(Amount),
  spent: Schema.optionalKey(Amount),
  debt: Schema.optionalKey(Amount),
  overdraft_limit: Schema.optionalKey(Amount),
  is_over_limit: Schema.optionalKey(Schema.Boolean),
  commit_overage_policy: Schema.optionalKey(OveragePolicy),
  status: BudgetStatus,
  rollover_policy: Schema.optionalKey(RolloverPolicy),
  period_start: Schema.optionalKey(Wire.Instant),
  period_end: Schema.optionalKey(Wire.Instant),
  created_at: Wire.Instant,
  updated_at: Schema.optionalKey(Wire.Instant)
}).annotate({ identifier: "BudgetLedger" })

/**
 * @category models
 * @since 0.1.0
 */
export interface BudgetLedger extends Schema.Schema.Type<typeof BudgetLedger> {}

/**
 * A budget to open. An operator says for which tenant; a tenant must not.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetCreateRequest = Schema.Struct({
  tenant_id: Schema.optionalKey(Schema.String),
  scope: Schema.String,
  unit: Unit,
  allocated: Amount,
  overdraft_limit: Schema.optionalKey(Amount),
  commit_overage_policy: Schema.optionalKey(OveragePolicy),
  rollover_policy: Schema.optionalKey(RolloverPolicy),
  period_start: Schema.optionalKey(Wire.Instant),
  period_end: Schema.optionalKey(Wire.Instant),
  metadata: Schema.optionalKey(JsonObject)
}).annotate({ identifier: "BudgetCreateRequest" })

/**
 * @category models
 * @since 0.1.0
 */
export interface BudgetCreateRequest extends Schema.Schema.Type<typeof BudgetCreateRequest> {}

/**
 * What is to be changed of a budget; what is not given stays.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetUpdateRequest = Schema.Struct({
  overdraft_limit: Schema.optionalKey(Amount),
  commit_overage_policy: Schema.optionalKey(OveragePolicy),
  metadata: Schema.optionalKey(JsonObject)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface BudgetUpdateRequest extends Schema.Schema.Type<typeof BudgetUpdateRequest> {}

/**
 * Why a budget is frozen or unfrozen. `metadata` goes into no row and no audit.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetStatusTransitionRequest = Schema.Struct({
  reason: Schema.optionalKey(Wire.textUpTo(512)),
  metadata: Schema.optionalKey(JsonObject)
}).annotate({ identifier: "BudgetStatusTransitionRequest" })

/**
 * @category models
 * @since 0.1.0
 */
export interface BudgetStatusTransitionRequest extends Schema.Schema.Type<typeof BudgetStatusTransitionRequest> {}

/**
 * How a budget is to be funded. Without an `idempotency_key` every request is one of its own.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetFundingRequest = Schema.Struct({
  operation: Schema.Literals(["CREDIT", "DEBIT", "RESET", "REPAY_DEBT", "RESET_SPENT"]),
  amount: Amount,
  spent: Schema.optionalKey(Amount),
  reason: Schema.optionalKey(Wire.textUpTo(512)),
  idempotency_key: Schema.optionalKey(IdempotencyKey),
  metadata: Schema.optionalKey(JsonObject)
}).annotate({ identifier: "BudgetFundingRequest" })

/**
 * @category models
 * @since 0.1.0
 */
export interface BudgetFundingRequest extends Schema.Schema.Type<typeof BudgetFundingRequest> {}

/**
 * The budget before and after it was funded.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetFundingResponse = Schema.Struct({
  operation: Schema.String,
  previous_allocated: Amount,
  new_allocated: Amount,
  previous_remaining: SignedAmount,
  new_remaining: SignedAmount,
  previous_debt: Schema.optionalKey(Amount),
  new_debt: Schema.optionalKey(Amount),
  previous_spent: Schema.optionalKey(Amount),
  new_spent: Schema.optionalKey(Amount),
  timestamp: Schema.optionalKey(Wire.Instant)
}).annotate({ identifier: "BudgetFundingResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface BudgetFundingResponse extends Schema.Schema.Type<typeof BudgetFundingResponse> {}

/**
 * A page of budgets.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetListResponse = Schema.Struct({
  ledgers: Schema.Array(BudgetLedger),
  next_cursor: Schema.optionalKey(Schema.String),
  has_more: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "BudgetListResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface BudgetListResponse extends Schema.Schema.Type<typeof BudgetListResponse> {}

/**
 * A page of budgets as balances.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BalanceListResponse = Schema.Struct({
  balances: Schema.Array(BudgetLedger),
  next_cursor: Schema.optionalKey(Schema.String),
  has_more: Schema.optionalKey(Schema.Boolean)
}).annotate({ identifier: "BalanceListResponse" })

/**
 * @category models
 * @since 0.1.0
 */
export interface BalanceListResponse extends Schema.Schema.Type<typeof BalanceListResponse> {}

const sortKeys = ["tenant_id", "scope", "unit", "status", "commit_overage_policy", "utilization", "debt"] as const

/**
 * The query string of `listBudgets`. A blank parameter counts as absent, and so does one that is not listed here.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetsParameters = Schema.Struct({
  tenant_id: Wire.TextParameter,
  scope_prefix: Wire.TextParameter,
  unit: Wire.UnitParameter,
  status: parameter(BudgetStatus),
  over_limit: parameter(BooleanText),
  has_debt: parameter(BooleanText),
  utilization_min: Wire.ShareParameter,
  utilization_max: Wire.ShareParameter,
  search: Wire.SearchParameter,
  sort_by: parameter(Schema.Literals(sortKeys)),
  sort_dir: Wire.SortDirParameter,
  cursor: Wire.CursorParameter,
  limit: Wire.FreeLimitParameter
})

/**
 * @category models
 * @since 0.1.0
 */
export interface BudgetsParameters extends Schema.Schema.Type<typeof BudgetsParameters> {}

/**
 * The query string that names a budget.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BudgetParameters = Schema.Struct({ scope: Schema.String, unit: Unit })

/**
 * @category models
 * @since 0.1.0
 */
export interface BudgetParameters extends Schema.Schema.Type<typeof BudgetParameters> {}

/**
 * The query string of `fundBudget`. An operator names the tenant.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FundParameters = Schema.Struct({ tenant_id: Wire.TextParameter, scope: Schema.String, unit: Unit })

/**
 * @category models
 * @since 0.1.0
 */
export interface FundParameters extends Schema.Schema.Type<typeof FundParameters> {}

/**
 * The query string of the governance plane's `getBalances`. `tenant_id`, where it is given, is the key's own.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BalancesParameters = Schema.Struct({
  tenant_id: Wire.TextParameter,
  scope_prefix: Wire.TextParameter,
  unit: Wire.UnitParameter,
  limit: Wire.LimitParameter,
  cursor: Wire.CursorParameter
})

/**
 * @category models
 * @since 0.1.0
 */
export interface BalancesParameters extends Schema.Schema.Type<typeof BalancesParameters> {}

/**
 * Methods and paths of the operations.
 *
 * @category contract
 * @since 0.1.0
 */
export const routes = {
  createBudget: { method: "POST", path: "/v1/admin/budgets" },
  listBudgets: { method: "GET", path: "/v1/admin/budgets" },
  updateBudget: { method: "PATCH", path: "/v1/admin/budgets" },
  freezeBudget: { method: "POST", path: "/v1/admin/budgets/freeze" },
  unfreezeBudget: { method: "POST", path: "/v1/admin/budgets/unfreeze" },
  fundBudget: { method: "POST", path: "/v1/admin/budgets/fund" },
  lookupBudget: { method: "GET", path: "/v1/admin/budgets/lookup" },
  getBalances: { method: "GET", path: "/v1/balances" }
} as const

const parameters = {
  ...Wire.parameterSchemas,
  status: { type: "string", enum: BudgetStatus.literals },
  scope_prefix: { type: "string" },
  over_limit: { type: "boolean" },
  has_debt: { type: "boolean" },
  utilization_min: { type: "number", format: "double", minimum: 0, maximum: 1 },
  utilization_max: { type: "number", format: "double", minimum: 0, maximum: 1 },
  sort_by: { type: "string", enum: sortKeys, default: "utilization" }
}

const withParameters = withParametersOf(parameters)

/** The body says why, and need not be there. */
const withOptionalBody = (operation: { readonly [name: string]: unknown }) => {
  const { requestBody, ...rest } = withParameters(operation)
  return { ...rest, requestBody: { ...(requestBody as object), required: false } }
}

/**
 * The operations on budgets: those of operators and tenants alike, and those only an operator has.
 *
 * @category contract
 * @since 0.1.0
 */
export class BudgetsGroup extends HttpApiGroup.make("budgets", { topLevel: true }).add(
  HttpApiEndpoint.post("createBudget", routes.createBudget.path, {
    payload: BudgetCreateRequest,
    success: BudgetLedger.pipe(HttpApiSchema.status(201)),
    error: Wire.errors(400, 401, 403, 409, 429, 500, 503)
  }).middleware(EitherKey),
  HttpApiEndpoint.get("listBudgets", routes.listBudgets.path, {
    query: BudgetsParameters,
    success: BudgetListResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters).middleware(EitherKey),
  HttpApiEndpoint.patch("updateBudget", routes.updateBudget.path, {
    query: BudgetParameters,
    payload: named(BudgetUpdateRequest, "BudgetUpdateRequest"),
    success: BudgetLedger,
    error: Wire.errors(400, 401, 403, 404, 409, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters).middleware(AdminKey),
  HttpApiEndpoint.post("freezeBudget", routes.freezeBudget.path, {
    query: BudgetParameters,
    payload: BudgetStatusTransitionRequest,
    success: BudgetLedger,
    error: Wire.errors(400, 401, 403, 404, 409, 429, 500, 503)
  }).annotate(OpenApi.Transform, withOptionalBody).middleware(AdminKey),
  HttpApiEndpoint.post("unfreezeBudget", routes.unfreezeBudget.path, {
    query: BudgetParameters,
    payload: BudgetStatusTransitionRequest,
    success: BudgetLedger,
    error: Wire.errors(400, 401, 403, 404, 409, 429, 500, 503)
  }).annotate(OpenApi.Transform, withOptionalBody).middleware(AdminKey),
  HttpApiEndpoint.post("fundBudget", routes.fundBudget.path, {
    query: FundParameters,
    payload: BudgetFundingRequest,
    success: BudgetFundingResponse,
    error: Wire.errors(400, 401, 403, 404, 409, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters).middleware(EitherKey),
  HttpApiEndpoint.get("lookupBudget", routes.lookupBudget.path, {
    query: BudgetParameters,
    success: BudgetLedger,
    error: Wire.errors(400, 401, 403, 404, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters).middleware(EitherKey)
).middleware(BadParameters) {}

/**
 * The governance plane's own view of balances, a tenant's.
 *
 * @category contract
 * @since 0.1.0
 */
export class BalancesGroup extends HttpApiGroup.make("balances", { topLevel: true }).add(
  HttpApiEndpoint.get("getBalances", routes.getBalances.path, {
    query: BalancesParameters,
    success: BalanceListResponse,
    error: Wire.errors(400, 401, 403, 429, 500, 503)
  }).annotate(
    OpenApi.Transform,
    withParametersOf({ ...parameters, limit: { type: "integer", minimum: 1, maximum: 100, default: 50 } })
  )
).middleware(BadParameters).middleware(TenantKey) {}
