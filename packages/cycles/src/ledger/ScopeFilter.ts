/**
 * Where in its tenant an API key may act: a list of segments such as `workspace:eng` or `agent:*`.
 *
 * A path passes when, for every level the filter names, it has a segment of that level which one of the entries names; `*` is any
 * name, but there must be one. An empty filter lets everything of the tenant pass.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `ApiKey`, `scope_filter`.
 *
 * @since 0.1.0
 */
import type { Level } from "../protocol/Subject.ts"
import { levels } from "../protocol/Subject.ts"

const segment = /^([a-z]+):(\*|[a-zA-Z0-9_.-]{1,128})$/

const isLevel = (text: string | undefined): text is Level => levels.some((level) => level === text)

/**
 * What is wrong with a filter, or nothing.
 *
 * @category predicates
 * @since 0.1.0
 */
export const flaw = (filter: ReadonlyArray<string>): string | undefined => {
  const wrong = filter.find((entry) => !isLevel(segment.exec(entry)?.[1]))
  return wrong === undefined
    ? undefined
    : `"${wrong}" is not one of ${levels.map((level) => `${level}:…`).join(", ")}, with a name or *`
}

const namesOf = (filter: ReadonlyArray<string>, level: Level): ReadonlyArray<string> =>
  filter.filter((entry) => entry.startsWith(`${level}:`)).map((entry) => entry.slice(level.length + 1))

/**
 * Whether a path passes. What is not a filter's entry lets nothing pass.
 *
 * **Example** (One workspace, any agent)
 *
 * ```ts
 * import { ScopeFilter } from "effect-cycles"
 *
 * const filter = ["workspace:eng", "agent:*"]
 *
 * console.log(ScopeFilter.allows(filter, "tenant:acme/workspace:eng/agent:writer")) // => true
 * console.log(ScopeFilter.allows(filter, "tenant:acme/workspace:ops/agent:writer")) // => false
 * console.log(ScopeFilter.allows(filter, "tenant:acme/workspace:eng")) // => false
 * ```
 *
 * @category predicates
 * @since 0.1.0
 */
export const allows = (filter: ReadonlyArray<string>, path: string): boolean => {
  if (filter.length === 0) return true
  if (flaw(filter) !== undefined) return false
  const names = new Map(
    path.split("/").map((part) => {
      const colon = part.indexOf(":")
      return [part.slice(0, colon), part.slice(colon + 1)] as const
    })
  )
  return levels.every((level) => {
    const allowed = namesOf(filter, level)
    const name = names.get(level)
    return allowed.length === 0 || (name !== undefined && (allowed.includes("*") || allowed.includes(name)))
  })
}

/**
 * A query with the levels filled in where the filter leaves one name only, so that an index finds what can pass.
 *
 * @category combinators
 * @since 0.1.0
 */
export const narrow = <Q extends { readonly [L in Level]?: string }>(filter: ReadonlyArray<string>, query: Q): Q => {
  if (filter.length === 0) return query
  const narrowed: { [L in Level]?: string } = {}
  for (const level of levels) {
    const [name, ...others] = namesOf(filter, level)
    if (name !== undefined && name !== "*" && others.length === 0 && query[level] === undefined) {
      narrowed[level] = name
    }
  }
  return { ...query, ...narrowed }
}
