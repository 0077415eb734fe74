/**
 * Brings the tables of a schema to the version this package works on.
 *
 * @internal
 */
import * as KeyText from "effect-cycles/ledger/KeyText"
import * as Logs from "effect-cycles/ledger/Logs"
import * as RowJson from "effect-cycles/ledger/RowJson"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { integer } from "./Parameters.ts"
import { fromSqlError, PostgresError } from "./PostgresError.ts"
import { filling } from "./Rows.ts"
import type { Row, Session } from "./Session.ts"
import { COMMIT, rowsOf, statement } from "./Session.ts"
import { LOG_COLUMNS, migrations, quoted } from "./Tables.ts"

const failed = (reason: "SchemaNewer" | "Unsuitable", detail: string): PostgresError =>
  new PostgresError({ reason, detail })

/** Sends statements in one round trip and gives the rows of each, or fails with the first error. */
const ask = (
  session: Session,
  statements: ReadonlyArray<readonly [sql: string, ...params: ReadonlyArray<unknown>]>
): Effect.Effect<ReadonlyArray<ReadonlyArray<Row>>, PostgresError> =>
  Effect.flatMap(
    session.send(statements.map(([sql, ...params]) => statement(sql, ...params))),
    (answers) => Effect.mapError(Effect.fromResult(rowsOf(answers)), fromSqlError)
  )

/** The version the tables are at: 0 where there are none. */
const versionOf = Effect.fnUntraced(
  function*(session: Session, schema: string): Effect.fn.Return<number, PostgresError> {
    const table = `${quoted(schema)}.migrations`
    // A query of the catalogue sees what others have committed; `to_regclass` may answer from what this session knew before.
    const [[found] = []] = yield* ask(session, [[
      `SELECT EXISTS (
        SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1::text AND c.relname = 'migrations'
      )`,
      schema
    ]])
    if (found?.[0] !== true) return 0
    const [[newest] = []] = yield* ask(session, [[`SELECT coalesce(max(version), 0)::float8 FROM ${table}`]])
    return Number(newest?.[0])
  }
)

/** Fills the columns of the rows of a log that were written before there were any, some at a time. */
const fill = Effect.fnUntraced(
  function*<A extends { readonly tenant: string; readonly number: number; readonly atMs: number }>(
    session: Session,
    table: string,
    codec: RowJson.RowCodec<A>,
    columns: { readonly [name: string]: (row: A) => string }
  ): Effect.fn.Return<void, PostgresError> {
    let [tenant, number] = ["", 0]
    for (;;) {
      const [found = []] = yield* ask(session, [[
        `SELECT data FROM ${table} WHERE (tenant, number) > ($1::text, $2::bigint) ORDER BY tenant, number LIMIT 1000`,
        KeyText.encode(tenant),
        integer(number)
      ]])
      const rows = yield* Effect.try({
        try: () => found.map((row) => codec.decode(String(row[0]))),
        catch: (cause) =>
          new PostgresError({ reason: "Unreadable", detail: cause instanceof Error ? cause.message : "", cause })
      })
      const last = rows[rows.length - 1]
      if (last === undefined) return
      const [filled] = yield* session.send([filling(table, rows, columns)])
      if (filled !== undefined && Result.isFailure(filled)) return yield* Effect.fail(fromSqlError(filled.failure))
      tenant = last.tenant
      number = last.number
    }
  }
)

/**
 * Checks the database and runs the migrations that are missing, one process at a time. Where the tables are there already, the
 * user needs no right to make any.
 */
export const migrate = Effect.fnUntraced(function*(
  session: Session,
  schema: string
): Effect.fn.Return<void, PostgresError> {
  const steps = migrations(schema)
  const isCurrent = (version: number): Effect.Effect<boolean, PostgresError> =>
    version > steps.length
      ? Effect.fail(
        failed("SchemaNewer", `The tables are at version ${version}, and this package knows ${steps.length}`)
      )
      : Effect.succeed(version === steps.length)

  const [[encoding] = []] = yield* ask(session, [["SELECT current_setting('server_encoding')"]])
  if (encoding?.[0] !== "UTF8") {
    return yield* Effect.fail(
      failed("Unsuitable", `The database is encoded in ${String(encoding?.[0])}; a ledger needs one in UTF8`)
    )
  }
  if (yield* isCurrent(yield* versionOf(session, schema))) return

  yield* ask(session, [
    ["BEGIN"],
    ["SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))", `effect-cycles ${schema}`]
  ])
  // Another process may have been quicker.
  const version = yield* versionOf(session, schema)
  if (!(yield* isCurrent(version))) {
    const s = quoted(schema)
    if (version === 0) {
      yield* ask(session, [
        [`CREATE SCHEMA IF NOT EXISTS ${s}`],
        [`CREATE TABLE ${s}.migrations (
            version integer PRIMARY KEY,
            applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
          )`]
      ])
    }
    for (let next = version; next < steps.length; next++) {
      yield* ask(session, [
        ...steps[next]!.map((sql) => [sql] as const),
        [`INSERT INTO ${s}.migrations (version) VALUES ($1::integer)`, next + 1]
      ])
      if (next + 1 === LOG_COLUMNS) {
        yield* fill(session, `${s}.events`, RowJson.event, Logs.eventColumns)
        yield* fill(session, `${s}.acts`, RowJson.act, Logs.actColumns)
      }
    }
  }
  const [committed] = yield* session.send([statement(COMMIT)])
  if (committed === undefined || Result.isFailure(committed) || committed.success.command !== "COMMIT") {
    const error = committed !== undefined && Result.isFailure(committed) ? committed.failure : undefined
    return yield* Effect.fail(
      error === undefined
        ? new PostgresError({ reason: "Failed", detail: "The migration was rolled back" })
        : fromSqlError(error)
    )
  }
})
