import { assert, describe, it } from "@effect/vitest"
import { inspect } from "node:util"
import { afterEach, beforeEach, vi } from "vitest"

/** Imports an example, which runs it, and returns what it printed. */
const printed = async (load: () => Promise<unknown>): Promise<string> => {
  const lines: Array<string> = []
  const log = vi.spyOn(console, "log").mockImplementation((...args: Array<unknown>) => {
    lines.push(args.map((arg) => typeof arg === "string" ? arg : inspect(arg)).join(" "))
  })
  try {
    await load()
  } finally {
    log.mockRestore()
  }
  return lines.join("\n")
}

const table = (text: string): ReadonlyArray<ReadonlyArray<string>> =>
  text.split("\n").filter((line) => line.startsWith("tenant:")).map((line) => line.split(/\s+/))

describe("examples", () => {
  it("acquire-release: nothing is held after success, failure or interruption, in either form", async () => {
    const output = await printed(() => import("../acquire-release.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "scoped form, a report",
      "  while it runs: spent 0, held 1000, remaining 4000",
      "  second commit: AlreadySettled",
      "  ended with: a summary of a report",
      "  afterwards: spent 420, held 0, remaining 4580",
      "scoped form, fail",
      "  while it runs: spent 420, held 1000, remaining 3580",
      "  ended with: LlmError",
      "  afterwards: spent 420, held 0, remaining 4580",
      "scoped form, hang",
      "  while it runs: spent 420, held 1000, remaining 3580",
      "  ended with: TimeoutError",
      "  afterwards: spent 420, held 0, remaining 4580",
      "guard, a report",
      "  ended with: a summary of a report",
      "  afterwards: spent 840, held 0, remaining 4160",
      "guard, fail",
      "  ended with: LlmError",
      "  afterwards: spent 840, held 0, remaining 4160",
      "guard, hang",
      "  ended with: TimeoutError",
      "  afterwards: spent 840, held 0, remaining 4160"
    ])
  })

  it("concurrent-fibers: the narrowest budget denies, and the totals are exact at every level", async () => {
    const output = await printed(() => import("../concurrent-fibers.ts"))
    assert.include(output, "searcher: 20 answered, 0 denied")
    assert.include(output, "writer: 6 answered, 4 denied")
    assert.include(
      output,
      "  Budget exceeded at tenant:acme/workflow:report/agent:writer (requested 100, remaining 0, TOKENS)."
    )
    assert.include(output, "editor: 4 answered, 0 denied")
    // A call uses 60 tokens and one for each character of its topic.
    const used = (topics: number) =>
      Array.from({ length: topics }, (_, i) => 60 + `topic ${i + 1}`.length).reduce((sum, tokens) => sum + tokens)
    const all = used(20) + used(6) + used(4)
    assert.deepStrictEqual(table(output), [
      ["tenant:acme", "10000", String(all), "0", String(10_000 - all)],
      ["tenant:acme/workflow:report", "3500", String(all), "0", String(3_500 - all)],
      ["tenant:acme/workflow:report/agent:writer", "600", String(used(6)), "0", String(600 - used(6))]
    ])
    assert.include(output, "63 entries add up to these balances: yes")
  })

  it("mcp-guard: what has no budget does not reach the server", async () => {
    const output = await printed(() => import("../mcp-guard.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "search_mail: 3 mails of ann",
      "send_mail: sent to ann",
      "send_mail: sent to bob",
      "send_mail: denied, Budget exceeded at tenant:acme/agent:mailer (requested 40, remaining 19, RISK_POINTS)",
      "the server sent 2 mails"
    ])
  })

  it("match-budget-exceeded: each denial is handled as its type says", async () => {
    const output = await printed(() => import("../match-budget-exceeded.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "rich  : an answer",
      "poor  : cached: tenant:acme/agent:poor has 60 TOKENS left, 100 were asked for",
      "eager : an answer",
      "eager : tenant:acme/agent:eager was overrun and has to be funded first",
      "poor  : BUDGET_EXCEEDED: ask for 60 at most",
      "frozen: BUDGET_FROZEN: have tenant:acme/agent:frozen unfrozen",
      "frozen: Budget frozen at tenant:acme/agent:frozen. Ask an operator to unfreeze tenant:acme/agent:frozen. " +
      "(transient: false)"
    ])
  })

  it("promise-client: the same without Effect", async () => {
    const output = await printed(() => import("../promise-client.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "one call: a summary of a report",
      "  spent 700, held 0, remaining 1300",
      "one that fails: the provider answered 400",
      "  spent 700, held 0, remaining 1300",
      "one that is cut off: The operation was aborted due to timeout",
      "  spent 700, held 0, remaining 1300",
      "by hand, settled: Committed",
      "  spent 1300, held 0, remaining 700",
      "by hand, forgotten: 500 were held",
      "  spent 1300, held 0, remaining 700",
      "one too many: denied, 700 left of the 1000 asked for",
      "  spent 1300, held 0, remaining 700"
    ])
  })

  it("quick-start: nobody is named, and the tenant is charged what was used", async () => {
    const output = await printed(() => import("../quick-start.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "What is budget authority? Who may spend what, asked first.",
      "tenant:acme: spent 42, remaining 4958"
    ])
  })

  it("existing-function: the function runs, fails or is denied, and only what it used is charged", async () => {
    const output = await printed(() => import("../existing-function.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "guard, a report: a summary of a report (the function ran)",
      "  spent 420, held 0, remaining 1380",
      "guard, fail: LlmError (the function ran)",
      "  spent 420, held 0, remaining 1380",
      "charge, fail: LlmError (the function ran)",
      "  spent 420, held 0, remaining 1380",
      "charge, a letter: a summary of a letter (the function ran)",
      "  spent 840, held 0, remaining 960",
      "guard, a book: BudgetExceeded (the function did not run)",
      "  spent 840, held 0, remaining 960"
    ])
  })

  it("token-cap: the model is asked for no more than the cap, and what was used is charged", async () => {
    const output = await printed(() => import("../token-cap.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "ALLOW: a summary, in at most 1000 tokens, used 420",
      "ALLOW_WITH_CAPS: a summary, in at most 600 tokens, used 420",
      "ALLOW_WITH_CAPS: a summary, in at most 300 tokens, used 300",
      "ALLOW_WITH_CAPS: a summary, in at most 1000 tokens, used 420"
    ])
  })

  it("streaming: the end, an early stop, a failure and a cut are charged for what came through", async () => {
    const output = await printed(() => import("../streaming.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "to the end: Budgets are asked first.",
      "  charged 250: 150 in, 100 out",
      "the reader stops: Budgets are",
      "  charged 180: 150 in, 30 out",
      "the provider fails: Budgets are asked [LlmError]",
      "  charged 210: 150 in, 60 out",
      "cut at 25 tokens: Budgets are",
      "  charged 180: 150 in, 30 out"
    ])
  })

  it("multi-agent: every level is charged once for each call", async () => {
    const output = await printed(() => import("../multi-agent.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "                                   spent    held    left",
      "while the writer works:",
      "  tenant:acme                        200   20500  979300",
      "    workflow:research-report         200   20500   29300",
      "      agent:orchestrator               0     500   24500",
      "      agent:searcher                 200       0   24800",
      "      agent:writer                     0   20000    5000",
      "A report from 12 pages on AI agent cost management",
      "afterwards:",
      "  tenant:acme                       4490       0  995510",
      "    workflow:research-report        4490       0   45510",
      "      agent:orchestrator              90       0   24910",
      "      agent:searcher                 200       0   24800",
      "      agent:writer                  4200       0   20800"
    ])
  })

  it("degradation: smaller, left out, later, or no", async () => {
    const output = await printed(() => import("../degradation.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "downgrade: gpt-4o-mini answers with 250 tokens",
      "disable:   the answer goes out without an illustration",
      "defer:     gpt-4o answers with 1000 tokens",
      "deny:      no: 9000 asked for, 1050 left"
    ])
  })

  it("authority-unavailable: open covers an authority out of reach and no denial", async () => {
    const output = await printed(() => import("../authority-unavailable.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "out of reach, closed: AuthorityUnavailable, transient: true",
      "  Warn: The authority is unavailable; the work goes on without a budget",
      "out of reach, open: an answer, with nothing held",
      "too little budget, closed: BudgetExceeded, transient: false",
      "too little budget, open: BudgetExceeded, transient: false"
    ])
  })

  it("caps-aware-agent: every kind of cap changes what the agent does", async () => {
    const output = await printed(() => import("../caps-aware-agent.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "no limit: after 0 ms, 4000 tokens at most, from the web on findings, used 3900",
      "low budget: after 0 ms, 500 tokens at most, from the web on findings, used 400",
      "no web: after 20 ms, 4000 tokens at most, from cached context, used 3900",
      "only the cache: after 0 ms, 2000 tokens at most, from cached context, used 1900",
      "last step: after 0 ms, 500 tokens at most, from the web on findings, used 400",
      "a tool: the shell ran",
      "a denied tool: The tool \"shell_exec\" is not allowed. Choose one the caps allow, or go on without it."
    ])
  })

  it("shadow-mode: what would have been denied is told, and no budget is used", async () => {
    const output = await printed(() => import("../shadow-mode.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "dry run, gpt-4o, 1000: would allow",
      "dry run, gpt-4o-mini, 1000: would allow, with at most 500 tokens",
      "dry run, gpt-4o, 9000: would deny: BUDGET_EXCEEDED",
      "shadow mode, gpt-4o, 1000: ran",
      "  Warn: Shadow: llm.completion gpt-4o-mini would have been ALLOW_WITH_CAPS (none)",
      "shadow mode, gpt-4o-mini, 1000: ran",
      "  Warn: Shadow: llm.completion gpt-4o would have been DENY (BUDGET_EXCEEDED)",
      "shadow mode, gpt-4o, 9000: ran",
      "counted: ALLOW, none: 1",
      "counted: ALLOW_WITH_CAPS, none: 1",
      "counted: DENY, BUDGET_EXCEEDED: 1",
      "spent 0, held 0, remaining 5000"
    ])
  })

  it("rollout: one program, four environments", async () => {
    const output = await printed(() => import("../rollout.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "week 1 {\"CYCLES_MODE\":\"shadow\"}",
      "  draft: ran unguarded",
      "  notify: ran unguarded",
      "    Warn: Shadow: llm.completion review would have been DENY (BUDGET_EXCEEDED)",
      "  review: ran unguarded",
      "  spent 0 of 250, denied 0 of 3",
      "week 2 {\"CYCLES_OVERAGE_POLICY\":\"ALLOW_IF_AVAILABLE\"}",
      "  draft: Committed, 150 used, 150 charged",
      "  notify: Committed, 110 used, 100 charged",
      "  review: OverdraftLimitExceeded, did not run",
      "  spent 250 of 250, denied 1 of 3",
      "week 3 {\"CYCLES_RULES\":\"{\\\"message.*\\\":{\\\"overage_policy\\\":\\\"REJECT\\\"}}\"}",
      "  draft: Committed, 150 used, 150 charged",
      "  notify: Rejected, 110 used, 90 charged",
      "  review: BudgetExceeded, did not run",
      "  spent 240 of 250, denied 1 of 3",
      "week 4 {\"CYCLES_OVERAGE_POLICY\":\"REJECT\"}",
      "  draft: Rejected, 150 used, 100 charged",
      "  notify: Rejected, 110 used, 90 charged",
      "  review: BudgetExceeded, did not run",
      "  spent 190 of 250, denied 1 of 3"
    ])
  })

  it("environment-configuration: the environment says who spends, and a wrong variable is named", async () => {
    const output = await printed(() => import("../environment-configuration.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "three variables: tenant:acme/workspace:prod, held",
      "one variable: tenant:acme/workspace:default, held",
      "shadow mode: tenant:acme/workspace:default, nothing held",
      "no tenant: SchemaError(Expected string at [\"CYCLES_TENANT\"])",
      "no such mode: SchemaError(Expected \"enforce\" | \"shadow\" | \"off\" at [\"CYCLES_MODE\"])",
      "in code: tenant:acme/workspace:prod, held"
    ])
  })

  it("dollars: an exact price, and a reservation to look up", async () => {
    const output = await printed(() => import("../dollars.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "ALLOW, $0.02 held at tenant:acme",
      "on budgets",
      "COMMITTED: llm.completion gpt-4o, $0.02 held, $0.018 paid",
      "left: $0.982"
    ])
  })

  it("inspect-decision: the decision is known before the work, and a way out without a commit releases", async () => {
    const output = await printed(() => import("../inspect-decision.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "ALLOW: at most 4000 tokens",
      "  an answer by gpt-4o, Committed",
      "  spent $0.032, held $0.00",
      "ALLOW_WITH_CAPS: at most 1000 tokens",
      "  an answer by gpt-4o, Committed",
      "  spent $0.032, held $0.00",
      "ALLOW_WITH_CAPS: at most 50 tokens",
      "  not worth it",
      "  spent $0.00, held $0.00"
    ])
  })

  it("port: commit, release, repetition and denial, each by hand", async () => {
    const output = await printed(() => import("../port.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "budgets: ALLOW, the same hold when repeated: true",
      "  12 pages on budgets; COMMITTED, charged 320, released 180",
      "fail: ALLOW, the same hold when repeated: true",
      "  SearchFailed; RELEASED, released 500",
      "agents: ALLOW, the same hold when repeated: true",
      "  12 pages on agents; COMMITTED, charged 320, released 180",
      "  tools: 500 asked for, 360 left"
    ])
  })

  it("risk-points: what an agent does is limited, whatever it costs", async () => {
    const output = await printed(() => import("../risk-points.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "mail to ann: done",
      "mail to bob: done",
      "mail to cem: not done, 20 of 50 points left",
      "delete a record: not done, 20 of 80 points left",
      "read a record: done",
      "really sent: ann, bob"
    ])
  })

  it("limits: so much a day and so much a month, and a denial says when they open again", async () => {
    const output = await printed(() => import("../limits.ts"))
    const denied = (requested: number, remaining: number) =>
      `  no: Budget exceeded at tenant:acme/agent:writer (requested ${requested}, remaining ${remaining}, TOKENS): `
    const raise = (limit: string) => `or raise the limit "${limit}" of tenant:acme/agent:writer`
    assert.deepStrictEqual(output.split("\n"), [
      "2026-11-27T09:00:00Z",
      "  answered with 700 tokens",
      `${denied(400, 300)}the limit "daily" allows 1000 TOKENS per day in Europe/Berlin. ` +
      `Wait until 2026-11-27T23:00:00.000Z, ask for 300 TOKENS or less, ${
        raise("daily")
      }. Ask again after 50400000 ms.`,
      "  daily: 300 of 1000 left until 2026-11-27T23:00:00.000Z",
      "  monthly: 1800 of 2500 left until 2026-11-30T23:00:00.000Z",
      "2026-11-27T23:00:00Z",
      "  answered with 1200 tokens",
      "  daily: 0 of 1200 left until 2026-11-28T23:00:00.000Z",
      "  monthly: 600 of 2500 left until 2026-11-30T23:00:00.000Z",
      "2026-11-29T12:00:00Z",
      "  answered with 500 tokens",
      `${denied(700, 100)}the limit "monthly" allows 2500 TOKENS per month in Europe/Berlin. ` +
      `Wait until 2026-11-30T23:00:00.000Z, ask for 100 TOKENS or less, ${
        raise("monthly")
      }. Ask again after 126000000 ms.`,
      `${denied(5_000, 500)}the limit "daily" allows 1000 TOKENS per day in Europe/Berlin. ` +
      `Ask for less at once, ${raise("daily")}; waiting does not help.`,
      "2026-11-30T23:00:00Z",
      "  answered with 700 tokens",
      "  daily: 500 of 1200 left until 2026-12-01T23:00:00.000Z",
      "  monthly: 1800 of 2500 left until 2026-12-31T23:00:00.000Z"
    ])
  })

  it("four-actions: three run, and the e-mail is refused by its budget and then by a policy", async () => {
    const output = await printed(() => import("../four-actions.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "read_case: done",
      "append_internal_note: done",
      "update_crm_status: done",
      "send_customer_email: refused, 0 points at tenant:acme/agent:support-bot/toolset:send-email",
      "really done: read_case, append_internal_note, update_crm_status",
      "send_customer_email: done",
      "send_customer_email: refused, ACTION_KIND_DENIED: " +
      "the policy \"no e-mail to customers\" denies the kind message.email"
    ])
  })

  it("state-caps: an agent degrades before it is denied", async () => {
    const output = await printed(() => import("../state-caps.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "ALLOW: 2000 tokens, with the web",
      "ALLOW: 2000 tokens, with the web",
      "ALLOW: 2000 tokens, with the web",
      "ALLOW_WITH_CAPS: 1000 tokens, from memory",
      "ALLOW_WITH_CAPS: 1000 tokens, from memory",
      "ALLOW_WITH_CAPS: 1000 tokens, from memory",
      "ALLOW_WITH_CAPS: 400 tokens, from memory",
      "ALLOW_WITH_CAPS: 400 tokens, from memory",
      "BudgetExceeded: 200 tokens left"
    ])
  })

  it("managed-runtime: promises commit, settle by hand and are denied", async () => {
    const output = await printed(() => import("../managed-runtime.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "guarded: on budgets",
      "by hand: charged $0.015, released $0.005",
      "denied: Budget exceeded at tenant:acme (requested $0.02, remaining $0.01). " +
      "Credit tenant:acme by at least $0.01, or ask for $0.01 or less."
    ])
  })

  it("retry-loop: a denial ends the loop", async () => {
    const output = await printed(() => import("../retry-loop.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "without a budget: 48 calls, $201.60, ended by ProviderUnavailable",
      "with a budget of $20: 4 calls, $16.80, ended by BudgetExceeded",
      "spent $16.80, remaining $3.20"
    ])
  })

  it("durable: what was spent stays spent, and a hold that was left behind ends with its lease", async () => {
    const output = await printed(() => import("../durable.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "after a call: spent 420, held 0, remaining 4580",
      "cut off in the next: spent 420, held 1000, remaining 3580",
      "started again: spent 420, held 1000, remaining 3580",
      "the same key: ALLOW, the same hold, with 40000 ms left",
      "asked for again: spent 420, held 1000, remaining 3580",
      "two minutes later: spent 420, held 0, remaining 4580",
      "  a hold of 1000 TOKENS expired for llm.completion gpt-4o; 4580 TOKENS remain",
      "  1000 TOKENS held for llm.completion gpt-4o; 3580 TOKENS remain",
      "  420 TOKENS charged of 1000 held for llm.completion gpt-4o; 4580 TOKENS remain",
      "  1000 TOKENS held for llm.completion gpt-4o; 4000 TOKENS remain",
      "  opened with 5000 TOKENS; 5000 TOKENS remain",
      "5 entries of three lives add up to the balance: yes"
    ])
  })

  it("first-key: an operator makes a tenant, a budget and a key, and the key is all that is needed to spend", async () => {
    const output = await printed(() => import("../first-key.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "acme has $10.00, and a key that begins with cyc_live_",
      "ALLOW on tenant:acme",
      "$0.018 spent, $9.982 left"
    ])
  })

  it("governed: a denial is explained, events are handed on, spending is told, and every act is on record", async () => {
    const output = await printed(() => import("../governed.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "the agent works",
      "  gpt-4o for $0.60: done",
      "  gpt-4o for $0.60: BudgetExceeded",
      "    Budget exceeded at tenant:acme/workspace:eng/agent:writer (requested $0.60, remaining $0.40). Credit tenant:acme/workspace:eng/agent:writer by at least $0.20, or ask for $0.40 or less.",
      "  newsletter for $0.01: ActionDenied",
      "    Action denied (ACTION_KIND_DENIED) at tenant:acme/workspace:eng/agent:writer: the policy \"no e-mail\" denies the kind message.email. Take message.email off the denied kinds of the policy.",
      "  gpt-4o for $0.60: Forbidden",
      "    Forbidden at tenant:acme/workspace:ops/agent:writer: the scope filter does not reach there. Use a key of that tenant and scope, or ask for the permission.",
      "  gpt-4o-mini for $0.30: done",
      "why it has what it has",
      "  $0.10 remain",
      "  key \"writer in production\": $0.30 charged of $0.30 held for llm.completion gpt-4o-mini; $0.10 remain",
      "  key \"writer in production\": $0.30 held for llm.completion gpt-4o-mini; $0.10 remain",
      "  key \"writer in production\": $0.60 charged of $0.60 held for llm.completion gpt-4o; $0.40 remain",
      "  key \"writer in production\": $0.60 held for llm.completion gpt-4o; $0.40 remain",
      "  ann: opened with $1.00; $1.00 remain",
      "  last denied: ACTION_KIND_DENIED at tenant:acme/workspace:eng/agent:writer: $0.01 were asked for; the policy \"no e-mail\" denies the kind message.email. Take message.email off the denied kinds of the policy",
      "what it went to",
      "  gpt-4o: $0.60",
      "  gpt-4o-mini: $0.30",
      "the key is revoked, and then the tenant closed",
      "  Unauthorized: the key was revoked. Check that the API key is set, active and of this authority.",
      "  Tenant closed: closing is for good. Use another tenant.",
      "what a relay has handed on",
      "  1 tenant.created, by ann",
      "  2 budget.created at tenant:acme, by ann",
      "  3 budget.created at tenant:acme/workspace:eng/agent:writer, by ann",
      "  4 policy.created, by ann",
      "  5 api_key.created, by ann",
      "  6 reservation.denied at tenant:acme/workspace:eng/agent:writer, by key \"writer in production\"",
      "  7 reservation.denied at tenant:acme/workspace:eng/agent:writer, by key \"writer in production\"",
      "  8 budget.threshold_crossed at tenant:acme/workspace:eng/agent:writer, by key \"writer in production\"",
      "  9 api_key.revoked, by ann",
      "  10 budget.closed_via_tenant_cascade at tenant:acme, by ann",
      "  11 budget.closed_via_tenant_cascade at tenant:acme/workspace:eng/agent:writer, by ann",
      "  12 tenant.closed, by ann",
      "what was done, and what was refused",
      "  1 createTenant by ann",
      "  2 createBudget by ann",
      "  3 createBudget by ann",
      "  4 createPolicy by ann",
      "  5 createApiKey by ann",
      "  6 revokeApiKey by ann",
      "  7 budget.closed_via_tenant_cascade by ann",
      "  8 budget.closed_via_tenant_cascade by ann",
      "  9 closeTenant by ann",
      "  10 fundBudget by ann: TENANT_CLOSED"
    ])
  })

  describe("behind a provider's SDK", () => {
    // Where there is a key the real endpoint is asked, which costs money and answers as it likes.
    beforeEach(() => {
      vi.stubEnv("OPENAI_API_KEY", undefined)
      vi.stubEnv("ANTHROPIC_API_KEY", undefined)
    })
    afterEach(() => {
      vi.unstubAllEnvs()
    })

    const answers = (afterOne: string, afterTwo: string, afterCut: string) => [
      "one call: Budgets are asked first.",
      `  ${afterOne} spent, $0.00 held`,
      "a stream: Budgets are asked first.",
      `  ${afterTwo} spent, $0.00 held`,
      "a stream that is cut off: Budgets are asked first. Budgets are asked (long enough)",
      `  ${afterCut} spent, $0.00 held`,
      "a book: BudgetExceeded",
      `  ${afterCut} spent, $0.00 held`
    ]

    it("sdk-openai: calls and streams cost what they report, and one that is cut off what was seen of it", async () => {
      const output = await printed(() => import("../sdk-openai.ts"))
      // 4 tokens in and 4 out; then the bound of the input and the 42 bytes seen.
      assert.deepStrictEqual(output.split("\n"), answers("$0.000003", "$0.000006", "$0.00004755"))
    })

    it("sdk-anthropic: a stream that is cut off costs the input it reported and what was seen of it", async () => {
      const output = await printed(() => import("../sdk-anthropic.ts"))
      assert.deepStrictEqual(output.split("\n"), answers("$0.000024", "$0.000048", "$0.000262"))
    })

    it("sdk-vercel-ai: the same by one usage for all providers", async () => {
      const output = await printed(() => import("../sdk-vercel-ai.ts"))
      assert.deepStrictEqual(output.split("\n"), answers("$0.000003", "$0.000006", "$0.00005295"))
    })
  })

  describe("in a web server", () => {
    const refused = (type: string, title: string, status: number, detail: string) =>
      JSON.stringify({
        type: `urn:effect-cycles:${type}`,
        title,
        status,
        detail,
        code: type.replaceAll("-", "_").toUpperCase()
      })
    const exceeded = `402 ${
      refused("budget-exceeded", "Budget exceeded", 402, "There is not enough budget left for this request.")
    }`

    it("web-middleware: every route is behind the budget, and what fails costs nothing", async () => {
      const output = await printed(() => import("../web-middleware.ts"))
      assert.deepStrictEqual(output.split("\n"), [
        "GET /threads/7: 200 a thread",
        "GET /broken: 500 no answer today",
        "POST /chat: 200 hello",
        `POST /chat: ${exceeded}`
      ])
    })

    it("web-tenants: each tenant spends its own, and nobody's request is refused", async () => {
      const output = await printed(() => import("../web-tenants.ts"))
      assert.deepStrictEqual(output.split("\n"), [
        `nobody: 400 ${refused("missing-tenant", "Tenant missing", 400, "The request does not say whose it is.")}`,
        "acme: 200 on budgets",
        "acme: 200 on budgets",
        `acme: ${exceeded}`,
        "umbrella: 200 on budgets",
        `stranger: 402 ${refused("budget-not-found", "No budget", 402, "There is no budget for this request.")}`
      ])
    })

    it("web-express: routes behind a budget, and errors as answers", async () => {
      const output = await printed(() => import("../web-express.ts"))
      assert.deepStrictEqual(output.split("\n"), [
        "/chat: 200 {\"reply\":\"hello\"}",
        "/unfinished: 422 {\"reply\":\"say more\"}",
        "/chat: 200 {\"reply\":\"hello\"}",
        `/chat: ${exceeded}`,
        "BudgetExceeded: 429, transient: false, again after 90 s",
        "DebtOutstanding: 503, transient: false",
        "ActionDenied: 403, transient: false",
        "AuthorityUnavailable: 503, transient: true"
      ])
    })
  })

  it("ai-model: a model costs what it reports, and a cheaper one answers where it is too dear", async () => {
    const output = await printed(() => import("../ai-model.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "one: gpt-4o on budgets",
      "  $0.0030325 spent, $0.0049675 left",
      "two: gpt-4o-mini on budgets",
      "  $0.00321445 spent, $0.00478555 left",
      "a stream, as far as it is read: Budgets are ",
      "  $0.0032521 spent, $0.0047479 left",
      "by LanguageModel: QuotaExhaustedError, and no retry would help",
      "  $0.0032521 spent, $0.0047479 left"
    ])
  })

  it("ai-toolkit: the e-mail too many is refused, and the model is told", async () => {
    const output = await printed(() => import("../ai-toolkit.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "search: done",
      "send_email: done",
      "send_email: refused",
      "I was told: {\"error\":\"BudgetExceeded\",\"message\":\"Budget exceeded at tenant:acme/agent:support " +
      "(requested 40, remaining 19, RISK_POINTS). Credit tenant:acme/agent:support by at least 21 RISK_POINTS, " +
      "or ask for 19 RISK_POINTS or less.\"}",
      "really sent: ann"
    ])
  })

  it("ai-note: a model is told what is left, and finishes", async () => {
    const output = await printed(() => import("../ai-note.ts"))
    const note = (remaining: number, percent: number) =>
      `Budget: ${remaining} TOKENS of 2000 TOKENS are left (${percent} %). Finish with what you have where you can.`
    assert.deepStrictEqual(output.split("\n"), [
      "400 tokens. (no note)",
      "400 tokens. (no note)",
      `50 tokens. ${note(1000, 50)}`,
      `50 tokens. ${note(850, 42)}`,
      "check_budget: {\"unit\":\"TOKENS\",\"remaining\":\"700 TOKENS\",\"allocated\":\"2000 TOKENS\",\"percent_left\":35}"
    ])
  })

  it("telemetry: a collector is sent a span for each guard with what it asked below, and the counters", async () => {
    const output = await printed(() => import("../telemetry.ts"))
    assert.deepStrictEqual(output.split("\n"), [
      "agent",
      "  Budget.guard decision=ALLOW scope=tenant:acme/agent:writer estimate=400 charged=300 outcome=Committed",
      "    Budget.reserve",
      "    call the model",
      "    Budget.commit",
      "  Budget.guard decision=ALLOW scope=tenant:acme/agent:writer estimate=400 charged=500 outcome=Committed",
      "    Budget.reserve",
      "    call the model",
      "    Budget.commit",
      "  Budget.guard decision=DENY",
      "    Budget.reserve",
      "cycles_decisions {action_kind=llm.completion, decision=ALLOW} 2",
      "cycles_decisions {action_kind=llm.completion, decision=DENY} 1",
      "cycles_denials {action_kind=llm.completion, error=BudgetExceeded} 1",
      "cycles_operations {operation=commit, result=ok} 2",
      "cycles_operations {operation=reserve, result=BudgetExceeded} 1",
      "cycles_operations {operation=reserve, result=ok} 2",
      "cycles_overruns {action_kind=llm.completion} 1"
    ])
  })
})
