// A model of `effect/ai` behind a budget in dollars: what a call can cost at most is reserved before it is sent, and what its provider
// reports is charged. Where the good model is too dear for what is left, a cheaper one answers.
import { BudgetedModel, PriceBook } from "@effect-cycles/ai"
import { Console, Effect, Layer, Stream } from "effect"
import { Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import { LanguageModel, Model } from "effect/ai"

// Stands for what a provider's package gives, such as `OpenAiLanguageModel.model("gpt-4o")`.
const model = (name: string) => {
  const finish = {
    type: "finish",
    reason: "stop",
    usage: { inputTokens: { total: 13 }, outputTokens: { total: 300 } },
    response: undefined
  } as const
  return Model.make(
    "openai",
    name,
    Layer.effect(
      LanguageModel.LanguageModel,
      LanguageModel.make({
        generateText: () => Effect.succeed([{ type: "text", text: `${name} on budgets` }, finish]),
        streamText: () =>
          Stream.make(
            { type: "text-start", id: "1" },
            ...["Budgets ", "are ", "asked ", "first."].map((delta) => ({
              type: "text-delta" as const,
              id: "1",
              delta
            })),
            { type: "text-end", id: "1" },
            finish
          )
      })
    )
  )
}

// The price of each is known by its name; the longest answer has to be said.
const budgeted = (name: string) => BudgetedModel.layer({ maxOutputTokens: 500 }).pipe(Layer.provide(model(name)))

const prompt = "What is a budget?"

const ask = (name: string) =>
  BudgetedModel.generateText({ prompt }).pipe(
    Effect.map((response) => response.text),
    Effect.provide(budgeted(name))
  )

const answer = Budget.ladder([ask("gpt-4o"), ask("gpt-4o-mini"), Effect.succeed("from the cache: on budgets")])

const show = <E, R>(title: string, effect: Effect.Effect<string, E, R>) =>
  Effect.gen(function*() {
    yield* Console.log(`${title}: ${yield* effect}`)
    const authority = yield* BudgetAuthority.BudgetAuthority
    const { balances: [budget] } = yield* authority.balances({ tenant: "acme" })
    yield* Console.log(`  ${Amount.format(budget!.spent!)} spent, ${Amount.format(budget!.remaining)} left`)
  })

const program = Effect.gen(function*() {
  yield* show("one", answer)
  yield* show("two", answer)
  yield* show(
    "a stream, as far as it is read",
    BudgetedModel.streamText({ prompt }).pipe(
      Stream.map((part) => part.type === "text-delta" ? part.delta : ""),
      Stream.filter((text) => text !== ""),
      Stream.take(2),
      Stream.mkString,
      Effect.provide(budgeted("gpt-4o-mini"))
    )
  )
  // A program that knows nothing of budgets works as it is.
  yield* show(
    "by LanguageModel",
    LanguageModel.generateText({ prompt }).pipe(
      Effect.map((response) => response.text),
      Effect.catchTag("AiError", (error) => Effect.succeed(`${error.reason._tag}, and no retry would help`)),
      Effect.provide(budgeted("gpt-4o"))
    )
  )
}).pipe(
  Effect.provide([Budget.layer(), PriceBook.layer()]),
  Effect.provide(
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd("0.008") }] })
  )
)

await Effect.runPromise(program)
