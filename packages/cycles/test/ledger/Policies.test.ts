import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Caps, CyclesError, Ledger, LedgerStore, LedgerStoreMemory } from "effect-cycles"
import type { BudgetRow, PolicyRow, TenantProfile } from "effect-cycles/ledger/Model"
import { emptyTenant } from "effect-cycles/ledger/Model"
import { applying, overageOf } from "effect-cycles/ledger/rules/Policies"
import { budgetRow } from "effect-cycles/ledger/Shapes"
import { View } from "effect-cycles/ledger/View"
import type { DecideReply } from "effect-cycles/protocol/Decide"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import type { ReserveReply, ReserveRequest } from "effect-cycles/protocol/Reserve"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"

/** 2001-09-09T01:46:40Z: 40 seconds into a minute. */
const START_MS = 1_000_000_000_000

const layer = Ledger.layer({ sweepEveryMs: 1_000 * 86_400_000 }).pipe(
  Layer.provideMerge(LedgerStoreMemory.layer),
  Layer.provideMerge(Layer.effectDiscard(TestClock.setTime(START_MS)))
)

const test = <A, E>(name: string, body: Effect.Effect<A, E, Ledger.Ledger | LedgerStore.LedgerStore>) =>
  it.effect(name, () => Effect.provide(body, layer))

let keys = 0
const key = (): IdempotencyKey => IdempotencyKey.make(`key-${keys++}`)

const subject = { agent: "bot" }
const completion = Action.make("llm.completion", "gpt-4o")
const email = Action.make("message.email", "send_email")

const ask = (more?: Partial<ReserveRequest>): ReserveRequest => ({
  idempotencyKey: key(),
  subject,
  action: completion,
  estimate: Amount.tokens(10),
  ...more
})

/** A tenant with 1,000 tokens and one policy for everything below it. */
const setUp = Effect.fnUntraced(function*(policy?: Partial<Ledger.PolicyOptions>, tenant = "acme") {
  const ledger = yield* Ledger.Ledger
  yield* ledger.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.tokens(1_000) })
  const created = policy === undefined
    ? undefined
    : yield* ledger.createPolicy(tenant, { name: "all", scopePattern: `tenant:${tenant}/*`, ...policy })
  return { ledger, authority: ledger.as({ tenant }), policyId: created?.id ?? "" }
})

const register = Effect.fnUntraced(function*(profile: Partial<TenantProfile>) {
  const store = yield* LedgerStore.LedgerStore
  yield* store.transact(["acme"], (tx) => {
    const view = new View()
    view.putTenant({
      ...emptyTenant("acme"),
      profile: {
        name: "Acme",
        status: "ACTIVE",
        parent: undefined,
        overagePolicy: undefined,
        defaultTtlMs: undefined,
        maxTtlMs: undefined,
        maxExtensions: undefined,
        expiryPolicy: undefined,
        metadata: undefined,
        createdAtMs: START_MS,
        updatedAtMs: START_MS,
        suspendedAtMs: undefined,
        closedAtMs: undefined,
        ...profile
      }
    })
    return tx.write(view.writes())
  })
})

const verdict = ({ caps, decision, reasonCode }: DecideReply | ReserveReply) => ({ decision, caps, reasonCode })

const refusal = <A, E>(effect: Effect.Effect<A, E>) => Effect.flip(effect)

const idOf = ({ reservationId }: ReserveReply): ReservationId => reservationId ?? ReservationId.make("none")

describe("the policy that applies", () => {
  const policy = (id: string, more?: Partial<PolicyRow>): PolicyRow => ({
    _tag: "policy",
    tenant: "acme",
    id,
    name: id,
    description: undefined,
    scopePattern: "*",
    priority: 0,
    status: "ACTIVE",
    caps: undefined,
    stateCaps: [],
    overagePolicy: undefined,
    defaultTtlMs: undefined,
    maxTtlMs: undefined,
    maxExtensions: undefined,
    maxReservationsPerMinute: undefined,
    maxCommitsPerMinute: undefined,
    maxSteps: undefined,
    allowedActionKinds: [],
    deniedActionKinds: [],
    effectiveFromMs: undefined,
    effectiveUntilMs: undefined,
    createdAtMs: 0,
    updatedAtMs: 0,
    ...more
  })
  const scope = "tenant:acme/agent:bot"

  it("has the highest priority, then the longest pattern, then the lowest id", () => {
    const of = (...policies: ReadonlyArray<PolicyRow>) => applying(policies, scope, 0)?.id
    assert.strictEqual(of(policy("a"), policy("b", { priority: 1 })), "b")
    assert.strictEqual(of(policy("a"), policy("b", { scopePattern: "agent:*" })), "b")
    assert.strictEqual(of(policy("a", { scopePattern: scope }), policy("b", { scopePattern: "*", priority: 1 })), "b")
    assert.strictEqual(of(policy("b"), policy("a")), "a")
    assert.isUndefined(of(policy("a", { scopePattern: "tenant:acme" })))
    assert.isUndefined(of(policy("a", { status: "DISABLED" })))
  })

  it("applies from its first millisecond until before its last", () => {
    const window = policy("a", { effectiveFromMs: 10, effectiveUntilMs: 20 })
    assert.deepStrictEqual(
      [9, 10, 19, 20].map((now) => applying([window], scope, now)?.id),
      [undefined, "a", "a", undefined]
    )
  })

  const rows = Arbitrary.map(
    Arbitrary.array(Arbitrary.schema(Schema.Struct({
      scopePattern: Schema.Literals(["*", "agent:*", "tenant:acme/*", "tenant:acme", scope]),
      priority: Schema.Literals([0, 1, 2]),
      status: Schema.Literals(["ACTIVE", "ACTIVE", "DISABLED"]),
      effectiveFromMs: Schema.UndefinedOr(Schema.Literals([0, 50, 51]))
    }))),
    (all) => all.map((more, i) => policy(`p${i}`, more))
  )

  it.prop("does not depend on the order policies are kept in", [rows], ([all]) => {
    const one = applying(all, scope, 50)
    assert.strictEqual(applying(all.toReversed(), scope, 50)?.id, one?.id)
    const able = all.filter((row) =>
      row.status === "ACTIVE" && row.scopePattern !== "tenant:acme" && (row.effectiveFromMs ?? 0) <= 50
    )
    assert.strictEqual(one === undefined, able.length === 0)
    if (one === undefined) return
    assert.isTrue(able.includes(one))
    for (const other of able) {
      assert.isTrue(
        other.priority < one.priority || (other.priority === one.priority &&
          (other.scopePattern.length < one.scopePattern.length ||
            (other.scopePattern.length === one.scopePattern.length && other.id >= one.id)))
      )
    }
  }, { arbitrary: { size: 8, runs: 500 } })
})

describe("kinds of action", () => {
  test(
    "that a policy denies are a typed denial, before any budget is asked",
    Effect.gen(function*() {
      const { authority, policyId } = yield* setUp({ deniedActionKinds: ["message.email"] })
      const over = { estimate: Amount.tokens(5_000), action: email }
      const denied = yield* refusal(authority.reserve(ask(over)))
      assert.isTrue(CyclesError.isDenied(denied))
      assert.deepInclude(denied, { _tag: "ActionDenied", code: "ACTION_KIND_DENIED", scope: "tenant:acme/agent:bot" })
      assert.include(denied.message, `the policy "all" denies the kind message.email`)
      assert.strictEqual(denied.details?.["policy_id"], policyId)
      const said = { decision: "DENY", reasonCode: "ACTION_KIND_DENIED", caps: undefined } as const
      assert.deepStrictEqual(verdict(yield* authority.reserve(ask({ ...over, dryRun: true }))), said)
      assert.deepStrictEqual(verdict(yield* authority.decide(ask(over))), said)
      assert.strictEqual((yield* authority.reserve(ask())).decision, "ALLOW")
      const foreign = yield* refusal(authority.reserve(ask({ estimate: Amount.usd(1), action: email })))
      assert.strictEqual(foreign._tag, "ActionDenied")
    })
  )

  test(
    "that are not on a policy's list are denied by another code",
    Effect.gen(function*() {
      const { authority } = yield* setUp({ allowedActionKinds: ["llm.completion"] })
      const denied = yield* refusal(authority.reserve(ask({ action: email })))
      assert.deepInclude(denied, { _tag: "ActionDenied", code: "ACTION_KIND_NOT_ALLOWED" })
      assert.strictEqual((yield* authority.decide(ask({ action: email }))).reasonCode, "ACTION_KIND_NOT_ALLOWED")
      assert.strictEqual((yield* authority.reserve(ask())).decision, "ALLOW")
      // Exactly the kind: no prefix, no case.
      for (const kind of ["llm", "llm.completion.fast", "LLM.completion"]) {
        assert.strictEqual(
          (yield* refusal(authority.reserve(ask({ action: Action.make(kind, "m") }))))._tag,
          "ActionDenied"
        )
      }
    })
  )

  test(
    "do not concern what has happened already: an event is recorded",
    Effect.gen(function*() {
      const { authority } = yield* setUp({ deniedActionKinds: ["message.email"] })
      const { idempotencyKey, subject } = ask()
      const reply = yield* authority.event({ idempotencyKey, subject, action: email, actual: Amount.tokens(3) })
      assert.strictEqual(reply.status, "APPLIED")
    })
  )
})

describe("a rate limit", () => {
  test(
    "holds for each scope and each minute of the clock, and says when to come again",
    Effect.gen(function*() {
      const { authority } = yield* setUp({ maxReservationsPerMinute: 2 })
      yield* authority.reserve(ask())
      yield* authority.reserve(ask())
      const limited = yield* refusal(authority.reserve(ask()))
      assert.deepInclude(limited, { _tag: "RateLimited", retryAfterMs: 20_000 })
      assert.isTrue(limited._tag === "RateLimited" && limited.isTransient)
      yield* authority.reserve(ask({ subject: { agent: "other" } }))
      yield* TestClock.adjust(19_999)
      assert.deepInclude(yield* refusal(authority.reserve(ask())), { _tag: "RateLimited", retryAfterMs: 1 })
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* authority.reserve(ask())).decision, "ALLOW")
    })
  )

  test(
    "is not asked about a repetition, a settlement or an extension, and counts only holds that were given",
    Effect.gen(function*() {
      const { authority } = yield* setUp({ maxReservationsPerMinute: 2 })
      const first = ask()
      const hold = yield* authority.reserve(first)
      assert.strictEqual(
        (yield* refusal(authority.reserve(ask({ estimate: Amount.tokens(5_000) }))))._tag,
        "BudgetExceeded"
      )
      yield* authority.decide(ask())
      yield* authority.reserve(ask({ dryRun: true }))
      const second = yield* authority.reserve(ask())
      assert.strictEqual((yield* refusal(authority.reserve(ask())))._tag, "RateLimited")
      assert.strictEqual((yield* authority.reserve(first)).reservationId, hold.reservationId)
      yield* authority.extend(idOf(hold), { idempotencyKey: key(), extendByMs: 1_000 })
      yield* authority.commit(idOf(hold), { idempotencyKey: key(), actual: Amount.tokens(1) })
      yield* authority.release(idOf(second), { idempotencyKey: key() })
      // What asks without holding hears of it too: an ALLOW would be no help.
      assert.strictEqual((yield* refusal(authority.decide(ask())))._tag, "RateLimited")
      assert.strictEqual((yield* refusal(authority.reserve(ask({ dryRun: true }))))._tag, "RateLimited")
    })
  )

  test(
    "of commits is kept and shown, and refuses none",
    Effect.gen(function*() {
      const { authority, ledger } = yield* setUp({ maxCommitsPerMinute: 1 })
      for (let i = 0; i < 3; i++) {
        const hold = yield* authority.reserve(ask())
        yield* authority.commit(idOf(hold), { idempotencyKey: key(), actual: Amount.tokens(1) })
      }
      assert.strictEqual((yield* ledger.policies("acme"))[0]?.maxCommitsPerMinute, 1)
    })
  )

  test(
    "is kept with the books and not in a process: it binds across ledgers on one store, and is never passed in a rush",
    Effect.gen(function*() {
      yield* setUp({ maxReservationsPerMinute: 5 })
      const other = yield* Ledger.make()
      const ledger = yield* Ledger.Ledger
      const authorities = [ledger.as({ tenant: "acme" }), other.as({ tenant: "acme" })]
      const outcomes = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => authorities[i % 2] ?? authorities[0]!),
        (authority) => Effect.match(authority.reserve(ask()), { onFailure: (e) => e._tag, onSuccess: () => "given" }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(outcomes.filter((outcome) => outcome === "given").length, 5)
      assert.strictEqual(outcomes.filter((outcome) => outcome === "RateLimited").length, 15)
    }).pipe(Effect.scoped)
  )
})

describe("the steps of a run", () => {
  const run = (run_id: string) => ({ subject: { agent: "bot", dimensions: { run_id } } })

  test(
    "count down in the caps, and after the last one the run is denied",
    Effect.gen(function*() {
      const { authority } = yield* setUp({ maxSteps: 3, caps: { maxTokens: 500 } })
      const seen: Array<number | undefined> = []
      for (let i = 0; i < 3; i++) {
        const { caps, decision } = yield* authority.reserve(ask(run("r1")))
        assert.strictEqual(decision, "ALLOW_WITH_CAPS")
        assert.strictEqual(caps?.maxTokens, 500)
        assert.strictEqual(Caps.isLastStep(caps), i === 2)
        seen.push(caps?.maxStepsRemaining)
      }
      assert.deepStrictEqual(seen, [3, 2, 1])
      const denied = yield* refusal(authority.reserve(ask(run("r1"))))
      assert.deepInclude(denied, { _tag: "ActionDenied", code: "ACTION_QUOTA_EXCEEDED" })
      assert.strictEqual((yield* authority.decide(ask(run("r1")))).reasonCode, "ACTION_QUOTA_EXCEEDED")
      assert.strictEqual((yield* authority.reserve(ask(run("r2")))).caps?.maxStepsRemaining, 3)
    })
  )

  test(
    "are not taken by asking, a repetition or a denial; a released hold was a step",
    Effect.gen(function*() {
      const { authority } = yield* setUp({ maxSteps: 2 })
      const first = ask(run("r1"))
      const hold = yield* authority.reserve(first)
      yield* authority.reserve(first)
      yield* authority.decide(ask(run("r1")))
      yield* authority.reserve(ask({ ...run("r1"), dryRun: true }))
      yield* refusal(authority.reserve(ask({ ...run("r1"), estimate: Amount.tokens(5_000) })))
      yield* authority.release(idOf(hold), { idempotencyKey: key() })
      assert.strictEqual((yield* authority.decide(ask(run("r1")))).caps?.maxStepsRemaining, 1)
      assert.strictEqual((yield* authority.reserve(ask(run("r1")))).caps?.maxStepsRemaining, 1)
      assert.strictEqual((yield* refusal(authority.reserve(ask(run("r1")))))._tag, "ActionDenied")
    })
  )

  test(
    "are those of the workflow where no run is named, and a request with neither is refused",
    Effect.gen(function*() {
      const { authority } = yield* setUp({ maxSteps: 1 })
      const at = (subject: ReserveRequest["subject"]) => authority.reserve(ask({ subject }))
      yield* at({ workflow: "w1", agent: "a" })
      assert.strictEqual((yield* refusal(at({ workflow: "w1", agent: "b" })))._tag, "ActionDenied")
      yield* at({ workflow: "w2", agent: "a" })
      // Another workspace's workflow of that name is another one.
      yield* at({ workspace: "dev", workflow: "w1", agent: "a" })
      yield* at({ workflow: "w1", dimensions: { run_id: "w1" } })
      const nowhere = yield* refusal(at({ agent: "a" }))
      assert.deepInclude(nowhere, { _tag: "InvalidRequest", field: "subject.dimensions.run_id" })
      assert.strictEqual((yield* refusal(authority.decide(ask())))._tag, "InvalidRequest")
    })
  )

  test(
    "of none left in the policy's own caps denies as well",
    Effect.gen(function*() {
      const { authority } = yield* setUp({ caps: { maxStepsRemaining: 0 } })
      assert.strictEqual((yield* authority.decide(ask())).reasonCode, "ACTION_QUOTA_EXCEEDED")
    })
  )
})

describe("caps", () => {
  test(
    "of the policy that applies come with decide, dry run and reserve, are kept with the hold and replayed as they were",
    Effect.gen(function*() {
      const caps: Caps.Caps = { maxTokens: 500, toolAllowlist: ["search"], toolDenylist: ["shell"], cooldownMs: 20 }
      const { authority, ledger, policyId } = yield* setUp({ caps })
      const said = { decision: "ALLOW_WITH_CAPS", caps, reasonCode: undefined } as const
      assert.deepStrictEqual(verdict(yield* authority.decide(ask())), said)
      assert.deepStrictEqual(verdict(yield* authority.reserve(ask({ dryRun: true }))), said)
      const request = ask()
      const first = yield* authority.reserve(request)
      assert.deepStrictEqual(verdict(first), said)
      const store = yield* LedgerStore.LedgerStore
      const [kept] = yield* store.transact(
        ["acme"],
        (tx) => tx.reservations("acme", {}, { after: undefined, limit: 10 })
      )
      assert.deepStrictEqual([kept?.caps, kept?.policyId], [caps, policyId])
      yield* ledger.updatePolicy("acme", policyId, { caps: { maxTokens: 1 } })
      assert.deepStrictEqual(yield* authority.reserve(request), first)
      // No cache to wait for: the next hold is under the new ones.
      assert.deepStrictEqual((yield* authority.reserve(ask())).caps, { maxTokens: 1 })
      yield* ledger.deletePolicy("acme", policyId)
      assert.deepStrictEqual(yield* authority.reserve(request), first)
      assert.strictEqual((yield* authority.reserve(ask())).decision, "ALLOW")
    })
  )

  test(
    "that limit nothing are a plain ALLOW",
    Effect.gen(function*() {
      const { authority } = yield* setUp({ caps: {} })
      assert.deepStrictEqual(verdict(yield* authority.reserve(ask())), {
        decision: "ALLOW",
        caps: undefined,
        reasonCode: undefined
      })
    })
  )

  test(
    "tighten as a budget of the path runs low, the strictest of each",
    Effect.gen(function*() {
      const { authority, ledger } = yield* setUp({
        caps: { maxTokens: 4_000, toolDenylist: ["shell"] },
        stateCaps: [
          { belowShare: 0.5, caps: { maxTokens: 500, toolDenylist: ["search"] } },
          { belowShare: 0.2, caps: { maxTokens: 1_000, toolAllowlist: ["cache", "shell"], cooldownMs: 3_000 } }
        ]
      })
      const spend = Effect.fnUntraced(function*(tokens: number) {
        const { caps, reservationId } = yield* authority.reserve(ask({ estimate: Amount.tokens(tokens) }))
        yield* authority.commit(reservationId!, { idempotencyKey: key(), actual: Amount.tokens(tokens) })
        return caps
      })
      const all = { maxTokens: 4_000, toolDenylist: ["shell"] }
      assert.deepStrictEqual(yield* spend(500), all)
      // Half is left, which is not below half.
      assert.deepStrictEqual(yield* spend(1), all)
      assert.deepStrictEqual(yield* spend(400), { maxTokens: 500, toolDenylist: ["shell", "search"] })
      const low = { maxTokens: 500, toolAllowlist: ["cache"], cooldownMs: 3_000 }
      assert.deepStrictEqual((yield* authority.decide(ask())).caps, low)
      assert.deepStrictEqual(yield* spend(50), low)
      yield* ledger.fund("acme", {
        idempotencyKey: key(),
        scope: "tenant:acme",
        operation: "RESET_SPENT",
        amount: Amount.tokens(1_000)
      })
      assert.deepStrictEqual(yield* spend(1), all)
      // Any budget of the path: the agent's own is a small one.
      yield* ledger.createBudget("acme", { scope: "tenant:acme/agent:bot", allocated: Amount.tokens(10) })
      yield* spend(6)
      assert.strictEqual((yield* authority.decide(ask({ estimate: Amount.tokens(1) }))).caps?.maxTokens, 500)
      assert.strictEqual((yield* authority.decide(ask({ subject: { agent: "b" } }))).caps?.maxTokens, 4_000)
    })
  )

  test(
    "compare exactly, over the whole range of amounts",
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      const allocated = Amount.tokens(9_223_372_036_854_775_800n)
      yield* ledger.createBudget("acme", { scope: "tenant:acme", allocated })
      yield* ledger.createPolicy("acme", {
        name: "half",
        scopePattern: "*",
        stateCaps: [{ belowShare: 0.5, caps: { maxTokens: 1 } }]
      })
      const authority = ledger.as({ tenant: "acme" })
      yield* authority.reserve(ask({ estimate: Amount.tokens(4_611_686_018_427_387_900n) }))
      assert.strictEqual((yield* authority.reserve(ask({ estimate: Amount.tokens(1) }))).decision, "ALLOW")
      assert.strictEqual((yield* authority.decide(ask())).decision, "ALLOW_WITH_CAPS")
    })
  )
})

describe("leases", () => {
  const leaseOf = Effect.fnUntraced(function*(authority: ReturnType<Ledger.Operations["as"]>, ttlMs?: number) {
    const reply = yield* authority.reserve(ask(ttlMs === undefined ? {} : { ttlMs }))
    assert.strictEqual(reply.expiresAtMs, START_MS + (reply.remainingTtlMs ?? 0))
    return reply.remainingTtlMs
  })

  test(
    "are as long as the policy says, where it says so before the tenant, and no longer than its most",
    Effect.gen(function*() {
      yield* register({ defaultTtlMs: 5_000, maxTtlMs: 8_000 })
      const { authority, ledger, policyId } = yield* setUp({ defaultTtlMs: 10_000, maxTtlMs: 30_000 })
      assert.strictEqual(yield* leaseOf(authority), 10_000)
      assert.strictEqual(yield* leaseOf(authority, 20_000), 20_000)
      assert.strictEqual(yield* leaseOf(authority, 30_001), 30_000)
      yield* ledger.updatePolicy("acme", policyId, { defaultTtlMs: null, maxTtlMs: null })
      assert.strictEqual(yield* leaseOf(authority), 5_000)
      assert.strictEqual(yield* leaseOf(authority, 7_000), 7_000)
      assert.strictEqual(yield* leaseOf(authority, 9_000), 8_000)
      yield* ledger.updatePolicy("acme", policyId, { maxTtlMs: 2_000 })
      assert.strictEqual(yield* leaseOf(authority), 2_000)
    })
  )

  test(
    "of a tenant that says nothing are a minute, and an hour at most once it is registered",
    Effect.gen(function*() {
      const { authority } = yield* setUp()
      assert.strictEqual(yield* leaseOf(authority), 60_000)
      assert.strictEqual(yield* leaseOf(authority, 86_400_000), 86_400_000)
      yield* register({})
      assert.strictEqual(yield* leaseOf(authority), 60_000)
      assert.strictEqual(yield* leaseOf(authority, 86_400_000), 3_600_000)
    })
  )

  test(
    "are extended as often as the policy says, else the tenant, else the ledger; a hold keeps what it was given",
    Effect.gen(function*() {
      yield* register({ maxExtensions: 2 })
      const { authority, ledger, policyId } = yield* setUp({ maxExtensions: 1 })
      const extensions = Effect.fnUntraced(function*(reply: ReserveReply) {
        for (let done = 0;; done++) {
          const extended = yield* Effect.result(
            authority.extend(idOf(reply), { idempotencyKey: key(), extendByMs: 1_000 })
          )
          if (extended._tag === "Success") continue
          assert.strictEqual(extended.failure._tag, "MaxExtensionsExceeded")
          return done
        }
      })
      const early = yield* authority.reserve(ask())
      yield* ledger.updatePolicy("acme", policyId, { maxExtensions: 0 })
      assert.strictEqual(yield* extensions(early), 1)
      assert.strictEqual(yield* extensions(yield* authority.reserve(ask())), 0)
      yield* ledger.updatePolicy("acme", policyId, { maxExtensions: null })
      assert.strictEqual(yield* extensions(yield* authority.reserve(ask())), 2)
      yield* register({})
      assert.strictEqual(yield* extensions(yield* authority.reserve(ask())), 10)
    })
  )
})

describe("the overage policy", () => {
  test(
    "is the request's, else the policy's, else the tenant's, else the protocol's",
    Effect.gen(function*() {
      yield* register({ overagePolicy: "ALLOW_WITH_OVERDRAFT" })
      const { authority, ledger, policyId } = yield* setUp({ overagePolicy: "REJECT" })
      const store = yield* LedgerStore.LedgerStore
      const kept = Effect.fnUntraced(function*(more?: Partial<ReserveRequest>) {
        const { reservationId } = yield* authority.reserve(ask(more))
        const rows = yield* store.transact(
          ["acme"],
          (tx) => tx.reservations("acme", {}, { after: undefined, limit: 100 })
        )
        return rows.find(({ id }) => id === reservationId)?.overagePolicy
      })
      assert.strictEqual(yield* kept({ overagePolicy: "ALLOW_IF_AVAILABLE" }), "ALLOW_IF_AVAILABLE")
      assert.strictEqual(yield* kept(), "REJECT")
      const event = (tokens: number) => {
        const { action, idempotencyKey, subject } = ask()
        return authority.event({ idempotencyKey, subject, action, actual: Amount.tokens(tokens) })
      }
      assert.strictEqual((yield* refusal(event(5_000)))._tag, "BudgetExceeded")
      yield* ledger.updatePolicy("acme", policyId, { overagePolicy: null })
      assert.strictEqual(yield* kept(), "ALLOW_WITH_OVERDRAFT")
      yield* register({})
      assert.strictEqual(yield* kept(), "ALLOW_IF_AVAILABLE")
      assert.strictEqual((yield* event(5_000)).status, "APPLIED")
    })
  )

  it("of the narrowest budget that has one counts more than the tenant's, and less than the policy's", () => {
    const budget = (overagePolicy: BudgetRow["overagePolicy"]): BudgetRow => ({
      ...Result.getOrThrow(budgetRow("acme", "ledger-1", { scope: "tenant:acme", allocated: Amount.tokens(1) })),
      overagePolicy
    })
    const budgets = [budget("ALLOW_WITH_OVERDRAFT"), budget("REJECT"), budget(undefined)]
    assert.strictEqual(overageOf(undefined, undefined, budgets, undefined), "REJECT")
    assert.strictEqual(overageOf("ALLOW_IF_AVAILABLE", undefined, budgets, undefined), "ALLOW_IF_AVAILABLE")
    assert.strictEqual(overageOf(undefined, undefined, budgets.slice(2), undefined), "ALLOW_IF_AVAILABLE")
  })

  test(
    "binds the commit of the hold it was given with, whatever is changed in between",
    Effect.gen(function*() {
      const { authority, ledger, policyId } = yield* setUp({ overagePolicy: "REJECT" })
      const hold = yield* authority.reserve(ask())
      yield* ledger.updatePolicy("acme", policyId, { overagePolicy: "ALLOW_IF_AVAILABLE" })
      const over = { idempotencyKey: key(), actual: Amount.tokens(11) }
      assert.strictEqual((yield* refusal(authority.commit(idOf(hold), over)))._tag, "BudgetExceeded")
    })
  )
})

describe("policies", () => {
  test(
    "are created, changed, listed and deleted, each with an act and an event",
    Effect.gen(function*() {
      const { ledger } = yield* setUp()
      const a = yield* ledger.createPolicy("acme", { name: "a", scopePattern: "agent:*", maxSteps: 5, priority: 3 })
      assert.deepInclude(a, { name: "a", priority: 3, status: "ACTIVE", maxSteps: 5, createdAtMs: START_MS })
      yield* TestClock.adjust(1_000)
      const b = yield* ledger.createPolicy("acme", { name: "b", scopePattern: "*" })
      const changed = yield* ledger.updatePolicy("acme", a.id, { maxSteps: null, priority: null, status: "DISABLED" })
      assert.deepStrictEqual(changed, {
        ...a,
        maxSteps: undefined,
        priority: 0,
        status: "DISABLED",
        updatedAtMs: START_MS + 1_000
      })
      assert.deepStrictEqual(yield* ledger.policies("acme"), [changed, b])
      assert.deepStrictEqual(yield* ledger.policies("acme", { after: a.id }), [b])
      assert.deepStrictEqual(yield* ledger.policies("acme", { limit: 1 }), [changed])
      assert.deepStrictEqual(yield* ledger.deletePolicy("acme", a.id), changed)
      assert.deepStrictEqual(yield* ledger.policies("acme"), [b])
      assert.strictEqual((yield* refusal(ledger.deletePolicy("acme", a.id)))._tag, "NotFound")
      assert.strictEqual((yield* refusal(ledger.updatePolicy("acme", a.id, {})))._tag, "NotFound")
      const store = yield* LedgerStore.LedgerStore
      const { acts, events } = yield* store.transact(
        ["acme"],
        (tx) => Effect.all({ acts: tx.acts("acme", 0, 100), events: tx.events("acme", 0, 10) })
      )
      const done = acts.filter(({ errorCode, resourceType }) => resourceType === "policy" && errorCode === undefined)
      assert.deepStrictEqual(done.map(({ operation, resourceId }) => [operation, resourceId]), [
        ["createPolicy", a.id],
        ["createPolicy", b.id],
        ["updatePolicy", a.id],
        ["deletePolicy", a.id]
      ])
      const changes = events.filter(({ type }) => type.startsWith("policy."))
      assert.deepStrictEqual(changes.map(({ type }) => type), [
        "policy.created",
        "policy.created",
        "policy.updated",
        "policy.deleted"
      ])
      assert.deepStrictEqual(changes[2]?.details["changed_fields"], ["max_steps", "priority", "status"])
      assert.deepStrictEqual((yield* ledger.verify("acme")).flaws, [])
    })
  )

  test(
    "that make no sense are refused by the field that does not, and nothing changes",
    Effect.gen(function*() {
      const { ledger, policyId } = yield* setUp({ allowedActionKinds: ["a"], maxTtlMs: 5_000, effectiveFromMs: 100 })
      const flawed = Effect.fnUntraced(function*(options: Partial<Ledger.PolicyOptions>) {
        const error = yield* refusal(ledger.createPolicy("acme", { name: "x", scopePattern: "*", ...options }))
        return error._tag === "InvalidRequest" ? error.field : error._tag
      })
      const many = Array.from({ length: 201 }, (_, i) => `kind.${i}`)
      const cases: ReadonlyArray<readonly [field: string, options: Partial<Ledger.PolicyOptions>]> = [
        ["name", { name: "" }],
        ["name", { name: "x".repeat(257) }],
        ["name", { name: "all" }],
        ["description", { description: "x".repeat(1_025) }],
        ["scopePattern", { scopePattern: "team:a" }],
        ["Forbidden", { scopePattern: "tenant:beta/*" }],
        ["priority", { priority: -1 }],
        ["priority", { priority: 1.5 }],
        ["caps.maxTokens", { caps: { maxTokens: -1 } }],
        ["stateCaps.0.belowShare", { stateCaps: [{ belowShare: 1.1, caps: {} }] }],
        ["stateCaps.0.belowShare", { stateCaps: [{ belowShare: 0, caps: {} }] }],
        ["stateCaps.0.belowShare", { stateCaps: [{ belowShare: NaN, caps: {} }] }],
        ["stateCaps.1.belowShare", {
          stateCaps: [{ belowShare: 0.3, caps: {} }, { belowShare: 0.12345678, caps: {} }]
        }],
        ["defaultTtlMs", { defaultTtlMs: 999 }],
        ["maxTtlMs", { maxTtlMs: 86_400_001 }],
        ["defaultTtlMs", { defaultTtlMs: 2_001, maxTtlMs: 2_000 }],
        ["maxExtensions", { maxExtensions: -1 }],
        ["maxReservationsPerMinute", { maxReservationsPerMinute: 0 }],
        ["maxCommitsPerMinute", { maxCommitsPerMinute: 0 }],
        ["maxSteps", { maxSteps: 0 }],
        ["deniedActionKinds", { allowedActionKinds: ["a"], deniedActionKinds: ["b"] }],
        ["deniedActionKinds", { deniedActionKinds: many }],
        ["allowedActionKinds.0", { allowedActionKinds: ["tool.*"] }],
        ["effectiveUntilMs", { effectiveFromMs: 5, effectiveUntilMs: 5 }]
      ]
      for (const [field, options] of cases) {
        assert.strictEqual(yield* flawed(options), field, `${field} of ${JSON.stringify(options)}`)
      }
      const before = yield* ledger.policies("acme")
      const change = (change: Ledger.PolicyChange) => refusal(ledger.updatePolicy("acme", policyId, change))
      assert.deepInclude(yield* change({ deniedActionKinds: ["b"] }), { field: "deniedActionKinds" })
      assert.deepInclude(yield* change({ defaultTtlMs: 6_000 }), { field: "defaultTtlMs" })
      assert.deepInclude(yield* change({ effectiveUntilMs: 99 }), { field: "effectiveUntilMs" })
      assert.deepStrictEqual(yield* ledger.policies("acme"), before)
      yield* ledger.updatePolicy("acme", policyId, { allowedActionKinds: null, deniedActionKinds: ["b"] })
    })
  )

  test(
    "are their tenant's alone",
    Effect.gen(function*() {
      const acme = yield* setUp({
        scopePattern: "*",
        deniedActionKinds: ["llm.completion"],
        maxReservationsPerMinute: 1
      })
      const beta = yield* setUp({ scopePattern: "*", maxReservationsPerMinute: 1 }, "beta")
      assert.strictEqual((yield* refusal(acme.authority.reserve(ask())))._tag, "ActionDenied")
      assert.strictEqual((yield* beta.authority.reserve(ask())).decision, "ALLOW")
      assert.strictEqual((yield* refusal(beta.ledger.deletePolicy("beta", acme.policyId)))._tag, "NotFound")
      assert.strictEqual((yield* refusal(beta.ledger.updatePolicy("beta", acme.policyId, {})))._tag, "NotFound")
      assert.deepStrictEqual((yield* beta.ledger.policies("beta")).map(({ id }) => id), [beta.policyId])
      assert.strictEqual((yield* acme.ledger.policies("acme")).length, 1)
    })
  )

  /** A store whose transactions take a while, so that what is asked meanwhile comes in one batch. */
  const slow = Layer.effect(
    LedgerStore.LedgerStore,
    Effect.map(LedgerStoreMemory.make, (store) => ({
      ...store,
      transact: <A>(...[tenants, body]: Parameters<typeof store.transact<A>>) =>
        Effect.andThen(Effect.repeat(Effect.yieldNow, { times: 10 }), store.transact(tenants, body))
    }))
  )

  it.effect("that are changed in the batch of a hold bind it by all that was counted before", () =>
    Effect.gen(function*() {
      const { authority, ledger, policyId } = yield* setUp({ maxReservationsPerMinute: 1 })
      yield* authority.reserve(ask())
      yield* ledger.updatePolicy("acme", policyId, { status: "DISABLED" })
      const [, , outcome] = yield* Effect.all([
        authority.balances({ tenant: "acme" }),
        ledger.updatePolicy("acme", policyId, { status: "ACTIVE" }),
        Effect.result(authority.reserve(ask()))
      ], { concurrency: "unbounded" })
      assert.strictEqual(outcome._tag === "Failure" && outcome.failure._tag, "RateLimited")
    }).pipe(Effect.provide(Layer.provideMerge(Ledger.layer(), slow))))

  /** A store that loses the answer of a transaction once it is told to. */
  const forgetful = Layer.effect(
    LedgerStore.LedgerStore,
    Effect.map(LedgerStoreMemory.make, (store) => {
      let begun = 0
      return {
        ...store,
        transact: <A>(...[tenants, body]: Parameters<typeof store.transact<A>>) =>
          Effect.flatMap(store.transact(tenants, body), (answer) =>
            ++begun === 1
              ? Effect.fail(new LedgerStore.StoreError({ outcome: "unknown", cause: "the answer was lost" }))
              : Effect.succeed(answer))
      }
    })
  )

  it.effect("are created once, also when the answer of the store is lost", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      const made = yield* ledger.createPolicy("acme", { name: "a", scopePattern: "*" })
      assert.deepStrictEqual(yield* ledger.policies("acme"), [made])
      const store = yield* LedgerStore.LedgerStore
      assert.strictEqual((yield* store.transact(["acme"], (tx) => tx.acts("acme", 0, 10))).length, 1)
    }).pipe(Effect.provide(Layer.provideMerge(Ledger.layer(), forgetful))))

  test(
    "cost a tenant without any nothing: no counter is asked for or kept",
    Effect.gen(function*() {
      const { authority } = yield* setUp()
      yield* authority.reserve(ask())
      const store = yield* LedgerStore.LedgerStore
      const counters = yield* store.transact(["acme"], (tx) => tx.counters("acme", "rate", "zzz", 10))
      assert.deepStrictEqual(counters, [])
    })
  )
})
