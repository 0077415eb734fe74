/**
 * The rows one transaction works on: what was loaded, with the changes made so far laid over it.
 *
 * @since 0.1.0
 */
import type { Unit } from "../protocol/Amount.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type {
  Act,
  ApiKeyRow,
  BudgetRow,
  CounterRow,
  Document,
  DocumentKey,
  Entry,
  IdempotencyRow,
  LedgerEvent,
  PolicyRow,
  RecordKey,
  ReservationRow,
  TenantRow
} from "./Model.ts"

/**
 * Names a counter.
 *
 * @category models
 * @since 0.1.0
 */
export interface CounterKey {
  readonly tenant: string
  readonly id: string
}

/**
 * What a transaction must load, by kind.
 *
 * - `tenants`: their rows, their policies, and their ACTIVE reservations whose grace has ended
 * - `wholes`: all of a tenant's budgets, ACTIVE reservations and API keys, for tenants that are being closed
 * - `scopes`: the budgets of each scope, in every unit
 * - `reservations`, `records`, `counters`, `documents`: one row each
 *
 * @category models
 * @since 0.1.0
 */
export interface Keys {
  readonly tenants: ReadonlyArray<string>
  readonly wholes: ReadonlyArray<string>
  readonly scopes: ReadonlyArray<string>
  readonly reservations: ReadonlyArray<ReservationId>
  readonly records: ReadonlyArray<RecordKey>
  readonly counters: ReadonlyArray<CounterKey>
  readonly documents: ReadonlyArray<DocumentKey>
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
  readonly counters: ReadonlyArray<CounterRow>
  readonly documents: ReadonlyArray<Document>
  readonly removed: ReadonlyArray<DocumentKey>
  readonly entries: ReadonlyArray<Entry>
  /** Entries up to these numbers are dropped, before new ones are written. */
  readonly foldedEntries: ReadonlyMap<string, number>
  /** Events up to these numbers are dropped. */
  readonly droppedEvents: ReadonlyMap<string, number>
  /** Governance acts up to these numbers are dropped. */
  readonly droppedActs: ReadonlyMap<string, number>
  readonly events: ReadonlyArray<LedgerEvent>
  readonly acts: ReadonlyArray<Act>
}

/**
 * The keys that are asked for and whose rows are not in the view yet.
 *
 * @category models
 * @since 0.1.0
 */
export class Missing implements Keys {
  readonly tenants: Array<string> = []
  readonly wholes: Array<string> = []
  readonly scopes: Array<string> = []
  readonly reservations: Array<ReservationId> = []
  readonly records: Array<RecordKey> = []
  readonly counters: Array<CounterKey> = []
  readonly documents: Array<DocumentKey> = []
  private readonly counterNames = new Set<string>()
  private readonly view: View

  constructor(view: View) {
    this.view = view
  }

  get isEmpty(): boolean {
    return this.tenants.length === 0 && this.scopes.length === 0 && this.reservations.length === 0 &&
      this.records.length === 0 && this.counters.length === 0 && this.documents.length === 0 &&
      this.wholes.length === 0
  }

  tenant(tenant: string): void {
    if (!this.view.knowsTenant(tenant) && !this.tenants.includes(tenant)) this.tenants.push(tenant)
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

  /** All of a tenant's budgets, ACTIVE reservations and API keys. */
  whole(tenant: string): void {
    if (!this.view.knowsWhole(tenant) && !this.wholes.includes(tenant)) this.wholes.push(tenant)
  }

  counter(tenant: string, id: string): void {
    const name = counterName(tenant, id)
    if (this.counterNames.has(name) || this.view.knowsCounter(tenant, id)) return
    this.counterNames.add(name)
    this.counters.push({ tenant, id })
  }

  document(key: DocumentKey): void {
    if (this.view.knowsDocument(key)) return
    const asked = this.documents.some(({ id, kind, tenant }) =>
      id === key.id && kind === key.kind && tenant === key.tenant
    )
    if (!asked) this.documents.push(key)
  }
}

/**
 * Everything a tenant has that closing it touches.
 *
 * @category models
 * @since 0.1.0
 */
export interface Whole {
  readonly budgets: ReadonlyArray<BudgetRow>
  readonly open: ReadonlyArray<ReservationRow>
  readonly apiKeys: ReadonlyArray<ApiKeyRow>
}

const none: ReadonlyArray<never> = []

const counterName = (tenant: string, id: string): string => `${tenant} ${id}`
const documentName = (key: DocumentKey): string => `${key.tenant} ${key.kind} ${key.id}`

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
  private readonly policies = new Map<string, ReadonlyArray<PolicyRow>>()
  private readonly wholes = new Map<string, Whole>()
  private readonly budgets = new Map<string, ReadonlyArray<BudgetRow>>()
  private readonly reservations = new Map<ReservationId, ReservationRow | undefined>()
  private readonly records = new Map<string, IdempotencyRow | undefined>()
  private readonly counters = new Map<string, CounterRow | undefined>()
  private readonly documents = new Map<string, Document | undefined>()

  private readonly changedTenants = new Map<string, TenantRow>()
  private readonly changedBudgets = new Map<string, BudgetRow>()
  private readonly changedReservations = new Map<ReservationId, ReservationRow>()
  private readonly changedCounters = new Map<string, CounterRow>()
  private readonly changedDocuments = new Map<string, Document>()
  private readonly removedDocuments = new Map<string, DocumentKey>()
  private readonly newRecords: Array<IdempotencyRow> = []
  private readonly newEntries: Array<Entry> = []
  private readonly foldedEntries = new Map<string, number>()
  private readonly droppedEvents = new Map<string, number>()
  private readonly droppedActs = new Map<string, number>()
  private readonly newEvents: Array<LedgerEvent> = []
  private readonly newActs: Array<Act> = []

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

  knowsWhole(tenant: string): boolean {
    return this.wholes.has(tenant)
  }

  knowsCounter(tenant: string, id: string): boolean {
    return this.counters.has(counterName(tenant, id))
  }

  knowsDocument(key: DocumentKey): boolean {
    return this.documents.has(documentName(key))
  }

  loadedTenant(
    row: TenantRow,
    due: ReadonlyArray<ReservationRow>,
    policies: ReadonlyArray<PolicyRow>
  ): void {
    this.tenants.set(row.tenant, row)
    this.due.set(row.tenant, due)
    this.policies.set(row.tenant, policies)
    for (const reservation of due) this.reservations.set(reservation.id, reservation)
  }

  /** Rows that are in the view already stay as they are there. */
  loadedWhole(tenant: string, whole: Whole): void {
    this.wholes.set(tenant, whole)
    const scopes = new Map<string, Array<BudgetRow>>()
    for (const row of whole.budgets) {
      const rows = scopes.get(row.scope)
      if (rows === undefined) scopes.set(row.scope, [row])
      else rows.push(row)
    }
    for (const [scope, rows] of scopes) if (!this.budgets.has(scope)) this.budgets.set(scope, rows)
    for (const row of whole.open) if (!this.reservations.has(row.id)) this.reservations.set(row.id, row)
    for (const row of whole.apiKeys) {
      const name = documentName({ tenant, kind: row._tag, id: row.id })
      if (!this.documents.has(name)) this.documents.set(name, row)
    }
  }

  loadedCounter(tenant: string, id: string, row: CounterRow | undefined): void {
    this.counters.set(counterName(tenant, id), row)
  }

  loadedDocument(key: DocumentKey, row: Document | undefined): void {
    this.documents.set(documentName(key), row)
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

  /** The tenant's policies as they were when the view was loaded, with the changes made since. */
  policiesOf(tenant: string): ReadonlyArray<PolicyRow> {
    return this.policies.get(tenant) ?? none
  }

  /** Everything a tenant has, with the changes made since it was loaded. */
  whole(tenant: string): Whole | undefined {
    const loaded = this.wholes.get(tenant)
    if (loaded === undefined) return undefined
    const budgets = new Map<string, BudgetRow>()
    for (const row of loaded.budgets) budgets.set(`${row.scope} ${row.unit}`, row)
    for (const [name, row] of this.changedBudgets) if (row.tenant === tenant) budgets.set(name, row)
    const open = new Map(loaded.open.map((row) => [row.id, row]))
    for (const [id, row] of this.changedReservations) if (row.tenant === tenant) open.set(id, row)
    const apiKeys = new Map(loaded.apiKeys.map((row) => [row.id, row]))
    for (const row of this.changedDocuments.values()) {
      if (row.tenant === tenant && row._tag === "api_key") apiKeys.set(row.id, row)
    }
    return {
      budgets: Array.from(budgets.values()),
      open: Array.from(open.values()).filter(({ status }) => status === "ACTIVE"),
      apiKeys: Array.from(apiKeys.values())
    }
  }

  /** A counter that was asked for. One that nobody asked for is a defect: it must not pass for one that has counted nothing. */
  counter(tenant: string, id: string): CounterRow | undefined {
    const name = counterName(tenant, id)
    const row = this.counters.get(name)
    if (row === undefined && !this.counters.has(name)) throw new Error(`the counter ${id} was not loaded`)
    return row
  }

  /** A document that was asked for; see {@link View.counter}. */
  document(key: DocumentKey): Document | undefined {
    const name = documentName(key)
    const row = this.documents.get(name)
    if (row === undefined && !this.documents.has(name)) throw new Error(`the ${key.kind} ${key.id} was not loaded`)
    return row
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

  putCounter(row: CounterRow): void {
    const name = counterName(row.tenant, row.id)
    this.counters.set(name, row)
    this.changedCounters.set(name, row)
  }

  putDocument(row: Document): void {
    const key: DocumentKey = { tenant: row.tenant, kind: row._tag, id: row.id }
    const name = documentName(key)
    this.documents.set(name, row)
    this.changedDocuments.set(name, row)
    this.removedDocuments.delete(name)
    if (row._tag === "policy") {
      this.policies.set(row.tenant, [...this.policiesOf(row.tenant).filter(({ id }) => id !== row.id), row])
    }
  }

  removeDocument(key: DocumentKey): void {
    const name = documentName(key)
    this.documents.set(name, undefined)
    this.changedDocuments.delete(name)
    this.removedDocuments.set(name, key)
    if (key.kind === "policy") {
      this.policies.set(key.tenant, this.policiesOf(key.tenant).filter(({ id }) => id !== key.id))
    }
  }

  /** Drops a tenant's entries up to a number; what they add up to must be among the new ones. */
  foldEntries(tenant: string, upTo: number): void {
    this.foldedEntries.set(tenant, upTo)
  }

  /** Drops a tenant's events up to a number. */
  dropEvents(tenant: string, upTo: number): void {
    this.droppedEvents.set(tenant, upTo)
  }

  /** Drops a tenant's governance acts up to a number. */
  dropActs(tenant: string, upTo: number): void {
    this.droppedActs.set(tenant, upTo)
  }

  /** Whether any of a tenant's history is dropped already. */
  isFolded(tenant: string): boolean {
    return this.foldedEntries.has(tenant) || this.droppedEvents.has(tenant) || this.droppedActs.has(tenant)
  }

  addEvent(event: LedgerEvent): void {
    this.newEvents.push(event)
  }

  addAct(act: Act): void {
    this.newActs.push(act)
  }

  /** Whether a command before may have changed by what the next ones are decided. */
  get hasChangedDocuments(): boolean {
    return this.changedDocuments.size > 0 || this.removedDocuments.size > 0
  }

  get isChanged(): boolean {
    return this.newRecords.length > 0 || this.newEntries.length > 0 || this.newEvents.length > 0 ||
      this.newActs.length > 0 || this.changedTenants.size > 0 || this.changedCounters.size > 0 ||
      this.changedDocuments.size > 0 || this.removedDocuments.size > 0 || this.foldedEntries.size > 0 ||
      this.droppedEvents.size > 0 || this.droppedActs.size > 0
  }

  /** Names the batch in the rows of the tenants it changes, and says which these are. */
  sign(batch: string): ReadonlyArray<string> {
    for (const [name, row] of this.changedTenants) this.changedTenants.set(name, { ...row, lastBatch: batch })
    return Array.from(this.changedTenants.keys())
  }

  /** What has changed since the view was made, net. */
  writes(): Writes {
    return {
      tenants: Array.from(this.changedTenants.values()),
      budgets: Array.from(this.changedBudgets.values()),
      reservations: Array.from(this.changedReservations.values()),
      records: this.newRecords,
      counters: Array.from(this.changedCounters.values()),
      documents: Array.from(this.changedDocuments.values()),
      removed: Array.from(this.removedDocuments.values()),
      entries: this.newEntries,
      foldedEntries: this.foldedEntries,
      droppedEvents: this.droppedEvents,
      droppedActs: this.droppedActs,
      events: this.newEvents,
      acts: this.newActs
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
