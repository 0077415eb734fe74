import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Ledger, LedgerStore, LedgerStoreMemory } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

const BAD = "tenant:bad"

let broken = false

/** A store in which one tenant's budget cannot be read, and which gives way first, so that what comes together is one batch. */
const damaged = (trouble: Effect.Effect<never, LedgerStore.StoreError>) =>
  Layer.effect(
    LedgerStore.LedgerStore,
    Effect.map(LedgerStoreMemory.make, (store) => ({
      ...store,
      transact: <A>(...[tenants, body]: Parameters<typeof store.transact<A>>) =>
        Effect.andThen(
          Effect.yieldNow,
          store.transact(tenants, (tx) =>
            body({
              ...tx,
              load: (keys, view) =>
                tenants.includes("bad") && keys.scopes.includes(`${BAD}/agent:bot`) ? trouble : tx.load(keys, view)
            }))
        )
    }))
  )

let keys = 0
const reserve = (ledger: Ledger.Operations, tenant: string, agent: string) =>
  Effect.match(
    ledger.as({ tenant }).reserve({
      idempotencyKey: IdempotencyKey.make(`key-${keys++}`),
      subject: { agent },
      action: Action.make("tool.call", "search"),
      estimate: Amount.tokens(1)
    }),
    { onFailure: (error) => error._tag, onSuccess: () => "ok" }
  )

const together = Effect.gen(function*() {
  const ledger = yield* Ledger.Ledger
  for (const tenant of ["acme", "bad", "corp"]) {
    yield* ledger.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.tokens(10) })
  }
  const told = yield* Effect.all([
    reserve(ledger, "acme", "bot"),
    reserve(ledger, "corp", "bot"),
    reserve(ledger, "bad", "bot"),
    reserve(ledger, "bad", "other"),
    reserve(ledger, "acme", "other")
  ], { concurrency: "unbounded" })
  const reserved: Array<bigint> = []
  for (const tenant of ["acme", "bad", "corp"]) {
    const { balances } = yield* ledger.as({ tenant }).balances({ tenant })
    reserved.push(balances[0]?.reserved?.amount ?? 0n)
  }
  return [told, reserved]
})

const alone = (trouble: string) => [["ok", "ok", trouble, "ok", "ok"], [2n, 1n, 1n]]

describe("what breaks a transaction", () => {
  it.effect("fails alone, typed: the commands beside it and other tenants go on", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* together, alone("InternalError"))
    }).pipe(Effect.provide(Layer.provideMerge(Ledger.layer(), damaged(Effect.die(new Error("a defect")))))))

  it.effect("fails alone and at once where a row cannot be read: nobody waits for it to be tried again", () =>
    Effect.gen(function*() {
      // The clock stands still: a pause would never end.
      assert.deepStrictEqual(yield* together, alone("AuthorityUnavailable"))
    }).pipe(Effect.provide(Layer.provideMerge(
      Ledger.layer(),
      damaged(Effect.fail(new LedgerStore.StoreError({ outcome: "none", lasting: true, cause: "unreadable" })))
    ))))

  it.effect("does not keep the events of other tenants in the outbox", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      for (const tenant of ["bad", "acme"]) {
        yield* ledger.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.tokens(10) })
      }
      broken = true
      const seen: Array<string> = []
      yield* Effect.forkChild(Stream.runForEach(ledger.outbox, ({ tenant }) => Effect.sync(() => seen.push(tenant))))
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual(seen, ["acme"])
      broken = false
      yield* TestClock.adjust(60_000)
      assert.deepStrictEqual(seen, ["acme", "bad"])
    }).pipe(Effect.provide(Layer.provideMerge(
      Ledger.layer({ sweepEveryMs: 1_000_000 }),
      Layer.effect(
        LedgerStore.LedgerStore,
        Effect.map(LedgerStoreMemory.make, (store) => ({
          ...store,
          transact: <A>(...[tenants, body]: Parameters<typeof store.transact<A>>) =>
            broken && tenants.includes("bad")
              ? Effect.fail(new LedgerStore.StoreError({ outcome: "none", lasting: true, cause: "unreadable" }))
              : store.transact(tenants, body)
        }))
      )
    ))))

  it.effect("does not end the sweeper: holds of other tenants are expired all the same", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      yield* ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(10) })
      yield* ledger.as({ tenant: "acme" }).reserve({
        idempotencyKey: IdempotencyKey.make("swept"),
        subject: { agent: "bot" },
        action: Action.make("tool.call", "search"),
        estimate: Amount.tokens(1),
        ttlMs: 60_000
      })
      yield* TestClock.adjust(100_000)
      const store = yield* LedgerStore.LedgerStore
      const entries = yield* store.transact(["acme"], (tx) => tx.entries("acme", 0, 10))
      assert.deepStrictEqual(entries.map(({ kind }) => kind), ["CREATE", "RESERVE", "EXPIRE"])
    }).pipe(Effect.provide(Layer.provideMerge(
      Ledger.layer({ sweepEveryMs: 1_000 }),
      Layer.effect(
        LedgerStore.LedgerStore,
        Effect.map(LedgerStoreMemory.make, (store) => ({
          ...store,
          dueTenants: (limit: number) => Effect.map(store.dueTenants(limit), (tenants) => ["bad", ...tenants]),
          transact: <A>(...[tenants, body]: Parameters<typeof store.transact<A>>) =>
            tenants.includes("bad") ? Effect.die(new Error("a defect")) : store.transact(tenants, body)
        }))
      )
    ))))
})
