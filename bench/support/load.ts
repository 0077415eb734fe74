/** Callers in a closed loop: each reserves, commits, and begins again. What came of it in lifecycles, latencies and transactions. */
import { Action, Amount, Ledger, LedgerStore } from "effect-cycles"
import type { Operations as AuthorityOperations } from "effect-cycles/protocol/BudgetAuthority"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { monitorEventLoopDelay } from "node:perf_hooks"

export interface Load {
  readonly callers: number
  readonly scopes: 1 | 6
  readonly tenants: number
  /** How many commands a transaction takes at most; the ledger's own limit when not given. */
  readonly batchLimit?: number
  readonly warmUpMs?: number
  readonly measureMs?: number
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
}

const levels = ["tenant", "workspace", "app", "workflow", "agent", "toolset"] as const

const subjectOf = (tenant: string, scopes: number): Subject =>
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

const lifecycle = (authority: AuthorityOperations, subject: Subject, timed: (ms: number) => void) =>
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

/** Puts a load on a ledger whose budgets are open. */
export const put = (ledger: Ledger.Operations, load: Load, transactions: () => number) =>
  Effect.gen(function*() {
    const warmUpMs = load.warmUpMs ?? 300
    const measureMs = load.measureMs ?? 1_200
    const latencies: Array<number> = []
    const start = performance.now()
    const from = start + warmUpMs
    const to = from + measureMs
    let before = 0
    let after = 0
    const loop = monitorEventLoopDelay({ resolution: 1 })
    const timed = (ms: number): void => {
      const now = performance.now()
      if (now < from || now > to) return
      if (latencies.length === 0) {
        before = transactions()
        loop.enable()
      }
      latencies.push(ms)
      after = transactions()
    }
    yield* Effect.forEach(
      Array.from({ length: load.callers }, (_, i) => `tenant-${i % load.tenants}`),
      (tenant) => {
        const authority = ledger.as({ tenant })
        const subject = subjectOf(tenant, load.scopes)
        return Effect.whileLoop({
          while: () => performance.now() < to + 20,
          body: () => lifecycle(authority, subject, timed),
          step: () => undefined
        })
      },
      { concurrency: "unbounded", discard: true }
    )
    loop.disable()
    const operations = latencies.length
    latencies.sort((a, b) => a - b)
    const outcome: Outcome = {
      lifecycles: operations / 2,
      perSecond: operations / 2 / measureMs * 1e3,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      transactions: (after - before) / operations,
      stallMs: loop.max / 1e6
    }
    return outcome
  })

/** A store that counts the transactions it runs. */
const counted = Effect.map(LedgerStore.LedgerStore, (store) => {
  let count = 0
  const counting: LedgerStore.Operations = {
    ...store,
    transact: (tenants, body) =>
      Effect.suspend(() => {
        count++
        return store.transact(tenants, body)
      })
  }
  return { store: counting, count: () => count }
})

/** A load on a fresh ledger over a fresh store. */
export const run = <E>(store: Layer.Layer<LedgerStore.LedgerStore, E>, load: Load): Promise<Outcome> =>
  Effect.runPromise(
    Effect.scoped(Effect.gen(function*() {
      const { count, store } = yield* counted
      const options = load.batchLimit === undefined ? undefined : { batchLimit: load.batchLimit }
      const ledger = yield* Effect.provideService(Ledger.make(options), LedgerStore.LedgerStore, store)
      yield* open(ledger, load)
      return yield* put(ledger, load, count)
    })).pipe(Effect.provide(Layer.fresh(store)))
  )
