// error: TS2322
// phrase: is missing in type 'Settlement<
import { Action, Amount, Budget, Settlement } from "effect-cycles"
import * as Effect from "effect/Effect"

const action = Action.make("message.email", "newsletter")
const requests = {
  tokens: { action, estimate: Amount.tokens(500) },
  risk: { action, estimate: Amount.riskPoints(10) }
}

export const sent = Budget.guardAll(requests, ({ tokens }) => Effect.succeed(tokens.release("sent")))
