import { GovernanceClient } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import { Governance } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { admin, adminKey, keyOf, layer, outcome, send, Server } from "./support.ts"

const operators = [
  ["POST", "/v1/admin/tenants", { tenant_id: "gamma", name: "Gamma" }],
  ["GET", "/v1/admin/tenants", undefined],
  ["GET", "/v1/admin/tenants/acme", undefined],
  ["PATCH", "/v1/admin/tenants/acme", { name: "x" }],
  ["POST", "/v1/admin/api-keys", { tenant_id: "acme", name: "x" }],
  ["GET", "/v1/admin/api-keys", undefined],
  ["PATCH", "/v1/admin/api-keys/key_1", { name: "x" }],
  ["DELETE", "/v1/admin/api-keys/key_1", undefined],
  ["POST", "/v1/auth/validate", { key_secret: "x" }],
  ["PATCH", "/v1/admin/budgets?scope=tenant:acme&unit=TOKENS", {}],
  ["POST", "/v1/admin/budgets/freeze?scope=tenant:acme&unit=TOKENS", undefined],
  ["POST", "/v1/admin/budgets/unfreeze?scope=tenant:acme&unit=TOKENS", undefined]
] as const

const everyones = [
  ["POST", "/v1/admin/budgets", {}],
  ["GET", "/v1/admin/budgets", undefined],
  ["GET", "/v1/admin/budgets/lookup?scope=tenant:acme&unit=TOKENS", undefined],
  ["POST", "/v1/admin/budgets/fund?scope=tenant:acme&unit=TOKENS", {}],
  ["POST", "/v1/admin/policies", {}],
  ["GET", "/v1/admin/policies", undefined],
  ["PATCH", "/v1/admin/policies/pol_1", {}],
  ["GET", "/v1/auth/introspect", undefined]
] as const

const ask = (
  [method, path, body]: readonly [string, string, object | undefined],
  headers: { readonly [name: string]: string }
) => send(method, path, { headers, ...(body === undefined ? undefined : { body }) })

describe("Access", () => {
  it.live("takes a good key, and says nothing of what a request would have been without one", () =>
    Effect.gen(function*() {
      const { key_secret } = yield* keyOf("acme", { permissions: ["admin:read", "admin:write"] })
      for (const request of operators) {
        for (
          const headers of [
            {},
            { "x-admin-api-key": "" },
            { "x-admin-api-key": "wrong" },
            { "x-cycles-api-key": key_secret },
            { "x-admin-api-key": key_secret },
            { "x-cycles-api-key": adminKey }
          ]
        ) {
          const answer = yield* ask(request, headers)
          assert.strictEqual(outcome(answer), "401 UNAUTHORIZED", `${request[0]} ${request[1]}`)
          assert.notInclude(answer.text, adminKey)
          assert.notInclude(answer.text, key_secret)
        }
      }
      for (const request of everyones) {
        for (
          const headers of [
            {},
            { "x-cycles-api-key": "" },
            { "x-cycles-api-key": "wrong" },
            { "x-cycles-api-key": adminKey },
            { "x-admin-api-key": key_secret },
            // An admin key that is sent is the one that counts.
            { "x-admin-api-key": "wrong", "x-cycles-api-key": key_secret }
          ]
        ) {
          assert.strictEqual(outcome(yield* ask(request, headers)), "401 UNAUTHORIZED", `${request[0]} ${request[1]}`)
        }
      }
      const both = { "x-admin-api-key": adminKey, "x-cycles-api-key": "wrong" }
      const answer = yield* ask(["GET", "/v1/auth/introspect", undefined], both)
      assert.strictEqual(answer.body["auth_type"], "admin")
    }).pipe(Effect.provide(layer)))

  it.live("ends with the key", () =>
    Effect.gen(function*() {
      const client = yield* admin
      const { key_id, key_secret } = yield* keyOf("acme", {})
      const list = Effect.map(
        ask(["GET", "/v1/admin/budgets", undefined], { "x-cycles-api-key": key_secret }),
        outcome
      )
      assert.strictEqual(yield* list, "200")
      yield* client.revokeApiKey(key_id)
      assert.strictEqual(yield* list, "401 UNAUTHORIZED")
    }).pipe(Effect.provide(layer)))

  it.live("is written down, done or refused, with the request it came by", () =>
    Effect.gen(function*() {
      const { asOperator } = yield* Governance.Governance
      const created = yield* send("POST", "/v1/admin/tenants", { body: { tenant_id: "acme", name: "Acme" } })
      const refused = yield* send("POST", "/v1/admin/tenants", { body: { tenant_id: "acme", name: "Other" } })
      const acts = yield* asOperator({ actor: "auditor" }).acts("acme")
      assert.deepStrictEqual(
        acts.map(({ actor, errorCode, operation, requestId, traceId }) => ({
          actor,
          errorCode,
          operation,
          requestId,
          traceId
        })),
        [created, refused].map(({ headers }, index) => ({
          actor: "ops",
          errorCode: index === 0 ? undefined : "DUPLICATE_RESOURCE",
          operation: "createTenant",
          requestId: headers.get("x-request-id") ?? "",
          traceId: headers.get("x-cycles-trace-id") ?? ""
        }))
      )
    }).pipe(Effect.provide(layer)))
})

describe("Every answer", () => {
  it.live("names its request and its trace", () =>
    Effect.gen(function*() {
      const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
      const answers = [
        yield* send("GET", "/v1/admin/tenants"),
        yield* send("GET", "/v1/admin/tenants/nobody"),
        yield* send("POST", "/v1/admin/tenants", { body: "{" }),
        yield* send("GET", "/v1/admin/tenants", { headers: {} }),
        yield* send("POST", "/v1/admin/webhooks", { body: {} }),
        yield* send("DELETE", "/v1/admin/tenants/acme")
      ]
      for (const { body, headers, status } of answers) {
        assert.match(headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/)
        assert.match(headers.get("x-cycles-trace-id") ?? "", /^[0-9a-f]{32}$/)
        assert.strictEqual(headers.get("content-type"), "application/json")
        if (status < 400) continue
        assert.strictEqual(body["request_id"], headers.get("x-request-id"))
        assert.strictEqual(body["trace_id"], headers.get("x-cycles-trace-id"))
      }
      assert.deepStrictEqual(answers.map(outcome), [
        "200",
        "404 TENANT_NOT_FOUND",
        "400 INVALID_REQUEST",
        "401 UNAUTHORIZED",
        "404 NOT_FOUND",
        "404 NOT_FOUND"
      ])
      const traced = yield* send("GET", "/v1/admin/tenants", {
        headers: { "x-admin-api-key": adminKey, traceparent: `00-${trace}-00f067aa0ba902b7-01` }
      })
      assert.strictEqual(traced.headers.get("x-cycles-trace-id"), trace)
    }).pipe(Effect.provide(layer)))
})

describe("The client", () => {
  it.live("reads errors as those of the core, with the server's word for a conflict", () =>
    Effect.gen(function*() {
      const client = yield* admin
      yield* client.createTenant({ tenant_id: "acme", name: "acme" })
      const other = yield* Effect.flip(client.createTenant({ tenant_id: "acme", name: "Other" }))
      assert.deepInclude(other, { _tag: "InvalidRequest", details: { conflict: "DUPLICATE_RESOURCE" } })
      assert.strictEqual((yield* Effect.flip(client.getTenant("nobody")))._tag, "NotFound")
      const name = { scope: "tenant:acme", unit: "TOKENS" } as const
      assert.strictEqual((yield* Effect.flip(client.lookupBudget(name)))._tag, "BudgetNotFound")
      const { key_secret } = yield* keyOf("acme", { permissions: ["budgets:write"] })
      const { url } = yield* Server
      const own = yield* GovernanceClient.make({ baseUrl: url, apiKey: Redacted.make(key_secret) })
      const forbidden = yield* Effect.flip(own.listBudgets())
      assert.deepInclude(forbidden, { _tag: "Forbidden", details: { permission: "budgets:read" } })
      assert.isDefined(forbidden.requestId)
      assert.strictEqual((yield* Effect.flip(own.listTenants()))._tag, "Unauthorized")
      for (const id of ["", ".", "..", "\ud800"]) {
        assert.deepInclude(yield* Effect.flip(client.getTenant(id)), { _tag: "InvalidRequest", field: "id" })
      }
      // It travels as it is, and is none.
      assert.deepInclude(yield* Effect.flip(client.getTenant("a/b?c#d")), {
        _tag: "InvalidRequest",
        field: "tenant_id"
      })
      const bad = yield* Effect.flip(client.listTenants({ limit: 0 }))
      assert.strictEqual(bad._tag, "InvalidRequest")
    }).pipe(Effect.provide(layer)))
})
