/**
 * What a server says once it listens; the first time, also how to begin.
 *
 * @internal
 */
import * as Redacted from "effect/Redacted"
import type { Secrets } from "../Secrets.ts"
import type { Store } from "../Storage.ts"
import { databaseFile } from "../Storage.ts"
import { version } from "./version.ts"

export interface Greeting {
  readonly url: string
  readonly adminUrl: string | undefined
  /** Whether the governance plane is at `adminUrl` only. */
  readonly isGovernanceApart: boolean
  readonly store: Store
  readonly secrets: Secrets
}

const storeWords = (store: Store): string => {
  switch (store.store) {
    case "memory":
      return "in memory: what is kept there ends with this process"
    case "sqlite":
      return databaseFile(store.dataDir)
    case "postgres":
      return `PostgreSQL, schema ${store.schema ?? "cycles"}`
  }
}

/** Where somebody on this machine finds it, when it listens on all of its addresses. */
const reachable = (url: string): string => url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")

const begin = (url: string, governanceUrl: string, adminKey: string): string =>
  `To begin: a tenant, a key of it, and a budget of 10 dollars.

  export CYCLES_BASE_URL=${url}
  export CYCLES_ADMIN_API_KEY=${adminKey}

  ask() { curl -fsS "${governanceUrl}$1" -H "X-Admin-API-Key: $CYCLES_ADMIN_API_KEY" -H "Content-Type: application/json" -d "$2"; }
  ask /v1/admin/tenants '{"tenant_id":"acme","name":"Acme"}'
  ask /v1/admin/budgets '{"tenant_id":"acme","scope":"tenant:acme","unit":"USD_MICROCENTS","allocated":{"unit":"USD_MICROCENTS","amount":1000000000}}'
  export CYCLES_API_KEY=$(ask /v1/admin/api-keys '{"tenant_id":"acme","name":"first"}' | sed 's/.*"key_secret":"\\([^"]*\\)".*/\\1/')
  curl -fsS "$CYCLES_BASE_URL/v1/balances?tenant=acme" -H "X-Cycles-API-Key: $CYCLES_API_KEY"

Then, from TypeScript (npm install effect effect-cycles @effect-cycles/http), with the same two variables:

  import { CyclesClient } from "@effect-cycles/http"
  import { Effect, Layer } from "effect"
  import { Action, Amount, Budget } from "effect-cycles"
  import { FetchHttpClient } from "effect/http"

  const answer = Budget.guard(
    { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.usd(0.05) },
    (r) => Effect.succeed(r.commit(Amount.usd(0.02), "the answer of the model"))
  )
  const cycles = Budget.layer().pipe(Layer.provide(CyclesClient.layerConfig()), Layer.provide(FetchHttpClient.layer))
  console.log(await Effect.runPromise(Effect.provide(answer, cycles)))`

/** The words for the standard output. */
export const make = ({ adminUrl, isGovernanceApart, secrets, store, url }: Greeting): string => {
  const { adminKey, isNewAdminKey, kept } = secrets
  const local = reachable(url)
  const lines = [
    `cycles ${version} listens on ${url}`,
    ...(adminUrl === undefined ? [] : [`  admin   ${adminUrl}`]),
    `  ledger  ${storeWords(store)}`,
    `  docs    ${local}/docs`
  ]
  if (!isNewAdminKey) return lines.join("\n")
  const where = kept.length === 0
    ? ["It ends with this process. Set CYCLES_ADMIN_API_KEY to choose one that stays."]
    : [
      "It is kept, with what API keys are signed with, in files that only this user may read:",
      ...kept.map((path) => `  ${path}`),
      "Back them up together with the ledger: without the pepper no API key is good any more."
    ]
  return [
    ...lines,
    "",
    "The operator's key, shown this once:",
    "",
    `  ${Redacted.value(adminKey)}`,
    "",
    ...where,
    "",
    begin(local, isGovernanceApart ? reachable(adminUrl ?? url) : local, Redacted.value(adminKey))
  ].join("\n")
}
