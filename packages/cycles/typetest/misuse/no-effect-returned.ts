// error: TS2322
// phrase: Type 'Settlement<S, "TOKENS", void, never>' is not assignable to type 'Effect<Settlement<
import { Action, Amount, Budget } from "effect-cycles"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(request, (r) => r.commit(Amount.tokens(1)))
