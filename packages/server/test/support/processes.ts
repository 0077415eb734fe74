/** `cycles`, and the first program it prints, as processes of their own, made of the sources. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "vite"

/** A folder that is gone with the scope. */
export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "cycles "))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** A program, of our sources; what is not ours is found from where it is, and what is loaded when it is needed stays apart. */
const make = async (entry: string): Promise<string> => {
  const driver = createRequire(import.meta.url).resolve("libsql")
  const cache = join(dirname(dirname(driver)), ".cache")
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, "effect-cycles-server-"))
  cpSync(fileURLToPath(new URL("../../package.json", import.meta.url)), join(folder, "package.json"))
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
  const conditions = ["@effect-cycles/source", "module", "node", "import", "default"]
  await build({
    configFile: false,
    logLevel: "error",
    resolve: { conditions },
    ssr: { noExternal: [/^(@effect-cycles\/|effect-cycles)/], resolve: { conditions } },
    build: {
      ssr: fileURLToPath(new URL(entry, import.meta.url)),
      outDir: join(folder, "dist", "bin"),
      emptyOutDir: false,
      minify: false,
      rollupOptions: { output: { entryFileNames: "main.mjs" } }
    }
  })
  return join(folder, "dist", "bin", "main.mjs")
}

const once = (entry: string): Effect.Effect<string> => {
  let made: Promise<string> | undefined
  return Effect.promise(() => made ??= make(entry))
}

/** Where `cycles` is. */
export const program = once("../../src/main.ts")

/** Where the first program is that `cycles init` prints. */
export const first = once("./first.ts")

export interface Child {
  readonly process: ChildProcess
  /** What it printed so far. */
  readonly out: () => string
  readonly err: () => string
  /** Its exit code, or the signal that ended it. */
  readonly exit: Effect.Effect<number | string>
}

/** Starts a program with these arguments and no variables but those; it is gone at the end of the scope. */
export const start = (
  program: Effect.Effect<string>,
  args: ReadonlyArray<string>,
  variables: { readonly [name: string]: string }
): Effect.Effect<Child, never, Scope.Scope> =>
  Effect.flatMap(program, (script) =>
    Effect.acquireRelease(
      Effect.sync((): Child => {
        const child = spawn(process.execPath, [script, ...args], {
          stdio: ["ignore", "pipe", "pipe"],
          env: { PATH: process.env["PATH"] ?? "", ...variables }
        })
        let out = ""
        let err = ""
        child.stdout.setEncoding("utf8").on("data", (chunk: string) => out += chunk)
        child.stderr.setEncoding("utf8").on("data", (chunk: string) => err += chunk)
        const closed = new Promise<number | string>((done) =>
          child.on("close", (code, signal) => done(code ?? signal ?? ""))
        )
        return { process: child, out: () => out, err: () => err, exit: Effect.promise(() => closed) }
      }),
      (child) =>
        Effect.suspend(() => {
          child.process.kill("SIGKILL")
          return child.exit
        })
    ))

/** Starts `cycles`. */
export const run = (args: ReadonlyArray<string>, variables: { readonly [name: string]: string } = {}) =>
  start(program, args, variables)

/** Waits until something holds, and dies with its name where it does not in a minute. */
export const until = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.gen(function*() {
    const end = Date.now() + 60_000
    while (!condition()) {
      if (Date.now() > end) return yield* Effect.die(new Error(`waited in vain until ${what}`))
      yield* Effect.sleep(5)
    }
  })

/** A server that listens, on a free port unless the arguments name one. */
export const serve = (
  args: ReadonlyArray<string>,
  variables?: { readonly [name: string]: string }
): Effect.Effect<Child & { readonly url: string }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const child = yield* run(["serve", "--port", "0", ...args], variables)
    const url = () => /listens on (\S+)/.exec(child.out())?.[1]
    yield* until("the server listens", () => url() !== undefined || child.process.exitCode !== null)
    return { ...child, url: url() ?? `nowhere: ${child.err()}` }
  })
