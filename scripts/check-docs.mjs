// Type-checks every `ts` block in README.md, CONTRIBUTING.md, docs/, packages/*/README.md and the JSDoc of packages/*/src
// against the built packages, and runs those that promise output:
//
//   console.log(Amount.format(estimate)) // => "1000 TOKENS"
//
// What a block prints has to be what its `// =>` comments say, line by line and in order. Words after `ts`: `no-run` leaves
// it at the type check; `no-check` leaves the block alone, and needs `<!-- not checked: the reason -->` before it.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, join, relative } from "node:path"
import { parseErrors, repository, run, tsc } from "./process.mjs"
import { lineOf, parse, typescriptFiles } from "./source.mjs"

const markdownFiles = (root) => {
  const packages = readdirSync(join(root, "packages")).map((name) => join(root, "packages", name, "README.md"))
  const docs = existsSync(join(root, "docs"))
    ? readdirSync(join(root, "docs")).filter((file) => file.endsWith(".md")).map((file) => join(root, "docs", file))
    : []
  return [join(root, "README.md"), join(root, "CONTRIBUTING.md"), ...docs, ...packages].filter((file) =>
    existsSync(file)
  )
}

const sourceFiles = (root) =>
  readdirSync(join(root, "packages"))
    .map((name) => join(root, "packages", name, "src"))
    .filter((folder) => existsSync(folder))
    .flatMap(typescriptFiles)

/** The fenced blocks in `lines`, the first of which is line `firstLine` of `file`. */
const fencedBlocks = (file, lines, firstLine) => {
  const blocks = []
  let open
  for (const [index, line] of lines.entries()) {
    const fence = /^(\s*)(`{3,})\s*(.*)$/.exec(line)
    if (open === undefined && fence !== null) {
      const [language, ...words] = fence[3].trim().split(/\s+/)
      open = {
        file,
        line: firstLine + index,
        language,
        words,
        before: lines.slice(0, index).findLast((line) => line.trim() !== "") ?? "",
        fence: fence[2],
        code: []
      }
    } else if (open !== undefined && line.trim() === open.fence) {
      blocks.push(open)
      open = undefined
    } else open?.code.push(line)
  }
  return open === undefined ? blocks : [...blocks, { ...open, unclosed: true }]
}

const blocksOfMarkdown = (file) => fencedBlocks(file, readFileSync(file, "utf8").split("\n"), 1)

const blocksOfSource = (file) => {
  const { comments, text } = parse(file)
  return comments
    .filter((comment) => comment.type === "Block" && comment.value.startsWith("*"))
    .flatMap((comment) =>
      fencedBlocks(
        file,
        comment.value.split("\n").map((line) => line.replace(/^\s*\* ?/, "")),
        lineOf(text, comment.start)
      )
    )
}

const fenceProblem = ({ before, unclosed, words }) => {
  if (unclosed) return "the block is not closed"
  const strange = words.find((word) => word !== "no-run" && word !== "no-check")
  if (strange !== undefined) return `"${strange}" is not a word for a ts block`
  if (words.includes("no-check") && !/<!-- not checked: .+ -->/.test(before)) {
    return "no-check needs <!-- not checked: the reason --> before it"
  }
  return undefined
}

const promises = (code) => code.flatMap((line) => /\/\/ => (.*)$/.exec(line)?.[1].trim() ?? [])

/** The broken blocks under `root`, one line each, and how many were checked and run. */
export const checkDocs = async (root) => {
  const all = [...markdownFiles(root).flatMap(blocksOfMarkdown), ...sourceFiles(root).flatMap(blocksOfSource)]
    .filter(({ language }) => ["ts", "typescript", "tsx"].includes(language))
  const at = (block, offset = 0) => `${relative(root, block.file)}:${block.line + offset}`

  const problems = all.flatMap((block) => {
    const problem = fenceProblem(block)
    return problem === undefined ? [] : [`${at(block)}: ${problem}`]
  })
  const blocks = all
    .filter((block) => fenceProblem(block) === undefined && !block.words.includes("no-check"))
    .map((block, index) => ({ ...block, name: `${index}-${basename(block.file).replace(/\W/g, "-")}-${block.line}` }))
  if (blocks.length === 0) return { problems, summary: "0 blocks" }

  // inside of node_modules/, where the packages are found by their names
  const project = join(repository, "node_modules/.cache/doc-blocks")
  rmSync(project, { force: true, recursive: true })
  mkdirSync(project, { recursive: true })
  for (const { code, name } of blocks) writeFileSync(join(project, `${name}.ts`), code.join("\n"))
  const tsconfig = {
    extends: join(repository, "tsconfig.base.json"),
    compilerOptions: {
      composite: false,
      customConditions: [],
      declaration: false,
      declarationMap: false,
      incremental: false,
      noUnusedLocals: false,
      noUnusedParameters: false,
      outDir: "dist",
      rootDir: ".",
      sourceMap: false,
      types: ["node"]
    },
    files: blocks.map(({ name }) => `${name}.ts`)
  }
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(tsconfig))
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }))

  const compiled = await tsc(["-p", project], { cwd: project })
  const errors = parseErrors(compiled.output, project)
  const wrong = new Set()
  for (const { code, file, line, message } of errors) {
    const block = blocks.find(({ name }) => file === join(project, `${name}.ts`))
    if (block !== undefined) wrong.add(block)
    problems.push(`${block === undefined ? relative(root, file) : at(block, line)}: ${code}: ${message}`)
  }

  const runs = blocks
    .filter((block) => !wrong.has(block) && !block.words.includes("no-run") && promises(block.code).length > 0)
    .map((block) => ({
      at: at(block),
      module: join(project, "dist", `${block.name}.js`),
      promises: promises(block.code)
    }))
  writeFileSync(join(project, "runs.json"), JSON.stringify(runs))
  const ran = await run(process.execPath, [join(repository, "scripts/run-doc-blocks.mjs"), project], {
    timeout: 120_000
  })
  const reported = existsSync(join(project, "problems.json"))
    ? JSON.parse(readFileSync(join(project, "problems.json"), "utf8"))
    : [`the blocks ended the process or hung; the last lines printed:\n${ran.output.split("\n").slice(-20).join("\n")}`]
  return {
    problems: [...problems, ...reported],
    summary: `${blocks.length} blocks checked, ${runs.length} of them run`
  }
}
