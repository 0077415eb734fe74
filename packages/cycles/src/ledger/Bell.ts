/**
 * Wakes whoever waits for something to be written in this process.
 *
 * @internal
 */
import * as Effect from "effect/Effect"

export interface Bell {
  /** How often it has rung. */
  readonly rung: () => number
  readonly ring: () => void
  /** Waits until it has rung more often than that. */
  readonly after: (rung: number) => Effect.Effect<void>
}

export const make = (): Bell => {
  const waiting = new Set<() => void>()
  let times = 0
  return {
    rung: () => times,
    ring: () => {
      times++
      for (const wake of waiting) wake()
      waiting.clear()
    },
    after: (rung) =>
      Effect.callback((resume) => {
        const wake = (): void => resume(Effect.void)
        if (times !== rung) return wake()
        waiting.add(wake)
        return Effect.sync(() => waiting.delete(wake))
      })
  }
}
