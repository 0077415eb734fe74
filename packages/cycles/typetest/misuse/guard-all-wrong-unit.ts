// error: TS2345
// phrase: 'Amount<"RISK_POINTS">' is not assignable to parameter of type 'Amount<"TOKENS">'
import { Action, Amount, Budget, Settlement } from "effect-cycles"
import * as Effect from "effect/Effect"

const action = Action.make("message.email", "newsletter")
const requests = {
  tokens: { action, estimate: Amount.tokens(500) },
  risk: { action, estimate: Amount.riskPoints(10) }
}

export const sent = Budget.guardAll(
  requests,
  ({ risk, tokens }) =>
    Effect.succeed(Settlement.all({ tokens: tokens.commit(Amount.riskPoints(10)), risk: risk.release() }, "sent"))
)
