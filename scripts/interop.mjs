// `npm run interop -- --ts DIR --python DIR --rust DIR`: other people's Cycles clients against a server of ours. Each DIR is a
// checkout of an official client or the folder of an installed package; there may be several of each. Every client runs the cases
// of interop/cases.json through what it exports, as a tenant of its own. Then the balances are read on our side and held against
// what the cases should have left, to the unit.
//
// Prints the cases of each client, and exits with 1 where one fails; exits with 3 where there is no client to run.
//
// A TypeScript checkout that is not built is bundled into a temporary folder. Python runs in the virtual environment that DIR has
// or is, else by the interpreter that the variable PYTHON names, else by python3: it has to have what the client depends on. Cargo
// builds in node_modules/.cache/interop-rust, or where CARGO_TARGET_DIR says.
import { spawn } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { build } from "vite"
import { repository, run, tsc } from "./process.mjs"

const TIMEOUT_MS = 300_000
const UNIT = "TOKENS"
// Never what a case is denied for.
const TENANT_ALLOCATION = 2n ** 62n
const AGENT_ALLOCATION = "10000"

const folders = { type: "string", multiple: true, default: [] }
const { values } = parseArgs({ options: { ts: folders, python: folders, rust: folders } })
const asked = [
  ...values.ts.map((dir) => ({ language: "typescript", dir })),
  ...values.python.map((dir) => ({ language: "python", dir })),
  ...values.rust.map((dir) => ({ language: "rust", dir }))
]
if (asked.length === 0) {
  console.error(
    "no client was named: nothing was run. Name checkouts or installed packages of the official clients:\n" +
      "npm run interop -- --ts DIR --python DIR --rust DIR"
  )
  process.exit(3)
}

const temporary = mkdtempSync(join(tmpdir(), "cycles-interop-"))
const drivers = join(repository, "interop")

// ---------------------------------------------------------------------------------------------------------------------
// what runs a client
// ---------------------------------------------------------------------------------------------------------------------

const fail = (message) => {
  throw new Error(message)
}

/** What the TypeScript client is imported by: what was built, or else a bundle of its sources. */
const prepareTypescript = async (dir, name) => {
  const { exports, main, version } = JSON.parse(readFileSync(join(dir, "package.json"), "utf8"))
  const built = exports?.["."]?.import?.default ?? exports?.["."]?.default ?? main
  if (built !== undefined && existsSync(join(dir, built))) {
    return { version, command: [process.execPath, join(drivers, "typescript/driver.mjs"), join(dir, built)] }
  }
  if (!existsSync(join(dir, "src/index.ts"))) fail(`${dir} has neither ${built} nor src/index.ts`)
  const outDir = join(temporary, name)
  const output = { entryFileNames: "index.mjs" }
  await build({
    configFile: false,
    root: dir,
    logLevel: "error",
    build: { ssr: "src/index.ts", outDir, minify: false, rollupOptions: { output } }
  })
  return { version, command: [process.execPath, join(drivers, "typescript/driver.mjs"), join(outDir, "index.mjs")] }
}

/** The folder with the Python package in it, and an interpreter that has what it depends on. */
const preparePython = async (dir) => {
  const libraries = existsSync(join(dir, "lib")) ? readdirSync(join(dir, "lib")) : []
  const places = [dir, join(dir, "src"), ...libraries.map((name) => join(dir, "lib", name, "site-packages"))]
  const place = places.find((path) => existsSync(join(path, "runcycles/__init__.py")))
  if (place === undefined) fail(`${dir} has no package runcycles`)
  const environment = ["", ".venv", "venv"].map((name) => join(dir, name, "bin/python")).find((path) =>
    existsSync(path)
  )
  const interpreter = environment ?? process.env.PYTHON ?? "python3"
  const env = { PYTHONPATH: place, PYTHONDONTWRITEBYTECODE: "1" }
  const { code, output } = await run(interpreter, ["-c", "import runcycles; print(runcycles.__version__)"], {
    env: { ...process.env, ...env }
  })
  if (code !== 0) fail(`${interpreter} cannot import ${place}/runcycles:\n${output}`)
  return { version: output.trim(), command: [interpreter, join(drivers, "python/driver.py")], env }
}

/** The driver, built with the Rust client. */
const prepareRust = async (dir, name) => {
  const manifest = join(dir, "Cargo.toml")
  const version = existsSync(manifest) && /^version = "(.*)"$/m.exec(readFileSync(manifest, "utf8"))?.[1]
  if (!version) fail(`${dir} has no Cargo.toml with a version`)
  const crate = join(temporary, name)
  mkdirSync(crate)
  // A string of JSON is one of TOML.
  writeFileSync(
    join(crate, "Cargo.toml"),
    `[package]
name = "${name}"
version = "0.0.0"
edition = "2021"
[[bin]]
name = "${name}"
path = ${JSON.stringify(join(drivers, "rust/driver.rs"))}
[features]
recovers = []
[dependencies]
runcycles = { path = ${JSON.stringify(dir)}, features = ["blocking"] }
serde_json = "1"
tokio = { version = "1", features = ["macros", "rt-multi-thread", "sync", "time"] }
[workspace]
`
  )
  const target = process.env.CARGO_TARGET_DIR ?? join(repository, "node_modules/.cache/interop-rust")
  const [major, minor] = version.split(".").map(Number)
  const features = major > 0 || minor >= 3 ? ["--features", "recovers"] : []
  const { code, output } = await run("cargo", ["build", "--quiet", ...features], {
    cwd: crate,
    env: { ...process.env, CARGO_TARGET_DIR: target }
  })
  if (code !== 0) fail(`the driver does not build with ${dir}:\n${output}`)
  return { version, command: [join(target, "debug", name)] }
}

const prepare = { typescript: prepareTypescript, python: preparePython, rust: prepareRust }

/** The commit of a folder that is a checkout, or that a published crate says it is of. */
const commitOf = async (dir) => {
  const published = join(dir, ".cargo_vcs_info.json")
  if (existsSync(published)) return JSON.parse(readFileSync(published, "utf8")).git?.sha1
  const top = await run("git", ["-C", dir, "rev-parse", "--show-toplevel"])
  if (top.code !== 0 || realpathSync(top.output.trim()) !== realpathSync(dir)) return undefined
  return (await run("git", ["-C", dir, "rev-parse", "HEAD"])).output.trim()
}

// ---------------------------------------------------------------------------------------------------------------------
// the cases
// ---------------------------------------------------------------------------------------------------------------------

const catalogue = Object.entries(JSON.parse(readFileSync(join(drivers, "cases.json"), "utf8")))

/** The cases of a language, with what each should leave behind. */
const casesOf = (language) =>
  catalogue
    .filter(([, { clients }]) => clients === undefined || clients.includes(language))
    .map(([name, { allocated = AGENT_ALLOCATION, debt = "0", inDebt, overdraft, policy, spent, spentBy, title }]) => ({
      name,
      title,
      policy,
      allocated: BigInt(allocated),
      overdraft: overdraft === undefined ? undefined : BigInt(overdraft),
      spent: BigInt(spentBy?.[language] ?? spent),
      debt: BigInt(debt),
      inDebt: inDebt === true ? BigInt(debt) : undefined
    }))

/** Runs a driver: what it said of each case, and everything else it printed. */
const drive = ([command, ...args], env) =>
  new Promise((done) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: TIMEOUT_MS
    })
    const said = new Map()
    let rest = ""
    let noise = ""
    const read = (line) => {
      let parsed
      try {
        parsed = JSON.parse(line)
      } catch {
        // not the driver's own
      }
      if (typeof parsed?.case !== "string") noise += `${line}\n`
      else if (said.has(parsed.case)) said.set(parsed.case, { error: "it ran twice" })
      else said.set(parsed.case, parsed)
    }
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      const lines = (rest + chunk).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) read(line)
    })
    child.stderr.setEncoding("utf8").on("data", (chunk) => noise += chunk)
    child.on("error", (error) => noise += `${error.message}\n`)
    child.on("close", (code, signal) => {
      if (rest !== "") read(rest)
      done({ code: code ?? signal, noise, said })
    })
  })

const none = { spent: 0n, debt: 0n }
const show = ({ debt, reserved, spent }) => `spent ${spent}, reserved ${reserved}, debt ${debt}`

/** What is wrong with a balance, or nothing where it is what it should be. */
const objection = (balance, { allocated, debt, spent }) => {
  if (balance === undefined) return "its budget is gone"
  const amountOf = (part) => balance[part]?.amount ?? 0n
  const found = {
    spent: amountOf("spent"),
    reserved: amountOf("reserved"),
    debt: amountOf("debt"),
    remaining: amountOf("remaining")
  }
  const expected = { spent, reserved: 0n, debt, remaining: allocated - spent - debt }
  return Object.keys(expected).every((part) => found[part] === expected[part])
    ? undefined
    : `its budget has ${show(found)}; it should have ${show(expected)}`
}

const runClient = async (server, { dir: given, language }, index) => {
  const dir = resolve(given)
  const { command, env, version } = await prepare[language](dir, `interop-${language}-${index}`)
  const commit = await commitOf(dir)
  const list = casesOf(language)
  const tenant = `${language}-${index}`
  const scopeOf = (name) => `tenant:${tenant}/agent:${name}`
  const apiKey = await server.provision(
    tenant,
    [
      { scope: `tenant:${tenant}`, unit: UNIT, amount: TENANT_ALLOCATION, overdraft: 1_000_000n },
      ...list.map(({ allocated, inDebt, name, overdraft }) => ({
        scope: scopeOf(name),
        unit: UNIT,
        amount: allocated,
        overdraft,
        inDebt
      }))
    ],
    list.flatMap(({ name, policy }) => policy === undefined ? [] : [{ name, scopePattern: scopeOf(name), ...policy }])
  )
  const { code, noise, said } = await drive(command, {
    CYCLES_BASE_URL: server.url,
    CYCLES_API_KEY: apiKey,
    CYCLES_TENANT: tenant,
    // Patience with a busy machine; Python counts in seconds.
    CYCLES_READ_TIMEOUT: language === "python" ? "60" : "60000",
    CYCLES_JOURNAL_DIR: join(temporary, `journal-${index}`),
    NO_PROXY: "127.0.0.1",
    ...env
  })
  const balances = new Map((await server.balances(tenant)).map((balance) => [balance.scope, balance]))

  console.log(`\n${language} ${version}${commit === undefined ? "" : `, commit ${commit}`}`)
  const total = { spent: 0n, debt: 0n }
  const results = list.map(({ name, title, ...expected }) => {
    const outcome = said.get(name) ?? { error: "it did not run" }
    said.delete(name)
    const left = outcome.absent === undefined ? expected : { ...expected, ...none }
    total.spent += left.spent
    total.debt += left.debt
    const wrong = [outcome.error, objection(balances.get(scopeOf(name)), left)].filter((text) => text !== undefined)
    const verdict = wrong.length > 0 ? "FAIL  " : outcome.absent === undefined ? "ok    " : "absent"
    console.log(`${verdict} ${name}: ${outcome.absent ?? title}`)
    for (const text of wrong) console.log(text.trimEnd().replace(/^/gm, "         "))
    return verdict.trim()
  })
  const wrong = [
    // The tenant's own budget has all that was spent; who is in debt on an agent's budget is not on the tenant's.
    objection(balances.get(`tenant:${tenant}`), {
      allocated: TENANT_ALLOCATION,
      spent: total.spent + total.debt,
      debt: 0n
    }),
    ...[...said.keys()].map((name) => `there is no case ${name}`),
    code === 0 ? undefined : `the driver ended with ${code}`
  ].filter((text) => text !== undefined)
  for (const text of wrong) console.log(`FAIL   ${text}`)
  const count = (verdict) => results.filter((result) => result === verdict).length
  const failed = count("FAIL") + wrong.length
  if (failed > 0) console.log(noise)
  const balanced = wrong.length === 0 && failed === 0 ? `; ${balances.size} balances to the unit` : ""
  const absent = count("absent") > 0 ? `, ${count("absent")} not in this version` : ""
  console.log(`${count("ok")} passed, ${failed} failed${absent}${balanced}`)
  return { failed, passed: count("ok"), summary: `${language} ${version}: ${count("ok")} of ${results.length} cases` }
}

const main = async () => {
  const { code, output } = await tsc(["-b"])
  if (code !== 0) fail(`it does not compile:\n${output}`)
  const { start } = await import("../interop/server.mjs")
  const server = await start(join(temporary, "server"))
  try {
    const results = []
    for (const [index, client] of asked.entries()) {
      try {
        results.push(await runClient(server, client, index + 1))
      } catch (error) {
        console.log(`\nFAIL   ${client.language} in ${client.dir}: ${error instanceof Error ? error.message : error}`)
        results.push({ failed: 1, passed: 0, summary: `${client.language} in ${client.dir}: not run` })
      }
    }
    console.log(`\n${results.map(({ summary }) => summary).join("\n")}`)
    return results.every(({ failed, passed }) => failed === 0 && passed > 0) ? 0 : 1
  } finally {
    await server.stop()
    rmSync(temporary, { recursive: true, force: true })
  }
}

process.exitCode = await main()
