import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { commit, reserve, send } from "./support/requests.ts"
import * as Servers from "./support/servers.ts"

describe("A server", () => {
  it.live("takes a reservation to its commit, by the key of a tenant", () =>
    Effect.gen(function*() {
      const key = yield* Servers.furnish()
      const reserved = yield* send("POST", "/v1/reservations", { key, body: reserve(1_000) })
      assert.strictEqual(reserved.status, 200)
      assert.strictEqual(reserved.body["decision"], "ALLOW")
      const id = String(reserved.body["reservation_id"])
      const committed = yield* send("POST", `/v1/reservations/${id}/commit`, { key, body: commit(420) })
      assert.strictEqual(committed.body["status"], "COMMITTED")
      const balances = yield* send("GET", "/v1/balances?tenant=acme", { key })
      assert.strictEqual(balances.headers.get("x-cycles-tenant"), "acme")
      assert.deepStrictEqual(balances.body["balances"][0].remaining, { unit: "TOKENS", amount: 99_580 })
    }).pipe(Effect.provide(Servers.layer())))

  it.live("knows no key that was not made", () =>
    Effect.gen(function*() {
      const { body, status } = yield* send("GET", "/v1/balances?tenant=acme", { key: "cyc_live_nobody" })
      assert.strictEqual(status, 401)
      assert.strictEqual(body["error"], "UNAUTHORIZED")
    }).pipe(Effect.provide(Servers.layer())))
})
