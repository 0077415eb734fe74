/**
 * The rule-book: what every command loads, and what comes of it. Pure: the same view, command and time give the same verdict.
 *
 * A verdict is either a refusal, which changes nothing, or a reply with the change it makes. There are no rules anywhere
 * else; a store only loads and writes rows.
 *
 * The order of refusals, first one wins: the request's shape, the caller's key, permission and scopes, the tenant (by id:
 * unknown, then another tenant's), a repeated key, the tenant's status, the reservation's state, the policy that applies, the
 * unit, the budgets from the widest scope to the narrowest.
 *
 * @since 0.1.0
 */
import { decideDecide, decideReserve } from "./rules/Admission.ts"
import { decideCreate, decideFund, decideReadLimits, decideUpdate } from "./rules/Budgets.ts"
import { decideEvent } from "./rules/Charging.ts"
import type { Command, Verdict } from "./rules/Command.ts"
import { audited, decideOrder, keysOfOrder } from "./rules/Governing.ts"
import * as Limits from "./rules/Limits.ts"
import { policyKeys } from "./rules/Policies.ts"
import { decideCreatePolicy, decideDeletePolicy, decideUpdatePolicy } from "./rules/PolicyCommands.ts"
import { decideCommit, decideExtend, decideRelease } from "./rules/Settling.ts"
import { decideRead } from "./rules/Showing.ts"
import { gate, keysOfStanding } from "./rules/Standing.ts"
import type { Missing, View } from "./View.ts"

/**
 * Asks for what a command needs to see and the view does not have. Asked again once those rows are there, since some rows name
 * others.
 *
 * @category combinators
 * @since 0.1.0
 */
export const keys = (command: Command, view: View, missing: Missing, now: number): void => {
  keysOfStanding(command.cause, missing)
  switch (command._tag) {
    case "Decide":
    case "Event": {
      missing.record(command.record)
      for (const scope of command.scopes) missing.scope(scope)
      const { unit } = command._tag === "Decide" ? command.request.estimate : command.request.actual
      Limits.wantAll(view, command.scopes, unit, now, missing)
      if (command._tag === "Decide") policyKeys(command, view, missing, now)
      return
    }
    case "Reserve": {
      missing.record(command.record)
      const first = view.record(command.record)?.reservationId
      if (first !== undefined) missing.reservation(first)
      for (const scope of command.scopes) missing.scope(scope)
      Limits.wantAll(view, command.scopes, command.request.estimate.unit, now, missing)
      policyKeys(command, view, missing, now)
      return
    }
    case "Commit":
    case "Release":
    case "Extend": {
      missing.record(command.record)
      missing.reservation(command.id)
      const reservation = view.reservation(command.id)
      if (reservation !== undefined) {
        for (const scope of reservation.budgeted) missing.scope(scope)
        Limits.wantHeld(reservation, missing)
      }
      return
    }
    case "Fund":
      missing.record(command.record)
      missing.scope(command.request.scope)
      return
    case "Read":
      missing.reservation(command.id)
      return
    case "CreateBudget":
      missing.scope(command.budget.scope)
      Limits.want(command.budget, command.budget.limits, now, missing)
      return
    case "UpdateBudget": {
      const { scope, unit } = command.request
      missing.record(command.record)
      missing.scope(scope)
      // Also where the budget is not there: a command before this one may open it.
      if (command.limits !== undefined) {
        Limits.want({ tenant: command.cause.tenant, scope, unit }, command.limits, now, missing)
      }
      return
    }
    case "Govern":
      keysOfOrder(command, view, missing)
      return
    case "ReadLimits":
      missing.scope(command.scope)
      Limits.wantAll(view, [command.scope], command.unit, now, missing)
      return
    case "DeletePolicy":
      missing.record(command.record)
      return
    case "CreatePolicy":
    case "UpdatePolicy":
    case "Sweep":
    case "Delivered":
      return
  }
}

/**
 * What comes of a command at a time. The tenant's due reservations have been expired before.
 *
 * @category combinators
 * @since 0.1.0
 */
export const decide = (view: View, command: Command, now: number): Verdict => {
  const verdict = gate(view, command, now) ?? ruled(view, command, now)
  const deed = command.cause.deed
  return deed === undefined ? verdict : audited(verdict, deed)
}

const ruled = (view: View, command: Command, now: number): Verdict => {
  switch (command._tag) {
    case "Decide":
      return decideDecide(view, command, now)
    case "Reserve":
      return decideReserve(view, command, now)
    case "Commit":
      return decideCommit(view, command, now)
    case "Release":
      return decideRelease(view, command, now)
    case "Extend":
      return decideExtend(view, command, now)
    case "Event":
      return decideEvent(view, command, now)
    case "Read":
      return decideRead(view, command)
    case "CreateBudget":
      return decideCreate(view, command, now)
    case "UpdateBudget":
      return decideUpdate(view, command, now)
    case "ReadLimits":
      return decideReadLimits(view, command, now)
    case "Fund":
      return decideFund(view, command, now)
    case "CreatePolicy":
      return decideCreatePolicy(view, command, now)
    case "UpdatePolicy":
      return decideUpdatePolicy(view, command, now)
    case "DeletePolicy":
      return decideDeletePolicy(view, command, now)
    case "Govern":
      return decideOrder(view, command, now)
    case "Sweep":
      return { _tag: "Done", reply: undefined, changes: [], record: undefined }
    case "Delivered":
      return {
        _tag: "Done",
        reply: undefined,
        changes: [{ kind: undefined, budgets: [], delivered: command.upTo }],
        record: undefined
      }
  }
}
