// The core only uses what Effect calls stable. Effect marks each export by `@stability` in its JSDoc; this looks up the mark
// of every export that packages/cycles/src uses, in the sources that Effect ships.
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { join, relative, resolve } from "node:path"
import { lineOf, parse, typescriptFiles, walk } from "./source.mjs"

const cache = new Map()
const parseCached = (file) => {
  if (!cache.has(file)) cache.set(file, parse(file))
  return cache.get(file)
}

/** The JSDoc that ends directly before `offset`. */
const jsdocBefore = ({ comments, text }, offset) =>
  comments.findLast((comment) =>
    comment.type === "Block" && comment.value.startsWith("*") && comment.end <= offset &&
    text.slice(comment.end, offset).trim() === ""
  )?.value

/**
 * The stability marks of the export `name` of an Effect module: of all its declarations (a type and a value can share a
 * name), or, where it is passed on without a mark of its own, of what it is passed on from.
 */
const marksOf = (file, name) => {
  const source = parseCached(file)
  const marks = []
  for (const statement of source.module.staticExports) {
    for (const entry of statement.entries) {
      const everything = entry.exportName.kind === "None" && entry.importName.kind === "AllButDefault"
      if (entry.exportName.name !== name && !everything) continue
      // a declaration's JSDoc is before `export`; in a list, it is before the entry
      const isListed = source.text.slice(statement.start, statement.end).startsWith("export {") ||
        source.text.slice(statement.start, statement.end).startsWith("export type {")
      const mark = jsdocBefore(source, isListed ? entry.start : statement.start)?.match(/@stability\s+(\w+)/)?.[1]
      if (mark !== undefined && !everything) marks.push(mark)
      else if (entry.moduleRequest?.value.startsWith(".")) {
        marks.push(...marksOf(resolve(file, "..", entry.moduleRequest.value), entry.importName.name ?? name))
      }
    }
  }
  return marks
}

/** What a file uses of Effect, as `{ module, name, line }`; `name` is undefined where that cannot be told. */
const usesOf = ({ module, program, text }) => {
  const uses = []
  const namespaces = new Map()
  const fromEffect = (specifier) => specifier === "effect" || specifier.startsWith("effect/")
  for (const statement of module.staticImports) {
    const from = statement.moduleRequest.value
    if (!fromEffect(from)) continue
    for (const { importName, localName } of statement.entries) {
      if (importName.kind === "NamespaceObject") namespaces.set(localName.value, from)
      else uses.push({ module: from, name: importName.name ?? "default", line: lineOf(text, statement.start) })
    }
  }
  for (const statement of module.staticExports) {
    for (const { importName, moduleRequest } of statement.entries) {
      if (moduleRequest !== null && fromEffect(moduleRequest.value)) {
        const name = importName.kind === "Name" ? importName.name : undefined
        uses.push({ module: moduleRequest.value, name, line: lineOf(text, statement.start) })
      }
    }
  }
  walk(program, (node, parent) => {
    if (node.type === "TSImportType" && fromEffect(node.source.value)) {
      let qualifier = node.qualifier
      while (qualifier?.type === "TSQualifiedName") qualifier = qualifier.left
      uses.push({ module: node.source.value, name: qualifier?.name, line: lineOf(text, node.start) })
    }
    if (node.type !== "Identifier" || !namespaces.has(node.name)) return
    const member = parent.type === "MemberExpression" && parent.object === node && !parent.computed
      ? parent.property.name
      : parent.type === "TSQualifiedName" && parent.left === node
      ? parent.right.name
      : undefined
    // a property or a member that only shares the name, as in `{ Effect: 1 }` or `x.Effect`
    const isOtherName = (parent.type === "MemberExpression" && parent.property === node && !parent.computed) ||
      (parent.type === "TSQualifiedName" && parent.right === node) ||
      ("key" in parent && parent.key === node && !parent.computed && !parent.shorthand) ||
      parent.type.startsWith("Import") || parent.type === "TSImportType"
    if (!isOtherName) uses.push({ module: namespaces.get(node.name), name: member, line: lineOf(text, node.start) })
  })
  return uses
}

/** The uses under `root` that are not stable, one line each, and how many different exports were looked up. */
export const checkStability = (root) => {
  const effect = createRequire(join(root, "package.json")).resolve("effect/package.json").replace("package.json", "src")
  const problems = []
  const verdicts = new Map()
  const verdictOf = ({ module, name }) => {
    if (name === undefined) return `${module} is used as a whole, so its exports cannot be checked`
    const file = join(effect, `${module.replace(/^effect\/?/, "") || "index"}.ts`)
    if (!existsSync(file)) return `${module} is not a module of Effect's sources`
    const marks = marksOf(file, name)
    if (marks.length === 0) return `${module} ${name} has no stability mark`
    const loose = marks.filter((mark) => mark !== "stable")
    return loose.length === 0 ? undefined : `${module} ${name} is ${loose[0]}`
  }
  for (const path of typescriptFiles(join(root, "packages/cycles/src"))) {
    for (const use of usesOf(parse(path))) {
      const key = `${use.module} ${use.name}`
      if (!verdicts.has(key)) verdicts.set(key, verdictOf(use))
      const verdict = verdicts.get(key)
      if (verdict !== undefined) problems.push(`${relative(root, path)}:${use.line}: ${verdict}`)
    }
  }
  return { problems, summary: `${verdicts.size} exports of Effect` }
}
