// error: TS2345
// phrase: 'number' is not assignable to parameter of type 'Amount<"TOKENS">'
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(request, (r) => Effect.succeed(r.commit(5, "x")))
