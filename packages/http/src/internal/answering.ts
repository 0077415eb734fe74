// What the servers of both planes share: how a request's body is read, what an error is answered with, and what holds for a whole
// router: the ids of a request and its trace, and the protocol's body for what no route knows and for what breaks.
import type { CyclesError } from "effect-cycles/protocol/CyclesError"
import { InternalError, InvalidRequest, NotFound } from "effect-cycles/protocol/CyclesError"
import { RequestContext } from "effect-cycles/protocol/RequestContext"
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import type * as Headers from "effect/http/Headers"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerRespondable from "effect/http/HttpServerRespondable"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Errors from "../Errors.ts"
import { BadParameters } from "../RuntimeApi.ts"
import * as WireJson from "../WireJson.ts"

// Parts of every supported runtime; declared here so that no platform's types are needed.
declare const crypto: {
  readonly randomUUID: () => string
  readonly getRandomValues: (array: Uint8Array) => Uint8Array
}
declare class TextDecoder {
  constructor(encoding: "utf-8", options: { readonly fatal: true })
  decode(bytes: ArrayBuffer): string
}

export const MAX_REQUEST_BYTES = 1_024 * 1_024

/** How an error of one plane is answered. */
export type Words = (error: CyclesError, correlation: Errors.Correlation) => Errors.ErrorAnswer

// ---------------------------------------------------------------------------------------------------------------------
// answers
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What every answer says of itself. It is for whoever sent the key: caches keep apart by `Authorization` by themselves, and by no header
 * of ours; so they are told, but where a route says otherwise.
 */
const marksOf = ({ requestId, traceId }: RequestContext, cacheControl = "no-store") => ({
  "cache-control": cacheControl,
  "x-request-id": requestId,
  "x-cycles-trace-id": traceId
})

/** With all of its headers at once: each that is added to an answer copies it. */
const json = (
  status: number,
  body: unknown,
  marked: RequestContext,
  headers?: { readonly [name: string]: string }
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.text(WireJson.stringify(body), {
    status,
    contentType: "application/json",
    headers: { ...marksOf(marked), ...headers }
  })

/** A request that is none: which field of it, as the wire calls it, and why. */
export class Malformed extends Data.TaggedError("Malformed")<{ readonly field: string; readonly reason: string }> {}

export const refuse = (
  error: CyclesError | Malformed,
  words: Words = Errors.toResponse
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.withFiber((fiber) => {
    const { requestId, traceId } = fiber.getRef(RequestContext)
    const nowMs = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
    const correlation = { requestId, traceId, nowMs }
    if (error._tag === "Malformed") {
      const { field, reason } = error
      const { body, status } = Errors.toResponse(new InvalidRequest({ field, reason }), correlation)
      // What it calls the field is what was sent, and not a name of the core.
      return Effect.succeed(
        json(status, { ...body, message: Errors.withField(field, reason), details: { field } }, correlation)
      )
    }
    const answer = words(error, correlation)
    return Effect.succeed(json(answer.status, answer.body, correlation, answer.headers))
  })

/** Answers with what an effect yields, in the form of a reply. */
export const answer = <A, I>(reply: Schema.Codec<A, I>, status = 200, words: Words = Errors.toResponse) => {
  const encode = Schema.encodeUnknownResult(reply)
  return <R>(
    effect: Effect.Effect<A, CyclesError | Malformed, R>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
    Effect.matchEffect(effect, {
      onFailure: (error) => refuse(error, words),
      onSuccess: (value) =>
        Effect.withFiber((fiber) => {
          const encoded = encode(value)
          return Result.isSuccess(encoded)
            ? Effect.succeed(json(status, encoded.success, fiber.getRef(RequestContext)))
            : Effect.die(encoded.failure)
        })
    })
}

// ---------------------------------------------------------------------------------------------------------------------
// requests
// ---------------------------------------------------------------------------------------------------------------------

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

const malformed = ({ issue }: Schema.SchemaError, root: string): Malformed => {
  const first = issuesOf(issue).issues[0]
  const path = (first?.path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".")
  return new Malformed({ field: path === "" ? root : path, reason: first?.message ?? "has the wrong shape" })
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** Its text; nothing where it is not UTF-8, of which two that differ would read the same. */
const textOf = (bytes: ArrayBuffer): string | undefined => {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

const isJson = /^application\/(?:[^\s;]+\+)?json\s*(?:;|$)/i

/**
 * Reads the body of a request: JSON that fits a schema, and has nothing else in it.
 *
 * - `isOptional`: whether nothing at all stands for an object with nothing in it
 */
export const bodyOf = <A, I>(
  schema: Schema.Codec<A, I>,
  { isOptional = false }: { readonly isOptional?: boolean } = {}
) => {
  const decode = Schema.decodeUnknownResult(schema, { onExcessProperty: "error" })
  return (request: HttpServerRequest.HttpServerRequest, maxBytes: number): Effect.Effect<A, Malformed> => {
    const bad = (reason: string) => Effect.fail(new Malformed({ field: "body", reason }))
    const tooLong = `it is longer than ${maxBytes} bytes`
    const contentType = request.headers["content-type"]
    if (contentType !== undefined && !isJson.test(contentType)) return bad("its content type is not application/json")
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) return bad(tooLong)
    return Effect.flatMap(
      Effect.catch(
        Effect.provideService(request.arrayBuffer, HttpIncomingMessage.MaxBodySize, ByteSize.bytes(maxBytes)),
        () => bad(`it cannot be read, or ${tooLong}`)
      ),
      (bytes) => {
        const text = textOf(bytes)
        if (text === undefined) return bad("it is not UTF-8")
        const parsed = isOptional && text.trim() === ""
          ? Result.succeed({})
          : WireJson.parse(text, { strict: true, maxLength: maxBytes })
        if (Result.isFailure(parsed)) {
          const { field, message, reason } = parsed.failure
          return field === undefined ? bad(message) : Effect.fail(new Malformed({ field, reason }))
        }
        const decoded = decode(parsed.success)
        return Result.isFailure(decoded)
          ? Effect.fail(malformed(decoded.failure, "body"))
          : Effect.succeed(decoded.success)
      }
    )
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// middleware
// ---------------------------------------------------------------------------------------------------------------------

export const badParameters = HttpApiMiddleware.layerSchemaErrorTransform(
  BadParameters,
  (error) =>
    error.kind === "Body" || error.kind === "ResponseHeaders"
      ? Effect.die(error)
      : refuseParameter(malformed(error.cause, error.kind.toLowerCase()))
)

/** A parameter may have been given its name in the core before it was found wanting. */
const refuseParameter = ({ field, reason }: Malformed) =>
  refuse(new Malformed({ field: Errors.toWireField(field), reason }))

const isTraceId = (id: string | undefined): id is string =>
  id !== undefined && /^[0-9a-f]{32}$/.test(id) && !/^0+$/.test(id)

const hexDigits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

// Asking for random bytes costs far more than the bytes do.
const pool = new Uint8Array(16 * 256)
let used = pool.length

const randomTraceId = (): string => {
  if (used === pool.length) {
    crypto.getRandomValues(pool)
    used = 0
  }
  let id = ""
  for (const end = used + 16; used < end; used++) id += hexDigits[pool[used]!]!
  return id
}

/** Section CORRELATION AND TRACING: `traceparent`, else `X-Cycles-Trace-Id`, else a new one. What is malformed is not there. */
const traceIdOf = (headers: Headers.Headers): string => {
  const parent = HttpTraceContext.w3c(headers)
  if (Option.isSome(parent) && isTraceId(parent.value.traceId)) return parent.value.traceId
  const given = headers["x-cycles-trace-id"]
  if (isTraceId(given)) return given
  for (;;) {
    const id = randomTraceId()
    if (isTraceId(id)) return id
  }
}

/** What a failure that no handler answered means: somebody else's answer, an unknown path, or a fault of ours. */
const recover = <E>(cause: Cause.Cause<E>): Effect.Effect<HttpServerResponse.HttpServerResponse, E> => {
  if (Cause.hasInterrupts(cause)) return Effect.failCause(cause)
  const error: unknown = Cause.squash(cause)
  if (HttpServerError.isHttpServerError(error)) {
    if (error.reason._tag === "RouteNotFound") {
      return refuse(new NotFound({ reason: `There is no ${error.reason.request.method} on this path` }))
    }
    if (error.reason._tag === "RequestParseError") {
      return refuse(new InvalidRequest({ field: "request", reason: "it cannot be read" }))
    }
  }
  return HttpServerRespondable.isRespondable(error) && !HttpServerError.isHttpServerError(error)
    ? HttpServerRespondable.toResponse(error)
    : Effect.andThen(
      Effect.logError("A request broke its handler", cause),
      refuse(new InternalError({ reason: "The request could not be handled" }))
    )
}

/** Once per router, however many planes are on it: a layer is built once. */
export const correlation = HttpRouter.middleware(
  (handler) =>
    Effect.withFiber((fiber) => {
      const request = Context.getUnsafe(fiber.context, HttpServerRequest.HttpServerRequest)
      const context = { requestId: crypto.randomUUID(), traceId: traceIdOf(request.headers) }
      return Effect.catchCause(handler, recover).pipe(
        Effect.map((response) =>
          // What was answered here is marked already.
          response.headers["x-request-id"] === context.requestId
            ? response
            : HttpServerResponse.setHeaders(response, marksOf(context, response.headers["cache-control"]))
        ),
        Effect.provideService(RequestContext, context)
      )
    }),
  { global: true }
)
