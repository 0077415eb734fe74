import { NoLeaks, ScriptedAuthority } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import {
  Action,
  Amount,
  Budget,
  BudgetAuthority,
  CyclesError,
  Ledger,
  Reservation,
  Settlement,
  Usage
} from "effect-cycles"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

const action = Action.make("llm.completion", "gpt-4o")
const request = { action, estimate: Amount.tokens(60) }

const ledger = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }]
})
const layer = (options?: Budget.Options) => Budget.layer(options).pipe(Layer.provideMerge(ledger))

const figures = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  const balance = balances[0]!
  return [balance.spent?.amount, balance.reserved?.amount]
})

const committedRows = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  return (yield* authority.reservations({ status: "COMMITTED", include: ["committed_metadata"] })).reservations
})
const committed = Effect.map(committedRows, (rows) => rows[0])

/** An authority that nobody can reach. */
const unreachable = Layer.succeed(
  BudgetAuthority.BudgetAuthority,
  BudgetAuthority.BudgetAuthority.of({
    decide: () => Effect.fail(new CyclesError.AuthorityUnavailable({})),
    reserve: () => Effect.fail(new CyclesError.AuthorityUnavailable({})),
    commit: () => Effect.fail(new CyclesError.AuthorityUnavailable({})),
    release: () => Effect.fail(new CyclesError.AuthorityUnavailable({})),
    extend: () => Effect.fail(new CyclesError.AuthorityUnavailable({})),
    event: () => Effect.fail(new CyclesError.AuthorityUnavailable({})),
    balances: () => Effect.fail(new CyclesError.AuthorityUnavailable({})),
    reservation: () => Effect.fail(new CyclesError.AuthorityUnavailable({})),
    reservations: () => Effect.fail(new CyclesError.AuthorityUnavailable({}))
  })
)

describe("Budget.charge", () => {
  NoLeaks.effect("charges what the exit says, for success, failure and interruption", () =>
    Effect.gen(function*() {
      const cost = (exit: Exit.Exit<number, unknown>) => Amount.tokens(Exit.isSuccess(exit) ? exit.value : 3)
      assert.strictEqual(yield* Budget.charge(Effect.succeed(10), request, cost), 10)
      assert.deepStrictEqual(yield* figures, [10n, 0n])
      const failed = yield* Effect.exit(Effect.fail("boom" as const).pipe(Budget.charge(request, cost)))
      assert.deepStrictEqual(failed, Exit.fail("boom" as const))
      assert.deepStrictEqual(yield* figures, [13n, 0n])
      const fiber = yield* Effect.forkChild(Budget.charge(Effect.never, request, cost))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* figures, [16n, 0n])
    }).pipe(Effect.provide(layer())))

  NoLeaks.effect("gives the hold back where nothing was used", () =>
    Effect.gen(function*() {
      yield* Budget.charge(Effect.void, request, () => Amount.tokens(0))
      assert.deepStrictEqual(yield* figures, [0n, 0n])
      assert.isUndefined(yield* committed)
    }).pipe(Effect.provide(layer())))
})

describe("Budget.guardStream", () => {
  const words = (stream: Stream.Stream<string, string>, cutWhen?: (n: number) => boolean) =>
    Budget.guardStream(request, {
      stream: () => stream,
      meter: { initial: 0, step: (n) => n + 1 },
      settle: (r, n) => n === 0 ? r.release() : r.commit(Amount.tokens(n)),
      cutWhen
    })
  const four = Stream.make("a", "b", "c", "d").pipe(Stream.rechunk(1))

  NoLeaks.effect(
    "settles what was seen on success, failure, an early stop, a cut and an interruption",
    () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* Stream.runCollect(words(four)), ["a", "b", "c", "d"])
        assert.deepStrictEqual(yield* figures, [4n, 0n])
        const failing = words(four.pipe(Stream.take(2), Stream.concat(Stream.fail("lost"))))
        assert.deepStrictEqual(yield* Effect.exit(Stream.runDrain(failing)), Exit.fail("lost"))
        assert.deepStrictEqual(yield* figures, [6n, 0n])
        yield* words(four).pipe(Stream.take(1), Stream.runDrain)
        assert.deepStrictEqual(yield* figures, [7n, 0n])
        assert.deepStrictEqual(yield* Stream.runCollect(words(four, (n) => n === 3)), ["a", "b", "c"])
        assert.deepStrictEqual(yield* figures, [10n, 0n])
        const fiber = yield* Effect.forkChild(Stream.runDrain(words(four.pipe(Stream.concat(Stream.never)))))
        for (let i = 0; i < 10; i++) yield* TestClock.adjust("100 millis")
        assert.deepStrictEqual(yield* figures, [10n, 60n])
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* figures, [14n, 0n])
      }).pipe(Effect.provide(layer()))
  )

  NoLeaks.effect("is denied before the stream begins", () =>
    Effect.gen(function*() {
      const denied = yield* Budget.guardStream({ action, estimate: Amount.tokens(101) }, {
        stream: () => four,
        meter: { initial: 0, step: (n) => n + 1 },
        settle: (r, n) => r.commit(Amount.tokens(n))
      }).pipe(Stream.runDrain, Effect.flip)
      assert.strictEqual(denied._tag, "BudgetExceeded")
    }).pipe(Effect.provide(layer())))
})

describe("what an unsettled exit costs", () => {
  NoLeaks.effect("is nothing by default, the estimate, or what a function says", () =>
    Effect.gen(function*() {
      const fail = () => Effect.fail("boom" as const)
      yield* Effect.exit(Budget.guard(request, fail))
      assert.deepStrictEqual(yield* figures, [0n, 0n])
      yield* Effect.exit(Budget.guard({ ...request, onUnsettled: () => Amount.tokens(7) }, fail))
      assert.deepStrictEqual(yield* figures, [7n, 0n])
      yield* Effect.exit(Budget.guard({ ...request, onUnsettled: "commitEstimate" }, fail))
      assert.deepStrictEqual(yield* figures, [67n, 0n])
      const row = (yield* committedRows).find(({ committed }) => committed?.amount === 60n)
      assert.deepStrictEqual(row?.committedMetadata, { estimated: true, unsettled: "failed" })
    }).pipe(Effect.provide(layer())))

  NoLeaks.effect("marks an estimate that stands for the actual", () =>
    Effect.gen(function*() {
      yield* Budget.guard(request, (r) => Effect.succeed(r.commitEstimate("x")))
      assert.deepStrictEqual((yield* committed)?.committedMetadata, { estimated: true })
    }).pipe(Effect.provide(layer())))
})

describe("outcomes", () => {
  NoLeaks.effect("are told beside the value, and fail only where that is asked for", () =>
    Effect.gen(function*() {
      const over = Budget.guardOutcome(
        { ...request, overagePolicy: "REJECT" },
        (r) => Effect.succeed(r.commit(Amount.tokens(61), "kept"))
      )
      const settled = yield* over
      assert.strictEqual(settled.value, "kept")
      assert.strictEqual(settled.outcome._tag, "Rejected")
      // What was allowed is charged: money that was spent is not given back.
      assert.deepStrictEqual(yield* figures, [60n, 0n])
      assert.deepStrictEqual((yield* committed)?.committedMetadata, { refused_actual: "61" })
      const failed = yield* Effect.flip(Settlement.valueOrFail(settled))
      assert.strictEqual(failed._tag, "SettlementFailed")
      assert.strictEqual(failed.value, "kept")
    }).pipe(Effect.provide(layer())))

  NoLeaks.effect("report latency without being told, and usage as it was added up", () =>
    Effect.gen(function*() {
      const usage = Usage.make()
      Usage.add(usage, { tokensInput: 5 })
      Usage.add(usage, { tokensOutput: 7, modelVersion: "m1" })
      const fiber = yield* Effect.forkChild(Budget.guard(request, (r) =>
        Effect.as(
          Effect.sleep("1500 millis"),
          r.commit(Usage.tokens(usage), undefined, { metrics: Usage.metrics(usage) })
        )))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      const entries = yield* Effect.flatMap(Ledger.Ledger, (ledger) => ledger.entries("acme"))
      assert.deepStrictEqual(entries.find(({ kind }) => kind === "COMMIT")?.metrics, {
        tokensInput: 5,
        tokensOutput: 7,
        modelVersion: "m1",
        latencyMs: 1500
      })
      assert.throws(() => Usage.add(usage, { tokensInput: -1 }), RangeError)
    }).pipe(Effect.provide(layer())))
})

describe("modes", () => {
  const denied = Budget.guard(
    { action, estimate: Amount.tokens(101) },
    (r) => Effect.succeed(r.commit(Amount.tokens(1), r.held))
  )

  NoLeaks.effect(
    "shadow runs what would have been denied and holds nothing; off does not ask",
    () =>
      Effect.gen(function*() {
        assert.isFalse(yield* denied.pipe(Effect.provide(Budget.layer({ mode: "shadow" }))))
        assert.isFalse(yield* denied.pipe(Effect.provide(Budget.layer({ mode: "off" }))))
        assert.deepStrictEqual(yield* figures, [0n, 0n])
        const entries = yield* Effect.flatMap(Ledger.Ledger, (ledger) => ledger.entries("acme"))
        assert.deepStrictEqual(entries.map(({ kind }) => kind), ["CREATE"])
      }).pipe(Effect.provide(ledger))
  )

  NoLeaks.effect("open covers an authority that cannot be reached, and nothing else", () =>
    Effect.gen(function*() {
      // The holds that may have been taken are looked for in the background; here nobody waits for that.
      const open = Budget.layer({ onUnavailable: "open", shutdownTimeout: 0 })
      assert.isFalse(yield* Effect.provide(denied, Layer.provide(open, unreachable)))
      const shut = Layer.provide(Budget.layer({ shutdownTimeout: 0 }), unreachable)
      const closed = yield* denied.pipe(Effect.provide(shut), Effect.flip)
      assert.strictEqual(closed._tag, "AuthorityUnavailable")
      const refused = yield* denied.pipe(Effect.provide(Layer.provide(open, ledger)), Effect.flip)
      assert.strictEqual(refused._tag, "BudgetExceeded")
    }))

  NoLeaks.effect(
    "roll out by environment variables alone, kind of action by kind of action",
    () =>
      Effect.gen(function*() {
        const week = (variables: Record<string, string>) => {
          const configured = Budget.layerConfig().pipe(
            Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(variables))),
            Layer.provideMerge(ledger)
          )
          const of = (kind: string) =>
            Budget.guard(
              { action: Action.make(kind, "x"), estimate: Amount.tokens(101) },
              (r) => Effect.succeed(r.release(r.held))
            )
          return Effect.all({ llm: Effect.result(of("llm.completion")), mail: Effect.result(of("message.email")) })
            .pipe(
              Effect.map(({ llm, mail }) => [llm._tag, mail._tag]),
              Effect.provide(configured)
            )
        }
        assert.deepStrictEqual(yield* week({ CYCLES_MODE: "shadow" }), ["Success", "Success"])
        assert.deepStrictEqual(
          yield* week({ CYCLES_MODE: "shadow", CYCLES_RULES: "{\"message.*\":{\"mode\":\"enforce\"}}" }),
          ["Success", "Failure"]
        )
        assert.deepStrictEqual(yield* week({}), ["Failure", "Failure"])
        const malformed = yield* Effect.flip(week({ CYCLES_MODE: "sometimes" }))
        assert.instanceOf(malformed, Config.ConfigError)
        assert.include(String(malformed), "CYCLES_MODE")
      })
  )
})

describe("Budget.current", () => {
  NoLeaks.effect(
    "is the reservation of the guard around, in child fibers too, and nothing outside",
    () =>
      Effect.gen(function*() {
        assert.isTrue(Option.isNone(yield* Budget.current))
        const [own, child] = yield* Budget.guard(request, function*(r) {
          const fiber = yield* Effect.forkChild(Budget.current)
          const inner = yield* Fiber.join(fiber)
          return r.release([r.id, Option.getOrUndefined(inner)?.id])
        })
        assert.strictEqual(child, own)
      }).pipe(Effect.provide(layer()))
  )
})

describe("Reservation.handOver", () => {
  NoLeaks.effect("takes a reservation out of its scope, and adopt settles it elsewhere", () =>
    Effect.gen(function*() {
      const handover = yield* Effect.scoped(Effect.flatMap(Reservation.make(request), Reservation.handOver))
      assert.deepStrictEqual(yield* figures, [0n, 60n])
      const wire = yield* Schema.encodeEffect(Reservation.Handover)(handover)
      const received = yield* Schema.decodeEffect(Reservation.Handover)(wire)
      yield* Effect.scoped(Effect.gen(function*() {
        const r = yield* Reservation.adopt(received)
        yield* TestClock.adjust("5 minutes")
        yield* Reservation.commit(r, Amount.make(r.reserved.unit, 9))
      }))
      assert.deepStrictEqual(yield* figures, [9n, 0n])
      const late = yield* Effect.flip(Effect.scoped(Reservation.adopt(received)))
      assert.strictEqual(late._tag, "ReservationFinalized")
    }).pipe(Effect.provide(layer())))

  for (
    const [what, behaviour] of [
      ["whose reply is late", ScriptedAuthority.delayReply("1 second")],
      ["whose request is late", ScriptedAuthority.delayRequest("1 second")],
      ["whose reply is lost", ScriptedAuthority.loseReply("1 second")]
    ] as const
  ) {
    NoLeaks.effect(
      `leaves nothing behind where adopt is interrupted during an extension ${what}`,
      () =>
        Effect.gen(function*() {
          const handover = yield* Effect.scoped(Effect.flatMap(Reservation.make(request), Reservation.handOver))
          yield* (yield* ScriptedAuthority.ScriptedAuthority).on("extend", behaviour)
          const fiber = yield* Effect.forkChild(Effect.scoped(Reservation.adopt(handover)))
          yield* TestClock.adjust("100 millis")
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(yield* figures, [0n, 60n])
          yield* TestClock.adjust("5 seconds")
          assert.deepStrictEqual(yield* figures, [0n, 0n])
        }).pipe(Effect.provide(
          Budget.layer().pipe(
            Layer.provideMerge(ScriptedAuthority.layer()),
            Layer.provideMerge(ledger)
          )
        ))
    )
  }
})
