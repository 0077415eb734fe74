import { HttpGuard, Problem, Tenant, TenantBudgets } from "@effect-cycles/web"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, CyclesError, Ledger, LedgerStoreMemory } from "effect-cycles"
import { ToolNotAllowed } from "effect-cycles/protocol/Caps"
import { ReservationId } from "effect-cycles/protocol/Ids"
import { LeaseLost } from "effect-cycles/runtime/Heartbeat"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createServer, request as httpRequest } from "node:http"
import type { AddressInfo } from "node:net"

const ledgerLayer = Layer.effectDiscard(
  Effect.flatMap(
    Ledger.Ledger,
    (ledger) =>
      Effect.forEach(
        [["acme", 1_500_000], ["poor", 1]] as const,
        ([tenant, amount]) =>
          ledger.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.microcents(amount) })
      )
  )
).pipe(
  Layer.provideMerge(Layer.provide(Ledger.layer(), LedgerStoreMemory.layer))
)

const byTenant = {
  tenant: Tenant.header("X-Tenant-ID"),
  authority: (tenant: string) =>
    tenant === "nobody"
      ? Effect.fail(new Problem.MissingTenant({ reason: "unknown" }))
      : Effect.map(Ledger.Ledger, (ledger) => ledger.as({ tenant }))
}

const tenants = TenantBudgets.middleware(byTenant)

const guarded = TenantBudgets.guard({ ...byTenant, estimate: Amount.microcents(500_000) })

class Hanging extends Context.Service<Hanging, Deferred.Deferred<void>>()("test/Hanging") {}

const charged = HttpGuard.charge(Amount.microcents(300_000))

const Api = HttpApi.make("Api").add(
  HttpApiGroup.make("users").add(
    HttpApiEndpoint.get("user", "/api/users/:id", {
      params: { id: Schema.String },
      success: Schema.Struct({ id: Schema.String })
    })
  )
)

const api = HttpApiBuilder.layer(Api).pipe(
  Layer.provide(
    HttpApiBuilder.group(
      Api,
      "users",
      (handlers) => handlers.handle("user", ({ params }) => Effect.succeed({ id: params.id }))
    )
  ),
  Layer.provide(guarded.layer)
)

const routes = Layer.mergeAll(
  HttpRouter.add("POST", "/users/:id/charge", Effect.as(charged, HttpServerResponse.text("ok"))),
  HttpRouter.add("POST", "/users/:id/plain", HttpServerResponse.text("ok")),
  HttpRouter.add("POST", "/users/:id/bad", HttpServerResponse.text("no", { status: 422 })),
  HttpRouter.add("POST", "/users/:id/throw", Effect.die(new Error("a fault of the handler's own"))),
  HttpRouter.add(
    "POST",
    "/users/:id/hang",
    Effect.flatMap(Hanging, (hanging) => Effect.andThen(Deferred.succeed(hanging, undefined), Effect.never))
  ),
  HttpRouter.add(
    "POST",
    "/users/:id/stream",
    Effect.gen(function*() {
      const hanging = yield* Hanging
      const budget = yield* HttpGuard.RequestBudget
      return HttpServerResponse.stream(
        Stream.concat(
          Stream.make(new TextEncoder().encode("one")),
          Stream.fromEffect(
            budget.charge(Amount.microcents(100_000)).pipe(
              Effect.andThen(Deferred.succeed(hanging, undefined)),
              Effect.andThen(Effect.never)
            )
          )
        )
      )
    })
  )
).pipe(Layer.provide(guarded.layer))

const own = HttpRouter.add(
  "POST",
  "/own",
  Budget.guard(
    { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.microcents(2_000) },
    (r) => Effect.succeed(r.commit(Amount.microcents(1_500), HttpServerResponse.text("ok")))
  ).pipe(HttpGuard.catchRefused())
).pipe(Layer.provide(tenants.layer))

class Url extends Context.Service<Url, string>()("test/Url") {}

const server = Layer.effect(
  Url,
  Effect.gen(function*() {
    const node = createServer()
    yield* Layer.build(
      HttpRouter.serve(Layer.mergeAll(routes, own, api), { disableLogger: true, disableListenLog: true }).pipe(
        Layer.provide(NodeHttpServer.layer(() => node, { port: 0, host: "127.0.0.1" })),
        Layer.orDie
      )
    )
    return `http://127.0.0.1:${(node.address() as AddressInfo).port}`
  })
).pipe(
  Layer.provideMerge(Layer.effect(Hanging, Deferred.make<void>())),
  Layer.provideMerge(ledgerLayer)
)

const send = (method: string, path: string, tenant = "acme") =>
  Effect.flatMap(Url, (url) =>
    Effect.promise(async () => {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: tenant === "" ? {} : { "X-Tenant-ID": tenant }
      })
      return { status: response.status, headers: response.headers, text: await response.text() }
    }))

const balance = Effect.gen(function*() {
  const ledger = yield* Ledger.Ledger
  const { balances } = yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
  return [balances[0]?.spent?.amount ?? 0n, balances[0]?.reserved?.amount ?? 0n]
})

/** The settlement of a request follows its answer. */
const settled = (n: number) =>
  Effect.gen(function*() {
    const ledger = yield* Ledger.Ledger
    for (;;) {
      const { reservations } = yield* ledger.as({ tenant: "acme" }).reservations({})
      if (reservations.filter(({ status }) => status !== "ACTIVE").length >= n) return reservations
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    }
  })

const abandon = (path: string) =>
  Effect.gen(function*() {
    const url = yield* Url
    const hanging = yield* Hanging
    const request = httpRequest(`${url}${path}`, { method: "POST", headers: { "X-Tenant-ID": "acme" } })
    request.on("error", () => {})
    request.end()
    yield* Deferred.await(hanging)
    request.destroy()
  })

describe("a budget around requests of Effect's router", () => {
  it.live("costs what its handler says, named by the template of its route", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send("POST", "/users/7/charge")).status, 200)
      const reservations = yield* settled(1)
      assert.strictEqual(reservations[0]?.action.name, "POST /users/:id/charge")
      assert.deepStrictEqual(yield* balance, [300_000n, 0n])
    }).pipe(Effect.provide(server)))

  it.live("costs the estimate where nothing was said, and nothing where it went wrong", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send("POST", "/users/7/bad")).status, 422)
      assert.strictEqual((yield* send("POST", "/users/7/throw")).status, 500)
      yield* settled(2)
      assert.deepStrictEqual(yield* balance, [0n, 0n])
      yield* send("POST", "/users/7/plain")
      yield* settled(3)
      assert.deepStrictEqual(yield* balance, [500_000n, 0n])
    }).pipe(Effect.provide(server)))

  it.live("is refused as a problem: no budget, no tenant, a tenant nobody knows", () =>
    Effect.gen(function*() {
      const denied = yield* send("POST", "/users/7/charge", "poor")
      assert.strictEqual(denied.status, 402)
      assert.include(denied.headers.get("content-type"), "application/problem+json")
      assert.include(denied.text, "BUDGET_EXCEEDED")
      assert.notInclude(denied.text, "tenant:poor")
      for (const tenant of ["", "../acme", "nobody"]) {
        assert.strictEqual((yield* send("POST", "/users/7/charge", tenant)).status, 400)
      }
    }).pipe(Effect.provide(server)))

  it.live("guards what the handler guards itself, and answers its denials", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send("POST", "/own")).status, 200)
      assert.deepStrictEqual(yield* balance, [1_500n, 0n])
      assert.strictEqual((yield* send("POST", "/own", "poor")).status, 402)
    }).pipe(Effect.provide(server)))

  it.live("guards an HttpApi as well", () =>
    Effect.gen(function*() {
      const found = yield* send("GET", "/api/users/7")
      assert.deepStrictEqual([found.status, JSON.parse(found.text)], [200, { id: "7" }])
      assert.strictEqual((yield* settled(1))[0]?.action.name, "GET /api/users/:id")
      assert.strictEqual((yield* send("GET", "/api/users/7", "poor")).status, 402)
    }).pipe(Effect.provide(server)))

  it.live("is released when its client goes away", () =>
    Effect.gen(function*() {
      yield* abandon("/users/7/hang")
      const reservations = yield* settled(1)
      assert.strictEqual(reservations[0]?.status, "RELEASED")
      assert.deepStrictEqual(yield* balance, [0n, 0n])
    }).pipe(Effect.provide(server)))

  it.live("costs what was charged until then when its client goes away in the midst of the answer", () =>
    Effect.gen(function*() {
      yield* abandon("/users/7/stream")
      yield* settled(1)
      assert.deepStrictEqual(yield* balance, [100_000n, 0n])
    }).pipe(Effect.provide(server)))
})

describe("Problem", () => {
  it("has a status for every refusal, may be transient, and says when to come again where that is known", () => {
    const again = { retryAfterMs: 1_500 }
    const cases: ReadonlyArray<readonly [Problem.Refused, status: number, isTransient: boolean, retryAfter?: string]> =
      [
        [new CyclesError.BudgetExceeded({}), 402, false],
        [new CyclesError.BudgetExceeded(again), 429, false, "2"],
        [new CyclesError.BudgetNotFound({}), 402, false],
        [new CyclesError.UnknownDenial({ code: "NEW" }), 402, false],
        [new CyclesError.BudgetFrozen({}), 403, false],
        [new CyclesError.BudgetClosed({}), 403, false],
        [new CyclesError.TenantClosed({}), 403, false],
        [new CyclesError.ActionDenied({ code: "ACTION_KIND_DENIED" }), 403, false],
        [new CyclesError.Forbidden({}), 403, false],
        [new ToolNotAllowed({ tool: "shell" }), 403, false],
        [new CyclesError.DebtOutstanding({}), 503, false],
        [new CyclesError.OverdraftLimitExceeded(again), 503, false, "2"],
        [new CyclesError.AuthorityUnavailable({}), 503, true],
        [new CyclesError.InternalError({}), 503, true],
        [new LeaseLost({ reservationId: ReservationId.make("r-1"), reason: "expired" }), 503, false],
        [new CyclesError.RateLimited(again), 429, true, "2"],
        [new CyclesError.IdempotencyMismatch({}), 409, false],
        [new CyclesError.ReservationFinalized({}), 409, false],
        [new Problem.MissingTenant({ reason: "none" }), 400, false],
        [new CyclesError.InvalidRequest({ field: "estimate" }), 500, false],
        [new CyclesError.UnitMismatch({}), 500, false],
        [new CyclesError.Unauthorized({}), 500, false]
      ]
    for (const [error, status, isTransient, retryAfter] of cases) {
      const problem = Problem.of(error)
      assert.deepStrictEqual(
        [problem.status, error.isTransient, problem.headers["retry-after"]],
        [status, isTransient, retryAfter],
        error._tag
      )
      assert.isTrue(Problem.isRefused(error))
    }
    assert.isFalse(Problem.isRefused(new Error("a fault")))
  })

  it("tells what the error says only where asked to, and has another status where told to", () => {
    const error = new CyclesError.BudgetExceeded({})
    assert.notStrictEqual(Problem.of(error).body.detail, error.message)
    assert.strictEqual(Problem.of(error, { expose: true }).body.detail, error.message)
    assert.strictEqual(Problem.of(error, { status: () => 429 }).status, 429)
  })
})
