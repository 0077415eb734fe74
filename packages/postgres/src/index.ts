/**
 * A store for ledgers in PostgreSQL, shared by any number of processes.
 *
 * @since 0.1.0
 */

export * as LedgerStorePostgres from "./LedgerStorePostgres.ts"
export * as PostgresError from "./PostgresError.ts"
