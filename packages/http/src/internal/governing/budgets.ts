// Budgets: what the wire asks for in the words of the core, and back.
import type * as Core from "effect-cycles/ledger/Governance"
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import type { Balance } from "effect-cycles/protocol/Balance"
import { UnitMismatch } from "effect-cycles/protocol/CyclesError"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Schema from "effect/Schema"
import type { Governor } from "../../governance/Access.ts"
import { Caller } from "../../governance/Access.ts"
import * as Wire from "../../governance/Budgets.ts"
import { GovernanceApi, GovernanceBalancesApi } from "../../GovernanceApi.ts"
import { bodyOf, Malformed } from "../answering.ts"
import { MOST_ROWS } from "../governed.ts"
import { given, governed, type Limits, pageOf, tenantOf } from "./answers.ts"

// Web Crypto, which every supported runtime has; declared here so that no platform's types are needed.
declare const crypto: { readonly randomUUID: () => string }

/** A balance leaves out what is zero; here it is said. */
const inFull = (balance: Balance) => {
  const none = { unit: balance.remaining.unit, amount: 0n } satisfies AnyAmount
  const { allocated = none, debt = none, isOverLimit = false, overdraftLimit = none, spent = none } = balance
  return { ...balance, allocated, debt, isOverLimit, overdraftLimit, spent, reserved: balance.reserved ?? none }
}

const toWire = ({ balance: shown, period, ...budget }: Core.Budget): Wire.BudgetLedger => {
  const balance = inFull(shown)
  return given({
    ledger_id: budget.id,
    tenant_id: budget.tenant,
    scope: balance.scope,
    scope_path: balance.scopePath,
    unit: balance.remaining.unit,
    allocated: balance.allocated,
    remaining: balance.remaining,
    reserved: balance.reserved,
    spent: balance.spent,
    debt: balance.debt,
    overdraft_limit: balance.overdraftLimit,
    is_over_limit: balance.isOverLimit,
    commit_overage_policy: budget.overagePolicy,
    status: budget.status,
    rollover_policy: period?.rollover,
    period_start: period?.startMs,
    period_end: period?.endMs,
    created_at: budget.createdAtMs,
    updated_at: budget.updatedAtMs
  })
}

const answers = {
  create: governed("createBudget", Wire.BudgetLedger, 201),
  list: governed("listBudgets", Wire.BudgetListResponse),
  update: governed("updateBudget", Wire.BudgetLedger),
  freeze: governed("freezeBudget", Wire.BudgetLedger),
  unfreeze: governed("unfreezeBudget", Wire.BudgetLedger),
  fund: governed("fundBudget", Wire.BudgetFundingResponse),
  lookup: governed("lookupBudget", Wire.BudgetLedger),
  balances: governed("getBalances", Wire.BalanceListResponse)
}

const bodies = {
  create: bodyOf(Wire.BudgetCreateRequest),
  update: bodyOf(Wire.BudgetUpdateRequest),
  transition: bodyOf(Wire.BudgetStatusTransitionRequest, { isOptional: true }),
  fund: bodyOf(Wire.BudgetFundingRequest)
}

/** Amounts are in the unit of the budget. */
const inUnit = (
  unit: Unit,
  amounts: { readonly [field: string]: AnyAmount | undefined }
): Effect.Effect<void, UnitMismatch> => {
  for (const [field, amount] of Object.entries(amounts)) {
    if (amount !== undefined && amount.unit !== unit) {
      return Effect.fail(
        new UnitMismatch({
          unit: amount.unit,
          expectedUnits: [unit],
          reason: `${field} must be in ${unit}, the unit of the budget`
        })
      )
    }
  }
  return Effect.void
}

/** Whose budget it is: its scope says so. */
const ownerOf = (scope: string): Effect.Effect<string, Malformed> => {
  const tenant = /^tenant:([^/]+)/.exec(scope)?.[1]
  return tenant === undefined
    ? Effect.fail(new Malformed({ field: "scope", reason: "it must begin with its tenant, for example tenant:acme" }))
    : Effect.succeed(tenant)
}

const transition = (
  query: Wire.BudgetParameters,
  body: Effect.Effect<Wire.BudgetStatusTransitionRequest, Malformed>,
  change: (governing: Core.Governing) => Core.Governing["freezeBudget"]
) =>
  Effect.gen(function*() {
    const { governing } = yield* Caller
    const { reason } = yield* body
    return toWire(yield* change(governing)(yield* ownerOf(query.scope), { ...query, reason }))
  })

/** A tenant's own rows are all it can ask for. */
const ownOf = (governor: Governor, tenant: string | undefined): string | undefined =>
  governor._tag === "principal" ? governor.principal.tenant : tenant

const isKey = Schema.is(IdempotencyKey)

/** The key of a request, in its body or its header; one that has none is a request of its own. */
const keyOf = (
  { idempotency_key: key }: Wire.BudgetFundingRequest,
  header: string | undefined
): Effect.Effect<IdempotencyKey, Malformed> => {
  const flawed = (reason: string) => Effect.fail(new Malformed({ field: "idempotency_key", reason }))
  if (header === undefined) return Effect.succeed(key ?? IdempotencyKey.make(crypto.randomUUID()))
  if (!isKey(header)) return flawed("that in the header X-Idempotency-Key must have 1 to 256 characters")
  return key === undefined || key === header
    ? Effect.succeed(header)
    : flawed("it is not the one in the header X-Idempotency-Key")
}

export const budgets = ({ maxRequestBytes }: Limits) =>
  HttpApiBuilder.group(GovernanceApi, "budgets", (handlers) =>
    handlers
      .handleRaw("createBudget", ({ request }) =>
        answers.create(Effect.gen(function*() {
          const governor = yield* Caller
          const body = yield* bodies.create(request, maxRequestBytes)
          const tenant = yield* tenantOf(governor, body.tenant_id)
          yield* inUnit(body.unit, { allocated: body.allocated, overdraft_limit: body.overdraft_limit })
          const { period_end: endMs, period_start: startMs, rollover_policy: rollover } = body
          const hasPeriod = endMs !== undefined || startMs !== undefined || rollover !== undefined
          return toWire(
            yield* governor.governing.createBudget(tenant, {
              scope: body.scope,
              allocated: body.allocated,
              overdraftLimit: body.overdraft_limit,
              overagePolicy: body.commit_overage_policy,
              period: hasPeriod ? { rollover, startMs, endMs } : undefined,
              metadata: body.metadata
            })
          )
        })))
      .handleRaw("listBudgets", ({ query }) =>
        answers.list(Effect.gen(function*() {
          const governor = yield* Caller
          const page = yield* governor.governing.findBudgets({
            tenant: ownOf(governor, query.tenant_id),
            scopePrefix: query.scope_prefix,
            unit: query.unit,
            status: query.status,
            overLimit: query.over_limit,
            hasDebt: query.has_debt,
            utilizationMin: query.utilization_min,
            utilizationMax: query.utilization_max,
            search: query.search,
            sortBy: query.sort_by,
            sortDir: query.sort_dir,
            cursor: query.cursor,
            limit: query.limit === undefined ? undefined : Math.min(query.limit, MOST_ROWS)
          })
          const { items, ...rest } = pageOf(page, toWire)
          return { ledgers: items, ...rest }
        })))
      .handleRaw("updateBudget", ({ query, request }) =>
        answers.update(Effect.gen(function*() {
          const { governing } = yield* Caller
          const body = yield* bodies.update(request, maxRequestBytes)
          yield* inUnit(query.unit, { overdraft_limit: body.overdraft_limit })
          return toWire(
            yield* governing.updateBudget(yield* ownerOf(query.scope), {
              ...query,
              overdraftLimit: body.overdraft_limit,
              overagePolicy: body.commit_overage_policy,
              metadata: body.metadata
            })
          )
        })))
      .handleRaw("freezeBudget", ({ query, request }) =>
        answers.freeze(
          transition(query, bodies.transition(request, maxRequestBytes), ({ freezeBudget }) => freezeBudget)
        ))
      .handleRaw("unfreezeBudget", ({ query, request }) =>
        answers.unfreeze(
          transition(query, bodies.transition(request, maxRequestBytes), ({ unfreezeBudget }) => unfreezeBudget)
        ))
      .handleRaw("fundBudget", ({ query, request }) =>
        answers.fund(Effect.gen(function*() {
          const governor = yield* Caller
          const body = yield* bodies.fund(request, maxRequestBytes)
          const idempotencyKey = yield* keyOf(body, request.headers["x-idempotency-key"])
          const tenant = governor._tag === "principal"
            ? governor.principal.tenant
            : yield* tenantOf(governor, query.tenant_id)
          yield* inUnit(query.unit, { amount: body.amount, spent: body.spent })
          const reply = yield* governor.governing.fund(tenant, {
            idempotencyKey,
            scope: query.scope,
            operation: body.operation,
            amount: body.amount,
            ...(body.spent === undefined ? undefined : { spent: body.spent }),
            ...(body.reason === undefined ? undefined : { reason: body.reason })
          })
          const [previous, balance] = [inFull(reply.previous), inFull(reply.balance)]
          return {
            operation: body.operation,
            previous_allocated: previous.allocated,
            new_allocated: balance.allocated,
            previous_remaining: previous.remaining,
            new_remaining: balance.remaining,
            previous_debt: previous.debt,
            new_debt: balance.debt,
            previous_spent: previous.spent,
            new_spent: balance.spent
          }
        })))
      .handleRaw("lookupBudget", ({ query }) =>
        answers.lookup(Effect.gen(function*() {
          const { governing } = yield* Caller
          return toWire(yield* governing.budget(yield* ownerOf(query.scope), query))
        }))))

export const balances = HttpApiBuilder.group(
  GovernanceBalancesApi,
  "balances",
  (handlers) =>
    handlers.handleRaw("getBalances", ({ query }) =>
      answers.balances(Effect.gen(function*() {
        const governor = yield* Caller
        const page = yield* governor.governing.findBudgets({
          tenant: query.tenant_id ?? ownOf(governor, undefined),
          scopePrefix: query.scope_prefix,
          unit: query.unit,
          cursor: query.cursor,
          limit: query.limit
        }, "balances:read")
        const { items, ...rest } = pageOf(page, toWire)
        return { balances: items, ...rest }
      })))
)
