import { LedgerStorePostgres } from "@effect-cycles/postgres"
import { assert, it } from "@effect/vitest"
import { Action, Amount, Governance, Ledger } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import { RequestContext } from "effect-cycles/protocol/RequestContext"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { withServer } from "./support/stores.ts"

const at = (options: LedgerStorePostgres.Options) =>
  Governance.layer({ peppers: [Redacted.make("pepper".repeat(8))] }).pipe(
    Layer.provideMerge(Ledger.layer()),
    Layer.provide(LedgerStorePostgres.layer(options))
  )

const columns = {
  events: ["at", "type", "scope", "trace", "correlation"],
  acts: ["at", "operation", "resource_type", "resource_id", "key_id", "status", "trace", "request"]
}

withServer("a schema of the first version in PostgreSQL", ({ fresh, sql }) => {
  it.live(
    "is brought to this one when it is opened, and its history is found like any other",
    () =>
      Effect.gen(function*() {
        const options = fresh()
        const look = Effect.gen(function*() {
          const operator = (yield* Governance.Governance).asOperator({ actor: "ops" })
          return {
            events: (yield* operator.events({ limit: 2_000 })).events,
            traced: (yield* operator.events({ traceId: "a".repeat(32), limit: 2_000 })).events,
            byRequest: (yield* operator.events({ requestId: "é" })).events,
            byScope: (yield* operator.events({ sortBy: "scope", limit: 2_000 })).events,
            acts: (yield* operator.auditLog()).acts,
            refused: (yield* operator.auditLog({ status: 409 })).acts,
            byOperation: (yield* operator.auditLog({ sortBy: "operation" })).acts
          }
        })
        const before = yield* Effect.gen(function*() {
          const operator = (yield* Governance.Governance).asOperator({ actor: "ops" })
          yield* operator.createTenant("acme", { name: "Acme" })
          const budget = { scope: "tenant:acme", allocated: Amount.tokens(1) }
          yield* operator.createBudget("acme", budget)
          yield* Effect.exit(operator.createBudget("acme", budget))
          const authority = (yield* Ledger.Ledger).as({ tenant: "acme" })
          yield* Effect.forEach(Array.from({ length: 1_200 }, (_, i) => i), (i) =>
            Effect.provideService(
              Effect.exit(authority.reserve({
                idempotencyKey: IdempotencyKey.make(`k${i}`),
                subject: { agent: "bot" },
                action: Action.make("tool.call", "search"),
                estimate: Amount.tokens(10)
              })),
              RequestContext,
              i === 7 ? { requestId: "é", traceId: "a".repeat(32) } : { requestId: `r${i}`, traceId: undefined }
            ), { concurrency: 500 })
          return yield* look
        }).pipe(Effect.provide(at(options), { local: true }))
        assert.lengthOf(before.byRequest, 1)
        assert.lengthOf(before.refused, 1)
        const s = `"${options.schema}"`
        yield* Effect.promise(() =>
          sql(
            ...Object.entries(columns).flatMap(([table, names]) =>
              names.map((name) => `ALTER TABLE ${s}.${table} DROP COLUMN ${name}`)
            ),
            `DELETE FROM ${s}.migrations WHERE version > 1`
          )
        )
        const after = yield* Effect.provide(look, at(options), { local: true })
        assert.deepStrictEqual(after, before)
        const versions = yield* Effect.promise(() => sql(`SELECT max(version)::float8 FROM ${s}.migrations`))
        assert.strictEqual(versions[0]?.[0], 4)
        const indexes = yield* Effect.promise(() =>
          sql(`SELECT count(*)::float8 FROM pg_indexes WHERE schemaname = '${options.schema}' AND tablename = 'acts'`)
        )
        assert.strictEqual(indexes[0]?.[0], 9)
      }),
    60_000
  )
})
