/**
 * Who asks on the governance plane: an operator by the admin key, or a tenant by one of its keys.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, `securitySchemes`.
 *
 * @since 0.1.0
 */
import type { Governing, Operator } from "effect-cycles/ledger/Governance"
import type { Principal } from "effect-cycles/ledger/Principal"
import * as Context from "effect/Context"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"

/**
 * Whose request it is, once its key has been checked, and what they may govern.
 *
 * - `operator`: who holds the admin key
 * - `principal`: whom the key of a tenant stands for
 *
 * @category models
 * @since 0.1.0
 */
export type Governor =
  | { readonly _tag: "operator"; readonly governing: Governing; readonly operator: Operator }
  | {
    readonly _tag: "principal"
    readonly governing: Governing
    readonly principal: Principal & { readonly keyId: string }
  }

/**
 * The {@link Governor} of the request at hand.
 *
 * @category services
 * @since 0.1.0
 */
export class Caller extends Context.Service<Caller, Governor>()("@effect-cycles/http/governance/Access/Caller") {}

const AdminKeyAuth = HttpApiSecurity.apiKey({ in: "header", key: "X-Admin-API-Key" })
const ApiKeyAuth = HttpApiSecurity.apiKey({ in: "header", key: "X-Cycles-API-Key" })

/**
 * For operators only: the admin key, in the header `X-Admin-API-Key`.
 *
 * @category middleware
 * @since 0.1.0
 */
export class AdminKey extends HttpApiMiddleware.Service<AdminKey, { provides: Caller }>()(
  "@effect-cycles/http/governance/Access/AdminKey",
  { security: { AdminKeyAuth } }
) {}

/**
 * For operators and tenants: the admin key or, without one, a tenant's key in the header `X-Cycles-API-Key`.
 *
 * @category middleware
 * @since 0.1.0
 */
export class EitherKey extends HttpApiMiddleware.Service<EitherKey, { provides: Caller }>()(
  "@effect-cycles/http/governance/Access/EitherKey",
  { security: { ApiKeyAuth, AdminKeyAuth } }
) {}

/**
 * For tenants only: a tenant's key, in the header `X-Cycles-API-Key`.
 *
 * @category middleware
 * @since 0.1.0
 */
export class TenantKey extends HttpApiMiddleware.Service<TenantKey, { provides: Caller }>()(
  "@effect-cycles/http/governance/Access/TenantKey",
  { security: { ApiKeyAuth } }
) {}
