// error: TS2322
// phrase: Type 'Guarded<S, "TOKENS">' is not assignable to type 'Guarded<unknown, "TOKENS">'
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const smuggled = Budget.guard(request, (r) => Effect.fail(r))
