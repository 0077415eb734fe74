import type { Errors } from "@effect-cycles/http"
import { MAX_INT64, MIN_INT64 } from "effect-cycles/protocol/Amount"
import type { CyclesError } from "effect-cycles/protocol/CyclesError"
import * as E from "effect-cycles/protocol/CyclesError"

type Make<T extends CyclesError["_tag"]> = (context: E.Context) => Extract<CyclesError, { readonly _tag: T }>

/** Everything an error may know. */
export const everyField: E.Context = {
  reason: "in the authority's own words",
  scope: "tenant:acme/agent:bot",
  unit: "TOKENS",
  requested: MAX_INT64,
  remaining: MIN_INT64,
  details: { policy: "night shift" }
}

const makers: { readonly [T in CyclesError["_tag"]]: Make<T> } = {
  InvalidRequest: (context) => new E.InvalidRequest({ ...context, field: "subject.agent" }),
  Unauthorized: (context) => new E.Unauthorized(context),
  Forbidden: (context) => new E.Forbidden(context),
  NotFound: (context) => new E.NotFound(context),
  BudgetNotFound: (context) => new E.BudgetNotFound(context),
  BudgetExceeded: (context) => new E.BudgetExceeded(context),
  OverdraftLimitExceeded: (context) => new E.OverdraftLimitExceeded(context),
  DebtOutstanding: (context) => new E.DebtOutstanding(context),
  BudgetFrozen: (context) => new E.BudgetFrozen(context),
  BudgetClosed: (context) => new E.BudgetClosed(context),
  TenantClosed: (context) => new E.TenantClosed(context),
  ActionDenied: (context) => new E.ActionDenied({ ...context, code: "ACTION_QUOTA_EXCEEDED" }),
  UnknownDenial: (context) => new E.UnknownDenial({ ...context, code: "SOLAR_FLARE" }),
  UnitMismatch: (context) => new E.UnitMismatch({ ...context, expectedUnits: ["USD_MICROCENTS", "RISK_POINTS"] }),
  IdempotencyMismatch: (context) => new E.IdempotencyMismatch(context),
  ReservationFinalized: (context) => new E.ReservationFinalized(context),
  ReservationExpired: (context) => new E.ReservationExpired(context),
  MaxExtensionsExceeded: (context) => new E.MaxExtensionsExceeded(context),
  // On the wire a 429 always has a time.
  RateLimited: (context) => new E.RateLimited({ retryAfterMs: 1_000, ...context }),
  InternalError: (context) => new E.InternalError(context),
  AuthorityUnavailable: (context) => new E.AuthorityUnavailable(context)
}

const pick = <T extends CyclesError["_tag"]>(...tags: ReadonlyArray<T>): { readonly [K in T]: Make<K> } =>
  // Object.fromEntries forgets which names there are.
  Object.fromEntries(tags.map((tag) => [tag, makers[tag]])) as unknown as { readonly [K in T]: Make<K> }

const trouble = pick(
  "InvalidRequest",
  "Unauthorized",
  "Forbidden",
  "RateLimited",
  "InternalError",
  "AuthorityUnavailable"
)
const release = {
  ...trouble,
  ...pick(
    "NotFound",
    "TenantClosed",
    "UnknownDenial",
    "IdempotencyMismatch",
    "ReservationFinalized",
    "ReservationExpired"
  )
}
const reserve = {
  ...trouble,
  ...pick(
    "BudgetExceeded",
    "OverdraftLimitExceeded",
    "DebtOutstanding",
    "BudgetFrozen",
    "BudgetClosed",
    "TenantClosed",
    "ActionDenied",
    "UnknownDenial",
    "BudgetNotFound",
    "UnitMismatch",
    "IdempotencyMismatch"
  )
}

/** Every error of every operation; the compiler sees that none is missing. */
export const errorSamples: {
  readonly [O in Errors.Operation]: { readonly [T in Errors.ErrorOf<O>["_tag"]]: Make<T> }
} = {
  decide: { ...trouble, ...pick("UnitMismatch", "IdempotencyMismatch", "UnknownDenial") },
  reserve,
  commit: { ...release, ...pick("BudgetExceeded", "OverdraftLimitExceeded", "UnitMismatch") },
  release,
  extend: { ...release, ...pick("MaxExtensionsExceeded") },
  event: reserve,
  balances: trouble,
  reservation: { ...trouble, ...pick("NotFound", "ReservationExpired") },
  reservations: trouble
}

export const operations = Object.keys(errorSamples) as ReadonlyArray<Errors.Operation>
