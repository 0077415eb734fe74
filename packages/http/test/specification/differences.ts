// Where the contracts differ from the specification on purpose, and why.
import type { Difference } from "./compare.ts"

const throttled = [
  "decide",
  "createReservation",
  "listReservations",
  "getReservation",
  "commitReservation",
  "releaseReservation",
  "getBalances",
  "createEvent"
]

/** The runtime plane. */
export const runtime: ReadonlyArray<Difference> = [
  {
    reason: "section ERROR SEMANTICS reserves 429 for throttling on any operation; only some declare it",
    at: throttled.map((name) => `${name}: 429`)
  },
  {
    reason: "an authority that cannot be reached, or is full, is no fault of this server: 503 rather than 500",
    at: [...throttled, "extendReservation"].map((name) => `${name}: 503`)
  },
  {
    reason: "times and counts are plain numbers, exact to 2^53 − 1; one beyond is refused rather than rounded",
    at: [
      "cooldown_ms",
      "max_steps_remaining",
      "max_tokens",
      "retry_after_ms",
      "tokens_input",
      "tokens_output",
      "latency_ms",
      "client_time_ms",
      "created_at_ms",
      "expires_at_ms",
      "finalized_at_ms",
      "remaining_ttl_ms",
      "issued_at_ms",
      "cycles_nbf_ms",
      "cycles_exp_ms"
    ].map((name) => `* body*.${name}: maximum`)
  },
  {
    reason: "so they are not int64",
    at: [
      "client_time_ms",
      "created_at_ms",
      "expires_at_ms",
      "finalized_at_ms",
      "remaining_ttl_ms",
      "issued_at_ms",
      "cycles_nbf_ms",
      "cycles_exp_ms"
    ].map((name) => `* body*.${name}: format`)
  },
  {
    reason: "nor below −2^53",
    at: ["issued_at_ms", "cycles_nbf_ms", "cycles_exp_ms"].map((name) => `getEvidence*: 200 body*.${name}: minimum`)
  },
  {
    reason: "ReservationDetail leaves out the minimum of 0 that ReservationSummary states for the same times",
    at: ["created_at_ms", "expires_at_ms", "finalized_at_ms"].map((name) => `getReservation: 200 body.${name}: minimum`)
  },
  {
    reason: "answers do not bound an id that the parameter, its only use, bounds to 1 to 128 characters",
    at: ["*: 200 body*.reservation_id: minLength", "*: 200 body*.reservation_id: maxLength"]
  },
  {
    reason: "a later version's state makes no record unreadable to the client, which reads by the same schema",
    at: ["getReservation: 200 body.status: enum", "listReservations: 200 body.reservations[].status: enum"]
  }
]

const notServed = (reason: string, ...operations: ReadonlyArray<string>): Difference => ({
  reason,
  at: operations.map((operation) => `${operation}: method and path`)
})

/** The governance plane. */
export const governance: ReadonlyArray<Difference> = [
  notServed(
    "webhooks are not in this version: events are read, with a cursor that never loses one",
    "createWebhookSubscription",
    "listWebhookSubscriptions",
    "getWebhookSubscription",
    "updateWebhookSubscription",
    "deleteWebhookSubscription",
    "testWebhookSubscription",
    "listWebhookDeliveries",
    "replayEvents",
    "bulkActionWebhooks",
    "getWebhookSecurityConfig",
    "updateWebhookSecurityConfig",
    "createTenantWebhook",
    "listTenantWebhooks",
    "getTenantWebhook",
    "updateTenantWebhook",
    "deleteTenantWebhook",
    "testTenantWebhook",
    "listTenantWebhookDeliveries"
  ),
  notServed(
    "what is done to many at once is done one by one here, and each is answered for itself",
    "bulkActionTenants",
    "bulkActionBudgets"
  ),
  {
    reason: "the registry of action kinds is in a document of its own, `cycles-action-kinds-v0.1.26.yaml`",
    at: ["listActionKinds: method and path", "getActionKind: method and path"]
  },
  {
    reason: "counts are never below nothing, and plain numbers, exact to 2^53 − 1",
    at: ["getAdminOverview: 200 body*: minimum", "getAdminOverview: 200 body*: maximum"]
  },
  {
    reason: "a status is a plain number as well",
    at: ["listAuditLogs: 200 body.logs[].status: minimum", "listAuditLogs: 200 body.logs[].status: maximum"]
  },
  {
    reason: "amounts are int64 here as everywhere",
    at: ["getAdminOverview: 200 body.*_scopes[].*: format"]
  },
  {
    reason: "observe mode and quotas of actions are extensions that are not in this version",
    at: [
      "getAdminOverview: 200 body.tenant_counts.in_observe_mode: required",
      "getAdminOverview: 200 body.quota_health: required"
    ]
  },
  {
    reason: "the document does not say what a trace id in an answer looks like; it is checked all the same",
    at: ["*: 200 body*.trace_id: pattern"]
  },
  {
    reason: "429 for throttling and 503 for a store that cannot be reached may come from any operation",
    at: ["*: 429", "*: 503"]
  },
  {
    reason: "counts are plain numbers, exact to 2^53 − 1; one beyond is refused rather than rounded",
    at: [
      "max_reservation_extensions",
      "max_extensions",
      "priority",
      "max_tokens",
      "max_steps_remaining",
      "cooldown_ms",
      "max_reservations_per_minute",
      "max_commits_per_minute"
    ].map((name) => `*.${name}: maximum`)
  },
  {
    reason: "values of metadata are texts when a tenant is created, and so when it is changed",
    at: ["updateTenant: body.metadata.*", "updateTenant: body.metadata: takes others"]
  },
  {
    reason: "a policy is created under the rules it is changed by",
    at: [
      "createPolicy: body.reservation_ttl_override.*: minimum",
      "createPolicy: body.reservation_ttl_override.*: maximum",
      "createPolicy: body.rate_limits.*",
      "createPolicy: body.rate_limits: takes others"
    ]
  },
  {
    reason: "quotas of actions are an extension that is not in this version",
    at: ["listPolicies: query has_action_quotas: required"]
  },
  {
    reason: "observe mode is an extension that is not in this version; what nobody can be in is not filtered by",
    at: ["listTenants: query observe_mode: required"]
  }
]
