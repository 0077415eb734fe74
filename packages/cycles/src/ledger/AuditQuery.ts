/**
 * What to look for in the audit.
 *
 * Acts are kept by number alone: what a query leaves out is read all the same, page by page, each page in a transaction of its own.
 * Only `after` and `toMs` end the reading early.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, operation `listAuditLogs`.
 *
 * @since 0.1.0
 */
import type { Act } from "./Model.ts"

/**
 * The acts that meet all of what is given; all acts where nothing is.
 *
 * - `operations`: of these operations, for example `createBudget`
 * - `resourceTypes`: about one of these: `tenant`, `api_key`, `budget`, `policy`, `reservation`
 * - `resourceId`: about this one: a tenant's or a key's id, or a budget's scope and unit with a space between them
 * - `actor`: by this operator, or by the API key of this id
 * - `errorCodes`: refused with one of these codes; what was done has none
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
  readonly errorCodes?: ReadonlyArray<string> | undefined
  readonly fromMs?: number | undefined
  readonly toMs?: number | undefined
  readonly traceId?: string | undefined
  readonly requestId?: string | undefined
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
  is(query.traceId, act.traceId) && is(query.requestId, act.requestId)

/**
 * Whether neither an act nor any after it can meet a query: time does not go back from one act to the next.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isPast = (query: AuditQuery, { atMs }: Act): boolean => query.toMs !== undefined && query.toMs < atMs
