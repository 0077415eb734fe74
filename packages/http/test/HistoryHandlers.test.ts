import { HistoryClient, HistoryHandlers, WireJson } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import { Amount, CyclesError, Governance, Ledger, LedgerStoreMemory } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

const ACME = "tenant:acme"
const BOT = `${ACME}/agent:bot`
const MAX = 9_223_372_036_854_775_807n

type Json = { readonly [name: string]: unknown }

interface Answer {
  readonly status: number
  readonly headers: Headers
  // What an answer holds is what the test says it does.
  readonly body: Json
}

/** A tenant with two budgets and some past, and a way to ask about it. */
const world = Effect.gen(function*() {
  const services = yield* Layer.build(
    Governance.layer({ peppers: [Redacted.make("thirty-two or more secret characters")] }).pipe(
      Layer.provideMerge(Ledger.layer()),
      Layer.provide(LedgerStoreMemory.layer)
    )
  )
  const { dispose, handler } = HttpRouter.toWebHandler(
    HistoryHandlers.layer({
      authenticateAdmin: (key) =>
        Redacted.value(key) === "admin"
          ? Effect.succeed({ actor: "ops" })
          : Effect.fail(new CyclesError.Unauthorized({ reason: "this is not the admin key" }))
    }).pipe(Layer.provide(Layer.succeedContext(services))),
    { disableLogger: true }
  )
  yield* Effect.addFinalizer(() => Effect.promise(dispose))
  const send = (
    headers: Record<string, string>,
    method: string,
    path: string,
    query: Record<string, string> = {},
    body?: unknown
  ): Effect.Effect<Answer> =>
    Effect.promise(async () => {
      const response = await handler(
        new Request(`http://localhost${path}?${new URLSearchParams(query)}`, {
          method,
          headers: { ...headers, "content-type": "application/json" },
          ...(body === undefined ? undefined : { body: WireJson.stringify(body) })
        })
      )
      const parsed = Result.getOrThrow(WireJson.parse(await response.text()))
      return { status: response.status, headers: response.headers, body: parsed as Json }
    })
  const governance = yield* Effect.provide(Governance.Governance, services)
  const ledger = yield* Effect.provide(Ledger.Ledger, services)
  const operator = governance.asOperator({ actor: "ops" })
  yield* operator.createTenant("acme", { name: "Acme" })
  yield* operator.createBudget("acme", { scope: ACME, allocated: Amount.make("TOKENS", MAX) })
  yield* operator.createBudget("acme", { scope: BOT, allocated: Amount.tokens(100) })
  const authority = ledger.as({ tenant: "acme" })
  const ask = { subject: { agent: "bot" }, action: { kind: "llm.completion", name: "gpt-4o" } }
  yield* authority.event({ ...ask, idempotencyKey: IdempotencyKey.make("1"), actual: Amount.tokens(40) })
  yield* Effect.ignore(
    authority.reserve({ ...ask, idempotencyKey: IdempotencyKey.make("2"), estimate: Amount.tokens(90) })
  )
  const { key, secret } = yield* operator.createApiKey("acme", { name: "bot", scopeFilter: ["agent:bot"] })
  const fetch: typeof globalThis.fetch = (input, init) => handler(new Request(input, init))
  const client = HistoryClient.make({ baseUrl: "http://localhost", adminKey: Redacted.make("admin"), retries: 0 }).pipe(
    Effect.provide(FetchHttpClient.layer),
    Effect.provideService(FetchHttpClient.Fetch, fetch)
  )
  return {
    operator,
    key,
    client: yield* client,
    admin: (method: string, path: string, query?: Record<string, string>, body?: unknown) =>
      send({ "X-Admin-API-Key": "admin" }, method, path, query, body),
    tenant: (method: string, path: string, query?: Record<string, string>, body?: unknown) =>
      send({ "X-Cycles-API-Key": Redacted.value(secret) }, method, path, query, body),
    send
  }
})

const TENANT = { tenant_id: "acme" }
const AT_BOT = { ...TENANT, scope: BOT, unit: "TOKENS" }
const AT_ACME = { ...TENANT, scope: ACME, unit: "TOKENS" }
const YEAR = { from: "2020-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z" }

describe("history over HTTP", () => {
  it.live("explains a balance, a page at a time, exact to the last digit", () =>
    Effect.gen(function*() {
      const { admin } = yield* world
      const { body, headers, status } = yield* admin("GET", "/v1/admin/history/explain", { ...AT_ACME, limit: "1" })
      assert.strictEqual(status, 200)
      assert.isNotNull(headers.get("x-request-id"))
      assert.isNotNull(headers.get("x-cycles-trace-id"))
      assert.deepStrictEqual(body["balance"], {
        scope: ACME,
        scope_path: ACME,
        remaining: { unit: "TOKENS", amount: MAX - 40n },
        reserved: { unit: "TOKENS", amount: 0 },
        spent: { unit: "TOKENS", amount: 40 },
        allocated: { unit: "TOKENS", amount: MAX }
      })
      const zero = { unit: "TOKENS", amount: 0 }
      const [line] = body["lines"] as ReadonlyArray<Json>
      assert.deepInclude(line, {
        number: 3,
        kind: "EVENT",
        actor: "acme",
        action: { kind: "llm.completion", name: "gpt-4o" },
        allocated: zero,
        spent: { unit: "TOKENS", amount: 40 },
        reserved: zero,
        debt: zero,
        remaining: { unit: "TOKENS", amount: MAX - 40n }
      })
      assert.strictEqual(body["next"], 1)
      const rest = yield* admin("GET", "/v1/admin/history/explain", { ...AT_ACME, from: "1" })
      assert.deepStrictEqual((rest.body["lines"] as ReadonlyArray<Json>).map(({ kind }) => kind), ["CREATE"])
      assert.isFalse("next" in rest.body)

      const bot = yield* admin("GET", "/v1/admin/history/explain", AT_BOT)
      const denial = bot.body["denial"] as Json
      assert.include(denial["text"], "BUDGET_EXCEEDED")
      assert.include(denial["details"], { requested_amount: 90, remaining: 60 })
    }).pipe(Effect.scoped))

  it.live("pages through entries, and adds spending up", () =>
    Effect.gen(function*() {
      const { admin } = yield* world
      const first = yield* admin("GET", "/v1/admin/history/entries", { ...TENANT, limit: "2" })
      assert.strictEqual(first.body["next"], 2)
      const rest = yield* admin("GET", "/v1/admin/history/entries", { ...TENANT, after: "2" })
      const [event] = rest.body["entries"] as ReadonlyArray<Json>
      const [change] = event!["changes"] as ReadonlyArray<Json>
      assert.deepStrictEqual(change?.["after"], {
        allocated: MAX,
        spent: 40,
        reserved: 0,
        debt: 0,
        remaining: MAX - 40n,
        overdraft_limit: 0,
        status: "ACTIVE"
      })
      assert.isFalse("next" in rest.body)
      const spend = yield* admin("GET", "/v1/admin/history/spend", { ...TENANT, ...YEAR, unit: "TOKENS", by: "agent" })
      const [row, ...others] = spend.body["rows"] as ReadonlyArray<Json>
      assert.isEmpty(others)
      assert.deepInclude(row, { value: "bot", amount: { unit: "TOKENS", amount: 40 } })
      assert.match(String(row?.["start"]), /^\d{4}-\d\d-\d\dT00:00:00.000Z$/)
      assert.deepInclude(spend.body, { by: "agent", every: "day", unit: "TOKENS" })
      const costs = yield* admin("GET", "/v1/admin/history/costs", {
        ...TENANT,
        ...YEAR,
        unit: "TOKENS",
        by: "tenant,agent"
      })
      const [tenant, agent] = [{ dimension: "tenant", value: "acme" }, { dimension: "agent", value: "bot" }]
      const of = (amount: number) => ({ unit: "TOKENS", amount })
      assert.deepStrictEqual(costs.body, {
        by: ["tenant", "agent"],
        unit: "TOKENS",
        spent: of(40),
        rows: [{ steps: [tenant], own: of(0), total: of(40) }, { steps: [tenant, agent], own: of(40), total: of(40) }]
      })
      const verified = yield* admin("GET", "/v1/admin/history/verify", TENANT)
      assert.deepStrictEqual(verified.body, { tenant_id: "acme", holds: true, entries: 3, budgets: 2, flaws: [] })
    }).pipe(Effect.scoped))

  it.live("keeps a key to its tenant, its permissions and its scope filter", () =>
    Effect.gen(function*() {
      const { key, operator, send, tenant } = yield* world
      const own = yield* tenant("GET", "/v1/admin/history/explain", { scope: BOT, unit: "TOKENS" })
      assert.strictEqual(own.status, 200)
      const refused = (answer: Answer) => [answer.status, answer.body["error"]]
      const of = (path: string, query?: Record<string, string>) => Effect.map(tenant("GET", path, query), refused)
      assert.deepStrictEqual(yield* of("/v1/admin/history/explain", AT_ACME), [403, "FORBIDDEN"])
      assert.deepStrictEqual(yield* of("/v1/admin/history/verify"), [403, "FORBIDDEN"])
      assert.deepStrictEqual(yield* of("/v1/admin/history/entries", { tenant_id: "other" }), [403, "FORBIDDEN"])
      assert.deepStrictEqual(yield* of("/v1/admin/history/limits", AT_ACME), [403, "FORBIDDEN"])
      yield* operator.updateApiKey("acme", key.id, { permissions: ["balances:read"] })
      assert.deepStrictEqual(
        yield* of("/v1/admin/history/explain", { scope: BOT, unit: "TOKENS" }),
        [403, "FORBIDDEN"]
      )
      yield* operator.revokeApiKey("acme", key.id)
      assert.deepStrictEqual(yield* of("/v1/admin/history/entries"), [401, "UNAUTHORIZED"])
      assert.deepStrictEqual(
        refused(yield* send({ "X-Admin-API-Key": "guess" }, "GET", "/v1/admin/history/verify", TENANT)),
        [401, "UNAUTHORIZED"]
      )
      const missing = yield* send({}, "GET", "/v1/admin/history/verify", TENANT)
      assert.deepStrictEqual(refused(missing), [401, "UNAUTHORIZED"])
      assert.isString(missing.body["request_id"])
    }).pipe(Effect.scoped))

  it.live("refuses bad parameters by the names that were sent", () =>
    Effect.gen(function*() {
      const { admin } = yield* world
      const fieldOf = (path: string, query: Record<string, string>) =>
        Effect.map(admin("GET", `/v1/admin/history/${path}`, query), ({ body, status }) => [
          status,
          body["error"],
          (body["details"] as Json)["field"]
        ])
      const bad = (field: string) => [400, "INVALID_REQUEST", field]
      assert.deepStrictEqual(yield* fieldOf("verify", {}), bad("tenant_id"))
      assert.deepStrictEqual(yield* fieldOf("explain", { ...AT_ACME, unit: "EUR" }), bad("unit"))
      assert.deepStrictEqual(yield* fieldOf("explain", { ...AT_ACME, scope: "acme" }), bad("scope"))
      assert.deepStrictEqual(yield* fieldOf("explain", { ...AT_ACME, limit: "1001" }), bad("limit"))
      assert.deepStrictEqual(yield* fieldOf("entries", { ...TENANT, after: "-1" }), bad("after"))
      const spend = { ...TENANT, ...YEAR, unit: "TOKENS" }
      assert.deepStrictEqual(yield* fieldOf("spend", { ...spend, from: "yesterday" }), bad("from"))
      assert.deepStrictEqual(yield* fieldOf("spend", { ...spend, time_zone: "Mars" }), bad("time_zone"))
      assert.deepStrictEqual(yield* fieldOf("spend", { ...spend, by: "mood" }), bad("by"))
      assert.deepStrictEqual(yield* fieldOf("costs", { ...spend, by: "agent,mood" }), bad("by.1"))
      assert.deepStrictEqual(yield* fieldOf("costs", { ...spend, by: "agent,agent" }), bad("by"))
      assert.deepStrictEqual(yield* fieldOf("costs", spend), bad("by"))
      const none = yield* admin("GET", "/v1/admin/history/explain", { ...AT_ACME, unit: "CREDITS" })
      assert.deepStrictEqual([none.status, none.body["error"]], [404, "NOT_FOUND"])
    }).pipe(Effect.scoped))
})

describe("control over HTTP", () => {
  it.live("sets the limits of a budget and shows where they stand", () =>
    Effect.gen(function*() {
      const { admin } = yield* world
      const daily = {
        id: "daily",
        window: { kind: "calendar", every: "day", time_zone: "UTC" },
        amount: { unit: "TOKENS", amount: 50 },
        rollover: { unit: "TOKENS", amount: 10 }
      }
      const hourly = {
        id: "hourly",
        window: { kind: "rolling", length_ms: 3_600_000 },
        amount: { unit: "TOKENS", amount: 20 }
      }
      const set = yield* admin("PUT", "/v1/admin/control/limits", AT_BOT, { limits: [daily, hourly], reason: "launch" })
      assert.strictEqual(set.status, 200)
      const { body } = yield* admin("GET", "/v1/admin/history/limits", AT_BOT)
      const zero = { unit: "TOKENS", amount: 0 }
      assert.deepInclude(body, { scope: BOT, unit: "TOKENS" })
      const unused = { used: zero, held: zero, carried_over: zero }
      const [first, second] = body["limits"] as ReadonlyArray<Json>
      assert.deepInclude(first, { ...daily, ...unused, remaining: daily.amount })
      assert.match(String(first?.["start"]), /T00:00:00.000Z$/)
      assert.match(String(first?.["reopens_at"]), /T00:00:00.000Z$/)
      assert.deepInclude(second, { ...hourly, ...unused, remaining: hourly.amount })
      assert.isFalse("reopens_at" in (second ?? {}))
      const wrong = yield* admin("PUT", "/v1/admin/control/limits", AT_BOT, { limits: [{ ...hourly, zone: 1 }] })
      assert.deepStrictEqual([wrong.status, wrong.body["error"]], [400, "INVALID_REQUEST"])
      const none = yield* admin("PUT", "/v1/admin/control/limits", AT_BOT, { limits: [] })
      assert.deepStrictEqual(none.body["limits"], [])
    }).pipe(Effect.scoped))

  it.live("closes a budget, rotates a key, extends and deletes a policy", () =>
    Effect.gen(function*() {
      const { admin, key, operator, send, tenant } = yield* world
      const closed = yield* admin("POST", "/v1/admin/control/budgets/close", AT_BOT, { reason: "over" })
      assert.include(closed.body, { scope: BOT, unit: "TOKENS", status: "CLOSED" })
      const again = yield* admin("POST", "/v1/admin/control/budgets/close", AT_BOT)
      assert.deepStrictEqual([again.status, again.body["error"]], [409, "BUDGET_CLOSED"])

      const rotated = yield* admin("POST", `/v1/admin/control/api-keys/${key.id}/rotate`, TENANT)
      assert.strictEqual(rotated.status, 200)
      assert.include(rotated.body, { tenant_id: "acme", name: "bot" })
      assert.deepStrictEqual(rotated.body["scope_filter"], ["agent:bot"])
      assert.strictEqual((yield* tenant("GET", "/v1/admin/history/entries")).status, 401)
      const headers = { "X-Cycles-API-Key": String(rotated.body["key_secret"]) }
      assert.strictEqual((yield* send(headers, "GET", "/v1/admin/history/entries")).status, 200)
      assert.strictEqual((yield* send(headers, "POST", "/v1/admin/control/budgets/close", AT_BOT)).status, 403)

      const { id } = yield* operator.createPolicy("acme", { name: "careful", scopePattern: `${ACME}/*` })
      const path = `/v1/admin/control/policies/${id}`
      const extras = { max_steps: 20, state_caps: [{ below_ppm: 200_000, caps: { max_tokens: 100 } }] }
      const extended = yield* admin("PATCH", path, TENANT, extras)
      const expected = { policy_id: id, name: "careful", scope_pattern: `${ACME}/*`, status: "ACTIVE", ...extras }
      assert.deepStrictEqual(extended.body, expected)
      assert.deepStrictEqual((yield* admin("GET", path, TENANT)).body, expected)
      const reset = yield* admin("PATCH", path, TENANT, { max_steps: null, state_caps: null })
      assert.isFalse("max_steps" in reset.body)
      assert.deepStrictEqual(reset.body["state_caps"], [])
      assert.strictEqual((yield* admin("DELETE", path, TENANT)).status, 200)
      const gone = yield* admin("GET", path, TENANT)
      assert.deepStrictEqual([gone.status, gone.body["error"]], [404, "NOT_FOUND"])
    }).pipe(Effect.scoped))
})

describe("the client", () => {
  it.live("reads what the handlers write", () =>
    Effect.gen(function*() {
      const { client, key, operator } = yield* world
      const tenant = "acme"
      const at = { tenant, scope: BOT, unit: "TOKENS" } as const
      const { balance, denial, lines } = yield* client.explain(at)
      const expected = yield* operator.explain("acme", { scope: BOT, unit: "TOKENS" })
      assert.deepStrictEqual(balance, expected.balance)
      assert.strictEqual(denial?.text, expected.denial?.text)
      assert.deepStrictEqual(lines.map(({ text }) => text), expected.lines.map(({ text }) => text))
      assert.deepStrictEqual(lines.map(({ atMs }) => atMs), expected.lines.map(({ atMs }) => atMs))
      const { entries } = yield* client.entries({ tenant, after: 2 })
      assert.strictEqual(entries[0]?.changes[0]?.after.remaining, MAX - 40n)
      const costs = yield* client.costs({
        tenant,
        unit: "TOKENS",
        fromMs: 0,
        toMs: 4_102_444_800_000,
        by: ["scope", "model"],
        scope: BOT
      })
      assert.deepStrictEqual(costs.spent, { unit: "TOKENS", amount: 40n })
      assert.deepStrictEqual(costs.rows.map(({ steps }) => steps.length), [1, 2, 3])
      const { rows } = yield* client.spend({ tenant, unit: "TOKENS", fromMs: 0, toMs: 4_102_444_800_000, by: "agent" })
      assert.deepStrictEqual(rows.map(({ amount, value }) => [value, amount.amount]), [["bot", 40n]])
      assert.isTrue((yield* client.verify({ tenant })).holds)

      const daily = {
        id: "daily",
        window: { _tag: "calendar", every: "day", timeZone: "Europe/Berlin" },
        amount: Amount.tokens(5)
      } as const
      yield* client.setLimits(at, { limits: [daily] })
      assert.deepInclude((yield* client.limits(at)).limits[0], daily)
      const { id } = yield* operator.createPolicy("acme", { name: "careful", scopePattern: `${ACME}/*` })
      const extras = { maxSteps: 3, stateCaps: [{ belowShare: 0.125, caps: { maxTokens: 10 } }] }
      assert.deepInclude(yield* client.extendPolicy(id, { tenant }, extras), extras)
      assert.deepInclude(yield* client.policyState(id, { tenant }), extras)
      yield* client.deletePolicy(id, { tenant })
      assert.strictEqual((yield* Effect.flip(client.policyState(id, { tenant })))._tag, "NotFound")
      assert.notStrictEqual((yield* client.rotateApiKey(key.id, { tenant }, { overlapMs: 1_000 })).id, key.id)
      assert.strictEqual((yield* client.closeBudget(at)).status, "CLOSED")
      assert.strictEqual((yield* Effect.flip(client.verify({})))._tag, "InvalidRequest")
    }).pipe(Effect.scoped))
})
