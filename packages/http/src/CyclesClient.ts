/**
 * A `BudgetAuthority` behind a URL: any server that speaks the Cycles protocol.
 *
 * The client needs an `HttpClient` and leaves the choice to you: `FetchHttpClient.layer` works in Node, browsers and edge
 * runtimes; `@effect-cycles/http/NodeClient` in Node, with a connect timeout of its own.
 *
 * What it does beside sending requests:
 *
 * - **It repeats what is safe to repeat.** Every request carries an idempotency key or changes nothing, so an attempt that was
 *   lost, timed out, met a 5xx or brought a reply that makes no sense is made again with the same key, a few times, after a
 *   growing and jittered wait. A throttled one waits as long as the authority asks for, unless `Patience` leaves that to the
 *   caller. A denial is never repeated.
 * - **It is strict where money is at stake.** A success is the documented status with a body that fits the contract; anything
 *   else is `InternalError` or `AuthorityUnavailable`, that is, an outcome nobody knows. Members it does not know are ignored.
 * - **It keeps the key secret.** No error, log or span carries the API key, and redirects are not followed with it.
 * - **It can be followed.** Each attempt is a span `cycles.<operation>` whose context travels in `traceparent`; the
 *   authority's request and trace id are in every error.
 *
 * Interrupting a call aborts its request.
 *
 * With `FetchHttpClient`, further options of `fetch` are taken from the `RequestInit` around the client or the call; one that
 * only `FetchHttpClient.layer` was given is not seen, since redirects have to be turned off for each call.
 *
 * **Example** (A budget on a server)
 *
 * ```ts no-run
 * import { CyclesClient } from "@effect-cycles/http"
 * import { Effect } from "effect"
 * import { Action, Amount, Budget } from "effect-cycles"
 * import { FetchHttpClient } from "effect/http"
 *
 * const program = Budget.guard(
 *   { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *   (r) => Effect.succeed(r.commit(Amount.tokens(420), "a fine answer"))
 * ).pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(CyclesClient.layerConfig()),
 *   Effect.provide(FetchHttpClient.layer)
 * )
 * ```
 *
 * @since 0.1.0
 */
import type { Balance, BalancesQuery } from "effect-cycles/protocol/Balance"
import { BalancesPage } from "effect-cycles/protocol/Balance"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import type { Context as ErrorContext, Trouble } from "effect-cycles/protocol/CyclesError"
import { AuthorityUnavailable, InternalError, InvalidRequest } from "effect-cycles/protocol/CyclesError"
import { DecideReply, DecideRequest } from "effect-cycles/protocol/Decide"
import { EventReply, EventRequest } from "effect-cycles/protocol/Event"
import { ExtendReply, ExtendRequest } from "effect-cycles/protocol/Extend"
import type { Cursor } from "effect-cycles/protocol/Ids"
import { ReservationId } from "effect-cycles/protocol/Ids"
import { Patience, RequestContext } from "effect-cycles/protocol/RequestContext"
import type { ReservationsQuery } from "effect-cycles/protocol/ReservationRecord"
import { ReservationRecord, ReservationsPage } from "effect-cycles/protocol/ReservationRecord"
import { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import { CommitReply, CommitRequest, ReleaseReply, ReleaseRequest } from "effect-cycles/protocol/Settle"
import * as Shape from "effect-cycles/protocol/Shape"
import type { Subject } from "effect-cycles/protocol/Subject"
import { Default, levels } from "effect-cycles/protocol/Subject"
import * as Config from "effect/Config"
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
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type * as Types from "effect/Types"
import type { ErrorOf, Operation } from "./Errors.ts"
import * as Errors from "./Errors.ts"
import { BalancesParameters, ReservationsParameters, routes } from "./internal/wire.ts"
import * as WireJson from "./WireJson.ts"

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
declare class URLSearchParams {
  append(name: string, value: string): void
  toString(): string
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

/**
 * Where the authority is, and how to talk to it.
 *
 * - `baseUrl`: what comes before `/v1`, `http` or `https`, for example `https://cycles.example.com`; without query, fragment
 *   or credentials
 * - `apiKey`: visible ASCII characters
 * - `subject`: who spends when a request does not say; nobody when not given
 * - `timeout`: for one attempt, from sending it to the last byte of its reply; 10 seconds when not given. Connecting counts; a
 *   shorter time for that alone is an option of `NodeClient`, since `fetch` cannot tell
 * - `retries`: how many attempts may follow the first; 3 when not given
 * - `maxResponseBytes`: how long a reply may be; 4 MiB when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly baseUrl: string
  readonly apiKey: Redacted.Redacted
  readonly subject?: Subject | undefined
  readonly timeout?: Duration.Input | undefined
  readonly retries?: number | undefined
  readonly maxResponseBytes?: number | undefined
}

const TIMEOUT = Duration.seconds(10)
const RETRIES = 3
const MAX_RESPONSE_BYTES = 4 * 1_024 * 1_024
/** The longest wait between two attempts that this client chooses by itself. */
const MAX_BACKOFF = Duration.seconds(5)
/** The longest wait it accepts from an authority. */
const MAX_RETRY_AFTER_MS = 30_000

/**
 * An authority at a URL.
 *
 * Throws a `RangeError` for options that cannot work: a base URL that is none, an empty key or one that cannot be sent in a
 * header, a negative number of retries.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Operations, never, HttpClient.HttpClient> => {
  const flaw = baseUrlFlaw(options.baseUrl)
  if (flaw !== undefined) throw new RangeError(`The base URL ${flaw}`)
  const apiKey = Redacted.value(options.apiKey)
  if (!apiKeyPattern.test(apiKey)) throw new RangeError("The API key must be visible ASCII characters")
  const retries = options.retries ?? RETRIES
  if (!Number.isInteger(retries) || retries < 0) throw new RangeError("The number of retries must not be negative")
  const connection: Connection = {
    baseUrl: options.baseUrl.replace(/\/+$/, ""),
    host: new URL(options.baseUrl).hostname,
    apiKey,
    timeout: Duration.fromInputUnsafe(options.timeout ?? TIMEOUT),
    retries,
    maxResponseBytes: options.maxResponseBytes ?? MAX_RESPONSE_BYTES
  }
  return Effect.contextWith((context: Context.Context<HttpClient.HttpClient>) =>
    Effect.succeed(operations({
      ...connection,
      http: Context.get(context, HttpClient.HttpClient),
      requestInit: Context.getOrUndefined(context, FetchHttpClient.RequestInit)
    }))
  )
}

/**
 * The authority at a URL. Requests that name no subject are the configured subject's.
 *
 * Throws what {@link make} throws.
 *
 * **Example** (Options in the code)
 *
 * ```ts no-run
 * import { CyclesClient } from "@effect-cycles/http"
 * import { Redacted } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { Layer } from "effect"
 *
 * const authority = CyclesClient.layer({
 *   baseUrl: "https://cycles.example.com",
 *   apiKey: Redacted.make("cyc_live_…"),
 *   subject: { tenant: "acme", app: "support-bot" },
 *   timeout: "5 seconds"
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<BudgetAuthority, never, HttpClient.HttpClient> =>
  Layer.merge(
    Layer.effect(BudgetAuthority, make(options)),
    Layer.succeed(Default, options.subject ?? {})
  )

const apiKeyPattern = /^[\x21-\x7e]+$/

const baseUrlFlaw = (text: string): string | undefined => {
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

const BaseUrl = Schema.String.check(Schema.makeFilter((text) => baseUrlFlaw(text) ?? true))
// What is wrong with a secret is said without repeating it.
const ApiKey = Schema.Redacted(Schema.String).check(
  Schema.makeFilter((key) => apiKeyPattern.test(Redacted.value(key)) || "must be visible ASCII characters")
)

/** An optional variable; one that is set to nothing counts as absent. */
const optional = (name: string): Config.Config<string | undefined> =>
  Config.map(
    Config.option(Config.String(name)),
    (value) => Option.getOrUndefined(Option.filter(value, (text) => text.trim() !== ""))
  )

/**
 * Reads {@link Options} from the environment, or whatever the `ConfigProvider` around it reads.
 *
 * | variable | |
 * |---|---|
 * | `CYCLES_BASE_URL` | required |
 * | `CYCLES_API_KEY` | required |
 * | `CYCLES_TENANT`, `CYCLES_WORKSPACE`, `CYCLES_APP`, `CYCLES_WORKFLOW`, `CYCLES_AGENT`, `CYCLES_TOOLSET` | the subject of requests that name none |
 * | `CYCLES_TIMEOUT_MS` | for one attempt, in milliseconds; 10,000 when not set |
 * | `CYCLES_CONNECT_TIMEOUT_MS` | for a new connection; read by `NodeClient.layerConfig`, not here |
 * | `CYCLES_RETRIES` | how many attempts may follow the first; 3 when not set |
 *
 * A variable that is missing or malformed is a `ConfigError` that names it.
 *
 * @category configuration
 * @since 0.1.0
 */
export const config: Config.Config<Options> = Config.map(
  Config.all({
    baseUrl: Config.schema(BaseUrl, "CYCLES_BASE_URL"),
    apiKey: Config.schema(ApiKey, "CYCLES_API_KEY"),
    timeout: Config.option(
      Config.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 86_400_000 })), "CYCLES_TIMEOUT_MS")
    ),
    retries: Config.option(
      Config.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })), "CYCLES_RETRIES")
    ),
    tenant: optional("CYCLES_TENANT"),
    workspace: optional("CYCLES_WORKSPACE"),
    app: optional("CYCLES_APP"),
    workflow: optional("CYCLES_WORKFLOW"),
    agent: optional("CYCLES_AGENT"),
    toolset: optional("CYCLES_TOOLSET")
  }),
  ({ apiKey, baseUrl, retries, timeout, ...named }): Options => {
    const subject: Types.Mutable<Subject> = {}
    for (const level of levels) {
      const value = named[level]
      if (value !== undefined) subject[level] = value
    }
    return {
      baseUrl,
      apiKey,
      subject,
      timeout: Option.getOrUndefined(Option.map(timeout, Duration.millis)),
      retries: Option.getOrUndefined(retries)
    }
  }
)

/**
 * The authority the environment names, see {@link config}.
 *
 * **Example** (The variables of a deployment)
 *
 * ```ts
 * import { CyclesClient } from "@effect-cycles/http"
 * import { ConfigProvider, Effect } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const program = Effect.succeed("configured").pipe(
 *   Effect.provide(CyclesClient.layerConfig()),
 *   Effect.provide(FetchHttpClient.layer),
 *   Effect.provideService(
 *     ConfigProvider.ConfigProvider,
 *     ConfigProvider.fromEnv({ env: { CYCLES_BASE_URL: "https://cycles.example.com", CYCLES_API_KEY: "cyc_live_1" } })
 *   )
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "configured"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (): Layer.Layer<BudgetAuthority, Config.ConfigError, HttpClient.HttpClient> =>
  Layer.unwrap(Effect.map(config, layer))

// ---------------------------------------------------------------------------------------------------------------------
// lists
// ---------------------------------------------------------------------------------------------------------------------

const pages = <Item>(
  first: Cursor | undefined,
  page: (cursor: Cursor | undefined) => Effect.Effect<
    { readonly items: ReadonlyArray<Item>; readonly nextCursor?: Cursor; readonly hasMore?: boolean },
    Trouble,
    BudgetAuthority
  >
): Stream.Stream<Item, Trouble, BudgetAuthority> =>
  Stream.paginate(
    first,
    (cursor) =>
      Effect.flatMap(page(cursor), ({ hasMore, items, nextCursor }) =>
        nextCursor !== undefined && nextCursor === cursor
          ? Effect.fail(new InternalError({ reason: "the list goes in circles: its next page is this one" }))
          : Effect.succeed(
            [items, nextCursor === undefined || hasMore === false ? Option.none() : Option.some(nextCursor)] as const
          ))
  )

/**
 * All budgets a query names, page by page as they are asked for. `limit` is the size of a page, not of the stream. Works
 * with every authority, remote or not.
 *
 * **Example** (What is left in every budget of a tenant)
 *
 * ```ts
 * import { CyclesClient } from "@effect-cycles/http"
 * import { Effect, Stream } from "effect"
 * import { Amount, Ledger } from "effect-cycles"
 *
 * const program = CyclesClient.balancesStream({ tenant: "acme", limit: 1 }).pipe(
 *   Stream.map(({ remaining, scope }) => `${scope}: ${Amount.format(remaining)}`),
 *   Stream.runCollect,
 *   Effect.provide(Ledger.layerMemory({
 *     tenant: "acme",
 *     budgets: [
 *       { scope: "tenant:acme", allocated: Amount.usd(10) },
 *       { scope: "tenant:acme/agent:writer", allocated: Amount.usd(1) }
 *     ]
 *   }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => [ "tenant:acme: $10.00", "tenant:acme/agent:writer: $1.00" ]
 * ```
 *
 * @category lists
 * @since 0.1.0
 */
export const balancesStream = (query: BalancesQuery): Stream.Stream<Balance, Trouble, BudgetAuthority> =>
  pages(query.cursor, (cursor) =>
    Effect.flatMap(BudgetAuthority, (authority) =>
      Effect.map(
        authority.balances(cursor === undefined ? query : { ...query, cursor }),
        ({ balances, ...page }) => ({ ...page, items: balances })
      )))

/**
 * All reservations a query names, page by page as they are asked for. `limit` is the size of a page, not of the stream. Works
 * with every authority, remote or not.
 *
 * @category lists
 * @since 0.1.0
 */
export const reservationsStream = (
  query: ReservationsQuery
): Stream.Stream<ReservationRecord, Trouble, BudgetAuthority> =>
  pages(query.cursor, (cursor) =>
    Effect.flatMap(BudgetAuthority, (authority) =>
      Effect.map(
        authority.reservations(cursor === undefined ? query : { ...query, cursor }),
        ({ reservations, ...page }) => ({ ...page, items: reservations })
      )))

// ---------------------------------------------------------------------------------------------------------------------
// operations
// ---------------------------------------------------------------------------------------------------------------------

interface Connection {
  readonly baseUrl: string
  readonly host: string
  readonly apiKey: string
  readonly timeout: Duration.Duration
  readonly retries: number
  readonly maxResponseBytes: number
}

interface Client extends Connection {
  readonly http: HttpClient.HttpClient
  readonly requestInit: FetchHttpClient.RequestInit["Service"] | undefined
}

const operations = (client: Client): Operations => ({
  decide: (request) => post(client, decide, undefined, request),
  reserve: (request) => post(client, reserve, undefined, request),
  commit: (id, request) => post(client, commit, id, request),
  release: (id, request) => post(client, release, id, request),
  extend: (id, request) => post(client, extend, id, request),
  event: (request) => post(client, event, undefined, request),
  balances: (query) => list(client, balances, query),
  reservation: (id) => call(client, reservation, Result.map(pathOf(reservation, id), (path) => ({ path }))),
  reservations: (query) => list(client, reservations, query)
})

interface Endpoint<O extends Operation, A> {
  readonly operation: O
  readonly method: "GET" | "POST"
  readonly path: string
  /** The status of its success. */
  readonly status: number
  readonly decode: (body: unknown) => Result.Result<A, Schema.SchemaError>
}

interface Posting<O extends Operation, A, B> extends Endpoint<O, A> {
  readonly encode: (request: B) => Result.Result<unknown, InvalidRequest>
}

interface Listing<O extends Operation, A, Q> extends Endpoint<O, A> {
  readonly encode: (query: Q) => Result.Result<string, InvalidRequest>
}

const endpoint = <O extends Operation, A, I>(
  operation: O,
  contract: { readonly method: "GET" | "POST"; readonly path: string },
  reply: Schema.Codec<A, I>,
  status = 200
): Endpoint<O, A> => ({
  operation,
  method: contract.method,
  path: contract.path,
  status,
  decode: Schema.decodeUnknownResult(reply)
})

/** The wire form of a value, or which part of it has none. */
const encoder = <A, I>(schema: Schema.Codec<A, I>): (value: A) => Result.Result<I, InvalidRequest> => {
  const encode = Schema.encodeUnknownResult(schema)
  const flawOf = Shape.checker(schema)
  return (value) =>
    Result.mapError(
      encode(value),
      ({ message }) => new InvalidRequest(flawOf(value) ?? { field: "request", reason: message })
    )
}

const posting = <O extends Operation, A, B>(
  base: Endpoint<O, A>,
  request: Schema.Codec<B, unknown>
): Posting<O, A, B> => ({ ...base, encode: encoder(request) })

const listing = <O extends Operation, A, Q>(
  base: Endpoint<O, A>,
  parameters: Schema.Codec<Q, { readonly [name: string]: string | undefined }>
): Listing<O, A, Q> => {
  const encode = encoder(parameters)
  return {
    ...base,
    encode: (query) =>
      Result.map(encode(query), (encoded) => {
        const search = new URLSearchParams()
        for (const [name, value] of Object.entries(encoded)) {
          if (value !== undefined) search.append(name, value)
        }
        const text = search.toString()
        return text === "" ? "" : `?${text}`
      })
  }
}

const decide = posting(endpoint("decide", routes.decide, DecideReply), DecideRequest)
const reserve = posting(endpoint("reserve", routes.createReservation, ReserveReply), ReserveRequest)
const commit = posting(endpoint("commit", routes.commitReservation, CommitReply), CommitRequest)
const release = posting(endpoint("release", routes.releaseReservation, ReleaseReply), ReleaseRequest)
const extend = posting(endpoint("extend", routes.extendReservation, ExtendReply), ExtendRequest)
const event = posting(endpoint("event", routes.createEvent, EventReply, 201), EventRequest)
const balances = listing(endpoint("balances", routes.getBalances, BalancesPage), BalancesParameters)
const reservation = endpoint("reservation", routes.getReservation, ReservationRecord)
const reservations = listing(
  endpoint("reservations", routes.listReservations, ReservationsPage),
  ReservationsParameters
)

const idFlawOf = Shape.checker(ReservationId)

/** The path of an endpoint, with an id from who knows where in it. */
const pathOf = (
  { path }: { readonly path: string },
  id: ReservationId | undefined
): Result.Result<string, InvalidRequest> => {
  if (id === undefined) return Result.succeed(path)
  const flaw = idFlawOf(id)
  if (flaw !== undefined) return Result.fail(new InvalidRequest({ ...flaw, field: "reservation_id" }))
  // In a URL these two are not names, even when they are escaped; and half a surrogate pair cannot be escaped.
  return id === "." || id === ".." || /\p{Surrogate}/u.test(id)
    ? Result.fail(new InvalidRequest({ field: "reservation_id", reason: "it cannot be part of a URL" }))
    : Result.succeed(path.replace(":reservation_id", () => encodeURIComponent(id)))
}

interface Outgoing {
  readonly path: string
  readonly body?: string
  readonly idempotencyKey?: string
}

const post = <O extends Operation, A, B extends { readonly idempotencyKey: string }>(
  client: Client,
  endpoint: Posting<O, A, B>,
  id: ReservationId | undefined,
  request: B
): Effect.Effect<A, ErrorOf<O> | Trouble> =>
  Effect.suspend(() =>
    call(
      client,
      endpoint,
      Result.flatMap(pathOf(endpoint, id), (path) =>
        Result.flatMap(
          endpoint.encode(request),
          (encoded) =>
            Result.map(stringify(encoded), (body) => ({ path, body, idempotencyKey: request.idempotencyKey }))
        ))
    )
  )

const stringify = (value: unknown): Result.Result<string, InvalidRequest> => {
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

const list = <O extends Operation, A, Q>(
  client: Client,
  endpoint: Listing<O, A, Q>,
  query: Q
): Effect.Effect<A, ErrorOf<O> | Trouble> =>
  Effect.suspend(() =>
    call(client, endpoint, Result.map(endpoint.encode(query), (search) => ({ path: `${endpoint.path}${search}` })))
  )

// ---------------------------------------------------------------------------------------------------------------------
// attempts
// ---------------------------------------------------------------------------------------------------------------------

/** Growing waits, at least as long as the authority asked for. */
const backoff = Schedule.exponential("100 millis").pipe(
  Schedule.jittered,
  Schedule.modifyDelay(({ duration, input }: { readonly duration: Duration.Duration; readonly input: unknown }) => {
    const asked = typeof input === "object" && input !== null && "retryAfter" in input ? input.retryAfter : undefined
    const wait = Duration.min(duration, MAX_BACKOFF)
    return Effect.succeed(Duration.isDuration(asked) ? Duration.max(wait, asked) : wait)
  })
)

const call = <O extends Operation, A>(
  client: Client,
  endpoint: Endpoint<O, A>,
  outgoing: Result.Result<Outgoing, InvalidRequest>
): Effect.Effect<A, ErrorOf<O> | Trouble> => {
  if (Result.isFailure(outgoing)) return Effect.fail(outgoing.failure)
  return Effect.suspend(() => {
    const progress: Progress = { attempts: 0, isWorthRepeating: false }
    return Effect.retry(attempt(client, endpoint, outgoing.success, progress), {
      schedule: backoff,
      times: client.retries,
      while: () => progress.isWorthRepeating
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

const attempt = <O extends Operation, A>(
  client: Client,
  endpoint: Endpoint<O, A>,
  outgoing: Outgoing,
  progress: Progress
): Effect.Effect<A, ErrorOf<O> | Trouble> =>
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
          Effect.flatMap(({ response, text }): Effect.Effect<A, ErrorOf<O> | Trouble> => {
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
            "x-cycles-api-key"
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
  endpoint: Endpoint<Operation, unknown>,
  outgoing: Outgoing,
  span: Tracer.Span
): HttpClientRequest.HttpClientRequest => {
  const headers: Record<string, string> = { accept: "application/json", "x-cycles-api-key": client.apiKey }
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

const interpret = <O extends Operation, A>(
  endpoint: Endpoint<O, A>,
  { headers, status }: HttpClientResponse,
  text: string | undefined,
  maxLength: number,
  ids: ErrorContext,
  progress: Progress,
  mistrust: Mistrust,
  patience: "wait" | "fail"
): Effect.Effect<A, ErrorOf<O> | Trouble> => {
  const parsed = text === undefined || text === "" ? undefined : WireJson.parse(text, { maxLength })
  const body = parsed === undefined || Result.isFailure(parsed) ? undefined : withoutNulls(parsed.success)
  if (status < 200 || status > 299) {
    const error = Errors.fromResponse(endpoint.operation, {
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
  if (status === endpoint.status && Result.isSuccess(decoded)) return Effect.succeed(decoded.success)
  const reason = status !== endpoint.status
    ? `answered with status ${status} where the contract has ${endpoint.status}`
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
