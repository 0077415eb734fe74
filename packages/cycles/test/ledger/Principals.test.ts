import { assert, describe, it } from "@effect/vitest"
import type { CyclesError } from "effect-cycles"
import { Action, Amount, Ledger, LedgerStoreMemory } from "effect-cycles"
import { IdempotencyKey, ReservationId } from "effect-cycles/protocol/Ids"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const layer = Layer.provide(Ledger.layer(), LedgerStoreMemory.layer)
const idempotencyKey = IdempotencyKey.make("k")
const id = ReservationId.make("none")
const subject = { agent: "writer" }
const action = Action.make("llm.completion", "gpt-4o")

describe("a principal", () => {
  it.effect("may do what its permissions name, and nothing else", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      const tried = (permissions: ReadonlyArray<Ledger.Permission>) => {
        const authority = ledger.as({ tenant: "acme", permissions: new Set(permissions) })
        const operations: ReadonlyArray<Effect.Effect<unknown, CyclesError.CyclesError>> = [
          authority.decide({ idempotencyKey, subject, action, estimate: Amount.tokens(1) }),
          authority.reserve({ idempotencyKey, subject, action, estimate: Amount.tokens(1) }),
          authority.commit(id, { idempotencyKey, actual: Amount.tokens(1) }),
          authority.release(id, { idempotencyKey }),
          authority.extend(id, { idempotencyKey, extendByMs: 1_000 }),
          authority.event({ idempotencyKey, subject, action, actual: Amount.tokens(1) }),
          authority.balances({ tenant: "acme" }),
          authority.reservation(id),
          authority.reservations({})
        ]
        return Effect.forEach(operations, (operation) =>
          Effect.match(operation, {
            onFailure: ({ _tag }) => _tag !== "Forbidden",
            onSuccess: () => true
          }))
      }
      const no = false
      assert.deepStrictEqual(yield* tried([]), [no, no, no, no, no, no, no, no, no])
      assert.deepStrictEqual(yield* tried(["reservations:create"]), [true, true, no, no, no, true, no, no, no])
      assert.deepStrictEqual(yield* tried(["reservations:commit"]), [no, no, true, no, no, no, no, no, no])
      assert.deepStrictEqual(yield* tried(["reservations:release"]), [no, no, no, true, no, no, no, no, no])
      assert.deepStrictEqual(yield* tried(["reservations:extend"]), [no, no, no, no, true, no, no, no, no])
      assert.deepStrictEqual(yield* tried(["balances:read"]), [no, no, no, no, no, no, true, no, no])
      assert.deepStrictEqual(yield* tried(["reservations:list"]), [no, no, no, no, no, no, no, true, true])
    }).pipe(Effect.provide(layer)))
})

describe("a budget", () => {
  it.effect("takes no amount out of range, however it was made", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      const scope = "tenant:acme"
      const negative = { unit: "TOKENS", amount: -1n } as const
      const allocated = Amount.tokens(1)
      const opened = yield* Effect.flip(ledger.createBudget("acme", { scope, allocated: negative }))
      assert.deepInclude(opened, { _tag: "InvalidRequest", field: "allocated" })
      const limited = yield* Effect.flip(ledger.createBudget("acme", { scope, allocated, overdraftLimit: negative }))
      assert.deepInclude(limited, { _tag: "InvalidRequest", field: "overdraftLimit" })
      yield* ledger.createBudget("acme", { scope, allocated })
      const changed = yield* Effect.flip(
        ledger.updateBudget("acme", { scope, unit: "TOKENS", overdraftLimit: negative })
      )
      assert.deepInclude(changed, { _tag: "InvalidRequest", field: "overdraftLimit" })
    }).pipe(Effect.provide(layer)))
})
