/**
 * The governance plane of the protocol as an `HttpApi`: tenants, API keys, budgets and policies, and who is asking.
 *
 * Values keep the names of the wire (`tenant_id`, `created_at`). Amounts are `bigint` and need {@link WireJson}; times are Unix
 * milliseconds and date-times on the wire.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`; `cycles-governance-extensions-v0.1.26.yaml` for the lists of action kinds on
 * policies.
 *
 * **Example** (What an operator can do with one tenant)
 *
 * ```ts
 * import { GovernanceApi } from "@effect-cycles/http"
 * import { OpenApi } from "effect/http-api"
 *
 * const document = OpenApi.fromApi(GovernanceApi.GovernanceApi)
 *
 * console.log(Object.keys(document.paths["/v1/admin/tenants/{tenant_id}"] ?? {})) // => [ "get", "patch" ]
 * ```
 *
 * @since 0.1.0
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as OpenApi from "effect/http-api/OpenApi"
import { ActionKindsGroup } from "./governance/ActionKinds.ts"
import { ApiKeysGroup } from "./governance/ApiKeys.ts"
import { AuditGroup } from "./governance/Audit.ts"
import { AuthGroup } from "./governance/Auth.ts"
import { BalancesGroup, BudgetsGroup } from "./governance/Budgets.ts"
import { EventsGroup, TenantEventsGroup } from "./governance/Events.ts"
import { OverviewGroup } from "./governance/Overview.ts"
import { PoliciesGroup } from "./governance/Policies.ts"
import { TenantsGroup } from "./governance/Tenants.ts"
import { asSpecified } from "./internal/contract.ts"

/**
 * The governance plane.
 *
 * @category contract
 * @since 0.1.0
 */
export class GovernanceApi extends HttpApi.make("cycles-governance").add(
  TenantsGroup,
  EventsGroup,
  TenantEventsGroup,
  AuditGroup,
  OverviewGroup,
  ActionKindsGroup,
  ApiKeysGroup,
  BudgetsGroup,
  PoliciesGroup,
  AuthGroup
).annotateMerge(
  OpenApi.annotations({
    title: "Complete Budget Governance Admin API",
    version: "0.1.25",
    description: "The governance plane of the Cycles protocol: tenants, API keys, budgets, policies.",
    transform: asSpecified
  })
) {}

/**
 * The governance plane's `GET /v1/balances`. It is apart since the runtime plane has another on the same path: a router takes one of
 * them.
 *
 * @category contract
 * @since 0.1.0
 */
export class GovernanceBalancesApi extends HttpApi.make("cycles-governance-balances").add(BalancesGroup).annotateMerge(
  OpenApi.annotations({
    title: "Complete Budget Governance Admin API",
    version: "0.1.25",
    description: "The balances of a tenant as the governance plane of the Cycles protocol shows them.",
    transform: asSpecified
  })
) {}
