/**
 * What to look for among events, and what an event is called outside.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, operations `listEvents` and `getEvent`, schema `Event`.
 *
 * @since 0.1.0
 */
import type { Cursor } from "../protocol/Ids.ts"
import { correlationOf } from "./Logs.ts"
import type { LedgerEvent } from "./Model.ts"

/**
 * The events that meet all of what is given; all events where nothing is.
 *
 * - `tenant`: of this tenant
 * - `type`: of this type, for example `reservation.denied`
 * - `category`: of the types before whose `.` this stands
 * - `scope`: about a scope that begins with this text
 * - `correlationId`: of this request or, if no request led to them, about this reservation
 * - `traceId`, `requestId`: in the course of this trace, or of this request
 * - `fromMs`, `toMs`: at these times (Unix milliseconds) or between them
 * - `search`: with this text in their correlation id or their scope, upper and lower case alike
 * - `sortBy`, `sortDir`: the order, of equals by time; the newest first when not given
 * - `limit`: how many at most; 50 when not given
 * - `cursor`: the `nextCursor` of the page before, of the same query
 *
 * @category models
 * @since 0.1.0
 */
export interface EventQuery {
  readonly tenant?: string | undefined
  readonly type?: string | undefined
  readonly category?: string | undefined
  readonly scope?: string | undefined
  readonly correlationId?: string | undefined
  readonly traceId?: string | undefined
  readonly requestId?: string | undefined
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly search?: string | undefined
  readonly sortBy?: EventSort | undefined
  readonly sortDir?: "asc" | "desc" | undefined
  readonly limit?: number | undefined
  readonly cursor?: Cursor | undefined
}

/**
 * What events can be sorted by.
 *
 * @category models
 * @since 0.1.0
 */
export type EventSort = "event_type" | "category" | "scope" | "tenant_id" | "timestamp"

/**
 * Some events, and where the others are. A page may be shorter than was asked for, even empty, and others follow all the same: a page
 * is given up when ten thousand events have been looked through for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventsPage {
  readonly events: ReadonlyArray<LedgerEvent>
  readonly nextCursor?: Cursor | undefined
  readonly hasMore: boolean
}

/**
 * The first word of an event's type.
 *
 * @category getters
 * @since 0.1.0
 */
export const categoryOf = ({ type }: Pick<LedgerEvent, "type">): string => type.slice(0, type.indexOf("."))

/**
 * The id of an event or an act: who reads it may take it for a name and no more.
 *
 * @category conversions
 * @since 0.1.0
 */
export const idOf = (
  kind: "evt" | "log",
  { number, tenant }: { readonly tenant: string; readonly number: number }
): string => `${kind}_${tenant}.${number}`

/**
 * What an id names, where it is one that {@link idOf} made.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromId = (
  kind: "evt" | "log",
  id: string
): { readonly tenant: string; readonly number: number } | undefined => {
  const [, tenant, digits] = /^[a-z]{3}_(.+)\.([1-9]\d{0,14})$/.exec(id) ?? []
  return tenant === undefined || digits === undefined || !id.startsWith(`${kind}_`)
    ? undefined
    : { tenant, number: Number(digits) }
}

/**
 * Whether any of some texts has a text in it, upper and lower case alike.
 *
 * @category predicates
 * @since 0.1.0
 */
export const hasText = (search: string, texts: ReadonlyArray<string | undefined>): boolean => {
  const wanted = search.toLowerCase()
  return texts.some((text) => text?.toLowerCase().includes(wanted))
}

const is = (wanted: string | undefined, value: string | undefined): boolean => wanted === undefined || wanted === value

/**
 * Whether an event meets a query.
 *
 * @category predicates
 * @since 0.1.0
 */
export const matches = (query: EventQuery, event: LedgerEvent): boolean =>
  is(query.tenant, event.tenant) && is(query.type, event.type) && is(query.category, categoryOf(event)) &&
  (query.scope === undefined || event.scope?.startsWith(query.scope) === true) &&
  is(query.correlationId, correlationOf(event)) && is(query.traceId, event.traceId) &&
  is(query.requestId, event.requestId) && (query.fromMs === undefined || event.atMs >= query.fromMs) &&
  (query.toMs === undefined || event.atMs <= query.toMs) &&
  (query.search === undefined || hasText(query.search, [correlationOf(event), event.scope]))
