/**
 * A budget around the requests of a Hono application.
 *
 * Put it in front of a route's handler, which finds the budget with {@link current}.
 *
 * **Example** (A budget around a route)
 *
 * ```ts
 * import { HonoGuard } from "@effect-cycles/web"
 * import { Amount, Ledger, makePromiseClient } from "effect-cycles"
 *
 * const client = makePromiseClient({
 *   layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.usd(1) }] })
 * })
 *
 * export const guard = HonoGuard.middleware({ client, estimate: Amount.microcents(500_000) })
 *
 * // app.post("/chat", guard, (c) => {
 * //   HonoGuard.current(c).charge(Amount.microcents(300_000))
 * //   return c.json({ reply: "hello" })
 * // })
 * ```
 *
 * @since 0.1.0
 */
import { answer } from "./internal/webAnswer.ts"
import type { Options as WebOptions, WebBudget } from "./WebBudget.ts"

/**
 * What is needed of Hono's context.
 *
 * @category models
 * @since 0.1.0
 */
export interface Context {
  readonly req: { readonly method: string; readonly routePath: string; readonly raw: Request }
  res: Response
}

/**
 * How requests are budgeted; see `WebBudget.Options`. `Request` is Hono's context.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<C extends Context = Context> extends WebOptions<C> {}

const budgets = new WeakMap<object, WebBudget>()

/**
 * The budget of a request. Throws an `Error` where no {@link middleware} came before.
 *
 * @category getters
 * @since 0.1.0
 */
export const current = (context: object): WebBudget => {
  const budget = budgets.get(context)
  if (budget === undefined) {
    throw new Error("This request has no budget: put HonoGuard.middleware in front of its handler")
  }
  return budget
}

/**
 * The middleware: takes the budget before the handler runs, and settles it when the answer was sent or the client went away. A refusal is
 * answered as a `Problem`; what else is thrown goes to Hono.
 *
 * @category middleware
 * @since 0.1.0
 */
export const middleware =
  <C extends Context = Context>(options: Options<C>) =>
  async (context: C, next: () => Promise<void>): Promise<Response | undefined> => {
    const { raw, routePath } = context.req
    let handled: Response | undefined
    const response = await answer(options, context, { request: raw, route: routePath }, async (budget) => {
      budgets.set(context, budget)
      await next()
      // Hono has turned an error that a handler threw into an answer by now.
      return handled = context.res
    })
    if (handled === undefined) return response
    if (response !== handled) {
      // Hono merges the headers of the answer it replaces into the new one, unless there is none.
      ;(context as { res: Response | undefined }).res = undefined
      context.res = response
    }
    return undefined
  }
