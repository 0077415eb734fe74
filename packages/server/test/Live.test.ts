/**
 * What the official clients ask of a live server, told over plain HTTP: the 22 cases that the live tests of those for TypeScript
 * (5), Python (5) and Rust (12) have, in their order. The clients' own tests look at little more than statuses; here every reply
 * is compared to the key, as strictly as the strictest of the clients reads it, and with the specification where it is at hand.
 */
import * as Server from "@effect-cycles/server/Server"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import { sendTo } from "./support/requests.ts"
import * as Servers from "./support/servers.ts"
import { between, exactly, hex32, integer, text } from "./support/shape.ts"

const TENANT = "integration-test"
const SCOPE = `tenant:${TENANT}`
const MICROCENTS = 100_000_000
const TOKENS = 1_000_000

const microcents = (amount: unknown) => ({ unit: "USD_MICROCENTS", amount })
const tokens = (amount: unknown) => ({ unit: "TOKENS", amount })
type Tally = ReturnType<typeof microcents>

/** Somebody with a key of the tenant on a live server. */
class Caller {
  readonly url: string
  readonly key: string
  constructor(url: string, key: string) {
    this.url = url
    this.key = key
  }

  /** Sends it, and asserts the status, the headers and every member of the reply. */
  ask(
    method: string,
    path: string,
    body: unknown,
    status: number,
    expected: unknown,
    key: string | undefined = this.key
  ) {
    return Effect.map(
      sendTo(this.url, method, path, {
        ...(key === undefined ? undefined : { key }),
        ...(body === undefined ? undefined : { body })
      }),
      (reply) => {
        const headers = Object.fromEntries(reply.headers.entries())
        assert.strictEqual(reply.status, status, reply.text)
        assert.match(headers["content-type"] ?? "", /^application\/json/)
        exactly(headers["x-request-id"], text, "header X-Request-Id")
        exactly(headers["x-cycles-trace-id"], hex32, "header X-Cycles-Trace-Id")
        if (status < 300) assert.strictEqual(headers["x-cycles-tenant"], TENANT)
        exactly(reply.body, expected)
        return reply.body
      }
    )
  }

  reserve(estimate: Tally, more: { readonly [name: string]: unknown } = {}, ttlMs = 60_000) {
    const now = Date.now()
    return Effect.map(
      this.ask(
        "POST",
        "/v1/reservations",
        {
          idempotency_key: randomUUID(),
          subject: { tenant: TENANT },
          action: { kind: "llm.completion", name: "test-model" },
          estimate,
          ttl_ms: ttlMs,
          ...more
        },
        200,
        {
          decision: "ALLOW",
          reservation_id: text,
          affected_scopes: [SCOPE],
          scope_path: SCOPE,
          reserved: estimate,
          expires_at_ms: between(now + ttlMs, now + ttlMs + 60_000),
          remaining_ttl_ms: between(ttlMs - 60_000, ttlMs)
        }
      ),
      (body) => ({ id: String(body["reservation_id"]), expiresAtMs: Number(body["expires_at_ms"]) })
    )
  }

  commit(id: string, actual: Tally, released: Tally | undefined, more: { readonly [name: string]: unknown } = {}) {
    return this.ask(
      "POST",
      `/v1/reservations/${id}/commit`,
      { idempotency_key: randomUUID(), actual, ...more },
      200,
      { status: "COMMITTED", charged: actual, ...(released === undefined ? undefined : { released }) }
    )
  }

  release(id: string, reason: string, released: Tally) {
    return this.ask(
      "POST",
      `/v1/reservations/${id}/release`,
      { idempotency_key: randomUUID(), reason },
      200,
      { status: "RELEASED", released }
    )
  }

  decide(estimate: Tally) {
    return this.ask(
      "POST",
      "/v1/decide",
      {
        idempotency_key: randomUUID(),
        subject: { tenant: TENANT },
        action: { kind: "llm.completion", name: "test-model" },
        estimate
      },
      200,
      { decision: "ALLOW", affected_scopes: [SCOPE] }
    )
  }

  detail(id: string, reserved: Tally, status: string, more: { readonly [name: string]: unknown }) {
    return this.ask("GET", `/v1/reservations/${id}`, undefined, 200, {
      reservation_id: id,
      status,
      idempotency_key: text,
      subject: { tenant: TENANT },
      action: { kind: text, name: text },
      reserved,
      created_at_ms: integer,
      expires_at_ms: integer,
      scope_path: SCOPE,
      affected_scopes: [SCOPE],
      ...more
    })
  }

  /** What was spent of the two budgets; nothing is held, and nothing is owed. */
  balances(spent: { readonly microcents?: number; readonly tokens?: number }) {
    const balance = (tally: typeof microcents, allocated: number, used: number) => ({
      scope: SCOPE,
      scope_path: SCOPE,
      allocated: tally(allocated),
      spent: tally(used),
      reserved: tally(0),
      remaining: tally(allocated - used)
    })
    return this.ask("GET", `/v1/balances?tenant=${TENANT}`, undefined, 200, {
      balances: [balance(tokens, TOKENS, spent.tokens ?? 0), balance(microcents, MICROCENTS, spent.microcents ?? 0)],
      has_more: false
    })
  }

  /** An open path that tells whether the server is well. */
  health(path: string) {
    return Effect.map(sendTo(this.url, "GET", path), ({ body, status }) => {
      assert.strictEqual(status, 200)
      assert.strictEqual(body["status"], "UP")
    })
  }
}

/** As the nightly runs of the clients begin: a tenant and a key by the admin key, and budgets by the key. */
const provision = Effect.fnUntraced(function*(url: string) {
  const make = (path: string, body: { readonly [name: string]: unknown }, by: { readonly [name: string]: string }) =>
    Effect.map(sendTo(url, "POST", path, { ...by, body }), (reply) => {
      assert.strictEqual(reply.status, 201, reply.text)
      return reply.body
    })
  const { adminKey } = Servers
  yield* make("/v1/admin/tenants", { tenant_id: TENANT, name: "Integration" }, { adminKey })
  const permissions = [
    "reservations:create",
    "reservations:commit",
    "reservations:release",
    "reservations:extend",
    "reservations:list",
    "balances:read",
    "admin:read",
    "admin:write"
  ]
  const made = yield* make("/v1/admin/api-keys", { tenant_id: TENANT, name: "nightly", permissions }, { adminKey })
  const key = String(made["key_secret"])
  for (const allocated of [microcents(MICROCENTS), tokens(TOKENS)]) {
    yield* make("/v1/admin/budgets", { scope: SCOPE, unit: allocated.unit, allocated }, { key })
  }
  return key
})

const live = (name: string, test: (caller: Caller) => Effect.Effect<unknown>) =>
  it.live(name, () =>
    Effect.gen(function*() {
      const { url } = yield* Server.Server
      yield* test(new Caller(url, yield* provision(url)))
    }).pipe(Effect.provide(Servers.layer())))

describe("The live tests of the TypeScript client, over HTTP:", () => {
  live("the readiness path is open", (caller) => caller.health("/actuator/health/readiness"))

  live("10,000 are held and 8,000 charged", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(microcents(10_000))
      yield* caller.commit(id, microcents(8_000), microcents(2_000))
      yield* caller.balances({ microcents: 8_000 })
    }))

  live("5,000 are held and given back", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(microcents(5_000))
      yield* caller.release(id, "integration-test-release", microcents(5_000))
      yield* caller.balances({})
    }))

  live("a question is answered", (caller) => caller.decide(microcents(1_000)))

  live("the tenant's balances are shown", (caller) => caller.balances({}))
})

describe("The live tests of the Python client, over HTTP:", () => {
  live("the health path is open", (caller) => caller.health("/actuator/health"))

  live("10,000 are held and 8,000 charged", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(microcents(10_000))
      yield* caller.commit(id, microcents(8_000), microcents(2_000))
      yield* caller.balances({ microcents: 8_000 })
    }))

  live("5,000 are held and given back", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(microcents(5_000))
      yield* caller.release(id, "integration-test-release", microcents(5_000))
      yield* caller.balances({})
    }))

  live("a question is answered", (caller) => caller.decide(microcents(1_000)))

  live("the tenant's balances are shown", (caller) => caller.balances({}))
})

describe("The live tests of the Rust client, over HTTP:", () => {
  live("500 tokens are held and 300 charged, with metrics", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(tokens(500), {}, 30_000)
      yield* caller.commit(id, tokens(300), tokens(200), {
        metrics: { tokens_input: 100, tokens_output: 200, latency_ms: 1_500, model_version: "gpt-4o-2024-05" }
      })
      yield* caller.balances({ tokens: 300 })
    }))

  live("200 tokens are held and given back, and the reservation says so", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(tokens(200))
      yield* caller.release(id, "test_cancellation", tokens(200))
      yield* caller.detail(id, tokens(200), "RELEASED", { finalized_at_ms: integer })
      yield* caller.balances({})
    }))

  live("a tool's 100 tokens are held and 80 charged", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(tokens(100), { action: { kind: "tool.search", name: "web_search" } })
      yield* caller.commit(id, tokens(80), tokens(20))
      yield* caller.detail(id, tokens(100), "COMMITTED", { committed: tokens(80), finalized_at_ms: integer })
      yield* caller.balances({ tokens: 80 })
    }))

  live("a question in tokens is answered", (caller) => caller.decide(tokens(1_000)))

  live("50 tokens are charged without a hold", (caller) =>
    Effect.gen(function*() {
      yield* caller.ask(
        "POST",
        "/v1/events",
        {
          idempotency_key: randomUUID(),
          subject: { tenant: TENANT },
          action: { kind: "tool.calculator", name: "math" },
          actual: tokens(50)
        },
        201,
        { status: "APPLIED", event_id: text }
      )
      yield* caller.balances({ tokens: 50 })
    }))

  live("the balances are shown after a charge", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(tokens(10))
      yield* caller.commit(id, tokens(5), tokens(5))
      yield* caller.balances({ tokens: 5 })
    }))

  live("the reservations of the tenant are listed", (caller) =>
    Effect.gen(function*() {
      yield* caller.ask("GET", "/v1/reservations", undefined, 200, { reservations: [], has_more: false })
      const { expiresAtMs, id } = yield* caller.reserve(tokens(10))
      yield* caller.ask("GET", "/v1/reservations", undefined, 200, {
        reservations: [{
          reservation_id: id,
          status: "ACTIVE",
          idempotency_key: text,
          subject: { tenant: TENANT },
          action: { kind: "llm.completion", name: "test-model" },
          reserved: tokens(10),
          created_at_ms: integer,
          expires_at_ms: expiresAtMs,
          scope_path: SCOPE,
          affected_scopes: [SCOPE]
        }],
        has_more: false
      })
    }))

  live("a lease of 10 seconds is made 30 longer, and 800 of 1,000 tokens charged", (caller) =>
    Effect.gen(function*() {
      const action = { kind: "llm.streaming", name: "gpt-4o" }
      const { expiresAtMs, id } = yield* caller.reserve(tokens(1_000), { action }, 10_000)
      yield* caller.ask(
        "POST",
        `/v1/reservations/${id}/extend`,
        { idempotency_key: randomUUID(), extend_by_ms: 30_000 },
        200,
        { status: "ACTIVE", expires_at_ms: expiresAtMs + 30_000, remaining_ttl_ms: between(10_000, 40_000) }
      )
      yield* caller.commit(id, tokens(800), tokens(200))
      yield* caller.balances({ tokens: 800 })
    }))

  // That every answer has its request id is asserted of all of these.
  live("a reply has the id of its request, and the hold is given back", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(tokens(100))
      yield* caller.release(id, "cleanup", tokens(100))
    }))

  live("a key that nobody has is refused", (caller) =>
    caller.ask(
      "POST",
      "/v1/reservations",
      {
        idempotency_key: randomUUID(),
        subject: { tenant: TENANT },
        action: { kind: "llm.completion", name: "gpt-4o" },
        estimate: tokens(100)
      },
      401,
      { error: "UNAUTHORIZED", message: text, request_id: text, trace_id: hex32 },
      "bad-key"
    ))

  live("a hold that its guard drops is released", (caller) =>
    Effect.gen(function*() {
      const { id } = yield* caller.reserve(tokens(100))
      yield* caller.detail(id, tokens(100), "ACTIVE", {})
      yield* caller.release(id, "guard_dropped", tokens(100))
      yield* caller.detail(id, tokens(100), "RELEASED", { finalized_at_ms: integer })
      yield* caller.balances({})
    }))

  live("a dry run holds nothing, and has no id", (caller) =>
    Effect.gen(function*() {
      yield* caller.ask(
        "POST",
        "/v1/reservations",
        {
          idempotency_key: randomUUID(),
          subject: { tenant: TENANT },
          action: { kind: "llm.completion", name: "gpt-4o" },
          estimate: tokens(500),
          ttl_ms: 60_000,
          dry_run: true
        },
        200,
        { decision: "ALLOW", affected_scopes: [SCOPE], scope_path: SCOPE, reserved: tokens(500) }
      )
      yield* caller.ask("GET", "/v1/reservations", undefined, 200, { reservations: [], has_more: false })
      yield* caller.balances({})
    }))
})
