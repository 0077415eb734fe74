import { assert, describe, it } from "@effect/vitest"
import type { CyclesError } from "effect-cycles"
import { Action, Amount, Budget, BudgetAuthority, Ledger, PromiseClient, Reservation } from "effect-cycles"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import type { DecideRequest } from "effect-cycles/protocol/Decide"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { jsonReply, layerScripted, scriptedFetch } from "./support.ts"

// What the types and the constructors refuse comes from plain JavaScript all the same.
const forged = {
  amount: (unit: string, amount: unknown) => ({ unit, amount }) as unknown as Amount.Amount<"TOKENS">,
  key: (key: unknown) => key as IdempotencyKey
}

type Request = Budget.Request<"TOKENS">

const request: Request = {
  subject: { agent: "writer" },
  action: Action.make("llm.completion", "gpt-4o"),
  estimate: Amount.tokens(10)
}

/** A flaw in one field, and what an error says of it: the field, and the rule. */
interface Flaw {
  readonly what: string
  readonly request: Request
  readonly field: string
  readonly rule: RegExp
  /** Operations without leases have no use for a duration. */
  readonly ofLease?: true
}

const flaws: ReadonlyArray<Flaw> = [
  {
    what: "no subject",
    request: { ...request, subject: {} },
    field: "subject",
    rule: /at least one of tenant, workspace, app, workflow, agent, toolset/
  },
  {
    what: "a level of 129 characters",
    request: { ...request, subject: { agent: "a".repeat(129) } },
    field: "subject.agent",
    rule: /128/
  },
  {
    what: "a kind of action of 65 characters",
    request: { ...request, action: { kind: "k".repeat(65), name: "gpt-4o" } },
    field: "action.kind",
    rule: /at most 64/
  },
  {
    what: "half a token",
    request: { ...request, estimate: forged.amount("TOKENS", 0.5) },
    field: "estimate.amount",
    rule: /bigint/
  },
  {
    what: "a negative amount",
    request: { ...request, estimate: forged.amount("TOKENS", -1n) },
    field: "estimate.amount",
    rule: /between 0n? and 9223372036854775807/
  },
  {
    what: "an amount above int64",
    request: { ...request, estimate: forged.amount("TOKENS", 2n ** 63n) },
    field: "estimate.amount",
    rule: /between 0n? and 9223372036854775807/
  },
  {
    what: "a unit nobody knows",
    request: { ...request, estimate: forged.amount("PENNIES", 1n) },
    field: "estimate.unit",
    rule: /"USD_MICROCENTS".*"TOKENS".*"CREDITS".*"RISK_POINTS"/
  },
  {
    what: "a ttl too short",
    request: { ...request, ttl: "999 millis" },
    field: "ttlMs",
    rule: /between 1000 and 86400000/,
    ofLease: true
  },
  {
    what: "a ttl too long",
    request: { ...request, ttl: "25 hours" },
    field: "ttlMs",
    rule: /between 1000 and 86400000/,
    ofLease: true
  },
  {
    what: "an endless ttl",
    request: { ...request, ttl: Infinity },
    field: "ttlMs",
    rule: /integer/,
    ofLease: true
  },
  {
    what: "a grace period too long",
    request: { ...request, gracePeriod: "61 seconds" },
    field: "gracePeriodMs",
    rule: /between 0 and 60000/,
    ofLease: true
  },
  {
    what: "an empty key",
    request: { ...request, idempotencyKey: forged.key("") },
    field: "idempotencyKey",
    rule: /at least 1/
  },
  {
    what: "a key of 257 characters",
    request: { ...request, idempotencyKey: forged.key("k".repeat(257)) },
    field: "idempotencyKey",
    rule: /at most 256/
  }
]

type Program = (request: Request) => Effect.Effect<unknown, unknown, Budget.Budget | BudgetAuthority.BudgetAuthority>

const body = () => Effect.die("the body has run")
const guarded = (request: Request) => Budget.guard(request, body)

/** What a request is handed to that takes a lease. */
const leases: Readonly<Record<string, Program>> = {
  "Budget.guard": guarded,
  "Budget.guardOutcome": (request) => Budget.guardOutcome(request, body),
  "Budget.guard, open where the authority is unavailable": (request) => guarded({ ...request, onUnavailable: "open" }),
  "Budget.charge": (request) => Budget.charge(body(), request, () => Amount.tokens(1)),
  "Budget.guardStream": (request) =>
    Stream.runDrain(Budget.guardStream(request, {
      stream: () => Stream.fromEffect(body()),
      meter: { initial: 0, step: (n) => n },
      settle: (r) => r.release()
    })),
  "Budget.guardAll": (request) =>
    Budget.guardAll({ a: request, b: { ...request, subject: { agent: "writer" } } }, body),
  "Budget.allot": (request) => Budget.allot(request, body()),
  "Budget.race": (request) => Budget.race(guarded(request), guarded(request)),
  "Budget.retry": (request) => Budget.retry(guarded(request)),
  "Budget.whenAvailable": (request) => Budget.whenAvailable(guarded(request), { timeout: "1 minute" }),
  "Reservation.make": (request) => Effect.scoped(Reservation.make(request))
}

const asked =
  (ask: (authority: Operations, request: DecideRequest) => Effect.Effect<unknown, unknown>): Program => (request) =>
    Effect.flatMap(BudgetAuthority.BudgetAuthority, (authority) =>
      ask(authority, {
        idempotencyKey: request.idempotencyKey ?? IdempotencyKey.make("key"),
        subject: request.subject ?? {},
        action: request.action,
        estimate: request.estimate
      }))

/** The operations that take a subject and an amount. */
const operations: Readonly<Record<string, Program>> = {
  decide: asked((authority, request) => authority.decide(request)),
  reserve: (request) =>
    asked((authority, filled) => {
      const ttlMs = request.ttl === Infinity ? Infinity : request.ttl === "25 hours" ? 90_000_000 : 999
      return authority.reserve({
        ...filled,
        ...(request.ttl === undefined ? undefined : { ttlMs }),
        ...(request.gracePeriod === undefined ? undefined : { gracePeriodMs: 61_000 })
      })
    })(request)
}

/** What is in a failure, or in what a promise was rejected with. */
const problemOf = (exit: Exit.Exit<unknown, unknown>): CyclesError.InvalidRequest | undefined => {
  const problem = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  // Whatever it is, its tag is looked at next.
  return problem as CyclesError.InvalidRequest | undefined
}

/** What an error says: its tag, its field and whether its reason names the rule. */
const told = (exit: Exit.Exit<unknown, unknown>, rule: RegExp): string => {
  const problem = problemOf(exit)
  if (problem?._tag !== "InvalidRequest") return String(problem ?? "it succeeded")
  return `${problem._tag} ${problem.field} ${rule.test(problem.message) ? "by its rule" : problem.message}`
}

const remote = () => {
  const { fetch, sent } = scriptedFetch(jsonReply(401, {}))
  return { layer: layerScripted(fetch, { retries: 0 }), sent }
}

const memory = Ledger.layerMemory({
  tenant: "acme",
  budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(1_000) }]
})

describe("Bad input, over HTTP, is an InvalidRequest before anything is sent:", () => {
  for (const [name, program] of Object.entries({ ...leases, ...operations })) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const expected: Array<string> = []
        const found: Array<string> = []
        for (const flaw of flaws) {
          if (flaw.ofLease === true && name === "decide") continue
          const { layer, sent } = remote()
          const exit = yield* Effect.exit(program(flaw.request)).pipe(
            Effect.provide(Budget.layer().pipe(Layer.provideMerge(layer)))
          )
          expected.push(`${flaw.what}: InvalidRequest ${flaw.field} by its rule, 0 sent`)
          found.push(`${flaw.what}: ${told(exit, flaw.rule)}, ${sent.length} sent`)
        }
        assert.deepStrictEqual(found, expected)
      }))
  }

  for (
    const [name, ask] of Object.entries({
      guard: (client: PromiseClient.PromiseClient, request: Request) =>
        client.guard(request, async () => assert.fail()),
      reserve: (client: PromiseClient.PromiseClient, request: Request) => client.reserve(request),
      decide: (client: PromiseClient.PromiseClient, request: Request) =>
        client.decide({
          subject: request.subject ?? {},
          action: request.action,
          estimate: request.estimate,
          ...(request.idempotencyKey === undefined ? undefined : { idempotencyKey: request.idempotencyKey })
        })
    })
  ) {
    it(`${name} of the promise client`, async () => {
      for (const flaw of flaws) {
        if (flaw.ofLease === true && name === "decide") continue
        const { layer, sent } = remote()
        await using client = PromiseClient.make({ layer })
        const exit = await ask(client, flaw.request).then(Exit.succeed, (error: unknown) => Exit.fail(error))
        assert.strictEqual(told(exit, flaw.rule), `InvalidRequest ${flaw.field} by its rule`, flaw.what)
        assert.lengthOf(sent, 0)
      }
    })
  }

  const id = ReservationId.make("r-1")
  const key = IdempotencyKey.make("key")
  const actual = forged.amount("TOKENS", -1n)
  const spender = { subject: { tenant: "acme" }, action: request.action }
  const byId: ReadonlyArray<[string, (authority: Operations) => Effect.Effect<unknown, unknown>, string, RegExp]> = [
    ["commit", (of) => of.commit(id, { idempotencyKey: key, actual }), "actual.amount", /between 0/],
    [
      "commit",
      (of) => of.commit(id, { idempotencyKey: forged.key(""), actual: Amount.tokens(1) }),
      "idempotencyKey",
      /at least 1/
    ],
    ["release", (of) => of.release(id, { idempotencyKey: forged.key("") }), "idempotencyKey", /at least 1/],
    ["extend", (of) => of.extend(id, { idempotencyKey: key, extendByMs: 0 }), "extendByMs", /between 1 and/],
    ["extend", (of) => of.extend(id, { idempotencyKey: key, extendByMs: 1.5 }), "extendByMs", /integer/],
    ["event", (of) => of.event({ ...spender, idempotencyKey: key, actual }), "actual.amount", /between 0/],
    [
      "event",
      (of) => of.event({ ...spender, subject: {}, idempotencyKey: key, actual: Amount.tokens(1) }),
      "subject",
      /at least one/
    ]
  ]
  for (const [name, ask, field, rule] of byId) {
    it.effect(`${name}, ${field}`, () =>
      Effect.gen(function*() {
        const { layer, sent } = remote()
        const authority = Effect.flatMap(BudgetAuthority.BudgetAuthority, ask)
        const exit = yield* Effect.exit(Effect.provide(authority, layer))
        assert.strictEqual(told(exit, rule), `InvalidRequest ${field} by its rule`)
        assert.lengthOf(sent, 0)
        const embedded = yield* Effect.exit(Effect.provide(authority, memory))
        assert.strictEqual(told(embedded, rule), `InvalidRequest ${field} by its rule`)
      }))
  }
})

describe("Bad input, to a ledger in this process, is an InvalidRequest and changes nothing:", () => {
  for (const [name, program] of Object.entries({ ...leases, ...operations })) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const before = (yield* (yield* Ledger.Ledger).entries("acme")).length
        for (const flaw of flaws) {
          // Who names nobody is the tenant itself here.
          if (flaw.field === "subject" || (flaw.ofLease === true && name === "decide")) continue
          const exit = yield* Effect.exit(program(flaw.request))
          assert.strictEqual(told(exit, flaw.rule), `InvalidRequest ${flaw.field} by its rule`, flaw.what)
        }
        assert.lengthOf(yield* (yield* Ledger.Ledger).entries("acme"), before)
      }).pipe(Effect.provide(Budget.layer().pipe(Layer.provideMerge(memory)))))
  }
})

describe("Amounts", () => {
  it("are refused where they are made, with the rule", () => {
    for (const amount of [0.5, -1, NaN, Infinity, 2 ** 53, -1n, 2n ** 63n]) {
      assert.throws(() => Amount.tokens(amount), RangeError, /An amount must be/)
    }
  })
})
