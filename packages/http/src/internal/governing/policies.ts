// Policies: what the wire asks for in the words of the core, and back.
import type * as Core from "effect-cycles/ledger/Governance"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Caller } from "../../governance/Access.ts"
import * as Wire from "../../governance/Policies.ts"
import { GovernanceApi } from "../../GovernanceApi.ts"
import { bodyOf } from "../answering.ts"
import { MOST_ROWS } from "../governed.ts"
import { given, governed, type Limits, pageOf, tenantOf } from "./answers.ts"

/** An object, where anything is in it. */
const unlessEmpty = <A extends object>(value: A): A | undefined => Object.keys(value).length === 0 ? undefined : value

const listed = (kinds: ReadonlyArray<string>): ReadonlyArray<string> | undefined =>
  kinds.length === 0 ? undefined : kinds

const toWire = (policy: Core.PolicyRow): Wire.Policy =>
  given({
    policy_id: policy.id,
    name: policy.name,
    description: policy.description,
    scope_pattern: policy.scopePattern,
    priority: policy.priority,
    caps: policy.caps,
    commit_overage_policy: policy.overagePolicy,
    reservation_ttl_override: unlessEmpty(given({
      default_ttl_ms: policy.defaultTtlMs,
      max_ttl_ms: policy.maxTtlMs,
      max_extensions: policy.maxExtensions
    })),
    rate_limits: unlessEmpty(given({
      max_reservations_per_minute: policy.maxReservationsPerMinute,
      max_commits_per_minute: policy.maxCommitsPerMinute
    })),
    allowed_action_kinds: listed(policy.allowedActionKinds),
    denied_action_kinds: listed(policy.deniedActionKinds),
    status: policy.status,
    effective_from: policy.effectiveFromMs,
    effective_until: policy.effectiveUntilMs,
    created_at: policy.createdAtMs,
    updated_at: policy.updatedAtMs
  })

/** What is given takes the place of what was there, with all that is in it. */
const changeOf = (
  { rate_limits: rates, reservation_ttl_override: ttl, ...request }: Omit<Wire.PolicyUpdateRequest, "name">
): Core.PolicyChange => ({
  description: request.description,
  priority: request.priority,
  status: request.status,
  caps: request.caps,
  overagePolicy: request.commit_overage_policy,
  allowedActionKinds: request.allowed_action_kinds,
  deniedActionKinds: request.denied_action_kinds,
  effectiveFromMs: request.effective_from,
  effectiveUntilMs: request.effective_until,
  ...(ttl === undefined ? undefined : {
    defaultTtlMs: ttl.default_ttl_ms ?? null,
    maxTtlMs: ttl.max_ttl_ms ?? null,
    maxExtensions: ttl.max_extensions ?? null
  }),
  ...(rates === undefined ? undefined : {
    maxReservationsPerMinute: rates.max_reservations_per_minute ?? null,
    maxCommitsPerMinute: rates.max_commits_per_minute ?? null
  })
})

const optionsOf = (request: Omit<Wire.PolicyCreateRequest, "tenant_id">): Core.PolicyOptions => ({
  name: request.name,
  scopePattern: request.scope_pattern,
  description: request.description,
  priority: request.priority,
  caps: request.caps,
  overagePolicy: request.commit_overage_policy,
  defaultTtlMs: request.reservation_ttl_override?.default_ttl_ms,
  maxTtlMs: request.reservation_ttl_override?.max_ttl_ms,
  maxExtensions: request.reservation_ttl_override?.max_extensions,
  maxReservationsPerMinute: request.rate_limits?.max_reservations_per_minute,
  maxCommitsPerMinute: request.rate_limits?.max_commits_per_minute,
  allowedActionKinds: request.allowed_action_kinds,
  deniedActionKinds: request.denied_action_kinds,
  effectiveFromMs: request.effective_from,
  effectiveUntilMs: request.effective_until
})

const answers = {
  create: governed("createPolicy", Wire.Policy, 201),
  list: governed("listPolicies", Wire.PolicyListResponse),
  update: governed("updatePolicy", Wire.Policy)
}

const bodies = { create: bodyOf(Wire.PolicyCreateRequest), update: bodyOf(Wire.PolicyUpdateRequest) }

export const policies = ({ maxRequestBytes }: Limits) =>
  HttpApiBuilder.group(GovernanceApi, "policies", (handlers) =>
    handlers
      .handleRaw("createPolicy", ({ request }) =>
        answers.create(Effect.gen(function*() {
          const governor = yield* Caller
          const { tenant_id, ...body } = yield* bodies.create(request, maxRequestBytes)
          const tenant = yield* tenantOf(governor, tenant_id)
          return toWire(yield* governor.governing.createPolicy(tenant, optionsOf(body)))
        })))
      .handleRaw("listPolicies", ({ query }) =>
        answers.list(Effect.gen(function*() {
          const governor = yield* Caller
          const tenant = governor._tag === "principal"
            ? governor.principal.tenant
            : yield* tenantOf(governor, query.tenant_id)
          const page = yield* governor.governing.findPolicies(tenant, {
            scopePattern: query.scope_pattern,
            status: query.status,
            actionKind: query.references_action_kind,
            cursor: query.cursor,
            limit: query.limit === undefined ? undefined : Math.min(query.limit, MOST_ROWS)
          })
          const { items, ...rest } = pageOf(page, toWire)
          return { policies: items, ...rest }
        })))
      .handleRaw("updatePolicy", ({ params, request }) =>
        answers.update(Effect.gen(function*() {
          const { governing } = yield* Caller
          const { name, ...change } = yield* bodies.update(request, maxRequestBytes)
          const tenant = yield* governing.ownerOfPolicy(params.policy_id)
          return toWire(yield* governing.updatePolicy(tenant, params.policy_id, { ...changeOf(change), name }))
        }))))
