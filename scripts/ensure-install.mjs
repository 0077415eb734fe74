// Makes `npm test` and `npm run demo` work on a fresh clone: checks the Node version, and installs when what is
// installed is not what package-lock.json says. Plain Node, because nothing may be installed yet.
//
// `npm install --no-save` takes the versions of the lock file and does not touch it, as `npm ci` would; but `npm ci` refuses
// a lock file without the optional packages of every other platform, and not every registry has those.
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

const install = () => {
  console.error(`${existsSync(`${root}node_modules`) ? "node_modules is out of date" : "first run"}: installing`)
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
  const npm = process.env.npm_execpath
  const [command, allArgs] = npm === undefined ? ["npm", args] : [process.execPath, [npm, ...args]]
  const done = spawnSync(command, allArgs, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    shell: npm === undefined && process.platform === "win32"
  })
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
