// The smallest guarded program. It names nobody who spends, so the tenant of the authority does.
import { Console, Effect, Layer } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"

const callLlm = (prompt: string) => Effect.succeed({ text: `${prompt} Who may spend what, asked first.`, tokens: 42 })

const reply = Budget.guard(
  { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
  function*(r) {
    const out = yield* callLlm("What is budget authority?")
    return r.commit(Amount.tokens(out.tokens), out.text)
  }
)

const program = Effect.gen(function*() {
  yield* Console.log(yield* reply)
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  for (const { remaining, scope, spent } of balances) {
    yield* Console.log(`${scope}: spent ${spent?.amount}, remaining ${remaining.amount}`)
  }
}).pipe(
  Effect.provide(Layer.provideMerge(
    Budget.layer(),
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] })
  ))
)

await Effect.runPromise(program)
