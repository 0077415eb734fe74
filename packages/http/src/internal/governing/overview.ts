// The overview in the words of the wire.
import type * as Core from "effect-cycles/ledger/Governance"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Caller } from "../../governance/Access.ts"
import * as Wire from "../../governance/Overview.ts"
import { GovernanceApi } from "../../GovernanceApi.ts"
import { governed } from "./answers.ts"
import { toWire as eventOf } from "./events.ts"

const sum = (counts: Iterable<number>): number => {
  let total = 0
  for (const count of counts) total += count
  return total
}

const amountOf = (amount: { readonly amount: bigint } | undefined): bigint => amount?.amount ?? 0n

const toWire = (seen: Core.Overview): Wire.AdminOverviewResponse => ({
  as_of: seen.asOfMs,
  event_window_seconds: seen.windowMs / 1_000,
  tenant_counts: {
    total: sum(Object.values(seen.tenants)),
    active: seen.tenants.ACTIVE,
    suspended: seen.tenants.SUSPENDED,
    closed: seen.tenants.CLOSED
  },
  budget_counts: {
    total: sum(Object.values(seen.budgets.byStatus)),
    active: seen.budgets.byStatus.ACTIVE,
    frozen: seen.budgets.byStatus.FROZEN,
    closed: seen.budgets.byStatus.CLOSED,
    over_limit: seen.budgets.overLimit,
    with_debt: seen.budgets.inDebt,
    by_unit: Object.fromEntries(seen.budgets.byUnit)
  },
  over_limit_scopes: seen.overLimit.map(({ balance }) => ({
    scope: balance.scope,
    unit: balance.remaining.unit,
    allocated: amountOf(balance.allocated),
    remaining: balance.remaining.amount,
    debt: amountOf(balance.debt)
  })),
  debt_scopes: seen.inDebt.map(({ balance }) => ({
    scope: balance.scope,
    unit: balance.remaining.unit,
    debt: amountOf(balance.debt),
    overdraft_limit: amountOf(balance.overdraftLimit)
  })),
  webhook_counts: { total: 0, active: 0, disabled: 0, with_failures: 0 },
  failing_webhooks: [],
  event_counts: { total_recent: sum(seen.events.values()), by_category: Object.fromEntries(seen.events) },
  recent_denials: seen.denials.map(eventOf),
  recent_expiries: seen.expiries.map(eventOf),
  recent_denials_by_reason: Object.fromEntries(seen.denialsByReason),
  access_control_stats: {
    policies_with_allow_list: seen.policies.allowing,
    policies_with_deny_list: seen.policies.denying
  }
})

const answer = governed("getAdminOverview", Wire.AdminOverviewResponse)

export const overview = HttpApiBuilder.group(
  GovernanceApi,
  "overview",
  (handlers) =>
    handlers.handleRaw(
      "getAdminOverview",
      () => answer(Effect.flatMap(Caller, ({ governing }) => Effect.map(governing.overview, toWire)))
    )
)
