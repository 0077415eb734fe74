/**
 * The ways to a server: over the standard streams of its process, or over HTTP.
 *
 * @internal
 */
import * as McpProtocol from "effect/ai/McpProtocol"
import * as McpServer from "effect/ai/McpServer"
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { Stdio } from "effect/Stdio"
import { version } from "../cli/version.ts"
import { defaults } from "../defaults.ts"
import * as Listener from "../internal/Listener.ts"
import * as Secrets from "../Secrets.ts"
import type { StartupError } from "../StartupError.ts"

/** What is served: what adds it to a server, and what a model is told of all of it. */
export interface Served {
  readonly name: string
  readonly instructions: string
  readonly register: Effect.Effect<void, never, McpServer.McpServer>
}

const options = ({ instructions, name, register }: Served) => ({
  name,
  version,
  instructions,
  protocols: [
    McpProtocol.v2025_11_25,
    McpProtocol.v2025_06_18,
    McpProtocol.v2025_03_26,
    McpProtocol.v2024_11_05,
    McpProtocol.v2026_07_28
  ] as const,
  registrations: Layer.effectDiscard(register)
})

/** Serves a client over the standard streams, until it closes them. Needs them for itself. */
export const stdio = (served: Served): Effect.Effect<void, Cause.IllegalArgumentError, Stdio> =>
  Effect.gen(function*() {
    // Whoever serves is interrupted when the streams are closed, which is not the end of the program that waits for it.
    const serving = yield* Effect.forkChild(Layer.launch(McpServer.layerStdio(options(served))))
    const exit = yield* Fiber.await(serving)
    if (exit._tag === "Failure" && !Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.failCause(exit.cause)
  })

export interface HttpOptions {
  readonly host: string
  readonly port: number
  readonly token: Redacted.Redacted<string> | undefined
  readonly allowedOrigins: ReadonlyArray<string>
}

const unauthorized = HttpServerResponse.jsonUnsafe(
  { error: "UNAUTHORIZED", message: "Send the token: Authorization: Bearer …" },
  { status: 401, headers: { "www-authenticate": "Bearer" } }
)

const BEARER = /^Bearer +(\S+) *$/i

/** Serves clients over HTTP until the scope ends. */
export const http = Effect.fnUntraced(function*(
  served: Served,
  { allowedOrigins, host, port, token }: HttpOptions
): Effect.fn.Return<Listener.Listener, StartupError, Scope.Scope> {
  const routes = Layer.mergeAll(
    McpServer.layerHttp({ ...options(served), path: "/mcp", allowedOrigins, allowSessionTermination: true }),
    HttpRouter.add("GET", "/health", HttpServerResponse.jsonUnsafe({ status: "UP" }))
  )
  const app = yield* Effect.orDie(HttpRouter.toHttpEffect(routes))
  const isRight = token === undefined ? () => true : Secrets.isRight(token)
  const guarded = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers, url }) => {
    if (url.split("?")[0] === "/health") return app
    const given = BEARER.exec(headers["authorization"] ?? "")?.[1]
    const isLetIn = token === undefined || (given !== undefined && isRight(Redacted.make(given)))
    return isLetIn ? app : Effect.succeed(unauthorized)
  }).pipe(Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(defaults.maxRequestBytes)))
  return yield* Listener.listen(guarded, {
    host,
    port,
    named: ["--port", "CYCLES_MCP_PORT"],
    maxHeaderBytes: defaults.maxHeaderBytes,
    maxConnections: defaults.maxConnections,
    headersTimeoutMs: defaults.headersTimeoutMs,
    requestTimeoutMs: defaults.requestTimeoutMs,
    idleTimeoutMs: defaults.idleTimeoutMs,
    shutdownTimeoutMs: 5_000,
    onCutOff: () => {}
  })
})
