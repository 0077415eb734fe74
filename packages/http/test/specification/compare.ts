// Two OpenAPI documents, laid out as facts that can be held against each other one by one.

interface SchemaObject {
  readonly $ref?: string
  readonly type?: string | ReadonlyArray<string>
  readonly properties?: { readonly [name: string]: SchemaObject }
  readonly required?: ReadonlyArray<string>
  readonly additionalProperties?: boolean | SchemaObject
  readonly items?: SchemaObject
  readonly allOf?: ReadonlyArray<SchemaObject>
  readonly anyOf?: ReadonlyArray<SchemaObject>
  readonly enum?: ReadonlyArray<unknown>
  readonly const?: unknown
  readonly [keyword: string]: unknown
}

interface Parameter {
  readonly $ref?: string
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly schema: SchemaObject
}

interface Content {
  readonly [type: string]: { readonly schema: SchemaObject }
}

interface Operation {
  readonly operationId: string
  readonly parameters?: ReadonlyArray<Parameter>
  readonly requestBody?: { readonly required?: boolean; readonly content: Content }
  readonly responses: { readonly [status: string]: { readonly $ref?: string; readonly content?: Content } }
  readonly security?: ReadonlyArray<{ readonly [scheme: string]: unknown }>
}

/** An OpenAPI document, as far as it is looked at. */
export interface Document {
  readonly paths: { readonly [path: string]: { readonly [method: string]: Operation } }
  readonly security?: Operation["security"]
  readonly components: { readonly [section: string]: { readonly [name: string]: unknown } }
}

/** What a document says, by the place where it says it, as in `decide: body.subject.agent: maxLength`. */
export type Facts = ReadonlyMap<string, string>

const lookup = <A extends object>(document: Document, value: A): A => {
  if (!("$ref" in value) || typeof value.$ref !== "string") return value
  const [, , section = "", name = ""] = value.$ref.split("/")
  const found = document.components[section]?.[name]
  if (found === undefined) throw new Error(`${value.$ref} is not there`)
  return lookup(document, found as A)
}

const methods = ["get", "post", "put", "patch", "delete", "head", "options"]

const keywords = [
  "format",
  "pattern",
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "minProperties",
  "maxProperties"
]

/** A schema and those it is made of, as one. */
const whole = (document: Document, schema: SchemaObject): SchemaObject => {
  const { allOf = [], ...found } = lookup(document, schema)
  return Object.assign({}, ...allOf.map((part) => whole(document, part)), found)
}

const typesOf = ({ anyOf, const: only, enum: values, type }: SchemaObject): ReadonlyArray<string> => {
  if (type !== undefined) return typeof type === "string" ? [type] : type
  if (anyOf !== undefined) return anyOf.flatMap(typesOf)
  return (values ?? (only === undefined ? [] : [only])).map((value) => typeof value)
}

/** The facts of a document. */
export const factsOf = (document: Document): Facts => {
  const facts = new Map<string, string>()
  const say = (where: string, what: unknown) => {
    if (what !== undefined) facts.set(where, typeof what === "string" ? what : JSON.stringify(what))
  }

  const saySchema = (where: string, reference: SchemaObject): void => {
    const schema = whole(document, reference)
    const { additionalProperties, anyOf, const: only, enum: values, items, properties, required } = schema
    say(`${where}: type`, [...new Set(typesOf(schema))].sort().join(" or "))
    if (values !== undefined || only !== undefined) say(`${where}: enum`, [...values ?? [only]].map(String).sort())
    for (const keyword of keywords) {
      const branch = anyOf?.find((branch) => keyword in branch)
      say(`${where}: ${keyword}`, schema[keyword] ?? branch?.[keyword])
    }
    if (anyOf?.every(({ required }) => required !== undefined) === true) {
      say(`${where}: one of these`, anyOf.flatMap(({ required = [] }) => required).sort())
    }
    for (const [name, property] of Object.entries(properties ?? {})) {
      saySchema(`${where}.${name}`, property)
      say(`${where}.${name}: required`, required?.includes(name) === true)
    }
    if (typeof additionalProperties === "object" && Object.keys(additionalProperties).length > 0) {
      saySchema(`${where}.*`, additionalProperties)
    } else {
      // An object of which nothing is said takes anything.
      const isOpen = properties === undefined && items === undefined && typesOf(schema).includes("object")
      say(
        `${where}: takes others`,
        additionalProperties === undefined ? isOpen || undefined : additionalProperties !== false
      )
    }
    if (items !== undefined) saySchema(`${where}[]`, items)
  }

  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of methods) {
      const operation = item[method]
      if (operation === undefined) continue
      const { operationId, requestBody } = operation
      say(`${operationId}: method and path`, `${method} ${path}`)
      for (const reference of operation.parameters ?? []) {
        const { in: where, name, required = false, schema } = lookup(document, reference)
        // Names of headers do not depend on case.
        const parameter = `${operationId}: ${where} ${where === "header" ? name.toLowerCase() : name}`
        say(`${parameter}: required`, required)
        saySchema(parameter, schema)
      }
      if (requestBody !== undefined) {
        say(`${operationId}: body: required`, requestBody.required ?? false)
        say(`${operationId}: body: content types`, Object.keys(requestBody.content).sort())
        saySchema(`${operationId}: body`, requestBody.content["application/json"]?.schema ?? {})
      }
      for (const [status, reference] of Object.entries(operation.responses)) {
        const schema = lookup(document, reference).content?.["application/json"]?.schema
        say(`${operationId}: ${status}`, schema === undefined ? "no body" : "a body")
        if (schema !== undefined) saySchema(`${operationId}: ${status} body`, schema)
      }
      const schemes = (operation.security ?? document.security ?? []).flatMap((requirement) => Object.keys(requirement))
      for (const scheme of schemes) say(`${operationId}: security ${scheme}`, true)
    }
  }
  return facts
}

/** Where two documents differ on purpose. In `at`, `*` stands for anything. */
export interface Difference {
  readonly reason: string
  readonly at: ReadonlyArray<string>
}

const patternOf = (glob: string): RegExp =>
  new RegExp(`^${glob.split("*").map((part) => part.replace(/[.[\]()?+^$|{}\\]/g, "\\$&")).join(".*")}$`)

/**
 * How our facts differ from those of the specification where that is not meant, and which of the meant differences there are
 * not. Where the specification does not say whether an object takes other members, there is nothing to differ from.
 */
export const compare = (ours: Facts, theirs: Facts, differences: ReadonlyArray<Difference>) => {
  const listed = differences.flatMap(({ at }) => at).map((glob) => ({ glob, pattern: patternOf(glob), count: 0 }))
  const places = [...new Set([...theirs.keys(), ...ours.keys()])].sort()
  // An operation, a parameter, a member or an answer that one of them does not have differs once, not in all it holds.
  const missing = places.filter((place) => ours.has(place) !== theirs.has(place)).flatMap((place) => {
    const [, operation] = /^(.*): method and path$/.exec(place) ?? []
    const [, value] = /^(.*): required$/.exec(place) ?? []
    const [, answer] = /^(.*: \d{3})$/.exec(place) ?? []
    if (operation !== undefined) return [{ place, inside: [`${operation}:`] }]
    if (value !== undefined) return [{ place, inside: [`${value}:`, `${value}.`, `${value}[`] }]
    return answer === undefined ? [] : [{ place, inside: [`${answer} `] }]
  })
  const unlisted: Array<string> = []
  for (const place of places) {
    const said = ours.get(place)
    const wanted = theirs.get(place)
    if (said === wanted || (place.endsWith(": takes others") && wanted === undefined)) continue
    if (missing.some((owner) => owner.place !== place && owner.inside.some((start) => place.startsWith(start)))) {
      continue
    }
    const known = listed.filter(({ pattern }) => pattern.test(place))
    for (const entry of known) entry.count++
    if (known.length === 0) unlisted.push(`${place}: ${said ?? "nothing"} instead of ${wanted ?? "nothing"}`)
  }
  return { unlisted, unused: listed.filter(({ count }) => count === 0).map(({ glob }) => glob) }
}
