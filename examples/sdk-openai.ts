// The OpenAI SDK behind a budget in dollars, with promises. A call holds what it can cost at most and is charged by the usage it reports;
// one that is cut off costs its input and what was seen of its output. `OPENAI_API_KEY` asks the real endpoint.
import { Cost, PriceBook, TokenUsage } from "@effect-cycles/ai"
import { Effect } from "effect"
import { Action, Amount, Caps, CyclesError, Ledger, makePromiseClient } from "effect-cycles"
import OpenAI from "openai"
import * as StandIn from "./providers/StandIn.ts"

await using endpoint = await StandIn.openai()
await using client = makePromiseClient({
  layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd("0.01") }] })
})

const model = "gpt-4o-mini"
const price = await Effect.runPromise(PriceBook.make().price({ provider: "openai", model }))

// A repetition by the SDK would be one more call in a hold for one.
const openai = new OpenAI({ apiKey: endpoint.apiKey, baseURL: endpoint.baseURL, maxRetries: 0 })

const bytes = (text: string) => Buffer.byteLength(text)

/** What a prompt can cost at most: no token is shorter than a byte, and there is some room for what wraps them. */
const plan = (prompt: string, output: number) => {
  const messages = [{ role: "user" as const, content: prompt }]
  const maxima = { input: bytes(JSON.stringify(messages)) + 64, output }
  const action = Action.make("llm.completion", model)
  return { messages, maxima, request: { action, estimate: Cost.bound(price, maxima).amount } }
}

/** What a call cost by its report; what it does not say counts as the most it can be. */
const costOf = (usage: OpenAI.CompletionUsage | null | undefined, maxima: TokenUsage.Maxima) => {
  const { prompt_tokens_details: input, completion_tokens_details: output } = usage ?? {}
  const report = {
    inputTokens: {
      total: usage?.prompt_tokens,
      uncached: undefined,
      cacheRead: input?.cached_tokens,
      cacheWrite: undefined
    },
    outputTokens: { total: usage?.completion_tokens, text: undefined, reasoning: output?.reasoning_tokens }
  }
  return Cost.of(price, TokenUsage.fromResponse(report, maxima).usage).amount
}

const ask = (prompt: string, maxTokens = 500) => {
  const { maxima, messages, request } = plan(prompt, maxTokens)
  return client.guard(request, async (r, signal) => {
    const max_completion_tokens = Caps.clampTokens(r.caps, maxTokens)
    const answer = await openai.chat.completions.create({ model, messages, max_completion_tokens }, { signal })
    return r.commit(costOf(answer.usage, maxima), answer.choices[0]?.message.content)
  })
}

const stream = (prompt: string, onText: (text: string) => void, signal?: AbortSignal, maxTokens = 500) => {
  const { maxima, messages, request } = plan(prompt, maxTokens)
  let seen = 0
  const onUnsettled = () => Cost.bound(price, { input: maxima.input, output: Math.min(seen, maxTokens) }).amount
  return client.guard({ ...request, onUnsettled }, async (r, signal) => {
    const max_completion_tokens = Caps.clampTokens(r.caps, maxTokens)
    const options = { stream: true, stream_options: { include_usage: true } } as const
    let usage: OpenAI.CompletionUsage | null | undefined
    for await (
      const chunk of await openai.chat.completions.create(
        { model, messages, max_completion_tokens, ...options },
        { signal }
      )
    ) {
      const text = chunk.choices[0]?.delta.content ?? ""
      seen += bytes(text)
      onText(text)
      usage = chunk.usage ?? usage
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
