// error: TS2379
// phrase: Type 'Budget' is not assignable to type 'never'
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const result = Effect.runPromise(Budget.guard(request, (r) => Effect.succeed(r.release())))
