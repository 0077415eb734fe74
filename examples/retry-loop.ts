// A retry loop whose back-off never grows, against a provider that bills the calls it fails. Without a budget it pays
// for every attempt. With one it ends at a denial: a denial is not transient, so a loop that retries what is transient
// stops there.
import { Console, Context, Effect, Layer, Schema } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"

class ProviderUnavailable
  extends Schema.TaggedError<ProviderUnavailable>()("ProviderUnavailable", { status: Schema.Natural })
{
  readonly isTransient = true
}

class Llm extends Context.Service<Llm, {
  readonly complete: (prompt: string) => Effect.Effect<string, ProviderUnavailable>
}>()("examples/Llm") {}

const price = Amount.usd("4.20")

let calls = 0
const simulatedLlm = Layer.succeed(Llm, {
  complete: () =>
    Effect.suspend(() => {
      calls++
      return Effect.fail(new ProviderUnavailable({ status: 503 }))
    })
})

const unguarded = Effect.flatMap(Llm, (llm) => llm.complete("a long prompt"))

// The provider bills what it fails, so a failure is charged and not released.
const guarded = Budget.guard(
  { action: Action.make("llm.completion", "gpt-4o"), estimate: price },
  (r) =>
    Effect.match(unguarded, {
      onSuccess: (text) => r.commit(price, text),
      onFailure: (error) => r.commitFail(price, error)
    })
)

const loop = <A, E extends { readonly _tag: string; readonly isTransient: boolean }, R>(
  title: string,
  call: Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    calls = 0
    const error = yield* call.pipe(Effect.retry({ times: 47, while: (error) => error.isTransient }), Effect.flip)
    const bill = Amount.format(Amount.microcents(price.amount * BigInt(calls)))
    yield* Console.log(`${title}: ${calls} calls, ${bill}, ended by ${error._tag}`)
  })

const program = Effect.gen(function*() {
  yield* loop("without a budget", unguarded)
  yield* loop("with a budget of $20", guarded)
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  for (const { remaining, spent } of balances) {
    yield* Console.log(`spent ${spent && Amount.format(spent)}, remaining ${Amount.format(remaining)}`)
  }
}).pipe(
  Effect.provide(Layer.provideMerge(
    Layer.merge(Budget.layer(), simulatedLlm),
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd(20) }] })
  ))
)

await Effect.runPromise(program)
