/**
 * What a policy is made of, and what is wrong with one before it is taken.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Caps } from "../protocol/Caps.ts"
import { OveragePolicy } from "../protocol/OveragePolicy.ts"
import { TtlMs } from "../protocol/Reserve.ts"
import * as Shape from "../protocol/Shape.ts"
import type { PolicyRow, StateCaps } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"
import * as ScopePattern from "./ScopePattern.ts"

/**
 * A policy to create: what holds of the scopes its pattern stands for. Of all that match a hold, one applies: the one of
 * highest priority, then the one with the longest pattern, then the one with the lowest id.
 *
 * - `name`: 1 to 256 characters, one per tenant
 * - `scopePattern`: see `ScopePattern`; it cannot be changed later
 * - `priority`: 0 when not given
 * - `status`: ACTIVE when not given
 * - `caps`: come with every ALLOW
 * - `stateCaps`: come too while a budget of the path has less than a share of its allocation left
 * - `overagePolicy`: of holds that name none
 * - `defaultTtlMs`: the lease of holds that name none; `maxTtlMs`: the longest one, longer ones are cut; both 1,000 to 86,400,000
 * - `maxExtensions`: how often a hold may be extended
 * - `maxReservationsPerMinute`: how many holds each scope may take in a minute of the clock
 * - `maxCommitsPerMinute`: kept and shown; a commit is never refused for it
 * - `maxSteps`: how many holds a run may take, released ones included. The run is `dimensions.run_id` of the subject, else its
 *   workflow; a request with neither is `InvalidRequest`
 * - `allowedActionKinds`: if any, no others; `deniedActionKinds`: not these. At most one of the two, of at most 200 exact kinds
 * - `effectiveFromMs`, `effectiveUntilMs`: Unix milliseconds; the policy applies from the first and until before the second
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `PolicyCreateRequest`; `cycles-governance-extensions-v0.1.26.yaml`,
 * schema `PolicyExtension`.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions {
  readonly name: string
  readonly scopePattern: string
  readonly description?: string | undefined
  readonly priority?: number | undefined
  readonly status?: PolicyRow["status"] | undefined
  readonly caps?: Caps | undefined
  readonly stateCaps?: ReadonlyArray<StateCaps> | undefined
  readonly overagePolicy?: OveragePolicy | undefined
  readonly defaultTtlMs?: number | undefined
  readonly maxTtlMs?: number | undefined
  readonly maxExtensions?: number | undefined
  readonly maxReservationsPerMinute?: number | undefined
  readonly maxCommitsPerMinute?: number | undefined
  readonly maxSteps?: number | undefined
  readonly allowedActionKinds?: ReadonlyArray<string> | undefined
  readonly deniedActionKinds?: ReadonlyArray<string> | undefined
  readonly effectiveFromMs?: number | undefined
  readonly effectiveUntilMs?: number | undefined
}

/**
 * A change to a policy. What is not given stays; `null` takes it away, or sets it back to what it is when not given.
 *
 * @category models
 * @since 0.1.0
 */
export type PolicyChange =
  & { readonly name?: string | undefined }
  & { readonly [K in Exclude<keyof PolicyOptions, "name" | "scopePattern">]?: PolicyOptions[K] | null }

const MOST_KINDS = 200
const MOST_STATE_CAPS = 16

const Kinds = Schema.Array(Schema.String.check(Schema.isMaxCodePoints(64), Schema.isPattern(/^[^*]+$/)))
  .check(Schema.isMaxLength(MOST_KINDS))
const AtLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
const maybe = Schema.UndefinedOr

const flawOf = Shape.checker(Schema.Struct({
  name: Schema.String.check(Schema.isPattern(/\S/), Schema.isMaxCodePoints(256)),
  description: maybe(Schema.String.check(Schema.isMaxCodePoints(1_024))),
  scopePattern: Schema.String.check(Schema.isMaxCodePoints(1_024)),
  priority: Schema.Natural,
  status: Schema.Literals(["ACTIVE", "DISABLED"]),
  caps: maybe(Caps),
  stateCaps: Schema.Array(Schema.Struct({
    belowShare: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
    caps: Caps
  })).check(Schema.isMaxLength(MOST_STATE_CAPS)),
  overagePolicy: maybe(OveragePolicy),
  defaultTtlMs: maybe(TtlMs),
  maxTtlMs: maybe(TtlMs),
  maxExtensions: maybe(Schema.Natural),
  maxReservationsPerMinute: maybe(AtLeastOne),
  maxCommitsPerMinute: maybe(AtLeastOne),
  maxSteps: maybe(AtLeastOne),
  allowedActionKinds: Kinds,
  deniedActionKinds: Kinds,
  effectiveFromMs: maybe(Schema.Natural),
  effectiveUntilMs: maybe(Schema.Natural)
}))

/** Shares are exact to a millionth. */
export const MILLION = 1_000_000

/**
 * What is wrong with a policy: a field out of range, fields that contradict each other, or a pattern that is not its tenant's.
 *
 * @category predicates
 * @since 0.1.0
 */
export const flawed = (row: PolicyRow): Refusal | undefined => {
  const flaw = flawOf(row)
  if (flaw !== undefined) return { code: "INVALID_REQUEST", ...flaw }
  const invalid = (field: string, reason: string): Refusal => ({ code: "INVALID_REQUEST", field, reason })
  for (let i = 0; i < row.stateCaps.length; i++) {
    const share = row.stateCaps[i]?.belowShare ?? 0
    if (share === 0) return invalid(`stateCaps.${i}.belowShare`, "must be above 0: nothing is below it")
    if (Math.round(share * MILLION) / MILLION !== share) {
      return invalid(`stateCaps.${i}.belowShare`, "must have at most six decimals")
    }
  }
  if (row.allowedActionKinds.length > 0 && row.deniedActionKinds.length > 0) {
    return invalid("deniedActionKinds", "a policy allows some kinds or denies some, not both")
  }
  if (row.defaultTtlMs !== undefined && row.maxTtlMs !== undefined && row.defaultTtlMs > row.maxTtlMs) {
    return invalid("defaultTtlMs", "must not be above maxTtlMs")
  }
  const { effectiveFromMs: from, effectiveUntilMs: until } = row
  if (from !== undefined && until !== undefined && until <= from) {
    return invalid("effectiveUntilMs", "must be after effectiveFromMs")
  }
  return ScopePattern.flaw(row.tenant, row.scopePattern)
}

const either = <A>(given: A | null | undefined, before: A, absent: A): A =>
  given === undefined ? before : given === null ? absent : given

/**
 * A policy with a change laid over it, unchecked.
 *
 * @category combinators
 * @since 0.1.0
 */
export const changed = (row: PolicyRow, change: PolicyChange): PolicyRow => ({
  ...row,
  name: change.name ?? row.name,
  description: either(change.description, row.description, undefined),
  priority: either(change.priority, row.priority, 0),
  status: either(change.status, row.status, "ACTIVE"),
  caps: either(change.caps, row.caps, undefined),
  stateCaps: either(change.stateCaps, row.stateCaps, []),
  overagePolicy: either(change.overagePolicy, row.overagePolicy, undefined),
  defaultTtlMs: either(change.defaultTtlMs, row.defaultTtlMs, undefined),
  maxTtlMs: either(change.maxTtlMs, row.maxTtlMs, undefined),
  maxExtensions: either(change.maxExtensions, row.maxExtensions, undefined),
  maxReservationsPerMinute: either(change.maxReservationsPerMinute, row.maxReservationsPerMinute, undefined),
  maxCommitsPerMinute: either(change.maxCommitsPerMinute, row.maxCommitsPerMinute, undefined),
  maxSteps: either(change.maxSteps, row.maxSteps, undefined),
  allowedActionKinds: either(change.allowedActionKinds, row.allowedActionKinds, []),
  deniedActionKinds: either(change.deniedActionKinds, row.deniedActionKinds, []),
  effectiveFromMs: either(change.effectiveFromMs, row.effectiveFromMs, undefined),
  effectiveUntilMs: either(change.effectiveUntilMs, row.effectiveUntilMs, undefined)
})

/**
 * The row of a policy to be created, checked; its times are set when it is taken.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (tenant: string, id: string, options: PolicyOptions): Result.Result<PolicyRow, Refusal> => {
  const { scopePattern, ...rest } = options
  const empty: PolicyRow = {
    _tag: "policy",
    tenant,
    id,
    name: options.name,
    description: undefined,
    scopePattern,
    priority: 0,
    status: "ACTIVE",
    caps: undefined,
    stateCaps: [],
    overagePolicy: undefined,
    defaultTtlMs: undefined,
    maxTtlMs: undefined,
    maxExtensions: undefined,
    maxReservationsPerMinute: undefined,
    maxCommitsPerMinute: undefined,
    maxSteps: undefined,
    allowedActionKinds: [],
    deniedActionKinds: [],
    effectiveFromMs: undefined,
    effectiveUntilMs: undefined,
    createdAtMs: 0,
    updatedAtMs: 0
  }
  const row = changed(empty, rest)
  const flaw = flawed(row)
  return flaw === undefined ? Result.succeed(row) : Result.fail(flaw)
}
