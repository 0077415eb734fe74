import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import { admin, layer, outcome, seeded, send } from "./support.observing.ts"

describe("The overview", () => {
  it.live("counts what there is and shows what is wrong", () =>
    Effect.gen(function*() {
      const { governing, secret } = yield* seeded
      const ledger = yield* Ledger.Ledger
      const scope = "tenant:acme/agent:debtor"
      yield* governing.createBudget("acme", {
        scope,
        allocated: Amount.credits(1),
        overdraftLimit: Amount.credits(2n ** 62n)
      })
      yield* governing.createPolicy("acme", { name: "p", scopePattern: "tenant:acme/*", deniedActionKinds: ["x"] })
      yield* ledger.as({ tenant: "acme" }).event({
        idempotencyKey: IdempotencyKey.make("1"),
        subject: { agent: "debtor" },
        action: Action.make("a", "b"),
        actual: Amount.credits(2n ** 60n + 1n),
        overagePolicy: "ALLOW_WITH_OVERDRAFT"
      })
      yield* governing.suspendTenant("beta")
      const answer = yield* send("GET", "/v1/admin/overview")
      assert.strictEqual(answer.status, 200)
      assert.notInclude(answer.text, "null")
      const { as_of, recent_denials, ...rest } = answer.body
      assert.match(as_of, /^\d{4}-\d\d-\d\dT.*Z$/)
      assert.deepStrictEqual(recent_denials.map((event: any) => event.event_type), ["reservation.denied"])
      const { debt_scopes, ...others } = rest
      assert.deepStrictEqual(others, {
        event_window_seconds: 3_600,
        tenant_counts: { total: 2, active: 1, suspended: 1, closed: 0 },
        budget_counts: {
          total: 2,
          active: 2,
          frozen: 0,
          closed: 0,
          over_limit: 0,
          with_debt: 1,
          by_unit: { CREDITS: 1, TOKENS: 1 }
        },
        over_limit_scopes: [],
        webhook_counts: { total: 0, active: 0, disabled: 0, with_failures: 0 },
        failing_webhooks: [],
        event_counts: {
          total_recent: others["event_counts"].total_recent,
          by_category: others["event_counts"].by_category
        },
        recent_expiries: [],
        recent_denials_by_reason: { BUDGET_EXCEEDED: 1 },
        access_control_stats: { policies_with_allow_list: 0, policies_with_deny_list: 1 }
      })
      assert.strictEqual(debt_scopes[0].scope, scope)
      // Beyond what a number holds.
      assert.include(answer.text, `"debt":1152921504606846976,"overdraft_limit":4611686018427387904`)
      const seen = yield* (yield* admin).getAdminOverview
      assert.deepStrictEqual(seen.debt_scopes, [{
        scope,
        unit: "CREDITS",
        debt: 2n ** 60n,
        overdraft_limit: 2n ** 62n
      }])
      const counts = Object.values(seen.event_counts.by_category)
      assert.strictEqual(seen.event_counts.total_recent, counts.reduce((sum, count) => sum + count, 0))
      const tenants = yield* send("GET", "/v1/admin/overview", { headers: { "x-cycles-api-key": secret } })
      assert.strictEqual(outcome(tenants), "401 UNAUTHORIZED")
    }).pipe(Effect.provide(layer)))
})
