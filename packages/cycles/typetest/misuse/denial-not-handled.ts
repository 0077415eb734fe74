// error: TS2375
// phrase: Type 'Effect<void, GuardError, Budget>' is not assignable to type
import { Action, Amount, Budget, CyclesError } from "effect-cycles"
import * as Effect from "effect/Effect"

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(10) }
const answer = Budget.guard(request, (r) => Effect.succeed(r.release()))

export const handled: Effect.Effect<void, Exclude<Budget.GuardError, CyclesError.Denied>, Budget.Budget> = answer
