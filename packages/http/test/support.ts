import { CyclesClient, Handlers, WireJson } from "@effect-cycles/http"
import { WireSpecification, WireWatch } from "@effect-cycles/testing"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Ledger, LedgerStoreMemory } from "effect-cycles"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import * as CyclesError from "effect-cycles/protocol/CyclesError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Fs from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import * as Process from "node:process"

export const apiKey = "cyc_live_a-key-nobody-may-see"

const directory = Process.env["CYCLES_SPEC_DIR"]

/** The specification, where it is at hand. */
export const specification = directory === undefined || directory === ""
  ? undefined
  : WireSpecification.make((file) => Fs.readFileSync(Path.join(directory, file), "utf8"))

/**
 * Everything the servers of these tests answer is held to the specification, but for a denial whose code is invented: an
 * authority may know codes that nobody here does, and they have to come through.
 */
export const watch = WireWatch.make({
  specification,
  isDeliberate: ({ body }) => body.startsWith(`{"error":"SOLAR_FLARE"`)
})

/** Where the server of a test listens. */
export class Server extends Context.Service<Server, { readonly url: string }>()("test/Server") {}

/** A server on the loopback interface, in front of one tenant's authority. */
export const layerServer = (
  tenant: string,
  authority: Operations,
  options?: Omit<Handlers.Options, "authenticate">
): Layer.Layer<Server> =>
  Layer.effect(
    Server,
    Effect.gen(function*() {
      const node = watch.node(createServer())
      yield* Layer.build(
        Handlers.serve({
          ...options,
          authenticate: (key) =>
            Redacted.value(key) === apiKey
              ? Effect.succeed({ tenant, authority })
              : Effect.fail(new CyclesError.Unauthorized({ reason: "unknown key" }))
        }).pipe(Layer.provide(NodeHttpServer.layer(() => node, { port: 0, host: "127.0.0.1" })), Layer.orDie)
      )
      // A server that listens on a port has an address with one.
      return { url: `http://127.0.0.1:${(node.address() as AddressInfo).port}` }
    })
  )

/** The client of a test's server. */
export const layerClient = (
  options?: Partial<CyclesClient.Options>
): Layer.Layer<BudgetAuthority, never, Server> =>
  Layer.unwrap(
    Effect.map(Server, ({ url }) =>
      CyclesClient.layer({ baseUrl: url, apiKey: Redacted.make(apiKey), retries: 0, ...options }))
  ).pipe(
    Layer.provide(FetchHttpClient.layer)
  )

/** A memory ledger, an HTTP server in front of it, and a client of that server: a remote authority like any other. */
export const layerRemote = (
  principal: Ledger.Principal,
  budgets: ReadonlyArray<Ledger.BudgetOptions>
): Layer.Layer<BudgetAuthority | Server | Ledger.Ledger> => {
  const ledger = Layer.provide(Ledger.layer(), LedgerStoreMemory.layer)
  const server = Layer.unwrap(Effect.gen(function*() {
    const ledger = yield* Ledger.Ledger
    yield* Effect.forEach(budgets, (budget) => ledger.createBudget(principal.tenant, budget), { discard: true })
    return layerServer(principal.tenant, ledger.as(principal))
  }))
  return layerClient().pipe(Layer.provideMerge(Layer.orDie(server)), Layer.provideMerge(ledger))
}

/** What a server of a test answers: its status, its body as text, and its headers. */
export interface Reply {
  readonly status: number
  readonly body?: string
  readonly headers?: { readonly [name: string]: string }
}

/** What a client of a test sent. */
export interface Sent {
  readonly method: string
  readonly url: string
  readonly headers: { readonly [name: string]: string }
  readonly body: string
}

/** A `fetch` that answers from a script, the last entry for ever, and remembers what it was asked. */
export const scriptedFetch = (
  ...script: ReadonlyArray<Reply | ((sent: Sent, signal: AbortSignal | undefined) => Promise<Reply>)>
) => {
  const sent: Array<Sent> = []
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const body = init?.body
    const request: Sent = {
      method: init?.method ?? "GET",
      url: String(input),
      headers: Object.fromEntries(new Headers(init?.headers).entries()),
      body: body instanceof Uint8Array ? new TextDecoder().decode(body) : ""
    }
    sent.push(request)
    const next = script[Math.min(sent.length, script.length) - 1]!
    const reply = typeof next === "function" ? await next(request, init?.signal ?? undefined) : next
    return new Response(reply.body ?? null, { status: reply.status, headers: reply.headers ?? {} })
  }
  return { fetch, sent }
}

export const layerScripted = (
  fetch: typeof globalThis.fetch,
  options?: Partial<CyclesClient.Options>
): Layer.Layer<BudgetAuthority> =>
  CyclesClient.layer({ baseUrl: "http://authority.test", apiKey: Redacted.make(apiKey), ...options }).pipe(
    Layer.provide(layerFetch(fetch))
  )

export const layerFetch = (fetch: typeof globalThis.fetch): Layer.Layer<HttpClient.HttpClient> =>
  FetchHttpClient.layer.pipe(Layer.provide(Layer.succeed(FetchHttpClient.Fetch, fetch)))

export const jsonReply = (status: number, body: unknown, headers?: Reply["headers"]): Reply => ({
  status,
  body: WireJson.stringify(body),
  headers: { "content-type": "application/json", ...headers }
})

/** The handlers as a function from a web request to its response, in front of one authority. */
export const webHandler = (tenant: string, authority: Operations, options?: Omit<Handlers.Options, "authenticate">) => {
  const { dispose, handler } = HttpRouter.toWebHandler(
    Handlers.layer({
      ...options,
      authenticate: (key) =>
        Redacted.value(key) === apiKey
          ? Effect.succeed({ tenant, authority })
          : Effect.fail(new CyclesError.Unauthorized({ reason: "unknown key" }))
    }).pipe(Layer.provideMerge(Logger.layer([]))),
    { routerConfig: Handlers.routerConfig, disableLogger: true }
  )
  const watched = watch.web(handler)
  const send = (
    method: string,
    path: string,
    options?: {
      readonly body?: string | Uint8Array<ArrayBuffer>
      readonly headers?: { readonly [name: string]: string }
    }
  ) =>
    Effect.promise(async () => {
      const response = await watched(
        new Request(`http://localhost${path}`, {
          method,
          headers: { "x-cycles-api-key": apiKey, "content-type": "application/json", ...options?.headers },
          ...(options?.body === undefined ? undefined : { body: options.body })
        })
      )
      const text = await response.text()
      return {
        status: response.status,
        headers: response.headers,
        text,
        // A test looks only at what it sent for.
        body: (text === "" ? undefined : JSON.parse(text)) as { readonly [name: string]: any }
      }
    })
  return { send, dispose: Effect.promise(dispose) }
}
