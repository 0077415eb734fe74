/**
 * An embedding model behind a budget: every request to the provider reserves what its input can cost at most, and is charged by the
 * usage that is reported.
 *
 * {@link layer} takes the `EmbeddingModel` around it and provides one that is budgeted. Calls of `embed` that come together are still
 * one request, and one reservation.
 *
 * **Example** (Embeddings in tokens)
 *
 * ```ts
 * import { BudgetedEmbedding, PriceBook } from "@effect-cycles/ai"
 * import { Effect, Layer } from "effect"
 * import { EmbeddingModel, Model } from "effect/ai"
 * import { Amount, Budget, Ledger } from "effect-cycles"
 *
 * // A stand-in for the model of a provider's package.
 * const small = Model.make("openai", "text-embedding-3-small", Layer.effect(EmbeddingModel.EmbeddingModel, EmbeddingModel.make({
 *   embedMany: ({ inputs }) => Effect.succeed({ results: inputs.map(() => [0.1, 0.2]), usage: { inputTokens: 7 } })
 * })))
 *
 * const program = BudgetedEmbedding.embedMany(["one", "two"]).pipe(
 *   Effect.map(({ embeddings }) => embeddings.length),
 *   Effect.catchTag("BudgetExceeded", () => Effect.succeed(0)),
 *   Effect.provide(BudgetedEmbedding.layer()),
 *   Effect.provide([small, PriceBook.layer(), Budget.layer()]),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd("0.10") }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => 2
 * ```
 *
 * @since 0.1.0
 */
import * as Action from "effect-cycles/protocol/Action"
import * as Amounts from "effect-cycles/protocol/Amount"
import * as Budget from "effect-cycles/runtime/Budget"
import type * as AiError from "effect/ai/AiError"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ambient from "./Ambient.ts"
import * as Cost from "./Cost.ts"
import type { Denial } from "./Denial.ts"
import * as Denials from "./Denial.ts"
import * as Estimate from "./Estimate.ts"
import * as GenAiSpan from "./GenAiSpan.ts"
import type { ModelName, PriceBook } from "./PriceBook.ts"
import * as Priced from "./Priced.ts"
import * as TokenUsage from "./TokenUsage.ts"

/**
 * - `model`: which one it is, for its price and its action; what `effect/ai`'s `Model` says when not given
 * - `unit`: what its budget is kept in; `USD_MICROCENTS` when not given
 * - `batch`: whether calls go through the provider's batch API
 * - `onUnsettled`: what a request costs that failed or was interrupted: the most its input can cost (`input`), or nothing (`release`);
 *   `input` when not given. What a provider surely does not bill costs nothing in any case
 * - `action`: what a request is called; kind `llm.embedding` and the name of the model when not given
 * - `request`: further fields of each reservation
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly model?: ModelName | undefined
  readonly unit?: "USD_MICROCENTS" | "TOKENS" | undefined
  readonly batch?: boolean | undefined
  readonly onUnsettled?: "input" | "release" | undefined
  readonly action?: Action.Action | undefined
  readonly request?: Omit<Budget.Request<never>, "action" | "estimate" | "onUnsettled"> | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Service {
  readonly embed: (input: string) => Effect.Effect<EmbeddingModel.EmbedResponse, AiError.AiError | Denial>
  readonly embedMany: (
    input: ReadonlyArray<string>
  ) => Effect.Effect<EmbeddingModel.EmbedManyResponse, AiError.AiError | Denial>
}

/**
 * An embedding model whose requests are budgeted, and whose denials are typed.
 *
 * @category services
 * @since 0.1.0
 */
export class BudgetedEmbedding
  extends Context.Service<BudgetedEmbedding, Service>()("@effect-cycles/ai/BudgetedEmbedding")
{}

/** Who pays for what is embedded: the budget of the fiber, as an allotment's or a tenant's, and who spends of it. */
const spenderOf = (context: Context.Context<never>): unknown => {
  const budget = Option.getOrUndefined(Context.getOption(context, Budget.Budget))
  return [Context.get(context, Budget.Spender), budget === undefined ? 0 : numberOf(budget)]
}

const numbers = new WeakMap<object, number>()
let last = 0

const numberOf = (object: object): number => {
  const number = numbers.get(object) ?? ++last
  numbers.set(object, number)
  return number
}

/** What a provider may add to each text, as marks of its beginning and end. */
const TOKENS_PER_INPUT = 8

/**
 * The `EmbeddingModel` of the context, budgeted. A denial is an `AiError` that stands for it; see `Denial.restore`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: Options = {}) {
  const inner = yield* EmbeddingModel.EmbeddingModel
  const budget = yield* Budget.Budget
  const { name, price: priceNow } = yield* Priced.make(options, false)

  const embedMany = Effect.fnUntraced(function*(inputs: ReadonlyArray<string>) {
    const price = yield* priceNow
    const maximum = inputs.reduce((sum, input) => sum + Estimate.textBound(input) + TOKENS_PER_INPUT, 0)
    const amountOf = (tokens: number) =>
      price === undefined
        ? Amounts.tokens(tokens)
        : Cost.of(price, TokenUsage.make({ input: tokens })).amount
    const estimate = price === undefined
      ? Amounts.tokens(maximum)
      : Cost.bound(price, { input: maximum, output: 0 }).amount
    const source = price?.source ?? "tokens"
    return yield* Budget.guard<Amounts.Unit, EmbeddingModel.EmbedManyResponse, never, AiError.AiError>({
      ...options.request,
      action: options.action ?? Action.make("llm.embedding", name?.model ?? "unknown"),
      estimate,
      metadata: { ...options.request?.metadata, price: source },
      onUnsettled: (exit) =>
        options.onUnsettled === "release" || Denials.isUnbilled(exit) ? { ...estimate, amount: 0n } : estimate
    }, (r) =>
      Effect.gen(function*() {
        const span = yield* GenAiSpan.current
        if (span !== undefined) GenAiSpan.asked(span, "embeddings", name)
        const response = yield* inner.embedMany(inputs)
        const { flaws, usage } = TokenUsage.fromResponse({
          inputTokens: {
            total: response.usage.inputTokens,
            uncached: undefined,
            cacheRead: undefined,
            cacheWrite: undefined
          },
          outputTokens: { total: 0, text: undefined, reasoning: undefined }
        }, { input: maximum, output: 0 })
        if (span !== undefined) GenAiSpan.answered(span, usage, name?.model)
        return r.commit(amountOf(usage.input), response, {
          metrics: { tokensInput: usage.input, ...(name === undefined ? undefined : { modelVersion: name.model }) },
          metadata: { price: source, ...(flaws.length === 0 ? undefined : { usage_flaws: flaws }) }
        })
      }))
  })

  return yield* EmbeddingModel.make({
    // Texts that come together are one request, which one spender pays: those of others are requests of their own.
    batchKey: spenderOf,
    embedMany: ({ inputs }) =>
      embedMany(inputs).pipe(
        Effect.mapBoth({
          onFailure: (error) => Denials.toAiError(error, "embedMany"),
          onSuccess: ({ embeddings, usage }) => ({
            results: embeddings.map(({ vector }) => [...vector]),
            usage: { inputTokens: usage.inputTokens }
          })
        }),
        Ambient.provide(budget)
      )
  })
})

/**
 * Provides a budgeted model for the `EmbeddingModel` around it: as {@link BudgetedEmbedding}, and as an `EmbeddingModel` for programs
 * that know nothing of budgets. There a denial is an `AiError` with the reason `QuotaExhaustedError`, which is not retried.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options?: Options
): Layer.Layer<
  BudgetedEmbedding | EmbeddingModel.EmbeddingModel,
  never,
  EmbeddingModel.EmbeddingModel | Budget.Budget | PriceBook
> =>
  Layer.effectContext(Effect.map(make(options), (model) =>
    Context.add(
      BudgetedEmbedding.context({
        embed: (input) => Denials.restore(model.embed(input)),
        embedMany: (input) => Denials.restore(model.embedMany(input))
      }),
      EmbeddingModel.EmbeddingModel,
      model
    )))

/**
 * `EmbeddingModel.embed` with a budget, and its denials in the error channel.
 *
 * @category calls
 * @since 0.1.0
 */
export const embed = (
  input: string
): Effect.Effect<EmbeddingModel.EmbedResponse, AiError.AiError | Denial, BudgetedEmbedding> =>
  Effect.flatMap(BudgetedEmbedding, (model) => model.embed(input))

/**
 * `EmbeddingModel.embedMany` with a budget, and its denials in the error channel.
 *
 * @category calls
 * @since 0.1.0
 */
export const embedMany = (
  input: ReadonlyArray<string>
): Effect.Effect<EmbeddingModel.EmbedManyResponse, AiError.AiError | Denial, BudgetedEmbedding> =>
  Effect.flatMap(BudgetedEmbedding, (model) => model.embedMany(input))
