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
