/**
 * One connection to a file: opened, set up and migrated; its statements, prepared once; and its transactions.
 *
 * SQLite's own waiting blocks its thread, so nothing here waits in SQLite on the event loop's: a lock somebody else holds is asked for
 * again after a pause, and a COMMIT that has to be on the disk runs on a thread of the driver's.
 *
 * Internal: only this package uses it.
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type * as Scope from "effect/Scope"
import Database from "libsql"
import DatabaseApart from "libsql/promise"
import * as SqliteError from "./SqliteError.ts"
import * as Tables from "./Tables.ts"

/** A value to bind. Integers beyond 2^53, and those that SQL counts or compares keys with, are given as `bigint`. */
export type Value = string | number | bigint | null

/** A row, its columns in the order of the statement. Integers come as numbers: none that is read is beyond 2^53. */
export type Row = ReadonlyArray<Value>

/** A prepared statement. */
export interface Statement {
  readonly run: (values: ReadonlyArray<Value>) => number
  readonly get: (values: ReadonlyArray<Value>) => Row | undefined
  readonly all: (values: ReadonlyArray<Value>) => ReadonlyArray<Row>
}

/** Lets something be interrupted where whoever asks can be. */
export type Restore = (self: Effect.Effect<void>) => Effect.Effect<void>

export interface Connection {
  /** The statement of a text, prepared when it is first asked for. */
  readonly statement: (sql: string) => Statement
  /** Begins a transaction that writes, as soon as nobody else is in one. Only the waiting for that is restored. */
  readonly begin: (restore: Restore) => Effect.Effect<void, SqliteError.SqliteError>
  /** Whether a commit waits for the disk, and leaves the event loop to others meanwhile. */
  readonly waitsForDisk: boolean
  readonly commit: Effect.Effect<void, SqliteError.SqliteError>
  /** Ends a transaction without effect, where it has not ended by itself. */
  readonly rollback: () => void
}

export interface Options {
  readonly filename: string
  readonly synchronous: "full" | "normal" | "off"
  readonly lockTimeoutMs: number
}

/** So many statements stay prepared. Lists have a text for each combination of filters, and for each number of paths. */
const REMEMBERED = 500

const FIRST_PAUSE_MS = 1
const LONGEST_PAUSE_MS = 8

// Waits by the real clock, since what it waits for is another process.
const pause = (ms: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), ms)
    return Effect.sync(() => clearTimeout(timer))
  })

/**
 * Executes a statement on a thread of the driver's. Its two classes share the native connection under them, which is all this method
 * needs of its object; the rest of the other one prepares and reads by promises too, and a statement that finds its pages in memory is
 * done before a promise would be.
 */
const executeApart = (db: Database.Database, sql: string): Promise<void> => DatabaseApart.prototype.exec.call(db, sql)

/** Tries again for a while, as long as somebody else holds the lock. */
const whileLocked = <A>(
  options: Options,
  self: () => A,
  restore: Restore = identity
): Effect.Effect<A, SqliteError.SqliteError> =>
  Effect.suspend(() => {
    const startedAt = performance.now()
    const attempt = (pauseMs: number): Effect.Effect<A, SqliteError.SqliteError> => {
      try {
        return Effect.succeed(self())
      } catch (cause) {
        const error = SqliteError.fromCause(options.filename, cause)
        if (error.reason !== "Locked" || performance.now() - startedAt >= options.lockTimeoutMs) {
          return Effect.fail(error)
        }
        // Not in step with whoever else is waiting.
        const next = Effect.suspend(() => attempt(Math.min(2 * pauseMs, LONGEST_PAUSE_MS)))
        return Effect.andThen(restore(pause(pauseMs * (0.5 + Math.random()))), next)
      }
    }
    return attempt(FIRST_PAUSE_MS)
  })

const setUp = (db: Database.Database, options: Options): void => {
  // WAL lets others read while one writes, and needs one sync per transaction. The pages are written back to the file once
  // in a while, about 8 MB at a time: rarely enough that hot pages are written once, and little enough not to be felt.
  // SQLite goes through its whole cache as it commits, so a larger one costs more than it saves: what it does not hold the
  // system does.
  db.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = ${options.synchronous};
    PRAGMA wal_autocheckpoint = 2000;
    PRAGMA cache_size = -16384;
    PRAGMA temp_store = MEMORY;
  `)
}

/** Brings everything into the file itself, where nobody else uses it; else whoever is last does. */
const complete = (db: Database.Database): void => {
  try {
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  } catch {
    // The file may be damaged or locked. What is in its log stays there, and is as good.
  }
}

const refuse = (options: Options, found: ReturnType<typeof Tables.inspect>): SqliteError.SqliteError | undefined =>
  found === "newer" || found === "foreign"
    ? new SqliteError.SqliteError({
      reason: found === "newer" ? "NewerVersion" : "NotALedger",
      filename: options.filename,
      cause: new Error(`its version is not one of 0 to ${Tables.VERSION}`)
    })
    : undefined

/** Opens a file, making it and its tables where there are none. It is closed with the scope. */
export const open = Effect.fnUntraced(
  function*(options: Options): Effect.fn.Return<Connection, SqliteError.SqliteError, Scope.Scope> {
    const { filename } = options
    const failed = (cause: unknown): SqliteError.SqliteError => SqliteError.fromCause(filename, cause)
    const db = yield* Effect.acquireRelease(
      Effect.try({
        try: () => new Database(filename, { timeout: 0 }),
        catch: failed
      }),
      (db) => Effect.sync(() => db.close())
    )
    // Looked at before anything is changed in it.
    const found = yield* whileLocked(options, () => Tables.inspect(db))
    const refusal = refuse(options, found)
    if (refusal !== undefined) return yield* refusal
    yield* whileLocked(options, () => setUp(db, options))
    yield* Effect.addFinalizer(() => Effect.sync(() => complete(db)))

    const waitsForDisk = options.synchronous !== "off" && filename !== ":memory:"
    const statements = new Map<string, Statement>()
    const prepare = (sql: string): Statement => {
      const statement = db.prepare(sql)
      if (statement.reader) statement.raw()
      return {
        run: (values) => statement.run(values).changes,
        // The rows of a statement in raw mode are arrays.
        get: (values) => statement.get(values) as Row | undefined,
        all: (values) => statement.all(values) as ReadonlyArray<Row>
      }
    }
    const connection: Connection = {
      statement: (sql) => {
        let statement = statements.get(sql)
        if (statement === undefined) {
          if (statements.size >= REMEMBERED) statements.clear()
          statements.set(sql, statement = prepare(sql))
        }
        return statement
      },
      begin: (restore) =>
        whileLocked(options, () => {
          // One that could not be ended when it failed ends now.
          if (db.inTransaction) db.exec("ROLLBACK")
          db.exec("BEGIN IMMEDIATE")
        }, restore),
      waitsForDisk,
      commit: waitsForDisk
        ? Effect.tryPromise({ try: () => executeApart(db, "COMMIT"), catch: failed })
        : Effect.try({ try: () => void db.exec("COMMIT"), catch: failed }),
      rollback: () => {
        if (db.inTransaction) db.exec("ROLLBACK")
      }
    }

    if (found !== "current") {
      const migrate = Effect.try({
        try: () => {
          // Another process may have been quicker.
          const now = Tables.inspect(db)
          const refusal = refuse(options, now)
          if (refusal !== undefined) throw refusal
          if (now !== "current") Tables.migrate(db)
          db.exec("COMMIT")
        },
        catch: (cause) => {
          connection.rollback()
          return cause instanceof SqliteError.SqliteError ? cause : failed(cause)
        }
      })
      yield* Effect.uninterruptibleMask((restore) => Effect.andThen(connection.begin(restore), migrate))
    }
    return connection
  }
)
