import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { onStore } from "../support/cycles.ts"

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")

/** What differs from day to day. */
const timeless = (text: string): string => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>").trimEnd()

interface Step {
  readonly typed: string
  readonly shown: string
}

/** The commands of the session, and what the page says they show. */
const session: ReadonlyArray<Step> = (/```console\n(.*?)```/s.exec(readme)?.[1] ?? "")
  .split(/^\$ cycles /m)
  .filter((step) => step !== "")
  .map((step) => {
    const end = step.indexOf("\n")
    return { typed: step.slice(0, end), shown: step.slice(end + 1) }
  })

describe("The README", () => {
  it.live("shows a session as it goes", () =>
    Effect.gen(function*() {
      const { run } = yield* onStore
      assert.isAtLeast(session.length, 5)
      for (const { shown, typed } of session) {
        const { err, out } = yield* run(typed)
        const said = [...out, ...err.map((line) => `cycles: ${line}`)].join("\n")
        assert.strictEqual(timeless(said), timeless(shown), typed)
      }
    }).pipe(Effect.scoped))
})
