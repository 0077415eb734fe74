/**
 * The tools of an MCP server behind a budget: every call is reserved before it is sent, and charged when it was answered.
 *
 * {@link client} guards a connection; whoever has it can call no tool without budget. {@link toolkit} makes of a connection what a
 * model is given. To guard a server from outside of its client there is the command `cycles mcp --guard`.
 *
 * **Example** (A model with the tools of a server)
 *
 * ```ts
 * import { McpGuard } from "@effect-cycles/ai"
 * import { Effect } from "effect"
 * import { McpClient } from "effect/ai"
 * import { Amount } from "effect-cycles"
 *
 * // What to give `LanguageModel.generateText` as its toolkit.
 * export const tools = Effect.gen(function*() {
 *   const connection = yield* McpClient.McpClient
 *   return yield* McpGuard.toolkit(connection, {
 *     cost: McpGuard.costs([["send_*", Amount.riskPoints(40)]], Amount.riskPoints(1))
 *   })
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Action from "effect-cycles/protocol/Action"
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import * as Budget from "effect-cycles/runtime/Budget"
import * as McpClient from "effect/ai/McpClient"
import * as McpClientError from "effect/ai/McpClientError"
import * as McpSchema from "effect/ai/McpSchema"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Ambient from "./Ambient.ts"
import * as BudgetedToolkit from "./BudgetedToolkit.ts"
import { type Denial, told } from "./Denial.ts"

/**
 * - `cost`: what a call of a tool is charged, from what its server says of it and its arguments; `undefined` for a tool that needs no
 *   budget. {@link costs} makes one of patterns
 * - `kind`: the kind of the action; its name is the tool's. `tool.call` when not given
 * - `onFailure`: what a call costs that failed, was interrupted or answered with an error: what it was to cost (`commit`), since it
 *   may have done something, or nothing (`release`). `commit` when not given. A call that did not match the tool's parameters costs
 *   nothing where the server says so by the code of JSON-RPC
 * - `request`: further fields of each reservation
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly cost: (tool: McpSchema.Tool, parameters: unknown) => AnyAmount | undefined
  readonly kind?: string | undefined
  readonly onFailure?: "commit" | "release" | undefined
  readonly request?: BudgetedToolkit.Options["request"]
}

const matcher = (pattern: string): RegExp =>
  new RegExp(`^${pattern.split("*").map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, "\\$&")).join(".*")}$`, "su")

/**
 * What tools cost by their names: that of the first pattern that matches, in which `*` stands for anything, or `otherwise`. A tool
 * that costs 0 needs no budget.
 *
 * **Example** (What acts costs more)
 *
 * ```ts
 * import { McpGuard } from "@effect-cycles/ai"
 * import { Amount } from "effect-cycles"
 *
 * const cost = McpGuard.costs(
 *   [["send_*", Amount.riskPoints(40)], ["read_*", Amount.riskPoints(0)]],
 *   Amount.riskPoints(1)
 * )
 * const tool = (name: string) => ({ name, inputSchema: { type: "object" } as const })
 *
 * console.log(cost(tool("send_mail"), {})?.amount) // => 40n
 * console.log(cost(tool("read_mail"), {})) // => undefined
 * console.log(cost(tool("search"), {})?.amount) // => 1n
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const costs = (
  rules: ReadonlyArray<readonly [pattern: string, cost: AnyAmount]>,
  otherwise: AnyAmount
): Options["cost"] => {
  const compiled = rules.map(([pattern, cost]) => [matcher(pattern), cost] as const)
  return ({ name }) => {
    const cost = compiled.find(([pattern]) => pattern.test(name))?.[1] ?? otherwise
    return cost.amount === 0n ? undefined : cost
  }
}

/** The code of JSON-RPC for parameters that are not what they have to be. */
const INVALID_PARAMS = -32_602

const wasRefused = ({ reason }: McpClientError.McpClientError): boolean =>
  reason._tag === "UnsupportedError" || (reason._tag === "ProtocolError" && reason.code === INVALID_PARAMS)

/**
 * What a model is told of a denial: the failed result of the call, that says why and what may be done. Its `_meta` has the denial for
 * programs, under `effect-cycles/denial`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toResult = (denial: Denial): McpSchema.CallToolResult =>
  new McpSchema.CallToolResult({
    isError: true,
    content: [{ type: "text", text: denial.message }],
    _meta: { "effect-cycles/denial": told(denial) }
  })

/**
 * A connection whose calls of tools are guarded: before one is sent its cost is reserved, and charged when it was answered. A denied
 * one is not sent; it is answered with a failed result, see {@link toResult}, or fails with a `ToolError` that has it where the result
 * was to be decoded. Tools that the caps of the reservation do not allow are denied.
 *
 * @category combinators
 * @since 0.1.0
 */
export const client = (
  inner: McpClient.McpClient,
  options: Options
): Effect.Effect<McpClient.McpClient, never, Budget.Budget> =>
  Effect.map(Budget.Budget, (budget) => {
    const failsFree = options.onFailure === "release"

    const guarded = (
      cost: AnyAmount,
      tool: McpSchema.Tool,
      call: Effect.Effect<unknown, McpClientError.McpClientError>
    ): Effect.Effect<unknown, McpClientError.McpClientError | Budget.GuardError> =>
      Budget.guard<Unit, Answer, never, never, never>({
        ...options.request,
        action: Action.make(options.kind ?? "tool.call", tool.name),
        estimate: cost,
        enforceCaps: true,
        onUnsettled: failsFree ? "release" : "commitEstimate"
      }, (r) =>
        Effect.match(call, {
          onSuccess: (value) =>
            failsFree && isFailed(value) ? r.release<Answer>({ value }) : r.commit<Answer>(cost, { value }),
          onFailure: (error) =>
            failsFree || wasRefused(error) ? r.release<Answer>({ error }) : r.commit<Answer>(cost, { error })
        })).pipe(
          Effect.flatMap((answer) => "error" in answer ? Effect.fail(answer.error) : Effect.succeed(answer.value)),
          Ambient.provide(budget)
        )

    const callTool = (
      params: Parameters<McpClient.McpClient["callTool"]>[0] & { readonly schema?: Schema.Top | undefined },
      callOptions?: Parameters<McpClient.McpClient["callTool"]>[1]
    ): Effect.Effect<unknown, McpClientError.McpClientError, unknown> =>
      Effect.contextWith((context) => {
        const cost = options.cost(params.tool, params.arguments ?? {})
        const call = Effect.provideContext(inner.callTool<Schema.Top>(params, callOptions), context)
        if (cost === undefined) return call
        return Effect.catch(guarded(cost, params.tool, call), (error) => {
          if (error._tag === "McpClientError") return Effect.fail(error)
          const result = toResult(error)
          return params.schema === undefined
            ? Effect.succeed(result)
            : Effect.fail(
              new McpClientError.McpClientError({ reason: new McpClientError.ToolError({ result }) })
            )
        })
      })

    // Its two forms differ in what they give for which parameters, which is what the guarded one is called with unchanged.
    return { ...inner, callTool: callTool as unknown as McpClient.McpClient["callTool"] }
  })

/** What came of a call that was sent. */
type Answer = { readonly value: unknown } | { readonly error: McpClientError.McpClientError }

const isFailed = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "isError" in value && value.isError === true

/**
 * The tools of a server as a toolkit for a model, guarded by `BudgetedToolkit.guard`. A denial is a failed result that the model goes
 * on with, unless `onDenied` is `raise`. With a `prefix` the model knows the tools by names that begin with it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toolkit = Effect.fnUntraced(function*(
  connection: McpClient.McpClient,
  options: Options & {
    readonly prefix?: string | undefined
    readonly onDenied?: BudgetedToolkit.Options["onDenied"]
  }
): Effect.fn.Return<
  Toolkit.WithHandler<Effect.Success<ReturnType<typeof McpClient.toolkit>>["tools"]>,
  McpClientError.McpClientError,
  Budget.Budget
> {
  const { cost, prefix = "", ...rest } = options
  const listed = yield* connection.listTools()
  const known = new Map(listed.map((tool) => [`${prefix}${tool.name}`, tool]))
  const plain = McpClient.toolkit({ ...connection, listTools: () => Effect.succeed(listed) }, prefix)
  return yield* BudgetedToolkit.guard(plain, {
    ...rest,
    cost: ({ name }: Tool.Any, parameters) => {
      const tool = known.get(name)
      return tool === undefined ? undefined : cost(tool, parameters)
    }
  })
})
