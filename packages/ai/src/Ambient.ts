/**
 * The budget around a call, which may be another than that a layer was built with: an allotment, or a tenant's.
 *
 * @internal
 */
import * as Budget from "effect-cycles/runtime/Budget"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

const around = (otherwise: Budget.Service): Effect.Effect<Budget.Service> =>
  Effect.map(Effect.serviceOption(Budget.Budget), Option.getOrElse(() => otherwise))

/** Provides the budget around the call, and another where there is none. */
export const provide: {
  (otherwise: Budget.Service): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Budget.Budget>>
  <A, E, R>(self: Effect.Effect<A, E, R>, otherwise: Budget.Service): Effect.Effect<A, E, Exclude<R, Budget.Budget>>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, otherwise: Budget.Service): Effect.Effect<A, E, Exclude<R, Budget.Budget>> =>
    Effect.flatMap(around(otherwise), (budget) => Effect.provideService(self, Budget.Budget, budget))
)

/** As {@link provide}, for a stream. */
export const provideStream: {
  (otherwise: Budget.Service): <A, E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<A, E, Exclude<R, Budget.Budget>>
  <A, E, R>(self: Stream.Stream<A, E, R>, otherwise: Budget.Service): Stream.Stream<A, E, Exclude<R, Budget.Budget>>
} = dual(
  2,
  <A, E, R>(self: Stream.Stream<A, E, R>, otherwise: Budget.Service): Stream.Stream<A, E, Exclude<R, Budget.Budget>> =>
    Stream.unwrap(Effect.map(around(otherwise), (budget) => Stream.provideService(self, Budget.Budget, budget)))
)
