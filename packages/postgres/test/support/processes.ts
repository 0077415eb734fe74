/** Processes of their own, from the sources. */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "vite"
import type { Line, Setup } from "./child.ts"

/** Makes one file of `child.ts` and all it needs, from the sources: nothing has to be built before. */
export const bundle = async (): Promise<{ readonly script: string; readonly remove: () => void }> => {
  const folder = mkdtempSync(join(tmpdir(), "cycles-postgres-"))
  const conditions = ["@effect-cycles/source", "module", "node", "import", "default"]
  await build({
    configFile: false,
    root: fileURLToPath(new URL(".", import.meta.url)),
    logLevel: "error",
    resolve: { conditions },
    ssr: { noExternal: true, resolve: { conditions } },
    build: {
      ssr: "child.ts",
      outDir: folder,
      emptyOutDir: false,
      minify: false,
      rollupOptions: { output: { entryFileNames: "child.mjs", codeSplitting: false } }
    }
  })
  return { script: join(folder, "child.mjs"), remove: () => rmSync(folder, { recursive: true, force: true }) }
}

export interface Child {
  /** What it was told so far, line by line. */
  readonly lines: ReadonlyArray<Line>
  /** Ends it with SIGKILL, in the middle of whatever it does. */
  readonly kill: () => void
  /** Its exit code once it has ended, `null` where it was killed. */
  readonly ended: Promise<number | null>
}

export const start = (script: string, setup: Setup): Child => {
  const child = spawn(process.execPath, [script, JSON.stringify(setup)], { stdio: ["ignore", "pipe", "inherit"] })
  const lines: Array<Line> = []
  let rest = ""
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n")
    rest = parts.pop() ?? ""
    for (const line of parts) lines.push(JSON.parse(line) as Line)
  })
  return {
    lines,
    kill: () => child.kill("SIGKILL"),
    ended: new Promise((done) => child.on("close", (code) => done(code)))
  }
}
