/**
 * Which statements load some keys into a view, and which write what changed.
 *
 * @internal
 */
import type * as PgTypes from "@effect/sql-pg/PgTypes"
import * as KeyText from "effect-cycles/ledger/KeyText"
import * as Logs from "effect-cycles/ledger/Logs"
import type {
  ApiKeyRow,
  Document,
  IdempotencyRow,
  PolicyRow,
  ReservationRow,
  TenantRow
} from "effect-cycles/ledger/Model"
import { deadline, emptyTenant } from "effect-cycles/ledger/Model"
import * as RowJson from "effect-cycles/ledger/RowJson"
import type { Keys, View, Writes } from "effect-cycles/ledger/View"
import type { ReservationId } from "effect-cycles/protocol/Ids"
import { booleans, integer, integers, keys as keysOf, texts } from "./Parameters.ts"
import type { Row, Statement } from "./Session.ts"
import { statement } from "./Session.ts"
import type { Statements } from "./Tables.ts"
import type { Together } from "./Together.ts"

/** A statement whose one column is `data`, and what becomes of its rows. */
export interface Loading {
  readonly statement: Statement
  readonly take: (rows: ReadonlyArray<Row>) => void
}

const dataOf = <A>(rows: ReadonlyArray<Row> | undefined, decode: (text: string) => A): ReadonlyArray<A> =>
  (rows ?? []).map((row) => decode(String(row[0])))

const group = <A>(rows: ReadonlyArray<A>, keyOf: (row: A) => string): ReadonlyMap<string, ReadonlyArray<A>> => {
  const groups = new Map<string, Array<A>>()
  for (const row of rows) {
    const key = keyOf(row)
    const of = groups.get(key)
    if (of === undefined) groups.set(key, [row])
    else of.push(row)
  }
  return groups
}

const tenantOf = ({ tenant }: { readonly tenant: string }): string => tenant

const policyOf = (text: string): PolicyRow => {
  const document = RowJson.document.decode(text)
  if (document._tag !== "policy") throw new TypeError(`A ${document._tag} stands where a policy should`)
  return document
}

const apiKeyOf = (text: string): ApiKeyRow => {
  const document = RowJson.document.decode(text)
  if (document._tag !== "api_key") throw new TypeError(`A ${document._tag} stands where an API key should`)
  return document
}

/**
 * What to send to load the keys. The tenants' own rows were read when they were locked. `taken` is called once every answer is
 * there, in the statements' order.
 */
export const loadings = (
  sql: Statements,
  keys: Keys,
  view: View,
  locked: ReadonlyMap<string, TenantRow>,
  seen: Seen,
  now: number
): ReadonlyArray<Loading> => {
  const notice = (rows: ReadonlyArray<ReservationRow>): ReadonlyArray<ReservationRow> => {
    for (const row of rows) seen.reservations.set(row.id, row.status === "ACTIVE" ? "open" : "ended")
    return rows
  }
  const all: Array<Loading> = []
  if (keys.tenants.length > 0) {
    const names = keysOf(keys.tenants)
    let rows = locked
    let due: ReadonlyMap<string, ReadonlyArray<ReservationRow>> = new Map()
    const others = keys.tenants.filter((tenant) => !locked.has(tenant))
    if (others.length > 0) {
      all.push({
        statement: statement(sql.tenants, keysOf(others)),
        take: (found) => {
          rows = new Map([...locked, ...dataOf(found, RowJson.tenant.decode).map((row) => [row.tenant, row] as const)])
        }
      })
    }
    all.push({
      statement: statement(sql.due, names, integer(now)),
      take: (found) => {
        due = group(notice(dataOf(found, RowJson.reservation.decode)), tenantOf)
      }
    }, {
      statement: statement(sql.policies, names),
      take: (found) => {
        const policies = group(dataOf(found, policyOf), tenantOf)
        for (const tenant of keys.tenants) {
          view.loadedTenant(rows.get(tenant) ?? emptyTenant(tenant), due.get(tenant) ?? [], policies.get(tenant) ?? [])
        }
      }
    })
  }
  for (const tenant of keys.wholes) {
    let budgets: ReadonlyArray<Row> | undefined
    let open: ReadonlyArray<Row> | undefined
    all.push(
      {
        statement: statement(sql.budgetsOfTenant, KeyText.encode(tenant)),
        take: (found) => {
          budgets = found
        }
      },
      {
        statement: statement(sql.openOfTenant, KeyText.encode(tenant)),
        take: (found) => {
          open = found
        }
      },
      {
        statement: statement(sql.apiKeysOfTenant, KeyText.encode(tenant)),
        take: (found) =>
          view.loadedWhole(tenant, {
            budgets: dataOf(budgets, RowJson.budget.decode),
            open: notice(dataOf(open, RowJson.reservation.decode)),
            apiKeys: dataOf(found, apiKeyOf)
          })
      }
    )
  }
  if (keys.scopes.length > 0) {
    all.push({
      statement: statement(sql.budgets, keysOf(keys.scopes)),
      take: (found) => {
        const budgets = group(dataOf(found, RowJson.budget.decode), ({ scope }) => scope)
        for (const scope of keys.scopes) view.loadedScope(scope, budgets.get(scope) ?? [])
      }
    })
  }
  if (keys.reservations.length > 0) {
    all.push({
      statement: statement(sql.reservations, keysOf(keys.reservations)),
      take: (found) => {
        const rows = new Map(notice(dataOf(found, RowJson.reservation.decode)).map((row) => [row.id, row]))
        for (const id of keys.reservations) view.loadedReservation(id, rows.get(id))
      }
    })
  }
  if (keys.records.length > 0) {
    all.push({
      statement: statement(sql.records, keysOf(keys.records.map(({ id }) => id))),
      take: (found) => {
        const rows = new Map(dataOf(found, RowJson.record.decode).map((row) => [row.id, row]))
        for (const key of keys.records) {
          const row = rows.get(key.id)
          if (row === undefined) seen.noRecords.add(key.id)
          view.loadedRecord(key, row)
        }
      }
    })
  }
  if (keys.counters.length > 0) {
    all.push({
      statement: statement(
        sql.counters,
        keysOf(keys.counters.map(tenantOf)),
        keysOf(keys.counters.map(({ id }) => id))
      ),
      take: (found) => {
        const rows = new Map(dataOf(found, RowJson.counter.decode).map((row) => [`${row.tenant} ${row.id}`, row]))
        for (const { id, tenant } of keys.counters) view.loadedCounter(tenant, id, rows.get(`${tenant} ${id}`))
      }
    })
  }
  if (keys.documents.length > 0) {
    all.push({
      statement: statement(sql.documents, ...documentKeys(keys.documents)),
      take: (found) => {
        const rows = new Map(
          dataOf(found, RowJson.document.decode).map((row) => [`${row.tenant} ${row._tag} ${row.id}`, row])
        )
        for (const key of keys.documents) {
          view.loadedDocument(key, rows.get(`${key.tenant} ${key.kind} ${key.id}`))
        }
      }
    })
  }
  return all
}

const documentKeys = (
  keys: ReadonlyArray<{ readonly tenant: string; readonly kind: Document["_tag"]; readonly id: string }>
) =>
  [
    keysOf(keys.map(tenantOf)),
    texts(keys.map(({ kind }) => kind)),
    keysOf(keys.map(({ id }) => id))
  ] as const

/** What is written of a tenant that is seen for the first time. */
export const newTenant = (tenant: string): string => RowJson.tenant.encode(emptyTenant(tenant))

const settles = ({ operation, reservationId }: IdempotencyRow): string | null =>
  reservationId !== undefined && (operation === "commit" || operation === "release")
    ? KeyText.encode(reservationId)
    : null

const log = <A extends { readonly tenant: string; readonly number: number; readonly atMs: number }>(
  sql: string,
  rows: ReadonlyArray<A>,
  encode: (row: A) => string,
  columns?: { readonly [name: string]: (row: A) => string }
): Statement =>
  statement(
    sql,
    keysOf(rows.map(tenantOf)),
    integers(rows.map(({ number }) => number)),
    texts(rows.map(encode)),
    ...(columns === undefined ? [] : valuesOf(rows, columns))
  )

/** What stands in the columns of some rows, their times first. */
const valuesOf = <A extends { readonly atMs: number }>(
  rows: ReadonlyArray<A>,
  columns: { readonly [name: string]: (row: A) => string }
): ReadonlyArray<PgTypes.Parameter | string> => [
  integers(rows.map(({ atMs }) => atMs)),
  ...Object.values(columns).map((column) => keysOf(rows.map(column)))
]

/** Fills the columns of rows that were written before there were any. */
export const filling = <A extends { readonly tenant: string; readonly number: number; readonly atMs: number }>(
  table: string,
  rows: ReadonlyArray<A>,
  columns: { readonly [name: string]: (row: A) => string }
): Statement => {
  const names = ["at", ...Object.keys(columns)]
  const arrays = names.map((_, i) => `, $${i + 3}::${i === 0 ? "bigint" : "text"}[]`).join("")
  return statement(
    `UPDATE ${table} r SET ${names.map((name) => `${name} = x.${name}`).join(", ")}
      FROM unnest($1::text[], $2::bigint[]${arrays}) x(tenant, number, ${names.join(", ")})
      WHERE r.tenant = x.tenant AND r.number = x.number`,
    keysOf(rows.map(tenantOf)),
    integers(rows.map(({ number }) => number)),
    ...valuesOf(rows, columns)
  )
}

/** What a transaction knows of the rows it may write, from having looked for them. */
export interface Seen {
  /** Which table a reservation stands in. */
  readonly reservations: Map<ReservationId, "open" | "ended">
  /** The records that are not there. */
  readonly noRecords: Set<string>
}

export const nothingSeen = (): Seen => ({ reservations: new Map(), noRecords: new Set() })

const idsOf = (rows: ReadonlyArray<ReservationRow>): PgTypes.Parameter => keysOf(rows.map(({ id }) => id))

/** A row moves to the table its status says. One that is known not to be there is inserted without looking for it. */
const reservations = (
  sql: Statements,
  rows: ReadonlyArray<ReservationRow>,
  seen: Seen["reservations"]
): ReadonlyArray<Statement> => {
  const all: Array<Statement> = []
  const isOpen = ({ status }: ReservationRow): boolean => status === "ACTIVE"
  const [open, ended] = [rows.filter(isOpen), rows.filter((row) => !isOpen(row))]
  const extended = open.filter(({ id }) => seen.get(id) === "open")
  const opened = open.filter(({ id }) => seen.get(id) !== "open")
  const rewritten = ended.filter(({ id }) => seen.get(id) !== "open")
  if (extended.length > 0) {
    all.push(statement(
      sql.putOpen,
      idsOf(extended),
      integers(extended.map(({ expiresAtMs }) => expiresAtMs)),
      integers(extended.map(deadline)),
      texts(extended.map(RowJson.reservation.encode))
    ))
  }
  if (opened.length > 0) {
    all.push(
      statement(sql.removeEnded, idsOf(opened)),
      statement(
        sql.addOpen,
        idsOf(opened),
        keysOf(opened.map(tenantOf)),
        keysOf(opened.map(leaf)),
        keysOf(opened.map(({ idempotencyKey }) => idempotencyKey)),
        integers(opened.map(({ estimate }) => estimate.amount)),
        integers(opened.map(({ createdAtMs }) => createdAtMs)),
        integers(opened.map(({ expiresAtMs }) => expiresAtMs)),
        integers(opened.map(deadline)),
        texts(opened.map(RowJson.reservation.encode))
      )
    )
  }
  if (rewritten.length > 0) all.push(statement(sql.removeEnded, idsOf(rewritten)))
  if (ended.length > 0) {
    all.push(
      statement(sql.removeOpen, idsOf(ended)),
      statement(
        sql.addEnded,
        idsOf(ended),
        keysOf(ended.map(tenantOf)),
        keysOf(ended.map(({ status }) => status)),
        keysOf(ended.map(leaf)),
        keysOf(ended.map(({ idempotencyKey }) => idempotencyKey)),
        integers(ended.map(({ estimate }) => estimate.amount)),
        integers(ended.map(({ createdAtMs }) => createdAtMs)),
        integers(ended.map(({ expiresAtMs }) => expiresAtMs)),
        integers(ended.map((row) => row.finalizedAtMs ?? deadline(row))),
        integers(ended.map((row) => row.finalizedAtMs ?? null)),
        texts(ended.map(RowJson.reservation.encode))
      )
    )
  }
  return all
}

/** Whether a row that ended is written once more, so that one of its statements has to follow another. */
const isRewritten = ({ id, status }: ReservationRow, seen: Seen): boolean =>
  status !== "ACTIVE" && seen.reservations.get(id) !== "open"

/** What to send to write the changes, in order. */
export const writings = (
  sql: Statements,
  together: Together,
  writes: Writes,
  seen: Seen
): ReadonlyArray<Statement> => {
  const first: Array<Statement> = []
  // Each of these is on rows of its own.
  const all: Array<Statement> = []
  if (writes.tenants.length > 0) {
    all.push(statement(
      sql.putTenants,
      keysOf(writes.tenants.map(tenantOf)),
      booleans(writes.tenants.map(({ deliveredEvent, lastEvent }) => lastEvent > deliveredEvent)),
      texts(writes.tenants.map(RowJson.tenant.encode))
    ))
  }
  if (writes.budgets.length > 0) {
    all.push(statement(
      sql.putBudgets,
      keysOf(writes.budgets.map(({ scope }) => scope)),
      keysOf(writes.budgets.map(({ unit }) => unit)),
      keysOf(writes.budgets.map(tenantOf)),
      texts(writes.budgets.map(RowJson.budget.encode))
    ))
  }
  const held = reservations(sql, writes.reservations, seen.reservations)
  if (writes.reservations.some((row) => isRewritten(row, seen))) first.push(...held)
  else all.push(...held)
  if (writes.records.length > 0) {
    all.push(statement(
      writes.records.every(({ id }) => seen.noRecords.has(id)) ? sql.addRecords : sql.putRecords,
      keysOf(writes.records.map(({ id }) => id)),
      texts(writes.records.map(settles)),
      integers(writes.records.map(({ keepUntilMs }) => keepUntilMs)),
      texts(writes.records.map(RowJson.record.encode))
    ))
  }
  if (writes.counters.length > 0) {
    all.push(statement(
      sql.putCounters,
      keysOf(writes.counters.map(tenantOf)),
      keysOf(writes.counters.map(({ id }) => id)),
      integers(writes.counters.map(({ keepUntilMs }) => keepUntilMs)),
      texts(writes.counters.map(RowJson.counter.encode))
    ))
  }
  if (writes.documents.length > 0) {
    const keys = writes.documents.map(({ _tag, id, tenant }) => ({ kind: _tag, id, tenant }))
    first.push(statement(sql.putDocuments, ...documentKeys(keys), texts(writes.documents.map(RowJson.document.encode))))
  }
  if (writes.removed.length > 0) first.push(statement(sql.removeDocuments, ...documentKeys(writes.removed)))
  for (
    const [drop, upTo] of [
      [sql.dropEntries, writes.foldedEntries],
      [sql.dropEvents, writes.droppedEvents],
      [sql.dropActs, writes.droppedActs]
    ] as const
  ) {
    if (upTo.size > 0) first.push(statement(drop, keysOf(Array.from(upTo.keys())), integers(Array.from(upTo.values()))))
  }
  if (writes.entries.length > 0) all.push(log(sql.addEntries, writes.entries, RowJson.entry.encode))
  if (writes.events.length > 0) {
    all.push(log(sql.addEvents, writes.events, RowJson.event.encode, Logs.eventColumns))
  }
  if (writes.acts.length > 0) all.push(log(sql.addActs, writes.acts, RowJson.act.encode, Logs.actColumns))
  return all.length === 0 ? first : [...first, together.writes(all)]
}

const leaf = (row: ReservationRow): string => row.scopes[row.scopes.length - 1] ?? ""
