// error: TS2322
// phrase: Two different types with this name exist, but they are unrelated
import { Action, Amount, Budget, Settlement } from "effect-cycles"
import * as Effect from "effect/Effect"

const action = Action.make("message.email", "newsletter")
const requests = {
  tokens: { action, estimate: Amount.tokens(500) },
  risk: { action, estimate: Amount.riskPoints(10) }
}

export const sent = Budget.guardAll(
  requests,
  (outer) =>
    Budget.guardAll(
      requests,
      (inner) => Effect.succeed(Settlement.all({ tokens: outer.tokens.release(), risk: inner.risk.release() }, "sent"))
    ).pipe(
      Effect.map(() => Settlement.all({ tokens: outer.tokens.release(), risk: outer.risk.release() }))
    )
)
