import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, Ledger, Settlement } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
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
  return { spans, guards: () => spans.filter(({ name }) => name === "Budget.guard"), tracer }
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
      const { guards, spans, tracer } = recording()
      const id = yield* Budget.guard(request, (r) =>
        Effect.as(Effect.withSpan(Effect.void, "model call"), r.commit(Amount.tokens(5), r.id))).pipe(
          Effect.withSpan("request"),
          Effect.withTracer(tracer)
        )
      assert.deepStrictEqual(
        spans.map(({ name }) =>
          name
        ),
        ["request", "Budget.guard", "model call"]
      )
      const [outer, guard, inner] = spans
      assert.strictEqual(inner?.parent._tag === "Some" ? inner.parent.value.spanId : "", guard?.spanId)
      assert.deepStrictEqual(attributesOf(guard), {
        "cycles.action.kind": "llm.completion",
        "cycles.action.name": "gpt-4o",
        "cycles.reservation_id": id,
        "cycles.scope": scope,
        "cycles.decision": "ALLOW",
        "cycles.outcome": "Committed"
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

  it.effect("are not made where nobody looks at them", () =>
    Effect.gen(function*() {
      const outer = yield* Effect.currentSpan
      const inner = yield* Budget.guard(request, (r) => Effect.map(Effect.currentSpan, (span) => r.release(span)))
      assert.strictEqual(inner, outer)
      assert.strictEqual(outer.attributes.size, 0)
    }).pipe(Effect.withSpan("request"), Effect.provide(layer())))
})
