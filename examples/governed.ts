// Who may spend what, and who said so. An operator registers a tenant, gives it budgets, a policy and an API key that reaches
// one workspace only. An agent works with the key until it is denied; the ledger explains the denial, hands on its events, tells
// what was spent on what, and has every act on record. In the end the tenant is closed.
//
// Here all of it is one process and in memory. On another store the key works in any process that shares it.
import { Console, Effect, Layer, Redacted, Stream } from "effect"
import { Action, Amount, Budget, Governance, Ledger, LedgerStoreMemory } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import { TestClock } from "effect/testing"

const writer = "tenant:acme/workspace:eng/agent:writer"

const act = (kind: string, name: string, dollars: number) =>
  Budget.guard(
    { action: Action.make(kind, name), estimate: Amount.usd(dollars) },
    (r) => Effect.succeed(r.commit(r.reserved, "done"))
  ).pipe(
    Effect.catch((error) => Effect.succeed(`${error._tag}\n    ${error.message}`)),
    Effect.flatMap((outcome) => Console.log(`  ${name} for ${Amount.format(Amount.usd(dollars))}: ${outcome}`))
  )

/** All an agent needs is the secret of a key: it says whose budget it is and where it may be spent. */
const agent = (secret: Redacted.Redacted<string>) =>
  Layer.provide(
    Budget.layer({ subject: { workspace: "eng", agent: "writer" } }),
    Governance.layerAuthority(secret)
  )

const program = Effect.gen(function*() {
  const governance = yield* Governance.Governance
  const ledger = yield* Ledger.Ledger
  const ann = governance.asOperator({ actor: "ann" })

  yield* ann.createTenant("acme", { name: "Acme Corporation" })
  yield* ann.createBudget("acme", { scope: "tenant:acme", allocated: Amount.usd(100) })
  yield* ann.createBudget("acme", { scope: writer, allocated: Amount.usd(1) })
  yield* ann.createPolicy("acme", {
    name: "no e-mail",
    scopePattern: "tenant:acme/*",
    deniedActionKinds: ["message.email"]
  })
  const { key, secret } = yield* ann.createApiKey("acme", {
    name: "writer in production",
    permissions: ["reservations:create", "reservations:commit", "reservations:release", "balances:read"],
    scopeFilter: ["workspace:eng"]
  })
  const nameOf = (id: string) => id === key.id ? `key "${key.name}"` : id

  yield* Console.log("the agent works")
  yield* Effect.gen(function*() {
    yield* act("llm.completion", "gpt-4o", 0.6)
    yield* act("llm.completion", "gpt-4o", 0.6)
    yield* act("message.email", "newsletter", 0.01)
    yield* Budget.within(act("llm.completion", "gpt-4o", 0.6), { workspace: "ops" })
    yield* act("llm.completion", "gpt-4o-mini", 0.3)
  }).pipe(Effect.provide(agent(secret)))

  yield* Console.log("why it has what it has")
  const { balance, denial, lines } = yield* ledger.explain("acme", { scope: writer, unit: "USD_MICROCENTS" })
  yield* Console.log(`  ${Amount.format(balance.remaining)} remain`)
  for (const { actor, text } of lines) yield* Console.log(`  ${nameOf(actor)}: ${text}`)
  yield* Console.log(`  last denied: ${denial?.text}`)

  yield* Console.log("what it went to")
  const now = Date.parse("2026-11-27T09:00:00Z")
  const spent = yield* ledger.spend("acme", {
    by: "model",
    unit: "USD_MICROCENTS",
    from: now,
    to: now + 3_600_000,
    every: "hour"
  })
  for (const { amount, value } of spent) {
    yield* Console.log(`  ${value}: ${Amount.format({ unit: "USD_MICROCENTS", amount })}`)
  }

  yield* Console.log("the key is revoked, and then the tenant closed")
  yield* ann.revokeApiKey("acme", key.id, { reason: "the writer has finished" })
  yield* act("llm.completion", "gpt-4o", 0.1).pipe(
    Effect.provide(agent(secret)),
    Effect.catch((error) => Console.log(`  ${error.message}`))
  )
  yield* ann.closeTenant("acme")
  yield* ann.fund("acme", {
    idempotencyKey: IdempotencyKey.make("top-up-1"),
    scope: "tenant:acme",
    operation: "CREDIT",
    amount: Amount.usd(5)
  }).pipe(
    Effect.catch((error) => Console.log(`  ${error.message}`))
  )

  // A relay takes events from the outbox, each at least once, and never ends. Here it is cut off after the last of them.
  yield* Console.log("what a relay has handed on")
  yield* ledger.outbox.pipe(
    Stream.takeUntil(({ type }) => type === "tenant.closed"),
    Stream.runForEach(({ actor, number, scope, type }) =>
      Console.log(`  ${number} ${type}${scope === undefined ? "" : ` at ${scope}`}, by ${nameOf(actor)}`)
    )
  )

  yield* Console.log("what was done, and what was refused")
  yield* ann.audit("acme").pipe(
    Stream.runForEach(({ actor, errorCode, number, operation }) =>
      Console.log(`  ${number} ${operation} by ${actor}${errorCode === undefined ? "" : `: ${errorCode}`}`)
    )
  )
})

const governed = Governance.layer({ peppers: [Redacted.make("thirty-two or more secret characters")] }).pipe(
  Layer.provideMerge(Ledger.layer()),
  Layer.provide(LedgerStoreMemory.layer),
  Layer.provideMerge(Layer.effectDiscard(TestClock.setTime(Date.parse("2026-11-27T09:00:00Z")))),
  Layer.provideMerge(TestClock.layer())
)

await Effect.runPromise(Effect.provide(program, governed))
