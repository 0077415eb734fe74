import { AuthThrottle, RateLimit, Server, Storage } from "@effect-cycles/server"
import { assert, describe, it } from "@effect/vitest"
import { Governance } from "effect-cycles/ledger/Governance"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as IpNetwork from "effect/net/IpNetwork"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import { connect } from "node:net"
import { commit, reserve, send } from "./support/requests.ts"
import * as Servers from "./support/servers.ts"

const quiet = Logger.layer([])

const withServer = <A, E>(
  test: Effect.Effect<A, E, Server.Server | Governance>,
  options?: Parameters<typeof Servers.layer>[0]
) => Effect.provide(test, Layer.provideMerge(Servers.layer(options), quiet))

/** What comes back for bytes on a new connection, once it is closed. */
const bytes = (...parts: ReadonlyArray<string>): Effect.Effect<string, never, Server.Server> =>
  Effect.flatMap(Server.Server, ({ url }) =>
    Effect.promise(() =>
      new Promise<string>((done) => {
        const { hostname, port } = new URL(url)
        const socket = connect(Number(port), hostname)
        let answer = ""
        socket.setEncoding("utf8").on("data", (chunk: string) => answer += chunk)
        socket.on("error", () => {})
        socket.on("close", () => done(answer))
        for (const part of parts) socket.write(part)
      })
    ))

const someBytes = (url: string) => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on("error", () => {})
  return socket
}

describe("RateLimit", () => {
  it("lets a burst through, then as many as time goes by", () => {
    const limit = RateLimit.make({ burst: 3, refillPerSecond: 2 })
    assert.deepStrictEqual([0, 0, 0].map((now) => limit.take("a", now).remaining), [2, 1, 0])
    const refused = limit.take("a", 0)
    assert.deepStrictEqual(refused, { isAllowed: false, remaining: 0, resetAtMs: 1_500, retryAfterMs: 500 })
    assert.isFalse(limit.take("a", 499).isAllowed)
    assert.isTrue(limit.take("a", 500).isAllowed)
    assert.isFalse(limit.take("a", 500).isAllowed)
    assert.isTrue(limit.take("b", 500).isAllowed)
    assert.strictEqual(limit.take("a", 1_000_000).remaining, 2)
  })

  const within = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
  const steps = Schema.Array(Schema.Tuple([within(0, 300), Schema.Literals(["a", "b"])]))

  it.prop(
    "never lets more through than the burst and what time gave, and no name has another's",
    [within(1, 50), within(1, 1_000), steps],
    ([burst, refillPerSecond, all]) => {
      const limit = RateLimit.make({ burst, refillPerSecond })
      const allowed = { a: 0, b: 0 }
      let now = 0
      assert.isTrue(limit.look("a", now).isAllowed)
      for (const [pause, name] of all) {
        now += pause
        const looked = limit.look(name, now)
        const verdict = limit.take(name, now)
        assert.strictEqual(looked.isAllowed, verdict.isAllowed)
        if (verdict.isAllowed) allowed[name]++
        else assert.isTrue(limit.look(name, now + verdict.retryAfterMs).isAllowed)
        assert.isAtMost(allowed[name], burst + Math.floor((now / 1_000) * refillPerSecond + 1e-3))
      }
    }
  )

  it("remembers no more names than it may, and forgets those that are whole first", () => {
    const limit = RateLimit.make({ burst: 1, refillPerSecond: 1, maxNames: 10 })
    limit.take("busy", 900)
    for (let i = 0; i < 9; i++) limit.take(`idle-${i}`, 0)
    limit.take("new", 1_500)
    assert.strictEqual(limit.size(), 2)
    assert.isFalse(limit.look("busy", 1_500).isAllowed)
    for (let i = 0; i < 1_000; i++) limit.take(`flood-${i}`, 1_500)
    assert.isAtMost(limit.size(), 10)
  })
})

describe("AuthThrottle", () => {
  it("turns an address away that failed too often, whichever address of its network it is", () => {
    const throttle = AuthThrottle.make({ failuresPerMinute: 3 })
    assert.deepStrictEqual([1, 2, 3].map(() => throttle.failed("2001:db8::1", 0)), [false, false, true])
    assert.strictEqual(throttle.waitMs("2001:db8::ffff", "key", 0), 20_000)
    assert.strictEqual(throttle.waitMs("2001:db8:0:1::1", "key", 0), 0)
    assert.strictEqual(throttle.waitMs("2001:db8::1", "key", 20_000), 0)
    for (let i = 0; i < 3; i++) throttle.failed("::ffff:192.0.2.1", 0)
    assert.isAbove(throttle.waitMs("192.0.2.1", "key", 0), 0)
  })

  it("does not keep a key from working that was good from there before", () => {
    const throttle = AuthThrottle.make({ failuresPerMinute: 1 })
    const key = `cyc_live_${"a".repeat(24)}_${"0".repeat(64)}`
    const other = `cyc_live_${"b".repeat(24)}_${"0".repeat(64)}`
    throttle.succeeded("192.0.2.1", key)
    throttle.failed("192.0.2.1", 0)
    assert.strictEqual(throttle.waitMs("192.0.2.1", key, 0), 0)
    assert.isAbove(throttle.waitMs("192.0.2.1", other, 0), 0)
  })

  it("tells an operator's key from a guess at it, where the operator was there before", () => {
    const throttle = AuthThrottle.make({ failuresPerMinute: 1 })
    throttle.succeeded("192.0.2.1", "the operator's key")
    throttle.failed("192.0.2.1", 0)
    assert.strictEqual(throttle.waitMs("192.0.2.1", "the operator's key", 0), 0)
    assert.isAbove(throttle.waitMs("192.0.2.1", "a guess at it", 0), 0)
    assert.isAbove(throttle.waitMs("192.0.2.1", "", 0), 0)
  })
})

// Time stands still in these, so that nothing is let in for it.
describe("A key's rate", () => {
  it.effect("is limited by key, told in headers, and keeps nobody from settling", () =>
    withServer(
      Effect.gen(function*() {
        const key = yield* Servers.furnish()
        const other = yield* Servers.furnish("other")
        const ask = (path: string, body: unknown) => send("POST", path, { key, body })
        const first = yield* ask("/v1/reservations", reserve(10))
        assert.strictEqual(first.headers.get("x-ratelimit-remaining"), "2")
        const second = yield* ask("/v1/reservations", reserve(10))
        yield* ask("/v1/reservations", reserve(10))
        const refused = yield* ask("/v1/reservations", reserve(10))
        assert.strictEqual(refused.status, 429)
        assert.strictEqual(refused.body["error"], "LIMIT_EXCEEDED")
        assert.match(refused.headers.get("retry-after") ?? "", /^[1-9]\d*$/)
        assert.strictEqual(refused.headers.get("x-ratelimit-remaining"), "0")
        assert.match(refused.headers.get("x-ratelimit-reset") ?? "", /^\d+$/)
        for (let i = 0; i < 5; i++) {
          const extend = { idempotency_key: `extend-${i}`, extend_by_ms: 1_000 }
          const extended = yield* ask(`/v1/reservations/${first.body["reservation_id"]}/extend`, extend)
          assert.strictEqual(extended.status, 200, extended.text)
          assert.isNull(extended.headers.get("x-ratelimit-remaining"))
        }
        const committed = yield* ask(`/v1/reservations/${first.body["reservation_id"]}/commit`, commit(5))
        assert.strictEqual(committed.status, 200)
        const released = yield* ask(`/v1/reservations/${second.body["reservation_id"]}/release`, {
          idempotency_key: "r"
        })
        assert.strictEqual(released.status, 200)
        const { estimate: actual, ...rest } = reserve(10)
        assert.strictEqual((yield* ask("/v1/events", { ...rest, actual })).status, 201)
        assert.strictEqual((yield* send("GET", "/v1/balances?tenant=acme", { key })).status, 429)
        assert.strictEqual((yield* send("GET", "/v1/balances?tenant=other", { key: other })).status, 200)
        const metrics = (yield* send("GET", "/metrics")).text
        assert.match(metrics, /^cycles_auth_refusals_total\{reason="rate_limited"\} 2$/m)
      }),
      { requestsPerSecond: 3 }
    ))
})

describe("A key that was right a moment ago", () => {
  /** A server, and how often its governance was asked whose a key is. */
  const counted = Effect.sync(() => {
    const seen = { asked: 0 }
    const governance = Layer.effect(
      Governance,
      Effect.map(Governance, (governance) => ({
        ...governance,
        authenticate: (key: Redacted.Redacted<string>) => {
          seen.asked++
          return governance.authenticate(key)
        }
      }))
    )
    const layer = Server.layer({ adminKey: Redacted.make(Servers.adminKey), port: 0 }).pipe(
      Layer.provideMerge(governance),
      Layer.provideMerge(Storage.layer({ store: { store: "memory" }, peppers: [Redacted.make(Servers.pepper)] })),
      Layer.provideMerge(quiet)
    )
    return { seen, layer: Layer.fresh(layer) }
  })

  it.effect("is not looked up again for a second, whatever it asks for on the runtime plane", () =>
    Effect.gen(function*() {
      const { layer, seen } = yield* counted
      yield* Effect.gen(function*() {
        const key = yield* Servers.furnish()
        for (let i = 0; i < 3; i++) {
          assert.strictEqual((yield* send("POST", "/v1/reservations", { key, body: reserve(10) })).status, 200)
          assert.strictEqual((yield* send("GET", "/v1/balances?tenant=acme", { key })).status, 200)
        }
        assert.strictEqual(seen.asked, 1)
        yield* TestClock.adjust(999)
        yield* send("GET", "/v1/balances?tenant=acme", { key })
        assert.strictEqual(seen.asked, 1)
        yield* TestClock.adjust(1)
        yield* send("GET", "/v1/balances?tenant=acme", { key })
        assert.strictEqual(seen.asked, 2)
        for (let i = 0; i < 2; i++) {
          assert.strictEqual((yield* send("GET", "/v1/balances?tenant=acme", { key: `${key}0` })).status, 401)
        }
        assert.strictEqual(seen.asked, 4)
      }).pipe(Effect.provide(layer))
    }))

  it.effect("may do from the next request on what it was given, and not what it was denied", () =>
    withServer(Effect.gen(function*() {
      const governance = yield* Governance
      const operator = governance.asOperator({ actor: "test" })
      const key = yield* Servers.furnish("acme", { permissions: ["balances:read"] })
      const { keyId } = yield* governance.authenticate(Redacted.make(key))
      const asked = Effect.map(
        send("POST", "/v1/reservations", { key, body: reserve(10) }),
        ({ body, status }) => [status, body["error"]]
      )
      assert.strictEqual((yield* send("GET", "/v1/balances?tenant=acme", { key })).status, 200)
      assert.deepStrictEqual(yield* asked, [403, "FORBIDDEN"])
      yield* operator.updateApiKey("acme", keyId, { permissions: ["reservations:create"] })
      assert.deepStrictEqual(yield* asked, [200, undefined])
      assert.strictEqual((yield* send("GET", "/v1/balances?tenant=acme", { key })).status, 403)
      yield* operator.updateApiKey("acme", keyId, { scopeFilter: ["agent:other"] })
      assert.deepStrictEqual(yield* asked, [403, "FORBIDDEN"])
      yield* operator.updateApiKey("acme", keyId, { scopeFilter: [] })
      assert.deepStrictEqual(yield* asked, [200, undefined])
      yield* operator.revokeApiKey("acme", keyId)
      assert.deepStrictEqual(yield* asked, [401, "UNAUTHORIZED"])
    })))
})

describe("An address that fails to authenticate", () => {
  it.effect("is turned away with 429, but for keys that were good from there", () =>
    withServer(
      Effect.gen(function*() {
        const key = yield* Servers.furnish()
        const unused = yield* Servers.furnish("other")
        const statusOf = (key: string) =>
          Effect.map(send("GET", "/v1/balances?tenant=acme", { key }), ({ status }) => status)
        assert.strictEqual(yield* statusOf(key), 200)
        assert.deepStrictEqual(
          yield* Effect.forEach([1, 2, 3], () => statusOf(`cyc_live_${"0".repeat(24)}_${"0".repeat(64)}`)),
          [401, 401, 401]
        )
        const refused = yield* send("GET", "/v1/balances?tenant=other", { key: unused })
        assert.strictEqual(refused.status, 429)
        assert.match(refused.headers.get("retry-after") ?? "", /^[1-9]\d*$/)
        const guess = yield* send("GET", "/v1/admin/tenants", { adminKey: Servers.adminKey })
        assert.strictEqual(guess.status, 429)
        assert.strictEqual(yield* statusOf(key), 200)
        assert.strictEqual((yield* send("GET", "/health/ready")).status, 200)
      }),
      { authFailuresPerMinute: 3 }
    ))

  it.effect("is turned away also with a key that was good a moment ago from another", () => {
    const trustedProxies = [IpNetwork.fromStringUnsafe("127.0.0.0/8")]
    return withServer(
      Effect.gen(function*() {
        const good = yield* Servers.furnish()
        const statusOf = (key: string, address: string) =>
          Effect.map(
            send("GET", "/v1/balances?tenant=acme", { key, headers: { "x-forwarded-for": address } }),
            ({ status }) => status
          )
        assert.strictEqual(yield* statusOf("wrong", "198.51.100.2"), 401)
        assert.strictEqual(yield* statusOf(good, "198.51.100.1"), 200)
        assert.strictEqual(yield* statusOf(good, "198.51.100.2"), 429)
        // It was good from here before, and so it goes on to be.
        assert.strictEqual(yield* statusOf("wrong", "198.51.100.1"), 401)
        assert.strictEqual(yield* statusOf(good, "198.51.100.1"), 200)
      }),
      { authFailuresPerMinute: 1, trustedProxies }
    )
  })

  it.effect("may be behind a proxy, which is believed only where that was asked for", () => {
    const tries = (address: string) =>
      Effect.map(
        send("GET", "/v1/balances?tenant=acme", { key: "wrong", headers: { "x-forwarded-for": address } }),
        ({ status }) => status
      )
    const all = Effect.forEach(["198.51.100.1", "198.51.100.1", "198.51.100.2"], tries)
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* withServer(all, { authFailuresPerMinute: 1 }), [401, 429, 429])
      const trustedProxies = [IpNetwork.fromStringUnsafe("127.0.0.0/8")]
      assert.deepStrictEqual(yield* withServer(all, { authFailuresPerMinute: 1, trustedProxies }), [401, 429, 401])
    })
  })
})

describe("What is too long or too slow", () => {
  it.live("a body is refused with 400 and changes nothing", () =>
    withServer(
      Effect.gen(function*() {
        const key = yield* Servers.furnish()
        const body = reserve(10, { metadata: { text: "x".repeat(5_000) } })
        const refused = yield* send("POST", "/v1/reservations", { key, body })
        assert.strictEqual(refused.status, 400)
        assert.strictEqual(refused.body["error"], "INVALID_REQUEST")
        assert.match(String(refused.body["message"]), /longer than 2048 bytes/)
        const { body: page } = yield* send("GET", "/v1/reservations", { key })
        assert.deepStrictEqual(page["reservations"], [])
      }),
      { maxRequestBytes: 2_048 }
    ))

  it.live("headers are refused with 431 and the protocol's body", () =>
    withServer(
      Effect.gen(function*() {
        const answer = yield* bytes(`GET /v1/balances HTTP/1.1\r\nHost: x\r\nX-Long: ${"x".repeat(5_000)}\r\n\r\n`)
        assert.match(answer, /^HTTP\/1.1 431 /)
        assert.match(answer, /"error":"INVALID_REQUEST"/)
        assert.match(answer, /X-Request-Id: [0-9a-f-]{36}/)
      }),
      { maxHeaderBytes: 2_048 }
    ))

  it.live("what is no HTTP is refused with 400, and the connection closed", () =>
    withServer(Effect.gen(function*() {
      const answer = yield* bytes("EHLO example.com\r\n\r\n")
      assert.match(answer, /^HTTP\/1.1 400 /)
      assert.match(answer, /Connection: close/)
    })))

  it.live("headers and bodies that do not arrive in time end with 408", () =>
    withServer(
      Effect.gen(function*() {
        const [headers, body] = yield* Effect.all([
          bytes("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "),
          bytes("POST /v1/decide HTTP/1.1\r\nHost: x\r\nX-Cycles-API-Key: x\r\nContent-Length: 100\r\n\r\n{")
        ], { concurrency: 2 })
        assert.match(headers, /^HTTP\/1.1 408 /)
        assert.match(body, /^HTTP\/1.1 (401|408) /)
      }),
      { headersTimeoutMs: 150, requestTimeoutMs: 300 }
    ))

  it.live("more connections than may be open are closed", () =>
    withServer(
      Effect.gen(function*() {
        const { url } = yield* Server.Server
        const open = [someBytes(url), someBytes(url)]
        yield* Effect.promise(() =>
          Promise.all(open.map((socket) => new Promise((done) => socket.once("connect", done))))
        )
        assert.strictEqual(yield* bytes("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"), "")
        for (const socket of open) socket.destroy()
      }),
      { maxConnections: 2 }
    ))
})

describe("Pages of other origins", () => {
  const preflight = send("OPTIONS", "/v1/reservations", {
    headers: {
      origin: "https://console.example.com",
      "access-control-request-method": "POST",
      "access-control-request-headers": "x-cycles-api-key,content-type"
    }
  })

  it.live("may not ask unless somebody said so", () =>
    withServer(Effect.gen(function*() {
      const answer = yield* preflight
      assert.strictEqual(answer.status, 404)
      assert.isNull(answer.headers.get("access-control-allow-origin"))
    })))

  it.live("may ask where their origin is on the list", () =>
    withServer(
      Effect.gen(function*() {
        const answer = yield* preflight
        assert.strictEqual(answer.status, 204)
        assert.strictEqual(answer.headers.get("access-control-allow-origin"), "https://console.example.com")
        assert.include(answer.headers.get("access-control-allow-headers") ?? "", "x-cycles-api-key")
        const asked = (origin: string) => send("GET", "/health/live", { headers: { origin } })
        const allowed = yield* asked("https://console.example.com")
        assert.strictEqual(allowed.headers.get("access-control-allow-origin"), "https://console.example.com")
        assert.include(allowed.headers.get("access-control-expose-headers") ?? "", "x-request-id")
        const foreign = yield* asked("https://console.example.com.evil.test")
        assert.isNull(foreign.headers.get("access-control-allow-origin"))
      }),
      { corsOrigins: ["https://console.example.com"] }
    ))
})
