// error: TS2339
// phrase: Property 'commit' does not exist on type 'Reservation<"TOKENS">'
import { Action, Amount, Reservation } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Effect.scoped(Effect.map(Reservation.make(request), (r) => r.commit(Amount.tokens(1))))
