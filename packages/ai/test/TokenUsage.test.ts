import { TokenUsage } from "@effect-cycles/ai"
import { assert, describe, it } from "@effect/vitest"

const maxima = { input: 2_000, output: 500 }

type Counts = { readonly [name: string]: number | undefined }

const read = (inputTokens: Counts, outputTokens: Counts) =>
  TokenUsage.fromResponse({
    inputTokens: { uncached: undefined, total: undefined, cacheRead: undefined, cacheWrite: undefined, ...inputTokens },
    outputTokens: { total: undefined, text: undefined, reasoning: undefined, ...outputTokens }
  }, maxima)

describe("TokenUsage", () => {
  it("believes a sound report", () => {
    const { flaws, usage } = read(
      { total: 1_000, uncached: 500, cacheRead: 400, cacheWrite: 100 },
      { total: 90, text: 60, reasoning: 30 }
    )
    assert.deepStrictEqual(flaws, [])
    assert.deepStrictEqual(usage, {
      input: 1_000,
      cacheRead: 400,
      cacheWrite: 100,
      cacheWriteLong: 0,
      output: 90,
      reasoning: 30
    })
  })

  it("adds up the parts where there is no total", () => {
    const { flaws, usage } = read({ uncached: 500, cacheRead: 400 }, { text: 60, reasoning: 30 })
    assert.deepStrictEqual(flaws, [])
    assert.deepStrictEqual([usage.input, usage.output], [900, 90])
  })

  it("takes the most there can be for what is missing or impossible", () => {
    const cases: ReadonlyArray<readonly [Counts, Counts, input: number, output: number, flaws: number]> = [
      [{}, {}, 2_000, 500, 2],
      [{ total: -1 }, { total: 10 }, 2_000, 10, 1],
      [{ total: 10 }, { total: Number.NaN }, 10, 500, 1],
      [{ total: 10, cacheRead: -5 }, { total: 10 }, 2_000, 10, 1],
      [{ total: 1.5 }, { total: 10 }, 2_000, 10, 1],
      [{ total: 0 }, { total: 0 }, 2_000, 0, 1],
      [{ total: 9_000, cacheRead: -5 }, { total: 10 }, 9_000, 10, 1],
      [{ total: Infinity }, { total: 2 ** 60 }, 2_000, 500, 2]
    ]
    for (const [input, output, expectedInput, expectedOutput, flaws] of cases) {
      const read_ = read(input, output)
      assert.deepStrictEqual(
        [read_.usage.input, read_.usage.output, read_.flaws.length],
        [expectedInput, expectedOutput, flaws]
      )
      assert.doesNotThrow(() => TokenUsage.make(read_.usage))
    }
  })

  it("raises a total that is less than its parts, and believes one above the maximum", () => {
    const less = read({ total: 100, cacheRead: 400 }, { total: 10, reasoning: 30 })
    assert.deepStrictEqual([less.usage.input, less.usage.output], [400, 30])
    assert.deepStrictEqual(less.flaws, ["inputTokens is less than its parts", "outputTokens is less than its parts"])
    const more = read({ total: 3_000 }, { total: 600 })
    assert.deepStrictEqual([more.usage.input, more.usage.output], [3_000, 600])
    assert.deepStrictEqual(more.flaws, [
      "inputTokens is above the 2000 that were declared",
      "outputTokens is above the 500 that were declared"
    ])
  })

  it("is not made of what is impossible", () => {
    for (const usage of [{ input: -1 }, { output: 0.5 }, { cacheRead: 1 }, { reasoning: 1 }, { input: Number.NaN }]) {
      assert.throws(() => TokenUsage.make(usage), RangeError)
    }
    assert.throws(() => TokenUsage.make({ input: 5, cacheWrite: 1, cacheWriteLong: 2 }), RangeError)
  })
})
