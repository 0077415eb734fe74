// `npm run test:deep [-- NAME…]`: ten thousand command sequences over the reference model and each store, or the stores of the named
// packages only. This is `npm test` of the same files with more sequences, in two processes.
//
// CYCLES_SEQUENCES says how many. CYCLES_SEED, as a failure prints it, runs one sequence alone.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const repository = fileURLToPath(new URL("..", import.meta.url))

const files = {
  postgres: "packages/postgres/test/Model.test.ts",
  sqlite: "packages/sqlite/test/Model.test.ts",
  cycles: "packages/cycles/test/ledger/Model.test.ts"
}

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !(name in files))
if (unknown.length > 0) {
  console.error(`no store in "${unknown.join(", ")}"; choose from: ${Object.keys(files).join(", ")}`)
  process.exit(2)
}

const startedAt = Date.now()
const { status } = spawnSync(
  process.execPath,
  [
    `${repository}node_modules/vitest/vitest.mjs`,
    "run",
    "--config",
    "vitest.workspace.ts",
    "--maxWorkers",
    "2",
    ...(asked.length === 0 ? Object.keys(files) : asked).map((name) => files[name])
  ],
  { cwd: repository, stdio: "inherit", env: { CYCLES_SEQUENCES: "10000", ...process.env } }
)
console.log(`${((Date.now() - startedAt) / 1_000).toFixed(0)} s`)
process.exit(status ?? 1)
