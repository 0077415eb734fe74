import { assert, describe, it } from "@effect/vitest"
import { Amount } from "effect-cycles"
import * as Effect from "effect/Effect"
import { admin, adminKey, layer, outcome, seeded, send } from "./support.observing.ts"

describe("The audit", () => {
  it.live("is listed, the newest first, filtered, sorted and paged", () =>
    Effect.gen(function*() {
      const { keyId } = yield* seeded
      yield* Effect.sleep(2)
      const headers = { "x-admin-api-key": adminKey, traceparent: `00-${"c".repeat(32)}-${"b".repeat(16)}-01` }
      const refused = yield* send("POST", "/v1/admin/tenants", {
        headers,
        body: { tenant_id: "acme", name: "Another" }
      })
      assert.strictEqual(outcome(refused), "409 DUPLICATE_RESOURCE")
      const client = yield* admin
      const { has_more, logs } = yield* client.listAuditLogs()
      assert.isFalse(has_more)
      assert.deepStrictEqual(
        logs.map(({ error_code, operation, status, tenant_id }) =>
          [tenant_id, operation, status, error_code].filter((part) => part !== undefined).join(" ")
        ),
        [
          "acme createTenant 409 DUPLICATE_RESOURCE",
          "beta createTenant 201",
          "acme createApiKey 201",
          "acme createBudget 201",
          "acme createTenant 201"
        ]
      )
      const [first, , key, budget] = logs
      const requestId = refused.headers.get("x-request-id") ?? ""
      assert.deepStrictEqual(first, {
        log_id: first!.log_id,
        timestamp: first!.timestamp,
        tenant_id: "acme",
        operation: "createTenant",
        resource_type: "tenant",
        resource_id: "acme",
        request_id: requestId,
        trace_id: "c".repeat(32),
        status: 409,
        error_code: "DUPLICATE_RESOURCE",
        metadata: { actor: "ops", actor_type: "admin", name: "Another" }
      })
      assert.strictEqual(budget?.metadata?.["actor_type"], "admin_on_behalf_of")
      for (
        const [query, expected] of [
          [{ tenant_id: "beta" }, [1]],
          [{ tenant_id: "__unauth__" }, []],
          [{ operation: ["createBudget", "createApiKey"] }, [2, 3]],
          [{ operation: ["createBudget"] }, [3]],
          [{ resource_type: ["api_key"] }, [2]],
          [{ resource_id: keyId }, [2]],
          [{ status: 409 }, [0]],
          [{ status_min: 200, status_max: 299 }, [1, 2, 3, 4]],
          [{ error_code: ["DUPLICATE_RESOURCE", "NO_SUCH_CODE"] }, [0]],
          [{ error_code: ["NO_SUCH_CODE"] }, []],
          [{ error_code_exclude: ["DUPLICATE_RESOURCE"] }, [1, 2, 3, 4]],
          [{ search: key!.log_id.toUpperCase() }, [2]],
          [{ search: "apikey" }, [2]],
          [{ trace_id: "c".repeat(32) }, [0]],
          [{ request_id: requestId }, [0]],
          [{ key_id: keyId }, []],
          [{ from: budget!.timestamp, to: key!.timestamp }, [2, 3]],
          [{ sort_dir: "asc" }, [4, 3, 2, 1, 0]],
          [{ sort_by: "status" }, [0, 1, 2, 3, 4]],
          [{ sort_by: "operation", sort_dir: "asc" }, [2, 3, 4, 1, 0]]
        ] as const
      ) {
        const found = (yield* client.listAuditLogs(query)).logs
        assert.deepStrictEqual(found, expected.map((i) => logs[i]!), JSON.stringify(query))
        const paged: Array<typeof logs[number]> = []
        let cursor: string | undefined
        do {
          const page = yield* client.listAuditLogs({ ...query, limit: 1, ...(cursor === undefined ? {} : { cursor }) })
          paged.push(...page.logs)
          cursor = page.next_cursor
        } while (cursor !== undefined)
        assert.deepStrictEqual(paged, found)
      }
    }).pipe(Effect.provide(layer)))

  it.live("names the key of a tenant that governs, and what it lacked", () =>
    Effect.gen(function*() {
      const { governing, keyId } = yield* seeded
      yield* governing.updateApiKey("acme", keyId, { permissions: ["balances:read"] })
      const { secret } = yield* governing.createApiKey("acme", { name: "other", permissions: ["budgets:write"] })
      assert.isDefined(secret)
      yield* governing.createBudget("acme", { scope: "tenant:acme/agent:a", allocated: Amount.tokens(1) })
      const client = yield* admin
      const { logs } = yield* client.listAuditLogs({ resource_id: keyId, operation: ["updateApiKey"] })
      assert.strictEqual(logs[0]?.status, 200)
      assert.deepStrictEqual(logs[0]?.metadata?.["permissions"], ["balances:read"])
    }).pipe(Effect.provide(layer)))

  it.live("is refused where a parameter or a key is none", () =>
    Effect.gen(function*() {
      const { secret } = yield* seeded
      const many = Array.from({ length: 26 }, (_, i) => `x${i}`).join(",")
      for (
        const [query, expected] of [
          ["status=200&status_min=200", "400 INVALID_REQUEST"],
          ["status=200&status_max=200", "400 INVALID_REQUEST"],
          ["status_min=300&status_max=200", "400 INVALID_REQUEST"],
          ["status_min=99", "400 INVALID_REQUEST"],
          ["status_max=600", "400 INVALID_REQUEST"],
          ["status=ok", "400 INVALID_REQUEST"],
          [`operation=${many}`, "400 INVALID_REQUEST"],
          [`resource_type=${many}`, "400 INVALID_REQUEST"],
          [`error_code=${many}`, "400 INVALID_REQUEST"],
          [`error_code_exclude=${many}`, "400 INVALID_REQUEST"],
          [`search=${"x".repeat(129)}`, "400 INVALID_REQUEST"],
          ["trace_id=ABC", "400 INVALID_REQUEST"],
          ["from=2026-02-30T00:00:00Z", "400 INVALID_REQUEST"],
          ["sort_by=size", "400 INVALID_REQUEST"],
          ["limit=0", "400 INVALID_REQUEST"],
          ["cursor=%ff", "400 INVALID_REQUEST"],
          ["limit=5000", "200"],
          ["search=&operation=&status=", "200"]
        ] as const
      ) {
        const answer = yield* send("GET", `/v1/admin/audit/logs?${query}`)
        assert.strictEqual(outcome(answer), expected, query)
      }
      const tenants = yield* send("GET", "/v1/admin/audit/logs", { headers: { "x-cycles-api-key": secret } })
      assert.strictEqual(outcome(tenants), "401 UNAUTHORIZED")
    }).pipe(Effect.provide(layer)))
})
