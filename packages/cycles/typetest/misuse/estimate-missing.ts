// error: TS2741
// phrase: Property 'estimate' is missing
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard({ action: request.action }, (r) => Effect.succeed(r.release()))
