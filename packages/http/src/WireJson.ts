/**
 * JSON whose integers are exact over the whole int64 range, in both directions.
 *
 * Protocol amounts do not fit a JavaScript number, so `JSON` rounds them in silence. This is the only reader and writer of
 * JSON there is here. Text without long runs of digits, which is nearly all of it, still goes straight through `JSON`.
 *
 * **Example** (The largest amount there is)
 *
 * ```ts
 * import { WireJson } from "@effect-cycles/http"
 * import { Result } from "effect"
 *
 * const parsed = WireJson.parse(`{"unit":"TOKENS","amount":9223372036854775807}`)
 *
 * console.log(Result.getOrThrow(parsed)) // => { unit: "TOKENS", amount: 9223372036854775807n }
 * console.log(WireJson.stringify(Result.getOrThrow(parsed))) // => {"unit":"TOKENS","amount":9223372036854775807}
 * ```
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as LosslessJson from "lossless-json"

/**
 * The text is not JSON, or not JSON that may be sent here. Nothing of the text is repeated in the error.
 *
 * @category errors
 * @since 0.1.0
 */
export class MalformedJson
  extends Schema.TaggedError<MalformedJson>("@effect-cycles/http/MalformedJson")("MalformedJson", {
    /** The path of the value at fault, for example `estimate.amount`, where there is one. */
    field: Schema.optionalKey(Schema.String),
    reason: Schema.String
  })
{
  override get message(): string {
    return this.field === undefined ? `The JSON ${this.reason}` : `${this.field} ${this.reason}`
  }
}

/**
 * What text is taken.
 *
 * - `maxLength`: in characters; 4,194,304 when not given
 * - `strict`: whether a number has to be written as an integer, as `1000` and not as `1e3` or `1000.0`. Numbers inside of
 *   `metadata`, `committed_metadata`, `custom` and `details` are the sender's own and may be written as one likes. Not when
 *   not given: a reader of replies has no use for such a refusal
 *
 * @category models
 * @since 0.1.0
 */
export interface ParseOptions {
  readonly maxLength?: number | undefined
  readonly strict?: boolean | undefined
}

const MAX_LENGTH = 4 * 1_024 * 1_024
const MAX_DEPTH = 100
const MAX_DIGITS = 400

/** Members whose content the protocol leaves to those who send it. */
const freeForm: ReadonlySet<string> = new Set(["metadata", "committed_metadata", "custom", "details"])

const longInteger = /\d{16}/
// Outside of strings a number can only begin the text or follow one of these characters.
const longOrNotInteger = /\d{16}|(?:^|[:,[\s])-?\d{1,15}[.eE]/

/**
 * Reads JSON. Integers a number cannot hold exactly become a `bigint`; everything else is as `JSON.parse` has it.
 *
 * Refused, beside what is not JSON: text that is too long, nesting deeper than 100, and integers of more than 400 digits.
 *
 * @category conversions
 * @since 0.1.0
 */
export const parse = (text: string, options?: ParseOptions): Result.Result<unknown, MalformedJson> => {
  const maxLength = options?.maxLength ?? MAX_LENGTH
  const strict = options?.strict === true
  if (text.length > maxLength) return malformed(`is longer than ${maxLength} characters`)
  if (isDeep(text)) return malformed(`is nested deeper than ${MAX_DEPTH}`)
  try {
    if (!(strict ? longOrNotInteger : longInteger).test(text)) return Result.succeed(JSON.parse(text))
    const value = LosslessJson.parse(text, undefined, {
      parseNumber: strict ? parseStrictNumber : parseNumber,
      onDuplicateKey: ({ newValue }) => newValue
    })
    return Result.succeed(strict ? resolve(value, undefined, false) : value)
  } catch (error) {
    return error instanceof MalformedJson ? Result.fail(error) : malformed("is not well-formed")
  }
}

/**
 * Writes JSON. A `bigint` is written in full; everything else is as `JSON.stringify` has it, so members that are `undefined`
 * are left out.
 *
 * Throws a `TypeError` for what has no JSON form, such as a function, or an object that contains itself.
 *
 * @category conversions
 * @since 0.1.0
 */
export const stringify = (value: unknown): string => {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (error) {
    // Of JSON values only a bigint is refused; whatever else was wrong is still wrong for the slower writer.
    text = containsBigInt(value, []) ? LosslessJson.stringify(value) : fail(error)
  }
  if (text === undefined) throw new TypeError(`a ${typeof value} has no JSON form`)
  return text
}

const fail = (error: unknown): never => {
  throw error
}

const containsBigInt = (value: unknown, ancestors: ReadonlyArray<unknown>): boolean => {
  if (typeof value === "bigint") return true
  if (typeof value !== "object" || value === null) return false
  if (ancestors.includes(value)) throw new TypeError("an object that contains itself has no JSON form")
  // Every member is looked at, not only the first that decides: a cycle may come later.
  return Object.values(value).map((member) => containsBigInt(member, [...ancestors, value])).includes(true)
}

const malformed = (reason: string): Result.Result<never, MalformedJson> => Result.fail(new MalformedJson({ reason }))

const isDeep = (text: string): boolean => {
  // Each level takes a bracket at either end.
  if (text.length <= 2 * MAX_DEPTH) return false
  let depth = 0
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) quoted = !quoted
    else if (quoted) {
      if (code === 0x5c) i++
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > MAX_DEPTH) return true
    } else if (code === 0x7d || code === 0x5d) depth--
  }
  return false
}

/** A number that is not written as an integer, until it is known where it stands. */
class Written {
  readonly literal: string
  constructor(literal: string) {
    this.literal = literal
  }
}

const isInteger = /^-?\d+$/

const parseInteger = (literal: string): number | bigint => {
  if (literal.length > MAX_DIGITS) {
    throw new MalformedJson({ reason: `has an integer of more than ${MAX_DIGITS} digits` })
  }
  const n = Number(literal)
  return Number.isSafeInteger(n) ? n : BigInt(literal)
}

const parseNumber = (literal: string): number | bigint =>
  isInteger.test(literal) ? parseInteger(literal) : Number(literal)

const parseStrictNumber = (literal: string): number | bigint | Written =>
  isInteger.test(literal) ? parseInteger(literal) : new Written(literal)

/** Where a value stands: the names from it up to the whole. */
interface Place {
  readonly name: string
  readonly of: Place | undefined
}

const pathOf = (place: Place | undefined): string =>
  place === undefined ? "" : place.of === undefined ? place.name : `${pathOf(place.of)}.${place.name}`

const numberAt = ({ literal }: Written, place: Place | undefined, isFree: boolean): number => {
  const n = Number(literal)
  if (isFree && Number.isFinite(n)) return n
  throw new MalformedJson({
    field: pathOf(place) || "body",
    reason: isFree ? "is too large a number" : "is not written as an integer"
  })
}

/** Puts numbers in the place of what is {@link Written}, where that may stand: inside of what is free. */
const resolve = (value: unknown, place: Place | undefined, isFree: boolean): unknown => {
  if (value instanceof Written) return numberAt(value, place, isFree)
  if (typeof value !== "object" || value === null) return value
  const members = value as Record<string, unknown>
  for (const name of Object.keys(members)) {
    const member = members[name]
    if (typeof member !== "object" || member === null) continue
    members[name] = resolve(member, { name, of: place }, isFree || freeForm.has(name))
  }
  return value
}
