import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Governance, Ledger, LedgerStore, LedgerStoreMemory } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

const DAY_MS = 86_400_000
const action = Action.make("tool.call", "search")
const acme = "tenant:acme"
const bot = `${acme}/agent:bot`

/** A ledger on a store that gives way before it begins, so that what comes together waits for each other. */
const layer = (batchLimit: number) =>
  Governance.layer({ peppers: [Redacted.make("a pepper of thirty-two characters or more")] }).pipe(
    Layer.provideMerge(Ledger.layer({ sweepEveryMs: 1_000 * DAY_MS, batchLimit })),
    Layer.provideMerge(Layer.effect(
      LedgerStore.LedgerStore,
      Effect.map(LedgerStoreMemory.make, (store) => ({
        ...store,
        transact: (tenants, body) => Effect.andThen(Effect.yieldNow, store.transact(tenants, body))
      }))
    ))
  )

/** Numbers that look random and are the same every time. */
const random = (seed: number): (below: number) => number => {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(state / 2 ** 32 * below)
  }
}

/** What comes of a story of a tenant, told twelve commands at a time. */
const story = Effect.fnUntraced(function*(seed: number) {
  const pick = random(seed)
  const ledger = yield* Ledger.Ledger
  const governance = yield* Governance.Governance
  const operator = governance.asOperator({ actor: "ops" })
  yield* operator.createTenant("acme", { name: "Acme" })
  const { secret } = yield* operator.createApiKey("acme", { name: "a" })
  const principal = yield* governance.authenticate(secret)
  const authority = ledger.as({ ...principal, balances: true })
  const held: Array<ReservationId> = []
  const policies: Array<string> = []
  const told: Array<unknown> = []
  let keys = 0
  const day = { _tag: "calendar", every: "day", timeZone: "Europe/Berlin" } as const
  const limitsOf = (n: number): ReadonlyArray<Ledger.LimitOptions> =>
    [
      [],
      [{ id: "a", window: day, amount: Amount.tokens(60), rollover: Amount.tokens(30) }],
      [{ id: "a", window: { _tag: "rolling", lengthMs: 3_600_000 } as const, amount: Amount.tokens(40) }],
      [
        { id: "a", window: day, amount: Amount.tokens(90) },
        { id: "b", window: { _tag: "calendar", every: "month", timeZone: "UTC" } as const, amount: Amount.tokens(200) }
      ]
    ][n]!
  const one = (): Effect.Effect<unknown, { readonly _tag: string }> => {
    const idempotencyKey = IdempotencyKey.make(`key-${pick(10) === 0 ? pick(keys + 1) : keys++}`)
    const amount = Amount.tokens(1 + pick(20))
    const subject = { agent: pick(2) === 0 ? "bot" : "other" }
    const scope = pick(2) === 0 ? acme : bot
    const id = held[pick(held.length + 1)] ?? ReservationId.make("none")
    const policy = policies[pick(policies.length + 1)] ?? "none"
    const which = pick(40)
    if (which < 12) {
      return Effect.tap(
        authority.reserve({ idempotencyKey, subject, action, estimate: amount, ttlMs: 60_000 }),
        (reply) =>
          Effect.sync(() => {
            if (reply.reservationId !== undefined) held.push(reply.reservationId)
          })
      )
    }
    if (which < 18) return authority.commit(id, { idempotencyKey, actual: amount })
    if (which < 20) return authority.release(id, { idempotencyKey })
    if (which < 21) return authority.extend(id, { idempotencyKey, extendByMs: 60_000 })
    if (which < 23) return authority.event({ idempotencyKey, subject, action, actual: amount, overagePolicy: "REJECT" })
    if (which < 24) return authority.decide({ idempotencyKey, subject, action, estimate: amount })
    if (which < 27) {
      return operator.createBudget("acme", { scope, allocated: Amount.tokens(300), limits: limitsOf(pick(4)) })
    }
    if (which < 30) return operator.updateBudget("acme", { scope, unit: "TOKENS", limits: limitsOf(pick(4)) })
    if (which < 31) {
      return operator.fund("acme", { idempotencyKey, scope, operation: "RESET_SPENT", amount: Amount.tokens(300) })
    }
    if (which < 34) {
      const made = operator.createPolicy("acme", {
        name: `p${pick(4)}`,
        scopePattern: pick(2) === 0 ? "*" : `${acme}/agent:bot`,
        priority: pick(3) * 1_000 + keys++,
        ...[{ maxReservationsPerMinute: 3 }, { maxSteps: 2 }, { defaultTtlMs: 5_000 }][pick(3)]
      })
      return Effect.tap(made, ({ id }) => Effect.sync(() => policies.push(id)))
    }
    if (which < 36) return operator.updatePolicy("acme", policy, { maxReservationsPerMinute: 1 + pick(3) })
    if (which < 37) return operator.deletePolicy("acme", policy)
    if (which < 38) return pick(2) === 0 ? operator.suspendTenant("acme") : operator.reactivateTenant("acme")
    if (which < 39) return pick(8) === 0 ? operator.closeTenant("acme") : operator.reactivateTenant("acme")
    return operator.freezeBudget("acme", { scope, unit: "TOKENS" })
  }
  for (let round = 0; round < 12; round++) {
    const outcomes = yield* Effect.forEach(
      Array.from({ length: 12 }, one),
      (command) => Effect.match(command, { onFailure: ({ _tag }) => _tag, onSuccess: () => "ok" }),
      { concurrency: "unbounded" }
    )
    told.push(outcomes)
    assert.notInclude(outcomes, "InternalError")
    yield* TestClock.adjust([0, 1_000, 70_000, DAY_MS][pick(4)]!)
  }
  assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
  for (const scope of [acme, bot]) {
    told.push(
      yield* Effect.match(ledger.limits("acme", scope, "TOKENS"), { onFailure: String, onSuccess: (all) => all })
    )
  }
  const entries = yield* ledger.entries("acme")
  told.push(entries.map(({ changes, kind, number, reason }) => [
    kind,
    number,
    // Holds taken in the same millisecond end in the order of their ids, which are random.
    kind === "EXPIRE" || reason === "tenant_closed" ?
      [] :
      changes.map(({ after: { allocated, debt, lastEntry, reserved, scope, spent, status } }) => [
        scope,
        allocated,
        spent,
        reserved,
        debt,
        status,
        lastEntry
      ])
  ]))
  told.push((yield* Stream.runCollect(ledger.events("acme"))).map(({ number, type }) => [number, type]))
  told.push((yield* operator.acts("acme")).map(({ errorCode, number, operation }) => [number, operation, errorCode]))
  return told
})

describe("commands that share a transaction", () => {
  it.effect("are decided as if each had one of its own", () =>
    Effect.forEach(Array.from({ length: 60 }, (_, i) => i + 1), (seed) =>
      Effect.gen(function*() {
        yield* TestClock.setTime(1_000_000_000_000)
        const apart = yield* Effect.provide(story(seed), layer(1))
        yield* TestClock.setTime(1_000_000_000_000)
        const together = yield* Effect.provide(story(seed), layer(256))
        for (let i = 0; i < apart.length; i++) assert.deepStrictEqual(together[i], apart[i], `seed ${seed}, part ${i}`)
      }), { discard: true }))
})
