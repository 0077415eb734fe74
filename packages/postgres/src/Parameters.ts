/**
 * How values are given to statements.
 *
 * @internal
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as KeyText from "effect-cycles/ledger/KeyText"
import * as Result from "effect/Result"

/** An array of keys, each as a text that PostgreSQL can keep. */
export const keys = (values: ReadonlyArray<string>): PgTypes.Parameter => texts(values.map(KeyText.encode))

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
