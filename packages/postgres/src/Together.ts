/**
 * Several statements in the place of one. What a transaction asks at a time is then one message each way: the server answers, and
 * wakes this process up, once.
 *
 * @internal
 */
import type { Row, Statement } from "./Session.ts"

/** The text of each combination of statements, made when it is first seen. */
interface Texts {
  readonly after: Map<string, Texts>
  text: string | undefined
}

const none = (): Texts => ({ after: new Map(), text: undefined })

const renumbered = (sql: string, from: number): string =>
  from === 0 ? sql : sql.replace(/\$(\d+)/g, (_, n: string) => `$${Number(n) + from}`)

const combine =
  (join: (parts: ReadonlyArray<string>) => string) => (texts: Texts, parts: ReadonlyArray<Statement>): Statement => {
    let at = texts
    for (const { sql } of parts) {
      let next = at.after.get(sql)
      if (next === undefined) at.after.set(sql, next = none())
      at = next
    }
    if (at.text === undefined) {
      let before = 0
      at.text = join(parts.map(({ params, sql }) => {
        const text = renumbered(sql, before)
        before += params.length
        return text
      }))
    }
    return { sql: at.text, params: parts.flatMap(({ params }) => params) }
  }

const union = combine((parts) => parts.map((sql, i) => `SELECT ${i}, data FROM (${sql}) part_${i}`).join(" UNION ALL "))

const every = combine((parts) => `WITH ${parts.map((sql, i) => `part_${i} AS (${sql})`).join(", ")} SELECT 1`)

/** The statements of one store: their texts have the name of its schema in them. */
export interface Together {
  /** One statement that finds what each of several does, all of which have one column. */
  readonly reads: (parts: ReadonlyArray<Statement>) => Statement
  /** One statement that does what several do, none of which sees what another does. */
  readonly writes: (parts: ReadonlyArray<Statement>) => Statement
}

export const make = (): Together => {
  const reads = none()
  const writes = none()
  return {
    reads: (parts) => parts.length === 1 ? parts[0]! : union(reads, parts),
    writes: (parts) => parts.length === 1 ? parts[0]! : every(writes, parts)
  }
}

/** The rows that each of `count` statements found, of what they found together. */
export const apart = (count: number, rows: ReadonlyArray<Row>): ReadonlyArray<ReadonlyArray<Row>> => {
  if (count === 1) return [rows]
  const parts = Array.from({ length: count }, (): Array<Row> => [])
  for (const [part, data] of rows) parts[Number(part)]!.push([data])
  return parts
}
