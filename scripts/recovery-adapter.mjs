// `node scripts/recovery-adapter.mjs ID < SCENARIO`: the adapter of the client recovery profile. Takes one scenario as JSON on
// stdin, runs the tests with its id in their name, and says which ran and whether they passed as one JSON object on stdout.
// Exits with 0 where they passed, 1 where they did not, 2 where there is nothing to run or it was told what to expect.
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { repository, runTool } from "./process.mjs"

const [id = ""] = process.argv.slice(2)

const finish = (code, passed, nativeTests, diagnostic) => {
  console.log(
    JSON.stringify({
      scenario_id: id,
      passed,
      native_tests: nativeTests,
      ...(diagnostic === undefined ? undefined : { diagnostic })
    })
  )
  process.exitCode = code
}

/** The tests that ran, not those that were left out. */
const runTests = async () => {
  const folder = mkdtempSync(join(tmpdir(), "recovery-adapter-"))
  const report = join(folder, "tests.json")
  try {
    const { output } = await runTool("vitest/vitest.mjs", [
      "run",
      "--config",
      join(repository, "vitest.workspace.ts"),
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
      "--testNamePattern",
      `\\b${id}\\b`,
      "packages/http/test/recovery/"
    ])
    console.error(output)
    return JSON.parse(readFileSync(report, "utf8"))
      .testResults.flatMap(({ assertionResults }) => assertionResults)
      .filter(({ status }) => status === "passed" || status === "failed")
  } finally {
    rmSync(folder, { force: true, recursive: true })
  }
}

const main = async () => {
  if (!/^CR-[A-Z]+-\d{3}$/.test(id)) return finish(2, false, [], `"${id}" is not the id of a scenario`)
  const scenario = JSON.parse(readFileSync(0, "utf8"))
  if (scenario.id !== id) return finish(2, false, [], `the scenario on stdin is "${scenario.id}"`)
  if ("expected_requests" in scenario || "assertions" in scenario) {
    return finish(2, false, [], "a scenario must not say what is expected")
  }
  const tests = await runTests()
  const names = tests.map(({ fullName }) => fullName)
  if (!tests.some(({ title }) => title.startsWith(`${id} `))) {
    return finish(2, false, [], `no test that ran begins with ${id}`)
  }
  const failed = tests.filter(({ status }) => status !== "passed")
  return failed.length === 0
    ? finish(0, true, names)
    : finish(1, false, names, failed.flatMap(({ failureMessages }) => failureMessages).join("\n") || "it failed")
}

await main()
