import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { GovernanceConformance } from "@effect-cycles/testing"

GovernanceConformance.suite("a store in SQLite", LedgerStoreSqlite.layer({ filename: ":memory:" }))
