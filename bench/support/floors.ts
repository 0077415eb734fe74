/**
 * What a ledger is held against: a bare driver that writes the rows of recorded transactions, in the same transactions, into the
 * same tables. Every value is there before the clock starts; nothing is read, nothing decided, nobody waits for an answer.
 */
import { KeyText } from "effect-cycles"
import type { IdempotencyRow, ReservationRow } from "effect-cycles/ledger/Model"
import { deadline } from "effect-cycles/ledger/Model"
import * as RowJson from "effect-cycles/ledger/RowJson"
import type { Writes } from "effect-cycles/ledger/View"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import Database from "libsql"
import type { Address, PostgresAddress, SqliteAddress } from "./beds.ts"
import { connect, storeOf } from "./beds.ts"

type Values = ReadonlyArray<string | number | bigint | null>

interface Statement {
  readonly sql: string
  readonly values: Values
}

const leaf = (row: ReservationRow): string => row.scopes[row.scopes.length - 1] ?? ""

const settles = (row: IdempotencyRow): string | null =>
  row.operation === "commit" || row.operation === "release" ? row.reservationId ?? null : null

const lifecyclesIn = (batches: ReadonlyArray<Writes>): number =>
  batches.reduce((sum, { records }) => sum + records.filter(({ operation }) => operation === "commit").length, 0)

/** What a bare driver did. */
export interface Floor {
  readonly perSecond: number
  /** Time on a processor of this process, a lifecycle. */
  readonly cpuUs: number
}

/** Begins to measure; what it returns ends it. */
const measured = (batches: ReadonlyArray<Writes>): () => Floor => {
  const lifecycles = lifecyclesIn(batches)
  const cpu = process.cpuUsage()
  const start = performance.now()
  return () => {
    const ms = performance.now() - start
    const { system, user } = process.cpuUsage(cpu)
    return { perSecond: lifecycles / ms * 1e3, cpuUs: (user + system) / lifecycles }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// SQLite: one statement for a row
// ---------------------------------------------------------------------------------------------------------------------

const rowStatements = (writes: Writes): ReadonlyArray<Statement> => {
  const all: Array<Statement> = []
  for (const row of writes.tenants) {
    all.push({
      sql:
        "INSERT INTO tenants (name, undelivered, body) VALUES (?, 0, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
      values: [row.tenant, RowJson.tenant.encode(row)]
    })
  }
  for (const row of writes.budgets) {
    all.push({
      sql: "INSERT INTO budgets (t, scope, unit, body) VALUES (1, ?, ?, ?) " +
        "ON CONFLICT (scope, unit) DO UPDATE SET body = excluded.body",
      values: [row.scope, row.unit, RowJson.budget.encode(row)]
    })
  }
  for (const row of writes.reservations) {
    const body = RowJson.reservation.encode(row)
    all.push(
      row.status === "ACTIVE"
        ? {
          sql:
            "INSERT INTO reservations (id, t, status, created, expires, due, finalized, reserved, scope, key, body) " +
            "VALUES (?, 1, ?, ?, ?, ?, NULL, ?, ?, ?, ?)",
          values: [
            row.id,
            row.status,
            row.createdAtMs,
            row.expiresAtMs,
            deadline(row),
            row.estimate.amount,
            leaf(row),
            KeyText.encode(row.idempotencyKey),
            body
          ]
        }
        : {
          sql: "UPDATE reservations SET status = ?, finalized = ?, body = ? WHERE id = ?",
          values: [row.status, row.finalizedAtMs ?? null, body, row.id]
        }
    )
  }
  for (const row of writes.records) {
    all.push({
      sql: "INSERT INTO records (key, settled, keep, body) VALUES (?, ?, ?, ?)",
      values: [KeyText.encode(row.id), settles(row), row.keepUntilMs, RowJson.record.encode(row)]
    })
  }
  for (const row of writes.counters) {
    all.push({
      sql:
        "INSERT INTO counters (t, id, keep, body) VALUES (1, ?, ?, ?) ON CONFLICT (t, id) DO UPDATE SET body = excluded.body",
      values: [KeyText.encode(row.id), row.keepUntilMs, RowJson.counter.encode(row)]
    })
  }
  for (const row of writes.entries) {
    all.push({
      sql: "INSERT INTO entries (seq, body) VALUES (?, ?)",
      values: [2n ** 40n + BigInt(row.number), RowJson.entry.encode(row)]
    })
  }
  return all
}

const sqlite = (address: SqliteAddress, batches: ReadonlyArray<Writes>): Floor => {
  const transactions = batches.map(rowStatements)
  const db = new Database(address.filename)
  try {
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${address.synchronous}; PRAGMA cache_size = -65536`)
    const prepared = new Map<string, Database.Statement>()
    for (const { sql } of transactions.flat()) if (!prepared.has(sql)) prepared.set(sql, db.prepare(sql))
    const done = measured(batches)
    for (const statements of transactions) {
      db.exec("BEGIN IMMEDIATE")
      for (const { sql, values } of statements) prepared.get(sql)!.run(values)
      db.exec("COMMIT")
    }
    return done()
  } finally {
    db.close()
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// PostgreSQL: one statement for all rows of a table, and one round trip for a transaction
// ---------------------------------------------------------------------------------------------------------------------

/** An array as PostgreSQL reads it from a text. */
const array = (values: Values): string =>
  `{${values.map((value) => value === null ? "NULL" : `"${String(value).replace(/["\\]/g, "\\$&")}"`).join(",")}}`

const columns = <Row>(rows: ReadonlyArray<Row>, ...of: ReadonlyArray<(row: Row) => Values[number]>): Values =>
  of.map((column) => array(rows.map(column)))

const setStatements = (schema: string, writes: Writes): ReadonlyArray<Statement> => {
  const open = writes.reservations.filter(({ status }) => status === "ACTIVE")
  const ended = writes.reservations.filter(({ status }) => status !== "ACTIVE")
  const all: Array<Statement> = [
    {
      sql:
        `INSERT INTO ${schema}.tenants (tenant, undelivered, data) SELECT a, false, b FROM unnest($1::text[], $2::text[]) x(a, b)
        ON CONFLICT (tenant) DO UPDATE SET data = excluded.data`,
      values: columns(writes.tenants, (row) => row.tenant, RowJson.tenant.encode)
    },
    {
      sql: `INSERT INTO ${schema}.budgets (scope, unit, tenant, data)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
        ON CONFLICT (scope, unit) DO UPDATE SET data = excluded.data`,
      values: columns(writes.budgets, (row) => row.scope, (row) => row.unit, (row) => row.tenant, RowJson.budget.encode)
    },
    {
      sql: `INSERT INTO ${schema}.records (id, settles, keep_until, data)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])`,
      values: columns(writes.records, (row) => row.id, settles, (row) => row.keepUntilMs, RowJson.record.encode)
    },
    {
      sql: `INSERT INTO ${schema}.entries (tenant, number, data)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])`,
      values: columns(writes.entries, (row) => row.tenant, (row) => row.number, RowJson.entry.encode)
    }
  ]
  if (open.length > 0) {
    all.push({
      sql: `INSERT INTO ${schema}.open_reservations
        (id, tenant, scope, idempotency_key, reserved, created_at, expires_at, deadline, data)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
          $8::bigint[], $9::text[])`,
      values: columns(
        open,
        (row) => row.id,
        (row) => row.tenant,
        leaf,
        (row) => row.idempotencyKey,
        (row) => row.estimate.amount,
        (row) => row.createdAtMs,
        (row) => row.expiresAtMs,
        deadline,
        RowJson.reservation.encode
      )
    })
  }
  if (writes.counters.length > 0) {
    all.push({
      sql: `INSERT INTO ${schema}.counters (tenant, id, keep_until, data)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
        ON CONFLICT (tenant, id) DO UPDATE SET data = excluded.data`,
      values: columns(
        writes.counters,
        (row) => row.tenant,
        (row) => row.id,
        (row) => row.keepUntilMs,
        RowJson.counter.encode
      )
    })
  }
  if (ended.length > 0) {
    all.push({
      sql: `DELETE FROM ${schema}.open_reservations WHERE id = ANY($1::text[])`,
      values: columns(ended, (row) => row.id)
    }, {
      sql: `INSERT INTO ${schema}.ended_reservations
        (id, tenant, status, scope, idempotency_key, reserved, created_at, expires_at, ended_at, finalized_at, data)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
          $8::bigint[], $9::bigint[], $10::bigint[], $11::text[])`,
      values: columns(
        ended,
        (row) => row.id,
        (row) => row.tenant,
        (row) => row.status,
        leaf,
        (row) => row.idempotencyKey,
        (row) => row.estimate.amount,
        (row) => row.createdAtMs,
        (row) => row.expiresAtMs,
        (row) => row.finalizedAtMs ?? deadline(row),
        (row) => row.finalizedAtMs ?? null,
        RowJson.reservation.encode
      )
    })
  }
  return all
}

const postgres = (address: PostgresAddress, batches: ReadonlyArray<Writes>): Promise<Floor> => {
  const transactions = batches.map((writes) => setStatements(address.schema, writes))
  return Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const connection = yield* connect(address)
    // Plans for tables that are empty yet would read them from end to end.
    for (const setting of ["enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan", "jit"]) {
      yield* connection.queryValues(`SET ${setting} = off`)
    }
    const done = measured(batches)
    for (const statements of transactions) {
      yield* Effect.forEach(
        [{ sql: "BEGIN", values: [] }, ...statements, { sql: "COMMIT", values: [] }],
        ({ sql, values }) => connection.queryValues(sql, values),
        { concurrency: "unbounded", discard: true }
      )
    }
    return done()
  })))
}

/** Has a bare driver write what was recorded. */
export const floor = async (address: Address, batches: ReadonlyArray<Writes>): Promise<Floor> => {
  // The store makes its tables as it opens.
  await Effect.runPromise(Effect.scoped(Layer.build(storeOf(address))))
  switch (address._tag) {
    case "memory":
      return { perSecond: NaN, cpuUs: NaN }
    case "sqlite":
      return sqlite(address, batches)
    case "postgres":
      return postgres(address, batches)
  }
}
