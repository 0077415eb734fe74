// error: TS2322
// phrase: Type 'string' is not assignable to type 'Settlement<
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const callLlm = Effect.succeed({ text: "fine", tokens: 3 })

export const answer = Budget.guard(request, (r) =>
  Effect.gen(function*() {
    const out = yield* callLlm
    if (out.tokens > 3) return out.text
    return r.commit(Amount.tokens(out.tokens), out.text)
  }))
