/**
 * Budgets around models and tools.
 *
 * @since 0.1.0
 */

// models and tools
export * as BudgetedEmbedding from "./BudgetedEmbedding.ts"
export * as BudgetedModel from "./BudgetedModel.ts"
export * as BudgetedToolkit from "./BudgetedToolkit.ts"
export * as Denial from "./Denial.ts"
export * as McpGuard from "./McpGuard.ts"

export * as BudgetNote from "./BudgetNote.ts"

// what they cost
export * as Cost from "./Cost.ts"
export * as Estimate from "./Estimate.ts"
export * as Price from "./Price.ts"
export * as PriceBook from "./PriceBook.ts"
export * as TokenUsage from "./TokenUsage.ts"
