import { GovernanceConformance } from "@effect-cycles/testing"
import { withServer } from "./support/stores.ts"

withServer("the governance of a ledger in PostgreSQL", ({ emptied }) => {
  GovernanceConformance.suite("a store in PostgreSQL", emptied)
})
