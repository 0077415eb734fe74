/**
 * Those who wait for budget, in the order they came, and the settlements that wake them.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Operations } from "../protocol/BudgetAuthority.ts"

/** One who waits, and what wakes it. */
export interface Ticket {
  signal: Deferred.Deferred<void>
}

/**
 * Those who wait for budget of one `Budget` layer, in the order they came. The first is woken whenever something settles.
 */
export interface Line {
  readonly tickets: Array<Ticket>
  /** How many settlements there were, so that one between a denial and the wait for it is not missed. */
  settled: number
}

export const make = (): Line => ({ tickets: [], settled: 0 })

/** Wakes the one given, if there is one. */
export const wake = (ticket: Ticket | undefined): void => {
  if (ticket !== undefined) Deferred.doneUnsafe(ticket.signal, Effect.void)
}

/** The authority, with the line told of every settlement. */
export const watch = (line: Line, authority: Operations): Operations => {
  const settled = <A, E>(settlement: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.map(settlement, (reply) => {
      line.settled++
      wake(line.tickets[0])
      return reply
    })
  return {
    decide: (request) => authority.decide(request),
    reserve: (request) => authority.reserve(request),
    commit: (id, request) => settled(authority.commit(id, request)),
    release: (id, request) => settled(authority.release(id, request)),
    extend: (id, request) => authority.extend(id, request),
    event: (request) => authority.event(request),
    balances: (query) => authority.balances(query),
    reservation: (id) => authority.reservation(id),
    reservations: (query) => authority.reservations(query)
  }
}
