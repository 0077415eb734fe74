// error: TS2379
// phrase: Type 'BudgetAuthority' is not assignable to type 'never'
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const answer = Budget.guard(request, (r) => Effect.succeed(r.release()))

export const result = Effect.runPromise(Effect.provide(answer, Budget.layer()))
