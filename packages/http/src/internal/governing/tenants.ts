// Tenants: what the wire asks for in the words of the core, and back.
import type * as Core from "effect-cycles/ledger/Governance"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Caller } from "../../governance/Access.ts"
import * as Wire from "../../governance/Tenants.ts"
import { GovernanceApi } from "../../GovernanceApi.ts"
import { bodyOf, Malformed } from "../answering.ts"
import { given, governed, type Limits, pageOf } from "./answers.ts"

const toWire = (tenant: Core.Tenant): Wire.Tenant =>
  given({
    tenant_id: tenant.tenant,
    name: tenant.name,
    status: tenant.status,
    parent_tenant_id: tenant.parent,
    default_commit_overage_policy: tenant.overagePolicy,
    default_reservation_ttl_ms: tenant.defaultTtlMs,
    max_reservation_ttl_ms: tenant.maxTtlMs,
    max_reservation_extensions: tenant.maxExtensions,
    reservation_expiry_policy: tenant.expiryPolicy,
    // Only texts are taken.
    metadata: tenant.metadata as Wire.Tenant["metadata"],
    created_at: tenant.createdAtMs,
    updated_at: tenant.updatedAtMs,
    suspended_at: tenant.suspendedAtMs,
    closed_at: tenant.closedAtMs
  })

const settingsOf = (
  request: Omit<Wire.TenantCreateRequest, "tenant_id" | "name" | "reservation_expiry_policy"> & {
    readonly name?: string
  }
): Core.TenantSettings => ({
  name: request.name,
  parent: request.parent_tenant_id,
  overagePolicy: request.default_commit_overage_policy,
  defaultTtlMs: request.default_reservation_ttl_ms,
  maxTtlMs: request.max_reservation_ttl_ms,
  maxExtensions: request.max_reservation_extensions,
  metadata: request.metadata
})

const kept = new Malformed({
  field: "reservation_expiry_policy",
  reason: "holds whose lease has ended are never kept here; use AUTO_RELEASE or GRACE_ONLY"
})

const answers = {
  created: governed("createTenant", Wire.Tenant, 201),
  repeated: governed("createTenant", Wire.Tenant),
  list: governed("listTenants", Wire.TenantListResponse),
  get: governed("getTenant", Wire.Tenant),
  update: governed("updateTenant", Wire.Tenant)
}

const bodies = { create: bodyOf(Wire.TenantCreateRequest), update: bodyOf(Wire.TenantUpdateRequest) }

export const tenants = ({ maxRequestBytes }: Limits) =>
  HttpApiBuilder.group(GovernanceApi, "tenants", (handlers) =>
    handlers
      .handleRaw("createTenant", ({ request }) =>
        Effect.gen(function*() {
          const { governing } = yield* Caller
          const { name, reservation_expiry_policy: expiryPolicy, tenant_id, ...rest } = yield* bodies.create(
            request,
            maxRequestBytes
          )
          if (expiryPolicy === "MANUAL_CLEANUP") return yield* Effect.fail(kept)
          return yield* governing.registerTenant(tenant_id, { ...settingsOf(rest), name, expiryPolicy })
        }).pipe(
          Effect.matchEffect({
            onFailure: (error) => answers.created(Effect.fail(error)),
            onSuccess: ({ isNew, tenant }) =>
              (isNew ? answers.created : answers.repeated)(Effect.succeed(toWire(tenant)))
          })
        ))
      .handleRaw("listTenants", ({ query }) =>
        answers.list(Effect.gen(function*() {
          const { governing } = yield* Caller
          const page = yield* governing.findTenants({
            status: query.status,
            parent: query.parent_tenant_id,
            search: query.search,
            sortBy: query.sort_by,
            sortDir: query.sort_dir,
            cursor: query.cursor,
            limit: query.limit
          })
          const { items, ...rest } = pageOf(page, toWire)
          return { tenants: items, ...rest }
        })))
      .handleRaw("getTenant", ({ params }) =>
        answers.get(
          Effect.flatMap(Caller, ({ governing }) => Effect.map(governing.tenant(params.tenant_id), toWire))
        ))
      .handleRaw("updateTenant", ({ params, request }) =>
        answers.update(Effect.gen(function*() {
          const { governing } = yield* Caller
          const { status, ...change } = yield* bodies.update(request, maxRequestBytes)
          return toWire(yield* governing.updateTenant(params.tenant_id, { ...settingsOf(change), status }))
        }))))
