import { RuntimeApi } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import { ReservationsQuery } from "effect-cycles/protocol/ReservationRecord"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Document } from "./specification/compare.ts"
import { factsOf } from "./specification/compare.ts"

const document = OpenApi.fromApi(RuntimeApi.RuntimeApi)

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
    const facts = factsOf(document as unknown as Document)
    assert.strictEqual([...facts.keys()].filter((place) => place.endsWith(": method and path")).length, 11)
    const amountOf = (name: string, keyword: string) =>
      facts.get(`getBalances: 200 body.balances[].${name}.amount: ${keyword}`)
    for (const name of ["spent", "remaining"]) {
      assert.strictEqual(amountOf(name, "type"), "integer")
      assert.strictEqual(amountOf(name, "format"), "int64")
    }
    assert.strictEqual(amountOf("spent", "minimum"), "0")
    assert.strictEqual(amountOf("remaining", "minimum"), undefined)
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
