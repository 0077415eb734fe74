// Methods, paths and query strings of the runtime plane: what the client needs of the contract without the machinery of
// `effect/http-api`, so that a client stays small.
import { Limit } from "effect-cycles/protocol/Balance"
import { Cursor, IdempotencyKey } from "effect-cycles/protocol/Ids"
import { ReservationStatus, SortBy } from "effect-cycles/protocol/ReservationRecord"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaTransformation from "effect/SchemaTransformation"

export const routes = {
  decide: { method: "POST", path: "/v1/decide" },
  createReservation: { method: "POST", path: "/v1/reservations" },
  listReservations: { method: "GET", path: "/v1/reservations" },
  getReservation: { method: "GET", path: "/v1/reservations/:reservation_id" },
  commitReservation: { method: "POST", path: "/v1/reservations/:reservation_id/commit" },
  releaseReservation: { method: "POST", path: "/v1/reservations/:reservation_id/release" },
  extendReservation: { method: "POST", path: "/v1/reservations/:reservation_id/extend" },
  getBalances: { method: "GET", path: "/v1/balances" },
  createEvent: { method: "POST", path: "/v1/events" },
  getEvidence: { method: "GET", path: "/v1/evidence/:evidence_id" },
  getEvidenceJwks: { method: "GET", path: "/v1/.well-known/cycles-jwks.json" },

  explain: { method: "GET", path: "/v1/admin/history/explain" },
  entries: { method: "GET", path: "/v1/admin/history/entries" },
  spend: { method: "GET", path: "/v1/admin/history/spend" },
  costs: { method: "GET", path: "/v1/admin/history/costs" },
  verify: { method: "GET", path: "/v1/admin/history/verify" },
  limits: { method: "GET", path: "/v1/admin/history/limits" },
  setLimits: { method: "PUT", path: "/v1/admin/control/limits" },
  closeBudget: { method: "POST", path: "/v1/admin/control/budgets/close" },
  rotateApiKey: { method: "POST", path: "/v1/admin/control/api-keys/:key_id/rotate" },
  policyState: { method: "GET", path: "/v1/admin/control/policies/:policy_id" },
  extendPolicy: { method: "PATCH", path: "/v1/admin/control/policies/:policy_id" },
  deletePolicy: { method: "DELETE", path: "/v1/admin/control/policies/:policy_id" }
} as const

/** A parameter that may be absent; a blank one is. Clients write `?from=${maybeUnset}` into every query. */
export const parameter = <S extends Schema.ConstraintCodec<unknown, string>>(value: S) =>
  Schema.optionalKey(Schema.String).pipe(
    Schema.decodeTo(Schema.optionalKey(value), {
      decode: SchemaGetter.transformOptional(Option.filter((text: string) => text.trim() !== "")),
      encode: SchemaGetter.passthrough()
    })
  )

export const wholeNumber = Schema.String.check(Schema.isPattern(/^-?\d{1,15}$/, { expected: "a whole number" }))

const LimitText = wholeNumber.pipe(
  Schema.decodeTo(Limit, SchemaTransformation.transform({ decode: Number, encode: String }))
)

export const BooleanText = Schema.Literals(["true", "false"]).pipe(
  Schema.decodeTo(
    Schema.Boolean,
    SchemaTransformation.transform({ decode: (text) => text === "true", encode: (value) => value ? "true" : "false" })
  )
)

// RFC 3339, years before 0 and after 9999 included. An offset's plus sign may have become a space on its way.
const dateTime = /^(\d{4}|[+-]\d{6})-(\d\d)-(\d\d)T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+\- ]\d\d:\d\d)$/i

const millisecondsOf = (text: string): number => Date.parse(text.toUpperCase().replace(" ", "+"))

const isInstant = (text: string): boolean => {
  const [, year, month, day] = dateTime.exec(text) ?? []
  if (year === undefined || Number.isNaN(millisecondsOf(text))) return false
  // `Date` rolls 30 February over into March.
  const date = new Date(`${year}-${month}-${day}T00:00:00Z`)
  return date.getUTCDate() === Number(day)
}

export const InstantText = Schema.String.annotate({ format: "date-time" }).check(
  Schema.makeFilter((text) => isInstant(text) || "must be an ISO 8601 date-time with its offset")
).pipe(
  Schema.decodeTo(
    Schema.Int.check(Schema.isBetween({ minimum: -8_640_000_000_000_000, maximum: 8_640_000_000_000_000 })),
    SchemaTransformation.transform({ decode: millisecondsOf, encode: (ms) => new Date(ms).toISOString() })
  )
)

const includable = ["metadata", "committed_metadata", "evidence"] as const
type Includable = (typeof includable)[number]

// Tokens nobody here knows are left out, as are empty ones.
const IncludeText = Schema.String.pipe(
  Schema.decodeTo(
    Schema.Array(Schema.Literals(includable)),
    SchemaTransformation.transform({
      decode: (text: string): ReadonlyArray<Includable> => {
        const tokens = text.split(",").map((token) => token.trim())
        return includable.filter((token) => tokens.includes(token))
      },
      encode: (tokens) => tokens.join(",")
    })
  )
)

const subject = {
  tenant: parameter(Schema.String),
  workspace: parameter(Schema.String),
  app: parameter(Schema.String),
  workflow: parameter(Schema.String),
  agent: parameter(Schema.String),
  toolset: parameter(Schema.String)
}

export const BalancesParameters = Schema.Struct({
  ...subject,
  includeChildren: parameter(BooleanText),
  limit: parameter(LimitText),
  cursor: parameter(Cursor)
}).pipe(Schema.encodeKeys({ includeChildren: "include_children" }))

export const ReservationsParameters = Schema.Struct({
  idempotencyKey: parameter(IdempotencyKey),
  status: parameter(ReservationStatus),
  ...subject,
  createdFromMs: parameter(InstantText),
  createdToMs: parameter(InstantText),
  expiresFromMs: parameter(InstantText),
  expiresToMs: parameter(InstantText),
  finalizedFromMs: parameter(InstantText),
  finalizedToMs: parameter(InstantText),
  sortBy: parameter(SortBy),
  sortDir: parameter(Schema.Literals(["asc", "desc"])),
  include: parameter(IncludeText),
  limit: parameter(LimitText),
  cursor: parameter(Cursor)
}).pipe(Schema.encodeKeys({
  idempotencyKey: "idempotency_key",
  createdFromMs: "from",
  createdToMs: "to",
  expiresFromMs: "expires_from",
  expiresToMs: "expires_to",
  finalizedFromMs: "finalized_from",
  finalizedToMs: "finalized_to",
  sortBy: "sort_by",
  sortDir: "sort_dir"
}))
