// error: TS2345
// phrase: Type 'string' is not assignable to type 'Settlement<
import { Action, Amount, type PromiseClient } from "effect-cycles"

declare const client: PromiseClient.PromiseClient
const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const callLlm = async () => ({ text: "fine", tokens: 3 })

export const answer = client.guard(request, async (r) => {
  const out = await callLlm()
  if (out.tokens > 3) return out.text
  return r.commit(Amount.tokens(out.tokens), out.text)
})
