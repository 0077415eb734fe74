import { NoLeaks } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Breakdown, Budget, BudgetAuthority, CyclesError, Ledger, Reservation } from "effect-cycles"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { TestClock } from "effect/testing"

const workflow = Action.make("workflow.research", "report")
const completion = Action.make("llm.completion", "gpt-4o")

const layer = Budget.layer().pipe(
  Layer.provideMerge(
    Ledger.layerMemory({
      tenant: "acme",
      budgets: [
        { scope: "tenant:acme", allocated: Amount.tokens(1_000) },
        { scope: "tenant:acme", allocated: Amount.credits(10) }
      ]
    })
  )
)

const figures = (unit: Amount.Unit = "TOKENS") =>
  Effect.gen(function*() {
    const authority = yield* BudgetAuthority.BudgetAuthority
    const { balances } = yield* authority.balances({ tenant: "acme" })
    const balance = balances.find(({ allocated }) => allocated?.unit === unit)
    return [balance?.spent?.amount, balance?.reserved?.amount]
  })

const commits = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { reservations } = yield* authority.reservations({ status: "COMMITTED", include: ["committed_metadata"] })
  return reservations.map(({ committed, committedMetadata }) => ({
    charged: committed?.amount,
    rows: Option.getOrElse(Breakdown.fromMetadata(committedMetadata), () => [])
  }))
})

const flawless = Effect.gen(function*() {
  const ledger = yield* Ledger.Ledger
  assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
})

/** A guard that reserves `estimate` and uses `actual`. */
const call = (estimate: number, actual = estimate) =>
  Budget.guard(
    { action: completion, estimate: Amount.tokens(estimate) },
    (r) => Effect.succeed(r.commit(Amount.tokens(actual), actual))
  )

const allotted = (tokens: number) => ({ action: workflow, estimate: Amount.tokens(tokens) })

describe("Budget.allot", () => {
  NoLeaks.effect(
    "takes one hold, charges what the children were charged, and says what it was for",
    () =>
      Effect.gen(function*() {
        const writer = Budget.guard(
          { action: completion, estimate: Amount.tokens(30) },
          (r) => Effect.succeed(r.commit(Amount.tokens(25), r.scopePath, { metrics: { modelVersion: "m1" } }))
        )
        const program = Effect.gen(function*() {
          assert.deepStrictEqual(yield* figures(), [0n, 100n])
          yield* call(40, 30)
          yield* call(20, 10)
          return yield* writer.pipe(Budget.within({ agent: "writer" }))
        })
        const scope = yield* Budget.allot(allotted(100), program).pipe(Budget.within({ workflow: "report" }))
        assert.strictEqual(scope, "tenant:acme/workflow:report/agent:writer")
        assert.deepStrictEqual(yield* figures(), [65n, 0n])
        const action = { kind: "llm.completion", name: "gpt-4o" }
        assert.deepStrictEqual(yield* commits, [{
          charged: 65n,
          rows: [
            { scope: "tenant:acme/workflow:report", action, charged: 40n },
            { scope: "tenant:acme/workflow:report/agent:writer", action, model: "m1", charged: 25n }
          ]
        }])
        yield* flawless
      }).pipe(Effect.provide(layer))
  )

  NoLeaks.effect("is a pipeable too, and gives an unused hold back", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Effect.succeed("free").pipe(Budget.allot(allotted(100))), "free")
      assert.deepStrictEqual(yield* figures(), [0n, 0n])
      assert.deepStrictEqual(yield* commits, [])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("lets concurrent children spend no more than the estimate together", () =>
    Effect.gen(function*() {
      const slow = Budget.guard(
        { action: completion, estimate: Amount.tokens(30) },
        (r) => Effect.as(Effect.sleep("1 second"), r.commit(Amount.tokens(30), "done" as const))
      )
      const all = Effect.forEach(
        [1, 2, 3, 4, 5],
        () => slow.pipe(Effect.catchTag("BudgetExceeded", (e) => Effect.succeed(e.remaining))),
        { concurrency: 5 }
      )
      const fiber = yield* Effect.forkChild(Budget.allot(allotted(100), all))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["done", "done", "done", 10n, 10n])
      assert.deepStrictEqual(yield* figures(), [90n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("is denied like any reservation, and then the body does not run", () =>
    Effect.gen(function*() {
      let ran = false
      const denied = yield* Effect.flip(Budget.allot(
        allotted(1_001),
        Effect.sync(() => {
          ran = true
        })
      ))
      assert.strictEqual(denied._tag, "BudgetExceeded")
      assert.isFalse(ran)
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("refuses a child whose subject is not at or below the parent's", () =>
    Effect.gen(function*() {
      const program = Budget.allot(
        { ...allotted(100), subject: { workflow: "report", agent: "orchestrator" } },
        Effect.gen(function*() {
          assert.strictEqual(yield* call(10).pipe(Budget.within({ toolset: "web" })), 10)
          const flaw = yield* Effect.flip(call(10).pipe(Budget.within({ agent: "searcher" })))
          assert.instanceOf(flaw, CyclesError.InvalidRequest)
          assert.include(flaw.message, "subject")
        })
      )
      yield* program
      assert.deepStrictEqual(yield* figures(), [10n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("sends a child in another unit to the authority around", () =>
    Effect.gen(function*() {
      const credits = Budget.guard(
        { action: completion, estimate: Amount.credits(4) },
        (r) => Effect.succeed(r.commit(Amount.credits(3)))
      )
      yield* Budget.allot(allotted(100), Effect.andThen(credits, call(10)))
      assert.deepStrictEqual(yield* figures("CREDITS"), [3n, 0n])
      assert.deepStrictEqual(yield* figures(), [10n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("nests, and the breakdown names the children at the bottom", () =>
    Effect.gen(function*() {
      const inner = Budget.allot(allotted(50), Effect.andThen(call(20), call(10)))
      yield* Budget.allot(allotted(100), Effect.andThen(inner, call(60)))
      assert.deepStrictEqual(yield* figures(), [90n, 0n])
      const [commit] = yield* commits
      assert.deepStrictEqual(commit?.rows.map(({ action, charged }) => [action.name, charged]), [["gpt-4o", 90n]])
      const tooMuch = yield* Effect.flip(Budget.allot(allotted(100), Effect.andThen(call(60), inner)))
      assert.strictEqual(tooMuch._tag, "BudgetExceeded")
      assert.deepStrictEqual(yield* figures(), [150n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("keeps the breakdown short, and complete", () =>
    Effect.gen(function*() {
      const many = Effect.forEach(Array.from({ length: 60 }, (_, i) => i), (i) =>
        Budget.guard(
          { action: Action.make("tool.call", `tool-${i}`), estimate: Amount.tokens(1) },
          (r) => Effect.succeed(r.commit(Amount.tokens(1)))
        ))
      yield* Budget.allot(allotted(100), many)
      const [commit] = yield* commits
      assert.strictEqual(commit?.rows.length, 50)
      assert.deepStrictEqual(commit?.rows.at(-1), { scope: "tenant:acme", action: Breakdown.other, charged: 11n })
      assert.strictEqual(Breakdown.total(commit?.rows ?? []), 60n)
    }).pipe(Effect.provide(layer)))
})

describe("an overrun in an allotment", () => {
  NoLeaks.effect("draws on the rest, then on what the parent's policy lets through", () =>
    Effect.gen(function*() {
      yield* Budget.allot(allotted(100), call(40, 70))
      assert.deepStrictEqual(yield* figures(), [70n, 0n])
      // 130 of 100: the parent's commit takes the rest from the budget around.
      const over = Budget.allot(allotted(100), Effect.andThen(call(40, 130), call(1)))
      assert.strictEqual((yield* Effect.flip(over))._tag, "BudgetExceeded")
      assert.deepStrictEqual(yield* figures(), [200n, 0n])
      yield* flawless
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("is refused beyond the rest where the parent's policy is REJECT", () =>
    Effect.gen(function*() {
      const outcomes = (actual: number) =>
        Budget.guardOutcome(
          { action: completion, estimate: Amount.tokens(40) },
          (r) => Effect.succeed(r.commit(Amount.tokens(actual)))
        )
      const strict = { ...allotted(100), overagePolicy: "REJECT" as const }
      const [within, beyond] = yield* Budget.allot(strict, Effect.all([outcomes(50), outcomes(51)]))
      assert.strictEqual(within.outcome._tag, "Committed")
      assert.strictEqual(beyond.outcome._tag, "Rejected")
      // What was held is charged all the same.
      assert.deepStrictEqual(yield* figures(), [90n, 0n])
    }).pipe(Effect.provide(layer)))
})

describe("the end of an allotment", () => {
  NoLeaks.effect("commits what was spent when the body fails, dies or is interrupted", () =>
    Effect.gen(function*() {
      const failed = yield* Effect.exit(
        Budget.allot(allotted(100), Effect.andThen(call(10), Effect.fail("boom" as const)))
      )
      assert.deepStrictEqual(failed, Exit.fail("boom" as const))
      assert.deepStrictEqual(yield* figures(), [10n, 0n])
      const died = yield* Effect.exit(Budget.allot(allotted(100), Effect.andThen(call(10), Effect.die("bug"))))
      assert.isTrue(Exit.hasDies(died))
      assert.deepStrictEqual(yield* figures(), [20n, 0n])
      const started = yield* Deferred.make<void>()
      const hanging = Budget.guard(
        { action: completion, estimate: Amount.tokens(10) },
        () => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
      )
      const fiber = yield* Effect.forkChild(Budget.allot(allotted(100), Effect.andThen(call(10), hanging)))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      yield* Effect.yieldNow
      assert.deepStrictEqual(yield* figures(), [30n, 0n])
      yield* flawless
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect(
    "takes back what a fiber still holds; what that uses later is charged around",
    () =>
      Effect.gen(function*() {
        const late = Budget.guardOutcome(
          { action: completion, estimate: Amount.tokens(30) },
          (r) => Effect.as(Effect.sleep("10 seconds"), r.commit(Amount.tokens(20)))
        )
        const fiber = yield* Budget.allot(
          allotted(100),
          Effect.gen(function*() {
            const fiber = yield* Effect.forkDetach(late, { startImmediately: true })
            yield* call(10)
            return fiber
          })
        )
        assert.deepStrictEqual(yield* figures(), [10n, 0n])
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.join(fiber)).outcome._tag, "RecoveredAsEvent")
        assert.deepStrictEqual(yield* figures(), [30n, 0n])
        const closed = yield* Budget.allot(
          allotted(100),
          Effect.forkDetach(Effect.delay(Effect.flip(call(1)), "1 second"))
        )
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(closed))._tag, "BudgetClosed")
        yield* flawless
      }).pipe(Effect.provide(layer))
  )

  NoLeaks.effect(
    "keeps the lease while a long body runs, and holds of its own inside it",
    () =>
      Effect.gen(function*() {
        const session = Effect.scoped(Effect.gen(function*() {
          const r = yield* Reservation.make({ action: completion, estimate: Amount.tokens(30) })
          yield* Effect.sleep("5 minutes")
          return yield* Reservation.commit(r, Amount.tokens(20))
        }))
        const fiber = yield* Effect.forkChild(Budget.allot(allotted(100), session))
        yield* TestClock.adjust("5 minutes")
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "Committed")
        assert.deepStrictEqual(yield* figures(), [20n, 0n])
      }).pipe(Effect.provide(layer))
  )
})

describe("the final reserve", () => {
  const reserved = { ...allotted(100), finalReserve: Amount.tokens(20) }

  NoLeaks.effect("is out of the children's reach, and pays the closing turn", () =>
    Effect.gen(function*() {
      const denied = yield* Effect.flip(Budget.allot(reserved, Effect.andThen(call(80), call(1))))
      assert.strictEqual(denied._tag, "BudgetExceeded")
      assert.deepStrictEqual(yield* figures(), [80n, 0n])
      const last = yield* Budget.allot(
        reserved,
        Effect.andThen(call(80), call(1)).pipe(
          Budget.closing((exhausted) => {
            assert.strictEqual(exhausted.denied._tag, "BudgetExceeded")
            assert.strictEqual(Breakdown.total(exhausted.spent), 80n)
            return call(20)
          })
        )
      )
      assert.strictEqual(last, 20)
      assert.deepStrictEqual(yield* figures(), [180n, 0n])
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("is whole even after an overrun, and no larger", () =>
    Effect.gen(function*() {
      yield* Budget.allot(
        reserved,
        Effect.andThen(call(80, 95), call(1)).pipe(Budget.closing(() => call(20)))
      )
      assert.deepStrictEqual(yield* figures(), [115n, 0n])
      const denied = yield* Effect.flip(
        Budget.allot(reserved, Effect.andThen(call(80), call(1)).pipe(Budget.closing(() => call(21))))
      )
      assert.strictEqual(denied._tag, "BudgetExceeded")
    }).pipe(Effect.provide(layer)))

  NoLeaks.effect("answers denials only, and is a part of the estimate", () =>
    Effect.gen(function*() {
      const failed = Budget.allot(reserved, Effect.fail("boom" as const).pipe(Budget.closing(() => call(1))))
      assert.deepStrictEqual(yield* Effect.exit(failed), Exit.fail("boom" as const))
      const flaw = yield* Effect.flip(Budget.allot({ ...reserved, finalReserve: Amount.tokens(101) }, Effect.void))
      assert.strictEqual(flaw._tag, "InvalidRequest")
    }).pipe(Effect.provide(layer)))
})

describe("Budget.remaining", () => {
  NoLeaks.effect("is what the innermost allotment has left, and nothing outside", () =>
    Effect.gen(function*() {
      assert.isTrue(Option.isNone(yield* Budget.remaining))
      const left = yield* Budget.allot(allotted(100), Effect.andThen(call(30), Budget.remaining))
      assert.deepStrictEqual(left, Option.some(Amount.tokens(70)))
    }).pipe(Effect.provide(layer)))
})

describe("an allotment without a hold", () => {
  NoLeaks.effect("leaves the guards inside to the authority around", () =>
    Effect.gen(function*() {
      yield* Budget.allot({ ...allotted(1_001), mode: "off" }, call(10))
      assert.deepStrictEqual(yield* figures(), [10n, 0n])
    }).pipe(Effect.provide(layer)))
})

// ---------------------------------------------------------------------------------------------------------------------
// trees of work at random
// ---------------------------------------------------------------------------------------------------------------------

type Tree =
  | { readonly _tag: "Guard"; readonly estimate: number; readonly actual: number; readonly takes: number }
  | {
    readonly _tag: "Allot"
    readonly estimate: number
    readonly children: ReadonlyArray<Tree>
    readonly wide: boolean
  }
  | { readonly _tag: "Fork"; readonly child: Tree; readonly detached: boolean }
  | { readonly _tag: "CutOff"; readonly after: number; readonly child: Tree }
  | { readonly _tag: "Fail" }

/** The same numbers for the same seed (mulberry32). */
const numbers = (seed: number) => (below: number): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % below
}

const treeOf = (next: (below: number) => number, depth: number): Tree => {
  const kind = depth === 0 ? 0 : next(8)
  if (kind < 3) return { _tag: "Guard", estimate: 1 + next(40), actual: next(60), takes: next(4) * 5 }
  if (kind < 5) {
    const children = Array.from({ length: 1 + next(4) }, () => treeOf(next, depth - 1))
    return { _tag: "Allot", estimate: 20 + next(100), children, wide: next(2) === 0 }
  }
  if (kind === 5) return { _tag: "Fork", child: treeOf(next, depth - 1), detached: next(3) === 0 }
  if (kind === 6) return { _tag: "CutOff", after: next(5) * 5, child: treeOf(next, depth - 1) }
  return next(3) === 0 ? { _tag: "Fail" } : treeOf(next, depth - 1)
}

/** Runs a tree. `used` adds up what the bodies that came to their end have used. */
const grow = (tree: Tree, used: { total: bigint }): Effect.Effect<unknown, unknown, Budget.Budget> => {
  switch (tree._tag) {
    case "Guard":
      return Effect.ignore(Budget.guard({ action: completion, estimate: Amount.tokens(tree.estimate) }, function*(r) {
        yield* Effect.sleep(tree.takes)
        used.total += BigInt(tree.actual)
        return r.commit(Amount.tokens(tree.actual))
      }))
    case "Allot":
      return Effect.ignore(Budget.allot(
        allotted(tree.estimate),
        Effect.forEach(tree.children, (child) => grow(child, used), { concurrency: tree.wide ? "unbounded" : 1 })
      ))
    case "Fork": {
      const child = grow(tree.child, used)
      return tree.detached ? Effect.forkDetach(child) : Effect.forkChild(child)
    }
    case "CutOff":
      return Effect.timeoutOption(grow(tree.child, used), tree.after)
    case "Fail":
      return Effect.fail("boom")
  }
}

describe("any tree of guards, allotments, forks, failures and interrupts", () => {
  NoLeaks.effect("leaves nothing reserved, and is charged what its leaves used", () =>
    Effect.gen(function*() {
      for (let seed = 1; seed <= 150; seed++) {
        const used = { total: 0n }
        const tree: Tree = { _tag: "Allot", estimate: 150, children: [treeOf(numbers(seed), 5)], wide: false }
        yield* Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(grow(tree, used))
          // All of them end well before the shortest lease does.
          for (let i = 0; i < 20; i++) yield* TestClock.adjust("5 millis")
          yield* Fiber.await(fiber)
          assert.deepStrictEqual(yield* figures(), [used.total, 0n], `seed ${seed}`)
          yield* flawless
          for (const { charged, rows } of yield* commits) {
            if (rows.length > 0) assert.strictEqual(Breakdown.total(rows), charged, `seed ${seed}`)
          }
        }).pipe(
          Effect.provide(
            Budget.layer().pipe(
              Layer.provideMerge(
                Ledger.layerMemory({
                  tenant: "acme",
                  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000_000) }]
                })
              )
            ),
            { local: true }
          )
        )
      }
    }))
})
