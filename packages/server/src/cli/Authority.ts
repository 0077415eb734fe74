/**
 * Who is asked for budget in the name of a tenant: a server by the tenant's key, or the ledger of a store that this process opens.
 *
 * @internal
 */
import * as CyclesClient from "@effect-cycles/http/CyclesClient"
import * as NodeClient from "@effect-cycles/http/NodeClient"
import { Governance } from "effect-cycles/ledger/Governance"
import { Ledger } from "effect-cycles/ledger/Ledger"
import type { Principal } from "effect-cycles/ledger/Principal"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Configuration from "../Config.ts"
import type { StartupError } from "../StartupError.ts"
import * as Storage from "../Storage.ts"
import { CommandError, usage } from "./CommandError.ts"
import type { Settings } from "./Connection.ts"
import { isUrl } from "./Connection.ts"

export interface Opened {
  readonly authority: Operations
  /** What it is called in messages. */
  readonly place: string
  /** Whose budgets it keeps, where that is known without asking it. */
  readonly tenant: string | undefined
}

const principalOf = Effect.fnUntraced(function*(
  { adminKey, apiKey }: Settings,
  tenant: Option.Option<string>
): Effect.fn.Return<Principal, CommandError, Governance> {
  const governance = yield* Governance
  if (Option.isSome(apiKey) && Option.isNone(adminKey)) {
    const principal = yield* Effect.mapError(governance.authenticate(apiKey.value), ({ message }) =>
      new CommandError({
        reason: "Unauthorized",
        text: message,
        next: "Correct CYCLES_API_KEY, or leave it out: who may open the store needs none"
      }))
    if (Option.isSome(tenant) && tenant.value !== principal.tenant) {
      return yield* usage(`The API key is not of ${tenant.value}`, "Leave --tenant out, or give that tenant's key")
    }
    return { ...principal, balances: true }
  }
  if (Option.isSome(tenant)) return { tenant: tenant.value, actor: "mcp", balances: true }
  const found = yield* Effect.mapError(
    governance.asOperator({ actor: "mcp" }).tenants({ limit: 2 }),
    ({ message }) => new CommandError({ reason: "Unreachable", text: message })
  )
  const [first, second] = found
  if (first === undefined) return yield* usage("There is no tenant yet", "Make one: cycles init acme --usd 10")
  if (second !== undefined) {
    return yield* usage("There are several tenants", "Say which by --tenant or CYCLES_TENANT; see cycles tenant list")
  }
  return { tenant: first.tenant, actor: "mcp", balances: true }
})

/** Opens the way the settings say. A store is closed again with the scope. */
export const open = Effect.fnUntraced(function*(
  settings: Settings,
  tenant: Option.Option<string>
): Effect.fn.Return<Opened, CommandError | StartupError, Scope.Scope> {
  const { apiKey, local, url } = settings
  if (!local && Option.isSome(url)) {
    if (!isUrl(url.value)) {
      return yield* usage(`--url ${url.value} is not an address`, "Give one like http://127.0.0.1:7878")
    }
    if (Option.isNone(apiKey)) {
      return yield* new CommandError({
        reason: "Unauthorized",
        text: `${url.value} needs a tenant's key`,
        next: "Give it by CYCLES_API_KEY; the admin key governs, and spends nothing"
      })
    }
    const client = yield* Layer.build(NodeClient.layer())
    const authority = yield* Effect.suspend(() => CyclesClient.make({ baseUrl: url.value, apiKey: apiKey.value })).pipe(
      Effect.provideContext(client),
      // An address or a key that no request can be made with.
      Effect.catchDefect((defect) =>
        defect instanceof RangeError ? Effect.fail(usage(defect.message)) : Effect.die(defect)
      )
    )
    return { authority, place: url.value, tenant: Option.getOrUndefined(tenant) }
  }
  const { storage } = yield* Configuration.resolveStore(settings)
  const services = yield* Layer.build(Storage.layer(storage))
  const principal = yield* Effect.provideContext(principalOf(settings, tenant), services)
  return {
    authority: Context.get(services, Ledger).as(principal),
    place: `the ${settings.store} store`,
    tenant: principal.tenant
  }
})
