import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { AuthorityConformance, LedgerStoreConformance } from "@effect-cycles/testing"
import { Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

const store = LedgerStoreSqlite.layer({ filename: ":memory:" })

const layerOf = (principal: Partial<Ledger.Principal>): AuthorityConformance.LayerOf => (setup) =>
  Layer.effect(
    AuthorityConformance.Harness,
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      for (const { tenant, ...budget } of setup.budgets) yield* ledger.createBudget(tenant, budget)
      return {
        authorityOf: (tenant) => ledger.as({ tenant, ...principal }),
        advance: (ms) => TestClock.adjust(ms),
        setStatus: (tenant, request) => ledger.updateBudget(tenant, request),
        createPolicy: (tenant, policy) => Effect.asVoid(ledger.createPolicy(tenant, policy))
      }
    })
  ).pipe(
    Layer.provide(Ledger.layer(setup)),
    Layer.provide(store)
  )

LedgerStoreConformance.suite("a store in SQLite", () => store)
AuthorityConformance.suite("a ledger in SQLite", layerOf({}), { policies: true })
AuthorityConformance.suite("a ledger in SQLite whose replies show balances", layerOf({ balances: true }), {
  policies: true
})
