// A workflow of an orchestrator and two agents. Every call names its agent and is charged to the agent, the workflow
// and the tenant, so that the budgets show who used what.
import { Console, Context, Effect, Layer } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"

class Tools extends Context.Service<Tools, {
  readonly plan: (topic: string) => Effect.Effect<{ readonly query: string; readonly tokens: number }>
  readonly search: (query: string) => Effect.Effect<{ readonly found: string; readonly tokens: number }>
  readonly write: (found: string) => Effect.Effect<{ readonly text: string; readonly tokens: number }>
}>()("examples/Tools") {}

const simulatedTools = Layer.succeed(Tools, {
  plan: (topic) => Effect.succeed({ query: `AI agent ${topic}`, tokens: 90 }),
  search: (query) => Effect.succeed({ found: `12 pages on ${query}`, tokens: 200 }),
  write: (found) => Effect.succeed({ text: `A report from ${found}`, tokens: 4_200 })
})

const search = (query: string) =>
  Budget.guard({ action: Action.make("tool.search", "web_search"), estimate: Amount.tokens(5_000) }, function*(r) {
    const tools = yield* Tools
    const out = yield* tools.search(query)
    return r.commit(Amount.tokens(out.tokens), out.found)
  }).pipe(Budget.within({ agent: "searcher" }))

const write = (found: string) =>
  Budget.guard({ action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(20_000) }, function*(r) {
    const tools = yield* Tools
    yield* table("while the writer works")
    const out = yield* tools.write(found)
    return r.commit(Amount.tokens(out.tokens), out.text)
  }).pipe(Budget.within({ agent: "writer" }))

// The parent pays for its own planning and for nothing else. Its agents' calls are charged at every level above them
// already: a parent that reserved and committed their 4,400 tokens too would make tenant and workflow pay for the same
// work twice. What the workflow may use in all is the budget on the workflow, below.
const report = Budget.guard(
  { action: Action.make("workflow.orchestrate", "research-v2"), estimate: Amount.tokens(500) },
  function*(r) {
    const tools = yield* Tools
    const plan = yield* tools.plan("cost management")
    const found = yield* search(plan.query)
    return r.commit(Amount.tokens(plan.tokens), yield* write(found))
  }
).pipe(Budget.within({ workflow: "research-report", agent: "orchestrator" }))

const table = (when: string) =>
  Effect.gen(function*() {
    yield* Console.log(`${when}:`)
    const { balances } = yield* Effect.flatMap(BudgetAuthority.BudgetAuthority, (it) => it.balances({ tenant: "acme" }))
    for (const { remaining, reserved, scope, spent } of balances) {
      const path = scope.split("/")
      const name = "  ".repeat(path.length) + path.at(-1)
      const columns = [spent, reserved, remaining].map((amount) => String(amount?.amount).padStart(8)).join("")
      yield* Console.log(name.padEnd(32) + columns)
    }
  })

const workflow = "tenant:acme/workflow:research-report"
const program = Effect.gen(function*() {
  yield* Console.log(`${"".padEnd(35)}spent    held    left`)
  yield* Console.log(yield* report)
  yield* table("afterwards")
}).pipe(
  Effect.provide(Layer.provideMerge(
    Layer.merge(Budget.layer(), simulatedTools),
    Ledger.layerMemory({
      tenant: "acme",
      budgets: [
        { scope: "tenant:acme", allocated: Amount.tokens(1_000_000) },
        { scope: workflow, allocated: Amount.tokens(50_000) },
        ...["orchestrator", "searcher", "writer"].map((agent) => ({
          scope: `${workflow}/agent:${agent}`,
          allocated: Amount.tokens(25_000)
        }))
      ]
    })
  ))
)

await Effect.runPromise(program)
