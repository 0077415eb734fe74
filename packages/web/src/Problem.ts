/**
 * What a web application answers when a budget says no: a status, and a body by RFC 9457 (`application/problem+json`).
 *
 * | error                                                                       | status                                     |
 * | --------------------------------------------------------------------------- | ------------------------------------------ |
 * | `BudgetExceeded`                                                            | 429 where it is known when to come again, else 402 |
 * | `BudgetNotFound`, `UnknownDenial`                                           | 402                                        |
 * | `BudgetFrozen`, `BudgetClosed`, `TenantClosed`, `ActionDenied`, `Forbidden`, `ToolNotAllowed` | 403                    |
 * | `DebtOutstanding`, `OverdraftLimitExceeded`                                 | 503                                        |
 * | `AuthorityUnavailable`, `InternalError`, `LeaseLost`                        | 503                                        |
 * | `RateLimited`                                                               | 429                                        |
 * | `IdempotencyMismatch`, `ReservationFinalized`                               | 409                                        |
 * | `MissingTenant`                                                             | 400                                        |
 * | `InvalidRequest`, `UnitMismatch`, `Unauthorized`                            | 500: the application asks wrongly          |
 *
 * `Retry-After` is there wherever it is known, in whole seconds.
 *
 * **Example** (A denial as an answer)
 *
 * ```ts
 * import { Problem } from "@effect-cycles/web"
 * import { CyclesError } from "effect-cycles"
 *
 * const problem = Problem.of(new CyclesError.BudgetExceeded({ retryAfterMs: 1_500 }))
 *
 * console.log(problem.status, problem.headers["retry-after"]) // => 429 2
 * console.log(problem.body.title) // => Budget exceeded
 * ```
 *
 * @since 0.1.0
 */
import type { GuardError } from "effect-cycles/runtime/Budget"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/**
 * A request does not say whose it is, or says it in a way that cannot be a tenant's name.
 *
 * @category errors
 * @since 0.1.0
 */
export class MissingTenant extends Schema.TaggedError<MissingTenant>("effect-cycles/MissingTenant")("MissingTenant", {
  reason: Schema.String
}) {
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  override get message(): string {
    return `The request does not say whose it is: ${this.reason}`
  }
}

/**
 * What a guarded request can be refused for.
 *
 * @category errors
 * @since 0.1.0
 */
export type Refused = GuardError | MissingTenant

/**
 * An answer to a request that was refused.
 *
 * @category models
 * @since 0.1.0
 */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: {
    readonly type: string
    readonly title: string
    readonly status: number
    readonly detail: string
    readonly code: string
    readonly retry_after_ms?: number
  }
}

/**
 * - `status`: another status for an error; the one of the table above where it is `undefined`
 * - `expose`: whether `detail` is the error's own message, which names scopes and amounts. No when not given: whoever sends a
 *   request need not know them
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly status?: ((error: Refused) => number | undefined) | undefined
  readonly expose?: boolean | undefined
}

interface Kind {
  readonly status: number
  readonly title: string
  readonly detail: string
}

const unavailable: Kind = {
  status: 503,
  title: "Budget unavailable",
  detail: "Whether there is budget for this request cannot be told now. Try again later."
}
const misconfigured: Kind = {
  status: 500,
  title: "Internal error",
  detail: "The request could not be budgeted. Whoever runs this service finds the reason in its logs."
}
const exceeded: Kind = {
  status: 402,
  title: "Budget exceeded",
  detail: "There is not enough budget left for this request."
}
const indebted: Kind = {
  status: 503,
  title: "Budget in debt",
  detail: "The budget has to be settled before there can be further requests."
}
const forbidden: Kind = {
  status: 403,
  title: "Not allowed",
  detail: "The budget does not allow this request."
}
const conflict: Kind = {
  status: 409,
  title: "Request already made",
  detail: "The idempotency key belongs to another request."
}

const kinds: { readonly [Tag in Refused["_tag"]]: Kind } = {
  BudgetExceeded: exceeded,
  BudgetNotFound: { ...exceeded, title: "No budget", detail: "There is no budget for this request." },
  UnknownDenial: exceeded,
  BudgetFrozen: forbidden,
  BudgetClosed: forbidden,
  TenantClosed: forbidden,
  ActionDenied: forbidden,
  Forbidden: forbidden,
  ToolNotAllowed: forbidden,
  DebtOutstanding: indebted,
  OverdraftLimitExceeded: indebted,
  AuthorityUnavailable: unavailable,
  InternalError: unavailable,
  LeaseLost: unavailable,
  RateLimited: { status: 429, title: "Too many requests", detail: "Try again later." },
  IdempotencyMismatch: conflict,
  ReservationFinalized: conflict,
  MissingTenant: { status: 400, title: "Tenant missing", detail: "The request does not say whose it is." },
  InvalidRequest: misconfigured,
  UnitMismatch: misconfigured,
  Unauthorized: misconfigured
}

const snakeCase = (tag: string): string => tag.replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase()

const retryAfterOf = (error: Refused): Duration.Duration | undefined =>
  "retryAfter" in error ? error.retryAfter : undefined

/**
 * The answer to a request that was refused for an error.
 *
 * @category constructors
 * @since 0.1.0
 */
export const of = (error: Refused, options?: Options): Problem => {
  const kind = kinds[error._tag]
  const retryAfter = retryAfterOf(error)
  const retryAfterMs = retryAfter === undefined ? undefined : Duration.toMillis(retryAfter)
  const status = options?.status?.(error) ??
    (error._tag === "BudgetExceeded" && retryAfterMs !== undefined ? 429 : kind.status)
  const code = snakeCase(error._tag)
  return {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      ...(retryAfterMs === undefined ? undefined : { "retry-after": String(Math.ceil(retryAfterMs / 1_000)) })
    },
    body: {
      type: `urn:effect-cycles:${code.toLowerCase().replaceAll("_", "-")}`,
      title: kind.title,
      status,
      detail: options?.expose === true ? error.message : kind.detail,
      code,
      ...(retryAfterMs === undefined ? undefined : { retry_after_ms: Math.ceil(retryAfterMs) })
    }
  }
}

/**
 * Whether something that was thrown is what a guarded request is refused for, and no fault of the application's own.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isRefused = (error: unknown): error is Refused =>
  error instanceof Error && "_tag" in error && typeof error._tag === "string" && Object.hasOwn(kinds, error._tag)
