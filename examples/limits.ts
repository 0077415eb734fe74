// One budget, and limits on how fast it may be spent: so much a day, so much a month. A denial says which limit spoke, what is
// left of it, and when it opens again. The clock is a test's, so that four days pass in no time.
import { Console, Effect, Layer } from "effect"
import { Action, Amount, Budget, Ledger, Window } from "effect-cycles"
import { TestClock } from "effect/testing"

const scope = "tenant:acme/agent:writer"

const ledger = Ledger.layerMemory({
  tenant: "acme",
  sweepEveryMs: 86_400_000,
  budgets: [{
    scope,
    allocated: Amount.tokens(100_000),
    limits: [
      // What a day leaves unused is there the day after, 200 tokens of it at most.
      {
        id: "daily",
        window: Window.calendar("day", "Europe/Berlin"),
        amount: Amount.tokens(1_000),
        rollover: Amount.tokens(200)
      },
      { id: "monthly", window: Window.calendar("month", "Europe/Berlin"), amount: Amount.tokens(2_500) }
    ]
  }]
})

const ask = (tokens: number) =>
  Budget.guard(
    { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(tokens) },
    (r) => Effect.succeed(r.commit(r.reserved, `answered with ${tokens} tokens`))
  ).pipe(
    Effect.catchTag("BudgetExceeded", (e) => Effect.succeed(`no: ${e.message}`)),
    Effect.flatMap((outcome) => Console.log(`  ${outcome}`))
  )

const day = (time: string) => Effect.andThen(TestClock.setTime(Date.parse(time)), Console.log(time))

const standing = Effect.gen(function*() {
  const { limits } = yield* Ledger.Ledger
  for (const { amount, carriedOver, id, remaining, reopensAtMs } of yield* limits("acme", scope, "TOKENS")) {
    const allowed = amount.amount + carriedOver.amount
    const until = reopensAtMs === undefined ? "" : ` until ${new Date(reopensAtMs).toISOString()}`
    yield* Console.log(`  ${id}: ${remaining.amount} of ${allowed} left${until}`)
  }
})

const program = Effect.gen(function*() {
  yield* day("2026-11-27T09:00:00Z")
  yield* ask(700)
  yield* ask(400)
  yield* standing

  // Midnight in Berlin is at 23:00 UTC. 300 tokens were left, 200 of them are carried over.
  yield* day("2026-11-27T23:00:00Z")
  yield* ask(1_200)
  yield* standing

  // Two limits are in the way of 700 tokens. The one that opens again last is the one to wait for.
  yield* day("2026-11-29T12:00:00Z")
  yield* ask(500)
  yield* ask(700)
  yield* ask(5_000)

  // The new month has its own 2,500, and Tuesday has 200 tokens of what Monday did not use.
  yield* day("2026-11-30T23:00:00Z")
  yield* ask(700)
  yield* standing
})

const clock = Layer.provideMerge(
  Layer.effectDiscard(TestClock.setTime(Date.parse("2026-11-27T00:00:00Z"))),
  TestClock.layer()
)

await Effect.runPromise(Effect.provide(
  program,
  Budget.layer({ subject: { agent: "writer" } }).pipe(Layer.provideMerge(ledger), Layer.provideMerge(clock))
))
