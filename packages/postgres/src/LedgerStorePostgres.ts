/**
 * A store in PostgreSQL, for ledgers that several processes share. What a ledger answers is on the server's disk.
 *
 * A transaction locks one row per tenant, in the order of their names, and nothing else, so transactions never lock each
 * other up. All rules stay in the ledger: the database finds rows by key and keeps them.
 *
 * The store makes its tables itself, in a schema of its own, when it is first used.
 *
 * **Example** (A ledger in PostgreSQL)
 *
 * ```ts
 * import { Config, Layer } from "effect"
 * import { Ledger } from "effect-cycles"
 * import { LedgerStorePostgres } from "@effect-cycles/postgres"
 *
 * const ledger = Ledger.layer().pipe(
 *   Layer.provide(LedgerStorePostgres.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
 * )
 *
 * console.log(Layer.isLayer(ledger)) // => true
 * ```
 *
 * @since 0.1.0
 */
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as KeyText from "effect-cycles/ledger/KeyText"
import type { LedgerTx, Operations } from "effect-cycles/ledger/LedgerStore"
import { LedgerStore, StoreError } from "effect-cycles/ledger/LedgerStore"
import type { TenantRow } from "effect-cycles/ledger/Model"
import * as RowJson from "effect-cycles/ledger/RowJson"
import type { Writes } from "effect-cycles/ledger/View"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { SqlError } from "effect/sql/SqlError"
import * as Lists from "./Lists.ts"
import { migrate } from "./Migrating.ts"
import { integer, keys as keysOf, texts } from "./Parameters.ts"
import { endsSession, fromSqlError, PostgresError, sqlState } from "./PostgresError.ts"
import * as Rows from "./Rows.ts"
import type { Answer, Row, Session, Settings, Statement } from "./Session.ts"
import { COMMIT, firstError, open, rowsOf, statement } from "./Session.ts"
import { statements, TIME } from "./Tables.ts"
import * as Together from "./Together.ts"

/**
 * Where the database is, and how the store works on it.
 *
 * `url` or `host`, `port`, `path` (a unix socket), `database`, `username` and `password` say where and as whom; `ssl` is `true` or
 * the TLS options of Node.js. Fields given beside a `url` win over what it says. `connectTimeout` is 5 seconds and `keepAlive`
 * off when not given.
 *
 * - `schema`: the schema the tables are in; `cycles` when not given. Ledgers in different schemas know nothing of each other
 * - `lanes`: how many transactions run side by side, each of other tenants on a connection of its own; 4 when not given
 * - `clock`: whose time holds, that of the `database` or that of the `program` (Effect's `Clock`, which a test can set); the database's
 *   when not given, so that processes whose clocks differ agree
 * - `synchronousCommit`: the server's `synchronous_commit`; `on` when not given. `remote_apply` waits for standbys too; with `off` an
 *   answer may be lost when the server fails
 * - `reconnectForMs`: how long an operation waits for a server that cannot be reached before it fails; 5,000 when not given
 * - `answerWithinMs`: how long a transaction may take before its connection is given up; 30,000 when not given
 *
 * A pooler between the store and the server must give each connection a session of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends
  Pick<
    PgConnection.Config,
    | "url"
    | "host"
    | "port"
    | "path"
    | "database"
    | "username"
    | "ssl"
    | "connectTimeout"
    | "keepAlive"
    | "applicationName"
  >
{
  readonly password?: Redacted.Redacted | undefined
  readonly schema?: string | undefined
  readonly lanes?: number | undefined
  readonly clock?: "database" | "program" | undefined
  readonly synchronousCommit?: "on" | "off" | "local" | "remote_write" | "remote_apply" | undefined
  readonly reconnectForMs?: number | undefined
  readonly answerWithinMs?: number | undefined
}

/** Kept as long as the protocol asks, from their end on. */
const KEEP_SETTLED_MS = 30 * 86_400_000

const nothing = (cause: PostgresError): StoreError =>
  new StoreError({ outcome: "none", ...(cause.reason === "Unreadable" ? { lasting: true } : undefined), cause })
const unknown = (cause: PostgresError): StoreError => new StoreError({ outcome: "unknown", cause })

/** A row that cannot be read stops the transaction; it does not break the ledger. */
const readable = <A>(read: () => A): Effect.Effect<A, StoreError> =>
  Effect.try({
    try: read,
    catch: (cause) =>
      nothing(new PostgresError({ reason: "Unreadable", detail: cause instanceof Error ? cause.message : "", cause }))
  })

/** Spreads tenants over lanes, evenly and always the same way (FNV-1a). */
const hash = (text: string): number => {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h >>> 0
}

/** One connection at a time, opened when it is needed and again when it has ended. */
class Line {
  readonly exclusive = Semaphore.makeUnsafe(1)
  session: Session | undefined
  private readonly connect: Effect.Effect<Session, PostgresError>

  constructor(connect: Effect.Effect<Session, PostgresError>) {
    this.connect = connect
  }

  readonly get: Effect.Effect<Session, PostgresError> = Effect.suspend(() => {
    const session = this.session
    if (session !== undefined && !session.isOver()) return Effect.succeed(session)
    return Effect.andThen(
      this.drop,
      Effect.tap(this.connect, (opened) =>
        Effect.sync(() => {
          this.session = opened
        }))
    )
  })

  readonly drop: Effect.Effect<void> = Effect.suspend(() => {
    const session = this.session
    this.session = undefined
    return session === undefined ? Effect.void : session.close
  })
}

/**
 * Makes a store: connects, and brings the tables to the version this package works on. The scope owns the connections.
 *
 * Fails with a {@link PostgresError} that says what is wrong and what to do.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(options: Options): Effect.fn.Return<Operations, PostgresError, Scope.Scope> {
    const {
      answerWithinMs = 30_000,
      clock = "database",
      lanes: lanesAsked = 4,
      reconnectForMs = 5_000,
      schema = "cycles",
      synchronousCommit = "on",
      ...address
    } = options
    const lanes = Math.max(1, Math.trunc(lanesAsked))
    const sql = statements(schema)
    const together = Together.make()
    const settings: Settings = {
      synchronousCommit,
      lockTimeoutMs: Math.max(1, Math.trunc(answerWithinMs / 2)),
      idleInTransactionMs: Math.max(1, Math.trunc(answerWithinMs))
    }
    const connect = open(address, settings)

    const lines = Array.from({ length: lanes }, () => new Line(connect))
    /** For what needs no tenant's lock: its statements stand alone, and several fibers share it. */
    const side = new Line(connect)
    yield* Effect.addFinalizer(() => Effect.forEach([side, ...lines], (line) => line.drop, { discard: true }))
    yield* side.exclusive.withPermit(Effect.flatMap(side.get, (session) => migrate(session, schema)))

    /** Tries again, a little later each time, while nobody answers; nothing was sent to anybody yet. */
    const patiently = <A>(effect: Effect.Effect<A, PostgresError>): Effect.Effect<A, PostgresError> => {
      const attempt = (until: number, pauseMs: number): Effect.Effect<A, PostgresError> =>
        Effect.catch(
          effect,
          (error) =>
            (error.reason !== "Unreachable" && error.reason !== "TooManyConnections") || Date.now() + pauseMs > until
              ? Effect.fail(error)
              : Effect.andThen(pause(pauseMs), attempt(until, Math.min(pauseMs * 2, 500)))
        )
      return Effect.suspend(() => attempt(Date.now() + reconnectForMs, 20))
    }

    /** Sends statements that end the transaction when one of them fails. */
    const ask = (
      session: Session,
      all: ReadonlyArray<Statement>
    ): Effect.Effect<ReadonlyArray<ReadonlyArray<Row>>, StoreError> =>
      Effect.flatMap(session.send(all), (answers) => {
        const rows = rowsOf(answers)
        return Result.isFailure(rows)
          ? Effect.fail(nothing(fromSqlError(rows.failure)))
          : Effect.succeed(rows.success)
      })

    /** Begins a transaction that owns the tenants, and reads its time once it does. */
    const begin = Effect.fnUntraced(function*(
      line: Line,
      tenants: ReadonlyArray<string>
    ): Effect.fn.Return<
      { readonly session: Session; readonly now: number; readonly locked: ReadonlyMap<string, TenantRow> },
      PostgresError
    > {
      const session = yield* line.get
      const names = keysOf(tenants)
      const opening = [statement(BEGIN), statement(sql.lock, names)]
      let answers = yield* session.send(opening)
      let before = 0
      const [, found] = answers
      if (firstError(answers) === undefined && rowCount(found) < tenants.length) {
        // New tenants get their rows by themselves: a transaction that holds some tenants waits for no others.
        const rows = tenants.map(Rows.newTenant)
        answers = yield* session.send([statement(COMMIT), statement(sql.addTenants, names, texts(rows)), ...opening])
        before = 2
      }
      const failed = firstError(answers)
      if (failed !== undefined) {
        if (!endsSession(failed)) yield* session.send([statement(ROLLBACK)])
        return yield* Effect.fail(fromSqlError(failed))
      }
      const locked = yield* Effect.try({
        try: () =>
          new Map(
            rowsAt(answers, before + 1).map((row) => {
              const tenant = RowJson.tenant.decode(String(row[0]))
              return [tenant.tenant, tenant] as const
            })
          ),
        catch: (cause) =>
          new PostgresError({ reason: "Unreadable", detail: cause instanceof Error ? cause.message : "", cause })
      }).pipe(Effect.tapError(() => line.drop))
      let now = clock === "program"
        ? yield* Clock.currentTimeMillis
        : rowsAt(answers, before + 1).reduce((latest, [, ms]) => Math.max(latest, Number(ms)), 0)
      for (const { lastTimeMs } of locked.values()) now = Math.max(now, lastTimeMs)
      return { session, now, locked }
    })

    /** Sends the last statements and COMMIT, and looks at what became of it. */
    const commit = (session: Session, writes: ReadonlyArray<Statement>): Effect.Effect<void, StoreError> =>
      Effect.flatMap(session.send([...writes, statement(COMMIT)]), (answers) => {
        const last = answers[answers.length - 1]
        const failed = firstError(answers.slice(0, -1))
        // After a failed statement the server rolls back, whatever it is told.
        if (failed !== undefined && !endsSession(failed)) return Effect.fail(nothing(fromSqlError(failed)))
        if (last !== undefined && Result.isSuccess(last)) {
          return last.success.command === COMMIT ? Effect.void : Effect.fail(
            nothing(new PostgresError({ reason: "Failed", detail: "The server rolled the transaction back" }))
          )
        }
        const error = last === undefined ? failed : last.failure
        if (error === undefined) return Effect.void
        const cause = fromSqlError(error)
        return Effect.fail(endsSession(error) || sqlState(error) === undefined ? unknown(cause) : nothing(cause))
      })

    const transact = <A>(
      line: Line,
      tenants: ReadonlyArray<string>,
      body: (tx: LedgerTx) => Effect.Effect<A, StoreError>
    ): Effect.Effect<A, StoreError> =>
      Effect.gen(function*() {
        const { locked, now, session } = yield* Effect.mapError(
          patiently(begin(line, tenants)),
          nothing
        )
        let pending: Writes | undefined
        const seen = Rows.nothingSeen()
        const flushed = (): ReadonlyArray<Statement> => {
          if (pending === undefined) return []
          const all = Rows.writings(sql, together, pending, seen)
          pending = undefined
          return all
        }
        const list = <B>(query: Statement | undefined, decode: (text: string) => B) =>
          Effect.suspend((): Effect.Effect<ReadonlyArray<B>, StoreError> => {
            if (query === undefined) return Effect.succeed([])
            const writes = flushed()
            return Effect.flatMap(ask(session, [...writes, query]), (rows) =>
              readable(() => (rows[writes.length] ?? []).map((row) => decode(String(row[0])))))
          })
        const tx: LedgerTx = {
          now,
          load: (keys, view) => {
            const loadings = Rows.loadings(sql, keys, view, locked, seen, now)
            if (loadings.length === 0) {
              return Effect.void
            }
            const all = together.reads(loadings.map((loading) =>
              loading.statement
            ))
            return Effect.flatMap(ask(session, [all]), ([found = []]) =>
              readable(() => {
                const rows = Together.apart(loadings.length, found)
                loadings.forEach(({ take }, i) => take(rows[i] ?? []))
              }))
          },
          // They leave together with the list that is to show them, or with COMMIT.
          write: (writes) =>
            Effect.sync(() => {
              pending = writes
            }),
          budgets: (tenant, query, page) => list(Lists.budgets(schema, tenant, query, page), RowJson.budget.decode),
          reservations: (tenant, query, page) =>
            list(Lists.reservations(schema, tenant, query, page), RowJson.reservation.decode),
          entries: (tenant, after, limit) =>
            list(
              statement(sql.entriesAbove, KeyText.encode(tenant), integer(after), integer(limit)),
              RowJson.entry.decode
            ),
          events: (tenant, after, limit) =>
            list(
              statement(sql.eventsAbove, KeyText.encode(tenant), integer(after), integer(limit)),
              RowJson.event.decode
            ),
          acts: (tenant, after, limit) =>
            list(statement(sql.actsAbove, KeyText.encode(tenant), integer(after), integer(limit)), RowJson.act.decode),
          counters: (tenant, from, to, limit) =>
            list(
              statement(
                sql.countersBetween,
                KeyText.encode(tenant),
                KeyText.encode(from),
                KeyText.encode(to),
                integer(limit)
              ),
              RowJson.counter.decode
            ),
          documents: (tenant, kind, after, limit) =>
            list(
              statement(sql.documentsAbove, KeyText.encode(tenant), kind, KeyText.encode(after), integer(limit)),
              RowJson.document.decode
            )
        }
        // Rows that cannot be written must not leave the transaction open either.
        const exit = yield* Effect.exit(
          Effect.map(Effect.suspend(() => body(tx)), (value) => [value, flushed()] as const)
        )
        return yield* Exit.isFailure(exit)
          ? Effect.andThen(rollback(session), Effect.failCause(exit.cause))
          : Effect.as(commit(session, exit.value[1]), exit.value[0])
      })

    /** A connection that says nothing any more is given up, and the server gives its locks to others. */
    const watched = <A, E>(line: Line, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => {
        const timer = setTimeout(() => Effect.runFork(line.drop), answerWithinMs)
        return Effect.ensuring(effect, Effect.sync(() => clearTimeout(timer)))
      })

    const rollback = (session: Session): Effect.Effect<void> =>
      session.isOver()
        ? Effect.void
        : Effect.flatMap(session.send([statement(ROLLBACK)]), (answers) =>
          firstError(answers) === undefined ? Effect.void : session.close)

    const laneOf = (tenant: string): number => hash(tenant) % lanes

    /** Statements that stand alone. */
    const aside = (...all: ReadonlyArray<Statement>): Effect.Effect<ReadonlyArray<ReadonlyArray<Row>>, StoreError> =>
      Effect.mapError(
        patiently(
          Effect.flatMap(
            side.exclusive.withPermit(side.get),
            (session) =>
              Effect.flatMap(session.send(all), (answers) => {
                const rows = rowsOf(answers)
                return Result.isFailure(rows) ? Effect.fail(fromSqlError(rows.failure)) : Effect.succeed(rows.success)
              })
          )
        ),
        nothing
      )

    /** Rows of all tenants. */
    const all = <A>(query: Statement, decode: (text: string) => A): Effect.Effect<ReadonlyArray<A>, StoreError> =>
      Effect.flatMap(aside(query), ([rows]) => readable(() => (rows ?? []).map((row) => decode(String(row[0])))))

    const time: Effect.Effect<number, StoreError> = clock === "program"
      ? Clock.currentTimeMillis
      : Effect.map(aside(statement(TIME)), ([rows]) => Number(rows?.[0]?.[0]))

    /** Drops a thousand rows at a time, so that nothing waits for it long. */
    const dropAll = (query: string, before: number): Effect.Effect<number, StoreError> =>
      Effect.gen(function*() {
        let dropped = 0
        for (;;) {
          const [rows] = yield* aside(statement(query, integer(before)))
          const count = Number(rows?.[0]?.[0] ?? 0)
          dropped += count
          if (count < 1_000) return dropped
        }
      })

    return {
      lanes,
      gathers: false,
      laneOf,
      transact: (tenants, body) => {
        const line = lines[laneOf(tenants[0] ?? "")]!
        const names = Array.from(new Set(tenants))
        return Effect.uninterruptible(line.exclusive.withPermit(watched(line, transact(line, names, body))))
      },
      dueTenants: (limit) =>
        Effect.flatMap(time, (now) =>
          Effect.map(
            aside(statement(sql.dueTenants, integer(now), integer(limit))),
            ([rows]) => (rows ?? []).map((row) => KeyText.decode(String(row[0])))
          )),
      tenants: (after, limit) =>
        Effect.flatMap(
          aside(statement(sql.tenantsAbove, KeyText.encode(after), integer(limit))),
          ([rows]) => readable(() => (rows ?? []).map((row) => RowJson.tenant.decode(String(row[0]))))
        ),
      undelivered: (limit) =>
        Effect.map(
          aside(statement(sql.undelivered, integer(limit))),
          ([rows]) => (rows ?? []).map((row) => KeyText.decode(String(row[0])))
        ),
      find: (kind, id) =>
        Effect.flatMap(aside(statement(sql.find, kind, KeyText.encode(id))), ([rows]) =>
          readable(() => {
            const data = rows?.[0]?.[0]
            return data === undefined ? undefined : RowJson.document.decode(String(data))
          })),
      ownerOf: (id) =>
        Effect.map(aside(statement(sql.ownerOf, KeyText.encode(id))), ([rows]) => {
          const tenant = rows?.[0]?.[0]
          return tenant === undefined ? undefined : KeyText.decode(String(tenant))
        }),
      eventLog: (page) => all(Lists.log(schema, "events", page), RowJson.event.decode),
      actLog: (page) => all(Lists.log(schema, "acts", page), RowJson.act.decode),
      allBudgets: ({ after, limit }) =>
        all(
          statement(sql.allBudgets, KeyText.encode(after?.[0] ?? ""), after?.[1] ?? "", integer(limit)),
          RowJson.budget.decode
        ),
      allDocuments: (kind, { after, limit }) =>
        all(
          statement(
            sql.allDocuments,
            kind,
            KeyText.encode(after?.[0] ?? ""),
            KeyText.encode(after?.[1] ?? ""),
            integer(limit)
          ),
          RowJson.document.decode
        ),
      prune: Effect.gen(function*() {
        const now = yield* time
        const counters = yield* dropAll(sql.pruneCounters, now)
        const ended = yield* dropAll(sql.pruneEnded, now - KEEP_SETTLED_MS)
        const records = yield* dropAll(sql.pruneRecords, now)
        return counters + ended + records
      })
    }
  }
)

/** The isolation level is part of the design: what is read after the lock was given is what the holder before left. */
const BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
const ROLLBACK = "ROLLBACK"

const rowsAt = (answers: ReadonlyArray<Result.Result<Answer, SqlError>>, at: number): ReadonlyArray<Row> => {
  const answer = answers[at]
  return answer !== undefined && Result.isSuccess(answer) ? answer.success.rows : []
}

const rowCount = (answer: Result.Result<Answer, SqlError> | undefined): number =>
  answer !== undefined && Result.isSuccess(answer) ? answer.success.rows.length : 0

/** By the machine's clock: a server does not come back sooner because a test sets its own. */
const pause = (ms: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), ms)
    return Effect.sync(() => clearTimeout(timer))
  })

/**
 * Provides a store in PostgreSQL. The layer fails with a {@link PostgresError} where it cannot be used.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<LedgerStore, PostgresError> =>
  Layer.effect(LedgerStore, make(options))

/**
 * Provides a store in PostgreSQL that is set up by the program's configuration.
 *
 * **Example** (The address from the environment, everything else as it is)
 *
 * ```ts
 * import { Config, Layer } from "effect"
 * import { LedgerStorePostgres } from "@effect-cycles/postgres"
 *
 * const store = LedgerStorePostgres.layerConfig({ url: Config.Redacted("DATABASE_URL") })
 *
 * console.log(Layer.isLayer(store)) // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<LedgerStore, Config.ConfigError | PostgresError> =>
  Layer.effect(LedgerStore, Effect.flatMap(Config.unwrap(options), make))
