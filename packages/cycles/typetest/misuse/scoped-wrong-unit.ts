// error: TS2345
// phrase: Argument of type 'Amount<"USD_MICROCENTS">' is not assignable to parameter of type 'Amount<"TOKENS">'
import { Action, Amount, Reservation } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const outcome = Effect.scoped(
  Effect.flatMap(Reservation.make(request), (r) => Reservation.commit(r, Amount.microcents(1)))
)
