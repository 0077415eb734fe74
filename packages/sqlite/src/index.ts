/**
 * A ledger of effect-cycles in a SQLite file.
 *
 * @since 0.1.0
 */
export * as LedgerStoreSqlite from "./LedgerStoreSqlite.ts"
export * as SqliteError from "./SqliteError.ts"
