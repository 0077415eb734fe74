// error: TS2322
// phrase: Type 'string & Brand<"ReservationId">' is not assignable to type 'Settlement<
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(
  request,
  (outer) => Budget.guard(request, (inner) => Effect.succeed(inner.commit(Amount.tokens(1), outer.id)))
)
