// Running the tools of node_modules and collecting what they print.
import { spawn } from "node:child_process"
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"

/** The folder of the repository. */
export const repository = fileURLToPath(new URL("..", import.meta.url))

/** Runs a command without input; resolves to its exit code and everything it printed. */
export const run = (command, args, options = {}) =>
  new Promise((done) => {
    const child = spawn(command, args, { cwd: repository, ...options, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout.on("data", (chunk) => output += chunk)
    child.stderr.on("data", (chunk) => output += chunk)
    child.on("error", (error) => done({ code: 1, output: `${output}${error.message}\n` }))
    child.on("close", (code) => done({ code: code ?? 1, output }))
  })

/** Runs a JavaScript file of node_modules under this Node. */
export const runTool = (file, args, options) =>
  run(process.execPath, [`${repository}node_modules/${file}`, ...args], options)

/** The compiler. */
export const tsc = (args, options) => runTool("typescript/bin/tsc", [...args, "--pretty", "false"], options)

/** The errors in what the compiler, run in `folder`, printed: where, code, and message with its nested lines. */
export const parseErrors = (output, folder) => {
  const errors = []
  for (const line of output.split("\n")) {
    const start = /^(.*?)\((\d+),\d+\): error (TS\d+): (.*)$/.exec(line)
    if (start !== null) {
      errors.push({ file: resolve(folder, start[1]), line: Number(start[2]), code: start[3], message: start[4] })
    } else if (/^error TS\d+/.test(line)) errors.push({ file: "", line: 0, code: line.slice(6, 12), message: line })
    else if (/^\s/.test(line) && errors.length > 0) errors.at(-1).message += `\n${line}`
  }
  return errors
}

/** The linter. */
export const oxlint = (args, options) => runTool("oxlint/bin/oxlint", args, options)

/** The formatter; it keeps its compiled plugins in node_modules. */
export const dprint = (args, options) =>
  runTool("dprint/bin.cjs", args, {
    ...options,
    env: { ...process.env, DPRINT_CACHE_DIR: `${repository}node_modules/.cache/dprint`, NO_COLOR: "1" }
  })

/** Effect's own diagnostics of a TypeScript project, errors and warnings. */
export const diagnoseEffect = async (tsconfig) => {
  const flags = ["--format", "text", "--severity", "error,warning", "--strict"]
  const { code, output } = await runTool("@effect/tsgo/dist/effect-tsgo.cjs", [
    "diagnostics",
    "--project",
    tsconfig,
    ...flags
  ])
  return { code, filesChecked: Number(/Checked (\d+) files/.exec(output)?.[1] ?? 0), output }
}
