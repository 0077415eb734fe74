/**
 * A port that is listened on: what it lets in, and how it ends.
 *
 * @internal
 */
import * as WireJson from "@effect-cycles/http/WireJson"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import { randomBytes, randomUUID } from "node:crypto"
import type { Server } from "node:http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import { StartupError } from "../StartupError.ts"

export interface Options {
  readonly host: string
  readonly port: number
  /** The flag and the variable that name the port, for whoever has to choose another. */
  readonly named: readonly [flag: string, variable: string]
  readonly maxHeaderBytes: number
  readonly maxConnections: number
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly idleTimeoutMs: number
  /** How long requests may take to end when the scope does. */
  readonly shutdownTimeoutMs: number
  /** Requests did not end in time. */
  readonly onCutOff: () => void
}

export interface Listener {
  readonly url: string
  readonly port: number
}

const cannotListen = ({ host, named: [flag, variable], port }: Options, cause: unknown): StartupError => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)
  const other = `choose another with ${flag} or ${variable}`
  return code === "EADDRINUSE"
    ? new StartupError({
      reason: "PortInUse",
      message: `Port ${port} of ${host} is in use. Stop what listens there, or ${other}`,
      cause
    })
    : new StartupError({
      reason: "CannotListen",
      message: code === "EACCES"
        ? `This user may not listen on port ${port} of ${host}: ${other}`
        : `${host}:${port} cannot be listened on (${code}). Check --host or CYCLES_HOST, or ${other}`,
      cause
    })
}

const statuses: { readonly [code: string]: readonly [status: string, words: string] } = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "The headers are too long"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ["413 Payload Too Large", "The chunk extensions are too long"],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "The request did not arrive in time"]
}

/** Answers what is no request at all, as far as that can be told, in the protocol's form; then there is nothing more to say. */
const refuseUnreadable = (error: Error & { readonly code?: string }, socket: Duplex): void => {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy()
    return
  }
  const [status, message] = statuses[error.code ?? ""] ?? ["400 Bad Request", "The request cannot be read"]
  const requestId = randomUUID()
  const traceId = randomBytes(16).toString("hex")
  const body = WireJson.stringify({ error: "INVALID_REQUEST", message, request_id: requestId, trace_id: traceId })
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `X-Request-Id: ${requestId}\r\nX-Cycles-Trace-Id: ${traceId}\r\nConnection: close\r\n\r\n${body}`
  )
}

/** No more connections; then what is under way ends, or is ended. Gives whether it all ended by itself. */
const close = (node: Server, timeoutMs: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    let isCut = false
    // A connection may become idle just after it was looked at.
    const sweep = setInterval(() => node.closeIdleConnections(), 25)
    const end = setTimeout(() => {
      isCut = true
      node.closeAllConnections()
    }, timeoutMs)
    node.close(() => {
      clearInterval(sweep)
      clearTimeout(end)
      resume(Effect.succeed(!isCut))
    })
  })

/** Answers requests on a port until the scope ends. */
export const listen = Effect.fnUntraced(function*<E>(
  app: Effect.Effect<HttpServerResponse, E, HttpServerRequest | Scope.Scope>,
  options: Options
): Effect.fn.Return<Listener, StartupError, Scope.Scope> {
  const node = createServer({
    maxHeaderSize: options.maxHeaderBytes,
    headersTimeout: options.headersTimeoutMs,
    requestTimeout: options.requestTimeoutMs,
    keepAliveTimeout: options.idleTimeoutMs,
    connectionsCheckingInterval: Math.max(100, Math.min(2_000, Math.ceil(options.headersTimeoutMs / 2)))
  })
  node.maxConnections = options.maxConnections
  // Whoever takes no answer does not keep a connection either.
  node.timeout = options.requestTimeoutMs + options.idleTimeoutMs
  node.on("clientError", refuseUnreadable)

  const { host, port } = options
  const server = yield* Effect.mapError(
    NodeHttpServer.make(() => node, { host, port, disablePreemptiveShutdown: true }),
    (error) => cannotListen(options, error.cause)
  )
  // A context, and not a service: what is merged is flat, and what is added for a request is kept beside it instead of copying it.
  yield* Effect.provideContext(HttpServer.serveEffect(app), Context.make(HttpServer.HttpServer, server))
  // The last to be added is the first to run: by when the requests have ended, nothing is left to be interrupted.
  yield* Effect.addFinalizer(() =>
    Effect.map(close(node, options.shutdownTimeoutMs), (hasEnded) => {
      if (!hasEnded) options.onCutOff()
    })
  )
  // A server that listens on a port has an address with one.
  const address = node.address() as AddressInfo
  const name = address.family === "IPv6" ? `[${address.address}]` : address.address
  return { url: `http://${name}:${address.port}`, port: address.port }
})
