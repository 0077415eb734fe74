// Events: what the wire asks for in the words of the core, and back.
import * as EventQuery from "effect-cycles/ledger/EventQuery"
import type * as Core from "effect-cycles/ledger/Governance"
import { correlationOf } from "effect-cycles/ledger/Logs"
import type { Details, LedgerEvent } from "effect-cycles/ledger/Model"
import { Cursor } from "effect-cycles/protocol/Ids"
import type { JsonObject } from "effect-cycles/protocol/Metrics"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Caller } from "../../governance/Access.ts"
import * as Wire from "../../governance/Events.ts"
import { GovernanceApi } from "../../GovernanceApi.ts"
import { given, governed } from "./answers.ts"

/** Details as JSON has them: without the members that have no value. */
export const dataOf = (details: Details): JsonObject =>
  Object.fromEntries(
    Object.entries(details).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, isDetails(value) ? dataOf(value) : value]]
    )
  )

const isDetails = (value: Details[string]): value is Details => typeof value === "object" && !Array.isArray(value)

/** A trace as the wire has it; a program may have called its own by anything. */
export const traceOf = (traceId: string | undefined): string | undefined =>
  traceId !== undefined && /^[0-9a-f]{32}$/.test(traceId) ? traceId : undefined

/** Who it was; of what an earlier version wrote, as far as the name says. */
const actorOf = ({ actor, actorType, keyId }: LedgerEvent): Wire.Event["actor"] => {
  const key = keyId ?? (actorType === undefined && actor.startsWith("key_") ? actor : undefined)
  const type = actorType ?? (key !== undefined ? "api_key" : actor === "system" ? "system" : undefined)
  return type === undefined ? undefined : given({ type, key_id: key })
}

const sources: { readonly [type: string]: string } = {
  "reservation.expired": "expiry-sweeper",
  "budget.burn_rate_anomaly": "anomaly-detector"
}

export const toWire = (event: LedgerEvent): Wire.Event =>
  given({
    event_id: EventQuery.idOf("evt", event),
    // The core has no other types than the specification's.
    event_type: event.type as Wire.Event["event_type"],
    category: EventQuery.categoryOf(event) as Wire.Event["category"],
    timestamp: event.atMs,
    tenant_id: event.tenant,
    scope: event.scope,
    actor: actorOf(event),
    source: sources[event.type] ?? "cycles-server",
    data: dataOf(event.details),
    correlation_id: correlationOf(event),
    request_id: event.requestId,
    trace_id: traceOf(event.traceId)
  })

/** The text of a cursor; one that is none is refused where it is read. */
export const cursorOf = (text: string | undefined): Cursor | undefined =>
  text === undefined ? undefined : Cursor.make(text)

const pageOf = ({ events, hasMore, nextCursor }: Core.EventsPage): Wire.EventListResponse =>
  given({ events: events.map(toWire), next_cursor: nextCursor, has_more: hasMore })

const queryOf = (query: Wire.EventsParameters): EventQuery.EventQuery => ({
  tenant: query.tenant_id,
  type: query.event_type,
  category: query.category,
  scope: query.scope,
  correlationId: query.correlation_id,
  traceId: query.trace_id,
  requestId: query.request_id,
  fromMs: query.from,
  toMs: query.to,
  search: query.search,
  sortBy: query.sort_by,
  sortDir: query.sort_dir,
  cursor: cursorOf(query.cursor),
  limit: query.limit
})

const answers = {
  list: governed("listEvents", Wire.EventListResponse),
  get: governed("getEvent", Wire.Event),
  own: governed("listTenantEvents", Wire.EventListResponse)
}

export const events = HttpApiBuilder.group(GovernanceApi, "events", (handlers) =>
  handlers
    .handleRaw("listEvents", ({ query }) =>
      answers.list(
        Effect.flatMap(Caller, ({ governing }) => Effect.map(governing.events(queryOf(query)), pageOf))
      ))
    .handleRaw("getEvent", ({ params }) =>
      answers.get(
        Effect.flatMap(Caller, ({ governing }) => Effect.map(governing.event(params.event_id), toWire))
      )))

export const tenantEvents = HttpApiBuilder.group(
  GovernanceApi,
  "tenantEvents",
  (handlers) =>
    handlers.handleRaw("listTenantEvents", ({ query }) =>
      answers.own(
        Effect.flatMap(Caller, ({ governing }) => Effect.map(governing.events(queryOf(query)), pageOf))
      ))
)
