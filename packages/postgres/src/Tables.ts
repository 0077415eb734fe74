/**
 * The tables of a ledger in PostgreSQL, and the statements on them.
 *
 * A row of the ledger is one text (`data`) beside the columns it is found by. Open reservations and ended ones are two tables:
 * an open one is written twice within moments, so it has few indexes; an ended one is written once and has those of the lists.
 *
 * @internal
 */
import * as Logs from "effect-cycles/ledger/Logs"

/** A name as PostgreSQL takes it for one, whatever is in it. */
export const quoted = (name: string): string => `"${name.replaceAll("\"", "\"\"")}"`

/** The statements of each version of the tables, oldest first. Never change one that was released: add the next. */
export const migrations = (schema: string): ReadonlyArray<ReadonlyArray<string>> => {
  const s = quoted(schema)
  const text = `text COLLATE "C" NOT NULL`
  // Rows that change in place need room on their page; an open reservation that is gone leaves its room soon.
  // No text is compressed or moved out of its row where it fits a page: that costs more than it saves.
  const inline = "toast_tuple_target = 8160"
  const changing =
    `WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, ${inline})`
  const lasting = `WITH (${inline})`
  return [[
    `CREATE TABLE ${s}.tenants (
      tenant ${text} PRIMARY KEY,
      undelivered boolean NOT NULL,
      data text NOT NULL
    ) ${changing}`,
    `CREATE INDEX tenants_undelivered ON ${s}.tenants (tenant) WHERE undelivered`,
    `CREATE TABLE ${s}.budgets (
      scope ${text},
      unit ${text},
      tenant ${text},
      data text NOT NULL,
      PRIMARY KEY (scope, unit)
    ) ${changing}`,
    `CREATE INDEX budgets_list ON ${s}.budgets (tenant, scope, unit)`,
    `CREATE TABLE ${s}.open_reservations (
      id ${text} PRIMARY KEY,
      tenant ${text},
      scope ${text},
      idempotency_key ${text},
      reserved bigint NOT NULL,
      created_at bigint NOT NULL,
      expires_at bigint NOT NULL,
      deadline bigint NOT NULL,
      data text NOT NULL
    ) ${lasting}`,
    `CREATE INDEX open_reservations_due ON ${s}.open_reservations (tenant, deadline)`,
    `CREATE TABLE ${s}.ended_reservations (
      id ${text} PRIMARY KEY,
      tenant ${text},
      status ${text},
      scope ${text},
      idempotency_key ${text},
      reserved bigint NOT NULL,
      created_at bigint NOT NULL,
      expires_at bigint NOT NULL,
      ended_at bigint NOT NULL,
      finalized_at bigint,
      data text NOT NULL
    ) ${lasting}`,
    `CREATE INDEX ended_reservations_created ON ${s}.ended_reservations (tenant, created_at, id)`,
    `CREATE INDEX ended_reservations_status ON ${s}.ended_reservations (tenant, status, id)`,
    `CREATE INDEX ended_reservations_status_created ON ${s}.ended_reservations (tenant, status, created_at, id)`,
    `CREATE INDEX ended_reservations_scope ON ${s}.ended_reservations (tenant, scope, id)`,
    `CREATE INDEX ended_reservations_scope_created ON ${s}.ended_reservations (tenant, scope, created_at, id)`,
    `CREATE INDEX ended_reservations_reserved ON ${s}.ended_reservations (tenant, reserved, id)`,
    `CREATE INDEX ended_reservations_expires ON ${s}.ended_reservations (tenant, expires_at, id)`,
    `CREATE INDEX ended_reservations_key ON ${s}.ended_reservations (tenant, idempotency_key)`,
    `CREATE INDEX ended_reservations_ended ON ${s}.ended_reservations (ended_at)`,
    `CREATE TABLE ${s}.records (
      id ${text} PRIMARY KEY,
      settles text COLLATE "C",
      keep_until bigint NOT NULL,
      data text NOT NULL
    ) ${lasting}`,
    `CREATE INDEX records_keep_until ON ${s}.records (keep_until)`,
    ...["entries", "events", "acts"].map((name) =>
      `CREATE TABLE ${s}.${name} (
        tenant ${text},
        number bigint NOT NULL,
        data text NOT NULL,
        PRIMARY KEY (tenant, number)
      ) ${lasting}`
    ),
    `CREATE TABLE ${s}.counters (
      tenant ${text},
      id ${text},
      keep_until bigint NOT NULL,
      data text NOT NULL,
      PRIMARY KEY (tenant, id)
    ) ${changing}`,
    `CREATE INDEX counters_keep_until ON ${s}.counters (keep_until)`,
    `CREATE TABLE ${s}.documents (
      tenant ${text},
      kind ${text},
      id ${text},
      data text NOT NULL,
      PRIMARY KEY (tenant, kind, id)
    )`,
    `CREATE INDEX documents_id ON ${s}.documents (kind, id)`
  ], [
    ...logColumns(s, "events", ["type", "scope", "trace", "correlation"]),
    ...logColumns(s, "acts", ["operation", "resource_type", "resource_id", "key_id", "status", "trace", "request"])
  ], [
    `CREATE INDEX events_time ON ${s}.events (at, tenant, number)`,
    `CREATE INDEX acts_time ON ${s}.acts (at, tenant, number)`,
    ...logIndexes(s, "events", ["type", "scope"], ["trace", "correlation"]),
    ...logIndexes(
      s,
      "acts",
      ["operation", "resource_type", "resource_id", "key_id", "status"],
      ["trace", "request"]
    )
  ], [
    // By kind first it was as good as the primary key to find a tenant's documents in order, and went through those of all tenants.
    `DROP INDEX ${s}.documents_id`,
    `CREATE INDEX documents_id ON ${s}.documents (id)`
  ]]
}

/** The version whose columns have to be filled before there is an index on them. */
export const LOG_COLUMNS = 2

/** What the rows of a log are found by; they are called what the core calls them. */
const logColumns = (s: string, table: string, names: ReadonlyArray<string>): ReadonlyArray<string> => [
  `ALTER TABLE ${s}.${table} ADD COLUMN at bigint NOT NULL DEFAULT 0`,
  ...names.map((name) => `ALTER TABLE ${s}.${table} ADD COLUMN ${name} text COLLATE "C" NOT NULL DEFAULT ''`)
]

const logIndexes = (
  s: string,
  table: string,
  sorted: ReadonlyArray<string>,
  looked: ReadonlyArray<string>
): ReadonlyArray<string> => [
  ...sorted.map((name) => `CREATE INDEX ${table}_${name} ON ${s}.${table} (${name}, at, tenant, number)`),
  ...looked.map((name) =>
    `CREATE INDEX ${table}_${name} ON ${s}.${table} (${name}, at, tenant, number) WHERE ${name} <> ''`
  )
]

/** The statements of a store, in one schema. */
export interface Statements {
  readonly lock: string
  readonly addTenants: string
  readonly tenants: string
  readonly due: string
  readonly policies: string
  readonly budgetsOfTenant: string
  readonly openOfTenant: string
  readonly apiKeysOfTenant: string
  readonly budgets: string
  readonly reservations: string
  readonly records: string
  readonly counters: string
  readonly documents: string
  readonly putTenants: string
  readonly putBudgets: string
  readonly addOpen: string
  readonly putOpen: string
  readonly removeOpen: string
  readonly addEnded: string
  readonly removeEnded: string
  readonly addRecords: string
  readonly putRecords: string
  readonly putCounters: string
  readonly putDocuments: string
  readonly removeDocuments: string
  readonly dropEntries: string
  readonly dropEvents: string
  readonly dropActs: string
  readonly addEntries: string
  readonly addEvents: string
  readonly addActs: string
  readonly entriesAbove: string
  readonly eventsAbove: string
  readonly actsAbove: string
  readonly countersBetween: string
  readonly documentsAbove: string
  readonly dueTenants: string
  readonly tenantsAbove: string
  readonly undelivered: string
  readonly find: string
  readonly ownerOf: string
  readonly allBudgets: string
  readonly allDocuments: string
  readonly pruneEnded: string
  readonly pruneRecords: string
  readonly pruneCounters: string
}

/** Milliseconds of the database's clock, as it is now and not when the transaction began. */
const NOW = "floor(extract(epoch FROM clock_timestamp()) * 1000)::float8"

export const TIME = `SELECT ${NOW}`

export const statements = (schema: string): Statements => {
  const s = quoted(schema)
  const add = (table: string, columns: ReadonlyArray<string>): string =>
    `INSERT INTO ${s}.${table} (${["tenant", "number", "data", ...columns].join(", ")})
      SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]${columns.length === 0 ? "" : ", $4::bigint[]"}${
      columns.slice(1).map((_, i) => `, $${i + 5}::text[]`).join("")
    })`
  const addRecords = `INSERT INTO ${s}.records (id, settles, keep_until, data)
      SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])`
  const drop = (table: string): string =>
    `DELETE FROM ${s}.${table} r USING unnest($1::text[], $2::bigint[]) k(tenant, number)
      WHERE r.tenant = k.tenant AND r.number <= k.number`
  const above = (table: string): string =>
    `SELECT data FROM ${s}.${table} WHERE tenant = $1::text AND number > $2::bigint ORDER BY number LIMIT $3::bigint`
  return {
    // The time is read of the rows that were found and locked: a transaction waits before it looks at the clock.
    lock: `SELECT data, ${NOW} FROM (
        SELECT data FROM ${s}.tenants WHERE tenant = ANY($1::text[]) ORDER BY tenant FOR UPDATE
      ) locked`,
    addTenants: `INSERT INTO ${s}.tenants (tenant, undelivered, data)
      SELECT x.tenant, false, x.data FROM unnest($1::text[], $2::text[]) x(tenant, data) ORDER BY x.tenant COLLATE "C"
      ON CONFLICT (tenant) DO NOTHING`,
    tenants: `SELECT data FROM ${s}.tenants WHERE tenant = ANY($1::text[])`,
    due: `SELECT data FROM ${s}.open_reservations
      WHERE tenant = ANY($1::text[]) AND deadline < $2::bigint ORDER BY deadline, id`,
    // In the order of the index that knows the tenants: in that of another, the policies of all of them would be read.
    policies: `SELECT data FROM ${s}.documents WHERE tenant = ANY($1::text[]) AND kind = 'policy' ORDER BY tenant, id`,
    budgetsOfTenant: `SELECT data FROM ${s}.budgets WHERE tenant = $1::text ORDER BY scope, unit`,
    openOfTenant: `SELECT data FROM ${s}.open_reservations WHERE tenant = $1::text ORDER BY deadline, id`,
    apiKeysOfTenant: `SELECT data FROM ${s}.documents WHERE tenant = $1::text AND kind = 'api_key' ORDER BY id`,
    budgets: `SELECT data FROM ${s}.budgets WHERE scope = ANY($1::text[])`,
    reservations: `SELECT data FROM ${s}.open_reservations WHERE id = ANY($1::text[])
      UNION ALL SELECT data FROM ${s}.ended_reservations WHERE id = ANY($1::text[])`,
    records: `SELECT data FROM ${s}.records WHERE id = ANY($1::text[])`,
    counters: `SELECT r.data FROM unnest($1::text[], $2::text[]) k(tenant, id)
      JOIN ${s}.counters r ON r.tenant = k.tenant AND r.id = k.id`,
    documents: `SELECT r.data FROM unnest($1::text[], $2::text[], $3::text[]) k(tenant, kind, id)
      JOIN ${s}.documents r ON r.tenant = k.tenant AND r.kind = k.kind AND r.id = k.id`,
    putTenants: `UPDATE ${s}.tenants r SET undelivered = x.undelivered, data = x.data
      FROM unnest($1::text[], $2::boolean[], $3::text[]) x(tenant, undelivered, data) WHERE r.tenant = x.tenant`,
    putBudgets: `INSERT INTO ${s}.budgets (scope, unit, tenant, data)
      SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
      ON CONFLICT (scope, unit) DO UPDATE SET data = excluded.data`,
    addOpen: `INSERT INTO ${s}.open_reservations
      (id, tenant, scope, idempotency_key, reserved, created_at, expires_at, deadline, data)
      SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::text[])
      ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, scope = excluded.scope,
        idempotency_key = excluded.idempotency_key, reserved = excluded.reserved, created_at = excluded.created_at,
        expires_at = excluded.expires_at, deadline = excluded.deadline, data = excluded.data`,
    putOpen: `UPDATE ${s}.open_reservations r SET expires_at = x.expires_at, deadline = x.deadline, data = x.data
      FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) x(id, expires_at, deadline, data) WHERE r.id = x.id`,
    removeOpen: `DELETE FROM ${s}.open_reservations WHERE id = ANY($1::text[])`,
    addEnded: `INSERT INTO ${s}.ended_reservations
      (id, tenant, status, scope, idempotency_key, reserved, created_at, expires_at, ended_at, finalized_at, data)
      SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::text[])`,
    removeEnded: `DELETE FROM ${s}.ended_reservations WHERE id = ANY($1::text[])`,
    addRecords,
    putRecords: `${addRecords} ON CONFLICT (id) DO UPDATE SET settles = excluded.settles,
      keep_until = excluded.keep_until, data = excluded.data`,
    putCounters: `INSERT INTO ${s}.counters (tenant, id, keep_until, data)
      SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
      ON CONFLICT (tenant, id) DO UPDATE SET keep_until = excluded.keep_until, data = excluded.data`,
    putDocuments: `INSERT INTO ${s}.documents (tenant, kind, id, data)
      SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
      ON CONFLICT (tenant, kind, id) DO UPDATE SET data = excluded.data`,
    removeDocuments: `DELETE FROM ${s}.documents r USING unnest($1::text[], $2::text[], $3::text[]) k(tenant, kind, id)
      WHERE r.tenant = k.tenant AND r.kind = k.kind AND r.id = k.id`,
    dropEntries: drop("entries"),
    dropEvents: drop("events"),
    dropActs: drop("acts"),
    addEntries: add("entries", []),
    addEvents: add("events", ["at", ...Object.keys(Logs.eventColumns)]),
    addActs: add("acts", ["at", ...Object.keys(Logs.actColumns)]),
    entriesAbove: above("entries"),
    eventsAbove: above("events"),
    actsAbove: above("acts"),
    countersBetween: `SELECT data FROM ${s}.counters WHERE tenant = $1::text AND id >= $2::text AND id < $3::text
      ORDER BY id LIMIT $4::bigint`,
    documentsAbove: `SELECT data FROM ${s}.documents WHERE tenant = $1::text AND kind = $2::text AND id > $3::text
      ORDER BY id LIMIT $4::bigint`,
    // From tenant to tenant by the index, with one look at the earliest deadline of each.
    dueTenants: `WITH RECURSIVE steps(tenant) AS (
        (SELECT tenant FROM ${s}.open_reservations ORDER BY tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT r.tenant FROM ${s}.open_reservations r WHERE r.tenant > steps.tenant ORDER BY r.tenant LIMIT 1)
        FROM steps WHERE steps.tenant IS NOT NULL
      )
      SELECT tenant FROM steps WHERE tenant IS NOT NULL AND EXISTS (
        SELECT FROM ${s}.open_reservations r WHERE r.tenant = steps.tenant AND r.deadline < $1::bigint
      ) LIMIT $2::bigint`,
    tenantsAbove: `SELECT data FROM ${s}.tenants WHERE tenant > $1::text ORDER BY tenant LIMIT $2::bigint`,
    undelivered: `SELECT tenant FROM ${s}.tenants WHERE undelivered LIMIT $1::bigint`,
    ownerOf: `SELECT tenant FROM ${s}.open_reservations WHERE id = $1::text
      UNION ALL SELECT tenant FROM ${s}.ended_reservations WHERE id = $1::text LIMIT 1`,
    allBudgets: `SELECT data FROM ${s}.budgets WHERE (scope, unit) > ($1::text, $2::text)
      ORDER BY scope, unit LIMIT $3::bigint`,
    allDocuments: `SELECT data FROM ${s}.documents
      WHERE kind = $1::text AND id >= $2::text AND (id > $2::text OR tenant > $3::text)
      ORDER BY id, tenant LIMIT $4::bigint`,
    find: `SELECT data FROM ${s}.documents WHERE kind = $1::text AND id = $2::text LIMIT 1`,
    // Rows another process is dropping at this moment are left to it.
    pruneEnded: `WITH gone AS (DELETE FROM ${s}.ended_reservations WHERE id = ANY(ARRAY(
        SELECT id FROM ${s}.ended_reservations WHERE ended_at < $1::bigint ORDER BY ended_at LIMIT 1000
        FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*)::float8 FROM gone`,
    // The record of a settlement is kept as long as its reservation.
    pruneRecords: `WITH gone AS (DELETE FROM ${s}.records WHERE id = ANY(ARRAY(
        SELECT r.id FROM ${s}.records r WHERE r.keep_until < $1::bigint
          AND NOT EXISTS (SELECT FROM ${s}.open_reservations o WHERE o.id = r.settles)
          AND NOT EXISTS (SELECT FROM ${s}.ended_reservations e WHERE e.id = r.settles)
        ORDER BY r.keep_until LIMIT 1000 FOR UPDATE OF r SKIP LOCKED)) RETURNING 1) SELECT count(*)::float8 FROM gone`,
    pruneCounters: `WITH gone AS (DELETE FROM ${s}.counters c
      USING (SELECT tenant, id FROM ${s}.counters WHERE keep_until < $1::bigint ORDER BY keep_until LIMIT 1000
        FOR UPDATE SKIP LOCKED) old
      WHERE c.tenant = old.tenant AND c.id = old.id RETURNING 1) SELECT count(*)::float8 FROM gone`
  }
}
