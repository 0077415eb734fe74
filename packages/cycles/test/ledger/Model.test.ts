import { Commands, ReferenceModel } from "@effect-cycles/testing"
import { assert, describe, it } from "@effect/vitest"
import type { BudgetAuthority, CyclesError } from "effect-cycles"
import { Amount, Governance, Ledger, LedgerStoreMemory, Window } from "effect-cycles"
import type { PolicyRow } from "effect-cycles/ledger/Model"
import type { Cursor } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"

const options: Commands.Options = { seededDebt: false }

/** A ledger of its own, on a clock of its own that stands at the scenario's beginning. The sweeper stays out of the way. */
const layerOf = (scenario: Commands.Scenario) =>
  Governance.layer({ peppers: [Redacted.make("a pepper of thirty-two characters")] }).pipe(
    Layer.provideMerge(Ledger.layer({ maxExtensions: scenario.maxExtensions, sweepEveryMs: 1_000 * 86_400_000 })),
    Layer.provideMerge(LedgerStoreMemory.layer),
    Layer.provideMerge(Layer.effectDiscard(TestClock.setTime(Commands.START_MS))),
    Layer.provideMerge(TestClock.layer())
  )

/** Follows the cursors of a list to its end. */
const pages = Effect.fnUntraced(function*<Page extends { readonly nextCursor?: Cursor }, Row, E>(
  page: (cursor: { readonly cursor?: Cursor }) => Effect.Effect<Page, E>,
  rows: (page: Page) => ReadonlyArray<Row>
) {
  const all: Array<Row> = []
  let cursor: { readonly cursor?: Cursor } = {}
  for (;;) {
    const next: Page = yield* page(cursor)
    all.push(...rows(next))
    if (next.nextCursor === undefined) return all
    cursor = { cursor: next.nextCursor }
  }
})

/** Scenarios hold amounts out of range too, which the constructors refuse. */
const unchecked = (unit: Amount.Unit, amount: bigint): Amount.AnyAmount => ({ unit, amount })

const policyReply = ({ id, name, priority, status }: PolicyRow): ReferenceModel.PolicyReply => ({
  policyId: id,
  name,
  status,
  priority
})

/** Registers the tenants that have defaults. */
const register = Effect.fnUntraced(function*({ defaults }: Commands.Scenario) {
  const operator = (yield* Governance.Governance).asOperator({ actor: "operator" })
  for (const { tenant, ...settings } of defaults) yield* operator.createTenant(tenant, { name: tenant, ...settings })
})

const limitsOf = (unit: Amount.Unit, limits: ReadonlyArray<ReferenceModel.Limit>): ReadonlyArray<Ledger.LimitOptions> =>
  limits.map(({ amount, id, rollover, window }) => ({
    id,
    window: "every" in window ? Window.calendar(window.every, window.timeZone) : Window.rolling(window.rollingMs),
    amount: Amount.make(unit, amount),
    ...(rollover === undefined ? undefined : { rollover: Amount.make(unit, rollover) })
  }))

/** One operation of the model, asked of the real ledger. */
const perform = (
  ledger: Ledger.Operations,
  operator: Governance.Governing,
  operation: ReferenceModel.Operation
): Effect.Effect<ReferenceModel.Outcome> => {
  const authority: BudgetAuthority.Operations = ledger.as({ tenant: operation.tenant, balances: true })
  const reply = (): Effect.Effect<object, CyclesError.CyclesError> => {
    switch (operation._tag) {
      case "Decide":
        return authority.decide(operation.request)
      case "Reserve":
        return authority.reserve(operation.request)
      case "Commit":
        return authority.commit(operation.id, operation.request)
      case "Release":
        return authority.release(operation.id, operation.request)
      case "Extend":
        return authority.extend(operation.id, operation.request)
      case "Event":
        return authority.event(operation.request)
      case "ReadReservation":
        return authority.reservation(operation.id)
      case "Balances":
        return Effect.map(
          pages((cursor) => authority.balances({ ...operation.query, ...cursor }), ({ balances }) => balances),
          (balances) => ({ balances })
        )
      case "ListReservations":
        return Effect.map(
          pages(
            (cursor) => authority.reservations({ ...operation.query, ...cursor }),
            ({ reservations }) => reservations
          ),
          (reservations) => ({ reservations })
        )
      case "Fund": {
        const { amount, idempotencyKey, operation: how, spent } = operation.request
        const { scope, tenant, unit } = operation
        return Effect.map(
          ledger.fund(tenant, {
            idempotencyKey,
            scope,
            operation: how,
            amount: unchecked(unit, amount),
            ...(spent === undefined ? undefined : { spent: unchecked(unit, spent) })
          }),
          ({ balance }) => balance
        )
      }
      case "SetTenantStatus": {
        const { status, tenant } = operation
        const set = {
          ACTIVE: operator.reactivateTenant,
          SUSPENDED: operator.suspendTenant,
          CLOSED: operator.closeTenant
        }
        return Effect.map(set[status](tenant), ({ status }) => ({ status }))
      }
      case "SetStatus":
        return ledger.updateBudget(operation.tenant, operation)
      case "CreatePolicy":
        return Effect.map(ledger.createPolicy(operation.tenant, operation.policy), policyReply)
      case "UpdatePolicy":
        return Effect.map(ledger.updatePolicy(operation.tenant, operation.id, operation.change), policyReply)
      case "DeletePolicy":
        return Effect.map(ledger.deletePolicy(operation.tenant, operation.id), policyReply)
      case "SetLimit": {
        const { scope, tenant, unit } = operation
        const overdraftLimit = Amount.make(unit, operation.overdraftLimit)
        return ledger.updateBudget(tenant, { scope, unit, overdraftLimit })
      }
      case "SetLimits": {
        const { limits, scope, tenant, unit } = operation
        return ledger.updateBudget(tenant, { scope, unit, limits: limitsOf(unit, limits) })
      }
      case "Limits":
        return Effect.map(ledger.limits(operation.tenant, operation.scope, operation.unit), (states) => ({
          limits: states.map(({ carriedOver, held, id, remaining, used }) => ({
            id,
            used: used.amount,
            held: held.amount,
            carriedOver: carriedOver.amount,
            remaining: remaining.amount
          }))
        }))
    }
  }
  return Effect.match(reply(), {
    onFailure: (error): ReferenceModel.Outcome => ReferenceModel.fromError(error),
    onSuccess: (value) => ({ _tag: "Success", value }) as ReferenceModel.Outcome
  })
}

/** Runs a scenario on the ledger and the model in step; the first difference, and what the ledger answered. */
const inStep = Effect.fnUntraced(function*(scenario: Commands.Scenario) {
  const ledger = yield* Ledger.Ledger
  const operator = (yield* Governance.Governance).asOperator({ actor: "operator" })
  yield* register(scenario)
  for (const { allocated, limits, overdraftLimit, scope, status, tenant, unit } of scenario.budgets) {
    yield* ledger.createBudget(tenant, {
      scope,
      allocated: Amount.make(unit, allocated),
      overdraftLimit: Amount.make(unit, overdraftLimit ?? 0n),
      status,
      limits: limitsOf(unit, limits ?? [])
    })
  }
  const driver = Commands.makeDriver(scenario)
  const entries: Array<Commands.Entry> = []
  for (const command of scenario.commands) {
    for (const step of driver.steps(command)) {
      yield* TestClock.setTime(step.now)
      const outcome = yield* perform(ledger, operator, step.operation)
      const ids = Commands.idsOf(outcome, entries.length)
      const expected = driver.expect(step, ids)
      entries.push({ ...step, ids, outcome })
      if (!ReferenceModel.agrees(expected, outcome)) {
        return { entries, difference: { step: entries.length, operation: step.operation, expected, outcome } }
      }
    }
  }
  for (const tenant of scenario.tenants) {
    const { flaws } = yield* ledger.verify(tenant)
    if (flaws.length > 0) return { entries, difference: { step: entries.length, flaws } }
  }
  return { entries, difference: undefined }
})

const print = (value: unknown): string =>
  JSON.stringify(value, (_, v: unknown) => typeof v === "bigint" ? `${v}n` : v, 2)

describe("the ledger and the reference model", () => {
  it.effect("agree on every reply and balance of two thousand seeded command sequences", () =>
    Effect.gen(function*() {
      for (let seed = 1; seed <= 2_000; seed++) {
        const scenario = Commands.generate(seed, 40, options)
        const { difference } = yield* Effect.provide(inStep(scenario), layerOf(scenario))
        assert.isUndefined(difference, `seed ${seed}: ${print(difference)}`)
      }
    }), 180_000)

  it.effect.prop(
    "agree on any command sequence, and the smallest counterexample is shown where they do not",
    [Commands.makeArbitrary(options)],
    ([scenario]) =>
      Effect.gen(function*() {
        const { difference } = yield* Effect.provide(inStep(scenario), layerOf(scenario))
        assert.isUndefined(difference, print(difference))
      }),
    { arbitrary: { size: 40, runs: 300 } }
  )

  it.effect("disagree as soon as any one rule of the model is broken", () =>
    Effect.gen(function*() {
      const unbroken = new Set(ReferenceModel.rules)
      for (let seed = 1; seed <= 3_000 && unbroken.size > 0; seed++) {
        const scenario = Commands.generate(seed, 60, options)
        const { entries } = yield* Effect.provide(inStep(scenario), layerOf(scenario))
        for (const rule of unbroken) {
          const broken = ReferenceModel.makeModel({ broken: rule, maxExtensions: scenario.maxExtensions })
          if (Commands.disagreement(scenario, entries, broken) !== undefined) unbroken.delete(rule)
        }
      }
      assert.deepStrictEqual(Array.from(unbroken), [])
    }), 180_000)
})
