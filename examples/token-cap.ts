// An authority may say "yes, but at most so many tokens". One helper heeds that, whether or not there is a cap.
import { Console, Context, Effect, Layer } from "effect"
import { Action, Amount, Budget, Caps, Ledger } from "effect-cycles"

class Llm extends Context.Service<Llm, {
  readonly complete: (
    prompt: string,
    maxTokens: number
  ) => Effect.Effect<{ readonly text: string; readonly tokens: number }>
}>()("examples/Llm") {}

const simulatedLlm = Layer.succeed(Llm, {
  complete: (prompt, maxTokens) =>
    Effect.succeed({ text: `${prompt}, in at most ${maxTokens} tokens`, tokens: Math.min(420, maxTokens) })
})

const summarize = Budget.guard(
  { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
  function*(r) {
    const llm = yield* Llm
    const out = yield* llm.complete("a summary", Caps.clampTokens(r.caps, 1_000))
    // What was used, not what was allowed: the rest of the hold goes back.
    return r.commit(Amount.tokens(out.tokens), `${r.decision}: ${out.text}, used ${out.tokens}`)
  }
)

// A policy of the ledger says what comes with a yes, here for every scope of the tenant.
const ledger = (caps: Caps.Caps) =>
  Ledger.layerMemory({
    tenant: "acme-corp",
    budgets: [{ scope: "tenant:acme-corp", allocated: Amount.tokens(5_000) }],
    policies: [{ name: "caps", scopePattern: "*", caps }]
  })

const run = (caps: Caps.Caps) =>
  summarize.pipe(
    Effect.flatMap(Console.log),
    Effect.provide(Layer.provide(Layer.merge(Budget.layer(), simulatedLlm), ledger(caps)))
  )

await Effect.runPromise(run({}))
await Effect.runPromise(run({ maxTokens: 600 }))
await Effect.runPromise(run({ maxTokens: 300 }))
await Effect.runPromise(run({ toolDenylist: ["shell_exec"] }))
