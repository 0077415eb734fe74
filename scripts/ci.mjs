// What `.ci/run` runs. A step that fails does not stop the later ones. The last line sums up: every check, every test and
// every other step counts as one.
import { execFileSync, spawn } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

const repository = fileURLToPath(new URL("..", import.meta.url))
// the space is meant: paths have them
const temporary = mkdtempSync(join(tmpdir(), "effect cycles "))
const total = { passed: 0, failed: 0 }

/** Runs a command, shows what it prints, and resolves to its exit code and what it printed on stdout. */
const show = (command, args, options = {}) =>
  new Promise((done) => {
    console.log(`\n$ ${[command, ...args].join(" ")}`)
    const child = spawn(command, args, { cwd: repository, ...options, stdio: ["ignore", "pipe", "inherit"] })
    let stdout = ""
    child.stdout.on("data", (chunk) => {
      stdout += chunk
      process.stdout.write(chunk)
    })
    child.on("error", (error) => console.error(error.message))
    child.on("close", (code) => done({ code: code ?? 1, stdout }))
  })

const count = (name, passed, failed) => {
  total.passed += passed
  total.failed += failed
  console.log(`${failed === 0 ? "ok   " : "FAIL "} ${name}: ${passed} passed, ${failed} failed`)
}

const countStep = (name, isPassed) => count(name, isPassed ? 1 : 0, isPassed ? 0 : 1)

/** A run that fails without a failed part to show for it counts as one failure. */
const countRun = (name, code, passed, failed) => count(name, passed, code !== 0 && failed === 0 ? 1 : failed)

/** What tests use of a Debian system, where it can be had: a tracer of system calls, and a database server of their own. */
const systemPackages = [
  { name: "strace", isThere: () => isOnPath("strace") },
  { name: "postgresql", isThere: () => hasPostgres() || isOnPath("postgres") }
]

const isOnPath = (program) =>
  (process.env.PATH ?? "").split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, program)))

const hasPostgres = () => {
  const versions = "/usr/lib/postgresql"
  return existsSync(versions) &&
    readdirSync(versions).some((version) => existsSync(join(versions, version, "bin", "postgres")))
}

/** Tests that miss one say that they did not run, so a failure here is told and does not count. */
const installSystemPackages = async () => {
  const missing = systemPackages.filter(({ isThere }) => !isThere()).map(({ name }) => name)
  if (missing.length === 0) return
  if (!isOnPath("apt-get")) {
    console.error(`There is no apt-get to install ${missing.join(" and ")}; tests that need it are skipped`)
    return
  }
  if (missing.includes("postgresql")) {
    // Tests start servers of their own; the package shall not start one on the default port.
    try {
      mkdirSync("/etc/postgresql-common", { recursive: true })
      const settings = "/etc/postgresql-common/createcluster.conf"
      if (!existsSync(settings)) writeFileSync(settings, "create_main_cluster = false\n")
    } catch (error) {
      console.error(`postgresql is not installed, since it would start a server: ${error.message}`)
      missing.splice(missing.indexOf("postgresql"), 1)
    }
  }
  if (missing.length === 0) return
  const options = { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } }
  await show("apt-get", ["-qq", "update"], options)
  for (const name of missing) {
    const { code } = await show("apt-get", ["-qq", "install", "--yes", "--no-install-recommends", name], options)
    if (code !== 0) console.error(`apt-get could not install ${name}; tests that need it are skipped`)
  }
}

const runChecks = async () => {
  const { code, stdout } = await show("npm", ["run", "check"])
  const [, passed, failed] = /(\d+) passed, (\d+) failed\s*$/.exec(stdout) ?? [undefined, "0", "0"]
  countRun("check", code, Number(passed), Number(failed))
}

const runTests = async () => {
  const report = join(temporary, "tests.json")
  const { code } = await show("npm", [
    "test",
    "--",
    "--reporter=default",
    "--reporter=./scripts/vitest-skips.ts",
    "--reporter=json",
    `--outputFile.json=${report}`
  ])
  const read = () => {
    try {
      return JSON.parse(readFileSync(report, "utf8"))
    } catch {
      return { numPassedTests: 0, numFailedTests: 0 }
    }
  }
  const { numFailedTests, numPassedTests } = read()
  countRun("test", code, numPassedTests, numFailedTests)
}

const isJson = (text) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** `--json` prints one JSON document, or one in every line. */
const runDemo = async () => {
  const { code, stdout } = await show("npm", ["run", "-s", "demo", "--", "--json"])
  countStep("demo", code === 0 && (isJson(stdout) || stdout.trim().split("\n").every(isJson)))
}

/** npm's own settings, for a HOME that has none. */
const npmSettings = () =>
  Object.fromEntries(
    ["registry", "cache", "cafile", "proxy", "https-proxy", "noproxy"].flatMap((key) => {
      const value = execFileSync("npm", ["config", "get", key], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"]
      }).trim()
      return value === "" || value === "null" ? [] : [[`npm_config_${key.replaceAll("-", "_")}`, value]]
    })
  )

/** What a newcomer does, in a fresh clone with an empty HOME. */
const runFreshClone = async () => {
  const clone = join(temporary, "fresh clone")
  const home = join(temporary, "home")
  mkdirSync(home)
  const cloned = await show("git", ["clone", "--quiet", repository, clone])
  countStep("clone", cloned.code === 0)
  if (cloned.code !== 0) return
  const options = { cwd: clone, env: { PATH: process.env.PATH, CI: "true", HOME: home, ...npmSettings() } }
  countStep("demo in the clone", (await show("npm", ["run", "demo"], options)).code === 0)
  countStep("test in the clone", (await show("npm", ["test"], options)).code === 0)
}

try {
  await installSystemPackages()
  countStep("install", (await show(process.execPath, ["scripts/ensure-install.mjs"])).code === 0)
  await runChecks()
  await runTests()
  countStep("deep test", (await show("npm", ["run", "test:deep"])).code === 0)
  await runDemo()
  await runFreshClone()
} finally {
  rmSync(temporary, { force: true, recursive: true })
}
console.log(`\n${total.passed} passed, ${total.failed} failed`)
process.exit(total.failed === 0 ? 0 : 1)
