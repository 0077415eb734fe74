/**
 * Who may spend what: tenants, API keys, budgets, policies, and the audit of every act.
 *
 * `Governance.asOperator` governs every tenant, `Governance.as` what a tenant's principal may govern of its own. Both have the same
 * operations, so a service can hand either to the same code. `Governance.authenticate` turns the secret of an API key into the
 * principal it stands for; `Ledger.as` makes that an authority, and `Governance.layerAuthority` is both at once.
 *
 * A `Ledger` opens budgets and policies too. That is for the program that owns it, to furnish what it runs on: nobody is asked
 * for a permission, and the acts are the operator's. Both are the same commands, decided by the same rules.
 *
 * Every act is audited in its own transaction, done or refused; reads are no acts.
 *
 * **Example** (From a tenant to its first hold)
 *
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { Action, Amount, Governance, Ledger, LedgerStoreMemory } from "effect-cycles"
 * import { IdempotencyKey } from "effect-cycles/protocol/Ids"
 *
 * const program = Effect.gen(function*() {
 *   const governance = yield* Governance.Governance
 *   const operator = governance.asOperator({ actor: "ops" })
 *   yield* operator.createTenant("acme", { name: "Acme Corporation" })
 *   yield* operator.createBudget("acme", { scope: "tenant:acme", allocated: Amount.tokens(5_000) })
 *   const { secret } = yield* operator.createApiKey("acme", { name: "production" })
 *
 *   const principal = yield* governance.authenticate(secret)
 *   const authority = (yield* Ledger.Ledger).as(principal)
 *   const reply = yield* authority.reserve({
 *     idempotencyKey: IdempotencyKey.make("first"),
 *     subject: { agent: "writer" },
 *     action: Action.make("llm.completion", "gpt-4o"),
 *     estimate: Amount.tokens(1_000)
 *   })
 *   return reply.decision
 * })
 *
 * const layer = Governance.layer({ peppers: [Redacted.make("thirty-two or more secret characters")] }).pipe(
 *   Layer.provideMerge(Ledger.layer()),
 *   Layer.provide(LedgerStoreMemory.layer)
 * )
 *
 * console.log(await Effect.runPromise(Effect.provide(program, layer))) // => "ALLOW"
 * ```
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Unit } from "../protocol/Amount.ts"
import type { Balance, BalancesQuery } from "../protocol/Balance.ts"
import type { BudgetAuthority } from "../protocol/BudgetAuthority.ts"
import type {
  Context as ErrorContext,
  ReadError,
  ReleaseError,
  TenantClosed,
  Trouble
} from "../protocol/CyclesError.ts"
import { AuthorityUnavailable, InvalidRequest, NotFound, Unauthorized } from "../protocol/CyclesError.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import { RequestContext } from "../protocol/RequestContext.ts"
import type { ReservationRecord, ReservationsPage, ReservationsQuery } from "../protocol/ReservationRecord.ts"
import type { ReleaseReply, ReleaseRequest } from "../protocol/Settle.ts"
import * as ApiSecret from "./ApiSecret.ts"
import type { ActsPage, AuditLogQuery, AuditQuery } from "./AuditQuery.ts"
import { isPast, matches } from "./AuditQuery.ts"
import * as Authority from "./Authority.ts"
import type { Asked } from "./Budgeting.ts"
import * as Budgeting from "./Budgeting.ts"
import type { Engine } from "./Engine.ts"
import { submit } from "./Engine.ts"
import type { EventQuery, EventsPage } from "./EventQuery.ts"
import { categoryOf, fromId } from "./EventQuery.ts"
import type { ApiKeysQuery, BudgetsQuery, PoliciesQuery, TenantsQuery } from "./Finding.ts"
import * as Finding from "./Finding.ts"
import * as History from "./History.ts"
import type { BudgetError, PolicyError } from "./Ledger.ts"
import { layerAuthority as ledgerAuthority, Ledger } from "./Ledger.ts"
import type { StoreError } from "./LedgerStore.ts"
import type {
  Act,
  ApiKeyRow,
  BudgetRow,
  BudgetStatus,
  Document,
  FundReply,
  LedgerEvent,
  PolicyRow,
  TenantProfile,
  TenantRow
} from "./Model.ts"
import { recordKey } from "./Model.ts"
import * as Observing from "./Observing.ts"
import { covers, defaults, permissions } from "./Permission.ts"
import * as Policing from "./Policing.ts"
import type { PolicyChange, PolicyOptions } from "./PolicyShape.ts"
import type { Permission, Principal } from "./Principal.ts"
import type { Refusal } from "./Refusal.ts"
import { toError } from "./Refusal.ts"
import type { BudgetOptions, Cause, Deed, FundRequest, LimitState, UpdateRequest } from "./rules/Command.ts"
import type { ApiKeySettings, Order, Registration, TenantSettings } from "./rules/Order.ts"
import { balanceOf } from "./rules/Showing.ts"
import { reaches } from "./rules/Standing.ts"
import type { Found } from "./Searching.ts"
import { digestOf, flawedTenantId, flaws, invalidPage, invalidTenant } from "./Shapes.ts"

export type { FundOperation } from "./rules/Command.ts"
export type {
  Act,
  ActsPage,
  ApiKeySettings,
  ApiKeysQuery,
  AuditLogQuery,
  AuditQuery,
  BudgetOptions,
  BudgetsQuery,
  EventQuery,
  EventsPage,
  Found,
  FundReply,
  FundRequest,
  LimitState,
  PoliciesQuery,
  PolicyChange,
  PolicyOptions,
  PolicyRow,
  TenantSettings,
  TenantsQuery,
  UpdateRequest
}

/**
 * Who governs all tenants.
 *
 * - `actor`: what entries and acts name as the cause
 * - `permissions`: what may be done, in the words of `Permission`; everything when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Operator {
  readonly actor: string
  readonly permissions?: ReadonlySet<Permission> | undefined
}

/**
 * A registered tenant. Times are Unix milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tenant extends TenantProfile {
  readonly tenant: string
}

/**
 * An API key as it is shown: never its secret, nor what the secret is compared with. `EXPIRED` is an active one whose time is over.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApiKey extends Omit<ApiKeyRow, "_tag" | "hash" | "status"> {
  readonly status: "ACTIVE" | "REVOKED" | "EXPIRED"
}

/**
 * What the secret of a key is good for: the key, where the secret is right, and why it is good for nothing, if that is so.
 *
 * - `reason`: `NOT_FOUND` of an unknown secret and of a wrong one alike; `TENANT_SUSPENDED` of a key that can still settle what was
 *   reserved
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, operation `validateApiKey`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inspection {
  readonly key: ApiKey | undefined
  readonly reason: "NOT_FOUND" | "REVOKED" | "EXPIRED" | "TENANT_SUSPENDED" | "TENANT_CLOSED" | undefined
}

/**
 * A key that was just made. The secret is shown this once; nobody can show it again.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewApiKey {
  readonly key: ApiKey
  readonly secret: Redacted.Redacted<string>
}

/**
 * A budget as those see it who govern it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Budget extends
  Pick<
    BudgetRow,
    "id" | "tenant" | "status" | "limits" | "overagePolicy" | "period" | "metadata" | "createdAtMs" | "updatedAtMs"
  >
{
  readonly balance: Balance
}

/**
 * Which budget, and why something is done to it (at most 512 characters, for the audit).
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetName {
  readonly scope: string
  readonly unit: Unit
  readonly reason?: string | undefined
}

/**
 * Where a page begins and how long it is: after the last id of the page before; 100 rows when not given.
 *
 * @category models
 * @since 0.1.0
 */
export interface PageOptions {
  readonly after?: string | undefined
  readonly limit?: number | undefined
}

/**
 * How all tenants stand, and what the last hour saw.
 *
 * - `asOfMs`, `windowMs`: when it was computed, and of how long before that events are counted; in milliseconds
 * - `tenants`: the registered ones by their status
 * - `budgets`: of all tenants, by status and by unit; how many are over their limit, and how many owe something
 * - `overLimit`, `inDebt`: ten of those at most, the most indebted first
 * - `events`: how many, by category
 * - `denials`, `expiries`: the last ten of these
 * - `denialsByReason`: how many, by `reason_code`
 * - `policies`: how many have a list of the kinds of actions that are allowed, or denied
 *
 * @category models
 * @since 0.1.0
 */
export interface Overview {
  readonly asOfMs: number
  readonly windowMs: number
  readonly tenants: { readonly [S in TenantProfile["status"]]: number }
  readonly budgets: {
    readonly byStatus: { readonly [S in BudgetStatus]: number }
    readonly byUnit: ReadonlyMap<string, number>
    readonly overLimit: number
    readonly inDebt: number
  }
  readonly overLimit: ReadonlyArray<Budget>
  readonly inDebt: ReadonlyArray<Budget>
  readonly events: ReadonlyMap<string, number>
  readonly denials: ReadonlyArray<LedgerEvent>
  readonly expiries: ReadonlyArray<LedgerEvent>
  readonly denialsByReason: ReadonlyMap<string, number>
  readonly policies: { readonly allowing: number; readonly denying: number }
}

/**
 * What governing tenants and keys can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type GovernanceError = Trouble | NotFound | TenantClosed

/**
 * What can be governed, in the name of an operator or a principal.
 *
 * A principal governs budgets and policies of its own tenant, and reads their history, where its permissions and its scope filter
 * let it; tenants, keys and the audit are an operator's. Whatever is missing is named by `Forbidden`. A closed tenant takes no change (`TenantClosed`); reading it stays
 * possible.
 *
 * @category models
 * @since 0.1.0
 */
export interface Governing extends History.Questions {
  /** Registers a tenant: 3 to 64 of a to z, 0 to 9 and `-`. Repeating it under the same name changes nothing. */
  readonly createTenant: (
    tenant: string,
    options: TenantSettings & { readonly name: string }
  ) => Effect.Effect<Tenant, GovernanceError>
  /** The same, and whether the tenant was not there before. */
  readonly registerTenant: (
    tenant: string,
    options: TenantSettings & { readonly name: string }
  ) => Effect.Effect<{ readonly tenant: Tenant; readonly isNew: boolean }, GovernanceError>
  /** Changes what is given, its status with the rest or not at all; see {@link Governing.closeTenant} for what closing does. */
  readonly updateTenant: (
    tenant: string,
    settings: TenantSettings & { readonly status?: TenantProfile["status"] | undefined }
  ) => Effect.Effect<Tenant, GovernanceError>
  /** From now on the tenant gets no new holds; those it has can be settled and extended. */
  readonly suspendTenant: (tenant: string) => Effect.Effect<Tenant, GovernanceError>
  /** Ends a suspension. */
  readonly reactivateTenant: (tenant: string) => Effect.Effect<Tenant, GovernanceError>
  /**
   * Closes a tenant for good: releases its open holds, closes its budgets and revokes its keys, all at once. Repeating it changes
   * nothing.
   */
  readonly closeTenant: (tenant: string) => Effect.Effect<Tenant, GovernanceError>
  /** One registered tenant; `NotFound` where it is not, even if it has budgets. */
  readonly tenant: (tenant: string) => Effect.Effect<Tenant, GovernanceError>
  /** The registered tenants by id. */
  readonly tenants: (
    options?: PageOptions & {
      readonly status?: TenantProfile["status"] | undefined
      readonly parent?: string | undefined
    }
  ) => Effect.Effect<ReadonlyArray<Tenant>, Trouble>
  /**
   * The registered tenants a query asks for, a page at a time. Sorted by anything but their id, all that match are read for each
   * page.
   */
  readonly findTenants: (query: TenantsQuery) => Effect.Effect<Found<Tenant>, Trouble>

  /**
   * Makes a key of a registered tenant. It lives 90 days when no `expiresAtMs` is given, and may do what `Permission.defaults` says when no permissions
   * are.
   */
  readonly createApiKey: (
    tenant: string,
    options: ApiKeySettings & { readonly name: string; readonly expiresAtMs?: number | undefined }
  ) => Effect.Effect<NewApiKey, GovernanceError>
  /** Changes what is given; binds from the key's next operation on. A revoked or expired key is `InvalidRequest`. */
  readonly updateApiKey: (
    tenant: string,
    id: string,
    settings: ApiKeySettings
  ) => Effect.Effect<ApiKey, GovernanceError>
  /**
   * Revokes a key for good, from its next operation on. Repeating it changes nothing; with `once` it is `InvalidRequest`, its
   * `details.conflict` KEY_REVOKED.
   */
  readonly revokeApiKey: (
    tenant: string,
    id: string,
    options?: { readonly reason?: string | undefined; readonly once?: boolean | undefined }
  ) => Effect.Effect<ApiKey, GovernanceError>
  /**
   * Makes a new key of the same rights and the same length of life. The old one is revoked, or, with an `overlapMs`, expires then.
   */
  readonly rotateApiKey: (
    tenant: string,
    id: string,
    options?: { readonly overlapMs?: number | undefined }
  ) => Effect.Effect<NewApiKey, GovernanceError>
  /** One key of the tenant, revoked and expired ones too. */
  readonly apiKey: (tenant: string, id: string) => Effect.Effect<ApiKey, GovernanceError>
  /** The tenant's keys by id. */
  readonly apiKeys: (tenant: string, options?: PageOptions) => Effect.Effect<ReadonlyArray<ApiKey>, Trouble>
  /**
   * The keys a query asks for, a page at a time. Where no tenant is named, those of every tenant, one tenant after the other. Sorted by
   * anything but tenant and id, all that match are read for each page.
   */
  readonly findApiKeys: (query: ApiKeysQuery) => Effect.Effect<Found<ApiKey>, Trouble>
  /** Whose key it is. */
  readonly ownerOfApiKey: (id: string) => Effect.Effect<string, Trouble | NotFound>
  /** What the secret of a key is good for now; nothing comes of having asked. */
  readonly inspectApiKey: (secret: Redacted.Redacted<string>) => Effect.Effect<Inspection, Trouble>

  /** Opens a budget. A second one on the same scope and unit is `InvalidRequest`. */
  readonly createBudget: (tenant: string, budget: BudgetOptions) => Effect.Effect<Budget, BudgetError>
  /** Credits, debits, resets or repays. Idempotent by key, scope and unit. */
  readonly fund: (tenant: string, request: FundRequest) => Effect.Effect<FundReply, BudgetError>
  /** Changes overdraft limit, overage policy, limits or metadata, also of a frozen budget. */
  readonly updateBudget: (
    tenant: string,
    request: Omit<UpdateRequest, "status" | "from">
  ) => Effect.Effect<Budget, BudgetError>
  /** No more holds, events and funding; holds that were given can be settled. One that is frozen already is `BudgetFrozen`. */
  readonly freezeBudget: (tenant: string, budget: BudgetName) => Effect.Effect<Budget, BudgetError>
  /** Ends a freeze. A budget that is active is `InvalidRequest`. */
  readonly unfreezeBudget: (tenant: string, budget: BudgetName) => Effect.Effect<Budget, BudgetError>
  /** Closes a budget for good. */
  readonly closeBudget: (tenant: string, budget: BudgetName) => Effect.Effect<Budget, BudgetError>
  /** One budget as it stands now. */
  readonly budget: (tenant: string, budget: BudgetName) => Effect.Effect<Budget, BudgetError>
  /** The tenant's budgets with all of the query's segments, by scope and unit, from the one after `after`. */
  readonly budgets: (
    tenant: string,
    options?: {
      readonly query?: Omit<BalancesQuery, "cursor" | "limit"> | undefined
      readonly after?: BudgetName | undefined
      readonly limit?: number | undefined
    }
  ) => Effect.Effect<ReadonlyArray<Budget>, Trouble>

  /**
   * The budgets a query asks for, a page at a time; a principal's are its own tenant's. Where no tenant is named, those of every tenant,
   * one tenant after the other. Sorted by anything but tenant, scope and unit, all that match are read for each page.
   *
   * `needs` is the permission it takes, `budgets:read` when not given.
   */
  readonly findBudgets: (
    query: BudgetsQuery,
    needs?: "budgets:read" | "balances:read"
  ) => Effect.Effect<Found<Budget>, Trouble>

  /** Where the limits of a budget stand. */
  readonly limits: (tenant: string, budget: BudgetName) => Effect.Effect<ReadonlyArray<LimitState>, BudgetError>

  /** Creates a policy. A second one of the same name is `InvalidRequest`, and so is one more than 1,000. */
  readonly createPolicy: (tenant: string, policy: PolicyOptions) => Effect.Effect<PolicyRow, PolicyError>
  /** Changes a policy, from the next hold on; holds already taken keep what they were given. */
  readonly updatePolicy: (tenant: string, id: string, change: PolicyChange) => Effect.Effect<PolicyRow, PolicyError>
  /** Deletes a policy and returns it as it was. */
  readonly deletePolicy: (tenant: string, id: string) => Effect.Effect<PolicyRow, PolicyError>
  /** The tenant's policies by id; of those, a scope filter shows the ones whose pattern passes. */
  readonly policies: (tenant: string, options?: PageOptions) => Effect.Effect<ReadonlyArray<PolicyRow>, Trouble>
  /** Those of them a query asks for, a page at a time. */
  readonly findPolicies: (tenant: string, query: PoliciesQuery) => Effect.Effect<Found<PolicyRow>, Trouble>
  /** Whose policy it is; a principal knows only its own tenant's. */
  readonly ownerOfPolicy: (id: string) => Effect.Effect<string, Trouble | NotFound>

  /**
   * What was done and refused in governing the tenant, numbered above `after`, oldest first; of that, what meets the query. At most
   * `limit` acts, 1,000 when not given; an act's `number` is the cursor to go on from.
   *
   * There is no index for what a query leaves out: it is read too, 1,000 acts in a transaction.
   */
  readonly acts: (
    tenant: string,
    options?: AuditQuery & { readonly after?: number | undefined; readonly limit?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<Act>, Trouble>
  /** The same as a stream that ends with the last act there is. */
  readonly audit: (
    tenant: string,
    options?: AuditQuery & { readonly after?: number | undefined }
  ) => Stream.Stream<Act, Trouble>
  /** The audit of all tenants, or of one, in the order asked for; the newest acts first when nothing is. */
  readonly auditLog: (query?: AuditLogQuery) => Effect.Effect<ActsPage, Trouble>

  /**
   * The events of all tenants, or of one, in the order asked for; the newest first when nothing is. A principal sees those of its own
   * tenant that are about budgets, reservations and the tenant itself, where its scope filter reaches.
   */
  readonly events: (query?: EventQuery) => Effect.Effect<EventsPage, Trouble>
  /** One event, by the id of `EventQuery.idOf`. */
  readonly event: (id: string) => Effect.Effect<LedgerEvent, Trouble | NotFound>
  /** How all tenants stand. It reads all of them, of budgets and of policies, a thousand at a time. */
  readonly overview: Effect.Effect<Overview, Trouble>

  /** A tenant's reservations, for an operator. */
  readonly reservations: (
    tenant: string,
    query?: Omit<ReservationsQuery, "tenant">
  ) => Effect.Effect<ReservationsPage, Trouble>
  /** Whose reservation it is, for an operator. */
  readonly ownerOfReservation: (id: ReservationId) => Effect.Effect<string, Trouble | NotFound>
  /** A reservation of whatever tenant, for an operator. One that has expired is `ReservationExpired`. */
  readonly reservation: (id: ReservationId) => Effect.Effect<ReservationRecord, ReadError>
  /**
   * Releases a reservation of whatever tenant in its place, and audits that in the same transaction, once: a repeated key
   * answers as before and leaves nothing.
   */
  readonly releaseReservation: (
    id: ReservationId,
    request: ReleaseRequest
  ) => Effect.Effect<ReleaseReply, ReleaseError>
}

/**
 * What governance offers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operations {
  /** Governs every tenant. */
  readonly asOperator: (operator: Operator) => Governing
  /** Governs what a principal may govern of its own tenant. */
  readonly as: (principal: Principal) => Governing
  /**
   * Whom the secret of an API key stands for. An unknown secret and a wrong one are the same `Unauthorized`, after the same time. A
   * key that was revoked or has expired is `Unauthorized`, now and in every later operation of the principal.
   */
  readonly authenticate: (
    secret: Redacted.Redacted<string>
  ) => Effect.Effect<Principal & { readonly keyId: string }, Unauthorized | AuthorityUnavailable>
}

/**
 * How governance works.
 *
 * - `peppers`: what API keys are signed with, each of at least 32 characters. The first signs new keys; the others are for keys that
 *   were made under them, so that a pepper can be replaced while its keys live on
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly peppers: readonly [
    newest: Redacted.Redacted<string>,
    ...older: ReadonlyArray<Redacted.Redacted<string>>
  ]
}

/**
 * Tenants, API keys, budgets, policies and their audit.
 *
 * @category services
 * @since 0.1.0
 */
export class Governance extends Context.Service<Governance, Operations>()("effect-cycles/ledger/Governance") {}

/** Whose acts they are that are about no tenant a ledger could have. Source: schema `AuditLogEntry`, `tenant_id`. */
const NOBODY = "__admin__"
/** What tenants are told of. Source: operation `listTenantEvents`. */
const TENANT_CATEGORIES = new Set(["budget", "reservation", "tenant"])
const KEY_LIFE_MS = 90 * 86_400_000
const PAGE = 100
const AUDIT_PAGE = 1_000

type Caller = Partial<Pick<Principal, "tenant" | "keyId" | "scopeFilter">> & {
  readonly actor: string
  readonly permissions?: ReadonlySet<Permission> | undefined
}

const governing = (engine: Engine, peppers: ApiSecret.Peppers, caller: Caller): Governing => {
  const causeFor = (tenant: string, needs: Permission): Effect.Effect<Cause> =>
    Effect.map(RequestContext, ({ requestId, traceId }) => {
      const owner = caller.tenant ?? tenant
      return {
        tenant: invalidTenant(owner) === undefined ? owner : NOBODY,
        actor: caller.actor,
        // What a tenant may do itself, an operator does in its place.
        actorType: caller.tenant !== undefined
          ? "api_key"
          : needs.startsWith("admin:")
          ? "admin"
          : "admin_on_behalf_of",
        requestId,
        traceId,
        balances: true,
        keyId: caller.keyId,
        needs,
        scopeFilter: caller.scopeFilter,
        registered: true
      }
    })

  /** What keeps the caller from doing it at all; its key's own word is looked at in the transaction. */
  const barred = (tenant: string, needs: Permission, who: Who): Refusal | undefined => {
    if (caller.tenant !== undefined && caller.tenant !== tenant) {
      return { code: "FORBIDDEN", reason: "it belongs to another tenant" }
    }
    if (caller.tenant !== undefined && who === "operators") {
      return {
        code: "FORBIDDEN",
        reason: `only an operator may do this, with the permission ${needs}`,
        details: { permission: needs, suggestion: "Ask an operator to do it" }
      }
    }
    return caller.permissions !== undefined && !covers(caller.permissions, needs)
      ? { code: "FORBIDDEN", reason: `the permission ${needs} is missing`, details: { permission: needs } }
      : invalidTenant(tenant)
  }

  const act = <A, E>(
    tenant: string,
    needs: Permission,
    who: Who,
    then: (cause: Cause, now: number) => Asked
  ): Effect.Effect<A, E> =>
    Effect.flatMap(Effect.all([causeFor(tenant, needs), Clock.currentTimeMillis]), ([base, now]) => {
      const { cause, command } = then(base, now)
      const refusal = barred(tenant, needs, who)
      return submit<A, E>(engine, cause, refusal === undefined ? command : Result.fail(refusal))
    })

  /** An order of governance; one without a deed is a read. */
  const order = <A>(
    tenant: string,
    needs: Permission,
    deed: Deed | undefined,
    make: (now: number) => Result.Result<Order, Refusal>,
    who: Who = "operators"
  ): Effect.Effect<A, GovernanceError> =>
    act<A, GovernanceError>(tenant, needs, who, (base, now) => {
      const cause = { ...base, deed }
      return { cause, command: Result.map(make(now), (order) => ({ _tag: "Govern", cause, order })) }
    })

  const read = <A, E = never>(
    tenant: string,
    needs: Permission,
    who: Who,
    page: Parameters<typeof invalidPage>[0],
    then: (cause: Cause) => Effect.Effect<A, Trouble | E>
  ): Effect.Effect<A, Trouble | E> =>
    Effect.flatMap(causeFor(tenant, needs), (cause) => {
      const refusal = barred(tenant, needs, who) ?? invalidPage(page)
      // What keeps a caller from reading is one of the errors every operation can have.
      return refusal === undefined ? then(cause) : Effect.fail(toError(refusal, cause) as Trouble)
    })

  const changeTenant = (tenant: string, operation: string, then: () => Result.Result<Order, Refusal>, details = {}) =>
    Effect.map(
      order<TenantProfile>(tenant, "admin:tenants:write", aboutTenant(operation, tenant, details), then),
      (profile): Tenant => ({ tenant, ...profile })
    )

  const changeStatus = (operation: string, status: TenantProfile["status"]) => (tenant: string) =>
    changeTenant(tenant, operation, () => Result.succeed({ _tag: "SetTenantStatus", status }), { status })

  const shown = (row: ApiKeyRow): Effect.Effect<ApiKey> => Effect.map(Clock.currentTimeMillis, (now) => keyOf(row, now))

  const newKey = (made: ApiSecret.Made, row: Effect.Effect<ApiKeyRow, GovernanceError>) =>
    Effect.map(Effect.flatMap(row, shown), (key): NewApiKey => ({ key, secret: made.secret }))

  const changeStatusOf = (
    operation: string,
    status: BudgetStatus,
    from: BudgetStatus | undefined
  ) =>
  (tenant: string, { reason, scope, unit }: BudgetName) =>
    Effect.map(
      act<BudgetRow, BudgetError>(
        tenant,
        "admin:budgets:write",
        "principals",
        (cause, now) => Budgeting.update(cause, { scope, unit, status, from, reason }, now, operation)
      ),
      budgetOf
    )

  /** Whose reservation it is. */
  const holderOf = (id: ReservationId): Effect.Effect<string | undefined, AuthorityUnavailable> =>
    Effect.catch(engine.store.ownerOf(id), unavailable)

  /** What is read of all tenants, beside their transactions. */
  const observe = <A>(
    asked: Result.Result<Effect.Effect<A, StoreError>, Refusal>,
    cause: Cause
  ): Effect.Effect<A, Trouble> =>
    Result.isFailure(asked)
      ? Effect.fail(toError(asked.failure, cause) as Trouble)
      : Effect.catch(asked.success, unavailable)

  /** One transaction's acts that meet the query, and after which to go on, if there may be more. */
  const audited = (
    tenant: string,
    query: AuditQuery,
    after: number,
    size = AUDIT_PAGE,
    page: Parameters<typeof invalidPage>[0] = undefined
  ) =>
    read(
      tenant,
      "admin:audit:read",
      "operators",
      page,
      (cause) =>
        Effect.map(engine.list(cause, (tx) => tx.acts(tenant, after, size)), (page) => {
          const last = page[page.length - 1]
          return {
            found: page.filter((act) => matches(query, act)),
            next: last === undefined || page.length < size || isPast(query, last) ? undefined : last.number
          }
        })
    )

  const acts: Governing["acts"] = (tenant, { after = 0, limit = AUDIT_PAGE, ...query } = {}) => {
    const size = Object.keys(query).length === 0 ? Math.min(limit, AUDIT_PAGE) : AUDIT_PAGE
    const from = (after: number, before: ReadonlyArray<Act>): Effect.Effect<ReadonlyArray<Act>, Trouble> =>
      Effect.flatMap(audited(tenant, query, after, size, { after, limit }), ({ found, next }) => {
        const all = [...before, ...found]
        return next === undefined || all.length >= limit ? Effect.succeed(all.slice(0, limit)) : from(next, all)
      })
    return from(after, [])
  }

  /** A tenant's policies by id, of those the caller may see. */
  const policiesAfter = (cause: Cause, after: string, limit: number) =>
    engine.list(cause, (tx, view) => {
      const seen: Array<PolicyRow> = []
      const next = (after: string): Effect.Effect<ReadonlyArray<PolicyRow>, StoreError> =>
        Effect.flatMap(tx.documents(cause.tenant, "policy", after, limit), (rows) => {
          for (const row of rows) {
            if (row._tag === "policy" && seen.length < limit && reaches(view, cause, row.scopePattern)) seen.push(row)
          }
          const last = rows[rows.length - 1]
          return last === undefined || rows.length < limit || seen.length === limit
            ? Effect.succeed(seen)
            : next(last.id)
        })
      return next(after)
    })

  const documentsAfter = (tenant: string, kind: Document["_tag"], after: string, limit: number) =>
    Effect.flatMap(
      causeFor(tenant, "admin:apikeys:read"),
      (cause) => engine.list(cause, (tx) => tx.documents(tenant, kind, after, limit))
    )

  const namesAfter = (after: string, limit: number) =>
    Effect.map(
      Effect.catch(engine.store.tenants(after, limit), unavailable),
      (rows) => rows.map(({ tenant }) => tenant)
    )

  /** A page of a list, or why there is none. */
  const page = <A>(cause: Cause, found: Result.Result<Effect.Effect<A, Trouble>, Refusal>): Effect.Effect<A, Trouble> =>
    // A list is refused for what is asked of it.
    Result.isSuccess(found) ? found.success : Effect.fail(toError(found.failure, cause) as Trouble)

  const ownerOf = (kind: Document["_tag"], id: string, cause: Cause): Effect.Effect<string, Trouble | NotFound> =>
    Effect.flatMap(Effect.catch(engine.store.find(kind, id), unavailable), (row) =>
      row === undefined
        ? Effect.fail(
          new NotFound({ ...idsOf(cause), reason: `there is no ${kind === "policy" ? "policy" : "key"} ${id}` })
        )
        : Effect.succeed(row.tenant))

  const register: Governing["registerTenant"] = (tenant, options) =>
    Effect.map(
      order<Registration>(
        tenant,
        "admin:tenants:write",
        aboutTenant("createTenant", tenant, detailsOf(options)),
        () =>
          checked(flawedTenantId(tenant) ?? flawed(flaws.tenant(options)) ?? unnamed(options.name), {
            _tag: "CreateTenant",
            name: options.name,
            settings: options
          })
      ),
      ({ isNew, profile }) => ({ tenant: { tenant, ...profile }, isNew })
    )

  return {
    createTenant: (tenant, options) => Effect.map(register(tenant, options), ({ tenant }) => tenant),
    registerTenant: register,
    updateTenant: (tenant, settings) =>
      changeTenant(
        tenant,
        "updateTenant",
        () => {
          const { status, ...rest } = settings
          return checked(flawed(flaws.tenant(settings)), { _tag: "UpdateTenant", settings: rest, status })
        },
        { ...detailsOf(settings), status: settings.status }
      ),
    suspendTenant: changeStatus("suspendTenant", "SUSPENDED"),
    reactivateTenant: changeStatus("reactivateTenant", "ACTIVE"),
    closeTenant: changeStatus("closeTenant", "CLOSED"),
    tenant: (tenant) =>
      Effect.map(
        order<TenantProfile>(tenant, "admin:tenants:read", undefined, () => Result.succeed({ _tag: "ReadTenant" })),
        (profile) => ({ tenant, ...profile })
      ),
    tenants: (options) =>
      read(caller.tenant ?? NOBODY, "admin:tenants:read", "operators", options, () => {
        const limit = options?.limit ?? PAGE
        const found: Array<Tenant> = []
        const next = (after: string): Effect.Effect<ReadonlyArray<Tenant>, StoreError> =>
          Effect.flatMap(engine.store.tenants(after, PAGE), (rows) => {
            for (const row of rows) {
              const tenant = tenantOf(row)
              if (
                tenant !== undefined && found.length < limit &&
                (options?.status === undefined || tenant.status === options.status) &&
                (options?.parent === undefined || tenant.parent === options.parent)
              ) found.push(tenant)
            }
            const last = rows[rows.length - 1]
            return last === undefined || rows.length < PAGE || found.length === limit
              ? Effect.succeed(found)
              : next(last.tenant)
          })
        return Effect.catch(next(options?.after ?? ""), unavailable)
      }),
    findTenants: (query) =>
      read(caller.tenant ?? NOBODY, "admin:tenants:read", "operators", undefined, (cause) => {
        const tenants = Finding.tenants<Tenant>(query, (after, limit) =>
          Effect.map(engine.store.tenants(after, limit), (rows) =>
            rows.map((row) => tenantOf(row) ?? row.tenant)))
        return page(
          cause,
          Result.map(tenants, (tenants) =>
            Effect.catch(tenants, unavailable))
        )
      }),

    createApiKey: (tenant, options) =>
      Effect.suspend(() => {
        const made = ApiSecret.make(peppers)
        const { description, expiresAtMs, metadata, name, permissions, scopeFilter } = options
        return newKey(
          made,
          order<ApiKeyRow>(
            tenant,
            "admin:apikeys:write",
            aboutKey("createApiKey", made.id, { name, permissions, scope_filter: scopeFilter }),
            (now) =>
              checked(flawed(flaws.apiKey(options)) ?? unnamed(name) ?? flawedTime("expiresAtMs", expiresAtMs), {
                _tag: "CreateApiKey",
                key: {
                  _tag: "api_key",
                  tenant,
                  id: made.id,
                  prefix: made.prefix,
                  hash: made.hash,
                  status: "ACTIVE",
                  name,
                  description,
                  permissions: permissions ?? defaults,
                  scopeFilter: scopeFilter ?? [],
                  metadata,
                  createdAtMs: now,
                  expiresAtMs: expiresAtMs ?? now + KEY_LIFE_MS,
                  revokedAtMs: undefined,
                  revokedReason: undefined
                }
              })
          )
        )
      }),
    updateApiKey: (tenant, id, settings) =>
      Effect.flatMap(
        order<ApiKeyRow>(
          tenant,
          "admin:apikeys:write",
          aboutKey("updateApiKey", id, {
            name: settings.name,
            permissions: settings.permissions,
            scope_filter: settings.scopeFilter
          }),
          () => checked(flawed(flaws.apiKey(settings)), { _tag: "UpdateApiKey", id, settings })
        ),
        shown
      ),
    revokeApiKey: (tenant, id, options) =>
      Effect.flatMap(
        order<ApiKeyRow>(
          tenant,
          "admin:apikeys:write",
          aboutKey("revokeApiKey", id, { reason: options?.reason }),
          () =>
            checked(flawed(flaws.reason(options ?? {})), {
              _tag: "RevokeApiKey",
              id,
              reason: options?.reason,
              once: options?.once === true
            })
        ),
        shown
      ),
    rotateApiKey: (tenant, id, options) =>
      Effect.suspend(() => {
        const made = ApiSecret.make(peppers)
        const overlapMs = options?.overlapMs ?? 0
        return newKey(
          made,
          order<ApiKeyRow>(
            tenant,
            "admin:apikeys:write",
            aboutKey("rotateApiKey", id, { next_key_id: made.id, overlap_ms: overlapMs }),
            () =>
              checked(flawedTime("overlapMs", overlapMs), {
                _tag: "RotateApiKey",
                id,
                next: { id: made.id, prefix: made.prefix, hash: made.hash },
                overlapMs
              })
          )
        )
      }),
    apiKey: (tenant, id) =>
      Effect.flatMap(
        order<ApiKeyRow>(
          tenant,
          "admin:apikeys:read",
          undefined,
          () => Result.succeed({ _tag: "ReadApiKey", id })
        ),
        shown
      ),
    apiKeys: (tenant, options) =>
      read(tenant, "admin:apikeys:read", "operators", options, (cause) =>
        Effect.flatMap(
          engine.list(cause, (tx) => tx.documents(tenant, "api_key", options?.after ?? "", options?.limit ?? PAGE)),
          (rows) => Effect.forEach(rows.filter((row) => row._tag === "api_key"), shown)
        )),
    findApiKeys: (query) =>
      read(
        query.tenant ?? caller.tenant ?? NOBODY,
        "admin:apikeys:read",
        "operators",
        undefined,
        (cause) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            page(
              cause,
              Finding.apiKeys<ApiKey, Trouble>(
                query,
                namesAfter,
                (tenant, after, limit) =>
                  Effect.map(
                    documentsAfter(tenant, "api_key", after, limit),
                    (rows) => rows.flatMap((row) => row._tag === "api_key" ? [keyOf(row, now)] : [])
                  )
              )
            ))
      ),
    ownerOfApiKey: (id) =>
      read(
        caller.tenant ?? NOBODY,
        "admin:apikeys:read",
        "operators",
        undefined,
        (cause) => ownerOf("api_key", id, cause)
      ),
    inspectApiKey: (secret) =>
      read(caller.tenant ?? NOBODY, "admin:apikeys:read", "operators", undefined, () =>
        Effect.gen(function*() {
          const row = yield* keyOfSecret(engine, peppers, secret)
          if (row === undefined) return { key: undefined, reason: "NOT_FOUND" }
          const key = yield* shown(row)
          if (key.status !== "ACTIVE") return { key, reason: key.status }
          const cause = yield* causeFor(row.tenant, "admin:apikeys:read")
          const status = yield* engine.list(
            cause,
            (_, view) => Effect.succeed(view.tenant(row.tenant)?.profile?.status)
          )
          return { key, reason: status === "ACTIVE" || status === undefined ? undefined : `TENANT_${status}` }
        })),

    createBudget: (tenant, budget) =>
      Effect.map(
        act<BudgetRow, BudgetError>(
          tenant,
          "budgets:write",
          "principals",
          (cause, now) => Budgeting.create(cause, budget, now)
        ),
        budgetOf
      ),
    fund: (tenant, request) =>
      act<FundReply, BudgetError>(tenant, "budgets:write", "principals", (cause) => Budgeting.fund(cause, request)),
    updateBudget: (tenant, { limits, metadata, overagePolicy, overdraftLimit, reason, scope, unit }) =>
      Effect.map(
        act<BudgetRow, BudgetError>(
          tenant,
          "admin:budgets:write",
          "principals",
          (cause, now) =>
            Budgeting.update(cause, {
              scope,
              unit,
              overagePolicy,
              overdraftLimit,
              metadata,
              limits,
              reason
            }, now)
        ),
        budgetOf
      ),
    freezeBudget: changeStatusOf("freezeBudget", "FROZEN", "ACTIVE"),
    unfreezeBudget: changeStatusOf("unfreezeBudget", "ACTIVE", "FROZEN"),
    closeBudget: changeStatusOf("closeBudget", "CLOSED", undefined),
    budget: (tenant, { scope, unit }) =>
      Effect.map(
        act<BudgetRow, BudgetError>(tenant, "budgets:read", "principals", (cause) => ({
          cause,
          command: Budgeting.read(cause, scope, unit)
        })),
        budgetOf
      ),
    budgets: (tenant, options) =>
      read(tenant, "budgets:read", "principals", options, (cause) => {
        const after = options?.after
        const rows = Authority.visible<BalancesQuery, BudgetRow>(cause, options?.query ?? {}, {
          after: after === undefined ? undefined : [after.scope, after.unit],
          limit: options?.limit ?? PAGE
        }, {
          read: (tx, query, page) => tx.budgets(tenant, query, page),
          path: (row) => row.scope,
          position: (row) => [row.scope, row.unit]
        })
        return Effect.map(engine.list(cause, rows), (found) => found.map(budgetOf))
      }),

    findBudgets: (query, needs = "budgets:read") => {
      const tenant = query.tenant ?? caller.tenant
      return read(tenant ?? NOBODY, needs, "principals", undefined, (cause) =>
        Effect.map(
          page(
            cause,
            Finding.budgets<Trouble>({ ...query, tenant }, namesAfter, (tenant, after, limit) =>
              Effect.flatMap(causeFor(tenant, needs), (cause) =>
                engine.list(
                  cause,
                  Authority.visible<BalancesQuery, BudgetRow>(cause, {}, { after, limit }, {
                    read: (tx, query, page) =>
                      tx.budgets(tenant, query, page),
                    path: (row) =>
                      row.scope,
                    position: (row) => [row.scope, row.unit]
                  })
                )))
          ),
          ({ cursor, items }) => ({ cursor, items: items.map(budgetOf) })
        ))
    },

    limits: (tenant, { scope, unit }) =>
      act<ReadonlyArray<LimitState>, BudgetError>(tenant, "budgets:read", "principals", (cause) => ({
        cause,
        command: Budgeting.readLimits(cause, scope, unit)
      })),

    createPolicy: (tenant, policy) =>
      act(tenant, "policies:write", "principals", (cause, now) => Policing.create(cause, policy, now)),
    updatePolicy: (tenant, id, change) =>
      act(tenant, "policies:write", "principals", (cause) => Policing.update(cause, id, change)),
    deletePolicy: (tenant, id) =>
      act(tenant, "policies:write", "principals", (cause, now) => Policing.remove(cause, id, now)),
    policies: (tenant, options) =>
      read(
        tenant,
        "policies:read",
        "principals",
        options,
        (cause) => policiesAfter(cause, options?.after ?? "", options?.limit ?? PAGE)
      ),
    findPolicies: (tenant, query) =>
      read(
        tenant,
        "policies:read",
        "principals",
        undefined,
        (cause) =>
          page(cause, Finding.policies<Trouble>(query, tenant, (_, after, limit) => policiesAfter(cause, after, limit)))
      ),
    ownerOfPolicy: (id) =>
      caller.tenant === undefined
        ? read(NOBODY, "policies:read", "principals", undefined, (cause) => ownerOf("policy", id, cause))
        : Effect.succeed(caller.tenant),

    ...History.questionsOf((tenant, body) =>
      read(
        tenant,
        "budgets:read",
        "principals",
        undefined,
        (cause) => engine.list(cause, (tx, view) => body(tx, view, (path) => reaches(view, cause, path)))
      )
    ),

    auditLog: (query = {}) =>
      read(
        query.tenant ?? caller.tenant ?? NOBODY,
        "admin:audit:read",
        "operators",
        { limit: query.limit },
        (cause) => observe(Observing.acts(engine.store, query), cause)
      ),
    events: (query = {}) =>
      read(
        query.tenant ?? caller.tenant ?? NOBODY,
        "events:read",
        "principals",
        { limit: query.limit },
        (cause) => {
          const { tenant } = caller
          if (tenant === undefined) return observe(Observing.events(engine.store, query, () => true), cause)
          // The key is looked at as in any other operation of its own.
          return Effect.flatMap(engine.list(cause, (_, view) => Effect.succeed(view)), (view) => {
            const isFiltered = caller.keyId !== undefined || caller.scopeFilter !== undefined
            const isVisible = (event: LedgerEvent): boolean => {
              if (!TENANT_CATEGORIES.has(categoryOf(event))) return false
              // A denial at a wide scope tells of the narrow one that asked.
              const path = event.details["scope_path"] ?? event.scope
              return !isFiltered || reaches(view, cause, typeof path === "string" ? path : "")
            }
            return observe(Observing.events(engine.store, { ...query, tenant }, isVisible), cause)
          })
        }
      ),
    event: (id) => {
      const named = fromId("evt", id)
      const tenant = named !== undefined && invalidTenant(named.tenant) === undefined ? named.tenant : NOBODY
      return read(tenant, "admin:events:read", "operators", undefined, (cause) =>
        Effect.flatMap(
          named === undefined
            ? Effect.succeed(undefined)
            : Effect.catch(Observing.event(engine.store, tenant, named.number), unavailable),
          (found): Effect.Effect<LedgerEvent, Trouble | NotFound> =>
            found === undefined
              ? Effect.fail(toError({ code: "NOT_FOUND", reason: `there is no event ${id}` }, cause) as NotFound)
              : Effect.succeed(found)
        ))
    },
    overview: read(caller.tenant ?? NOBODY, "admin:read", "operators", undefined, () =>
      Effect.catch(
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.map(Observing.overview(engine.store, now), (seen): Overview => ({
            asOfMs: now,
            windowMs: Observing.WINDOW_MS,
            tenants: {
              ACTIVE: seen.tenants.get("ACTIVE") ?? 0,
              SUSPENDED: seen.tenants.get("SUSPENDED") ?? 0,
              CLOSED: seen.tenants.get("CLOSED") ?? 0
            },
            budgets: {
              byStatus: {
                ACTIVE: seen.budgets.get("ACTIVE") ?? 0,
                FROZEN: seen.budgets.get("FROZEN") ?? 0,
                CLOSED: seen.budgets.get("CLOSED") ?? 0
              },
              byUnit: seen.units,
              overLimit: seen.overLimit.count,
              inDebt: seen.inDebt.count
            },
            overLimit: seen.overLimit.top.map(budgetOf),
            inDebt: seen.inDebt.top.map(budgetOf),
            events: seen.categories,
            denials: seen.denials,
            expiries: seen.expiries,
            denialsByReason: seen.reasons,
            policies: { allowing: seen.allowing, denying: seen.denying }
          }))),
        unavailable
      )),

    reservations: (tenant, query = {}) =>
      read(tenant, "reservations:list", "operators", undefined, () =>
        Authority.make({
          principal: { tenant, actor: caller.actor, permissions: caller.permissions },
          maxExtensions: 0,
          engine
        }).reservations({ ...query, tenant })),
    ownerOfReservation: (id) =>
      Effect.flatMap(
        holderOf(id),
        (owner) =>
          read(owner ?? NOBODY, "reservations:list", "operators", undefined, (cause) =>
            owner === undefined
              ? Effect.fail(new NotFound({ ...idsOf(cause), reason: `there is no reservation ${id}` }))
              : Effect.succeed(owner))
      ),
    reservation: (id) =>
      Effect.flatMap(
        holderOf(id),
        (owner = NOBODY) =>
          read(owner, "reservations:list", "operators", undefined, (cause) =>
            engine.execute<ReservationRecord, ReadError>({ _tag: "Read", cause, id }))
      ),
    releaseReservation: (id, request) =>
      Effect.flatMap(
        holderOf(id),
        (owner = NOBODY) =>
          act<ReleaseReply, ReleaseError>(owner, "reservations:release", "operators", (base) => {
            const cause: Cause = {
              ...base,
              deed: {
                operation: "releaseReservation",
                resourceType: "reservation",
                resourceId: id,
                details: { reason: request.reason }
              }
            }
            const refusal = flawed(flaws.release(request))
            return {
              cause,
              command: refusal === undefined
                ? Result.map(digestOf({ id, request }), (digest) => ({
                  _tag: "Release",
                  cause,
                  record: recordKey(owner, "release", request.idempotencyKey),
                  digest,
                  id,
                  request
                }))
                : Result.fail(refusal)
            }
          })
      ),

    acts,
    audit: (tenant, { after = 0, ...query } = {}) =>
      Stream.paginate(
        after,
        (after: number) =>
          Effect.map(
            audited(tenant, query, after),
            ({ found, next }) => [found, Option.fromUndefinedOr(next)] as const
          )
      )
  }
}

/** Principals may do it in their own tenant; or only operators, who may do everything. */
type Who = "operators" | "principals"

const aboutTenant = (operation: string, tenant: string, details: Deed["details"]): Deed => ({
  operation,
  resourceType: "tenant",
  resourceId: tenant,
  details
})

const aboutKey = (operation: string, id: string, details: Deed["details"]): Deed => ({
  operation,
  resourceType: "api_key",
  resourceId: id,
  details
})

const detailsOf = (settings: TenantSettings): Deed["details"] => ({
  name: settings.name,
  parent_tenant_id: settings.parent ?? undefined,
  default_commit_overage_policy: settings.overagePolicy,
  default_reservation_ttl_ms: settings.defaultTtlMs,
  max_reservation_ttl_ms: settings.maxTtlMs,
  max_reservation_extensions: settings.maxExtensions,
  reservation_expiry_policy: settings.expiryPolicy
})

const flawed = (flaw: { readonly field: string; readonly reason: string } | undefined): Refusal | undefined =>
  flaw === undefined ? undefined : { code: "INVALID_REQUEST", ...flaw }

const unnamed = (name: string | undefined): Refusal | undefined =>
  name === undefined ? { code: "INVALID_REQUEST", field: "name", reason: "must be given" } : undefined

const flawedTime = (field: string, ms: number | undefined): Refusal | undefined =>
  ms === undefined || (Number.isSafeInteger(ms) && ms >= 0)
    ? undefined
    : { code: "INVALID_REQUEST", field, reason: "must be a whole number of milliseconds, at least 0" }

const checked = (refusal: Refusal | undefined, order: Order): Result.Result<Order, Refusal> =>
  refusal === undefined ? Result.succeed(order) : Result.fail(refusal)

// Field by field, so that what is added to a row some day is not shown before somebody thought of it.
const keyOf = (row: ApiKeyRow, now: number): ApiKey => ({
  tenant: row.tenant,
  id: row.id,
  prefix: row.prefix,
  status: row.status === "ACTIVE" && now >= row.expiresAtMs ? "EXPIRED" : row.status,
  name: row.name,
  description: row.description,
  permissions: row.permissions,
  scopeFilter: row.scopeFilter,
  metadata: row.metadata,
  createdAtMs: row.createdAtMs,
  expiresAtMs: row.expiresAtMs,
  revokedAtMs: row.revokedAtMs,
  revokedReason: row.revokedReason
})

const tenantOf = ({ profile, tenant }: TenantRow): Tenant | undefined =>
  profile === undefined ? undefined : { tenant, ...profile }

const budgetOf = (row: BudgetRow): Budget => {
  const { createdAtMs, id, limits, metadata, overagePolicy, period, status, tenant, updatedAtMs } = row
  return {
    id,
    tenant,
    status,
    limits,
    overagePolicy,
    period,
    metadata,
    createdAtMs,
    updatedAtMs,
    balance: balanceOf(row)
  }
}

const idsOf = (
  { requestId, traceId }: { readonly requestId?: string | undefined; readonly traceId?: string | undefined }
): Pick<ErrorContext, "requestId" | "traceId"> => ({
  ...(requestId === undefined ? undefined : { requestId }),
  ...(traceId === undefined ? undefined : { traceId })
})

const unavailable = (error: StoreError): Effect.Effect<never, AuthorityUnavailable> =>
  Effect.fail(new AuthorityUnavailable({ reason: error.message, cause: error.cause }))

/** The key a secret is of, where it is right. */
const keyOfSecret = (
  engine: Engine,
  peppers: ApiSecret.Peppers,
  secret: Redacted.Redacted<string>
): Effect.Effect<ApiKeyRow | undefined, AuthorityUnavailable> =>
  // What has not even the form of a secret is looked up and compared like one, so that it takes as long.
  Effect.map(Effect.catch(engine.store.find("api_key", ApiSecret.idOf(secret) ?? ""), unavailable), (row) => {
    const key = row?._tag === "api_key" ? row : undefined
    return ApiSecret.isRight(peppers, secret, key?.hash) ? key : undefined
  })

const authenticate = (engine: Engine, peppers: ApiSecret.Peppers): Operations["authenticate"] =>
  Effect.fnUntraced(function*(secret) {
    const key = yield* keyOfSecret(engine, peppers, secret)
    const ids = idsOf(yield* RequestContext)
    const no = (reason: string): Unauthorized => new Unauthorized({ reason, ...ids })
    if (key === undefined) return yield* Effect.fail(no("the key is not known"))
    if (key.status !== "ACTIVE") return yield* Effect.fail(no("the key was revoked"))
    if ((yield* Clock.currentTimeMillis) >= key.expiresAtMs) return yield* Effect.fail(no("the key has expired"))
    return {
      tenant: key.tenant,
      actor: key.id,
      keyId: key.id,
      permissions: new Set(permissions.filter((permission) => key.permissions.includes(permission))),
      scopeFilter: key.scopeFilter
    }
  })

/**
 * Makes the governance of a ledger. Fails with `InvalidRequest` when a pepper is shorter than 32 characters.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*({ peppers }: Options): Effect.fn.Return<Operations, InvalidRequest, Ledger> {
    const { engine } = yield* Ledger
    if (peppers.some((pepper) => Redacted.value(pepper).length < ApiSecret.MIN_PEPPER_LENGTH)) {
      return yield* Effect.fail(
        new InvalidRequest({
          field: "peppers",
          reason: `each must have at least ${ApiSecret.MIN_PEPPER_LENGTH} characters`
        })
      )
    }
    return Governance.of({
      asOperator: ({ actor, permissions }) => governing(engine, peppers, { actor, permissions }),
      as: (principal) => governing(engine, peppers, { ...principal, actor: principal.actor ?? principal.tenant }),
      authenticate: authenticate(engine, peppers)
    })
  }
)

/**
 * The governance of the ledger around it. Fails with `InvalidRequest` when a pepper is shorter than 32 characters.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Governance, InvalidRequest, Ledger> =>
  Layer.effect(Governance, make(options))

/**
 * The authority of whom the secret of an API key stands for, on the ledger around it. Requests that name no subject are the
 * tenant's.
 *
 * Fails with `Unauthorized` where the key is not known, was revoked or has expired. What becomes of it later binds the authority
 * from its next operation on.
 *
 * **Example** (A budget for whoever has the key)
 *
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { Amount, BudgetAuthority, Governance, Ledger } from "effect-cycles"
 *
 * const program = Effect.gen(function*() {
 *   const { asOperator } = yield* Governance.Governance
 *   const operator = asOperator({ actor: "ops" })
 *   yield* operator.createTenant("acme", { name: "Acme Corporation" })
 *   const { secret } = yield* operator.createApiKey("acme", { name: "reports", permissions: ["balances:read"] })
 *
 *   const balances = Effect.gen(function*() {
 *     const authority = yield* BudgetAuthority.BudgetAuthority
 *     return (yield* authority.balances({ tenant: "acme" })).balances.length
 *   })
 *   return yield* Effect.provide(balances, Governance.layerAuthority(secret))
 * })
 *
 * const layer = Governance.layer({ peppers: [Redacted.make("thirty-two or more secret characters")] }).pipe(
 *   Layer.provideMerge(
 *     Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] })
 *   )
 * )
 *
 * console.log(await Effect.runPromise(Effect.provide(program, layer))) // => 1
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerAuthority = (
  secret: Redacted.Redacted<string>
): Layer.Layer<BudgetAuthority, Unauthorized | AuthorityUnavailable, Governance | Ledger> =>
  Layer.unwrap(
    Effect.map(
      Effect.flatMap(Governance, ({ authenticate }) => authenticate(secret)),
      ledgerAuthority
    )
  )
