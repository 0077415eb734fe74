import { assert, describe, it } from "@effect/vitest"
import { RowJson } from "effect-cycles"
import type { Details } from "effect-cycles/ledger/Model"
import type { RowCodec } from "effect-cycles/ledger/RowJson"
import { Action } from "effect-cycles/protocol/Action"
import { Int64, MAX_INT64, MIN_INT64, Unit } from "effect-cycles/protocol/Amount"
import { Balance } from "effect-cycles/protocol/Balance"
import { Caps } from "effect-cycles/protocol/Caps"
import { DecideReply } from "effect-cycles/protocol/Decide"
import { EventReply } from "effect-cycles/protocol/Event"
import { ExtendReply } from "effect-cycles/protocol/Extend"
import { EventId, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import { ReservationStatus } from "effect-cycles/protocol/ReservationRecord"
import { ReserveReply } from "effect-cycles/protocol/Reserve"
import { CommitReply, ReleaseReply } from "effect-cycles/protocol/Settle"
import { levels } from "effect-cycles/protocol/Subject"
import * as Schema from "effect/Schema"

const oddities = [
  "n1",
  "s",
  "",
  "\ud800",
  "\udfff\ud800",
  "\u0000",
  "💸",
  "\u2028",
  "a b",
  "\"\\",
  "é",
  "__proto__"
] as const

const Text = Schema.Union([Schema.String, Schema.Literals(oddities)])
const Whole = Schema.Union([Schema.toType(Int64), Schema.Literals([MAX_INT64, MIN_INT64, 0n, 2n ** 53n + 1n])])
const Time = Schema.Union([Schema.Natural, Schema.Literals([0, 1_790_000_000_000, Number.MAX_SAFE_INTEGER])])
const Maybe = Schema.UndefinedOr
const Free = Schema.Record(
  Schema.String,
  Schema.Union([
    Schema.Json,
    Whole,
    Text,
    Schema.Array(Schema.Union([Whole, Text, Schema.Null])),
    Schema.Record(Schema.String, Schema.Union([Whole, Text]))
  ])
)
const MaybeFree = Maybe(Free)
const MaybeMetrics = Maybe(Schema.Struct({
  tokensInput: Schema.optionalKey(Schema.Natural),
  tokensOutput: Schema.optionalKey(Schema.Natural),
  latencyMs: Schema.optionalKey(Schema.Natural),
  modelVersion: Schema.optionalKey(Text),
  custom: Schema.optionalKey(Free)
}))
const Subject = Schema.Struct({
  ...Object.fromEntries(levels.map((level) => [level, Schema.optionalKey(Text)])),
  dimensions: Schema.optionalKey(Schema.Record(Schema.String, Text))
})
const AnyAmount = Schema.Struct({ unit: Unit, amount: Whole })

const figures = {
  tenant: Text,
  scope: Text,
  unit: Unit,
  allocated: Whole,
  spent: Whole,
  reserved: Whole,
  debt: Whole,
  overdraftLimit: Whole,
  capped: Schema.Boolean,
  status: Schema.Literals(["ACTIVE", "FROZEN", "CLOSED"]),
  lastEntry: Schema.Natural
}
const Figures = Schema.Struct(figures)

const rows = {
  tenant: Schema.Struct({
    tenant: Text,
    lastTimeMs: Time,
    lastEntry: Schema.Natural,
    lastEvent: Schema.Natural,
    deliveredEvent: Schema.Natural,
    lastAct: Schema.Natural,
    lastBatch: Maybe(Text),
    profile: Maybe(Schema.Struct({
      name: Text,
      status: Schema.Literals(["ACTIVE", "SUSPENDED", "CLOSED"]),
      parent: Maybe(Text),
      overagePolicy: Maybe(OveragePolicy),
      defaultTtlMs: Maybe(Time),
      maxTtlMs: Maybe(Time),
      maxExtensions: Maybe(Schema.Natural),
      expiryPolicy: Maybe(Schema.Literals(["AUTO_RELEASE", "GRACE_ONLY"])),
      metadata: MaybeFree,
      createdAtMs: Time,
      updatedAtMs: Time,
      suspendedAtMs: Maybe(Time),
      closedAtMs: Maybe(Time)
    }))
  }),
  budget: Schema.Struct({
    ...figures,
    limits: Schema.Array(Schema.Struct({
      id: Text,
      window: Schema.Union([
        Schema.Struct({
          _tag: Schema.Literal("calendar"),
          every: Schema.Literals(["day", "week", "month"]),
          timeZone: Text
        }),
        Schema.Struct({ _tag: Schema.Literal("rolling"), lengthMs: Time })
      ]),
      amount: Whole,
      rollover: Maybe(Whole)
    })),
    overagePolicy: Maybe(OveragePolicy),
    period: Maybe(Schema.Struct({
      rollover: Maybe(Schema.Literals(["NONE", "CARRY_FORWARD", "CAP_AT_ALLOCATED"])),
      startMs: Maybe(Time),
      endMs: Maybe(Time)
    })),
    metadata: MaybeFree,
    createdAtMs: Time,
    updatedAtMs: Time,
    lastDenial: Maybe(Schema.Natural),
    id: Text,
    pace: Maybe(Schema.Struct({ window: Schema.Natural, spent: Whole, dozen: Whole, dozenBefore: Whole }))
  }),
  reservation: Schema.Struct({
    id: ReservationId,
    tenant: Text,
    idempotencyKey: IdempotencyKey,
    status: ReservationStatus,
    subject: Subject,
    action: Action,
    estimate: AnyAmount,
    scopes: Schema.Array(Text),
    budgeted: Schema.Array(Text),
    overagePolicy: OveragePolicy,
    createdAtMs: Time,
    expiresAtMs: Time,
    gracePeriodMs: Time,
    extensions: Schema.Natural,
    maxExtensions: Maybe(Schema.Natural),
    caps: Maybe(Schema.toType(Caps)),
    policyId: Maybe(Text),
    windows: Schema.Array(Text),
    metadata: MaybeFree,
    charged: Maybe(AnyAmount),
    metrics: MaybeMetrics,
    committedMetadata: MaybeFree,
    finalizedAtMs: Maybe(Time)
  }),
  entry: Schema.Struct({
    tenant: Text,
    number: Schema.Natural,
    atMs: Time,
    kind: Schema.Literals(["RESERVE", "COMMIT", "CREATE", "OPENING"]),
    actor: Text,
    reservationId: Maybe(ReservationId),
    eventId: Maybe(EventId),
    action: Maybe(Action),
    metrics: MaybeMetrics,
    reason: Maybe(Text),
    requestId: Maybe(Text),
    traceId: Maybe(Text),
    changes: Schema.Array(Schema.Struct({ before: Maybe(Figures), after: Figures }))
  }),
  counter: Schema.Struct({ tenant: Text, id: Text, used: Whole, held: Whole, carried: Whole, keepUntilMs: Time }),
  document: Schema.Union([
    Schema.Struct({
      _tag: Schema.Literal("api_key"),
      tenant: Text,
      id: Text,
      prefix: Text,
      hash: Text,
      status: Schema.Literals(["ACTIVE", "REVOKED"]),
      name: Text,
      description: Maybe(Text),
      permissions: Schema.Array(Text),
      scopeFilter: Schema.Array(Text),
      metadata: MaybeFree,
      createdAtMs: Time,
      expiresAtMs: Time,
      revokedAtMs: Maybe(Time),
      revokedReason: Maybe(Text)
    }),
    Schema.Struct({
      _tag: Schema.Literal("policy"),
      tenant: Text,
      id: Text,
      name: Text,
      description: Maybe(Text),
      scopePattern: Text,
      priority: Schema.Int,
      status: Schema.Literals(["ACTIVE", "DISABLED"]),
      caps: Maybe(Schema.toType(Caps)),
      stateCaps: Schema.Array(Schema.Struct({ belowShare: Schema.Literals([0, 0.1, 1]), caps: Schema.toType(Caps) })),
      overagePolicy: Maybe(OveragePolicy),
      defaultTtlMs: Maybe(Time),
      maxTtlMs: Maybe(Time),
      maxExtensions: Maybe(Schema.Natural),
      maxReservationsPerMinute: Maybe(Schema.Natural),
      maxCommitsPerMinute: Maybe(Schema.Natural),
      maxSteps: Maybe(Schema.Natural),
      allowedActionKinds: Schema.Array(Text),
      deniedActionKinds: Schema.Array(Text),
      effectiveFromMs: Maybe(Time),
      effectiveUntilMs: Maybe(Time),
      createdAtMs: Time,
      updatedAtMs: Time
    })
  ]),
  event: Schema.Struct({
    tenant: Text,
    number: Schema.Natural,
    atMs: Time,
    type: Text,
    actor: Text,
    actorType: Maybe(Schema.Literals(["admin", "admin_on_behalf_of", "api_key", "system"])),
    keyId: Maybe(Text),
    scope: Maybe(Text),
    unit: Maybe(Unit),
    reservationId: Maybe(ReservationId),
    requestId: Maybe(Text),
    traceId: Maybe(Text),
    details: Free
  }),
  act: Schema.Struct({
    tenant: Text,
    number: Schema.Natural,
    atMs: Time,
    actor: Text,
    actorType: Maybe(Schema.Literals(["admin", "admin_on_behalf_of", "api_key", "system"])),
    keyId: Maybe(Text),
    operation: Text,
    resourceType: Text,
    resourceId: Text,
    errorCode: Maybe(Text),
    requestId: Maybe(Text),
    traceId: Maybe(Text),
    details: Free
  })
}

const runs = { arbitrary: { runs: 300 } }

const replies = {
  decide: Schema.toType(DecideReply),
  reserve: Schema.toType(ReserveReply),
  commit: Schema.toType(CommitReply),
  release: Schema.toType(ReleaseReply),
  extend: Schema.toType(ExtendReply),
  event: Schema.toType(EventReply),
  fund: Schema.toType(Schema.Struct({ previous: Balance, balance: Balance }))
}

/** JSON has one zero, and objects may be made in more than one way. */
const plain = (value: unknown): unknown => {
  if (Object.is(value, -0)) return 0
  if (typeof value !== "object" || value === null) return value
  return Array.isArray(value)
    ? value.map(plain)
    : Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]))
}

const assertReturns = <Row>(codec: RowCodec<Row>, row: unknown): void => {
  // Made from the schema of the codec's row, or to look like one.
  assert.deepStrictEqual(plain(codec.decode(codec.encode(row as Row))), plain(row))
}

describe("RowJson", () => {
  it.prop("brings every tenant there and back", [rows.tenant], ([row]) => assertReturns(RowJson.tenant, row), runs)
  it.prop("brings every budget there and back", [rows.budget], ([row]) => assertReturns(RowJson.budget, row), runs)
  it.prop(
    "brings every reservation there and back",
    [rows.reservation],
    ([row]) => assertReturns(RowJson.reservation, row),
    runs
  )
  it.prop("brings every entry there and back", [rows.entry], ([row]) => assertReturns(RowJson.entry, row), runs)
  it.prop("brings every counter there and back", [rows.counter], ([row]) => assertReturns(RowJson.counter, row), runs)
  it.prop(
    "brings every document there and back",
    [rows.document],
    ([row]) => assertReturns(RowJson.document, row),
    runs
  )
  it.prop("brings every event there and back", [rows.event], ([row]) => assertReturns(RowJson.event, row), runs)
  it.prop("brings every act there and back", [rows.act], ([row]) => assertReturns(RowJson.act, row), runs)

  for (const [operation, reply] of Object.entries(replies)) {
    const Row = Schema.Struct({
      tenant: Text,
      operation: Schema.Literal(operation),
      key: Text,
      digest: Text,
      reply: reply as Schema.Schema<unknown>,
      reservationId: Maybe(ReservationId),
      keepUntilMs: Time
    })
    it.prop(`brings the record of every ${operation} there and back`, [Row], ([row]) => {
      assertReturns(RowJson.record, { id: `${row.tenant}/${row.operation}/${row.key}`, ...row })
    }, { arbitrary: { runs: 100 } })
  }

  const details = (value: Details) => ({
    tenant: "acme",
    number: 1,
    atMs: 1,
    type: "t",
    actor: "a",
    actorType: undefined,
    keyId: undefined,
    scope: undefined,
    unit: undefined,
    reservationId: undefined,
    requestId: undefined,
    traceId: undefined,
    details: value
  })

  it("takes no text for a number, however it looks", () => {
    for (const text of ["n1", "1n", "s1", "1", "[1]"]) {
      assert.include(RowJson.event.encode(details({ text })), `{"text":"${text}"}`)
      assertReturns(RowJson.event, details({ text }))
      assertReturns(RowJson.event, details({ text, [text]: { text, n: 1n } }))
    }
  })

  it("keeps members whatever their names", () => {
    const odd: Details = JSON.parse("{\"__proto__\":{\"a\":1},\"constructor\":2}")
    assertReturns(RowJson.event, details(odd))
    assertReturns(RowJson.event, details(Object.assign(Object.create(null), { odd, n: 1n })))
    const row = RowJson.event.decode(RowJson.event.encode(details(odd)))
    assert.deepStrictEqual(Object.keys(row.details), ["__proto__", "constructor"])
  })

  it("reads events and acts of before their caller's kind was kept", () => {
    const event = RowJson.event.decode(
      "[1,\"acme\",7,5,\"budget.created\",\"ops\",\"tenant:acme\",\"TOKENS\",null,\"r\",\"t\",{}]"
    )
    assert.deepInclude(event, { number: 7, actor: "ops", traceId: "t", actorType: undefined, keyId: undefined })
    const act = RowJson.act.decode(
      "[1,\"acme\",7,5,\"ops\",\"createBudget\",\"budget\",\"tenant:acme TOKENS\",null,\"r\",\"t\",{}]"
    )
    assert.deepInclude(act, { number: 7, actor: "ops", traceId: "t", actorType: undefined, keyId: undefined })
  })

  it("writes two budgets' worth of an entry once where nothing changed", () => {
    const after = {
      tenant: "acme",
      scope: "tenant:acme",
      unit: "TOKENS" as const,
      allocated: 1_000n,
      spent: 0n,
      reserved: 10n,
      debt: 0n,
      overdraftLimit: 0n,
      capped: false,
      status: "ACTIVE" as const,
      lastEntry: 2
    }
    const text = RowJson.entry.encode({
      tenant: "acme",
      number: 2,
      atMs: 5,
      kind: "RESERVE",
      actor: "a",
      reservationId: undefined,
      eventId: undefined,
      action: undefined,
      metrics: undefined,
      reason: undefined,
      requestId: undefined,
      traceId: undefined,
      changes: [{ before: { ...after, reserved: 0n, lastEntry: 1 }, after }]
    })
    assert.strictEqual(
      text,
      "[1,\"acme\",2,5,\"RESERVE\",\"a\",null,null,null,null,null,null,null," +
        "[[[null,\"tenant:acme\",\"TOKENS\",\"1000\",\"0\",\"10\",\"0\",\"0\",false,\"ACTIVE\",2]," +
        "[null,null,null,null,null,\"0\",null,null,null,null,1]]]]"
    )
  })

  it("says so when a text is of a later version, and reads nothing that is no row", () => {
    assert.throws(() => RowJson.counter.decode("[2,\"acme\"]"), RangeError, /form 2.*later one/)
    assert.throws(() => RowJson.counter.decode(""), SyntaxError)
    assert.throws(() => RowJson.counter.decode("null"), TypeError)
  })
})
