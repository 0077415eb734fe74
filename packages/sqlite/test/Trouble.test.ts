import { LedgerStoreSqlite, SqliteError } from "@effect-cycles/sqlite"
import * as Connection from "@effect-cycles/sqlite/Connection"
import * as Store from "@effect-cycles/sqlite/Store"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Ledger } from "effect-cycles"
import type { Operations } from "effect-cycles/ledger/LedgerStore"
import { LedgerStore, StoreError } from "effect-cycles/ledger/LedgerStore"
import { emptyTenant } from "effect-cycles/ledger/Model"
import { View } from "effect-cycles/ledger/View"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import Database from "libsql"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "sqlite "))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** Opens a file with SQLite alone, does something to it, and closes it. */
const tamper = (filename: string, sql: string): void => {
  const db = new Database(filename)
  db.exec(sql)
  db.close()
}

const open = (filename: string, options?: Partial<LedgerStoreSqlite.Options>) =>
  LedgerStoreSqlite.make({ filename, ...options })

/** Writes the row of a tenant. */
const touch = (store: Operations, tenant: string, lastEntry: number): Effect.Effect<void, StoreError> =>
  store.transact([tenant], (tx) => {
    const view = new View()
    view.putTenant({ ...emptyTenant(tenant), lastTimeMs: tx.now, lastEntry })
    return tx.write(view.writes())
  })

const lastEntries = (store: Operations) =>
  Effect.map(store.tenants("", 1_000), (rows) => rows.map(({ lastEntry, tenant }) => `${tenant} ${lastEntry}`))

/** The error something fails with, which must be what SQLite's trouble is told by. */
const troubleOf = <A, R>(
  self: Effect.Effect<A, SqliteError.SqliteError | StoreError, R>
): Effect.Effect<SqliteError.SqliteError, never, R> =>
  Effect.map(Effect.flip(Effect.asVoid(self)), (error) => {
    const trouble = error instanceof StoreError ? error.cause : error
    assert.instanceOf(trouble, SqliteError.SqliteError)
    return trouble
  }).pipe(Effect.orDie)

/** What the driver throws of a disk that is gone, as it is told. */
const gone = (filename: string, code: string) =>
  SqliteError.fromCause(filename, Object.assign(new Error("the disk is gone"), { code }))

const test = <E>(title: string, body: (folder: string) => Effect.Effect<void, E, Scope.Scope>): void =>
  it.live(title, () => Effect.scoped(Effect.flatMap(temporary, body)))

describe("a commit", () => {
  test("leaves the event loop to others while it waits for the disk, and takes no turn where there is none", (folder) =>
    Effect.gen(function*() {
      for (
        const [filename, synchronous, order] of [
          ["full.db", "full", ["other", "commit"]],
          ["normal.db", "normal", ["other", "commit"]],
          ["off.db", "off", ["commit", "other"]],
          [":memory:", "full", ["commit", "other"]]
        ] as const
      ) {
        const connection = yield* Connection.open({
          filename: filename === ":memory:" ? filename : join(folder, filename),
          synchronous,
          lockTimeoutMs: 100
        })
        yield* connection.begin((self) => self)
        connection.statement("INSERT INTO tenants (name, undelivered) VALUES ('acme', 0)").run([])
        const seen: Array<string> = []
        queueMicrotask(() => seen.push("other"))
        yield* connection.commit
        seen.push("commit")
        yield* Effect.promise(() => Promise.resolve())
        assert.deepStrictEqual(seen, [...order], filename)
        assert.deepStrictEqual(connection.statement("SELECT name FROM tenants").all([]), [["acme"]])
      }
    }))

  test("is not given up where its caller is interrupted", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const connection = yield* Connection.open({ filename, synchronous: "full", lockTimeoutMs: 100 })
      const began = yield* Latch.make(false)
      let hasEnded = false
      const commit = connection.commit.pipe(
        Effect.andThen(Effect.sync(() => {
          hasEnded = true
        })),
        (commit) => Effect.andThen(began.open, commit)
      )
      const store = Store.make({ ...connection, commit }, filename)
      const caller = yield* Effect.forkChild(touch(store, "acme", 1))
      yield* began.await
      assert.isFalse(hasEnded)
      yield* Fiber.interrupt(caller)
      assert.isTrue(hasEnded)
      assert.deepStrictEqual(yield* lastEntries(store), ["acme 1"])
    }))
})

describe("a ledger's file", () => {
  test("is there again when it is opened again", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const opened = () => Ledger.layer().pipe(Layer.provide(LedgerStoreSqlite.layer({ filename })))
      yield* Effect.provide(
        Effect.flatMap(Ledger.Ledger, (ledger) =>
          ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(Amount.MAX_INT64) })),
        opened()
      )
      const { balances, flaws } = yield* Effect.provide(
        Effect.gen(function*() {
          const ledger = yield* Ledger.Ledger
          const { flaws } = yield* ledger.verify("acme")
          return { flaws, ...yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" }) }
        }),
        opened()
      )
      assert.deepStrictEqual(
        balances.map(({ remaining }) =>
          remaining.amount
        ),
        [Amount.MAX_INT64]
      )
      assert.deepStrictEqual(flaws, [])
    }))

  test("is made once by all who open it at once, and they share what is in it", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const stores = yield* Effect.forEach(Array.from({ length: 6 }), () => open(filename), {
        concurrency: "unbounded"
      })
      yield* Effect.forEach(stores, (store, i) => touch(store, `t-${i}`, i), { concurrency: "unbounded" })
      for (const store of stores) {
        assert.deepStrictEqual(yield* lastEntries(store), ["t-0 0", "t-1 1", "t-2 2", "t-3 3", "t-4 4", "t-5 5"])
      }
    }))

  test("is synced as was asked for", (folder) =>
    Effect.gen(function*() {
      for (const [i, synchronous] of ([["off", 0], ["normal", 1], ["full", 2], [undefined, 2]] as const).entries()) {
        const connection = yield* Connection.open({
          filename: join(folder, `${i}.db`),
          synchronous: synchronous[0] ?? "full",
          lockTimeoutMs: 100
        })
        assert.deepStrictEqual(connection.statement("PRAGMA synchronous").get([]), [synchronous[1]])
        assert.deepStrictEqual(connection.statement("PRAGMA journal_mode").get([]), ["wal"])
      }
    }))

  test("holds everything by itself once it is closed", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      yield* Effect.scoped(Effect.flatMap(open(filename), (store) => touch(store, "acme", 1)))
      const log = `${filename}-wal`
      assert.isTrue(!existsSync(log) || statSync(log).size === 0)
      renameSync(filename, join(folder, "moved.db"))
      assert.deepStrictEqual(yield* Effect.flatMap(open(join(folder, "moved.db")), lastEntries), ["acme 1"])
    }))
})

describe("trouble with a ledger's file", () => {
  test("that is locked is waited out, without holding up anything else", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const store = yield* open(filename)
      const other = new Database(filename)
      other.exec("BEGIN IMMEDIATE")
      let turns = 0
      const turning = setInterval(() => turns++, 1)
      const waiting = yield* Effect.forkChild(touch(store, "acme", 1))
      yield* Effect.sleep(200)
      clearInterval(turning)
      assert.isAbove(turns, 10)
      assert.isUndefined(waiting.pollUnsafe())
      other.exec("COMMIT")
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* lastEntries(store), ["acme 1"])
      other.close()
    }))

  test("that is locked for longer is told, and nothing has happened", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const store = yield* open(filename, { lockTimeoutMs: 50 })
      const other = new Database(filename)
      other.exec("BEGIN IMMEDIATE")
      const failure = yield* Effect.flip(touch(store, "acme", 1))
      assert.strictEqual(failure.outcome, "none")
      const trouble = yield* troubleOf(touch(store, "acme", 1))
      assert.strictEqual(trouble.reason, "Locked")
      assert.isTrue(trouble.isTransient)
      assert.include(trouble.message, filename)
      assert.include(trouble.message, "lockTimeoutMs")
      other.exec("COMMIT")
      other.close()
      yield* touch(store, "acme", 2)
      assert.deepStrictEqual(yield* lastEntries(store), ["acme 2"])
    }))

  test("that is locked can be turned away from", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const store = yield* open(filename)
      const other = new Database(filename)
      other.exec("BEGIN IMMEDIATE")
      const waiting = yield* Effect.forkChild(touch(store, "acme", 1))
      yield* Effect.sleep(20)
      yield* Fiber.interrupt(waiting)
      other.exec("COMMIT")
      other.close()
      assert.deepStrictEqual(yield* lastEntries(store), [])
      yield* touch(store, "acme", 2)
    }))

  test("that may not be written is told", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      yield* Effect.scoped(open(filename))
      const store = yield* open(`file:${filename}?mode=ro`)
      const trouble = yield* troubleOf(touch(store, "acme", 1))
      assert.strictEqual(trouble.reason, "ReadOnly")
      assert.include(trouble.message, "write permission")
      assert.isFalse(trouble.isTransient)
    }))

  test("that is damaged is told, and not written on", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      yield* Effect.scoped(Effect.gen(function*() {
        const store = yield* open(filename)
        for (let i = 0; i < 50; i++) yield* touch(store, `tenant-${i}`, i)
      }))
      const bytes = readFileSync(filename)
      bytes.fill(0xa5, 4_096)
      writeFileSync(filename, bytes)
      const trouble = yield* troubleOf(Effect.flatMap(open(filename), (store) => touch(store, "acme", 1)))
      assert.strictEqual(trouble.reason, "Corrupt")
      assert.include(trouble.message, "backup")
      assert.isTrue(readFileSync(filename).equals(bytes))
    }))

  test("that has no room left is told; nothing of it has happened, and it goes on once there is room", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const connection = yield* Connection.open({ filename, synchronous: "full", lockTimeoutMs: 100 })
      const store = Store.make(connection, filename)
      yield* touch(store, "acme", 1)
      // As full as a disk can be, for this connection.
      connection.statement("PRAGMA max_page_count = 1").get([])
      const many = store.transact(["acme"], (tx) => {
        const view = new View()
        for (let i = 0; i < 500; i++) view.putTenant({ ...emptyTenant(`tenant-${i}`), lastTimeMs: tx.now })
        return tx.write(view.writes())
      })
      const failure = yield* Effect.flip(many)
      assert.strictEqual(failure.outcome, "none")
      const trouble = yield* troubleOf(many)
      assert.strictEqual(trouble.reason, "Full")
      assert.isTrue(trouble.isTransient)
      assert.include(trouble.message, "Make room")
      assert.deepStrictEqual(yield* lastEntries(store), ["acme 1"])
      connection.statement("PRAGMA max_page_count = 100000").get([])
      yield* many
      assert.strictEqual((yield* lastEntries(store)).length, 501)
    }))

  test("that is none of SQLite's, or not a ledger's, or a later version's is told, and the file left as it is", (folder) =>
    Effect.gen(function*() {
      const text = join(folder, "text.db")
      writeFileSync(text, "not a database, but long enough to look like one. ".repeat(40))
      const foreign = join(folder, "foreign.db")
      tamper(foreign, "CREATE TABLE notes (text TEXT)")
      const newer = join(folder, "newer.db")
      yield* Effect.scoped(open(newer))
      tamper(newer, "PRAGMA user_version = 99")
      for (
        const [filename, reason, word] of [
          [text, "NotADatabase", "Check `filename`"],
          [foreign, "NotALedger", "something else"],
          [newer, "NewerVersion", "later"]
        ] as const
      ) {
        const before = readFileSync(filename)
        const trouble = yield* troubleOf(Effect.scoped(open(filename)))
        assert.strictEqual(trouble.reason, reason)
        assert.strictEqual(trouble.filename, filename)
        assert.include(trouble.message, word)
        assert.isTrue(readFileSync(filename).equals(before), reason)
      }
    }))

  test("that is not there and cannot be made is told", (folder) =>
    Effect.gen(function*() {
      const trouble = yield* troubleOf(open(join(folder, "none", "ledger.db")))
      assert.strictEqual(trouble.reason, "CannotOpen")
      assert.include(trouble.message, "its folder exists")
      mkdirSync(join(folder, "folder.db"))
      assert.strictEqual((yield* troubleOf(open(join(folder, "folder.db")))).reason, "CannotOpen")
    }))

  test("while committing leaves open what has happened, but for a full disk", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const connection = yield* Connection.open({ filename, synchronous: "full", lockTimeoutMs: 100 })
      const refusing = (code: string): Operations =>
        Store.make({
          ...connection,
          commit: Effect.fail(gone(filename, code))
        }, filename)
      for (
        const [code, reason, outcome] of [
          ["SQLITE_IOERR_FSYNC", "Io", "unknown"],
          ["SQLITE_FULL", "Full", "none"],
          ["SQLITE_CORRUPT", "Corrupt", "unknown"]
        ] as const
      ) {
        const failure = yield* Effect.flip(touch(refusing(code), "acme", 1))
        assert.strictEqual(failure.outcome, outcome)
        assert.strictEqual((yield* troubleOf(touch(refusing(code), "acme", 1))).reason, reason)
      }
      // What was not committed was taken back, and the connection goes on.
      assert.deepStrictEqual(yield* lastEntries(Store.make(connection, filename)), [])
      yield* touch(Store.make(connection, filename), "acme", 2)
    }))

  test("after a commit that was not heard of changes nothing twice, and loses nothing", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const connection = yield* Connection.open({ filename, synchronous: "full", lockTimeoutMs: 100 })
      let commits = 0
      const forgetful = Store.make({
        ...connection,
        commit: Effect.flatMap(connection.commit, () =>
          // Every other one has happened, and says it may not have.
          commits++ % 2 === 1
            ? Effect.fail(gone(filename, "SQLITE_IOERR"))
            : Effect.void)
      }, filename)
      yield* Effect.provide(
        Effect.gen(function*() {
          const ledger = yield* Ledger.Ledger
          const scope = "tenant:acme"
          yield* ledger.createBudget("acme", { scope, allocated: Amount.tokens(1_000) })
          const acme = ledger.as({ tenant: "acme" })
          for (let i = 0; i < 10; i++) {
            const idempotencyKey = IdempotencyKey.make(`${i}`)
            const { reservationId } = yield* acme.reserve({
              idempotencyKey,
              subject: { tenant: "acme" },
              action: Action.make("tool.call", "search"),
              estimate: Amount.tokens(10)
            })
            yield* acme.commit(reservationId!, { idempotencyKey, actual: Amount.tokens(7) })
          }
          const { balances } = yield* acme.balances({ tenant: "acme" })
          assert.strictEqual(balances[0]?.spent?.amount, 70n)
          assert.strictEqual(balances[0]?.reserved?.amount, 0n)
          assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
          assert.strictEqual((yield* ledger.entries("acme")).length, 21)
        }),
        Ledger.layer().pipe(Layer.provide(Layer.succeed(LedgerStore, forgetful)))
      )
      assert.isAbove(commits, 22)
    }))

  test("reaches whoever asked the ledger as an authority that is unavailable, saying why", (folder) =>
    Effect.gen(function*() {
      const filename = join(folder, "ledger.db")
      const exit = yield* Effect.exit(Effect.provide(
        Effect.gen(function*() {
          const ledger = yield* Ledger.Ledger
          const other = new Database(filename)
          other.exec("BEGIN IMMEDIATE")
          const error = yield* Effect.flip(
            ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(1) })
          )
          other.close()
          assert.strictEqual(error._tag, "AuthorityUnavailable")
          assert.isTrue(error.isTransient)
        }),
        Ledger.layer().pipe(Layer.provide(LedgerStoreSqlite.layer({ filename, lockTimeoutMs: 5 })))
      ))
      assert.isTrue(Exit.isSuccess(exit))
    }))
})

// A store is provided by a layer as well as made.
const provided: Layer.Layer<LedgerStore, SqliteError.SqliteError> = LedgerStoreSqlite.layer({ filename: ":memory:" })

it.live("every store in memory is its own", () =>
  Effect.gen(function*() {
    const store = yield* LedgerStore
    yield* touch(store, "acme", 1)
    const others = yield* Effect.provide(Effect.flatMap(LedgerStore, lastEntries), Layer.fresh(provided))
    assert.deepStrictEqual(others, [])
  }).pipe(Effect.provide(provided)))

describe("a ledger in a SQLite file that is used for long", () => {
  it.effect("keeps a bounded number of statements prepared", () =>
    Effect.scoped(Effect.gen(function*() {
      const filename = join(yield* temporary, "ledger.db")
      const connection = yield* Connection.open({ filename, synchronous: "off", lockTimeoutMs: 100 })
      const first = connection.statement("SELECT 0")
      assert.strictEqual(connection.statement("SELECT 0"), first)
      for (let i = 1; i <= 1_000; i++) assert.strictEqual(connection.statement(`SELECT ${i}`).get([])?.[0], i)
      assert.notStrictEqual(connection.statement("SELECT 0"), first)
    })))

  it.live("goes on for all tenants but the one with a row that cannot be read, without trying that one again", () =>
    Effect.scoped(Effect.gen(function*() {
      const filename = join(yield* temporary, "ledger.db")
      const store = yield* open(filename)
      const ledger = yield* Effect.provideService(Ledger.make(), LedgerStore, store)
      for (const tenant of ["acme", "bad", "corp"]) {
        yield* ledger.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.tokens(10) })
      }
      tamper(filename, "UPDATE budgets SET body = '[9]' WHERE scope = 'tenant:bad'")
      const startedAt = performance.now()
      const told = yield* Effect.forEach(["corp", "acme", "bad", "acme", "corp"], (tenant, i) =>
        Effect.match(
          ledger.as({ tenant }).reserve({
            idempotencyKey: IdempotencyKey.make(`key-${i}`),
            subject: { tenant },
            action: Action.make("tool.call", "search"),
            estimate: Amount.tokens(1)
          }),
          { onFailure: (error) => error._tag, onSuccess: () => "ok" }
        ), { concurrency: "unbounded" })
      assert.deepStrictEqual(told, ["ok", "ok", "AuthorityUnavailable", "ok", "ok"])
      assert.isBelow(performance.now() - startedAt, 2_000)
    })))
})
