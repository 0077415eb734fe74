/**
 * What models cost, by name.
 *
 * The prices of {@link layer} are those of `@pydantic/genai-prices`, a maintained data set of some 1,700 models, as it is bundled in the
 * version this package depends on: nothing is downloaded. Prices of your own go before it. A model nobody knows is a typed error, unless you
 * choose otherwise; it is never free in silence.
 *
 * **Example** (A price, and one of your own)
 *
 * ```ts
 * import { Cost, Price, PriceBook } from "@effect-cycles/ai"
 * import { Effect } from "effect"
 * import { Amount } from "effect-cycles"
 *
 * const program = Effect.gen(function*() {
 *   const book = yield* PriceBook.PriceBook
 *   const known = yield* book.price({ provider: "openai", model: "gpt-4o" })
 *   const own = yield* book.price({ provider: "acme", model: "small" })
 *   const bound = (price: Price.Price) => Amount.format(Cost.bound(price, { input: 1_000, output: 500 }).amount)
 *   return [bound(known), bound(own)]
 * }).pipe(
 *   Effect.provide(PriceBook.layer({ prices: [Price.make({ provider: "acme", model: "small", input: 1, output: 2 })] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => [ "$0.0075", "$0.002" ]
 * ```
 *
 * @since 0.1.0
 */
import * as Prices from "@pydantic/genai-prices"
import * as BigDecimal from "effect/BigDecimal"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Rate, Rates } from "./Price.ts"
import * as Price from "./Price.ts"

/**
 * A model by the name its provider gives it. Without a provider it is guessed from the model's name.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelName {
  readonly provider?: string | undefined
  readonly model: string
}

/**
 * Nobody knows what a model costs. Give the book a price for it (`PriceBook.layer({ prices: [Price.make(…)] })`), name the provider,
 * or choose another `onUnpriced`.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnpricedModel extends Schema.TaggedError<UnpricedModel>()("UnpricedModel", {
  provider: Schema.optionalKey(Schema.String),
  model: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    const name = this.provider === undefined ? this.model : `${this.provider}:${this.model}`
    return `There is no price for the model ${name}: ${this.reason}. ` +
      "Give the price book one (PriceBook.layer({ prices: [Price.make({ … })] })), or choose what happens by its onUnpriced"
  }
}

/**
 * What becomes of a model without a price.
 *
 * - `deny`: it is an {@link UnpricedModel}
 * - `family`: it costs, item by item, what the dearest model of its family does: those of the provider whose names begin with
 *   the same word, as `gpt` or `claude`; the whole provider where there are none. Without a provider it is an
 *   {@link UnpricedModel} as well
 * - `count`: it costs nothing, and a warning is logged. Its tokens are still reported with each commit
 *
 * @category models
 * @since 0.1.0
 */
export type OnUnpriced = "deny" | "family" | "count"

/**
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /**
   * What a model costs now.
   *
   * - `batch`: through the provider's batch API; see {@link Options}
   * - `output`: whether it generates anything; `true` when not given, and then a model without a price of its output has no price.
   *   `false` is for embeddings
   */
  readonly price: (
    name: ModelName,
    options?: { readonly batch?: boolean | undefined; readonly output?: boolean | undefined }
  ) => Effect.Effect<Price.Price, UnpricedModel>
}

/**
 * What models cost, by name.
 *
 * @category services
 * @since 0.1.0
 */
export class PriceBook extends Context.Service<PriceBook, Service>()("@effect-cycles/ai/PriceBook") {}

/**
 * - `prices`: prices of your own, which go before the data set's. One that is called `*` is for every model of its provider that
 *   has no other
 * - `onUnpriced`: what becomes of a model without a price; `deny` when not given
 * - `batch`: by provider, what a call through its batch API costs as a share of the ordinary price, for example
 *   `{ openai: "0.5" }`. The data set has no batch prices; a provider that is not named here is paid in full
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly prices?: ReadonlyArray<Price.Price> | undefined
  readonly onUnpriced?: OnUnpriced | undefined
  readonly batch?: { readonly [provider: string]: number | string } | undefined
}

/**
 * Which data the bundled prices are, as it is recorded with each reservation.
 *
 * @category constants
 * @since 0.1.0
 */
export const VERSION = "genai-prices 0.1.8"

/** How long before its day a price to come is looked at: no reservation lives longer. */
const HORIZON_MS = 24 * 60 * 60 * 1_000

const items: ReadonlyArray<readonly [keyof Rates, ReadonlyArray<string>, 1_000 | 1_000_000]> = [
  ["input", ["input_mtok"], 1_000_000],
  ["cacheRead", ["cache_read_mtok"], 1_000_000],
  ["cacheWrite", ["cache_write_mtok"], 1_000_000],
  ["cacheWriteLong", ["cache_write_1h_mtok"], 1_000_000],
  ["mediaInput", ["input_image_mtok", "input_audio_mtok", "input_video_mtok"], 1_000_000],
  ["output", ["output_mtok"], 1_000_000],
  ["reasoning", ["output_reasoning_mtok"], 1_000_000],
  ["mediaOutput", ["output_image_mtok", "output_audio_mtok", "output_video_mtok"], 1_000_000],
  ["request", ["requests_kcount"], 1_000]
]

const rateOf = (price: number | Prices.TieredPrices, per: 1_000 | 1_000_000): Rate =>
  typeof price === "number"
    ? Price.rate(price, per)
    : Price.rate({
      base: price.base,
      tiers: price.tiers.map((tier) => ({ above: tier.start, price: tier.price }))
    }, per)

/** Of two rates the dearer one, at every length of input. */
const dearer = (a: Rate | undefined, b: Rate | undefined): Rate | undefined => {
  if (a === undefined || b === undefined) return a ?? b
  const at = (rate: Rate, above: number) =>
    rate.tiers.reduce((found, tier) => tier.above <= above ? tier.rate : found, rate.base)
  const steps = [...new Set([...a.tiers, ...b.tiers].map((tier) => tier.above))].sort((x, y) => x - y)
  return {
    base: BigDecimal.max(a.base, b.base),
    tiers: steps.map((above) => ({ above, rate: BigDecimal.max(at(a, above), at(b, above)) }))
  }
}

/** The rates of prices that were asked for: the data does not change under them. */
const readOnce = new WeakMap<Prices.ModelPrice, Rates>()

const ratesOf = (prices: Prices.ModelPrice): Rates => {
  const found = readOnce.get(prices)
  if (found !== undefined) return found
  const rates = readRates(prices)
  readOnce.set(prices, rates)
  return rates
}

const readRates = (prices: Prices.ModelPrice): Rates =>
  Object.fromEntries(items.flatMap(([item, keys, per]) => {
    const rate = keys
      .flatMap((key) => {
        const price = prices[key]
        return price === undefined ? [] : [rateOf(price, per)]
      })
      .reduce<Rate | undefined>(dearer, undefined)
    return rate === undefined ? [] : [[item, rate]]
  }))

/**
 * The prices that may come into force within a day: those that depend on the hour, those of the hours in between, and those with a
 * day of their own.
 */
const laterThan = (model: Prices.ModelInfo, nowMs: number): ReadonlyArray<Rates> => {
  if (!Array.isArray(model.prices)) return []
  const isHourly = model.prices.some(({ constraint }) => constraint?.type === "time_of_date")
  return model.prices.flatMap(({ constraint, prices }) => {
    if (constraint?.type === "time_of_date") return [ratesOf(prices)]
    // Which of those that are in force already is the one between the hours does not matter to a bound.
    const start = constraint === undefined ? -Infinity : Date.parse(constraint.start_date)
    return (isHourly || start > nowMs) && start <= nowMs + HORIZON_MS ? [ratesOf(prices)] : []
  })
}

const bundled = ({ model, provider }: ModelName, nowMs: number, hasOutput: boolean): Price.Price | string => {
  const found = Prices.calcPrice({}, model, {
    ...(provider === undefined ? undefined : { providerId: provider }),
    timestamp: new Date(nowMs)
  })
  if (found === null) return "it is not in the price data"
  const rates = ratesOf(found.model_price)
  if (rates.input === undefined) return "the price data has no price of tokens for it"
  if (hasOutput && rates.output === undefined) return "the price data has no price of output for it"
  return {
    provider: found.provider.id,
    model: found.model.id,
    source: found.auto_update_timestamp === undefined ? VERSION : `genai-prices ${found.auto_update_timestamp}`,
    rates,
    later: laterThan(found.model, nowMs),
    contextWindow: found.model.context_window
  }
}

const firstWord = (model: string): string => model.toLowerCase().split(/[^a-z]+/).find((word) => word !== "") ?? ""

/** The dearest rates among the models of a name's family. */
const family = ({ model, provider }: ModelName, nowMs: number, hasOutput: boolean): Price.Price | undefined => {
  const found = Prices.findProvider(provider === undefined ? { modelId: model } : { providerId: provider })
  if (found === undefined) return undefined
  const word = firstWord(model)
  const kin = found.models.filter((candidate) => firstWord(candidate.id) === word)
  const priced = (models: ReadonlyArray<Prices.ModelInfo>) =>
    models.flatMap((candidate) => {
      const price = bundled({ provider: found.id, model: candidate.id }, nowMs, hasOutput)
      return typeof price === "string" ? [] : [price]
    })
  const members = priced(kin).length > 0 ? priced(kin) : priced(found.models)
  if (members.length === 0) return undefined
  const rates = members
    .flatMap((member) => [member.rates, ...member.later])
    .reduce((most, rates) =>
      Object.fromEntries(items.flatMap(([item]) => {
        const rate = dearer(most[item], rates[item])
        return rate === undefined ? [] : [[item, rate]]
      }))
    )
  return { provider: found.id, model, source: `${VERSION}, the dearest of ${members.length} models`, rates, later: [] }
}

const nothing = Price.rate(0)

/**
 * A price book over the bundled data set.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Service => {
  const own = options.prices ?? []
  const ownFor = ({ model, provider }: ModelName): Price.Price | undefined => {
    const of = (name: string) =>
      own.find((price) => price.model === name && (provider === undefined || price.provider === provider))
    if (provider === undefined) return of(model)
    const any = of("*")
    return of(model) ?? (any === undefined ? undefined : { ...any, model })
  }
  const find = (name: ModelName, nowMs: number, hasOutput: boolean): Effect.Effect<Price.Price, UnpricedModel> => {
    const mine = ownFor(name)
    if (mine !== undefined) return Effect.succeed(mine)
    const known = bundled(name, nowMs, hasOutput)
    if (typeof known !== "string") return Effect.succeed(known)
    const unpriced = new UnpricedModel({
      ...(name.provider === undefined ? undefined : { provider: name.provider }),
      model: name.model,
      reason: known
    })
    switch (options.onUnpriced ?? "deny") {
      case "deny":
        return Effect.fail(unpriced)
      case "family": {
        const dearest = family(name, nowMs, hasOutput)
        return dearest === undefined ? Effect.fail(unpriced) : Effect.succeed(dearest)
      }
      case "count":
        return Effect.as(Effect.logWarning(`${unpriced.message}. It is counted as free of charge`), {
          provider: name.provider ?? "unknown",
          model: name.model,
          source: "unpriced",
          rates: { input: nothing, output: nothing },
          later: []
        })
    }
  }
  return {
    price: (name, { batch = false, output = true } = {}) =>
      Effect.gen(function*() {
        const price = yield* find(name, yield* Clock.currentTimeMillis, output)
        const share = batch ? options.batch?.[price.provider] : undefined
        return share === undefined ? price : Price.scale(price, share)
      })
  }
}

/**
 * Provides the {@link PriceBook}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<PriceBook> => Layer.sync(PriceBook, () => make(options))
