import { NoLeaks, ScriptedAuthority } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Ledger, Settlement } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

const action = Action.make("message.email", "newsletter")
const requests = {
  tokens: { action, estimate: Amount.tokens(60) },
  risk: { action, estimate: Amount.riskPoints(5) }
}

const layer = Budget.layer().pipe(
  Layer.provideMerge(ScriptedAuthority.layer()),
  Layer.provideMerge(Ledger.layerMemory({
    tenant: "acme",
    budgets: [
      { scope: "tenant:acme", allocated: Amount.tokens(100) },
      { scope: "tenant:acme", allocated: Amount.riskPoints(10) }
    ]
  }))
)

const figures = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  const of = (unit: Amount.Unit) => balances.find(({ remaining }) => remaining.unit === unit)
  return [of("TOKENS"), of("RISK_POINTS")].map((balance) => [balance?.spent?.amount, balance?.reserved?.amount])
})

describe("Budget.guardAll", () => {
  NoLeaks.effect("reserves all and settles each, in every form of the body", () =>
    Effect.gen(function*() {
      const one = yield* Budget.guardAll(requests, ({ risk, tokens }) =>
        Effect.map(figures, (held) =>
          Settlement.all({ tokens: tokens.commit(Amount.tokens(40)), risk: risk.commit(Amount.riskPoints(2)) }, held)))
      assert.deepStrictEqual(one, [[0n, 60n], [0n, 5n]])
      assert.deepStrictEqual(yield* figures, [[40n, 0n], [2n, 0n]])
      const two = yield* Budget.guardAll(requests, function*({ risk, tokens }) {
        yield* Effect.void
        return Settlement.all({ tokens: tokens.release(), risk: risk.commit(Amount.riskPoints(1)) }, "sent")
      })
      assert.strictEqual(two, "sent")
      assert.deepStrictEqual(yield* figures, [[40n, 0n], [3n, 0n]])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect(
    "is all or nothing, whatever the others' policy for what is not settled",
    () =>
      Effect.gen(function*() {
        let ran = false
        const denied = yield* Effect.flip(Budget.guardAll(
          {
            risk: { ...requests.risk, onUnsettled: "commitEstimate" },
            tokens: { action, estimate: Amount.tokens(101), onUnsettled: "commitEstimate" }
          },
          ({ risk, tokens }) => {
            ran = true
            return Effect.succeed(Settlement.all({ risk: risk.release(), tokens: tokens.release() }))
          }
        ))
        assert.instanceOf(denied, CyclesError.BudgetExceeded)
        assert.isFalse(ran)
        assert.deepStrictEqual(yield* figures, [[0n, 0n], [0n, 0n]])
      }).pipe(Effect.provide(layer))
  )

  NoLeaks.effect("takes the holds in the order of their names", () =>
    Effect.gen(function*() {
      const authority = yield* ScriptedAuthority.ScriptedAuthority
      for (const order of [requests, { risk: requests.risk, tokens: requests.tokens }]) {
        yield* Budget.guardAll(
          order,
          ({ risk, tokens }) => Effect.succeed(Settlement.all({ risk: risk.release(), tokens: tokens.release() }))
        )
      }
      const units = (yield* authority.callsOf("reserve")).map(({ request }) => request.estimate.unit)
      assert.deepStrictEqual(units, ["RISK_POINTS", "TOKENS", "RISK_POINTS", "TOKENS"])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("fails with the error of a commitFail, after all were settled", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Budget.guardAll(requests, ({ risk, tokens }) =>
        Effect.succeed(Settlement.all({
          tokens: tokens.commitFail(Amount.tokens(10), "bounced" as const),
          risk: risk.commit(Amount.riskPoints(1))
        }))))
      assert.deepStrictEqual(exit, Exit.fail("bounced" as const))
      assert.deepStrictEqual(yield* figures, [[10n, 0n], [1n, 0n]])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect(
    "gives each what its own policy says when the body fails or is interrupted",
    () =>
      Effect.gen(function*() {
        const mixed = { ...requests, risk: { ...requests.risk, onUnsettled: "commitEstimate" as const } }
        const failed = yield* Effect.exit(Budget.guardAll(mixed, () => Effect.fail("boom" as const)))
        assert.deepStrictEqual(failed, Exit.fail("boom" as const))
        assert.deepStrictEqual(yield* figures, [[0n, 0n], [5n, 0n]])
        const fiber = yield* Effect.forkChild(Budget.guardAll(requests, () => Effect.never))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* figures, [[0n, 60n], [5n, 5n]])
        yield* Fiber.interrupt(fiber)
        yield* Effect.yieldNow
        assert.deepStrictEqual(yield* figures, [[0n, 0n], [5n, 0n]])
      }).pipe(Effect.provide(layer))
  )

  NoLeaks.effect(
    "carries out what the body has said even where it is interrupted while it settles",
    () =>
      Effect.gen(function*() {
        const authority = yield* ScriptedAuthority.ScriptedAuthority
        yield* authority.on("commit", ScriptedAuthority.delayReply("5 seconds"))
        const fiber = yield* Effect.forkChild(Budget.guardAll(requests, ({ risk, tokens }) =>
          Effect.succeed(
            Settlement.all({ tokens: tokens.commit(Amount.tokens(7)), risk: risk.commit(Amount.riskPoints(1)) }, "sent")
          )))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(yield* figures, [[7n, 0n], [1n, 0n]])
      }).pipe(Effect.provide(layer))
  )
})
