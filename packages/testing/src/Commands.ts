/**
 * What to do to an authority, at random: scenarios for the reference model and for whatever is held against it.
 *
 * A command names things by small numbers (the last hold but one, key 2) and amounts and times by what they are next to
 * ("one more than remains", "the last millisecond of the grace"). It becomes a concrete operation when its turn comes, on the
 * state of the model. So commands meet each other often, land on boundaries, and still make sense after others were removed,
 * which is what lets a failing sequence shrink.
 *
 * **Example** (A model against itself)
 *
 * ```ts
 * import { Commands, ReferenceModel } from "@effect-cycles/testing"
 *
 * const scenario = Commands.generate(1, 50)
 * const trace = Commands.run(scenario)
 *
 * console.log(Commands.disagreement(scenario, trace, ReferenceModel.makeModel(scenario))) // => undefined
 * ```
 *
 * @since 0.1.0
 */
import type { Action } from "effect-cycles/protocol/Action"
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import type { BalancesQuery } from "effect-cycles/protocol/Balance"
import type { Caps } from "effect-cycles/protocol/Caps"
import { EventId, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import type { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import type { ReservationsQuery, ReservationStatus, SortBy } from "effect-cycles/protocol/ReservationRecord"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as ReferenceModel from "./ReferenceModel.ts"

// ---------------------------------------------------------------------------------------------------------------------
// models
// ---------------------------------------------------------------------------------------------------------------------

/**
 * An amount by what it is next to. `plus` is added; except after `zero`, nothing falls below 0.
 *
 * - `zero`: `plus` itself, even where that is no valid amount
 * - `remaining`: the least that remains on a budget concerned
 * - `widest`: the most that does
 * - `estimate`: what the reservation holds
 * - `cover`: the estimate and the least that remains
 * - `beyond`: the estimate and the most that remains
 * - `overdraft`: the estimate, the least that remains, and the least room for debt
 * - `debt`, `allocated`: of the first budget concerned
 * - `limit`: the least that remains of a limit of a budget concerned; what `remaining` is, where none has any
 *
 * @category models
 * @since 0.1.0
 */
export interface AmountSpec {
  readonly of:
    | "zero"
    | "remaining"
    | "widest"
    | "estimate"
    | "cover"
    | "beyond"
    | "overdraft"
    | "debt"
    | "allocated"
    | "limit"
  readonly plus: bigint
}

/**
 * A subject: one of {@link paths}, and what it says of its tenant.
 *
 * @category models
 * @since 0.1.0
 */
export interface SubjectSpec {
  readonly tenant: "own" | "absent" | "other"
  readonly path: number
}

/**
 * A reservation: of the tenant's that are ACTIVE (of all of its, when none is) the `nth` from the last or the `nth` nearest to
 * one of its ends, lease or grace; the `nth` from the last of all of the tenant's, or of everybody's; or none there is. A
 * command that finds no reservation to mean is left out.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReservationRef {
  readonly of: "active" | "nearest" | "own" | "any" | "unknown"
  readonly nth: number
}

/**
 * A budget: the `nth` from the last of the tenant's, or of those that are over limit (best, with something remaining), in
 * debt or have limits (of all of its, when none is), or none there is.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetRef {
  readonly of: "own" | "flagged" | "indebted" | "limited" | "unknown"
  readonly nth: number
}

interface Asking extends AskingBy {
  readonly tenant: number
  readonly key: number
}

/** By which API key; by none where there is none such. */
interface AskingBy {
  readonly apiKey?: ApiKeyRef | undefined
}

/**
 * An API key: the `nth` from the last of the tenant's that can be used, of all of the tenant's, or of everybody's; or none there
 * is.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApiKeyRef {
  readonly of: "usable" | "own" | "any" | "unknown"
  readonly nth: number
}

/**
 * One step of a scenario. `tenant` and `key` are indexes.
 *
 * @category models
 * @since 0.1.0
 */
export type Command =
  | Asking & {
    readonly _tag: "Decide"
    readonly subject: SubjectSpec
    readonly kind: number
    readonly unit: Unit
    readonly estimate: AmountSpec
  }
  | Asking & {
    readonly _tag: "Reserve"
    readonly subject: SubjectSpec
    readonly kind: number
    readonly unit: Unit
    readonly estimate: AmountSpec
    readonly overagePolicy: OveragePolicy | undefined
    readonly ttlMs: number | undefined
    readonly gracePeriodMs: number | undefined
    readonly dryRun: boolean | undefined
    readonly metadata: boolean
  }
  | Asking & {
    readonly _tag: "Commit"
    readonly reservation: ReservationRef
    readonly actual: AmountSpec
    readonly wrongUnit: boolean
    readonly metadata: boolean
  }
  | Asking & { readonly _tag: "Release"; readonly reservation: ReservationRef; readonly reason: boolean }
  | Asking & {
    readonly _tag: "Extend"
    readonly reservation: ReservationRef
    readonly extendByMs: number
    /** How often in a row, each time with a key of its own. */
    readonly times: number
  }
  | Asking & {
    readonly _tag: "Event"
    readonly subject: SubjectSpec
    readonly kind: number
    readonly unit: Unit
    readonly actual: AmountSpec
    readonly overagePolicy: OveragePolicy | undefined
  }
  | Asking & {
    readonly _tag: "Fund"
    readonly budget: BudgetRef
    readonly operation: ReferenceModel.FundOperation
    readonly amount: AmountSpec
    readonly spent: bigint | undefined
  }
  | {
    readonly _tag: "SetStatus"
    readonly tenant: number
    readonly budget: BudgetRef
    readonly status: ReferenceModel.BudgetStatus
  }
  | { readonly _tag: "CreatePolicy"; readonly tenant: number; readonly policy: ReferenceModel.PolicySeed }
  /** The `nth` from the last of everybody's policies: its tenant's own is changed, others are not found. */
  | {
    readonly _tag: "UpdatePolicy"
    readonly tenant: number
    readonly nth: number
    readonly change: Omit<Partial<ReferenceModel.PolicySeed>, "scopePattern">
  }
  | { readonly _tag: "DeletePolicy"; readonly tenant: number; readonly nth: number }
  /** `lifeMs`: for how long, if not for as long as keys live. */
  | {
    readonly _tag: "CreateApiKey"
    readonly tenant: number
    readonly rights: Partial<ReferenceModel.ApiKeyRights>
    readonly lifeMs: number | undefined
  }
  | {
    readonly _tag: "UpdateApiKey"
    readonly tenant: number
    readonly target: ApiKeyRef
    readonly rights: Partial<ReferenceModel.ApiKeyRights>
  }
  | { readonly _tag: "RevokeApiKey"; readonly tenant: number; readonly target: ApiKeyRef }
  | { readonly _tag: "SetTenantStatus"; readonly tenant: number; readonly status: ReferenceModel.TenantStatus }
  /** Only ever lowers the limit. */
  | { readonly _tag: "SetLimit"; readonly tenant: number; readonly budget: BudgetRef; readonly limit: AmountSpec }
  | {
    readonly _tag: "SetLimits"
    readonly tenant: number
    readonly budget: BudgetRef
    readonly limits: ReadonlyArray<ReferenceModel.Limit>
  }
  | { readonly _tag: "Limits"; readonly tenant: number; readonly budget: BudgetRef }
  /**
   * To `ms` from now, from the end of a lease or of its grace (the `nth` soonest of those that are ACTIVE), from a window of a
   * limit that reopens, or from the end of an API key (the `nth` soonest to).
   */
  | {
    readonly _tag: "Advance"
    readonly from: "now" | "expiry" | "grace" | "window" | "key"
    readonly nth: number
    readonly ms: number
  }
  | AskingBy & {
    readonly _tag: "Balances"
    readonly tenant: number
    readonly subject: SubjectSpec
    readonly limit: number | undefined
  }
  | AskingBy & { readonly _tag: "ReadReservation"; readonly tenant: number; readonly reservation: ReservationRef }
  | AskingBy & {
    readonly _tag: "ListReservations"
    readonly tenant: number
    readonly subject: SubjectSpec
    readonly key: number | undefined
    readonly status: ReservationStatus | undefined
    readonly window: Window | undefined
    readonly sortBy: SortBy | undefined
    readonly sortDir: "asc" | "desc" | undefined
    readonly include: boolean
    readonly limit: number | undefined
  }
  /** Sends an earlier operation that had a key once more: unchanged, or changed in one way. */
  | { readonly _tag: "Repeat"; readonly back: number; readonly twist: Twist }

/**
 * A window of a list: bounds in milliseconds from now.
 *
 * @category models
 * @since 0.1.0
 */
export interface Window {
  readonly on: "created" | "expires" | "finalized"
  readonly from: number | undefined
  readonly to: number | undefined
}

/**
 * How a repeated operation differs from the first one.
 *
 * - `reordered`: the same fields in another order
 * - `payload`: another amount (or the like)
 * - `defaults`: what was absent is given, with the value it defaults to
 * - `tenant`: another tenant sends it
 * - `elsewhere`: to another reservation, or another budget
 * - `flip`: the same key for another operation, or a dry run made live and the other way round
 *
 * @category models
 * @since 0.1.0
 */
export type Twist = "same" | "reordered" | "payload" | "defaults" | "tenant" | "elsewhere" | "flip"

/**
 * Where to begin, and what to do. `maxExtensions` is an option of the authority as it is of the model.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scenario {
  readonly tenants: ReadonlyArray<string>
  readonly budgets: ReadonlyArray<ReferenceModel.BudgetSeed>
  readonly maxExtensions: number
  /** Those of the tenants that are registered. */
  readonly defaults: ReadonlyArray<ReferenceModel.TenantDefaults>
  readonly commands: ReadonlyArray<Command>
}

/**
 * What scenarios may contain. By default, everything.
 *
 * - `seededDebt`: budgets that have debt to begin with; without them the rule `debt-without-limit-blocks-reserve` is out of
 *   reach, for debt above a limit of 0 is over limit however else it came about
 * - `limits`: the command `SetLimit`, which is about overdrafts; without it the rule `lowering-the-limit-flags` is out of reach
 * - `windows`: budgets with limits that have windows, and the commands `SetLimits` and `Limits`; without them the rules about
 *   limits are out of reach
 * - `policies`: commands that create, change and delete policies; without them the rules about policies are out of reach
 * - `defaults`: tenants that are registered, with defaults for leases, extensions and overage; without them the rules about
 *   those are out of reach
 * - `statuses`: the command `SetTenantStatus`; without it, or without `defaults`, the rules about tenants are out of reach
 * - `apiKeys`: commands that make, change and revoke API keys, and requests that are made by one; without them, or without
 *   `defaults`, the rules about keys are out of reach
 * - `maxExtensions`: this many for every scenario, instead of 10, 2 or 1
 * - `prefix`: what the names of tenants begin with; nothing when not given. Scenarios with different ones can share a store
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly seededDebt?: boolean
  readonly limits?: boolean
  readonly policies?: boolean
  readonly defaults?: boolean
  readonly statuses?: boolean
  readonly apiKeys?: boolean
  readonly windows?: boolean
  readonly maxExtensions?: number
  readonly prefix?: string
}

// ---------------------------------------------------------------------------------------------------------------------
// the cast
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The time scenarios begin at (Unix milliseconds). They end within a day of it, sooner than any idempotency record is dropped.
 *
 * @category constants
 * @since 0.1.0
 */
export const START_MS = 1_000_000_000_000

const LATEST_MS = START_MS + 23 * 3_600_000

const TENANTS = ["acme", "acme-2", "beta"]

const tenantsOf = ({ prefix = "" }: Options): ReadonlyArray<string> => TENANTS.map((name) => `${prefix}${name}`)

const UNITS: ReadonlyArray<Unit> = ["TOKENS", "USD_MICROCENTS"]

/**
 * What a subject can say below its tenant; the last four are no valid subjects.
 *
 * @category constants
 * @since 0.1.0
 */
export const paths: ReadonlyArray<Omit<Subject, "tenant">> = [
  {},
  { workspace: "prod" },
  { agent: "bot", workspace: "prod" },
  { agent: "bot" },
  { workspace: "prod", app: "chat", workflow: "run-1", agent: "bot", toolset: "web" },
  { app: "chat", workflow: "run-1" },
  { workspace: "Prod" },
  { workspace: "dev", agent: "bot" },
  { workspace: "prod", dimensions: { team: "a" } },
  { agent: "bot", dimensions: { run_id: "r-1" } },
  { agent: "bot", workspace: "prod", dimensions: { run_id: "r-2" } },
  { workspace: "dev", workflow: "run-1" },
  { agent: "a/b" },
  { agent: "" },
  { workspace: "prod", agent: "a:b" },
  { toolset: "é", dimensions: { team: "a" } }
]

const BUDGETED = [
  "",
  "/workspace:prod",
  "/workspace:prod/agent:bot",
  "/agent:bot",
  "/app:chat/workflow:run-1",
  "/workspace:prod/app:chat/workflow:run-1/agent:bot",
  "/workspace:prod/app:chat/workflow:run-1/agent:bot/toolset:web"
]

const KINDS = ["llm.completion", "message.email", "tool.search"]

const actionOf = (kind: number): Action => ({ kind: KINDS[kind] ?? "llm.completion", name: "gpt-4o" })

const INT64_MAX = 2n ** 63n - 1n

// ---------------------------------------------------------------------------------------------------------------------
// drawing
// ---------------------------------------------------------------------------------------------------------------------

/** A whole number from 0 up to, not including, `n`. Everything below is simplest where it draws 0. */
type Draw = (n: number) => number

type Weighted<A> = ReadonlyArray<readonly [weight: number, value: A]>

const oneOf = <A>(draw: Draw, choices: Weighted<A>): A => {
  let at = draw(choices.reduce((sum, [weight]) => sum + weight, 0))
  for (const [weight, value] of choices) {
    if (at < weight) return value
    at -= weight
  }
  throw new Error("No choices")
}

const unitOf = (draw: Draw): Unit => oneOf(draw, [[8, "TOKENS"], [1, "USD_MICROCENTS"]])

const subjectOf = (draw: Draw): SubjectSpec => ({
  tenant: oneOf(draw, [[14, "own"], [7, "absent"], [1, "other"]]),
  path: oneOf(draw, [
    [12, 0],
    [16, 1],
    [20, 2],
    [12, 3],
    [16, 4],
    [10, 5],
    [6, 6],
    [6, 7],
    [4, 8],
    [6, 9],
    [6, 10],
    [3, 11],
    [1, 12],
    [1, 13],
    [1, 14],
    [1, 15]
  ])
})

/** Keys that were likely used before, or ones that likely were not. */
const keyOf = (draw: Draw): number => oneOf(draw, [[1, draw(3)], [8, draw(10_000)]])

const askingOf = (draw: Draw, options: Options): Asking => ({
  tenant: oneOf(draw, [[6, 0], [2, 1], [1, 2]]),
  key: keyOf(draw),
  ...(options.apiKeys !== false && { apiKey: oneOf(draw, [[1, undefined], [2, apiKeyRefOf(draw)]]) })
})

const apiKeyRefOf = (draw: Draw): ApiKeyRef => ({
  of: oneOf(draw, [[14, "usable"], [3, "own"], [2, "any"], [1, "unknown"]]),
  nth: oneOf(draw, [[4, 0], [2, 1], [1, 2]])
})

const rightsOf = (draw: Draw, tenant: string): Partial<ReferenceModel.ApiKeyRights> => {
  const some = [
    "reservations:create",
    "reservations:commit",
    "reservations:release",
    "reservations:extend",
    "reservations:list",
    "balances:read"
  ].filter(() => draw(4) > 0)
  const permissions = oneOf<ReadonlyArray<string> | undefined>(draw, [
    [6, undefined],
    [3, some],
    [1, ["reservations:create", "admin:read"]],
    [1, ["admin:write"]]
  ])
  const scopeFilter = oneOf<ReadonlyArray<string> | undefined>(draw, [
    [6, undefined],
    [1, []],
    [2, ["workspace:prod"]],
    [2, ["agent:*"]],
    [2, ["workspace:prod", "workspace:dev"]],
    [2, ["workspace:prod", "agent:bot"]],
    [1, [`tenant:${tenant}`]],
    [1, ["team:a"]]
  ])
  return given({ permissions, scopeFilter })
}

/** In some of these zones a day or a week ends within the scenario's time. */
const WINDOWS: ReadonlyArray<ReferenceModel.LimitWindow> = [
  { every: "day", timeZone: "America/New_York" },
  { rollingMs: 60_000 },
  { every: "day", timeZone: "UTC" },
  { every: "week", timeZone: "Asia/Kolkata" },
  { rollingMs: 100_000 },
  { every: "month", timeZone: "Europe/Berlin" },
  { rollingMs: 3_600_000 }
]

const limitsOf = (draw: Draw): ReadonlyArray<ReferenceModel.Limit> => {
  const limit = (id: string): ReferenceModel.Limit => {
    const window = WINDOWS[oneOf(draw, [[6, 0], [6, 1], [2, 2], [2, 3], [2, 4], [1, 5], [1, 6]])] ??
      { rollingMs: 60_000 }
    const amount = oneOf(draw, [[3, 40n], [3, 20n], [2, 60n], [2, 100n], [1, INT64_MAX - 50n]])
    const rollover = oneOf(draw, [[1, undefined], [1, 10n], [1, 15n]])
    return { id, window, amount, ...("every" in window && given({ rollover })) }
  }
  const [a, b] = [limit("a"), limit("b")]
  return oneOf<ReadonlyArray<ReferenceModel.Limit>>(draw, [[2, [a]], [1, [a, b]]])
}

const hugeOf = (draw: Draw): bigint =>
  oneOf(draw, [[1, 2n ** 53n + 1n], [1, 2n ** 53n - 1n], [2, INT64_MAX], [1, INT64_MAX - 1n], [1, INT64_MAX - 20n], [
    1,
    2n ** 62n
  ]])

const invalidOf = (draw: Draw): bigint => oneOf(draw, [[1, -1n], [1, INT64_MAX + 1n]])

const near = (draw: Draw, ...of: ReadonlyArray<AmountSpec["of"]>): AmountSpec => ({
  of: of[draw(of.length)] ?? "zero",
  plus: oneOf(draw, [[3, 0n], [3, 1n], [3, -1n], [1, 7n], [1, -7n]])
})

const amountOf = (draw: Draw, ...of: ReadonlyArray<AmountSpec["of"]>): AmountSpec => {
  const small = BigInt(draw(31))
  const large = BigInt(draw(400))
  const huge = hugeOf(draw)
  const invalid = invalidOf(draw)
  const beside = near(draw, ...of)
  return oneOf<AmountSpec>(draw, [
    [12, { of: "zero", plus: small }],
    [10, beside],
    [3, { of: "zero", plus: large }],
    [2, { of: "zero", plus: huge }],
    [1, { of: "zero", plus: draw(2) === 0 ? invalid : small }]
  ])
}

const policyOf = (draw: Draw): OveragePolicy | undefined =>
  oneOf<OveragePolicy | undefined>(draw, [
    [4, undefined],
    [3, "ALLOW_IF_AVAILABLE"],
    [6, "ALLOW_WITH_OVERDRAFT"],
    [2, "REJECT"]
  ])

const referenceOf = (draw: Draw): ReservationRef => ({
  of: oneOf(draw, [[8, "active"], [6, "nearest"], [3, "own"], [3, "any"], [1, "unknown"]]),
  nth: oneOf(draw, [[4, 0], [2, 1], [1, 2], [1, 3]])
})

const budgetRefOf = (draw: Draw): BudgetRef => ({
  of: oneOf(draw, [[8, "own"], [4, "flagged"], [3, "indebted"], [2, "limited"], [1, "unknown"]]),
  nth: draw(5)
})

const sometimes = <A>(draw: Draw, weight: number, value: A): A | undefined =>
  oneOf<A | undefined>(draw, [[10 - weight, undefined], [weight, value]])

/** Some of the fields, one in so many, each as likely as another. */
const someOf = <A extends object>(draw: Draw, outOf: number, fields: A): Partial<A> =>
  Object.fromEntries(Object.entries(fields).filter(() => draw(outOf) === 0)) as Partial<A>

const TTLS: Weighted<number> = [[2, 2_000], [2, 20_000], [1, 7_200_000], [1, 90_000]]

const OVERAGES: Weighted<OveragePolicy> = [[2, "ALLOW_WITH_OVERDRAFT"], [2, "REJECT"], [1, "ALLOW_IF_AVAILABLE"]]

const capsOf = (draw: Draw): Caps =>
  someOf(draw, 2, {
    maxTokens: oneOf(draw, [[1, 500], [1, 100], [1, 0]]),
    maxStepsRemaining: oneOf(draw, [[6, 5], [3, 1], [1, 0]]),
    toolAllowlist: oneOf(draw, [[1, ["search"]], [1, ["search", "mail"]], [1, ["mail", "shell"]]]),
    toolDenylist: oneOf(draw, [[1, ["search"]], [1, ["shell", "mail"]]]),
    cooldownMs: oneOf(draw, [[1, 20], [1, 3_000]])
  })

const policySeedOf = (draw: Draw): Omit<ReferenceModel.PolicySeed, "scopePattern"> => {
  const kinds = oneOf(draw, [[2, [KINDS[draw(3)] ?? ""]], [1, []]])
  const ttl = oneOf(draw, TTLS)
  return {
    name: `policy ${draw(16)}`,
    ...someOf(draw, 3, {
      priority: draw(3),
      status: oneOf<"ACTIVE" | "DISABLED">(draw, [[2, "DISABLED"], [1, "ACTIVE"]]),
      caps: capsOf(draw),
      stateCaps: Array.from({ length: 1 + draw(2) }, () => ({
        belowShare: oneOf(draw, [[2, 0.5], [4, 1], [1, 0.2], [1, 0.333333]]),
        caps: capsOf(draw)
      })),
      overagePolicy: oneOf(draw, OVERAGES),
      defaultTtlMs: oneOf(draw, TTLS),
      maxTtlMs: ttl,
      maxExtensions: draw(3)
    }),
    ...oneOf<Partial<ReferenceModel.PolicySeed>>(draw, [
      [4, {}],
      [2, { maxReservationsPerMinute: 1 + draw(2) }],
      [2, { maxSteps: 1 + draw(3) }],
      [1, { maxReservationsPerMinute: 2, maxSteps: 3 }]
    ]),
    ...oneOf<Partial<ReferenceModel.PolicySeed>>(draw, [
      [8, {}],
      [2, { deniedActionKinds: kinds }],
      [2, { allowedActionKinds: kinds }],
      [1, { deniedActionKinds: kinds, allowedActionKinds: kinds }]
    ]),
    ...oneOf<Partial<ReferenceModel.PolicySeed>>(draw, [
      [8, {}],
      [1, { effectiveFromMs: START_MS + 20_000 }],
      [1, { effectiveUntilMs: START_MS + 20_000 }],
      [1, { effectiveFromMs: START_MS, effectiveUntilMs: START_MS + 60_000 }]
    ])
  }
}

const patternOf = (draw: Draw, tenant: string): string =>
  oneOf(draw, [
    [4, "*"],
    [6, `tenant:${tenant}/*`],
    [2, `tenant:${tenant}`],
    [2, `tenant:${tenant}/workspace:prod`],
    [2, `tenant:${tenant}/workspace:prod/*`],
    [3, "agent:*"],
    [2, "*/agent:bot"],
    [2, "workflow:*/*"],
    [1, "tenant:nobody/*"],
    [1, "team:a"]
  ])

const commandOf = (draw: Draw, options: Options): Command => {
  const tag = oneOf<Command["_tag"]>(draw, [
    [26, "Reserve"],
    [22, "Commit"],
    [6, "Release"],
    [9, "Extend"],
    [9, "Event"],
    [6, "Decide"],
    [10, "Fund"],
    [10, "Advance"],
    [18, "Repeat"],
    [4, "SetStatus"],
    [options.limits === false ? 0 : 3, "SetLimit"],
    [options.policies === false ? 0 : 7, "CreatePolicy"],
    [options.policies === false ? 0 : 4, "UpdatePolicy"],
    [options.policies === false ? 0 : 5, "DeletePolicy"],
    [options.statuses === false ? 0 : 4, "SetTenantStatus"],
    [options.apiKeys === false ? 0 : 5, "CreateApiKey"],
    [options.apiKeys === false ? 0 : 5, "UpdateApiKey"],
    [options.apiKeys === false ? 0 : 3, "RevokeApiKey"],
    [options.windows === false ? 0 : 3, "SetLimits"],
    [options.windows === false ? 0 : 3, "Limits"],
    [4, "Balances"],
    [4, "ReadReservation"],
    [5, "ListReservations"]
  ])
  const asking = askingOf(draw, options)
  const by = given({ apiKey: asking.apiKey })
  switch (tag) {
    case "Decide":
      return {
        _tag: tag,
        ...asking,
        subject: subjectOf(draw),
        unit: unitOf(draw),
        estimate: amountOf(draw, "remaining", "widest", "limit"),
        kind: draw(KINDS.length)
      }
    case "Reserve":
      return {
        _tag: tag,
        ...asking,
        subject: subjectOf(draw),
        unit: unitOf(draw),
        estimate: amountOf(draw, "remaining", "limit", "limit", "widest"),
        overagePolicy: policyOf(draw),
        ttlMs: oneOf<number | undefined>(draw, [
          [30, undefined],
          [30, 1_000],
          [16, 5_000],
          [8, 60_000],
          [4, 86_400_000],
          [1, draw(2) === 0 ? 999 : 86_400_001]
        ]),
        gracePeriodMs: oneOf<number | undefined>(draw, [[20, undefined], [16, 0], [16, 1_000], [4, 60_000], [
          1,
          60_001
        ]]),
        dryRun: oneOf<boolean | undefined>(draw, [[9, undefined], [1, false], [3, true]]),
        metadata: oneOf(draw, [[3, false], [1, true]]),
        kind: draw(KINDS.length)
      }
    case "Commit":
      return {
        _tag: tag,
        ...asking,
        reservation: referenceOf(draw),
        actual: amountOf(draw, "estimate", "cover", "cover", "beyond", "beyond", "overdraft"),
        wrongUnit: oneOf(draw, [[14, false], [1, true]]),
        metadata: oneOf(draw, [[3, false], [1, true]])
      }
    case "Release":
      return { _tag: tag, ...asking, reservation: referenceOf(draw), reason: oneOf(draw, [[2, false], [1, true]]) }
    case "Extend":
      return {
        _tag: tag,
        ...asking,
        reservation: referenceOf(draw),
        extendByMs: oneOf(draw, [[8, 1_000], [6, 1], [4, 60_000], [2, 86_400_000], [1, 0]]),
        times: oneOf(draw, [[12, 1], [2, 3], [1, 12]])
      }
    case "Event":
      return {
        _tag: tag,
        ...asking,
        subject: subjectOf(draw),
        unit: unitOf(draw),
        actual: amountOf(draw, "remaining", "widest", "limit", "overdraft"),
        overagePolicy: policyOf(draw),
        kind: draw(KINDS.length)
      }
    case "Fund": {
      const operation = oneOf<ReferenceModel.FundOperation>(draw, [
        [6, "CREDIT"],
        [4, "DEBIT"],
        [2, "RESET"],
        [2, "RESET_SPENT"],
        [3, "REPAY_DEBT"]
      ])
      const budget = budgetRefOf(draw)
      const small = BigInt(draw(20))
      const huge = hugeOf(draw)
      const spent = oneOf<bigint | undefined>(draw, [[2, undefined], [2, small], [1, huge]])
      return {
        _tag: tag,
        ...asking,
        budget: operation === "DEBIT" && draw(3) > 0 ? { ...budget, of: "flagged" } : budget,
        operation,
        amount: amountOf(draw, "remaining", "debt", "debt", "allocated"),
        spent: operation === "RESET_SPENT" ? spent : undefined
      }
    }
    case "SetStatus":
      return {
        _tag: tag,
        tenant: asking.tenant,
        budget: budgetRefOf(draw),
        status: oneOf(draw, [[14, "ACTIVE"], [6, "FROZEN"], [1, "CLOSED"]])
      }
    case "SetLimit":
      return {
        _tag: tag,
        tenant: asking.tenant,
        budget: budgetRefOf(draw),
        limit: oneOf<AmountSpec>(draw, [
          [2, { of: "debt", plus: -1n }],
          [1, { of: "debt", plus: 0n }],
          [1, { of: "zero", plus: 0n }],
          [1, { of: "zero", plus: 5n }]
        ])
      }
    case "CreatePolicy":
      return {
        _tag: tag,
        tenant: asking.tenant,
        policy: { scopePattern: patternOf(draw, tenantsOf(options)[asking.tenant] ?? ""), ...policySeedOf(draw) }
      }
    case "UpdatePolicy": {
      const { name, ...change } = policySeedOf(draw)
      return { _tag: tag, tenant: asking.tenant, nth: draw(4), change: { ...change, ...(draw(4) === 0 && { name }) } }
    }
    case "DeletePolicy":
      return { _tag: tag, tenant: asking.tenant, nth: draw(3) }
    case "SetTenantStatus":
      return {
        _tag: tag,
        tenant: asking.tenant,
        status: oneOf(draw, [[6, "ACTIVE"], [3, "SUSPENDED"], [2, "CLOSED"]])
      }
    case "CreateApiKey":
      return {
        _tag: tag,
        tenant: asking.tenant,
        rights: rightsOf(draw, tenantsOf(options)[asking.tenant] ?? ""),
        lifeMs: oneOf<number | undefined>(draw, [[4, undefined], [3, 20_000], [2, 2_000], [1, 0]])
      }
    case "UpdateApiKey":
      return {
        _tag: tag,
        tenant: asking.tenant,
        target: apiKeyRefOf(draw),
        rights: rightsOf(draw, tenantsOf(options)[asking.tenant] ?? "")
      }
    case "RevokeApiKey":
      return { _tag: tag, tenant: asking.tenant, target: apiKeyRefOf(draw) }
    case "SetLimits": {
      const limits = limitsOf(draw)
      return {
        _tag: tag,
        tenant: asking.tenant,
        budget: { ...budgetRefOf(draw), of: oneOf(draw, [[3, "limited"], [1, "own"]]) },
        limits: oneOf<ReadonlyArray<ReferenceModel.Limit>>(draw, [[5, limits], [1, []]])
      }
    }
    case "Limits":
      return { _tag: tag, tenant: asking.tenant, budget: { ...budgetRefOf(draw), of: "limited" } }
    case "Advance": {
      const from = oneOf<"now" | "expiry" | "grace" | "window" | "key">(draw, [
        [3, "now"],
        [5, "expiry"],
        [5, "grace"],
        [options.windows === false ? 0 : 4, "window"],
        [options.apiKeys === false ? 0 : 6, "key"]
      ])
      const step = oneOf(draw, [[2, 1], [4, 500], [3, 1_000], [2, 7_000], [2, 70_000]])
      const beside = oneOf(draw, [[3, 0], [4, 1], [2, -1]])
      return { _tag: tag, from, nth: oneOf(draw, [[4, 0], [1, 1]]), ms: from === "now" ? step : beside }
    }
    case "Balances":
      return {
        _tag: tag,
        tenant: asking.tenant,
        ...by,
        subject: subjectOf(draw),
        limit: oneOf<number | undefined>(draw, [[6, undefined], [2, 1], [2, 2], [1, 201]])
      }
    case "ReadReservation":
      return { _tag: tag, tenant: asking.tenant, ...by, reservation: { ...referenceOf(draw), of: oneOf(draw, READ) } }
    case "ListReservations": {
      const bound = (): number =>
        oneOf(draw, [[3, 0], [1, -1], [1, 1], [1, -1_000], [1, 1_000], [1, -10_000], [1, 60_000]])
      const [on, from, to] = [
        oneOf<Window["on"]>(draw, [[1, "created"], [1, "expires"], [2, "finalized"]]),
        sometimes(draw, 6, bound()),
        sometimes(draw, 4, bound())
      ]
      return {
        _tag: tag,
        tenant: asking.tenant,
        ...by,
        subject: oneOf<SubjectSpec>(draw, [[5, { tenant: "absent", path: 0 }], [2, subjectOf(draw)]]),
        key: sometimes(draw, 1, asking.key),
        status: sometimes(
          draw,
          3,
          oneOf<ReservationStatus>(draw, [[1, "ACTIVE"], [1, "COMMITTED"], [1, "RELEASED"], [
            1,
            "EXPIRED"
          ]])
        ),
        window: sometimes(draw, 6, { on, from, to }),
        sortBy: sometimes(draw, 5, SORTS[draw(SORTS.length)] ?? "created_at_ms"),
        sortDir: sometimes(draw, 4, draw(2) === 0 ? "asc" : "desc"),
        include: oneOf(draw, [[2, false], [1, true]]),
        limit: oneOf<number | undefined>(draw, [[6, undefined], [2, 1], [2, 2], [1, 0]])
      }
    }
    case "Repeat":
      return {
        _tag: tag,
        back: oneOf(draw, [[6, 0], [3, 1], [2, 2], [1, 3], [1, 4], [1, 6], [1, 9]]),
        twist: oneOf<Twist>(draw, [
          [8, "same"],
          [2, "reordered"],
          [3, "payload"],
          [2, "defaults"],
          [2, "tenant"],
          [6, "elsewhere"],
          [3, "flip"]
        ])
      }
  }
}

const READ: Weighted<ReservationRef["of"]> = [[4, "own"], [3, "any"], [1, "unknown"], [2, "active"]]

const SORTS: ReadonlyArray<SortBy> = [
  "created_at_ms",
  "reservation_id",
  "tenant",
  "scope_path",
  "status",
  "reserved",
  "expires_at_ms"
]

const budgetOf = (draw: Draw, options: Options, root?: string): ReferenceModel.BudgetSeed => {
  const tenant = root ?? tenantsOf(options)[oneOf(draw, [[6, 0], [2, 1], [1, 2]])] ?? ""
  const huge = hugeOf(draw)
  const allocated = oneOf(draw, [[4, 50n], [4, 100n], [2, 20n], [1, 0n], [3, 1_000n], [2, huge]])
  const overdraftLimit = oneOf(draw, [[5, 0n], [2, 20n], [2, 100n], [1, 5n], [1, INT64_MAX]])
  const status = oneOf<ReferenceModel.BudgetStatus>(draw, [[36, "ACTIVE"], [2, "FROZEN"], [1, "CLOSED"]])
  const debt = oneOf(draw, [[8, 0n], [1, 3n], [1, 10n]])
  const limits = limitsOf(draw)
  const isLimited = draw(3) === 0 && options.windows !== false
  const below = BUDGETED[oneOf(draw, [[2, 0], [4, 1], [4, 2], [2, 3], [2, 4], [1, 5], [2, 6]])] ?? ""
  return {
    tenant,
    scope: `tenant:${tenant}${root === undefined ? below : ""}`,
    unit: root === undefined ? oneOf(draw, [[3, "TOKENS"], [2, "USD_MICROCENTS"]]) : "TOKENS",
    allocated,
    ...(overdraftLimit > 0n && { overdraftLimit }),
    ...(status !== "ACTIVE" && { status }),
    ...(options.seededDebt !== false && debt > 0n && { debt }),
    ...(isLimited && { limits })
  }
}

const defaultsOf = (draw: Draw, tenant: string): ReferenceModel.TenantDefaults | undefined =>
  draw(3) > 0 ? undefined : {
    tenant,
    ...someOf(draw, 2, {
      overagePolicy: oneOf(draw, OVERAGES),
      defaultTtlMs: oneOf(draw, TTLS),
      maxTtlMs: oneOf(draw, TTLS),
      maxExtensions: draw(3)
    })
  }

const scenarioOf = (
  tenants: number,
  budgets: ReadonlyArray<ReferenceModel.BudgetSeed>,
  maxExtensions: number,
  defaults: ReadonlyArray<ReferenceModel.TenantDefaults | undefined>,
  commands: ReadonlyArray<Command>,
  options: Options
): Scenario => {
  const names = tenantsOf(options).slice(0, tenants)
  const isFirst = (budget: ReferenceModel.BudgetSeed, i: number): boolean =>
    budgets.findIndex((other) => other.scope === budget.scope && other.unit === budget.unit) === i
  return {
    tenants: names,
    budgets: budgets.filter((budget, i) => names.includes(budget.tenant) && isFirst(budget, i)),
    maxExtensions: options.maxExtensions ?? maxExtensions,
    defaults: options.defaults === false
      ? []
      : defaults.filter((one) => one !== undefined).filter(({ tenant }) => names.includes(tenant)),
    commands
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// generators
// ---------------------------------------------------------------------------------------------------------------------

/** A small generator of pseudo-random numbers (mulberry32), the same everywhere. */
const mulberry32 = (seed: number): Draw => {
  let state = seed | 0
  return (n) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor(((t ^ (t >>> 14)) >>> 0) / 4_294_967_296 * n)
  }
}

/**
 * The scenario of a seed: `length` commands. The same seed gives the same scenario on every machine.
 *
 * @category generators
 * @since 0.1.0
 */
export const generate = (seed: number, length: number, options: Options = {}): Scenario => {
  const draw = mulberry32(seed)
  const tenants = 2 + draw(2)
  const budgets = [
    ...tenantsOf(options).slice(0, tenants).flatMap((tenant) => draw(5) === 0 ? [] : [budgetOf(draw, options, tenant)]),
    ...Array.from({ length: 1 + draw(6) }, () => budgetOf(draw, options))
  ]
  const maxExtensions = oneOf(draw, [[2, 10], [1, 2], [1, 1]])
  // Keys in every third, since what they may not do would keep much else from happening; there, from the beginning.
  const apiKeys = options.apiKeys !== false && seed % 3 === 0
  const defaults = tenantsOf(options).map((tenant, i) =>
    defaultsOf(draw, tenant) ?? (apiKeys && i < 2 ? { tenant } : undefined)
  )
  // Policies in every other scenario only, for where much is denied little else happens; there, from the beginning.
  const policies = options.policies !== false && seed % 2 === 0
  const commands = Array.from({ length }, (_, i): Command =>
    policies && i < 3
      ? { _tag: "CreatePolicy", tenant: 0, policy: { scopePattern: i === 0 ? "*" : "agent:*", ...policySeedOf(draw) } }
      : commandOf(draw, { ...options, policies, apiKeys }))
  if (policies) budgets.unshift({ tenant: "acme", scope: "tenant:acme", unit: "TOKENS", allocated: 1_000n })
  return scenarioOf(tenants, budgets, maxExtensions, defaults, commands, options)
}

const fromNumbers = <A>(length: number, decode: (draw: Draw) => A): Arbitrary.Arbitrary<A> => {
  const number = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_519 })))
  return Arbitrary.map(Arbitrary.all(Array.from({ length }, () => number)), (numbers) => {
    let at = 0
    return decode((n) => (numbers[at++] ?? 0) % n)
  })
}

/**
 * Scenarios that shrink: commands are left out, and what is left becomes simpler.
 *
 * The number of commands follows the `size` of the check, so give one: `{ arbitrary: { size: 40, runs: 100 } }`.
 *
 * @category generators
 * @since 0.1.0
 */
export const makeArbitrary = (options: Options = {}): Arbitrary.Arbitrary<Scenario> =>
  Arbitrary.map(
    Arbitrary.all({
      tenants: Arbitrary.schema(Schema.Literals([2, 3])),
      roots: Arbitrary.all(
        tenantsOf(options).map((tenant) => fromNumbers(18, (draw) => budgetOf(draw, options, tenant)))
      ),
      budgets: Arbitrary.array(fromNumbers(20, (draw) => budgetOf(draw, options)), { maxLength: 8 }),
      maxExtensions: Arbitrary.schema(Schema.Literals([10, 2, 1])),
      defaults: Arbitrary.all(tenantsOf(options).map((tenant) => fromNumbers(12, (draw) => defaultsOf(draw, tenant)))),
      commands: Arbitrary.array(fromNumbers(80, (draw) => commandOf(draw, options)))
    }),
    ({ budgets, commands, defaults, maxExtensions, roots, tenants }) =>
      scenarioOf(tenants, [...roots, ...budgets], maxExtensions, defaults, commands, options)
  )

/**
 * {@link makeArbitrary} with everything in it.
 *
 * @category generators
 * @since 0.1.0
 */
export const arbitrary: Arbitrary.Arbitrary<Scenario> = makeArbitrary()

// ---------------------------------------------------------------------------------------------------------------------
// from commands to operations
// ---------------------------------------------------------------------------------------------------------------------

/**
 * One operation at one time (Unix milliseconds).
 *
 * @category models
 * @since 0.1.0
 */
export interface Step {
  readonly operation: ReferenceModel.Operation
  readonly now: number
}

/**
 * A step, what it came to, and the ids its reply brought.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry extends Step {
  readonly ids: ReferenceModel.NewIds
  readonly outcome: ReferenceModel.Outcome
}

/**
 * Turns the commands of a scenario into steps, one command after the other, with the model at its side.
 *
 * For each command, take its steps (none for one that only lets time pass or finds nothing to do, several for a burst), do
 * each to the authority at the time of the step, and ask `expect` what should have come of it, with the ids that did:
 * {@link idsOf} finds them in the outcome.
 *
 * @category models
 * @since 0.1.0
 */
export interface Driver {
  readonly state: ReferenceModel.State
  readonly steps: (command: Command) => ReadonlyArray<Step>
  readonly expect: (step: Step, ids: ReferenceModel.NewIds) => ReferenceModel.Outcome
}

/**
 * The ids an outcome brought; made up from `n` where it brought none.
 *
 * @category getters
 * @since 0.1.0
 */
export const idsOf = (outcome: ReferenceModel.Outcome | undefined, n: number): ReferenceModel.NewIds => {
  const value: object = outcome?._tag === "Success" ? outcome.value : {}
  const { apiKeyId, eventId, policyId, reservationId } = value as Partial<ReferenceModel.NewIds>
  const suffix = String(n).padStart(6, "0")
  return {
    reservationId: reservationId ?? ReservationId.make(`reservation-${suffix}`),
    eventId: eventId ?? EventId.make(`event-${suffix}`),
    policyId: policyId ?? `policy-${suffix}`,
    apiKeyId: apiKeyId ?? `key-${suffix}`
  }
}

/** Fields that are `undefined` are absent. */
const given = <A extends object>(fields: A): { [K in keyof A]: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof A]: Exclude<A[K], undefined>
  }

const reversed = <A>(value: A): A =>
  typeof value !== "object" || value === null || Array.isArray(value)
    ? value
    : Object.fromEntries(Object.entries(value).map(([name, field]) => [name, reversed(field)]).toReversed()) as A

/**
 * @category constructors
 * @since 0.1.0
 */
export const makeDriver = (scenario: Scenario): Driver => {
  const model = ReferenceModel.makeModel({ maxExtensions: scenario.maxExtensions })
  const state = model.initial(scenario.budgets, START_MS, scenario.defaults)
  const history: Array<ReferenceModel.Operation> = []
  let now = START_MS

  const tenantAt = (index: number): string => scenario.tenants[index % scenario.tenants.length] ?? "acme"
  const keyAt = (key: number, time = 0): IdempotencyKey =>
    IdempotencyKey.make(`key-${key}${time === 0 ? "" : `.${time}`}`)

  const subject = (tenant: number, spec: SubjectSpec): Subject => {
    const below = paths[spec.path] ?? {}
    if (spec.tenant === "absent") return below
    return { ...below, tenant: spec.tenant === "own" ? tenantAt(tenant) : tenantAt(tenant + 1) }
  }

  /** The budgets a subject's path meets; more than exact scope derivation is not needed to aim an amount. */
  const budgetsOf = (tenant: number, spec: SubjectSpec, unit: Unit): Array<ReferenceModel.Budget> => {
    const { dimensions: _, ...levels } = paths[spec.path] ?? {}
    const present = new Set([
      `tenant:${tenantAt(tenant)}`,
      ...Object.entries(levels).map(([level, at]) => `${level}:${at}`)
    ])
    return state.budgets.filter((b) => b.unit === unit && b.scope.split("/").every((segment) => present.has(segment)))
  }

  const nthFromLast = <A>(choices: ReadonlyArray<A>, nth: number): A | undefined =>
    choices.at(-1 - (nth % Math.max(1, choices.length)))

  const reservation = (tenant: number, ref: ReservationRef): ReferenceModel.Reservation | undefined => {
    if (ref.of === "unknown") return undefined
    const own = state.reservations.filter((r) => r.tenant === tenantAt(tenant))
    const active = own.filter((r) => r.status === "ACTIVE")
    if (ref.of === "any") return nthFromLast(state.reservations, ref.nth)
    if (ref.of === "own" || active.length === 0) return nthFromLast(own, ref.nth)
    if (ref.of === "active") return nthFromLast(active, ref.nth)
    const distance = (r: ReferenceModel.Reservation): number =>
      Math.min(Math.abs(r.expiresAtMs - now), Math.abs(r.expiresAtMs + r.graceMs - now))
    return active.sort((a, b) => distance(a) - distance(b))[ref.nth % active.length]
  }

  /** No id where there is nothing to name: the command is left out. */
  const ids = (tenant: number, ref: ReservationRef): ReadonlyArray<ReservationId> =>
    ref.of === "unknown"
      ? [ReservationId.make("no-such-reservation")]
      : [reservation(tenant, ref)].flatMap((r) => r?.id ?? [])

  const amount = (spec: AmountSpec, budgets: ReadonlyArray<ReferenceModel.Budget>, estimate = 0n): bigint => {
    if (spec.of === "zero") return spec.plus
    const least = (ns: ReadonlyArray<bigint>): bigint => ns.length === 0 ? 0n : ns.reduce((a, b) => a < b ? a : b)
    const left = budgets.map(ReferenceModel.remaining).map((n) => n < 0n ? 0n : n)
    const most = left.reduce((a, b) => a > b ? a : b, 0n)
    const limits = budgets.flatMap((b) => model.limits(state, b, now)).map((limit) => limit.remaining)
    const room = budgets.filter((b) => b.overdraftLimit > 0n).map((b) => b.overdraftLimit - b.debt)
    const base = {
      remaining: least(left),
      widest: most,
      estimate,
      cover: estimate + least(left),
      beyond: estimate + most,
      overdraft: estimate + least(left) + least(room),
      debt: budgets[0]?.debt ?? 0n,
      allocated: budgets[0]?.allocated ?? 0n,
      limit: least(limits.length > 0 ? limits : left)
    }[spec.of]
    return base + spec.plus < 0n ? 0n : base + spec.plus
  }

  const budgetAt = (tenant: number, ref: BudgetRef): ReferenceModel.Budget | undefined => {
    if (ref.of === "unknown") return undefined
    const own = state.budgets.filter((b) => b.tenant === tenantAt(tenant))
    const flagged = own.filter((b) => b.capped)
    const ready = flagged.filter((b) => ReferenceModel.remaining(b) > 0n)
    const special = {
      own: [],
      flagged: ready.length > 0 ? ready : flagged,
      indebted: own.filter((b) => b.debt > 0n),
      limited: own.filter((b) => b.limits.length > 0)
    }[ref.of]
    return nthFromLast(special.length > 0 ? special : own, ref.nth)
  }

  const apiKeyId = (tenant: number, { nth, of }: ApiKeyRef): string | undefined => {
    if (of === "unknown") return "no-such-key"
    const own = state.apiKeys.filter((key) => key.tenant === tenantAt(tenant))
    const usable = own.filter((key) => !key.isRevoked && now < key.expiresAtMs)
    return nthFromLast(of === "any" ? state.apiKeys : of === "usable" ? usable : own, nth)?.id
  }

  const twisted = (op: ReferenceModel.Operation, twist: Twist): ReferenceModel.Operation => {
    switch (twist) {
      case "same":
        return op
      case "reordered":
        return "request" in op ? { ...op, request: reversed(op.request) } as ReferenceModel.Operation : op
      case "tenant":
        return op._tag === "Fund" ? op : { ...op, tenant: tenantAt(scenario.tenants.indexOf(op.tenant) + 1) }
      case "payload": {
        const more = (a: AnyAmount): AnyAmount => ({ ...a, amount: a.amount + 1n })
        switch (op._tag) {
          case "Decide":
            return { ...op, request: { ...op.request, estimate: more(op.request.estimate) } }
          case "Reserve":
            return { ...op, request: { ...op.request, estimate: more(op.request.estimate) } }
          case "Commit":
            return { ...op, request: { ...op.request, actual: more(op.request.actual) } }
          case "Event":
            return { ...op, request: { ...op.request, actual: more(op.request.actual) } }
          case "Release":
            return { ...op, request: { ...op.request, reason: `${op.request.reason ?? ""}!` } }
          case "Extend":
            return { ...op, request: { ...op.request, extendByMs: op.request.extendByMs + 1 } }
          case "Fund":
            return { ...op, request: { ...op.request, amount: op.request.amount + 1n } }
          default:
            return op
        }
      }
      case "defaults":
        switch (op._tag) {
          case "Reserve":
            return { ...op, request: { ttlMs: 60_000, gracePeriodMs: 5_000, dryRun: false, ...op.request } }
          case "Event":
            return { ...op, request: { overagePolicy: "ALLOW_IF_AVAILABLE", ...op.request } }
          default:
            return op
        }
      case "elsewhere":
        if (op._tag === "UpdatePolicy" || op._tag === "DeletePolicy") return op
        if (op._tag === "UpdateApiKey" || op._tag === "RevokeApiKey") return op
        if (op._tag === "Fund") {
          const other = state.budgets.find((b) =>
            b.tenant === op.tenant && (b.scope !== op.scope || b.unit !== op.unit)
          )
          return { ...op, scope: other?.scope ?? op.scope, unit: other?.unit ?? op.unit }
        }
        if (!("id" in op)) return op
        return { ...op, id: state.reservations.findLast((r) => r.tenant === op.tenant && r.id !== op.id)?.id ?? op.id }
      case "flip":
        switch (op._tag) {
          case "Reserve":
            return { ...op, request: { ...op.request, dryRun: op.request.dryRun !== true } }
          case "Decide":
            return { ...op, _tag: "Reserve" }
          case "Commit":
          case "Extend":
            return { ...op, _tag: "Release", request: { idempotencyKey: op.request.idempotencyKey } }
          case "Release": {
            const { idempotencyKey } = op.request
            return { ...op, _tag: "Extend", request: { idempotencyKey, extendByMs: 1_000 } }
          }
          case "Event": {
            const { action, actual, idempotencyKey, subject } = op.request
            return { ...op, _tag: "Decide", request: { idempotencyKey, subject, action, estimate: actual } }
          }
          default:
            return op
        }
    }
  }

  const operations = (command: Command): ReadonlyArray<ReferenceModel.Operation> => {
    switch (command._tag) {
      case "Advance": {
        const deadline = (r: ReferenceModel.Reservation): number =>
          r.expiresAtMs + (command.from === "grace" ? r.graceMs : 0)
        const ends = (command.from === "window"
          ? [...model.reopenings(state, now)]
          : command.from === "key"
          ? state.apiKeys.map(({ expiresAtMs }) => expiresAtMs)
          : state.reservations.filter((r) => r.status === "ACTIVE").map(deadline))
          .filter((end) => end + command.ms > now).sort((a, b) => a - b)
        const to = (command.from === "now" ? now : ends[command.nth % Math.max(1, ends.length)] ?? now) + command.ms
        if (to > now && to <= LATEST_MS) now = to
        return []
      }
      case "Repeat": {
        const earlier = history.at(-1 - (command.back % Math.max(1, history.length)))
        return earlier === undefined ? [] : [twisted(earlier, command.twist)]
      }
      case "SetStatus": {
        // CLOSED is for good, and freezing what is frozen is not this suite's business.
        const budget = budgetAt(command.tenant, command.budget)
        if (budget === undefined || budget.status === "CLOSED" || budget.status === command.status) return []
        const { scope, unit } = budget
        return [{ _tag: "SetStatus", tenant: tenantAt(command.tenant), scope, unit, status: command.status }]
      }
      case "SetLimit": {
        const budget = budgetAt(command.tenant, command.budget)
        if (budget === undefined) return []
        const overdraftLimit = amount(command.limit, [budget])
        if (overdraftLimit >= budget.overdraftLimit || budget.status !== "ACTIVE") return []
        const { scope, unit } = budget
        return [{ _tag: "SetLimit", tenant: tenantAt(command.tenant), scope, unit, overdraftLimit }]
      }
    }
    const tenant = tenantAt(command.tenant)
    switch (command._tag) {
      case "SetTenantStatus":
        return [{ _tag: "SetTenantStatus", tenant, status: command.status }]
      case "CreateApiKey": {
        const expiresAtMs = command.lifeMs === undefined ? undefined : now + command.lifeMs
        return [{ _tag: "CreateApiKey", tenant, rights: command.rights, ...given({ expiresAtMs }) }]
      }
      case "UpdateApiKey":
      case "RevokeApiKey": {
        const id = apiKeyId(command.tenant, command.target) ?? "no-such-key"
        return command._tag === "UpdateApiKey"
          ? [{ _tag: "UpdateApiKey", tenant, id, rights: command.rights }]
          : [{ _tag: "RevokeApiKey", tenant, id }]
      }
      case "CreatePolicy":
        return [{ _tag: "CreatePolicy", tenant, policy: command.policy }]
      case "UpdatePolicy":
      case "DeletePolicy": {
        const id = nthFromLast(state.policies, command.nth)?.id ?? "no-such-policy"
        return command._tag === "UpdatePolicy"
          ? [{ _tag: "UpdatePolicy", tenant, id, change: command.change }]
          : [{ _tag: "DeletePolicy", tenant, id }]
      }
      case "SetLimits":
      case "Limits": {
        const budget = budgetAt(command.tenant, command.budget)
        if (budget === undefined) return []
        const { scope, unit } = budget
        if (command._tag === "Limits") return [{ _tag: "Limits", tenant, scope, unit }]
        return [{ _tag: "SetLimits", tenant, scope, unit, limits: command.limits }]
      }
      case "Decide":
      case "Reserve":
      case "Event": {
        const budgets = budgetsOf(command.tenant, command.subject, command.unit)
        const sum = amount(command._tag === "Event" ? command.actual : command.estimate, budgets)
        const quantity: AnyAmount = { unit: command.unit, amount: sum }
        const common = {
          idempotencyKey: keyAt(command.key),
          subject: subject(command.tenant, command.subject),
          action: actionOf(command.kind)
        }
        if (command._tag === "Decide") return [{ _tag: "Decide", tenant, request: { ...common, estimate: quantity } }]
        const { overagePolicy } = command
        if (command._tag === "Event") {
          return [{ _tag: "Event", tenant, request: { ...common, actual: quantity, ...given({ overagePolicy }) } }]
        }
        const { dryRun, gracePeriodMs, ttlMs } = command
        const metadata = command.metadata ? { of: "reserve", key: command.key } : undefined
        return [{
          _tag: "Reserve",
          tenant,
          request: {
            ...common,
            estimate: quantity,
            ...given({ overagePolicy, ttlMs, gracePeriodMs, dryRun, metadata })
          }
        }]
      }
      case "Commit": {
        const r = reservation(command.tenant, command.reservation)
        const unit = r?.estimate.unit ?? "TOKENS"
        const actual: AnyAmount = {
          unit: command.wrongUnit ? UNITS.find((other) => other !== unit) ?? unit : unit,
          amount: amount(command.actual, r?.budgets ?? [], r?.estimate.amount)
        }
        const metadata = command.metadata ? { of: "commit", key: command.key } : undefined
        const request = { idempotencyKey: keyAt(command.key), actual, ...given({ metadata }) }
        return ids(command.tenant, command.reservation).map((id) => ({ _tag: "Commit", tenant, id, request }))
      }
      case "Release": {
        const request = { idempotencyKey: keyAt(command.key), ...(command.reason && { reason: "changed my mind" }) }
        return ids(command.tenant, command.reservation).map((id) => ({ _tag: "Release", tenant, id, request }))
      }
      case "Extend": {
        const { extendByMs } = command
        return ids(command.tenant, command.reservation).flatMap((id) =>
          Array.from({ length: command.times }, (_, i) => ({
            _tag: "Extend" as const,
            tenant,
            id,
            request: { idempotencyKey: keyAt(command.key, i), extendByMs }
          }))
        )
      }
      case "Fund": {
        const budget = budgetAt(command.tenant, command.budget)
        const { operation, spent } = command
        return [{
          _tag: "Fund",
          tenant,
          scope: budget?.scope ?? `tenant:${tenant}/workspace:unheard-of`,
          unit: budget?.unit ?? "TOKENS",
          request: {
            idempotencyKey: keyAt(command.key),
            operation,
            amount: amount(command.amount, budget === undefined ? [] : [budget]),
            ...given({ spent })
          }
        }]
      }
      case "Balances": {
        const { dimensions: _, ...levels } = subject(command.tenant, command.subject)
        const query: BalancesQuery = { ...levels, ...given({ limit: command.limit }) }
        return [{ _tag: "Balances", tenant, query }]
      }
      case "ReadReservation":
        return ids(command.tenant, command.reservation).map((id) => ({ _tag: "ReadReservation", tenant, id }))
      case "ListReservations": {
        const { dimensions: _, ...levels } = subject(command.tenant, command.subject)
        const { limit, sortBy, sortDir, status, window } = command
        const at = (ms: number | undefined): number | undefined => ms === undefined ? undefined : now + ms
        const query: ReservationsQuery = {
          ...levels,
          ...given({
            limit,
            sortBy,
            sortDir,
            status,
            idempotencyKey: command.key === undefined ? undefined : keyAt(command.key),
            [`${window?.on ?? "created"}FromMs`]: at(window?.from),
            [`${window?.on ?? "created"}ToMs`]: at(window?.to)
          }),
          ...(command.include && { include: ["metadata", "committed_metadata"] })
        }
        return [{ _tag: "ListReservations", tenant, query }]
      }
    }
  }

  return {
    state,
    steps: (command) => {
      const id = "apiKey" in command && command.apiKey !== undefined && command._tag !== "Fund"
        ? apiKeyId(command.tenant, command.apiKey)
        : undefined
      const found = operations(command).map((operation): ReferenceModel.Operation =>
        id === undefined ? operation : { ...operation, apiKeyId: id }
      )
      history.push(...found.filter((operation) => "request" in operation))
      return found.map((operation) => ({ operation, now }))
    },
    expect: (step, ids) => model.apply(state, step.operation, step.now, ids)
  }
}

/**
 * What comes of a scenario by the model alone.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (scenario: Scenario): ReadonlyArray<Entry> => {
  const driver = makeDriver(scenario)
  const entries: Array<Entry> = []
  for (const command of scenario.commands) {
    for (const step of driver.steps(command)) {
      const ids = idsOf(undefined, entries.length)
      entries.push({ ...step, ids, outcome: driver.expect(step, ids) })
    }
  }
  return entries
}

/**
 * The index of the first entry in which a model parts from what was recorded, or `undefined` if it never does.
 *
 * Record once, from the authority; then every broken model must part from the record of some scenario.
 *
 * @category running
 * @since 0.1.0
 */
export const disagreement = (
  scenario: Scenario,
  entries: ReadonlyArray<Entry>,
  model: ReferenceModel.Model,
  options?: { readonly ignore?: ReadonlyArray<string> }
): number | undefined => {
  const state = model.initial(scenario.budgets, START_MS, scenario.defaults)
  const at = entries.findIndex(({ ids, now, operation, outcome }) =>
    !ReferenceModel.agrees(model.apply(state, operation, now, ids), outcome, options)
  )
  return at === -1 ? undefined : at
}
