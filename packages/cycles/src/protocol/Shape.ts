/**
 * Checks whether a request has the shape the protocol asks for, and says which field breaks which rule.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/**
 * The first field that breaks a rule, as a path such as `subject.agent`, and the rule.
 *
 * @category models
 * @since 0.1.0
 */
export interface Flaw {
  readonly field: string
  readonly reason: string
}

const describe = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * Builds a check of values in this process (amounts as `bigint`, names in camel case). Fields the schema does not know are
 * left alone here; a wire codec refuses them.
 *
 * **Example** (Naming what is wrong)
 *
 * ```ts
 * import { Subject } from "effect-cycles"
 * import * as Shape from "effect-cycles/protocol/Shape"
 *
 * const flawOf = Shape.checker(Subject.Subject)
 *
 * console.log(flawOf({ tenant: "acme" })) // => undefined
 * console.log(flawOf({ tenant: 7 })?.field) // => "tenant"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const checker = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S
): (value: unknown) => Flaw | undefined => {
  // Asking whether a value fits is a third of the price of asking why it does not, and nearly every value fits.
  const fits = Schema.is(Schema.toType(schema))
  const decode = Schema.decodeUnknownResult(Schema.toType(schema))
  return (value) => {
    if (fits(value)) return undefined
    const decoded = decode(value)
    if (Result.isSuccess(decoded)) return undefined
    const first = describe(decoded.failure.issue).issues[0]
    return {
      field: first?.path === undefined || first.path.length === 0
        ? "request"
        : first.path.map((part) => String(typeof part === "object" ? part.key : part)).join("."),
      reason: first?.message ?? "has the wrong shape"
    }
  }
}
