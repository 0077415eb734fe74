import {
  ExpressGuard,
  FastifyGuard,
  FetchGuard,
  HonoGuard,
  Tenant,
  TenantClients,
  type WebBudget
} from "@effect-cycles/web"
import { assert, describe, it } from "@effect/vitest"
import { serve } from "@hono/node-server"
import { Amount, Ledger, LedgerStoreMemory, type PromiseClient } from "effect-cycles"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import express from "express"
import fastify from "fastify"
import { Hono } from "hono"
import { once } from "node:events"
import { createServer, request as httpRequest, type Server } from "node:http"
import type { AddressInfo } from "node:net"

const ESTIMATE = 500_000n

/** A ledger with two tenants, of whom `acme` can afford three requests. */
const makeWorld = async () => {
  const runtime = ManagedRuntime.make(Layer.provide(Ledger.layer(), LedgerStoreMemory.layer))
  const ledger = await runtime.runPromise(Ledger.Ledger)
  for (const [tenant, amount] of [["acme", 1_500_000], ["poor", 1]] as const) {
    await runtime.runPromise(
      ledger.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.microcents(amount) })
    )
  }
  const clients = TenantClients.make({
    layer: (tenant) => Layer.provide(Ledger.layerAuthority({ tenant }), Layer.succeed(Ledger.Ledger, ledger))
  })
  const settled: Array<string> = []
  const waiting: Array<() => void> = []
  return {
    options: {
      client: clients,
      tenant: Tenant.header("X-Tenant-ID"),
      estimate: Amount.microcents(ESTIMATE),
      onSettled: (event: WebBudget.Settled) => {
        settled.push("outcome" in event ? event.outcome._tag : String(event.error))
        waiting.shift()?.()
      }
    },
    settled,
    /** Waits for the next settlement that has not been waited for. */
    settlement: (n: number): Promise<void> =>
      settled.length >= n ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve)),
    balance: async () => {
      const { balances } = await runtime.runPromise(ledger.as({ tenant: "acme" }).balances({ tenant: "acme" }))
      return [balances[0]?.spent?.amount ?? 0n, balances[0]?.reserved?.amount ?? 0n] as const
    },
    actions: async () => {
      const page = await runtime.runPromise(ledger.as({ tenant: "acme" }).reservations({}))
      return page.reservations.map(({ action }) => `${action.kind} ${action.name}`)
    },
    close: async () => {
      await clients.close()
      await runtime.dispose()
    }
  }
}

type World = Awaited<ReturnType<typeof makeWorld>>

/** What every framework's application does, by its path: `/users/:id/…`. */
interface Application {
  readonly url: string
  readonly close: () => Promise<void>
}

/** Told when the handler that never answers has begun, and gives its signal. */
interface Hanging {
  begun: (signal: AbortSignal) => void
}

const addressOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const listening = async (server: Server): Promise<Application> => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: addressOf(server),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    }
  }
}

const charged = Amount.microcents(300_000)

const frameworks: Readonly<Record<string, (world: World, hanging: Hanging) => Promise<Application>>> = {
  Express: ({ options }, hanging) => {
    const app = express()
    const guard = ExpressGuard.middleware(options)
    app.post("/users/:id/charge", guard, (_request, response) => {
      ExpressGuard.current(response).charge(charged)
      response.json({ ok: true })
    })
    app.post("/users/:id/plain", guard, (_request, response) => {
      response.json({ ok: true })
    })
    app.post("/users/:id/bad", guard, (_request, response) => {
      response.status(422).json({ ok: false })
    })
    app.post("/users/:id/throw", guard, () => {
      throw new Error("a fault of the handler's own")
    })
    app.post("/users/:id/hang", guard, (_request, response) => {
      hanging.begun(ExpressGuard.current(response).signal)
    })
    app.post("/users/:id/stream", guard, (_request, response) => {
      const budget = ExpressGuard.current(response)
      response.write("one")
      budget.charge(Amount.microcents(100_000))
      hanging.begun(budget.signal)
    })
    app.use(
      (_error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
        response.status(500).end()
      }
    )
    return listening(createServer(app))
  },

  Fastify: async ({ options }, hanging) => {
    const app = fastify()
    const guarded = { preHandler: FastifyGuard.preHandler(options) }
    app.post("/users/:id/charge", guarded, (request, reply) => {
      FastifyGuard.current(request).charge(charged)
      reply.send({ ok: true })
    })
    app.post("/users/:id/plain", guarded, async () => ({ ok: true }))
    app.post("/users/:id/bad", guarded, async (_request, reply) => reply.code(422).send({ ok: false }))
    app.post("/users/:id/throw", guarded, async () => {
      throw new Error("a fault of the handler's own")
    })
    app.post("/users/:id/hang", guarded, (request) => {
      hanging.begun(FastifyGuard.current(request).signal)
      return new Promise(() => {})
    })
    app.post("/users/:id/stream", guarded, (request, reply) => {
      const budget = FastifyGuard.current(request)
      reply.hijack()
      reply.raw.write("one")
      budget.charge(Amount.microcents(100_000))
      hanging.begun(budget.signal)
    })
    await app.listen({ port: 0, host: "127.0.0.1" })
    return {
      url: addressOf(app.server),
      close: async () => {
        app.server.closeAllConnections()
        await app.close()
      }
    }
  },

  Hono: async ({ options }, hanging) => {
    const app = new Hono()
    const guard = HonoGuard.middleware(options)
    app.post("/users/:id/charge", guard, (c) => {
      HonoGuard.current(c).charge(charged)
      return c.json({ ok: true })
    })
    app.post("/users/:id/plain", guard, (c) => c.json({ ok: true }))
    app.post("/users/:id/bad", guard, (c) => c.json({ ok: false }, 422))
    app.post("/users/:id/throw", guard, () => {
      throw new Error("a fault of the handler's own")
    })
    app.post("/users/:id/hang", guard, (c) => {
      hanging.begun(HonoGuard.current(c).signal)
      return new Promise<Response>(() => {})
    })
    app.post("/users/:id/stream", guard, (c) => {
      const budget = HonoGuard.current(c)
      const body = new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode("one"))
          budget.charge(Amount.microcents(100_000))
          hanging.begun(budget.signal)
        }
      })
      return c.body(body)
    })
    app.onError((_error, c) => c.text("", 500))
    const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }) as Server
    await once(server, "listening")
    return {
      url: addressOf(server),
      close: async () => {
        server.closeAllConnections()
        server.close()
        await once(server, "close")
      }
    }
  },

  fetch: async ({ options }, hanging) => {
    const route = (path: string, handle: Parameters<typeof FetchGuard.handler>[1]) =>
      FetchGuard.handler({ ...options, route: `/users/:id/${path}` }, handle)
    const routes: Readonly<Record<string, (request: Request) => Promise<Response>>> = {
      charge: route("charge", (_request, budget) => {
        budget.charge(charged)
        return Response.json({ ok: true })
      }),
      plain: route("plain", () => Response.json({ ok: true })),
      bad: route("bad", () => Response.json({ ok: false }, { status: 422 })),
      throw: route("throw", () => {
        throw new Error("a fault of the handler's own")
      }),
      hang: route("hang", (_request, budget) => {
        hanging.begun(budget.signal)
        return new Promise<Response>(() => {})
      }),
      stream: route("stream", (_request, budget) =>
        new Response(
          new ReadableStream({
            start: (controller) => {
              controller.enqueue(new TextEncoder().encode("one"))
              budget.charge(Amount.microcents(100_000))
              hanging.begun(budget.signal)
            }
          })
        ))
    }
    const server = serve({
      fetch: (request: Request) =>
        routes[request.url.split("/").at(-1) ?? ""]!(request).catch(() => new Response(null, { status: 500 })),
      port: 0,
      hostname: "127.0.0.1"
    }) as Server
    await once(server, "listening")
    return {
      url: addressOf(server),
      close: async () => {
        server.closeAllConnections()
        server.close()
        await once(server, "close")
      }
    }
  }
}

describe.each(Object.entries(frameworks))("a budget around requests of %s", (_name, start) => {
  const inside = (
    body: (parts: {
      readonly world: World
      readonly hanging: Hanging
      readonly post: (path: string, tenant?: string) => Promise<Response>
      readonly url: string
    }) => Promise<void>
  ) =>
  async () => {
    const world = await makeWorld()
    const hanging: Hanging = { begun: () => {} }
    const application = await start(world, hanging)
    try {
      await body({
        world,
        hanging,
        url: application.url,
        post: (path, tenant = "acme") =>
          fetch(`${application.url}/users/7/${path}`, {
            method: "POST",
            headers: tenant === "" ? {} : { "X-Tenant-ID": tenant }
          })
      })
    } finally {
      await application.close()
      await world.close()
    }
  }

  /** A client that goes away as soon as the handler has begun. */
  const abandon = (url: string, path: string, hanging: Hanging): Promise<AbortSignal> =>
    new Promise((resolve, reject) => {
      const request = httpRequest(`${url}/users/7/${path}`, { method: "POST", headers: { "X-Tenant-ID": "acme" } })
      request.on("error", () => {})
      hanging.begun = (signal) => {
        resolve(signal)
        // The answer's head, if there is one, is on its way.
        setImmediate(() => request.destroy())
      }
      request.on("timeout", () => reject(new Error("the handler did not begin")))
      request.end()
    })

  it(
    "costs what its handler says, named by the template of its route",
    inside(async ({ post, world }) => {
      const response = await post("charge")
      assert.deepStrictEqual([response.status, await response.json()], [200, { ok: true }])
      await world.settlement(1)
      assert.deepStrictEqual(await world.balance(), [300_000n, 0n])
      assert.deepStrictEqual(await world.actions(), ["http.request POST /users/:id/charge"])
    })
  )

  it(
    "costs the estimate where nothing was said, and nothing where it went wrong",
    inside(async ({ post, world }) => {
      assert.strictEqual((await post("bad")).status, 422)
      assert.strictEqual((await post("throw")).status, 500)
      await world.settlement(2)
      assert.deepStrictEqual(await world.balance(), [0n, 0n])
      await (await post("plain")).text()
      await world.settlement(3)
      assert.deepStrictEqual(await world.balance(), [ESTIMATE, 0n])
      assert.deepStrictEqual(world.settled, ["Released", "Released", "Committed"])
    })
  )

  it(
    "is refused as a problem, with nothing of the budget's figures, and is not run",
    inside(async ({ post, world }) => {
      const denied = await post("charge", "poor")
      assert.strictEqual(denied.status, 402)
      assert.include(denied.headers.get("content-type"), "application/problem+json")
      const body = await denied.json()
      assert.deepInclude(body, { status: 402, code: "BUDGET_EXCEEDED", type: "urn:effect-cycles:budget-exceeded" })
      assert.notInclude(JSON.stringify(body), "tenant:poor")
      for (const tenant of ["", "../acme"]) {
        const missing = await post("charge", tenant)
        assert.strictEqual(missing.status, 400)
        assert.deepInclude(await missing.json(), { code: "MISSING_TENANT" })
      }
      assert.deepStrictEqual(world.settled, [])
    })
  )

  it(
    "is released when its client goes away",
    inside(async ({ hanging, url, world }) => {
      const signal = await abandon(url, "hang", hanging)
      await world.settlement(1)
      assert.isTrue(signal.aborted)
      assert.deepStrictEqual([await world.balance(), world.settled], [[0n, 0n], ["Released"]])
    })
  )

  it(
    "costs what was charged until then when its client goes away in the midst of the answer",
    inside(async ({ hanging, url, world }) => {
      await abandon(url, "stream", hanging)
      await world.settlement(1)
      assert.deepStrictEqual([await world.balance(), world.settled], [[100_000n, 0n], ["Committed"]])
    })
  )
})

describe("clients by tenant", () => {
  const make = (maximum: number) => {
    const closed: Array<string> = []
    const clients = TenantClients.make({
      layer: (tenant) =>
        Ledger.layerMemory({ tenant, budgets: [{ scope: `tenant:${tenant}`, allocated: Amount.tokens(1) }] }),
      maximum
    })
    return { clients, closed }
  }
  const works = async (client: PromiseClient.PromiseClient, tenant: string) =>
    (await client.balances({ tenant })).balances.length === 1

  it("keeps so many, and none in use is closed", async () => {
    const { clients } = make(1)
    const a = clients.acquire("a")
    const b = clients.acquire("b")
    assert.isTrue(await works(a.client, "a") && await works(b.client, "b"))
    assert.strictEqual(clients.acquire("b").client, b.client)
    a.free()
    a.free()
    const closed = await works(a.client, "a").catch((error: { readonly _tag: string }) => error._tag)
    assert.strictEqual(closed, "ClientClosed")
    assert.isTrue(await works(b.client, "b"))
    await clients.close()
    assert.throws(() => make(0), RangeError)
  })
})
