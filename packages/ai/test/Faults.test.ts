import { BudgetedEmbedding, BudgetedModel, Cost, Estimate, Price, PriceBook, TokenUsage } from "@effect-cycles/ai"
import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, Ledger } from "effect-cycles"
import { EmbeddingModel, Model, OpenAiStructuredOutput, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Provider } from "./support.ts"
import { balance, finish, layerProvider, makeProvider, usageOf } from "./support.ts"

const prices = PriceBook.layer({
  prices: [
    Price.make({ provider: "openai", model: "gpt-4o", input: 1, mediaInput: 10, output: 2 }),
    Price.make({ provider: "openai", model: "small", input: 1 })
  ]
})

const ledger = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.usd(1) }]
})

const setting = (provider: Provider, options?: BudgetedModel.Options) =>
  BudgetedModel.layer({ maxOutputTokens: 1_000, ...options }).pipe(
    Layer.provide([layerProvider(provider), prices]),
    Layer.provideMerge(Budget.layer()),
    Layer.provideMerge(ledger)
  )

const ask = BudgetedModel.generateText({ prompt: "What is the capital of France?" })

const toolkit = Toolkit.make(
  Tool.make("search", { parameters: Schema.Struct({ query: Schema.String }), success: Schema.String })
)

const allotted = { action: Action.make("agent.run", "small"), estimate: Amount.microcents(250_000) }

describe("the budget around a call", () => {
  NoLeaks.effect("is that of an allotment, which a call cannot exceed", () => {
    const provider = makeProvider()
    provider.answer = Effect.succeed([finish(usageOf(10, 1_000))])
    return Effect.gen(function*() {
      const denied = yield* Effect.flip(Budget.allot(allotted, Effect.andThen(ask, ask)))
      assert.strictEqual(denied._tag, "BudgetExceeded")
      assert.strictEqual(provider.asked.length, 1)
      assert.deepStrictEqual(yield* balance(), { spent: 201_000n, reserved: 0n, remaining: 100_000_000n - 201_000n })
    }).pipe(Effect.provide(setting(provider)))
  })

  NoLeaks.effect("is that of an allotment for streams as well", () => {
    const provider = makeProvider()
    provider.stream = Stream.make(finish(usageOf(10, 1_000)))
    const drain = Stream.runDrain(BudgetedModel.streamText({ prompt: "Hello" }))
    return Effect.gen(function*() {
      const denied = yield* Effect.flip(Budget.allot(allotted, Effect.andThen(drain, drain)))
      assert.strictEqual(denied._tag, "BudgetExceeded")
      assert.strictEqual((yield* balance()).spent, 201_000n)
    }).pipe(Effect.provide(setting(provider)))
  })

  NoLeaks.effect("pays for its own texts only, where texts of others are embedded at the same time", () => {
    const asked: Array<ReadonlyArray<string>> = []
    const layer = BudgetedEmbedding.layer().pipe(
      Layer.provide(Model.make(
        "openai",
        "small",
        Layer.effect(
          EmbeddingModel.EmbeddingModel,
          EmbeddingModel.make({
            embedMany: ({ inputs }) => {
              asked.push(inputs)
              return Effect.succeed({ results: inputs.map(() => [1]), usage: { inputTokens: 7 } })
            }
          })
        )
      )),
      Layer.provide(prices),
      Layer.provideMerge(Budget.layer()),
      Layer.provideMerge(ledger)
    )
    const by = (agent: string, text: string) => BudgetedEmbedding.embed(text).pipe(Budget.within({ agent }))
    return Effect.gen(function*() {
      yield* Effect.all([by("a", "one"), by("b", "two"), by("a", "three")], { concurrency: 3 })
      assert.deepStrictEqual(asked, [["one", "three"], ["two"]])
      const reservations = yield* Effect.flatMap(
        Ledger.Ledger,
        (ledger) => ledger.as({ tenant: "acme" }).reservations({})
      )
      assert.deepStrictEqual(reservations.reservations.map(({ subject }) => subject.agent).sort(), ["a", "b"])
    }).pipe(Effect.provide(layer))
  })
})

describe("bounds", () => {
  it.effect("are not below what a provider is sent for a schema", () =>
    Effect.gen(function*() {
      const schema = Schema.Struct(Object.fromEntries(
        Array.from({ length: 200 }, (_, i) => [`a${i}`, Schema.optionalKey(Schema.String)])
      ))
      const sent = JSON.stringify(OpenAiStructuredOutput.toCodecOpenAI(schema).jsonSchema).length
      const request = { prompt: Prompt.make("Hello"), tools: [], schema }
      const bound = yield* Estimate.inputBound(request, { withTools: 0, perRequest: 0 })
      assert.isAtLeast(bound, sent)
    }))

  NoLeaks.effect("take files in the results of tools for what files cost", () => {
    const provider = makeProvider()
    provider.answer = Effect.succeed([finish(usageOf(1_000, 0))])
    const file = Prompt.makePart("file", { mediaType: "image/png", data: new Uint8Array([1]) })
    const prompt = Prompt.fromMessages([
      Prompt.makeMessage("tool", {
        content: [
          Prompt.makePart("tool-result", {
            id: "1",
            name: "look",
            isFailure: false,
            providerExecuted: false,
            result: {},
            modelOutput: [file]
          })
        ]
      })
    ])
    return Effect.gen(function*() {
      yield* BudgetedModel.generateText({ prompt })
      assert.strictEqual((yield* balance()).spent, 1_000n * 1_000n)
    }).pipe(Effect.provide(setting(provider, { allowances: { file: () => 2_000 } })))
  })

  it.effect("hold in the next hours, of every model whose price depends on the hour", () =>
    Effect.gen(function*() {
      const book = PriceBook.make()
      const most = { input: 1_000_000, output: 1_000_000 }
      for (const model of ["deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash", "deepseek-v4-pro"]) {
        for (const day of ["2025-01-01", "2025-06-01", "2026-09-01"]) {
          const costs: Array<readonly [bigint, bigint]> = []
          for (let half = 0; half < 48; half++) {
            yield* TestClock.setTime(Date.parse(`${day}T00:00:01Z`) + half * 30 * 60_000)
            const price = yield* book.price({ provider: "deepseek", model })
            costs.push([Cost.bound(price, most).amount.amount, Cost.of(price, TokenUsage.make(most)).amount.amount])
          }
          for (const [bound] of costs) {
            for (const [, cost] of costs) assert.isTrue(bound >= cost, `${model} on ${day}: ${bound} < ${cost}`)
          }
        }
      }
    }))
})

describe("reports", () => {
  it("without a total are not believed by a lesser part alone", () => {
    const { flaws, usage } = TokenUsage.fromResponse({
      inputTokens: { total: undefined, uncached: undefined, cacheRead: 5, cacheWrite: undefined },
      outputTokens: { total: undefined, text: undefined, reasoning: 7 }
    }, { input: 2_000, output: 500 })
    assert.deepStrictEqual([usage.input, usage.cacheRead, usage.output, usage.reasoning], [2_000, 5, 500, 7])
    assert.deepStrictEqual(flaws, ["inputTokens is missing", "outputTokens is missing"])
  })

  NoLeaks.effect("that never came count the calls of tools that were seen, whole or in pieces", () => {
    const provider = makeProvider()
    const delta: ReadonlyArray<Response.StreamPartEncoded> = [
      { type: "text-start", id: "1" },
      { type: "text-delta", id: "1", delta: "ab" }
    ]
    const params = { query: "x".repeat(100) }
    const call: Response.StreamPartEncoded = {
      type: "tool-call",
      id: "c",
      name: "search",
      params
    }
    const pieces: ReadonlyArray<Response.StreamPartEncoded> = [
      { type: "tool-params-start", id: "c", name: "search" },
      { type: "tool-params-delta", id: "c", delta: JSON.stringify(params) },
      { type: "tool-params-end", id: "c" }
    ]
    const costOf = (parts: ReadonlyArray<Response.StreamPartEncoded>) =>
      Effect.gen(function*() {
        const before = (yield* balance()).spent ?? 0n
        provider.stream = Stream.fromIterable(parts)
        yield* Effect.exit(
          Stream.runDrain(BudgetedModel.streamText({ prompt: "Hello", toolkit, disableToolCallResolution: true }))
        )
        return ((yield* balance()).spent ?? 0n) - before
      })
    return Effect.gen(function*() {
      const text = yield* costOf(delta)
      const ofCall = BigInt("search".length + JSON.stringify(params).length) * 200n
      assert.strictEqual(yield* costOf([...delta, ...pieces]), text + ofCall)
      assert.strictEqual(yield* costOf([...delta, call]), text + ofCall)
      assert.strictEqual(yield* costOf([...delta, ...pieces, call]), text + ofCall)
    }).pipe(Effect.provide([setting(provider), toolkit.toLayer({ search: () => Effect.succeed("found") })]))
  })
})
