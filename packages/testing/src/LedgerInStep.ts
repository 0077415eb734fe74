/**
 * A ledger and the {@link ReferenceModel} side by side: every command of a scenario is given to both, and they must agree on every
 * reply, every balance and every list. This is how a store is shown to change no rule.
 *
 * **Example** (A seeded scenario on the store in memory)
 *
 * ```ts
 * import { Commands, LedgerInStep } from "@effect-cycles/testing"
 * import { Effect, Layer } from "effect"
 * import { Ledger, LedgerStoreMemory } from "effect-cycles"
 * import { TestClock } from "effect/testing"
 *
 * const scenario = Commands.generate(1, 40, { seededDebt: false })
 *
 * const program = LedgerInStep.run(scenario).pipe(
 *   Effect.provide(
 *     Ledger.layer({ maxExtensions: scenario.maxExtensions, sweepEveryMs: 1_000 * 86_400_000 }).pipe(
 *       Layer.provide(LedgerStoreMemory.layer),
 *       Layer.provideMerge(Layer.effectDiscard(TestClock.setTime(Commands.START_MS))),
 *       Layer.provideMerge(TestClock.layer())
 *     )
 *   )
 * )
 *
 * const { difference } = await Effect.runPromise(program)
 * console.log(difference) // => undefined
 * ```
 *
 * @since 0.1.0
 */
import type { BudgetAuthority, CyclesError } from "effect-cycles"
import { Amount, Ledger, Window } from "effect-cycles"
import type { Cursor } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as Commands from "./Commands.ts"
import * as ReferenceModel from "./ReferenceModel.ts"

/**
 * How a scenario went.
 *
 * - `entries`: every step that was taken, with what the ledger answered
 * - `difference`: where the two disagreed first, to be printed; `undefined` where they never did
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  readonly entries: ReadonlyArray<Commands.Entry>
  readonly difference: object | undefined
}

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
      case "SetStatus":
        return ledger.updateBudget(operation.tenant, operation)
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

/**
 * Runs a scenario on the ledger around it and on the model, in step, with `TestClock` as the time of both. Stops at the first
 * difference; the ledger's entries must fold to its balances too.
 *
 * @category running
 * @since 0.1.0
 */
export const run = Effect.fnUntraced(function*(
  scenario: Commands.Scenario
): Effect.fn.Return<Run, Ledger.BudgetError, Ledger.Ledger> {
  const ledger = yield* Ledger.Ledger
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
      const outcome = yield* perform(ledger, step.operation)
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

/**
 * A difference as a text, amounts included.
 *
 * @category conversions
 * @since 0.1.0
 */
export const print = (value: unknown): string =>
  JSON.stringify(value, (_, v: unknown) => typeof v === "bigint" ? `${v}n` : v, 2)
