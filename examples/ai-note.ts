// A model that knows what is left can finish what it has. A note says so in front of its prompt, from half of the budget on; and a tool tells
// a model that asks.
import { BudgetedModel, BudgetNote, PriceBook } from "@effect-cycles/ai"
import { Console, Effect, Layer, Stream } from "effect"
import { Amount, Budget, Ledger } from "effect-cycles"
import { LanguageModel, Model } from "effect/ai"

// A model that writes at length until it is told to finish.
const simulatedModel = Model.make(
  "openai",
  "gpt-4o",
  Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({
      generateText: ({ prompt }) => {
        const note = prompt.content.find((message) => message.role === "system")?.content
        const output = note === undefined ? 400 : 50
        return Effect.succeed([
          { type: "text", text: `${output} tokens. ${note ?? "(no note)"}` },
          {
            type: "finish",
            reason: "stop",
            usage: { inputTokens: { total: 100 }, outputTokens: { total: output } },
            response: undefined
          }
        ])
      },
      streamText: () => Stream.empty
    })
  )
)

const left = { subject: { tenant: "acme", agent: "writer" }, unit: "TOKENS" } as const

const write = Effect.gen(function*() {
  const prompt = yield* BudgetNote.annotate("Write on.", { ...left, thresholds: [0.5] })
  const { text } = yield* BudgetedModel.generateText({ prompt })
  yield* Console.log(text)
})

const program = Effect.gen(function*() {
  yield* Effect.repeat(write, { times: 3 })
  const toolkit = yield* BudgetNote.toolkit
  const [answer] = yield* toolkit.handle("check_budget", {}).pipe(Stream.unwrap, Stream.runCollect)
  yield* Console.log("check_budget:", JSON.stringify(answer?.encodedResult))
}).pipe(
  Effect.provide([
    BudgetedModel.layer({ unit: "TOKENS", maxOutputTokens: 400 }).pipe(
      Layer.provide([simulatedModel, PriceBook.layer(), Budget.layer({ subject: { agent: "writer" } })])
    ),
    BudgetNote.layerHandlers(left)
  ]),
  Effect.provide(Ledger.layerMemory({
    tenant: "acme",
    budgets: [{ scope: "tenant:acme/agent:writer", allocated: Amount.tokens(2_000) }]
  }))
)

await Effect.runPromise(program)
