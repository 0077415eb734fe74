// error: TS2322
// phrase: Two different types with this name exist, but they are unrelated
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(request, function*(outer) {
  yield* Budget.guard(request, () => Effect.succeed(outer.commit(Amount.tokens(1), "x")))
  return outer.release()
})
