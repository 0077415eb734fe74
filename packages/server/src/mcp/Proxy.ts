/**
 * Another MCP server behind a budget: what it offers is offered, and each call of a tool is reserved before it is passed on.
 *
 * @internal
 */
import * as McpGuard from "@effect-cycles/ai/McpGuard"
import type { Budget } from "effect-cycles/runtime/Budget"
import * as McpClient from "effect/ai/McpClient"
import type { McpClientError } from "effect/ai/McpClientError"
import * as McpProtocol from "effect/ai/McpProtocol"
import * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import type * as Scope from "effect/Scope"
import { version } from "../cli/version.ts"
import type { Served } from "./Transport.ts"

/** What the guarded server knows of the environment: all but what is ours, for it is not to have the keys of its own budget. */
const environment = (): { readonly [name: string]: string } =>
  Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined || name.startsWith("CYCLES_") ? [] : [[name, value]]
    )
  )

/** Starts a server and speaks to it; it ends with the scope. What it logs goes where this process logs. */
export const connect = Effect.fnUntraced(function*(
  command: string,
  args: ReadonlyArray<string>
): Effect.fn.Return<McpClient.McpClient, McpClientError, Scope.Scope | ChildProcessSpawner> {
  const transport = yield* McpClient.stdio({
    command: ChildProcess.make(command, args, { stderr: "inherit", env: environment() }),
    protocol: McpProtocol.v2025_11_25
  })
  return yield* Effect.provideService(
    McpClient.make({ name: "cycles-guard", title: "Cycles guard", version }),
    McpClient.Transport,
    transport
  )
})

const failed = (error: McpClientError): McpSchema.CallToolResult =>
  new McpSchema.CallToolResult({
    isError: true,
    content: [{ type: "text", text: `The guarded server did not answer: ${error.message}` }]
  })

const internal = (error: McpClientError): McpSchema.InternalError =>
  new McpSchema.InternalError({ message: `The guarded server did not answer: ${error.message}` })

const none = Context.empty()

/** What a server offers, with its tools behind the budget around. */
export const make = Effect.fnUntraced(function*(
  inner: McpClient.McpClient,
  options: McpGuard.Options
): Effect.fn.Return<Served, McpClientError, Budget> {
  const guarded = yield* McpGuard.client(inner, options)
  const tools = yield* guarded.listTools()
  const prompts = yield* guarded.listPrompts()
  const resources = yield* guarded.listResources()
  const register = Effect.gen(function*() {
    const server = yield* McpServer.McpServer
    for (const tool of tools) {
      yield* server.addTool({
        tool,
        annotations: none,
        handle: (given) =>
          guarded.callTool({ tool, arguments: given ?? {} }).pipe(
            Effect.catch((error) => Effect.succeed(failed(error)))
          )
      })
    }
    for (const prompt of prompts) {
      yield* server.addPrompt({
        prompt,
        annotations: none,
        completions: {},
        handle: (given) => Effect.mapError(guarded.getPrompt({ prompt, arguments: given }), internal)
      })
    }
    for (const resource of resources) {
      yield* server.addResource({
        resource,
        annotations: none,
        handle: Effect.mapError(guarded.readResource({ uri: resource.uri }), internal)
      })
    }
  })
  return {
    name: inner.serverInfo?.name ?? "guarded",
    instructions: [
      inner.instructions,
      "Calls of these tools need budget. A denied one was not made: do not repeat it unchanged, go on without it or say so."
    ].filter((text) => text !== undefined).join("\n\n"),
    register
  }
})
