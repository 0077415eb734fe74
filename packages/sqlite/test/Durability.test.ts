import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Amount, Ledger } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { join } from "node:path"
import { afterAll, beforeAll } from "vitest"
import type { Said } from "./support/processes.ts"
import { bundle, start, temporary, until } from "./support/processes.ts"
import * as SystemCalls from "./support/systemCalls.ts"

const AGENT = "tenant:acme/agent:bot"

/** Looks into a file with a ledger of its own. */
const within = <A, E>(filename: string, body: (ledger: Ledger.Operations) => Effect.Effect<A, E>) =>
  Effect.provide(
    Effect.flatMap(Ledger.Ledger, body),
    Ledger.layer().pipe(Layer.provide(LedgerStoreSqlite.layer({ filename })))
  )

const prepare = (filename: string, allocated: bigint) =>
  within(filename, (ledger) =>
    Effect.forEach(
      ["tenant:acme", AGENT],
      (scope) => ledger.createBudget("acme", { scope, allocated: Amount.tokens(allocated) }),
      { discard: true }
    ))

const said = (lines: ReadonlyArray<Said>, what: "reserved" | "committed" | "denied"): ReadonlyArray<string> =>
  lines.flatMap((line) => line[what] ?? [])

/** What the balances say, after the entries were folded to see that they say the same. */
const figures = (ledger: Ledger.Operations) =>
  Effect.gen(function*() {
    assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
    const { balances } = yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
    const [whole, agent] = balances
    assert.strictEqual(whole?.spent?.amount, agent?.spent?.amount)
    assert.strictEqual(whole?.reserved?.amount, agent?.reserved?.amount)
    return { spent: whole?.spent?.amount ?? -1n, reserved: whole?.reserved?.amount ?? -1n }
  })

describe("a ledger in a file", () => {
  const scope = Scope.makeUnsafe()
  let script = ""
  beforeAll(async () => {
    script = await Effect.runPromise(Scope.provide(bundle, scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  it.live("counts exactly for two processes of 64 fibers each on one hot scope", () =>
    Effect.gen(function*() {
      const filename = join(yield* temporary, "ledger.db")
      // Enough for most of them: the last ones are denied, by what the other process has spent as well.
      yield* prepare(filename, 2_500n)
      const setup = { filename, synchronous: "full", fibers: 64, lifecycles: 3 } as const
      const children = yield* Effect.all([
        start(script, { ...setup, name: "one" }),
        start(script, { ...setup, name: "two" })
      ])
      for (const child of children) assert.strictEqual(yield* child.exit, 0, JSON.stringify(child.lines.at(-1)))
      const committed = children.map(({ lines }) => said(lines, "committed").length)
      const denied = children.map(({ lines }) => said(lines, "denied").length)
      // Everyone was answered, once.
      for (const i of [0, 1] as const) assert.strictEqual(committed[i]! + denied[i]!, 192)
      // Both got their share of the time.
      for (const count of committed) assert.isAbove(count, 20)
      const total = BigInt(committed[0]! + committed[1]!)
      assert.deepStrictEqual(yield* within(filename, figures), { spent: 7n * total, reserved: 0n })
      // So little is left that nobody could have been denied too early, holds of 128 fibers aside.
      assert.isAbove(Number(7n * total), 2_500 - 128 * 10)
      assert.isAtMost(Number(7n * total), 2_500)
    }), 60_000)

  it.live(
    "holds all that was answered and nothing half-done, whenever its process is killed",
    () =>
      Effect.gen(function*() {
        const filename = join(yield* temporary, "ledger.db")
        yield* prepare(filename, 1_000_000n)
        const reserved: Array<string> = []
        const committed: Array<{ readonly id: string; readonly key: string }> = []
        for (let round = 0; round < 6; round++) {
          const child = yield* start(script, {
            name: `round-${round}`,
            filename,
            synchronous: "full",
            fibers: 16,
            lifecycles: 10_000
          })
          const wanted = 1 + Math.floor(Math.random() * 40)
          yield* until("it has committed", () =>
            said(child.lines, "committed").length >= wanted || child.lines.some(({ failed }) =>
              failed !== undefined
            ))
          yield* Effect.sleep(Math.random() * 20)
          yield* child.kill
          assert.deepStrictEqual(
            child.lines.filter(({ failed }) => failed !== undefined),
            []
          )
          reserved.push(...said(child.lines, "reserved"))
          for (const line of child.lines) {
            if (line.committed !== undefined) committed.push({ id: line.committed, key: line.key ?? "" })
          }
          yield* within(filename, (ledger) =>
            Effect.gen(function*() {
              const { reserved: held, spent } = yield* figures(ledger)
              const acme = ledger.as({ tenant: "acme" })
              const statuses = new Map<string, string>()
              for (const id of reserved) {
                statuses.set(id, (yield* acme.reservation(ReservationId.make(id))).status)
              }
              for (const { id } of committed) assert.strictEqual(statuses.get(id), "COMMITTED")
              // Some may have been done without anybody having been told; no more than were under way.
              assert.isAtLeast(Number(spent), 7 * committed.length)
              assert.isAtMost(Number(spent), 7 * (committed.length + 16 * (round + 1)))
              assert.isAtMost(Number(held), 10 * 16 * (round + 1))
              // Asked again, a commit is answered as it was, and charges nothing.
              const last = committed.at(-1)
              if (last === undefined) return
              const again = yield* acme.commit(ReservationId.make(last.id), {
                idempotencyKey: IdempotencyKey.make(last.key),
                actual: Amount.tokens(7)
              })
              assert.strictEqual(again.charged.amount, 7n)
              assert.strictEqual((yield* figures(ledger)).spent, spent)
            }))
        }
        assert.isAbove(committed.length, 6)
      }),
    60_000
  )

  /** The answers of a process, by the order of its system calls. */
  const traced = (synchronous: "full" | "normal" | "off") =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const filename = join(folder, "ledger.db")
      yield* prepare(filename, 1_000_000n)
      const trace = join(folder, "trace")
      const setup = { name: "traced", filename, synchronous, fibers: 4, lifecycles: 5 }
      const child = yield* start(script, setup, SystemCalls.tracing(trace))
      assert.strictEqual(yield* child.exit, 0, JSON.stringify(child.lines.at(-1)))
      const answers = SystemCalls.answers(trace)
      assert.strictEqual(answers.length, 40)
      return answers
    })

  it.live("is on the disk before it answers", (context) =>
    Effect.gen(function*() {
      const obstacle = SystemCalls.obstacle()
      if (obstacle !== undefined) return context.skip(obstacle)
      const full = yield* traced("full")
      assert.deepStrictEqual(full.filter(({ isDirty }) => isDirty), [])
      assert.isAbove(full.at(-1)?.syncs ?? 0, 4)
    }), 60_000)

  it.live("is not, where it was asked not to be", (context) =>
    Effect.gen(function*() {
      const obstacle = SystemCalls.obstacle()
      if (obstacle !== undefined) return context.skip(obstacle)
      for (const synchronous of ["off", "normal"] as const) {
        const answers = yield* traced(synchronous)
        assert.strictEqual(answers.filter(({ isDirty }) => isDirty).length, 40, synchronous)
        // The head of a new log is synced, if anything.
        assert.isAtMost(answers.at(-1)?.syncs ?? 2, 1)
      }
    }), 60_000)
})
