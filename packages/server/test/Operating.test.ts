import { Docs, Server } from "@effect-cycles/server"
import { assert, describe, it } from "@effect/vitest"
import * as GovernanceModule from "effect-cycles/ledger/Governance"
import * as LedgerModule from "effect-cycles/ledger/Ledger"
import { LedgerStore, StoreError } from "effect-cycles/ledger/LedgerStore"
import * as LedgerStoreMemory from "effect-cycles/ledger/LedgerStoreMemory"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { commit, reserve, send, sendTo } from "./support/requests.ts"
import * as Servers from "./support/servers.ts"

const withServer = <A, E>(
  test: Effect.Effect<A, E, Server.Server | GovernanceModule.Governance>,
  options?: Parameters<typeof Servers.layer>[0]
) => Effect.provide(test, Layer.provideMerge(Servers.layer(options), Logger.layer([])))

describe("Health", () => {
  it.live("is up on every path that clients ask for", () =>
    withServer(Effect.gen(function*() {
      const paths = [
        "/health/live",
        "/health/ready",
        ...["", "/liveness", "/readiness"].map((p) => `/actuator/health${p}`)
      ]
      for (const path of paths) {
        const { body, headers, status } = yield* send("GET", path)
        assert.strictEqual(status, 200, path)
        assert.strictEqual(body["status"], "UP", path)
        assert.match(headers.get("x-request-id") ?? "", /./)
      }
    })))

  it.live("is alive and not ready while the store does not answer", () => {
    const broken = Layer.effect(
      LedgerStore,
      Effect.map(LedgerStore, (store) => ({
        ...store,
        tenants: () => Effect.fail(new StoreError({ outcome: "none", cause: new Error("gone") }))
      }))
    ).pipe(Layer.provide(LedgerStoreMemory.layer))
    const key = Redacted.make("thirty-two or more secret characters")
    const layer = Server.layer({ port: 0, adminKey: key }).pipe(
      Layer.provideMerge(Layer.orDie(GovernanceModule.layer({ peppers: [key] }))),
      Layer.provideMerge(LedgerModule.layer()),
      Layer.provideMerge(broken),
      Layer.provideMerge(Logger.layer([]))
    )
    return Effect.gen(function*() {
      assert.strictEqual((yield* send("GET", "/health/live")).status, 200)
      const { body, status } = yield* send("GET", "/health/ready")
      assert.strictEqual(status, 503)
      assert.strictEqual(body["store"], "DOWN")
    }).pipe(Effect.provide(layer))
  })
})

describe("Metrics", () => {
  it.live("count requests, decisions, denials and transactions, and name nobody", () =>
    withServer(Effect.gen(function*() {
      const key = yield* Servers.furnish()
      const reserved = yield* send("POST", "/v1/reservations", { key, body: reserve(10) })
      const path = `/v1/reservations/${String(reserved.body["reservation_id"])}/commit`
      yield* send("POST", path, { key, body: commit(5) })
      assert.strictEqual((yield* send("POST", "/v1/reservations", { key, body: reserve(1_000_000) })).status, 409)
      yield* send("POST", "/v1/decide", { key, body: reserve(1_000_000) })
      yield* send("GET", "/v1/balances?tenant=acme", { key: "wrong" })
      yield* send("GET", "/nowhere")
      const { headers, text } = yield* send("GET", "/metrics")
      assert.strictEqual(headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
      const lines = text.split("\n")
      for (
        const line of [
          "cycles_http_requests_total{operation=\"createReservation\",status=\"200\"} 1",
          "cycles_http_requests_total{operation=\"createReservation\",status=\"409\"} 1",
          "cycles_http_requests_total{operation=\"commitReservation\",status=\"200\"} 1",
          "cycles_http_requests_total{operation=\"getBalances\",status=\"401\"} 1",
          "cycles_http_requests_total{operation=\"other\",status=\"404\"} 1",
          "cycles_http_request_duration_seconds_count{operation=\"createReservation\"} 2",
          "cycles_decisions_total{operation=\"reserve\",decision=\"ALLOW\"} 1",
          "cycles_decisions_total{operation=\"reserve\",decision=\"DENY\"} 1",
          "cycles_denials_total{operation=\"reserve\",reason=\"BUDGET_EXCEEDED\"} 1",
          "cycles_denials_total{operation=\"decide\",reason=\"BUDGET_EXCEEDED\"} 1",
          "cycles_auth_refusals_total{reason=\"bad_key\"} 1",
          "cycles_http_requests_in_flight 1"
        ]
      ) assert.include(lines, line)
      assert.match(text, /^cycles_store_transactions_total\{outcome="committed"\} [1-9]/m)
      assert.match(text, /^cycles_ledger_commands_total [1-9]/m)
      assert.match(text, /^cycles_ledger_batches_total [1-9]/m)
      assert.include(lines, "cycles_ledger_commands_waiting 0")
      assert.match(text, /^process_resident_memory_bytes [1-9]\d{6,}$/m)
      assert.notInclude(text, "acme")
      // Every line is one that Prometheus reads.
      for (const line of lines.filter((line) => line !== "")) {
        assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? [0-9.e+-]+)$/)
      }
    })))

  it.live("of two servers in one process are apart", () =>
    withServer(Effect.gen(function*() {
      yield* send("GET", "/v1/nothing")
      const other = yield* withServer(send("GET", "/metrics"))
      assert.notInclude(other.text, "operation=\"other\"")
    })))
})

describe("The contract", () => {
  it.live("is a document of both planes and a page that needs no network", () =>
    withServer(Effect.gen(function*() {
      const { body } = yield* send("GET", "/openapi.json")
      const paths = Object.keys(body["paths"])
      assert.includeMembers(paths, ["/v1/reservations", "/v1/admin/tenants", "/v1/admin/budgets", "/v1/decide"])
      // What is referred to is there.
      const schemas = new Set(Object.keys(body["components"]["schemas"]))
      for (const [, name] of JSON.stringify(body).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
        assert.isTrue(schemas.has(name ?? ""), name)
      }
      const { headers, text } = yield* send("GET", "/docs")
      assert.match(headers.get("content-type") ?? "", /^text\/html/)
      assert.include(headers.get("content-security-policy") ?? "", "default-src 'none'")
      for (const path of paths) assert.include(text, `<code>${path}</code>`)
      assert.notMatch(text, /<(script|link|img|iframe)|(src|href)="(?!#|\/openapi\.json")|@import|url\(/)
    })))

  it("keeps apart what two documents mean by one name", () => {
    const of = (path: string, type: string) => ({
      paths: { [path]: { get: { schema: { $ref: "#/components/schemas/A" } } } },
      components: { schemas: { A: { type }, B: { items: { $ref: "#/components/schemas/A" } } } }
    })
    const joined = JSON.stringify(Docs.join([of("/a", "string"), of("/b", "integer"), of("/c", "string")]))
    assert.include(joined, `"A":{"type":"string"}`)
    assert.include(joined, `"/a":{"get":{"schema":{"$ref":"#/components/schemas/A"}}}`)
    const [, name] = /"\/b":\{"get":\{"schema":\{"\$ref":"#\/components\/schemas\/(\w+)"\}\}\}/.exec(joined) ?? []
    assert.notStrictEqual(name, "A")
    assert.include(joined, `"${name}":{"type":"integer"}`)
    assert.include(joined, `"/c":{"get":{"schema":{"$ref":"#/components/schemas/A"}}}`)
  })

  it("lets nothing of a document become markup", () => {
    const page = Docs.page({
      info: { title: "<script>alert(1)</script>" },
      paths: { "/<b>": { get: { operationId: "\"x" } } }
    })
    assert.notInclude(page, "<script>")
    assert.notInclude(page, "/<b>")
    assert.notInclude(page, "id=\"\"x")
  })
})

describe("Two ports", () => {
  it.live("have balances of their own plane each", () =>
    withServer(
      Effect.gen(function*() {
        const key = yield* Servers.furnish()
        const { adminUrl = "", url } = yield* Server.Server
        const both = [url, adminUrl]
        const balances = yield* Effect.forEach(both, (at) =>
          sendTo(at, "GET", "/v1/balances?tenant=acme", {
            key,
            plane: at === adminUrl ? "governance" : "runtime"
          }))
        assert.deepStrictEqual(balances.map(({ status }) => status), [200, 200])
        assert.notProperty(balances[0]?.body["balances"][0], "ledger_id")
        assert.notDeepEqual(
          Object.keys(balances[0]!.body["balances"][0]),
          Object.keys(balances[1]!.body["balances"][0])
        )
        for (const at of both) {
          const tenants = yield* sendTo(at, "GET", "/v1/admin/tenants", { adminKey: Servers.adminKey })
          assert.strictEqual(tenants.status, 200)
        }
        assert.strictEqual((yield* sendTo(adminUrl, "POST", "/v1/reservations", { key, body: reserve(1) })).status, 404)
      }),
      { adminPort: 0 }
    ))

  it.live("leave nothing of governance on the public one where that is asked for", () =>
    withServer(
      Effect.gen(function*() {
        const { adminUrl = "", url } = yield* Server.Server
        const { adminKey } = Servers
        for (const path of ["/v1/admin/tenants", "/v1/admin/history/verify?tenant_id=acme", "/metrics"]) {
          assert.strictEqual((yield* sendTo(url, "GET", path, { adminKey })).status, 404, path)
        }
        assert.strictEqual((yield* sendTo(adminUrl, "GET", "/v1/admin/tenants", { adminKey })).status, 200)
        assert.strictEqual((yield* sendTo(adminUrl, "GET", "/metrics")).status, 200)
        assert.strictEqual((yield* sendTo(adminUrl, "GET", "/health/ready")).status, 200)
        assert.notProperty((yield* sendTo(url, "GET", "/openapi.json")).body["paths"], "/v1/admin/tenants")
      }),
      { adminPort: 0, governance: "admin" }
    ))
})
