/**
 * Patterns of scopes: `tenant:acme`, `tenant:acme/*`, `agent:*`.
 *
 * A pattern is a path of segments. `level:name` stands for itself, `level:*` for any name at that level, and `*` alone for one
 * or more segments of any kind. A pattern that begins at the tenant stands for whole paths. One that begins elsewhere, or with
 * `*`, stands for whatever has its segments, and for what is below them: naming a tool set is no way out of an agent's policy.
 *
 * - `tenant:acme`: the tenant's own scope and no other
 * - `tenant:acme/*`: everything below it
 * - `*`: everything
 * - `agent:bot`: the agent `bot` wherever it is, and its tool sets
 * - `agent:*`: every agent
 *
 * A reservation is matched by its narrowest scope.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, operation `createPolicy`, SCOPE PATTERNS.
 *
 * @since 0.1.0
 */
import type { Level } from "../protocol/Subject.ts"
import { levels } from "../protocol/Subject.ts"
import type { Refusal } from "./Refusal.ts"

const value = /^[a-zA-Z0-9_.-]{1,128}$/

const isWhole = (pattern: string): boolean => pattern.startsWith("tenant:")

/**
 * What is wrong with a pattern of a tenant's: a segment that is none, levels out of order, or a tenant that is another one.
 *
 * @category predicates
 * @since 0.1.0
 */
export const flaw = (tenant: string, pattern: string): Refusal | undefined => {
  const invalid = (reason: string): Refusal => ({ code: "INVALID_REQUEST", field: "scopePattern", reason })
  let last = -1
  let before: string | undefined
  for (const segment of pattern.split("/")) {
    if (segment === "*") {
      if (before === "*") return invalid("one * stands for any number of segments already")
    } else {
      const colon = segment.indexOf(":")
      const name = segment.slice(colon + 1)
      const at = colon < 0 ? -1 : levels.findIndex((level: Level) => level === segment.slice(0, colon))
      if (at < 0) return invalid(`"${segment}" is neither * nor one of ${levels.map((l) => `${l}:…`).join(", ")}`)
      if (at <= last) return invalid(`levels must be in the order ${levels.join(", ")}, each at most once`)
      if (name !== "*" && !value.test(name)) {
        return invalid(`the ${levels[at]} must be * or 1 to 128 letters, digits, '_', '.' or '-'`)
      }
      if (at === 0 && name !== "*" && name !== tenant) {
        return { code: "FORBIDDEN", reason: "the scope pattern belongs to another tenant" }
      }
      last = at
    }
    before = segment
  }
  return undefined
}

/**
 * Whether a pattern stands for a scope.
 *
 * **Example** (Descendants and agents)
 *
 * ```ts
 * import * as ScopePattern from "effect-cycles/ledger/ScopePattern"
 *
 * console.log(ScopePattern.matches("tenant:acme/*", "tenant:acme/agent:bot")) // => true
 * console.log(ScopePattern.matches("tenant:acme/*", "tenant:acme")) // => false
 * console.log(ScopePattern.matches("agent:*", "tenant:acme/workspace:prod/agent:bot")) // => true
 * ```
 *
 * @category predicates
 * @since 0.1.0
 */
export const matches = (pattern: string, scope: string): boolean => {
  if (pattern === scope || pattern === "*") return true
  const [wanted, found] = [pattern.split("/"), scope.split("/")]
  if (isWhole(pattern)) return fits(wanted, 0, found, 0)
  const from = wanted[0] === "*" ? wanted : ["*", ...wanted]
  return fits(from, 0, found, 0) || fits([...from, "*"], 0, found, 0)
}

const fits = (pattern: ReadonlyArray<string>, p: number, scope: ReadonlyArray<string>, s: number): boolean => {
  const wanted = pattern[p]
  const found = scope[s]
  if (wanted === undefined || found === undefined) return wanted === found
  if (wanted !== "*") return fitsSegment(wanted, found) && fits(pattern, p + 1, scope, s + 1)
  for (let next = s + 1; next <= scope.length; next++) if (fits(pattern, p + 1, scope, next)) return true
  return false
}

const fitsSegment = (wanted: string, found: string): boolean =>
  wanted === found || (wanted.endsWith(":*") && found.startsWith(wanted.slice(0, -1)))
