import { AuthorityConformance } from "@effect-cycles/testing"
import { LedgerStoreMemory } from "effect-cycles"

AuthorityConformance.suite("a ledger in memory", AuthorityConformance.onStore(LedgerStoreMemory.layer), {
  policies: true
})
AuthorityConformance.suite(
  "a ledger in memory whose replies show balances",
  AuthorityConformance.onStore(LedgerStoreMemory.layer, { balances: true }),
  { policies: true }
)
