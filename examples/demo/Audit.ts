/**
 * Does the sums again, from the model side's log alone, and compares.
 *
 * Nothing here is shared with the agent's side: calls are counted in the log, and priced by the price library's own
 * calculator instead of our arithmetic.
 */
import { calcPrice } from "@pydantic/genai-prices"
import type { Call, ScenarioName } from "./CallLog.ts"
import { usd } from "./Money.ts"
import type { Outcome, Plan } from "./Scenarios.ts"

/** What the model's side has to say about a scenario. */
export interface Bill {
  readonly calls: number
  readonly aborted: number
  readonly microcents: bigint
}

/** A finished call is billed whatever became of its answer; an aborted one is not. */
export const bill = (log: ReadonlyArray<Call>, scenario: ScenarioName): Bill => {
  const calls = log.filter((call) => call.scenario === scenario)
  const finished = calls.filter(({ outcome }) => outcome === "finished")
  return {
    calls: calls.length,
    aborted: calls.length - finished.length,
    microcents: finished.reduce((sum, call) => sum + priceOf(call), 0n)
  }
}

const priceOf = ({ completionTokens, model, promptTokens }: Call): bigint => {
  const usage = { input_tokens: promptTokens, output_tokens: completionTokens }
  const price = calcPrice(usage, model, { providerId: "openai" }) ?? calcPrice(usage, model)
  if (price === null) throw new Error(`the log has a call of ${model}, which has no price`)
  // Dollars in floating point: what is left of the noise below a millionth of a microcent is not rounded up.
  return BigInt(Math.ceil(Number((price.total_price * 1e8).toFixed(6))))
}

/** One scenario of the `--json` report: integers in microcents, null where there is no budget. */
export interface Figures {
  readonly calls: number
  readonly allocated: number | null
  readonly spent: number
  readonly remaining: number | null
  readonly reserved: number | null
  readonly denied: number
  readonly overshoot: number | null
}

export const figures = ({ books, denials }: Outcome, { calls, microcents }: Bill): Figures => {
  if (books === undefined) {
    return {
      calls,
      allocated: null,
      spent: Number(microcents),
      remaining: null,
      reserved: null,
      denied: denials,
      overshoot: null
    }
  }
  const { allocated, remaining, reserved, spent } = books.balance
  return {
    calls,
    allocated: Number(allocated),
    spent: Number(spent),
    remaining: Number(remaining),
    reserved: Number(reserved),
    denied: denials,
    overshoot: Number(microcents > allocated ? microcents - allocated : 0n)
  }
}

export interface Check {
  readonly scenario: ScenarioName
  readonly claim: string
  readonly figures: string
  readonly holds: boolean
}

const n = (value: bigint | number): string => value.toLocaleString("en-US")

const equal = (claim: string, a: bigint | number, b: bigint | number) => ({
  claim,
  figures: a === b ? n(a) : `${n(a)} and ${n(b)}`,
  holds: a === b
})

const less = (claim: string, a: bigint | number, b: bigint | number) => ({
  claim,
  figures: `${n(a)} < ${n(b)}`,
  holds: a < b
})

type Finding = Omit<Check, "scenario">

const ofBooks = ({ books }: Outcome, bill: Bill): ReadonlyArray<Finding> => {
  if (books === undefined) return []
  const { allocated, remaining, reserved, spent } = books.balance
  return [
    equal("spent + remaining = allocated", spent + remaining, allocated),
    equal("nothing is held any more", reserved, 0n),
    equal("the ledger spent what the log bills", spent, bill.microcents),
    {
      claim: "never above the budget, held and spent together",
      figures: `${n(books.peak)} of ${n(allocated)}`,
      holds: books.peak <= allocated && bill.microcents <= allocated
    },
    {
      claim: "the ledger's history gives its balance",
      figures: [`${books.entries} entries`, ...books.flaws].join("; "),
      holds: books.flaws.length === 0
    }
  ]
}

const ofRefusals = ({ books, refused }: Outcome, agents: number): ReadonlyArray<Finding> => {
  const smallest = refused.reduce<bigint | undefined>(
    (least, { requested }) => least === undefined || (requested !== undefined && requested < least) ? requested : least,
    undefined
  )
  return [
    equal("ended by a denial", refused.length, agents),
    less("what remains is less than the refused call's estimate", books?.balance.remaining ?? 0n, smallest ?? 0n)
  ]
}

/** Everything that has to hold for the demo to mean what it says. */
export const checks = (
  outcomes: ReadonlyArray<Outcome>,
  log: ReadonlyArray<Call>,
  plan: Pick<Plan, "agents" | "retries">
): ReadonlyArray<Check> =>
  outcomes.flatMap((outcome) => {
    const { scenario } = outcome
    const billed = bill(log, scenario)
    const findings: Array<Finding> = [
      equal("the model's log has every call that was made", billed.calls, outcome.meter.calls),
      equal("the log bills what the replies said", billed.microcents, outcome.meter.cost),
      ...ofBooks(outcome, billed)
    ]
    switch (scenario) {
      case "unguarded":
        break
      case "guarded":
        findings.push(
          ...ofRefusals(outcome, 1),
          less("less than without a budget", billed.microcents, bill(log, "unguarded").microcents)
        )
        break
      case "ten":
        findings.push(...ofRefusals(outcome, plan.agents))
        break
      case "retryUnguarded":
        findings.push(equal("one call and its retries", billed.calls, plan.retries + 1))
        break
      case "retryGuarded":
        findings.push(
          ...ofRefusals(outcome, 1),
          less("less than without a budget", billed.microcents, bill(log, "retryUnguarded").microcents)
        )
        break
      case "interrupted":
        findings.push(
          {
            claim: "something was held in mid-call",
            figures: usd(outcome.held ?? 0n),
            holds: (outcome.held ?? 0n) > 0n
          },
          equal("the log has the call as aborted", billed.aborted, 1),
          equal("nothing was spent", billed.microcents, 0n)
        )
    }
    return findings.map((finding): Check => ({ scenario, ...finding }))
  })
