import { assert, describe, it } from "@effect/vitest"
import { Caps } from "effect-cycles"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"

const Tool = Schema.Literals(["search", "shell", "mail"])

const caps: Arbitrary.Arbitrary<Caps.Caps> = Arbitrary.schema(Schema.Struct({
  maxTokens: Schema.optionalKey(Schema.Literals([0, 1, 500, 4_000])),
  maxStepsRemaining: Schema.optionalKey(Schema.Literals([0, 1, 10])),
  toolAllowlist: Schema.optionalKey(Schema.Array(Tool)),
  toolDenylist: Schema.optionalKey(Schema.Array(Tool)),
  cooldownMs: Schema.optionalKey(Schema.Literals([0, 20, 3_000]))
}))

describe("the strictest of two caps", () => {
  it.prop("allows what both allow, and asks for what either does", [caps, caps], ([a, b]) => {
    const both = Caps.strictest(a, b)
    for (const tool of ["search", "shell", "mail", "other"]) {
      assert.strictEqual(
        Caps.isToolAllowed(both, tool),
        Caps.isToolAllowed(a, tool) && Caps.isToolAllowed(b, tool),
        `${tool} by ${JSON.stringify(both)}`
      )
    }
    for (const wanted of [0, 100, 10_000]) {
      assert.strictEqual(
        Caps.clampTokens(both, wanted),
        Math.min(Caps.clampTokens(a, wanted), Caps.clampTokens(b, wanted))
      )
    }
    assert.strictEqual(Caps.isLastStep(both), Caps.isLastStep(a) || Caps.isLastStep(b))
    assert.strictEqual(both.cooldownMs ?? 0, Math.max(a.cooldownMs ?? 0, b.cooldownMs ?? 0))
  }, { arbitrary: { runs: 2_000 } })

  it.prop("does not depend on how three are grouped", [caps, caps, caps], ([a, b, c]) => {
    const one = Caps.strictest(Caps.strictest(a, b), c)
    const other = Caps.strictest(a, Caps.strictest(b, c))
    for (const tool of ["search", "shell", "mail", "other"]) {
      assert.strictEqual(Caps.isToolAllowed(one, tool), Caps.isToolAllowed(other, tool))
    }
    assert.deepStrictEqual(
      [one.maxTokens, one.maxStepsRemaining, one.cooldownMs],
      [other.maxTokens, other.maxStepsRemaining, other.cooldownMs]
    )
  }, { arbitrary: { runs: 500 } })

  it("leaves no tool where no tool is allowed by both", () => {
    const caps = Caps.strictest({ toolAllowlist: ["search"] }, { toolAllowlist: ["mail"] })
    assert.isFalse(Caps.isToolAllowed(caps, "search"))
    assert.isFalse(Caps.isToolAllowed(caps, "mail"))
    assert.isFalse(Caps.isToolAllowed(caps, "anything"))
  })
})
