import { NoLeaks, ScriptedAuthority } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"

const action = Action.make("llm.completion", "gpt-4o")

const ledger = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }]
})
const layer = Budget.layer().pipe(Layer.provideMerge(ledger))
const scripted = Budget.layer().pipe(Layer.provideMerge(ScriptedAuthority.layer()), Layer.provideMerge(ledger))

const figures = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  return [balances[0]?.spent?.amount, balances[0]?.reserved?.amount]
})

const call = (tokens: number, takes = 0, name: string | number = tokens) =>
  Budget.guard(
    { action, estimate: Amount.tokens(tokens) },
    (r) => Effect.as(Effect.sleep(takes), r.commit(Amount.tokens(tokens), name))
  )

describe("Budget.ladder", () => {
  NoLeaks.effect(
    "takes the first rung that is not denied, and stops at any other failure",
    () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Budget.ladder([call(101), call(60), Effect.succeed("cached")]), 60)
        assert.strictEqual(yield* Budget.ladder([call(101), call(60), Effect.succeed("cached")]), "cached")
        const failing = Budget.ladder([call(101), Effect.fail("boom" as const), Effect.succeed("cached")])
        assert.deepStrictEqual(yield* Effect.exit(failing), Exit.fail("boom" as const))
        assert.strictEqual((yield* Effect.flip(Budget.ladder([call(101), call(102)])))._tag, "BudgetExceeded")
      }).pipe(Effect.provide(layer))
  )
})

describe("Budget.retry", () => {
  const counting = <E>(failure: E) => {
    let attempts = 0
    return {
      attempts: () => attempts,
      effect: Budget.guard({ action, estimate: Amount.tokens(40) }, (r) =>
        Effect.sync(() => {
          attempts++
          return r.commitFail(Amount.tokens(40), failure)
        }))
    }
  }
  const policy = { schedule: Schedule.spaced("1 second") }

  NoLeaks.effect("repeats what may be of the moment, until it cannot be paid", () =>
    Effect.gen(function*() {
      const { attempts, effect } = counting("no answer")
      const fiber = yield* Effect.forkChild(Effect.flip(effect.pipe(Budget.retry(policy))))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.instanceOf(error, CyclesError.BudgetExceeded)
      assert.strictEqual(attempts(), 2)
      assert.deepStrictEqual(yield* figures, [80n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect(
    "does not repeat what says it is not transient, nor more often than told",
    () =>
      Effect.gen(function*() {
        const lasting = counting({ isTransient: false })
        yield* Effect.flip(Budget.retry(lasting.effect, policy))
        assert.strictEqual(lasting.attempts(), 1)
        let attempts = 0
        const free = Effect.suspend(() => {
          attempts++
          return Effect.fail("no answer")
        })
        const fiber = yield* Effect.forkChild(Effect.flip(Budget.retry(free, { times: 2 })))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(fiber)
        assert.strictEqual(attempts, 3)
      }).pipe(Effect.provide(layer))
  )

  NoLeaks.effect("repeats a denial only where asked to, and not before its time", () =>
    Effect.gen(function*() {
      const denial = new CyclesError.BudgetExceeded({ retryAfterMs: 30_000 })
      const authority = yield* ScriptedAuthority.ScriptedAuthority
      yield* authority.on("reserve", ScriptedAuthority.fail(denial))
      assert.strictEqual((yield* Effect.flip(call(10).pipe(Budget.retry(policy))))._tag, "BudgetExceeded")
      yield* authority.on("reserve", ScriptedAuthority.fail(denial))
      const fiber = yield* Effect.forkChild(call(10).pipe(Budget.retry({ ...policy, retryDenied: true })))
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* authority.callsOf("reserve")).length, 2)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), 10)
    }).pipe(Effect.provide(scripted)))
})

describe("Budget.race", () => {
  const arm = (name: string, takes: number, onUnsettled: "release" | "commitEstimate") =>
    Budget.guard(
      { action, estimate: Amount.tokens(40), onUnsettled },
      (r) => Effect.as(Effect.sleep(takes), r.commit(Amount.tokens(10), name))
    )

  NoLeaks.effect("holds for both arms, and charges the loser by its policy", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Budget.race(arm("slow", 2_000, "commitEstimate"), arm("fast", 1_000, "release"))
      )
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(yield* figures, [0n, 80n])
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "fast")
      yield* Effect.yieldNow
      assert.deepStrictEqual(yield* figures, [50n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("goes on with one arm where the other is denied", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(call(80, 1_000).pipe(Budget.race(call(40, 10))))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), 80)
      assert.deepStrictEqual(yield* figures, [80n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect(
    "starts the hedge when the first arm is late or has failed, and not before",
    () =>
      Effect.gen(function*() {
        const hedged = (first: number) =>
          Budget.race(arm("first", first, "release"), arm("second", 1_000, "release"), { hedgeAfter: "1 second" })
        const quick = yield* Effect.forkChild(hedged(500))
        yield* TestClock.adjust("500 millis")
        assert.deepStrictEqual(yield* figures, [10n, 0n])
        assert.strictEqual(yield* Fiber.join(quick), "first")
        const late = yield* Effect.forkChild(hedged(5_000))
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* Fiber.join(late), "second")
        const failed = yield* Effect.forkChild(
          Budget.race(Effect.fail("boom"), call(10), { hedgeAfter: "1 minute" })
        )
        yield* TestClock.adjust(0)
        assert.strictEqual(yield* Fiber.join(failed), 10)
      }).pipe(Effect.provide(layer))
  )
})

describe("Budget.whenAvailable", () => {
  const patient = (tokens: number, takes: number, name: string, started: Array<string>) =>
    Budget.guard({ action: { ...action, name }, estimate: Amount.tokens(tokens) }, (r) =>
      Effect.gen(function*() {
        started.push(name)
        yield* Effect.sleep(takes)
        return r.commit(Amount.tokens(1), name)
      })).pipe(Budget.whenAvailable({ timeout: "1 minute" }))

  NoLeaks.effect("serves who came first, as soon as a guard of the layer settles", () =>
    Effect.gen(function*() {
      const started: Array<string> = []
      const all = yield* Effect.forkChild(Effect.forEach(
        ["a", "b", "c", "d"],
        (name) => patient(name === "b" ? 90 : 30, 1_000, name, started),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust(0)
      // b wants more than is there while a runs; c and d would fit, and wait behind it.
      assert.deepStrictEqual(started, ["a"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(started, ["a", "b"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(started.toSorted(), ["a", "b", "c", "d"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(all), ["a", "b", "c", "d"])
      assert.deepStrictEqual(yield* figures, [4n, 0n])
      const entries = yield* Effect.flatMap(Ledger.Ledger, (books) => books.entries("acme"))
      assert.deepStrictEqual(
        entries.filter(({ kind }) => kind === "RESERVE").map(({ action }) => action?.name),
        ["a", "b", "c", "d"]
      )
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("gives up in time with the denial, and leaves the line to the next", () =>
    Effect.gen(function*() {
      const started: Array<string> = []
      const big = yield* Effect.forkChild(Effect.flip(patient(101, 0, "big", started)))
      yield* TestClock.adjust("1 second")
      const small = yield* Effect.forkChild(patient(50, 0, "small", started))
      const interrupted = yield* Effect.forkChild(patient(50, 0, "interrupted", started))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(interrupted)
      assert.deepStrictEqual(started, [])
      yield* TestClock.adjust("58 seconds")
      assert.strictEqual((yield* Fiber.join(big))._tag, "BudgetExceeded")
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* Fiber.join(small), "small")
      assert.deepStrictEqual(started, ["small"])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("notices budget that comes from elsewhere", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(patient(150, 0, "funded", []))
      yield* TestClock.adjust("10 seconds")
      const books = yield* Ledger.Ledger
      yield* books.fund("acme", {
        idempotencyKey: IdempotencyKey.make("more"),
        scope: "tenant:acme",
        operation: "CREDIT",
        amount: Amount.tokens(100)
      })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "funded")
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("heeds the authority's word, and does not wait for what cannot come", () =>
    Effect.gen(function*() {
      const authority = yield* ScriptedAuthority.ScriptedAuthority
      yield* authority.on("reserve", ScriptedAuthority.fail(new CyclesError.BudgetExceeded({ retryAfterMs: 20_000 })))
      const fiber = yield* Effect.forkChild(patient(10, 0, "late", []))
      yield* TestClock.adjust("19 seconds")
      assert.strictEqual((yield* authority.callsOf("reserve")).length, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "late")
      yield* authority.on("reserve", ScriptedAuthority.fail(new CyclesError.BudgetClosed({})))
      assert.strictEqual((yield* Effect.flip(patient(10, 0, "never", [])))._tag, "BudgetClosed")
    }).pipe(Effect.provide(scripted)))

  NoLeaks.effect("does not run work again that has begun", () =>
    Effect.gen(function*() {
      let ran = 0
      const program = Budget.guard({ action, estimate: Amount.tokens(10) }, (r) =>
        Effect.gen(function*() {
          ran++
          yield* call(200)
          return r.commit(Amount.tokens(1))
        })).pipe(Budget.whenAvailable({ timeout: "1 minute" }))
      assert.strictEqual((yield* Effect.flip(program))._tag, "BudgetExceeded")
      assert.strictEqual(ran, 1)
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("waits inside an allotment for its siblings", () =>
    Effect.gen(function*() {
      const started: Array<string> = []
      const fiber = yield* Effect.forkChild(Budget.allot(
        { action, estimate: Amount.tokens(50) },
        Effect.forEach(["a", "b"], (name) => patient(40, 1_000, name, started), { concurrency: 2 })
      ))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["a", "b"])
      assert.deepStrictEqual(yield* figures, [2n, 0n])
    }).pipe(Effect.provide(layer)))
})
