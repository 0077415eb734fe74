/**
 * Where a server keeps its ledger: in memory, in a SQLite file of its data directory, or in PostgreSQL.
 *
 * The driver of a store is loaded when that store is asked for, and no other is.
 *
 * @since 0.1.0
 */
import type { PostgresError } from "@effect-cycles/postgres/PostgresError"
import type { SqliteError } from "@effect-cycles/sqlite/SqliteError"
import * as Governance from "effect-cycles/ledger/Governance"
import * as Ledger from "effect-cycles/ledger/Ledger"
import * as LedgerStore from "effect-cycles/ledger/LedgerStore"
import * as LedgerStoreMemory from "effect-cycles/ledger/LedgerStoreMemory"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { join } from "node:path"
import * as Secrets from "./Secrets.ts"
import type { Reason } from "./StartupError.ts"
import { StartupError } from "./StartupError.ts"

/**
 * A store, and where it is.
 *
 * - `memory`: ends with the process
 * - `sqlite`: the file `ledger.db` in `dataDir`; `synchronous` is that of `LedgerStoreSqlite`, `full` when not given
 * - `postgres`: the database at `url`, in `schema` (`cycles` when not given), over `lanes` connections (4 when not given)
 *
 * @category models
 * @since 0.1.0
 */
export type Store =
  | { readonly store: "memory" }
  | {
    readonly store: "sqlite"
    readonly dataDir: string
    readonly synchronous?: "full" | "normal" | "off" | undefined
    readonly lockTimeoutMs?: number | undefined
  }
  | {
    readonly store: "postgres"
    readonly url: Redacted.Redacted<string>
    readonly schema?: string | undefined
    readonly lanes?: number | undefined
  }

/**
 * The SQLite file of a data directory.
 *
 * @category combinators
 * @since 0.1.0
 */
export const databaseFile = (dataDir: string): string => join(dataDir, "ledger.db")

const reasonOfSqlite: { readonly [R in SqliteError["reason"]]: Reason } = {
  Locked: "DatabaseLocked",
  NewerVersion: "DatabaseNewer",
  Corrupt: "DatabaseUnusable",
  NotADatabase: "DatabaseUnusable",
  NotALedger: "DatabaseUnusable",
  Unexpected: "DatabaseUnusable",
  ReadOnly: "DataDirectory",
  CannotOpen: "DataDirectory",
  Full: "DataDirectory",
  Io: "DataDirectory"
}

const reasonOfPostgres = (error: PostgresError): Reason => {
  switch (error.reason) {
    case "Unreachable":
    case "TooManyConnections":
      return "DatabaseUnreachable"
    case "SchemaNewer":
      return "DatabaseNewer"
    case "Contended":
      return "DatabaseLocked"
    case "Unreadable":
      return "DatabaseUnusable"
    default:
      return "DatabaseRefused"
  }
}

/** One line of a message that somebody else wrote. */
const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, " ").trim()

const wordsFor = (error: PostgresError): string =>
  error.reason === "Unreachable"
    ? `PostgreSQL cannot be reached: ${error.detail}. Check CYCLES_DATABASE_URL, and that the server runs`
    : error.message

const unusable = (reason: Reason, cause: Error, words = cause.message): StartupError =>
  new StartupError({ reason, message: oneLine(words), cause })

/**
 * Provides a store. The layer fails with a {@link StartupError} that says what to do.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStore = (options: Store): Layer.Layer<LedgerStore.LedgerStore, StartupError> => {
  switch (options.store) {
    case "memory":
      // A turn of a server brings the requests of many connections: one after another through the same code is far cheaper.
      return Layer.effect(
        LedgerStore.LedgerStore,
        Effect.map(LedgerStoreMemory.make, (store) => ({ ...store, gathers: true }))
      )
    case "sqlite": {
      const { dataDir, lockTimeoutMs, synchronous } = options
      return Layer.effect(
        LedgerStore.LedgerStore,
        Effect.gen(function*() {
          yield* Secrets.makeDirectory(dataDir)
          const Sqlite = yield* Effect.promise(() => import("@effect-cycles/sqlite/LedgerStoreSqlite"))
          const opened = Sqlite.make({ filename: databaseFile(dataDir), synchronous, lockTimeoutMs })
          return yield* Effect.mapError(opened, (error) => unusable(reasonOfSqlite[error.reason], error))
        })
      )
    }
    case "postgres": {
      const { lanes, schema, url } = options
      return Layer.effect(
        LedgerStore.LedgerStore,
        Effect.gen(function*() {
          const Postgres = yield* Effect.promise(() => import("@effect-cycles/postgres/LedgerStorePostgres"))
          const opened = Postgres.make({ applicationName: "cycles", url, schema, lanes })
          return yield* Effect.mapError(opened, (error) => unusable(reasonOfPostgres(error), error, wordsFor(error)))
        })
      )
    }
  }
}

/**
 * A store, what its API keys are signed with, and how its ledger works.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly store: Store
  readonly peppers: Secrets.Secrets["peppers"]
  readonly ledger?: Ledger.Options | undefined
}

/**
 * Provides a ledger on the store around it, and what governs it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLedger = (
  { ledger, peppers }: Omit<Options, "store">
): Layer.Layer<Ledger.Ledger | Governance.Governance, StartupError, LedgerStore.LedgerStore> =>
  Governance.layer({ peppers }).pipe(
    // Only a pepper can be wrong here, and those that come by `Secrets.load` are not.
    Layer.catchTag(
      "InvalidRequest",
      (error) => Layer.effect(Governance.Governance, Effect.fail(unusable("Secret", error)))
    ),
    Layer.provideMerge(Ledger.layer(ledger))
  )

/**
 * Provides a ledger on a store, and what governs it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options
): Layer.Layer<Ledger.Ledger | Governance.Governance | LedgerStore.LedgerStore, StartupError> =>
  Layer.provideMerge(layerLedger(options), layerStore(options.store))
