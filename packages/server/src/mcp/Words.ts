/**
 * The words of the tools: what they take and what they give, in the names of the protocol's schemas as programs have them.
 *
 * JSON numbers end being exact at 2^53. An amount is taken as a number where that is exact, or as a text of digits, and given as a
 * number where that is exact, and as a text beyond.
 *
 * @internal
 */
import { Action } from "effect-cycles/protocol/Action"
import { type AnyAmount, MAX_INT64, Unit } from "effect-cycles/protocol/Amount"
import * as Caps from "effect-cycles/protocol/Caps"
import { Decision } from "effect-cycles/protocol/Decision"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import { JsonObject, Metrics as ProtocolMetrics } from "effect-cycles/protocol/Metrics"
import { Subject } from "effect-cycles/protocol/Subject"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

// ---------------------------------------------------------------------------------------------------------------------
// what they take
// ---------------------------------------------------------------------------------------------------------------------

const exact = Schema.Union([
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  Schema.String.check(Schema.isPattern(/^\d{1,19}$/u))
]).annotate({
  description: "A whole number of the unit; as a text of digits above 9007199254740991. It is never rounded"
}).pipe(
  Schema.decodeTo(
    Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: MAX_INT64 })),
    SchemaTransformation.transform({
      decode: (n: number | string) => BigInt(n),
      encode: (n: bigint): number | string => n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : String(n)
    })
  )
)

/** An amount as a tool takes it. */
export const AmountTaken = Schema.Struct({
  unit: Unit.annotate({ description: "USD_MICROCENTS are money: 1 US dollar is 100000000" }),
  amount: exact
  // `{ unit: A | B }` and `{ unit: A } | { unit: B }` are the same values.
}) as unknown as Schema.Codec<AnyAmount, { readonly unit: Unit; readonly amount: number | string }>

export const key = IdempotencyKey.annotate({
  description: "Chosen by you, new for each thing you do; the same one again repeats the answer and does nothing twice"
})

export const subject = Schema.optionalKey(Subject.annotate({
  description:
    "Who spends: tenant, workspace, app, workflow, agent, toolset. What is left out is as this server was started"
}))

export const action = Action.annotate({
  description: "What is to be done, such as kind llm.completion and name gpt-4o"
})

export const reservationId = ReservationId.annotate({ description: "The reservationId that cycles_reserve answered" })

export const metadata = Schema.optionalKey(JsonObject.annotate({ description: "Anything to be kept with it" }))

export const metrics = Schema.optionalKey(Schema.toType(ProtocolMetrics))

// ---------------------------------------------------------------------------------------------------------------------
// what they give
// ---------------------------------------------------------------------------------------------------------------------

const optional = Schema.optionalKey

const AmountGiven = Schema.Struct({ unit: Unit, amount: Schema.Union([Schema.Int, Schema.String]) })

const EvidenceGiven = Schema.Struct({ evidenceId: Schema.String, url: Schema.String })

export const BalanceGiven = Schema.Struct({
  scope: Schema.String,
  scopePath: Schema.String,
  remaining: AmountGiven,
  reserved: optional(AmountGiven),
  spent: optional(AmountGiven),
  debt: optional(AmountGiven),
  allocated: optional(AmountGiven),
  overdraftLimit: optional(AmountGiven),
  isOverLimit: optional(Schema.Boolean)
})

const balances = optional(Schema.Array(BalanceGiven))

const decided = {
  decision: Decision,
  caps: optional(Schema.toType(Caps.Caps)),
  reasonCode: optional(Schema.String),
  retryAfterMs: optional(Schema.Natural),
  evidence: optional(EvidenceGiven)
}

export const ReserveGiven = Schema.Struct({
  ...decided,
  reservationId: optional(Schema.String),
  reserved: optional(AmountGiven),
  expiresAtMs: optional(Schema.Natural),
  remainingTtlMs: optional(Schema.Natural),
  scopePath: optional(Schema.String),
  affectedScopes: Schema.Array(Schema.String),
  balances
})

export const DecideGiven = Schema.Struct({ ...decided, affectedScopes: optional(Schema.Array(Schema.String)) })

export const CommitGiven = Schema.Struct({
  status: Schema.Literal("COMMITTED"),
  charged: AmountGiven,
  released: optional(AmountGiven),
  balances,
  evidence: optional(EvidenceGiven)
})

export const ReleaseGiven = Schema.Struct({
  status: Schema.Literal("RELEASED"),
  released: AmountGiven,
  balances,
  evidence: optional(EvidenceGiven)
})

export const ExtendGiven = Schema.Struct({
  status: Schema.Literal("ACTIVE"),
  expiresAtMs: Schema.Natural,
  remainingTtlMs: optional(Schema.Natural),
  balances
})

export const EventGiven = Schema.Struct({
  status: Schema.Literal("APPLIED"),
  eventId: Schema.String,
  charged: optional(AmountGiven),
  balances
})

const page = { nextCursor: optional(Schema.String), hasMore: optional(Schema.Boolean) }

export const BalancesGiven = Schema.Struct({ balances: Schema.Array(BalanceGiven), ...page })

export const ReservationGiven = Schema.Struct({
  reservationId: Schema.String,
  status: Schema.String,
  idempotencyKey: optional(Schema.String),
  subject: JsonObject,
  action: JsonObject,
  reserved: AmountGiven,
  committed: optional(AmountGiven),
  createdAtMs: Schema.Natural,
  expiresAtMs: Schema.Natural,
  finalizedAtMs: optional(Schema.Natural),
  scopePath: Schema.String,
  affectedScopes: Schema.Array(Schema.String),
  metadata: optional(JsonObject),
  committedMetadata: optional(JsonObject),
  evidence: optional(JsonObject)
})

export const ReservationsGiven = Schema.Struct({ reservations: Schema.Array(ReservationGiven), ...page })

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null

/** A reply as JSON can have it: amounts as numbers where those are exact, and as texts beyond. */
export const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  if (Array.isArray(value)) return value.map(plain)
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => member === undefined ? [] : [[name, plain(member)]])
  )
}
