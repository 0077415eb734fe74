// error: TS2322
// phrase: Type 'number' is not assignable to type 'Amount<
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard({ ...request, estimate: 1_000 }, (r) => Effect.succeed(r.release()))
