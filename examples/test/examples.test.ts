import { assert, describe, it } from "@effect/vitest"
import { inspect } from "node:util"
import { vi } from "vitest"

/** Imports an example, which runs it, and returns what it printed. */
const printed = async (load: () => Promise<unknown>): Promise<string> => {
  const lines: Array<string> = []
  const log = vi.spyOn(console, "log").mockImplementation((...args: Array<unknown>) => {
    lines.push(args.map((arg) => typeof arg === "string" ? arg : inspect(arg)).join(" "))
  })
  try {
    await load()
  } finally {
    log.mockRestore()
  }
  return lines.join("\n")
}

const table = (text: string): ReadonlyArray<ReadonlyArray<string>> =>
  text.split("\n").filter((line) => line.startsWith("tenant:")).map((line) => line.split(/\s+/))

describe("examples", () => {
  it("acquire-release: nothing is held after success, failure or interruption, in either form", async () => {
    const output = await printed(() => import("../acquire-release.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "scoped form, a report",
      "  while it runs: spent 0, held 1000, remaining 4000",
      "  second commit: AlreadySettled",
      "  ended with: a summary of a report",
      "  afterwards: spent 420, held 0, remaining 4580",
      "scoped form, fail",
      "  while it runs: spent 420, held 1000, remaining 3580",
      "  ended with: LlmError",
      "  afterwards: spent 420, held 0, remaining 4580",
      "scoped form, hang",
      "  while it runs: spent 420, held 1000, remaining 3580",
      "  ended with: TimeoutError",
      "  afterwards: spent 420, held 0, remaining 4580",
      "guard, a report",
      "  ended with: a summary of a report",
      "  afterwards: spent 840, held 0, remaining 4160",
      "guard, fail",
      "  ended with: LlmError",
      "  afterwards: spent 840, held 0, remaining 4160",
      "guard, hang",
      "  ended with: TimeoutError",
      "  afterwards: spent 840, held 0, remaining 4160"
    ])
  })

  it("concurrent-fibers: the narrowest budget denies, and the totals are exact at every level", async () => {
    const output = await printed(() => import("../concurrent-fibers.ts"))
    assert.include(output, "searcher: 20 answered, 0 denied")
    assert.include(output, "writer: 6 answered, 4 denied")
    assert.include(
      output,
      "  Budget exceeded at tenant:acme/workflow:report/agent:writer (requested 100, remaining 0, TOKENS)."
    )
    assert.include(output, "editor: 4 answered, 0 denied")
    // A call uses 60 tokens and one for each character of its topic.
    const used = (topics: number) =>
      Array.from({ length: topics }, (_, i) => 60 + `topic ${i + 1}`.length).reduce((sum, tokens) => sum + tokens)
    const all = used(20) + used(6) + used(4)
    assert.deepStrictEqual(table(output), [
      ["tenant:acme", "10000", String(all), "0", String(10_000 - all)],
      ["tenant:acme/workflow:report", "3500", String(all), "0", String(3_500 - all)],
      ["tenant:acme/workflow:report/agent:writer", "600", String(used(6)), "0", String(600 - used(6))]
    ])
    assert.include(output, "63 entries add up to these balances: yes")
  })

  it("match-budget-exceeded: each denial is handled as its type says", async () => {
    const output = await printed(() => import("../match-budget-exceeded.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "rich  : an answer",
      "poor  : cached: tenant:acme/agent:poor has 60 TOKENS left, 100 were asked for",
      "eager : an answer",
      "eager : tenant:acme/agent:eager was overrun and has to be funded first",
      "poor  : BUDGET_EXCEEDED: ask for 60 at most",
      "frozen: BUDGET_FROZEN: have tenant:acme/agent:frozen unfrozen",
      "frozen: Budget frozen at tenant:acme/agent:frozen. Ask an operator to unfreeze it. (transient: false)"
    ])
  })

  it("promise-client: the same without Effect", async () => {
    const output = await printed(() => import("../promise-client.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "one call: a summary of a report",
      "  spent 700, held 0, remaining 1300",
      "one that fails: the provider answered 400",
      "  spent 700, held 0, remaining 1300",
      "one that is cut off: The operation was aborted due to timeout",
      "  spent 700, held 0, remaining 1300",
      "by hand, settled: Committed",
      "  spent 1300, held 0, remaining 700",
      "by hand, forgotten: 500 were held",
      "  spent 1300, held 0, remaining 700",
      "one too many: denied, 700 left of the 1000 asked for",
      "  spent 1300, held 0, remaining 700"
    ])
  })
})
