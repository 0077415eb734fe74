/**
 * Hands events on, each at least once: those of a tenant that were pulled count as handed on at the next pull, not before.
 *
 * @internal
 */
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Trouble } from "../protocol/CyclesError.ts"
import type { Bell } from "./Bell.ts"
import type { LedgerTx, Operations as Store, StoreError } from "./LedgerStore.ts"
import type { LedgerEvent } from "./Model.ts"
import type { View } from "./View.ts"

/** How many events are in memory at a time, and how many tenants are looked up at once. */
const PAGE = 100
const TENANTS = 1_000

/** An empty outbox is looked at again after a while, since other processes write to it too. */
const FIRST_PAUSE_MS = 100
export const LONGEST_PAUSE_MS = 5_000

const isNonEmpty = (page: ReadonlyArray<LedgerEvent>): page is Arr.NonEmptyReadonlyArray<LedgerEvent> => page.length > 0

export const make = ({ bell, delivered, read, store }: {
  readonly store: Store
  readonly bell: Bell
  readonly read: <A>(
    tenant: string,
    body: (tx: LedgerTx, view: View) => Effect.Effect<A, StoreError>
  ) => Effect.Effect<A, Trouble>
  readonly delivered: (tenant: string, upTo: number) => Effect.Effect<void, Trouble>
}): Stream.Stream<LedgerEvent> =>
  Stream.fromPull(Effect.sync(() => {
    let given: { readonly tenant: string; readonly upTo: number } | undefined
    let waiting: ReadonlyArray<string> = []
    let next = 0
    let pauseMs = FIRST_PAUSE_MS
    let isStuck = false
    return Effect.gen(function*() {
      if (given !== undefined) {
        yield* persistently(delivered(given.tenant, given.upTo))
        given = undefined
      }
      for (;;) {
        const tenant = waiting[next++]
        if (tenant === undefined) {
          const rung = bell.rung()
          if (isStuck) {
            yield* Effect.sleep(pauseMs)
            pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
            isStuck = false
          }
          waiting = yield* persistently(store.undelivered(TENANTS))
          next = 0
          if (waiting.length > 0) continue
          yield* Effect.raceFirst(bell.after(rung), Effect.sleep(pauseMs))
          pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
          continue
        }
        // A tenant whose events cannot be read keeps those of no other back; it is tried again when they have had their turn.
        const page = yield* Effect.catch(
          read(tenant, (tx, view) => tx.events(tenant, view.tenant(tenant)?.deliveredEvent ?? 0, PAGE)),
          (error) =>
            Effect.as(Effect.logWarning("A tenant's outbox could not be read; it is tried again", error), undefined)
        )
        if (page === undefined) isStuck = true
        if (page === undefined || !isNonEmpty(page)) continue
        pauseMs = FIRST_PAUSE_MS
        given = { tenant, upTo: page[page.length - 1]?.number ?? 0 }
        return page
      }
    })
  }))

/** Tries again until it is done: a relay has nobody to tell that the store is away. */
const persistently = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A> => {
  const attempt = (pauseMs: number): Effect.Effect<A> =>
    Effect.catch(self, (error) =>
      Effect.logWarning("The outbox could not be read; it is tried again", error).pipe(
        Effect.andThen(Effect.sleep(pauseMs)),
        Effect.andThen(Effect.suspend(() => attempt(Math.min(2 * pauseMs, LONGEST_PAUSE_MS))))
      ))
  return attempt(FIRST_PAUSE_MS)
}
