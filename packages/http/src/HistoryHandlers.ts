/**
 * The handlers of {@link HistoryApi}, over the `Governance` around them: who asks is settled here, what they may see and do is the
 * ledger's to say, in the transaction that answers.
 *
 * **Example** (What a balance is made of, asked without a socket)
 *
 * ```ts
 * import { HistoryHandlers } from "@effect-cycles/http"
 * import { Effect, Layer, Redacted } from "effect"
 * import { Amount, CyclesError, Governance, Ledger } from "effect-cycles"
 * import { HttpRouter } from "effect/http"
 *
 * const routes = HistoryHandlers.layer({
 *   authenticateAdmin: (key) =>
 *     Redacted.value(key) === "secret"
 *       ? Effect.succeed({ actor: "ops" })
 *       : Effect.fail(new CyclesError.Unauthorized({}))
 * }).pipe(
 *   Layer.provide(Governance.layer({ peppers: [Redacted.make("thirty-two or more secret characters")] })),
 *   Layer.provide(
 *     Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] })
 *   )
 * )
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
 *
 * const response = await handler(
 *   new Request("http://localhost/v1/admin/history/verify?tenant_id=acme", { headers: { "X-Admin-API-Key": "secret" } })
 * )
 * const body = await response.text()
 * await dispose()
 *
 * console.log(body) // => {"tenant_id":"acme","holds":true,"entries":1,"budgets":1,"flaws":[]}
 * ```
 *
 * @since 0.1.0
 */
import type { Governance, Governing, LimitState as CoreLimit } from "effect-cycles/ledger/Governance"
import type * as History from "effect-cycles/ledger/History"
import type { Figures, PolicyRow } from "effect-cycles/ledger/Model"
import { remaining } from "effect-cycles/ledger/Model"
import type { Unit } from "effect-cycles/protocol/Amount"
import * as Amount from "effect-cycles/protocol/Amount"
import type { CyclesError } from "effect-cycles/protocol/CyclesError"
import { NotFound } from "effect-cycles/protocol/CyclesError"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { Caller } from "./governance/Access.ts"
import * as GovernanceHandlers from "./GovernanceHandlers.ts"
import * as Api from "./HistoryApi.ts"
import { answer, badParameters, bodyOf, correlation, Malformed, MAX_REQUEST_BYTES } from "./internal/answering.ts"

/**
 * What the handlers need to know: whom keys stand for, as those of the governance plane do.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Omit<GovernanceHandlers.Options, "openapiPath"> {}

/**
 * The routes of our own operations, on the router around them, over the governance around them. They can share the router with those
 * of both planes.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<never, never, HttpRouter.HttpRouter | Governance> =>
  HttpApiBuilder.layer(Api.HistoryApi).pipe(
    Layer.provide([history, control(options)]),
    Layer.provide([GovernanceHandlers.access(options), badParameters]),
    Layer.merge(correlation),
    Layer.provide(HttpServer.layerServices)
  )

// ---------------------------------------------------------------------------------------------------------------------
// who asks
// ---------------------------------------------------------------------------------------------------------------------

/** Does something in the name of who asks, about the tenant they name, or else their own. */
const about = <A, E>(
  query: { readonly tenant?: string | undefined },
  then: (governing: Governing, tenant: string) => Effect.Effect<A, E>
): Effect.Effect<A, E | Malformed, Caller> =>
  Effect.flatMap(Caller, (caller): Effect.Effect<A, E | Malformed> => {
    const tenant = query.tenant ?? (caller._tag === "principal" ? caller.principal.tenant : undefined)
    return tenant === undefined
      ? Effect.fail(new Malformed({ field: "tenant_id", reason: "it must be given with the admin key" }))
      : then(caller.governing, tenant)
  })

// ---------------------------------------------------------------------------------------------------------------------
// rows as the wire has them
// ---------------------------------------------------------------------------------------------------------------------

type Given<A> = { readonly [K in keyof A]: Exclude<A[K], undefined> }

/** Members that are there; the wire leaves out the others. */
const given = <A extends object>(value: A): Partial<Given<A>> =>
  // What is left has no undefined member.
  Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Partial<Given<A>>

const lineOf = (unit: Unit) => (line: History.Line): Api.Line => {
  const { action, actor, allocated, atMs, debt, kind, number, reserved, spent, text } = line
  const { eventId, model, requestId, reservationId, traceId } = line
  const signed = (amount: bigint) => ({ unit, amount })
  return {
    number,
    atMs,
    kind,
    text,
    allocated: signed(allocated),
    spent: signed(spent),
    reserved: signed(reserved),
    debt: signed(debt),
    remaining: signed(line.remaining),
    actor,
    ...given({ eventId, reservationId, action, model, requestId, traceId })
  }
}

const explanationOf = ({ balance, denial, lines, next }: History.Explanation): Api.Explanation => ({
  balance,
  lines: lines.map(lineOf(balance.remaining.unit)),
  ...given({ next }),
  ...(denial === undefined ? undefined : {
    denial: {
      atMs: denial.event.atMs,
      text: denial.text,
      details: given(denial.event.details),
      ...given({
        scope: denial.event.scope,
        unit: denial.event.unit,
        requestId: denial.event.requestId,
        traceId: denial.event.traceId
      })
    }
  })
})

const figuresOf = (row: Figures): Api.Entry["changes"][number]["after"] => ({
  allocated: row.allocated,
  spent: row.spent,
  reserved: row.reserved,
  debt: row.debt,
  remaining: remaining(row),
  overdraftLimit: row.overdraftLimit,
  status: row.status
})

const entryOf = (entry: History.Entry): Api.Entry => {
  const { action, actor, atMs, changes, eventId, kind, metrics, number, reason, requestId, reservationId, traceId } =
    entry
  return {
    number,
    atMs,
    kind,
    actor,
    ...given({ reservationId, eventId, action, metrics, reason, requestId, traceId }),
    changes: changes.map(({ after, before }) => ({
      scope: after.scope,
      unit: after.unit,
      ...(before === undefined ? undefined : { before: figuresOf(before) }),
      after: figuresOf(after)
    }))
  }
}

const limitOf = (rollovers: ReadonlyMap<string, bigint>) => (state: CoreLimit): Api.Limits["limits"][number] => {
  const { amount, carriedOver, held, id, remaining, reopensAtMs, startMs, used, window } = state
  const rollover = rollovers.get(id)
  return {
    id,
    window,
    amount,
    used,
    held,
    carriedOver,
    remaining,
    startMs,
    ...(rollover === undefined ? undefined : { rollover: Amount.make(amount.unit, rollover) }),
    ...given({ reopensAtMs })
  }
}

const policyOf = (row: PolicyRow): Api.PolicyState => ({
  id: row.id,
  name: row.name,
  scopePattern: row.scopePattern,
  status: row.status,
  stateCaps: row.stateCaps,
  ...given({ maxSteps: row.maxSteps })
})

// ---------------------------------------------------------------------------------------------------------------------
// handlers
// ---------------------------------------------------------------------------------------------------------------------

const answers = {
  explain: answer(Api.Explanation),
  entries: answer(Api.EntriesPage),
  spend: answer(Api.Spending),
  costs: answer(Api.Costs),
  verify: answer(Api.Verification),
  limits: answer(Api.Limits),
  closed: answer(Api.ClosedBudget),
  rotated: answer(Api.RotatedKey),
  policy: answer(Api.PolicyState)
}

const limitsOf = (governing: Governing, tenant: string, scope: string, unit: Unit) =>
  Effect.gen(function*() {
    const states = yield* governing.limits(tenant, { scope, unit })
    const { limits } = yield* governing.budget(tenant, { scope, unit })
    const rollovers = new Map(
      limits.flatMap(({ id, rollover }) => rollover === undefined ? [] : [[id, rollover] as const])
    )
    return { scope, unit, limits: states.map(limitOf(rollovers)) }
  })

const ENTRIES = 100

const history = HttpApiBuilder.group(Api.HistoryApi, "history", (handlers) =>
  handlers
    .handleRaw("explain", ({ query }) =>
      answers.explain(about(query, (governing, tenant) =>
        Effect.map(governing.explain(tenant, query), explanationOf))))
    .handleRaw("entries", ({ query: { after, limit = ENTRIES, ...query } }) =>
      answers.entries(about(query, (governing, tenant) =>
        Effect.map(governing.entries(tenant, { after, limit: limit + 1 }), (found) => {
          const entries = found.slice(0, limit)
          return {
            entries: entries.map(entryOf),
            ...(found.length > limit ? given({ next: entries[limit - 1]?.number }) : undefined)
          }
        }))))
    .handleRaw("spend", ({ query }) =>
      answers.spend(about(query, (governing, tenant) => {
        const { by = "scope", every = "day", fromMs, scope, timeZone, toMs, unit } = query
        return Effect.map(
          governing.spend(tenant, { by, every, unit, from: fromMs, to: toMs, timeZone, scope }),
          (rows) => ({
            by,
            every,
            unit,
            rows: rows.map(({ amount, startMs, value }) => ({
              startMs,
              ...given({ value }),
              amount: { unit, amount }
            }))
          })
        )
      })))
    .handleRaw("costs", ({ query }) =>
      answers.costs(about(query, (governing, tenant) => {
        const { by, fromMs, scope, toMs, unit } = query
        return Effect.map(governing.costs(tenant, { by, unit, from: fromMs, to: toMs, scope }), (costs) => ({
          by,
          unit,
          spent: {
            unit,
            amount: costs.reduce((sum, { own }) =>
              sum + own, 0n)
          },
          rows: costs.map(({ own, steps, total }) => ({
            steps,
            own: { unit, amount: own },
            total: { unit, amount: total }
          }))
        }))
      })))
    .handleRaw("verify", ({ query }) =>
      answers.verify(about(query, (governing, tenant) =>
        Effect.map(governing.verify(tenant), ({ budgets, entries, flaws }) => ({
          tenant,
          holds: flaws.length === 0,
          entries,
          budgets,
          flaws
        })))))
    .handleRaw("limits", ({ query }) =>
      answers.limits(about(query, (governing, tenant) =>
        limitsOf(governing, tenant, query.scope, query.unit)))))

const bodies = {
  limits: bodyOf(Api.LimitsChange),
  closing: bodyOf(Api.Closing, { isOptional: true }),
  rotation: bodyOf(Api.Rotation, { isOptional: true }),
  extras: bodyOf(Api.PolicyExtras)
}

const noPolicy = (id: string) => Effect.fail(new NotFound({ reason: `There is no policy ${id}` }))

const control = ({ maxRequestBytes = MAX_REQUEST_BYTES }: Options) =>
  HttpApiBuilder.group(Api.HistoryApi, "control", (handlers) =>
    handlers
      .handleRaw("setLimits", ({ query, request }) =>
        answers.limits(Effect.flatMap(bodies.limits(request, maxRequestBytes), ({ limits, reason }) =>
          about(query, (governing, tenant) =>
            Effect.andThen(
              governing.updateBudget(tenant, { scope: query.scope, unit: query.unit, limits, reason }),
              limitsOf(governing, tenant, query.scope, query.unit)
            )))))
      .handleRaw("closeBudget", ({ query, request }) =>
        answers.closed(Effect.flatMap(bodies.closing(request, maxRequestBytes), ({ reason }) =>
          about(query, (governing, tenant) =>
            Effect.map(
              governing.closeBudget(tenant, { scope: query.scope, unit: query.unit, reason }),
              ({ balance, status }) => ({ scope: query.scope, unit: query.unit, status, balance })
            )))))
      .handleRaw("rotateApiKey", ({ params, query, request }) =>
        answers.rotated(Effect.flatMap(bodies.rotation(request, maxRequestBytes), (rotation) =>
          about(query, (governing, tenant) =>
            Effect.map(governing.rotateApiKey(tenant, params.key_id, rotation), ({ key, secret }) => ({
              id: key.id,
              secret: Redacted.value(secret),
              prefix: key.prefix,
              tenant: key.tenant,
              name: key.name,
              permissions: key.permissions,
              scopeFilter: key.scopeFilter,
              createdAtMs: key.createdAtMs,
              expiresAtMs: key.expiresAtMs
            }))))))
      .handleRaw("policyState", ({ params, query }) =>
        answers.policy(about(query, (governing, tenant) => {
          const next = (after: string): Effect.Effect<PolicyRow, CyclesError> =>
            Effect.flatMap(governing.policies(tenant, { after, limit: 100 }), (rows) => {
              const found = rows.find(({ id }) =>
                id === params.policy_id
              )
              const last = rows[rows.length - 1]
              return found !== undefined
                ? Effect.succeed(found)
                : last === undefined
                ? noPolicy(params.policy_id)
                : next(last.id)
            })
          return Effect.map(next(""), policyOf)
        })))
      .handleRaw("extendPolicy", ({ params, query, request }) =>
        answers.policy(Effect.flatMap(bodies.extras(request, maxRequestBytes), (extras) =>
          about(query, (governing, tenant) =>
            Effect.map(governing.updatePolicy(tenant, params.policy_id, extras), policyOf)))))
      .handleRaw("deletePolicy", ({ params, query }) =>
        answers.policy(about(query, (governing, tenant) =>
          Effect.map(governing.deletePolicy(tenant, params.policy_id), policyOf)))))
