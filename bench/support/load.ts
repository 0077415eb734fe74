/** Callers in a closed loop: each reserves, commits, and begins again. What came of it in lifecycles, latencies and transactions. */
import { Action, Amount, Ledger, LedgerStore } from "effect-cycles"
import type { Writes } from "effect-cycles/ledger/View"
import type { Operations as AuthorityOperations } from "effect-cycles/protocol/BudgetAuthority"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export interface Load {
  readonly callers: number
  readonly scopes: 1 | 6
  readonly tenants: number
  /** How many commands a transaction takes at most; the ledger's own limit when not given. */
  readonly batchLimit?: number
  readonly warmUpMs?: number
  readonly measureMs?: number
  /** For how long, after it was measured, the load goes on while what it writes is recorded. */
  readonly recordMs?: number
}

export interface Outcome {
  readonly lifecycles: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Transactions of the store per operation. */
  readonly transactions: number
  /** The longest time the event loop did not turn. */
  readonly stallMs: number
  /** The most processor time between two turns of the event loop: what of a stall is not the disk's or the machine's doing. */
  readonly turnMs: number
  /** Time on a processor of this process, a lifecycle. */
  readonly cpuUs: number
  /** Every operation there was, measured or not. */
  readonly operations: number
  /** What was written while it was recorded, a transaction each. */
  readonly recorded: ReadonlyArray<Writes>
}

/** What is seen of a store from outside. */
export interface Watch {
  transactions: number
  /** Where what is written is recorded, if it is. */
  recorded: Array<Writes> | undefined
}

const levels = ["tenant", "workspace", "app", "workflow", "agent", "toolset"] as const

export const subjectOf = (tenant: string, scopes: number): Subject =>
  Object.fromEntries(levels.slice(0, scopes).map((level) => [level, level === "tenant" ? tenant : "x"]))

const scopesOf = (tenant: string, scopes: number): ReadonlyArray<string> =>
  levels.slice(0, scopes).map((_, i) =>
    levels.slice(0, i + 1).map((level) => `${level}:${level === "tenant" ? tenant : "x"}`).join("/")
  )

const action = Action.make("llm.completion", "gpt-4o")
const estimate = Amount.tokens(1_000)
const actual = Amount.tokens(420)

/** One number per key is enough to keep the keys of every caller and every run apart. */
let keys = 0
const nextKey = (): IdempotencyKey => IdempotencyKey.make(`bench-${process.pid}-${keys++}`)

export const lifecycle = (authority: AuthorityOperations, subject: Subject, timed: (ms: number) => void) =>
  Effect.gen(function*() {
    const start = performance.now()
    const { reservationId } = yield* authority.reserve({ idempotencyKey: nextKey(), subject, action, estimate })
    const between = performance.now()
    timed(between - start)
    yield* authority.commit(reservationId!, { idempotencyKey: nextKey(), actual })
    timed(performance.now() - between)
  })

const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0

/** Opens the budgets of a load's tenants. */
export const open = (ledger: Ledger.Operations, load: Load) =>
  Effect.forEach(
    Array.from({ length: load.tenants }, (_, i) => `tenant-${i}`),
    (tenant) =>
      Effect.forEach(
        scopesOf(tenant, load.scopes),
        (scope) => ledger.createBudget(tenant, { scope, allocated: Amount.tokens(Amount.MAX_INT64) }),
        { discard: true }
      ),
    { discard: true, concurrency: 64 }
  )

interface Loop {
  readonly stallMs: number
  readonly turnMs: number
}

const cpuMs = (): number => {
  const { system, user } = process.cpuUsage()
  return (user + system) / 1e3
}

/** How long the event loop stood still at most, until it is asked. */
const watchLoop = (): () => Loop => {
  let stallMs = 0
  let turnMs = 0
  let last = performance.now()
  let lastCpu = cpuMs()
  const look = (): void => {
    const now = performance.now()
    const cpu = cpuMs()
    stallMs = Math.max(stallMs, now - last)
    turnMs = Math.max(turnMs, cpu - lastCpu)
    last = now
    lastCpu = cpu
  }
  const timer = setInterval(look, 1)
  return () => {
    clearInterval(timer)
    look()
    return { stallMs, turnMs }
  }
}

/** The longest stall of a loop that is busy for a millisecond at a time: that of the machine. */
export const machineStall = (ms: number): Promise<number> =>
  new Promise((resolve) => {
    const ended = watchLoop()
    const end = performance.now() + ms
    const turn = (): void => {
      const until = performance.now() + 1
      while (performance.now() < until);
      if (until < end) setImmediate(turn)
      else resolve(ended().stallMs)
    }
    turn()
  })

/** Puts a load on a ledger whose budgets are open. */
export const put = (ledger: Ledger.Operations, load: Load, watch: Watch) =>
  Effect.gen(function*() {
    const measureMs = load.measureMs ?? 600
    const latencies: Array<number> = []
    const from = performance.now() + (load.warmUpMs ?? 200)
    const to = from + measureMs
    let end = to
    const recorded: Array<Writes> = []
    let operations = 0
    let before = 0
    let after = 0
    let loop: Loop = { stallMs: 0, turnMs: 0 }
    let watched = () => loop
    let cpu = process.cpuUsage()
    let cpuUs = 0
    let isOver = false
    const timed = (ms: number): void => {
      const now = performance.now()
      operations++
      if (now < from) return
      if (now > to) {
        if (isOver) return
        isOver = true
        loop = watched()
        const used = process.cpuUsage(cpu)
        cpuUs = used.user + used.system
        if (load.recordMs !== undefined) {
          end = now + load.recordMs
          watch.recorded = recorded
        }
        return
      }
      if (latencies.length === 0) {
        before = watch.transactions
        cpu = process.cpuUsage()
        watched = watchLoop()
      }
      latencies.push(ms)
      after = watch.transactions
    }
    yield* Effect.forEach(
      Array.from({ length: load.callers }, (_, i) => `tenant-${i % load.tenants}`),
      (tenant) => {
        const authority = ledger.as({ tenant })
        const subject = subjectOf(tenant, load.scopes)
        return Effect.whileLoop({
          // However slow the machine is, there is something to hold the load against.
          while: () => performance.now() < end + 5 || (load.recordMs !== undefined && recorded.length < 10),
          body: () => lifecycle(authority, subject, timed),
          step: () => undefined
        })
      },
      { concurrency: "unbounded", discard: true }
    )
    watch.recorded = undefined
    const count = latencies.length
    latencies.sort((a, b) => a - b)
    const outcome: Outcome = {
      lifecycles: count / 2,
      perSecond: count / 2 / measureMs * 1e3,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      transactions: (after - before) / count,
      ...loop,
      cpuUs: cpuUs / count * 2,
      operations,
      recorded
    }
    return outcome
  })

/** A store that can be watched. */
const watched = Effect.map(LedgerStore.LedgerStore, (store) => {
  const watch: Watch = { transactions: 0, recorded: undefined }
  const operations: LedgerStore.Operations = {
    ...store,
    transact: (tenants, body) =>
      Effect.suspend(() => {
        watch.transactions++
        const { recorded } = watch
        if (recorded === undefined) return store.transact(tenants, body)
        return store.transact(tenants, (tx) =>
          body({
            ...tx,
            write: (writes) => {
              recorded.push(writes)
              return tx.write(writes)
            }
          }))
      })
  }
  return { store: operations, watch }
})

/** Opens a ledger on a store, its budgets with it, and does something with it. */
export const withLedger = <A, E, E2>(
  store: Layer.Layer<LedgerStore.LedgerStore, E>,
  load: Load,
  use: (ledger: Ledger.Operations, watch: Watch, store: LedgerStore.Operations) => Effect.Effect<A, E2>,
  isOpen = false
): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(Effect.gen(function*() {
      const { store, watch } = yield* watched
      const options = load.batchLimit === undefined ? undefined : { batchLimit: load.batchLimit }
      const ledger = yield* Effect.provideService(Ledger.make(options), LedgerStore.LedgerStore, store)
      if (!isOpen) yield* open(ledger, load)
      return yield* use(ledger, watch, store)
    })).pipe(Effect.provide(Layer.fresh(store)))
  )

/** A load on a fresh ledger. */
export const run = <E>(store: Layer.Layer<LedgerStore.LedgerStore, E>, load: Load): Promise<Outcome> =>
  withLedger(store, load, (ledger, watch) => put(ledger, load, watch))
