/**
 * The runtime plane of the protocol as an `HttpApi`: paths, parameters, bodies, replies and status codes of its 11 operations.
 *
 * The client and the handlers are both written on this contract, and `OpenApi.fromApi(RuntimeApi)` gives its document. Bodies
 * are the schemas of the core, whose amounts need {@link WireJson}; a client derived by `HttpApiClient` would round them.
 *
 * Specification: `cycles-protocol-v0.yaml`, `paths`.
 *
 * **Example** (The paths of the runtime plane)
 *
 * ```ts
 * import { RuntimeApi } from "@effect-cycles/http"
 * import { OpenApi } from "effect/http-api"
 *
 * const document = OpenApi.fromApi(RuntimeApi.RuntimeApi)
 *
 * console.log(Object.keys(document.paths).length) // => 10
 * ```
 *
 * @since 0.1.0
 */
import type { Governing } from "effect-cycles/ledger/Governance"
import { BalancesPage } from "effect-cycles/protocol/Balance"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { ActionDenied, ErrorCode } from "effect-cycles/protocol/CyclesError"
import { DecideReply, DecideRequest } from "effect-cycles/protocol/Decide"
import { EventReply, EventRequest } from "effect-cycles/protocol/Event"
import { EvidenceRef } from "effect-cycles/protocol/Evidence"
import { ExtendReply, ExtendRequest } from "effect-cycles/protocol/Extend"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import { JsonObject } from "effect-cycles/protocol/Metrics"
import {
  ReservationRecord,
  ReservationsPage,
  ReservationStatus,
  SortBy
} from "effect-cycles/protocol/ReservationRecord"
import { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import { CommitReply, CommitRequest, ReleaseReply, ReleaseRequest } from "effect-cycles/protocol/Settle"
import * as Context from "effect/Context"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { asSpecified, errorsOf, named, withParametersOf } from "./internal/contract.ts"
import * as Wire from "./internal/wire.ts"

// ---------------------------------------------------------------------------------------------------------------------
// query strings
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The query string of `getBalances`. A blank parameter counts as absent.
 *
 * @category schemas
 * @since 0.1.0
 */
export const BalancesParameters = Wire.BalancesParameters

/**
 * The query string of `listReservations`: names in snake case, instants as ISO 8601 date-times. A blank parameter counts as
 * absent, and so do the tokens of `include` this version does not know.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ReservationsParameters = Wire.ReservationsParameters

// ---------------------------------------------------------------------------------------------------------------------
// evidence
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The signed record of one operation, named by the hash of its content. Further members are kept as they are.
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `CyclesEvidenceEnvelope`; `cycles-evidence-v0.2.yaml`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EvidenceEnvelope = Schema.StructWithRest(
  Schema.Struct({
    schema_version: Schema.Literal("cycles-evidence/v0.1"),
    artifact_type: Schema.Literals(["decide", "reserve", "commit", "release", "error"]),
    server_id: Schema.String,
    signer_did: Schema.String,
    issued_at_ms: Schema.Int,
    trace_id: Schema.optionalKey(Schema.String),
    payload: JsonObject,
    evidence_id: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/u)),
    signature: Schema.String.check(Schema.isPattern(/^[0-9a-f]{128}$/u))
  }),
  [JsonObject]
).annotate({ identifier: "CyclesEvidenceEnvelope" })

/**
 * @category models
 * @since 0.1.0
 */
export interface EvidenceEnvelope extends Schema.Schema.Type<typeof EvidenceEnvelope> {}

/**
 * One Ed25519 key that evidence may be signed with, and when it was valid.
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `CyclesEvidenceJwk`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EvidenceJwk = Schema.StructWithRest(
  Schema.Struct({
    kty: Schema.Literal("OKP"),
    crv: Schema.Literal("Ed25519"),
    alg: Schema.optionalKey(Schema.Literal("EdDSA")),
    x: Schema.String,
    kid: Schema.String,
    cycles_nbf_ms: Schema.Int,
    cycles_exp_ms: Schema.optionalKey(Schema.NullOr(Schema.Int)),
    status: Schema.optionalKey(Schema.Literals(["active", "retired"]))
  }),
  [JsonObject]
).annotate({ identifier: "CyclesEvidenceJwk" })

/**
 * @category models
 * @since 0.1.0
 */
export interface EvidenceJwk extends Schema.Schema.Type<typeof EvidenceJwk> {}

/**
 * The keys of a server's evidence, retired ones included.
 *
 * Specification: `cycles-protocol-v0.yaml`, schema `CyclesEvidenceJwks`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EvidenceJwks = Schema.StructWithRest(
  Schema.Struct({ keys: Schema.Array(EvidenceJwk) }),
  [JsonObject]
).annotate({ identifier: "CyclesEvidenceJwks" })

/**
 * @category models
 * @since 0.1.0
 */
export interface EvidenceJwks extends Schema.Schema.Type<typeof EvidenceJwks> {}

// ---------------------------------------------------------------------------------------------------------------------
// who asks
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Whose request it is, once its key has been checked: the tenant, and the authority that acts in its name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Principal {
  readonly tenant: string
  readonly authority: Operations
}

/**
 * The {@link Principal} of the request at hand, in handlers behind {@link Authorization}.
 *
 * @category services
 * @since 0.1.0
 */
export class Caller extends Context.Service<Caller, Principal>()("@effect-cycles/http/RuntimeApi/Caller") {}

/**
 * The API key every operation but the two of evidence asks for, in the header `X-Cycles-API-Key`.
 *
 * Specification: section AUTH & TENANCY.
 *
 * @category middleware
 * @since 0.1.0
 */
export class Authorization extends HttpApiMiddleware.Service<Authorization, { provides: Caller }>()(
  "@effect-cycles/http/RuntimeApi/Authorization",
  { security: { ApiKeyAuth: HttpApiSecurity.apiKey({ in: "header", key: "X-Cycles-API-Key" }) } }
) {}

/**
 * What an operator may do with reservations of any tenant.
 *
 * @category models
 * @since 0.1.0
 */
export interface OperatorReservations
  extends Pick<Governing, "reservations" | "reservation" | "releaseReservation" | "ownerOfReservation">
{}

/**
 * Whose request it is where an operator may ask as well.
 *
 * @category models
 * @since 0.1.0
 */
export type Asker =
  | Principal & { readonly _tag: "tenant" }
  | { readonly _tag: "operator"; readonly reservations: OperatorReservations }

/**
 * The {@link Asker} of the request at hand, in handlers behind {@link EitherAuthorization}.
 *
 * @category services
 * @since 0.1.0
 */
export class EitherCaller extends Context.Service<EitherCaller, Asker>()(
  "@effect-cycles/http/RuntimeApi/EitherCaller"
) {}

/**
 * For reservations to be listed, read and released: a tenant's API key in the header `X-Cycles-API-Key`, or the operator's in
 * `X-Admin-API-Key`, which counts where both are sent.
 *
 * Specification: section AUTH & TENANCY, `AdminKeyAuth`.
 *
 * @category middleware
 * @since 0.1.0
 */
export class EitherAuthorization extends HttpApiMiddleware.Service<EitherAuthorization, { provides: EitherCaller }>()(
  "@effect-cycles/http/RuntimeApi/EitherAuthorization",
  {
    security: {
      ApiKeyAuth: HttpApiSecurity.apiKey({ in: "header", key: "X-Cycles-API-Key" }),
      AdminKeyAuth: HttpApiSecurity.apiKey({ in: "header", key: "X-Admin-API-Key" })
    }
  }
) {}

/**
 * Answers parameters that do not fit the contract as the protocol wants it.
 *
 * @category middleware
 * @since 0.1.0
 */
export class BadParameters extends HttpApiMiddleware.Service<BadParameters>()(
  "@effect-cycles/http/RuntimeApi/BadParameters"
) {}

// ---------------------------------------------------------------------------------------------------------------------
// the document
// ---------------------------------------------------------------------------------------------------------------------

/** Query strings are text; these are what a document says of the values in them. */
const parameterSchemas: { readonly [name: string]: { readonly [keyword: string]: unknown } } = {
  idempotency_key: { type: "string", minLength: 1, maxLength: 256 },
  status: { type: "string", enum: ReservationStatus.literals },
  from: { type: "string", format: "date-time" },
  to: { type: "string", format: "date-time" },
  expires_from: { type: "string", format: "date-time" },
  expires_to: { type: "string", format: "date-time" },
  finalized_from: { type: "string", format: "date-time" },
  finalized_to: { type: "string", format: "date-time" },
  sort_by: { type: "string", enum: SortBy.literals, default: "created_at_ms" },
  sort_dir: { type: "string", enum: ["asc", "desc"], default: "desc" },
  include: { type: "array", items: { type: "string" } },
  include_children: { type: "boolean", default: false },
  limit: { type: "integer", minimum: 1, maximum: 200, default: 50 }
}

const withParameters = withParametersOf(parameterSchemas)

// ---------------------------------------------------------------------------------------------------------------------
// the contract
// ---------------------------------------------------------------------------------------------------------------------

const { routes } = Wire

const id = { reservation_id: ReservationId }

const Failure = Schema.Struct({
  // Version 0.1.26 adds what a policy denies.
  error: Schema.Literals([...ErrorCode.literals, ...ActionDenied.fields.code.literals]),
  message: Schema.String,
  request_id: Schema.String,
  trace_id: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[0-9a-f]{32}$/u))),
  details: Schema.optionalKey(JsonObject),
  cycles_evidence: Schema.optionalKey(EvidenceRef)
})

const errors = errorsOf(named(Failure, "ErrorResponse"))

const headers = Schema.Struct({ "x-idempotency-key": Schema.optionalKey(IdempotencyKey) })

/**
 * The nine operations that need a key; three of them may be an operator's.
 *
 * @category contract
 * @since 0.1.0
 */
export class RuntimeGroup extends HttpApiGroup.make("runtime", { topLevel: true }).add(
  HttpApiEndpoint.post("decide", routes.decide.path, {
    headers,
    payload: named(DecideRequest, "DecisionRequest"),
    success: named(DecideReply, "DecisionResponse"),
    error: errors(400, 401, 403, 409, 429, 500, 503)
  }),
  HttpApiEndpoint.post("createReservation", routes.createReservation.path, {
    headers,
    payload: named(ReserveRequest, "ReservationCreateRequest"),
    success: named(ReserveReply, "ReservationCreateResponse"),
    error: errors(400, 401, 403, 404, 409, 429, 500, 503)
  }),
  HttpApiEndpoint.post("commitReservation", routes.commitReservation.path, {
    params: id,
    headers,
    payload: named(CommitRequest, "CommitRequest"),
    success: named(CommitReply, "CommitResponse"),
    error: errors(400, 401, 403, 404, 409, 410, 429, 500, 503)
  }),
  HttpApiEndpoint.post("extendReservation", routes.extendReservation.path, {
    params: id,
    headers,
    payload: named(ExtendRequest, "ReservationExtendRequest"),
    success: named(ExtendReply, "ReservationExtendResponse"),
    error: errors(400, 401, 403, 404, 409, 410, 429, 500, 503)
  }),
  HttpApiEndpoint.get("getBalances", routes.getBalances.path, {
    query: BalancesParameters,
    success: named(BalancesPage, "BalanceResponse"),
    error: errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters),
  HttpApiEndpoint.post("createEvent", routes.createEvent.path, {
    headers,
    payload: named(EventRequest, "EventCreateRequest"),
    success: named(EventReply, "EventCreateResponse").pipe(HttpApiSchema.status(201)),
    error: errors(400, 401, 403, 404, 409, 429, 500, 503)
  })
).middleware(BadParameters).middleware(Authorization).add(
  HttpApiEndpoint.get("listReservations", routes.listReservations.path, {
    query: ReservationsParameters,
    success: named(ReservationsPage, "ReservationListResponse"),
    error: errors(400, 401, 403, 429, 500, 503)
  }).annotate(OpenApi.Transform, withParameters).middleware(BadParameters).middleware(EitherAuthorization),
  HttpApiEndpoint.get("getReservation", routes.getReservation.path, {
    params: id,
    success: named(ReservationRecord, "ReservationDetail"),
    error: errors(400, 401, 403, 404, 410, 429, 500, 503)
  }).middleware(BadParameters).middleware(EitherAuthorization),
  HttpApiEndpoint.post("releaseReservation", routes.releaseReservation.path, {
    params: id,
    headers,
    payload: named(ReleaseRequest, "ReleaseRequest"),
    success: named(ReleaseReply, "ReleaseResponse"),
    error: errors(400, 401, 403, 404, 409, 410, 429, 500, 503)
  }).middleware(BadParameters).middleware(EitherAuthorization)
) {}

/**
 * The two operations anyone may ask for: what was signed, and the keys to check it by.
 *
 * @category contract
 * @since 0.1.0
 */
export class EvidenceGroup extends HttpApiGroup.make("evidence", { topLevel: true }).add(
  HttpApiEndpoint.get("getEvidence", routes.getEvidence.path, {
    params: { evidence_id: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/u)) },
    success: EvidenceEnvelope,
    error: errors(400, 404, 429, 500)
  }),
  HttpApiEndpoint.get("getEvidenceJwks", routes.getEvidenceJwks.path, {
    success: EvidenceJwks,
    error: errors(404, 429, 500)
  })
).middleware(BadParameters) {}

/**
 * The runtime plane.
 *
 * @category contract
 * @since 0.1.0
 */
export class RuntimeApi extends HttpApi.make("cycles-runtime").add(RuntimeGroup, EvidenceGroup).annotateMerge(
  OpenApi.annotations({
    title: "Cycles Budget Authority API",
    version: "0.1.25",
    description:
      "The runtime plane of the Cycles protocol: reserve, commit, release, extend, decide, events, balances.",
    transform: asSpecified
  })
) {}
