import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { admin, keyOf, layer, outcome, send, tenant } from "./support.ts"

const register = Effect.fnUntraced(function*(...tenants: ReadonlyArray<string>) {
  const client = yield* admin
  for (const tenant_id of tenants) yield* client.createTenant({ tenant_id, name: tenant_id })
  return client
})

describe("Policies", () => {
  it.live("are created, listed and changed", () =>
    Effect.gen(function*() {
      const client = yield* register("acme")
      const created = yield* client.createPolicy({
        tenant_id: "acme",
        name: "eng",
        description: "what engineers may do",
        scope_pattern: "tenant:acme/workspace:eng/*",
        priority: 10,
        caps: { maxTokens: 4_096, toolDenylist: ["shell"] },
        commit_overage_policy: "REJECT",
        reservation_ttl_override: { default_ttl_ms: 5_000, max_ttl_ms: 60_000, max_extensions: 2 },
        rate_limits: { max_reservations_per_minute: 60, max_commits_per_minute: 90 },
        denied_action_kinds: ["code.exec.shell"],
        effective_from: Date.UTC(2026, 0, 1),
        effective_until: Date.UTC(2030, 0, 1)
      })
      const { created_at: _, policy_id, updated_at: __, ...rest } = created
      assert.deepStrictEqual(rest, {
        name: "eng",
        description: "what engineers may do",
        scope_pattern: "tenant:acme/workspace:eng/*",
        priority: 10,
        caps: { maxTokens: 4_096, toolDenylist: ["shell"] },
        commit_overage_policy: "REJECT",
        reservation_ttl_override: { default_ttl_ms: 5_000, max_ttl_ms: 60_000, max_extensions: 2 },
        rate_limits: { max_reservations_per_minute: 60, max_commits_per_minute: 90 },
        denied_action_kinds: ["code.exec.shell"],
        status: "ACTIVE",
        effective_from: Date.UTC(2026, 0, 1),
        effective_until: Date.UTC(2030, 0, 1)
      })
      assert.deepStrictEqual((yield* client.listPolicies({ tenant_id: "acme" })).policies, [created])

      const changed = yield* client.updatePolicy(policy_id, {
        name: "engineers",
        priority: 3,
        caps: { cooldownMs: 100 },
        reservation_ttl_override: { max_ttl_ms: 30_000 },
        rate_limits: {},
        denied_action_kinds: [],
        allowed_action_kinds: ["llm.completion"],
        status: "DISABLED"
      })
      assert.deepStrictEqual(changed.caps, { cooldownMs: 100 })
      assert.deepStrictEqual(changed.reservation_ttl_override, { max_ttl_ms: 30_000 })
      assert.notProperty(changed, "rate_limits")
      assert.notProperty(changed, "denied_action_kinds")
      assert.deepStrictEqual(changed.allowed_action_kinds, ["llm.completion"])
      assert.include(changed, { name: "engineers", status: "DISABLED", priority: 3, commit_overage_policy: "REJECT" })
      assert.strictEqual(changed.description, "what engineers may do")
    }).pipe(Effect.provide(layer)))

  it.live("without lists of action kinds are shown without them, as version 0.1.25 has it", () =>
    Effect.gen(function*() {
      yield* register("acme")
      const answer = yield* send("POST", "/v1/admin/policies", {
        body: { tenant_id: "acme", name: "p", scope_pattern: "tenant:acme/*", caps: { max_tokens: 10 } }
      })
      assert.strictEqual(answer.status, 201)
      assert.sameMembers(Object.keys(answer.body), [
        "policy_id",
        "name",
        "scope_pattern",
        "priority",
        "caps",
        "status",
        "created_at",
        "updated_at"
      ])
      assert.deepStrictEqual(answer.body["caps"], { max_tokens: 10 })
    }).pipe(Effect.provide(layer)))

  it.live("are refused where they make no sense", () =>
    Effect.gen(function*() {
      const client = yield* register("acme")
      const create = (change: object) =>
        Effect.map(
          send("POST", "/v1/admin/policies", {
            body: { tenant_id: "acme", name: "p", scope_pattern: "tenant:acme/*", ...change }
          }),
          outcome
        )
      assert.strictEqual(yield* create({}), "201")
      assert.strictEqual(yield* create({}), "409 DUPLICATE_RESOURCE")
      const bad: ReadonlyArray<object> = [
        { tenant_id: undefined },
        { name: undefined },
        { scope_pattern: undefined },
        { scope_pattern: "no such pattern" },
        { priority: -1 },
        { priority: 1.5 },
        { caps: { max_tokens: -1 } },
        { caps: { max_words: 1 } },
        { commit_overage_policy: "NEVER" },
        { reservation_ttl_override: { default_ttl_ms: 999 } },
        { reservation_ttl_override: { default_ttl_ms: 2_000, max_ttl_ms: 1_000 } },
        { reservation_ttl_override: { colour: 1 } },
        { rate_limits: { max_reservations_per_minute: 0 } },
        { rate_limits: { per_hour: 1 } },
        { allowed_action_kinds: ["a"], denied_action_kinds: ["b"] },
        { allowed_action_kinds: ["llm.*"] },
        { allowed_action_kinds: ["x".repeat(65)] },
        { effective_from: "2026-02-01T00:00:00Z", effective_until: "2026-01-01T00:00:00Z" },
        { effective_from: 1 },
        { status: "ACTIVE" },
        { action_quotas: [] }
      ]
      for (const change of bad) {
        assert.strictEqual(yield* create({ name: "q", ...change }), "400 INVALID_REQUEST", JSON.stringify(change))
      }
      assert.strictEqual(
        yield* create({ name: "q", tenant_id: "nobody", scope_pattern: "tenant:nobody/*" }),
        "400 TENANT_NOT_FOUND"
      )
      const patch = (id: string, body: object) =>
        Effect.map(send("PATCH", `/v1/admin/policies/${id}`, { body }), outcome)
      assert.strictEqual(yield* patch("pol_nobody", {}), "404 NOT_FOUND")
      const { policies } = yield* client.listPolicies({ tenant_id: "acme" })
      const id = policies[0]?.policy_id ?? ""
      assert.strictEqual(yield* patch(id, { scope_pattern: "tenant:acme" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* patch(id, { status: "GONE" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* patch(id, { name: null }), "400 INVALID_REQUEST")
      assert.strictEqual(
        yield* patch(id, { denied_action_kinds: ["a"], allowed_action_kinds: ["b"] }),
        "400 INVALID_REQUEST"
      )
      assert.deepStrictEqual((yield* client.listPolicies({ tenant_id: "acme" })).policies, policies)
      yield* client.updateTenant("acme", { status: "CLOSED" })
      assert.strictEqual(yield* patch(id, { priority: 1 }), "409 TENANT_CLOSED")
      assert.strictEqual(yield* create({ name: "q" }), "409 TENANT_CLOSED")
    }).pipe(Effect.provide(layer)))

  it.live("are found by pattern, status and action kind, a page at a time", () =>
    Effect.gen(function*() {
      const client = yield* register("acme", "beta")
      const create = (name: string, change: object = {}) =>
        client.createPolicy({ tenant_id: "acme", name, scope_pattern: `tenant:acme/agent:${name}`, ...change })
      yield* create("a", { allowed_action_kinds: ["payment.charge", "llm.completion"] })
      yield* create("b", { denied_action_kinds: ["payment.charge"] })
      const { policy_id } = yield* create("c")
      yield* client.updatePolicy(policy_id, { status: "DISABLED" })
      yield* client.createPolicy({ tenant_id: "beta", name: "a", scope_pattern: "tenant:beta/*" })

      type Query = Parameters<typeof client.listPolicies>[0]
      const list = (query: Query) =>
        Effect.map(
          client.listPolicies({ tenant_id: "acme", ...query }),
          ({ policies }) => policies.map(({ name }) => name).join()
        )
      assert.strictEqual(yield* list({}), "a,b,c")
      assert.strictEqual(yield* list({ tenant_id: "beta" }), "a")
      assert.strictEqual(yield* list({ tenant_id: "nobody" }), "")
      assert.strictEqual(yield* list({ scope_pattern: "tenant:acme/agent:b" }), "b")
      assert.strictEqual(yield* list({ status: "DISABLED" }), "c")
      assert.strictEqual(yield* list({ references_action_kind: "payment.charge" }), "a,b")
      const first = yield* client.listPolicies({ tenant_id: "acme", limit: 2 })
      assert.strictEqual(first.has_more, true)
      assert.strictEqual(yield* list({ limit: 2, cursor: first.next_cursor ?? "" }), "c")

      const ask = (query: string) => Effect.map(send("GET", `/v1/admin/policies${query}`), outcome)
      assert.strictEqual(yield* ask(""), "400 INVALID_REQUEST")
      assert.strictEqual(yield* ask("?tenant_id=acme&has_action_quotas=maybe"), "200")
      assert.strictEqual(yield* ask("?tenant_id=acme&limit=0"), "400 INVALID_REQUEST")
      assert.strictEqual(yield* ask(`?tenant_id=acme&references_action_kind=${"x".repeat(65)}`), "400 INVALID_REQUEST")
      assert.strictEqual(yield* ask(`?tenant_id=beta&limit=2&cursor=${first.next_cursor}`), "400 INVALID_REQUEST")
    }).pipe(Effect.provide(layer)))

  it.live("are a tenant's own, as far as its key lets it; it learns nothing of another's", () =>
    Effect.gen(function*() {
      const client = yield* register("acme", "beta")
      const foreign = yield* client.createPolicy({ tenant_id: "beta", name: "p", scope_pattern: "tenant:beta/*" })
      const { key_secret } = yield* keyOf("acme", {})
      const own = yield* tenant(key_secret)
      const created = yield* own.createPolicy({ name: "p", scope_pattern: "tenant:acme/agent:a" })
      yield* own.createPolicy({ name: "q", scope_pattern: "tenant:acme/agent:b" })
      assert.strictEqual((yield* own.updatePolicy(created.policy_id, { priority: 4 })).priority, 4)
      assert.lengthOf((yield* own.listPolicies({ tenant_id: "beta" })).policies, 2)

      const ask = (secret: string, method: string, path: string, body?: object) =>
        Effect.map(
          send(method, path, {
            headers: { "x-cycles-api-key": secret },
            ...(body === undefined ? undefined : { body })
          }),
          outcome
        )
      const path = "/v1/admin/policies"
      assert.strictEqual(
        yield* ask(key_secret, "PATCH", `${path}/${foreign.policy_id}`, { priority: 1 }),
        "404 NOT_FOUND"
      )
      assert.strictEqual(
        yield* ask(key_secret, "POST", path, { tenant_id: "acme", name: "x", scope_pattern: "tenant:acme/*" }),
        "400 INVALID_REQUEST"
      )
      // A pattern that stands for another tenant's scopes is no pattern of this one.
      assert.notStrictEqual(
        yield* ask(key_secret, "POST", path, { name: "x", scope_pattern: "tenant:beta/*" }),
        "201"
      )
      const reader = yield* keyOf("acme", { permissions: ["policies:read"] })
      assert.strictEqual(
        yield* ask(reader.key_secret, "PATCH", `${path}/${created.policy_id}`, { priority: 1 }),
        "403 INSUFFICIENT_PERMISSIONS"
      )
      assert.strictEqual(yield* ask(reader.key_secret, "GET", path), "200")
      const budgets = yield* keyOf("acme", { permissions: ["budgets:read"] })
      assert.strictEqual(yield* ask(budgets.key_secret, "GET", path), "403 INSUFFICIENT_PERMISSIONS")
      const only = yield* keyOf("acme", { scope_filter: ["agent:b"] })
      assert.strictEqual(
        yield* ask(only.key_secret, "PATCH", `${path}/${created.policy_id}`, { priority: 1 }),
        "403 FORBIDDEN"
      )
      const seen = yield* (yield* tenant(only.key_secret)).listPolicies()
      assert.deepStrictEqual(seen.policies.map(({ name }) => name), ["q"])
    }).pipe(Effect.provide(layer)))
})
