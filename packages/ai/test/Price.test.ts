import { Cost, Price, PriceBook, TokenUsage } from "@effect-cycles/ai"
import { assert, describe, it } from "@effect/vitest"
import * as Prices from "@pydantic/genai-prices"
import { Amount } from "effect-cycles"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

const providers =
  ("anthropic arcee avian aws azure baseten cerebras cloudflare cohere cursor deepseek doubleword fireworks github-copilot google " +
    "groq huggingface_cerebras huggingface_fireworks-ai huggingface_groq huggingface_hyperbolic huggingface_nebius " +
    "huggingface_novita huggingface_nscale huggingface_ovhcloud huggingface_publicai huggingface_sambanova huggingface_together " +
    "minimax mistral modal moonshotai novita openai openrouter ovhcloud perplexity quicksilverpro together typesafe voyageai x-ai " +
    "zai zhipuai").split(" ")

const names: ReadonlyArray<{ readonly provider: string; readonly model: string }> = providers.flatMap((provider) =>
  (Prices.findProvider({ providerId: provider })?.models ?? []).map((model) => ({ provider, model: model.id }))
)

const now = Date.parse("2026-06-01T12:00:00Z")

const upTo = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
const share = upTo(1_000)

const usages = Arbitrary.map(
  Arbitrary.schema(Schema.Struct({
    input: Schema.Union([upTo(400_000), Schema.Literals([0, 1, 128_000, 200_000, 200_001, 272_001])]),
    cached: share,
    written: share,
    long: share,
    output: upTo(100_000),
    thought: share
  })),
  ({ cached, input, long, output, thought, written }) => {
    const of = (whole: number, part: number) => Math.floor(whole * part / 1_000)
    const cacheRead = of(input, cached)
    const cacheWrite = of(input - cacheRead, written)
    return TokenUsage.make({
      input,
      cacheRead,
      cacheWrite,
      cacheWriteLong: of(cacheWrite, long),
      output,
      reasoning: of(output, thought)
    })
  }
)

/** All models of the price data that are paid by the token, with their prices. */
const priced = Effect.gen(function*() {
  yield* TestClock.setTime(now)
  const book = PriceBook.make()
  const found = yield* Effect.forEach(names, (name) =>
    Effect.match(book.price(name, { output: false }), {
      onFailure: () => [],
      onSuccess: (price) => [{ name, price }]
    }))
  return found.flat()
})

describe("Price", () => {
  it.effect.prop("bounds every usage within the maxima, for all models of the price data", {
    usage: usages,
    more: Arbitrary.schema(Schema.Struct({ input: upTo(1_000), output: upTo(1_000) })),
    media: Arbitrary.schema(Schema.Struct({ input: Schema.Boolean, output: Schema.Boolean }))
  }, ({ media, more, usage }) =>
    Effect.gen(function*() {
      const models = yield* priced
      assert.isAbove(models.length, 1_400)
      const maxima = { input: usage.input + more.input, output: usage.output + more.output }
      for (const { name, price } of models) {
        const most = Cost.bound(price, maxima, media).amount.amount
        assert.isTrue(most >= Cost.of(price, usage, media).amount.amount, `${name.provider}:${name.model}`)
      }
    }), { arbitrary: { runs: 20 } })

  it.effect.prop(
    "agrees with the data set's own calculator, to the microcent, rounded up",
    [usages],
    ([usage]) =>
      Effect.gen(function*() {
        for (const { name, price } of yield* priced) {
          const theirs = Prices.calcPrice(
            {
              input_tokens: usage.input,
              cache_read_tokens: usage.cacheRead,
              cache_write_tokens: usage.cacheWrite,
              cache_write_1h_tokens: usage.cacheWriteLong,
              output_tokens: usage.output,
              output_reasoning_tokens: usage.reasoning
            },
            name.model,
            { providerId: name.provider, timestamp: new Date(now) }
          )
          assert.isNotNull(theirs)
          const ours = Number(Cost.of(price, usage).amount.amount)
          const exact = theirs!.total_price * 1e8
          assert.isTrue(
            ours >= exact - 1e-3 && ours < exact + 1 + 1e-3,
            `${name.provider}:${name.model} ${JSON.stringify(usage)}: ${ours}, and theirs is ${exact}`
          )
        }
      }),
    { arbitrary: { runs: 10 } }
  )

  it("rounds up once, and never below", () => {
    const price = Price.make({ provider: "acme", model: "tiny", input: "0.0000001", output: "0.0000001" })
    assert.strictEqual(Cost.of(price, TokenUsage.make({ input: 1, output: 1 })).amount.amount, 1n)
    assert.strictEqual(Cost.of(price, TokenUsage.make({})).amount.amount, 0n)
    assert.strictEqual(Cost.of(price, TokenUsage.make({ input: 100_000, output: 1 })).amount.amount, 2n)
  })

  it("pays all tokens of a long call at the tier's rate", () => {
    const price = Price.make({
      provider: "acme",
      model: "tiered",
      input: { base: 3, tiers: [{ above: 200_000, price: 6 }] },
      output: { base: 15, tiers: [{ above: 200_000, price: 22.5 }] }
    })
    const at = (input: number) => Amount.format(Cost.of(price, TokenUsage.make({ input, output: 1_000 })).amount)
    assert.strictEqual(at(200_000), "$0.615")
    assert.strictEqual(at(200_001), "$1.222506")
    assert.strictEqual(Amount.format(Cost.bound(price, { input: 200_000, output: 1_000 }).amount), "$0.615")
  })

  it("scales for a batch, and refuses what is no price", () => {
    const price = Price.make({ provider: "acme", model: "small", input: 1, output: 2, request: "0.01" })
    const half = Price.scale(price, "0.5")
    assert.strictEqual(Amount.format(Cost.of(half, TokenUsage.make({ input: 1_000, output: 0 })).amount), "$0.0055")
    assert.throws(() => Price.scale(price, -1), RangeError)
    for (const input of [-1, NaN, Infinity, "", "free"]) {
      assert.throws(() => Price.make({ provider: "acme", model: "small", input }), RangeError)
    }
  })
})
