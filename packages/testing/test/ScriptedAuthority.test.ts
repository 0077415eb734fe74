import { NoLeaks, ScriptedAuthority } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, BudgetAuthority, CyclesError, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import type { ReserveRequest } from "effect-cycles/protocol/Reserve"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"

const layerWith = (scripts?: ScriptedAuthority.Scripts) =>
  ScriptedAuthority.layer(scripts).pipe(
    Layer.provideMerge(
      Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }] })
    )
  )

const reserve = (key: string): ReserveRequest => ({
  idempotencyKey: IdempotencyKey.make(key),
  subject: { tenant: "acme" },
  action: Action.make("llm.completion", "gpt-4o"),
  estimate: Amount.tokens(10)
})

const reserved = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  return balances[0]?.reserved?.amount
})

const outcomeOf = (call: { readonly outcome: Exit.Exit<unknown, unknown> | undefined } | undefined): string => {
  const exit = call?.outcome
  if (exit === undefined) return "none"
  if (Exit.isSuccess(exit)) return "success"
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" && typeof error.value === "object" && error.value !== null && "_tag" in error.value
    ? String(error.value._tag)
    : "interrupt"
}

describe("ScriptedAuthority", () => {
  NoLeaks.effect("passes everything through and records it where nothing is scripted", () =>
    Effect.gen(function*() {
      const authority = yield* BudgetAuthority.BudgetAuthority
      const script = yield* ScriptedAuthority.ScriptedAuthority
      const a = yield* authority.reserve(reserve("a"))
      const b = yield* authority.reserve(reserve("b"))
      const commit = { idempotencyKey: IdempotencyKey.make("c"), actual: Amount.tokens(1) }
      yield* authority.commit(a.reservationId!, commit)
      yield* authority.extend(b.reservationId!, { idempotencyKey: IdempotencyKey.make("e"), extendByMs: 5 })
      yield* authority.release(b.reservationId!, { idempotencyKey: IdempotencyKey.make("r") })
      yield* authority.decide({ ...reserve("d") })
      const { estimate: actual, ...rest } = reserve("ev")
      yield* authority.event({ ...rest, actual })
      yield* authority.balances({ tenant: "acme" })
      yield* authority.reservation(a.reservationId!)
      yield* authority.reservations({})
      const calls = yield* script.calls
      assert.deepStrictEqual(
        calls.map(({ operation }) => operation),
        [
          "reserve",
          "reserve",
          "commit",
          "extend",
          "release",
          "decide",
          "event",
          "balances",
          "reservation",
          "reservations"
        ]
      )
      assert.isTrue(calls.every((call) => outcomeOf(call) === "success" && call.effect === call.outcome))
      assert.deepStrictEqual((yield* script.callsOf("commit"))[0], {
        operation: "commit",
        id: a.reservationId,
        request: commit,
        sentAtMs: 0,
        arrivedAtMs: 0,
        effect: calls[2]?.effect as never,
        answeredAtMs: 0,
        outcome: calls[2]?.outcome as never
      })
    }).pipe(Effect.provide(layerWith())))

  NoLeaks.effect("delays a request before it arrives", () =>
    Effect.gen(function*() {
      const authority = yield* BudgetAuthority.BudgetAuthority
      const script = yield* ScriptedAuthority.ScriptedAuthority
      const fiber = yield* Effect.forkChild(authority.reserve(reserve("a")))
      yield* TestClock.adjust(999)
      assert.strictEqual(yield* reserved, 0n)
      yield* TestClock.adjust(1)
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* reserved, 10n)
      const [call] = yield* script.callsOf("reserve")
      assert.deepStrictEqual([call?.sentAtMs, call?.arrivedAtMs, call?.answeredAtMs], [0, 1_000, 1_000])
    }).pipe(Effect.provide(layerWith({ reserve: [ScriptedAuthority.delayRequest("1 second")] }))))

  NoLeaks.effect("delays a reply, a refusal too, after the request took effect", () =>
    Effect.gen(function*() {
      const authority = yield* BudgetAuthority.BudgetAuthority
      const script = yield* ScriptedAuthority.ScriptedAuthority
      const fiber = yield* Effect.forkChild(authority.reserve(reserve("a")))
      yield* TestClock.adjust(999)
      assert.strictEqual(yield* reserved, 10n)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(fiber)
      yield* script.on("reserve", ScriptedAuthority.delayReply("1 second"))
      const refused = yield* Effect.forkChild(
        Effect.flip(authority.reserve({ ...reserve("b"), estimate: Amount.tokens(91) }))
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(refused))._tag, "BudgetExceeded")
      const calls = yield* script.callsOf("reserve")
      assert.deepStrictEqual(calls.map((call) => [call.sentAtMs, call.arrivedAtMs, call.answeredAtMs]), [
        [0, 0, 1_000],
        [1_000, 1_000, 2_000]
      ])
    }).pipe(Effect.provide(layerWith({ reserve: [ScriptedAuthority.delayReply("1 second")] }))))

  NoLeaks.effect(
    "loses a request and loses a reply: both look alike to the caller, and differ in effect",
    () =>
      Effect.gen(function*() {
        const authority = yield* BudgetAuthority.BudgetAuthority
        const script = yield* ScriptedAuthority.ScriptedAuthority
        yield* script.on("reserve", ScriptedAuthority.loseRequest("1 second"), ScriptedAuthority.loseReply("1 second"))
        for (const held of [0n, 10n]) {
          const fiber = yield* Effect.forkChild(Effect.flip(authority.reserve(reserve("a"))))
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* Fiber.join(fiber))._tag, "AuthorityUnavailable")
          assert.strictEqual(yield* reserved, held)
        }
        const calls = yield* script.callsOf("reserve")
        assert.deepStrictEqual(calls.map((call) => [call.arrivedAtMs, call.effect?._tag, outcomeOf(call)]), [
          [undefined, undefined, "AuthorityUnavailable"],
          [1_000, "Success", "AuthorityUnavailable"]
        ])
        // The script has ended: the repetition finds the first reply.
        yield* authority.reserve(reserve("a"))
        assert.strictEqual(yield* reserved, 10n)
      }).pipe(Effect.provide(layerWith()))
  )

  NoLeaks.effect("never answers where no time is given, and its layer's end cleans up", () =>
    Effect.gen(function*() {
      const authority = yield* BudgetAuthority.BudgetAuthority
      const script = yield* ScriptedAuthority.ScriptedAuthority
      yield* script.on("reserve", ScriptedAuthority.loseReply(), ScriptedAuthority.loseRequest())
      const fiber = yield* Effect.forkDetach(authority.reserve(reserve("a")))
      const other = yield* Effect.forkDetach(authority.reserve(reserve("b")))
      yield* TestClock.adjust("50 seconds")
      assert.strictEqual(yield* reserved, 10n)
      assert.deepStrictEqual((yield* script.callsOf("reserve")).map(outcomeOf), ["none", "none"])
      yield* Fiber.interruptAll([fiber, other])
      assert.deepStrictEqual((yield* script.callsOf("reserve")).map(outcomeOf), ["interrupt", "interrupt"])
    }).pipe(Effect.provide(layerWith())))

  NoLeaks.effect("delivers what was sent, even where its caller was interrupted", () =>
    Effect.gen(function*() {
      const authority = yield* BudgetAuthority.BudgetAuthority
      const script = yield* ScriptedAuthority.ScriptedAuthority
      const fiber = yield* Effect.forkChild(authority.reserve(reserve("a")))
      yield* TestClock.adjust(500)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* reserved, 0n)
      yield* TestClock.adjust(500)
      assert.strictEqual(yield* reserved, 10n)
      const [call] = yield* script.callsOf("reserve")
      assert.deepStrictEqual([call?.arrivedAtMs, call?.answeredAtMs, outcomeOf(call)], [1_000, 500, "interrupt"])
    }).pipe(Effect.provide(layerWith({
      reserve: [ScriptedAuthority.delayRequest("1 second", ScriptedAuthority.delayReply("1 second"))]
    }))))

  NoLeaks.effect(
    "denies on cue, fails so many times, throttles, makes replies up and changes them, each in its turn",
    () =>
      Effect.gen(function*() {
        const authority = yield* BudgetAuthority.BudgetAuthority
        const script = yield* ScriptedAuthority.ScriptedAuthority
        yield* script.on(
          "reserve",
          ScriptedAuthority.fail(new CyclesError.BudgetFrozen({ scope: "tenant:acme" })),
          ScriptedAuthority.times(2, ScriptedAuthority.fail(new CyclesError.InternalError({}))),
          ScriptedAuthority.rateLimit(250),
          ScriptedAuthority.rateLimit(),
          ScriptedAuthority.reply({ decision: "DENY", reasonCode: "BUDGET_CLOSED", affectedScopes: [] }),
          ScriptedAuthority.pass(),
          ScriptedAuthority.alter((reply) => ({ ...reply, remainingTtlMs: 7 }))
        )
        const attempt = Effect.match(authority.reserve(reserve("a")), {
          onFailure: (error): string => `${error._tag} ${error.retryAfterMs}`,
          onSuccess: (reply): string => `${reply.decision} ${reply.remainingTtlMs}`
        })
        const seen: Array<string> = []
        for (let i = 0; i < 9; i++) seen.push(yield* attempt)
        assert.deepStrictEqual(seen, [
          "BudgetFrozen undefined",
          "InternalError undefined",
          "InternalError undefined",
          "RateLimited 250",
          "RateLimited undefined",
          "DENY undefined",
          "ALLOW 60000",
          "ALLOW 7",
          "ALLOW 60000"
        ])
        const arrived = (yield* script.callsOf("reserve")).map(({ arrivedAtMs }) => arrivedAtMs !== undefined)
        assert.deepStrictEqual(arrived, [false, false, false, false, false, false, true, true, true])
        assert.strictEqual(yield* reserved, 10n)
      }).pipe(Effect.provide(layerWith()))
  )

  NoLeaks.effect("goes on for ever where told to, until its script is cleared", () =>
    Effect.gen(function*() {
      const authority = yield* BudgetAuthority.BudgetAuthority
      const script = yield* ScriptedAuthority.ScriptedAuthority
      yield* script.on("reserve", ScriptedAuthority.always(ScriptedAuthority.fail(new CyclesError.TenantClosed({}))))
      for (let i = 0; i < 20; i++) {
        assert.strictEqual((yield* Effect.flip(authority.reserve(reserve("a"))))._tag, "TenantClosed")
      }
      // Other operations have scripts of their own.
      assert.strictEqual(yield* reserved, 0n)
      yield* script.clear("reserve")
      yield* authority.reserve(reserve("a"))
      assert.strictEqual(yield* reserved, 10n)
    }).pipe(Effect.provide(layerWith())))
})
