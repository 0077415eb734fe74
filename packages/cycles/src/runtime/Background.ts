/**
 * Work that outlives the fiber that asked for it: a reserve in flight, a release, a commit.
 *
 * Such work is never cut short by its caller's interruption. The caller returns at once, the work goes on, and the owner's
 * shutdown waits for it.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

/** What `Effect.uninterruptibleMask` hands out. */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export interface Background {
  /**
   * Runs an effect and waits for it. Where the wait is interrupted the effect goes on, and `onAbandoned` runs after it with its
   * exit. To be called where interruption is masked, with the mask's `restore`, so that nothing slips between the end of the
   * effect and what its caller does next.
   */
  readonly run: <A, E, R>(
    restore: Restore,
    effect: Effect.Effect<A, E, R>,
    onAbandoned?: (exit: Exit.Exit<A, E>) => Effect.Effect<unknown, never, R>
  ) => Effect.Effect<A, E, R>
  /** Starts an effect and does not wait for it. */
  readonly start: <A, R>(effect: Effect.Effect<A, never, R>) => Effect.Effect<void, never, R>
  /** Starts an effect that somebody may wait for. */
  readonly fork: <A, R>(effect: Effect.Effect<A, never, R>) => Effect.Effect<Fiber.Fiber<A>, never, R>
}

/**
 * Owned by a scope, whose end waits for what is still running, `shutdownTimeoutMs` at most, and then interrupts it.
 */
export const make = Effect.fnUntraced(
  function*(shutdownTimeoutMs: number): Effect.fn.Return<Background, never, Scope.Scope> {
    const running = new Set<Fiber.Fiber<unknown, unknown>>()

    const track = <A, E>(fiber: Fiber.Fiber<A, E>): void => {
      if (fiber.pollUnsafe() !== undefined) return
      running.add(fiber)
      fiber.addObserver(() => {
        running.delete(fiber)
      })
    }

    // What is running may start more (an abandoned reserve its release), so the end is when nothing is left.
    const drained: Effect.Effect<void> = Effect.suspend(() =>
      running.size === 0 ? Effect.void : Effect.flatMap(Fiber.awaitAll(Array.from(running)), () => drained)
    )
    yield* Effect.addFinalizer(() =>
      drained.pipe(
        Effect.interruptible,
        Effect.timeoutOption(shutdownTimeoutMs),
        Effect.andThen(Effect.suspend(() => Fiber.interruptAll(Array.from(running))))
      )
    )

    return {
      run: (restore, effect, onAbandoned) =>
        Effect.flatMap(Effect.forkDetach(effect, { startImmediately: true }), (fiber) => {
          const done = fiber.pollUnsafe()
          if (done !== undefined) return done
          track(fiber)
          const wait = restore(Fiber.join(fiber))
          return onAbandoned === undefined ? wait : Effect.onInterrupt(wait, () =>
            Effect.asVoid(Effect.map(
              Effect.forkDetach(Effect.flatMap(Fiber.await(fiber), onAbandoned), { startImmediately: true }),
              track
            )))
        }),
      start: (effect) => Effect.map(Effect.forkDetach(effect, { startImmediately: true }), track),
      fork: (effect) =>
        Effect.map(Effect.forkDetach(effect, { startImmediately: true }), (fiber) => {
          track(fiber)
          return fiber
        })
    }
  }
)
