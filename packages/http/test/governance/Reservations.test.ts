import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import { adminKey, layer, outcome, seeded, send } from "./support.observing.ts"

const hold = (key: string, tenant = "acme") =>
  Effect.gen(function*() {
    const ledger = yield* Ledger.Ledger
    const { reservationId } = yield* ledger.as({ tenant }).reserve({
      idempotencyKey: IdempotencyKey.make(key),
      subject: { agent: "bot" },
      action: Action.make("tool.call", "search"),
      estimate: Amount.tokens(10)
    })
    return String(reservationId)
  })

describe("An operator's view of reservations", () => {
  it.live("lists those of the tenant it names, and reads any by its id", () =>
    Effect.gen(function*() {
      const { governing, secret } = yield* seeded
      yield* governing.createBudget("beta", { scope: "tenant:beta", allocated: Amount.tokens(100) })
      const mine = yield* hold("1")
      const others = yield* hold("1", "beta")
      const list = yield* send("GET", "/v1/reservations?tenant=acme")
      assert.deepStrictEqual(list.body["reservations"].map((row: any) => row.reservation_id), [mine])
      assert.isFalse(list.body["has_more"])
      assert.strictEqual(list.headers.get("x-cycles-tenant"), "acme")
      const filtered = yield* send("GET", "/v1/reservations?tenant=acme&status=COMMITTED")
      assert.deepStrictEqual(filtered.body["reservations"], [])
      for (const query of ["", "?tenant=", "?status=ACTIVE"]) {
        const missing = yield* send("GET", `/v1/reservations${query}`)
        assert.strictEqual(outcome(missing), "400 INVALID_REQUEST")
        assert.strictEqual(
          missing.body["message"],
          "tenant query parameter is required when using admin key authentication"
        )
      }
      for (const id of [mine, others]) {
        const read = yield* send("GET", `/v1/reservations/${id}`)
        assert.strictEqual(read.body["reservation_id"], id)
        assert.strictEqual(read.headers.get("x-cycles-tenant"), id === mine ? "acme" : "beta")
      }
      assert.strictEqual(outcome(yield* send("GET", "/v1/reservations/none")), "404 NOT_FOUND")
      // A tenant's key sees what it saw before.
      const headers = { "x-cycles-api-key": secret }
      const own = yield* send("GET", "/v1/reservations", { headers })
      assert.deepStrictEqual(own.body["reservations"].map((row: any) => row.reservation_id), [mine])
      assert.strictEqual(own.headers.get("x-cycles-tenant"), "acme")
      assert.strictEqual(outcome(yield* send("GET", "/v1/reservations?tenant=beta", { headers })), "403 FORBIDDEN")
      assert.strictEqual(outcome(yield* send("GET", `/v1/reservations/${others}`, { headers })), "403 FORBIDDEN")
    }).pipe(Effect.provide(layer)))

  it.live("takes the admin key there and nowhere else on the runtime plane", () =>
    Effect.gen(function*() {
      const { secret } = yield* seeded
      const id = yield* hold("1")
      const body = { idempotency_key: "x" }
      const admin = { "x-admin-api-key": adminKey }
      const wrong = { "x-admin-api-key": "wrong" }
      for (
        const [method, path, headers, expected] of [
          ["GET", "/v1/reservations?tenant=acme", wrong, "401 UNAUTHORIZED"],
          ["GET", "/v1/reservations?tenant=acme", { "x-admin-api-key": "" }, "401 UNAUTHORIZED"],
          ["GET", `/v1/reservations/${id}`, wrong, "401 UNAUTHORIZED"],
          ["POST", `/v1/reservations/${id}/release`, wrong, "401 UNAUTHORIZED"],
          ["GET", "/v1/reservations?tenant=acme", {}, "401 UNAUTHORIZED"],
          // The admin key counts where both are sent.
          ["GET", `/v1/reservations/${id}`, { ...wrong, "x-cycles-api-key": secret }, "401 UNAUTHORIZED"],
          ["GET", "/v1/reservations", { ...admin, "x-cycles-api-key": secret }, "400 INVALID_REQUEST"],
          ["POST", `/v1/reservations/${id}/commit`, admin, "401 UNAUTHORIZED"],
          ["POST", `/v1/reservations/${id}/extend`, admin, "401 UNAUTHORIZED"],
          ["POST", "/v1/reservations", admin, "401 UNAUTHORIZED"],
          ["POST", "/v1/decide", admin, "401 UNAUTHORIZED"],
          ["POST", "/v1/events", admin, "401 UNAUTHORIZED"],
          ["GET", "/v1/balances?tenant=acme", admin, "401 UNAUTHORIZED"]
        ] as const
      ) {
        const answer = yield* send(method, path, { headers, ...(method === "POST" ? { body } : undefined) })
        assert.strictEqual(outcome(answer), expected, `${method} ${path}`)
      }
      assert.strictEqual((yield* send("GET", `/v1/reservations/${id}`)).body["status"], "ACTIVE")
    }).pipe(Effect.provide(layer)))

  it.live("releases one in its tenant's place with exactly one row in the audit, replays without", () =>
    Effect.gen(function*() {
      yield* seeded
      const id = yield* hold("1")
      const body = { idempotency_key: "r", reason: "[INCIDENT_FORCE_RELEASE] stuck" }
      const path = `/v1/reservations/${id}/release`
      const first = yield* send("POST", path, { body })
      assert.strictEqual(first.status, 200)
      assert.deepInclude(first.body, { status: "RELEASED", released: { unit: "TOKENS", amount: 10 } })
      for (let i = 0; i < 3; i++) assert.deepStrictEqual((yield* send("POST", path, { body })).body, first.body)
      const other = yield* send("POST", path, { body: { ...body, reason: "another" } })
      assert.strictEqual(outcome(other), "409 IDEMPOTENCY_MISMATCH")
      const again = yield* send("POST", path, { body: { idempotency_key: "s" } })
      assert.strictEqual(outcome(again), "409 RESERVATION_FINALIZED")
      const done = yield* send("GET", "/v1/admin/audit/logs?operation=releaseReservation&status=200")
      assert.lengthOf(done.body["logs"], 1)
      const { log_id, timestamp, trace_id, ...row } = done.body["logs"][0]
      assert.match(log_id, /^log_/)
      assert.match(timestamp, /Z$/)
      assert.match(trace_id, /^[0-9a-f]{32}$/)
      assert.deepStrictEqual(row, {
        tenant_id: "acme",
        operation: "releaseReservation",
        resource_type: "reservation",
        resource_id: id,
        request_id: first.headers.get("x-request-id"),
        status: 200,
        metadata: { actor: "ops", actor_type: "admin_on_behalf_of", reason: body.reason }
      })
      const refused = yield* send("GET", "/v1/admin/audit/logs?operation=releaseReservation&status_min=400")
      assert.deepStrictEqual(
        refused.body["logs"].map((log: any) => [log.status, log.error_code, log.tenant_id]),
        [[409, "RESERVATION_FINALIZED", "acme"], [409, "IDEMPOTENCY_MISMATCH", "acme"]]
      )
      const unknown = yield* send("POST", "/v1/reservations/none/release", { body })
      assert.strictEqual(outcome(unknown), "404 NOT_FOUND")
      const nobody = yield* send("GET", "/v1/admin/audit/logs?tenant_id=__admin__")
      assert.deepStrictEqual(nobody.body["logs"].map((log: any) => [log.status, log.resource_id]), [[404, "none"]])
    }).pipe(Effect.provide(layer)))

  it.live("is no different for the tenant itself, whose release is no act", () =>
    Effect.gen(function*() {
      const { secret } = yield* seeded
      const id = yield* hold("1")
      const headers = { "x-cycles-api-key": secret }
      const released = yield* send("POST", `/v1/reservations/${id}/release`, {
        headers,
        body: { idempotency_key: "r" }
      })
      assert.strictEqual(released.status, 200)
      const log = yield* send("GET", "/v1/admin/audit/logs?operation=releaseReservation")
      assert.deepStrictEqual(log.body["logs"], [])
      // What the tenant released, an operator's same key gives again: the record is the tenant's.
      const replayed = yield* send("POST", `/v1/reservations/${id}/release`, { body: { idempotency_key: "r" } })
      assert.deepStrictEqual(replayed.body["released"], released.body["released"])
    }).pipe(Effect.provide(layer)))
})
