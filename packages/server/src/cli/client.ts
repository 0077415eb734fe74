/**
 * What the commands that ask an authority have in common.
 *
 * @internal
 */
import * as WireJson from "@effect-cycles/http/WireJson"
import type { Unit } from "effect-cycles/protocol/Amount"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Prompt from "effect/cli/Prompt"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Terminal from "effect/Terminal"
import type { StartupError } from "../StartupError.ts"
import { CommandError, usage } from "./CommandError.ts"
import type { Request } from "./Connection.ts"
import * as Connection from "./Connection.ts"
import { durationOf } from "./durations.ts"
import { AsJson } from "./Output.ts"
import * as Views from "./Views.ts"

/** The end of a command that has told of it already. */
export class Told extends Data.TaggedError("Told")<{ readonly exitCode: number }> {
  override readonly [Runtime.errorExitCode]: number = this.exitCode
}

const tellAsJson = (error: CommandError | StartupError): Effect.Effect<never, Told> =>
  Effect.andThen(
    Console.error(WireJson.stringify(
      error._tag === "CommandError"
        ? {
          error: error.code ?? error.reason.toUpperCase(),
          message: error.text,
          next: error.next,
          details: error.details,
          request_id: error.requestId
        }
        : { error: error.reason, message: error.message }
    )),
    Effect.fail(new Told({ exitCode: Runtime.getErrorExitCode(error) }))
  )

const json = Flag.Boolean("json").pipe(
  Flag.withDescription(
    "Answer as JSON: one document, or a line each for what streams; errors as well, on standard error"
  ),
  Flag.withDefault(false)
)

/** What a command that asks an authority may need. */
export type Needs = Connection.Connection | Scope.Scope | Command.Environment

/** A command that asks an authority. Its handler has the way there, and ends it when it is done. */
export const command = <const Name extends string, const Flags extends Command.Command.Config>(
  name: Name,
  flags: Flags,
  run: (
    input: Command.Command.Config.Infer<Flags>
  ) => Effect.Effect<void, CommandError | Told | Terminal.QuitError, Needs>
) =>
  Command.make(
    name,
    { own: flags, json, connection: Connection.flags },
    (input): Effect.Effect<void, CommandError | StartupError | Terminal.QuitError | Told, Command.Environment> => {
      const asked = Effect.scoped(Effect.flatMap(Connection.open(input.connection), (connection) =>
        // The checker does not see that one flag among others is as one flag alone.
        Effect.provideService(
          run(input.own as Command.Command.Config.Infer<Flags>),
          Connection.Connection,
          connection
        )))
      return Effect.provideService(
        input.json ? Effect.catchTags(asked, { CommandError: tellAsJson, StartupError: tellAsJson }) : asked,
        AsJson,
        input.json
      )
    }
  )

// ---------------------------------------------------------------------------------------------------------------------
// asking
// ---------------------------------------------------------------------------------------------------------------------

/** Asks the authority of the command. */
export const call = (request: Request): Effect.Effect<unknown, CommandError, Connection.Connection> =>
  Effect.flatMap(Connection.Connection, (connection) => connection.call(request))

/** What a command has to know of an answer; the rest of it is for JSON. */
export const read = <A, I>(schema: Schema.Codec<A, I>) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (answer: unknown): Effect.Effect<A, CommandError> =>
    Effect.mapError(decode(answer), ({ message }) =>
      new CommandError({
        reason: "Unreachable",
        text: `The answer cannot be understood: ${message.replaceAll(/\s+/g, " ")}`,
        next: "Is the server of the same version as this program?"
      }))
}

const readPage = read(Schema.Struct({
  next_cursor: Schema.optionalKey(Schema.String),
  has_more: Schema.optionalKey(Schema.Boolean)
}))

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * The rows of a list, page after page, under the name they have in the pages; at most so many.
 */
export const pages = Effect.fnUntraced(function*(
  name: string,
  request: Omit<Request, "method">,
  limit = Infinity
): Effect.fn.Return<ReadonlyArray<unknown>, CommandError, Connection.Connection> {
  const rows: Array<unknown> = []
  let cursor: string | undefined
  do {
    const size = Math.min(100, limit - rows.length)
    const answer = yield* call({ ...request, method: "GET", query: { ...request.query, limit: size, cursor } })
    const page = yield* readPage(answer)
    const found = isRecord(answer) ? answer[name] : undefined
    rows.push(...(Array.isArray(found) ? found : []))
    cursor = page.has_more === false || page.next_cursor === cursor ? undefined : page.next_cursor
  } while (cursor !== undefined && rows.length < limit)
  return rows
})

// ---------------------------------------------------------------------------------------------------------------------
// whose, and which
// ---------------------------------------------------------------------------------------------------------------------

export const tenantFlag = Flag.String("tenant").pipe(
  Flag.withFallbackConfig(Config.String("CYCLES_TENANT")),
  Flag.withAlias("t"),
  Flag.withMetavar("TENANT"),
  Flag.withDescription("Whose; the only tenant there is when not given, or that of the API key [CYCLES_TENANT]"),
  Flag.optional
)

/**
 * The parameter that names the tenant: the one given, or else the only one. A tenant's key says by itself whose it is.
 */
export const tenantOf = Effect.fnUntraced(function*(
  given: Option.Option<string>
): Effect.fn.Return<string | undefined, CommandError, Connection.Connection> {
  if (Option.isSome(given)) return given.value
  const { isOperator } = yield* Connection.Connection
  if (!isOperator) return undefined
  const found = yield* Effect.flatMap(pages("tenants", { path: "/v1/admin/tenants" }, 2), read(Views.Tenants))
  const [first, second] = found
  if (first === undefined) return yield* usage("There is no tenant yet", "Make one: cycles init acme --usd 10")
  return second === undefined
    ? first.tenant_id
    : yield* usage("There are several tenants", "Say which by --tenant or CYCLES_TENANT; see cycles tenant list")
})

/** The tenant whose scope it is. */
export const tenantIn = (scope: string): Effect.Effect<string, CommandError> => {
  const tenant = /^tenant:([^/]+)/.exec(scope)?.[1]
  return tenant === undefined
    ? Effect.fail(usage(`"${scope}" is not a scope`, "Write it in full, as tenant:acme or tenant:acme/agent:writer"))
    : Effect.succeed(tenant)
}

/** Which budget is meant: its scope, and its unit, or the only one there is. */
export const budgetAt = Effect.fnUntraced(function*(
  scope: string,
  unit: Option.Option<Unit>
): Effect.fn.Return<
  { readonly tenant_id: string; readonly scope: string; readonly unit: Unit },
  CommandError,
  Connection.Connection
> {
  const tenant_id = yield* tenantIn(scope)
  if (Option.isSome(unit)) return { tenant_id, scope, unit: unit.value }
  const listed = pages("ledgers", { path: "/v1/admin/budgets", query: { tenant_id, scope_prefix: scope } })
  const found = (yield* Effect.flatMap(listed, read(Views.Budgets))).filter((budget) => budget.scope === scope)
  const [first, second] = found
  if (first === undefined) {
    return yield* new CommandError({
      reason: "NotFound",
      code: "BUDGET_NOT_FOUND",
      text: `There is no budget on ${scope}`,
      next: `See cycles budget list, or open it: cycles budget create ${scope} --usd 10`
    })
  }
  return second === undefined
    ? { tenant_id, scope, unit: first.unit }
    : yield* usage(
      `There are budgets in ${found.map(({ unit }) => unit).join(" and ")} on ${scope}`,
      "Say which by --unit"
    )
})

// ---------------------------------------------------------------------------------------------------------------------
// asking back
// ---------------------------------------------------------------------------------------------------------------------

export const yesFlag = Flag.Boolean("yes").pipe(
  Flag.withAlias("y"),
  Flag.withDescription("Do it without asking back"),
  Flag.withDefault(false)
)

export const reasonFlag = Flag.String("reason").pipe(
  Flag.withDescription("Why, for the audit"),
  Flag.optional
)

/** Makes sure that what cannot be undone is meant. Where nobody can be asked, it has to have been said. */
export const confirm = Effect.fnUntraced(function*(
  yes: boolean,
  question: string
): Effect.fn.Return<void, CommandError | Terminal.QuitError, Command.Environment> {
  if (yes) return
  const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
  if (!canPrompt) return yield* usage(`${question} It needs a yes`, "Give --yes where nobody can be asked")
  const sure = yield* Prompt.run(Prompt.Confirm({ message: question, initial: false }))
  if (!sure) return yield* new CommandError({ reason: "Refused", text: "Nothing was done" })
})

// ---------------------------------------------------------------------------------------------------------------------
// lists
// ---------------------------------------------------------------------------------------------------------------------

export const atMostFlag = Flag.Int("limit").pipe(
  Flag.withDescription("How many at most"),
  Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))),
  Flag.withDefault(50)
)

export const sinceFlag = Flag.String("since").pipe(
  Flag.withDescription("Only from then on: 24h ago, or a date-time such as 2026-01-31T12:00:00Z"),
  Flag.optional
)

/** A point in time: how long ago, or when. */
export const instantOf = (flag: string, text: string): Effect.Effect<string, CommandError> => {
  const when = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(when)
    ? Effect.flatMap(
      durationOf(flag, text),
      (ms) => Effect.map(Clock.currentTimeMillis, (now) => new Date(now - ms).toISOString())
    )
    : Effect.succeed(new Date(when).toISOString())
}
