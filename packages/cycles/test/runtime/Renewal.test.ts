import { NoLeaks, ScriptedAuthority } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Breakdown, Budget, BudgetAuthority, Journal, Ledger, Reservation } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"

const workflow = Action.make("workflow.research", "report")
const completion = Action.make("llm.completion", "gpt-4o")

const ledgerOf = (tokens: number, options?: Ledger.Options) =>
  Ledger.layerMemory({
    ...options,
    tenant: "acme",
    budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(tokens) }]
  })
const layerOf = (tokens: number, options?: Ledger.Options) =>
  Budget.layer().pipe(Layer.provideMerge(ledgerOf(tokens, options)))

/** Spent, and reserved. */
const figures = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  return [balances[0]?.spent?.amount, balances[0]?.reserved?.amount]
})

/** What each chunk held, how it ended, and what its commit says it was for. The first one first. */
const chunks = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { reservations } = yield* authority.reservations({
    include: ["committed_metadata", "metadata"],
    sortBy: "created_at_ms",
    sortDir: "asc"
  })
  for (const { committed, committedMetadata } of reservations) {
    const rows = Breakdown.fromMetadata(committedMetadata)
    if (rows._tag === "Some") assert.strictEqual(Breakdown.total(rows.value), committed?.amount)
  }
  return reservations.map(({ committed, reserved, status }) =>
    status === "COMMITTED" ? [reserved.amount, committed?.amount] : [reserved.amount, status]
  )
})

const flawless = Effect.gen(function*() {
  assert.deepStrictEqual((yield* (yield* Ledger.Ledger).verify("acme")).flaws, [])
})

/** A guard that takes some seconds and uses what it reserves, or something else. */
const call = (tokens: number, seconds = 0, actual = tokens) =>
  Budget.guard(
    { action: completion, estimate: Amount.tokens(tokens) },
    (r) => Effect.as(Effect.sleep(seconds * 1_000), r.commit(Amount.tokens(actual), actual))
  )

const calls = (times: number, tokens: number, seconds: number) =>
  Effect.repeat(call(tokens, seconds), { times: times - 1 })

const allotted = (tokens: number) => ({ action: workflow, estimate: Amount.tokens(tokens) })

/** Runs an effect while the clock goes on, a second at a time. */
const through = Effect.fnUntraced(function*<A, E, R>(seconds: number, effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect)
  for (let i = 0; i < seconds; i++) yield* TestClock.adjust("1 second")
  return yield* Fiber.join(fiber)
})

const warnings = () => {
  const lines: Array<string> = []
  const layer = Logger.layer([
    Logger.make<unknown, void>(({ logLevel, message }) => {
      if (logLevel === "Warn" || logLevel === "Error") lines.push([message].flat().map(String).join(" "))
    })
  ])
  return { lines, layer }
}

describe("a long allotment", () => {
  NoLeaks.effect(
    "is settled every 30 seconds, and always holds what its estimate has left",
    () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Budget.allot(allotted(100), calls(7, 10, 10)))
        yield* TestClock.adjust("29 seconds")
        assert.deepStrictEqual(yield* figures, [0n, 100n])
        // What the third call is charged is so at the same moment, and may be of either chunk.
        yield* TestClock.adjust("2 seconds")
        const [spent, reserved] = yield* figures
        assert.include([20n, 30n], spent)
        assert.strictEqual(spent! + reserved!, 100n)
        yield* TestClock.adjust("30 seconds")
        const later = yield* figures
        assert.strictEqual(later[0]! + later[1]!, 100n)
        yield* TestClock.adjust("9 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(yield* figures, [70n, 0n])
        const all = yield* chunks
        assert.strictEqual(all.length, 3)
        assert.strictEqual(all.reduce((sum, [, charged]) => sum + (charged as bigint), 0n), 70n)
        assert.deepStrictEqual(all.map(([held]) => held), [100n, 100n - (all[0]![1] as bigint), later[1]])
        yield* flawless
      }).pipe(Effect.provide(layerOf(1_000)))
  )

  NoLeaks.effect("is settled as often as it asks for, and says what each chunk was for", () =>
    Effect.gen(function*() {
      const work = Effect.gen(function*() {
        yield* call(10)
        yield* Effect.sleep("5 seconds")
        yield* call(20).pipe(Budget.within({ agent: "writer" }))
        yield* Effect.sleep("1 second")
      })
      yield* through(6, Budget.allot({ ...allotted(100), settleEvery: "4 seconds" }, work))
      assert.deepStrictEqual(yield* chunks, [[100n, 10n], [90n, 20n]])
      const authority = yield* BudgetAuthority.BudgetAuthority
      const { reservations } = yield* authority.reservations({
        include: ["committed_metadata", "metadata"],
        sortBy: "created_at_ms",
        sortDir: "asc"
      })
      assert.deepStrictEqual(
        reservations.map(({ committedMetadata }) => committedMetadata?.["allotment"]),
        [
          [{ scope: "tenant:acme", action: { kind: "llm.completion", name: "gpt-4o" }, charged: 10 }],
          [{ scope: "tenant:acme/agent:writer", action: { kind: "llm.completion", name: "gpt-4o" }, charged: 20 }]
        ]
      )
      assert.deepStrictEqual(reservations[1]?.metadata, { renews: reservations[0]?.reservationId })
    }).pipe(Effect.provide(layerOf(1_000))))

  NoLeaks.effect(
    "keeps what its children hold across a renewal, and says the same is left",
    () =>
      Effect.gen(function*() {
        const work = Effect.gen(function*() {
          yield* call(10)
          const long = yield* Effect.forkChild(call(50, 60))
          const session = yield* Effect.forkChild(Effect.scoped(Effect.gen(function*() {
            const r = yield* Reservation.make({ action: completion, estimate: Amount.tokens(30) })
            yield* Effect.sleep("70 seconds")
            return yield* Reservation.commit(r, Amount.tokens(25))
          })))
          yield* Effect.sleep("45 seconds")
          assert.deepStrictEqual(yield* figures, [10n, 90n])
          assert.strictEqual(Option.getOrUndefined(yield* Budget.remaining)?.amount, 10n)
          assert.strictEqual((yield* Effect.flip(call(11)))._tag, "BudgetExceeded")
          yield* call(10)
          yield* Fiber.join(long)
          assert.strictEqual((yield* Fiber.join(session))._tag, "Committed")
        })
        yield* through(80, Budget.allot(allotted(100), work))
        assert.deepStrictEqual(yield* chunks, [[100n, 10n], [90n, 60n], [30n, 25n]])
        assert.deepStrictEqual(yield* figures, [95n, 0n])
        yield* flawless
      }).pipe(Effect.provide(layerOf(1_000)))
  )

  NoLeaks.effect("does not renew what cost nothing, until its extensions run out", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Budget.allot(allotted(100), Effect.andThen(Effect.sleep("30 minutes"), call(10)))
      )
      for (let minute = 0; minute < 5; minute++) yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* chunks, [[100n, "ACTIVE"]])
      for (let minute = 5; minute < 29; minute++) {
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* figures, [0n, 100n], `minute ${minute}`)
      }
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      const all = yield* chunks
      assert.deepStrictEqual(all.at(-1), [100n, 10n])
      assert.isAbove(all.length, 2)
      assert.isBelow(all.length, 6)
      assert.isTrue(all.slice(0, -1).every(([held, status]) => held === 100n && status === "RELEASED"))
      yield* flawless
    }).pipe(Effect.provide(layerOf(1_000))))

  NoLeaks.effect(
    "holds nothing more, but counts on, where overruns have used up more than the estimate",
    () =>
      Effect.gen(function*() {
        const work = Effect.gen(function*() {
          const held = yield* Effect.forkChild(call(60, 40))
          yield* call(40, 10, 130)
          yield* Effect.sleep("25 seconds")
          assert.deepStrictEqual(yield* figures, [130n, 0n])
          yield* Fiber.join(held)
        })
        yield* through(41, Budget.allot(allotted(100), work))
        assert.deepStrictEqual(yield* chunks, [[100n, 130n], [0n, 60n]])
        assert.deepStrictEqual(yield* figures, [190n, 0n])
        yield* flawless
      }).pipe(Effect.provide(layerOf(1_000)))
  )

  NoLeaks.effect("keeps the final reserve whole", () =>
    Effect.gen(function*() {
      const work = Effect.andThen(calls(8, 10, 10), call(1)).pipe(Budget.closing(() => call(20, 60)))
      yield* through(150, Budget.allot({ ...allotted(100), finalReserve: Amount.tokens(20) }, work))
      assert.deepStrictEqual(yield* figures, [100n, 0n])
    }).pipe(Effect.provide(layerOf(1_000))))

  NoLeaks.effect("refuses to be settled all the time", () =>
    Effect.gen(function*() {
      for (const settleEvery of [0, 99, "1 millis"] as const) {
        const flaw = yield* Effect.flip(Budget.allot({ ...allotted(100), settleEvery }, Effect.void))
        assert.strictEqual(flaw._tag, "InvalidRequest")
      }
      yield* through(100, Budget.allot({ ...allotted(100), settleEvery: "Infinity" }, calls(9, 10, 10)))
      assert.deepStrictEqual(yield* chunks, [[100n, 90n]])
    }).pipe(Effect.provide(layerOf(1_000))))
})

describe("where the next chunk is denied", () => {
  NoLeaks.effect("goes on with the old one, and is settled in the end or when there is room for both", () => {
    const { layer, lines } = warnings()
    return Effect.gen(function*() {
      // There is nothing beside the allotment, and it has 40 left for the third time it asks.
      const fiber = yield* Effect.forkChild(Budget.allot(allotted(100), calls(9, 10, 10)))
      yield* TestClock.adjust("65 seconds")
      assert.deepStrictEqual(yield* figures, [0n, 100n])
      const ledger = yield* Ledger.Ledger
      yield* ledger.fund("acme", {
        idempotencyKey: IdempotencyKey.make("more"),
        scope: "tenant:acme",
        operation: "CREDIT",
        amount: Amount.tokens(40)
      })
      for (let second = 65; second < 91; second++) yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      const all = yield* chunks
      assert.strictEqual(all.length, 2)
      assert.deepStrictEqual(yield* figures, [90n, 0n])
      assert.deepStrictEqual(lines.map((line) => /could not renew reservation/.test(line)), [true])
      yield* flawless
    }).pipe(Effect.provide(Layer.merge(layerOf(100), layer)))
  })

  NoLeaks.effect("charges it all as an event where the old one could not be kept", () => {
    const { layer, lines } = warnings()
    return Effect.gen(function*() {
      yield* through(240, Budget.allot({ ...allotted(100), settleEvery: "1 minute" }, calls(8, 10, 30)))
      assert.deepStrictEqual(yield* figures, [80n, 0n])
      // The end of the old one made room for the new one.
      assert.deepStrictEqual(yield* chunks, [[100n, "EXPIRED"], [50n, 30n]])
      assert.isTrue(lines.some((line) => /could not renew/.test(line)))
      yield* flawless
    }).pipe(Effect.provide(Layer.merge(layerOf(100, { maxExtensions: 1 }), layer)))
  })

  NoLeaks.effect("takes a hold again where the old one was lost and there is budget", () =>
    Effect.gen(function*() {
      // Extended twice, it ends after three minutes; by then it was given up and taken anew.
      yield* through(400, Budget.allot({ ...allotted(100), settleEvery: "Infinity" }, calls(8, 10, 50)))
      assert.deepStrictEqual(yield* figures, [80n, 0n])
      const all = yield* chunks
      assert.isAbove(all.length, 2)
      yield* flawless
    }).pipe(Effect.provide(Layer.merge(layerOf(1_000, { maxExtensions: 2 }), warnings().layer))))

  for (const heartbeat of ["failOnSettle", "interrupt"] as const) {
    NoLeaks.effect(
      `follows the heartbeat's policy ${heartbeat} where the old one could not be kept`,
      () =>
        Effect.gen(function*() {
          const work = Budget.allot({ ...allotted(100), heartbeat, settleEvery: "1 minute" }, calls(8, 10, 30))
          const lost = yield* through(241, Effect.flip(work))
          assert.strictEqual(lost._tag, "LeaseLost")
          yield* TestClock.adjust("1 second")
          const [spent, reserved] = yield* figures
          assert.strictEqual(reserved, 0n)
          assert.strictEqual(spent, heartbeat === "failOnSettle" ? 80n : 30n)
        }).pipe(Effect.provide(Layer.merge(layerOf(100, { maxExtensions: 1 }), warnings().layer)))
    )

    NoLeaks.effect(`does not take a renewal for a lost lease under ${heartbeat}`, () =>
      Effect.gen(function*() {
        yield* through(201, Budget.allot({ ...allotted(100), heartbeat }, calls(10, 10, 20)))
        assert.deepStrictEqual(yield* figures, [100n, 0n])
        assert.isAbove((yield* chunks).length, 4)
      }).pipe(Effect.provide(layerOf(1_000))))
  }
})

describe("an allotment in another", () => {
  NoLeaks.effect("settles with it, even where it holds all there is", () =>
    Effect.gen(function*() {
      const shares = Budget.forEach(["a", "b"], () => calls(5, 10, 20), {
        amount: Amount.tokens(100),
        share: "equal",
        concurrency: 2
      })
      const fiber = yield* Effect.forkChild(shares)
      yield* TestClock.adjust("75 seconds")
      // The shares settled after 30 and 60 seconds, and so did the whole, in whatever order.
      const [spent, reserved] = yield* figures
      assert.isAtLeast(Number(spent), 20)
      assert.strictEqual(spent! + reserved!, 100n)
      yield* TestClock.adjust("25 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* figures, [100n, 0n])
      yield* flawless
    }).pipe(Effect.provide(layerOf(1_000))))

  NoLeaks.effect("is charged around where it outlives it, once", () =>
    Effect.gen(function*() {
      const inner = Budget.allot({ ...allotted(50), settleEvery: "5 seconds" }, calls(4, 10, 4))
      const fiber = yield* Budget.allot(
        allotted(100),
        Effect.gen(function*() {
          const fiber = yield* Effect.forkDetach(inner, { startImmediately: true })
          yield* Effect.sleep("6 seconds")
          return fiber
        })
      ).pipe((outer) => through(6, outer))
      // One call was settled in the allotment before that ended.
      assert.deepStrictEqual(yield* figures, [10n, 0n])
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(yield* figures, [40n, 0n])
      yield* flawless
    }).pipe(Effect.provide(Layer.merge(layerOf(1_000), warnings().layer))))
})

describe("a renewal that is slow", () => {
  const { delayReply, delayRequest, loseReply } = ScriptedAuthority

  const scripted = (scripts: ScriptedAuthority.Scripts) =>
    Budget.layer().pipe(Layer.provideMerge(ScriptedAuthority.layer(scripts)), Layer.provideMerge(ledgerOf(1_000)))

  NoLeaks.effect("leaves what is charged meanwhile to the next chunk", () =>
    Effect.gen(function*() {
      const work = Effect.gen(function*() {
        yield* call(10)
        yield* Effect.sleep("31 seconds")
        yield* call(20)
        yield* Effect.sleep("10 seconds")
      })
      yield* through(41, Budget.allot(allotted(100), work))
      assert.deepStrictEqual(yield* chunks, [[100n, 10n], [90n, 20n]])
    }).pipe(Effect.provide(scripted({ reserve: [delayReply(0), delayReply("3 seconds")] }))))

  NoLeaks.effect(
    "is given back where the body ends before it, and the old chunk is charged for all",
    () =>
      Effect.gen(function*() {
        const work = Effect.andThen(call(10), Effect.sleep("31 seconds"))
        yield* through(31, Budget.allot(allotted(100), work))
        // It returned at once; what the renewal brings is not yet here.
        assert.deepStrictEqual(yield* figures, [10n, 0n])
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(yield* chunks, [[100n, 10n], [90n, "RELEASED"]])
        assert.deepStrictEqual(yield* figures, [10n, 0n])
      }).pipe(Effect.provide(scripted({ reserve: [delayReply(0), delayRequest("3 seconds")] })))
  )

  NoLeaks.effect("is given back where its reply was lost for good", () =>
    Effect.gen(function*() {
      const work = Effect.andThen(call(10), Effect.sleep("45 seconds"))
      yield* through(45, Budget.allot({ ...allotted(100), settleEvery: "40 seconds" }, work))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* figures, [10n, 0n])
      yield* flawless
    }).pipe(
      Effect.provide(
        Layer.merge(
          scripted({ reserve: [delayReply(0), loseReply("1 second"), loseReply("1 second")] }),
          warnings().layer
        )
      )
    ))

  NoLeaks.effect(
    "is waited for in the end, where it is a commit, and not by one who was interrupted",
    () =>
      Effect.gen(function*() {
        const work = Effect.andThen(call(10), Effect.sleep("31 seconds"))
        const fiber = yield* Effect.forkChild(Budget.allot(allotted(100), work))
        yield* TestClock.adjust("32 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(yield* figures, [10n, 0n])
        const impatient = yield* Effect.forkChild(
          Budget.allot(allotted(100), Effect.andThen(call(10), Effect.sleep("90 seconds")))
        )
        yield* TestClock.adjust("31 seconds")
        yield* Fiber.interrupt(impatient)
        yield* TestClock.adjust("4 seconds")
        assert.deepStrictEqual(yield* figures, [20n, 0n])
        assert.deepStrictEqual((yield* chunks).slice(2), [[100n, 10n], [90n, "RELEASED"]])
      }).pipe(Effect.provide(scripted({ commit: [delayRequest("4 seconds"), delayRequest("4 seconds")] })))
  )
})

describe("a chunk in a journal", () => {
  NoLeaks.effect("is pending where the authority is away, and charged when it is back", () =>
    Effect.gen(function*() {
      const authority = yield* ScriptedAuthority.ScriptedAuthority
      const journal = yield* Journal.Journal
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(Budget.layer(), scope)
      yield* authority.on("commit", ...Array.from({ length: 5 }, () => ScriptedAuthority.loseRequest(100)))
      const fiber = yield* Effect.forkChild(
        Effect.provideContext(
          Budget.allot(allotted(100), Effect.andThen(call(10), Effect.sleep("31 seconds"))),
          services
        )
      )
      yield* TestClock.adjust("30 seconds")
      const pending = yield* journal.pending
      assert.deepStrictEqual(pending.map(({ commit }) => commit?.actual.amount), [10n])
      assert.deepStrictEqual((yield* figures)[0], 0n)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* figures, [10n, 0n])
      assert.deepStrictEqual(yield* journal.pending, [])
      yield* Scope.close(scope, Exit.void)
    }).pipe(
      Effect.provide(
        Layer.mergeAll(
          Layer.provideMerge(ScriptedAuthority.layer(), ledgerOf(1_000)),
          Journal.layerMemory,
          warnings().layer
        )
      )
    ))
})

// ---------------------------------------------------------------------------------------------------------------------
// trees of work at random, across renewals
// ---------------------------------------------------------------------------------------------------------------------

type Tree =
  | { readonly _tag: "Guard"; readonly estimate: number; readonly actual: number; readonly seconds: number }
  | {
    readonly _tag: "Allot"
    readonly estimate: number
    readonly every: number
    readonly children: ReadonlyArray<Tree>
  }
  | { readonly _tag: "Wide"; readonly children: ReadonlyArray<Tree> }
  | { readonly _tag: "CutOff"; readonly seconds: number; readonly child: Tree }

/** The same numbers for the same seed (mulberry32). */
const numbers = (seed: number) => (below: number): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % below
}

const treeOf = (next: (below: number) => number, depth: number): Tree => {
  const kind = depth === 0 ? 0 : next(8)
  if (kind < 3) return { _tag: "Guard", estimate: 1 + next(40), actual: next(50), seconds: next(16) }
  if (kind === 3) return { _tag: "CutOff", seconds: next(21), child: treeOf(next, depth - 1) }
  const children = Array.from({ length: 1 + next(4) }, () => treeOf(next, depth - 1))
  return kind < 6
    ? { _tag: "Allot", estimate: 20 + next(131), every: 1 + next(9), children }
    : { _tag: "Wide", children }
}

/** Runs a tree. `used` adds up what the bodies that came to their end have used. */
const grow = (tree: Tree, used: { total: bigint }): Effect.Effect<unknown, never, Budget.Budget> => {
  switch (tree._tag) {
    case "Guard":
      return Effect.ignore(Budget.guard({ action: completion, estimate: Amount.tokens(tree.estimate) }, function*(r) {
        yield* Effect.sleep(tree.seconds * 1_000)
        used.total += BigInt(tree.actual)
        return r.commit(Amount.tokens(tree.actual))
      }))
    case "Allot":
      return Effect.ignore(Budget.allot(
        { ...allotted(tree.estimate), settleEvery: tree.every * 1_000 },
        Effect.forEach(tree.children, (child) => grow(child, used))
      ))
    case "Wide":
      return Effect.forEach(tree.children, (child) => grow(child, used), { concurrency: "unbounded" })
    case "CutOff":
      return Effect.timeoutOption(grow(tree.child, used), tree.seconds * 1_000)
  }
}

describe("any tree of guards and allotments, whatever is renewed and whatever is cut off in it,", () => {
  for (
    const [where, budget] of [["there is room for both chunks", 1_000_000], ["there often is none", 260]] as const
  ) {
    NoLeaks.effect(`is charged what its leaves used, where ${where}`, () =>
      Effect.gen(function*() {
        for (let seed = 1; seed <= 80; seed++) {
          const used = { total: 0n }
          const tree: Tree = { _tag: "Allot", estimate: 150, every: 3, children: [treeOf(numbers(seed), 4)] }
          yield* Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(grow(tree, used))
            for (let seconds = 0; fiber.pollUnsafe() === undefined; seconds++) {
              assert.isBelow(seconds, 2_000)
              yield* TestClock.adjust("1 second")
            }
            yield* TestClock.adjust("1 second")
            const [spent, reserved] = yield* figures
            assert.strictEqual(reserved, 0n, `seed ${seed}`)
            // What overruns use beyond the estimate is charged as far as the budget goes.
            if (used.total <= 150n || budget > 1_000) assert.strictEqual(spent, used.total, `seed ${seed}`)
            // Each commit is of what its breakdown says, which `chunks` sees to, and together they are what was charged.
            const charged = (yield* chunks).map(([, charged]) => typeof charged === "bigint" ? charged : 0n)
            assert.strictEqual(charged.reduce((sum, amount) => sum + amount, 0n), spent, `seed ${seed}`)
            yield* flawless
          }).pipe(Effect.provide(Layer.merge(layerOf(budget), warnings().layer), { local: true }))
        }
      }))
  }
})
