import { FileJournal } from "@effect-cycles/http"
import * as ScriptedAuthority from "@effect-cycles/testing/ScriptedAuthority"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, BudgetAuthority, CyclesError, Journal, Ledger } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"

const baseUrl = "http://localhost"
const identity = { baseUrl, tenant: "acme", apiKey: Redacted.make("test-key") }
const FOLDER = "8baba538fb970da4"

const record = (id: string, amount: number | bigint = 100): Journal.JournalRecord => ({
  reservationId: ReservationId.make(id),
  mode: "commit",
  commit: { idempotencyKey: IdempotencyKey.make("ck-1"), actual: Amount.microcents(amount) },
  event: {
    idempotencyKey: IdempotencyKey.make("ck-1"),
    subject: { tenant: "acme" },
    action: Action.make("llm.completion", "gpt"),
    actual: Amount.microcents(amount),
    metadata: { recovered_reservation_id: id, recovery_reason: "commit_after_reservation_expired" }
  },
  recordedAtMs: 1,
  notBeforeMs: undefined
})

// The bytes the TypeScript client of the protocol's authors writes for that record.
const golden =
  `{"version":1,"reservation_id":"rsv_1","base_url":"http://localhost","mode":"commit","commit_body":{"idempotency_key":"ck-1",` +
  `"actual":{"unit":"USD_MICROCENTS","amount":100}},"event_fallback_body":{"idempotency_key":"ck-1","subject":{"tenant":"acme"},` +
  `"action":{"kind":"llm.completion","name":"gpt"},"actual":{"unit":"USD_MICROCENTS","amount":100},"metadata":{` +
  `"recovered_reservation_id":"rsv_1","recovery_reason":"commit_after_reservation_expired"}},"recorded_at_ms":1,"not_before_ms":null}`

const sha256 = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex")

/** A folder of its own, and what is in the folder of the identity. */
const makePlace = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = path.join(yield* fs.makeTempDirectoryScoped({ prefix: "journal-" }), "deep", "er")
  const folder = path.join(directory, FOLDER)
  const modeOf = (file: string) => Effect.map(fs.stat(file), ({ mode }) => (mode & 0o777).toString(8))
  return {
    fs,
    directory,
    folder,
    modeOf,
    file: (name: string) => path.join(folder, name),
    names: Effect.map(fs.readDirectory(folder), (names) => names.toSorted()),
    open: FileJournal.make({ ...identity, directory })
  }
})

/** Runs something and collects what it logs. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    lines.push(`${logLevel}: ${[message].flat().map(String).join(" ")}`)
  })
  return Effect.map(Effect.provide(effect, Logger.layer([logger])), (value) => ({ value, lines }))
}

describe("FileJournal", () => {
  describe("shares its place with the other clients", () => {
    it.effect("names the folder as they do", () =>
      Effect.gen(function*() {
        const apiKey = Redacted.make("test-key")
        assert.strictEqual(yield* FileJournal.folderOf({ baseUrl, apiKey }), "68c905017df7dbfc")
        assert.strictEqual(yield* FileJournal.folderOf({ baseUrl, apiKey, tenant: " " }), "68c905017df7dbfc")
        assert.strictEqual(yield* FileJournal.folderOf({ baseUrl, apiKey, tenant: "acme" }), FOLDER)
        const rotated = { baseUrl, apiKey: Redacted.make("another"), tenant: "acme" }
        assert.strictEqual(yield* FileJournal.folderOf(rotated), FOLDER)
      }))

    it("names the files as they do", () => {
      for (const id of ["rsv_1", "rsv/1", "ü", "漢字", "../../etc/passwd", "😀".repeat(128)]) {
        assert.strictEqual(FileJournal.fileOf(ReservationId.make(id)), `v2-${sha256(id)}.json`)
      }
    })

    it.live("writes the bytes they write, and reads them", () =>
      Effect.gen(function*() {
        const { file, fs, names, open } = yield* makePlace
        const journal = yield* open
        yield* journal.append(record("rsv_1"))
        const name = `v2-${sha256("rsv_1")}.json`
        assert.deepStrictEqual(yield* names, [name])
        assert.strictEqual(yield* fs.readFileString(file(name)), golden)
        assert.deepStrictEqual(yield* journal.pending, [record("rsv_1")])
      }).pipe(Effect.provide(NodeServices.layer)))

    it.live("is below the home directory, or where CYCLES_JOURNAL_DIR says", () =>
      Effect.gen(function*() {
        const { directory, fs } = yield* makePlace
        const path = yield* Path.Path
        const open = (env: Record<string, string>) =>
          Effect.provideService(
            FileJournal.make({ ...identity }),
            ConfigProvider.ConfigProvider,
            ConfigProvider.fromEnv({ env })
          )
        const fromHome = yield* open({ HOME: directory })
        yield* fromHome.append(record("rsv_1"))
        assert.isTrue(yield* fs.exists(path.join(directory, ".runcycles", "commit-journal", FOLDER)))
        const named = yield* FileJournal.layerConfig({ directory }).pipe(
          Layer.build,
          Effect.provideService(
            ConfigProvider.ConfigProvider,
            ConfigProvider.fromEnv({
              env: { CYCLES_BASE_URL: baseUrl, CYCLES_API_KEY: "test-key", CYCLES_TENANT: "acme" }
            })
          )
        )
        yield* Context.get(named, Journal.Journal).append(record("rsv_1"))
        assert.isTrue(yield* fs.exists(path.join(directory, FOLDER)))
        const elsewhere = path.join(directory, "elsewhere")
        const fromVariable = yield* open({ HOME: directory, CYCLES_JOURNAL_DIR: elsewhere })
        yield* fromVariable.append(record("rsv_1"))
        assert.deepStrictEqual(yield* fs.readDirectory(elsewhere), [FOLDER])
      }).pipe(Effect.provide(NodeServices.layer)))

    it.live("takes what they may leave out or write as null", () =>
      Effect.gen(function*() {
        const { file, folder, fs, open } = yield* makePlace
        yield* fs.makeDirectory(folder, { recursive: true })
        const commit = { idempotency_key: "ck-1", actual: { unit: "TOKENS", amount: 5 }, metrics: null }
        yield* fs.writeFileString(
          file(FileJournal.fileOf(ReservationId.make("a"))),
          JSON.stringify({ version: 1, reservation_id: "a", base_url: baseUrl, commit_body: commit })
        )
        const [found] = yield* (yield* open).pending
        assert.strictEqual(found?.mode, "commit")
        assert.deepStrictEqual(found?.commit, {
          idempotencyKey: IdempotencyKey.make("ck-1"),
          actual: Amount.tokens(5)
        })
        assert.isUndefined(found?.event)
        // Without a time of its own, it is as old as its file.
        assert.isAbove(found?.recordedAtMs ?? 0, 1_600_000_000_000)
      }).pipe(Effect.provide(NodeServices.layer)))
  })

  it.live("keeps amounts to the last digit, floors and modes, until they are resolved", () =>
    Effect.gen(function*() {
      const { names, open } = yield* makePlace
      const journal = yield* open
      const commit = record("rsv_1", Amount.MAX_INT64)
      yield* journal.append(commit)
      yield* journal.defer(commit.reservationId, 5_000)
      assert.deepStrictEqual(yield* (yield* open).pending, [{ ...commit, notBeforeMs: 5_000 }])
      const event: Journal.JournalRecord = { ...commit, mode: "event", event: commit.event! }
      yield* journal.append(event)
      assert.deepStrictEqual(yield* (yield* open).pending, [event])
      yield* journal.resolve(commit.reservationId)
      yield* journal.resolve(commit.reservationId)
      yield* journal.defer(commit.reservationId, 6_000)
      assert.deepStrictEqual(yield* names, [])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("lets nobody else read", () =>
    Effect.gen(function*() {
      const { directory, file, folder, fs, modeOf, open } = yield* makePlace
      yield* (yield* open).append(record("rsv_1"))
      assert.strictEqual(yield* modeOf(directory), "700")
      assert.strictEqual(yield* modeOf(folder), "700")
      assert.strictEqual(yield* modeOf(file(`v2-${sha256("rsv_1")}.json`)), "600")
      yield* fs.chmod(folder, 0o755)
      yield* open
      assert.strictEqual(yield* modeOf(folder), "700")
      const text = yield* fs.readFileString(file(`v2-${sha256("rsv_1")}.json`))
      assert.notInclude(text, "test-key")
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("puts aside what it cannot read, says so, and reads the rest", () =>
    Effect.gen(function*() {
      const { file, fs, names, open } = yield* makePlace
      const journal = yield* open
      yield* journal.append(record("good"))
      yield* fs.writeFileString(file("torn.json"), golden.slice(0, 100))
      yield* fs.writeFileString(file("new.json"), golden.replace(`"version":1`, `"version":2`))
      yield* fs.writeFileString(file("empty.json"), "")
      yield* fs.writeFileString(file("odd.json"), golden.replace(`"mode":"commit"`, `"mode":"refund"`))
      yield* fs.writeFileString(file("bare.json"), golden.replace(/"commit_body":.*?\}\}/, `"commit_body":null`))
      const { lines, value } = yield* logged(journal.pending)
      assert.deepStrictEqual(value, [record("good")])
      assert.deepStrictEqual(yield* names, [
        "bare.corrupt",
        "empty.corrupt",
        "new.corrupt",
        "odd.corrupt",
        "torn.corrupt",
        `v2-${sha256("good")}.json`
      ])
      assert.strictEqual(lines.filter((line) => line.startsWith("Warn") && line.includes("put aside")).length, 5)
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("keeps what was put aside under the same name before", () =>
    Effect.gen(function*() {
      const { file, fs, names, open } = yield* makePlace
      const journal = yield* open
      const name = `v2-${sha256("rsv_1")}`
      yield* journal.append(record("rsv_1"))
      const torn = ["first", "second", "third"]
      for (const text of torn) {
        yield* fs.writeFileString(file(`${name}.json`), text)
        yield* logged(journal.pending)
      }
      const corrupt = yield* names
      assert.lengthOf(corrupt, 3)
      assert.include(corrupt, `${name}.corrupt`)
      assert.isTrue(corrupt.every((name) => name.endsWith(".corrupt")))
      const texts = yield* Effect.forEach(corrupt, (name) => fs.readFileString(file(name)))
      assert.sameMembers(texts, torn)
      for (const _ of [1, 2]) {
        yield* journal.append(record("rsv_1"))
        yield* journal.quarantine(ReservationId.make("rsv_1"), "too old")
      }
      assert.lengthOf((yield* names).filter((name) => name.endsWith(".quarantined")), 2)
      assert.deepStrictEqual(yield* journal.pending, [])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("puts aside what it is told to", () =>
    Effect.gen(function*() {
      const { names, open } = yield* makePlace
      const journal = yield* open
      yield* journal.append(record("old"))
      yield* journal.quarantine(ReservationId.make("old"), "too old")
      yield* journal.quarantine(ReservationId.make("old"), "too old")
      assert.deepStrictEqual(yield* names, [`v2-${sha256("old")}.quarantined`])
      assert.deepStrictEqual(yield* journal.pending, [])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("removes temporary files that nobody will finish, after an hour", () =>
    Effect.gen(function*() {
      const { file, fs, names, open } = yield* makePlace
      const journal = yield* open
      yield* journal.append(record("a"))
      yield* fs.writeFileString(file("fresh.tmp"), "")
      yield* fs.writeFileString(file("stale.tmp"), "")
      const past = Date.now() - 3_601_000
      yield* fs.utimes(file("stale.tmp"), past / 1_000, past / 1_000)
      yield* journal.pending
      assert.deepStrictEqual(yield* names, ["fresh.tmp", `v2-${sha256("a")}.json`])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("keeps the records of other servers apart", () =>
    Effect.gen(function*() {
      const { file, fs, names, open } = yield* makePlace
      const journal = yield* open
      yield* journal.append(record("a"))
      const name = `v2-${sha256("a")}.json`
      yield* fs.writeFileString(file(name), (yield* fs.readFileString(file(name))).replace(baseUrl, "http://other"))
      assert.deepStrictEqual(yield* journal.pending, [])
      assert.deepStrictEqual(yield* names, [name])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("migrates names of older clients, and never one reservation over another", () =>
    Effect.gen(function*() {
      const { file, folder, fs, names, open } = yield* makePlace
      const journal = yield* open
      yield* fs.makeDirectory(folder, { recursive: true })
      const text = (id: string) => golden.replaceAll("rsv_1", id)
      // `rsv/1` and `rsv:1` had the same name: the later one is all that is left of them.
      yield* fs.writeFileString(file("rsv_1.json"), text("rsv:1"))
      yield* journal.append(record("rsv/1"))
      const found = (yield* journal.pending).map(({ reservationId }) => String(reservationId))
      assert.deepStrictEqual(found.toSorted(), ["rsv/1", "rsv:1"])
      assert.deepStrictEqual(yield* names, [`v2-${sha256("rsv/1")}.json`, `v2-${sha256("rsv:1")}.json`].toSorted())

      // Both names for one reservation: the newer stays.
      yield* fs.writeFileString(file("rsv_1.json"), text("rsv/1"))
      assert.strictEqual((yield* journal.pending).length, 2)
      assert.isFalse(yield* fs.exists(file("rsv_1.json")))

      // What is resolved takes its old file along, and that of nobody else.
      yield* fs.writeFileString(file("rsv_1.json"), text("rsv:1"))
      yield* journal.resolve(ReservationId.make("rsv/1"))
      assert.isTrue(yield* fs.exists(file("rsv_1.json")))
      yield* journal.resolve(ReservationId.make("rsv:1"))
      assert.deepStrictEqual(yield* names, [])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.live("says what failed, and leaves no half of a file", () =>
    Effect.gen(function*() {
      const { fs, names, directory } = yield* makePlace
      const full: FileSystem.FileSystem = {
        ...fs,
        rename: (from) => fs.rename(`${from}-nowhere`, from)
      }
      const journal = yield* Effect.provideService(
        FileJournal.make({ ...identity, directory }),
        FileSystem.FileSystem,
        full
      )
      const error = yield* Effect.flip(journal.append(record("a")))
      assert.strictEqual(error._tag, "JournalError")
      assert.strictEqual(error.operation, "append")
      assert.deepStrictEqual(yield* names, [])
    }).pipe(Effect.provide(NodeServices.layer)))
})

// ---------------------------------------------------------------------------------------------------------------------
// with a budget
// ---------------------------------------------------------------------------------------------------------------------

/** A file system that notes, in order, what decides about durability. */
const spyOn = (inner: FileSystem.FileSystem, folder: string, log: Array<string>): FileSystem.FileSystem => {
  const note = (what: string) => Effect.sync(() => log.push(what))
  const nameOf = (file: string): string | undefined =>
    file === folder ? "folder" : !file.startsWith(folder) ? undefined : file.endsWith(".tmp") ? "temporary" : "record"
  return {
    ...inner,
    open: (file, options) =>
      Effect.map(inner.open(file, options), (opened): FileSystem.File => {
        const name = nameOf(file)
        return name === undefined ? opened : new Proxy(opened, {
          get: (target, property) => {
            if (property === "sync") return Effect.andThen(target.sync, note(`sync ${name}`))
            if (property === "writeAll") {
              return (bytes: Uint8Array) => Effect.andThen(target.writeAll(bytes), note(`write ${name}`))
            }
            const value: unknown = Reflect.get(target, property)
            return typeof value === "function" ? value.bind(target) : value
          }
        })
      }),
    rename: (from, to) => Effect.andThen(inner.rename(from, to), note(`rename ${nameOf(from)} to ${nameOf(to)}`)),
    remove: (file, options) => Effect.andThen(inner.remove(file, options), note(`remove ${nameOf(file)}`))
  }
}

describe("a budget with a FileJournal", () => {
  const request = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(100) }
  const spend = Budget.guardOutcome(request, (r) => Effect.succeed(r.commit(Amount.tokens(40))))

  const makeWorld = Effect.gen(function*() {
    const place = yield* makePlace
    const ledger = yield* Layer.build(
      Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }] })
    )
    const inner = Context.get(ledger, BudgetAuthority.BudgetAuthority)
    const { authority, script } = yield* ScriptedAuthority.make(inner)
    const log: Array<string> = []
    const noted = BudgetAuthority.BudgetAuthority.of({
      ...authority,
      commit: (id, commit) => Effect.andThen(Effect.sync(() => log.push("commit")), authority.commit(id, commit))
    })
    const boot = Effect.fnUntraced(function*(options?: Budget.Options, apiKey = "test-key") {
      const scope = yield* Scope.make()
      const journal = FileJournal.layer({
        ...identity,
        apiKey: Redacted.make(apiKey),
        directory: place.directory
      })
      const services = yield* Layer.buildWithScope(
        Budget.layer({ subject: { tenant: "acme" }, ...options }).pipe(
          Layer.provide(journal),
          Layer.provide(Layer.succeed(BudgetAuthority.BudgetAuthority, noted)),
          Layer.provide(Layer.succeed(FileSystem.FileSystem, spyOn(place.fs, place.folder, log)))
        ),
        scope
      )
      return { services, end: Scope.close(scope, Exit.void) }
    })
    const spent = Effect.map(inner.balances({ tenant: "acme" }), ({ balances }) => balances[0]?.spent?.amount)
    return { ...place, boot, log, script, spent }
  })

  /** Real files take real time. */
  const until = (condition: Effect.Effect<boolean>) =>
    Effect.gen(function*() {
      for (let tries = 0; tries < 500 && !(yield* condition); tries++) yield* TestClock.withLive(Effect.sleep(5))
      assert.isTrue(yield* condition)
    })

  it.effect("sends nothing before the record is on the disk", () =>
    Effect.gen(function*() {
      const { boot, log } = yield* makeWorld
      const { services } = yield* boot()
      const { outcome } = yield* Effect.provideContext(spend, services)
      assert.strictEqual(outcome._tag, "Committed")
      assert.deepStrictEqual(log, [
        "write temporary",
        "sync temporary",
        "rename temporary to record",
        "sync folder",
        "commit",
        "remove record"
      ])
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("settles after a restart what a killed process left, with a new key of the same tenant", () =>
    Effect.gen(function*() {
      const { boot, names, script, spent } = yield* makeWorld
      yield* script.on(
        "commit",
        ScriptedAuthority.always(ScriptedAuthority.fail(new CyclesError.AuthorityUnavailable({})))
      )
      const first = yield* boot({ settleTimeout: 0, shutdownTimeout: 0 })
      const { outcome } = yield* Effect.provideContext(spend, first.services)
      assert.strictEqual(outcome._tag, "Pending")
      yield* first.end
      assert.strictEqual((yield* names).length, 1)
      yield* script.clear("commit")

      yield* boot({}, "rotated-key")
      yield* until(Effect.map(Effect.orDie(names), (left) => left.length === 0))
      assert.strictEqual(yield* spent, 40n)
      const keys = (yield* script.callsOf("commit")).map(({ request }) => request.idempotencyKey)
      assert.strictEqual(new Set(keys).size, 1)
    }).pipe(Effect.provide(NodeServices.layer)))

  it.effect("charges once where two processes find the same record", () =>
    Effect.gen(function*() {
      const { boot, names, script, spent } = yield* makeWorld
      yield* script.on(
        "commit",
        ScriptedAuthority.always(ScriptedAuthority.fail(new CyclesError.AuthorityUnavailable({})))
      )
      const first = yield* boot({ settleTimeout: 0, shutdownTimeout: 0 })
      yield* Effect.provideContext(spend, first.services)
      yield* first.end
      yield* script.clear("commit")
      yield* Effect.all([boot(), boot()], { concurrency: 2 })
      yield* until(Effect.map(Effect.orDie(names), (left) => left.length === 0))
      assert.strictEqual(yield* spent, 40n)
    }).pipe(Effect.provide(NodeServices.layer)))
})
