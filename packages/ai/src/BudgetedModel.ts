/**
 * A language model behind a budget: every call reserves what it can cost at most, and is charged by the usage its provider reports.
 *
 * {@link layer} takes the `LanguageModel` around it and provides one that is budgeted, so that programs written for `effect/ai` do not
 * change; there a denial is an `AiError` that is not worth retrying, and {@link denials} gives it back its type. The functions of this
 * module, {@link generateText}, {@link streamText} and {@link generateObject}, have it in their error channel from the start.
 *
 * **Example** (A model that may cost ten cents)
 *
 * ```ts
 * import { BudgetedModel, PriceBook } from "@effect-cycles/ai"
 * import { Effect, Layer } from "effect"
 * import { LanguageModel, Model } from "effect/ai"
 * import { Amount, Budget, Ledger } from "effect-cycles"
 * import { Stream } from "effect"
 *
 * // A stand-in for the model of a provider's package.
 * const gpt4o = Model.make("openai", "gpt-4o", Layer.effect(LanguageModel.LanguageModel, LanguageModel.make({
 *   generateText: () => Effect.succeed([
 *     { type: "text", text: "Paris" },
 *     { type: "finish", reason: "stop", usage: { inputTokens: { total: 12 }, outputTokens: { total: 3 } }, response: undefined }
 *   ]),
 *   streamText: () => Stream.empty
 * })))
 *
 * const program = BudgetedModel.generateText({ prompt: "What is the capital of France?" }).pipe(
 *   Effect.map((response) => response.text),
 *   Effect.catchTag("BudgetExceeded", () => Effect.succeed("no budget left")),
 *   Effect.provide(BudgetedModel.layer({ maxOutputTokens: 1_000 })),
 *   Effect.provide([gpt4o, PriceBook.layer(), Budget.layer()]),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd("0.10") }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => Paris
 * ```
 *
 * @since 0.1.0
 */
import * as Action from "effect-cycles/protocol/Action"
import type { Amount } from "effect-cycles/protocol/Amount"
import * as Amounts from "effect-cycles/protocol/Amount"
import * as Caps from "effect-cycles/protocol/Caps"
import type { Metrics } from "effect-cycles/protocol/Metrics"
import * as Budget from "effect-cycles/runtime/Budget"
import type { Report } from "effect-cycles/runtime/Settlement"
import type * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { NoExcessProperties } from "effect/Types"
import * as Ambient from "./Ambient.ts"
import * as BudgetedToolkit from "./BudgetedToolkit.ts"
import * as Cost from "./Cost.ts"
import type { Denial } from "./Denial.ts"
import * as Denials from "./Denial.ts"
import type { Allowances, ModelRequest } from "./Estimate.ts"
import * as Estimate from "./Estimate.ts"
import * as GenAiSpan from "./GenAiSpan.ts"
import type { ModelName, PriceBook } from "./PriceBook.ts"
import * as Priced from "./Priced.ts"
import type { TokenUsage } from "./TokenUsage.ts"
import * as TokenUsages from "./TokenUsage.ts"

/**
 * How the calls of a model are budgeted.
 *
 * - `model`: which one it is, for its price and its action; what `effect/ai`'s `Model` says when not given
 * - `unit`: what its budget is kept in, `USD_MICROCENTS` by the price book or `TOKENS`; `USD_MICROCENTS` when not given
 * - `maxOutputTokens`: how long an answer can be, reasoning included; the length of the model's context when not given, which is a
 *   bound, and a wide one
 * - `withMaxTokens`: how the provider is told the most it may answer, for example
 *   `(n) => OpenAiLanguageModel.withConfigOverride({ max_output_tokens: n })`. Without it a cap on tokens cannot be enforced, which is
 *   logged and noted with the charge
 * - `estimate`: what is reserved: `bound`, the most the call can cost, or `expected`, what it probably will; `bound` when not given
 * - `expectedOutputTokens`: how long an answer probably is, for `expected`; `maxOutputTokens` when not given
 * - `allowances`: what cannot be read from a request
 * - `batch`: whether calls go through the provider's batch API
 * - `onUnsettled`: what a call costs that did not say: `input`, the most its input can cost, once it was sent; all of it once there
 *   was an answer. `estimate` is all of it in any case, `release` nothing. `input` when not given. What a provider surely does not
 *   bill, as a refused key or a rate limit, costs nothing in any case
 * - `action`: what a call is called; kind `llm.completion` and the name of the model when not given
 * - `request`: further fields of each reservation
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly model?: ModelName | undefined
  readonly unit?: "USD_MICROCENTS" | "TOKENS" | undefined
  readonly maxOutputTokens?: number | undefined
  readonly withMaxTokens?:
    | ((maximum: number) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>)
    | undefined
  readonly estimate?: "bound" | "expected" | undefined
  readonly expectedOutputTokens?: number | undefined
  readonly allowances?: Allowances | undefined
  readonly batch?: boolean | undefined
  readonly onUnsettled?: "input" | "estimate" | "release" | undefined
  readonly action?: Action.Action | undefined
  readonly request?: Omit<Budget.Request<never>, "action" | "estimate" | "onUnsettled"> | undefined
}

/**
 * What a budgeted call can fail with beside the model's own errors.
 *
 * @category errors
 * @since 0.1.0
 */
export type Failure = Denial

type WithoutToolkit = Omit<LanguageModel.GenerateTextOptions<{}>, "toolkit"> & { readonly toolkit?: undefined }

/** `Tools` for toolkits that are a union of several: what they have in common is not known. */
// oxlint-disable-next-line typescript/no-explicit-any -- the constraint of effect/ai, which infers nothing from a narrower one
type AnyTools = any

/**
 * The calls of `LanguageModel`, with denials in their error channel; `R` is what each of them needs beside the services of its
 * tools.
 *
 * @category models
 * @since 0.1.0
 */
export interface Calls<out R> {
  readonly generateText: {
    <Options extends NoExcessProperties<WithoutToolkit, Options>>(
      options: Options & WithoutToolkit
    ): Effect.Effect<
      LanguageModel.GenerateTextResponse<{}, LanguageModel.ExtractToolParametersModeWithoutToolkit<Options>>,
      LanguageModel.ExtractError<Options> | Failure,
      LanguageModel.ExtractServices<Options> | R
    >
    <
      Tools extends Record<string, Tool.Any>,
      Options extends NoExcessProperties<
        LanguageModel.GenerateTextOptions<Tools> & { readonly toolkit: LanguageModel.ToolkitInput<Tools> },
        Options
      >
    >(
      options:
        & Options
        & LanguageModel.GenerateTextOptions<Tools>
        & { readonly toolkit: LanguageModel.ToolkitInput<Tools> }
    ): Effect.Effect<
      LanguageModel.GenerateTextResponse<Tools, LanguageModel.ExtractToolParametersMode<Options>>,
      LanguageModel.ExtractError<Options> | Failure,
      LanguageModel.ExtractServices<Options> | R
    >
    <
      Options extends
        & { readonly toolkit: LanguageModel.ToolkitOption<AnyTools> }
        & NoExcessProperties<LanguageModel.GenerateTextOptions<AnyTools>, Options>
    >(
      options:
        & Options
        & LanguageModel.GenerateTextOptions<LanguageModel.ExtractTools<Options>>
        & { readonly toolkit: Options["toolkit"] }
    ): Effect.Effect<
      LanguageModel.GenerateTextResponse<
        LanguageModel.ExtractTools<Options>,
        LanguageModel.ExtractToolParametersMode<Options>
      >,
      LanguageModel.ExtractError<Options> | Failure,
      LanguageModel.ExtractServices<Options> | R
    >
  }
  readonly generateObject: <
    ObjectEncoded extends Record<string, AnyTools>,
    StructuredOutputSchema extends Schema.Encoder<ObjectEncoded, unknown>,
    Options extends NoExcessProperties<
      LanguageModel.GenerateObjectOptions<AnyTools, StructuredOutputSchema>,
      Options
    >,
    Tools extends Record<string, Tool.Any> = {}
  >(
    options: Options & LanguageModel.GenerateObjectOptions<Tools, StructuredOutputSchema>
  ) => Effect.Effect<
    LanguageModel.GenerateObjectResponse<
      Tools,
      StructuredOutputSchema["Type"],
      LanguageModel.ExtractToolParametersMode<Options>
    >,
    LanguageModel.ExtractError<Options> | Failure,
    LanguageModel.ExtractServices<Options> | StructuredOutputSchema["DecodingServices"] | R
  >
  readonly streamText: {
    <Options extends NoExcessProperties<WithoutToolkit, Options>>(
      options: Options & WithoutToolkit
    ): Stream.Stream<
      Response.StreamPart<{}, LanguageModel.ExtractToolParametersModeWithoutToolkit<Options>>,
      LanguageModel.ExtractError<Options> | Failure,
      LanguageModel.ExtractServices<Options> | R
    >
    <
      Tools extends Record<string, Tool.Any>,
      Options extends NoExcessProperties<
        LanguageModel.GenerateTextOptions<Tools> & { readonly toolkit: LanguageModel.ToolkitInput<Tools> },
        Options
      >
    >(
      options:
        & Options
        & LanguageModel.GenerateTextOptions<Tools>
        & { readonly toolkit: LanguageModel.ToolkitInput<Tools> }
    ): Stream.Stream<
      Response.StreamPart<Tools, LanguageModel.ExtractToolParametersMode<Options>>,
      LanguageModel.ExtractError<Options> | Failure,
      LanguageModel.ExtractServices<Options> | R
    >
    <
      Options extends
        & { readonly toolkit: LanguageModel.ToolkitOption<AnyTools> }
        & NoExcessProperties<LanguageModel.GenerateTextOptions<AnyTools>, Options>
    >(
      options:
        & Options
        & LanguageModel.GenerateTextOptions<LanguageModel.ExtractTools<Options>>
        & { readonly toolkit: Options["toolkit"] }
    ): Stream.Stream<
      Response.StreamPart<LanguageModel.ExtractTools<Options>, LanguageModel.ExtractToolParametersMode<Options>>,
      LanguageModel.ExtractError<Options> | Failure,
      LanguageModel.ExtractServices<Options> | R
    >
  }
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Service extends Calls<never> {}

/**
 * A language model whose calls are budgeted, and whose denials are typed.
 *
 * @category services
 * @since 0.1.0
 */
export class BudgetedModel extends Context.Service<BudgetedModel, Service>()("@effect-cycles/ai/BudgetedModel") {}

// ---------------------------------------------------------------------------------------------------------------------
// what is asked for
// ---------------------------------------------------------------------------------------------------------------------

/** The options of a call as far as they matter here; their types are those of the public signatures. */
interface Call {
  readonly prompt: Prompt.RawInput
  readonly toolkit?: AnyToolkit | Effect.Effect<AnyToolkit> | undefined
  readonly toolChoice?: LanguageModel.ToolChoice<string> | undefined
  readonly schema?: Schema.Top | undefined
}

type AnyToolkit = Toolkit.WithHandler<Record<string, Tool.Any>>

interface Answer {
  readonly content: ReadonlyArray<Response.AnyPart>
}

interface Inner {
  readonly generateText: (call: Call) => Effect.Effect<Answer, AiError.AiError>
  readonly generateObject: (call: Call) => Effect.Effect<Answer, AiError.AiError>
  readonly streamText: (call: Call) => Stream.Stream<Response.AnyPart, AiError.AiError>
}

type Unit = "USD_MICROCENTS" | "TOKENS"

/** What is known of a call before it is made. */
interface Plan {
  readonly name: ModelName | undefined
  readonly request: Omit<Budget.Request<Unit>, "onUnsettled">
  readonly maxima: TokenUsages.Maxima
  readonly media: boolean
  /** The calls of tools that the prompt tells of, by their ids. */
  readonly calls: ReadonlySet<string>
  readonly toolkit: AnyToolkit | undefined
  /** What so much costs, as far as it is known. */
  readonly costOf: (usage: TokenUsage, hasMediaOutput: boolean) => Amount<Unit>
  /** The most that can be billed where nothing was reported: for the input alone, or for the output observed as well. */
  readonly boundOf: (output: number) => Amount<Unit>
  readonly source: string
}

const hasFiles = ({ content }: Prompt.Prompt): boolean =>
  content.some((message) =>
    typeof message.content !== "string" && message.content.some((part) =>
      part.type === "file" ||
      (part.type === "tool-result" && part.modelOutput?.some((output) => output.type === "file") === true)
    )
  )

const callsOf = ({ content }: Prompt.Prompt): ReadonlySet<string> =>
  new Set(content.flatMap((message) =>
    typeof message.content === "string"
      ? []
      : message.content.flatMap((part) => part.type === "tool-call" ? [part.id] : [])
  ))

const makePlanner = Effect.fnUntraced(function*(options: Options) {
  for (const name of ["maxOutputTokens", "expectedOutputTokens"] as const) {
    const count = options[name]
    if (count !== undefined && (!Number.isSafeInteger(count) || count < 0)) {
      return yield* Effect.die(new RangeError(`${name} must be a whole number of at least zero; got ${count}`))
    }
  }
  const { name, price: priceNow } = yield* Priced.make(options, true)

  return Effect.fnUntraced(function*(call: Call): Effect.fn.Return<Plan, Failure> {
    const toolkit = Effect.isEffect(call.toolkit) ? yield* call.toolkit : call.toolkit
    const price = yield* priceNow
    const prompt = Prompt.make(call.prompt)
    const asked: ModelRequest = {
      prompt,
      tools: toolkit === undefined ? [] : Object.values(toolkit.tools),
      schema: call.schema
    }
    const media = hasFiles(prompt)
    const output = options.maxOutputTokens ?? price?.contextWindow
    if (output === undefined) {
      return yield* new Estimate.Unbounded({ what: "output", detail: name?.model ?? "the model has no name" })
    }
    const maxima = { input: yield* Estimate.inputBound(asked, options.allowances), output }
    const boundOf = ({ input, output }: TokenUsages.Maxima): Amount<Unit> =>
      price === undefined
        ? Amounts.tokens(input + output)
        : Cost.bound(price, { input, output }, { input: media, output: true }).amount
    const expected = options.estimate === "expected"
      ? TokenUsages.make({
        input: yield* Estimate.inputExpected(asked, options.allowances),
        output: options.expectedOutputTokens ?? output
      })
      : undefined
    const costOf = (usage: TokenUsage, hasMediaOutput: boolean): Amount<Unit> =>
      price === undefined
        ? Amounts.tokens(usage.input + usage.output)
        : Cost.of(price, usage, { input: media, output: hasMediaOutput }).amount
    const source = price?.source ?? "tokens"
    return {
      name,
      maxima,
      media,
      calls: callsOf(prompt),
      toolkit,
      source,
      costOf,
      boundOf: (output) => boundOf({ input: maxima.input, output: Math.min(output, maxima.output) }),
      request: {
        ...options.request,
        action: options.action ?? Action.make("llm.completion", name?.model ?? "unknown"),
        estimate: expected === undefined ? boundOf(maxima) : costOf(expected, false),
        metadata: { ...options.request?.metadata, price: source }
      }
    }
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// what it cost
// ---------------------------------------------------------------------------------------------------------------------

/** What can only be wrong with an answer that was generated. */
const answered: ReadonlySet<AiError.AiErrorReason["_tag"]> = new Set([
  "InvalidOutputError",
  "InvalidResponseError",
  "StructuredOutputError",
  "ToolNotFoundError",
  "ToolParameterValidationError",
  "InvalidToolResultError",
  "ToolResultEncodingError"
])

/** How far a call came, for those that do not get to tell what they used. */
interface Progress {
  sent: boolean
  answered: boolean
  /** The span of the guard, where somebody traces. */
  span: Tracer.Span | undefined
}

const unsettledCost = (
  options: Options,
  plan: Plan,
  progress: Progress,
  exit: Exit.Exit<unknown, unknown>,
  observed: number
): Amount<Unit> => {
  const nothing = { ...plan.request.estimate, amount: 0n }
  const reason = Denials.reasonOf(exit)
  if (!progress.sent || options.onUnsettled === "release") return nothing
  if (!progress.answered && Denials.isUnbilled(exit)) return nothing
  if (options.onUnsettled === "estimate") return plan.request.estimate
  if (observed > 0) return plan.boundOf(observed)
  return progress.answered || (reason !== undefined && answered.has(reason))
    ? plan.boundOf(plan.maxima.output)
    : plan.boundOf(0)
}

const isFinish = (part: Response.AnyPart): part is Response.FinishPart => part.type === "finish"

/** What the parts of an answer say was used, in money or tokens, and for the record. */
const chargeOf = (
  plan: Plan,
  span: Tracer.Span | undefined,
  parts: {
    readonly finish: Response.FinishPart | undefined
    readonly modelId: string | undefined
    readonly hasMedia: boolean
  },
  isCapEnforced: boolean
) => {
  const { flaws, usage } = TokenUsages.fromResponse(
    parts.finish?.usage ?? { inputTokens: noInput, outputTokens: noOutput },
    plan.maxima
  )
  if (span !== undefined) GenAiSpan.answered(span, usage, parts.modelId)
  const metrics: Metrics = {
    tokensInput: usage.input,
    tokensOutput: usage.output,
    ...(parts.modelId === undefined ? undefined : { modelVersion: parts.modelId.slice(0, 128) }),
    custom: {
      cache_read_tokens: usage.cacheRead,
      cache_write_tokens: usage.cacheWrite,
      reasoning_tokens: usage.reasoning
    }
  }
  const report: Report = {
    metrics,
    metadata: {
      price: plan.source,
      ...(flaws.length === 0 ? undefined : { usage_flaws: flaws }),
      ...(isCapEnforced ? undefined : { cap_enforced: false })
    }
  }
  return {
    amount: plan.costOf(usage, parts.hasMedia),
    report,
    warn: flaws.length === 0
      ? Effect.void
      : Effect.logWarning(`What the model reported as used is not sound, and was made up for: ${flaws.join("; ")}`)
  }
}

const noInput = { uncached: undefined, total: undefined, cacheRead: undefined, cacheWrite: undefined }
const noOutput = { total: undefined, text: undefined, reasoning: undefined }

// ---------------------------------------------------------------------------------------------------------------------
// calls
// ---------------------------------------------------------------------------------------------------------------------

/** The call as it is sent once its caps are known. */
const prepare = Effect.fnUntraced(function*(
  options: Options,
  call: Call,
  plan: Plan,
  caps: Caps.Caps | undefined,
  progress: Progress
) {
  const maximum = Caps.clampTokens(caps, plan.maxima.output)
  progress.span = yield* GenAiSpan.current
  if (progress.span !== undefined) {
    GenAiSpan.asked(progress.span, "chat", plan.name, options.withMaxTokens === undefined ? undefined : maximum)
  }
  const isCapEnforced = options.withMaxTokens !== undefined || maximum === plan.maxima.output
  if (!isCapEnforced) {
    yield* Effect.logWarning(
      `The cap of ${maximum} tokens is not enforced: the provider is not told. Give the budgeted model the option withMaxTokens`
    )
  }
  const told = options.withMaxTokens?.(maximum) ?? ((effect) => effect)
  if (plan.toolkit === undefined) return { told, isCapEnforced, call }
  const narrowed = BudgetedToolkit.narrow(plan.toolkit, caps)
  if (call.toolChoice === "required" && Object.keys(narrowed.tools).length === 0) {
    return yield* new Caps.ToolNotAllowed({ tool: Object.keys(plan.toolkit.tools).join(", ") })
  }
  return {
    told,
    isCapEnforced,
    call: {
      ...call,
      toolkit: {
        ...narrowed,
        handle: ((...parameters) => {
          const [, , id] = parameters
          // What was approved is done before the request is sent; any other call of a tool is an answer's.
          if (id === undefined || !plan.calls.has(id)) progress.answered = true
          return narrowed.handle(...parameters)
        }) satisfies AnyToolkit["handle"]
      },
      ...(call.toolChoice === undefined
        ? undefined
        : { toolChoice: yield* BudgetedToolkit.narrowChoice(call.toolChoice, caps) })
    }
  }
})

const generate = (
  options: Options,
  plan: Effect.Effect<Plan, Failure>,
  call: Call,
  send: (call: Call) => Effect.Effect<Answer, AiError.AiError>
): Effect.Effect<Answer, AiError.AiError | Failure, Budget.Budget> =>
  Effect.flatMap(plan, (plan) => {
    const progress: Progress = { sent: false, answered: false, span: undefined }
    return Budget.guard({
      ...plan.request,
      onUnsettled: (exit) => unsettledCost(options, plan, progress, exit, 0)
    }, (r) =>
      Effect.gen(function*() {
        const prepared = yield* prepare(options, call, plan, r.caps, progress)
        const answer = yield* prepared.told(Effect.suspend(() => {
          progress.sent = true
          return send(prepared.call)
        }))
        const charge = chargeOf(plan, progress.span, {
          finish: answer.content.find(isFinish),
          modelId: answer.content.find((part) => part.type === "response-metadata")?.modelId,
          hasMedia: answer.content.some((part) => part.type === "file")
        }, prepared.isCapEnforced)
        yield* charge.warn
        return r.commit(charge.amount, answer, charge.report)
      }))
  })

/** What was seen of a stream. `output` is the most tokens that it can have been. */
interface Seen {
  readonly finish: Response.FinishPart | undefined
  readonly modelId: string | undefined
  readonly hasMedia: boolean
  readonly output: number
  /** The calls of tools whose parameters came in pieces, and were counted. */
  readonly calls: ReadonlySet<string>
}

const unseen: Seen = { finish: undefined, modelId: undefined, hasMedia: false, output: 0, calls: new Set() }

const see = (seen: Seen, part: Response.AnyPart): Seen => {
  switch (part.type) {
    case "text-delta":
    case "reasoning-delta":
    case "tool-params-delta":
      return { ...seen, output: seen.output + Estimate.textBound(part.delta) }
    case "tool-params-start":
      return { ...seen, calls: new Set(seen.calls).add(part.id), output: seen.output + Estimate.textBound(part.name) }
    case "tool-call":
      // Providers that do not stream the parameters of a call give it whole.
      return seen.calls.has(part.id) ? seen : { ...seen, output: seen.output + Estimate.callBound(part) }
    case "finish":
      return { ...seen, finish: part }
    case "response-metadata":
      return { ...seen, modelId: part.modelId ?? seen.modelId }
    case "file":
      // How many tokens it was is not known before the end.
      return { ...seen, hasMedia: true, output: Infinity }
    default:
      return seen
  }
}

const stream = (
  options: Options,
  plan: Effect.Effect<Plan, Failure>,
  call: Call,
  send: (call: Call) => Stream.Stream<Response.AnyPart, AiError.AiError>
): Stream.Stream<Response.AnyPart, AiError.AiError | Failure, Budget.Budget> =>
  Stream.unwrap(Effect.map(plan, (plan) => {
    const progress: Progress = { sent: false, answered: false, span: undefined }
    let isCapEnforced = true
    return Budget.guardStream({ ...plan.request, onUnsettled: "release" }, {
      stream: (r) =>
        Stream.unwrap(Effect.map(prepare(options, call, plan, r.caps, progress), (prepared) => {
          isCapEnforced = prepared.isCapEnforced
          const sending = Stream.suspend(() => {
            progress.sent = true
            return send(prepared.call)
          })
          return options.withMaxTokens === undefined
            ? sending
            : Stream.scoped(Stream.fromPull(prepared.told(Effect.map(Stream.toPull(sending), prepared.told))))
        })),
      meter: { initial: unseen, step: see },
      settle: (r, seen, exit) => {
        if (seen.finish === undefined) {
          const cost = unsettledCost(options, plan, progress, exit, seen.output)
          return cost.amount === 0n ? r.release() : r.commit(cost, undefined, {
            metadata: { price: plan.source, estimated: true }
          })
        }
        const charge = chargeOf(plan, progress.span, seen, isCapEnforced)
        return r.commit(charge.amount, undefined, charge.report)
      }
    })
  }))

/**
 * The calls of the `LanguageModel` of the context, budgeted. Dies of a `RangeError` for a count of tokens that is none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: Options = {}) {
  const model = yield* LanguageModel.LanguageModel
  const budget = yield* Budget.Budget
  const plan = yield* makePlanner(options)
  // The calls of effect/ai compute their types from their options; within, only prompt, toolkit and parts matter.
  const inner = model as unknown as Inner
  const service = {
    generateText: (call: Call) => Ambient.provide(generate(options, plan(call), call, inner.generateText), budget),
    generateObject: (call: Call) => Ambient.provide(generate(options, plan(call), call, inner.generateObject), budget),
    streamText: (call: Call) => Ambient.provideStream(stream(options, plan(call), call, inner.streamText), budget)
  }
  // What goes in and comes out is the model's own, so its types hold.
  return service as unknown as Service
})

/**
 * Provides a budgeted model for the `LanguageModel` around it: as {@link BudgetedModel}, and as a `LanguageModel` for programs that know
 * nothing of budgets. There a denial is an `AiError` with the reason `QuotaExhaustedError`, which is not retried; see {@link denials}.
 *
 * A call spends from the `Budget` around it, as that of an allotment or a tenant; from the layer's own where there is none.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Options
): Layer.Layer<
  BudgetedModel | LanguageModel.LanguageModel,
  never,
  LanguageModel.LanguageModel | Budget.Budget | PriceBook
> =>
  Layer.effectContext(Effect.gen(function*() {
    const inner = yield* LanguageModel.LanguageModel
    const budgeted = yield* make(options)
    const calls = budgeted as unknown as Inner
    const asAiError = (method: string) => (error: AiError.AiError | Failure) => Denials.toAiError(error, method)
    // The same calls with one more step, whose types are computed from options that are passed on as they are.
    const transparent = {
      ...inner,
      generateText: (call: Call) => Effect.mapError(calls.generateText(call), asAiError("generateText")),
      generateObject: (call: Call) => Effect.mapError(calls.generateObject(call), asAiError("generateObject")),
      streamText: (call: Call) => Stream.mapError(calls.streamText(call), asAiError("streamText"))
    } as unknown as LanguageModel.LanguageModel
    return Context.add(BudgetedModel.context(budgeted), LanguageModel.LanguageModel, transparent)
  }))

// ---------------------------------------------------------------------------------------------------------------------
// accessors
// ---------------------------------------------------------------------------------------------------------------------

// Each passes its options on as they are, so the types computed from them hold.
const accessors = {
  generateText: (call: Call) =>
    Effect.flatMap(BudgetedModel, (model) => (model as unknown as Inner).generateText(call)),
  generateObject: (call: Call) =>
    Effect.flatMap(BudgetedModel, (model) => (model as unknown as Inner).generateObject(call)),
  streamText: (call: Call) =>
    Stream.unwrap(Effect.map(BudgetedModel, (model) => (model as unknown as Inner).streamText(call)))
} as unknown as Calls<BudgetedModel>

/**
 * `LanguageModel.generateText` with a budget, and its denials in the error channel.
 *
 * @category calls
 * @since 0.1.0
 */
export const generateText: Calls<BudgetedModel>["generateText"] = accessors.generateText

/**
 * `LanguageModel.generateObject` with a budget, and its denials in the error channel.
 *
 * @category calls
 * @since 0.1.0
 */
export const generateObject: Calls<BudgetedModel>["generateObject"] = accessors.generateObject

/**
 * `LanguageModel.streamText` with a budget, and its denials in the error channel. A stream that is stopped early, fails or is
 * interrupted costs what was seen of it, beside its input.
 *
 * @category calls
 * @since 0.1.0
 */
export const streamText: Calls<BudgetedModel>["streamText"] = accessors.streamText

/**
 * Gives the denials of a budgeted `LanguageModel` their types back: an `AiError` that stands for one becomes that one.
 *
 * **Example** (A program that knows only `LanguageModel`)
 *
 * ```ts
 * import { BudgetedModel } from "@effect-cycles/ai"
 * import { Effect } from "effect"
 * import { LanguageModel } from "effect/ai"
 *
 * export const answer = LanguageModel.generateText({ prompt: "Hello" }).pipe(
 *   BudgetedModel.denials,
 *   Effect.map((response) => response.text),
 *   Effect.catchTag("BudgetExceeded", () => Effect.succeed("no budget left"))
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const denials: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Failure, R> = Denials.restore
