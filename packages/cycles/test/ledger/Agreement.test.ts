import { Commands, LedgerInStep } from "@effect-cycles/testing"
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
    // The seeded sequences are beside every store; this is for the smallest counterexample.
    { arbitrary: { size: 40, runs: 60 } }
  )
})
