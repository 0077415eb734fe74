import { BudgetedEmbedding, Price, PriceBook } from "@effect-cycles/ai"
import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Amount, Budget, Ledger } from "effect-cycles"
import { AiError, EmbeddingModel, Model } from "effect/ai"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { balance } from "./support.ts"

const prices = PriceBook.layer({ prices: [Price.make({ provider: "openai", model: "small", input: 1 })] })

interface Provider {
  readonly asked: Array<ReadonlyArray<string>>
  answer: (inputs: ReadonlyArray<string>) => Effect.Effect<
    { readonly results: Array<Array<number>>; readonly usage: { readonly inputTokens: number | undefined } },
    AiError.AiError
  >
}

const makeProvider = (): Provider => ({
  asked: [],
  answer: (inputs) => Effect.succeed({ results: inputs.map(() => [1, 2]), usage: { inputTokens: 7 } })
})

const setting = (provider: Provider, allocated = Amount.usd(1)) =>
  BudgetedEmbedding.layer().pipe(
    Layer.provide(Model.make(
      "openai",
      "small",
      Layer.effect(
        EmbeddingModel.EmbeddingModel,
        EmbeddingModel.make({
          embedMany: ({ inputs }) => {
            provider.asked.push(inputs)
            return provider.answer(inputs)
          }
        })
      )
    )),
    Layer.provide(prices),
    Layer.provideMerge(Budget.layer()),
    Layer.provideMerge(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated }] }))
  )

describe("BudgetedEmbedding", () => {
  NoLeaks.effect("is charged by its report", () => {
    const provider = makeProvider()
    return Effect.gen(function*() {
      const { embeddings } = yield* BudgetedEmbedding.embedMany(["one", "two"])
      assert.strictEqual(embeddings.length, 2)
      assert.deepStrictEqual(yield* balance(), { spent: 700n, reserved: 0n, remaining: 100_000_000n - 700n })
    }).pipe(Effect.provide(setting(provider)))
  })

  NoLeaks.effect("is one request and one reservation for calls that come together", () => {
    const provider = makeProvider()
    return Effect.gen(function*() {
      yield* Effect.all([BudgetedEmbedding.embed("one"), BudgetedEmbedding.embed("two")], { concurrency: 2 })
      assert.deepStrictEqual(provider.asked, [["one", "two"]])
      assert.isTrue((yield* balance()).spent! > 0n)
    }).pipe(Effect.provide(setting(provider)))
  })

  NoLeaks.effect("is denied before anything is sent, typed or as an AiError", () => {
    const provider = makeProvider()
    return Effect.gen(function*() {
      const typed = yield* Effect.flip(BudgetedEmbedding.embedMany(["one"]))
      assert.strictEqual(typed._tag, "BudgetExceeded")
      const single = yield* Effect.flip(BudgetedEmbedding.embed("one"))
      assert.strictEqual(single._tag, "BudgetExceeded")
      const plain = yield* Effect.flip(
        Effect.flatMap(EmbeddingModel.EmbeddingModel, (model) => model.embedMany(["one"]))
      )
      assert.strictEqual(plain.reason._tag, "QuotaExhaustedError")
      assert.strictEqual(provider.asked.length, 0)
    }).pipe(Effect.provide(setting(provider, Amount.microcents(10))))
  })

  NoLeaks.effect("costs the most it can without a report and when it fails, and nothing where it was refused", () => {
    const provider = makeProvider()
    const most = 100n * BigInt(3 + 8)
    return Effect.gen(function*() {
      const embed = Effect.exit(BudgetedEmbedding.embedMany(["one"]))
      const fail = (reason: AiError.AiErrorReason) => () =>
        Effect.fail(AiError.make({ module: "Test", method: "embedMany", reason }))
      provider.answer = (inputs) =>
        Effect.succeed({ results: inputs.map(() => [1]), usage: { inputTokens: undefined } })
      yield* embed
      assert.strictEqual((yield* balance()).spent, most)
      provider.answer = fail(new AiError.InternalProviderError({ description: "gone" }))
      yield* embed
      assert.strictEqual((yield* balance()).spent, most * 2n)
      provider.answer = fail(new AiError.RateLimitError({}))
      yield* embed
      assert.deepStrictEqual(yield* balance(), {
        spent: most * 2n,
        reserved: 0n,
        remaining: 100_000_000n - most * 2n
      })
    }).pipe(Effect.provide(setting(provider)))
  })
})
