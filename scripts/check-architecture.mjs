// Holds the arrows between packages, and between the folders of the core. Every module a source file names is looked at,
// types included.
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { isBuiltin } from "node:module"
import { dirname, join, relative, resolve, sep } from "node:path"
import { moduleRequests, parse, typescriptFiles } from "./source.mjs"

/** Which packages the sources of a package may import. */
const packageArrows = {
  cycles: [],
  sqlite: ["cycles"],
  postgres: ["cycles"],
  redis: ["cycles"],
  http: ["cycles"],
  web: ["cycles"],
  ai: ["cycles"],
  testing: ["cycles", "sqlite", "postgres", "redis", "http", "web", "ai"],
  server: ["cycles", "sqlite", "postgres", "redis", "http", "web", "ai"],
  console: ["http"]
}

/** Which folders of the core's `src` a folder may import. `index.ts` may import all of them; nothing may import it. */
const coreArrows = {
  protocol: [],
  ledger: ["protocol"],
  runtime: ["protocol"]
}
const coreExceptions = [{ file: "runtime/Allotment.ts", folder: "ledger" }]

/** What the core may import from outside of this repository. */
const coreDependencies = ["effect", "@noble/hashes"]

const packageName = (specifier) => specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/")

/** `effect`, `effect/http` and `@effect/platform-node` are barrels; `effect/Effect` and `effect/http/HttpApi` are modules. */
const isEffectBarrel = (specifier) => /^(effect|@effect\/platform-node)(\/[a-z-]+)*$/.test(specifier)

const checkCore = (file, target) => {
  if (file === "index.ts") return undefined
  const [from] = file.split("/")
  const [to] = target.split("/")
  if (!(from in coreArrows)) return `src/${from} is a folder without a rule`
  if (from === to || coreArrows[from].includes(to)) return undefined
  if (coreExceptions.some((exception) => exception.file === file && exception.folder === to)) return undefined
  return `${from} must not import ${to}`
}

/** The broken rules under `root`, one line each, and how many imports were looked at. */
export const checkArchitecture = (root) => {
  const packages = readdirSync(join(root, "packages")).filter((name) => existsSync(join(root, "packages", name, "src")))
  const manifests = Object.fromEntries(
    packages.map((name) => [name, JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8"))])
  )
  const folderOf = Object.fromEntries(packages.map((name) => [manifests[name].name, name]))

  const problemWith = (name, src, file, specifier) => {
    if (specifier === undefined) return "an import() whose module is not a plain string cannot be checked"
    if (specifier.startsWith(".")) {
      const target = relative(src, resolve(dirname(join(src, file)), specifier)).split(sep).join("/")
      if (target.startsWith("../")) return `${specifier} leaves the package: import other packages by name`
      return name === "cycles" ? checkCore(file, target) : undefined
    }
    const dependency = packageName(specifier)
    const folder = folderOf[dependency]
    if (folder === name) return `${specifier} is this package: import the file`
    if (folder !== undefined && !packageArrows[name].includes(folder)) return `${name} must not import ${folder}`
    if (isEffectBarrel(specifier)) return `${specifier} is a barrel: import the module, as in "effect/Effect"`
    if (isBuiltin(specifier)) return name === "cycles" ? `the core must not import ${specifier}` : undefined
    if (name === "cycles" && !coreDependencies.includes(dependency)) return `the core must not import ${dependency}`
    const { dependencies, peerDependencies } = manifests[name]
    if (!(dependency in { ...dependencies, ...peerDependencies })) return `${dependency} is not in its package.json`
    return undefined
  }

  const problems = []
  let imports = 0
  for (const name of packages) {
    if (!(name in packageArrows)) {
      problems.push(`packages/${name}: a package without a rule`)
      continue
    }
    const src = join(root, "packages", name, "src")
    for (const path of typescriptFiles(src)) {
      const file = relative(src, path).split(sep).join("/")
      for (const { line, specifier } of moduleRequests(parse(path))) {
        imports++
        const problem = problemWith(name, src, file, specifier)
        if (problem !== undefined) problems.push(`packages/${name}/src/${file}:${line}: ${problem}`)
      }
    }
  }
  return { problems, summary: `${imports} imports` }
}
