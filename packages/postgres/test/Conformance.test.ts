import { AuthorityConformance, LedgerStoreConformance } from "@effect-cycles/testing"
import { Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import { withServer } from "./support/stores.ts"

withServer("PostgreSQL", ({ emptied }) => {
  /** A ledger on a store of its own, whose time is the test's, and the authorities of whoever is asked for. */
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
      Layer.provide(emptied)
    )

  LedgerStoreConformance.suite("a store in PostgreSQL", () => emptied)
  AuthorityConformance.suite("a ledger in PostgreSQL", layerOf({}), { policies: true })
  AuthorityConformance.suite("a ledger in PostgreSQL whose replies show balances", layerOf({ balances: true }), {
    policies: true
  })
})
