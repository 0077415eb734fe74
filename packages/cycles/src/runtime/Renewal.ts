/**
 * What a long allotment was charged is settled while it goes on, chunk by chunk.
 *
 * A chunk is one hold of the parent. When it is time the rest of the estimate is reserved as the next chunk, and only then is the
 * old one committed, with what the children were charged during it. The children notice nothing: what they hold is in the
 * allotment's own ledger, which is as large as the whole estimate and knows of no chunks. So what is held around is always what
 * the estimate has left, and the commits of the chunks add up to what the children were charged.
 *
 * Where the next chunk is not given, nothing has changed: the old one is kept and extended, its children's charges are counted on,
 * and the next chunk is asked for again later.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Unit } from "../protocol/Amount.ts"
import type * as Breakdown from "../protocol/Breakdown.ts"
import { DEFAULT_MAX_EXTENSIONS } from "../protocol/Extend.ts"
import { DEFAULT_TTL_MS } from "../protocol/Reserve.ts"
import * as Lease from "./Lease.ts"
import * as Lifecycle from "./Lifecycle.ts"

/** What was charged since the last cut. */
export interface Cut {
  readonly charged: bigint
  readonly rows: ReadonlyArray<Breakdown.Row>
}

/** Where what is charged is counted. */
export interface Tally {
  /** What the next cut would bring. */
  readonly charged: () => bigint
  /** Takes what was charged since the last cut. */
  readonly cut: () => Cut
  /** As if it had not been cut. */
  readonly putBack: (cut: Cut) => void
  /** What a cut means for the hold it was charged to. */
  readonly verdictOf: (cut: Cut) => Lifecycle.Verdict
}

export interface Renewal {
  /** No chunk begins after this. One that is being asked for is given back. */
  readonly stop: Effect.Effect<void>
  /** Waits for the settlement of the chunk before the last one. */
  readonly settled: Effect.Effect<void>
}

/** A chunk is renewed when it has as many extensions left. */
const SPARE_EXTENSIONS = 2

const monotonicMs = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

/** Renews the hold until it is stopped. It does nothing before the fiber that started it first waits. */
export const start = Effect.fnUntraced(function*<U extends Unit>(
  task: Lifecycle.Task<U>,
  tenure: Lifecycle.Tenure,
  settleEveryMs: number,
  tally: Tally
): Effect.fn.Return<Renewal> {
  const { estimate, ttlMs = DEFAULT_TTL_MS } = task.request
  const clock = yield* Clock.Clock
  let left = estimate.amount
  let settled: Effect.Effect<void> = Effect.void

  /** The hold may end before the work does: its extensions run out, or it could not be extended. */
  const isWorn = (): boolean =>
    tenure.beating.extensions >= DEFAULT_MAX_EXTENSIONS - SPARE_EXTENSIONS || tenure.beating.lost !== undefined

  const renewing = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      let dueMs = monotonicMs(clock) + settleEveryMs
      let refused = false
      while (true) {
        // Extensions are used up at no time that is known beforehand, at most one in each lease.
        yield* restore(Effect.sleep(Math.max(0, Math.min(dueMs - monotonicMs(clock), ttlMs / 2))))
        const isDue = monotonicMs(clock) >= dueMs
        if (!isWorn() && !(isDue && tally.charged() > 0n)) {
          if (isDue) dueMs += settleEveryMs
          continue
        }
        const cut = tally.cut()
        const before = tenure.lease.id
        const next = left > cut.charged ? left - cut.charged : 0n
        const exit = yield* Effect.exit(Lifecycle.renew(
          task,
          tenure,
          { unit: estimate.unit, amount: next },
          tally.verdictOf(cut),
          restore
        ))
        dueMs = monotonicMs(clock) + settleEveryMs
        if (Exit.isSuccess(exit)) {
          left -= cut.charged
          refused = false
          settled = exit.value
          yield* Effect.logDebug(`The allotment goes on under reservation ${tenure.lease.id} after ${before}`)
          // One settlement at a time, so that there is never more than one chunk that is not settled yet.
          yield* restore(settled)
          continue
        }
        tally.putBack(cut)
        if (Lease.wasInterrupted(exit)) continue
        if (!refused) {
          yield* Effect.logWarning(
            `An allotment could not renew reservation ${before}, and goes on under it as long as it can be extended. What was ` +
              "charged is settled when the allotment can be renewed, or ends.",
            exit.cause
          )
        }
        refused = true
      }
    })
  )
  const fiber: Fiber.Fiber<never> = yield* Effect.forkDetach(renewing)
  return {
    stop: Effect.asVoid(Fiber.interrupt(fiber)),
    settled: Effect.suspend(() => settled)
  }
})
