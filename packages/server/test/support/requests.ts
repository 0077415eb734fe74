/** Requests over a socket, with `fetch`. */
import * as Server from "@effect-cycles/server/Server"
import * as Effect from "effect/Effect"

export interface Asked {
  readonly body?: unknown
  readonly key?: string
  readonly adminKey?: string
  readonly headers?: { readonly [name: string]: string }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // A test looks only at what it sent for.
  readonly body: { readonly [name: string]: any }
}

/** Asks a server anywhere. */
export const sendTo = (url: string, method: string, path: string, asked: Asked = {}): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const { adminKey, body, headers, key } = asked
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
