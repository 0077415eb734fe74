/** Loads in processes of their own. */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Address } from "./beds.ts"
import type { Report, Setup } from "./child.ts"
import type { Load } from "./load.ts"

const program = fileURLToPath(new URL("child.js", import.meta.url))

/** Starts a process; once it is ready, `go` has it work. */
const start = async (setup: Setup, tracer: ReadonlyArray<string> = []) => {
  const [command = process.execPath, ...args] = [...tracer, process.execPath, program, JSON.stringify(setup)]
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })
  const lines = createInterface({ input: child.stdout })
  const ended = once(child, "exit")
  const next = async (): Promise<string> => {
    const [line] = await Promise.race([
      once(lines, "line"),
      ended.then(() => {
        throw new Error("a process of the benchmark ended before it was done")
      })
    ]) as ReadonlyArray<string>
    return line ?? ""
  }
  await next()
  return {
    go: async (): Promise<Report> => {
      child.stdin.write("go\n")
      const report = JSON.parse(await next()) as Report
      await ended
      return report
    }
  }
}

/** How much two processes do together on the same tenants. */
export const together = async (address: Address, load: Load): Promise<number> => {
  const first = await start({ address, load, isOpen: false })
  const second = await start({ address, load, isOpen: true })
  const reports = await Promise.all([first.go(), second.go()])
  return reports.reduce((sum, { perSecond }) => sum + perSecond, 0)
}

/** Whether the system calls of a process can be counted here. */
export const canTrace = spawnSync("strace", ["-V"]).status === 0

/** How often a process has its writes synced to the disk, an operation. */
export const syncs = async (address: Address, load: Load): Promise<number> => {
  const folder = mkdtempSync(join(tmpdir(), "effect-cycles-bench-"))
  const summary = join(folder, "calls")
  try {
    const tracer = ["strace", "-f", "-c", "-o", summary, "-e", "trace=fsync,fdatasync,msync,sync_file_range"]
    const child = await start({ address, load, isOpen: false }, tracer)
    const { operations } = await child.go()
    const calls = readFileSync(summary, "utf8").split("\n")
      .filter((line) => /(fsync|fdatasync|msync|sync_file_range)$/.test(line))
      // Share of the time, seconds, microseconds a call, calls.
      .map((line) => Number(line.trim().split(/\s+/)[3]))
    return calls.reduce((sum, count) => sum + count, 0) / operations
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
