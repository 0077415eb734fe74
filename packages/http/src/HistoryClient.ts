/**
 * Our own operations behind a URL: a client made of the same contract as the handlers, {@link HistoryApi}.
 *
 * Reads, and what can be repeated without harm, are repeated like those of `CyclesClient`; a rotation is sent once. Errors are those
 * of the core. With the admin key, `tenant` has to be named in every request; a tenant's key says itself whose it is.
 *
 * **Example** (Why was this denied?)
 *
 * ```ts no-run
 * import { HistoryClient } from "@effect-cycles/http"
 * import { Effect, Redacted } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* HistoryClient.make({
 *     baseUrl: "https://cycles.example.com",
 *     apiKey: Redacted.make("cyc_live_…")
 *   })
 *   const { denial, lines } = yield* client.explain({ scope: "tenant:acme/agent:writer", unit: "TOKENS" })
 *   return [denial?.text, ...lines.map(({ text }) => text)]
 * }).pipe(Effect.provide(FetchHttpClient.layer))
 * ```
 *
 * @since 0.1.0
 */
import type { CyclesError } from "effect-cycles/protocol/CyclesError"
import { InvalidRequest } from "effect-cycles/protocol/CyclesError"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Errors from "./Errors.ts"
import type { Options } from "./GovernanceClient.ts"
import * as Api from "./HistoryApi.ts"
import type { Client, Endpoint, Outgoing } from "./internal/exchange.ts"
import { call, connect, encoder, stringify } from "./internal/exchange.ts"
import { routes } from "./internal/wire.ts"

export type { Options } from "./GovernanceClient.ts"

// A part of every supported runtime; declared here so that no platform's types are needed.
declare class URLSearchParams {
  append(name: string, value: string): void
  toString(): string
}

/**
 * Whose: the only tenant there can be with a tenant's key, needed with the admin key.
 *
 * @category models
 * @since 0.1.0
 */
export type Whose = typeof Api.VerifyParameters.Type

/**
 * Which budget.
 *
 * @category models
 * @since 0.1.0
 */
export type WhichBudget = typeof Api.LimitsParameters.Type

/**
 * Our own operations.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operations {
  /** Why a balance stands where it stands, and why a hold was last denied there. */
  readonly explain: (query: typeof Api.ExplainParameters.Type) => Effect.Effect<Api.Explanation, CyclesError>
  /** A page of the entries, oldest first. */
  readonly entries: (query: typeof Api.EntriesParameters.Type) => Effect.Effect<Api.EntriesPage, CyclesError>
  /** What was spent over time. */
  readonly spend: (query: typeof Api.SpendParameters.Type) => Effect.Effect<Api.Spending, CyclesError>
  /** Whom spending is put down to. */
  readonly costs: (query: typeof Api.CostParameters.Type) => Effect.Effect<Api.Costs, CyclesError>
  /** Whether the entries add up to the balances. */
  readonly verify: (query: Whose) => Effect.Effect<Api.Verification, CyclesError>
  /** Where the limits of a budget stand. */
  readonly limits: (query: WhichBudget) => Effect.Effect<Api.Limits, CyclesError>
  /** Puts limits on a budget, in place of all it had. */
  readonly setLimits: (query: WhichBudget, change: Api.LimitsChange) => Effect.Effect<Api.Limits, CyclesError>
  /** Closes a budget for good. */
  readonly closeBudget: (
    query: WhichBudget,
    closing?: typeof Api.Closing.Type
  ) => Effect.Effect<Api.ClosedBudget, CyclesError>
  /** Makes a new key of the same rights in the place of another. */
  readonly rotateApiKey: (
    keyId: string,
    query: Whose,
    rotation?: typeof Api.Rotation.Type
  ) => Effect.Effect<Api.RotatedKey, CyclesError>
  /** A policy's limits that the specification has no word for. */
  readonly policyState: (policyId: string, query: Whose) => Effect.Effect<Api.PolicyState, CyclesError>
  /** Changes them, from the next hold on. */
  readonly extendPolicy: (
    policyId: string,
    query: Whose,
    extras: Api.PolicyExtras
  ) => Effect.Effect<Api.PolicyState, CyclesError>
  /** Deletes a policy, and gives it as it was. */
  readonly deletePolicy: (policyId: string, query: Whose) => Effect.Effect<Api.PolicyState, CyclesError>
}

/**
 * A client of the server at a URL.
 *
 * Throws a `RangeError` for options that cannot work, like `CyclesClient.make`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Operations, never, HttpClient.HttpClient> =>
  Effect.map(
    "adminKey" in options
      ? connect({ ...options, apiKey: options.adminKey }, "x-admin-api-key")
      : connect(options),
    operations
  )

// ---------------------------------------------------------------------------------------------------------------------
// operations
// ---------------------------------------------------------------------------------------------------------------------

type Parameters = { readonly [name: string]: string | undefined }

const searchOf = (parameters: Parameters): string => {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) search.append(name, value)
  const text = search.toString()
  return text === "" ? "" : `?${text}`
}

/** A path with an id from who knows where in it. */
const pathOf = (path: string, id: string | undefined): Result.Result<string, InvalidRequest> =>
  id === undefined
    ? Result.succeed(path)
    // In a URL these are not names, even when they are escaped; and half a surrogate pair cannot be escaped.
    : id === "" || id === "." || id === ".." || /\p{Surrogate}/u.test(id)
    ? Result.fail(new InvalidRequest({ field: "id", reason: "it cannot be part of a URL" }))
    : Result.succeed(path.replace(/:[a-z_]+/, () => encodeURIComponent(id)))

interface Asked<Q, B> {
  readonly id?: string
  readonly query: Q
  readonly body?: B
}

const asking = <A, Q, B = never>(
  operation: keyof Operations,
  query: Schema.Codec<Q, Parameters>,
  reply: Schema.Codec<A, unknown>,
  body?: Schema.Codec<B, unknown>
) => {
  const { method, path } = routes[operation]
  const endpoint: Endpoint<A, CyclesError> = {
    operation,
    method,
    path,
    statuses: [200],
    decode: Schema.decodeUnknownResult(reply),
    failure: Errors.fromGovernanceResponse,
    // A second rotation would make a second key, and a second close or deletion would be told that there is nothing left to do.
    isRepeatable: method === "GET" || method === "PUT" || method === "PATCH"
  }
  const encodeQuery = encoder(query)
  const encodeBody = body === undefined ? undefined : encoder(body)
  return (client: Client, asked: Asked<Q, B>): Effect.Effect<A, CyclesError> =>
    Effect.suspend(() => {
      const outgoing = Result.gen(function*() {
        const place = `${yield* pathOf(path, asked.id)}${searchOf(yield* encodeQuery(asked.query))}`
        if (encodeBody === undefined || asked.body === undefined) return { path: place }
        return { path: place, body: yield* stringify(yield* encodeBody(asked.body)) }
      })
      return call<A, CyclesError>(client, endpoint, outgoing satisfies Result.Result<Outgoing, InvalidRequest>)
    })
}

const explain = asking("explain", Api.ExplainParameters, Api.Explanation)
const entries = asking("entries", Api.EntriesParameters, Api.EntriesPage)
const spend = asking("spend", Api.SpendParameters, Api.Spending)
const costs = asking("costs", Api.CostParameters, Api.Costs)
const verify = asking("verify", Api.VerifyParameters, Api.Verification)
const limits = asking("limits", Api.LimitsParameters, Api.Limits)
const setLimits = asking("setLimits", Api.LimitsParameters, Api.Limits, Api.LimitsChange)
const closeBudget = asking("closeBudget", Api.LimitsParameters, Api.ClosedBudget, Api.Closing)
const rotateApiKey = asking("rotateApiKey", Api.VerifyParameters, Api.RotatedKey, Api.Rotation)
const policyState = asking("policyState", Api.VerifyParameters, Api.PolicyState)
const extendPolicy = asking("extendPolicy", Api.VerifyParameters, Api.PolicyState, Api.PolicyExtras)
const deletePolicy = asking("deletePolicy", Api.VerifyParameters, Api.PolicyState)

const operations = (client: Client): Operations => ({
  explain: (query) => explain(client, { query }),
  entries: (query) => entries(client, { query }),
  spend: (query) => spend(client, { query }),
  costs: (query) => costs(client, { query }),
  verify: (query) => verify(client, { query }),
  limits: (query) => limits(client, { query }),
  setLimits: (query, body) => setLimits(client, { query, body }),
  closeBudget: (query, body = {}) => closeBudget(client, { query, body }),
  rotateApiKey: (id, query, body = {}) => rotateApiKey(client, { id, query, body }),
  policyState: (id, query) => policyState(client, { id, query }),
  extendPolicy: (id, query, body) => extendPolicy(client, { id, query, body }),
  deletePolicy: (id, query) => deletePolicy(client, { id, query })
})
