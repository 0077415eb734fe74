/** The system calls of a process, by `strace`. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"

/** Why there is no tracing here, or nothing where there is. */
export const obstacle = (): string | undefined => {
  const { error, status, stderr } = spawnSync("strace", ["-o", "/dev/null", "true"], { encoding: "utf8" })
  if (error !== undefined) return `the order of system calls is not checked, strace does not run: ${error.message}`
  return status === 0 ? undefined : `the order of system calls is not checked, strace may not trace: ${stderr.trim()}`
}

/** What to put before a command. Its threads are followed, and files and sockets called by their names. */
export const tracing = (file: string): ReadonlyArray<string> => [
  "strace",
  "-f",
  "-y",
  "-qq",
  "-s",
  "200",
  "-e",
  "trace=fsync,fdatasync,?rename,renameat,renameat2,write,writev,sendto,sendmsg",
  "-e",
  "signal=none",
  "-o",
  file
]

/** One call; `began` and `ended` are lines of the trace. */
export interface Call {
  readonly text: string
  readonly began: number
  readonly ended: number
}

/** The calls of a trace. One that another thread's came in between of is on two lines. */
export const read = (file: string): ReadonlyArray<Call> => {
  const calls: Array<Call> = []
  const open = new Map<string, { readonly text: string; readonly began: number }>()
  for (const [line, whole] of readFileSync(file, "utf8").split("\n").entries()) {
    const [, thread = "", text = ""] = /^(\d+)\s+(.*)$/.exec(whole) ?? []
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)
    if (text.endsWith("<unfinished ...>")) {
      open.set(thread, { text: text.slice(0, -"<unfinished ...>".length), began: line })
    } else if (resumed === null) calls.push({ text, began: line, ended: line })
    else {
      const first = open.get(thread)
      if (first !== undefined) calls.push({ text: first.text + resumed[1], began: first.began, ended: line })
    }
  }
  return calls
}
