/**
 * The agent's side of the model: an OpenAI-compatible client that can say what a call may cost before it is made.
 */
import { Amount } from "effect-cycles"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import type { Step, Turn } from "./Agent.ts"
import type { ScenarioName } from "./CallLog.ts"
import * as Chat from "./Chat.ts"
import { Endpoint } from "./Endpoint.ts"
import type { Prices } from "./Pricing.ts"
import * as Pricing from "./Pricing.ts"
import * as Tokens from "./Tokens.ts"

type Usd = Amount.Amount<"USD_MICROCENTS">

/** A gateway gave up. That may be over in a moment, and the work may have been billed: `usage`, where the gateway says so. */
export class GatewayFailed extends Schema.TaggedError<GatewayFailed>()("GatewayFailed", {
  status: Schema.Int,
  reason: Schema.String,
  usage: Schema.optionalKey(Chat.Usage)
}) {
  override get message(): string {
    return `the model's gateway answered ${this.status}, ${this.reason}`
  }
}

/** The model cannot be used: not reachable, not willing, or not making sense. */
export class ModelFailed extends Schema.TaggedError<ModelFailed>()("ModelFailed", { reason: Schema.String }) {
  override get message(): string {
    return `the model failed: ${this.reason}`
  }
}

export interface Completion {
  readonly text: string
  readonly usage: Chat.Usage
}

/** What has happened so far, as this side saw it. */
export interface Meter {
  readonly calls: number
  readonly cost: bigint
  readonly step: Step | undefined
  readonly promptTokens: number
}

export interface Options {
  readonly prices: Prices
  readonly maxTokens: number
  /** How far the endpoint's own token count may be above ours. */
  readonly margin: (tokens: number) => number
}

export class Model extends Context.Service<Model, {
  readonly name: string
  /** What a call costs at most: every prompt token and every token it may answer with. */
  readonly estimate: (turn: Turn) => Usd
  readonly cost: (usage: Chat.Usage) => Usd
  readonly complete: (turn: Turn) => Effect.Effect<Completion, GatewayFailed | ModelFailed>
  readonly meter: Effect.Effect<Meter>
}>()("examples/demo/Model") {}

export const layer = (
  scenario: ScenarioName,
  options: Options
): Layer.Layer<Model, never, Endpoint | HttpClient.HttpClient> =>
  Layer.effect(
    Model,
    Effect.gen(function*() {
      const { margin, maxTokens, prices } = options
      const url = `${(yield* Endpoint).baseUrl(scenario)}/chat/completions`
      const client = yield* HttpClient.HttpClient
      const meter = yield* Ref.make<Meter>({ calls: 0, cost: 0n, step: undefined, promptTokens: 0 })

      const cost = (usage: Chat.Usage) => Pricing.cost(prices, usage)
      const billed = (usage: Chat.Usage) =>
        Ref.update(meter, (seen) => ({ ...seen, cost: seen.cost + cost(usage).amount }))

      return Model.of({
        name: prices.model,
        meter: Ref.get(meter),
        cost,
        estimate: ({ messages }) =>
          cost({ prompt_tokens: margin(Tokens.ofMessages(messages)), completion_tokens: maxTokens }),
        complete: Effect.fn("Model.complete")(
          function*({ messages, step }) {
            yield* Ref.update(meter, (seen) => ({
              ...seen,
              calls: seen.calls + 1,
              step,
              promptTokens: Tokens.ofMessages(messages)
            }))
            const response = yield* HttpClientRequest.post(url).pipe(
              HttpClientRequest.bodyJsonUnsafe({ model: prices.model, messages, max_tokens: maxTokens }),
              client.execute
            )
            if (response.status === 200) {
              const { choices, usage } = yield* HttpClientResponse.schemaBodyJson(Chat.Reply)(response)
              yield* billed(usage)
              return { text: choices[0].message.content, usage }
            }
            const { error, usage } = yield* HttpClientResponse.schemaBodyJson(Chat.Failure)(response)
            if (usage !== undefined) yield* billed(usage)
            return response.status >= 500
              ? yield* new GatewayFailed({ status: response.status, reason: error.message, ...(usage && { usage }) })
              : yield* new ModelFailed({ reason: `${response.status}, ${error.message}` })
          },
          Effect.catchTag(["HttpClientError", "SchemaError"], (error) => new ModelFailed({ reason: error.message }))
        )
      })
    })
  )
