/**
 * The nine tools: the operations of a budget authority, for a model to call.
 *
 * @internal
 */
import * as WireJson from "@effect-cycles/http/WireJson"
import { BalancesQuery } from "effect-cycles/protocol/Balance"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { isDenied } from "effect-cycles/protocol/CyclesError"
import { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import { ReservationsQuery } from "effect-cycles/protocol/ReservationRecord"
import { DEFAULT_TTL_MS, GracePeriodMs, TtlMs } from "effect-cycles/protocol/Reserve"
import * as Subjects from "effect-cycles/protocol/Subject"
import * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as JsonSchema from "effect/JsonSchema"
import * as Schema from "effect/Schema"
import * as Hints from "./Hints.ts"
import * as Words from "./Words.ts"

/** Whom the tools ask, and who spends where a call does not say. */
export interface Options {
  readonly authority: Operations
  readonly subject: Subjects.Subject
}

/** What every operation's errors have. */
interface Failure {
  readonly _tag: string
  readonly message: string
  readonly code?: string | undefined
  readonly retryAfter?: Duration.Duration | undefined
}

interface Definition<I> {
  readonly name: string
  readonly title: string
  readonly description: string
  readonly changes: boolean
  readonly input: Schema.Codec<I, unknown>
  readonly output: Schema.Constraint
  readonly run: (input: I, options: Options) => Effect.Effect<object, Failure>
}

const define = <I>(definition: Definition<I>): Definition<I> => definition

const spender = (given: Subjects.Subject | undefined, { subject }: Options): Subjects.Subject =>
  Subjects.merge(subject, given)

const reserve = define({
  name: "cycles_reserve",
  title: "Reserve budget",
  description:
    "Hold budget before something is done that costs. Answers ALLOW with a reservationId, ALLOW_WITH_CAPS with " +
    "caps that must be kept, or an error where it is denied: then it must not be done. Afterwards call cycles_commit with " +
    "what it really cost, or cycles_release where it was not done.",
  changes: true,
  input: Schema.Struct({
    idempotencyKey: Words.key,
    subject: Words.subject,
    action: Words.action,
    estimate: Words.AmountTaken,
    ttlMs: Schema.optionalKey(
      TtlMs.annotate({ description: `How long the hold lasts, in milliseconds; ${DEFAULT_TTL_MS} when not given` })
    ),
    gracePeriodMs: Schema.optionalKey(GracePeriodMs),
    overagePolicy: Schema.optionalKey(OveragePolicy),
    dryRun: Schema.optionalKey(
      Schema.Boolean.annotate({ description: "Only say what would be answered; hold nothing" })
    ),
    metadata: Words.metadata
  }),
  output: Words.ReserveGiven,
  run: ({ subject, ...request }, options) =>
    options.authority.reserve({ ...request, subject: spender(subject, options) })
})

const commit = define({
  name: "cycles_commit",
  title: "Commit a reservation",
  description: "Charge what was really used for a reservation, and give the rest of its hold back.",
  changes: true,
  input: Schema.Struct({
    reservationId: Words.reservationId,
    idempotencyKey: Words.key,
    actual: Words.AmountTaken,
    metrics: Words.metrics,
    metadata: Words.metadata
  }),
  output: Words.CommitGiven,
  run: ({ reservationId, ...request }, { authority }) => authority.commit(reservationId, request)
})

const release = define({
  name: "cycles_release",
  title: "Release a reservation",
  description: "Give a reservation back unused, because what it was for was not done.",
  changes: true,
  input: Schema.Struct({
    reservationId: Words.reservationId,
    idempotencyKey: Words.key,
    reason: Schema.optionalKey(Schema.String.check(Schema.isMaxCodePoints(256)))
  }),
  output: Words.ReleaseGiven,
  run: ({ reservationId, ...request }, { authority }) => authority.release(reservationId, request)
})

const extend = define({
  name: "cycles_extend",
  title: "Extend a reservation",
  description: "Let a reservation last longer, for work that is not done yet.",
  changes: true,
  input: Schema.Struct({
    reservationId: Words.reservationId,
    idempotencyKey: Words.key,
    extendByMs: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400_000 })),
    metadata: Words.metadata
  }),
  output: Words.ExtendGiven,
  run: ({ reservationId, ...request }, { authority }) => authority.extend(reservationId, request)
})

const decide = define({
  name: "cycles_decide",
  title: "Ask what would be allowed",
  description: "Ask whether something would be allowed now, without holding anything for it. DENY is an answer here.",
  changes: false,
  input: Schema.Struct({
    idempotencyKey: Words.key,
    subject: Words.subject,
    action: Words.action,
    estimate: Words.AmountTaken,
    metadata: Words.metadata
  }),
  output: Words.DecideGiven,
  run: ({ subject, ...request }, options) =>
    options.authority.decide({ ...request, subject: spender(subject, options) })
})

const checkBalance = define({
  name: "cycles_check_balance",
  title: "Check balances",
  description:
    "See what is left of the budgets whose scopes have the given parts; of this server's tenant where none is given.",
  changes: false,
  input: Schema.toType(BalancesQuery),
  output: Words.BalancesGiven,
  run: (query, { authority, subject }) =>
    authority.balances(
      Subjects.levels.some((level) => query[level] !== undefined) || subject.tenant === undefined
        ? query
        : { ...query, tenant: subject.tenant }
    )
})

const listReservations = define({
  name: "cycles_list_reservations",
  title: "List reservations",
  description: "List the tenant's reservations, for example those with status ACTIVE, a page at a time.",
  changes: false,
  input: Schema.toType(ReservationsQuery),
  output: Words.ReservationsGiven,
  run: (query, { authority }) => authority.reservations(query)
})

const getReservation = define({
  name: "cycles_get_reservation",
  title: "Get a reservation",
  description: "See one reservation: its status, what it holds and when it ends.",
  changes: false,
  input: Schema.Struct({ reservationId: Words.reservationId }),
  output: Words.ReservationGiven,
  run: ({ reservationId }, { authority }) => authority.reservation(reservationId)
})

const createEvent = define({
  name: "cycles_create_event",
  title: "Charge what has happened",
  description: "Charge something that has happened already and was not reserved.",
  changes: true,
  input: Schema.Struct({
    idempotencyKey: Words.key,
    subject: Words.subject,
    action: Words.action,
    actual: Words.AmountTaken,
    overagePolicy: Schema.optionalKey(OveragePolicy),
    metrics: Words.metrics,
    clientTimeMs: Schema.optionalKey(Schema.Natural),
    metadata: Words.metadata
  }),
  output: Words.EventGiven,
  run: ({ subject, ...request }, options) => options.authority.event({ ...request, subject: spender(subject, options) })
})

// ---------------------------------------------------------------------------------------------------------------------
// offering them
// ---------------------------------------------------------------------------------------------------------------------

const jsonSchema = (schema: Schema.Constraint, onExcessProperty: "error" | "ignore"): JsonSchema.JsonSchema => {
  const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema, { onExcessProperty })
  return Object.keys(definitions).length === 0 ? root : { ...root, $defs: definitions }
}

const text = (text: string): McpSchema.CallToolResult["content"][number] => ({ type: "text", text })

const failed = (...lines: ReadonlyArray<string>): McpSchema.CallToolResult =>
  new McpSchema.CallToolResult({ isError: true, content: lines.map(text) })

const answered = (reply: object): McpSchema.CallToolResult => {
  const shown = Words.plain(reply)
  return new McpSchema.CallToolResult({
    structuredContent: shown,
    content: [WireJson.stringify(shown), ...Hints.of(reply)].map(text)
  })
}

const refused = (error: Failure): McpSchema.CallToolResult => {
  const { code, message, retryAfter } = error
  const said = code === undefined ? message : `${code}: ${message}`
  return isDenied(error)
    ? failed(said, Hints.denied(code, retryAfter === undefined ? undefined : Duration.toMillis(retryAfter)))
    : failed(said)
}

const add = <I>(definition: Definition<I>, options: Options): Effect.Effect<void, never, McpServer.McpServer> =>
  Effect.flatMap(McpServer.McpServer, (server) => {
    const { changes, description, input, name, output, run, title } = definition
    const decode = Schema.decodeUnknownEffect(input, { onExcessProperty: "error", errors: "all" })
    return server.addTool({
      tool: new McpSchema.Tool({
        name,
        title,
        description,
        inputSchema: { ...jsonSchema(input, "error"), type: "object" },
        outputSchema: { ...jsonSchema(output, "ignore"), type: "object" },
        annotations: {
          title,
          readOnlyHint: !changes,
          destructiveHint: false,
          idempotentHint: true,
          openWorldHint: false
        }
      }),
      annotations: Context.empty(),
      handle: (given) =>
        decode(given ?? {}).pipe(
          Effect.flatMap((request) => run(request, options)),
          Effect.match({
            onSuccess: answered,
            onFailure: (error) =>
              Schema.isSchemaError(error)
                ? failed(
                  `INVALID_REQUEST: ${error.message}`,
                  "HINT: nothing was done. Correct the arguments and call it again."
                )
                : refused(error)
          })
        )
    })
  })

/** Adds the tools to a server. */
export const register = (options: Options): Effect.Effect<void, never, McpServer.McpServer> =>
  Effect.all([
    add(reserve, options),
    add(commit, options),
    add(release, options),
    add(extend, options),
    add(decide, options),
    add(checkBalance, options),
    add(listReservations, options),
    add(getReservation, options),
    add(createEvent, options)
  ], { discard: true })
