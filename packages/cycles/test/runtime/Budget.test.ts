import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, Ledger, Reservation } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

const action = Action.make("llm.completion", "gpt-4o")
const request = { action, estimate: Amount.tokens(60) }

const layer = Budget.layer().pipe(
  Layer.provideMerge(
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }] })
  )
)

const figures = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  const balance = balances[0]!
  return { remaining: balance.remaining.amount, reserved: balance.reserved?.amount, spent: balance.spent?.amount }
})

describe("Budget.guard", () => {
  NoLeaks.effect(
    "commits what the body returns, whichever of the three forms the body has",
    () =>
      Effect.gen(function*() {
        assert.strictEqual(
          yield* Budget.guard(request, (r) => Effect.succeed(r.commit(Amount.tokens(1), "lambda"))),
          "lambda"
        )
        assert.strictEqual(
          yield* Budget.guard(request, (r) =>
            Effect.gen(function*() {
              yield* Effect.void
              return r.commit(Amount.tokens(2), "gen")
            })),
          "gen"
        )
        assert.strictEqual(
          yield* Budget.guard(request, function*(r) {
            yield* Effect.void
            return r.commit(Amount.tokens(3), "generator")
          }),
          "generator"
        )
        assert.deepStrictEqual(yield* figures, { remaining: 94n, reserved: 0n, spent: 6n })
      }).pipe(Effect.provide(layer))
  )

  NoLeaks.effect(
    "releases on release, failure, defect and interrupt, and charges a commitFail",
    () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Budget.guard(request, (r) => Effect.succeed(r.release("free"))), "free")
        assert.deepStrictEqual(
          yield* Effect.exit(Budget.guard(request, () => Effect.fail("boom" as const))),
          Exit.fail("boom" as const)
        )
        assert.isTrue(Exit.hasDies(yield* Effect.exit(Budget.guard(request, () => Effect.die("bug")))))
        const fiber = yield* Effect.forkChild(Budget.guard(request, () => Effect.never))
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* figures).reserved, 60n)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* figures, { remaining: 100n, reserved: 0n, spent: 0n })
        const spent = yield* Effect.exit(
          Budget.guard(request, (r) => Effect.succeed(r.commitFail(Amount.tokens(7), "after spending" as const)))
        )
        assert.deepStrictEqual(spent, Exit.fail("after spending" as const))
        assert.deepStrictEqual(yield* figures, { remaining: 93n, reserved: 0n, spent: 7n })
      }).pipe(Effect.provide(layer))
  )

  NoLeaks.effect("denies as a typed error that says what there was", () =>
    Effect.gen(function*() {
      let ran = false
      const denied = yield* Budget.guard({ action, estimate: Amount.tokens(101) }, (r) => {
        ran = true
        return Effect.succeed(r.release())
      }).pipe(Effect.flip)
      assert.strictEqual(denied._tag, "BudgetExceeded")
      assert.isFalse(ran)
      if (denied._tag === "BudgetExceeded") {
        assert.strictEqual(denied.requested, 101n)
        assert.strictEqual(denied.remaining, 100n)
        assert.strictEqual(denied.scope, "tenant:acme")
        assert.include(denied.message, "ask for 100 TOKENS or less")
      }
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("refuses the settlement of another reservation at run time too", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        // What the types refuse, plain JavaScript can still write.
        Budget.guard(request, () => Effect.succeed({ _tag: "Commit", actual: Amount.tokens(1) } as never))
      )
      assert.isTrue(Exit.hasDies(exit))
      assert.deepStrictEqual(yield* figures, { remaining: 100n, reserved: 0n, spent: 0n })
    }).pipe(Effect.provide(layer)))
})

describe("Reservation", () => {
  NoLeaks.effect("is released by its scope, committed once, and says so the second time", () =>
    Effect.gen(function*() {
      yield* Effect.scoped(Reservation.make(request))
      assert.deepStrictEqual(yield* figures, { remaining: 100n, reserved: 0n, spent: 0n })
      const second = yield* Effect.scoped(Effect.gen(function*() {
        const r = yield* Reservation.make(request)
        yield* Reservation.commit(r, Amount.tokens(5))
        return yield* Effect.flip(Reservation.commit(r, Amount.tokens(5)))
      }))
      assert.strictEqual(second._tag, "AlreadySettled")
      assert.deepStrictEqual(yield* figures, { remaining: 95n, reserved: 0n, spent: 5n })
    }).pipe(Effect.provide(layer)))
})

describe("heartbeat", () => {
  NoLeaks.effect("keeps a lease alive far beyond its ttl", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Budget.guard({ ...request, ttl: "30 seconds" }, (r) =>
          Effect.as(Effect.sleep("2 minutes"), r.commit(Amount.tokens(9))))
      )
      yield* TestClock.adjust("119 seconds")
      assert.strictEqual((yield* figures).reserved, 60n)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* figures, { remaining: 91n, reserved: 0n, spent: 9n })
    }).pipe(Effect.provide(layer)))
})
