/**
 * Tools behind a budget: narrowed to what the caps allow, and guarded one by one.
 *
 * A toolkit that is {@link narrow}ed has no tool the caps do not allow, so that the model is never told of it. A budgeted model
 * does that by itself. {@link guard} reserves for every call of a tool, as in risk points, before its handler runs.
 *
 * **Example** (E-mails cost risk)
 *
 * ```ts
 * import { BudgetedToolkit } from "@effect-cycles/ai"
 * import { Effect, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Amount } from "effect-cycles"
 *
 * const toolkit = Toolkit.make(
 *   Tool.make("search", { parameters: Schema.Struct({ query: Schema.String }), success: Schema.String }),
 *   Tool.make("send_email", { parameters: Schema.Struct({ to: Schema.String }), success: Schema.String })
 * )
 *
 * // What to give `LanguageModel.generateText` as its toolkit.
 * export const guarded = BudgetedToolkit.guard(toolkit, {
 *   cost: (tool) => Amount.riskPoints(tool.name === "send_email" ? 40 : 1),
 *   onDenied: "return"
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Action from "effect-cycles/protocol/Action"
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import * as Caps from "effect-cycles/protocol/Caps"
import { ToolNotAllowed } from "effect-cycles/protocol/Caps"
import * as Budget from "effect-cycles/runtime/Budget"
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as Ambient from "./Ambient.ts"
import type { Denial } from "./Denial.ts"
import * as Denials from "./Denial.ts"

// ---------------------------------------------------------------------------------------------------------------------
// caps
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The toolkit without the tools that caps do not allow. A model that is given it is not told of them, and a call of one is the toolkit's
 * own `ToolNotFoundError`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const narrow = <Tools extends Record<string, Tool.Any>>(
  toolkit: Toolkit.WithHandler<Tools>,
  caps: Caps.Caps | undefined
): Toolkit.WithHandler<Tools> => {
  const names = Object.keys(toolkit.tools)
  const allowed = names.filter((name) => Caps.isToolAllowed(caps, name))
  if (allowed.length === names.length) return toolkit
  const tools = Object.fromEntries(allowed.map((name) => [name, toolkit.tools[name]]))
  return {
    ...toolkit,
    // Fewer than the type says, which only matters to who asks for one by name: the model asks for those it is told of.
    tools: tools as Tools,
    handle: (name, ...rest) =>
      allowed.includes(String(name))
        ? toolkit.handle(name, ...rest)
        : Effect.fail(AiError.make({
          module: "BudgetedToolkit",
          method: `${String(name)}.handle`,
          reason: new AiError.ToolNotFoundError({ toolName: String(name), availableTools: allowed })
        }))
  }
}

/**
 * A choice of tools without those that caps do not allow. Fails with `ToolNotAllowed` where the model would have to use one of them.
 *
 * @category combinators
 * @since 0.1.0
 */
export const narrowChoice = <Name extends string>(
  choice: LanguageModel.ToolChoice<Name>,
  caps: Caps.Caps | undefined
): Effect.Effect<LanguageModel.ToolChoice<Name>, ToolNotAllowed> => {
  if (typeof choice === "string") return Effect.succeed(choice)
  if ("tool" in choice) return Effect.as(Caps.enforceTool(caps, choice.tool), choice)
  const oneOf = choice.oneOf.filter((tool) => Caps.isToolAllowed(caps, tool))
  return oneOf.length === 0 && choice.mode === "required"
    ? Effect.fail(new ToolNotAllowed({ tool: choice.oneOf.join(", ") }))
    : Effect.succeed({ ...choice, oneOf })
}

// ---------------------------------------------------------------------------------------------------------------------
// guards
// ---------------------------------------------------------------------------------------------------------------------

/**
 * - `cost`: what a call of a tool is charged, from its parameters as the model wrote them; `undefined` for a tool that needs no budget
 * - `kind`: the kind of the action; its name is the tool's. `tool.call` when not given
 * - `onDenied`: what a denial is to the model: `return`, a failed result that says why and what may be done, so that it can go
 *   on without; or `raise`, the end of its call. `return` when not given
 * - `onFailure`: what a call costs whose handler failed or was interrupted: what it was to cost (`commit`), since it may have done
 *   something, or nothing (`release`). `commit` when not given. A call whose parameters were refused costs nothing
 * - `request`: further fields of each reservation
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly cost: (tool: Tool.Any, parameters: unknown) => AnyAmount | undefined
  readonly kind?: string | undefined
  readonly onDenied?: "return" | "raise" | undefined
  readonly onFailure?: "commit" | "release" | undefined
  readonly request?: Omit<Budget.Request<never>, "action" | "estimate" | "onUnsettled"> | undefined
}

/** What a handler failed with, told apart from what its guard does. */
interface HandlerFailed<E> {
  readonly _tag: "HandlerFailed"
  readonly error: E
}

const handlerFailed = <E>(error: E): HandlerFailed<E> => ({ _tag: "HandlerFailed", error })

interface AnyResult {
  readonly isFailure: boolean
  readonly failureOrigin?: Tool.FailureOrigin
}

/** Whether a call did not come as far as its handler. */
const wasRefused = (last: AnyResult | undefined, exit: Exit.Exit<unknown, unknown>): boolean => {
  if (last?.failureOrigin === "parameters") return true
  if (Exit.isSuccess(exit)) return false
  const failed = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (!Predicate.isTagged(failed, "HandlerFailed") || !Predicate.hasProperty(failed, "error")) return false
  return AiError.isAiError(failed.error) &&
    (failed.error.reason._tag === "ToolParameterValidationError" || failed.error.reason._tag === "ToolNotFoundError")
}

/**
 * A toolkit whose tools are guarded: before a handler runs its cost is reserved, and charged when it has run. Tools that the caps of
 * that reservation do not allow are denied.
 *
 * Give it to a model in place of the toolkit, or to whoever calls tools by hand.
 *
 * @category combinators
 * @since 0.1.0
 */
export const guard = <Tools extends Record<string, Tool.Any>, E, R>(
  toolkit: Effect.Effect<Toolkit.WithHandler<Tools>, E, R>,
  options: Options
): Effect.Effect<Toolkit.WithHandler<Tools>, E, R | Budget.Budget> =>
  Effect.gen(function*() {
    const inner = yield* toolkit
    const budget = yield* Budget.Budget
    const handle: Toolkit.WithHandler<Tools>["handle"] = (name, parameters, ...rest) => {
      const tool = Object.hasOwn(inner.tools, name) ? inner.tools[name] : undefined
      const cost = tool === undefined ? undefined : options.cost(tool, parameters)
      if (tool === undefined || cost === undefined) return inner.handle(name, parameters, ...rest)
      type Result = Tool.HandlerResult<Tools[typeof name]>
      const guarded = Budget.guardStream<Unit, Result, HandlerFailed<unknown>, unknown, AnyResult | undefined>({
        ...options.request,
        action: Action.make(options.kind ?? "tool.call", String(name)),
        estimate: cost,
        enforceCaps: true
      }, {
        stream: () => Stream.unwrap(inner.handle(name, parameters, ...rest)).pipe(Stream.mapError(handlerFailed)),
        meter: { initial: undefined, step: (_, result) => result },
        settle: (r, last, exit) =>
          wasRefused(last, exit) ||
            (options.onFailure === "release" && (Exit.isFailure(exit) || last?.isFailure === true))
            ? r.release()
            : r.commit(cost)
      })
      const denied = (denial: Denial): Stream.Stream<Result, AiError.AiError> => {
        const error = Denials.toAiError(denial, `${String(name)}.handle`)
        return options.onDenied === "raise"
          ? Stream.fail(error)
          // A tool's failures have a type of their own, in which there is no room for a denial; the model reads `encodedResult`.
          : Stream.succeed(
            { result: error, encodedResult: Denials.told(denial), isFailure: true, preliminary: false } as Result
          )
      }
      const answered = guarded.pipe(
        Stream.catch((error) => error._tag === "HandlerFailed" ? Stream.fail(error.error) : denied(error)),
        Ambient.provideStream(budget)
      )
      // What the handler fails with and needs went through unchanged.
      return Effect.succeed(answered) as unknown as ReturnType<typeof inner.handle>
    }
    return { ...inner, handle }
  })
