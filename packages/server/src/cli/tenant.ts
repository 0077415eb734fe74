/**
 * `cycles tenant`: who has budgets.
 *
 * @internal
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { call, command, confirm, pages, read, yesFlag } from "./client.ts"
import type { Paint } from "./Output.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const PATH = "/v1/admin/tenants"

const pathOf = (id: string): string => `${PATH}/${encodeURIComponent(id)}`

const id = Argument.String("tenant").pipe(Argument.withDescription("The tenant's id"))

const wordsFor = (tenant: Views.Tenant) => (paint: Paint): string =>
  Output.facts(paint, [
    ["tenant", tenant.tenant_id],
    ["name", tenant.name],
    ["status", tenant.status],
    ["parent", tenant.parent_tenant_id],
    ["overage policy", tenant.default_commit_overage_policy],
    ["created", tenant.created_at]
  ])

const show = (answer: unknown) =>
  Effect.flatMap(read(Views.Tenant)(answer), (tenant) => Output.print(answer, wordsFor(tenant)))

const list = command(
  "list",
  {
    status: Flag.Literals("status", ["ACTIVE", "SUSPENDED", "CLOSED"]).pipe(
      Flag.withDescription("Only those of this status"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function*({ status }) {
    const tenants = yield* pages("tenants", { path: PATH, query: { status: Option.getOrUndefined(status) } })
    const rows = yield* read(Views.Tenants)(tenants)
    yield* Output.print({ tenants }, (paint) =>
      Output.table(
        paint,
        ["TENANT", "NAME", "STATUS", "CREATED"],
        rows.map(({ created_at, name, status, tenant_id }) => [tenant_id, name, status, created_at])
      ))
  })
).pipe(Command.withDescription("List the tenants"))

const create = command(
  "create",
  {
    id,
    name: Flag.String("name").pipe(Flag.withDescription("What people call it; the id when not given"), Flag.optional),
    parent: Flag.String("parent").pipe(Flag.withDescription("The tenant it belongs under"), Flag.optional)
  },
  Effect.fnUntraced(function*({ id, name, parent }) {
    yield* show(
      yield* call({
        method: "POST",
        path: PATH,
        body: {
          tenant_id: id,
          name: Option.getOrElse(name, () => id),
          parent_tenant_id: Option.getOrUndefined(parent)
        }
      })
    )
  })
).pipe(
  Command.withDescription("Register a tenant: 3 to 64 of a to z, 0 to 9 and -"),
  Command.withExamples([{ command: "cycles tenant create acme --name \"Acme Corporation\"" }])
)

const showOne = command(
  "show",
  { id },
  ({ id }) => Effect.flatMap(call({ method: "GET", path: pathOf(id) }), show)
).pipe(Command.withDescription("Show one tenant"))

const changed = (id: string, status: string) =>
  Effect.flatMap(call({ method: "PATCH", path: pathOf(id), body: { status } }), show)

const suspend = command("suspend", { id }, ({ id }) => changed(id, "SUSPENDED")).pipe(
  Command.withDescription("Give the tenant no new holds; those it has can be settled")
)

const activate = command("activate", { id }, ({ id }) => changed(id, "ACTIVE")).pipe(
  Command.withDescription("End a suspension")
)

const close = command(
  "close",
  { id, yes: yesFlag },
  ({ id, yes }) =>
    Effect.andThen(
      confirm(yes, `Close ${id} for good, its budgets and keys with it?`),
      changed(id, "CLOSED")
    )
).pipe(
  Command.withDescription("Close the tenant for good: its holds are released, its budgets closed, its keys revoked")
)

export const tenant = Command.make("tenant").pipe(
  Command.withDescription("Tenants: who has budgets"),
  Command.withSubcommands([list, create, showOne, suspend, activate, close])
)
