import { assert, it } from "@effect/vitest"
import { Commands, ReferenceModel } from "@effect-cycles/testing"

it("probe", () => {
  const hits = new Map<string, number>(ReferenceModel.rules.map((r) => [r, 0]))
  const outcomes = new Map<string, number>()
  const N = 400
  const t0 = performance.now()
  let ops = 0
  let tRun = 0
  for (let seed = 0; seed < N; seed++) {
    const scenario = Commands.generate(seed, 60)
    const a = performance.now()
    const trace = Commands.run(scenario)
    tRun += performance.now() - a
    ops += trace.length
    for (const e of trace) {
      const k = `${e.operation._tag} ${e.outcome._tag === "Success" ? ("decision" in e.outcome.value ? e.outcome.value.decision + " " + (e.outcome.value.reasonCode ?? "") : "ok") : e.outcome.error}`
      outcomes.set(k, (outcomes.get(k) ?? 0) + 1)
    }
    assert.strictEqual(Commands.disagreement(scenario, trace, ReferenceModel.makeModel(scenario)), undefined)
    for (const broken of ReferenceModel.rules) {
      const model = ReferenceModel.makeModel({ broken, maxExtensions: scenario.maxExtensions })
      if (Commands.disagreement(scenario, trace, model) !== undefined) hits.set(broken, hits.get(broken)! + 1)
    }
  }
  console.log(ops / N, "ops; run ms per scenario", tRun / N, "total", performance.now() - t0)
  console.log([...hits].sort((a, b) => a[1] - b[1]).map(([r, n]) => `${r} ${n}`).join("\n"))
  console.log([...outcomes].sort().map(([r, n]) => `${r} ${n}`).join("\n"))
})
