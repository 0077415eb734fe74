// Compiles packages/*/typetest/misuse/*.ts, programs that must not compile. Each begins with the error it must give:
//
//   // error: TS2322
//   // phrase: 'string' is not assignable to type 'Settlement
//
// The file must give an error of that code whose message, nested lines included, has the phrase, and none of another code.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { parseErrors, repository, tsc } from "./process.mjs"

const folded = (text) => text.replace(/\s+/g, " ").trim()

const problemsOf = (text, errors) => {
  const code = /^\/\/ error: (TS\d+)$/m.exec(text)?.[1]
  const phrase = /^\/\/ phrase: (.+)$/m.exec(text)?.[1]
  if (code === undefined || phrase === undefined) return ["does not begin with `// error: TS…` and `// phrase: …`"]
  if (errors.length === 0) return [`compiles, but has to fail with ${code}`]
  const others = errors.filter((error) => error.code !== code).map((error) =>
    `also fails with ${error.code}: ${error.message}`
  )
  return errors.some((error) => error.code === code && folded(error.message).includes(folded(phrase)))
    ? others
    : [...others, `no ${code} says "${phrase}"; what is said:\n${errors.map(({ message }) => message).join("\n")}`]
}

/** The misuse files under `root` that do not fail as they say, and how many there are. */
export const checkMisuse = async (root) => {
  const files = readdirSync(join(root, "packages")).flatMap((name) => {
    const folder = join(root, "packages", name, "typetest/misuse")
    try {
      return readdirSync(folder).filter((file) => file.endsWith(".ts")).map((file) => join(folder, file))
    } catch {
      return []
    }
  })
  if (files.length === 0) return { problems: [], summary: "0 files" }

  const project = join(repository, "node_modules/.cache/misuse")
  mkdirSync(project, { recursive: true })
  const tsconfig = {
    extends: join(repository, "tsconfig.base.json"),
    compilerOptions: {
      composite: false,
      incremental: false,
      noEmit: true,
      noErrorTruncation: true,
      noUnusedLocals: false
    },
    files
  }
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(tsconfig))
  const { output } = await tsc(["-p", project], { cwd: project })

  const errors = parseErrors(output, project)
  const problems = errors
    .filter((error) => !files.includes(error.file))
    .map((error) => `${relative(root, error.file)}:${error.line}: ${error.code}: ${error.message}`)
  for (const file of files) {
    const own = errors.filter((error) => error.file === file)
    for (const problem of problemsOf(readFileSync(file, "utf8"), own)) {
      problems.push(`${relative(root, file)}: ${problem}`)
    }
  }
  return { problems, summary: `${files.length} files` }
}
