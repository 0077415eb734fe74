/**
 * Exact, unit-typed quantities of budget.
 *
 * An amount is a whole number of one {@link Unit}, kept as a `bigint` so that the whole int64 range is exact. The unit is
 * part of the type: an `Amount<"TOKENS">` cannot be committed against a reservation in US dollars.
 *
 * Specification: `cycles-protocol-v0.yaml`, schemas `UnitEnum`, `Amount`, `SignedAmount`.
 *
 * @since 0.1.0
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

/**
 * The units a budget can be kept in.
 *
 * - `USD_MICROCENTS`: money; 1 US dollar is 100,000,000 microcents
 * - `TOKENS`: model tokens
 * - `CREDITS`: whatever your product sells
 * - `RISK_POINTS`: the weight of an action, for budgets that limit what an agent may do rather than what it may spend
 *
 * @category models
 * @since 0.1.0
 */
export const Unit = Schema.Literals(["USD_MICROCENTS", "TOKENS", "CREDITS", "RISK_POINTS"])

/**
 * @category models
 * @since 0.1.0
 */
export type Unit = typeof Unit.Type

/**
 * The largest amount the protocol can carry: 2^63 − 1.
 *
 * @category constants
 * @since 0.1.0
 */
export const MAX_INT64 = 9_223_372_036_854_775_807n

/**
 * The smallest signed amount: −2^63. Only {@link SignedAmount} reaches below zero.
 *
 * @category constants
 * @since 0.1.0
 */
export const MIN_INT64 = -9_223_372_036_854_775_808n

/**
 * The number of microcents in one US dollar.
 *
 * @category constants
 * @since 0.1.0
 */
export const MICROCENTS_PER_USD = 100_000_000n

/**
 * A non-negative amount of one unit.
 *
 * Build one with {@link tokens}, {@link microcents}, {@link usd}, {@link credits} or {@link riskPoints}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Amount<out U extends Unit> {
  readonly unit: U
  /** 0 to 2^63 − 1, in `unit`. */
  readonly amount: bigint
}

/**
 * An amount whose unit is known only at run time. It distributes over the units, so that narrowing on `unit` works.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyAmount = { readonly [U in Unit]: Amount<U> }[Unit]

/**
 * An amount that may be negative; used for what remains of a budget, which an overdraft can take below zero.
 *
 * @category models
 * @since 0.1.0
 */
export interface SignedAmount<out U extends Unit> {
  readonly unit: U
  /** −2^63 to 2^63 − 1, in `unit`. */
  readonly amount: bigint
}

const exact = (n: number | bigint): bigint => {
  if (typeof n === "number") {
    if (!Number.isSafeInteger(n)) {
      throw new RangeError(
        `An amount must be a whole number; ${n} is not${
          Number.isInteger(n) ? " safe as a number (use a bigint beyond 2^53 − 1)" : ""
        }`
      )
    }
    n = BigInt(n)
  }
  if (n < 0n || n > MAX_INT64) {
    throw new RangeError(`An amount must be between 0 and ${MAX_INT64}; got ${n}`)
  }
  return n
}

/**
 * Builds an amount in a unit known only at run time.
 *
 * Throws a `RangeError` for a fraction, a negative number, `NaN`, a number above 2^53 − 1 (use a `bigint` there) or a
 * value above {@link MAX_INT64}: an amount is never rounded or clamped in silence.
 *
 * **Example** (An amount from configuration)
 *
 * ```ts
 * import { Amount } from "effect-cycles"
 *
 * const estimate = Amount.make("TOKENS", 1_000)
 *
 * console.log(Amount.format(estimate)) // => "1000 TOKENS"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const U extends Unit>(unit: U, amount: number | bigint): Amount<U> => ({
  unit,
  amount: exact(amount)
})

/**
 * Model tokens. Refuses what {@link make} refuses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tokens = (amount: number | bigint): Amount<"TOKENS"> => make("TOKENS", amount)

/**
 * Money in microcents; 1 US dollar is 100,000,000. Refuses what {@link make} refuses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const microcents = (amount: number | bigint): Amount<"USD_MICROCENTS"> => make("USD_MICROCENTS", amount)

/**
 * Credits of your own. Refuses what {@link make} refuses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const credits = (amount: number | bigint): Amount<"CREDITS"> => make("CREDITS", amount)

/**
 * Risk points, the weight of an action. Refuses what {@link make} refuses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const riskPoints = (amount: number | bigint): Amount<"RISK_POINTS"> => make("RISK_POINTS", amount)

/**
 * Money in US dollars, exact to the microcent (eight decimals).
 *
 * A number is read as the decimal it prints as, so `usd(0.1)` is exactly ten cents. Throws a `RangeError` for more than
 * eight decimals, a negative or non-finite value, or a sum above {@link MAX_INT64} microcents.
 *
 * **Example** (Dollars are exact)
 *
 * ```ts
 * import { Amount } from "effect-cycles"
 *
 * console.log(Amount.usd(0.1).amount) // => 10000000n
 * console.log(Amount.usd("12.00000001").amount) // => 1200000001n
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const usd = (dollars: number | string): Amount<"USD_MICROCENTS"> => {
  const text = String(dollars)
  const decimal = BigDecimal.fromString(text)
  if (text.trim() === "" || decimal._tag === "None") {
    throw new RangeError(`"${text}" is not a sum of US dollars`)
  }
  const scaled = BigDecimal.normalize(decimal.value)
  if (scaled.scale > 8) {
    throw new RangeError(`${dollars} US dollars is finer than a microcent (eight decimals)`)
  }
  return make("USD_MICROCENTS", BigDecimal.scale(scaled, 8).value)
}

/**
 * Writes an amount as a person reads it: dollars with up to eight decimals, everything else as number and unit.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (self: { readonly unit: Unit; readonly amount: bigint }): string => {
  if (self.unit !== "USD_MICROCENTS") {
    return `${self.amount} ${self.unit}`
  }
  const sign = self.amount < 0n ? "-" : ""
  const absolute = self.amount < 0n ? -self.amount : self.amount
  const fraction = (absolute % MICROCENTS_PER_USD).toString().padStart(8, "0").replace(/0+$/, "").padEnd(2, "0")
  return `${sign}$${absolute / MICROCENTS_PER_USD}.${fraction}`
}

const int64 = (minimum: bigint) =>
  Schema.Union([Schema.Int, Schema.BigInt]).pipe(
    Schema.decodeTo(
      Schema.BigInt.check(Schema.isBetweenBigInt({ minimum, maximum: MAX_INT64 })),
      SchemaTransformation.transform({
        decode: (n: number | bigint) => BigInt(n),
        encode: (n: bigint): number | bigint =>
          n >= BigInt(Number.MIN_SAFE_INTEGER) && n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n
      })
    )
  )

/**
 * A non-negative int64: a `bigint` inside, a JSON integer on the wire. Encodes to a number where that is exact and to a
 * `bigint` beyond, for a JSON writer that prints every digit.
 *
 * @category schemas
 * @since 0.1.0
 */
export const UInt63 = int64(0n)

/**
 * A signed int64: a `bigint` inside, a JSON integer on the wire.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Int64 = int64(MIN_INT64)

/**
 * A struct, so that an unknown unit is at fault at `unit`, and not the amount as a whole. Its type is distributed over the units,
 * which is the same set of values.
 */
const inAnyUnit = <A, I>(amount: Schema.Codec<A, I>) =>
  // `{ unit: A | B }` and `{ unit: A } | { unit: B }` have the same members; the checker does not see it for a type parameter.
  Schema.Struct({ unit: Unit, amount }) as unknown as Schema.Codec<
    { readonly [U in Unit]: { readonly unit: U; readonly amount: A } }[Unit],
    { readonly [U in Unit]: { readonly unit: U; readonly amount: I } }[Unit]
  >

/**
 * The wire form of an amount in any unit.
 *
 * Specification: schema `Amount`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Amount = inAnyUnit(UInt63)

/**
 * The wire form of an amount that may be negative.
 *
 * Specification: schema `SignedAmount`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SignedAmount = inAnyUnit(Int64)
