// error: TS2339
// phrase: Property 'actual' does not exist on type 'number'
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

// What a guard succeeds with is the value; the settlement has been carried out and is gone.
export const charged = Effect.map(
  Budget.guard(request, (r) => Effect.succeed(r.commit(Amount.tokens(1), 1))),
  (settlement) => settlement.actual
)
