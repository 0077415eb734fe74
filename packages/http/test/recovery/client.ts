/** The client that is put to the test: the same one in the process of the test and in those that are killed. */
import { CyclesClient, FileJournal } from "@effect-cycles/http"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Action, Amount, Budget } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

export interface Setup {
  readonly baseUrl: string
  readonly apiKey: string
  /** Where the journal is; there is none without. */
  readonly directory?: string | undefined
  /** How often the client repeats an attempt by itself; its own number when not given. */
  readonly retries?: number | undefined
  readonly timeoutMs?: number | undefined
}

export const identity = ({ apiKey, baseUrl }: Setup): FileJournal.Identity => ({
  baseUrl,
  tenant: "acme",
  apiKey: Redacted.make(apiKey)
})

/** A budget behind HTTP, with a journal in files where it has a directory for one. */
export const layer = (setup: Setup, options?: Budget.Options): Layer.Layer<Budget.Budget> => {
  const authority = CyclesClient.layer({
    baseUrl: setup.baseUrl,
    apiKey: Redacted.make(setup.apiKey),
    retries: setup.retries,
    timeout: setup.timeoutMs
  }).pipe(Layer.provide(FetchHttpClient.layer))
  const budget = Layer.provide(
    Budget.layer({ subject: { tenant: "acme", agent: "bot" }, shutdownTimeout: "1 second", ...options }),
    authority
  )
  const { directory } = setup
  if (directory === undefined) return budget
  const journal = FileJournal.layer({ ...identity(setup), directory }).pipe(
    Layer.provide(NodeServices.layer),
    Layer.orDie
  )
  return Layer.provide(budget, journal)
}

export const request: Budget.Request<"TOKENS"> = {
  action: Action.make("llm.completion", "gpt-4o"),
  estimate: Amount.tokens(1_000)
}

/** What the event in the place of {@link spend}'s commit has to say. */
export const spent = {
  subject: { tenant: "acme", agent: "bot" },
  action: { kind: "llm.completion", name: "gpt-4o" },
  actual: { unit: "TOKENS", amount: 420 }
}

/** Work that uses 420 tokens, and says how. */
export const spend = Budget.guardOutcome(
  request,
  (r) =>
    Effect.succeed(
      r.commit(Amount.tokens(420), "done", { metrics: { tokensInput: 400, latencyMs: 7 }, metadata: { run: "r-7" } })
    )
)
