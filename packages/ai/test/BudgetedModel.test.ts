import { BudgetedModel, BudgetedToolkit, Price, PriceBook } from "@effect-cycles/ai"
import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import { Amount, Budget, Ledger } from "effect-cycles"
import { AiError, LanguageModel, Tool, Toolkit } from "effect/ai"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { Provider } from "./support.ts"
import { balance, finish, layerProvider, makeProvider, usageOf } from "./support.ts"

/** A dollar for a million tokens in, two for a million out: 100 and 200 microcents each. */
const prices = PriceBook.layer({
  prices: [Price.make({ provider: "openai", model: "gpt-4o", input: 1, cacheRead: "0.5", output: 2 })]
})

const setting = (
  provider: Provider,
  options?: BudgetedModel.Options,
  allocated: Amount.AnyAmount = Amount.usd(1)
) =>
  BudgetedModel.layer({ maxOutputTokens: 1_000, ...options }).pipe(
    Layer.provide([layerProvider(provider), prices]),
    Layer.provideMerge(Budget.layer()),
    Layer.provideMerge(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated }] }))
  )

const aiError = (reason: AiError.AiErrorReason) => AiError.make({ module: "Test", method: "generateText", reason })

const ask = BudgetedModel.generateText({ prompt: "What is the capital of France?" })

const spent = Effect.map(balance(), ({ reserved, spent }) => {
  assert.strictEqual(reserved, 0n)
  return spent
})

describe("BudgetedModel", () => {
  NoLeaks.effect("reserves what a call can cost and charges what it did", () => {
    const provider = makeProvider()
    return Effect.gen(function*() {
      let held: bigint | undefined
      provider.answer = Effect.andThen(
        Effect.map(Budget.current, (current) => {
          held = current._tag === "Some" ? current.value.reserved.amount : undefined
        }),
        Effect.succeed([
          { type: "text" as const, text: "Paris" },
          finish(usageOf(1_000, 50, { cacheRead: 400, reasoning: 30 }))
        ])
      )
      assert.strictEqual((yield* ask).text, "Paris")
      assert.strictEqual(yield* spent, 600n * 100n + 400n * 50n + 50n * 200n)
      assert.isTrue(held !== undefined && held >= 1_000n * 200n)
    }).pipe(Effect.provide(setting(provider)))
  })

  NoLeaks.effect("counts tokens where the budget is in tokens, and needs no price then", () => {
    const provider = makeProvider()
    return Effect.gen(function*() {
      provider.answer = Effect.succeed([finish(usageOf(1_000, 50))])
      yield* ask
      assert.strictEqual((yield* balance("TOKENS")).spent, 1_050n)
    }).pipe(
      Effect.provide(setting(provider, { unit: "TOKENS", model: { model: "unheard-of" } }, Amount.tokens(10_000)))
    )
  })

  NoLeaks.effect("is denied before anything is sent", () => {
    const provider = makeProvider()
    return Effect.gen(function*() {
      const denied = yield* Effect.flip(ask)
      assert.strictEqual(denied._tag, "BudgetExceeded")
      const object = yield* Effect.flip(BudgetedModel.generateObject({
        prompt: "Who?",
        schema: Schema.Struct({ name: Schema.String })
      }))
      assert.strictEqual(object._tag, "BudgetExceeded")
      const streamed = yield* Effect.flip(Stream.runDrain(BudgetedModel.streamText({ prompt: "Hello" })))
      assert.strictEqual(streamed._tag, "BudgetExceeded")
      assert.strictEqual(provider.asked.length, 0)
    }).pipe(Effect.provide(setting(provider, {}, Amount.usd("0.001"))))
  })

  NoLeaks.effect(
    "is an AiError that is not retried to those who know of no budget, and the denial again to those who ask",
    () => {
      const provider = makeProvider()
      const plain = LanguageModel.generateText({ prompt: "Hello" })
      return Effect.gen(function*() {
        const error = yield* Effect.flip(plain)
        assert.strictEqual(error._tag, "AiError")
        assert.strictEqual(error.reason._tag, "QuotaExhaustedError")
        assert.isFalse(error.isRetryable)
        assert.deepNestedInclude(error.reason, { "metadata.cycles.denial": "BudgetExceeded" })
        const denial = yield* Effect.flip(BudgetedModel.denials(plain))
        assert.isTrue(denial._tag === "BudgetExceeded" && denial.requested !== undefined)
        const streamed = yield* Effect.flip(Stream.runDrain(LanguageModel.streamText({ prompt: "Hello" })))
        assert.strictEqual(streamed.reason._tag, "QuotaExhaustedError")
        assert.strictEqual(provider.asked.length, 0)
      }).pipe(Effect.provide(setting(provider, {}, Amount.usd("0.001"))))
    }
  )

  NoLeaks.effect("has no price for a model nobody knows", () => {
    const provider = makeProvider()
    return Effect.gen(function*() {
      const error = yield* Effect.flip(ask)
      assert.strictEqual(error._tag, "UnpricedModel")
      assert.strictEqual(provider.asked.length, 0)
    }).pipe(Effect.provide(setting(provider, { model: { provider: "openai", model: "unheard-of" } })))
  })

  NoLeaks.effect("never takes a report that is missing or impossible for free", () => {
    const provider = makeProvider()
    const said: Array<unknown> = []
    return Effect.gen(function*() {
      provider.answer = Effect.succeed([{ type: "text", text: "?" }, finish(usageOf(undefined, undefined))])
      yield* ask
      const missing = (yield* spent)!
      assert.isTrue(missing >= 1_000n * 200n)
      provider.answer = Effect.succeed([{ type: "text", text: "?" }, finish(usageOf(-5, 10))])
      yield* ask
      const negative = (yield* spent)! - missing
      assert.isTrue(negative > 10n * 200n)
      provider.answer = Effect.succeed([{ type: "text", text: "no report" }])
      yield* ask
      assert.strictEqual((yield* spent)! - missing - negative, missing)
      assert.strictEqual(said.length, 3)
    }).pipe(
      Effect.provide([setting(provider), Logger.layer([Logger.make(({ message }) => said.push(message))])])
    )
  })

  NoLeaks.effect("charges a report above the declared maximum in full", () => {
    const provider = makeProvider()
    return Effect.gen(function*() {
      provider.answer = Effect.succeed([finish(usageOf(20_000, 5_000))])
      yield* ask
      assert.strictEqual(yield* spent, 20_000n * 100n + 5_000n * 200n)
    }).pipe(Effect.provide(setting(provider)))
  })

  describe("that fails", () => {
    const after = (reason: AiError.AiErrorReason, options?: BudgetedModel.Options) => {
      const provider = makeProvider()
      return Effect.gen(function*() {
        provider.answer = Effect.fail(aiError(reason))
        yield* Effect.flip(ask)
        return (yield* spent)!
      }).pipe(Effect.provide(setting(provider, options)))
    }

    NoLeaks.effect("costs nothing where the provider surely bills nothing", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* after(new AiError.RateLimitError({})), 0n)
        assert.strictEqual(yield* after(new AiError.AuthenticationError({ kind: "InvalidKey" })), 0n)
      }))

    NoLeaks.effect("costs its input where it may be billed, unless told otherwise", () =>
      Effect.gen(function*() {
        const failed = new AiError.InternalProviderError({ description: "overloaded" })
        const input = yield* after(failed)
        assert.isTrue(input > 0n && input < 1_000n * 200n)
        assert.strictEqual(yield* after(failed, { onUnsettled: "release" }), 0n)
        assert.isTrue(yield* Effect.map(after(failed, { onUnsettled: "estimate" }), (cost) => cost > 1_000n * 200n))
      }))

    NoLeaks.effect("costs all of it where there was an answer", () =>
      Effect.gen(function*() {
        const cost = yield* after(new AiError.InvalidOutputError({ description: "not the schema" }))
        assert.isTrue(cost > 1_000n * 200n)
      }))

    NoLeaks.effect("costs its input when it is interrupted", () => {
      const provider = makeProvider()
      return Effect.gen(function*() {
        const sent = yield* Deferred.make<void>()
        provider.answer = Effect.andThen(Deferred.succeed(sent, undefined), Effect.never)
        const fiber = yield* Effect.forkChild(ask)
        yield* Deferred.await(sent)
        yield* Fiber.interrupt(fiber)
        // What is settled goes on in the background of the budget.
        for (let turn = 0; turn < 50; turn++) yield* Effect.yieldNow
        const cost = (yield* spent)!
        assert.isTrue(cost > 0n && cost < 1_000n * 200n)
      }).pipe(Effect.provide(setting(provider)))
    })
  })

  describe("that streams", () => {
    const deltas = (...texts: ReadonlyArray<string>) =>
      Stream.fromIterable([
        { type: "text-start" as const, id: "1" },
        ...texts.map((delta) => ({ type: "text-delta" as const, id: "1", delta })),
        { type: "text-end" as const, id: "1" }
      ])

    NoLeaks.effect("is charged by its report", () => {
      const provider = makeProvider()
      return Effect.gen(function*() {
        provider.stream = Stream.concat(deltas("Pa", "ris"), Stream.make(finish(usageOf(12, 3))))
        const text = yield* BudgetedModel.streamText({ prompt: "Where?" }).pipe(
          Stream.runFold(() => "", (text, part) => part.type === "text-delta" ? text + part.delta : text)
        )
        assert.strictEqual(text, "Paris")
        assert.strictEqual(yield* spent, 12n * 100n + 3n * 200n)
      }).pipe(Effect.provide(setting(provider)))
    })

    NoLeaks.effect("is charged by what was seen of it when it is stopped, fails or lacks a report", () => {
      const provider = makeProvider()
      const streamed = BudgetedModel.streamText({ prompt: "Where?" })
      return Effect.gen(function*() {
        provider.stream = Stream.concat(deltas("Pa", "ris"), Stream.make(finish(usageOf(12, 3))))
        yield* Stream.runDrain(Stream.takeUntil(streamed, (part) => part.type === "text-delta"))
        const stopped = (yield* spent)!
        assert.isTrue(stopped > 2n * 200n)
        provider.stream = Stream.concat(
          deltas("Pa"),
          Stream.fail(aiError(new AiError.InternalProviderError({ description: "gone" })))
        )
        yield* Effect.flip(Stream.runDrain(streamed))
        assert.strictEqual((yield* spent)! - stopped, stopped)
        provider.stream = deltas("Pa")
        yield* Stream.runDrain(streamed)
        assert.strictEqual((yield* spent)!, stopped * 3n)
      }).pipe(Effect.provide(setting(provider)))
    })

    NoLeaks.effect("costs nothing where it was refused", () => {
      const provider = makeProvider()
      return Effect.gen(function*() {
        provider.stream = Stream.fail(aiError(new AiError.RateLimitError({})))
        yield* Effect.flip(Stream.runDrain(BudgetedModel.streamText({ prompt: "Where?" })))
        assert.strictEqual(yield* spent, 0n)
      }).pipe(Effect.provide(setting(provider)))
    })
  })

  describe("under caps", () => {
    const told = Context.Reference<number | undefined>("test/MaxTokens", { defaultValue: () => undefined })
    const toolkit = Toolkit.make(
      Tool.make("search", { success: Schema.String }),
      Tool.make("send_email", { success: Schema.String })
    )
    const handlers = toolkit.toLayer({
      search: () => Effect.succeed("found"),
      send_email: () => Effect.succeed("sent")
    })
    const policy = Effect.flatMap(Ledger.Ledger, (ledger) =>
      ledger.createPolicy("acme", {
        name: "careful",
        scopePattern: "tenant:acme",
        priority: 1,
        caps: { maxTokens: 100, toolDenylist: ["send_email"] }
      }))

    NoLeaks.effect("tells the provider how much it may answer", () => {
      const provider = makeProvider()
      return Effect.gen(function*() {
        let maximum: number | undefined
        provider.answer = Effect.andThen(
          Effect.map(told, (n) => {
            maximum = n
          }),
          Effect.succeed([finish(usageOf(1, 1))])
        )
        yield* ask
        assert.strictEqual(maximum, 1_000)
        yield* policy
        yield* ask
        assert.strictEqual(maximum, 100)
        provider.stream = Stream.unwrap(Effect.map(told, (n) => {
          maximum = n === undefined ? -1 : -n
          return Stream.make(finish(usageOf(1, 1)))
        }))
        yield* Stream.runDrain(BudgetedModel.streamText({ prompt: "Hello" }))
        assert.strictEqual(maximum, -100)
      }).pipe(Effect.provide(setting(provider, {
        withMaxTokens: (n) => (effect) => Effect.provideService(effect, told, n)
      })))
    })

    NoLeaks.effect("says that a cap is not enforced where the provider cannot be told", () => {
      const provider = makeProvider()
      const said: Array<string> = []
      return Effect.gen(function*() {
        yield* ask
        assert.strictEqual(said.length, 0)
        yield* policy
        yield* ask
        assert.include(said.join(), "withMaxTokens")
      }).pipe(
        Effect.provide([setting(provider), Logger.layer([Logger.make(({ message }) => said.push(String(message)))])])
      )
    })

    NoLeaks.effect("does not tell the model of tools it may not use", () => {
      const provider = makeProvider()
      const names = () => provider.asked.at(-1)?.tools.map((tool) => tool.name)
      return Effect.gen(function*() {
        yield* BudgetedModel.generateText({ prompt: "Go", toolkit })
        assert.deepStrictEqual(names(), ["search", "send_email"])
        yield* policy
        yield* BudgetedModel.generateText({ prompt: "Go", toolkit })
        assert.deepStrictEqual(names(), ["search"])
        const asked = provider.asked.length
        const forced = yield* Effect.flip(
          BudgetedModel.generateText({ prompt: "Go", toolkit, toolChoice: { tool: "send_email" } })
        )
        assert.strictEqual(forced._tag, "ToolNotAllowed")
        const emails = Toolkit.make(toolkit.tools.send_email)
        const required = yield* Effect.flip(
          BudgetedModel.generateText({ prompt: "Go", toolkit: emails, toolChoice: "required" })
        )
        assert.strictEqual(required._tag, "ToolNotAllowed")
        assert.strictEqual(provider.asked.length, asked)
        provider.answer = Effect.succeed([
          { type: "tool-call", id: "1", name: "send_email", params: {} },
          finish(usageOf(1, 1))
        ])
        const refused = yield* Effect.flip(BudgetedModel.generateText({ prompt: "Go", toolkit }))
        assert.strictEqual(refused._tag, "AiError")
      }).pipe(Effect.provide([setting(provider), handlers]))
    })

    NoLeaks.effect("charges an answer that asks for a tool nobody has", () => {
      const provider = makeProvider()
      return Effect.gen(function*() {
        provider.answer = Effect.succeed([
          { type: "tool-call", id: "1", name: "unheard_of", params: {} },
          finish(usageOf(1, 1))
        ])
        const error = yield* Effect.flip(BudgetedModel.generateText({ prompt: "Go", toolkit }))
        assert.strictEqual(error._tag, "AiError")
        assert.isTrue((yield* spent)! > 1_000n * 200n)
      }).pipe(Effect.provide([setting(provider), handlers]))
    })

    NoLeaks.effect("charges a call whose tool fails for its answer", () => {
      const provider = makeProvider()
      const failing = toolkit.toLayer({
        search: () => Effect.fail(aiError(new AiError.InternalProviderError({ description: "no search" }))),
        send_email: () => Effect.succeed("sent")
      })
      return Effect.gen(function*() {
        provider.answer = Effect.succeed([
          { type: "tool-call", id: "1", name: "search", params: {} },
          finish(usageOf(1, 1))
        ])
        yield* Effect.flip(BudgetedModel.generateText({ prompt: "Go", toolkit }))
        assert.isTrue((yield* spent)! > 1_000n * 200n)
      }).pipe(Effect.provide([setting(provider), failing]))
    })
  })

  NoLeaks.effect("guards the tools it calls", () => {
    const provider = makeProvider()
    const toolkit = Toolkit.make(Tool.make("send_email", { success: Schema.String }))
    const guarded = BudgetedToolkit.guard(toolkit, { cost: () => Amount.riskPoints(40) })
    return Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      yield* ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.riskPoints(50) })
      provider.answer = Effect.succeed([
        { type: "tool-call", id: "1", name: "send_email", params: {} },
        finish(usageOf(1, 1))
      ])
      const first = yield* BudgetedModel.generateText({ prompt: "Go", toolkit: guarded })
      assert.deepStrictEqual(first.toolResults.map((part) => [part.isFailure, part.encodedResult]), [[false, "sent"]])
      const second = yield* BudgetedModel.generateText({ prompt: "Go", toolkit: guarded })
      assert.strictEqual(second.toolResults[0]?.isFailure, true)
      assert.propertyVal(second.toolResults[0]?.encodedResult, "error", "BudgetExceeded")
      assert.strictEqual((yield* balance("RISK_POINTS")).spent, 40n)
    }).pipe(Effect.provide([setting(provider), toolkit.toLayer({ send_email: () => Effect.succeed("sent") })]))
  })

  NoLeaks.effect("says on the span of its guard what was asked and used, by the names of the conventions", () => {
    const provider = makeProvider()
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = Tracer.nativeTracer.span(options)
        spans.push(span)
        return span
      }
    })
    return Effect.gen(function*() {
      provider.answer = Effect.succeed([finish(usageOf(1_000, 50, { cacheRead: 400, reasoning: 30 }))])
      yield* Effect.withTracer(ask, tracer)
      provider.stream = Stream.make(finish(usageOf(10, 5)))
      yield* Effect.withTracer(Stream.runDrain(BudgetedModel.streamText({ prompt: "Hello" })), tracer)
      const [call, stream] = spans.filter(({ name }) => name === "Budget.guard").map(({ attributes }) =>
        Object.fromEntries(attributes)
      )
      assert.deepInclude(call, {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1_000,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 400,
        "cycles.unit": "USD_MICROCENTS",
        "cycles.charged": 600 * 100 + 400 * 50 + 50 * 200
      })
      assert.deepInclude(stream, { "gen_ai.usage.input_tokens": 10, "cycles.charged": 10 * 100 + 5 * 200 })
    }).pipe(Effect.provide(setting(provider)))
  })

  NoLeaks.effect("is not made with counts that are none", () =>
    Effect.gen(function*() {
      for (const maxOutputTokens of [-1, 0.5, Number.NaN, Infinity]) {
        const exit = yield* Effect.exit(Effect.provide(ask, setting(makeProvider(), { maxOutputTokens })))
        assert.isTrue(Exit.hasDies(exit))
      }
    }))

  it("has its denials in its types", () => {
    type Tags = Effect.Error<typeof ask>["_tag"]
    const tags: ReadonlyArray<Extract<Tags, "BudgetExceeded" | "DebtOutstanding" | "UnpricedModel" | "AiError">> = [
      "BudgetExceeded",
      "DebtOutstanding",
      "UnpricedModel",
      "AiError"
    ]
    // @ts-expect-error no such option, as in effect/ai itself
    const typo = BudgetedModel.generateText({ prompt: "Hello", promt: "typo" })
    assert.isTrue(Effect.isEffect(typo) && tags.length === 4)
  })
})
