/**
 * A Cycles server: the planes of the protocol over a ledger, on a port, with what operating it needs.
 *
 * **Example** (A server of a test, on a free port)
 *
 * ```ts
 * import { Server } from "@effect-cycles/server"
 * import { Effect, Redacted } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const { url } = yield* Server.Server
 *   const response = yield* Effect.promise(() => fetch(`${url}/health/ready`))
 *   return response.status
 * }).pipe(
 *   Effect.provide(Server.layerStandalone({
 *     store: { store: "memory" },
 *     adminKey: Redacted.make("thirty-two or more secret characters"),
 *     peppers: [Redacted.make("thirty-two or more secret characters")],
 *     port: 0
 *   }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => 200
 * ```
 *
 * @since 0.1.0
 */
import { GovernanceApi, GovernanceBalancesApi } from "@effect-cycles/http/GovernanceApi"
import * as GovernanceHandlers from "@effect-cycles/http/GovernanceHandlers"
import * as Handlers from "@effect-cycles/http/Handlers"
import { HistoryApi } from "@effect-cycles/http/HistoryApi"
import * as HistoryHandlers from "@effect-cycles/http/HistoryHandlers"
import { RuntimeApi } from "@effect-cycles/http/RuntimeApi"
import * as WireJson from "@effect-cycles/http/WireJson"
import { Governance } from "effect-cycles/ledger/Governance"
import { Ledger } from "effect-cycles/ledger/Ledger"
import { LedgerStore } from "effect-cycles/ledger/LedgerStore"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as OpenApi from "effect/http-api/OpenApi"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import type * as IpNetwork from "effect/net/IpNetwork"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { defaults } from "./defaults.ts"
import * as Docs from "./Docs.ts"
import * as Health from "./Health.ts"
import * as Authentication from "./internal/Authentication.ts"
import * as Gate from "./internal/Gate.ts"
import * as Listener from "./internal/Listener.ts"
import * as Operations from "./internal/Operations.ts"
import * as Metrics from "./Metrics.ts"
import type { StartupError } from "./StartupError.ts"
import * as Storage from "./Storage.ts"

/**
 * Where a server listens, and what it lets in.
 *
 * - `adminKey`: what `X-Admin-API-Key` must be
 * - `host`: the address to listen on; `127.0.0.1` when not given, which only this machine can reach
 * - `port`: the port to listen on; 7878 when not given, a free one when 0
 *
 * - `adminPort`: a second port of the same host, for the governance plane; none when not given, a free one when 0
 * - `governance`: where the governance plane is: on `both` ports, or on the `admin` port only, where the metrics are then too; `both`
 *   when not given, which is the one port there is where no `adminPort` is given
 *
 * What is let in:
 *
 * - `requestsPerSecond`: how many requests a key may send in a second, and at once; 5,000 when not given, any number when 0. Commit,
 *   release, extend and event are neither counted nor refused
 * - `authFailuresPerMinute`: how often an address may send a key that is not good; 20 when not given, any number when 0
 * - `maxRequestBytes`: how long a body may be; 1 MiB when not given
 * - `maxHeaderBytes`: how long all headers of a request may be; 16 KiB when not given
 * - `maxConnections`: how many connections may be open; further ones are refused. 4,096 when not given
 * - `headersTimeoutMs`, `requestTimeoutMs`: how long a request's headers, and all of it, may take to arrive; 10,000 and 30,000
 * - `idleTimeoutMs`: how long a connection may stand idle; 65,000 when not given, longer than the usual minute of a load balancer
 * - `corsOrigins`: the origins whose pages may ask, such as `https://console.example.com`; none when not given
 * - `trustedProxies`: the networks of proxies whose `X-Forwarded-For` is believed; none when not given
 *
 * When it ends:
 *
 * - `drainDelayMs`: how long it goes on as before, not ready any more, so that a load balancer can take notice; 0 when not given
 * - `shutdownTimeoutMs`: how long requests may then take to end before they are cut off; 30,000 when not given
 *
 * - `logRequests`: whether every request is told in the log; not when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly adminKey: Redacted.Redacted<string>
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly adminPort?: number | undefined
  readonly governance?: "both" | "admin" | undefined
  readonly requestsPerSecond?: number | undefined
  readonly authFailuresPerMinute?: number | undefined
  readonly maxRequestBytes?: number | undefined
  readonly maxHeaderBytes?: number | undefined
  readonly maxConnections?: number | undefined
  readonly headersTimeoutMs?: number | undefined
  readonly requestTimeoutMs?: number | undefined
  readonly idleTimeoutMs?: number | undefined
  readonly corsOrigins?: ReadonlyArray<string> | undefined
  readonly trustedProxies?: ReadonlyArray<IpNetwork.IpNetwork> | undefined
  readonly drainDelayMs?: number | undefined
  readonly shutdownTimeoutMs?: number | undefined
  readonly logRequests?: boolean | undefined
}

/**
 * A server that listens.
 *
 * - `url`: where, for example `http://127.0.0.1:7878`
 * - `adminUrl`: where the second port is, where there is one
 * - `hasCutOff`: whether it ended before all of its requests had, once its scope is closed
 *
 * @category services
 * @since 0.1.0
 */
export class Server extends Context.Service<Server, {
  readonly url: string
  readonly adminUrl?: string | undefined
  readonly hasCutOff: () => boolean
}>()("@effect-cycles/server/Server") {}

/** What the parts of a server share. */
interface Shared {
  readonly metrics: Metrics.Operations
  readonly authentication: Authentication.Authentication
  readonly isDraining: () => boolean
}

const share = (options: Options, isDraining: () => boolean) =>
  Effect.gen(function*() {
    const metrics = Option.getOrElse(yield* Effect.serviceOption(Metrics.Metrics), Metrics.make)
    const ledger = yield* Ledger
    metrics.watch(ledger)
    const authentication = Authentication.make({
      adminKey: options.adminKey,
      requestsPerSecond: options.requestsPerSecond ?? defaults.requestsPerSecond,
      authFailuresPerMinute: options.authFailuresPerMinute ?? defaults.authFailuresPerMinute,
      metrics,
      ledger,
      governance: yield* Governance
    })
    return { metrics, authentication, isDraining }
  })

const operations = (): ReadonlyArray<Operations.Named> => [
  ...Operations.namesOf(RuntimeApi),
  ...Operations.namesOf(GovernanceApi),
  ...Operations.namesOf(HistoryApi),
  ["GET", "/health/*", "health"],
  ["GET", "/actuator/*", "health"],
  ["GET", "/metrics", "metrics"],
  ["GET", "/docs", "docs"],
  ["GET", "/openapi.json", "docs"]
]

/** The contract to read: as a document and as a page. Made when somebody asks. */
const contract = (documents: () => ReadonlyArray<object>) =>
  Layer.unwrap(Effect.gen(function*() {
    const document = () => Docs.join(documents())
    const json = yield* Effect.cached(
      Effect.sync(() => HttpServerResponse.text(WireJson.stringify(document()), { contentType: "application/json" }))
    )
    const page = yield* Effect.cached(Effect.sync(() =>
      HttpServerResponse.text(Docs.page(document()), {
        contentType: "text/html; charset=utf-8",
        headers: {
          "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
          "x-content-type-options": "nosniff"
        }
      })
    ))
    return Layer.mergeAll(HttpRouter.add("GET", "/openapi.json", json), HttpRouter.add("GET", "/docs", page))
  }))

const runtimeDocument = () => OpenApi.fromApi(RuntimeApi)

const governanceDocument = () => OpenApi.fromApi(GovernanceApi)

const historyDocument = () => OpenApi.fromApi(HistoryApi)

const metricsText = (metrics: Metrics.Operations) =>
  HttpRouter.add(
    "GET",
    "/metrics",
    Effect.sync(() =>
      HttpServerResponse.text(metrics.text(), { contentType: "text/plain; version=0.0.4; charset=utf-8" })
    )
  )

const runtimePlane = ({ maxRequestBytes }: Options, { authentication }: Shared) =>
  Layer.unwrap(Effect.map(Governance, ({ asOperator }) =>
    Handlers.layer({
      authenticate: authentication.runtime,
      authenticateAdmin: (key) => Effect.map(authentication.operator(key), asOperator),
      maxRequestBytes
    })))

const governanceHandlers = ({ maxRequestBytes }: Options, { authentication }: Shared) => ({
  authenticateAdmin: authentication.operator,
  authenticate: authentication.principal,
  maxRequestBytes
})

/** Our own operations stand where the governance plane does. */
const governancePlane = (options: Options, shared: Shared) =>
  Layer.merge(
    GovernanceHandlers.layer(governanceHandlers(options, shared)),
    HistoryHandlers.layer(governanceHandlers(options, shared))
  )

/** The balances of the governance plane share their path with those of the runtime plane: they are where those are not. */
const governanceBalances = (options: Options, shared: Shared) =>
  GovernanceHandlers.layerBalances(governanceHandlers(options, shared))

const gate = (options: Options, { isDraining, metrics }: Shared) =>
  Gate.make({
    metrics,
    isDraining,
    operationOf: Operations.finder(operations()),
    logRequests: options.logRequests ?? false,
    corsOrigins: options.corsOrigins ?? [],
    trustedProxies: options.trustedProxies ?? []
  })

/**
 * The routes of both planes, for a router of one's own: to answer requests without a socket, for one. Give that router
 * `Handlers.routerConfig`. What comes this way is known by no address, and no address is kept from trying.
 *
 * @category layers
 * @since 0.1.0
 */
export const routes = (
  options: Pick<Options, "adminKey" | "requestsPerSecond" | "maxRequestBytes">
): Layer.Layer<never, never, HttpRouter.HttpRouter | Ledger | Governance> =>
  Layer.unwrap(
    Effect.map(
      share(options, () => false),
      (shared) => Layer.merge(runtimePlane(options, shared), governancePlane(options, shared))
    )
  )

/**
 * A server on the ledger around it. Listens when it is built. Its scope ends it: it is not ready any more, then takes no more
 * connections, then waits for the requests that are under way.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Server, StartupError, Ledger | Governance | LedgerStore> =>
  Layer.effect(
    Server,
    Effect.gen(function*() {
      let isDraining = false
      let hasCutOff = false
      const { adminPort, governance = "both", host = defaults.host, port = defaults.port } = options
      const shared = yield* share(options, () => isDraining)
      const pass = gate(options, shared)
      const health = Health.layer({ store: yield* LedgerStore, isDraining: () => isDraining })
      const metrics = metricsText(shared.metrics)
      const runtime = runtimePlane(options, shared)
      const governing = governancePlane(options, shared)

      const listen = Effect.fnUntraced(function*<E>(
        routes: Layer.Layer<never, E, HttpRouter.HttpRouter | Governance>,
        port: number,
        named: Listener.Options["named"]
      ) {
        const app = yield* HttpRouter.toHttpEffect(Layer.provideMerge(routes, Handlers.layerRedacted)).pipe(
          Effect.provideService(HttpRouter.RouterConfig, Handlers.routerConfig)
        )
        return yield* Listener.listen(pass(app), {
          host,
          port,
          named,
          maxHeaderBytes: options.maxHeaderBytes ?? defaults.maxHeaderBytes,
          maxConnections: options.maxConnections ?? defaults.maxConnections,
          headersTimeoutMs: options.headersTimeoutMs ?? defaults.headersTimeoutMs,
          requestTimeoutMs: options.requestTimeoutMs ?? defaults.requestTimeoutMs,
          idleTimeoutMs: options.idleTimeoutMs ?? defaults.idleTimeoutMs,
          shutdownTimeoutMs: options.shutdownTimeoutMs ?? defaults.shutdownTimeoutMs,
          onCutOff: () => {
            hasCutOff = true
          }
        })
      })

      // Both ports end at once, each of them step by step.
      const ends = yield* Scope.make("parallel")
      yield* Effect.addFinalizer((exit) => Scope.close(ends, exit))
      const apart = <A, E, R>(effect: Effect.Effect<A, E, R | Scope.Scope>) =>
        Effect.flatMap(Scope.fork(ends, "sequential"), (scope) => Scope.provide(effect, scope))

      const isApart = adminPort !== undefined && governance === "admin"
      const main = yield* listen(
        isApart
          ? Layer.mergeAll(runtime, health, contract(() => [runtimeDocument()]))
          : Layer.mergeAll(
            runtime,
            governing,
            health,
            metrics,
            contract(() => [runtimeDocument(), governanceDocument(), historyDocument()])
          ),
        port,
        ["--port", "CYCLES_PORT"]
      ).pipe(apart)
      const admin = adminPort === undefined ? undefined : yield* listen(
        Layer.mergeAll(
          governing,
          governanceBalances(options, shared),
          health,
          metrics,
          contract(() => [governanceDocument(), OpenApi.fromApi(GovernanceBalancesApi), historyDocument()])
        ),
        adminPort,
        ["--admin-port", "CYCLES_ADMIN_PORT"]
      ).pipe(apart)

      // The last to be added is the first to run: the server says that it is about to end before its ports are closed, both at once.
      yield* Effect.addFinalizer(() => {
        isDraining = true
        return Effect.sleep(options.drainDelayMs ?? defaults.drainDelayMs)
      })
      return { url: main.url, adminUrl: admin?.url, hasCutOff: () => hasCutOff }
    })
  )

/**
 * A server and a ledger of its own, with the store's transactions in its metrics.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStandalone = (
  options: Options & Storage.Options
): Layer.Layer<Server | Ledger | Governance | LedgerStore, StartupError> =>
  // Two servers of one program have nothing in common, be it a store in memory or what is counted.
  Layer.fresh(
    layer(options).pipe(
      Layer.provideMerge(Storage.layerLedger(options)),
      Layer.provideMerge(Layer.provide(Metrics.layerObservedStore, Storage.layerStore(options.store))),
      Layer.provide(Metrics.layer)
    )
  )
