/**
 * The governance plane on a server: the handlers of {@link GovernanceApi}, over the governance of a ledger.
 *
 * An operator comes with the admin key, in `X-Admin-API-Key`; who holds it is the caller's to say, by a function that compares in
 * constant time. A tenant comes with one of its keys, in `X-Cycles-API-Key`, where the specification lets it. Where both are
 * sent, the admin key counts.
 *
 * A request is refused for the first of these: no good key (401), parameters that do not fit (400), a body that is not JSON or does
 * not fit (400); then it is the core's.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`.
 *
 * **Example** (Both planes on one router)
 *
 * ```ts
 * import { GovernanceHandlers, Handlers } from "@effect-cycles/http"
 * import { Effect, Layer, Redacted } from "effect"
 * import { CyclesError, Governance, Ledger, LedgerStoreMemory } from "effect-cycles"
 * import { HttpRouter } from "effect/http"
 *
 * const runtime = Layer.unwrap(Effect.gen(function*() {
 *   const governance = yield* Governance.Governance
 *   const ledger = yield* Ledger.Ledger
 *   return Handlers.layer({
 *     authenticate: (key) =>
 *       Effect.map(governance.authenticate(key), (principal) => ({
 *         tenant: principal.tenant,
 *         authority: ledger.as(principal)
 *       }))
 *   })
 * }))
 *
 * const governance = GovernanceHandlers.layer({
 *   authenticateAdmin: (key) =>
 *     Redacted.value(key) === "the admin key"
 *       ? Effect.succeed({ actor: "admin" })
 *       : Effect.fail(new CyclesError.Unauthorized({}))
 * })
 *
 * const routes = Layer.mergeAll(runtime, governance).pipe(
 *   Layer.provide(Governance.layer({ peppers: [Redacted.make("thirty-two or more secret characters")] })),
 *   Layer.provide(Ledger.layer()),
 *   Layer.provide(LedgerStoreMemory.layer),
 *   Layer.orDie
 * )
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(routes, {
 *   routerConfig: Handlers.routerConfig,
 *   disableLogger: true
 * })
 *
 * const response = await handler(
 *   new Request("http://localhost/v1/admin/tenants", {
 *     method: "POST",
 *     headers: { "X-Admin-API-Key": "the admin key", "Content-Type": "application/json" },
 *     body: `{"tenant_id":"acme","name":"Acme Corporation"}`
 *   })
 * )
 * await dispose()
 *
 * console.log(response.status) // => 201
 * ```
 *
 * @since 0.1.0
 */
import type { Operations, Operator } from "effect-cycles/ledger/Governance"
import { Governance } from "effect-cycles/ledger/Governance"
import type { Principal } from "effect-cycles/ledger/Principal"
import type { Trouble } from "effect-cycles/protocol/CyclesError"
import { Unauthorized } from "effect-cycles/protocol/CyclesError"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Governor } from "./governance/Access.ts"
import { AdminKey, Caller, EitherKey, TenantKey } from "./governance/Access.ts"
import { GovernanceApi, GovernanceBalancesApi } from "./GovernanceApi.ts"
import { badParameters, correlation, MAX_REQUEST_BYTES, refuse } from "./internal/answering.ts"
import { actionKinds } from "./internal/governing/actionKinds.ts"
import { apiKeys } from "./internal/governing/apiKeys.ts"
import { audit } from "./internal/governing/audit.ts"
import { auth } from "./internal/governing/auth.ts"
import { balances, budgets } from "./internal/governing/budgets.ts"
import { events, tenantEvents } from "./internal/governing/events.ts"
import { overview } from "./internal/governing/overview.ts"
import { policies } from "./internal/governing/policies.ts"
import { tenants } from "./internal/governing/tenants.ts"

/**
 * What the handlers need to know.
 *
 * - `authenticateAdmin`: who holds the admin key, compared in constant time. Fails with `Unauthorized` for any other
 * - `authenticate`: whom a tenant's key stands for; `Governance.authenticate` when not given
 * - `maxRequestBytes`: how long a body may be; 1 MiB when not given
 * - `openapiPath`: where to serve the contract as an OpenAPI document; nowhere when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly authenticateAdmin: (adminKey: Redacted.Redacted) => Effect.Effect<Operator, Trouble>
  readonly authenticate?:
    | ((apiKey: Redacted.Redacted) => Effect.Effect<Principal & { readonly keyId: string }, Trouble>)
    | undefined
  readonly maxRequestBytes?: number | undefined
  readonly openapiPath?: `/${string}` | undefined
}

/**
 * The routes of the governance plane, on the router around them, over the governance around them. They can share the router with
 * those of `Handlers.layer`; give it `Handlers.routerConfig`.
 *
 * Like those they add what holds for the whole router: `X-Request-Id` and `X-Cycles-Trace-Id` on every answer, and the protocol's
 * error body for what no route knows and for what breaks.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<never, never, HttpRouter.HttpRouter | Governance> => {
  const limits = { maxRequestBytes: options.maxRequestBytes ?? MAX_REQUEST_BYTES }
  return HttpApiBuilder.layer(GovernanceApi, { openapiPath: options.openapiPath }).pipe(
    Layer.provide([tenants(limits), apiKeys(limits), budgets(limits), policies(limits), auth]),
    Layer.provide([events, tenantEvents, audit, overview, actionKinds]),
    Layer.provide([access(options), tenantAccess(options), badParameters]),
    Layer.merge(correlation),
    Layer.provide(HttpServer.layerServices)
  )
}

/**
 * The governance plane's `GET /v1/balances`, on the router around it, for a router that has not the runtime plane's: the two share a
 * path and differ in shape.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerBalances = (
  options: Pick<Options, "authenticate">
): Layer.Layer<never, never, HttpRouter.HttpRouter | Governance> =>
  HttpApiBuilder.layer(GovernanceBalancesApi).pipe(
    Layer.provide(balances),
    Layer.provide([tenantAccess(options), badParameters]),
    Layer.merge(correlation),
    Layer.provide(HttpServer.layerServices)
  )

// ---------------------------------------------------------------------------------------------------------------------
// access
// ---------------------------------------------------------------------------------------------------------------------

const missing = (header: string) => Effect.fail(new Unauthorized({ reason: `The header ${header} is missing` }))

const operatorOf =
  (governance: Operations, { authenticateAdmin }: Options) =>
  (key: Redacted.Redacted): Effect.Effect<Governor, Trouble> =>
    Redacted.value(key) === "" ? missing("X-Admin-API-Key") : Effect.map(
      authenticateAdmin(key),
      (operator) => ({ _tag: "operator", governing: governance.asOperator(operator), operator })
    )

const principalOf =
  (governance: Operations, { authenticate = governance.authenticate }: Pick<Options, "authenticate">) =>
  (key: Redacted.Redacted): Effect.Effect<Governor, Trouble> =>
    Redacted.value(key) === "" ? missing("X-Cycles-API-Key") : Effect.map(
      authenticate(key),
      (principal) => ({ _tag: "principal", governing: governance.as(principal), principal })
    )

const as = <E, R, R2>(
  handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  governor: Effect.Effect<Governor, Trouble, R2>
) =>
  Effect.matchEffect(governor, {
    onFailure: (error) => refuse(error),
    onSuccess: (governor) => Effect.provideService(handler, Caller, governor)
  })

const tenantAccess = (options: Pick<Options, "authenticate">): Layer.Layer<TenantKey, never, Governance> =>
  Layer.effect(
    TenantKey,
    Effect.map(Governance, (governance) => {
      const principal = principalOf(governance, options)
      return TenantKey.of({ ApiKeyAuth: (handler, { credential }) => as(handler, principal(credential)) })
    })
  )

/**
 * Who asks, for the routes of other contracts that let the same ones in.
 *
 * @internal
 */
export const access = (options: Options): Layer.Layer<AdminKey | EitherKey, never, Governance> =>
  Layer.unwrap(Effect.map(Governance, (governance) => {
    const operator = operatorOf(governance, options)
    const principal = principalOf(governance, options)
    const either = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
      const key = (name: string) => Redacted.make(headers[name] ?? "")
      return headers["x-admin-api-key"] === undefined && headers["x-cycles-api-key"] !== undefined
        ? principal(key("x-cycles-api-key"))
        : operator(key("x-admin-api-key"))
    })
    return Layer.merge(
      Layer.succeed(
        AdminKey,
        AdminKey.of({ AdminKeyAuth: (handler, { credential }) => as(handler, operator(credential)) })
      ),
      // Either scheme sees the whole request, and the first one decides.
      Layer.succeed(
        EitherKey,
        EitherKey.of({
          ApiKeyAuth: (handler) => as(handler, either),
          AdminKeyAuth: (handler) => as(handler, either)
        })
      )
    )
  }))
