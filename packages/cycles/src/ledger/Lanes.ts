/**
 * Group commit: commands queue per lane, and one fiber per lane takes what is waiting and runs it in one transaction.
 *
 * A command that finds its lane idle goes straight through; where commands are gathered, those that come from other fibers in the same
 * turn share the next batch. A batch may hold several tenants, taken in turn, so that one busy tenant cannot starve another. A queue is
 * bounded; a command whose caller was interrupted leaves it if its batch has not begun.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"

/** A command was not taken: the queue is full, or the ledger has been shut down. */
export interface Refused {
  readonly _tag: "Full" | "Closed"
  readonly waiting: number
}

/** Runs commands of type `C`, answering each with a `Result`-like value of type `A`. */
export interface Lanes<C, A> {
  readonly submit: (lane: number, tenant: string, command: C) => Effect.Effect<A, Refused>
  readonly load: () => Load
}

/**
 * How busy a ledger is.
 *
 * - `waiting`: how many commands wait for a transaction now
 * - `batches`: how many transactions it began so far
 * - `commands`: how many commands those took
 *
 * @category models
 * @since 0.1.0
 */
export interface Load {
  readonly waiting: number
  readonly batches: number
  readonly commands: number
}

interface Waiting<C, A> {
  readonly command: C
  readonly resume: (answer: Effect.Effect<A>) => void
}

interface Lane<C, A> {
  /** Whether a batch is running, or the fiber has been told to run one. */
  busy: boolean
  /** Whether what runs is a command that went straight through. */
  straight: boolean
  /** While commands are gathered and none is running: the fiber whose command went straight through in this turn. */
  first: number | undefined
  waiting: number
  /** By the tenant whose turn it is; nobody has a queue without waiting. */
  byTenant: Map<string, Array<Waiting<C, A>>>
  readonly wake: Latch.Latch
  /** Open while nothing runs and nothing waits. */
  readonly idle: Latch.Latch
}

export const make = Effect.fnUntraced(function*<C, A>(options: {
  readonly lanes: number
  readonly capacity: number
  readonly batchLimit: number
  /**
   * Whether commands that come in the turn of one that went straight through wait for each other, to share the next batch. Those of
   * the same fiber do not while nobody else waits.
   */
  readonly gathers: boolean
  /** Answers every command of a batch, in order. Does not fail: trouble is an answer. */
  readonly run: (commands: ReadonlyArray<C>) => Effect.Effect<ReadonlyArray<A>>
}): Effect.fn.Return<Lanes<C, A>, never, Scope.Scope> {
  const lanes = Array.from({ length: options.lanes }, (): Lane<C, A> => ({
    busy: false,
    straight: false,
    first: undefined,
    waiting: 0,
    byTenant: new Map(),
    wake: Latch.makeUnsafe(false),
    idle: Latch.makeUnsafe(true)
  }))

  let batches = 0
  let commands = 0
  const began = (size: number): void => {
    batches++
    commands += size
  }

  /** Takes one command of each waiting tenant in turn until the batch is full; the next one begins with whoever's turn it is then. */
  const take = (lane: Lane<C, A>): ReadonlyArray<Waiting<C, A>> => {
    const batch: Array<Waiting<C, A>> = []
    const turns = Array.from(lane.byTenant)
    let next = 0
    while (next < turns.length && batch.length < options.batchLimit) {
      const turn = turns[next++]!
      const [, queue] = turn
      batch.push(queue.shift()!)
      if (queue.length > 0) turns.push(turn)
    }
    lane.waiting -= batch.length
    lane.byTenant = new Map(turns.slice(next))
    return batch
  }

  const occupy = (lane: Lane<C, A>): void => {
    lane.busy = true
    lane.first = undefined
    lane.idle.closeUnsafe()
  }
  const vacate = (lane: Lane<C, A>): void => {
    lane.busy = false
    lane.first = undefined
    lane.idle.openUnsafe()
  }

  /** Runs what waits, as much as fits into one batch, and answers it. Nothing is kept of it until the next one. */
  const runNext = (lane: Lane<C, A>): Effect.Effect<void> =>
    Effect.suspend(() => {
      lane.first = undefined
      const batch = take(lane)
      began(batch.length)
      return Effect.map(Effect.exit(options.run(batch.map(({ command }) => command))), (exit) => {
        if (Exit.isSuccess(exit)) {
          batch.forEach(({ resume }, i) => resume(Effect.succeed(exit.value[i]!)))
        } else {
          for (const { resume } of batch) resume(Effect.failCause(exit.cause as Cause.Cause<never>))
        }
      })
    })

  const drain = (lane: Lane<C, A>): Effect.Effect<void> =>
    Effect.gen(function*() {
      while (lane.waiting > 0) {
        yield* runNext(lane)
        // Lets the callers that were just answered come back with their next command, to share the next batch.
        yield* Effect.yieldNow
      }
      vacate(lane)
    })

  // Finalizers run in reverse: the doors close first, then each fiber ends once its batches are answered.
  for (const lane of lanes) {
    yield* lane.wake.await.pipe(
      // Whoever opened it goes on first, and the others of its turn come to wait.
      Effect.andThen(Effect.yieldNow),
      Effect.andThen(Effect.uninterruptible(Effect.suspend(() => {
        lane.wake.closeUnsafe()
        // One that was let through meanwhile opens it again when it is done.
        return lane.straight ? Effect.void : drain(lane)
      }))),
      Effect.forever({ disableYield: true }),
      Effect.forkScoped
    )
  }
  let closed = false
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      closed = true
      return Effect.forEach(lanes, (lane) => lane.idle.await, { discard: true })
    })
  )

  const straightThrough = (lane: Lane<C, A>, fiber: number, command: C): Effect.Effect<A> => {
    occupy(lane)
    lane.straight = true
    began(1)
    return Effect.onExit(
      Effect.map(options.run([command]), (answers) => answers[0]!),
      () =>
        Effect.sync(() => {
          lane.straight = false
          if (!options.gathers && lane.waiting === 0) return vacate(lane)
          // Where commands are gathered the lane stays occupied until its fiber has its turn.
          if (options.gathers) lane.first = fiber
          lane.wake.openUnsafe()
        })
    )
  }

  const queue = (lane: Lane<C, A>, tenant: string, command: C): Effect.Effect<A> =>
    Effect.callback((resume) => {
      const entry: Waiting<C, A> = { command, resume }
      const queue = lane.byTenant.get(tenant)
      if (queue === undefined) lane.byTenant.set(tenant, [entry])
      else queue.push(entry)
      lane.waiting++
      if (!lane.busy) {
        occupy(lane)
        lane.wake.openUnsafe()
      }
      return Effect.sync(() => {
        const queue = lane.byTenant.get(tenant) ?? []
        const at = queue.indexOf(entry)
        if (at === -1) return
        queue.splice(at, 1)
        lane.waiting--
        if (queue.length === 0) lane.byTenant.delete(tenant)
      })
    })

  return {
    load: () => ({ waiting: lanes.reduce((sum, { waiting }) => sum + waiting, 0), batches, commands }),
    submit: (at, tenant, command) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.withFiber(({ id }): Effect.Effect<A, Refused> => {
          const lane = lanes[at]!
          if (closed) return Effect.fail({ _tag: "Closed", waiting: lane.waiting })
          const isNext = lane.first === id && lane.waiting === 0
          if (!lane.busy || isNext) return straightThrough(lane, id, command)
          if (lane.waiting >= options.capacity) return Effect.fail({ _tag: "Full", waiting: lane.waiting })
          return restore(queue(lane, tenant, command))
        })
      )
  }
})
