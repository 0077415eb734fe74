import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

const action = Action.make("tool.search", "web")

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

const search = (fingerprint: string, credits = 1) =>
  Budget.guard(
    { action, estimate: Amount.credits(credits), fingerprint },
    (r) => Effect.succeed(r.commit(Amount.credits(credits)))
  )

describe("Budget.breakLoops", () => {
  NoLeaks.effect("ends work that does the same for the nth time, and not before", () =>
    Effect.gen(function*() {
      const twice = Effect.all([search("moss"), search("moss"), search("rain"), search("rain")])
      yield* twice.pipe(Budget.breakLoops({ repeats: 3 }))
      assert.deepStrictEqual(yield* figures, [4n, 0n])
      const loop = yield* Effect.flip(Effect.andThen(twice, search("rain")).pipe(Budget.breakLoops({ repeats: 3 })))
      assert.instanceOf(loop, Budget.LoopDetected)
      if (loop._tag !== "LoopDetected") return
      assert.deepStrictEqual([loop.because, loop.action, loop.fingerprint, loop.times], [
        "repetition",
        { kind: "tool.search", name: "web" },
        "rain",
        3
      ])
      // The call that closes the loop costs nothing.
      assert.deepStrictEqual(yield* figures, [8n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("compares the action alone where there is no fingerprint", () =>
    Effect.gen(function*() {
      const call = Budget.guard({ action, estimate: Amount.credits(1) }, (r) => Effect.succeed(r.release()))
      const loop = yield* Effect.flip(Budget.breakLoops(Effect.forever(call), { repeats: 5 }))
      assert.strictEqual(loop._tag, "LoopDetected")
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect(
    "cannot be swallowed inside, interrupts what else runs, and sees into allotments and forks",
    () =>
      Effect.gen(function*() {
        const other = Budget.guard(
          { action: Action.make("tool.wait", "x"), estimate: Amount.credits(10) },
          () => Effect.never
        )
        const stubborn = Effect.forever(Effect.ignore(search("moss")))
        const loop = yield* Effect.flip(
          Budget.allot(
            { action: Action.make("workflow.run", "x"), estimate: Amount.credits(50) },
            Effect.all([other, stubborn], { concurrency: 2 })
          ).pipe(Budget.breakLoops({ repeats: 4 }))
        )
        assert.strictEqual(loop._tag, "LoopDetected")
        yield* Effect.yieldNow
        assert.deepStrictEqual(yield* figures, [3n, 0n])
      }).pipe(Effect.provide(layer))
  )

  NoLeaks.effect("forgets what is older than its window", () =>
    Effect.gen(function*() {
      const slow = Effect.forEach([1, 2, 3, 4, 5], () => Effect.delay(search("moss"), "10 seconds"))
      const fiber = yield* Effect.forkChild(
        Effect.exit(slow.pipe(Budget.breakLoops({ repeats: 3, window: "20 seconds" })))
      )
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(fiber)))
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("ends work whose spend grows too fast, not work that is steady", () =>
    Effect.gen(function*() {
      const run = (credits: (i: number) => number) =>
        Effect.forEach(
          Array.from({ length: 12 }, (_, i) => i),
          (i) => Effect.delay(search(String(i), credits(i)), "10 seconds"),
          { discard: true }
        ).pipe(Budget.breakLoops({ repeats: 3, window: "30 seconds", acceleration: 4 }), Effect.exit)
      const steady = yield* Effect.forkChild(run(() => 5))
      yield* TestClock.adjust("2 minutes")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(steady)))
      const growing = yield* Effect.forkChild(run((i) => 2 ** i))
      yield* TestClock.adjust("2 minutes")
      const exit = yield* Fiber.join(growing)
      const error = Exit.findErrorOption(exit)
      assert.isTrue(
        error._tag === "Some" && error.value._tag === "LoopDetected" && error.value.because === "acceleration"
      )
      // 1, 2, 4, 8, 16 were spent on top of the 60 before; the sixth call saw 8 times as much as the window before.
      assert.deepStrictEqual(yield* figures, [91n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("refuses options that make no sense", () =>
    Effect.sync(() => {
      assert.throws(() => Budget.breakLoops(Effect.void, { repeats: 1 }), RangeError)
      assert.throws(() => Budget.breakLoops(Effect.void, { repeats: 2, acceleration: 1 }), RangeError)
    }))
})
