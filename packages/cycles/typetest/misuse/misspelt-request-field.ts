// error: TS2561
// phrase: 'idempotencykey' does not exist in type 'Request<"TOKENS">'. Did you mean to write 'idempotencyKey'?
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(
  { action: request.action, estimate: request.estimate, idempotencykey: "k" },
  (r) => Effect.succeed(r.release())
)
