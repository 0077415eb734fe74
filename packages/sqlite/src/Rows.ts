/**
 * Loads and writes rows by their keys, within a transaction.
 *
 * @internal
 */
import * as KeyText from "effect-cycles/ledger/KeyText"
import type { Document, ReservationRow, TenantRow } from "effect-cycles/ledger/Model"
import { deadline, emptyTenant } from "effect-cycles/ledger/Model"
import * as RowJson from "effect-cycles/ledger/RowJson"
import type { Keys, View, Writes } from "effect-cycles/ledger/View"
import type { Connection, Row, Value } from "./Connection.ts"
import type { LogTable } from "./LogLists.ts"
import { actTable, base, columnsOf, eventTable, valuesOf } from "./LogLists.ts"

/** From so many keys on, one statement for all of them is quicker than one for each. */
const MANY = 8

// Columns are read back as what they were written as.
const text = (row: Row, column: number): string => row[column] as string
const number = (row: Row, column: number): number => row[column] as number

/** The tenants' numbers in the file, kept beyond a transaction: a tenant never changes its own. */
export type Numbers = Map<string, number>

/** What is known of a reservation that was loaded: which of its columns need not be written again. */
interface Loaded {
  readonly seq: number
  readonly row: ReservationRow
}

const adding = <R, C extends string>(table: LogTable<R, C>): string => {
  const names = ["seq", "body", "at", ...columnsOf(table)]
  return `INSERT INTO ${table.name} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`
}

const ADD_EVENT = adding(eventTable)
const ADD_ACT = adding(actTable)

/** The path a reservation spends at: the narrowest of its scopes. */
const scopeOf = (row: ReservationRow): string => row.scopes[row.scopes.length - 1] ?? ""

export class Rows {
  private readonly connection: Connection
  private readonly numbers: Numbers
  /** Tenants that were given their numbers in this transaction, to be forgotten with it. */
  private readonly added: Array<string> = []
  private readonly tenants = new Map<string, TenantRow>()
  private readonly loaded = new Map<string, Loaded>()

  constructor(connection: Connection, numbers: Numbers) {
    this.connection = connection
    this.numbers = numbers
  }

  /** Takes back what the transaction left outside of the file. */
  forget(): void {
    for (const name of this.added) this.numbers.delete(name)
  }

  /** The number of a tenant that has one. */
  numberOf(tenant: string): number | undefined {
    const known = this.numbers.get(tenant)
    if (known !== undefined) return known
    const row = this.connection.statement("SELECT t FROM tenants WHERE name = ?").get([KeyText.encode(tenant)])
    if (row === undefined) return undefined
    this.numbers.set(tenant, number(row, 0))
    return number(row, 0)
  }

  private numberFor(tenant: string): number {
    const known = this.numberOf(tenant)
    if (known !== undefined) return known
    const name = KeyText.encode(tenant)
    this.connection.statement("INSERT INTO tenants (name, undelivered) VALUES (?, 0)").run([name])
    this.added.push(tenant)
    return this.numberOf(tenant) ?? 0
  }

  tenant(tenant: string): TenantRow {
    let row = this.tenants.get(tenant)
    if (row === undefined) {
      const found = this.connection.statement("SELECT body FROM tenants WHERE name = ?").get([KeyText.encode(tenant)])
      row = found === undefined || found[0] === null ? emptyTenant(tenant) : RowJson.tenant.decode(text(found, 0))
      this.tenants.set(tenant, row)
    }
    return row
  }

  /** The rows of some keys, whichever there are. */
  private byKeys(table: string, column: string, keys: ReadonlyArray<string>): ReadonlyArray<Row> {
    if (keys.length >= MANY) {
      // Joined in this order, each key is looked up; left to itself SQLite might read the whole table.
      const from = `json_each(?) k CROSS JOIN ${table} r`
      return this.connection.statement(`SELECT r.seq, r.body FROM ${from} WHERE r.${column} = k.value`)
        .all([KeyText.encodeAll(keys)])
    }
    const statement = this.connection.statement(`SELECT seq, body FROM ${table} WHERE ${column} = ?`)
    return keys.flatMap((key) => statement.all([KeyText.encode(key)]))
  }

  private readonly reservation = (row: Row): ReservationRow => {
    const reservation = RowJson.reservation.decode(text(row, 1))
    this.loaded.set(reservation.id, { seq: number(row, 0), row: reservation })
    return reservation
  }

  load(keys: Keys, view: View, now: number): void {
    for (const tenant of keys.tenants) this.loadTenant(tenant, view, now)
    for (const tenant of keys.wholes) this.loadWhole(tenant, view)
    if (keys.scopes.length > 0) {
      const scopes = new Map(keys.scopes.map((scope) => [scope, [] as Array<ReturnType<typeof RowJson.budget.decode>>]))
      for (const row of this.byKeys("budgets", "scope", keys.scopes)) {
        const budget = RowJson.budget.decode(text(row, 1))
        scopes.get(budget.scope)?.push(budget)
      }
      for (const [scope, rows] of scopes) view.loadedScope(scope, rows)
    }
    if (keys.reservations.length > 0) {
      for (const id of keys.reservations) view.loadedReservation(id, undefined)
      for (const row of this.byKeys("reservations", "id", keys.reservations)) {
        const reservation = this.reservation(row)
        view.loadedReservation(reservation.id, reservation)
      }
    }
    if (keys.records.length > 0) {
      for (const key of keys.records) view.loadedRecord(key, undefined)
      for (const row of this.byKeys("records", "key", keys.records.map(({ id }) => id))) {
        const record = RowJson.record.decode(text(row, 1))
        view.loadedRecord(record, record)
      }
    }
    for (const { id, tenant } of keys.counters) {
      const t = this.numberOf(tenant)
      const row = t === undefined
        ? undefined
        : this.connection.statement("SELECT body FROM counters WHERE t = ? AND id = ?").get([t, KeyText.encode(id)])
      view.loadedCounter(tenant, id, row === undefined ? undefined : RowJson.counter.decode(text(row, 0)))
    }
    for (const key of keys.documents) {
      const t = this.numberOf(key.tenant)
      const row = t === undefined
        ? undefined
        : this.connection.statement("SELECT body FROM documents WHERE t = ? AND kind = ? AND id = ?")
          .get([t, key.kind, KeyText.encode(key.id)])
      view.loadedDocument(key, row === undefined ? undefined : RowJson.document.decode(text(row, 0)))
    }
  }

  private loadTenant(tenant: string, view: View, now: number): void {
    const t = this.numberOf(tenant)
    if (t === undefined) {
      view.loadedTenant(this.tenant(tenant), [], [])
      return
    }
    const due = this.connection
      .statement("SELECT seq, body FROM reservations WHERE t = ? AND status = 'ACTIVE' AND due < ? ORDER BY due, id")
      .all([t, now])
    const policies = this.documentsOf(t, "policy").flatMap((row) => row._tag === "policy" ? [row] : [])
    view.loadedTenant(this.tenant(tenant), due.map(this.reservation), policies)
  }

  private loadWhole(tenant: string, view: View): void {
    // A tenant without a number has no rows of any kind.
    const t = this.numberOf(tenant) ?? -1
    view.loadedWhole(tenant, {
      budgets: this.connection.statement("SELECT body FROM budgets WHERE t = ? ORDER BY scope, unit").all([t])
        .map((row) => RowJson.budget.decode(text(row, 0))),
      open: this.connection
        .statement("SELECT seq, body FROM reservations WHERE t = ? AND status = 'ACTIVE' ORDER BY due, id")
        .all([t]).map(this.reservation),
      apiKeys: this.documentsOf(t, "api_key").flatMap((row) => row._tag === "api_key" ? [row] : [])
    })
  }

  private documentsOf(t: number, kind: Document["_tag"]): ReadonlyArray<Document> {
    return this.connection.statement("SELECT body FROM documents WHERE t = ? AND kind = ? ORDER BY id").all([t, kind])
      .map((row) => RowJson.document.decode(text(row, 0)))
  }

  write(writes: Writes): void {
    const { connection } = this
    for (const row of writes.tenants) {
      const undelivered = row.lastEvent > row.deliveredEvent ? 1 : 0
      connection.statement("UPDATE tenants SET body = ?, undelivered = ? WHERE t = ?")
        .run([RowJson.tenant.encode(row), undelivered, this.numberFor(row.tenant)])
      this.tenants.set(row.tenant, row)
    }
    for (const row of writes.budgets) {
      const [body, scope] = [RowJson.budget.encode(row), KeyText.encode(row.scope)]
      const update = connection.statement("UPDATE budgets SET body = ? WHERE scope = ? AND unit = ?")
      if (update.run([body, scope, row.unit]) === 0) {
        connection.statement("INSERT INTO budgets (t, scope, unit, body) VALUES (?, ?, ?, ?)")
          .run([this.numberFor(row.tenant), scope, row.unit, body])
      }
    }
    for (const row of writes.reservations) this.writeReservation(row)
    for (const row of writes.records) {
      // Records of what is settled are kept as long as the reservation is.
      const isSettled = row.operation === "commit" || row.operation === "release"
      const settled = isSettled && row.reservationId !== undefined ? KeyText.encode(row.reservationId) : null
      connection.statement(
        "INSERT INTO records (key, settled, keep, body) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE " +
          "SET settled = excluded.settled, keep = excluded.keep, body = excluded.body"
      ).run([KeyText.encode(row.id), settled, row.keepUntilMs, RowJson.record.encode(row)])
    }
    for (const row of writes.counters) {
      connection.statement(
        "INSERT INTO counters (t, id, keep, body) VALUES (?, ?, ?, ?) ON CONFLICT (t, id) DO UPDATE " +
          "SET keep = excluded.keep, body = excluded.body"
      ).run([this.numberFor(row.tenant), KeyText.encode(row.id), row.keepUntilMs, RowJson.counter.encode(row)])
    }
    for (const row of writes.documents) {
      connection.statement(
        "INSERT INTO documents (t, kind, id, body) VALUES (?, ?, ?, ?) ON CONFLICT (t, kind, id) DO UPDATE " +
          "SET body = excluded.body"
      ).run([this.numberFor(row.tenant), row._tag, KeyText.encode(row.id), RowJson.document.encode(row)])
    }
    for (const { id, kind, tenant } of writes.removed) {
      connection.statement("DELETE FROM documents WHERE t = ? AND kind = ? AND id = ?")
        .run([this.numberFor(tenant), kind, KeyText.encode(id)])
    }
    this.dropUpTo("entries", writes.foldedEntries)
    this.dropUpTo("events", writes.droppedEvents)
    this.dropUpTo("acts", writes.droppedActs)
    this.append("INSERT INTO entries (seq, body) VALUES (?, ?)", writes.entries, RowJson.entry, () => [])
    this.append(ADD_EVENT, writes.events, RowJson.event, (row) => valuesOf(eventTable, row))
    this.append(ADD_ACT, writes.acts, RowJson.act, (row) => valuesOf(actTable, row))
  }

  private dropUpTo(table: string, numbers: ReadonlyMap<string, number>): void {
    for (const [tenant, upTo] of numbers) {
      const above = base(this.numberFor(tenant))
      this.connection.statement(`DELETE FROM ${table} WHERE seq > ? AND seq <= ?`).run([above, above + BigInt(upTo)])
    }
  }

  private append<R extends { readonly tenant: string; readonly number: number }>(
    insert: string,
    rows: ReadonlyArray<R>,
    codec: RowJson.RowCodec<R>,
    columns: (row: R) => ReadonlyArray<Value>
  ): void {
    for (const row of rows) {
      const seq = base(this.numberFor(row.tenant)) + BigInt(row.number)
      this.connection.statement(insert).run([seq, codec.encode(row), ...columns(row)])
    }
  }

  /** Only columns that changed are written: each that is named costs its indexes, whether its value is another or not. */
  private writeReservation(row: ReservationRow): void {
    const { connection } = this
    const body = RowJson.reservation.encode(row)
    const before = this.loaded.get(row.id)
    if (before === undefined) {
      connection.statement(
        "INSERT INTO reservations (id, t, status, created, expires, due, finalized, reserved, scope, key, body) " +
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET t = excluded.t, status = excluded.status, " +
          "created = excluded.created, expires = excluded.expires, due = excluded.due, finalized = excluded.finalized, " +
          "reserved = excluded.reserved, scope = excluded.scope, key = excluded.key, body = excluded.body"
      ).run([
        KeyText.encode(row.id),
        this.numberFor(row.tenant),
        row.status,
        row.createdAtMs,
        row.expiresAtMs,
        deadline(row),
        row.finalizedAtMs ?? null,
        row.estimate.amount,
        KeyText.encode(scopeOf(row)),
        KeyText.encode(row.idempotencyKey),
        body
      ])
      return
    }
    if (row.expiresAtMs !== before.row.expiresAtMs || deadline(row) !== deadline(before.row)) {
      connection.statement("UPDATE reservations SET expires = ?, due = ?, body = ? WHERE seq = ?")
        .run([row.expiresAtMs, deadline(row), body, before.seq])
    }
    connection.statement("UPDATE reservations SET status = ?, finalized = ?, body = ? WHERE seq = ?")
      .run([row.status, row.finalizedAtMs ?? null, body, before.seq])
    this.loaded.set(row.id, { seq: before.seq, row })
  }
}
