import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { admin, layer, outcome, send } from "./support.ts"

describe("Tenants", () => {
  it.live("are created, read, changed and closed", () =>
    Effect.gen(function*() {
      const client = yield* admin
      const created = yield* client.createTenant({
        tenant_id: "acme",
        name: "Acme",
        default_commit_overage_policy: "REJECT",
        default_reservation_ttl_ms: 5_000,
        max_reservation_ttl_ms: 60_000,
        max_reservation_extensions: 3,
        reservation_expiry_policy: "GRACE_ONLY",
        metadata: { plan: "gold" }
      })
      assert.isAbove(created.created_at, Date.UTC(2020, 0, 1))
      const { created_at: _, updated_at: __, ...rest } = created
      assert.deepStrictEqual(rest, {
        tenant_id: "acme",
        name: "Acme",
        status: "ACTIVE",
        default_commit_overage_policy: "REJECT",
        default_reservation_ttl_ms: 5_000,
        max_reservation_ttl_ms: 60_000,
        max_reservation_extensions: 3,
        reservation_expiry_policy: "GRACE_ONLY",
        metadata: { plan: "gold" }
      })
      assert.deepStrictEqual(yield* client.getTenant("acme"), created)

      const suspended = yield* client.updateTenant("acme", { name: "Acme Corporation", status: "SUSPENDED" })
      assert.include(suspended, { name: "Acme Corporation", status: "SUSPENDED" })
      assert.isDefined(suspended.suspended_at)
      assert.strictEqual((yield* client.updateTenant("acme", { status: "ACTIVE" })).status, "ACTIVE")
      assert.strictEqual((yield* client.updateTenant("acme", { status: "CLOSED" })).status, "CLOSED")
      assert.strictEqual((yield* client.updateTenant("acme", { status: "CLOSED" })).status, "CLOSED")
      const reopened = yield* send("PATCH", "/v1/admin/tenants/acme", { body: { status: "ACTIVE" } })
      assert.strictEqual(outcome(reopened), "400 TENANT_CLOSED")
    }).pipe(Effect.provide(layer)))

  it.live("are created once: 201, then 200, and 409 under another name", () =>
    Effect.gen(function*() {
      const body = { tenant_id: "acme", name: "Acme" }
      const first = yield* send("POST", "/v1/admin/tenants", { body })
      const second = yield* send("POST", "/v1/admin/tenants", { body })
      assert.deepStrictEqual([first.status, second.status], [201, 200])
      assert.deepStrictEqual(first.body, second.body)
      assert.match(String(first.body["created_at"]), /^\d{4}-\d\d-\d\dT.*Z$/)
      assert.notInclude(first.text, "null")
      const other = yield* send("POST", "/v1/admin/tenants", { body: { ...body, name: "Other" } })
      assert.strictEqual(outcome(other), "409 DUPLICATE_RESOURCE")
    }).pipe(Effect.provide(layer)))
})

const bad: ReadonlyArray<readonly [field: string, body: unknown]> = [
  ["body", "{"],
  ["body", ""],
  ["body", "[]"],
  ["body", "null"],
  ["body", "\"acme\""],
  ["tenant_id", { name: "x" }],
  ["tenant_id", { tenant_id: "Acme", name: "x" }],
  ["tenant_id", { tenant_id: "ab", name: "x" }],
  ["tenant_id", { tenant_id: "a".repeat(65), name: "x" }],
  ["tenant_id", { tenant_id: 7, name: "x" }],
  ["name", { tenant_id: "acme" }],
  ["name", { tenant_id: "acme", name: "" }],
  ["name", { tenant_id: "acme", name: null }],
  ["name", { tenant_id: "acme", name: "x".repeat(257) }],
  ["colour", { tenant_id: "acme", name: "x", colour: "red" }],
  ["status", { tenant_id: "acme", name: "x", status: "ACTIVE" }],
  ["metadata.size", { tenant_id: "acme", name: "x", metadata: { size: 3 } }],
  ["metadata", {
    tenant_id: "acme",
    name: "x",
    metadata: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, "v"]))
  }],
  ["default_commit_overage_policy", { tenant_id: "acme", name: "x", default_commit_overage_policy: "NEVER" }],
  ["default_reservation_ttl_ms", { tenant_id: "acme", name: "x", default_reservation_ttl_ms: 999 }],
  ["max_reservation_ttl_ms", { tenant_id: "acme", name: "x", max_reservation_ttl_ms: 86_400_001 }],
  ["max_reservation_ttl_ms", `{"tenant_id":"acme","name":"x","max_reservation_ttl_ms":5000.0}`],
  ["max_reservation_extensions", { tenant_id: "acme", name: "x", max_reservation_extensions: -1 }],
  ["reservation_expiry_policy", { tenant_id: "acme", name: "x", reservation_expiry_policy: "MANUAL_CLEANUP" }],
  ["reservation_expiry_policy", { tenant_id: "acme", name: "x", reservation_expiry_policy: "NEVER" }],
  ["parent_tenant_id", { tenant_id: "acme", name: "x", parent_tenant_id: "nobody" }]
]

describe("A tenant that is none", () => {
  it.live("is refused by the name of its field, and nothing is registered", () =>
    Effect.gen(function*() {
      for (const [field, body] of bad) {
        const answer = yield* send("POST", "/v1/admin/tenants", { body })
        const what = typeof body === "string" ? body : JSON.stringify(body)
        assert.strictEqual(outcome(answer), "400 INVALID_REQUEST", what)
        assert.strictEqual(answer.body["details"]["field"], field, what)
        assert.notStrictEqual(answer.body["message"], "", what)
      }
      assert.deepStrictEqual((yield* (yield* admin).listTenants()).tenants, [])
      const text = yield* send("POST", "/v1/admin/tenants", {
        body: "tenant_id=acme",
        headers: { "x-admin-api-key": "the-admin-key-nobody-may-see", "content-type": "text/plain" }
      })
      assert.strictEqual(outcome(text), "400 INVALID_REQUEST")
      const huge = yield* send("POST", "/v1/admin/tenants", {
        body: `{"tenant_id":"acme","name":"${"x".repeat(1_100_000)}"}`
      })
      assert.strictEqual(outcome(huge), "400 INVALID_REQUEST")
    }).pipe(Effect.provide(layer)))

  it.live("is not found, and not changed into one", () =>
    Effect.gen(function*() {
      const client = yield* admin
      yield* client.createTenant({ tenant_id: "acme", name: "Acme" })
      const patch = (id: string, body: unknown) =>
        Effect.map(send("PATCH", `/v1/admin/tenants/${id}`, { body }), outcome)
      assert.strictEqual(outcome(yield* send("GET", "/v1/admin/tenants/nobody")), "404 TENANT_NOT_FOUND")
      assert.strictEqual(outcome(yield* send("GET", "/v1/admin/tenants/no%2Fbody")), "400 INVALID_REQUEST")
      assert.strictEqual(yield* patch("nobody", { name: "x" }), "404 TENANT_NOT_FOUND")
      for (
        const body of [
          { tenant_id: "beta" },
          { parent_tenant_id: "acme" },
          { status: "GONE" },
          { status: null },
          { name: "" },
          { metadata: { size: 1 } },
          { max_reservation_ttl_ms: 1 },
          { reservation_expiry_policy: "AUTO_RELEASE" },
          { name: "New", status: "GONE" },
          "{",
          "[]"
        ]
      ) {
        assert.strictEqual(yield* patch("acme", body), "400 INVALID_REQUEST", JSON.stringify(body))
      }
      assert.strictEqual((yield* client.getTenant("acme")).name, "Acme")
    }).pipe(Effect.provide(layer)))
})

describe("The list of tenants", () => {
  it.live("is filtered, searched, sorted and paged", () =>
    Effect.gen(function*() {
      const client = yield* admin
      const names = { acme: "Zebra", beta: "apple", "beta-two": "Mango", delta: "zebra" }
      for (const [tenant_id, name] of Object.entries(names)) {
        yield* client.createTenant({
          tenant_id,
          name,
          ...(tenant_id === "acme" ? undefined : { parent_tenant_id: "acme" })
        })
      }
      yield* client.updateTenant("beta", { status: "SUSPENDED" })

      type Query = Parameters<typeof client.listTenants>[0]
      const list = (query: Query) =>
        Effect.map(client.listTenants(query), ({ tenants }) => tenants.map(({ tenant_id }) => tenant_id))
      assert.deepStrictEqual(yield* list({}), ["acme", "beta", "beta-two", "delta"])
      assert.deepStrictEqual(yield* list({ status: "SUSPENDED" }), ["beta"])
      assert.deepStrictEqual(yield* list({ parent_tenant_id: "acme" }), ["beta", "beta-two", "delta"])
      assert.deepStrictEqual(yield* list({ search: "ZEB" }), ["acme", "delta"])
      assert.deepStrictEqual(yield* list({ search: "beta" }), ["beta", "beta-two"])
      assert.deepStrictEqual(
        yield* list({ sort_by: "name", sort_dir: "asc" }),
        ["beta-two", "acme", "beta", "delta"].sort(
          (a, b) => names[a as keyof typeof names] < names[b as keyof typeof names] ? -1 : 1
        )
      )
      assert.deepStrictEqual(yield* list({ sort_by: "tenant_id" }), ["delta", "beta-two", "beta", "acme"])
      assert.deepStrictEqual(yield* list({ sort_by: "status", sort_dir: "desc", limit: 1 }), ["beta"])

      for (const sort_by of ["tenant_id", "name", "status", "created_at"] as const) {
        for (const sort_dir of ["asc", "desc"] as const) {
          const pages: Array<string> = []
          let cursor: string | undefined
          do {
            const page = yield* client.listTenants({
              sort_by,
              sort_dir,
              limit: 3,
              ...(cursor === undefined ? {} : { cursor })
            })
            pages.push(...page.tenants.map(({ tenant_id }) => tenant_id))
            cursor = page.next_cursor
            assert.strictEqual(page.has_more, cursor !== undefined)
          } while (cursor !== undefined)
          assert.deepStrictEqual(pages, yield* list({ sort_by, sort_dir }))
        }
      }

      const ask = (query: string) => Effect.map(send("GET", `/v1/admin/tenants?${query}`), outcome)
      for (
        const query of [
          "limit=0",
          "limit=101",
          "limit=1.5",
          "limit=ten",
          "status=GONE",
          "sort_by=colour",
          "sort_dir=up",
          `search=${"x".repeat(129)}`,
          "cursor=nonsense",
          "cursor=%00",
          "cursor=%25",
          "cursor=a.b.c"
        ]
      ) {
        assert.strictEqual(yield* ask(query), "400 INVALID_REQUEST", query)
      }
      for (const query of ["observe_mode=ENFORCE", "colour=red", "search=", "status=", "limit=100"]) {
        assert.strictEqual(yield* ask(query), "200", query)
      }
      const { next_cursor } = yield* client.listTenants({ limit: 1 })
      assert.strictEqual(yield* ask(`cursor=${next_cursor}`), "200")
      assert.strictEqual(yield* ask(`cursor=${next_cursor}&status=ACTIVE`), "400 INVALID_REQUEST")
      assert.strictEqual(yield* ask(`cursor=${next_cursor}&sort_by=name`), "400 INVALID_REQUEST")
    }).pipe(Effect.provide(layer)))
})
