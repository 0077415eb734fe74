/**
 * Spending by the hour, counted as it happens: one counter for each path, action and model that was charged in an hour. Everything
 * that is asked of spending over time is a sum of these.
 *
 * A counter's id is `spend/<unit>/<hour>/<kind>|<name>|<model>|<path>`, so that the hours of a unit lie side by side. Only the
 * charge itself is counted, in its own transaction: a reply given again counts nothing.
 *
 * @internal
 */
import * as Option from "effect/Option"
import type { Action } from "../../protocol/Action.ts"
import type { Unit } from "../../protocol/Amount.ts"
import * as Breakdown from "../../protocol/Breakdown.ts"
import type { JsonObject, Metrics } from "../../protocol/Metrics.ts"
import * as CanonicalJson from "../CanonicalJson.ts"
import type { Missing, View } from "../View.ts"
import type { Change, Command } from "./Command.ts"

export const HOUR_MS = 3_600_000

/** What one counter counts. */
export interface Spender {
  readonly path: string
  readonly kind: string
  readonly name: string
  readonly model: string
}

/** Ids are bounded, for indexes: a longer name is cut, and told from its like by a hash. */
const LONGEST = 96

const shortened = (name: string): string =>
  name.length <= LONGEST ? name : `${name.slice(0, LONGEST - 17)}~${CanonicalJson.digest(name).slice(0, 16)}`

const plain = /^[\w.:@ -]*$/

/** Ids are plain ASCII, which every database sorts alike; everything else is written as `%` and four digits. */
const escape = (name: string): string =>
  plain.test(name) && name.length <= LONGEST
    ? name
    : shortened(name).replaceAll(
      /[^\w.:@ -]/g,
      (unit) => `%${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
    )

const unescape = (text: string): string =>
  text.replaceAll(/%([0-9a-f]{4})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))

/** Where the counters of a unit and hour begin. */
export const prefix = (unit: Unit, hour: number): string => `spend/${unit}/${hour.toString().padStart(8, "0")}/`

const idOf = (unit: Unit, now: number, { kind, model, name, path }: Spender): string =>
  `${prefix(unit, Math.floor(now / HOUR_MS))}${escape(kind)}|${escape(name)}|${escape(model)}|${path}`

/** The hour and the spender a counter's id names. */
export const parse = (id: string): Spender & { readonly hour: number } => {
  const hourAt = id.indexOf("/", "spend/".length) + 1
  const restAt = id.indexOf("/", hourAt) + 1
  const [kind = "", name = "", model = "", path = ""] = id.slice(restAt).split("|")
  return {
    hour: Number(id.slice(hourAt, restAt - 1)),
    kind: unescape(kind),
    name: unescape(name),
    model: unescape(model),
    path
  }
}

/** What a charge is for: the path it is on, the action, and what was reported of it. */
interface Charge {
  readonly path: string
  readonly action: Pick<Action, "kind" | "name">
  readonly metrics: Metrics | undefined
  readonly metadata: JsonObject | undefined
}

const pathOf = (scopes: ReadonlyArray<string>): string => scopes[scopes.length - 1] ?? ""

const whole = ({ action, metrics, path }: Charge): Spender => ({
  path,
  kind: action.kind,
  name: action.name,
  model: metrics?.modelVersion ?? action.name
})

/** The rows of an allotment's charge that are at or below its own path; what others claim stays where it was charged. */
const breakdownOf = ({ metadata, path }: Charge): Breakdown.Breakdown =>
  metadata?.[Breakdown.metadataKey] === undefined
    ? none
    : Option.getOrElse(Breakdown.fromMetadata(metadata), () => none)
      .filter(({ scope }) => scope === path || scope.startsWith(`${path}/`))

const none: ReadonlyArray<never> = []

const spenderOf = (row: Breakdown.Row): Spender => ({
  path: row.scope,
  kind: row.action.kind,
  name: row.action.name,
  model: row.model ?? row.action.name
})

/** What a charge of `amount` counts for whom; never more than the amount in all. */
const shares = (charge: Charge, amount: bigint): ReadonlyArray<readonly [Spender, bigint]> => {
  const rows = breakdownOf(charge)
  if (rows.length === 0) return [[whole(charge), amount]]
  let left = amount
  const found: Array<readonly [Spender, bigint]> = []
  for (const row of rows) {
    const part = row.charged < left ? row.charged : left
    if (part > 0n) found.push([spenderOf(row), part])
    left -= part
  }
  if (left > 0n) found.push([whole(charge), left])
  return found
}

const chargeOf = (view: View, command: Command): (Charge & { readonly unit: Unit }) | undefined => {
  if (command._tag === "Event") {
    const { action, actual, metadata, metrics } = command.request
    return { path: pathOf(command.scopes), action, metrics, metadata, unit: actual.unit }
  }
  if (command._tag !== "Commit") return undefined
  const row = view.reservation(command.id)
  if (row === undefined) return undefined
  const { metadata, metrics } = command.request
  return { path: pathOf(row.scopes), action: row.action, metrics, metadata, unit: row.estimate.unit }
}

/** Asks for the counters a charge may touch. */
export const keys = (command: Command, view: View, missing: Missing, now: number): void => {
  if (command._tag !== "Commit" && command._tag !== "Event") return
  if (view.record(command.record) !== undefined) return
  const charge = chargeOf(view, command)
  if (charge === undefined) return
  const { tenant } = command.cause
  missing.counter(tenant, idOf(charge.unit, now, whole(charge)))
  for (const row of breakdownOf(charge)) missing.counter(tenant, idOf(charge.unit, now, spenderOf(row)))
}

/** Counts what a commit or an event was charged. Every budget of its path was charged the same. */
export const count = (view: View, command: Command, change: Change, now: number, keepMs: number): void => {
  if (change.kind !== "COMMIT" && change.kind !== "EVENT") return
  const first = change.budgets[0]
  if (first?.before === undefined) return
  const { after, before } = first
  const amount = after.spent + after.debt - before.spent - before.debt
  const charge = amount > 0n ? chargeOf(view, command) : undefined
  if (charge === undefined) return
  const { tenant } = command.cause
  const keepUntilMs = (Math.floor(now / HOUR_MS) + 1) * HOUR_MS + keepMs
  for (const [spender, part] of shares(charge, amount)) {
    const id = idOf(charge.unit, now, spender)
    const row = view.counter(tenant, id)
    view.putCounter(
      row === undefined
        ? { tenant, id, used: part, held: 0n, carried: 0n, keepUntilMs }
        : { ...row, used: row.used + part, keepUntilMs }
    )
  }
}
