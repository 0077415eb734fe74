/**
 * The contract of a server as a page to read, made of its OpenAPI document. The page needs nothing but itself: no script, no font
 * and no style from anywhere else.
 *
 * @since 0.1.0
 */
import * as WireJson from "@effect-cycles/http/WireJson"

type Json = { readonly [name: string]: unknown }

const isRecord = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const record = (value: unknown): Json => isRecord(value) ? value : {}

const list = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []

const text = (value: unknown): string => typeof value === "string" ? value : ""

const escape = (value: string): string => value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

const nameOfReference = (schema: Json): string | undefined =>
  /^#\/components\/schemas\/(.+)$/.exec(text(schema["$ref"]))?.[1]

const same = (a: unknown, b: unknown): boolean => WireJson.stringify(a) === WireJson.stringify(b)

/** A value with its references to schemas renamed. */
const renamed = (value: unknown, names: ReadonlyMap<string, string>): unknown => {
  if (Array.isArray(value)) return value.map((item) => renamed(item, names))
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      const name = key === "$ref" ? nameOfReference({ $ref: member }) : undefined
      return [key, name === undefined ? renamed(member, names) : `#/components/schemas/${names.get(name) ?? name}`]
    })
  )
}

/**
 * One OpenAPI document of several: the first one's, with the operations of the others that it does not have. A schema of theirs that
 * is another than the first one's of the same name gets a name of its own.
 *
 * @category conversions
 * @since 0.1.0
 */
export const join = (documents: ReadonlyArray<object>): { readonly [name: string]: unknown } => {
  const [first = {}, ...others] = documents.map(record)
  const paths = { ...record(first["paths"]) }
  const components = record(first["components"])
  const schemas = { ...record(components["schemas"]) }
  const securitySchemes = { ...record(components["securitySchemes"]) }
  const tags = [...list(first["tags"])]
  for (const other of others) {
    const theirs = record(other["components"])
    const names = new Map(
      Object.entries(record(theirs["schemas"])).flatMap(([name, schema]) =>
        name in schemas && !same(schemas[name], schema) ? [[name, `${name}Governance`] as const] : []
      )
    )
    for (const [name, schema] of Object.entries(record(theirs["schemas"]))) {
      schemas[names.get(name) ?? name] = renamed(schema, names)
    }
    Object.assign(securitySchemes, theirs["securitySchemes"])
    tags.push(...list(other["tags"]))
    for (const [path, methods] of Object.entries(record(other["paths"]))) {
      paths[path] = { ...record(renamed(methods, names)), ...record(paths[path]) }
    }
  }
  return { ...first, paths, tags, components: { ...components, schemas, securitySchemes } }
}

const idOf = (name: string): string => `schema-${escape(name.replace(/[^A-Za-z0-9_-]/g, "-"))}`

/** What a schema is, in a few words. */
const kindOf = (value: unknown): string => {
  const schema = record(value)
  const reference = nameOfReference(schema)
  if (reference !== undefined) return `<a href="#${idOf(reference)}">${escape(reference)}</a>`
  for (const word of ["anyOf", "oneOf"]) {
    const branches = list(schema[word])
    if (branches.length > 0) return branches.map(kindOf).join(" or ")
  }
  const parts = list(schema["allOf"])
  if (parts.length === 1) return kindOf(parts[0])
  if (schema["type"] === "array") return `array of ${kindOf(schema["items"])}`
  const values = list(schema["enum"])
  if (values.length > 0) return values.map((one) => `<code>${escape(String(one))}</code>`).join(" ")
  if (isRecord(schema["properties"])) return "object"
  if (isRecord(schema["additionalProperties"])) return `object of ${kindOf(schema["additionalProperties"])}`
  return escape([text(schema["type"]), text(schema["format"])].filter((word) => word !== "").join(", ")) || "any"
}

const limits: ReadonlyArray<readonly [keyword: string, words: string]> = [
  ["minimum", "at least"],
  ["maximum", "at most"],
  ["minLength", "length at least"],
  ["maxLength", "length at most"],
  ["minItems", "items at least"],
  ["maxItems", "items at most"],
  ["pattern", "matches"],
  ["default", "default"]
]

const limitsOf = (value: unknown): string => {
  const schema = record(value)
  const own = [schema, ...list(schema["allOf"]).map(record)]
  return limits
    .flatMap(([keyword, words]) =>
      own.filter((part) => part[keyword] !== undefined).map((part) => `${words} ${escape(String(part[keyword]))}`)
    )
    .join("; ")
}

const row = (name: string, isRequired: boolean, schema: unknown, what: string): string =>
  `<tr><td><code>${escape(name)}</code>${isRequired ? " <b>required</b>" : ""}</td><td>${kindOf(schema)}</td><td>${
    [limitsOf(schema), escape(what)].filter((part) => part !== "").join(". ")
  }</td></tr>`

const table = (rows: ReadonlyArray<string>): string =>
  rows.length === 0
    ? ""
    : `<table><thead><tr><th>name</th><th>is</th><th>notes</th></tr></thead><tbody>${rows.join("")}</tbody></table>`

const fields = (value: unknown): string => {
  const schema = record(value)
  const required = new Set(list(schema["required"]))
  return table(
    Object.entries(record(schema["properties"])).map(([name, member]) =>
      row(name, required.has(name), member, text(record(member)["description"]))
    )
  )
}

const contentOf = (value: unknown): unknown =>
  Object.values(record(record(value)["content"])).map(record)[0]?.["schema"]

const operation = (method: string, path: string, value: Json): string => {
  const parameters = list(value["parameters"]).map(record)
  const body = contentOf(value["requestBody"])
  const responses = Object.entries(record(value["responses"])).map(([status, response]) => {
    const schema = contentOf(response)
    return `<tr><td>${escape(status)}</td><td>${schema === undefined ? "" : kindOf(schema)}</td></tr>`
  })
  return `<details id="${escape(text(value["operationId"]))}"><summary><b>${escape(method.toUpperCase())}</b> <code>${
    escape(path)
  }</code> <span>${escape(text(value["operationId"]))}</span></summary><p>${
    escape(text(value["summary"]) || text(value["description"]))
  }</p>${
    table(
      parameters.map((parameter) =>
        row(
          `${text(parameter["name"])} (${text(parameter["in"])})`,
          parameter["required"] === true,
          parameter["schema"],
          text(parameter["description"])
        )
      )
    )
  }${
    body === undefined ? "" : `<p>Body: ${kindOf(body)}</p>${fields(body)}`
  }<table><thead><tr><th>status</th><th>body</th></tr></thead><tbody>${responses.join("")}</tbody></table></details>`
}

const style =
  `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}body{max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{border-bottom:1px solid #8884;padding:.25rem .5rem;text-align:left;vertical-align:top}
code{font:14px ui-monospace,monospace}details{border:1px solid #8886;border-radius:6px;padding:.4rem .8rem;margin:.4rem 0}
summary{cursor:pointer}summary span{opacity:.6}td b{font-size:.75rem;opacity:.7}`

/**
 * The page of an OpenAPI document.
 *
 * @category conversions
 * @since 0.1.0
 */
export const page = (openapi: object): string => {
  const document = record(openapi)
  const info = record(document["info"])
  const operations = Object.entries(record(document["paths"])).flatMap(([path, methods]) =>
    Object.entries(record(methods)).map(([method, value]) => ({ method, path, value: record(value) }))
  )
  const tags = new Map<string, Array<string>>()
  for (const { method, path, value } of operations) {
    const tag = text(list(value["tags"])[0]) || "operations"
    const found = tags.get(tag) ?? []
    tags.set(tag, found)
    found.push(operation(method, path, value))
  }
  const schemas = Object.entries(record(record(document["components"])["schemas"])).map(([name, schema]) =>
    `<details id="${idOf(name)}"><summary><code>${escape(name)}</code></summary><p>${
      escape(text(record(schema)["description"]))
    }</p><p>${kindOf(schema)}</p>${fields(schema)}</details>`
  )
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${
    escape(text(info["title"]))
  }</title><style>${style}</style></head><body><h1>${escape(text(info["title"]))}</h1><p>${
    escape(text(info["description"]))
  }</p><p>Version ${escape(text(info["version"]))}. As a document: <a href="/openapi.json">/openapi.json</a></p>${
    Array.from(tags, ([tag, all]) => `<h2>${escape(tag)}</h2>${all.join("")}`).join("")
  }<h2>Schemas</h2>${schemas.join("")}</body></html>
`
}
