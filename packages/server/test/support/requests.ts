/** Requests over a socket, with `fetch`. */
import * as Server from "@effect-cycles/server/Server"
import type { WireSpecification } from "@effect-cycles/testing"
import * as Effect from "effect/Effect"
import { watch } from "./watch.ts"

export interface Asked {
  readonly body?: unknown
  readonly key?: string
  readonly adminKey?: string
  readonly headers?: { readonly [name: string]: string }
  /** Whose words the answer is in where both planes have the operation; the runtime's when not given. */
  readonly plane?: WireSpecification.Plane
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // A test looks only at what it sent for.
  readonly body: { readonly [name: string]: any }
}

/** Asks a server anywhere; what it answers is held to the specification. */
export const sendTo = (url: string, method: string, path: string, asked: Asked = {}): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const { adminKey, body, headers, key, plane } = asked
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(key === undefined ? undefined : { "x-cycles-api-key": key }),
        ...(adminKey === undefined ? undefined : { "x-admin-api-key": adminKey }),
        ...(body === undefined ? undefined : { "content-type": "application/json" }),
        ...headers
      },
      ...(body === undefined ? undefined : { body: typeof body === "string" ? body : JSON.stringify(body) })
    })
    const text = await response.text()
    watch.seen({
      method,
      path,
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: text,
      ...(plane === undefined ? undefined : { plane })
    })
    const isJson = response.headers.get("content-type")?.startsWith("application/json") === true
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : {} }
  })

/** Asks the server of the test. */
export const send = (method: string, path: string, asked?: Asked): Effect.Effect<Answer, never, Server.Server> =>
  Effect.flatMap(Server.Server, ({ url }) => sendTo(url, method, path, asked))

let keys = 0

/** The body of a reserve of so many tokens. */
export const reserve = (amount: number, change?: { readonly [name: string]: unknown }) => ({
  idempotency_key: `reserve-${keys++}`,
  subject: { agent: "bot" },
  action: { kind: "llm.completion", name: "gpt-4o" },
  estimate: { unit: "TOKENS", amount },
  ...change
})

/** The body of a commit of so many tokens. */
export const commit = (amount: number) => ({
  idempotency_key: `commit-${keys++}`,
  actual: { unit: "TOKENS", amount }
})
