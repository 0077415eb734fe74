import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { HistoryConformance } from "@effect-cycles/testing"

HistoryConformance.suite("a store in SQLite", LedgerStoreSqlite.layer({ filename: ":memory:" }))
