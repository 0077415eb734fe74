// What the contracts of both planes share: how their documents are put into the specification's words.
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import type * as Schema from "effect/Schema"

/** A schema under the name the specification gives it. */
export const named = <S extends Schema.Top>(schema: S, identifier: string): S["Rebuild"] =>
  schema.annotate({ identifier })

/** The error body at the statuses an operation can refuse with. */
export const errorsOf = <S extends Schema.Top>(failure: S) => (...statuses: ReadonlyArray<number>) =>
  statuses.map((status) => failure.pipe(HttpApiSchema.status(status)))

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Either a number or, beyond its reach, a bigint: the schema's way to say int64. */
const isInt64 = ({ anyOf }: { readonly [name: string]: unknown }): boolean =>
  Array.isArray(anyOf) && anyOf.length === 2 &&
  anyOf.some((branch: unknown) => isRecord(branch) && branch["pattern"] === "^-?\\d+$") &&
  anyOf.some((branch: unknown) => isRecord(branch) && branch["type"] === "integer")

/** A component is called what the specification calls it; Effect adds that its wire form is meant. */
const nameOf = (name: string): string => name.replace(/Encoded$/, "")

/** Amounts that may be below zero. */
const signed: ReadonlySet<string> = new Set(["remaining", "previous_remaining", "new_remaining"])

const respell = (value: unknown, isSigned: boolean): unknown => {
  if (Array.isArray(value)) return value.map((item) => respell(item, isSigned))
  if (!isRecord(value)) return value
  if (isInt64(value)) return { type: "integer", format: "int64", ...(isSigned ? undefined : { minimum: 0 }) }
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      nameOf(name),
      name === "$ref" && typeof member === "string"
        ? nameOf(member)
        : respell(member, isSigned || signed.has(name))
    ])
  )
}

/** A document in the specification's words: its names, and int64 where amounts are. */
export const asSpecified = (document: Record<string, unknown>): Record<string, unknown> =>
  // It is rewritten member by member and stays what it was.
  respell(document, false) as Record<string, unknown>

/** What a document says of the values in a query string, which is text. */
export interface ParameterSchemas {
  readonly [name: string]: { readonly [keyword: string]: unknown }
}

/** Puts the schemas of its parameters into an operation. */
export const withParametersOf =
  (schemas: ParameterSchemas) => (operation: { readonly [name: string]: unknown }): { [name: string]: unknown } => ({
    ...operation,
    parameters: Array.isArray(operation["parameters"])
      ? operation["parameters"].map((parameter: unknown) => {
        if (!isRecord(parameter) || parameter["in"] !== "query") return parameter
        const schema = schemas[String(parameter["name"])]
        return schema === undefined
          ? parameter
          : { ...parameter, schema, ...(schema["type"] === "array" ? { style: "form", explode: false } : undefined) }
      })
      : []
  })
