/**
 * The runtime plane on a server: the handlers of {@link RuntimeApi}, over an authority per request.
 *
 * They are the protocol and nothing else. Who a key belongs to is the caller's to say, by a function; what may be spent is the
 * authority's. In between: bodies are read exactly and refused when they hold anything the protocol does not know, errors are
 * answered with the protocol's body, and every answer carries `X-Request-Id` and `X-Cycles-Trace-Id`.
 *
 * A request is refused for the first of these: no good key (401), a body that is not JSON (400), one that does not fit the
 * contract (400), a header `X-Idempotency-Key` that is not the body's (400); then it is the authority's.
 *
 * Specification: `cycles-protocol-v0.yaml`, sections AUTH & TENANCY, ERROR SEMANTICS, CORRELATION AND TRACING.
 *
 * **Example** (A server in one process, for one key)
 *
 * ```ts
 * import { Handlers } from "@effect-cycles/http"
 * import { Effect, Layer, Redacted } from "effect"
 * import { Amount, BudgetAuthority, CyclesError, Ledger } from "effect-cycles"
 * import { HttpRouter } from "effect/http"
 *
 * const routes = Layer.unwrap(Effect.map(BudgetAuthority.BudgetAuthority, (authority) =>
 *   Handlers.layer({
 *     authenticate: (key) =>
 *       Redacted.value(key) === "secret"
 *         ? Effect.succeed({ tenant: "acme", authority })
 *         : Effect.fail(new CyclesError.Unauthorized({}))
 *   }))).pipe(
 *     Layer.provide(
 *       Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] })
 *     )
 *   )
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(routes, {
 *   routerConfig: Handlers.routerConfig,
 *   disableLogger: true
 * })
 *
 * const response = await handler(
 *   new Request("http://localhost/v1/balances?tenant=acme", { headers: { "X-Cycles-API-Key": "secret" } })
 * )
 * await dispose()
 *
 * console.log(response.status, response.headers.get("X-Cycles-Tenant")) // => 200 acme
 * ```
 *
 * @since 0.1.0
 */
import { BalancesPage } from "effect-cycles/protocol/Balance"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import type { CyclesError, Trouble } from "effect-cycles/protocol/CyclesError"
import { NotFound, Unauthorized } from "effect-cycles/protocol/CyclesError"
import { DecideReply, DecideRequest } from "effect-cycles/protocol/Decide"
import { EventReply, EventRequest } from "effect-cycles/protocol/Event"
import { ExtendReply, ExtendRequest } from "effect-cycles/protocol/Extend"
import type { ReservationId } from "effect-cycles/protocol/Ids"
import { ReservationRecord, ReservationsPage } from "effect-cycles/protocol/ReservationRecord"
import { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import { CommitReply, CommitRequest, ReleaseReply, ReleaseRequest } from "effect-cycles/protocol/Settle"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Headers from "effect/http/Headers"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import {
  answer,
  badParameters,
  bodyOf,
  correlation,
  Malformed,
  MAX_REQUEST_BYTES,
  refuse
} from "./internal/answering.ts"
import type { EvidenceEnvelope, EvidenceJwks, OperatorReservations, Principal } from "./RuntimeApi.ts"
import * as Api from "./RuntimeApi.ts"

/**
 * What the handlers need to know.
 *
 * - `authenticate`: whose key it is, and the authority that acts for them. Fails with `Unauthorized` for a key it does not know,
 *   or no longer accepts; a request without a key does not come this far
 * - `authenticateAdmin`: what the holder of the admin key may do with reservations of any tenant: `Governance.asOperator`. Compares in
 *   constant time, and fails with `Unauthorized` for any other key; no admin key is good when not given
 * - `maxRequestBytes`: how long a body may be; 1 MiB when not given
 * - `evidence`: the signed record of that id, if there is one; none are served when not given
 * - `evidenceKeys`: the keys that evidence is signed with; none are published when not given
 * - `openapiPath`: where to serve the contract as an OpenAPI document, for example `/openapi.json`; nowhere when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly authenticate: (apiKey: Redacted.Redacted) => Effect.Effect<Principal, Trouble>
  readonly authenticateAdmin?:
    | ((adminKey: Redacted.Redacted) => Effect.Effect<OperatorReservations, Trouble>)
    | undefined
  readonly maxRequestBytes?: number | undefined
  readonly evidence?: ((id: string) => Effect.Effect<Option.Option<EvidenceEnvelope>, Trouble>) | undefined
  readonly evidenceKeys?: Effect.Effect<EvidenceJwks, Trouble> | undefined
  readonly openapiPath?: `/${string}` | undefined
}

/**
 * What a router of these routes has to be set up with: a reservation id may be 128 characters, each of them up to 12 in a URL. And
 * a path is the specification's to the letter, so that whoever filters paths on the way sees what is meant.
 *
 * @category configuration
 * @since 0.1.0
 */
export const routerConfig = {
  maxParamLength: 12 * 128,
  caseSensitive: true,
  ignoreDuplicateSlashes: false,
  ignoreTrailingSlash: false
}

/**
 * The routes of the runtime plane, on the router around them. Give that router {@link routerConfig}.
 *
 * Beside the routes it adds what holds for the whole router: `X-Request-Id` and `X-Cycles-Trace-Id` on every answer, and the
 * protocol's error body for what no route knows and for what breaks.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  HttpApiBuilder.layer(Api.RuntimeApi, { openapiPath: options.openapiPath }).pipe(
    Layer.provide([runtime(options), evidence(options)]),
    Layer.provide([authorization(options), either(options), badParameters]),
    Layer.merge(correlation),
    Layer.provide(HttpServer.layerServices)
  )

/**
 * The runtime plane on the `HttpServer` around it. Requests are not logged unless `disableLogger` is `false`, and the API key is
 * kept out of spans.
 *
 * @category layers
 * @since 0.1.0
 */
export const serve = (
  options: Options & { readonly disableLogger?: boolean | undefined }
): Layer.Layer<never, never, HttpServer.HttpServer> =>
  HttpRouter.serve(layer(options), {
    routerConfig,
    disableLogger: options.disableLogger ?? true,
    disableListenLog: true
  }).pipe(
    Layer.provide(layerRedacted)
  )

/**
 * Keeps the API key out of the spans and logs of whatever server it is provided to.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRedacted: Layer.Layer<never> = Layer.effect(
  Headers.CurrentRedactedNames,
  Effect.map(Headers.CurrentRedactedNames, (names) => [...names, "x-cycles-api-key", "x-admin-api-key"])
)

// ---------------------------------------------------------------------------------------------------------------------
// requests
// ---------------------------------------------------------------------------------------------------------------------

/** A body whose idempotency key is the one in the header, if there is one there. */
const keyedBodyOf = <A extends { readonly idempotencyKey: string }, I>(schema: Schema.Codec<A, I>) => {
  const read = bodyOf(schema)
  return (
    { headers, request }: {
      readonly headers: { readonly "x-idempotency-key"?: string | undefined }
      readonly request: HttpServerRequest.HttpServerRequest
    },
    maxBytes: number
  ): Effect.Effect<A, Malformed> => {
    const header = headers["x-idempotency-key"]
    const body = read(request, maxBytes)
    return header === undefined ? body : Effect.flatMap(body, (decoded) =>
      header === decoded.idempotencyKey
        ? Effect.succeed(decoded)
        : Effect.fail(
          new Malformed({ field: "idempotency_key", reason: "it is not the one in the header X-Idempotency-Key" })
        ))
  }
}

const bodies = {
  decide: keyedBodyOf(DecideRequest),
  reserve: keyedBodyOf(ReserveRequest),
  commit: keyedBodyOf(CommitRequest),
  release: keyedBodyOf(ReleaseRequest),
  extend: keyedBodyOf(ExtendRequest),
  event: keyedBodyOf(EventRequest)
}

const answers = {
  decide: answer(DecideReply),
  reserve: answer(ReserveReply),
  commit: answer(CommitReply),
  release: answer(ReleaseReply),
  extend: answer(ExtendReply),
  event: answer(EventReply, 201),
  balances: answer(BalancesPage),
  reservation: answer(ReservationRecord),
  reservations: answer(ReservationsPage),
  evidence: answer(Api.EvidenceEnvelope),
  evidenceKeys: answer(Api.EvidenceJwks)
}

// ---------------------------------------------------------------------------------------------------------------------
// handlers
// ---------------------------------------------------------------------------------------------------------------------

/** In the specification's own words. */
const TENANT_REQUIRED = "tenant query parameter is required when using admin key authentication"

/** What an operator is answered about a reservation is named for the tenant that has it. */
const ofOwner = (id: ReservationId) => (response: HttpServerResponse.HttpServerResponse) =>
  Effect.flatMap(Api.EitherCaller, (asker) =>
    asker._tag === "tenant" || response.status !== 200
      ? Effect.succeed(response)
      : Effect.match(asker.reservations.ownerOfReservation(id), {
        onFailure: () => response,
        onSuccess: (tenant) => named(tenant)(response)
      }))

const runtime = (options: Options) => {
  const maxBytes = options.maxRequestBytes ?? MAX_REQUEST_BYTES
  /** Reads what is asked for, and asks the caller's authority. */
  const asked = <Incoming, Request, A, E>(
    body: (incoming: Incoming, maxBytes: number) => Effect.Effect<Request, Malformed>,
    incoming: Incoming,
    ask: (authority: Operations, request: Request) => Effect.Effect<A, E>
  ) =>
    Effect.flatMap(
      body(incoming, maxBytes),
      (request) => Effect.flatMap(Api.Caller, ({ authority }) => ask(authority, request))
    )
  return HttpApiBuilder.group(Api.RuntimeApi, "runtime", (handlers) =>
    handlers
      .handleRaw("decide", (incoming) =>
        answers.decide(asked(bodies.decide, incoming, (authority, request) => authority.decide(request))))
      .handleRaw("createReservation", (incoming) =>
        answers.reserve(asked(bodies.reserve, incoming, (authority, request) =>
          authority.reserve(request))))
      .handleRaw("commitReservation", (incoming) =>
        answers.commit(
          asked(bodies.commit, incoming, (authority, request) =>
            authority.commit(incoming.params.reservation_id, request))
        ))
      .handleRaw("releaseReservation", (incoming) => {
        const id = incoming.params.reservation_id
        const answer = answers.release(Effect.gen(function*() {
          const request = yield* bodies.release(incoming, maxBytes)
          const asker = yield* Api.EitherCaller
          return yield* asker._tag === "tenant"
            ? asker.authority.release(id, request)
            : asker.reservations.releaseReservation(id, request)
        }))
        return Effect.flatMap(answer, ofOwner(id))
      })
      .handleRaw("extendReservation", (incoming) =>
        answers.extend(
          asked(bodies.extend, incoming, (authority, request) =>
            authority.extend(incoming.params.reservation_id, request))
        ))
      .handleRaw("createEvent", (incoming) =>
        answers.event(asked(bodies.event, incoming, (authority, request) =>
          authority.event(request))))
      .handleRaw("getBalances", ({ query }) =>
        answers.balances(Effect.flatMap(Api.Caller, ({ authority }) =>
          authority.balances(query))))
      .handleRaw("getReservation", ({ params: { reservation_id: id } }) =>
        Effect.flatMap(
          answers.reservation(Effect.flatMap(Api.EitherCaller, (asker) =>
            (asker._tag === "tenant" ? asker.authority : asker.reservations).reservation(id))),
          ofOwner(id)
        ))
      .handleRaw("listReservations", ({ query }) =>
        Effect.map(
          answers.reservations(
            Effect.flatMap(Api.EitherCaller, (asker): Effect.Effect<ReservationsPage, Trouble | Malformed> => {
              if (asker._tag === "tenant") {
                return asker.authority.reservations(query)
              }
              const { tenant, ...rest } = query
              return tenant === undefined
                ? Effect.fail(new Malformed({ field: "tenant", reason: TENANT_REQUIRED }))
                : asker.reservations.reservations(tenant, rest)
            })
          ),
          // A tenant's own answers are named for it; an operator's for the tenant it asked about.
          query.tenant === undefined
            ? (response) =>
              response
            : named(query.tenant)
        )))
}

const evidence = (options: Options) => {
  const found = (id: string): Effect.Effect<EvidenceEnvelope, CyclesError> =>
    Effect.flatMap(
      options.evidence?.(id) ?? Effect.succeed(Option.none<EvidenceEnvelope>()),
      Option.match({
        onNone: () => Effect.fail(new NotFound({ reason: "There is no evidence of that id" })),
        onSome: (envelope) => Effect.succeed(envelope)
      })
    )
  const keys: Effect.Effect<EvidenceJwks, CyclesError> = options.evidenceKeys ??
    Effect.suspend(() => Effect.fail(new NotFound({ reason: "No keys are published here" })))
  // What an id names never changes; keys do when they are rotated.
  const cached = (how: string) => (response: HttpServerResponse.HttpServerResponse) =>
    response.status === 200 ? HttpServerResponse.setHeader(response, "cache-control", how) : response
  return HttpApiBuilder.group(Api.RuntimeApi, "evidence", (handlers) =>
    handlers
      .handleRaw("getEvidence", ({ params }) =>
        Effect.map(
          answers.evidence(found(params.evidence_id)),
          cached("public, immutable, max-age=31536000")
        ))
      .handleRaw("getEvidenceJwks", () => Effect.map(answers.evidenceKeys(keys), cached("public, max-age=300"))))
}

// ---------------------------------------------------------------------------------------------------------------------
// middleware
// ---------------------------------------------------------------------------------------------------------------------

const isHeaderValue = /^[\x21-\x7e]+$/

const named = (tenant: string) => (response: HttpServerResponse.HttpServerResponse) =>
  isHeaderValue.test(tenant) ? HttpServerResponse.setHeader(response, "x-cycles-tenant", tenant) : response

const unauthorized = (reason: string): Effect.Effect<never, Trouble> => Effect.fail(new Unauthorized({ reason }))

const principalOf = (options: Options, key: Redacted.Redacted): Effect.Effect<Principal, Trouble> =>
  Redacted.value(key) === "" ? unauthorized("The header X-Cycles-API-Key is missing") : options.authenticate(key)

const authorization = (options: Options): Layer.Layer<Api.Authorization> =>
  Layer.succeed(
    Api.Authorization,
    Api.Authorization.of({
      ApiKeyAuth: (handler, { credential }) =>
        Effect.matchEffect(principalOf(options, credential), {
          onFailure: refuse,
          onSuccess: (principal) =>
            Effect.map(Effect.provideService(handler, Api.Caller, principal), named(principal.tenant))
        })
    })
  )

const either = (options: Options): Layer.Layer<Api.EitherAuthorization> => {
  const operatorOf = (key: Redacted.Redacted): Effect.Effect<OperatorReservations, Trouble> =>
    Redacted.value(key) === ""
      ? unauthorized("The header X-Admin-API-Key is empty")
      : options.authenticateAdmin?.(key) ?? unauthorized("No admin key is taken here")
  const as = <E, R>(handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
      const adminKey = headers["x-admin-api-key"]
      return adminKey === undefined
        ? Effect.matchEffect(principalOf(options, Redacted.make(headers["x-cycles-api-key"] ?? "")), {
          onFailure: refuse,
          onSuccess: (principal) =>
            Effect.map(
              Effect.provideService(handler, Api.EitherCaller, { _tag: "tenant", ...principal }),
              named(principal.tenant)
            )
        })
        : Effect.matchEffect(operatorOf(Redacted.make(adminKey)), {
          onFailure: refuse,
          onSuccess: (reservations) =>
            Effect.provideService(handler, Api.EitherCaller, { _tag: "operator", reservations })
        })
    })
  // Either scheme sees the whole request, and the first one decides.
  return Layer.succeed(
    Api.EitherAuthorization,
    Api.EitherAuthorization.of({ ApiKeyAuth: (handler) => as(handler), AdminKeyAuth: (handler) => as(handler) })
  )
}
