/**
 * Pages of the logs of all tenants, each read from one index.
 *
 * @internal
 */
import * as KeyText from "effect-cycles/ledger/KeyText"
import type { ActColumn, Columns, EventColumn, LogPage } from "effect-cycles/ledger/Logs"
import * as Logs from "effect-cycles/ledger/Logs"
import type { Act, LedgerEvent } from "effect-cycles/ledger/Model"
import * as RowJson from "effect-cycles/ledger/RowJson"
import type { Connection, Value } from "./Connection.ts"

/** Numbers of entries, events and acts are below this; the tenant's number is counted in steps of it. */
const NUMBERS = 2n ** 40n

/** The keys that all of a tenant's numbered rows of a kind lie above. */
export const base = (t: number): bigint => BigInt(t) * NUMBERS

/** A table of rows that are found by the columns beside them, which are called what the core calls them. */
export interface LogTable<Row, Column extends string> {
  readonly name: "events" | "acts"
  readonly codec: RowJson.RowCodec<Row>
  readonly columns: Columns<Row, Column>
}

export const eventTable: LogTable<LedgerEvent, EventColumn> = {
  name: "events",
  codec: RowJson.event,
  columns: Logs.eventColumns
}

export const actTable: LogTable<Act, ActColumn> = { name: "acts", codec: RowJson.act, columns: Logs.actColumns }

/** The names of a table's columns in their order, without `seq` and `body`. */
export const columnsOf = <Row, Column extends string>({ columns }: LogTable<Row, Column>): ReadonlyArray<Column> =>
  // The keys of a record of columns are the columns.
  Object.keys(columns) as Array<Column>

/** What stands in a row's columns, its time first. */
export const valuesOf = <Row extends { readonly atMs: number }, Column extends string>(
  table: LogTable<Row, Column>,
  row: Row
): ReadonlyArray<Value> => [row.atMs, ...columnsOf(table).map((name) => KeyText.encode(table.columns[name](row)))]

/** A page of a log. `numberOf` gives the number a tenant has in the file, where it has one. */
export const pageOf = <Row, Column extends string>(
  connection: Connection,
  table: LogTable<Row, Column>,
  { after, by, isDown, limit, only }: LogPage<Column>,
  numberOf: (tenant: string) => number | undefined
): ReadonlyArray<Row> => {
  const { codec, name } = table
  const [beyond, direction] = isDown ? ["<", " DESC"] : [">", ""]
  // A tenant nobody knows stands before all others.
  const seqOf = (tenant: string, number: number): bigint => base(numberOf(tenant) ?? 0) + BigInt(number)
  const read = (sql: string, values: ReadonlyArray<Value>): ReadonlyArray<Row> =>
    connection.statement(sql).all([...values, limit]).map((row) => codec.decode(String(row[0])))

  if (by === "tenant") {
    if (only !== undefined) {
      const t = numberOf(only)
      if (t === undefined) return []
      const own = after === undefined ? "" : ` AND seq ${beyond} ?`
      return read(
        `SELECT body FROM ${name} WHERE seq > ? AND seq < ?${own} ORDER BY seq${direction} LIMIT ?`,
        [base(t), base(t + 1), ...(after === undefined ? [] : [base(t) + BigInt(after.number)])]
      )
    }
    // From tenant to tenant by their names, and in each by its own numbers.
    const rest = after === undefined ? "" : ` WHERE n.name ${beyond}= ? AND (n.name ${beyond} ? OR l.seq ${beyond} ?)`
    const tenant = after === undefined ? undefined : KeyText.encode(after.tenant)
    return read(
      `SELECT l.body FROM tenants n CROSS JOIN ${name} l ON l.seq > n.t * ${base(1)} ` +
        `AND l.seq < (n.t + 1) * ${base(1)}${rest} ORDER BY n.name${direction}, l.seq${direction} LIMIT ?`,
      after === undefined || tenant === undefined ? [] : [tenant, tenant, seqOf(after.tenant, after.number)]
    )
  }
  const index = `${name}_${by}`
  const at: ReadonlyArray<Value> = after === undefined ? [] : [after.atMs, seqOf(after.tenant, after.number)]
  if (by === "time" || only !== undefined) {
    const conditions = [
      // Said twice, since SQLite does not see that the index without the empty ones has all that are asked for.
      ...(by === "time" ? [] : [`${by} = ?`, `${by} <> ''`]),
      ...(after === undefined ? [] : [`(at, seq) ${beyond} (?, ?)`])
    ]
    const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`
    return read(
      `SELECT body FROM ${name} INDEXED BY ${index}${where} ORDER BY at${direction}, seq${direction} LIMIT ?`,
      [...(by === "time" || only === undefined ? [] : [KeyText.encode(only)]), ...at]
    )
  }
  const where = after === undefined ? "" : ` WHERE (${by}, at, seq) ${beyond} (?, ?, ?)`
  return read(
    `SELECT body FROM ${name} INDEXED BY ${index}${where} ` +
      `ORDER BY ${by}${direction}, at${direction}, seq${direction} LIMIT ?`,
    after === undefined ? [] : [KeyText.encode(after.value), ...at]
  )
}
