import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import { runWith } from "../support/cycles.ts"
import * as Mcp from "../support/mcp.ts"
import * as Processes from "../support/processes.ts"
import { serve, temporary } from "../support/processes.ts"

const TIMEOUT = 60_000

const action = { kind: "llm.completion", name: "gpt-4o" }
const tokens = (amount: number | string) => ({ unit: "TOKENS", amount })

const ended = (args: ReadonlyArray<string>) =>
  Effect.map(runWith({}, args), ({ code, err, out }) => ({ code, err: err.join("\n"), out: out.join("\n") }))

/** A store with a tenant that has 1000 tokens and 100 risk points. */
const store = Effect.gen(function*() {
  const folder = yield* temporary
  const where = ["--data-dir", folder, "--synchronous", "off"]
  const made = yield* ended(["init", "acme", "--tokens", "1000", ...where])
  assert.strictEqual(made.code, 0, made.err)
  const more = yield* ended(["budget", "create", "tenant:acme", "--risk-points", "100", ...where])
  assert.strictEqual(more.code, 0, more.err)
  return where
})

const lifecycle = Effect.fnUntraced(function*({ call }: Mcp.Connected) {
  const held = yield* call("cycles_reserve", {
    idempotencyKey: "held",
    subject: { agent: "writer" },
    action,
    estimate: tokens(600)
  })
  assert.isFalse(held.failed, held.lines.join())
  assert.deepInclude(held.document, { decision: "ALLOW", reserved: tokens(600), scopePath: "tenant:acme/agent:writer" })
  const { reservationId } = held.document
  const again = yield* call("cycles_reserve", {
    idempotencyKey: "held",
    subject: { agent: "writer" },
    action,
    estimate: tokens(600)
  })
  assert.strictEqual(again.document["reservationId"], reservationId)
  const extended = yield* call("cycles_extend", { reservationId, idempotencyKey: "longer", extendByMs: 30_000 })
  assert.strictEqual(extended.document["expiresAtMs"], held.document["expiresAtMs"] + 30_000)
  const seen = yield* call("cycles_get_reservation", { reservationId })
  assert.deepInclude(seen.document, { status: "ACTIVE", action, reserved: tokens(600) })

  const denied = yield* call("cycles_reserve", {
    idempotencyKey: "denied",
    action,
    estimate: tokens("9007199254740993")
  })
  assert.isTrue(denied.failed)
  assert.match(denied.lines[0] ?? "", /^BUDGET_EXCEEDED: .*requested 9007199254740993, remaining 400/)
  assert.match(denied.lines[1] ?? "", /^HINT: denied \(BUDGET_EXCEEDED\)/)
  const asked = yield* call("cycles_decide", { idempotencyKey: "asked", action, estimate: tokens(401) })
  assert.isFalse(asked.failed)
  assert.deepInclude(asked.document, { decision: "DENY", reasonCode: "BUDGET_EXCEEDED" })
  assert.match(asked.lines[1] ?? "", /^HINT: denied/)

  const spent = yield* call("cycles_commit", {
    reservationId,
    idempotencyKey: "spent",
    actual: tokens("500"),
    metrics: { tokensInput: 400, tokensOutput: 100 }
  })
  assert.deepInclude(spent.document, { status: "COMMITTED", charged: tokens(500), released: tokens(100) })
  const twice = yield* call("cycles_release", { reservationId, idempotencyKey: "back" })
  assert.match(twice.lines[0] ?? "", /^RESERVATION_FINALIZED: /)

  const other = yield* call("cycles_reserve", { idempotencyKey: "other", action, estimate: tokens(10) })
  const back = yield* call("cycles_release", {
    reservationId: other.document["reservationId"],
    idempotencyKey: "unused",
    reason: "not needed"
  })
  assert.deepInclude(back.document, { status: "RELEASED", released: tokens(10) })
  const listed = yield* call("cycles_list_reservations", { status: "COMMITTED" })
  assert.deepStrictEqual(listed.document["reservations"].map((row: { reservationId: string }) => row.reservationId), [
    reservationId
  ])

  const event = yield* call("cycles_create_event", { idempotencyKey: "bill", action, actual: tokens(400) })
  assert.strictEqual(event.document["status"], "APPLIED")
  const left = yield* call("cycles_check_balance", { tenant: "acme" })
  assert.deepInclude(
    left.document["balances"].find((row: { remaining: { unit: string } }) => row.remaining.unit === "TOKENS"),
    { remaining: tokens(100), spent: tokens(900), allocated: tokens(1_000) }
  )
  assert.deepStrictEqual(left.lines.slice(1), [
    "HINT: less than 15 % is left on tenant:acme: 100 TOKENS of 1000 TOKENS. Choose what costs less, or ask for more budget."
  ])
})

const offers = Effect.fnUntraced(function*({ client }: Mcp.Connected) {
  const { tools } = yield* Effect.promise(() => client.listTools())
  assert.deepStrictEqual(tools.map(({ annotations, name }) => [name, annotations?.readOnlyHint]), [
    ["cycles_reserve", false],
    ["cycles_commit", false],
    ["cycles_release", false],
    ["cycles_extend", false],
    ["cycles_decide", true],
    ["cycles_check_balance", true],
    ["cycles_list_reservations", true],
    ["cycles_get_reservation", true],
    ["cycles_create_event", false]
  ])
  for (const { annotations, inputSchema, name, outputSchema, title } of tools) {
    assert.isString(title, name)
    assert.deepInclude(annotations, { destructiveHint: false, idempotentHint: true, openWorldHint: false })
    assert.strictEqual(inputSchema["additionalProperties"], false, name)
    assert.isDefined(outputSchema, name)
  }
  const { resources } = yield* Effect.promise(() => client.listResources())
  assert.deepStrictEqual(resources.map(({ uri }) => uri), ["cycles://docs/quickstart", "cycles://docs/patterns"])
  const { resourceTemplates } = yield* Effect.promise(() => client.listResourceTemplates())
  assert.deepStrictEqual(resourceTemplates.map(({ uriTemplate }) => uriTemplate), [
    "cycles://balances/{tenant}",
    "cycles://reservations/{reservation_id}"
  ])
  const { prompts } = yield* Effect.promise(() => client.listPrompts())
  assert.deepStrictEqual(
    prompts.map(({ arguments: parameters, name }) => [name, parameters?.map(({ name, required }) => [name, required])]),
    [
      ["integrate_cycles", [["language", false], ["use_case", false]]],
      ["diagnose_overrun", [["reservation_id", false], ["scope", false]]],
      ["design_budget_strategy", [["description", true], ["tenant_model", false]]]
    ]
  )
})

const textOf = (client: Mcp.Connected["client"], uri: string) =>
  Effect.promise(async () => {
    const { contents: [first] } = await client.readResource({ uri })
    return first !== undefined && "text" in first ? first.text : ""
  })

describe("cycles mcp", () => {
  it.live("is a Cycles MCP server over its standard streams, on a store", () =>
    Effect.gen(function*() {
      const connected = yield* Mcp.stdio(yield* store)
      const { client } = connected
      yield* offers(connected)
      yield* lifecycle(connected)
      assert.include(yield* textOf(client, "cycles://docs/quickstart"), "cycles_reserve")
      assert.include(yield* textOf(client, "cycles://docs/patterns"), "RISK_POINTS")
      assert.include(yield* textOf(client, "cycles://balances/acme"), "\"amount\":100")
      const other = yield* Effect.exit(Effect.tryPromise(() => client.readResource({ uri: "cycles://balances/other" })))
      assert.include(String(other), "another tenant")
      const prompt = yield* Effect.promise(() =>
        client.getPrompt({ name: "diagnose_overrun", arguments: { reservation_id: "r-1" } })
      )
      assert.include(JSON.stringify(prompt.messages), "cycles_get_reservation for r-1")
    }).pipe(Effect.scoped), TIMEOUT)

  it.live("refuses what is no request, and does nothing", () =>
    Effect.gen(function*() {
      const { call } = yield* Mcp.stdio(yield* store)
      const good = { idempotencyKey: "1", action, estimate: tokens(1) }
      const bad = [
        [{ ...good, estimate: tokens(1.5) }, "estimate"],
        [{ ...good, estimate: tokens(-1) }, "estimate"],
        [{ ...good, estimate: tokens(2 ** 53) }, "estimate"],
        [{ ...good, estimate: tokens("9223372036854775808") }, "estimate"],
        [{ ...good, estimate: tokens("1e3") }, "estimate"],
        [{ ...good, dry_run: true }, "dry_run"],
        [{ action, estimate: tokens(1) }, "idempotencyKey"]
      ] as const
      for (const [parameters, field] of bad) {
        const answer = yield* call("cycles_reserve", parameters)
        assert.isTrue(answer.failed)
        assert.match(answer.lines[0] ?? "", new RegExp(`^INVALID_REQUEST: .*${field}`, "s"))
      }
      const unknown = yield* call("cycles_get_reservation", { reservationId: "none" })
      assert.match(unknown.lines[0] ?? "", /^NOT_FOUND: /)
      assert.deepStrictEqual((yield* call("cycles_list_reservations", {})).document["reservations"], [])
    }).pipe(Effect.scoped), TIMEOUT)

  it.live("ends when its client is gone, and leaves the store behind", () =>
    Effect.gen(function*() {
      const where = yield* store
      yield* Effect.scoped(Mcp.stdio(where))
      const alone = yield* Processes.run(["mcp", ...where])
      assert.strictEqual(yield* alone.exit, 0)
      const told = yield* Mcp.stdio(where)
      process.kill(told.pid, "SIGTERM")
      yield* Processes.until("it has stopped", () => told.log().includes("SIGTERM: stopped"))
      // What it had open can be opened again.
      const { call } = yield* Mcp.stdio(where)
      assert.isFalse((yield* call("cycles_check_balance", {})).failed)
    }).pipe(Effect.scoped), TIMEOUT)

  it.live("asks a server with a tenant's key, and serves over HTTP to who has the token", () =>
    Effect.gen(function*() {
      const server = yield* serve(["--store", "memory"], { CYCLES_ADMIN_API_KEY: "a".repeat(32) })
      const made = yield* ended([
        "init",
        "acme",
        "--tokens",
        "1000",
        "--json",
        "--url",
        server.url,
        "--admin-key",
        "a".repeat(32)
      ])
      const secret = /"CYCLES_API_KEY":"([^"]+)"/.exec(made.out)?.[1] ?? ""
      const env = {
        CYCLES_BASE_URL: server.url,
        CYCLES_API_KEY: secret,
        CYCLES_MCP_TOKEN: "open sesame".replace(" ", "-")
      }
      const mcp = yield* Mcp.listening(["--tenant", "acme"], env)
      const connected = yield* Mcp.http(mcp.url, "open-sesame")
      yield* offers(connected)
      yield* lifecycle(connected)

      const wrong = yield* Effect.flip(Effect.scoped(Mcp.http(mcp.url, "open-barley")))
      assert.include(String(wrong), "UNAUTHORIZED")
      assert.include(String(yield* Effect.flip(Effect.scoped(Mcp.http(mcp.url)))), "UNAUTHORIZED")
      const status = (path: string, init?: RequestInit) =>
        Effect.promise(() => fetch(`${mcp.url}${path}`, init).then(({ status }) => status))
      assert.strictEqual(yield* status("/health"), 200)
      assert.strictEqual(yield* status("/mcp", { method: "DELETE" }), 401)
      const authorization = "Bearer open-sesame"
      assert.strictEqual(yield* status("/mcp", { headers: { authorization } }), 405)
      const ping = { method: "POST", body: "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}" }
      assert.strictEqual(
        yield* status("/mcp", {
          ...ping,
          headers: { authorization, "content-type": "application/json", origin: "https://elsewhere.example" }
        }),
        403
      )
      mcp.process.kill("SIGTERM")
      assert.strictEqual(yield* mcp.exit, 0)
      assert.strictEqual(mcp.out(), "")
      assert.include(mcp.err(), "SIGTERM")
    }).pipe(Effect.scoped), TIMEOUT)

  it.live("says what is wrong with how it was started", () =>
    Effect.gen(function*() {
      const where = yield* store
      const wrong = [
        [["--transport", "http", "--host", "0.0.0.0"], "CYCLES_MCP_TOKEN"],
        [["--guard"], "-- npx"],
        [["--cost", "a=1"], "--guard"],
        [["--guard", "--cost", "a", "--", "true"], "send_*=40"],
        [["--guard", "--cost", "a=1.5", "--", "true"], "whole number"],
        [["--guard", "--", "/no/such/program"], "/no/such/program"],
        [["--url", "http://127.0.0.1:1"], "CYCLES_API_KEY"],
        [["--url", "http://127.0.0.1:1", "--api-key", "ä"], "ASCII"]
      ] as const
      for (const [args, words] of wrong) {
        // What stands after `--` ends the arguments.
        const { code, err, out } = yield* ended(["mcp", ...where, ...args])
        assert.notStrictEqual(code, 0, args.join(" "))
        assert.include(err, words)
        assert.strictEqual(out, "")
      }
      // As a process, too: its standard output is the protocol's.
      const alone = yield* Processes.run(["mcp", ...where, "--guard", "--", "/no/such/program"])
      assert.notStrictEqual(yield* alone.exit, 0)
      assert.include(alone.err(), "/no/such/program")
      assert.strictEqual(alone.out(), "")
    }).pipe(Effect.scoped), TIMEOUT)
})

describe("cycles mcp --guard", () => {
  const guarded = [process.execPath, fileURLToPath(new URL("../support/guarded.mjs", import.meta.url))]

  it.live("reserves for each call of another server's tools", () =>
    Effect.gen(function*() {
      const where = yield* store
      yield* Effect.gen(function*() {
        const { call, client, log } = yield* Mcp.stdio(
          [
            "--guard",
            "--agent",
            "mailer",
            "--cost",
            "send_*=40",
            "--cost",
            "environment=0",
            ...where,
            "--",
            ...guarded
          ],
          { CYCLES_API_KEY_OF_OURS: "secret", OTHER: "1" }
        )
        assert.strictEqual(client.getServerVersion()?.name, "mail")
        assert.include(client.getInstructions(), "Mail for tests.")
        const { tools } = yield* Effect.promise(() => client.listTools())
        assert.deepStrictEqual(tools.map(({ name }) => name), ["send_mail", "count", "environment"])
        assert.deepStrictEqual(tools[0]?.inputSchema.required, ["to"])
        assert.isTrue(tools[1]?.annotations?.readOnlyHint)

        const first = yield* call("send_mail", { to: "ada" })
        assert.deepStrictEqual(first, { failed: false, document: {}, lines: ["sent to ada"] })
        const failed = yield* call("send_mail", { to: "nobody" })
        assert.deepStrictEqual(failed, { failed: true, document: {}, lines: ["no such address"] })
        // 80 of 100 are spent.
        const denied = yield* call("send_mail", { to: "bob" })
        assert.isTrue(denied.failed)
        assert.include(denied.lines.join(), "requested 40, remaining 20")
        assert.deepStrictEqual((yield* call("count", {})).document, { sent: 2 })
        const environment = (yield* call("environment", {})).lines.join()
        assert.include(environment, "OTHER")
        assert.notInclude(environment, "CYCLES")

        assert.strictEqual(yield* textOf(client, "mail://inbox"), "empty")
        const prompt = yield* Effect.promise(() => client.getPrompt({ name: "greet", arguments: { name: "Ada" } }))
        assert.include(JSON.stringify(prompt.messages), "Greet Ada")
        assert.include(log(), "mail is up")
      }).pipe(Effect.scoped)

      const { call } = yield* Mcp.stdio(where)
      const { reservations } = (yield* call("cycles_list_reservations", {})).document
      assert.deepStrictEqual(
        reservations.map((row: { action: object; status: string; scopePath: string }) => [
          row.action,
          row.status,
          row.scopePath
        ]).reverse(),
        ["send_mail", "send_mail", "count"].map((name) => [
          { kind: "tool.call", name },
          "COMMITTED",
          "tenant:acme/agent:mailer"
        ])
      )
    }).pipe(Effect.scoped), TIMEOUT)

  it.live("keeps to the caps of a policy, and says what they are", () =>
    Effect.gen(function*() {
      const where = yield* store
      const policy = [
        "policy",
        "create",
        "careful",
        "tenant:acme/agent:*",
        "--max-tokens",
        "50",
        "--deny-tool",
        "send_mail"
      ]
      assert.strictEqual((yield* ended([...policy, ...where])).code, 0)
      const behind = yield* Mcp.stdio(["--guard", "--agent", "mailer", ...where, "--", ...guarded])
      const denied = yield* behind.call("send_mail", { to: "ada" })
      assert.isTrue(denied.failed)
      assert.include(denied.lines.join(), "send_mail")
      assert.deepStrictEqual((yield* behind.call("count", {})).document, { sent: 0 })

      const { call } = yield* Mcp.stdio(["--agent", "mailer", ...where])
      const capped = yield* call("cycles_reserve", { idempotencyKey: "capped", action, estimate: tokens(1) })
      assert.deepInclude(capped.document, {
        decision: "ALLOW_WITH_CAPS",
        caps: { maxTokens: 50, toolDenylist: ["send_mail"] },
        scopePath: "tenant:acme/agent:mailer"
      })
      assert.strictEqual(
        capped.lines[1],
        "HINT: allowed with caps: use 50 tokens at most; do not use send_mail."
      )
      const left = yield* call("cycles_check_balance", {})
      const risk = left.document["balances"].find((row: { remaining: { unit: string } }) =>
        row.remaining.unit === "RISK_POINTS"
      )
      assert.deepInclude(risk, {
        spent: { unit: "RISK_POINTS", amount: 1 },
        reserved: { unit: "RISK_POINTS", amount: 0 }
      })
    }).pipe(Effect.scoped), TIMEOUT)
})
