// How a client talks to a server: one request and its reply, again where that is safe, with a span of its own. What is asked and
// what an answer that is no success means is up to the operation.
import type { Context as ErrorContext } from "effect-cycles/protocol/CyclesError"
import { AuthorityUnavailable, InternalError, InvalidRequest } from "effect-cycles/protocol/CyclesError"
import { Patience, RequestContext } from "effect-cycles/protocol/RequestContext"
import * as Shape from "effect-cycles/protocol/Shape"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import { DecodeError, HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as HttpClientResponses from "effect/http/HttpClientResponse"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Errors from "../Errors.ts"
import * as WireJson from "../WireJson.ts"

// Parts of every supported runtime; declared here so that no platform's types are needed.
declare class URL {
  constructor(url: string)
  readonly protocol: string
  readonly hostname: string
  readonly search: string
  readonly hash: string
  readonly username: string
  readonly password: string
}
declare class TextDecoder {
  decode(bytes?: Uint8Array, options?: { readonly stream?: boolean }): string
}
interface WebBody {
  readonly getReader: () => {
    readonly read: () => Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
    readonly cancel: () => Promise<void>
  }
}

/** Where a server is, and how to talk to it. */
export interface Settings {
  readonly baseUrl: string
  readonly apiKey: Redacted.Redacted
  readonly timeout?: Duration.Input | undefined
  readonly retries?: number | undefined
  readonly maxResponseBytes?: number | undefined
}

const TIMEOUT = Duration.seconds(10)
const RETRIES = 3
const MAX_RESPONSE_BYTES = 4 * 1_024 * 1_024
/** The longest wait between two attempts that this client chooses by itself. */
const MAX_BACKOFF = Duration.seconds(5)
/** The longest wait it accepts from a server. */
const MAX_RETRY_AFTER_MS = 30_000

export const apiKeyPattern = /^[\x21-\x7e]+$/

export const baseUrlFlaw = (text: string): string | undefined => {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return "must be an absolute URL"
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") return "must begin with http:// or https://"
  // Credentials would end up in spans and logs.
  return url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== ""
    ? "must not have a query, a fragment or credentials"
    : undefined
}

interface Client {
  readonly baseUrl: string
  readonly host: string
  /** The header the key is sent in, in lower case. */
  readonly keyHeader: string
  readonly apiKey: string
  readonly timeout: Duration.Duration
  readonly retries: number
  readonly maxResponseBytes: number
  readonly http: HttpClient.HttpClient
  readonly requestInit: FetchHttpClient.RequestInit["Service"] | undefined
}

export type { Client }

/** Throws a `RangeError` for settings that cannot work. */
export const connect = (
  settings: Settings,
  keyHeader = "x-cycles-api-key"
): Effect.Effect<Client, never, HttpClient.HttpClient> => {
  const flaw = baseUrlFlaw(settings.baseUrl)
  if (flaw !== undefined) throw new RangeError(`The base URL ${flaw}`)
  const apiKey = Redacted.value(settings.apiKey)
  if (!apiKeyPattern.test(apiKey)) throw new RangeError("The API key must be visible ASCII characters")
  const retries = settings.retries ?? RETRIES
  if (!Number.isInteger(retries) || retries < 0) throw new RangeError("The number of retries must not be negative")
  const connection = {
    baseUrl: settings.baseUrl.replace(/\/+$/, ""),
    host: new URL(settings.baseUrl).hostname,
    keyHeader,
    apiKey,
    timeout: Duration.fromInputUnsafe(settings.timeout ?? TIMEOUT),
    retries,
    maxResponseBytes: settings.maxResponseBytes ?? MAX_RESPONSE_BYTES
  }
  return Effect.contextWith((context: Context.Context<HttpClient.HttpClient>) =>
    Effect.succeed({
      ...connection,
      http: Context.get(context, HttpClient.HttpClient),
      requestInit: Context.getOrUndefined(context, FetchHttpClient.RequestInit)
    })
  )
}

/** What of an error says whether it is worth another attempt. */
interface Failed {
  readonly retryAfterMs?: number
}

/** What is asked, and how an answer is read. */
export interface Endpoint<A, E extends Failed> {
  readonly operation: string
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  readonly path: string
  /** The statuses of its success. */
  readonly statuses: ReadonlyArray<number>
  readonly decode: (body: unknown) => Result.Result<A, Schema.SchemaError>
  /** The error an answer that is no success stands for. */
  readonly failure: (answer: Errors.Answer) => E
  /** Whether asking twice is like asking once. */
  readonly isRepeatable: boolean
}

export interface Outgoing {
  readonly path: string
  readonly body?: string
  readonly idempotencyKey?: string
}

/** Makes up for what is missing to a whole trouble: what every call can fail with. */
export type Trouble = AuthorityUnavailable | InternalError | InvalidRequest

/** The wire form of a value, or which part of it has none. */
export const encoder = <A, I>(schema: Schema.Codec<A, I>): (value: A) => Result.Result<I, InvalidRequest> => {
  const encode = Schema.encodeUnknownResult(schema)
  const flawOf = Shape.checker(schema)
  return (value) =>
    Result.mapError(
      encode(value),
      ({ message }) => new InvalidRequest(flawOf(value) ?? { field: "request", reason: message })
    )
}

export const stringify = (value: unknown): Result.Result<string, InvalidRequest> => {
  const flaw = jsonFlaw(value, [])
  return flaw === undefined ? Result.succeed(WireJson.stringify(value)) : Result.fail(new InvalidRequest(flaw))
}

const MAX_DEPTH = 100

/**
 * Callers put what they like into `metadata`. What JSON would change in silence (`NaN` to `null`, a `Date` to a text) or cannot
 * say at all is refused, as an embedded ledger refuses it.
 */
const jsonFlaw = (value: unknown, path: ReadonlyArray<string>): Shape.Flaw | undefined => {
  const flaw = (reason: string): Shape.Flaw => ({ field: Errors.fromWireField(path.join(".")), reason })
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? undefined : flaw(`${value} is not a JSON number`)
    case "function":
    case "symbol":
      return flaw(`a ${typeof value} is not a JSON value`)
    case "object": {
      if (value === null) return undefined
      if (path.length >= MAX_DEPTH) return flaw(`it is nested deeper than ${MAX_DEPTH}`)
      const prototype: unknown = Object.getPrototypeOf(value)
      if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) {
        return flaw(`${Object.prototype.toString.call(value)} is not a JSON value`)
      }
      for (const [name, member] of Object.entries(value)) {
        const found = jsonFlaw(member, [...path, name])
        if (found !== undefined) return found
      }
      return undefined
    }
    default:
      return undefined
  }
}

/** Growing waits, at least as long as the authority asked for. */
const backoff = Schedule.exponential("100 millis").pipe(
  Schedule.jittered,
  Schedule.modifyDelay(({ duration, input }: { readonly duration: Duration.Duration; readonly input: unknown }) => {
    const asked = typeof input === "object" && input !== null && "retryAfter" in input ? input.retryAfter : undefined
    const wait = Duration.min(duration, MAX_BACKOFF)
    return Effect.succeed(Duration.isDuration(asked) ? Duration.max(wait, asked) : wait)
  })
)

export const call = <A, E extends Failed>(
  client: Client,
  endpoint: Endpoint<A, E>,
  outgoing: Result.Result<Outgoing, InvalidRequest>
): Effect.Effect<A, E | Trouble> => {
  if (Result.isFailure(outgoing)) return Effect.fail(outgoing.failure)
  return Effect.suspend(() => {
    const progress: Progress = { attempts: 0, isWorthRepeating: false }
    return Effect.retry(attempt(client, endpoint, outgoing.success, progress), {
      schedule: backoff,
      times: client.retries,
      while: () => endpoint.isRepeatable && progress.isWorthRepeating
    })
  })
}

/** What one call knows of its attempts, which follow one another. */
interface Progress {
  attempts: number
  /** Whether the last attempt failed in a way that the next may not. */
  isWorthRepeating: boolean
}

/** Notes that nobody knows what became of an attempt. */
type Mistrust = <Error extends AuthorityUnavailable | InternalError>(error: Error) => Error

const attempt = <A, E extends Failed>(
  client: Client,
  endpoint: Endpoint<A, E>,
  outgoing: Outgoing,
  progress: Progress
): Effect.Effect<A, E | Trouble> =>
  Effect.withFiber((fiber) => {
    const resends = progress.attempts++
    progress.isWorthRepeating = false
    const parent = Context.getOrUndefined(fiber.context, Tracer.ParentSpan) ??
      remoteParent(fiber.getRef(RequestContext).traceId)
    return Effect.useSpan(
      `cycles.${endpoint.operation}`,
      {
        kind: "client",
        ...(parent === undefined ? undefined : { parent }),
        attributes: {
          "http.request.method": endpoint.method,
          "url.template": endpoint.path,
          "server.address": client.host,
          ...(resends === 0 ? undefined : { "http.request.resend_count": resends })
        }
      },
      (span) => {
        const mistrust: Mistrust = (error) => {
          progress.isWorthRepeating = true
          return error
        }
        const ids: ErrorContext = isTraceId(span.traceId) ? { traceId: span.traceId } : {}
        return client.http.execute(requestOf(client, endpoint, outgoing, span)).pipe(
          Effect.flatMap((response) =>
            Effect.map(read(response, client.maxResponseBytes), (text) => ({ response, text }))
          ),
          Effect.timeoutOrElse({
            duration: client.timeout,
            orElse: () =>
              Effect.suspend(() =>
                Effect.fail(
                  mistrust(
                    new AuthorityUnavailable({ ...ids, reason: `no answer within ${Duration.format(client.timeout)}` })
                  )
                )
              )
          }),
          Effect.catchTag("HttpClientError", (error) => {
            const { isTransient, reason } = describe(error, client.apiKey)
            const unavailable = new AuthorityUnavailable({ ...ids, reason, cause: new Error(reason) })
            return Effect.fail(isTransient ? mistrust(unavailable) : unavailable)
          }),
          Effect.flatMap(({ response, text }): Effect.Effect<A, E | Trouble> => {
            span.attribute("http.response.status_code", response.status)
            const requestId = response.headers["x-request-id"]
            if (requestId !== undefined) span.attribute("cycles.request_id", requestId)
            return interpret(
              endpoint,
              response,
              text,
              client.maxResponseBytes,
              ids,
              progress,
              mistrust,
              fiber.getRef(Patience)
            )
          }),
          Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
          Effect.provideService(FetchHttpClient.RequestInit, {
            ...client.requestInit,
            ...Context.getOrUndefined(fiber.context, FetchHttpClient.RequestInit),
            redirect: "manual"
          }),
          Effect.provideService(Headers.CurrentRedactedNames, [
            ...fiber.getRef(Headers.CurrentRedactedNames),
            client.keyHeader
          ])
        )
      }
    )
  })

const isTraceId = (id: string): boolean => /^[0-9a-f]{32}$/.test(id) && !/^0+$/.test(id)

/** The trace a request belongs to that carries its id but no span of its own. */
const remoteParent = (traceId: string | undefined): Tracer.ExternalSpan | undefined =>
  traceId === undefined || !isTraceId(traceId) || /^0+$/.test(traceId.slice(0, 16))
    ? undefined
    : Tracer.externalSpan({ traceId, spanId: traceId.slice(0, 16) })

const requestOf = (
  client: Client,
  endpoint: Endpoint<unknown, Failed>,
  outgoing: Outgoing,
  span: Tracer.Span
): HttpClientRequest.HttpClientRequest => {
  const headers: Record<string, string> = { accept: "application/json", [client.keyHeader]: client.apiKey }
  const { traceparent } = HttpTraceContext.toHeaders(span)
  if (traceparent !== undefined && /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/.test(traceparent)) {
    headers["traceparent"] = traceparent
  }
  // The body has the key in any case; not every key can be sent in a header.
  if (outgoing.idempotencyKey !== undefined && apiKeyPattern.test(outgoing.idempotencyKey)) {
    headers["x-idempotency-key"] = outgoing.idempotencyKey
  }
  return HttpClientRequest.make(endpoint.method)(`${client.baseUrl}${outgoing.path}`, {
    headers,
    ...(outgoing.body === undefined ? undefined : { body: HttpBody.text(outgoing.body, "application/json") })
  })
}

/** The whole of a body, or nothing where it is too long. */
const read = (
  response: HttpClientResponse,
  maxBytes: number
): Effect.Effect<string | undefined, HttpClientError> => {
  const web: WebBody | null | undefined = Option.getOrUndefined(HttpClientResponses.toWeb(response))?.body
  if (web !== undefined && web !== null) return readWeb(response, web, maxBytes)
  const length = response.headers["content-length"]
  const isPlain = response.headers["content-encoding"] === undefined
  const isShort = isPlain && length !== undefined && /^\d{1,15}$/.test(length) && Number(length) <= maxBytes
  return isShort ? response.text : readStream(response, maxBytes)
}

/**
 * The body of a `fetch`, without a stream of Effect around it, which would abort the request behind a reply that was read to its
 * end: that costs as much as half a request.
 */
const readWeb = (
  response: HttpClientResponse,
  web: WebBody,
  maxBytes: number
): Effect.Effect<string | undefined, HttpClientError> =>
  Effect.callback((resume) => {
    const reader = web.getReader()
    const cancel = (): void => {
      reader.cancel().catch(() => {})
    }
    const decoder = new TextDecoder()
    let bytes = 0
    let text = ""
    const drain = async (): Promise<string | undefined> => {
      while (true) {
        const { done, value } = await reader.read()
        if (done || value === undefined) return text + decoder.decode()
        bytes += value.byteLength
        if (bytes > maxBytes) {
          cancel()
          return undefined
        }
        text += decoder.decode(value, { stream: true })
      }
    }
    drain().then(
      (text) => resume(Effect.succeed(text)),
      (cause) =>
        resume(
          Effect.fail(new HttpClientError({ reason: new DecodeError({ request: response.request, response, cause }) }))
        )
    )
    return Effect.sync(cancel)
  })

const readStream = (
  response: HttpClientResponse,
  maxBytes: number
): Effect.Effect<string | undefined, HttpClientError> =>
  Effect.suspend(() => {
    const decoder = new TextDecoder()
    let bytes = 0
    let text = ""
    return response.stream.pipe(
      Stream.takeWhile((chunk) => (bytes += chunk.byteLength) <= maxBytes),
      Stream.runForEach((chunk) =>
        Effect.sync(() => {
          text += decoder.decode(chunk, { stream: true })
        })
      ),
      Effect.map(() => bytes > maxBytes ? undefined : text + decoder.decode()),
      Effect.catchTag(
        "HttpClientError",
        (error) => error.reason._tag === "EmptyBodyError" ? Effect.succeed("") : Effect.fail(error)
      )
    )
  })

/** What went wrong below, in words: an error of the HTTP client holds the whole request, and with it the key. */
const describe = (
  { reason }: HttpClientError,
  apiKey: string
): { readonly isTransient: boolean; readonly reason: string } => {
  const words: Array<string> = []
  let cause: unknown = "cause" in reason ? reason.cause : undefined
  for (let depth = 0; depth < 5 && cause instanceof Error; depth++) {
    const code = "code" in cause && typeof cause.code === "string" ? ` (${cause.code})` : ""
    if (cause.message !== "" || code !== "") words.push(`${cause.message}${code}`)
    cause = cause.cause
  }
  if (words.length === 0 && "description" in reason && typeof reason.description === "string") {
    words.push(reason.description)
  }
  const what = reason._tag === "TransportError" ? "the request failed" : "the exchange failed"
  const text = [what, ...words].join(": ").replaceAll(apiKey, "<redacted>")
  return { isTransient: reason._tag !== "InvalidUrlError" && reason._tag !== "EncodeError", reason: text }
}

const interpret = <A, E extends Failed>(
  endpoint: Endpoint<A, E>,
  { headers, status }: HttpClientResponse,
  text: string | undefined,
  maxLength: number,
  ids: ErrorContext,
  progress: Progress,
  mistrust: Mistrust,
  patience: "wait" | "fail"
): Effect.Effect<A, E | Trouble> => {
  const parsed = text === undefined || text === "" ? undefined : WireJson.parse(text, { maxLength })
  const body = parsed === undefined || Result.isFailure(parsed) ? undefined : withoutNulls(parsed.success)
  if (status < 200 || status > 299) {
    const error = endpoint.failure({
      status,
      headers: { "x-cycles-trace-id": ids.traceId, ...headers },
      body
    })
    progress.isWorthRepeating = (status === 429
      ? error.retryAfterMs !== undefined && error.retryAfterMs <= MAX_RETRY_AFTER_MS
      : status >= 500 && (error.retryAfterMs ?? 0) <= MAX_RETRY_AFTER_MS) &&
      (error.retryAfterMs === undefined || patience === "wait")
    return Effect.fail(error)
  }
  const decoded = endpoint.decode(body)
  if (endpoint.statuses.includes(status) && Result.isSuccess(decoded)) return Effect.succeed(decoded.success)
  const reason = !endpoint.statuses.includes(status)
    ? `answered with status ${status} where the contract has ${endpoint.statuses.join(" or ")}`
    : text === undefined
    ? `the reply is longer than ${maxLength} bytes`
    : parsed === undefined
    ? "the reply is empty"
    : Result.isFailure(parsed)
    ? `the reply cannot be read: ${parsed.failure.message}`
    : `the reply does not fit the contract at ${Result.isFailure(decoded) ? placeOf(decoded.failure) : "its root"}`
  const requestId = headers["x-request-id"]
  const traceId = headers["x-cycles-trace-id"]
  return Effect.fail(mistrust(
    new InternalError({
      ...ids,
      reason,
      ...(requestId === undefined ? undefined : { requestId }),
      ...(traceId === undefined ? undefined : { traceId })
    })
  ))
}

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

/** Where a reply does not fit, without a word of what it says there. */
const placeOf = ({ issue }: Schema.SchemaError): string => {
  const path = issuesOf(issue).issues[0]?.path ?? []
  return path.map((part) => String(typeof part === "object" ? part.key : part)).join(".") || "its root"
}

/** Members whose content the protocol leaves to those who send it. */
const freeForm: ReadonlySet<string> = new Set(["metadata", "committed_metadata", "custom", "details", "dimensions"])

/** Some servers write `null` for what they do not know. The protocol leaves it out. */
const withoutNulls = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value).filter(([, member]) => member !== null)
  return Object.fromEntries(
    entries.map(([name, member]: [string, unknown]) => [name, freeForm.has(name) ? member : withoutNulls(member)])
  )
}
