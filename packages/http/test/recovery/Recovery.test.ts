/**
 * The twelve scenarios of the protocol's client recovery profile: what must become of a settlement when answers are lost, leases
 * end and processes are killed. Real HTTP, real files, real processes; whether something was charged is read from the books of
 * the server alone.
 */
import { FileJournal } from "@effect-cycles/http"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget, Journal } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"
import * as Yaml from "yaml"
import type { Setup } from "./client.ts"
import { identity, layer, request, spend, spent } from "./client.ts"
import * as Processes from "./processes.ts"
import { filesIn, recordsIn, temporary, until } from "./processes.ts"
import type { Answer, Fault, Stub } from "./stub.ts"
import * as Stubs from "./stub.ts"
import * as SystemCalls from "./systemCalls.ts"

// ---------------------------------------------------------------------------------------------------------------------
// what every scenario asks
// ---------------------------------------------------------------------------------------------------------------------

const apiKey = "cyc_live_the-first-key"

/** The requests that settle, in order. */
const settling = (stub: Stub): ReadonlyArray<string> => stub.of("commit", "event").map(({ operation }) => operation)

/** One charge, of everything that was used, whatever was sent, and all of it under one key. */
const assertSettledOnce = (stub: Stub, by: "commit" | "event" = "commit"): void => {
  assert.deepStrictEqual(stub.charges.map(({ amount, by }) => ({ amount, by })), [{ amount: 420, by }])
  assert.deepStrictEqual(Array.from(new Set(stub.of("commit", "event").map(({ key }) => key))), [stub.charges[0]?.key])
  assert.deepStrictEqual(stub.flaws, [])
  assert.strictEqual(stub.of("release").length, 0)
}

const assertEventIsWhole = (stub: Stub): void => {
  const commit = stub.of("commit")[0]?.body
  const event = stub.of("event")[0]?.body
  assert.deepInclude(event, { ...spent, metrics: commit?.["metrics"] })
  assert.deepInclude(event?.["metadata"], {
    run: "r-7",
    recovered_reservation_id: "rsv-1",
    recovery_reason: "commit_after_reservation_expired"
  })
}

/** What is logged is collected. */
const collecting = (lines: Array<string>): Layer.Layer<never> =>
  Logger.layer([
    Logger.make<unknown, void>(({ logLevel, message }) => {
      lines.push(`${logLevel}: ${[message].flat().map(String).join(" ")}`)
    })
  ])

/**
 * The two ways a settlement survives within a process: the client repeats by itself, or the journal's settlement does. `check`
 * is run with each, against a server and a journal of its own.
 */
const bothWays = <E>(
  check: (stub: Stub, setup: Setup) => Effect.Effect<void, E, Scope.Scope>
): Effect.Effect<void, E, Scope.Scope> =>
  Effect.gen(function*() {
    const plain = yield* Stubs.make
    yield* check(plain, { baseUrl: plain.url, apiKey, timeoutMs: 400 })
    const journaled = yield* Stubs.make
    const directory = yield* temporary
    yield* check(journaled, { baseUrl: journaled.url, apiKey, timeoutMs: 400, retries: 0, directory })
    assert.deepStrictEqual(filesIn(directory), [])
  })

const run = <A, E>(effect: Effect.Effect<A, E, Budget.Budget>, setup: Setup, options?: Budget.Options) => {
  const lines: Array<string> = []
  return Effect.map(
    Effect.exit(Effect.provide(effect, Layer.provideMerge(layer(setup, options), collecting(lines)))),
    (exit) => ({ exit, lines })
  )
}

const succeeded = <A, E>({ exit }: { readonly exit: Exit.Exit<A, E> }): A => {
  if (Exit.isFailure(exit)) return assert.fail(String(exit.cause))
  return exit.value
}

// ---------------------------------------------------------------------------------------------------------------------
// what the durable scenarios begin with
// ---------------------------------------------------------------------------------------------------------------------

let scriptFolder: string | undefined
let bundling: Promise<string> | undefined

/** The program of the processes, made where one is started for the first time. */
const script = Effect.promise(() =>
  bundling ??= Processes.bundle(scriptFolder = mkdtempSync(join(tmpdir(), "recovery-child-")))
)

/** A server, a place for a journal, and processes that use both. */
const makeWorld = Effect.gen(function*() {
  const stub = yield* Stubs.make
  const directory = yield* temporary
  const setup: Setup = { baseUrl: stub.url, apiKey, directory }
  const start = (options?: Partial<Setup> & { readonly spends?: boolean }) =>
    Effect.flatMap(script, (file) => Processes.start(file, { spends: false, ...setup, ...options }))
  const journal = Effect.provide(
    FileJournal.make({ ...identity(setup), directory }),
    NodeServices.layer
  )
  return {
    stub,
    directory,
    setup,
    start,
    journal,
    folder: join(directory, yield* FileJournal.folderOf(identity(setup)))
  }
})

/** A settlement an earlier process left. */
const left = (id: string): Journal.JournalRecord => {
  const key = IdempotencyKey.make(`commit-${id}`)
  return {
    reservationId: ReservationId.make(id),
    mode: "commit",
    commit: { idempotencyKey: key, actual: Amount.tokens(420) },
    event: {
      idempotencyKey: key,
      subject: spent.subject,
      action: Action.make("llm.completion", "gpt-4o"),
      actual: Amount.tokens(420)
    },
    recordedAtMs: Date.now(),
    notBeforeMs: undefined
  }
}

const sha256 = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex")

/** Waits until nothing is left, ends the process, and sees that it ends well. */
const emptied = (directory: string, ...children: ReadonlyArray<Processes.Child>) =>
  Effect.gen(function*() {
    yield* until("the journal is empty", () => filesIn(directory).length === 0)
    for (const child of children) assert.strictEqual(yield* child.end, 0)
  })

// ---------------------------------------------------------------------------------------------------------------------
// the scenarios
// ---------------------------------------------------------------------------------------------------------------------

interface Scenario {
  readonly level: "core" | "durable" | "boundary"
  readonly shows: string
  readonly check: Effect.Effect<void, unknown, Scope.Scope>
}

/** Successes that are none: the wrong status, or a body that is not what the contract says. */
const nonconformant: { readonly [name: string]: (answer: Answer) => Answer } = {
  "the wrong 2xx": (answer) => ({ ...answer, status: 202 }),
  "no body": () => ({ status: 204, body: "" }),
  "a body without what was charged": () => Stubs.json(200, { status: "COMMITTED" }),
  "a body that is cut off": ({ body, ...answer }) => ({ ...answer, body: body.slice(0, -5) }),
  "a page": () => ({ status: 200, body: "<html>", headers: { "content-type": "text/html" } })
}

const scenarios: { readonly [id: string]: Scenario } = {
  "CR-CORE-001": {
    level: "core",
    shows: "a commit whose answer is lost is sent again under its key, and charged once",
    check: Effect.forEach(
      [Stubs.replyLost, Stubs.doneInSilence, Stubs.connectionLost],
      (fault) =>
        bothWays((stub, setup) =>
          Effect.gen(function*() {
            stub.fail("commit", fault)
            const { outcome } = succeeded(yield* run(spend, setup))
            assert.strictEqual(outcome._tag, "Committed")
            assert.deepStrictEqual(settling(stub), ["commit", "commit"])
            assertSettledOnce(stub)
          })
        ),
      { concurrency: "unbounded", discard: true }
    )
  },

  "CR-CORE-002": {
    level: "core",
    shows:
      "a commit whose lease has ended becomes an event, under the same key and with all the commit and the hold said",
    check: bothWays((stub, setup) =>
      Effect.gen(function*() {
        stub.fail("commit", Stubs.expired)
        const { outcome } = succeeded(yield* run(spend, setup))
        assert.strictEqual(outcome._tag, "RecoveredAsEvent")
        assert.deepStrictEqual(settling(stub), ["commit", "event"])
        assertEventIsWhole(stub)
        assertSettledOnce(stub, "event")
      })
    )
  },

  "CR-CORE-003": {
    level: "core",
    shows:
      "a heartbeat that fails is reported with its reservation and what follows, and stops neither work nor charge",
    check: Effect.gen(function*() {
      /** Work that ends when `isOver`, under a lease that asks for a beat after 200 ms and has room for another. */
      const beat = (faults: ReadonlyArray<Fault>, isOver: (stub: Stub, lines: ReadonlyArray<string>) => boolean) =>
        Effect.gen(function*() {
          const stub = yield* Stubs.make
          stub.fail("extend", ...faults)
          const lines: Array<string> = []
          const { outcome, value } = yield* Budget.guardOutcome(
            { ...request, ttl: 3_200 },
            (r) => Effect.as(until("the work is over", () => isOver(stub, lines)), r.commit(Amount.tokens(420), "done"))
          ).pipe(
            Effect.provide(
              Layer.provideMerge(
                layer({ baseUrl: stub.url, apiKey, retries: 0 }, { heartbeatTimeout: "500 millis" }),
                collecting(lines)
              )
            )
          )
          assert.strictEqual(value, "done")
          assert.strictEqual(outcome._tag, "Committed")
          assert.strictEqual(stub.received.at(-1)?.operation, "commit")
          assert.strictEqual(new Set(stub.of("extend").map(({ key }) => key)).size, 1)
          assertSettledOnce(stub)
          return { extensions: stub.of("extend").length, lines }
        })
      const [recovered, lost] = yield* Effect.all([
        beat([Stubs.connectionLost], (stub) => stub.of("extend").length === 2),
        beat(
          Array.from({ length: 10 }, () => Stubs.connectionLost),
          (_, lines) => lines.some((line) => line.includes("lost"))
        )
      ], { concurrency: 2 })
      assert.strictEqual(recovered.extensions, 2)
      assert.strictEqual(recovered.lines.length, 1)
      assert.match(recovered.lines[0] ?? "", /^Warn: .*heartbeat.* reservation rsv-1 .*tried again/)
      assert.isAbove(lost.extensions, 1)
      assert.match(lost.lines.at(-1) ?? "", /^Warn: .*reservation rsv-1 was lost.*no further attempt/)
    })
  },

  "CR-CORE-004": {
    level: "core",
    shows: "a success that is not what the contract has is none: the commit is sent again under its key",
    check: Effect.forEach(Object.values(nonconformant), (change) =>
      bothWays((stub, setup) =>
        Effect.gen(function*() {
          const kept: Array<number> = []
          const notes = (fault: Fault): Fault => (exchange) => {
            if (setup.directory !== undefined) kept.push(recordsIn(setup.directory).length)
            return fault(exchange)
          }
          stub.fail(
            "commit",
            notes(({ answer, perform }) => answer(change(perform()))),
            notes(({ answer, perform }) => answer(perform()))
          )
          const { outcome } = succeeded(yield* run(spend, setup))
          assert.strictEqual(outcome._tag, "Committed")
          assert.deepStrictEqual(settling(stub), ["commit", "commit"])
          assertSettledOnce(stub)
          assert.deepStrictEqual(kept, setup.directory === undefined ? [] : [1, 1])
        })
      ), { concurrency: "unbounded", discard: true })
  },

  "CR-DURABLE-001": {
    level: "durable",
    shows: "a commit is on the disk before it leaves, and a process killed with it under way leaves it to the next",
    check: Effect.forEach([Stubs.silence, Stubs.doneInSilence], (fault) =>
      Effect.gen(function*() {
        const { directory, start, stub } = yield* makeWorld
        const found: Array<{ readonly [name: string]: unknown }> = []
        stub.fail("commit", (exchange) => {
          found.push(...recordsIn(directory))
          return fault(exchange)
        })
        const first = yield* start({ spends: true })
        yield* until("the commit is under way", () => stub.of("commit").length === 1)
        assert.strictEqual(yield* first.kill, "SIGKILL")
        assert.strictEqual(first.lines.some(({ outcome }) => outcome !== undefined), false)
        const { key, body } = stub.of("commit")[0]!
        assert.strictEqual(found.length, 1)
        assert.deepInclude(found[0], { reservation_id: "rsv-1", mode: "commit", commit_body: body })
        assert.deepStrictEqual(recordsIn(directory), found)

        const second = yield* start()
        yield* emptied(directory, second)
        assert.deepStrictEqual(settling(stub), ["commit", "commit"])
        assert.strictEqual(stub.of("commit")[1]?.key, key)
        assert.deepStrictEqual(stub.of("commit")[1]?.body, body)
        assertSettledOnce(stub)
      }), { concurrency: 2, discard: true })
  },

  "CR-DURABLE-002": {
    level: "durable",
    shows: "a commit that was replayed too late is an event on the disk before the event leaves, and stays one",
    check: Effect.forEach([Stubs.silence, Stubs.doneInSilence], (fault) =>
      Effect.gen(function*() {
        const { directory, start, stub } = yield* makeWorld
        stub.fail("commit", Stubs.silence, Stubs.expired)
        const first = yield* start({ spends: true })
        yield* until("the commit is under way", () => stub.of("commit").length === 1)
        assert.strictEqual(yield* first.kill, "SIGKILL")

        const found: Array<{ readonly [name: string]: unknown }> = []
        stub.fail("event", (exchange) => {
          found.push(...recordsIn(directory))
          return fault(exchange)
        })
        const second = yield* start()
        yield* until("the event is under way", () => stub.of("event").length === 1)
        assert.strictEqual(yield* second.kill, "SIGKILL")
        assert.strictEqual(found.length, 1)
        assert.deepInclude(found[0], {
          reservation_id: "rsv-1",
          mode: "event",
          event_fallback_body: stub.of("event")[0]?.body
        })
        assert.deepStrictEqual(recordsIn(directory), found)

        const third = yield* start()
        yield* emptied(directory, third)
        assert.deepStrictEqual(settling(stub), ["commit", "commit", "event", "event"])
        assertEventIsWhole(stub)
        assertSettledOnce(stub, "event")
      }), { concurrency: 2, discard: true })
  },

  "CR-DURABLE-003": {
    level: "durable",
    shows: "a process that is started again waits as long as the one that was killed was told to",
    check: Effect.forEach([429, 503], (status) =>
      Effect.gen(function*() {
        const { directory, start, stub } = yield* makeWorld
        const code = status === 429 ? "LIMIT_EXCEEDED" : "INTERNAL_ERROR"
        stub.fail("commit", Stubs.answers(Stubs.failure(status, code, { "retry-after": "4" })))
        // With as many retries as a client has: the wait must not be spent where a crash forgets it.
        const first = yield* start({ spends: true })
        const floorOf = () => Number(recordsIn(directory)[0]?.["not_before_ms"] ?? 0)
        yield* until("the wait is on the disk", () => floorOf() > 0)
        assert.strictEqual(yield* first.kill, "SIGKILL")
        const floorMs = floorOf()
        assert.isAtLeast(floorMs, stub.of("commit")[0]!.atMs + 4_000)

        const second = yield* start()
        yield* until("the next process is there", () => second.lines.some(({ ready }) => ready === true))
        const readyAtMs = Date.now()
        yield* emptied(directory, second)
        assert.isBelow(readyAtMs, floorMs, "it was not started in time to prove anything")
        assert.deepStrictEqual(settling(stub), ["commit", "commit"])
        assert.isAtLeast(stub.of("commit")[1]!.atMs, floorMs)
        assertSettledOnce(stub)
      }), { concurrency: 2, discard: true })
  },

  "CR-DURABLE-004": {
    level: "durable",
    shows: "what was left under an old API key is settled with the new one of the same tenant, and no key is stored",
    check: Effect.gen(function*() {
      const { directory, start, stub } = yield* makeWorld
      // It is there to reserve, and revoked before the commit.
      stub.fail("commit", Stubs.answers(Stubs.failure(401, "UNAUTHORIZED")))
      const first = yield* start({ spends: true })
      yield* until("the first process gave up", () => first.lines.some(({ outcome }) => outcome === "Pending"))
      assert.strictEqual(yield* first.kill, "SIGKILL")
      const files = filesIn(directory)
      assert.deepStrictEqual(files.map(({ name }) => name), [`v2-${sha256("rsv-1")}.json`])
      for (const { text } of files) assert.notInclude(text, apiKey)

      const rotated = "cyc_live_the-second-key"
      stub.apiKeys.add(rotated)
      const second = yield* start({ apiKey: rotated })
      yield* emptied(directory, second)
      assert.deepStrictEqual(stub.of("commit").map(({ apiKey }) => apiKey), [apiKey, rotated])
      assertSettledOnce(stub)
    })
  },

  "CR-DURABLE-005": {
    level: "durable",
    shows: "records that are damaged or too new are put aside and reported, and the others are settled",
    check: Effect.gen(function*() {
      const { folder, journal, start, stub } = yield* makeWorld
      const nameOf = (id: string) => join(folder, `v2-${sha256(id)}.json`)
      yield* (yield* journal).append(left("good"))
      const text = readFileSync(nameOf("good"), "utf8")
      const bad = {
        torn: text.replaceAll("good", "torn").slice(0, 80),
        empty: "",
        newer: text.replaceAll("good", "newer").replace("\"version\":1", "\"version\":2")
      }
      for (const [id, text] of Object.entries(bad)) writeFileSync(nameOf(id), text)

      const child = yield* start()
      yield* until("the good one is settled", () => !existsSync(nameOf("good")))
      assert.strictEqual(yield* child.end, 0)
      assert.deepStrictEqual(
        filesIn(folder),
        Object.entries(bad)
          .map(([id, text]) => ({ name: `v2-${sha256(id)}.corrupt`, text }))
          .toSorted((a, b) => a.name < b.name ? -1 : 1)
      )
      for (const id of Object.keys(bad)) {
        const reports = child.lines.filter(({ log }) => log?.startsWith("Warn") && log.includes(sha256(id)))
        assert.strictEqual(reports.length, 1, id)
      }
      assert.deepStrictEqual(stub.received.map(({ operation, reservationId }) => [operation, reservationId]), [
        ["commit", "good"]
      ])
      assertSettledOnce(stub)
    })
  },

  "CR-DURABLE-006": {
    level: "durable",
    shows: "two processes that replay a record at once send one key, charge once and leave nothing",
    check: Effect.gen(function*() {
      const { directory, journal, start, stub } = yield* makeWorld
      yield* (yield* journal).append(left("shared"))
      // Neither has an answer before both have asked.
      const waiting: Array<() => void> = []
      const meet: Fault = ({ answer, perform }) => {
        waiting.push(() => answer(perform()))
        if (waiting.length === 2) { for (const go of waiting) go() }
      }
      stub.fail("commit", meet, meet)
      const children = yield* Effect.all([start(), start()], { concurrency: 2 })
      yield* emptied(directory, ...children)
      assert.deepStrictEqual(settling(stub), ["commit", "commit"])
      assertSettledOnce(stub)
      for (const { lines } of children) {
        assert.deepStrictEqual(lines.filter(({ log }) => log !== undefined && !log.startsWith("Info")), [])
      }
    })
  },

  "CR-DURABLE-007": {
    level: "durable",
    shows: "every reservation has a file of its own, and files of older clients are renamed without harm to others",
    check: Effect.gen(function*() {
      const { folder, journal, stub } = yield* makeWorld
      const opened = yield* journal
      const ids = ["rsv/1", "rsv:1", "rsv_1", "RSV_1", "../rsv_1", "é", "e\u0301", "漢字", "😀".repeat(64)]
      for (const id of ids) yield* opened.append(left(id))
      const nameOf = (id: string) => `v2-${sha256(id)}.json`
      const names = () => filesIn(folder).map(({ name }) => name)
      assert.deepStrictEqual(names(), ids.map(nameOf).toSorted())
      for (const id of ids) yield* opened.resolve(ReservationId.make(id))
      assert.deepStrictEqual(names(), [])

      // `rsv/1`, `rsv:1` and `rsv_1` were one file of older clients: the last one written is in it.
      for (const id of ["rsv/1", "rsv:1"]) yield* opened.append(left(id))
      const text = readFileSync(join(folder, nameOf("rsv:1")), "utf8")
      rmSync(join(folder, nameOf("rsv:1")))
      writeFileSync(join(folder, "rsv_1.json"), text)
      yield* opened.resolve(ReservationId.make("rsv/1"))
      assert.deepStrictEqual(filesIn(folder), [{ name: "rsv_1.json", text }])
      yield* opened.append(left("rsv/1"))
      const pending = (yield* opened.pending).map(({ reservationId }) => String(reservationId))
      assert.deepStrictEqual(pending.toSorted(), ["rsv/1", "rsv:1"])
      assert.deepStrictEqual(names(), ["rsv/1", "rsv:1"].map(nameOf).toSorted())
      assert.strictEqual(readFileSync(join(folder, nameOf("rsv:1")), "utf8"), text)
      assert.deepStrictEqual(stub.received, [])
    })
  },

  "CR-BOUNDARY-001": {
    level: "boundary",
    shows: "where it is not known what was used nothing is charged, and the caller gets to see why",
    check: Effect.gen(function*() {
      // What a program without types may do: return no settlement at all.
      const settlesNothing = Budget.guard(request, () => Effect.succeed<never>(undefined as never))
      const bodies: ReadonlyArray<Effect.Effect<unknown, unknown, Budget.Budget>> = [
        Budget.guard(request, () => Effect.fail("the provider did not say")),
        Budget.guard(request, () => Effect.die(new Error("the provider did not say"))),
        settlesNothing
      ]
      for (const body of bodies) {
        const stub = yield* Stubs.make
        const directory = yield* temporary
        const { exit } = yield* run(body, { baseUrl: stub.url, apiKey, directory })
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit) && body !== settlesNothing) {
          assert.include(String(exit.cause), "the provider did not say")
        }
        assert.deepStrictEqual(settling(stub), [])
        assert.deepStrictEqual(stub.received.map(({ operation }) => operation), ["reserve", "release"])
        assert.deepStrictEqual(stub.charges, [])
        assert.deepStrictEqual(filesIn(directory), [])
      }
    })
  }
}

describe("recovery", () => {
  afterAll(() => {
    if (scriptFolder !== undefined) rmSync(scriptFolder, { recursive: true, force: true })
  })

  for (const [id, { check, shows }] of Object.entries(scenarios)) it.live(`${id} ${shows}`, () => check)

  it("has the record on the disk, its name too, before the first byte of the commit is on the wire", async (test) => {
    const obstacle = SystemCalls.obstacle()
    if (obstacle !== undefined) return test.skip(obstacle)
    await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
      const { directory, folder, setup, stub } = yield* makeWorld
      const trace = join(yield* temporary, "trace")
      const child = yield* Processes.start(yield* script, { ...setup, spends: true }, SystemCalls.tracing(trace))
      yield* until("the commit is answered", () => child.lines.some(({ outcome }) => outcome === "Committed"))
      assert.strictEqual(yield* child.end, 0)
      assertSettledOnce(stub)
      assert.deepStrictEqual(filesIn(directory), [])

      const calls = SystemCalls.read(trace)
      const record = join(folder, `v2-${sha256("rsv-1")}.json`)
      /** The one call like that, which succeeded. */
      const one = (what: string, isIt: (text: string) => boolean) => {
        const found = calls.filter(({ text }) => isIt(text))
        assert.strictEqual(found.length, 1, what)
        return found[0]!
      }
      const steps = [
        one("its file is synced", (text) => text.startsWith(`fsync(`) && text.includes(`<${record}.`)),
        one("it gets its name", (text) => text.startsWith("rename") && text.includes(`"${record}"`)),
        one("its folder is synced", (text) => text.startsWith("fsync(") && text.includes(`<${folder}>`)),
        one("the commit leaves", (text) => text.includes("POST /v1/reservations/rsv-1/commit"))
      ]
      for (const { text } of steps.slice(0, 3)) assert.match(text, / = 0$/)
      for (const [index, { ended }] of steps.slice(0, 3).entries()) assert.isBelow(ended, steps[index + 1]!.began)
    })))
  })

  it("has the scenarios of the catalogue, no fewer and no others", () => {
    const ours = Object.entries(scenarios).map(([id, { level }]) => `${id} ${level}`)
    const folder = process.env["CYCLES_SPEC_DIR"] ?? ""
    const file = join(folder, "scenarios.yaml")
    if (folder === "" || !existsSync(file)) {
      console.log(`CYCLES_SPEC_DIR has no scenarios.yaml: ${ours.length} scenarios are not compared with the catalogue`)
      assert.strictEqual(ours.length, 12)
      return
    }
    const catalogue: { readonly scenarios: ReadonlyArray<{ readonly id: string; readonly level: string }> } = Yaml
      .parse(readFileSync(file, "utf8"))
    assert.deepStrictEqual(ours.toSorted(), catalogue.scenarios.map(({ id, level }) => `${id} ${level}`).toSorted())
  })
})
