import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { AuthorityConformance, LedgerStoreConformance } from "@effect-cycles/testing"

const store = LedgerStoreSqlite.layer({ filename: ":memory:" })

LedgerStoreConformance.suite("a store in SQLite", () => store)
AuthorityConformance.suite("a ledger in SQLite", AuthorityConformance.onStore(store), { policies: true })
AuthorityConformance.suite(
  "a ledger in SQLite whose replies show balances",
  AuthorityConformance.onStore(store, { balances: true }),
  { policies: true }
)
