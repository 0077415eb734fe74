/**
 * Limits that come with an ALLOW: "yes, but at most so many tokens, and only these tools".
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `Caps`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const ToolName = Schema.String.check(Schema.isMaxCodePoints(256))

/**
 * Limits that come with an ALLOW_WITH_CAPS. Every field is optional; an absent field limits nothing.
 *
 * - `maxTokens`: most tokens this action may produce
 * - `maxStepsRemaining`: how many more steps the agent may take
 * - `toolAllowlist`, `toolDenylist`: see {@link isToolAllowed}
 * - `cooldownMs`: how long to wait before the next action
 *
 * @category models
 * @since 0.1.0
 */
export const Caps = Schema.Struct({
  maxTokens: Schema.optionalKey(Schema.Natural),
  maxStepsRemaining: Schema.optionalKey(Schema.Natural),
  toolAllowlist: Schema.optionalKey(Schema.Array(ToolName)),
  toolDenylist: Schema.optionalKey(Schema.Array(ToolName)),
  cooldownMs: Schema.optionalKey(Schema.Natural)
}).pipe(Schema.encodeKeys({
  maxTokens: "max_tokens",
  maxStepsRemaining: "max_steps_remaining",
  toolAllowlist: "tool_allowlist",
  toolDenylist: "tool_denylist",
  cooldownMs: "cooldown_ms"
}))

/**
 * @category models
 * @since 0.1.0
 */
export interface Caps extends Schema.Schema.Type<typeof Caps> {}

/**
 * Whether a tool may be used.
 *
 * A non-empty allowlist decides alone, and the denylist is ignored; otherwise everything but the denylist is allowed. Names
 * are compared exactly, case included. No caps, no restriction.
 *
 * Specification: schema `Caps`, PRECEDENCE RULES.
 *
 * **Example** (The allowlist wins)
 *
 * ```ts
 * import { Caps } from "effect-cycles"
 *
 * const caps: Caps.Caps = { toolAllowlist: ["web_search"], toolDenylist: ["web_search"] }
 *
 * console.log(Caps.isToolAllowed(caps, "web_search")) // => true
 * console.log(Caps.isToolAllowed(caps, "shell")) // => false
 * ```
 *
 * @category predicates
 * @since 0.1.0
 */
export const isToolAllowed = (caps: Caps | undefined, tool: string): boolean => {
  if (caps === undefined) return true
  if (caps.toolAllowlist !== undefined && caps.toolAllowlist.length > 0) return caps.toolAllowlist.includes(tool)
  return caps.toolDenylist === undefined || !caps.toolDenylist.includes(tool)
}

/**
 * The number of tokens to ask a model for: what you wanted, or the cap where it is lower.
 *
 * @category combinators
 * @since 0.1.0
 */
export const clampTokens = (caps: Caps | undefined, wanted: number): number =>
  caps?.maxTokens === undefined ? wanted : Math.min(wanted, caps.maxTokens)

/**
 * Whether this is the last step the agent may take, so that it can stop exploring and answer.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isLastStep = (caps: Caps | undefined): boolean =>
  caps?.maxStepsRemaining !== undefined && caps.maxStepsRemaining <= 1

/**
 * How long to wait before the next action; zero when no cooldown was asked for.
 *
 * @category getters
 * @since 0.1.0
 */
export const cooldown = (caps: Caps | undefined): Duration.Duration => Duration.millis(caps?.cooldownMs ?? 0)

/**
 * The caps of a reservation do not allow this tool.
 *
 * @category errors
 * @since 0.1.0
 */
export class ToolNotAllowed
  extends Schema.TaggedError<ToolNotAllowed>("effect-cycles/ToolNotAllowed")("ToolNotAllowed", {
    tool: Schema.String
  })
{
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  override get message(): string {
    return `The tool "${this.tool}" is not allowed. Choose one the caps allow, or go on without it.`
  }
}

/**
 * Fails where the caps do not allow a tool, and does nothing otherwise.
 *
 * @category combinators
 * @since 0.1.0
 */
export const enforceTool = (caps: Caps | undefined, tool: string): Effect.Effect<void, ToolNotAllowed> =>
  isToolAllowed(caps, tool) ? Effect.void : Effect.fail(new ToolNotAllowed({ tool }))

/**
 * Waits as long as the caps ask for before the next action.
 *
 * @category combinators
 * @since 0.1.0
 */
export const awaitCooldown = (caps: Caps | undefined): Effect.Effect<void> =>
  caps?.cooldownMs === undefined || caps.cooldownMs === 0 ? Effect.void : Effect.sleep(cooldown(caps))

/** No list says "no tool at all", for an empty one restricts nothing; this one names a tool there is not. */
const noTool: ReadonlyArray<string> = [""]

const least = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b)

/**
 * The caps that limit whatever either of two limits: the fewer tokens and steps, the longer cooldown, and only the tools both
 * allow.
 *
 * Where no tool is left, the allowlist holds the empty name alone, which no tool has.
 *
 * **Example** (Only what both allow)
 *
 * ```ts
 * import { Caps } from "effect-cycles"
 *
 * const caps = Caps.strictest(
 *   { maxTokens: 4_000, toolAllowlist: ["web_search", "read_cache"] },
 *   { maxTokens: 500, toolDenylist: ["web_search"] }
 * )
 *
 * console.log(caps) // => { maxTokens: 500, toolAllowlist: [ "read_cache" ] }
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const strictest = (a: Caps, b: Caps): Caps => {
  const maxTokens = least(a.maxTokens, b.maxTokens)
  const maxStepsRemaining = least(a.maxStepsRemaining, b.maxStepsRemaining)
  const cooldownMs = Math.max(a.cooldownMs ?? 0, b.cooldownMs ?? 0)
  return {
    ...(maxTokens === undefined ? undefined : { maxTokens }),
    ...(maxStepsRemaining === undefined ? undefined : { maxStepsRemaining }),
    ...toolsOf(a, b),
    ...(cooldownMs === 0 ? undefined : { cooldownMs })
  }
}

const toolsOf = (a: Caps, b: Caps): Pick<Caps, "toolAllowlist" | "toolDenylist"> => {
  const list = hasAllowlist(a) ? a.toolAllowlist : hasAllowlist(b) ? b.toolAllowlist : undefined
  if (list === undefined) {
    const denied = new Set([...a.toolDenylist ?? [], ...b.toolDenylist ?? []])
    return denied.size === 0 ? {} : { toolDenylist: Array.from(denied) }
  }
  const both = list.filter((tool) => isToolAllowed(a, tool) && isToolAllowed(b, tool))
  return { toolAllowlist: both.length === 0 ? noTool : both }
}

const hasAllowlist = (caps: Caps): caps is Caps & { readonly toolAllowlist: ReadonlyArray<string> } =>
  caps.toolAllowlist !== undefined && caps.toolAllowlist.length > 0
