// A server in this process, over a ledger in memory that tells what is written to it.
import { GovernanceApi, GovernanceHandlers, Handlers, RuntimeApi, WireJson } from "@effect-cycles/http"
import type { WireFuzz } from "@effect-cycles/testing"
import { WireSpecification } from "@effect-cycles/testing"
import { Amount, Governance, Ledger, LedgerStore, LedgerStoreMemory, Permission } from "effect-cycles"
import type { Writes } from "effect-cycles/ledger/View"
import * as CyclesError from "effect-cycles/protocol/CyclesError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { specification } from "../support.ts"

export const adminKey = "the-admin-key"

/** What answers are held to: the specification, or where that is not at hand our own contract. */
export const contract = WireSpecification.fromDocuments({
  runtime: [OpenApi.fromApi(RuntimeApi.RuntimeApi)],
  governance: [OpenApi.fromApi(GovernanceApi.GovernanceApi)]
})
export const judge = specification ?? contract

/**
 * What the writes of a transaction change, but for what a refusal may leave behind: that it was told, and to whom. An event and an
 * act are such, and so are their numbers, on the tenant and on the budget that was asked for more than it has.
 */
const changesOf = (writes: Writes, known: Map<string, string>): ReadonlyArray<string> => {
  const changed = (name: string, row: unknown): ReadonlyArray<string> => {
    const now = WireJson.stringify(row)
    // A tenant that is not registered has a row where something was told or audited of it.
    const isNew = (known.get(name) ?? "null") !== now
    known.set(name, now)
    return isNew ? [name] : []
  }
  const {
    acts: _acts,
    budgets,
    droppedActs: _droppedActs,
    droppedEvents: _droppedEvents,
    events: _events,
    foldedEntries,
    tenants,
    ...others
  } = writes
  return [
    ...tenants.flatMap(({ profile, tenant }) => changed(`tenant ${tenant}`, profile ?? null)),
    ...budgets.flatMap(({ lastDenial: _, ...row }) => changed(`budget ${row.scope} ${row.unit}`, row)),
    ...Object.entries(others).flatMap(([kind, rows]) => rows.length === 0 ? [] : [kind]),
    ...foldedEntries.keys()
  ]
}

export interface Answer {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
  readonly body: string
}

export interface World {
  readonly send: (request: WireFuzz.Send) => Effect.Effect<Answer>
  /** What has been written since it was last asked. */
  readonly changes: () => ReadonlyArray<string>
  /** What does not add up in the end. */
  readonly verify: Effect.Effect<ReadonlyArray<string>>
  readonly keys: { readonly full: string; readonly reader: string }
  /** What is there from the beginning, by the name the wire has for its id. */
  readonly ids: { readonly policy_id: string; readonly key_id: string }
}

const pepper = Redacted.make("pepper".repeat(8))

// Routes are made once; whose ledger, governance and clock are behind them is the world's that was made last.
let current: {
  readonly clock: Clock.Clock
  readonly context: Context.Context<Governance.Governance | Ledger.Ledger>
} | undefined

const delegate = <A extends object>(to: (world: NonNullable<typeof current>) => A): A =>
  // Whatever is asked of it, the current one has; a function may be taken from it before there is one.
  new Proxy({} as A, {
    get: (_, name) => {
      const member: unknown = current === undefined ? undefined : Reflect.get(to(current), name)
      if (current !== undefined && typeof member !== "function") return member
      return (...args: ReadonlyArray<unknown>): unknown => {
        if (current === undefined) throw new Error("There is no world yet")
        const target = to(current)
        const found: unknown = Reflect.get(target, name)
        if (typeof found !== "function") throw new Error(`There is no ${String(name)}`)
        return Reflect.apply(found, target, args)
      }
    }
  })

const ledger = delegate(({ context }) => Context.get(context, Ledger.Ledger))
const governance = delegate(({ context }) => Context.get(context, Governance.Governance))
const maxRequestBytes = 64 * 1_024

const { handler } = HttpRouter.toWebHandler(
  Layer.merge(
    Handlers.layer({
      authenticate: (key) =>
        Effect.map(governance.authenticate(key), (principal) => ({
          tenant: principal.tenant,
          authority: ledger.as(principal)
        })),
      maxRequestBytes
    }),
    GovernanceHandlers.layer({
      authenticateAdmin: (key) =>
        Redacted.value(key) === adminKey
          ? Effect.succeed({ actor: "ops" })
          : Effect.fail(new CyclesError.Unauthorized({ reason: "unknown admin key" })),
      maxRequestBytes
    })
  ).pipe(
    Layer.provideMerge(Layer.succeed(Governance.Governance, governance)),
    Layer.provideMerge(Layer.succeed(Ledger.Ledger, ledger)),
    Layer.provideMerge(Layer.succeed(Clock.Clock, delegate(({ clock }) => clock))),
    Layer.provideMerge(Logger.layer([]))
  ),
  { routerConfig: Handlers.routerConfig, disableLogger: true }
)

const send = ({ body, headers, method, path }: WireFuzz.Send): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const response = await handler(
      new Request(`http://localhost${path}`, { method, headers, ...(body === undefined ? undefined : { body }) })
    )
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers.entries()),
      body: await response.text()
    }
  })

/** A ledger with two tenants, behind both planes, until the next one is made. */
export const make: Effect.Effect<World, never, Scope.Scope> = Effect.gen(function*() {
  let changes: Array<string> = []
  const known = new Map<string, string>()
  const watched = Layer.effect(
    LedgerStore.LedgerStore,
    Effect.map(LedgerStoreMemory.make, (store): LedgerStore.Operations => ({
      ...store,
      transact: (tenants, body) =>
        store.transact(tenants, (tx) =>
          body({
            ...tx,
            write: (writes) =>
              Effect.suspend(() => {
                changes.push(...changesOf(writes, known))
                return tx.write(writes)
              })
          }))
    }))
  )
  const context = yield* Layer.build(
    Governance.layer({ peppers: [pepper] }).pipe(
      Layer.provideMerge(Ledger.layer()),
      Layer.provide(watched),
      Layer.orDie
    )
  )
  const { ids, keys } = yield* Effect.gen(function*() {
    const operator = (yield* Governance.Governance).asOperator({ actor: "setup" })
    const made = new Map<string, string>()
    for (const tenant of ["acme", "beta"]) {
      yield* operator.createTenant(tenant, { name: tenant })
      yield* operator.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.tokens(3_000) })
    }
    yield* operator.createBudget("acme", {
      scope: "tenant:acme/agent:bot",
      allocated: Amount.tokens(1_000),
      overdraftLimit: Amount.tokens(200)
    })
    yield* operator.createBudget("acme", { scope: "tenant:acme", allocated: Amount.microcents(2n ** 63n - 1n) })
    yield* operator.createBudget("acme", { scope: "tenant:acme/workflow:eng", allocated: Amount.tokens(1_000) })
    yield* operator.freezeBudget("acme", { scope: "tenant:acme/workflow:eng", unit: "TOKENS" })
    for (
      const [name, permissions] of [["full", [...Permission.defaults, "events:read"]], ["reader", [
        "balances:read"
      ]]] as const
    ) {
      const { key, secret } = yield* operator.createApiKey("acme", {
        name,
        permissions
      })
      made.set(name, Redacted.value(secret))
      made.set("last", key.id)
    }
    const policy = yield* operator.createPolicy("acme", { name: "first", scopePattern: "agent:writer" })
    return {
      keys: { full: made.get("full") ?? "", reader: made.get("reader") ?? "" },
      ids: { policy_id: policy.id, key_id: made.get("last") ?? "" }
    }
  }).pipe(Effect.provide(context), Effect.orDie)

  current = { clock: yield* Clock.Clock, context }

  const verify = Effect.gen(function*() {
    const ledger = yield* Ledger.Ledger
    const wrong: Array<string> = []
    for (const tenant of ["acme", "beta"]) {
      const { flaws } = yield* ledger.verify(tenant)
      wrong.push(...flaws.map((flaw) => `the history of ${tenant}: ${flaw}`))
    }
    return wrong
  }).pipe(Effect.provide(context), Effect.orDie)

  return {
    send,
    keys,
    ids,
    verify,
    changes: () => {
      const since = changes
      changes = []
      return since
    }
  }
})
