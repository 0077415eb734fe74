/**
 * What a ledger remembers: its entries and events as streams, balances explained, spending over time, and how long all of it is
 * kept.
 *
 * **Example** (Why was this denied, and who spent it?)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Amount, BudgetAuthority, Ledger } from "effect-cycles"
 * import { IdempotencyKey } from "effect-cycles/protocol/Ids"
 *
 * const program = Effect.gen(function*() {
 *   const ledger = yield* Ledger.Ledger
 *   const authority = yield* BudgetAuthority.BudgetAuthority
 *   const ask = {
 *     subject: { agent: "writer" },
 *     action: { kind: "llm.completion", name: "gpt-4o" }
 *   }
 *   yield* authority.event({ ...ask, idempotencyKey: IdempotencyKey.make("1"), actual: Amount.tokens(80) })
 *   yield* Effect.ignore(
 *     authority.reserve({ ...ask, idempotencyKey: IdempotencyKey.make("2"), estimate: Amount.tokens(30) })
 *   )
 *
 *   const { denial, lines } = yield* ledger.explain("acme", { scope: "tenant:acme", unit: "TOKENS" })
 *   for (const { text } of lines) console.log(text)
 *   // => 80 TOKENS charged without a hold for llm.completion gpt-4o; 20 TOKENS remain
 *   // => opened with 100 TOKENS; 100 TOKENS remain
 *   console.log(denial?.event.details.reason_code) // => BUDGET_EXCEEDED
 *
 *   const spent = yield* ledger.spend("acme", {
 *     by: "agent",
 *     unit: "TOKENS",
 *     from: 0,
 *     to: Date.now() + 3_600_000,
 *     every: "day"
 *   })
 *   console.log(spent.map(({ amount, value }) => [value, amount])) // => [ [ "writer", 80n ] ]
 * }).pipe(
 *   Effect.provide(Ledger.layerMemory({
 *     tenant: "acme",
 *     budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }]
 *   }))
 * )
 *
 * await Effect.runPromise(program)
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Unit } from "../protocol/Amount.ts"
import type { BudgetNotFound, Trouble } from "../protocol/CyclesError.ts"
import * as Attribution from "./Attribution.ts"
import type { Bell } from "./Bell.ts"
import * as Compaction from "./Compaction.ts"
import * as Explaining from "./Explaining.ts"
import type { LedgerTx, Operations as Store, StoreError } from "./LedgerStore.ts"
import type { Entry, LedgerEvent } from "./Model.ts"
import * as Outbox from "./Outbox.ts"
import type { Refusal } from "./Refusal.ts"
import { toError } from "./Refusal.ts"
import type { Alerts } from "./rules/Happenings.ts"
import * as Spending from "./rules/Spending.ts"
import * as ScopePath from "./ScopePath.ts"
import { invalidPage } from "./Shapes.ts"
import * as Verification from "./Verification.ts"
import type { View } from "./View.ts"

export type { Cost, Dimension, Step } from "./Attribution.ts"
export type { Compaction, Cuts } from "./Compaction.ts"
export type { Denial, Explanation, Line } from "./Explaining.ts"
export type { Entry, LedgerEvent } from "./Model.ts"
export type { Verification } from "./Verification.ts"

/**
 * How long a ledger keeps what it remembers, in milliseconds. Older entries are folded and the rest is dropped once an hour.
 *
 * - `entriesMs`: entries in full; older ones fold into one opening entry per balance. For ever when not given
 * - `eventsMs`: events that were delivered, see `outbox`; those nobody takes from it are kept. For ever when not given; the
 *   specification recommends a year
 * - `actsMs`: the audit log. For ever when not given
 * - `spendMs`: spending by the hour; 400 days when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Retention {
  readonly entriesMs?: number | undefined
  readonly eventsMs?: number | undefined
  readonly actsMs?: number | undefined
  readonly spendMs?: number | undefined
}

/**
 * When a ledger tells of a budget.
 *
 * - `thresholds`: shares of the allocation, above 0; an event each time what is spent or owed passes one, in either direction. 0.8,
 *   0.95 and 1 when not given
 * - `burnRate`: when a window of time has seen too much spending. `windowMs`: its length, 5 minutes when not given, one at
 *   least; `multiplier`: how many times the average of the 12 to 23 windows before, 3 when not given, 1.5 at least;
 *   `minimumShare`: which share of the allocation at least, 0.01 when not given
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `WebhookThresholdConfig`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AlertOptions {
  readonly thresholds?: ReadonlyArray<number> | undefined
  readonly burnRate?: {
    readonly windowMs?: number | undefined
    readonly multiplier?: number | undefined
    readonly minimumShare?: number | undefined
  } | undefined
}

/**
 * Where a stream of numbered rows begins and whether it goes on.
 *
 * - `after`: the cursor, the number of the last row that is known; from the first when not given
 * - `follow`: whether the stream waits for new rows instead of ending; not when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface ReadOptions {
  readonly after?: number | undefined
  readonly follow?: boolean | undefined
}

/**
 * Which balance to explain, and which page of its entries.
 *
 * - `from`: the `next` of the page before; from the newest when not given
 * - `limit`: how many lines, 1 to 1,000; 50 when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface ExplainRequest {
  readonly scope: string
  readonly unit: Unit
  readonly from?: number | undefined
  readonly limit?: number | undefined
}

/**
 * What to know of spending.
 *
 * - `by`: `scope` (every scope with all that is below it), `agent`, `action` (`kind:name`) or `model` (the version that reported
 *   itself, else the action's name)
 * - `from`, `to`: Unix milliseconds, widened to whole hours; `to` is not included
 * - `every`: `hour`, or `day` of `timeZone`, an IANA name; UTC when not given. Spending is counted by the hour, so in zones half an
 *   hour off, an hour belongs to the day it begins in
 * - `scope`: only what was spent at or below it
 *
 * @category models
 * @since 0.1.0
 */
export interface SpendQuery {
  readonly by: "scope" | "agent" | "action" | "model"
  readonly unit: Unit
  readonly from: number
  readonly to: number
  readonly every: "hour" | "day"
  readonly timeZone?: string | undefined
  readonly scope?: string | undefined
}

/**
 * What was spent in an hour or a day, which begins at `startMs`. `value` is absent where the charge named no agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Spend {
  readonly startMs: number
  readonly value: string | undefined
  readonly amount: bigint
}

/**
 * What to know of whom spending is put down to.
 *
 * - `by`: the dimensions, the first at the top of the tree; each at most once, and a level not beside `scope`, which has them all
 * - `from`, `to`: Unix milliseconds, widened to whole hours; `to` is not included
 * - `scope`: only what was spent at or below it
 *
 * @category models
 * @since 0.1.0
 */
export interface CostQuery {
  readonly by: ReadonlyArray<Attribution.Dimension>
  readonly unit: Unit
  readonly from: number
  readonly to: number
  readonly scope?: string | undefined
}

/**
 * What a ledger tells of its past.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operations {
  /** The tenant's entries in order. Where older ones were folded it begins with the opening entries. */
  readonly history: (tenant: string, options?: ReadOptions) => Stream.Stream<Entry, Trouble>
  /** The tenant's events in order. Reading them delivers nothing; see `outbox`. */
  readonly events: (tenant: string, options?: ReadOptions) => Stream.Stream<LedgerEvent, Trouble>
  /**
   * The events of all tenants that were not handed on yet, and then those to come, each at least once, in order within a tenant.
   * It never ends and outlives trouble with the store.
   *
   * Events count as handed on when the stream is pulled again after them, so they come again if the process ends before. Work
   * on each in the stream itself, as in `Stream.runForEach`; an operator that reads ahead (`Stream.buffer`, concurrency) takes
   * them before they are worked on. One relay is enough for all processes on a store; several get every event each.
   */
  readonly outbox: Stream.Stream<LedgerEvent>
  /** The balance of a tenant's budget, the entries that made it, and why a hold was last denied there. */
  readonly explain: (
    tenant: string,
    request: ExplainRequest
  ) => Effect.Effect<Explaining.Explanation, Trouble | BudgetNotFound>
  /**
   * What a tenant spent over time, ordered by time and value. It reads the counters of that time alone. The parts of an allotment
   * count where its breakdown puts them.
   */
  readonly spend: (tenant: string, query: SpendQuery) => Effect.Effect<ReadonlyArray<Spend>, Trouble>
  /**
   * Whom a tenant's spending is put down to, as a tree in depth-first order, the dearest of its siblings first. Each charge is in one
   * `own`, so these add up to what the tenant spent. It reads the counters of that time alone.
   */
  readonly costs: (tenant: string, query: CostQuery) => Effect.Effect<ReadonlyArray<Attribution.Cost>, Trouble>
  /** Folds and drops what is older than the cuts, now, in steps of a transaction each. */
  readonly compact: (tenant: string, cuts: Compaction.Cuts) => Effect.Effect<Compaction.Compaction, Trouble>
  /** Folds the tenant's entries and compares the result with its balances. */
  readonly verify: (tenant: string) => Effect.Effect<Verification.Verification, Trouble>
}

const PAGE = 1_000
const HOUR_MS = Spending.HOUR_MS
const DAY_MS = 24 * HOUR_MS

/**
 * How long spending is kept when nothing else is said: a year can be compared with the one before, month by month.
 *
 * @category constants
 * @since 0.1.0
 */
export const DEFAULT_KEEP_SPEND_MS = 400 * DAY_MS

/**
 * The alerts of some options. Throws a `RangeError` where an option is out of its range.
 *
 * @internal
 */
export const alertsOf = (options: AlertOptions | undefined): Alerts => {
  const thresholds = options?.thresholds ?? [0.8, 0.95, 1]
  const { minimumShare = 0.01, multiplier = 3, windowMs = 300_000 } = options?.burnRate ?? {}
  if (!thresholds.every((share) => share > 0 && share <= 1_000)) throw new RangeError("thresholds must be above 0")
  if (!(windowMs >= 60_000)) throw new RangeError("burnRate.windowMs must be 60000 or more")
  if (!(multiplier >= 1.5)) throw new RangeError("burnRate.multiplier must be 1.5 or more")
  if (!(minimumShare >= 0)) throw new RangeError("burnRate.minimumShare must be 0 or more")
  return {
    thresholds: Array.from(new Set(thresholds)).sort((a, b) => a - b).map((share) =>
      BigInt(Math.round(share * 1_000_000))
    ),
    burnRate: { windowMs, multiplier, minimumShare }
  }
}

/**
 * Reads in a transaction of a tenant, as far as whoever asks may see: `reaches` says so of a path.
 *
 * @internal
 */
export type Read = <A>(
  tenant: string,
  body: (tx: LedgerTx, view: View, reaches: (path: string) => boolean) => Effect.Effect<A, StoreError>
) => Effect.Effect<A, Trouble>

/**
 * What history needs of the ledger around it.
 *
 * @internal
 */
export interface Around {
  readonly store: Store
  readonly entriesBell: Bell
  readonly eventsBell: Bell
  /** Reads in a transaction of a tenant; what is due in it has been expired before. */
  readonly read: Read
  /** Changes the view of a transaction of a tenant before it is written. */
  readonly change: <A>(
    tenant: string,
    body: (tx: LedgerTx, view: View) => Effect.Effect<A, StoreError>
  ) => Effect.Effect<A, Trouble>
  /** Says that a tenant's events up to a number have been handed on. */
  readonly delivered: (tenant: string, upTo: number) => Effect.Effect<void, Trouble>
}

/**
 * What can be asked about the past in somebody's name, who sees what is theirs to see.
 *
 * @category models
 * @since 0.1.0
 */
export interface Questions {
  /** The balance of a budget, the entries that made it, and why a hold was last denied there. `Forbidden` outside the scope filter. */
  readonly explain: Operations["explain"]
  /** What was spent over time on the paths the scope filter reaches, ordered by time and value. */
  readonly spend: Operations["spend"]
  /** Whom spending on the paths the scope filter reaches is put down to. */
  readonly costs: Operations["costs"]
  /** Whether the entries add up to the balances. It is about a whole tenant: `Forbidden` where a scope filter narrows the view. */
  readonly verify: Operations["verify"]
  /**
   * One page of entries numbered above `after` (from the first when not given), at most `limit` (1,000). Of each, the changes to
   * the scopes the filter reaches; entries with no other change are left out.
   */
  readonly entries: (
    tenant: string,
    options?: { readonly after?: number | undefined; readonly limit?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<Entry>, Trouble>
}

const refuse = (refusal: Refusal): Effect.Effect<never, Trouble> =>
  // Every refusal that is made here is one of a request's form, which is part of `Trouble`.
  Effect.fail(toError(refusal, {}) as Trouble)

const flawed = (field: string, reason: string): Effect.Effect<never, Trouble> =>
  refuse({ code: "INVALID_REQUEST", field, reason })

/**
 * The history of a ledger.
 *
 * @internal
 */
export const make = (around: Around): Operations => {
  const { change, delivered, entriesBell, eventsBell, read, store } = around

  const tail = <A extends { readonly number: number }>(
    bell: Bell,
    options: ReadOptions | undefined,
    page: (after: number) => Effect.Effect<ReadonlyArray<A>, Trouble>
  ): Stream.Stream<A, Trouble> =>
    Stream.paginate(options?.after ?? 0, (after) =>
      Effect.suspend(() => {
        const rung = bell.rung()
        return Effect.flatMap(page(after), (rows) => {
          const last = rows[rows.length - 1]?.number ?? after
          if (rows.length === PAGE) return Effect.succeed([rows, Option.some(last)] as const)
          if (options?.follow !== true) return Effect.succeed([rows, Option.none<number>()] as const)
          const next = [rows, Option.some(last)] as const
          // Rows that were read are given at once; only where there were none is there something to wait for.
          return rows.length > 0
            ? Effect.succeed(next)
            : Effect.as(Effect.raceFirst(bell.after(rung), Effect.sleep(Outbox.LONGEST_PAUSE_MS)), next)
        })
      }))

  const compact: Operations["compact"] = Effect.fnUntraced(function*(tenant, cuts) {
    let done: Compaction.Compaction = { folded: 0, openings: 0, events: 0, acts: 0 }
    for (;;) {
      const step = yield* change(tenant, (tx, view) => Compaction.step(tx, view, tenant, cuts))
      done = {
        folded: done.folded + step.folded,
        openings: step.folded === 0 ? done.openings : step.openings,
        events: done.events + step.events,
        acts: done.acts + step.acts
      }
      if (!step.more) return done
    }
  })

  return {
    history: (tenant, options) =>
      tail(entriesBell, options, (after) => read(tenant, (tx) => tx.entries(tenant, after, PAGE))),
    events: (tenant, options) =>
      tail(eventsBell, options, (after) => read(tenant, (tx) => tx.events(tenant, after, PAGE))),
    outbox: Outbox.make({ store, bell: eventsBell, read, delivered }),
    compact,
    ...questions(read)
  }
}

/** What the past is asked, over a way to read. */
const questions = (read: Read): Pick<Operations, "costs" | "explain" | "spend" | "verify"> => {
  const explain: Operations["explain"] = Effect.fnUntraced(function*(tenant, { from, limit = 50, scope, unit }) {
    const parsed = ScopePath.parse(tenant, scope)
    if (Result.isFailure(parsed)) return yield* refuse(parsed.failure)
    if (!Number.isInteger(limit) || limit < 1 || limit > PAGE) return yield* flawed("limit", "must be 1 to 1,000")
    if (from !== undefined && !(Number.isInteger(from) && from > 0)) {
      return yield* flawed("from", "must be the `next` of another page")
    }
    // Whoever reaches a scope reaches what is below it, and so the paths through it on which holds were denied.
    const found = yield* read(tenant, (tx, view, reaches) =>
      reaches(scope)
        ? Effect.map(
          Explaining.explain(tx, view, tenant, { scope, unit }, from, limit),
          (explanation) => ({ explanation })
        )
        : Effect.succeed(undefined))
    if (found === undefined) return yield* outOfReach(scope)
    if (found.explanation !== undefined) return found.explanation
    const missing: Refusal = {
      code: "BUDGET_NOT_FOUND",
      scope,
      unit,
      reason: `Budget not found for provided scope: ${scope}`
    }
    return yield* Effect.fail(toError(missing, {}) as BudgetNotFound)
  })

  /** What was charged in some hours, each charge once: whoever asks sees those on paths they reach. */
  const charges = Effect.fnUntraced(function*<A>(
    tenant: string,
    { from, scope, to, unit }: Pick<SpendQuery, "from" | "scope" | "to" | "unit">,
    pick: (spender: ReturnType<typeof Spending.parse>, reaches: (path: string) => boolean) => A,
    visit: (found: A, used: bigint) => void
  ): Effect.fn.Return<void, Trouble> {
    if (!(from >= 0 && to >= from)) return yield* flawed("to", "must be at or after `from`, and both after 1970")
    if (scope !== undefined) {
      const parsed = ScopePath.parse(tenant, scope)
      if (Result.isFailure(parsed)) return yield* refuse(parsed.failure)
    }
    const end = Spending.prefix(unit, Math.ceil(to / HOUR_MS))
    let begin = Spending.prefix(unit, Math.floor(from / HOUR_MS))
    for (;;) {
      const start = begin
      const { rows, seen } = yield* read(
        tenant,
        (tx, _, reaches) =>
          Effect.map(tx.counters(tenant, start, end, PAGE), (rows) => ({
            rows,
            seen: rows.flatMap(({ id, used }) => {
              const spender = Spending.parse(id)
              return reaches(spender.path) && (scope === undefined || isWithin(spender.path, scope))
                ? [{ found: pick(spender, reaches), used }]
                : []
            })
          }))
      )
      for (const { found, used } of seen) visit(found, used)
      const last = rows[rows.length - 1]
      if (rows.length < PAGE || last === undefined) break
      begin = `${last.id}\u0020`
    }
  })

  const spend: Operations["spend"] = Effect.fnUntraced(function*(tenant, query) {
    const { by, every, scope, timeZone = "UTC" } = query
    const zone = DateTime.zoneMakeNamed(timeZone)
    if (Option.isNone(zone)) return yield* flawed("timeZone", `"${timeZone}" is not the IANA name of a time zone`)
    const starts = new Map<number, number>()
    const startOf = (hour: number): number => {
      let start = starts.get(hour)
      if (start === undefined) {
        const at = hour * HOUR_MS
        start = every === "hour"
          ? at
          : DateTime.toEpochMillis(DateTime.startOf(DateTime.setZone(DateTime.makeUnsafe(at), zone.value), "day"))
        starts.set(hour, start)
      }
      return start
    }
    const sums = new Map<string, { startMs: number; value: string | undefined; amount: bigint }>()
    yield* charges(
      tenant,
      query,
      (spender, reaches) => ({
        hour: spender.hour,
        values: valuesOf(spender, by, scope).filter((value) => by !== "scope" || reaches(value ?? ""))
      }),
      ({ hour, values }, used) => {
        const startMs = startOf(hour)
        for (const value of values) {
          const key = `${startMs} ${value ?? ""}`
          const sum = sums.get(key)
          if (sum === undefined) sums.set(key, { startMs, value, amount: used })
          else sum.amount += used
        }
      }
    )
    return Array.from(sums.values()).sort((a, b) => a.startMs - b.startMs || compare(a.value ?? "", b.value ?? ""))
  })

  const costs: Operations["costs"] = Effect.fnUntraced(function*(tenant, query) {
    const flaw = Attribution.flawOf(query.by)
    if (flaw !== undefined) return yield* flawed("by", flaw)
    const tree = Attribution.tree()
    yield* charges(tenant, query, (spender) => Attribution.stepsOf(spender, query.by), tree.add)
    return tree.costs()
  })

  const verify: Operations["verify"] = (tenant) =>
    Effect.flatMap(
      read<Verification.Verification | undefined>(tenant, (tx, _, reaches) =>
        reaches(`tenant:${tenant}`) ? Verification.verify(tx, tenant) : Effect.succeed(undefined)),
      (found) =>
        found === undefined ? outOfReach(`tenant:${tenant}`) : Effect.succeed(found)
    )

  return { costs, explain, spend, verify }
}

/**
 * The past, for one who may not see all of it.
 *
 * @internal
 */
export const questionsOf = (read: Read): Questions => ({
  ...questions(read),
  entries: (tenant, { after = 0, limit = PAGE } = {}) => {
    const refusal = invalidPage({ after, limit })
    if (refusal !== undefined) return refuse(refusal)
    return read(tenant, (tx, _, reaches) => {
      const seen: Array<Entry> = []
      const next = (after: number): Effect.Effect<ReadonlyArray<Entry>, StoreError> =>
        Effect.flatMap(tx.entries(tenant, after, limit), (rows) => {
          for (const row of rows) {
            const changes = row.changes.filter((change) => reaches(change.after.scope))
            if (seen.length === limit) break
            if (changes.length === row.changes.length) seen.push(row)
            else if (changes.length > 0) seen.push({ ...row, changes })
          }
          const last = rows[rows.length - 1]
          return last === undefined || rows.length < limit || seen.length === limit
            ? Effect.succeed(seen)
            : next(last.number)
        })
      return next(after)
    })
  }
})

const outOfReach = (scope: string): Effect.Effect<never, Trouble> =>
  refuse({ code: "FORBIDDEN", scope, reason: "the scope filter does not reach there" })

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

const isWithin = (path: string, scope: string): boolean => path === scope || path.startsWith(`${scope}/`)

/** Whom a charge counts for. */
const valuesOf = (
  { kind, model, name, path }: Spending.Spender,
  by: SpendQuery["by"],
  scope: string | undefined
): ReadonlyArray<string | undefined> => {
  switch (by) {
    case "action":
      return [`${kind}:${name}`]
    case "model":
      return [model]
    case "agent":
      return [path.split("/").find((segment) => segment.startsWith("agent:"))?.slice("agent:".length)]
    case "scope": {
      const scopes: Array<string> = []
      for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) scopes.push(path.slice(0, at))
      scopes.push(path)
      return scope === undefined ? scopes : scopes.filter((wide) => isWithin(wide, scope))
    }
  }
}

/**
 * Compacts every tenant as its retention says, one after the other.
 *
 * @internal
 */
export const retain = Effect.fnUntraced(
  function*(store: Store, compact: Operations["compact"], retention: Retention): Effect.fn.Return<void> {
    const { actsMs, entriesMs, eventsMs } = retention
    if (actsMs === undefined && entriesMs === undefined && eventsMs === undefined) return
    const now = yield* Clock.currentTimeMillis
    const before = (keepMs: number | undefined): number | undefined => keepMs === undefined ? undefined : now - keepMs
    const cuts = { entries: before(entriesMs), events: before(eventsMs), acts: before(actsMs) }
    const failed = (error: unknown): Effect.Effect<void> =>
      Effect.logWarning("Older history could not be dropped; it is tried again", error)
    const all = Stream.paginate("", (after) =>
      Effect.map(store.tenants(after, 100), (rows) =>
        [
          rows,
          rows.length < 100 ? Option.none<string>() : Option.fromUndefinedOr(rows[rows.length - 1]?.tenant)
        ] as const))
    yield* Effect.catch(
      Stream.runForEach(all, ({ tenant }) => Effect.catch(compact(tenant, cuts), failed)),
      failed
    )
  }
)
