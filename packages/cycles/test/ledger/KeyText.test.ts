import { assert, describe, it } from "@effect/vitest"
import { KeyText } from "effect-cycles"
import * as Schema from "effect/Schema"

const Units = Schema.Array(Schema.Union([
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff })),
  Schema.Literals([0, 1, 2, 0x30, 0x31, 0x7e, 0x7f, 0x80, 0xd800, 0xdc00, 0xe000, 0xffff])
]))

const order = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

describe("KeyText", () => {
  it.prop("is ASCII without zeros, and sorts as its key does", [Units, Units], ([a, b]) => {
    const [one, other] = [String.fromCharCode(...a), String.fromCharCode(...b)]
    assert.strictEqual(KeyText.decode(KeyText.encode(one)), one)
    for (const unit of KeyText.encode(one)) assert.isTrue(unit > "\u0000" && unit < "\u0080")
    assert.strictEqual(order(KeyText.encode(one), KeyText.encode(other)), order(one, other))
    assert.strictEqual(order(KeyText.encode(`x${one}`), KeyText.encode(`x${one}${other}`)), other === "" ? 0 : -1)
  }, { arbitrary: { runs: 2_000 } })

  it("is the key itself where there is nothing odd about it", () => {
    const key = "acme/commit/3f0c2c9e ~!\"\\"
    assert.strictEqual(KeyText.encode(key), key)
    assert.strictEqual(KeyText.encodeAll([key, "é"]), "[\"acme/commit/3f0c2c9e ~!\\\"\\\\\",\"\u007f00e9\"]")
  })
})
