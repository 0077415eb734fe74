import { Amount, Ledger } from "effect-cycles"
import type { AiError } from "effect/ai"
import { LanguageModel, Model, type Response } from "effect/ai"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

/** What a stand-in for a provider was asked, and how it is to answer. */
export interface Provider {
  readonly asked: Array<LanguageModel.ProviderOptions>
  answer: Effect.Effect<Array<Response.PartEncoded>, AiError.AiError>
  stream: Stream.Stream<Response.StreamPartEncoded, AiError.AiError>
}

export const usageOf = (
  input: number | undefined,
  output: number | undefined,
  more?: { readonly cacheRead?: number; readonly reasoning?: number }
): Response.FinishPartEncoded["usage"] => ({
  inputTokens: { total: input, uncached: undefined, cacheRead: more?.cacheRead, cacheWrite: undefined },
  outputTokens: { total: output, text: undefined, reasoning: more?.reasoning }
})

export const finish = (usage: Response.FinishPartEncoded["usage"]): Response.FinishPartEncoded => ({
  type: "finish",
  reason: "stop",
  usage,
  response: undefined
})

export const makeProvider = (): Provider => ({
  asked: [],
  answer: Effect.succeed([{ type: "text", text: "Paris" }, finish(usageOf(12, 3))]),
  stream: Stream.empty
})

/** The model `gpt-4o` of `openai`, as its provider's package would give it. */
export const layerProvider = (provider: Provider) =>
  Model.make(
    "openai",
    "gpt-4o",
    Layer.effect(
      LanguageModel.LanguageModel,
      LanguageModel.make({
        generateText: (options) =>
          Effect.suspend(() => {
            provider.asked.push(options)
            return provider.answer
          }),
        streamText: (options) =>
          Stream.suspend(() => {
            provider.asked.push(options)
            return provider.stream
          })
      })
    )
  )

/** What is left of, held of and spent from the tenant's budget. */
export const balance = (unit: Amount.Unit = "USD_MICROCENTS") =>
  Effect.gen(function*() {
    const ledger = yield* Ledger.Ledger
    const { balances } = yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
    const found = balances.find((balance) => balance.remaining.unit === unit)
    return { spent: found?.spent?.amount, reserved: found?.reserved?.amount, remaining: found?.remaining.amount }
  })
