/**
 * What every `BudgetAuthority` must do, as a suite of tests that any implementation can run.
 *
 * The suite asks for nothing but the port, a way to let time pass, and budgets to begin with. So an embedded ledger on any
 * store, a client over HTTP in front of a server, and a script with nothing in it are all held to the same rules, to the
 * number and to the millisecond. Balances in replies are optional in the protocol; the suite reads them from `balances`.
 *
 * **Example** (The ledger in memory is an authority)
 *
 * ```ts
 * import { AuthorityConformance } from "@effect-cycles/testing"
 * import { Effect, Layer } from "effect"
 * import { Ledger, LedgerStoreMemory } from "effect-cycles"
 * import { TestClock } from "effect/testing"
 *
 * const layerOf: AuthorityConformance.LayerOf = (setup) =>
 *   Layer.effect(AuthorityConformance.Harness, Effect.gen(function*() {
 *     const ledger = yield* Ledger.Ledger
 *     for (const { tenant, ...budget } of setup.budgets) yield* ledger.createBudget(tenant, budget)
 *     return {
 *       authorityOf: (tenant: string) => ledger.as({ tenant }),
 *       advance: (ms: number) => TestClock.adjust(ms),
 *       setStatus: (tenant: string, request) => Effect.asVoid(ledger.updateBudget(tenant, request))
 *     }
 *   })).pipe(
 *     Layer.provide(Ledger.layer(setup)),
 *     Layer.provide(LedgerStoreMemory.layer)
 *   )
 *
 * // In a test file: AuthorityConformance.suite("Ledger in memory", layerOf)
 * console.log(typeof layerOf) // => "function"
 * ```
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import type { LedgerStore } from "effect-cycles"
import { Ledger } from "effect-cycles"
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import { MAX_INT64 } from "effect-cycles/protocol/Amount"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import type { DecideRequest } from "effect-cycles/protocol/Decide"
import type { EventRequest } from "effect-cycles/protocol/Event"
import type { ExtendRequest } from "effect-cycles/protocol/Extend"
import type { Cursor, ReservationId } from "effect-cycles/protocol/Ids"
import { IdempotencyKey, ReservationId as MakeReservationId } from "effect-cycles/protocol/Ids"
import type { OveragePolicy } from "effect-cycles/protocol/OveragePolicy"
import type { ReservationsQuery, SortBy } from "effect-cycles/protocol/ReservationRecord"
import type { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import type { CommitRequest, ReleaseRequest } from "effect-cycles/protocol/Settle"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import type { PolicySeed } from "./ReferenceModel.ts"

// ---------------------------------------------------------------------------------------------------------------------
// what an implementation provides
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A budget that is there when a test begins. Its unit is the allocation's.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetSetup {
  readonly tenant: string
  readonly scope: string
  readonly allocated: AnyAmount
  readonly overdraftLimit?: AnyAmount | undefined
}

/**
 * The world a test begins in: nothing but some budgets.
 *
 * - `maxExtensions`: how often one reservation may be extended; 10 when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Setup {
  readonly budgets: ReadonlyArray<BudgetSetup>
  readonly maxExtensions?: number | undefined
}

/**
 * What a test works with.
 *
 * - `authorityOf`: the authority of one tenant; those of several tenants share what they are kept in
 * - `advance`: lets so many milliseconds pass for the authority, and runs what falls due meanwhile
 * - `setStatus`: freezes, unfreezes or closes a budget, as an operator would
 * - `createPolicy`: creates a policy, as an operator would; where the authority has policies, see {@link Options}
 *
 * @category models
 * @since 0.1.0
 */
export interface HarnessService {
  readonly authorityOf: (tenant: string) => Operations
  readonly advance: (ms: number) => Effect.Effect<void>
  readonly setStatus: (
    tenant: string,
    request: { readonly scope: string; readonly unit: Unit; readonly status: "ACTIVE" | "FROZEN" | "CLOSED" }
  ) => Effect.Effect<void, unknown>
  readonly createPolicy?: (tenant: string, policy: PolicySeed) => Effect.Effect<void, unknown>
}

/**
 * Which tests there are.
 *
 * - `policies`: also those about policies, which need `createPolicy`; not when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly policies?: boolean | undefined
}

/**
 * An implementation under test, with budgets and a clock.
 *
 * @category services
 * @since 0.1.0
 */
export class Harness
  extends Context.Service<Harness, HarnessService>()("@effect-cycles/testing/AuthorityConformance/Harness")
{}

/**
 * How a suite gets a fresh harness for each of its tests. Time stands still in it but for `advance`.
 *
 * @category models
 * @since 0.1.0
 */
export type LayerOf = (setup: Setup) => Layer.Layer<Harness, unknown>

/**
 * Harnesses of ledgers on a store whose time is the test's, and the authorities of whoever is asked for; `principal` says what
 * they are beside their tenant. The store is made anew for each harness.
 *
 * @category constructors
 * @since 0.1.0
 */
export const onStore = <E>(
  store: Layer.Layer<LedgerStore.LedgerStore, E>,
  principal?: Partial<Ledger.Principal>
): LayerOf =>
(setup) =>
  Layer.effect(
    Harness,
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      for (const { tenant, ...budget } of setup.budgets) yield* ledger.createBudget(tenant, budget)
      return {
        authorityOf: (tenant) => ledger.as({ ...principal, tenant }),
        advance: (ms) => TestClock.adjust(ms),
        setStatus: (tenant, request) => ledger.updateBudget(tenant, request),
        createPolicy: (tenant, policy) => Effect.asVoid(ledger.createPolicy(tenant, policy))
      }
    })
  ).pipe(
    Layer.provide(Ledger.layer(setup)),
    Layer.provide(store)
  )

// ---------------------------------------------------------------------------------------------------------------------
// words for the tests
// ---------------------------------------------------------------------------------------------------------------------

const ACME = "tenant:acme"
const BOT = "tenant:acme/agent:bot"

const tokens = (amount: bigint): AnyAmount => ({ unit: "TOKENS", amount })
const credits = (amount: bigint): AnyAmount => ({ unit: "CREDITS", amount })

const budget = (scope: string, allocated: bigint | AnyAmount, overdraftLimit?: bigint): BudgetSetup => ({
  tenant: scope.slice("tenant:".length).split("/")[0] ?? "",
  scope,
  allocated: typeof allocated === "bigint" ? tokens(allocated) : allocated,
  ...(overdraftLimit === undefined ? undefined : { overdraftLimit: tokens(overdraftLimit) })
})

const key = (name: string): IdempotencyKey => IdempotencyKey.make(name)
let made = 0
const fresh = (): IdempotencyKey => key(`key-${++made}`)
const idOf = (name: string): ReservationId => MakeReservationId.make(name)

/** What the types would not let through, as plain JavaScript can write it. */
const handMade = (value: unknown): never => value as never

const action = { kind: "llm.completion", name: "gpt-4o" }
const bot: Subject = { agent: "bot" }

const reserving = (amount: bigint | AnyAmount, more: Partial<ReserveRequest> = {}): ReserveRequest => ({
  idempotencyKey: fresh(),
  subject: bot,
  action,
  estimate: typeof amount === "bigint" ? tokens(amount) : amount,
  ...more
})
const deciding = (amount: bigint | AnyAmount, more: Partial<DecideRequest> = {}): DecideRequest => ({
  idempotencyKey: fresh(),
  subject: bot,
  action,
  estimate: typeof amount === "bigint" ? tokens(amount) : amount,
  ...more
})
const eventing = (amount: bigint | AnyAmount, more: Partial<EventRequest> = {}): EventRequest => ({
  idempotencyKey: fresh(),
  subject: bot,
  action,
  actual: typeof amount === "bigint" ? tokens(amount) : amount,
  ...more
})
const committing = (amount: bigint | AnyAmount, more: Partial<CommitRequest> = {}): CommitRequest => ({
  idempotencyKey: fresh(),
  actual: typeof amount === "bigint" ? tokens(amount) : amount,
  ...more
})
const releasing = (more: Partial<ReleaseRequest> = {}): ReleaseRequest => ({ idempotencyKey: fresh(), ...more })
const extending = (extendByMs: number, more: Partial<ExtendRequest> = {}): ExtendRequest => ({
  idempotencyKey: fresh(),
  extendByMs,
  ...more
})

/** Takes a hold that must be given, and returns its reply with what every live hold has. */
const hold = (
  authority: Operations,
  amount: bigint | AnyAmount,
  more: Partial<ReserveRequest> = {}
): Effect.Effect<ReserveReply & { readonly id: ReservationId; readonly endsAt: number }, unknown> =>
  Effect.map(authority.reserve(reserving(amount, more)), (reply) => {
    assert.isDefined(reply.reservationId)
    assert.isDefined(reply.expiresAtMs)
    return { ...reply, id: reply.reservationId ?? idOf("none"), endsAt: reply.expiresAtMs ?? 0 }
  })

/** Asserts that an operation is refused, with this tag and (at least) these fields, and returns the error. */
const refused = <A, E extends { readonly _tag: string }>(
  operation: Effect.Effect<A, E>,
  tag: E["_tag"],
  fields: Record<string, unknown> = {}
): Effect.Effect<E, A> =>
  Effect.map(Effect.flip(operation), (error) => {
    const found: Record<string, unknown> = { _tag: error._tag }
    for (const name of Object.keys(fields)) found[name] = Reflect.get(error, name)
    assert.deepStrictEqual(found, { _tag: tag, ...fields }, String(Reflect.get(error, "message")))
    return error
  })

interface Figures {
  readonly remaining: bigint
  readonly reserved: bigint
  readonly spent: bigint
  readonly debt: bigint
  readonly overLimit: boolean
}

/** The figures of one budget, as its tenant reads them; the invariant of every budget is checked on the way. */
const figures = (authority: Operations, scope: string, unit: Unit = "TOKENS"): Effect.Effect<Figures, unknown> =>
  Effect.map(authority.balances({ tenant: scope.slice("tenant:".length).split("/")[0] ?? "" }), ({ balances }) => {
    const found = balances.find((row) => row.scopePath === scope && row.remaining.unit === unit)
    assert.isDefined(found, `there is no budget ${scope} in ${unit}`)
    const of = (amount: { readonly amount: bigint } | undefined): bigint => amount?.amount ?? 0n
    const all = {
      remaining: of(found?.remaining),
      reserved: of(found?.reserved),
      spent: of(found?.spent),
      debt: of(found?.debt)
    }
    assert.strictEqual(all.remaining, of(found?.allocated) - all.spent - all.reserved - all.debt)
    return { ...all, overLimit: found?.isOverLimit ?? false }
  })

const expectFigures = (
  authority: Operations,
  scope: string,
  expected: Partial<Figures>
): Effect.Effect<void, unknown> =>
  Effect.map(figures(authority, scope), (found) => {
    const of: Record<string, unknown> = {}
    for (const name of Object.keys(expected)) of[name] = Reflect.get(found, name)
    assert.deepStrictEqual(of, { ...expected }, scope)
  })

type World = HarnessService & {
  readonly createPolicy: (tenant: string, policy: PolicySeed) => Effect.Effect<void, unknown>
  readonly acme: Operations
  readonly umbrella: Operations
}

/**
 * Registers the suite for an implementation, in a `describe` of the given name.
 *
 * @category suites
 * @since 0.1.0
 */
export const suite = (name: string, layerOf: LayerOf, options?: Options): void => {
  const test = (
    what: string,
    setup: Setup | ReadonlyArray<BudgetSetup>,
    body: (world: World) => Effect.Effect<unknown, unknown>
  ): void =>
    it.effect(what, () =>
      Effect.gen(function*() {
        const harness = yield* Harness
        return yield* body({
          createPolicy: () => Effect.die(new Error("the harness has no createPolicy")),
          ...harness,
          acme: harness.authorityOf("acme"),
          umbrella: harness.authorityOf("umbrella")
        })
      }).pipe(Effect.provide(layerOf("budgets" in setup ? setup : { budgets: setup }))))

  const hundred = [budget(ACME, 100n)]
  const two = [budget(ACME, 100n), budget(BOT, 50n)]

  describe(`${name} is a BudgetAuthority:`, () => {
    // -------------------------------------------------------------------------------------------------------------------
    describe("reserve", () => {
      test(
        "holds the estimate on every budgeted scope of the path, and says so",
        two,
        ({ acme }) =>
          Effect.gen(function*() {
            const reply = yield* acme.reserve(reserving(30n, { ttlMs: 10_000, gracePeriodMs: 0 }))
            assert.strictEqual(reply.decision, "ALLOW")
            assert.isAbove(reply.reservationId?.length ?? 0, 0)
            assert.deepStrictEqual(reply.reserved, tokens(30n))
            assert.deepStrictEqual(reply.affectedScopes, [ACME, BOT])
            assert.strictEqual(reply.scopePath, BOT)
            assert.strictEqual(reply.remainingTtlMs, 10_000)
            assert.isUndefined(reply.reasonCode)
            assert.isUndefined(reply.caps)
            yield* expectFigures(acme, ACME, { remaining: 70n, reserved: 30n, spent: 0n, debt: 0n })
            yield* expectFigures(acme, BOT, { remaining: 20n, reserved: 30n, spent: 0n, debt: 0n })
          })
      )

      test(
        "admits exactly what remains, and denies one more at the scope that lacks it",
        two,
        ({ acme }) =>
          Effect.gen(function*() {
            yield* refused(acme.reserve(reserving(51n)), "BudgetExceeded", {
              scope: BOT,
              unit: "TOKENS",
              requested: 51n,
              remaining: 50n
            })
            yield* expectFigures(acme, ACME, { remaining: 100n, reserved: 0n })
            yield* hold(acme, 50n)
            yield* refused(acme.reserve(reserving(1n)), "BudgetExceeded", { scope: BOT, requested: 1n, remaining: 0n })
            yield* expectFigures(acme, ACME, { remaining: 50n, reserved: 50n })
            yield* expectFigures(acme, BOT, { remaining: 0n, reserved: 50n })
          })
      )

      test("takes zero, even where nothing remains", hundred, ({ acme }) =>
        Effect.gen(function*() {
          yield* hold(acme, 100n)
          const reply = yield* hold(acme, 0n)
          assert.deepStrictEqual(reply.reserved, tokens(0n))
          yield* expectFigures(acme, ACME, { remaining: 0n, reserved: 100n })
        }))

      test(
        "lives 60 seconds where no ttl is given, and as long as asked from 1 second to 24 hours",
        hundred,
        ({ acme }) =>
          Effect.gen(function*() {
            assert.strictEqual((yield* hold(acme, 1n)).remainingTtlMs, 60_000)
            for (const ttlMs of [1_000, 86_400_000]) {
              const reply = yield* hold(acme, 1n, { ttlMs })
              assert.strictEqual(reply.remainingTtlMs, ttlMs)
            }
          })
      )

      test("ends its lease so long after now", hundred, ({ acme, advance }) =>
        Effect.gen(function*() {
          const first = yield* hold(acme, 1n, { ttlMs: 10_000 })
          yield* advance(1_234)
          const second = yield* hold(acme, 1n, { ttlMs: 10_000 })
          assert.strictEqual(second.endsAt - first.endsAt, 1_234)
        }))

      test(
        "says which scope has no budget: the narrowest, where none has",
        hundred,
        ({ umbrella }) =>
          refused(umbrella.reserve(reserving(1n)), "BudgetNotFound", { scope: "tenant:umbrella/agent:bot" })
      )

      test(
        "skips scopes that are kept in another unit",
        [budget(ACME, 100n), budget(BOT, credits(1n))],
        ({ acme }) =>
          Effect.gen(function*() {
            yield* hold(acme, 60n)
            yield* expectFigures(acme, ACME, { reserved: 60n })
            assert.strictEqual((yield* figures(acme, BOT, "CREDITS")).reserved, 0n)
          })
      )

      test("names the units there are, at the widest scope that has any, where none is in the one asked for", [
        budget(BOT, 1n),
        budget(ACME, credits(5n))
      ], ({ acme }) =>
        refused(acme.reserve(reserving({ unit: "RISK_POINTS", amount: 1n })), "UnitMismatch", {
          scope: ACME,
          expectedUnits: ["CREDITS"]
        }))

      test(
        "keeps the units of one scope apart",
        [budget(ACME, 100n), budget(ACME, credits(5n))],
        ({ acme }) =>
          Effect.gen(function*() {
            yield* hold(acme, credits(5n))
            yield* expectFigures(acme, ACME, { remaining: 100n })
            yield* refused(acme.reserve(reserving(credits(1n))), "BudgetExceeded", { unit: "CREDITS", remaining: 0n })
          })
      )

      test(
        "refuses for a frozen and for a closed budget anywhere on the path",
        two,
        ({ acme, setStatus }) =>
          Effect.gen(function*() {
            yield* setStatus("acme", { scope: BOT, unit: "TOKENS", status: "FROZEN" })
            yield* refused(acme.reserve(reserving(1n)), "BudgetFrozen", { scope: BOT, unit: "TOKENS" })
            yield* setStatus("acme", { scope: BOT, unit: "TOKENS", status: "ACTIVE" })
            yield* acme.reserve(reserving(1n))
            yield* setStatus("acme", { scope: ACME, unit: "TOKENS", status: "CLOSED" })
            yield* refused(acme.reserve(reserving(1n)), "BudgetClosed", { scope: ACME, unit: "TOKENS" })
            yield* expectFigures(acme, BOT, { reserved: 1n })
          })
      )

      test(
        "refuses at the widest scope first",
        [budget(ACME, 10n), budget(BOT, 5n)],
        ({ acme, setStatus }) =>
          Effect.gen(function*() {
            yield* setStatus("acme", { scope: BOT, unit: "TOKENS", status: "FROZEN" })
            yield* refused(acme.reserve(reserving(11n)), "BudgetExceeded", { scope: ACME, remaining: 10n })
            yield* refused(acme.reserve(reserving(10n)), "BudgetFrozen", { scope: BOT })
          })
      )

      test(
        "refuses within one scope for its status before the over-limit flag, and for the flag before its amount",
        hundred,
        (
          { acme, setStatus }
        ) =>
          Effect.gen(function*() {
            yield* acme.event(eventing(101n))
            yield* refused(acme.reserve(reserving(1n)), "OverdraftLimitExceeded", { scope: ACME })
            yield* setStatus("acme", { scope: ACME, unit: "TOKENS", status: "FROZEN" })
            yield* refused(acme.reserve(reserving(1n)), "BudgetFrozen", { scope: ACME })
          })
      )
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("scopes", () => {
      const full: Subject = { toolset: "t", agent: "a", workflow: "f", app: "p", workspace: "w", tenant: "acme" }
      const path = [
        "tenant:acme",
        "tenant:acme/workspace:w",
        "tenant:acme/workspace:w/app:p",
        "tenant:acme/workspace:w/app:p/workflow:f",
        "tenant:acme/workspace:w/app:p/workflow:f/agent:a",
        "tenant:acme/workspace:w/app:p/workflow:f/agent:a/toolset:t"
      ]

      test(
        "come from the subject in canonical order, widest first, budgeted or not",
        hundred,
        ({ acme }) =>
          Effect.gen(function*() {
            const reply = yield* hold(acme, 1n, { subject: full })
            assert.deepStrictEqual(reply.affectedScopes, path)
            assert.strictEqual(reply.scopePath, path[5])
            assert.deepStrictEqual((yield* acme.decide(deciding(1n, { subject: full }))).affectedScopes, path)
          })
      )

      test(
        "skip the levels a subject does not name, and begin with the tenant even so",
        hundred,
        ({ acme }) =>
          Effect.gen(function*() {
            const reply = yield* hold(acme, 1n, { subject: { app: "p", toolset: "t" } })
            assert.deepStrictEqual(reply.affectedScopes, [ACME, "tenant:acme/app:p", "tenant:acme/app:p/toolset:t"])
          })
      )

      test("do not depend on dimensions, and compare names exactly", two, ({ acme }) =>
        Effect.gen(function*() {
          const reply = yield* hold(acme, 1n, { subject: { agent: "bot", dimensions: { run: "7" } } })
          assert.deepStrictEqual(reply.affectedScopes, [ACME, BOT])
          yield* hold(acme, 60n, { subject: { agent: "BOT" } })
          yield* expectFigures(acme, BOT, { reserved: 1n })
        }))

      test(
        "are whole paths: a budget of an agent is not that of the agent in a workspace",
        two,
        ({ acme }) =>
          Effect.gen(function*() {
            yield* hold(acme, 60n, { subject: { workspace: "w", agent: "bot" } })
            yield* expectFigures(acme, BOT, { reserved: 0n })
            yield* expectFigures(acme, ACME, { reserved: 60n })
          })
      )

      const six = path.map((scope) => budget(scope, 100n))

      test(
        "are charged all six or none",
        [...six.slice(0, 5), budget(path[5] ?? "", 10n)],
        ({ acme }) =>
          Effect.gen(function*() {
            const all = (expected: Partial<Figures>) =>
              Effect.forEach(path.slice(0, 5), (scope) => expectFigures(acme, scope, expected))
            yield* refused(acme.reserve(reserving(11n, { subject: full })), "BudgetExceeded", {
              scope: path[5],
              remaining: 10n
            })
            yield* all({ reserved: 0n, remaining: 100n })
            const { id } = yield* hold(acme, 10n, { subject: full, overagePolicy: "REJECT" })
            yield* all({ reserved: 10n, remaining: 90n })
            yield* refused(acme.commit(id, committing(11n)), "BudgetExceeded")
            yield* all({ reserved: 10n, spent: 0n })
            yield* acme.commit(id, committing(4n))
            yield* all({ reserved: 0n, spent: 4n })
            yield* refused(
              acme.event(eventing(7n, { subject: full, overagePolicy: "REJECT" })),
              "BudgetExceeded",
              { scope: path[5], requested: 7n, remaining: 6n }
            )
            yield* all({ spent: 4n })
            yield* acme.event(eventing(6n, { subject: full }))
            yield* all({ spent: 10n, reserved: 0n, remaining: 90n })
            yield* expectFigures(acme, path[5] ?? "", { spent: 10n, remaining: 0n })
          })
      )

      test("give back all six, by release and by expiry", six, ({ acme, advance }) =>
        Effect.gen(function*() {
          const all = (expected: Partial<Figures>) =>
            Effect.forEach(path, (scope) => expectFigures(acme, scope, expected))
          const { id } = yield* hold(acme, 7n, { subject: full })
          yield* all({ reserved: 7n })
          yield* acme.release(id, releasing())
          yield* all({ reserved: 0n, remaining: 100n })
          yield* hold(acme, 7n, { subject: full, ttlMs: 1_000, gracePeriodMs: 0 })
          yield* advance(1_001)
          yield* all({ reserved: 0n, remaining: 100n })
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("dry run and decide", () => {
      test("hold nothing where they allow", two, ({ acme }) =>
        Effect.gen(function*() {
          const dry = yield* acme.reserve(reserving(30n, { dryRun: true }))
          assert.strictEqual(dry.decision, "ALLOW")
          assert.deepStrictEqual(dry.reserved, tokens(30n))
          assert.deepStrictEqual(dry.affectedScopes, [ACME, BOT])
          assert.isUndefined(dry.reservationId)
          assert.isUndefined(dry.expiresAtMs)
          assert.isUndefined(dry.remainingTtlMs)
          const decided = yield* acme.decide(deciding(30n))
          assert.strictEqual(decided.decision, "ALLOW")
          assert.deepStrictEqual(decided.affectedScopes, [ACME, BOT])
          yield* expectFigures(acme, ACME, { reserved: 0n, remaining: 100n })
          assert.deepStrictEqual((yield* acme.reservations({})).reservations, [])
        }))

      const denials = (
        setup: ReadonlyArray<BudgetSetup>,
        reason: string,
        prepare: (world: World) => Effect.Effect<unknown, unknown>
      ) =>
        test(`answer DENY, never an error, for ${reason}`, setup, (world) =>
          Effect.gen(function*() {
            yield* prepare(world)
            const dry = yield* world.acme.reserve(reserving(51n, { dryRun: true }))
            assert.strictEqual(dry.decision, "DENY")
            assert.strictEqual(dry.reasonCode, reason)
            assert.deepStrictEqual(dry.affectedScopes, [ACME, BOT])
            assert.isUndefined(dry.reservationId)
            const decided = yield* world.acme.decide(deciding(51n))
            assert.deepStrictEqual([decided.decision, decided.reasonCode], ["DENY", reason])
          }))
      denials(two, "BUDGET_EXCEEDED", () => Effect.void)
      denials([], "BUDGET_NOT_FOUND", () => Effect.void)
      denials(
        two,
        "BUDGET_FROZEN",
        ({ setStatus }) => setStatus("acme", { scope: ACME, unit: "TOKENS", status: "FROZEN" })
      )
      denials(
        two,
        "BUDGET_CLOSED",
        ({ setStatus }) => setStatus("acme", { scope: ACME, unit: "TOKENS", status: "CLOSED" })
      )
      denials(hundred, "OVERDRAFT_LIMIT_EXCEEDED", ({ acme }) => acme.event(eventing(101n)))

      test("fail for a unit no scope is kept in", hundred, ({ acme }) =>
        Effect.gen(function*() {
          yield* refused(acme.reserve(reserving(credits(1n), { dryRun: true })), "UnitMismatch", { scope: ACME })
          yield* refused(acme.decide(deciding(credits(1n))), "UnitMismatch", { expectedUnits: ["TOKENS"] })
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("commit", () => {
      const policies: ReadonlyArray<OveragePolicy> = ["REJECT", "ALLOW_IF_AVAILABLE", "ALLOW_WITH_OVERDRAFT"]
      for (const overagePolicy of policies) {
        test(
          `up to the estimate charges what was used and gives the rest back, under ${overagePolicy}`,
          two,
          ({ acme }) =>
            Effect.gen(function*() {
              for (const [actual, spent] of [[0n, 0n], [4n, 4n], [10n, 14n]] as const) {
                const { id } = yield* hold(acme, 10n, { overagePolicy })
                const reply = yield* acme.commit(id, committing(actual))
                assert.strictEqual(reply.status, "COMMITTED")
                assert.deepStrictEqual(reply.charged, tokens(actual))
                assert.deepStrictEqual(reply.released, actual === 10n ? undefined : tokens(10n - actual))
                yield* expectFigures(acme, ACME, { spent, reserved: 0n, remaining: 100n - spent, overLimit: false })
                yield* expectFigures(acme, BOT, { spent, reserved: 0n, remaining: 50n - spent, debt: 0n })
              }
            })
        )
      }

      test("leaves other holds alone", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const { id } = yield* hold(acme, 10n)
          yield* hold(acme, 25n)
          yield* acme.commit(id, committing(10n))
          yield* expectFigures(acme, ACME, { spent: 10n, reserved: 25n, remaining: 65n })
        }))

      test(
        "above the estimate is refused under REJECT, and the hold stays as it was",
        hundred,
        ({ acme }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 10n, { overagePolicy: "REJECT" })
            yield* refused(acme.commit(id, committing(11n)), "BudgetExceeded", { unit: "TOKENS", requested: 11n })
            yield* expectFigures(acme, ACME, { spent: 0n, reserved: 10n })
            assert.strictEqual((yield* acme.reservation(id)).status, "ACTIVE")
            yield* acme.commit(id, committing(10n))
            yield* expectFigures(acme, ACME, { spent: 10n, reserved: 0n })
          })
      )

      test(
        "above the estimate charges all where it is there, under ALLOW_IF_AVAILABLE",
        hundred,
        ({ acme }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 10n, { overagePolicy: "ALLOW_IF_AVAILABLE" })
            const reply = yield* acme.commit(id, committing(100n))
            assert.deepStrictEqual(reply.charged, tokens(100n))
            assert.isUndefined(reply.released)
            yield* expectFigures(acme, ACME, { spent: 100n, reserved: 0n, remaining: 0n, debt: 0n, overLimit: false })
          })
      )

      test(
        "above what is there charges what is there, and sets the over-limit flag that blocks",
        hundred,
        ({ acme }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 10n)
            const kept = yield* hold(acme, 20n)
            const reply = yield* acme.commit(id, committing(81n))
            assert.deepStrictEqual(reply.charged, tokens(80n))
            yield* expectFigures(acme, ACME, { spent: 80n, reserved: 20n, remaining: 0n, debt: 0n, overLimit: true })
            // What goes back can be reserved by nobody while the flag stands.
            yield* acme.release(kept.id, releasing())
            yield* expectFigures(acme, ACME, { remaining: 20n, overLimit: true })
            yield* refused(acme.reserve(reserving(1n)), "OverdraftLimitExceeded", { scope: ACME, unit: "TOKENS" })
          })
      )

      test(
        "charges one figure on all scopes, and flags only those that fell short themselves",
        two,
        ({ acme }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 40n)
            const reply = yield* acme.commit(id, committing(70n))
            assert.deepStrictEqual(reply.charged, tokens(50n))
            yield* expectFigures(acme, ACME, { spent: 50n, remaining: 50n, overLimit: false })
            yield* expectFigures(acme, BOT, { spent: 50n, remaining: 0n, overLimit: true })
            yield* hold(acme, 50n, { subject: { agent: "other" } })
          })
      )

      test(
        "ALLOW_WITH_OVERDRAFT spends what is there and owes the rest",
        [budget(ACME, 100n, 30n)],
        ({ acme }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 90n, { overagePolicy: "ALLOW_WITH_OVERDRAFT" })
            const reply = yield* acme.commit(id, committing(125n))
            assert.deepStrictEqual(reply.charged, tokens(125n))
            assert.isUndefined(reply.released)
            yield* expectFigures(acme, ACME, {
              spent: 100n,
              debt: 25n,
              reserved: 0n,
              remaining: -25n,
              overLimit: false
            })
            // Debt within its limit does not block by itself; that nothing remains does.
            yield* refused(acme.reserve(reserving(1n)), "BudgetExceeded", { remaining: -25n })
          })
      )

      test(
        "ALLOW_WITH_OVERDRAFT takes debt to its limit and not beyond",
        [budget(ACME, 100n, 30n)],
        ({ acme }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 90n, { overagePolicy: "ALLOW_WITH_OVERDRAFT" })
            yield* refused(acme.commit(id, committing(131n)), "OverdraftLimitExceeded", { scope: ACME, unit: "TOKENS" })
            yield* expectFigures(acme, ACME, { spent: 0n, debt: 0n, reserved: 90n, remaining: 10n })
            assert.deepStrictEqual((yield* acme.commit(id, committing(130n))).charged, tokens(130n))
            yield* expectFigures(acme, ACME, { spent: 100n, debt: 30n, remaining: -30n, overLimit: false })
            const other = yield* hold(acme, 0n, { overagePolicy: "ALLOW_WITH_OVERDRAFT" }).pipe(Effect.flip)
            assert.strictEqual(Reflect.get(Object(other), "_tag"), "BudgetExceeded")
          })
      )

      test("ALLOW_WITH_OVERDRAFT is capped by a scope without a limit, which is flagged", [
        budget(ACME, 100n, 1_000n),
        budget(BOT, 50n)
      ], ({ acme }) =>
        Effect.gen(function*() {
          const { id } = yield* hold(acme, 40n, { overagePolicy: "ALLOW_WITH_OVERDRAFT" })
          assert.deepStrictEqual((yield* acme.commit(id, committing(200n))).charged, tokens(50n))
          yield* expectFigures(acme, ACME, { spent: 50n, debt: 0n, overLimit: false })
          yield* expectFigures(acme, BOT, { spent: 50n, debt: 0n, remaining: 0n, overLimit: true })
        }))

      test(
        "works on the budgets of its hold, frozen or closed since",
        two,
        ({ acme, setStatus }) =>
          Effect.gen(function*() {
            const first = yield* hold(acme, 10n)
            const second = yield* hold(acme, 10n)
            const third = yield* hold(acme, 10n)
            yield* setStatus("acme", { scope: ACME, unit: "TOKENS", status: "FROZEN" })
            yield* setStatus("acme", { scope: BOT, unit: "TOKENS", status: "CLOSED" })
            assert.deepStrictEqual((yield* acme.commit(first.id, committing(7n))).charged, tokens(7n))
            yield* acme.release(second.id, releasing())
            yield* acme.extend(third.id, extending(1_000))
            yield* expectFigures(acme, ACME, { spent: 7n, reserved: 10n })
            yield* expectFigures(acme, BOT, { spent: 7n, reserved: 10n })
          })
      )

      test(
        "is refused in another unit than the hold's",
        [budget(ACME, 100n), budget(ACME, credits(9n))],
        ({ acme }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 10n)
            yield* refused(acme.commit(id, committing(credits(1n))), "UnitMismatch", { expectedUnits: ["TOKENS"] })
            yield* expectFigures(acme, ACME, { reserved: 10n, spent: 0n })
          })
      )

      test("is kept with what came along", hundred, ({ acme, advance }) =>
        Effect.gen(function*() {
          const subject: Subject = { agent: "bot", dimensions: { run: "7" } }
          const tagged = { ...action, tags: ["a", "b"] }
          const { endsAt, id } = yield* hold(acme, 10n, {
            idempotencyKey: key("mine"),
            subject,
            action: tagged,
            metadata: { ticket: "T-1", nested: { deep: [1, true, null] } }
          })
          yield* advance(1_500)
          yield* acme.commit(
            id,
            committing(4n, {
              metrics: { tokensInput: 1, tokensOutput: 3, latencyMs: 9, modelVersion: "v", custom: { x: "y" } },
              metadata: { done: "yes" }
            })
          )
          const record = yield* acme.reservation(id)
          assert.deepStrictEqual({ ...record, subject: undefined }, {
            reservationId: id,
            status: "COMMITTED",
            idempotencyKey: key("mine"),
            subject: undefined,
            action: tagged,
            reserved: tokens(10n),
            committed: tokens(4n),
            createdAtMs: endsAt - 60_000,
            expiresAtMs: endsAt,
            finalizedAtMs: endsAt - 60_000 + 1_500,
            scopePath: BOT,
            affectedScopes: [ACME, BOT],
            metadata: { ticket: "T-1", nested: { deep: [1, true, null] } },
            committedMetadata: { done: "yes" }
          } as never)
          assert.deepStrictEqual([record.subject.agent, record.subject.dimensions], ["bot", { run: "7" }])
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("release", () => {
      test("gives the whole estimate back", two, ({ acme }) =>
        Effect.gen(function*() {
          const { id } = yield* hold(acme, 30n)
          const reply = yield* acme.release(id, releasing({ reason: "not needed" }))
          assert.strictEqual(reply.status, "RELEASED")
          assert.deepStrictEqual(reply.released, tokens(30n))
          yield* expectFigures(acme, ACME, { remaining: 100n, reserved: 0n, spent: 0n })
          yield* expectFigures(acme, BOT, { remaining: 50n, reserved: 0n, spent: 0n })
          const record = yield* acme.reservation(id)
          assert.strictEqual(record.status, "RELEASED")
          assert.isUndefined(record.committed)
          assert.isDefined(record.finalizedAtMs)
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("extend", () => {
      test(
        "moves the end out from where it was, and touches no budget",
        hundred,
        ({ acme, advance }) =>
          Effect.gen(function*() {
            const { endsAt, id } = yield* hold(acme, 10n, { ttlMs: 10_000 })
            yield* advance(4_000)
            const reply = yield* acme.extend(id, extending(5_000))
            assert.strictEqual(reply.status, "ACTIVE")
            assert.strictEqual(reply.expiresAtMs, endsAt + 5_000)
            assert.strictEqual(reply.remainingTtlMs, 11_000)
            assert.strictEqual((yield* acme.reservation(id)).expiresAtMs, endsAt + 5_000)
            yield* expectFigures(acme, ACME, { reserved: 10n, remaining: 90n, spent: 0n })
          })
      )

      test(
        "keeps the hold and its grace alive beyond the old end",
        hundred,
        ({ acme, advance }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 10n, { ttlMs: 1_000, gracePeriodMs: 50 })
            yield* acme.extend(id, extending(1_000))
            yield* advance(2_050)
            yield* expectFigures(acme, ACME, { reserved: 10n })
            yield* acme.commit(id, committing(10n))
            yield* expectFigures(acme, ACME, { reserved: 0n, spent: 10n })
          })
      )

      test("takes from 1 millisecond to 24 hours", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const { endsAt, id } = yield* hold(acme, 10n)
          assert.strictEqual((yield* acme.extend(id, extending(1))).expiresAtMs, endsAt + 1)
          assert.strictEqual((yield* acme.extend(id, extending(86_400_000))).expiresAtMs, endsAt + 86_400_001)
        }))

      test("happens ten times and no more, where nothing else was said", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const { id } = yield* hold(acme, 10n)
          for (let i = 0; i < 10; i++) yield* acme.extend(id, extending(1))
          yield* refused(acme.extend(id, extending(1)), "MaxExtensionsExceeded")
          yield* acme.commit(id, committing(10n))
        }))

      test(
        "happens as often as was said; a repetition does not count",
        { budgets: hundred, maxExtensions: 2 },
        ({ acme }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 10n)
            const first = extending(1)
            for (let i = 0; i < 3; i++) yield* acme.extend(id, first)
            yield* acme.extend(id, extending(1))
            yield* refused(acme.extend(id, extending(1)), "MaxExtensionsExceeded")
            yield* acme.extend(id, first)
          })
      )
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("event", () => {
      test("charges every budgeted scope at once", two, ({ acme }) =>
        Effect.gen(function*() {
          const reply = yield* acme.event(eventing(30n, {
            metrics: { tokensInput: 30 },
            clientTimeMs: 7,
            metadata: { why: "late" }
          }))
          assert.strictEqual(reply.status, "APPLIED")
          assert.isAbove(reply.eventId.length, 0)
          assert.isUndefined(reply.charged)
          yield* expectFigures(acme, ACME, { spent: 30n, reserved: 0n, remaining: 70n })
          yield* expectFigures(acme, BOT, { spent: 30n, reserved: 0n, remaining: 20n })
          assert.deepStrictEqual((yield* acme.reservations({})).reservations, [])
        }))

      test("takes what remains and not one more, under REJECT", two, ({ acme }) =>
        Effect.gen(function*() {
          yield* refused(acme.event(eventing(51n, { overagePolicy: "REJECT" })), "BudgetExceeded", {
            scope: BOT,
            unit: "TOKENS",
            requested: 51n,
            remaining: 50n
          })
          yield* acme.event(eventing(50n, { overagePolicy: "REJECT" }))
          yield* expectFigures(acme, ACME, { spent: 50n, overLimit: false })
        }))

      test(
        "charges what is there under ALLOW_IF_AVAILABLE, the default, and flags who fell short",
        two,
        ({ acme }) =>
          Effect.gen(function*() {
            const reply = yield* acme.event(eventing(60n))
            assert.deepStrictEqual(reply.charged, tokens(50n))
            yield* expectFigures(acme, ACME, { spent: 50n, overLimit: false })
            yield* expectFigures(acme, BOT, { spent: 50n, remaining: 0n, overLimit: true })
            const nothing = yield* acme.event(eventing(5n, { overagePolicy: "ALLOW_IF_AVAILABLE" }))
            assert.deepStrictEqual(nothing.charged, tokens(0n))
            yield* expectFigures(acme, ACME, { spent: 50n })
          })
      )

      test(
        "owes what is not there under ALLOW_WITH_OVERDRAFT, up to the limit",
        [budget(ACME, 100n, 30n)],
        ({ acme }) =>
          Effect.gen(function*() {
            yield* refused(
              acme.event(eventing(131n, { overagePolicy: "ALLOW_WITH_OVERDRAFT" })),
              "OverdraftLimitExceeded",
              {
                scope: ACME
              }
            )
            yield* expectFigures(acme, ACME, { spent: 0n, debt: 0n })
            const reply = yield* acme.event(eventing(110n, { overagePolicy: "ALLOW_WITH_OVERDRAFT" }))
            assert.isUndefined(reply.charged)
            yield* expectFigures(acme, ACME, { spent: 100n, debt: 10n, remaining: -10n })
            yield* acme.event(eventing(20n, { overagePolicy: "ALLOW_WITH_OVERDRAFT" }))
            yield* expectFigures(acme, ACME, { spent: 100n, debt: 30n, remaining: -30n, overLimit: false })
          })
      )

      test("is not refused for debt or the over-limit flag: it has happened", [budget(ACME, 10n), budget(BOT, 5n)], (
        { acme }
      ) =>
        Effect.gen(function*() {
          yield* acme.event(eventing(6n))
          yield* refused(acme.reserve(reserving(0n)), "OverdraftLimitExceeded", { scope: BOT })
          yield* acme.event(eventing(1n, { subject: { agent: "other" } }))
          yield* expectFigures(acme, ACME, { spent: 6n })
          assert.deepStrictEqual((yield* acme.event(eventing(1n))).charged, tokens(0n))
        }))

      test(
        "is refused for a frozen and for a closed budget, and where there is none",
        two,
        ({ acme, setStatus, umbrella }) =>
          Effect.gen(function*() {
            yield* setStatus("acme", { scope: BOT, unit: "TOKENS", status: "FROZEN" })
            yield* refused(acme.event(eventing(1n)), "BudgetFrozen", { scope: BOT })
            yield* setStatus("acme", { scope: ACME, unit: "TOKENS", status: "CLOSED" })
            yield* refused(acme.event(eventing(1n)), "BudgetClosed", { scope: ACME })
            yield* refused(acme.event(eventing(credits(1n))), "UnitMismatch", {
              scope: ACME,
              expectedUnits: ["TOKENS"]
            })
            yield* refused(umbrella.event(eventing(1n)), "BudgetNotFound", { scope: "tenant:umbrella/agent:bot" })
            yield* expectFigures(acme, ACME, { spent: 0n })
          })
      )
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("a repeated key", () => {
      test(
        "gives the first reply again and does nothing, for every operation",
        two,
        ({ acme }) =>
          Effect.gen(function*() {
            const reserve = reserving(10n, { metadata: { a: 1, b: { c: 2, d: [3] } } })
            const reply = yield* acme.reserve(reserve)
            assert.deepStrictEqual(yield* acme.reserve(reserve), reply)
            // The order of keys is no part of a request.
            assert.deepStrictEqual(yield* acme.reserve({ ...reserve, metadata: { b: { d: [3], c: 2 }, a: 1 } }), reply)
            const id = reply.reservationId ?? idOf("none")
            const extend = extending(1_000)
            assert.deepStrictEqual(yield* acme.extend(id, extend), yield* acme.extend(id, extend))
            const commit = committing(4n)
            assert.deepStrictEqual(yield* acme.commit(id, commit), yield* acme.commit(id, commit))
            const second = yield* hold(acme, 10n)
            const release = releasing()
            assert.deepStrictEqual(yield* acme.release(second.id, release), yield* acme.release(second.id, release))
            const event = eventing(5n)
            assert.deepStrictEqual(yield* acme.event(event), yield* acme.event(event))
            const decide = deciding(10n)
            assert.deepStrictEqual(yield* acme.decide(decide), yield* acme.decide(decide))
            const dry = reserving(10n, { dryRun: true })
            assert.deepStrictEqual(yield* acme.reserve(dry), yield* acme.reserve(dry))
            yield* expectFigures(acme, ACME, { spent: 9n, reserved: 0n, remaining: 91n })
            assert.strictEqual((yield* acme.reservations({})).reservations.length, 2)
          })
      )

      test(
        "with another request is a mismatch that does nothing, for every operation",
        two,
        ({ acme }) =>
          Effect.gen(function*() {
            const reserve = reserving(10n, { metadata: { a: 1 } })
            const { reservationId = idOf("none") } = yield* acme.reserve(reserve)
            for (
              const other of [
                { ...reserve, estimate: tokens(11n) },
                { ...reserve, subject: { agent: "other" } },
                { ...reserve, action: { kind: "llm.completion", name: "gpt-5" } },
                { ...reserve, ttlMs: 1_000 },
                { ...reserve, gracePeriodMs: 1 },
                { ...reserve, overagePolicy: "REJECT" as const },
                { ...reserve, metadata: { a: 2 } },
                { ...reserve, dryRun: true }
              ]
            ) yield* refused(acme.reserve(other), "IdempotencyMismatch")
            const dry = reserving(1n, { dryRun: true })
            yield* acme.reserve(dry)
            yield* refused(acme.reserve({ ...dry, dryRun: false }), "IdempotencyMismatch")

            const extend = extending(1_000)
            yield* acme.extend(reservationId, extend)
            yield* refused(acme.extend(reservationId, { ...extend, extendByMs: 1_001 }), "IdempotencyMismatch")
            const commit = committing(4n)
            yield* acme.commit(reservationId, commit)
            yield* refused(acme.commit(reservationId, { ...commit, actual: tokens(5n) }), "IdempotencyMismatch")
            yield* refused(acme.commit(reservationId, { ...commit, metadata: {} }), "IdempotencyMismatch")
            const second = yield* hold(acme, 10n)
            const release = releasing({ reason: "a" })
            yield* acme.release(second.id, release)
            yield* refused(acme.release(second.id, { ...release, reason: "b" }), "IdempotencyMismatch")
            const event = eventing(5n)
            yield* acme.event(event)
            yield* refused(acme.event({ ...event, actual: tokens(6n) }), "IdempotencyMismatch")
            yield* refused(acme.event({ ...event, overagePolicy: "REJECT" }), "IdempotencyMismatch")
            const decide = deciding(10n)
            yield* acme.decide(decide)
            yield* refused(acme.decide({ ...decide, estimate: tokens(11n) }), "IdempotencyMismatch")
            yield* expectFigures(acme, ACME, { spent: 9n, reserved: 0n })
          })
      )

      test("for another reservation is a mismatch", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const first = yield* hold(acme, 10n)
          const second = yield* hold(acme, 10n)
          const commit = committing(4n)
          yield* acme.commit(first.id, commit)
          yield* refused(acme.commit(second.id, commit), "IdempotencyMismatch")
          yield* expectFigures(acme, ACME, { spent: 4n, reserved: 10n })
        }))

      test("is one key per operation and tenant", [budget(ACME, 100n), budget("tenant:umbrella", 100n)], (
        { acme, umbrella }
      ) =>
        Effect.gen(function*() {
          const idempotencyKey = key("the one")
          const first = yield* hold(acme, 10n, { idempotencyKey })
          yield* acme.decide(deciding(10n, { idempotencyKey }))
          yield* acme.event(eventing(1n, { idempotencyKey }))
          yield* acme.extend(first.id, extending(1, { idempotencyKey }))
          const second = yield* hold(acme, 10n)
          yield* acme.commit(first.id, committing(1n, { idempotencyKey }))
          yield* acme.release(second.id, releasing({ idempotencyKey }))
          const theirs = yield* hold(umbrella, 20n, { idempotencyKey })
          assert.notStrictEqual(theirs.id, first.id)
          yield* expectFigures(acme, ACME, { spent: 2n, reserved: 0n })
        }))

      test(
        "may be used again after a refusal, even for another request",
        hundred,
        ({ acme }) =>
          Effect.gen(function*() {
            const idempotencyKey = key("again")
            yield* refused(acme.reserve(reserving(101n, { idempotencyKey })), "BudgetExceeded")
            const { id } = yield* hold(acme, 10n, { idempotencyKey, overagePolicy: "REJECT" })
            const commit = key("commit")
            yield* refused(acme.commit(id, committing(11n, { idempotencyKey: commit })), "BudgetExceeded")
            yield* acme.commit(id, committing(10n, { idempotencyKey: commit }))
            const event = key("event")
            yield* refused(
              acme.event(eventing(91n, { idempotencyKey: event, overagePolicy: "REJECT" })),
              "BudgetExceeded"
            )
            yield* acme.event(eventing(90n, { idempotencyKey: event, overagePolicy: "REJECT" }))
            yield* expectFigures(acme, ACME, { spent: 100n })
          })
      )

      test("remembers a DENY: that was an answer", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const taken = yield* hold(acme, 100n)
          const decide = deciding(1n)
          const dry = reserving(1n, { dryRun: true })
          assert.strictEqual((yield* acme.decide(decide)).decision, "DENY")
          assert.strictEqual((yield* acme.reserve(dry)).decision, "DENY")
          yield* acme.release(taken.id, releasing())
          assert.strictEqual((yield* acme.decide(decide)).decision, "DENY")
          assert.strictEqual((yield* acme.reserve(dry)).decision, "DENY")
          assert.strictEqual((yield* acme.decide(deciding(1n))).decision, "ALLOW")
        }))

      test(
        "tells what is left of the lease now, and changes nothing else",
        hundred,
        ({ acme, advance }) =>
          Effect.gen(function*() {
            const reserve = reserving(10n, { ttlMs: 10_000, gracePeriodMs: 5_000 })
            const first = yield* acme.reserve(reserve)
            const id = first.reservationId ?? idOf("none")
            yield* advance(3_000)
            assert.deepStrictEqual(yield* acme.reserve(reserve), { ...first, remainingTtlMs: 7_000 })
            const extend = extending(1_000)
            const extended = yield* acme.extend(id, extend)
            assert.strictEqual(extended.remainingTtlMs, 8_000)
            yield* advance(7_000)
            // The end as it was told then; the lease has been extended since.
            assert.deepStrictEqual(yield* acme.reserve(reserve), { ...first, remainingTtlMs: 0 })
            assert.deepStrictEqual(yield* acme.extend(id, extend), { ...extended, remainingTtlMs: 1_000 })
            yield* advance(2_000)
            assert.deepStrictEqual(yield* acme.extend(id, extend), { ...extended, remainingTtlMs: 0 })
          })
      )

      test(
        "tells 0 once the reservation has ended, however it did",
        hundred,
        ({ acme, advance }) =>
          Effect.gen(function*() {
            const reserves = [reserving(1n), reserving(1n), reserving(1n, { ttlMs: 1_000, gracePeriodMs: 0 })]
            const [a, b, c] = yield* Effect.forEach(reserves, (request) => acme.reserve(request))
            const extend = extending(1_000)
            yield* acme.extend(a?.reservationId ?? idOf("none"), extend)
            yield* acme.commit(a?.reservationId ?? idOf("none"), committing(1n))
            yield* acme.release(b?.reservationId ?? idOf("none"), releasing())
            yield* advance(1_001)
            for (const [i, first] of [a, b, c].entries()) {
              const again = yield* acme.reserve(reserves[i] ?? reserving(1n))
              assert.deepStrictEqual(again, { ...first, remainingTtlMs: 0 } as ReserveReply)
            }
            assert.strictEqual((yield* acme.extend(a?.reservationId ?? idOf("none"), extend)).remainingTtlMs, 0)
            yield* expectFigures(acme, ACME, { spent: 1n, reserved: 0n })
          })
      )

      test(
        "finds a settlement again after everything else has changed",
        two,
        ({ acme, advance, setStatus }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 10n)
            const commit = committing(4n)
            const reply = yield* acme.commit(id, commit)
            yield* acme.event(eventing(46n))
            yield* setStatus("acme", { scope: ACME, unit: "TOKENS", status: "FROZEN" })
            yield* advance(3_600_000)
            assert.deepStrictEqual(yield* acme.commit(id, commit), reply)
            yield* expectFigures(acme, ACME, { spent: 50n, reserved: 0n })
          })
      )
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("a settled reservation", () => {
      test("takes no second settlement and no extension", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const committed = yield* hold(acme, 10n)
          yield* acme.commit(committed.id, committing(4n))
          const released = yield* hold(acme, 10n)
          yield* acme.release(released.id, releasing())
          for (const { id } of [committed, released]) {
            yield* refused(acme.commit(id, committing(4n)), "ReservationFinalized")
            yield* refused(acme.release(id, releasing()), "ReservationFinalized")
            yield* refused(acme.extend(id, extending(1)), "ReservationFinalized")
          }
          yield* expectFigures(acme, ACME, { spent: 4n, reserved: 0n, remaining: 96n })
        }))

      test("does not expire any more", hundred, ({ acme, advance }) =>
        Effect.gen(function*() {
          const { id } = yield* hold(acme, 10n, { ttlMs: 1_000 })
          yield* acme.commit(id, committing(4n))
          yield* advance(60_000)
          assert.strictEqual((yield* acme.reservation(id)).status, "COMMITTED")
          yield* refused(acme.commit(id, committing(4n)), "ReservationFinalized")
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("time", () => {
      const lease = { ttlMs: 1_000, gracePeriodMs: 500 }

      for (
        const [what, after] of [
          ["before its end", 999],
          ["at its end", 1_000],
          ["after its end", 1_001],
          ["at the end of its grace", 1_500]
        ] as const
      ) {
        test(`a hold is settled ${what}`, hundred, ({ acme, advance }) =>
          Effect.gen(function*() {
            const first = yield* hold(acme, 10n, lease)
            const second = yield* hold(acme, 10n, lease)
            yield* advance(after)
            yield* expectFigures(acme, ACME, { reserved: 20n })
            assert.strictEqual((yield* acme.reservation(first.id)).status, "ACTIVE")
            yield* acme.commit(first.id, committing(4n))
            yield* acme.release(second.id, releasing())
            yield* expectFigures(acme, ACME, { spent: 4n, reserved: 0n })
          }))

        test(
          `a hold is ${after > 1_000 ? "not " : ""}extended ${what}`,
          hundred,
          ({ acme, advance }) =>
            Effect.gen(function*() {
              const { id } = yield* hold(acme, 10n, lease)
              yield* advance(after)
              const extended = acme.extend(id, extending(1_000))
              if (after > 1_000) yield* refused(extended, "ReservationExpired")
              else assert.strictEqual((yield* extended).remainingTtlMs, 2_000 - after)
            })
        )
      }

      test(
        "a hold has expired one millisecond after its grace, and its budget is free",
        hundred,
        ({ acme, advance }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 100n, lease)
            yield* advance(1_500)
            yield* refused(acme.reserve(reserving(1n)), "BudgetExceeded", { remaining: 0n })
            yield* advance(1)
            yield* refused(acme.commit(id, committing(4n)), "ReservationExpired")
            yield* refused(acme.release(id, releasing()), "ReservationExpired")
            yield* refused(acme.extend(id, extending(1)), "ReservationExpired")
            yield* refused(acme.reservation(id), "ReservationExpired")
            yield* expectFigures(acme, ACME, { reserved: 0n, spent: 0n, remaining: 100n })
            const { reservations } = yield* acme.reservations({})
            assert.deepStrictEqual(reservations.map(({ status }) => status), ["EXPIRED"])
            assert.isUndefined(reservations[0]?.finalizedAtMs)
            yield* hold(acme, 100n)
          })
      )

      test("expiry is found by whatever comes first: a denial is never given for a hold that has ended", hundred, (
        { acme, advance }
      ) =>
        Effect.gen(function*() {
          yield* hold(acme, 100n, lease)
          yield* advance(1_501)
          yield* hold(acme, 100n, lease)
          yield* advance(1_501)
          assert.strictEqual((yield* acme.decide(deciding(100n))).decision, "ALLOW")
          yield* hold(acme, 100n, lease)
          yield* advance(1_501)
          yield* acme.event(eventing(100n, { overagePolicy: "REJECT" }))
          yield* expectFigures(acme, ACME, { spent: 100n, reserved: 0n })
        }))

      test("without grace a hold ends with its lease", hundred, ({ acme, advance }) =>
        Effect.gen(function*() {
          const first = yield* hold(acme, 10n, { ttlMs: 1_000, gracePeriodMs: 0 })
          const second = yield* hold(acme, 10n, { ttlMs: 1_000, gracePeriodMs: 0 })
          yield* advance(1_000)
          yield* acme.commit(first.id, committing(1n))
          yield* advance(1)
          yield* refused(acme.commit(second.id, committing(1n)), "ReservationExpired")
        }))

      test("grace is 5 seconds where none is given", hundred, ({ acme, advance }) =>
        Effect.gen(function*() {
          const first = yield* hold(acme, 10n)
          const second = yield* hold(acme, 10n)
          yield* advance(65_000)
          yield* acme.commit(first.id, committing(1n))
          yield* advance(1)
          yield* refused(acme.commit(second.id, committing(1n)), "ReservationExpired")
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("tenants", () => {
      const both = [budget(ACME, 100n), budget("tenant:umbrella", 100n)]

      test(
        "cannot name each other: in a subject, in a query, by an id",
        both,
        ({ acme, umbrella }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 10n)
            const subject: Subject = { tenant: "acme", agent: "bot" }
            yield* refused(umbrella.reserve(reserving(1n, { subject })), "Forbidden")
            yield* refused(umbrella.reserve(reserving(1n, { subject, dryRun: true })), "Forbidden")
            yield* refused(umbrella.decide(deciding(1n, { subject })), "Forbidden")
            yield* refused(umbrella.event(eventing(1n, { subject })), "Forbidden")
            yield* refused(umbrella.balances({ tenant: "acme" }), "Forbidden")
            yield* refused(umbrella.reservations({ tenant: "acme" }), "Forbidden")
            yield* refused(umbrella.reservation(id), "Forbidden")
            yield* refused(umbrella.commit(id, committing(1n)), "Forbidden")
            yield* refused(umbrella.release(id, releasing()), "Forbidden")
            yield* refused(umbrella.extend(id, extending(1)), "Forbidden")
            yield* expectFigures(acme, ACME, { reserved: 10n, spent: 0n })
          })
      )

      test("see, spend and learn nothing of each other", both, ({ acme, umbrella }) =>
        Effect.gen(function*() {
          const mine = yield* hold(acme, 90n, { idempotencyKey: key("k") })
          yield* hold(umbrella, 95n)
          yield* acme.commit(mine.id, committing(90n))
          yield* expectFigures(umbrella, "tenant:umbrella", { reserved: 95n, spent: 0n })
          assert.deepStrictEqual(
            (yield* umbrella.balances({ agent: "bot" })).balances.concat(
              (yield* umbrella.balances({ tenant: "umbrella" })).balances
            )
              .map(({ scopePath }) => scopePath),
            ["tenant:umbrella"]
          )
          const listed = (yield* umbrella.reservations({})).reservations
          assert.deepStrictEqual(listed.map(({ scopePath }) => scopePath), ["tenant:umbrella/agent:bot"])
          assert.deepStrictEqual((yield* umbrella.reservations({ idempotencyKey: key("k") })).reservations, [])
        }))

      test(
        "are told apart by their whole name",
        [budget("tenant:acm", 100n), budget(ACME, 100n)],
        ({ acme, authorityOf }) =>
          Effect.gen(function*() {
            yield* hold(acme, 10n)
            yield* expectFigures(authorityOf("acm"), "tenant:acm", { reserved: 0n })
            assert.strictEqual((yield* authorityOf("acm").balances({ tenant: "acm" })).balances.length, 1)
          })
      )
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("the order of refusals", () => {
      test("an unknown id is NotFound", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const id = idOf("018f0000-0000-7000-8000-000000000000")
          yield* refused(acme.reservation(id), "NotFound")
          yield* refused(acme.commit(id, committing(1n)), "NotFound")
          yield* refused(acme.release(id, releasing()), "NotFound")
          yield* refused(acme.extend(id, extending(1)), "NotFound")
        }))

      test(
        "the shape of a request comes before everything else",
        hundred,
        ({ acme, umbrella }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 1n)
            yield* refused(
              umbrella.reserve(reserving(1n, { subject: { tenant: "acme" }, ttlMs: 1 })),
              "InvalidRequest",
              { field: "ttlMs" }
            )
            yield* refused(umbrella.extend(id, extending(0)), "InvalidRequest", { field: "extendByMs" })
            yield* refused(acme.extend(idOf("none"), extending(0)), "InvalidRequest", { field: "extendByMs" })
          })
      )

      test("whose it is comes before a repeated key", [budget(ACME, 100n), budget("tenant:umbrella", 9n)], (
        { acme, umbrella }
      ) =>
        Effect.gen(function*() {
          const { id } = yield* hold(acme, 10n)
          const mine = yield* hold(umbrella, 1n)
          const commit = committing(1n)
          yield* umbrella.commit(mine.id, commit)
          yield* refused(umbrella.commit(id, commit), "Forbidden")
          yield* refused(umbrella.commit(idOf("none"), commit), "NotFound")
        }))

      test("a repeated key comes before the reservation's state", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const { id } = yield* hold(acme, 10n)
          const commit = committing(1n)
          yield* acme.commit(id, commit)
          yield* refused(acme.commit(id, { ...commit, actual: tokens(2n) }), "IdempotencyMismatch")
        }))

      test(
        "the state comes before the unit, the unit before the budget",
        [budget(ACME, 9n), budget(ACME, credits(9n))],
        (
          { acme, advance }
        ) =>
          Effect.gen(function*() {
            const first = yield* hold(acme, 1n, { overagePolicy: "REJECT" })
            yield* refused(acme.commit(first.id, committing(credits(99n))), "UnitMismatch")
            yield* acme.release(first.id, releasing())
            yield* refused(acme.commit(first.id, committing(credits(1n))), "ReservationFinalized")
            const second = yield* hold(acme, 1n, { ttlMs: 1_000, gracePeriodMs: 0 })
            yield* advance(1_001)
            yield* refused(acme.commit(second.id, committing(credits(1n))), "ReservationExpired")
          })
      )

      test("a repeated key comes before the budgets", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const reserve = reserving(100n)
          const first = yield* acme.reserve(reserve)
          assert.deepStrictEqual(yield* acme.reserve(reserve), first)
          yield* refused(acme.reserve({ ...reserve, estimate: tokens(101n) }), "IdempotencyMismatch")
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("a request that breaks a rule", () => {
      const long = (n: number): string => "x".repeat(n)
      const bad = (
        what: string,
        field: string | ReadonlyArray<string>,
        send: (acme: Operations, id: ReservationId) => Effect.Effect<unknown, { readonly _tag: string }>
      ) =>
        test(`is refused, naming the field and the rule: ${what}`, two, ({ acme }) =>
          Effect.gen(function*() {
            const { id } = yield* hold(acme, 10n)
            const error = yield* refused(send(acme, id), "InvalidRequest")
            assert.include(typeof field === "string" ? [field] : field, Reflect.get(error, "field"))
            assert.isAbove(String(Reflect.get(error, "reason")).length, 0)
            yield* expectFigures(acme, ACME, { reserved: 10n, spent: 0n, overLimit: false })
          }))

      const amounts: ReadonlyArray<readonly [string, unknown]> = [
        ["a fraction", 1.5],
        ["a negative amount", -1n],
        ["2^63", MAX_INT64 + 1n],
        ["a text", "5"],
        ["a number that may have lost its last digit", 2 ** 53]
      ]
      for (const [what, amount] of amounts) {
        const made = handMade({ unit: "TOKENS", amount })
        bad(`${what} as estimate of a reserve`, "estimate.amount", (acme) => acme.reserve(reserving(made)))
        bad(`${what} as estimate of a decide`, "estimate.amount", (acme) => acme.decide(deciding(made)))
        bad(`${what} as actual of a commit`, "actual.amount", (acme, id) => acme.commit(id, committing(made)))
        bad(`${what} as actual of an event`, "actual.amount", (acme) => acme.event(eventing(made)))
      }
      const euros = handMade({ unit: "EUR", amount: 1n })
      bad("an unknown unit in a reserve", ["estimate", "estimate.unit"], (acme) => acme.reserve(reserving(euros)))
      bad("an unknown unit in a commit", ["actual", "actual.unit"], (acme, id) => acme.commit(id, committing(euros)))

      for (const ttlMs of [999, 86_400_001, 1_000.5, -1, NaN]) {
        bad(`a ttl of ${ttlMs}`, "ttlMs", (acme) => acme.reserve(reserving(1n, { ttlMs })))
      }
      for (const gracePeriodMs of [-1, 60_001, 0.5]) {
        bad(
          `a grace period of ${gracePeriodMs}`,
          "gracePeriodMs",
          (acme) => acme.reserve(reserving(1n, { gracePeriodMs }))
        )
      }
      for (const extendByMs of [0, 86_400_001, 1.5, -5]) {
        bad(`an extension by ${extendByMs}`, "extendByMs", (acme, id) => acme.extend(id, extending(extendByMs)))
      }

      for (const [what, name] of [["an empty key", ""], ["a key of 257 characters", long(257)]] as const) {
        const idempotencyKey = handMade(name)
        bad(`${what} in a reserve`, "idempotencyKey", (acme) => acme.reserve(reserving(1n, { idempotencyKey })))
        bad(`${what} in a decide`, "idempotencyKey", (acme) => acme.decide(deciding(1n, { idempotencyKey })))
        bad(`${what} in a commit`, "idempotencyKey", (acme, id) => acme.commit(id, committing(1n, { idempotencyKey })))
        bad(`${what} in a release`, "idempotencyKey", (acme, id) => acme.release(id, releasing({ idempotencyKey })))
        bad(`${what} in an extend`, "idempotencyKey", (acme, id) => acme.extend(id, extending(1, { idempotencyKey })))
        bad(`${what} in an event`, "idempotencyKey", (acme) => acme.event(eventing(1n, { idempotencyKey })))
      }

      bad("an empty subject in a reserve", "subject", (acme) => acme.reserve(reserving(1n, { subject: {} })))
      bad("an empty subject in a decide", "subject", (acme) => acme.decide(deciding(1n, { subject: {} })))
      bad("an empty subject in an event", "subject", (acme) => acme.event(eventing(1n, { subject: {} })))
      bad(
        "a subject of dimensions only",
        "subject",
        (acme) => acme.reserve(reserving(1n, { subject: { dimensions: { run: "1" } } }))
      )
      for (const agent of ["", "a b", "a/b", "a:b", "ä", "a\n"]) {
        bad(
          `the agent "${agent.replace("\n", "\\n")}"`,
          "subject.agent",
          (acme) => acme.reserve(reserving(1n, { subject: { agent } }))
        )
      }
      bad(
        "an agent of 129 characters",
        "subject.agent",
        (acme) => acme.reserve(reserving(1n, { subject: { agent: long(129) } }))
      )
      bad("a bad tenant", "subject.tenant", (acme) => acme.reserve(reserving(1n, { subject: { tenant: "a b" } })))
      bad("17 dimensions", "subject.dimensions", (acme) =>
        acme.reserve(reserving(1n, {
          subject: {
            agent: "bot",
            dimensions: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`d${i}`, "x"]))
          }
        })))
      bad(
        "a dimension of 257 characters",
        "subject.dimensions.run",
        (acme) => acme.reserve(reserving(1n, { subject: { agent: "bot", dimensions: { run: long(257) } } }))
      )

      bad(
        "a kind of 65 characters",
        "action.kind",
        (acme) => acme.reserve(reserving(1n, { action: { kind: long(65), name: "n" } }))
      )
      bad(
        "a name of 257 characters",
        "action.name",
        (acme) => acme.event(eventing(1n, { action: { kind: "k", name: long(257) } }))
      )
      bad(
        "11 tags",
        "action.tags",
        (acme) => acme.reserve(reserving(1n, { action: { ...action, tags: Array.from({ length: 11 }, String) } }))
      )
      bad(
        "a tag of 65 characters",
        "action.tags.0",
        (acme) => acme.reserve(reserving(1n, { action: { ...action, tags: [long(65)] } }))
      )
      bad(
        "an unknown overage policy",
        "overagePolicy",
        (acme) => acme.reserve(reserving(1n, { overagePolicy: handMade("MAYBE") }))
      )
      bad("a reason of 257 characters", "reason", (acme, id) => acme.release(id, releasing({ reason: long(257) })))
      bad(
        "a negative count of tokens",
        "metrics.tokensInput",
        (acme, id) => acme.commit(id, committing(1n, { metrics: { tokensInput: -1 } }))
      )
      bad(
        "a model version of 129 characters",
        "metrics.modelVersion",
        (acme, id) => acme.commit(id, committing(1n, { metrics: { modelVersion: long(129) } }))
      )
      bad("a negative client time", "clientTimeMs", (acme) => acme.event(eventing(1n, { clientTimeMs: -1 })))

      bad("no level in a balances query", "tenant", (acme) => acme.balances({}))
      for (const limit of [0, 201, 1.5]) {
        bad(`a limit of ${limit} for balances`, "limit", (acme) => acme.balances({ tenant: "acme", limit }))
        bad(`a limit of ${limit} for reservations`, "limit", (acme) => acme.reservations({ limit }))
      }
      bad("an unknown status", "status", (acme) => acme.reservations({ status: handMade("DONE") }))
      bad("an unknown order", "sortBy", (acme) => acme.reservations({ sortBy: handMade("color") }))
      bad("an unknown direction", "sortDir", (acme) => acme.reservations({ sortDir: handMade("up") }))
      bad(
        "a created window that ends before it begins",
        "createdFromMs",
        (acme) => acme.reservations({ createdFromMs: 2, createdToMs: 1 })
      )
      bad(
        "an expires window that ends before it begins",
        "expiresFromMs",
        (acme) => acme.reservations({ expiresFromMs: 2, expiresToMs: 1 })
      )
      bad(
        "a finalized window that ends before it begins",
        "finalizedFromMs",
        (acme) => acme.reservations({ finalizedFromMs: 2, finalizedToMs: 1 })
      )
      bad("a cursor nobody gave", "cursor", (acme) => acme.reservations({ cursor: handMade("nonsense") }))
      bad(
        "a cursor nobody gave, for balances",
        "cursor",
        (acme) => acme.balances({ tenant: "acme", cursor: handMade("nonsense") })
      )

      test("but what is just within its rules passes", hundred, ({ acme }) =>
        Effect.gen(function*() {
          const { id } = yield* hold(acme, 1n, {
            idempotencyKey: key(long(256)),
            subject: {
              agent: `A-z_0.9${long(121)}`,
              dimensions: Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`d${i}`, long(256)]))
            },
            action: { kind: long(64), name: long(256), tags: Array.from({ length: 10 }, () => long(64)) },
            gracePeriodMs: 60_000
          })
          yield* acme.release(id, releasing({ reason: long(256) }))
          assert.strictEqual((yield* acme.reservation(id)).status, "RELEASED")
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("amounts", () => {
      for (const [what, amount] of [["2^53 + 1", 9_007_199_254_740_993n], ["2^63 − 1", MAX_INT64]] as const) {
        test(
          `of ${what} are exact through every operation`,
          [budget(ACME, MAX_INT64), budget(BOT, MAX_INT64)],
          ({ acme }) =>
            Effect.gen(function*() {
              assert.strictEqual((yield* acme.decide(deciding(amount))).decision, "ALLOW")
              const dry = yield* acme.reserve(reserving(amount, { dryRun: true }))
              assert.deepStrictEqual(dry.reserved, tokens(amount))
              const first = yield* hold(acme, amount)
              assert.deepStrictEqual(first.reserved, tokens(amount))
              yield* expectFigures(acme, BOT, { reserved: amount, remaining: MAX_INT64 - amount })
              yield* refused(acme.reserve(reserving(MAX_INT64 - amount + 1n)), "BudgetExceeded", {
                requested: MAX_INT64 - amount + 1n,
                remaining: MAX_INT64 - amount
              })
              yield* acme.extend(first.id, extending(1))
              assert.deepStrictEqual((yield* acme.reservation(first.id)).reserved, tokens(amount))
              assert.deepStrictEqual((yield* acme.release(first.id, releasing())).released, tokens(amount))
              const second = yield* hold(acme, amount)
              const reply = yield* acme.commit(second.id, committing(amount - 1n))
              assert.deepStrictEqual([reply.charged, reply.released], [tokens(amount - 1n), tokens(1n)])
              yield* expectFigures(acme, ACME, { spent: amount - 1n, reserved: 0n, remaining: MAX_INT64 - amount + 1n })
              const { reservations } = yield* acme.reservations({ sortBy: "reserved" })
              assert.deepStrictEqual(reservations.map(({ reserved }) => reserved.amount), [amount, amount])
              assert.deepStrictEqual((yield* acme.reservation(second.id)).committed, tokens(amount - 1n))
              yield* acme.event(eventing(MAX_INT64 - amount + 1n, { overagePolicy: "REJECT" }))
              yield* expectFigures(acme, BOT, { spent: MAX_INT64, remaining: 0n })
            })
        )
      }

      test(
        "of 2^63 − 1 are charged as an event, exactly",
        [budget(ACME, MAX_INT64)],
        ({ acme }) =>
          Effect.gen(function*() {
            assert.isUndefined((yield* acme.event(eventing(MAX_INT64))).charged)
            yield* expectFigures(acme, ACME, { spent: MAX_INT64, remaining: 0n, overLimit: false })
          })
      )

      test("of debt are exact down to −2^63 + 1", [budget(ACME, 0n, MAX_INT64)], ({ acme }) =>
        Effect.gen(function*() {
          const owed: Partial<EventRequest> = { overagePolicy: "ALLOW_WITH_OVERDRAFT" }
          yield* acme.event(eventing(MAX_INT64, owed))
          yield* expectFigures(acme, ACME, { debt: MAX_INT64, spent: 0n, remaining: -MAX_INT64 })
          yield* refused(acme.event(eventing(1n, owed)), "OverdraftLimitExceeded")
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("balances", () => {
      const many = [
        budget(ACME, 1n),
        budget(ACME, credits(1n)),
        budget("tenant:acme/agent:bot", 1n),
        budget("tenant:acme/agent:bot2", 1n),
        budget("tenant:acme/app:chat", 1n),
        budget("tenant:acme/app:chat/agent:bot", 1n),
        budget("tenant:acme/workspace:w/app:chat/agent:bot", 1n, 7n),
        budget("tenant:umbrella/agent:bot", 1n)
      ]
      const paths = (acme: Operations, query: Parameters<Operations["balances"]>[0]) =>
        Effect.map(acme.balances(query), ({ balances }) => balances.map(({ scopePath }) => scopePath).sort())

      test("are those whose paths have all of the segments asked for", many, ({ acme }) =>
        Effect.gen(function*() {
          assert.strictEqual((yield* acme.balances({ tenant: "acme" })).balances.length, 7)
          assert.deepStrictEqual(yield* paths(acme, { agent: "bot" }), [
            "tenant:acme/agent:bot",
            "tenant:acme/app:chat/agent:bot",
            "tenant:acme/workspace:w/app:chat/agent:bot"
          ])
          assert.deepStrictEqual(yield* paths(acme, { app: "chat", agent: "bot" }), [
            "tenant:acme/app:chat/agent:bot",
            "tenant:acme/workspace:w/app:chat/agent:bot"
          ])
          assert.deepStrictEqual(yield* paths(acme, { workspace: "w", tenant: "acme" }), [
            "tenant:acme/workspace:w/app:chat/agent:bot"
          ])
          assert.deepStrictEqual(yield* paths(acme, { toolset: "none" }), [])
        }))

      test("show debt, overdraft limit and the flag only where they say something", [
        budget(ACME, 10n, 5n),
        budget(BOT, 1n)
      ], (
        { acme }
      ) =>
        Effect.gen(function*() {
          const before = (yield* acme.balances({ tenant: "acme" })).balances
          assert.deepStrictEqual(before.map((row) => row.debt), [undefined, undefined])
          assert.deepStrictEqual(before.map((row) => row.overdraftLimit), [tokens(5n), undefined])
          assert.deepStrictEqual(before.map((row) => row.isOverLimit ?? false), [false, false])
          yield* acme.event(eventing(12n, { subject: { tenant: "acme" }, overagePolicy: "ALLOW_WITH_OVERDRAFT" }))
          yield* acme.event(eventing(2n))
          const after = (yield* acme.balances({ tenant: "acme" })).balances
          assert.deepStrictEqual(after[0]?.debt, tokens(2n))
          assert.deepStrictEqual(after[0]?.remaining, tokens(-2n))
        }))

      test("come in pages, each budget once", many, ({ acme }) =>
        Effect.gen(function*() {
          const all = (yield* acme.balances({ tenant: "acme" })).balances
          const seen: Array<unknown> = []
          let cursor: Cursor | undefined
          let pages = 0
          do {
            const page = yield* acme.balances({
              tenant: "acme",
              limit: 3,
              ...(cursor === undefined ? undefined : { cursor })
            })
            seen.push(...page.balances)
            cursor = page.nextCursor
            assert.strictEqual(page.hasMore ?? false, cursor !== undefined)
            pages++
          } while (cursor !== undefined)
          assert.strictEqual(pages, 3)
          assert.deepStrictEqual(seen, [...all])
        }))

      test("have cursors that belong to their filters", many, ({ acme }) =>
        Effect.gen(function*() {
          const { nextCursor = handMade("none") } = yield* acme.balances({ tenant: "acme", limit: 1 })
          yield* refused(acme.balances({ agent: "bot", cursor: nextCursor }), "InvalidRequest", { field: "cursor" })
          yield* acme.balances({ tenant: "acme", limit: 2, cursor: nextCursor })
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    describe("reservations", () => {
      /** Five reservations, a second apart, in every state: the first ACTIVE, then COMMITTED, RELEASED, EXPIRED, ACTIVE. */
      const five = ({ acme, advance }: World) =>
        Effect.gen(function*() {
          const a = yield* hold(acme, 3n, { idempotencyKey: key("a"), subject: { app: "one", agent: "bot" } })
          yield* advance(1_000)
          const b = yield* hold(acme, 1n, { idempotencyKey: key("b"), metadata: { m: "b" } })
          yield* advance(1_000)
          const c = yield* hold(acme, 5n, { idempotencyKey: key("c"), ttlMs: 90_000 })
          yield* advance(1_000)
          const d = yield* hold(acme, 2n, { idempotencyKey: key("d"), ttlMs: 1_000, gracePeriodMs: 0 })
          yield* advance(1_001)
          yield* acme.commit(b.id, committing(1n, { metadata: { n: "b" } }))
          yield* advance(1_000)
          yield* acme.release(c.id, releasing())
          const e = yield* hold(acme, 4n, { idempotencyKey: key("e"), subject: { workspace: "w" } })
          const t0 = a.endsAt - 60_000
          return { ids: { a: a.id, b: b.id, c: c.id, d: d.id, e: e.id }, t0 }
        })

      const names = (acme: Operations, query: ReservationsQuery) =>
        Effect.map(
          acme.reservations(query),
          ({ reservations }) => reservations.map((row) => row.idempotencyKey ?? "").join(" ")
        )

      test("are listed newest first, with what is known of each", hundred, (world) =>
        Effect.gen(function*() {
          const { ids, t0 } = yield* five(world)
          assert.strictEqual(yield* names(world.acme, {}), "e d c b a")
          const { hasMore, nextCursor, reservations } = yield* world.acme.reservations({ idempotencyKey: key("b") })
          assert.strictEqual(hasMore ?? false, false)
          assert.isUndefined(nextCursor)
          const [b] = reservations
          assert.strictEqual(reservations.length, 1)
          assert.deepStrictEqual({ ...b, subject: undefined } as unknown, {
            reservationId: ids.b,
            status: "COMMITTED",
            idempotencyKey: key("b"),
            subject: undefined,
            action,
            reserved: tokens(1n),
            committed: tokens(1n),
            createdAtMs: t0 + 1_000,
            expiresAtMs: t0 + 61_000,
            finalizedAtMs: t0 + 4_001,
            scopePath: BOT,
            affectedScopes: [ACME, BOT]
          })
        }))

      test("are filtered by key, status and segments, all at once", hundred, (world) =>
        Effect.gen(function*() {
          yield* five(world)
          const { acme } = world
          assert.strictEqual(yield* names(acme, { idempotencyKey: key("c") }), "c")
          assert.strictEqual(yield* names(acme, { idempotencyKey: key("z") }), "")
          assert.strictEqual(yield* names(acme, { status: "ACTIVE" }), "e a")
          assert.strictEqual(yield* names(acme, { status: "COMMITTED" }), "b")
          assert.strictEqual(yield* names(acme, { status: "RELEASED" }), "c")
          assert.strictEqual(yield* names(acme, { status: "EXPIRED" }), "d")
          assert.strictEqual(yield* names(acme, { tenant: "acme" }), "e d c b a")
          assert.strictEqual(yield* names(acme, { agent: "bot" }), "d c b a")
          assert.strictEqual(yield* names(acme, { agent: "bot", app: "one" }), "a")
          assert.strictEqual(yield* names(acme, { workspace: "w" }), "e")
          assert.strictEqual(yield* names(acme, { agent: "bot", status: "ACTIVE" }), "a")
          assert.strictEqual(yield* names(acme, { agent: "bo" }), "")
        }))

      test("are filtered by windows of time, whose ends belong to them", hundred, (world) =>
        Effect.gen(function*() {
          const { t0 } = yield* five(world)
          const { acme } = world
          assert.strictEqual(yield* names(acme, { createdFromMs: t0 + 1_000, createdToMs: t0 + 2_000 }), "c b")
          assert.strictEqual(yield* names(acme, { createdFromMs: t0 + 1_001 }), "e d c")
          assert.strictEqual(yield* names(acme, { createdToMs: t0 + 999 }), "a")
          assert.strictEqual(yield* names(acme, { expiresToMs: t0 + 4_000 }), "d")
          assert.strictEqual(yield* names(acme, { expiresFromMs: t0 + 92_000 }), "c")
          // Only settled ones have been finalized.
          assert.strictEqual(yield* names(acme, { finalizedFromMs: 0 }), "c b")
          assert.strictEqual(yield* names(acme, { finalizedFromMs: t0 + 4_001, finalizedToMs: t0 + 4_001 }), "b")
        }))

      test("are sorted as asked, in both directions, ties by id", hundred, (world) =>
        Effect.gen(function*() {
          const { ids } = yield* five(world)
          const { acme } = world
          const orders: ReadonlyArray<readonly [SortBy, string]> = [
            ["created_at_ms", "a b c d e"],
            ["expires_at_ms", "d a b e c"],
            ["reserved", "b d a e c"],
            [
              "reservation_id",
              Object.entries(ids).sort(([, x], [, y]) => x < y ? -1 : 1).map(([name]) => name).join(" ")
            ]
          ]
          for (const [sortBy, expected] of orders) {
            assert.strictEqual(yield* names(acme, { sortBy, sortDir: "asc" }), expected, sortBy)
            assert.strictEqual(
              yield* names(acme, { sortBy, sortDir: "desc" }),
              expected.split(" ").reverse().join(" "),
              sortBy
            )
            assert.strictEqual(yield* names(acme, { sortBy }), expected.split(" ").reverse().join(" "), sortBy)
          }
          const byId = (of: ReadonlyArray<keyof typeof ids>) => [...of].sort((x, y) => ids[x] < ids[y] ? -1 : 1)
          assert.strictEqual(
            yield* names(acme, { sortBy: "status", sortDir: "asc" }),
            [...byId(["a", "e"]), "b", "d", "c"].join(" ")
          )
          assert.strictEqual(
            yield* names(acme, { sortBy: "status", sortDir: "desc" }),
            ["c", "d", "b", ...byId(["a", "e"])].join(" ")
          )
          assert.strictEqual(
            yield* names(acme, { sortBy: "scope_path", sortDir: "asc" }),
            [...byId(["b", "c", "d"]), "a", "e"].join(" ")
          )
          assert.strictEqual(yield* names(acme, { sortBy: "tenant" }), byId(["a", "b", "c", "d", "e"]).join(" "))
        }))

      test("carry their larger fields only where asked", hundred, (world) =>
        Effect.gen(function*() {
          const { ids } = yield* five(world)
          const { acme } = world
          const fields = (query: ReservationsQuery) =>
            Effect.map(acme.reservations({ ...query, idempotencyKey: key("b") }), ({ reservations }) => [
              reservations[0]?.metadata,
              reservations[0]?.committedMetadata
            ])
          assert.deepStrictEqual(yield* fields({}), [undefined, undefined])
          assert.deepStrictEqual(yield* fields({ include: ["metadata"] }), [{ m: "b" }, undefined])
          assert.deepStrictEqual(yield* fields({ include: ["committed_metadata", "metadata"] }), [{ m: "b" }, {
            n: "b"
          }])
          const one = yield* acme.reservation(ids.b)
          assert.deepStrictEqual([one.metadata, one.committedMetadata], [{ m: "b" }, { n: "b" }])
        }))

      const sorts: ReadonlyArray<SortBy> = [
        "created_at_ms",
        "tenant",
        "status",
        "reserved",
        "scope_path",
        "reservation_id"
      ]
      test("come in pages, each reservation once, in any order", hundred, (world) =>
        Effect.gen(function*() {
          yield* five(world)
          const { acme } = world
          for (const sortBy of sorts) {
            for (const sortDir of ["asc", "desc"] as const) {
              const all = yield* names(acme, { sortBy, sortDir })
              const seen: Array<string> = []
              let cursor: Cursor | undefined
              do {
                const page = yield* acme.reservations({
                  sortBy,
                  sortDir,
                  limit: 2,
                  ...(cursor === undefined ? undefined : { cursor })
                })
                seen.push(...page.reservations.map((row) => row.idempotencyKey ?? ""))
                cursor = page.nextCursor
                assert.strictEqual(page.hasMore ?? false, cursor !== undefined)
                assert.strictEqual(page.reservations.length, cursor === undefined ? 1 : 2)
              } while (cursor !== undefined)
              assert.strictEqual(seen.join(" "), all, `${sortBy} ${sortDir}`)
            }
          }
        }))

      test("have cursors that belong to their filters and their order", hundred, (world) =>
        Effect.gen(function*() {
          yield* five(world)
          const { acme } = world
          const { nextCursor = handMade("none") } = yield* acme.reservations({ limit: 1, agent: "bot" })
          const elsewhere: ReadonlyArray<ReservationsQuery> = [
            {},
            { agent: "other" },
            { agent: "bot", status: "ACTIVE" },
            { agent: "bot", sortBy: "reserved" },
            { agent: "bot", sortDir: "asc" }
          ]
          for (const query of elsewhere) {
            yield* refused(acme.reservations({ ...query, cursor: nextCursor }), "InvalidRequest", { field: "cursor" })
          }
          // How long a page is and what it shows may change on the way.
          const next = yield* acme.reservations({ agent: "bot", limit: 2, include: ["metadata"], cursor: nextCursor })
          assert.deepStrictEqual(next.reservations.map((row) => row.idempotencyKey), [key("c"), key("b")])
        }))

      test("come 50 at a time where nothing is said, and 200 at most", hundred, ({ acme }) =>
        Effect.gen(function*() {
          for (let i = 0; i < 51; i++) yield* hold(acme, 1n)
          const first = yield* acme.reservations({})
          assert.strictEqual(first.reservations.length, 50)
          assert.isTrue(first.hasMore)
          assert.strictEqual((yield* acme.reservations({ limit: 200 })).reservations.length, 51)
        }))
    })

    // -------------------------------------------------------------------------------------------------------------------
    // oxlint-disable-next-line vitest/no-conditional-tests -- an authority without policies has nothing to skip
    if (options?.policies === true) {
      describe("policies", () => {
        const policy = (more: Partial<PolicySeed>): PolicySeed => ({ name: "all", scopePattern: `${ACME}/*`, ...more })
        const email = { kind: "message.email", name: "send_email" }

        test("deny a kind of action, whatever the budget", hundred, ({ acme, createPolicy }) =>
          Effect.gen(function*() {
            yield* createPolicy("acme", policy({ deniedActionKinds: ["message.email"] }))
            const fields = { code: "ACTION_KIND_DENIED" }
            yield* refused(acme.reserve(reserving(101n, { action: email })), "ActionDenied", fields)
            const decided = yield* acme.decide(deciding(1n, { action: email }))
            assert.deepStrictEqual([decided.decision, decided.reasonCode], ["DENY", "ACTION_KIND_DENIED"])
            const dry = yield* acme.reserve(reserving(1n, { action: email, dryRun: true }))
            assert.deepStrictEqual([dry.decision, dry.reasonCode], ["DENY", "ACTION_KIND_DENIED"])
            yield* acme.event(eventing(1n, { action: email }))
            yield* hold(acme, 1n)
          }))

        test("allow some kinds of action and no others", hundred, ({ acme, createPolicy }) =>
          Effect.gen(function*() {
            yield* createPolicy("acme", policy({ allowedActionKinds: ["llm.completion"] }))
            const fields = { code: "ACTION_KIND_NOT_ALLOWED" }
            yield* refused(acme.reserve(reserving(1n, { action: email })), "ActionDenied", fields)
            yield* hold(acme, 1n)
          }))

        test(
          "send caps with a yes, and the same ones when it is repeated",
          hundred,
          ({ acme, createPolicy }) =>
            Effect.gen(function*() {
              const caps = { maxTokens: 500, toolDenylist: ["shell"], cooldownMs: 20 }
              const tight = { maxTokens: 50, toolAllowlist: ["search"] }
              yield* createPolicy("acme", policy({ caps, stateCaps: [{ belowShare: 0.5, caps: tight }] }))
              const request = reserving(60n)
              const first = yield* acme.reserve(request)
              assert.strictEqual(first.decision, "ALLOW_WITH_CAPS")
              assert.deepStrictEqual(first.caps, caps)
              const second = yield* acme.reserve(reserving(1n))
              assert.deepStrictEqual(second.caps, { maxTokens: 50, toolAllowlist: ["search"], cooldownMs: 20 })
              assert.deepStrictEqual((yield* acme.decide(deciding(1n))).caps, second.caps)
              assert.deepStrictEqual((yield* acme.reserve(request)).caps, caps)
            })
        )

        test("count the steps of a run down to the last", hundred, ({ acme, createPolicy }) =>
          Effect.gen(function*() {
            yield* createPolicy("acme", policy({ maxSteps: 2 }))
            const subject = { agent: "bot", dimensions: { run_id: "r1" } }
            assert.strictEqual((yield* hold(acme, 1n, { subject })).caps?.maxStepsRemaining, 2)
            assert.strictEqual((yield* hold(acme, 1n, { subject })).caps?.maxStepsRemaining, 1)
            const fields = { code: "ACTION_QUOTA_EXCEEDED" }
            yield* refused(acme.reserve(reserving(1n, { subject })), "ActionDenied", fields)
            yield* refused(acme.reserve(reserving(1n)), "InvalidRequest", { field: "subject.dimensions.run_id" })
          }))

        test(
          "limit how many holds a scope takes in a minute, and say when to come again",
          hundred,
          (world) =>
            Effect.gen(function*() {
              const { acme, advance, createPolicy } = world
              yield* createPolicy("acme", policy({ maxReservationsPerMinute: 1 }))
              // The minutes are those of the clock, so begin at the start of one.
              const now = (yield* hold(acme, 1n, { subject: { agent: "clock" }, ttlMs: 60_000 })).endsAt - 60_000
              yield* advance(60_000 - now % 60_000)
              const request = reserving(1n)
              const first = yield* acme.reserve(request)
              yield* refused(acme.reserve(reserving(1n)), "RateLimited", { retryAfterMs: 60_000 })
              assert.strictEqual((yield* acme.reserve(request)).reservationId, first.reservationId)
              yield* acme.commit(first.reservationId ?? idOf("none"), committing(1n))
              yield* advance(60_000)
              yield* hold(acme, 1n)
            })
        )

        test(
          "set the lease, its extensions and what overage does",
          hundred,
          ({ acme, createPolicy }) =>
            Effect.gen(function*() {
              yield* createPolicy(
                "acme",
                policy({ defaultTtlMs: 5_000, maxTtlMs: 20_000, maxExtensions: 1, overagePolicy: "REJECT" })
              )
              assert.strictEqual((yield* hold(acme, 1n)).remainingTtlMs, 5_000)
              const { id, remainingTtlMs } = yield* hold(acme, 1n, { ttlMs: 60_000 })
              assert.strictEqual(remainingTtlMs, 20_000)
              yield* acme.extend(id, extending(1_000))
              yield* refused(acme.extend(id, extending(1_000)), "MaxExtensionsExceeded")
              yield* refused(acme.commit(id, committing(2n)), "BudgetExceeded")
              yield* acme.commit(id, committing(1n))
            })
        )

        test(
          "are of one tenant",
          [budget(ACME, 100n), budget("tenant:umbrella", 100n)],
          (world) =>
            Effect.gen(function*() {
              yield* world.createPolicy("acme", { name: "all", scopePattern: "*", allowedActionKinds: ["nothing"] })
              yield* refused(world.acme.reserve(reserving(1n)), "ActionDenied")
              yield* hold(world.umbrella, 1n)
            })
        )
      })
    }
  })
}
