/**
 * How a guarded call ends: a value that says what was used, and what became of saying so.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Types from "effect/Types"
import type { Amount, AnyAmount, Unit } from "../protocol/Amount.ts"
import type { CommitError, EventError, ReleaseError } from "../protocol/CyclesError.ts"
import type { JsonObject, Metrics } from "../protocol/Metrics.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-cycles/runtime/Settlement"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof TypeId

/**
 * What travels with a commit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly metrics?: Metrics | undefined
  readonly metadata?: JsonObject | undefined
}

/**
 * A decision about one reservation: commit so much, or release it; and the value or the error the guarded call ends with.
 *
 * Only the reservation that a guarded call was given can build one (`S` is that call's own type, which nothing else has), and
 * all one can do with it is return it. So a second settlement and a forgotten one do not type-check. Building one does
 * nothing by itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settlement<in out S, out U extends Unit, out A, out E = never> {
  readonly [TypeId]: {
    readonly S: Types.Invariant<S>
    readonly U: Types.Covariant<U>
    readonly A: Types.Covariant<A>
    readonly E: Types.Covariant<E>
  }
}

/**
 * The settlements of several reservations, one of each, as `Budget.guardAll` asks for them. `S` names the reservation each
 * settlement belongs to, `Names` are the names and no more of them; build one with {@link all}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Joined<out S, in out Names, out A, out E = never> {
  readonly "~effect-cycles/runtime/Settlement/Joined": {
    readonly S: Types.Covariant<S>
    readonly Names: Types.Invariant<Names>
    readonly A: Types.Covariant<A>
    readonly E: Types.Covariant<E>
  }
}

/**
 * Any settlement without a value of its own, whatever its reservation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Part {
  readonly [TypeId]: {
    readonly U: Types.Covariant<Unit>
    readonly A: Types.Covariant<void>
    readonly E: Types.Covariant<unknown>
  }
}

/**
 * Joins the settlements of a `Budget.guardAll`, one for each of its reservations, and says what the call succeeds with. Where one of
 * them is a `commitFail`, all are carried out and the call fails with its error, the first one's by name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const all: {
  <const Parts extends Readonly<Record<string, Part>>>(
    parts: Parts
  ): Joined<BrandsOf<Parts>, keyof Parts, void, ErrorsOf<Parts>>
  <const Parts extends Readonly<Record<string, Part>>, A>(
    parts: Parts,
    value: A
  ): Joined<BrandsOf<Parts>, keyof Parts, A, ErrorsOf<Parts>>
} = (parts: Readonly<Record<string, Part>>, value?: unknown) =>
  // The type parameters are phantoms: joined settlements are their decisions and a value.
  ({ parts, value }) as never

type BrandsOf<Parts> = {
  readonly [K in keyof Parts]: Parts[K] extends { readonly [TypeId]: { readonly S: Types.Invariant<infer S> } } ? S
    : never
}

type ErrorsOf<Parts> = {
  readonly [K in keyof Parts]: Parts[K] extends { readonly [TypeId]: { readonly E: Types.Covariant<infer E> } } ? E
    : never
}[keyof Parts]

/**
 * What joined settlements say, by name.
 *
 * @internal
 */
export interface Decisions {
  readonly parts: Readonly<Record<string, Decision>>
  readonly value: unknown
}

/**
 * @internal
 */
export const decisionsOf = <S, Names, A, E>(joined: Joined<S, Names, A, E>): Decisions =>
  // The inverse of `all`, which is the only way to come by joined settlements.
  joined as unknown as Decisions

/**
 * What a settlement says, and of which reservation, for the code that carries it out.
 *
 * @internal
 */
export type Decision =
  | {
    readonly _tag: "Commit"
    readonly of: object
    readonly actual: AnyAmount
    readonly report: Report | undefined
    readonly value: unknown
  }
  | {
    readonly _tag: "CommitFail"
    readonly of: object
    readonly actual: AnyAmount
    readonly report: Report | undefined
    readonly error: unknown
  }
  | { readonly _tag: "Release"; readonly of: object; readonly value: unknown }

/**
 * What became of a settlement.
 *
 * - `Committed`: charged; `charged` may be less than what was used where the overage policy caps it
 * - `Released`: the hold went back
 * - `RecoveredAsEvent`: the lease had ended, so what was used was charged without it
 * - `Rejected`: the authority refused for good, which was logged as an error. Where the overage policy refused it, the hold is charged
 *   instead, as `charged`; the rest is not
 * - `Pending`: not yet charged, and not lost: it is in the journal, and tried further in the background or by a later run. `error`
 *   is what came of the last attempt, where one was answered
 * - `Unresolved`: the authority did not answer, however often it was asked; what became of it is not known. With a journal a
 *   charge is `Pending` instead
 * - `Unguarded`: there was no hold to settle, because the mode was `off` or `shadow`, or the authority was unreachable and that
 *   was to be open
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly _tag: "Committed"; readonly charged: AnyAmount; readonly released: AnyAmount | undefined }
  | { readonly _tag: "Released"; readonly released: AnyAmount }
  | { readonly _tag: "RecoveredAsEvent"; readonly charged: AnyAmount }
  | {
    readonly _tag: "Rejected"
    readonly error: CommitError | ReleaseError | EventError
    readonly charged: AnyAmount | undefined
  }
  | { readonly _tag: "Pending"; readonly error: CommitError | EventError | undefined }
  | { readonly _tag: "Unresolved"; readonly error: CommitError | ReleaseError | EventError }
  | { readonly _tag: "Unguarded"; readonly because: "off" | "shadow" | "unavailable" }

/**
 * The value of a guarded call and what became of its settlement, side by side.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settled<out A> {
  readonly value: A
  readonly outcome: Outcome
}

/**
 * A settlement that did not go through, for callers who want that to fail. `value` is what the body returned: it is not lost.
 *
 * @category errors
 * @since 0.1.0
 */
export class SettlementFailed extends Schema.TaggedError<SettlementFailed>("effect-cycles/SettlementFailed")(
  "SettlementFailed",
  {
    outcome: Schema.Literals(["Rejected", "Unresolved"]),
    value: Schema.Unknown,
    cause: Schema.Defect()
  }
) {
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  override get message(): string {
    return this.outcome === "Rejected"
      ? "The settlement was refused. At most the hold was charged; record the rest as an event, or raise the budget and do so then."
      : "The settlement got no answer. Look the reservation up before charging it again."
  }
}

/**
 * The value, or a failure where its settlement was rejected or is unresolved. Without this such trouble is logged and the value is
 * returned all the same. One that is pending in the journal is no trouble yet.
 *
 * @category combinators
 * @since 0.1.0
 */
export const valueOrFail = <A>(settled: Settled<A>): Effect.Effect<A, SettlementFailed> =>
  settled.outcome._tag === "Rejected" || settled.outcome._tag === "Unresolved"
    ? Effect.fail(
      new SettlementFailed({ outcome: settled.outcome._tag, value: settled.value, cause: settled.outcome.error })
    )
    : Effect.succeed(settled.value)

/**
 * @internal
 */
export const make = <S, U extends Unit, A, E>(decision: Decision): Settlement<S, U, A, E> =>
  // The type parameters are phantoms: a settlement is its decision and nothing else.
  decision as unknown as Settlement<S, U, A, E>

/**
 * @internal
 */
export const decisionOf = <S, U extends Unit, A, E>(settlement: Settlement<S, U, A, E>): Decision =>
  // The inverse of `make`, which is the only way to come by a settlement.
  settlement as unknown as Decision

/**
 * An amount of a unit that is a type parameter, as one of the four it can be.
 *
 * @internal
 */
export const widen = <U extends Unit>(amount: Amount<U>): AnyAmount =>
  // `Amount<U>` is one member of the union for every U, which the checker cannot see while U is open.
  amount as unknown as AnyAmount
