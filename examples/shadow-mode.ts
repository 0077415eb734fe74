// A new guard begins in shadow mode: every call is evaluated, what would have been denied is logged and counted, the
// work runs all the same, and no budget is used. Below it, the dry run that mode is made of.
import { Console, Effect, Layer, Logger, Metric } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"

const call = (model: string, tokens: number) => ({
  action: Action.make("llm.completion", model),
  estimate: Amount.tokens(tokens)
})
const calls = [call("gpt-4o", 1_000), call("gpt-4o-mini", 1_000), call("gpt-4o", 9_000)]

const dryRun = (request: (typeof calls)[number], i: number) =>
  Effect.gen(function*() {
    const authority = yield* BudgetAuthority.BudgetAuthority
    const idempotencyKey = IdempotencyKey.make(`dry-run-${i}`)
    const reply = yield* authority.reserve({
      ...request,
      idempotencyKey,
      subject: { tenant: "acme" },
      dryRun: true
    })
    // There are three decisions, and the compiler sees that each has its case.
    switch (reply.decision) {
      case "ALLOW":
        return "would allow"
      case "ALLOW_WITH_CAPS":
        return `would allow, with at most ${reply.caps?.maxTokens} tokens`
      case "DENY":
        return `would deny: ${reply.reasonCode}`
    }
  })

const ledger = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }]
})

// `BudgetAuthority` is a port: this layer over the ledger's plays a policy that caps the small model.
const capped = Layer.effect(
  BudgetAuthority.BudgetAuthority,
  Effect.map(BudgetAuthority.BudgetAuthority, (authority) => ({
    ...authority,
    reserve: (request) =>
      Effect.map(
        authority.reserve(request),
        (reply) =>
          reply.decision === "ALLOW" && request.action.name === "gpt-4o-mini"
            ? { ...reply, decision: "ALLOW_WITH_CAPS" as const, caps: { maxTokens: 500 } }
            : reply
      )
  }))
).pipe(Layer.provideMerge(ledger))

const log = Logger.layer([Logger.make(({ logLevel, message }) => console.log(`  ${logLevel}: ${message}`))])

const program = Effect.gen(function*() {
  for (const [i, request] of calls.entries()) {
    yield* Console.log(`dry run, ${request.action.name}, ${request.estimate.amount}: ${yield* dryRun(request, i)}`)
  }
  for (const request of calls) {
    const title = `shadow mode, ${request.action.name}, ${request.estimate.amount}`
    yield* Console.log(yield* Budget.guard(request, (r) => Effect.succeed(r.commit(r.reserved, `${title}: ran`))))
  }
  for (const { attributes, id, state } of yield* Metric.snapshot) {
    if (id !== "cycles_shadow_decisions" || !("count" in state)) continue
    yield* Console.log(`counted: ${attributes?.["decision"]}, ${attributes?.["reason"]}: ${state.count}`)
  }
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  for (const { remaining, reserved, spent } of balances) {
    yield* Console.log(`spent ${spent?.amount}, held ${reserved?.amount}, remaining ${remaining.amount}`)
  }
}).pipe(
  Effect.provide(Layer.merge(Layer.provideMerge(Budget.layer({ mode: "shadow" }), capped), log)),
  Effect.provideService(Metric.MetricRegistry, new Map()) // counters of this program's own
)

await Effect.runPromise(program)
