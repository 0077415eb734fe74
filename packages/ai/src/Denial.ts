/**
 * A denial where only an `AiError` fits, and back; and which errors of a provider cost nothing.
 *
 * @since 0.1.0
 */
import type { GuardError } from "effect-cycles/runtime/Budget"
import * as AiError from "effect/ai/AiError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Unbounded } from "./Estimate.ts"
import type { UnpricedModel } from "./PriceBook.ts"

/**
 * Why a call of a model or a tool was not made: its budget was denied or could not be asked for, its price is not known, or its cost
 * has no bound.
 *
 * @category errors
 * @since 0.1.0
 */
export type Denial = GuardError | UnpricedModel | Unbounded

/** The denials behind errors, which are values of effect/ai and have no room for them. */
const behind = new WeakMap<object, Denial>()

/**
 * The `AiError` that stands for a denial: reason `QuotaExhaustedError`, which is not worth retrying. Its metadata say which denial it
 * is, under `cycles`; {@link of} gives it back whole. An `AiError` is left as it is.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toAiError = (error: AiError.AiError | Denial, method: string): AiError.AiError => {
  if (error._tag === "AiError") return error
  const reason = new AiError.QuotaExhaustedError({
    metadata: { cycles: { denial: error._tag, message: error.message } }
  })
  const aiError = AiError.make({ module: "effect-cycles", method, reason })
  behind.set(aiError, error)
  return aiError
}

/**
 * The denial an error stands for, if it does.
 *
 * @category conversions
 * @since 0.1.0
 */
export const of = (error: unknown): Option.Option<Denial> =>
  typeof error === "object" && error !== null ? Option.fromUndefinedOr(behind.get(error)) : Option.none()

/**
 * What a model is told of a denial.
 *
 * @internal
 */
export const told = (denial: Denial) => ({
  error: denial._tag,
  message: denial.message,
  ...("retryAfter" in denial && denial.retryAfter !== undefined
    ? { retry_after_ms: Duration.toMillis(denial.retryAfter) }
    : undefined)
})

/**
 * Gives denials their types back: an error that stands for one becomes that one.
 *
 * @category combinators
 * @since 0.1.0
 */
export const restore = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Denial, R> =>
  Effect.mapError(self, (error) => Option.getOrElse(of(error), () => error))

/** What providers answer before any work that could be billed is done. */
const unbilled: ReadonlySet<AiError.AiErrorReason["_tag"]> = new Set([
  "RateLimitError",
  "QuotaExhaustedError",
  "AuthenticationError",
  "InvalidRequestError",
  "UnsupportedSchemaError",
  "ToolConfigurationError",
  "ToolkitRequiredError",
  "InvalidUserInputError"
])

/**
 * What an exit failed with, where that is an `AiError`.
 *
 * @internal
 */
export const reasonOf = (exit: Exit.Exit<unknown, unknown>): AiError.AiErrorReason["_tag"] | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  return AiError.isAiError(error) ? error.reason._tag : undefined
}

/**
 * Whether a call failed with what providers answer before any work that they bill.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isUnbilled = (exit: Exit.Exit<unknown, unknown>): boolean => {
  const reason = reasonOf(exit)
  return reason !== undefined && unbilled.has(reason)
}
