import { assert, describe, it } from "@effect/vitest"
import { Action } from "effect-cycles/protocol/Action"
import { Amount, SignedAmount, Unit } from "effect-cycles/protocol/Amount"
import { Balance, BalancesPage, BalancesQuery, Limit } from "effect-cycles/protocol/Balance"
import { Caps } from "effect-cycles/protocol/Caps"
import { ErrorCode } from "effect-cycles/protocol/CyclesError"
import { DecideReply, DecideRequest } from "effect-cycles/protocol/Decide"
import { Decision, ReasonCode } from "effect-cycles/protocol/Decision"
import { ErrorResponse } from "effect-cycles/protocol/ErrorResponse"
import { EventReply, EventRequest } from "effect-cycles/protocol/Event"
import { EvidenceRef, ReservationEvidence } from "effect-cycles/protocol/Evidence"
import { ExtendReply, ExtendRequest } from "effect-cycles/protocol/Extend"
import { Cursor, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import { Metrics } from "effect-cycles/protocol/Metrics"
import { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import {
  ReservationRecord,
  ReservationsPage,
  ReservationsQuery,
  ReservationStatus
} from "effect-cycles/protocol/ReservationRecord"
import { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import { CommitReply, CommitRequest, ReleaseReply, ReleaseRequest } from "effect-cycles/protocol/Settle"
import { Subject } from "effect-cycles/protocol/Subject"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Process from "node:process"
import * as Yaml from "yaml"
import * as OpenApi from "./openapi.ts"

interface Pair {
  /** `schemas/…` and `parameters/…` of the components, or `queries/…`: all query parameters of an operation. */
  readonly spec: string
  readonly ours: Schema.ConstraintCodec<unknown, unknown>
  /** What the HTTP layer does to a value before our schema sees it. */
  readonly adapt?: (value: unknown) => unknown
}

const reservationsQueryNames: Readonly<Record<string, string>> = {
  idempotency_key: "idempotencyKey",
  from: "createdFromMs",
  to: "createdToMs",
  expires_from: "expiresFromMs",
  expires_to: "expiresToMs",
  finalized_from: "finalizedFromMs",
  finalized_to: "finalizedToMs",
  sort_by: "sortBy",
  sort_dir: "sortDir"
}

const ourNames = new Set(Object.values(reservationsQueryNames))

const includeTokens = ["metadata", "committed_metadata", "evidence"]

// Names are ours, instants are milliseconds; tokens of `include` nobody knows are ignored, as the specification says.
const reservationsQuery = (value: unknown): unknown =>
  typeof value !== "object" || value === null || Array.isArray(value)
    ? value
    : Object.fromEntries(
      Object.entries(value).map(([name, value]: [string, unknown]) => {
        const ours = reservationsQueryNames[name] ?? (ourNames.has(name) ? `unknown ${name}` : name)
        if (ours.endsWith("Ms")) return [ours, typeof value === "string" ? Date.parse(value) : NaN]
        return name === "include" && Array.isArray(value)
          ? [ours, value.filter((token) => typeof token !== "string" || includeTokens.includes(token))]
          : [ours, value]
      })
    )

const pairs: ReadonlyArray<Pair> = [
  { spec: "schemas/UnitEnum", ours: Unit },
  { spec: "schemas/Amount", ours: Amount },
  { spec: "schemas/SignedAmount", ours: SignedAmount },
  { spec: "schemas/Subject", ours: Subject },
  { spec: "schemas/Action", ours: Action },
  { spec: "schemas/Caps", ours: Caps },
  { spec: "schemas/IdempotencyKey", ours: IdempotencyKey },
  { spec: "schemas/DecisionEnum", ours: Decision },
  { spec: "schemas/DecisionReasonCode", ours: ReasonCode },
  { spec: "schemas/DecisionRequest", ours: DecideRequest },
  { spec: "schemas/DecisionResponse", ours: DecideReply },
  { spec: "schemas/CommitOveragePolicy", ours: OveragePolicy },
  { spec: "schemas/ReservationStatus", ours: ReservationStatus },
  { spec: "schemas/ReservationCreateRequest", ours: ReserveRequest },
  { spec: "schemas/ReservationCreateResponse", ours: ReserveReply },
  { spec: "schemas/Balance", ours: Balance },
  { spec: "schemas/BalanceResponse", ours: BalancesPage },
  { spec: "schemas/StandardMetrics", ours: Metrics },
  { spec: "schemas/CommitRequest", ours: CommitRequest },
  { spec: "schemas/CommitResponse", ours: CommitReply },
  { spec: "schemas/ReleaseRequest", ours: ReleaseRequest },
  { spec: "schemas/ReleaseResponse", ours: ReleaseReply },
  { spec: "schemas/ReservationDetail", ours: ReservationRecord },
  { spec: "schemas/ReservationSummary", ours: ReservationRecord },
  { spec: "schemas/ReservationListResponse", ours: ReservationsPage },
  { spec: "schemas/ReservationExtendRequest", ours: ExtendRequest },
  { spec: "schemas/ReservationExtendResponse", ours: ExtendReply },
  { spec: "schemas/EventCreateRequest", ours: EventRequest },
  { spec: "schemas/EventCreateResponse", ours: EventReply },
  { spec: "schemas/ErrorCode", ours: ErrorCode },
  { spec: "schemas/ErrorResponse", ours: ErrorResponse },
  { spec: "schemas/CyclesEvidenceRef", ours: EvidenceRef },
  { spec: "schemas/ReservationEvidence", ours: ReservationEvidence },
  { spec: "parameters/ReservationId", ours: ReservationId },
  { spec: "parameters/IdempotencyKeyHeader", ours: IdempotencyKey },
  { spec: "parameters/Limit", ours: Limit },
  { spec: "parameters/Cursor", ours: Cursor },
  { spec: "queries/listReservations", ours: ReservationsQuery, adapt: reservationsQuery },
  { spec: "queries/getBalances", ours: BalancesQuery }
]

const header = "a header, which the HTTP layer reads and writes"

/** What the specification names and `protocol` has no schema for. */
const apart: Readonly<Record<string, string>> = {
  "operations/getEvidence": "serves signed envelopes, which are not part of the runtime plane",
  "operations/getEvidenceJwks": "serves public keys, which are not part of the runtime plane",
  "parameters/EvidenceId": "of getEvidence only",
  "schemas/CyclesEvidenceEnvelope": "of getEvidence only",
  "schemas/CyclesEvidenceJwks": "of getEvidenceJwks only",
  "schemas/CyclesEvidenceJwk": "of getEvidenceJwks only",
  "schemas/SortDirection": "has no name of its own here; compared as sort_dir of queries/listReservations",
  "headers/X-Request-Id": header,
  "headers/X-Cycles-Trace-Id": header,
  "headers/X-RateLimit-Remaining": header,
  "headers/X-RateLimit-Reset": header,
  "headers/X-Cycles-Tenant": header,
  "headers/Cache-Control": header,
  "headers/Retry-After": header,
  "headers/Date": header
}

interface Deviation {
  readonly what: string
  readonly reason: string
  readonly at: ReadonlyArray<string>
}

/** Where our verdict is meant to be the opposite of the specification's. */
const deviations: ReadonlyArray<Deviation> = [
  {
    what: "an integer beyond 2^53",
    reason: "times and counts are plain numbers, exact to 2^53 − 1; one beyond is refused rather than rounded",
    at: [
      "Caps.max_tokens",
      "Caps.max_steps_remaining",
      "Caps.cooldown_ms",
      "DecisionResponse.retry_after_ms",
      "ReservationCreateResponse.expires_at_ms",
      "ReservationCreateResponse.remaining_ttl_ms",
      "ReservationCreateResponse.retry_after_ms",
      "StandardMetrics.tokens_input",
      "StandardMetrics.tokens_output",
      "StandardMetrics.latency_ms",
      "ReservationDetail.created_at_ms",
      "ReservationDetail.expires_at_ms",
      "ReservationDetail.finalized_at_ms",
      "ReservationSummary.created_at_ms",
      "ReservationSummary.expires_at_ms",
      "ReservationSummary.finalized_at_ms",
      "ReservationExtendResponse.expires_at_ms",
      "ReservationExtendResponse.remaining_ttl_ms",
      "EventCreateRequest.client_time_ms"
    ]
  },
  ...["an integer below zero", "an integer below −2^53"].map((what) => ({
    what,
    reason: "ReservationDetail leaves out the minimum of 0 that ReservationSummary states for the same times",
    at: [
      "ReservationDetail.created_at_ms",
      "ReservationDetail.expires_at_ms",
      "ReservationDetail.finalized_at_ms"
    ]
  })),
  ...["no characters", "many characters", "characters of two code units"].map((what) => ({
    what,
    reason: "answers do not bound an id that the parameter ReservationId, its only use, bounds to 1 to 128 characters",
    at: [
      "ReservationCreateResponse.reservation_id",
      "ReservationDetail.reservation_id",
      "ReservationSummary.reservation_id"
    ]
  })),
  {
    what: "a foreign member",
    reason: "a later version's state makes no list unreadable; as a filter, only the states known here are taken",
    at: [
      "ReservationDetail.status",
      "ReservationSummary.status",
      "ReservationListResponse.reservations[1].status"
    ]
  },
  {
    what: "a string that is not a uri",
    reason: "format is an annotation in JSON Schema 2020-12; a url nobody here follows need not be checked",
    at: ["CyclesEvidenceRef.cycles_evidence_url"]
  }
]

const directory = Process.env["CYCLES_SPEC_DIR"]

const name = "cycles-protocol-v0.yaml"

const strict = { onExcessProperty: "error" } as const

const show = (value: unknown): string => {
  const text = JSON.stringify(value, (_, part: unknown) => typeof part === "bigint" ? `${part}n` : part) ?? "undefined"
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}

/** The property names of an encoded object, or of all members of a union of them. */
const propertyNames = (ast: SchemaAST.AST): ReadonlyArray<string> =>
  ast._tag === "Objects"
    ? ast.propertySignatures.map((property) => String(property.name))
    : ast._tag === "Union"
    ? [...new Set(ast.types.flatMap(propertyNames))]
    : []

interface Report {
  readonly compared: number
  readonly disagreements: ReadonlyArray<string>
  /** The deviations met, as `where: what`. */
  readonly used: ReadonlySet<string>
}

interface Compared {
  readonly sample: OpenApi.Sample
  readonly report: Report
}

const deviates = new Set(deviations.flatMap(({ at, what }) => at.map((at) => `${at}: ${what}`)))

const compare = (pair: Pair, cases: ReadonlyArray<OpenApi.Case>): Report => {
  const decode = Schema.decodeUnknownResult(pair.ours, strict)
  const encode = Schema.encodeUnknownResult(pair.ours, strict)
  const disagreements: Array<string> = []
  const used = new Set<string>()
  for (const { accept, at, path, value, what } of cases) {
    // A name that several schemas refer to may deviate in one of them alone.
    const inPair = `${pair.spec.replace("schemas/", "")}${path}: ${what}`
    const place = deviates.has(inPair) ? inPair : `${at}: ${what}`
    const wire = pair.adapt === undefined ? value : pair.adapt(value)
    const decoded = decode(wire)
    const deviation = deviates.has(place)
    if (deviation) used.add(place)
    const expected = deviation ? !accept : accept
    if (Result.isSuccess(decoded) !== expected) {
      const verdict = `${deviation ? "is listed as a deviation and " : ""}must be ${expected ? "accepted" : "refused"}`
      const why = Result.isFailure(decoded) ? ` ${decoded.failure.message}` : ""
      disagreements.push(`${place} ${verdict} (${pair.spec}${path}: ${show(value)})${why}`)
    } else if (Result.isSuccess(decoded)) {
      const encoded = encode(decoded.success)
      try {
        assert.deepStrictEqual(Result.isSuccess(encoded) ? encoded.success : encoded.failure.message, wire)
      } catch {
        disagreements.push(`${place} does not come back as it was (${pair.spec}${path}: ${show(value)})`)
      }
    }
  }
  return { compared: cases.length, disagreements, used }
}

describe("The protocol's schemas and the specification", () => {
  it("are paired once each", () => {
    const names = pairs.map(({ spec }) => spec)
    assert.deepStrictEqual(names, [...new Set(names)])
    assert.deepStrictEqual(names.filter((name) => name in apart), [])
  })

  if (directory === undefined || directory === "") {
    it.live("are not compared without CYCLES_SPEC_DIR", () =>
      Effect.gen(function*() {
        yield* Console.log(`OpenApi.test.ts: 0 of ${pairs.length} schemas compared, CYCLES_SPEC_DIR is not set`)
        assert.isAbove(pairs.length, 0)
      }))
    return
  }

  const document = Yaml.parse(Fs.readFileSync(Path.join(directory, name), "utf8")) as OpenApi.Document
  const seenExamples = new Set<unknown>()
  const runtime = OpenApi.operations(document).filter(({ operationId }) => !(`operations/${operationId}` in apart))

  const schemaOf = (spec: string): OpenApi.SchemaObject => {
    const [section = "", name = ""] = spec.split("/")
    if (section === "queries") return OpenApi.query(document, name)
    const found = OpenApi.lookup(document, `#/components/${spec}`)
    return section === "parameters" ? (found as OpenApi.Parameter).schema : found as OpenApi.SchemaObject
  }

  const results = new Map<Pair, Compared>()
  const resultOf = (pair: Pair): Compared => {
    const known = results.get(pair)
    if (known !== undefined) return known
    const sample = OpenApi.sample(document, schemaOf(pair.spec), pair.spec.split("/")[1]!, seenExamples)
    const result = { sample, report: compare(pair, sample.cases) }
    results.set(pair, result)
    return result
  }

  for (const pair of pairs) {
    it(`agree on ${pair.spec}`, () => {
      const { report, sample } = resultOf(pair)
      assert.deepStrictEqual(new Set(sample.cases.map(({ accept }) => accept)), new Set([true, false]))
      assert.deepStrictEqual(report.disagreements.slice(0, 20), [])
      const named = Object.fromEntries(sample.properties.map((name) => [name, undefined]))
      assert.sameMembers(
        [...propertyNames(Schema.toEncoded(Schema.make(pair.ours.ast)).ast)],
        Object.keys((pair.adapt?.(named) ?? named) as object)
      )
    })
  }

  it("know the tokens the specification lets `include` have", () => {
    const operation = runtime.find(({ operationId }) => operationId === "listReservations")
    const include = operation?.parameters?.find(({ name }) => name === "include")
    const tokens = [...include?.description?.matchAll(/^ *- `(\w+)` —/gm) ?? []].map(([, token]) => token)
    assert.deepStrictEqual(tokens, includeTokens)
    const decode = Schema.decodeUnknownResult(ReservationsQuery, strict)
    assert.isTrue(Result.isSuccess(decode({ include: tokens })))
    assert.isTrue(Result.isFailure(decode({ include: ["foreign"] })))
  })

  it("cover every schema and parameter the specification names", () => {
    const known = new Set([...pairs.map(({ spec }) => spec), ...Object.keys(apart)])
    const named = ["schemas", "parameters", "headers"].flatMap((section) =>
      Object.keys(document.components[section] ?? {}).map((name) => `${section}/${name}`)
    )
    assert.deepStrictEqual(named.filter((name) => !known.has(name)), [])
    const operations = OpenApi.operations(document).map(({ operationId }) => `operations/${operationId}`)
    assert.deepStrictEqual(Object.keys(apart).filter((name) => ![...named, ...operations].includes(name)), [])
  })

  it("cover everything reachable from the runtime operations", () => {
    assert.isAbove(runtime.length, 0)
    const known = new Set([...pairs.map(({ spec }) => spec), ...Object.keys(apart)])
    const reachable = [...OpenApi.references(document, runtime)].map((ref) => ref.replace("#/components/", ""))
    // What answers of several operations share is walked through to the schema inside.
    assert.deepStrictEqual(reachable.filter((ref) => !ref.startsWith("responses/") && !known.has(ref)), [])
    const inline = runtime.filter(({ parameters = [] }) => parameters.some(({ $ref }) => $ref === undefined))
    assert.deepStrictEqual(
      inline.map(({ operationId }) => `queries/${operationId}`),
      pairs.map(({ spec }) => spec).filter((spec) => spec.startsWith("queries/"))
    )
    const bodies = OpenApi.bodies(document, runtime)
    assert.isAbove(bodies.length, 0)
    assert.deepStrictEqual(bodies.filter(({ $ref }) => $ref === undefined), [])
  })

  it("agree on every example of the specification", () => {
    for (const pair of pairs) resultOf(pair)
    const found = OpenApi.examples([document.components, document.paths])
    assert.isAbove(found.length, 0)
    assert.deepStrictEqual(found.filter((example) => !seenExamples.has(example)), [])
  })

  it("deviate nowhere else than listed", () => {
    const used = new Set(pairs.flatMap((pair) => [...resultOf(pair).report.used]))
    assert.deepStrictEqual([...deviates].filter((deviation) => !used.has(deviation)), [])
  })

  it.live("are compared in full", () =>
    Effect.gen(function*() {
      const values = pairs.reduce((sum, pair) => sum + resultOf(pair).report.compared, 0)
      yield* Console.log(
        `OpenApi.test.ts: ${results.size} of ${pairs.length} schemas compared by ${values} values, ` +
          `${deviates.size} deviations`
      )
      assert.strictEqual(results.size, pairs.length)
    }))
})
