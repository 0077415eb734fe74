/**
 * A budget around the requests of an Express application.
 *
 * Put it in front of a route's handler, where Express knows the route's template. The handler finds the budget with {@link current}.
 *
 * **Example** (A budget around a route)
 *
 * ```ts
 * import { ExpressGuard, Tenant } from "@effect-cycles/web"
 * import { Amount, Ledger, makePromiseClient } from "effect-cycles"
 *
 * const client = makePromiseClient({
 *   layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd(1) }] })
 * })
 *
 * export const guard = ExpressGuard.middleware({ client, tenant: Tenant.header("X-Tenant-ID"), estimate: Amount.microcents(500_000) })
 *
 * // app.post("/chat", guard, async (req, res) => {
 * //   ExpressGuard.current(res).charge(Amount.microcents(300_000))
 * //   res.json({ reply: "hello" })
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
 * What is needed of Express's request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly method: string
  readonly baseUrl: string
  readonly route?: { readonly path?: unknown } | undefined
  readonly headers: NodeHeaders
}

/**
 * What is needed of Express's response.
 *
 * @category models
 * @since 0.1.0
 */
export interface Response extends NodeAnswer {
  readonly headersSent: boolean
  readonly status: (status: number) => Response
  readonly set: (headers: Record<string, string>) => Response
  readonly json: (body: object) => unknown
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
 * The budget of the request a response belongs to. Throws an `Error` where no {@link middleware} came before.
 *
 * @category getters
 * @since 0.1.0
 */
export const current = (response: object): WebBudget => {
  const budget = budgets.get(response)
  if (budget === undefined) {
    throw new Error("This request has no budget: put ExpressGuard.middleware in front of its handler")
  }
  return budget
}

const routeOf = (request: Request): string | undefined => {
  const path = request.route?.path
  return typeof path === "string" ? `${request.baseUrl}${path}` : undefined
}

/**
 * The middleware: takes the budget before the handler runs, and settles it when the answer was sent or the client went away. A refusal is
 * answered as a `Problem`; what else is thrown goes to Express.
 *
 * @category middleware
 * @since 0.1.0
 */
export const middleware = <Req extends Request = Request>(options: Options<Req>) =>
(
  request: Req,
  response: Response,
  next: (error?: unknown) => void
): void => {
  const { headers, method } = request
  begin(options, request, { method, headers, route: routeOf(request) }, response).then(
    (budget) => {
      if (budget === undefined) return
      budgets.set(response, budget)
      next()
    },
    (error: unknown) => {
      // Somebody else may have answered meanwhile, as a time limit does.
      if (response.headersSent || !Problem.isRefused(error)) return next(error)
      const problem = Problem.of(error, options.problem)
      response.status(problem.status).set({ ...problem.headers }).json(problem.body)
    }
  )
}
