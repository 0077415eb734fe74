// The Anthropic SDK behind a budget in dollars, with promises. Its streams say at their beginning what the input was, so one that is cut
// off costs that, and what was seen of its output. `ANTHROPIC_API_KEY` asks the real endpoint.
import Anthropic from "@anthropic-ai/sdk"
import { Cost, PriceBook, TokenUsage } from "@effect-cycles/ai"
import { Effect } from "effect"
import { Action, Amount, Caps, CyclesError, Ledger, makePromiseClient } from "effect-cycles"
import * as StandIn from "./providers/StandIn.ts"

await using endpoint = await StandIn.anthropic()
await using client = makePromiseClient({
  layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd("0.10") }] })
})

const model = "claude-haiku-4-5"
const price = await Effect.runPromise(PriceBook.make().price({ provider: "anthropic", model }))

// A repetition by the SDK would be one more call in a hold for one.
const anthropic = new Anthropic({ apiKey: endpoint.apiKey, baseURL: endpoint.baseURL, maxRetries: 0 })

const bytes = (text: string) => Buffer.byteLength(text)

/** What a prompt can cost at most: no token is shorter than a byte, and there is some room for what wraps them. */
const plan = (prompt: string, output: number) => {
  const messages = [{ role: "user" as const, content: prompt }]
  const maxima = { input: bytes(JSON.stringify(messages)) + 64, output }
  const action = Action.make("llm.completion", model)
  return { messages, maxima, request: { action, estimate: Cost.bound(price, maxima).amount } }
}

type Input = Pick<Anthropic.Usage, "input_tokens" | "cache_read_input_tokens" | "cache_creation_input_tokens">

/** What a call cost by its report; what it does not say counts as the most it can be. */
const costOf = (input: Input | undefined, output: number | undefined, maxima: TokenUsage.Maxima) => {
  const report = {
    inputTokens: {
      total: undefined,
      uncached: input?.input_tokens,
      cacheRead: input?.cache_read_input_tokens ?? undefined,
      cacheWrite: input?.cache_creation_input_tokens ?? undefined
    },
    outputTokens: { total: output, text: undefined, reasoning: undefined }
  }
  return Cost.of(price, TokenUsage.fromResponse(report, maxima).usage).amount
}

const ask = (prompt: string, maxTokens = 500) => {
  const { maxima, messages, request } = plan(prompt, maxTokens)
  return client.guard(request, async (r, signal) => {
    const max_tokens = Caps.clampTokens(r.caps, maxTokens)
    const { content, usage } = await anthropic.messages.create({ model, messages, max_tokens }, { signal })
    const text = content.map((block) => block.type === "text" ? block.text : "").join("")
    return r.commit(costOf(usage, usage.output_tokens, maxima), text)
  })
}

const stream = (prompt: string, onText: (text: string) => void, signal?: AbortSignal, maxTokens = 500) => {
  const { maxima, messages, request } = plan(prompt, maxTokens)
  let input: Input | undefined
  let seen = 0
  const onUnsettled = () => costOf(input, Math.min(seen, maxTokens), maxima)
  return client.guard({ ...request, onUnsettled }, async (r, signal) => {
    const max_tokens = Caps.clampTokens(r.caps, maxTokens)
    let output: number | undefined
    for await (
      const event of await anthropic.messages.create({ model, messages, max_tokens, stream: true }, { signal })
    ) {
      if (event.type === "message_start") input = event.message.usage
      if (event.type === "message_delta") output = event.usage.output_tokens
      if (event.type === "content_block_delta" && event.delta.type === "text_delta") {
        seen += bytes(event.delta.text)
        onText(event.delta.text)
      }
    }
    return r.commit(costOf(input, output, maxima))
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
await attempt("a book", () => ask("Write a book", 30_000))
