/**
 * What a guarded call costs, beside a bare reserve and commit on the same ledger and Effect's own `acquireUseRelease`.
 */
import { Action, Amount, Budget, BudgetAuthority, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import type { Subject } from "effect-cycles/protocol/Subject"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { derived, main, measure } from "./support/harness.ts"

const levels = ["tenant", "workspace", "app", "workflow", "agent", "toolset"] as const

const subjectOf = (scopes: number): Subject =>
  Object.fromEntries(levels.slice(0, scopes).map((level) => [level, level === "tenant" ? "acme" : "x"]))

const layerOf = (scopes: number) => {
  const budgets = levels.slice(0, scopes).map((_, i) => ({
    scope: levels.slice(0, i + 1).map((level) => `${level}:${level === "tenant" ? "acme" : "x"}`).join("/"),
    allocated: Amount.tokens(Amount.MAX_INT64)
  }))
  return Budget.layer({ subject: subjectOf(scopes) }).pipe(
    Layer.provideMerge(Ledger.layerMemory({ tenant: "acme", budgets }))
  )
}

const action = Action.make("llm.completion", "gpt-4o")
const estimate = Amount.tokens(1_000)
const actual = Amount.tokens(420)
const COUNT = 10_000

const guarded = Budget.guard({ action, estimate }, (r) => Effect.succeed(r.commit(actual, "text")))

const pairs = (scopes: number) =>
  Effect.gen(function*() {
    const authority = yield* BudgetAuthority.BudgetAuthority
    const subject = subjectOf(scopes)
    for (let i = 0; i < COUNT; i++) {
      const { reservationId } = yield* authority.reserve({
        idempotencyKey: IdempotencyKey.make(`reserve-${i}`),
        subject,
        action,
        estimate
      })
      yield* authority.commit(reservationId!, { idempotencyKey: IdempotencyKey.make(`commit-${i}`), actual })
    }
  })

const times = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    for (let i = 0; i < COUNT; i++) yield* effect
  })

/** Between two rates. */
const adds = (scopes: string) =>
  derived(
    `guard adds, ${scopes}`,
    "µs",
    (of) => 1e6 / of(`guard, ${scopes}`) - 1e6 / of(`ledger reserve+commit, ${scopes}`)
  )

await main("guard", () => [
  measure(
    "acquireUseRelease",
    COUNT,
    times(Effect.acquireUseRelease(Effect.succeed(1), () => Effect.succeed(2), () => Effect.void))
  ),
  measure("ledger reserve+commit, 1 scope", COUNT, pairs(1).pipe(Effect.provide(layerOf(1)))),
  measure("guard, 1 scope", COUNT, times(guarded).pipe(Effect.provide(layerOf(1)))),
  measure("ledger reserve+commit, 6 scopes", COUNT, pairs(6).pipe(Effect.provide(layerOf(6)))),
  measure("guard, 6 scopes", COUNT, times(guarded).pipe(Effect.provide(layerOf(6)))),
  adds("1 scope"),
  adds("6 scopes")
])
