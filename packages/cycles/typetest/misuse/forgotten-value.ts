// error: TS2322
// phrase: Type 'string' is not assignable to type 'Settlement<
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

// The work is done and the settlement forgotten.
export const answer = Budget.guard(request, () => Effect.succeed("text"))
