/**
 * What governing must be like, whatever store a ledger keeps its rows in: tenants and what their status means, API keys, budgets,
 * policies, permissions, and the audit.
 *
 * **Example** (The store in memory)
 *
 * ```ts
 * import { GovernanceConformance } from "@effect-cycles/testing"
 * import { LedgerStoreMemory } from "effect-cycles"
 *
 * const layer: GovernanceConformance.StoreLayer = LedgerStoreMemory.layer
 *
 * // In a test file: GovernanceConformance.suite("a store in memory", layer)
 * console.log(typeof layer) // => "object"
 * ```
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import type { CyclesError } from "effect-cycles"
import { Action, Amount, Governance, Ledger, LedgerStore, Permission, Window } from "effect-cycles"
import * as EventQuery from "effect-cycles/ledger/EventQuery"
import { Missing, View } from "effect-cycles/ledger/View"
import type { BalancesPage } from "effect-cycles/protocol/Balance"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { Cursor, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import { RequestContext } from "effect-cycles/protocol/RequestContext"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

/**
 * A fresh, empty store whenever it is built. It takes its time from Effect's clock, which stands still in the tests.
 *
 * @category models
 * @since 0.1.0
 */
export type StoreLayer = Layer.Layer<LedgerStore.LedgerStore, unknown>

const pepper = Redacted.make("a pepper of thirty-two characters or more")
const older = Redacted.make("another pepper of thirty-two characters")
const DAY_MS = 86_400_000

const action = Action.make("tool.call", "search")
const acme = "tenant:acme"
const eng = { workspace: "eng", agent: "writer" }
const engPath = `${acme}/workspace:eng/agent:writer`

const k = (key: string) => IdempotencyKey.make(key)
const reserve = (authority: Operations, key: string, subject: Subject = eng, amount = 10) =>
  authority.reserve({ idempotencyKey: k(key), subject, action, estimate: Amount.tokens(amount) })
const idOf = (reply: { readonly reservationId?: ReservationId }): ReservationId => {
  if (reply.reservationId === undefined) return assert.fail("there is no reservation")
  return reply.reservationId
}

/** The tenant acme with a budget of 1,000 tokens, and an operator. */
const setup = Effect.gen(function*() {
  const governance = yield* Governance.Governance
  const ledger = yield* Ledger.Ledger
  const operator = governance.asOperator({ actor: "ops" })
  yield* operator.createTenant("acme", { name: "Acme" })
  yield* operator.createBudget("acme", { scope: acme, allocated: Amount.tokens(1_000) })
  return { governance, ledger, operator, authority: ledger.as({ tenant: "acme", balances: true }) }
})

const failure = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: (error) => error._tag, onSuccess: () => "Success" })

/** A ledger of its own and its governance. The sweeper stays out of the way. */
const governed = (store: StoreLayer) =>
  Governance.layer({ peppers: [pepper] }).pipe(
    Layer.provideMerge(Ledger.layer({ sweepEveryMs: 1_000 * DAY_MS })),
    Layer.provideMerge(store)
  )

/** A store whose transactions are not what they would be. */
const changed = (
  store: StoreLayer,
  transact: (own: LedgerStore.Operations) => LedgerStore.Operations["transact"]
): StoreLayer =>
  Layer.effect(
    LedgerStore.LedgerStore,
    Effect.map(LedgerStore.LedgerStore, (own) => ({ ...own, transact: transact(own) }))
  ).pipe(Layer.provide(store))

/**
 * Runs the suite over a store.
 *
 * @category suites
 * @since 0.1.0
 */
export const suite = (name: string, store: StoreLayer): void => {
  const layer = governed(store)
  /** The same on a store that gives way before it begins, so that what comes together waits and is one transaction. */
  const slow = governed(
    changed(store, (own) => (tenants, body) => Effect.andThen(Effect.yieldNow, own.transact(tenants, body)))
  )

  /** The same on a store that loses the answer of the next transaction when it is told to. */
  let isLost = false
  const forgetful = governed(
    changed(store, (own) => (tenants, body) =>
      Effect.flatMap(own.transact(tenants, body), (answer) => {
        if (!isLost) return Effect.succeed(answer)
        isLost = false
        return Effect.fail(new LedgerStore.StoreError({ outcome: "unknown", cause: "the answer was lost" }))
      }))
  )

  describe(`${name}: a tenant`, () => {
    it.effect("is registered once, changed, listed and read", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        assert.deepInclude(yield* operator.tenant("acme"), { tenant: "acme", name: "Acme", status: "ACTIVE" })
        assert.strictEqual((yield* operator.createTenant("acme", { name: "Acme" })).name, "Acme")
        const other = yield* Effect.flip(operator.createTenant("acme", { name: "Other" }))
        assert.deepInclude(other, { _tag: "InvalidRequest", field: "tenant" })
        yield* operator.createTenant("beta", { name: "Beta", parent: "acme" })
        yield* TestClock.adjust(5)
        const changed = yield* operator.updateTenant("beta", {
          name: "Beta two",
          defaultTtlMs: 5_000,
          maxTtlMs: 60_000,
          maxExtensions: 0,
          expiryPolicy: "GRACE_ONLY",
          overagePolicy: "REJECT",
          metadata: { team: "b" }
        })
        assert.deepStrictEqual(changed, {
          tenant: "beta",
          name: "Beta two",
          status: "ACTIVE",
          parent: "acme",
          overagePolicy: "REJECT",
          defaultTtlMs: 5_000,
          maxTtlMs: 60_000,
          maxExtensions: 0,
          expiryPolicy: "GRACE_ONLY",
          metadata: { team: "b" },
          createdAtMs: 0,
          updatedAtMs: 5,
          suspendedAtMs: undefined,
          closedAtMs: undefined
        })
        assert.deepStrictEqual(yield* operator.tenant("beta"), changed)
        assert.strictEqual((yield* operator.updateTenant("beta", { parent: null })).parent, undefined)
        yield* operator.updateTenant("beta", { parent: "acme" })
        yield* operator.suspendTenant("beta")
        const names = (options?: Parameters<typeof operator.tenants>[0]) =>
          Effect.map(operator.tenants(options), (tenants) => tenants.map(({ tenant }) => tenant))
        assert.deepStrictEqual(yield* names(), ["acme", "beta"])
        assert.deepStrictEqual(yield* names({ limit: 1 }), ["acme"])
        assert.deepStrictEqual(yield* names({ after: "acme" }), ["beta"])
        assert.deepStrictEqual(yield* names({ status: "SUSPENDED" }), ["beta"])
        assert.deepStrictEqual(yield* names({ parent: "acme" }), ["beta"])
        assert.deepStrictEqual(yield* names({ parent: "beta" }), [])
      }).pipe(Effect.provide(layer)))

    it.effect("that is not registered keeps its budgets, and is on no list", () =>
      Effect.gen(function*() {
        const { ledger, operator } = yield* setup
        yield* ledger.createBudget("wild", { scope: "tenant:wild", allocated: Amount.tokens(10) })
        yield* reserve(ledger.as({ tenant: "wild" }), "a", { agent: "x" })
        assert.deepStrictEqual((yield* operator.tenants()).map(({ tenant }) => tenant), ["acme"])
        for (const act of [operator.tenant, operator.suspendTenant, operator.closeTenant]) {
          assert.deepInclude(yield* Effect.flip(act("wild")), { _tag: "NotFound" })
        }
        assert.strictEqual(yield* failure(operator.createApiKey("wild", { name: "k" })), "NotFound")
      }).pipe(Effect.provide(layer)))

    it.effect("is nowhere above itself, and its parent is there", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const field = (effect: Effect.Effect<unknown, CyclesError.CyclesError>) =>
          Effect.match(effect, {
            onFailure: (error) => error._tag === "InvalidRequest" ? error.field : error._tag,
            onSuccess: () => "Success"
          })
        assert.strictEqual(yield* field(operator.createTenant("lost", { name: "l", parent: "nobody" })), "parent")
        assert.strictEqual(yield* failure(operator.tenant("lost")), "NotFound")
        yield* operator.createTenant("one", { name: "1", parent: "acme" })
        yield* operator.createTenant("two", { name: "2", parent: "one" })
        assert.strictEqual(yield* field(operator.updateTenant("acme", { parent: "acme" })), "parent")
        assert.strictEqual(yield* field(operator.updateTenant("acme", { parent: "one" })), "parent")
        assert.strictEqual(yield* field(operator.updateTenant("acme", { parent: "two" })), "parent")
        yield* operator.closeTenant("two")
        assert.strictEqual(yield* field(operator.updateTenant("acme", { parent: "two" })), "parent")
        assert.strictEqual((yield* operator.tenant("acme")).parent, undefined)
      }).pipe(Effect.provide(layer)))

    it.effect("is never above itself, however its parents are changed at the same time", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const names = ["aa1", "bb2", "cc3"]
        for (const name of names) yield* operator.createTenant(name, { name })
        yield* Effect.forEach(
          names.flatMap((name) => names.map((parent) => [name, parent] as const)),
          ([name, parent]) => Effect.exit(operator.updateTenant(name, { parent })),
          { concurrency: "unbounded" }
        )
        for (const name of names) {
          let steps = 0
          for (let at: string | undefined = name; at !== undefined; at = (yield* operator.tenant(at)).parent) {
            assert.isBelow(steps++, 4)
          }
        }
      }).pipe(Effect.provide(slow)))

    it.effect("is refused where it is not well formed, by the name of the field", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const wrong: ReadonlyArray<readonly [string, Effect.Effect<unknown, CyclesError.CyclesError>]> = [
          ["tenant", operator.createTenant("AB", { name: "x" })],
          ["tenant", operator.createTenant("a_b_c", { name: "x" })],
          ["tenant", operator.createTenant("not a name", { name: "x" })],
          ["name", operator.createTenant("abc", { name: "" })],
          ["name", operator.updateTenant("acme", { name: "x".repeat(257) })],
          ["defaultTtlMs", operator.updateTenant("acme", { defaultTtlMs: 999 })],
          ["maxTtlMs", operator.updateTenant("acme", { maxTtlMs: DAY_MS + 1 })],
          ["maxExtensions", operator.updateTenant("acme", { maxExtensions: -1 })],
          ["metadata.a", operator.updateTenant("acme", { metadata: { a: 1 } })]
        ]
        const before = yield* operator.tenant("acme")
        for (const [field, effect] of wrong) {
          assert.deepInclude(yield* Effect.flip(effect), { _tag: "InvalidRequest", field })
        }
        assert.deepStrictEqual(yield* operator.tenant("acme"), before)
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: a suspended tenant`, () => {
    it.effect("gets no new holds, and settles those it has", () =>
      Effect.gen(function*() {
        const { authority, operator } = yield* setup
        const [a, b, c] = [
          idOf(yield* reserve(authority, "a")),
          idOf(yield* reserve(authority, "b")),
          idOf(yield* reserve(authority, "c"))
        ]
        assert.strictEqual((yield* operator.suspendTenant("acme")).status, "SUSPENDED")
        const refusal = yield* Effect.flip(reserve(authority, "d"))
        assert.deepInclude(refusal, { _tag: "Forbidden" })
        assert.include(refusal.message, "suspended")
        const estimate = Amount.tokens(1)
        assert.deepInclude(yield* authority.decide({ idempotencyKey: k("q"), subject: eng, action, estimate }), {
          decision: "DENY",
          reasonCode: "TENANT_SUSPENDED"
        })
        assert.deepInclude(
          yield* authority.reserve({ idempotencyKey: k("dry"), subject: eng, action, estimate, dryRun: true }),
          { decision: "DENY", reasonCode: "TENANT_SUSPENDED" }
        )
        const event = authority.event({ idempotencyKey: k("e"), subject: eng, action, actual: estimate })
        assert.strictEqual(yield* failure(event), "Forbidden")
        assert.strictEqual(
          yield* failure(operator.createBudget("acme", { scope: engPath, allocated: estimate })),
          "Forbidden"
        )
        assert.strictEqual(yield* failure(operator.createApiKey("acme", { name: "k" })), "Forbidden")
        assert.strictEqual(idOf(yield* reserve(authority, "a")), a)
        yield* authority.extend(a, { idempotencyKey: k("x"), extendByMs: 1_000 })
        yield* authority.commit(a, { idempotencyKey: k("s"), actual: Amount.tokens(3) })
        yield* authority.release(b, { idempotencyKey: k("r") })
        assert.strictEqual((yield* operator.reactivateTenant("acme")).status, "ACTIVE")
        yield* reserve(authority, "d")
        yield* authority.release(c, { idempotencyKey: k("r2") })
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: a closed tenant`, () => {
    const closing = Effect.gen(function*() {
      const all = yield* setup
      const { authority, operator } = all
      const day = { _tag: "calendar", every: "day", timeZone: "UTC" } as const
      yield* operator.createBudget("acme", {
        scope: engPath,
        allocated: Amount.tokens(500),
        limits: [{ id: "daily", window: day, amount: Amount.tokens(100) }]
      })
      const policy = yield* operator.createPolicy("acme", { name: "p", scopePattern: acme })
      yield* operator.createBudget("acme", {
        scope: `${acme}/agent:frozen`,
        allocated: Amount.usd(1),
        status: "FROZEN"
      })
      const { key, secret } = yield* operator.createApiKey("acme", { name: "k" })
      const principal = yield* all.governance.authenticate(secret)
      const revoked = (yield* operator.createApiKey("acme", { name: "gone" })).key.id
      yield* operator.revokeApiKey("acme", revoked, { reason: "leaked" })
      const open = [
        idOf(yield* reserve(authority, "a")),
        idOf(yield* reserve(authority, "a2")),
        idOf(yield* reserve(authority, "b", { agent: "z" }, 7))
      ]
      const settled = idOf(yield* reserve(authority, "c"))
      yield* authority.commit(settled, { idempotencyKey: k("c"), actual: Amount.tokens(4) })
      const late = idOf(yield* reserve(authority, "late"))
      yield* authority.release(late, { idempotencyKey: k("late"), reason: "not needed" })
      yield* operator.closeTenant("acme")
      return { ...all, key, policy, principal, revoked, secret, open, settled, late }
    })

    it.effect("has returned every hold once, closed its budgets and revoked its keys", () =>
      Effect.gen(function*() {
        const { governance, key, ledger, open, operator, revoked, secret } = yield* closing
        const entries = yield* ledger.entries("acme")
        const released = entries.filter(({ kind }) => kind === "RELEASE")
        assert.deepStrictEqual(
          released.map(({ reason, reservationId }) => [reservationId, reason]).slice(1),
          [...open].sort().map((id) => [id, "tenant_closed"])
        )
        assert.strictEqual(released[0]?.reason, "not needed")
        const budgets = yield* operator.budgets("acme")
        assert.strictEqual(budgets.length, 3)
        for (const { balance, status } of budgets) {
          assert.strictEqual(status, "CLOSED")
          assert.strictEqual(balance.reserved?.amount, 0n)
        }
        assert.strictEqual(budgets.find(({ balance }) => balance.scope === acme)?.balance.spent?.amount, 4n)
        assert.deepInclude(yield* operator.apiKey("acme", key.id), {
          status: "REVOKED",
          revokedReason: "tenant_closed"
        })
        assert.deepInclude(yield* operator.apiKey("acme", revoked), { revokedReason: "leaked" })
        assert.deepInclude(yield* Effect.flip(governance.authenticate(secret)), { _tag: "Unauthorized" })
        const [limit] = yield* operator.limits("acme", { scope: engPath, unit: "TOKENS" })
        assert.deepStrictEqual([limit?.held.amount, limit?.used.amount], [0n, 4n])
        assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
        assert.deepInclude(yield* operator.tenant("acme"), { status: "CLOSED", closedAtMs: 0 })
      }).pipe(Effect.provide(layer)))

    it.effect("tells of everything that was ended", () =>
      Effect.gen(function*() {
        const { key, open, operator } = yield* closing
        const store = yield* LedgerStore.LedgerStore
        const events = yield* store.transact(["acme"], (tx) => tx.events("acme", 0, 1_000))
        const count = (type: string) => events.filter((event) => event.type === type).length
        assert.strictEqual(count("budget.closed_via_tenant_cascade"), 3)
        assert.strictEqual(count("reservation.released_via_tenant_cascade"), 2)
        assert.strictEqual(count("api_key.revoked_via_tenant_cascade"), 1)
        assert.strictEqual(count("tenant.closed"), 1)
        const drained = events.filter(({ type }) => type === "reservation.released_via_tenant_cascade")
        assert.deepStrictEqual(
          drained.map(({ details, scope }) => [scope, details["released_amount"]]).sort(),
          [[acme, 27n], [engPath, 20n]]
        )
        const acts = yield* operator.acts("acme")
        const about = (operation: string) =>
          acts.filter((act) => act.operation === operation).map(({ resourceId }) => resourceId)
        assert.deepStrictEqual(about("reservation.released_via_tenant_cascade"), [...open].sort())
        assert.strictEqual(about("budget.closed_via_tenant_cascade").length, 3)
        assert.deepStrictEqual(about("api_key.revoked_via_tenant_cascade"), [key.id])
        assert.deepStrictEqual(about("closeTenant"), ["acme"])
        yield* operator.closeTenant("acme")
        assert.deepStrictEqual(yield* operator.acts("acme"), acts)
        assert.deepStrictEqual(yield* store.transact(["acme"], (tx) => tx.events("acme", 0, 1_000)), events)
      }).pipe(Effect.provide(layer)))

    it.effect("takes no change, answers what it has answered, and can be read", () =>
      Effect.gen(function*() {
        const { authority, key, late, ledger, open, operator, policy, principal, settled } = yield* closing
        const [first] = open
        if (first === undefined) return assert.fail("nothing was open")
        const one = Amount.tokens(1)
        const name = { scope: acme, unit: "TOKENS" } as const
        const before = (yield* ledger.entries("acme")).length
        const changes: ReadonlyArray<Effect.Effect<unknown, CyclesError.CyclesError>> = [
          reserve(authority, "new"),
          authority.commit(first, { idempotencyKey: k("1"), actual: one }),
          authority.release(first, { idempotencyKey: k("2") }),
          authority.extend(first, { idempotencyKey: k("3"), extendByMs: 1_000 }),
          authority.commit(settled, { idempotencyKey: k("4"), actual: one }),
          authority.release(late, { idempotencyKey: k("5") }),
          authority.event({ idempotencyKey: k("6"), subject: eng, action, actual: one }),
          operator.createBudget("acme", { scope: `${acme}/agent:new`, allocated: one }),
          operator.fund("acme", { idempotencyKey: k("7"), scope: acme, operation: "CREDIT", amount: one }),
          operator.updateBudget("acme", { ...name, overdraftLimit: one }),
          operator.freezeBudget("acme", name),
          operator.unfreezeBudget("acme", name),
          operator.closeBudget("acme", name),
          operator.createPolicy("acme", { name: "q", scopePattern: acme }),
          operator.updatePolicy("acme", policy.id, { priority: 1 }),
          operator.deletePolicy("acme", policy.id),
          operator.createApiKey("acme", { name: "k" }),
          operator.updateApiKey("acme", key.id, { name: "x" }),
          operator.revokeApiKey("acme", key.id),
          operator.rotateApiKey("acme", key.id),
          operator.updateTenant("acme", { name: "x" }),
          operator.suspendTenant("acme"),
          operator.reactivateTenant("acme")
        ]
        assert.deepStrictEqual(
          yield* Effect.forEach(changes, failure),
          changes.map(() => "TenantClosed")
        )
        const denied = { decision: "DENY", reasonCode: "TENANT_CLOSED" } as const
        assert.deepInclude(
          yield* authority.decide({ idempotencyKey: k("8"), subject: eng, action, estimate: one }),
          denied
        )
        const dry = { idempotencyKey: k("9"), subject: eng, action, estimate: one, dryRun: true }
        assert.deepInclude(yield* authority.reserve(dry), denied)
        const usd = { ...dry, idempotencyKey: k("10"), estimate: Amount.usd(1), subject: { agent: "nobody" } }
        assert.deepInclude(yield* authority.reserve(usd), denied)
        assert.strictEqual((yield* ledger.entries("acme")).length, before)

        assert.deepInclude(yield* reserve(authority, "a"), { reservationId: first, remainingTtlMs: 0 })
        const commit = authority.commit(settled, { idempotencyKey: k("c"), actual: Amount.tokens(4) })
        assert.deepInclude(yield* commit, { status: "COMMITTED" })
        const other = authority.commit(settled, { idempotencyKey: k("c"), actual: Amount.tokens(5) })
        assert.strictEqual(yield* failure(other), "IdempotencyMismatch")
        assert.deepInclude(yield* authority.release(late, { idempotencyKey: k("late"), reason: "not needed" }), {
          status: "RELEASED"
        })

        assert.deepInclude(yield* authority.reservation(first), { status: "RELEASED" })
        assert.strictEqual((yield* authority.reservations({})).reservations.length, 5)
        assert.strictEqual((yield* authority.balances({ tenant: "acme" })).balances.length, 3)
        assert.strictEqual(yield* failure(reserve(ledger.as(principal), "a")), "Unauthorized")
      }).pipe(Effect.provide(layer)))

    it.effect("has returned the holds that were given in the very transaction that closed it", () =>
      Effect.gen(function*() {
        const { authority, ledger, operator } = yield* setup
        const together: ReadonlyArray<Effect.Effect<unknown, CyclesError.CyclesError>> = [
          operator.tenant("acme"),
          operator.createBudget("acme", { scope: engPath, allocated: Amount.tokens(10) }),
          reserve(authority, "a"),
          reserve(authority, "b"),
          operator.createApiKey("acme", { name: "k" }),
          operator.closeTenant("acme"),
          reserve(authority, "c")
        ]
        yield* Effect.forEach(together, Effect.exit, { concurrency: "unbounded" })
        const { reservations } = yield* authority.reservations({})
        for (const { status } of reservations) assert.strictEqual(status, "RELEASED")
        assert.isAbove(reservations.length, 0)
        for (const { balance, status } of yield* operator.budgets("acme")) {
          assert.deepStrictEqual([status, balance.reserved?.amount], ["CLOSED", 0n])
        }
        for (const { status } of yield* operator.apiKeys("acme")) assert.strictEqual(status, "REVOKED")
        assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
      }).pipe(Effect.provide(slow)))

    it.effect.prop(
      "has ended every hold once, whenever it was closed",
      [Schema.Array(Schema.Literals(["reserve", "commit", "release", "extend", "event", "wait", "close"]))],
      ([steps]) =>
        Effect.gen(function*() {
          const { authority, ledger, operator } = yield* setup
          const open: Array<ReservationId> = []
          let n = 0
          for (const step of [...steps, "close"] as const) {
            const key = k(`k${n++}`)
            const id = open[0]
            switch (step) {
              case "reserve": {
                const reply = yield* Effect.option(reserve(authority, key))
                if (reply._tag === "Some") open.push(idOf(reply.value))
                break
              }
              case "commit":
                if (id !== undefined) {
                  yield* Effect.exit(authority.commit(id, { idempotencyKey: key, actual: Amount.tokens(12) }))
                }
                open.shift()
                break
              case "release":
                if (id !== undefined) yield* Effect.exit(authority.release(id, { idempotencyKey: key }))
                open.shift()
                break
              case "extend":
                if (id !== undefined) {
                  yield* Effect.exit(authority.extend(id, { idempotencyKey: key, extendByMs: 9_000 }))
                }
                break
              case "event":
                yield* Effect.exit(
                  authority.event({ idempotencyKey: key, subject: eng, action, actual: Amount.tokens(3) })
                )
                break
              case "wait":
                yield* TestClock.adjust(40_000)
                break
              case "close":
                yield* operator.closeTenant("acme")
                break
            }
          }
          const ends = new Map<string, number>()
          for (const { kind, reservationId } of yield* ledger.entries("acme")) {
            if (reservationId === undefined || kind === "RESERVE" || kind === "EXTEND") continue
            ends.set(reservationId, (ends.get(reservationId) ?? 0) + 1)
          }
          for (const { reservationId } of (yield* authority.reservations({ limit: 200 })).reservations) {
            assert.strictEqual(ends.get(reservationId), 1)
          }
          for (const { balance } of yield* operator.budgets("acme")) assert.strictEqual(balance.reserved?.amount, 0n)
          assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
        }).pipe(Effect.provide(layer)),
      { arbitrary: { runs: 60 } }
    )
  })

  describe(`${name}: an API key`, () => {
    it.effect("stands for its tenant, with what it may do", () =>
      Effect.gen(function*() {
        const { governance, ledger, operator } = yield* setup
        const { key, secret } = yield* operator.createApiKey("acme", {
          name: "reader",
          permissions: ["balances:read"],
          scopeFilter: ["workspace:eng"]
        })
        assert.match(Redacted.value(secret), /^cyc_live_[0-9a-f]{24}_[0-9a-f]{64}$/)
        assert.notInclude(String(secret), "cyc_live")
        assert.isTrue(Redacted.value(secret).startsWith(`${key.prefix}_`))
        const principal = yield* governance.authenticate(secret)
        assert.deepStrictEqual(principal, {
          tenant: "acme",
          actor: key.id,
          keyId: key.id,
          permissions: new Set<Permission.Permission>(["balances:read"]),
          scopeFilter: ["workspace:eng"]
        })
        const authority = ledger.as(principal)
        const refusal = yield* Effect.flip(reserve(authority, "a"))
        assert.deepInclude(refusal, { _tag: "Forbidden", reason: "the permission reservations:create is missing" })
        assert.deepStrictEqual((yield* authority.balances({ tenant: "acme" })).balances, [])
      }).pipe(Effect.provide(layer)))

    it.effect("is shown without its secret, and kept without it", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const store = yield* LedgerStore.LedgerStore
        const { key, secret } = yield* operator.createApiKey("acme", { name: "k" })
        assert.deepStrictEqual(yield* operator.apiKeys("acme"), [key])
        assert.deepStrictEqual(yield* operator.apiKey("acme", key.id), key)
        assert.deepStrictEqual(key.permissions, Permission.defaults)
        assert.strictEqual(key.expiresAtMs, 90 * DAY_MS)
        const random = Redacted.value(secret).slice(-64)
        const row = yield* store.find("api_key", key.id)
        for (const shown of [row, key, yield* operator.acts("acme")]) {
          assert.notInclude(Formatter.format(shown), random)
        }
        if (row?._tag !== "api_key") return assert.fail("the key was not kept")
        assert.notInclude(Formatter.format([key, yield* operator.acts("acme")]), row.hash)
      }).pipe(Effect.provide(layer)))

    it.effect("that is unknown, misspelt or wrong is refused in the same words", () =>
      Effect.gen(function*() {
        const { governance, operator } = yield* setup
        const { secret } = yield* operator.createApiKey("acme", { name: "k" })
        const text = Redacted.value(secret)
        const last = text.endsWith("0") ? "1" : "0"
        const wrong = [
          "",
          "nonsense",
          text.slice(0, -1),
          `${text} `,
          text.slice(0, -1) + last,
          text.replace(/_[0-9a-f]{24}_/, `_${"0".repeat(24)}_`),
          text.toUpperCase()
        ]
        const errors = yield* Effect.forEach(
          wrong,
          (guess) => Effect.flip(governance.authenticate(Redacted.make(guess)))
        )
        for (const error of errors) {
          assert.deepInclude(error, { _tag: "Unauthorized", reason: "the key is not known" })
          assert.strictEqual(error.message, errors[0]?.message)
        }
        yield* governance.authenticate(secret)
      }).pipe(Effect.provide(layer)))

    it.effect("binds at once: what is revoked, expired or taken away between two operations is gone in the second", () =>
      Effect.gen(function*() {
        const { governance, ledger, operator } = yield* setup
        const { key, secret } = yield* operator.createApiKey("acme", { name: "k" })
        const principal = yield* governance.authenticate(secret)
        const authority = ledger.as(principal)
        const held = idOf(yield* reserve(authority, "a"))
        yield* operator.updateApiKey("acme", key.id, { permissions: ["reservations:commit", "reservations:list"] })
        assert.deepInclude(yield* Effect.flip(reserve(authority, "b")), {
          _tag: "Forbidden",
          reason: "the permission reservations:create is missing"
        })
        assert.strictEqual(yield* failure(authority.balances({ tenant: "acme" })), "Forbidden")
        yield* operator.updateApiKey("acme", key.id, { scopeFilter: ["workspace:ops"] })
        assert.strictEqual(yield* failure(authority.reservation(held)), "Forbidden")
        assert.deepStrictEqual((yield* authority.reservations({})).reservations, [])
        yield* operator.updateApiKey("acme", key.id, { scopeFilter: [], permissions: Permission.defaults })
        yield* reserve(authority, "b")
        assert.deepInclude(yield* operator.revokeApiKey("acme", key.id, { reason: "leaked" }), {
          status: "REVOKED",
          revokedReason: "leaked"
        })
        assert.strictEqual(yield* failure(reserve(authority, "c")), "Unauthorized")
        assert.strictEqual(yield* failure(reserve(authority, "a")), "Unauthorized")
        const commit = { idempotencyKey: k("x"), actual: Amount.tokens(1) }
        assert.strictEqual(yield* failure(authority.commit(held, commit)), "Unauthorized")
        assert.strictEqual(yield* failure(authority.balances({ tenant: "acme" })), "Unauthorized")
        assert.strictEqual(yield* failure(governance.authenticate(secret)), "Unauthorized")
        yield* ledger.as({ tenant: "acme" }).commit(held, commit)
        assert.strictEqual(yield* failure(operator.updateApiKey("acme", key.id, { name: "x" })), "InvalidRequest")

        const short = yield* operator.createApiKey("acme", { name: "short", expiresAtMs: 5_000 })
        const brief = ledger.as(yield* governance.authenticate(short.secret))
        yield* TestClock.adjust(4_999)
        yield* reserve(brief, "d")
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* failure(reserve(brief, "e")), "Unauthorized")
        assert.strictEqual(yield* failure(governance.authenticate(short.secret)), "Unauthorized")
        assert.deepInclude(yield* operator.apiKey("acme", short.key.id), { status: "EXPIRED" })
        const past = operator.createApiKey("acme", { name: "past", expiresAtMs: 5_000 })
        assert.deepInclude(yield* Effect.flip(past), { _tag: "InvalidRequest", field: "expiresAtMs" })
      }).pipe(Effect.provide(layer)))

    it.effect("of another tenant, or of none, is no key", () =>
      Effect.gen(function*() {
        const { ledger, operator } = yield* setup
        yield* operator.createTenant("beta", { name: "Beta" })
        const { key } = yield* operator.createApiKey("beta", { name: "k" })
        assert.strictEqual(yield* failure(reserve(ledger.as({ tenant: "acme", keyId: key.id }), "a")), "Unauthorized")
        assert.strictEqual(
          yield* failure(reserve(ledger.as({ tenant: "acme", keyId: "key_none" }), "a")),
          "Unauthorized"
        )
        assert.strictEqual(yield* failure(operator.revokeApiKey("acme", key.id)), "NotFound")
        assert.strictEqual(yield* failure(operator.apiKey("acme", key.id)), "NotFound")
      }).pipe(Effect.provide(layer)))

    it.effect("lets nothing through after its revocation, whatever is under way", () =>
      Effect.gen(function*() {
        const { governance, ledger, operator } = yield* setup
        const { key, secret } = yield* operator.createApiKey("acme", { name: "k" })
        const authority = ledger.as(yield* governance.authenticate(secret))
        const fibers = yield* Effect.forEach(Array.from({ length: 60 }, (_, i) => i), (i) =>
          Effect.forkChild(
            i === 30
              ? Effect.as(operator.revokeApiKey("acme", key.id), "revoked")
              : failure(reserve(authority, `k${i}`, eng, 1))
          ))
        const outcomes = yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber))
        const at = (outcome: string) => outcomes.flatMap((one, i) => one === outcome ? [i] : [])
        assert.deepStrictEqual(at("revoked"), [30])
        assert.isTrue(at("Success").every((i) => i < 30), String(at("Success")))
        assert.deepStrictEqual(at("Unauthorized").filter((i) => i > 30).length, 29)
        const { balances } = yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
        assert.strictEqual(balances[0]?.reserved?.amount, BigInt(at("Success").length))
      }).pipe(Effect.provide(slow)))

    it.effect("is replaced by one of the same rights, at once or after an overlap", () =>
      Effect.gen(function*() {
        const { governance, operator } = yield* setup
        const made = yield* operator.createApiKey("acme", {
          name: "k",
          permissions: ["balances:read"],
          expiresAtMs: 60_000
        })
        yield* TestClock.adjust(1_000)
        const next = yield* operator.rotateApiKey("acme", made.key.id, { overlapMs: 10_000 })
        assert.notStrictEqual(next.key.id, made.key.id)
        assert.deepInclude(next.key, { name: "k", permissions: ["balances:read"], expiresAtMs: 61_000 })
        yield* governance.authenticate(made.secret)
        yield* governance.authenticate(next.secret)
        yield* TestClock.adjust(10_000)
        assert.strictEqual(yield* failure(governance.authenticate(made.secret)), "Unauthorized")
        const last = yield* operator.rotateApiKey("acme", next.key.id)
        assert.strictEqual(yield* failure(governance.authenticate(next.secret)), "Unauthorized")
        yield* governance.authenticate(last.secret)
        assert.strictEqual(yield* failure(operator.rotateApiKey("acme", next.key.id)), "InvalidRequest")
      }).pipe(Effect.provide(layer)))

    it.effect("outlives the pepper it was made under, as long as that is among the older ones", () =>
      Effect.gen(function*() {
        const store = yield* LedgerStore.LedgerStore
        const under = (peppers: Governance.Options["peppers"]) =>
          Governance.make({ peppers }).pipe(
            Effect.provideServiceEffect(Ledger.Ledger, Ledger.make()),
            Effect.provideService(LedgerStore.LedgerStore, store)
          )
        const first = yield* under([older])
        yield* first.asOperator({ actor: "ops" }).createTenant("acme", { name: "Acme" })
        const { secret } = yield* first.asOperator({ actor: "ops" }).createApiKey("acme", { name: "k" })
        yield* (yield* under([pepper, older])).authenticate(secret)
        assert.strictEqual(yield* failure((yield* under([pepper])).authenticate(secret)), "Unauthorized")
        assert.deepInclude(yield* Effect.flip(under([Redacted.make("short")])), {
          _tag: "InvalidRequest",
          field: "peppers"
        })
      }).pipe(Effect.provide(store)))

    it.effect("is refused where it is not well formed, by the name of the field", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const create = (settings: Governance.ApiKeySettings & { readonly name?: string }) =>
          Effect.flip(operator.createApiKey("acme", { name: "k", ...settings }))
        assert.deepInclude(yield* create({ name: "" }), { _tag: "InvalidRequest", field: "name" })
        assert.deepInclude(yield* create({ scopeFilter: ["team:x"] }), { _tag: "InvalidRequest", field: "scopeFilter" })
        assert.deepInclude(yield* create({ description: "x".repeat(1_025) }), { field: "description" })
        // A word that came from outside.
        const permissions = ["reservations:everything"] as unknown as ReadonlyArray<Permission.Permission>
        assert.deepInclude(yield* create({ permissions }), { field: "permissions.0" })
        assert.deepStrictEqual(yield* operator.apiKeys("acme"), [])
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: a scope filter`, () => {
    it.effect("holds for holds, by id and in lists", () =>
      Effect.gen(function*() {
        const { authority: all, ledger, operator } = yield* setup
        yield* operator.createBudget("acme", { scope: engPath, allocated: Amount.tokens(100) })
        yield* operator.createBudget("acme", { scope: `${acme}/workspace:ops`, allocated: Amount.tokens(100) })
        const filtered = ledger.as({ tenant: "acme", scopeFilter: ["workspace:eng", "agent:*"] })
        const ops = idOf(yield* reserve(all, "o", { workspace: "ops", agent: "x" }, 1))
        for (let i = 0; i < 7; i++) {
          yield* reserve(filtered, `f${i}`, eng, 1)
          yield* reserve(all, `o${i}`, { workspace: "ops" }, 1)
        }
        assert.deepInclude(yield* Effect.flip(reserve(filtered, "x", { workspace: "ops", agent: "x" })), {
          _tag: "Forbidden",
          scope: `${acme}/workspace:ops/agent:x`
        })
        assert.strictEqual(yield* failure(reserve(filtered, "y", { workspace: "eng" })), "Forbidden")
        const decide = { idempotencyKey: k("d"), subject: { agent: "x" }, action, estimate: Amount.tokens(1) }
        assert.strictEqual(yield* failure(filtered.decide(decide)), "Forbidden")
        const event = { idempotencyKey: k("e"), subject: { agent: "x" }, action, actual: Amount.tokens(1) }
        assert.strictEqual(yield* failure(filtered.event(event)), "Forbidden")
        const byId: ReadonlyArray<Effect.Effect<unknown, CyclesError.CyclesError>> = [
          filtered.reservation(ops),
          filtered.commit(ops, { idempotencyKey: k("1"), actual: Amount.tokens(1) }),
          filtered.release(ops, { idempotencyKey: k("2") }),
          filtered.extend(ops, { idempotencyKey: k("3"), extendByMs: 1_000 })
        ]
        for (const operation of byId) assert.strictEqual(yield* failure(operation), "Forbidden")

        const first = yield* filtered.reservations({ limit: 4 })
        assert.strictEqual(first.reservations.length, 4)
        assert.isTrue(first.hasMore)
        if (first.nextCursor === undefined) return assert.fail("there is no cursor")
        const second = yield* filtered.reservations({ limit: 4, cursor: first.nextCursor })
        assert.strictEqual(second.reservations.length, 3)
        assert.isFalse(second.hasMore)
        for (const { scopePath } of [...first.reservations, ...second.reservations]) {
          assert.strictEqual(scopePath, engPath)
        }
        assert.deepStrictEqual((yield* filtered.reservations({ workspace: "ops" })).reservations, [])
        const { balances } = yield* filtered.balances({ tenant: "acme" })
        assert.deepStrictEqual(balances.map(({ scope }) => scope), [engPath])
        yield* filtered.release(first.reservations[0]!.reservationId, { idempotencyKey: k("4") })
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: permissions`, () => {
    it.effect("hold for every operation of governance, and what is missing is named", () =>
      Effect.gen(function*() {
        const { governance, operator } = yield* setup
        const { key } = yield* operator.createApiKey("acme", { name: "k" })
        const policy = yield* operator.createPolicy("acme", { name: "p", scopePattern: acme })
        const name = { scope: acme, unit: "TOKENS" } as const
        const one = Amount.tokens(1)
        let idOfTry = 0
        type Try = (g: Governance.Governing) => Effect.Effect<unknown, CyclesError.CyclesError>
        const credit = { idempotencyKey: k("f"), scope: acme, operation: "CREDIT", amount: one } as const
        const operators: ReadonlyArray<readonly [Permission.Permission, Try]> = [
          ["admin:tenants:write", (g) => g.createTenant("acme", { name: "Acme" })],
          ["admin:tenants:write", (g) => g.updateTenant("acme", {})],
          ["admin:tenants:write", (g) => g.suspendTenant("acme")],
          ["admin:tenants:write", (g) => g.reactivateTenant("acme")],
          ["admin:tenants:read", (g) => g.tenant("acme")],
          ["admin:tenants:read", (g) => g.tenants()],
          ["admin:apikeys:write", (g) => g.createApiKey("acme", { name: "x" })],
          ["admin:apikeys:write", (g) => g.updateApiKey("acme", key.id, {})],
          ["admin:apikeys:read", (g) => g.apiKey("acme", key.id)],
          ["admin:apikeys:read", (g) => g.apiKeys("acme")],
          ["admin:audit:read", (g) => g.acts("acme")],
          ["admin:audit:read", (g) => Stream.runCollect(g.audit("acme"))]
        ]
        const anybody: ReadonlyArray<readonly [Permission.Permission, Try]> = [
          ["budgets:write", (g) => g.createBudget("acme", { scope: `${acme}/agent:${idOfTry++}`, allocated: one })],
          ["budgets:write", (g) => g.fund("acme", credit)],
          ["budgets:read", (g) => g.budget("acme", name)],
          ["budgets:read", (g) => g.budgets("acme")],
          ["budgets:read", (g) => g.limits("acme", name)],
          ["policies:write", (g) => g.createPolicy("acme", { name: `p${idOfTry++}`, scopePattern: acme })],
          ["policies:write", (g) => g.updatePolicy("acme", policy.id, { priority: 1 })],
          ["policies:read", (g) => g.policies("acme")],
          ["admin:budgets:write", (g) => g.updateBudget("acme", name)],
          ["admin:budgets:write", (g) => Effect.andThen(g.freezeBudget("acme", name), g.unfreezeBudget("acme", name))]
        ]
        const has = (needed: Permission.Permission) => new Set([needed])
        const hasAllBut = (needed: Permission.Permission) =>
          new Set(Permission.permissions.filter((one) => !Permission.covers(has(one), needed)))
        for (const [needed, attempt] of [...operators, ...anybody]) {
          yield* attempt(governance.asOperator({ actor: "o", permissions: has(needed) }))
          const refusal = yield* Effect.flip(
            attempt(governance.asOperator({ actor: "o", permissions: hasAllBut(needed) }))
          )
          assert.deepInclude(refusal, { _tag: "Forbidden", reason: `the permission ${needed} is missing` })
        }
        for (const [needed, attempt] of anybody) {
          yield* attempt(governance.as({ tenant: "acme", permissions: has(needed) }))
          const refusal = yield* Effect.flip(
            attempt(governance.as({ tenant: "acme", permissions: hasAllBut(needed) }))
          )
          assert.deepInclude(refusal, { _tag: "Forbidden", reason: `the permission ${needed} is missing` })
        }
        for (const [needed, attempt] of operators) {
          const refusal = yield* Effect.flip(attempt(governance.as({ tenant: "acme" })))
          assert.deepInclude(refusal, {
            _tag: "Forbidden",
            reason: `only an operator may do this, with the permission ${needed}`
          })
        }
      }).pipe(Effect.provide(layer)))

    it.effect("end at the tenant: another one is neither changed nor shown, nor told", () =>
      Effect.gen(function*() {
        const { governance, operator } = yield* setup
        yield* operator.createTenant("beta", { name: "Beta" })
        yield* operator.createBudget("beta", { scope: "tenant:beta", allocated: Amount.tokens(5) })
        const before = [yield* operator.acts("beta"), yield* operator.budgets("beta")]
        const stranger = governance.as({ tenant: "acme", actor: "stranger" })
        const name = { scope: "tenant:beta", unit: "TOKENS" } as const
        const amount = Amount.tokens(1)
        const attempts: ReadonlyArray<Effect.Effect<unknown, CyclesError.CyclesError>> = [
          stranger.createBudget("beta", { scope: "tenant:beta/agent:x", allocated: amount }),
          stranger.createBudget("acme", { scope: "tenant:beta/agent:x", allocated: amount }),
          stranger.fund("beta", { idempotencyKey: k("f"), scope: "tenant:beta", operation: "CREDIT", amount }),
          stranger.fund("acme", { idempotencyKey: k("f"), scope: "tenant:beta", operation: "CREDIT", amount }),
          stranger.updateBudget("acme", { ...name, overdraftLimit: amount }),
          stranger.freezeBudget("beta", name),
          stranger.budget("beta", name),
          stranger.budget("acme", name),
          stranger.budgets("beta")
        ]
        for (const attempt of attempts) assert.strictEqual(yield* failure(attempt), "Forbidden")
        assert.deepStrictEqual([yield* operator.acts("beta"), yield* operator.budgets("beta")], before)
        const told = (yield* operator.acts("acme")).filter(({ actor }) => actor === "stranger")
        assert.deepStrictEqual(told.map(({ errorCode }) => errorCode), Array.from({ length: 6 }, () => "FORBIDDEN"))
      }).pipe(Effect.provide(layer)))

    it.effect("of a key hold for budgets in its scopes, and are read in the transaction", () =>
      Effect.gen(function*() {
        const { governance, operator } = yield* setup
        const { key, secret } = yield* operator.createApiKey("acme", { name: "k", scopeFilter: ["workspace:eng"] })
        const own = governance.as(yield* governance.authenticate(secret))
        const scope = `${acme}/workspace:eng`
        yield* own.createBudget("acme", { scope, allocated: Amount.tokens(5) })
        yield* own.fund("acme", { idempotencyKey: k("f"), scope, operation: "CREDIT", amount: Amount.tokens(1) })
        const name = { unit: "TOKENS" } as const
        assert.strictEqual((yield* own.budget("acme", { scope, ...name })).balance.allocated?.amount, 6n)
        assert.deepStrictEqual((yield* own.budgets("acme")).map(({ balance }) => balance.scope), [scope])
        assert.strictEqual(yield* failure(own.budget("acme", { scope: acme, ...name })), "Forbidden")
        const allocated = Amount.tokens(5)
        assert.strictEqual(
          yield* failure(own.createBudget("acme", { scope: `${acme}/workspace:ops`, allocated })),
          "Forbidden"
        )
        assert.strictEqual(yield* failure(own.freezeBudget("acme", { scope, ...name })), "Forbidden")
        const far = yield* operator.createPolicy("acme", { name: "far", scopePattern: acme })
        const near = yield* own.createPolicy("acme", { name: "near", scopePattern: `${scope}/*` })
        assert.deepStrictEqual(yield* own.policies("acme", { limit: 1 }), [near])
        assert.strictEqual(yield* failure(own.updatePolicy("acme", far.id, { priority: 1 })), "Forbidden")
        assert.strictEqual(yield* failure(own.deletePolicy("acme", far.id)), "Forbidden")
        assert.strictEqual(
          yield* failure(own.createPolicy("acme", { name: "x", scopePattern: `${acme}/workspace:*` })),
          "Forbidden"
        )
        yield* own.deletePolicy("acme", near.id)
        yield* operator.updateApiKey("acme", key.id, { permissions: ["budgets:read"] })
        const credit = { idempotencyKey: k("g"), scope, operation: "CREDIT", amount: Amount.tokens(1) } as const
        assert.strictEqual(yield* failure(own.fund("acme", credit)), "Forbidden")
        yield* operator.revokeApiKey("acme", key.id)
        assert.strictEqual(yield* failure(own.budgets("acme")), "Unauthorized")
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: a budget`, () => {
    it.effect("is frozen, thawed, changed and closed, each from where it can be", () =>
      Effect.gen(function*() {
        const { authority, operator } = yield* setup
        const name = { scope: acme, unit: "TOKENS" } as const
        const held = idOf(yield* reserve(authority, "a"))
        assert.strictEqual((yield* operator.freezeBudget("acme", { ...name, reason: "look at it" })).status, "FROZEN")
        assert.strictEqual(yield* failure(operator.freezeBudget("acme", name)), "BudgetFrozen")
        const credit = { scope: acme, operation: "CREDIT", amount: Amount.tokens(1) } as const
        assert.strictEqual(yield* failure(operator.fund("acme", { ...credit, idempotencyKey: k("1") })), "BudgetFrozen")
        assert.strictEqual(yield* failure(reserve(authority, "b")), "BudgetFrozen")
        const changed = yield* operator.updateBudget("acme", {
          ...name,
          overdraftLimit: Amount.tokens(7),
          overagePolicy: "ALLOW_WITH_OVERDRAFT",
          metadata: { owner: "x" }
        })
        assert.deepInclude(changed, {
          status: "FROZEN",
          overagePolicy: "ALLOW_WITH_OVERDRAFT",
          metadata: { owner: "x" }
        })
        assert.deepStrictEqual(changed.balance.overdraftLimit, Amount.tokens(7))
        assert.deepStrictEqual(yield* operator.budget("acme", name), changed)
        assert.strictEqual((yield* operator.unfreezeBudget("acme", name)).status, "ACTIVE")
        assert.deepInclude(yield* Effect.flip(operator.unfreezeBudget("acme", name)), {
          _tag: "InvalidRequest",
          field: "status"
        })
        assert.strictEqual((yield* operator.closeBudget("acme", name)).status, "CLOSED")
        yield* authority.commit(held, { idempotencyKey: k("c"), actual: Amount.tokens(1) })
        for (const change of [operator.freezeBudget, operator.unfreezeBudget, operator.closeBudget]) {
          assert.strictEqual(yield* failure(change("acme", name)), "BudgetClosed")
        }
        assert.strictEqual(yield* failure(operator.fund("acme", { ...credit, idempotencyKey: k("2") })), "BudgetClosed")
        assert.strictEqual(
          yield* failure(operator.budget("acme", { ...name, scope: `${acme}/app:x` })),
          "BudgetNotFound"
        )
      }).pipe(Effect.provide(layer)))

    it.effect("is refused where it is not well formed; nothing changes", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const allocated = Amount.tokens(1)
        const open = (scope: string) => operator.createBudget("acme", { scope, allocated })
        const wrong: ReadonlyArray<readonly [string, Effect.Effect<unknown, CyclesError.CyclesError>]> = [
          ["scope", open(`${acme}/team:x`)],
          ["scope", open("workspace:x")],
          ["scope", open(`${acme}/agent:x/workspace:y`)],
          ["scope", open(`${acme}/agent:x y`)],
          ["scope", open("")],
          ["scope", open(acme)],
          [
            "overdraftLimit",
            operator.createBudget("acme", { scope: engPath, allocated, overdraftLimit: Amount.usd(1) })
          ],
          [
            "overdraftLimit",
            operator.updateBudget("acme", { scope: acme, unit: "TOKENS", overdraftLimit: Amount.usd(1) })
          ],
          ["reason", operator.freezeBudget("acme", { scope: acme, unit: "TOKENS", reason: "x".repeat(513) })]
        ]
        const before = yield* operator.budgets("acme")
        for (const [field, effect] of wrong) {
          const error = yield* Effect.flip(effect)
          assert.deepInclude(error, { _tag: "InvalidRequest", field })
        }
        const debit = { scope: acme, operation: "DEBIT", amount: Amount.tokens(1_001), idempotencyKey: k("d") } as const
        assert.strictEqual(yield* failure(operator.fund("acme", debit)), "BudgetExceeded")
        assert.deepStrictEqual(yield* operator.budgets("acme"), before)
      }).pipe(Effect.provide(layer)))

    it.effect("is changed once, also when the answer of the store is lost", () =>
      Effect.gen(function*() {
        const { ledger, operator } = yield* setup
        const name = { scope: acme, unit: "TOKENS" } as const
        const changes = [
          [operator.updateBudget("acme", { ...name, overdraftLimit: Amount.tokens(7) }), "ACTIVE"],
          [operator.freezeBudget("acme", name), "FROZEN"],
          [operator.unfreezeBudget("acme", name), "ACTIVE"],
          [operator.closeBudget("acme", name), "CLOSED"]
        ] as const
        for (const [change, status] of changes) {
          isLost = true
          assert.strictEqual((yield* change).status, status)
          assert.isFalse(isLost)
        }
        assert.deepStrictEqual(
          (yield* operator.acts("acme", { resourceTypes: ["budget"] })).map(({ operation }) => operation),
          ["createBudget", "updateBudget", "freezeBudget", "unfreezeBudget", "closeBudget"]
        )
        assert.lengthOf((yield* ledger.entries("acme")).filter(({ kind }) => kind === "UPDATE"), 4)
      }).pipe(Effect.provide(forgetful)))

    it.effect("is listed page by page", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        for (const agent of ["a", "b", "c"]) {
          yield* operator.createBudget("acme", { scope: `${acme}/agent:${agent}`, allocated: Amount.tokens(1) })
        }
        const first = yield* operator.budgets("acme", { limit: 2 })
        assert.deepStrictEqual(first.map(({ balance }) => balance.scope), [acme, `${acme}/agent:a`])
        const after = { scope: `${acme}/agent:a`, unit: "TOKENS" } as const
        const rest = yield* operator.budgets("acme", { after })
        assert.deepStrictEqual(rest.map(({ balance }) => balance.scope), [`${acme}/agent:b`, `${acme}/agent:c`])
        const one = yield* operator.budgets("acme", { query: { agent: "b" } })
        assert.deepStrictEqual(one.map(({ balance }) => balance.scope), [`${acme}/agent:b`])
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: the audit`, () => {
    it.effect("has every act, done or refused, once, and no reads", () =>
      Effect.gen(function*() {
        const { ledger, operator } = yield* setup
        const credit = { idempotencyKey: k("f"), scope: acme, operation: "CREDIT", amount: Amount.tokens(1) } as const
        yield* operator.fund("acme", credit)
        yield* operator.fund("acme", credit)
        yield* failure(operator.fund("acme", { ...credit, amount: Amount.tokens(2) }))
        yield* failure(operator.createBudget("acme", { scope: acme, allocated: Amount.tokens(1) }))
        yield* failure(operator.createBudget("acme", { scope: "nonsense", allocated: Amount.tokens(1) }))
        yield* operator.freezeBudget("acme", { scope: acme, unit: "TOKENS", reason: "look" })
        yield* operator.budgets("acme")
        yield* operator.tenant("acme")
        const { key } = yield* operator.createApiKey("acme", { name: "k" })
        yield* operator.revokeApiKey("acme", key.id)
        yield* ledger.fund("acme", { ...credit, idempotencyKey: k("g") }).pipe(failure)
        const acts = yield* operator.acts("acme")
        assert.deepStrictEqual(acts.map(({ errorCode, operation }) => [operation, errorCode]), [
          ["createTenant", undefined],
          ["createBudget", undefined],
          ["fundBudget", undefined],
          ["fundBudget", "IDEMPOTENCY_MISMATCH"],
          ["createBudget", "DUPLICATE_RESOURCE"],
          ["createBudget", "INVALID_REQUEST"],
          ["freezeBudget", undefined],
          ["createApiKey", undefined],
          ["revokeApiKey", undefined],
          ["fundBudget", "BUDGET_FROZEN"]
        ])
        assert.deepStrictEqual(acts.map(({ number }) => number), acts.map((_, i) => i + 1))
        assert.deepInclude(acts[2], {
          actor: "ops",
          resourceType: "budget",
          resourceId: `${acme} TOKENS`,
          tenant: "acme"
        })
        assert.deepInclude(acts[2]?.details, { operation: "CREDIT", amount: 1n, idempotency_key: "f" })
        assert.deepInclude(acts[6]?.details, { reason: "look" })
        assert.strictEqual(acts[9]?.actor, "operator")
        assert.deepStrictEqual(yield* Stream.runCollect(operator.audit("acme")), acts)
        assert.deepStrictEqual(yield* Stream.runCollect(operator.audit("acme", { after: 8 })), acts.slice(8))
        const entries = yield* ledger.entries("acme")
        assert.strictEqual(entries.find(({ kind }) => kind === "UPDATE")?.reason, "look")
      }).pipe(Effect.provide(layer)))

    it.effect("is asked by operation, resource, actor, code, time, trace and request, and goes on from any act", () =>
      Effect.gen(function*() {
        const { governance, operator } = yield* setup
        const traced = Effect.provideService(RequestContext, { requestId: "r-1", traceId: "a".repeat(32) })
        yield* TestClock.adjust(1_000)
        const other = governance.asOperator({ actor: "other" })
        yield* traced(other.createBudget("acme", { scope: engPath, allocated: Amount.tokens(5) }))
        const { key } = yield* operator.createApiKey("acme", { name: "k" })
        yield* TestClock.adjust(1_000)
        yield* failure(operator.createBudget("acme", { scope: acme, allocated: Amount.tokens(5) }))
        const own = governance.as({ tenant: "acme", actor: key.id })
        yield* own.freezeBudget("acme", { scope: acme, unit: "TOKENS" })
        yield* failure(own.createBudget("acme", { scope: "nonsense", allocated: Amount.tokens(1) }))
        const cases: ReadonlyArray<readonly [Governance.AuditQuery, ReadonlyArray<number>]> = [
          [{}, [1, 2, 3, 4, 5, 6, 7]],
          [{ operations: ["createBudget"] }, [2, 3, 5, 7]],
          [{ operations: ["createApiKey", "freezeBudget"] }, [4, 6]],
          [{ resourceTypes: ["tenant", "api_key"] }, [1, 4]],
          [{ resourceId: `${acme} TOKENS` }, [2, 5, 6]],
          [{ resourceId: key.id }, [4]],
          [{ actor: "other" }, [3]],
          [{ actor: key.id }, [6, 7]],
          [{ errorCodes: ["INVALID_REQUEST", "DUPLICATE_RESOURCE"] }, [5, 7]],
          [{ errorCodes: ["INVALID_REQUEST"] }, [7]],
          [{ errorCodes: ["BUDGET_CLOSED"] }, []],
          [{ errorCodes: [] }, []],
          [{ fromMs: 1_000 }, [3, 4, 5, 6, 7]],
          [{ toMs: 999 }, [1, 2]],
          [{ fromMs: 1_000, toMs: 1_000 }, [3, 4]],
          [{ traceId: "a".repeat(32) }, [3]],
          [{ traceId: "b".repeat(32) }, []],
          [{ requestId: "r-1" }, [3]],
          [{ operations: ["createBudget"], actor: "ops", errorCodes: ["DUPLICATE_RESOURCE"] }, [5]]
        ]
        const numbers = Effect.map((acts: ReadonlyArray<{ readonly number: number }>) => acts.map((act) => act.number))
        for (const [query, expected] of cases) {
          assert.deepStrictEqual(yield* numbers(operator.acts("acme", query)), expected)
          assert.deepStrictEqual(yield* numbers(Stream.runCollect(operator.audit("acme", query))), expected)
        }
        const creating = { operations: ["createBudget"] }
        assert.deepStrictEqual(yield* numbers(operator.acts("acme", { ...creating, limit: 2 })), [2, 3])
        assert.deepStrictEqual(yield* numbers(operator.acts("acme", { ...creating, limit: 2, after: 3 })), [5, 7])
        assert.deepStrictEqual(yield* numbers(operator.acts("acme", { limit: 3 })), [1, 2, 3])
      }).pipe(Effect.provide(layer)))

    it.effect("is read whole where it is longer than a page, and no further than asked", () => {
      let pages = 0
      const counted = governed(changed(store, (own) => (tenants, body) =>
        own.transact(tenants, (tx) =>
          body({
            ...tx,
            acts: (...args) => {
              pages++
              return tx.acts(...args)
            }
          }))))
      return Effect.gen(function*() {
        const { operator } = yield* setup
        const own = yield* LedgerStore.LedgerStore
        // Written as a transaction writes them; making each by itself would take long.
        const [first] = yield* operator.acts("acme")
        if (first === undefined) return assert.fail("nothing was audited")
        yield* own.transact(["acme"], (tx) =>
          Effect.gen(function*() {
            const view = new View()
            const missing = new Missing(view)
            missing.tenant("acme")
            yield* tx.load(missing, view)
            const row = view.tenant("acme")
            if (row === undefined) return assert.fail("there is no tenant")
            for (let number = 3; number <= 2_200; number++) {
              view.addAct({ ...first, number, operation: number === 2_100 ? "rare" : "common", atMs: number })
            }
            view.putTenant({ ...row, lastAct: 2_200, lastTimeMs: 2_200 })
            yield* tx.write(view.writes())
          }))
        const [rare] = yield* operator.acts("acme", { operations: ["rare"] })
        assert.strictEqual(rare?.number, 2_100)
        assert.lengthOf(yield* Stream.runCollect(operator.audit("acme")), 2_200)
        pages = 0
        assert.lengthOf(yield* operator.acts("acme", { operations: ["common"], limit: 10 }), 10)
        assert.strictEqual(pages, 1)
        assert.lengthOf(yield* operator.acts("acme", { operations: ["common"], toMs: 1_500, limit: 5_000 }), 1_498)
        assert.strictEqual(pages, 3)
        assert.deepStrictEqual(yield* operator.acts("acme", { operations: ["none"] }), [])
        assert.strictEqual(pages, 6)
      }).pipe(Effect.provide(counted))
    })

    it.effect("keeps what was refused about no tenant there could be with the operators' own", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        assert.strictEqual(yield* failure(operator.createTenant("no/name", { name: "x" })), "InvalidRequest")
        const acts = yield* operator.acts("__admin__")
        assert.deepStrictEqual(acts.map(({ errorCode, operation, resourceId }) => [operation, resourceId, errorCode]), [
          ["createTenant", "no/name", "INVALID_REQUEST"]
        ])
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: the events of all tenants`, () => {
    const numbered = Effect.map(({ events }: Governance.EventsPage) =>
      events.map(({ number, tenant, type }) => `${tenant} ${number} ${type}`)
    )

    /** acme: tenant, budget, denial; beta: tenant, budget; each a second after the one before. */
    const busy = Effect.gen(function*() {
      const governance = yield* Governance.Governance
      const ledger = yield* Ledger.Ledger
      const operator = governance.asOperator({ actor: "ops" })
      const traced = (requestId: string, traceId: string) =>
        Effect.provideService(RequestContext, { requestId, traceId: traceId.repeat(32) })
      yield* traced("r-1", "a")(operator.createTenant("acme", { name: "Acme" }))
      yield* TestClock.adjust(1_000)
      yield* traced("r-2", "a")(operator.createBudget("acme", { scope: acme, allocated: Amount.tokens(5) }))
      yield* TestClock.adjust(1_000)
      yield* operator.createTenant("beta", { name: "Beta" })
      yield* TestClock.adjust(1_000)
      yield* failure(traced("r-3", "b")(reserve(ledger.as({ tenant: "acme" }), "1")))
      yield* TestClock.adjust(1_000)
      yield* operator.createBudget("beta", { scope: "tenant:beta", allocated: Amount.tokens(5) })
      return { governance, ledger, operator }
    })

    const all = [
      "beta 2 budget.created",
      "acme 3 reservation.denied",
      "beta 1 tenant.created",
      "acme 2 budget.created",
      "acme 1 tenant.created"
    ]
    const some = (...numbers: ReadonlyArray<number>) => numbers.map((number) => all[number]!)

    it.effect("are found by everything an operator may ask for, the newest first", () =>
      Effect.gen(function*() {
        const { operator } = yield* busy
        const cases: ReadonlyArray<readonly [Governance.EventQuery, ReadonlyArray<string>]> = [
          [{}, all],
          [{ sortDir: "asc" }, all.toReversed()],
          [{ tenant: "acme" }, some(1, 3, 4)],
          [{ tenant: "acme", sortDir: "asc" }, some(4, 3, 1)],
          [{ tenant: "nobody" }, []],
          [{ type: "budget.created" }, some(0, 3)],
          [{ type: "budget.created", tenant: "beta" }, some(0)],
          [{ category: "tenant" }, some(2, 4)],
          [{ category: "ten" }, []],
          [{ scope: acme }, some(1, 3)],
          [{ scope: "tenant:" }, some(0, 1, 3)],
          [{ traceId: "a".repeat(32) }, some(3, 4)],
          [{ traceId: "a".repeat(32), sortBy: "scope" }, some(3, 4)],
          [{ traceId: "a".repeat(32), sortBy: "scope", sortDir: "asc" }, some(4, 3)],
          [{ requestId: "r-3" }, some(1)],
          [{ correlationId: "r-3" }, some(1)],
          [{ correlationId: "r-3", requestId: "r-1" }, []],
          [{ search: "R-1" }, some(4)],
          [{ search: "BETA" }, some(0)],
          [{ fromMs: 2_000 }, some(0, 1, 2)],
          [{ toMs: 2_000 }, some(2, 3, 4)],
          [{ fromMs: 1_000, toMs: 2_999 }, some(2, 3)],
          [{ fromMs: 1_000, toMs: 2_999, sortDir: "asc" }, some(3, 2)],
          [{ fromMs: 1_000, toMs: 2_999, tenant: "acme" }, some(3)],
          [{ fromMs: 1_000, toMs: 3_000, tenant: "acme", sortDir: "asc" }, some(3, 1)],
          [{ fromMs: 5_000, tenant: "acme" }, []],
          [{ toMs: 999, type: "budget.created" }, []],
          [{ fromMs: 1_001, type: "budget.created" }, some(0)],
          [{ fromMs: 1_001, sortBy: "event_type" }, some(2, 1, 0)],
          [{ sortBy: "event_type" }, some(2, 4, 1, 0, 3)],
          [{ sortBy: "category", sortDir: "asc" }, some(3, 0, 1, 4, 2)],
          [{ sortBy: "tenant_id" }, some(0, 2, 1, 3, 4)],
          [{ sortBy: "tenant_id", sortDir: "asc" }, some(4, 3, 1, 2, 0)],
          [{ sortBy: "scope" }, some(0, 1, 3, 2, 4)],
          [{ sortBy: "scope", tenant: "acme" }, some(1, 3, 4)]
        ]
        for (const [query, expected] of cases) {
          assert.deepStrictEqual(yield* numbered(operator.events(query)), expected, Formatter.format(query))
          const found: Array<string> = []
          let cursor: Cursor | undefined
          do {
            const page = yield* operator.events({ ...query, limit: 1, cursor })
            assert.isAtMost(page.events.length, 1)
            assert.strictEqual(page.hasMore, page.nextCursor !== undefined)
            found.push(...(yield* numbered(Effect.succeed(page))))
            cursor = page.nextCursor
          } while (cursor !== undefined)
          assert.deepStrictEqual(found, expected, `page by page: ${Formatter.format(query)}`)
        }
        const { nextCursor } = yield* operator.events({ limit: 1 })
        for (const query of [{ cursor: nextCursor, type: "budget.created" }, { cursor: Cursor.make("x.y") }]) {
          assert.deepInclude(yield* Effect.flip(operator.events(query)), { _tag: "InvalidRequest", field: "cursor" })
        }
        assert.strictEqual(yield* failure(operator.events({ limit: 0 })), "InvalidRequest")
      }).pipe(Effect.provide(layer)))

    it.effect("say whose doing they are, and each is read by its id", () =>
      Effect.gen(function*() {
        const { governance, ledger, operator } = yield* busy
        const { key, secret } = yield* operator.createApiKey("acme", { name: "k" })
        yield* failure(reserve(ledger.as(yield* governance.authenticate(secret)), "2"))
        const { events } = yield* operator.events({ tenant: "acme" })
        assert.deepStrictEqual(events.map(({ actorType, keyId, type }) => [type, actorType, keyId]), [
          ["reservation.denied", "api_key", key.id],
          ["api_key.created", "admin", undefined],
          ["reservation.denied", "api_key", undefined],
          ["budget.created", "admin_on_behalf_of", undefined],
          ["tenant.created", "admin", undefined]
        ])
        for (const event of events) {
          assert.deepStrictEqual(yield* operator.event(EventQuery.idOf("evt", event)), event)
        }
        for (const id of ["evt_acme.99", "evt_nobody.1", "evt_acme", "evt_.1", "log_acme.1", "evt_a/b.1", "", "x"]) {
          assert.strictEqual(yield* failure(operator.event(id)), "NotFound", id)
        }
      }).pipe(Effect.provide(layer)))

    it.effect("are a tenant's own, of what concerns it, where its key may look", () =>
      Effect.gen(function*() {
        const { governance, ledger, operator } = yield* busy
        yield* operator.createBudget("acme", { scope: engPath, allocated: Amount.tokens(5) })
        yield* failure(reserve(ledger.as({ tenant: "acme" }), "2", { workspace: "ops" }))
        const keyed = (options: Governance.ApiKeySettings) =>
          Effect.map(
            Effect.flatMap(
              operator.createApiKey("acme", { permissions: ["events:read"], ...options, name: "k" }),
              ({ secret }) => governance.authenticate(secret)
            ),
            governance.as
          )
        const own = yield* keyed({})
        assert.deepStrictEqual(yield* numbered(own.events()), [
          "acme 5 reservation.denied",
          "acme 4 budget.created",
          "acme 3 reservation.denied",
          "acme 2 budget.created",
          "acme 1 tenant.created"
        ])
        assert.deepStrictEqual(yield* numbered(own.events({ type: "api_key.created" })), [])
        assert.strictEqual(yield* failure(own.events({ tenant: "beta" })), "Forbidden")
        assert.strictEqual(yield* failure(own.event("evt_acme.1")), "Forbidden")
        assert.strictEqual(yield* failure(own.auditLog()), "Forbidden")
        assert.strictEqual(yield* failure(own.overview), "Forbidden")
        const narrow = yield* keyed({ scopeFilter: ["workspace:eng"] })
        // The denial in acme's own name was asked for by eng, the other one by ops.
        assert.deepStrictEqual(yield* numbered(narrow.events()), ["acme 4 budget.created", "acme 3 reservation.denied"])
        const blind = yield* keyed({ permissions: ["balances:read"] })
        assert.strictEqual(yield* failure(blind.events()), "Forbidden")
        const { key, secret } = yield* operator.createApiKey("acme", { name: "k", permissions: ["events:read"] })
        const revoked = governance.as(yield* governance.authenticate(secret))
        yield* operator.revokeApiKey("acme", key.id)
        assert.strictEqual(yield* failure(revoked.events()), "Unauthorized")
      }).pipe(Effect.provide(layer)))

    it.effect("are looked through ten thousand at a time", () =>
      Effect.gen(function*() {
        const { operator } = yield* busy
        const own = yield* LedgerStore.LedgerStore
        const { events: [first] } = yield* operator.events({ limit: 1, tenant: "acme", sortDir: "asc" })
        if (first === undefined) return assert.fail("there is no event")
        for (let begin = 4; begin <= 12_003; begin += 4_000) {
          yield* own.transact(["acme"], (tx) =>
            Effect.gen(function*() {
              const view = new View()
              const missing = new Missing(view)
              missing.tenant("acme")
              yield* tx.load(missing, view)
              const row = view.tenant("acme")
              if (row === undefined) return assert.fail("there is no tenant")
              for (let number = begin; number < begin + 4_000; number++) {
                view.addEvent({ ...first, number, atMs: 5_000 + number })
              }
              view.putTenant({ ...row, lastEvent: begin + 3_999, lastTimeMs: 5_000 + begin + 3_999 })
              yield* tx.write(view.writes())
            }))
        }
        const rare = { category: "reservation" }
        const one = yield* operator.events(rare)
        assert.deepStrictEqual([one.events, one.hasMore], [[], true])
        const two = yield* operator.events({ ...rare, cursor: one.nextCursor })
        assert.deepStrictEqual(two.events.map(({ number }) => number), [3])
        assert.isFalse(two.hasMore)
        // Too many of one trace to be gathered are read in their order.
        const trace = { traceId: "a".repeat(32), sortBy: "scope", limit: 1 } as const
        assert.deepStrictEqual((yield* operator.events(trace)).events.map(({ number }) => number), [2])
        const middle = { tenant: "acme", fromMs: 11_000, toMs: 11_001 }
        for (const sortDir of ["asc", "desc"] as const) {
          const { events } = yield* operator.events({ ...middle, sortDir })
          assert.sameMembers(events.map(({ number }) => number), [6_000, 6_001])
        }
        const { events: total } = yield* operator.overview
        assert.strictEqual(total.get("tenant"), 12_002)
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: the audit of all tenants`, () => {
    it.effect("is found by everything an operator may ask for, the newest first", () =>
      Effect.gen(function*() {
        const { governance, operator } = yield* setup
        const traced = Effect.provideService(RequestContext, { requestId: "r-1", traceId: "a".repeat(32) })
        yield* TestClock.adjust(1_000)
        yield* operator.createTenant("beta", { name: "Beta" })
        yield* TestClock.adjust(1_000)
        const { key, secret } = yield* operator.createApiKey("acme", {
          name: "k",
          permissions: ["budgets:write"]
        })
        const own = governance.as(yield* governance.authenticate(secret))
        yield* TestClock.adjust(1_000)
        yield* traced(failure(own.createBudget("acme", { scope: acme, allocated: Amount.tokens(1) })))
        yield* TestClock.adjust(1_000)
        yield* failure(operator.freezeBudget("beta", { scope: "tenant:beta", unit: "TOKENS" }))
        const all = [
          "beta 2 freezeBudget BUDGET_NOT_FOUND",
          "acme 4 createBudget DUPLICATE_RESOURCE",
          "acme 3 createApiKey",
          "beta 1 createTenant",
          "acme 2 createBudget",
          "acme 1 createTenant"
        ]
        const some = (...numbers: ReadonlyArray<number>) => numbers.map((number) => all[number]!)
        const told = Effect.map(({ acts }: Governance.ActsPage) =>
          acts.map(({ errorCode, number, operation, tenant }) =>
            [tenant, number, operation, errorCode].filter((part) => part !== undefined).join(" ")
          )
        )
        const cases: ReadonlyArray<readonly [Governance.AuditLogQuery, ReadonlyArray<string>]> = [
          [{}, all],
          [{ sortDir: "asc", fromMs: 1_000 }, some(3, 2, 1, 0)],
          [{ tenant: "acme" }, some(1, 2, 4, 5)],
          [{ tenant: "__unauth__" }, []],
          [{ keyId: key.id }, some(1)],
          [{ operations: ["createBudget"] }, some(1, 4)],
          [{ operations: ["createBudget", "createTenant"] }, some(1, 3, 4, 5)],
          [{ status: 201 }, some(2, 3, 4, 5)],
          [{ statusMin: 300 }, some(0, 1)],
          [{ statusMin: 405, statusMax: 409 }, some(1)],
          [{ resourceTypes: ["api_key"] }, some(2)],
          [{ resourceTypes: ["api_key", "tenant"] }, some(2, 3, 5)],
          [{ resourceId: key.id }, some(2)],
          [{ errorCodes: ["BUDGET_NOT_FOUND"] }, some(0)],
          [{ errorCodesExcluded: ["BUDGET_NOT_FOUND"] }, some(1, 2, 3, 4, 5)],
          [
            { errorCodes: ["BUDGET_NOT_FOUND", "DUPLICATE_RESOURCE"], errorCodesExcluded: ["BUDGET_NOT_FOUND"] },
            some(1)
          ],
          [{ fromMs: 1_000, toMs: 2_000 }, some(2, 3)],
          [{ search: "FREEZE" }, some(0)],
          [{ search: "log_beta.1" }, some(3)],
          [{ search: "not_found" }, some(0)],
          [{ traceId: "a".repeat(32) }, some(1)],
          [{ requestId: "r-1" }, some(1)],
          [{ sortBy: "operation", sortDir: "asc" }, some(2, 4, 1, 5, 3, 0)],
          [{ sortBy: "status" }, some(1, 0, 2, 3, 4, 5)],
          [{ sortBy: "key_id" }, some(1, 0, 2, 3, 4, 5)],
          [{ sortBy: "tenant_id" }, some(0, 3, 1, 2, 4, 5)],
          [{ sortBy: "resource_type", sortDir: "asc", tenant: "acme" }, some(2, 4, 1, 5)]
        ]
        for (const [query, expected] of cases) {
          assert.deepStrictEqual(yield* told(operator.auditLog(query)), expected, Formatter.format(query))
          const found: Array<string> = []
          let cursor: Cursor | undefined
          do {
            const page = yield* operator.auditLog({ ...query, limit: 1, cursor })
            found.push(...(yield* told(Effect.succeed(page))))
            cursor = page.nextCursor
          } while (cursor !== undefined)
          assert.deepStrictEqual(found, expected, `page by page: ${Formatter.format(query)}`)
        }
        for (const query of [{ status: 200, statusMin: 200 }, { statusMin: 300, statusMax: 200 }]) {
          assert.strictEqual(yield* failure(operator.auditLog(query)), "InvalidRequest")
        }
        const { acts: [, byKey, byAdmin] } = yield* operator.auditLog()
        assert.deepInclude(byKey, { actorType: "api_key", keyId: key.id })
        assert.deepInclude(byAdmin, { actorType: "admin", keyId: undefined, actor: "ops" })
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: an overview`, () => {
    it.effect("counts tenants, budgets, policies and the events of the last hour", () =>
      Effect.gen(function*() {
        const { ledger, operator } = yield* setup
        assert.deepInclude(yield* operator.overview, {
          asOfMs: 0,
          windowMs: 3_600_000,
          tenants: { ACTIVE: 1, SUSPENDED: 0, CLOSED: 0 },
          denials: [],
          expiries: []
        })
        for (const name of ["beta", "gamma"]) yield* operator.createTenant(name, { name })
        yield* operator.suspendTenant("beta")
        yield* operator.createBudget("gamma", { scope: "tenant:gamma", allocated: Amount.usd(1) })
        yield* operator.closeTenant("gamma")
        yield* operator.createPolicy("acme", { name: "a", scopePattern: acme, allowedActionKinds: ["tool.call"] })
        yield* operator.createPolicy("acme", { name: "d", scopePattern: acme, deniedActionKinds: ["x"] })
        yield* operator.createPolicy("acme", { name: "n", scopePattern: acme })
        const authority = ledger.as({ tenant: "acme" })
        for (let i = 1; i <= 12; i++) {
          const agent = `a${i}`
          yield* operator.createBudget("acme", {
            scope: `${acme}/agent:${agent}`,
            allocated: Amount.credits(1),
            overdraftLimit: Amount.credits(100)
          })
          yield* authority.event({
            idempotencyKey: k(`e${i}`),
            subject: { agent },
            action,
            actual: Amount.credits(i),
            overagePolicy: "ALLOW_WITH_OVERDRAFT"
          })
        }
        yield* operator.createBudget("acme", { scope: `${acme}/agent:capped`, allocated: Amount.credits(1) })
        yield* authority.event({
          idempotencyKey: k("capped"),
          subject: { agent: "capped" },
          action,
          actual: Amount.credits(5)
        })
        yield* operator.freezeBudget("acme", { scope: `${acme}/agent:a1`, unit: "CREDITS" })
        yield* failure(reserve(authority, "before", eng, 5_000))
        const before = yield* operator.overview
        yield* TestClock.adjust(3_600_000)
        const held = yield* reserve(authority, "held", eng, 10)
        assert.strictEqual(held.decision, "ALLOW")
        for (let i = 0; i < 11; i++) yield* failure(reserve(authority, `d${i}`, { agent: "x" }, 5_000))
        yield* TestClock.adjust(66_000)
        yield* authority.balances({ tenant: "acme" })
        const seen = yield* operator.overview
        assert.deepStrictEqual(seen.tenants, { ACTIVE: 1, SUSPENDED: 1, CLOSED: 1 })
        assert.deepStrictEqual(seen.budgets, {
          byStatus: { ACTIVE: 13, FROZEN: 1, CLOSED: 1 },
          byUnit: new Map([["CREDITS", 13], ["TOKENS", 1], ["USD_MICROCENTS", 1]]),
          overLimit: 1,
          inDebt: 11
        })
        assert.deepStrictEqual(seen.overLimit.map(({ balance }) => balance.scope), [`${acme}/agent:capped`])
        assert.deepStrictEqual(
          seen.inDebt.map(({ balance }) => balance.debt?.amount),
          [11n, 10n, 9n, 8n, 7n, 6n, 5n, 4n, 3n, 2n]
        )
        assert.deepStrictEqual(seen.policies, { allowing: 1, denying: 1 })
        assert.deepStrictEqual(seen.denials.map(({ number }) => number - seen.denials[9]!.number), [
          9,
          8,
          7,
          6,
          5,
          4,
          3,
          2,
          1,
          0
        ])
        assert.deepStrictEqual(seen.denialsByReason, new Map([["BUDGET_EXCEEDED", 11]]))
        assert.deepStrictEqual(seen.expiries.map(({ reservationId }) => reservationId), [held.reservationId])
        assert.deepStrictEqual(seen.events, new Map([["reservation", 12]]))
        assert.strictEqual(before.events.get("tenant"), 5)
        assert.deepStrictEqual(before.denialsByReason, new Map([["BUDGET_EXCEEDED", 1]]))
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: an operator and reservations`, () => {
    it.effect("sees those of any tenant, and releases one in its place with one act, however often", () =>
      Effect.gen(function*() {
        const { authority, ledger, operator } = yield* setup
        const id = idOf(yield* reserve(authority, "1"))
        const lost = idOf(yield* reserve(authority, "2"))
        const settled = idOf(yield* reserve(authority, "3"))
        yield* authority.commit(settled, { idempotencyKey: k("c"), actual: Amount.tokens(3) })
        const { reservations } = yield* operator.reservations("acme", { status: "ACTIVE", sortDir: "asc" })
        assert.deepStrictEqual(reservations.map(({ reservationId }) => reservationId), [id, lost].toSorted())
        assert.deepStrictEqual((yield* operator.reservations("nobody")).reservations, [])
        assert.deepInclude(yield* operator.reservation(id), { reservationId: id, status: "ACTIVE" })
        assert.strictEqual(yield* failure(operator.reservation(ReservationId.make("none"))), "NotFound")
        const before = (yield* operator.acts("acme")).length
        const traced = Effect.provideService(RequestContext, { requestId: "r-1", traceId: "a".repeat(32) })
        const request = { idempotencyKey: k("r"), reason: "[INCIDENT_FORCE_RELEASE] stuck" }
        const reply = yield* traced(operator.releaseReservation(id, request))
        assert.deepInclude(reply, { status: "RELEASED", released: Amount.tokens(10) })
        assert.deepStrictEqual(yield* operator.releaseReservation(id, request), reply)
        assert.strictEqual((yield* operator.reservation(id)).status, "RELEASED")
        const acts = (yield* operator.acts("acme")).slice(before)
        assert.lengthOf(acts, 1)
        assert.deepInclude(acts[0], {
          tenant: "acme",
          actor: "ops",
          actorType: "admin_on_behalf_of",
          operation: "releaseReservation",
          resourceType: "reservation",
          resourceId: id,
          errorCode: undefined,
          requestId: "r-1"
        })
        assert.deepStrictEqual(acts[0]?.details, { reason: request.reason })
        const entry = (yield* ledger.entries("acme")).find(({ kind }) => kind === "RELEASE")
        assert.deepInclude(entry, { actor: "ops", reason: request.reason, requestId: "r-1" })
        // What is refused is an act as well, of the tenant it is about or of nobody's.
        const refusals = [
          [settled, { idempotencyKey: k("x") }, "ReservationFinalized"],
          [lost, { idempotencyKey: k("r") }, "IdempotencyMismatch"],
          [ReservationId.make("none"), { idempotencyKey: k("x") }, "NotFound"],
          [lost, { idempotencyKey: k("y"), reason: "x".repeat(257) }, "InvalidRequest"]
        ] as const
        for (const [of, request, tag] of refusals) {
          assert.strictEqual(yield* failure(operator.releaseReservation(of, request)), tag)
        }
        const told = (yield* operator.acts("acme")).slice(before + 1).map(({ errorCode }) => errorCode)
        assert.deepStrictEqual(told, ["RESERVATION_FINALIZED", "IDEMPOTENCY_MISMATCH", "INVALID_REQUEST"])
        assert.deepStrictEqual((yield* operator.acts("__admin__")).map(({ resourceId }) => resourceId), ["none"])
        yield* TestClock.adjust(66_000)
        assert.strictEqual(yield* failure(operator.reservation(lost)), "ReservationExpired")
        assert.strictEqual(
          yield* failure(operator.releaseReservation(lost, { idempotencyKey: k("late") })),
          "ReservationExpired"
        )
      }).pipe(Effect.provide(layer)))

    it.effect("leaves no act and no release where the transaction fails, and is done once where its answer is lost", () =>
      Effect.gen(function*() {
        const { authority, operator } = yield* setup
        const id = idOf(yield* reserve(authority, "1"))
        isLost = true
        yield* operator.releaseReservation(id, { idempotencyKey: k("r") })
        assert.isFalse(isLost)
        const acts = (yield* operator.acts("acme")).filter(({ operation }) => operation === "releaseReservation")
        assert.lengthOf(acts, 1)
        const { balances: [balance] } = yield* authority.balances({ tenant: "acme" })
        assert.strictEqual(balance?.reserved?.amount, 0n)
      }).pipe(Effect.provide(forgetful)))

    it.effect("needs to be permitted, and a principal is not", () =>
      Effect.gen(function*() {
        const { authority, governance, operator } = yield* setup
        const id = idOf(yield* reserve(authority, "1"))
        const own = governance.as({ tenant: "acme" })
        const bare = governance.asOperator({ actor: "bare", permissions: new Set(["admin:audit:read"]) })
        for (const caller of [own, bare]) {
          assert.strictEqual(yield* failure(caller.reservations("acme")), "Forbidden")
          assert.strictEqual(yield* failure(caller.reservation(id)), "Forbidden")
          assert.strictEqual(yield* failure(caller.releaseReservation(id, { idempotencyKey: k("r") })), "Forbidden")
        }
        assert.strictEqual(yield* failure(bare.events()), "Forbidden")
        assert.strictEqual(yield* failure(bare.overview), "Forbidden")
        assert.strictEqual((yield* operator.reservation(id)).status, "ACTIVE")
        assert.lengthOf((yield* bare.auditLog({ operations: ["releaseReservation"] })).acts, 2)
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: a denial`, () => {
    it.effect("by a policy, a limit or the tenant's status is told, with who spoke; questions are not", () =>
      Effect.gen(function*() {
        const { authority, operator } = yield* setup
        yield* operator.updateBudget("acme", {
          scope: acme,
          unit: "TOKENS",
          limits: [{ id: "daily", window: Window.calendar("day", "UTC"), amount: Amount.tokens(50) }]
        })
        const policyAt = (agent: string, terms: Partial<Governance.PolicyOptions>) =>
          operator.createPolicy("acme", { name: agent, scopePattern: `${acme}/agent:${agent}`, ...terms })
        const denying = yield* policyAt("denied", { deniedActionKinds: ["tool.call"] })
        const listing = yield* policyAt("listed", { allowedActionKinds: ["llm.completion"] })
        const pacing = yield* policyAt("paced", { maxReservationsPerMinute: 1 })
        const stepping = yield* policyAt("stepped", { maxSteps: 1 })
        const run = (agent: string) => ({ agent, dimensions: { run_id: "r" } })
        yield* reserve(authority, "paced", run("paced"), 1)
        yield* reserve(authority, "stepped", run("stepped"), 1)
        const denials: ReadonlyArray<readonly [agent: string, amount: number, code: string, by: string | undefined]> = [
          ["denied", 1, "ACTION_KIND_DENIED", denying.id],
          ["listed", 1, "ACTION_KIND_NOT_ALLOWED", listing.id],
          ["paced", 1, "LIMIT_EXCEEDED", pacing.id],
          ["stepped", 1, "ACTION_QUOTA_EXCEEDED", stepping.id],
          ["writer", 60, "BUDGET_EXCEEDED", undefined]
        ]
        const told = Effect.gen(function*() {
          const store = yield* LedgerStore.LedgerStore
          const events = yield* store.transact(["acme"], (tx) => tx.events("acme", 0, 1_000))
          return events
            .filter(({ type }) => type === "reservation.denied")
            .map(({ details }) => [details["scope_path"], details["reason_code"], details["policy_id"]])
        })
        for (const [agent, amount] of denials) {
          const question = { subject: run(agent), action, estimate: Amount.tokens(amount) }
          yield* Effect.exit(authority.decide({ ...question, idempotencyKey: k(`q-${agent}`) }))
          yield* Effect.exit(authority.reserve({ ...question, idempotencyKey: k(`d-${agent}`), dryRun: true }))
        }
        assert.deepStrictEqual(yield* told, [])
        const expected: Array<ReadonlyArray<unknown>> = []
        for (const [agent, amount, code, by] of denials) {
          yield* failure(reserve(authority, `x-${agent}`, run(agent), amount))
          expected.push([`${acme}/agent:${agent}`, code, by])
          assert.deepStrictEqual(yield* told, expected)
        }
        const refused: ReadonlyArray<readonly [Effect.Effect<unknown, CyclesError.CyclesError>, string]> = [
          [operator.suspendTenant("acme"), "TENANT_SUSPENDED"],
          [operator.closeTenant("acme"), "TENANT_CLOSED"]
        ]
        for (const [end, code] of refused) {
          yield* end
          yield* authority.decide({ idempotencyKey: k(code), subject: eng, action, estimate: Amount.tokens(1) })
          yield* failure(reserve(authority, `live-${code}`))
          expected.push([engPath, code, undefined])
          assert.deepStrictEqual(yield* told, expected)
        }
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: a policy`, () => {
    it.effect("is deleted once, and answers with what it was, also when the answer of the store is lost", () =>
      Effect.gen(function*() {
        const { ledger, operator } = yield* setup
        for (const by of [operator, ledger]) {
          const policy = yield* operator.createPolicy("acme", {
            name: "p",
            scopePattern: acme,
            caps: { maxTokens: 5, toolAllowlist: ["search"] }
          })
          isLost = true
          const given = (row: object) =>
            Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined))
          assert.deepStrictEqual(given(yield* by.deletePolicy("acme", policy.id)), given(policy))
          assert.isFalse(isLost)
          assert.strictEqual(yield* failure(by.deletePolicy("acme", policy.id)), "NotFound")
        }
        assert.deepStrictEqual(yield* operator.policies("acme"), [])
        assert.lengthOf(yield* operator.acts("acme", { operations: ["deletePolicy"] }), 4)
      }).pipe(Effect.provide(forgetful)))

    it.effect("is one of at most a thousand", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const create = (i: number) => operator.createPolicy("acme", { name: `p${i}`, scopePattern: acme })
        const all = yield* Effect.forEach(Array.from({ length: 1_000 }, (_, i) => i), create, {
          concurrency: "unbounded"
        })
        assert.deepInclude(yield* Effect.flip(create(1_000)), { _tag: "InvalidRequest", field: "tenant" })
        yield* operator.updatePolicy("acme", all[0]!.id, { name: "renamed" })
        yield* operator.deletePolicy("acme", all[1]!.id)
        yield* create(1_000)
        assert.strictEqual(yield* failure(create(1_001)), "InvalidRequest")
        yield* operator.createTenant("beta", { name: "Beta" })
        yield* operator.createPolicy("beta", { name: "p", scopePattern: "tenant:beta" })
      }).pipe(Effect.provide(layer)))

    it.effect("brings its caps, its lease and its count of steps from the store to the hold", () =>
      Effect.gen(function*() {
        const { authority, operator } = yield* setup
        const policy = yield* operator.createPolicy("acme", {
          name: "p",
          scopePattern: `${acme}/*`,
          priority: 7,
          caps: { maxTokens: 100, toolDenylist: ["shell"], cooldownMs: 5 },
          stateCaps: [{ belowShare: 0.5, caps: { maxTokens: 10 } }],
          maxTtlMs: 5_000,
          maxSteps: 3
        })
        assert.deepStrictEqual(yield* operator.policies("acme"), [policy])
        const subject = { agent: "a", dimensions: { run_id: "r" } }
        const caps = (maxTokens: number, maxStepsRemaining: number) => ({
          maxTokens,
          toolDenylist: ["shell"],
          cooldownMs: 5,
          maxStepsRemaining
        })
        assert.deepInclude(yield* reserve(authority, "a", subject, 500), {
          decision: "ALLOW_WITH_CAPS",
          remainingTtlMs: 5_000
        })
        const second = yield* reserve(authority, "b", subject, 100)
        assert.deepStrictEqual<unknown>(second.caps, caps(100, 2))
        const third = yield* reserve(authority, "c", subject)
        assert.deepStrictEqual<unknown>(third.caps, caps(10, 1))
        assert.deepStrictEqual<unknown>((yield* reserve(authority, "b", subject, 100)).caps, caps(100, 2))
        assert.strictEqual(yield* failure(reserve(authority, "d", subject)), "ActionDenied")
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: ten thousand budgets`, () => {
    it.effect("of one tenant are opened, found one by one, and listed without a gap", () =>
      Effect.gen(function*() {
        const { authority, ledger, operator } = yield* setup
        const agents = Array.from({ length: 10_000 }, (_, i) => `agent-${i}`)
        yield* Effect.forEach(
          agents,
          (agent) => operator.createBudget("acme", { scope: `${acme}/agent:${agent}`, allocated: Amount.tokens(20) }),
          { concurrency: 1_000, discard: true }
        )
        yield* reserve(authority, "last", { agent: "agent-9999" }, 20)
        const denied = yield* Effect.flip(reserve(authority, "again", { agent: "agent-9999" }, 1))
        assert.deepInclude(denied, { _tag: "BudgetExceeded", scope: `${acme}/agent:agent-9999` })
        const found = new Set<string>()
        for (let cursor: Cursor | undefined, more = true; more;) {
          const page: BalancesPage = yield* authority.balances({
            tenant: "acme",
            limit: 200,
            ...(cursor === undefined ? undefined : { cursor })
          })
          for (const { scope } of page.balances) found.add(scope)
          cursor = page.nextCursor
          more = page.hasMore === true
        }
        assert.strictEqual(found.size, 10_001)
        assert.deepStrictEqual(yield* ledger.verify("acme"), { entries: 10_002, budgets: 10_001, flaws: [] })
      }).pipe(Effect.provide(layer)), 60_000)
  })

  describe(`${name}: a limit`, () => {
    it.effect("counts what is held and used in its window, and opens again with the next", () =>
      Effect.gen(function*() {
        const { authority, operator } = yield* setup
        const name = { scope: acme, unit: "TOKENS" } as const
        yield* operator.updateBudget("acme", {
          ...name,
          limits: [
            {
              id: "daily",
              window: Window.calendar("day", "UTC"),
              amount: Amount.tokens(100),
              rollover: Amount.tokens(30)
            },
            { id: "minute", window: Window.rolling(60_000), amount: Amount.tokens(60) }
          ]
        })
        const states = Effect.map(
          operator.limits("acme", name),
          (limits) =>
            limits.map(({ carriedOver, held, remaining, used }) => [
              held.amount,
              used.amount,
              carriedOver.amount,
              remaining.amount
            ])
        )
        const held = idOf(yield* reserve(authority, "a", eng, 50))
        assert.deepStrictEqual(yield* states, [[50n, 0n, 0n, 50n], [50n, 0n, 0n, 10n]])
        assert.deepInclude(yield* Effect.flip(reserve(authority, "b", eng, 20)), {
          _tag: "BudgetExceeded",
          scope: acme
        })
        yield* authority.commit(held, { idempotencyKey: k("c"), actual: Amount.tokens(40) })
        assert.deepStrictEqual(yield* states, [[0n, 40n, 0n, 60n], [0n, 40n, 0n, 20n]])
        yield* TestClock.adjust(65_000)
        const back = idOf(yield* reserve(authority, "d", eng, 55))
        assert.deepStrictEqual(yield* states, [[55n, 40n, 0n, 5n], [55n, 0n, 0n, 5n]])
        yield* authority.release(back, { idempotencyKey: k("e") })
        yield* TestClock.adjust(DAY_MS)
        yield* reserve(authority, "f", eng, 1)
        assert.deepStrictEqual(yield* states, [[1n, 0n, 30n, 129n], [1n, 0n, 0n, 59n]])
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: lists for people`, () => {
    /** All pages of a list, as what tells their rows apart. */
    const paged = <A, E, R>(
      find: (cursor: string | undefined) => Effect.Effect<Governance.Found<A>, E, R>,
      nameOf: (row: A) => string
    ) =>
      Effect.gen(function*() {
        const names: Array<string> = []
        let cursor: string | undefined
        do {
          const page: Governance.Found<A> = yield* find(cursor)
          names.push(...page.items.map(nameOf))
          cursor = page.cursor
        } while (cursor !== undefined)
        return names
      })

    it.effect(
      "find tenants by status, parent and text, in the order asked for, a page at a time",
      () =>
        Effect.gen(function*() {
          const { asOperator } = yield* Governance.Governance
          const operator = asOperator({ actor: "ops" })
          const names = ["cherry", "Apple", "banana"]
          for (let i = 0; i < 120; i++) {
            const id = `t-${String(i).padStart(3, "0")}`
            yield* operator.createTenant(id, {
              name: `${names[i % 3]} ${i}`,
              ...(i > 0 && i < 4 && { parent: "t-000" })
            })
          }
          const find = (query: Governance.TenantsQuery) =>
            paged((cursor) => operator.findTenants({ ...query, cursor }), ({ tenant }) => tenant)
          const all = Array.from({ length: 120 }, (_, i) => `t-${String(i).padStart(3, "0")}`)
          assert.deepStrictEqual(yield* find({ limit: 99 }), all)
          assert.deepStrictEqual(yield* find({ limit: 50, sortBy: "tenant_id" }), all.toReversed())
          assert.deepStrictEqual(yield* find({ parent: "t-000" }), ["t-001", "t-002", "t-003"])
          assert.deepStrictEqual(yield* find({ search: "T-11" }), all.slice(110))
          assert.lengthOf(yield* find({ search: "APPLE", limit: 7 }), 40)
          yield* operator.suspendTenant("t-100")
          assert.deepStrictEqual(yield* find({ status: "SUSPENDED" }), ["t-100"])
          const byName = yield* paged(
            (cursor) => operator.findTenants({ sortBy: "name", sortDir: "asc", limit: 11, cursor }),
            ({ name }) => name
          )
          assert.deepStrictEqual(byName, [...byName].sort())
          assert.lengthOf(new Set(byName), 120)

          const { cursor } = yield* operator.findTenants({ limit: 1 })
          for (
            const bad of [
              { cursor: "nonsense" },
              { cursor, status: "ACTIVE" },
              { cursor, sortBy: "name" },
              { limit: 0 },
              { limit: 1_001 },
              { search: "x".repeat(129) }
            ] as const
          ) {
            assert.strictEqual(yield* failure(operator.findTenants(bad)), "InvalidRequest", Formatter.format(bad))
          }
        }).pipe(Effect.provide(layer)),
      30_000
    )

    it.effect("find the keys and budgets of one tenant or of all", () =>
      Effect.gen(function*() {
        const { asOperator } = yield* Governance.Governance
        const operator = asOperator({ actor: "ops" })
        const tenants = Array.from({ length: 19 }, (_, i) => `t-${String(i).padStart(2, "0")}`)
        for (const [i, tenant] of tenants.entries()) {
          yield* operator.createTenant(tenant, { name: tenant })
          yield* operator.createApiKey(tenant, { name: `key ${i % 2}` })
          if (i % 3 !== 0) continue
          yield* operator.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.credits(100 + i) })
          yield* operator.createBudget(tenant, { scope: `tenant:${tenant}/agent:a`, allocated: Amount.tokens(100) })
        }
        // More than are read at once.
        for (let i = 0; i < 230; i++) {
          yield* operator.createBudget("t-03", { scope: `tenant:t-03/app:${i}`, allocated: Amount.tokens(i) })
        }

        const keys = (query: Governance.ApiKeysQuery) =>
          paged((cursor) => operator.findApiKeys({ ...query, cursor }), ({ tenant }) => tenant)
        assert.deepStrictEqual(yield* keys({ limit: 4 }), tenants)
        assert.deepStrictEqual(yield* keys({ limit: 4, sortBy: "tenant_id" }), tenants.toReversed())
        assert.deepStrictEqual(yield* keys({ tenant: "t-07" }), ["t-07"])
        assert.deepStrictEqual(yield* keys({ search: "KEY 1", limit: 3 }), tenants.filter((_, i) => i % 2 === 1))
        assert.deepStrictEqual(yield* keys({ status: "EXPIRED" }), [])
        yield* TestClock.adjust(91 * DAY_MS)
        assert.deepStrictEqual(yield* keys({ status: "EXPIRED", limit: 5 }), tenants)

        const budgets = (query: Governance.BudgetsQuery) =>
          paged(
            (cursor) => operator.findBudgets({ ...query, cursor }),
            ({ balance }) => `${balance.scope} ${balance.remaining.unit}`
          )
        const all = yield* budgets({ limit: 240 })
        assert.lengthOf(all, 244)
        assert.lengthOf(new Set(all), 244)
        assert.deepStrictEqual(all, [...all].sort())
        assert.deepStrictEqual(yield* budgets({ limit: 99 }), all)
        assert.deepStrictEqual(yield* budgets({ sortBy: "scope", sortDir: "asc", limit: 150 }), all)
        assert.deepStrictEqual(
          yield* budgets({ sortBy: "tenant_id", sortDir: "desc", limit: 150, unit: "CREDITS" }),
          tenants.filter((_, i) => i % 3 === 0).map((tenant) => `tenant:${tenant} CREDITS`).toReversed()
        )
        const own = all.filter((name) => name.startsWith("tenant:t-03"))
        assert.lengthOf(own, 232)
        assert.deepStrictEqual(yield* budgets({ tenant: "t-03", limit: 100 }), own)
        assert.deepStrictEqual(yield* budgets({ scopePrefix: "tenant:t-03", limit: 150 }), own)
        const some = own.filter((name) => name.startsWith("tenant:t-03/app:22"))
        assert.lengthOf(some, 11)
        assert.deepStrictEqual(yield* budgets({ scopePrefix: "tenant:t-03/app:22", limit: 4 }), some)
        assert.deepStrictEqual(yield* budgets({ search: "APP:22", limit: 4 }), some)
        assert.deepStrictEqual(yield* budgets({ unit: "CREDITS", search: "t-1" }), [
          "tenant:t-12 CREDITS",
          "tenant:t-15 CREDITS",
          "tenant:t-18 CREDITS"
        ])
      }).pipe(Effect.provide(layer)), 120_000)

    it.effect("sort budgets by what is spent of them and owed on them", () =>
      Effect.gen(function*() {
        const { authority, operator } = yield* setup
        const spend = Effect.fnUntraced(function*(agent: string, allocated: bigint, spent: bigint) {
          const scope = `${acme}/agent:${agent}`
          yield* operator.createBudget("acme", {
            scope,
            allocated: Amount.tokens(allocated),
            overdraftLimit: Amount.tokens(9)
          })
          yield* operator.fund("acme", {
            idempotencyKey: k(agent),
            scope,
            operation: "RESET_SPENT",
            amount: Amount.tokens(allocated),
            spent: Amount.tokens(spent)
          })
        })
        yield* spend("a", 3n, 1n)
        yield* spend("b", 9_000_000_000_000_000_000n, 3_000_000_000_000_000_001n)
        yield* spend("c", 0n, 5n)
        yield* spend("d", 10n, 30n)
        yield* spend("e", 10n, 10n)
        yield* authority.event({
          idempotencyKey: k("debt"),
          subject: { agent: "e" },
          action,
          actual: Amount.tokens(4),
          overagePolicy: "ALLOW_WITH_OVERDRAFT"
        })
        const find = (query: Governance.BudgetsQuery) =>
          paged(
            (cursor) => operator.findBudgets({ tenant: "acme", search: "agent", limit: 2, ...query, cursor }),
            ({ balance }) => balance.scope.slice(-1)
          )
        assert.deepStrictEqual(yield* find({ sortBy: "utilization" }), ["d", "e", "b", "a", "c"])
        assert.deepStrictEqual(yield* find({ sortBy: "utilization", sortDir: "asc" }), ["c", "a", "b", "e", "d"])
        assert.deepStrictEqual(yield* find({ sortBy: "debt" }), ["e", "a", "b", "c", "d"])
        assert.deepStrictEqual(yield* find({ hasDebt: true }), ["e"])
        assert.deepStrictEqual(yield* find({ utilizationMin: 1 }), ["d", "e"])
        assert.deepStrictEqual(yield* find({ utilizationMax: 0 }), ["c"])
        assert.strictEqual(yield* failure(find({ utilizationMin: 0.6, utilizationMax: 0.5 })), "InvalidRequest")
        assert.strictEqual(yield* failure(find({ utilizationMin: -0.1 })), "InvalidRequest")
        assert.strictEqual(yield* failure(find({ utilizationMax: Number.NaN })), "InvalidRequest")
      }).pipe(Effect.provide(layer)))

    it.effect("show a principal its own tenant's, as far as its filter reaches", () =>
      Effect.gen(function*() {
        const { governance, operator } = yield* setup
        yield* operator.createTenant("beta", { name: "Beta" })
        yield* operator.createBudget("beta", { scope: "tenant:beta", allocated: Amount.tokens(1) })
        for (const agent of ["a", "b"]) {
          yield* operator.createBudget("acme", { scope: `${acme}/agent:${agent}`, allocated: Amount.tokens(1) })
          yield* operator.createPolicy("acme", { name: agent, scopePattern: `${acme}/agent:${agent}` })
        }
        const policy = yield* operator.createPolicy("beta", { name: "b", scopePattern: "tenant:beta/*" })
        const { key, secret } = yield* operator.createApiKey("acme", { name: "k", scopeFilter: ["agent:b"] })
        const own = governance.as(yield* governance.authenticate(secret))
        const scopes = Effect.map(own.findBudgets({ sortBy: "scope" }), ({ items }) =>
          items.map(({ balance }) => balance.scope))
        assert.deepStrictEqual(yield* scopes, [`${acme}/agent:b`])
        assert.strictEqual(yield* failure(own.findBudgets({ tenant: "beta" })), "Forbidden")
        assert.deepStrictEqual(
          (yield* own.findPolicies("acme", {})).items.map(({ name }) =>
            name
          ),
          ["b"]
        )
        assert.strictEqual(yield* failure(own.findPolicies("beta", {})), "Forbidden")
        assert.strictEqual(yield* own.ownerOfPolicy(policy.id), "acme")
        assert.strictEqual(yield* failure(own.updatePolicy("acme", policy.id, { priority: 1 })), "NotFound")
        for (
          const refused of [
            failure(own.findTenants({})),
            failure(own.findApiKeys({})),
            failure(own.findApiKeys({ tenant: "acme" })),
            failure(own.ownerOfApiKey(key.id)),
            failure(own.inspectApiKey(secret))
          ]
        ) {
          assert.strictEqual(yield* refused, "Forbidden")
        }
        yield* operator.revokeApiKey("acme", key.id)
        assert.strictEqual(yield* failure(own.findBudgets({})), "Unauthorized")
      }).pipe(Effect.provide(layer)))

    it.effect("find policies by pattern, status and action kind, and whose they are", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const a = yield* operator.createPolicy("acme", {
          name: "a",
          scopePattern: `${acme}/*`,
          allowedActionKinds: ["x", "y"]
        })
        yield* TestClock.adjust(1)
        const b = yield* operator.createPolicy("acme", { name: "b", scopePattern: acme, deniedActionKinds: ["y"] })
        yield* operator.updatePolicy("acme", b.id, { status: "DISABLED" })
        const find = (query: Governance.PoliciesQuery) =>
          paged((cursor) => operator.findPolicies("acme", { ...query, limit: 1, cursor }), ({ name }) => name)
        assert.deepStrictEqual(yield* find({}), ["a", "b"])
        assert.deepStrictEqual(yield* find({ scopePattern: acme }), ["b"])
        assert.deepStrictEqual(yield* find({ status: "ACTIVE" }), ["a"])
        assert.deepStrictEqual(yield* find({ actionKind: "x" }), ["a"])
        assert.deepStrictEqual(yield* find({ actionKind: "y" }), ["a", "b"])
        assert.strictEqual(yield* operator.ownerOfPolicy(a.id), "acme")
        assert.strictEqual(yield* failure(operator.ownerOfPolicy("pol_none")), "NotFound")
      }).pipe(Effect.provide(layer)))
  })

  describe(`${name}: what a wire needs`, () => {
    it.effect("a tenant is registered once, and says so", () =>
      Effect.gen(function*() {
        const { asOperator } = yield* Governance.Governance
        const operator = asOperator({ actor: "ops" })
        const first = yield* operator.registerTenant("acme", { name: "Acme" })
        assert.isTrue(first.isNew)
        assert.deepStrictEqual(yield* operator.registerTenant("acme", { name: "Acme" }), { ...first, isNew: false })
        const other = yield* Effect.flip(operator.registerTenant("acme", { name: "Other" }))
        assert.deepInclude(other, { _tag: "InvalidRequest", details: { conflict: "DUPLICATE_RESOURCE" } })
      }).pipe(Effect.provide(layer)))

    it.effect("a tenant's status changes with its settings, or neither does", () =>
      Effect.gen(function*() {
        const { authority, ledger, operator } = yield* setup
        yield* reserve(authority, "a")
        const both = yield* operator.updateTenant("acme", { name: "New", status: "SUSPENDED" })
        assert.include(both, { name: "New", status: "SUSPENDED" })
        assert.isDefined(both.suspendedAtMs)
        assert.strictEqual(
          yield* failure(operator.updateTenant("acme", { parent: "none", status: "ACTIVE" })),
          "InvalidRequest"
        )
        assert.strictEqual((yield* operator.tenant("acme")).status, "SUSPENDED")
        assert.deepStrictEqual(yield* operator.updateTenant("acme", { status: "SUSPENDED" }), both)
        const events = yield* Stream.runCollect(ledger.events("acme"))
        const closed = yield* operator.updateTenant("acme", { name: "Gone", status: "CLOSED" })
        assert.include(closed, { name: "Gone", status: "CLOSED" })
        const told = (yield* Stream.runCollect(ledger.events("acme"))).slice(events.length).map(({ type }) => type)
        assert.includeMembers(told, ["budget.closed_via_tenant_cascade", "tenant.updated", "tenant.closed"])
        assert.strictEqual((yield* operator.budget("acme", { scope: acme, unit: "TOKENS" })).status, "CLOSED")
        assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
        assert.strictEqual(yield* failure(operator.updateTenant("acme", { status: "ACTIVE" })), "TenantClosed")
        assert.strictEqual(
          yield* failure(operator.updateTenant("acme", { name: "x", status: "CLOSED" })),
          "TenantClosed"
        )
      }).pipe(Effect.provide(layer)))

    it.effect("budgets and policies are taken of registered tenants", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const budget = { scope: "tenant:beta", allocated: Amount.tokens(1) }
        assert.strictEqual(yield* failure(operator.createBudget("beta", budget)), "NotFound")
        const policy = { name: "p", scopePattern: "tenant:beta/*" }
        assert.strictEqual(yield* failure(operator.createPolicy("beta", policy)), "NotFound")
        yield* operator.createTenant("beta", { name: "Beta" })
        const opened = yield* operator.createBudget("beta", {
          ...budget,
          period: { rollover: "CAP_AT_ALLOCATED", startMs: 1, endMs: 2 }
        })
        assert.deepStrictEqual(opened.period, { rollover: "CAP_AT_ALLOCATED", startMs: 1, endMs: 2 })
        const again = yield* Effect.flip(operator.createBudget("beta", budget))
        assert.strictEqual(again.details?.["conflict"], "DUPLICATE_RESOURCE")
        const backwards = { ...budget, scope: "tenant:beta/agent:a", period: { startMs: 2, endMs: 2 } }
        assert.strictEqual(yield* failure(operator.createBudget("beta", backwards)), "InvalidRequest")
      }).pipe(Effect.provide(layer)))

    it.effect("a key is found by its id, looked into by its secret, and revoked once", () =>
      Effect.gen(function*() {
        const { operator } = yield* setup
        const { key, secret } = yield* operator.createApiKey("acme", { name: "k", permissions: ["budgets:read"] })
        assert.strictEqual(yield* operator.ownerOfApiKey(key.id), "acme")
        assert.strictEqual(yield* failure(operator.ownerOfApiKey("key_none")), "NotFound")
        const reason = (of: Redacted.Redacted<string>) => Effect.map(operator.inspectApiKey(of), ({ reason }) => reason)
        const entries = yield* operator.acts("acme")
        assert.deepStrictEqual(yield* operator.inspectApiKey(secret), { key, reason: undefined })
        const wrong = Redacted.make(`${Redacted.value(secret)}x`)
        assert.deepStrictEqual(yield* operator.inspectApiKey(wrong), { key: undefined, reason: "NOT_FOUND" })
        assert.lengthOf(yield* operator.acts("acme"), entries.length)
        yield* operator.suspendTenant("acme")
        assert.strictEqual(yield* reason(secret), "TENANT_SUSPENDED")
        yield* operator.reactivateTenant("acme")
        yield* operator.revokeApiKey("acme", key.id, { once: true })
        assert.strictEqual(yield* reason(secret), "REVOKED")
        const again = yield* Effect.flip(operator.revokeApiKey("acme", key.id, { once: true }))
        assert.deepInclude(again, { _tag: "InvalidRequest", details: { conflict: "KEY_REVOKED" } })
        assert.strictEqual((yield* operator.revokeApiKey("acme", key.id)).status, "REVOKED")
        const short = yield* operator.createApiKey("acme", { name: "short", expiresAtMs: 1_000 })
        yield* TestClock.adjust(1_000)
        assert.strictEqual(yield* reason(short.secret), "EXPIRED")
      }).pipe(Effect.provide(layer)))
  })
}
