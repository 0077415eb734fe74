import { LedgerStorePostgres } from "@effect-cycles/postgres"
import { migrations } from "@effect-cycles/postgres/Tables"
import { assert, it } from "@effect/vitest"
import { Amount, Ledger } from "effect-cycles"
import { emptyTenant } from "effect-cycles/ledger/Model"
import * as RowJson from "effect-cycles/ledger/RowJson"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { withServer } from "./support/stores.ts"

withServer("tables of an earlier version", ({ fresh, sql }) => {
  it.live("are brought to this one with what is in them", () =>
    Effect.gen(function*() {
      const versions = migrations("any").length
      for (let version = 1; version < versions; version++) {
        const options = fresh()
        const s = `"${options.schema}"`
        const steps = migrations(options.schema).slice(0, version)
        yield* Effect.promise(() =>
          sql(
            `CREATE SCHEMA ${s}`,
            `CREATE TABLE ${s}.migrations (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`,
            ...steps.flatMap((statements, i) => [
              ...statements,
              `INSERT INTO ${s}.migrations (version) VALUES (${i + 1})`
            ]),
            `INSERT INTO ${s}.tenants VALUES ('acme', false, '${RowJson.tenant.encode(emptyTenant("acme"))}')`
          )
        )
        const balance = yield* Effect.gen(function*() {
          const ledger = yield* Ledger.Ledger
          yield* ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(10) })
          return yield* ledger.as({ tenant: "acme" }).balances({ tenant: "acme" })
        }).pipe(Effect.provide(Ledger.layer().pipe(Layer.provide(LedgerStorePostgres.layer(options)))))
        assert.strictEqual(balance.balances[0]?.remaining.amount, 10n)
        const applied = yield* Effect.promise(() => sql(`SELECT max(version)::integer FROM ${s}.migrations`))
        assert.deepStrictEqual(applied, [[versions]])
        // The same tables, with the same indexes, as those that begin at this version.
        const made = fresh()
        yield* LedgerStorePostgres.make(made)
        const indexes = (schema: string) =>
          Effect.promise(() =>
            sql(
              `SELECT replace(indexdef, '${schema}', '') FROM pg_indexes WHERE schemaname = '${schema}' ORDER BY indexname`
            )
          )
        assert.deepStrictEqual(yield* indexes(options.schema), yield* indexes(made.schema))
      }
    }), 60_000)
})
