// error: TS2322
// phrase: Type 'readonly [S, "risk"]' is not assignable to type 'readonly [S, "tokens"]'
import { Action, Amount, Budget, Settlement } from "effect-cycles"
import * as Effect from "effect/Effect"

const action = Action.make("message.email", "newsletter")
const requests = {
  tokens: { action, estimate: Amount.tokens(500) },
  risk: { action, estimate: Amount.riskPoints(10) }
}

export const sent = Budget.guardAll(
  requests,
  ({ risk, tokens }) => Effect.succeed(Settlement.all({ tokens: risk.release(), risk: tokens.release() }, "sent"))
)
