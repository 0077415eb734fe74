/**
 * One connection whose statements are sent together and answered in order: a round trip for any number of them.
 *
 * @internal
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { PostgresError } from "./PostgresError.ts"
import { endsSession, fromSqlError } from "./PostgresError.ts"

export interface Statement {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

export const statement = (sql: string, ...params: ReadonlyArray<unknown>): Statement => ({ sql, params })

export type Row = ReadonlyArray<unknown>

/** What the server said to a statement: its rows, and of a COMMIT the name of the command it took it for. */
export interface Answer {
  readonly command: string | undefined
  readonly rows: ReadonlyArray<Row>
}

export interface Session {
  /** Sends all of the statements at once. Each is answered; after an error in a transaction the later ones fail too. */
  readonly send: (
    statements: ReadonlyArray<Statement>
  ) => Effect.Effect<ReadonlyArray<Result.Result<Answer, SqlError>>>
  /** Whether the connection is known to have ended. */
  readonly isOver: () => boolean
  /** Ends the connection at once, also under a statement that waits for its answer. */
  readonly close: Effect.Effect<void>
}

/** The settings of every session, which the server is told as the connection begins. */
export interface Settings {
  readonly synchronousCommit: string
  /** How long a statement waits for a lock, in milliseconds. */
  readonly lockTimeoutMs: number
  /** How long a transaction may stand idle before the server ends it and gives its locks to others, in milliseconds. */
  readonly idleInTransactionMs: number
}

/** More than a store has: its lists have few shapes, and what is sent together comes in few combinations. */
const STATEMENTS = 500

/**
 * Every statement is a look-up by keys, so its plan never depends on how much there is: planned once per session, with the
 * index its keys belong to, also while a table is still empty and nothing is known of it.
 */
export const planning = {
  plan_cache_mode: "force_generic_plan",
  enable_seqscan: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  enable_bitmapscan: "off",
  enable_sort: "off",
  max_parallel_workers_per_gather: "0",
  jit: "off"
}

export const COMMIT = "COMMIT"

export const open = (address: PgConnection.Config, settings: Settings): Effect.Effect<Session, PostgresError> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const connection = yield* PgConnection.make({
      applicationName: "effect-cycles",
      ...address,
      multiplex: true,
      preparedStatementCacheSize: STATEMENTS,
      startupParameters: {
        ...planning,
        synchronous_commit: settings.synchronousCommit,
        lock_timeout: `${settings.lockTimeoutMs}`,
        idle_in_transaction_session_timeout: `${settings.idleInTransactionMs}`,
        client_encoding: "UTF8"
      }
    }).pipe(
      Scope.provide(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
    let over = false

    const failed = (error: SqlError): Result.Result<Answer, SqlError> => {
      if (endsSession(error)) over = true
      return Result.fail(error)
    }
    // Rows by position are cheaper; only of a COMMIT it matters what the server took it for.
    const ask = ({ params, sql }: Statement): Effect.Effect<Result.Result<Answer, SqlError>> =>
      sql === COMMIT
        ? Effect.match(connection.query(sql, params), {
          onFailure: failed,
          onSuccess: ({ command }) => Result.succeed<Answer>({ command, rows: [] })
        })
        : Effect.match(connection.queryValues(sql, params), {
          onFailure: failed,
          onSuccess: (rows) => Result.succeed<Answer>({ command: undefined, rows })
        })

    const session: Session = {
      // Started in one go, they leave in one write.
      send: (statements) => Effect.forEach(statements, ask, { concurrency: "unbounded" }),
      isOver: () => over,
      close: Effect.suspend(() => {
        over = true
        return Scope.close(scope, Exit.void)
      })
    }
    return session
  }).pipe(Effect.mapError(fromSqlError))

/** The first error among the answers: the later ones are its consequence. */
export const firstError = (answers: ReadonlyArray<Result.Result<Answer, SqlError>>): SqlError | undefined => {
  for (const answer of answers) if (Result.isFailure(answer)) return answer.failure
  return undefined
}

/** The rows of each statement, or the first error. */
export const rowsOf = (
  answers: ReadonlyArray<Result.Result<Answer, SqlError>>
): Result.Result<ReadonlyArray<ReadonlyArray<Row>>, SqlError> => {
  const rows: Array<ReadonlyArray<Row>> = []
  for (const answer of answers) {
    if (Result.isFailure(answer)) return Result.fail(answer.failure)
    rows.push(answer.success.rows)
  }
  return Result.succeed(rows)
}
