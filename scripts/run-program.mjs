// `node scripts/run-program.mjs FOLDER NAME [args]` builds the TypeScript project FOLDER and runs its NAME.ts under Node.
// Prints nothing of its own on stdout, so a program's `--json` stays JSON.
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const [folder, name, ...args] = process.argv.slice(2)

if (name === undefined || !existsSync(`${root}${folder}/${name}.ts`)) {
  const names = readdirSync(`${root}${folder}`)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -3))
  console.error(
    `${name === undefined ? "which one?" : `no "${name}" in ${folder}/;`} choose from: ${
      names.join(", ") || "(none yet)"
    }`
  )
  process.exit(2)
}

const built = spawnSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-b", folder], {
  cwd: root,
  encoding: "utf8"
})
if (built.status !== 0) {
  console.error(`${built.stdout}${built.stderr}${folder}/ does not compile`)
  process.exit(1)
}

// A project that also compiles a file from beside its folder keeps the folder's name under dist.
const program = [`${folder}/dist/${folder}/${name}.js`, `${folder}/dist/${name}.js`].find((file) =>
  existsSync(`${root}${file}`)
)
const run = spawnSync(process.execPath, [`${root}${program}`, ...args], { cwd: root, stdio: "inherit" })
process.exit(run.status ?? 1)
