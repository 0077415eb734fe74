/**
 * The core's errors as HTTP answers, and back. Total in both directions: every error has an answer, and every answer that is
 * not a success is an error the operation can have.
 *
 * What an error knows travels in the `details` of the body: `scope`, `unit` (`requested_unit` for a `UnitMismatch`),
 * `requested`, `remaining`, `expected_units`, `field` (as it is called on the wire) and `retry_after_ms`.
 *
 * Specification: `cycles-protocol-v0.yaml`, section ERROR SEMANTICS, schema `ErrorResponse`.
 *
 * **Example** (There and back)
 *
 * ```ts
 * import { Errors } from "@effect-cycles/http"
 * import { CyclesError } from "effect-cycles"
 *
 * const denied = new CyclesError.BudgetExceeded({ scope: "tenant:acme", unit: "TOKENS", requested: 1_000n, remaining: 20n })
 * const answer = Errors.toResponse(denied, { requestId: "r-1" })
 * const read = Errors.fromResponse("reserve", answer)
 *
 * console.log(answer.status, answer.body.error) // => 409 BUDGET_EXCEEDED
 * console.log(read._tag, read.remaining) // => BudgetExceeded 20n
 * ```
 *
 * @since 0.1.0
 */
import { MAX_INT64, MIN_INT64, Unit } from "effect-cycles/protocol/Amount"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import type { Context, CyclesError, Denied, Trouble } from "effect-cycles/protocol/CyclesError"
import * as E from "effect-cycles/protocol/CyclesError"
import { EvidenceRef } from "effect-cycles/protocol/Evidence"
import type { JsonObject } from "effect-cycles/protocol/Metrics"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Types from "effect/Types"

/**
 * The name of an operation of the port.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = keyof Operations

/**
 * What an operation of the port can fail with.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorOf<O extends Operation> = Effect.Error<ReturnType<Operations[O]>>

/**
 * The body of an error, ready for `WireJson.stringify`. `error` is one of the protocol's codes, or a word of a later version.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorBody {
  readonly error: string
  readonly message: string
  readonly request_id: string
  readonly trace_id?: string | undefined
  readonly details?: JsonObject | undefined
  readonly cycles_evidence?: unknown
}

/**
 * An error as it is sent. Names of headers are in lower case.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorAnswer {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
  readonly body: ErrorBody
}

/**
 * An answer as it was received. Names of headers are in lower case; `body` is what `WireJson.parse` made of it, and
 * `undefined` where that was nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  readonly status: number
  readonly headers: { readonly [name: string]: string | undefined }
  readonly body: unknown
}

/**
 * What identifies the request an error answers, and when it is answered (Unix milliseconds), which a throttled one needs for
 * its `X-RateLimit-Reset`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Correlation {
  readonly requestId?: string | undefined
  readonly traceId?: string | undefined
  readonly nowMs?: number | undefined
}

/**
 * The HTTP status of an error.
 *
 * @category getters
 * @since 0.1.0
 */
export const statusOf = (error: CyclesError): number => {
  switch (error._tag) {
    case "InvalidRequest":
    case "UnitMismatch":
      return 400
    case "Unauthorized":
      return 401
    case "Forbidden":
      return 403
    case "NotFound":
    case "BudgetNotFound":
      return 404
    case "ReservationExpired":
      return 410
    case "RateLimited":
      return 429
    case "InternalError":
      return 500
    case "AuthorityUnavailable":
      return 503
    default:
      return 409
  }
}

/** What an error says where the authority had no words of its own; the body cannot go without. */
const wordsFor = (error: Pick<CyclesError, "_tag" | "scope">): string => {
  switch (error._tag) {
    case "BudgetNotFound":
      return error.scope === undefined ? "Budget not found" : `Budget not found for provided scope: ${error.scope}`
    default:
      return error._tag.replace(/(?!^)[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
  }
}

/** What the wire calls a field the core has another name for. */
const wireNames: { readonly [name: string]: string } = {
  fromMs: "from",
  toMs: "to",
  timeZone: "time_zone",
  lengthMs: "length_ms",
  idempotencyKey: "idempotency_key",
  reservationId: "reservation_id",
  ttlMs: "ttl_ms",
  gracePeriodMs: "grace_period_ms",
  overagePolicy: "overage_policy",
  dryRun: "dry_run",
  extendByMs: "extend_by_ms",
  clientTimeMs: "client_time_ms",
  tokensInput: "tokens_input",
  tokensOutput: "tokens_output",
  latencyMs: "latency_ms",
  modelVersion: "model_version",
  includeChildren: "include_children",
  createdFromMs: "from",
  createdToMs: "to",
  expiresFromMs: "expires_from",
  expiresToMs: "expires_to",
  finalizedFromMs: "finalized_from",
  finalizedToMs: "finalized_to",
  sortBy: "sort_by",
  sortDir: "sort_dir",
  parent: "parent_tenant_id",
  defaultTtlMs: "default_ttl_ms",
  maxTtlMs: "max_ttl_ms",
  maxExtensions: "max_extensions",
  expiryPolicy: "reservation_expiry_policy",
  expiresAtMs: "expires_at",
  scopeFilter: "scope_filter",
  scopePattern: "scope_pattern",
  overdraftLimit: "overdraft_limit",
  maxReservationsPerMinute: "max_reservations_per_minute",
  maxCommitsPerMinute: "max_commits_per_minute",
  allowedActionKinds: "allowed_action_kinds",
  deniedActionKinds: "denied_action_kinds",
  effectiveFromMs: "effective_from",
  effectiveUntilMs: "effective_until"
}

const coreNames: { readonly [name: string]: string } = Object.fromEntries(
  Object.entries(wireNames).map(([core, wire]) => [wire, core])
)

/** Renames the parts of a path, as far as the protocol names them. */
const rename = (field: string, names: { readonly [name: string]: string }): string => {
  const parts = field.split(".")
  const free = parts.findIndex((part) => part === "metadata" || part === "custom" || part === "dimensions")
  return parts
    .map((part, index) => (free === -1 || index <= free) && Object.hasOwn(names, part) ? names[part] : part)
    .join(".")
}

/**
 * The name a field has on the wire, for example `metrics.tokens_input` for `metrics.tokensInput`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toWireField = (field: string): string => rename(field, wireNames)

/**
 * The name a field of the wire has in the core.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromWireField = (field: string): string => rename(field, coreNames)

const traceIdPattern = /^[0-9a-f]{32}$/

const wireInteger = (n: bigint | undefined): number | bigint | undefined =>
  n === undefined || n > BigInt(Number.MAX_SAFE_INTEGER) || n < BigInt(Number.MIN_SAFE_INTEGER) ? n : Number(n)

/**
 * A rule and the field it is about, for those who read the message alone.
 *
 * @internal
 */
export const withField = (field: string, reason: string): string =>
  field === "request" || field === "body" || reason.startsWith(field) ? reason : `${field}: ${reason}`

/** The rule alone: the field is a fact of its own here. */
const withoutField = (message: string, details: unknown): string => {
  const field = isRecord(details) ? details["field"] : undefined
  return typeof field === "string" && message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message
}

/**
 * The answer an error is sent as. Absent fields are left out; a 429 without a time says one second.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toResponse = (error: CyclesError, correlation: Correlation): ErrorAnswer => {
  const { cycles_evidence: evidence, ...others } = error.details ?? {}
  const known: { readonly [name: string]: unknown } = {
    scope: error.scope,
    [error._tag === "UnitMismatch" ? "requested_unit" : "unit"]: error.unit,
    requested: wireInteger(error.requested),
    remaining: wireInteger(error.remaining),
    retry_after_ms: error.retryAfterMs,
    field: error._tag === "InvalidRequest" ? toWireField(error.field) : undefined,
    expected_units: error._tag === "UnitMismatch" ? error.expectedUnits : undefined
  }
  const details: Record<string, unknown> = others
  for (const [name, value] of Object.entries(known)) {
    if (value !== undefined) details[name] = value
  }
  const traceId = correlation.traceId ?? error.traceId
  const body: Types.Mutable<ErrorBody> = {
    // Whether the request took effect is not known; the protocol has no other word for it.
    error: error._tag === "AuthorityUnavailable" ? "INTERNAL_ERROR" : error.code,
    message: error._tag === "InvalidRequest" && error.reason !== undefined
      ? withField(toWireField(error.field), error.reason)
      : error.reason ?? wordsFor(error),
    request_id: correlation.requestId ?? error.requestId ?? ""
  }
  if (traceId !== undefined && traceIdPattern.test(traceId)) body.trace_id = traceId
  if (Object.keys(details).length > 0) body.details = details
  if (evidence !== undefined) body.cycles_evidence = evidence
  return { status: statusOf(error), headers: throttle(error, correlation.nowMs), body }
}

// ---------------------------------------------------------------------------------------------------------------------
// the governance plane
// ---------------------------------------------------------------------------------------------------------------------

/** Operations whose tenant is named beside what they are about: one that is not there is a flaw of the request. */
const tenantsByTheWay: ReadonlySet<string> = new Set(["createApiKey", "createBudget", "createPolicy"])
const tenantsThemselves: ReadonlySet<string> = new Set(["getTenant", "updateTenant"])

/** What the governance plane calls an error, and with which status, where that is not as on the runtime's. */
const governedOf = (operation: string, error: CyclesError): { readonly code?: string; readonly status?: number } => {
  const conflict = error.details?.["conflict"]
  switch (error._tag) {
    case "InvalidRequest":
      return typeof conflict === "string" ? { code: conflict, status: 409 } : {}
    case "NotFound":
      return tenantsByTheWay.has(operation)
        ? { code: "TENANT_NOT_FOUND", status: 400 }
        : tenantsThemselves.has(operation)
        ? { code: "TENANT_NOT_FOUND" }
        : operation === "getEvent"
        ? { code: "EVENT_NOT_FOUND" }
        : {}
    case "BudgetNotFound":
      return { code: "BUDGET_NOT_FOUND" }
    case "Forbidden":
      return error.details?.["permission"] === undefined ? {} : { code: "INSUFFICIENT_PERMISSIONS" }
    case "TenantClosed":
      // The operation on the tenant itself knows no conflict.
      return tenantsThemselves.has(operation) ? { status: 400 } : {}
    default:
      return {}
  }
}

/**
 * The answer an error of a governance operation is sent as, in that plane's own words: `DUPLICATE_RESOURCE`, `TENANT_NOT_FOUND`,
 * `BUDGET_NOT_FOUND`, `INSUFFICIENT_PERMISSIONS` and so on, where the runtime plane says `INVALID_REQUEST`, `NOT_FOUND` or `FORBIDDEN`.
 *
 * `operation` is its name in the specification, for example `createBudget`.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `ErrorCode`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toGovernanceResponse = (operation: string, error: CyclesError, correlation: Correlation): ErrorAnswer => {
  const answer = toResponse(error, correlation)
  const { code = answer.body.error, status = answer.status } = governedOf(operation, error)
  const { details: { conflict: _, ...others } = {}, ...body } = answer.body
  const details = others["field"] === "tenant" ? { ...others, field: "tenant_id" } : others
  return {
    ...answer,
    status,
    body: { ...body, error: code, ...(Object.keys(details).length === 0 ? undefined : { details }) }
  }
}

const conflicts: ReadonlySet<string> = new Set(["DUPLICATE_RESOURCE", "KEY_REVOKED", "KEY_EXPIRED"])

/**
 * The error an answer of a governance operation stands for; like {@link fromResponse}, for the codes of that plane. A conflict is an
 * `InvalidRequest` whose `details.conflict` names it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromGovernanceResponse = (answer: Answer): CyclesError => {
  const body = isRecord(answer.body) ? answer.body : {}
  const details = readDetails(isRecord(body["details"]) ? body["details"] : {})
  const code = typeof body["error"] === "string" ? body["error"] : undefined
  const words = text(body["message"])
  const context: Context = {
    ...contextOf(answer, body, details),
    ...(words === undefined ? undefined : { reason: withoutField(words, body["details"]) })
  }
  if (code === "BUDGET_NOT_FOUND") return new E.BudgetNotFound(context)
  if (code === "TENANT_NOT_FOUND") return new E.NotFound(context)
  const isConflict = code !== undefined && answer.status === 409 && (conflicts.has(code) || code === "INVALID_REQUEST")
  return isConflict
    ? new E.InvalidRequest({
      ...context,
      field: details.field ?? "request",
      details: { ...context.details, conflict: code }
    })
    : anyErrorFor("reservation", answer.status, code, context, details)
}

// A 429 always says when to come back (section ERROR SEMANTICS), also where whoever refused did not.
const RETRY_AFTER_MS = 1_000

const throttle = (error: CyclesError, nowMs: number | undefined): ErrorAnswer["headers"] => {
  const retryAfterMs = error.retryAfterMs ?? (error._tag === "RateLimited" ? RETRY_AFTER_MS : undefined)
  const isThrottled = error._tag === "RateLimited" || error._tag === "AuthorityUnavailable"
  if (!isThrottled || retryAfterMs === undefined) return {}
  const headers: Record<string, string> = { "retry-after": String(Math.ceil(retryAfterMs / 1_000)) }
  if (error._tag === "RateLimited" && nowMs !== undefined) {
    headers["x-ratelimit-reset"] = String(Math.ceil((nowMs + retryAfterMs) / 1_000))
  }
  return headers
}

// ---------------------------------------------------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------------------------------------------------

type TagOf<Error> = Error extends { readonly _tag: infer T extends string } ? T : never
type Tags<Error> = { readonly [T in TagOf<Error>]: true }

const trouble: Tags<Trouble> = {
  InvalidRequest: true,
  Unauthorized: true,
  Forbidden: true,
  RateLimited: true,
  InternalError: true,
  AuthorityUnavailable: true
}

const denied: Tags<Denied> = {
  BudgetExceeded: true,
  OverdraftLimitExceeded: true,
  DebtOutstanding: true,
  BudgetFrozen: true,
  BudgetClosed: true,
  TenantClosed: true,
  ActionDenied: true,
  UnknownDenial: true
}

const release: Tags<ErrorOf<"release">> = {
  ...trouble,
  NotFound: true,
  TenantClosed: true,
  UnknownDenial: true,
  IdempotencyMismatch: true,
  ReservationFinalized: true,
  ReservationExpired: true
}

const reserve: Tags<ErrorOf<"reserve">> = {
  ...trouble,
  ...denied,
  BudgetNotFound: true,
  UnitMismatch: true,
  IdempotencyMismatch: true
}

/** The errors each operation can have. The compiler sees that none is forgotten. */
const errorsOf: { readonly [O in Operation]: Tags<ErrorOf<O>> } = {
  decide: { ...trouble, UnitMismatch: true, IdempotencyMismatch: true, UnknownDenial: true },
  reserve,
  commit: { ...release, BudgetExceeded: true, OverdraftLimitExceeded: true, UnitMismatch: true },
  release,
  extend: { ...release, MaxExtensionsExceeded: true },
  event: reserve,
  balances: trouble,
  reservation: { ...trouble, NotFound: true, ReservationExpired: true },
  reservations: trouble
}

const has = (operation: Operation, error: CyclesError): boolean => Object.hasOwn(errorsOf[operation], error._tag)

/**
 * The error an answer stands for. Call it for every answer but a success.
 *
 * - 404 is `BudgetNotFound` where a budget was asked for (reserve, event) and `NotFound` where a reservation was
 * - a 409 of a code this version does not know, or does not expect of the operation, is an `UnknownDenial` with that code
 * - 429 is `RateLimited`; only a `Retry-After` in whole seconds is believed, as the specification wants it
 * - 500 is `InternalError`, every other 5xx `AuthorityUnavailable`: whether the request took effect is not known
 * - an answer without the protocol's error body comes from something in between, so it is `AuthorityUnavailable` as well; only
 *   401, 403 and 429 mean the same from everyone
 *
 * Unknown fields are kept in `details`. Request and trace id come from the body, else from the headers.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromResponse = <O extends Operation>(operation: O, answer: Answer): ErrorOf<O> => {
  const body = isRecord(answer.body) ? answer.body : {}
  const code = typeof body["error"] === "string" ? body["error"] : undefined
  const details = readDetails(isRecord(body["details"]) ? body["details"] : {})
  const context = contextOf(answer, body, details)
  const error = errorFor(operation, answer.status, code, context, details)
  // The words that stand for silence are not the authority's own.
  const words = body["message"]
  const isSilent = typeof words !== "string" || words === "" || words === wordsFor(error)
  if (isSilent) return error
  const reason = withoutField(words, body["details"])
  return errorFor(operation, answer.status, code, { ...context, reason }, details)
}

const errorFor = <O extends Operation>(
  operation: O,
  status: number,
  code: string | undefined,
  context: Context,
  details: Details
): ErrorOf<O> => {
  const error = anyErrorFor(operation, status, code, context, details)
  const own: CyclesError = has(operation, error) ? error : unexpected(operation, status, code, context)
  // What `has` lets through, and what `unexpected` makes, the operation has; the compiler cannot see it while that is open.
  return own as ErrorOf<O>
}

const anyErrorFor = (
  operation: Operation,
  status: number,
  code: string | undefined,
  context: Context,
  details: Details
): CyclesError => {
  if (status === 401) return new E.Unauthorized(context)
  if (status === 403) return new E.Forbidden(context)
  if (status === 429) return new E.RateLimited(context)
  if (status === 500) return new E.InternalError(context)
  if (code === undefined || status < 400 || status > 500) return unavailable(status, code, context)
  switch (code) {
    case "INVALID_REQUEST":
      return new E.InvalidRequest({ ...context, field: details.field ?? "request" })
    case "UNIT_MISMATCH":
      return new E.UnitMismatch(
        details.expectedUnits === undefined ? context : { ...context, expectedUnits: details.expectedUnits }
      )
    case "UNAUTHORIZED":
      return new E.Unauthorized(context)
    case "FORBIDDEN":
      return new E.Forbidden(context)
    case "NOT_FOUND":
      return notFound(operation, context)
    case "RESERVATION_EXPIRED":
      return new E.ReservationExpired(context)
    case "RESERVATION_FINALIZED":
      return new E.ReservationFinalized(context)
    case "IDEMPOTENCY_MISMATCH":
      return new E.IdempotencyMismatch(context)
    case "MAX_EXTENSIONS_EXCEEDED":
      return new E.MaxExtensionsExceeded(context)
    case "LIMIT_EXCEEDED":
      return new E.RateLimited(context)
    case "INTERNAL_ERROR":
      return new E.InternalError(context)
  }
  switch (status) {
    case 400:
      return new E.InvalidRequest({ ...context, field: details.field ?? "request" })
    case 404:
      return notFound(operation, context)
    case 410:
      return new E.ReservationExpired(context)
    default:
      return E.fromReason(code, context)
  }
}

const notFound = (operation: Operation, context: Context): CyclesError =>
  operation === "reserve" || operation === "event" ? new E.BudgetNotFound(context) : new E.NotFound(context)

/** An error the operation does not have: a denial by its code where it can be denied, else a request that cannot be met. */
const unexpected = (
  operation: Operation,
  status: number,
  code: string | undefined,
  context: Context
): CyclesError => {
  const denial = new E.UnknownDenial({ ...context, code: code ?? String(status) })
  return has(operation, denial)
    ? denial
    : new E.InvalidRequest({ reason: `answered with ${status} ${code}`, ...context, field: "request" })
}

const unavailable = (status: number, code: string | undefined, context: Context): E.AuthorityUnavailable => {
  if (code !== undefined) return new E.AuthorityUnavailable(context)
  const hint = status === 404 || status === 405 ? "; check the base URL" : ""
  return new E.AuthorityUnavailable({ reason: `answered with status ${status}${hint}`, ...context })
}

interface Details extends Pick<Context, "scope" | "unit" | "requested" | "remaining" | "retryAfterMs" | "details"> {
  readonly field?: string
  readonly expectedUnits?: ReadonlyArray<Unit>
}

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isUnit = Schema.is(Unit)

const readInteger = (value: unknown): bigint | undefined => {
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : undefined
  return typeof value === "bigint" && value >= MIN_INT64 && value <= MAX_INT64 ? value : undefined
}

const readMilliseconds = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined

const readDetail = (details: Types.Mutable<Details>, name: string, value: unknown): boolean => {
  switch (name) {
    case "scope":
      if (typeof value !== "string") return false
      details.scope = value
      return true
    case "field":
      if (typeof value !== "string") return false
      details.field = fromWireField(value)
      return true
    case "unit":
    case "requested_unit":
      if (!isUnit(value)) return false
      details.unit = value
      return true
    case "expected_units": {
      const units = Array.isArray(value) ? value.filter(isUnit) : []
      if (units.length === 0) return false
      details.expectedUnits = units
      return true
    }
    case "requested":
    case "remaining": {
      const amount = readInteger(value)
      if (amount === undefined) return false
      details[name] = amount
      return true
    }
    case "retry_after_ms": {
      const ms = readMilliseconds(value)
      if (ms === undefined) return false
      details.retryAfterMs = ms
      return true
    }
    default:
      return false
  }
}

/** Takes what it knows and can use; the rest stays as it was sent. */
const readDetails = (sent: { readonly [name: string]: unknown }): Details => {
  const rest: Record<string, unknown> = {}
  const details: Types.Mutable<Details> = {}
  for (const [name, value] of Object.entries(sent)) {
    if (!readDetail(details, name, value) && value !== null) rest[name] = value
  }
  if (Object.keys(rest).length > 0) details.details = rest
  return details
}

const isEvidence = Schema.is(Schema.toEncoded(EvidenceRef))

const contextOf = (
  { headers, status }: Answer,
  body: { readonly [name: string]: unknown },
  { details, expectedUnits: _units, field: _field, ...known }: Details
): Context => {
  const context: Types.Mutable<Context> = known
  const requestId = text(body["request_id"]) ?? text(headers["x-request-id"])
  const traceId = text(body["trace_id"]) ?? text(headers["x-cycles-trace-id"])
  if (requestId !== undefined) context.requestId = requestId
  if (traceId !== undefined && traceIdPattern.test(traceId)) context.traceId = traceId
  const retryAfterMs = readRetryAfter(headers["retry-after"])
  // The body is exact to the millisecond; without it the header has the say.
  if ((status === 429 || status >= 500) && context.retryAfterMs === undefined && retryAfterMs !== undefined) {
    context.retryAfterMs = retryAfterMs
  }
  const evidence = body["cycles_evidence"]
  if (isEvidence(evidence)) context.details = { ...details, cycles_evidence: evidence }
  else if (details !== undefined) context.details = details
  return context
}

const text = (value: unknown): string | undefined => typeof value === "string" && value !== "" ? value : undefined

/** Whole seconds only: a date would need a clock that agrees with the authority's. */
const readRetryAfter = (value: string | undefined): number | undefined =>
  value !== undefined && /^\d{1,9}$/.test(value.trim()) ? Number(value) * 1_000 : undefined
