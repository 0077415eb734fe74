/**
 * Bugs that the reference server's history records, and that the suites of the stores and the model do not meet on their own. Which
 * test is about which bug is in docs/conformance.md.
 */
import { assert, describe, it } from "@effect/vitest"
import type { CyclesError } from "effect-cycles"
import { Action, Amount, Governance, Ledger, LedgerStore, LedgerStoreMemory } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import type { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

const DAY_MS = 86_400_000
const acme = "tenant:acme"
const bot = `${acme}/agent:bot`
const name = { scope: acme, unit: "TOKENS" } as const

const layerOf = (options: Ledger.Options, store: Layer.Layer<LedgerStore.LedgerStore> = LedgerStoreMemory.layer) =>
  Governance.layer({ peppers: [Redacted.make("a pepper of thirty-two characters or more")] }).pipe(
    Layer.provideMerge(Ledger.layer(options)),
    Layer.provideMerge(store)
  )

const still = layerOf({ sweepEveryMs: 1_000 * DAY_MS })

const k = (key: string) => IdempotencyKey.make(key)
const action = Action.make("tool.call", "search")
const asking = (key: string, amount = 10) => ({
  idempotencyKey: k(key),
  subject: { agent: "bot" },
  action,
  estimate: Amount.tokens(amount)
})

const setUp = Effect.gen(function*() {
  const ledger = yield* Ledger.Ledger
  const operator = (yield* Governance.Governance).asOperator({ actor: "ops" })
  yield* operator.createTenant("acme", { name: "Acme" })
  yield* operator.createBudget("acme", {
    scope: acme,
    allocated: Amount.tokens(100),
    overdraftLimit: Amount.tokens(1_000)
  })
  return { ledger, operator, authority: ledger.as({ tenant: "acme", balances: true }) }
})

const reserved = (authority: ReturnType<Ledger.Operations["as"]>, key: string, amount?: number) =>
  Effect.map(authority.reserve(asking(key, amount)), ({ reservationId }) => reservationId ?? ReservationId.make("none"))

describe("what is asked again", () => {
  it.effect("tells, counts and records nothing again", () =>
    Effect.gen(function*() {
      const { authority, ledger, operator } = yield* setUp
      const id = yield* reserved(authority, "late", 1)
      const all = Effect.all([
        authority.reserve({ ...asking("a"), overagePolicy: "ALLOW_WITH_OVERDRAFT" }),
        Effect.flatMap(
          reserved(authority, "a-owing", 5),
          (id) => authority.commit(id, { idempotencyKey: k("c"), actual: Amount.tokens(5) })
        ),
        authority.event({
          idempotencyKey: k("e"),
          subject: { agent: "bot" },
          action,
          actual: Amount.tokens(150),
          overagePolicy: "ALLOW_WITH_OVERDRAFT"
        }),
        authority.extend(id, { idempotencyKey: k("x"), extendByMs: 1_000 }),
        operator.fund("acme", {
          ...name,
          idempotencyKey: k("f"),
          operation: "REPAY_DEBT",
          amount: Amount.tokens(1)
        }),
        operator.fund("acme", { ...name, idempotencyKey: k("f2"), operation: "CREDIT", amount: Amount.tokens(500) }),
        authority.release(id, { idempotencyKey: k("r") })
      ])
      const first = yield* all
      const query = { by: "scope", unit: "TOKENS", from: 0, to: DAY_MS, every: "hour" } as const
      const traces = Effect.gen(function*() {
        return {
          events: yield* Stream.runCollect(ledger.events("acme")),
          entries: yield* ledger.entries("acme"),
          acts: yield* operator.acts("acme"),
          spend: yield* ledger.spend("acme", query),
          budgets: yield* operator.budgets("acme")
        }
      })
      const before = yield* traces
      assert.includeMembers(before.events.map(({ type }) => type), ["budget.debt_incurred", "budget.exhausted"])
      assert.isAbove(before.spend.length, 0)
      const again = yield* all
      assert.deepStrictEqual(again.slice(1, 3), first.slice(1, 3))
      assert.deepStrictEqual(again.slice(4), first.slice(4))
      assert.deepStrictEqual(yield* traces, before)
    }).pipe(Effect.provide(still)))

  it.effect("has its first answer for a month where money moved, and after its lease has ended", () =>
    Effect.gen(function*() {
      const { authority, operator } = yield* setUp
      const id = yield* reserved(authority, "a")
      const event = authority.event({
        idempotencyKey: k("e"),
        subject: { agent: "bot" },
        action,
        actual: Amount.tokens(3)
      })
      const commit = authority.commit(id, { idempotencyKey: k("c"), actual: Amount.tokens(4) })
      const short = yield* reserved(authority, "b")
      const extend = authority.extend(short, { idempotencyKey: k("x"), extendByMs: 5_000 })
      const [told, settled, extended] = [yield* event, yield* commit, yield* extend]
      yield* TestClock.adjust(DAY_MS - 1)
      assert.deepStrictEqual(yield* extend, { ...extended, remainingTtlMs: 0 })
      yield* TestClock.adjust(28 * DAY_MS)
      assert.deepStrictEqual(yield* event, told)
      assert.deepStrictEqual(yield* commit, settled)
      assert.strictEqual((yield* operator.budget("acme", name)).balance.spent?.amount, 7n)
    }).pipe(Effect.provide(still)))
})

describe("a hold whose time is over", () => {
  it.effect("is expired and told of once, whoever comes first", () =>
    Effect.gen(function*() {
      const { authority, ledger } = yield* setUp
      yield* reserved(authority, "a", 50)
      yield* reserved(authority, "b", 50)
      yield* TestClock.adjust(65_001)
      yield* Effect.all([
        Effect.exit(authority.reserve(asking("c"))),
        Effect.exit(authority.decide(asking("d"))),
        Effect.exit(authority.balances({ tenant: "acme" })),
        Effect.exit(authority.reservations({})),
        Effect.exit(ledger.verify("acme"))
      ], { concurrency: "unbounded" })
      yield* TestClock.adjust(60_000)
      const ids = (rows: Iterable<{ readonly reservationId?: ReservationId | undefined }>) =>
        Array.from(rows, ({ reservationId }) => reservationId)
      const expired = ids((yield* ledger.entries("acme")).filter(({ kind }) => kind === "EXPIRE"))
      assert.lengthOf(new Set(expired), expired.length)
      assert.isAtLeast(expired.length, 2)
      const told = (yield* Stream.runCollect(ledger.events("acme"))).filter(({ type }) =>
        type === "reservation.expired"
      )
      assert.deepStrictEqual(ids(told), expired)
      assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
    }).pipe(Effect.provide(layerOf({ sweepEveryMs: 5_000 }))))

  it.effect("is expired also where another tenant's cannot be", () => {
    const isBroken = (tenants: ReadonlyArray<string>) => tenants.includes("aaa")
    let breaks = false
    const store = Layer.effect(
      LedgerStore.LedgerStore,
      Effect.map(LedgerStoreMemory.make, (own): LedgerStore.Operations => ({
        ...own,
        transact: (tenants, body) =>
          breaks && isBroken(tenants)
            ? Effect.fail(new LedgerStore.StoreError({ outcome: "none", cause: "a row cannot be read" }))
            : own.transact(tenants, body)
      }))
    )
    return Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      for (const tenant of ["aaa", "bbb"]) {
        yield* ledger.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.tokens(100) })
        yield* ledger.as({ tenant }).reserve(asking(`a-${tenant}`))
      }
      breaks = true
      yield* TestClock.adjust(80_000)
      const own = yield* LedgerStore.LedgerStore
      const [budget] = yield* own.transact(["bbb"], (tx) => tx.budgets("bbb", {}, { after: undefined, limit: 10 }))
      // What is being tried again ends before the ledger does.
      breaks = false
      yield* TestClock.adjust(80_000)
      assert.strictEqual(budget?.reserved, 0n)
    }).pipe(Effect.provide(layerOf({ sweepEveryMs: 5_000 }, store)))
  })
})

describe("governing", () => {
  it.effect("takes no overage policy there is not", () =>
    Effect.gen(function*() {
      const { operator } = yield* setUp
      // A word that came from outside.
      const overagePolicy = "ALLOW_EVERYTHING" as unknown as OveragePolicy
      const attempts: ReadonlyArray<Effect.Effect<unknown, CyclesError.CyclesError>> = [
        operator.createTenant("beta", { name: "Beta", overagePolicy }),
        operator.updateTenant("acme", { overagePolicy }),
        operator.createBudget("acme", { scope: bot, allocated: Amount.tokens(1), overagePolicy }),
        operator.updateBudget("acme", { ...name, overagePolicy }),
        operator.createPolicy("acme", { name: "p", scopePattern: acme, overagePolicy })
      ]
      for (const attempt of attempts) {
        const refusal = yield* Effect.flip(attempt)
        assert.deepInclude(refusal, { _tag: "InvalidRequest", field: "overagePolicy" })
      }
      assert.strictEqual((yield* operator.tenants()).length, 1)
    }).pipe(Effect.provide(still)))

  it.effect("lists all there is, by whatever it is filtered and however many there are", () =>
    Effect.gen(function*() {
      const { operator } = yield* setUp
      const names = Array.from({ length: 350 }, (_, i) => `t${String(i).padStart(4, "0")}`)
      yield* Effect.forEach(names, (tenant) => operator.createTenant(tenant, { name: tenant }), {
        concurrency: "unbounded"
      })
      const suspended = names.filter((_, i) => i % 7 === 0)
      yield* Effect.forEach(suspended, operator.suspendTenant)
      const found = yield* operator.tenants({ status: "SUSPENDED", limit: 1_000 })
      assert.deepStrictEqual(found.map(({ tenant }) => tenant), suspended)
      const paged: Array<string> = []
      for (;;) {
        const page = yield* operator.tenants({ status: "SUSPENDED", limit: 7, after: paged[paged.length - 1] })
        if (page.length === 0) break
        paged.push(...page.map(({ tenant }) => tenant))
      }
      assert.deepStrictEqual(paged, suspended)
    }).pipe(Effect.provide(still)))

  it.effect("funds one budget by a key, to the digit, and takes no sum it cannot keep", () =>
    Effect.gen(function*() {
      const { operator } = yield* setUp
      yield* operator.createBudget("acme", { scope: bot, allocated: Amount.tokens(0) })
      yield* operator.createTenant("beta", { name: "Beta" })
      yield* operator.createBudget("beta", { scope: "tenant:beta", allocated: Amount.tokens(0) })
      const amount = Amount.tokens(2n ** 53n + 1n)
      const credit = (tenant: string, scope: string) =>
        operator.fund(tenant, { scope, idempotencyKey: k("one"), operation: "CREDIT", amount })
      for (const [tenant, scope] of [["acme", bot], ["beta", "tenant:beta"]] as const) {
        const reply = yield* credit(tenant, scope)
        assert.deepStrictEqual(reply.balance.allocated, amount)
        assert.deepStrictEqual(yield* credit(tenant, scope), reply)
      }
      const most = { idempotencyKey: k("most"), operation: "CREDIT", amount: Amount.tokens(Amount.MAX_INT64) } as const
      const refusal = yield* Effect.flip(operator.fund("acme", { scope: bot, ...most }))
      assert.strictEqual(refusal._tag, "InvalidRequest")
      const { balance } = yield* operator.budget("acme", { scope: bot, unit: "TOKENS" })
      assert.deepStrictEqual(balance.allocated, amount)
    }).pipe(Effect.provide(still)))
})
