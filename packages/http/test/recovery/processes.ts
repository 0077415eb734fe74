/** Processes of their own, from the sources, and what they leave on the disk. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "vite"
import type { Setup } from "./client.ts"

/** A folder that is gone with the scope. */
export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "recovery "))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** Makes one file of a program beside this one and all it needs, from the sources: nothing has to be built before. */
export const bundle = async (folder: string, program = "child.ts"): Promise<string> => {
  const conditions = ["@effect-cycles/source", "module", "node", "import", "default"]
  await build({
    configFile: false,
    root: fileURLToPath(new URL(".", import.meta.url)),
    logLevel: "error",
    resolve: { conditions },
    ssr: { noExternal: true, resolve: { conditions } },
    build: {
      ssr: program,
      outDir: folder,
      emptyOutDir: false,
      minify: false,
      rollupOptions: { output: { entryFileNames: "child.mjs", codeSplitting: false } }
    }
  })
  return join(folder, "child.mjs")
}

export interface Child {
  /** What it said so far. */
  readonly lines: ReadonlyArray<
    { readonly ready?: true; readonly outcome?: string; readonly log?: string; readonly settled?: number }
  >
  /** Ends it with SIGKILL, in the middle of whatever it does. */
  readonly kill: Effect.Effect<NodeJS.Signals | null>
  /** Asks it to end, and gives its exit code. */
  readonly end: Effect.Effect<number | null>
}

/** Starts a process, by `wrap` where it is given; it is killed at the end of the scope. */
export const start = (
  script: string,
  setup: Setup & { readonly [name: string]: unknown },
  wrap: ReadonlyArray<string> = []
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync((): Child => {
      const [command = process.execPath, ...args] = [...wrap, process.execPath, script, JSON.stringify(setup)]
      const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })
      const lines: Array<Child["lines"][number]> = []
      let rest = ""
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        const parts = (rest + chunk).split("\n")
        rest = parts.pop() ?? ""
        for (const line of parts) lines.push(JSON.parse(line))
      })
      const closed = new Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>((done) =>
        child.on("close", (code, signal) => done({ code, signal }))
      )
      return {
        lines,
        kill: Effect.promise(async () => {
          child.kill("SIGKILL")
          // One that is traced outlives its tracer, but not its input.
          child.stdin.destroy()
          return (await closed).signal
        }),
        end: Effect.promise(async () => {
          child.stdin.end()
          return (await closed).code
        })
      }
    }),
    (child) => child.kill
  )

/** A record as it is on the disk. */
export interface Kept {
  readonly name: string
  readonly text: string
}

/** Every file below a folder. */
export const filesIn = (folder: string): ReadonlyArray<Kept> =>
  !existsSync(folder)
    ? []
    : readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .flatMap((entry) => {
        try {
          return [{ name: entry.name, text: readFileSync(join(entry.parentPath, entry.name), "utf8") }]
        } catch {
          return [] // it is gone by now
        }
      })
      .toSorted((a, b) => a.name < b.name ? -1 : 1)

/** The records below a folder, as a program that is not ours would read them. */
export const recordsIn = (folder: string): ReadonlyArray<{ readonly [name: string]: unknown }> =>
  filesIn(folder).filter(({ name }) => name.endsWith(".json")).map(({ text }) => JSON.parse(text))

/** Waits until something holds, and dies with its name where it does not in twenty seconds. */
export const until = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    const end = Date.now() + 20_000
    while (!condition()) {
      if (Date.now() > end) return yield* Effect.die(new Error(`waited in vain until ${what}`))
      yield* Effect.sleep(5)
    }
  })
