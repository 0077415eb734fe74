/** What the client is measured against: the handlers over a ledger in memory, fixed replies, and an echo. */
import { CyclesClient, Handlers, RuntimeApi } from "@effect-cycles/http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import type { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { IncomingMessage, ServerResponse } from "node:http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

const apiKey = "cyc_live_bench"

export const portOf = (address: AddressInfo | string | null): number =>
  typeof address === "object" && address !== null ? address.port : 0

/** The URL of the handlers in front of an authority. */
export const handlers = (tenant: string, authority: Operations) =>
  Effect.gen(function*() {
    const server = createServer()
    yield* Layer.build(
      Handlers.serve({ authenticate: () => Effect.succeed({ tenant, authority }) }).pipe(
        Layer.provide(NodeHttpServer.layer(() => server, { port: 0, host: "127.0.0.1" }))
      )
    )
    return `http://127.0.0.1:${portOf(server.address())}`
  })

/** The URL of a server of `node:http` that has read the body of a request when it answers. */
export const plain = (answer: (request: IncomingMessage, body: string, response: ServerResponse) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly close: () => void }>((resume) => {
      const server = createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => answer(request, Buffer.concat(chunks).toString(), response))
      })
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({
          url: `http://127.0.0.1:${portOf(server.address())}`,
          close: () => {
            server.close()
            server.closeAllConnections()
          }
        })))
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ url }) => url))

/** The authority at a URL. */
export const client = (baseUrl: string): Layer.Layer<BudgetAuthority> =>
  CyclesClient.layer({ baseUrl, apiKey: Redacted.make(apiKey) }).pipe(Layer.provide(FetchHttpClient.layer))

const makeDerived = (baseUrl: string) =>
  HttpApiClient.make(RuntimeApi.RuntimeApi, {
    baseUrl,
    transformClient: HttpClient.mapRequest(HttpClientRequest.setHeader("x-cycles-api-key", apiKey))
  })

/** The client that Effect derives from the contract. */
export class Derived extends Context.Service<Derived, Effect.Success<ReturnType<typeof makeDerived>>>()(
  "bench/Derived"
) {}

export const derivedClient = (baseUrl: string): Layer.Layer<Derived> =>
  Layer.effect(Derived, makeDerived(baseUrl)).pipe(Layer.provide(FetchHttpClient.layer))
