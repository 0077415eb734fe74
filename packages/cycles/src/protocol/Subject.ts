/**
 * Who spends: the path from tenant to tool set along which budgets are kept.
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `Subject`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"

/**
 * The levels of a subject, from the widest to the narrowest; the canonical order of every scope path.
 *
 * Specification: section SCOPE DERIVATION.
 *
 * @category constants
 * @since 0.1.0
 */
export const levels = ["tenant", "workspace", "app", "workflow", "agent", "toolset"] as const

/**
 * @category models
 * @since 0.1.0
 */
export type Level = (typeof levels)[number]

const LevelValue = Schema.String.check(Schema.isMaxCodePoints(128))

/**
 * Who spends. At least one level must be present; `dimensions` are free labels for reporting and never affect a budget.
 *
 * - each level: at most 128 characters; an authority may insist on letters, digits, `_`, `.` and `-`
 * - `dimensions`: at most 16 entries of at most 256 characters
 *
 * A subject without a tenant is the tenant's whose authority is asked.
 *
 * **Example** (A writer agent in a workflow)
 *
 * ```ts
 * import { Subject } from "effect-cycles"
 *
 * const writer: Subject.Subject = { workflow: "research-report", agent: "writer" }
 *
 * console.log(Subject.merge({ tenant: "acme", agent: "planner" }, writer))
 * // => { tenant: "acme", agent: "writer", workflow: "research-report" }
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export const Subject = Schema.Struct({
  tenant: Schema.optionalKey(LevelValue),
  workspace: Schema.optionalKey(LevelValue),
  app: Schema.optionalKey(LevelValue),
  workflow: Schema.optionalKey(LevelValue),
  agent: Schema.optionalKey(LevelValue),
  toolset: Schema.optionalKey(LevelValue),
  dimensions: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.String.check(Schema.isMaxCodePoints(256))).check(Schema.isMaxProperties(16))
  )
}).check(
  Schema.makeFilter((subject) =>
    levels.some((level) => subject[level] !== undefined) ||
    `at least one of ${levels.join(", ")} must be given`, {
    toJsonSchema: () => ({ minProperties: 1, anyOf: levels.map((level) => ({ required: [level] })) })
  })
)

/**
 * @category models
 * @since 0.1.0
 */
export interface Subject extends Schema.Schema.Type<typeof Subject> {}

/**
 * Lays the levels and dimensions of `over` on top of those of `under`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const merge = (under: Subject, over: Subject | undefined): Subject => {
  if (over === undefined) return under
  const merged = { ...under, ...over }
  return under.dimensions !== undefined && over.dimensions !== undefined
    ? { ...merged, dimensions: { ...under.dimensions, ...over.dimensions } }
    : merged
}

/**
 * Who spends when nobody says: set by whoever provides the authority, since it knows whose it is.
 *
 * @category references
 * @since 0.1.0
 */
export const Default: Context.Reference<Subject> = Context.Reference<Subject>(
  "effect-cycles/protocol/Subject/Default",
  { defaultValue: () => ({}) }
)
