import { RuntimeApi } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import { ReservationsQuery } from "effect-cycles/protocol/ReservationRecord"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Process from "node:process"
import * as Yaml from "yaml"

// ---------------------------------------------------------------------------------------------------------------------
// the document and the specification
// ---------------------------------------------------------------------------------------------------------------------

interface SchemaObject {
  readonly $ref?: string
  readonly type?: string | ReadonlyArray<string>
  readonly properties?: { readonly [name: string]: SchemaObject }
  readonly required?: ReadonlyArray<string>
  readonly additionalProperties?: unknown
  readonly items?: SchemaObject
}

interface Parameter {
  readonly $ref?: string
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly schema: SchemaObject
}

interface Operation {
  readonly operationId: string
  readonly parameters?: ReadonlyArray<Parameter>
  readonly requestBody?: {
    readonly required?: boolean
    readonly content: { readonly [type: string]: { readonly schema: SchemaObject } }
  }
  readonly responses: {
    readonly [status: string]: {
      readonly $ref?: string
      readonly content?: { readonly [type: string]: { readonly schema: SchemaObject } }
    }
  }
  readonly security?: ReadonlyArray<{ readonly [scheme: string]: unknown }>
}

interface Document {
  readonly paths: { readonly [path: string]: { readonly [method: string]: Operation } }
  readonly security?: Operation["security"]
  readonly components: { readonly [section: string]: { readonly [name: string]: unknown } }
}

const lookup = <A extends object>(document: Document, value: A): A => {
  if (!("$ref" in value) || typeof value.$ref !== "string") return value
  const [, , section = "", name = ""] = value.$ref.split("/")
  const found = document.components[section]?.[name]
  if (found === undefined) throw new Error(`${value.$ref} is not there`)
  return lookup(document, found as A)
}

const methods = ["get", "post", "put", "patch", "delete", "head", "options"]

const shapeOf = (document: Document, schema: SchemaObject | undefined): unknown => {
  if (schema === undefined) return undefined
  const found = lookup(document, schema)
  return {
    properties: Object.keys(found.properties ?? {}).sort(),
    required: [...found.required ?? []].sort()
  }
}

/** What is compared of an operation, as lines that name the operation. */
const facts = (document: Document): ReadonlyMap<string, unknown> => {
  const facts = new Map<string, unknown>()
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of methods) {
      const operation = item[method]
      if (operation === undefined) continue
      const { operationId } = operation
      facts.set(`${operationId}: method and path`, `${method} ${path}`)
      for (const reference of operation.parameters ?? []) {
        const parameter = lookup(document, reference)
        // Names of headers do not depend on case.
        const name = parameter.in === "header" ? parameter.name.toLowerCase() : parameter.name
        facts.set(`${operationId}: parameter ${parameter.in} ${name}`, {
          required: parameter.required ?? false,
          type: lookup(document, parameter.schema).type
        })
      }
      const body = operation.requestBody
      if (body !== undefined) {
        const schema = body.content["application/json"]?.schema
        facts.set(`${operationId}: body`, { required: body.required ?? false, types: Object.keys(body.content) })
        facts.set(`${operationId}: body shape`, shapeOf(document, schema))
        facts.set(
          `${operationId}: body takes unknown members`,
          lookup(document, schema ?? {}).additionalProperties ?? true
        )
      }
      for (const [status, reference] of Object.entries(operation.responses)) {
        const response = lookup(document, reference)
        facts.set(`${operationId}: status ${status}`, shapeOf(document, response.content?.["application/json"]?.schema))
      }
      const schemes = (operation.security ?? document.security ?? []).flatMap((requirement) => Object.keys(requirement))
      for (const scheme of schemes) facts.set(`${operationId}: security ${scheme}`, true)
    }
  }
  return facts
}

const keyed = [
  "decide",
  "createReservation",
  "listReservations",
  "getReservation",
  "commitReservation",
  "releaseReservation",
  "extendReservation",
  "getBalances",
  "createEvent"
]

interface Difference {
  readonly reason: string
  readonly at: ReadonlyArray<string>
}

/** Where the contract is meant to differ from the specification. */
const differences: ReadonlyArray<Difference> = [
  {
    reason: "section ERROR SEMANTICS reserves 429 for throttling on any operation; only some declare it",
    at: keyed.filter((name) => name !== "extendReservation").map((name) => `${name}: status 429`)
  },
  {
    reason: "an authority that cannot be reached, or is full, is no fault of this server: 503 rather than 500",
    at: keyed.map((name) => `${name}: status 503`)
  }
]

const document = OpenApi.fromApi(RuntimeApi.RuntimeApi) as unknown as Document

const directory = Process.env["CYCLES_SPEC_DIR"]

describe("RuntimeApi and the specification", () => {
  it("have eleven operations", () => {
    const operations = [...facts(document).keys()].filter((name) => name.endsWith(": method and path"))
    assert.strictEqual(operations.length, 11)
  })

  if (directory === undefined || directory === "") {
    it.live("are not compared without CYCLES_SPEC_DIR", () =>
      Effect.gen(function*() {
        yield* Console.log("RuntimeApi.test.ts: 0 of 11 operations compared, CYCLES_SPEC_DIR is not set")
        assert.isAbove(facts(document).size, 0)
      }))
    return
  }

  it("agree on every operation", () => {
    const specification = Yaml.parse(
      Fs.readFileSync(Path.join(directory, "cycles-protocol-v0.yaml"), "utf8")
    ) as Document
    const theirs = facts(specification)
    const ours = facts(document)
    assert.isAbove(theirs.size, 150)
    const listed = new Set(differences.flatMap(({ at }) => at))
    const met = new Set<string>()
    const found: Array<string> = []
    for (const name of new Set([...theirs.keys(), ...ours.keys()])) {
      try {
        assert.deepStrictEqual(ours.get(name), theirs.get(name))
      } catch {
        if (listed.has(name)) met.add(name)
        else found.push(`${name}: ${JSON.stringify(ours.get(name))} instead of ${JSON.stringify(theirs.get(name))}`)
      }
    }
    assert.deepStrictEqual(found, [])
    assert.deepStrictEqual([...listed].filter((name) => !met.has(name)), [])
  })
})

describe("The document", () => {
  it("shows amounts as int64 integers, and names components as the specification does", () => {
    const text = JSON.stringify(document)
    assert.notInclude(text, "\"pattern\":\"^-?\\\\d+$\"")
    assert.notInclude(text, "Encoded")
    assert.includeMembers(Object.keys(document.components["schemas"] ?? {}), [
      "ReservationCreateRequest",
      "ErrorResponse",
      "BalanceResponse"
    ])
    const page = document.components["schemas"]?.["BalanceResponse"] as SchemaObject | undefined
    const balance = page?.properties?.["balances"]?.items
    const amountOf = (name: string) => JSON.stringify(balance?.properties?.[name])
    assert.include(amountOf("spent"), `"amount":{"type":"integer","format":"int64","minimum":0}`)
    assert.include(amountOf("remaining"), `"amount":{"type":"integer","format":"int64"}`)
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// query strings
// ---------------------------------------------------------------------------------------------------------------------

const decode = Schema.decodeUnknownResult(RuntimeApi.ReservationsParameters)
const encode = Schema.encodeUnknownResult(RuntimeApi.ReservationsParameters)
const read = (parameters: { readonly [name: string]: unknown }) => {
  const decoded = decode(parameters)
  return Result.isSuccess(decoded) ? decoded.success : "refused"
}

describe("Query strings", () => {
  it("bring every query there and back", () => {
    const query: ReservationsQuery = {
      idempotencyKey: "k&=+ü" as ReservationsQuery["idempotencyKey"] & string,
      status: "EXPIRED",
      tenant: "acme",
      workspace: "w",
      app: "a",
      workflow: "f",
      agent: "b",
      toolset: "t",
      createdFromMs: 0,
      createdToMs: 1_795_324_902_831,
      expiresFromMs: -62_167_219_200_001,
      expiresToMs: 8_640_000_000_000_000,
      finalizedFromMs: -8_640_000_000_000_000,
      finalizedToMs: 253_402_300_800_000,
      sortBy: "reserved",
      sortDir: "asc",
      include: ["metadata", "committed_metadata", "evidence"],
      limit: 200,
      cursor: "c.1" as ReservationsQuery["cursor"] & string
    }
    const encoded = Result.getOrThrow(encode(query))
    assert.deepInclude(encoded, {
      idempotency_key: "k&=+ü",
      from: "1970-01-01T00:00:00.000Z",
      to: "2026-11-22T05:21:42.831Z",
      sort_by: "reserved",
      include: "metadata,committed_metadata,evidence",
      limit: "200"
    })
    assert.deepStrictEqual(read(encoded), query)
    assert.sameMembers(Object.keys(query), Object.keys(ReservationsQuery.fields))
  })

  it("take a blank parameter for one that is not there", () => {
    for (const blank of ["", " "]) {
      assert.deepStrictEqual(
        read({
          from: blank,
          to: blank,
          expires_from: blank,
          finalized_to: blank,
          include: blank,
          limit: blank,
          tenant: blank
        }),
        {}
      )
    }
  })

  it("leave out what they do not know", () => {
    assert.deepStrictEqual(read({ foreign: "1", include: " metadata , ,unheard-of,evidence," }), {
      include: ["metadata", "evidence"]
    })
    assert.deepStrictEqual(read({ include: "unheard-of" }), { include: [] })
  })

  it("read instants with their offset, and no others", () => {
    const at = (text: string) => {
      const query = read({ from: text })
      return query === "refused" ? query : query.createdFromMs
    }
    assert.strictEqual(at("2026-07-01T02:00:00+02:00"), Date.UTC(2026, 6, 1))
    assert.strictEqual(at("2026-07-01T02:00:00 02:00"), Date.UTC(2026, 6, 1))
    assert.strictEqual(at("2026-07-01t00:00:00.5z"), Date.UTC(2026, 6, 1) + 500)
    assert.strictEqual(at("2026-07-01T00:00Z"), Date.UTC(2026, 6, 1))
    assert.strictEqual(at("2024-02-29T00:00:00Z"), Date.UTC(2024, 1, 29))
    for (
      const bad of [
        "2026-07-01T00:00:00",
        "2026-07-01",
        "1795324902831",
        "yesterday",
        "2026-02-30T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-07-01T25:00:00Z",
        "Tue, 01 Jul 2026 00:00:00 GMT"
      ]
    ) {
      assert.strictEqual(at(bad), "refused", bad)
    }
  })

  it("refuse what does not fit", () => {
    for (
      const bad of [
        { limit: "0" },
        { limit: "201" },
        { limit: "5.0" },
        { limit: "0x10" },
        { limit: "1e2" },
        { status: "active" },
        { sort_by: "colour" },
        { sort_dir: "DESC" },
        { idempotency_key: "x".repeat(257) },
        { status: ["ACTIVE", "EXPIRED"] }
      ]
    ) {
      assert.strictEqual(read(bad), "refused", JSON.stringify(bad))
    }
    const balances = Schema.decodeUnknownResult(RuntimeApi.BalancesParameters)
    assert.deepStrictEqual(Result.getOrThrow(balances({ include_children: "true", agent: "bot" })), {
      includeChildren: true,
      agent: "bot"
    })
    assert.isTrue(Result.isFailure(balances({ include_children: "yes" })))
  })
})
