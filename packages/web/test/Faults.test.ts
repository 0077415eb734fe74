import { ExpressGuard, FastifyGuard, FetchGuard, HonoGuard, Tenant, TenantBudgets } from "@effect-cycles/web"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, CyclesError, Ledger, LedgerStoreMemory, PromiseClient } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import express from "express"
import fastify from "fastify"
import { Hono } from "hono"
import { once } from "node:events"
import { createServer, request as httpRequest } from "node:http"
import type { AddressInfo } from "node:net"

const estimate = Amount.tokens(500)

const makeWorld = () => {
  const client = PromiseClient.make({
    layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(10_000) }] })
  })
  const settled: Array<string> = []
  return {
    client,
    settled,
    options: {
      client,
      estimate,
      onSettled: (event: { readonly outcome?: { readonly _tag: string }; readonly error?: unknown }) => {
        settled.push(event.outcome?._tag ?? String(event.error))
      }
    },
    balance: async () => {
      const { balances } = await client.balances({ tenant: "acme" })
      return [balances[0]?.spent?.amount ?? 0n, balances[0]?.reserved?.amount ?? 0n] as const
    }
  }
}

const streamed = (more?: {
  readonly start?: (controller: { readonly close: () => void }) => void
  readonly cancel?: () => Promise<void>
}) =>
  new Response(
    new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode("one")),
      ...more
    })
  )

describe("handlers in the manner of the web", () => {
  it("settle the answer to a HEAD, whose body nobody reads", async () => {
    const world = makeWorld()
    const handle = FetchGuard.handler(world.options, () => streamed())
    await handle(new Request("http://localhost/", { method: "HEAD" }))
    const app = new Hono()
    app.get("/", HonoGuard.middleware(world.options), (c) => c.text("hello"))
    assert.strictEqual((await app.request("/", { method: "HEAD" })).status, 200)
    assert.deepStrictEqual(await world.balance(), [1_000n, 0n])
    await world.client.close()
  })

  it("settle a body that fails when it is given up", async () => {
    const world = makeWorld()
    const handle = FetchGuard.handler(
      world.options,
      () => streamed({ cancel: () => Promise.reject(new Error("cannot be given up")) })
    )
    const response = await handle(new Request("http://localhost/"))
    await response.body!.cancel().catch(() => {})
    assert.deepStrictEqual([world.settled, await world.balance()], [["Released"], [0n, 0n]])
    await world.client.close()
  })

  it("settle where a handler throws what is no error", async () => {
    const world = makeWorld()
    const app = new Hono()
    app.get("/", HonoGuard.middleware(world.options), () => {
      // oxlint-disable-next-line no-throw-literal -- what is tested
      throw "no error"
    })
    await Promise.resolve(app.request("/")).catch(() => {})
    assert.deepStrictEqual([world.settled, await world.balance()], [["Released"], [0n, 0n]])
    await world.client.close()
  })

  it("do not fail of a listener that throws, which is told once", async () => {
    const world = makeWorld()
    let told = 0
    const handle = FetchGuard.handler({
      ...world.options,
      onSettled: () => {
        told++
        throw new Error("a fault of the listener's own")
      }
    }, () => streamed({ start: (controller) => controller.close() }))
    assert.strictEqual(await (await handle(new Request("http://localhost/"))).text(), "")
    assert.deepStrictEqual([told, await world.balance()], [1, [500n, 0n]])
    await world.client.close()
  })

  it("free a tenant's client where the action cannot be told", async () => {
    const world = makeWorld()
    let users = 0
    const handle = FetchGuard.handler({
      ...world.options,
      tenant: Tenant.header("X-Tenant-ID"),
      client: {
        acquire: () => {
          users++
          return { client: world.client, free: () => void users-- }
        },
        close: () => world.client.close()
      },
      action: () => {
        throw new Error("a fault of the application's own")
      }
    }, () => streamed())
    const failed = await handle(new Request("http://localhost/", { headers: { "X-Tenant-ID": "acme" } })).catch(String)
    assert.strictEqual(failed, "Error: a fault of the application's own")
    assert.strictEqual(users, 0)
    await world.client.close()
  })
})

/** A client that goes away once `begun` has been called. */
const abandon = (port: number) => {
  const request = httpRequest({ host: "127.0.0.1", port, method: "POST", path: "/" })
  request.on("error", () => {})
  request.end()
  return () => request.destroy()
}

describe("clients that went away before the guard", () => {
  it("hold nothing in Express, and no handler is run for them", async () => {
    const world = makeWorld()
    const app = express()
    let runs = 0
    let leave: () => void = () => {}
    const passed = new Promise<void>((resolve) => {
      app.post(
        "/",
        (_request, response, next) => {
          response.on("close", () => {
            next()
            resolve()
          })
          leave()
        },
        ExpressGuard.middleware(world.options),
        (_request, response) => {
          runs++
          response.json({})
        }
      )
    })
    const server = createServer(app)
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    leave = abandon((server.address() as AddressInfo).port)
    await passed
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.deepStrictEqual([runs, await world.balance()], [0, [0n, 0n]])
    server.close()
    await world.client.close()
  })

  it("hold nothing in Fastify, and no handler is run for them", async () => {
    const world = makeWorld()
    const app = fastify()
    let runs = 0
    let leave: () => void = () => {}
    const passed = new Promise<void>((resolve) => {
      app.addHook("onRequest", (_request, reply, done) => {
        reply.raw.on("close", () => {
          done()
          resolve()
        })
        leave()
      })
    })
    const guarded = { preHandler: FastifyGuard.preHandler(world.options) }
    app.post("/", guarded, async () => {
      runs++
      return {}
    })
    await app.listen({ port: 0, host: "127.0.0.1" })
    leave = abandon((app.server.address() as AddressInfo).port)
    await passed
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.deepStrictEqual([runs, await world.balance()], [0, [0n, 0n]])
    await app.close()
    await world.client.close()
  })

  it("neither run nor hold where a time limit answered in Express first", async () => {
    const world = makeWorld()
    const app = express()
    let runs = 0
    const guard = ExpressGuard.middleware({
      ...world.options,
      estimate: async () => {
        await new Promise((resolve) => setTimeout(resolve, 50))
        return estimate
      }
    })
    app.post(
      "/",
      (_request, response, next) => {
        setTimeout(() => response.status(503).end(), 5)
        next()
      },
      guard,
      () => void runs++
    )
    const server = createServer(app)
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const { port } = server.address() as AddressInfo
    assert.strictEqual((await fetch(`http://127.0.0.1:${port}/`, { method: "POST" })).status, 503)
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.deepStrictEqual([runs, await world.balance()], [0, [0n, 0n]])
    server.closeAllConnections()
    server.close()
    await world.client.close()
  })
})

describe("budgets of tenants", () => {
  it("are asked for again after their authority failed", async () => {
    let asked = 0
    const ledger = Layer.effectDiscard(
      Effect.flatMap(
        Ledger.Ledger,
        (ledger) => ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(1_000) })
      )
    ).pipe(Layer.provideMerge(Layer.provide(Ledger.layer(), LedgerStoreMemory.layer)))
    const tenants = TenantBudgets.middleware({
      tenant: Tenant.header("X-Tenant-ID"),
      authority: (tenant) =>
        asked++ === 0
          ? Effect.fail(new CyclesError.AuthorityUnavailable({}))
          : Effect.map(Ledger.Ledger, (ledger) => ledger.as({ tenant }))
    })
    const route = HttpRouter.add(
      "POST",
      "/",
      Budget.guard(
        { action: Action.make("llm.completion", "gpt-4o"), estimate },
        (r) => Effect.succeed(r.commit(estimate, HttpServerResponse.text("hello")))
      ).pipe(Effect.orDie)
    )
    const { dispose, handler } = HttpRouter.toWebHandler(
      route.pipe(Layer.provide(tenants.layer), Layer.provide([ledger, HttpServer.layerServices])),
      { disableLogger: true }
    )
    const ask = async () =>
      (await handler(new Request("http://localhost/", { method: "POST", headers: { "X-Tenant-ID": "acme" } }))).status
    assert.deepStrictEqual([await ask(), await ask()], [503, 200])
    await dispose()
  })
})
