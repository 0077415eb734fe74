/**
 * An authority of one's own: budgets, reservations and their history, kept in a {@link LedgerStore.LedgerStore}.
 *
 * The ledger is the loop around the rule-book: it checks a request's shape, queues it in its tenant's lane, loads what the
 * rules ask for, lets them decide, writes the net change in the same transaction, and builds the typed error at the edge.
 *
 * `Ledger.layerMemory` is all a test or a script needs. `Ledger.layer` works on any store, and `Ledger.as` gives each
 * principal an authority of its own.
 *
 * **Example** (A budget for a script)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const program = Budget.guard(
 *   { subject: { agent: "writer" }, action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *   (r) => Effect.succeed(r.commit(Amount.tokens(420), "a fine answer"))
 * ).pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "a fine answer"
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { AnyAmount, Unit } from "../protocol/Amount.ts"
import { Amount } from "../protocol/Amount.ts"
import type { Balance } from "../protocol/Balance.ts"
import { BalancesQuery } from "../protocol/Balance.ts"
import type { Operations as AuthorityOperations } from "../protocol/BudgetAuthority.ts"
import { BudgetAuthority } from "../protocol/BudgetAuthority.ts"
import type {
  BudgetClosed,
  BudgetExceeded,
  BudgetFrozen,
  BudgetNotFound,
  CyclesError,
  IdempotencyMismatch,
  Trouble,
  UnitMismatch
} from "../protocol/CyclesError.ts"
import { AuthorityUnavailable, InternalError } from "../protocol/CyclesError.ts"
import { DecideRequest } from "../protocol/Decide.ts"
import { EventRequest } from "../protocol/Event.ts"
import { DEFAULT_MAX_EXTENSIONS, ExtendRequest } from "../protocol/Extend.ts"
import { EventId, IdempotencyKey, ReservationId } from "../protocol/Ids.ts"
import { RequestContext } from "../protocol/RequestContext.ts"
import { ReservationsQuery } from "../protocol/ReservationRecord.ts"
import { ReserveRequest } from "../protocol/Reserve.ts"
import { CommitRequest, ReleaseRequest } from "../protocol/Settle.ts"
import * as Shape from "../protocol/Shape.ts"
import { Default, levels } from "../protocol/Subject.ts"
import * as CanonicalJson from "./CanonicalJson.ts"
import * as Lanes from "./Lanes.ts"
import type { LedgerTx, StoreError } from "./LedgerStore.ts"
import { LedgerStore } from "./LedgerStore.ts"
import * as LedgerStoreMemory from "./LedgerStoreMemory.ts"
import * as Listing from "./Listing.ts"
import type { BudgetRow, BudgetStatus, Entry, FundReply, Operation, RecordKey } from "./Model.ts"
import { recordKey } from "./Model.ts"
import type { Refusal } from "./Refusal.ts"
import { toError } from "./Refusal.ts"
import * as Rules from "./Rules.ts"
import * as ScopePath from "./ScopePath.ts"
import * as TimeOrderedId from "./TimeOrderedId.ts"
import * as Verification from "./Verification.ts"
import { Missing, View } from "./View.ts"

/**
 * What a principal may do, one word per operation of the runtime plane.
 *
 * Source: `cycles-governance-admin-v0.1.25.yaml`, schema `Permission`.
 *
 * @category models
 * @since 0.1.0
 */
export type Permission =
  | "reservations:create"
  | "reservations:commit"
  | "reservations:release"
  | "reservations:extend"
  | "reservations:list"
  | "balances:read"

/**
 * In whose name an authority acts.
 *
 * - `tenant`: 1 to 128 letters, digits, `_`, `.` or `-`
 * - `actor`: what the ledger's entries name as the cause; the tenant when not given
 * - `permissions`: what may be done; everything when not given
 * - `balances`: whether replies show the budgets after the change, which the protocol leaves open and which costs time on deep
 *   paths; not when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Principal {
  readonly tenant: string
  readonly actor?: string | undefined
  readonly permissions?: ReadonlySet<Permission> | undefined
  readonly balances?: boolean | undefined
}

/**
 * A budget to open: an allocation on a scope. Its unit is the allocation's.
 *
 * - `scope`: canonical, starting at its tenant, for example `tenant:acme/agent:writer`
 * - `overdraftLimit`: how much debt ALLOW_WITH_OVERDRAFT may make; none when not given
 * - `status`: ACTIVE when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetOptions {
  readonly scope: string
  readonly allocated: AnyAmount
  readonly overdraftLimit?: AnyAmount | undefined
  readonly status?: BudgetStatus | undefined
}

/**
 * How a ledger works.
 *
 * - `maxExtensions`: how often one reservation may be extended; 10 when not given
 * - `queueCapacity`: how many commands may wait in a lane before further ones are refused; 1,024 when not given
 * - `batchLimit`: how many commands one transaction takes at most; 256 when not given
 * - `sweepEveryMs`: how often holds that ended are expired where nothing else touches their tenant; 5,000 when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly maxExtensions?: number | undefined
  readonly queueCapacity?: number | undefined
  readonly batchLimit?: number | undefined
  readonly sweepEveryMs?: number | undefined
}

/**
 * What a change to a budget can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type BudgetError =
  | Trouble
  | BudgetNotFound
  | BudgetExceeded
  | BudgetFrozen
  | BudgetClosed
  | UnitMismatch
  | IdempotencyMismatch

/**
 * What a ledger offers beside the authorities it gives out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operations {
  /** An authority that acts in the name of a principal. Making one costs nothing. */
  readonly as: (principal: Principal) => AuthorityOperations
  /** Opens a budget for a tenant. A second one on the same scope and unit is `InvalidRequest`. */
  readonly createBudget: (tenant: string, budget: BudgetOptions) => Effect.Effect<Balance, BudgetError>
  /** Adds to, takes from or resets a tenant's budget. Idempotent by key, scope and unit. */
  readonly fund: (tenant: string, request: Rules.FundRequest) => Effect.Effect<FundReply, BudgetError>
  /** Freezes, unfreezes or closes a tenant's budget, or sets its overdraft limit. Closing is for good. */
  readonly updateBudget: (tenant: string, request: Rules.UpdateRequest) => Effect.Effect<Balance, BudgetError>
  /** The tenant's entries numbered above `after` (from the first when not given), at most `limit` (1,000). */
  readonly entries: (
    tenant: string,
    options?: { readonly after?: number | undefined; readonly limit?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<Entry>, Trouble>
  /** Folds the tenant's entries and compares the result with its balances. */
  readonly verify: (tenant: string) => Effect.Effect<Verification.Verification, Trouble>
}

/**
 * The ledger, for programs that fund budgets, read history or act for several tenants.
 *
 * @category services
 * @since 0.1.0
 */
export class Ledger extends Context.Service<Ledger, Operations>()("effect-cycles/ledger/Ledger") {}

/** `defect` is for the log alone: a caller is not told about the inside. */
type Answer = Rules.Verdict | { readonly _tag: "Broken"; readonly error: CyclesError; readonly defect?: unknown }

interface Submission {
  readonly command: Rules.Command
  /** A list to read in the same transaction, after everything was written. */
  readonly read: ((tx: LedgerTx) => Effect.Effect<unknown, StoreError>) | undefined
}

type Reading = Answer | { readonly _tag: "Read"; readonly value: unknown }

/** A transaction that failed is run again: what it may have done already is found by its keys. */
const ATTEMPTS = 3

/**
 * Makes a ledger on the store around it. The scope owns its lanes and its sweeper.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(options?: Options): Effect.fn.Return<Operations, never, LedgerStore | Scope.Scope> {
    const store = yield* LedgerStore
    const maxExtensions = options?.maxExtensions ?? DEFAULT_MAX_EXTENSIONS
    const sweepEveryMs = options?.sweepEveryMs ?? 5_000

    // One transaction: load, expire what is due, decide each command over the same view, write the net change, read lists.
    const transact = Effect.fnUntraced(function*(
      tx: LedgerTx,
      batch: ReadonlyArray<Submission>,
      tenants: ReadonlyArray<string>
    ): Effect.fn.Return<ReadonlyArray<Reading>, StoreError> {
      const view = new View()
      for (let missing = wanted(batch, tenants, view); !missing.isEmpty; missing = wanted(batch, tenants, view)) {
        yield* tx.load(missing, view)
      }
      for (const tenant of tenants) expireDue(view, tenant, tx.now)
      const answers: Array<Reading> = batch.map(({ command }) => answer(view, command, tx.now))
      if (view.isChanged) yield* tx.write(view.writes())
      for (let i = 0; i < batch.length; i++) {
        const read = batch[i]?.read
        if (read !== undefined) answers[i] = { _tag: "Read", value: yield* read(tx) }
      }
      return answers
    })

    const run = (batch: ReadonlyArray<Submission>): Effect.Effect<ReadonlyArray<Reading>> => {
      const tenants = tenantsOf(batch)
      const attempt = (left: number): Effect.Effect<ReadonlyArray<Reading>> =>
        Effect.catch(
          store.transact(tenants, (tx) => transact(tx, batch, tenants)),
          (error) =>
            left > 0
              ? attempt(left - 1)
              : Effect.succeed(batch.map((): Reading => ({
                _tag: "Broken",
                error: new AuthorityUnavailable({ reason: error.message, cause: error.cause })
              })))
        )
      return attempt(ATTEMPTS - 1)
    }

    const lanes = yield* Lanes.make<Submission, Reading>({
      lanes: store.lanes,
      capacity: options?.queueCapacity ?? 1_024,
      batchLimit: options?.batchLimit ?? 256,
      run
    })

    const submit = (submission: Submission): Effect.Effect<Reading> => {
      const tenant = submission.command.cause.tenant
      return Effect.catch(
        lanes.submit(store.laneOf(tenant), tenant, submission),
        (refused): Effect.Effect<Reading> =>
          Effect.succeed({
            _tag: "Broken",
            error: new AuthorityUnavailable({
              reason: refused._tag === "Full"
                ? `${refused.waiting} commands are waiting already`
                : "the ledger has been shut down"
            })
          })
      )
    }

    // The reply of a command is of the type its rule returns; commands and replies meet only in `authority` below.
    // Which reply and which refusals a command can have is fixed by its rule, and named by the operation that sends it.
    const execute = <A, E>(command: Rules.Command): Effect.Effect<A, E> =>
      Effect.flatMap(submit({ command, read: undefined }), (reading): Effect.Effect<A, E> => {
        switch (reading._tag) {
          case "Done":
            return Effect.succeed(reading.reply as A)
          case "Refused":
            return Effect.fail(toError(reading.refusal, command.cause) as E)
          case "Broken":
            return reading.defect === undefined
              ? Effect.fail(reading.error as E)
              : Effect.andThen(
                Effect.logError(`The ledger broke over a ${command._tag}`, reading.defect),
                Effect.fail(reading.error as E)
              )
          case "Read":
            return Effect.succeed(reading.value as A)
        }
      })

    const list = <A>(
      cause: Rules.Cause,
      read: (tx: LedgerTx) => Effect.Effect<A, StoreError>
    ): Effect.Effect<A, Trouble> =>
      Effect.flatMap(submit({ command: { _tag: "Sweep", cause }, read }), (reading) =>
        reading._tag === "Read"
          ? Effect.succeed(reading.value as A)
          : Effect.fail(
            reading._tag === "Broken"
              ? reading.error as Trouble
              : new InternalError({ reason: "a list was answered without having been read" })
          ))

    const authority = (principal: Principal): AuthorityOperations =>
      makeAuthority({ principal, maxExtensions, execute, list })

    const causeFor = (tenant: string): Effect.Effect<Rules.Cause, Trouble> =>
      Effect.flatMap(RequestContext, ({ requestId, traceId }) => {
        const refusal = invalidTenant(tenant)
        const cause: Rules.Cause = { tenant, actor: "operator", requestId, traceId, balances: true }
        return refusal === undefined ? Effect.succeed(cause) : Effect.fail(toError(refusal, cause) as Trouble)
      })

    const createBudget: Operations["createBudget"] = Effect.fnUntraced(function*(tenant, budget) {
      const cause = yield* causeFor(tenant)
      const row = budgetRow(tenant, budget)
      if (Result.isFailure(row)) return yield* Effect.fail(toError(row.failure, cause) as BudgetError)
      return yield* execute<Balance, BudgetError>({ _tag: "CreateBudget", cause, budget: row.success })
    })

    const fund: Operations["fund"] = Effect.fnUntraced(function*(tenant, request) {
      const cause = yield* causeFor(tenant)
      const parsed = ScopePath.parse(tenant, request.scope)
      if (Result.isFailure(parsed)) return yield* Effect.fail(toError(parsed.failure, cause) as BudgetError)
      const flaw = flaws.fund(request)
      if (flaw !== undefined) {
        return yield* Effect.fail(toError({ code: "INVALID_REQUEST", ...flaw }, cause) as BudgetError)
      }
      const record = recordKey(tenant, "fund", `${request.scope} ${request.amount.unit} ${request.idempotencyKey}`)
      const digest = CanonicalJson.digest(request)
      return yield* execute<FundReply, BudgetError>({ _tag: "Fund", cause, record, digest, request })
    })

    const updateBudget: Operations["updateBudget"] = Effect.fnUntraced(function*(tenant, request) {
      const cause = yield* causeFor(tenant)
      const refusal = flawedUpdate(tenant, request)
      if (refusal !== undefined) return yield* Effect.fail(toError(refusal, cause) as BudgetError)
      return yield* execute<Balance, BudgetError>({ _tag: "UpdateBudget", cause, request })
    })

    const entries: Operations["entries"] = Effect.fnUntraced(function*(tenant, options) {
      const cause = yield* causeFor(tenant)
      return yield* list(cause, (tx) => tx.entries(tenant, options?.after ?? 0, options?.limit ?? 1_000))
    })

    const verify: Operations["verify"] = Effect.fnUntraced(function*(tenant) {
      const cause = yield* causeFor(tenant)
      return yield* list(cause, (tx) => Verification.verify(tx, tenant))
    })

    // What nothing else touches is expired here; what is touched was expired in its own transaction.
    const sweep = Effect.gen(function*() {
      const tenants = yield* store.dueTenants(100)
      for (const tenant of tenants) {
        yield* submit({
          command: { _tag: "Sweep", cause: { tenant, ...system } },
          read: undefined
        })
      }
    }).pipe(Effect.catch((error) => Effect.logWarning("The sweep failed; it is tried again", error)))
    const prune = Effect.catch(store.prune, (error) => Effect.logWarning("Pruning failed; it is tried again", error))
    yield* Effect.forkScoped(Effect.forever(Effect.delay(sweep, sweepEveryMs)))
    yield* Effect.forkScoped(Effect.forever(Effect.delay(prune, "1 hour")))

    return Ledger.of({ as: authority, createBudget, fund, updateBudget, entries, verify })
  }
)

/**
 * A ledger on the store around it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Ledger, never, LedgerStore> => Layer.effect(Ledger, make(options))

/**
 * A ledger in memory with some budgets, and the authority of one tenant on it: all a test or a script needs.
 *
 * Fails with `InvalidRequest` when a budget is not well formed or named twice.
 *
 * **Example** (Two budgets on one path)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Amount, BudgetAuthority, Ledger } from "effect-cycles"
 *
 * const program = Effect.gen(function*() {
 *   const authority = yield* BudgetAuthority.BudgetAuthority
 *   const { balances } = yield* authority.balances({ tenant: "acme" })
 *   return balances.map(({ scope }) => scope)
 * }).pipe(
 *   Effect.provide(Ledger.layerMemory({
 *     tenant: "acme",
 *     budgets: [
 *       { scope: "tenant:acme", allocated: Amount.usd(10) },
 *       { scope: "tenant:acme/agent:writer", allocated: Amount.usd(1) }
 *     ]
 *   }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => [ "tenant:acme", "tenant:acme/agent:writer" ]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (
  options: Principal & Options & { readonly budgets: ReadonlyArray<BudgetOptions> }
): Layer.Layer<Ledger | BudgetAuthority, BudgetError> => {
  const ledger = Layer.effect(
    Ledger,
    Effect.gen(function*() {
      const ledger = yield* make(options)
      yield* Effect.forEach(options.budgets, (budget) => ledger.createBudget(options.tenant, budget), { discard: true })
      return ledger
    })
  ).pipe(Layer.provide(LedgerStoreMemory.layer))
  return Layer.provideMerge(layerAuthority(options), ledger)
}

/**
 * The authority of one principal on the ledger around it. Requests that name no subject are the tenant's.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerAuthority = (principal: Principal): Layer.Layer<BudgetAuthority, never, Ledger> =>
  Layer.merge(
    Layer.effect(BudgetAuthority, Effect.map(Ledger, (ledger) => ledger.as(principal))),
    Layer.succeed(Default, { tenant: principal.tenant })
  )

// ---------------------------------------------------------------------------------------------------------------------
// one transaction
// ---------------------------------------------------------------------------------------------------------------------

const tenantsOf = (batch: ReadonlyArray<Submission>): ReadonlyArray<string> => {
  const first = batch[0]
  return batch.length === 1 && first !== undefined
    ? [first.command.cause.tenant]
    : Array.from(new Set(batch.map(({ command }) => command.cause.tenant))).sort()
}

/** What the batch still needs: each tenant with what is due in it, and what the rules ask for. */
const wanted = (batch: ReadonlyArray<Submission>, tenants: ReadonlyArray<string>, view: View): Missing => {
  const missing = new Missing(view)
  for (const tenant of tenants) {
    missing.tenant(tenant)
    for (const row of view.dueOf(tenant)) {
      for (const scope of row.budgeted) missing.scope(scope)
    }
  }
  for (const { command } of batch) Rules.keys(command, view, missing)
  return missing
}

const system = { actor: "system", requestId: undefined, traceId: undefined, balances: false }

const expireDue = (view: View, tenant: string, now: number): void => {
  for (const row of view.dueOf(tenant)) {
    if (view.reservation(row.id)?.status !== "ACTIVE") continue
    apply(view, { tenant, ...system }, Rules.expire(view, row), undefined, now)
  }
}

/** A command that breaks the rules' code fails alone: nothing of it has been applied. */
const answer = (view: View, command: Rules.Command, now: number): Reading => {
  let verdict: Rules.Verdict
  try {
    verdict = Rules.decide(view, command, now)
  } catch (defect) {
    return { _tag: "Broken", error: new InternalError({ reason: "the ledger broke; its log says how" }), defect }
  }
  if (verdict._tag === "Done") {
    if (verdict.change !== undefined) apply(view, command.cause, verdict.change, command, now)
    if (verdict.record !== undefined) view.addRecord(verdict.record)
  }
  return verdict
}

const apply = (
  view: View,
  cause: Rules.Cause,
  change: Rules.Change,
  command: Rules.Command | undefined,
  now: number
): void => {
  const number = (view.tenant(cause.tenant)?.lastEntry ?? 0) + 1
  view.putTenant({ tenant: cause.tenant, lastTimeMs: now, lastEntry: number })
  for (const { after } of change.budgets) view.putBudget(after)
  if (change.reservation !== undefined) view.putReservation(change.reservation)
  view.addEntry({
    tenant: cause.tenant,
    number,
    atMs: now,
    kind: change.kind,
    actor: cause.actor,
    reservationId: change.reservation?.id,
    eventId: change.eventId,
    action: change.reservation?.action ?? (command?._tag === "Event" ? command.request.action : undefined),
    metrics: command?._tag === "Commit" || command?._tag === "Event" ? command.request.metrics : undefined,
    requestId: cause.requestId,
    traceId: cause.traceId,
    changes: change.budgets
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// shapes
// ---------------------------------------------------------------------------------------------------------------------

const tenantName = /^[a-zA-Z0-9_.-]{1,128}$/

const invalidTenant = (tenant: string): Refusal | undefined =>
  tenantName.test(tenant)
    ? undefined
    : { code: "INVALID_REQUEST", field: "tenant", reason: "must be 1 to 128 letters, digits, '_', '.' or '-'" }

const FundShape = Schema.Struct({
  idempotencyKey: IdempotencyKey,
  scope: Schema.String,
  operation: Schema.Literals(["CREDIT", "DEBIT", "RESET", "RESET_SPENT", "REPAY_DEBT"]),
  amount: Amount,
  spent: Schema.optionalKey(Amount)
})

const flaws = {
  decide: Shape.checker(DecideRequest),
  reserve: Shape.checker(ReserveRequest),
  commit: Shape.checker(CommitRequest),
  release: Shape.checker(ReleaseRequest),
  extend: Shape.checker(ExtendRequest),
  event: Shape.checker(EventRequest),
  balances: Shape.checker(BalancesQuery),
  reservations: Shape.checker(ReservationsQuery),
  fund: Shape.checker(FundShape),
  amount: Shape.checker(Amount)
}

/** The digest of a request as sent, or a refusal where it holds something JSON has no word for. */
const digestOf = (payload: unknown): Result.Result<string, Refusal> => {
  try {
    return Result.succeed(CanonicalJson.digest(payload))
  } catch (cause) {
    return Result.fail({ code: "INVALID_REQUEST", field: "metadata", reason: String(cause) })
  }
}

const flawedUpdate = (tenant: string, request: Rules.UpdateRequest): Refusal | undefined => {
  const parsed = ScopePath.parse(tenant, request.scope)
  if (Result.isFailure(parsed)) return parsed.failure
  const { overdraftLimit, unit } = request
  return overdraftLimit === undefined
    ? undefined
    : flawedAmount("overdraftLimit", overdraftLimit) ?? otherUnit(overdraftLimit, unit)
}

/** Constructors refuse what is out of range; an amount made by hand is refused here. */
const flawedAmount = (field: string, amount: AnyAmount): Refusal | undefined => {
  const flaw = flaws.amount(amount)
  return flaw === undefined ? undefined : { code: "INVALID_REQUEST", field, reason: flaw.reason }
}

const otherUnit = (overdraftLimit: AnyAmount, unit: Unit): Refusal | undefined =>
  overdraftLimit.unit === unit
    ? undefined
    : { code: "INVALID_REQUEST", field: "overdraftLimit", reason: `must be in ${unit}, the unit of the budget` }

const budgetRow = (tenant: string, budget: BudgetOptions): Result.Result<BudgetRow, Refusal> => {
  const parsed = ScopePath.parse(tenant, budget.scope)
  if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
  const { overdraftLimit, allocated } = budget
  const flaw = flawedAmount("allocated", allocated) ?? (overdraftLimit === undefined
    ? undefined
    : flawedAmount("overdraftLimit", overdraftLimit) ?? otherUnit(overdraftLimit, allocated.unit))
  if (flaw !== undefined) return Result.fail(flaw)
  return Result.succeed({
    tenant,
    scope: budget.scope,
    unit: allocated.unit,
    allocated: allocated.amount,
    spent: 0n,
    reserved: 0n,
    debt: 0n,
    overdraftLimit: overdraftLimit?.amount ?? 0n,
    capped: false,
    status: budget.status ?? "ACTIVE"
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// one principal's authority
// ---------------------------------------------------------------------------------------------------------------------

const makeAuthority = (options: {
  readonly principal: Principal
  readonly maxExtensions: number
  readonly execute: <A, E>(command: Rules.Command) => Effect.Effect<A, E>
  readonly list: <A>(
    cause: Rules.Cause,
    read: (tx: LedgerTx) => Effect.Effect<A, StoreError>
  ) => Effect.Effect<A, Trouble>
}): AuthorityOperations => {
  const { execute, list, maxExtensions, principal } = options
  const tenant = principal.tenant
  const actor = principal.actor ?? tenant
  const balances = principal.balances ?? false
  const unusable = invalidTenant(tenant)

  /**
   * Everything that is settled before the rules are asked: rights, shape, scopes, digest. `E` is the error type of the
   * operation; a refusal found here (bad request, forbidden) is in each of them.
   */
  const prepare = <A, E>(
    permission: Permission,
    flawOf: ((value: unknown) => Shape.Flaw | undefined) | undefined,
    request: unknown,
    then: (cause: Rules.Cause, now: number) => Result.Result<Effect.Effect<A, E>, Refusal>
  ): Effect.Effect<A, E> =>
    Effect.withFiber((fiber) => {
      const { requestId, traceId } = fiber.getRef(RequestContext)
      const cause: Rules.Cause = { tenant, actor, requestId, traceId, balances }
      const refuse = (refusal: Refusal): Effect.Effect<A, E> => Effect.fail(toError(refusal, cause) as E)
      if (unusable !== undefined) return refuse(unusable)
      if (principal.permissions !== undefined && !principal.permissions.has(permission)) {
        return refuse({ code: "FORBIDDEN", reason: `the permission ${permission} is missing` })
      }
      const flaw = flawOf?.(request)
      if (flaw !== undefined) return refuse({ code: "INVALID_REQUEST", ...flaw })
      const next = then(cause, fiber.getRef(Clock.Clock).currentTimeMillisUnsafe())
      return Result.isFailure(next) ? refuse(next.failure) : next.success
    })

  /** Names the record of a request and takes the digest of its payload. */
  const remembered = <A, E>(
    cause: Rules.Cause,
    operation: Operation,
    key: string,
    payload: unknown,
    then: (basis: { readonly cause: Rules.Cause; readonly record: RecordKey; readonly digest: string }) => Rules.Command
  ): Result.Result<Effect.Effect<A, E>, Refusal> => {
    const digest = digestOf(payload)
    return Result.isFailure(digest)
      ? Result.fail(digest.failure)
      : Result.succeed(
        execute<A, E>(then({ cause, record: recordKey(tenant, operation, key), digest: digest.success }))
      )
  }

  const ownTenant = (query: { readonly tenant?: string }): Refusal | undefined =>
    query.tenant !== undefined && query.tenant !== tenant
      ? { code: "FORBIDDEN", reason: "the query names another tenant" }
      : undefined

  return {
    decide: (request) =>
      prepare(
        "reservations:create",
        flaws.decide,
        request,
        (cause) =>
          Result.flatMap(ScopePath.derive(tenant, request.subject), (scopes) =>
            remembered(cause, "decide", request.idempotencyKey, request, (basis) => ({
              _tag: "Decide",
              ...basis,
              request,
              scopes
            })))
      ),
    reserve: (request) =>
      prepare(
        "reservations:create",
        flaws.reserve,
        request,
        (cause, now) =>
          Result.flatMap(ScopePath.derive(tenant, request.subject), (scopes) =>
            remembered(cause, "reserve", request.idempotencyKey, request, (basis) => ({
              _tag: "Reserve",
              ...basis,
              request,
              scopes,
              id: ReservationId.make(TimeOrderedId.make(now))
            })))
      ),
    commit: (id, request) =>
      prepare(
        "reservations:commit",
        flaws.commit,
        request,
        (cause) =>
          remembered(cause, "commit", request.idempotencyKey, { id, request }, (basis) => ({
            _tag: "Commit",
            ...basis,
            id,
            request
          }))
      ),
    release: (id, request) =>
      prepare(
        "reservations:release",
        flaws.release,
        request,
        (cause) =>
          remembered(cause, "release", request.idempotencyKey, { id, request }, (basis) => ({
            _tag: "Release",
            ...basis,
            id,
            request
          }))
      ),
    extend: (id, request) =>
      prepare(
        "reservations:extend",
        flaws.extend,
        request,
        (cause) =>
          remembered(cause, "extend", request.idempotencyKey, { id, request }, (basis) => ({
            _tag: "Extend",
            ...basis,
            id,
            request,
            maxExtensions
          }))
      ),
    event: (request) =>
      prepare(
        "reservations:create",
        flaws.event,
        request,
        (cause, now) =>
          Result.flatMap(ScopePath.derive(tenant, request.subject), (scopes) =>
            remembered(cause, "event", request.idempotencyKey, request, (basis) => ({
              _tag: "Event",
              ...basis,
              request,
              scopes,
              id: EventId.make(TimeOrderedId.make(now))
            })))
      ),
    reservation: (id) =>
      prepare("reservations:list", undefined, id, (cause) => Result.succeed(execute({ _tag: "Read", cause, id }))),
    balances: (query) =>
      prepare("balances:read", flaws.balances, query, (cause) => {
        if (!levels.some((level) => query[level] !== undefined)) {
          return Result.fail({
            code: "INVALID_REQUEST",
            field: "tenant",
            reason: `at least one of ${levels.join(", ")} must be given`
          })
        }
        const after = Listing.fromCursor(query)
        if (Result.isFailure(after)) return Result.fail(after.failure)
        const foreign = ownTenant(query)
        if (foreign !== undefined) return Result.fail(foreign)
        const limit = query.limit ?? DEFAULT_LIMIT
        return Result.succeed(Effect.map(
          list(cause, (tx) => tx.budgets(tenant, query, { after: after.success, limit: limit + 1 })),
          (rows) => {
            const page = rows.slice(0, limit)
            const last = page[page.length - 1]
            return {
              balances: page.map(Rules.balanceOf),
              hasMore: rows.length > limit,
              ...(rows.length > limit && last !== undefined
                ? { nextCursor: Listing.toCursor(query, [last.scope, last.unit]) }
                : undefined)
            }
          }
        ))
      }),
    reservations: (query) =>
      prepare("reservations:list", flaws.reservations, query, (cause) => {
        const backwards = backwardsWindow(query)
        if (backwards !== undefined) return Result.fail(backwards)
        const after = Listing.fromCursor(query)
        if (Result.isFailure(after)) return Result.fail(after.failure)
        const foreign = ownTenant(query)
        if (foreign !== undefined) return Result.fail(foreign)
        const limit = query.limit ?? DEFAULT_LIMIT
        return Result.succeed(Effect.map(
          list(cause, (tx) => tx.reservations(tenant, query, { after: after.success, limit: limit + 1 })),
          (rows) => {
            const page = rows.slice(0, limit)
            const last = page[page.length - 1]
            const include = new Set<string>(query.include ?? [])
            return {
              reservations: page.map((row) => Rules.recordOf(row, include)),
              hasMore: rows.length > limit,
              ...(rows.length > limit && last !== undefined
                ? { nextCursor: Listing.toCursor(query, [Listing.position(last, query), last.id]) }
                : undefined)
            }
          }
        ))
      })
  }
}

const DEFAULT_LIMIT = 50

const backwardsWindow = (query: ReservationsQuery): Refusal | undefined => {
  for (
    const [field, from, to] of [
      ["createdFromMs", query.createdFromMs, query.createdToMs],
      ["expiresFromMs", query.expiresFromMs, query.expiresToMs],
      ["finalizedFromMs", query.finalizedFromMs, query.finalizedToMs]
    ] as const
  ) {
    if (from !== undefined && to !== undefined && from > to) {
      return { code: "INVALID_REQUEST", field, reason: "the window ends before it begins" }
    }
  }
  return undefined
}
