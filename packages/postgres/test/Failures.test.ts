import { LedgerStorePostgres, PostgresError } from "@effect-cycles/postgres"
import { assert, it } from "@effect/vitest"
import { Action, Amount, BudgetAuthority, Ledger, LedgerStore } from "effect-cycles"
import type { LedgerEvent } from "effect-cycles/ledger/Model"
import { emptyTenant } from "effect-cycles/ledger/Model"
import { View } from "effect-cycles/ledger/View"
import { AuthorityUnavailable } from "effect-cycles/protocol/CyclesError"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Mode } from "./support/proxy.ts"
import { makeProxy } from "./support/proxy.ts"
import { freePort } from "./support/server.ts"
import { withServer } from "./support/stores.ts"

const openBudget = (ledger: Ledger.Operations) =>
  ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(1_000_000) })

const lifecycle = (ledger: Ledger.Operations, key: string) =>
  Effect.gen(function*() {
    const acme = ledger.as({ tenant: "acme" })
    const { reservationId } = yield* acme.reserve({
      idempotencyKey: IdempotencyKey.make(key),
      subject: { tenant: "acme" },
      action: Action.make("tool.call", "search"),
      estimate: Amount.tokens(10)
    })
    return yield* acme.commit(reservationId!, { idempotencyKey: IdempotencyKey.make(key), actual: Amount.tokens(7) })
  })

/** A clock whose pauses take a hundredth of their time: a ledger waits for seconds until it gives a transaction up. */
const hurried = (clock: Clock.Clock): Clock.Clock =>
  Object.assign(Object.create(clock), {
    sleep: (duration: Duration.Duration) => clock.sleep(Duration.times(duration, 0.01))
  })

/** Exactly `count` lifecycles were done, each once. */
const inspect = (ledger: Ledger.Operations, count: number) =>
  Effect.gen(function*() {
    const { balances: [balance] } = yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
    assert.strictEqual(balance?.spent?.amount, 7n * BigInt(count))
    assert.strictEqual(balance?.reserved?.amount, 0n)
    const { entries, flaws } = yield* ledger.verify("acme")
    assert.deepStrictEqual(flaws, [])
    assert.strictEqual(entries, 1 + 2 * count)
  })

withServer("trouble with PostgreSQL", ({ fresh, server, sql }) => {
  const troubleWith = (options: LedgerStorePostgres.Options) =>
    Effect.flip(Effect.scoped(LedgerStorePostgres.make({ reconnectForMs: 100, ...options })))

  const inLedger = <A, E>(
    store: Layer.Layer<LedgerStore.LedgerStore, PostgresError.PostgresError>,
    body: (ledger: Ledger.Operations) => Effect.Effect<A, E>
  ) => Effect.flatMap(Ledger.Ledger, body).pipe(Effect.provide(Layer.provide(Ledger.layer(), store)))

  /** A store behind a proxy; `cut` says what becomes of each transaction's COMMIT. */
  const behindProxy = (options: LedgerStorePostgres.Options, cut: () => Mode) =>
    Layer.effect(
      LedgerStore.LedgerStore,
      Effect.gen(function*() {
        const proxy = yield* Effect.acquireRelease(
          Effect.promise(() => makeProxy(server().port)),
          (proxy) => Effect.promise(() => proxy.close())
        )
        const url = Redacted.make(server().url().replace(`:${server().port}/`, `:${proxy.port}/`))
        const store = yield* LedgerStorePostgres.make({ ...options, url })
        const cutting: LedgerStore.Operations["transact"] = (tenants, body) =>
          store.transact(tenants, (tx) => Effect.tap(body(tx), () => Effect.sync(() => proxy.next(cut()))))
        return { ...store, transact: cutting }
      })
    )

  it.live("is told apart by what to do about it", () =>
    Effect.gen(function*() {
      const options = fresh()
      const port = yield* Effect.promise(freePort)
      const unreachable = yield* troubleWith({ host: "127.0.0.1", port, username: "cycles" })
      assert.strictEqual(unreachable.reason, "Unreachable")
      const at = { host: "127.0.0.1", port: server().port, username: "cycles", database: "postgres" }
      const rejected = yield* troubleWith({ ...at, password: Redacted.make("not it") })
      assert.strictEqual(rejected.reason, "CredentialsRejected")
      assert.notInclude(rejected.message, "not it")
      const missing = yield* troubleWith({ url: Redacted.make(server().url("nowhere")) })
      assert.strictEqual(missing.reason, "DatabaseMissing")

      yield* Effect.promise(() =>
        sql(
          "CREATE ROLE guest LOGIN PASSWORD 'guest'",
          "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0"
        )
      )
      const guest = { ...at, username: "guest", password: Redacted.make("guest") }
      const denied = yield* troubleWith(guest)
      assert.strictEqual(denied.reason, "PermissionDenied")
      assert.strictEqual(denied.code, "42501")
      const unsuitable = yield* troubleWith({ url: Redacted.make(server().url("ascii")) })
      assert.strictEqual(unsuitable.reason, "Unsuitable")

      // Tables that are there need no right to make any.
      yield* Effect.scoped(LedgerStorePostgres.make(options))
      yield* Effect.promise(() =>
        sql(
          `GRANT USAGE ON SCHEMA "${options.schema}" TO guest`,
          `GRANT ALL ON ALL TABLES IN SCHEMA "${options.schema}" TO guest`
        )
      )
      yield* inLedger(LedgerStorePostgres.layer({ ...guest, schema: options.schema }), openBudget)

      yield* Effect.promise(() => sql(`INSERT INTO "${options.schema}".migrations (version) VALUES (1000)`))
      const newer = yield* troubleWith(options)
      assert.strictEqual(newer.reason, "SchemaNewer")
      assert.include(newer.message, "1000")
    }))

  it.live("makes its tables once where several processes begin at once on a database that has none", () =>
    Effect.gen(function*() {
      const options = fresh()
      const eight = Array.from({ length: 8 }, (_, i) => i)
      const begin = Effect.gen(function*() {
        const authority = yield* BudgetAuthority.BudgetAuthority
        return (yield* authority.balances({ tenant: "acme" })).balances.length
      }).pipe(
        Effect.provide(
          Layer.fresh(Ledger.layerEmbedded({
            tenant: "acme",
            budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }]
          })).pipe(Layer.provide(Layer.fresh(LedgerStorePostgres.layer(options)))),
          { local: true }
        )
      )
      assert.deepStrictEqual(
        yield* Effect.forEach(eight, () => begin, { concurrency: "unbounded" }),
        eight.map(() => 1)
      )
    }))

  for (
    const [code, reason] of [
      ["53100", "DiskFull"],
      ["40001", "Contended"],
      ["25006", "ReadOnly"],
      ["42501", "PermissionDenied"],
      ["XX000", "Failed"]
    ] as const
  ) {
    it.live(`leaves nothing behind where a write fails with ${code}, ${reason}, and the store goes on`, () =>
      Effect.gen(function*() {
        const options = fresh()
        const store = yield* LedgerStorePostgres.make(options)
        const ledger = yield* Effect.provideService(Ledger.make(), LedgerStore.LedgerStore, store)
        yield* openBudget(ledger)
        yield* Effect.promise(() =>
          sql(
            `CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '${code}'; END $$`,
            `CREATE TRIGGER fail BEFORE INSERT ON "${options.schema}".entries EXECUTE FUNCTION fail()`
          )
        )
        const unavailable = yield* Effect.flip(lifecycle(ledger, "a"))
        assert.instanceOf(unavailable, AuthorityUnavailable)
        assert.instanceOf(unavailable.cause, PostgresError.PostgresError)
        assert.strictEqual(unavailable.cause.reason, reason)
        assert.strictEqual(unavailable.cause.code, code)
        yield* Effect.promise(() => sql(`DROP TRIGGER fail ON "${options.schema}".entries`))
        yield* inspect(ledger, 0)
        yield* lifecycle(ledger, "a")
        yield* inspect(ledger, 1)
      }).pipe(Effect.updateService(Clock.Clock, hurried)))
  }

  for (const mode of ["loseAnswer", "loseRequest"] as const) {
    it.live(`says that the outcome is unknown where COMMIT is cut off: ${mode}`, () =>
      Effect.gen(function*() {
        const options = fresh()
        let cut: Mode = "pass"
        yield* Effect.gen(function*() {
          const store = yield* LedgerStore.LedgerStore
          const budget = yield* Effect.provideService(Ledger.make(), LedgerStore.LedgerStore, store)
          yield* openBudget(budget)
          cut = mode
          const trouble = yield* Effect.flip(store.transact(["acme"], () => Effect.void))
          assert.strictEqual(trouble.outcome, "unknown")
          assert.instanceOf(trouble.cause, PostgresError.PostgresError)
          assert.strictEqual(trouble.cause.reason, "Unreachable")
          cut = "pass"
          yield* store.transact(["acme"], () => Effect.void)
        }).pipe(Effect.provide(behindProxy(options, () => cut)))
      }))
  }

  it.live("neither loses nor doubles a command where every third COMMIT is cut off", () =>
    Effect.gen(function*() {
      let n = 0
      const modes: ReadonlyArray<Mode> = ["pass", "loseAnswer", "pass", "pass", "loseRequest", "pass"]
      yield* inLedger(behindProxy(fresh({ lanes: 1 }), () => modes[n++ % modes.length]!), (ledger) =>
        Effect.gen(function*() {
          yield* openBudget(ledger)
          for (let round = 0; round < 10; round++) {
            yield* Effect.forEach([1, 2, 3, 4, 5], (i) =>
              lifecycle(ledger, `${round}-${i}`), {
              concurrency: "unbounded"
            })
          }
          assert.isAbove(n, 30)
          yield* inspect(ledger, 50)
        }))
    }))

  it.live("is not made of round trips: three or four take any number of commands", () =>
    Effect.gen(function*() {
      const options = fresh({ lanes: 1 })
      const proxy = yield* Effect.acquireRelease(
        Effect.promise(() => makeProxy(server().port)),
        (proxy) => Effect.promise(() => proxy.close())
      )
      const url = Redacted.make(server().url().replace(`:${server().port}/`, `:${proxy.port}/`))
      const inner = yield* LedgerStorePostgres.make({ ...options, url })
      let transactions = 0
      const counting: LedgerStore.Operations["transact"] = (tenants, body) => {
        transactions++
        return inner.transact(tenants, body)
      }
      const ledger = yield* Effect.provideService(Ledger.make(), LedgerStore.LedgerStore, {
        ...inner,
        transact: counting
      })
      yield* openBudget(ledger)
      // Every connection is open and every statement planned.
      yield* lifecycle(ledger, "first")
      const [before, begun] = [proxy.requests(), transactions]
      yield* Effect.forEach(Array.from({ length: 320 }, (_, i) => i), (i) => lifecycle(ledger, `${i}`), {
        concurrency: 64,
        discard: true
      })
      assert.isAtMost(proxy.requests() - before, 4 * (transactions - begun))
      assert.isAtMost((transactions - begun) / 640, 0.1)
    }).pipe(Effect.scoped))

  it.live("gives a connection up that says nothing any more", () =>
    Effect.gen(function*() {
      let cut: Mode = "pass"
      yield* inLedger(behindProxy(fresh({ lanes: 1, answerWithinMs: 500 }), () => cut), (ledger) =>
        Effect.gen(function*() {
          yield* openBudget(ledger)
          cut = "stall"
          const fiber = yield* Effect.forkChild(lifecycle(ledger, "a"))
          yield* Effect.sleep(100)
          cut = "pass"
          yield* Fiber.join(fiber)
          yield* inspect(ledger, 1)
        }))
    }))

  it.live("that lies in a row which cannot be written leaves no transaction open", () =>
    Effect.gen(function*() {
      const store = yield* LedgerStorePostgres.make(fresh({ applicationName: "unwritable" }))
      const circle: { [name: string]: unknown } = {}
      circle["again"] = circle
      yield* Effect.exit(store.transact(["acme"], (tx) => {
        const view = new View()
        view.putTenant({ ...emptyTenant("acme"), lastTimeMs: tx.now })
        view.addEvent({
          tenant: "acme",
          number: 1,
          atMs: tx.now,
          type: "budget.created",
          actor: "ops",
          actorType: undefined,
          keyId: undefined,
          scope: undefined,
          unit: undefined,
          reservationId: undefined,
          requestId: undefined,
          traceId: undefined,
          // A cast: no type lets a circle in, and a program in JavaScript does.
          details: circle as LedgerEvent["details"]
        })
        return tx.write(view.writes())
      }))
      const open = yield* Effect.promise(() =>
        sql(
          "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'unwritable' AND state LIKE 'idle in%'"
        )
      )
      assert.deepStrictEqual(open, [["0"]])
    }).pipe(Effect.scoped))

  for (const how of ["stop", "kill"] as const) {
    it.live(`that is over neither lost nor doubled anything: the server is down for a moment (${how})`, () =>
      Effect.gen(function*() {
        let running = true
        yield* inLedger(
          LedgerStorePostgres.layer(fresh({ reconnectForMs: 10_000 })),
          (ledger) =>
            Effect.gen(function*() {
              yield* openBudget(ledger)
              const fibers = yield* Effect.forEach(
                Array.from({ length: 16 }, (_, caller) => caller),
                (caller) =>
                  Effect.forkChild(Effect.gen(function*() {
                    let done = 0
                    while (running) {
                      yield* lifecycle(ledger, `${caller}-${done}`)
                      done++
                    }
                    return done
                  }))
              )
              for (let i = 0; i < 2; i++) {
                yield* Effect.sleep(300)
                yield* Effect.promise(() => server()[how]())
                yield* Effect.sleep(100)
                yield* Effect.promise(() => server().start())
              }
              yield* Effect.sleep(300)
              running = false
              const done = yield* Effect.forEach(fibers, Fiber.join)
              for (const count of done) assert.isAbove(count, 1)
              yield* inspect(ledger, done.reduce((sum, count) => sum + count, 0))
            })
        )
      }))
  }
})
