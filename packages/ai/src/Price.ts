/**
 * What a model costs: exact decimals in microcents per token (1 US dollar per million tokens is 100).
 *
 * What a call of it did or can cost is `Cost`'s to say.
 *
 * **Example** (A price by hand, and what a batch of it costs)
 *
 * ```ts
 * import { Cost, Price, TokenUsage } from "@effect-cycles/ai"
 * import { Amount } from "effect-cycles"
 *
 * const price = Price.make({ provider: "acme", model: "small", input: "0.15", cacheRead: "0.075", output: "0.60" })
 * const usage = TokenUsage.make({ input: 1_000, output: 33 })
 *
 * console.log(Amount.format(Cost.of(price, usage).amount)) // => $0.0001698
 * console.log(Amount.format(Cost.of(Price.scale(price, "0.5"), usage).amount)) // => $0.0000849
 * ```
 *
 * @since 0.1.0
 */
import * as Amounts from "effect-cycles/protocol/Amount"
import * as BigDecimal from "effect/BigDecimal"

/**
 * What there can be a rate for. `mediaInput` and `mediaOutput` are tokens that are no text (images, audio, video); `request` is one
 * call.
 *
 * @category models
 * @since 0.1.0
 */
export type Item =
  | "input"
  | "cacheRead"
  | "cacheWrite"
  | "cacheWriteLong"
  | "mediaInput"
  | "output"
  | "reasoning"
  | "mediaOutput"
  | "request"

/**
 * Microcents for one token, or for one call. A tier replaces `base` for all tokens of a call whose input is longer than `above`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rate {
  readonly base: BigDecimal.BigDecimal
  readonly tiers: ReadonlyArray<{ readonly above: number; readonly rate: BigDecimal.BigDecimal }>
}

/**
 * What one model costs.
 *
 * - `source`: where the rates are from and which version of it, for the record
 * - `rates`: those in force. An item without a rate of its own is paid at that of the item it is part of
 * - `later`: rates that could come into force while a call runs; bounds look at them as well
 * - `contextWindow`: how many tokens a call can have in all, where that is known
 *
 * @category models
 * @since 0.1.0
 */
export interface Price {
  readonly provider: string
  readonly model: string
  readonly source: string
  readonly rates: Rates
  readonly later: ReadonlyArray<Rates>
  readonly contextWindow?: number | undefined
}

/**
 * The rates of a price, by item.
 *
 * @category models
 * @since 0.1.0
 */
export type Rates = { readonly [I in Item]?: Rate | undefined }

/**
 * A dollar sum: a number is read as the decimal it prints as.
 *
 * @category models
 * @since 0.1.0
 */
export type Dollars = number | string

/**
 * US dollars for a million tokens, or with tiers for calls whose input is longer.
 *
 * @category models
 * @since 0.1.0
 */
export type PerMillion = Dollars | {
  readonly base: Dollars
  readonly tiers: ReadonlyArray<{ readonly above: number; readonly price: Dollars }>
}

const MICROCENTS = BigDecimal.fromBigInt(Amounts.MICROCENTS_PER_USD)

/** Dollars for `per` of an item, as microcents for one: exact, since `per` is a power of ten. */
const microcents = (dollars: Dollars, per: 1 | 1_000 | 1_000_000): BigDecimal.BigDecimal => {
  const decimal = String(dollars).trim() === "" ? undefined : BigDecimal.fromString(String(dollars))
  if (decimal === undefined || decimal._tag === "None" || BigDecimal.isNegative(decimal.value)) {
    throw new RangeError(`"${dollars}" is not a price in US dollars`)
  }
  const { scale, value } = BigDecimal.multiply(decimal.value, MICROCENTS)
  return BigDecimal.normalize(BigDecimal.make(value, scale + String(per).length - 1))
}

/**
 * A rate out of US dollars for so many. Throws a `RangeError` for what is no price.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rate = (price: PerMillion, per: 1 | 1_000 | 1_000_000 = 1_000_000): Rate =>
  typeof price === "object"
    ? {
      base: microcents(price.base, per),
      tiers: price.tiers
        .map((tier) => ({ above: tier.above, rate: microcents(tier.price, per) }))
        .sort((a, b) => a.above - b.above)
    }
    : { base: microcents(price, per), tiers: [] }

/**
 * A price by hand, in US dollars per million tokens; `request` is in US dollars per call. What is not given costs what it is part of:
 * `cacheRead`, `cacheWrite` and `mediaInput` the `input`, `cacheWriteLong` the `cacheWrite`, `reasoning` and `mediaOutput` the `output`.
 *
 * Throws a `RangeError` for what is no price.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  { contextWindow, model, provider, request, source, ...perMillion }:
    & {
      readonly provider: string
      readonly model: string
      readonly input: PerMillion
      readonly request?: Dollars | undefined
      readonly contextWindow?: number | undefined
      readonly source?: string | undefined
    }
    & { readonly [I in Exclude<Item, "input" | "request">]?: PerMillion | undefined }
): Price => ({
  provider,
  model,
  source: source ?? "prices given by hand",
  rates: {
    ...Object.fromEntries(
      Object.entries(perMillion).flatMap(([item, price]) => price === undefined ? [] : [[item, rate(price)]])
    ),
    ...(request === undefined ? undefined : { request: rate(request, 1) })
  },
  later: [],
  contextWindow
})

/**
 * The price with every rate multiplied, as for a batch API that costs half. Throws a `RangeError` for a factor that is no decimal of
 * at least zero.
 *
 * @category combinators
 * @since 0.1.0
 */
export const scale = (price: Price, factor: number | string): Price => {
  const by = BigDecimal.fromString(String(factor))
  if (by._tag === "None" || BigDecimal.isNegative(by.value)) {
    throw new RangeError(`"${factor}" is not a factor of at least zero`)
  }
  const scaled = (rates: Rates): Rates =>
    Object.fromEntries(
      Object.entries(rates).flatMap(([item, rate]) =>
        rate === undefined ? [] : [[item, {
          base: BigDecimal.multiply(rate.base, by.value),
          tiers: rate.tiers.map((tier) => ({ ...tier, rate: BigDecimal.multiply(tier.rate, by.value) }))
        }]]
      )
    )
  return {
    ...price,
    source: `${price.source} × ${factor}`,
    rates: scaled(price.rates),
    later: price.later.map(scaled)
  }
}
