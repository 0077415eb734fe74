import { assert, describe, it } from "@effect/vitest"
import { Amount } from "effect-cycles"

describe("Amount", () => {
  it("reads dollars exactly", () => {
    assert.strictEqual(Amount.usd(0.1).amount, 10_000_000n)
    assert.strictEqual(Amount.usd("92233720368.54775807").amount, Amount.MAX_INT64)
    assert.strictEqual(Amount.usd(1e-8).amount, 1n)
  })
  it("refuses what it would have to round or clamp", () => {
    for (const bad of [0.5, -1, NaN, Infinity, 2 ** 53, -1n, Amount.MAX_INT64 + 1n]) {
      assert.throws(() => Amount.tokens(bad), RangeError)
    }
    for (const bad of [0.000000001, -1, NaN, Infinity, "", "ten", "92233720368.54775808"]) {
      assert.throws(() => Amount.usd(bad), RangeError)
    }
    assert.strictEqual(Amount.tokens(2n ** 53n + 1n).amount, 9_007_199_254_740_993n)
  })
  it("formats money as dollars and everything else by its unit", () => {
    assert.strictEqual(Amount.format(Amount.usd(1)), "$1.00")
    assert.strictEqual(Amount.format(Amount.microcents(1)), "$0.00000001")
    assert.strictEqual(Amount.format({ unit: "USD_MICROCENTS", amount: -150_000_000n }), "-$1.50")
    assert.strictEqual(Amount.format(Amount.riskPoints(5)), "5 RISK_POINTS")
  })
})
