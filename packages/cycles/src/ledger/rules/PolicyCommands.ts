/**
 * Policies themselves: creating, changing and deleting them. They bind from the next hold on; holds already taken keep theirs.
 *
 * @internal
 */
import type { PolicyRow } from "../Model.ts"
import * as PolicyShape from "../PolicyShape.ts"
import type { View } from "../View.ts"
import type { Change, Command, Verdict } from "./Command.ts"
import { KEEP_MS, none, refused, replay } from "./Verdict.ts"

/** All policies of a tenant are read for each of its holds. */
const MOST = 1_000

const own = (view: View, tenant: string, id: string): PolicyRow | undefined =>
  view.policiesOf(tenant).find((policy) => policy.id === id)

const taken = (view: View, { id, name, tenant }: PolicyRow): Verdict | undefined =>
  view.policiesOf(tenant).some((policy) => policy.name === name && policy.id !== id)
    ? refused({
      code: "INVALID_REQUEST",
      field: "name",
      reason: `there is already a policy named "${name}"`,
      details: { conflict: "DUPLICATE_RESOURCE" }
    })
    : undefined

const tooMany = (view: View, { tenant }: PolicyRow): Verdict | undefined =>
  view.policiesOf(tenant).length < MOST ? undefined : refused({
    code: "INVALID_REQUEST",
    field: "tenant",
    reason: `it has ${MOST.toLocaleString("en")} policies, and no more are taken; delete those that no longer apply`
  })

/** What the specification calls the parts of a policy; of what it does not know, our own names in its spelling. */
const names: { readonly [field: string]: string } = {
  overagePolicy: "commit_overage_policy",
  defaultTtlMs: "reservation_ttl_override",
  maxTtlMs: "reservation_ttl_override",
  maxExtensions: "reservation_ttl_override",
  maxReservationsPerMinute: "rate_limits",
  maxCommitsPerMinute: "rate_limits",
  effectiveFromMs: "effective_from",
  effectiveUntilMs: "effective_until"
}

const nameOf = (field: string): string =>
  names[field] ?? field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const noPolicy = (id: string): Verdict =>
  refused({
    code: "NOT_FOUND",
    reason: `there is no policy ${id}`,
    details: { suggestion: "Look it up among the tenant's policies" }
  })

/** Specification: operation `createPolicy`. */
export const decideCreatePolicy = (
  view: View,
  command: Command & { readonly _tag: "CreatePolicy" },
  now: number
): Verdict => {
  const policy: PolicyRow = { ...command.policy, createdAtMs: now, updatedAtMs: now }
  // The id was chosen with the command: what has it already was made by this very command, run again.
  const made = own(view, policy.tenant, policy.id)
  if (made !== undefined) return { _tag: "Done", reply: made, changes: none, record: undefined }
  return taken(view, policy) ?? tooMany(view, policy) ??
    done(policy, { documents: [policy], ...noted("create", policy, {}) })
}

/** Specification: operation `updatePolicy`. */
export const decideUpdatePolicy = (
  view: View,
  command: Command & { readonly _tag: "UpdatePolicy" },
  now: number
): Verdict => {
  const { cause, change, id } = command
  const before = own(view, cause.tenant, id)
  if (before === undefined) return noPolicy(id)
  const policy: PolicyRow = { ...PolicyShape.changed(before, change), updatedAtMs: now }
  const flaw = PolicyShape.flawed(policy)
  if (flaw !== undefined) return refused(flaw)
  const fields = Object.entries(change).filter(([, value]) => value !== undefined).map(([field]) => nameOf(field))
  return taken(view, policy) ??
    done(policy, { documents: [policy], ...noted("update", policy, { changed_fields: Array.from(new Set(fields)) }) })
}

/** Its events and acts go by the names of the operations beside it; the specification's only way to end one is DISABLED. */
export const decideDeletePolicy = (
  view: View,
  command: Command & { readonly _tag: "DeletePolicy" },
  now: number
): Verdict => {
  const { cause: { tenant }, digest, id, record } = command
  const again = replay(view, command, now)
  if (again !== undefined) return again
  const policy = own(view, tenant, id)
  if (policy === undefined) return noPolicy(id)
  return {
    ...done(policy, { removed: [{ tenant, kind: "policy", id }], ...noted("delete", policy, {}) }),
    record: { ...record, digest, reply: policy, reservationId: undefined, keepUntilMs: now + KEEP_MS }
  }
}

const done = (
  policy: PolicyRow,
  change: Omit<Change, "kind" | "budgets">
): Verdict & { readonly _tag: "Done" } => ({
  _tag: "Done",
  reply: policy,
  changes: [{ kind: undefined, budgets: none, ...change }],
  record: undefined
})

const noted = (
  what: "create" | "update" | "delete",
  { id, name, scopePattern }: PolicyRow,
  more: { readonly changed_fields?: ReadonlyArray<string> }
): Pick<Change, "events" | "act"> => {
  const details = { policy_id: id, name, scope_pattern: scopePattern, ...more }
  return {
    events: [{ type: `policy.${what}d`, details }],
    act: { operation: `${what}Policy`, resourceType: "policy", resourceId: id, details }
  }
}
