/**
 * What a call of a model did or can cost: exact arithmetic on the rates of a `Price`.
 *
 * A cost is summed exactly and rounded up once, to a whole microcent. A bound takes the dearest rate that any usage within its maxima
 * could meet, so no such usage costs more.
 *
 * **Example** (What a call cost, and why)
 *
 * ```ts
 * import { Cost, Price, TokenUsage } from "@effect-cycles/ai"
 * import { Amount } from "effect-cycles"
 *
 * const price = Price.make({ provider: "acme", model: "small", input: "0.15", cacheRead: "0.075", output: "0.60" })
 * const cost = Cost.of(price, TokenUsage.make({ input: 1_000, cacheRead: 400, output: 33 }))
 *
 * console.log(Amount.format(cost.amount)) // => $0.0001398
 * const lines = Cost.explain(cost).split("\n")
 * console.log(lines[0]) // => acme:small, prices given by hand
 * console.log(lines[2]) // =>   cacheRead          400 ×    7.5 = 3000 microcents
 * ```
 *
 * @since 0.1.0
 */
import type { Amount } from "effect-cycles/protocol/Amount"
import * as Amounts from "effect-cycles/protocol/Amount"
import * as BigDecimal from "effect/BigDecimal"
import type { Item, Price, Rate, Rates } from "./Price.ts"
import type { Maxima, TokenUsage } from "./TokenUsage.ts"

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
export const of = (price: Price, usage: TokenUsage, media?: Media): Cost => {
  const rateAt = (...items: ReadonlyArray<Item>) =>
    items.reduce((most, item) => {
      const found = rateOf(price.rates, item)
      return found === undefined ? most : BigDecimal.max(most, at(found, usage.input))
    }, zero)
  return total(price, [
    ...line(
      "input",
      usage.input - usage.cacheRead - usage.cacheWrite,
      media?.input === true ? rateAt("input", "mediaInput") : rateAt("input")
    ),
    ...line("cacheRead", usage.cacheRead, rateAt("cacheRead")),
    ...line("cacheWrite", usage.cacheWrite - usage.cacheWriteLong, rateAt("cacheWrite")),
    ...line("cacheWriteLong", usage.cacheWriteLong, rateAt("cacheWriteLong")),
    ...line(
      "output",
      usage.output - usage.reasoning,
      media?.output === true ? rateAt("output", "mediaOutput") : rateAt("output")
    ),
    ...line("reasoning", usage.reasoning, rateAt("reasoning")),
    ...line("request", 1, rateAt("request")).filter(({ rate }) => !BigDecimal.isZero(rate))
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
