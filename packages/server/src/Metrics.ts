/**
 * What a server counts, and how Prometheus reads it.
 *
 * The metrics are Effect's, in a registry of the server's own: several servers in one process do not add up, and what else the process
 * measures stays out of it. No label names a tenant or a key, so the number of series is bounded by the number of operations.
 *
 * @since 0.1.0
 */
import type * as Ledger from "effect-cycles/ledger/Ledger"
import * as LedgerStore from "effect-cycles/ledger/LedgerStore"
import type { Operations as AuthorityOperations } from "effect-cycles/protocol/BudgetAuthority"
import * as CyclesError from "effect-cycles/protocol/CyclesError"
import type { DecideReply } from "effect-cycles/protocol/Decide"
import type { ReserveReply } from "effect-cycles/protocol/Reserve"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"

const boundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

type Labels = { readonly [name: string]: string }

const requests = (attributes: Labels) =>
  Metric.counter("cycles_http_requests_total", {
    description: "Requests answered, by operation and status",
    incremental: true,
    attributes
  })

const durations = (attributes: Labels) =>
  Metric.histogram("cycles_http_request_duration_seconds", {
    description: "How long requests took to be answered, by operation",
    boundaries,
    attributes
  })

const inFlight = Metric.gauge("cycles_http_requests_in_flight", {
  description: "Requests that are being answered"
})

const decisions = (attributes: Labels) =>
  Metric.counter("cycles_decisions_total", {
    description: "Decisions, by operation and decision; of commit and event only denials",
    incremental: true,
    attributes
  })

const denials = (attributes: Labels) =>
  Metric.counter("cycles_denials_total", {
    description: "Denials, by operation and reason",
    incremental: true,
    attributes
  })

const refusals = (attributes: Labels) =>
  Metric.counter("cycles_auth_refusals_total", {
    description:
      "Requests refused for who sent them: bad_key, throttled (an address that failed too often) or rate_limited",
    incremental: true,
    attributes
  })

const transactions = (attributes: Labels) =>
  Metric.counter("cycles_store_transactions_total", {
    description: "Transactions of the store, by outcome",
    incremental: true,
    attributes
  })

const transactionDurations = Metric.histogram("cycles_store_transaction_duration_seconds", {
  description: "How long transactions of the store took",
  boundaries
})

const waiting = Metric.gauge("cycles_ledger_commands_waiting", {
  description: "Commands that wait for a transaction in the queues of the ledger's lanes"
})

const batches = Metric.counter("cycles_ledger_batches_total", {
  description: "Transactions the ledger began for commands",
  incremental: true
})

const commands = Metric.counter("cycles_ledger_commands_total", {
  description: "Commands in those transactions; over their number, the size of a batch",
  incremental: true
})

const residentMemory = Metric.gauge("process_resident_memory_bytes", {
  description: "Resident memory size in bytes"
})

const heapUsed = Metric.gauge("nodejs_heap_size_used_bytes", {
  description: "Heap of JavaScript objects in use, in bytes"
})

const cpuSeconds = Metric.counter("process_cpu_seconds_total", {
  description: "User and system CPU time spent, in seconds",
  incremental: true
})

const eventLoopUtilization = Metric.gauge("nodejs_eventloop_utilization", {
  description: "The share of time the event loop was busy since it was last asked for, 0 to 1"
})

const startTime = Metric.gauge("process_start_time_seconds", {
  description: "When the process started, in Unix seconds"
})

/**
 * Why a request was refused for who sent it.
 *
 * @category models
 * @since 0.1.0
 */
export type Refusal = "bad_key" | "throttled" | "rate_limited"

/**
 * @category models
 * @since 0.1.0
 */
export interface Operations {
  /** A request came in. */
  readonly began: () => void
  /** A request was answered, so many seconds after it came in; without a status where nobody waited for the answer. */
  readonly ended: (operation: string, status: number | undefined, seconds: number) => void
  /** A request was refused for who sent it. */
  readonly refused: (why: Refusal) => void
  /** An authority whose decisions are counted. */
  readonly observed: (authority: AuthorityOperations) => AuthorityOperations
  /** A store whose transactions are counted. */
  readonly observedStore: (store: LedgerStore.Operations) => LedgerStore.Operations
  /** Shows how busy a ledger is. */
  readonly watch: (ledger: Pick<Ledger.Operations, "load">) => void
  /** How many requests are being answered. */
  readonly inFlight: () => number
  /** Everything in Prometheus' text format. */
  readonly text: () => string
}

/**
 * @category services
 * @since 0.1.0
 */
export class Metrics extends Context.Service<Metrics, Operations>()("@effect-cycles/server/Metrics") {}

/**
 * The series of a metric for each combination of labels, made with them. Those that share one metric by `withAttributes` build the key
 * of their series anew whenever another of them was updated before.
 */
const seriesOf = <Input, State>(
  make: (attributes: Labels) => Metric.Metric<Input, State>,
  ...names: ReadonlyArray<string>
) => {
  const series = new Map<string, Metric.Metric<Input, State>>()
  return (...values: ReadonlyArray<string>): Metric.Metric<Input, State> => {
    const key = values.join(" ")
    let found = series.get(key)
    if (found === undefined) {
      found = make(Object.fromEntries(names.map((name, i) => [name, values[i] ?? ""])))
      series.set(key, found)
    }
    return found
  }
}

/** An authority that tells of its decisions; a denial is told with its reason. */
const observe = (
  authority: AuthorityOperations,
  tell: (operation: string, decision: string, reason: string | undefined) => void
): AuthorityOperations => {
  const denied = <A, E>(operation: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.mapError(effect, (error) => {
      if (CyclesError.isDenied(error)) tell(operation, "DENY", error.code)
      return error
    })
  const decided = <A extends DecideReply | ReserveReply, E>(
    operation: string,
    effect: Effect.Effect<A, E>
  ): Effect.Effect<A, E> =>
    Effect.map(denied(operation, effect), (reply) => {
      tell(operation, reply.decision, reply.reasonCode)
      return reply
    })
  return {
    ...authority,
    decide: (request) => decided("decide", authority.decide(request)),
    reserve: (request) => decided("reserve", authority.reserve(request)),
    commit: (id, request) => denied("commit", authority.commit(id, request)),
    event: (request) => denied("event", authority.event(request))
  }
}

/**
 * Metrics that have counted nothing yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): Operations => {
  const context = Context.make(Metric.MetricRegistry, new Map())

  const ignore = (): void => {}

  /** A series that is read when somebody asks. */
  const read = (metric: Metric.Gauge<number>, value: () => number): void => {
    Metric.registerUnsafe(metric, context, { get: () => ({ value: value() }), update: ignore, modify: ignore })
  }
  const readCount = (metric: Metric.Counter<number>, count: () => number): void => {
    const get = () => ({ count: count(), incremental: true })
    Metric.registerUnsafe(metric, context, { get, update: ignore, modify: ignore })
  }

  let running = 0
  read(inFlight, () => running)
  read(residentMemory, () => process.memoryUsage.rss())
  read(heapUsed, () => process.memoryUsage().heapUsed)
  read(startTime, () => Math.round(Date.now() / 1_000 - process.uptime()))
  let lastUtilization = performance.eventLoopUtilization()
  read(eventLoopUtilization, () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, lastUtilization)
    lastUtilization = now
    return utilization
  })
  readCount(cpuSeconds, () => {
    const { system, user } = process.cpuUsage()
    return (system + user) / 1e6
  })

  const requestsBy = seriesOf(requests, "operation", "status")
  const durationsBy = seriesOf(durations, "operation")
  const decisionsBy = seriesOf(decisions, "operation", "decision")
  const denialsBy = seriesOf(denials, "operation", "reason")
  const refusalsBy = seriesOf(refusals, "reason")
  const transactionsBy = seriesOf(transactions, "outcome")

  const tell = (operation: string, decision: string, reason: string | undefined): void => {
    decisionsBy(operation, decision).updateUnsafe(1, context)
    if (decision === "DENY") denialsBy(operation, reason ?? "unknown").updateUnsafe(1, context)
  }

  return {
    began: () => {
      running++
    },
    ended: (operation, status, seconds) => {
      running--
      requestsBy(operation, status === undefined ? "aborted" : String(status)).updateUnsafe(1, context)
      durationsBy(operation).updateUnsafe(seconds, context)
    },
    refused: (why) => refusalsBy(why).updateUnsafe(1, context),
    observed: (authority) => observe(authority, tell),
    observedStore: (store) => ({
      ...store,
      transact: (tenants, body) =>
        Effect.suspend(() => {
          const startedAt = performance.now()
          return Effect.onExit(store.transact(tenants, body), (exit) =>
            Effect.sync(() => {
              transactionsBy(Exit.isSuccess(exit) ? "committed" : "failed").updateUnsafe(1, context)
              transactionDurations.updateUnsafe((performance.now() - startedAt) / 1_000, context)
            }))
        })
    }),
    watch: (ledger) => {
      read(waiting, () => ledger.load().waiting)
      readCount(batches, () => ledger.load().batches)
      readCount(commands, () => ledger.load().commands)
    },
    inFlight: () => running,
    text: () => PrometheusMetrics.formatUnsafe(context)
  }
}

/**
 * Provides metrics.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Metrics> = Layer.sync(Metrics, make)

/**
 * The store around it, with its transactions counted.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerObservedStore: Layer.Layer<LedgerStore.LedgerStore, never, LedgerStore.LedgerStore | Metrics> = Layer
  .effect(
    LedgerStore.LedgerStore,
    Effect.gen(function*() {
      return (yield* Metrics).observedStore(yield* LedgerStore.LedgerStore)
    })
  )
