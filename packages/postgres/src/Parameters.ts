/**
 * How values are given to statements.
 *
 * @internal
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Result from "effect/Result"

// PostgreSQL keeps no NUL, and an unpaired surrogate would be replaced: two texts would become one.
// eslint-disable-next-line no-control-regex
const unusual = /[\0\\\ud800-\udfff]/

/** A text as a column keeps it: as it is, or escaped where PostgreSQL could not keep it. Different texts stay different. */
export const plain = (text: string): string => unusual.test(text) ? escaped(text) : text

const escaped = (text: string): string => {
  let out = ""
  // By code points: what is left of the surrogates then is unpaired.
  for (const char of text) {
    out += char === "\0" || char === "\\" || /^[\ud800-\udfff]$/.test(char)
      ? `\\${char.charCodeAt(0).toString(16).padStart(4, "0")}`
      : char
  }
  return out
}

/** An array of texts, also an empty one and one of nulls. */
export const texts = (values: ReadonlyArray<string | null>): PgTypes.Parameter =>
  Result.getOrThrow(PgTypes.array(values, PgTypes.OID.text))

/** An array of whole numbers of any size, and of nulls. The statement says its type. */
export const integers = (values: ReadonlyArray<number | bigint | null>): string =>
  `{${values.map((value) => value ?? "NULL").join(",")}}`

/** A whole number of any size. The statement says its type. */
export const integer = (value: number | bigint): string => value.toString()

/** An array of truth values, also an empty one. */
export const booleans = (values: ReadonlyArray<boolean>): PgTypes.Parameter =>
  Result.getOrThrow(PgTypes.array(values, PgTypes.OID.bool))
