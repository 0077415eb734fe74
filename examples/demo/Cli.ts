/**
 * The demo as a command: arguments in, a report out, an exit code at the end.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Card from "./Card.ts"
import * as Demo from "./Demo.ts"
import * as Display from "./Display.ts"
import * as Pricing from "./Pricing.ts"
import * as Settings from "./Settings.ts"
import * as Tickets from "./Tickets.ts"

export class DoesNotAddUp extends Schema.TaggedError<DoesNotAddUp>()("DoesNotAddUp", {
  claims: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `the numbers do not add up: ${this.claims.join("; ")}`
  }
}

export interface Process {
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: Display.Output
  readonly stderr: Display.Output
}

const show = Effect.fnUntraced(function*(report: Card.Report) {
  const { print, style } = yield* Display.Display
  yield* print(
    style.live
      ? ["", ...Card.checkTable(report.checks, style), "", ...Card.card(report, style)]
      : ["", ...Card.checkList(report.checks, style), "", ...Card.summary(report)]
  )
})

/** Every failure is one line on stderr; those the user can put right have exit code 2. */
export const run = Effect.fn("Cli.run")(
  function*({ args, env, stderr, stdout }: Process) {
    const print = (text: string) => Effect.sync(() => void stdout.write(`${text}\n`))
    const flags = yield* Settings.parse(args)
    if (flags.help) return yield* print(Settings.help)

    const real = yield* Settings.endpoint
    const tickets = yield* Tickets.read(flags.input)
    const prices = yield* Pricing.find(Option.match(real, { onNone: () => "gpt-4o", onSome: ({ model }) => model }))

    const report = yield* Effect.tap(Demo.run({ ...flags, tickets, prices, real }), show).pipe(
      Effect.provide(Display.layer(Display.style(flags.json ? stderr : stdout, env)))
    )
    if (flags.json) yield* print(JSON.stringify({ ok: Card.holds(report), ...report }))
    if (!Card.holds(report)) {
      return yield* new DoesNotAddUp({ claims: report.checks.filter(({ holds }) => !holds).map(({ claim }) => claim) })
    }
  },
  // Found elsewhere, but the user's to put right all the same.
  Effect.catchTag(["NoTickets", "UnpricedModel"], ({ message: reason }) => new Settings.UsageError({ reason })),
  (run, { stderr }) =>
    Effect.tapError(run, ({ message }) => Effect.sync(() => void stderr.write(`demo: ${message}\n`))),
  // Stdout is the report's alone.
  Effect.provide(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, Layer.succeed(Logger.LogToStderr, true)))
)
