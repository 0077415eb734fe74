/**
 * The orders of governance, and the audit of whatever governs.
 *
 * @internal
 */
import type { Refusal } from "../Refusal.ts"
import type { Missing, View } from "../View.ts"
import {
  decideCreateApiKey,
  decideReadApiKey,
  decideRevokeApiKey,
  decideRotateApiKey,
  decideUpdateApiKey,
  documentOf
} from "./ApiKeys.ts"
import type { Change, Command, Deed, Verdict } from "./Command.ts"
import * as Limits from "./Limits.ts"
import {
  decideCreateTenant,
  decideReadTenant,
  decideSetTenantStatus,
  decideUpdateTenant,
  keysOfParents
} from "./Tenants.ts"
import { none, refused } from "./Verdict.ts"

type Govern = Command & { readonly _tag: "Govern" }

export const keysOfOrder = ({ cause, order }: Govern, view: View, missing: Missing): void => {
  switch (order._tag) {
    case "CreateTenant":
    case "UpdateTenant":
      if (typeof order.settings.parent === "string") keysOfParents(order.settings.parent, view, missing)
      if (order._tag === "UpdateTenant" && order.status === "CLOSED") keysOfClosing(cause.tenant, view, missing)
      return
    case "SetTenantStatus":
      if (order.status === "CLOSED") keysOfClosing(cause.tenant, view, missing)
      return
    case "CreateApiKey":
      missing.document(documentOf(cause, order.key.id))
      return
    case "RotateApiKey":
      missing.document(documentOf(cause, order.id))
      missing.document(documentOf(cause, order.next.id))
      return
    case "UpdateApiKey":
    case "RevokeApiKey":
    case "ReadApiKey":
      missing.document(documentOf(cause, order.id))
      return
    case "ReadBudget":
      missing.scope(order.scope)
      return
    case "ReadTenant":
    case "Refuse":
      return
  }
}

const keysOfClosing = (tenant: string, view: View, missing: Missing): void => {
  missing.whole(tenant)
  for (const row of view.whole(tenant)?.open ?? none) Limits.wantHeld(row, missing)
}

export const decideOrder = (view: View, command: Govern, now: number): Verdict => {
  const { order } = command
  switch (order._tag) {
    case "CreateTenant":
      return decideCreateTenant(view, { command, order }, now)
    case "UpdateTenant":
      return decideUpdateTenant(view, { command, order }, now)
    case "SetTenantStatus":
      return decideSetTenantStatus(view, { command, order }, now)
    case "ReadTenant":
      return decideReadTenant(view, command)
    case "CreateApiKey":
      return decideCreateApiKey(view, { command, order }, now)
    case "UpdateApiKey":
      return decideUpdateApiKey(view, { command, order }, now)
    case "RevokeApiKey":
      return decideRevokeApiKey(view, { command, order }, now)
    case "RotateApiKey":
      return decideRotateApiKey(view, { command, order }, now)
    case "ReadApiKey":
      return decideReadApiKey(view, { command, order })
    case "ReadBudget": {
      const { scope, unit } = order
      const reply = view.budget(scope, unit)
      return reply === undefined
        ? refused({ code: "BUDGET_NOT_FOUND", scope, unit, reason: `there is no budget in ${unit}` })
        : { _tag: "Done", reply, changes: none, record: undefined }
    }
    case "Refuse":
      return refused(order.refusal)
  }
}

/** What the governance plane calls a refusal, which is what the caller was told. Source: schema `ErrorCode`. */
const codeOf = ({ operation, resourceType }: Deed, { code, details }: Refusal): string => {
  const conflict = details?.["conflict"]
  if (code === "INVALID_REQUEST" && typeof conflict === "string") return conflict
  if (code === "FORBIDDEN" && details?.["permission"] !== undefined) return "INSUFFICIENT_PERMISSIONS"
  // What a new key lacks is its tenant.
  const isTenant = resourceType === "tenant" || operation === "createApiKey"
  return code === "NOT_FOUND" && isTenant ? "TENANT_NOT_FOUND" : code
}

/** Adds the act to what comes of it, done or refused. What changes nothing, a repeated command for one, is no act. */
export const audited = (verdict: Verdict, deed: Deed): Verdict => {
  const changes = verdict.changes ?? none
  if (verdict._tag === "Refused") {
    const errorCode = codeOf(deed, verdict.refusal)
    const act: Change = { kind: undefined, budgets: [], act: { ...deed, errorCode } }
    return { ...verdict, changes: [...changes, act] }
  }
  const last = changes[changes.length - 1]
  return last === undefined
    ? verdict
    : { ...verdict, changes: [...changes.slice(0, -1), { ...last, act: last.act ?? deed }] }
}
