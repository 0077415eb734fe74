import { NoLeaks, ScriptedAuthority } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import {
  Action,
  Amount,
  Breakdown,
  Budget,
  BudgetAuthority,
  CyclesError,
  Journal,
  Ledger,
  Reservation,
  Settlement
} from "effect-cycles"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

// ---------------------------------------------------------------------------------------------------------------------
// interrupting a program at every step in turn
// ---------------------------------------------------------------------------------------------------------------------

const TTL_MS = 60_000
const TICK_MS = 10

/** Every guard of these programs asks for 60 and uses 40. */
const ACTUAL = 40n

/** What a program tells of itself: the names of the guards whose bodies came to their end. */
interface Told {
  readonly returned: Set<string>
}

type Program = (told: Told) => Effect.Effect<unknown, unknown, Budget.Budget>

const request = (name: string) => ({ action: Action.make("tool.call", name), estimate: Amount.tokens(60) })
const actual = Amount.tokens(ACTUAL)

/** A guard like the others, for what is composed of several. */
const call = (told: Told, name: string, takes = 10) =>
  Budget.guard(request(name), function*(r) {
    yield* Effect.sleep(takes)
    told.returned.add(name)
    return r.commit(actual)
  })

const allotted = (tokens: number) => ({ action: Action.make("workflow", "allotment"), estimate: Amount.tokens(tokens) })

/** Something that is charged before the renewal at 100 milliseconds, something across it, and something after it. */
const inTwoChunks = (told: Told, name: string) =>
  Effect.andThen(
    call(told, `${name} before`),
    Effect.all([call(told, `${name} across`, 120), Effect.delay(call(told, `${name} after`), 130)], { concurrency: 2 })
  )

const programs = {
  "guard with a lambda": (told) =>
    Budget.guard(request("lambda"), (r) =>
      Effect.sync(() => {
        told.returned.add("lambda")
        return r.commit(actual)
      })),
  "guard with Effect.gen": (told) =>
    Budget.guard(request("gen"), (r) =>
      Effect.gen(function*() {
        yield* Effect.sleep(30)
        told.returned.add("gen")
        return r.commit(actual)
      })),
  "guard with a generator": (told) =>
    Budget.guard(request("generator"), function*(r) {
      yield* Effect.yieldNow
      yield* Effect.sleep(30)
      told.returned.add("generator")
      return r.commit(actual)
    }),
  "guard that is interrupted where its lease is lost": (told) =>
    Budget.guard({ ...request("beating"), heartbeat: "interrupt" }, function*(r) {
      yield* Effect.sleep(30)
      told.returned.add("beating")
      return r.commit(actual)
    }),
  "guard that releases": () => Budget.guard(request("releases"), (r) => Effect.as(Effect.sleep(30), r.release())),
  "guard that fails": () => Effect.exit(Budget.guard(request("fails"), () => Effect.delay(Effect.fail("boom"), 30))),
  "guard that charges what is left unsettled": (told) =>
    Effect.exit(Budget.guard({
      ...request("unsettled"),
      onUnsettled: () => {
        told.returned.add("unsettled")
        return actual
      }
    }, () => Effect.delay(Effect.fail("boom"), 30))),
  "charge": (told) =>
    Effect.sleep(30).pipe(Budget.charge(request("charged"), () => {
      told.returned.add("charged")
      return actual
    })),
  "guarded stream": (told) =>
    Stream.runDrain(Budget.guardStream(request("stream"), {
      stream: () => Stream.make(1, 2).pipe(Stream.rechunk(1), Stream.tap(() => Effect.sleep(10))),
      meter: { initial: 0, step: (n) => n + 1 },
      settle: (r, n) => {
        if (n === 0) return r.release()
        told.returned.add("stream")
        return r.commit(actual)
      }
    })),
  "scoped reservation that is committed": (told) =>
    Effect.scoped(Effect.gen(function*() {
      const r = yield* Reservation.make(request("scoped"))
      yield* Effect.sleep(30)
      told.returned.add("scoped")
      yield* Reservation.commit(r, actual)
      yield* Effect.sleep(30)
    })),
  "scoped reservation that is left to its scope": () =>
    Effect.scoped(Effect.andThen(Reservation.make(request("left")), Effect.sleep(30))),
  "nested guards": (told) =>
    Budget.guard(request("outer"), function*(outer) {
      yield* Budget.guard(request("inner"), function*(inner) {
        yield* Effect.sleep(10)
        told.returned.add("inner")
        return inner.commit(actual)
      })
      told.returned.add("outer")
      return outer.commit(actual)
    }),
  "guards in a concurrent forEach": (told) =>
    Effect.forEach(["a", "b", "c"], (name) =>
      Budget.guard(request(name), function*(r) {
        yield* Effect.sleep(10)
        told.returned.add(name)
        return r.commit(actual)
      }), { concurrency: 3 }),
  "allotment": (told) => Budget.allot(allotted(120), Effect.andThen(call(told, "first"), call(told, "second"))),
  "allotment that fails": (told) =>
    Effect.exit(Budget.allot(allotted(60), Effect.andThen(call(told, "first"), Effect.fail("boom")))),
  "allotment that is renewed": (told) =>
    Budget.allot({ ...allotted(240), settleEvery: 100 }, inTwoChunks(told, "inside")),
  "allotment in another, and both are renewed": (told) => {
    const inner = Budget.allot({ ...allotted(200), settleEvery: 100 }, inTwoChunks(told, "inner"))
    return Budget.allot({ ...allotted(200), settleEvery: 110 }, inner)
  },
  "closing turn of an allotment": (told) =>
    Budget.allot(
      { ...allotted(120), finalReserve: Amount.tokens(60) },
      Effect.andThen(call(told, "first"), call(told, "too much")).pipe(Budget.closing(() => call(told, "last")))
    ),
  "forEach with equal shares": (told) =>
    Budget.forEach(["a", "b"], (name) => call(told, name), {
      amount: Amount.tokens(120),
      share: "equal",
      concurrency: 2
    }),
  "all, first come": (told) =>
    Budget.all({ a: call(told, "a"), b: call(told, "b", 20) }, {
      amount: Amount.tokens(120),
      share: "firstCome",
      concurrency: 2
    }),
  "guardAll": (told) =>
    Budget.guardAll({ one: request("one"), two: request("two") }, function*({ one, two }) {
      yield* Effect.sleep(20)
      told.returned.add("one").add("two")
      return Settlement.all({ one: one.commit(actual), two: two.commit(actual) })
    }),
  "guardAll of which one is denied": () =>
    Budget.guardAll({
      one: request("one"),
      two: { ...request("two"), estimate: Amount.tokens(1_001) }
    }, ({ one, two }) => Effect.succeed(Settlement.all({ one: one.release(), two: two.release() }))).pipe(
      Budget.catchDenied(() => Effect.void)
    ),
  "ladder": (told) =>
    Budget.ladder([
      Budget.guard({ ...request("dear"), estimate: Amount.tokens(1_001) }, (r) => Effect.succeed(r.commit(actual))),
      call(told, "cheap")
    ]),
  "retry": (told) => {
    let attempts = 0
    return Budget.guard(request("again"), function*(r) {
      yield* Effect.sleep(10)
      if (++attempts === 1) return yield* Effect.fail("boom")
      told.returned.add("again")
      return r.commit(actual)
    }).pipe(Budget.retry({ schedule: Schedule.spaced(20) }))
  },
  "race": (told) => Budget.race(call(told, "slow", 40), call(told, "fast", 20)),
  "hedged race": (told) => Budget.race(call(told, "slow", 60), call(told, "fast", 10), { hedgeAfter: 20 }),
  "guard that waits for budget": (told) =>
    Effect.all([
      Budget.guard({ ...request("large"), estimate: Amount.tokens(960) }, function*(r) {
        yield* Effect.sleep(30)
        told.returned.add("large")
        return r.commit(actual)
      }),
      call(told, "patient").pipe(Budget.whenAvailable({ timeout: "1 second" }))
    ], { concurrency: 2 })
} satisfies Record<string, Program>

type ProgramName = keyof typeof programs

const everyProgram = Object.keys(programs) as ReadonlyArray<ProgramName>
/** What ends with a scope waits for it, as for every finalizer: these may still wait for a settlement that was under way. */
const endsWithScope: ReadonlySet<Program> = new Set([
  programs["scoped reservation that is left to its scope"],
  programs["guarded stream"]
])

/**
 * How many operations a step is. Those with a ledger of their own have so many that steps of three would take minutes, and scripts
 * lengthen what was seen step by step without them; what waits is interrupted at each wait all the same.
 */
const sizeOf = (program: Program, scripts: ScriptedAuthority.Scripts | undefined): number =>
  withLedger.has(program) ? 11 : scripts === undefined ? 3 : 5
const withLedger: ReadonlySet<Program> = new Set(
  everyProgram.filter((name) => /allotment|forEach with|all, first/.test(name)).map((name) => programs[name])
)

/** Those that tell most about a script that is about a reserve, a commit, or a release. */
const about: Record<"reserve" | "commit" | "release", ReadonlyArray<ProgramName>> = {
  reserve: ["guard with a generator", "scoped reservation that is committed", "allotment"],
  commit: ["guard with a generator", "scoped reservation that is committed", "allotment"],
  release: ["guard that releases", "scoped reservation that is left to its scope"]
}

const memory = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }]
})

const layerWith = (scripts: ScriptedAuthority.Scripts | undefined) =>
  Budget.layer({ ttl: TTL_MS }).pipe(
    Layer.provideMerge(scripts === undefined ? memory : Layer.provideMerge(ScriptedAuthority.layer(scripts), memory))
  )

/** Runs a few operations of a fiber at a time and calls `onStep` before each such step, whichever fiber it belongs to. */
const stepping = (parent: Scheduler.Scheduler, size: number, onStep: () => void): Scheduler.Scheduler => ({
  executionMode: parent.executionMode,
  // Three at the least: a step needs one operation to come back from the yield and one more to get on.
  shouldYield: (fiber) => fiber.currentOpCount >= size,
  makeDispatcher: () => {
    const dispatcher = parent.makeDispatcher()
    return {
      scheduleTask: (task, priority) =>
        dispatcher.scheduleTask(() => {
          onStep()
          task()
        }, priority),
      flush: () => dispatcher.flush()
    }
  }
})

/** Turns of the event loop in which nothing happens, before we say that everything waits. */
const QUIET_TURNS = 5

/**
 * Runs a program and interrupts it at step `at`; a moment in which everything waits for time is a step too. Checks what must
 * hold afterwards, and returns whether the program had ended on its own before it came to that step.
 */
const interruptAt = Effect.fnUntraced(function*(
  program: Program,
  scripts: ScriptedAuthority.Scripts | undefined,
  at: number
) {
  const scope = yield* Scope.make()
  const services = yield* Layer.buildWithScope(layerWith(scripts), scope)
  const ledger = Context.get(services, Ledger.Ledger)
  const clock = yield* Clock.Clock
  const startedAt = clock.currentTimeMillisUnsafe()

  let steps = 0
  let interruptedAt: number | undefined
  let exitedAt: number | undefined
  let fiber: Fiber.Fiber<unknown, unknown> | undefined
  const onStep = (): void => {
    if (fiber === undefined || steps++ !== at || fiber.pollUnsafe() !== undefined) return
    interruptedAt = clock.currentTimeMillisUnsafe()
    fiber.interruptUnsafe()
  }

  let running = 0
  const metrics = yield* Metric.FiberRuntimeMetrics
  const told: Told = { returned: new Set() }
  fiber = yield* program(told).pipe(
    Effect.forkDetach,
    Effect.provideContext(services),
    Effect.provideService(Scheduler.Scheduler, stepping(yield* Scheduler.Scheduler, sizeOf(program, scripts), onStep)),
    Effect.provideService(Metric.FiberRuntimeMetrics, {
      recordFiberStart: (context) => {
        running++
        metrics?.recordFiberStart(context)
      },
      recordFiberEnd: (context, exit) => {
        running--
        metrics?.recordFiberEnd(context, exit)
      }
    })
  )

  fiber.addObserver(() => {
    exitedAt = clock.currentTimeMillisUnsafe()
  })

  const settle = Effect.gen(function*() {
    for (let quiet = 0, before = steps; quiet < QUIET_TURNS; quiet++) {
      yield* Effect.yieldNow
      if (steps !== before) quiet = 0
      before = steps
    }
  })

  // Up to the interrupt, or the end.
  yield* settle
  while (fiber.pollUnsafe() === undefined && interruptedAt === undefined) {
    onStep()
    if (interruptedAt === undefined) yield* TestClock.adjust(TICK_MS)
    yield* settle
  }
  const endedAt = steps
  while (fiber.pollUnsafe() === undefined && endsWithScope.has(program)) {
    yield* TestClock.adjust(TICK_MS)
    yield* settle
  }
  const exit = fiber.pollUnsafe()
  assert.isDefined(exit, `step ${at}: the caller still waits after it was interrupted`)
  if (interruptedAt === undefined) {
    // An authority that did not answer, however often it was asked, is the one thing a program may fail with here.
    const error = Exit.findErrorOption(exit!)
    assert.isTrue(
      Exit.isSuccess(exit!) || (error._tag === "Some" && error.value instanceof CyclesError.AuthorityUnavailable),
      `step ${at}: the program failed on its own`
    )
  } else {
    // At once: the clock has not moved.
    if (!endsWithScope.has(program)) assert.strictEqual(exitedAt, interruptedAt)
    assert.isTrue(Exit.isSuccess(exit!) || Exit.hasInterrupts(exit!), `step ${at}: neither finished nor interrupted`)
  }

  // What was left to the background comes to its end, long before the lease does.
  while (running > 0 && clock.currentTimeMillisUnsafe() - startedAt < TTL_MS - 1_000) {
    yield* TestClock.adjust(TICK_MS * 10)
    yield* settle
  }
  const { balances } = yield* Context.get(services, BudgetAuthority.BudgetAuthority).balances({ tenant: "acme" })
  const entries = yield* ledger.entries("acme")
  assert.strictEqual(running, 0, `step ${at}: fibers are left`)
  assert.strictEqual(balances[0]?.reserved?.amount, 0n, `step ${at}: budget is held`)

  // Each hold has ended once, by a settlement; and what was charged is what bodies returned.
  const kinds = new Map<string, Array<string>>()
  for (const entry of entries) {
    if (entry.reservationId === undefined) continue
    kinds.set(entry.reservationId, [...(kinds.get(entry.reservationId) ?? []), entry.kind])
  }
  const { reservations } = yield* Context.get(services, BudgetAuthority.BudgetAuthority).reservations({
    status: "COMMITTED",
    include: ["committed_metadata"]
  })
  const charged = new Set(
    reservations.flatMap(({ action, committedMetadata }) =>
      Option.match(Breakdown.fromMetadata(committedMetadata), {
        onNone: () => [action.name],
        onSome: (rows) => rows.map(({ action }) => action.name)
      })
    )
  )
  for (const [id, of] of kinds) {
    assert.include(["RESERVE COMMIT", "RESERVE RELEASE"], of.join(" "), `step ${at}: reservation ${id}`)
  }
  for (const name of charged) {
    assert.isTrue(told.returned.has(name), `step ${at}: ${name} was charged and had not returned`)
  }
  if (Exit.isSuccess(exit!)) assert.deepStrictEqual(charged, told.returned)
  assert.strictEqual(balances[0]?.spent?.amount, ACTUAL * BigInt(charged.size), `step ${at}: spent`)
  assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])

  const closedAt = clock.currentTimeMillisUnsafe()
  yield* Scope.close(scope, Exit.void)
  assert.strictEqual(clock.currentTimeMillisUnsafe(), closedAt)
  return { completed: endedAt <= at, steps: endedAt }
})

/** Interrupts a program at its first step, at its second, and so on, until it has no more. */
const interruptEverywhere = Effect.fnUntraced(function*(name: ProgramName, scripts?: ScriptedAuthority.Scripts) {
  for (let at = 0;; at++) {
    const { completed, steps } = yield* interruptAt(programs[name], scripts, at)
    if (!completed) continue
    // Far fewer would mean that the steps were not found.
    assert.isAbove(steps, 20)
    return
  }
})

const { always, delayReply, delayRequest, loseReply, loseRequest, times } = ScriptedAuthority

describe("interrupted at any step, over the memory ledger, leaves nothing behind:", () => {
  for (const name of everyProgram) NoLeaks.effect(name, () => interruptEverywhere(name))
})

const scripts: ReadonlyArray<readonly [what: string, ReadonlyArray<ProgramName>, ScriptedAuthority.Scripts]> = [
  ["the reserve arrives late", about.reserve, { reserve: [delayRequest(20)] }],
  ["the reply to the reserve is late", about.reserve, { reserve: [delayReply(20)] }],
  ["the reserve is lost", about.reserve, { reserve: [loseRequest(20)] }],
  ["the reply to the reserve is lost", about.reserve, { reserve: [loseReply(20)] }],
  ["three replies to the reserve are lost", about.reserve, { reserve: [times(3, loseReply(20))] }],
  ["the reply to the commit is late", about.commit, { commit: [delayReply(20)] }],
  ["the commit is lost", about.commit, { commit: [loseRequest(20)] }],
  ["the reply to the commit is lost", about.commit, { commit: [loseReply(20)] }],
  ["the reply to the release is late", about.release, { release: [delayReply(20)] }],
  ["the release is lost", about.release, { release: [loseRequest(20)] }],
  ["the reply to the release is lost", about.release, { release: [loseReply(20)] }],
  ["the next chunk arrives late", ["allotment that is renewed"], { reserve: [delayRequest(1), delayRequest(60)] }],
  ["the reply to the next chunk is late", ["allotment that is renewed"], { reserve: [delayReply(1), delayReply(60)] }],
  ["replies to the next chunk are lost", ["allotment that is renewed"], {
    reserve: [delayReply(1), loseReply(20), loseReply(20)]
  }],
  ["everything is late", [
    ...about.commit,
    "nested guards",
    "guarded stream",
    "allotment that is renewed",
    "forEach with equal shares",
    "guardAll",
    "hedged race",
    "guard that waits for budget"
  ], {
    reserve: [always(delayRequest(10, delayReply(10)))],
    commit: [always(delayRequest(10, delayReply(10)))],
    release: [always(delayRequest(10, delayReply(10)))]
  }],
  ["every first reply is lost", [
    ...about.commit,
    "guard that releases",
    "nested guards",
    "guards in a concurrent forEach",
    "allotment that is renewed",
    "guardAll"
  ], {
    reserve: [loseReply(20)],
    commit: [loseReply(20)],
    release: [loseReply(20)]
  }]
]

describe("interrupted at any step leaves nothing behind, where", () => {
  for (const [what, names, script] of scripts) {
    describe(`${what}:`, () => {
      for (const name of names) NoLeaks.effect(name, () => interruptEverywhere(name, script))
    })
  }
})

describe("interrupted at any step, with a journal, leaves nothing behind, not there either, where", () => {
  for (const [what, names, script] of scripts.filter(([, names]) => names === about.commit)) {
    describe(`${what}:`, () => {
      for (const name of names) {
        NoLeaks.effect(name, () =>
          Effect.gen(function*() {
            yield* interruptEverywhere(name, script)
            assert.deepStrictEqual(yield* (yield* Journal.Journal).pending, [])
          }).pipe(Effect.provide(Journal.layerMemory)))
      }
    })
  }
})

// ---------------------------------------------------------------------------------------------------------------------
// the end of the layer
// ---------------------------------------------------------------------------------------------------------------------

/** A budget whose scope the test closes itself, over a ledger that lives on. */
const closable = Effect.fnUntraced(function*(scripts: ScriptedAuthority.Scripts, options?: Budget.Options) {
  const outer = yield* Layer.build(Layer.provideMerge(ScriptedAuthority.layer(scripts), memory))
  const scope = yield* Scope.make()
  const services = yield* Layer.buildWithScope(Budget.layer(options), scope).pipe(Effect.provideContext(outer))
  const figures = Effect.map(
    Context.get(outer, BudgetAuthority.BudgetAuthority).balances({ tenant: "acme" }),
    ({ balances }) => ({ reserved: balances[0]?.reserved?.amount, spent: balances[0]?.spent?.amount })
  )
  const kinds = Effect.map(
    Context.get(outer, Ledger.Ledger).entries("acme"),
    (entries) => entries.slice(1).map(({ kind }) => kind)
  )
  return { close: Scope.close(scope, Exit.void), figures, kinds, services }
})

const waits = (r: Effect.Effect<void>) =>
  Effect.map(Effect.forkChild(r), (fiber) => () => fiber.pollUnsafe() === undefined)

describe("the end of Budget.layer", () => {
  NoLeaks.effect("waits for a release under way", () =>
    Effect.gen(function*() {
      const { close, figures, services } = yield* closable({ release: [delayRequest("8 seconds")] })
      const fiber = yield* Effect.forkChild(
        Effect.provideContext(Budget.guard(request("left"), () => Effect.never), services)
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      const waiting = yield* waits(close)
      yield* TestClock.adjust(7_999)
      assert.isTrue(waiting())
      assert.strictEqual((yield* figures).reserved, 60n)
      yield* TestClock.adjust(1)
      assert.isFalse(waiting())
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 0n })
    }))

  NoLeaks.effect("waits for a commit under way whose caller was interrupted", () =>
    Effect.gen(function*() {
      const { close, figures, services } = yield* closable({ commit: [delayRequest("8 seconds")] })
      const fiber = yield* Effect.forkChild(
        Effect.provideContext(Budget.guard(request("paid"), (r) => Effect.succeed(r.commit(actual))), services)
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      const waiting = yield* waits(close)
      yield* TestClock.adjust(6_999)
      assert.isTrue(waiting())
      yield* TestClock.adjust(1)
      assert.isFalse(waiting())
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: ACTUAL })
    }))

  NoLeaks.effect("waits for a reserve under way and then for the release it leads to", () =>
    Effect.gen(function*() {
      const { close, figures, kinds, services } = yield* closable({
        reserve: [delayRequest("3 seconds")],
        release: [delayRequest("3 seconds")]
      })
      const fiber = yield* Effect.forkChild(
        Effect.provideContext(Budget.guard(request("left"), () => Effect.never), services)
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      const waiting = yield* waits(close)
      yield* TestClock.adjust(4_999)
      assert.isTrue(waiting())
      yield* TestClock.adjust(1)
      assert.isFalse(waiting())
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 0n })
      assert.deepStrictEqual(yield* kinds, ["RESERVE", "RELEASE"])
    }))

  for (
    const [what, options, limit] of [
      ["10 seconds", undefined, 10_000],
      ["its shutdownTimeout", { shutdownTimeout: "3 seconds" }, 3_000]
    ] as const
  ) {
    NoLeaks.effect(`gives up after ${what} and leaves the hold to its lease`, () =>
      Effect.gen(function*() {
        const { close, figures, services } = yield* closable({ release: [loseRequest()] }, options)
        const fiber = yield* Effect.forkChild(
          Effect.provideContext(Budget.guard(request("left"), () => Effect.never), services)
        )
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        const waiting = yield* waits(close)
        yield* TestClock.adjust(limit - 1)
        assert.isTrue(waiting())
        yield* TestClock.adjust(1)
        assert.isFalse(waiting())
        assert.strictEqual((yield* figures).reserved, 60n)
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual((yield* figures).reserved, 0n)
      }))
  }

  NoLeaks.effect("gives up on a reserve that is never answered", () =>
    Effect.gen(function*() {
      const { close, services } = yield* closable({ reserve: [loseReply()] })
      const fiber = yield* Effect.forkChild(
        Effect.provideContext(Budget.guard(request("left"), () => Effect.never), services)
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      const waiting = yield* waits(close)
      yield* TestClock.adjust(9_999)
      assert.isTrue(waiting())
      yield* TestClock.adjust(1)
      assert.isFalse(waiting())
    }))

  NoLeaks.effect("takes no time where nothing is under way", () =>
    Effect.gen(function*() {
      const { close, services } = yield* closable({})
      yield* Effect.provideContext(Budget.guard(request("paid"), (r) => Effect.succeed(r.commit(actual))), services)
      yield* close
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
    }))
})
