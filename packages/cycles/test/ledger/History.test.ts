import { HistoryConformance } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import { Ledger, LedgerStoreMemory } from "effect-cycles"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

HistoryConformance.suite("a store in memory", LedgerStoreMemory.layer)

describe("alerts", () => {
  it.effect("out of their range are a defect that says which", () =>
    Effect.gen(function*() {
      const defectOf = (alerts: Ledger.Options["alerts"]) =>
        Effect.map(
          Effect.exit(Effect.scoped(Ledger.make({ alerts }))),
          (exit) => Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : ""
        )
      assert.include(yield* defectOf({ thresholds: [0.5, 0] }), "thresholds")
      assert.include(yield* defectOf({ thresholds: [Number.NaN] }), "thresholds")
      assert.include(yield* defectOf({ burnRate: { windowMs: 59_999 } }), "windowMs")
      assert.include(yield* defectOf({ burnRate: { multiplier: 1 } }), "multiplier")
      assert.include(yield* defectOf({ burnRate: { minimumShare: -1 } }), "minimumShare")
      assert.strictEqual(yield* defectOf({ thresholds: [0.5], burnRate: { windowMs: 60_000 } }), "")
    }).pipe(Effect.provide(LedgerStoreMemory.layer)))
})
