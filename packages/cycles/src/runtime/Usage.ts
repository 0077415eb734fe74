/**
 * Adds up what an action uses while it runs, for the metrics of its commit.
 *
 * **Example** (Counting as a stream goes by)
 *
 * ```ts
 * import { Usage } from "effect-cycles"
 *
 * const usage = Usage.make()
 * Usage.add(usage, { tokensInput: 150, modelVersion: "gpt-4o-2024-08-06" })
 * for (const chunk of [12, 30]) Usage.add(usage, { tokensOutput: chunk })
 *
 * console.log(Usage.tokens(usage).amount) // => 192n
 * console.log(Usage.metrics(usage).tokensOutput) // => 42
 * ```
 *
 * @since 0.1.0
 */
import type * as Types from "effect/Types"
import type { Amount } from "../protocol/Amount.ts"
import * as Amounts from "../protocol/Amount.ts"
import type { JsonObject, Metrics } from "../protocol/Metrics.ts"

/**
 * What was used so far. It is added to in place, by the one piece of work it belongs to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Usage {
  readonly "~effect-cycles/runtime/Usage": Types.Mutable<Metrics> & { custom?: JsonObject }
}

/**
 * One more piece of usage. Token counts and `latencyMs` are added to what is there, `modelVersion` replaces it, `custom` is laid
 * over it.
 *
 * @category models
 * @since 0.1.0
 */
export type Part = Metrics

/**
 * Nothing used yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): Usage => ({ "~effect-cycles/runtime/Usage": {} })

const sum = (a: number | undefined, b: number | undefined): number => (a ?? 0) + (b ?? 0)

/**
 * Adds a piece of usage. Throws a `RangeError` for a count that is not a whole number of at least zero: what a provider reports
 * is not believed blindly.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = (self: Usage, part: Part): void => {
  const total = self["~effect-cycles/runtime/Usage"]
  for (const field of ["tokensInput", "tokensOutput", "latencyMs"] as const) {
    const more = part[field]
    if (more === undefined) continue
    if (!Number.isSafeInteger(more) || more < 0) {
      throw new RangeError(`${field} must be a whole number of at least zero; got ${more}`)
    }
    total[field] = sum(total[field], more)
  }
  if (part.modelVersion !== undefined) total.modelVersion = part.modelVersion
  if (part.custom !== undefined) total.custom = { ...total.custom, ...part.custom }
}

/**
 * The metrics so far, for a commit.
 *
 * @category getters
 * @since 0.1.0
 */
export const metrics = (self: Usage): Metrics => ({ ...self["~effect-cycles/runtime/Usage"] })

/**
 * Input and output tokens together, as an amount.
 *
 * @category getters
 * @since 0.1.0
 */
export const tokens = (self: Usage): Amount<"TOKENS"> => {
  const { tokensInput, tokensOutput } = self["~effect-cycles/runtime/Usage"]
  return Amounts.tokens(sum(tokensInput, tokensOutput))
}
