/**
 * The rows one transaction works on: what was loaded, with the changes made so far laid over it.
 *
 * @since 0.1.0
 */
import type { Unit } from "../protocol/Amount.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type { BudgetRow, Entry, IdempotencyRow, Operation, ReservationRow, TenantRow } from "./Model.ts"

/**
 * Names what a transaction must load.
 *
 * - `Tenant`: the tenant's row
 * - `Budgets`: the budgets of one scope, in every unit
 * - `Reservation`: one reservation
 * - `Record`: one idempotency record
 * - `Due`: the tenant's ACTIVE reservations whose grace has ended
 *
 * @category models
 * @since 0.1.0
 */
export type Key =
  | { readonly _tag: "Tenant"; readonly tenant: string }
  | { readonly _tag: "Budgets"; readonly tenant: string; readonly scope: string }
  | { readonly _tag: "Reservation"; readonly id: ReservationId }
  | { readonly _tag: "Record"; readonly tenant: string; readonly operation: Operation; readonly key: string }
  | { readonly _tag: "Due"; readonly tenant: string }

/**
 * The rows that were found for some keys. What is not among them does not exist.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rows {
  readonly tenants: ReadonlyArray<TenantRow>
  readonly budgets: ReadonlyArray<BudgetRow>
  readonly reservations: ReadonlyArray<ReservationRow>
  readonly records: ReadonlyArray<IdempotencyRow>
  readonly due: ReadonlyArray<ReservationRow>
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

const recordKey = (tenant: string, operation: Operation, key: string): string => `${tenant}/${operation}/${key}`

/**
 * Makes an empty view.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): View => new View()

/**
 * @category models
 * @since 0.1.0
 */
export class View {
  private readonly tenants = new Map<string, TenantRow>()
  private readonly budgets = new Map<string, ReadonlyArray<BudgetRow>>()
  private readonly reservations = new Map<ReservationId, ReservationRow | undefined>()
  private readonly records = new Map<string, IdempotencyRow | undefined>()
  private readonly due = new Map<string, ReadonlyArray<ReservationRow>>()

  private readonly changedTenants = new Set<string>()
  private readonly changedBudgets = new Map<string, BudgetRow>()
  private readonly changedReservations = new Set<ReservationId>()
  private readonly newRecords: Array<IdempotencyRow> = []
  private readonly newEntries: Array<Entry> = []

  /** Whether the rows of a key are here already, found or not. */
  knows(key: Key): boolean {
    switch (key._tag) {
      case "Tenant":
        return this.tenants.has(key.tenant)
      case "Budgets":
        return this.budgets.has(key.scope)
      case "Reservation":
        return this.reservations.has(key.id)
      case "Record":
        return this.records.has(recordKey(key.tenant, key.operation, key.key))
      case "Due":
        return this.due.has(key.tenant)
    }
  }

  /** Takes in what was found for `keys`. Rows that are here already are left as they are. */
  add(keys: ReadonlyArray<Key>, rows: Rows): void {
    for (const row of rows.tenants) this.tenants.set(row.tenant, row)
    for (const key of keys) {
      switch (key._tag) {
        case "Tenant":
          if (!this.tenants.has(key.tenant)) {
            this.tenants.set(key.tenant, { tenant: key.tenant, lastTimeMs: 0, lastEntry: 0 })
          }
          break
        case "Budgets":
          this.budgets.set(key.scope, rows.budgets.filter((row) => row.scope === key.scope))
          break
        case "Reservation":
          this.reservations.set(key.id, undefined)
          break
        case "Record":
          this.records.set(recordKey(key.tenant, key.operation, key.key), undefined)
          break
        case "Due":
          this.due.set(key.tenant, rows.due.filter((row) => row.tenant === key.tenant))
          break
      }
    }
    for (const row of rows.reservations) this.reservations.set(row.id, row)
    for (const row of rows.records) this.records.set(recordKey(row.tenant, row.operation, row.key), row)
    for (const row of rows.due) {
      if (this.reservations.get(row.id) === undefined) this.reservations.set(row.id, row)
    }
  }

  tenant(tenant: string): TenantRow | undefined {
    return this.tenants.get(tenant)
  }

  /** The budgets of a scope, in every unit. */
  budgetsAt(scope: string): ReadonlyArray<BudgetRow> {
    return this.budgets.get(scope) ?? []
  }

  budget(scope: string, unit: Unit): BudgetRow | undefined {
    return this.budgets.get(scope)?.find((row) => row.unit === unit)
  }

  reservation(id: ReservationId): ReservationRow | undefined {
    return this.reservations.get(id)
  }

  record(tenant: string, operation: Operation, key: string): IdempotencyRow | undefined {
    return this.records.get(recordKey(tenant, operation, key))
  }

  /** The tenant's reservations that were due when the view was loaded. */
  dueOf(tenant: string): ReadonlyArray<ReservationRow> {
    return this.due.get(tenant) ?? []
  }

  putTenant(row: TenantRow): void {
    this.tenants.set(row.tenant, row)
    this.changedTenants.add(row.tenant)
  }

  putBudget(row: BudgetRow): void {
    const others = this.budgetsAt(row.scope)
    this.budgets.set(
      row.scope,
      others.length === 1 && others[0]?.unit === row.unit
        ? [row]
        : [...others.filter((other) => other.unit !== row.unit), row]
    )
    this.changedBudgets.set(`${row.scope} ${row.unit}`, row)
  }

  putReservation(row: ReservationRow): void {
    this.reservations.set(row.id, row)
    this.changedReservations.add(row.id)
  }

  addRecord(row: IdempotencyRow): void {
    this.records.set(recordKey(row.tenant, row.operation, row.key), row)
    this.newRecords.push(row)
  }

  addEntry(entry: Entry): void {
    this.newEntries.push(entry)
  }

  /** What has changed since the view was made, net. */
  writes(): Writes {
    const tenants: Array<TenantRow> = []
    for (const tenant of this.changedTenants) {
      const row = this.tenants.get(tenant)
      if (row !== undefined) tenants.push(row)
    }
    const reservations: Array<ReservationRow> = []
    for (const id of this.changedReservations) {
      const row = this.reservations.get(id)
      if (row !== undefined) reservations.push(row)
    }
    return {
      tenants,
      budgets: Array.from(this.changedBudgets.values()),
      reservations,
      records: this.newRecords,
      entries: this.newEntries
    }
  }
}
