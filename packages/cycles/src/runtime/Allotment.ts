/**
 * One reservation that many guards share: an orchestrator takes a hold, and everything its agents do is paid from it.
 *
 * An allotment is a `BudgetAuthority` of its own: a ledger in memory whose one budget is the parent's estimate, behind the
 * `Budget` of its body. So the guards inside do not change, the rules are the rules, and eight fibers cannot spend more
 * together than one reservation allows. Reachable as `Budget.allot`, `Budget.closing` and `Budget.remaining`.
 *
 * What a long one was charged is settled while it goes on, chunk by chunk. That concerns the hold around alone, so it is a part of its
 * own, `Renewal`; the ledger of the children knows nothing of it. An allotment inside another exchanges its hold there in one step
 * (`Keeper.exchange`): it may hold all there is, and nothing could be reserved beside that.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Ledger from "../ledger/Ledger.ts"
import { LedgerStore } from "../ledger/LedgerStore.ts"
import * as LedgerStoreMemory from "../ledger/LedgerStoreMemory.ts"
import * as ScopePath from "../ledger/ScopePath.ts"
import type { Amount, AnyAmount, Unit } from "../protocol/Amount.ts"
import { MAX_INT64 } from "../protocol/Amount.ts"
import * as Breakdown from "../protocol/Breakdown.ts"
import type { Operations } from "../protocol/BudgetAuthority.ts"
import type { Denied } from "../protocol/CyclesError.ts"
import * as Errors from "../protocol/CyclesError.ts"
import type { EventId, ReservationId } from "../protocol/Ids.ts"
import { IdempotencyKey } from "../protocol/Ids.ts"
import type { JsonObject, Metrics } from "../protocol/Metrics.ts"
import type { OveragePolicy } from "../protocol/OveragePolicy.ts"
import type { ReserveReply, ReserveRequest } from "../protocol/Reserve.ts"
import { DEFAULT_OVERAGE_POLICY } from "../protocol/Reserve.ts"
import type { CommitRequest, ReleaseRequest } from "../protocol/Settle.ts"
import type { Subject } from "../protocol/Subject.ts"
import * as Background from "./Background.ts"
import * as Budget from "./Guard.ts"
import type { Guarded } from "./Hold.ts"
import * as Lease from "./Lease.ts"
import * as Lifecycle from "./Lifecycle.ts"
import * as Line from "./Line.ts"
import * as Renewal from "./Renewal.ts"
import * as Telemetry from "./Telemetry.ts"

/**
 * What to allot: a request like that of a guard, whose estimate is what everything inside may spend together. What an
 * allotment costs is what its children were charged, however it ends, so there is no `onUnsettled`.
 *
 * - `finalReserve`: the part of the estimate that the children cannot reserve; it is for {@link closing}
 * - `settleEvery`: how often what the children were charged is settled while the body goes on, 100 milliseconds at the least; 30 seconds
 *   when not given, and `"Infinity"` leaves it to the end as long as the reservation can be extended. A crash of the process loses
 *   what was not settled
 *
 * @category models
 * @since 0.1.0
 */
export interface Request<out U extends Unit> extends Omit<Budget.Request<U>, "onUnsettled"> {
  readonly finalReserve?: Amount<NoInfer<U>> | undefined
  readonly settleEvery?: Duration.Input | undefined
}

/**
 * The budget of some work was used up before the work was done.
 *
 * - `denied`: the denial that ended it, the first one where there were several
 * - `done`: what had been done by then. From `Budget.forEach` the results of the children that ended well, in the order of the
 *   items; from `Budget.all` the same, by name or place; `undefined` where a single guard was denied
 * - `spent`: what the allotment's children had been charged by then, by scope, action and model
 *
 * @category errors
 * @since 0.1.0
 */
export class Exhausted<out A> extends Schema.TaggedError<Exhausted<unknown>>("effect-cycles/Exhausted")("Exhausted", {
  done: Schema.Unknown,
  denied: Schema.Unknown,
  spent: Breakdown.Breakdown
}) {
  declare readonly done: A
  declare readonly denied: Denied

  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  override get message(): string {
    return `The budget was used up before the work was done. ${this.denied.message}`
  }
}

/**
 * What an error that means "no budget" says was done: a denial says nothing, {@link Exhausted} does.
 *
 * @category models
 * @since 0.1.0
 */
export type DoneOf<E> = E extends Exhausted<infer A> ? A : E extends Denied ? undefined : never

/**
 * What is open to the fibers inside an allotment.
 *
 * @internal
 */
export interface Part {
  readonly remaining: Effect.Effect<AnyAmount>
  readonly spent: () => Breakdown.Breakdown
  /** Makes the final reserve available, once. */
  readonly unlock: Effect.Effect<void>
}

/** The innermost allotment the current fiber works in. @internal */
export const Current: Context.Reference<Part | undefined> = Context.Reference<Part | undefined>(
  "effect-cycles/runtime/Allotment/Current",
  { defaultValue: () => undefined }
)

/**
 * Takes one reservation and runs a body whose guards spend from it.
 *
 * The guards inside are written as everywhere. They reserve from the allotment, at once and in this process; those in another
 * unit go to the authority around it. What the children were charged is committed when the body ends, in success, failure and
 * interruption alike, with a breakdown by scope, action and model in the commit's metadata; see `protocol/Breakdown`.
 *
 * A long one is renewed by chunks. Every `settleEvery` in which something was charged, and when the reservation has two of the
 * protocol's ten extensions left, what remains of the estimate is reserved anew, and then the old reservation is committed with what was
 * charged during it. Children that run across notice nothing. The commits add up to what the children were charged, each has the
 * breakdown of its own part, and each later reservation names the one before it in its metadata, as `renews`.
 *
 * - For a moment both are held, so a renewal needs as much budget beside the allotment as the allotment has left. Where that is
 *   denied, or the authority cannot be reached, the reservation is kept and extended, the renewal is tried again every `settleEvery`,
 *   and what was charged is committed when one succeeds or the body ends: nothing is lost, but more of it is at stake in a crash.
 *   Where the reservation can no longer be extended either, the request's `heartbeat` policy rules, and what was charged by then is
 *   charged as an event
 * - An allotment inside another one settles with that one, which is in this process, and needs no budget beside it. Up to the
 *   authority that takes as long as both of them together
 * - `Budget.current` and the log annotations inside name the first reservation
 *
 * - Children spend for the parent: budgets on scopes below the parent's are not asked, and `Budget.within` and the parent's own
 *   `subject` decide who they are. One whose subject is not at or below the parent's is `InvalidRequest`: allot for a workflow, say,
 *   and let its agents spend
 * - A child that uses more than it reserved draws on the rest. What is beyond that follows the parent's overage policy: `REJECT`
 *   refuses it at the child, the others pass it on to the parent's commit
 * - A child cannot outlive the allotment. What a fiber still holds when the body ends goes back; what it commits after that is
 *   charged to the authority around, as an event
 * - The children's holds are in memory. A crash of the process loses what they were charged since the last renewal, one chunk at most:
 *   the parent's hold expires
 * - Where the parent's mode is `off` or `shadow`, or the authority was unreachable and that was to be open, nothing is held, and the
 *   guards inside ask the authority around
 *
 * **Example** (Three agents, one hold)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const research = (topic: string) =>
 *   Budget.guard(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(400) },
 *     (r) => Effect.succeed(r.commit(Amount.tokens(300), `${topic}: done`))
 *   ).pipe(Budget.within({ agent: topic }))
 *
 * const program = Budget.allot(
 *   { action: Action.make("workflow.research", "report"), estimate: Amount.tokens(1_000) },
 *   Effect.forEach(["tea", "rain", "moss"], research)
 * ).pipe(
 *   Budget.within({ workflow: "report" }),
 *   Effect.map((done) => done.join(", ")),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "tea: done, rain: done, moss: done"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const allot: {
  <const U extends Unit>(
    request: Request<U>
  ): <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Budget.GuardError, R | Budget.Budget>
  <const U extends Unit, A, E, R>(
    request: Request<U>,
    body: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Budget.GuardError, R | Budget.Budget>
} = <const U extends Unit, A, E, R>(request: Request<U>, ...bodies: ReadonlyArray<Effect.Effect<A, E, R>>) => {
  const [body] = bodies
  // The overloads say which of the two it is; one implementation signature cannot.
  return (body === undefined
    ? (body: Effect.Effect<A, E, R>) => run(request, body)
    : run(request, body)) as never
}

/**
 * Turns "no budget left" into a last turn that is paid from the final reserve of the allotment: a summary of what was found so
 * far, a word to the user. Put it around the whole body of the allotment, since the reserve is open to everything inside from then
 * on.
 *
 * It answers denials and {@link Exhausted}; other errors pass. Outside of an allotment there is no reserve to open, and the turn
 * is paid like any other work.
 *
 * **Example** (Saying what was found)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const call = (name: string) =>
 *   Budget.guard(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(40) },
 *     (r) => Effect.succeed(r.commit(Amount.tokens(40), name))
 *   )
 *
 * const program = Budget.allot(
 *   { action: Action.make("workflow.research", "report"), estimate: Amount.tokens(140), finalReserve: Amount.tokens(40) },
 *   Budget.forEach(["tea", "rain", "moss"], call, { share: "firstCome" }).pipe(
 *     Effect.map((found) => found.join(" and ")),
 *     Budget.closing((exhausted) => call(`only ${exhausted.done.join(" and ")}`))
 *   )
 * ).pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "only tea and rain"
 * ```
 *
 * @category error handling
 * @since 0.1.0
 */
export const closing = <E, B, E2, R2>(
  turn: (exhausted: Exhausted<DoneOf<E>>) => Effect.Effect<B, E2, R2>
) =>
<A, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<A | B, Exclude<E, Denied | Exhausted<unknown>> | E2, R | R2> =>
  Effect.catch(self, (error): Effect.Effect<B, Exclude<E, Denied | Exhausted<unknown>> | E2, R2> => {
    const isExhausted = error instanceof Exhausted
    if (!isExhausted && !Errors.isDenied(error)) {
      // The two tests above leave nothing else of E; the checker cannot take a type parameter apart.
      return Effect.fail(error as Exclude<E, Denied | Exhausted<unknown>>)
    }
    return Effect.flatMap(Current, (part) => {
      const exhausted = isExhausted
        ? error
        : new Exhausted({ done: undefined, denied: error, spent: part?.spent() ?? [] })
      // What was done is of the type the error has, or `undefined` for a denial, which is what `DoneOf` says.
      const last = turn(exhausted as Exhausted<DoneOf<E>>)
      return part === undefined ? last : Effect.andThen(part.unlock, last)
    })
  })

/**
 * What the innermost allotment around still has to give, without its final reserve; nothing outside of an allotment.
 *
 * @category getters
 * @since 0.1.0
 */
export const remaining: Effect.Effect<Option.Option<AnyAmount>> = Effect.flatMap(
  Current,
  (part) => part === undefined ? Effect.succeed(Option.none()) : Effect.asSome(part.remaining)
)

// ---------------------------------------------------------------------------------------------------------------------
// the life of an allotment
// ---------------------------------------------------------------------------------------------------------------------

const DEFAULT_SETTLE_EVERY_MS = 30_000
const MIN_SETTLE_EVERY_MS = 100

const run = <U extends Unit, A, E, R>(
  request: Request<U>,
  body: Effect.Effect<A, E, R>
): Effect.Effect<A, E | Budget.GuardError, R | Budget.Budget> =>
  Effect.withFiber((fiber) => {
    const { estimate, finalReserve, settleEvery, subject } = request
    if (finalReserve !== undefined && (finalReserve.unit !== estimate.unit || finalReserve.amount > estimate.amount)) {
      return Effect.fail(
        new Errors.InvalidRequest({ field: "finalReserve", reason: "it is a part of the estimate, and in its unit" })
      )
    }
    const settleEveryMs = settleEvery === undefined ? DEFAULT_SETTLE_EVERY_MS : Duration.toMillis(settleEvery)
    // Written so that a number that is none is refused, too.
    if (!(settleEveryMs >= MIN_SETTLE_EVERY_MS)) {
      return Effect.fail(
        new Errors.InvalidRequest({
          field: "settleEvery",
          reason: `it is at least ${MIN_SETTLE_EVERY_MS} milliseconds`
        })
      )
    }
    const around = Context.getUnsafe(fiber.context, Budget.Budget)
    const task = around.complete(request, fiber.getRef(Budget.Spender))
    // A child is who the parent is, unless it says otherwise.
    const inside = subject === undefined ? body : Budget.within(body, subject)
    let opened: Opened | undefined
    const ended = Lifecycle.run(
      task,
      (reservation, tenure): Effect.Effect<A, E | Errors.InvalidRequest, R> =>
        tenure === undefined
          ? inside
          : Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(
              open(around, task, reservation, tenure, settleEveryMs, finalReserve?.amount ?? 0n),
              (ledger) => {
                opened = ledger
                return Effect.flatMap(
                  Effect.exit(restore(ledger.provide(inside))),
                  (exit) => Effect.andThen(ledger.end, exit)
                )
              }
            )
          ),
      // What was spent is committed however the body ended.
      () => opened === undefined ? { _tag: "Release", reason: "unused" } : opened.verdict()
    )
    return Telemetry.spanned(
      task.request.action,
      Effect.flatMap(ended, ({ exit }) =>
        // As with the settlement of the end: who was interrupted does not wait.
        opened === undefined || Lease.wasInterrupted(exit) ? exit : Effect.andThen(opened.settled, exit))
    )
  })

interface Opened {
  readonly provide: <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly end: Effect.Effect<void>
  /** What the end means for the hold. */
  readonly verdict: () => Lifecycle.Verdict
  /** Waits for the settlements of holds before the last one. */
  readonly settled: Effect.Effect<void>
}

/** The tenant the parent spends for. A remote authority knows it and the caller need not, but its scopes begin with it. */
const tenantOf = (subject: Subject, affectedScopes: ReadonlyArray<string>): string =>
  subject.tenant ?? /^tenant:([^/]+)/.exec(affectedScopes[0] ?? "")?.[1] ?? "self"

const open = Effect.fnUntraced(function*<U extends Unit>(
  around: Budget.Service,
  task: Lifecycle.Task<U>,
  reservation: Guarded<unknown, U>,
  tenure: Lifecycle.Tenure,
  settleEveryMs: number,
  finalReserve: bigint
): Effect.fn.Return<Opened, Errors.InvalidRequest> {
  const { estimate, overagePolicy, subject } = task.request
  const unit = estimate.unit
  const tenant = tenantOf(subject, reservation.affectedScopes)
  const scopes = ScopePath.derive(tenant, subject)
  const scope = Result.isSuccess(scopes) ? scopes.success[scopes.success.length - 1] : undefined
  if (scope === undefined) {
    return yield* new Errors.InvalidRequest({ field: "subject", reason: "an allotment needs a subject of its own" })
  }

  const ledgerScope = yield* Scope.make()
  const ledger = yield* Ledger.make({ maxExtensions: Infinity, queueCapacity: Infinity }).pipe(
    Effect.provideServiceEffect(LedgerStore, LedgerStoreMemory.make),
    Scope.provide(ledgerScope)
  )
  // Debt is how an overrun that nothing is left for is passed on to the parent's commit; reserving makes none.
  yield* Effect.orDie(ledger.createBudget(tenant, {
    scope,
    allocated: { unit, amount: estimate.amount - finalReserve },
    overdraftLimit: { unit, amount: MAX_INT64 }
  }))

  const children = makeChildren({
    around: around.keeper.authority,
    ledger: ledger.as({ tenant }),
    tenant,
    scope,
    unit,
    overagePolicy: overagePolicy ?? DEFAULT_OVERAGE_POLICY,
    capsNow: () => tenure.lease.reply.caps
  })

  const backgroundScope = yield* Scope.make()
  const own = yield* Scope.provide(Background.make(SHUTDOWN_TIMEOUT_MS), backgroundScope)
  const outer = around.keeper.background
  const line = Line.make()
  const keeper: Lease.Keeper = {
    ...around.keeper,
    authority: Line.watch(line, children.authority),
    // What children use is in this process alone until the allotment itself is settled; there is nothing to journal for them.
    settling: undefined,
    exchange: children.exchange,
    // A fiber that outlives the allotment settles with the authority around, so its work is that one's to wait for.
    background: {
      run: (restore, effect, onAbandoned) => (children.ended() ? outer : own).run(restore, effect, onAbandoned),
      start: (effect) => (children.ended() ? outer : own).start(effect),
      fork: (effect) => (children.ended() ? outer : own).fork(effect)
    }
  }
  const budget = Budget.Budget.of({
    ...around,
    keeper,
    line,
    complete: (request, spending) => {
      const task = around.complete(request, spending)
      return task.estimate.unit === unit ? { ...task, keeper } : task
    }
  })

  const remaining = Effect.map(
    Effect.orDie(ledger.as({ tenant }).balances({ tenant })),
    ({ balances }) => balances[0]?.remaining.amount ?? 0n
  )
  const atLeastZero = (amount: bigint): AnyAmount => ({ unit, amount: amount > 0n ? amount : 0n })

  let locked = finalReserve > 0n
  const part: Part = {
    remaining: Effect.map(remaining, atLeastZero),
    spent: children.spent,
    unlock: Effect.uninterruptible(Effect.suspend(() => {
      if (!locked) return Effect.void
      locked = false
      // An overrun must not eat into the reserve either, so what is missing is made up for.
      return Effect.flatMap(remaining, (remaining) =>
        Effect.orDie(ledger.fund(tenant, {
          idempotencyKey: IdempotencyKey.make("final-reserve"),
          scope,
          operation: "CREDIT",
          amount: { unit, amount: remaining < 0n ? finalReserve - remaining : finalReserve }
        })))
    }))
  }

  const renewal = yield* Renewal.start(task, tenure, settleEveryMs, children.tally)
  return {
    provide: (body) => body.pipe(Effect.provideService(Current, part), Effect.provideService(Budget.Budget, budget)),
    end: Effect.gen(function*() {
      children.refuse()
      yield* renewal.stop
      yield* Scope.close(backgroundScope, Exit.void)
      yield* children.end
      yield* Scope.close(ledgerScope, Exit.void)
    }),
    verdict: () => children.tally.verdictOf(children.tally.cut()),
    settled: renewal.settled
  }
})

/** What settles inside an allotment does so in memory and takes no time; this is for what may hang nevertheless. */
const SHUTDOWN_TIMEOUT_MS = 10_000

// ---------------------------------------------------------------------------------------------------------------------
// the authority of the children
// ---------------------------------------------------------------------------------------------------------------------

interface Child {
  readonly scope: string
  readonly action: Breakdown.Row["action"]
  readonly held: bigint
  settled: boolean
}

/** Charges by scope, action and model. */
const makeRows = () => {
  const rows = new Map<string, Breakdown.Row>()
  let total = 0n
  return {
    add: (row: Breakdown.Row): void => {
      const key = Breakdown.keyOf(row)
      const before = rows.get(key)
      rows.set(key, before === undefined ? row : { ...before, charged: before.charged + row.charged })
      total += row.charged
    },
    values: () => rows.values(),
    total: () => total
  }
}

interface Children {
  readonly authority: Operations
  readonly exchange: Lease.Exchange
  readonly spent: () => Breakdown.Breakdown
  readonly tally: Renewal.Tally
  /** From here on nothing new is reserved. */
  readonly refuse: () => void
  /** Gives back what is still held. From here on everything goes to the authority around. */
  readonly end: Effect.Effect<void>
  readonly ended: () => boolean
}

const makeChildren = (options: {
  readonly around: Operations
  readonly ledger: Operations
  readonly tenant: string
  readonly scope: string
  readonly unit: Unit
  readonly overagePolicy: OveragePolicy
  readonly capsNow: () => Guarded<unknown, Unit>["caps"]
}): Children => {
  const { around, capsNow, ledger, overagePolicy, scope, tenant, unit } = options
  const known = new Map<ReservationId, Child>()
  const events = new Set<EventId>()
  const rows = makeRows()
  let uncut = makeRows()
  let refusing = false
  let ended = false

  const count = (row: Breakdown.Row): void => {
    rows.add(row)
    uncut.add(row)
  }
  const tally: Renewal.Tally = {
    charged: () => uncut.total(),
    cut: () => {
      const cut = { charged: uncut.total(), rows: Array.from(uncut.values()) }
      uncut = makeRows()
      return cut
    },
    putBack: (cut) => {
      for (const row of cut.rows) uncut.add(row)
    },
    verdictOf: ({ charged, rows }) =>
      charged === 0n ? { _tag: "Release", reason: "unused" } : {
        _tag: "Commit",
        actual: { unit, amount: charged },
        report: { metadata: Breakdown.toMetadata(Breakdown.summarize(scope, rows)) }
      }
  }
  const charge = (
    at: Pick<Child, "scope" | "action">,
    charged: bigint,
    metrics: Metrics | undefined,
    metadata: JsonObject | undefined
  ): void => {
    if (charged === 0n) return
    // An allotment in this one has a breakdown of its own, which says more than its total.
    const inner = Breakdown.fromMetadata(metadata)
    if (Option.isSome(inner) && Breakdown.total(inner.value) === charged) {
      for (const row of inner.value) count(row)
      return
    }
    const model = metrics?.modelVersion
    count({ scope: at.scope, action: at.action, ...(model === undefined ? undefined : { model }), charged })
  }

  const placeOf = (subject: Subject): Result.Result<string, Errors.InvalidRequest> => {
    const scopes = ScopePath.derive(tenant, subject)
    return Result.isSuccess(scopes) && scopes.success.includes(scope)
      ? Result.succeed(scopes.success[scopes.success.length - 1] ?? scope)
      : Result.fail(
        new Errors.InvalidRequest({
          field: "subject",
          scope,
          reason: "the subject of a child must be at or below that of its allotment; allot for a wider subject"
        })
      )
  }
  const below = <A, E>(
    subject: Subject,
    then: (place: string) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | Errors.InvalidRequest> => {
    const place = placeOf(subject)
    return Result.isFailure(place) ? Effect.fail(place.failure) : then(place.success)
  }
  const actionOf = ({ kind, name }: Breakdown.Row["action"]): Breakdown.Row["action"] => ({ kind, name })

  // What changes the ledger and what is known of it here takes turns: an overrun is compared with what is left before it is charged,
  // an exchange is two steps, and nothing is still to be counted when the end has come.
  const turns = Semaphore.makeUnsafe(1)
  const inTurn = <A, E>(step: () => Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.uninterruptible(turns.withPermit(Effect.suspend(step)))

  const expired = new Errors.ReservationExpired({ scope, reason: "the allotment it belonged to has ended" })
  const finalized = new Errors.ReservationFinalized({ scope, reason: "the allotment it belonged to has ended" })
  /** What a settlement is told that comes after the end: its hold went back then, or it was settled before. */
  const tooLate = (child: Child) => Effect.fail(child.settled ? finalized : expired)

  const overrun = (child: Child, actual: bigint): Effect.Effect<void, Errors.CommitError> =>
    overagePolicy !== "REJECT" || child.settled || actual <= child.held
      ? Effect.void
      : Effect.flatMap(ledger.balances({ tenant }), ({ balances }) => {
        const left = balances[0]?.remaining.amount ?? 0n
        return actual - child.held <= left ? Effect.void : Effect.fail(
          new Errors.BudgetExceeded({
            scope,
            unit,
            requested: actual,
            remaining: child.held + left,
            reason: "more was used than the allotment has left, and its overage policy is REJECT"
          })
        )
      })

  const remember = (reply: ReserveReply, { action, estimate }: ReserveRequest, place: string): ReserveReply => {
    const id = reply.reservationId
    if (id !== undefined && !known.has(id)) {
      known.set(id, { scope: place, action: actionOf(action), held: estimate.amount, settled: false })
    }
    const caps = capsNow()
    return caps === undefined || reply.decision !== "ALLOW"
      ? reply
      : { ...reply, decision: "ALLOW_WITH_CAPS" as const, caps }
  }
  // Whatever a child's own policy is: its overrun draws on the rest, and the parent's policy rules what is beyond.
  const reserve = (request: ReserveRequest) => ledger.reserve({ ...request, overagePolicy: "ALLOW_WITH_OVERDRAFT" })
  const commit = (id: ReservationId, child: Child, request: CommitRequest) =>
    Effect.map(ledger.commit(id, request), (reply) => {
      if (!child.settled) charge(child, reply.charged.amount, request.metrics, request.metadata)
      child.settled = true
      return reply
    })
  const release = (id: ReservationId, child: Child, request: ReleaseRequest) =>
    Effect.map(ledger.release(id, request), (reply) => {
      child.settled = true
      return reply
    })

  const authority: Operations = {
    decide: (request) =>
      request.estimate.unit !== unit || ended
        ? around.decide(request)
        : below(request.subject, () => ledger.decide(request)),
    reserve: (request) => {
      if (request.estimate.unit !== unit) return around.reserve(request)
      return below(request.subject, (place) =>
        inTurn(() =>
          refusing
            ? Effect.fail(new Errors.BudgetClosed({ scope, unit, reason: "the allotment has ended" }))
            : Effect.map(reserve(request), (reply) => remember(reply, request, place))
        ))
    },
    commit: (id, request) => {
      const child = known.get(id)
      if (child === undefined) return around.commit(id, request)
      return inTurn(() =>
        ended
          ? tooLate(child)
          : Effect.andThen(overrun(child, request.actual.amount), commit(id, child, request))
      )
    },
    release: (id, request) => {
      const child = known.get(id)
      if (child === undefined) return around.release(id, request)
      return inTurn(() => ended ? tooLate(child) : release(id, child, request))
    },
    extend: (id, request) => {
      const child = known.get(id)
      if (child === undefined) return around.extend(id, request)
      return Effect.suspend(() => ended ? tooLate(child) : ledger.extend(id, request))
    },
    event: (request) =>
      request.actual.unit !== unit ? around.event(request) : Effect.suspend(() => {
        if (ended) return around.event(request)
        return below(request.subject, (place) =>
          Effect.flatten(inTurn(() =>
            // The end may have come while it waited for its turn; the authority around is not to be waited for in one.
            ended ? Effect.succeed(around.event(request)) : Effect.map(
              ledger.event({
                ...request,
                overagePolicy: overagePolicy === "REJECT" ? "REJECT" : "ALLOW_WITH_OVERDRAFT"
              }),
              (reply) => {
                if (!events.has(reply.eventId)) {
                  events.add(reply.eventId)
                  const charged = reply.charged?.amount ?? request.actual.amount
                  charge({ scope: place, action: actionOf(request.action) }, charged, request.metrics, request.metadata)
                }
                return Effect.succeed(reply)
              }
            )
          )))
      }),
    reservation: (id) => known.has(id) && !ended ? ledger.reservation(id) : around.reservation(id),
    // What can be spent here: the allotment in its unit, the budgets around in the others.
    balances: (query) =>
      Effect.suspend(() =>
        ended ? around.balances(query) : Effect.zipWith(
          query.cursor === undefined ? ledger.balances(query) : Effect.succeed({ balances: [] }),
          around.balances(query),
          (own, page) => ({
            ...page,
            balances: [...own.balances, ...page.balances.filter(({ remaining }) => remaining.unit !== unit)]
          })
        )
      ),
    reservations: (query) => Effect.suspend(() => ended ? around.reservations(query) : ledger.reservations(query))
  }

  const exchange: Lease.Exchange = (held, next) =>
    below(next.subject, (place) =>
      inTurn(() => {
        const child = known.get(held.id)
        if (child === undefined || ended || refusing) return Effect.fail(expired)
        const used = held.commit?.actual.amount ?? 0n
        return Effect.flatMap(ledger.balances({ tenant }), ({ balances }) => {
          // Both or neither: what the second step needs is there before the first is taken.
          const free = (balances[0]?.remaining.amount ?? 0n) + child.held - used
          if (free < next.estimate.amount) {
            return Effect.fail(
              new Errors.BudgetExceeded({ scope, unit, requested: next.estimate.amount, remaining: free })
            )
          }
          const settled: Effect.Effect<unknown, Errors.CommitError> = held.commit === undefined
            ? release(held.id, child, { idempotencyKey: IdempotencyKey.make(`release-${held.id}`), reason: "renewed" })
            : commit(held.id, child, held.commit)
          return Effect.andThen(settled, Effect.map(reserve(next), (reply) => remember(reply, next, place)))
        })
      }))

  return {
    authority,
    exchange,
    spent: () => Breakdown.summarize(scope, rows.values()),
    tally,
    refuse: () => {
      refusing = true
    },
    end: inTurn(() => {
      ended = true
      const left = Array.from(known).filter(([, child]) => !child.settled)
      return Effect.forEach(left, ([id]) =>
        Effect.ignore(
          ledger.release(id, { idempotencyKey: IdempotencyKey.make(`end-${id}`), reason: "allotment ended" })
        ), { discard: true })
    }),
    ended: () => ended
  }
}
