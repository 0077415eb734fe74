/**
 * API keys: making, changing, revoking and replacing them.
 *
 * @internal
 */
import type { ApiKeyRow, DocumentKey } from "../Model.ts"
import type { View } from "../View.ts"
import type { Cause, Change, Command, Happening, Verdict } from "./Command.ts"
import type { Order } from "./Order.ts"
import { refused } from "./Verdict.ts"

type Govern<Tag extends Order["_tag"]> = {
  readonly command: Command & { readonly _tag: "Govern" }
  readonly order: Order & { readonly _tag: Tag }
}

export const documentOf = (cause: Cause, id: string): DocumentKey => ({ tenant: cause.tenant, kind: "api_key", id })

const find = (view: View, cause: Cause, id: string): ApiKeyRow | undefined => {
  const row = view.document(documentOf(cause, id))
  return row?._tag === "api_key" ? row : undefined
}

const unknown = (id: string): Verdict =>
  refused({
    code: "NOT_FOUND",
    reason: `there is no key ${id}`,
    details: { suggestion: "Look it up among the tenant's keys" }
  })

const answered = (row: ApiKeyRow, changes: ReadonlyArray<Change>): Verdict => ({
  _tag: "Done",
  reply: row,
  changes,
  record: undefined
})

const put = (documents: ReadonlyArray<ApiKeyRow>, events: ReadonlyArray<Happening>): ReadonlyArray<Change> => [
  { kind: undefined, budgets: [], documents, events }
]

const happening = (type: string, row: ApiKeyRow, previous: string | undefined): Happening => ({
  type,
  details: {
    key_id: row.id,
    key_name: row.name,
    previous_status: previous,
    new_status: row.status,
    permissions: row.permissions
  }
})

/** A key that can still be changed, or why not. */
const usable = (view: View, cause: Cause, id: string, now: number): ApiKeyRow | Verdict => {
  const row = find(view, cause, id)
  if (row === undefined) return unknown(id)
  const spent = row.status === "REVOKED"
    ? { reason: "it was revoked", conflict: "KEY_REVOKED" }
    : now >= row.expiresAtMs
    ? { reason: "it has expired", conflict: "KEY_EXPIRED" }
    : undefined
  return spent === undefined ? row : refused({
    code: "INVALID_REQUEST",
    field: "id",
    reason: `${spent.reason}; make a new key`,
    details: { conflict: spent.conflict }
  })
}

const isVerdict = (value: ApiKeyRow | Verdict): value is Verdict => value._tag !== "api_key"

/** Source: operation `createApiKey`. */
export const decideCreateApiKey = (
  view: View,
  { command, order }: Govern<"CreateApiKey">,
  now: number
): Verdict => {
  const { tenant } = command.cause
  if (view.tenant(tenant)?.profile === undefined) {
    return refused({
      code: "NOT_FOUND",
      reason: `there is no tenant ${tenant}`,
      details: { suggestion: "Register it first, by createTenant" }
    })
  }
  // The same command again, because its first transaction took effect and its answer was lost.
  const there = find(view, command.cause, order.key.id)
  if (there !== undefined) return answered(there, [])
  if (order.key.expiresAtMs <= now) {
    return refused({ code: "INVALID_REQUEST", field: "expiresAtMs", reason: "must be in the future" })
  }
  const row: ApiKeyRow = { ...order.key, createdAtMs: now }
  return answered(row, put([row], [happening("api_key.created", row, undefined)]))
}

/** Source: operation `updateApiKey`. */
export const decideUpdateApiKey = (
  view: View,
  { command, order }: Govern<"UpdateApiKey">,
  now: number
): Verdict => {
  const before = usable(view, command.cause, order.id, now)
  if (isVerdict(before)) return before
  const { description, metadata, name, permissions, scopeFilter } = order.settings
  const row: ApiKeyRow = {
    ...before,
    name: name ?? before.name,
    description: description ?? before.description,
    permissions: permissions ?? before.permissions,
    scopeFilter: scopeFilter ?? before.scopeFilter,
    metadata: metadata ?? before.metadata
  }
  const events = permissions === undefined && scopeFilter === undefined
    ? []
    : [happening("api_key.permissions_changed", row, before.status)]
  return answered(row, put([row], events))
}

const revoked = (row: ApiKeyRow, reason: string | undefined, now: number): ApiKeyRow => ({
  ...row,
  status: "REVOKED",
  revokedAtMs: now,
  revokedReason: reason
})

/** Source: operation `revokeApiKey`. A key that is revoked already stays as it is. */
export const decideRevokeApiKey = (
  view: View,
  { command, order }: Govern<"RevokeApiKey">,
  now: number
): Verdict => {
  const before = find(view, command.cause, order.id)
  if (before === undefined) return unknown(order.id)
  if (before.status === "REVOKED") {
    return order.once
      ? refused({
        code: "INVALID_REQUEST",
        field: "id",
        reason: "it was revoked already",
        details: { conflict: "KEY_REVOKED" }
      })
      : answered(before, [])
  }
  const row = revoked(before, order.reason, now)
  return answered(row, put([row], [happening("api_key.revoked", row, before.status)]))
}

/** A new key of the same rights; the old one is revoked, at once or when the overlap is over. */
export const decideRotateApiKey = (
  view: View,
  { command, order }: Govern<"RotateApiKey">,
  now: number
): Verdict => {
  const there = find(view, command.cause, order.next.id)
  if (there !== undefined) return answered(there, [])
  const before = usable(view, command.cause, order.id, now)
  if (isVerdict(before)) return before
  const row: ApiKeyRow = {
    ...before,
    ...order.next,
    createdAtMs: now,
    expiresAtMs: now + (before.expiresAtMs - before.createdAtMs)
  }
  const old: ApiKeyRow = order.overlapMs === 0
    ? revoked(before, `replaced by ${row.id}`, now)
    : { ...before, expiresAtMs: Math.min(before.expiresAtMs, now + order.overlapMs) }
  return answered(
    row,
    put([old, row], [
      happening("api_key.created", row, undefined),
      ...(old.status === "REVOKED" ? [happening("api_key.revoked", old, before.status)] : [])
    ])
  )
}

export const decideReadApiKey = (view: View, { command, order }: Govern<"ReadApiKey">): Verdict => {
  const row = find(view, command.cause, order.id)
  return row === undefined ? unknown(order.id) : answered(row, [])
}
