/**
 * Why a balance stands where it stands, and why a hold on it was last denied.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Action } from "../protocol/Action.ts"
import { format, Unit } from "../protocol/Amount.ts"
import type { Balance } from "../protocol/Balance.ts"
import type { EventId, ReservationId } from "../protocol/Ids.ts"
import * as Compaction from "./Compaction.ts"
import type { LedgerTx, StoreError } from "./LedgerStore.ts"
import type { Entry, EntryKind, Figures, FiguresChange, LedgerEvent } from "./Model.ts"
import { remaining } from "./Model.ts"
import { balanceOf } from "./rules/Showing.ts"
import type { View } from "./View.ts"

/**
 * One entry as it concerns one balance.
 *
 * - `text`: what happened, for people
 * - `allocated`, `spent`, `reserved`, `debt`: by how much each has changed, in the balance's unit
 * - `remaining`: what was left after it
 *
 * @category models
 * @since 0.1.0
 */
export interface Line {
  readonly number: number
  readonly atMs: number
  readonly kind: EntryKind
  readonly text: string
  readonly allocated: bigint
  readonly spent: bigint
  readonly reserved: bigint
  readonly debt: bigint
  readonly remaining: bigint
  readonly actor: string
  readonly reservationId: ReservationId | undefined
  readonly eventId: EventId | undefined
  readonly action: Action | undefined
  /** The model or tool version that reported itself. */
  readonly model: string | undefined
  readonly requestId: string | undefined
  readonly traceId: string | undefined
}

/**
 * Why a hold was denied: a sentence, and the event it is taken from.
 *
 * @category models
 * @since 0.1.0
 */
export interface Denial {
  readonly text: string
  readonly event: LedgerEvent
}

/**
 * A balance explained.
 *
 * - `balance`: what it stands at
 * - `lines`: the entries that made it, newest first; their figures add up to it when all are read
 * - `next`: where the next page begins; absent after the last one
 * - `denial`: why a hold on a path through this scope was last denied, as long as the event is kept
 *
 * @category models
 * @since 0.1.0
 */
export interface Explanation {
  readonly balance: Balance
  readonly lines: ReadonlyArray<Line>
  readonly next: number | undefined
  readonly denial: Denial | undefined
}

/** How many entries are read at a time: few where a balance changes seldom, more where most entries are its own. */
const LEAST = 4
const MOST = 256

/**
 * Explains a budget in the transaction given; nothing when there is none.
 *
 * @internal
 */
export const explain = Effect.fnUntraced(
  function*(
    tx: LedgerTx,
    view: View,
    tenant: string,
    at: { readonly scope: string; readonly unit: Unit },
    from: number | undefined,
    limit: number
  ): Effect.fn.Return<Explanation | undefined, StoreError> {
    // From the list, which shows what the transaction has expired before; no unit has the empty name.
    const rows = yield* tx.budgets(tenant, { tenant }, { after: [at.scope, ""], limit: Unit.literals.length })
    const row = rows.find(({ scope, unit }) => scope === at.scope && unit === at.unit)
    if (row === undefined) return undefined
    const lines: Array<Line> = []
    let number = from === undefined ? row.lastEntry : Math.min(from, row.lastEntry)
    let size = LEAST
    while (number > 0 && lines.length < limit) {
      const after = Math.max(0, number - size)
      const page = new Map<number, Entry>()
      for (const entry of yield* tx.entries(tenant, after, number - after)) page.set(entry.number, entry)
      const found = lines.length
      while (number > after && lines.length < limit) {
        const entry = page.get(number)
        const change = entry === undefined ? undefined : changeOf(entry, at)
        if (entry === undefined || change === undefined) {
          // It was folded: its balance has an opening entry of its own.
          const opening = yield* openingOf(tx, tenant, at, view.tenant(tenant)?.lastEntry ?? 0)
          if (opening !== undefined) lines.push(opening)
          number = 0
        } else {
          lines.push(lineOf(entry, change))
          number = change.before?.lastEntry ?? 0
        }
      }
      size = Math.min(MOST, Math.max(LEAST, 4 * (lines.length - found)))
    }
    const event = row.lastDenial === undefined
      ? undefined
      : (yield* tx.events(tenant, row.lastDenial - 1, 1)).find((event) => event.number === row.lastDenial)
    return {
      balance: balanceOf(row),
      lines,
      next: number > 0 ? number : undefined,
      denial: event === undefined ? undefined : { text: whyDenied(event), event }
    }
  }
)

const changeOf = (entry: Entry, { scope, unit }: Pick<Figures, "scope" | "unit">): FiguresChange | undefined =>
  entry.changes.find(({ after }) => after.scope === scope && after.unit === unit)

/** Opening entries come first and in the order of their balances, so a search by halves finds one. */
const openingOf = Effect.fnUntraced(
  function*(
    tx: LedgerTx,
    tenant: string,
    at: Pick<Figures, "scope" | "unit">,
    lastEntry: number
  ): Effect.fn.Return<Line | undefined, StoreError> {
    const read = (number: number): Effect.Effect<Entry | undefined, StoreError> =>
      Effect.map(tx.entries(tenant, number - 1, 1), ([entry]) => entry)
    let low = (yield* read(1))?.number ?? 1
    let high = lastEntry
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const entry = yield* read(middle)
      const first = entry?.changes[0]?.after
      const isBefore = entry?.kind === "OPENING" && first !== undefined && Compaction.compare(first, at) < 0
      if (isBefore) low = middle + 1
      else high = middle
    }
    const entry = yield* read(low)
    const change = entry?.kind === "OPENING" ? changeOf(entry, at) : undefined
    return entry === undefined || change === undefined ? undefined : lineOf(entry, change)
  }
)

const lineOf = (entry: Entry, { after, before }: FiguresChange): Line => ({
  number: entry.number,
  atMs: entry.atMs,
  kind: entry.kind,
  text: textOf(entry, before, after),
  allocated: after.allocated - (before?.allocated ?? 0n),
  spent: after.spent - (before?.spent ?? 0n),
  reserved: after.reserved - (before?.reserved ?? 0n),
  debt: after.debt - (before?.debt ?? 0n),
  remaining: remaining(after),
  actor: entry.actor,
  reservationId: entry.reservationId,
  eventId: entry.eventId,
  action: entry.action,
  model: entry.metrics?.modelVersion,
  requestId: entry.requestId,
  traceId: entry.traceId
})

/** Beside an amount that names the unit. */
const shortly = (unit: Unit, amount: bigint): string =>
  unit === "USD_MICROCENTS" ? format({ unit, amount }) : String(amount)

const textOf = (entry: Entry, before: Figures | undefined, after: Figures): string => {
  const { unit } = after
  const all = (amount: bigint): string => format({ unit, amount })
  const part = (amount: bigint): string => shortly(unit, amount)
  const by = (field: "allocated" | "spent" | "reserved" | "debt"): bigint => after[field] - (before?.[field] ?? 0n)
  const of = entry.action === undefined ? "" : ` for ${entry.action.kind} ${entry.action.name}`
  const onCredit = by("debt") > 0n ? `, ${part(by("debt"))} of it as debt` : ""
  const what = (): string => {
    switch (entry.kind) {
      case "RESERVE":
        return `${all(by("reserved"))} held${of}`
      case "COMMIT":
        return `${all(by("spent") + by("debt"))} charged of ${part(-by("reserved"))} held${of}${onCredit}`
      case "RELEASE":
        return `a hold of ${all(-by("reserved"))} released${of}`
      case "EXPIRE":
        return `a hold of ${all(-by("reserved"))} expired${of}`
      case "EXTEND":
        return `a hold extended${of}`
      case "EVENT":
        return `${all(by("spent") + by("debt"))} charged without a hold${of}${onCredit}`
      case "CREATE":
        return `opened with ${all(after.allocated)}`
      case "UPDATE":
        return before === undefined || before.status === after.status
          ? `changed, overdraft limit ${all(after.overdraftLimit)}`
          : `changed from ${before.status} to ${after.status}, overdraft limit ${all(after.overdraftLimit)}`
      case "CREDIT":
        return `${all(by("allocated"))} credited${by("debt") < 0n ? `, ${part(-by("debt"))} of it for debt` : ""}`
      case "DEBIT":
        return `${all(-by("allocated"))} debited`
      case "RESET":
        return `allocation set to ${all(after.allocated)}`
      case "RESET_SPENT":
        return `a new period with ${all(after.allocated)}, of which ${part(after.spent)} are spent`
      case "REPAY_DEBT":
        return `${all(-by("debt"))} of debt repaid${by("allocated") > 0n ? `, ${part(by("allocated"))} credited` : ""}`
      case "OPENING":
        return `brought forward from older entries: ${all(after.allocated)} allocated, ${part(after.spent)} spent, ${
          part(after.reserved)
        } held, ${part(after.debt)} owed`
    }
  }
  return `${what()}; ${all(remaining(after))} remain`
}

const textIn = (value: unknown): string | undefined =>
  typeof value === "string" || typeof value === "bigint" ? String(value) : undefined

const amountIn = (
  value: unknown,
  unit: Unit | undefined,
  write: (unit: Unit, amount: bigint) => string
): string | undefined => typeof value === "bigint" && unit !== undefined ? write(unit, value) : textIn(value)

const whyDenied = ({ details, scope, unit }: LedgerEvent): string => {
  const asked = amountIn(details.requested_amount, unit, (unit, amount) => format({ unit, amount }))
  const left = amountIn(details.remaining, unit, shortly)
  const message = textIn(details.message)
  const fix = textIn(details.suggested_fix)
  return `${textIn(details.reason_code) ?? "denied"} at ${scope ?? "an unknown scope"}` +
    (asked === undefined ? "" : `: ${asked} were asked for`) +
    (left === undefined ? "" : `, ${left} remained`) +
    (message === undefined ? "" : `; ${message}`) +
    (fix === undefined ? "" : `. ${fix}`)
}
