// error: TS2379
// phrase: Type 'GuardError' is not assignable to type 'never'
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const answer = Budget.guard(request, (r) => Effect.succeed(r.release()))

declare const neverFails: <A>(effect: Effect.Effect<A, never, Budget.Budget>) => A

export const handled = neverFails(answer)
