import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { admin, keyOf, layer, outcome, send, tenant } from "./support.ts"

describe("API keys", () => {
  it.live("are made, listed, changed and revoked", () =>
    Effect.gen(function*() {
      const client = yield* admin
      yield* client.createTenant({ tenant_id: "acme", name: "Acme" })
      const now = yield* Clock.currentTimeMillis
      const made = yield* client.createApiKey({
        tenant_id: "acme",
        name: "production",
        description: "what runs",
        permissions: ["reservations:create", "balances:read"],
        scope_filter: ["agent:*"],
        expires_at: now + 3_600_000,
        metadata: { team: "a", size: 3 }
      })
      assert.match(made.key_secret, /^cyc_live_/)
      assert.isTrue(made.key_secret.startsWith(made.key_prefix))
      assert.deepInclude(made, {
        tenant_id: "acme",
        permissions: ["reservations:create", "balances:read"],
        expires_at: now + 3_600_000
      })

      const { keys } = yield* client.listApiKeys({ tenant_id: "acme" })
      assert.deepStrictEqual(keys, [{
        key_id: made.key_id,
        tenant_id: "acme",
        key_prefix: made.key_prefix,
        name: "production",
        description: "what runs",
        permissions: ["reservations:create", "balances:read"],
        scope_filter: ["agent:*"],
        status: "ACTIVE",
        created_at: made.created_at,
        expires_at: now + 3_600_000,
        metadata: { team: "a", size: 3 }
      }])

      const changed = yield* client.updateApiKey(made.key_id, {
        name: "staging",
        permissions: ["budgets:read"],
        scope_filter: []
      })
      assert.deepInclude(changed, { name: "staging", permissions: ["budgets:read"], scope_filter: [] })
      assert.strictEqual(changed.description, "what runs")

      const revoked = yield* client.revokeApiKey(made.key_id, { reason: "it leaked & more" })
      assert.include(revoked, { status: "REVOKED", revoked_reason: "it leaked & more" })
      assert.isDefined(revoked.revoked_at)
      const again = yield* send("DELETE", `/v1/admin/api-keys/${made.key_id}`)
      assert.strictEqual(outcome(again), "409 KEY_REVOKED")
      const late = yield* send("PATCH", `/v1/admin/api-keys/${made.key_id}`, { body: { name: "x" } })
      assert.strictEqual(outcome(late), "409 KEY_REVOKED")
      assert.notProperty(late.body["details"], "conflict")
    }).pipe(Effect.provide(layer)))

  it.live("live 90 days and may do ten things when nobody says otherwise; the secret is shown once", () =>
    Effect.gen(function*() {
      const client = yield* admin
      yield* client.createTenant({ tenant_id: "acme", name: "Acme" })
      const made = yield* send("POST", "/v1/admin/api-keys", { body: { tenant_id: "acme", name: "k" } })
      assert.strictEqual(made.status, 201)
      assert.sameMembers(Object.keys(made.body), [
        "key_id",
        "key_secret",
        "key_prefix",
        "tenant_id",
        "permissions",
        "created_at",
        "expires_at"
      ])
      assert.lengthOf(made.body["permissions"], 10)
      const lifeMs = Date.parse(made.body["expires_at"]) - Date.parse(made.body["created_at"])
      assert.approximately(lifeMs, 90 * 86_400_000, 10_000)
      const list = yield* send("GET", "/v1/admin/api-keys")
      assert.notInclude(list.text, made.body["key_secret"])
      assert.notInclude(list.text, "hash")
    }).pipe(Effect.provide(layer)))

  it.live("are refused where tenant, time or permission is no good", () =>
    Effect.gen(function*() {
      const client = yield* admin
      yield* client.createTenant({ tenant_id: "acme", name: "Acme" })
      const create = (change: object) =>
        Effect.map(send("POST", "/v1/admin/api-keys", { body: { tenant_id: "acme", name: "k", ...change } }), outcome)
      assert.strictEqual(yield* create({ tenant_id: "nobody" }), "400 TENANT_NOT_FOUND")
      assert.strictEqual(yield* create({ expires_at: "2020-01-01T00:00:00Z" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ expires_at: "tomorrow" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ permissions: ["budgets:burn"] }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ scope_filter: ["team:x"] }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ colour: "red" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ name: "" }), "400 INVALID_REQUEST")
      yield* client.updateTenant("acme", { status: "SUSPENDED" })
      assert.strictEqual(yield* create({}), "403 FORBIDDEN")
      yield* client.updateTenant("acme", { status: "CLOSED" })
      assert.strictEqual(yield* create({}), "409 TENANT_CLOSED")
      for (const method of ["PATCH", "DELETE"]) {
        const answer = yield* send(method, "/v1/admin/api-keys/key_nobody", {
          ...(method === "PATCH" ? { body: {} } : undefined)
        })
        assert.strictEqual(outcome(answer), "404 NOT_FOUND")
      }
    }).pipe(Effect.provide(layer)))

  it.live("are found across tenants, filtered, searched, sorted and paged", () =>
    Effect.gen(function*() {
      const client = yield* admin
      const names = ["cherry", "apple", "banana"]
      for (const tenant_id of ["acme", "beta"]) {
        yield* client.createTenant({ tenant_id, name: tenant_id })
        for (const name of names) yield* client.createApiKey({ tenant_id, name: `${tenant_id} ${name}` })
      }
      const all = yield* client.listApiKeys()
      assert.deepStrictEqual(all.keys.map(({ tenant_id }) => tenant_id), [
        "acme",
        "acme",
        "acme",
        "beta",
        "beta",
        "beta"
      ])
      assert.isFalse(all.has_more)
      assert.notProperty(all, "next_cursor")

      const found = yield* client.listApiKeys({ search: "APPLE" })
      assert.deepStrictEqual(found.keys.map(({ name }) => name), ["acme apple", "beta apple"])
      const ofOne = yield* client.listApiKeys({ tenant_id: "beta", sort_by: "name", sort_dir: "asc" })
      assert.deepStrictEqual(ofOne.keys.map(({ name }) => name), ["beta apple", "beta banana", "beta cherry"])

      for (const sort_by of ["key_id", "name", "tenant_id", "status", "created_at", "expires_at"] as const) {
        for (const sort_dir of ["asc", "desc"] as const) {
          const whole = yield* client.listApiKeys({ sort_by, sort_dir })
          const pages: Array<string> = []
          let cursor: string | undefined
          do {
            const page = yield* client.listApiKeys({
              sort_by,
              sort_dir,
              limit: 4,
              ...(cursor === undefined ? {} : { cursor })
            })
            pages.push(...page.keys.map(({ key_id }) => key_id))
            cursor = page.next_cursor
            assert.strictEqual(page.has_more, cursor !== undefined)
          } while (cursor !== undefined)
          assert.deepStrictEqual(pages, whole.keys.map(({ key_id }) => key_id), `${sort_by} ${sort_dir}`)
          assert.lengthOf(new Set(pages), 6)
        }
      }
      yield* client.revokeApiKey(all.keys[0]?.key_id ?? "")
      assert.lengthOf((yield* client.listApiKeys({ status: "REVOKED" })).keys, 1)
      assert.lengthOf((yield* client.listApiKeys({ status: "ACTIVE" })).keys, 5)
      assert.lengthOf((yield* client.listApiKeys({ status: "EXPIRED" })).keys, 0)
      assert.lengthOf((yield* client.listApiKeys({ tenant_id: "nobody" })).keys, 0)
    }).pipe(Effect.provide(layer)))

  it.live("are looked into without being used", () =>
    Effect.gen(function*() {
      const client = yield* admin
      const made = yield* keyOf("acme", { permissions: ["budgets:read"], scope_filter: ["agent:*"] })
      const validate = (key_secret: string) => client.validateApiKey({ key_secret })
      assert.deepStrictEqual(yield* validate(made.key_secret), {
        valid: true,
        tenant_id: "acme",
        key_id: made.key_id,
        permissions: ["budgets:read"],
        scope_filter: ["agent:*"],
        expires_at: made.expires_at
      })
      for (const wrong of ["", "nonsense", `${made.key_secret}x`, made.key_secret.replace(/.$/, "!")]) {
        assert.deepStrictEqual(yield* validate(wrong), { valid: false, tenant_id: "", reason: "NOT_FOUND" })
      }
      const named = { valid: false, tenant_id: "acme", key_id: made.key_id, expires_at: made.expires_at }
      yield* client.updateTenant("acme", { status: "SUSPENDED" })
      assert.deepStrictEqual(yield* validate(made.key_secret), { ...named, reason: "TENANT_SUSPENDED" })
      yield* client.updateTenant("acme", { status: "ACTIVE" })
      yield* client.revokeApiKey(made.key_id)
      assert.deepStrictEqual(yield* validate(made.key_secret), { ...named, reason: "REVOKED" })

      const short = yield* client.createApiKey({
        tenant_id: "acme",
        name: "short",
        expires_at: (yield* Clock.currentTimeMillis) + 2_000
      })
      yield* Effect.sleep("2100 millis")
      assert.strictEqual((yield* validate(short.key_secret)).reason, "EXPIRED")
      const late = yield* send("PATCH", `/v1/admin/api-keys/${short.key_id}`, { body: { name: "x" } })
      assert.strictEqual(outcome(late), "409 KEY_EXPIRED")

      const closed = yield* client.createApiKey({ tenant_id: "acme", name: "last" })
      yield* client.updateTenant("acme", { status: "CLOSED" })
      assert.strictEqual((yield* validate(closed.key_secret)).reason, "REVOKED")
      assert.strictEqual(outcome(yield* send("DELETE", `/v1/admin/api-keys/${closed.key_id}`)), "409 TENANT_CLOSED")
    }).pipe(Effect.provide(layer)))
})

describe("Introspection", () => {
  it.live("tells an operator that everything is open", () =>
    Effect.gen(function*() {
      const answer = yield* (yield* admin).introspectAuth
      assert.strictEqual(answer.auth_type, "admin")
      assert.deepStrictEqual(answer.permissions, ["*"])
      assert.isTrue(Object.values(answer.capabilities).every((flag) => flag === true))
      assert.lengthOf(Object.keys(answer.capabilities), 15)
      assert.notProperty(answer, "tenant_id")
      assert.notProperty(answer, "scope_filter")
    }).pipe(Effect.provide(layer)))

  it.live("derives what a tenant's key can do from its permissions", () =>
    Effect.gen(function*() {
      const flags = Effect.fnUntraced(function*(...permissions: ReadonlyArray<string>) {
        const made = yield* keyOf("acme", { permissions: permissions as never })
        const answer = yield* (yield* tenant(made.key_secret)).introspectAuth
        assert.deepInclude(answer, { authenticated: true, auth_type: "tenant", tenant_id: "acme" })
        assert.sameMembers([...answer.permissions], [...permissions])
        assert.lengthOf(Object.keys(answer.capabilities), 15)
        return Object.entries(answer.capabilities).flatMap(([name, flag]) => flag === true ? [name] : []).sort()
      })
      assert.deepStrictEqual(yield* flags("budgets:read"), ["view_budgets"])
      assert.deepStrictEqual(yield* flags("reservations:list"), ["view_reservations"])
      assert.deepStrictEqual(yield* flags("reservations:extend"), ["manage_reservations", "view_reservations"])
      assert.deepStrictEqual(yield* flags("admin:policies:write"), ["manage_policies"])
      assert.deepStrictEqual(yield* flags("admin:events:read", "balances:read"), ["view_events"])
      assert.deepStrictEqual(yield* flags("admin:read"), [
        "view_budgets",
        "view_events",
        "view_policies",
        "view_reservations",
        "view_webhooks"
      ])
      assert.deepStrictEqual(
        yield* flags("admin:write", "admin:tenants:read", "admin:audit:read", "admin:apikeys:write"),
        [
          "manage_budgets",
          "manage_policies",
          "manage_reservations",
          "manage_webhooks"
        ]
      )
    }).pipe(Effect.provide(layer)))

  it.live("names a scope filter where there is one", () =>
    Effect.gen(function*() {
      const filtered = yield* keyOf("acme", { scope_filter: ["agent:*"] })
      assert.deepStrictEqual((yield* (yield* tenant(filtered.key_secret)).introspectAuth).scope_filter, ["agent:*"])
      const open = yield* keyOf("acme", {})
      assert.notProperty(yield* (yield* tenant(open.key_secret)).introspectAuth, "scope_filter")
    }).pipe(Effect.provide(layer)))
})
