/**
 * A Cycles server: the protocol's planes over a ledger, on a port.
 *
 * @since 0.1.0
 */
export * as AuthThrottle from "./AuthThrottle.ts"
export * as Config from "./Config.ts"
export * as Docs from "./Docs.ts"
export * as Health from "./Health.ts"
export * as Metrics from "./Metrics.ts"
export * as RateLimit from "./RateLimit.ts"
export * as Secrets from "./Secrets.ts"
export * as Server from "./Server.ts"
export * as StartupError from "./StartupError.ts"
export * as Storage from "./Storage.ts"
