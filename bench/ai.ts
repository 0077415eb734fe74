/**
 * What a budget adds to a model call and to a chunk of its stream, over a stand-in for the model and a ledger in memory, with a
 * tracer and without; and what a guard costs, with its metrics in any case, beside the reserve and commit in it. In time on a processor.
 */
import { BudgetedModel, PriceBook } from "@effect-cycles/ai"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import type * as Response from "effect/ai/Response"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { Case } from "./support/harness.ts"
import { derived, eachCpu as each, main, ratio } from "./support/harness.ts"

const CALLS = 300
const CHUNKS = 3_000
const GUARDS = 1_000
const ROUNDS = 5

const finish: Response.FinishPartEncoded = {
  type: "finish",
  reason: "stop",
  usage: {
    inputTokens: { total: 12, uncached: undefined, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: 3, text: undefined, reasoning: undefined }
  },
  response: undefined
}

/** Each part arrives by itself, as from a provider. */
const parts: Stream.Stream<Response.StreamPartEncoded> = Stream.rechunk(
  Stream.fromIterable<Response.StreamPartEncoded>([
    { type: "text-start", id: "1" },
    ...Array.from({ length: CHUNKS }, () => ({ type: "text-delta", id: "1", delta: "word " }) as const),
    { type: "text-end", id: "1" },
    finish
  ]),
  1
)

/** The model `gpt-4o` of `openai`, which answers at once. */
const model = Model.make(
  "openai",
  "gpt-4o",
  Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({
      generateText: () => Effect.succeed([{ type: "text", text: "Paris" }, finish]),
      streamText: () => parts
    })
  )
)

const ledger = Layer.orDie(Ledger.layerMemory({
  tenant: "acme",
  budgets: [
    { scope: "tenant:acme", allocated: Amount.microcents(Amount.MAX_INT64) },
    { scope: "tenant:acme", allocated: Amount.tokens(Amount.MAX_INT64) }
  ]
}))

const budget = Layer.provide(Budget.layer({ subject: { tenant: "acme" } }), ledger)

const budgeted = Layer.provideMerge(
  BudgetedModel.layer({ maxOutputTokens: 100_000 }),
  Layer.mergeAll(model, PriceBook.layer(), budget)
)

const action = Action.make("llm.completion", "gpt-4o")
let pairs = 0

/** What a guard does, without what it tells of itself and all else that is the guard's. */
const pair = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const idempotencyKey = (name: string) => IdempotencyKey.make(`${name}-${pairs}`)
  pairs++
  const { reservationId } = yield* authority.reserve({
    idempotencyKey: idempotencyKey("reserve"),
    subject: { tenant: "acme" },
    action,
    estimate: Amount.tokens(1_000)
  })
  yield* authority.commit(reservationId!, { idempotencyKey: idempotencyKey("commit"), actual: Amount.tokens(420) })
})

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    for (let i = 0; i < count; i++) yield* effect
  })

/** As one that exports: not Effect's own, whose spans nobody sees. */
const tracer = Tracer.make({ span: (options) => Tracer.nativeTracer.span(options) })

const traced = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => Effect.withTracer(effect, tracer)

const call = times(CALLS, LanguageModel.generateText({ prompt: "What is the capital of France?" }))
const stream = Stream.runDrain(LanguageModel.streamText({ prompt: "Go on." }))

/** A bare one, a budgeted one, and what is between them. */
const between = (what: string, bare: Case, withBudget: Case): ReadonlyArray<Case> => [
  bare,
  withBudget,
  derived(`a budget adds, ${what}`, "µs", (of) => of(withBudget.name) - of(bare.name)),
  ratio(withBudget.name, bare.name)
]

const guards = times(
  GUARDS,
  Budget.guard({ action, estimate: Amount.tokens(1_000) }, (r) => Effect.succeed(r.commit(Amount.tokens(420), "text")))
)

await main(
  "ai",
  () => [
    ...between("a call", each("model call", CALLS, call, model), each("budgeted model call", CALLS, call, budgeted)),
    ...between(
      "a call with a tracer",
      each("model call, tracer", CALLS, traced(call), model),
      each("budgeted model call, tracer", CALLS, traced(call), budgeted)
    ),
    ...between(
      "a chunk",
      each("stream chunk", CHUNKS, stream, model),
      each("budgeted stream chunk", CHUNKS, stream, budgeted)
    ),
    ...between(
      "a chunk with a tracer",
      each("stream chunk, tracer", CHUNKS, traced(stream), model),
      each("budgeted stream chunk, tracer", CHUNKS, traced(stream), budgeted)
    ),
    each("reserve and commit", GUARDS, times(GUARDS, pair), ledger),
    each("guard", GUARDS, guards, budget),
    each("guard, tracer", GUARDS, traced(guards), budget),
    derived("a guard adds", "µs", (of) => of("guard") - of("reserve and commit")),
    ratio("guard", "reserve and commit"),
    derived("a tracer adds, a guard", "µs", (of) => of("guard, tracer") - of("guard")),
    ratio("guard, tracer", "guard")
  ],
  ROUNDS
)
