/**
 * What is wrong with limits before they are put on a budget.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Unit } from "../protocol/Amount.ts"
import { Amount, MAX_INT64 } from "../protocol/Amount.ts"
import * as Shape from "../protocol/Shape.ts"
import type { Limit } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"
import type { LimitOptions } from "./rules/Command.ts"

const MINUTE_MS = 60_000
const LONGEST_MS = 366 * 86_400_000
const AT_MOST = 16

const LimitsShape = Schema.Array(Schema.Struct({
  id: Schema.String.check(Schema.isPattern(/^[a-zA-Z0-9_.-]{1,64}$/)),
  window: Schema.Union([
    Schema.Struct({
      _tag: Schema.Literal("calendar"),
      every: Schema.Literals(["day", "week", "month"]),
      timeZone: Schema.String
    }),
    Schema.Struct({
      _tag: Schema.Literal("rolling"),
      lengthMs: Schema.Int.check(Schema.isBetween({ minimum: MINUTE_MS, maximum: LONGEST_MS }))
    })
  ]),
  amount: Amount,
  rollover: Schema.optional(Amount)
})).check(Schema.isMaxLength(AT_MOST))

const flawOf = Shape.checker(LimitsShape)

/** The limits as they are kept, or the first thing that is wrong with them. */
export const parse = (
  options: ReadonlyArray<LimitOptions> | undefined,
  unit: Unit
): Result.Result<ReadonlyArray<Limit> | undefined, Refusal> => {
  if (options === undefined) return Result.succeed(undefined)
  const flaw = flawOf(options)
  if (flaw !== undefined) {
    return invalid(flaw.field === "request" ? "limits" : `limits.${flaw.field}`, flaw.reason)
  }
  const ids = new Set<string>()
  const limits: Array<Limit> = []
  for (let i = 0; i < options.length; i++) {
    const limit = options[i]!
    const found = flawed(limit, unit) ?? (ids.has(limit.id) ? { field: "id", reason: "is given twice" } : undefined)
    if (found !== undefined) return invalid(`limits.${i}.${found.field}`, found.reason)
    ids.add(limit.id)
    const { amount, id, rollover, window } = limit
    limits.push({ id, window, amount: amount.amount, rollover: rollover?.amount })
  }
  return Result.succeed(limits)
}

const flawed = ({ amount, rollover, window }: LimitOptions, unit: Unit): Shape.Flaw | undefined => {
  const other = `must be in ${unit}, the unit of the budget`
  if (amount.unit !== unit) return { field: "amount", reason: other }
  if (amount.amount === 0n) return { field: "amount", reason: "must be more than 0; freeze the budget to stop it" }
  if (window._tag === "calendar" && !isTimeZone(window.timeZone)) {
    return { field: "window.timeZone", reason: `"${window.timeZone}" is no IANA time zone, as Europe/Berlin is` }
  }
  if (rollover === undefined) return undefined
  if (window._tag === "rolling") return { field: "rollover", reason: "a rolling window has no end to carry over from" }
  if (rollover.unit !== unit) return { field: "rollover", reason: other }
  if (rollover.amount > amount.amount) return { field: "rollover", reason: "must not be more than the amount" }
  return amount.amount + rollover.amount > MAX_INT64
    ? { field: "rollover", reason: "together with the amount it would leave the range of an int64" }
    : undefined
}

/** Offsets are refused: they know no daylight saving time, and not every runtime knows them. */
const isTimeZone = (name: string): boolean => /^[A-Za-z]/.test(name) && Option.isSome(DateTime.zoneMakeNamed(name))

const invalid = (field: string, reason: string): Result.Result<never, Refusal> =>
  Result.fail({ code: "INVALID_REQUEST", field, reason })
