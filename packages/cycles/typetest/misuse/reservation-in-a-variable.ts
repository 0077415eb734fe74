// error: TS2322
// phrase: Type 'Guarded<S, "TOKENS">' is not assignable to type 'Guarded<unknown, "TOKENS">'
import { Action, Amount, Budget, Reservation } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export let smuggled: Reservation.Guarded<unknown, "TOKENS"> | undefined

export const answer = Budget.guard(request, (r) => {
  smuggled = r
  return Effect.succeed(r.release())
})
