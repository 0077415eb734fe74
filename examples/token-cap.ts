// An authority may say "yes, but at most so many tokens". One helper heeds that, whether or not there is a cap.
import { Console, Context, Effect, Layer } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Caps, Ledger } from "effect-cycles"

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

const ledger = Ledger.layerMemory({
  tenant: "acme-corp",
  budgets: [{ scope: "tenant:acme-corp", allocated: Amount.tokens(5_000) }]
})

// The ledger has no policies yet. `BudgetAuthority` is a port: what stands in for a policy is a layer over the
// ledger's.
const capped = (caps: Caps.Caps) =>
  Layer.effect(
    BudgetAuthority.BudgetAuthority,
    Effect.map(BudgetAuthority.BudgetAuthority, (authority) => ({
      ...authority,
      reserve: (request) =>
        Effect.map(authority.reserve(request), (reply) => ({ ...reply, decision: "ALLOW_WITH_CAPS" as const, caps }))
    }))
  ).pipe(Layer.provideMerge(ledger))

const run = (authority: typeof ledger) =>
  summarize.pipe(
    Effect.flatMap(Console.log),
    Effect.provide(Layer.provide(Layer.merge(Budget.layer(), simulatedLlm), authority))
  )

await Effect.runPromise(run(ledger))
await Effect.runPromise(run(capped({ maxTokens: 600 })))
await Effect.runPromise(run(capped({ maxTokens: 300 })))
await Effect.runPromise(run(capped({ toolDenylist: ["shell_exec"] })))
