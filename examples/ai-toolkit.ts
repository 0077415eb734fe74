// The tools of an agent behind a budget of risk: a search costs a point, an e-mail to a customer forty. What is refused is told to the
// model as the result of its call, so that it goes on without.
import { BudgetedToolkit } from "@effect-cycles/ai"
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { Amount, Budget, Ledger } from "effect-cycles"
import { LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"

const toolkit = Toolkit.make(
  Tool.make("search", { parameters: Schema.Struct({ query: Schema.String }), success: Schema.String }),
  Tool.make("send_email", { parameters: Schema.Struct({ to: Schema.String }), success: Schema.String })
)

const sent: Array<string> = []
const handlers = toolkit.toLayer({
  search: ({ query }) => Effect.succeed(`12 pages on ${query}`),
  send_email: ({ to }) =>
    Effect.sync(() => {
      sent.push(to)
      return "sent"
    })
})

const guarded = BudgetedToolkit.guard(toolkit, {
  cost: (tool) => Amount.riskPoints(tool.name === "send_email" ? 40 : 1),
  onDenied: "return"
})

// A model that searches, writes to ann and bob, and ends by saying what it was told of its last call.
const calls = [
  { name: "search", params: { query: "late orders" } },
  { name: "send_email", params: { to: "ann" } },
  { name: "send_email", params: { to: "bob" } }
]
const usage = { inputTokens: { total: 100 }, outputTokens: { total: 10 } }
const simulatedModel = Layer.effect(
  LanguageModel.LanguageModel,
  LanguageModel.make({
    generateText: ({ prompt }) => {
      const results = prompt.content.flatMap((message) =>
        message.role === "tool" ? message.content.filter((part) => part.type === "tool-result") : []
      )
      const next = calls[results.length]
      return Effect.succeed([
        next === undefined
          ? { type: "text", text: `I was told: ${JSON.stringify(results.at(-1)?.result)}` }
          : { type: "tool-call", id: String(results.length), ...next },
        { type: "finish", reason: next === undefined ? "stop" : "tool-calls", usage, response: undefined }
      ])
    },
    streamText: () => Stream.empty
  })
)

const run = Effect.fnUntraced(function*(instruction: string) {
  let prompt = Prompt.make(instruction)
  while (true) {
    const response = yield* LanguageModel.generateText({ prompt, toolkit: guarded })
    for (const { isFailure, name } of response.toolResults) {
      yield* Console.log(`${name}: ${isFailure ? "refused" : "done"}`)
    }
    if (response.toolCalls.length === 0) return response.text
    prompt = Prompt.concat(prompt, Prompt.fromResponseParts(response.content))
  }
})

const program = Effect.gen(function*() {
  yield* Console.log(yield* run("Tell our customers about their late orders."))
  yield* Console.log(`really sent: ${sent.join(", ")}`)
}).pipe(
  Effect.provide([Budget.layer({ subject: { agent: "support" } }), simulatedModel, handlers]),
  Effect.provide(Ledger.layerMemory({
    tenant: "acme",
    budgets: [{ scope: "tenant:acme/agent:support", allocated: Amount.riskPoints(60) }]
  }))
)

await Effect.runPromise(program)
