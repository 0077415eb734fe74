/**
 * `cycles budget limit`: how much of a budget may be taken within a window of time.
 *
 * @internal
 */
import * as Api from "@effect-cycles/http/HistoryApi"
import * as Amount from "effect-cycles/protocol/Amount"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Amounts from "./Amounts.ts"
import { budgetAt, call, command, confirm, read, reasonFlag, yesFlag } from "./client.ts"
import { CommandError, usage } from "./CommandError.ts"
import { durationOf } from "./durations.ts"
import * as Output from "./Output.ts"

const at = {
  scope: Argument.String("scope").pipe(
    Argument.withDescription("The budget's scope, in full: tenant:acme or tenant:acme/agent:writer")
  ),
  unit: Amounts.unitFlag
}

const id = Argument.String("limit").pipe(
  Argument.withDescription("The limit's id within the budget, for example daily")
)

type Limit = Api.Limits["limits"][number]
type Query = Effect.Success<ReturnType<typeof budgetAt>>

const limitsOf = (query: Query) =>
  Effect.flatMap(call({ method: "GET", path: "/v1/admin/history/limits", query }), read(Api.Limits))

const windowIn = (window: Limit["window"]): string =>
  window._tag === "calendar" ? `${window.every} of ${window.timeZone}` : `the last ${window.lengthMs / 60_000} min`

const show = (answer: unknown) =>
  Effect.flatMap(read(Api.Limits)(answer), ({ limits }) =>
    Output.print(answer, (paint) =>
      Output.table(
        paint,
        ["LIMIT", "WINDOW", "AMOUNT", "USED", "HELD", "REMAINING", "REOPENS"],
        limits.map(({ amount, held, id, remaining, reopensAtMs, used, window }) => [
          id,
          windowIn(window),
          Amount.format(amount),
          Amount.format(used),
          Amount.format(held),
          Amount.format(remaining),
          reopensAtMs === undefined ? "" : new Date(reopensAtMs).toISOString()
        ])
      )))

const encode = Schema.encodeUnknownEffect(Api.LimitsChange)

const put = (query: Query, limits: Api.LimitsChange["limits"], reason: Option.Option<string>) =>
  Effect.flatMap(
    Effect.orDie(encode({ limits, ...(Option.isSome(reason) ? { reason: reason.value } : undefined) })),
    (body) => call({ method: "PUT", path: "/v1/admin/control/limits", query, body })
  )

/** A limit as it was put on the budget, without where it stands. */
const asSet = ({ amount, id, rollover, window }: Limit): Api.LimitsChange["limits"][number] => ({
  id,
  window,
  amount,
  ...(rollover === undefined ? undefined : { rollover })
})

const list = command(
  "list",
  at,
  Effect.fnUntraced(function*({ scope, unit }) {
    const query = yield* budgetAt(scope, unit)
    yield* show(yield* call({ method: "GET", path: "/v1/admin/history/limits", query }))
  })
).pipe(Command.withDescription("Show the limits of a budget and where they stand"))

const set = command(
  "set",
  {
    id,
    ...at,
    ...Amounts.flags,
    every: Flag.Literals("every", ["day", "week", "month"]).pipe(
      Flag.withDescription("It counts in the day, the week from Monday, or the month"),
      Flag.optional
    ),
    last: Flag.String("last").pipe(
      Flag.withDescription("It counts in the last stretch of time, for example 1h"),
      Flag.optional
    ),
    timeZone: Flag.String("time-zone").pipe(
      Flag.withDescription("Whose days they are, for example Europe/Berlin; UTC when not given"),
      Flag.optional
    ),
    rollover: Flag.String("rollover").pipe(
      Flag.withMetavar("AMOUNT"),
      Flag.withDescription("How much of what a window leaves goes over to the next, at most"),
      Flag.optional
    ),
    reason: reasonFlag
  },
  Effect.fnUntraced(function*({ every, id, last, reason, rollover, scope, timeZone, unit, ...amounts }) {
    const amount = yield* Amounts.one(amounts)
    if (Option.isSome(every) === Option.isSome(last)) {
      return yield* usage("A limit needs a window", "Give one of --every day and --last 1h")
    }
    const window: Limit["window"] = Option.isSome(every)
      ? { _tag: "calendar", every: every.value, timeZone: Option.getOrElse(timeZone, () => "UTC") }
      : { _tag: "rolling", lengthMs: yield* durationOf("--last", Option.getOrElse(last, () => "")) }
    const query = yield* budgetAt(scope, Option.orElse(unit, () => Option.some(amount.unit)))
    const { limits } = yield* limitsOf(query)
    const over = Option.isNone(rollover) ? undefined : yield* Amounts.inUnit(query.unit, "--rollover", rollover.value)
    const wanted = { id, window, amount, ...(over === undefined ? undefined : { rollover: over }) }
    const others = limits.filter((limit) => limit.id !== id).map(asSet)
    yield* show(yield* put(query, [...others, wanted], reason))
  })
).pipe(
  Command.withDescription("Put a limit on a budget, or change one"),
  Command.withExamples([
    { command: "cycles budget limit set daily tenant:acme --usd 5 --every day --time-zone Europe/Berlin" },
    { command: "cycles budget limit set burst tenant:acme/agent:writer --tokens 20_000 --last 10m" }
  ])
)

const remove = command(
  "remove",
  { id, ...at, reason: reasonFlag, yes: yesFlag },
  Effect.fnUntraced(function*({ id, reason, scope, unit, yes }) {
    const query = yield* budgetAt(scope, unit)
    const { limits } = yield* limitsOf(query)
    if (!limits.some((limit) => limit.id === id)) {
      return yield* new CommandError({
        reason: "NotFound",
        text: `The ${query.unit} budget of ${scope} has no limit ${id}`,
        next: `See cycles budget limit list ${scope}`
      })
    }
    yield* confirm(yes, `Take the limit ${id} off ${scope}?`)
    yield* show(yield* put(query, limits.filter((limit) => limit.id !== id).map(asSet), reason))
  })
).pipe(Command.withDescription("Take a limit off a budget"))

export const limit = Command.make("limit").pipe(
  Command.withDescription("Limits of a budget: how much may be taken within a window of time"),
  Command.withSubcommands([list, set, remove])
)
