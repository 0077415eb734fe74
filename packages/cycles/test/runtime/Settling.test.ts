import * as ScriptedAuthority from "@effect-cycles/testing/ScriptedAuthority"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Journal, Ledger, Reservation } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"

// ---------------------------------------------------------------------------------------------------------------------
// a world: a ledger, a network with a script, a journal, and processes that come and go
// ---------------------------------------------------------------------------------------------------------------------

const DAY_MS = 86_400_000

/** A ledger and a journal that outlive the processes, and a log of what happened to either, in order. */
const makeWorld = Effect.gen(function*() {
  const ledger = yield* Layer.build(
    Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] })
  )
  const { authority: scripted, script } = yield* ScriptedAuthority.make(
    Context.get(ledger, BudgetAuthority.BudgetAuthority)
  )
  const memory = yield* Journal.makeMemory
  const log: Array<string> = []
  const note = (what: string) => Effect.sync(() => log.push(what))
  const authority = BudgetAuthority.BudgetAuthority.of({
    ...scripted,
    commit: (id, request) => Effect.andThen(note("commit"), scripted.commit(id, request)),
    event: (request) => Effect.andThen(note("event"), scripted.event(request))
  })
  const journal: Journal.Memory = {
    ...memory,
    append: (record) => Effect.andThen(memory.append(record), note(`append ${record.mode}`)),
    resolve: (id) => Effect.andThen(memory.resolve(id), note("resolve")),
    defer: (id, notBeforeMs) => Effect.andThen(memory.defer(id, notBeforeMs), note(`defer to ${notBeforeMs}`))
  }

  /** A process: a budget of its own over the same authority and journal. */
  const boot = Effect.fnUntraced(function*(options?: Budget.Options, journalOf: Journal.Service | undefined = journal) {
    const scope = yield* Scope.make()
    const around = Context.make(BudgetAuthority.BudgetAuthority, authority)
    const services = yield* Layer.buildWithScope(
      Budget.layer({ subject: { tenant: "acme" }, ttl: 60_000, ...options }),
      scope
    ).pipe(
      Effect.provideContext(Context.add(around, Journal.Journal, journalOf))
    )
    yield* Effect.yieldNow
    return { services, end: Scope.close(scope, Exit.void) }
  })

  return { script, journal, log, boot, balance: balanceOf(authority) }
})

/** The end of a process that gets no time for anything. */
const KILLED = { shutdownTimeout: 0 } as const

const balanceOf = (authority: BudgetAuthority.Operations) =>
  Effect.map(authority.balances({ tenant: "acme" }), ({ balances: [balance] }) => ({
    spent: balance?.spent?.amount,
    reserved: balance?.reserved?.amount
  }))

const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(100) }

const spend = (tokens: number, overagePolicy?: Budget.Request<"TOKENS">["overagePolicy"]) =>
  Budget.guardOutcome({ ...request, overagePolicy }, (r) => Effect.succeed(r.commit(Amount.tokens(tokens), "done")))

const down = ScriptedAuthority.always(
  ScriptedAuthority.fail(new CyclesError.AuthorityUnavailable({ reason: "down" }))
)

/** Runs something to its end, moving the clock as far as it takes. */
const within = Effect.fnUntraced(function*<A, E>(ms: number, effect: Effect.Effect<A, E>) {
  const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
  for (let passed = 0; passed < ms && fiber.pollUnsafe() === undefined; passed += 100) yield* TestClock.adjust(100)
  assert.isDefined(fiber.pollUnsafe(), `it ends within ${ms} ms`)
  return yield* Fiber.join(fiber)
})

/** A record that an earlier process left: of a hold of its own, of which 40 was used. */
const leave = Effect.fnUntraced(function*(world: Effect.Success<typeof makeWorld>) {
  yield* world.script.on("commit", down)
  const process = yield* world.boot({ ...KILLED, settleTimeout: 0 })
  const { outcome } = yield* Effect.provideContext(spend(40), process.services)
  assert.deepStrictEqual(outcome._tag, "Pending")
  yield* process.end
  yield* world.script.clear("commit")
  const [record] = yield* world.journal.pending
  assert.isDefined(record)
  world.log.length = 0
  return record
})

const keysOf = (calls: ReadonlyArray<ScriptedAuthority.AnyCall>) =>
  calls.map(({ request }) => (request as { readonly idempotencyKey: string }).idempotencyKey)

// ---------------------------------------------------------------------------------------------------------------------

describe("settling through a journal", () => {
  it.effect("writes what was used down before it is sent, and forgets it when it is charged", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { services } = yield* world.boot()
      const { outcome, value } = yield* Effect.provideContext(spend(40), services)
      assert.strictEqual(value, "done")
      assert.deepStrictEqual(outcome, {
        _tag: "Committed",
        charged: Amount.tokens(40),
        released: Amount.tokens(60)
      })
      assert.deepStrictEqual(world.log, ["append commit", "commit", "resolve"])
      assert.deepStrictEqual(yield* world.journal.pending, [])
    }))

  it.effect("needs no journal, and says then that the outcome is not known", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", down)
      const { services } = yield* world.boot({ journal: false })
      const { outcome } = yield* within(60_000, Effect.provideContext(spend(40), services))
      assert.strictEqual(outcome._tag, "Unresolved")
      assert.deepStrictEqual(world.log.filter((what) => what !== "commit"), [])
    }))

  it.effect("repeats a commit whose reply was lost with the same key, and charges once", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on(
        "commit",
        ScriptedAuthority.loseReply("10 millis"),
        ScriptedAuthority.loseReply("10 millis")
      )
      const { services } = yield* world.boot()
      const { outcome } = yield* within(5_000, Effect.provideContext(spend(40), services))
      assert.strictEqual(outcome._tag, "Committed")
      const calls = yield* world.script.callsOf("commit")
      assert.strictEqual(calls.length, 3)
      assert.strictEqual(new Set(keysOf(calls)).size, 1)
      assert.deepStrictEqual(yield* world.balance, { spent: 40n, reserved: 0n })
    }))

  it.effect("waits half a second, then twice as long each time, and never more than 30 seconds", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", down)
      const { services } = yield* world.boot()
      yield* within(6_000, Effect.provideContext(spend(40), services))
      for (let second = 0; second < 300; second++) yield* TestClock.adjust("1 second")
      const sent = (yield* world.script.callsOf("commit")).map(({ sentAtMs }) => sentAtMs)
      const waits = sent.slice(1).map((at, index) => at - (sent[index] ?? 0))
      const expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
      expected.forEach((mean, index) => {
        assert.isAtLeast(waits[index] ?? 0, mean * 0.8 - 1)
        assert.isAtMost(waits[index] ?? 0, mean * 1.2 + 1)
      })
    }))

  it.effect("returns after a while with the outcome Pending, and goes on", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", down)
      const { services } = yield* world.boot({ settleTimeout: "3 seconds" })
      const { outcome, value } = yield* within(3_000, Effect.provideContext(spend(40), services))
      assert.strictEqual(value, "done")
      assert.strictEqual(outcome._tag, "Pending")
      if (outcome._tag === "Pending") assert.strictEqual(outcome.error?._tag, "AuthorityUnavailable")
      assert.strictEqual((yield* world.journal.pending).length, 1)

      yield* world.script.clear("commit")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* world.journal.pending, [])
      assert.deepStrictEqual(yield* world.balance, { spent: 40n, reserved: 0n })
    }))

  it.effect("stops the heartbeat when the commit is journaled", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", down)
      const { services } = yield* world.boot()
      const work = Budget.guard(request, (r) => Effect.as(Effect.sleep("100 seconds"), r.commit(Amount.tokens(40))))
      yield* within(106_000, Effect.provideContext(work, services))
      const extended = (yield* world.script.callsOf("extend")).length
      assert.isAtLeast(extended, 1)
      yield* TestClock.adjust("100 seconds")
      assert.strictEqual((yield* world.script.callsOf("extend")).length, extended)
    }))

  it.effect("goes on without where the journal fails", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const full = Effect.fail(new Journal.JournalError({ operation: "append", reason: "no space left" }))
      const { services } = yield* world.boot({}, { ...world.journal, append: () => full })
      const { outcome } = yield* Effect.provideContext(spend(40), services)
      assert.strictEqual(outcome._tag, "Committed")
      assert.deepStrictEqual(world.log, ["commit"])
    }))
})

describe("an interrupt", () => {
  it.effect("does not come between what was used and the journal", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const writing = yield* Deferred.make<void>()
      const written = yield* Deferred.make<void>()
      const slow: Journal.Service = {
        ...world.journal,
        append: (record) =>
          Deferred.succeed(writing, undefined).pipe(
            Effect.andThen(Deferred.await(written)),
            Effect.andThen(world.journal.append(record))
          )
      }
      yield* world.script.on("commit", ScriptedAuthority.delayReply("1 second"))
      const { services } = yield* world.boot({}, slow)
      const fiber = yield* Effect.forkChild(Effect.provideContext(spend(40), services))
      yield* Deferred.await(writing)
      const interrupt = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(fiber.pollUnsafe())
      yield* Deferred.succeed(written, undefined)
      // Journaled, the caller is let go; the commit is still under way.
      yield* Fiber.join(interrupt)
      assert.deepStrictEqual(world.log, ["append commit", "commit"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(world.log, ["append commit", "commit", "resolve"])
      assert.deepStrictEqual(yield* world.balance, { spent: 40n, reserved: 0n })
    }))

  it.effect("of a scope's work does not, either", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const slow: Journal.Service = {
        ...world.journal,
        append: (record) => Effect.delay(world.journal.append(record), "1 second")
      }
      const { services } = yield* world.boot({}, slow)
      const work = Effect.scoped(Effect.gen(function*() {
        const r = yield* Reservation.make(request)
        return yield* Reservation.commit(r, Amount.tokens(40))
      }))
      const fiber = yield* Effect.forkChild(Effect.provideContext(work, services), { startImmediately: true })
      yield* Effect.yieldNow
      yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(world.log, ["append commit", "commit", "resolve"])
      assert.deepStrictEqual(yield* world.balance, { spent: 40n, reserved: 0n })
    }))

  it.effect("of the work is over when what it cost is journaled", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", down)
      const { services } = yield* world.boot({ onUnsettled: "commitEstimate" })
      const fiber = yield* Effect.forkChild(
        Effect.provideContext(Budget.guard(request, () => Effect.never), services),
        { startImmediately: true }
      )
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      const [record] = yield* world.journal.pending
      assert.deepStrictEqual(record?.commit?.actual, Amount.tokens(100))
      assert.strictEqual(record?.commit?.metadata?.["estimated"], true)
    }))
})

describe("the lease has ended", () => {
  it.effect("charges an event under the same key, and says so in the journal first", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", ScriptedAuthority.fail(new CyclesError.ReservationExpired({})))
      const { services } = yield* world.boot()
      const { outcome } = yield* Effect.provideContext(
        Budget.guardOutcome(request, (r) =>
          Effect.succeed(r.commit(Amount.tokens(40), "done", { metrics: { latencyMs: 7 }, metadata: { run: 1 } })))
          .pipe(
            Budget.within({ agent: "writer" })
          ),
        services
      )
      assert.deepStrictEqual(outcome, { _tag: "RecoveredAsEvent", charged: Amount.tokens(40) })
      assert.deepStrictEqual(world.log, ["append commit", "commit", "append event", "event", "resolve"])
      const [commit] = yield* world.script.callsOf("commit")
      const [event] = yield* world.script.callsOf("event")
      assert.deepStrictEqual(event?.request, {
        idempotencyKey: commit?.request.idempotencyKey ?? IdempotencyKey.make("none"),
        subject: { tenant: "acme", agent: "writer" },
        action: request.action,
        actual: Amount.tokens(40),
        metrics: { latencyMs: 7 },
        metadata: {
          run: 1,
          recovered_reservation_id: commit?.id,
          recovery_reason: "commit_after_reservation_expired"
        }
      })
    }))

  it.effect("charges the event at once, however long the commit had to wait", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on(
        "commit",
        ScriptedAuthority.rateLimit(2_000),
        ScriptedAuthority.fail(new CyclesError.ReservationExpired({}))
      )
      const { services } = yield* world.boot()
      yield* within(5_000, Effect.provideContext(spend(40), services))
      const [, commit] = yield* world.script.callsOf("commit")
      const [event] = yield* world.script.callsOf("event")
      assert.isDefined(event)
      assert.strictEqual(event?.sentAtMs, commit?.sentAtMs)
    }))

  it.effect("asks for the event, not for the commit, in the next run", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const record = yield* leave(world)
      yield* world.script.on("commit", ScriptedAuthority.fail(new CyclesError.ReservationExpired({})))
      yield* world.script.on("event", down)
      const first = yield* world.boot(KILLED)
      assert.deepStrictEqual(world.log, ["commit", "append event", "event"])
      yield* first.end
      yield* world.script.clear("event")
      world.log.length = 0

      yield* world.boot()
      assert.deepStrictEqual(world.log, ["event", "resolve"])
      assert.deepStrictEqual(
        new Set(keysOf(yield* world.script.callsOf("event"))),
        new Set([`commit-${record.reservationId}`])
      )
    }))

  it.effect("charges what there is where a larger commit would have been refused", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", ScriptedAuthority.fail(new CyclesError.ReservationExpired({})))
      const { services } = yield* world.boot()
      const { outcome } = yield* Effect.provideContext(spend(40, "REJECT"), services)
      assert.strictEqual(outcome._tag, "RecoveredAsEvent")
      const [event] = yield* world.script.callsOf("event")
      assert.isUndefined(event?.request.overagePolicy)
    }))
})

describe("what an answer means", () => {
  const { fail } = ScriptedAuthority
  const cases: ReadonlyArray<{
    readonly error: CyclesError.CommitError
    readonly outcome: "Pending" | "Rejected" | "Committed" | "RecoveredAsEvent"
    readonly kept: boolean
    readonly commits: number
  }> = [
    { error: new CyclesError.AuthorityUnavailable({}), outcome: "Committed", kept: false, commits: 2 },
    { error: new CyclesError.InternalError({}), outcome: "Committed", kept: false, commits: 2 },
    { error: new CyclesError.RateLimited({ retryAfterMs: 1_000 }), outcome: "Committed", kept: false, commits: 2 },
    { error: new CyclesError.RateLimited({}), outcome: "Committed", kept: false, commits: 2 },
    { error: new CyclesError.Unauthorized({}), outcome: "Pending", kept: true, commits: 1 },
    { error: new CyclesError.Forbidden({}), outcome: "Pending", kept: true, commits: 1 },
    { error: new CyclesError.UnknownDenial({ code: "OUT_OF_MOON" }), outcome: "Pending", kept: true, commits: 1 },
    { error: new CyclesError.ReservationExpired({}), outcome: "RecoveredAsEvent", kept: false, commits: 1 },
    { error: new CyclesError.ReservationFinalized({}), outcome: "Rejected", kept: false, commits: 1 },
    { error: new CyclesError.IdempotencyMismatch({}), outcome: "Rejected", kept: false, commits: 1 },
    { error: new CyclesError.InvalidRequest({ field: "actual" }), outcome: "Rejected", kept: false, commits: 1 },
    { error: new CyclesError.UnitMismatch({}), outcome: "Rejected", kept: false, commits: 1 },
    { error: new CyclesError.NotFound({}), outcome: "Rejected", kept: false, commits: 1 },
    { error: new CyclesError.TenantClosed({}), outcome: "Rejected", kept: false, commits: 1 },
    { error: new CyclesError.BudgetExceeded({}), outcome: "Rejected", kept: false, commits: 2 },
    { error: new CyclesError.OverdraftLimitExceeded({}), outcome: "Rejected", kept: false, commits: 2 }
  ]
  for (const { commits, error, kept, outcome: expected } of cases) {
    const pace = error.retryAfterMs === undefined ? "" : ` with a time to wait`
    it.effect(`${error._tag}${pace}: ${expected}, ${kept ? "kept" : "not kept"}, never released`, () =>
      Effect.gen(function*() {
        const world = yield* makeWorld
        yield* world.script.on("commit", fail(error))
        const { services } = yield* world.boot()
        const { outcome } = yield* within(5_000, Effect.provideContext(spend(40), services))
        assert.strictEqual(outcome._tag, expected)
        assert.strictEqual((yield* world.journal.pending).length, kept ? 1 : 0)
        assert.strictEqual((yield* world.script.callsOf("commit")).length, commits)
        assert.deepStrictEqual(yield* world.script.callsOf("release"), [])
      }))
  }

  it.effect("a refused event is not kept", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", fail(new CyclesError.ReservationExpired({})))
      yield* world.script.on("event", fail(new CyclesError.BudgetFrozen({})))
      const { services } = yield* world.boot()
      const { outcome } = yield* Effect.provideContext(spend(40), services)
      assert.strictEqual(outcome._tag, "Rejected")
      assert.deepStrictEqual(yield* world.journal.pending, [])
    }))

  it.effect("a commit that the overage policy refuses charges the hold, and is journaled as that first", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const { services } = yield* world.boot()
      const { outcome } = yield* Effect.provideContext(spend(140, "REJECT"), services)
      assert.strictEqual(outcome._tag, "Rejected")
      if (outcome._tag === "Rejected") assert.deepStrictEqual(outcome.charged, Amount.tokens(100))
      assert.deepStrictEqual(world.log, ["append commit", "commit", "append commit", "commit", "resolve"])
      assert.deepStrictEqual(yield* world.balance, { spent: 100n, reserved: 0n })
    }))

  it.effect("and so it does when a later run sends it, which learns of the hold from the authority", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", down)
      const first = yield* world.boot({ ...KILLED, settleTimeout: 0 })
      yield* Effect.provideContext(spend(140, "REJECT"), first.services)
      yield* first.end
      yield* world.script.clear("commit")
      yield* world.boot()
      assert.deepStrictEqual(yield* world.journal.pending, [])
      assert.deepStrictEqual(yield* world.balance, { spent: 100n, reserved: 0n })
    }))
})

describe("a later run", () => {
  it.effect("settles what an earlier one left, with the same key", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* leave(world)
      yield* world.boot()
      assert.deepStrictEqual(world.log, ["commit", "resolve"])
      assert.deepStrictEqual(yield* world.balance, { spent: 40n, reserved: 0n })
      assert.strictEqual(new Set(keysOf(yield* world.script.callsOf("commit"))).size, 1)
    }))

  it.effect("does not ask before the authority wants to be asked", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", ScriptedAuthority.rateLimit(60_000))
      const first = yield* world.boot({ ...KILLED, settleTimeout: 0 })
      yield* Effect.provideContext(spend(40), first.services)
      yield* first.end
      assert.deepStrictEqual(world.log, ["append commit", "commit", "defer to 60000"])
      world.log.length = 0

      yield* TestClock.adjust("10 seconds")
      yield* world.boot()
      yield* TestClock.adjust("49900 millis")
      assert.deepStrictEqual(world.log, [])
      yield* TestClock.adjust("100 millis")
      // By now the lease has ended, too.
      assert.deepStrictEqual(world.log.slice(0, 1), ["commit"])
      assert.deepStrictEqual(yield* world.journal.pending, [])
    }))

  it.effect("believes no wait that is longer than an hour", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const record = yield* leave(world)
      yield* world.journal.defer(record.reservationId, 400 * DAY_MS)
      world.log.length = 0
      yield* world.boot()
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(world.log, [])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(world.log.slice(0, 1), ["commit"])
    }))

  it.effect("beside another one charges once", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* leave(world)
      yield* world.script.on("commit", ScriptedAuthority.times(2, ScriptedAuthority.delayRequest(100)))
      yield* Effect.all([world.boot(), world.boot()], { concurrency: 2 })
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(world.log, ["commit", "commit", "resolve", "resolve"])
      assert.deepStrictEqual(yield* world.balance, { spent: 40n, reserved: 0n })
    }))

  it.effect("stops where the key is not accepted, and tries again later", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const record = yield* leave(world)
      for (let i = 0; i < 20; i++) {
        yield* world.journal.append({ ...record, reservationId: ReservationId.make(`r${i}`) })
      }
      yield* world.script.on(
        "commit",
        ScriptedAuthority.times(
          8,
          ScriptedAuthority.delayRequest(10, ScriptedAuthority.fail(new CyclesError.Unauthorized({})))
        )
      )
      yield* world.boot()
      yield* TestClock.adjust("1 minute")
      const count = world.log.filter((what) => what === "commit").length
      assert.strictEqual(count, 8)
      assert.strictEqual((yield* world.journal.pending).length, 21)
      yield* world.script.clear("commit")
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(yield* world.journal.pending, [])
    }))

  it.effect("finds what another process left in the meantime", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.boot()
      yield* leave(world)
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(yield* world.journal.pending, [])
    }))

  it.effect("puts aside what is older than 25 days, and does not send it", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const record = { ...(yield* leave(world)), recordedAtMs: -25 * DAY_MS - 1 }
      yield* world.journal.append(record)
      world.log.length = 0
      yield* world.boot()
      assert.deepStrictEqual(world.log, [])
      assert.deepStrictEqual(yield* world.journal.pending, [])
      assert.deepStrictEqual(yield* world.journal.quarantined, [{ record, reason: "older than 25 days" }])
    }))

  it.effect("keeps a commit that came too late where nothing says what event it would be", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const record = yield* leave(world)
      if (record.mode === "commit") yield* world.journal.append({ ...record, event: undefined })
      yield* TestClock.adjust("10 minutes")
      yield* world.boot()
      assert.strictEqual((yield* world.journal.pending).length, 1)
      assert.deepStrictEqual(yield* world.script.callsOf("event"), [])
    }))
})

describe("the end of the layer", () => {
  it.effect("tries once more at once what was waiting for its next turn", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on(
        "commit",
        ScriptedAuthority.times(7, ScriptedAuthority.fail(new CyclesError.InternalError({})))
      )
      const process = yield* world.boot({ settleTimeout: 0 })
      yield* Effect.provideContext(spend(40), process.services)
      yield* TestClock.adjust("45 seconds")
      assert.strictEqual((yield* world.journal.pending).length, 1)
      yield* process.end
      assert.deepStrictEqual(yield* world.journal.pending, [])
      assert.deepStrictEqual(yield* world.balance, { spent: 40n, reserved: 0n })
    }))

  it.effect("takes 10 seconds at the most", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", ScriptedAuthority.loseRequest())
      const process = yield* world.boot({ settleTimeout: 0 })
      yield* Effect.provideContext(spend(40), process.services)
      const ending = yield* Effect.forkChild(process.end, { startImmediately: true })
      yield* TestClock.adjust(9_900)
      assert.isUndefined(ending.pollUnsafe())
      yield* TestClock.adjust(100)
      yield* Fiber.join(ending)
      assert.strictEqual((yield* world.journal.pending).length, 1)
    }))

  it.effect("does not wait for what cannot be sent in that time", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.script.on("commit", ScriptedAuthority.rateLimit(60_000))
      const process = yield* world.boot({ settleTimeout: 0 })
      yield* Effect.provideContext(spend(40), process.services)
      yield* process.end
      assert.strictEqual((yield* world.journal.pending).length, 1)
      assert.strictEqual((yield* world.script.callsOf("commit")).length, 1)
    }))
})
