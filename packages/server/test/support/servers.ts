/** Servers inside of the test's process, each on a free port and with a ledger of its own. */
import * as Server from "@effect-cycles/server/Server"
import type { StartupError } from "@effect-cycles/server/StartupError"
import type { Store } from "@effect-cycles/server/Storage"
import type { Governing } from "effect-cycles/ledger/Governance"
import { Governance } from "effect-cycles/ledger/Governance"
import type { Ledger } from "effect-cycles/ledger/Ledger"
import type { LedgerStore } from "effect-cycles/ledger/LedgerStore"
import * as Amount from "effect-cycles/protocol/Amount"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

/** What opens the governance plane of these servers. */
export const adminKey = "an admin key of these tests, known to all"

/** What signs the API keys of these servers. */
export const pepper = "a pepper of these tests, known to everybody"

/** A server on a free loopback port, with the ledger behind it at hand; on a memory store unless another is given. */
export const layer = (
  options?: Partial<Server.Options> & { readonly store?: Store }
): Layer.Layer<Server.Server | Ledger | Governance | LedgerStore, StartupError> =>
  Server.layerStandalone({
    port: 0,
    adminKey: Redacted.make(adminKey),
    peppers: [Redacted.make(pepper)],
    store: { store: "memory" },
    ...options
  })

/** A tenant with a budget of 100,000 tokens and a key; gives the secret of the key. */
export const furnish = (
  tenant = "acme",
  settings?: Omit<Parameters<Governing["createApiKey"]>[1], "name">
): Effect.Effect<string, never, Governance> =>
  Effect.gen(function*() {
    const operator = (yield* Governance).asOperator({ actor: "test" })
    yield* operator.createTenant(tenant, { name: tenant })
    yield* operator.createBudget(tenant, { scope: `tenant:${tenant}`, allocated: Amount.tokens(100_000) })
    const { secret } = yield* operator.createApiKey(tenant, { name: "test", ...settings })
    return Redacted.value(secret)
  }).pipe(Effect.orDie)
