/**
 * A Cycles server: the protocol's planes over a ledger, on a port.
 *
 * @since 0.1.0
 */
export * as Config from "./Config.ts"
export * as Secrets from "./Secrets.ts"
export * as Server from "./Server.ts"
export * as StartupError from "./StartupError.ts"
export * as Storage from "./Storage.ts"
