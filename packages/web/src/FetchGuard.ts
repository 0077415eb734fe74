/**
 * A budget around handlers in the manner of the web: a `Request` in, a `Response` out, as in Next.js, Bun, Deno and workers.
 *
 * **Example** (A route of Next.js)
 *
 * ```ts
 * import { FetchGuard } from "@effect-cycles/web"
 * import { Amount, Ledger, makePromiseClient } from "effect-cycles"
 *
 * const client = makePromiseClient({
 *   layer: Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] })
 * })
 *
 * export const POST = FetchGuard.handler(
 *   { client, route: "/api/chat", estimate: Amount.tokens(700) },
 *   async (_request, budget) => {
 *     budget.charge(Amount.tokens(420))
 *     return Response.json({ reply: "hello" })
 *   }
 * )
 *
 * const ask = () => POST(new Request("http://localhost/api/chat", { method: "POST" }))
 * const first = await ask()
 * await first.text()
 * console.log(first.status, (await ask()).status) // => 200 402
 * await client.close()
 * ```
 *
 * @since 0.1.0
 */
import { answer } from "./internal/webAnswer.ts"
import type { Options as WebOptions, WebBudget } from "./WebBudget.ts"

/**
 * How requests are budgeted; see `WebBudget.Options`.
 *
 * - `route`: the template of the path this handler is for, which a `Request` does not know
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends WebOptions<Request> {
  readonly route?: string | undefined
}

/**
 * A handler behind a budget: it is taken before the handler runs, and settled when the body of the answer was read to its end, was given up,
 * or the request was aborted. A refusal is answered as a `Problem`; what else is thrown is thrown.
 *
 * @category handlers
 * @since 0.1.0
 */
export const handler = <Rest extends ReadonlyArray<unknown>>(
  options: Options,
  handle: (request: Request, budget: WebBudget, ...rest: Rest) => Response | Promise<Response>
) =>
(request: Request, ...rest: Rest): Promise<Response> =>
  answer(options, request, { request, route: options.route }, (budget) => handle(request, budget, ...rest))
