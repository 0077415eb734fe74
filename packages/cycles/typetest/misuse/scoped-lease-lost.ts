// error: TS2345
// phrase: Argument of type '"LeaseLost"' is not assignable to parameter of type
import { Action, Amount, Reservation } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

// The scoped form does not fail with LeaseLost; ask `Reservation.lost`.
export const outcome = Reservation.make(request).pipe(
  Effect.flatMap((r) => Reservation.commit(r, Amount.tokens(1))),
  Effect.scoped,
  Effect.catchTag("LeaseLost", () => Effect.void)
)
