// A rollout in four weeks. The program is the same every week; what changes is the environment it is started in.
import { ConfigProvider, Console, Effect, Layer, Logger } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"

const calls = [
  { kind: "llm.completion", name: "draft", estimate: 100, used: 150 },
  { kind: "message.email", name: "notify", estimate: 90, used: 110 },
  { kind: "llm.completion", name: "review", estimate: 300, used: 300 }
]

let denials = 0

const run = ({ estimate, kind, name, used }: (typeof calls)[number]) =>
  Budget.guardOutcome(
    { action: Action.make(kind, name), estimate: Amount.tokens(estimate) },
    (r) => Effect.succeed(r.commit(Amount.tokens(used)))
  ).pipe(
    Effect.map(({ outcome }) =>
      outcome._tag === "Unguarded"
        ? "ran unguarded"
        : "charged" in outcome
        ? `${outcome._tag}, ${used} used, ${outcome.charged?.amount} charged`
        : outcome._tag
    ),
    Budget.catchDenied((denied) => {
      denials++
      return Effect.succeed(`${denied._tag}, did not run`)
    }),
    Effect.flatMap((ended) => Console.log(`  ${name}: ${ended}`))
  )

const work = Effect.gen(function*() {
  denials = 0
  for (const call of calls) yield* run(call)
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  yield* Console.log(`  spent ${balances[0]?.spent?.amount} of 250, denied ${denials} of ${calls.length}`)
})

const week = (title: string, environment: Record<string, string>) =>
  Effect.gen(function*() {
    yield* Console.log(title, JSON.stringify(environment))
    const variables = ConfigProvider.layer(ConfigProvider.fromEnv({ env: environment }))
    const ledger = Ledger.layerMemory({
      tenant: "acme",
      budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(250) }]
    })
    const budget = Layer.provide(Budget.layerConfig(), variables)
    yield* Effect.provide(work, Layer.provideMerge(budget, ledger))
  })

// What shadow mode would have denied is a warning. The refused charges are errors, which the outcomes above tell
// already.
const warnings = Logger.layer([
  Logger.make(({ logLevel, message }) => {
    if (logLevel === "Warn") console.log(`    ${logLevel}: ${message}`)
  })
])

const program = Effect.gen(function*() {
  yield* week("week 1", { CYCLES_MODE: "shadow" })
  yield* week("week 2", { CYCLES_OVERAGE_POLICY: "ALLOW_IF_AVAILABLE" })
  yield* week("week 3", { CYCLES_RULES: `{"message.*":{"overage_policy":"REJECT"}}` })
  yield* week("week 4", { CYCLES_OVERAGE_POLICY: "REJECT" })
}).pipe(Effect.provide(warnings))

await Effect.runPromise(program)
