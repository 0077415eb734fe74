/**
 * The journal of settlements: what was used is written down before it is sent for the first time, and stays until the authority
 * has given its last word on it. What a process could not settle, a later one does.
 *
 * A journal stands beside a remote authority. `Budget.layer` takes the one in its context up, and works without where there is
 * none: an authority that keeps its ledger durably in this process is its own journal.
 *
 * Only commits, and the events they become when their lease has ended, are journaled. A hold that is not given back ends by
 * itself; what was used and not charged is lost for ever.
 *
 * **Example** (A budget with a journal)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Action, Amount, Budget, Journal, Ledger } from "effect-cycles"
 *
 * const budget = Budget.layer().pipe(
 *   Layer.provideMerge(Journal.layerMemory),
 *   Layer.provide(
 *     Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] })
 *   )
 * )
 *
 * const program = Effect.gen(function*() {
 *   const { outcome } = yield* Budget.guardOutcome(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *     (r) => Effect.succeed(r.commit(Amount.tokens(420)))
 *   )
 *   const journal = yield* Journal.Journal
 *   return `${outcome._tag}, ${(yield* journal.pending).length} pending`
 * })
 *
 * console.log(await Effect.runPromise(Effect.provide(program, budget))) // => "Committed, 0 pending"
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { EventRequest } from "../protocol/Event.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type { CommitRequest } from "../protocol/Settle.ts"

/**
 * What is common to both modes of a {@link JournalRecord}. Times are Unix milliseconds by this machine's clock.
 *
 * - `recordedAtMs`: when it became known what was used
 * - `notBeforeMs`: the authority asked not to be asked before this
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordTimes {
  readonly reservationId: ReservationId
  readonly recordedAtMs: number
  readonly notBeforeMs: number | undefined
}

/**
 * One settlement that is not settled yet: a commit, with the event it becomes where the lease has ended, or that event. Both
 * have the same idempotency key, so that whatever is repeated, by whomever, charges once.
 *
 * @category models
 * @since 0.1.0
 */
export type JournalRecord =
  & RecordTimes
  & (
    | { readonly mode: "commit"; readonly commit: CommitRequest; readonly event: EventRequest | undefined }
    | { readonly mode: "event"; readonly commit: CommitRequest | undefined; readonly event: EventRequest }
  )

/**
 * The journal could not be read or written.
 *
 * @category errors
 * @since 0.1.0
 */
export class JournalError extends Schema.TaggedError<JournalError>("effect-cycles/JournalError")("JournalError", {
  operation: Schema.Literals(["append", "resolve", "defer", "quarantine", "pending"]),
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return true
  }

  override get message(): string {
    return `The journal's ${this.operation} failed: ${this.reason}. Check that its place exists, is writable and not full.`
  }
}

/**
 * What a journal does. Whoever implements it may be shared by several processes that work on the same records.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** Keeps a record, in the place of an earlier one of the same reservation. It is durable when this returns. */
  readonly append: (record: JournalRecord) => Effect.Effect<void, JournalError>
  /** Forgets the record of a reservation, where there is one. */
  readonly resolve: (id: ReservationId) => Effect.Effect<void, JournalError>
  /** Moves the time before which a record must not be sent, where it still exists. */
  readonly defer: (id: ReservationId, notBeforeMs: number) => Effect.Effect<void, JournalError>
  /** Puts a record aside, where it is not pending any more and a person can find it. */
  readonly quarantine: (id: ReservationId, reason: string) => Effect.Effect<void, JournalError>
  /** What is not settled yet. What cannot be read is put aside and reported, and does not hinder the rest. */
  readonly pending: Effect.Effect<ReadonlyArray<JournalRecord>, JournalError>
}

/**
 * The journal of a remote authority. It holds records of that authority and tenant only.
 *
 * @category services
 * @since 0.1.0
 */
export class Journal extends Context.Service<Journal, Service>()("effect-cycles/runtime/Journal") {}

/**
 * A journal in memory, and what was put aside in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Memory extends Service {
  readonly quarantined: Effect.Effect<ReadonlyArray<{ readonly record: JournalRecord; readonly reason: string }>>
}

/**
 * Makes a journal that survives nothing but its readers: for tests, and to wait for an authority without a disk.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeMemory: Effect.Effect<Memory> = Effect.sync(() => {
  const records = new Map<ReservationId, JournalRecord>()
  const aside: Array<{ readonly record: JournalRecord; readonly reason: string }> = []
  return {
    append: (record) =>
      Effect.sync(() => {
        records.set(record.reservationId, record)
      }),
    resolve: (id) =>
      Effect.sync(() => {
        records.delete(id)
      }),
    defer: (id, notBeforeMs) =>
      Effect.sync(() => {
        const record = records.get(id)
        if (record !== undefined) records.set(id, { ...record, notBeforeMs })
      }),
    quarantine: (id, reason) =>
      Effect.sync(() => {
        const record = records.get(id)
        if (record === undefined) return
        records.delete(id)
        aside.push({ record, reason })
      }),
    pending: Effect.sync(() => Array.from(records.values())),
    quarantined: Effect.sync(() => Array.from(aside))
  }
})

/**
 * Provides a journal in memory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Journal> = Layer.effect(Journal, makeMemory)
