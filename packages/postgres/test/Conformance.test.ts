import { AuthorityConformance, LedgerStoreConformance } from "@effect-cycles/testing"
import { withServer } from "./support/stores.ts"

withServer("PostgreSQL", ({ emptied }) => {
  LedgerStoreConformance.suite("a store in PostgreSQL", () => emptied)
  AuthorityConformance.suite("a ledger in PostgreSQL", AuthorityConformance.onStore(emptied), { policies: true })
  AuthorityConformance.suite(
    "a ledger in PostgreSQL whose replies show balances",
    AuthorityConformance.onStore(emptied, { balances: true }),
    { policies: true }
  )
})
