import { Cost, Price, PriceBook } from "@effect-cycles/ai"
import { assert, describe, it } from "@effect/vitest"
import { Amount } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"

const perMillion = (price: Price.Price) =>
  Amount.format(Cost.bound(price, { input: 1_000_000, output: 1_000_000 }).amount)

describe("PriceBook", () => {
  it("says which version of the data it has", () => {
    const entry = createRequire(import.meta.url).resolve("@pydantic/genai-prices")
    const { version } = JSON.parse(readFileSync(new URL("../package.json", `file://${entry}`), "utf8"))
    assert.strictEqual(PriceBook.VERSION, `genai-prices ${version}`)
  })

  it.effect("knows a model with and without its provider", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.parse("2026-06-01T00:00:00Z"))
      const book = PriceBook.make()
      const named = yield* book.price({ provider: "openai", model: "gpt-4o" })
      const guessed = yield* book.price({ model: "gpt-4o-2024-08-06" })
      assert.deepStrictEqual([named.provider, named.model, named.source], ["openai", "gpt-4o", PriceBook.VERSION])
      assert.deepStrictEqual(named.rates, guessed.rates)
    }))

  it.effect("follows a price that changes on a day, and bounds by both the day before", () =>
    Effect.gen(function*() {
      const book = PriceBook.make()
      const at = (time: string) =>
        Effect.andThen(TestClock.setTime(Date.parse(time)), book.price({ provider: "openai", model: "o3" }))
      const before = yield* at("2025-06-08T00:00:00Z")
      const eve = yield* at("2025-06-09T12:00:00Z")
      const after = yield* at("2025-06-10T00:00:00Z")
      assert.strictEqual(before.later.length, 0)
      assert.strictEqual(eve.later.length, 1)
      assert.strictEqual(perMillion(eve), perMillion(before))
      assert.strictEqual(perMillion(after), "$10.00")
    }))

  it.effect("refuses a model nobody knows, and one that is not paid by the token", () =>
    Effect.gen(function*() {
      const book = PriceBook.make()
      const unknown = yield* Effect.flip(book.price({ provider: "openai", model: "no-such-model" }))
      assert.strictEqual(unknown._tag, "UnpricedModel")
      assert.include(unknown.message, "openai:no-such-model")
      assert.include(unknown.message, "PriceBook.layer({ prices:")
      const speech = yield* Effect.flip(book.price({ provider: "groq", model: "whisper-large-v3" }))
      assert.include(speech.message, "no price of tokens")
      const embedding = { provider: "openai", model: "text-embedding-3-small" }
      const silent = yield* Effect.flip(book.price(embedding))
      assert.include(silent.message, "no price of output")
      assert.strictEqual((yield* book.price(embedding, { output: false })).model, "text-embedding-3-small")
    }))

  it.effect("takes the dearest of the family instead, where asked to", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.parse("2026-06-01T00:00:00Z"))
      const book = PriceBook.make({ onUnpriced: "family" })
      const price = yield* book.price({ provider: "anthropic", model: "claude-unheard-of" })
      const known = yield* book.price({ provider: "anthropic", model: "claude-sonnet-4-5" })
      for (const input of [1_000, 500_000]) {
        const maxima = { input, output: 1_000 }
        assert.isTrue(Cost.bound(price, maxima).amount.amount >= Cost.bound(known, maxima).amount.amount)
      }
      assert.match(price.source, /the dearest of \d+ models$/)
      assert.strictEqual((yield* Effect.flip(book.price({ model: "nobody-knows-whose" })))._tag, "UnpricedModel")
    }))

  it.effect("counts it as free where asked to, and says so", () => {
    const said: Array<unknown> = []
    const logger = Logger.make(({ message }) => said.push(message))
    return Effect.gen(function*() {
      const price = yield* PriceBook.make({ onUnpriced: "count" }).price({ provider: "acme", model: "x" })
      assert.strictEqual(Cost.bound(price, { input: 1_000, output: 1_000 }).amount.amount, 0n)
      assert.strictEqual(price.source, "unpriced")
      assert.include(String(said), "acme:x")
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  it.effect("goes by prices of one's own first, one for all models of a provider last", () =>
    Effect.gen(function*() {
      const book = PriceBook.make({
        prices: [
          Price.make({ provider: "openai", model: "gpt-4o", input: 1, output: 1 }),
          Price.make({ provider: "acme", model: "*", input: 3, output: 4 }),
          Price.make({ provider: "acme", model: "small", input: 1, output: 2 })
        ]
      })
      assert.strictEqual(perMillion(yield* book.price({ provider: "openai", model: "gpt-4o" })), "$2.00")
      assert.strictEqual(perMillion(yield* book.price({ model: "gpt-4o" })), "$2.00")
      assert.strictEqual(perMillion(yield* book.price({ provider: "acme", model: "small" })), "$3.00")
      const other = yield* book.price({ provider: "acme", model: "other" })
      assert.strictEqual(perMillion(other), "$7.00")
      assert.strictEqual(other.model, "other")
    }))

  it.effect("pays a batch by the share it was told", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.parse("2026-06-01T00:00:00Z"))
      const book = PriceBook.make({ batch: { openai: "0.5" } })
      const name = { provider: "openai", model: "gpt-4o" }
      assert.strictEqual(perMillion(yield* book.price(name, { batch: true })), "$6.25")
      assert.strictEqual(perMillion(yield* book.price(name)), "$12.50")
      const elsewhere = { provider: "anthropic", model: "claude-sonnet-4-5" }
      assert.strictEqual(
        perMillion(yield* book.price(elsewhere, { batch: true })),
        perMillion(yield* book.price(elsewhere))
      )
    }))
})
