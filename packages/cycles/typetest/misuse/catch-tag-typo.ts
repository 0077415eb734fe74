// error: TS2345
// phrase: Argument of type '"BudgetExceded"' is not assignable to parameter of type
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const answer = Budget.guard(request, (r) => Effect.succeed(r.release()))

export const handled = answer.pipe(Effect.catchTag("BudgetExceded", () => Effect.void))
