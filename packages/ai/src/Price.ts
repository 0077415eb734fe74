/**
 * What a model costs, and what a call of it did or can cost: exact arithmetic on rates.
 *
 * Rates are exact decimals in microcents per token (1 US dollar per million tokens is 100). A cost is summed exactly and rounded up
 * once, to a whole microcent. A bound takes the dearest rate that any usage within its maxima could meet, so no such usage costs
 * more.
 *
 * **Example** (What a call cost, and why)
 *
 * ```ts
 * import { Price, TokenUsage } from "@effect-cycles/ai"
 * import { Amount } from "effect-cycles"
 *
 * const price = Price.make({ provider: "acme", model: "small", input: "0.15", cacheRead: "0.075", output: "0.60" })
 * const cost = Price.cost(price, TokenUsage.make({ input: 1_000, cacheRead: 400, output: 33 }))
 *
 * console.log(Amount.format(cost.amount)) // => $0.0001398
 * const lines = Price.explain(cost).split("\n")
 * console.log(lines[0]) // => acme:small, prices given by hand
 * console.log(lines[2]) // =>   cacheRead          400 ×    7.5 = 3000 microcents
 * ```
 *
 * @since 0.1.0
 */
import type { Amount } from "effect-cycles/protocol/Amount"
import * as Amounts from "effect-cycles/protocol/Amount"
import * as BigDecimal from "effect/BigDecimal"
import type { Maxima, TokenUsage } from "./TokenUsage.ts"

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
 * One line of a cost: so many of an item, at what rate, in microcents.
 *
 * @category models
 * @since 0.1.0
 */
export interface Line {
  readonly item: Item
  readonly quantity: number
  readonly rate: BigDecimal.BigDecimal
  readonly cost: BigDecimal.BigDecimal
}

/**
 * What something cost, rounded up to a whole microcent, and the lines it is the sum of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cost {
  readonly amount: Amount<"USD_MICROCENTS">
  readonly price: Price
  readonly lines: ReadonlyArray<Line>
}

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

/** The item whose rate applies where one has none of its own. */
const partOf: { readonly [I in Item]?: Item } = {
  cacheRead: "input",
  cacheWrite: "input",
  cacheWriteLong: "cacheWrite",
  mediaInput: "input",
  reasoning: "output",
  mediaOutput: "output"
}

const rateOf = (rates: Rates, item: Item): Rate | undefined => {
  const whole = partOf[item]
  return rates[item] ?? (whole === undefined ? undefined : rateOf(rates, whole))
}

const at = (rate: Rate, input: number): BigDecimal.BigDecimal =>
  rate.tiers.reduce((found, tier) => input > tier.above ? tier.rate : found, rate.base)

const zero = BigDecimal.fromBigInt(0n)

const ceil = (n: BigDecimal.BigDecimal): bigint => BigDecimal.scale(BigDecimal.ceil(n), 0).value

const total = (price: Price, lines: ReadonlyArray<Line>): Cost => ({
  amount: Amounts.microcents(ceil(BigDecimal.sumAll(lines.map(({ cost }) => cost)))),
  price,
  lines
})

const line = (item: Item, quantity: number, rate: BigDecimal.BigDecimal): ReadonlyArray<Line> =>
  quantity === 0
    ? []
    : [{ item, quantity, rate, cost: BigDecimal.multiply(rate, BigDecimal.fromBigInt(BigInt(quantity))) }]

/**
 * Whether there is anything but text: images, audio, video.
 *
 * @category models
 * @since 0.1.0
 */
export interface Media {
  readonly input?: boolean | undefined
  readonly output?: boolean | undefined
}

/**
 * What a call cost.
 *
 * Reports do not say how many tokens were media. Where there was any, all input that was not cached, or all output that was not
 * reasoning, is paid at the dearer of both rates.
 *
 * @category cost
 * @since 0.1.0
 */
export const cost = (price: Price, usage: TokenUsage, media?: Media): Cost => {
  const of = (...items: ReadonlyArray<Item>) =>
    items.reduce((most, item) => {
      const found = rateOf(price.rates, item)
      return found === undefined ? most : BigDecimal.max(most, at(found, usage.input))
    }, zero)
  return total(price, [
    ...line(
      "input",
      usage.input - usage.cacheRead - usage.cacheWrite,
      media?.input === true ? of("input", "mediaInput") : of("input")
    ),
    ...line("cacheRead", usage.cacheRead, of("cacheRead")),
    ...line("cacheWrite", usage.cacheWrite - usage.cacheWriteLong, of("cacheWrite")),
    ...line("cacheWriteLong", usage.cacheWriteLong, of("cacheWriteLong")),
    ...line(
      "output",
      usage.output - usage.reasoning,
      media?.output === true ? of("output", "mediaOutput") : of("output")
    ),
    ...line("reasoning", usage.reasoning, of("reasoning")),
    ...line("request", 1, of("request")).filter(({ rate }) => !BigDecimal.isZero(rate))
  ])
}

/** The dearest rate that items of a kind can meet in a call of at most so many input tokens. */
const dearest = (price: Price, items: ReadonlyArray<Item>, input: number): BigDecimal.BigDecimal =>
  [price.rates, ...price.later]
    .flatMap((rates) =>
      items.flatMap((item) => {
        const rate = rateOf(rates, item)
        return rate === undefined
          ? []
          : [rate.base, ...rate.tiers.flatMap((tier) => tier.above < input ? [tier.rate] : [])]
      })
    )
    .reduce((most, rate) => BigDecimal.max(most, rate), zero)

/**
 * The most a call can cost that uses no more than the maxima, whatever is cached, however much is reasoning, and whichever tier it
 * falls into. Without `media` it is text only.
 *
 * @category cost
 * @since 0.1.0
 */
export const bound = (price: Price, maxima: Maxima, media?: Media): Cost => {
  const input: ReadonlyArray<Item> = ["input", "cacheRead", "cacheWrite", "cacheWriteLong"]
  const output: ReadonlyArray<Item> = ["output", "reasoning"]
  const of = (items: ReadonlyArray<Item>) => dearest(price, items, maxima.input)
  return total(price, [
    ...line("input", maxima.input, of(media?.input === true ? [...input, "mediaInput"] : input)),
    ...line("output", maxima.output, of(media?.output === true ? [...output, "mediaOutput"] : output)),
    ...line("request", 1, of(["request"])).filter(({ rate }) => !BigDecimal.isZero(rate))
  ])
}

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

/**
 * The sum of a cost, line by line, as text for people.
 *
 * @category formatting
 * @since 0.1.0
 */
export const explain = ({ amount, lines, price }: Cost): string =>
  [
    `${price.provider}:${price.model}, ${price.source}`,
    ...lines.map(({ cost, item, quantity, rate }) =>
      `  ${item.padEnd(14)} ${String(quantity).padStart(7)} × ${BigDecimal.format(rate).padStart(6)} = ${
        BigDecimal.format(cost)
      } microcents`
    ),
    `  ${"rounded up".padEnd(14)} ${amount.amount} microcents = ${Amounts.format(amount)}`
  ].join("\n")
