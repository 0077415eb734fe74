/**
 * The inner port: where a ledger keeps its rows.
 *
 * A store knows no rules. It runs a body in one transaction over the tenants it names: the body loads rows by key, decides,
 * and writes what changed. Everything a store must promise is said on {@link Operations.transact}.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { BalancesQuery } from "../protocol/Balance.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type { ReservationsQuery } from "../protocol/ReservationRecord.ts"
import type { ActColumn, EventColumn, LogPage } from "./Logs.ts"
import type { Act, BudgetRow, CounterRow, Document, Entry, LedgerEvent, ReservationRow, TenantRow } from "./Model.ts"
import type { Keys, View, Writes } from "./View.ts"

/**
 * The store could not do its work.
 *
 * `outcome` says whether the transaction may have taken effect: `none` means it surely did not, `unknown` that its commit was
 * sent and the answer never came. An unknown one is run again; the name of its batch in its tenants' rows,
 * and the idempotency records, make that safe.
 *
 * `lasting` says that the same transaction would fail again, since a row in it cannot be read. It is not run again.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreError extends Schema.TaggedError<StoreError>("effect-cycles/ledger/StoreError")("StoreError", {
  outcome: Schema.Literals(["none", "unknown"]),
  lasting: Schema.optionalKey(Schema.Boolean),
  cause: Schema.Defect()
}) {
  override get message(): string {
    return this.outcome === "none"
      ? "The store failed; nothing was changed"
      : "The store failed while committing; whether it took effect is not known"
  }
}

/**
 * Where a page of rows begins and how long it is. `after` is the position of the last row of the page before, in the order the
 * page is sorted in.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page {
  readonly after: readonly [value: string, id: string] | undefined
  readonly limit: number
}

/**
 * What a transaction can do. The lists show the changes written before them in the same transaction.
 *
 * @category models
 * @since 0.1.0
 */
export interface LedgerTx {
  /** Unix milliseconds: never before the last change of any tenant of the transaction. */
  readonly now: number
  /** Loads the rows of some keys into the view; every key is answered, with nothing where there is nothing. */
  readonly load: (keys: Keys, view: View) => Effect.Effect<void, StoreError>
  /** Writes the net changes of the transaction; called at most once. Loads come before it, lists before or after it. */
  readonly write: (writes: Writes) => Effect.Effect<void, StoreError>
  /** The tenant's budgets with all of the query's segments, by scope and unit, from `page.after`. */
  readonly budgets: (
    tenant: string,
    query: BalancesQuery,
    page: Page
  ) => Effect.Effect<ReadonlyArray<BudgetRow>, StoreError>
  /** The tenant's reservations that match, in the order asked for, from `page.after`. */
  readonly reservations: (
    tenant: string,
    query: ReservationsQuery,
    page: Page
  ) => Effect.Effect<ReadonlyArray<ReservationRow>, StoreError>
  /** The tenant's entries numbered above `after`, in order. */
  readonly entries: (tenant: string, after: number, limit: number) => Effect.Effect<ReadonlyArray<Entry>, StoreError>
  /** The tenant's events numbered above `after`, in order. */
  readonly events: (
    tenant: string,
    after: number,
    limit: number
  ) => Effect.Effect<ReadonlyArray<LedgerEvent>, StoreError>
  /** The tenant's governance acts numbered above `after`, in order. */
  readonly acts: (tenant: string, after: number, limit: number) => Effect.Effect<ReadonlyArray<Act>, StoreError>
  /** The tenant's counters with `from ≤ id < to`, by id, compared by code unit. */
  readonly counters: (
    tenant: string,
    from: string,
    to: string,
    limit: number
  ) => Effect.Effect<ReadonlyArray<CounterRow>, StoreError>
  /** The tenant's documents of a kind with ids above `after` (the empty text for the first page), by id. */
  readonly documents: (
    tenant: string,
    kind: Document["_tag"],
    after: string,
    limit: number
  ) => Effect.Effect<ReadonlyArray<Document>, StoreError>
}

/**
 * What a store can do.
 *
 * `transact` is all that a ledger works by; what it lists of all tenants is read beside it, and is what was committed last.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operations {
  /** How many transactions the store runs side by side. A ledger keeps one queue for each. */
  readonly lanes: number
  /**
   * Whether commands that several callers send in the same turn should wait for each other rather than run one by one: for a store
   * that works synchronously and pays for every transaction, or has many callers at once. Where a transaction waits for something,
   * others come meanwhile by themselves.
   */
  readonly gathers: boolean
  /** Which lane a tenant's transactions run in: 0 to `lanes − 1`, always the same one. */
  readonly laneOf: (tenant: string) => number
  /**
   * Runs `body` in one transaction that owns the named tenants: no other transaction on any of them, from this process or
   * another, runs in between. All of its writes take effect, or none; they are durable before this returns, as far as the
   * store promises durability at all. `body` is pure but for the transaction's own operations and may be run more than once.
   */
  readonly transact: <A>(
    tenants: ReadonlyArray<string>,
    body: (tx: LedgerTx) => Effect.Effect<A, StoreError>
  ) => Effect.Effect<A, StoreError>
  /** Tenants that have a reservation whose grace has ended; at most `limit`. */
  readonly dueTenants: (limit: number) => Effect.Effect<ReadonlyArray<string>, StoreError>
  /** Tenants with names above `after` (the empty text for the first page), by name. */
  readonly tenants: (after: string, limit: number) => Effect.Effect<ReadonlyArray<TenantRow>, StoreError>
  /** Tenants that have events above their `deliveredEvent`; at most `limit`. */
  readonly undelivered: (limit: number) => Effect.Effect<ReadonlyArray<string>, StoreError>
  /** A document of whatever tenant, by its id; to learn whose an API key is before anything is done in that tenant's name. */
  readonly find: (kind: Document["_tag"], id: string) => Effect.Effect<Document | undefined, StoreError>
  /** Which tenant's a reservation is, if there is one of that id. */
  readonly ownerOf: (id: ReservationId) => Effect.Effect<string | undefined, StoreError>
  /** A page of the events of all tenants, in an order that an index has. */
  readonly eventLog: (page: LogPage<EventColumn>) => Effect.Effect<ReadonlyArray<LedgerEvent>, StoreError>
  /** A page of the governance acts of all tenants, in an order that an index has. */
  readonly actLog: (page: LogPage<ActColumn>) => Effect.Effect<ReadonlyArray<Act>, StoreError>
  /** The budgets of all tenants by scope and unit, from `page.after`. */
  readonly allBudgets: (page: Page) => Effect.Effect<ReadonlyArray<BudgetRow>, StoreError>
  /** The documents of a kind of all tenants, by id and tenant, from `page.after`, which is those two. */
  readonly allDocuments: (
    kind: Document["_tag"],
    page: Page
  ) => Effect.Effect<ReadonlyArray<Document>, StoreError>
  /** Drops records, counters and reservations that were kept as long as promised. Returns how many. */
  readonly prune: Effect.Effect<number, StoreError>
}

/**
 * The store a ledger keeps its rows in.
 *
 * @category services
 * @since 0.1.0
 */
export class LedgerStore extends Context.Service<LedgerStore, Operations>()("effect-cycles/ledger/LedgerStore") {}
