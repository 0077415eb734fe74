// error: TS2345
// phrase: Argument of type 'string' is not assignable to parameter of type 'string & Brand<"ReservationId">'
import { BudgetAuthority } from "effect-cycles"
import * as Effect from "effect/Effect"

export const record = Effect.flatMap(
  BudgetAuthority.BudgetAuthority,
  (authority) => authority.reservation("0198-e1")
)
