import { CyclesClient, Handlers } from "@effect-cycles/http"
import { AuthorityConformance } from "@effect-cycles/testing"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Ledger, LedgerStoreMemory } from "effect-cycles"
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { watch } from "./support.ts"

// The port's own suite, unchanged: client, a socket on the loopback interface, handlers, ledger. A key is its tenant's name.
const layerOf: AuthorityConformance.LayerOf = (setup) =>
  Layer.effect(
    AuthorityConformance.Harness,
    Effect.gen(function*() {
      const ledger = yield* Ledger.Ledger
      for (const { tenant, ...budget } of setup.budgets) yield* ledger.createBudget(tenant, budget)
      const node = watch.node(createServer())
      yield* Layer.build(
        Handlers.serve({
          authenticate: (key) => {
            const tenant = Redacted.value(key)
            return Effect.succeed({ tenant, authority: ledger.as({ tenant }) })
          }
        }).pipe(Layer.provide(NodeHttpServer.layer(() => node, { port: 0, host: "127.0.0.1" })))
      )
      const baseUrl = `http://127.0.0.1:${(node.address() as AddressInfo).port}`
      const context = yield* Layer.build(FetchHttpClient.layer)
      const clients = new Map<string, Operations>()
      const authorityOf = (tenant: string): Operations => {
        const known = clients.get(tenant)
        if (known !== undefined) return known
        const made = Effect.runSync(
          Effect.provideContext(CyclesClient.make({ baseUrl, apiKey: Redacted.make(tenant) }), context)
        )
        clients.set(tenant, made)
        return made
      }
      return {
        authorityOf,
        advance: (ms: number) => TestClock.adjust(ms),
        setStatus: (tenant: string, request) => Effect.asVoid(ledger.updateBudget(tenant, request)),
        createPolicy: (tenant: string, policy) => Effect.asVoid(ledger.createPolicy(tenant, policy))
      }
    })
  ).pipe(
    Layer.provide(Layer.effect(Ledger.Ledger, Ledger.make(setup))),
    Layer.provide(LedgerStoreMemory.layer)
  )

AuthorityConformance.suite("A ledger behind HTTP", layerOf, { policies: true })
