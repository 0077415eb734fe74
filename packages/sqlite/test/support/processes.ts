/** Processes of their own, made of the sources. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "vite"

/** What a process is to do: `fibers` of it go through `lifecycles` reservations each. */
export interface Setup {
  readonly name: string
  readonly filename: string
  readonly synchronous: "full" | "normal" | "off"
  readonly fibers: number
  readonly lifecycles: number
}

/** What a process says. */
export interface Said {
  readonly ready?: true
  readonly reserved?: string
  readonly committed?: string
  readonly key?: string
  readonly denied?: string
  readonly failed?: string
  readonly done?: true
}

const folderIn = (parent: string, prefix: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      mkdirSync(parent, { recursive: true })
      return mkdtempSync(join(parent, prefix))
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

/** A folder that is gone with the scope. */
export const temporary: Effect.Effect<string, never, Scope.Scope> = folderIn(tmpdir(), "sqlite ")

/** One file of the program beside this one and all it needs but the driver, whose native part is found from where it is. */
export const bundle: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function*() {
  const driver = createRequire(import.meta.url).resolve("libsql")
  const cache = join(dirname(dirname(driver)), ".cache")
  const folder = yield* folderIn(cache, "effect-cycles-sqlite-")
  const conditions = ["@effect-cycles/source", "module", "node", "import", "default"]
  yield* Effect.promise(() =>
    build({
      configFile: false,
      root: fileURLToPath(new URL(".", import.meta.url)),
      logLevel: "error",
      resolve: { conditions },
      ssr: { noExternal: true, external: ["libsql"], resolve: { conditions } },
      build: {
        ssr: "child.ts",
        outDir: folder,
        emptyOutDir: false,
        minify: false,
        rollupOptions: { output: { entryFileNames: "child.mjs", codeSplitting: false } }
      }
    })
  )
  return join(folder, "child.mjs")
})

export interface Child {
  /** What it said so far. */
  readonly lines: ReadonlyArray<Said>
  /** Ends it with SIGKILL, in the middle of whatever it does. */
  readonly kill: Effect.Effect<void>
  /** Waits for its end, and gives its exit code. */
  readonly exit: Effect.Effect<number | null>
}

/** Starts a process, by `wrap` where it is given; it is killed at the end of the scope. */
export const start = (
  script: string,
  setup: Setup,
  wrap: ReadonlyArray<string> = []
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync((): Child => {
      const [command = process.execPath, ...args] = [...wrap, process.execPath, script, JSON.stringify(setup)]
      const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })
      const lines: Array<Said> = []
      let rest = ""
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        const parts = (rest + chunk).split("\n")
        rest = parts.pop() ?? ""
        for (const line of parts) lines.push(JSON.parse(line))
      })
      const closed = new Promise<number | null>((done) => child.on("close", (code) => done(code)))
      return {
        lines,
        kill: Effect.promise(async () => {
          child.kill("SIGKILL")
          child.stdin.destroy()
          await closed
        }),
        exit: Effect.promise(() => closed)
      }
    }),
    (child) => child.kill
  )

/** Waits until something holds, and dies with its name where it does not in thirty seconds. */
export const until = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    const end = Date.now() + 30_000
    while (!condition()) {
      if (Date.now() > end) return yield* Effect.die(new Error(`waited in vain until ${what}`))
      yield* Effect.sleep(5)
    }
  })
