import { assert, describe, it } from "@effect/vitest"
import * as Amount from "effect-cycles/protocol/Amount"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import Database from "libsql"
import { onStore, parse } from "../support/cycles.ts"

const ACME = "tenant:acme"
const WRITER = `${ACME}/agent:writer`

/** A tenant with a past: a charge, a hold that stays, and one that was denied. */
const furnish = (world: Effect.Success<typeof onStore>) =>
  world.inside((operator, ledger) =>
    Effect.gen(function*() {
      yield* operator.createTenant("acme", { name: "Acme Corporation" })
      yield* operator.createBudget("acme", { scope: ACME, allocated: Amount.usd(10) })
      yield* operator.createBudget("acme", { scope: WRITER, allocated: Amount.usd(2) })
      const authority = ledger.as({ tenant: "acme" })
      const ask = { subject: { agent: "writer" }, action: { kind: "llm.completion", name: "gpt-4o" } }
      yield* authority.event({ ...ask, idempotencyKey: IdempotencyKey.make("1"), actual: Amount.usd("0.5") })
      const held = yield* authority.reserve({
        ...ask,
        idempotencyKey: IdempotencyKey.make("2"),
        estimate: Amount.usd(1),
        ttlMs: 86_400_000
      })
      yield* Effect.ignore(
        authority.reserve({ ...ask, idempotencyKey: IdempotencyKey.make("3"), estimate: Amount.usd(5) })
      )
      return held.reservationId ?? ""
    })
  )

describe("cycles on a store", () => {
  it.live("makes, shows and ends tenants", () =>
    Effect.gen(function*() {
      const { json, run } = yield* onStore
      const made = yield* json("tenant create acme --name", "Acme Corporation")
      assert.deepInclude(made, { tenant_id: "acme", name: "Acme Corporation", status: "ACTIVE" })
      assert.deepStrictEqual((yield* json("tenant list"))["tenants"], [made])
      assert.deepStrictEqual(yield* json("tenant show acme"), made)
      assert.strictEqual((yield* json("tenant suspend acme"))["status"], "SUSPENDED")
      assert.strictEqual((yield* json("tenant activate acme"))["status"], "ACTIVE")
      const asked = yield* run("tenant close acme")
      assert.strictEqual(asked.code, 2)
      assert.include(asked.err.join(), "--yes")
      assert.strictEqual((yield* json("tenant close acme --yes"))["status"], "CLOSED")
      const shown = yield* run("tenant list")
      assert.deepStrictEqual(shown.out[0]?.split("\n")[0]?.split(/\s+/), ["TENANT", "NAME", "STATUS", "CREATED"])
      assert.include(shown.out[0], "Acme Corporation  CLOSED")
    }).pipe(Effect.scoped))

  it.live("makes, replaces and revokes keys, and shows a secret once", () =>
    Effect.gen(function*() {
      const { json, run } = yield* onStore
      yield* json("tenant create acme")
      const made = yield* json("key create production --permission balances:read --scope agent:writer --expires-in 30d")
      assert.match(String(made["key_secret"]), /^cyc_live_/)
      assert.deepStrictEqual(made["permissions"], ["balances:read"])
      const { keys } = yield* json("key list --tenant acme")
      assert.deepInclude(keys[0], { key_id: made["key_id"], status: "ACTIVE", scope_filter: ["agent:writer"] })
      const life = Date.parse(String(made["expires_at"])) - Date.parse(String(made["created_at"]))
      assert.approximately(life, 30 * 86_400_000, 60_000)

      const rotated = yield* json(`key rotate ${made["key_id"]} --overlap 1h`)
      assert.notStrictEqual(rotated["key_id"], made["key_id"])
      assert.deepStrictEqual(rotated["scope_filter"], ["agent:writer"])
      assert.strictEqual((yield* run(`key rotate ${rotated["key_id"]}`)).code, 2)
      const revoked = yield* json(`key revoke ${rotated["key_id"]} --reason leaked --yes`)
      assert.deepInclude(revoked, { status: "REVOKED", revoked_reason: "leaked" })
      const shown = yield* run("key list")
      assert.notInclude(shown.out.join(), String(made["key_secret"]))
    }).pipe(Effect.scoped))

  it.live("takes amounts exactly as they are typed", () =>
    Effect.gen(function*() {
      const { json, run } = yield* onStore
      yield* json("tenant create acme")
      const made = yield* json(`budget create ${ACME} --usd 12.50000001 --overdraft 0.1`)
      assert.deepInclude(made, {
        scope: ACME,
        unit: "USD_MICROCENTS",
        allocated: { unit: "USD_MICROCENTS", amount: 1_250_000_001 },
        overdraft_limit: { unit: "USD_MICROCENTS", amount: 10_000_000 }
      })
      const most = yield* json(`budget create ${WRITER} --tokens 9_223_372_036_854_775_807`)
      assert.deepStrictEqual(most["remaining"], { unit: "TOKENS", amount: 9_223_372_036_854_775_807n })
      const credited = yield* json(`budget credit ${ACME} --usd 0.00000001`)
      assert.deepInclude(credited, {
        operation: "CREDIT",
        new_allocated: { unit: "USD_MICROCENTS", amount: 1_250_000_002 }
      })
      assert.strictEqual((yield* json(`budget debit ${ACME} --usd 2.5`))["new_remaining"].amount, 1_000_000_002)
      assert.strictEqual((yield* json(`budget reset ${ACME} --usd 3`))["new_allocated"].amount, 300_000_000)
      assert.strictEqual((yield* json(`budget new-period ${ACME} --usd 4`))["new_allocated"].amount, 400_000_000)
      assert.strictEqual((yield* json(`budget show ${ACME}`))["allocated"].amount, 400_000_000)
      for (const wrong of ["--usd 0.000000001", "--usd -1", "--usd 1e3", "--tokens 1.5", "--tokens 1 --usd 1", ""]) {
        const { code, err } = yield* run(`budget credit ${ACME} ${wrong}`.trim())
        assert.strictEqual(code, 2, `${wrong}: ${err.join()}`)
      }
      const tooMuch = yield* run(`budget debit ${ACME} --usd 1000`)
      assert.strictEqual(tooMuch.code, 1)
      assert.include(tooMuch.err.join(), "BUDGET_EXCEEDED")
    }).pipe(Effect.scoped))

  it.live("repeats a credit by its key without harm", () =>
    Effect.gen(function*() {
      const { json } = yield* onStore
      yield* json("tenant create acme")
      yield* json(`budget create ${ACME} --tokens 10`)
      const first = yield* json(`budget credit ${ACME} --tokens 5 --idempotency-key monday`)
      assert.deepStrictEqual(
        (yield* json(`budget credit ${ACME} --tokens 5 --idempotency-key monday`))["new_allocated"],
        first["new_allocated"]
      )
      assert.strictEqual((yield* json(`budget show ${ACME}`))["allocated"].amount, 15)
    }).pipe(Effect.scoped))

  it.live("freezes, changes and closes budgets", () =>
    Effect.gen(function*() {
      const { json, run } = yield* onStore
      yield* json("tenant create acme")
      yield* json(`budget create ${ACME} --usd 1`)
      yield* json(`budget create ${ACME} --tokens 1`)
      const which = yield* run(`budget freeze ${ACME}`)
      assert.strictEqual(which.code, 2)
      assert.include(which.err.join(), "--unit")
      assert.strictEqual((yield* json(`budget freeze ${ACME} --unit usd --reason audit`))["status"], "FROZEN")
      const refused = yield* run(`budget credit ${ACME} --usd 1`)
      assert.deepStrictEqual([refused.code, refused.err.join().includes("cycles budget unfreeze")], [1, true])
      assert.strictEqual((yield* json(`budget unfreeze ${ACME} --unit usd`))["status"], "ACTIVE")
      const updated = yield* json(`budget update ${ACME} --unit usd --overage ALLOW_WITH_OVERDRAFT --overdraft 2`)
      assert.deepInclude(updated, { commit_overage_policy: "ALLOW_WITH_OVERDRAFT" })
      assert.strictEqual((yield* json(`budget close ${ACME} --unit tokens --yes`))["status"], "CLOSED")
      const missing = yield* run(`budget show ${WRITER}`)
      assert.strictEqual(missing.code, 3)
      assert.include(missing.err.join(), "cycles budget create")
      assert.strictEqual((yield* run("budget show acme")).code, 2)
    }).pipe(Effect.scoped))

  it.live("puts limits on a budget, one beside the other", () =>
    Effect.gen(function*() {
      const { json, run } = yield* onStore
      yield* json("tenant create acme")
      yield* json(`budget create ${ACME} --usd 100`)
      yield* json(`budget limit set daily ${ACME} --usd 5 --every day --time-zone Europe/Berlin --rollover 1.5`)
      const two = yield* json(`budget limit set burst ${ACME} --usd 1 --last 10m`)
      assert.deepStrictEqual(two["limits"].map(({ id }: { id: string }) => id), ["daily", "burst"])
      const { limits } = yield* json(`budget limit set daily ${ACME} --usd 6 --every day --time-zone Europe/Berlin`)
      const daily = limits.find(({ id }: { id: string }) => id === "daily")
      assert.deepInclude(daily, {
        window: { kind: "calendar", every: "day", time_zone: "Europe/Berlin" },
        amount: { unit: "USD_MICROCENTS", amount: 600_000_000 }
      })
      assert.isFalse("rollover" in daily)
      const left = yield* json(`budget limit remove daily ${ACME} --yes`)
      assert.deepStrictEqual(left["limits"].map(({ id }: { id: string }) => id), ["burst"])
      assert.deepStrictEqual((yield* json(`budget limit list ${ACME}`))["limits"].length, 1)
      assert.strictEqual((yield* run(`budget limit remove weekly ${ACME} --yes`)).code, 3)
      assert.strictEqual((yield* run(`budget limit set x ${ACME} --usd 1`)).code, 2)
    }).pipe(Effect.scoped))

  it.live("explains a budget and proves its history", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      const { json, run } = world
      yield* furnish(world)
      const explained = yield* json(`explain ${WRITER} --limit 2`)
      assert.deepStrictEqual(explained["lines"].map(({ kind }: { kind: string }) => kind), ["RESERVE", "EVENT"])
      assert.include(explained["denial"].text, "BUDGET_EXCEEDED")
      const words = (yield* run(`explain ${WRITER} --limit 2`)).out.join("\n")
      assert.include(words, "last denied")
      assert.include(words, "$1.00 held for llm.completion gpt-4o; $0.50 remain")
      assert.include(words, `older entries: cycles explain ${WRITER} --from 2`)
      assert.deepStrictEqual(yield* json("verify"), {
        tenant_id: "acme",
        holds: true,
        entries: 4,
        budgets: 2,
        flaws: []
      })
      assert.include((yield* run("verify --tenant acme")).out.join(), "It holds: 4 entries of acme")
    }).pipe(Effect.scoped))

  it.live("finds what does not add up, and exits with it", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      yield* furnish(world)
      const database = new Database(`${world.directory}/ledger.db`)
      const body = database.prepare("SELECT body FROM budgets WHERE scope = ?").get(WRITER)
      database.prepare("UPDATE budgets SET body = ? WHERE scope = ?").run(
        // Half a dollar was spent.
        String((body as { body: string }).body).replace("50000000", "50000001"),
        WRITER
      )
      database.close()
      const words = yield* world.run("verify")
      assert.strictEqual(words.code, 1)
      assert.include(words.out.join(), `${WRITER} USD_MICROCENTS: spent is 50000001, its entries say 50000000`)
      const { code, err, out } = yield* world.run("verify --json")
      assert.deepStrictEqual([code, err], [1, []])
      assert.deepInclude(parse(out[0]), { holds: false })
    }).pipe(Effect.scoped))

  it.live("draws balances as a tree", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      const { json, run } = world
      yield* furnish(world)
      const { ledgers } = yield* json("balances")
      assert.deepStrictEqual(ledgers.map(({ scope }: { scope: string }) => scope).toSorted(), [ACME, WRITER])
      const tree = (yield* run("balances")).out.join("\n").split("\n")
      assert.deepStrictEqual(tree, [
        "tenant:acme      █▒▒░░░░░░░░░░░░░░░░░   15%  $8.50 left of $10.00, $1.00 held",
        "└─ agent:writer  █████▒▒▒▒▒▒▒▒▒▒░░░░░   75%  $0.50 left of $2.00, $1.00 held"
      ])
      const part = yield* run(`balances ${WRITER}`)
      assert.strictEqual(part.out.join("\n").split("\n").length, 1)
    }).pipe(Effect.scoped))

  it.live("lists, shows and releases reservations in their owner's place", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      const { json, run } = world
      const id = yield* furnish(world)
      const { reservations } = yield* json("reservations list --status ACTIVE")
      assert.deepStrictEqual(reservations.map((row: { reservation_id: string }) => row.reservation_id), [id])
      assert.deepInclude(yield* json(`reservations show ${id}`), { reservation_id: id, status: "ACTIVE" })
      assert.strictEqual((yield* run(`reservations release ${id} --reason gone`)).code, 2)
      assert.strictEqual((yield* run(`reservations release ${id} --yes`)).code, 2)
      assert.strictEqual(
        (yield* json(`reservations release ${id} --yes --reason`, "the worker is gone"))["status"],
        "RELEASED"
      )
      assert.include((yield* run("reservations list")).out.join(), "RELEASED")
      const again = yield* run(`reservations release ${id} --reason gone --yes --json`)
      assert.strictEqual(again.code, 1)
      assert.deepInclude(parse(again.err[0]), { error: "RESERVATION_FINALIZED" })
      const { logs } = yield* json("audit --limit 1")
      assert.deepInclude(logs[0], { operation: "releaseReservation", tenant_id: "acme" })
    }).pipe(Effect.scoped))

  it.live("lists events and the audit", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      const { json, run } = world
      yield* furnish(world)
      const { events } = yield* json("events --type reservation.denied --since 1h")
      assert.deepStrictEqual(events.map((event: { event_type: string }) => event.event_type), ["reservation.denied"])
      assert.include((yield* run("events")).out.join(), "BUDGET_EXCEEDED")
      const { logs } = yield* json("audit --operation createBudget --since 2026-01-01T00:00:00Z")
      assert.strictEqual(logs.length, 2)
      assert.include((yield* run("audit")).out.join(), "createTenant")
      assert.strictEqual((yield* run("events --since yesterday")).code, 2)
    }).pipe(Effect.scoped))

  it.live("creates, changes and deletes policies", () =>
    Effect.gen(function*() {
      const { json, run } = yield* onStore
      yield* json("tenant create acme")
      const made = yield* json(
        `policy create careful ${ACME}/agent:* --max-tokens 4000 --deny-tool shell --reservations-per-minute 60 --max-ttl 1h --max-steps 20`
      )
      assert.deepInclude(made, {
        name: "careful",
        scope_pattern: `${ACME}/agent:*`,
        caps: { max_tokens: 4_000, tool_denylist: ["shell"] },
        rate_limits: { max_reservations_per_minute: 60 },
        max_steps: 20
      })
      const id = made["policy_id"]
      assert.deepInclude(yield* json(`policy show ${id}`), { policy_id: id, max_steps: 20 })
      const off = yield* json(`policy update ${id} --status DISABLED --max-steps 5`)
      assert.deepInclude(off, { status: "DISABLED", max_steps: 5 })
      assert.include((yield* run("policy list")).out.join(), "careful")
      assert.strictEqual((yield* run(`policy delete ${id}`)).code, 2)
      yield* json(`policy delete ${id} --yes`)
      assert.strictEqual((yield* run(`policy show ${id}`)).code, 3)
    }).pipe(Effect.scoped))

  it.live("watches balances and events, a line of JSON for each change", () =>
    Effect.gen(function*() {
      const world = yield* onStore
      yield* furnish(world)
      const { code, out } = yield* world.run("watch --json --count 2 --every 100ms")
      assert.strictEqual(code, 0)
      const lines = out.map(parse)
      // The second look saw nothing new.
      assert.deepStrictEqual(lines.map(({ type }) => type), ["balances", ...lines.slice(1).map(() => "event")])
      assert.include(lines.slice(1).map(({ event }) => event.event_type), "reservation.denied")
      const words = yield* world.run("watch --count 1")
      assert.include(words.out.join(), "agent:writer")
      assert.include(words.out.join(), "reservation.denied")
    }).pipe(Effect.scoped))

  it.live("makes all that a first program needs", () =>
    Effect.gen(function*() {
      const { json, run } = yield* onStore
      const first = yield* run("init acme --usd 25")
      const words = first.out.join("\n")
      assert.include(words, "acme may spend $25.00 on tenant:acme")
      assert.match(
        words,
        /^CYCLES_BASE_URL=http:\/\/127\.0\.0\.1:7878\nCYCLES_TENANT=acme\nCYCLES_API_KEY=cyc_live_\S+$/m
      )
      assert.include(words, "CyclesClient.layerConfig()")
      const again = yield* json("init acme --usd 99")
      assert.strictEqual(again["budget"].allocated.amount, 2_500_000_000)
      assert.strictEqual(again["env"].CYCLES_API_KEY, again["key"].key_secret)
      assert.strictEqual((yield* json("key list"))["keys"].length, 2)
    }).pipe(Effect.scoped))

  it.live("says whose, where it cannot know", () =>
    Effect.gen(function*() {
      const { json, run } = yield* onStore
      assert.include((yield* run("balances")).err.join(), "cycles init")
      yield* json("tenant create acme")
      yield* json("tenant create other")
      const several = yield* run("balances")
      assert.strictEqual(several.code, 2)
      assert.include(several.err.join(), "--tenant")
      assert.strictEqual((yield* run("balances --tenant acme")).code, 0)
    }).pipe(Effect.scoped))
})
