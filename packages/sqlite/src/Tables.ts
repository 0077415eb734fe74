/**
 * The tables of a ledger's file, and how a file comes to have them.
 *
 * A row is kept whole, as text, in `body`; the columns beside it are what it is searched by. Names and ids of whatever text are kept
 * as `KeyText`. Tenants have a number of their own, which keeps indexes small; entries, events and acts are kept under one number
 * made of the tenant's and theirs, so that a tenant's stand together and in order. The indexes of events and acts are for the lists of
 * all tenants.
 *
 * @internal
 */
import type Database from "libsql"
import type { LogTable } from "./LogLists.ts"
import { actTable, columnsOf, eventTable, valuesOf } from "./LogLists.ts"

/** Marks a file as a ledger's: "cycl". */
const APPLICATION_ID = 0x6379636c

const migrations: ReadonlyArray<string> = [
  `
  CREATE TABLE tenants (
    t INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    undelivered INTEGER NOT NULL,
    body TEXT
  ) STRICT;
  CREATE INDEX tenants_undelivered ON tenants (t) WHERE undelivered = 1;

  CREATE TABLE budgets (
    seq INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,
    unit TEXT NOT NULL,
    t INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (scope, unit)
  ) STRICT;
  CREATE INDEX budgets_tenant ON budgets (t, scope, unit);

  CREATE TABLE reservations (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    t INTEGER NOT NULL,
    status TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    due INTEGER NOT NULL,
    finalized INTEGER,
    reserved INTEGER NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX reservations_created ON reservations (t, created, id);
  CREATE INDEX reservations_expires ON reservations (t, expires, id);
  CREATE INDEX reservations_id ON reservations (t, id);
  CREATE INDEX reservations_scope ON reservations (t, scope, created, id);
  CREATE INDEX reservations_reserved ON reservations (t, reserved, id);
  CREATE INDEX reservations_key ON reservations (t, key);
  CREATE INDEX reservations_settled ON reservations (t, status, created, id) WHERE status <> 'ACTIVE';
  CREATE INDEX reservations_finalized ON reservations (t, finalized) WHERE finalized IS NOT NULL;
  CREATE INDEX reservations_ended ON reservations (coalesce(finalized, due)) WHERE status <> 'ACTIVE';
  CREATE INDEX reservations_active ON reservations (t, due) WHERE status = 'ACTIVE';
  CREATE INDEX reservations_due ON reservations (due, t) WHERE status = 'ACTIVE';

  CREATE TABLE records (
    seq INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    settled TEXT,
    keep INTEGER NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX records_keep ON records (keep);

  CREATE TABLE entries (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
  CREATE TABLE events (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
  CREATE TABLE acts (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;

  CREATE TABLE counters (
    t INTEGER NOT NULL,
    id TEXT NOT NULL,
    keep INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (t, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX counters_keep ON counters (keep);

  CREATE TABLE documents (
    seq INTEGER PRIMARY KEY,
    t INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (t, kind, id)
  ) STRICT;
  CREATE INDEX documents_id ON documents (kind, id);
  `,
  `
  ALTER TABLE events ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE events ADD COLUMN type TEXT NOT NULL DEFAULT '';
  ALTER TABLE events ADD COLUMN scope TEXT NOT NULL DEFAULT '';
  ALTER TABLE events ADD COLUMN trace TEXT NOT NULL DEFAULT '';
  ALTER TABLE events ADD COLUMN correlation TEXT NOT NULL DEFAULT '';

  ALTER TABLE acts ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE acts ADD COLUMN operation TEXT NOT NULL DEFAULT '';
  ALTER TABLE acts ADD COLUMN resource_type TEXT NOT NULL DEFAULT '';
  ALTER TABLE acts ADD COLUMN resource_id TEXT NOT NULL DEFAULT '';
  ALTER TABLE acts ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
  ALTER TABLE acts ADD COLUMN status TEXT NOT NULL DEFAULT '';
  ALTER TABLE acts ADD COLUMN trace TEXT NOT NULL DEFAULT '';
  ALTER TABLE acts ADD COLUMN request TEXT NOT NULL DEFAULT '';
  `
]

/** The indexes of the logs. They are made once the columns of the rows there are have been filled. */
const LOG_INDEXES = `
  CREATE INDEX events_time ON events (at);
  CREATE INDEX events_type ON events (type, at);
  CREATE INDEX events_scope ON events (scope, at);
  CREATE INDEX events_trace ON events (trace, at) WHERE trace <> '';
  CREATE INDEX events_correlation ON events (correlation, at) WHERE correlation <> '';

  CREATE INDEX acts_time ON acts (at);
  CREATE INDEX acts_operation ON acts (operation, at);
  CREATE INDEX acts_resource_type ON acts (resource_type, at);
  CREATE INDEX acts_resource_id ON acts (resource_id, at);
  CREATE INDEX acts_key_id ON acts (key_id, at);
  CREATE INDEX acts_status ON acts (status, at);
  CREATE INDEX acts_trace ON acts (trace, at) WHERE trace <> '';
  CREATE INDEX acts_request ON acts (request, at) WHERE request <> '';
`

/** Fills the columns of rows that were written before there were any. */
const fill = <Row extends { readonly atMs: number }, Column extends string>(
  db: Database.Database,
  table: LogTable<Row, Column>
): void => {
  // Keys may be beyond 2^53, where a number is not one of them.
  const next = db.prepare(`SELECT CAST(seq AS TEXT), body FROM ${table.name} WHERE seq > ? ORDER BY seq LIMIT 1000`)
    .raw()
  const set = ["at", ...columnsOf(table)].map((name) => `${name} = ?`).join(", ")
  const update = db.prepare(`UPDATE ${table.name} SET ${set} WHERE seq = ?`)
  for (let after = -1n;;) {
    const rows = next.all(after)
    for (const row of rows) {
      if (!Array.isArray(row)) continue
      after = BigInt(String(row[0]))
      update.run(...valuesOf(table, table.codec.decode(String(row[1]))), after)
    }
    if (rows.length < 1_000) return
  }
}

/** The version of a file's tables that this code reads and writes. */
export const VERSION = migrations.length

const numberOf = (db: Database.Database, sql: string): number => {
  const row = db.prepare(sql).raw().get()
  return Array.isArray(row) ? Number(row[0]) : 0
}

/** What a file holds, as far as its own marks say. */
export const inspect = (db: Database.Database): "empty" | "old" | "current" | "newer" | "foreign" => {
  const version = numberOf(db, "PRAGMA user_version")
  if (numberOf(db, "PRAGMA application_id") === APPLICATION_ID) {
    return version > VERSION ? "newer" : version === VERSION ? "current" : "old"
  }
  return version === 0 && numberOf(db, "SELECT count(*) FROM sqlite_schema") === 0 ? "empty" : "foreign"
}

/** Brings a file's tables to this version, within a transaction of the caller's. */
export const migrate = (db: Database.Database): void => {
  const before = numberOf(db, "PRAGMA user_version")
  for (const migration of migrations.slice(before)) db.exec(migration)
  if (before < 2) {
    fill(db, eventTable)
    fill(db, actTable)
    db.exec(LOG_INDEXES)
  }
  db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${VERSION}`)
}
