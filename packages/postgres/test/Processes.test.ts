import { LedgerStorePostgres } from "@effect-cycles/postgres"
import { assert, it } from "@effect/vitest"
import { Amount, Ledger } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll } from "vitest"
import type { Child } from "./support/processes.ts"
import { bundle, start } from "./support/processes.ts"
import { withServer } from "./support/stores.ts"

withServer("several processes on one PostgreSQL", ({ fresh, server, sql }) => {
  let program: Awaited<ReturnType<typeof bundle>> | undefined
  beforeAll(async () => {
    program = await bundle()
  }, 60_000)
  afterAll(() => program?.remove())

  const run = (schema: string, name: string, callers: number, lifecycles: number): Child =>
    start(program!.script, { url: server().url(), schema, name, callers, lifecycles })

  const inLedger = <A, E>(
    options: LedgerStorePostgres.Options,
    body: (ledger: Ledger.Operations) => Effect.Effect<A, E>
  ): Promise<A> =>
    Effect.runPromise(
      Effect.flatMap(Ledger.Ledger, body).pipe(
        Effect.provide(Layer.provide(Ledger.layer(), LedgerStorePostgres.layer(options)))
      )
    )

  const open = (options: LedgerStorePostgres.Options) =>
    inLedger(
      options,
      (ledger) => ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(1_000_000) })
    )

  const charged = (child: Child): bigint => child.lines.reduce((sum, line) => sum + BigInt(line.charged), 0n)

  it("two with 64 callers each spend to the digit what they were told, without a deadlock", async () => {
    const options = fresh()
    await open(options)
    const children = ["one", "two"].map((name) => run(options.schema, name, 64, 10))
    assert.deepStrictEqual(await Promise.all(children.map(({ ended }) => ended)), [0, 0])
    for (const { lines } of children) assert.strictEqual(lines.length, 640)
    await inLedger(options, (ledger) =>
      Effect.gen(function*() {
        const { balances: [balance] } = yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
        assert.strictEqual(balance?.spent?.amount, charged(children[0]!) + charged(children[1]!))
        assert.strictEqual(balance?.reserved?.amount, 0n)
        assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
      }))
    // Nobody got in another's way: the one who comes second waits, and need not begin again.
    const [trouble] = await sql(
      "SELECT deadlocks::int, xact_rollback::int FROM pg_stat_database WHERE datname = current_database()"
    )
    assert.deepStrictEqual(trouble, [0, 0])
  })

  it("one that is killed leaves whole commands, all that it was told among them", async () => {
    const options = fresh()
    await open(options)
    const lines: Array<Child["lines"][number]> = []
    for (const [i, name] of ["a", "b", "c", "d"].entries()) {
      const child = run(options.schema, name, 32, 10_000)
      while (child.lines.length < 1) await sleep(5)
      await sleep(37 * i)
      child.kill()
      assert.isNull(await child.ended)
      lines.push(...child.lines)
    }
    await inLedger(options, (ledger) =>
      Effect.gen(function*() {
        const acme = ledger.as({ tenant: "acme" })
        assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
        const before = (yield* acme.balances({ tenant: "acme" })).balances[0]
        // What was acknowledged is there: the same commit again is answered as it was, and changes nothing.
        for (const { charged: amount, id, key } of lines.slice(-200)) {
          const again = yield* acme.commit(ReservationId.make(id), {
            idempotencyKey: IdempotencyKey.make(key),
            actual: Amount.tokens(Number(amount))
          })
          assert.strictEqual(again.charged.amount.toString(), amount)
        }
        const after = (yield* acme.balances({ tenant: "acme" })).balances[0]
        assert.deepStrictEqual(after, before)
        const told = lines.reduce((sum, line) => sum + BigInt(line.charged), 0n)
        assert.isAtLeast(Number(after?.spent?.amount), Number(told))
        // What was begun and not told of is whole as well: each open hold is counted once.
        const entries = yield* ledger.entries("acme", { limit: 1_000_000 })
        const opened = entries.filter(({ kind }) => kind === "RESERVE").length
        const committed = entries.filter(({ kind }) => kind === "COMMIT").length
        assert.strictEqual(after?.reserved?.amount, 10n * BigInt(opened - committed))
        assert.isAtLeast(committed, lines.length)
      }))
  })
})
