// Says how many answers of the servers in the tests were held to the specification, and by which files how many were not
// because there was none: they need CYCLES_SPEC_DIR.
import type { Reporter, TestModule } from "vitest/node"

export default class implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>) {
    let judged = 0
    let unjudged = 0
    for (const module of modules) {
      const { responses } = module.meta()
      if (responses === undefined) continue
      judged += responses.judged
      unjudged += responses.unjudged
      if (responses.unjudged > 0) {
        console.error(`not held to the specification: ${responses.unjudged} answers in ${module.relativeModuleId}`)
      }
    }
    if (judged > 0) console.error(`${judged} answers were held to the specification`)
    if (unjudged > 0) {
      console.error(`${unjudged} ANSWERS WERE NOT HELD TO THE SPECIFICATION: CYCLES_SPEC_DIR is not set`)
    }
  }
}
