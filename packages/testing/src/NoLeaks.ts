/**
 * Proves that a test leaves nothing running: no fiber it started, and no live timer.
 *
 * What a test starts is counted while it runs. When it has ended, its scope is closed and its children are interrupted, as
 * always; what is still running then was started by something that does not clean up after itself, and fails the test.
 *
 * @since 0.1.0
 */
import type { TestContext } from "@effect/vitest"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"

/** Timers that keep this process alive, where it can tell. */
const liveTimers = (): number => {
  const { process } = globalThis as {
    readonly process?: { readonly getActiveResourcesInfo?: () => ReadonlyArray<string> }
  }
  return process?.getActiveResourcesInfo?.().filter((kind) => kind === "Timeout").length ?? 0
}

/** An interrupted fiber may need a few turns of the event loop to end. A hundred are more than any needs that ends at all. */
const TURNS = 100

/**
 * Runs an effect and dies, naming what was left, where a fiber or a timer it started outlives it.
 *
 * The effect runs in a scope and a fiber of its own, so that what is tied to either ends with it.
 *
 * **Example** (A fiber that nobody owns)
 *
 * ```ts
 * import { NoLeaks } from "@effect-cycles/testing"
 * import { Effect, Exit } from "effect"
 *
 * const tidy = NoLeaks.check(Effect.forkChild(Effect.never))
 * const leaky = NoLeaks.check(Effect.forkDetach(Effect.never))
 *
 * console.log(Exit.isSuccess(await Effect.runPromiseExit(tidy))) // => true
 * console.log(Exit.hasDies(await Effect.runPromiseExit(leaky))) // => true
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const check = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.suspend(() => {
    let running = 0
    const timersBefore = liveTimers()
    const counted = Effect.provideService(
      Effect.forkChild(Effect.scoped(self)),
      Metric.FiberRuntimeMetrics,
      {
        recordFiberStart: () => {
          running++
        },
        recordFiberEnd: () => {
          running--
        }
      }
    )
    return Effect.gen(function*() {
      const exit = yield* Fiber.await(yield* counted)
      const timers = (): number => liveTimers() - timersBefore
      for (let turn = 0; Exit.isSuccess(exit) && turn < TURNS && (running > 0 || timers() > 0); turn++) {
        yield* Effect.yieldNow
      }
      // A test that failed need not have cleaned up; its own failure says more.
      if (Exit.isSuccess(exit) && (running > 0 || timers() > 0)) {
        return yield* Effect.die(
          new Error(`The test has ended, but ${running} of its fibers and ${Math.max(0, timers())} timers go on`)
        )
      }
      return yield* exit
    })
  })

/**
 * `it.effect`, with {@link check}.
 *
 * @category tests
 * @since 0.1.0
 */
export const effect = <A, E>(
  name: string,
  self: (context: TestContext) => Effect.Effect<A, E, Scope.Scope>,
  timeout?: number
): void => it.effect(name, (context) => check(self(context)), timeout)
