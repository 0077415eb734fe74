// `npm run check`: everything but the tests. `npm run check -- NAME…` runs the named checks only.
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { checkArchitecture } from "./check-architecture.mjs"
import { checkDocs } from "./check-docs.mjs"
import { checkLockfile } from "./check-lockfile.mjs"
import { checkMisuse } from "./check-misuse.mjs"
import { checkStability } from "./check-stability.mjs"
import { diagnoseEffect, dprint, oxlint, repository, tsc } from "./process.mjs"
import { selftest } from "./selftest.mjs"

const projects = JSON.parse(readFileSync(join(repository, "tsconfig.json"), "utf8")).references.map(({ path }) => path)

/** The compiler's errors, and the projects it does not see because tsconfig.json does not name them. */
const checkTypes = async () => {
  const wanted = readdirSync(join(repository, "packages")).flatMap((name) => {
    const hasTests = existsSync(join(repository, "packages", name, "test"))
    return [`packages/${name}`, ...(hasTests ? [`packages/${name}/tsconfig.test.json`] : [])]
  })
  const missing = wanted.filter((project) => !projects.includes(project))
  const { code, output } = await tsc(["-b"])
  return {
    problems: [
      ...missing.map((project) => `tsconfig.json does not refer to ${project}`),
      ...(code === 0 ? [] : [output.trim()])
    ],
    summary: `${projects.length} projects`
  }
}

const checkEffect = async () => {
  const problems = []
  let files = 0
  for (const project of projects) {
    const { code, filesChecked, output } = await diagnoseEffect(
      join(repository, project, project.endsWith(".json") ? "" : "tsconfig.json")
    )
    if (code !== 0) problems.push(output.trim())
    files += filesChecked
  }
  return { problems: files === 0 ? ["no file was checked"] : problems, summary: `${files} files` }
}

const checkLint = async () => {
  const { code, output } = await oxlint(["--deny-warnings"])
  return { problems: code === 0 ? [] : [output.trim()], summary: "oxlint" }
}

const checkFormat = async () => {
  const { code, output } = await dprint(["check", "--list-different"])
  return { problems: code === 0 ? [] : [`to be put right by \`npm run format\`:\n${output.trim()}`], summary: "dprint" }
}

const checks = {
  types: checkTypes,
  lint: checkLint,
  format: checkFormat,
  effect: checkEffect,
  architecture: () => checkArchitecture(repository),
  stability: () => checkStability(repository),
  misuse: () => checkMisuse(repository),
  docs: async () => {
    await tsc(["-b"]) // the blocks are held against what is built
    return checkDocs(repository)
  },
  lockfile: () => checkLockfile(repository),
  selftest
}

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !(name in checks))
if (unknown.length > 0) {
  console.error(`no check "${unknown.join(", ")}"; choose from: ${Object.keys(checks).join(", ")}`)
  process.exit(2)
}

mkdirSync(join(repository, "node_modules/.cache"), { recursive: true })
let failed = 0
const names = asked.length === 0 ? Object.keys(checks) : asked
for (const name of names) {
  const start = Date.now()
  const { problems, summary } = await checks[name]()
  const took = `${((Date.now() - start) / 1_000).toFixed(1)} s`
  if (problems.length === 0) console.log(`ok    ${name} (${summary}, ${took})`)
  else {
    failed++
    console.log(`FAIL  ${name} (${summary}, ${took})`)
    console.log(problems.join("\n").replace(/^/gm, "      "))
  }
}
console.log(`${names.length - failed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
