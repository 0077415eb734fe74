/**
 * A budget around the requests of a Fastify application.
 *
 * {@link preHandler} goes into a route's options, or to `app.addHook("preHandler", …)` for all of them. The handler finds the budget with
 * {@link current}.
 *
 * **Example** (A budget around a route)
 *
 * ```ts
 * import { FastifyGuard } from "@effect-cycles/web"
 * import { Amount, Ledger, makePromiseClient } from "effect-cycles"
 *
 * const client = makePromiseClient({
 *   layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd(1) }] })
 * })
 *
 * export const guard = FastifyGuard.preHandler({ client, estimate: Amount.microcents(500_000) })
 *
 * // app.post("/chat", { preHandler: guard }, async (request) => {
 * //   FastifyGuard.current(request).charge(Amount.microcents(300_000))
 * //   return { reply: "hello" }
 * // })
 * ```
 *
 * @since 0.1.0
 */
import type { NodeAnswer, NodeHeaders } from "./internal/nodeAnswer.ts"
import { begin } from "./internal/nodeAnswer.ts"
import * as Problem from "./Problem.ts"
import type { Options as WebOptions, WebBudget } from "./WebBudget.ts"

/**
 * What is needed of Fastify's request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly method: string
  readonly headers: NodeHeaders
  readonly routeOptions: { readonly url?: string | undefined }
}

/**
 * What is needed of Fastify's reply.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reply {
  readonly raw: NodeAnswer
  readonly code: (status: number) => unknown
  readonly headers: (headers: Record<string, string>) => unknown
  readonly send: (body: object) => unknown
  readonly hijack: () => unknown
}

/**
 * How requests are budgeted; see `WebBudget.Options`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Req extends Request = Request> extends WebOptions<Req> {}

const budgets = new WeakMap<object, WebBudget>()

/**
 * The budget of a request. Throws an `Error` where no {@link preHandler} came before.
 *
 * @category getters
 * @since 0.1.0
 */
export const current = (request: object): WebBudget => {
  const budget = budgets.get(request)
  if (budget === undefined) {
    throw new Error("This request has no budget: give its route the option preHandler: FastifyGuard.preHandler(…)")
  }
  return budget
}

/**
 * The hook: takes the budget before the handler runs, and settles it when the answer was sent or the client went away. A refusal is
 * answered as a `Problem`; what else is thrown goes to Fastify.
 *
 * @category hooks
 * @since 0.1.0
 */
export const preHandler =
  <Req extends Request = Request>(options: Options<Req>) => async (request: Req, reply: Reply): Promise<unknown> => {
    const { headers, method, routeOptions } = request
    try {
      const budget = await begin(options, request, { method, headers, route: routeOptions.url }, reply.raw)
      if (budget === undefined) {
        reply.hijack()
        return reply
      }
      budgets.set(request, budget)
      return undefined
    } catch (error) {
      if (!Problem.isRefused(error)) throw error
      const problem = Problem.of(error, options.problem)
      reply.code(problem.status)
      reply.headers({ ...problem.headers })
      return reply.send(problem.body)
    }
  }
