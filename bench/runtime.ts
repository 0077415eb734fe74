/**
 * What the runtime costs where it is more than a guard on a ledger in memory: with a journal on a disk, over an authority that
 * takes its time, around a stream, with many reservations at once, and over HTTP.
 */
import { FileJournal, WireJson } from "@effect-cycles/http"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import { CommitReply, CommitRequest } from "effect-cycles/protocol/Settle"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { open, rename } from "node:fs/promises"
import type { ServerResponse } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Case } from "./support/harness.ts"
import { derived, each, elapsed, main, ratio, usedHeap, whole } from "./support/harness.ts"
import * as Servers from "./support/servers.ts"

const tenant = "acme"
const subject = { tenant }
const action = Action.make("llm.completion", "gpt-4o")
const estimate = Amount.tokens(1_000)
const actual = Amount.tokens(420)

const ledger = Layer.orDie(Ledger.layerMemory({
  tenant,
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(Amount.MAX_INT64) }],
  queueCapacity: Infinity
}))

const budget = Budget.layer({ subject })
const guarded = Budget.guard({ action, estimate }, (r) => Effect.succeed(r.commit(actual, "text")))

const times = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    for (let i = 0; i < count; i++) yield* effect
  })

// ---------------------------------------------------------------------------------------------------------------------
// the journal
// ---------------------------------------------------------------------------------------------------------------------

const WRITES = 60
const folder = mkdtempSync(join(tmpdir(), "effect-cycles-bench-"))

const journal = FileJournal.layer({
  baseUrl: "http://localhost",
  tenant,
  apiKey: Redacted.make("bench"),
  directory: join(folder, "journal")
}).pipe(Layer.provide(NodeServices.layer))

/** As long as the record of one of the guards. */
const record = "x".repeat(740)

/** What makes one file durable, as plainly as Node.js can. */
const writeDurably = Effect.promise(async () => {
  const target = join(folder, "bare", "record.json")
  const file = await open(`${target}.tmp`, "wx", 0o600)
  await file.writeFile(record)
  await file.sync()
  await file.close()
  await rename(`${target}.tmp`, target)
  const directory = await open(join(folder, "bare"), "r")
  await directory.sync()
  await directory.close()
})

mkdirSync(join(folder, "bare"))

const journalCases: ReadonlyArray<Case> = [
  each("guard, no journal", 1_000, times(1_000, guarded), budget.pipe(Layer.provide(ledger))),
  each(
    "guard, file journal",
    WRITES,
    times(WRITES, guarded),
    budget.pipe(Layer.provide(journal), Layer.provide(ledger), Layer.orDie)
  ),
  each("bare write+fsync+rename+fsync", WRITES, times(WRITES, writeDurably), Layer.empty),
  derived("file journal adds", "µs", (of) => of("guard, file journal") - of("guard, no journal")),
  ratio("file journal adds", "bare write+fsync+rename+fsync")
]

// ---------------------------------------------------------------------------------------------------------------------
// an allotment
// ---------------------------------------------------------------------------------------------------------------------

const CHILDREN = 1_000

/** Every operation of an authority, one millisecond later. */
const slow = Layer.effect(
  BudgetAuthority.BudgetAuthority,
  Effect.map(BudgetAuthority.BudgetAuthority, (authority) => ({
    ...authority,
    reserve: (request) => Effect.delay(authority.reserve(request), 1),
    commit: (id, request) => Effect.delay(authority.commit(id, request), 1),
    release: (id, request) => Effect.delay(authority.release(id, request), 1)
  }))
).pipe(Layer.provide(ledger))

const children = times(CHILDREN, guarded)

const allotCases: ReadonlyArray<Case> = [
  whole("1,000 guards, 1 ms authority", children, budget.pipe(Layer.provide(slow))),
  whole(
    "allot, 1,000 children, 1 ms authority",
    Budget.allot({ action, estimate: Amount.tokens(1_000_000) }, children),
    budget.pipe(Layer.provide(slow))
  ),
  ratio("1,000 guards, 1 ms authority", "allot, 1,000 children, 1 ms authority")
]

// ---------------------------------------------------------------------------------------------------------------------
// a stream
// ---------------------------------------------------------------------------------------------------------------------

const CHUNKS = 10_000

/** Each element arrives by itself, as from a model. */
const chunks = Stream.rechunk(Stream.range(1, CHUNKS), 1)

const streamCases: ReadonlyArray<Case> = [
  each("stream, per chunk", CHUNKS, Stream.runDrain(chunks), Layer.empty),
  each(
    "guardStream, per chunk",
    CHUNKS,
    Stream.runDrain(Budget.guardStream({ action, estimate: Amount.tokens(CHUNKS) }, {
      stream: () => chunks,
      meter: { initial: 0, step: (seen) => seen + 1 },
      settle: (r, seen) => r.commit(Amount.tokens(seen))
    })),
    budget.pipe(Layer.provide(ledger))
  ),
  derived("guardStream adds, per chunk", "µs", (of) => of("guardStream, per chunk") - of("stream, per chunk"))
]

// ---------------------------------------------------------------------------------------------------------------------
// many reservations at once
// ---------------------------------------------------------------------------------------------------------------------

const LIVE = 10_000

const timersAlive = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length

/** Lets every fiber come as far as it can. */
const settled = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

const live = Effect.gen(function*() {
  let fibers = 0
  const counting: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: () => {
      fibers++
    },
    recordFiberEnd: () => {
      fibers--
    }
  }
  const end = yield* Deferred.make<void>()
  const allBegan = yield* Deferred.make<void>()
  let begun = 0
  const work = Budget.guard({ action, estimate }, (r) => {
    if (++begun === LIVE) Deferred.doneUnsafe(allBegan, Effect.void)
    return Effect.as(Deferred.await(end), r.commit(actual))
  })
  yield* settled
  const timersBefore = timersAlive()
  const heapBefore = usedHeap()
  const running: Array<Fiber.Fiber<unknown, unknown>> = []
  const startMs = yield* elapsed(Effect.gen(function*() {
    for (let i = 0; i < LIVE; i++) {
      running.push(yield* Effect.forkChild(work).pipe(Effect.provideService(Metric.FiberRuntimeMetrics, counting)))
    }
    yield* Deferred.await(allBegan)
    yield* settled
  }))
  const bytes = (usedHeap() - heapBefore) / LIVE
  const timers = timersAlive() - timersBefore
  const alive = fibers
  const endMs = yield* elapsed(Effect.andThen(Deferred.succeed(end, undefined), Fiber.awaitAll(running)))
  yield* settled
  return { startMs, bytes, timers, alive, endMs, timersLeft: timersAlive() - timersBefore, fibersLeft: fibers }
}).pipe(Effect.provide(Layer.provideMerge(budget, ledger)))

/** What one of them takes on the heap of the ledger itself. */
const heldBytes = Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  yield* settled
  const before = usedHeap()
  for (let i = 0; i < LIVE; i++) {
    yield* authority.reserve({ idempotencyKey: IdempotencyKey.make(`reserve-${i}`), subject, action, estimate })
  }
  return (usedHeap() - before) / LIVE
}).pipe(Effect.provide(ledger))

const liveCases = (): ReadonlyArray<Case> => {
  let seen: Effect.Success<typeof live>
  return [
    {
      name: "10,000 live reservations, start",
      unit: "ms",
      run: async () => {
        seen = await Effect.runPromise(live)
        return seen.startMs
      }
    },
    derived("10,000 live reservations, end", "ms", () => seen.endMs),
    derived("live reservation, with its guard and ledger", "bytes", () => seen.bytes),
    { name: "live reservation, in the ledger alone", unit: "bytes", run: () => Effect.runPromise(heldBytes) },
    derived("10,000 live reservations, fibers", "alive", () => seen.alive),
    derived("10,000 live reservations, timers", "alive", () => seen.timers),
    derived("10,000 ended reservations, fibers", "alive", () => seen.fibersLeft),
    derived("10,000 ended reservations, timers", "alive", () => seen.timersLeft)
  ]
}

// ---------------------------------------------------------------------------------------------------------------------
// HTTP
// ---------------------------------------------------------------------------------------------------------------------

const CALLS = 80

const reserveRequest = (key: string): ReserveRequest => ({
  idempotencyKey: IdempotencyKey.make(key),
  subject,
  action,
  estimate
})
const commitRequest = (key: string): CommitRequest => ({
  idempotencyKey: IdempotencyKey.make(key),
  actual,
  metrics: { latencyMs: 0 }
})

/** What the ledger answers to the two requests of a guard, as text, and the requests. */
const exchange = await Effect.gen(function*() {
  const authority = yield* BudgetAuthority.BudgetAuthority
  const reserved = yield* authority.reserve(reserveRequest("reserve"))
  const committed = yield* authority.commit(reserved.reservationId!, commitRequest("commit"))
  return {
    reserve: WireJson.stringify(Schema.encodeSync(ReserveRequest)(reserveRequest("reserve"))),
    reserved: WireJson.stringify(Schema.encodeSync(ReserveReply)(reserved)),
    commit: WireJson.stringify(Schema.encodeSync(CommitRequest)(commitRequest("commit"))),
    committed: WireJson.stringify(Schema.encodeSync(CommitReply)(committed))
  }
}).pipe(Effect.provide(ledger), Effect.runPromise)

const headers = { "content-type": "application/json" }

/** With its length, as the handlers here do, or in chunks, as other servers may. */
const answer = (response: ServerResponse, body: string, isChunked = false): void => {
  response.writeHead(200, isChunked ? headers : { ...headers, "content-length": Buffer.byteLength(body) }).end(body)
}

interface Urls {
  readonly handlers: string
  readonly fixed: string
  readonly chunked: string
  readonly echo: string
}

const withServers = <A>(use: (urls: Urls) => A) =>
  Effect.gen(function*() {
    const fixed = (isChunked: boolean) =>
      Servers.plain((request, _body, response) => {
        answer(response, request.url?.endsWith("/commit") === true ? exchange.committed : exchange.reserved, isChunked)
      })
    const urls: Urls = {
      handlers: yield* Servers.handlers(tenant, yield* BudgetAuthority.BudgetAuthority),
      fixed: yield* fixed(false),
      chunked: yield* fixed(true),
      echo: yield* Servers.plain((_request, body, response) => {
        answer(response, body)
      })
    }
    return yield* Effect.promise(async () => use(urls))
  }).pipe(Effect.scoped, Effect.provide(ledger), Effect.runPromise)

let calls = 0
/** Reserve and commit by the client that Effect derives from the contract. */
const derivedPair = Effect.gen(function*() {
  const client = yield* Servers.Derived
  const key = `bench-${++calls}`
  const reserved = yield* client.createReservation({ headers: {}, payload: reserveRequest(`reserve-${key}`) })
  yield* client.commitReservation({
    headers: {},
    params: { reservation_id: reserved.reservationId ?? ReservationId.make("none") },
    payload: commitRequest(`commit-${key}`)
  })
})

const httpCases = (urls: Urls): ReadonlyArray<Case> => {
  const post = async (body: string) => {
    const response = await fetch(urls.echo, { method: "POST", headers, body })
    await response.text()
  }
  const fetches = Effect.promise(async () => {
    await post(exchange.reserve)
    await post(exchange.commit)
  })
  const over = (url: string) => budget.pipe(Layer.provide(Servers.client(url)))
  return [
    each("client", CALLS, times(CALLS, guarded), over(urls.fixed)),
    each("client, chunked replies", CALLS, times(CALLS, guarded), over(urls.chunked)),
    each("two HttpApiClient calls", CALLS, times(CALLS, derivedPair), Servers.derivedClient(urls.fixed)),
    each("two fetches", CALLS, times(CALLS, fetches), Layer.empty),
    each("client, real handlers", CALLS, times(CALLS, guarded), over(urls.handlers)),
    each(
      "two HttpApiClient calls, real handlers",
      CALLS,
      times(CALLS, derivedPair),
      Servers.derivedClient(urls.handlers)
    ),
    ratio("client", "two HttpApiClient calls"),
    ratio("client, chunked replies", "two HttpApiClient calls"),
    ratio("client, real handlers", "two HttpApiClient calls, real handlers"),
    ratio("client", "two fetches")
  ]
}

try {
  await withServers((urls) =>
    main("runtime", () => [...journalCases, ...allotCases, ...streamCases, ...liveCases(), ...httpCases(urls)], 5)
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
