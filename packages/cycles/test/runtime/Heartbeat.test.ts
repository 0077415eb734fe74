import { NoLeaks, ScriptedAuthority } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Heartbeat, Ledger, Reservation } from "effect-cycles"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

const { always, delayReply, delayRequest, fail, loseReply, loseRequest, rateLimit, times } = ScriptedAuthority

// ---------------------------------------------------------------------------------------------------------------------
// the schedule
// ---------------------------------------------------------------------------------------------------------------------

const lead = (floorMs: number, maxRttMs = 0, receivedAtMs = 0): Heartbeat.Lead => ({ floorMs, maxRttMs, receivedAtMs })
interface Throttle {
  readonly throttled: boolean
  readonly retryAfterMs?: number | undefined
}
const notThrottled: Throttle = { throttled: false }

/** A small generator of the same numbers every time. */
const numbers = (seed: number) => (below: number): number => {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
  return seed % below
}

describe("the schedule", () => {
  it("is that of the specification's example", () => {
    // A lead of 60 s, a timeout of 10 s, a round trip of 1.5 s.
    assert.strictEqual(Heartbeat.nextDelay(lead(60_000, 1_500), 10_000), 37_000)
    // A timeout of 30 s needs 61 s in reserve: there is no safe delay.
    assert.strictEqual(Heartbeat.nextDelay(lead(60_000, 1_500), 30_000), 0)
  })

  it("takes the round trip off the reply's word, and remembers the longest", () => {
    assert.deepStrictEqual(Heartbeat.observe(60_000, 1_000, 2_500, 200), lead(58_500, 1_500, 2_500))
    assert.deepStrictEqual(Heartbeat.observe(60_000, 1_000, 1_100, 1_500), lead(59_900, 1_500, 1_100))
    assert.deepStrictEqual(Heartbeat.observe(1_000, 0, 3_000, 0), lead(0, 3_000, 3_000))
    // Where a clock ran backwards the round trip is not known, and nothing is known of the lease.
    assert.deepStrictEqual(Heartbeat.observe(1_000, 5, 4, 0), lead(0, 0, 4))
  })

  it("assumes a second at least for an attempt and for the margin", () => {
    assert.strictEqual(Heartbeat.nextDelay(lead(10_000), 1), 7_000)
    assert.deepStrictEqual(Heartbeat.retryDelay(lead(10_000), 1, 0, notThrottled), { delayMs: 2_500, windowMs: 8_000 })
  })

  it("repeats after a quarter of what is left, half a minute at most, and never later than is safe", () => {
    assert.deepStrictEqual(Heartbeat.retryDelay(lead(21_000), 10_000, 0, notThrottled), {
      delayMs: 5_250,
      windowMs: 10_000
    })
    assert.deepStrictEqual(Heartbeat.retryDelay(lead(600_000), 5_000, 0, notThrottled), {
      delayMs: 30_000,
      windowMs: 594_000
    })
    assert.deepStrictEqual(Heartbeat.retryDelay(lead(13_000), 10_000, 0, notThrottled), {
      delayMs: 2_000,
      windowMs: 2_000
    })
    assert.deepStrictEqual(Heartbeat.retryDelay(lead(11_000), 10_000, 0, notThrottled), { delayMs: 0, windowMs: 0 })
    assert.isUndefined(Heartbeat.retryDelay(lead(10_999), 10_000, 0, notThrottled))
    // What has passed since the reply is gone.
    assert.isUndefined(Heartbeat.retryDelay(lead(60_000, 0, 1_000), 10_000, 50_001, notThrottled))
  })

  it("waits as long as a throttling authority asks, where that is safe, and does not guess", () => {
    const throttled = (retryAfterMs?: number) =>
      Heartbeat.retryDelay(lead(21_000), 10_000, 0, { throttled: true, retryAfterMs })
    assert.deepStrictEqual(throttled(10_000), { delayMs: 10_000, windowMs: 10_000 })
    assert.deepStrictEqual(throttled(0), { delayMs: 0, windowMs: 10_000 })
    assert.isUndefined(throttled(10_001))
    assert.isUndefined(throttled())
  })

  it("always leaves time for one failed attempt and one retry, or does not wait at all", () => {
    const next = numbers(7)
    for (let i = 0; i < 20_000; i++) {
      const floorMs = next(200_000) + next(1_000) / 1_000
      const maxRttMs = next(8_000) + next(1_000) / 1_000
      const timeoutMs = next(20_000)
      const delay = Heartbeat.nextDelay(lead(floorMs, maxRttMs), timeoutMs)
      const attempt = Math.max(timeoutMs, 1_000, 2 * maxRttMs)
      const margin = Math.max(1_000, 2 * maxRttMs)
      assert.isAtLeast(delay, 0)
      if (delay > 0) assert.isAtLeast(floorMs - delay, 2 * attempt + margin)
      // No later for a slower network, a longer timeout, or a shorter lease.
      assert.isAtMost(Heartbeat.nextDelay(lead(floorMs, maxRttMs + 100), timeoutMs), delay)
      assert.isAtMost(Heartbeat.nextDelay(lead(floorMs, maxRttMs), timeoutMs + 100), delay)
      assert.isAtMost(Heartbeat.nextDelay(lead(Math.max(0, floorMs - 100), maxRttMs), timeoutMs), delay)
    }
  })

  it("leaves time for a whole attempt after the wait before a retry, or does not retry", () => {
    const next = numbers(11)
    let retried = 0
    for (let i = 0; i < 20_000; i++) {
      const at = lead(next(100_000), next(4_000) + next(1_000) / 1_000, next(1_000))
      const timeoutMs = next(20_000)
      const nowMs = at.receivedAtMs + next(100_000)
      const throttle: Throttle = next(2) === 0 ? notThrottled : { throttled: true, retryAfterMs: next(30_000) }
      const retry = Heartbeat.retryDelay(at, timeoutMs, nowMs, throttle)
      const left = Math.max(0, at.floorMs - (nowMs - at.receivedAtMs))
      const needed = Math.max(timeoutMs, 1_000, 2 * at.maxRttMs) + Math.max(1_000, 2 * at.maxRttMs)
      if (retry === undefined) {
        assert.isTrue(left < needed || (throttle.retryAfterMs ?? 0) > Math.floor(left - needed))
        continue
      }
      retried++
      assert.isAtLeast(retry.delayMs, 0)
      assert.isAtLeast(left - retry.delayMs, needed)
      if (throttle.throttled) assert.strictEqual(retry.delayMs, throttle.retryAfterMs)
      else assert.isAtMost(retry.delayMs, Math.min(30_000, left / 4))
    }
    assert.isAbove(retried, 1_000)
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// the loop
// ---------------------------------------------------------------------------------------------------------------------

const action = Action.make("llm.completion", "gpt-4o")
const request = { action, estimate: Amount.tokens(60) }

const layerWith = (
  scripts: ScriptedAuthority.Scripts = {},
  options: Budget.Options = { ttl: "60 seconds", heartbeatTimeout: "10 seconds" },
  maxExtensions?: number
) =>
  Budget.layer(options).pipe(
    Layer.provideMerge(ScriptedAuthority.layer(scripts)),
    Layer.provideMerge(Ledger.layerMemory({
      tenant: "acme",
      budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100), overdraftLimit: Amount.tokens(50) }],
      maxExtensions
    }))
  )

const figures = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const { balances } = yield* authority.balances({ tenant: "acme" })
  return { reserved: balances[0]?.reserved?.amount, spent: balances[0]?.spent?.amount }
})

const calls = <O extends ScriptedAuthority.Operation>(operation: O) =>
  Effect.flatMap(ScriptedAuthority.ScriptedAuthority, (script) => script.callsOf(operation))

/** When extensions were sent, and the number of the beat in the key of each. */
const beats = Effect.map(
  calls("extend"),
  (extends_) => extends_.map(({ request, sentAtMs }) => [sentAtMs, request.idempotencyKey.replace(/^.*-/, "")])
)

/** What was logged, by level. */
const recording = () => {
  const lines: Array<string> = []
  const layer = Logger.layer([
    Logger.make(({ logLevel, message }) => {
      lines.push(`${logLevel} ${[message].flat().map(String).join(" ")}`)
    })
  ])
  return { lines, layer }
}

const working = (milliseconds: number, more: Partial<Budget.Request<"TOKENS">> = {}) =>
  Budget.guard(
    { ...request, ...more },
    (r) => Effect.as(Effect.sleep(milliseconds), r.commit(Amount.tokens(9), "done"))
  )

/** Runs a guarded sleep, and advances the clock to its end and a good deal beyond. */
const runThrough = (milliseconds: number, more?: Partial<Budget.Request<"TOKENS">>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(working(milliseconds, more))
    yield* TestClock.adjust(milliseconds)
    yield* TestClock.adjust("10 minutes")
    return yield* Effect.exit(Fiber.join(fiber))
  })

describe("the heartbeat", () => {
  NoLeaks.effect(
    "beats as the schedule says, each time with a new key, for the ttl that was asked for",
    () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* runThrough(230_000), Exit.succeed("done"))
        // First 60 s less 21 s; what is left then is 21 s and 60 s more.
        assert.deepStrictEqual(yield* beats, [[39_000, "1"], [99_000, "2"], [159_000, "3"], [219_000, "4"]])
        const extensions = yield* calls("extend")
        assert.strictEqual(new Set(extensions.map(({ request }) => request.idempotencyKey)).size, 4)
        assert.deepStrictEqual(extensions.map(({ request }) => request.extendByMs), [60_000, 60_000, 60_000, 60_000])
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
      }).pipe(Effect.provide(layerWith()))
  )

  NoLeaks.effect("beats earlier where the authority is slow", () =>
    Effect.gen(function*() {
      yield* runThrough(100_000)
      // The reply took 1.5 s: 58.5 s are left, 23 s are needed, and the reply came at 1.5 s.
      assert.strictEqual((yield* beats)[0]?.[0], 1_500 + 35_500)
    }).pipe(Effect.provide(layerWith({ reserve: [delayReply(1_500)] }))))

  NoLeaks.effect("does nothing for work that ends before the first beat", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* runThrough(38_999), Exit.succeed("done"))
      assert.deepStrictEqual(yield* beats, [])
    }).pipe(Effect.provide(layerWith())))

  for (
    const [what, trouble] of [
      ["an internal error", fail(new CyclesError.InternalError({}))],
      ["an authority that is unavailable", fail(new CyclesError.AuthorityUnavailable({}))]
    ] as const
  ) {
    NoLeaks.effect(`repeats after ${what} with the same key, and goes on`, () =>
      Effect.gen(function*() {
        yield* runThrough(110_000)
        // 21 s are left: a quarter of them, then 15.75 s and 60 s more.
        assert.deepStrictEqual(yield* beats, [[39_000, "1"], [44_250, "1"], [99_000, "2"]])
        const [first, second] = yield* calls("extend")
        assert.strictEqual(second?.request.idempotencyKey, first?.request.idempotencyKey)
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
      }).pipe(Effect.provide(layerWith({ extend: [trouble] }))))
  }

  NoLeaks.effect("repeats after a timeout with the same key: a lost reply extends once", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(working(60_000))
      yield* TestClock.adjust("55 seconds")
      // Sent at 39 s, given up at 49 s; then 11 s are left, just enough for one more attempt at once.
      assert.deepStrictEqual(yield* beats, [[39_000, "1"], [49_000, "1"]])
      const authority = yield* BudgetAuthority.BudgetAuthority
      const { reservations } = yield* authority.reservations({})
      assert.strictEqual(reservations[0]?.expiresAtMs, 120_000)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(fiber)
    }).pipe(Effect.provide(layerWith({ extend: [loseReply()] }))))

  NoLeaks.effect("gives up when no further attempt is sure to fit", () =>
    Effect.gen(function*() {
      const { layer, lines } = recording()
      yield* runThrough(110_000).pipe(Effect.provide(layer))
      assert.deepStrictEqual(yield* beats, [[39_000, "1"], [49_000, "1"]])
      assert.match(lines.join("\n"), /Warn.*was lost: no answer within 10000 ms/)
    }).pipe(Effect.provide(layerWith({ extend: [always(loseRequest())] }))))

  NoLeaks.effect("goes on repeating while the time that is left goes down and suffices", () =>
    Effect.gen(function*() {
      yield* runThrough(110_000)
      // A quarter of the 21 s, then of the 15.75 s that are left; then what there is to spare; then at once, for the last time.
      const sent = (yield* beats).map(([at]) => at)
      assert.deepStrictEqual(sent, [39_000, 44_250, 48_187, 49_000, 49_000])
      assert.strictEqual(new Set((yield* beats).map(([, key]) => key)).size, 1)
    }).pipe(Effect.provide(layerWith({ extend: [always(fail(new CyclesError.InternalError({})))] }))))

  const permanent = [
    new CyclesError.ReservationExpired({}),
    new CyclesError.ReservationFinalized({}),
    new CyclesError.MaxExtensionsExceeded({}),
    new CyclesError.TenantClosed({}),
    new CyclesError.NotFound({}),
    new CyclesError.Forbidden({}),
    new CyclesError.Unauthorized({}),
    new CyclesError.IdempotencyMismatch({}),
    new CyclesError.InvalidRequest({ field: "extendByMs" }),
    new CyclesError.UnknownDenial({ code: "NEW" })
  ]
  for (const error of permanent) {
    NoLeaks.effect(`stops for good after ${error._tag}`, () =>
      Effect.gen(function*() {
        const { layer, lines } = recording()
        yield* runThrough(300_000).pipe(Effect.provide(layer))
        assert.deepStrictEqual(yield* beats, [[39_000, "1"]])
        assert.match(lines.join("\n"), /Warn The lease of reservation .* was lost/)
      }).pipe(Effect.provide(layerWith({ extend: [fail(error)] }))))
  }

  NoLeaks.effect("stops when a lease was extended as often as it may be", () =>
    Effect.gen(function*() {
      yield* runThrough(300_000)
      assert.deepStrictEqual((yield* beats).map(([at]) => at), [39_000, 99_000, 159_000])
    }).pipe(Effect.provide(layerWith({}, undefined, 2))))

  NoLeaks.effect(
    "extends a lease without a safe delay at once, and goes on where that gave it one",
    () =>
      Effect.gen(function*() {
        yield* runThrough(30_000)
        // 10 s are less than the 11 s that are needed; 20 s are not.
        assert.deepStrictEqual(yield* beats, [[0, "1"], [9_000, "2"], [19_000, "3"], [29_000, "4"]])
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
      }).pipe(Effect.provide(layerWith({}, { ttl: "10 seconds", heartbeatTimeout: "5 seconds" })))
  )

  NoLeaks.effect("does not spin: a second delay of zero in a row ends it", () =>
    Effect.gen(function*() {
      const { layer, lines } = recording()
      yield* runThrough(30_000).pipe(Effect.provide(layer))
      assert.deepStrictEqual(yield* beats, [[0, "1"]])
      assert.match(lines.join("\n"), /shorter than the time a safe retry needs/)
    }).pipe(Effect.provide(layerWith({}, { ttl: "2 seconds", heartbeatTimeout: "5 seconds" }))))

  NoLeaks.effect("waits as long as it is told where it is throttled and that is safe", () =>
    Effect.gen(function*() {
      yield* runThrough(60_000)
      assert.deepStrictEqual(yield* beats, [[39_000, "1"], [49_000, "1"]])
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
    }).pipe(Effect.provide(layerWith({ extend: [rateLimit(10_000)] }))))

  for (
    const [what, behaviour] of [["longer", rateLimit(10_001)], ["and not told for how long", rateLimit()]] as const
  ) {
    NoLeaks.effect(`stops where it is throttled ${what}`, () =>
      Effect.gen(function*() {
        const { layer, lines } = recording()
        yield* runThrough(60_000).pipe(Effect.provide(layer))
        assert.deepStrictEqual(yield* beats, [[39_000, "1"]])
        assert.match(lines.join("\n"), /Warn .*Rate limited/)
      }).pipe(Effect.provide(layerWith({ extend: [behaviour] }))))
  }
})

// ---------------------------------------------------------------------------------------------------------------------
// the end of the heartbeat
// ---------------------------------------------------------------------------------------------------------------------

describe("the heartbeat ends", () => {
  const silentAfter = (milliseconds: number) =>
    Effect.gen(function*() {
      const before = (yield* beats).length
      yield* TestClock.adjust("20 minutes")
      const all = yield* beats
      assert.strictEqual(all.length, before)
      assert.isTrue(all.every(([at]) => Number(at) <= milliseconds))
    })

  NoLeaks.effect("with the commit", () =>
    Effect.gen(function*() {
      yield* runThrough(50_000)
      assert.deepStrictEqual(yield* beats, [[39_000, "1"]])
      yield* silentAfter(50_000)
    }).pipe(Effect.provide(layerWith())))

  NoLeaks.effect(
    "with the terminal reply and not before: a commit that is late still has its lease",
    () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(working(50_000))
        yield* TestClock.adjust("300 seconds")
        assert.strictEqual(yield* Fiber.join(fiber), "done")
        assert.deepStrictEqual((yield* beats).map(([at]) => at), [39_000, 99_000, 159_000, 219_000])
        assert.deepStrictEqual((yield* calls("event")).length, 0)
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
        yield* silentAfter(250_000)
      }).pipe(Effect.provide(layerWith({ commit: [delayRequest("200 seconds")] })))
  )

  for (
    const [what, body] of [
      ["a release", (r) => Effect.as(Effect.sleep(50_000), r.release())],
      ["a failure", () => Effect.delay(Effect.fail("boom"), 50_000)],
      ["a defect", () => Effect.delay(Effect.die("bug"), 50_000)]
    ] as ReadonlyArray<[string, <S>(r: Reservation.Guarded<S, "TOKENS">) => Effect.Effect<never, string>]>
  ) {
    NoLeaks.effect(`with the decision for ${what}, however long the release takes`, () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Effect.exit(Budget.guard(request, body)))
        yield* TestClock.adjust("50 seconds")
        assert.strictEqual((yield* calls("release")).length, 1)
        yield* TestClock.adjust("100 seconds")
        yield* Fiber.join(fiber)
        yield* silentAfter(50_000)
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 0n })
      }).pipe(Effect.provide(layerWith({ release: [delayReply("100 seconds")] }))))
  }

  NoLeaks.effect("with the interruption of the work", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(working(500_000))
      yield* TestClock.adjust("50 seconds")
      yield* Fiber.interrupt(fiber)
      yield* silentAfter(50_000)
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 0n })
    }).pipe(Effect.provide(layerWith())))

  NoLeaks.effect("with an extension under way, whose reply nobody waits for", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(working(41_000))
      yield* TestClock.adjust("41 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
      assert.deepStrictEqual(yield* beats, [[39_000, "1"]])
      yield* silentAfter(41_000)
    }).pipe(Effect.provide(layerWith({ extend: [delayReply("9 seconds")] }))))

  NoLeaks.effect("with the scope of a reservation, and with its commit", () =>
    Effect.gen(function*() {
      const left = yield* Effect.forkChild(
        Effect.scoped(Effect.andThen(Reservation.make(request), Effect.sleep(50_000)))
      )
      yield* TestClock.adjust("50 seconds")
      yield* Fiber.join(left)
      yield* silentAfter(50_000)
      const fiber = yield* Effect.forkChild(Effect.scoped(Effect.gen(function*() {
        const r = yield* Reservation.make(request)
        yield* Effect.sleep(50_000)
        yield* Reservation.commit(r, Amount.tokens(9))
        yield* Effect.sleep(500_000)
      })))
      const startedAt = yield* Clock.currentTimeMillis
      yield* TestClock.adjust("500 seconds")
      assert.strictEqual((yield* beats).length, 2)
      yield* silentAfter(startedAt + 50_000)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
    }).pipe(Effect.provide(layerWith())))
})

// ---------------------------------------------------------------------------------------------------------------------
// what a lost lease does
// ---------------------------------------------------------------------------------------------------------------------

const lostAtOnce: ScriptedAuthority.Scripts = { extend: [fail(new CyclesError.MaxExtensionsExceeded({}))] }

describe("a lost lease", () => {
  NoLeaks.effect("is a warning by default; the work and its settlement go on", () =>
    Effect.gen(function*() {
      const { layer, lines } = recording()
      const exit = yield* runThrough(50_000).pipe(Effect.provide(layer))
      assert.deepStrictEqual(exit, Exit.succeed("done"))
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0] ?? "", /^Warn The lease of reservation .* was lost: .*[Nn]o more extensions/)
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
    }).pipe(Effect.provide(layerWith(lostAtOnce))))

  NoLeaks.effect(
    "under failOnSettle fails the call after its settlement was carried out",
    () =>
      Effect.gen(function*() {
        const { layer, lines } = recording()
        const fiber = yield* Effect.forkChild(
          working(50_000, { heartbeat: "failOnSettle" }).pipe(Effect.provide(layer))
        )
        yield* TestClock.adjust(49_999)
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust(1)
        const error = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(error._tag, "LeaseLost")
        assert.strictEqual((yield* calls("commit")).length, 1)
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
        assert.deepStrictEqual(lines, [])
      }).pipe(Effect.provide(layerWith(lostAtOnce)))
  )

  NoLeaks.effect("under failOnSettle leaves a body's own failure as it is", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Budget.guard(
          { ...request, heartbeat: "failOnSettle" },
          () => Effect.delay(Effect.fail("mine" as const), 50_000)
        )
      )
      yield* TestClock.adjust("50 seconds")
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "mine")
    }).pipe(Effect.provide(layerWith(lostAtOnce))))

  NoLeaks.effect("under failOnSettle is nothing where the lease was kept", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* runThrough(50_000, { heartbeat: "failOnSettle" }), Exit.succeed("done"))
    }).pipe(Effect.provide(layerWith())))

  NoLeaks.effect(
    "under interrupt interrupts the work at once, gives the hold back, and fails",
    () =>
      Effect.gen(function*() {
        let interruptedAt: number | undefined
        const clock = yield* Clock.Clock
        const fiber = yield* Effect.forkChild(Budget.guard({ ...request, heartbeat: "interrupt" }, () =>
          Effect.onInterrupt(Effect.never, () =>
            Effect.sync(() => {
              interruptedAt = clock.currentTimeMillisUnsafe()
            }))))
        yield* TestClock.adjust(38_999)
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust(1)
        const error = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(error._tag, "LeaseLost")
        assert.strictEqual(interruptedAt, 39_000)
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 0n })
      }).pipe(Effect.provide(layerWith(lostAtOnce)))
  )

  NoLeaks.effect("under interrupt ends a stream at once, and charges what was seen", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Stream.runDrain(Budget.guardStream({ ...request, heartbeat: "interrupt" }, {
        stream: () => Stream.concat(Stream.make("a", "b"), Stream.never),
        meter: { initial: 0, step: (n) => n + 1 },
        settle: (r, n) => r.commit(Amount.tokens(n))
      })))
      yield* TestClock.adjust(38_999)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Effect.flip(Fiber.join(fiber)))._tag, "LeaseLost")
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 2n })
    }).pipe(Effect.provide(layerWith(lostAtOnce))))

  NoLeaks.effect("under interrupt leaves the caller free to interrupt the work itself", () =>
    Effect.gen(function*() {
      const end = yield* Latch.make(false)
      const fiber = yield* Effect.forkChild(
        Budget.guard({ ...request, heartbeat: "interrupt" }, (r) => Effect.as(end.await, r.release()))
      )
      yield* TestClock.adjust("1 second")
      fiber.interruptUnsafe()
      for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
      const atOnce = fiber.pollUnsafe() !== undefined
      yield* end.open
      assert.isTrue(atOnce, "the interruption waits for the body")
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 0n })
    }).pipe(Effect.provide(layerWith())))

  NoLeaks.effect("under interrupt lets work pass that was done in time", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* runThrough(50_000, { heartbeat: "interrupt" }), Exit.succeed("done"))
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
    }).pipe(Effect.provide(layerWith())))

  NoLeaks.effect("is there to be asked for on a scoped reservation", () =>
    Effect.gen(function*() {
      const r = yield* Reservation.make(request)
      assert.isUndefined(Reservation.lost(r))
      yield* TestClock.adjust("39 seconds")
      assert.strictEqual(Reservation.lost(r)?._tag, "LeaseLost")
      assert.strictEqual(Reservation.lost(r)?.reservationId, r.id)
    }).pipe(Effect.scoped, Effect.provide(layerWith(lostAtOnce))))
})

// ---------------------------------------------------------------------------------------------------------------------
// trouble with a settlement
// ---------------------------------------------------------------------------------------------------------------------

const outcomeOf = (actual: number, more: Partial<Budget.Request<"TOKENS">> = {}) =>
  Budget.guardOutcome({ ...request, ...more }, (r) =>
    Effect.succeed(r.commit(Amount.tokens(actual), "kept", {
      metrics: { tokensOutput: actual, latencyMs: 3 },
      metadata: { run: "7" }
    })))

const settledAfter = (
  milliseconds: number,
  effect: Effect.Effect<unknown, unknown, Budget.Budget>
) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect)
    yield* TestClock.adjust(milliseconds)
    return yield* Fiber.join(fiber)
  })

describe("a commit in trouble", () => {
  for (
    const [what, behaviours] of [
      ["that fails three times", [times(3, fail(new CyclesError.InternalError({})))]],
      ["whose request is lost twice", [times(2, loseRequest(100))]],
      ["whose reply is lost twice", [times(2, loseReply(100))]],
      ["that is throttled", [rateLimit()]]
    ] as const
  ) {
    NoLeaks.effect(`${what} is repeated with the same key and charged once`, () =>
      Effect.gen(function*() {
        const settled = yield* settledAfter(10_000, outcomeOf(9))
        assert.deepStrictEqual(settled, {
          value: "kept",
          outcome: { _tag: "Committed", charged: Amount.tokens(9), released: Amount.tokens(51) }
        })
        const commits = yield* calls("commit")
        assert.isAbove(commits.length, 1)
        const [first] = commits
        assert.isTrue(commits.every(({ id, request }) => id === first?.id && request === first?.request))
        assert.strictEqual(first?.request.idempotencyKey, `commit-${first?.id}`)
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
      }).pipe(Effect.provide(layerWith({ commit: behaviours }))))
  }

  NoLeaks.effect("is not repeated before the authority says it may be", () =>
    Effect.gen(function*() {
      yield* settledAfter(20_000, outcomeOf(9))
      const [first, second, third] = (yield* calls("commit")).map(({ sentAtMs }) => sentAtMs)
      assert.isAtLeast(second ?? 0, (first ?? 0) + 3_000, "the first repetition comes too early")
      assert.isAtLeast(third ?? 0, (second ?? 0) + 4_000, "the second repetition comes too early")
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
    }).pipe(Effect.provide(layerWith({ commit: [rateLimit(3_000), rateLimit(4_000)] }))))

  NoLeaks.effect(
    "that is never answered is Unresolved after some repetitions; the value is kept and an error logged",
    () =>
      Effect.gen(function*() {
        const { layer, lines } = recording()
        const settled = yield* settledAfter(60_000, outcomeOf(9).pipe(Effect.provide(layer)))
        assert.strictEqual(Reflect.get(Object(settled), "value"), "kept")
        assert.strictEqual(Reflect.get(Object(Reflect.get(Object(settled), "outcome")), "_tag"), "Unresolved")
        const commits = yield* calls("commit")
        assert.strictEqual(commits.length, 8)
        assert.strictEqual(new Set(commits.map(({ request }) => request.idempotencyKey)).size, 1)
        assert.match(lines.join("\n"), /^Error The commit of reservation .* got no answer/)
      }).pipe(Effect.provide(layerWith({ commit: [always(loseRequest(100))] })))
  )

  NoLeaks.effect("whose lease has ended is charged as an event, under the same key", () =>
    Effect.gen(function*() {
      const settled = yield* settledAfter(
        1_000,
        outcomeOf(9, { subject: { agent: "bot" }, overagePolicy: "ALLOW_WITH_OVERDRAFT" })
      )
      assert.deepStrictEqual(settled, {
        value: "kept",
        outcome: { _tag: "RecoveredAsEvent", charged: Amount.tokens(9) }
      })
      const [commit] = yield* calls("commit")
      const [event] = yield* calls("event")
      assert.deepStrictEqual(event?.request, {
        ...commit?.request,
        subject: { tenant: "acme", agent: "bot" },
        action,
        overagePolicy: "ALLOW_WITH_OVERDRAFT",
        metadata: {
          run: "7",
          recovered_reservation_id: commit?.id,
          recovery_reason: "commit_after_reservation_expired"
        }
      } as never)
      assert.strictEqual((yield* figures).spent, 9n)
    }).pipe(Effect.provide(layerWith({ commit: [fail(new CyclesError.ReservationExpired({}))] }))))

  NoLeaks.effect("whose lease has really ended gave its hold back and is charged once", () =>
    Effect.gen(function*() {
      // The lease is lost at 39 s, ends at 60 s and with its grace at 65 s.
      assert.deepStrictEqual(yield* runThrough(90_000), Exit.succeed("done"))
      const events = yield* calls("event")
      assert.strictEqual(events.length, 3)
      assert.strictEqual(new Set(events.map(({ request }) => request.idempotencyKey)).size, 1)
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
      const ledger = yield* Ledger.Ledger
      const kinds = (yield* ledger.entries("acme")).map(({ kind }) => kind)
      assert.deepStrictEqual(kinds, ["CREATE", "RESERVE", "EXPIRE", "EVENT"])
    }).pipe(Effect.provide(layerWith({ ...lostAtOnce, event: [loseRequest(10), loseReply(10)] }))))

  NoLeaks.effect("that is refused is logged as an error; the value is kept", () =>
    Effect.gen(function*() {
      const { layer, lines } = recording()
      const settled = yield* settledAfter(1_000, outcomeOf(9).pipe(Effect.provide(layer)))
      assert.strictEqual(Reflect.get(Object(settled), "value"), "kept")
      assert.strictEqual(Reflect.get(Object(Reflect.get(Object(settled), "outcome")), "_tag"), "Rejected")
      assert.strictEqual((yield* calls("commit")).length, 1)
      assert.match(lines.join("\n"), /^Error The commit of reservation .* was refused/)
    }).pipe(Effect.provide(layerWith({ commit: [fail(new CyclesError.Forbidden({}))] }))))

  NoLeaks.effect(
    "above its hold and refused for that charges the hold, logs an error, and keeps the value",
    () =>
      Effect.gen(function*() {
        const { layer, lines } = recording()
        const settled = yield* settledAfter(
          1_000,
          outcomeOf(70, { overagePolicy: "REJECT" }).pipe(Effect.provide(layer))
        )
        assert.strictEqual(Reflect.get(Object(settled), "value"), "kept")
        const commits = yield* calls("commit")
        assert.deepStrictEqual(commits.map(({ request }) => request.actual.amount), [70n, 60n])
        assert.notStrictEqual(commits[0]?.request.idempotencyKey, commits[1]?.request.idempotencyKey)
        assert.match(lines.join("\n"), /^Error The commit of reservation .* was refused/)
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 60n })
      }).pipe(Effect.provide(layerWith()))
  )

  NoLeaks.effect("that is a failure of the body's own making still fails with that", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Budget.guard(request, (r) => Effect.succeed(r.commitFail(Amount.tokens(9), "mine" as const)))
      )
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "mine")
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
    }).pipe(Effect.provide(layerWith({ commit: [loseReply(10)] }))))
})

describe("a release in trouble", () => {
  const releasing = Budget.guardOutcome(request, (r) => Effect.succeed(r.release("kept")))

  NoLeaks.effect("is repeated with the same key", () =>
    Effect.gen(function*() {
      const settled = yield* settledAfter(10_000, releasing)
      assert.deepStrictEqual(settled, { value: "kept", outcome: { _tag: "Released", released: Amount.tokens(60) } })
      const releases = yield* calls("release")
      assert.strictEqual(releases.length, 3)
      assert.strictEqual(new Set(releases.map(({ request }) => request.idempotencyKey)).size, 1)
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 0n })
    }).pipe(Effect.provide(layerWith({ release: [loseRequest(10), loseReply(10)] }))))

  NoLeaks.effect("that is refused is a warning, and the value is kept", () =>
    Effect.gen(function*() {
      const { layer, lines } = recording()
      const settled = yield* settledAfter(1_000, releasing.pipe(Effect.provide(layer)))
      assert.strictEqual(Reflect.get(Object(settled), "value"), "kept")
      assert.match(lines.join("\n"), /^Warn The release of reservation .* was refused/)
    }).pipe(Effect.provide(layerWith({ release: [fail(new CyclesError.Forbidden({}))] }))))
})

describe("a reserve in trouble", () => {
  NoLeaks.effect("is repeated once with the same key, and then the body runs", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* settledAfter(100, working(0)), "done")
      const reserves = yield* calls("reserve")
      assert.strictEqual(reserves.length, 2)
      assert.strictEqual(reserves[0]?.request, reserves[1]?.request)
      assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
    }).pipe(Effect.provide(layerWith({ reserve: [loseReply(100)] }))))

  NoLeaks.effect(
    "that stays unanswered fails the call; what it took is found and given back",
    () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Effect.flip(working(0)))
        yield* TestClock.adjust(200)
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "AuthorityUnavailable")
        assert.strictEqual((yield* figures).reserved, 60n)
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 0n })
        assert.strictEqual(new Set((yield* calls("reserve")).map(({ request }) => request.idempotencyKey)).size, 1)
      }).pipe(Effect.provide(layerWith({ reserve: [times(4, loseReply(100))] })))
  )

  NoLeaks.effect("that is refused is not repeated", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedAuthority.ScriptedAuthority
      for (const error of [new CyclesError.TenantClosed({}), new CyclesError.RateLimited({ retryAfterMs: 5 })]) {
        yield* script.on("reserve", fail(error))
        assert.strictEqual(yield* Effect.flip(working(0)), error)
      }
      assert.strictEqual((yield* calls("reserve")).length, 2)
    }).pipe(Effect.provide(layerWith())))

  NoLeaks.effect("that is answered DENY is the denial its reason names", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedAuthority.ScriptedAuthority
      for (
        const [reasonCode, tag] of [
          ["BUDGET_EXCEEDED", "BudgetExceeded"],
          ["DEBT_OUTSTANDING", "DebtOutstanding"],
          ["BUDGET_NOT_FOUND", "BudgetNotFound"],
          ["ACTION_KIND_DENIED", "ActionDenied"],
          ["SOMETHING_NEW", "UnknownDenial"]
        ] as const
      ) {
        yield* script.on(
          "reserve",
          ScriptedAuthority.reply({ decision: "DENY", reasonCode, affectedScopes: ["tenant:acme"] })
        )
        const error = yield* Effect.flip(working(0))
        assert.strictEqual(error._tag, tag)
      }
    }).pipe(Effect.provide(layerWith())))

  NoLeaks.effect(
    "of a key whose reservation has ended fails with that, and the body does not run",
    () =>
      Effect.gen(function*() {
        const again = working(0, { idempotencyKey: "mine" as never })
        assert.strictEqual(yield* settledAfter(1, again), "done")
        assert.strictEqual((yield* Effect.flip(again))._tag, "ReservationFinalized")
        assert.deepStrictEqual(yield* figures, { reserved: 0n, spent: 9n })
      }).pipe(Effect.provide(layerWith()))
  )
})
