/**
 * Budgets around models and tools.
 *
 * @since 0.1.0
 */
export * as Price from "./Price.ts"
export * as PriceBook from "./PriceBook.ts"
export * as TokenUsage from "./TokenUsage.ts"
