// error: TS2741
// phrase: Property '[TypeId]' is missing in type 'Guarded<S, "TOKENS">' but required in type 'Reservation<
import { Action, Amount, Budget, Reservation } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(request, (r) => Effect.as(Reservation.commit(r, Amount.tokens(1)), r.release()))
