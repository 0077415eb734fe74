/**
 * The HTTP side of the model: `POST /{scenario}/v1/chat/completions` on 127.0.0.1, in front of the stand-in or, as a proxy,
 * of a real endpoint. It writes the log that the audit reads.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"
import type { ScenarioName } from "./CallLog.ts"
import * as CallLog from "./CallLog.ts"
import * as Chat from "./Chat.ts"
import * as Tokens from "./Tokens.ts"

/** What the model answers: a status, a body to pass on, and what of it is billed. */
export interface Answer {
  readonly status: number
  readonly usage: Chat.Usage
  readonly body: unknown
}

export type Backend = (scenario: ScenarioName, request: Chat.Request) => Effect.Effect<Answer>

export class Endpoint extends Context.Service<Endpoint, {
  /** The base URL a client of this scenario is configured with. */
  readonly baseUrl: (scenario: ScenarioName) => string
  /** Waits for the scenario's first call to arrive. */
  readonly received: (scenario: ScenarioName) => Effect.Effect<void>
}>()("examples/demo/Endpoint") {}

const route = /^\/(\w+)\/v1\/chat\/completions$/

const decodeScenario = Schema.decodeUnknownEffect(CallLog.ScenarioName)

const make = Effect.fnUntraced(function*(backend: Backend) {
  const server = yield* HttpServer.HttpServer
  const log = yield* CallLog.CallLog
  const arrivals = new Map<ScenarioName, Latch.Latch>()
  for (const scenario of CallLog.scenarios) arrivals.set(scenario, yield* Latch.make())

  const complete = Effect.fnUntraced(function*(scenario: ScenarioName, request: Chat.Request) {
    yield* arrivals.get(scenario)?.open ?? Effect.void
    // A server's handlers are not interruptible by themselves; the model's work ends when its client goes away.
    const answer = yield* Effect.interruptible(backend(scenario, request)).pipe(
      Effect.onExit((exit) =>
        log.append(
          Exit.isSuccess(exit)
            ? {
              scenario,
              model: request.model,
              status: exit.value.status,
              outcome: "finished",
              promptTokens: exit.value.usage.prompt_tokens,
              completionTokens: exit.value.usage.completion_tokens
            }
            : {
              scenario,
              model: request.model,
              status: 499,
              outcome: "aborted",
              promptTokens: Tokens.ofMessages(request.messages),
              completionTokens: 0
            }
        )
      )
    )
    return HttpServerResponse.jsonUnsafe(answer.body, { status: answer.status })
  })

  const app = Effect.gen(function*() {
    const { method, url } = yield* HttpServerRequest.HttpServerRequest
    const path = route.exec(url)
    if (method !== "POST" || path === null) return HttpServerResponse.empty({ status: 404 })
    const scenario = yield* decodeScenario(path[1])
    return yield* complete(scenario, yield* HttpServerRequest.schemaBodyJson(Chat.Request))
  }).pipe(
    Effect.catchTag(
      "SchemaError",
      (error) => Effect.succeed(HttpServerResponse.jsonUnsafe({ error: { message: error.message } }, { status: 400 }))
    )
  )

  yield* server.serve(app)
  const origin = HttpServer.formatAddress(server.address)
  return Endpoint.of({
    baseUrl: (scenario) => `${origin}/${scenario}/v1`,
    received: (scenario) => arrivals.get(scenario)?.await ?? Effect.never
  })
})

/** Serves on a free port until the scope ends. By then every call it took is in the log. */
export const layer = <E, R>(backend: Effect.Effect<Backend, E, R>) =>
  Layer.effect(Endpoint, Effect.flatMap(backend, make)).pipe(
    Layer.provide(NodeHttpServer.layerServer(createServer, { host: "127.0.0.1", port: 0 }))
  )
