import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Heartbeat, Ledger, Reservation } from "effect-cycles"
import { ReservationId } from "effect-cycles/protocol/Ids"
import * as HeartbeatFallback from "effect-cycles/runtime/HeartbeatFallback"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"

// ---------------------------------------------------------------------------------------------------------------------
// authorities that do not say how long a lease still lives
// ---------------------------------------------------------------------------------------------------------------------

/** How an authority moves the end of a lease. */
type Policy = (expiresAtMs: number, extendByMs: number, nowMs: number) => number

const normal: Policy = (expiresAtMs, extendByMs) => expiresAtMs + extendByMs
const deltaOf = (mostMs: number): Policy => (expiresAtMs, extendByMs) => expiresAtMs + Math.min(extendByMs, mostMs)
const leadOf = (mostMs: number): Policy => (expiresAtMs, extendByMs, nowMs) =>
  Math.max(expiresAtMs, Math.min(expiresAtMs + extendByMs, nowMs + mostMs))

// ---------------------------------------------------------------------------------------------------------------------
// the schedule
// ---------------------------------------------------------------------------------------------------------------------

/** Follows the schedule for as many extensions, and says when they were, what the lease was then, and the regimes guessed. */
const follow = (ttlMs: number, firstMs: number, policy: Policy, beats: number, toleranceMs = 0) => {
  const epoch = 1_000_000
  let nowMs = 0
  let expiresAtMs = epoch + firstMs
  let measured = HeartbeatFallback.make(ttlMs, expiresAtMs, nowMs)
  const seen: Array<{ atMs: number; leadMs: number; leadMin: number; regime: HeartbeatFallback.Regime }> = []
  for (let beat = 0; beat < beats; beat++) {
    nowMs += HeartbeatFallback.nextDelay(measured, nowMs)
    const leadMs = expiresAtMs - (epoch + nowMs)
    const leadMin = HeartbeatFallback.leadMin(measured, nowMs)
    expiresAtMs = policy(expiresAtMs, ttlMs, epoch + nowMs)
    measured = HeartbeatFallback.measure(measured, expiresAtMs, nowMs, toleranceMs)
    seen.push({ atMs: nowMs, leadMs, leadMin, regime: measured.regime })
  }
  return seen
}

const times = (seen: ReturnType<typeof follow>) => seen.map(({ atMs }) => atMs / 1_000)
const lastRegime = (seen: ReturnType<typeof follow>) => seen.at(-1)?.regime

describe("the schedule without remaining_ttl_ms", () => {
  const fresh = HeartbeatFallback.make(60_000, 0, 0)

  it("extends at once, then at half the grant, and skips beats it does not need", () => {
    const seen = follow(60_000, 60_000, normal, 6)
    assert.deepStrictEqual(times(seen), [0, 30, 60, 120, 180, 240])
    assert.strictEqual(lastRegime(seen), "normal")
    // Ahead by less than three grants, however long it goes on.
    assert.isBelow(Math.max(...follow(60_000, 60_000, normal, 200).map(({ leadMs }) => leadMs)), 180_000)
  })

  it("tightens to half of a smaller grant", () => {
    const seen = follow(60_000, 60_000, deltaOf(10_000), 6)
    assert.deepStrictEqual(times(seen), [0, 5, 10, 20, 30, 40])
    assert.strictEqual(lastRegime(seen), "delta")
    // A day that is capped at an hour is a lease of an hour.
    assert.deepStrictEqual(times(follow(86_400_000, 3_600_000, deltaOf(3_600_000), 3)), [0, 1_800, 3_600])
  })

  it("holds half the ttl, half a minute at most, where grants echo the time between beats", () => {
    const seen = follow(60_000, 60_000, leadOf(60_000), 5)
    assert.deepStrictEqual(times(seen), [0, 30, 60, 90, 120])
    assert.isTrue(seen.every(({ regime }) => regime === "maximumLead"))
    assert.deepStrictEqual(times(follow(20_000, 20_000, leadOf(20_000), 4)), [0, 10, 20, 30])
    assert.deepStrictEqual(times(follow(600_000, 60_000, leadOf(60_000), 4)), [0, 30, 60, 90])
  })

  it("keeps the lease of the specification's counterexample, where a band alone would lose it", () => {
    const seen = follow(24_000, 24_000, deltaOf(10_000), 200)
    assert.isAbove(Math.min(...seen.map(({ leadMs }) => leadMs)), 5_000)
    assert.isTrue(seen.every(({ regime }) => regime === "delta"))
  })

  it("does not take the jitter of a round trip for a tiny lease", () => {
    const first = HeartbeatFallback.classify(fresh, { grantMs: 3, elapsedMs: 40 }, 40)
    assert.deepStrictEqual(first, { regime: "maximumLead", cadenceMs: 30_000 })
    const exact = HeartbeatFallback.classify(fresh, { grantMs: 3, elapsedMs: 40 }, 0)
    assert.deepStrictEqual(exact, { regime: "delta", cadenceMs: 1_000 })
  })

  it("classifies by the specification's bounds", () => {
    const of = (grantMs: number, elapsedMs: number) =>
      HeartbeatFallback.classify(fresh, { grantMs, elapsedMs }, 0).regime
    assert.deepStrictEqual([of(54_000, 54_000), of(53_999, 20_000)], ["normal", "delta"])
    assert.deepStrictEqual([of(0, 30_000), of(-1, 30_000)], ["maximumLead", "maximumLead"])
    assert.deepStrictEqual(
      [of(7_499, 10_000), of(7_500, 10_000), of(12_500, 10_000), of(12_501, 10_000)],
      ["delta", "maximumLead", "maximumLead", "delta"]
    )
  })

  it("begins to measure with the first end it is told", () => {
    const unknown = HeartbeatFallback.make(60_000, undefined, 500)
    assert.strictEqual(HeartbeatFallback.nextDelay(unknown, 500), 0)
    const told = HeartbeatFallback.measure(unknown, 9_000_000, 600, 0)
    assert.strictEqual(told.regime, "unmeasured")
    assert.strictEqual(HeartbeatFallback.nextDelay(told, 700), 29_900)
    assert.strictEqual(HeartbeatFallback.leadMin(told, 1_500), -1_000)
  })

  it("repeats after one second, two, four, half a cadence at most, and not for ever", () => {
    const steady = HeartbeatFallback.measure(HeartbeatFallback.make(60_000, 0, 0), 60_000, 0, 0)
    const delays = Array.from(
      { length: 9 },
      (_, i) => HeartbeatFallback.retryDelay(steady, i + 1, { throttled: false })
    )
    assert.deepStrictEqual(delays, [1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000, 15_000, undefined])
  })

  it("waits as a throttling authority asks, unless that is longer than the ttl", () => {
    const throttled = (retryAfterMs?: number) =>
      HeartbeatFallback.retryDelay(fresh, 1, { throttled: true, retryAfterMs })
    assert.deepStrictEqual(
      [throttled(7_000), throttled(0), throttled(60_000), throttled(60_001), throttled(NaN), throttled()],
      [7_000, 0, 60_000, undefined, undefined, 30_000]
    )
  })

  const Seconds = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

  it.prop(
    "never lets a lease lapse that is extended by less than asked for, and does not run away with it",
    [Seconds(2_000, 3_600_000), Seconds(2_000, 3_600_000), Seconds(1, 3_600_000)],
    ([ttlMs, mostMs, firstMs]) => {
      const grantMs = Math.min(ttlMs, mostMs)
      const seen = follow(ttlMs, Math.min(firstMs, ttlMs), deltaOf(mostMs), 60)
      for (const { leadMin, leadMs } of seen) {
        assert.isAbove(leadMs, 0)
        // What is called the least is no more than what there is.
        assert.isAtMost(leadMin, leadMs)
        assert.isBelow(leadMs, Math.min(firstMs, ttlMs) + 3 * grantMs)
      }
      assert.isTrue(seen.every(({ regime }) => regime === "normal" || regime === "delta"))
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "never lets a lease lapse that is held at a maximum no shorter than the cadence, at one extension a cadence",
    [Seconds(2_000, 3_600_000), Seconds(0, 3_600_000), Seconds(0, 100)],
    ([ttlMs, moreMs, shareOfFirst]) => {
      const held = HeartbeatFallback.heldCadence(ttlMs)
      const mostMs = held + 1 + moreMs
      const seen = follow(ttlMs, Math.max(1, Math.min(ttlMs, mostMs) * shareOfFirst / 100), leadOf(mostMs), 60)
      for (const { leadMin, leadMs } of seen) {
        assert.isAbove(leadMs, 0)
        assert.isAtMost(leadMin, leadMs)
      }
      // Once the maximum is reached, and unless half the ttl or more was needed for that, beats are a cadence apart.
      const between = seen.slice(1).map(({ atMs }, i) => atMs - (seen[i]?.atMs ?? 0))
      assert.isAtLeast(Math.min(...between.slice(-10)), Math.min(held, 1_000))
    },
    { arbitrary: { runs: 300 } }
  )
})

describe("the schedule with remaining_ttl_ms", () => {
  it("has no lead where the round trip cannot be told", () => {
    assert.deepStrictEqual(Heartbeat.observe(60_000, 5, 4, 7), { floorMs: 0, receivedAtMs: 4, maxRttMs: 7 })
    assert.deepStrictEqual(Heartbeat.observe(60_000, NaN, 4, 7), { floorMs: 0, receivedAtMs: 4, maxRttMs: 7 })
    const lead = { floorMs: 60_000, receivedAtMs: 100, maxRttMs: 0 }
    assert.isDefined(Heartbeat.retryDelay(lead, 5_000, 100, { throttled: false }))
    assert.isUndefined(Heartbeat.retryDelay(lead, 5_000, 99, { throttled: false }))
    assert.isUndefined(Heartbeat.retryDelay(lead, 5_000, NaN, { throttled: false }))
    assert.isUndefined(Heartbeat.retryDelay(lead, Infinity, 100, { throttled: false }))
    assert.strictEqual(Heartbeat.nextDelay(lead, Infinity), 0)
  })

  it("rounds what an attempt needs up, and what is left down", () => {
    const lead = { floorMs: 20_000.9, receivedAtMs: 0, maxRttMs: 3_000.25 }
    // 6 000.5 for an attempt and as much for the margin.
    assert.strictEqual(Heartbeat.nextDelay(lead, 1_000), 20_000 - 3 * 6_001)
    assert.strictEqual(Heartbeat.retryDelay(lead, 1_000, 0.5, { throttled: false })?.windowMs, 20_000 - 2 * 6_001)
  })

  it("does not believe a wait that is none", () => {
    const lead = { floorMs: 60_000, receivedAtMs: 0, maxRttMs: 0 }
    for (const retryAfterMs of [-1, NaN, Infinity]) {
      assert.isUndefined(Heartbeat.retryDelay(lead, 5_000, 0, { throttled: true, retryAfterMs }))
    }
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// the loop
// ---------------------------------------------------------------------------------------------------------------------

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(60) }
const id = ReservationId.make("r-1")

/** What happens to an extension instead of its reply; `lost` takes effect all the same. */
type Trouble = CyclesError.ExtendError | "lost"

interface Server {
  readonly firstMs: number
  readonly policy: Policy
  readonly maxExtensions?: number
  /** The replies that carry `remainingTtlMs`, by number; the reserve's is 0. */
  readonly telling?: (reply: number) => boolean
  readonly troubles?: ReadonlyArray<Trouble | undefined>
}

const makeServer = (server: Server) => {
  const sent: Array<[atMs: number, beat: string]> = []
  const keys: Array<string> = []
  const replies = new Map<string, number>()
  let expiresAtMs = 0
  let extensions = 0
  const reply = (number: number, nowMs: number, expiresAtMs: number) => ({
    expiresAtMs,
    ...(server.telling?.(number) === true ? { remainingTtlMs: Math.max(0, expiresAtMs - nowMs) } : undefined)
  })
  const other = () => Effect.die("not asked for here")
  const layer = Layer.succeed(BudgetAuthority.BudgetAuthority, {
    decide: other,
    event: other,
    balances: other,
    reservation: other,
    reservations: other,
    reserve: () =>
      Effect.map(Clock.currentTimeMillis, (nowMs) => {
        expiresAtMs = nowMs + server.firstMs
        return {
          decision: "ALLOW" as const,
          reservationId: id,
          affectedScopes: ["tenant:acme"],
          ...reply(0, nowMs, expiresAtMs)
        }
      }),
    commit: () => Effect.succeed({ status: "COMMITTED" as const, charged: Amount.tokens(1) }),
    release: () => Effect.succeed({ status: "RELEASED" as const, released: Amount.tokens(60) }),
    extend: (_, { extendByMs, idempotencyKey }) =>
      Effect.gen(function*() {
        const nowMs = yield* Clock.currentTimeMillis
        const trouble = server.troubles?.[sent.length]
        sent.push([nowMs, idempotencyKey.replace(/^.*-/, "")])
        keys.push(idempotencyKey)
        if (trouble !== undefined && trouble !== "lost") return yield* Effect.fail(trouble)
        const before = replies.get(idempotencyKey)
        if (before === undefined) {
          if (nowMs > expiresAtMs) return yield* new CyclesError.ReservationExpired({})
          if (++extensions > (server.maxExtensions ?? Infinity)) return yield* new CyclesError.MaxExtensionsExceeded({})
          expiresAtMs = server.policy(expiresAtMs, extendByMs, nowMs)
          replies.set(idempotencyKey, expiresAtMs)
        }
        if (trouble === "lost") return yield* Effect.never
        return { status: "ACTIVE" as const, ...reply(extensions, nowMs, before ?? expiresAtMs) }
      })
  })
  return { layer, sent, keys, expiresAtMs: () => expiresAtMs }
}

const beatFor = (server: ReturnType<typeof makeServer>, milliseconds: number, options?: Budget.Options) => {
  const lines: Array<string> = []
  const logged = Logger.layer([
    Logger.make(({ logLevel, message }) => {
      const line = `${logLevel} ${[message].flat().map(String).join(" ")}`
      // A beat that is repeated says so each time; what matters here is what is said in the end.
      if (!line.includes("is tried again")) lines.push(line)
    })
  ])
  return Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(
      Budget.guard(request, (r) => Effect.as(Effect.sleep(milliseconds), r.commit(Amount.tokens(1), "done")))
    )
    yield* TestClock.adjust(milliseconds + 60_000)
    const result = yield* Effect.result(Fiber.join(fiber))
    return { result: result._tag === "Success" ? result.success : result.failure._tag, lines }
  }).pipe(Effect.provide(Layer.merge(Budget.layer(options).pipe(Layer.provide(server.layer)), logged)))
}

describe("the heartbeat of a lease of unknown length", () => {
  it.effect("keeps one that is granted what is asked for", () =>
    Effect.gen(function*() {
      const server = makeServer({ firstMs: 60_000, policy: normal })
      assert.deepStrictEqual(yield* beatFor(server, 200_000), { result: "done", lines: [] })
      assert.deepStrictEqual(server.sent, [[0, "1"], [30_000, "2"], [60_000, "3"], [120_000, "4"], [180_000, "5"]])
      assert.strictEqual(new Set(server.keys).size, 5)
    }))

  it.effect("keeps one that begins much shorter than what was asked for, and is granted as little", () =>
    Effect.gen(function*() {
      const server = makeServer({ firstMs: 1_000, policy: deltaOf(10_000) })
      assert.deepStrictEqual(yield* beatFor(server, 41_000), { result: "done", lines: [] })
      assert.deepStrictEqual(server.sent.map(([at]) => at), [0, 5_000, 10_000, 20_000, 30_000, 40_000])
    }))

  it.effect("keeps one with a maximum lead for as many extensions as there are, and says what is going on", () =>
    Effect.gen(function*() {
      const server = makeServer({ firstMs: 60_000, policy: leadOf(60_000), maxExtensions: 4 })
      const { lines, result } = yield* beatFor(server, 200_000)
      assert.strictEqual(result, "done")
      assert.deepStrictEqual(server.sent.map(([at]) => at), [0, 30_000, 60_000, 90_000, 120_000])
      assert.lengthOf(lines, 2)
      assert.match(lines[0] ?? "", /^Info .*only a limited number of times/)
      assert.match(lines[1] ?? "", /^Warn The lease of reservation r-1 was lost/)
    }))

  it.effect("uses the same key until an extension is answered, so that a lost reply extends once", () =>
    Effect.gen(function*() {
      const server = makeServer({
        firstMs: 60_000,
        policy: normal,
        troubles: ["lost", new CyclesError.InternalError({}), undefined]
      })
      assert.deepStrictEqual(yield* beatFor(server, 36_000, { heartbeatTimeout: 2_000 }), { result: "done", lines: [] })
      // Given up after two seconds and repeated a second later, then two.
      assert.deepStrictEqual(server.sent, [[0, "1"], [3_000, "1"], [5_000, "1"], [35_000, "2"]])
      assert.strictEqual(new Set(server.keys.slice(0, 3)).size, 1)
      assert.strictEqual(server.expiresAtMs(), 180_000)
    }))

  it.effect("stops for good where that is what it is told", () =>
    Effect.gen(function*() {
      const permanent = [
        new CyclesError.ReservationExpired({}),
        new CyclesError.ReservationFinalized({}),
        new CyclesError.MaxExtensionsExceeded({}),
        new CyclesError.TenantClosed({}),
        new CyclesError.NotFound({})
      ]
      for (const error of permanent) {
        const server = makeServer({ firstMs: 60_000, policy: normal, troubles: [undefined, error] })
        const { lines, result } = yield* beatFor(server, 300_000, { heartbeat: "interrupt" })
        assert.strictEqual(result, "LeaseLost")
        assert.lengthOf(server.sent, 2)
        assert.deepStrictEqual(lines, [])
      }
    }))

  it.effect("gives up on an authority that does not answer, in the end", () =>
    Effect.gen(function*() {
      const silent = Array.from({ length: 20 }, () => new CyclesError.AuthorityUnavailable({}))
      const server = makeServer({ firstMs: 60_000, policy: normal, troubles: silent })
      const { lines } = yield* beatFor(server, 300_000)
      assert.lengthOf(server.sent, 9)
      assert.strictEqual(new Set(server.keys).size, 1)
      assert.match(lines.join("\n"), /^Warn .*it was tried 9 times/)
    }))

  it.effect("waits as long as it is told where it is throttled", () =>
    Effect.gen(function*() {
      const server = makeServer({
        firstMs: 60_000,
        policy: normal,
        troubles: [new CyclesError.RateLimited({ retryAfterMs: 7_000 }), new CyclesError.RateLimited({}), undefined]
      })
      yield* beatFor(server, 40_000)
      assert.deepStrictEqual(server.sent, [[0, "1"], [7_000, "1"], [37_000, "1"]])
    }))

  it.effect("takes the word of an authority that does tell, from the first reply that does", () =>
    Effect.gen(function*() {
      const server = makeServer({ firstMs: 60_000, policy: normal, telling: (reply) => reply === 1 || reply === 2 })
      yield* beatFor(server, 400_000)
      // At once; then 120 s and 11 s less; then 71 s, which are more than 60, less 11 s; then not told, so 180 s are measured.
      const [first, second, third] = server.sent.map(([at]) => at)
      assert.deepStrictEqual([first, second, third], [0, 109_000, 169_000])
      assert.isTrue(server.sent.length > 4)
    }))
})

describe("the heartbeat", () => {
  it.effect("counts from the reply, also where the work did not let it run at once", () =>
    Effect.gen(function*() {
      const server = makeServer({ firstMs: 60_000, policy: normal, telling: () => true })
      const test = yield* Clock.Clock
      let busyMs = 0
      const clock: Clock.Clock = {
        currentTimeMillisUnsafe: () => test.currentTimeMillisUnsafe(),
        currentTimeMillis: test.currentTimeMillis,
        currentTimeNanosUnsafe: () => test.currentTimeNanosUnsafe(),
        currentTimeNanos: test.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => test.monotonicTimeNanosUnsafe() + BigInt(busyMs) * 1_000_000n,
        monotonicTimeNanos: Effect.sync(() => clock.monotonicTimeNanosUnsafe()),
        sleep: (duration) => test.sleep(duration)
      }
      const fiber = yield* Budget.guard(request, (r) => {
        // A long computation: time goes by before any other fiber runs.
        busyMs = 20_000
        return Effect.as(Effect.sleep("40 seconds"), r.commit(Amount.tokens(1), "done"))
      }).pipe(
        Effect.provide(Budget.layer().pipe(Layer.provide(server.layer))),
        Effect.provideService(Clock.Clock, clock),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
      // 60 s less the 11 s that are kept, less the 20 s that were gone.
      assert.deepStrictEqual(server.sent, [[29_000, "1"]])
    }))

  it.effect("does not repeat the keys of whoever kept the reservation alive before it was handed over", () =>
    Effect.gen(function*() {
      const keys: Array<string> = []
      const authority = Layer.effect(
        BudgetAuthority.BudgetAuthority,
        Effect.map(BudgetAuthority.BudgetAuthority, (authority) => ({
          ...authority,
          extend: (id, request) => {
            keys.push(request.idempotencyKey)
            return authority.extend(id, request)
          }
        } satisfies BudgetAuthority.Operations))
      ).pipe(Layer.provideMerge(
        Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }] })
      ))
      const program = Effect.gen(function*() {
        const handover = yield* Effect.scoped(Effect.gen(function*() {
          const r = yield* Reservation.make(request)
          yield* Effect.sleep("2 minutes")
          return yield* Reservation.handOver(r)
        }))
        yield* Effect.scoped(Effect.gen(function*() {
          const r = yield* Reservation.adopt(handover)
          yield* Effect.sleep("5 minutes")
          const outcome = yield* Reservation.commit(r, Amount.make(r.reserved.unit, 9))
          assert.strictEqual(outcome._tag, "Committed")
        }))
      })
      const fiber = yield* Effect.forkChild(
        Effect.provide(program, Budget.layer({ ttl: "1 minute" }).pipe(Layer.provideMerge(authority)))
      )
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.join(fiber)
      assert.strictEqual(new Set(keys).size, keys.length)
      assert.isAbove(keys.length, 5)
    }))
})
