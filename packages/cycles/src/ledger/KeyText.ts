/**
 * Keys as plain ASCII texts, for stores whose database knows a text differently than JavaScript does.
 *
 * A key may hold any code unit, lone surrogates and zeros too; a database that keeps UTF-8 refuses or garbles some of them, and
 * sorts others by code point. The text of a key is its own, can be kept anywhere, and sorts byte by byte as the key
 * does by code unit. Most keys are their own text.
 *
 * @since 0.1.0
 */

// oxlint-disable no-control-regex -- they are what must not be kept as they are
const itself = /^[\x02-\x7e]*$/
const odd = /[\x00\x01]|[^\x00-\x7e]/g
const escaped = /\x01([01])|\x7f([0-9a-f]{4})/g
// oxlint-enable no-control-regex

/**
 * The text of a key. Different keys have different texts, and `a < b` holds of texts where it holds of their keys.
 *
 * **Example** (A key with an accent)
 *
 * ```ts
 * import { KeyText } from "effect-cycles"
 *
 * console.log(KeyText.encode("run-7")) // => run-7
 * console.log(KeyText.encode("é").length) // => 5
 * console.log(KeyText.encode("z") < KeyText.encode("é")) // => true
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode = (key: string): string => itself.test(key) ? key : key.replace(odd, escape)

// Zero and one become a one and a digit; what is above ASCII a delete, which no text has otherwise, and four hex digits.
const escape = (unit: string): string => {
  const code = unit.charCodeAt(0)
  return code < 2 ? `\u0001${code}` : `\u007f${code.toString(16).padStart(4, "0")}`
}

/**
 * The key of a text that {@link encode} made.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (text: string): string =>
  itself.test(text) ? text : text.replace(
    escaped,
    (_, low: string | undefined, code: string | undefined) =>
      String.fromCharCode(Number.parseInt(low ?? code ?? "", 16))
  )

/**
 * The texts of some keys as one JSON array, as `json_each` and its like read them.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encodeAll = (keys: ReadonlyArray<string>): string => JSON.stringify(keys.map(encode))
