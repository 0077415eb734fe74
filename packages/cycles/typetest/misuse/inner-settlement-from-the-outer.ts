// error: TS2322
// phrase: Two different types with this name exist, but they are unrelated
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const inDollars = { action: Action.make("tool.search", "web"), estimate: Amount.usd(0.05) }

export const answer = Budget.guard(request, function*(outer) {
  const settlement = yield* Budget.guard(
    inDollars,
    (inner) => Effect.succeed(inner.release(inner.commit(Amount.microcents(5), outer.id)))
  )
  return settlement
})
