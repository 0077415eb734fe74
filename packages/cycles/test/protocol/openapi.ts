/**
 * Turns a schema of an OpenAPI document into the values it accepts and refuses, by walking it.
 *
 * It reads only the keywords it knows and throws on any other, so that a constraint the document gains later cannot go
 * unnoticed.
 */

/** One schema, or one place with a schema, of the document. */
export interface SchemaObject {
  readonly $ref?: string
  readonly type?: string
  readonly format?: string
  readonly enum?: ReadonlyArray<string>
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly items?: SchemaObject
  readonly maxItems?: number
  readonly properties?: Readonly<Record<string, SchemaObject>>
  readonly required?: ReadonlyArray<string>
  readonly additionalProperties?: boolean | SchemaObject
  readonly minProperties?: number
  readonly maxProperties?: number
  readonly anyOf?: ReadonlyArray<SchemaObject>
  readonly default?: unknown
  readonly example?: unknown
  readonly description?: string
}

export interface Parameter {
  readonly $ref?: string
  readonly name: string
  readonly in: string
  readonly required?: boolean
  readonly description?: string
  readonly schema: SchemaObject
}

export interface Operation {
  readonly operationId: string
  readonly parameters?: ReadonlyArray<Parameter>
}

export interface Document {
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

/** A value and the document's verdict on it. */
export interface Case {
  /** The place whose constraint is probed, counted from the nearest named schema: `Action.tags[]`. */
  readonly at: string
  /** What the value does there. */
  readonly what: string
  /** The way to the place inside the value, for messages. */
  readonly path: string
  readonly value: unknown
  readonly accept: boolean
}

/** The values of one schema. */
export interface Sample {
  /** Only what must be there, everything at its lower bound where it has one. */
  readonly minimal: unknown
  /** Everything that may be there, at its upper bound where it has one. */
  readonly maximal: unknown
  readonly cases: ReadonlyArray<Case>
  /** The names of an object's properties; none for anything else. */
  readonly properties: ReadonlyArray<string>
}

export const MAX_INT64 = 2n ** 63n - 1n
export const MIN_INT64 = -(2n ** 63n)

const keywords = new Set([
  "$ref",
  "type",
  "format",
  "enum",
  "pattern",
  "minLength",
  "maxLength",
  "minimum",
  "maximum",
  "items",
  "maxItems",
  "properties",
  "required",
  "additionalProperties",
  "minProperties",
  "maxProperties",
  "anyOf",
  "default",
  "example",
  "description"
])

const methods = new Set(["get", "put", "post", "delete", "options", "head", "patch", "trace"])

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const without = (value: Readonly<Record<string, unknown>>, names: ReadonlyArray<string>) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)))

const freeForm = {
  text: "déjà vu 😀",
  number: 0.5,
  exact: 2n ** 53n + 1n,
  flag: false,
  nothing: null,
  list: [1, [], {}],
  nested: { snake_case: { camelCase: "kept" } }
}

// `undefined` is nothing a reader of JSON gives; an optional property is absent, not undefined.
const wrongTypes: Readonly<Record<string, ReadonlyArray<unknown>>> = {
  string: [5, true, null, [], {}, undefined],
  integer: ["5", true, null, [], {}, undefined],
  boolean: ["true", 0, 1, null, [], {}, undefined],
  array: ["", 5, true, null, {}, undefined],
  object: ["{}", 5, true, null, [], undefined]
}

/** Every operation of a document by its id. */
export const operations = (document: Document): ReadonlyArray<Operation> =>
  Object.values(document.paths).flatMap((path) =>
    Object.entries(path).flatMap(([method, operation]) => methods.has(method) ? [operation] : [])
  )

/** What `#/components/…` names. */
export const lookup = (document: Document, ref: string): unknown => {
  const [, section = "", name = ""] = /^#\/components\/([^/]+)\/([^/]+)$/.exec(ref) ?? []
  const found = document.components[section]?.[name]
  if (found === undefined) throw new Error(`${ref} is not in the document`)
  return found
}

/** The references reachable from a part of the document, through references. */
export const references = (document: Document, from: unknown, seen: Set<string> = new Set()): ReadonlySet<string> => {
  if (Array.isArray(from)) {
    for (const element of from) references(document, element, seen)
  } else if (isObject(from)) {
    const ref = from["$ref"]
    if (typeof ref === "string" && !seen.has(ref)) {
      seen.add(ref)
      references(document, lookup(document, ref), seen)
    }
    for (const element of Object.values(from)) references(document, element, seen)
  }
  return seen
}

/** The schemas of all request and response bodies of operations. */
export const bodies = (document: Document, from: unknown): ReadonlyArray<SchemaObject> => {
  if (Array.isArray(from)) return from.flatMap((element) => bodies(document, element))
  if (!isObject(from)) return []
  return Object.entries(from).flatMap(([key, value]) =>
    key === "content" && isObject(value)
      ? Object.values(value).map((media) => (media as { readonly schema: SchemaObject }).schema)
      : key === "$ref" && typeof value === "string" && value.startsWith("#/components/responses/")
      ? bodies(document, lookup(document, value))
      : bodies(document, value)
  )
}

/** Where the document holds an example. */
export const examples = (from: unknown): ReadonlyArray<unknown> => {
  if (Array.isArray(from)) return from.flatMap(examples)
  if (!isObject(from)) return []
  return Object.entries(from).flatMap(([key, value]) =>
    key === "example" || key === "examples" ? [value] : examples(value)
  )
}

/** The query parameters of an operation as one object. A parameter nobody declared is not part of it. */
export const query = (document: Document, operationId: string): SchemaObject => {
  const operation = operations(document).find((operation) => operation.operationId === operationId)
  if (operation === undefined) throw new Error(`There is no operation ${operationId}`)
  const parameters = (operation.parameters ?? [])
    .map((parameter) => parameter.$ref === undefined ? parameter : lookup(document, parameter.$ref) as Parameter)
    .filter((parameter) => parameter.in === "query")
  return {
    type: "object",
    additionalProperties: false,
    required: parameters.flatMap((parameter) => parameter.required === true ? [parameter.name] : []),
    properties: Object.fromEntries(parameters.map((parameter) => [parameter.name, parameter.schema]))
  }
}

/** The values of a schema. `seen` gathers the examples that became cases. */
export const sample = (document: Document, schema: SchemaObject, at: string, seen: Set<unknown>): Sample => {
  for (const keyword of Object.keys(schema)) {
    if (!keywords.has(keyword)) throw new Error(`${at} uses the keyword ${keyword}, which is not understood here`)
  }
  const own = schema.$ref === undefined
    ? shape(document, schema, at, seen)
    : sample(document, lookup(document, schema.$ref) as SchemaObject, schema.$ref.split("/").at(-1)!, seen)
  const annotated: Array<Case> = []
  for (const keyword of ["default", "example"] as const) {
    if (schema[keyword] !== undefined) {
      annotated.push({ at, what: `its ${keyword}`, path: "", value: schema[keyword], accept: true })
      if (keyword === "example") seen.add(schema[keyword])
    }
  }
  return { ...own, cases: [...own.cases, ...annotated] }
}

const shape = (document: Document, schema: SchemaObject, at: string, seen: Set<unknown>): Sample => {
  const cases: Array<Case> = []
  const probe = (accept: boolean, what: string, value: unknown) => cases.push({ at, what, path: "", value, accept })
  const accept = (what: string, value: unknown) => probe(true, what, value)
  const reject = (what: string, value: unknown) => probe(false, what, value)
  const lift = (inner: ReadonlyArray<Case>, step: string, wrap: (value: unknown) => unknown) => {
    for (const each of inner) cases.push({ ...each, path: step + each.path, value: wrap(each.value) })
  }
  const done = (minimal: unknown, maximal: unknown, properties: ReadonlyArray<string> = []): Sample => {
    accept("its minimal value", minimal)
    accept("its maximal value", maximal)
    return { minimal, maximal, cases, properties }
  }

  const wrong = wrongTypes[schema.type ?? ""]
  if (wrong === undefined) throw new Error(`${at} has the type ${schema.type}, which is not understood here`)
  for (const value of wrong) reject("a value of another type", value)

  switch (schema.type) {
    case "string": {
      if (schema.enum !== undefined) {
        for (const member of schema.enum) accept("a member", member)
        for (const foreign of ["", "foreign", `${schema.enum[0]} `, schema.enum[0]!.replace(/./, swapCase)]) {
          reject("a foreign member", foreign)
        }
        return done(schema.enum[0], schema.enum.at(-1))
      }
      if (schema.pattern !== undefined) {
        const length = Number(/^\^\[0-9a-f\]\{(\d+)\}\$$/.exec(schema.pattern)?.[1])
        if (!(length > 1)) throw new Error(`${at} has the pattern ${schema.pattern}, which is not understood here`)
        const digits = "0123456789abcdef".repeat(length).slice(0, length)
        for (
          const [what, value] of [
            ["too few digits", digits.slice(1)],
            ["too many digits", `${digits}0`],
            ["no digits", ""],
            ["a digit that is not hexadecimal", `g${digits.slice(1)}`],
            ["a digit in upper case", `A${digits.slice(1)}`],
            ["a line feed at its end", `${digits}\n`],
            ["a second line", `${digits}\n${digits}`]
          ] as const
        ) reject(what, value)
        return done("0".repeat(length), digits)
      }
      if (schema.format === "date-time") {
        for (const value of ["2026-04-12T10:00:00Z", "2026-04-12T10:00:00.125+02:00", "1969-07-20T20:17:40Z"]) {
          accept("an instant", value)
        }
        for (const value of ["", "yesterday"]) reject("a string that is not an instant", value)
        return done("1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
      }
      if (schema.format === "uri") {
        for (const value of ["", "not a uri", "/relative"]) reject("a string that is not a uri", value)
        return done("urn:a", "https://cycles.example/v1/evidence/0?a=b#c")
      }
      if (schema.format !== undefined) throw new Error(`${at} has the format ${schema.format}, which is not understood`)
      const { minLength = 0, maxLength } = schema
      if (minLength > 0) reject("too few characters", "a".repeat(minLength - 1))
      else accept("no characters", "")
      // The specification counts characters; outside the basic plane one of them is two UTF-16 code units.
      accept("characters of two code units", "😀".repeat(maxLength ?? 5_000))
      if (maxLength === undefined) {
        accept("many characters", "a".repeat(10_000))
      } else {
        reject("too many characters", "a".repeat(maxLength + 1))
        reject("too many characters", "😀".repeat(maxLength + 1))
      }
      return done("a".repeat(Math.max(minLength, 1)), "a".repeat(maxLength ?? 100))
    }
    case "integer": {
      const { minimum, maximum } = schema
      reject("a fraction", (minimum ?? 0) + 0.5)
      if (minimum === undefined) {
        accept("an integer below zero", -1)
        if (schema.format === "int64") {
          for (const value of [-(2n ** 53n) - 1n, MIN_INT64]) accept("an integer below −2^53", value)
          reject("an integer below int64", MIN_INT64 - 1n)
        }
      } else {
        accept("its minimum", minimum)
        reject("an integer below its minimum", minimum - 1)
        reject("an integer below its minimum", MIN_INT64)
      }
      if (maximum === undefined) {
        for (const value of [2n ** 53n, 2n ** 53n + 1n, MAX_INT64]) accept("an integer beyond 2^53", value)
        if (schema.format === "int64") reject("an integer beyond int64", MAX_INT64 + 1n)
      } else {
        reject("an integer above its maximum", maximum + 1)
        reject("an integer above its maximum", MAX_INT64)
      }
      return done(minimum ?? 0, maximum ?? Number.MAX_SAFE_INTEGER)
    }
    case "boolean":
      return done(false, true)
    case "array": {
      const items = sample(document, schema.items!, `${at}[]`, seen)
      const full = Array.from({ length: schema.maxItems ?? 2 }, () => items.maximal)
      if (schema.maxItems === undefined) {
        accept("many elements", Array.from({ length: 300 }, () => items.minimal))
      } else {
        reject("too many elements", [...full, items.maximal])
      }
      lift(items.cases, `[${full.length - 1}]`, (value) => [...full.slice(0, -1), value])
      return done([], full)
    }
    default:
      return object(document, schema, at, seen, { accept, reject, lift, done })
  }
}

const swapCase = (letter: string): string =>
  letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase()

const object = (
  document: Document,
  schema: SchemaObject,
  at: string,
  seen: Set<unknown>,
  { accept, done, lift, reject }: {
    readonly accept: (what: string, value: unknown) => void
    readonly reject: (what: string, value: unknown) => void
    readonly lift: (inner: ReadonlyArray<Case>, step: string, wrap: (value: unknown) => unknown) => void
    readonly done: (minimal: unknown, maximal: unknown, properties?: ReadonlyArray<string>) => Sample
  }
): Sample => {
  const { additionalProperties = true, minProperties = 0, properties, required = [] } = schema

  if (properties === undefined) {
    if (additionalProperties === false) throw new Error(`${at} is an object without properties`)
    const values = additionalProperties === true ? undefined : sample(document, additionalProperties, `${at}{}`, seen)
    const entries = (count: number) => Array.from({ length: count }, (_, i) => [`key ${i}`, values?.maximal ?? null])
    const maximal = values === undefined && schema.maxProperties === undefined
      ? freeForm
      : Object.fromEntries(entries(schema.maxProperties ?? 20))
    if (schema.maxProperties !== undefined) {
      reject("too many properties", Object.fromEntries(entries(schema.maxProperties + 1)))
    }
    for (const name of ["", "snake_case", "ключ", "constructor", "toString"]) {
      accept("a property of any name", { [name]: values?.maximal ?? null })
    }
    if (values !== undefined) {
      lift(values.cases, "{key 0}", (value) => ({ ...maximal, "key 0": value }))
    }
    return done({}, maximal)
  }

  for (const branch of schema.anyOf ?? []) {
    if (branch.required === undefined || Object.keys(branch).length > 1) {
      throw new Error(`${at} has an anyOf, of which only lists of required properties are understood here`)
    }
  }
  const inner = new Map(
    Object.entries(properties).map(([name, property]) => [name, sample(document, property, `${at}.${name}`, seen)])
  )
  const must = [...required, ...schema.anyOf?.[0]?.required ?? []]
  const pick = (names: ReadonlyArray<string>) =>
    Object.fromEntries(names.map((name) => {
      if (!inner.has(name)) throw new Error(`${at} requires ${name}, which is no property of it`)
      return [name, inner.get(name)!.minimal]
    }))
  const minimal = pick(must)
  const maximal = Object.fromEntries([...inner].map(([name, { maximal }]) => [name, maximal]))

  for (const [name, { cases }] of inner) {
    if (required.includes(name)) {
      reject(`${name} missing`, without(maximal, [name]))
      reject(`${name} missing`, without(minimal, [name]))
    } else {
      accept(`${name} absent`, without(maximal, [name]))
    }
    lift(cases, `.${name}`, (value) => ({ ...maximal, [name]: value }))
  }
  if (schema.anyOf !== undefined) {
    for (const branch of schema.anyOf) accept("one alternative alone", pick([...required, ...branch.required!]))
    reject("no alternative", without(maximal, schema.anyOf.flatMap((branch) => branch.required!)))
  }
  if (minProperties > 0) reject("too few properties", {})
  if (additionalProperties === false) {
    for (const base of [minimal, maximal]) {
      for (const value of [null, 5, "text", {}]) reject("a property nobody named", { ...base, unknown_property: value })
    }
    // A property spelled as it is inside, not as it is on the wire.
    for (const [name, { maximal: value }] of inner) {
      const camel = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
      if (camel === name) continue
      reject(`${name} spelled ${camel}`, { ...without(minimal, [name]), [camel]: value })
      reject(`${name} spelled ${camel} as well`, { ...maximal, [camel]: value })
    }
  } else {
    accept("a property nobody named", { ...minimal, unknown_property: null })
  }
  return done(minimal, maximal, Object.keys(properties))
}
