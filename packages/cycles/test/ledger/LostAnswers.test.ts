import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Governance, Ledger, LedgerStore, LedgerStoreMemory } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

/** Whether the store keeps quiet about its commits. */
let quiet = false

/** A store whose next commit takes effect, and its answer is lost, whenever it is to be quiet. */
const forgetful = Layer.effect(
  LedgerStore.LedgerStore,
  Effect.map(LedgerStoreMemory.make, (store) => ({
    ...store,
    transact: <A>(...[tenants, body]: Parameters<typeof store.transact<A>>) =>
      Effect.flatMap(store.transact(tenants, body), (answer) => {
        if (!quiet) return Effect.succeed(answer)
        quiet = false
        return Effect.fail(new LedgerStore.StoreError({ outcome: "unknown", cause: "the answer was lost" }))
      })
  }))
)

const layer = Governance.layer({ peppers: [Redacted.make("a pepper of thirty-two characters or more")] }).pipe(
  Layer.provideMerge(Ledger.layer({ sweepEveryMs: 1_000 * 86_400_000 })),
  Layer.provideMerge(forgetful)
)

/** Runs an operation whose first commit is not heard of. */
const unheard = Effect.fnUntraced(function*<A, E, R>(operation: Effect.Effect<A, E, R>) {
  quiet = true
  const fiber = yield* Effect.forkChild(operation)
  yield* TestClock.adjust(10_000)
  return yield* Fiber.join(fiber)
})

const scope = "tenant:acme"
const unit = "TOKENS"

const setUp = Effect.gen(function*() {
  quiet = false
  const ledger = yield* Ledger.Ledger
  const operator = (yield* Governance.Governance).asOperator({ actor: "ops" })
  yield* operator.createTenant("acme", { name: "Acme" })
  yield* operator.createBudget("acme", { scope, allocated: Amount.tokens(100) })
  const policy = yield* operator.createPolicy("acme", { name: "all", scopePattern: "*" })
  const { key } = yield* operator.createApiKey("acme", { name: "a" })
  return { ledger, operator, policy, key }
})

type SetUp = Effect.Success<typeof setUp>

const reserve = (ledger: Ledger.Operations, amount: number) =>
  ledger.as({ tenant: "acme" }).reserve({
    idempotencyKey: IdempotencyKey.make(`reserve-${amount}`),
    subject: { agent: "bot" },
    action: Action.make("llm.completion", "gpt-4o"),
    estimate: Amount.tokens(amount)
  })

const kept = Effect.fnUntraced(function*({ ledger, operator }: SetUp) {
  const acts = yield* operator.acts("acme")
  const events = yield* Stream.runCollect(ledger.events("acme"))
  const entries = yield* ledger.entries("acme")
  return { acts: acts.length, events: events.length, entries: entries.length }
})

/** Does something whose first commit is not heard of; what it leaves beyond what was there. */
const leaves = (act: (rooms: SetUp) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const rooms = yield* setUp
    const before = yield* kept(rooms)
    yield* unheard(act(rooms))
    const after = yield* kept(rooms)
    return [after.acts - before.acts, after.events - before.events, after.entries - before.entries]
  }).pipe(Effect.provide(layer))

describe("a command whose commit was not heard of", () => {
  const once = (
    name: string,
    act: (rooms: SetUp) => Effect.Effect<unknown, unknown>,
    left: [acts: number, events: number, entries: number]
  ) =>
    it.effect(`${name} is done once, and says so`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* leaves(act), left)
      }))

  once("freezing a budget", ({ operator }) => operator.freezeBudget("acme", { scope, unit }), [1, 1, 1])
  once("closing a budget", ({ operator }) => operator.closeBudget("acme", { scope, unit }), [1, 1, 1])
  once(
    "changing a budget",
    ({ operator }) => operator.updateBudget("acme", { scope, unit, overdraftLimit: Amount.tokens(5) }),
    [1, 1, 1]
  )
  once(
    "funding",
    ({ operator }) =>
      operator.fund("acme", {
        idempotencyKey: IdempotencyKey.make("fund"),
        scope,
        operation: "CREDIT",
        amount: Amount.tokens(5)
      }),
    [1, 1, 1]
  )
  once("changing a policy", ({ operator, policy }) => operator.updatePolicy("acme", policy.id, { priority: 2 }), [
    1,
    1,
    0
  ])
  once("deleting a policy", ({ operator, policy }) => operator.deletePolicy("acme", policy.id), [1, 1, 0])
  once("changing a tenant", ({ operator }) => operator.updateTenant("acme", { name: "Other" }), [1, 1, 0])
  once("closing a tenant", ({ operator }) => operator.closeTenant("acme"), [3, 3, 1])
  once(
    "changing a key",
    ({ key, operator }) => operator.updateApiKey("acme", key.id, { permissions: ["balances:read"] }),
    [1, 1, 0]
  )
  once("replacing a key", ({ key, operator }) => operator.rotateApiKey("acme", key.id), [1, 2, 0])
  once("revoking a key", ({ key, operator }) => operator.revokeApiKey("acme", key.id), [1, 1, 0])
  once("making a key", ({ operator }) => operator.createApiKey("acme", { name: "b" }), [1, 1, 0])
  once("a refused act", ({ operator }) => Effect.flip(operator.deletePolicy("acme", "none")), [1, 0, 0])
  once("a hold that is denied", ({ ledger }) => Effect.flip(reserve(ledger, 101)), [0, 1, 0])
  once("a hold that is given", ({ ledger }) => reserve(ledger, 10), [0, 0, 1])
})
