/**
 * The governance plane behind a URL: a client of any server that speaks it, made of the same contract as the handlers.
 *
 * Methods are called what the specification calls the operations, and take and give the wire's own names. Amounts are `bigint`, times
 * Unix milliseconds. Reads, and what can be repeated without harm, are repeated like those of `CyclesClient`; what makes something new
 * is sent once.
 *
 * A key comes from whoever governs: an operator's admin key, or the key of a tenant for what the specification lets tenants do.
 *
 * Errors are those of the core. What stands against a request is an `InvalidRequest` whose `details.conflict` is the server's word for
 * it, for example `DUPLICATE_RESOURCE`.
 *
 * **Example** (A tenant)
 *
 * ```ts no-run
 * import { GovernanceClient } from "@effect-cycles/http"
 * import { Effect, Redacted } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* GovernanceClient.make({
 *     baseUrl: "https://cycles.example.com",
 *     adminKey: Redacted.make("…")
 *   })
 *   const tenant = yield* client.createTenant({ tenant_id: "acme", name: "Acme Corporation" })
 *   return tenant.status
 * }).pipe(Effect.provide(FetchHttpClient.layer))
 * ```
 *
 * @since 0.1.0
 */
import type { CyclesError } from "effect-cycles/protocol/CyclesError"
import { InvalidRequest } from "effect-cycles/protocol/CyclesError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Errors from "./Errors.ts"
import * as ActionKinds from "./governance/ActionKinds.ts"
import * as ApiKeys from "./governance/ApiKeys.ts"
import * as Audit from "./governance/Audit.ts"
import * as Auth from "./governance/Auth.ts"
import * as Budgets from "./governance/Budgets.ts"
import * as Events from "./governance/Events.ts"
import * as Overview from "./governance/Overview.ts"
import * as Policies from "./governance/Policies.ts"
import * as Tenants from "./governance/Tenants.ts"
import { call, type Client, connect, encoder, type Endpoint, type Outgoing, stringify } from "./internal/exchange.ts"

// A part of every supported runtime; declared here so that no platform's types are needed.
declare class URLSearchParams {
  append(name: string, value: string): void
  toString(): string
}

/**
 * Where the server is, and who asks.
 *
 * - `baseUrl`: what comes before `/v1`
 * - `adminKey` or `apiKey`: an operator's key, or a tenant's; visible ASCII characters
 * - `timeout`: for one attempt; 10 seconds when not given
 * - `retries`: how many attempts may follow the first, where asking twice does no harm; 3 when not given
 * - `maxResponseBytes`: how long a reply may be; 4 MiB when not given
 *
 * @category models
 * @since 0.1.0
 */
export type Options =
  & {
    readonly baseUrl: string
    readonly timeout?: Duration.Input | undefined
    readonly retries?: number | undefined
    readonly maxResponseBytes?: number | undefined
  }
  & ({ readonly adminKey: Redacted.Redacted } | { readonly apiKey: Redacted.Redacted })

/**
 * The operations of the governance plane.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operations {
  /** Registers a tenant; one that is there already under the same name is given as it is. */
  readonly createTenant: (request: Tenants.TenantCreateRequest) => Effect.Effect<Tenants.Tenant, CyclesError>
  /** A page of the tenants. */
  readonly listTenants: (
    query?: Tenants.TenantsParameters
  ) => Effect.Effect<Tenants.TenantListResponse, CyclesError>
  /** One tenant. */
  readonly getTenant: (tenantId: string) => Effect.Effect<Tenants.Tenant, CyclesError>
  /** Changes a tenant, and its status: closing is for good. */
  readonly updateTenant: (
    tenantId: string,
    request: Tenants.TenantUpdateRequest
  ) => Effect.Effect<Tenants.Tenant, CyclesError>
  /** A page of the events of all tenants, the newest first. */
  readonly listEvents: (query?: Events.EventsParameters) => Effect.Effect<Events.EventListResponse, CyclesError>
  /** One event. */
  readonly getEvent: (eventId: string) => Effect.Effect<Events.Event, CyclesError>
  /** A page of the events of the key's own tenant, the newest first. */
  readonly listTenantEvents: (
    query?: Events.TenantEventsParameters
  ) => Effect.Effect<Events.EventListResponse, CyclesError>
  /** A page of the audit, the newest acts first. */
  readonly listAuditLogs: (
    query?: Audit.AuditLogsParameters
  ) => Effect.Effect<Audit.AuditLogListResponse, CyclesError>
  /** How all tenants stand. */
  readonly getAdminOverview: Effect.Effect<Overview.AdminOverviewResponse, CyclesError>
  /** A page of the registry of action kinds. */
  readonly listActionKinds: (
    query?: ActionKinds.ActionKindsParameters
  ) => Effect.Effect<ActionKinds.ActionKindRegistry, CyclesError>
  /** One kind of action, by its exact name. */
  readonly getActionKind: (kind: string) => Effect.Effect<ActionKinds.ActionKind, CyclesError>

  /** Makes a key; its secret is shown this once. */
  readonly createApiKey: (
    request: ApiKeys.ApiKeyCreateRequest
  ) => Effect.Effect<ApiKeys.ApiKeyCreateResponse, CyclesError>
  /** A page of the keys, of one tenant or of all. */
  readonly listApiKeys: (
    query?: ApiKeys.ApiKeysParameters
  ) => Effect.Effect<ApiKeys.ApiKeyListResponse, CyclesError>
  /** Changes a key, from its next operation on. */
  readonly updateApiKey: (
    keyId: string,
    request: ApiKeys.ApiKeyUpdateRequest
  ) => Effect.Effect<ApiKeys.ApiKey, CyclesError>
  /** Revokes a key for good. */
  readonly revokeApiKey: (
    keyId: string,
    options?: { readonly reason?: string }
  ) => Effect.Effect<ApiKeys.ApiKey, CyclesError>
  /** What the secret of a key is good for. */
  readonly validateApiKey: (
    request: ApiKeys.ApiKeyValidationRequest
  ) => Effect.Effect<ApiKeys.ApiKeyValidationResponse, CyclesError>

  /** Opens a budget. An operator names the tenant. */
  readonly createBudget: (request: Budgets.BudgetCreateRequest) => Effect.Effect<Budgets.BudgetLedger, CyclesError>
  /** A page of the budgets: of the key's tenant, of the one an operator names, or of all. */
  readonly listBudgets: (
    query?: Budgets.BudgetsParameters
  ) => Effect.Effect<Budgets.BudgetListResponse, CyclesError>
  /** One budget. */
  readonly lookupBudget: (budget: Budgets.BudgetParameters) => Effect.Effect<Budgets.BudgetLedger, CyclesError>
  /** Changes overdraft limit, overage policy or metadata. */
  readonly updateBudget: (
    budget: Budgets.BudgetParameters,
    request: Budgets.BudgetUpdateRequest
  ) => Effect.Effect<Budgets.BudgetLedger, CyclesError>
  /** Credits, debits, resets or repays. An operator names the tenant. It is repeated only where it has an idempotency key. */
  readonly fundBudget: (
    budget: Budgets.FundParameters,
    request: Budgets.BudgetFundingRequest
  ) => Effect.Effect<Budgets.BudgetFundingResponse, CyclesError>
  /** No more holds, events and funding. */
  readonly freezeBudget: (
    budget: Budgets.BudgetParameters,
    request?: Budgets.BudgetStatusTransitionRequest
  ) => Effect.Effect<Budgets.BudgetLedger, CyclesError>
  /** Ends a freeze. */
  readonly unfreezeBudget: (
    budget: Budgets.BudgetParameters,
    request?: Budgets.BudgetStatusTransitionRequest
  ) => Effect.Effect<Budgets.BudgetLedger, CyclesError>
  /** The governance plane's view of the key's tenant's balances, from a server that offers it. */
  readonly getBalances: (
    query?: Budgets.BalancesParameters
  ) => Effect.Effect<Budgets.BalanceListResponse, CyclesError>

  /** Creates a policy. An operator names the tenant. */
  readonly createPolicy: (request: Policies.PolicyCreateRequest) => Effect.Effect<Policies.Policy, CyclesError>
  /** A page of a tenant's policies. An operator names the tenant. */
  readonly listPolicies: (
    query?: Policies.PoliciesParameters
  ) => Effect.Effect<Policies.PolicyListResponse, CyclesError>
  /** Changes a policy, from the next hold on. */
  readonly updatePolicy: (
    policyId: string,
    request: Policies.PolicyUpdateRequest
  ) => Effect.Effect<Policies.Policy, CyclesError>

  /** Whose key this is, and what it is good for. */
  readonly introspectAuth: Effect.Effect<Auth.AuthIntrospectResponse, CyclesError>
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

interface Route {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE"
  readonly path: string
}

/**
 * What an operation sends and what it gets.
 *
 * - `statuses`: of its success; 200 when not given
 * - `isRepeatable`: whether asking twice is like asking once; of a GET when not given
 */
interface Contract<A> {
  readonly reply: Schema.Codec<A, unknown>
  readonly statuses?: ReadonlyArray<number>
  readonly isRepeatable?: boolean
}

const endpoint = <A>(operation: string, route: Route, contract: Contract<A>): Endpoint<A, CyclesError> => ({
  operation,
  method: route.method,
  path: route.path,
  statuses: contract.statuses ?? [200],
  decode: Schema.decodeUnknownResult(contract.reply),
  failure: Errors.fromGovernanceResponse,
  isRepeatable: contract.isRepeatable ?? route.method === "GET"
})

/** The path of an operation, with an id from who knows where in it. */
const pathOf = (path: string, id: string | undefined): Result.Result<string, InvalidRequest> =>
  id === undefined
    ? Result.succeed(path)
    : id === "" || id === "." || id === ".." || /\p{Surrogate}/u.test(id)
    ? Result.fail(new InvalidRequest({ field: "id", reason: "it cannot be part of a URL" }))
    : Result.succeed(path.replace(/:[a-z_]+/, () => encodeURIComponent(id)))

type Parameters = { readonly [name: string]: string | undefined }

const searchOf = (parameters: Parameters): string => {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) search.append(name, value)
  }
  const text = search.toString()
  return text === "" ? "" : `?${text}`
}

/** An operation on what an id or a query names, or on nothing by name. */
const asking = <A, Q>(
  operation: string,
  route: Route,
  query: Schema.Codec<Q, Parameters>,
  contract: Contract<A>
) => {
  const of = endpoint(operation, route, contract)
  const encode = encoder(query)
  return (client: Client) => (given: Q, id?: string): Effect.Effect<A, CyclesError> =>
    Effect.suspend(() =>
      call(
        client,
        of,
        Result.flatMap(
          pathOf(of.path, id),
          (path) => Result.map(encode(given), (parameters): Outgoing => ({ path: `${path}${searchOf(parameters)}` }))
        )
      )
    )
}

/** An operation that sends a body, on what an id or a query names. */
const sending = <A, B, Q>(
  operation: string,
  route: Route,
  body: Schema.Codec<B, unknown>,
  contract: Contract<A>,
  query?: Schema.Codec<Q, Parameters>
) => {
  const of = endpoint(operation, route, contract)
  const encode = encoder(body)
  const encodeQuery = query === undefined ? undefined : encoder(query)
  return (client: Client) =>
  (
    request: B,
    on: { readonly id?: string; readonly query?: Q; readonly isRepeatable?: boolean } = {}
  ): Effect.Effect<A, CyclesError> =>
    Effect.suspend(() => {
      const search = encodeQuery === undefined || on.query === undefined
        ? Result.succeed("")
        : Result.map(encodeQuery(on.query), searchOf)
      return call(
        client,
        on.isRepeatable === true ? { ...of, isRepeatable: true } : of,
        Result.flatMap(pathOf(of.path, on.id), (path) =>
          Result.flatMap(search, (search) =>
            Result.flatMap(encode(request), (encoded) =>
              Result.map(stringify(encoded), (body): Outgoing => ({ path: `${path}${search}`, body })))))
      )
    })
}

const Nothing = Schema.Struct({})

const createTenant = sending("createTenant", Tenants.routes.createTenant, Tenants.TenantCreateRequest, {
  reply: Tenants.Tenant,
  statuses: [201, 200],
  isRepeatable: true
})
const listTenants = asking("listTenants", Tenants.routes.listTenants, Tenants.TenantsParameters, {
  reply: Tenants.TenantListResponse
})
const getTenant = asking("getTenant", Tenants.routes.getTenant, Nothing, { reply: Tenants.Tenant })
const updateTenant = sending("updateTenant", Tenants.routes.updateTenant, Tenants.TenantUpdateRequest, {
  reply: Tenants.Tenant,
  isRepeatable: true
})
const createApiKey = sending("createApiKey", ApiKeys.routes.createApiKey, ApiKeys.ApiKeyCreateRequest, {
  reply: ApiKeys.ApiKeyCreateResponse,
  statuses: [201]
})
const listApiKeys = asking("listApiKeys", ApiKeys.routes.listApiKeys, ApiKeys.ApiKeysParameters, {
  reply: ApiKeys.ApiKeyListResponse
})
const updateApiKey = sending("updateApiKey", ApiKeys.routes.updateApiKey, ApiKeys.ApiKeyUpdateRequest, {
  reply: ApiKeys.ApiKey,
  isRepeatable: true
})
const revokeApiKey = asking("revokeApiKey", ApiKeys.routes.revokeApiKey, ApiKeys.RevokeParameters, {
  reply: ApiKeys.ApiKey
})
const validateApiKey = sending("validateApiKey", ApiKeys.routes.validateApiKey, ApiKeys.ApiKeyValidationRequest, {
  reply: ApiKeys.ApiKeyValidationResponse,
  isRepeatable: true
})
const createBudget = sending("createBudget", Budgets.routes.createBudget, Budgets.BudgetCreateRequest, {
  reply: Budgets.BudgetLedger,
  statuses: [201]
})
const listBudgets = asking("listBudgets", Budgets.routes.listBudgets, Budgets.BudgetsParameters, {
  reply: Budgets.BudgetListResponse
})
const lookupBudget = asking("lookupBudget", Budgets.routes.lookupBudget, Budgets.BudgetParameters, {
  reply: Budgets.BudgetLedger
})
const updateBudget = sending("updateBudget", Budgets.routes.updateBudget, Budgets.BudgetUpdateRequest, {
  reply: Budgets.BudgetLedger,
  isRepeatable: true
}, Budgets.BudgetParameters)
const fundBudget = sending("fundBudget", Budgets.routes.fundBudget, Budgets.BudgetFundingRequest, {
  reply: Budgets.BudgetFundingResponse
}, Budgets.FundParameters)
const freezeBudget = sending("freezeBudget", Budgets.routes.freezeBudget, Budgets.BudgetStatusTransitionRequest, {
  reply: Budgets.BudgetLedger
}, Budgets.BudgetParameters)
const unfreezeBudget = sending("unfreezeBudget", Budgets.routes.unfreezeBudget, Budgets.BudgetStatusTransitionRequest, {
  reply: Budgets.BudgetLedger
}, Budgets.BudgetParameters)
const getBalances = asking("getBalances", Budgets.routes.getBalances, Budgets.BalancesParameters, {
  reply: Budgets.BalanceListResponse
})
const createPolicy = sending("createPolicy", Policies.routes.createPolicy, Policies.PolicyCreateRequest, {
  reply: Policies.Policy,
  statuses: [201]
})
const listPolicies = asking("listPolicies", Policies.routes.listPolicies, Policies.PoliciesParameters, {
  reply: Policies.PolicyListResponse
})
const updatePolicy = sending("updatePolicy", Policies.routes.updatePolicy, Policies.PolicyUpdateRequest, {
  reply: Policies.Policy,
  isRepeatable: true
})
const introspectAuth = asking("introspectAuth", Auth.routes.introspectAuth, Nothing, {
  reply: Auth.AuthIntrospectResponse
})

const listEvents = asking("listEvents", Events.routes.listEvents, Events.EventsParameters, {
  reply: Events.EventListResponse
})
const getEvent = asking("getEvent", Events.routes.getEvent, Nothing, { reply: Events.Event })
const listTenantEvents = asking("listTenantEvents", Events.routes.listTenantEvents, Events.TenantEventsParameters, {
  reply: Events.EventListResponse
})
const listAuditLogs = asking("listAuditLogs", Audit.routes.listAuditLogs, Audit.AuditLogsParameters, {
  reply: Audit.AuditLogListResponse
})
const getAdminOverview = asking("getAdminOverview", Overview.routes.getAdminOverview, Nothing, {
  reply: Overview.AdminOverviewResponse
})
const listActionKinds = asking(
  "listActionKinds",
  ActionKinds.routes.listActionKinds,
  ActionKinds.ActionKindsParameters,
  {
    reply: ActionKinds.ActionKindRegistry
  }
)
const getActionKind = asking("getActionKind", ActionKinds.routes.getActionKind, Nothing, {
  reply: ActionKinds.ActionKind
})

const operations = (client: Client): Operations => ({
  createTenant: (request) => createTenant(client)(request),
  listTenants: (query = {}) => listTenants(client)(query),
  getTenant: (id) => getTenant(client)({}, id),
  updateTenant: (id, request) => updateTenant(client)(request, { id }),
  createApiKey: (request) => createApiKey(client)(request),
  listApiKeys: (query = {}) => listApiKeys(client)(query),
  updateApiKey: (id, request) => updateApiKey(client)(request, { id }),
  revokeApiKey: (id, options = {}) => revokeApiKey(client)(options, id),
  validateApiKey: (request) => validateApiKey(client)(request),
  createBudget: (request) => createBudget(client)(request),
  listBudgets: (query = {}) => listBudgets(client)(query),
  lookupBudget: (budget) => lookupBudget(client)(budget),
  updateBudget: (query, request) => updateBudget(client)(request, { query }),
  fundBudget: (query, request) =>
    fundBudget(client)(request, { query, isRepeatable: request.idempotency_key !== undefined }),
  freezeBudget: (query, request = {}) => freezeBudget(client)(request, { query }),
  unfreezeBudget: (query, request = {}) => unfreezeBudget(client)(request, { query }),
  getBalances: (query = {}) => getBalances(client)(query),
  createPolicy: (request) => createPolicy(client)(request),
  listPolicies: (query = {}) => listPolicies(client)(query),
  updatePolicy: (id, request) => updatePolicy(client)(request, { id }),
  introspectAuth: introspectAuth(client)({}),
  listEvents: (query = {}) => listEvents(client)(query),
  getEvent: (id) => getEvent(client)({}, id),
  listTenantEvents: (query = {}) => listTenantEvents(client)(query),
  listAuditLogs: (query = {}) => listAuditLogs(client)(query),
  getAdminOverview: getAdminOverview(client)({}),
  listActionKinds: (query = {}) => listActionKinds(client)(query),
  getActionKind: (kind) => getActionKind(client)({}, kind)
})
