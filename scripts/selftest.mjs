// Shows that every check can fail: each is run on a folder of scripts/fixtures with known faults and has to report exactly
// those. What a check of ours has to say is in the folder's expected.txt, the first line of each problem.
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { checkArchitecture } from "./check-architecture.mjs"
import { checkDocs } from "./check-docs.mjs"
import { checkLockfile } from "./check-lockfile.mjs"
import { checkMisuse } from "./check-misuse.mjs"
import { checkStability } from "./check-stability.mjs"
import { diagnoseEffect, dprint, oxlint, repository, runTool } from "./process.mjs"

const fixture = (name) => join(repository, "scripts/fixtures", name)

/** What is in one list and not in the other, one line each. */
const difference = (name, expected, found) => [
  ...expected.filter((line) => !found.includes(line)).map((line) => `${name} does not report: ${line}`),
  ...found.filter((line) => !expected.includes(line)).map((line) => `${name} reports: ${line}`)
]

const tryCheck = async (name, check) => {
  const { problems } = await check(fixture(name))
  const expected = readFileSync(join(fixture(name), "expected.txt"), "utf8").trim().split("\n")
  return difference(name, expected, problems.map((problem) => problem.split("\n")[0]))
}

/** Runs a tool on a copy of a fixture, outside of the repository and with its configuration. */
const onCopy = async (name, config, use) => {
  const folder = mkdtempSync(join(tmpdir(), "effect-cycles-"))
  try {
    cpSync(fixture(name), folder, { recursive: true })
    cpSync(join(repository, config), join(folder, config))
    return await use(folder)
  } finally {
    rmSync(folder, { force: true, recursive: true })
  }
}

const tryLint = () =>
  onCopy("lint", ".oxlintrc.json", async (folder) => {
    const { output } = await oxlint(["--no-ignore", "-c", ".oxlintrc.json", "-f", "unix"], { cwd: folder })
    const rules = [...output.matchAll(/\[Error\/(.+)\]$/gm)].map(([, rule]) => rule)
    return difference("lint", [
      "typescript(no-explicit-any)",
      "eslint(no-console)",
      "eslint(no-restricted-globals)",
      "typescript(array-type)"
    ], rules)
  })

const tryFormat = async () => {
  const { code } = await dprint(["check", "--excludes-override=", "--", "scripts/fixtures/format/bad.ts"])
  return code === 20 ? [] : [`format: dprint check of a badly formatted file exits with ${code}, not 20`]
}

const tryEffect = async () => {
  const { code, output } = await diagnoseEffect(join(fixture("effect"), "tsconfig.json"))
  const found = [...output.matchAll(/effect\((\w+)\)/g)].map(([, rule]) => rule)
  return difference("effect", ["floatingEffect", "missingReturnYieldStar", "exit 1"], [...found, `exit ${code}`])
}

const vitest = (files) =>
  runTool("vitest/vitest.mjs", ["run", "--config", join(fixture("vitest"), "vitest.config.ts"), ...files], {
    env: { ...process.env, NO_COLOR: "1" }
  })

/** A test whose name begins with `red:` has to fail, one with `green:` to pass. */
const tryAssertions = async () => {
  const { code, output } = await vitest(["assertions", "--reporter=verbose"])
  const ended = [...output.matchAll(/^ ([✓×]) .*assertions > (\w+): (.*?)( \d+ms)?$/gm)]
  const wrong = ended.filter(([, mark, colour]) => (mark === "✓") !== (colour === "green"))
  const problems = wrong.map(([, mark, colour, name]) => `vitest: "${colour}: ${name}" ends with ${mark}`)
  if (ended.length !== 13) problems.push(`vitest: ${ended.length} of 13 tests ended:\n${output}`)
  if (code === 0) problems.push("vitest: a run with failed tests ends well")
  return problems
}

/** The reason of a skip named `accepted:` has to be printed; one named `refused:` has to fail the run. */
const trySkips = async () => {
  const { code, output } = await vitest(["skips"])
  const accepted = [...output.matchAll(/^skipped: .*accepted: .*: .+$/gm)].length
  const refused = [...output.matchAll(/^skipped without a reason: .*refused: .*$/gm)].length
  const all = [...output.matchAll(/^skipped.*$/gm)].length
  return difference("vitest", ["accepted 5, refused 5, all 10, exit 1"], [
    `accepted ${accepted}, refused ${refused}, all ${all}, exit ${code}`
  ])
}

export const selftest = async () => {
  const problems = [
    ...await tryCheck("architecture", checkArchitecture),
    ...await tryCheck("docs", checkDocs),
    ...await tryCheck("lockfile", checkLockfile),
    ...await tryCheck("misuse", checkMisuse),
    ...await tryCheck("stability", checkStability),
    ...await tryEffect(),
    ...await tryFormat(),
    ...await tryLint(),
    ...await tryAssertions(),
    ...await trySkips()
  ]
  return { problems, summary: "10 checks shown to fail" }
}
