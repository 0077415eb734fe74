/**
 * Reserve and commit over HTTP on the loopback interface: `cycles serve` over each store in a process of its own, under the load of
 * `wrk` in another; the same load on echoes of the same bodies, by `node:http` and by `HttpApi`, in processes of their own.
 *
 * Words after the name choose stores (`memory`, `sqlite`, `"sqlite normal"`, `postgres`). `--connections=1,64` chooses how many there
 * are, `--seconds=10` how long a load is, `--rounds=3` how often every case is run. `--cpu-prof=FOLDER` has each server write a
 * profile there.
 */
import type { Address, Bed } from "./support/beds.ts"
import * as Beds from "./support/beds.ts"
import type { Case } from "./support/harness.ts"
import { derived, main, ratio } from "./support/harness.ts"
import type { Outcome, Target } from "./support/wire.ts"
import * as Wire from "./support/wire.ts"

const words = process.argv.slice(2)
const chosen = words.filter((word) => !word.startsWith("--"))
const option = (name: string): string | undefined =>
  words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3)

const rounds = Number(option("rounds") ?? 1)
const seconds = Math.max(1, Math.round(Number(option("seconds") ?? 2)))
const connectionCounts = (option("connections") ?? "1,16,64,200").split(",").map(Number)
const profile = option("cpu-prof")

if (Wire.unavailable !== undefined) {
  console.error(`http: NOTHING IS MEASURED: ${Wire.unavailable}`)
  process.exit(1)
}

const wanted = Beds.beds.filter(({ name }) =>
  chosen.length === 0
    ? name !== "sqlite normal"
    : chosen.some((word) => name.split(" ").includes(word) || name === word)
)
const beds = wanted.filter(({ name }) => name !== "postgres" || Beds.unavailable === undefined)
if (beds.length < wanted.length) console.error(`http: POSTGRES IS NOT MEASURED: ${Beds.unavailable}`)

interface Named extends Target {
  readonly name: string
}

const NODE = "node:http echo"
const API = "HttpApi echo"

const connected = (connections: number): string => `${connections} ${connections === 1 ? "connection" : "connections"}`

/** One load as rows: how many requests there are is measured, the others are what else was seen in the same run. */
const rows = (name: string, target: Target, connections: number, tenants: number): ReadonlyArray<Case> => {
  let last: Outcome | undefined
  const seen = (what: string, unit: Case["unit"], figure: (outcome: Outcome) => number): Case =>
    derived(`${name}, ${what}`, unit, () => last === undefined ? NaN : figure(last))
  return [
    {
      name: `${name}, requests`,
      unit: "ops/s",
      run: async () => {
        last = await Wire.load(target, connections, tenants, seconds)
        return last.perSecond
      }
    },
    derived(name, "ops/s", () => (last?.perSecond ?? NaN) / 2),
    seen("p50", "ms", ({ p50Ms }) => p50Ms),
    seen("p99", "ms", ({ p99Ms }) => p99Ms),
    seen("CPU per request", "µs", ({ cpuUs }) => cpuUs)
  ]
}

/** Beside the echoes of as many connections: rates over rates, and what an echo takes of what is taken here. */
const beside = (name: string, connections: number): ReadonlyArray<Case> =>
  [NODE, API].flatMap((echo) => {
    const echoed = `${echo}, ${connected(connections)}`
    return [
      ratio(`${name}, requests`, `${echoed}, requests`),
      ratio(`${echoed}, CPU per request`, `${name}, CPU per request`)
    ]
  })

const loads = (echoes: ReadonlyArray<Named>, servers: ReadonlyArray<Named>): ReadonlyArray<Case> =>
  connectionCounts.flatMap((connections) => [
    ...echoes.flatMap((echo) => rows(`${echo.name}, ${connected(connections)}`, echo, connections, 1)),
    ...servers.flatMap((server) => {
      const shared = `${server.name}, ${connected(connections)}`
      const independent = `${shared}, ${Wire.TENANTS} tenants`
      return [
        ...rows(shared, server, connections, 1),
        ...beside(shared, connections),
        ...rows(independent, server, connections, Wire.TENANTS),
        ...beside(independent, connections)
      ]
    })
  ])

const on = async <A>(bed: Bed, use: (address: Address) => Promise<A>): Promise<A> => {
  const address = await bed.fresh()
  try {
    return await use(address)
  } finally {
    await Beds.remove(address)
  }
}

/** A server that has nothing to do yet. */
const atRest = (bed: Bed): ReadonlyArray<Case> => {
  let bytes = NaN
  return [
    {
      name: `${bed.name}, start to ready`,
      unit: "ms",
      run: () =>
        on(bed, async (address) => {
          const { readyMs, residentBytes, stop } = await Wire.serve(address)
          try {
            // Until what was only needed to start is gone.
            await new Promise((resolve) => setTimeout(resolve, 1_000))
            bytes = residentBytes()
          } finally {
            await stop()
          }
          return readyMs
        })
    },
    derived(`${bed.name}, memory at rest`, "bytes", () => bytes)
  ]
}

const addresses: Array<Address> = []
const targets: Array<Named> = []
try {
  for (const [name, kind] of [[NODE, "node"], [API, "api"]] as const) {
    targets.push({ name, ...await Wire.echo(kind, profile) })
  }
  for (const bed of beds) {
    const address = await bed.fresh()
    addresses.push(address)
    const target = await Wire.serve(address, profile)
    const index = targets.push({ name: bed.name, ...target }) - 1
    targets[index] = { name: bed.name, ...target, keys: await Wire.open(target.url) }
  }
  // What comes first is not to pay for the compiling of what they all have in common.
  for (const target of targets) await Wire.load(target, 64, 1, 2)
  await main(
    "http",
    () => [...beds.flatMap(atRest), ...loads(targets.slice(0, 2), targets.slice(2))],
    rounds,
    0
  )
} finally {
  for (const { stop } of targets) await stop()
  for (const address of addresses) await Beds.remove(address)
  await Beds.dispose()
}
