/**
 * `cycles events`: what a ledger told.
 *
 * @internal
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { atMostFlag, command, instantOf, pages, read, sinceFlag, tenantFlag, tenantOf } from "./client.ts"
import type { Request } from "./Connection.ts"
import { Connection } from "./Connection.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const word = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

/** One event in a line. */
export const lineOf = ({ data, event_type, scope, timestamp }: Views.Event): ReadonlyArray<string | undefined> => [
  timestamp,
  event_type,
  scope ?? word(data?.["scope"]),
  [word(data?.["reason_code"]), word(data?.["reason"]), word(data?.["suggested_fix"])]
    .filter((text) => text !== undefined)
    .join(", ")
]

/** Some events, an operator's of any tenant or a tenant's own: newest first unless the query says otherwise. */
export const eventsOf = (query: Request["query"], limit?: number) =>
  Effect.flatMap(
    Connection,
    ({ isOperator }) => pages("events", { path: isOperator ? "/v1/admin/events" : "/v1/events", query }, limit)
  )

export const events = command(
  "events",
  {
    tenant: tenantFlag,
    type: Flag.String("type").pipe(
      Flag.withDescription("Only of this type, for example reservation.denied"),
      Flag.optional
    ),
    since: sinceFlag,
    limit: atMostFlag
  },
  Effect.fnUntraced(function*({ limit, since, tenant, type }) {
    const tenant_id = yield* tenantOf(tenant)
    const from = Option.isNone(since) ? undefined : yield* instantOf("--since", since.value)
    const events = yield* eventsOf({ tenant_id, event_type: Option.getOrUndefined(type), from }, limit)
    const rows = yield* read(Views.Events)(events)
    yield* Output.print({ events }, (paint) => Output.table(paint, ["AT", "EVENT", "SCOPE", "WHY"], rows.map(lineOf)))
  })
).pipe(
  Command.withDescription("List what happened that somebody should know: denials, thresholds, expiries; newest first"),
  Command.withExamples([{ command: "cycles events --type reservation.denied --since 24h" }])
)
