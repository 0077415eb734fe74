// error: TS2322
// phrase: Property '[TypeId]' is missing in type 'readonly [Settlement<S, "TOKENS", void, never>, Settlement<S, "TOKENS", void, never>]'
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(
  request,
  (r) => Effect.succeed([r.commit(Amount.tokens(1)), r.commit(Amount.tokens(2))] as const)
)
