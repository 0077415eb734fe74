// Runs the blocks that check-docs.mjs lists in PROJECT/runs.json, one after the other in this process, and writes what went
// wrong to PROJECT/problems.json.
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { pathToFileURL } from "node:url"
import { format, inspect } from "node:util"

const project = process.argv[2]
const runs = JSON.parse(readFileSync(join(project, "runs.json"), "utf8"))

// A value may be written as console.log prints it, or in one line as in source text: strings in double quotes.
const asSource = (value) =>
  typeof value === "string"
    ? `"${value}"`
    : inspect(value, { breakLength: Infinity }).replace(/'([^'"\\]*)'/g, "\"$1\"")

const compare = (calls, promises) => {
  let next = 0
  for (const args of calls) {
    const forms = [format(...args), args.map(asSource).join(" ")].map((form) =>
      form.split("\n").map((line) => line.trim())
    )
    const lines = forms.find((lines) => lines.every((line, index) => line === promises[next + index]))
    if (lines === undefined) {
      return `prints ${forms[1].join("\n")}, but ${
        next < promises.length ? `promises ${promises[next]}` : "no promise is left"
      }`
    }
    next += lines.length
  }
  return next === promises.length ? undefined : `promises ${promises[next]}, but prints nothing more`
}

const seen = { calls: [], failures: [] }
console.log = (...args) => void seen.calls.push(args)
process.on("uncaughtException", (error) => void seen.failures.push(error))

/** Runs a module; what it starts without waiting for has two seconds to print what is promised. */
const runBlock = async (module, promises) => {
  seen.calls = []
  seen.failures = []
  await import(pathToFileURL(module).href).catch((error) => seen.failures.push(error))
  const deadline = Date.now() + 2_000
  do await setTimeout(5)
  while (seen.failures.length === 0 && seen.calls.length < promises.length && Date.now() < deadline)
  return seen.failures.length === 0 ? compare(seen.calls, promises) : `throws ${inspect(seen.failures[0])}`
}

const problems = []
for (const { at, module, promises } of runs) {
  console.error(`running ${at}`)
  const problem = await runBlock(module, promises)
  if (problem !== undefined) problems.push(`${at}: ${problem}`)
}
writeFileSync(join(project, "problems.json"), JSON.stringify(problems))
process.exit(0)
