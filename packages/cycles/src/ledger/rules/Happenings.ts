/**
 * What others may want to know of a change or a denial: ledger events, derived from the rows before and after. The rules that make
 * the change need not know of them.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `EventType`; the details have the names of its `EventData…` schemas.
 *
 * @internal
 */
import { knownReasons } from "../../protocol/Decision.ts"
import type { JsonObject } from "../../protocol/Metrics.ts"
import type { BudgetRow, Details, EntryKind } from "../Model.ts"
import { isOverLimit, remaining } from "../Model.ts"
import type { Refusal } from "../Refusal.ts"
import { suggestion } from "../Refusal.ts"
import type { View } from "../View.ts"
import type { BudgetChange, Change, Command, Happening } from "./Command.ts"
import type { BurnRate } from "./Pacing.ts"
import * as Pacing from "./Pacing.ts"

/** What is told of budgets. */
export interface Alerts {
  /** Shares of the allocation, in millionths. */
  readonly thresholds: ReadonlyArray<bigint>
  readonly burnRate: BurnRate
}

const MILLION = 1_000_000n

/** What is used up for good. Holds come and go, so they cross no threshold. */
const used = (row: BudgetRow): bigint => row.spent + row.debt

const reached = (row: BudgetRow, threshold: bigint): boolean => {
  const gone = used(row)
  return gone > 0n && gone * MILLION >= row.allocated * threshold
}

const share = (part: bigint, whole: bigint): number => whole === 0n ? 0 : Number(part) / Number(whole)

const utilization = (row: BudgetRow): Details => ({
  utilization: share(used(row) + row.reserved, row.allocated),
  allocated: row.allocated,
  remaining: remaining(row),
  spent: row.spent,
  reserved: row.reserved
})

const stateOf = (row: BudgetRow): Details => ({
  allocated: row.allocated,
  remaining: remaining(row),
  debt: row.debt,
  spent: row.spent,
  reserved: row.reserved,
  overdraft_limit: row.overdraftLimit,
  status: row.status
})

const lifecycle: { readonly [kind in EntryKind]?: readonly [type: string, operation: string] } = {
  CREATE: ["budget.created", "CREATE"],
  CREDIT: ["budget.funded", "CREDIT"],
  DEBIT: ["budget.debited", "DEBIT"],
  RESET: ["budget.reset", "RESET"],
  RESET_SPENT: ["budget.reset_spent", "RESET_SPENT"],
  REPAY_DEBT: ["budget.debt_repaid", "REPAY_DEBT"],
  UPDATE: ["budget.updated", "UPDATE"]
}

const lifecycleOf = (
  kind: EntryKind,
  { after, before }: BudgetChange,
  reason: string | undefined,
  command: Command | undefined
): Happening | undefined => {
  const words = lifecycle[kind]
  if (words === undefined) return undefined
  const turned = before !== undefined && before.status !== after.status
  const type = !turned
    ? words[0]
    : after.status === "FROZEN"
    ? "budget.frozen"
    : after.status === "CLOSED"
    ? "budget.closed"
    : "budget.unfrozen"
  return at(after, type, {
    ledger_id: after.id,
    scope: after.scope,
    unit: after.unit,
    operation: turned ? "STATUS_CHANGE" : words[1],
    ...(before === undefined ? undefined : { previous_state: stateOf(before) }),
    new_state: stateOf(after),
    ...(kind === "RESET_SPENT" && command?._tag === "Fund"
      ? { spent_override_provided: command.request.spent !== undefined }
      : undefined),
    ...(reason === undefined ? undefined : { reason })
  })
}

const at = ({ scope, unit }: Pick<BudgetRow, "scope" | "unit">, type: string, details: Details): Happening => ({
  type,
  scope,
  unit,
  details
})

const sameMoney = (a: BudgetRow, b: BudgetRow): boolean =>
  a.spent === b.spent && a.debt === b.debt && a.allocated === b.allocated && a.capped === b.capped &&
  a.overdraftLimit === b.overdraftLimit

/** Thresholds, exhaustion, debt and the over-limit flag of one budget. */
const crossings = (
  before: BudgetRow,
  after: BudgetRow,
  change: Change,
  command: Command | undefined,
  alerts: Alerts,
  found: Array<Happening>
): void => {
  const where = { scope: after.scope, unit: after.unit }
  for (const threshold of alerts.thresholds) {
    const now = reached(after, threshold)
    if (now === reached(before, threshold)) continue
    found.push(at(after, "budget.threshold_crossed", {
      ...where,
      threshold: Number(threshold) / Number(MILLION),
      ...utilization(after),
      direction: now ? "rising" : "falling"
    }))
  }
  if (reached(after, MILLION) && !reached(before, MILLION)) {
    found.push(at(after, "budget.exhausted", { ...where, threshold: 1, ...utilization(after), direction: "rising" }))
  }
  if (after.debt > before.debt) {
    const policy = command?._tag === "Event" ? command.request.overagePolicy : change.reservation?.overagePolicy
    found.push(at(after, "budget.debt_incurred", {
      ...where,
      ...(change.reservation === undefined ? undefined : { reservation_id: change.reservation.id }),
      debt_incurred: after.debt - before.debt,
      total_debt: after.debt,
      overdraft_limit: after.overdraftLimit,
      ...(policy === undefined ? undefined : { overage_policy: policy })
    }))
  }
  const over = isOverLimit(after)
  if (over !== isOverLimit(before)) {
    found.push(at(after, over ? "budget.over_limit_entered" : "budget.over_limit_exited", {
      ...where,
      debt: after.debt,
      overdraft_limit: after.overdraftLimit,
      is_over_limit: over,
      debt_utilization: share(after.debt, after.overdraftLimit)
    }))
  }
}

const debtMade = (budgets: ReadonlyArray<BudgetChange>): bigint => {
  let most = 0n
  for (const { after, before } of budgets) {
    const made = after.debt - (before?.debt ?? 0n)
    if (made > most) most = made
  }
  return most
}

/** What happened to the reservation of a change. */
const endings = (change: Change, command: Command | undefined, now: number, found: Array<Happening>): void => {
  const row = change.reservation
  if (row === undefined) return
  const { amount, unit } = row.estimate
  const scope = row.scopes[row.scopes.length - 1] ?? ""
  const told = { reservation_id: row.id, scope, unit, estimated_amount: amount }
  if (change.kind === "COMMIT" && command?._tag === "Commit" && command.request.actual.amount > amount) {
    const actual = command.request.actual.amount
    found.push({
      ...at({ scope, unit }, "reservation.commit_overage", {
        ...told,
        actual_amount: actual,
        overage: actual - amount,
        overage_policy: row.overagePolicy,
        debt_incurred: debtMade(change.budgets)
      }),
      reservationId: row.id
    })
  }
  if (change.kind === "EXPIRE") {
    found.push({
      ...at({ scope, unit }, "reservation.expired", {
        ...told,
        created_at: new Date(row.createdAtMs).toISOString(),
        expired_at: new Date(now).toISOString(),
        ttl_ms: row.expiresAtMs - row.createdAtMs,
        extensions_used: row.extensions
      }),
      reservationId: row.id
    })
  }
}

const none: ReadonlyArray<never> = []

/**
 * The events of a change, and its budgets with their pace, or as they are. A lifecycle event is left out where the change names
 * one of its own for the same budget.
 */
export const ofChange = (
  change: Change,
  command: Command | undefined,
  now: number,
  alerts: Alerts
): { readonly budgets: ReadonlyArray<BudgetChange>; readonly happenings: ReadonlyArray<Happening> } => {
  const { budgets, kind } = change
  if (kind === undefined || kind === "RESERVE" || kind === "RELEASE" || kind === "EXTEND") {
    return { budgets, happenings: none }
  }
  const found: Array<Happening> = []
  endings(change, command, now, found)
  if (kind === "EXPIRE") return { budgets, happenings: found }
  const charging = kind === "COMMIT" || kind === "EVENT"
  const paced = budgets.map((pair): BudgetChange => {
    const { after, before } = pair
    const told = change.events?.some(({ scope, type, unit }) =>
      type.startsWith("budget.") && scope === after.scope && unit === after.unit
    )
    const event = told === true ? undefined : lifecycleOf(kind, pair, change.reason, command)
    if (event !== undefined) found.push(event)
    if (before === undefined || sameMoney(before, after)) return pair
    crossings(before, after, change, command, alerts, found)
    if (!charging) return pair
    const amount = used(after) - used(before)
    const pace = Pacing.charge(before.pace, amount, now, alerts.burnRate)
    const details = Pacing.anomaly(pace, amount, after.allocated, remaining(after), alerts.burnRate)
    if (details !== undefined) {
      found.push(at(after, "budget.burn_rate_anomaly", { scope: after.scope, unit: after.unit, ...details }))
    }
    return { before, after: { ...after, pace } }
  })
  return { budgets: paced, happenings: found }
}

/** What else a refusal tells, as far as an event can: the policy or the limit that spoke, when it reopens. */
const plainDetails = (details: JsonObject | undefined): Details => {
  const kept: { [name: string]: string | number | bigint | boolean } = {}
  for (const [name, value] of Object.entries(details ?? {})) {
    const kind = typeof value
    // The suggestion is told as `suggested_fix`, the name it has in the specification's events.
    if (name !== "suggestion" && (kind === "string" || kind === "number" || kind === "bigint" || kind === "boolean")) {
      kept[name] = value as string | number | bigint | boolean
    }
  }
  return kept
}

const denials = new Set<string>([...knownReasons, "LIMIT_EXCEEDED"])

/**
 * The event of a live hold that was denied, and the budgets of its path that remember it by its number. Questions (decide and dry
 * run) and requests that are refused for what they are leave nothing.
 */
export const ofRefusal = (view: View, command: Command, refusal: Refusal, number: number): Change | undefined => {
  if (command._tag !== "Reserve" || command.request.dryRun === true) return undefined
  if (refusal.denial === undefined && !denials.has(refusal.code)) return undefined
  const { action, estimate, subject } = command.request
  const path = command.scopes[command.scopes.length - 1] ?? ""
  const scope = refusal.scope ?? path
  const budgets: Array<BudgetChange> = []
  for (const name of command.scopes) {
    const before = view.budget(name, estimate.unit)
    if (before !== undefined) budgets.push({ before, after: { ...before, lastDenial: number } })
  }
  const { dimensions, ...levels } = subject
  return {
    kind: undefined,
    budgets,
    events: [
      at({ scope, unit: estimate.unit }, "reservation.denied", {
        scope,
        unit: estimate.unit,
        reason_code: refusal.denial ?? refusal.code,
        requested_amount: estimate.amount,
        remaining: refusal.remaining,
        action: { kind: action.kind, name: action.name },
        subject: { ...levels, ...(dimensions === undefined ? undefined : { dimensions }) },
        scope_path: path,
        message: refusal.reason,
        ...plainDetails(refusal.details),
        suggested_fix: suggestion(refusal)
      })
    ]
  }
}
