import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import { assert, describe, it } from "@effect/vitest"
import { Action, Amount, Governance, Ledger, LedgerStore } from "effect-cycles"
import { IdempotencyKey } from "effect-cycles/protocol/Ids"
import { RequestContext } from "effect-cycles/protocol/RequestContext"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import Database from "libsql"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const at = (filename: string) =>
  Governance.layer({ peppers: [Redacted.make("pepper".repeat(8))] }).pipe(
    Layer.provideMerge(Ledger.layer()),
    Layer.provideMerge(LedgerStoreSqlite.layer({ filename }))
  )

/** What the first version of the tables had of the logs. */
const downgrade = (filename: string): void => {
  const db = new Database(filename)
  const columns = {
    events: ["at", "type", "scope", "trace", "correlation"],
    acts: ["at", "operation", "resource_type", "resource_id", "key_id", "status", "trace", "request"]
  }
  for (const [table, names] of Object.entries(columns)) {
    for (const name of names) {
      db.exec(`DROP INDEX ${table}_${name === "at" ? "time" : name}`)
    }
    for (const name of names) db.exec(`ALTER TABLE ${table} DROP COLUMN ${name}`)
  }
  db.exec("PRAGMA user_version = 1")
  db.close()
}

describe("a file of the first version", () => {
  it.live("is brought to this one when it is opened, and its history is found like any other", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "upgrade "))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
      )
      const filename = join(folder, "ledger.db")
      const look = Effect.gen(function*() {
        const operator = (yield* Governance.Governance).asOperator({ actor: "ops" })
        return {
          events: (yield* operator.events({ limit: 2_000 })).events,
          denials: (yield* operator.events({ type: "reservation.denied", limit: 2_000 })).events,
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
        yield* Effect.forEach(Array.from({ length: 1_500 }, (_, i) => i), (i) =>
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
      }).pipe(Effect.provide(at(filename), { local: true }))
      assert.lengthOf(before.denials, 1_500)
      assert.lengthOf(before.byRequest, 1)
      assert.lengthOf(before.refused, 1)
      downgrade(filename)
      const after = yield* Effect.provide(look, at(filename), { local: true })
      assert.deepStrictEqual(after, before)
      // Opened again, there is nothing left to do.
      const again = yield* Effect.provide(
        Effect.flatMap(LedgerStore.LedgerStore, (store) => store.eventLog({ by: "time", isDown: true, limit: 1 })),
        at(filename),
        { local: true }
      )
      assert.deepStrictEqual(again[0], before.events[0])
    }))
})
