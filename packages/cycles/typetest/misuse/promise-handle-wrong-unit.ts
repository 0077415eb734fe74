// error: TS2345
// phrase: 'Amount<"USD_MICROCENTS">' is not assignable to parameter of type 'Amount<"TOKENS">'
import { Action, Amount, type PromiseClient } from "effect-cycles"

declare const client: PromiseClient.PromiseClient
const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = client.reserve(request).then((r) => r.commit(Amount.microcents(5)))
