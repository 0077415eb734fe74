/**
 * The specification of the wire as a judge: whether an HTTP exchange is one the Cycles protocol knows, to the letter.
 *
 * It reads the specification's own documents and shares no schema with this repository. It is as strict as the strictest
 * client: a reply holds no field that is not documented and never `null`, integers are written as integers and are exact over
 * the whole int64 range, and what every answer has to carry in its headers is there.
 *
 * Use it in the tests of whatever speaks the protocol, be it a server, a client or a proxy; {@link WireWatch} puts it behind
 * every answer of a test's server.
 *
 * The documents are not part of this package. They are in the public repository of the protocol
 * (`runcycles/cycles-protocol`), and are asked for by file name: {@link files}.
 *
 * @since 0.1.0
 */
import { Ajv2020 } from "ajv/dist/2020.js"
import * as LosslessJson from "lossless-json"
import * as Yaml from "yaml"

// ---------------------------------------------------------------------------------------------------------------------
// models
// ---------------------------------------------------------------------------------------------------------------------

/**
 * One of the two halves of the protocol. They have a path in common, `GET /v1/balances`, whose replies differ.
 *
 * @category models
 * @since 0.1.0
 */
export type Plane = "runtime" | "governance"

/**
 * What a client sends. `path` has its query string; the names of `headers` are in any case.
 *
 * - `plane`: which plane is meant where both have the operation; the runtime's when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly plane?: Plane | undefined
  readonly method: string
  readonly path: string
  readonly headers: { readonly [name: string]: string | undefined }
  readonly body?: string | undefined
}

/**
 * What a server answered, and to what. The headers are those of the answer; `body` is its text, not yet parsed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchange extends Request {
  readonly status: number
  readonly body: string
}

/**
 * One operation of the specification.
 *
 * - `path`: as it is in the document, as in `/v1/reservations/{reservation_id}`
 * - `parameters`: with their schemas, references resolved
 * - `requestBody`: the body's schema, references resolved, where there is one
 * - `statuses`: those that are documented
 *
 * @category models
 * @since 0.1.0
 */
export interface Operation {
  readonly plane: Plane
  readonly operationId: string
  readonly method: string
  readonly path: string
  readonly parameters: ReadonlyArray<Parameter>
  readonly requestBody: Schema | undefined
  readonly isBodyRequired: boolean
  readonly statuses: ReadonlyArray<number>
}

/**
 * A parameter of an {@link Operation}. Names of headers are in lower case.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parameter {
  readonly name: string
  readonly in: "path" | "query" | "header"
  readonly isRequired: boolean
  readonly schema: Schema
}

/**
 * A JSON schema, as far as the documents use it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Schema {
  readonly $ref?: string
  readonly type?: string | ReadonlyArray<string>
  readonly enum?: ReadonlyArray<unknown>
  readonly const?: unknown
  readonly format?: string
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly minProperties?: number
  readonly maxProperties?: number
  readonly items?: Schema
  readonly properties?: { readonly [name: string]: Schema }
  readonly required?: ReadonlyArray<string>
  readonly additionalProperties?: boolean | Schema
  readonly anyOf?: ReadonlyArray<Schema>
  readonly oneOf?: ReadonlyArray<Schema>
  readonly allOf?: ReadonlyArray<Schema>
  readonly default?: unknown
}

/**
 * What was found: the operation meant, unless the specification has none there, and every way in which the exchange is not
 * the specification's. No problems, no objection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Verdict {
  readonly operation: Operation | undefined
  readonly problems: ReadonlyArray<string>
}

/**
 * The specification, read and compiled.
 *
 * - `operations`: all of them, of both planes
 * - `documents`: each plane's document with the fields that extensions add to it, as parsed
 * - `response`: judges an answer. One to a request that the specification has no operation for has to be the protocol's error
 * - `request`: judges whether the specification lets a client send this
 *
 * @category models
 * @since 0.1.0
 */
export interface WireSpecification {
  readonly operations: ReadonlyArray<Operation>
  readonly documents: { readonly [P in Plane]: unknown }
  readonly response: (exchange: Exchange) => Verdict
  readonly request: (request: Request) => Verdict
}

/**
 * The documents {@link make} asks for.
 *
 * @category constants
 * @since 0.1.0
 */
export const files = {
  runtime: "cycles-protocol-v0.yaml",
  governance: "cycles-governance-admin-v0.1.25.yaml",
  runtimeExtensions: "cycles-protocol-extensions-v0.1.26.yaml",
  governanceExtensions: "cycles-governance-extensions-v0.1.26.yaml",
  actionKinds: "cycles-action-kinds-v0.1.26.yaml"
} as const

/**
 * Answers that may be given to any operation, documented there or not: throttling, which section ERROR SEMANTICS reserves 429
 * for wherever it happens, and a server that cannot reach what it needs.
 *
 * @category constants
 * @since 0.1.0
 */
export const statusesOfAnyOperation: ReadonlyArray<number> = [429, 503]

// ---------------------------------------------------------------------------------------------------------------------
// documents
// ---------------------------------------------------------------------------------------------------------------------

interface Response {
  readonly $ref?: string
  readonly headers?: { readonly [name: string]: { readonly $ref?: string; readonly schema?: Schema } }
  readonly content?: { readonly [type: string]: { readonly schema?: Schema } }
}

interface OperationObject {
  readonly operationId: string
  readonly parameters?: ReadonlyArray<{
    readonly $ref?: string
    readonly name: string
    readonly in: Parameter["in"]
    readonly required?: boolean
    readonly schema: Schema
  }>
  readonly requestBody?: {
    readonly required?: boolean
    readonly content: { readonly [type: string]: { readonly schema: Schema } }
  }
  readonly responses: { readonly [status: string]: Response }
}

interface Components {
  readonly [section: string]: { readonly [name: string]: unknown }
}

interface Document {
  readonly paths?: { readonly [path: string]: { readonly [method: string]: OperationObject } }
  readonly components: Components
}

type Json = { readonly [name: string]: unknown }

const isRecord = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const methods = ["get", "post", "put", "patch", "delete"]

/** A document's schemas, which the extensions add to. */
const schemasOf = (document: Document): { readonly [name: string]: Schema } =>
  (document.components["schemas"] ?? {}) as { readonly [name: string]: Schema }

/** The part of a document that a reference names. */
const resolve = <A>(document: Document, value: A): A => {
  if (!isRecord(value) || typeof value["$ref"] !== "string") return value
  const reference = value["$ref"]
  const [, , section = "", name = ""] = reference.split("/")
  const found = document.components[section]?.[name]
  if (found === undefined) throw new Error(`${reference} is not in the document`)
  return resolve(document, found as A)
}

/** A schema without references. */
const inline = (document: Document, schema: Schema): Schema => {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    const found = resolve(document, value)
    return isRecord(found)
      ? Object.fromEntries(Object.entries(found).map(([name, member]) => [name, walk(member)]))
      : found
  }
  return walk(schema) as Schema
}

const withSchemas = (document: Document, schemas: { readonly [name: string]: Schema }): Document => ({
  ...document,
  components: { ...document.components, schemas: { ...schemasOf(document), ...schemas } }
})

const extended = (schema: Schema | undefined, properties: { readonly [name: string]: Schema }): Schema => ({
  ...schema,
  properties: { ...schema?.properties, ...properties }
})

const enumOf = (document: Document, name: string): ReadonlyArray<unknown> => schemasOf(document)[name]?.enum ?? []

/**
 * The runtime plane, with the codes that version 0.1.26 adds.
 *
 * Its other extensions are those of action quotas and observe mode, which clients of this version refuse.
 */
const runtimeDocument = (base: Document, extensions: Document): Document =>
  withSchemas(base, {
    ErrorCode: {
      ...schemasOf(base)["ErrorCode"],
      enum: [...new Set([...enumOf(base, "ErrorCode"), ...enumOf(extensions, "ErrorCodeExtension")])]
    }
  })

/** The governance plane, with the lists of action kinds that version 0.1.26 adds to policies. */
const governanceDocument = (base: Document, extensions: Document): Document => {
  const lists = Object.fromEntries(
    ["allowed_action_kinds", "denied_action_kinds"].map((name) => [
      name,
      schemasOf(extensions)["PolicyExtension"]?.properties?.[name] ?? {}
    ])
  )
  const path = "/v1/admin/policies/{policy_id}"
  const policy = base.paths?.[path]
  const update = policy?.["patch"]
  if (policy === undefined || update === undefined) throw new Error(`${files.governance} has no PATCH ${path}`)
  const body = update.requestBody?.content["application/json"]?.schema
  const requestBody = { required: true, content: { "application/json": { schema: extended(body, lists) } } }
  return {
    ...withSchemas(base, {
      Policy: extended(schemasOf(base)["Policy"], lists),
      PolicyCreateRequest: extended(schemasOf(base)["PolicyCreateRequest"], lists)
    }),
    paths: { ...base.paths, [path]: { ...policy, patch: { ...update, requestBody } } }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// JSON as it was written
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A number that is written with a fraction or an exponent but is an integer, as in `1e3`, is no integer to clients in other
 * languages. A symbol is what no schema of JSON takes by mistake.
 */
const parseNumber = (literal: string): number | bigint | symbol => {
  const n = Number(literal)
  if (/^-?\d+$/.test(literal)) return Number.isSafeInteger(n) ? n : BigInt(literal)
  return Number.isInteger(n) ? Symbol(literal) : n
}

/** In a request the last of two members of one name counts, as JSON parsers have it; an answer has no such pair. */
const readJson = (text: string, isRequest: boolean): { readonly value: unknown } | string => {
  try {
    const options = isRequest ? { onDuplicateKey: ({ newValue }: { newValue: unknown }) => newValue } : undefined
    return { value: LosslessJson.parse(text, undefined, { parseNumber, ...options }) }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// schemas
// ---------------------------------------------------------------------------------------------------------------------

const INT64 = { minimum: -(2n ** 63n), maximum: 2n ** 63n - 1n }

interface IntegerRange {
  readonly minimum: bigint
  readonly maximum: bigint
}

const dateTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i

const isDateTime = (text: string): boolean =>
  dateTime.test(text) && !Number.isNaN(Date.parse(text)) &&
  new Date(`${text.slice(0, 10)}T00:00:00Z`).toISOString().startsWith(text.slice(0, 10))

const isUri = (text: string): boolean => /^[a-z][a-z0-9+.-]*:\S+$/i.test(text) && URL.canParse(text)

// The global is in every runtime supported here; no platform's types are needed for it.
declare const URL: { readonly canParse: (text: string) => boolean }

/**
 * A schema as the strictest client reads it: objects are closed unless they say otherwise, integers are judged by how they
 * are written and as far as int64 goes.
 */
const strict = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(strict)
  if (!isRecord(value)) return value
  const { format, maximum, minimum, type, ...rest } = value as Json & Schema
  const out: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(rest)) {
    // names of properties are no keywords
    out[name] = name === "properties" && isRecord(member)
      ? Object.fromEntries(Object.entries(member).map(([property, schema]) => [property, strict(schema)]))
      : strict(member)
  }
  const types = typeof type === "string" ? [type] : type ?? []
  if (types.includes("integer")) {
    const range: IntegerRange = {
      minimum: minimum === undefined ? INT64.minimum : BigInt(minimum),
      maximum: maximum === undefined ? INT64.maximum : BigInt(maximum)
    }
    return types.includes("null")
      ? { anyOf: [{ type: "null" }, { wireInteger: range }] }
      : { ...out, wireInteger: range }
  }
  if (types.includes("number")) return { ...out, wireNumber: { minimum, maximum } }
  if (type !== undefined) out["type"] = type
  if (format !== undefined) out["format"] = format
  if (types.includes("object") && rest.properties !== undefined && rest.additionalProperties === undefined) {
    out["additionalProperties"] = false
  }
  return out
}

const makeAjv = (): Ajv2020 => {
  const ajv = new Ajv2020({
    allErrors: true,
    strict: false,
    validateSchema: false,
    formats: { "date-time": isDateTime, uri: isUri, "uri-reference": true, email: true, "json-pointer": true }
  })
  ajv.addKeyword({
    keyword: "wireInteger",
    validate: ({ maximum, minimum }: IntegerRange, data: unknown) =>
      typeof data === "bigint"
        ? data >= minimum && data <= maximum
        : typeof data === "number" && Number.isInteger(data) && BigInt(data) >= minimum && BigInt(data) <= maximum,
    error: { message: ({ schema }) => `must be an integer from ${schema.minimum} to ${schema.maximum}, written as one` }
  })
  ajv.addKeyword({
    keyword: "wireNumber",
    validate: ({ maximum = Infinity, minimum = -Infinity }: Schema, data: unknown) => {
      const n = typeof data === "symbol" ? Number(data.description) : typeof data === "bigint" ? Number(data) : data
      return typeof n === "number" && n >= minimum && n <= maximum
    },
    error: { message: ({ schema }) => `must be a number from ${schema.minimum ?? "-∞"} to ${schema.maximum ?? "∞"}` }
  })
  return ajv
}

type Check = (value: unknown, root: string) => ReadonlyArray<string>

/** Compiles a schema of a document the first time it is asked for. */
const compiler = (document: Document): (schema: Schema) => Check => {
  const ajv = makeAjv()
  const id = "cycles:document"
  ajv.addSchema({
    $id: id,
    components: {
      ...document.components,
      schemas: Object.fromEntries(
        Object.entries(schemasOf(document)).map(([name, schema]) => [name, strict(schema)])
      )
    }
  })
  const absolute = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(absolute)
    if (!isRecord(value)) return value
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [
        name,
        name === "$ref" && typeof member === "string" ? `${id}${member}` : absolute(member)
      ])
    )
  }
  const compiled = new Map<Schema, Check>()
  return (schema) => {
    const known = compiled.get(schema)
    if (known !== undefined) return known
    const validate = ajv.compile(absolute(strict(schema)) as Json)
    const check: Check = (value, root) => {
      if (validate(value)) return []
      return (validate.errors ?? []).map(({ instancePath, message = "does not fit", params }) => {
        const where = `${root}${instancePath.replaceAll("/", ".")}`
        const property: unknown = params["additionalProperty"]
        return typeof property === "string" ? `${where}.${property} is not documented` : `${where} ${message}`
      })
    }
    compiled.set(schema, check)
    return check
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// the judge
// ---------------------------------------------------------------------------------------------------------------------

interface Known extends Operation {
  readonly document: Document
  readonly check: (schema: Schema) => Check
  readonly matches: RegExp
  readonly rawBody: Schema | undefined
  readonly responses: { readonly [status: string]: Response }
}

const known = (plane: Plane, document: Document): ReadonlyArray<Known> => {
  const check = compiler(document)
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    methods.flatMap((method) => {
      const operation = item[method]
      if (operation === undefined) return []
      const rawBody = operation.requestBody?.content["application/json"]?.schema
      return [{
        plane,
        document,
        check,
        rawBody,
        operationId: operation.operationId,
        method: method.toUpperCase(),
        path,
        matches: new RegExp(`^${path.replaceAll(".", "\\.").replace(/\{[^}]+\}/g, "([^/]+)")}$`),
        parameters: (operation.parameters ?? []).map((reference) => {
          const { in: where, name, required, schema } = resolve(document, reference)
          return {
            name: where === "header" ? name.toLowerCase() : name,
            in: where,
            isRequired: required === true,
            schema: inline(document, schema)
          }
        }),
        requestBody: rawBody === undefined ? undefined : inline(document, rawBody),
        isBodyRequired: operation.requestBody?.required === true,
        responses: Object.fromEntries(
          Object.entries(operation.responses).map(([status, response]) => [status, resolve(document, response)])
        ),
        statuses: Object.keys(operation.responses).map(Number)
      }]
    })
  )
}

const lowerCase = (headers: Request["headers"]): { readonly [name: string]: string | undefined } =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

const withoutQuery = (path: string): string => path.replace(/[?#].*$/s, "")

/** A text in a query string or a header as the value its schema is about. */
const valueOf = (text: string, { items, type }: Schema): unknown => {
  if (type === "integer" || type === "number") return /^-?\d+$/.test(text) ? parseNumber(text) : text
  if (type === "boolean") return text === "true" ? true : text === "false" ? false : text
  if (type === "array") return text.split(",").map((item) => valueOf(item, items ?? {}))
  return text
}

const isJsonType = (type: string | undefined): boolean =>
  type !== undefined && /^application\/json\s*(;\s*charset=utf-8\s*)?$/i.test(type)

const decodeText = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The parameters of a query string, in their order. */
const queryOf = (path: string): ReadonlyArray<readonly [name: string, value: string]> => {
  const from = path.indexOf("?")
  return from < 0 ? [] : path.slice(from + 1).split("&").filter((part) => part !== "").map((part) => {
    const [name = "", ...value] = part.split("=")
    return [decodeText(name), decodeText(value.join("=").replaceAll("+", " "))] as const
  })
}

/**
 * The same judge over OpenAPI documents of your own, parsed: what it says of bodies, statuses and described headers is theirs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromDocuments = (
  documents: { readonly [P in Plane]?: ReadonlyArray<unknown> | undefined }
): WireSpecification => {
  // What is no OpenAPI document is found out below.
  const of = (plane: Plane) => (documents[plane] ?? []) as ReadonlyArray<Document>
  return judge([
    ...of("runtime").flatMap((document) => known("runtime", document)),
    ...of("governance").flatMap((document) => known("governance", document))
  ], { runtime: of("runtime")[0], governance: of("governance")[0] })
}

/**
 * Reads the documents through `read`, which is given a file's name (see {@link files}) and returns its text, and compiles them.
 *
 * Throws what `read` throws, and an `Error` where the documents do not hold together.
 *
 * **Example** (From a folder, in a test)
 *
 * ```ts no-run
 * import { WireSpecification } from "@effect-cycles/testing"
 * import * as Fs from "node:fs"
 *
 * const specification = WireSpecification.make((file) => Fs.readFileSync(`cycles-protocol/${file}`, "utf8"))
 *
 * const { problems } = specification.response({
 *   method: "POST",
 *   path: "/v1/decide",
 *   status: 200,
 *   headers: { "content-type": "application/json" },
 *   body: `{"decision":"MAYBE"}`
 * })
 *
 * console.log(problems.join("\n"))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (read: (file: string) => string): WireSpecification => {
  const parse = (file: string): Document => Yaml.parse(read(file)) as Document
  return fromDocuments({
    runtime: [runtimeDocument(parse(files.runtime), parse(files.runtimeExtensions))],
    governance: [
      governanceDocument(parse(files.governance), parse(files.governanceExtensions)),
      parse(files.actionKinds)
    ]
  })
}

const judge = (operations: ReadonlyArray<Known>, documents: WireSpecification["documents"]): WireSpecification => {
  const find = ({ method, path, plane }: Request): Known | undefined => {
    const bare = withoutQuery(path)
    const found = operations.filter((operation) => operation.method === method && operation.matches.test(bare))
    // `/v1/admin/budgets/lookup` is also `/v1/admin/budgets/{id}`, were there one.
    const literal = found.filter((operation) => operation.path === bare)
    const candidates = literal.length === 0 ? found : literal
    return candidates.find((operation) => operation.plane === (plane ?? "runtime")) ??
      (plane === undefined ? candidates[0] : undefined)
  }

  const errorSchema: Schema = { $ref: "#/components/schemas/ErrorResponse" }
  const checkOf = (plane: Plane) => operations.find((operation) => operation.plane === plane)?.check

  const response = (exchange: Exchange): Verdict => {
    const { body, status } = exchange
    const headers = lowerCase(exchange.headers)
    const operation = find(exchange)
    const problems: Array<string> = []
    const documented = operation?.responses[status]
    const isAnyError = statusesOfAnyOperation.includes(status)
    // Said in words of what has an ETag, and nowhere in a table.
    const isUnchanged = status === 304 && "ETag" in (operation?.responses["200"]?.headers ?? {})
    if (operation === undefined && status < 400) {
      return { operation: undefined, problems: ["the specification has no such operation"] }
    }
    if (operation !== undefined && documented === undefined && !isAnyError && !isUnchanged) {
      problems.push(`status ${status} is not documented for ${operation.operationId}`)
    }
    // A path of neither plane may be refused in the words of either.
    const planes = exchange.plane === undefined ? (["runtime", "governance"] as const) : [exchange.plane]
    const either: Check = (value, root) => {
      const verdicts = planes.flatMap((plane) => checkOf(plane)?.(errorSchema)(value, root).join("; ") ?? [])
      return verdicts.includes("") ? [] : verdicts
    }
    const check = operation?.check ?? (() => either)

    const described = documented?.headers ?? {}
    for (const [name, reference] of Object.entries(described)) {
      const value = headers[name.toLowerCase()]
      const { schema } = resolve(operation!.document, reference)
      if (value === undefined || schema === undefined) continue
      problems.push(...check(schema)(valueOf(value, schema), `header ${name}`))
    }
    if ((headers["x-request-id"] ?? "") === "") problems.push("header X-Request-Id is missing")
    const traceId = headers["x-cycles-trace-id"]
    if (traceId === undefined) problems.push("header X-Cycles-Trace-Id is missing")
    else if (!/^[0-9a-f]{32}$/.test(traceId)) {
      problems.push(`header X-Cycles-Trace-Id is "${traceId}", not 32 hex digits`)
    }
    if (
      status < 300 && "X-Cycles-Tenant" in described &&
      (headers["x-cycles-tenant"] ?? "") === ""
    ) {
      problems.push("header X-Cycles-Tenant is missing")
    }
    if (status === 429 && !/^\d+$/.test(headers["retry-after"] ?? "")) {
      problems.push("header Retry-After is not there in whole seconds")
    }

    // A body the document has no schema for: none, or the error any operation may answer.
    const schema = documented === undefined && status >= 400
      ? errorSchema
      : documented?.content?.["application/json"]?.schema ?? (status >= 400 ? errorSchema : undefined)
    if (schema === undefined) {
      if (body !== "") problems.push(`a body is not documented for status ${status}`)
      return { operation, problems }
    }
    if (!isJsonType(headers["content-type"])) {
      problems.push(`header Content-Type is ${headers["content-type"] ?? "missing"}, not application/json`)
    }
    const json = readJson(body, false)
    if (typeof json === "string") return { operation, problems: [...problems, `the body is not JSON: ${json}`] }
    problems.push(...check(schema)(json.value, "body"))
    if (status >= 400 && isRecord(json.value)) {
      for (const [field, header] of [["request_id", "x-request-id"], ["trace_id", "x-cycles-trace-id"]] as const) {
        const said = json.value[field]
        if (said !== undefined && said !== headers[header]) {
          problems.push(`body.${field} is ${String(said)}, the header ${header} is ${headers[header]}`)
        }
      }
    }
    return { operation, problems }
  }

  const request = (sent: Request): Verdict => {
    const operation = find(sent)
    if (operation === undefined) return { operation, problems: ["the specification has no such operation"] }
    const { check } = operation
    const headers = lowerCase(sent.headers)
    const query = queryOf(sent.path)
    const values = operation.matches.exec(withoutQuery(sent.path))?.slice(1) ?? []
    const names = [...operation.path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name)
    const problems: Array<string> = []
    for (const { in: where, isRequired, name, schema } of operation.parameters) {
      const given = where === "header"
        ? headers[name] === undefined ? [] : [headers[name]]
        : where === "query"
        ? query.filter(([other]) => other === name).map(([, value]) => value)
        : [decodeText(values[names.indexOf(name)] ?? "")]
      if (given.length === 0 && isRequired) problems.push(`${where} ${name} is missing`)
      if (given.length > 1 && schema.type !== "array") problems.push(`${where} ${name} is given ${given.length} times`)
      for (const text of given) problems.push(...check(schema)(valueOf(text, schema), `${where} ${name}`))
    }
    const { rawBody } = operation
    if (rawBody === undefined) {
      if ((sent.body ?? "") !== "") problems.push("the operation has no body")
    } else if ((sent.body ?? "") === "") {
      if (operation.isBodyRequired) problems.push("the body is missing")
    } else {
      const type = headers["content-type"]
      if (!isJsonType(type)) problems.push(`header Content-Type is ${type ?? "missing"}, not application/json`)
      const json = readJson(sent.body ?? "", true)
      problems.push(
        ...typeof json === "string" ? [`the body is not JSON: ${json}`] : check(rawBody)(json.value, "body")
      )
    }
    return { operation, problems }
  }

  return { operations, documents, response, request }
}
