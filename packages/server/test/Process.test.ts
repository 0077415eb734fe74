import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { connect } from "node:net"
import { join } from "node:path"
import { run, serve, temporary, until } from "./support/processes.ts"
import { commit, reserve, sendTo } from "./support/requests.ts"

const adminKeyOf = (out: string): string | undefined => /^ {2}(cyc_admin_[0-9a-f]{64})$/m.exec(out)?.[1]

/** A tenant with a budget, and a key of it. */
const furnish = (url: string, adminKey: string) =>
  Effect.gen(function*() {
    yield* sendTo(url, "POST", "/v1/admin/tenants", { adminKey, body: { tenant_id: "acme", name: "Acme" } })
    const allocated = { unit: "TOKENS", amount: 100_000 }
    yield* sendTo(url, "POST", "/v1/admin/budgets", {
      adminKey,
      body: { tenant_id: "acme", scope: "tenant:acme", unit: "TOKENS", allocated }
    })
    const made = yield* sendTo(url, "POST", "/v1/admin/api-keys", {
      adminKey,
      body: { tenant_id: "acme", name: "test" }
    })
    assert.strictEqual(made.status, 201, made.text)
    return String(made.body["key_secret"])
  })

describe("cycles serve", () => {
  it.live("says how to begin when it first starts, and that is how one begins", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const dataDir = join(folder, "data")
      const child = yield* serve(["--data-dir", dataDir])
      const adminKey = adminKeyOf(child.out())
      assert.isDefined(adminKey)
      assert.strictEqual(readFileSync(join(dataDir, "admin-key"), "utf8").trim(), adminKey)
      for (const file of ["admin-key", "pepper"]) {
        assert.include(child.out(), join(dataDir, file))
        assert.strictEqual(statSync(join(dataDir, file)).mode & 0o777, 0o600)
      }
      assert.notInclude(child.out() + child.err(), readFileSync(join(dataDir, "pepper"), "utf8").trim())
      // The lines of the shell, as they are printed.
      const lines = child.out().split("\n").map((line) => line.trim())
      const script = lines.slice(lines.findIndex((line) => line.startsWith("export CYCLES_BASE_URL=")))
      const shell = script.slice(0, script.findIndex((line) => line.startsWith("Then, from TypeScript"))).join("\n")
      const printed = yield* Effect.promise(async () => {
        const { promisify } = await import("node:util")
        const { execFile } = await import("node:child_process")
        return promisify(execFile)("sh", ["-ec", shell])
      })
      assert.include(printed.stdout, `"remaining":{"unit":"USD_MICROCENTS","amount":1000000000}`)
    }), 120_000)

  it.live("keeps its keys and its ledger over a restart, and shows no secret twice", () =>
    Effect.gen(function*() {
      const dataDir = yield* temporary
      const first = yield* serve(["--data-dir", dataDir])
      const adminKey = adminKeyOf(first.out()) ?? ""
      const key = yield* furnish(first.url, adminKey)
      const reserved = yield* sendTo(first.url, "POST", "/v1/reservations", { key, body: reserve(1_000) })
      first.process.kill("SIGTERM")
      assert.strictEqual(yield* first.exit, 0)

      const second = yield* serve(["--data-dir", dataDir, "--log-requests", "--log-level", "all"])
      const path = `/v1/reservations/${String(reserved.body["reservation_id"])}/commit`
      const committed = yield* sendTo(second.url, "POST", path, { key, body: commit(400) })
      assert.strictEqual(committed.status, 200, committed.text)
      const tenants = yield* sendTo(second.url, "GET", "/v1/admin/tenants?token=a-secret", { adminKey })
      assert.include([200, 400], tenants.status)
      yield* sendTo(second.url, "GET", "/v1/balances?tenant=acme", { key: `${key}x` })
      yield* sendTo(second.url, "GET", "/v1/admin/tenants", { adminKey: `${adminKey}x` })
      second.process.kill("SIGTERM")
      assert.strictEqual(yield* second.exit, 0)
      const said = second.out() + second.err()
      for (const secret of [adminKey, key, readFileSync(join(dataDir, "pepper"), "utf8").trim(), "a-secret"]) {
        assert.notInclude(said, secret)
      }
      assert.match(second.err(), /request method=POST path=\S+ operation=commitReservation status=200 .*request_id=\S+/)
    }), 120_000)

  it.live(
    "answers what is under way when it is told to stop, takes nothing new, and exits with 0",
    () =>
      Effect.gen(function*() {
        const child = yield* serve(["--store", "memory", "--drain-delay", "400"])
        const key = yield* furnish(child.url, adminKeyOf(child.out()) ?? "")
        const { hostname, port } = new URL(child.url)
        const socket = connect(Number(port), hostname)
        let answer = ""
        socket.setEncoding("utf8").on("data", (chunk: string) => answer += chunk)
        const body = JSON.stringify(reserve(10))
        // Half of a request is under way.
        socket.write(
          `POST /v1/reservations HTTP/1.1\r\nHost: x\r\nX-Cycles-API-Key: ${key}\r\nContent-Type: application/json\r\n` +
            `Content-Length: ${body.length}\r\n\r\n${body.slice(0, 20)}`
        )
        yield* Effect.sleep(50)
        child.process.kill("SIGTERM")
        yield* until("it says that it stops", () => child.err().includes("SIGTERM"))
        const ready = yield* sendTo(child.url, "GET", "/health/ready")
        assert.strictEqual(ready.status, 503)
        assert.strictEqual((yield* sendTo(child.url, "GET", "/health/live")).status, 200)
        yield* Effect.sleep(600)
        const refused = yield* Effect.promise(() => fetch(`${child.url}/health/live`).then(() => false, () => true))
        assert.isTrue(refused)
        assert.strictEqual(child.process.exitCode, null, answer)
        socket.write(body.slice(20))
        yield* until("the answer is there", () => answer.includes("\"decision\":\"ALLOW\""))
        assert.include(answer.toLowerCase(), "connection: close")
        assert.strictEqual(yield* child.exit, 0)
      }),
    60_000
  )

  it.live("cuts off what does not end in time, and says so by its exit code", () =>
    Effect.gen(function*() {
      const child = yield* serve(["--store", "memory", "--shutdown-timeout", "100"])
      const { hostname, port } = new URL(child.url)
      const socket = connect(Number(port), hostname)
      socket.on("error", () => {})
      socket.write("POST /v1/reservations HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
      yield* Effect.sleep(50)
      child.process.kill("SIGINT")
      assert.strictEqual(yield* child.exit, 20)
      assert.match(child.err(), /^cycles: Requests were cut off/m)
    }), 120_000)

  it.live("exits at once when it is told to stop twice", () =>
    Effect.gen(function*() {
      const child = yield* serve(["--store", "memory", "--drain-delay", "60000"])
      child.process.kill("SIGINT")
      yield* until("it says that it stops", () => child.err().includes("SIGINT"))
      child.process.kill("SIGINT")
      assert.strictEqual(yield* child.exit, 130)
    }), 120_000)

  it.live("says in one line what keeps it from starting, with an exit code of its own", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const taken = createServer()
      yield* Effect.promise(() => new Promise<void>((done) => taken.listen(0, "127.0.0.1", () => done())))
      yield* Effect.addFinalizer(() => Effect.sync(() => taken.close()))
      const port = String((taken.address() as AddressInfo).port)
      const file = join(folder, "file")
      writeFileSync(file, "not a folder")
      const of = (name: string, content: string) => {
        const dataDir = join(folder, name)
        execFileSync("mkdir", ["-p", dataDir])
        writeFileSync(join(dataDir, "ledger.db"), content)
        return dataDir
      }
      const secret = "0123456789abcdef0123456789abcdef"
      const postgres = { CYCLES_STORE: "postgres", CYCLES_DATABASE_URL: "postgresql://cycles:hunter2@127.0.0.1:1/x" }
      const cases: ReadonlyArray<
        readonly [
          code: number,
          words: RegExp,
          args: ReadonlyArray<string>,
          variables?: { readonly [name: string]: string }
        ]
      > = [
        [2, /Unrecognized flag: --prot.*--port/, ["--prot", "1"]],
        [10, new RegExp(`Port ${port} of 127.0.0.1 is in use.*--port`), ["--store", "memory", "--port", port]],
        [10, /--admin-port/, ["--store", "memory", "--port", "0", "--admin-port", port]],
        [11, /--host/, ["--store", "memory", "--host", "203.0.113.1"]],
        [12, /--data-dir/, ["--data-dir", join(file, "below")]],
        [14, /not a SQLite database/, ["--data-dir", of("foreign", "something else, of some length".repeat(100))]],
        [16, /cannot be reached.*CYCLES_DATABASE_URL/, [], {
          ...postgres,
          CYCLES_PEPPER: secret,
          CYCLES_ADMIN_API_KEY: secret
        }],
        [18, /CYCLES_PEPPER/, [], postgres],
        [18, /shorter than 32 characters/, ["--store", "memory"], { CYCLES_ADMIN_API_KEY: "short" }]
      ]
      yield* Effect.forEach(cases, ([code, words, args, variables]) =>
        Effect.gen(function*() {
          const child = yield* run(["serve", ...args], variables)
          const exit = yield* child.exit
          assert.match(child.err(), words)
          assert.strictEqual(exit, code, child.err())
          assert.strictEqual(child.err().trim().split("\n").length, 1, child.err())
          assert.notInclude(child.err() + child.out(), "hunter2")
        }), { concurrency: 2, discard: true })
    }), 240_000)

  it.live("says which lock it waits for, and what is not of this version", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const child = yield* serve(["--data-dir", folder])
      child.process.kill("SIGTERM")
      yield* child.exit
      const { default: Database } = yield* Effect.promise(() => import("libsql"))
      const db = new Database(join(folder, "ledger.db"))
      db.exec("PRAGMA user_version = 999")
      db.close()
      const newer = yield* run(["serve", "--data-dir", folder])
      assert.strictEqual(yield* newer.exit, 15)
      assert.match(newer.err(), /later version/)
    }), 120_000)

  it.live("loads the driver of its store and no other", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      const maps = (pid: number | undefined) => readFileSync(`/proc/${pid}/maps`, "utf8")
      const memory = yield* serve(["--store", "memory"])
      const sqlite = yield* serve(["--data-dir", folder])
      assert.notInclude(maps(memory.process.pid), "libsql")
      assert.include(maps(sqlite.process.pid), "libsql")
    }), { timeout: 120_000, skip: !existsSync("/proc/self/maps"), meta: { reason: "no /proc here" } })

  it.live("makes a secret's file its own again", () =>
    Effect.gen(function*() {
      const folder = yield* temporary
      writeFileSync(join(folder, "admin-key"), `${"k".repeat(40)}\n`)
      chmodSync(join(folder, "admin-key"), 0o644)
      const child = yield* serve(["--data-dir", folder])
      assert.isUndefined(adminKeyOf(child.out()))
      assert.notInclude(child.out(), "kkkk")
      assert.strictEqual(statSync(join(folder, "admin-key")).mode & 0o777, 0o600)
      const answer = yield* sendTo(child.url, "GET", "/v1/admin/tenants", { adminKey: "k".repeat(40) })
      assert.strictEqual(answer.status, 200)
    }), 120_000)
})
