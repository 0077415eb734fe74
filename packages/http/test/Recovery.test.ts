/**
 * The recovery scenarios of the protocol's client catalogue (`scenarios.yaml`), against a server that answers as each demands.
 */
import { CyclesClient, FileJournal } from "@effect-cycles/http"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Budget } from "effect-cycles"
import { ReservationId } from "effect-cycles/protocol/Ids"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Process from "node:process"
import * as Yaml from "yaml"
import { layerFetch } from "./support.ts"

const baseUrl = "http://authority.test"

// ---------------------------------------------------------------------------------------------------------------------
// a server
// ---------------------------------------------------------------------------------------------------------------------

type Operation = "reserve" | "commit" | "release" | "extend" | "event"

interface Request {
  readonly operation: Operation
  readonly key: string
  readonly apiKey: string | null
  readonly body: { readonly [name: string]: unknown }
}

/** What goes wrong with one request. `lost` takes effect before its reply is lost; `cut` never arrives; `hang` is not answered. */
type Fault = "lost" | "cut" | "hang" | { readonly status: number; readonly body: unknown; readonly retryAfter?: number }

const refusal = (status: number, error: string, retryAfter?: number): Fault => ({
  status,
  body: { error, message: error, request_id: "r" },
  ...(retryAfter === undefined ? undefined : { retryAfter })
})

const expired = refusal(410, "RESERVATION_EXPIRED")

const operationOf = (url: string): Operation => {
  const path = new URL(url).pathname
  const last = path.slice(path.lastIndexOf("/") + 1)
  return last === "reservations" ? "reserve" : last === "events" ? "event" : last as Operation
}

/** Charges every key once, says so again when it is asked again, and fails as it is told to. */
const makeServer = () => {
  const requests: Array<Request> = []
  const charged = new Map<string, unknown>()
  const faults: Record<Operation, Array<Fault>> = { reserve: [], commit: [], release: [], extend: [], event: [] }
  const watchers: Array<(request: Request) => void> = []
  let reservations = 0

  const answer = ({ body, key, operation }: Request): unknown => {
    switch (operation) {
      case "reserve":
        return {
          decision: "ALLOW",
          reservation_id: `rsv_${++reservations}`,
          affected_scopes: ["tenant:acme"],
          expires_at_ms: 60_000,
          remaining_ttl_ms: 60_000
        }
      case "commit":
        charged.set(key, body["actual"])
        return { status: "COMMITTED", charged: body["actual"], released: { unit: "TOKENS", amount: 60 } }
      case "event":
        charged.set(key, body["actual"])
        return { status: "APPLIED", event_id: "evt_1" }
      case "release":
        return { status: "RELEASED", released: { unit: "TOKENS", amount: 100 } }
      case "extend":
        return { status: "ACTIVE", expires_at_ms: 120_000, remaining_ttl_ms: 60_000 }
    }
  }

  const fetch: typeof globalThis.fetch = async (input, init) => {
    const operation = operationOf(String(input))
    const text = new TextDecoder().decode(init?.body as Uint8Array)
    const body = JSON.parse(text) as Request["body"]
    const apiKey = new Headers(init?.headers).get("x-cycles-api-key")
    const request: Request = { operation, key: String(body["idempotency_key"]), apiKey, body }
    requests.push(request)
    for (const watch of watchers) watch(request)
    const fault = faults[operation].shift()
    if (fault === "cut") throw new TypeError("connection refused")
    if (fault === "hang") {
      return new Promise((_, reject) => {
        init?.signal?.addEventListener("abort", () => reject(new TypeError("aborted")))
      })
    }
    if (typeof fault === "object") {
      return new Response(JSON.stringify(fault.body), {
        status: fault.status,
        headers: {
          "content-type": "application/json",
          ...(fault.retryAfter === undefined ? undefined : { "retry-after": String(fault.retryAfter) })
        }
      })
    }
    const reply = answer(request)
    if (fault === "lost") throw new TypeError("connection reset")
    return new Response(JSON.stringify(reply), {
      status: operation === "event" ? 201 : 200,
      headers: { "content-type": "application/json" }
    })
  }

  /** What settles, in order, as the catalogue calls it. */
  const settlements = (): ReadonlyArray<Request> =>
    requests.filter(({ operation }) => operation === "commit" || operation === "event")

  return { requests, settlements, charged, faults, watchers, fetch }
}

// ---------------------------------------------------------------------------------------------------------------------
// processes
// ---------------------------------------------------------------------------------------------------------------------

const makeWorld = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = yield* fs.makeTempDirectoryScoped({ prefix: "recovery-" })
  const server = makeServer()
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    lines.push(`${logLevel} ${[message].flat().map(String).join(" ")}`)
  })
  const folder = path.join(
    directory,
    yield* FileJournal.folderOf({ baseUrl, tenant: "acme", apiKey: Redacted.make("any") })
  )

  /** A process; `kill` ends it without a chance to do anything. */
  const boot = Effect.fnUntraced(function*(apiKey = "key-1") {
    const scope = yield* Scope.make()
    const identity = { baseUrl, tenant: "acme", apiKey: Redacted.make(apiKey) }
    const services = yield* Layer.buildWithScope(
      Budget.layer({ subject: { tenant: "acme" }, ttl: 60_000, settleTimeout: 0, shutdownTimeout: 0 }).pipe(
        Layer.provide(FileJournal.layer({ ...identity, directory })),
        Layer.provide(CyclesClient.layer({ ...identity, retries: 0 })),
        Layer.provide(layerFetch(server.fetch)),
        Layer.provideMerge(Logger.layer([logger]))
      ),
      scope
    )
    return {
      run: <A, E>(effect: Effect.Effect<A, E, Budget.Budget>) => Effect.provideContext(effect, services),
      kill: Scope.close(scope, Exit.void)
    }
  })

  const records = (): ReadonlyArray<{ readonly name: string; readonly text: string }> =>
    !Fs.existsSync(folder) ?
      [] :
      Fs.readdirSync(folder).filter((name) => name.endsWith(".json")).toSorted().map((name) => ({
        name,
        text: Fs.readFileSync(path.join(folder, name), "utf8")
      }))

  return { ...server, boot, records, lines, folder, path, fs }
})

/** Lets time pass, for the clock of the test and for real files and promises alike, until something holds. */
const until = Effect.fnUntraced(function*(what: string, condition: () => boolean, limitMs = 60_000) {
  for (let passed = 0; passed < limitMs && !condition(); passed += 50) {
    yield* TestClock.adjust(50)
    yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
  }
  assert.isTrue(condition(), what)
})

/** Runs something while time passes. */
const inTime = Effect.fnUntraced(function*<A, E>(effect: Effect.Effect<A, E>) {
  let exit: Exit.Exit<A, E> | undefined
  yield* Effect.forkChild(
    Effect.onExit(effect, (end) =>
      Effect.sync(() => {
        exit = end
      })),
    { startImmediately: true }
  )
  yield* until("it ends", () => exit !== undefined, 200_000)
  return yield* exit!
})

const work = { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(100) }
const spend = Budget.guardOutcome(work, (r) => Effect.succeed(r.commit(Amount.tokens(40), "done")))
const actual = { unit: "TOKENS", amount: 40 }

/** The settlements of one reservation, named as in the catalogue. */
const named = (settlements: ReadonlyArray<Request>): ReadonlyArray<string> =>
  settlements.map(({ key, operation }, index) =>
    index === 0 ? operation : `${operation}${key === settlements[0]?.key ? "_same_key" : "_other_key"}`
  )

type World = Effect.Success<typeof makeWorld>

/** Asserts what every scenario ends with: nothing is left in the journal, and what was used is charged, once. */
const settledOnce = Effect.fnUntraced(function*({ charged, records }: World) {
  yield* until("the record is removed", () => records().length === 0)
  assert.deepStrictEqual([...charged.values()], [actual])
})

/** A process that journals a commit and is killed before it can send it. */
const leave = Effect.fnUntraced(function*(world: World, apiKey?: string) {
  world.faults.commit.push("cut")
  const process = yield* world.boot(apiKey)
  const { outcome } = yield* inTime(process.run(spend))
  assert.strictEqual(outcome._tag, "Pending")
  yield* until("it was tried", () => world.settlements().length === 1)
  yield* process.kill
})

// ---------------------------------------------------------------------------------------------------------------------
// the catalogue
// ---------------------------------------------------------------------------------------------------------------------

const scenarios: Record<
  string,
  (world: World) => Effect.Effect<void, unknown, Scope.Scope | FileSystem.FileSystem | Path.Path>
> = {
  "CR-CORE-001": (world) =>
    Effect.gen(function*() {
      world.faults.commit.push("lost")
      const process = yield* world.boot()
      yield* inTime(process.run(spend))
      yield* settledOnce(world)
      assert.deepStrictEqual(named(world.settlements()), ["commit", "commit_same_key"])
    }),

  "CR-CORE-002": (world) =>
    Effect.gen(function*() {
      world.faults.commit.push(expired)
      const process = yield* world.boot()
      yield* inTime(process.run(spend.pipe(Budget.within({ agent: "writer" }))))
      yield* settledOnce(world)
      assert.deepStrictEqual(named(world.settlements()), ["commit", "event_same_key"])
      const { body } = world.settlements()[1]!
      assert.deepStrictEqual(body["subject"], { tenant: "acme", agent: "writer" })
      assert.deepStrictEqual(body["action"], { kind: "llm.completion", name: "gpt-4o" })
      assert.deepStrictEqual(body["actual"], actual)
      assert.deepStrictEqual(body["metadata"], {
        recovered_reservation_id: "rsv_1",
        recovery_reason: "commit_after_reservation_expired"
      })
    }),

  "CR-CORE-003": (world) =>
    Effect.gen(function*() {
      world.faults.extend.push(...Array.from({ length: 100 }, (): Fault => "cut"))
      const process = yield* world.boot()
      const slow = Budget.guard(work, (r) => Effect.as(Effect.sleep("90 seconds"), r.commit(Amount.tokens(40), "done")))
      assert.strictEqual(yield* inTime(process.run(slow)), "done")
      yield* settledOnce(world)
      const kinds = world.requests.map(({ operation }) => operation)
      assert.deepStrictEqual(kinds.slice(0, 3), ["reserve", "extend", "extend"])
      assert.strictEqual(kinds.at(-1), "commit")
      assert.strictEqual(
        new Set(world.requests.filter(({ operation }) => operation === "extend").map(({ key }) => key)).size,
        1
      )
      const reports = world.lines.filter((line) => /^Warn .*lease of reservation rsv_1/.test(line))
      assert.strictEqual(reports.length, 1)
    }),

  "CR-CORE-004": (world) =>
    Effect.gen(function*() {
      world.faults.commit.push(
        { status: 200, body: {} },
        { status: 201, body: { status: "COMMITTED", charged: actual } },
        { status: 200, body: { status: "DONE", charged: actual } },
        { status: 200, body: { status: "COMMITTED", charged: { unit: "TOKENS", amount: "40" } } }
      )
      const process = yield* world.boot()
      yield* inTime(process.run(spend))
      yield* settledOnce(world)
      assert.deepStrictEqual(named(world.settlements()), [
        "commit",
        ...Array.from({ length: 4 }, () => "commit_same_key")
      ])
    }),

  "CR-DURABLE-001": (world) =>
    Effect.gen(function*() {
      const atFirst: Array<number> = []
      world.watchers.push(({ operation }) => {
        if (operation === "commit") atFirst.push(world.records().length)
      })
      world.faults.commit.push("hang")
      const first = yield* world.boot()
      yield* inTime(first.run(spend))
      yield* until("the commit is in flight", () => world.settlements().length === 1)
      yield* first.kill
      assert.deepStrictEqual(atFirst, [1])
      assert.strictEqual(world.records().length, 1)

      yield* world.boot()
      yield* settledOnce(world)
      assert.deepStrictEqual(named(world.settlements()), ["commit", "commit_same_key"])
    }),

  "CR-DURABLE-002": (world) =>
    Effect.gen(function*() {
      yield* leave(world)
      const modes: Array<unknown> = []
      world.watchers.push(({ operation }) => {
        if (operation === "event") modes.push((JSON.parse(world.records()[0]?.text ?? "{}") as Request["body"])["mode"])
      })
      world.faults.commit.push(expired)
      world.faults.event.push("hang")
      const second = yield* world.boot()
      yield* until("the event is in flight", () => world.settlements().length === 3)
      yield* second.kill

      yield* world.boot()
      yield* settledOnce(world)
      assert.deepStrictEqual(modes, ["event", "event"])
      assert.deepStrictEqual(named(world.settlements()), [
        "commit",
        "commit_same_key",
        "event_same_key",
        "event_same_key"
      ])
    }),

  "CR-DURABLE-003": (world) =>
    Effect.gen(function*() {
      world.faults.commit.push(refusal(429, "LIMIT_EXCEEDED", 60))
      const first = yield* world.boot()
      yield* inTime(first.run(spend))
      yield* until("the floor is persisted", () => /"not_before_ms":\d/.test(world.records()[0]?.text ?? ""))
      const floorMs = Number((JSON.parse(world.records()[0]!.text) as Request["body"])["not_before_ms"])
      yield* first.kill

      yield* world.boot()
      const now = yield* Clock.currentTimeMillis
      yield* TestClock.adjust(floorMs - now - 1)
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
      assert.strictEqual(world.settlements().length, 1)
      yield* settledOnce(world)
      assert.deepStrictEqual(named(world.settlements()), ["commit", "commit_same_key"])
    }),

  "CR-DURABLE-004": (world) =>
    Effect.gen(function*() {
      yield* leave(world, "key-old")
      assert.notInclude(world.records()[0]?.text, "key-old")
      yield* world.boot("key-new")
      yield* settledOnce(world)
      assert.deepStrictEqual(named(world.settlements()), ["commit", "commit_same_key"])
      assert.deepStrictEqual(world.settlements().map(({ apiKey }) => apiKey), ["key-old", "key-new"])
    }),

  "CR-DURABLE-005": (world) =>
    Effect.gen(function*() {
      yield* leave(world)
      const [good] = world.records()
      const put = (name: string, text: string) => Fs.writeFileSync(world.path.join(world.folder, name), text)
      put("aaa.json", "{ torn")
      put("bbb.json", good!.text.replace(`"version":1`, `"version":99`).replaceAll("rsv_1", "rsv_other"))
      yield* world.boot()
      yield* settledOnce(world)
      assert.deepStrictEqual(named(world.settlements()), ["commit", "commit_same_key"])
      const names = Fs.readdirSync(world.folder).toSorted()
      assert.deepStrictEqual(names, ["aaa.corrupt", "bbb.corrupt"])
      assert.strictEqual(world.lines.filter((line) => line.startsWith("Warn") && line.includes("put aside")).length, 2)
    }),

  "CR-DURABLE-006": (world) =>
    Effect.gen(function*() {
      yield* leave(world)
      yield* Effect.all([world.boot(), world.boot()], { concurrency: 2 })
      yield* settledOnce(world)
      assert.strictEqual(new Set(world.settlements().map(({ key }) => key)).size, 1)
    }),

  "CR-DURABLE-007": (world) =>
    Effect.gen(function*() {
      yield* leave(world)
      const [good] = world.records()
      const ids = ["rsv/1", "rsv:1"]
      for (const id of ids) {
        assert.strictEqual(
          FileJournal.fileOf(ReservationId.make(id)),
          `v2-${createHash("sha256").update(id, "utf8").digest("hex")}.json`
        )
      }
      const textOf = (id: string) => good!.text.replaceAll("rsv_1", id)
      Fs.writeFileSync(world.path.join(world.folder, FileJournal.fileOf(ReservationId.make("rsv/1"))), textOf("rsv/1"))
      // Their older name is one and the same; what it holds is of the other.
      Fs.writeFileSync(world.path.join(world.folder, "rsv_1.json"), textOf("rsv:1"))
      yield* world.boot()
      yield* until("all are settled", () => world.records().length === 0)
      const keys = new Set(world.settlements().slice(1).map(({ key }) => key))
      assert.deepStrictEqual([...keys].toSorted(), ["commit-rsv/1", "commit-rsv:1", "commit-rsv_1"])
    }),

  "CR-BOUNDARY-001": (world) =>
    Effect.gen(function*() {
      const process = yield* world.boot()
      const forgotten = Budget.guard(work, () => Effect.succeed("no settlement" as never))
      const exit = yield* Effect.exit(inTime(process.run(forgotten)))
      assert.isTrue(Exit.hasDies(exit))
      const failed = yield* Effect.exit(inTime(process.run(Budget.guard(work, () => Effect.fail("boom")))))
      assert.deepStrictEqual(failed, Exit.fail("boom"))
      assert.deepStrictEqual(world.settlements(), [])
      assert.deepStrictEqual(world.records(), [])
    })
}

describe("the recovery scenario", () => {
  for (const [id, scenario] of Object.entries(scenarios)) {
    it.effect(id, () => Effect.flatMap(makeWorld, scenario).pipe(Effect.provide(NodeServices.layer)))
  }
})

describe("the recovery scenarios of the catalogue", () => {
  const directory = Process.env["CYCLES_SPEC_DIR"]
  if (directory === undefined || directory === "") {
    it.live("are not compared without CYCLES_SPEC_DIR", () =>
      Effect.gen(function*() {
        yield* Console.log("Recovery.test.ts: the catalogue is not compared, CYCLES_SPEC_DIR is not set")
        assert.strictEqual(Object.keys(scenarios).length, 12)
      }))
    return
  }
  it("are those above", () => {
    const catalogue = Yaml.parse(Fs.readFileSync(`${directory}/scenarios.yaml`, "utf8")) as {
      readonly scenarios: ReadonlyArray<{ readonly id: string }>
    }
    assert.deepStrictEqual(catalogue.scenarios.map(({ id }) => id), Object.keys(scenarios))
  })
})
