/**
 * `cycles explain`: why a balance stands where it stands.
 *
 * @internal
 */
import { Explanation } from "@effect-cycles/http/HistoryApi"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Amounts from "./Amounts.ts"
import { scopeArgument } from "./budget.ts"
import { budgetAt, call, command, read } from "./client.ts"
import * as Output from "./Output.ts"

export const explain = command(
  "explain",
  {
    scope: scopeArgument,
    unit: Amounts.unitFlag,
    limit: Flag.Int("limit").pipe(
      Flag.withDescription("How many entries, newest first"),
      Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000 }))),
      Flag.withDefault(20)
    ),
    from: Flag.Int("from").pipe(
      Flag.withDescription("Go on from here, as the end of a longer answer says"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function*({ from, limit, scope, unit }) {
    const query = yield* budgetAt(scope, unit)
    const answer = yield* call({
      method: "GET",
      path: "/v1/admin/history/explain",
      query: { ...query, limit, from: Option.getOrUndefined(from) }
    })
    const { denial, lines, next } = yield* read(Explanation)(answer)
    const at = (ms: number): string => new Date(ms).toISOString()
    yield* Output.print(answer, (paint) =>
      [
        ...(denial === undefined
          ? []
          : [`${paint("red", "last denied")} ${at(denial.atMs)}  ${Output.plain(denial.text)}`, ""]),
        ...lines.map(({ actor, atMs, text }) =>
          `${paint("dim", at(atMs))}  ${Output.plain(text)} ${paint("dim", `by ${Output.plain(actor)}`)}`
        ),
        ...(next === undefined ? [] : [paint("dim", `older entries: cycles explain ${scope} --from ${next}`)])
      ].join("\n"))
  })
).pipe(
  Command.withDescription("Say why a budget stands where it stands, and why a hold was last denied there"),
  Command.withExamples([{ command: "cycles explain tenant:acme/agent:writer" }])
)
