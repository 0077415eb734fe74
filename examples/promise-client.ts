// For code that does not use Effect: promises, `async` functions, `AbortSignal`, `await using`. Requests, settlements and
// errors are those of `Budget.guard`, and a forgotten settlement does not compile here either.
import { Action, Amount, Caps, CyclesError, Ledger, makePromiseClient } from "effect-cycles"

await using client = makePromiseClient({
  layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(2_000) }] }),
  budget: { subject: { agent: "writer" } }
})

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) }

/** Stands for `fetch`: it takes a while, and is cut off by its signal. */
const callLlm = (prompt: string, maxTokens: number, signal: AbortSignal): Promise<{ text: string; tokens: number }> =>
  new Promise((resolve, reject) => {
    if (prompt === "a refused prompt") reject(new Error("the provider answered 400"))
    const timer = setTimeout(
      () => resolve({ text: `a summary of ${prompt}`, tokens: Math.min(700, maxTokens) }),
      prompt === "a long report" ? 60_000 : 1
    )
    signal.addEventListener("abort", () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })

const summarize = (prompt: string, signal?: AbortSignal): Promise<string> =>
  client.guard(request, async (r, signal) => {
    const out = await callLlm(prompt, Caps.clampTokens(r.caps, 1_000), signal)
    return r.commit(Amount.tokens(out.tokens), out.text, { metrics: { tokensOutput: out.tokens } })
  }, { signal })

const budget = async (): Promise<string> => {
  const { balances } = await client.balances({ tenant: "acme" })
  return balances.map(({ remaining, reserved, spent }) =>
    `spent ${spent?.amount}, held ${reserved?.amount}, remaining ${remaining.amount}`
  ).join()
}

const attempt = async (title: string, call: () => Promise<string>): Promise<void> => {
  try {
    console.log(`${title}: ${await call()}`)
  } catch (error) {
    if (error instanceof CyclesError.BudgetExceeded) {
      console.log(`${title}: denied, ${error.remaining} left of the ${error.requested} asked for`)
    } else {
      console.log(`${title}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  console.log(`  ${await budget()}`)
}

await attempt("one call", () => summarize("a report"))
await attempt("one that fails", () => summarize("a refused prompt"))
await attempt("one that is cut off", () => summarize("a long report", AbortSignal.timeout(20)))

// Settled by hand: the end of the block gives back what was not settled.
await attempt("by hand, settled", async () => {
  await using r = await client.reserve(request)
  const outcome = await r.commit(Amount.tokens(600))
  return outcome._tag
})
await attempt("by hand, forgotten", async () => {
  await using r = await client.reserve({ ...request, estimate: Amount.tokens(500) })
  return `${r.reserved.amount} were held`
})
await attempt("one too many", () => summarize("another report"))
