/**
 * Whom spending is put down to: what was charged as a tree of the dimensions that were asked for, each charge in one place of it.
 *
 * @since 0.1.0
 */
import { levels } from "../protocol/Subject.ts"
import type { Spender } from "./rules/Spending.ts"

/**
 * What spending can be broken down by: a level of the subject, `scope` for all of its levels, `action` (`kind:name`) or `model` (the
 * version that reported itself, else the action's name).
 *
 * @category models
 * @since 0.1.0
 */
export type Dimension = (typeof dimensions)[number]

/**
 * Every dimension.
 *
 * @category constants
 * @since 0.1.0
 */
export const dimensions = [...levels, "scope", "action", "model"] as const

/**
 * One step of the way to a place in the tree: `{ dimension: "agent", value: "writer" }`. The levels of a `scope` are steps of their own,
 * each named by its level.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step {
  readonly dimension: Exclude<Dimension, "scope">
  readonly value: string
}

/**
 * What was spent at a place of the tree.
 *
 * - `steps`: the way there. What a charge has no value for is no step of its way
 * - `own`: what was charged for exactly this
 * - `total`: that, and what was charged for all below it
 *
 * Every charge is in one `own`, so these add up to what was spent; totals contain each other and do not.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cost {
  readonly steps: ReadonlyArray<Step>
  readonly own: bigint
  readonly total: bigint
}

/**
 * What is wrong with the dimensions that are asked for, if anything is.
 *
 * @internal
 */
export const flawOf = (by: ReadonlyArray<Dimension>): string | undefined => {
  if (by.length === 0) return "must name what to break spending down by"
  if (new Set(by).size < by.length) return "must name each dimension once"
  const level = by.find((dimension) => levels.some((level) => level === dimension))
  return level !== undefined && by.includes("scope")
    ? `must not have ${level} beside scope, which has every level`
    : undefined
}

const valueOf = (segments: ReadonlyArray<Step>, level: Dimension): ReadonlyArray<Step> =>
  segments.filter(({ dimension }) => dimension === level)

const segmentsOf = (path: string): ReadonlyArray<Step> =>
  path.split("/").flatMap((segment) => {
    const colon = segment.indexOf(":")
    const dimension = levels.find((level) => level === segment.slice(0, colon))
    return dimension === undefined ? [] : [{ dimension, value: segment.slice(colon + 1) }]
  })

/**
 * The way to where a charge belongs.
 *
 * @internal
 */
export const stepsOf = (
  { kind, model, name, path }: Spender,
  by: ReadonlyArray<Dimension>
): ReadonlyArray<Step> => {
  const segments = segmentsOf(path)
  return by.flatMap((dimension): ReadonlyArray<Step> => {
    switch (dimension) {
      case "action":
        return [{ dimension, value: `${kind}:${name}` }]
      case "model":
        return [{ dimension, value: model }]
      case "scope":
        return segments
      default:
        return valueOf(segments, dimension)
    }
  })
}

/**
 * A tree that charges are put into.
 *
 * @internal
 */
export interface Tree {
  readonly add: (steps: ReadonlyArray<Step>, amount: bigint) => void
  /** Every place, above those below it, the dearest of its siblings first. */
  readonly costs: () => ReadonlyArray<Cost>
}

interface Node {
  readonly steps: ReadonlyArray<Step>
  readonly below: Map<string, Node>
  own: bigint
  total: bigint
}

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

const dearestFirst = ([a, { total: x }]: readonly [string, Node], [b, { total: y }]: readonly [string, Node]): number =>
  x > y ? -1 : x < y ? 1 : compare(a, b)

const nodeAt = (steps: ReadonlyArray<Step>): Node => ({ steps, below: new Map(), own: 0n, total: 0n })

/**
 * A tree nothing was put into.
 *
 * @internal
 */
export const tree = (): Tree => {
  const root = nodeAt([])
  const visit = (node: Node, costs: Array<Cost>): ReadonlyArray<Cost> => {
    // What has none of the dimensions is a place too, or its cost would be missing from the sum.
    if (node !== root || node.own > 0n) costs.push({ steps: node.steps, own: node.own, total: node.total })
    for (const [, child] of Array.from(node.below).sort(dearestFirst)) visit(child, costs)
    return costs
  }
  return {
    add: (steps, amount) => {
      let node = root
      node.total += amount
      steps.forEach(({ dimension, value }, at) => {
        const key = `${dimension}:${value}`
        let child = node.below.get(key)
        if (child === undefined) node.below.set(key, child = nodeAt(steps.slice(0, at + 1)))
        child.total += amount
        node = child
      })
      node.own += amount
    },
    costs: () => visit(root, [])
  }
}
