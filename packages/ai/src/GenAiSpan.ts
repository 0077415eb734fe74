/**
 * What the span of a guard says of the model call in it, by the names of OpenTelemetry's GenAI conventions.
 *
 * @internal
 */
import { addGenAIAnnotations } from "effect/ai/Telemetry"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import type { ModelName } from "./PriceBook.ts"
import type { TokenUsage } from "./TokenUsage.ts"

/** The span of the guard at hand, where somebody traces. Any other is not ours to write on. */
export const current: Effect.Effect<Tracer.Span | undefined> = Effect.withFiber((fiber) => {
  const span = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
  return Effect.succeed(span?._tag === "Span" && span.name === "Budget.guard" ? span : undefined)
})

export const asked = (
  span: Tracer.Span,
  operation: "chat" | "embeddings",
  name: ModelName | undefined,
  maxTokens?: number
): void =>
  addGenAIAnnotations(span, {
    operation: { name: operation },
    provider: { name: name?.provider },
    request: { model: name?.model, maxTokens }
  })

export const answered = (span: Tracer.Span, usage: TokenUsage, model: string | undefined): void => {
  addGenAIAnnotations(span, {
    response: { model },
    usage: { inputTokens: usage.input, outputTokens: usage.output }
  })
  if (usage.cacheRead > 0) span.attribute("gen_ai.usage.cache_read.input_tokens", usage.cacheRead)
  if (usage.cacheWrite > 0) span.attribute("gen_ai.usage.cache_creation.input_tokens", usage.cacheWrite)
  if (usage.reasoning > 0) span.attribute("gen_ai.usage.reasoning.output_tokens", usage.reasoning)
}
