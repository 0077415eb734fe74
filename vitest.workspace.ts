import { existsSync, readdirSync, readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

// Vitest 5 groups failures with `Map.groupBy`, which Node 20 does not have: without this a red test hides its own message.
if (!("groupBy" in Map)) {
  Object.defineProperty(Map, "groupBy", {
    configurable: true,
    writable: true,
    value: <K, T>(items: Iterable<T>, keyOf: (item: T, index: number) => K): Map<K, Array<T>> => {
      const groups = new Map<K, Array<T>>()
      let index = 0
      for (const item of items) {
        const key = keyOf(item, index++)
        const group = groups.get(key)
        if (group === undefined) groups.set(key, [item])
        else group.push(item)
      }
      return groups
    }
  })
}

// Tests run on the sources: packages name theirs under this export condition, so nothing has to be built first. `import`, `require`
// and `default` are for whoever imports to add.
const conditions = ["@effect-cycles/source", "module", "node"]

const repository = fileURLToPath(new URL(".", import.meta.url))

/** The Vitest project of the package in the folder `root`. */
export const project = (root: string) => ({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    name: String(JSON.parse(readFileSync(`${root}/package.json`, "utf8")).name),
    root,
    include: ["test/**/*.test.ts"],
    setupFiles: [`${repository}scripts/vitest-setup.ts`, `${root}/test/setup.ts`].filter((file) => existsSync(file)),
    expect: { requireAssertions: true },
    // The files of a package share a process, so that Effect is loaded once and not a hundred times: a quarter of the time.
    isolate: false,
    testTimeout: 60_000
  }
})

export default defineConfig({
  test: {
    passWithNoTests: false,
    // Vitest leaves a processor to itself, which is half of two.
    maxWorkers: availableParallelism(),
    reporters: ["default", `${repository}scripts/vitest-skips.ts`, `${repository}scripts/vitest-responses.ts`],
    projects: [...readdirSync(`${repository}packages`).map((name) => `packages/${name}`), "examples"]
      .map((folder) => `${repository}${folder}`)
      .filter((root) => existsSync(`${root}/test`))
      .map(project)
  }
})
