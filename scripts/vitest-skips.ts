// Prints every test that did not run with the reason why, and fails the run for one without. A reason is given by
// `ctx.skip("reason")`, or beside `skip`, `skipIf`, `runIf` and `todo` as `{ meta: { reason: "…" } }` on the test or on a
// suite around it.
import type { Reporter, TestModule, Vitest } from "vitest/node"

export default class implements Reporter {
  #vitest: Vitest | undefined

  onInit(vitest: Vitest) {
    this.#vitest = vitest
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>) {
    // tests left out by `-t` are not skipped by anybody's decision
    if (this.#vitest?.config.testNamePattern !== undefined) return
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const result = test.result()
        const reason = (result.state === "skipped" ? result.note : undefined) ?? test.meta().reason
        const where = `${module.relativeModuleId} > ${test.fullName}`
        if (reason === undefined || reason.trim() === "") {
          process.exitCode = 1
          console.error(`skipped without a reason: ${where}`)
        } else {
          console.error(`skipped: ${where}: ${reason}`)
        }
      }
    }
  }
}
