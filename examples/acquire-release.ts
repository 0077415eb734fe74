// A guarded LLM call in the manner of `acquireRelease`: the reservation is a resource, and whatever ends the work before it
// is settled gives the budget back. First with a `Scope`, then as `Budget.guard`, which most code should use.
import { Console, Context, Effect, Layer, Schema } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Caps, Ledger, Reservation } from "effect-cycles"

class LlmError extends Schema.TaggedError<LlmError>()("LlmError", { reason: Schema.String }) {}

interface Answer {
  readonly text: string
  readonly tokens: number
}

class Llm extends Context.Service<Llm, {
  readonly complete: (prompt: string, maxTokens: number) => Effect.Effect<Answer, LlmError>
}>()("examples/Llm") {}

const simulatedLlm = Layer.succeed(Llm, {
  complete: (prompt, maxTokens) =>
    prompt === "fail"
      ? Effect.fail(new LlmError({ reason: "the provider answered 503" }))
      : prompt === "hang"
      ? Effect.never
      : Effect.succeed({ text: `a summary of ${prompt}`, tokens: Math.min(420, maxTokens) })
})

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) }

// The scope owns the reservation. A failure, a defect or an interrupt before the commit releases it.
const scoped = (prompt: string) =>
  Effect.scoped(Effect.gen(function*() {
    const llm = yield* Llm
    const r = yield* Reservation.make(request)
    yield* budget("while it runs")
    const out = yield* llm.complete(prompt, Caps.clampTokens(r.caps, 1_000))
    yield* Reservation.commit(r, Amount.tokens(out.tokens), { metrics: { tokensOutput: out.tokens } })
    const second = yield* Effect.result(Reservation.commit(r, Amount.tokens(out.tokens)))
    yield* Console.log("  second commit:", second._tag === "Failure" ? second.failure._tag : "done")
    return out.text
  }))

// The same as a guard: the body returns what it used, and a second or a forgotten settlement does not compile.
const guarded = (prompt: string) =>
  Budget.guard(request, function*(r) {
    const llm = yield* Llm
    const out = yield* llm.complete(prompt, Caps.clampTokens(r.caps, 1_000))
    return r.commit(Amount.tokens(out.tokens), out.text)
  })

const budget = (when: string) =>
  Effect.gen(function*() {
    const authority = yield* BudgetAuthority.BudgetAuthority
    const { balances } = yield* authority.balances({ tenant: "acme" })
    for (const { remaining, reserved, spent } of balances) {
      yield* Console.log(`  ${when}: spent ${spent?.amount}, held ${reserved?.amount}, remaining ${remaining.amount}`)
    }
  })

const show = <A, E extends { readonly _tag: string }, R>(title: string, call: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    yield* Console.log(title)
    const result = yield* Effect.result(Effect.timeout(call, "100 millis"))
    yield* Console.log("  ended with:", result._tag === "Success" ? result.success : result.failure._tag)
    yield* budget("afterwards")
  })

const program = Effect.gen(function*() {
  for (const prompt of ["a report", "fail", "hang"]) yield* show(`scoped form, ${prompt}`, scoped(prompt))
  for (const prompt of ["a report", "fail", "hang"]) yield* show(`guard, ${prompt}`, guarded(prompt))
}).pipe(
  Effect.provide(Layer.provideMerge(
    Layer.merge(Budget.layer({ subject: { agent: "writer" } }), simulatedLlm),
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] })
  ))
)

await Effect.runPromise(program)
