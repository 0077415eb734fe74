/**
 * What tokens cost: the list price of a model, from Pydantic's price data, as exact microcents.
 */
import { calcPrice } from "@pydantic/genai-prices"
import { Amount } from "effect-cycles"
import * as BigDecimal from "effect/BigDecimal"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Usage } from "./Chat.ts"

/** There is no price that could be multiplied with tokens: the model is unknown, or its price depends on more than them. */
export class UnpricedModel extends Schema.TaggedError<UnpricedModel>()("UnpricedModel", { model: Schema.String }) {
  override get message(): string {
    return `the price data has no flat price per token for the model "${this.model}"`
  }
}

/** US dollars per million tokens, as published. */
export interface Prices {
  readonly model: string
  readonly input: number
  readonly output: number
}

export const find = (model: string): Effect.Effect<Prices, UnpricedModel> =>
  Effect.suspend(() => {
    const none = { input_tokens: 0, output_tokens: 0 }
    const found = calcPrice(none, model, { providerId: "openai" }) ?? calcPrice(none, model)
    const input = found?.model_price["input_mtok"]
    const output = found?.model_price["output_mtok"]
    return typeof input === "number" && typeof output === "number"
      ? Effect.succeed({ model, input, output })
      : new UnpricedModel({ model })
  })

/** A dollar is 10^8 microcents and prices are per 10^6 tokens. */
const MICROCENTS_PER_TOKEN = BigDecimal.fromBigInt(100n)

const decimal = (price: number): BigDecimal.BigDecimal => BigDecimal.fromStringUnsafe(String(price))

const times = (tokens: number, price: number): BigDecimal.BigDecimal =>
  BigDecimal.multiply(BigDecimal.fromBigInt(BigInt(tokens)), decimal(price))

/**
 * The price of one call, rounded up to a whole microcent. Discounts for cached prompts are left out, so that a cost is
 * never more than the estimate made before the call.
 */
export const cost = (prices: Prices, usage: Usage): Amount.Amount<"USD_MICROCENTS"> => {
  const dollarsPerMillion = BigDecimal.sum(
    times(usage.prompt_tokens, prices.input),
    times(usage.completion_tokens, prices.output)
  )
  const exact = BigDecimal.ceil(BigDecimal.multiply(dollarsPerMillion, MICROCENTS_PER_TOKEN), 0)
  return Amount.microcents(BigDecimal.scale(exact, 0).value)
}
