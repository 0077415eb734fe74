/**
 * Reserve and commit on a ledger over each store: how many lifecycles a second, how long an operation takes, how many transactions
 * it needs; the same with one command per transaction, and beside a bare driver that writes the same rows.
 *
 * Words after the name choose stores (`sqlite`, `"sqlite full"`, `postgres`, `memory`); `--million` adds a million finished
 * reservations; `--rounds=1` has every case run once.
 */
import type { Writes } from "effect-cycles/ledger/View"
import type { Address, Bed } from "./support/beds.ts"
import * as Beds from "./support/beds.ts"
import type { Floor } from "./support/floors.ts"
import { floor } from "./support/floors.ts"
import type { Case } from "./support/harness.ts"
import { derived, main, ratio } from "./support/harness.ts"
import type { Load, Outcome } from "./support/load.ts"
import { machineStall, run } from "./support/load.ts"
import { million } from "./support/million.ts"
import * as Processes from "./support/processes.ts"

const words = process.argv.slice(2)
const chosen = words.filter((word) => !word.startsWith("--"))
const rounds = Number(words.find((word) => word.startsWith("--rounds="))?.slice("--rounds=".length) ?? 2)

const wanted = Beds.beds.filter(({ name }) =>
  chosen.length === 0 || chosen.some((word) => name.split(" ").includes(word) || name === word)
)
const beds = wanted.filter(({ name }) => name !== "postgres" || Beds.unavailable === undefined)
if (beds.length < wanted.length) console.error(`ledger: POSTGRES IS NOT MEASURED: ${Beds.unavailable}`)
if (!Processes.canTrace) console.error("ledger: FSYNCS OF SQLITE ARE NOT COUNTED: there is no strace")

const on = async <A>(bed: Bed, use: (address: Address) => Promise<A>): Promise<A> => {
  const address = await bed.fresh()
  try {
    return await use(address)
  } finally {
    await Beds.remove(address)
  }
}

/** A floor under a load that has just been run, of what was recorded of it. */
const beside = (name: string, bed: Bed, recorded: () => ReadonlyArray<Writes>): ReadonlyArray<Case> => {
  const floorName = name.replace(bed.name, `${bed.name} floor`)
  let last: Floor | undefined
  return [
    {
      name: floorName,
      unit: "ops/s",
      run: async () => {
        last = await on(bed, (address) => floor(address, recorded()))
        return last.perSecond
      }
    },
    derived(`${floorName}, CPU per lifecycle`, "µs", () => last?.cpuUs ?? NaN),
    ratio(name, floorName),
    ratio(`${floorName}, CPU per lifecycle`, `${name}, CPU per lifecycle`)
  ]
}

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
        last = await on(bed, (address) => run(Beds.storeOf(address), load))
        return last.perSecond
      }
    },
    seen("p50", "ms", ({ p50Ms }) => p50Ms),
    seen("p99", "ms", ({ p99Ms }) => p99Ms),
    seen("transactions per operation", "×", ({ transactions }) => transactions),
    seen("longest stall", "ms", ({ stallMs }) => stallMs),
    seen("most CPU in a turn", "ms", ({ turnMs }) => turnMs),
    seen("CPU per lifecycle", "µs", ({ cpuUs }) => cpuUs),
    ...(load.recordMs === undefined ? [] : beside(name, bed, () => {
      const recorded = last?.recorded ?? []
      if (last !== undefined) last = { ...last, recorded: [] }
      return recorded
    }))
  ]
}

const scopeCounts = [1, 6] as const

const loaded = (callers: number, scopes: number): string =>
  `${callers} ${callers === 1 ? "caller" : "callers"}, ${scopes} ${scopes === 1 ? "scope" : "scopes"}`

const loads = (bed: Bed, scopes: 1 | 6): ReadonlyArray<Case> => {
  const recordMs = bed.name === "memory" ? undefined : 200
  const load = { scopes, tenants: 1 }
  return [
    ...[1, 16, 64, 256].flatMap((callers) =>
      rows(`${bed.name}, ${loaded(callers, scopes)}`, bed, {
        ...load,
        callers,
        ...(recordMs === undefined ? {} : { recordMs })
      })
    ),
    ...rows(`${bed.name}, ${loaded(64, scopes)}, 64 tenants`, bed, { ...load, callers: 64, tenants: 64 }),
    ...[1, 64].flatMap((callers) => {
      const name = `${bed.name}, ${loaded(callers, scopes)}`
      return [
        ...rows(`${name}, batch 1`, bed, { ...load, callers, batchLimit: 1 }),
        callers === 1 ? ratio(`${name}, p50`, `${name}, batch 1, p50`) : ratio(name, `${name}, batch 1`)
      ]
    }),
    ...syncs(bed, scopes),
    ...(bed.name === "postgres" ? processes(bed, scopes) : [])
  ]
}

/** The disk is synced by this process for SQLite, and by the server for PostgreSQL. */
const syncs = (bed: Bed, scopes: 1 | 6): ReadonlyArray<Case> => {
  const load: Load = { callers: 64, scopes, tenants: 1 }
  const measure = bed.name === "postgres" ?
    async (address: Address) => {
      const count = async (): Promise<number> =>
        address._tag === "postgres" ? Number(await Beds.ask(address, "SELECT wal_sync FROM pg_stat_wal")) : NaN
      const before = await count()
      const { operations } = await run(Beds.storeOf(address), load)
      return (await count() - before) / operations
    } :
    (address: Address) => Processes.syncs(address, load)
  if (bed.name === "memory" || (bed.name !== "postgres" && !Processes.canTrace)) return []
  return [{
    name: `${bed.name}, ${loaded(64, scopes)}, fsyncs per operation`,
    unit: "×",
    run: () => on(bed, measure)
  }]
}

const processes = (bed: Bed, scopes: 1 | 6): ReadonlyArray<Case> => {
  const name = `${bed.name}, 2 processes, ${loaded(64, scopes)} each`
  return [
    {
      name,
      unit: "ops/s",
      run: () => on(bed, (address) => Processes.together(address, { callers: 64, scopes, tenants: 1 }))
    },
    ratio(name, `${bed.name}, ${loaded(64, scopes)}`)
  ]
}

try {
  // What comes first is not to pay for the compiling of what they all have in common.
  for (const bed of beds) {
    for (const scopes of scopeCounts) {
      await on(bed, (address) => run(Beds.storeOf(address), { callers: 64, scopes, tenants: 1 }))
    }
  }
  await main(
    "ledger",
    () => [
      { name: "this machine, longest stall", unit: "ms", run: () => machineStall(500) },
      ...scopeCounts.flatMap((scopes) => beds.flatMap((bed) => loads(bed, scopes))),
      ...(words.includes("--million") ? beds.flatMap((bed) => million(bed)) : [])
    ],
    rounds,
    0
  )
} finally {
  await Beds.dispose()
}
