/**
 * The tables of a ledger's file, and how a file comes to have them.
 *
 * A row is kept whole, as text, in `body`; the columns beside it are what it is searched by. Names and ids of whatever text are kept
 * as `KeyText`. Tenants have a number of their own, which keeps indexes small; entries, events and acts are kept under one number
 * made of the tenant's and theirs, so that a tenant's stand together and in order.
 *
 * @internal
 */
import type Database from "libsql"

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
  `
]

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
  for (const migration of migrations.slice(numberOf(db, "PRAGMA user_version"))) db.exec(migration)
  db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${VERSION}`)
}
