// error: TS2820
// phrase: Did you mean '"REJECT"'?
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard({ ...request, overagePolicy: "REJECTED" }, (r) => Effect.succeed(r.release()))
