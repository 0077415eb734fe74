/**
 * Requests at random, made from an OpenAPI document: good ones, nearly good ones and hostile ones, in sequences that shrink.
 *
 * A sequence is data. What it can only learn while it runs, such as the id of a reservation made two requests ago, stands in it
 * as a {@link Reference} and is filled in by {@link fill}.
 *
 * @since 0.1.0
 */
import { WireJson } from "@effect-cycles/http"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as S from "effect/Schema"
import type { Operation, Parameter, Schema } from "./WireSpecification.ts"

// ---------------------------------------------------------------------------------------------------------------------
// models
// ---------------------------------------------------------------------------------------------------------------------

/**
 * One thing to do: wait so many milliseconds, or send a request.
 *
 * - `operationId`: the operation the request was made from, and is meant for unless `twists` say otherwise
 * - `twists`: what was done to a good request, in words; none and it is one
 * - `body`: text, or bytes where they are not the text of anything
 *
 * @category models
 * @since 0.1.0
 */
export type Step =
  | { readonly _tag: "Wait"; readonly ms: number }
  | {
    readonly _tag: "Send"
    readonly operationId: string
    readonly twists: ReadonlyArray<string>
    readonly method: string
    readonly path: string
    readonly headers: { readonly [name: string]: string }
    readonly body: string | Uint8Array | undefined
  }

/**
 * A request to be sent.
 *
 * @category models
 * @since 0.1.0
 */
export type Send = Extract<Step, { readonly _tag: "Send" }>

/**
 * What requests are made of.
 *
 * - `operations`: those to call; one that is named more often is called more often
 * - `headers`: what every request carries, by the operation: its key
 * - `strangers`: headers in the place of those, of somebody who is refused
 * - `given`: parameters and members that need not be there, and mostly are
 * - `values`: by the name of a parameter or a member, what it usually is. Text as in `⟨reservation_id⟩` is one of the values
 *   that answers have had under that name; see {@link fill}
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly operations: ReadonlyArray<Operation>
  readonly headers: (operation: Operation) => { readonly [name: string]: string }
  readonly strangers: ReadonlyArray<{ readonly [name: string]: string }>
  readonly given: ReadonlySet<string>
  readonly values: { readonly [name: string]: ReadonlyArray<unknown> }
}

// ---------------------------------------------------------------------------------------------------------------------
// drawing
// ---------------------------------------------------------------------------------------------------------------------

/** A whole number from 0 up to, not including, `n`. Everything below is simplest where it draws 0. */
type Draw = (n: number) => number

const pick = <A>(draw: Draw, choices: readonly [A, ...ReadonlyArray<A>]): A =>
  choices[draw(choices.length)] ?? choices[0]

/** True once in `n`, and never where 0 is drawn. */
const rarely = (draw: Draw, n: number): boolean => draw(n) === n - 1

// ---------------------------------------------------------------------------------------------------------------------
// bodies that JSON cannot always be made of
// ---------------------------------------------------------------------------------------------------------------------

/** Text that goes into a body as it is. */
class Raw {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

type Members = ReadonlyArray<readonly [name: string, value: unknown]>

/** An object whose members have an order and may have the same name twice. */
class Obj {
  readonly members: Members
  constructor(members: Members) {
    this.members = members
  }
}

const write = (value: unknown): string => {
  if (value instanceof Raw) return value.text
  if (value instanceof Obj) {
    return `{${value.members.map(([name, member]) => `${WireJson.stringify(name)}:${write(member)}`).join(",")}}`
  }
  return Array.isArray(value) ? `[${value.map(write).join(",")}]` : WireJson.stringify(value)
}

// ---------------------------------------------------------------------------------------------------------------------
// good values
// ---------------------------------------------------------------------------------------------------------------------

const words = ["bot", "a", "x-1", "A.b_c-9", "ü€😀", "null", "0", " padded ", "tab\tnew\nline", "__proto__"]

const dates = [
  "2026-07-01T00:00:00Z",
  "1970-01-01T00:00:00.000Z",
  "2030-01-01T12:00:00+02:00",
  "9999-12-31T23:59:59Z",
  "2024-02-29T00:00:00.123456Z"
]

const stringOf = (schema: Schema, draw: Draw): string => {
  if (schema.format === "date-time") return pick(draw, ["2026-07-01T00:00:00Z", ...dates])
  const [, digits] = /^\^\[0-9a-f\]\{(\d+)\}\$$/.exec(schema.pattern ?? "") ?? []
  if (digits !== undefined) return pick(draw, ["ab", "00", "9f"]).repeat(Number(digits) / 2)
  const { maxLength, minLength = 0 } = schema
  if (maxLength !== undefined && rarely(draw, 12)) return "m".repeat(maxLength)
  const word = schema.pattern === undefined ? pick(draw, ["bot", ...words]) : `w${draw(5)}-${"x".repeat(minLength)}`
  return word.slice(0, maxLength)
}

const MAX_INT64 = 2n ** 63n - 1n

const integerOf = ({ format, maximum, minimum }: Schema, draw: Draw): unknown => {
  const least = minimum ?? 0
  const most = maximum ?? (format === "int64" ? MAX_INT64 : Number.MAX_SAFE_INTEGER)
  switch (draw(12)) {
    case 11:
      return most
    case 10:
      return least
    case 9:
      return least + 1
    case 8:
      // Beyond what a number is exact to, where that is allowed.
      return typeof most === "bigint" ? 2n ** 53n + 1n : most
    default: {
      const some = least + draw(40) * 10
      return typeof most === "number" && some > most ? most : some
    }
  }
}

const free = [
  new Obj([]),
  new Obj([["team", "a"], ["nothing", null], ["deep", new Obj([["list", [1, 2.5, "x", true]]])]]),
  new Obj([["exact", MAX_INT64], ["rough", 0.1]]),
  new Obj([["amount", "1e3"], ["constructor", new Obj([["prototype", 1]])]])
] as const

const valueOf = (schema: Schema, name: string, options: Options, draw: Draw): unknown => {
  const usual = options.values[name]
  if (usual !== undefined && usual.length > 0 && !rarely(draw, 6)) return usual[draw(usual.length)]
  const { anyOf, enum: choices, oneOf, type } = schema
  if (choices !== undefined) return choices[draw(choices.length)]
  const alternatives = (anyOf ?? oneOf)?.filter((branch) =>
    branch.type !== undefined || branch.properties !== undefined
  )
  if (type === undefined && alternatives !== undefined && alternatives.length > 0) {
    return valueOf(alternatives[draw(alternatives.length)] ?? {}, name, options, draw)
  }
  switch (typeof type === "string" ? type : type?.[0]) {
    case "string":
      return stringOf(schema, draw)
    case "integer":
      return integerOf(schema, draw)
    case "number":
      return pick(draw, [0.5, 1, 0.25])
    case "boolean":
      return draw(2) === 1
    case "array":
      return Array.from({ length: draw(3) }, () => valueOf(schema.items ?? {}, name, options, draw))
    case "object": {
      const { additionalProperties, properties } = schema
      if (properties === undefined) {
        return typeof additionalProperties === "object"
          ? new Obj(
            Array.from({ length: draw(3) }, (_, i) => [`d${i}`, valueOf(additionalProperties, "", options, draw)])
          )
          : pick(draw, free)
      }
      return objectOf(schema, properties, options, draw)
    }
    default:
      return pick(draw, free)
  }
}

const objectOf = (
  { anyOf, required = [] }: Schema,
  properties: { readonly [name: string]: Schema },
  options: Options,
  draw: Draw
): Obj => {
  // Where one of several members has to be there, it is mostly one that is usual.
  const groups = (anyOf ?? []).flatMap((branch) => branch.required ?? [])
  const usual = groups.filter((name) => name in options.values)
  const chosen = groups.length === 0
    ? []
    : [(usual.length > 0 && !rarely(draw, 8) ? usual : groups)[draw(groups.length)]]
  return new Obj(
    Object.entries(properties).flatMap(([name, property]): Members => {
      const isThere = required.includes(name) || chosen.includes(name) ||
        (groups[0] === name && chosen[0] === undefined)
      return isThere || rarely(draw, 6) !== options.given.has(name)
        ? [[name, valueOf(property, name, options, draw)]]
        : []
    })
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// twists
// ---------------------------------------------------------------------------------------------------------------------

const DEEP = 5_000

/** What a value is replaced by. */
const wrongs = [
  null,
  "",
  "text",
  true,
  [],
  new Obj([]),
  -1,
  0,
  1.5,
  new Raw("1e3"),
  new Raw("10.0"),
  new Raw("-0"),
  new Raw("9223372036854775807"),
  new Raw("9223372036854775808"),
  new Raw("-9223372036854775809"),
  new Raw("1" + "0".repeat(400)),
  new Raw("1e400"),
  new Raw(`"${"x".repeat(257)}"`),
  new Raw(`"${"x".repeat(20_000)}"`),
  new Raw(`"\\u0000"`),
  new Raw(`"\\ud800"`),
  new Raw("\"tenant:acme\\/agent:bot\""),
  new Raw("\"../../etc/passwd\""),
  new Raw("\"' OR 1=1 --\""),
  new Raw(`${"[".repeat(DEEP)}${"]".repeat(DEEP)}`),
  new Raw(`${"{\"a\":".repeat(90)}1${"}".repeat(90)}`)
] as const

/** Does something to a value of a tree, at a place that is drawn. */
const twistTree = (value: unknown, draw: Draw): readonly [value: unknown, twist: string] => {
  if (value instanceof Obj && value.members.length > 0) {
    const { members } = value
    switch (draw(8)) {
      case 0: {
        const name = pick(draw, ["colour", "__proto__", "constructor", "", "Tenant", "x".repeat(300), "\u0000"])
        const extra = pick<unknown>(draw, [1, null, "x", new Obj([])])
        return [new Obj([...members, [name, extra]]), `${write(name).slice(0, 40)} added`]
      }
      case 1: {
        const at = draw(members.length)
        return [new Obj(members.filter((_, i) => i !== at)), `${members[at]?.[0]} left out`]
      }
      case 2: {
        const [name, other] = members[draw(members.length)] ?? ["", null]
        return [new Obj([...members, [name, rarely(draw, 2) ? pick(draw, wrongs) : other]]), `${name} twice`]
      }
      default: {
        const at = draw(members.length)
        const [changed, twist] = twistTree(members[at]?.[1], draw)
        const name = members[at]?.[0] ?? ""
        return [new Obj(members.map((member, i) => i === at ? [name, changed] : member)), `${name}: ${twist}`]
      }
    }
  }
  if (Array.isArray(value) && value.length > 0 && draw(3) > 0) {
    if (draw(2) === 0) {
      return [Array.from({ length: 2_000 }, (): unknown => value[0]), "two thousand of them"]
    }
    const at = draw(value.length)
    const [changed, twist] = twistTree(value[at], draw)
    return [value.map((item: unknown, i) => i === at ? changed : item), `[${at}]: ${twist}`]
  }
  const wrong = pick(draw, wrongs)
  return [wrong, `is ${write(wrong).slice(0, 40)}`]
}

const bytes = (text: string, ...more: ReadonlyArray<number>): Uint8Array =>
  new Uint8Array([...Array.from(text, (character) => character.charCodeAt(0) & 0xff), ...more])

/** Does something to a body's text. */
const twistText = (text: string, draw: Draw): readonly [body: string | Uint8Array, twist: string] => {
  switch (draw(14)) {
    case 0:
      return [text.slice(0, draw(text.length + 1)), "cut off"]
    case 1:
      return ["", "empty"]
    case 2:
      return [`${text}${pick(draw, ["}", ",", " 1", "\u0000", "{}"])}`, "more behind it"]
    case 3:
      return [`\ufeff${text}`, "a byte order mark"]
    case 4:
      return [text.replaceAll("\"", "'"), "single quotes"]
    case 5:
      return [text.replace("}", ",}"), "a trailing comma"]
    case 6:
      return [
        pick(draw, ["null", "[]", "1", "\"x\"", "true", "NaN", "undefined", "{", "[[", "\u0000"]),
        "another value"
      ]
    case 7:
      return [`[${text}]`, "in a list"]
    case 8:
      return [bytes(text.slice(0, -1), 0xff, 0xfe, 0x7d), "not UTF-8"]
    case 9:
      return [`${" ".repeat(70_000)}${text}`, "spaces"]
    case 10:
      return [text.replace("}", `,"pad":"${"p".repeat(70_000)}"}`), "too long"]
    case 11:
      return ["{\"a\":".repeat(DEEP), "deep and open"]
    case 12:
      return [text.replace(/\d+/, (digits) => `0${digits}`), "a leading zero"]
    default:
      return [text.replace(/:/, "::"), "no JSON"]
  }
}

const strange = [
  "",
  " ",
  "%",
  "%zz",
  "%00",
  "%ff",
  "%E0%A4",
  "..%2f..",
  "x".repeat(129),
  "x".repeat(3_000),
  "%F0%9F%98%80".repeat(129),
  "null",
  "-1",
  "0",
  "201",
  "1e2",
  "9".repeat(40),
  "2026-02-30T00:00:00Z",
  "2026-07-01",
  "yesterday",
  "+275760-09-13T00:00:00Z",
  "TRUE",
  "[]",
  "a,b,,c",
  "eyJhIjoxfQ",
  "AAAA",
  "____",
  "'%20OR%201=1--"
] as const

const contentTypes = [
  "text/plain",
  "application/xml",
  "application/json; charset=iso-8859-1",
  "application/jsonp",
  "multipart/form-data; boundary=x",
  "application/vnd.api+json",
  ";",
  "APPLICATION/JSON"
] as const

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

const strangeHeaders = [
  ["x-idempotency-key", "another"],
  ["x-idempotency-key", ""],
  ["x-idempotency-key", "k".repeat(257)],
  ["x-idempotency-key", "\u00fc"],
  ["traceparent", `00-${TRACE}-00f067aa0ba902b7-01`],
  ["traceparent", `00-${"0".repeat(32)}-00f067aa0ba902b7-01`],
  ["traceparent", "gibberish"],
  ["x-cycles-trace-id", TRACE],
  ["x-cycles-trace-id", TRACE.toUpperCase()],
  ["x-cycles-trace-id", ", "],
  ["x-request-id", "mine"],
  ["accept", "text/html"],
  ["content-encoding", "gzip"],
  ["origin", "https://example.com"],
  ["x-http-method-override", "DELETE"]
] as const

// ---------------------------------------------------------------------------------------------------------------------
// requests
// ---------------------------------------------------------------------------------------------------------------------

const reference = /⟨([a-z_]+)(?::(\d+))?⟩/g

/** Escapes a text for a path or a query string, but for the references in it. */
const escape = (text: string): string =>
  text.split(/(⟨[a-z_]+(?::\d+)?⟩)/).map((part, i) => i % 2 === 1 ? part : encodeURIComponent(part)).join("")

const textOf = (value: unknown): string =>
  Array.isArray(value) ? value.map(textOf).join(",") : typeof value === "string" ? value : write(value)

/** Gives the references of a value a number, so that each stands for one of the values seen. */
const numbered = (value: unknown, draw: Draw): unknown => {
  if (typeof value === "string") return value.replace(/⟨([a-z_]+)⟩/g, (_, name: string) => `⟨${name}:${draw(8)}⟩`)
  if (Array.isArray(value)) return value.map((item) => numbered(item, draw))
  return value instanceof Obj ? new Obj(value.members.map(([name, member]) => [name, numbered(member, draw)])) : value
}

const sendOf = (draw: Draw, options: Options): Send => {
  const { headers, operations, strangers } = options
  const operation = operations[draw(operations.length)]
  if (operation === undefined) throw new Error("there are no operations")
  const twists: Array<string> = []
  const given: Record<string, string> = { ...headers(operation) }
  const parameterOf = ({ name, schema }: Parameter) => textOf(numbered(valueOf(schema, name, options, draw), draw))

  const inPath = new Map<string, string>()
  const query: Array<string> = []
  // The only parameter in a header there is repeats a member of the body.
  let isKeyRepeated = false
  for (const parameter of operation.parameters) {
    if (parameter.in === "path") inPath.set(parameter.name, escape(parameterOf(parameter)))
    else if (!parameter.isRequired && rarely(draw, 5) === options.given.has(parameter.name)) continue
    else if (parameter.in === "header") isKeyRepeated = true
    else query.push(`${parameter.name}=${escape(parameterOf(parameter))}`)
  }
  let body: string | Uint8Array | undefined
  let { method } = operation
  if (operation.requestBody !== undefined) {
    let tree = numbered(valueOf(operation.requestBody, "", options, draw), draw)
    given["content-type"] = "application/json"
    const key = tree instanceof Obj ? tree.members.find(([name]) => name === "idempotency_key")?.[1] : undefined
    if (isKeyRepeated && typeof key === "string" && /^[\x21-\x7e]+$/.test(key)) given["x-idempotency-key"] = key
    // What is drawn next decides how much is wrong: often nothing, mostly one thing.
    if (rarely(draw, 4)) {
      const [twisted, twist] = twistTree(tree, draw)
      tree = twisted
      twists.push(`body: ${twist}`)
    }
    body = write(tree)
    if (rarely(draw, 10)) {
      const [twisted, twist] = twistText(body, draw)
      body = twisted
      twists.push(`body ${twist}`)
    }
    if (rarely(draw, 20)) {
      given["content-type"] = pick(draw, contentTypes)
      twists.push(`content type ${given["content-type"]}`)
    }
  }
  if (rarely(draw, 12)) {
    const { length } = operation.parameters
    const parameter = operation.parameters[draw(length)]
    const value = pick(draw, strange)
    if (parameter?.in === "query") query.push(`${parameter.name}=${value}`)
    else if (parameter?.in === "path") inPath.set(parameter.name, value)
    else query.push(pick(draw, ["colour=red", "&&", "=", "%", `${"q".repeat(3_000)}=1`, "limit", "tenant[]=x"]))
    twists.push(`${parameter?.name ?? "query"} is ${value.slice(0, 40)}`)
  }
  if (rarely(draw, 12)) {
    const [name, value] = pick(draw, strangeHeaders)
    given[name] = value
    twists.push(`header ${name}`)
  }
  if (rarely(draw, 16) && strangers.length > 0) {
    for (const name of Object.keys(headers(operation))) delete given[name]
    Object.assign(given, strangers[draw(strangers.length)])
    twists.push("a stranger")
  }
  if (rarely(draw, 40)) {
    method = pick(draw, ["DELETE", "PUT", "PATCH", "GET", "POST", "OPTIONS"])
    twists.push(`method ${method}`)
  }
  let path = operation.path.replace(/\{([^}]+)\}/g, (_, name: string) => inPath.get(name) ?? "")
  if (rarely(draw, 60)) {
    path = pick(draw, [`${path}/`, `/${path}`, `${path}/more`, path.toUpperCase(), path.replace("/v1", "/v2")])
    twists.push(`path ${path.slice(0, 60)}`)
  }
  return {
    _tag: "Send",
    operationId: operation.operationId,
    twists,
    method,
    path: query.length === 0 ? path : `${path}?${query.join("&")}`,
    headers: given,
    body: method === "GET" ? undefined : body
  }
}

const stepOf = (draw: Draw, options: Options): Step =>
  rarely(draw, 25) ? { _tag: "Wait", ms: pick(draw, [1_000, 70_000, 10_000, 600_000]) } : sendOf(draw, options)

/** How many numbers a step draws at most. More would be 0, which is simplest. */
const NUMBERS = 120

/**
 * Sequences of steps. They shrink: steps are left out, and what is left becomes simpler.
 *
 * How long they are follows the `size` of the check, so give one: `{ size: 30, runs: 100 }`.
 *
 * @category generators
 * @since 0.1.0
 */
export const makeArbitrary = (options: Options): Arbitrary.Arbitrary<ReadonlyArray<Step>> => {
  const number = Arbitrary.schema(S.Int.check(S.isBetween({ minimum: 0, maximum: 65_519 })))
  const step = Arbitrary.map(Arbitrary.all(Array.from({ length: NUMBERS }, () => number)), (numbers) => {
    let at = 0
    return stepOf((n) => n <= 1 ? 0 : (numbers[at++] ?? 0) % n, options)
  })
  return Arbitrary.array(step)
}

// ---------------------------------------------------------------------------------------------------------------------
// while a sequence runs
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What answers have shown: by the name of a member, the values it had.
 *
 * @category models
 * @since 0.1.0
 */
export type Seen = Map<string, Array<string>>

/**
 * Keeps what the text of an answer shows, of those names: see {@link fill}.
 *
 * @category running
 * @since 0.1.0
 */
export const see = (seen: Seen, text: string, names: ReadonlySet<string>): void => {
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(walk)
    else if (typeof value === "object" && value !== null) {
      for (const [name, member] of Object.entries(value)) {
        if (typeof member !== "string" || !names.has(name)) walk(member)
        else {
          const values = seen.get(name) ?? []
          seen.set(name, values)
          if (!values.includes(member)) values.push(member)
        }
      }
    }
  }
  const parsed = WireJson.parse(text)
  if (Result.isSuccess(parsed)) walk(parsed.success)
}

/**
 * A request with what was seen in the places of its references; the newest value first. A name that was not seen stands for
 * itself, which is then nobody's.
 *
 * @category running
 * @since 0.1.0
 */
export const fill = (step: Send, seen: Seen): Send => {
  const put = (text: string, escaped: (value: string) => string) =>
    text.replace(reference, (_, name: string, n = "0") => {
      const values = seen.get(name) ?? []
      return escaped(values[values.length - 1 - (Number(n) % Math.max(values.length, 1))] ?? `no-${name}`)
    })
  return {
    ...step,
    path: put(step.path, encodeURIComponent),
    body: typeof step.body === "string" ? put(step.body, (value) => WireJson.stringify(value).slice(1, -1)) : step.body
  }
}
