/**
 * A process of its own on a ledger's file: so many fibers reserve and commit, so many times each. What was answered is said in lines
 * of JSON, once it was. It ends when everything is done, or when its standard input does.
 */
import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { Action, Amount, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { writeSync } from "node:fs"
import type { Said, Setup } from "./processes.ts"

const setup: Setup = JSON.parse(process.argv[2] ?? "")

// Not through a stream: what was said has to be out when the process is killed.
const say = (line: Said): void => void writeSync(1, `${JSON.stringify(line)}\n`)

const action = Action.make("tool.call", "search")

const program = Effect.gen(function*() {
  const ledger = yield* Ledger.Ledger
  const acme = ledger.as({ tenant: "acme" })
  say({ ready: true })
  const lifecycle = (key: string) =>
    Effect.gen(function*() {
      const { reservationId } = yield* acme.reserve({
        idempotencyKey: IdempotencyKey.make(key),
        subject: { agent: "bot" },
        action,
        estimate: Amount.tokens(10)
      })
      const id = String(reservationId)
      say({ reserved: id, key })
      yield* acme.commit(reservationId!, { idempotencyKey: IdempotencyKey.make(key), actual: Amount.tokens(7) })
      say({ committed: id, key })
    }).pipe(Effect.catchTag("BudgetExceeded", () => Effect.sync(() => say({ denied: key }))))
  yield* Effect.forEach(
    Array.from({ length: setup.fibers }, (_, fiber) => fiber),
    (fiber) =>
      Effect.forEach(
        Array.from({ length: setup.lifecycles }, (_, i) => i),
        (i) => lifecycle(`${setup.name}-${fiber}-${i}`),
        { discard: true }
      ),
    { discard: true, concurrency: "unbounded" }
  )
  say({ done: true })
}).pipe(
  Effect.tapCause((cause) => Effect.sync(() => say({ failed: String(cause) }))),
  Effect.provide(
    Ledger.layer().pipe(
      Layer.provide(LedgerStoreSqlite.layer({ filename: setup.filename, synchronous: setup.synchronous }))
    )
  )
)

// A tracer may outlive what it traces, but not its input.
process.stdin.on("end", () => process.exit(1)).resume()
Effect.runPromise(program).then(() => process.exit(0), () => process.exit(2))
