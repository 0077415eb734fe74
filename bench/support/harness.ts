/**
 * Runs the cases of one benchmark in turn, several rounds of all of them, and reports medians: a table, or with `--json` one
 * JSON array and nothing else on standard output.
 */
import * as Effect from "effect/Effect"
import { createRequire } from "node:module"
import { arch, cpus, platform } from "node:os"

export interface Case {
  readonly name: string
  readonly unit: "ops/s" | "µs"
  /** Runs once and returns one figure in `unit`. */
  readonly run: () => Promise<number>
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

/** How often per second `effect` does its `count` repetitions. */
export const measure = <E>(name: string, count: number, effect: Effect.Effect<unknown, E>): Case => ({
  name,
  unit: "ops/s",
  run: async () => {
    globalThis.gc?.()
    const start = process.hrtime.bigint()
    await Effect.runPromise(effect)
    return count / (Number(process.hrtime.bigint() - start) / 1e9)
  }
})

export const main = async (name: string, cases: () => ReadonlyArray<Case>): Promise<void> => {
  const all = cases()
  const figures = new Map(all.map((one) => [one.name, new Array<number>()]))
  // One round warms the code up and does not count; then every round runs every case, so that a noisy moment hits them all.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const one of all) {
      const figure = await one.run()
      if (round > 0) figures.get(one.name)!.push(figure)
    }
  }
  const rows = all.map((one): Row => {
    const sorted = figures.get(one.name)!.sort((a, b) => a - b)
    return {
      name: one.name,
      unit: one.unit,
      median: sorted[Math.floor(sorted.length / 2)]!,
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
    median: Math.round(row.median).toLocaleString("en"),
    min: Math.round(row.min).toLocaleString("en"),
    max: Math.round(row.max).toLocaleString("en"),
    unit: row.unit
  }])))
}
