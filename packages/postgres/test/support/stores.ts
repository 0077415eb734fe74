/** Stores for tests, on a server that is there while a test file runs. */
import { LedgerStorePostgres } from "@effect-cycles/postgres"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { describe } from "@effect/vitest"
import { LedgerStore } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { afterAll, beforeAll } from "vitest"
import type { Server } from "./server.ts"
import { makeServer, unavailable } from "./server.ts"

/** The server of a test file. */
export interface Servers {
  readonly server: () => Server
  /** Options of a store in a schema of its own: nobody else's rows are in it. */
  readonly fresh: (
    options?: Partial<LedgerStorePostgres.Options>
  ) => LedgerStorePostgres.Options & { readonly schema: string }
  /** One store that is emptied whenever it is provided, for many short tests one after another; its time is the program's. */
  readonly emptied: Layer.Layer<LedgerStore.LedgerStore>
  /** Runs statements as the superuser; the rows of the last one, by position. */
  readonly sql: (...statements: ReadonlyArray<string>) => Promise<ReadonlyArray<ReadonlyArray<unknown>>>
}

interface Shared {
  readonly scope: Scope.Closeable
  readonly store: LedgerStore.Operations
  readonly empty: Effect.Effect<void>
}

/** A suite that needs a server; without one every test in it is skipped, and says why. */
export const withServer = (
  name: string,
  body: (servers: Servers) => void,
  options: Parameters<typeof makeServer>[0] = {}
): void => {
  describe.skipIf(unavailable !== undefined)(
    `${name}:`,
    { meta: { reason: unavailable ?? "" } },
    () => {
      let running: Server | undefined
      let schemas = 0
      const server = (): Server => {
        if (running === undefined) throw new Error("the server runs while the tests run")
        return running
      }
      let shared: Shared | undefined
      beforeAll(async () => {
        running = await makeServer(options)
      }, 60_000)
      afterAll(async () => {
        if (shared !== undefined) await Effect.runPromise(Scope.close(shared.scope, Exit.void))
        await running?.dispose()
      }, 60_000)
      const url = () => Redacted.make(server().url())
      const run = <A, E>(use: (connection: PgConnection.PgConnection) => Effect.Effect<A, E>) =>
        Effect.scoped(Effect.flatMap(PgConnection.make({ url: url(), multiplex: true }), use))
      // Backends are slow to start, and slow at first.
      const share = Effect.suspend(() => {
        if (shared !== undefined) return Effect.succeed(shared)
        return Effect.gen(function*() {
          const scope = yield* Scope.make()
          const make = LedgerStorePostgres.make({ url: url(), schema: "emptied", clock: "program", lanes: 1 })
          const store = yield* Scope.provide(make, scope)
          const connection = yield* Scope.provide(PgConnection.make({ url: url(), multiplex: true }), scope)
          const tables = yield* connection.queryValues(
            "SELECT format('DELETE FROM %I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = $1 AND tablename <> $2",
            ["emptied", "migrations"]
          )
          const deletions = tables.map(([statement]) => String(statement))
          return shared = {
            scope,
            store,
            empty: Effect.orDie(Effect.forEach(deletions, (statement) => connection.queryValues(statement), {
              concurrency: "unbounded",
              discard: true
            }))
          }
        }).pipe(Effect.orDie)
      })
      body({
        server,
        emptied: Layer.effect(
          LedgerStore.LedgerStore,
          Effect.flatMap(share, ({ empty, store }) => Effect.as(empty, store))
        ),
        fresh: (more) => ({ ...more, url: url(), schema: `test ${++schemas}` }),
        sql: (...statements) =>
          Effect.runPromise(run((connection) =>
            Effect.map(
              Effect.forEach(statements, (statement) => connection.queryValues(statement)),
              (results) => results[results.length - 1] ?? []
            )
          ))
      })
    }
  )
}
