// The answers of frameworks in the manner of the web: when a body was read to its end, and when it was given up.
import * as Problem from "../Problem.ts"
import type { Options } from "../WebBudget.ts"
import * as WebBudgets from "../WebBudget.ts"

/**
 * A response that tells when it was sent, or given up. A body that is read to its end was sent; the answer to a `HEAD` is sent without
 * one, which nobody reads.
 */
const observed = (
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
 * A handler's answer under a budget, which is taken before it, and settled when the answer was sent, was given up, or the request was
 * aborted. A refusal is answered; what the handler throws is thrown.
 */
export const answer = async <R>(
  options: Options<R>,
  request: R,
  incoming: { readonly request: Request; readonly route: string | undefined },
  handle: (budget: WebBudgets.WebBudget) => Response | Promise<Response>
): Promise<Response> => {
  const { method, headers, signal } = incoming.request
  let open: WebBudgets.Open
  try {
    open = await WebBudgets.begin(options, request, {
      method,
      route: incoming.route,
      headers: (name) => headers.get(name) ?? undefined,
      signal
    })
  } catch (error) {
    if (!Problem.isRefused(error)) throw error
    const problem = Problem.of(error, options.problem)
    return Response.json(problem.body, { status: problem.status, headers: problem.headers })
  }
  const onAbort = (): void => void WebBudgets.end(open, undefined)
  signal.addEventListener("abort", onAbort, { once: true })
  if (signal.aborted) onAbort()
  const settle = (status: number | undefined) => {
    signal.removeEventListener("abort", onAbort)
    return WebBudgets.end(open, status)
  }
  try {
    const response = await handle(open.budget)
    return observed(method, response, (wasSent) => settle(wasSent ? response.status : undefined))
  } catch (error) {
    await settle(500)
    throw error
  }
}
