import { HistoryConformance } from "@effect-cycles/testing"
import { withServer } from "./support/stores.ts"

withServer("the history of a ledger in PostgreSQL", ({ emptied }) => {
  HistoryConformance.suite("a store in PostgreSQL", emptied)
})
