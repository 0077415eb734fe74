import { WireJson } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import { MAX_INT64, MIN_INT64 } from "effect-cycles/protocol/Amount"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const parse = (text: string, options?: WireJson.ParseOptions) => Result.getOrThrow(WireJson.parse(text, options))

const refusal = (text: string, options?: WireJson.ParseOptions) => {
  const parsed = WireJson.parse(text, options)
  return Result.isFailure(parsed) ? { field: parsed.failure.field, reason: parsed.failure.reason } : undefined
}

/** A bigint where a number cannot hold it. */
const narrowed = (n: bigint): number | bigint =>
  n >= BigInt(Number.MIN_SAFE_INTEGER) && n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n

/** Values as they are read: integers that a number may not hold exactly are no longer numbers. */
const widened = (value: unknown): unknown => {
  if (typeof value === "number") {
    return Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21
      ? BigInt(String(value))
      : value
  }
  if (Array.isArray(value)) return value.map(widened)
  if (typeof value !== "object" || value === null) return value
  const copy: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value)) {
    Object.defineProperty(copy, name, { value: widened(member), enumerable: true, writable: true, configurable: true })
  }
  return copy
}

const Int64 = Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: MIN_INT64, maximum: MAX_INT64 }))

describe("WireJson", () => {
  it("is exact at the edges", () => {
    for (
      const n of [
        2n ** 53n - 1n,
        2n ** 53n,
        2n ** 53n + 1n,
        MAX_INT64,
        MAX_INT64 - 1n,
        MIN_INT64,
        MIN_INT64 + 1n,
        -(2n ** 53n),
        -(2n ** 53n) - 1n,
        10n ** 30n
      ]
    ) {
      for (const strict of [true, false]) {
        assert.deepStrictEqual(parse(`{"amount":${n}}`, { strict }), { amount: narrowed(n) })
        assert.deepStrictEqual(parse(`[${n}, ${n} ]`, { strict }), [narrowed(n), narrowed(n)])
      }
      assert.strictEqual(WireJson.stringify({ amount: n }), `{"amount":${n}}`)
    }
  })

  it.prop("brings every int64 there and back", [Int64], ([n]) => {
    const text = WireJson.stringify({ unit: "TOKENS", amount: n, more: [n] })
    assert.strictEqual(text, `{"unit":"TOKENS","amount":${n},"more":[${n}]}`)
    assert.deepStrictEqual(parse(text), { unit: "TOKENS", amount: narrowed(n), more: [narrowed(n)] })
    assert.deepStrictEqual(parse(text, { strict: true }), parse(text))
  }, { arbitrary: { runs: 2_000 } })

  it.prop("agrees with JSON but for integers too large for a number", [Schema.Json], ([value]) => {
    const text = JSON.stringify(value)
    assert.strictEqual(WireJson.stringify(value), text)
    assert.deepStrictEqual(parse(text), widened(JSON.parse(text)))
    // A run of digits in a string sends the whole text the long way round, where it has to arrive the same.
    const long = JSON.stringify(
      { value, digits: "card 4111111111111111", "key 1234567890123456": [value, null, ""] },
      null,
      1
    )
    assert.deepStrictEqual(parse(long), widened(JSON.parse(long)))
  }, { arbitrary: { runs: 2_000 } })

  it.prop(
    "refuses the same texts as JSON",
    [Arbitrary.array(
      Arbitrary.schema(Schema.Literals([
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"a\"",
        "1",
        "-",
        "0",
        ".",
        "e",
        "+",
        "true",
        "null",
        " ",
        "\\",
        "\\u12",
        "9".repeat(16)
      ])),
      { maxLength: 12 }
    )],
    ([tokens]) => {
      const text = tokens.join("")
      let expected: unknown
      try {
        expected = JSON.parse(text)
      } catch {
        expected = undefined
      }
      const parsed = WireJson.parse(text)
      assert.strictEqual(Result.isSuccess(parsed), expected !== undefined)
      const strict = WireJson.parse(text, { strict: true })
      if (expected === undefined) assert.isTrue(Result.isFailure(strict))
    },
    { arbitrary: { runs: 5_000 } }
  )

  it("leaves digits in strings alone", () => {
    const text = `{"9007199254740993":"9007199254740993","note":"1e3, 1.0 and 12345678901234567890"}`
    assert.deepStrictEqual(parse(text, { strict: true }), JSON.parse(text))
    assert.strictEqual(WireJson.stringify(JSON.parse(text)), text)
  })

  it("keeps what JSON keeps: repeated members, members of odd names", () => {
    const text = `{"a":1,"a":12345678901234567890,"__proto__":{"x":12345678901234567890},"constructor":2}`
    const value = parse(text) as object
    assert.strictEqual(Object.getPrototypeOf(value), Object.prototype)
    assert.deepStrictEqual(Object.entries(value), [
      ["a", 12345678901234567890n],
      ["__proto__", { x: 12345678901234567890n }],
      ["constructor", 2]
    ])
  })

  it("takes only integers written as such, when strict", () => {
    for (const literal of ["1e3", "1.0", "1000.00", "1E3", "10e-1", "-1.0", "0.5", "9007199254740993.0", "1e400"]) {
      const refused = { field: "estimate.amount", reason: "is not written as an integer" }
      assert.deepInclude(refusal(`{"estimate": {"unit":"TOKENS","amount":${literal}}}`, { strict: true }), refused)
      assert.deepInclude(
        refusal(`{"estimate":{"unit":"TOKENS","amount": ${literal}},"x":12345678901234567890}`, { strict: true }),
        refused
      )
      assert.deepStrictEqual(parse(`{"amount":${literal}}`), { amount: Number(literal) })
    }
    assert.deepInclude(refusal("1.5", { strict: true }), { field: "body" })
    assert.deepInclude(refusal(`{"tags":["a",2.0]}`, { strict: true }), { field: "tags.1" })
  })

  it("takes any number in what is the sender's own", () => {
    for (const name of ["metadata", "committed_metadata", "custom", "details"]) {
      const text = `{"${name}":{"amount":1e3,"score":0.95,"deep":[{"n":1.0}],"big":9007199254740993}}`
      assert.deepStrictEqual(parse(text, { strict: true }), {
        [name]: { amount: 1000, score: 0.95, deep: [{ n: 1 }], big: 9007199254740993n }
      })
      assert.deepInclude(refusal(`{"${name}":{"n":1e400}}`, { strict: true }), {
        field: `${name}.n`,
        reason: "is too large a number"
      })
    }
  })

  it("is bounded in length, in depth and in digits", () => {
    assert.deepInclude(refusal(`"${"x".repeat(100)}"`, { maxLength: 100 }), { reason: "is longer than 100 characters" })
    const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`
    assert.isUndefined(refusal(nested(100)))
    assert.deepInclude(refusal(nested(101)), { reason: "is nested deeper than 100" })
    assert.deepInclude(refusal(nested(100_000)), { reason: "is nested deeper than 100" })
    assert.isUndefined(refusal(`["${"[".repeat(500)}\\"${"{".repeat(500)}"]`))
    assert.isUndefined(refusal("9".repeat(400)))
    assert.deepInclude(refusal("9".repeat(401)), { reason: "has an integer of more than 400 digits" })
  })

  it("says nothing of the text in its errors", () => {
    const parsed = WireJson.parse("{\"secret\": hunter2}")
    assert.isTrue(Result.isFailure(parsed))
    if (Result.isFailure(parsed)) assert.strictEqual(parsed.failure.message, "The JSON is not well-formed")
  })

  it("writes what JSON writes, and refuses what has no JSON form", () => {
    const date = new Date(0)
    for (
      const value of [{ a: undefined, b: 1 }, [undefined, NaN, -0], { date }, "\u2028\ud800", null, { toJSON: () => 5 }]
    ) {
      assert.strictEqual(WireJson.stringify(value), JSON.stringify(value))
      assert.strictEqual(WireJson.stringify([value, 2n ** 63n]), `[${JSON.stringify(value)},9223372036854775808]`)
    }
    assert.strictEqual(WireJson.stringify({ a: undefined, b: 5n }), `{"b":5}`)
    const circle: Record<string, unknown> = { n: 5n }
    circle["self"] = circle
    for (const value of [undefined, () => 1, Symbol("x"), circle, { circle: { ...circle, n: 1 } }]) {
      assert.throws(() => WireJson.stringify(value), TypeError)
    }
  })
})
