import { assert, describe, it } from "@effect/vitest"
import type { Refusal } from "effect-cycles/ledger/Refusal"
import { suggestion, toError } from "effect-cycles/ledger/Refusal"

const at = { scope: "tenant:acme", unit: "TOKENS" } as const

describe("a refusal", () => {
  it("says what can be done about it, in its details and at the end of its message", () => {
    const cases: ReadonlyArray<readonly [Refusal, string]> = [
      [
        { code: "BUDGET_EXCEEDED", ...at, requested: 100n, remaining: 20n },
        "Credit tenant:acme by at least 80 TOKENS, or ask for 20 TOKENS or less"
      ],
      [
        { code: "BUDGET_EXCEEDED", ...at, requested: 100n, remaining: -20n },
        "Credit tenant:acme by at least 120 TOKENS, or wait until running work gives back what it holds"
      ],
      [{ code: "BUDGET_NOT_FOUND", ...at }, "Create a budget in TOKENS on tenant:acme or on a scope above it"],
      [{ code: "BUDGET_FROZEN", ...at }, "Ask an operator to unfreeze tenant:acme"],
      [{ code: "BUDGET_CLOSED", ...at }, "Use another budget; tenant:acme is closed for good"],
      [{ code: "DEBT_OUTSTANDING", ...at }, "Repay the debt of tenant:acme"],
      [
        { code: "OVERDRAFT_LIMIT_EXCEEDED", ...at },
        "Credit tenant:acme until something remains, or raise its overdraft limit"
      ],
      [{ code: "BUDGET_EXCEEDED", ...at, details: { suggestion: "Do as the rule says" } }, "Do as the rule says"]
    ]
    for (const [refusal, expected] of cases) {
      const error = toError(refusal, {})
      assert.strictEqual(error.details?.["suggestion"], expected)
      assert.isTrue(error.message.endsWith(`. ${expected}.`), error.message)
    }
  })

  it("adds its suggestion to what else it knows", () => {
    const error = toError({ code: "BUDGET_FROZEN", ...at, details: { policy_id: "p-1" }, retryAfterMs: 5 }, {})
    assert.deepStrictEqual(error.details, {
      policy_id: "p-1",
      suggestion: "Ask an operator to unfreeze tenant:acme"
    })
    assert.strictEqual(error.retryAfterMs, 5)
  })

  it("has none where the error's own words are all there is to say", () => {
    assert.isUndefined(suggestion({ code: "IDEMPOTENCY_MISMATCH", scope: "tenant:acme" }))
    assert.isUndefined(suggestion({ code: "BUDGET_EXCEEDED", scope: "tenant:acme" }))
    assert.isUndefined(toError({ code: "BUDGET_EXCEEDED" }, {}).details)
  })
})
