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
import * as Problem from "./Problem.ts"
import type { Options as WebOptions, WebBudget } from "./WebBudget.ts"
import * as WebBudgets from "./WebBudget.ts"

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
 * A response that tells when it was sent, or given up. A body that is read to its end was sent; the answer to a `HEAD` is sent without
 * one, which nobody reads.
 *
 * @internal
 */
export const observed = (
  method: string,
  response: Response,
  done: (wasSent: boolean) => Promise<void>
): Response => {
  if (response.body === null || method === "HEAD") {
    void done(true)
    return response
  }
  const reader = response.body.getReader()
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      try {
        const { done: ended, value } = await reader.read()
        if (!ended) return controller.enqueue(value)
        await done(true)
        controller.close()
      } catch (error) {
        await done(false)
        controller.error(error)
      }
    },
    cancel: async (reason) => {
      try {
        await reader.cancel(reason)
      } finally {
        await done(false)
      }
    }
  }, { highWaterMark: 0 })
  return new Response(body, response)
}

/**
 * A refusal as a `Response`.
 *
 * @internal
 */
export const toResponse = (problem: Problem.Problem): Response =>
  Response.json(problem.body, { status: problem.status, headers: problem.headers })

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
async (request: Request, ...rest: Rest): Promise<Response> => {
  let open: WebBudgets.Open
  try {
    open = await WebBudgets.begin(options, request, {
      method: request.method,
      route: options.route,
      headers: (name) => request.headers.get(name) ?? undefined,
      signal: request.signal
    })
  } catch (error) {
    if (!Problem.isRefused(error)) throw error
    return toResponse(Problem.of(error, options.problem))
  }
  const onAbort = (): void => void WebBudgets.end(open, undefined)
  request.signal.addEventListener("abort", onAbort, { once: true })
  if (request.signal.aborted) onAbort()
  const settle = (status: number | undefined) => {
    request.signal.removeEventListener("abort", onAbort)
    return WebBudgets.end(open, status)
  }
  try {
    const response = await handle(request, open.budget, ...rest)
    return observed(request.method, response, (wasSent) => settle(wasSent ? response.status : undefined))
  } catch (error) {
    await settle(500)
    throw error
  }
}
