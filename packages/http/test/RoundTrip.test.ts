import { Errors } from "@effect-cycles/http"
import { assert, describe, it } from "@effect/vitest"
import type { AnyAmount, Unit } from "effect-cycles/protocol/Amount"
import { MAX_INT64, MIN_INT64 } from "effect-cycles/protocol/Amount"
import type { Balance } from "effect-cycles/protocol/Balance"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import type { CyclesError } from "effect-cycles/protocol/CyclesError"
import { Cursor, EventId, IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import type { ReservationRecord } from "effect-cycles/protocol/ReservationRecord"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { errorSamples, everyField, operations } from "./samples.ts"
import { layerClient, layerServer } from "./support.ts"

const key = IdempotencyKey.make("key-1")
const id = ReservationId.make("r/1 ü?#%2F..")

// ---------------------------------------------------------------------------------------------------------------------
// everything the protocol has room for
// ---------------------------------------------------------------------------------------------------------------------

const numbers = [
  0n,
  1n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  1_152_921_504_606_846_977n,
  MAX_INT64 - 1n,
  MAX_INT64
]

// An amount of any one unit is one of the union's members, which the compiler cannot see while the unit is open.
const amount = (n: bigint, unit: Unit = "USD_MICROCENTS"): AnyAmount => ({ unit, amount: n }) as AnyAmount

const balance = (n: bigint): Balance => ({
  scope: "tenant:acme",
  scopePath: "tenant:acme",
  remaining: { unit: "USD_MICROCENTS", amount: n === 0n ? MIN_INT64 : -n },
  reserved: amount(n),
  spent: amount(n),
  debt: amount(n),
  allocated: amount(n),
  overdraftLimit: amount(n),
  isOverLimit: true
})

const evidence = { evidenceId: "ab".repeat(32), url: "https://cycles.test/v1/evidence/x" }
const subject = {
  tenant: "acme",
  workspace: "w",
  app: "a",
  workflow: "f",
  agent: "bot",
  toolset: "t",
  dimensions: { cost_center: "42", null: "x" }
}
const action = { kind: "llm.completion", name: "gpt-4.1", tags: ["prod", "1e3"] }
const metadata = (n: bigint) => ({
  amount: 1000,
  score: 0.25,
  exact: n > 2n ** 53n - 1n ? n : Number(n),
  nothing: null,
  camelCase: { snake_case: [true, "x", { custom: 1 }] }
})
const metrics = (n: bigint) => ({
  tokensInput: 1,
  tokensOutput: Number.MAX_SAFE_INTEGER,
  latencyMs: 0,
  modelVersion: "gpt-4.1-2026-01-01",
  custom: metadata(n)
})
const caps = { maxTokens: 1, maxStepsRemaining: 0, toolAllowlist: ["a"], toolDenylist: [], cooldownMs: 5 }
const scopes = ["tenant:acme", "tenant:acme/agent:bot"]

const record = (n: bigint): ReservationRecord => ({
  reservationId: id,
  status: "COMMITTED",
  idempotencyKey: key,
  subject,
  action,
  reserved: amount(n),
  committed: amount(n),
  createdAtMs: 1,
  expiresAtMs: Number.MAX_SAFE_INTEGER,
  finalizedAtMs: 3,
  scopePath: "tenant:acme/agent:bot",
  affectedScopes: scopes,
  metadata: metadata(n),
  committedMetadata: metadata(n),
  evidence: { reserve: evidence, commit: evidence }
})

type Replies = { readonly [O in Errors.Operation]: Effect.Success<ReturnType<Operations[O]>> }

const requests = (n: bigint) =>
  ({
    decide: [{ idempotencyKey: key, subject, action, estimate: amount(n), metadata: metadata(n) }],
    reserve: [{
      idempotencyKey: key,
      subject,
      action,
      estimate: amount(n, "RISK_POINTS"),
      ttlMs: 1_000,
      gracePeriodMs: 0,
      overagePolicy: "ALLOW_WITH_OVERDRAFT",
      dryRun: true,
      metadata: metadata(n)
    }],
    commit: [id, { idempotencyKey: key, actual: amount(n, "CREDITS"), metrics: metrics(n), metadata: metadata(n) }],
    release: [id, { idempotencyKey: key, reason: "no longer needed" }],
    extend: [id, { idempotencyKey: key, extendByMs: 86_400_000, metadata: metadata(n) }],
    event: [{
      idempotencyKey: key,
      subject,
      action,
      actual: amount(n, "TOKENS"),
      overagePolicy: "REJECT",
      metrics: metrics(n),
      clientTimeMs: 1_795_324_902_831,
      metadata: metadata(n)
    }],
    balances: [{ ...withoutDimensions, includeChildren: true, limit: 200, cursor: Cursor.make("c&1=?") }],
    reservation: [id],
    reservations: [{
      ...withoutDimensions,
      idempotencyKey: key,
      status: "EXPIRED",
      createdFromMs: -1,
      createdToMs: 1_795_324_902_831,
      expiresFromMs: 0,
      expiresToMs: 5,
      finalizedFromMs: 6,
      finalizedToMs: 7,
      sortBy: "scope_path",
      sortDir: "asc",
      include: ["metadata", "evidence"],
      limit: 1,
      cursor: Cursor.make("c+1")
    }]
  }) as const satisfies { readonly [O in Errors.Operation]: Parameters<Operations[O]> }

const { dimensions: _, ...withoutDimensions } = subject

const replies = (n: bigint): Replies => ({
  decide: {
    decision: "DENY",
    caps,
    reasonCode: "SOLAR_FLARE",
    retryAfterMs: 5,
    affectedScopes: scopes,
    evidence
  },
  reserve: {
    decision: "ALLOW_WITH_CAPS",
    reservationId: id,
    reserved: amount(n),
    expiresAtMs: 1_795_324_902_831,
    remainingTtlMs: 60_000,
    scopePath: "tenant:acme",
    affectedScopes: scopes,
    caps,
    balances: [balance(n)],
    reasonCode: "BUDGET_EXCEEDED",
    retryAfterMs: 0,
    evidence
  },
  commit: { status: "COMMITTED", charged: amount(n), released: amount(n), balances: [balance(n)], evidence },
  release: { status: "RELEASED", released: amount(n), balances: [balance(n)], evidence },
  extend: { status: "ACTIVE", expiresAtMs: 1, remainingTtlMs: 0, balances: [balance(n)] },
  event: { status: "APPLIED", eventId: EventId.make("e-1"), charged: amount(n), balances: [balance(n)] },
  balances: { balances: [balance(n), balance(0n)], nextCursor: Cursor.make("c2"), hasMore: true },
  reservation: record(n),
  reservations: { reservations: [record(n)], nextCursor: Cursor.make("c2"), hasMore: false }
})

// ---------------------------------------------------------------------------------------------------------------------
// an authority that answers what it is told, and remembers what it was asked
// ---------------------------------------------------------------------------------------------------------------------

const stub = () => {
  const asked: Array<{ readonly operation: Errors.Operation; readonly args: ReadonlyArray<unknown> }> = []
  let answer: Effect.Effect<unknown, CyclesError> = Effect.die("not told")
  const authority = Object.fromEntries(
    operations.map((operation) => [
      operation,
      (...args: ReadonlyArray<unknown>) =>
        Effect.suspend(() => {
          asked.push({ operation, args })
          return answer
        })
    ])
    // What it answers is the test's to choose.
  ) as unknown as Operations
  return {
    authority,
    asked,
    tell: (next: Effect.Effect<unknown, CyclesError>) => {
      answer = next
    }
  }
}

const call = <O extends Errors.Operation>(
  authority: Operations,
  operation: O,
  args: Parameters<Operations[O]>
): Effect.Effect<unknown, CyclesError> => {
  const f = authority[operation] as (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, CyclesError>
  return f(...args)
}

describe("Over HTTP and back", () => {
  for (const operation of operations) {
    it.live(`every amount and every field of ${operation} arrives as it was`, () => {
      const { asked, authority, tell } = stub()
      return Effect.gen(function*() {
        const client = yield* BudgetAuthority
        for (const n of numbers) {
          tell(Effect.succeed(replies(n)[operation]))
          const args = requests(n)[operation]
          const reply = yield* call(client, operation, args as Parameters<Operations[typeof operation]>)
          assert.deepStrictEqual(asked.pop(), { operation, args })
          assert.deepStrictEqual(reply, replies(n)[operation])
        }
      }).pipe(Effect.provide(layerClient().pipe(Layer.provide(layerServer("acme", authority)))))
    })

    it.live(`every error of ${operation} arrives as it was`, () => {
      const { authority, tell } = stub()
      return Effect.gen(function*() {
        const client = yield* BudgetAuthority
        for (const make of Object.values(errorSamples[operation])) {
          for (const context of [{}, { ...everyField, retryAfterMs: 1_500 }]) {
            const error: CyclesError = make(context)
            tell(Effect.fail(error))
            const read = yield* Effect.flip(
              call(client, operation, requests(1n)[operation] as Parameters<Operations[typeof operation]>)
            )
            const { requestId, traceId, ...rest } = { ...read }
            assert.deepStrictEqual(rest, { ...error })
            assert.strictEqual(read.message, error.message)
            assert.match(requestId ?? "", /^[0-9a-f-]{36}$/)
            assert.match(traceId ?? "", /^[0-9a-f]{32}$/)
          }
        }
      }).pipe(Effect.provide(layerClient().pipe(Layer.provide(layerServer("acme", authority)))))
    })
  }

  it.live("any id that can be a segment of a path names its reservation", () => {
    const { asked, authority, tell } = stub()
    return Effect.gen(function*() {
      const client = yield* BudgetAuthority
      tell(Effect.succeed(record(1n)))
      for (
        const name of ["a", "a/b", "..%2f..", "a b+c", "?q=1&x#f", "ü€😀", "😀".repeat(128), "%", "%25", "a\\b", "..."]
      ) {
        yield* client.reservation(ReservationId.make(name))
        assert.deepStrictEqual(asked.pop()?.args, [name])
      }
      for (const name of [".", "..", "\ud800", ""]) {
        // The last is no id at all, so it cannot be made one.
        const refused = yield* Effect.flip(client.reservation(name as ReservationId))
        assert.deepInclude({ ...refused }, { _tag: "InvalidRequest", field: "reservation_id" })
      }
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.provide(layerClient().pipe(Layer.provide(layerServer("acme", authority)))))
  })
})
