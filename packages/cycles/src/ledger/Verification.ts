/**
 * Proves that the entries of a tenant add up to its balances.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { LedgerTx, StoreError } from "./LedgerStore.ts"
import type { Entry, Figures } from "./Model.ts"

/**
 * What a verification found. `flaws` is empty when every entry continues where the one before it ended and the last state of
 * every budget is its balance. Where older entries were folded, it begins with the opening entries.
 *
 * @category models
 * @since 0.1.0
 */
export interface Verification {
  readonly entries: number
  readonly budgets: number
  readonly flaws: ReadonlyArray<string>
}

const nameOf = (row: Figures): string => `${row.scope} ${row.unit}`

const fields = ["allocated", "spent", "reserved", "debt", "overdraftLimit", "capped", "status", "lastEntry"] as const

const differences = (
  name: string,
  folded: Figures | undefined,
  found: Figures | undefined
): ReadonlyArray<string> => {
  if (folded === undefined || found === undefined) {
    return folded === found ? [] : [`${name}: ${folded === undefined ? "no entry made it" : "it is missing"}`]
  }
  return fields
    .filter((field) => folded[field] !== found[field])
    .map((field) => `${name}: ${field} is ${found[field]}, its entries say ${folded[field]}`)
}

/**
 * Lays one entry on the budgets its predecessors left, and notes where it does not fit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const fold = (budgets: Map<string, Figures>, entry: Entry, flaws: Array<string>): void => {
  for (const { after, before } of entry.changes) {
    const name = nameOf(after)
    for (const difference of differences(name, budgets.get(name), before)) {
      flaws.push(`entry ${entry.number}: ${difference}`)
    }
    budgets.set(name, after)
  }
}

const PAGE = 1_000

/**
 * Folds every entry of a tenant and compares the result with its budgets, in the transaction given.
 *
 * @category combinators
 * @since 0.1.0
 */
export const verify = Effect.fnUntraced(
  function*(tx: LedgerTx, tenant: string): Effect.fn.Return<Verification, StoreError> {
    const folded = new Map<string, Figures>()
    const flaws: Array<string> = []
    let entries = 0
    let last = 0
    for (;;) {
      const page = yield* tx.entries(tenant, last, PAGE)
      for (const entry of page) {
        const opens = entries === 0 && entry.kind === "OPENING"
        if (!opens && entry.number !== last + 1) {
          flaws.push(`entry ${entry.number} stands where ${last + 1} belongs`)
        }
        entries++
        last = entry.number
        fold(folded, entry, flaws)
      }
      if (page.length < PAGE) break
    }
    const found = new Map<string, Figures>()
    let after: readonly [string, string] | undefined
    for (;;) {
      const page: ReadonlyArray<Figures> = yield* tx.budgets(tenant, {}, { after, limit: PAGE })
      for (const row of page) found.set(nameOf(row), row)
      const last = page[page.length - 1]
      if (page.length < PAGE || last === undefined) break
      after = [last.scope, last.unit]
    }
    for (const name of new Set([...folded.keys(), ...found.keys()])) {
      flaws.push(...differences(name, folded.get(name), found.get(name)))
    }
    return { entries, budgets: found.size, flaws }
  }
)
