/**
 * A client for each tenant, made when it is first asked for. Only so many are kept; those that nobody uses make room for others.
 *
 * An authority is somebody's, so a service with many tenants has one for each: of a ledger of its own, or with each tenant's key.
 *
 * **Example** (One ledger, many tenants)
 *
 * ```ts
 * import { TenantClients } from "@effect-cycles/web"
 * import { Effect, Layer, ManagedRuntime } from "effect"
 * import { Action, Amount, Ledger, LedgerStoreMemory } from "effect-cycles"
 *
 * const runtime = ManagedRuntime.make(Layer.provide(Ledger.layer(), LedgerStoreMemory.layer))
 * const ledger = await runtime.runPromise(Ledger.Ledger)
 * await runtime.runPromise(ledger.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(1_000) }))
 *
 * const clients = TenantClients.make({
 *   layer: (tenant) => Layer.provide(Ledger.layerAuthority({ tenant }), Layer.succeed(Ledger.Ledger, ledger))
 * })
 * const acme = clients.acquire("acme")
 * console.log((await acme.client.balances({ tenant: "acme" })).balances.length) // => 1
 * acme.free()
 *
 * await clients.close()
 * await runtime.dispose()
 * ```
 *
 * @since 0.1.0
 */
import type { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import type * as Budget from "effect-cycles/runtime/Budget"
import type { PromiseClient } from "effect-cycles/runtime/PromiseClient"
import * as PromiseClients from "effect-cycles/runtime/PromiseClient"
import type * as Layer from "effect/Layer"

/**
 * - `layer`: a tenant's authority. Throw a `MissingTenant` for a tenant you do not know
 * - `budget`: how budgets are asked for where a request does not say
 * - `maximum`: how many clients are kept: beyond it, the one that was not in use for the longest time is closed. 1,000 when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly layer: (tenant: string) => Layer.Layer<BudgetAuthority, unknown>
  readonly budget?: Budget.Options | undefined
  readonly maximum?: number | undefined
}

/**
 * A tenant's client, until it is freed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Lease {
  readonly client: PromiseClient
  /** Says that it is no longer used; once is enough. */
  readonly free: () => void
}

/**
 * @category models
 * @since 0.1.0
 */
export interface TenantClients {
  /** The client of a tenant, which is not closed before it is freed. */
  readonly acquire: (tenant: string) => Lease
  /** Closes all of them, in use or not, and waits for what is under way. */
  readonly close: () => Promise<void>
}

/**
 * Makes the clients' keeper. Throws a `RangeError` for a `maximum` that is no whole number of at least one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): TenantClients => {
  const maximum = options.maximum ?? 1_000
  if (!Number.isSafeInteger(maximum) || maximum < 1) {
    throw new RangeError(`maximum must be a whole number of at least one; got ${maximum}`)
  }
  interface Kept {
    readonly client: PromiseClient
    users: number
  }
  // A map keeps the order of insertion, so the first entries are those used longest ago.
  const kept = new Map<string, Kept>()
  const closing = new Set<Promise<void>>()
  const close = (client: PromiseClient): void => {
    const closed = client.close().finally(() => closing.delete(closed))
    closing.add(closed)
  }
  const makeRoom = (): void => {
    for (const [tenant, { client, users }] of kept) {
      if (kept.size <= maximum) return
      if (users > 0) continue
      kept.delete(tenant)
      close(client)
    }
  }
  return {
    acquire: (tenant) => {
      const found: Kept = kept.get(tenant) ??
        { client: PromiseClients.make({ layer: options.layer(tenant), budget: options.budget }), users: 0 }
      kept.delete(tenant)
      kept.set(tenant, found)
      found.users++
      makeRoom()
      let inUse = true
      return {
        client: found.client,
        free: () => {
          if (!inUse) return
          inUse = false
          found.users--
          makeRoom()
        }
      }
    },
    close: async () => {
      for (const { client } of kept.values()) close(client)
      kept.clear()
      await Promise.all(closing)
    }
  }
}
