import { CyclesClient } from "@effect-cycles/http"
import * as Server from "@effect-cycles/server/Server"
import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { AuthorityConformance } from "@effect-cycles/testing"
import { Governance, Ledger, LedgerStoreMemory } from "effect-cycles"
import type { LedgerStore } from "effect-cycles"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { withServer } from "../../postgres/test/support/stores.ts"
import * as Servers from "./support/servers.ts"

const DAY_MS = 86_400_000

/** Everybody the suite knows. */
const tenants = ["acm", "acme", "umbrella"]

/**
 * The port's own suite, unchanged: a client for each tenant with a key of its own, a socket, the server, a ledger, the store.
 */
const onStore = <E>(store: Layer.Layer<LedgerStore.LedgerStore, E>): AuthorityConformance.LayerOf => (setup) =>
  Layer.effect(
    AuthorityConformance.Harness,
    Effect.gen(function*() {
      const governance = yield* Governance.Governance
      const operator = governance.asOperator({ actor: "test" })
      const { url } = yield* Server.Server
      const clients = new Map<string, Operations>()
      for (const tenant of tenants) {
        // As long as the protocol lets a lease be, and a key that outlives every test.
        yield* operator.createTenant(tenant, { name: tenant, maxTtlMs: DAY_MS })
        const { secret } = yield* operator.createApiKey(tenant, { name: "test", expiresAtMs: 36_500 * DAY_MS })
        clients.set(tenant, yield* CyclesClient.make({ baseUrl: url, apiKey: secret, retries: 0 }))
      }
      for (const { tenant, ...budget } of setup.budgets) yield* operator.createBudget(tenant, budget)
      const ledger = yield* Ledger.Ledger
      return {
        authorityOf: (tenant) => {
          const client = clients.get(tenant)
          if (client === undefined) throw new Error(`${tenant} has no key`)
          return client
        },
        advance: (ms) => TestClock.adjust(ms),
        setStatus: (tenant, request) => ledger.updateBudget(tenant, request),
        createPolicy: (tenant, policy) => Effect.asVoid(operator.createPolicy(tenant, policy))
      }
    })
  ).pipe(
    // Time stands still but for `advance`, so that no number of requests is a rate.
    Layer.provide(Server.layer({ port: 0, adminKey: Redacted.make(Servers.adminKey), requestsPerSecond: 0 })),
    Layer.provide(Governance.layer({ peppers: [Redacted.make(Servers.pepper)] })),
    Layer.provide(Ledger.layer(setup)),
    Layer.provide(store),
    Layer.provide(FetchHttpClient.layer)
  )

AuthorityConformance.suite("A server over a ledger in memory", onStore(LedgerStoreMemory.layer), { policies: true })
AuthorityConformance.suite(
  "A server over a ledger in SQLite",
  onStore(LedgerStoreSqlite.layer({ filename: ":memory:" })),
  { policies: true }
)
withServer("PostgreSQL", ({ emptied }) => {
  AuthorityConformance.suite("a server over a ledger in PostgreSQL", onStore(emptied), { policies: true })
})
