// An agent degrades before it is denied. Its policy says what changes as the budget runs low: below half, answers are short and
// the web is off; below a fifth, they are shorter still. The agent only heeds the caps it is given.
import { Console, Effect, Layer } from "effect"
import { Action, Amount, Budget, Caps, Ledger } from "effect-cycles"

const answer = (tokens: number) =>
  Budget.guard(
    { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(tokens) },
    (r) => {
      const most = Caps.clampTokens(r.caps, tokens)
      const how = Caps.isToolAllowed(r.caps, "web_search") ? "with the web" : "from memory"
      return Effect.as(
        Console.log(`${r.decision}: ${most} tokens, ${how}`),
        r.commit(Amount.tokens(most), Caps.clampTokens(r.caps, 2_000))
      )
    }
  )

// Each answer says how long the next one may be, so that an agent on a short leash asks for no more than it will use.
const work = (tokens: number): Effect.Effect<string, Budget.GuardError, Budget.Budget> =>
  answer(tokens).pipe(
    Effect.flatMap(work),
    Budget.catchDenied((denied) => Effect.succeed(`${denied._tag}: ${denied.remaining} tokens left`))
  )

const program = Effect.flatMap(work(2_000), Console.log).pipe(
  Effect.provide(Layer.provide(
    Budget.layer({ subject: { agent: "research-bot" } }),
    Ledger.layerMemory({
      tenant: "acme",
      budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(10_000) }],
      policies: [{
        name: "soft landing",
        scopePattern: "tenant:acme/*",
        stateCaps: [
          { belowShare: 0.5, caps: { maxTokens: 1_000, toolDenylist: ["web_search"] } },
          { belowShare: 0.2, caps: { maxTokens: 400 } }
        ]
      }]
    })
  ))
)

await Effect.runPromise(program)
