// Four answers to a denial: do it smaller, leave it out, wait for the budget, or say no.
import { Console, Effect, Layer } from "effect"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"

const call = (model: string, tokens: number) =>
  Budget.guard(
    { action: Action.make("llm.completion", model), estimate: Amount.tokens(tokens) },
    (r) => Effect.succeed(r.commit(r.reserved, `${model} answers with ${tokens} tokens`))
  )

// 1. downgrade: a smaller model, with no more than what is left
const downgraded = call("gpt-4o", 1_000).pipe(
  Effect.catchTag("BudgetExceeded", (e) => call("gpt-4o-mini", Math.min(250, Number(e.remaining ?? 0n))))
)

// 2. disable: the answer does without an optional step
const withoutIllustration = call("image-model", 800).pipe(
  Budget.catchDenied(() => Effect.succeed("the answer goes out without an illustration"))
)

// 3. defer: wait as long as the authority says, then ask once more. Where it does not say, the denial stands.
const deferred = call("gpt-4o", 1_000).pipe(
  Effect.retry({
    times: 1,
    while: (e) =>
      e._tag === "BudgetExceeded" && e.retryAfter !== undefined
        ? Effect.as(Effect.sleep(e.retryAfter), true)
        : Effect.succeed(false)
  })
)

// 4. deny: tell the user
const denied = call("gpt-4o", 9_000).pipe(
  Effect.catchTag("BudgetExceeded", (e) => Effect.succeed(`no: ${e.requested} asked for, ${e.remaining} left`))
)

const ledger = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(300) }]
})

// An authority that knows when its budgets are refilled says so with the denial; the ledger does not know it.
const refilled = Layer.effect(
  BudgetAuthority.BudgetAuthority,
  Effect.map(BudgetAuthority.BudgetAuthority, (authority) => ({
    ...authority,
    reserve: (request) =>
      Effect.mapError(
        authority.reserve(request),
        (error) =>
          error._tag === "BudgetExceeded" ? new CyclesError.BudgetExceeded({ ...error, retryAfterMs: 100 }) : error
      )
  }))
).pipe(Layer.provideMerge(ledger))

const program = Effect.gen(function*() {
  yield* Console.log("downgrade:", yield* downgraded)
  yield* Console.log("disable:  ", yield* withoutIllustration)
  const { fund } = yield* Ledger.Ledger
  const refill = fund("acme", {
    idempotencyKey: IdempotencyKey.make("refill-1"),
    scope: "tenant:acme",
    operation: "CREDIT",
    amount: Amount.tokens(2_000)
  })
  yield* Effect.forkChild(Effect.delay(refill, "20 millis"))
  yield* Console.log("defer:    ", yield* deferred)
  yield* Console.log("deny:     ", yield* denied)
}).pipe(Effect.provide(Layer.provideMerge(Budget.layer(), refilled)))

await Effect.runPromise(program)
