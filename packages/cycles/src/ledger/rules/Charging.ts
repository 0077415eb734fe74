/**
 * Charging without a hold: events.
 *
 * @internal
 */
import * as Result from "effect/Result"
import type { EventReply } from "../../protocol/Event.ts"
import * as Charge from "../Charge.ts"
import { remaining } from "../Model.ts"
import type { View } from "../View.ts"
import { blocked, budgetsFor } from "./Admission.ts"
import type { Command, Verdict } from "./Command.ts"
import * as Limits from "./Limits.ts"
import { overageOf, policyOf } from "./Policies.ts"
import { done, KEEP_SETTLED_MS, pairs, refused, replay, shown } from "./Verdict.ts"

/** Specification: operation `createEvent`. Debt and an over-limit flag do not refuse what has already happened. */
export const decideEvent = (view: View, command: Command & { readonly _tag: "Event" }, now: number): Verdict => {
  const { cause, id, request, scopes } = command
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const { actual } = request
  const found = budgetsFor(view, scopes, actual.unit)
  if (Result.isFailure(found)) return refused(found.failure)
  const rows = found.success
  const policy = overageOf(
    request.overagePolicy,
    policyOf(view, cause.tenant, scopes, now),
    rows,
    view.tenant(cause.tenant)?.profile
  )
  for (const row of rows) {
    const status = blocked(row)
    if (status !== undefined) return refused(status)
    if (policy === "REJECT" && remaining(row) < actual.amount) {
      return refused({
        code: "BUDGET_EXCEEDED",
        scope: row.scope,
        unit: row.unit,
        requested: actual.amount,
        remaining: remaining(row)
      })
    }
    const limited = policy === "REJECT" ? Limits.refuses(view, row, actual.amount, now) : undefined
    if (limited !== undefined) return refused(limited)
  }
  const charged = Charge.charge(rows, 0n, actual.amount, policy)
  if (Result.isFailure(charged)) return refused(charged.failure)
  const billed = charged.success.charged
  const counters = Limits.charge(view, rows, billed, now)
  if (Result.isFailure(counters)) return refused(counters.failure)
  const budgets = pairs(rows, charged.success.after)
  const reply: EventReply = {
    status: "APPLIED",
    eventId: id,
    ...(billed < actual.amount ? { charged: { unit: actual.unit, amount: billed } } : undefined),
    ...shown(cause, budgets)
  }
  const change = { kind: "EVENT", budgets, eventId: id, counters: counters.success } as const
  return done(command, reply, change, now + KEEP_SETTLED_MS)
}
