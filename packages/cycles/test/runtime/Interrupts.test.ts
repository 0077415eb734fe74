import { NoLeaks, ScriptedAuthority } from "@effect-cycles/testing"
import { assert, describe } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, Ledger, Reservation } from "effect-cycles"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
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
      }), { concurrency: 2 })
} satisfies Record<string, Program>

type ProgramName = keyof typeof programs

const everyProgram = Object.keys(programs) as ReadonlyArray<ProgramName>
const somePrograms: ReadonlyArray<ProgramName> = [
  "guard with a generator",
  "guard that releases",
  "scoped reservation that is committed",
  "nested guards"
]

const memory = Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] })

const layerWith = (scripts: ScriptedAuthority.Scripts | undefined) =>
  Budget.layer({ ttl: TTL_MS }).pipe(
    Layer.provideMerge(scripts === undefined ? memory : Layer.provideMerge(ScriptedAuthority.layer(scripts), memory))
  )

/** Runs a few operations of a fiber at a time and calls `onStep` before each such step, whichever fiber it belongs to. */
const stepping = (parent: Scheduler.Scheduler, onStep: () => void): Scheduler.Scheduler => ({
  executionMode: parent.executionMode,
  // A step needs one operation to come back from the yield and one more to get on.
  shouldYield: (fiber) => fiber.currentOpCount >= 3,
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
const QUIET_TURNS = 20

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
    Effect.provideService(Scheduler.Scheduler, stepping(yield* Scheduler.Scheduler, onStep)),
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
  // At once: the clock has not moved since.
  const exit = fiber.pollUnsafe()
  assert.isDefined(exit, `step ${at}: the caller still waits after it was interrupted`)
  if (interruptedAt === undefined) assert.isTrue(Exit.isSuccess(exit!), `step ${at}: the program failed on its own`)
  else {
    assert.strictEqual(exitedAt, interruptedAt)
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
  const charged = new Set<string>()
  for (const entry of entries) {
    if (entry.reservationId === undefined) continue
    kinds.set(entry.reservationId, [...(kinds.get(entry.reservationId) ?? []), entry.kind])
    if (entry.kind === "COMMIT") charged.add(entry.action!.name)
  }
  for (const [id, of] of kinds) {
    assert.include(["RESERVE COMMIT", "RESERVE RELEASE"], of.join(" "), `step ${at}: reservation ${id}`)
  }
  for (const name of charged) assert.isTrue(told.returned.has(name), `step ${at}: ${name} was charged and had not returned`)
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
    console.log(name, at, steps)
    // Far fewer would mean that the steps were not found.
    assert.isAbove(steps, 20)
    return
  }
})

const { delayReply, delayRequest, loseReply, loseRequest, times } = ScriptedAuthority

describe("interrupted at any step, over the memory ledger, leaves nothing behind:", () => {
  for (const name of everyProgram) NoLeaks.effect(name, () => interruptEverywhere(name))
})

const scripts: Record<string, ScriptedAuthority.Scripts> = {
  "the reserve arrives late": { reserve: [delayRequest(80)] },
  "the reply to the reserve is late": { reserve: [delayReply(80)] },
  "the reserve is lost": { reserve: [loseRequest(80)] },
  "the reply to the reserve is lost": { reserve: [loseReply(80)] },
  "three replies to the reserve are lost": { reserve: [times(3, loseReply(80))] },
  "the reply to the commit is late": { commit: [delayReply(80)] },
  "the commit is lost": { commit: [loseRequest(80)] },
  "the reply to the commit is lost": { commit: [loseReply(80)] },
  "the reply to the release is late": { release: [delayReply(80)] },
  "the release is lost": { release: [loseRequest(80)] },
  "the reply to the release is lost": { release: [loseReply(80)] },
  "everything is late": {
    reserve: [ScriptedAuthority.always(delayRequest(40, delayReply(40)))],
    commit: [ScriptedAuthority.always(delayRequest(40, delayReply(40)))],
    release: [ScriptedAuthority.always(delayRequest(40, delayReply(40)))]
  },
  "every first reply is lost": {
    reserve: [loseReply(80)],
    commit: [loseReply(80)],
    release: [loseReply(80)]
  }
}

describe("interrupted at any step leaves nothing behind, where", () => {
  for (const [what, script] of Object.entries(scripts)) {
    describe(what, () => {
      for (const name of somePrograms) NoLeaks.effect(name, () => interruptEverywhere(name, script))
    })
  }
  describe("every first reply is lost", () => {
    NoLeaks.effect("guards in a concurrent forEach", () =>
      interruptEverywhere("guards in a concurrent forEach", scripts["every first reply is lost"]))
  })
})
