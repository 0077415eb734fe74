// A stream under a budget. What it used is a fold over what came through, so that the end, an early stop, a failure and
// a cap are each charged for exactly what was received. A heartbeat keeps the hold while the stream is open.
import { Console, Context, Effect, Layer, Schema, Stream } from "effect"
import { Action, Amount, Budget, Ledger } from "effect-cycles"

interface Chunk {
  readonly text: string
  readonly tokens: number
}

class LlmError extends Schema.TaggedError<LlmError>()("LlmError", { reason: Schema.String }) {}

class Llm extends Context.Service<Llm, {
  readonly stream: (prompt: string) => Stream.Stream<Chunk, LlmError>
}>()("examples/Llm") {}

const words = ["Budgets ", "are ", "asked ", "first."].map((text, i): Chunk => ({ text, tokens: 10 * (i + 1) }))

const simulatedLlm = Layer.succeed(Llm, {
  stream: (prompt) =>
    prompt === "fail"
      ? Stream.concat(Stream.fromIterable(words.slice(0, 3)), Stream.fail(new LlmError({ reason: "connection reset" })))
      : Stream.fromIterable(words)
})

const promptTokens = 150

const answer = (prompt: string, maxOutput = 2_000) =>
  Budget.guardStream(
    { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(2_000), ttl: "30 seconds" },
    {
      stream: () => Stream.unwrap(Effect.map(Llm, (llm) => llm.stream(prompt))),
      meter: { initial: 0, step: (output, chunk) => output + chunk.tokens },
      settle: (r, output) =>
        r.commit(Amount.tokens(promptTokens + output), undefined, {
          metrics: { tokensInput: promptTokens, tokensOutput: output, modelVersion: "gpt-4o-2024-05" }
        }),
      cutWhen: (output) => output >= maxOutput
    }
  )

const show = <R>(title: string, stream: Stream.Stream<Chunk, { readonly _tag: string }, R>) =>
  Effect.gen(function*() {
    let text = ""
    const result = yield* Effect.result(Stream.runForEach(stream, (chunk) =>
      Effect.sync(() => {
        text += chunk.text
      })))
    yield* Console.log(`${title}: ${text.trim()}${result._tag === "Failure" ? ` [${result.failure._tag}]` : ""}`)
    const ledger = yield* Ledger.Ledger
    const last = (yield* ledger.entries("acme-corp")).at(-1)
    const { after, before } = last!.changes[0]!
    const { tokensInput, tokensOutput } = last!.metrics!
    yield* Console.log(`  charged ${after.spent - before!.spent}: ${tokensInput} in, ${tokensOutput} out`)
  })

const program = Effect.gen(function*() {
  yield* show("to the end", answer("Write an analysis"))
  yield* show("the reader stops", answer("Write an analysis").pipe(Stream.take(2)))
  yield* show("the provider fails", answer("fail"))
  yield* show("cut at 25 tokens", answer("Write an analysis", 25))
}).pipe(
  Effect.provide(Layer.provideMerge(
    Layer.merge(Budget.layer(), simulatedLlm),
    Ledger.layerMemory({
      tenant: "acme-corp",
      budgets: [{ scope: "tenant:acme-corp", allocated: Amount.tokens(5_000) }]
    })
  ))
)

await Effect.runPromise(program)
