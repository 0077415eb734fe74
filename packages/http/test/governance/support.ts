import { GovernanceClient, GovernanceHandlers, Handlers } from "@effect-cycles/http"
import { WireWatch } from "@effect-cycles/testing"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Governance, Ledger, LedgerStoreMemory } from "effect-cycles"
import * as CyclesError from "effect-cycles/protocol/CyclesError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { specification, watch } from "../support.ts"

export const adminKey = "the-admin-key-nobody-may-see"

/** Where the server of a test listens. */
export class Server extends Context.Service<Server, { readonly url: string }>()("test/governance/Server") {}

export type Core = Governance.Governance | Ledger.Ledger

const core: Layer.Layer<Core> = Governance.layer({ peppers: [Redacted.make("pepper".repeat(8))] }).pipe(
  Layer.provideMerge(Ledger.layer()),
  Layer.provide(LedgerStoreMemory.layer),
  Layer.orDie
)

export const authenticateAdmin: GovernanceHandlers.Options["authenticateAdmin"] = (key) =>
  Redacted.value(key) === adminKey
    ? Effect.succeed({ actor: "ops" })
    : Effect.fail(new CyclesError.Unauthorized({ reason: "unknown admin key" }))

const runtime = Layer.unwrap(Effect.gen(function*() {
  const governance = yield* Governance.Governance
  const ledger = yield* Ledger.Ledger
  return Handlers.layer({
    authenticateAdmin: (key) => Effect.map(authenticateAdmin(key), governance.asOperator),
    authenticate: (key) =>
      Effect.map(governance.authenticate(key), (principal) => ({
        tenant: principal.tenant,
        authority: ledger.as(principal)
      }))
  })
}))

/** Where both planes have an operation, it is the governance plane's here. */
const watchOfPort = WireWatch.make({ specification, plane: "governance" })

const serving = (
  routes: Layer.Layer<never, never, HttpRouter.HttpRouter | Core>,
  { node: watched } = watch
): Layer.Layer<Server, never, Core> =>
  Layer.effect(
    Server,
    Effect.gen(function*() {
      const node = watched(createServer())
      yield* Layer.build(
        HttpRouter.serve(routes, {
          routerConfig: Handlers.routerConfig,
          disableLogger: true,
          disableListenLog: true
        }).pipe(Layer.provide(NodeHttpServer.layer(() => node, { port: 0, host: "127.0.0.1" })), Layer.orDie)
      )
      // A server that listens on a port has an address with one.
      return { url: `http://127.0.0.1:${(node.address() as AddressInfo).port}` }
    })
  )

/** Both planes on one router, over a ledger in memory, on a port of the loopback interface. */
export const layer: Layer.Layer<Server | Core | HttpClient.HttpClient> = serving(
  Layer.merge(runtime, GovernanceHandlers.layer({ authenticateAdmin }))
).pipe(Layer.provideMerge(core), Layer.merge(FetchHttpClient.layer))

/** The governance plane on a port of its own, with its own balances. */
export const layerAdminPort: Layer.Layer<Server | Core | HttpClient.HttpClient> = serving(
  Layer.merge(GovernanceHandlers.layer({ authenticateAdmin }), GovernanceHandlers.layerBalances({})),
  watchOfPort
).pipe(Layer.provideMerge(core), Layer.merge(FetchHttpClient.layer))

/** The operator's client. */
export const admin = Effect.flatMap(
  Server,
  ({ url }) => GovernanceClient.make({ baseUrl: url, adminKey: Redacted.make(adminKey), retries: 0 })
)

/** The client of whoever has a key of a tenant. */
export const tenant = (apiKey: string) =>
  Effect.flatMap(
    Server,
    ({ url }) => GovernanceClient.make({ baseUrl: url, apiKey: Redacted.make(apiKey), retries: 0 })
  )

/** A key of a tenant, which is registered for it if need be. */
export const keyOf = Effect.fnUntraced(function*(
  tenantId: string,
  settings: Partial<Parameters<GovernanceClient.Operations["createApiKey"]>[0]>
) {
  const client = yield* admin
  yield* client.createTenant({ tenant_id: tenantId, name: tenantId })
  return yield* client.createApiKey({ tenant_id: tenantId, name: "key", ...settings })
})

/** What a server answered. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly body: { readonly [name: string]: any }
}

/** Sends a request as it is written; with the admin key, unless another key is given. */
export const send = (
  method: string,
  path: string,
  options: { readonly body?: unknown; readonly headers?: { readonly [name: string]: string } } = {}
) =>
  Effect.flatMap(Server, ({ url }) =>
    Effect.promise(async (): Promise<Answer> => {
      const { body, headers = { "x-admin-api-key": adminKey } } = options
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { "content-type": "application/json", ...headers },
        ...(body === undefined ? undefined : { body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      const text = await response.text()
      return {
        status: response.status,
        headers: response.headers,
        text,
        body: (text === "" ? {} : JSON.parse(text)) as Answer["body"]
      }
    }))

/** Status and code of an answer. */
export const outcome = ({ body, status }: Answer): string => `${status} ${String(body["error"] ?? "")}`.trim()
