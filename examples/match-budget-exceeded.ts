// What a denial carries, and four ways to handle one. All of them are checked by the compiler: a tag that is misspelt, or
// missing from an exhaustive match, does not compile.
import { Console, Context, Effect, Layer, Match } from "effect"
import type { CyclesError } from "effect-cycles"
import { Action, Amount, Budget, Ledger } from "effect-cycles"

class Llm extends Context.Service<Llm, {
  readonly complete: (prompt: string) => Effect.Effect<{ readonly text: string; readonly tokens: number }>
}>()("examples/Llm") {}

const simulatedLlm = Layer.succeed(Llm, { complete: () => Effect.succeed({ text: "an answer", tokens: 150 }) })

const ask = (agent: string) =>
  Budget.guard(
    { subject: { agent }, action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(100) },
    function*(r) {
      const llm = yield* Llm
      const out = yield* llm.complete("why?")
      return r.commit(Amount.tokens(out.tokens), out.text)
    }
  )

// 1. one tag, by name; every other error stays in the type
const cached = (agent: string) =>
  ask(agent).pipe(
    Effect.catchTag("BudgetExceeded", (e) =>
      Effect.succeed(`cached: ${e.scope} has ${e.remaining} ${e.unit} left, ${e.requested} were asked for`))
  )

// 2. several tags, each its own answer
const patient = (agent: string) =>
  ask(agent).pipe(Effect.catchTags({
    BudgetExceeded: () => Effect.succeed("a smaller model answers"),
    OverdraftLimitExceeded: (e) => Effect.succeed(`${e.scope} was overrun and has to be funded first`),
    AuthorityUnavailable: (e) => Effect.succeed(`ask again, the same request may succeed: ${e.isTransient}`)
  }))

// 3. every denial there is: leave one out and this does not compile
const advice = (denied: CyclesError.Denied) =>
  Match.valueTags(denied, {
    BudgetExceeded: (e) => `ask for ${e.remaining ?? 0n} at most`,
    OverdraftLimitExceeded: () => "fund the budget",
    DebtOutstanding: () => "repay the debt",
    BudgetFrozen: (e) => `have ${e.scope} unfrozen`,
    BudgetClosed: () => "use another budget",
    TenantClosed: () => "use another tenant",
    ActionDenied: (e) => `choose another action (${e.code})`,
    UnknownDenial: (e) => `look up ${e.code}`
  })

// 4. all of them at once; what is not a denial (a bad request, trouble with the authority) passes
const advised = (agent: string) =>
  ask(agent).pipe(Budget.catchDenied((denied) => Effect.succeed(`${denied.code}: ${advice(denied)}`)))

const program = Effect.gen(function*() {
  yield* Console.log("rich  :", yield* cached("rich"))
  yield* Console.log("poor  :", yield* cached("poor"))
  // 150 used where 100 were reserved and 120 allocated: 120 are charged, and the budget takes no new reservation
  yield* Console.log("eager :", yield* patient("eager"))
  yield* Console.log("eager :", yield* patient("eager"))
  yield* Console.log("poor  :", yield* advised("poor"))
  yield* Console.log("frozen:", yield* advised("frozen"))
  const error = yield* Effect.flip(ask("frozen"))
  yield* Console.log(`frozen: ${error.message} (transient: ${error.isTransient})`)
}).pipe(
  Effect.provide(Layer.provideMerge(
    Layer.merge(Budget.layer(), simulatedLlm),
    Ledger.layerMemory({
      tenant: "acme",
      budgets: [
        { scope: "tenant:acme/agent:rich", allocated: Amount.tokens(1_000) },
        { scope: "tenant:acme/agent:poor", allocated: Amount.tokens(60) },
        { scope: "tenant:acme/agent:eager", allocated: Amount.tokens(120) },
        { scope: "tenant:acme/agent:frozen", allocated: Amount.tokens(1_000), status: "FROZEN" }
      ]
    })
  ))
)

await Effect.runPromise(program)
