import { AuthorityConformance, ScriptedAuthority } from "@effect-cycles/testing"
import { Ledger, LedgerStoreMemory } from "effect-cycles"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

/** Authorities that pass everything to a ledger in memory, by way of a script with these behaviours for every operation. */
const layerOf =
  (behaviours: ReadonlyArray<ScriptedAuthority.Behaviour<never, never>>): AuthorityConformance.LayerOf => (setup) =>
    Layer.effect(
      AuthorityConformance.Harness,
      Effect.gen(function*() {
        const ledger = yield* Ledger.Ledger
        for (const { tenant, ...budget } of setup.budgets) yield* ledger.createBudget(tenant, budget)
        const authorities = new Map<string, Operations>()
        for (const tenant of ["acme", "acm", "umbrella"]) {
          const { authority } = yield* ScriptedAuthority.make(ledger.as({ tenant }), {
            reserve: behaviours,
            commit: behaviours,
            release: behaviours,
            extend: behaviours,
            event: behaviours,
            decide: behaviours,
            balances: behaviours,
            reservation: behaviours,
            reservations: behaviours
          })
          authorities.set(tenant, authority)
        }
        return {
          authorityOf: (tenant) => authorities.get(tenant)!,
          advance: (ms) => TestClock.adjust(ms),
          setStatus: (tenant, request) => ledger.updateBudget(tenant, request)
        }
      })
    ).pipe(
      Layer.provide(Ledger.layer(setup)),
      Layer.provide(LedgerStoreMemory.layer)
    )

AuthorityConformance.suite("a scripted authority without a script", layerOf([]))
AuthorityConformance.suite(
  "a scripted authority whose script lets everything pass",
  layerOf([ScriptedAuthority.always(ScriptedAuthority.pass())])
)
