/**
 * Stretches of time as people write them.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { CommandError } from "./CommandError.ts"
import { usage } from "./CommandError.ts"

/** Milliseconds of `30d`, `12h` or `90m`. */
export const durationOf = (flag: string, text: string): Effect.Effect<number, CommandError> => {
  const [, count, unit] = /^(\d{1,9})\s*(ms|s|m|h|d|w)$/.exec(text.trim()) ?? []
  const lengths: { readonly [unit: string]: Duration.Duration } = {
    ms: Duration.millis(1),
    s: Duration.seconds(1),
    m: Duration.minutes(1),
    h: Duration.hours(1),
    d: Duration.days(1),
    w: Duration.weeks(1)
  }
  const length = unit === undefined ? undefined : lengths[unit]
  return length === undefined
    ? Effect.fail(usage(`${flag} ${text} is not a stretch of time`, "Write it as 30d, 12h or 90m"))
    : Effect.succeed(Number(count) * Duration.toMillis(length))
}
