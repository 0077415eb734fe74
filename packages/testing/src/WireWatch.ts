/**
 * Holds every answer of a test's server to the specification, without a word about it in the tests.
 *
 * A watch is made once in the file that sets up a suite's servers. It sees what they send, and the test in which one of them
 * sends something that the specification does not know fails, whatever else it asserts. Where there is no specification to be
 * held to, the watch counts what it let through.
 *
 * @since 0.1.0
 */
import { afterEach } from "@effect/vitest"
import type { Exchange, Plane, WireSpecification } from "./WireSpecification.ts"

/**
 * What a watch is told.
 *
 * - `specification`: what answers are held to; they are only counted when not given
 * - `plane`: which plane a server speaks where the two share an operation; the runtime's when not given
 * - `isOurs`: paths of a server that are not the specification's to judge. Those outside of `/v1/` never are. What is refused
 *   on them still has to be the protocol's error
 * - `isDeliberate`: whether an answer is wrong because a test wants it so
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly specification: WireSpecification | undefined
  readonly plane?: Plane | undefined
  readonly isOurs?: ((path: string) => boolean) | undefined
  readonly isDeliberate?: ((exchange: Exchange) => boolean) | undefined
}

/**
 * How many answers a file of tests had: `judged` were held to the specification, `unjudged` would have been if there were one.
 *
 * It is the member `responses` of the `meta` of the file, for a reporter of Vitest to sum up.
 *
 * @category models
 * @since 0.1.0
 */
export interface Responses {
  readonly judged: number
  readonly unjudged: number
}

/** As much of a server of `node:http` as is needed, so that no platform's types are. */
interface NodeServer {
  readonly prependListener: (
    event: "request",
    listener: (request: NodeRequest, response: NodeResponse) => void
  ) => unknown
}

interface NodeRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
}

type NodeMethod = (...args: ReadonlyArray<never>) => unknown

interface NodeResponse {
  readonly statusCode: number
  readonly getHeaders: () => { readonly [name: string]: number | string | ReadonlyArray<string> | undefined }
  writeHead: NodeMethod
  write: NodeMethod
  end: NodeMethod
}

interface WebRequest {
  readonly method: string
  readonly url: string
}

interface WebResponse {
  readonly status: number
  readonly headers: { readonly forEach: (each: (value: string, name: string) => void) => void }
  readonly clone: () => { readonly text: () => Promise<string> }
}

declare const URL: new(url: string) => { readonly pathname: string; readonly search: string }
declare const TextDecoder: new() => {
  readonly decode: (bytes?: Uint8Array, options?: { readonly stream?: boolean }) => string
}

/**
 * A watch at work.
 *
 * - `seen`: an exchange that took place
 * - `node`: sees all that a server of `node:http` sends, as it is sent
 * - `web`: sees all that a function from a web request to its response answers
 *
 * @category models
 * @since 0.1.0
 */
export interface WireWatch {
  readonly seen: (exchange: Exchange) => void
  readonly node: <S extends NodeServer>(server: S) => S
  readonly web: <Q extends WebRequest, A extends WebResponse>(
    handler: (request: Q) => Promise<A>
  ) => (request: Q) => Promise<A>
}

/**
 * Watches the tests of the file it is called in, by hooks of Vitest.
 *
 * **Example** (Behind every answer of a web handler)
 *
 * ```ts no-run
 * import { WireSpecification, WireWatch } from "@effect-cycles/testing"
 * import * as Fs from "node:fs"
 *
 * const watch = WireWatch.make({
 *   specification: WireSpecification.make((file) => Fs.readFileSync(`cycles-protocol/${file}`, "utf8"))
 * })
 *
 * declare const handler: (request: Request) => Promise<Response>
 *
 * export const watched = watch.web(handler)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  { isDeliberate = () => false, isOurs = () => false, plane, specification }: Options
): WireWatch => {
  const problems: Array<string> = []
  let judged = 0
  let unjudged = 0

  const seen = (exchange: Exchange): void => {
    if (!exchange.path.startsWith("/v1/") || isDeliberate(exchange)) return
    if (isOurs(exchange.path) && exchange.status < 400) return
    const asked: Exchange = plane === undefined ? exchange : { ...exchange, plane: exchange.plane ?? plane }
    if (specification === undefined) {
      unjudged++
      return
    }
    judged++
    const found = specification.response(asked).problems
    if (found.length === 0) return
    problems.push(
      `${exchange.method} ${exchange.path} was answered ${exchange.status} ${exchange.body.slice(0, 1_000)}` +
        found.map((problem) => `\n  - ${problem}`).join("")
    )
  }

  afterEach(({ task }) => {
    // Several watches of one file add up.
    const meta = task.file.meta as { responses?: Responses }
    const { responses = { judged: 0, unjudged: 0 } } = meta
    meta.responses = { judged: responses.judged + judged, unjudged: responses.unjudged + unjudged }
    judged = 0
    unjudged = 0
    const found = problems.splice(0)
    if (found.length > 0) {
      throw new Error(`Answers that the specification does not know:\n${found.join("\n")}`)
    }
  })

  const node = <S extends NodeServer>(server: S): S => {
    server.prependListener("request", (request, response) => {
      const decoder = new TextDecoder()
      let head: { readonly [name: string]: unknown } = {}
      let body = ""
      const keep = (chunk: unknown) => {
        if (typeof chunk === "string") body += chunk
        else if (chunk instanceof Uint8Array) body += decoder.decode(chunk, { stream: true })
      }
      const around = (name: "writeHead" | "write" | "end", look: (args: ReadonlyArray<unknown>) => void) => {
        const original = response[name]
        response[name] = (...args) => {
          look(args)
          return Reflect.apply(original, response, args)
        }
      }
      around("writeHead", ([, ...rest]) => {
        const headers = rest.find((argument) => typeof argument === "object" && argument !== null)
        head = Array.isArray(headers)
          ? Object.fromEntries(headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]]] : [])))
          : { ...headers }
      })
      around("write", ([chunk]) => keep(chunk))
      around("end", ([chunk]) => {
        keep(chunk)
        if (request.method === "HEAD") return
        const headers = Object.entries({ ...response.getHeaders(), ...head })
        seen({
          method: request.method ?? "",
          path: request.url ?? "",
          status: response.statusCode,
          headers: Object.fromEntries(headers.map(([name, value]) => [name, String(value)])),
          body
        })
      })
    })
    return server
  }

  const web: WireWatch["web"] = (handler) => async (request) => {
    const response = await handler(request)
    const headers: Record<string, string> = {}
    response.headers.forEach((value, name) => {
      headers[name] = value
    })
    const { pathname, search } = new URL(request.url)
    const body = await response.clone().text()
    seen({
      method: request.method,
      path: pathname + search,
      status: response.status,
      headers,
      body
    })
    return response
  }

  return { seen, node, web }
}
