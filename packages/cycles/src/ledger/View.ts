/**
 * The rows one transaction works on: what was loaded, with the changes made so far laid over it.
 *
 * @since 0.1.0
 */
import type { Unit } from "../protocol/Amount.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type { BudgetRow, Entry, IdempotencyRow, RecordKey, ReservationRow, TenantRow } from "./Model.ts"

/**
 * What a transaction must load, by kind.
 *
 * - `tenants`: their rows, and their ACTIVE reservations whose grace has ended
 * - `scopes`: the budgets of each scope, in every unit
 * - `reservations`, `records`: one row each
 *
 * @category models
 * @since 0.1.0
 */
export interface Keys {
  readonly tenants: ReadonlyArray<string>
  readonly scopes: ReadonlyArray<string>
  readonly reservations: ReadonlyArray<ReservationId>
  readonly records: ReadonlyArray<RecordKey>
}

/**
 * The net changes of a transaction: each row once, in its last state, and the entries in order.
 *
 * @category models
 * @since 0.1.0
 */
export interface Writes {
  readonly tenants: ReadonlyArray<TenantRow>
  readonly budgets: ReadonlyArray<BudgetRow>
  readonly reservations: ReadonlyArray<ReservationRow>
  readonly records: ReadonlyArray<IdempotencyRow>
  readonly entries: ReadonlyArray<Entry>
}

/**
 * The keys that are asked for and whose rows are not in the view yet.
 *
 * @category models
 * @since 0.1.0
 */
export class Missing implements Keys {
  readonly tenants: Array<string> = []
  readonly scopes: Array<string> = []
  readonly reservations: Array<ReservationId> = []
  readonly records: Array<RecordKey> = []
  private readonly view: View

  constructor(view: View) {
    this.view = view
  }

  get isEmpty(): boolean {
    return this.tenants.length === 0 && this.scopes.length === 0 && this.reservations.length === 0 &&
      this.records.length === 0
  }

  tenant(tenant: string): void {
    if (!this.view.knowsTenant(tenant)) this.tenants.push(tenant)
  }

  scope(scope: string): void {
    if (!this.view.knowsScope(scope) && !this.scopes.includes(scope)) this.scopes.push(scope)
  }

  reservation(id: ReservationId): void {
    if (!this.view.knowsReservation(id)) this.reservations.push(id)
  }

  record(key: RecordKey): void {
    if (!this.view.knowsRecord(key)) this.records.push(key)
  }
}

const none: ReadonlyArray<never> = []

/**
 * What a transaction sees. A store fills it by the `loaded…` methods, with `undefined` or an empty list for what does not
 * exist; the rules read it; changes go in by the `put…` and `add…` methods and come out, net, of {@link View.writes}.
 *
 * @category models
 * @since 0.1.0
 */
export class View {
  private readonly tenants = new Map<string, TenantRow>()
  private readonly due = new Map<string, ReadonlyArray<ReservationRow>>()
  private readonly budgets = new Map<string, ReadonlyArray<BudgetRow>>()
  private readonly reservations = new Map<ReservationId, ReservationRow | undefined>()
  private readonly records = new Map<string, IdempotencyRow | undefined>()

  private readonly changedTenants = new Map<string, TenantRow>()
  private readonly changedBudgets = new Map<string, BudgetRow>()
  private readonly changedReservations = new Map<ReservationId, ReservationRow>()
  private readonly newRecords: Array<IdempotencyRow> = []
  private readonly newEntries: Array<Entry> = []

  knowsTenant(tenant: string): boolean {
    return this.tenants.has(tenant)
  }

  knowsScope(scope: string): boolean {
    return this.budgets.has(scope)
  }

  knowsReservation(id: ReservationId): boolean {
    return this.reservations.has(id)
  }

  knowsRecord(key: RecordKey): boolean {
    return this.records.has(key.id)
  }

  loadedTenant(row: TenantRow, due: ReadonlyArray<ReservationRow>): void {
    this.tenants.set(row.tenant, row)
    this.due.set(row.tenant, due)
    for (const reservation of due) this.reservations.set(reservation.id, reservation)
  }

  loadedScope(scope: string, rows: ReadonlyArray<BudgetRow>): void {
    this.budgets.set(scope, rows)
  }

  loadedReservation(id: ReservationId, row: ReservationRow | undefined): void {
    this.reservations.set(id, row)
  }

  loadedRecord(key: RecordKey, row: IdempotencyRow | undefined): void {
    this.records.set(key.id, row)
  }

  tenant(tenant: string): TenantRow | undefined {
    return this.tenants.get(tenant)
  }

  /** The tenant's reservations that were due when the view was loaded. */
  dueOf(tenant: string): ReadonlyArray<ReservationRow> {
    return this.due.get(tenant) ?? none
  }

  /** The budgets of a scope, in every unit. */
  budgetsAt(scope: string): ReadonlyArray<BudgetRow> {
    return this.budgets.get(scope) ?? none
  }

  budget(scope: string, unit: Unit): BudgetRow | undefined {
    for (const row of this.budgetsAt(scope)) {
      if (row.unit === unit) return row
    }
    return undefined
  }

  reservation(id: ReservationId): ReservationRow | undefined {
    return this.reservations.get(id)
  }

  record(key: RecordKey): IdempotencyRow | undefined {
    return this.records.get(key.id)
  }

  putTenant(row: TenantRow): void {
    this.tenants.set(row.tenant, row)
    this.changedTenants.set(row.tenant, row)
  }

  putBudget(row: BudgetRow): void {
    this.budgets.set(row.scope, replaceUnit(this.budgetsAt(row.scope), row))
    this.changedBudgets.set(`${row.scope} ${row.unit}`, row)
  }

  putReservation(row: ReservationRow): void {
    this.reservations.set(row.id, row)
    this.changedReservations.set(row.id, row)
  }

  addRecord(row: IdempotencyRow): void {
    this.records.set(row.id, row)
    this.newRecords.push(row)
  }

  addEntry(entry: Entry): void {
    this.newEntries.push(entry)
  }

  get isChanged(): boolean {
    return this.newRecords.length > 0 || this.newEntries.length > 0
  }

  /** What has changed since the view was made, net. */
  writes(): Writes {
    return {
      tenants: Array.from(this.changedTenants.values()),
      budgets: Array.from(this.changedBudgets.values()),
      reservations: Array.from(this.changedReservations.values()),
      records: this.newRecords,
      entries: this.newEntries
    }
  }
}

/**
 * The budgets of one scope with one of them replaced, or added where there was none in its unit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const replaceUnit = (rows: ReadonlyArray<BudgetRow>, row: BudgetRow): ReadonlyArray<BudgetRow> =>
  rows.length === 0 || (rows.length === 1 && rows[0]?.unit === row.unit)
    ? [row]
    : [...rows.filter((other) => other.unit !== row.unit), row]
