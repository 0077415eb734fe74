// The audit: what the wire asks for in the words of the core, and back.
import { idOf } from "effect-cycles/ledger/EventQuery"
import { statusOf } from "effect-cycles/ledger/Logs"
import type { Act } from "effect-cycles/ledger/Model"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Caller } from "../../governance/Access.ts"
import * as Wire from "../../governance/Audit.ts"
import { GovernanceApi } from "../../GovernanceApi.ts"
import { Malformed } from "../answering.ts"
import { MOST_ROWS } from "../governed.ts"
import { given, governed } from "./answers.ts"
import { cursorOf, dataOf, traceOf } from "./events.ts"

const toWire = (act: Act): Wire.AuditLogEntry =>
  given({
    log_id: idOf("log", act),
    timestamp: act.atMs,
    tenant_id: act.tenant,
    key_id: act.keyId,
    operation: act.operation,
    resource_type: act.resourceType,
    resource_id: act.resourceId,
    request_id: act.requestId,
    trace_id: traceOf(act.traceId),
    status: statusOf(act),
    error_code: act.errorCode,
    metadata: given({ actor: act.actor, actor_type: act.actorType, ...dataOf(act.details) })
  })

/** Bounds of the status, and the status itself, are two ways to ask. */
const flawOf = ({ status, status_max, status_min }: Wire.AuditLogsParameters): Malformed | undefined =>
  status !== undefined && (status_min !== undefined || status_max !== undefined)
    ? new Malformed({ field: "status", reason: "it cannot be combined with status_min or status_max" })
    : status_min !== undefined && status_max !== undefined && status_min > status_max
    ? new Malformed({ field: "status_min", reason: "it must not be above status_max" })
    : undefined

const answer = governed("listAuditLogs", Wire.AuditLogListResponse)

export const audit = HttpApiBuilder.group(
  GovernanceApi,
  "audit",
  (handlers) =>
    handlers.handleRaw("listAuditLogs", ({ query }) =>
      answer(Effect.gen(function*() {
        const flaw = flawOf(query)
        if (flaw !== undefined) return yield* Effect.fail(flaw)
        const { governing } = yield* Caller
        const { acts, hasMore, nextCursor } = yield* governing.auditLog({
          tenant: query.tenant_id,
          keyId: query.key_id,
          operations: query.operation,
          status: query.status,
          resourceTypes: query.resource_type,
          resourceId: query.resource_id,
          errorCodes: query.error_code,
          errorCodesExcluded: query.error_code_exclude,
          statusMin: query.status_min,
          statusMax: query.status_max,
          fromMs: query.from,
          toMs: query.to,
          search: query.search,
          traceId: query.trace_id,
          requestId: query.request_id,
          sortBy: query.sort_by,
          sortDir: query.sort_dir,
          cursor: cursorOf(query.cursor),
          limit: query.limit === undefined ? undefined : Math.min(query.limit, MOST_ROWS)
        })
        return given({ logs: acts.map(toWire), next_cursor: nextCursor, has_more: hasMore })
      })))
)
