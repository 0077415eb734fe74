/**
 * `cycles init`: a tenant, a budget and a key in one go.
 *
 * @internal
 */
import type { AnyAmount } from "effect-cycles/protocol/Amount"
import * as Amount from "effect-cycles/protocol/Amount"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Amounts from "./Amounts.ts"
import { call, command, read } from "./client.ts"
import { Connection } from "./Connection.ts"
import * as Output from "./Output.ts"
import * as Views from "./Views.ts"

const PATH = "/v1/admin/budgets"

/** What is small enough to try with, in the words of the library. */
const estimateOf = ({ unit }: AnyAmount): string => {
  switch (unit) {
    case "USD_MICROCENTS":
      return "Amount.usd(\"0.01\")"
    case "TOKENS":
      return "Amount.tokens(1_000)"
    case "CREDITS":
      return "Amount.credits(1)"
    case "RISK_POINTS":
      return "Amount.riskPoints(1)"
  }
}

const environment = (url: string, tenant: string, secret: string): string =>
  [`CYCLES_BASE_URL=${url}`, `CYCLES_TENANT=${tenant}`, `CYCLES_API_KEY=${secret}`].join("\n")

/** The first program there is to write; what it prints is "done". */
const snippet = (budget: AnyAmount): string =>
  `import { CyclesClient } from "@effect-cycles/http"
import { Effect, Layer } from "effect"
import { Action, Amount, Budget } from "effect-cycles"
import { FetchHttpClient } from "effect/http"

const program = Budget.guard(
  { subject: { agent: "first" }, action: Action.make("llm.completion", "gpt-4o"), estimate: ${estimateOf(budget)} },
  (r) => Effect.succeed(r.commit(${estimateOf(budget)}, "done"))
)

const live = Budget.layer().pipe(
  Layer.provideMerge(CyclesClient.layerConfig()),
  Layer.provide(FetchHttpClient.layer)
)

console.log(await Effect.runPromise(Effect.provide(program, live)))`

export const init = command(
  "init",
  {
    tenant: Argument.String("tenant").pipe(
      Argument.withDescription("The tenant's id: 3 to 64 of a to z, 0 to 9 and -")
    ),
    ...Amounts.flags,
    name: Flag.String("name").pipe(Flag.withDescription("What people call it; the id when not given"), Flag.optional),
    keyName: Flag.String("key-name").pipe(Flag.withDescription("What the key is called"), Flag.withDefault("init"))
  },
  Effect.fnUntraced(function*({ keyName, name, tenant, ...amounts }) {
    const allocated = Option.getOrElse(yield* Amounts.maybe(amounts), (): AnyAmount => Amount.usd(10))
    const scope = `tenant:${tenant}`
    const made = yield* call({
      method: "POST",
      path: "/v1/admin/tenants",
      body: { tenant_id: tenant, name: Option.getOrElse(name, () => tenant) }
    })
    const opened = yield* call({
      method: "POST",
      path: PATH,
      body: { tenant_id: tenant, scope, unit: allocated.unit, allocated }
    }).pipe(
      // A second init makes a second key; what there is to spend stays as it is.
      Effect.catchIf(({ code }) => code === "DUPLICATE_RESOURCE", () =>
        call({
          method: "GET",
          path: `${PATH}/lookup`,
          query: { tenant_id: tenant, scope, unit: allocated.unit }
        }))
    )
    const key = yield* call({
      method: "POST",
      path: "/v1/admin/api-keys",
      body: { tenant_id: tenant, name: keyName }
    })
    const budget = yield* read(Views.Budget)(opened)
    const { key_secret } = yield* read(Views.NewKey)(key)
    const { isLocal, url } = yield* Connection
    const env = environment(url, tenant, key_secret)
    yield* Output.print(
      {
        tenant: made,
        budget: opened,
        key,
        env: { CYCLES_BASE_URL: url, CYCLES_TENANT: tenant, CYCLES_API_KEY: key_secret }
      },
      (paint) =>
        [
          `${paint("green", "Ready")}: ${tenant} may spend ${Amount.format(budget.remaining)} on ${scope}.`,
          "",
          paint("dim", "# .env, with the secret that is shown this once"),
          env,
          "",
          paint("dim", "// first.ts"),
          snippet(allocated),
          ...(isLocal ? ["", paint("dim", "# and the server for it: cycles serve")] : [])
        ].join("\n")
    )
  })
).pipe(
  Command.withDescription("Make a tenant, a budget and a key in one go, and print what to paste"),
  Command.withExamples([
    { command: "cycles init acme --usd 100" },
    { command: "cycles init acme --tokens 1_000_000 --url http://127.0.0.1:7878" }
  ])
)
