/**
 * A denial where only an `AiError` fits, and back.
 *
 * @since 0.1.0
 */
import type { GuardError } from "effect-cycles/runtime/Budget"
import * as AiError from "effect/ai/AiError"
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
  const aiError = AiError.make({ module: "BudgetedModel", method, reason })
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
