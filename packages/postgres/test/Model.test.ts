import { Commands, LedgerInStep } from "@effect-cycles/testing"
import { assert, it } from "@effect/vitest"
import { Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import { withServer } from "./support/stores.ts"

const SCENARIOS = Number(process.env.CYCLES_SCENARIOS ?? 100)

withServer("a ledger in PostgreSQL and the reference model", ({ emptied }) => {
  /** The store is emptied for each scenario, whose clock begins where all of them do. The sweeper stays out of the way. */
  const layerOf = (scenario: Commands.Scenario) =>
    Ledger.layer({ maxExtensions: scenario.maxExtensions, sweepEveryMs: 1_000 * 86_400_000 }).pipe(
      Layer.provideMerge(emptied),
      Layer.provideMerge(Layer.effectDiscard(TestClock.setTime(Commands.START_MS))),
      Layer.provideMerge(TestClock.layer())
    )

  it.effect(`agree on every reply and balance of ${SCENARIOS} seeded command sequences`, () =>
    Effect.gen(function*() {
      for (let seed = 1; seed <= SCENARIOS; seed++) {
        const scenario = Commands.generate(seed, 40, { seededDebt: false })
        const { difference } = yield* Effect.provide(LedgerInStep.run(scenario), layerOf(scenario))
        assert.isUndefined(difference, `seed ${seed}: ${LedgerInStep.print(difference)}`)
      }
    }), 600_000)
})
