/**
 * What one call of a model used, as far as prices care.
 *
 * Providers report it in many ways, and sometimes not at all, or not plausibly. {@link fromResponse} reads a report so that nothing is
 * ever free: what is missing or impossible counts as the most the call could have used.
 *
 * **Example** (A report without its output)
 *
 * ```ts
 * import { TokenUsage } from "@effect-cycles/ai"
 * import { Response } from "effect/ai"
 *
 * const report = new Response.Usage({
 *   inputTokens: { total: 1_000, uncached: undefined, cacheRead: 400, cacheWrite: undefined },
 *   outputTokens: { total: undefined, text: undefined, reasoning: undefined }
 * })
 * const { flaws, usage } = TokenUsage.fromResponse(report, { input: 2_000, output: 500 })
 *
 * console.log(usage.input, usage.cacheRead, usage.output) // => 1000 400 500
 * console.log(flaws) // => [ "outputTokens is missing" ]
 * ```
 *
 * @since 0.1.0
 */
import type * as Response from "effect/ai/Response"

/**
 * Tokens of one call. Whole numbers of at least zero; the parts are contained in the totals.
 *
 * - `input`: all input tokens, cached ones included
 * - `cacheRead`: of those, how many came from the provider's cache
 * - `cacheWrite`: of those, how many were written to it
 * - `cacheWriteLong`: of `cacheWrite`, how many are kept for an hour, where the provider has a price of its own for that
 * - `output`: all output tokens, reasoning included
 * - `reasoning`: of those, how many were reasoning
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenUsage {
  readonly input: number
  readonly cacheRead: number
  readonly cacheWrite: number
  readonly cacheWriteLong: number
  readonly output: number
  readonly reasoning: number
}

/**
 * The most tokens a call can use.
 *
 * @category models
 * @since 0.1.0
 */
export interface Maxima {
  readonly input: number
  readonly output: number
}

/**
 * A usage, with what was not given being zero. Throws a `RangeError` for counts that are no whole numbers of at least zero, and for
 * parts that exceed their total.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (usage: Partial<TokenUsage>): TokenUsage => {
  const full: TokenUsage = {
    input: usage.input ?? 0,
    cacheRead: usage.cacheRead ?? 0,
    cacheWrite: usage.cacheWrite ?? 0,
    cacheWriteLong: usage.cacheWriteLong ?? 0,
    output: usage.output ?? 0,
    reasoning: usage.reasoning ?? 0
  }
  for (const [name, count] of Object.entries(full)) {
    if (!isCount(count)) throw new RangeError(`${name} must be a whole number of at least zero; got ${count}`)
  }
  if (full.cacheRead + full.cacheWrite > full.input) {
    throw new RangeError("cacheRead and cacheWrite are part of input and cannot exceed it")
  }
  if (full.cacheWriteLong > full.cacheWrite) {
    throw new RangeError("cacheWriteLong is part of cacheWrite and cannot exceed it")
  }
  if (full.reasoning > full.output) throw new RangeError("reasoning is part of output and cannot exceed it")
  return full
}

const isCount = (n: unknown): n is number => typeof n === "number" && Number.isSafeInteger(n) && n >= 0

/**
 * What a report says was used, and what was wrong with it.
 *
 * A total that is missing is the sum of its parts, or the maximum where the main one (`uncached`, `text`) is missing as well. A total that is smaller than its parts is
 * raised to their sum. A count that is no whole number of at least zero makes its total the maximum, and so does an input of
 * zero. A report above the maximum is believed: it is what will be on the bill.
 *
 * - `flaws`: one line for each correction, and for each total above its maximum; empty for a sound report
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromResponse = (
  report: Pick<Response.Usage, "inputTokens" | "outputTokens">,
  maxima: Maxima
): { readonly usage: TokenUsage; readonly flaws: ReadonlyArray<string> } => {
  const flaws: Array<string> = []

  const total = (
    name: string,
    given: number | undefined,
    whole: string,
    parts: { readonly [name: string]: number | undefined },
    maximum: number
  ): number => {
    const reported = [given, ...Object.values(parts)]
    if (reported.some((count) => count !== undefined && !isCount(count))) {
      flaws.push(`${name} is not a whole number of at least zero`)
      return Math.max(maximum, ...reported.filter(isCount))
    }
    const sum = Object.values(parts).reduce<number>((sum, part) => sum + (part ?? 0), 0)
    if (given === undefined) {
      if (parts[whole] !== undefined) return sum
      flaws.push(`${name} is missing`)
      return Math.max(maximum, sum)
    }
    if (given < sum) flaws.push(`${name} is less than its parts`)
    if (Math.max(given, sum) > maximum) flaws.push(`${name} is above the ${maximum} that were declared`)
    return Math.max(given, sum)
  }

  const { inputTokens, outputTokens } = report
  const reported = total("inputTokens", inputTokens.total, "uncached", {
    uncached: inputTokens.uncached,
    cacheRead: inputTokens.cacheRead,
    cacheWrite: inputTokens.cacheWrite
  }, maxima.input)
  // No request is empty; a provider that does not count says zero.
  const isEmpty = reported === 0 && maxima.input > 0
  if (isEmpty) flaws.push("inputTokens is zero")
  const input = isEmpty ? maxima.input : reported
  const output = total("outputTokens", outputTokens.total, "text", {
    text: outputTokens.text,
    reasoning: outputTokens.reasoning
  }, maxima.output)
  const part = (count: number | undefined, most: number) => isCount(count) ? Math.min(count, most) : 0
  const cacheRead = part(inputTokens.cacheRead, input)
  return {
    usage: {
      input,
      cacheRead,
      cacheWrite: part(inputTokens.cacheWrite, input - cacheRead),
      cacheWriteLong: 0,
      output,
      reasoning: part(outputTokens.reasoning, output)
    },
    flaws
  }
}
