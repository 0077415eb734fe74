// error: TS2488
// phrase: Type 'Settlement<S, "TOKENS", void, never>' must have a '[Symbol.iterator]()' method
import { Action, Amount, Budget } from "effect-cycles"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

// A settlement is a value to return, not an effect to run.
export const answer = Budget.guard(request, function*(r) {
  yield* r.commit(Amount.tokens(1))
  return r.release()
})
