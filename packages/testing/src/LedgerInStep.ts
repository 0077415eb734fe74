/**
 * A ledger and the {@link ReferenceModel} side by side: every command of a scenario is given to both, and they must agree on every
 * reply, every balance and every list. This is how a store is shown to change no rule.
 *
 * **Example** (A seeded scenario on the store in memory)
 *
 * ```ts
 * import { Commands, LedgerInStep } from "@effect-cycles/testing"
 * import { Effect } from "effect"
 * import { LedgerStoreMemory } from "effect-cycles"
 *
 * const scenario = Commands.generate(1, 40, { seededDebt: false })
 * const { difference } = await Effect.runPromise(LedgerInStep.run(scenario, LedgerStoreMemory.layer))
 *
 * console.log(difference) // => undefined
 * ```
 *
 * @since 0.1.0
 */
import type { BudgetAuthority, CyclesError } from "effect-cycles"
import { Amount, Governance, Ledger, LedgerStore, LedgerStoreMemory, Window } from "effect-cycles"
import type { BudgetRow, PolicyRow } from "effect-cycles/ledger/Model"
import type { Cursor } from "effect-cycles/protocol/Ids"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Commands from "./Commands.ts"
import * as ReferenceModel from "./ReferenceModel.ts"

/**
 * How a scenario is run.
 *
 * - `atOnce`: up to so many commands are sent without waiting for the replies of those before, so that they share transactions; 1
 *   when not given
 * - `restarts`: so many times in between, the ledger and its store are made anew, and the last requests are sent once more; 0
 *   when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly atOnce?: number | undefined
  readonly restarts?: number | undefined
}

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

const apiKeyReply = (key: Governance.ApiKey): ReferenceModel.ApiKeyReply => ({
  apiKeyId: key.id,
  status: key.status,
  permissions: key.permissions,
  scopeFilter: key.scopeFilter,
  expiresAtMs: key.expiresAtMs
})

const settingsOf = (rights: Partial<ReferenceModel.ApiKeyRights>): Governance.ApiKeySettings =>
  // The model's words for what a key may do are those of the specification, as the ledger's are.
  rights as Governance.ApiKeySettings

const policyReply = ({ id, name, priority, status }: PolicyRow): ReferenceModel.PolicyReply => ({
  policyId: id,
  name,
  status,
  priority
})

/** Registers the tenants that have defaults. */
const register = (
  operator: Governance.Governing,
  { defaults }: Commands.Scenario
): Effect.Effect<void, Governance.GovernanceError> =>
  Effect.forEach(
    defaults,
    ({ tenant, ...settings }) => operator.createTenant(tenant, { name: tenant, ...settings }),
    { discard: true }
  )

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
  const authority: BudgetAuthority.Operations = ledger.as({
    tenant: operation.tenant,
    balances: true,
    keyId: operation.apiKeyId
  })
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
      case "CreateApiKey": {
        const { expiresAtMs, rights, tenant } = operation
        return Effect.map(
          operator.createApiKey(tenant, { ...settingsOf(rights), name: "a key", expiresAtMs }),
          ({ key }) => apiKeyReply(key)
        )
      }
      case "UpdateApiKey":
        return Effect.map(
          operator.updateApiKey(operation.tenant, operation.id, settingsOf(operation.rights)),
          apiKeyReply
        )
      case "RevokeApiKey":
        return Effect.map(operator.revokeApiKey(operation.tenant, operation.id), apiKeyReply)
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

// ---------------------------------------------------------------------------------------------------------------------
// time, and what a store keeps
// ---------------------------------------------------------------------------------------------------------------------

/** Says the time it was told. What sleeps, sleeps by the machine's clock: no pause of a ledger is part of a scenario. */
class ScenarioClock implements Clock.Clock {
  now = Commands.START_MS
  private readonly real: Clock.Clock

  constructor(real: Clock.Clock) {
    this.real = real
    this.monotonicTimeNanos = real.monotonicTimeNanos
  }

  currentTimeMillisUnsafe(): number {
    return this.now
  }
  readonly currentTimeMillis = Effect.sync(() => this.now)
  currentTimeNanosUnsafe(): bigint {
    return BigInt(this.now) * 1_000_000n
  }
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  monotonicTimeNanosUnsafe(): bigint {
    return this.real.monotonicTimeNanosUnsafe()
  }
  readonly monotonicTimeNanos: Effect.Effect<bigint>
  sleep(...args: Parameters<Clock.Clock["sleep"]>): Effect.Effect<void> {
    return this.real.sleep(...args)
  }
}

/** More budgets than any scenario has. */
const ALL = { after: undefined, limit: 1_000 }

/**
 * A tenant no scenario has. A command of its keeps the lane busy until the others have gathered behind it. Scenarios that share
 * a store have one each, for they would wait for each other at its row.
 */
const usherOf = ({ tenants }: Commands.Scenario): string => `${tenants[0] ?? ""}-usher`

/** A store with one lane, that shows what every transaction leaves of its tenants' budgets. */
const watch = Effect.fnUntraced(function*(
  store: LedgerStore.Operations,
  usher: string,
  gate: Latch.Latch,
  left: Map<string, ReadonlyArray<BudgetRow>>
): Effect.fn.Return<LedgerStore.Operations> {
  const aside = yield* LedgerStoreMemory.make
  return {
    ...store,
    lanes: 1,
    laneOf: () => 0,
    transact: (tenants, body) =>
      tenants.length === 1 && tenants[0] === usher
        ? Effect.andThen(gate.await, aside.transact(tenants, body))
        : store.transact(tenants, (tx) =>
          Effect.tap(body(tx), () =>
            Effect.forEach(
              tenants,
              (tenant) => Effect.map(tx.budgets(tenant, {}, ALL), (rows) => left.set(tenant, rows)),
              { discard: true }
            )))
  }
})

const FIGURES = ["allocated", "spent", "reserved", "debt", "overdraftLimit", "capped", "status"] as const

const figuresOf = (
  budgets: ReadonlyArray<Pick<BudgetRow, "scope" | "unit" | typeof FIGURES[number]>>
): ReadonlyArray<string> =>
  budgets
    .map((budget) => `${budget.scope} ${budget.unit} ${FIGURES.map((name) => `${name} ${budget[name]}`).join(", ")}`)
    .sort()

// ---------------------------------------------------------------------------------------------------------------------
// running
// ---------------------------------------------------------------------------------------------------------------------

/** A list shows all that its transaction has written, so it goes last. */
const isList = ({ operation }: Commands.Step): boolean =>
  operation._tag === "Balances" || operation._tag === "ListReservations"

/** A list of short pages takes several requests, so it goes alone. */
const isPaged = (step: Commands.Step): boolean =>
  isList(step) && "query" in step.operation && step.operation.query.limit !== undefined

/** What came before a restart is asked for once more. */
const repeated: ReadonlyArray<Commands.Command> = Array.from({ length: 6 }, () => ({
  _tag: "Repeat",
  back: 5,
  twist: "same"
}))

/** The commands between one restart and the next. */
const partsOf = (
  { commands }: Commands.Scenario,
  restarts: number
): ReadonlyArray<ReadonlyArray<Commands.Command>> =>
  Array.from({ length: restarts + 1 }, (_, i) => {
    const bound = (part: number): number => Math.trunc(commands.length * part / (restarts + 1))
    return [...(i === 0 ? [] : repeated), ...commands.slice(bound(i), bound(i + 1))]
  })

/**
 * Runs a scenario on a ledger and on the model, in step, each at the scenario's time. Stops at the first difference in a
 * reply or in what a transaction left of a budget; at the end the ledger's entries must fold to its balances too.
 *
 * The store is made once for each start of the ledger: what it keeps has to be kept by something else where there are
 * restarts, such as a file.
 *
 * @category running
 * @since 0.1.0
 */
export const run = Effect.fnUntraced(function*<E>(
  scenario: Commands.Scenario,
  store: Layer.Layer<LedgerStore.LedgerStore, E>,
  options: Options = {}
): Effect.fn.Return<Run, E | Ledger.BudgetError | Governance.GovernanceError> {
  const { atOnce = 1, restarts = 0 } = options
  const clock = new ScenarioClock(yield* Clock.Clock)
  const usher = usherOf(scenario)
  const gate = Latch.makeUnsafe(false)
  const left = new Map<string, ReadonlyArray<BudgetRow>>()
  const driver = Commands.makeDriver(scenario)
  const entries: Array<Commands.Entry> = []

  /** Sends steps of one time, and compares what came of them. */
  const take = Effect.fnUntraced(function*(
    { ledger, operator }: { readonly ledger: Ledger.Operations; readonly operator: Governance.Governing },
    steps: ReadonlyArray<Commands.Step>
  ): Effect.fn.Return<object | undefined> {
    clock.now = steps[0]?.now ?? clock.now
    left.clear()
    let outcomes: ReadonlyArray<ReferenceModel.Outcome>
    if (steps.length === 1) {
      outcomes = yield* Effect.forEach(steps, ({ operation }) => perform(ledger, operator, operation))
    } else {
      gate.closeUnsafe()
      const gathering = yield* Effect.forkChild(Effect.exit(ledger.verify(usher)), { startImmediately: true })
      const fibers = yield* Effect.forEach(
        steps,
        ({ operation }) => Effect.forkChild(perform(ledger, operator, operation), { startImmediately: true })
      )
      gate.openUnsafe()
      outcomes = yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber))
      yield* Fiber.join(gathering)
    }
    for (const [i, step] of steps.entries()) {
      const outcome = outcomes[i]!
      const ids = Commands.idsOf(outcome, entries.length)
      const expected = driver.expect(step, ids)
      entries.push({ ...step, ids, outcome })
      if (!ReferenceModel.agrees(expected, outcome)) {
        return { step: entries.length, operation: step.operation, expected, outcome }
      }
    }
    for (const [tenant, rows] of left) {
      const expected = figuresOf(driver.state.budgets.filter((budget) => budget.tenant === tenant))
      const found = figuresOf(rows)
      if (expected.join("\n") !== found.join("\n")) {
        return { step: entries.length, operations: steps.map(({ operation }) => operation), expected, found }
      }
    }
    return undefined
  })

  const part = Effect.fnUntraced(function*(
    commands: ReadonlyArray<Commands.Command>,
    isFirst: boolean
  ): Effect.fn.Return<object | undefined, Ledger.BudgetError | Governance.GovernanceError, Ledger.Ledger> {
    const ledger = yield* Ledger.Ledger
    const governance = yield* Governance.make({ peppers: [Redacted.make("a pepper that has signed nothing yet")] })
    const operator = governance.asOperator({ actor: "operator" })
    if (isFirst) {
      yield* register(operator, scenario)
      for (const { allocated, limits, overdraftLimit, scope, status, tenant, unit } of scenario.budgets) {
        yield* ledger.createBudget(tenant, {
          scope,
          allocated: Amount.make(unit, allocated),
          overdraftLimit: Amount.make(unit, overdraftLimit ?? 0n),
          status,
          limits: limitsOf(unit, limits ?? [])
        })
      }
    }
    let waiting: Array<Commands.Step> = []
    const flush = Effect.suspend(() => {
      const steps = waiting
      waiting = []
      return steps.length === 0 ? Effect.undefined : take({ ledger, operator }, steps)
    })
    for (const command of commands) {
      // These mean something only once it is known what came of those before.
      if (command._tag === "Advance" || command._tag === "SetStatus" || command._tag === "SetLimit") {
        const difference = yield* flush
        if (difference !== undefined) return difference
      }
      for (const step of driver.steps(command)) {
        if (waiting.length > 0 && isPaged(step)) {
          const difference = yield* flush
          if (difference !== undefined) return difference
        }
        waiting.push(step)
        if (waiting.length >= atOnce || isList(step)) {
          const difference = yield* flush
          if (difference !== undefined) return difference
        }
      }
    }
    const difference = yield* flush
    if (difference !== undefined) return difference
    for (const tenant of scenario.tenants) {
      const { flaws } = yield* ledger.verify(tenant)
      if (flaws.length > 0) return { step: entries.length, tenant, flaws }
    }
    return undefined
  })

  const watched = Layer.effect(
    LedgerStore.LedgerStore,
    Effect.flatMap(LedgerStore.LedgerStore, (own) => watch(own, usher, gate, left))
  ).pipe(Layer.provide(store))
  // The sweeper stays out of the way: what it does, a transaction does before it answers.
  const ledger = Ledger.layer({ maxExtensions: scenario.maxExtensions, sweepEveryMs: 1_000 * 86_400_000 }).pipe(
    Layer.provide(watched),
    Layer.fresh
  )
  for (const [i, commands] of partsOf(scenario, restarts).entries()) {
    const difference = yield* part(commands, i === 0).pipe(
      Effect.provide(ledger),
      Effect.provideService(Clock.Clock, clock)
    )
    if (difference !== undefined) return { entries, difference }
  }
  return { entries, difference: undefined }
})

/**
 * A difference as a text, amounts included.
 *
 * @category conversions
 * @since 0.1.0
 */
export const print = (value: unknown): string => Formatter.format(value, { space: 2 })
