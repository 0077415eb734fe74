/**
 * What every request passes, whatever it asks for: it is measured, told in the log where somebody wants that, and sent on with what is
 * known of it.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as IpNetwork from "effect/net/IpNetwork"
import * as Option from "effect/Option"
import type * as Metrics from "../Metrics.ts"
import * as Exchange from "./Exchange.ts"

export interface Options {
  readonly metrics: Metrics.Operations
  readonly operationOf: (method: string, url: string) => string
  readonly isDraining: () => boolean
  readonly logRequests: boolean
  readonly corsOrigins: ReadonlyArray<string>
  readonly trustedProxies: ReadonlyArray<IpNetwork.IpNetwork>
}

type App<E, R> = Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest>

/** Headers of the answer that a browser's script may read. */
const exposed = [
  "retry-after",
  "x-cycles-tenant",
  "x-cycles-trace-id",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "x-request-id"
]

const pathOf = (url: string): string => {
  const end = url.search(/[?#]/)
  return end === -1 ? url : url.slice(0, end)
}

export const make = (options: Options) => {
  const { corsOrigins, isDraining, logRequests, metrics, operationOf, trustedProxies } = options

  const headersOf = (exchange: Exchange.Exchange): { readonly [name: string]: string } | undefined => {
    const { remaining, resetAtMs } = exchange
    if (remaining === undefined || resetAtMs === undefined) {
      return isDraining() ? { connection: "close" } : undefined
    }
    return {
      "x-ratelimit-remaining": String(remaining),
      "x-ratelimit-reset": String(Math.ceil(resetAtMs / 1_000)),
      ...(isDraining() ? { connection: "close" } : undefined)
    }
  }

  const told = (
    request: HttpServerRequest.HttpServerRequest,
    exchange: Exchange.Exchange,
    response: HttpServerResponse.HttpServerResponse | undefined,
    seconds: number
  ): Effect.Effect<void> =>
    Effect.annotateLogs(Effect.logInfo("request"), {
      method: request.method,
      // Without its query: what somebody looks for is nobody else's.
      path: pathOf(request.url),
      operation: exchange.operation,
      status: response?.status ?? "aborted",
      ms: Math.round(seconds * 1e6) / 1e3,
      address: exchange.address ?? "-",
      ...(exchange.tenant === undefined ? undefined : { tenant: exchange.tenant, key: exchange.keyId }),
      ...(response === undefined ? undefined : {
        request_id: response.headers["x-request-id"],
        trace_id: response.headers["x-cycles-trace-id"]
      })
    })

  const measured = <E, R>(app: App<E, R>): App<E, R> =>
    Effect.withFiber((fiber) => {
      const request = Context.getUnsafe(fiber.context, HttpServerRequest.HttpServerRequest)
      const exchange = Exchange.make(
        operationOf(request.method, request.url),
        Option.getOrUndefined(request.remoteAddress)
      )
      const startedAt = performance.now()
      metrics.began()
      return Effect.map(
        Effect.onExit(Effect.provideService(app, Exchange.Current, exchange), (exit) => {
          const response = Exit.isSuccess(exit) ? exit.value : undefined
          const seconds = (performance.now() - startedAt) / 1_000
          metrics.ended(exchange.operation, response?.status, seconds)
          return logRequests ? told(request, exchange, response, seconds) : Effect.void
        }),
        (response) => {
          const headers = headersOf(exchange)
          return headers === undefined ? response : HttpServerResponse.setHeaders(response, headers)
        }
      )
    })

  const shared = corsOrigins.length === 0 ? undefined : HttpMiddleware.cors({
    allowedOrigins: (origin) => corsOrigins.includes(origin),
    exposedHeaders: exposed,
    maxAge: 600
  })

  const forwarded = trustedProxies.length === 0 ? undefined : HttpMiddleware.xForwardedHeaders({ trustedProxies })

  return <E, R>(app: App<E, R>): App<E, R> => {
    const withMeasure = measured(app)
    const withCors = shared === undefined ? withMeasure : shared(withMeasure)
    return forwarded === undefined ? withCors : forwarded(withCors)
  }
}
