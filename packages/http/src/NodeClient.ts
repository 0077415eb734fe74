/**
 * An `HttpClient` for `CyclesClient` on Node.js, over `node:http`, that gives up early where no connection comes about.
 *
 * Everywhere else there is `FetchHttpClient.layer`, whose `fetch` cannot tell connecting from waiting for an answer: there the
 * client's timeout for a whole attempt is the only one.
 *
 * This module is not part of the index of the package, which stays free of Node.js. Import it from
 * `@effect-cycles/http/NodeClient`; it needs `@effect/platform-node`.
 *
 * **Example** (A budget on a server that may be down)
 *
 * ```ts no-run
 * import { CyclesClient } from "@effect-cycles/http"
 * import * as NodeClient from "@effect-cycles/http/NodeClient"
 * import { Effect, Layer } from "effect"
 * import { Action, Amount, Budget } from "effect-cycles"
 *
 * const program = Budget.guard(
 *   { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *   (r) => Effect.succeed(r.commit(Amount.tokens(420), "a fine answer"))
 * ).pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(CyclesClient.layerConfig().pipe(Layer.provide(NodeClient.layerConfig())))
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { AgentOptions, ClientRequestArgs } from "node:http"
import { Agent as HttpAgent } from "node:http"
import type { AgentOptions as HttpsAgentOptions, RequestOptions } from "node:https"
import { Agent as HttpsAgent } from "node:https"
import { Socket } from "node:net"
import type { Duplex } from "node:stream"

/**
 * - `connectTimeout`: for a new connection, from looking up the host to the end of the TLS handshake; 2 seconds when not given.
 *   The client's `timeout` goes on counting meanwhile, so keep this one below it
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly connectTimeout?: Duration.Input | undefined
}

const CONNECT_TIMEOUT = Duration.seconds(2)
const MAX_TIMER_MS = 2 ** 31 - 1

type OnSocket = (error: Error | null, stream: Duplex) => void

/** Ends a new socket that has not said in time that it is ready. */
const watched = <S extends Duplex | null | undefined>(
  socket: S,
  ready: "connect" | "secureConnect",
  timeoutMs: number
): S => {
  if (socket instanceof Socket) {
    const timer = setTimeout(() => {
      const message = `no connection within ${Duration.format(Duration.millis(timeoutMs))}`
      socket.destroy(Object.assign(new Error(message), { code: "ETIMEDOUT" }))
    }, timeoutMs)
    const stop = (): void => clearTimeout(timer)
    socket.once(ready, stop)
    socket.once("close", stop)
  }
  return socket
}

class Plain extends HttpAgent {
  readonly #timeoutMs: number
  constructor(options: AgentOptions, timeoutMs: number) {
    super(options)
    this.#timeoutMs = timeoutMs
  }
  override createConnection(options: ClientRequestArgs, onSocket?: OnSocket): Duplex | null | undefined {
    return watched(super.createConnection(options, onSocket), "connect", this.#timeoutMs)
  }
}

class Secure extends HttpsAgent {
  readonly #timeoutMs: number
  constructor(options: HttpsAgentOptions, timeoutMs: number) {
    super(options)
    this.#timeoutMs = timeoutMs
  }
  override createConnection(options: RequestOptions, onSocket?: OnSocket): Duplex | null | undefined {
    return watched(super.createConnection(options, onSocket), "secureConnect", this.#timeoutMs)
  }
}

/**
 * The client over `node:http` and `node:https`. Connections are kept for further requests, and closed with the layer.
 *
 * Throws a `RangeError` for a connect timeout below 1 millisecond, above 24 days, or one that cannot be read.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<HttpClient.HttpClient> => {
  const timeoutMs = Duration.toMillis(Duration.fromInputUnsafe(options?.connectTimeout ?? CONNECT_TIMEOUT))
  if (!(timeoutMs >= 1 && timeoutMs <= MAX_TIMER_MS)) {
    throw new RangeError("The connect timeout must be between 1 millisecond and 24 days")
  }
  const agents = Effect.acquireRelease(
    Effect.sync(() => ({
      http: new Plain({ keepAlive: true }, timeoutMs),
      https: new Secure({ keepAlive: true }, timeoutMs)
    })),
    ({ http, https }) =>
      Effect.sync(() => {
        http.destroy()
        https.destroy()
      })
  )
  return NodeHttpClient.layerNodeHttpNoAgent.pipe(
    Layer.provide(Layer.effect(NodeHttpClient.HttpAgent, agents))
  )
}

/**
 * Like {@link layer}, with the connect timeout from the environment, or whatever the `ConfigProvider` around it reads:
 * `CYCLES_CONNECT_TIMEOUT_MS`, in milliseconds; 2,000 when not set. A value that is malformed is a `ConfigError` that names it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (): Layer.Layer<HttpClient.HttpClient, Config.ConfigError> =>
  Layer.unwrap(Effect.map(config, layer))

/**
 * What {@link layerConfig} reads.
 *
 * @category configuration
 * @since 0.1.0
 */
export const config: Config.Config<Options> = Config.map(
  Config.option(
    Config.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400_000 })), "CYCLES_CONNECT_TIMEOUT_MS")
  ),
  (connectTimeout) => ({ connectTimeout: Option.getOrUndefined(Option.map(connectTimeout, Duration.millis)) })
)
