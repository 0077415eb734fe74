/**
 * Amounts as they are typed: `--usd 12.50`, `--tokens 100_000`. Exact: they are read as decimals and never pass through floating point.
 *
 * @internal
 */
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import * as Amount from "effect-cycles/protocol/Amount"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { CommandError } from "./CommandError.ts"
import { usage } from "./CommandError.ts"

const amount = (name: string, what: string) =>
  Flag.String(name).pipe(Flag.withMetavar("AMOUNT"), Flag.withDescription(what), Flag.optional)

/** The amount of a command, in one of the units. */
export const flags = {
  usd: amount("usd", "US dollars, for example 12.50; exact to eight decimals"),
  tokens: amount("tokens", "Model tokens, for example 100_000"),
  credits: amount("credits", "Credits"),
  riskPoints: amount("risk-points", "Risk points"),
  microcents: amount("microcents", "Hundred-millionths of a US dollar")
}

export type Settings = { readonly [K in keyof typeof flags]: Option.Option<string> }

export const unitFlag = Flag.ChoiceWithValue("unit", [
  ["usd", "USD_MICROCENTS"],
  ["tokens", "TOKENS"],
  ["credits", "CREDITS"],
  ["risk-points", "RISK_POINTS"],
  ["USD_MICROCENTS", "USD_MICROCENTS"],
  ["TOKENS", "TOKENS"],
  ["CREDITS", "CREDITS"],
  ["RISK_POINTS", "RISK_POINTS"]
]).pipe(
  Flag.withDescription("The unit of the budget; the only one there is on the scope when not given"),
  Flag.optional
)

const exactly = (unit: Unit, text: string): AnyAmount => {
  const plain = text.replaceAll("_", "")
  if (!/^\d+$/.test(plain)) throw new RangeError("it is not a whole number")
  return Amount.make(unit, BigInt(plain))
}

const dollars = (text: string): AnyAmount => {
  const plain = text.replaceAll("_", "").replace(/^\$/, "")
  if (!/^\d+(\.\d+)?$/.test(plain)) throw new RangeError("it is not a sum of US dollars, as 12.50 is")
  return Amount.usd(plain)
}

const readers: { readonly [K in keyof Settings]: (text: string) => AnyAmount } = {
  usd: dollars,
  tokens: (text) => exactly("TOKENS", text),
  credits: (text) => exactly("CREDITS", text),
  riskPoints: (text) => exactly("RISK_POINTS", text),
  microcents: (text) => exactly("USD_MICROCENTS", text)
}

const names: { readonly [K in keyof Settings]: string } = {
  usd: "--usd",
  tokens: "--tokens",
  credits: "--credits",
  riskPoints: "--risk-points",
  microcents: "--microcents"
}

const read = (kind: keyof Settings, text: string): Effect.Effect<AnyAmount, CommandError> =>
  Effect.try({
    try: () => readers[kind](text),
    catch: (cause) => usage(`${names[kind]} ${text}: ${cause instanceof Error ? cause.message : String(cause)}`)
  })

const kinds = ["usd", "tokens", "credits", "riskPoints", "microcents"] as const

/** The amount that was given, if one was; two are refused. */
export const maybe = (settings: Settings): Effect.Effect<Option.Option<AnyAmount>, CommandError> => {
  const given = kinds.flatMap((kind) =>
    Option.match(settings[kind], { onNone: () => [], onSome: (text) => [[kind, text] as const] })
  )
  const [first, second] = given
  if (first === undefined) return Effect.succeed(Option.none())
  return second === undefined
    ? Effect.asSome(read(...first))
    : Effect.fail(usage(`${names[first[0]]} and ${names[second[0]]} cannot be given together`))
}

/** The amount that was given. */
export const one = (settings: Settings): Effect.Effect<AnyAmount, CommandError> =>
  Effect.flatMap(
    maybe(settings),
    Option.match({
      onNone: () => Effect.fail(usage("An amount is missing", "Give one, for example --usd 12.50 or --tokens 100000")),
      onSome: Effect.succeed
    })
  )

/** An amount in a unit that is known: dollars where that is money, whole numbers elsewhere. */
export const inUnit = (unit: Unit, flag: string, text: string): Effect.Effect<AnyAmount, CommandError> =>
  Effect.try({
    try: () => unit === "USD_MICROCENTS" ? dollars(text) : exactly(unit, text),
    catch: (cause) => usage(`${flag} ${text}: ${cause instanceof Error ? cause.message : String(cause)}`)
  })

/** As JSON has it. */
export const toWire = ({ amount, unit }: AnyAmount): { readonly unit: Unit; readonly amount: bigint } => ({
  unit,
  amount
})
