import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import { admin, keyOf, layer, layerAdminPort, outcome, send, tenant } from "./support.ts"

const MAX = 9_223_372_036_854_775_807n

const register = Effect.fnUntraced(function*(...tenants: ReadonlyArray<string>) {
  const client = yield* admin
  for (const tenant_id of tenants) yield* client.createTenant({ tenant_id, name: tenant_id })
  return client
})

const usd = (amount: bigint) => ({ unit: "USD_MICROCENTS", amount }) as const
const tokens = (amount: bigint) => ({ unit: "TOKENS", amount }) as const

describe("Budgets", () => {
  it.live("are opened, looked up, changed, frozen and unfrozen", () =>
    Effect.gen(function*() {
      const client = yield* register("acme")
      const opened = yield* client.createBudget({
        tenant_id: "acme",
        scope: "tenant:acme/workspace:eng",
        unit: "USD_MICROCENTS",
        allocated: usd(1_000n),
        overdraft_limit: usd(50n),
        commit_overage_policy: "ALLOW_WITH_OVERDRAFT",
        rollover_policy: "CARRY_FORWARD",
        period_start: Date.UTC(2026, 0, 1),
        period_end: Date.UTC(2026, 1, 1),
        metadata: { team: "eng" }
      })
      assert.notStrictEqual(opened.ledger_id, "")
      const { created_at: _, ledger_id: __, updated_at: ___, ...rest } = opened
      assert.deepStrictEqual(rest, {
        tenant_id: "acme",
        scope: "tenant:acme/workspace:eng",
        scope_path: "tenant:acme/workspace:eng",
        unit: "USD_MICROCENTS",
        allocated: usd(1_000n),
        remaining: usd(1_000n),
        reserved: usd(0n),
        spent: usd(0n),
        debt: usd(0n),
        overdraft_limit: usd(50n),
        is_over_limit: false,
        commit_overage_policy: "ALLOW_WITH_OVERDRAFT",
        status: "ACTIVE",
        rollover_policy: "CARRY_FORWARD",
        period_start: Date.UTC(2026, 0, 1),
        period_end: Date.UTC(2026, 1, 1)
      })
      const name = { scope: "tenant:acme/workspace:eng", unit: "USD_MICROCENTS" } as const
      assert.deepStrictEqual(yield* client.lookupBudget(name), opened)

      const changed = yield* client.updateBudget(name, {
        overdraft_limit: usd(0n),
        commit_overage_policy: "REJECT",
        metadata: { team: "ops" }
      })
      assert.deepInclude(changed, { overdraft_limit: usd(0n), commit_overage_policy: "REJECT" })
      assert.strictEqual(changed.period_start, Date.UTC(2026, 0, 1))

      assert.strictEqual((yield* client.freezeBudget(name, { reason: "an incident" })).status, "FROZEN")
      const query = "?scope=tenant:acme/workspace:eng&unit=USD_MICROCENTS"
      const path = (what: string) => `/v1/admin/budgets/${what}${query}`
      assert.strictEqual(outcome(yield* send("POST", path("freeze"))), "409 BUDGET_FROZEN")
      const funding = { operation: "CREDIT", amount: { unit: "USD_MICROCENTS", amount: 1 } }
      const fund = yield* send("POST", `${path("fund")}&tenant_id=acme`, { body: funding })
      assert.strictEqual(outcome(fund), "409 BUDGET_FROZEN")
      assert.strictEqual((yield* client.updateBudget(name, { overdraft_limit: usd(9n) })).status, "FROZEN")
      assert.strictEqual((yield* client.unfreezeBudget(name)).status, "ACTIVE")
      const again = yield* send("POST", path("unfreeze"), { body: {} })
      assert.strictEqual(outcome(again), "409 INVALID_REQUEST")
      for (const body of [{ reason: "x".repeat(513) }, { colour: "red" }, "[]", "{"]) {
        assert.strictEqual(outcome(yield* send("POST", path("freeze"), { body })), "400 INVALID_REQUEST")
      }
      assert.strictEqual((yield* client.lookupBudget(name)).status, "ACTIVE")
    }).pipe(Effect.provide(layer)))

  it.live("are refused where scope, unit or tenant do not fit", () =>
    Effect.gen(function*() {
      yield* register("acme")
      const create = (change: object) =>
        Effect.map(
          send("POST", "/v1/admin/budgets", {
            body: {
              tenant_id: "acme",
              scope: "tenant:acme",
              unit: "TOKENS",
              allocated: { unit: "TOKENS", amount: 10 },
              ...change
            }
          }),
          outcome
        )
      assert.strictEqual(yield* create({ tenant_id: undefined }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ tenant_id: "nobody", scope: "tenant:nobody" }), "400 TENANT_NOT_FOUND")
      assert.strictEqual(yield* create({ scope: "tenant:other" }), "403 FORBIDDEN")
      assert.strictEqual(yield* create({ scope: "agent:a" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ scope: "tenant:acme/agent:a/workspace:b" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ unit: "CREDITS" }), "400 UNIT_MISMATCH")
      assert.strictEqual(yield* create({ overdraft_limit: { unit: "CREDITS", amount: 1 } }), "400 UNIT_MISMATCH")
      assert.strictEqual(yield* create({ allocated: { unit: "TOKENS", amount: -1 } }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ allocated: { unit: "TOKENS", amount: "10" } }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ allocated: { unit: "EUROS", amount: 1 } }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ allocated: null }), "400 INVALID_REQUEST")
      const period = { period_start: "2026-02-01T00:00:00Z", period_end: "2026-01-01T00:00:00Z" }
      assert.strictEqual(yield* create(period), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ rollover_policy: "ALWAYS" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({ limits: [] }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create({}), "201")
      assert.strictEqual(yield* create({}), "409 DUPLICATE_RESOURCE")
      const client = yield* admin
      yield* client.updateTenant("acme", { status: "SUSPENDED" })
      const other = { unit: "CREDITS", allocated: { unit: "CREDITS", amount: 1 } }
      assert.strictEqual(yield* create(other), "403 FORBIDDEN")
      yield* client.updateTenant("acme", { status: "CLOSED" })
      assert.strictEqual(yield* create(other), "409 TENANT_CLOSED")
      for (const what of ["freeze", "unfreeze"]) {
        const answer = yield* send("POST", `/v1/admin/budgets/${what}?scope=tenant:acme&unit=TOKENS`)
        assert.strictEqual(outcome(answer), "409 TENANT_CLOSED")
      }
    }).pipe(Effect.provide(layer)))

  it.live("that are not there are not found, and what names none is refused", () =>
    Effect.gen(function*() {
      yield* register("acme")
      const requests = [
        ["GET", "/v1/admin/budgets/lookup", undefined],
        ["PATCH", "/v1/admin/budgets", {}],
        ["POST", "/v1/admin/budgets/freeze", undefined],
        ["POST", "/v1/admin/budgets/unfreeze", undefined],
        ["POST", "/v1/admin/budgets/fund", { operation: "CREDIT", amount: { unit: "TOKENS", amount: 1 } }]
      ] as const
      for (const [method, path, body] of requests) {
        const ask = (query: string) =>
          Effect.map(send(method, `${path}?tenant_id=acme&${query}`, body === undefined ? {} : { body }), outcome)
        assert.strictEqual(yield* ask("scope=tenant:acme/agent:a&unit=TOKENS"), "404 BUDGET_NOT_FOUND", path)
        assert.strictEqual(yield* ask("scope=tenant:acme"), "400 INVALID_REQUEST", path)
        assert.strictEqual(yield* ask("unit=TOKENS"), "400 INVALID_REQUEST", path)
        assert.strictEqual(yield* ask("scope=tenant:acme&unit=EUROS"), "400 INVALID_REQUEST", path)
        assert.strictEqual(yield* ask("scope=agent:a&unit=TOKENS"), "400 INVALID_REQUEST", path)
      }
    }).pipe(Effect.provide(layer)))

  it.live("are funded, exactly and once per key", () =>
    Effect.gen(function*() {
      const client = yield* register("acme")
      const name = { scope: "tenant:acme", unit: "TOKENS" } as const
      yield* client.createBudget({ tenant_id: "acme", ...name, allocated: tokens(MAX - 10n) })
      const on = { tenant_id: "acme", ...name }
      const credited = yield* client.fundBudget(on, {
        operation: "CREDIT",
        amount: tokens(10n),
        idempotency_key: IdempotencyKey.make("k-1"),
        reason: "a top-up",
        metadata: { ticket: "T-1" }
      })
      assert.deepStrictEqual(credited, {
        operation: "CREDIT",
        previous_allocated: tokens(MAX - 10n),
        new_allocated: tokens(MAX),
        previous_remaining: tokens(MAX - 10n),
        new_remaining: tokens(MAX),
        previous_debt: tokens(0n),
        new_debt: tokens(0n),
        previous_spent: tokens(0n),
        new_spent: tokens(0n)
      })
      const path = "/v1/admin/budgets/fund?tenant_id=acme&scope=tenant:acme&unit=TOKENS"
      const text =
        `{"operation":"CREDIT","amount":{"unit":"TOKENS","amount":10},"idempotency_key":"k-1","reason":"a top-up"}`
      const again = yield* send("POST", path, { body: text })
      assert.strictEqual(again.status, 200)
      assert.include(again.text, "\"new_allocated\":{\"unit\":\"TOKENS\",\"amount\":9223372036854775807}")
      const other = yield* send("POST", path, { body: text.replace(":10}", ":11}") })
      assert.strictEqual(outcome(other), "409 IDEMPOTENCY_MISMATCH")
      const over = yield* send("POST", path, { body: text.replace("k-1", "k-2") })
      assert.strictEqual(outcome(over), "400 INVALID_REQUEST")

      assert.deepStrictEqual(
        (yield* client.fundBudget(on, { operation: "RESET", amount: tokens(100n) })).new_allocated,
        tokens(100n)
      )
      assert.deepStrictEqual(
        (yield* client.fundBudget(on, { operation: "DEBIT", amount: tokens(40n) })).new_remaining,
        tokens(60n)
      )
      const period = yield* client.fundBudget(on, {
        operation: "RESET_SPENT",
        amount: tokens(50n),
        spent: tokens(80n)
      })
      assert.deepStrictEqual(period.new_remaining, tokens(-30n))
      assert.deepStrictEqual(period.new_spent, tokens(80n))
      assert.deepStrictEqual((yield* client.lookupBudget(name)).remaining, tokens(-30n))
      const repaid = yield* client.fundBudget(on, { operation: "REPAY_DEBT", amount: tokens(40n) })
      assert.deepStrictEqual(repaid.new_remaining, tokens(10n))

      const fund = (body: object, headers?: object) =>
        Effect.map(
          send("POST", path, {
            body: { operation: "DEBIT", amount: { unit: "TOKENS", amount: 1 }, ...body },
            ...(headers === undefined
              ? undefined
              : { headers: { "x-admin-api-key": "the-admin-key-nobody-may-see", ...headers } })
          }),
          outcome
        )
      assert.strictEqual(yield* fund({ amount: { unit: "TOKENS", amount: 11 } }), "409 BUDGET_EXCEEDED")
      assert.strictEqual(yield* fund({ amount: { unit: "CREDITS", amount: 1 } }), "400 UNIT_MISMATCH")
      assert.strictEqual(yield* fund({ operation: "BURN" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* fund({ amount: undefined }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* fund({ idempotency_key: "" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* fund({ idempotency_key: "a" }, { "x-idempotency-key": "b" }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* fund({}, { "x-idempotency-key": "x".repeat(257) }), "400 INVALID_REQUEST")
      assert.strictEqual(yield* fund({}, { "x-idempotency-key": "c" }), "200")
      assert.strictEqual(yield* fund({}, { "x-idempotency-key": "c" }), "200")
      assert.strictEqual(yield* fund({ idempotency_key: "c" }), "200")
      assert.deepStrictEqual((yield* client.lookupBudget(name)).remaining, tokens(9n))
      const nobody = yield* send("POST", "/v1/admin/budgets/fund?scope=tenant:acme&unit=TOKENS", {
        body: { operation: "DEBIT", amount: { unit: "TOKENS", amount: 1 } }
      })
      assert.strictEqual(outcome(nobody), "400 INVALID_REQUEST")
      assert.deepInclude(nobody.body["details"], { field: "tenant_id" })
    }).pipe(Effect.provide(layer)))

  it.live("are listed across tenants or of one, filtered, searched, sorted and paged", () =>
    Effect.gen(function*() {
      const client = yield* register("acme", "beta")
      const ledger = yield* Ledger.Ledger
      // What is spent of each, in percent.
      const shares = [
        ["acme", "tenant:acme", 0],
        ["acme", "tenant:acme/agent:a", 50],
        ["acme", "tenant:acme/agent:ab", 90],
        ["beta", "tenant:beta", 10],
        ["beta", "tenant:beta/agent:a", 100]
      ] as const
      for (const [tenant_id, scope, share] of shares) {
        yield* client.createBudget({ tenant_id, scope, unit: "CREDITS", allocated: { unit: "CREDITS", amount: 100n } })
        yield* client.fundBudget({ tenant_id, scope, unit: "CREDITS" }, {
          operation: "RESET_SPENT",
          amount: { unit: "CREDITS", amount: 100n },
          spent: { unit: "CREDITS", amount: BigInt(share) }
        })
      }
      yield* client.createBudget({ tenant_id: "acme", scope: "tenant:acme", unit: "TOKENS", allocated: tokens(0n) })
      yield* client.createBudget({
        tenant_id: "beta",
        scope: "tenant:beta",
        unit: "TOKENS",
        allocated: tokens(10n),
        overdraft_limit: tokens(100n)
      })
      yield* ledger.as({ tenant: "beta" }).event({
        idempotencyKey: IdempotencyKey.make("e"),
        subject: { tenant: "beta" },
        action: Action.make("llm.completion", "gpt-4o"),
        actual: Amount.tokens(30),
        overagePolicy: "ALLOW_WITH_OVERDRAFT"
      })
      yield* client.freezeBudget({ scope: "tenant:acme/agent:a", unit: "CREDITS" })

      type Query = Parameters<typeof client.listBudgets>[0]
      const list = (query: Query) =>
        Effect.map(client.listBudgets(query), ({ ledgers }) => ledgers.map(({ scope, unit }) => `${scope} ${unit}`))
      const all = [
        "tenant:acme CREDITS",
        "tenant:acme TOKENS",
        "tenant:acme/agent:a CREDITS",
        "tenant:acme/agent:ab CREDITS",
        "tenant:beta CREDITS",
        "tenant:beta TOKENS",
        "tenant:beta/agent:a CREDITS"
      ]
      assert.deepStrictEqual(yield* list({}), all)
      assert.deepStrictEqual(yield* list({ tenant_id: "beta" }), all.slice(4))
      assert.deepStrictEqual(yield* list({ tenant_id: "nobody" }), [])
      assert.deepStrictEqual(yield* list({ scope_prefix: "tenant:acme/agent:a" }), all.slice(2, 4))
      assert.deepStrictEqual(yield* list({ scope_prefix: "tenant:acme/agent:ab" }), all.slice(3, 4))
      assert.deepStrictEqual(yield* list({ scope_prefix: "tenant:b" }), all.slice(4))
      assert.deepStrictEqual(yield* list({ scope_prefix: "tenant:beta" }), all.slice(4))
      assert.deepStrictEqual(yield* list({ scope_prefix: "tenant:beta", tenant_id: "acme" }), [])
      assert.deepStrictEqual(yield* list({ scope_prefix: "agent:a" }), [])
      assert.deepStrictEqual(yield* list({ unit: "TOKENS" }), [all[1], all[5]])
      assert.deepStrictEqual(yield* list({ status: "FROZEN" }), [all[2]])
      assert.deepStrictEqual(yield* list({ has_debt: true }), [all[5]])
      assert.lengthOf(yield* list({ has_debt: false }), 6)
      assert.deepStrictEqual(yield* list({ over_limit: true }), [])
      assert.lengthOf(yield* list({ over_limit: false }), 7)
      assert.deepStrictEqual(yield* list({ search: "AGENT:A" }), [all[2], all[3], all[6]])
      assert.deepStrictEqual(yield* list({ search: "beta", unit: "CREDITS" }), [all[4], all[6]])
      assert.deepStrictEqual(yield* list({ utilization_min: 0.5, unit: "CREDITS" }), [all[2], all[3], all[6]])
      assert.deepStrictEqual(yield* list({ utilization_max: 0 }), [all[0], all[1]])
      assert.deepStrictEqual(yield* list({ utilization_min: 0.1, utilization_max: 0.9 }), [all[2], all[3], all[4]])

      const sorted = yield* list({ sort_by: "utilization", unit: "CREDITS" })
      assert.deepStrictEqual(sorted, [all[6], all[3], all[2], all[4], all[0]])
      assert.strictEqual((yield* list({ sort_by: "debt" }))[0], all[5])
      assert.deepStrictEqual(yield* list({ sort_by: "scope", sort_dir: "desc", limit: 2 }), [all[6], all[4]])

      const keys = ["tenant_id", "scope", "unit", "status", "commit_overage_policy", "utilization", "debt"] as const
      for (const sort_by of [undefined, ...keys]) {
        for (const sort_dir of ["asc", "desc"] as const) {
          for (const tenant_id of [undefined, "acme"]) {
            const query = {
              ...(sort_by === undefined ? undefined : { sort_by, sort_dir }),
              ...(tenant_id === undefined ? undefined : { tenant_id })
            }
            const pages: Array<string> = []
            let cursor: string | undefined
            do {
              const page = yield* client.listBudgets({
                ...query,
                limit: 2,
                ...(cursor === undefined ? {} : { cursor })
              })
              assert.isAtMost(page.ledgers.length, 3)
              pages.push(...page.ledgers.map(({ scope, unit }) => `${scope} ${unit}`))
              cursor = page.next_cursor
            } while (cursor !== undefined)
            assert.deepStrictEqual(pages, yield* list(query), `${sort_by} ${sort_dir} ${tenant_id}`)
            assert.lengthOf(new Set(pages), tenant_id === undefined ? 7 : 4)
          }
        }
      }
    }).pipe(Effect.provide(layer)))

  it.live("are a tenant's own to open, fund and read, as far as its key lets it", () =>
    Effect.gen(function*() {
      const client = yield* register("acme", "beta")
      const { key_secret } = yield* keyOf("acme", {})
      const own = yield* tenant(key_secret)
      const name = { scope: "tenant:acme", unit: "TOKENS" } as const
      const opened = yield* own.createBudget({ ...name, allocated: tokens(100n) })
      assert.strictEqual(opened.tenant_id, "acme")
      yield* client.createBudget({ tenant_id: "beta", scope: "tenant:beta", unit: "TOKENS", allocated: tokens(7n) })
      assert.deepStrictEqual(
        (yield* own.fundBudget(name, { operation: "CREDIT", amount: tokens(1n) })).new_remaining,
        tokens(101n)
      )
      // The tenant is the key's, whatever is said.
      assert.deepStrictEqual(
        (yield* own.fundBudget({ ...name, tenant_id: "beta" }, { operation: "CREDIT", amount: tokens(1n) }))
          .new_remaining,
        tokens(102n)
      )
      assert.lengthOf((yield* own.listBudgets({ tenant_id: "beta" })).ledgers, 1)
      assert.deepStrictEqual((yield* own.listBudgets({ tenant_id: "beta" })).ledgers[0]?.tenant_id, "acme")
      assert.strictEqual((yield* own.lookupBudget(name)).ledger_id, opened.ledger_id)

      const headers = { "x-cycles-api-key": key_secret }
      const ask = (method: string, path: string, body?: object) =>
        Effect.map(send(method, path, { headers, ...(body === undefined ? undefined : { body }) }), outcome)
      const allocated = { unit: "TOKENS", amount: 1 }
      const foreign = "scope=tenant:beta&unit=TOKENS"
      assert.strictEqual(yield* ask("GET", `/v1/admin/budgets/lookup?${foreign}`), "403 FORBIDDEN")
      const credit = { operation: "CREDIT", amount: allocated }
      assert.strictEqual(yield* ask("POST", `/v1/admin/budgets/fund?${foreign}`, credit), "403 FORBIDDEN")
      const create = (scope: string, tenant_id?: string) =>
        ask("POST", "/v1/admin/budgets", {
          scope,
          unit: "TOKENS",
          allocated,
          ...(tenant_id === undefined ? undefined : { tenant_id })
        })
      assert.strictEqual(yield* create("tenant:beta/agent:a"), "403 FORBIDDEN")
      assert.strictEqual(yield* create("tenant:acme/agent:a", "acme"), "400 INVALID_REQUEST")
      assert.strictEqual(yield* create("tenant:acme/agent:a", "beta"), "400 INVALID_REQUEST")
      const operators = [
        ["PATCH", "/v1/admin/budgets", {}],
        ["POST", "/v1/admin/budgets/freeze", undefined],
        ["POST", "/v1/admin/budgets/unfreeze", undefined]
      ] as const
      for (const [method, path, body] of operators) {
        assert.strictEqual(yield* ask(method, `${path}?scope=tenant:acme&unit=TOKENS`, body), "401 UNAUTHORIZED")
      }
      assert.deepStrictEqual(
        (yield* client.lookupBudget({ scope: "tenant:beta", unit: "TOKENS" })).remaining,
        tokens(7n)
      )
    }).pipe(Effect.provide(layer)))

  it.live("are out of reach for a key without the permission, or with another scope", () =>
    Effect.gen(function*() {
      const client = yield* register("acme")
      for (const scope of ["tenant:acme", "tenant:acme/agent:a", "tenant:acme/agent:b"]) {
        yield* client.createBudget({ tenant_id: "acme", scope, unit: "TOKENS", allocated: tokens(10n) })
      }
      const reader = yield* keyOf("acme", { permissions: ["budgets:read"] })
      const writer = yield* keyOf("acme", { permissions: ["budgets:write"] })
      const only = yield* keyOf("acme", { scope_filter: ["agent:a"] })
      const ask = (key: { readonly key_secret: string }, method: string, path: string, body?: object) =>
        Effect.map(
          send(method, path, {
            headers: { "x-cycles-api-key": key.key_secret },
            ...(body === undefined ? undefined : { body })
          }),
          outcome
        )
      const credit = { operation: "CREDIT", amount: { unit: "TOKENS", amount: 1 } }
      const fund = (scope: string) => `/v1/admin/budgets/fund?scope=${scope}&unit=TOKENS`
      const lookup = (scope: string) => `/v1/admin/budgets/lookup?scope=${scope}&unit=TOKENS`
      assert.strictEqual(yield* ask(reader, "POST", fund("tenant:acme"), credit), "403 INSUFFICIENT_PERMISSIONS")
      assert.strictEqual(yield* ask(reader, "GET", lookup("tenant:acme")), "200")
      assert.strictEqual(yield* ask(writer, "GET", lookup("tenant:acme")), "403 INSUFFICIENT_PERMISSIONS")
      assert.strictEqual(yield* ask(writer, "GET", "/v1/admin/budgets"), "403 INSUFFICIENT_PERMISSIONS")
      assert.strictEqual(yield* ask(only, "GET", lookup("tenant:acme")), "403 FORBIDDEN")
      assert.strictEqual(yield* ask(only, "GET", lookup("tenant:acme/agent:b")), "403 FORBIDDEN")
      assert.strictEqual(yield* ask(only, "POST", fund("tenant:acme/agent:b"), credit), "403 FORBIDDEN")
      assert.strictEqual(yield* ask(only, "POST", fund("tenant:acme/agent:a"), credit), "200")
      const seen = yield* (yield* tenant(only.key_secret)).listBudgets({ sort_by: "scope" })
      assert.deepStrictEqual(seen.ledgers.map(({ scope }) => scope), ["tenant:acme/agent:a"])
    }).pipe(Effect.provide(layer)))
})

describe("Balances", () => {
  it.live("are the runtime plane's where both planes share a router", () =>
    Effect.gen(function*() {
      yield* register("acme")
      const { key_secret } = yield* keyOf("acme", {})
      const answer = yield* send("GET", "/v1/balances?tenant=acme", { headers: { "x-cycles-api-key": key_secret } })
      assert.deepStrictEqual(answer.body, { balances: [], has_more: false })
    }).pipe(Effect.provide(layer)))

  it.live("are whole budgets on a port of the governance plane's own", () =>
    Effect.gen(function*() {
      const client = yield* register("acme", "beta")
      for (const scope of ["tenant:acme", "tenant:acme/agent:a", "tenant:acme/agent:b"]) {
        yield* client.createBudget({ tenant_id: "acme", scope, unit: "TOKENS", allocated: tokens(10n) })
      }
      const { key_secret } = yield* keyOf("acme", { permissions: ["balances:read"] })
      const own = yield* tenant(key_secret)
      const first = yield* own.getBalances({ scope_prefix: "tenant:acme/", unit: "TOKENS", limit: 1 })
      assert.deepStrictEqual(first.balances.map(({ scope }) => scope), ["tenant:acme/agent:a"])
      const second = yield* own.getBalances({
        scope_prefix: "tenant:acme/",
        unit: "TOKENS",
        limit: 1,
        cursor: first.next_cursor ?? ""
      })
      assert.deepStrictEqual(second.balances.map(({ scope }) => scope), ["tenant:acme/agent:b"])
      assert.isFalse(second.has_more)
      const ask = (query: string, headers: { readonly [name: string]: string }) =>
        Effect.map(send("GET", `/v1/balances${query}`, { headers }), outcome)
      const headers = { "x-cycles-api-key": key_secret }
      assert.strictEqual(yield* ask("?tenant_id=acme", headers), "200")
      assert.strictEqual(yield* ask("?tenant_id=beta", headers), "403 FORBIDDEN")
      assert.strictEqual(yield* ask("?limit=101", headers), "400 INVALID_REQUEST")
      assert.strictEqual(yield* ask("?cursor=x", headers), "400 INVALID_REQUEST")
      assert.strictEqual(yield* ask("", {}), "401 UNAUTHORIZED")
      const writer = yield* keyOf("acme", { permissions: ["budgets:write"] })
      assert.strictEqual(yield* ask("", { "x-cycles-api-key": writer.key_secret }), "403 INSUFFICIENT_PERMISSIONS")
    }).pipe(Effect.provide(layerAdminPort)))
})
