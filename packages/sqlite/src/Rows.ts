/**
 * Loads and writes rows by their keys, within a transaction.
 *
 * @internal
 */
import * as KeyText from "effect-cycles/ledger/KeyText"
import type { BudgetRow, Document, PolicyRow, ReservationRow, TenantRow } from "effect-cycles/ledger/Model"
import { deadline, emptyTenant } from "effect-cycles/ledger/Model"
import * as RowJson from "effect-cycles/ledger/RowJson"
import type { Keys, View, Writes } from "effect-cycles/ledger/View"
import type { Connection, Row, Value } from "./Connection.ts"
import { actTable, base, columnsOf, eventTable, valuesOf } from "./LogLists.ts"

/** So many rows are written by one statement, where there are as many: a call of the driver costs about as much as a row. */
const AT_ONCE = 16

/** The texts of a statement that writes one row, and of one that writes {@link AT_ONCE}. */
interface Insertion {
  readonly one: string
  readonly many: string
}

const insertion = (into: string, columns: ReadonlyArray<string>, conflict: string): Insertion => {
  const row = `(${columns.map(() => "?").join(", ")})`
  const text = (rows: string): string => `INSERT INTO ${into} (${columns.join(", ")}) VALUES ${rows} ${conflict}`
  return { one: text(row), many: text(Array.from({ length: AT_ONCE }, () => row).join(", ")) }
}

/** An insertion that puts its values into a row that is there already; `keys` say which that is. */
const upsertion = (
  into: string,
  keys: ReadonlyArray<string>,
  fixed: ReadonlyArray<string>,
  set: ReadonlyArray<string>
) =>
  insertion(
    into,
    [...keys, ...fixed, ...set],
    `ON CONFLICT (${keys.join(", ")}) DO UPDATE SET ${set.map((column) => `${column} = excluded.${column}`).join(", ")}`
  )

const insertions = {
  tenants: upsertion("tenants", ["t"], ["name"], ["undelivered", "body"]),
  budgets: upsertion("budgets", ["scope", "unit"], ["t"], ["body"]),
  reservations: upsertion(
    "reservations",
    ["id"],
    [],
    ["t", "status", "created", "expires", "due", "finalized", "reserved", "scope", "key", "body"]
  ),
  records: upsertion("records", ["key"], [], ["settled", "keep", "body"]),
  counters: upsertion("counters", ["t", "id"], [], ["keep", "body"]),
  entries: insertion("entries", ["seq", "body"], ""),
  events: insertion("events", ["seq", "body", "at", ...columnsOf(eventTable)], ""),
  acts: insertion("acts", ["seq", "body", "at", ...columnsOf(actTable)], "")
}

// Columns are read back as what they were written as.
const text = (row: Row, column: number): string => row[column] as string
const number = (row: Row, column: number): number => row[column] as number

/** No tenant's number: a tenant that has none yet has no rows of any kind. */
const NOBODY = -1

/** The tenants' numbers in the file, kept beyond a transaction: a tenant never changes its own. */
export type Numbers = Map<string, number>

/** What is known of a reservation that was loaded: which of its columns need not be written again. */
interface Loaded {
  readonly seq: number
  readonly row: ReservationRow
}

/** The path a reservation spends at: the narrowest of its scopes. */
const scopeOf = (row: ReservationRow): string => row.scopes[row.scopes.length - 1] ?? ""

const grouped = <A>(rows: ReadonlyArray<A>, by: (row: A) => string): ReadonlyMap<string, ReadonlyArray<A>> => {
  const groups = new Map<string, Array<A>>()
  for (const row of rows) {
    const group = groups.get(by(row))
    if (group === undefined) groups.set(by(row), [row])
    else group.push(row)
  }
  return groups
}

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

  /** The rows of some tenants, in their order. */
  tenantRows(names: ReadonlyArray<string>): ReadonlyArray<TenantRow> {
    const unknown = names.filter((name) => !this.tenants.has(name))
    if (unknown.length > 0) {
      for (const name of unknown) this.tenants.set(name, emptyTenant(name))
      const found = this.connection
        .statement("SELECT r.t, r.name, r.body FROM json_each(?) k CROSS JOIN tenants r WHERE r.name = k.value")
        .all([KeyText.encodeAll(unknown)])
      for (const row of found) {
        const name = KeyText.decode(text(row, 1))
        this.numbers.set(name, number(row, 0))
        if (row[2] !== null) this.tenants.set(name, RowJson.tenant.decode(text(row, 2)))
      }
    }
    return names.map((name) => this.tenants.get(name) ?? emptyTenant(name))
  }

  /** The rows of some keys, whichever there are. */
  private byKeys(table: string, column: string, keys: ReadonlyArray<string>): ReadonlyArray<Row> {
    // Joined in this order, each key is looked up; left to itself SQLite might read the whole table.
    const from = `json_each(?) k CROSS JOIN ${table} r`
    return this.connection.statement(`SELECT r.seq, r.body FROM ${from} WHERE r.${column} = k.value`)
      .all([KeyText.encodeAll(keys)])
  }

  private readonly reservation = (row: Row): ReservationRow => {
    const reservation = RowJson.reservation.decode(text(row, 1))
    this.loaded.set(reservation.id, { seq: number(row, 0), row: reservation })
    return reservation
  }

  load(keys: Keys, view: View, now: number): void {
    if (keys.tenants.length > 0) this.loadTenants(keys.tenants, view, now)
    for (const tenant of keys.wholes) this.loadWhole(tenant, view)
    if (keys.scopes.length > 0) {
      const rows = this.byKeys("budgets", "scope", keys.scopes).map((row) => RowJson.budget.decode(text(row, 1)))
      const scopes = grouped<BudgetRow>(rows, ({ scope }) => scope)
      for (const scope of keys.scopes) view.loadedScope(scope, scopes.get(scope) ?? [])
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

  private loadTenants(names: ReadonlyArray<string>, view: View, now: number): void {
    const rows = this.tenantRows(names)
    const numbers = `[${names.map((name) => this.numberOf(name) ?? NOBODY).join()}]`
    const due = this.connection
      .statement(
        "SELECT r.seq, r.body FROM json_each(?) k CROSS JOIN reservations r INDEXED BY reservations_active " +
          "WHERE r.t = k.value AND r.status = 'ACTIVE' AND r.due < ? ORDER BY r.due, r.id"
      )
      .all([numbers, now])
      .map(this.reservation)
    const policies = this.connection
      .statement(
        "SELECT r.body FROM json_each(?) k CROSS JOIN documents r WHERE r.t = k.value AND r.kind = 'policy' ORDER BY r.id"
      )
      .all([numbers])
      .map((row) => RowJson.document.decode(text(row, 0)))
      .filter((row) => row._tag === "policy")
    const dueOf = grouped<ReservationRow>(due, ({ tenant }) => tenant)
    const policiesOf = grouped<PolicyRow>(policies, ({ tenant }) => tenant)
    for (const row of rows) view.loadedTenant(row, dueOf.get(row.tenant) ?? [], policiesOf.get(row.tenant) ?? [])
  }

  private loadWhole(tenant: string, view: View): void {
    const t = this.numberOf(tenant) ?? NOBODY
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
    this.insert(
      insertions.tenants,
      writes.tenants.map((row) => {
        const undelivered = row.lastEvent > row.deliveredEvent ? 1 : 0
        this.tenants.set(row.tenant, row)
        return [this.numberFor(row.tenant), KeyText.encode(row.tenant), undelivered, RowJson.tenant.encode(row)]
      })
    )
    this.insert(
      insertions.budgets,
      writes.budgets.map((row) => [
        KeyText.encode(row.scope),
        row.unit,
        this.numberFor(row.tenant),
        RowJson.budget.encode(row)
      ])
    )
    this.writeReservations(writes.reservations)
    this.insert(
      insertions.records,
      writes.records.map((row) => {
        // Records of what is settled are kept as long as the reservation is.
        const isSettled = row.operation === "commit" || row.operation === "release"
        const settled = isSettled && row.reservationId !== undefined ? KeyText.encode(row.reservationId) : null
        return [KeyText.encode(row.id), settled, row.keepUntilMs, RowJson.record.encode(row)]
      })
    )
    this.insert(
      insertions.counters,
      writes.counters.map((row) => [
        this.numberFor(row.tenant),
        KeyText.encode(row.id),
        row.keepUntilMs,
        RowJson.counter.encode(row)
      ])
    )
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
    this.append("entries", writes.entries, RowJson.entry, () => [])
    this.append("events", writes.events, RowJson.event, (row) => valuesOf(eventTable, row))
    this.append("acts", writes.acts, RowJson.act, (row) => valuesOf(actTable, row))
  }

  private dropUpTo(table: string, numbers: ReadonlyMap<string, number>): void {
    for (const [tenant, upTo] of numbers) {
      const above = base(this.numberFor(tenant))
      this.connection.statement(`DELETE FROM ${table} WHERE seq > ? AND seq <= ?`).run([above, above + BigInt(upTo)])
    }
  }

  private append<R extends { readonly tenant: string; readonly number: number }>(
    table: "entries" | "events" | "acts",
    rows: ReadonlyArray<R>,
    codec: RowJson.RowCodec<R>,
    columns: (row: R) => ReadonlyArray<Value>
  ): void {
    this.insert(
      insertions[table],
      rows.map((row) => [base(this.numberFor(row.tenant)) + BigInt(row.number), codec.encode(row), ...columns(row)])
    )
  }

  private insert({ many, one }: Insertion, rows: ReadonlyArray<ReadonlyArray<Value>>): void {
    let at = 0
    for (; at + AT_ONCE <= rows.length; at += AT_ONCE) {
      this.connection.statement(many).run(rows.slice(at, at + AT_ONCE).flat())
    }
    for (; at < rows.length; at++) this.connection.statement(one).run(rows[at] ?? [])
  }

  private writeReservations(rows: ReadonlyArray<ReservationRow>): void {
    const added: Array<ReadonlyArray<Value>> = []
    for (const row of rows) {
      const before = this.loaded.get(row.id)
      if (before !== undefined) this.updateReservation(row, before)
      else {
        added.push([
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
          RowJson.reservation.encode(row)
        ])
      }
    }
    this.insert(insertions.reservations, added)
  }

  /** Only columns that changed are written: each that is named costs its indexes, whether its value is another or not. */
  private updateReservation(row: ReservationRow, before: Loaded): void {
    const { connection } = this
    const body = RowJson.reservation.encode(row)
    if (row.expiresAtMs !== before.row.expiresAtMs || deadline(row) !== deadline(before.row)) {
      connection.statement("UPDATE reservations SET expires = ?, due = ?, body = ? WHERE seq = ?")
        .run([row.expiresAtMs, deadline(row), body, before.seq])
    }
    connection.statement("UPDATE reservations SET status = ?, finalized = ?, body = ? WHERE seq = ?")
      .run([row.status, row.finalizedAtMs ?? null, body, before.seq])
    this.loaded.set(row.id, { seq: before.seq, row })
  }
}
