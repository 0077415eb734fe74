import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Ledger, LedgerStore, LedgerStoreMemory } from "effect-cycles"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import type { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"

/** The same numbers for the same seed, from 0 to below a bound. */
const numbers = (seed: number) => (below: number): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((seed / 4_294_967_296) * below)
}

/** A store that gives way before and after everything it does, so that whatever can come between, does. */
const yielding = (next: (below: number) => number) =>
  Layer.effect(
    LedgerStore.LedgerStore,
    Effect.map(LedgerStoreMemory.make, (inner) => {
      const anywhere = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
        Effect.suspend(() => {
          const pause = Effect.forEach(Array.from({ length: next(3) }), () => Effect.yieldNow, { discard: true })
          return Effect.andThen(pause, Effect.tap(effect, () => pause))
        })
      return {
        ...inner,
        transact: (tenants, body) =>
          anywhere(inner.transact(tenants, (tx) =>
            body({
              ...tx,
              load: (keys, view) => anywhere(tx.load(keys, view)),
              write: (writes) => anywhere(tx.write(writes))
            })))
      }
    })
  )

const stores = {
  "a store in memory": () => LedgerStoreMemory.layer,
  "a store that gives way at every turn": yielding
}

const ROOT = "tenant:acme"
const TEAM = "tenant:acme/workspace:team"
const agents = ["a", "b", "c", "d"]
const action = Action.make("tool.call", "search")

const budgets = (root: number, team: number, agent: number): ReadonlyArray<Ledger.BudgetOptions> => [
  { scope: ROOT, allocated: Amount.tokens(root) },
  { scope: TEAM, allocated: Amount.tokens(team) },
  ...agents.map((name) => ({ scope: `${TEAM}/agent:${name}`, allocated: Amount.tokens(agent) }))
]

const reserve = (acme: Operations, key: string, subject: Subject, amount: number, overagePolicy?: OveragePolicy) =>
  acme.reserve({
    idempotencyKey: IdempotencyKey.make(key),
    subject,
    action,
    estimate: Amount.tokens(amount),
    ...(overagePolicy === undefined ? undefined : { overagePolicy })
  })

/** Everything an entry after entry says of the budgets: never more than there is, and in the end what was charged. */
const inspect = Effect.fnUntraced(function*(ledger: Ledger.Operations, tenant: string) {
  const entries = yield* ledger.entries(tenant, { limit: 100_000 })
  for (const { changes, number } of entries) {
    for (const { after } of changes) {
      const taken = after.spent + after.reserved
      assert.isTrue(
        taken <= after.allocated && after.debt === 0n,
        `entry ${number}: ${taken} of ${after.allocated} at ${after.scope}`
      )
      assert.isTrue(after.reserved >= 0n && after.spent >= 0n, `entry ${number}`)
    }
  }
  assert.deepStrictEqual((yield* ledger.verify(tenant)).flaws, [])
  const { balances } = yield* ledger.as({ tenant }).balances({ tenant })
  return { entries, of: new Map(balances.map((row) => [row.scopePath, row])) }
})

const run = <A, E>(
  store: (next: (below: number) => number) => Layer.Layer<LedgerStore.LedgerStore>,
  seed: number,
  setup: ReadonlyArray<Ledger.BudgetOptions>,
  body: (ledger: Ledger.Operations, next: (below: number) => number) => Effect.Effect<A, E>
) => {
  const next = numbers(seed)
  return Effect.gen(function*() {
    const ledger = yield* Ledger.Ledger
    yield* Effect.forEach(setup, (budget) => ledger.createBudget("acme", budget), { discard: true })
    return yield* body(ledger, next)
  }).pipe(
    Effect.provide(Layer.provide(Ledger.layer({ queueCapacity: 10_000, batchLimit: 16 }), store(next))),
    // Fibers give way after every few operations, wherever that is.
    Effect.provideService(Scheduler.MaxOpsBeforeYield, 5)
  )
}

for (const [name, store] of Object.entries(stores)) {
  describe(`hundreds of fibers on one budget, in ${name},`, () => {
    for (
      const [root, team, agent, fits] of [[1_000, 5_000, 5_000, 142], [5_000, 1_000, 5_000, 142], [
        5_000,
        5_000,
        90,
        48
      ]] as const
    ) {
      NoLeaks.effect(
        `are admitted exactly as often as fits: ${fits} of 300, with ${root}, ${team} and ${agent} to share`,
        () =>
          run(store, 1, budgets(root, team, agent), (ledger) =>
            Effect.gen(function*() {
              const acme = ledger.as({ tenant: "acme" })
              const answers = yield* Effect.forEach(
                Array.from({ length: 300 }, (_, i) => i),
                (i) => Effect.result(reserve(acme, `${i}`, { workspace: "team", agent: agents[i % 4]! }, 7)),
                { concurrency: "unbounded" }
              )
              const admitted = answers.filter(({ _tag }) => _tag === "Success").length
              assert.strictEqual(admitted, fits)
              for (const answer of answers) {
                if (answer._tag === "Failure") assert.strictEqual(answer.failure._tag, "BudgetExceeded")
              }
              const { of } = yield* inspect(ledger, "acme")
              assert.strictEqual(of.get(ROOT)?.reserved?.amount, BigInt(fits * 7))
            }))
      )
    }

    for (const seed of [1, 2, 3, 4]) {
      NoLeaks.effect(
        `never take one unit too many, whatever they do in whatever order (seed ${seed})`,
        () =>
          run(store, seed, budgets(3_000, 2_500, 900), (ledger, next) =>
            Effect.gen(function*() {
              const acme = ledger.as({ tenant: "acme" })
              let charged = 0n
              let refused = 0
              yield* Effect.forEach(
                Array.from({ length: 300 }, (_, i) => ({
                  key: `${i}`,
                  subject: { workspace: "team", agent: agents[next(4)]! },
                  estimate: next(60),
                  // Some use more than they reserved.
                  used: next(80),
                  way: next(10)
                })),
                ({ estimate, key, subject, used, way }) =>
                  Effect.gen(function*() {
                    const reply = yield* reserve(
                      acme,
                      key,
                      subject,
                      estimate,
                      way < 5 ? "REJECT" : "ALLOW_IF_AVAILABLE"
                    )
                    const id = reply.reservationId!
                    yield* Effect.yieldNow
                    const idempotencyKey = IdempotencyKey.make(`end-${key}`)
                    if (way === 0 || way === 9) {
                      yield* acme.release(id, { idempotencyKey })
                      return
                    }
                    const actual = Amount.tokens(used)
                    const { charged: by } = yield* Effect.catchTag(
                      acme.commit(id, { idempotencyKey, actual }),
                      "BudgetExceeded",
                      () => acme.commit(id, { idempotencyKey, actual: Amount.tokens(estimate) })
                    )
                    charged += by.amount
                  }).pipe(Effect.catch((error) => {
                    assert.include(["BudgetExceeded", "OverdraftLimitExceeded"], error._tag)
                    refused++
                    return Effect.void
                  })),
                { concurrency: "unbounded", discard: true }
              )
              const { of } = yield* inspect(ledger, "acme")
              for (const row of of.values()) assert.strictEqual(row.reserved?.amount, 0n, row.scopePath)
              assert.strictEqual(of.get(ROOT)?.spent?.amount, charged)
              const byAgents = agents.reduce(
                (sum, agent) => sum + (of.get(`${TEAM}/agent:${agent}`)?.spent?.amount ?? 0n),
                0n
              )
              assert.strictEqual(byAgents, charged)
              // The budgets were too small for all of them, and large enough for many.
              assert.isAbove(refused, 20)
              assert.isAbove(Number(charged), 500)
            }))
      )
    }

    NoLeaks.effect(
      "with one key are one reservation",
      () =>
        run(store, 1, budgets(1_000, 1_000, 1_000), (ledger) =>
          Effect.gen(function*() {
            const acme = ledger.as({ tenant: "acme" })
            const ids = yield* Effect.forEach(
              Array.from({ length: 200 }),
              () =>
                Effect.map(reserve(acme, "same", { workspace: "team", agent: "a" }, 7), (reply) => reply.reservationId),
              { concurrency: "unbounded" }
            )
            assert.strictEqual(new Set(ids).size, 1)
            const { of } = yield* inspect(ledger, "acme")
            assert.strictEqual(of.get(ROOT)?.reserved?.amount, 7n)
          }))
    )

    NoLeaks.effect(
      "settle a reservation once, whoever comes first",
      () =>
        run(store, 5, budgets(1_000, 1_000, 1_000), (ledger, next) =>
          Effect.gen(function*() {
            const acme = ledger.as({ tenant: "acme" })
            for (let round = 0; round < 10; round++) {
              const { reservationId } = yield* reserve(acme, `${round}`, { workspace: "team", agent: "a" }, 10)
              const answers = yield* Effect.forEach(
                Array.from({ length: 30 }, (_, i) => ({ i, commits: next(2) === 0 })),
                ({ commits, i }) => {
                  const idempotencyKey = IdempotencyKey.make(`${round}-${i}`)
                  return Effect.result(
                    commits
                      ? Effect.as(acme.commit(reservationId!, { idempotencyKey, actual: Amount.tokens(4) }), 4n)
                      : Effect.as(acme.release(reservationId!, { idempotencyKey }), 0n)
                  )
                },
                { concurrency: "unbounded" }
              )
              const won = answers.flatMap((answer) => answer._tag === "Success" ? [answer.success] : [])
              assert.strictEqual(won.length, 1)
              for (const answer of answers) {
                if (answer._tag === "Failure") assert.strictEqual(answer.failure._tag, "ReservationFinalized")
              }
            }
            const { entries, of } = yield* inspect(ledger, "acme")
            assert.strictEqual(of.get(ROOT)?.reserved?.amount, 0n)
            assert.strictEqual(
              of.get(ROOT)?.spent?.amount,
              4n * BigInt(entries.filter(({ kind }) => kind === "COMMIT").length)
            )
          }))
    )

    NoLeaks.effect(
      "that are interrupted anywhere leave whole commands or none",
      () =>
        run(store, 9, budgets(3_000, 3_000, 3_000), (ledger, next) =>
          Effect.gen(function*() {
            const acme = ledger.as({ tenant: "acme" })
            const fibers = yield* Effect.forEach(
              Array.from({ length: 300 }, (_, i) => i),
              (i) => Effect.forkDetach(reserve(acme, `${i}`, { workspace: "team", agent: agents[i % 4]! }, 7))
            )
            for (const fiber of fibers) {
              if (next(2) === 0) fiber.interruptUnsafe()
              if (next(4) === 0) yield* Effect.yieldNow
            }
            yield* Effect.forEach(fibers, Fiber.await, { discard: true })
            const { entries, of } = yield* inspect(ledger, "acme")
            const holds = entries.filter(({ kind }) => kind === "RESERVE").length
            assert.strictEqual(of.get(ROOT)?.reserved?.amount, 7n * BigInt(holds))
            assert.strictEqual(of.get(TEAM)?.reserved?.amount, 7n * BigInt(holds))
            const byAgents = agents.reduce(
              (sum, agent) => sum + (of.get(`${TEAM}/agent:${agent}`)?.reserved?.amount ?? 0n),
              0n
            )
            assert.strictEqual(byAgents, 7n * BigInt(holds))
            assert.isAbove(holds, 0)
            // Whoever was answered has a hold; and asked again, everyone gets what the ledger has.
            for (const [i, fiber] of fibers.entries()) {
              const exit = fiber.pollUnsafe()
              if (exit?._tag !== "Success") continue
              const again = yield* reserve(acme, `${i}`, { workspace: "team", agent: agents[i % 4]! }, 7)
              assert.strictEqual(again.reservationId, exit.value.reservationId)
            }
          }))
    )

    NoLeaks.effect(
      "of several tenants share the lanes and nothing else",
      () =>
        run(store, 3, [], (ledger, next) =>
          Effect.gen(function*() {
            const tenants = ["acme", "umbrella", "initech"]
            for (const tenant of tenants) {
              yield* ledger.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.tokens(300) })
            }
            yield* Effect.forEach(
              Array.from({ length: 300 }, (_, i) => ({ i, tenant: tenants[next(3)]!, amount: 1 + next(9) })),
              ({ amount, i, tenant }) => Effect.result(reserve(ledger.as({ tenant }), `${i}`, { agent: "a" }, amount)),
              { concurrency: "unbounded", discard: true }
            )
            for (const tenant of tenants) {
              const { entries, of } = yield* inspect(ledger, tenant)
              const held = entries.flatMap(({ changes, kind }) =>
                kind === "RESERVE" ? changes.map(({ after, before }) => after.reserved - (before?.reserved ?? 0n)) : []
              )
              assert.strictEqual(of.get(`tenant:${tenant}`)?.reserved?.amount, held.reduce((a, b) => a + b, 0n))
              // So little is left that the smallest who was refused could not have been taken.
              assert.isAtMost(Number(of.get(`tenant:${tenant}`)?.remaining.amount), 8)
            }
          }))
    )
  })
}
