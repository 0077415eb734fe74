import * as GenAiSpan from "@effect-cycles/ai/GenAiSpan"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"

describe("What the span of a model's guard says", () => {
  it.effect("is on the page of telemetry, all of it", () =>
    Effect.gen(function*() {
      const span = yield* Effect.makeSpan("Budget.guard")
      GenAiSpan.asked(span, "chat", { provider: "openai", model: "gpt-4o" }, 1_000)
      const usage = { input: 10, output: 5, cacheRead: 3, cacheWrite: 2, cacheWriteLong: 0, reasoning: 1 }
      GenAiSpan.answered(span, usage, "gpt-4o-2024-08-06")
      const page = readFileSync(new URL("../../../docs/telemetry.md", import.meta.url), "utf8")
      const listed = Array.from(page.matchAll(/^\| `(gen_ai\.[a-z_.]+)`/gm), ([, name = ""]) => name)
      assert.deepStrictEqual(Array.from(span.attributes.keys()).sort(), listed.sort())
    }))
})
