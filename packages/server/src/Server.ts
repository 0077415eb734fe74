/**
 * A Cycles server: the planes of the protocol over a ledger, on a port.
 *
 * @since 0.1.0
 */
import * as Handlers from "@effect-cycles/http/Handlers"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Governance } from "effect-cycles/ledger/Governance"
import { Ledger } from "effect-cycles/ledger/Ledger"
import type { LedgerStore } from "effect-cycles/ledger/LedgerStore"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { StartupError } from "./StartupError.ts"
import * as Storage from "./Storage.ts"

/**
 * Where a server listens, and what it lets in.
 *
 * - `host`: the address to listen on; `127.0.0.1` when not given, which only this machine can reach
 * - `port`: the port to listen on; 7878 when not given, a free one when 0
 * - `adminKey`: what `X-Admin-API-Key` must be
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly adminKey: Redacted.Redacted<string>
}

/**
 * The port of a server when none is given.
 *
 * @category configuration
 * @since 0.1.0
 */
export const DEFAULT_PORT = 7878

/**
 * A server that listens.
 *
 * - `url`: where, for example `http://127.0.0.1:7878`
 *
 * @category services
 * @since 0.1.0
 */
export class Server extends Context.Service<Server, { readonly url: string }>()("@effect-cycles/server/Server") {}

/**
 * The routes of a server, for a router of one's own: to answer requests without a socket, for one.
 *
 * @category layers
 * @since 0.1.0
 */
export const routes = (
  _options: Omit<Options, "host" | "port">
): Layer.Layer<never, never, HttpRouter.HttpRouter | Ledger | Governance> =>
  Layer.unwrap(Effect.gen(function*() {
    const ledger = yield* Ledger
    const governance = yield* Governance
    return Handlers.layer({
      authenticate: (key) =>
        Effect.map(
          governance.authenticate(key),
          (principal) => ({ tenant: principal.tenant, authority: ledger.as(principal) })
        ),
      openapiPath: "/openapi.json"
    })
  }))

const cannotListen = (host: string, port: number, cause: unknown): StartupError => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)
  return code === "EADDRINUSE"
    ? new StartupError({
      reason: "PortInUse",
      message:
        `Port ${port} of ${host} is in use. Stop what listens there, or choose another with --port or CYCLES_PORT`,
      cause
    })
    : new StartupError({
      reason: "CannotListen",
      message: `${host}:${port} cannot be listened on (${code}). Choose others with --host and --port`,
      cause
    })
}

/**
 * A server on the ledger around it. Listens when it is built; its scope ends it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Server, StartupError, Ledger | Governance | LedgerStore> =>
  Layer.effect(
    Server,
    Effect.gen(function*() {
      const { host = "127.0.0.1", port = DEFAULT_PORT } = options
      const node = createServer()
      const listening = Effect.mapError(
        NodeHttpServer.make(() => node, { port, host }),
        (error) => cannotListen(host, port, error.cause)
      )
      yield* Layer.build(
        HttpRouter.serve(routes(options), {
          routerConfig: Handlers.routerConfig,
          disableLogger: true,
          disableListenLog: true
        }).pipe(
          Layer.provide(Handlers.layerRedacted),
          Layer.provide(Layer.effect(HttpServer.HttpServer, listening))
        )
      )
      // A server that listens on a port has an address with one.
      const address = node.address() as AddressInfo
      const name = address.family === "IPv6" ? `[${address.address}]` : address.address
      return { url: `http://${name}:${address.port}` }
    })
  )

/**
 * A server and a ledger of its own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStandalone = (
  options: Options & Storage.Options
): Layer.Layer<Server | Ledger | Governance | LedgerStore, StartupError> =>
  Layer.provideMerge(layer(options), Storage.layer(options))
