/**
 * `cycles mcp`: budgets as tools for a model, or the tools of another MCP server behind a budget.
 *
 * @internal
 */
import * as Amount from "effect-cycles/protocol/Amount"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Amounts from "./Amounts.ts"
import * as Authority from "./Authority.ts"
import { tenantFlag } from "./client.ts"
import { CommandError, usage } from "./CommandError.ts"
import * as Connection from "./Connection.ts"
import { untilSignal } from "./Ending.ts"
import * as Log from "./Log.ts"

const named = (level: string, variable: string) =>
  Flag.String(level).pipe(
    Flag.withFallbackConfig(Config.String(variable)),
    Flag.withDescription(`The ${level} that spends where a call names none [${variable}]`),
    Flag.optional
  )

const flags = {
  transport: Flag.Literals("transport", ["stdio", "http"]).pipe(
    Flag.withDescription("How clients speak to it: over its standard streams, or over HTTP at /mcp"),
    Flag.withDefault("stdio")
  ),
  host: Flag.String("host").pipe(
    Flag.withFallbackConfig(Config.String("CYCLES_MCP_HOST")),
    Flag.withDescription("The address to listen on; one that other machines reach needs a token [CYCLES_MCP_HOST]"),
    Flag.withDefault("127.0.0.1")
  ),
  port: Flag.Int("port").pipe(
    Flag.withFallbackConfig(Config.Int("CYCLES_MCP_PORT")),
    Flag.withDescription("The port to listen on; a free one with 0 [CYCLES_MCP_PORT]"),
    Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))),
    Flag.withDefault(7_880)
  ),
  token: Flag.Redacted("token").pipe(
    Flag.withFallbackConfig(Config.Redacted("CYCLES_MCP_TOKEN")),
    Flag.withDescription(
      "What clients have to send as a bearer token; the variable keeps it out of the list of processes [CYCLES_MCP_TOKEN]"
    ),
    Flag.optional
  ),
  origins: Flag.String("allow-origin").pipe(
    Flag.withMetavar("ORIGIN"),
    Flag.withDescription("An origin whose pages may ask; none unless given. Can be repeated"),
    Flag.atLeast(0)
  ),
  tenant: tenantFlag,
  workspace: named("workspace", "CYCLES_WORKSPACE"),
  app: named("app", "CYCLES_APP"),
  workflow: named("workflow", "CYCLES_WORKFLOW"),
  agent: named("agent", "CYCLES_AGENT"),
  toolset: named("toolset", "CYCLES_TOOLSET"),
  guard: Flag.Boolean("guard").pipe(
    Flag.withDescription("Offer the tools of the MCP server that COMMAND starts, and reserve for each call of one"),
    Flag.withDefault(false)
  ),
  cost: Flag.String("cost").pipe(
    Flag.withMetavar("TOOLS=AMOUNT"),
    Flag.withDescription(
      "What a call costs of the tools whose names match, as in send_*=40; 0 needs no budget. The first that matches counts, " +
        "and what none matches costs 1 (a cent with usd). Can be repeated"
    ),
    Flag.atLeast(0)
  ),
  unit: Amounts.unitFlag.pipe(Flag.map(Option.getOrElse((): Amount.Unit => "RISK_POINTS"))),
  kind: Flag.String("kind").pipe(
    Flag.withDescription("The kind of the guarded actions; their name is the tool's"),
    Flag.withDefault("tool.call")
  ),
  onFailure: Flag.Literals("on-failure", ["commit", "release"]).pipe(
    Flag.withDescription(
      "What a call costs that failed: what it was to cost, since it may have done something, or nothing"
    ),
    Flag.withDefault("commit")
  ),
  command: Argument.String("command").pipe(
    Argument.withDescription("With --guard, after --: the server to start, and its arguments"),
    Argument.variadic()
  ),
  logFormat: Flag.Literals("log-format", ["text", "json"]).pipe(
    Flag.withDescription("How the log is written, on the standard error"),
    Flag.withDefault("text")
  ),
  connection: Connection.flags
}

type Settings = { readonly [K in keyof typeof flags]: Command.Command.Config.Infer<typeof flags>[K] }

const subjectOf = (settings: Settings, tenant: string | undefined): Subject => {
  const levels = ["workspace", "app", "workflow", "agent", "toolset"] as const
  return Object.fromEntries([
    ...(tenant === undefined ? [] : [["tenant", tenant]]),
    ...levels.flatMap((level) => Option.isSome(settings[level]) ? [[level, settings[level].value]] : [])
  ])
}

const costOf = (unit: Amount.Unit, rule: string): Effect.Effect<readonly [string, Amount.AnyAmount], CommandError> => {
  const at = rule.lastIndexOf("=")
  return at < 1
    ? Effect.fail(usage(`--cost ${rule} names no tools or no amount`, "Write it as send_*=40"))
    : Effect.map(Amounts.inUnit(unit, `--cost ${rule}`, rule.slice(at + 1)), (cost) => [rule.slice(0, at), cost])
}

/** What a call costs that no rule is about. */
const otherwise = (unit: Amount.Unit): Amount.AnyAmount =>
  unit === "USD_MICROCENTS" ? Amount.usd("0.01") : Amount.make(unit, 1)

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/

const check = Effect.fnUntraced(function*({ command, cost, guard, host, token, transport }: Settings) {
  if (transport === "http" && Option.isNone(token) && !LOOPBACK.test(host)) {
    return yield* usage(`Other machines reach ${host}, and there is no token`, "Set CYCLES_MCP_TOKEN")
  }
  if (guard && command.length === 0) {
    return yield* usage("--guard needs the server to start", "Name it: cycles mcp --guard -- npx some-mcp-server")
  }
  if (!guard && (command.length > 0 || cost.length > 0)) {
    return yield* usage("A command and --cost are for guarding a server", "Add --guard")
  }
})

const run = Effect.fnUntraced(function*(settings: Settings) {
  yield* check(settings)
  const { unit } = settings
  const rules = yield* Effect.forEach(settings.cost, (rule) => costOf(unit, rule))
  const { authority, place, tenant } = yield* Authority.open(settings.connection, settings.tenant)
  const subject = subjectOf(settings, tenant)
  // What this needs is loaded by no other command.
  const Mcp = yield* Effect.promise(() => import("../mcp/Mcp.ts"))
  const served = settings.guard
    ? yield* Mcp.guarded({
      authority,
      subject,
      command: settings.command,
      rules,
      otherwise: otherwise(unit),
      kind: settings.kind,
      onFailure: settings.onFailure
    }).pipe(Effect.mapError(({ message }) =>
      new CommandError({
        reason: "Unreachable",
        text: `${settings.command[0]} is no MCP server that can be spoken to: ${message}`,
        next: "Try the command by itself; it has to speak MCP 2025-11-25 over its standard streams"
      })
    ))
    : Mcp.offered({ authority, subject })
  if (settings.transport === "stdio") {
    yield* Effect.logInfo(`MCP over the standard streams, asking ${place}`)
    const ended = yield* Effect.raceFirst(Effect.as(Mcp.stdio(served), "closed by the client"), untilSignal)
    return yield* Effect.logInfo(`${ended}: stopped`)
  }
  const { url } = yield* Mcp.http(served, {
    host: settings.host,
    port: settings.port,
    token: Option.getOrUndefined(settings.token),
    allowedOrigins: settings.origins
  })
  yield* Effect.logInfo(`MCP at ${url}/mcp, asking ${place}`)
  const signal = yield* untilSignal
  yield* Effect.logInfo(`${signal}: stopped`)
}, (self, settings) => self.pipe(Effect.scoped, Effect.provide(Log.layer(settings.logFormat))))

export const mcp = Command.make("mcp", flags, run).pipe(
  Command.withDescription(
    "Serve MCP: budgets as tools for a model, or with --guard the tools of another MCP server behind a budget"
  ),
  Command.withShortDescription("Serve MCP: budgets as tools, or tools behind a budget"),
  Command.withExamples([
    { command: "cycles mcp --tenant acme", description: "for the configuration of an MCP client" },
    { command: "cycles mcp --guard --cost \"send_*=40\" --agent mailer -- npx some-mail-server" },
    { command: "cycles mcp --transport http --port 7880" }
  ])
)
