/**
 * What is about to be done: the kind of work and the model or tool that does it.
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `Action`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * What is about to be done.
 *
 * - `kind`: `<category>.<operation>`, at most 64 characters, for example `llm.completion`, `tool.search`, `message.email`
 * - `name`: the model, tool or route, at most 256 characters, for example `gpt-4o`
 * - `tags`: at most 10 labels of at most 64 characters
 *
 * @category models
 * @since 0.1.0
 */
export const Action = Schema.Struct({
  kind: Schema.String.check(Schema.isMaxCodePoints(64)),
  name: Schema.String.check(Schema.isMaxCodePoints(256)),
  tags: Schema.optionalKey(
    Schema.Array(Schema.String.check(Schema.isMaxCodePoints(64))).check(Schema.isMaxLength(10))
  )
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Action extends Schema.Schema.Type<typeof Action> {}

/**
 * Names an action. Lengths are checked where the action is used, as a typed `InvalidRequest`.
 *
 * **Example** (A completion by a model)
 *
 * ```ts
 * import { Action } from "effect-cycles"
 *
 * const action = Action.make("llm.completion", "gpt-4o", ["customer-facing"])
 *
 * console.log(action.kind) // => "llm.completion"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (kind: string, name: string, tags?: ReadonlyArray<string>): Action =>
  tags === undefined ? { kind, name } : { kind, name, tags }
