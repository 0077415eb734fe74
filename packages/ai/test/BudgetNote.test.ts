import { BudgetNote } from "@effect-cycles/ai"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

const setting = Budget.layer().pipe(
  Layer.provideMerge(Ledger.layerMemory({
    tenant: "acme",
    budgets: [
      { scope: "tenant:acme", allocated: Amount.tokens(10_000) },
      { scope: "tenant:acme/agent:writer", allocated: Amount.tokens(1_000) },
      { scope: "tenant:acme/agent:reader", allocated: Amount.tokens(1) }
    ]
  }))
)

const subject = { tenant: "acme", agent: "writer" }

const spend = (tokens: number) =>
  Budget.guard(
    { subject, action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(tokens) },
    (r) => Effect.succeed(r.commit(Amount.tokens(tokens)))
  )

describe("BudgetNote", () => {
  it.effect("looks at the budget of the path with the smallest share", () =>
    Effect.gen(function*() {
      yield* spend(600)
      const left = yield* BudgetNote.left({ subject, unit: "TOKENS" })
      assert.deepStrictEqual(Option.getOrUndefined(left), {
        scope: "tenant:acme/agent:writer",
        unit: "TOKENS",
        remaining: 400n,
        allocated: 1_000n,
        share: 0.4
      })
      assert.isTrue(Option.isNone(yield* BudgetNote.left({ subject, unit: "CREDITS" })))
    }).pipe(Effect.provide(setting)))

  it.effect("says so from a threshold on, in front of the prompt", () =>
    Effect.gen(function*() {
      const options = { subject, unit: "TOKENS", thresholds: [0.2], text: () => "little is left" } as const
      assert.strictEqual((yield* BudgetNote.annotate("Hello", options)).content.length, 1)
      yield* spend(800)
      const prompt = yield* BudgetNote.annotate("Hello", options)
      assert.deepStrictEqual(prompt.content.map((message) => message.role), ["system", "user"])
      assert.strictEqual(prompt.content[0]?.content, "little is left")
    }).pipe(Effect.provide(setting)))

  it.effect("answers a model that asks", () =>
    Effect.gen(function*() {
      yield* spend(250)
      const toolkit = yield* BudgetNote.toolkit
      const results = yield* toolkit.handle("check_budget", {}).pipe(Stream.unwrap, Stream.runCollect)
      assert.deepStrictEqual(results.map((result) => result.encodedResult), [{
        unit: "TOKENS",
        remaining: "750 TOKENS",
        allocated: "1000 TOKENS",
        percent_left: 75
      }])
    }).pipe(Effect.provide(Layer.provideMerge(BudgetNote.layerHandlers({ subject, unit: "TOKENS" }), setting))))
})
