// An agent whose budget outlives it. The ledger is a SQLite file inside of the program, with no service to start. The agent is
// cut off in the middle of a call and started again: what it spent stays spent, the hold it left behind ends with its lease,
// and what was done under a key is not done again. The clock is a test's, so that the lease ends in no time.
import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { Console, Effect, Layer } from "effect"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import { TestClock } from "effect/testing"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folder = mkdtempSync(join(tmpdir(), "durable-"))

// The first start opens the budget; the later ones find it.
const acme = Ledger.layerEmbedded({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }]
}).pipe(Layer.provide(LedgerStoreSqlite.layer({ filename: join(folder, "ledger.db") })))

/** One life of the program: it opens the file, and closes it when it ends. */
const life = <A, E>(program: Effect.Effect<A, E, Budget.Budget | BudgetAuthority.BudgetAuthority | Ledger.Ledger>) =>
  Effect.provide(program, Layer.provideMerge(Budget.layer(), acme), { local: true })

const standing = (when: string) =>
  Effect.gen(function*() {
    const authority = yield* BudgetAuthority.BudgetAuthority
    const { balances } = yield* authority.balances({ tenant: "acme" })
    for (const { remaining, reserved, spent } of balances) {
      yield* Console.log(`${when}: spent ${spent?.amount}, held ${reserved?.amount}, remaining ${remaining.amount}`)
    }
  })

const call = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) }

/** A hold taken by hand has no scope that would release it: when the program ends, it is left behind as by a crash. */
const report = Effect.flatMap(BudgetAuthority.BudgetAuthority, (authority) =>
  authority.reserve({
    ...call,
    subject: { agent: "reporter" },
    idempotencyKey: IdempotencyKey.make("report-7"),
    ttlMs: 60_000
  }))

const first = Effect.gen(function*() {
  yield* Budget.guard(call, (r) => Effect.succeed(r.commit(Amount.tokens(420), undefined)))
  yield* standing("after a call")
  yield* report
  yield* standing("cut off in the next")
})

const second = Effect.gen(function*() {
  yield* standing("started again")
  const hold = yield* report
  yield* Console.log(`the same key: ${hold.decision}, the same hold, with ${hold.remainingTtlMs} ms left`)
  yield* standing("asked for again")
})

const third = Effect.gen(function*() {
  yield* standing("two minutes later")
  const ledger = yield* Ledger.Ledger
  const { lines } = yield* ledger.explain("acme", { scope: "tenant:acme", unit: "TOKENS" })
  for (const { text } of lines) yield* Console.log(`  ${text}`)
  const { entries, flaws } = yield* ledger.verify("acme")
  yield* Console.log(`${entries} entries of three lives add up to the balance: ${flaws.length === 0 ? "yes" : "no"}`)
})

const program = Effect.gen(function*() {
  yield* life(first)
  yield* TestClock.adjust("20 seconds")
  yield* life(second)
  yield* TestClock.adjust("2 minutes")
  yield* life(third)
})

await Effect.runPromise(Effect.provide(program, TestClock.layer())).finally(() => rmSync(folder, { recursive: true }))
