import { Handlers } from "@effect-cycles/http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Amount, BudgetAuthority, Ledger, Window } from "effect-cycles"
import { InternalError, Unauthorized } from "effect-cycles/protocol/CyclesError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRespondable from "effect/http/HttpServerRespondable"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { connect } from "node:net"
import { apiKey, webHandler } from "./support.ts"

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
const OTHER = "0af7651916cd43dd8448eb211c80319c"

const reserve = (change?: { readonly [name: string]: unknown }) =>
  JSON.stringify({
    idempotency_key: "k-1",
    subject: { agent: "bot" },
    action: { kind: "llm.completion", name: "gpt-4o" },
    estimate: { unit: "TOKENS", amount: 10 },
    ...change
  })

const withLedger = <A, E>(
  test: (send: ReturnType<typeof webHandler>["send"]) => Effect.Effect<A, E, BudgetAuthority.BudgetAuthority>,
  options?: Omit<Handlers.Options, "authenticate">
) =>
  Effect.gen(function*() {
    const authority = yield* BudgetAuthority.BudgetAuthority
    const { dispose, send } = webHandler("acme", authority, options)
    yield* Effect.addFinalizer(() => dispose)
    return yield* test(send)
  }).pipe(
    Effect.provide(
      Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] })
    )
  )

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe("Every answer", () => {
  it.live("is kept by no cache, which would not tell one key's from another's", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const paths = ["/v1/reservations", "/v1/balances?tenant=acme", "/v1/reservations/nobody", "/nowhere"]
        for (const path of paths) {
          assert.strictEqual((yield* send("GET", path)).headers.get("cache-control"), "no-store", path)
        }
      })
    ))

  it.live("names its request, its trace and its tenant", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const ok = yield* send("POST", "/v1/reservations", { body: reserve() })
        assert.strictEqual(ok.status, 200)
        const denied = yield* send("POST", "/v1/reservations", {
          body: reserve({ idempotency_key: "k-2", estimate: { unit: "TOKENS", amount: 5_000 } })
        })
        assert.strictEqual(denied.status, 409)
        const bad = yield* send("POST", "/v1/reservations", { body: "{" })
        const unknown = yield* send("GET", "/v1/nothing")
        const foreign = yield* send("POST", "/v1/reservations", { headers: { "x-cycles-api-key": "other" } })
        const answers = [ok, denied, bad, unknown, foreign]
        for (const { body, headers, status } of answers) {
          assert.match(headers.get("x-request-id") ?? "", uuid)
          assert.match(headers.get("x-cycles-trace-id") ?? "", /^[0-9a-f]{32}$/)
          assert.strictEqual(headers.get("content-type"), "application/json")
          if (status === 200) continue
          assert.strictEqual(body["request_id"], headers.get("x-request-id"))
          assert.strictEqual(body["trace_id"], headers.get("x-cycles-trace-id"))
        }
        assert.strictEqual(new Set(answers.map(({ headers }) => headers.get("x-request-id"))).size, answers.length)
        assert.deepStrictEqual(
          answers.map(({ headers }) => headers.get("x-cycles-tenant")),
          ["acme", "acme", "acme", null, null]
        )
      })
    ))

  it.live("continues the trace of the request", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const traceOf = (headers: { readonly [name: string]: string }) =>
          Effect.map(
            send("GET", "/v1/balances?tenant=acme", { headers }),
            (answer) => answer.headers.get("x-cycles-trace-id")
          )
        const traceparent = `00-${TRACE}-00f067aa0ba902b7-00`
        assert.strictEqual(yield* traceOf({ traceparent }), TRACE)
        assert.strictEqual(yield* traceOf({ traceparent, "x-cycles-trace-id": OTHER }), TRACE)
        assert.strictEqual(yield* traceOf({ "x-cycles-trace-id": OTHER }), OTHER)
        for (
          const malformed of [
            `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
            `00-${TRACE}-${"0".repeat(16)}-01`,
            `01-${TRACE}-00f067aa0ba902b7-01`,
            `00-${TRACE}`,
            "gibberish"
          ]
        ) {
          assert.strictEqual(yield* traceOf({ traceparent: malformed, "x-cycles-trace-id": OTHER }), OTHER, malformed)
        }
        for (const malformed of ["0".repeat(32), TRACE.toUpperCase(), "short"]) {
          const made = yield* traceOf({ "x-cycles-trace-id": malformed })
          assert.match(made ?? "", /^[0-9a-f]{32}$/)
          assert.notInclude([malformed, TRACE, OTHER], made)
        }
      })
    ))

  it.live("leaves out what is absent, and never says null", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const { body, text } = yield* send("POST", "/v1/reservations", { body: reserve() })
        assert.notInclude(text, "null")
        assert.sameMembers(Object.keys(body), [
          "decision",
          "reservation_id",
          "reserved",
          "expires_at_ms",
          "remaining_ttl_ms",
          "scope_path",
          "affected_scopes"
        ])
        const id = String(body["reservation_id"])
        const read = yield* send("GET", `/v1/reservations/${id}`)
        assert.notInclude(read.text, "null")
        assert.notProperty(read.body, "committed")
        const event = yield* send("POST", "/v1/events", {
          body: JSON.stringify({
            idempotency_key: "e-1",
            subject: { agent: "bot" },
            action: { kind: "tool.search", name: "web" },
            actual: { unit: "TOKENS", amount: 5 }
          })
        })
        assert.strictEqual(event.status, 201)
        const refused = yield* send("GET", "/v1/reservations/none")
        assert.strictEqual(refused.status, 404)
        assert.sameMembers(Object.keys(refused.body), ["error", "message", "request_id", "trace_id"])
      })
    ))

  it.live("says of a limit when it opens again: in the details of a 409, on top of a 200 that denies", () =>
    Effect.gen(function*() {
      const { dispose, send } = webHandler("acme", yield* BudgetAuthority.BudgetAuthority)
      const window = Window.rolling("1 hour")
      const { updateBudget } = yield* Ledger.Ledger
      const limits = [{ id: "hourly", window, amount: Amount.tokens(15) }]
      yield* updateBudget("acme", { scope: "tenant:acme", unit: "TOKENS", limits })
      assert.strictEqual((yield* send("POST", "/v1/reservations", { body: reserve() })).status, 200)
      const second = { idempotency_key: "k-2" }
      const denied = yield* send("POST", "/v1/reservations", { body: reserve(second) })
      assert.strictEqual(denied.status, 409)
      const details = denied.body["details"] as { readonly [name: string]: unknown }
      assert.sameMembers(Object.keys(details), [
        "scope",
        "unit",
        "requested",
        "remaining",
        "limit_id",
        "window",
        "reopens_at_ms",
        "retry_after_ms",
        "suggestion"
      ])
      assert.deepInclude(details, { requested: 10, remaining: 5, limit_id: "hourly", window: "rolling 1 hour" })
      assert.isAbove(Number(details["retry_after_ms"]), 3_500_000)
      assert.notProperty(denied.body, "retry_after_ms")
      const { idempotency_key: _, ...asked } = JSON.parse(reserve())
      const decided = yield* send("POST", "/v1/decide", { body: JSON.stringify({ ...asked, idempotency_key: "d-1" }) })
      const dry = yield* send("POST", "/v1/reservations", { body: reserve({ ...second, dry_run: true }) })
      for (const { body, status } of [decided, dry]) {
        assert.strictEqual(status, 200)
        assert.deepInclude(body, { decision: "DENY", reason_code: "BUDGET_EXCEEDED" })
        assert.isAbove(Number(body["retry_after_ms"]), 3_500_000)
      }
      yield* dispose
    }).pipe(
      Effect.provide(
        Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] })
      )
    ))

  it.live("reaches the authority's own records", () =>
    Effect.gen(function*() {
      const { dispose, send } = webHandler("acme", yield* BudgetAuthority.BudgetAuthority)
      const { headers } = yield* send("POST", "/v1/reservations", {
        body: reserve(),
        headers: { "x-cycles-trace-id": TRACE }
      })
      yield* dispose
      const entries = yield* (yield* Ledger.Ledger).entries("acme")
      assert.deepInclude({ ...entries[entries.length - 1] }, {
        requestId: headers.get("x-request-id") ?? "",
        traceId: TRACE
      })
    }).pipe(
      Effect.provide(
        Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] })
      )
    ))
})

describe("A request is refused", () => {
  it.live("for its key before anything else", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        for (const key of ["", "other"]) {
          const headers = { "x-cycles-api-key": key }
          for (
            const answer of [
              yield* send("POST", "/v1/reservations", { headers, body: "{" }),
              yield* send("POST", "/v1/reservations", { headers, body: reserve() }),
              yield* send("GET", "/v1/reservations?limit=0", { headers }),
              yield* send("GET", `/v1/reservations/${"x".repeat(129)}`, { headers })
            ]
          ) {
            assert.strictEqual(answer.status, 401)
            assert.strictEqual(answer.body["error"], "UNAUTHORIZED")
          }
        }
      })
    ))

  it.live("for a body that is not JSON, or not the contract's, naming the field", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const cases: ReadonlyArray<readonly [body: string, field: string]> = [
          ["", "body"],
          ["{", "body"],
          ["null", "body"],
          ["[]", "body"],
          ["\"text\"", "body"],
          [`${"[".repeat(200)}${"]".repeat(200)}`, "body"],
          [reserve({ colour: "red" }), "colour"],
          [reserve({ subject: { agent: "bot", color: "red" } }), "subject.color"],
          [reserve({ subject: {} }), "subject"],
          [reserve({ subject: { dimensions: { a: "b" } } }), "subject"],
          [reserve({ subject: { agent: "x".repeat(129) } }), "subject.agent"],
          [reserve({ idempotency_key: undefined }), "idempotency_key"],
          [reserve({ idempotency_key: "" }), "idempotency_key"],
          [reserve({ idempotency_key: 5 }), "idempotency_key"],
          [reserve({ idempotencyKey: "k" }), "idempotencyKey"],
          [reserve({ ttl_ms: 999 }), "ttl_ms"],
          [reserve({ ttl_ms: "60000" }), "ttl_ms"],
          [reserve({ ttl_ms: null }), "ttl_ms"],
          [reserve({ overage_policy: "SOMETIMES" }), "overage_policy"],
          [reserve({ metadata: [] }), "metadata"],
          [reserve({ estimate: { unit: "TOKENS", amount: "10" } }), "estimate.amount"],
          [reserve({ estimate: { unit: "TOKENS", amount: -1 } }), "estimate.amount"],
          [reserve({ estimate: { unit: "TOKENS", amount: 0.5 } }), "estimate.amount"],
          [reserve().replace("\"amount\":10", "\"amount\":1e3"), "estimate.amount"],
          [reserve().replace("\"amount\":10", "\"amount\":10.0"), "estimate.amount"],
          [reserve().replace("\"amount\":10", "\"amount\":9223372036854775808"), "estimate.amount"],
          [reserve().replace("60000", "6e4").replace("{", "{\"ttl_ms\":6e4,"), "ttl_ms"]
        ]
        for (const [body, field] of cases) {
          const answer = yield* send("POST", "/v1/reservations", { body })
          assert.strictEqual(answer.status, 400, body)
          assert.strictEqual(answer.body["error"], "INVALID_REQUEST", body)
          assert.strictEqual(answer.body["details"]?.field, field, `${body}\n${answer.text}`)
        }
        const { reservations } = yield* (yield* BudgetAuthority.BudgetAuthority).reservations({})
        assert.deepStrictEqual(reservations, [])
      })
    ))

  it.live("for what it takes for granted of the other bodies", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const made = yield* send("POST", "/v1/reservations", { body: reserve() })
        const path = `/v1/reservations/${made.body["reservation_id"]}`
        for (
          const [operation, body] of [
            ["commit", { actual: { unit: "TOKENS", amount: 1 }, colour: 1 }],
            ["release", { reason: "x", colour: 1 }],
            ["release", { reason: "x".repeat(257) }],
            ["extend", { extend_by_ms: 0 }],
            ["extend", { extend_by_ms: 86_400_001 }]
          ] as const
        ) {
          const answer = yield* send("POST", `${path}/${operation}`, {
            body: JSON.stringify({ idempotency_key: "k", ...body })
          })
          assert.strictEqual(answer.status, 400, `${operation} ${JSON.stringify(body)}`)
        }
        for (const path of ["/v1/decide", "/v1/events"]) {
          assert.strictEqual((yield* send("POST", path, { body: reserve({ ttl_ms: 60_000 }) })).status, 400)
        }
      })
    ))

  it.live("for a key in its header that is not the body's", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const other = yield* send("POST", "/v1/reservations", {
          body: reserve(),
          headers: { "x-idempotency-key": "k-2" }
        })
        assert.strictEqual(other.status, 400)
        assert.strictEqual(other.body["details"]?.field, "idempotency_key")
        const malformed = yield* send("POST", "/v1/reservations", {
          body: reserve(),
          headers: { "x-idempotency-key": "k".repeat(257) }
        })
        assert.strictEqual(malformed.status, 400)
        const same = yield* send("POST", "/v1/reservations", {
          body: reserve(),
          headers: { "x-idempotency-key": "k-1" }
        })
        assert.strictEqual(same.status, 200)
        // A body that breaks the contract is told of that first.
        const both = yield* send("POST", "/v1/reservations", {
          body: reserve({ ttl_ms: 1 }),
          headers: { "x-idempotency-key": "k-2" }
        })
        assert.strictEqual(both.body["details"]?.field, "ttl_ms")
      })
    ))

  it.live("for its parameters", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        for (
          const [path, field] of [
            ["/v1/reservations?limit=0", "limit"],
            ["/v1/reservations?from=yesterday", "from"],
            ["/v1/reservations?status=ACTIVE&status=EXPIRED", "status"],
            ["/v1/reservations?sort_by=colour", "sort_by"],
            ["/v1/balances?tenant=acme&include_children=1", "include_children"],
            [`/v1/reservations/${"x".repeat(129)}`, "reservation_id"]
          ] as const
        ) {
          const answer = yield* send("GET", path)
          assert.strictEqual(answer.status, 400, path)
          assert.strictEqual(answer.body["details"]?.field, field, `${path} ${answer.text}`)
        }
        const blank = yield* send("GET", "/v1/reservations?from=&to=&status=&include=&unheard_of=1&limit=")
        assert.strictEqual(blank.status, 200)
        const longest = yield* send("GET", `/v1/reservations/${encodeURIComponent("😀".repeat(128))}`)
        assert.strictEqual(longest.status, 404)
        const window = yield* send("GET", "/v1/reservations?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z")
        assert.strictEqual(window.status, 400)
        assert.strictEqual(window.body["details"]?.field, "from")
      })
    ))

  it.live("for a path that is another's: paths are the specification's to the letter", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        for (const path of ["/v1/decide/", "//v1/decide", "/v1//decide", "/V1/decide", "/v1/DECIDE", "/v1/decide/x"]) {
          const { idempotency_key: _, ...asked } = JSON.parse(reserve())
          const answer = yield* send("POST", path, { body: JSON.stringify({ ...asked, idempotency_key: path }) })
          assert.deepStrictEqual([answer.status, answer.body["error"]], [404, "NOT_FOUND"], path)
        }
      })
    ))

  it.live("for its length or its kind", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const long = reserve({ metadata: { note: "x".repeat(2_000) } })
        const answer = yield* send("POST", "/v1/reservations", { body: long })
        assert.strictEqual(answer.status, 400)
        assert.include(answer.body["message"], "longer than 1000 bytes")
        // The count of characters is less than that of bytes.
        const wide = yield* send("POST", "/v1/reservations", { body: reserve({ metadata: { note: "€".repeat(400) } }) })
        assert.strictEqual(wide.status, 400)
        const text = yield* send("POST", "/v1/reservations", {
          body: reserve(),
          headers: { "content-type": "text/plain" }
        })
        assert.strictEqual(text.status, 400)
        for (const type of ["application/json; charset=utf-8", "APPLICATION/JSON", "application/cycles+json"]) {
          const fine = yield* send("POST", "/v1/reservations", { body: reserve(), headers: { "content-type": type } })
          assert.strictEqual(fine.status, 200, type)
        }
      }), { maxRequestBytes: 1_000 }))

  it.live("for bytes that are no text, of which others would read the same", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        for (const byte of ["\xff", "\xc3", "\xed\xa0\x80"]) {
          const body = new Uint8Array(Buffer.from(reserve({ idempotency_key: `k-${byte}` }), "latin1"))
          const answer = yield* send("POST", "/v1/reservations", { body })
          assert.strictEqual(answer.status, 400)
          assert.strictEqual(answer.body["message"], "it is not UTF-8")
        }
        const wide = yield* send("POST", "/v1/reservations", { body: reserve({ idempotency_key: "k-\ufffd-€" }) })
        assert.strictEqual(wide.status, 200)
      })
    ))

  it.live("for what the authority says, in the order of the specification", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const foreign = yield* send("POST", "/v1/reservations", { body: reserve({ subject: { tenant: "umbrella" } }) })
        assert.deepStrictEqual([foreign.status, foreign.body["error"]], [403, "FORBIDDEN"])
        yield* send("POST", "/v1/reservations", { body: reserve() })
        const again = yield* send("POST", "/v1/reservations", { body: reserve({ ttl_ms: 5_000 }) })
        assert.deepStrictEqual([again.status, again.body["error"]], [409, "IDEMPOTENCY_MISMATCH"])
        const unit = yield* send("POST", "/v1/decide", { body: reserve({ estimate: { unit: "CREDITS", amount: 1 } }) })
        assert.deepStrictEqual([unit.status, unit.body["error"]], [400, "UNIT_MISMATCH"])
        assert.deepStrictEqual(unit.body["details"], {
          scope: "tenant:acme",
          requested_unit: "CREDITS",
          expected_units: ["TOKENS"]
        })
        const none = yield* send("GET", "/v1/balances")
        assert.deepStrictEqual([none.status, none.body["error"]], [400, "INVALID_REQUEST"])
      })
    ))
})

describe("The same request again", () => {
  it.live("gets the same bytes, but for the time left", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        const first = yield* send("POST", "/v1/reservations", { body: reserve() })
        const again = yield* send("POST", "/v1/reservations", { body: reserve() })
        const less = (text: string) => text.replace(/"remaining_ttl_ms":\d+/, "")
        assert.strictEqual(less(again.text), less(first.text))
      })
    ))
})

describe("What breaks", () => {
  it.live("is an INTERNAL_ERROR that says nothing of the inside", () =>
    Effect.gen(function*() {
      const { dispose, send } = webHandler("acme", {
        ...(yield* BudgetAuthority.BudgetAuthority),
        balances: () => Effect.die(new Error("the password is hunter2")),
        reservations: () => Effect.fail(new InternalError({ reason: "the store is corrupt", retryAfterMs: 5 }))
      })
      const broken = yield* send("GET", "/v1/balances?tenant=acme")
      assert.strictEqual(broken.status, 500)
      assert.strictEqual(broken.body["error"], "INTERNAL_ERROR")
      assert.notInclude(broken.text, "hunter2")
      assert.match(broken.headers.get("x-request-id") ?? "", uuid)
      const failed = yield* send("GET", "/v1/reservations")
      assert.deepStrictEqual([failed.status, failed.body["error"]], [500, "INTERNAL_ERROR"])
      yield* dispose
    }).pipe(
      Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [] }))
    ))

  it.live("on a route of somebody else is answered as they like, and else the same way", () =>
    Effect.gen(function*() {
      class Teapot extends Data.TaggedError("Teapot") {
        [HttpServerRespondable.symbol]() {
          return Effect.succeed(HttpServerResponse.text("short and stout", { status: 418 }))
        }
      }
      const routes = Layer.mergeAll(
        Handlers.layer({ authenticate: () => Effect.fail(new Unauthorized({})) }),
        HttpRouter.add("GET", "/teapot", Effect.suspend(() => Effect.fail(new Teapot()))),
        HttpRouter.add("GET", "/broken", Effect.die(new Error("hunter2")))
      ).pipe(Layer.provideMerge(Logger.layer([])))
      const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
      const get = (path: string) =>
        Effect.promise(async () => {
          const response = await handler(new Request(`http://localhost${path}`))
          assert.match(response.headers.get("x-request-id") ?? "", uuid)
          return [response.status, await response.text()] as const
        })
      assert.deepStrictEqual(yield* get("/teapot"), [418, "short and stout"])
      const [status, text] = yield* get("/broken")
      assert.strictEqual(status, 500)
      assert.include(text, "INTERNAL_ERROR")
      assert.notInclude(text, "hunter2")
      yield* Effect.promise(dispose)
    }))
})

describe("Evidence", () => {
  const id = "ab".repeat(32)
  const envelope = {
    schema_version: "cycles-evidence/v0.1" as const,
    artifact_type: "reserve" as const,
    server_id: "https://cycles.test/v1",
    signer_did: "00",
    issued_at_ms: 5,
    payload: { reserve: { amount: 9_007_199_254_740_993n } },
    evidence_id: id,
    signature: "cd".repeat(64),
    more: [1]
  }
  const keys = {
    keys: [{
      kty: "OKP" as const,
      crv: "Ed25519" as const,
      x: "AA",
      kid: "k",
      cycles_nbf_ms: 0,
      cycles_exp_ms: null,
      more: true
    }]
  }

  it.live("is served to anyone, as it was signed", () =>
    withLedger(
      (send) =>
        Effect.gen(function*() {
          const headers = { "x-cycles-api-key": "" }
          const found = yield* send("GET", `/v1/evidence/${id}`, { headers })
          assert.strictEqual(found.status, 200)
          assert.include(found.headers.get("cache-control"), "immutable")
          assert.include(found.text, "9007199254740993")
          assert.sameMembers(Object.keys(found.body), Object.keys(envelope))
          assert.strictEqual((yield* send("GET", `/v1/evidence/${"0".repeat(64)}`, { headers })).status, 404)
          assert.strictEqual((yield* send("GET", "/v1/evidence/short", { headers })).status, 400)
          const jwks = yield* send("GET", "/v1/.well-known/cycles-jwks.json", { headers })
          assert.deepStrictEqual(jwks.body, keys)
          assert.notInclude(jwks.headers.get("cache-control"), "immutable")
        }),
      {
        evidence: (asked) => Effect.succeed(asked === id ? Option.some(envelope) : Option.none()),
        evidenceKeys: Effect.succeed(keys)
      }
    ))

  it.live("is not served where there is none", () =>
    withLedger((send) =>
      Effect.gen(function*() {
        for (const path of [`/v1/evidence/${id}`, "/v1/.well-known/cycles-jwks.json"]) {
          const answer = yield* send("GET", path)
          assert.deepStrictEqual([answer.status, answer.body["error"]], [404, "NOT_FOUND"])
        }
      })
    ))

  it.live("comes with the contract where that is asked for", () =>
    withLedger(
      (send) =>
        Effect.gen(function*() {
          const answer = yield* send("GET", "/openapi.json")
          assert.strictEqual(answer.body["openapi"], "3.1.0")
        }),
      { openapiPath: "/openapi.json" }
    ))
})

describe("On a socket", () => {
  const serve = Effect.gen(function*() {
    const node = createServer()
    const spans: Array<Tracer.NativeSpan> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const authority = yield* BudgetAuthority.BudgetAuthority
    yield* Layer.build(
      Handlers.serve({
        maxRequestBytes: 1_000,
        authenticate: (key) =>
          Redacted.value(key) === apiKey
            ? Effect.succeed({ tenant: "acme", authority })
            : Effect.fail(new Unauthorized({}))
      }).pipe(
        Layer.provide(NodeHttpServer.layer(() => node, { port: 0, host: "127.0.0.1" })),
        Layer.provide(Layer.succeed(Tracer.Tracer, tracer))
      )
    )
    return { port: (node.address() as AddressInfo).port, spans }
  })

  const ledger = Ledger.layerMemory({
    tenant: "acme",
    budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }]
  })

  it.live("keeps the key out of its spans", () =>
    Effect.gen(function*() {
      const { port, spans } = yield* serve
      const response = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/v1/balances?tenant=acme`, { headers: { "X-Cycles-API-Key": apiKey } })
      )
      assert.strictEqual(response.status, 200)
      yield* Effect.promise(() => response.text())
      yield* Effect.sleep("20 millis")
      const server = spans.find(({ kind }) => kind === "server")
      assert.isDefined(server)
      const attributes = JSON.stringify([...server?.attributes ?? []])
      assert.notInclude(attributes, apiKey)
      assert.include(attributes, "/v1/balances")
    }).pipe(Effect.provide(ledger)))

  it.live("answers a body that does not say how long it is, and is too long", () =>
    Effect.gen(function*() {
      const { port } = yield* serve
      const head = yield* Effect.callback<string>((resume) => {
        const socket = connect(port, "127.0.0.1", () => {
          socket.write(
            `POST /v1/reservations HTTP/1.1\r\nHost: x\r\nX-Cycles-API-Key: ${apiKey}\r\n` +
              "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
          )
          for (let i = 0; i < 4; i++) socket.write(`200\r\n${"[".repeat(512)}\r\n`)
          socket.write("0\r\n\r\n")
        })
        let text = ""
        socket.on("data", (chunk) => {
          text += chunk.toString()
          if (text.includes("}")) {
            socket.destroy()
            resume(Effect.succeed(text))
          }
        })
      })
      assert.include(head, "HTTP/1.1 400")
      assert.include(head, "longer than 1000 bytes")
    }).pipe(Effect.provide(ledger)))
})
