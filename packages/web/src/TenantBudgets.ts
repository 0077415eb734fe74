/**
 * A `Budget` for each tenant of a service written with Effect: whose a request is decides whose budget its handler has.
 *
 * **Example** (Handlers that spend for whoever asks)
 *
 * ```ts
 * import { HttpGuard, Tenant, TenantBudgets } from "@effect-cycles/web"
 * import { Effect, Layer } from "effect"
 * import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
 * import { Action, Amount, Budget, Ledger, LedgerStoreMemory } from "effect-cycles"
 *
 * const chat = HttpRouter.add(
 *   "POST",
 *   "/chat",
 *   Budget.guard(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.microcents(2_000_000) },
 *     (r) => Effect.succeed(r.commit(Amount.microcents(1_500_000), HttpServerResponse.text("hello")))
 *   ).pipe(HttpGuard.catchRefused())
 * )
 * const tenants = TenantBudgets.middleware({
 *   tenant: Tenant.header("X-Tenant-ID"),
 *   authority: (tenant) => Effect.map(Ledger.Ledger, (ledger) => ledger.as({ tenant }))
 * })
 * const ledger = Layer.effectDiscard(Effect.flatMap(Ledger.Ledger, (ledger) =>
 *   ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.microcents(2_000_000) }))).pipe(
 *   Layer.provideMerge(Layer.provide(Ledger.layer(), LedgerStoreMemory.layer))
 * )
 *
 * const routes = chat.pipe(Layer.provide(tenants.layer), Layer.provide([ledger, HttpServer.layerServices]))
 * const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
 * const ask = async (headers: Record<string, string>) =>
 *   (await handler(new Request("http://localhost/chat", { method: "POST", headers }))).status
 *
 * console.log(await ask({}), await ask({ "X-Tenant-ID": "acme" }), await ask({ "X-Tenant-ID": "acme" })) // => 400 200 402
 * await dispose()
 * ```
 *
 * @since 0.1.0
 */
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import * as Budget from "effect-cycles/runtime/Budget"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as RcMap from "effect/RcMap"
import * as HttpGuard from "./HttpGuard.ts"
import * as Problem from "./Problem.ts"
import type * as Tenant from "./Tenant.ts"

/**
 * - `tenant`: whose a request is
 * - `authority`: a tenant's authority; its failure is the answer to the request
 * - `budget`: how budgets are asked for where a request does not say
 * - `problem`: how refusals are answered
 * - `idle`: how long a tenant's budget is kept when nobody uses it; 5 minutes when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R> {
  readonly tenant: Tenant.Resolver
  readonly authority: (tenant: string) => Effect.Effect<Operations, Problem.Refused, R>
  readonly budget?: Budget.Options | undefined
  readonly problem?: Problem.Options | undefined
  readonly idle?: Duration.Input | undefined
}

/**
 * Gives the handlers of the routes this is provided to the `Budget` of the tenant whose request it is, and makes that tenant the one who
 * spends. A request that does not say whose it is gets the answer 400.
 *
 * @category middleware
 * @since 0.1.0
 */
export const middleware = <R = never>(options: Options<R>) =>
  HttpRouter.middleware<{ provides: Budget.Budget }>()(Effect.gen(function*() {
    const budgets = yield* RcMap.make({
      lookup: (tenant: string) =>
        Effect.flatMap(
          options.authority(tenant),
          (authority) => Effect.provideService(Budget.make(options.budget), BudgetAuthority, authority)
        ),
      idleTimeToLive: options.idle ?? "5 minutes"
    })
    return (handler) =>
      HttpGuard.catchRefused(
        Effect.gen(function*() {
          const { headers } = yield* HttpServerRequest.HttpServerRequest
          const tenant = yield* Effect.promise(async (): Promise<string | Problem.MissingTenant> => {
            try {
              return await options.tenant((name) => headers[name.toLowerCase()])
            } catch (error) {
              // What a resolver throws beside is a fault of its own.
              if (error instanceof Problem.MissingTenant) return error
              throw error
            }
          })
          if (typeof tenant !== "string") return yield* tenant
          // A failure is not kept: who asks next may be luckier.
          const budget = yield* Effect.onError(
            RcMap.get(budgets, tenant),
            (cause) => Cause.hasInterruptsOnly(cause) ? Effect.void : RcMap.invalidate(budgets, tenant)
          )
          return yield* handler.pipe(
            Budget.within({ tenant }),
            Effect.provideService(Budget.Budget, budget)
          )
        }),
        options.problem
      )
  }))

/**
 * A `HttpGuard.guard` around every route this is provided to, by the budget of the tenant whose request it is.
 *
 * @category middleware
 * @since 0.1.0
 */
export const guard = <R = never>(options: Options<R> & HttpGuard.Options) =>
  HttpRouter.middleware<{ provides: HttpGuard.RequestBudget }>()((handler) => HttpGuard.guard(handler, options))
    .combine(middleware(options))
