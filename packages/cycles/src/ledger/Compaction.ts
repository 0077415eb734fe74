/**
 * Retention: older entries fold into one opening entry per balance, delivered events and governance acts are dropped.
 *
 * The opening entries of a tenant have the numbers just below the first entry that is kept, ordered by scope and unit. Each says
 * what its balance stood at there, so that what follows continues from it and `verify` still holds.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { LedgerTx, StoreError } from "./LedgerStore.ts"
import type { Entry, Figures } from "./Model.ts"
import type { View } from "./View.ts"

/**
 * What is dropped: everything from before these times, Unix milliseconds. What is not named is kept.
 *
 * - `entries`: folded into opening entries
 * - `events`: those that were delivered, see `Ledger.outbox`
 * - `acts`: the audit log
 *
 * @category models
 * @since 0.1.0
 */
export interface Cuts {
  readonly entries?: number | undefined
  readonly events?: number | undefined
  readonly acts?: number | undefined
}

/**
 * What a compaction did: how many entries went into how many opening ones, and how many events and acts were dropped.
 *
 * @category models
 * @since 0.1.0
 */
export interface Compaction {
  readonly folded: number
  readonly openings: number
  readonly events: number
  readonly acts: number
}

/** One transaction's part of a compaction, and whether more is to do. */
export interface Step extends Compaction {
  readonly more: boolean
}

const PAGE = 1_000

/** The order of opening entries. */
export const compare = (a: Pick<Figures, "scope" | "unit">, b: Pick<Figures, "scope" | "unit">): number =>
  a.scope < b.scope ? -1 : a.scope > b.scope ? 1 : a.unit < b.unit ? -1 : a.unit > b.unit ? 1 : 0

/** What the entries up to a number add up to. */
interface Prefix {
  readonly balances: ReadonlyMap<string, Figures>
  readonly last: Entry
  /** How many entries it has that are no opening ones. */
  readonly folded: number
  readonly openings: number
  readonly more: boolean
}

/**
 * Reads a tenant's entries from the first one up to a time. It ends early, to be gone on with in another transaction, once it has
 * read a page of entries and at least as many as there are openings to write again.
 */
const prefixOf = Effect.fnUntraced(
  function*(tx: LedgerTx, tenant: string, before: number): Effect.fn.Return<Prefix | undefined, StoreError> {
    const balances = new Map<string, Figures>()
    let last: Entry | undefined
    let openings = 0
    let folded = 0
    for (;;) {
      const page = yield* tx.entries(tenant, last?.number ?? 0, PAGE)
      for (const entry of page) {
        const enough = folded >= PAGE && folded >= openings && folded >= 2 * (balances.size - openings)
        if (entry.atMs >= before || (enough && entry.kind !== "OPENING")) {
          return last === undefined ? undefined : { balances, last, folded, openings, more: entry.atMs < before }
        }
        if (entry.kind === "OPENING") openings++
        else folded++
        for (const { after } of entry.changes) balances.set(`${after.scope} ${after.unit}`, after)
        last = entry
      }
      if (page.length < PAGE) {
        return last === undefined ? undefined : { balances, last, folded, openings, more: false }
      }
    }
  }
)

const openingsOf = ({ balances, last }: Prefix, tenant: string): ReadonlyArray<Entry> =>
  Array.from(balances.values()).sort(compare).map((after, i): Entry => ({
    tenant,
    number: last.number - balances.size + 1 + i,
    atMs: last.atMs,
    kind: "OPENING",
    actor: "system",
    reservationId: undefined,
    eventId: undefined,
    action: undefined,
    metrics: undefined,
    reason: undefined,
    requestId: undefined,
    traceId: undefined,
    changes: [{ before: undefined, after }]
  }))

/** Folds what is worth it: writing every opening entry again must drop at least an eighth as many. */
const foldEntries = Effect.fnUntraced(
  function*(
    tx: LedgerTx,
    view: View,
    tenant: string,
    before: number
  ): Effect.fn.Return<Pick<Step, "folded" | "openings" | "more">, StoreError> {
    const prefix = yield* prefixOf(tx, tenant, before)
    const saved = prefix === undefined ? 0 : prefix.folded + prefix.openings - prefix.balances.size
    if (prefix === undefined || saved <= 0 || 8 * saved < prefix.balances.size) {
      return { folded: 0, openings: 0, more: false }
    }
    view.foldEntries(tenant, prefix.last.number)
    const openings = openingsOf(prefix, tenant)
    for (const opening of openings) view.addEntry(opening)
    return { folded: prefix.folded, openings: openings.length, more: prefix.more }
  }
)

/** The last number of a page that may go, how many go, and whether the next page may have more. */
const droppable = (
  page: ReadonlyArray<{ readonly number: number; readonly atMs: number }>,
  before: number,
  upTo: number
): { readonly count: number; readonly number: number } => {
  let count = 0
  let number = 0
  for (const row of page) {
    if (row.atMs >= before || row.number > upTo) break
    count++
    number = row.number
  }
  return { count, number }
}

/** Does one step of a compaction in a transaction; the view has the tenant's row, and takes the changes. */
export const step = Effect.fnUntraced(
  function*(tx: LedgerTx, view: View, tenant: string, cuts: Cuts): Effect.fn.Return<Step, StoreError> {
    // Another compaction of the tenant comes before this one in the same transaction, and lists do not show yet what it drops.
    if (view.isFolded(tenant)) return { folded: 0, openings: 0, events: 0, acts: 0, more: true }
    const delivered = view.tenant(tenant)?.deliveredEvent ?? 0
    const entries = cuts.entries === undefined
      ? { folded: 0, openings: 0, more: false }
      : yield* foldEntries(tx, view, tenant, cuts.entries)
    const events = cuts.events === undefined
      ? { count: 0, number: 0 }
      : droppable(yield* tx.events(tenant, 0, PAGE), cuts.events, delivered)
    if (events.count > 0) view.dropEvents(tenant, events.number)
    const acts = cuts.acts === undefined
      ? { count: 0, number: 0 }
      : droppable(yield* tx.acts(tenant, 0, PAGE), cuts.acts, Infinity)
    if (acts.count > 0) view.dropActs(tenant, acts.number)
    const more = entries.more || events.count === PAGE || acts.count === PAGE
    return { folded: entries.folded, openings: entries.openings, events: events.count, acts: acts.count, more }
  }
)
