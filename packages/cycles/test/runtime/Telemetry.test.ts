import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Ledger, Reservation, Settlement } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Tracer from "effect/Tracer"

const action = Action.make("llm.completion", "gpt-4o")
const request = { action, estimate: Amount.tokens(60), subject: { agent: "writer" } }
const scope = "tenant:acme/agent:writer"

const layer = (options?: Budget.Options) =>
  Budget.layer(options).pipe(Layer.provideMerge(Ledger.layerMemory({
    tenant: "acme",
    budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }]
  })))

/** A tracer that keeps its spans. */
const recording = () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = Tracer.nativeTracer.span(options)
      spans.push(span)
      return span
    }
  })
  const named = (name: string) => spans.filter((span) => span.name === name)
  const asked = /^Budget\.(reserve|commit|release|extend|event|decide)$/
  /** All but what was asked of the authority. */
  const apart = () => spans.filter(({ name }) => !asked.test(name))
  return { spans, named, apart, guards: () => named("Budget.guard"), tracer }
}

const attributesOf = (span: Tracer.Span | undefined) => Object.fromEntries(span?.attributes ?? [])
const endOf = (span: Tracer.Span | undefined) =>
  span?.status._tag === "Ended" ? span.status.exit._tag : span?.status._tag

describe("log annotations", () => {
  it.effect("name reservation, scope and action in the body, its child fibers, and nowhere else", () =>
    Effect.gen(function*() {
      const lines: Array<[unknown, Readonly<Record<string, unknown>>]> = []
      const logger = Logger.layer([
        Logger.make(({ fiber, message }) => {
          lines.push([[message].flat()[0], fiber.getRef(References.CurrentLogAnnotations)])
        })
      ])
      const id = yield* Budget.guard(request, function*(r) {
        yield* Effect.log("in the body")
        yield* Fiber.join(yield* Effect.forkChild(Effect.log("in a child")))
        return r.release(r.id)
      }).pipe(
        Effect.tap(() => Effect.log("after")),
        Effect.annotateLogs({ run: 7 }),
        Effect.provide(Layer.merge(layer(), logger))
      )
      const own = {
        run: 7,
        "cycles.reservation_id": id,
        "cycles.scope": scope,
        "cycles.action": "llm.completion gpt-4o"
      }
      assert.deepStrictEqual(lines, [["in the body", own], ["in a child", own], ["after", { run: 7 }]])
    }))

  it.effect("are the inner one's in a guard in a guard, and name no reservation where none is held", () =>
    Effect.gen(function*() {
      const annotations = References.CurrentLogAnnotations
      const small = { ...request, estimate: Amount.tokens(10) }
      const [inner, seen] = yield* Budget.guard(request, (outer) =>
        Effect.map(
          Budget.guard(small, (r) => Effect.map(annotations, (seen) => r.release([r.id, seen] as const))),
          (value) => outer.release(value)
        ))
      assert.strictEqual(seen["cycles.reservation_id"], inner)
      const off = yield* Budget.guard(
        { ...request, mode: "off" },
        (r) => Effect.map(annotations, (seen) => r.release(seen))
      )
      assert.deepStrictEqual(off, { "cycles.action": "llm.completion gpt-4o" })
    }).pipe(Effect.provide(layer())))

  it.effect("name what a scope holds, from then until the scope ends", () =>
    Effect.gen(function*() {
      const lines: Array<[unknown, Readonly<Record<string, unknown>>]> = []
      const logger = Logger.layer([
        Logger.make(({ fiber, message }) => {
          lines.push([[message].flat()[0], fiber.getRef(References.CurrentLogAnnotations)])
        })
      ])
      const id = yield* Effect.gen(function*() {
        const id = yield* Effect.scoped(Effect.gen(function*() {
          yield* Effect.log("before")
          const r = yield* Reservation.make(request)
          yield* Fiber.join(yield* Effect.forkChild(Effect.log("in a child")))
          yield* Reservation.commit(r, Amount.tokens(5))
          yield* Effect.log("settled")
          return r.id
        }))
        yield* Effect.log("after")
        return id
      }).pipe(Effect.annotateLogs({ run: 7 }), Effect.provide(Layer.merge(layer(), logger)))
      const own = {
        run: 7,
        "cycles.reservation_id": id,
        "cycles.scope": scope,
        "cycles.action": "llm.completion gpt-4o"
      }
      assert.deepStrictEqual(lines, [
        ["before", { run: 7 }],
        ["in a child", own],
        ["settled", own],
        ["after", { run: 7 }]
      ])
    }))
})

describe("spans", () => {
  it.effect("are one for an allotment too, which says under which reservations it went on", () =>
    Effect.gen(function*() {
      const { guards, tracer } = recording()
      const child = Budget.guard(
        { ...request, estimate: Amount.tokens(5) },
        (r) => Effect.as(Effect.sleep("20 seconds"), r.commit(Amount.tokens(5)))
      )
      const workflow = Action.make("workflow", "report")
      const work = Budget.guard(
        { ...request, estimate: Amount.tokens(1) },
        (r) =>
          Effect.as(
            Budget.allot({ action: workflow, estimate: Amount.tokens(40) }, Effect.andThen(child, child)),
            r.commit(Amount.tokens(1), r.id)
          )
      )
      const fiber = yield* Effect.forkChild(Effect.withTracer(work, tracer))
      yield* TestClock.adjust("40 seconds")
      const id = yield* Fiber.join(fiber)
      const [outer, allotment, ...children] = guards()
      assert.strictEqual(attributesOf(outer)["cycles.reservation_id"], id)
      assert.strictEqual(attributesOf(allotment)["cycles.action.name"], "report")
      assert.strictEqual(attributesOf(allotment)["cycles.outcome"], "Committed")
      assert.notStrictEqual(attributesOf(allotment)["cycles.reservation_id"], id)
      assert.lengthOf(children, 2)
      const events = allotment?._tag === "Span" && "events" in allotment ? allotment.events : []
      assert.deepStrictEqual(Array.from(events as Array<[string]>, ([name]) => name), ["cycles.renewed"])
    }).pipe(Effect.provide(layer())))

  it.effect("are one for each reservation of several at once", () =>
    Effect.gen(function*() {
      const { guards, tracer } = recording()
      const small = { ...request, estimate: Amount.tokens(5) }
      const requests = { one: { ...small, action: Action.make("tool.call", "one") }, two: small }
      const id = yield* Budget.guard(small, (r) =>
        Effect.as(
          Budget.guardAll(
            requests,
            ({ one, two }) => Effect.succeed(Settlement.all({ one: one.release(), two: two.commit(Amount.tokens(5)) }))
          ),
          r.commit(Amount.tokens(1), r.id)
        )).pipe(Effect.withTracer(tracer))
      assert.strictEqual(attributesOf(guards()[0])["cycles.reservation_id"], id)
      assert.deepStrictEqual(
        guards().map((span) => [attributesOf(span)["cycles.action.name"], attributesOf(span)["cycles.outcome"]]),
        [["gpt-4o", "Committed"], ["one", "Released"], ["gpt-4o", "Committed"]]
      )
    }).pipe(Effect.provide(layer())))

  it.effect("are one for each guard, around its body, with what became of it", () =>
    Effect.gen(function*() {
      const { apart, guards, spans, tracer } = recording()
      const id = yield* Budget.guard(request, (r) =>
        Effect.as(Effect.withSpan(Effect.void, "model call"), r.commit(Amount.tokens(5), r.id))).pipe(
          Effect.withSpan("request"),
          Effect.withTracer(tracer)
        )
      assert.deepStrictEqual(
        spans.map(({ name, parent }) => [name, parent._tag === "Some" ? parent.value.spanId : ""]),
        [
          ["request", ""],
          ["Budget.guard", spans[0]?.spanId],
          ["Budget.reserve", spans[1]?.spanId],
          ["model call", spans[1]?.spanId],
          ["Budget.commit", spans[1]?.spanId]
        ]
      )
      const [outer, guard, inner] = apart()
      assert.strictEqual(inner?.parent._tag === "Some" ? inner.parent.value.spanId : "", guard?.spanId)
      assert.deepStrictEqual(attributesOf(guard), {
        "cycles.action.kind": "llm.completion",
        "cycles.action.name": "gpt-4o",
        "cycles.reservation_id": id,
        "cycles.scope": scope,
        "cycles.decision": "ALLOW",
        "cycles.unit": "TOKENS",
        "cycles.estimate": 60,
        "cycles.outcome": "Committed",
        "cycles.charged": 5
      })
      assert.deepStrictEqual([endOf(guard), attributesOf(outer), attributesOf(inner)], ["Success", {}, {}])
      assert.lengthOf(guards(), 1)
    }).pipe(Effect.provide(layer())))

  it.effect("end as their guard does", () =>
    Effect.gen(function*() {
      const { guards, tracer } = recording()
      const traced = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.exit(Effect.withTracer(effect, tracer))
      const last = () => {
        const guard = guards().at(-1)
        const { "cycles.decision": decision, "cycles.outcome": outcome } = attributesOf(guard)
        return [endOf(guard), decision, outcome]
      }
      yield* traced(Budget.guard({ ...request, estimate: Amount.tokens(101) }, (r) => Effect.succeed(r.release())))
      assert.deepStrictEqual(last(), ["Failure", "DENY", undefined])
      yield* traced(Budget.guard(request, () => Effect.fail("boom")))
      assert.deepStrictEqual(last(), ["Failure", "ALLOW", "Released"])
      yield* traced(Budget.guard(request, (r) => Effect.succeed(r.commitFail(Amount.tokens(1), "boom"))))
      assert.deepStrictEqual(last(), ["Failure", "ALLOW", "Committed"])
      yield* traced(Budget.guardOutcome(
        { ...request, estimate: Amount.tokens(1), overagePolicy: "REJECT" },
        (r) => Effect.succeed(r.commit(Amount.tokens(2)))
      ))
      assert.deepStrictEqual(last(), ["Success", "ALLOW", "Rejected"])
      yield* traced(Budget.charge(Effect.void, request, () => Amount.tokens(1)))
      assert.deepStrictEqual(last(), ["Success", "ALLOW", "Committed"])
      yield* traced(Budget.guard({ ...request, mode: "shadow" }, (r) => Effect.succeed(r.release())))
      assert.deepStrictEqual(last(), ["Success", "ALLOW", "Unguarded"])
      yield* traced(Stream.runDrain(Budget.guardStream(request, {
        stream: () => Stream.make(1, 2),
        meter: { initial: 0, step: (n) => n + 1 },
        settle: (r, n) => r.commit(Amount.tokens(n))
      })))
      assert.deepStrictEqual(last(), ["Success", "ALLOW", "Committed"])
      // The inner guard is denied, the outer one was not.
      const inner = Budget.guard({ ...request, estimate: Amount.tokens(101) }, (r) => Effect.succeed(r.release()))
      yield* traced(Budget.guard(request, (r) => Effect.as(inner, r.release())))
      assert.deepStrictEqual(guards().slice(-2).map((span) => attributesOf(span)["cycles.decision"]), ["ALLOW", "DENY"])
      const fiber = yield* Effect.forkChild(traced(Budget.guard(request, () => Effect.never)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(last(), ["Failure", "ALLOW", undefined])
    }).pipe(Effect.provide(layer())))

  it.effect("last as long as the scope of a reservation, with what became of it", () =>
    Effect.gen(function*() {
      const { apart, named, tracer } = recording()
      const id = yield* Effect.scoped(Effect.gen(function*() {
        const r = yield* Reservation.make(request)
        yield* Effect.withSpan(Effect.void, "model call")
        assert.strictEqual(endOf(named("Reservation.make")[0]), "Started")
        yield* Reservation.commit(r, Amount.tokens(5))
        return r.id
      })).pipe(Effect.withSpan("request"), Effect.withTracer(tracer))
      assert.deepStrictEqual(apart().map(({ name }) => name), ["request", "Reservation.make", "model call"])
      const [outer, held, work] = apart()
      for (const inner of [held, work]) {
        assert.strictEqual(inner?.parent._tag === "Some" ? inner.parent.value.spanId : "", outer?.spanId)
      }
      assert.deepStrictEqual(attributesOf(held), {
        "cycles.action.kind": "llm.completion",
        "cycles.action.name": "gpt-4o",
        "cycles.reservation_id": id,
        "cycles.scope": scope,
        "cycles.decision": "ALLOW",
        "cycles.unit": "TOKENS",
        "cycles.estimate": 60,
        "cycles.outcome": "Committed",
        "cycles.charged": 5
      })
      assert.strictEqual(endOf(held), "Success")
    }).pipe(Effect.provide(layer())))

  it.effect("of a reservation end as their scope does, or with the denial", () =>
    Effect.gen(function*() {
      const { named, tracer } = recording()
      const traced = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.exit(Effect.withTracer(effect, tracer))
      const last = (name = "Reservation.make") => {
        const span = named(name).at(-1)
        const { "cycles.decision": decision, "cycles.outcome": outcome } = attributesOf(span)
        return [endOf(span), decision, outcome]
      }
      const tooMuch = Reservation.make({ ...request, estimate: Amount.tokens(101) })
      yield* traced(Effect.scoped(Effect.gen(function*() {
        yield* Effect.exit(tooMuch)
        // The scope goes on, and nothing is held in it.
        assert.deepStrictEqual(last(), ["Failure", "DENY", undefined])
      })))
      yield* traced(Effect.scoped(Effect.andThen(Reservation.make(request), Effect.fail("boom"))))
      assert.deepStrictEqual(last(), ["Failure", "ALLOW", "Released"])
      yield* traced(Effect.scoped(Reservation.make(request)))
      assert.deepStrictEqual(last(), ["Success", "ALLOW", "Released"])
      yield* traced(
        Effect.scoped(Effect.gen(function*() {
          const handover = yield* Effect.scoped(Effect.flatMap(Reservation.make(request), Reservation.handOver))
          assert.deepStrictEqual(last(), ["Success", "ALLOW", undefined])
          const r = yield* Reservation.adopt(handover)
          yield* Reservation.commit(r, Amount.make(r.reserved.unit, 1))
        }))
      )
      assert.deepStrictEqual(last("Reservation.adopt"), ["Success", "ALLOW", "Committed"])
    }).pipe(Effect.provide(layer())))

  it.effect("are not made where nobody looks at them", () =>
    Effect.gen(function*() {
      const outer = yield* Effect.currentSpan
      const inner = yield* Budget.guard(request, (r) => Effect.map(Effect.currentSpan, (span) => r.release(span)))
      assert.strictEqual(inner, outer)
      assert.strictEqual(outer.attributes.size, 0)
    }).pipe(Effect.withSpan("request"), Effect.provide(layer())))
})

/** What was counted so far, by counter and attributes. */
const counted = (...ids: ReadonlyArray<string>) =>
  Effect.map(Metric.snapshot, (metrics) =>
    Object.fromEntries(
      metrics.flatMap(({ attributes, id, state }) =>
        ids.includes(id) && "count" in state
          ? [[[id, ...Object.entries(attributes ?? {}).sort().flat()].join(" "), Number(state.count)]]
          : []
      )
    ))

/** With counters of the test's own. */
const counting = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => Effect.provideService(effect, Metric.MetricRegistry, new Map()))

describe("counters", () => {
  it.effect("tell of denials, by error and kind of action, and not of those in shadow mode", () =>
    Effect.gen(function*() {
      const tooMuch = { ...request, estimate: Amount.tokens(101) }
      const elsewhere = { ...tooMuch, action: Action.make("tool.search", "web") }
      const ask = (asked: Budget.Request<"TOKENS">) =>
        Effect.exit(Budget.guard(asked, (r) => Effect.succeed(r.release())))
      yield* ask(request)
      yield* ask({ ...tooMuch, mode: "shadow" })
      yield* ask({ ...tooMuch, mode: "off" })
      yield* ask(tooMuch)
      yield* ask(elsewhere)
      yield* Effect.exit(Effect.scoped(Reservation.make(tooMuch)))
      assert.deepStrictEqual(yield* counted("cycles_denials", "cycles_shadow_decisions"), {
        "cycles_shadow_decisions action_kind llm.completion decision DENY reason BUDGET_EXCEEDED": 1,
        "cycles_denials action_kind llm.completion error BudgetExceeded": 2,
        "cycles_denials action_kind tool.search error BudgetExceeded": 1
      })
    }).pipe(Effect.provide(layer()), counting))

  it.effect("tell of work that ran although the authority could not be reached", () =>
    Effect.gen(function*() {
      const ask = (asked: Budget.Request<"TOKENS">) =>
        Effect.exit(Budget.guard(asked, (r) => Effect.succeed(r.commit(Amount.tokens(1)))))
      const fiber = yield* Effect.forkChild(Effect.all([
        ask({ ...request, onUnavailable: "open" }),
        ask({ ...request, onUnavailable: "open", mode: "off" }),
        ask(request)
      ]))
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* counted("cycles_unguarded_runs"), {
        "cycles_unguarded_runs action_kind llm.completion": 1
      })
    }).pipe(
      Effect.provide(Budget.layer()),
      Effect.provideServiceEffect(
        BudgetAuthority.BudgetAuthority,
        Effect.map(BudgetAuthority.BudgetAuthority, (authority) => ({
          ...authority,
          reserve: () => Effect.fail(new CyclesError.AuthorityUnavailable({}))
        }))
      ),
      Effect.provide(layer()),
      counting
    ))

  it.effect("tell of decisions, of what was asked and how it ended, and of estimates that were off", () =>
    Effect.gen(function*() {
      const ask = (used: number) =>
        Budget.guard({ ...request, estimate: Amount.tokens(20) }, (r) => Effect.succeed(r.commit(Amount.tokens(used))))
      yield* ask(10)
      yield* ask(30)
      yield* Budget.guard(request, (r) => Effect.succeed(r.release()))
      yield* Effect.exit(Budget.guard({ ...request, estimate: Amount.tokens(90) }, (r) => Effect.succeed(r.release())))
      const kind = "action_kind llm.completion"
      assert.deepStrictEqual(
        yield* counted("cycles_decisions", "cycles_operations", "cycles_overruns", "cycles_estimate_drift"),
        {
          [`cycles_decisions ${kind} decision ALLOW`]: 3,
          [`cycles_decisions ${kind} decision DENY`]: 1,
          "cycles_operations operation reserve result ok": 3,
          "cycles_operations operation reserve result BudgetExceeded": 1,
          "cycles_operations operation commit result ok": 2,
          "cycles_operations operation release result ok": 1,
          [`cycles_overruns ${kind}`]: 1,
          [`cycles_estimate_drift ${kind}`]: 2
        }
      )
      assert.deepStrictEqual(yield* counted("cycles_operation_duration"), {
        "cycles_operation_duration operation reserve": 4,
        "cycles_operation_duration operation commit": 2,
        "cycles_operation_duration operation release": 1
      })
    }).pipe(Effect.provide(layer()), counting))

  it.effect("tell of heartbeats, and of a charge that came after its lease", () =>
    Effect.gen(function*() {
      const authority = yield* BudgetAuthority.BudgetAuthority
      const late = Budget.guard(
        { ...request, ttl: "30 seconds" },
        (r) => Effect.as(Effect.sleep("60 seconds"), r.commit(Amount.tokens(1)))
      ).pipe(
        Effect.provide(Budget.layer()),
        Effect.provideService(BudgetAuthority.BudgetAuthority, {
          ...authority,
          commit: () => Effect.fail(new CyclesError.ReservationExpired({}))
        })
      )
      const fiber = yield* Effect.forkChild(late)
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(fiber)
      const found = yield* counted("cycles_operations", "cycles_recoveries")
      assert.isAbove(found["cycles_operations operation extend result ok"] ?? 0, 1)
      assert.strictEqual(found["cycles_operations operation commit result ReservationExpired"], 1)
      assert.strictEqual(found["cycles_recoveries how event"], 1)
    }).pipe(Effect.provide(layer()), counting))
})
