// The scoped form: the reservation is in hand before the work begins, so what to do can depend on it. A hold means
// ALLOW or ALLOW_WITH_CAPS and nothing else, so a match on the two is exhaustive. A way out without a commit releases
// the hold.
import { Console, Effect, Layer, Match } from "effect"
import type { Caps } from "effect-cycles"
import { Action, Amount, Budget, BudgetAuthority, Ledger, Reservation } from "effect-cycles"

const streamLlmResponse = (model: string) => Effect.succeed({ text: `an answer by ${model}`, microcents: 3_200_000 })

const session = Effect.scoped(Effect.gen(function*() {
  const r = yield* Reservation.make({
    action: Action.make("llm.completion", "gpt-4o"),
    estimate: Amount.microcents(5_000_000)
  })
  const maxTokens = Match.value(r.decision).pipe(
    Match.when("ALLOW", () => 4_000),
    Match.when("ALLOW_WITH_CAPS", () => r.caps?.maxTokens ?? 4_000),
    Match.exhaustive
  )
  yield* Console.log(`${r.decision}: at most ${maxTokens} tokens`)
  if (maxTokens < 100) return "not worth it"
  const out = yield* streamLlmResponse("gpt-4o")
  const outcome = yield* Reservation.commit(r, Amount.microcents(out.microcents))
  return `${out.text}, ${outcome._tag}`
}))

// A policy of the ledger says what comes with a yes; one that limits nothing leaves it a plain ALLOW.
const ledger = (caps: Caps.Caps) =>
  Ledger.layerMemory({
    tenant: "acme",
    budgets: [{ scope: "tenant:acme", allocated: Amount.usd(1) }],
    policies: [{ name: "caps", scopePattern: "*", caps }]
  })

const run = (caps: Caps.Caps) =>
  Effect.gen(function*() {
    yield* Console.log(`  ${yield* session}`)
    const { balances } = yield* Effect.flatMap(BudgetAuthority.BudgetAuthority, (it) => it.balances({ tenant: "acme" }))
    for (const { reserved, spent } of balances) {
      yield* Console.log(`  spent ${spent && Amount.format(spent)}, held ${reserved && Amount.format(reserved)}`)
    }
  }).pipe(Effect.provide(Layer.provideMerge(Budget.layer(), ledger(caps))))

await Effect.runPromise(run({}))
await Effect.runPromise(run({ maxTokens: 1_000 }))
await Effect.runPromise(run({ maxTokens: 50 }))
