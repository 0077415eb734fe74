// What happens when the authority cannot be reached is a choice: `closed` fails the call, `open` lets it run without a
// budget. Open covers an authority that is out of reach, and nothing else: a denial stays a denial.
import { Console, Effect, Layer, Logger } from "effect"
import type { Mode } from "effect-cycles"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Ledger } from "effect-cycles"

const ask = Budget.guard(
  { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
  (r) => Effect.succeed(r.commit(Amount.tokens(420), r.held ? "an answer" : "an answer, with nothing held"))
)

const ledger = (tokens: number) =>
  Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(tokens) }] })

const unreachable = Layer.effect(
  BudgetAuthority.BudgetAuthority,
  Effect.map(BudgetAuthority.BudgetAuthority, (authority) => ({
    ...authority,
    reserve: () => Effect.fail(new CyclesError.AuthorityUnavailable({ reason: "connection refused" }))
  }))
).pipe(Layer.provideMerge(ledger(5_000)))

const show = (title: string, onUnavailable: Mode.OnUnavailable, authority: typeof unreachable) =>
  ask.pipe(
    // Transient means that the same request may succeed later, so it may be repeated. A denial is not.
    Effect.catch((error) => Effect.succeed(`${error._tag}, transient: ${error.isTransient}`)),
    Effect.flatMap((ended) => Console.log(`${title}, ${onUnavailable}: ${ended}`)),
    // A reserve without an answer may have taken a hold, which is looked for in the background; nobody waits for that
    // here.
    Effect.provide(Layer.provide(Budget.layer({ onUnavailable, shutdownTimeout: 0 }), authority))
  )

const log = Logger.layer([
  Logger.make(({ logLevel, message }) => console.log(`  ${logLevel}: ${Array.isArray(message) ? message[0] : message}`))
])

const program = Effect.gen(function*() {
  yield* show("out of reach", "closed", unreachable)
  yield* show("out of reach", "open", unreachable)
  yield* show("too little budget", "closed", ledger(500))
  yield* show("too little budget", "open", ledger(500))
}).pipe(Effect.provide(log))

await Effect.runPromise(program)
