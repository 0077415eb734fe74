/**
 * The Cycles protocol over HTTP: its contract, a client that is a `BudgetAuthority`, and the handlers of a server.
 *
 * @since 0.1.0
 */

export * as CyclesClient from "./CyclesClient.ts"
export * as Errors from "./Errors.ts"
export * as FileJournal from "./FileJournal.ts"
export * as GovernanceApi from "./GovernanceApi.ts"
export * as GovernanceClient from "./GovernanceClient.ts"
export * as GovernanceHandlers from "./GovernanceHandlers.ts"
export * as Handlers from "./Handlers.ts"
export * as HistoryApi from "./HistoryApi.ts"
export * as HistoryClient from "./HistoryClient.ts"
export * as HistoryHandlers from "./HistoryHandlers.ts"
export * as RuntimeApi from "./RuntimeApi.ts"
export * as WireJson from "./WireJson.ts"
