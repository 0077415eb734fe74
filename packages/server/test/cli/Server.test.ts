import * as Server from "@effect-cycles/server/Server"
import { assert, describe, it } from "@effect/vitest"
import { Governance } from "effect-cycles/ledger/Governance"
import { Ledger } from "effect-cycles/ledger/Ledger"
import * as Amount from "effect-cycles/protocol/Amount"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { readFileSync } from "node:fs"
import type { Json } from "../support/cycles.ts"
import { documentOf, parse, runWith } from "../support/cycles.ts"
import * as Processes from "../support/processes.ts"
import { reserve, send } from "../support/requests.ts"
import * as Servers from "../support/servers.ts"

/** The command line in front of the server of the test, with a key of one's own. */
const asking = (key: { readonly CYCLES_ADMIN_API_KEY: string } | { readonly CYCLES_API_KEY: string }) =>
  Effect.map(Server.Server, ({ url }) => {
    const env = { ...key, CYCLES_BASE_URL: url }
    return {
      run: (line: string) => runWith(env, line.split(" ")),
      json: (line: string) => Effect.map(runWith(env, [...line.split(" "), "--json"]), documentOf)
    }
  })

const operator = asking({ CYCLES_ADMIN_API_KEY: Servers.adminKey })

describe("cycles in front of a server", () => {
  it.live("does what it does on a store", () =>
    Effect.gen(function*() {
      const { json, run } = yield* operator
      const { url } = yield* Server.Server
      const { env, key } = yield* json("init acme --tokens 5000")
      assert.deepStrictEqual(env, {
        CYCLES_BASE_URL: url,
        CYCLES_TENANT: "acme",
        CYCLES_API_KEY: key.key_secret
      })
      const reserved = yield* send("POST", "/v1/reservations", { key: key.key_secret, body: reserve(1_000) })
      const id = String(reserved.body["reservation_id"])
      assert.include((yield* run("balances")).out.join(), "4000 TOKENS left of 5000 TOKENS, 1000 TOKENS held")
      assert.strictEqual((yield* json(`reservations release ${id} --reason gone --yes`))["status"], "RELEASED")
      assert.isTrue((yield* json("verify"))["holds"])
      assert.include((yield* run("explain tenant:acme")).out.join(), "a hold of 1000 TOKENS released")
      assert.include((yield* run("audit")).out.join(), "releaseReservation")
    }).pipe(Effect.provide(Servers.layer())))

  it.live("prints a first program that compiles and runs as it is", () =>
    Effect.gen(function*() {
      const { json, run } = yield* operator
      const printed = (yield* run("init acme --usd 1")).out.join("\n")
      // The one beside this test is what it prints, and is compiled with the tests.
      const path = new URL("../support/first.ts", import.meta.url)
      assert.include(printed, readFileSync(path, "utf8").trim())
      const { env } = yield* json("init acme --usd 1")
      const program = yield* Processes.start(Processes.first, [], env)
      assert.strictEqual(yield* program.exit, 0, program.err())
      assert.strictEqual(program.out(), "done\n")
      assert.include((yield* run("balances")).out.join(), "$0.99 left of $1.00")
    }).pipe(Effect.scoped, Effect.provide(Servers.layer())))

  it.live("shows a tenant's key its own tenant, as far as it may see", () =>
    Effect.gen(function*() {
      const { json, run } = yield* asking({ CYCLES_API_KEY: yield* Servers.furnish() })
      assert.strictEqual((yield* json("balances"))["ledgers"].length, 1)
      assert.isTrue((yield* json("verify"))["holds"])
      const { code, out } = yield* run("watch --json --count 1")
      assert.deepStrictEqual([code, out.map((line) => parse(line)["type"])], [0, ["balances"]])
      assert.strictEqual((yield* run("events")).code, 5)
      const reader = yield* asking({
        CYCLES_API_KEY: yield* Servers.furnish("seen", { permissions: ["budgets:read", "events:read"] })
      })
      assert.include((yield* reader.run("events")).out.join(), "budget.created")
      const refused = yield* run("tenant list --json")
      assert.strictEqual(refused.code, 5)
      assert.include(parse(refused.err[0])["next"], "CYCLES_ADMIN_API_KEY")
      assert.strictEqual((yield* run("explain tenant:other --unit tokens")).code, 5)
    }).pipe(Effect.provide(Servers.layer())))

  it.live("tells a wrong key from no server and from a wrong address", () =>
    Effect.gen(function*() {
      const { run } = yield* asking({ CYCLES_ADMIN_API_KEY: "a wrong key" })
      assert.strictEqual((yield* run("tenant list")).code, 5)
      assert.strictEqual((yield* runWith({}, ["tenant", "list", "--url", "http://127.0.0.1:1"])).code, 5)
      const nobody = yield* runWith({}, ["tenant", "list", "--url", "http://127.0.0.1:1", "--admin-key", "x"])
      assert.strictEqual(nobody.code, 4)
      assert.include(nobody.err.join(), "cycles serve")
      const typo = yield* runWith({}, ["tenant", "list", "--url", "localhost", "--admin-key", "x"])
      assert.strictEqual(typo.code, 2)
      assert.include(typo.err.join(), "--url")
    }).pipe(Effect.provide(Servers.layer())))

  it.live("watches what happens while it looks", () =>
    Effect.gen(function*() {
      const { url } = yield* Server.Server
      yield* Servers.furnish()
      const authority = (yield* Ledger).as({ tenant: "acme" })
      const operator = (yield* Governance).asOperator({ actor: "test" })
      const isBudget = yield* Deferred.make<Json>()
      const isEvent = yield* Deferred.make<Json>()
      const isWatching = yield* Deferred.make<void>()
      const env = { CYCLES_BASE_URL: url, CYCLES_ADMIN_API_KEY: Servers.adminKey }
      let balances = 0
      const watching = yield* Effect.forkChild(
        runWith(env, ["watch", "--json", "--every", "100ms"], (line) => {
          const seen = parse(line)
          if (seen["type"] === "balances" && ++balances === 2) Deferred.doneUnsafe(isBudget, Effect.succeed(seen))
          if (seen["event"]?.event_type === "reservation.denied") {
            Deferred.doneUnsafe(isEvent, Effect.succeed(seen["event"]))
          }
          if (balances === 1 && seen["type"] === "balances") Deferred.doneUnsafe(isWatching, Effect.void)
        })
      )
      yield* Deferred.await(isWatching)
      yield* operator.fund("acme", {
        idempotencyKey: IdempotencyKey.make("more"),
        scope: "tenant:acme",
        operation: "CREDIT",
        amount: Amount.tokens(1)
      })
      yield* Effect.ignore(authority.reserve({
        idempotencyKey: IdempotencyKey.make("too much"),
        subject: { agent: "bot" },
        action: { kind: "llm.completion", name: "gpt-4o" },
        estimate: Amount.tokens(1_000_000)
      }))
      const { ledgers } = yield* Deferred.await(isBudget)
      assert.strictEqual(ledgers[0].allocated.amount, 100_001)
      assert.strictEqual((yield* Deferred.await(isEvent))["tenant_id"], "acme")
      yield* Fiber.interrupt(watching)
    }).pipe(Effect.provide(Servers.layer())))
})

describe("the program", () => {
  it.live("exits with what happened", () =>
    Effect.gen(function*() {
      const folder = yield* Processes.temporary
      const variables = { CYCLES_DATA_DIR: folder, CYCLES_SYNCHRONOUS: "off" }
      const ended = (...args: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          const child = yield* Processes.run(args, variables)
          return { code: yield* child.exit, out: child.out(), err: child.err() }
        })
      const made = yield* ended("init", "acme", "--json")
      assert.strictEqual(made.code, 0, made.err)
      assert.strictEqual(made.out.trim().split("\n").length, 1)
      const denied = yield* ended("budget", "debit", "tenant:acme", "--usd", "11", "--json")
      assert.strictEqual(denied.code, 1)
      assert.strictEqual(denied.out, "")
      assert.strictEqual(parse(denied.err)["error"], "BUDGET_EXCEEDED")
      const typo = yield* ended("budget", "debit", "tenant:acme", "--euro", "11")
      assert.strictEqual(typo.code, 2)
      assert.include(typo.err, "--euro")
      const missing = yield* ended("tenant", "show", "nobody")
      assert.strictEqual(missing.code, 3)
      assert.match(missing.err, /^cycles: TENANT_NOT_FOUND: .* See cycles tenant list/)
      assert.strictEqual(missing.err.trim().split("\n").length, 1)
      assert.strictEqual((yield* ended("verify", "--url", "http://127.0.0.1:1", "--admin-key", "x")).code, 4)
      assert.strictEqual((yield* ended("verify", "--api-key", "cyc_live_nobody")).code, 5)
    }).pipe(Effect.scoped), 180_000)

  it.live("has help with examples, and completions", () =>
    Effect.gen(function*() {
      const help = yield* Processes.run(["budget", "create", "--help"])
      assert.strictEqual(yield* help.exit, 0)
      assert.include(help.out(), "cycles budget create tenant:acme --usd 100")
      const bash = yield* Processes.run(["--completions", "bash"])
      assert.strictEqual(yield* bash.exit, 0)
      assert.include(bash.out(), "reservations")
    }).pipe(Effect.scoped), 180_000)
})
