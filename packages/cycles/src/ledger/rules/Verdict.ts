/**
 * Putting a verdict together: refusals, replies that are remembered, and replies given again.
 *
 * @internal
 */
import type { Balance } from "../../protocol/Balance.ts"
import type { ReservationId } from "../../protocol/Ids.ts"
import type { BudgetRow, IdempotencyRow, Reply } from "../Model.ts"
import type { Refusal } from "../Refusal.ts"
import type { View } from "../View.ts"
import type { BudgetChange, Cause, Change, Remembered, Verdict } from "./Command.ts"
import { balanceOf } from "./Showing.ts"

export const refused = (refusal: Refusal): Verdict => ({ _tag: "Refused", refusal })

const DAY_MS = 86_400_000

/** Keys of settlements and events outlive any sensible retry; the others cover a day of them. */
export const KEEP_SETTLED_MS = 30 * DAY_MS
export const KEEP_MS = DAY_MS

/** The first reply again, a refusal for another payload under the same key, or nothing for a new key. */
export const replay = (view: View, command: Remembered, now: number): Verdict | undefined => {
  const record = view.record(command.record)
  if (record === undefined) {
    if (!view.knowsRecord(command.record)) throw new Error(`the record ${command.record.id} was not loaded`)
    return undefined
  }
  if (record.digest !== command.digest) {
    return refused({
      code: "IDEMPOTENCY_MISMATCH",
      reason: `key "${record.key}" was used for another ${record.operation}`
    })
  }
  return { _tag: "Done", reply: observed(view, record, now), changes: none, record: undefined }
}

/** A kept reply is given again to the letter, but for what is left of the lease, which is as of now. */
const observed = (view: View, record: IdempotencyRow, now: number): Reply => {
  const reply = record.reply
  if (record.reservationId === undefined || !("remainingTtlMs" in reply) || reply.expiresAtMs === undefined) {
    return reply
  }
  const active = view.reservation(record.reservationId)?.status === "ACTIVE"
  return { ...reply, remainingTtlMs: active ? Math.max(0, reply.expiresAtMs - now) : 0 }
}

export const done = (
  command: Remembered,
  reply: Reply,
  change: Change | undefined,
  keepUntilMs: number,
  reservationId?: ReservationId
): Verdict => {
  const { id, key, operation, tenant } = command.record
  return {
    _tag: "Done",
    reply,
    changes: change === undefined ? none : [change],
    record: { id, tenant, operation, key, digest: command.digest, reply, reservationId, keepUntilMs }
  }
}

/** The budgets after a change, for a reply; left out where the principal does not want them. */
export const shown = (
  cause: Cause,
  budgets: ReadonlyArray<BudgetChange>
): { readonly balances?: ReadonlyArray<Balance> } =>
  cause.balances ? { balances: budgets.map(({ after }) => balanceOf(after)) } : nothing

export const nothing = {}

export const none: ReadonlyArray<never> = []

/** Each budget before and after. */
export const pairs = (
  before: ReadonlyArray<BudgetRow>,
  after: ReadonlyArray<BudgetRow>
): ReadonlyArray<BudgetChange> => after.map((row, i) => ({ before: before[i], after: row }))
