import { HistoryConformance } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import { Amount, Governance, Ledger, LedgerStoreMemory } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

HistoryConformance.suite("a store in memory", LedgerStoreMemory.layer)

describe("alerts", () => {
  it.effect("out of their range are a defect that says which", () =>
    Effect.gen(function*() {
      const defectOf = (alerts: Ledger.Options["alerts"]) =>
        Effect.map(
          Effect.exit(Effect.scoped(Ledger.make({ alerts }))),
          (exit) => Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : ""
        )
      assert.include(yield* defectOf({ thresholds: [0.5, 0] }), "thresholds")
      assert.include(yield* defectOf({ thresholds: [Number.NaN] }), "thresholds")
      assert.include(yield* defectOf({ burnRate: { windowMs: 59_999 } }), "windowMs")
      assert.include(yield* defectOf({ burnRate: { multiplier: 1 } }), "multiplier")
      assert.include(yield* defectOf({ burnRate: { minimumShare: -1 } }), "minimumShare")
      assert.strictEqual(yield* defectOf({ thresholds: [0.5], burnRate: { windowMs: 60_000 } }), "")
    }).pipe(Effect.provide(LedgerStoreMemory.layer)))
})

const ACME = "tenant:acme"
const ENG = `${ACME}/workspace:eng`
const OPS = `${ACME}/workspace:ops`

const layer = Governance.layer({ peppers: [Redacted.make("thirty-two or more secret characters")] }).pipe(
  Layer.provideMerge(Ledger.layer()),
  Layer.provide(LedgerStoreMemory.layer)
)

/** Three budgets, a charge in each workspace, and a hold that was denied in one of them. */
const furnished = Effect.gen(function*() {
  const governance = yield* Governance.Governance
  const operator = governance.asOperator({ actor: "ops" })
  yield* operator.createTenant("acme", { name: "Acme" })
  for (const scope of [ACME, ENG, OPS]) {
    yield* operator.createBudget("acme", { scope, allocated: Amount.tokens(100) })
  }
  const authority = (yield* Ledger.Ledger).as({ tenant: "acme" })
  const action = { kind: "llm.completion", name: "gpt-4o" }
  for (const workspace of ["eng", "ops"]) {
    yield* authority.event({
      idempotencyKey: IdempotencyKey.make(workspace),
      subject: { workspace },
      action,
      actual: Amount.tokens(40)
    })
  }
  yield* Effect.ignore(authority.reserve({
    idempotencyKey: IdempotencyKey.make("too much"),
    subject: { workspace: "ops" },
    action,
    estimate: Amount.tokens(90)
  }))
  return { governance, operator }
})

const tagOf = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: ({ _tag }) => _tag, onSuccess: () => "read" })

const spending = { by: "scope", unit: "TOKENS", from: 0, to: 3_600_000, every: "day" } as const

describe("the past in somebody's name", () => {
  it.effect("is all there for an operator, as the ledger tells it", () =>
    Effect.gen(function*() {
      const { operator } = yield* furnished
      const ledger = yield* Ledger.Ledger
      const explain = { scope: ACME, unit: "TOKENS" } as const
      assert.deepStrictEqual(yield* operator.explain("acme", explain), yield* ledger.explain("acme", explain))
      assert.deepStrictEqual(yield* operator.entries("acme"), yield* ledger.entries("acme"))
      assert.deepStrictEqual(yield* operator.spend("acme", spending), yield* ledger.spend("acme", spending))
      assert.deepStrictEqual(yield* operator.verify("acme"), yield* ledger.verify("acme"))
    }).pipe(Effect.provide(layer)))

  it.effect("is as narrow as the scope filter of a key", () =>
    Effect.gen(function*() {
      const { governance, operator } = yield* furnished
      const { key, secret } = yield* operator.createApiKey("acme", { name: "eng", scopeFilter: ["workspace:eng"] })
      const eng = governance.as(yield* governance.authenticate(secret))
      const { lines } = yield* eng.explain("acme", { scope: ENG, unit: "TOKENS" })
      assert.deepStrictEqual(lines.map(({ kind }) => kind), ["EVENT", "CREATE"])
      for (const scope of [ACME, OPS]) {
        assert.strictEqual(yield* tagOf(eng.explain("acme", { scope, unit: "TOKENS" })), "Forbidden")
      }
      const entries = yield* eng.entries("acme", { limit: 2 })
      assert.deepStrictEqual(
        entries.map(({ changes, kind }) => [kind, changes.map(({ after }) => after.scope)]),
        [["CREATE", [ENG]], ["EVENT", [ENG]]]
      )
      assert.isEmpty(yield* eng.entries("acme", { after: entries[1]!.number }))
      const spent = yield* eng.spend("acme", spending)
      assert.deepStrictEqual(spent.map(({ amount, value }) => [value, amount]), [[ENG, 40n]])
      const byAction = yield* eng.spend("acme", { ...spending, by: "action" })
      assert.deepStrictEqual(byAction.map(({ amount }) => amount), [40n])
      const costs = yield* eng.costs("acme", { ...spending, by: ["workspace"] })
      assert.deepStrictEqual(costs, [{ steps: [{ dimension: "workspace", value: "eng" }], own: 40n, total: 40n }])
      assert.strictEqual(yield* tagOf(eng.costs("other", { ...spending, by: ["workspace"] })), "Forbidden")
      assert.strictEqual(yield* tagOf(eng.verify("acme")), "Forbidden")

      yield* operator.updateApiKey("acme", key.id, { scopeFilter: ["workspace:ops"] })
      assert.strictEqual(yield* tagOf(eng.explain("acme", { scope: ENG, unit: "TOKENS" })), "Forbidden")
    }).pipe(Effect.provide(layer)))

  it.effect("tells of a denial those who may see where it was", () =>
    Effect.gen(function*() {
      const { governance, operator } = yield* furnished
      const denialFor = (scopeFilter: ReadonlyArray<string>) =>
        Effect.map(
          governance.as({ tenant: "acme", scopeFilter }).explain("acme", { scope: OPS, unit: "TOKENS" }),
          ({ denial }) => denial?.event.details.scope_path
        )
      assert.strictEqual(yield* denialFor(["workspace:ops"]), OPS)
      assert.strictEqual(yield* denialFor([]), OPS)
      const { denial } = yield* operator.explain("acme", { scope: ACME, unit: "TOKENS" })
      assert.strictEqual(denial?.event.details.scope_path, OPS)
    }).pipe(Effect.provide(layer)))

  it.effect("needs budgets:read, a key that is still good, and one's own tenant", () =>
    Effect.gen(function*() {
      const { governance, operator } = yield* furnished
      const tried = (governing: Governance.Governing, tenant = "acme") =>
        Effect.all([
          tagOf(governing.explain(tenant, { scope: `tenant:${tenant}`, unit: "TOKENS" })),
          tagOf(governing.entries(tenant)),
          tagOf(governing.spend(tenant, spending)),
          tagOf(governing.verify(tenant))
        ])
      const all = (tag: string) => [tag, tag, tag, tag]
      const { key, secret } = yield* operator.createApiKey("acme", { name: "k" })
      const principal = yield* governance.authenticate(secret)
      assert.deepStrictEqual(yield* tried(governance.as(principal)), all("read"))
      assert.deepStrictEqual(yield* tried(governance.as(principal), "other"), all("Forbidden"))
      const permissions = new Set(["balances:read", "admin:write"] as const)
      assert.deepStrictEqual(yield* tried(governance.as({ ...principal, permissions })), all("Forbidden"))
      yield* operator.revokeApiKey("acme", key.id)
      assert.deepStrictEqual(yield* tried(governance.as(principal)), all("Unauthorized"))
      assert.deepStrictEqual(yield* tagOf(operator.entries("acme", { limit: 0 })), "InvalidRequest")
    }).pipe(Effect.provide(layer)))
})
