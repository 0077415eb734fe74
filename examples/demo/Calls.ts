/**
 * The one difference between an agent that can ruin you and one that cannot.
 */
import { Action, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"
import type { Turn } from "./Agent.ts"
import { Model } from "./Model.ts"

export const bare = Effect.fn("Calls.bare")(function*(turn: Turn) {
  const model = yield* Model
  const { text } = yield* model.complete(turn)
  return text
})

export const guarded = Effect.fn("Calls.guarded")(function*(turn: Turn) {
  const model = yield* Model
  const estimate = model.estimate(turn)
  return yield* Budget.guard(
    { action: Action.make("llm.completion", model.name), estimate },
    (r) =>
      model.complete(turn).pipe(
        Effect.map(({ text, usage }) => r.commit(model.cost(usage), text)),
        // The provider may bill a call whose answer was lost. Where nobody says how much, it is at most the estimate.
        Effect.catchTag("GatewayFailed", (failed) =>
          Effect.succeed(r.commitFail(failed.usage === undefined ? estimate : model.cost(failed.usage), failed)))
      )
  )
})
