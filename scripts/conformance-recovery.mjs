// `npm run conformance:recovery`: the client recovery profile of the Cycles protocol, scenario by scenario through
// recovery-adapter.mjs, each in a process of its own that is not told what to expect. Writes the profile's report to
// conformance/recovery.json and holds it against the profile's schema.
//
// CYCLES_SPEC_DIR names the folder with scenarios.yaml and report.schema.json; CYCLES_SPEC_COMMIT, where it is set, the commit
// they are of. Exits with 3 where they are not there.
import Ajv from "ajv/dist/2020.js"
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { parse } from "yaml"
import { repository } from "./process.mjs"

const CONCURRENCY = 2
const TIMEOUT_MS = 120_000

const specification = process.env.CYCLES_SPEC_DIR ?? ""
const missing = ["scenarios.yaml", "report.schema.json"].filter((file) => !existsSync(join(specification, file)))
if (specification === "" || missing.length > 0) {
  console.error(
    specification === ""
      ? "CYCLES_SPEC_DIR is not set: nothing was run. It names the folder with scenarios.yaml and report.schema.json."
      : `${specification} has no ${missing.join(" and no ")}: nothing was run`
  )
  process.exit(3)
}

const catalogue = readFileSync(join(specification, "scenarios.yaml"))
const schema = JSON.parse(readFileSync(join(specification, "report.schema.json"), "utf8"))
const { profile, scenarios, version } = parse(catalogue.toString())

/** What the adapter says to a scenario: its exit code and everything on its stdout. */
const ask = ({ id, level, name, precondition, faults }) =>
  new Promise((done) => {
    const child = spawn(process.execPath, [join(repository, "scripts/recovery-adapter.mjs"), id], {
      cwd: repository,
      stdio: ["pipe", "pipe", "pipe"],
      timeout: TIMEOUT_MS
    })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk) => stdout += chunk)
    child.stderr.on("data", (chunk) => stderr += chunk)
    child.on("close", (code, signal) => done({ code: code ?? signal, stdout, stderr }))
    child.stdin.end(JSON.stringify({ id, level, name, precondition, faults }))
  })

const parseReply = (stdout) => {
  try {
    return JSON.parse(stdout)
  } catch {
    return undefined
  }
}

/** Why an adapter's word does not count, or nothing where it does. */
const objection = (id, code, reply) => {
  if (reply === undefined) return "the adapter did not print one JSON object"
  if (reply.scenario_id !== id) return `the adapter answered for ${reply.scenario_id}`
  if (reply.passed !== true) return reply.diagnostic ?? "it failed"
  if (code !== 0) return `the adapter ended with ${code}`
  const tests = reply.native_tests
  const isNamed = Array.isArray(tests) && tests.length > 0 &&
    tests.every((test) => typeof test === "string" && test !== "") && new Set(tests).size === tests.length
  return isNamed ? undefined : "the adapter did not name the tests that ran"
}

const judge = async (scenario) => {
  const { id, level, name } = scenario
  const { code, stderr, stdout } = await ask(scenario)
  const reply = parseReply(stdout)
  const diagnostic = objection(id, code, reply)
  console.log(`${diagnostic === undefined ? "ok   " : "FAIL "} ${id} ${name}`)
  if (diagnostic !== undefined) console.error(`${diagnostic}\n${stderr}`)
  return {
    id,
    level,
    name,
    passed: diagnostic === undefined,
    native_tests: Array.isArray(reply?.native_tests) ? reply.native_tests : [],
    ...(diagnostic === undefined ? undefined : { diagnostic })
  }
}

/** All of them, a few at a time, in their order. */
const judgeAll = async (list) => {
  const results = []
  let next = 0
  const worker = async () => {
    while (next < list.length) {
      const index = next++
      results[index] = await judge(list[index])
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  return results
}

/** A scenario no test is about must not pass, or nothing that passes means anything. */
const isAdapterHonest = async () => {
  const { code, stdout } = await ask({
    id: "CR-CORE-000",
    level: "core",
    name: "none",
    precondition: "none",
    faults: []
  })
  return code !== 0 && parseReply(stdout)?.passed === false
}

const git = (...args) => spawnSync("git", args, { cwd: repository, encoding: "utf8" }).stdout?.trim() ?? ""

if (!(await isAdapterHonest())) {
  console.error("the adapter passes a scenario that no test is about")
  process.exit(1)
}
const results = await judgeAll(scenarios)
const passed = results.filter((result) => result.passed).length
const failed = results.length - passed
const commit = git("rev-parse", "HEAD") || "unknown"
const report = {
  $schema: schema.$id,
  schema_version: "1.0",
  generated_at: new Date().toISOString(),
  profile: {
    name: profile,
    version: String(version),
    commit: process.env.CYCLES_SPEC_COMMIT || "unknown",
    catalog_sha256: createHash("sha256").update(catalogue).digest("hex")
  },
  claim: "durable",
  implementation: {
    id: "effect-cycles",
    commit: git("status", "--porcelain") === "" ? commit : `${commit}-dirty`,
    version: JSON.parse(readFileSync(join(repository, "packages/http/package.json"), "utf8")).version
  },
  summary: { total: results.length, passed, failed },
  scenarios: results
}

const ajv = new Ajv({
  allErrors: true,
  formats: {
    "date-time": (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text),
    uri: (text) => URL.canParse(text)
  }
})
const isValid = ajv.validate(schema, report)
if (!isValid) console.error(`the report is not what its schema says: ${ajv.errorsText()}`)

const file = join(repository, "conformance/recovery.json")
mkdirSync(join(repository, "conformance"), { recursive: true })
writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`)
console.log(`report: ${relative(process.cwd(), file)}`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 && isValid ? 0 : 1)
