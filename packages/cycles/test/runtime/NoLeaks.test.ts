import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"

const complaint = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "none"

describe("NoLeaks", () => {
  it.effect("lets a test pass that leaves nothing", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(NoLeaks.check(Effect.gen(function*() {
        yield* Effect.forkChild(Effect.never)
        yield* Effect.forkScoped(Effect.never)
        const asleep = yield* Effect.forkChild(Effect.sleep("1 second"))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(asleep)
        return "fine"
      })))
      assert.deepStrictEqual(exit, Exit.succeed("fine"))
    }))

  it.effect("passes a test's own failure on", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.exit(NoLeaks.check(Effect.fail("mine"))), Exit.fail("mine"))
    }))

  it.effect("goes red for a fiber that nobody owns", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(NoLeaks.check(Effect.forkDetach(Effect.never)))
      assert.include(complaint(exit), "1 of its fibers")
    }))

  it.effect("goes red for a fiber that nobody owns and that a fiber of the test started later", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(NoLeaks.check(Effect.gen(function*() {
        yield* Effect.forkChild(Effect.delay(Effect.forkDetach(Effect.sleep("1 hour")), "1 second"))
        yield* TestClock.adjust("2 seconds")
      })))
      // The sleeper, and the warning the test clock has waiting for it.
      assert.match(complaint(exit), /[12] of its fibers/)
      yield* TestClock.adjust("1 hour")
    }))

  it.effect("goes red for a live timer", () =>
    Effect.gen(function*() {
      let timer: ReturnType<typeof setTimeout> | undefined
      const exit = yield* Effect.exit(NoLeaks.check(Effect.sync(() => {
        timer = setTimeout(() => {}, 60_000)
      })))
      clearTimeout(timer)
      assert.include(complaint(exit), "1 timers")
    }))
})
