/**
 * What to look for in the audit.
 *
 * A tenant's acts in order are read by their numbers: what a query leaves out is read all the same, page by page, each page in a
 * transaction of its own. Only `after` and `toMs` end the reading early. The log of all tenants is read by one index of several,
 * see `AuditLogQuery`.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, operation `listAuditLogs`.
 *
 * @since 0.1.0
 */
import type { Cursor } from "../protocol/Ids.ts"
import { hasText, idOf } from "./EventQuery.ts"
import { statusOf } from "./Logs.ts"
import type { Act } from "./Model.ts"

/**
 * The acts that meet all of what is given; all acts where nothing is.
 *
 * - `operations`: of these operations, for example `createBudget`
 * - `resourceTypes`: about one of these: `tenant`, `api_key`, `budget`, `policy`, `reservation`
 * - `resourceId`: about this one: a tenant's or a key's id, or a budget's scope and unit with a space between them
 * - `actor`: by this operator, or by the API key of this id
 * - `keyId`: with the API key of this id
 * - `errorCodes`: refused with one of these codes; what was done has none
 * - `errorCodesExcluded`: done, or refused with another code than these
 * - `status`: answered with this HTTP status code; not together with the next two
 * - `statusMin`, `statusMax`: answered with these HTTP status codes or one between them
 * - `search`: with this text in the resource's id, the entry's own id, the error code or the operation, upper and lower case alike
 * - `fromMs`, `toMs`: at these times (Unix milliseconds) or between them
 * - `traceId`, `requestId`: in the course of this trace, or of this request
 *
 * @category models
 * @since 0.1.0
 */
export interface AuditQuery {
  readonly operations?: ReadonlyArray<string> | undefined
  readonly resourceTypes?: ReadonlyArray<string> | undefined
  readonly resourceId?: string | undefined
  readonly actor?: string | undefined
  readonly keyId?: string | undefined
  readonly errorCodes?: ReadonlyArray<string> | undefined
  readonly errorCodesExcluded?: ReadonlyArray<string> | undefined
  readonly status?: number | undefined
  readonly statusMin?: number | undefined
  readonly statusMax?: number | undefined
  readonly search?: string | undefined
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly traceId?: string | undefined
  readonly requestId?: string | undefined
}

/**
 * A page of the audit of all tenants, or of one.
 *
 * - `tenant`: of this tenant; `__admin__` has what was about none
 * - `sortBy`, `sortDir`: the order, of equals by time; the newest first when not given
 * - `limit`: how many at most; 50 when not given
 * - `cursor`: the `nextCursor` of the page before, of the same query
 *
 * Read by the trace, the request, the tenant, the resource, the key, the status, the one operation or the one type of resource that is
 * asked for, else by time; sorted by anything but time, by that.
 *
 * @category models
 * @since 0.1.0
 */
export interface AuditLogQuery extends AuditQuery {
  readonly tenant?: string | undefined
  readonly sortBy?: AuditSort | undefined
  readonly sortDir?: "asc" | "desc" | undefined
  readonly limit?: number | undefined
  readonly cursor?: Cursor | undefined
}

/**
 * What the audit can be sorted by.
 *
 * @category models
 * @since 0.1.0
 */
export type AuditSort = "timestamp" | "operation" | "resource_type" | "tenant_id" | "key_id" | "status"

/**
 * Some acts, and where the others are. A page may be shorter than was asked for, even empty, and others follow all the same: a page is
 * given up when ten thousand acts have been looked through for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ActsPage {
  readonly acts: ReadonlyArray<Act>
  readonly nextCursor?: Cursor | undefined
  readonly hasMore: boolean
}

const isOne = (wanted: ReadonlyArray<string> | undefined, value: string | undefined): boolean =>
  wanted === undefined || (value !== undefined && wanted.includes(value))

const is = (wanted: string | undefined, value: string | undefined): boolean => wanted === undefined || wanted === value

/**
 * Whether an act meets a query.
 *
 * @category predicates
 * @since 0.1.0
 */
export const matches = (query: AuditQuery, act: Act): boolean =>
  isOne(query.operations, act.operation) && isOne(query.resourceTypes, act.resourceType) &&
  is(query.resourceId, act.resourceId) && is(query.actor, act.actor) && isOne(query.errorCodes, act.errorCode) &&
  (query.fromMs === undefined || query.fromMs <= act.atMs) && !isPast(query, act) &&
  is(query.traceId, act.traceId) && is(query.requestId, act.requestId) && is(query.keyId, act.keyId) &&
  (query.errorCodesExcluded === undefined || act.errorCode === undefined ||
    !query.errorCodesExcluded.includes(act.errorCode)) &&
  hasStatus(query, act) &&
  (query.search === undefined ||
    hasText(query.search, [act.resourceId, idOf("log", act), act.errorCode, act.operation]))

const hasStatus = ({ status, statusMax, statusMin }: AuditQuery, act: Act): boolean => {
  if (status === undefined && statusMax === undefined && statusMin === undefined) return true
  const own = statusOf(act)
  return (status === undefined || own === status) && (statusMin === undefined || own >= statusMin) &&
    (statusMax === undefined || own <= statusMax)
}

/**
 * Whether neither an act nor any after it can meet a query: time does not go back from one act to the next.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isPast = (query: AuditQuery, { atMs }: Act): boolean => query.toMs !== undefined && query.toMs < atMs
