import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

const workflow = Action.make("workflow.research", "report")
const action = Action.make("llm.completion", "gpt-4o")

const layer = Budget.layer().pipe(
  Layer.provideMerge(
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.credits(1_000) }] })
  )
)

const figures = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  return [balances[0]?.spent?.amount, balances[0]?.reserved?.amount]
})

const call = (credits = 1, name: string | number = "x") =>
  Budget.guard(
    { action, estimate: Amount.credits(credits) },
    (r) => Effect.as(Effect.sleep("1 second"), r.commit(Amount.credits(credits), name))
  )

/** Lets time pass until the effect has ended. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    yield* TestClock.adjust("1 minute")
    return yield* Fiber.join(fiber)
  })

const eight = [1, 2, 3, 4, 5, 6, 7, 8]

describe("Budget.forEach", () => {
  for (const share of ["equal", "firstCome", "weighted"] as const) {
    for (const concurrency of [1, 3, "unbounded"] as const) {
      NoLeaks.effect(
        `makes nine calls of a cap of nine: ${share}, ${concurrency} at a time`,
        () =>
          Effect.gen(function*() {
            const how = share === "weighted" ? { share, weightOf: (n: number) => n / 2 } : { share }
            const two = (n: number) => Effect.andThen(call(), call(1, n))
            const run = inTime(
              Effect.exit(Budget.forEach(eight, two, { amount: Amount.credits(9), concurrency, ...how }))
            )
            const exit = yield* run
            assert.isTrue(Exit.isFailure(exit))
            // Equal: seven children get one call each, the last gets two. Weighted: no share is above two.
            assert.deepStrictEqual(yield* figures, [9n, 0n])
            // The same of an allotment's rest.
            yield* Budget.allot(
              { action: workflow, estimate: Amount.credits(10) },
              Effect.gen(function*() {
                yield* inTime(call())
                return yield* inTime(Effect.exit(Budget.forEach(eight, two, { concurrency, ...how })))
              })
            )
            assert.deepStrictEqual(yield* figures, [19n, 0n])
          }).pipe(Effect.provide(layer))
      )
    }
  }

  NoLeaks.effect("gives all results, or those of the children that were not denied", () =>
    Effect.gen(function*() {
      const options = { amount: Amount.credits(4), share: "equal" as const, concurrency: 2 }
      assert.deepStrictEqual(yield* inTime(Budget.forEach([1, 2], (n) => call(2, n), options)), [1, 2])
      const exhausted = yield* inTime(
        Effect.flip(Budget.forEach([1, 2, 3, 4], (n) => call(n === 2 ? 2 : 1, n), options))
      )
      assert.instanceOf(exhausted, Budget.Exhausted)
      if (exhausted._tag !== "Exhausted") return
      assert.deepStrictEqual(exhausted.done, [1, 3, 4])
      assert.strictEqual(exhausted.denied._tag, "BudgetExceeded")
      assert.deepStrictEqual(exhausted.spent.map(({ charged }) => charged), [3n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect(
    "fails at once for an error that is no denial, and charges what was spent",
    () =>
      Effect.gen(function*() {
        const program = Budget.forEach(
          [1, 2, 3],
          (n): Effect.Effect<unknown, "boom" | Budget.GuardError, Budget.Budget> =>
            n === 2 ? Effect.delay(Effect.fail("boom" as const), "500 millis") : Effect.andThen(call(), call()),
          { amount: Amount.credits(9), share: "equal", concurrency: 2 }
        )
        assert.deepStrictEqual(yield* inTime(Effect.exit(program)), Exit.fail("boom" as const))
        assert.deepStrictEqual(yield* figures, [0n, 0n])
      }).pipe(Effect.provide(layer))
  )

  NoLeaks.effect("is exhausted from the start where the amount itself is denied", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Budget.forEach([1], () => call(), { amount: Amount.credits(1_001), share: "firstCome" })
      )
      assert.strictEqual(error._tag, "Exhausted")
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("needs an amount or an allotment, and weights that are weights", () =>
    Effect.gen(function*() {
      const flaw = yield* Effect.flip(Budget.forEach([1], () => call(), { share: "equal" }))
      assert.strictEqual(flaw._tag, "InvalidRequest")
      const exit = yield* Effect.exit(
        Budget.forEach([1], () => call(), { amount: Amount.credits(1), share: "weighted", weightOf: () => -1 })
      )
      assert.isTrue(Exit.hasDies(exit))
      assert.deepStrictEqual(yield* figures, [0n, 0n])
    }).pipe(Effect.provide(layer)))
})

describe("Budget.all", () => {
  NoLeaks.effect("keeps names and places", () =>
    Effect.gen(function*() {
      const options = { amount: Amount.credits(4), share: "equal" as const, concurrency: 2 }
      const [one, two] = yield* inTime(Budget.all([call(1, "one"), call(1, 2)], options))
      assert.deepStrictEqual([one, two], ["one", 2])
      const record = yield* inTime(Budget.all({ a: call(1, "a"), b: call(2, "b") }, options))
      assert.deepStrictEqual(record, { a: "a", b: "b" })
      const partly = yield* inTime(
        Budget.all({ a: call(1, "a"), b: call(3, "b") }, options).pipe(
          Effect.catchTag("Exhausted", ({ done }) => Effect.succeed(done))
        )
      )
      assert.deepStrictEqual(partly, { a: "a" })
      const places = yield* inTime(
        Budget.all([call(3), call(1)], options).pipe(
          Effect.catchTag("Exhausted", ({ done }) => Effect.succeed(done))
        )
      )
      assert.deepStrictEqual(places, [undefined, "x"])
    }).pipe(Effect.provide(layer)))
})
