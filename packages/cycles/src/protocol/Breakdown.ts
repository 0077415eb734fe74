/**
 * What a charge is made of, where one reservation paid for several pieces of work: the metadata of an allotment's commit.
 *
 * The protocol has one reservation and one commit for an allotment, so its authority knows the total alone. The breakdown travels
 * in the commit's metadata, under {@link metadataKey}.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { UInt63 } from "./Amount.ts"
import type { JsonObject } from "./Metrics.ts"

/**
 * The key of the breakdown in a commit's metadata.
 *
 * @category constants
 * @since 0.1.0
 */
export const metadataKey = "allotment"

/**
 * How many rows a breakdown has at most. What is beyond them is one row, {@link other}.
 *
 * @category constants
 * @since 0.1.0
 */
export const MAX_ROWS = 50

/**
 * The action of the row that stands for everything that found no row of its own.
 *
 * @category constants
 * @since 0.1.0
 */
export const other = { kind: "other", name: "other" } as const

/**
 * What one kind of work was charged: who did it, what it was, and the model or tool version that reported itself.
 *
 * @category models
 * @since 0.1.0
 */
export const Row = Schema.Struct({
  scope: Schema.String,
  action: Schema.Struct({ kind: Schema.String, name: Schema.String }),
  model: Schema.optionalKey(Schema.String),
  /** In the unit of the reservation. */
  charged: UInt63
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Row extends Schema.Schema.Type<typeof Row> {}

/**
 * The rows of a commit, dearest first. They add up to the commit's `actual`.
 *
 * @category models
 * @since 0.1.0
 */
export const Breakdown = Schema.Array(Row)

/**
 * @category models
 * @since 0.1.0
 */
export type Breakdown = typeof Breakdown.Type

/**
 * What the rows add up to.
 *
 * @category getters
 * @since 0.1.0
 */
export const total = (self: Breakdown): bigint => self.reduce((sum, { charged }) => sum + charged, 0n)

/**
 * Merges rows of the same scope, action and model, orders them by what they were charged, and folds what is beyond
 * {@link MAX_ROWS} into one row of `scope` that says {@link other}. The total stays what it was.
 *
 * **Example** (Two calls of one model are one row)
 *
 * ```ts
 * import * as Breakdown from "effect-cycles/protocol/Breakdown"
 *
 * const row = { scope: "tenant:acme", action: { kind: "llm.completion", name: "gpt-4o" }, charged: 20n }
 * const rows = Breakdown.summarize("tenant:acme", [row, { ...row, charged: 22n }])
 *
 * console.log(rows.length) // => 1
 * console.log(Breakdown.total(rows)) // => 42n
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const summarize = (scope: string, rows: Iterable<Row>): Breakdown => {
  const groups = new Map<string, Row>()
  for (const row of rows) {
    const key = keyOf(row)
    const group = groups.get(key)
    groups.set(key, group === undefined ? row : { ...group, charged: group.charged + row.charged })
  }
  const sorted = Array.from(groups.values()).sort((a, b) => a.charged < b.charged ? 1 : a.charged > b.charged ? -1 : 0)
  if (sorted.length <= MAX_ROWS) return sorted
  const kept = sorted.slice(0, MAX_ROWS - 1)
  return [...kept, { scope, action: other, charged: total(sorted.slice(MAX_ROWS - 1)) }]
}

/**
 * What rows are merged by. No part of it can hold a line break and be a valid scope, kind or name of its own.
 *
 * @internal
 */
export const keyOf = ({ action, model, scope }: Omit<Row, "charged">): string =>
  `${scope}\n${action.kind}\n${action.name}\n${model ?? ""}`

const encodeRows = Schema.encodeSync(Breakdown)
const decodeRows = Schema.decodeUnknownOption(Breakdown)

/**
 * A breakdown as metadata.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toMetadata = (self: Breakdown): JsonObject => ({ [metadataKey]: encodeRows(self) })

/**
 * The breakdown in some metadata, where it has one.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromMetadata = (metadata: JsonObject | undefined): Option.Option<Breakdown> =>
  metadata === undefined ? Option.none() : decodeRows(metadata[metadataKey])
