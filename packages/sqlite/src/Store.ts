/**
 * A store on a connection.
 *
 * @internal
 */
import * as KeyText from "effect-cycles/ledger/KeyText"
import type { LedgerTx, Operations } from "effect-cycles/ledger/LedgerStore"
import { StoreError } from "effect-cycles/ledger/LedgerStore"
import type { TenantRow } from "effect-cycles/ledger/Model"
import * as RowJson from "effect-cycles/ledger/RowJson"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Semaphore from "effect/Semaphore"
import type { Connection, Row, Value } from "./Connection.ts"
import * as Lists from "./Lists.ts"
import * as LogLists from "./LogLists.ts"
import type { Numbers } from "./Rows.ts"
import { Rows } from "./Rows.ts"
import * as SqliteError from "./SqliteError.ts"

const KEEP_SETTLED_MS = 30 * 86_400_000

/** So many rows are dropped before others get their turn with the file. */
const PRUNED_AT_ONCE = 500

/** The numbers of so many tenants are remembered, so that they need not be looked up. */
const REMEMBERED_TENANTS = 100_000

export const make = (connection: Connection, filename: string): Operations => {
  // One connection has one transaction at a time, and what reads beside it must not see what it has not finished.
  const exclusive = Semaphore.makeUnsafe(1)
  const numbers: Numbers = new Map()

  const failed = (outcome: StoreError["outcome"]) => (cause: unknown): StoreError => {
    const error = cause instanceof SqliteError.SqliteError ? cause : SqliteError.fromCause(filename, cause)
    // What cannot be read now cannot be read later.
    const lasting = outcome === "none" && (error.reason === "Unexpected" || error.reason === "Corrupt")
    return new StoreError({ outcome, ...(lasting ? { lasting } : undefined), cause: error })
  }
  const attempt = <A>(self: () => A): Effect.Effect<A, StoreError> => Effect.try({ try: self, catch: failed("none") })

  // A commit that found no room has not happened; of one that failed in any other way that cannot be said.
  const commit = Effect.mapError(
    connection.commit,
    (error) => failed(error.reason === "Full" || error.reason === "Locked" ? "none" : "unknown")(error)
  )

  /** Runs a body between BEGIN and COMMIT. Where it fails or is interrupted, nothing has happened. */
  const transaction = <A>(body: (rows: Rows) => Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
    exclusive.withPermit(Effect.uninterruptibleMask((restore) =>
      Effect.andThen(
        Effect.mapError(connection.begin(restore), failed("none")),
        Effect.suspend(() => {
          const rows = new Rows(connection, numbers)
          return Effect.onExit(
            Effect.tap(restore(body(rows)), () => commit),
            (exit) =>
              Exit.isSuccess(exit) ? Effect.void : Effect.ignore(attempt(() => {
                rows.forget()
                connection.rollback()
              }))
          )
        })
      )
    ))

  /** Reads what the last transaction left, of whichever process. */
  const read = <A>(self: () => A): Effect.Effect<A, StoreError> => exclusive.withPermit(attempt(self))

  const query = (sql: string, values: ReadonlyArray<Value>): ReadonlyArray<Row> => connection.statement(sql).all(values)

  const txOf = (rows: Rows, now: number): LedgerTx => {
    /** What a tenant has, or nothing where the file does not know it. */
    const ofTenant = <A>(
      tenant: string,
      list: (t: number) => ReadonlyArray<A>
    ): Effect.Effect<ReadonlyArray<A>, StoreError> =>
      attempt(() => {
        const t = rows.numberOf(tenant)
        return t === undefined ? [] : list(t)
      })
    const log =
      <A>(table: string, decode: (text: string) => A) =>
      (tenant: string, after: number, limit: number): Effect.Effect<ReadonlyArray<A>, StoreError> =>
        ofTenant(tenant, (t) =>
          query(`SELECT body FROM ${table} WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?`, [
            LogLists.base(t) + BigInt(after),
            LogLists.base(t + 1),
            limit
          ]).map((row) => decode(String(row[0]))))
    return {
      now,
      load: (keys, view) => attempt(() => rows.load(keys, view, now)),
      write: (writes) => attempt(() => rows.write(writes)),
      budgets: (tenant, asked, page) => ofTenant(tenant, (t) => Lists.budgets(connection, t, asked, page)),
      reservations: (tenant, asked, page) =>
        Effect.flatMap(
          attempt(() => rows.numberOf(tenant)),
          (t) =>
            t === undefined ? Effect.succeed([]) : Effect.catchDefect(
              Lists.reservations(connection, t, asked, page),
              (cause) => Effect.fail(failed("none")(cause))
            )
        ),
      entries: log("entries", RowJson.entry.decode),
      events: log("events", RowJson.event.decode),
      acts: log("acts", RowJson.act.decode),
      counters: (tenant, from, to, limit) =>
        ofTenant(
          tenant,
          (t) =>
            query("SELECT body FROM counters WHERE t = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?", [
              t,
              KeyText.encode(from),
              KeyText.encode(to),
              limit
            ]).map((row) => RowJson.counter.decode(String(row[0])))
        ),
      documents: (tenant, kind, after, limit) =>
        ofTenant(
          tenant,
          (t) =>
            query("SELECT body FROM documents WHERE t = ? AND kind = ? AND id > ? ORDER BY id LIMIT ?", [
              t,
              kind,
              KeyText.encode(after),
              limit
            ]).map((row) => RowJson.document.decode(String(row[0])))
        )
    }
  }

  /** The number of a tenant that has one; not remembered, since this is no transaction. */
  const numberOf = (tenant: string): number | undefined => {
    const known = numbers.get(tenant)
    if (known !== undefined) return known
    const row = query("SELECT t FROM tenants WHERE name = ?", [KeyText.encode(tenant)])[0]
    return row === undefined ? undefined : Number(row[0])
  }

  const names = (sql: string, values: ReadonlyArray<Value>): ReadonlyArray<string> =>
    query(sql, values).map((row) => KeyText.decode(String(row[0])))

  /** Runs a statement that drops rows, some at a time, until it finds no more. */
  const drop = (sql: string, before: number): Effect.Effect<number, StoreError> =>
    Effect.gen(function*() {
      let dropped = 0
      for (;;) {
        const count = yield* transaction(() => attempt(() => connection.statement(sql).run([before, PRUNED_AT_ONCE])))
        dropped += count
        if (count < PRUNED_AT_ONCE) return dropped
        yield* Effect.yieldNow
      }
    })

  return {
    lanes: 1,
    // While a commit waits for the disk others come by themselves.
    gathers: !connection.waitsForDisk,
    laneOf: () => 0,
    transact: (tenants, body) =>
      transaction((rows) =>
        Effect.flatMap(Clock.currentTimeMillis, (clock) =>
          Effect.flatMap(
            attempt(() => {
              if (numbers.size > REMEMBERED_TENANTS) numbers.clear()
              let now = clock
              for (const row of rows.tenantRows(tenants)) now = Math.max(now, row.lastTimeMs)
              return now
            }),
            (now) => body(txOf(rows, now))
          ))
      ),
    dueTenants: (limit) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        read(() =>
          names(
            "SELECT name FROM tenants WHERE t IN " +
              "(SELECT DISTINCT t FROM reservations WHERE status = 'ACTIVE' AND due < ? LIMIT ?)",
            [now, limit]
          )
        )),
    tenants: (after, limit) =>
      read(() =>
        query("SELECT body FROM tenants WHERE name > ? AND body IS NOT NULL ORDER BY name LIMIT ?", [
          KeyText.encode(after),
          limit
        ]).map((row): TenantRow => RowJson.tenant.decode(String(row[0])))
      ),
    undelivered: (limit) => read(() => names("SELECT name FROM tenants WHERE undelivered = 1 LIMIT ?", [limit])),
    find: (kind, id) =>
      read(() => {
        const row = query("SELECT body FROM documents WHERE kind = ? AND id = ? LIMIT 1", [kind, KeyText.encode(id)])[0]
        return row === undefined ? undefined : RowJson.document.decode(String(row[0]))
      }),
    ownerOf: (id) =>
      read(() =>
        names("SELECT n.name FROM reservations r JOIN tenants n ON n.t = r.t WHERE r.id = ?", [KeyText.encode(id)])[0]
      ),
    eventLog: (page) => read(() => LogLists.pageOf(connection, LogLists.eventTable, page, numberOf)),
    actLog: (page) => read(() => LogLists.pageOf(connection, LogLists.actTable, page, numberOf)),
    allBudgets: ({ after, limit }) =>
      read(() =>
        query(
          `SELECT body FROM budgets${
            after === undefined ? "" : " WHERE (scope, unit) > (?, ?)"
          } ORDER BY scope, unit LIMIT ?`,
          [...(after === undefined ? [] : [KeyText.encode(after[0]), after[1]]), limit]
        ).map((row) => RowJson.budget.decode(String(row[0])))
      ),
    allDocuments: (kind, { after, limit }) =>
      read(() =>
        query(
          `SELECT body FROM documents INDEXED BY documents_id WHERE kind = ?${
            after === undefined ? "" : " AND id >= ? AND (id > ? OR t > ?)"
          } ORDER BY id, t LIMIT ?`,
          [
            kind,
            ...(after === undefined
              ? []
              : [KeyText.encode(after[0]), KeyText.encode(after[0]), numberOf(after[1]) ?? 0]),
            limit
          ]
        ).map((row) => RowJson.document.decode(String(row[0])))
      ),
    prune: Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const counters = yield* drop(
        "DELETE FROM counters WHERE (t, id) IN (SELECT t, id FROM counters WHERE keep < ? LIMIT ?)",
        now
      )
      const reservations = yield* drop(
        "DELETE FROM reservations WHERE seq IN (SELECT seq FROM reservations INDEXED BY reservations_ended " +
          "WHERE status <> 'ACTIVE' AND coalesce(finalized, due) < ? LIMIT ?)",
        now - KEEP_SETTLED_MS
      )
      const records = yield* drop(
        "DELETE FROM records WHERE seq IN (SELECT seq FROM records WHERE keep < ? AND " +
          "(settled IS NULL OR NOT EXISTS (SELECT 1 FROM reservations r WHERE r.id = records.settled)) LIMIT ?)",
        now
      )
      return counters + reservations + records
    })
  }
}
