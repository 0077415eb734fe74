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

// Tests run on the sources: packages name theirs under this export condition, so nothing has to be built first.
const conditions = ["@effect-cycles/source", "module", "node", "import", "default"]

const project = (name: string, root: string) => ({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    name,
    root,
    include: ["test/**/*.test.ts"],
    setupFiles: [new URL("./scripts/vitest-setup.ts", import.meta.url).pathname],
    testTimeout: 60_000
  }
})

export default defineConfig({
  test: {
    passWithNoTests: false,
    projects: [
      project("effect-cycles", "packages/cycles"),
      project("@effect-cycles/testing", "packages/testing")
    ]
  }
})
