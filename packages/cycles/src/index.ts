/**
 * Budget and action authority for AI agents.
 *
 * @since 0.1.0
 */

// what people write
// the vocabulary
export * as Action from "./protocol/Action.ts"
export * as Amount from "./protocol/Amount.ts"
export * as Balance from "./protocol/Balance.ts"
export * as BudgetAuthority from "./protocol/BudgetAuthority.ts"
export * as Caps from "./protocol/Caps.ts"
export * as CyclesError from "./protocol/CyclesError.ts"
export * as Subject from "./protocol/Subject.ts"
