/**
 * What `cycles mcp` serves.
 *
 * @internal
 */
import * as McpGuard from "@effect-cycles/ai/McpGuard"
import type { AnyAmount } from "effect-cycles/protocol/Amount"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Budget from "effect-cycles/runtime/Budget"
import type { McpClientError } from "effect/ai/McpClientError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import type * as Scope from "effect/Scope"
import * as Prompts from "./Prompts.ts"
import * as Proxy from "./Proxy.ts"
import * as Resources from "./Resources.ts"
import * as Tools from "./Tools.ts"
import type { Served } from "./Transport.ts"

export { http, stdio } from "./Transport.ts"

/** Budgets as tools. */
export const offered = (options: Tools.Options): Served => ({
  name: "cycles",
  instructions:
    "Budgets for what costs. Before an action that costs call cycles_reserve, and do it only where that is allowed; " +
    "afterwards call cycles_commit with what it cost, or cycles_release. Read cycles://docs/quickstart first.",
  register: Effect.all([Tools.register(options), Resources.register(options), Prompts.register], { discard: true })
})

/** Another server's tools behind a budget; the server runs as long as the scope. */
export const guarded = Effect.fnUntraced(function*(options: {
  readonly authority: Operations
  readonly subject: Subject
  readonly command: ReadonlyArray<string>
  readonly rules: ReadonlyArray<readonly [pattern: string, cost: AnyAmount]>
  readonly otherwise: AnyAmount
  readonly kind: string
  readonly onFailure: "commit" | "release"
}): Effect.fn.Return<Served, McpClientError, Scope.Scope | ChildProcessSpawner> {
  const [command = "", ...args] = options.command
  // The budget is made first, so that it ends last: what is held is settled when the server is gone.
  const budget = yield* Layer.build(
    Layer.provide(
      Budget.layer({ subject: options.subject }),
      Layer.succeed(BudgetAuthority, options.authority)
    )
  )
  const inner = yield* Proxy.connect(command, args)
  return yield* Effect.provideContext(
    Proxy.make(inner, {
      cost: McpGuard.costs(options.rules, options.otherwise),
      kind: options.kind,
      onFailure: options.onFailure
    }),
    budget
  )
})
