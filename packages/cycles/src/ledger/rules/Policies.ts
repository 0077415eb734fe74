/**
 * What policies make of a hold: whether its action may be done at all, how often, under which caps and for how long.
 *
 * Of the policies that match a hold one applies. Its hard gates come first (kinds of action), then its rate, then the steps of
 * the run; the budgets are asked last. Where a tenant has no policies, nothing here costs anything.
 *
 * Specification: `cycles-protocol-extensions-v0.1.26.yaml`, RESERVATION EVALUATION ORDER.
 *
 * @internal
 */
import type { Unit } from "../../protocol/Amount.ts"
import type { Caps } from "../../protocol/Caps.ts"
import { strictest } from "../../protocol/Caps.ts"
import type { OveragePolicy } from "../../protocol/OveragePolicy.ts"
import { DEFAULT_OVERAGE_POLICY, DEFAULT_TTL_MS } from "../../protocol/Reserve.ts"
import type { Subject } from "../../protocol/Subject.ts"
import type { BudgetRow, CounterRow, PolicyRow, TenantProfile } from "../Model.ts"
import { remaining } from "../Model.ts"
import { MILLION } from "../PolicyShape.ts"
import type { Refusal } from "../Refusal.ts"
import * as ScopePattern from "../ScopePattern.ts"
import type { Missing, View } from "../View.ts"
import type { Command } from "./Command.ts"
import { none } from "./Verdict.ts"

type Asking = Command & { readonly _tag: "Decide" | "Reserve" }

const MINUTE_MS = 60_000

/** A run may pause this long before its steps are forgotten. */
const KEEP_STEPS_MS = 30 * 86_400_000

/** The longest lease in a tenant that was registered without saying. */
const DEFAULT_MAX_TTL_MS = 3_600_000

/** The one policy that applies to a scope, or none. */
export const applying = (
  policies: ReadonlyArray<PolicyRow>,
  scope: string,
  now: number
): PolicyRow | undefined => {
  let best: PolicyRow | undefined
  for (const policy of policies) {
    if (policy.status !== "DISABLED" && isEffective(policy, now) && ScopePattern.matches(policy.scopePattern, scope)) {
      if (best === undefined || precedes(policy, best)) best = policy
    }
  }
  return best
}

const isEffective = ({ effectiveFromMs, effectiveUntilMs }: PolicyRow, now: number): boolean =>
  (effectiveFromMs === undefined || effectiveFromMs <= now) &&
  (effectiveUntilMs === undefined || now < effectiveUntilMs)

const precedes = (a: PolicyRow, b: PolicyRow): boolean =>
  a.priority !== b.priority
    ? a.priority > b.priority
    : a.scopePattern.length !== b.scopePattern.length
    ? a.scopePattern.length > b.scopePattern.length
    : a.id < b.id

const deepest = (scopes: ReadonlyArray<string>): string => scopes[scopes.length - 1] ?? ""

/** The policy that applies to a path of scopes, which is matched by its narrowest. */
export const policyOf = (
  view: View,
  tenant: string,
  scopes: ReadonlyArray<string>,
  now: number
): PolicyRow | undefined => {
  const policies = view.policiesOf(tenant)
  return policies.length === 0 ? undefined : applying(policies, deepest(scopes), now)
}

/** What a run is known by: its id, else its workflow. */
const runOf = (subject: Subject, scopes: ReadonlyArray<string>): string | undefined => {
  const id = subject.dimensions?.["run_id"]
  return id === undefined
    ? scopes.find((scope) => scope.slice(scope.lastIndexOf("/") + 1).startsWith("workflow:"))
    : `run:${id}`
}

const rateId = (policy: PolicyRow, scope: string, now: number): string =>
  `rate/${policy.id}/${Math.floor(now / MINUTE_MS)}/${scope}`

const stepsId = (policy: PolicyRow, run: string): string => `steps/${policy.id}/${run}`

/** Asks for the counters of the policy that applies, unless the answer is only a repetition. */
export const policyKeys = (command: Asking, view: View, missing: Missing, now: number): void => {
  const { cause, request, scopes } = command
  const policy = policyOf(view, cause.tenant, scopes, now)
  if (policy === undefined || view.record(command.record) !== undefined) return
  if (policy.maxReservationsPerMinute !== undefined) missing.counter(cause.tenant, rateId(policy, deepest(scopes), now))
  if (policy.maxSteps !== undefined) {
    const run = runOf(request.subject, scopes)
    if (run !== undefined) missing.counter(cause.tenant, stepsId(policy, run))
  }
}

/** What the policy that applies makes of a hold. */
export interface Terms {
  readonly policy: PolicyRow
  /** Why the hold is not given, whatever the budgets say. */
  readonly refusal: Refusal | undefined
  /** The caps it comes with. */
  readonly caps: Caps | undefined
  /** What is counted when it is taken. */
  readonly counters: ReadonlyArray<CounterRow>
}

export const termsOf = (view: View, command: Asking, now: number): Terms | undefined => {
  const { cause: { tenant }, request, scopes } = command
  const policy = policyOf(view, tenant, scopes, now)
  if (policy === undefined) return undefined
  const scope = deepest(scopes)
  const refuse = (refusal: Refusal): Terms => ({ policy, refusal, caps: undefined, counters: none })
  const because = (suggestion: string) => ({ scope, details: { policy_id: policy.id, suggestion } })

  const { kind } = request.action
  if (policy.deniedActionKinds.includes(kind)) {
    return refuse({
      code: "ACTION_KIND_DENIED",
      ...because(`Take ${kind} off the denied kinds of the policy`),
      reason: `the policy "${policy.name}" denies the kind ${kind}`
    })
  }
  if (policy.allowedActionKinds.length > 0 && !policy.allowedActionKinds.includes(kind)) {
    return refuse({
      code: "ACTION_KIND_NOT_ALLOWED",
      ...because(`Add ${kind} to the allowed kinds of the policy`),
      reason: `the policy "${policy.name}" does not allow the kind ${kind}`
    })
  }

  const counters: Array<CounterRow> = []
  const count = (id: string, keepUntilMs: number): bigint => {
    const used = view.counter(tenant, id)?.used ?? 0n
    counters.push({ tenant, id, used: used + 1n, held: 0n, carried: 0n, keepUntilMs })
    return used
  }

  const most = policy.maxReservationsPerMinute
  if (most !== undefined) {
    const endOfMinute = (Math.floor(now / MINUTE_MS) + 1) * MINUTE_MS
    if (count(rateId(policy, scope, now), endOfMinute) >= BigInt(most)) {
      return refuse({
        code: "LIMIT_EXCEEDED",
        ...because("Wait for the next minute, or raise the rate limit of the policy"),
        reason: `the policy "${policy.name}" allows ${most} reservations a minute`,
        retryAfterMs: endOfMinute - now
      })
    }
  }

  let caps = capsOf(view, policy, scopes, request.estimate.unit)
  if (policy.maxSteps !== undefined) {
    const run = runOf(request.subject, scopes)
    if (run === undefined) {
      return refuse({
        code: "INVALID_REQUEST",
        field: "subject.dimensions.run_id",
        ...because("Name the run, or a workflow"),
        reason:
          `the policy "${policy.name}" counts the steps of a run, and the subject names neither a run nor a workflow`
      })
    }
    const used = count(stepsId(policy, run), now + KEEP_STEPS_MS)
    const left = { maxStepsRemaining: Math.max(0, policy.maxSteps - Number(used)) }
    caps = caps === undefined ? left : strictest(caps, left)
  }
  if (caps?.maxStepsRemaining === 0) {
    return refuse({
      code: "ACTION_QUOTA_EXCEEDED",
      ...because("End the run, or raise the steps the policy allows"),
      reason: `the policy "${policy.name}" allows no further step`
    })
  }
  return { policy, refusal: undefined, caps, counters }
}

/** The caps of a policy, its own and those that come of how the budgets stand; none at all rather than empty ones. */
const capsOf = (view: View, policy: PolicyRow, scopes: ReadonlyArray<string>, unit: Unit): Caps | undefined => {
  let caps = policy.caps
  for (const { belowShare, caps: more } of policy.stateCaps) {
    if (scopes.some((scope) => isBelow(view.budget(scope, unit), belowShare))) {
      caps = caps === undefined ? more : strictest(caps, more)
    }
  }
  return caps === undefined || Object.keys(caps).length === 0 ? undefined : caps
}

const isBelow = (row: BudgetRow | undefined, share: number): boolean =>
  row !== undefined && remaining(row) * BigInt(MILLION) < row.allocated * BigInt(Math.round(share * MILLION))

/** How an ALLOW is put. */
export const allowed = (terms: Terms | undefined): { readonly decision: "ALLOW" } | {
  readonly decision: "ALLOW_WITH_CAPS"
  readonly caps: Caps
} => terms?.caps === undefined ? { decision: "ALLOW" } : { decision: "ALLOW_WITH_CAPS", caps: terms.caps }

/**
 * The overage policy of a hold or an event: its own, else the policy's, else that of the narrowest budget that has one, else the
 * tenant's, else the protocol's.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schemas `CommitOveragePolicy` and `Policy`.
 */
export const overageOf = (
  asked: OveragePolicy | undefined,
  policy: PolicyRow | undefined,
  budgets: ReadonlyArray<BudgetRow>,
  profile: TenantProfile | undefined
): OveragePolicy => {
  if (asked !== undefined) return asked
  if (policy?.overagePolicy !== undefined) return policy.overagePolicy
  for (let i = budgets.length - 1; i >= 0; i--) {
    const own = budgets[i]?.overagePolicy
    if (own !== undefined) return own
  }
  return profile?.overagePolicy ?? DEFAULT_OVERAGE_POLICY
}

/**
 * How long a lease is: what was asked, else the policy's default, else the tenant's, else the protocol's, and no longer than the
 * policy says, or where it does not, the tenant.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schemas `ReservationTtlOverride` and `Tenant`.
 */
export const ttlOf = (
  asked: number | undefined,
  policy: PolicyRow | undefined,
  profile: TenantProfile | undefined
): number => {
  const wanted = asked ?? policy?.defaultTtlMs ?? profile?.defaultTtlMs ?? DEFAULT_TTL_MS
  const most = policy?.maxTtlMs ?? (profile === undefined ? undefined : profile.maxTtlMs ?? DEFAULT_MAX_TTL_MS)
  return most === undefined ? wanted : Math.min(wanted, most)
}
