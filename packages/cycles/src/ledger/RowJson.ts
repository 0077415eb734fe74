/**
 * Rows as compact JSON texts and back, for stores that keep a row in one column beside the columns they search by.
 *
 * Every amount comes back exactly, as do `bigint`s in free JSON (metadata, custom metrics, details). What JSON itself leaves out is
 * left out: members that are `undefined`, and the sign of −0. A text begins with the version of its form, so that a later
 * one can tell it apart; decoding throws where it cannot read a text.
 *
 * **Example** (A counter there and back)
 *
 * ```ts
 * import { RowJson } from "effect-cycles"
 *
 * const text = RowJson.counter.encode({
 *   tenant: "acme",
 *   id: "steps/run-1",
 *   used: 9_223_372_036_854_775_807n,
 *   held: 0n,
 *   carried: 0n,
 *   keepUntilMs: 1_000
 * })
 *
 * console.log(text) // => [1,"acme","steps/run-1","9223372036854775807","0","0",1000]
 * console.log(RowJson.counter.decode(text).used) // => 9223372036854775807n
 * ```
 *
 * @since 0.1.0
 */
import type { Action } from "../protocol/Action.ts"
import type { AnyAmount, Unit } from "../protocol/Amount.ts"
import type { Balance } from "../protocol/Balance.ts"
import type { Caps } from "../protocol/Caps.ts"
import type { EventId, IdempotencyKey, ReservationId } from "../protocol/Ids.ts"
import type { JsonObject, Metrics } from "../protocol/Metrics.ts"
import type { OveragePolicy } from "../protocol/OveragePolicy.ts"
import type { ReservationStatus } from "../protocol/ReservationRecord.ts"
import type { Subject } from "../protocol/Subject.ts"
import type {
  Act,
  ActorType,
  ApiKeyRow,
  BudgetPeriod,
  BudgetRow,
  BudgetStatus,
  CounterRow,
  Details,
  Document,
  Entry,
  EntryKind,
  Figures,
  FiguresChange,
  IdempotencyRow,
  LedgerEvent,
  Limit,
  Operation,
  Pace,
  PolicyRow,
  Reply,
  ReservationRow,
  StateCaps,
  TenantProfile,
  TenantRow,
  Window
} from "./Model.ts"
import { recordKey } from "./Model.ts"

/**
 * Turns rows of one kind into texts and back. `decode` throws a `RangeError` for a text of a later version, and a `SyntaxError` or
 * `TypeError` for one that `encode` never made.
 *
 * @category models
 * @since 0.1.0
 */
export interface RowCodec<Row> {
  readonly encode: (row: Row) => string
  readonly decode: (text: string) => Row
}

const VERSION = 1

/** The members of a text in the order they were written; what `encode` of the same kind wrote is what is read. */
const read = <Members extends ReadonlyArray<unknown>>(text: string): readonly [number, ...Members] => {
  const members = JSON.parse(text) as readonly [number, ...Members]
  if (members[0] !== VERSION) {
    throw new RangeError(
      `A row is in the form ${
        members[0]
      }, and this version reads ${VERSION} only. Use the version of effect-cycles that wrote it, or a later one.`
    )
  }
  return members
}

/** An absent member, which JSON has as `null` in an array. */
type Absent = null | undefined

// free JSON

const hasBigInt = (value: unknown): boolean => {
  if (typeof value === "bigint") return true
  if (typeof value !== "object" || value === null) return false
  if (Array.isArray(value)) return value.some(hasBigInt)
  // `for … in` would be quicker, and see inherited members that are not written.
  return Object.values(value).some(hasBigInt)
}

/** Every text marked as one, so that a number written as a text cannot be taken for a text. */
const mark = (value: unknown): unknown => {
  if (typeof value === "bigint") return `n${value}`
  if (typeof value === "string") return `s${value}`
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(mark)
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, mark(member)]))
}

const unmark = (value: unknown): unknown => {
  if (typeof value === "string") return value.startsWith("n") ? BigInt(value.slice(1)) : value.slice(1)
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(unmark)
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, unmark(member)]))
}

/** A free object as it is, or in an array, which no object is, where its texts had to be marked. */
type Free = JsonObject | readonly [unknown] | Absent

const free = (value: JsonObject | undefined): Free =>
  value === undefined ? undefined : hasBigInt(value) ? [mark(value)] : value

const isMarked = (value: JsonObject | readonly [unknown]): value is readonly [unknown] => Array.isArray(value)

// An object went in, marked or not.
const unfree = (value: Free): JsonObject | undefined =>
  value === null || value === undefined ? undefined : isMarked(value) ? unmark(value[0]) as JsonObject : value

type MetricsJson = Omit<Metrics, "custom"> & { readonly custom?: Free }

const metricsJson = (metrics: Metrics | undefined): MetricsJson | Absent =>
  metrics?.custom === undefined ? metrics : { ...metrics, custom: free(metrics.custom) }

const unmetrics = (metrics: MetricsJson | Absent): Metrics | undefined => {
  if (metrics === null || metrics === undefined) return undefined
  const { custom, ...standard } = metrics
  const object = unfree(custom)
  return object === undefined ? standard : { ...standard, custom: object }
}

// amounts

const amountJson = ({ amount, unit }: { readonly unit: Unit; readonly amount: bigint }): string => `${amount} ${unit}`

// A unit and its amount, as `amountJson` was given them.
const unamount = (text: string): AnyAmount => {
  const space = text.indexOf(" ")
  return { unit: text.slice(space + 1), amount: BigInt(text.slice(0, space)) } as AnyAmount
}

const optionalBigInt = (value: string | Absent): bigint | undefined =>
  value === null || value === undefined ? undefined : BigInt(value)

// tenants

type ProfileJson = readonly [
  name: string,
  status: TenantProfile["status"],
  parent: string | Absent,
  overagePolicy: OveragePolicy | Absent,
  defaultTtlMs: number | Absent,
  maxTtlMs: number | Absent,
  maxExtensions: number | Absent,
  metadata: Free,
  createdAtMs: number,
  updatedAtMs: number,
  suspendedAtMs: number | Absent,
  closedAtMs: number | Absent,
  expiryPolicy: TenantProfile["expiryPolicy"] | Absent
]

const profileJson = (profile: TenantProfile): ProfileJson => [
  profile.name,
  profile.status,
  profile.parent,
  profile.overagePolicy,
  profile.defaultTtlMs,
  profile.maxTtlMs,
  profile.maxExtensions,
  free(profile.metadata),
  profile.createdAtMs,
  profile.updatedAtMs,
  profile.suspendedAtMs,
  profile.closedAtMs,
  profile.expiryPolicy
]

const unprofile = (members: ProfileJson): TenantProfile => ({
  name: members[0],
  status: members[1],
  parent: members[2] ?? undefined,
  overagePolicy: members[3] ?? undefined,
  defaultTtlMs: members[4] ?? undefined,
  maxTtlMs: members[5] ?? undefined,
  maxExtensions: members[6] ?? undefined,
  metadata: unfree(members[7]),
  createdAtMs: members[8],
  updatedAtMs: members[9],
  suspendedAtMs: members[10] ?? undefined,
  closedAtMs: members[11] ?? undefined,
  expiryPolicy: members[12] ?? undefined
})

type TenantJson = readonly [
  tenant: string,
  lastTimeMs: number,
  lastEntry: number,
  lastEvent: number,
  deliveredEvent: number,
  lastAct: number,
  profile: ProfileJson | Absent,
  lastBatch: string | Absent
]

/**
 * @category codecs
 * @since 0.1.0
 */
export const tenant: RowCodec<TenantRow> = {
  encode: (row) => {
    const members: TenantJson = [
      row.tenant,
      row.lastTimeMs,
      row.lastEntry,
      row.lastEvent,
      row.deliveredEvent,
      row.lastAct,
      row.profile === undefined ? undefined : profileJson(row.profile),
      row.lastBatch
    ]
    return JSON.stringify([VERSION, ...members])
  },
  decode: (text) => {
    const [, name, lastTimeMs, lastEntry, lastEvent, deliveredEvent, lastAct, profile, lastBatch] = read<TenantJson>(
      text
    )
    return {
      tenant: name,
      lastTimeMs,
      lastEntry,
      lastEvent,
      deliveredEvent,
      lastAct,
      lastBatch: lastBatch ?? undefined,
      profile: profile === null || profile === undefined ? undefined : unprofile(profile)
    }
  }
}

// budgets

type LimitJson = readonly [id: string, window: Window, amount: string, rollover: string | Absent]

type BudgetJson = readonly [
  tenant: string,
  scope: string,
  unit: Unit,
  allocated: string,
  spent: string,
  reserved: string,
  debt: string,
  overdraftLimit: string,
  capped: boolean,
  status: BudgetStatus,
  lastEntry: number,
  limits: ReadonlyArray<LimitJson> | Absent,
  overagePolicy: OveragePolicy | Absent,
  metadata: Free,
  createdAtMs: number,
  updatedAtMs: number,
  lastDenial: number | Absent,
  id: string,
  pace: PaceJson | Absent,
  period: PeriodJson | Absent
]

type PeriodJson = readonly [
  rollover: BudgetPeriod["rollover"] | Absent,
  startMs: number | Absent,
  endMs: number | Absent
]

const none: ReadonlyArray<never> = []

type PaceJson = readonly [window: number, spent: string, dozen: string, dozenBefore: string]

const paceJson = ({ dozen, dozenBefore, spent, window }: Pace): PaceJson => [
  window,
  spent.toString(),
  dozen.toString(),
  dozenBefore.toString()
]

const unpace = (members: PaceJson | Absent): Pace | undefined =>
  members === null || members === undefined
    ? undefined
    : {
      window: members[0],
      spent: BigInt(members[1]),
      dozen: BigInt(members[2]),
      dozenBefore: BigInt(members[3])
    }

const periodJson = ({ endMs, rollover, startMs }: BudgetPeriod): PeriodJson => [rollover, startMs, endMs]

const unperiod = (members: PeriodJson | Absent): BudgetPeriod | undefined =>
  members === null || members === undefined
    ? undefined
    : {
      rollover: members[0] ?? undefined,
      startMs: members[1] ?? undefined,
      endMs: members[2] ?? undefined
    }

const limitJson = (limit: Limit): LimitJson => [
  limit.id,
  limit.window,
  limit.amount.toString(),
  limit.rollover?.toString()
]

const unlimit = ([id, window, amount, rollover]: LimitJson): Limit => ({
  id,
  window,
  amount: BigInt(amount),
  rollover: optionalBigInt(rollover)
})

/**
 * @category codecs
 * @since 0.1.0
 */
export const budget: RowCodec<BudgetRow> = {
  encode: (row) => {
    const members: BudgetJson = [
      row.tenant,
      row.scope,
      row.unit,
      row.allocated.toString(),
      row.spent.toString(),
      row.reserved.toString(),
      row.debt.toString(),
      row.overdraftLimit.toString(),
      row.capped,
      row.status,
      row.lastEntry,
      row.limits.length === 0 ? undefined : row.limits.map(limitJson),
      row.overagePolicy,
      free(row.metadata),
      row.createdAtMs,
      row.updatedAtMs,
      row.lastDenial,
      row.id,
      row.pace === undefined ? undefined : paceJson(row.pace),
      row.period === undefined ? undefined : periodJson(row.period)
    ]
    return JSON.stringify([VERSION, ...members])
  },
  decode: (text) => {
    const members = read<BudgetJson>(text)
    return {
      id: members[18],
      tenant: members[1],
      scope: members[2],
      unit: members[3],
      allocated: BigInt(members[4]),
      spent: BigInt(members[5]),
      reserved: BigInt(members[6]),
      debt: BigInt(members[7]),
      overdraftLimit: BigInt(members[8]),
      capped: members[9],
      status: members[10],
      lastEntry: members[11],
      limits: members[12]?.map(unlimit) ?? none,
      overagePolicy: members[13] ?? undefined,
      metadata: unfree(members[14]),
      createdAtMs: members[15],
      updatedAtMs: members[16],
      lastDenial: members[17] ?? undefined,
      pace: unpace(members[19]),
      period: unperiod(members[20])
    }
  }
}

// reservations

type ReservationJson = readonly [
  id: ReservationId,
  tenant: string,
  idempotencyKey: IdempotencyKey,
  status: ReservationStatus,
  subject: Subject,
  action: Action,
  estimate: string,
  scopes: ReadonlyArray<string>,
  budgeted: ReadonlyArray<string> | Absent,
  overagePolicy: OveragePolicy,
  createdAtMs: number,
  expiresAtMs: number,
  gracePeriodMs: number,
  extensions: number,
  maxExtensions: number | Absent,
  caps: Caps | Absent,
  policyId: string | Absent,
  windows: ReadonlyArray<string> | Absent,
  metadata: Free,
  charged: string | Absent,
  metrics: MetricsJson | Absent,
  committedMetadata: Free,
  finalizedAtMs: number | Absent
]

const isSame = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a === b || (a.length === b.length && a.every((text, i) => text === b[i]))

/**
 * @category codecs
 * @since 0.1.0
 */
export const reservation: RowCodec<ReservationRow> = {
  encode: (row) => {
    const members: ReservationJson = [
      row.id,
      row.tenant,
      row.idempotencyKey,
      row.status,
      row.subject,
      row.action,
      amountJson(row.estimate),
      row.scopes,
      // Mostly all of them have a budget.
      isSame(row.budgeted, row.scopes) ? undefined : row.budgeted,
      row.overagePolicy,
      row.createdAtMs,
      row.expiresAtMs,
      row.gracePeriodMs,
      row.extensions,
      row.maxExtensions,
      row.caps,
      row.policyId,
      row.windows.length === 0 ? undefined : row.windows,
      free(row.metadata),
      row.charged === undefined ? undefined : amountJson(row.charged),
      metricsJson(row.metrics),
      free(row.committedMetadata),
      row.finalizedAtMs
    ]
    return JSON.stringify([VERSION, ...members])
  },
  decode: (text) => {
    const members = read<ReservationJson>(text)
    const charged = members[20]
    return {
      id: members[1],
      tenant: members[2],
      idempotencyKey: members[3],
      status: members[4],
      subject: members[5],
      action: members[6],
      estimate: unamount(members[7]),
      scopes: members[8],
      budgeted: members[9] ?? members[8],
      overagePolicy: members[10],
      createdAtMs: members[11],
      expiresAtMs: members[12],
      gracePeriodMs: members[13],
      extensions: members[14],
      maxExtensions: members[15] ?? undefined,
      caps: members[16] ?? undefined,
      policyId: members[17] ?? undefined,
      windows: members[18] ?? none,
      metadata: unfree(members[19]),
      charged: charged === null || charged === undefined ? undefined : unamount(charged),
      metrics: unmetrics(members[21]),
      committedMetadata: unfree(members[22]),
      finalizedAtMs: members[23] ?? undefined
    }
  }
}

// idempotency records

/** `remaining` with its unit; of the other amounts the number alone where the unit is the same. */
type BalanceJson = readonly [
  scope: string,
  scopePath: string,
  remaining: string,
  reserved: string | Absent,
  spent: string | Absent,
  debt: string | Absent,
  allocated: string | Absent,
  overdraftLimit: string | Absent,
  isOverLimit: boolean | Absent
]

const balanceJson = (balance: Balance): BalanceJson => {
  const { unit } = balance.remaining
  const part = (amount: AnyAmount | undefined): string | undefined =>
    amount === undefined ? undefined : amount.unit === unit ? amount.amount.toString() : amountJson(amount)
  return [
    balance.scope,
    balance.scopePath,
    amountJson(balance.remaining),
    part(balance.reserved),
    part(balance.spent),
    part(balance.debt),
    part(balance.allocated),
    part(balance.overdraftLimit),
    balance.isOverLimit
  ]
}

const unbalance = (members: BalanceJson): Balance => {
  const remaining = unamount(members[2])
  const out: { -readonly [K in keyof Balance]: Balance[K] } = { scope: members[0], scopePath: members[1], remaining }
  // A unit and its amount, as `part` was given them.
  const part = (text: string): AnyAmount =>
    text.includes(" ") ? unamount(text) : { unit: remaining.unit, amount: BigInt(text) } as AnyAmount
  if (typeof members[3] === "string") out.reserved = part(members[3])
  if (typeof members[4] === "string") out.spent = part(members[4])
  if (typeof members[5] === "string") out.debt = part(members[5])
  if (typeof members[6] === "string") out.allocated = part(members[6])
  if (typeof members[7] === "string") out.overdraftLimit = part(members[7])
  if (typeof members[8] === "boolean") out.isOverLimit = members[8]
  return out
}

/**
 * The members of all replies, none of which means two things: amounts and balances are written as texts and arrays, and the
 * others as they are.
 */
interface AmountsOfReply {
  readonly reserved?: AnyAmount
  readonly charged?: AnyAmount
  readonly released?: AnyAmount
  readonly balances?: ReadonlyArray<Balance>
  readonly previous?: Balance
  readonly balance?: Balance
}

interface AmountsOfReplyJson {
  readonly [other: string]: unknown
  reserved?: string
  charged?: string
  released?: string
  balances?: ReadonlyArray<BalanceJson>
  previous?: BalanceJson
  balance?: BalanceJson
}

const replyJson = (reply: Reply): AmountsOfReplyJson => {
  const { balance, balances, charged, previous, released, reserved, ...plain }: Reply & AmountsOfReply = reply
  const out: AmountsOfReplyJson = plain
  if (reserved !== undefined) out.reserved = amountJson(reserved)
  if (charged !== undefined) out.charged = amountJson(charged)
  if (released !== undefined) out.released = amountJson(released)
  if (balances !== undefined) out.balances = balances.map(balanceJson)
  if (previous !== undefined) out.previous = balanceJson(previous)
  if (balance !== undefined) out.balance = balanceJson(balance)
  return out
}

const unreply = (json: AmountsOfReplyJson): Reply => {
  const { balance, balances, charged, previous, released, reserved, ...plain } = json
  const out: { -readonly [K in keyof AmountsOfReply]: AmountsOfReply[K] } = plain
  if (reserved !== undefined) out.reserved = unamount(reserved)
  if (charged !== undefined) out.charged = unamount(charged)
  if (released !== undefined) out.released = unamount(released)
  if (balances !== undefined) out.balances = balances.map(unbalance)
  if (previous !== undefined) out.previous = unbalance(previous)
  if (balance !== undefined) out.balance = unbalance(balance)
  // A reply went in, and its other members came out as they were.
  return out as Reply
}

type RecordJson = readonly [
  tenant: string,
  operation: Operation,
  key: string,
  digest: string,
  reply: AmountsOfReplyJson,
  reservationId: ReservationId | Absent,
  keepUntilMs: number
]

/**
 * @category codecs
 * @since 0.1.0
 */
export const record: RowCodec<IdempotencyRow> = {
  encode: (row) => {
    const members: RecordJson = [
      row.tenant,
      row.operation,
      row.key,
      row.digest,
      replyJson(row.reply),
      row.reservationId,
      row.keepUntilMs
    ]
    return JSON.stringify([VERSION, ...members])
  },
  decode: (text) => {
    const [, owner, operation, key, digest, reply, reservationId, keepUntilMs] = read<RecordJson>(text)
    return {
      ...recordKey(owner, operation, key),
      digest,
      reply: unreply(reply),
      reservationId: reservationId ?? undefined,
      keepUntilMs
    }
  }
}

// entries

/** In `before`, `null` stands for what `after` says; in `after`, a `null` tenant is the entry's. */
type FiguresJson = readonly [
  tenant: string | Absent,
  scope: string | Absent,
  unit: Unit | Absent,
  allocated: string | Absent,
  spent: string | Absent,
  reserved: string | Absent,
  debt: string | Absent,
  overdraftLimit: string | Absent,
  capped: boolean | Absent,
  status: BudgetStatus | Absent,
  lastEntry: number | Absent
]

type ChangeJson = readonly [after: FiguresJson, before?: FiguresJson]

const figuresJson = (row: Figures, known: Partial<Figures>): FiguresJson => [
  row.tenant === known.tenant ? null : row.tenant,
  row.scope === known.scope ? null : row.scope,
  row.unit === known.unit ? null : row.unit,
  row.allocated === known.allocated ? null : row.allocated.toString(),
  row.spent === known.spent ? null : row.spent.toString(),
  row.reserved === known.reserved ? null : row.reserved.toString(),
  row.debt === known.debt ? null : row.debt.toString(),
  row.overdraftLimit === known.overdraftLimit ? null : row.overdraftLimit.toString(),
  row.capped === known.capped ? null : row.capped,
  row.status === known.status ? null : row.status,
  row.lastEntry === known.lastEntry ? null : row.lastEntry
]

const figure = (text: string | Absent, known: bigint | undefined): bigint | undefined => optionalBigInt(text) ?? known

// What was left out is what was known when it was written.
const unfigures = (members: FiguresJson, known: Partial<Figures>): Figures => ({
  tenant: members[0] ?? known.tenant,
  scope: members[1] ?? known.scope,
  unit: members[2] ?? known.unit,
  allocated: figure(members[3], known.allocated),
  spent: figure(members[4], known.spent),
  reserved: figure(members[5], known.reserved),
  debt: figure(members[6], known.debt),
  overdraftLimit: figure(members[7], known.overdraftLimit),
  capped: members[8] ?? known.capped,
  status: members[9] ?? known.status,
  lastEntry: members[10] ?? known.lastEntry
} as Figures)

const changeJson = (change: FiguresChange, owner: string): ChangeJson => {
  const after = figuresJson(change.after, { tenant: owner })
  return change.before === undefined ? [after] : [after, figuresJson(change.before, change.after)]
}

const unchange = (members: ChangeJson, owner: string): FiguresChange => {
  const after = unfigures(members[0], { tenant: owner })
  return { before: members[1] === undefined ? undefined : unfigures(members[1], after), after }
}

type EntryJson = readonly [
  tenant: string,
  number: number,
  atMs: number,
  kind: EntryKind,
  actor: string,
  reservationId: ReservationId | Absent,
  eventId: EventId | Absent,
  action: Action | Absent,
  metrics: MetricsJson | Absent,
  reason: string | Absent,
  requestId: string | Absent,
  traceId: string | Absent,
  changes: ReadonlyArray<ChangeJson>
]

/**
 * @category codecs
 * @since 0.1.0
 */
export const entry: RowCodec<Entry> = {
  encode: (row) => {
    const members: EntryJson = [
      row.tenant,
      row.number,
      row.atMs,
      row.kind,
      row.actor,
      row.reservationId,
      row.eventId,
      row.action,
      metricsJson(row.metrics),
      row.reason,
      row.requestId,
      row.traceId,
      row.changes.map((change) => changeJson(change, row.tenant))
    ]
    return JSON.stringify([VERSION, ...members])
  },
  decode: (text) => {
    const members = read<EntryJson>(text)
    return {
      tenant: members[1],
      number: members[2],
      atMs: members[3],
      kind: members[4],
      actor: members[5],
      reservationId: members[6] ?? undefined,
      eventId: members[7] ?? undefined,
      action: members[8] ?? undefined,
      metrics: unmetrics(members[9]),
      reason: members[10] ?? undefined,
      requestId: members[11] ?? undefined,
      traceId: members[12] ?? undefined,
      changes: members[13].map((change) => unchange(change, members[1]))
    }
  }
}

// counters

type CounterJson = readonly [
  tenant: string,
  id: string,
  used: string,
  held: string,
  carried: string,
  keepUntilMs: number
]

/**
 * @category codecs
 * @since 0.1.0
 */
export const counter: RowCodec<CounterRow> = {
  encode: (row) => {
    const members: CounterJson = [
      row.tenant,
      row.id,
      row.used.toString(),
      row.held.toString(),
      row.carried.toString(),
      row.keepUntilMs
    ]
    return JSON.stringify([VERSION, ...members])
  },
  decode: (text) => {
    const [, owner, id, used, held, carried, keepUntilMs] = read<CounterJson>(text)
    return { tenant: owner, id, used: BigInt(used), held: BigInt(held), carried: BigInt(carried), keepUntilMs }
  }
}

// documents

type ApiKeyJson = Omit<ApiKeyRow, "metadata"> & { readonly metadata: Free }
type DocumentJson = readonly [document: PolicyRow | ApiKeyJson]

// What JSON leaves out of an object was `undefined`, and is again.
const unpolicy = (row: PolicyRow): PolicyRow => ({
  _tag: "policy",
  tenant: row.tenant,
  id: row.id,
  name: row.name,
  description: row.description,
  scopePattern: row.scopePattern,
  priority: row.priority,
  status: row.status,
  caps: row.caps,
  stateCaps: row.stateCaps.map(({ belowShare, caps }): StateCaps => ({ belowShare, caps })),
  overagePolicy: row.overagePolicy,
  defaultTtlMs: row.defaultTtlMs,
  maxTtlMs: row.maxTtlMs,
  maxExtensions: row.maxExtensions,
  maxReservationsPerMinute: row.maxReservationsPerMinute,
  maxCommitsPerMinute: row.maxCommitsPerMinute,
  maxSteps: row.maxSteps,
  allowedActionKinds: row.allowedActionKinds,
  deniedActionKinds: row.deniedActionKinds,
  effectiveFromMs: row.effectiveFromMs,
  effectiveUntilMs: row.effectiveUntilMs,
  createdAtMs: row.createdAtMs,
  updatedAtMs: row.updatedAtMs
})

const unapiKey = (row: ApiKeyJson): ApiKeyRow => ({
  _tag: "api_key",
  tenant: row.tenant,
  id: row.id,
  prefix: row.prefix,
  hash: row.hash,
  status: row.status,
  name: row.name,
  description: row.description,
  permissions: row.permissions,
  scopeFilter: row.scopeFilter,
  metadata: unfree(row.metadata),
  createdAtMs: row.createdAtMs,
  expiresAtMs: row.expiresAtMs,
  revokedAtMs: row.revokedAtMs,
  revokedReason: row.revokedReason
})

/**
 * @category codecs
 * @since 0.1.0
 */
export const document: RowCodec<Document> = {
  encode: (row) => {
    const members: DocumentJson = [row._tag === "policy" ? row : { ...row, metadata: free(row.metadata) }]
    return JSON.stringify([VERSION, ...members])
  },
  decode: (text) => {
    const [, row] = read<DocumentJson>(text)
    return row._tag === "policy" ? unpolicy(row) : unapiKey(row)
  }
}

// events and acts

// Details are free JSON of fewer kinds of values, and what went in comes out.
const undetails = (value: Free): Details => unfree(value) as Details

type EventJson = readonly [
  tenant: string,
  number: number,
  atMs: number,
  type: string,
  actor: string,
  scope: string | Absent,
  unit: Unit | Absent,
  reservationId: ReservationId | Absent,
  requestId: string | Absent,
  traceId: string | Absent,
  details: Free,
  // Rows that an earlier version wrote end here.
  actorType?: ActorType | Absent,
  keyId?: string | Absent
]

/**
 * @category codecs
 * @since 0.1.0
 */
export const event: RowCodec<LedgerEvent> = {
  encode: (row) => {
    const members: EventJson = [
      row.tenant,
      row.number,
      row.atMs,
      row.type,
      row.actor,
      row.scope,
      row.unit,
      row.reservationId,
      row.requestId,
      row.traceId,
      free(row.details),
      row.actorType,
      row.keyId
    ]
    return JSON.stringify([VERSION, ...members])
  },
  decode: (text) => {
    const members = read<EventJson>(text)
    return {
      tenant: members[1],
      number: members[2],
      atMs: members[3],
      type: members[4],
      actor: members[5],
      actorType: members[12] ?? undefined,
      keyId: members[13] ?? undefined,
      scope: members[6] ?? undefined,
      unit: members[7] ?? undefined,
      reservationId: members[8] ?? undefined,
      requestId: members[9] ?? undefined,
      traceId: members[10] ?? undefined,
      details: undetails(members[11])
    }
  }
}

type ActJson = readonly [
  tenant: string,
  number: number,
  atMs: number,
  actor: string,
  operation: string,
  resourceType: string,
  resourceId: string,
  errorCode: string | Absent,
  requestId: string | Absent,
  traceId: string | Absent,
  details: Free,
  actorType?: ActorType | Absent,
  keyId?: string | Absent
]

/**
 * @category codecs
 * @since 0.1.0
 */
export const act: RowCodec<Act> = {
  encode: (row) => {
    const members: ActJson = [
      row.tenant,
      row.number,
      row.atMs,
      row.actor,
      row.operation,
      row.resourceType,
      row.resourceId,
      row.errorCode,
      row.requestId,
      row.traceId,
      free(row.details),
      row.actorType,
      row.keyId
    ]
    return JSON.stringify([VERSION, ...members])
  },
  decode: (text) => {
    const members = read<ActJson>(text)
    return {
      tenant: members[1],
      number: members[2],
      atMs: members[3],
      actor: members[4],
      actorType: members[12] ?? undefined,
      keyId: members[13] ?? undefined,
      operation: members[5],
      resourceType: members[6],
      resourceId: members[7],
      errorCode: members[8] ?? undefined,
      requestId: members[9] ?? undefined,
      traceId: members[10] ?? undefined,
      details: undetails(members[11])
    }
  }
}
