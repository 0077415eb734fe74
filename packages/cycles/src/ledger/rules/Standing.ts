/**
 * Whether whoever asks may still ask: the standing of its key and of its tenant, read in the transaction of the command itself, so
 * that a revocation or a close binds from its own commit on.
 *
 * @internal
 */
import type { ApiKeyRow } from "../Model.ts"
import { covers } from "../Permission.ts"
import type { Refusal } from "../Refusal.ts"
import * as ScopeFilter from "../ScopeFilter.ts"
import type { Missing, View } from "../View.ts"
import { documentOf } from "./ApiKeys.ts"
import type { Cause, Command, Verdict } from "./Command.ts"
import { tenantClosed, unregistered } from "./Tenants.ts"
import { done, KEEP_MS, refused } from "./Verdict.ts"

export const keysOfStanding = (cause: Cause, missing: Missing): void => {
  if (cause.keyId !== undefined) missing.document(documentOf(cause, cause.keyId))
}

const keyOf = (view: View, { keyId, tenant }: Cause): ApiKeyRow | undefined => {
  const row = keyId === undefined ? undefined : view.document({ tenant, kind: "api_key", id: keyId })
  return row?._tag === "api_key" ? row : undefined
}

/** A key that may be used now, for what is needed. */
const unfit = (row: ApiKeyRow | undefined, cause: Cause, now: number): Refusal | undefined => {
  if (row === undefined) return { code: "UNAUTHORIZED", reason: "there is no such key" }
  if (row.status !== "ACTIVE") return { code: "UNAUTHORIZED", reason: "the key was revoked" }
  if (now >= row.expiresAtMs) return { code: "UNAUTHORIZED", reason: "the key has expired" }
  return cause.needs !== undefined && !covers(new Set(row.permissions), cause.needs)
    ? { code: "FORBIDDEN", reason: `the permission ${cause.needs} is missing`, details: { permission: cause.needs } }
    : undefined
}

/** The path a command is about, where there is one. Of a reservation, only the tenant's own. */
const pathOf = (view: View, command: Command): string | undefined => {
  switch (command._tag) {
    case "Decide":
    case "Reserve":
    case "Event":
      return command.scopes[command.scopes.length - 1]
    case "Commit":
    case "Release":
    case "Extend":
    case "Read": {
      const row = view.reservation(command.id)
      return row?.tenant === command.cause.tenant ? row.scopes[row.scopes.length - 1] : undefined
    }
    case "Fund":
    case "UpdateBudget":
      return command.request.scope
    case "CreateBudget":
      return command.budget.scope
    case "ReadLimits":
      return command.scope
    case "CreatePolicy":
      return command.policy.scopePattern
    case "UpdatePolicy":
    case "DeletePolicy":
      return view.policiesOf(command.cause.tenant).find(({ id }) => id === command.id)?.scopePattern
    case "Govern":
      return command.order._tag === "ReadBudget" ? command.order.scope : undefined
    case "Sweep":
    case "Delivered":
      return undefined
  }
}

/** Whether a path is where the caller may act, by its own word and by its key's. */
export const reaches = (view: View, cause: Cause, path: string): boolean =>
  (cause.scopeFilter === undefined || ScopeFilter.allows(cause.scopeFilter, path)) &&
  (cause.keyId === undefined || ScopeFilter.allows(keyOf(view, cause)?.scopeFilter ?? [], path))

/** The segments every path the caller may see has. */
export const filterOf = (view: View, cause: Cause): ReadonlyArray<string> =>
  cause.keyId === undefined ? cause.scopeFilter ?? [] : keyOf(view, cause)?.scopeFilter ?? []

/**
 * The verdict on a command that is over before its own rule is asked; nothing where the rule is to be asked.
 *
 * What a tenant's status forbids stands behind a repeated key, and, by id, behind an unknown or foreign reservation.
 *
 * Specification: section ERROR SEMANTICS, closed owning tenant; `cycles-governance-admin-v0.1.25.yaml`, CASCADE SEMANTICS, RULE 2.
 */
export const gate = (view: View, command: Command, now: number): Verdict | undefined => {
  const { cause } = command
  if (cause.keyId !== undefined) {
    const refusal = unfit(keyOf(view, cause), cause, now)
    if (refusal !== undefined) return refused(refusal)
  }
  if (cause.keyId !== undefined || cause.scopeFilter !== undefined) {
    const path = pathOf(view, command)
    if (path !== undefined && !reaches(view, cause, path)) {
      return refused({ code: "FORBIDDEN", scope: path, reason: "the scope filter does not reach there" })
    }
  }
  switch (view.tenant(cause.tenant)?.profile?.status) {
    case undefined:
      return cause.registered === true && (command._tag === "CreateBudget" || command._tag === "CreatePolicy")
        ? unregistered(cause.tenant)
        : undefined
    case "ACTIVE":
      return undefined
    case "SUSPENDED":
      return suspended(view, command, now)
    case "CLOSED":
      return closed(view, command, now)
    default:
      // A status of a later version lets nothing happen in this one.
      return refused({ code: "FORBIDDEN", reason: "the tenant has a status this version of the ledger does not know" })
  }
}

const isRepeated = (view: View, command: Command): boolean =>
  "record" in command && view.record(command.record) !== undefined

const TENANT_SUSPENDED = "TENANT_SUSPENDED"

const SUSPENDED: Refusal = {
  code: "FORBIDDEN",
  denial: TENANT_SUSPENDED,
  reason: "the tenant is suspended; what was reserved can still be settled",
  details: { suggestion: "Ask an operator to reactivate it" }
}

const suspended = (view: View, command: Command, now: number): Verdict | undefined => {
  if (isRepeated(view, command)) return undefined
  switch (command._tag) {
    case "Decide":
    case "Reserve":
      return denial(command, TENANT_SUSPENDED, now) ?? refused(SUSPENDED)
    case "Event":
    case "CreateBudget":
      return refused(SUSPENDED)
    case "Govern":
      return command.order._tag === "CreateApiKey" || command.order._tag === "RotateApiKey"
        ? refused(SUSPENDED)
        : undefined
    default:
      return undefined
  }
}

const closed = (view: View, command: Command, now: number): Verdict | undefined => {
  if (isRepeated(view, command)) return undefined
  switch (command._tag) {
    case "Decide":
    case "Reserve":
      return denial(command, "TENANT_CLOSED", now) ?? refused(tenantClosed)
    case "Commit":
    case "Release":
    case "Extend":
      return view.reservation(command.id)?.tenant === command.cause.tenant ? refused(tenantClosed) : undefined
    case "Event":
    case "Fund":
    case "CreateBudget":
    case "UpdateBudget":
    case "CreatePolicy":
    case "UpdatePolicy":
    case "DeletePolicy":
      return refused(tenantClosed)
    case "Govern":
      switch (command.order._tag) {
        case "CreateApiKey":
        case "UpdateApiKey":
        case "RevokeApiKey":
        case "RotateApiKey":
          return refused(tenantClosed)
        default:
          return undefined
      }
    case "Read":
    case "ReadLimits":
    case "Sweep":
    case "Delivered":
      return undefined
  }
}

/** Questions are answered, and the answer is kept like any other. */
const denial = (
  command: Command & { readonly _tag: "Decide" | "Reserve" },
  reasonCode: string,
  now: number
): Verdict | undefined => {
  const affectedScopes = command.scopes
  if (command._tag === "Decide") {
    return done(command, { decision: "DENY", reasonCode, affectedScopes }, undefined, now + KEEP_MS)
  }
  if (command.request.dryRun !== true) return undefined
  const scopePath = affectedScopes[affectedScopes.length - 1] ?? ""
  return done(command, { decision: "DENY", reasonCode, affectedScopes, scopePath }, undefined, now + KEEP_MS)
}
