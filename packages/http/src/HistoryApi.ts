/**
 * What a ledger remembers, over HTTP: operations of ours beside the specification's, under `/v1/admin/history`.
 *
 * They answer why a balance stands where it stands, what was spent by whom over time, what changed in which order, whether all of
 * it adds up, and where limits stand. The admin key may ask about any tenant and names it by `tenant_id`; an API key asks about its
 * own, needs `budgets:read`, and sees what its scope filter reaches. Headers, error bodies and exact integers are those of the two
 * planes of the specification. Instants are ISO 8601 date-times.
 *
 * **Example** (The paths)
 *
 * ```ts
 * import { HistoryApi } from "@effect-cycles/http"
 * import { OpenApi } from "effect/http-api"
 *
 * console.log(Object.keys(OpenApi.fromApi(HistoryApi.HistoryApi).paths))
 * // => [ "/v1/admin/history/explain", "/v1/admin/history/entries", "/v1/admin/history/spend", "/v1/admin/history/verify", "/v1/admin/history/limits" ]
 * ```
 *
 * @since 0.1.0
 */
import { Action } from "effect-cycles/protocol/Action"
import { Amount, Int64, SignedAmount, Unit } from "effect-cycles/protocol/Amount"
import { Balance } from "effect-cycles/protocol/Balance"
import { JsonObject, Metrics } from "effect-cycles/protocol/Metrics"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Wire from "./internal/wire.ts"

// ---------------------------------------------------------------------------------------------------------------------
// query strings
// ---------------------------------------------------------------------------------------------------------------------

const wholeFrom = (minimum: number, maximum: number) =>
  Wire.WholeText.pipe(
    Schema.decodeTo(
      Schema.Int.check(Schema.isBetween({ minimum, maximum })),
      SchemaTransformation.transform({ decode: Number, encode: String })
    )
  )

const tenant = { tenant: Wire.parameter(Schema.String) }
const toTenantId = { tenant: "tenant_id" } as const

/**
 * The query string of `explain`. `from` is the `next` of the page before; `limit` is 50 when not given.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ExplainParameters = Schema.Struct({
  ...tenant,
  scope: Schema.String,
  unit: Unit,
  from: Wire.parameter(wholeFrom(1, Number.MAX_SAFE_INTEGER)),
  limit: Wire.parameter(wholeFrom(1, 1_000))
}).pipe(Schema.encodeKeys(toTenantId))

/**
 * The query string of `entries`. `after` is the `next` of the page before, the number of its last entry; `limit` is 100 when not
 * given.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EntriesParameters = Schema.Struct({
  ...tenant,
  after: Wire.parameter(wholeFrom(0, Number.MAX_SAFE_INTEGER)),
  limit: Wire.parameter(wholeFrom(1, 1_000))
}).pipe(Schema.encodeKeys(toTenantId))

/**
 * The query string of `spend`. `by` is `scope`, `every` is `day`, `time_zone` is UTC when not given.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SpendParameters = Schema.Struct({
  ...tenant,
  unit: Unit,
  by: Wire.parameter(Schema.Literals(["scope", "agent", "action", "model"])),
  fromMs: Wire.InstantText,
  toMs: Wire.InstantText,
  every: Wire.parameter(Schema.Literals(["hour", "day"])),
  timeZone: Wire.parameter(Schema.String),
  scope: Wire.parameter(Schema.String)
}).pipe(Schema.encodeKeys({ ...toTenantId, fromMs: "from", toMs: "to", timeZone: "time_zone" }))

/**
 * The query string of `verify`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const VerifyParameters = Schema.Struct(tenant).pipe(Schema.encodeKeys(toTenantId))

/**
 * The query string of `limits`: which budget.
 *
 * @category schemas
 * @since 0.1.0
 */
export const LimitsParameters = Schema.Struct({ ...tenant, scope: Schema.String, unit: Unit }).pipe(
  Schema.encodeKeys(toTenantId)
)

// ---------------------------------------------------------------------------------------------------------------------
// replies
// ---------------------------------------------------------------------------------------------------------------------

const whence = {
  actor: Schema.String,
  reservationId: Schema.optionalKey(Schema.String),
  eventId: Schema.optionalKey(Schema.String),
  action: Schema.optionalKey(Action),
  requestId: Schema.optionalKey(Schema.String),
  traceId: Schema.optionalKey(Schema.String)
}
const whenceKeys = {
  atMs: "at",
  reservationId: "reservation_id",
  eventId: "event_id",
  requestId: "request_id",
  traceId: "trace_id"
} as const

/**
 * One entry as it concerns one balance: `text` for people, by how much each figure has changed, and what remained after it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Line = Schema.Struct({
  number: Schema.Int,
  atMs: Wire.InstantText,
  kind: Schema.String,
  text: Schema.String,
  allocated: SignedAmount,
  spent: SignedAmount,
  reserved: SignedAmount,
  debt: SignedAmount,
  remaining: SignedAmount,
  ...whence,
  model: Schema.optionalKey(Schema.String)
}).pipe(Schema.encodeKeys(whenceKeys)).annotate({ identifier: "HistoryLine" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Line extends Schema.Schema.Type<typeof Line> {}

/**
 * Why a hold was denied: a sentence, and the event it is taken from.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Denial = Schema.Struct({
  atMs: Wire.InstantText,
  text: Schema.String,
  scope: Schema.optionalKey(Schema.String),
  unit: Schema.optionalKey(Unit),
  requestId: Schema.optionalKey(Schema.String),
  traceId: Schema.optionalKey(Schema.String),
  details: JsonObject
}).pipe(Schema.encodeKeys({ atMs: "at", requestId: "request_id", traceId: "trace_id" })).annotate({
  identifier: "HistoryDenial"
})

/**
 * A balance explained: what it stands at, the entries that made it, newest first, where the next page begins, and why a hold
 * through this scope was last denied.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Explanation = Schema.Struct({
  balance: Balance,
  lines: Schema.Array(Line),
  next: Schema.optionalKey(Schema.Int),
  denial: Schema.optionalKey(Denial)
}).annotate({ identifier: "HistoryExplanation" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Explanation extends Schema.Schema.Type<typeof Explanation> {}

const Figures = Schema.Struct({
  allocated: Int64,
  spent: Int64,
  reserved: Int64,
  debt: Int64,
  remaining: Int64,
  overdraftLimit: Int64,
  status: Schema.Literals(["ACTIVE", "FROZEN", "CLOSED"])
}).pipe(Schema.encodeKeys({ overdraftLimit: "overdraft_limit" })).annotate({ identifier: "HistoryFigures" })

/**
 * One change to a tenant's ledger: what each budget stood at before and after. A budget that was opened has no `before`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Entry = Schema.Struct({
  number: Schema.Int,
  atMs: Wire.InstantText,
  kind: Schema.String,
  ...whence,
  metrics: Schema.optionalKey(Metrics),
  reason: Schema.optionalKey(Schema.String),
  changes: Schema.Array(Schema.Struct({
    scope: Schema.String,
    unit: Unit,
    before: Schema.optionalKey(Figures),
    after: Figures
  }))
}).pipe(Schema.encodeKeys(whenceKeys)).annotate({ identifier: "HistoryEntry" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Entry extends Schema.Schema.Type<typeof Entry> {}

/**
 * A page of entries, oldest first. `next` is where the next page begins; absent after the last one there is.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EntriesPage = Schema.Struct({
  entries: Schema.Array(Entry),
  next: Schema.optionalKey(Schema.Int)
}).annotate({ identifier: "HistoryEntries" })

/**
 * @category models
 * @since 0.1.0
 */
export interface EntriesPage extends Schema.Schema.Type<typeof EntriesPage> {}

/**
 * What was spent in each hour or day, ordered by time and value. `value` is absent where a charge named no agent.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Spending = Schema.Struct({
  by: Schema.Literals(["scope", "agent", "action", "model"]),
  every: Schema.Literals(["hour", "day"]),
  unit: Unit,
  rows: Schema.Array(
    Schema.Struct({
      startMs: Wire.InstantText,
      value: Schema.optionalKey(Schema.String),
      amount: Amount
    }).pipe(Schema.encodeKeys({ startMs: "start" }))
  )
}).annotate({ identifier: "HistorySpending" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Spending extends Schema.Schema.Type<typeof Spending> {}

/**
 * Whether a tenant's entries add up to its balances, and what does not.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Verification = Schema.Struct({
  tenant: Schema.String,
  holds: Schema.Boolean,
  entries: Schema.Int,
  budgets: Schema.Int,
  flaws: Schema.Array(Schema.String)
}).pipe(Schema.encodeKeys(toTenantId)).annotate({ identifier: "HistoryVerification" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Verification extends Schema.Schema.Type<typeof Verification> {}

/**
 * The stretch of time a limit counts in: the day, week or month of a time zone, or the last `length_ms` milliseconds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Window = Schema.Union([
  Schema.Struct({
    _tag: Schema.Literal("calendar"),
    every: Schema.Literals(["day", "week", "month"]),
    timeZone: Schema.String
  }).pipe(Schema.encodeKeys({ _tag: "kind", timeZone: "time_zone" })),
  Schema.Struct({
    _tag: Schema.Literal("rolling"),
    lengthMs: Schema.Int
  }).pipe(Schema.encodeKeys({ _tag: "kind", lengthMs: "length_ms" }))
]).annotate({ identifier: "LimitWindow" })

/**
 * Where a limit stands: `remaining = amount + carried_over − used − held`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const LimitState = Schema.Struct({
  id: Schema.String,
  window: Window,
  amount: Amount,
  rollover: Schema.optionalKey(Amount),
  used: Amount,
  held: Amount,
  carriedOver: Amount,
  remaining: SignedAmount,
  startMs: Wire.InstantText,
  reopensAtMs: Schema.optionalKey(Wire.InstantText)
}).pipe(Schema.encodeKeys({ carriedOver: "carried_over", startMs: "start", reopensAtMs: "reopens_at" })).annotate({
  identifier: "LimitState"
})

/**
 * The limits of one budget.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Limits = Schema.Struct({
  scope: Schema.String,
  unit: Unit,
  limits: Schema.Array(LimitState)
}).annotate({ identifier: "Limits" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Limits extends Schema.Schema.Type<typeof Limits> {}
