/**
 * A `LedgerStore` in a SQLite file: a durable ledger inside of a process, with no service to start. Several processes of one
 * machine can share a file; each change of one is seen by the next transaction of every other.
 *
 * @since 0.1.0
 */
import type { Operations } from "effect-cycles/ledger/LedgerStore"
import { LedgerStore } from "effect-cycles/ledger/LedgerStore"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Connection from "./Connection.ts"
import type * as SqliteError from "./SqliteError.ts"
import * as Store from "./Store.ts"

/**
 * Where the file is and what it promises.
 *
 * - `filename`: the file, made where there is none; `:memory:` for a ledger that ends with its scope
 * - `synchronous`: `full`, the default, has every change on the disk before it is answered. `normal` may lose the last changes when
 *   the machine loses power or crashes, though never when only the process does, and never leaves half of one. `off` leaves
 *   even that to luck, and is for tests. The event loop goes on while `full` and `normal` wait for the disk; with `off`, and in
 *   `:memory:`, a transaction is a synchronous step
 * - `lockTimeoutMs`: how long to wait for another process's transaction; 10,000 when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly filename: string
  readonly synchronous?: "full" | "normal" | "off" | undefined
  readonly lockTimeoutMs?: number | undefined
}

/**
 * Opens a store. The scope closes it.
 *
 * Time is the `Clock`'s, and never before a tenant's last change, whichever process made it. Fails with `SqliteError` where the file
 * cannot be used; nothing is changed in a file that is not a ledger's, or a later version's.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(options: Options): Effect.fn.Return<Operations, SqliteError.SqliteError, Scope.Scope> {
    const connection = yield* Connection.open({
      filename: options.filename,
      synchronous: options.synchronous ?? "full",
      lockTimeoutMs: options.lockTimeoutMs ?? 10_000
    })
    return Store.make(connection, options.filename)
  }
)

/**
 * Provides a store in a SQLite file.
 *
 * **Example** (A ledger that ends with its scope; give a path for one that stays)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Amount, Ledger } from "effect-cycles"
 * import { LedgerStoreSqlite } from "@effect-cycles/sqlite"
 *
 * const program = Effect.gen(function*() {
 *   const ledger = yield* Ledger.Ledger
 *   const balance = yield* ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.usd(10) })
 *   return Amount.format(balance.remaining)
 * }).pipe(
 *   Effect.provide(Ledger.layer().pipe(Layer.provide(LedgerStoreSqlite.layer({ filename: ":memory:" }))))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => $10.00
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<LedgerStore, SqliteError.SqliteError> =>
  Layer.effect(LedgerStore, make(options))
