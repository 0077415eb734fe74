/**
 * The reservation as a resource of the `Scope`: for streams, long sessions, and work that is settled far from where it began.
 *
 * Closing the scope releases what was not settled. Unlike in `Budget.guard`, the types cannot see a second settlement here: it
 * is refused at run time with {@link AlreadySettled}. Prefer `Budget.guard` where a body can return its settlement.
 *
 * **Example** (Reserve, work, commit)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger, Reservation } from "effect-cycles"
 *
 * const session = Effect.scoped(Effect.gen(function*() {
 *   const r = yield* Reservation.make({ action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(2_000) })
 *   const outcome = yield* Reservation.commit(r, Amount.tokens(570), { metrics: { tokensInput: 150, tokensOutput: 420 } })
 *   return outcome._tag
 * }))
 *
 * const program = session.pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "Committed"
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Types from "effect/Types"
import { Action } from "../protocol/Action.ts"
import type { Amount, Unit } from "../protocol/Amount.ts"
import { Amount as AnyAmount } from "../protocol/Amount.ts"
import * as Caps from "../protocol/Caps.ts"
import type { ExtendError } from "../protocol/CyclesError.ts"
import { ReservationId } from "../protocol/Ids.ts"
import { OveragePolicy } from "../protocol/OveragePolicy.ts"
import { DEFAULT_TTL_MS, TtlMs } from "../protocol/Reserve.ts"
import { Subject } from "../protocol/Subject.ts"
import * as Budget from "./Guard.ts"
import type { LeaseLost } from "./Heartbeat.ts"
import type { Details } from "./Hold.ts"
import * as Lease from "./Lease.ts"
import type { Outcome, Report } from "./Settlement.ts"
import * as Settlements from "./Settlement.ts"
import * as Telemetry from "./Telemetry.ts"

export type { Details, Guarded } from "./Hold.ts"

/**
 * A second settlement of one reservation. The first one stands.
 *
 * @category errors
 * @since 0.1.0
 */
export class AlreadySettled
  extends Schema.TaggedError<AlreadySettled>("effect-cycles/AlreadySettled")("AlreadySettled", {
    reservationId: ReservationId
  })
{
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  override get message(): string {
    return `Reservation ${this.reservationId} is already settled. Settle once, where the work ends.`
  }
}

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-cycles/runtime/Reservation"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof TypeId

/**
 * A reservation owned by a scope. Settle it with {@link commit} or {@link release}; the scope's end releases it otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reservation<in out U extends Unit> extends Details<U> {
  readonly [TypeId]: {
    readonly U: Types.Invariant<U>
    /** Carries out a settlement, the first time it is asked to. @internal */
    readonly settle: (
      settlement: (lease: Lease.Lease, keeper: Lease.Keeper, stop: () => void) => Effect.Effect<Effect.Effect<Outcome>>
    ) => Effect.Effect<Outcome, AlreadySettled>
    /** @internal */
    readonly handOver: Effect.Effect<Handover, AlreadySettled>
    /** @internal */
    readonly beating: Lease.Beating
  }
}

/**
 * What to reserve. A scoped reservation has no body that could be failed or interrupted, so a lost lease is logged as a warning,
 * and {@link lost} tells.
 *
 * @category models
 * @since 0.1.0
 */
export type Request<U extends Unit> = Omit<Budget.Request<U>, "heartbeat" | "mode" | "onUnavailable" | "onUnsettled">

/**
 * Takes a hold and ties it to the scope: a heartbeat keeps it alive until it is settled or the scope ends, and the scope's end
 * releases it where it was not settled. An interrupt while the reserve is under way leaves nothing behind.
 *
 * Until the scope ends, what this fiber and the fibers it forks log is annotated with `cycles.reservation_id`, `cycles.scope` and
 * `cycles.action`. Where a tracer is installed, the time until then is a span `Reservation.make`, with the decision and the outcome
 * among its attributes; what is sent for the reservation is under it, what the scope does otherwise is not.
 *
 * The mode and what happens when the authority is unavailable are those of `Budget.guard` alone: this always reserves.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const U extends Unit>(
  request: Request<U>
): Effect.Effect<Reservation<U>, Exclude<Budget.GuardError, LeaseLost>, Budget.Budget | Scope.Scope> =>
  Effect.withFiber((fiber) => {
    const budget = Context.getUnsafe(fiber.context, Budget.Budget)
    const task = budget.complete(request, fiber.getRef(Budget.Spender))
    const { keeper } = task
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Telemetry.begin("Reservation.make", task.request.action), (lifetime) => {
        const taken = Effect.flatMap(Lease.acquire(keeper, task.request, restore), (lease) => {
          const tool = lease.request.action.name
          return task.enforceCaps && !Caps.isToolAllowed(lease.reply.caps, tool)
            ? Effect.andThen(
              keeper.background.run(restore, Lease.release(keeper, lease.id, "tool not allowed")),
              Effect.fail(new Caps.ToolNotAllowed({ tool }))
            )
            : Effect.succeed(lease)
        })
        return Effect.flatMap(
          Telemetry.taking(lifetime, taken),
          (lease) => own(keeper, lease, request.estimate, lifetime)
        )
      })
    )
  })

/** Ties a lease to the scope. */
const own = <U extends Unit>(
  keeper: Lease.Keeper,
  lease: Lease.Lease,
  estimate: Amount<U>,
  lifetime: Telemetry.Lifetime | undefined
): Effect.Effect<Reservation<U>, never, Scope.Scope> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const details = Lease.detailsOf(lease, estimate)
    yield* Telemetry.annotatedScope(lease.request.action, details)
    if (lifetime !== undefined) {
      Telemetry.given(lifetime.span, details)
      yield* Effect.addFinalizer((exit) => Effect.sync(() => lifetime.end(exit)))
    }
    const outcomeOf = (settled: Effect.Effect<Outcome>): Effect.Effect<Outcome> =>
      lifetime === undefined ?
        settled :
        Effect.tap(
          Telemetry.within(lifetime, settled),
          (outcome) => Effect.sync(() => Telemetry.ended(lifetime.span, outcome))
        )
    const beating = yield* Telemetry.within(lifetime, Lease.beat(keeper, lease, "warn"))
    const stop = (): void => beating.fiber.interruptUnsafe()
    let settled = false
    yield* Effect.addFinalizer((exit) =>
      Effect.suspend(() => {
        stop()
        if (settled) return Effect.void
        settled = true
        const release = outcomeOf(
          Lease.releaseOutcome(keeper, lease.id, Lease.wasInterrupted(exit) ? "interrupted" : "not settled")
        )
        return Lease.wasInterrupted(exit) ? keeper.background.start(release) : release
      })
    )
    const once = <A>(then: () => Effect.Effect<A>): Effect.Effect<A, AlreadySettled> =>
      Effect.suspend((): Effect.Effect<A, AlreadySettled> => {
        if (settled) return Effect.fail(new AlreadySettled({ reservationId: lease.id }))
        settled = true
        return then()
      })
    return {
      ...details,
      [TypeId]: {
        U: (unit: U) => unit,
        beating,
        settle: (settlement) =>
          Effect.uninterruptibleMask((restore) =>
            once(() =>
              Effect.flatMap(
                settlement(lease, keeper, stop),
                (settled) => keeper.background.run(restore, outcomeOf(settled))
              )
            )
          ),
        handOver: once(() => {
          stop()
          const { action, estimate: held, overagePolicy, subject, ttlMs } = lease.request
          return Effect.succeed({
            reservationId: lease.id,
            subject,
            action,
            reserved: held,
            ttlMs: ttlMs ?? DEFAULT_TTL_MS,
            ...(overagePolicy === undefined ? undefined : { overagePolicy }),
            ...(lease.reply.caps === undefined ? undefined : { caps: lease.reply.caps }),
            affectedScopes: lease.reply.affectedScopes
          })
        })
      }
    }
  }))

/**
 * What another scope, or another process, needs to go on with a reservation. Encode it with this schema to send it there.
 *
 * @category models
 * @since 0.1.0
 */
export const Handover = Schema.Struct({
  reservationId: ReservationId,
  subject: Subject,
  action: Action,
  reserved: AnyAmount,
  ttlMs: TtlMs,
  overagePolicy: Schema.optionalKey(OveragePolicy),
  caps: Schema.optionalKey(Caps.Caps),
  affectedScopes: Schema.Array(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export interface Handover extends Schema.Schema.Type<typeof Handover> {}

/**
 * Gives a reservation out of its scope's hands: the scope's end no longer releases it, its heartbeat stops, and whoever
 * {@link adopt}s the handover settles it. Nobody extends it in between, so adopt it within its lease.
 *
 * Fails with {@link AlreadySettled} where the reservation was settled or handed over before.
 *
 * **Example** (Reserve here, settle there)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger, Reservation } from "effect-cycles"
 *
 * const front = Effect.scoped(Effect.gen(function*() {
 *   const r = yield* Reservation.make({ action: Action.make("job.render", "video"), estimate: Amount.credits(50) })
 *   return yield* Reservation.handOver(r)
 * }))
 *
 * const worker = (handover: Reservation.Handover) => Effect.scoped(Effect.gen(function*() {
 *   const r = yield* Reservation.adopt(handover)
 *   return yield* Reservation.commit(r, Amount.make(r.reserved.unit, 40))
 * }))
 *
 * const program = Effect.flatMap(front, worker).pipe(
 *   Effect.map((outcome) => outcome._tag),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.credits(100) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "Committed"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const handOver = <U extends Unit>(self: Reservation<U>): Effect.Effect<Handover, AlreadySettled> =>
  self[TypeId].handOver

/**
 * Takes a reservation up that was handed over. Its lease is extended at once, which also proves that it is still alive; from then on
 * it belongs to this scope as if it had been made here; its span is called `Reservation.adopt`. An interrupt while the extension is
 * under way releases it.
 *
 * Fails as an extension does: `ReservationExpired` and `ReservationFinalized` where it came too late.
 *
 * @category constructors
 * @since 0.1.0
 */
export const adopt = (
  handover: Handover
): Effect.Effect<Reservation<Unit>, ExtendError, Budget.Budget | Scope.Scope> =>
  Effect.withFiber((fiber) => {
    const { keeper } = Context.getUnsafe(fiber.context, Budget.Budget)
    const { action, affectedScopes, caps, overagePolicy, reservationId, reserved, subject, ttlMs } = handover
    const hold = {
      id: reservationId,
      request: {
        idempotencyKey: keeper.newKey(),
        subject,
        action,
        estimate: reserved,
        ttlMs,
        ...(overagePolicy === undefined ? undefined : { overagePolicy })
      },
      reply: {
        decision: caps === undefined ? "ALLOW" as const : "ALLOW_WITH_CAPS" as const,
        ...(caps === undefined ? undefined : { caps }),
        affectedScopes
      }
    }
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Telemetry.begin("Reservation.adopt", action), (lifetime) =>
        Effect.flatMap(
          Telemetry.taking(lifetime, Lease.adopt(keeper, hold, restore)),
          (lease) => own<Unit>(keeper, lease, reserved, lifetime)
        ))
    )
  })

/**
 * Charges what was used. An interrupt while the commit is under way does not abort it.
 *
 * Fails with {@link AlreadySettled} where the reservation was settled before. What became of the charge is the outcome: trouble is
 * repeated while that can help, charged as an event where the lease had ended, and logged as an error where it is refused.
 *
 * @category combinators
 * @since 0.1.0
 */
export const commit = <U extends Unit>(
  self: Reservation<U>,
  actual: Amount<NoInfer<U>>,
  report?: Report
): Effect.Effect<Outcome, AlreadySettled> =>
  self[TypeId].settle((lease, keeper, stop) => Lease.commit(keeper, lease, Settlements.widen(actual), report, stop))

/**
 * Gives the hold back unused, before the scope ends.
 *
 * Fails with {@link AlreadySettled} where the reservation was settled before.
 *
 * @category combinators
 * @since 0.1.0
 */
export const release = <U extends Unit>(self: Reservation<U>): Effect.Effect<Outcome, AlreadySettled> =>
  self[TypeId].settle((lease, keeper, stop) => {
    stop()
    return Effect.succeed(Lease.releaseOutcome(keeper, lease.id, "unused"))
  })

/**
 * Why the lease could not be kept, once that has happened; `undefined` while it is fine.
 *
 * @category getters
 * @since 0.1.0
 */
export const lost = <U extends Unit>(self: Reservation<U>): LeaseLost | undefined => self[TypeId].beating.lost
