import { assert, describe, it } from "@effect/vitest"
import * as Governance from "effect-cycles/ledger/Governance"
import * as Ledger from "effect-cycles/ledger/Ledger"
import { LedgerStore } from "effect-cycles/ledger/LedgerStore"
import * as LedgerStoreMemory from "effect-cycles/ledger/LedgerStoreMemory"
import * as Amount from "effect-cycles/protocol/Amount"
import { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

const scope = "tenant:acme/agent:writer"
const policy = { name: "no e-mail", scopePattern: "tenant:acme/*", deniedActionKinds: ["message.email"] }
const acme: Ledger.EmbeddedOptions = {
  tenant: "acme",
  budgets: [
    { scope: "tenant:acme", allocated: Amount.tokens(1_000) },
    { scope, allocated: Amount.tokens(500) },
    { scope, allocated: Amount.usd(1) }
  ],
  policies: [policy]
}

const event = (tokens: number) =>
  Effect.flatMap(BudgetAuthority, (authority) =>
    authority.event({
      idempotencyKey: IdempotencyKey.make(`used-${tokens}`),
      subject: { agent: "writer" },
      action: { kind: "llm.completion", name: "gpt-4o" },
      actual: Amount.tokens(tokens)
    }))

const standing = Effect.gen(function*() {
  const authority = yield* BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  return balances.map(({ remaining, scope }) => `${scope} ${Amount.format(remaining)}`)
})

/** A program of its own on the store around it. */
const run = <A, E>(
  program: Effect.Effect<A, E, Ledger.Ledger | BudgetAuthority>,
  options: Ledger.EmbeddedOptions = acme
) => Effect.provide(program, Layer.fresh(Ledger.layerEmbedded(options)), { local: true })

describe("Ledger.layerEmbedded", () => {
  it.effect("opens what is not there, and leaves what is as it stands", () =>
    Effect.gen(function*() {
      yield* run(event(120))
      const found = yield* run(Effect.all([standing, Effect.flatMap(Ledger.Ledger, (l) => l.policies("acme"))]), {
        ...acme,
        budgets: [
          { scope: "tenant:acme", allocated: Amount.tokens(9_999) },
          { scope, allocated: Amount.tokens(500) },
          { scope: "tenant:acme/agent:editor", allocated: Amount.tokens(7) }
        ]
      })
      assert.deepStrictEqual(found[0], [
        "tenant:acme 880 TOKENS",
        "tenant:acme/agent:editor 7 TOKENS",
        `${scope} 380 TOKENS`,
        `${scope} $1.00`
      ])
      assert.deepStrictEqual(found[1].map(({ name }) => name), ["no e-mail"])
    }).pipe(Effect.provide(LedgerStoreMemory.layer)))

  it.effect("leaves no act behind where there was nothing to do", () =>
    Effect.gen(function*() {
      yield* run(Effect.void)
      const acts = yield* run(
        Effect.gen(function*() {
          const governance = yield* Governance.make({
            peppers: [Redacted.make("thirty-two or more secret characters")]
          })
          return yield* Stream.runCollect(governance.asOperator({ actor: "ann" }).audit("acme"))
        })
      )
      assert.deepStrictEqual(acts.map(({ operation }) => operation), [
        "createBudget",
        "createBudget",
        "createBudget",
        "createPolicy"
      ])
    }).pipe(Effect.provide(LedgerStoreMemory.layer)))

  it.effect("lets several programs begin at once", () =>
    Effect.gen(function*() {
      // Each looks before any of them has opened anything: what one opens meanwhile, the others find.
      const all = yield* Effect.all([run(standing), run(standing), run(standing)], { concurrency: "unbounded" })
      assert.deepStrictEqual(all[0], ["tenant:acme 1000 TOKENS", `${scope} 500 TOKENS`, `${scope} $1.00`])
      assert.deepStrictEqual(all[1], all[0])
      assert.deepStrictEqual(all[2], all[0])
    }).pipe(Effect.provide(SlowStore)))

  for (
    const [what, options, field] of [
      ["a budget twice", { budgets: [acme.budgets![0]!, acme.budgets![0]!] }, "scope"],
      ["a policy twice", { policies: [policy, policy] }, "name"]
    ] as const
  ) {
    it.effect(`refuses ${what}, also where it is there already`, () =>
      Effect.gen(function*() {
        const first = yield* Effect.flip(run(Effect.void, { tenant: "acme", ...options }))
        const again = yield* Effect.flip(run(Effect.void, { tenant: "acme", ...options }))
        assert.strictEqual(first._tag, "InvalidRequest")
        assert.strictEqual(first._tag === "InvalidRequest" && first.field, field)
        assert.deepStrictEqual(again.message, first.message)
      }).pipe(Effect.provide(LedgerStoreMemory.layer)))
  }
})

/** A store that lets others go first before each transaction. */
const SlowStore = Layer.effect(
  LedgerStore,
  Effect.map(LedgerStore, (store) => ({
    ...store,
    transact: (tenants, body) => Effect.andThen(Effect.yieldNow, store.transact(tenants, body))
  }))
).pipe(Layer.provide(LedgerStoreMemory.layer))

describe("Governance.layerAuthority", () => {
  const governed = Governance.layer({ peppers: [Redacted.make("thirty-two or more secret characters")] }).pipe(
    Layer.provideMerge(Ledger.layerMemory({ ...acme, budgets: acme.budgets ?? [] }))
  )

  it.effect("is the authority of the key's principal", () =>
    Effect.gen(function*() {
      const operator = (yield* Governance.Governance).asOperator({ actor: "ann" })
      const early = yield* Effect.flip(operator.createApiKey("acme", { name: "reports" }))
      assert.strictEqual(early.message, "Not found: there is no tenant acme. Register it first, by createTenant.")
      yield* operator.createTenant("acme", { name: "Acme Corporation" })
      const { key, secret } = yield* operator.createApiKey("acme", { name: "reports", permissions: ["balances:read"] })
      const agent = Governance.layerAuthority(secret)
      assert.lengthOf(yield* Effect.provide(standing, agent), 3)
      assert.strictEqual((yield* Effect.flip(Effect.provide(event(1), agent)))._tag, "Forbidden")
      yield* operator.revokeApiKey("acme", key.id)
      assert.strictEqual((yield* Effect.flip(Effect.provide(standing, agent)))._tag, "Unauthorized")
    }).pipe(Effect.provide(governed)))
})
