/**
 * What a ledger remembers, and what can be governed beyond the specification, over HTTP: operations of ours beside those of
 * Cycles, under `/v1/admin/history` and `/v1/admin/control`.
 *
 * The first answer why a balance stands where it stands, what was spent by whom over time, what changed in which order, whether all of
 * it adds up, and where limits stand; the others change limits, close budgets, rotate keys and delete policies. The admin key may ask
 * about any tenant and names it by `tenant_id`; an API key asks about its own, needs `budgets:read` to ask and the permission of the
 * act to act, and reaches what its scope filter does. Headers, error bodies and exact integers are those of the two
 * planes of the specification. Instants are ISO 8601 date-times.
 *
 * **Example** (The paths)
 *
 * ```ts
 * import { HistoryApi } from "@effect-cycles/http"
 * import { OpenApi } from "effect/http-api"
 *
 * const { paths } = OpenApi.fromApi(HistoryApi.HistoryApi)
 *
 * console.log(Object.keys(paths).filter((path) => path.includes("/history/")).length) // => 6
 * ```
 *
 * @since 0.1.0
 */
import { dimensions } from "effect-cycles/ledger/Attribution"
import { Action } from "effect-cycles/protocol/Action"
import { Amount, Int64, SignedAmount, Unit } from "effect-cycles/protocol/Amount"
import { Balance } from "effect-cycles/protocol/Balance"
import { Caps } from "effect-cycles/protocol/Caps"
import { ErrorResponse } from "effect-cycles/protocol/ErrorResponse"
import { JsonObject, Metrics } from "effect-cycles/protocol/Metrics"
import { levels } from "effect-cycles/protocol/Subject"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { EitherKey } from "./governance/Access.ts"
import { asSpecified, errorsOf, named, withParametersOf } from "./internal/contract.ts"
import * as Wire from "./internal/wire.ts"
import { BadParameters } from "./RuntimeApi.ts"

// ---------------------------------------------------------------------------------------------------------------------
// query strings
// ---------------------------------------------------------------------------------------------------------------------

const wholeFrom = (minimum: number, maximum: number) =>
  Wire.wholeNumber.pipe(
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

/** Dimensions with commas between them. */
const DimensionsText = Schema.String.pipe(
  Schema.decodeTo(
    Schema.Array(Schema.String),
    SchemaTransformation.transform({
      decode: (text): ReadonlyArray<string> => text.split(",").map((name) => name.trim()),
      encode: (names) => names.join(",")
    })
  ),
  Schema.decodeTo(Schema.Array(Schema.Literals(dimensions)))
)

/**
 * The query string of `costs`. `by` is what to break spending down by, with commas between: levels of the subject, or `scope` for all of
 * them, `action` and `model`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CostParameters = Schema.Struct({
  ...tenant,
  unit: Unit,
  by: DimensionsText,
  fromMs: Wire.InstantText,
  toMs: Wire.InstantText,
  scope: Wire.parameter(Schema.String)
}).pipe(Schema.encodeKeys({ ...toTenantId, fromMs: "from", toMs: "to" }))

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
 * Whom spending is put down to: the places of a tree, each above those below it. `own` is what was charged for exactly this and
 * `total` has what is below it as well; every charge is in one `own`, and `spent` is their sum.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Costs = Schema.Struct({
  by: Schema.Array(Schema.Literals(dimensions)),
  unit: Unit,
  spent: Amount,
  rows: Schema.Array(Schema.Struct({
    steps: Schema.Array(Schema.Struct({
      dimension: Schema.Literals([...levels, "action", "model"]),
      value: Schema.String
    })),
    own: Amount,
    total: Amount
  }))
}).annotate({ identifier: "HistoryCosts" })

/**
 * @category models
 * @since 0.1.0
 */
export interface Costs extends Schema.Schema.Type<typeof Costs> {}

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

// ---------------------------------------------------------------------------------------------------------------------
// changes
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The limits a budget is to have, in place of all it had. A limit that stays the same goes on counting; one whose window changes
 * begins anew.
 *
 * @category schemas
 * @since 0.1.0
 */
export const LimitsChange = Schema.Struct({
  limits: Schema.Array(Schema.Struct({
    id: Schema.String,
    window: Window,
    amount: Amount,
    rollover: Schema.optionalKey(Amount)
  })),
  reason: Schema.optionalKey(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface LimitsChange extends Schema.Schema.Type<typeof LimitsChange> {}

/**
 * Why a budget is closed.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Closing = Schema.Struct({ reason: Schema.optionalKey(Schema.String) })

/**
 * A budget that was closed, and what it stood at.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ClosedBudget = Schema.Struct({
  scope: Schema.String,
  unit: Unit,
  status: Schema.Literals(["ACTIVE", "FROZEN", "CLOSED"]),
  balance: Balance
}).annotate({ identifier: "ClosedBudget" })

/**
 * @category models
 * @since 0.1.0
 */
export interface ClosedBudget extends Schema.Schema.Type<typeof ClosedBudget> {}

/**
 * How long the old key of a rotation lives on beside the new one, in milliseconds; it is revoked at once when not given.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Rotation = Schema.Struct({ overlapMs: Schema.optionalKey(Schema.Natural) }).pipe(
  Schema.encodeKeys({ overlapMs: "overlap_ms" })
)

/**
 * The key that takes another's place. The secret is shown this once.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RotatedKey = Schema.Struct({
  id: Schema.String,
  secret: Schema.String,
  prefix: Schema.String,
  tenant: Schema.String,
  name: Schema.String,
  permissions: Schema.Array(Schema.String),
  scopeFilter: Schema.Array(Schema.String),
  createdAtMs: Wire.InstantText,
  expiresAtMs: Wire.InstantText
}).pipe(Schema.encodeKeys({
  ...toTenantId,
  id: "key_id",
  secret: "key_secret",
  prefix: "key_prefix",
  scopeFilter: "scope_filter",
  createdAtMs: "created_at",
  expiresAtMs: "expires_at"
})).annotate({ identifier: "RotatedKey" })

/**
 * @category models
 * @since 0.1.0
 */
export interface RotatedKey extends Schema.Schema.Type<typeof RotatedKey> {}

/** Numbers in requests are whole, so shares are in millionths, which is as fine as they are. */
const BelowPpm = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })).pipe(
  Schema.decodeTo(
    Schema.Finite,
    SchemaTransformation.transform({
      decode: (ppm) => ppm / 1_000_000,
      encode: (share) => Math.round(share * 1_000_000)
    })
  )
)

const StateCaps = Schema.Struct({ belowShare: BelowPpm, caps: Caps }).pipe(
  Schema.encodeKeys({ belowShare: "below_ppm" })
)

/**
 * Limits of a policy that the specification has no word for. What is not given stays; `null` takes it away.
 *
 * - `stateCaps`: caps while a budget of the path has less than a share of its allocation left; on the wire `below_ppm`, in
 *   millionths: 200000 is a fifth
 * - `maxSteps`: how many holds a run may take
 *
 * @category schemas
 * @since 0.1.0
 */
export const PolicyExtras = Schema.Struct({
  stateCaps: Schema.optionalKey(Schema.NullOr(Schema.Array(
    StateCaps
  ))),
  maxSteps: Schema.optionalKey(Schema.NullOr(Schema.Int))
}).pipe(Schema.encodeKeys({ stateCaps: "state_caps", maxSteps: "max_steps" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface PolicyExtras extends Schema.Schema.Type<typeof PolicyExtras> {}

/**
 * A policy by name, with what the specification has no word for.
 *
 * @category schemas
 * @since 0.1.0
 */
export const PolicyState = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  scopePattern: Schema.String,
  status: Schema.Literals(["ACTIVE", "DISABLED"]),
  stateCaps: Schema.Array(
    StateCaps
  ),
  maxSteps: Schema.optionalKey(Schema.Int)
}).pipe(Schema.encodeKeys({
  id: "policy_id",
  scopePattern: "scope_pattern",
  stateCaps: "state_caps",
  maxSteps: "max_steps"
})).annotate({ identifier: "PolicyState" })

/**
 * @category models
 * @since 0.1.0
 */
export interface PolicyState extends Schema.Schema.Type<typeof PolicyState> {}

// ---------------------------------------------------------------------------------------------------------------------
// the contract
// ---------------------------------------------------------------------------------------------------------------------

const errors = errorsOf(named(ErrorResponse, "ErrorResponse"))

const withParameters = withParametersOf({
  unit: { type: "string", enum: Unit.literals },
  from: { type: "string" },
  to: { type: "string", format: "date-time" },
  by: { type: "string", enum: ["scope", "agent", "action", "model"], default: "scope" },
  every: { type: "string", enum: ["hour", "day"], default: "day" },
  time_zone: { type: "string", default: "UTC" },
  after: { type: "integer", minimum: 0 },
  limit: { type: "integer", minimum: 1, maximum: 1_000 }
})

const costParameters = {
  unit: { type: "string", enum: Unit.literals },
  from: { type: "string", format: "date-time" },
  to: { type: "string", format: "date-time" },
  by: { type: "array", items: { type: "string", enum: dimensions }, minItems: 1 }
}

const { routes } = Wire

/**
 * What the past is asked.
 *
 * @category contract
 * @since 0.1.0
 */
export class HistoryGroup extends HttpApiGroup.make("history", { topLevel: true }).add(
  HttpApiEndpoint.get("explain", routes.explain.path, {
    query: ExplainParameters,
    success: Explanation,
    error: errors(400, 401, 403, 404, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.get("entries", routes.entries.path, {
    query: EntriesParameters,
    success: EntriesPage,
    error: errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.get("spend", routes.spend.path, {
    query: SpendParameters,
    success: Spending,
    error: errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.get("costs", routes.costs.path, {
    query: CostParameters,
    success: Costs,
    error: errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParametersOf(costParameters)),
  HttpApiEndpoint.get("verify", routes.verify.path, {
    query: VerifyParameters,
    success: Verification,
    error: errors(400, 401, 403, 429, 500, 503)
  }),
  HttpApiEndpoint.get("limits", routes.limits.path, {
    query: LimitsParameters,
    success: Limits,
    error: errors(400, 401, 403, 404, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters)
).middleware(BadParameters).middleware(EitherKey) {}

/**
 * What can be governed beyond the specification, under `/v1/admin/control`: the limits of a budget, closing one, rotating a key,
 * deleting a policy, and the limits of a policy that the specification has no word for.
 *
 * @category contract
 * @since 0.1.0
 */
export class ControlGroup extends HttpApiGroup.make("control", { topLevel: true }).add(
  HttpApiEndpoint.put("setLimits", routes.setLimits.path, {
    query: LimitsParameters,
    payload: named(LimitsChange, "LimitsChange"),
    success: Limits,
    error: errors(400, 401, 403, 404, 409, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.post("closeBudget", routes.closeBudget.path, {
    query: LimitsParameters,
    payload: named(Closing, "BudgetClosing"),
    success: ClosedBudget,
    error: errors(400, 401, 403, 404, 409, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.post("rotateApiKey", routes.rotateApiKey.path, {
    params: { key_id: Schema.String },
    query: VerifyParameters,
    payload: named(Rotation, "KeyRotation"),
    success: RotatedKey,
    error: errors(400, 401, 403, 404, 409, 429, 500, 503)
  }),
  HttpApiEndpoint.get("policyState", routes.policyState.path, {
    params: { policy_id: Schema.String },
    query: VerifyParameters,
    success: PolicyState,
    error: errors(400, 401, 403, 404, 429, 500, 503)
  }),
  HttpApiEndpoint.patch("extendPolicy", routes.extendPolicy.path, {
    params: { policy_id: Schema.String },
    query: VerifyParameters,
    payload: named(PolicyExtras, "PolicyExtras"),
    success: PolicyState,
    error: errors(400, 401, 403, 404, 409, 429, 500, 503)
  }),
  HttpApiEndpoint.delete("deletePolicy", routes.deletePolicy.path, {
    params: { policy_id: Schema.String },
    query: VerifyParameters,
    success: PolicyState,
    error: errors(400, 401, 403, 404, 409, 429, 500, 503)
  })
).middleware(BadParameters).middleware(EitherKey) {}

/**
 * Our own operations.
 *
 * @category contract
 * @since 0.1.0
 */
export class HistoryApi extends HttpApi.make("cycles-history").add(HistoryGroup, ControlGroup).annotateMerge(
  OpenApi.annotations({
    title: "effect-cycles: history and control",
    version: "0.1.0",
    description: "What a ledger remembers, and what can be governed beyond the specification of Cycles.",
    transform: asSpecified
  })
) {}
