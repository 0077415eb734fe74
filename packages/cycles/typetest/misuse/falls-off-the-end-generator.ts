// error: TS2345
// phrase: Type 'void' is not assignable to type 'Settlement<
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const callLlm = Effect.succeed({ text: "fine", tokens: 3 })

export const answer = Budget.guard(request, function*() {
  yield* callLlm
})
