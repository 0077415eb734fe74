/**
 * `cycles reservations`: the holds of a tenant.
 *
 * @internal
 */
import * as Amount from "effect-cycles/protocol/Amount"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { randomUUID } from "node:crypto"
import { atMostFlag, call, command, confirm, pages, read, tenantFlag, tenantOf, yesFlag } from "./client.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const PATH = "/v1/reservations"

const pathOf = (id: string): string => `${PATH}/${encodeURIComponent(id)}`

const id = Argument.String("reservation").pipe(Argument.withDescription("The reservation's id"))

const at = (ms: number): string => new Date(ms).toISOString()

const list = command(
  "list",
  {
    tenant: tenantFlag,
    status: Flag.Literals("status", ["ACTIVE", "COMMITTED", "RELEASED", "EXPIRED"]).pipe(
      Flag.withDescription("Only those of this status"),
      Flag.optional
    ),
    agent: Flag.String("agent").pipe(Flag.withDescription("Only those of this agent"), Flag.optional),
    workflow: Flag.String("workflow").pipe(Flag.withDescription("Only those of this workflow"), Flag.optional),
    limit: atMostFlag
  },
  Effect.fnUntraced(function*({ agent, limit, status, tenant, workflow }) {
    const reservations = yield* pages("reservations", {
      path: PATH,
      query: {
        tenant: yield* tenantOf(tenant),
        status: Option.getOrUndefined(status),
        agent: Option.getOrUndefined(agent),
        workflow: Option.getOrUndefined(workflow)
      }
    }, limit)
    const rows = yield* read(Views.Reservations)(reservations)
    yield* Output.print({ reservations }, (paint) =>
      Output.table(
        paint,
        ["RESERVATION", "STATUS", "HELD", "CHARGED", "ACTION", "SCOPE", "EXPIRES"],
        rows.map(({ action, committed, expires_at_ms, reservation_id, reserved, scope_path, status }) => [
          reservation_id,
          status,
          Amount.format(reserved),
          committed === undefined ? "" : Amount.format(committed),
          `${action.kind} ${action.name}`,
          scope_path,
          at(expires_at_ms)
        ])
      ))
  })
).pipe(
  Command.withDescription("List the reservations of a tenant, newest first"),
  Command.withExamples([{ command: "cycles reservations list --tenant acme --status ACTIVE" }])
)

const show = command(
  "show",
  { id },
  Effect.fnUntraced(function*({ id }) {
    const answer = yield* call({ method: "GET", path: pathOf(id) })
    const row = yield* read(Views.Reservation)(answer)
    yield* Output.print(answer, (paint) =>
      Output.facts(paint, [
        ["reservation", row.reservation_id],
        ["status", row.status],
        ["held", Amount.format(row.reserved)],
        ["charged", row.committed === undefined ? undefined : Amount.format(row.committed)],
        ["action", `${row.action.kind} ${row.action.name}`],
        ["scope", row.scope_path],
        ["taken", at(row.created_at_ms)],
        ["expires", at(row.expires_at_ms)]
      ]))
  })
).pipe(Command.withDescription("Show one reservation"))

const release = command(
  "release",
  {
    id,
    reason: Flag.String("reason").pipe(Flag.withDescription("Why; kept with the entry and the audit")),
    yes: yesFlag
  },
  Effect.fnUntraced(function*({ id, reason, yes }) {
    yield* confirm(yes, `Release ${id}, whoever works under it?`)
    const answer = yield* call({
      method: "POST",
      path: `${pathOf(id)}/release`,
      body: { idempotency_key: randomUUID(), reason }
    })
    yield* Output.print(answer, () => `${id} is released`)
  })
).pipe(
  Command.withDescription("Release a hold in its owner's place; what it held is free at once"),
  Command.withExamples([{ command: "cycles reservations release 0198-… --reason \"the worker is gone\" --yes" }])
)

export const reservations = Command.make("reservations").pipe(
  Command.withDescription("Reservations: the holds of a tenant"),
  Command.withSubcommands([list, show, release])
)
