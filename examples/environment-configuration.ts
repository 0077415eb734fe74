// Who spends and how strictly budget is asked for, from environment variables or in code. `fromEnv` is given variables
// here so that every run is the same; without a provider, Effect reads those of the process.
import { Config, ConfigProvider, Console, Effect, Layer } from "effect"
import { Action, Amount, Budget, Ledger } from "effect-cycles"

const ask = Budget.guard(
  { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
  (r) => Effect.succeed(r.commit(Amount.tokens(42), `${r.scopePath}, ${r.held ? "held" : "nothing held"}`))
)

const ledger = (tenant: string) =>
  Ledger.layerMemory({ tenant, budgets: [{ scope: `tenant:${tenant}`, allocated: Amount.tokens(5_000) }] })

const settings = Config.all({
  tenant: Config.NonEmptyString("CYCLES_TENANT"),
  workspace: Config.withDefault(Config.NonEmptyString("CYCLES_WORKSPACE"), "default")
})

// `Budget.layerConfig` reads CYCLES_MODE, CYCLES_OVERAGE_POLICY, CYCLES_ON_UNAVAILABLE and CYCLES_RULES; the names of
// tenant and workspace are this program's own.
const fromEnvironment = Layer.unwrap(
  Effect.map(
    settings,
    ({ tenant, workspace }) => Layer.provide(Budget.layerConfig({ subject: { workspace } }), ledger(tenant))
  )
)

const inCode = Budget.layer({
  subject: { workspace: "prod" },
  mode: "enforce",
  onUnavailable: "open",
  overagePolicy: "REJECT",
  ttl: "2 minutes",
  gracePeriod: "10 seconds",
  heartbeat: "interrupt",
  heartbeatTimeout: "2 seconds"
}).pipe(Layer.provide(ledger("acme")))

const show = <E extends { readonly message: string }>(title: string, budget: Layer.Layer<Budget.Budget, E>) =>
  ask.pipe(
    Effect.provide(budget),
    Effect.catch((error) => Effect.succeed(error.message.replace(/\s+/g, " "))),
    Effect.flatMap((line) => Console.log(`${title}:`, line))
  )

const withVariables = (env: Record<string, string>) =>
  Layer.provide(fromEnvironment, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))

const program = Effect.gen(function*() {
  yield* show(
    "three variables",
    withVariables({ CYCLES_TENANT: "acme", CYCLES_WORKSPACE: "prod", CYCLES_MODE: "enforce" })
  )
  yield* show("one variable", withVariables({ CYCLES_TENANT: "acme" }))
  yield* show("shadow mode", withVariables({ CYCLES_TENANT: "acme", CYCLES_MODE: "shadow" }))
  yield* show("no tenant", withVariables({ CYCLES_WORKSPACE: "prod" }))
  yield* show("no such mode", withVariables({ CYCLES_TENANT: "acme", CYCLES_MODE: "sometimes" }))
  yield* show("in code", inCode)
})

await Effect.runPromise(program)
