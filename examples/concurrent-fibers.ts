// One budget shared by many fibers: agents of one workflow work side by side, and every call spends from three levels at once
// (tenant, workflow, agent). No interleaving overspends any of them, and the totals at the end are exact.
import { Console, Context, Effect, Layer } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"

class Llm extends Context.Service<Llm, {
  readonly complete: (prompt: string) => Effect.Effect<{ readonly text: string; readonly tokens: number }>
}>()("examples/Llm") {}

const simulatedLlm = Layer.succeed(Llm, {
  complete: (prompt) =>
    Effect.delay(Effect.succeed({ text: `on ${prompt}`, tokens: 60 + prompt.length }), `${50 + prompt.length} millis`)
})

// Knows nothing of workflow or agent: that is said around it, and child fibers inherit it.
const ask = (prompt: string) =>
  Budget.guard(
    { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(100) },
    function*(r) {
      const llm = yield* Llm
      const out = yield* llm.complete(prompt)
      return r.commit(Amount.tokens(out.tokens), out.text)
    }
  ).pipe(
    Effect.map((text) => ({ text, denied: undefined })),
    Budget.catchDenied((denied) => Effect.succeed({ text: undefined, denied }))
  )

const topics = Array.from({ length: 20 }, (_, i) => `topic ${i + 1}`)

const agent = (name: string, prompts: ReadonlyArray<string>) =>
  Effect.forEach(prompts, ask, { concurrency: "unbounded" }).pipe(
    Effect.map((answers) => ({ name, answers, denied: answers.flatMap(({ denied }) => denied ?? []) })),
    Budget.within({ agent: name })
  )

const program = Effect.gen(function*() {
  const agents = yield* Effect.all(
    [agent("searcher", topics), agent("writer", topics.slice(0, 10)), agent("editor", topics.slice(0, 4))],
    { concurrency: "unbounded" }
  ).pipe(Budget.within({ workflow: "report" }))
  for (const { answers, denied, name } of agents) {
    yield* Console.log(`${name}: ${answers.length - denied.length} answered, ${denied.length} denied`)
    if (denied[0] !== undefined) yield* Console.log(`  ${denied[0].message}`)
  }

  yield* Console.log("\nscope                                 allocated   spent    held   remaining")
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  for (const { allocated, remaining, reserved, scope, spent } of balances) {
    const columns = [allocated, spent, reserved, remaining].map((amount) => String(amount?.amount).padStart(8))
    yield* Console.log(scope.padEnd(38) + columns.join(""))
  }

  const ledger = yield* Ledger.Ledger
  const { entries, flaws } = yield* ledger.verify("acme")
  yield* Console.log(`\n${entries} entries add up to these balances: ${flaws.length === 0 ? "yes" : flaws.join(", ")}`)
}).pipe(
  Effect.provide(Layer.provideMerge(
    Layer.merge(Budget.layer(), simulatedLlm),
    Ledger.layerMemory({
      tenant: "acme",
      budgets: [
        { scope: "tenant:acme", allocated: Amount.tokens(10_000) },
        { scope: "tenant:acme/workflow:report", allocated: Amount.tokens(3_500) },
        { scope: "tenant:acme/workflow:report/agent:writer", allocated: Amount.tokens(600) }
      ]
    })
  ))
)

await Effect.runPromise(program)
