import { assert, describe, it } from "@effect/vitest"
import * as ApiSecret from "effect-cycles/ledger/ApiSecret"
import * as Redacted from "effect/Redacted"

const pepper = Redacted.make("a pepper of more than thirty-two characters, é")
const other = Redacted.make("another pepper of thirty-two characters")

describe("ApiSecret", () => {
  it("signs as RFC 4231 does, by either way", () => {
    for (const sign of [ApiSecret.portable, ApiSecret.fastest()]) {
      assert.strictEqual(
        sign("Jefe", "what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
      )
    }
  })

  it("takes the runtime's own way, as long as it is right", () => {
    assert.notStrictEqual(ApiSecret.fastest(), ApiSecret.portable)
    const { getBuiltinModule } = process
    const wrong = { update: () => ({ digest: () => "0".repeat(64) }) }
    const broken = () => {
      throw new Error("no such algorithm")
    }
    try {
      for (const createHmac of [undefined, () => wrong, broken]) {
        // A stand-in for a runtime that has it in name only.
        process.getBuiltinModule = (() => ({ createHmac })) as never
        assert.strictEqual(ApiSecret.fastest(), ApiSecret.portable)
      }
    } finally {
      process.getBuiltinModule = getBuiltinModule
    }
  })

  it("is right under the pepper that signed it, and under no other", () => {
    const { hash, id, secret } = ApiSecret.make([pepper])
    assert.strictEqual(ApiSecret.idOf(secret), id)
    assert.isTrue(ApiSecret.isRight([pepper], secret, hash))
    assert.isTrue(ApiSecret.isRight([other, pepper], secret, hash))
    assert.isFalse(ApiSecret.isRight([other], secret, hash))
    assert.isFalse(ApiSecret.isRight([pepper], ApiSecret.make([pepper]).secret, hash))
    assert.isFalse(ApiSecret.isRight([pepper], secret, undefined))
  })
})
