import { AuthorityConformance } from "@effect-cycles/testing"
import { Ledger, LedgerStoreMemory } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

/** A ledger on a store in memory, and the authorities of whoever is asked for. */
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
    Layer.provide(LedgerStoreMemory.layer)
  )

AuthorityConformance.suite("a ledger in memory", layerOf({}), { policies: true })
AuthorityConformance.suite("a ledger in memory whose replies show balances", layerOf({ balances: true }), {
  policies: true
})
