// API keys: what the wire asks for in the words of the core, and back.
import type * as Core from "effect-cycles/ledger/Governance"
import * as Permission from "effect-cycles/ledger/Permission"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Redacted from "effect/Redacted"
import { Caller } from "../../governance/Access.ts"
import * as Wire from "../../governance/ApiKeys.ts"
import { GovernanceApi } from "../../GovernanceApi.ts"
import { bodyOf } from "../answering.ts"
import { MOST_ROWS } from "../governed.ts"
import { given, governed, type Limits, pageOf } from "./answers.ts"

/** A row may have a permission of a later version; it is none here. */
const permissionsOf = (key: Core.ApiKey): ReadonlyArray<Permission.Permission> =>
  Permission.permissions.filter((permission) => key.permissions.includes(permission))

const toWire = (key: Core.ApiKey): Wire.ApiKey =>
  given({
    key_id: key.id,
    tenant_id: key.tenant,
    key_prefix: key.prefix,
    name: key.name,
    description: key.description,
    permissions: permissionsOf(key),
    scope_filter: key.scopeFilter,
    status: key.status,
    created_at: key.createdAtMs,
    expires_at: key.expiresAtMs,
    revoked_at: key.revokedAtMs,
    revoked_reason: key.revokedReason,
    metadata: key.metadata
  })

const newToWire = ({ key, secret }: Core.NewApiKey): Wire.ApiKeyCreateResponse => ({
  key_id: key.id,
  key_secret: Redacted.value(secret),
  key_prefix: key.prefix,
  tenant_id: key.tenant,
  permissions: permissionsOf(key),
  created_at: key.createdAtMs,
  expires_at: key.expiresAtMs
})

const inspectionToWire = ({ key, reason }: Core.Inspection): Wire.ApiKeyValidationResponse =>
  given({
    valid: reason === undefined,
    tenant_id: key?.tenant ?? "",
    key_id: key?.id,
    permissions: key === undefined || reason !== undefined ? undefined : permissionsOf(key),
    scope_filter: reason === undefined ? key?.scopeFilter : undefined,
    expires_at: key?.expiresAtMs,
    reason
  })

const answers = {
  create: governed("createApiKey", Wire.ApiKeyCreateResponse, 201),
  list: governed("listApiKeys", Wire.ApiKeyListResponse),
  update: governed("updateApiKey", Wire.ApiKey),
  revoke: governed("revokeApiKey", Wire.ApiKey),
  validate: governed("validateApiKey", Wire.ApiKeyValidationResponse)
}

const bodies = {
  create: bodyOf(Wire.ApiKeyCreateRequest),
  update: bodyOf(Wire.ApiKeyUpdateRequest),
  validate: bodyOf(Wire.ApiKeyValidationRequest)
}

export const apiKeys = ({ maxRequestBytes }: Limits) =>
  HttpApiBuilder.group(GovernanceApi, "apiKeys", (handlers) =>
    handlers
      .handleRaw("createApiKey", ({ request }) =>
        answers.create(Effect.gen(function*() {
          const { governing } = yield* Caller
          const { expires_at, scope_filter, tenant_id, ...rest } = yield* bodies.create(request, maxRequestBytes)
          return newToWire(
            yield* governing.createApiKey(tenant_id, { ...rest, scopeFilter: scope_filter, expiresAtMs: expires_at })
          )
        })))
      .handleRaw("listApiKeys", ({ query }) =>
        answers.list(Effect.gen(function*() {
          const { governing } = yield* Caller
          const page = yield* governing.findApiKeys({
            tenant: query.tenant_id,
            status: query.status,
            search: query.search,
            sortBy: query.sort_by,
            sortDir: query.sort_dir,
            cursor: query.cursor,
            limit: query.limit === undefined ? undefined : Math.min(query.limit, MOST_ROWS)
          })
          const { items, ...rest } = pageOf(page, toWire)
          return { keys: items, ...rest }
        })))
      .handleRaw("updateApiKey", ({ params, request }) =>
        answers.update(Effect.gen(function*() {
          const { governing } = yield* Caller
          const { scope_filter, ...rest } = yield* bodies.update(request, maxRequestBytes)
          const tenant = yield* governing.ownerOfApiKey(params.key_id)
          return toWire(yield* governing.updateApiKey(tenant, params.key_id, { ...rest, scopeFilter: scope_filter }))
        })))
      .handleRaw("revokeApiKey", ({ params, query }) =>
        answers.revoke(Effect.gen(function*() {
          const { governing } = yield* Caller
          const tenant = yield* governing.ownerOfApiKey(params.key_id)
          return toWire(yield* governing.revokeApiKey(tenant, params.key_id, { reason: query.reason, once: true }))
        })))
      .handleRaw("validateApiKey", ({ request }) =>
        answers.validate(Effect.gen(function*() {
          const { governing } = yield* Caller
          const { key_secret } = yield* bodies.validate(request, maxRequestBytes)
          return inspectionToWire(yield* governing.inspectApiKey(Redacted.make(key_secret)))
        }))))
