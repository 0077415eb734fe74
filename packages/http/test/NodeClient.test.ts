import { CyclesClient } from "@effect-cycles/http"
import * as NodeClient from "@effect-cycles/http/NodeClient"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, BudgetAuthority } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createServer as createHttpServer } from "node:http"
import type { AddressInfo, Server, Socket } from "node:net"
import { connect, createServer } from "node:net"
import { Worker } from "node:worker_threads"
import { apiKey } from "./support.ts"

const reserve = Effect.flatMap(BudgetAuthority.BudgetAuthority, (authority) =>
  authority.reserve({
    idempotencyKey: IdempotencyKey.make("key"),
    subject: { tenant: "acme" },
    action: Action.make("llm.completion", "gpt-4o"),
    estimate: Amount.tokens(1)
  }))

const client = (baseUrl: string, options?: Partial<CyclesClient.Options> & NodeClient.Options) =>
  CyclesClient.layer({ baseUrl, apiKey: Redacted.make(apiKey), retries: 0, ...options }).pipe(
    Layer.provide(NodeClient.layer(options))
  )

/** A server on the loopback interface, and the sockets it has accepted. */
const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly sockets: Set<Socket> }>((resume) => {
      const sockets = new Set<Socket>()
      server.on("connection", (socket) => sockets.add(socket))
      // A server that listens on a port has an address with one.
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({ port: (server.address() as AddressInfo).port, sockets })))
    }),
    ({ sockets }) =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) {
          socket.destroy()
        }
      })
  )

/**
 * A port where connections are never made: whoever listens there accepts nobody, the queue of those who wait for it is full, and
 * the kernel ignores everybody else.
 */
const blackHole = Effect.gen(function*() {
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() =>
      new Worker(
        `const { parentPort } = require("node:worker_threads")
         const server = require("node:net").createServer()
         server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
           parentPort.postMessage(server.address().port)
           Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
         })`,
        { eval: true }
      )
    ),
    (worker) => Effect.promise(() => worker.terminate())
  )
  const port = yield* Effect.callback<number>((resume) => {
    worker.once("message", (port: number) => resume(Effect.succeed(port)))
  })
  const waiting = yield* Effect.acquireRelease(
    Effect.sync(() => Array.from({ length: 8 }, () => connect(port, "127.0.0.1").on("error", () => {}))),
    (sockets) => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
  )
  // Those that got into the queue have their connection long before this.
  yield* Effect.sleep("100 millis")
  assert.isTrue(waiting.some((socket) => socket.connecting))
  return port
})

const elapsed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.timed(effect), ([duration, value]) => [Duration.toMillis(duration), value] as const)

const asked = (url: string, options?: Partial<CyclesClient.Options> & NodeClient.Options) =>
  elapsed(Effect.flip(Effect.provide(reserve, client(url, options))))

describe("The connect timeout", () => {
  it.live.skipIf(process.platform !== "linux")(
    "ends an attempt whose connection does not come about",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const port = yield* blackHole
        const [ms, error] = yield* asked(`http://127.0.0.1:${port}`, {
          connectTimeout: "150 millis",
          timeout: "20 seconds"
        })
        assert.strictEqual(error._tag, "AuthorityUnavailable")
        assert.isTrue(error.isTransient)
        assert.include(error.message, "no connection within 150ms (ETIMEDOUT)")
        assert.isAtLeast(ms, 149)
        assert.isBelow(ms, 5_000)
        // An attempt that is over before it leaves the connection behind.
        const [, total] = yield* asked(`http://127.0.0.1:${port}`, {
          connectTimeout: "20 seconds",
          timeout: "150 millis"
        })
        assert.include(total.message, "no answer within 150ms")
      }))
  )

  it.live("covers the TLS handshake", () =>
    Effect.scoped(Effect.gen(function*() {
      // It accepts, and says nothing.
      const { port, sockets } = yield* listening(createServer())
      const [ms, error] = yield* asked(`https://127.0.0.1:${port}`, {
        connectTimeout: "150 millis",
        timeout: "20 seconds"
      })
      assert.include(error.message, "no connection within 150ms")
      assert.isAtLeast(ms, 149)
      assert.isBelow(ms, 5_000)
      assert.strictEqual(sockets.size, 1)
    })))

  it.live("says nothing about a server that takes its time to answer", () =>
    Effect.scoped(Effect.gen(function*() {
      const { port } = yield* listening(createHttpServer((_request, response) => {
        setTimeout(() => {
          response.writeHead(200, { "content-type": "application/json" })
          response.end(`{"decision":"ALLOW","affected_scopes":[]}`)
        }, 300)
      }))
      const url = `http://127.0.0.1:${port}`
      const reply = yield* Effect.provide(reserve, client(url, { connectTimeout: "100 millis" }))
      assert.strictEqual(reply.decision, "ALLOW")
      const [, error] = yield* asked(url, { connectTimeout: "100 millis", timeout: "150 millis" })
      assert.include(error.message, "no answer within 150ms")
    })))

  it.live("is asked for anew by every attempt", () =>
    Effect.scoped(Effect.gen(function*() {
      const { port, sockets } = yield* listening(createServer())
      yield* asked(`https://127.0.0.1:${port}`, { connectTimeout: "50 millis", retries: 2 })
      assert.strictEqual(sockets.size, 3)
    })))

  it.effect("is read from the environment", () =>
    Effect.gen(function*() {
      const config = (env: Record<string, string>) =>
        Effect.provideService(
          Effect.gen(function*() {
            return yield* NodeClient.config
          }),
          ConfigProvider.ConfigProvider,
          ConfigProvider.fromEnv({ env })
        )
      const set = yield* config({ CYCLES_CONNECT_TIMEOUT_MS: "250" })
      assert.isDefined(set.connectTimeout)
      assert.strictEqual(Duration.toMillis(Duration.fromInputUnsafe(set.connectTimeout!)), 250)
      assert.isUndefined((yield* config({})).connectTimeout)
      for (const malformed of ["0", "-1", "1.5", "soon"]) {
        const error = yield* Effect.flip(config({ CYCLES_CONNECT_TIMEOUT_MS: malformed }))
        assert.include(error.message, "CYCLES_CONNECT_TIMEOUT_MS")
      }
    }))

  it("is positive, and no longer than a timer can be", () => {
    for (const connectTimeout of [0, -1, "25 days", Infinity] as const) {
      assert.throws(() => NodeClient.layer({ connectTimeout }), RangeError)
    }
  })
})

describe("Connections", () => {
  for (const headers of [{}, { "content-length": "41" }]) {
    const what = "content-length" in headers ? "with a length" : "in chunks"
    it.live(`are kept for further requests, whose replies come ${what}`, () =>
      Effect.scoped(Effect.gen(function*() {
        const { port, sockets } = yield* listening(createHttpServer((request, response) => {
          request.resume()
          response.writeHead(200, { "content-type": "application/json", ...headers })
          response.end(`{"decision":"ALLOW","affected_scopes":[]}`)
        }))
        yield* Effect.gen(function*() {
          for (let i = 0; i < 5; i++) yield* reserve
        }).pipe(Effect.provide(client(`http://127.0.0.1:${port}`)))
        assert.strictEqual(sockets.size, 1)
      })))
  }

  it.live("end with the layer", () =>
    Effect.scoped(Effect.gen(function*() {
      const { port, sockets } = yield* listening(createHttpServer((_request, response) => {
        response.writeHead(200, { "content-type": "application/json" })
        response.end(`{"decision":"ALLOW","affected_scopes":[]}`)
      }))
      const exit = yield* Effect.exit(Effect.provide(reserve, client(`http://127.0.0.1:${port}`)))
      assert.isTrue(Exit.isSuccess(exit))
      const [socket] = sockets
      if (socket?.closed === false) {
        yield* Effect.callback<void>((resume) => void socket.once("close", () => resume(Effect.void)))
      }
      assert.strictEqual(socket?.closed, true)
    })))
})
