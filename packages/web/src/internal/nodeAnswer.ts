// The answers of frameworks on `node:http`: when one was sent, and when its client went away before.
import type { Options } from "../WebBudget.ts"
import * as WebBudgets from "../WebBudget.ts"

/** Headers as `node:http` has them. */
export interface NodeHeaders {
  readonly [name: string]: string | ReadonlyArray<string> | undefined
}

/** What is needed of `node:http`'s response. */
export interface NodeAnswer {
  readonly statusCode: number
  readonly writableFinished: boolean
  readonly destroyed: boolean
  readonly on: (event: "close", listener: () => void) => unknown
}

/**
 * Takes the budget of a request, and settles it when its answer was sent or its client went away. `undefined` where that one went away
 * first, whatever came of the budget: nobody waits for an answer then, and what a handler charged would be lost.
 */
export const begin = async <Request>(
  options: Options<Request>,
  request: Request,
  incoming: { readonly method: string; readonly route: string | undefined; readonly headers: NodeHeaders },
  answer: NodeAnswer
): Promise<WebBudgets.WebBudget | undefined> => {
  // It does not come twice: what comes before the guard may have taken longer than the client.
  if (answer.destroyed) return undefined
  const gone = new AbortController()
  let open: WebBudgets.Open | undefined
  let isClosed = false
  // The one event there is in any case: after the answer was sent, and when the client went away before.
  answer.on("close", () => {
    isClosed = true
    if (!answer.writableFinished) gone.abort(new Error("The client went away"))
    if (open !== undefined) void WebBudgets.end(open, answer.writableFinished ? answer.statusCode : undefined)
  })
  try {
    open = await WebBudgets.begin(options, request, {
      method: incoming.method,
      route: incoming.route,
      headers: (name) => {
        const value = incoming.headers[name.toLowerCase()]
        return typeof value === "string" ? value : value?.[0]
      },
      signal: gone.signal
    })
  } catch (error) {
    if (isClosed) return undefined
    throw error
  }
  if (!isClosed) return open.budget
  await WebBudgets.end(open, undefined)
  return undefined
}
