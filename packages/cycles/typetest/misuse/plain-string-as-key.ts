// error: TS2322
// phrase: Type 'string' is not assignable to type 'string & Brand<"IdempotencyKey">'
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard({ ...request, idempotencyKey: "k" }, (r) => Effect.succeed(r.release()))
