// error: TS2322
// phrase: Type 'string' is not assignable to type 'Settlement<
import { Action, Amount, type PromiseClient } from "effect-cycles"

declare const client: PromiseClient.PromiseClient
const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

// The work is done and the settlement forgotten.
export const answer = client.guard(request, async () => "text")
