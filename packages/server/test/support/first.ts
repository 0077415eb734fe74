import { CyclesClient } from "@effect-cycles/http"
import { Effect, Layer } from "effect"
import { Action, Amount, Budget } from "effect-cycles"
import { FetchHttpClient } from "effect/http"

const program = Budget.guard(
  { subject: { agent: "first" }, action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.usd("0.01") },
  (r) => Effect.succeed(r.commit(Amount.usd("0.01"), "done"))
)

const live = Budget.layer().pipe(
  Layer.provideMerge(CyclesClient.layerConfig()),
  Layer.provide(FetchHttpClient.layer)
)

console.log(await Effect.runPromise(Effect.provide(program, live)))
