// A function that is there already gets a budget without being touched. What happens around it: the estimate is
// reserved, what is denied does not run, what was used is charged, a failure gives the hold back and stays the
// function's own error.
import { Console, Effect, Exit, Layer, Schema } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"

let calls = 0

const callLlm = async (prompt: string, maxTokens: number): Promise<{ text: string; tokens: number }> => {
  calls++
  if (prompt === "fail") throw new Error("the provider answered 503")
  return { text: `a summary of ${prompt}`, tokens: Math.min(420, maxTokens) }
}

class LlmError extends Schema.TaggedError<LlmError>()("LlmError", { cause: Schema.Defect() }) {}

// The function as an effect. It knows nothing of budgets yet.
const complete = (prompt: string) =>
  Effect.tryPromise({ try: () => callLlm(prompt, 1_000), catch: (cause) => new LlmError({ cause }) })

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) }

// Around the call: the body returns what it used, together with its value.
const guarded = (prompt: string) =>
  Budget.guard(request, function*(r) {
    const out = yield* complete(prompt)
    return r.commit(Amount.tokens(out.tokens), out.text)
  })

// Behind the call: what it used is read from how it ended. The two do the same.
const charged = (prompt: string) =>
  complete(prompt).pipe(
    Budget.charge(request, (exit) => Amount.tokens(Exit.isSuccess(exit) ? exit.value.tokens : 0)),
    Effect.map((out) => out.text)
  )

const show = <E extends { readonly _tag: string }, R>(title: string, call: Effect.Effect<string, E, R>) =>
  Effect.gen(function*() {
    const before = calls
    const result = yield* Effect.result(call)
    const ended = result._tag === "Success" ? result.success : result.failure._tag
    yield* Console.log(`${title}: ${ended} (${calls === before ? "the function did not run" : "the function ran"})`)
    const authority = yield* BudgetAuthority.BudgetAuthority
    const { balances } = yield* authority.balances({ tenant: "acme-corp" })
    for (const { remaining, reserved, spent } of balances) {
      yield* Console.log(`  spent ${spent?.amount}, held ${reserved?.amount}, remaining ${remaining.amount}`)
    }
  })

const program = Effect.gen(function*() {
  yield* show("guard, a report", guarded("a report"))
  yield* show("guard, fail", guarded("fail"))
  yield* show("charge, fail", charged("fail"))
  yield* show("charge, a letter", charged("a letter"))
  yield* show("guard, a book", guarded("a book"))
}).pipe(
  Effect.provide(Layer.provideMerge(
    Budget.layer(),
    Ledger.layerMemory({
      tenant: "acme-corp",
      budgets: [{ scope: "tenant:acme-corp", allocated: Amount.tokens(1_800) }]
    })
  ))
)

await Effect.runPromise(program)
