// From nothing to a key. An operator, who has the admin key of a server, makes a tenant, a budget and a key. Whoever gets the key
// needs three variables of the environment, those every Cycles client reads: address, key and tenant.
//
// Here the server is in this process and forgets everything. `cycles serve` is one that does not, and `cycles init acme --usd 10`
// does there what the operator does here.
import { CyclesClient, GovernanceClient } from "@effect-cycles/http"
import { Server } from "@effect-cycles/server"
import { ConfigProvider, Console, Effect, Layer, Redacted } from "effect"
import { Action, Amount, Budget } from "effect-cycles"
import { FetchHttpClient } from "effect/http"

const adminKey = Redacted.make("thirty-two-or-more-secret-characters")

const server = Server.layerStandalone({
  store: { store: "memory" },
  peppers: [Redacted.make("thirty-two or more other characters")],
  adminKey,
  port: 0
})

const asOperator = Effect.fnUntraced(function*(baseUrl: string) {
  const operator = yield* GovernanceClient.make({ baseUrl, adminKey })
  yield* operator.createTenant({ tenant_id: "acme", name: "Acme Corporation" })
  const budget = yield* operator.createBudget({
    tenant_id: "acme",
    scope: "tenant:acme",
    unit: "USD_MICROCENTS",
    allocated: Amount.usd(10)
  })
  const key = yield* operator.createApiKey({ tenant_id: "acme", name: "first" })
  yield* Console.log(`${key.tenant_id} has ${Amount.format(budget.allocated)}, and a key that begins with cyc_live_`)
  return { CYCLES_BASE_URL: baseUrl, CYCLES_API_KEY: key.key_secret, CYCLES_TENANT: key.tenant_id }
})

const asAgent = Budget.guard(
  { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.usd("0.02") },
  (r) => Effect.succeed(r.commit(Amount.usd("0.018"), `${r.decision} on ${r.scopePath}`))
).pipe(
  Effect.flatMap((answer) => Console.log(answer)),
  Effect.provide(Layer.provide(Budget.layer(), CyclesClient.layerConfig()))
)

const program = Effect.gen(function*() {
  const { url } = yield* Server.Server
  const env = yield* asOperator(url)
  yield* Effect.provide(asAgent, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))

  const operator = yield* GovernanceClient.make({ baseUrl: url, adminKey })
  const { remaining, spent } = yield* operator.lookupBudget({ scope: "tenant:acme", unit: "USD_MICROCENTS" })
  yield* Console.log(`${spent && Amount.format(spent)} spent, ${Amount.format(remaining)} left`)
})

await Effect.runPromise(Effect.provide(program, Layer.merge(server, FetchHttpClient.layer)))
