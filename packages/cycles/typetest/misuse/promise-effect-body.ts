// error: TS2739
// phrase: is missing the following properties from type 'Promise<
import { Action, Amount, type PromiseClient } from "effect-cycles"
import * as Effect from "effect/Effect"

declare const client: PromiseClient.PromiseClient
const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = client.guard(request, (r) => Effect.succeed(r.commit(Amount.tokens(1), "x")))
