/**
 * How strictly budget is asked for: the dials of a rollout, set by configuration and not by code.
 *
 * A new guard usually starts in `shadow`: every request is evaluated by a dry run, what would have happened is logged and
 * counted, and the work runs unguarded. Then `enforce`, first with a lenient overage policy, then with a strict one; action
 * kinds can be ahead of the rest by {@link Rule}s.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Schema from "effect/Schema"
import { OveragePolicy } from "../protocol/OveragePolicy.ts"

/**
 * - `enforce` (default): reserve, and do not run what is denied
 * - `shadow`: evaluate by a dry run, log and count the decision, run the work unguarded
 * - `off`: do not ask at all
 *
 * @category models
 * @since 0.1.0
 */
export const Mode = Schema.Literals(["enforce", "shadow", "off"])

/**
 * @category models
 * @since 0.1.0
 */
export type Mode = typeof Mode.Type

/**
 * What happens when the authority cannot be reached: `closed` (default) fails, `open` runs the work unguarded and logs a
 * warning. Every other failure, and every denial, fails either way.
 *
 * @category models
 * @since 0.1.0
 */
export const OnUnavailable = Schema.Literals(["closed", "open"])

/**
 * @category models
 * @since 0.1.0
 */
export type OnUnavailable = typeof OnUnavailable.Type

/**
 * What applies to some kinds of action instead of the general setting.
 *
 * @category models
 * @since 0.1.0
 */
export const Rule = Schema.Struct({
  mode: Schema.optionalKey(Mode),
  overagePolicy: Schema.optionalKey(OveragePolicy)
}).pipe(Schema.encodeKeys({ overagePolicy: "overage_policy" }))

/**
 * @category models
 * @since 0.1.0
 */
export interface Rule extends Schema.Schema.Type<typeof Rule> {}

/**
 * Rules by action-kind pattern: an exact kind, or a prefix ending in `*`. The longest pattern that matches applies.
 *
 * @category models
 * @since 0.1.0
 */
export type Rules = Readonly<Record<string, Rule>>

const matches = (pattern: string, kind: string): boolean =>
  pattern.endsWith("*") ? kind.startsWith(pattern.slice(0, -1)) : pattern === kind

/**
 * The rule for a kind of action, where there is one.
 *
 * **Example** (E-mail is enforced before the rest)
 *
 * ```ts
 * import { Mode } from "effect-cycles"
 *
 * const rules: Mode.Rules = { "*": { mode: "shadow" }, "message.*": { mode: "enforce" } }
 *
 * console.log(Mode.ruleFor(rules, "message.email")?.mode) // => "enforce"
 * console.log(Mode.ruleFor(rules, "llm.completion")?.mode) // => "shadow"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const ruleFor = (rules: Rules, kind: string): Rule | undefined => {
  let best: string | undefined
  for (const pattern of Object.keys(rules)) {
    if (matches(pattern, kind) && (best === undefined || pattern.length > best.length)) best = pattern
  }
  return best === undefined ? undefined : rules[best]
}

/**
 * The dials as environment variables, all optional:
 *
 * - `CYCLES_MODE`: `enforce`, `shadow` or `off`
 * - `CYCLES_ON_UNAVAILABLE`: `closed` or `open`
 * - `CYCLES_OVERAGE_POLICY`: `REJECT`, `ALLOW_IF_AVAILABLE` or `ALLOW_WITH_OVERDRAFT`
 * - `CYCLES_RULES`: a JSON object of {@link Rules}, for example `{"message.*":{"mode":"enforce","overage_policy":"REJECT"}}`
 *
 * A value that cannot be read is a `ConfigError` that names its variable.
 *
 * @category configuration
 * @since 0.1.0
 */
export const config = Config.all({
  mode: Config.withDefault(Config.schema(Mode, "CYCLES_MODE"), undefined),
  onUnavailable: Config.withDefault(Config.schema(OnUnavailable, "CYCLES_ON_UNAVAILABLE"), undefined),
  overagePolicy: Config.withDefault(Config.schema(OveragePolicy, "CYCLES_OVERAGE_POLICY"), undefined),
  rules: Config.withDefault(
    Config.schema(Schema.fromJsonString(Schema.Record(Schema.String, Rule)), "CYCLES_RULES"),
    undefined
  )
})
