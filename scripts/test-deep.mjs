// `npm run test:deep [-- NAME…]`: ten thousand command sequences over the reference model and each store, and ten thousand requests
// at random to a server of each plane; or what is named only. This is `npm test` of the same files with more of it, in two processes.
//
// CYCLES_SEQUENCES and CYCLES_REQUESTS say how many. CYCLES_SEED, as a failure prints it, runs one sequence, or the same requests,
// again.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const repository = fileURLToPath(new URL("..", import.meta.url))

const files = {
  postgres: "packages/postgres/test/Model.test.ts",
  sqlite: "packages/sqlite/test/Model.test.ts",
  cycles: "packages/cycles/test/ledger/Model.test.ts",
  http: "packages/http/test/fuzz/Fuzz.test.ts"
}

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !(name in files))
if (unknown.length > 0) {
  console.error(`there is no "${unknown.join(", ")}"; choose from: ${Object.keys(files).join(", ")}`)
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
  { cwd: repository, stdio: "inherit", env: { CYCLES_SEQUENCES: "10000", CYCLES_REQUESTS: "10000", ...process.env } }
)
console.log(`${((Date.now() - startedAt) / 1_000).toFixed(0)} s`)
process.exit(status ?? 1)
