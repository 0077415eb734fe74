import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Governance, Ledger, LedgerStore, LedgerStoreMemory } from "effect-cycles"
import { Missing, View } from "effect-cycles/ledger/View"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const layer = Governance.layer({ peppers: [Redacted.make("a pepper of thirty-two characters or more")] }).pipe(
  Layer.provideMerge(Ledger.layer({ sweepEveryMs: 1_000 * 86_400_000 })),
  Layer.provideMerge(LedgerStoreMemory.layer)
)

const acme = "tenant:acme"
const engPath = `${acme}/workspace:eng/agent:writer`

const reserve = (authority: Operations, key: string) =>
  authority.reserve({
    idempotencyKey: IdempotencyKey.make(key),
    subject: { workspace: "eng", agent: "writer" },
    action: Action.make("tool.call", "search"),
    estimate: Amount.tokens(10)
  })

/** The tenant acme with a budget of 1,000 tokens, and an operator. */
const setup = Effect.gen(function*() {
  const governance = yield* Governance.Governance
  const ledger = yield* Ledger.Ledger
  const operator = governance.asOperator({ actor: "ops" })
  yield* operator.createTenant("acme", { name: "Acme" })
  yield* operator.createBudget("acme", { scope: acme, allocated: Amount.tokens(1_000) })
  return { governance, ledger, operator, authority: ledger.as({ tenant: "acme" }) }
})

const failure = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: (error) => error._tag, onSuccess: () => "Success" })

describe("what is asked for", () => {
  it.effect("is bounded, and says where it is not", () =>
    Effect.gen(function*() {
      const { operator } = yield* setup
      const many = (count: number) => Array.from({ length: count }, (_, i) => i)
      const circle: { [name: string]: unknown } = {}
      circle["again"] = circle
      const all: ReadonlyArray<Effect.Effect<unknown, Ledger.BudgetError | Ledger.PolicyError>> = [
        operator.createApiKey("acme", { name: "a", scopeFilter: many(101).map((i) => `agent:a${i}`) }),
        operator.createApiKey("acme", { name: "a", permissions: many(65).map(() => "balances:read" as const) }),
        operator.createApiKey("acme", { name: "a", metadata: { when: new Date(0) } }),
        operator.createBudget("acme", { scope: engPath, allocated: Amount.tokens(1), metadata: circle }),
        operator.updateBudget("acme", { scope: acme, unit: "TOKENS", metadata: { f: () => 1 } }),
        operator.createPolicy("acme", {
          name: "a",
          scopePattern: "*",
          stateCaps: many(17).map(() => ({ belowShare: 0.5, caps: {} }))
        }),
        operator.acts("acme", { limit: -1 }),
        operator.acts("acme", { after: Number.NaN }),
        operator.apiKeys("acme", { limit: 0 }),
        operator.budgets("acme", { limit: 1.5 }),
        operator.policies("acme", { limit: Number.NaN }),
        operator.tenants({ limit: -5 })
      ]
      const fields = yield* Effect.forEach(all, (asked) =>
        Effect.map(Effect.flip(asked), (error) => error._tag === "InvalidRequest" ? error.field : error._tag))
      assert.deepStrictEqual(fields, [
        "scopeFilter",
        "permissions",
        "metadata",
        "metadata",
        "metadata",
        "stateCaps",
        "limit",
        "after",
        "limit",
        "limit",
        "limit",
        "limit"
      ])
    }).pipe(Effect.provide(layer)))
})

describe("a status that this version does not know", () => {
  /** Gives a row a word of a later version; a cast, since no type of this one has it. */
  const later = "PAUSED" as "CLOSED"

  const rewrite = (change: (view: View) => void) =>
    Effect.flatMap(LedgerStore.LedgerStore, (store) =>
      store.transact(["acme"], (tx) => {
        const view = new View()
        const missing = new Missing(view)
        missing.tenant("acme")
        missing.whole("acme")
        return Effect.andThen(
          tx.load(missing, view),
          Effect.suspend(() => {
            change(view)
            return tx.write(view.writes())
          })
        )
      }))

  it.effect("lets nothing be taken from a budget", () =>
    Effect.gen(function*() {
      const { authority } = yield* setup
      yield* rewrite((view) => view.putBudget({ ...view.budget(acme, "TOKENS")!, status: later }))
      assert.strictEqual(yield* failure(reserve(authority, "a")), "BudgetClosed")
    }).pipe(Effect.provide(layer)))

  it.effect("lets a tenant and a key do nothing", () =>
    Effect.gen(function*() {
      const { authority, governance, ledger, operator } = yield* setup
      const { secret } = yield* operator.createApiKey("acme", { name: "a" })
      const principal = yield* governance.authenticate(secret)
      const keyed = ledger.as(principal)
      yield* rewrite((view) => {
        for (const row of view.whole("acme")?.apiKeys ?? []) {
          view.putDocument({ ...row, status: "PAUSED" as "REVOKED" })
        }
      })
      assert.strictEqual(yield* failure(reserve(keyed, "a")), "Unauthorized")
      assert.strictEqual(yield* failure(governance.authenticate(secret)), "Unauthorized")
      yield* rewrite((view) => {
        const row = view.tenant("acme")!
        view.putTenant({ ...row, profile: { ...row.profile!, status: later } })
      })
      assert.strictEqual(yield* failure(reserve(authority, "a")), "Forbidden")
    }).pipe(Effect.provide(layer)))
})

describe("an option of a ledger", () => {
  it.effect("that is out of its range is a defect that names it", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<readonly [string, Ledger.Options]> = [
        ["batchLimit", { batchLimit: 0 }],
        ["queueCapacity", { queueCapacity: 0.5 }],
        ["sweepEveryMs", { sweepEveryMs: 0 }],
        ["maxExtensions", { maxExtensions: -1 }],
        ["retention.entriesMs", { retention: { entriesMs: -1 } }],
        ["retention.spendMs", { retention: { spendMs: Number.NaN } }]
      ]
      for (const [name, options] of wrong) {
        const exit = yield* Effect.exit(Effect.scoped(Ledger.make(options)))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause), name)
        assert.include(String(exit), name)
      }
    }).pipe(Effect.provide(LedgerStoreMemory.layer)))
})

describe("a suspended tenant", () => {
  it.effect("gets no new key, not even in place of an old one", () =>
    Effect.gen(function*() {
      const { operator } = yield* setup
      const { key } = yield* operator.createApiKey("acme", { name: "a" })
      yield* operator.suspendTenant("acme")
      assert.strictEqual(yield* failure(operator.rotateApiKey("acme", key.id)), "Forbidden")
      assert.strictEqual((yield* operator.revokeApiKey("acme", key.id)).status, "REVOKED")
    }).pipe(Effect.provide(layer)))
})
