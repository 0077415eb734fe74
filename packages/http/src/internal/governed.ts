// What the schemas of the governance plane share. Values of the wire keep its names; only amounts, instants and caps have the form the
// core has them in.
import { Unit } from "effect-cycles/protocol/Amount"
import { ErrorCode as RuntimeErrorCode } from "effect-cycles/protocol/CyclesError"
import { JsonObject } from "effect-cycles/protocol/Metrics"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { errorsOf, type ParameterSchemas } from "./contract.ts"
import { InstantText, parameter, wholeNumber } from "./wire.ts"

/** A date-time of the wire: Unix milliseconds here. */
export const Instant = InstantText

/** What each error of the governance plane is called. Source: schema `ErrorCode`. */
export const ErrorCode = Schema.Literals([
  ...RuntimeErrorCode.pick([
    "INVALID_REQUEST",
    "UNAUTHORIZED",
    "FORBIDDEN",
    "NOT_FOUND",
    "BUDGET_EXCEEDED",
    "BUDGET_FROZEN",
    "BUDGET_CLOSED",
    "RESERVATION_EXPIRED",
    "RESERVATION_FINALIZED",
    "IDEMPOTENCY_MISMATCH",
    "UNIT_MISMATCH",
    "OVERDRAFT_LIMIT_EXCEEDED",
    "DEBT_OUTSTANDING",
    "LIMIT_EXCEEDED",
    "TENANT_CLOSED",
    "INTERNAL_ERROR"
  ]).literals,
  "TENANT_NOT_FOUND",
  "TENANT_SUSPENDED",
  "BUDGET_NOT_FOUND",
  "POLICY_VIOLATION",
  "INSUFFICIENT_PERMISSIONS",
  "KEY_REVOKED",
  "KEY_EXPIRED",
  "DUPLICATE_RESOURCE",
  "WEBHOOK_NOT_FOUND",
  "WEBHOOK_URL_INVALID",
  "EVENT_NOT_FOUND",
  "REPLAY_IN_PROGRESS",
  "COUNT_MISMATCH"
])

/** The error body of the governance plane. Source: schema `ErrorResponse`. */
export const Failure = Schema.Struct({
  error: ErrorCode,
  message: Schema.String,
  request_id: Schema.String,
  trace_id: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[0-9a-f]{32}$/u))),
  details: Schema.optionalKey(JsonObject)
}).annotate({ identifier: "ErrorResponse" })

export const errors = errorsOf(Failure)

/** A text of so many characters at most. */
export const textUpTo = (most: number) => Schema.String.check(Schema.isMaxCodePoints(most))

/** 1,000 milliseconds to a day. */
export const TtlMs = Schema.Int.check(Schema.isBetween({ minimum: 1_000, maximum: 86_400_000 }))

/** A trace of the W3C Trace Context. */
export const TraceId = Schema.String.check(Schema.isPattern(/^[0-9a-f]{32}$/))

/** What is free, but has no numbers that are none. */
export const Metadata = JsonObject

/** Parameters of the query string. */
export const TextParameter = parameter(Schema.String)
export const UnitParameter = parameter(Unit)
export const SearchParameter = parameter(textUpTo(128))
export const SortDirParameter = parameter(Schema.Literals(["asc", "desc"]))
export const CursorParameter = parameter(Schema.String)

const limitText = (most: number) =>
  wholeNumber.pipe(
    Schema.decodeTo(
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: most })),
      SchemaTransformation.transform({ decode: Number, encode: String })
    )
  )

/** How long a page is where the specification says 1 to 100. */
export const LimitParameter = parameter(limitText(100))
/** How long a page is where the specification names no end; more than 100 are never given. */
export const FreeLimitParameter = parameter(limitText(Number.MAX_SAFE_INTEGER))

export const MOST_ROWS = 100

const intText = (minimum: number, maximum: number) =>
  wholeNumber.pipe(
    Schema.decodeTo(
      Schema.Int.check(Schema.isBetween({ minimum, maximum })),
      SchemaTransformation.transform({ decode: Number, encode: String })
    )
  )

export const IntParameter = parameter(intText(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER))
/** An HTTP status code. */
export const StatusParameter = parameter(intText(100, 599))

/** At most 25 texts with commas between them. */
export const ListParameter = parameter(
  Schema.String.pipe(
    Schema.decodeTo(
      Schema.Array(Schema.String).check(Schema.isMaxLength(25)),
      SchemaTransformation.transform({
        decode: (text: string): ReadonlyArray<string> =>
          text.split(",").map((part) => part.trim()).filter((part) => part !== ""),
        encode: (parts) => parts.join(",")
      })
    )
  )
)

/** What a document says of the parameters that are on several lists. */
export const parameterSchemas: ParameterSchemas = {
  tenant_id: { type: "string" },
  search: { type: "string", maxLength: 128 },
  sort_dir: { type: "string", enum: ["asc", "desc"], default: "desc" },
  cursor: { type: "string" },
  limit: { type: "integer", default: 50 },
  unit: { type: "string", enum: Unit.literals },
  scope: { type: "string" }
}

const decimal = Schema.String.check(Schema.isPattern(/^(?:\d{1,15})(?:\.\d{1,30})?$/, { expected: "a number" }))

/** A share of something, 0 to 1. */
export const ShareParameter = parameter(decimal.pipe(
  Schema.decodeTo(
    Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
    SchemaTransformation.transform({ decode: Number, encode: String })
  )
))
