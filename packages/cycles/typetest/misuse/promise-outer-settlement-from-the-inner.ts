// error: TS2719
// phrase: Two different types with this name exist, but they are unrelated
import { Action, Amount, type PromiseClient } from "effect-cycles"

declare const client: PromiseClient.PromiseClient
const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = client.guard(request, async (outer) => {
  await client.guard(request, async () => outer.commit(Amount.tokens(1), "x"))
  return outer.release()
})
