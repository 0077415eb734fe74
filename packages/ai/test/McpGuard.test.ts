import * as McpGuard from "@effect-cycles/ai/McpGuard"
import * as NoLeaks from "@effect-cycles/testing/NoLeaks"
import { assert, describe, it } from "@effect/vitest"
import { Amount, Budget, Ledger } from "effect-cycles"
import * as McpClient from "effect/ai/McpClient"
import * as McpClientError from "effect/ai/McpClientError"
import * as McpSchema from "effect/ai/McpSchema"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { balance } from "./support.ts"

const send = new McpSchema.Tool({ name: "send_mail", inputSchema: { type: "object" } })
const read = new McpSchema.Tool({ name: "read_mail", inputSchema: { type: "object" } })

const answer = (text: string, isError = false) =>
  new McpSchema.CallToolResult({ isError, content: [{ type: "text", text }], structuredContent: { text } })

const failing = (reason: McpClientError.McpClientError["reason"]) =>
  Effect.fail(new McpClientError.McpClientError({ reason }))

/** A connection that answers as it is told to, and counts what it was asked. */
const makeConnection = () => {
  const asked: Array<string> = []
  const connection = {
    answer: Effect.succeed(answer("done")) as Effect.Effect<McpSchema.CallToolResult, McpClientError.McpClientError>
  }
  const inner = {
    listTools: () => Effect.succeed([send, read]),
    callTool: ({ schema, tool }: { readonly tool: McpSchema.Tool; readonly schema?: Schema.Top }) =>
      Effect.suspend((): Effect.Effect<unknown, McpClientError.McpClientError> => {
        asked.push(tool.name)
        return schema === undefined
          ? connection.answer
          : Effect.map(connection.answer, ({ structuredContent }) => structuredContent)
      })
    // What no test asks for is not there.
  } as unknown as McpClient.McpClient
  return Object.assign(connection, { asked, inner })
}

const cost = McpGuard.costs([["send_*", Amount.riskPoints(40)], ["read_*", Amount.riskPoints(0)]], Amount.riskPoints(1))

const setting = Budget.layer().pipe(
  Layer.provideMerge(
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.riskPoints(100) }] })
  )
)

const standing = Effect.map(balance("RISK_POINTS"), ({ reserved, spent }) => [spent, reserved])

describe("McpGuard.costs", () => {
  it("takes the first pattern that matches, in which nothing but a star stands for something else", () => {
    const cost = McpGuard.costs([
      ["a.b", Amount.tokens(1)],
      ["a*b", Amount.tokens(2)],
      ["*", Amount.tokens(3)]
    ], Amount.tokens(4))
    const of = (name: string) => cost({ name, inputSchema: { type: "object" } }, {})?.amount
    assert.deepStrictEqual(["a.b", "axb", "a\nb", "ab", "xab", "abx"].map(of), [1n, 2n, 2n, 2n, 3n, 3n])
    assert.strictEqual(McpGuard.costs([], Amount.tokens(4))(send, {})?.amount, 4n)
    assert.isUndefined(McpGuard.costs([], Amount.tokens(0))(send, {}))
  })
})

describe("McpGuard.client", () => {
  NoLeaks.effect("sends what has budget and charges it, and answers what has none", () =>
    Effect.gen(function*() {
      const { asked, inner } = makeConnection()
      const client = yield* McpGuard.client(inner, { cost })
      assert.deepStrictEqual(yield* client.callTool({ tool: send }), answer("done"))
      const decoded = yield* client.callTool({ tool: send, schema: Schema.Struct({ text: Schema.String }) })
      assert.deepStrictEqual(decoded, { text: "done" })
      const denied = yield* client.callTool({ tool: send })
      assert.isTrue(denied.isError)
      assert.include(JSON.stringify(denied.content), "requested 40, remaining 20")
      assert.propertyVal(denied._meta?.["effect-cycles/denial"], "error", "BudgetExceeded")
      const error = yield* Effect.flip(client.callTool({ tool: send, schema: Schema.Unknown }))
      assert.strictEqual(error.reason._tag, "ToolError")
      assert.deepStrictEqual(yield* client.callTool({ tool: read }), answer("done"))
      assert.deepStrictEqual(asked, ["send_mail", "send_mail", "read_mail"])
      assert.deepStrictEqual(yield* standing, [80n, 0n])
    }).pipe(Effect.provide(setting)))

  NoLeaks.effect("charges what failed, unless it was refused or failures are free", () =>
    Effect.gen(function*() {
      const connection = makeConnection()
      const client = yield* McpGuard.client(connection.inner, { cost: () => Amount.riskPoints(10) })
      const free = yield* McpGuard.client(connection.inner, { cost: () => Amount.riskPoints(10), onFailure: "release" })
      connection.answer = Effect.succeed(answer("no", true))
      assert.isTrue((yield* client.callTool({ tool: send })).isError)
      assert.deepStrictEqual(yield* standing, [10n, 0n])
      assert.isTrue((yield* free.callTool({ tool: send })).isError)
      assert.deepStrictEqual(yield* standing, [10n, 0n])
      connection.answer = failing(new McpClientError.TransportError({ description: "gone" }))
      assert.strictEqual((yield* Effect.flip(client.callTool({ tool: send }))).reason._tag, "TransportError")
      assert.deepStrictEqual(yield* standing, [20n, 0n])
      yield* Effect.flip(free.callTool({ tool: send }))
      assert.deepStrictEqual(yield* standing, [20n, 0n])
      connection.answer = failing(new McpClientError.ProtocolError({ code: -32_602, description: "to is missing" }))
      yield* Effect.flip(client.callTool({ tool: send }))
      assert.deepStrictEqual(yield* standing, [20n, 0n])
    }).pipe(Effect.provide(setting)))

  NoLeaks.effect("charges what was interrupted, for it may have done something", () =>
    Effect.gen(function*() {
      const connection = makeConnection()
      connection.answer = Effect.never
      const client = yield* McpGuard.client(connection.inner, { cost })
      const call = yield* Effect.forkChild(client.callTool({ tool: send }), { startImmediately: true })
      while (connection.asked.length === 0) yield* Effect.yieldNow
      yield* Fiber.interrupt(call)
      assert.deepStrictEqual(yield* standing, [40n, 0n])
    }).pipe(Effect.provide(setting)))
})

describe("McpGuard.toolkit", () => {
  NoLeaks.effect("is a toolkit whose denials are results", () =>
    Effect.gen(function*() {
      const { asked, inner } = makeConnection()
      const toolkit = yield* McpGuard.toolkit(inner, { cost, prefix: "mail__" })
      assert.deepStrictEqual(Object.keys(toolkit.tools), ["mail__send_mail", "mail__read_mail"])
      const call = (name: string) =>
        Effect.flatMap(toolkit.handle(name, {}), Stream.runCollect).pipe(Effect.map((results) => results.at(-1)))
      assert.include(yield* call("mail__send_mail"), { isFailure: false, encodedResult: "done" })
      yield* call("mail__send_mail")
      const denied = yield* call("mail__send_mail")
      assert.isTrue(denied?.isFailure)
      assert.propertyVal(denied?.encodedResult, "error", "BudgetExceeded")
      yield* call("mail__read_mail")
      assert.deepStrictEqual(asked, ["send_mail", "send_mail", "read_mail"])
      assert.deepStrictEqual(yield* standing, [80n, 0n])
    }).pipe(Effect.provide(setting)))
})
