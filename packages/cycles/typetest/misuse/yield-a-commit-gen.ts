// error: TS2488
// phrase: Type 'Settlement<S, "TOKENS", void, never>' must have a '[Symbol.iterator]()' method
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(request, (r) =>
  Effect.gen(function*() {
    yield* r.commit(Amount.tokens(1))
    return r.release()
  }))
