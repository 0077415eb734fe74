import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Ledger, LedgerStore, LedgerStoreMemory } from "effect-cycles"
import * as Lanes from "effect-cycles/ledger/Lanes"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import type { ReserveRequest } from "effect-cycles/protocol/Reserve"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"

/** Lanes whose every batch takes 100 ms, with a record of the batches and of how many ran at once in each lane. */
const slow = Effect.fnUntraced(function*(options: {
  readonly lanes?: number
  readonly capacity?: number
  readonly batchLimit?: number
  readonly gathers?: boolean
}) {
  const scope = yield* Scope.make()
  const batches: Array<ReadonlyArray<string>> = []
  const most = new Map<string, number>()
  const running = new Map<string, number>()
  const lanes = yield* Lanes.make<string, string>({
    lanes: options.lanes ?? 1,
    capacity: options.capacity ?? 100,
    batchLimit: options.batchLimit ?? 100,
    gathers: options.gathers ?? false,
    run: (commands) =>
      Effect.suspend(() => {
        const lane = commands[0]?.[0] === "~" ? "1" : "0"
        const now = (running.get(lane) ?? 0) + 1
        running.set(lane, now)
        most.set(lane, Math.max(most.get(lane) ?? 0, now))
        batches.push(commands)
        return Effect.delay(
          Effect.suspend(() => {
            running.set(lane, (running.get(lane) ?? 0) - 1)
            return commands.some((command) => command === "bug")
              ? Effect.die(new Error("bug"))
              : Effect.succeed(commands.map((command) => `${command}!`))
          }),
          100
        )
      })
  }).pipe(Scope.provide(scope))
  /** Submits a command for the tenant that is its first letter, and lets it take its place. */
  const submit = Effect.fnUntraced(function*(command: string, lane = 0) {
    const fiber = yield* Effect.forkDetach(lanes.submit(lane, command[0] ?? "", command))
    yield* turns
    return fiber
  })
  return { batches, most, lanes, submit, close: Scope.close(scope, Exit.void) }
})

const turns = Effect.forEach(Array.from({ length: 5 }), () => Effect.yieldNow, { discard: true })

describe("Lanes", () => {
  NoLeaks.effect("let a command straight through where nothing else is there", () =>
    Effect.gen(function*() {
      const { batches, close, submit } = yield* slow({})
      for (const command of ["a1", "b1", "a2"]) {
        const fiber = yield* submit(command)
        yield* TestClock.adjust(100)
        assert.strictEqual(yield* Fiber.join(fiber), `${command}!`)
      }
      assert.deepStrictEqual(batches, [["a1"], ["b1"], ["a2"]])
      yield* close
    }))

  NoLeaks.effect("run what came meanwhile in one batch, and answer each with its own", () =>
    Effect.gen(function*() {
      const { batches, close, most, submit } = yield* slow({})
      const fibers = yield* Effect.forEach(["a1", "a2", "a3", "a4"], (command) => submit(command))
      yield* TestClock.adjust(200)
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), ["a1!", "a2!", "a3!", "a4!"])
      assert.deepStrictEqual(batches, [["a1"], ["a2", "a3", "a4"]])
      assert.strictEqual(most.get("0"), 1)
      yield* close
    }))

  NoLeaks.effect("say how much waits, and what their batches took so far", () =>
    Effect.gen(function*() {
      const { close, lanes, submit } = yield* slow({})
      assert.deepStrictEqual(lanes.load(), { waiting: 0, batches: 0, commands: 0 })
      const fibers = yield* Effect.forEach(["a1", "a2", "a3"], (command) => submit(command))
      assert.deepStrictEqual(lanes.load(), { waiting: 2, batches: 1, commands: 1 })
      yield* TestClock.adjust(200)
      yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(lanes.load(), { waiting: 0, batches: 2, commands: 3 })
      yield* close
    }))

  NoLeaks.effect(
    "that are gathered let one caller through, and the others of its turn share a batch, also where a batch takes no time",
    () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const sizes: Array<number> = []
        const lanes = yield* Lanes.make<number, number>({
          lanes: 1,
          capacity: 100,
          batchLimit: 100,
          gathers: true,
          run: (commands) =>
            Effect.sync(() => {
              sizes.push(commands.length)
              return commands
            })
        }).pipe(Scope.provide(scope))
        const callers = Array.from({ length: 20 }, (_, i) => i)
        const answers = yield* Effect.forEach(
          callers,
          (i) => Effect.andThen(lanes.submit(0, "a", i), lanes.submit(0, "a", 100 + i)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(answers, callers.map((i) => 100 + i))
        // The first has nobody to wait for with its second either.
        assert.deepStrictEqual(sizes, [1, 1, 19, 19])
        yield* turns
        yield* lanes.submit(0, "a", 0)
        assert.deepStrictEqual(sizes.slice(4), [1])
        yield* Scope.close(scope, Exit.void)
      })
  )

  const twice = (lanes: Lanes.Lanes<string, string>) =>
    Effect.forkDetach(Effect.andThen(lanes.submit(0, "a", "a1"), lanes.submit(0, "a", "a2")))

  NoLeaks.effect(
    "that are gathered run one batch at a time, also where who was let through comes again",
    () =>
      Effect.gen(function*() {
        const { batches, close, lanes, most, submit } = yield* slow({ gathers: true })
        const first = yield* twice(lanes)
        yield* turns
        yield* TestClock.adjust(150)
        const other = yield* submit("b1")
        yield* TestClock.adjust(300)
        assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(other)], ["a2!", "b1!"])
        assert.strictEqual(most.get("0"), 1)
        assert.deepStrictEqual(batches, [["a1"], ["a2"], ["b1"]])
        yield* close
      })
  )

  NoLeaks.effect("that are gathered let nobody through again past those that wait", () =>
    Effect.gen(function*() {
      const { batches, close, lanes, submit } = yield* slow({ gathers: true })
      const first = yield* twice(lanes)
      yield* turns
      const other = yield* submit("b1")
      yield* TestClock.adjust(300)
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(other)], ["a2!", "b1!"])
      assert.deepStrictEqual(batches, [["a1"], ["b1", "a2"]])
      yield* close
    }))

  NoLeaks.effect("take waiting tenants in turn, each in the order it came", () =>
    Effect.gen(function*() {
      const { batches, close, submit } = yield* slow({})
      yield* submit("x0")
      yield* Effect.forEach(["a1", "a2", "a3", "a4", "b1", "b2", "c1"], (command) => submit(command))
      yield* TestClock.adjust(200)
      assert.deepStrictEqual(batches[1], ["a1", "b1", "c1", "a2", "b2", "a3", "a4"])
      yield* close
    }))

  NoLeaks.effect(
    "do not let a busy tenant starve another: each batch begins with whoever waits longest for its turn",
    () =>
      Effect.gen(function*() {
        const { batches, close, submit } = yield* slow({ batchLimit: 2 })
        yield* submit("x0")
        yield* Effect.forEach(["a1", "a2", "a3", "a4", "a5", "b1", "c1", "c2"], (command) => submit(command))
        yield* TestClock.adjust(1_000)
        assert.deepStrictEqual(batches, [["x0"], ["a1", "b1"], ["c1", "a2"], ["c2", "a3"], ["a4", "a5"]])
        yield* close
      })
  )

  NoLeaks.effect(
    "refuse a command where the queue is full, and take it again when there is room",
    () =>
      Effect.gen(function*() {
        const { batches, close, submit } = yield* slow({ capacity: 2 })
        const fibers = yield* Effect.forEach(["a1", "a2", "a3"], (command) => submit(command))
        assert.deepStrictEqual(yield* Effect.flip(Fiber.join(yield* submit("a4"))), { _tag: "Full", waiting: 2 })
        yield* TestClock.adjust(100)
        fibers.push(yield* submit("a5"))
        yield* TestClock.adjust(200)
        assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), ["a1!", "a2!", "a3!", "a5!"])
        assert.deepStrictEqual(batches, [["a1"], ["a2", "a3"], ["a5"]])
        yield* close
      })
  )

  NoLeaks.effect(
    "forget a waiting command whose caller was interrupted, and its place in the queue",
    () =>
      Effect.gen(function*() {
        const { batches, close, submit } = yield* slow({ capacity: 2 })
        yield* submit("a1")
        const b1 = yield* submit("b1")
        const c1 = yield* submit("c1")
        yield* Fiber.interrupt(b1)
        const c2 = yield* submit("c2")
        yield* TestClock.adjust(200)
        assert.deepStrictEqual([yield* Fiber.join(c1), yield* Fiber.join(c2)], ["c1!", "c2!"])
        assert.deepStrictEqual(batches, [["a1"], ["c1", "c2"]])
        // Nothing is left over that would keep the lane from being idle.
        yield* Fiber.interrupt(yield* Effect.flatMap(submit("a2"), () => submit("a3")))
        yield* TestClock.adjust(100)
        yield* submit("a4")
        yield* TestClock.adjust(100)
        assert.deepStrictEqual(batches.slice(2), [["a2"], ["a4"]])
        yield* close
      })
  )

  NoLeaks.effect(
    "let the caller of a command that is being run go, and run it all the same",
    () =>
      Effect.gen(function*() {
        const { batches, close, submit } = yield* slow({})
        yield* submit("a1")
        const [a2, a3] = [yield* submit("a2"), yield* submit("a3")]
        yield* TestClock.adjust(150)
        a2.interruptUnsafe()
        yield* turns
        assert.isDefined(a2.pollUnsafe())
        yield* TestClock.adjust(50)
        assert.strictEqual(yield* Fiber.join(a3), "a3!")
        assert.deepStrictEqual(batches, [["a1"], ["a2", "a3"]])
        yield* close
      })
  )

  NoLeaks.effect("answer a batch that broke with what broke it, and go on", () =>
    Effect.gen(function*() {
      const { close, submit } = yield* slow({})
      const alone = yield* submit("bug")
      yield* TestClock.adjust(100)
      assert.isTrue(Exit.hasDies(yield* Fiber.await(alone)))
      yield* submit("a1")
      const together = [yield* submit("bug"), yield* submit("a2")]
      yield* TestClock.adjust(200)
      for (const fiber of together) assert.isTrue(Exit.hasDies(yield* Fiber.await(fiber)))
      const after = yield* submit("a3")
      yield* TestClock.adjust(100)
      assert.strictEqual(yield* Fiber.join(after), "a3!")
      yield* close
    }))

  NoLeaks.effect("run side by side, and each one batch at a time", () =>
    Effect.gen(function*() {
      const { close, most, submit } = yield* slow({ lanes: 2 })
      const fibers = yield* Effect.forEach(["a1", "~1", "a2", "~2", "a3"], (command) =>
        submit(command, command[0] === "~" ? 1 : 0))
      yield* TestClock.adjust(200)
      assert.isTrue(fibers.every((fiber) =>
        fiber.pollUnsafe() !== undefined
      ))
      assert.deepStrictEqual([most.get("0"), most.get("1")], [1, 1])
      yield* close
    }))

  describe("at the end of their scope", () => {
    const ending = Effect.fnUntraced(function*(before: ReadonlyArray<string>, advance: number) {
      const self = yield* slow({ batchLimit: 2 })
      const fibers = yield* Effect.forEach(before, (command) => self.submit(command))
      yield* TestClock.adjust(advance)
      const closing = yield* Effect.forkDetach(self.close)
      yield* turns
      return { ...self, fibers, closing }
    })

    NoLeaks.effect("refuse what comes", () =>
      Effect.gen(function*() {
        const { close, submit } = yield* slow({})
        yield* close
        const { _tag } = yield* Effect.flip(Fiber.join(yield* submit("a1")))
        assert.strictEqual(_tag, "Closed")
      }))

    NoLeaks.effect("wait for a command that is going straight through", () =>
      Effect.gen(function*() {
        const { closing, fibers } = yield* ending(["a1"], 50)
        assert.isUndefined(closing.pollUnsafe(), "the scope has ended, and what it owns with it, while a command runs")
        yield* TestClock.adjust(50)
        yield* turns
        assert.strictEqual(yield* Fiber.join(fibers[0]!), "a1!")
        assert.isDefined(closing.pollUnsafe())
      }))

    for (
      const [what, before, advance] of [
        ["while a command goes straight through", ["a1", "a2", "a3", "b1"], 50],
        ["while a batch runs", ["a1", "a2", "a3", "b1"], 150]
      ] as const
    ) {
      NoLeaks.effect(`${what}, answer everything that waits`, () =>
        Effect.gen(function*() {
          const { batches, closing, fibers, submit } = yield* ending(before, advance)
          assert.strictEqual((yield* Effect.flip(Fiber.join(yield* submit("a9"))))._tag, "Closed")
          assert.isUndefined(closing.pollUnsafe())
          yield* TestClock.adjust(1_000)
          assert.deepStrictEqual(
            yield* Effect.forEach(fibers, Fiber.join),
            before.map((command) => `${command}!`)
          )
          assert.deepStrictEqual(batches, [["a1"], ["a2", "b1"], ["a3"]])
          yield* Fiber.join(closing)
        }))

      NoLeaks.effect(`${what}, still run one batch at a time`, () =>
        Effect.gen(function*() {
          const { closing, most } = yield* ending(before, advance)
          yield* TestClock.adjust(1_000)
          assert.strictEqual(most.get("0"), 1)
          yield* Fiber.join(closing)
        }))
    }
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// as a ledger shows it
// ---------------------------------------------------------------------------------------------------------------------

/** A ledger on a store whose transactions wait for a gate to open. */
const gated = (options: Ledger.Options) =>
  Effect.gen(function*() {
    const gate = yield* Latch.make(true)
    const store = Layer.effect(
      LedgerStore.LedgerStore,
      Effect.map(LedgerStoreMemory.make, (inner) => ({
        ...inner,
        transact: (tenants, body) => Effect.andThen(gate.await, inner.transact(tenants, body))
      }))
    )
    const ledger = yield* Layer.build(Layer.provide(Ledger.layer({ sweepEveryMs: 3_600_000, ...options }), store))
    return { gate, ledger: yield* Effect.provideContext(Ledger.Ledger, ledger) }
  })

const reserving = (key: string, amount = 1): ReserveRequest => ({
  idempotencyKey: IdempotencyKey.make(key),
  subject: { agent: "bot" },
  action: Action.make("tool.call", "search"),
  estimate: Amount.tokens(amount)
})

describe("a ledger's queue", () => {
  NoLeaks.effect("that is full is an authority that is unavailable, which is transient", () =>
    Effect.gen(function*() {
      const { gate, ledger } = yield* gated({ queueCapacity: 2 })
      yield* ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(100) })
      const acme = ledger.as({ tenant: "acme" })
      yield* gate.close
      const fibers = yield* Effect.forEach(["1", "2", "3"], (key) =>
        Effect.tap(Effect.forkChild(acme.reserve(reserving(key))), () => turns))
      const refused = yield* Effect.flip(acme.reserve(reserving("4")))
      assert.strictEqual(refused._tag, "AuthorityUnavailable")
      assert.isTrue(refused.isTransient)
      assert.include(refused.message, "2 commands are waiting")
      yield* gate.open
      yield* Effect.forEach(fibers, Fiber.join)
      yield* acme.reserve(reserving("4"))
      const { balances } = yield* acme.balances({ tenant: "acme" })
      assert.strictEqual(balances[0]?.reserved?.amount, 4n)
    }).pipe(Effect.scoped))

  NoLeaks.effect(
    "loses a command whose caller was interrupted before its batch began, and no other",
    () =>
      Effect.gen(function*() {
        const { gate, ledger } = yield* gated({})
        yield* ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(100) })
        const acme = ledger.as({ tenant: "acme" })
        yield* gate.close
        const [first, second, third] = yield* Effect.forEach(
          [1, 10, 30],
          (amount) => Effect.tap(Effect.forkChild(acme.reserve(reserving(`${amount}`, amount))), () => turns)
        )
        yield* Fiber.interrupt(second!)
        yield* gate.open
        yield* Fiber.join(first!)
        yield* Fiber.join(third!)
        const { balances } = yield* acme.balances({ tenant: "acme" })
        assert.strictEqual(balances[0]?.reserved?.amount, 31n)
        assert.deepStrictEqual((yield* ledger.entries("acme")).map(({ kind }) => kind), [
          "CREATE",
          "RESERVE",
          "RESERVE"
        ])
        // Its key was never used.
        yield* acme.reserve(reserving("10", 11))
      }).pipe(Effect.scoped)
  )
})
