// error: TS2379
// phrase: Type 'Scope' is not assignable to type 'never'
import { Action, Amount, Budget, Reservation } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
declare const service: Budget.Service

export const outcome = Effect.runPromise(Effect.provideService(
  Effect.flatMap(Reservation.make(request), (r) => Reservation.commit(r, Amount.tokens(1))),
  Budget.Budget,
  service
))
