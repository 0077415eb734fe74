// error: TS2322
// phrase: Property '[TypeId]' is missing in type '{ readonly _tag: "Commit"
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }

export const answer = Budget.guard(
  request,
  () => Effect.succeed({ _tag: "Commit", actual: Amount.tokens(1), value: 1 } as const)
)
