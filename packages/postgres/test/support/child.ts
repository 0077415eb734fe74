/** A process with a ledger of its own on the database: callers that reserve and commit, and say what they were told. */
import { LedgerStorePostgres } from "@effect-cycles/postgres"
import { Action, Amount, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/**
 * - `name`: told apart from other processes by it
 * - `callers`: how many fibers there are
 * - `lifecycles`: how many reserve and commit each of them does
 */
export interface Setup {
  readonly url: string
  readonly schema: string
  readonly name: string
  readonly callers: number
  readonly lifecycles: number
}

/** A commit that was acknowledged. */
export interface Line {
  readonly key: string
  readonly id: string
  readonly charged: string
}

const program = (setup: Setup) =>
  Effect.gen(function*() {
    const acme = (yield* Ledger.Ledger).as({ tenant: "acme" })
    const lifecycle = (key: string, used: number) =>
      Effect.gen(function*() {
        const { reservationId } = yield* acme.reserve({
          idempotencyKey: IdempotencyKey.make(key),
          subject: { tenant: "acme" },
          action: Action.make("tool.call", "search"),
          estimate: Amount.tokens(10)
        })
        const { charged } = yield* acme.commit(reservationId!, {
          idempotencyKey: IdempotencyKey.make(key),
          actual: Amount.tokens(used)
        })
        const line: Line = { key, id: reservationId!, charged: charged.amount.toString() }
        process.stdout.write(`${JSON.stringify(line)}\n`)
      })
    yield* Effect.forEach(
      Array.from({ length: setup.callers }, (_, caller) => caller),
      (caller) =>
        Effect.forEach(
          Array.from({ length: setup.lifecycles }, (_, i) => i),
          (i) => lifecycle(`${setup.name}-${caller}-${i}`, 1 + (caller + i) % 10),
          { discard: true }
        ),
      { concurrency: "unbounded", discard: true }
    )
  }).pipe(
    Effect.provide(
      Ledger.layer().pipe(
        Layer.provide(LedgerStorePostgres.layer({ url: Redacted.make(setup.url), schema: setup.schema }))
      )
    )
  )

void Effect.runPromise(program(JSON.parse(process.argv[2] ?? "") as Setup))
