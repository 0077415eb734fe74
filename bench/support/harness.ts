/**
 * Runs the cases of one benchmark in turn, several rounds of all of them, and reports medians: a table, or with `--json` one
 * JSON array and nothing else on standard output.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createRequire } from "node:module"
import { arch, cpus, platform } from "node:os"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** A figure that another case had in the same round. */
export type FigureOf = (name: string) => number

export interface Case {
  readonly name: string
  readonly unit: "ops/s" | "µs" | "ms" | "bytes" | "alive" | "×"
  /** Runs once and returns one figure in `unit`. */
  readonly run: (figureOf: FigureOf) => Promise<number>
}

export interface Row {
  readonly name: string
  readonly unit: string
  readonly median: number
  readonly min: number
  readonly max: number
  readonly runs: number
}

const ROUNDS = 7

setFlagsFromString("--expose-gc")
const gc: () => void = runInNewContext("gc")

/** How much of the heap is in use, once nothing on it is garbage. */
export const usedHeap = (): number => {
  gc()
  return process.memoryUsage().heapUsed
}

/** How long `effect` takes, in milliseconds. */
export const elapsed = <E, R>(effect: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const start = process.hrtime.bigint()
    return Effect.map(effect, () => Number(process.hrtime.bigint() - start) / 1e6)
  })

const timed = (unit: Case["unit"], figure: (ms: number) => number) =>
<E, R, E2>(
  name: string,
  effect: Effect.Effect<unknown, E, R>,
  layer: Layer.Layer<R, E2>
): Case => ({
  name,
  unit,
  run: () => {
    gc()
    return Effect.runPromise(Effect.provide(Effect.map(elapsed(effect), figure), layer))
  }
})

/** How often per second `effect` does its `count` repetitions. */
export const measure = <E>(name: string, count: number, effect: Effect.Effect<unknown, E>): Case =>
  timed("ops/s", (ms) => count / ms * 1e3)(name, effect, Layer.empty)

/** How long one of the `count` repetitions takes that `effect` does. Making the layer is not measured. */
export const each = <E, R, E2>(
  name: string,
  count: number,
  effect: Effect.Effect<unknown, E, R>,
  layer: Layer.Layer<R, E2>
): Case => timed("µs", (ms) => ms / count * 1e3)(name, effect, layer)

/**
 * How much time on a processor one of the `count` repetitions takes that `effect` does, which other processes change less than they
 * do how long it takes. Making the layer is not measured.
 */
export const eachCpu = <E, R, E2>(
  name: string,
  count: number,
  effect: Effect.Effect<unknown, E, R>,
  layer: Layer.Layer<R, E2>
): Case => ({
  name,
  unit: "µs",
  run: () => {
    gc()
    const spent = Effect.suspend(() => {
      const before = process.cpuUsage()
      return Effect.map(effect, () => {
        const { system, user } = process.cpuUsage(before)
        return (user + system) / count
      })
    })
    return Effect.runPromise(Effect.provide(spent, layer))
  }
})

/** How long `effect` takes. Making the layer is not measured. */
export const whole = <E, R, E2>(
  name: string,
  effect: Effect.Effect<unknown, E, R>,
  layer: Layer.Layer<R, E2>
): Case => timed("ms", (ms) => ms)(name, effect, layer)

/** What follows from cases before it, round by round: a noisy moment is in both sides of a ratio. */
export const derived = (name: string, unit: Case["unit"], figure: (figureOf: FigureOf) => number): Case => ({
  name,
  unit,
  run: (figureOf) => Promise.resolve(figure(figureOf))
})

/** How many times the second figure the first one is. */
export const ratio = (of: string, to: string): Case =>
  derived(`${of} / ${to}`, "×", (figureOf) => figureOf(of) / figureOf(to))

/** Few digits where a figure is small, none behind the point where it is not. */
const readable = (figure: number): string =>
  figure.toLocaleString("en", { maximumFractionDigits: Math.abs(figure) < 100 ? 2 : 0 })

export const main = async (
  name: string,
  cases: () => ReadonlyArray<Case>,
  rounds = ROUNDS,
  warmUpRounds = 1
): Promise<void> => {
  const all = cases()
  const figures = new Map(all.map((one) => [one.name, new Array<number>()]))
  // The first round warms the code up and does not count, where cases do not warm themselves; then every round runs every case,
  // so that a noisy moment hits them all.
  for (let round = 1 - warmUpRounds; round <= rounds; round++) {
    const latest = new Map<string, number>()
    for (const one of all) {
      const figure = await one.run((of) => latest.get(of) ?? NaN)
      latest.set(one.name, figure)
      if (round > 0) figures.get(one.name)!.push(figure)
    }
  }
  const rows = all.map((one): Row => {
    const sorted = figures.get(one.name)!.sort((a, b) => a - b)
    return {
      name: one.name,
      unit: one.unit,
      median: (sorted[Math.floor(sorted.length / 2)]! + sorted[Math.floor((sorted.length - 1) / 2)]!) / 2,
      min: sorted[0]!,
      max: sorted[sorted.length - 1]!,
      runs: sorted.length
    }
  })
  const { version } = createRequire(import.meta.url)("effect/package.json") as { readonly version: string }
  console.error(
    `${name}: Node ${process.version}, effect ${version}, ${cpus().length} × ${
      cpus()[0]?.model
    }, ${platform()} ${arch()}`
  )
  if (process.argv.includes("--json")) {
    console.log(JSON.stringify(rows))
    return
  }
  console.table(Object.fromEntries(rows.map(({ name, ...row }) => [name, {
    median: readable(row.median),
    min: readable(row.min),
    max: readable(row.max),
    unit: row.unit
  }])))
}
