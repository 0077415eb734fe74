/**
 * `cycles key`: the API keys of a tenant.
 *
 * @internal
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { call, command, confirm, pages, read, reasonFlag, tenantFlag, tenantOf, yesFlag } from "./client.ts"
import { durationOf } from "./durations.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const PATH = "/v1/admin/api-keys"

const id = Argument.String("key").pipe(Argument.withDescription("The key's id, as cycles key list shows it"))

const newKey = (answer: unknown) =>
  Effect.flatMap(
    read(Views.NewKey)(answer),
    ({ expires_at, key_id, key_secret }) =>
      Output.print(answer, (paint) =>
        `${
          Output.facts(paint, [
            ["key", key_id],
            ["expires", expires_at],
            ["secret", key_secret]
          ])
        }\n${paint("yellow", "The secret is shown this once; nobody can show it again.")}`)
  )

const list = command(
  "list",
  {
    tenant: tenantFlag,
    status: Flag.Literals("status", ["ACTIVE", "REVOKED", "EXPIRED"]).pipe(
      Flag.withDescription("Only those of this status"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function*({ status, tenant }) {
    const tenant_id = yield* tenantOf(tenant)
    const keys = yield* pages("keys", { path: PATH, query: { tenant_id, status: Option.getOrUndefined(status) } })
    const rows = yield* read(Views.Keys)(keys)
    yield* Output.print({ keys }, (paint) =>
      Output.table(
        paint,
        ["KEY", "NAME", "STATUS", "SCOPE FILTER", "EXPIRES"],
        rows.map(({ expires_at, key_id, name, scope_filter, status }) => [
          key_id,
          name,
          status,
          (scope_filter ?? []).join(" "),
          expires_at
        ])
      ))
  })
).pipe(Command.withDescription("List the keys of a tenant; never their secrets"))

const create = command(
  "create",
  {
    name: Argument.String("name").pipe(Argument.withDescription("What people call it")),
    tenant: tenantFlag,
    permission: Flag.String("permission").pipe(
      Flag.withDescription("What it may do, for example budgets:read; several by repeating it"),
      Flag.atLeast(0)
    ),
    scope: Flag.String("scope").pipe(
      Flag.withDescription("Where it may act, for example workspace:eng or agent:*; several by repeating it"),
      Flag.atLeast(0)
    ),
    expiresIn: Flag.String("expires-in").pipe(
      Flag.withDescription("How long it lives, for example 30d; 90 days when not given"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function*({ expiresIn, name, permission, scope, tenant }) {
    const tenant_id = yield* tenantOf(tenant)
    const now = yield* Clock.currentTimeMillis
    const life = Option.isNone(expiresIn) ? undefined : yield* durationOf("--expires-in", expiresIn.value)
    yield* newKey(
      yield* call({
        method: "POST",
        path: PATH,
        body: {
          tenant_id,
          name,
          permissions: permission.length === 0 ? undefined : permission,
          scope_filter: scope.length === 0 ? undefined : scope,
          expires_at: life === undefined ? undefined : new Date(now + life).toISOString()
        }
      })
    )
  })
).pipe(
  Command.withDescription("Make a key; its secret is shown this once"),
  Command.withExamples([
    { command: "cycles key create production --tenant acme" },
    { command: "cycles key create reports --tenant acme --permission balances:read --expires-in 30d" }
  ])
)

const revoke = command(
  "revoke",
  { id, reason: reasonFlag, yes: yesFlag },
  Effect.fnUntraced(function*({ id, reason, yes }) {
    yield* confirm(yes, `Revoke ${id} for good?`)
    const answer = yield* call({
      method: "DELETE",
      path: `${PATH}/${encodeURIComponent(id)}`,
      query: { reason: Option.getOrUndefined(reason) }
    })
    const { key_id, status } = yield* read(Views.Key)(answer)
    yield* Output.print(answer, () => `${key_id} is ${status ?? "REVOKED"}`)
  })
).pipe(Command.withDescription("Revoke a key for good, from its next request on"))

const rotate = command(
  "rotate",
  {
    id,
    tenant: tenantFlag,
    overlap: Flag.String("overlap").pipe(
      Flag.withDescription("How long the old key lives on, for example 1h; it is revoked at once when not given"),
      Flag.optional
    ),
    yes: yesFlag
  },
  Effect.fnUntraced(function*({ id, overlap, tenant, yes }) {
    const tenant_id = yield* tenantOf(tenant)
    const overlap_ms = Option.isNone(overlap) ? undefined : yield* durationOf("--overlap", overlap.value)
    if (overlap_ms === undefined) yield* confirm(yes, `Put a new key in the place of ${id}, and revoke that at once?`)
    yield* newKey(
      yield* call({
        method: "POST",
        path: `/v1/admin/control/api-keys/${encodeURIComponent(id)}/rotate`,
        query: { tenant_id },
        body: { overlap_ms }
      })
    )
  })
).pipe(
  Command.withDescription("Make a new key of the same rights in the place of another"),
  Command.withExamples([{ command: "cycles key rotate key_0198 --overlap 1h" }])
)

export const key = Command.make("key").pipe(
  Command.withDescription("API keys of a tenant"),
  Command.withSubcommands([list, create, revoke, rotate])
)
