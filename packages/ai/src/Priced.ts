/**
 * Which model a layer is for, and what it costs: said by its options, or by the `Model` around it.
 *
 * @internal
 */
import * as Model from "effect/ai/Model"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Price } from "./Price.ts"
import type { ModelName } from "./PriceBook.ts"
import { PriceBook, UnpricedModel } from "./PriceBook.ts"

export interface Options {
  readonly model?: ModelName | undefined
  readonly unit?: "USD_MICROCENTS" | "TOKENS" | undefined
  readonly batch?: boolean | undefined
}

/** `price` is what the model costs now; tokens that are counted for themselves have none. */
export interface Priced {
  readonly name: ModelName | undefined
  readonly price: Effect.Effect<Price | undefined, UnpricedModel>
}

/** `output`: whether the model generates anything. */
export const make = Effect.fnUntraced(
  function*(options: Options, output: boolean): Effect.fn.Return<Priced, never, PriceBook> {
    const book = yield* PriceBook
    const provider = Option.getOrUndefined(yield* Effect.serviceOption(Model.ProviderName))
    const model = Option.getOrUndefined(yield* Effect.serviceOption(Model.ModelName))
    const name = options.model ?? (model === undefined ? undefined : { provider, model })
    if (options.unit === "TOKENS") return { name, price: Effect.undefined }
    return {
      name,
      price: name === undefined
        ? Effect.fail(
          new UnpricedModel({ model: "unknown", reason: "nobody said which one it is; give the option model" })
        )
        : book.price(name, { batch: options.batch, output })
    }
  }
)
