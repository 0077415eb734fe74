/**
 * Reserve and commit on a ledger over each store: how many lifecycles a second, how long an operation takes, how many transactions
 * it needs; the same with one command per transaction, and beside a bare driver that writes the same rows.
 */
import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { LedgerStoreMemory } from "effect-cycles"
import type { LedgerStore } from "effect-cycles/ledger/LedgerStore"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Case } from "./support/harness.ts"
import { derived, main, ratio } from "./support/harness.ts"
import type { Load, Outcome } from "./support/load.ts"
import { run } from "./support/load.ts"

interface Bed {
  readonly name: string
  readonly store: () => Layer.Layer<LedgerStore, unknown>
}

/** A file in a folder of its own, which is gone with the store. */
const sqlite = (synchronous: "full" | "normal"): Layer.Layer<LedgerStore, unknown> =>
  Layer.unwrap(Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "bench-sqlite-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    ),
    (folder) => LedgerStoreSqlite.layer({ filename: join(folder, "ledger.db"), synchronous })
  ))

const beds: ReadonlyArray<Bed> = [
  { name: "memory", store: () => LedgerStoreMemory.layer },
  { name: "sqlite full", store: () => sqlite("full") },
  { name: "sqlite normal", store: () => sqlite("normal") }
]

/** One load as rows: its rate is measured, the others are what else was seen in the same run. */
const rows = (name: string, bed: Bed, load: Load): ReadonlyArray<Case> => {
  let last: Outcome | undefined
  const seen = (what: string, unit: Case["unit"], figure: (outcome: Outcome) => number): Case =>
    derived(`${name}, ${what}`, unit, () => last === undefined ? NaN : figure(last))
  return [
    {
      name,
      unit: "ops/s",
      run: async () => {
        last = await run(bed.store(), load)
        return last.perSecond
      }
    },
    seen("p50", "ms", ({ p50Ms }) => p50Ms),
    seen("p99", "ms", ({ p99Ms }) => p99Ms),
    seen("transactions per operation", "×", ({ transactions }) => transactions),
    seen("longest stall", "ms", ({ stallMs }) => stallMs)
  ]
}

const scopeCounts = [1, 6] as const
const named = (bed: Bed, callers: number, scopes: number): string =>
  `${bed.name}, ${callers} callers, ${scopes} ${scopes === 1 ? "scope" : "scopes"}`

await main(
  "ledger",
  () =>
    beds.flatMap((bed) =>
      scopeCounts.flatMap((scopes) => [
        ...[1, 16, 64, 256].flatMap((callers) =>
          rows(named(bed, callers, scopes), bed, { callers, scopes, tenants: 1 })
        ),
        ...rows(`${named(bed, 64, scopes)}, 64 tenants`, bed, { callers: 64, scopes, tenants: 64 }),
        ...[1, 64].flatMap((callers) => [
          ...rows(`${named(bed, callers, scopes)}, batch 1`, bed, { callers, scopes, tenants: 1, batchLimit: 1 }),
          ratio(named(bed, callers, scopes), `${named(bed, callers, scopes)}, batch 1`)
        ])
      ])
    ),
  3
)
