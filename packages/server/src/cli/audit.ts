/**
 * `cycles audit`: who governed what.
 *
 * @internal
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { atMostFlag, command, instantOf, pages, read, sinceFlag, tenantFlag, tenantOf } from "./client.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

export const audit = command(
  "audit",
  {
    tenant: tenantFlag,
    operation: Flag.String("operation").pipe(
      Flag.withDescription("Only this, for example createBudget"),
      Flag.optional
    ),
    since: sinceFlag,
    limit: atMostFlag
  },
  Effect.fnUntraced(function*({ limit, operation, since, tenant }) {
    const tenant_id = yield* tenantOf(tenant)
    const from = Option.isNone(since) ? undefined : yield* instantOf("--since", since.value)
    const logs = yield* pages("logs", {
      path: "/v1/admin/audit/logs",
      query: { tenant_id, operation: Option.getOrUndefined(operation), from }
    }, limit)
    const rows = yield* read(Views.AuditEntries)(logs)
    yield* Output.print({ logs }, (paint) =>
      Output.table(
        paint,
        ["AT", "OPERATION", "STATUS", "WHAT"],
        rows.map(({ error_code, operation, resource_id, resource_type, status, timestamp }) => [
          timestamp,
          operation,
          error_code === undefined ? String(status) : `${status} ${error_code}`,
          [resource_type, resource_id].filter((text) => text !== undefined).join(" ")
        ])
      ))
  })
).pipe(
  Command.withDescription("List what was done and refused in governing a tenant, newest first"),
  Command.withExamples([{ command: "cycles audit --tenant acme --since 7d" }])
)
