/**
 * The budget of one request, whichever framework it came by: taken before the work, settled when the answer has been sent.
 *
 * What a request costs is what its handler says with `charge`, as often as it likes. Where it says nothing, an answer below 400 costs
 * what `actual` says, or the estimate, and any other answer nothing. A request whose client went away costs what was charged until then; with
 * nothing charged, the hold is released.
 *
 * Adapters for Express, Fastify, Hono and fetch handlers are made of it. {@link begin} and {@link end} are for a framework of one's own.
 *
 * @since 0.1.0
 */
import type { Action } from "effect-cycles/protocol/Action"
import * as Actions from "effect-cycles/protocol/Action"
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import * as Amounts from "effect-cycles/protocol/Amount"
import type { Subject } from "effect-cycles/protocol/Subject"
import type { Handle, PromiseClient } from "effect-cycles/runtime/PromiseClient"
import type { Details, Request as ReserveRequest } from "effect-cycles/runtime/Reservation"
import type { Outcome } from "effect-cycles/runtime/Settlement"
import * as Problem from "./Problem.ts"
import type * as Tenant from "./Tenant.ts"
import type { Lease, TenantClients } from "./TenantClients.ts"

/**
 * A request as an adapter sees it.
 *
 * - `route`: the template of its path, as `/users/:id`, where the framework knows it
 *
 * @category models
 * @since 0.1.0
 */
export interface Incoming {
  readonly method: string
  readonly route: string | undefined
  readonly headers: Tenant.Headers
  readonly signal: AbortSignal | undefined
}

/**
 * How requests are budgeted. `Request` is that of the framework.
 *
 * - `client`: who is asked; or, with a `tenant`, who is asked for each: see `TenantClients`
 * - `estimate`: what a request can cost at most
 * - `actual`: what an answer below 400 costs that nothing was charged for; the estimate when not given
 * - `action`: kind `http.request` and the method with the route's template when not given. A path itself is never its name: it would make
 *   as many actions as there are paths
 * - `tenant`: whose a request is; nobody is asked when not given
 * - `subject`: further levels and dimensions of who spends
 * - `problem`: how refusals are answered
 * - `request`: further fields of each reservation
 * - `onSettled`: told of every settlement, and of what went wrong with one; nobody is told when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Request> {
  readonly client: PromiseClient | TenantClients
  readonly estimate: AnyAmount | ((request: Request) => AnyAmount | Promise<AnyAmount>)
  readonly actual?: AnyAmount | ((status: number) => AnyAmount) | undefined
  readonly action?: Action | ((request: Request, incoming: Incoming) => Action) | undefined
  readonly tenant?: Tenant.Resolver | undefined
  readonly subject?: ((request: Request) => Subject) | undefined
  readonly problem?: Problem.Options | undefined
  readonly request?: Omit<ReserveRequest<never>, "action" | "estimate" | "subject"> | undefined
  readonly onSettled?: ((settled: Settled) => void) | undefined
}

/**
 * What became of a request's budget; `error` where settling it failed, and the hold is left to its lease.
 *
 * @category models
 * @since 0.1.0
 */
export type Settled =
  | { readonly tenant: string | undefined; readonly outcome: Outcome }
  | { readonly tenant: string | undefined; readonly error: unknown }

/**
 * The budget of a request, for its handler.
 *
 * - `tenant`: whose request it is, where that was asked
 * - `reservation`: the hold, with its decision and caps
 * - `charge`: so much was used; adds up. Throws a `RangeError` for another unit than that of the estimate
 * - `signal`: aborted when the client goes away before the answer was sent
 *
 * @category models
 * @since 0.1.0
 */
export interface WebBudget {
  readonly tenant: string | undefined
  readonly reservation: Details<Unit>
  readonly charge: (actual: AnyAmount) => void
  readonly signal: AbortSignal
}

/**
 * A {@link WebBudget} with what settles it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Open {
  readonly budget: WebBudget
  /** @internal */
  readonly settle: (status: number | undefined) => Promise<void>
}

/**
 * Sums up what is charged to one request.
 *
 * @internal
 */
export const makeMeter = (unit: Unit) => {
  let total: bigint | undefined
  return {
    charge: (actual: AnyAmount): void => {
      if (actual.unit !== unit) {
        throw new RangeError(`This request's budget is in ${unit}; it cannot be charged ${Amounts.format(actual)}`)
      }
      total = (total ?? 0n) + actual.amount
    },
    get total() {
      return total
    }
  }
}

/**
 * What a request is charged: the meter's, else by its status; `undefined` for nothing.
 *
 * @internal
 */
export const costOf = (
  charged: bigint | undefined,
  status: number | undefined,
  estimate: AnyAmount,
  actual: AnyAmount | ((status: number) => AnyAmount) | undefined
): AnyAmount | undefined => {
  if (charged !== undefined) return { ...estimate, amount: charged }
  if (status === undefined || status >= 400) return undefined
  return typeof actual === "function" ? actual(status) : actual ?? estimate
}

/**
 * What a request is called.
 *
 * @internal
 */
export const actionOf = (method: string, route: string | undefined): Action =>
  Actions.make("http.request", `${method.toUpperCase()} ${route ?? "*"}`.slice(0, 256))

/**
 * Takes the budget of a request. Throws what it is refused for; see `Problem`.
 *
 * @category lifecycle
 * @since 0.1.0
 */
export const begin = async <Request>(
  options: Options<Request>,
  request: Request,
  incoming: Incoming
): Promise<Open> => {
  const tenant = await options.tenant?.(incoming.headers)
  const estimate = typeof options.estimate === "function" ? await options.estimate(request) : options.estimate
  const subject: Subject | undefined = tenant === undefined && options.subject === undefined
    ? undefined
    : { ...options.subject?.(request), ...(tenant === undefined ? undefined : { tenant }) }
  const action = typeof options.action === "function"
    ? options.action(request, incoming)
    : options.action ?? actionOf(incoming.method, incoming.route)
  const { client, free } = leaseOf(options.client, tenant)
  let hold: Handle<Unit>
  try {
    hold = await client.reserve<Unit>({
      ...options.request,
      action,
      estimate,
      ...(subject === undefined ? undefined : { subject })
    }, { signal: incoming.signal })
  } catch (error) {
    free()
    throw error
  }
  const meter = makeMeter(estimate.unit)
  const gone = new AbortController()
  let settled = false
  return {
    budget: { tenant, reservation: hold, charge: meter.charge, signal: gone.signal },
    settle: async (status) => {
      if (settled) return
      settled = true
      if (status === undefined) gone.abort(new Error("The client went away"))
      let event: Settled
      try {
        const cost = costOf(meter.total, status, estimate, options.actual)
        event = { tenant, outcome: cost === undefined ? await hold.release() : await hold.commit(cost) }
      } catch (error) {
        event = { tenant, error }
      } finally {
        free()
      }
      try {
        options.onSettled?.(event)
      } catch {
        // The budget is settled; what its listener throws is nobody's, and must not end the process.
      }
    }
  }
}

const leaseOf = (client: PromiseClient | TenantClients, tenant: string | undefined): Lease => {
  if (!("acquire" in client)) return { client, free: () => {} }
  if (tenant === undefined) throw new Problem.MissingTenant({ reason: "nobody said how tenants are told apart" })
  return client.acquire(tenant)
}

/**
 * Settles the budget of a request, once: with the status that was sent, or without one when the client went away before. Never throws;
 * see `onSettled`.
 *
 * @category lifecycle
 * @since 0.1.0
 */
export const end = (open: Open, status: number | undefined): Promise<void> => open.settle(status)
