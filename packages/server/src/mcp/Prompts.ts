/**
 * Prompts: what a person asks for most, written out for the model.
 *
 * @internal
 */
import * as McpServer from "effect/ai/McpServer"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const argument = (description: string) => Schema.optionalKey(Schema.String.annotate({ description }))

const integrate = McpServer.registerPrompt({
  name: "integrate_cycles",
  title: "Put a program behind a budget",
  description: "Plan and write the code that reserves before a program spends and settles afterwards.",
  parameters: {
    language: argument("The language of the program, for example TypeScript"),
    use_case: argument("What it does that costs, for example calls of a language model")
  },
  content: ({ language, use_case }) =>
    Effect.succeed(
      `Put ${use_case ?? "what costs in this program"} behind a Cycles budget${
        language === undefined ? "" : `, in ${language}`
      }.

Read cycles://docs/quickstart and cycles://docs/patterns first. Then:

1. Find every place that spends: calls of models, of paid services, of tools that act. List them with their unit, the highest they
   can cost, and how their real cost is known afterwards.
2. Name who spends: which of tenant, workspace, app, workflow and agent there are here.
3. Show the code for each place: reserve before, do it only where that is allowed, keep to the caps, commit what it really cost, and
   release where it failed before it cost anything. A failure of the budget's authority must not let the work through.
4. Choose the idempotency keys so that a repetition of the program's own is not charged twice.
5. Say how a denial is shown to who waits for the answer, and test it with a budget that is too small.

In TypeScript use the package effect-cycles: \`Budget.guard\` does steps 3 and 4.`
    )
})

const diagnose = McpServer.registerPrompt({
  name: "diagnose_overrun",
  title: "Find out why a budget ran out",
  description: "Look for what used a budget up, or why something was denied.",
  parameters: {
    reservation_id: argument("A reservation that is in question"),
    scope: argument("The scope whose budget ran out, for example tenant:acme/agent:writer")
  },
  content: ({ reservation_id, scope }) =>
    Effect.succeed(
      `Find out where the budget went${scope === undefined ? "" : ` on ${scope}`}.

${
        reservation_id === undefined
          ? "1. Call cycles_list_reservations, newest first, and look at the largest and at those that are still ACTIVE."
          : `1. Call cycles_get_reservation for ${reservation_id}: what was held, what was committed, how it ended.`
      }
2. Call cycles_check_balance for the scope with includeChildren. Compare allocated, spent, reserved and debt at each scope: the
   smallest that is left decides.
3. Say which of these it was, with the numbers: estimates far above what was committed; holds that nobody settled; the same work done
   over and over; one agent that took what was meant for others; or a budget that is just too small.
4. Propose what to change, the cheapest first, and say what each would have saved. Change nothing yourself.`
    )
})

const design = McpServer.registerPrompt({
  name: "design_budget_strategy",
  title: "Design budgets",
  description: "Propose scopes, units, limits and what happens at their end for a system.",
  parameters: {
    description: Schema.String.annotate({ description: "What the system does, and who uses it" }),
    tenant_model: argument("Who its tenants are, for example one for each customer")
  },
  content: ({ description, tenant_model }) =>
    Effect.succeed(
      `Design budgets for this system:

${description}
${tenant_model === undefined ? "" : `\nIts tenants: ${tenant_model}\n`}
Read cycles://docs/patterns first. Answer with:

1. Scopes: which of tenant, workspace, app, workflow, agent and toolset to use, and what one of each is here.
2. Units: what is counted in USD_MICROCENTS, TOKENS, CREDITS or RISK_POINTS, and why.
3. A budget for each scope, with the sum behind it, and how it is filled again.
4. Estimates: how high for which action, so that none costs more than was reserved.
5. What may go beyond a budget and what may not: the overage policy, and overdrafts if any.
6. What an agent does at 15 % left and when it is denied: a smaller model, fewer steps, or an end that is of use.
7. How to begin: shadow mode first, which numbers to watch, and when to enforce.`
    )
})

/** Adds the prompts to a server. */
export const register = Effect.all([integrate, diagnose, design], { discard: true })
