/**
 * `cycles policy`: what holds of the scopes a pattern stands for.
 *
 * @internal
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { call, command, confirm, pages, read, tenantFlag, tenantIn, tenantOf, yesFlag } from "./client.ts"
import { CommandError } from "./CommandError.ts"
import { durationOf } from "./durations.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const PATH = "/v1/admin/policies"

const id = Argument.String("policy").pipe(Argument.withDescription("The policy's id, as cycles policy list shows it"))

const settings = {
  description: Flag.String("description").pipe(Flag.withDescription("What it is for"), Flag.optional),
  priority: Flag.Int("priority").pipe(
    Flag.withDescription("Of several that match, the highest applies; 0 when not given"),
    Flag.optional
  ),
  maxTokens: Flag.Int("max-tokens").pipe(
    Flag.withDescription("A cap that comes with every ALLOW: tokens of one call"),
    Flag.optional
  ),
  allowTool: Flag.String("allow-tool").pipe(
    Flag.withDescription("A cap: this tool and no others; several by repeating it"),
    Flag.atLeast(0)
  ),
  denyTool: Flag.String("deny-tool").pipe(
    Flag.withDescription("A cap: not this tool; several by repeating it"),
    Flag.atLeast(0)
  ),
  cooldown: Flag.String("cooldown").pipe(
    Flag.withDescription("A cap: the pause between calls, for example 2s"),
    Flag.optional
  ),
  overage: Flag.Literals("overage", ["REJECT", "ALLOW_IF_AVAILABLE", "ALLOW_WITH_OVERDRAFT"]).pipe(
    Flag.withDescription("What a commit above its estimate is answered with"),
    Flag.optional
  ),
  defaultTtl: Flag.String("default-ttl").pipe(
    Flag.withDescription("The lease of holds that name none, for example 5m"),
    Flag.optional
  ),
  maxTtl: Flag.String("max-ttl").pipe(Flag.withDescription("The longest lease, for example 1h"), Flag.optional),
  maxExtensions: Flag.Int("max-extensions").pipe(
    Flag.withDescription("How often a hold may be extended"),
    Flag.optional
  ),
  perMinute: Flag.Int("reservations-per-minute").pipe(
    Flag.withDescription("How many holds each scope may take in a minute"),
    Flag.optional
  ),
  maxSteps: Flag.Int("max-steps").pipe(Flag.withDescription("How many holds one run may take"), Flag.optional)
}

type Settings = Command.Command.Config.Infer<typeof settings>

const isAny = (object: object): boolean => Object.values(object).some((value) => value !== undefined)

const listed = (names: ReadonlyArray<string>): ReadonlyArray<string> | undefined =>
  names.length === 0 ? undefined : names

/** A request's body, and what of it the specification has no word for. */
const bodyOf = Effect.fnUntraced(function*(given: Settings): Effect.fn.Return<
  { readonly body: { readonly [name: string]: unknown }; readonly extras: { readonly max_steps?: number } },
  CommandError
> {
  const ms = (flag: string, text: Option.Option<string>) =>
    Option.isNone(text) ? Effect.succeed(undefined) : durationOf(flag, text.value)
  const caps = {
    max_tokens: Option.getOrUndefined(given.maxTokens),
    tool_allowlist: listed(given.allowTool),
    tool_denylist: listed(given.denyTool),
    cooldown_ms: yield* ms("--cooldown", given.cooldown)
  }
  const ttl = {
    default_ttl_ms: yield* ms("--default-ttl", given.defaultTtl),
    max_ttl_ms: yield* ms("--max-ttl", given.maxTtl),
    max_extensions: Option.getOrUndefined(given.maxExtensions)
  }
  const rates = { max_reservations_per_minute: Option.getOrUndefined(given.perMinute) }
  return {
    body: {
      description: Option.getOrUndefined(given.description),
      priority: Option.getOrUndefined(given.priority),
      caps: isAny(caps) ? caps : undefined,
      commit_overage_policy: Option.getOrUndefined(given.overage),
      reservation_ttl_override: isAny(ttl) ? ttl : undefined,
      rate_limits: isAny(rates) ? rates : undefined
    },
    extras: Option.isSome(given.maxSteps) ? { max_steps: given.maxSteps.value } : {}
  }
})

const extrasPath = (id: string): string => `/v1/admin/control/policies/${encodeURIComponent(id)}`

const extend = (tenant_id: string | undefined, id: string, extras: object) =>
  isAny(extras)
    ? call({ method: "PATCH", path: extrasPath(id), query: { tenant_id }, body: extras })
    : Effect.void

const all = (tenant_id: string | undefined) => pages("policies", { path: PATH, query: { tenant_id } })

const show = (answer: unknown) =>
  Effect.flatMap(read(Views.Policy)(answer), (policy) =>
    Output.print(answer, (paint) =>
      Output.facts(paint, [
        ["policy", policy.policy_id],
        ["name", policy.name],
        ["pattern", policy.scope_pattern],
        ["status", policy.status],
        ["priority", policy.priority === undefined ? undefined : String(policy.priority)]
      ])))

const list = command(
  "list",
  { tenant: tenantFlag },
  Effect.fnUntraced(function*({ tenant }) {
    const policies = yield* all(yield* tenantOf(tenant))
    const rows = yield* read(Views.Policies)(policies)
    yield* Output.print({ policies }, (paint) =>
      Output.table(
        paint,
        ["POLICY", "NAME", "PATTERN", "STATUS", "PRIORITY"],
        rows.map(({ name, policy_id, priority, scope_pattern, status }) => [
          policy_id,
          name,
          scope_pattern,
          status,
          String(priority ?? 0)
        ])
      ))
  })
).pipe(Command.withDescription("List the policies of a tenant"))

const showOne = command(
  "show",
  { id, tenant: tenantFlag },
  Effect.fnUntraced(function*({ id, tenant }) {
    const tenant_id = yield* tenantOf(tenant)
    const policies = yield* all(tenant_id)
    const at = (yield* read(Views.Policies)(policies)).findIndex((policy) => policy.policy_id === id)
    if (at < 0) {
      return yield* new CommandError({
        reason: "NotFound",
        text: `There is no policy ${id}`,
        next: "See cycles policy list"
      })
    }
    const extras = yield* call({ method: "GET", path: extrasPath(id), query: { tenant_id } })
    // Both are of one policy; the second has what the specification has no word for.
    yield* show({ ...(policies[at] as object), ...(extras as object) })
  })
).pipe(Command.withDescription("Show one policy"))

const create = command(
  "create",
  {
    name: Argument.String("name").pipe(Argument.withDescription("What people call it; one of a name per tenant")),
    pattern: Argument.String("pattern").pipe(
      Argument.withDescription("The scopes it holds of, for example tenant:acme/agent:*")
    ),
    ...settings
  },
  Effect.fnUntraced(function*({ name, pattern, ...given }) {
    const tenant_id = yield* tenantIn(pattern)
    const { body, extras } = yield* bodyOf(given)
    const answer = yield* call({
      method: "POST",
      path: PATH,
      body: { tenant_id, name, scope_pattern: pattern, ...body }
    })
    const { policy_id } = yield* read(Views.Policy)(answer)
    yield* extend(tenant_id, policy_id, extras)
    yield* show({ ...(answer as object), ...extras })
  })
).pipe(
  Command.withDescription("Create a policy"),
  Command.withExamples([
    { command: "cycles policy create careful tenant:acme/agent:* --max-tokens 4000 --reservations-per-minute 60" }
  ])
)

const update = command(
  "update",
  {
    id,
    tenant: tenantFlag,
    name: Flag.String("name").pipe(Flag.withDescription("A new name"), Flag.optional),
    status: Flag.Literals("status", ["ACTIVE", "DISABLED"]).pipe(
      Flag.withDescription("Whether it applies"),
      Flag.optional
    ),
    ...settings
  },
  Effect.fnUntraced(function*({ id, name, status, tenant, ...given }) {
    const tenant_id = yield* tenantOf(tenant)
    const { body, extras } = yield* bodyOf(given)
    const answer = yield* call({
      method: "PATCH",
      path: `${PATH}/${encodeURIComponent(id)}`,
      query: { tenant_id },
      body: { name: Option.getOrUndefined(name), status: Option.getOrUndefined(status), ...body }
    })
    yield* extend(tenant_id, id, extras)
    yield* show({ ...(answer as object), ...extras })
  })
).pipe(Command.withDescription("Change a policy, from the next hold on"))

const remove = command(
  "delete",
  { id, tenant: tenantFlag, yes: yesFlag },
  Effect.fnUntraced(function*({ id, tenant, yes }) {
    const tenant_id = yield* tenantOf(tenant)
    yield* confirm(yes, `Delete the policy ${id}?`)
    const answer = yield* call({ method: "DELETE", path: extrasPath(id), query: { tenant_id } })
    yield* Output.print(answer, () => `The policy ${id} is deleted`)
  })
).pipe(Command.withDescription("Delete a policy"))

export const policy = Command.make("policy").pipe(
  Command.withDescription("Policies: what holds of the scopes a pattern stands for"),
  Command.withSubcommands([list, create, showOne, update, remove])
)
