/** The system calls of a process, by `strace`. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"

/** Why there is no tracing here, or nothing where there is. */
export const obstacle = (): string | undefined => {
  const { error, status, stderr } = spawnSync("strace", ["-o", "/dev/null", "true"], { encoding: "utf8" })
  if (error !== undefined) return `the order of system calls is not checked, strace does not run: ${error.message}`
  return status === 0 ? undefined : `the order of system calls is not checked, strace may not trace: ${stderr.trim()}`
}

/** What to put before a command. Its threads are followed, and files called by their names. */
export const tracing = (file: string): ReadonlyArray<string> => [
  "strace",
  "-f",
  "-y",
  "-qq",
  "-s",
  "60",
  "-e",
  "trace=fsync,fdatasync,pwrite64,write",
  "-e",
  "signal=none",
  "-o",
  file
]

/** What an answer came after, in the order things ended: how often the log had been written and synced when it was given. */
export interface Answer {
  readonly text: string
  /** Whether the log had been written since it was last synced. */
  readonly isDirty: boolean
  readonly syncs: number
}

/** The answers in a trace. A call that another thread's came in between of is on two lines, and done at the second. */
export const answers = (file: string): ReadonlyArray<Answer> => {
  const found: Array<Answer> = []
  const open = new Map<string, string>()
  let isDirty = false
  let syncs = 0
  for (const whole of readFileSync(file, "utf8").split("\n")) {
    const [, thread = "", part = ""] = /^(\d+)\s+(.*)$/.exec(whole) ?? []
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(part)
    const text = resumed === null ? part : `${open.get(thread) ?? ""}${resumed[1]}`
    const begins = resumed === null
    const ends = !part.endsWith("<unfinished ...>")
    if (!ends) open.set(thread, part.slice(0, -"<unfinished ...>".length))
    // A write counts from its beginning, an answer too, and a sync from its end.
    if (begins && /^pwrite64\(\d+<[^>]*-wal>/.test(text)) isDirty = true
    if (ends && /^f(data)?sync\(\d+<[^>]*-wal>\)/.test(text)) {
      isDirty = false
      syncs++
    }
    if (begins && text.startsWith("write(1<") && /committed|reserved/.test(text)) found.push({ text, isDirty, syncs })
  }
  return found
}
