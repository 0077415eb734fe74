// Reading TypeScript sources: the files of a folder, and what a file imports.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parseSync } from "oxc-parser"

/** The `.ts` files under `folder`, sorted, without build output and dependencies. */
export const typescriptFiles = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((file) => !/[\\/](node_modules|dist)[\\/]/.test(file))
    .toSorted()

/** A file's text, syntax tree, comments, imports and exports. */
export const parse = (file) => {
  const text = readFileSync(file, "utf8")
  const { comments, errors, module, program } = parseSync(file, text)
  if (errors.length > 0) throw new Error(`${file} does not parse: ${errors[0].message}`)
  return { comments, file, module, program, text }
}

/** The line of `file` that the character at `offset` is on, counted from 1. */
export const lineOf = (text, offset) => text.slice(0, offset).split("\n").length

/** Calls `visit(node, parent)` for every node of a syntax tree. */
export const walk = (node, visit, parent) => {
  if (Array.isArray(node)) {
    for (const child of node) walk(child, visit, parent)
  } else if (node !== null && typeof node === "object") {
    if (typeof node.type === "string") visit(node, parent)
    for (const child of Object.values(node)) walk(child, visit, typeof node.type === "string" ? node : parent)
  }
}

/** Every module a file names: static imports, re-exports, `import()` and `import("…")` types. */
export const moduleRequests = ({ program, text }) => {
  const requests = []
  walk(program, (node) => {
    const from = node.source
    if (from?.type === "Literal") requests.push({ specifier: from.value, line: lineOf(text, from.start) })
    else if (node.type === "ImportExpression") requests.push({ specifier: undefined, line: lineOf(text, node.start) })
    else if (node.type === "TSExternalModuleReference") {
      requests.push({ specifier: node.expression.value, line: lineOf(text, node.start) })
    }
  })
  return requests
}
