// error: TS2345
// phrase: Type 'void' is not assignable to type 'Settlement<
import { Action, Amount, type PromiseClient } from "effect-cycles"

declare const client: PromiseClient.PromiseClient
const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = client.guard(request, async (r) => {
  r.commit(Amount.tokens(1), "built and not returned")
})
