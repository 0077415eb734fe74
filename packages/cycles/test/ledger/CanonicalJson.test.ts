import { assert, describe, it } from "@effect/vitest"
import * as CanonicalJson from "effect-cycles/ledger/CanonicalJson"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"

describe("the digest of a payload", () => {
  const fastest = CanonicalJson.fastest()

  it("is taken by the runtime's own hash where it has one", () => {
    assert.notStrictEqual(fastest, CanonicalJson.portable)
  })

  it.prop(
    "is the SHA-256 of the canonical text, whichever hash takes it",
    {
      units: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff }))),
      times: Schema.Literals([1, 500])
    },
    ({ times, units }) => {
      const text = String.fromCharCode(...units).repeat(times)
      const expected = createHash("sha256").update(text).digest("hex")
      assert.strictEqual(fastest(text), expected)
      assert.strictEqual(CanonicalJson.portable(text), expected)
      const payload = { b: [text, 1n], a: text }
      const canonical = createHash("sha256").update(CanonicalJson.stringify(payload)).digest("hex")
      assert.strictEqual(CanonicalJson.digest(payload), canonical)
    }
  )

  it("is that of the portable hash where the runtime's own is wrong or only there in name", () => {
    const { getBuiltinModule } = process
    try {
      for (
        const hash of [() => "no", undefined, () => {
          throw new Error("not implemented")
        }]
      ) {
        process.getBuiltinModule = (() => ({ hash })) as never
        assert.strictEqual(CanonicalJson.fastest(), CanonicalJson.portable)
      }
    } finally {
      process.getBuiltinModule = getBuiltinModule
    }
  })

  it("is the same of a number and a bigint of one value", () => {
    for (const value of [0, -0, -7, 2 ** 53 - 1, 2 ** 53, -(2 ** 63), 1e21, 1e300]) {
      assert.strictEqual(CanonicalJson.stringify(value), BigInt(value).toString())
    }
    assert.strictEqual(CanonicalJson.stringify(0.5), "0.5")
  })
})
