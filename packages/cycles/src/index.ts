/**
 * Budget and action authority for AI agents.
 *
 * @since 0.1.0
 */

// what people write
export * as Budget from "./runtime/Budget.ts"
export * as Heartbeat from "./runtime/Heartbeat.ts"
export * as Journal from "./runtime/Journal.ts"
export * as Mode from "./runtime/Mode.ts"
export * as PromiseClient from "./runtime/PromiseClient.ts"
export { make as makePromiseClient } from "./runtime/PromiseClient.ts"
export * as Reservation from "./runtime/Reservation.ts"
export * as Settlement from "./runtime/Settlement.ts"
export * as Usage from "./runtime/Usage.ts"

// an authority of one's own
export * as Governance from "./ledger/Governance.ts"
export * as History from "./ledger/History.ts"
export * as Ledger from "./ledger/Ledger.ts"
export * as LedgerStoreMemory from "./ledger/LedgerStoreMemory.ts"
export * as Permission from "./ledger/Permission.ts"
export * as ScopeFilter from "./ledger/ScopeFilter.ts"
export * as Window from "./ledger/Window.ts"

// for a store of one's own
export * as KeyText from "./ledger/KeyText.ts"
export * as LedgerStore from "./ledger/LedgerStore.ts"
export * as RowJson from "./ledger/RowJson.ts"

// the vocabulary
export * as Action from "./protocol/Action.ts"
export * as Amount from "./protocol/Amount.ts"
export * as Balance from "./protocol/Balance.ts"
export * as Breakdown from "./protocol/Breakdown.ts"
export * as BudgetAuthority from "./protocol/BudgetAuthority.ts"
export * as Caps from "./protocol/Caps.ts"
export * as CyclesError from "./protocol/CyclesError.ts"
export * as Subject from "./protocol/Subject.ts"
