import { Commands, ReferenceModel } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import { Amount, CyclesError } from "effect-cycles"
import type { AnyAmount } from "effect-cycles/protocol/Amount"
import { EventId, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import type { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import type { ReservationsPage } from "effect-cycles/protocol/ReservationRecord"
import type { ReserveRequest } from "effect-cycles/protocol/Reserve"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"

const ROOT = "tenant:acme"
const LEAF = "tenant:acme/agent:bot"
const MAX = Amount.MAX_INT64

const budget = (
  scope: string,
  allocated: bigint,
  more: Partial<ReferenceModel.BudgetSeed> = {}
): ReferenceModel.BudgetSeed => ({ tenant: "acme", scope, unit: "TOKENS", allocated, ...more })

/** The model with a clock that one sets, and words for what is asked of it. */
const world = (
  budgets: ReadonlyArray<ReferenceModel.BudgetSeed>,
  options?: Parameters<typeof ReferenceModel.makeModel>[0],
  defaults: ReadonlyArray<ReferenceModel.TenantDefaults> = []
) => {
  const model = ReferenceModel.makeModel(options)
  const state = model.initial(budgets, 0, defaults)
  let made = 0
  const self = {
    now: 0,
    state,
    apply: (operation: ReferenceModel.Operation): ReferenceModel.Outcome => {
      made += 1
      return model.apply(state, operation, self.now, {
        reservationId: ReservationId.make(`r${made}`),
        eventId: EventId.make(`e${made}`),
        apiKeyId: `k${made}`
      })
    },
    /** The reply, as a plain object to look into. */
    ok: (operation: ReferenceModel.Operation): Record<string, unknown> => {
      const outcome = self.apply(operation)
      assert.strictEqual(outcome._tag, "Success", outcome._tag === "Failure" ? outcome.error : undefined)
      return outcome._tag === "Success" ? { ...outcome.value } : {}
    },
    fails: (operation: ReferenceModel.Operation): string => {
      const outcome = self.apply(operation)
      assert.strictEqual(outcome._tag, "Failure")
      return outcome._tag === "Failure" ? outcome.error : ""
    },
    hold: (amount: bigint, more: Partial<ReserveRequest> = {}): ReservationId =>
      self.ok(reserve(amount, { idempotencyKey: fresh(), ...more }))["reservationId"] as ReservationId,
    of: (scope: string): ReferenceModel.Budget => {
      const found = state.budgets.find((b) => b.scope === scope)
      if (found === undefined) throw new Error(`No budget at ${scope}`)
      return found
    },
    /** allocated, spent, reserved, debt, remaining and the flag of a budget. */
    figures: (scope: string): ReadonlyArray<bigint | boolean> => {
      const b = self.of(scope)
      return [b.allocated, b.spent, b.reserved, b.debt, ReferenceModel.remaining(b), b.capped]
    }
  }
  return self
}

let keys = 0
const fresh = (): IdempotencyKey => IdempotencyKey.make(`fresh-${keys++}`)
const key = (name: string): IdempotencyKey => IdempotencyKey.make(name)
const action = { kind: "llm.completion", name: "gpt-4o" }

const reserve = (
  amount: bigint | AnyAmount,
  more: Partial<ReserveRequest> = {},
  tenant = "acme"
): ReferenceModel.Operation & { readonly _tag: "Reserve" } => ({
  _tag: "Reserve",
  tenant,
  request: {
    idempotencyKey: fresh(),
    subject: { agent: "bot" },
    action,
    estimate: typeof amount === "bigint" ? { unit: "TOKENS", amount } : amount,
    ...more
  }
})

const decide = (
  amount: bigint | AnyAmount,
  subject: Subject = { agent: "bot" },
  name?: string
): ReferenceModel.Operation => ({
  _tag: "Decide",
  tenant: "acme",
  request: {
    idempotencyKey: name === undefined ? fresh() : key(name),
    subject,
    action,
    estimate: typeof amount === "bigint" ? { unit: "TOKENS", amount } : amount
  }
})

const commit = (id: ReservationId, amount: bigint, name?: string, tenant = "acme"): ReferenceModel.Operation => ({
  _tag: "Commit",
  tenant,
  id,
  request: { idempotencyKey: name === undefined ? fresh() : key(name), actual: { unit: "TOKENS", amount } }
})

const release = (id: ReservationId, name?: string): ReferenceModel.Operation => ({
  _tag: "Release",
  tenant: "acme",
  id,
  request: { idempotencyKey: name === undefined ? fresh() : key(name) }
})

const extend = (id: ReservationId, extendByMs: number, name?: string): ReferenceModel.Operation => ({
  _tag: "Extend",
  tenant: "acme",
  id,
  request: { idempotencyKey: name === undefined ? fresh() : key(name), extendByMs }
})

const event = (
  amount: bigint,
  overagePolicy?: OveragePolicy,
  unit: "TOKENS" | "CREDITS" = "TOKENS"
): ReferenceModel.Operation => ({
  _tag: "Event",
  tenant: "acme",
  request: {
    idempotencyKey: fresh(),
    subject: { agent: "bot" },
    action,
    actual: { unit, amount },
    ...(overagePolicy !== undefined && { overagePolicy })
  }
})

const fund = (
  operation: ReferenceModel.FundOperation,
  amount: bigint,
  more: { readonly scope?: string; readonly spent?: bigint; readonly name?: string } = {}
): ReferenceModel.Operation => ({
  _tag: "Fund",
  tenant: "acme",
  scope: more.scope ?? LEAF,
  unit: "TOKENS",
  request: {
    idempotencyKey: more.name === undefined ? fresh() : key(more.name),
    operation,
    amount,
    ...(more.spent !== undefined && { spent: more.spent })
  }
})

const read = (id: ReservationId, tenant = "acme"): ReferenceModel.Operation => ({ _tag: "ReadReservation", tenant, id })

describe("ReferenceModel", () => {
  describe("scopes and tenants", () => {
    it("derives cumulative paths in canonical order, skips gaps and fills in the tenant", () => {
      const w = world([budget("tenant:acme/workspace:prod", 10n)])
      const subject = { agent: "bot", toolset: "web", workspace: "prod" }
      const reply = w.ok(reserve(1n, { subject }))
      assert.deepStrictEqual(reply["affectedScopes"], [
        "tenant:acme",
        "tenant:acme/workspace:prod",
        "tenant:acme/workspace:prod/agent:bot",
        "tenant:acme/workspace:prod/agent:bot/toolset:web"
      ])
      assert.strictEqual(reply["scopePath"], "tenant:acme/workspace:prod/agent:bot/toolset:web")
      assert.strictEqual(w.fails(reserve(1n, { subject: { workspace: "Prod" } })), "BudgetNotFound")
      assert.strictEqual(w.fails(reserve(1n, { subject: { agent: "bot" } })), "BudgetNotFound")
    })

    it("refuses what is malformed before what is another's", () => {
      const w = world([budget(ROOT, 10n)])
      assert.strictEqual(w.fails(reserve(1n, { subject: { tenant: "beta", agent: "a/b" } })), "InvalidRequest")
      assert.strictEqual(w.fails(reserve(1n, { subject: { tenant: "beta" } })), "Forbidden")
      assert.strictEqual(w.fails(reserve(1n, { subject: { agent: "" } })), "InvalidRequest")
      assert.strictEqual(w.fails(reserve(1n, { subject: { dimensions: { team: "a" } } })), "InvalidRequest")
      assert.strictEqual(w.fails(reserve(1n, { subject: {} })), "InvalidRequest")
      for (const request of [{ ttlMs: 999 }, { ttlMs: 86_400_001 }, { gracePeriodMs: 60_001 }]) {
        assert.strictEqual(w.fails(reserve(1n, request)), "InvalidRequest")
      }
      assert.strictEqual(w.fails(reserve(MAX + 1n)), "InvalidRequest")
      assert.strictEqual(w.fails(reserve(-1n)), "InvalidRequest")
    })

    it("tells what never was from what is another's", () => {
      const w = world([budget(LEAF, 10n), budget("tenant:beta", 10n, { tenant: "beta" })])
      const id = w.hold(1n)
      assert.strictEqual(w.fails(commit(id, 1n, undefined, "beta")), "Forbidden")
      assert.strictEqual(w.fails(read(id, "beta")), "Forbidden")
      assert.strictEqual(w.fails(commit(ReservationId.make("none"), 1n)), "NotFound")
      assert.strictEqual(w.fails(read(ReservationId.make("none"))), "NotFound")
      w.ok(commit(id, 1n, "k"))
      assert.strictEqual(w.fails(commit(id, 1n, "k", "beta")), "Forbidden")
    })
  })

  describe("holding", () => {
    it("holds the estimate on every budgeted scope, or on none", () => {
      const w = world([budget(ROOT, 100n), budget(LEAF, 30n)])
      const reply = w.ok(reserve(30n))
      assert.deepStrictEqual(reply["balances"], [
        {
          scope: ROOT,
          scopePath: ROOT,
          remaining: { unit: "TOKENS", amount: 70n },
          reserved: { unit: "TOKENS", amount: 30n },
          spent: { unit: "TOKENS", amount: 0n },
          allocated: { unit: "TOKENS", amount: 100n }
        },
        {
          scope: LEAF,
          scopePath: LEAF,
          remaining: { unit: "TOKENS", amount: 0n },
          reserved: { unit: "TOKENS", amount: 30n },
          spent: { unit: "TOKENS", amount: 0n },
          allocated: { unit: "TOKENS", amount: 30n }
        }
      ])
      assert.deepStrictEqual(w.apply(reserve(1n)), {
        _tag: "Failure",
        error: "BudgetExceeded",
        scope: LEAF,
        unit: "TOKENS",
        requested: 1n,
        remaining: 0n
      })
      assert.deepStrictEqual(w.figures(ROOT), [100n, 0n, 30n, 0n, 70n, false])
      w.ok(reserve(0n))
    })

    it("fails at the widest scope first, and within a scope in the order of the specification", () => {
      const all = { capped: true, debt: 5n }
      const tags = [
        [budget(ROOT, 0n), budget(LEAF, 10n, { status: "FROZEN" })],
        [budget(ROOT, 10n), budget(LEAF, 0n, { status: "FROZEN", ...all })],
        [budget(LEAF, 0n, { status: "CLOSED", ...all })],
        [budget(LEAF, 0n, all)],
        [budget(LEAF, 0n, { debt: 5n })],
        [budget(LEAF, 0n, { debt: 5n, overdraftLimit: 5n })]
      ].map((budgets) => world(budgets).fails(reserve(1n)))
      assert.deepStrictEqual(tags, [
        "BudgetExceeded",
        "BudgetFrozen",
        "BudgetClosed",
        "OverdraftLimitExceeded",
        "DebtOutstanding",
        "BudgetExceeded"
      ])
    })

    it("lets debt within a positive limit pass", () => {
      const w = world([budget(LEAF, 10n, { debt: 5n, overdraftLimit: 5n })])
      w.hold(5n)
      assert.strictEqual(w.fails(reserve(1n)), "BudgetExceeded")
    })

    it("tells a wrong unit from no budget", () => {
      const w = world([budget(ROOT, 10n, { unit: "CREDITS" }), budget(LEAF, 10n)])
      w.ok(reserve(Amount.tokens(10)))
      w.ok(reserve(Amount.credits(10)))
      assert.deepStrictEqual(w.apply(reserve(Amount.usd(1))), {
        _tag: "Failure",
        error: "UnitMismatch",
        scope: ROOT,
        unit: "USD_MICROCENTS"
      })
      assert.strictEqual(w.fails(decide(Amount.usd(1))), "UnitMismatch")
      assert.strictEqual(world([]).fails(reserve(1n)), "BudgetNotFound")
      assert.strictEqual(
        w.fails(
          {
            ...commit(w.hold(0n), 0n),
            request: { idempotencyKey: fresh(), actual: Amount.credits(0) }
          } as ReferenceModel.Operation
        ),
        "UnitMismatch"
      )
      assert.strictEqual(world([budget(LEAF, 1n)]).fails(event(1n, undefined, "CREDITS")), "UnitMismatch")
    })

    it("answers a question and a dry run with a verdict, and holds nothing", () => {
      const w = world([budget(ROOT, 10n)])
      assert.deepStrictEqual(w.ok(decide(10n)), { decision: "ALLOW", affectedScopes: [ROOT, LEAF] })
      assert.deepStrictEqual(w.ok(decide(11n)), {
        decision: "DENY",
        reasonCode: "BUDGET_EXCEEDED",
        affectedScopes: [ROOT, LEAF]
      })
      const allowed = w.ok(reserve(10n, { dryRun: true }))
      assert.deepStrictEqual(Object.keys(allowed).sort(), [
        "affectedScopes",
        "balances",
        "decision",
        "reserved",
        "scopePath"
      ])
      assert.deepStrictEqual(w.figures(ROOT), [10n, 0n, 0n, 0n, 10n, false])
      assert.strictEqual(w.ok(reserve(11n, { dryRun: true }))["reasonCode"], "BUDGET_EXCEEDED")
      assert.strictEqual(world([]).ok(decide(1n))["reasonCode"], "BUDGET_NOT_FOUND")
      assert.strictEqual(world([]).ok(reserve(1n, { dryRun: true }))["reasonCode"], "BUDGET_NOT_FOUND")
      assert.strictEqual(w.state.reservations.length, 0)
    })
  })

  describe("committing", () => {
    const over = (policy: OveragePolicy, root: ReferenceModel.BudgetSeed, leaf: ReferenceModel.BudgetSeed) => {
      const w = world([root, leaf])
      return { w, id: w.hold(10n, { overagePolicy: policy }) }
    }

    it("gives back what was not used", () => {
      const { id, w } = over("REJECT", budget(ROOT, 100n), budget(LEAF, 50n))
      const reply = w.ok(commit(id, 4n))
      assert.deepStrictEqual([reply["charged"], reply["released"]], [Amount.tokens(4), Amount.tokens(6)])
      assert.deepStrictEqual(w.figures(ROOT), [100n, 4n, 0n, 0n, 96n, false])
      assert.deepStrictEqual(w.figures(LEAF), [50n, 4n, 0n, 0n, 46n, false])
    })

    it("releases nothing when all was used", () => {
      const { id, w } = over("REJECT", budget(ROOT, 100n), budget(LEAF, 50n))
      assert.isFalse("released" in w.ok(commit(id, 10n)))
      assert.deepStrictEqual(w.figures(LEAF), [50n, 10n, 0n, 0n, 40n, false])
    })

    it("REJECT refuses anything above the estimate, and the hold stays", () => {
      const { id, w } = over("REJECT", budget(ROOT, 100n), budget(LEAF, 50n))
      assert.strictEqual(w.fails(commit(id, 11n)), "BudgetExceeded")
      assert.deepStrictEqual(w.figures(LEAF), [50n, 0n, 10n, 0n, 40n, false])
      w.ok(commit(id, 10n))
    })

    it("ALLOW_IF_AVAILABLE charges what the tightest scope has, and flags the scopes that were short", () => {
      const { id, w } = over("ALLOW_IF_AVAILABLE", budget(ROOT, 100n), budget(LEAF, 13n))
      const reply = w.ok(commit(id, 30n))
      assert.deepStrictEqual(reply["charged"], Amount.tokens(13))
      assert.isFalse("released" in reply)
      // The root could have covered the 20 above the estimate: it is not flagged.
      assert.deepStrictEqual(w.figures(ROOT), [100n, 13n, 0n, 0n, 87n, false])
      assert.deepStrictEqual(w.figures(LEAF), [13n, 13n, 0n, 0n, 0n, true])
      assert.strictEqual(w.fails(reserve(0n)), "OverdraftLimitExceeded")
      assert.strictEqual(w.ok(decide(0n))["reasonCode"], "OVERDRAFT_LIMIT_EXCEEDED")
      w.ok(reserve(1n, { subject: { tenant: "acme" } }))
    })

    it("ALLOW_IF_AVAILABLE charges all of it where there is room, and the estimate where less than nothing remains", () => {
      const room = over("ALLOW_IF_AVAILABLE", budget(ROOT, 100n), budget(LEAF, 13n))
      assert.deepStrictEqual(room.w.ok(commit(room.id, 13n))["charged"], Amount.tokens(13))
      assert.deepStrictEqual(room.w.figures(LEAF), [13n, 13n, 0n, 0n, 0n, false])

      const none = over("ALLOW_IF_AVAILABLE", budget(ROOT, 100n), budget(LEAF, 13n))
      none.w.ok(fund("RESET", 4n))
      assert.deepStrictEqual(none.w.figures(LEAF), [4n, 0n, 10n, 0n, -6n, false])
      assert.deepStrictEqual(none.w.ok(commit(none.id, 12n))["charged"], Amount.tokens(10))
      assert.deepStrictEqual(none.w.figures(LEAF), [4n, 10n, 0n, 0n, -6n, true])
    })

    it("ALLOW_WITH_OVERDRAFT splits into what is there and debt up to the limit", () => {
      const { id, w } = over("ALLOW_WITH_OVERDRAFT", budget(ROOT, 100n), budget(LEAF, 13n, { overdraftLimit: 7n }))
      assert.deepStrictEqual(w.apply(commit(id, 21n)), {
        _tag: "Failure",
        error: "OverdraftLimitExceeded",
        scope: LEAF,
        unit: "TOKENS"
      })
      assert.deepStrictEqual(w.figures(LEAF), [13n, 0n, 10n, 0n, 3n, false])
      assert.deepStrictEqual(w.figures(ROOT), [100n, 0n, 10n, 0n, 90n, false])
      assert.deepStrictEqual(w.ok(commit(id, 20n))["charged"], Amount.tokens(20))
      assert.deepStrictEqual(w.figures(ROOT), [100n, 20n, 0n, 0n, 80n, false])
      assert.deepStrictEqual(w.figures(LEAF), [13n, 13n, 0n, 7n, -7n, false])
    })

    it("ALLOW_WITH_OVERDRAFT is capped by a scope without a limit, which is flagged", () => {
      const { id, w } = over("ALLOW_WITH_OVERDRAFT", budget(ROOT, 15n), budget(LEAF, 12n, { overdraftLimit: 50n }))
      assert.deepStrictEqual(w.ok(commit(id, 40n))["charged"], Amount.tokens(15))
      assert.deepStrictEqual(w.figures(ROOT), [15n, 15n, 0n, 0n, 0n, true])
      assert.deepStrictEqual(w.figures(LEAF), [12n, 12n, 0n, 3n, -3n, false])
    })

    it("settles a hold on a budget that was frozen or closed since", () => {
      for (const status of ["FROZEN", "CLOSED"] as const) {
        const { id, w } = over("REJECT", budget(ROOT, 100n), budget(LEAF, 50n))
        w.ok({ _tag: "SetStatus", tenant: "acme", scope: LEAF, unit: "TOKENS", status })
        w.ok(extend(id, 1))
        w.ok(commit(id, 4n))
        assert.deepStrictEqual(w.figures(LEAF), [50n, 4n, 0n, 0n, 46n, false])
      }
    })

    it("never leaves int64 in silence", () => {
      const w = world([budget(LEAF, MAX)])
      const id = w.hold(5n)
      w.ok(fund("RESET_SPENT", MAX, { spent: MAX - 4n }))
      assert.strictEqual(w.fails(commit(id, 5n)), "InvalidRequest")
      assert.deepStrictEqual(w.figures(LEAF), [MAX, MAX - 4n, 5n, 0n, -1n, false])
      assert.strictEqual(w.fails(fund("CREDIT", 1n)), "InvalidRequest")
      w.ok(commit(id, 4n))
      assert.deepStrictEqual(w.figures(LEAF), [MAX, MAX, 0n, 0n, 0n, false])
    })
  })

  describe("time", () => {
    it("commits through the last millisecond of the grace, and not after", () => {
      for (const settle of [(id: ReservationId) => commit(id, 1n), (id: ReservationId) => release(id)]) {
        const w = world([budget(LEAF, 10n)])
        const [a, b] = [w.hold(1n, { ttlMs: 1_000 }), w.hold(1n, { ttlMs: 1_000, gracePeriodMs: 0 })]
        w.now = 1_000
        w.ok(read(b))
        w.now = 1_001
        assert.strictEqual(w.fails(settle(b)), "ReservationExpired")
        w.now = 6_000
        w.ok(settle(a))
      }
      const w = world([budget(LEAF, 10n)])
      const id = w.hold(4n)
      w.now = 65_001
      assert.strictEqual(w.fails(commit(id, 1n)), "ReservationExpired")
      assert.strictEqual(w.fails(release(id)), "ReservationExpired")
      assert.strictEqual(w.fails(read(id)), "ReservationExpired")
      assert.deepStrictEqual(w.figures(LEAF), [10n, 0n, 0n, 0n, 10n, false])
    })

    it("gives what is due back before it denies", () => {
      const w = world([budget(LEAF, 10n)])
      w.hold(10n, { ttlMs: 1_000, gracePeriodMs: 10 })
      w.now = 1_010
      assert.strictEqual(w.fails(reserve(10n)), "BudgetExceeded")
      w.now = 1_011
      w.ok(reserve(10n))
    })

    it("extends from the old end, not within the grace, and not for ever", () => {
      const w = world([budget(LEAF, 10n)], { maxExtensions: 2 })
      const id = w.hold(1n, { ttlMs: 1_000 })
      w.now = 1_000
      const reply = w.ok(extend(id, 500))
      assert.deepStrictEqual([reply["expiresAtMs"], reply["remainingTtlMs"]], [1_500, 500])
      w.now = 1_501
      assert.strictEqual(w.fails(extend(id, 500)), "ReservationExpired")
      assert.strictEqual(w.ok(read(id))["status"], "ACTIVE")
      w.ok(commit(id, 1n))

      const other = w.hold(1n)
      w.ok(extend(other, 1))
      w.ok(extend(other, 1))
      assert.strictEqual(w.fails(extend(other, 1)), "MaxExtensionsExceeded")
      const ten = world([budget(LEAF, 10n)])
      const third = ten.hold(1n)
      for (let i = 0; i < 10; i++) ten.ok(extend(third, 1))
      assert.strictEqual(ten.fails(extend(third, 1)), "MaxExtensionsExceeded")
    })

    it("ends a reservation once", () => {
      const w = world([budget(LEAF, 10n)])
      const id = w.hold(4n)
      w.ok(release(id))
      assert.strictEqual(w.fails(release(id)), "ReservationFinalized")
      assert.strictEqual(w.fails(commit(id, 1n)), "ReservationFinalized")
      assert.strictEqual(w.fails(extend(id, 1)), "ReservationFinalized")
      w.now = 1_000_000
      assert.strictEqual(w.ok(read(id))["status"], "RELEASED")
      assert.deepStrictEqual(w.figures(LEAF), [10n, 0n, 0n, 0n, 10n, false])
    })
  })

  describe("idempotency", () => {
    it("gives the first reply again, with the time that is left of the first lease", () => {
      const w = world([budget(LEAF, 10n)])
      const op = reserve(4n, { ttlMs: 1_000 })
      const first = w.ok(op)
      const id = first["reservationId"] as ReservationId
      w.now = 400
      w.ok(extend(id, 10_000))
      assert.deepStrictEqual(w.ok(op), { ...first, remainingTtlMs: 600 })
      w.now = 1_400
      assert.deepStrictEqual(w.ok(op), { ...first, remainingTtlMs: 0 })
      const extension = extend(id, 1_000, "x")
      const extended = w.ok(extension)
      assert.strictEqual(extended["remainingTtlMs"], 10_600)
      w.ok(commit(id, 4n, "c"))
      assert.deepStrictEqual(w.ok(extension), { ...extended, remainingTtlMs: 0 })
      assert.deepStrictEqual(w.ok(commit(id, 4n, "c"))["charged"], Amount.tokens(4))
      assert.deepStrictEqual(w.figures(LEAF), [10n, 4n, 0n, 0n, 6n, false])
    })

    it("refuses a key that was used for something else", () => {
      const w = world([budget(LEAF, 10n)])
      const idempotencyKey = key("k")
      const id = w.hold(1n, { idempotencyKey })
      assert.strictEqual(w.fails(reserve(2n, { idempotencyKey })), "IdempotencyMismatch")
      assert.strictEqual(w.fails(reserve(1n, { idempotencyKey, dryRun: true })), "IdempotencyMismatch")
      assert.strictEqual(w.fails(reserve(1n, { idempotencyKey, ttlMs: 60_000 })), "IdempotencyMismatch")
      assert.strictEqual(
        w.fails(reserve(1n, { idempotencyKey, subject: { tenant: "acme", agent: "bot" } })),
        "IdempotencyMismatch"
      )
      // Malformed and foreign requests are refused as such, whatever their key.
      assert.strictEqual(w.fails(reserve(1n, { idempotencyKey, subject: {} })), "InvalidRequest")
      assert.strictEqual(w.fails(reserve(1n, { idempotencyKey, subject: { tenant: "beta" } })), "Forbidden")
      w.ok(decide(2n, undefined, "k"))
      w.ok(commit(id, 1n, "k"))
      assert.strictEqual(w.fails(commit(w.hold(1n), 1n, "k")), "IdempotencyMismatch")
      assert.strictEqual(w.fails(commit(ReservationId.make("none"), 1n, "k")), "NotFound")
    })

    it("does not look at the order of fields", () => {
      const w = world([budget(LEAF, 10n)])
      const id = w.hold(1n, { idempotencyKey: key("k"), metadata: { a: 1, b: [2n, { c: 3, d: 4 }] } })
      assert.strictEqual(w.hold(1n, { metadata: { b: [2n, { d: 4, c: 3 }], a: 1 }, idempotencyKey: key("k") }), id)
    })

    it("keeps no record of a refusal, but does of a DENY", () => {
      const w = world([budget(LEAF, 10n)])
      const op = reserve(11n)
      assert.strictEqual(w.fails(op), "BudgetExceeded")
      w.ok(decide(11n, undefined, "d"))
      w.ok(fund("CREDIT", 1n))
      w.ok(op)
      assert.strictEqual(w.ok(decide(11n, undefined, "d"))["decision"], "DENY")
    })

    it("keeps the keys of funding per budget", () => {
      const w = world([budget(ROOT, 0n), budget(LEAF, 0n)])
      w.ok(fund("CREDIT", 5n, { name: "f" }))
      w.ok(fund("CREDIT", 5n, { name: "f" }))
      w.ok(fund("CREDIT", 5n, { name: "f", scope: ROOT }))
      assert.strictEqual(w.fails(fund("CREDIT", 6n, { name: "f" })), "IdempotencyMismatch")
      assert.deepStrictEqual([w.of(ROOT).allocated, w.of(LEAF).allocated], [5n, 5n])
    })
  })

  describe("events", () => {
    it("charges without a hold, by the same arithmetic", () => {
      const w = world([budget(ROOT, 100n), budget(LEAF, 10n)])
      const reply = w.ok(event(4n))
      assert.strictEqual(reply["status"], "APPLIED")
      assert.isFalse("charged" in reply)
      assert.deepStrictEqual(w.apply(event(7n, "REJECT")), {
        _tag: "Failure",
        error: "BudgetExceeded",
        scope: LEAF,
        unit: "TOKENS",
        requested: 7n,
        remaining: 6n
      })
      assert.deepStrictEqual(w.ok(event(7n))["charged"], Amount.tokens(6))
      assert.deepStrictEqual(w.figures(LEAF), [10n, 10n, 0n, 0n, 0n, true])
      assert.deepStrictEqual(w.figures(ROOT), [100n, 10n, 0n, 0n, 90n, false])
      // Over limit, and still events are taken.
      assert.deepStrictEqual(w.ok(event(7n))["charged"], Amount.tokens(0))
    })

    it("makes debt up to the limit", () => {
      const w = world([budget(LEAF, 10n, { overdraftLimit: 5n })])
      assert.strictEqual(w.fails(event(16n, "ALLOW_WITH_OVERDRAFT")), "OverdraftLimitExceeded")
      w.ok(event(15n, "ALLOW_WITH_OVERDRAFT"))
      assert.deepStrictEqual(w.figures(LEAF), [10n, 10n, 0n, 5n, -5n, false])
    })

    it("is refused by a budget that is frozen or closed, and where there is none", () => {
      assert.strictEqual(world([budget(LEAF, 10n, { status: "FROZEN" })]).fails(event(1n)), "BudgetFrozen")
      assert.strictEqual(world([budget(LEAF, 10n, { status: "CLOSED" })]).fails(event(1n)), "BudgetClosed")
      assert.strictEqual(world([]).fails(event(1n)), "BudgetNotFound")
    })
  })

  describe("funding", () => {
    it("repays debt first, and remaining rises by what was given", () => {
      const credited = world([budget(LEAF, 10n, { spent: 10n, debt: 7n, overdraftLimit: 7n })])
      credited.ok(fund("CREDIT", 4n))
      assert.deepStrictEqual(credited.figures(LEAF), [14n, 14n, 0n, 3n, -3n, false])
      credited.ok(fund("CREDIT", 5n))
      assert.deepStrictEqual(credited.figures(LEAF), [19n, 17n, 0n, 0n, 2n, false])
      const repaid = world([budget(LEAF, 10n, { spent: 10n, debt: 7n, overdraftLimit: 7n })])
      repaid.ok(fund("REPAY_DEBT", 4n))
      assert.deepStrictEqual(repaid.figures(LEAF), [10n, 10n, 0n, 3n, -3n, false])
      repaid.ok(fund("REPAY_DEBT", 5n))
      assert.deepStrictEqual(repaid.figures(LEAF), [12n, 10n, 0n, 0n, 2n, false])
    })

    it("takes away no more than remains, and resets", () => {
      const w = world([budget(LEAF, 10n, { spent: 4n })])
      assert.strictEqual(w.fails(fund("DEBIT", 7n)), "BudgetExceeded")
      w.ok(fund("DEBIT", 6n))
      assert.deepStrictEqual(w.figures(LEAF), [4n, 4n, 0n, 0n, 0n, false])
      w.ok(fund("RESET", 20n))
      assert.deepStrictEqual(w.figures(LEAF), [20n, 4n, 0n, 0n, 16n, false])
      w.ok(fund("RESET_SPENT", 30n, { spent: 1n }))
      assert.deepStrictEqual(w.figures(LEAF), [30n, 1n, 0n, 0n, 29n, false])
      w.ok(fund("RESET_SPENT", 5n))
      assert.deepStrictEqual(w.figures(LEAF), [5n, 0n, 0n, 0n, 5n, false])
    })

    it("clears the flag once something remains, but never by a DEBIT or over the limit", () => {
      const flag = (budgets: Partial<ReferenceModel.BudgetSeed>, op: ReferenceModel.Operation): boolean => {
        const w = world([budget(LEAF, 10n, { capped: true, ...budgets })])
        w.ok(op)
        return w.of(LEAF).capped
      }
      assert.isFalse(flag({ spent: 10n }, fund("CREDIT", 1n)))
      assert.isTrue(flag({ spent: 10n }, fund("CREDIT", 0n)))
      assert.isTrue(flag({ spent: 5n }, fund("DEBIT", 1n)))
      assert.isFalse(flag({ spent: 10n }, fund("RESET", 11n)))
      assert.isTrue(flag({ spent: 10n }, fund("RESET", 10n)))
      assert.isFalse(flag({ spent: 10n }, fund("RESET_SPENT", 1n)))
      assert.isTrue(flag({ debt: 6n, overdraftLimit: 6n }, fund("REPAY_DEBT", 6n)))
    })

    it("flags a limit lowered below the debt", () => {
      const w = world([budget(LEAF, 10n, { debt: 5n, overdraftLimit: 5n })])
      const lower = (overdraftLimit: bigint): ReferenceModel.Operation => ({
        _tag: "SetLimit",
        tenant: "acme",
        scope: LEAF,
        unit: "TOKENS",
        overdraftLimit
      })
      w.ok(lower(5n))
      w.ok(reserve(0n))
      w.ok(lower(4n))
      assert.strictEqual(w.fails(reserve(0n)), "OverdraftLimitExceeded")
      w.ok(lower(0n))
      assert.strictEqual(w.fails(reserve(0n)), "DebtOutstanding")
    })

    it("is refused by a budget that is frozen, closed or not there", () => {
      assert.strictEqual(world([budget(LEAF, 1n, { status: "FROZEN" })]).fails(fund("CREDIT", 1n)), "BudgetFrozen")
      assert.strictEqual(world([budget(LEAF, 1n, { status: "CLOSED" })]).fails(fund("DEBIT", 1n)), "BudgetClosed")
      assert.strictEqual(world([budget(ROOT, 1n)]).fails(fund("CREDIT", 1n)), "BudgetNotFound")
    })
  })

  describe("a limit", () => {
    const DAY = 86_400_000
    const daily: ReferenceModel.Limit = { id: "daily", window: { every: "day", timeZone: "UTC" }, amount: 100n }
    const read: ReferenceModel.Operation = { _tag: "Limits", tenant: "acme", scope: ROOT, unit: "TOKENS" }
    const put = (...limits: ReadonlyArray<ReferenceModel.Limit>): ReferenceModel.Operation => ({
      _tag: "SetLimits",
      tenant: "acme",
      scope: ROOT,
      unit: "TOKENS",
      limits
    })
    const limited = (...limits: ReadonlyArray<ReferenceModel.Limit>) => {
      const w = world([budget(ROOT, 10_000n, { limits })])
      /** Of each limit: used, held, carried over, remaining. */
      const stands = () =>
        (w.ok(read)["limits"] as ReadonlyArray<ReferenceModel.LimitState>).map(
          ({ carriedOver, held, remaining, used }) => [used, held, carriedOver, remaining]
        )
      return { ...w, stands, at: (now: number) => void (w.now = now), w }
    }

    it("counts what is taken within its window, where it was taken", () => {
      const { at, stands, w } = limited(daily)
      const early = w.hold(60n, { ttlMs: DAY })
      at(DAY - 1)
      assert.deepInclude(w.apply(reserve(41n)), { error: "BudgetExceeded", remaining: 40n, retryAfterMs: 1 })
      at(DAY)
      w.hold(100n)
      w.ok({
        _tag: "Commit",
        tenant: "acme",
        id: early,
        request: { idempotencyKey: fresh(), actual: Amount.tokens(60) }
      })
      assert.deepStrictEqual(stands(), [[0n, 100n, 0n, 0n]])
    })

    it("is known by the calendar on the wall: weeks begin on Monday, days where the clocks say", () => {
      const week: ReferenceModel.Limit = { ...daily, window: { every: "week", timeZone: "Asia/Kolkata" } }
      const { at, w } = limited(week)
      // The first Sunday of 1970 ends in India at half past six in the evening of Greenwich.
      w.hold(100n)
      const monday = 4 * DAY - 5.5 * 3_600_000
      assert.deepInclude(w.apply(reserve(1n)), { retryAfterMs: monday })
      at(monday)
      w.hold(100n)
    })

    it("carries over what its own amount left, up to a cap, from when it was put there", () => {
      const { at, stands, w } = limited({ ...daily, rollover: 30n })
      assert.deepStrictEqual(stands(), [[0n, 0n, 0n, 100n]])
      w.hold(20n, { ttlMs: 86_400_000 })
      at(DAY)
      assert.deepStrictEqual(stands(), [[0n, 0n, 30n, 130n]])
      w.hold(120n, { ttlMs: 86_400_000 })
      at(2 * DAY)
      assert.deepStrictEqual(stands(), [[0n, 0n, 10n, 110n]])
    })

    it("that rolls forgets a piece when the last of it has left", () => {
      const { at, w } = limited({ ...daily, window: { rollingMs: 24_000 } })
      w.hold(100n, { ttlMs: 86_400_000 })
      assert.deepInclude(w.apply(reserve(1n)), { retryAfterMs: 24_999 })
      assert.notProperty(w.apply(reserve(101n)), "retryAfterMs")
      at(24_999)
      w.hold(100n)
    })

    it("goes on counting when its amount changes, and begins anew with another window", () => {
      const { stands, w } = limited(daily)
      w.hold(60n)
      w.ok(put({ ...daily, amount: 200n }))
      assert.deepStrictEqual(stands(), [[0n, 60n, 0n, 140n]])
      w.ok(put({ ...daily, window: { rollingMs: 60_000 } }))
      assert.deepStrictEqual(stands(), [[0n, 0n, 0n, 100n]])
      w.ok(put())
      assert.deepStrictEqual(stands(), [])
    })
  })

  describe("an API key", () => {
    /** A budget, and a tenant that is registered, since only such have keys. */
    const registered = () =>
      world([budget(ROOT, 100n), budget("tenant:acme/workspace:eng", 100n)], {}, [{ tenant: "acme" }])
    const create = (
      rights: Partial<ReferenceModel.ApiKeyRights> = {},
      expiresAtMs?: number
    ): ReferenceModel.Operation => ({
      _tag: "CreateApiKey",
      tenant: "acme",
      rights,
      ...(expiresAtMs !== undefined && { expiresAtMs })
    })
    const by = (apiKeyId: unknown, operation: ReferenceModel.Operation): ReferenceModel.Operation => ({
      ...operation,
      apiKeyId: String(apiKeyId)
    })
    const balances: ReferenceModel.Operation = { _tag: "Balances", tenant: "acme", query: { tenant: "acme" } }

    it("does what it is permitted, for as long as it lives and is not revoked", () => {
      const w = registered()
      const id = w.ok(create({ permissions: ["reservations:create"] }, 1_000))["apiKeyId"]
      const first = reserve(10n, { idempotencyKey: fresh() })
      w.ok(by(id, first))
      assert.strictEqual(w.fails(by(id, balances)), "Forbidden")
      w.ok({ _tag: "UpdateApiKey", tenant: "acme", id: String(id), rights: { permissions: ["admin:read"] } })
      w.ok(by(id, balances))
      assert.strictEqual(w.fails(by(id, first)), "Forbidden")
      w.now = 999
      w.ok(by(id, balances))
      w.now = 1_000
      assert.strictEqual(w.fails(by(id, balances)), "Unauthorized")
      const next = w.ok(create())["apiKeyId"]
      w.ok(by(next, first))
      w.ok({ _tag: "RevokeApiKey", tenant: "acme", id: String(next) })
      assert.strictEqual(w.fails(by(next, first)), "Unauthorized")
      assert.strictEqual(w.fails(by("none", first)), "Unauthorized")
    })

    it("acts where its filter lets it: at each level it names, by one of the names", () => {
      const w = registered()
      const id = w.ok(create({ scopeFilter: ["workspace:eng", "workspace:ops", "agent:*"] }))["apiKeyId"]
      const at = (subject: Subject) => by(id, reserve(1n, { idempotencyKey: fresh(), subject }))
      w.ok(at({ workspace: "eng", agent: "a" }))
      w.ok(at({ workspace: "ops", agent: "b" }))
      assert.strictEqual(w.fails(at({ workspace: "dev", agent: "a" })), "Forbidden")
      assert.strictEqual(w.fails(at({ workspace: "eng" })), "Forbidden")
      const elsewhere = w.hold(1n)
      assert.strictEqual(w.fails(by(id, { _tag: "ReadReservation", tenant: "acme", id: elsewhere })), "Forbidden")
      assert.deepStrictEqual(w.ok(by(id, balances))["balances"], [])
    })

    it("ends with its tenant", () => {
      const w = registered()
      const id = w.ok(create())["apiKeyId"]
      w.ok({ _tag: "SetTenantStatus", tenant: "acme", status: "SUSPENDED" })
      assert.strictEqual(w.fails(create()), "Forbidden")
      w.ok(by(id, balances))
      w.ok({ _tag: "SetTenantStatus", tenant: "acme", status: "CLOSED" })
      assert.strictEqual(w.fails(by(id, balances)), "Unauthorized")
      assert.strictEqual(w.fails(create()), "TenantClosed")
    })
  })

  describe("reading", () => {
    const scopes = (w: ReturnType<typeof world>, query: object): ReadonlyArray<string> =>
      (w.ok({ _tag: "Balances", tenant: "acme", query })["balances"] as ReadonlyArray<{ readonly scope: string }>)
        .map((balance) => balance.scope)

    it("finds the budgets with all of the given segments, of the own tenant, in order", () => {
      const w = world([
        budget("tenant:acme/workspace:prod/agent:bot", 1n),
        budget("tenant:beta/agent:bot", 1n, { tenant: "beta" }),
        budget("tenant:acme/agent:bot-2", 1n),
        budget(LEAF, 1n),
        budget(ROOT, 1n)
      ])
      assert.deepStrictEqual(scopes(w, { agent: "bot" }), [LEAF, "tenant:acme/workspace:prod/agent:bot"])
      assert.deepStrictEqual(scopes(w, { workspace: "prod", agent: "bot" }), ["tenant:acme/workspace:prod/agent:bot"])
      assert.deepStrictEqual(scopes(w, { tenant: "acme" }).length, 4)
      assert.strictEqual(w.fails({ _tag: "Balances", tenant: "acme", query: {} }), "InvalidRequest")
      assert.strictEqual(w.fails({ _tag: "Balances", tenant: "acme", query: { tenant: "beta" } }), "Forbidden")
    })

    it("filters and sorts reservations", () => {
      const w = world([budget(ROOT, 100n)])
      const list = (query: object): ReadonlyArray<string> => {
        const outcome = w.apply({ _tag: "ListReservations", tenant: "acme", query })
        return outcome._tag === "Failure"
          ? [outcome.error]
          : (outcome.value as ReservationsPage).reservations.map((r) => r.reservationId)
      }
      const a = w.hold(3n, { idempotencyKey: key("a"), ttlMs: 1_000 })
      w.now = 10
      const b = w.hold(1n, { subject: { agent: "writer" }, metadata: { x: 1 } })
      const c = w.hold(2n)
      w.now = 20
      w.ok(commit(c, 2n))
      assert.deepStrictEqual(list({}), [b, c, a])
      assert.deepStrictEqual(list({ sortDir: "asc" }), [a, b, c])
      assert.deepStrictEqual(list({ sortBy: "reserved" }), [a, c, b])
      assert.deepStrictEqual(list({ idempotencyKey: "a" }), [a])
      assert.deepStrictEqual(list({ agent: "writer" }), [b])
      assert.deepStrictEqual(list({ createdFromMs: 10 }), [b, c])
      assert.deepStrictEqual(list({ createdToMs: 9 }), [a])
      assert.deepStrictEqual(list({ finalizedToMs: 20 }), [c])
      assert.deepStrictEqual(list({ finalizedFromMs: 21 }), [])
      assert.deepStrictEqual(list({ expiresFromMs: 1_001 }), [b, c])
      assert.deepStrictEqual(list({ createdFromMs: 2, createdToMs: 1 }), ["InvalidRequest"])
      assert.deepStrictEqual(list({ tenant: "beta" }), ["Forbidden"])
      w.now = 6_001
      assert.deepStrictEqual(list({ status: "EXPIRED" }), [a])
      assert.deepStrictEqual(w.ok(read(b)), {
        reservationId: b,
        status: "ACTIVE",
        idempotencyKey: w.state.reservations[1]?.key,
        subject: { agent: "writer", tenant: "acme" },
        action,
        reserved: Amount.tokens(1),
        createdAtMs: 10,
        expiresAtMs: 60_010,
        scopePath: "tenant:acme/agent:writer",
        affectedScopes: [ROOT, "tenant:acme/agent:writer"],
        metadata: { x: 1 }
      })
    })
  })

  describe("comparing", () => {
    const balance = { scope: ROOT, scopePath: ROOT, remaining: Amount.tokens(1) }
    it("lets a balance say what goes without saying", () => {
      const said = { ...balance, debt: Amount.tokens(0), isOverLimit: false }
      assert.isTrue(ReferenceModel.agrees({ _tag: "Success", value: balance }, { _tag: "Success", value: said }))
      const more = { ...said, debt: Amount.tokens(1) }
      assert.isFalse(ReferenceModel.agrees({ _tag: "Success", value: balance }, { _tag: "Success", value: more }))
      assert.isTrue(
        ReferenceModel.agrees({ _tag: "Success", value: balance }, { _tag: "Success", value: more }, {
          ignore: ["debt"]
        })
      )
    })
    it("compares of a failure what the model knows", () => {
      const expected = { _tag: "Failure", error: "BudgetExceeded", remaining: 1n } as const
      const error = new CyclesError.BudgetExceeded({ scope: ROOT, remaining: 1n })
      assert.isTrue(ReferenceModel.agrees(expected, ReferenceModel.fromError(error)))
      assert.isFalse(ReferenceModel.agrees({ ...expected, remaining: 2n }, ReferenceModel.fromError(error)))
      assert.isFalse(ReferenceModel.agrees({ ...expected, error: "BudgetFrozen" }, ReferenceModel.fromError(error)))
    })
  })
})

/** Walks a scenario and looks at the state around each step; gives the number of steps. */
const walk = (
  scenario: Commands.Scenario,
  look: (
    step: Commands.Step,
    before: ReadonlyArray<ReferenceModel.Budget>,
    after: ReferenceModel.State,
    outcome: ReferenceModel.Outcome
  ) => void
): number => {
  const driver = Commands.makeDriver(scenario)
  let n = 0
  for (const command of scenario.commands) {
    for (const step of driver.steps(command)) {
      const before = driver.state.budgets.map((b) => ({ ...b }))
      look(step, before, driver.state, driver.expect(step, Commands.idsOf(undefined, n++)))
    }
  }
  return n
}

const invariants = (scenario: Commands.Scenario): number =>
  walk(scenario, ({ now, operation }, before, { budgets, defaults, policies, reservations }, outcome) => {
    budgets.forEach((b, i) => {
      const was = before[i] ?? b
      // I1, and I9: figures stay within int64.
      assert.strictEqual(ReferenceModel.remaining(b), b.allocated - b.spent - b.reserved - b.debt)
      for (const n of [b.allocated, b.spent, b.reserved, b.debt]) assert.isTrue(n >= 0n && n <= MAX)
      // I2: a hold takes nothing below zero.
      if (operation._tag === "Reserve" && b.reserved > was.reserved) assert.isTrue(ReferenceModel.remaining(b) >= 0n)
      // I6: what is reserved is what is held and not past its grace, in the tenant that was just looked at.
      const held = reservations.filter((r) => r.status === "ACTIVE" && r.budgets.includes(b))
      assert.strictEqual(b.reserved, held.reduce((sum, r) => sum + r.estimate.amount, 0n))
      if (b.tenant === operation.tenant) {
        assert.isTrue(held.every((r) => now <= r.expiresAtMs + r.graceMs))
      } else {
        // I11
        assert.deepStrictEqual(b, was)
      }
      // I7: new debt stays within the limit, and only an overdraft makes it.
      if (b.debt > was.debt) {
        assert.isTrue(b.debt <= b.overdraftLimit)
        const policy = operation._tag === "Commit"
          ? reservations.find((r) => r.id === operation.id)?.policy
          : operation._tag === "Event"
          ? operation.request.overagePolicy ??
            [...policies, ...defaults].find(({ overagePolicy }) => overagePolicy === "ALLOW_WITH_OVERDRAFT")
              ?.overagePolicy
          : undefined
        assert.strictEqual(policy, "ALLOW_WITH_OVERDRAFT")
      }
      const isSet = operation._tag === "SetLimit" && operation.scope === b.scope && operation.unit === b.unit
      if (isSet && b.overdraftLimit > 0n && b.debt > b.overdraftLimit) {
        assert.isTrue(outcome._tag === "Success" && "isOverLimit" in outcome.value)
      }
    })
    // A refusal changes nothing but what was due.
    if (outcome._tag === "Failure") {
      budgets.forEach((b, i) => assert.deepStrictEqual({ ...b, reserved: 0n }, { ...before[i], reserved: 0n }))
    }
  })

describe("Commands", () => {
  it("keeps the invariants over seeded sequences", () => {
    let steps = 0
    for (let seed = 0; seed < 250; seed++) steps += invariants(Commands.generate(seed, 60))
    assert.isAbove(steps, 250 * 30)
  })

  it.prop(
    "keeps the invariants over sequences that shrink",
    [Commands.arbitrary],
    ([scenario]) => void invariants(scenario),
    {
      arbitrary: { runs: 100, size: 40 }
    }
  )

  it("generates the same scenario for the same seed", () => {
    assert.deepStrictEqual(Commands.generate(7, 40), Commands.generate(7, 40))
    assert.notDeepEqual(Commands.generate(7, 40), Commands.generate(8, 40))
    assert.deepStrictEqual(Commands.run(Commands.generate(7, 40)), Commands.run(Commands.generate(7, 40)))
  })

  it("keeps to the options", () => {
    for (let seed = 0; seed < 50; seed++) {
      const scenario = Commands.generate(seed, 40, {
        limits: false,
        windows: false,
        apiKeys: false,
        seededDebt: false,
        maxExtensions: 10
      })
      const without = new Set(["SetLimit", "SetLimits", "Limits", "CreateApiKey", "UpdateApiKey", "RevokeApiKey"])
      assert.isTrue(scenario.commands.every((command) => !without.has(command._tag) && !("apiKey" in command)))
      assert.isTrue(scenario.budgets.every((b) => b.limits === undefined))
      assert.isTrue(scenario.budgets.every((b) => b.debt === undefined))
      assert.strictEqual(scenario.maxExtensions, 10)
      const ends = Commands.run(scenario).map((entry) => entry.now)
      assert.isTrue(
        ends.every((now, i) => now >= (ends[i - 1] ?? Commands.START_MS) && now < Commands.START_MS + 86_400_000)
      )
    }
  })

  it("reaches every rule: a model that breaks it parts from the whole one", () => {
    const left = new Set(ReferenceModel.rules)
    for (let seed = 0; left.size > 0 && seed < 3_000; seed++) {
      const scenario = Commands.generate(seed, 60)
      const entries = Commands.run(scenario)
      for (const broken of left) {
        const model = ReferenceModel.makeModel({ broken, maxExtensions: scenario.maxExtensions })
        if (Commands.disagreement(scenario, entries, model) !== undefined) left.delete(broken)
      }
    }
    assert.deepStrictEqual([...left], [])
  })

  it.effect("shrinks a disagreement to a few commands", () =>
    Effect.gen(function*() {
      const result = yield* Arbitrary.checkEffect(
        Commands.arbitrary,
        (scenario) => {
          const model = ReferenceModel.makeModel({ broken: "flag-over-limit", maxExtensions: scenario.maxExtensions })
          return Commands.disagreement(scenario, Commands.run(scenario), model) === undefined
        },
        { runs: 200, size: 40, seed: "shrink", maxShrinks: 5_000 }
      )
      assert.strictEqual(result._tag, "Falsified")
      if (result._tag === "Falsified") assert.isAtMost(result.shrunkInput.commands.length, 3)
    }))
})
