import { CyclesClient, WireJson } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, Ledger } from "effect-cycles"
import { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import type { CyclesError } from "effect-cycles/protocol/CyclesError"
import { Cursor, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import { Patience, RequestContext } from "effect-cycles/protocol/RequestContext"
import type { ReserveRequest } from "effect-cycles/protocol/Reserve"
import { Default } from "effect-cycles/protocol/Subject"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Tracer from "effect/Tracer"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { inspect } from "node:util"
import {
  apiKey,
  jsonReply,
  layerClient,
  layerFetch,
  layerScripted,
  layerServer,
  scriptedFetch,
  Server
} from "./support.ts"

const request: ReserveRequest = {
  idempotencyKey: IdempotencyKey.make("k-1"),
  subject: { agent: "bot" },
  action: Action.make("llm.completion", "gpt-4o"),
  estimate: Amount.tokens(1_000)
}

const reserve = Effect.flatMap(BudgetAuthority, (authority) => authority.reserve(request))

const allowed = jsonReply(200, { decision: "ALLOW", reservation_id: "r-1", affected_scopes: ["tenant:acme"] })

const failure = (code: string, more?: object) => ({ error: code, message: "m", request_id: "r", ...more })

const fails = (message: string) => (): Promise<never> => Promise.reject(new TypeError(message))

/** Runs an effect while the clock of the test goes on by itself. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    while (fiber.pollUnsafe() === undefined) {
      yield* TestClock.adjust("50 millis")
      // Scripted replies are promises, which real time brings.
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
    }
    return yield* Fiber.join(fiber)
  })

describe("What is sent", () => {
  it.effect("is the contract's request, with the key and its names", () => {
    const { fetch, sent } = scriptedFetch(allowed)
    return Effect.gen(function*() {
      yield* reserve
      const authority = yield* BudgetAuthority
      yield* Effect.ignore(
        authority.reservations({ createdFromMs: 0, include: ["metadata", "evidence"], tenant: "a&b" })
      )
      yield* Effect.ignore(authority.balances({}))
      assert.deepInclude(sent[0], { method: "POST", url: "http://authority.test/v1/reservations" })
      assert.deepStrictEqual(JSON.parse(sent[0]?.body ?? ""), {
        idempotency_key: "k-1",
        subject: { agent: "bot" },
        action: { kind: "llm.completion", name: "gpt-4o" },
        estimate: { unit: "TOKENS", amount: 1_000 }
      })
      assert.deepInclude(sent[0]?.headers, {
        "x-cycles-api-key": apiKey,
        "x-idempotency-key": "k-1",
        "content-type": "application/json",
        accept: "application/json"
      })
      assert.strictEqual(
        sent[1]?.url,
        "http://authority.test/v1/reservations?tenant=a%26b&from=1970-01-01T00%3A00%3A00.000Z&include=metadata%2Cevidence"
      )
      assert.notProperty(sent[1]?.headers, "x-idempotency-key")
      assert.strictEqual(sent[2]?.url, "http://authority.test/v1/balances")
    }).pipe(Effect.provide(layerScripted(fetch, { retries: 0 })))
  })

  it.effect("goes to whatever path the base URL has", () => {
    const { fetch, sent } = scriptedFetch(allowed)
    return Effect.gen(function*() {
      yield* reserve
      assert.strictEqual(sent[0]?.url, "https://cycles.test/deep/path/v1/reservations")
    }).pipe(Effect.provide(layerScripted(fetch, { baseUrl: "https://cycles.test/deep/path//" })))
  })

  it.effect("has no header for a key that cannot be in one", () => {
    const { fetch, sent } = scriptedFetch(allowed)
    return Effect.gen(function*() {
      const authority = yield* BudgetAuthority
      for (const key of ["zwei Wörter", "line\nbreak", "😀", " x"]) {
        yield* authority.reserve({ ...request, idempotencyKey: IdempotencyKey.make(key) })
        assert.notProperty(sent[sent.length - 1]?.headers, "x-idempotency-key")
        assert.strictEqual(JSON.parse(sent[sent.length - 1]?.body ?? "").idempotency_key, key)
      }
    }).pipe(Effect.provide(layerScripted(fetch)))
  })

  it.effect("is nothing where the request breaks the contract", () => {
    const { fetch, sent } = scriptedFetch(allowed)
    return Effect.gen(function*() {
      const authority = yield* BudgetAuthority
      const refused = (effect: Effect.Effect<unknown, CyclesError>) =>
        Effect.map(Effect.flip(effect), (error) => error._tag === "InvalidRequest" ? error.field : error._tag)
      assert.strictEqual(yield* refused(authority.reserve({ ...request, ttlMs: 5 })), "ttlMs")
      assert.strictEqual(yield* refused(authority.reserve({ ...request, subject: {} })), "subject")
      assert.strictEqual(
        yield* refused(authority.reserve({ ...request, estimate: { unit: "TOKENS", amount: -1n } })),
        "estimate.amount"
      )
      const circle: Record<string, unknown> = { n: 1 }
      circle["self"] = circle
      assert.match(yield* refused(authority.reserve({ ...request, metadata: circle })), /^metadata\.self\.self/)
      for (const bad of [NaN, -Infinity, new Date(0), new Map(), () => 1, Symbol("x")]) {
        assert.strictEqual(yield* refused(authority.reserve({ ...request, metadata: { a: [bad] } })), "metadata.a.0")
        const event = { ...request, actual: request.estimate, metrics: { custom: { tokensInput: bad } } }
        assert.strictEqual(yield* refused(authority.event(event)), "metrics.custom.tokensInput")
      }
      assert.strictEqual(yield* refused(authority.reservations({ limit: 201 })), "limit")
      assert.strictEqual(yield* refused(authority.reservations({ createdFromMs: 9e15 })), "createdFromMs")
      assert.deepStrictEqual(sent, [])
    }).pipe(Effect.provide(layerScripted(fetch)))
  })
})

describe("A trace", () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })

  it.effect("goes out from the current span, one span for each attempt", () => {
    const { fetch, sent } = scriptedFetch(
      { status: 503 },
      jsonReply(409, failure("BUDGET_EXCEEDED"), { "x-request-id": "r-9" })
    )
    return Effect.gen(function*() {
      spans.length = 0
      yield* inTime(Effect.withSpan(Effect.flip(reserve), "agent step"))
      const [step, first, second] = spans
      assert.deepStrictEqual(spans.map(({ name }) => name), ["agent step", "cycles.reserve", "cycles.reserve"])
      assert.strictEqual(first?.kind, "client")
      assert.strictEqual(sent[0]?.headers["traceparent"], `00-${step?.traceId}-${first?.spanId}-01`)
      assert.strictEqual(sent[1]?.headers["traceparent"], `00-${step?.traceId}-${second?.spanId}-01`)
      assert.deepStrictEqual(Object.fromEntries(second?.attributes ?? []), {
        "http.request.method": "POST",
        "url.template": "/v1/reservations",
        "server.address": "authority.test",
        "http.request.resend_count": 1,
        "http.response.status_code": 409,
        "cycles.request_id": "r-9"
      })
    }).pipe(Effect.provide(layerScripted(fetch)), Effect.withTracer(tracer))
  })

  it.effect("is the request's own where there is no span but an id", () => {
    const { fetch, sent } = scriptedFetch(allowed)
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
    return Effect.gen(function*() {
      yield* Effect.provideService(reserve, RequestContext, { traceId })
      assert.strictEqual(sent[0]?.headers["traceparent"]?.slice(3, 35), traceId)
      yield* Effect.provideService(reserve, RequestContext, { traceId: "not one" })
      assert.match(sent[1]?.headers["traceparent"] ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
    }).pipe(Effect.provide(layerScripted(fetch)))
  })

  it.effect("and the request are named in every error", () => {
    const headers = { "x-request-id": "r-1", "x-cycles-trace-id": "a".repeat(32) }
    const { fetch } = scriptedFetch(
      jsonReply(409, { error: "BUDGET_EXCEEDED", message: "m" }, headers),
      jsonReply(200, { decision: "ALLOW" }, headers),
      fails("fetch failed")
    )
    return Effect.gen(function*() {
      assert.deepInclude({ ...yield* Effect.flip(reserve) }, { requestId: "r-1", traceId: "a".repeat(32) })
      assert.deepInclude({ ...yield* Effect.flip(reserve) }, { requestId: "r-1", traceId: "a".repeat(32) })
      const lost = yield* Effect.flip(reserve)
      assert.match(lost.traceId ?? "", /^[0-9a-f]{32}$/)
    }).pipe(Effect.provide(layerScripted(fetch, { retries: 0 })))
  })
})

describe("An attempt is made again", () => {
  const outcomes = [
    ["a lost connection", fails("fetch failed")],
    ["a 500", jsonReply(500, failure("INTERNAL_ERROR"))],
    ["a 503 of a proxy", { status: 503, body: "<html>" }],
    ["an empty success", { status: 200 }],
    ["a success that is no JSON", { status: 200, body: "<html>" }],
    ["a success that is cut off", { status: 200, body: "{\"decision\":\"ALL" }],
    ["a success that does not fit", jsonReply(200, { decision: "ALLOW" })],
    ["a success of another status", { ...allowed, status: 202 }],
    ["a decision nobody knows", jsonReply(200, { decision: "MAYBE", affected_scopes: [] })]
  ] as const

  for (const [what, reply] of outcomes) {
    it.effect(`after ${what}, with the same key and the same body`, () => {
      const { fetch, sent } = scriptedFetch(reply, reply, allowed)
      return Effect.gen(function*() {
        const { reservationId } = yield* inTime(reserve)
        assert.strictEqual(reservationId, ReservationId.make("r-1"))
        assert.strictEqual(sent.length, 3)
        assert.strictEqual(new Set(sent.map(({ body, headers }) => body + headers["x-idempotency-key"])).size, 1)
      }).pipe(Effect.provide(layerScripted(fetch)))
    })

    it.effect(`after ${what}, but not for ever, and then nobody knows`, () => {
      const { fetch, sent } = scriptedFetch(reply)
      return Effect.gen(function*() {
        const error = yield* inTime(Effect.flip(reserve))
        assert.include(["AuthorityUnavailable", "InternalError"], error._tag)
        assert.isTrue(error.isTransient)
        assert.strictEqual(sent.length, 3)
      }).pipe(Effect.provide(layerScripted(fetch, { retries: 2 })))
    })
  }

  it.effect("when it may change something, or nothing", () => {
    const { fetch, sent } = scriptedFetch({ status: 502 })
    return Effect.gen(function*() {
      const authority = yield* BudgetAuthority
      const id = ReservationId.make("r-1")
      const idempotencyKey = request.idempotencyKey
      const calls: ReadonlyArray<Effect.Effect<unknown, CyclesError>> = [
        authority.decide(request),
        authority.commit(id, { idempotencyKey, actual: Amount.tokens(1) }),
        authority.release(id, { idempotencyKey }),
        authority.extend(id, { idempotencyKey, extendByMs: 1_000 }),
        authority.event({ ...request, actual: Amount.tokens(1) }),
        authority.balances({ agent: "bot" }),
        authority.reservation(id),
        authority.reservations({})
      ]
      for (const call of calls) {
        sent.length = 0
        assert.strictEqual((yield* inTime(Effect.flip(call)))._tag, "AuthorityUnavailable")
        assert.strictEqual(sent.length, 2)
      }
    }).pipe(Effect.provide(layerScripted(fetch, { retries: 1 })))
  })

  it.effect("when it was throttled, but not before it may, and not when that is far off or unknown", () => {
    const throttled = (headers?: { readonly [name: string]: string }) =>
      scriptedFetch(jsonReply(429, failure("LIMIT_EXCEEDED"), headers), allowed)
    return Effect.gen(function*() {
      const soon = throttled({ "retry-after": "7" })
      const fiber = yield* Effect.forkChild(Effect.provide(reserve, layerScripted(soon.fetch)), {
        startImmediately: true
      })
      const settle = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
      yield* settle
      yield* TestClock.adjust("6900 millis")
      yield* settle
      assert.strictEqual(soon.sent.length, 1)
      yield* TestClock.adjust("200 millis")
      yield* settle
      assert.strictEqual(soon.sent.length, 2)
      assert.strictEqual((yield* Fiber.join(fiber)).decision, "ALLOW")

      for (
        const [headers, retryAfterMs] of [
          [{ "retry-after": "31" }, 31_000],
          [{ "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }, undefined],
          [{}, undefined]
        ] as const
      ) {
        const { fetch, sent } = throttled(headers)
        const error = yield* inTime(Effect.provide(Effect.flip(reserve), layerScripted(fetch)))
        assert.strictEqual(error._tag, "RateLimited")
        assert.strictEqual(error.retryAfterMs, retryAfterMs)
        assert.strictEqual(sent.length, 1)
      }
    })
  })

  it.effect("without waiting where the caller does that himself", () =>
    Effect.gen(function*() {
      for (const status of [429, 503]) {
        const { fetch, sent } = scriptedFetch(jsonReply(status, failure("X"), { "retry-after": "7" }), allowed)
        const error = yield* Effect.flip(reserve).pipe(
          Effect.provideService(Patience, "fail"),
          Effect.provide(layerScripted(fetch))
        )
        assert.strictEqual(error.retryAfterMs, 7_000)
        assert.strictEqual(sent.length, 1)
      }
    }))

  it.effect("not for a heartbeat that was throttled for longer than its lease has room for", () => {
    const { fetch, sent } = scriptedFetch(({ url }) =>
      Promise.resolve(
        url.endsWith("/extend")
          ? jsonReply(429, failure("LIMIT_EXCEEDED"), { "retry-after": "3" })
          : url.endsWith("/commit")
          ? jsonReply(200, { status: "COMMITTED", charged: { unit: "TOKENS", amount: 9 } })
          : jsonReply(200, {
            decision: "ALLOW",
            reservation_id: "r-1",
            affected_scopes: ["tenant:acme"],
            remaining_ttl_ms: 60_000
          })
      )
    )
    return Effect.gen(function*() {
      // The beat comes after 55 seconds, and may be repeated in the next two.
      yield* inTime(
        Budget.guard(request, (r) => Effect.as(Effect.sleep("59 seconds"), r.commit(Amount.tokens(9)))).pipe(
          Effect.provide(
            Budget.layer({ heartbeatTimeout: "2 seconds" }).pipe(
              Layer.provide(layerScripted(fetch)),
              Layer.provideMerge(Logger.layer([]))
            )
          )
        )
      )
      assert.deepStrictEqual(sent.map(({ url }) => url.replace(/^.*\//, "")), ["reservations", "extend", "commit"])
    })
  })

  it.effect("never when it was refused", () =>
    Effect.gen(function*() {
      for (
        const reply of [
          jsonReply(409, failure("BUDGET_EXCEEDED", { details: { retry_after_ms: 5 } })),
          jsonReply(409, failure("SOLAR_FLARE")),
          jsonReply(400, failure("INVALID_REQUEST")),
          jsonReply(401, failure("UNAUTHORIZED")),
          jsonReply(403, failure("FORBIDDEN")),
          jsonReply(404, failure("NOT_FOUND")),
          { status: 404, body: "<html>" },
          { status: 401 },
          { status: 409 },
          { status: 302, headers: { location: "http://elsewhere.test/" } }
        ]
      ) {
        const { fetch, sent } = scriptedFetch(reply, allowed)
        const exit = yield* inTime(Effect.provide(Effect.exit(reserve), layerScripted(fetch)))
        assert.isTrue(Exit.isFailure(exit), JSON.stringify(reply))
        assert.strictEqual(sent.length, 1, JSON.stringify(reply))
      }
    }))

  it.effect("after ever longer waits, never as long as all clients would wait", () => {
    const times: Array<number> = []
    const { fetch } = scriptedFetch({ status: 503 })
    return Effect.gen(function*() {
      const clock = yield* TestClock.testClockWith(Effect.succeed)
      const timed: typeof globalThis.fetch = (input, init) => {
        times.push(clock.currentTimeMillisUnsafe())
        return fetch(input, init)
      }
      const fiber = yield* Effect.forkChild(
        Effect.provide(Effect.flip(reserve), layerScripted(timed, { retries: 8 })),
        { startImmediately: true }
      )
      while (fiber.pollUnsafe() === undefined) {
        yield* TestClock.adjust("1 millis")
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        if (times.length > 3) yield* TestClock.adjust("50 millis")
      }
      const waits = times.slice(1).map((time, index) => time - (times[index] ?? 0))
      assert.strictEqual(waits.length, 8)
      for (const [index, wait] of waits.entries()) {
        const middle = Math.min(100 * 2 ** index, 5_000)
        assert.isAtLeast(wait, middle * 0.79)
        assert.isAtMost(wait, middle * 1.21 + 60)
      }
      assert.notStrictEqual(waits[0], 100)
    })
  })
})

describe("Time", () => {
  const hanging = () => {
    const aborted: Array<number> = []
    let asked = 0
    const script = scriptedFetch((_, signal) => {
      const number = ++asked
      return new Promise((_, reject) => {
        signal?.addEventListener("abort", () => {
          aborted.push(number)
          reject(new Error("aborted"))
        })
      })
    })
    return { ...script, aborted }
  }

  it.effect("is limited for each attempt, which is then given up", () => {
    const { aborted, fetch, sent } = hanging()
    return Effect.gen(function*() {
      const error = yield* inTime(Effect.flip(reserve))
      assert.deepInclude({ ...error }, { _tag: "AuthorityUnavailable", reason: "no answer within 2s" })
      assert.strictEqual(sent.length, 3)
      assert.deepStrictEqual(aborted, [1, 2, 3])
    }).pipe(Effect.provide(layerScripted(fetch, { timeout: "2 seconds", retries: 2 })))
  })

  it.effect("is ten seconds when nobody says", () => {
    const { fetch } = hanging()
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.flip(reserve), { startImmediately: true })
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "AuthorityUnavailable")
    }).pipe(Effect.provide(layerScripted(fetch, { retries: 0 })))
  })

  it.effect("is the caller's: an interrupt aborts the request and ends the attempts", () => {
    const { aborted, fetch, sent } = hanging()
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(reserve, { startImmediately: true })
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.deepStrictEqual(aborted, [1])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(sent.length, 1)
    }).pipe(Effect.provide(layerScripted(fetch)))
  })

  it.live("covers the body, whose sender may stop in the middle", () =>
    Effect.gen(function*() {
      let closed = 0
      const server = createServer((_, response) => {
        response.on("close", () => closed++)
        response.writeHead(200, { "content-type": "application/json" })
        response.write("{\"decision\":")
      })
      yield* Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void)))
      yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const error = yield* Effect.flip(reserve).pipe(
        Effect.provide(layerClient({ timeout: "150 millis" }).pipe(Layer.provide(Layer.succeed(Server, { url }))))
      )
      assert.deepInclude({ ...error }, { _tag: "AuthorityUnavailable", reason: "no answer within 150ms" })
      // The server hears of it when it gets to it.
      for (let i = 0; i < 100 && closed === 0; i++) yield* Effect.sleep("20 millis")
      assert.strictEqual(closed, 1)
      server.close()
    }))
})

describe("A reply", () => {
  const reading = (reply: unknown) => {
    const { fetch } = scriptedFetch(jsonReply(200, reply))
    return Effect.provide(reserve, layerScripted(fetch, { retries: 0 }))
  }

  it.effect("may say more than is known, and null for what is not there", () =>
    Effect.gen(function*() {
      const reply = yield* reading({
        decision: "ALLOW_WITH_CAPS",
        reservation_id: "r-1",
        reserved: { unit: "TOKENS", amount: 9_223_372_036_854_775_807n, colour: "red" },
        affected_scopes: [],
        caps: { max_tokens: 5, cooldown_ms: null, max_colour: 3 },
        balances: null,
        reason_code: null,
        weather: { sunny: true }
      })
      assert.deepStrictEqual(reply, {
        decision: "ALLOW_WITH_CAPS",
        reservationId: ReservationId.make("r-1"),
        reserved: { unit: "TOKENS", amount: 9_223_372_036_854_775_807n },
        affectedScopes: [],
        caps: { maxTokens: 5 }
      })
    }))

  it.effect("that does not fit is told apart by place, not by content", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(reading({
        decision: "ALLOW",
        affected_scopes: [],
        reserved: { unit: "TOKENS", amount: "hunter2" }
      }))
      assert.strictEqual(error._tag, "InternalError")
      assert.include(error.message, "does not fit the contract at reserved")
      assert.notInclude(error.message, "hunter2")
    }))

  it.effect("may have a state in its lists that is not known", () =>
    Effect.gen(function*() {
      const record = {
        reservation_id: "r-1",
        status: "ACTIVE",
        subject: { tenant: "acme" },
        action: { kind: "llm.completion", name: "gpt-4o" },
        reserved: { unit: "TOKENS", amount: 5 },
        created_at_ms: 1,
        expires_at_ms: 2,
        scope_path: "tenant:acme",
        affected_scopes: ["tenant:acme"]
      }
      const suspended = { ...record, reservation_id: "r-2", status: "SUSPENDED" }
      const listed = scriptedFetch(jsonReply(200, { reservations: [record, suspended] }))
      const { reservations } = yield* Effect.provide(
        Effect.flatMap(BudgetAuthority, (authority) => authority.reservations({})),
        layerScripted(listed.fetch, { retries: 0 })
      )
      assert.deepStrictEqual(reservations.map(({ status }) => status), ["ACTIVE", "SUSPENDED"])
      const one = scriptedFetch(jsonReply(200, suspended))
      const { status } = yield* Effect.provide(
        Effect.flatMap(BudgetAuthority, (authority) => authority.reservation(ReservationId.make("r-2"))),
        layerScripted(one.fetch, { retries: 0 })
      )
      assert.strictEqual(status, "SUSPENDED")
    }))

  it.effect("is bounded, whether it says its length or not", () =>
    Effect.gen(function*() {
      const long = { decision: "ALLOW", affected_scopes: [], note: "x".repeat(1_000) }
      const body = WireJson.stringify(long)
      for (const headers of [{ "content-length": String(body.length) }, {}]) {
        const { fetch } = scriptedFetch({ status: 200, body, headers })
        const error = yield* Effect.flip(
          Effect.provide(reserve, layerScripted(fetch, { retries: 0, maxResponseBytes: 500 }))
        )
        assert.include(error.message, "longer than 500 bytes")
        const fine = yield* Effect.provide(reserve, layerScripted(fetch, { retries: 0, maxResponseBytes: 5_000 }))
        assert.strictEqual(fine.decision, "ALLOW")
      }
    }))
})

describe("A lost reply", () => {
  it.live("is fetched with the same key, over a socket that breaks", () =>
    Effect.gen(function*() {
      const authority = yield* BudgetAuthority
      const { url } = yield* Server
      let asked = 0
      // Passes on every request, and drops the first two replies after they took effect.
      const proxy = createServer((incoming, outgoing) => {
        const chunks: Array<Buffer> = []
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
        incoming.on("end", () => {
          void fetch(`${url}${incoming.url}`, {
            method: incoming.method ?? "GET",
            headers: incoming.headers as Record<string, string>,
            body: Buffer.concat(chunks).toString()
          }).then(async (response) => {
            const text = await response.text()
            if (++asked <= 2) outgoing.destroy()
            else outgoing.writeHead(response.status, { "content-type": "application/json" }).end(text)
          })
        })
      })
      yield* Effect.callback<void>((resume) => void proxy.listen(0, "127.0.0.1", () => resume(Effect.void)))
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          proxy.closeAllConnections()
          proxy.close()
        })
      )
      const port = (proxy.address() as AddressInfo).port
      const reply = yield* reserve.pipe(
        Effect.provide(
          layerClient({ retries: 3 }).pipe(
            Layer.provide(Layer.succeed(Server, { url: `http://127.0.0.1:${port}` }))
          )
        )
      )
      assert.strictEqual(asked, 3)
      const { reservations } = yield* authority.reservations({})
      assert.deepStrictEqual(reservations.map(({ reservationId }) => reservationId), [reply.reservationId])
      const { balances } = yield* authority.balances({ tenant: "acme" })
      assert.strictEqual(balances[0]?.reserved?.amount, 1_000n)
    }).pipe(
      Effect.provide(
        Layer.unwrap(Effect.map(BudgetAuthority, (authority) => layerServer("acme", authority))).pipe(
          Layer.provideMerge(
            Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] })
          )
        )
      )
    ))
})

describe("The API key", () => {
  /** Everything a curious person may print. */
  const prints = (value: unknown): string =>
    [
      inspect(value, { depth: 20, showHidden: true }),
      String(value),
      JSON.stringify(value, (_, part: unknown) => typeof part === "bigint" ? `${part}` : part)
    ].join("\n")

  it.effect("is in no error, no log and no span", () =>
    Effect.gen(function*() {
      const spans: Array<Tracer.NativeSpan> = []
      const lines: Array<string> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const logger = Logger.make((options) => void lines.push(prints(options.message) + prints(options.cause)))
      const leaky = new TypeError(`bad header ${apiKey}`, { cause: new Error(`twice ${apiKey}`) })
      for (
        const reply of [
          () => Promise.reject(leaky),
          jsonReply(409, failure("BUDGET_EXCEEDED")),
          jsonReply(500, failure("INTERNAL_ERROR")),
          { status: 502, body: "<html>" },
          { status: 200, body: "{" },
          jsonReply(200, { decision: "MAYBE" })
        ]
      ) {
        const { fetch } = scriptedFetch(reply)
        const exit = yield* Effect.exit(reserve).pipe(
          Effect.tap((exit) => Effect.logError("failed", Exit.isFailure(exit) ? exit.cause : exit)),
          Effect.provide(layerScripted(fetch, { retries: 0 })),
          Effect.withTracer(tracer),
          Effect.provide(Logger.layer([logger])),
          Effect.provideService(References.MinimumLogLevel, "All")
        )
        assert.isTrue(Exit.isFailure(exit))
        assert.notInclude(prints(exit), apiKey)
        if (Exit.isFailure(exit)) assert.notInclude(Cause.pretty(exit.cause), apiKey)
      }
      assert.isAbove(spans.length, 5)
      assert.isAbove(lines.length, 5)
      for (const span of spans) {
        assert.notInclude(prints([...span.attributes]), apiKey)
        assert.notInclude(prints(span.status), apiKey)
        assert.notInclude(prints(span.events), apiKey)
      }
      assert.notInclude(lines.join("\n"), apiKey)
    }))

  it.effect("is not sent to where a redirect points", () => {
    const inits: Array<RequestInit | undefined> = []
    const { fetch } = scriptedFetch(allowed)
    const watched: typeof globalThis.fetch = (input, init) => {
      inits.push(init)
      return fetch(input, init)
    }
    return Effect.gen(function*() {
      yield* reserve
      yield* Effect.provideService(reserve, FetchHttpClient.RequestInit, { mode: "cors", redirect: "follow" })
      assert.deepStrictEqual(
        inits.map((init) => [init?.redirect, init?.credentials, init?.mode]),
        [["manual", "omit", undefined], ["manual", "omit", "cors"]]
      )
    }).pipe(
      Effect.provide(
        layerScripted(watched).pipe(
          Layer.provide(Layer.succeed(FetchHttpClient.RequestInit, { credentials: "omit", redirect: "follow" }))
        )
      )
    )
  })

  it("is checked before it is used", () => {
    const http = { baseUrl: "http://authority.test", apiKey: Redacted.make(apiKey) }
    for (const bad of ["", "two words", "line\nbreak", "schlüssel"]) {
      assert.throws(() => CyclesClient.layer({ ...http, apiKey: Redacted.make(bad) }), RangeError)
    }
    for (
      const bad of ["", "authority.test", "ftp://authority.test", "http://u:p@authority.test", "http://a.test/?q=1"]
    ) {
      assert.throws(() => CyclesClient.layer({ ...http, baseUrl: bad }), RangeError)
    }
    for (const bad of [-1, 0.5, NaN]) {
      assert.throws(() => CyclesClient.layer({ ...http, retries: bad }), RangeError)
    }
  })
})

describe("Configuration", () => {
  const env = {
    CYCLES_BASE_URL: "https://cycles.test",
    CYCLES_API_KEY: apiKey,
    CYCLES_TENANT: "acme",
    CYCLES_AGENT: "",
    CYCLES_TOOLSET: "search",
    CYCLES_TIMEOUT_MS: "2500",
    CYCLES_RETRIES: "0"
  }
  const read = (env: Record<string, string>) =>
    Effect.provideService(
      Effect.flatMap(Effect.void, () => CyclesClient.config),
      ConfigProvider.ConfigProvider,
      ConfigProvider.fromEnv({ env })
    )

  it.effect("comes from the environment", () =>
    Effect.gen(function*() {
      const options = yield* read(env)
      assert.strictEqual(options.baseUrl, "https://cycles.test")
      assert.strictEqual(Redacted.value(options.apiKey), apiKey)
      assert.deepStrictEqual(options.subject, { tenant: "acme", toolset: "search" })
      assert.deepInclude(JSON.parse(JSON.stringify(options)), {
        apiKey: "<redacted>",
        timeout: { _id: "Duration", _tag: "Millis", millis: 2_500 },
        retries: 0
      })
      const least = yield* read({ CYCLES_BASE_URL: "http://localhost:7878/", CYCLES_API_KEY: "k" })
      assert.deepStrictEqual(least.subject, {})
      assert.isUndefined(least.timeout)
    }))

  it.effect("names what is missing or malformed, without repeating the key", () =>
    Effect.gen(function*() {
      const { CYCLES_API_KEY: _, ...keyless } = env
      const { CYCLES_BASE_URL: __, ...placeless } = env
      for (
        const [variables, name] of [
          [keyless, "CYCLES_API_KEY"],
          [placeless, "CYCLES_BASE_URL"],
          [{ ...env, CYCLES_BASE_URL: "" }, "CYCLES_BASE_URL"],
          [{ ...env, CYCLES_BASE_URL: "localhost" }, "CYCLES_BASE_URL"],
          [{ ...env, CYCLES_API_KEY: "" }, "CYCLES_API_KEY"],
          [{ ...env, CYCLES_API_KEY: "hunter 2" }, "CYCLES_API_KEY"],
          [{ ...env, CYCLES_TIMEOUT_MS: "soon" }, "CYCLES_TIMEOUT_MS"],
          [{ ...env, CYCLES_TIMEOUT_MS: "0" }, "CYCLES_TIMEOUT_MS"],
          [{ ...env, CYCLES_RETRIES: "1.5" }, "CYCLES_RETRIES"]
        ] as ReadonlyArray<readonly [Record<string, string>, string]>
      ) {
        const error = yield* Effect.flip(read(variables))
        assert.strictEqual(error._tag, "ConfigError")
        assert.include(error.message, name)
        assert.notInclude(error.message, "hunter")
      }
    }))

  it.effect("makes an authority whose requests are the configured subject's", () => {
    const { fetch, sent } = scriptedFetch(
      allowed,
      jsonReply(200, { status: "COMMITTED", charged: { unit: "TOKENS", amount: 7 } })
    )
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* Default, { tenant: "acme", toolset: "search" })
      const answer = yield* Budget.guard(
        { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) },
        (r) => Effect.succeed(r.commit(Amount.tokens(7), "answer"))
      ).pipe(Effect.provide(Budget.layer()))
      assert.strictEqual(answer, "answer")
      assert.deepStrictEqual(JSON.parse(sent[0]?.body ?? "").subject, { tenant: "acme", toolset: "search" })
      assert.strictEqual(sent[1]?.url, "https://cycles.test/v1/reservations/r-1/commit")
    }).pipe(
      Effect.provide(CyclesClient.layerConfig().pipe(Layer.provide(layerFetch(fetch)))),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
    )
  })

  it.effect("asks for an HttpClient and no more", () =>
    Effect.gen(function*() {
      const authority = yield* CyclesClient.make({ baseUrl: "http://a.test", apiKey: Redacted.make("k"), retries: 0 })
      const error = yield* Effect.flip(authority.balances({}))
      assert.strictEqual(error._tag, "AuthorityUnavailable")
    }).pipe(
      Effect.provideService(
        HttpClient.HttpClient,
        HttpClient.make(() => Effect.interrupt).pipe(
          HttpClient.transform(() => Effect.never)
        )
      ),
      (effect) => inTime(effect)
    ))
})

describe("Lists", () => {
  const ledger = Ledger.layerMemory({
    tenant: "acme",
    budgets: ["a", "b", "c", "d", "e"].map((agent) => ({
      scope: `tenant:acme/agent:${agent}`,
      allocated: Amount.tokens(5_000)
    }))
  })
  const remote = layerClient().pipe(
    Layer.provideMerge(Layer.unwrap(Effect.map(BudgetAuthority, (authority) => layerServer("acme", authority)))),
    Layer.provideMerge(ledger)
  )

  for (const [where, layer] of [["a ledger", ledger], ["a server", remote]] as const) {
    it.live(`come page by page from ${where}`, () =>
      Effect.gen(function*() {
        const scopes = yield* CyclesClient.balancesStream({ tenant: "acme", limit: 2 }).pipe(
          Stream.map(({ scope }) => scope),
          Stream.runCollect
        )
        assert.deepStrictEqual(scopes, ["a", "b", "c", "d", "e"].map((agent) => `tenant:acme/agent:${agent}`))
        const authority = yield* BudgetAuthority
        for (let i = 0; i < 5; i++) {
          yield* authority.reserve({
            ...request,
            idempotencyKey: IdempotencyKey.make(`k-${i}`),
            subject: { agent: "a" },
            estimate: Amount.tokens(10 + i)
          })
        }
        const amounts = yield* CyclesClient.reservationsStream({ sortBy: "reserved", sortDir: "asc", limit: 2 }).pipe(
          Stream.map(({ reserved }) => reserved.amount),
          Stream.runCollect
        )
        assert.deepStrictEqual(amounts, [10n, 11n, 12n, 13n, 14n])
      }).pipe(Effect.provide(layer)))
  }

  it.effect("ask for no more pages than are wanted", () => {
    const page = (n: number) =>
      jsonReply(200, {
        balances: [{
          scope: `tenant:acme/agent:${n}`,
          scope_path: `tenant:acme/agent:${n}`,
          remaining: { unit: "TOKENS", amount: n }
        }],
        next_cursor: `c${n}`,
        has_more: true
      })
    const { fetch, sent } = scriptedFetch(page(1), page(2), page(3))
    return Effect.gen(function*() {
      const taken = yield* CyclesClient.balancesStream({ tenant: "acme", cursor: Cursor.make("c0") }).pipe(
        Stream.take(2),
        Stream.runCollect
      )
      assert.strictEqual(taken.length, 2)
      assert.deepStrictEqual(sent.map(({ url }) => new URL(url).searchParams.get("cursor")), ["c0", "c1"])
    }).pipe(Effect.provide(layerScripted(fetch)))
  })

  it.effect("that go in circles end with an error", () => {
    const { fetch } = scriptedFetch(jsonReply(200, { balances: [], next_cursor: "c1", has_more: true }))
    return Effect.gen(function*() {
      const error = yield* CyclesClient.balancesStream({ tenant: "acme" }).pipe(Stream.runDrain, Effect.flip)
      assert.include(error.message, "goes in circles")
    }).pipe(Effect.provide(layerScripted(fetch)))
  })
})
