// error: TS2322
// phrase: Type 'Settlement<S, "TOKENS", number, never>' is not assignable to type 'Settlement<unknown, "TOKENS", number, never>'
import { Action, Amount, Budget, Settlement } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export let smuggled: Settlement.Settlement<unknown, "TOKENS", number> | undefined

export const answer = Budget.guard(request, (r) => {
  smuggled = r.commit(Amount.tokens(1), 1)
  return Effect.succeed(r.release())
})
