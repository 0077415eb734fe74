// The Vercel AI SDK behind a budget in dollars, with promises. It reports usage in one way for every provider, so one `costOf` is enough
// for all of them; what is cut off costs its input and what was seen of its output. `OPENAI_API_KEY` asks the real endpoint.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { Cost, PriceBook, TokenUsage } from "@effect-cycles/ai"
import { generateText, type LanguageModelUsage, streamText } from "ai"
import { Effect } from "effect"
import { Action, Amount, Caps, CyclesError, Ledger, makePromiseClient } from "effect-cycles"
import * as StandIn from "./providers/StandIn.ts"

await using endpoint = await StandIn.openai()
await using client = makePromiseClient({
  layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd("0.01") }] })
})

const name = "gpt-4o-mini"
const price = await Effect.runPromise(PriceBook.make().price({ provider: "openai", model: name }))
const { apiKey, baseURL } = endpoint
const model = createOpenAICompatible({ name: "openai", apiKey, baseURL, includeUsage: true })(name)

const bytes = (text: string) => Buffer.byteLength(text)

/** What a prompt can cost at most: no token is shorter than a byte, and there is some room for what wraps them. */
const plan = (prompt: string, output: number) => {
  const maxima = { input: bytes(JSON.stringify(prompt)) + 128, output }
  const action = Action.make("llm.completion", name)
  return { maxima, request: { action, estimate: Cost.bound(price, maxima).amount } }
}

/** What a call cost by its report; what it does not say counts as the most it can be. */
const costOf = (usage: LanguageModelUsage | undefined, maxima: TokenUsage.Maxima) => {
  const { inputTokenDetails: input, outputTokenDetails: output } = usage ?? {}
  const report = {
    inputTokens: {
      total: usage?.inputTokens,
      uncached: input?.noCacheTokens,
      cacheRead: input?.cacheReadTokens,
      cacheWrite: input?.cacheWriteTokens
    },
    outputTokens: { total: usage?.outputTokens, text: output?.textTokens, reasoning: output?.reasoningTokens }
  }
  return Cost.of(price, TokenUsage.fromResponse(report, maxima).usage).amount
}

// A repetition by the SDK would be one more call in a hold for one.
const settings = { model, maxRetries: 0 }

const ask = (prompt: string, maxTokens = 500) => {
  const { maxima, request } = plan(prompt, maxTokens)
  return client.guard(request, async (r, abortSignal) => {
    const maxOutputTokens = Caps.clampTokens(r.caps, maxTokens)
    const { text, usage } = await generateText({ ...settings, prompt, maxOutputTokens, abortSignal })
    return r.commit(costOf(usage, maxima), text)
  })
}

const stream = (prompt: string, onText: (text: string) => void, signal?: AbortSignal, maxTokens = 500) => {
  const { maxima, request } = plan(prompt, maxTokens)
  let seen = 0
  const onUnsettled = () => Cost.bound(price, { input: maxima.input, output: Math.min(seen, maxTokens) }).amount
  return client.guard({ ...request, onUnsettled }, async (r, abortSignal) => {
    const maxOutputTokens = Caps.clampTokens(r.caps, maxTokens)
    const { fullStream } = streamText({ ...settings, prompt, maxOutputTokens, abortSignal, onError: () => {} })
    let usage: LanguageModelUsage | undefined
    for await (const part of fullStream) {
      // Errors are parts of its streams; thrown, this one has no settlement but `onUnsettled`.
      if (part.type === "error") throw part.error
      if (part.type === "finish") usage = part.totalUsage
      if (part.type === "text-delta") {
        seen += bytes(part.text)
        onText(part.text)
      }
    }
    return r.commit(costOf(usage, maxima))
  }, { signal })
}

const attempt = async (title: string, call: () => Promise<unknown>): Promise<void> => {
  try {
    console.log(`${title}: ${await call()}`)
  } catch (error) {
    if (!CyclesError.isDenied(error)) throw error
    console.log(`${title}: ${error._tag}`)
  }
  const { balances: [budget] } = await client.balances({ tenant: "acme" })
  console.log(`  ${Amount.format(budget!.spent!)} spent, ${Amount.format(budget!.reserved!)} held`)
}

await attempt("one call", () => ask("What is a budget?"))
await attempt("a stream", async () => {
  let answer = ""
  await stream("What is a budget?", (text) => answer += text)
  return answer
})
await attempt("a stream that is cut off", async () => {
  let answer = ""
  const controller = new AbortController()
  const streaming = stream("Tell me a story", (text) => {
    answer += text
    if (answer.length >= 40) controller.abort("long enough")
  }, controller.signal)
  return streaming.catch((reason: unknown) => `${answer} (${reason})`)
})
await attempt("a book", () => ask("Write a book", 20_000))
