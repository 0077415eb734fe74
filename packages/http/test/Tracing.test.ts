import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, Ledger } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { layerRemote } from "./support.ts"

const request = {
  action: Action.make("llm.completion", "gpt-4o"),
  estimate: Amount.tokens(60),
  subject: { tenant: "acme" }
}

const layer = Budget.layer().pipe(
  Layer.provideMerge(layerRemote({ tenant: "acme" }, [{ scope: "tenant:acme", allocated: Amount.tokens(100) }]))
)

describe("A guard over HTTP", () => {
  it.live("is one trace with what it left in the server's ledger", () => {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const named = (name: string) => spans.filter((span) => span.name === name)
    const parentOf = ({ parent }: Tracer.Span) => parent._tag === "Some" ? parent.value.spanId : undefined
    return Effect.gen(function*() {
      const guarded = Budget.guard(request, (r) => Effect.succeed(r.commit(Amount.tokens(50))))
      yield* Effect.withTracer(guarded, tracer)
      const denied = yield* Effect.withTracer(Effect.flip(guarded), tracer)
      const [first, second] = named("Budget.guard")
      assert.notStrictEqual(first?.traceId, second?.traceId)

      // Each attempt lies below what asked, and that below the guard.
      for (
        const [guard, asked, sent] of [[first, "Budget.reserve", "cycles.reserve"], [
          first,
          "Budget.commit",
          "cycles.commit"
        ]] as const
      ) {
        const above = named(asked).find((span) => parentOf(span) === guard?.spanId)
        assert.isDefined(above, asked)
        assert.isDefined(named(sent).find((span) => parentOf(span) === above?.spanId), sent)
      }

      // What the server wrote for the guard names the guard's trace, and what it refused names the other's.
      const ledger = yield* Ledger.Ledger
      const entries = yield* Stream.runCollect(ledger.history("acme"))
      assert.deepStrictEqual(
        entries.filter(({ kind }) => kind !== "CREATE").map(({ kind, traceId }) => [kind, traceId]),
        [["RESERVE", first?.traceId], ["COMMIT", first?.traceId]]
      )
      assert.strictEqual(denied._tag, "BudgetExceeded")
      assert.strictEqual("traceId" in denied ? denied.traceId : undefined, second?.traceId)
      const events = yield* Stream.runCollect(ledger.events("acme"))
      const told = events.find(({ type }) => type === "reservation.denied")
      assert.strictEqual(told?.traceId, second?.traceId)
    }).pipe(Effect.provide(layer), Effect.scoped)
  })
})
