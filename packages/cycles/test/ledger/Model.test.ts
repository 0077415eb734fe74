import { Commands, LedgerInStep, ReferenceModel } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import { Ledger, LedgerStoreMemory } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

const options: Commands.Options = { seededDebt: false }

/** A ledger of its own, on a clock of its own that stands at the scenario's beginning. The sweeper stays out of the way. */
const layerOf = (scenario: Commands.Scenario) =>
  Ledger.layer({ maxExtensions: scenario.maxExtensions, sweepEveryMs: 1_000 * 86_400_000 }).pipe(
    Layer.provideMerge(LedgerStoreMemory.layer),
    Layer.provideMerge(Layer.effectDiscard(TestClock.setTime(Commands.START_MS))),
    Layer.provideMerge(TestClock.layer())
  )

describe("the ledger and the reference model", () => {
  it.effect("agree on every reply and balance of two thousand seeded command sequences", () =>
    Effect.gen(function*() {
      for (let seed = 1; seed <= 2_000; seed++) {
        const scenario = Commands.generate(seed, 40, options)
        const { difference } = yield* Effect.provide(LedgerInStep.run(scenario), layerOf(scenario))
        assert.isUndefined(difference, `seed ${seed}: ${LedgerInStep.print(difference)}`)
      }
    }), 180_000)

  it.effect.prop(
    "agree on any command sequence, and the smallest counterexample is shown where they do not",
    [Commands.makeArbitrary(options)],
    ([scenario]) =>
      Effect.gen(function*() {
        const { difference } = yield* Effect.provide(LedgerInStep.run(scenario), layerOf(scenario))
        assert.isUndefined(difference, LedgerInStep.print(difference))
      }),
    { arbitrary: { size: 40, runs: 300 } }
  )

  it.effect("disagree as soon as any one rule of the model is broken", () =>
    Effect.gen(function*() {
      const unbroken = new Set(ReferenceModel.rules)
      for (let seed = 1; seed <= 3_000 && unbroken.size > 0; seed++) {
        const scenario = Commands.generate(seed, 60, options)
        const { entries } = yield* Effect.provide(LedgerInStep.run(scenario), layerOf(scenario))
        for (const rule of unbroken) {
          const broken = ReferenceModel.makeModel({ broken: rule, maxExtensions: scenario.maxExtensions })
          if (Commands.disagreement(scenario, entries, broken) !== undefined) unbroken.delete(rule)
        }
      }
      assert.deepStrictEqual(Array.from(unbroken), [])
    }), 180_000)
})
