import { Commands, LedgerInStep, ReferenceModel } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import { LedgerStoreMemory } from "effect-cycles"
import * as Effect from "effect/Effect"

const options: Commands.Options = { seededDebt: false }

describe("the ledger and the reference model", () => {
  it.effect.prop(
    "agree on any command sequence, and the smallest counterexample is shown where they do not",
    [Commands.makeArbitrary(options)],
    ([scenario]) =>
      Effect.gen(function*() {
        const { difference } = yield* LedgerInStep.run(scenario, LedgerStoreMemory.layer)
        assert.isUndefined(difference, LedgerInStep.print(difference))
      }),
    { arbitrary: { size: 40, runs: 300 } }
  )

  it.effect("disagree as soon as any one rule of the model is broken", () =>
    Effect.gen(function*() {
      const unbroken = new Set(ReferenceModel.rules)
      for (let seed = 1; seed <= 3_000 && unbroken.size > 0; seed++) {
        const scenario = Commands.generate(seed, 60, options)
        const { entries } = yield* LedgerInStep.run(scenario, LedgerStoreMemory.layer)
        for (const rule of unbroken) {
          const broken = ReferenceModel.makeModel({ broken: rule, maxExtensions: scenario.maxExtensions })
          if (Commands.disagreement(scenario, entries, broken) !== undefined) unbroken.delete(rule)
        }
      }
      assert.deepStrictEqual(Array.from(unbroken), [])
    }), 180_000)
})
