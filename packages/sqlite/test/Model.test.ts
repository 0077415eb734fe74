import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { ModelConformance } from "@effect-cycles/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "cycles-sqlite-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// Logic, not durability: the file is opened anew, but the machine does not lose power.
ModelConformance.suite("a ledger in SQLite", {
  layer: () => LedgerStoreSqlite.layer({ filename: join(folder, "ledger.db"), synchronous: "off" }),
  isDurable: true
})
