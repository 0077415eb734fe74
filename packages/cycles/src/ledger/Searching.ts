/**
 * Lists for people: filtered, sorted, a page at a time.
 *
 * Rows are read in the order an index has, some at a time. A list in that order ends where its page is full; one in another order reads
 * all that match and keeps no more of them than its page.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as CanonicalJson from "./CanonicalJson.ts"
import * as KeyText from "./KeyText.ts"
import type { StoreError } from "./LedgerStore.ts"
import type { Refusal } from "./Refusal.ts"

/** Where a row stands in a list: by a text that sorts like what the list is sorted by, then by what tells rows apart. */
export type Position = readonly [value: string, id: string]

/** How a list is sorted. Ties are in the order of what tells rows apart. */
export interface Order<Row> {
  readonly position: (row: Row) => Position
  readonly isDown: boolean
  /** Whether the rows are read in this very order, and from where it goes on. */
  readonly isRead: boolean
}

/** Some rows that follow a position, and from where to go on, if there are more. */
export interface Batch<Row> {
  readonly rows: ReadonlyArray<Row>
  readonly next: Position | undefined
}

const order = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

const comparing = ({ isDown }: { readonly isDown: boolean }) => (a: Position, b: Position): number =>
  (isDown ? -1 : 1) * order(a[0], b[0]) || order(a[1], b[1])

/** The first rows after a position, of those that match, in an order. */
export const collect = <Row, E = StoreError>(
  read: (after: Position | undefined) => Effect.Effect<Batch<Row>, E>,
  isMatch: (row: Row) => boolean,
  by: Order<Row>,
  page: { readonly after: Position | undefined; readonly limit: number }
): Effect.Effect<ReadonlyArray<Row>, E> => {
  const compare = comparing(by)
  const kept: Array<{ readonly row: Row; readonly at: Position }> = []
  const take = (row: Row): void => {
    const at = by.position(row)
    if (page.after !== undefined && compare(at, page.after) <= 0) return
    const last = kept[kept.length - 1]
    if (kept.length === page.limit && last !== undefined && compare(at, last.at) >= 0) return
    let low = 0
    for (let high = kept.length; low < high;) {
      const middle = (low + high) >> 1
      const other = kept[middle]
      if (other !== undefined && compare(other.at, at) < 0) low = middle + 1
      else high = middle
    }
    kept.splice(low, 0, { row, at })
    if (kept.length > page.limit) kept.pop()
  }
  const next = (after: Position | undefined): Effect.Effect<ReadonlyArray<Row>, E> =>
    Effect.flatMap(read(after), (batch) => {
      for (const row of batch.rows) if (isMatch(row)) take(row)
      return batch.next === undefined || (by.isRead && kept.length === page.limit)
        ? Effect.succeed(kept.map(({ row }) => row))
        : Effect.andThen(Effect.yieldNow, next(batch.next))
    })
  return next(by.isRead ? page.after : undefined)
}

/** What a search may be: at most 128 characters. Source: operation `listTenants`, parameter `search`. */
const MOST_SEARCHED = 128
const MOST_ROWS = 1_000

/** What every list can be asked. */
export interface Asked {
  readonly search?: string | undefined
  readonly sortDir?: "asc" | "desc" | undefined
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
}

export const flawed = ({ limit, search }: Asked): Refusal | undefined => {
  const invalid = (field: string, reason: string): Refusal => ({ code: "INVALID_REQUEST", field, reason })
  if (search !== undefined && search.length > MOST_SEARCHED) {
    return invalid("search", `must be at most ${MOST_SEARCHED} characters`)
  }
  return limit === undefined || (Number.isSafeInteger(limit) && limit > 0 && limit <= MOST_ROWS)
    ? undefined
    : invalid("limit", `must be a whole number from 1 to ${MOST_ROWS.toLocaleString("en")}`)
}

/** Whether one of the texts has what is searched for in it, whatever the case. */
export const isFound = (search: string | undefined, ...texts: ReadonlyArray<string>): boolean => {
  const wanted = search?.toLowerCase()
  return wanted === undefined || wanted === "" || texts.some((text) => text.toLowerCase().includes(wanted))
}

const fingerprint = (query: Asked): string =>
  CanonicalJson.digest({ ...query, cursor: undefined, limit: undefined }).slice(0, 16)

const escaped = (part: string): string => encodeURIComponent(KeyText.encode(part)).replaceAll(".", "%2E")

/** Names the position a list goes on from; bound to what was asked. */
export const toCursor = (query: Asked, position: Position): string =>
  [fingerprint(query), ...position].map(escaped).join(".")

export const fromCursor = (query: Asked): Result.Result<Position | undefined, Refusal> => {
  if (query.cursor === undefined) return Result.succeed(undefined)
  const invalid: Refusal = {
    code: "INVALID_REQUEST",
    field: "cursor",
    reason: "it was not given for these filters and this order"
  }
  try {
    const [print, value, id, more] = query.cursor.split(".").map((part) => KeyText.decode(decodeURIComponent(part)))
    return print === fingerprint(query) && value !== undefined && id !== undefined && more === undefined
      ? Result.succeed([value, id])
      : Result.fail(invalid)
  } catch {
    return Result.fail(invalid)
  }
}

/**
 * A page of a list.
 *
 * - `cursor`: from where the next page goes on; absent on the last one
 *
 * @category models
 * @since 0.1.0
 */
export interface Found<A> {
  readonly items: ReadonlyArray<A>
  readonly cursor: string | undefined
}

/** The page of one row more than it holds. */
export const pageOf = <Row>(
  rows: ReadonlyArray<Row>,
  limit: number,
  query: Asked,
  by: Order<Row>
): Found<Row> => {
  const items = rows.slice(0, limit)
  const last = items[items.length - 1]
  return {
    items,
    cursor: rows.length > limit && last !== undefined ? toCursor(query, by.position(last)) : undefined
  }
}

/** A number at least 0 as a text that sorts like it. */
export const padded = (n: number | bigint): string => n.toString().padStart(40, "0")
