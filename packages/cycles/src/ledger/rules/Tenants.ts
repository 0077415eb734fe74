/**
 * Tenants: registering, changing, suspending and closing them.
 *
 * @internal
 */
import type { BudgetRow, CounterRow, TenantProfile } from "../Model.ts"
import type { Refusal } from "../Refusal.ts"
import type { Missing, View } from "../View.ts"
import type { Change, Command, Happening, Verdict } from "./Command.ts"
import * as Limits from "./Limits.ts"
import type { Order, TenantSettings } from "./Order.ts"
import { refused } from "./Verdict.ts"

type Govern<Tag extends Order["_tag"]> = {
  readonly command: Command & { readonly _tag: "Govern" }
  readonly order: Order & { readonly _tag: Tag }
}

/** The parent that is asked for, and those above it as far as they are known: each is a row to load. */
export const keysOfParents = (parent: string, view: View, missing: Missing): void => {
  const seen = new Set<string>()
  for (let at: string | undefined = parent; at !== undefined && !seen.has(at); at = view.tenant(at)?.profile?.parent) {
    seen.add(at)
    missing.tenant(at)
  }
}

const flawedParent = (view: View, tenant: string, parent: string | null | undefined): Refusal | undefined => {
  if (parent === undefined || parent === null) return undefined
  const invalid = (reason: string): Refusal => ({ code: "INVALID_REQUEST", field: "parent", reason })
  const profile = view.tenant(parent)?.profile
  if (profile === undefined) return invalid(`there is no tenant ${parent}`)
  if (profile.status === "CLOSED") return invalid(`the tenant ${parent} is closed`)
  const seen = new Set<string>()
  for (let at: string | undefined = parent; at !== undefined && !seen.has(at); at = view.tenant(at)?.profile?.parent) {
    if (at === tenant) return invalid(`${tenant} would be above itself`)
    seen.add(at)
  }
  return undefined
}

const settled = (before: TenantProfile, settings: TenantSettings): TenantProfile => ({
  ...before,
  name: settings.name ?? before.name,
  parent: settings.parent === null ? undefined : settings.parent ?? before.parent,
  overagePolicy: settings.overagePolicy ?? before.overagePolicy,
  defaultTtlMs: settings.defaultTtlMs ?? before.defaultTtlMs,
  maxTtlMs: settings.maxTtlMs ?? before.maxTtlMs,
  maxExtensions: settings.maxExtensions ?? before.maxExtensions,
  expiryPolicy: settings.expiryPolicy ?? before.expiryPolicy,
  metadata: settings.metadata ?? before.metadata
})

export const unregistered = (tenant: string): Verdict =>
  refused({
    code: "NOT_FOUND",
    reason: `there is no tenant ${tenant}`,
    details: { suggestion: "Register it first, by createTenant" }
  })

const answered = (profile: TenantProfile, changes: ReadonlyArray<Change>): Verdict => ({
  _tag: "Done",
  reply: profile,
  changes,
  record: undefined
})

const registered = (profile: TenantProfile, isNew: boolean, changes: ReadonlyArray<Change>): Verdict => ({
  _tag: "Done",
  reply: { profile, isNew },
  changes,
  record: undefined
})

/** A registered tenant's profile, for those that may not be closed. */
const open = (view: View, tenant: string): TenantProfile | Verdict => {
  const profile = view.tenant(tenant)?.profile
  if (profile === undefined) return unregistered(tenant)
  return profile.status === "CLOSED" ? refused(tenantClosed) : profile
}

export const tenantClosed: Refusal = { code: "TENANT_CLOSED", reason: "closing is for good" }

/** Source: operation `createTenant`: safe to repeat, by id and name. */
export const decideCreateTenant = (
  view: View,
  { command, order }: Govern<"CreateTenant">,
  now: number
): Verdict => {
  const tenant = command.cause.tenant
  const there = view.tenant(tenant)?.profile
  if (there !== undefined) {
    return there.name === order.name ? registered(there, false, []) : refused({
      code: "INVALID_REQUEST",
      field: "tenant",
      reason: `there is already a tenant ${tenant}, of another name`,
      details: { conflict: "DUPLICATE_RESOURCE" }
    })
  }
  const parent = flawedParent(view, tenant, order.settings.parent)
  if (parent !== undefined) return refused(parent)
  const profile = settled({
    name: order.name,
    status: "ACTIVE",
    parent: undefined,
    overagePolicy: undefined,
    defaultTtlMs: undefined,
    maxTtlMs: undefined,
    maxExtensions: undefined,
    expiryPolicy: undefined,
    metadata: undefined,
    createdAtMs: now,
    updatedAtMs: now,
    suspendedAtMs: undefined,
    closedAtMs: undefined
  }, order.settings)
  const event: Happening = { type: "tenant.created", details: { tenant_id: tenant, new_status: "ACTIVE" } }
  return registered(profile, true, [{ kind: undefined, budgets: [], profile, events: [event] }])
}

/** What the specification calls them. */
const names = {
  name: "name",
  parent: "parent_tenant_id",
  overagePolicy: "default_commit_overage_policy",
  defaultTtlMs: "default_reservation_ttl_ms",
  maxTtlMs: "max_reservation_ttl_ms",
  maxExtensions: "max_reservation_extensions",
  expiryPolicy: "reservation_expiry_policy",
  metadata: "metadata"
} as const

/** What the specification calls settings, as opposed to name, parent and metadata. */
const settings = ["overagePolicy", "defaultTtlMs", "maxTtlMs", "maxExtensions", "expiryPolicy"] as const

const isUnset = (settings: TenantSettings): boolean => Object.values(settings).every((value) => value === undefined)

/** Source: operation `updateTenant`; a status that comes with settings is changed with them, or neither is. */
export const decideUpdateTenant = (
  view: View,
  { command, order }: Govern<"UpdateTenant">,
  now: number
): Verdict => {
  const tenant = command.cause.tenant
  const { status } = order
  if (status !== undefined && isUnset(order.settings)) return decideStatus(view, tenant, status, now)
  const before = open(view, tenant)
  if ("_tag" in before) return before
  const parent = flawedParent(view, tenant, order.settings.parent)
  if (parent !== undefined) return refused(parent)
  const profile = { ...settled(before, order.settings), updatedAtMs: now }
  const fields = (["name", "parent", ...settings, "metadata"] as const).filter((name) => profile[name] !== before[name])
  const event: Happening = {
    type: settings.some((name) => fields.includes(name)) ? "tenant.settings_changed" : "tenant.updated",
    details: { tenant_id: tenant, changed_fields: fields.map((name) => names[name]) }
  }
  return answeredInStatus(view, tenant, profile, status ?? profile.status, [event], now)
}

const EVENTS = { ACTIVE: "tenant.reactivated", SUSPENDED: "tenant.suspended", CLOSED: "tenant.closed" } as const

/** Source: operation `updateTenant`, STATUS TRANSITIONS. A tenant that has the status already stays as it is. */
const decideStatus = (view: View, tenant: string, status: TenantProfile["status"], now: number): Verdict => {
  const before = view.tenant(tenant)?.profile
  if (before === undefined) return unregistered(tenant)
  if (before.status === status) return answered(before, [])
  if (before.status === "CLOSED") return refused(tenantClosed)
  return answeredInStatus(view, tenant, before, status, [], now)
}

export const decideSetTenantStatus = (
  view: View,
  { command, order }: Govern<"SetTenantStatus">,
  now: number
): Verdict => decideStatus(view, command.cause.tenant, order.status, now)

/** The profile in a status, and what comes of that and of what was changed before. */
const answeredInStatus = (
  view: View,
  tenant: string,
  before: TenantProfile,
  status: TenantProfile["status"],
  events: ReadonlyArray<Happening>,
  now: number
): Verdict => {
  if (before.status === status) {
    return answered(before, [{ kind: undefined, budgets: [], profile: before, events }])
  }
  const profile: TenantProfile = {
    ...before,
    status,
    updatedAtMs: now,
    suspendedAtMs: status === "SUSPENDED" ? now : status === "ACTIVE" ? undefined : before.suspendedAtMs,
    closedAtMs: status === "CLOSED" ? now : undefined
  }
  const event: Happening = {
    type: EVENTS[status],
    details: { tenant_id: tenant, previous_status: before.status, new_status: status }
  }
  return answered(profile, [
    ...(status === "CLOSED" ? cascade(view, tenant, now) : []),
    { kind: undefined, budgets: [], profile, events: [...events, event] }
  ])
}

export const decideReadTenant = (view: View, command: Command & { readonly _tag: "Govern" }): Verdict => {
  const profile = view.tenant(command.cause.tenant)?.profile
  return profile === undefined ? unregistered(command.cause.tenant) : answered(profile, [])
}

/** Why everything of a closed tenant ends. */
export const TENANT_CLOSED = "tenant_closed"

/**
 * What closing a tenant ends: its holds, once each; its budgets; its keys. In this order, so that every hold finds the budgets it
 * was taken from.
 *
 * Source: section CASCADE SEMANTICS, RULE 1, MODE A.
 */
const cascade = (view: View, tenant: string, now: number): ReadonlyArray<Change> => {
  const whole = view.whole(tenant)
  if (whole === undefined) throw new Error(`what ${tenant} has was not loaded`)
  const changes: Array<Change> = []
  const budgets = new Map<string, BudgetRow>(
    sorted(whole.budgets.map((row) => [`${row.scope} ${row.unit}`, row] as const), ([name]) => name)
  )
  const counters = new Map<string, CounterRow>()
  const drained = new Map<string, bigint>()
  // In an order of its own, whatever order the store has: the same close leaves the same history.
  for (const row of sorted(whole.open, ({ id }) => id)) {
    const { amount, unit } = row.estimate
    const held = Limits.giveBack({ counter: (of, id) => counters.get(id) ?? view.counter(of, id) }, row)
    for (const counter of held) counters.set(counter.id, counter)
    changes.push({
      kind: "RELEASE",
      reason: TENANT_CLOSED,
      budgets: row.budgeted.map((scope) => {
        const name = `${scope} ${unit}`
        const before = budgets.get(name)
        if (before === undefined) throw new Error(`budget ${scope} of reservation ${row.id} is missing`)
        const after = { ...before, reserved: before.reserved - amount }
        budgets.set(name, after)
        drained.set(name, (drained.get(name) ?? 0n) + amount)
        return { before, after }
      }),
      reservation: { ...row, status: "RELEASED", finalizedAtMs: now },
      counters: held,
      act: {
        operation: "reservation.released_via_tenant_cascade",
        resourceType: "reservation",
        resourceId: row.id,
        details: { unit, released_amount: amount, cascade_reason: TENANT_CLOSED }
      }
    })
  }
  for (const [name, before] of budgets) {
    if (before.status !== "CLOSED") changes.push(closed(before, drained.get(name) ?? 0n, now))
  }
  for (const before of sorted(whole.apiKeys, ({ id }) => id)) {
    if (before.status === "REVOKED") continue
    const { id, name } = before
    const details = {
      key_id: id,
      name,
      prior_status: before.status,
      new_status: "REVOKED",
      cascade_reason: TENANT_CLOSED
    }
    const type = "api_key.revoked_via_tenant_cascade"
    changes.push({
      kind: undefined,
      budgets: [],
      documents: [{ ...before, status: "REVOKED", revokedAtMs: now, revokedReason: TENANT_CLOSED }],
      events: [{ type, details }],
      act: { operation: type, resourceType: "api_key", resourceId: id, details }
    })
  }
  return changes
}

const sorted = <A>(rows: ReadonlyArray<A>, name: (row: A) => string): ReadonlyArray<A> =>
  [...rows].sort((a, b) => name(a) < name(b) ? -1 : 1)

const closed = (before: BudgetRow, drained: bigint, now: number): Change => {
  const { id, scope, status, unit } = before
  const details = { ledger_id: id, scope, unit, prior_status: status, cascade_reason: TENANT_CLOSED }
  const type = "budget.closed_via_tenant_cascade"
  const released: ReadonlyArray<Happening> = drained === 0n ? [] : [{
    type: "reservation.released_via_tenant_cascade",
    scope,
    unit,
    details: { ...details, released_amount: drained }
  }]
  return {
    kind: "UPDATE",
    reason: TENANT_CLOSED,
    budgets: [{ before, after: { ...before, status: "CLOSED", updatedAtMs: now } }],
    events: [...released, { type, scope, unit, details: { ...details, new_status: "CLOSED" } }],
    act: {
      operation: type,
      resourceType: "budget",
      resourceId: id,
      details: { ...details, new_status: "CLOSED" }
    }
  }
}
