/**
 * An authority of one's own: budgets, reservations and their history, kept in a {@link LedgerStore.LedgerStore}.
 *
 * The ledger is the loop around the rule-book: it checks a request's shape, queues it in its tenant's lane, loads what the
 * rules ask for, lets them decide, writes the net change in the same transaction, and builds the typed error at the edge.
 *
 * `Ledger.layerMemory` is all a test or a script needs, and `Ledger.layerEmbedded` the same on a store that lasts. For several
 * tenants there is `Ledger.layer`, and `Ledger.as` gives each principal an authority of its own.
 *
 * What changes budgets and policies here is for the program that owns the ledger: it asks for no permission, and its acts are
 * audited as the operator's. `Governance` does the same, and more, in somebody's name, within what that one may do.
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
import type * as Scope from "effect/Scope"
import type { Unit } from "../protocol/Amount.ts"
import type { Balance } from "../protocol/Balance.ts"
import type { Operations as AuthorityOperations } from "../protocol/BudgetAuthority.ts"
import { BudgetAuthority } from "../protocol/BudgetAuthority.ts"
import type {
  BudgetClosed,
  BudgetExceeded,
  BudgetFrozen,
  BudgetNotFound,
  IdempotencyMismatch,
  NotFound,
  TenantClosed,
  Trouble,
  UnitMismatch
} from "../protocol/CyclesError.ts"
import { AuthorityUnavailable, InternalError } from "../protocol/CyclesError.ts"
import { DEFAULT_MAX_EXTENSIONS } from "../protocol/Extend.ts"
import { RequestContext } from "../protocol/RequestContext.ts"
import { Default } from "../protocol/Subject.ts"
import * as Authority from "./Authority.ts"
import * as Batch from "./Batch.ts"
import * as Bell from "./Bell.ts"
import * as Budgeting from "./Budgeting.ts"
import type { Engine, Reader } from "./Engine.ts"
import { submit as ask } from "./Engine.ts"
import * as History from "./History.ts"
import type { Load } from "./Lanes.ts"
import * as Lanes from "./Lanes.ts"
import type { LedgerTx, StoreError } from "./LedgerStore.ts"
import { LedgerStore } from "./LedgerStore.ts"
import * as LedgerStoreMemory from "./LedgerStoreMemory.ts"
import type { BudgetRow, Entry, FundReply, PolicyRow } from "./Model.ts"
import * as Policing from "./Policing.ts"
import type { PolicyChange, PolicyOptions } from "./PolicyShape.ts"
import type { Principal } from "./Principal.ts"
import { toError } from "./Refusal.ts"
import type { BudgetOptions, Cause, Command, FundRequest, LimitState, UpdateRequest } from "./rules/Command.ts"
import { HIERARCHY, movesTenant } from "./rules/Order.ts"
import { balanceOf } from "./rules/Showing.ts"
import * as ScopePath from "./ScopePath.ts"
import { invalidPage, invalidTenant } from "./Shapes.ts"
import * as TimeOrderedId from "./TimeOrderedId.ts"
import { View } from "./View.ts"

export type { Load } from "./Lanes.ts"
export type { PolicyChange, PolicyOptions } from "./PolicyShape.ts"
export type { Permission, Principal } from "./Principal.ts"
export type { BudgetOptions, LimitOptions, LimitState } from "./rules/Command.ts"

/**
 * How a ledger works.
 *
 * - `maxExtensions`: how often one reservation may be extended; 10 when not given
 * - `queueCapacity`: how many commands may wait in a lane before further ones are refused; 1,024 when not given
 * - `batchLimit`: how many commands one transaction takes at most; 256 when not given
 * - `sweepEveryMs`: how often holds that ended are expired where nothing else touches their tenant; 5,000 when not given
 * - `alerts`: when it tells of a budget that is running out
 * - `retention`: how long it keeps its history
 *
 * An option out of its range is a defect, a `RangeError`: there is no ledger to answer otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly alerts?: History.AlertOptions | undefined
  readonly retention?: History.Retention | undefined
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
  | TenantClosed
  | UnitMismatch
  | IdempotencyMismatch

/**
 * What a change to a policy can fail with: `NotFound` where there is none of the id.
 *
 * @category errors
 * @since 0.1.0
 */
export type PolicyError = Trouble | NotFound | TenantClosed

/**
 * What a ledger offers beside the authorities it gives out.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operations extends History.Operations {
  /** An authority that acts in the name of a principal. Making one costs nothing. */
  readonly as: (principal: Principal) => AuthorityOperations
  /** Opens a budget for a tenant. A second one on the same scope and unit is `InvalidRequest`. */
  readonly createBudget: (tenant: string, budget: BudgetOptions) => Effect.Effect<Balance, BudgetError>
  /** Adds to, takes from or resets a tenant's budget. Idempotent by key, scope and unit. */
  readonly fund: (tenant: string, request: FundRequest) => Effect.Effect<FundReply, BudgetError>
  /** Freezes, unfreezes or closes a tenant's budget, or sets its overdraft limit or its limits. Closing is for good. */
  readonly updateBudget: (tenant: string, request: UpdateRequest) => Effect.Effect<Balance, BudgetError>
  /** Where the limits of a tenant's budget stand. */
  readonly limits: (
    tenant: string,
    scope: string,
    unit: Unit
  ) => Effect.Effect<ReadonlyArray<LimitState>, Trouble | BudgetNotFound>
  /** Creates a policy for a tenant. A second one of the same name is `InvalidRequest`. */
  readonly createPolicy: (
    tenant: string,
    policy: PolicyOptions
  ) => Effect.Effect<PolicyRow, Trouble | TenantClosed>
  /** Changes a tenant's policy, from the next hold on; holds already taken keep what they were given. */
  readonly updatePolicy: (tenant: string, id: string, change: PolicyChange) => Effect.Effect<PolicyRow, PolicyError>
  /** Deletes a tenant's policy and returns it as it was. */
  readonly deletePolicy: (tenant: string, id: string) => Effect.Effect<PolicyRow, PolicyError>
  /** The tenant's policies with ids above `after` (from the first when not given), by id, at most `limit` (1,000). */
  readonly policies: (
    tenant: string,
    options?: { readonly after?: string | undefined; readonly limit?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<PolicyRow>, Trouble>
  /** One page of a tenant's history: entries numbered above `after` (from the first when not given), at most `limit` (1,000). */
  readonly entries: (
    tenant: string,
    options?: { readonly after?: number | undefined; readonly limit?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<Entry>, Trouble>
  /** How busy it is, for those who watch over it. */
  readonly load: () => Load
  /**
   * What other faces of this ledger, `Governance` for one, are built on.
   *
   * @internal
   */
  readonly engine: Engine
}

/**
 * The ledger, for programs that fund budgets, read history or act for several tenants.
 *
 * @category services
 * @since 0.1.0
 */
export class Ledger extends Context.Service<Ledger, Operations>()("effect-cycles/ledger/Ledger") {}

interface Submission {
  readonly command: Command
  /** What is to be read in the same transaction, or changed by what is read; not where the command is refused. */
  readonly body?: Reader<unknown> | undefined
  /** Whether the body changes the view; it runs before everything is written then, otherwise after. */
  readonly changes?: boolean | undefined
}

type Reading = Batch.Answer | { readonly _tag: "Read"; readonly value: unknown }

/** What comes of a batch, once its transaction has taken effect. */
interface Outcome {
  readonly answers: ReadonlyArray<Reading>
  /** The tenants whose rows it changed, and so have its name. */
  readonly signed: ReadonlyArray<string>
  readonly ring: () => void
}

/**
 * A transaction that failed is run again after these pauses, long enough in all for a database to restart. Whether it took effect
 * already is told by its name in its tenants' rows; and where another one was quicker to change these, by the keys of its commands.
 */
const PAUSES_MS = [0, 20, 100, 500, 2_000]

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
    const retention = options?.retention ?? {}
    yield* Effect.sync(() => checkOptions(options))
    const settings: Batch.Settings = {
      alerts: yield* Effect.sync(() => History.alertsOf(options?.alerts)),
      keepSpendMs: retention.spendMs ?? History.DEFAULT_KEEP_SPEND_MS
    }
    const entriesBell = Bell.make()
    const eventsBell = Bell.make()
    const sweepEveryMs = options?.sweepEveryMs ?? 5_000
    /** Batches are named after their ledger and numbered: no two have the same name. */
    const name = TimeOrderedId.make(yield* Clock.currentTimeMillis).slice(19)
    let batches = 0

    const loadFor = Effect.fnUntraced(function*(
      tx: LedgerTx,
      view: View,
      commands: ReadonlyArray<Command>,
      tenants: ReadonlyArray<string>
    ): Effect.fn.Return<void, StoreError> {
      for (;;) {
        const missing = Batch.wanted(commands, tenants, view, tx.now)
        if (missing.isEmpty) return
        yield* tx.load(missing, view)
      }
    })

    // One transaction: load, expire what is due, decide each command over the same view, write the net change, read lists. Where
    // an attempt before it was lost, and took effect after all, what came of that one stands.
    const transact = Effect.fnUntraced(function*(
      tx: LedgerTx,
      batch: ReadonlyArray<Submission>,
      tenants: ReadonlyArray<string>,
      id: string,
      lost: Outcome | undefined
    ): Effect.fn.Return<Outcome, StoreError> {
      const view = new View()
      const commands = batch.map(({ command }) => command)
      yield* loadFor(tx, view, commands, tenants)
      if (lost !== undefined && lost.signed.some((tenant) => view.tenant(tenant)?.lastBatch === id)) return lost
      for (const tenant of tenants) Batch.expireDue(view, tenant, tx.now, settings)
      const answers: Array<Reading> = []
      for (const command of commands) {
        // A policy that was changed by a command before this one may count by counters that nobody has asked for.
        if (view.hasChangedDocuments) yield* loadFor(tx, view, [command], [])
        answers.push(Batch.answer(view, command, tx.now, settings))
      }
      for (let i = 0; i < batch.length; i++) {
        const { body, changes } = batch[i]!
        if (body !== undefined && changes === true && answers[i]?._tag === "Done") {
          answers[i] = { _tag: "Read", value: yield* body(tx, view) }
        }
      }
      const signed = view.sign(id)
      const writes = view.isChanged ? view.writes() : undefined
      if (writes !== undefined) yield* tx.write(writes)
      for (let i = 0; i < batch.length; i++) {
        const { body, changes } = batch[i]!
        if (body !== undefined && changes !== true && answers[i]?._tag === "Done") {
          answers[i] = { _tag: "Read", value: yield* body(tx, view) }
        }
      }
      const ring = (): void => {
        if (writes !== undefined && writes.entries.length > 0) entriesBell.ring()
        if (writes !== undefined && writes.events.length > 0) eventsBell.ring()
      }
      return { answers, signed, ring }
    })

    /** Runs a batch in parts, one after another, so that what breaks or cannot be read fails alone. */
    const apart = (batch: ReadonlyArray<Submission>): Effect.Effect<ReadonlyArray<Reading>> => {
      const tenants = new Set(batch.map(({ command }) => command.cause.tenant))
      const parts = tenants.size === 1
        ? batch.map((submission) => [submission])
        : Array.from(tenants, (tenant) => batch.filter(({ command }) => command.cause.tenant === tenant))
      const answers = new Map<Submission, Reading>()
      const each = Effect.forEach(
        parts,
        (part) =>
          Effect.map(run(part), (readings) => part.forEach((submission, i) => answers.set(submission, readings[i]!))),
        { discard: true }
      )
      return Effect.map(each, () => batch.map((submission) => answers.get(submission)!))
    }

    const run = (batch: ReadonlyArray<Submission>): Effect.Effect<ReadonlyArray<Reading>> => {
      const tenants = tenantsOf(batch)
      const id = `${name}.${(batches++).toString(36)}`
      let decided: Outcome | undefined
      let lost: Outcome | undefined
      const body = (tx: LedgerTx): Effect.Effect<Outcome, StoreError> =>
        Effect.map(transact(tx, batch, tenants, id, lost), (outcome) => decided = outcome)
      const attempt = (tried: number): Effect.Effect<ReadonlyArray<Reading>> =>
        Effect.catch(
          Effect.map(store.transact(tenants, body), ({ answers, ring }) => {
            ring()
            return answers
          }),
          (error) => {
            if (error.outcome === "unknown") lost = decided
            else if (error.lasting === true && batch.length > 1) return apart(batch)
            const pause = error.lasting === true ? undefined : PAUSES_MS[tried]
            return pause === undefined
              ? Effect.succeed(batch.map((): Reading => ({
                _tag: "Broken",
                error: new AuthorityUnavailable({ reason: error.message, cause: error.cause })
              })))
              : Effect.delay(Effect.suspend(() => attempt(tried + 1)), pause)
          }
        )
      return Effect.catchDefect(attempt(0), (defect) =>
        batch.length > 1 ? apart(batch) : Effect.as(
          Effect.logError(`The ledger broke over a ${batch[0]?.command._tag}`, defect),
          batch.map((): Reading => ({ _tag: "Broken", error: new InternalError({ reason: Batch.BROKEN }) }))
        ))
    }

    const lanes = yield* Lanes.make<Submission, Reading>({
      lanes: store.lanes,
      capacity: options?.queueCapacity ?? 1_024,
      batchLimit: options?.batchLimit ?? 256,
      gathers: store.gathers,
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
    const execute: Engine["execute"] = <A, E>(command: Command): Effect.Effect<A, E> =>
      Effect.flatMap(submit({ command }), (reading): Effect.Effect<A, E> => {
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

    const list: Engine["list"] = <A>(cause: Cause, body: Reader<A>, changes?: boolean): Effect.Effect<A, Trouble> =>
      Effect.flatMap(submit({ command: { _tag: "Sweep", cause }, body, changes }), (reading) => {
        switch (reading._tag) {
          case "Read":
            return Effect.succeed(reading.value as A)
          case "Refused":
            return Effect.fail(toError(reading.refusal, cause) as Trouble)
          case "Broken":
            return Effect.fail(reading.error as Trouble)
          case "Done":
            return Effect.fail(new InternalError({ reason: "a list was answered without having been read" }))
        }
      })

    const engine: Engine = { execute, list, store, scopesOf: ScopePath.sharing() }
    const authority = (principal: Principal): AuthorityOperations =>
      Authority.make({ principal, maxExtensions, engine })

    const causeFor = (tenant: string, page?: Parameters<typeof invalidPage>[0]): Effect.Effect<Cause, Trouble> =>
      Effect.flatMap(RequestContext, ({ requestId, traceId }) => {
        const refusal = invalidTenant(tenant) ?? invalidPage(page)
        const cause: Cause = { tenant, actor: "operator", actorType: "admin", requestId, traceId, balances: true }
        return refusal === undefined ? Effect.succeed(cause) : Effect.fail(toError(refusal, cause) as Trouble)
      })

    const createBudget: Operations["createBudget"] = Effect.fnUntraced(function*(tenant, budget) {
      const now = yield* Clock.currentTimeMillis
      const { cause, command } = Budgeting.create(yield* causeFor(tenant), budget, now)
      return balanceOf(yield* ask<BudgetRow, BudgetError>(engine, cause, command))
    })

    const fund: Operations["fund"] = Effect.fnUntraced(function*(tenant, request) {
      const { cause, command } = Budgeting.fund(yield* causeFor(tenant), request)
      return yield* ask<FundReply, BudgetError>(engine, cause, command)
    })

    const updateBudget: Operations["updateBudget"] = Effect.fnUntraced(function*(tenant, request) {
      const now = yield* Clock.currentTimeMillis
      const { cause, command } = Budgeting.update(yield* causeFor(tenant), request, now)
      return balanceOf(yield* ask<BudgetRow, BudgetError>(engine, cause, command))
    })

    const limits: Operations["limits"] = Effect.fnUntraced(function*(tenant, scope, unit) {
      const cause = yield* causeFor(tenant)
      const command = Budgeting.readLimits(cause, scope, unit)
      return yield* ask<ReadonlyArray<LimitState>, Trouble | BudgetNotFound>(engine, cause, command)
    })

    const createPolicy: Operations["createPolicy"] = Effect.fnUntraced(function*(tenant, policy) {
      const now = yield* Clock.currentTimeMillis
      const { cause, command } = Policing.create(yield* causeFor(tenant), policy, now)
      return yield* ask<PolicyRow, Trouble | TenantClosed>(engine, cause, command)
    })

    const updatePolicy: Operations["updatePolicy"] = Effect.fnUntraced(function*(tenant, id, change) {
      const { cause, command } = Policing.update(yield* causeFor(tenant), id, change)
      return yield* ask<PolicyRow, PolicyError>(engine, cause, command)
    })

    const deletePolicy: Operations["deletePolicy"] = Effect.fnUntraced(function*(tenant, id) {
      const now = yield* Clock.currentTimeMillis
      const { cause, command } = Policing.remove(yield* causeFor(tenant), id, now)
      return yield* ask<PolicyRow, PolicyError>(engine, cause, command)
    })

    const policies: Operations["policies"] = Effect.fnUntraced(function*(tenant, options) {
      const rows = yield* list(
        yield* causeFor(tenant, options),
        (tx) => tx.documents(tenant, "policy", options?.after ?? "", options?.limit ?? 1_000)
      )
      return rows.filter((row) => row._tag === "policy")
    })

    const entries: Operations["entries"] = Effect.fnUntraced(function*(tenant, options) {
      const cause = yield* causeFor(tenant, options)
      return yield* list(cause, (tx) => tx.entries(tenant, options?.after ?? 0, options?.limit ?? 1_000))
    })

    const history = History.make({
      store,
      entriesBell,
      eventsBell,
      read: (tenant, body) =>
        Effect.flatMap(causeFor(tenant), (cause) => list(cause, (tx, view) => body(tx, view, () => true))),
      change: (tenant, body) => Effect.flatMap(causeFor(tenant), (cause) => list(cause, body, true)),
      delivered: (tenant, upTo) => execute({ _tag: "Delivered", cause: { tenant, ...Batch.system }, upTo })
    })

    // What nothing else touches is expired here; what is touched was expired in its own transaction.
    const sweep = Effect.gen(function*() {
      const tenants = yield* store.dueTenants(100)
      for (const tenant of tenants) {
        yield* submit({
          command: { _tag: "Sweep", cause: { tenant, ...Batch.system } }
        })
      }
    }).pipe(Effect.catch((error) => Effect.logWarning("The sweep failed; it is tried again", error)))
    const prune = Effect.catch(store.prune, (error) => Effect.logWarning("Pruning failed; it is tried again", error))
    yield* Effect.forkScoped(Effect.forever(Effect.delay(sweep, sweepEveryMs)))
    const retain = History.retain(store, history.compact, retention)
    yield* Effect.forkScoped(Effect.forever(Effect.delay(Effect.andThen(prune, retain), "1 hour")))

    return Ledger.of({
      as: authority,
      createBudget,
      fund,
      updateBudget,
      limits,
      createPolicy,
      updatePolicy,
      deletePolicy,
      policies,
      entries,
      ...history,
      load: lanes.load,
      engine
    })
  }
)

const checkOptions = (options: Options | undefined): void => {
  const { actsMs, entriesMs, eventsMs, spendMs } = options?.retention ?? {}
  const known: ReadonlyArray<readonly [name: string, value: number | undefined, least: number]> = [
    ["maxExtensions", options?.maxExtensions, 0],
    ["queueCapacity", options?.queueCapacity, 1],
    ["batchLimit", options?.batchLimit, 1],
    ["sweepEveryMs", options?.sweepEveryMs, 1],
    ["retention.entriesMs", entriesMs, 0],
    ["retention.eventsMs", eventsMs, 0],
    ["retention.actsMs", actsMs, 0],
    ["retention.spendMs", spendMs, 0]
  ]
  for (const [name, value, least] of known) {
    if (value !== undefined && !((Number.isSafeInteger(value) || value === Infinity) && value >= least)) {
      throw new RangeError(`${name} must be a whole number of at least ${least}, or Infinity, not ${value}`)
    }
  }
}

/**
 * A ledger on the store around it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Ledger, never, LedgerStore> => Layer.effect(Ledger, make(options))

/**
 * What an embedded ledger begins with, beside how it works and in whose name its authority acts.
 *
 * - `budgets`, `policies`: opened for the tenant where it has none of that scope and unit, or of that name; none when not given
 *
 * @category models
 * @since 0.1.0
 */
export interface EmbeddedOptions extends Principal, Options {
  readonly budgets?: ReadonlyArray<BudgetOptions> | undefined
  readonly policies?: ReadonlyArray<PolicyOptions> | undefined
}

/**
 * A ledger on the store around it, and the authority of one tenant on it: all that a program needs to keep its own budgets.
 *
 * Budgets and policies that are in the store already stay as they are, whatever the options say now: a program that starts
 * again goes on where it ended. Change them by `fund`, `updateBudget` and `updatePolicy`.
 *
 * Fails with `InvalidRequest` when a budget or a policy is not well formed or named twice, and with `AuthorityUnavailable` when
 * the store cannot be reached.
 *
 * **Example** (What was spent stays spent)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Action, Amount, Budget, BudgetAuthority, Ledger, LedgerStoreMemory } from "effect-cycles"
 *
 * const spend = Budget.guard(
 *   { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *   (r) => Effect.succeed(r.commit(Amount.tokens(400), undefined))
 * )
 *
 * const program = Effect.gen(function*() {
 *   yield* spend
 *   const authority = yield* BudgetAuthority.BudgetAuthority
 *   const { balances } = yield* authority.balances({ tenant: "acme" })
 *   return balances.map(({ remaining }) => Amount.format(remaining))
 * })
 *
 * const acme = Ledger.layerEmbedded({
 *   tenant: "acme",
 *   budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }]
 * })
 *
 * // A store that outlives both runs, as LedgerStoreSqlite and LedgerStorePostgres do.
 * const twice = Effect.forEach([1, 2], () =>
 *   Effect.provide(program, Layer.provideMerge(Budget.layer(), acme), { local: true }))
 *
 * console.log(await Effect.runPromise(Effect.provide(twice, LedgerStoreMemory.layer)))
 * // => [ [ "4600 TOKENS" ], [ "4200 TOKENS" ] ]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEmbedded = (
  options: EmbeddedOptions
): Layer.Layer<Ledger | BudgetAuthority, BudgetError, LedgerStore> =>
  Layer.provideMerge(
    layerAuthority(options),
    Layer.effect(Ledger, Effect.tap(make(options), (ledger) => furnish(ledger, options)))
  )

/**
 * A ledger in memory with some budgets, and the authority of one tenant on it: all a test or a script needs.
 *
 * Fails with `InvalidRequest` when a budget or a policy is not well formed or named twice.
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
  options: EmbeddedOptions & { readonly budgets: ReadonlyArray<BudgetOptions> }
): Layer.Layer<Ledger | BudgetAuthority, BudgetError> => Layer.provide(layerEmbedded(options), LedgerStoreMemory.layer)

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

/** Opens what a tenant does not have yet. */
const furnish = Effect.fnUntraced(function*(
  ledger: Operations,
  { budgets = [], policies = [], tenant }: EmbeddedOptions
): Effect.fn.Return<void, BudgetError> {
  const named = new Set<string>()
  // Another process may open the same between the look and the act. What is named twice here is refused for it.
  const unlessThere = (
    name: string,
    isThere: Effect.Effect<boolean, BudgetError>,
    open: Effect.Effect<unknown, BudgetError>
  ): Effect.Effect<unknown, BudgetError> => {
    if (named.has(name)) return open
    named.add(name)
    return Effect.flatMap(
      isThere,
      (there) =>
        there ?
          Effect.void :
          Effect.catchTag(open, "InvalidRequest", (error) =>
            Effect.flatMap(isThere, (there) =>
              there ? Effect.void : Effect.fail(error)))
    )
  }
  for (const budget of budgets) {
    const { allocated: { unit }, scope } = budget
    const isThere = ledger.limits(tenant, scope, unit).pipe(
      Effect.as(true),
      Effect.catchTag("BudgetNotFound", () => Effect.succeed(false))
    )
    yield* unlessThere(`budget ${scope} ${unit}`, isThere, ledger.createBudget(tenant, budget))
  }
  for (const policy of policies) {
    const isThere = Effect.map(ledger.policies(tenant), (rows) => rows.some(({ name }) => name === policy.name))
    yield* unlessThere(`policy ${policy.name}`, isThere, ledger.createPolicy(tenant, policy))
  }
})

const tenantsOf = (batch: ReadonlyArray<Submission>): ReadonlyArray<string> => {
  const first = batch[0]
  if (batch.length === 1 && first !== undefined && first.command._tag !== "Govern") return [first.command.cause.tenant]
  const names = new Set(batch.map(({ command }) => command.cause.tenant))
  if (batch.some(({ command }) => command._tag === "Govern" && movesTenant(command.order))) names.add(HIERARCHY)
  return Array.from(names).sort()
}
