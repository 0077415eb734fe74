/**
 * One transaction's worth of commands decided over one view, in order: what they need, and what they leave in it. Pure.
 *
 * @internal
 */
import type { CyclesError } from "../protocol/CyclesError.ts"
import { InternalError } from "../protocol/CyclesError.ts"
import { emptyTenant } from "./Model.ts"
import * as Rules from "./Rules.ts"
import type { BudgetChange, Cause, Change, Command, Verdict } from "./rules/Command.ts"
import type { Alerts } from "./rules/Happenings.ts"
import * as Happenings from "./rules/Happenings.ts"
import * as Limits from "./rules/Limits.ts"
import { expire } from "./rules/Settling.ts"
import * as Spending from "./rules/Spending.ts"
import { none } from "./rules/Verdict.ts"
import type { View } from "./View.ts"
import { Missing } from "./View.ts"

/** `defect` is for the log alone: a caller is not told about the inside. */
export type Answer = Verdict | { readonly _tag: "Broken"; readonly error: CyclesError; readonly defect?: unknown }

/** What is told and counted of changes beside their entries. */
export interface Settings {
  readonly alerts: Alerts
  /** How long counters of spending are kept, in milliseconds. */
  readonly keepSpendMs: number
}

/** What the batch still needs: each tenant with what is due in it, and what the rules ask for. */
export const wanted = (
  batch: ReadonlyArray<Command>,
  tenants: ReadonlyArray<string>,
  view: View,
  now: number
): Missing => {
  const missing = new Missing(view)
  for (const tenant of tenants) {
    missing.tenant(tenant)
    for (const row of view.dueOf(tenant)) {
      for (const scope of row.budgeted) missing.scope(scope)
      Limits.wantHeld(row, missing)
    }
  }
  for (const command of batch) {
    Rules.keys(command, view, missing, now)
    Spending.keys(command, view, missing, now)
  }
  return missing
}

/** Whose doing it is when nobody asked. */
export const system = {
  actor: "system",
  actorType: "system" as const,
  requestId: undefined,
  traceId: undefined,
  balances: false
}

/** Ends the holds of a tenant that are due. */
export const expireDue = (view: View, tenant: string, now: number, settings: Settings): void => {
  for (const row of view.dueOf(tenant)) {
    if (view.reservation(row.id)?.status !== "ACTIVE") continue
    apply(view, { tenant, ...system }, expire(view, row), undefined, now, settings)
  }
}

/** What a caller is told of a defect. */
export const BROKEN = "the ledger broke; its log says how"

/** A command that breaks the rules' code fails alone: nothing of it has been applied. */
export const answer = (view: View, command: Command, now: number, settings: Settings): Answer => {
  let verdict: Verdict
  try {
    verdict = Rules.decide(view, command, now)
  } catch (defect) {
    return { _tag: "Broken", error: new InternalError({ reason: BROKEN }), defect }
  }
  for (const change of verdict.changes ?? none) apply(view, command.cause, change, command, now, settings)
  if (verdict._tag === "Refused") {
    const number = (view.tenant(command.cause.tenant)?.lastEvent ?? 0) + 1
    const denial = Happenings.ofRefusal(view, command, verdict.refusal, number)
    if (denial !== undefined) apply(view, command.cause, denial, command, now, settings)
  } else if (verdict.record !== undefined) {
    view.addRecord(verdict.record)
  }
  return verdict
}

const apply = (
  view: View,
  cause: Cause,
  change: Change,
  command: Command | undefined,
  now: number,
  { alerts, keepSpendMs }: Settings
): void => {
  const before = view.tenant(cause.tenant) ?? emptyTenant(cause.tenant)
  const lastEntry = change.kind === undefined ? before.lastEntry : before.lastEntry + 1
  const seen = Happenings.ofChange(change, command, now, alerts)
  const happenings = change.events === undefined ? seen.happenings : [...change.events, ...seen.happenings]
  view.putTenant({
    ...before,
    lastTimeMs: now,
    lastEntry,
    lastEvent: before.lastEvent + happenings.length,
    deliveredEvent: Math.max(before.deliveredEvent, change.delivered ?? 0),
    lastAct: change.act === undefined ? before.lastAct : before.lastAct + 1,
    profile: change.profile ?? before.profile
  })
  const budgets: ReadonlyArray<BudgetChange> = change.kind === undefined
    ? seen.budgets
    : seen.budgets.map(({ after, before }) => ({
      // A verdict may change a budget more than once; only here the entry of its earlier change has a number.
      before: before === undefined ? undefined : view.budget(before.scope, before.unit) ?? before,
      after: { ...after, lastEntry }
    }))
  for (const { after } of budgets) view.putBudget(after)
  if (command !== undefined) Spending.count(view, command, change, now, keepSpendMs)
  if (change.reservation !== undefined) view.putReservation(change.reservation)
  for (const row of change.counters ?? none) view.putCounter(row)
  for (const row of change.documents ?? none) view.putDocument(row)
  for (const key of change.removed ?? none) view.removeDocument(key)
  const { actor, actorType, keyId, requestId, tenant, traceId } = cause
  if (change.kind !== undefined) {
    view.addEntry({
      tenant,
      number: lastEntry,
      atMs: now,
      kind: change.kind,
      actor,
      reservationId: change.reservation?.id,
      eventId: change.eventId,
      action: change.reservation?.action ?? (command?._tag === "Event" ? command.request.action : undefined),
      metrics: command?._tag === "Commit" || command?._tag === "Event" ? command.request.metrics : undefined,
      reason: change.reason,
      requestId,
      traceId,
      changes: budgets
    })
  }
  for (let i = 0; i < happenings.length; i++) {
    const { details, reservationId, scope, type, unit } = happenings[i]!
    const number = before.lastEvent + 1 + i
    view.addEvent({
      tenant,
      number,
      atMs: now,
      type,
      actor,
      actorType,
      keyId,
      scope,
      unit,
      reservationId,
      requestId,
      traceId,
      details
    })
  }
  if (change.act !== undefined) {
    const { details, errorCode, operation, resourceId, resourceType } = change.act
    const number = before.lastAct + 1
    view.addAct({
      tenant,
      number,
      atMs: now,
      actor,
      actorType,
      keyId,
      operation,
      resourceType,
      resourceId,
      errorCode,
      requestId,
      traceId,
      details
    })
  }
}
