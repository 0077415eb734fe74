import { LedgerStorePostgres } from "@effect-cycles/postgres"
import * as Lists from "@effect-cycles/postgres/Lists"
import { planning, statement } from "@effect-cycles/postgres/Session"
import type { Statements } from "@effect-cycles/postgres/Tables"
import { statements } from "@effect-cycles/postgres/Tables"
import * as Together from "@effect-cycles/postgres/Together"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { withServer } from "./support/stores.ts"

interface Node {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Index Name"?: string
  readonly "Index Cond"?: string
  readonly Filter?: string
  readonly Plans?: ReadonlyArray<Node>
}

/** One for each there is in the text. */
const parametersOf = (text: string): ReadonlyArray<string> =>
  Array.from(
    { length: Math.max(0, ...Array.from(text.matchAll(/\$(\d+)/g), ([, n]) => Number(n))) },
    () => "NULL"
  )

const nodes = (node: Node): ReadonlyArray<Node> => [node, ...(node.Plans ?? []).flatMap(nodes)]

/** Read in the order of the index, as far as a page goes: for all tenants, and of documents for all kinds. */
const inOrder: ReadonlyArray<string> = [
  "dueTenants by open_reservations_due",
  "undelivered by tenants_undelivered",
  "allDocuments by documents_id"
]

/** Rows of a thousand other tenants. */
const filled = (s: string): ReadonlyArray<string> => [
  `INSERT INTO ${s}.tenants SELECT 't' || i, false, 'x' FROM generate_series(1, 1000) i`,
  `INSERT INTO ${s}.budgets SELECT 's' || i, 'u' || j, 't' || i, 'x' FROM generate_series(1, 1000) i, generate_series(1, 3) j`,
  `INSERT INTO ${s}.open_reservations SELECT i || 'o' || j, 't' || i, 's', 'k', 1, 1, 1, 1, 'x'
    FROM generate_series(1, 1000) i, generate_series(1, 3) j`,
  `INSERT INTO ${s}.ended_reservations SELECT i || 'e' || j, 't' || i, 'COMMITTED', 's', 'k', 1, j, j, j, j, 'x'
    FROM generate_series(1, 1000) i, generate_series(1, 20) j`,
  `INSERT INTO ${s}.records SELECT i || 'r' || j, NULLIF(i || 'e' || j, i || 'e1'), 1, 'x'
    FROM generate_series(1, 1000) i, generate_series(1, 20) j`,
  ...["entries", "events", "acts"].map((table) =>
    `INSERT INTO ${s}.${table} SELECT 't' || i, j, 'x' FROM generate_series(1, 1000) i, generate_series(1, 20) j`
  ),
  `INSERT INTO ${s}.counters SELECT 't' || i, 'c' || j, 1, 'x' FROM generate_series(1, 1000) i, generate_series(1, 9) j`,
  `INSERT INTO ${s}.documents SELECT 't' || i, k, k || i || j, 'x'
    FROM generate_series(1, 1000) i, unnest(ARRAY['policy', 'api_key']) k, generate_series(1, 5) j`
]

const page = { after: undefined, limit: 51 }

withServer("the plans of the statements", ({ fresh, sql }) => {
  it.live(
    "find rows by an index of their own keys, in tables that are empty or full",
    () =>
      Effect.gen(function*() {
        const options = fresh()
        yield* LedgerStorePostgres.make(options)
        const settings = Object.entries(planning).map(([name, value]) => `SET ${name} = '${value}'`)
        const own = statements(options.schema)
        const together = Together.make()
        const all = (...names: ReadonlyArray<keyof Statements>) =>
          names.map((name) => statement(own[name], ...parametersOf(own[name])))
        const texts = {
          ...own,
          readTogether: together.reads(
            all("tenants", "due", "policies", "budgets", "reservations", "records", "counters", "documents")
          ).sql,
          writtenTogether: together.writes([
            ...all("putTenants", "putBudgets", "putOpen", "removeEnded", "addOpen", "removeOpen", "addEnded"),
            ...all("putRecords", "putCounters", "addEntries", "addEvents", "addActs")
          ]).sql,
          listBudgets: Lists.budgets(options.schema, "t", {}, page).sql,
          listBudgetsOn: Lists.budgets(options.schema, "t", {}, { after: ["s", "u"], limit: 1_000 }).sql
        }
        const plan = (text: string) =>
          Effect.map(
            Effect.promise(() => {
              const values = parametersOf(text).join(", ")
              return sql(
                ...settings,
                `PREPARE it AS ${text}`,
                `EXPLAIN (FORMAT JSON) EXECUTE it${values === "" ? "" : `(${values})`}`
              )
            }),
            (rows): ReadonlyArray<Node> => {
              const found = rows[0]?.[0]
              const [{ Plan }] = (typeof found === "string" ? JSON.parse(found) : found) as [{ readonly Plan: Node }]
              return nodes(Plan)
            }
          )
        const detours = Effect.gen(function*() {
          const found: Array<string> = []
          for (const [name, text] of Object.entries(texts)) {
            for (const node of yield* plan(text)) {
              const { "Index Cond": condition, "Index Name": index, "Relation Name": table, Filter: filter } = node
              if (table === undefined || !node["Node Type"].endsWith("Scan")) continue
              if (inOrder.includes(`${name} by ${index}`)) continue
              // An id is one row's, or next to it.
              if (condition !== undefined && (filter === undefined || /\bid = /.test(condition))) continue
              found.push(`${name} reads ${table} by ${index} where ${condition}, and then looks for ${filter}`)
            }
          }
          return found
        })
        assert.deepStrictEqual(yield* detours, [])
        yield* Effect.promise(() => sql(...filled(`"${options.schema}"`), "ANALYZE"))
        assert.deepStrictEqual(yield* detours, [])
      }),
    60_000
  )
})
