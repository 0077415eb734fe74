// error: TS2561
// phrase: 'agnet' does not exist in type 'Within'. Did you mean to write 'agent'?
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(request, (r) => Effect.succeed(r.release())).pipe(Budget.within({ agnet: "writer" }))
