// A budget in dollars, and what a body knows of its reservation: the decision, the caps, what is held, and an id to
// look it up by later. Amounts are microcents, 100,000,000 to the dollar, so that a price per token is exact.
import { Console, Context, Effect, Layer } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Caps, Ledger } from "effect-cycles"

class Llm extends Context.Service<Llm, {
  readonly complete: (
    prompt: string,
    maxTokens: number
  ) => Effect.Effect<{ readonly text: string; readonly tokens: number }>
}>()("examples/Llm") {}

const simulatedLlm = Layer.succeed(Llm, {
  complete: (prompt, maxTokens) => Effect.succeed({ text: `on ${prompt}`, tokens: Math.min(1_800, maxTokens) })
})

// $10 for a million tokens
const priceOf = (tokens: number) => Amount.microcents(tokens * 1_000)

const ask = (prompt: string) =>
  Budget.guard(
    { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.microcents(2_000_000) },
    function*(r) {
      const llm = yield* Llm
      yield* Console.log(`${r.decision}, ${Amount.format(r.reserved)} held at ${r.affectedScopes.join(", ")}`)
      const out = yield* llm.complete(prompt, Caps.clampTokens(r.caps, 2_000))
      return r.commit(priceOf(out.tokens), { text: out.text, id: r.id })
    }
  )

const program = Effect.gen(function*() {
  const { id, text } = yield* ask("budgets")
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { action, committed, reserved, status } = yield* authority.reservation(id)
  yield* Console.log(text)
  yield* Console.log(
    `${status}: ${action.kind} ${action.name}, ${Amount.format(reserved)} held, ${
      committed && Amount.format(committed)
    } paid`
  )
  const { balances } = yield* authority.balances({ tenant: "acme" })
  yield* Console.log(`left: ${balances.map(({ remaining }) => Amount.format(remaining)).join()}`)
}).pipe(
  Effect.provide(Layer.provideMerge(
    Layer.merge(Budget.layer(), simulatedLlm),
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd(1) }] })
  ))
)

await Effect.runPromise(program)
