// The lowest level: each operation of the protocol by itself. Settling, and keeping the lease, is the caller's business
// here, for example because the reservation is settled by another process. Most code should use `Budget.guard`.
import { Console, Effect, Schema } from "effect"
import { Action, Amount, BudgetAuthority, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"

class SearchFailed extends Schema.TaggedError<SearchFailed>()("SearchFailed", {}) {}

const doWork = (query: string) =>
  query === "fail" ? Effect.fail(new SearchFailed()) : Effect.succeed(`12 pages on ${query}`)

const search = (query: string) =>
  Effect.gen(function*() {
    const authority = yield* BudgetAuthority.BudgetAuthority
    // One key for each request, and the same key when it is repeated: the first reply comes again, and nothing is held
    // twice.
    const reserve = {
      idempotencyKey: IdempotencyKey.make(`reserve-${query}`),
      subject: { tenant: "acme" },
      action: Action.make("tool.call", "search"),
      estimate: Amount.tokens(500)
    }
    // A live reserve that is denied fails with a typed error; the id is absent after a DENY in a reply and after a dry
    // run.
    const { decision, reservationId } = yield* authority.reserve(reserve)
    if (reservationId === undefined) return `${decision}: nothing held`
    const again = yield* authority.reserve(reserve)
    yield* Console.log(`${query}: ${decision}, the same hold when repeated: ${again.reservationId === reservationId}`)
    return yield* Effect.matchEffect(doWork(query), {
      onSuccess: (found) =>
        Effect.map(
          authority.commit(reservationId, {
            idempotencyKey: IdempotencyKey.make(`commit-${query}`),
            actual: Amount.tokens(320)
          }),
          ({ charged, released, status }) =>
            `${found}; ${status}, charged ${charged.amount}, released ${released?.amount}`
        ),
      onFailure: (error) =>
        Effect.map(
          authority.release(reservationId, {
            idempotencyKey: IdempotencyKey.make(`release-${query}`),
            reason: "operation_failed"
          }),
          ({ released, status }) => `${error._tag}; ${status}, released ${released.amount}`
        )
    })
  }).pipe(
    Effect.catchTag("BudgetExceeded", (e) => Effect.succeed(`${query}: ${e.requested} asked for, ${e.remaining} left`)),
    Effect.flatMap((line) => Console.log(`  ${line}`))
  )

const program = Effect.forEach(["budgets", "fail", "agents", "tools"], search).pipe(
  Effect.provide(
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] })
  )
)

await Effect.runPromise(program)
