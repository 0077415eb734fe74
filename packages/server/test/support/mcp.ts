/** `cycles mcp` as a process of its own, and the official client in front of it. */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Processes from "./processes.ts"

/** Something a test looks into by name. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Json = { readonly [name: string]: any }

/** What a tool answered: its document, its lines of text, and whether it failed. */
export interface Answer {
  readonly failed: boolean
  readonly document: Json
  readonly lines: ReadonlyArray<string>
}

export interface Connected {
  readonly client: Client
  readonly call: (name: string, parameters: Json) => Effect.Effect<Answer>
}

/** The client was not let in, or did not understand what it was told. */
export class NotConnected extends Data.TaggedError("NotConnected")<{ readonly message: string }> {}

const connect = (transport: Transport): Effect.Effect<Connected, NotConnected, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          const client = new Client({ name: "test", version: "1" })
          await client.connect(transport)
          return client
        },
        catch: (cause) => new NotConnected({ message: String(cause) })
      }),
      (client) => Effect.promise(() => client.close())
    ),
    (client) => ({
      client,
      call: (name, parameters) =>
        Effect.promise(async () => {
          const { content, isError, structuredContent } = await client.callTool({
            name,
            arguments: { ...parameters }
          }) as CallToolResult
          return {
            failed: isError === true,
            document: structuredContent ?? {},
            lines: content.map((block) => block.type === "text" ? block.text : block.type)
          }
        })
    })
  )

/** Starts `cycles mcp` with these arguments and speaks to it over its standard streams. */
export const stdio = Effect.fnUntraced(function*(
  args: ReadonlyArray<string>,
  variables: { readonly [name: string]: string } = {}
) {
  const script = yield* Processes.program
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [script, "mcp", ...args],
    env: { PATH: process.env["PATH"] ?? "", ...variables },
    stderr: "pipe"
  })
  let log = ""
  transport.stderr?.on("data", (chunk) => log += String(chunk))
  const connected = yield* connect(transport)
  return { ...connected, log: () => log, pid: transport.pid ?? 0 }
})

/** Speaks to a server that listens at this address. */
export const http = (url: string, token?: string): Effect.Effect<Connected, NotConnected, Scope.Scope> =>
  connect(
    // The SDK's types leave `undefined` out where it is given.
    new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
      requestInit: { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } }
    }) as Transport
  )

/** `cycles mcp` that listens on a free port. */
export const listening = Effect.fnUntraced(function*(
  args: ReadonlyArray<string>,
  variables: { readonly [name: string]: string } = {}
) {
  const child = yield* Processes.run(["mcp", "--transport", "http", "--port", "0", ...args], variables)
  const url = () => /MCP at (\S+)\/mcp/.exec(child.err())?.[1]
  yield* Processes.until("it listens", () => url() !== undefined || child.process.exitCode !== null)
  return { ...child, url: url() ?? `nowhere: ${child.err()}` }
})
