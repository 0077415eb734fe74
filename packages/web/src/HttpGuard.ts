/**
 * A budget around the requests of Effect's `HttpRouter` and `HttpApi`.
 *
 * {@link middleware} puts one around every route it is provided to; {@link guard} around one handler. The handler says what it used
 * with {@link charge}. Where it guards its own work with `Budget.guard`, {@link catchRefused} turns denials into answers.
 *
 * **Example** (A budget around a route)
 *
 * ```ts
 * import { HttpGuard } from "@effect-cycles/web"
 * import { Effect, Layer } from "effect"
 * import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
 * import { Amount, Budget, Ledger } from "effect-cycles"
 *
 * const chat = HttpRouter.add(
 *   "POST",
 *   "/chat",
 *   Effect.as(HttpGuard.charge(Amount.microcents(300_000)), HttpServerResponse.text("hello"))
 * )
 * const budget = Budget.layer().pipe(
 *   Layer.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.microcents(700_000) }] }))
 * )
 * const routes = chat.pipe(
 *   Layer.provide(HttpGuard.middleware({ estimate: Amount.microcents(500_000) }).layer),
 *   Layer.provide([budget, HttpServer.layerServices])
 * )
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
 * const ask = async () => {
 *   const response = await handler(new Request("http://localhost/chat", { method: "POST" }))
 *   await response.text()
 *   return response.status
 * }
 * console.log(await ask(), await ask()) // => 200 402
 * await dispose()
 * ```
 *
 * @since 0.1.0
 */
import type { Action } from "effect-cycles/protocol/Action"
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Budget from "effect-cycles/runtime/Budget"
import type { Details, Request as ReserveRequest } from "effect-cycles/runtime/Reservation"
import * as Reservation from "effect-cycles/runtime/Reservation"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Problem from "./Problem.ts"
import { actionOf, costOf, makeMeter } from "./WebBudget.ts"

/**
 * The budget of the request at hand, in handlers behind {@link guard} and {@link middleware}.
 *
 * @category services
 * @since 0.1.0
 */
export class RequestBudget extends Context.Service<RequestBudget, {
  /** The hold, with its decision and caps. */
  readonly reservation: Details<Unit>
  /** So much was used; adds up. Dies of a `RangeError` for another unit than that of the estimate. */
  readonly charge: (actual: AnyAmount) => Effect.Effect<void>
}>()("@effect-cycles/web/HttpGuard/RequestBudget") {}

/**
 * How requests are budgeted.
 *
 * - `estimate`: what a request can cost at most
 * - `actual`: what an answer below 400 costs that nothing was charged for; the estimate when not given
 * - `action`: kind `http.request` and the method with the route's template when not given
 * - `subject`: further levels and dimensions of who spends
 * - `problem`: how refusals are answered
 * - `request`: further fields of each reservation
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly estimate: AnyAmount | ((request: HttpServerRequest.HttpServerRequest) => AnyAmount)
  readonly actual?: AnyAmount | ((status: number) => AnyAmount) | undefined
  readonly action?: Action | ((request: HttpServerRequest.HttpServerRequest) => Action) | undefined
  readonly subject?: ((request: HttpServerRequest.HttpServerRequest) => Subject) | undefined
  readonly problem?: Problem.Options | undefined
  readonly request?: Omit<ReserveRequest<never>, "action" | "estimate" | "subject"> | undefined
}

/**
 * So much was used by the request at hand.
 *
 * @category accessors
 * @since 0.1.0
 */
export const charge = (actual: AnyAmount): Effect.Effect<void, never, RequestBudget> =>
  Effect.flatMap(RequestBudget, (budget) => budget.charge(actual))

/**
 * A refusal as a response.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toResponse = (
  error: Problem.Refused,
  options?: Problem.Options
): HttpServerResponse.HttpServerResponse => {
  const { body, headers, status } = Problem.of(error, options)
  return HttpServerResponse.jsonUnsafe(body, { status, headers, contentType: "application/problem+json" })
}

/**
 * Answers what a handler's own guards refuse; its other errors remain.
 *
 * @category combinators
 * @since 0.1.0
 */
export const catchRefused: {
  (options?: Problem.Options): <E, R>(
    self: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, Exclude<E, Problem.Refused>, R>
  <E, R>(
    self: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
    options?: Problem.Options
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, Exclude<E, Problem.Refused>, R>
} = dual(
  (parameters) => Effect.isEffect(parameters[0]),
  <E, R>(
    self: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
    options?: Problem.Options
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, Exclude<E, Problem.Refused>, R> =>
    Effect.catch(
      self,
      (error): Effect.Effect<HttpServerResponse.HttpServerResponse, Exclude<E, Problem.Refused>> =>
        Problem.isRefused(error)
          ? Effect.succeed(toResponse(error, options))
          // What is no refusal by its tag is none by its type: `Refused` has all of them.
          : Effect.fail(error as Exclude<E, Problem.Refused>)
    )
)

const routeOf: Effect.Effect<string | undefined> = Effect.map(
  Effect.serviceOption(HttpRouter.RouteContext),
  (context) => Option.isSome(context) ? context.value.route.path : undefined
)

/**
 * A handler behind a budget: it is taken before the handler runs, and settled when the answer has been sent, streams included, or the
 * client went away. A refusal is answered as a `Problem`; the handler's own errors remain.
 *
 * @category combinators
 * @since 0.1.0
 */
export const guard: {
  (options: Options): <E, R>(self: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) => Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    E,
    Exclude<R, RequestBudget> | Budget.Budget | HttpServerRequest.HttpServerRequest | Scope.Scope
  >
  <E, R>(self: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>, options: Options): Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    E,
    Exclude<R, RequestBudget> | Budget.Budget | HttpServerRequest.HttpServerRequest | Scope.Scope
  >
} = dual(
  2,
  <E, R>(self: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>, options: Options) =>
    Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      const estimate = typeof options.estimate === "function" ? options.estimate(request) : options.estimate
      const reserved = yield* Effect.result(Reservation.make<Unit>({
        ...options.request,
        action: typeof options.action === "function"
          ? options.action(request)
          : options.action ?? actionOf(request.method, yield* routeOf),
        estimate,
        ...(options.subject === undefined ? undefined : { subject: options.subject(request) })
      }))
      if (reserved._tag === "Failure") return toResponse(reserved.failure, options.problem)
      const reservation = reserved.success
      const meter = makeMeter(estimate.unit)
      let status: number | undefined
      // The scope of a request ends when its answer has been sent. What is left unsettled is released by the reservation itself.
      yield* Effect.addFinalizer((exit) => {
        const cost = costOf(meter.total, Exit.isSuccess(exit) ? status : undefined, estimate, options.actual)
        return cost === undefined ? Effect.void : Effect.ignore(Reservation.commit(reservation, cost))
      })
      const response = yield* Effect.provideService(self, RequestBudget, {
        reservation,
        charge: (actual) => Effect.sync(() => meter.charge(actual))
      })
      status = response.status
      return response
    })
)

/**
 * A {@link guard} around every route this is provided to, of an `HttpRouter` or an `HttpApi`: `Layer.provide(middleware(…).layer)`. The
 * budget is one for all of them, that of `Budget.layer`; for one of each tenant's own see `TenantBudgets.guard`.
 *
 * @category middleware
 * @since 0.1.0
 */
export const middleware = (options: Options) =>
  HttpRouter.middleware<{ provides: RequestBudget }>()(
    Effect.map(Budget.Budget, (budget) => (handler) =>
      Effect.provideService(guard(handler, options), Budget.Budget, budget))
  )
