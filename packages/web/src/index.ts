/**
 * Budgets around the requests of web applications.
 *
 * @since 0.1.0
 */

// frameworks
export * as ExpressGuard from "./ExpressGuard.ts"
export * as FastifyGuard from "./FastifyGuard.ts"
export * as FetchGuard from "./FetchGuard.ts"
export * as HonoGuard from "./HonoGuard.ts"
export * as HttpGuard from "./HttpGuard.ts"
export * as TenantBudgets from "./TenantBudgets.ts"

// what they are made of
export * as Problem from "./Problem.ts"
export * as Tenant from "./Tenant.ts"
export * as TenantClients from "./TenantClients.ts"
export * as WebBudget from "./WebBudget.ts"
