import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { admin, layer, outcome, seeded, send, tenant } from "./support.observing.ts"

const ids = (events: ReadonlyArray<{ readonly event_type: string; readonly tenant_id: string }>) =>
  events.map(({ event_type, tenant_id }) => `${tenant_id} ${event_type}`)

describe("Events", () => {
  it.live("of all tenants are listed, the newest first, filtered, sorted and paged", () =>
    Effect.gen(function*() {
      yield* seeded
      const client = yield* admin
      const { events, has_more } = yield* client.listEvents()
      assert.isFalse(has_more)
      assert.deepStrictEqual(ids(events), [
        "beta tenant.created",
        "acme reservation.denied",
        "acme api_key.created",
        "acme budget.created",
        "acme tenant.created"
      ])
      for (
        const [query, expected] of [
          [{ tenant_id: "beta" }, [0]],
          [{ event_type: "reservation.denied" }, [1]],
          [{ category: "tenant" }, [0, 4]],
          [{ category: "tenant", sort_dir: "asc" }, [4, 0]],
          [{ scope: "tenant:acme" }, [1, 3]],
          [{ trace_id: "a".repeat(32) }, [1]],
          [{ search: "TENANT:acme" }, [1, 3]],
          [{ correlation_id: "nothing" }, []],
          [{ sort_by: "event_type", sort_dir: "asc" }, [2, 3, 1, 4, 0]],
          [{ sort_by: "tenant_id" }, [0, 1, 2, 3, 4]],
          [{ from: events[4]!.timestamp, to: events[3]!.timestamp, tenant_id: "acme" }, undefined]
        ] as const
      ) {
        const all = (yield* client.listEvents(query)).events
        if (expected !== undefined) assert.deepStrictEqual(ids(all), expected.map((i) => ids(events)[i]!))
        const paged: Array<string> = []
        let cursor: string | undefined
        do {
          const page = yield* client.listEvents({ ...query, limit: 1, ...(cursor === undefined ? {} : { cursor }) })
          paged.push(...ids(page.events))
          cursor = page.next_cursor
        } while (cursor !== undefined)
        assert.deepStrictEqual(paged, ids(all))
      }
      for (const event of events) assert.deepStrictEqual(yield* client.getEvent(event.event_id), event)
    }).pipe(Effect.provide(layer)))

  it.live("have the specification's shape to the letter", () =>
    Effect.gen(function*() {
      const { keyId } = yield* seeded
      const listed = yield* send("GET", "/v1/admin/events?event_type=reservation.denied")
      const [denied] = listed.body["events"]
      assert.notInclude(listed.text, "null")
      assert.deepStrictEqual(Object.keys(listed.body), ["events", "has_more"])
      const { data, event_id, request_id, timestamp, ...rest } = denied
      assert.match(event_id, /^evt_/)
      assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      assert.deepStrictEqual(rest, {
        event_type: "reservation.denied",
        category: "reservation",
        tenant_id: "acme",
        scope: "tenant:acme",
        actor: { type: "api_key", key_id: keyId },
        source: "cycles-server",
        correlation_id: request_id,
        trace_id: "a".repeat(32)
      })
      assert.deepInclude(data, {
        scope: "tenant:acme",
        unit: "TOKENS",
        reason_code: "BUDGET_EXCEEDED",
        action: { kind: "tool.call", name: "search" },
        subject: { agent: "bot" }
      })
      // Beyond what a number holds.
      assert.include(listed.text, `"requested_amount":9007199254740993`)
      const created = yield* send("GET", "/v1/admin/events?category=budget")
      assert.deepInclude(created.body["events"][0].data, {
        operation: "CREATE",
        new_state: {
          allocated: 1_000,
          remaining: 1_000,
          debt: 0,
          spent: 0,
          reserved: 0,
          overdraft_limit: 0,
          status: "ACTIVE"
        }
      })
      assert.deepStrictEqual(created.body["events"][0].actor, { type: "admin_on_behalf_of" })
      const one = yield* send("GET", `/v1/admin/events/${event_id}`)
      assert.deepStrictEqual(one.body, denied)
    }).pipe(Effect.provide(layer)))

  it.live("are refused where a parameter, a key or an id is none", () =>
    Effect.gen(function*() {
      const { secret } = yield* seeded
      const own = { "x-cycles-api-key": secret }
      for (
        const [path, expected, headers] of [
          ["/v1/admin/events?event_type=budget.eaten", "400 INVALID_REQUEST"],
          ["/v1/admin/events?category=food", "400 INVALID_REQUEST"],
          ["/v1/admin/events?from=yesterday", "400 INVALID_REQUEST"],
          ["/v1/admin/events?limit=0", "400 INVALID_REQUEST"],
          ["/v1/admin/events?limit=101", "400 INVALID_REQUEST"],
          ["/v1/admin/events?sort_by=size", "400 INVALID_REQUEST"],
          ["/v1/admin/events?trace_id=xyz", "400 INVALID_REQUEST"],
          ["/v1/admin/events?cursor=nonsense", "400 INVALID_REQUEST"],
          [`/v1/admin/events?cursor=${"a.".repeat(3)}1.1`, "400 INVALID_REQUEST"],
          [`/v1/admin/events?search=${"x".repeat(129)}`, "400 INVALID_REQUEST"],
          ["/v1/admin/events?tenant_id=a%20b", "400 INVALID_REQUEST"],
          [`/v1/admin/events?search=&event_type=&limit=&unknown=1`, "200"],
          ["/v1/admin/events/evt_acme.99", "404 EVENT_NOT_FOUND"],
          ["/v1/admin/events/nonsense", "404 EVENT_NOT_FOUND"],
          ["/v1/admin/events", "401 UNAUTHORIZED", {}],
          ["/v1/admin/events", "401 UNAUTHORIZED", own],
          ["/v1/admin/events", "401 UNAUTHORIZED", { "x-admin-api-key": "wrong" }],
          ["/v1/events", "401 UNAUTHORIZED"],
          ["/v1/events", "403 INSUFFICIENT_PERMISSIONS", own]
        ] as const
      ) {
        const answer = yield* send("GET", path, headers === undefined ? {} : { headers })
        assert.strictEqual(outcome(answer), expected, path)
        assert.match(String(answer.headers.get("x-request-id")), /^[0-9a-f-]{36}$/)
      }
    }).pipe(Effect.provide(layer)))

  it.live("of its own are a tenant's, of budgets, reservations and itself", () =>
    Effect.gen(function*() {
      const { governing } = yield* seeded
      const { secret } = yield* governing.createApiKey("acme", { name: "watcher", permissions: ["events:read"] })
      const client = yield* tenant(Redacted.value(secret))
      const { events } = yield* client.listTenantEvents()
      assert.deepStrictEqual(ids(events), [
        "acme reservation.denied",
        "acme budget.created",
        "acme tenant.created"
      ])
      const one = yield* client.listTenantEvents({ limit: 1 })
      assert.isTrue(one.has_more)
      const rest = yield* client.listTenantEvents({ cursor: one.next_cursor!, limit: 10 })
      assert.deepStrictEqual([...one.events, ...rest.events], events)
      assert.deepStrictEqual(ids((yield* client.listTenantEvents({ category: "api_key" })).events), [])
      assert.deepStrictEqual(
        ids((yield* client.listTenantEvents({ event_type: "budget.created", scope: "tenant:acme" })).events),
        ["acme budget.created"]
      )
      // Parameters of the operator's list are none of this one: they ask for nothing.
      const other = yield* send("GET", "/v1/events?tenant_id=beta&limit=1", {
        headers: { "x-cycles-api-key": Redacted.value(secret) }
      })
      assert.strictEqual(other.body["events"][0].tenant_id, "acme")
      const ledger = yield* Ledger.Ledger
      yield* ledger.as({ tenant: "beta" }).event({
        idempotencyKey: IdempotencyKey.make("1"),
        subject: { agent: "x" },
        action: Action.make("a", "b"),
        actual: Amount.tokens(1)
      }).pipe(Effect.exit)
      assert.lengthOf((yield* client.listTenantEvents()).events, 3)
    }).pipe(Effect.provide(layer)))
})
