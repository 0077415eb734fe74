// error: TS2345
// phrase: Type 'unknown' is not assignable to type 'S'
import { Action, Amount, Budget, Reservation } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

// A body with a name leaves `S` open: `<S>(r: Reservation.Guarded<S, "TOKENS">) => …`
const body = (r: Reservation.Guarded<unknown, "TOKENS">) => Effect.succeed(r.release())

export const answer = Budget.guard(request, body)
