/**
 * The port: who decides whether budget may be spent.
 *
 * An authority is somebody's. Which tenant asks, and with what rights, is settled when the authority is made, so requests
 * carry no identity. Whoever provides it (the embedded ledger, a client over HTTP, a script in a test) is indistinguishable
 * from above.
 *
 * Its operations are exactly those of the runtime plane of `cycles-protocol-v0.yaml`. This is the lowest of the three
 * levels of the API; `Budget.guard` and `Reservation.make` are written on it and take care of leases, settlement and
 * interruption.
 *
 * **Example** (Calling the port directly)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, BudgetAuthority, Ledger } from "effect-cycles"
 * import { IdempotencyKey } from "effect-cycles/protocol/Ids"
 *
 * const program = Effect.gen(function*() {
 *   const authority = yield* BudgetAuthority.BudgetAuthority
 *   const reply = yield* authority.decide({
 *     idempotencyKey: IdempotencyKey.make("ask-1"),
 *     subject: { agent: "writer" },
 *     action: Action.make("llm.completion", "gpt-4o"),
 *     estimate: Amount.tokens(1_000)
 *   })
 *   return reply.decision
 * }).pipe(
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "ALLOW"
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { BalancesPage, BalancesQuery } from "./Balance.ts"
import type {
  CommitError,
  DecideError,
  EventError,
  ExtendError,
  ReadError,
  ReleaseError,
  ReserveError,
  Trouble
} from "./CyclesError.ts"
import type { DecideReply, DecideRequest } from "./Decide.ts"
import type { EventReply, EventRequest } from "./Event.ts"
import type { ExtendReply, ExtendRequest } from "./Extend.ts"
import type { ReservationId } from "./Ids.ts"
import type { ReservationRecord, ReservationsPage, ReservationsQuery } from "./ReservationRecord.ts"
import type { ReserveReply, ReserveRequest } from "./Reserve.ts"
import type { CommitReply, CommitRequest, ReleaseReply, ReleaseRequest } from "./Settle.ts"

/**
 * The operations of an authority.
 *
 * Mutations are idempotent by their key: the same key with the same request gives the first reply again, with another
 * request `IdempotencyMismatch`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operations {
  /** Would this be allowed now? Holds nothing. A denial is a reply here, not an error. */
  readonly decide: (request: DecideRequest) => Effect.Effect<DecideReply, DecideError>
  /** Holds the estimate on every budgeted scope of the subject, or on none. With `dryRun` only evaluates. */
  readonly reserve: (request: ReserveRequest) => Effect.Effect<ReserveReply, ReserveError>
  /** Charges what was used and gives the rest of the hold back. */
  readonly commit: (id: ReservationId, request: CommitRequest) => Effect.Effect<CommitReply, CommitError>
  /** Gives a hold back unused. */
  readonly release: (id: ReservationId, request: ReleaseRequest) => Effect.Effect<ReleaseReply, ReleaseError>
  /** Moves the end of a lease out. */
  readonly extend: (id: ReservationId, request: ExtendRequest) => Effect.Effect<ExtendReply, ExtendError>
  /** Charges something that has already happened and was not reserved. */
  readonly event: (request: EventRequest) => Effect.Effect<EventReply, EventError>
  /** The budgets whose paths have all of the given segments. */
  readonly balances: (query: BalancesQuery) => Effect.Effect<BalancesPage, Trouble>
  /** One reservation. An expired one is `ReservationExpired`; it still appears in lists. */
  readonly reservation: (id: ReservationId) => Effect.Effect<ReservationRecord, ReadError>
  /** A page of the tenant's reservations. */
  readonly reservations: (query: ReservationsQuery) => Effect.Effect<ReservationsPage, Trouble>
}

/**
 * The service a program asks for when it needs an authority.
 *
 * @category services
 * @since 0.1.0
 */
export class BudgetAuthority extends Context.Service<BudgetAuthority, Operations>()(
  "effect-cycles/protocol/BudgetAuthority"
) {}
