/**
 * `cycles watch`: balances and events as they change.
 *
 * @internal
 */
import * as WireJson from "@effect-cycles/http/WireJson"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { budgetsOf, draw } from "./balances.ts"
import { command, read, tenantFlag, tenantOf } from "./client.ts"
import { Connection } from "./Connection.ts"
import { durationOf } from "./durations.ts"
import { eventsOf, lineOf } from "./events.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const SHOWN = 10
/** Events are told in order of time; those of one moment may come in two looks. */
const REMEMBERED = 1_000

const idOf = Schema.decodeUnknownSync(Schema.Struct({ event_id: Schema.String, timestamp: Schema.String }))

export const watch = command(
  "watch",
  {
    tenant: tenantFlag,
    every: Flag.String("every").pipe(
      Flag.withDescription("How often to look, for example 500ms or 5s"),
      Flag.withDefault("2s")
    ),
    count: Flag.Int("count").pipe(
      Flag.withDescription("End after so many looks; never when 0"),
      Flag.withSchema(Schema.Natural),
      Flag.withDefault(0)
    )
  },
  Effect.fnUntraced(function*({ count, every, tenant }) {
    const pause = Math.max(100, yield* durationOf("--every", every))
    const tenant_id = yield* tenantOf(tenant)
    const { isOperator, place } = yield* Connection
    const asJson = yield* Output.AsJson
    const { canAnimate } = yield* TerminalCapabilities.TerminalCapabilities
    const paint = yield* Output.paint
    const known = new Set<string>()
    let from: string | undefined
    let before = ""
    let recent: ReadonlyArray<unknown> = []

    /** What was told since the last look, oldest first; the first look has the last few. */
    const told = Effect.fnUntraced(function*() {
      const found = from === undefined
        ? (yield* eventsOf({ tenant_id }, SHOWN)).toReversed()
        : yield* eventsOf({ tenant_id, from, sort_dir: "asc" })
      const fresh = found.filter((event) => !known.has(idOf(event).event_id))
      for (const event of fresh) known.add(idOf(event).event_id)
      for (const id of known) if (known.size > REMEMBERED) known.delete(id)
      const last = found[found.length - 1]
      if (last !== undefined) from = idOf(last).timestamp
      return fresh
    }, (effect) =>
      // A tenant's key may see balances and no events: then it watches those.
      isOperator ? effect : Effect.catchIf(
        effect,
        ({ code }) => code === "FORBIDDEN" || code === "INSUFFICIENT_PERMISSIONS",
        () => Effect.succeed([])
      ))

    const look = Effect.gen(function*() {
      const ledgers = yield* budgetsOf(tenant_id, undefined)
      const fresh = yield* told()
      const at = new Date(yield* Clock.currentTimeMillis).toISOString()
      const now = WireJson.stringify(ledgers)
      const isChanged = now !== before
      before = now
      if (asJson) {
        if (isChanged) yield* Console.log(WireJson.stringify({ type: "balances", at, ledgers }))
        yield* Effect.forEach(fresh, (event) => Console.log(WireJson.stringify({ type: "event", event })), {
          discard: true
        })
        return
      }
      recent = [...recent, ...fresh].slice(-SHOWN)
      if (!isChanged && fresh.length === 0 && !canAnimate) return
      const budgets = yield* read(Views.Budgets)(ledgers)
      const events = yield* read(Views.Events)(recent)
      const screen = [
        `${paint("bold", tenant_id ?? "cycles")} ${paint("dim", `at ${place}, ${at}`)}`,
        "",
        draw(budgets, paint),
        "",
        events.length === 0
          ? paint("dim", "no events yet")
          : Output.table(paint, ["AT", "EVENT", "SCOPE", "WHY"], events.map(lineOf))
      ].join("\n")
      // Home, and everything below it cleared.
      yield* Console.log(canAnimate ? `\u001b[H\u001b[2J${screen}` : `${screen}\n`)
    })

    for (let looks = 1;; looks++) {
      yield* look
      if (looks === count) return
      yield* Effect.sleep(pause)
    }
  })
).pipe(
  Command.withDescription("Show balances and events as they change, until Ctrl+C; with --json a line for each change"),
  Command.withExamples([
    { command: "cycles watch --tenant acme" },
    { command: "cycles watch --tenant acme --json --every 500ms" }
  ])
)
