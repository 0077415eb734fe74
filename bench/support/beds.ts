/** What a ledger can lie on, each time a fresh one. */
import { LedgerStorePostgres } from "@effect-cycles/postgres"
import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import type { LedgerStore } from "effect-cycles"
import { LedgerStoreMemory } from "effect-cycles"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Server } from "../../packages/postgres/test/support/server.ts"
import { makeServer, unavailable } from "../../packages/postgres/test/support/server.ts"

export { unavailable }

export interface SqliteAddress {
  readonly _tag: "sqlite"
  readonly folder: string
  readonly filename: string
  readonly synchronous: "full" | "normal"
}

export interface PostgresAddress {
  readonly _tag: "postgres"
  readonly url: string
  readonly path: string
  readonly schema: string
}

/** Where rows are; plain data, so that another process can be told. */
export type Address = { readonly _tag: "memory" } | SqliteAddress | PostgresAddress

export interface Bed {
  readonly name: string
  readonly fresh: () => Promise<Address>
}

export const storeOf = (address: Address): Layer.Layer<LedgerStore.LedgerStore, unknown> => {
  switch (address._tag) {
    case "memory":
      return Layer.fresh(LedgerStoreMemory.layer)
    case "sqlite":
      return LedgerStoreSqlite.layer({ filename: address.filename, synchronous: address.synchronous })
    case "postgres":
      return LedgerStorePostgres.layer({
        url: Redacted.make(address.url),
        path: address.path,
        schema: address.schema
      })
  }
}

const memory: Bed = { name: "memory", fresh: () => Promise.resolve({ _tag: "memory" }) }

const sqlite = (synchronous: "full" | "normal"): Bed => ({
  name: `sqlite ${synchronous}`,
  fresh: () => {
    const folder = mkdtempSync(join(tmpdir(), "effect-cycles-bench-"))
    return Promise.resolve({ _tag: "sqlite", folder, filename: join(folder, "ledger.db"), synchronous })
  }
})

let server: Promise<Server> | undefined
let schemas = 0

/** A server as it is installed, synced to the disk, on a socket of its own. */
const postgres: Bed = {
  name: "postgres",
  fresh: async () => {
    server ??= makeServer({ durable: true })
    const { socket, url } = await server
    return {
      _tag: "postgres",
      url: url(),
      path: socket,
      schema: `bench_${schemas++}`
    }
  }
}

export const beds: ReadonlyArray<Bed> = [memory, sqlite("full"), sqlite("normal"), postgres]

export const connect = (address: PostgresAddress) =>
  PgConnection.make({ url: Redacted.make(address.url), path: address.path, multiplex: true })

/** One value, asked for on a connection of its own. */
export const ask = (address: PostgresAddress, sql: string): Promise<unknown> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.map(
        Effect.flatMap(connect(address), (connection) => connection.queryValues(sql)),
        (rows) => rows[0]?.[0]
      )
    )
  )

/** Removes what a load has left behind. */
export const remove = async (address: Address): Promise<void> => {
  if (address._tag === "sqlite") rmSync(address.folder, { recursive: true, force: true })
  if (address._tag === "postgres") await ask(address, `DROP SCHEMA ${address.schema} CASCADE`)
}

/** Stops what was started. */
export const dispose = async (): Promise<void> => {
  if (server !== undefined) await (await server).dispose()
}
