// Makes `npm test` and `npm run demo` work on a fresh clone: checks the Node version, and installs when what is
// installed is not what package-lock.json says. Plain Node, because nothing may be installed yet.
//
// `npm ci` refuses a lock file without the optional packages of every other platform, and not every registry has those. Then
// `npm install --no-save` does the same: it takes the versions of the lock file and does not touch it.
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const readJson = (file) => JSON.parse(readFileSync(`${root}${file}`, "utf8"))

const isOlder = (version, minimum) => {
  const [major, minor] = version.split(".").map(Number)
  const [minMajor, minMinor] = minimum.split(".").map(Number)
  return major < minMajor || (major === minMajor && minor < minMinor)
}

/** npm keeps the part of the lock file that it installed in node_modules: optional packages of other platforms are not. */
const isInstalled = () => {
  if (!existsSync(`${root}node_modules/.package-lock.json`)) return false
  const wanted = readJson("package-lock.json").packages
  const installed = readJson("node_modules/.package-lock.json").packages
  const isSame = (a, b) => a.version === b.version && a.integrity === b.integrity && a.link === b.link
  return Object.entries(wanted).every(([path, entry]) =>
    path === "" || (path in installed ? isSame(entry, installed[path]) : entry.optional === true)
  ) && Object.keys(installed).every((path) => path in wanted)
}

const npm = (...args) => {
  const all = [...args, "--no-audit", "--no-fund", "--loglevel=error"]
  const path = process.env.npm_execpath
  return spawnSync(path === undefined ? "npm" : process.execPath, path === undefined ? all : [path, ...all], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    shell: path === undefined && process.platform === "win32"
  })
}

const install = () => {
  console.error(`${existsSync(`${root}node_modules`) ? "node_modules is out of date" : "first run"}: installing`)
  if (npm("ci").status === 0) return
  const done = npm("install", "--no-save")
  if (done.status !== 0) {
    console.error(`${done.stdout ?? ""}${done.stderr ?? ""}${done.error?.message ?? ""}`)
    console.error("npm install failed")
    process.exit(1)
  }
}

const required = readJson("package.json").engines.node.replace(">=", "")
if (isOlder(process.versions.node, required)) {
  console.error(`effect-cycles needs Node ${required} or newer; this is Node ${process.versions.node}`)
  process.exit(1)
}
if (!isInstalled()) install()
