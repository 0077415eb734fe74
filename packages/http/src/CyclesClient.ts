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
import type { Trouble } from "effect-cycles/protocol/CyclesError"
import { InternalError, InvalidRequest } from "effect-cycles/protocol/CyclesError"
import { DecideReply, DecideRequest } from "effect-cycles/protocol/Decide"
import { EventReply, EventRequest } from "effect-cycles/protocol/Event"
import { ExtendReply, ExtendRequest } from "effect-cycles/protocol/Extend"
import type { Cursor } from "effect-cycles/protocol/Ids"
import { ReservationId } from "effect-cycles/protocol/Ids"
import type { ReservationsQuery } from "effect-cycles/protocol/ReservationRecord"
import { ReservationRecord, ReservationsPage } from "effect-cycles/protocol/ReservationRecord"
import { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import { CommitReply, CommitRequest, ReleaseReply, ReleaseRequest } from "effect-cycles/protocol/Settle"
import * as Shape from "effect-cycles/protocol/Shape"
import type { Subject } from "effect-cycles/protocol/Subject"
import { Default, levels } from "effect-cycles/protocol/Subject"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Types from "effect/Types"
import type { ErrorOf, Operation } from "./Errors.ts"
import * as Errors from "./Errors.ts"
import { apiKeyPattern, baseUrlFlaw, call, type Client, connect, encoder, stringify } from "./internal/exchange.ts"
import type * as Exchange from "./internal/exchange.ts"
import { BalancesParameters, ReservationsParameters, routes } from "./internal/wire.ts"

// A part of every supported runtime; declared here so that no platform's types are needed.
declare class URLSearchParams {
  append(name: string, value: string): void
  toString(): string
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

/**
 * An authority at a URL.
 *
 * Throws a `RangeError` for options that cannot work: a base URL that is none, an empty key or one that cannot be sent in a
 * header, a negative number of retries.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Operations, never, HttpClient.HttpClient> =>
  Effect.map(connect(options), operations)

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

type Endpoint<O extends Operation, A> = Exchange.Endpoint<A, ErrorOf<O>>

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
  statuses: [status],
  decode: Schema.decodeUnknownResult(reply),
  failure: (answer) => Errors.fromResponse(operation, answer),
  isRepeatable: true
})

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

const list = <O extends Operation, A, Q>(
  client: Client,
  endpoint: Listing<O, A, Q>,
  query: Q
): Effect.Effect<A, ErrorOf<O> | Trouble> =>
  Effect.suspend(() =>
    call(client, endpoint, Result.map(endpoint.encode(query), (search) => ({ path: `${endpoint.path}${search}` })))
  )
