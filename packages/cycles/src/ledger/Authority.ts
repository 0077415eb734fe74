/**
 * The authority of one principal: rights, shapes and scopes are settled here, then the ledger is asked.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Operations as AuthorityOperations } from "../protocol/BudgetAuthority.ts"
import { EventId, ReservationId } from "../protocol/Ids.ts"
import { RequestContext } from "../protocol/RequestContext.ts"
import type { ReservationsQuery } from "../protocol/ReservationRecord.ts"
import type * as Shape from "../protocol/Shape.ts"
import type { Level } from "../protocol/Subject.ts"
import { levels } from "../protocol/Subject.ts"
import type { Engine, Reader } from "./Engine.ts"
import type { LedgerTx, Page, StoreError } from "./LedgerStore.ts"
import * as Listing from "./Listing.ts"
import type { Operation, RecordKey } from "./Model.ts"
import { recordKey } from "./Model.ts"
import type { Permission } from "./Permission.ts"
import { covers } from "./Permission.ts"
import type { Principal } from "./Principal.ts"
import type { Refusal } from "./Refusal.ts"
import { toError } from "./Refusal.ts"
import type { Cause, Command } from "./rules/Command.ts"
import { balanceOf, recordOf } from "./rules/Showing.ts"
import { filterOf, reaches } from "./rules/Standing.ts"
import * as ScopeFilter from "./ScopeFilter.ts"
import { digestOf, flaws, invalidTenant } from "./Shapes.ts"
import * as TimeOrderedId from "./TimeOrderedId.ts"

export const make = (options: {
  readonly principal: Principal
  readonly maxExtensions: number
  readonly engine: Engine
}): AuthorityOperations => {
  const { engine: { execute, list, scopesOf }, maxExtensions, principal } = options
  const { keyId, scopeFilter } = principal
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
    then: (cause: Cause, now: number) => Result.Result<Effect.Effect<A, E>, Refusal>
  ): Effect.Effect<A, E> =>
    Effect.withFiber((fiber) => {
      const { requestId, traceId } = fiber.getRef(RequestContext)
      const cause: Cause = {
        tenant,
        actor,
        actorType: "api_key",
        requestId,
        traceId,
        balances,
        keyId,
        needs: permission,
        scopeFilter
      }
      const refuse = (refusal: Refusal): Effect.Effect<A, E> => Effect.fail(toError(refusal, cause) as E)
      if (unusable !== undefined) return refuse(unusable)
      if (principal.permissions !== undefined && !covers(principal.permissions, permission)) {
        return refuse({ code: "FORBIDDEN", reason: `the permission ${permission} is missing` })
      }
      const flaw = flawOf?.(request)
      if (flaw !== undefined) return refuse({ code: "INVALID_REQUEST", ...flaw })
      const next = then(cause, fiber.getRef(Clock.Clock).currentTimeMillisUnsafe())
      return Result.isFailure(next) ? refuse(next.failure) : next.success
    })

  /** Names the record of a request and takes the digest of its payload. */
  const remembered = <A, E>(
    cause: Cause,
    operation: Operation,
    key: string,
    payload: unknown,
    then: (basis: { readonly cause: Cause; readonly record: RecordKey; readonly digest: string }) => Command
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
          Result.flatMap(scopesOf(tenant, request.subject), (scopes) =>
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
          Result.flatMap(scopesOf(tenant, request.subject), (scopes) =>
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
          Result.flatMap(scopesOf(tenant, request.subject), (scopes) =>
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
          list(
            cause,
            visible(cause, query, { after: after.success, limit: limit + 1 }, {
              read: (tx, narrowed, page) => tx.budgets(tenant, narrowed, page),
              path: (row) => row.scope,
              position: (row) => [row.scope, row.unit]
            })
          ),
          (rows) => {
            const page = rows.slice(0, limit)
            const last = page[page.length - 1]
            return {
              balances: page.map(balanceOf),
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
          list(
            cause,
            visible(cause, query, { after: after.success, limit: limit + 1 }, {
              read: (tx, narrowed, page) => tx.reservations(tenant, narrowed, page),
              path: (row) => row.scopes[row.scopes.length - 1] ?? "",
              position: (row) => [Listing.position(row, query), row.id]
            })
          ),
          (rows) => {
            const page = rows.slice(0, limit)
            const last = page[page.length - 1]
            const include = new Set<string>(query.include ?? [])
            return {
              reservations: page.map((row) => recordOf(row, include)),
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

/** Reads on until a page is full of rows the caller's scope filter lets it see. */
export const visible = <Q extends { readonly [L in Level]?: string }, Row>(
  cause: Cause,
  query: Q,
  page: Page,
  rows: {
    readonly read: (tx: LedgerTx, query: Q, page: Page) => Effect.Effect<ReadonlyArray<Row>, StoreError>
    readonly path: (row: Row) => string
    readonly position: (row: Row) => readonly [value: string, id: string]
  }
): Reader<ReadonlyArray<Row>> =>
(tx, view) => {
  if (cause.keyId === undefined && cause.scopeFilter === undefined) return rows.read(tx, query, page)
  const narrowed = ScopeFilter.narrow(filterOf(view, cause), query)
  const seen: Array<Row> = []
  const next = (after: Page["after"]): Effect.Effect<ReadonlyArray<Row>, StoreError> =>
    Effect.flatMap(rows.read(tx, narrowed, { after, limit: page.limit }), (found) => {
      for (const row of found) if (seen.length < page.limit && reaches(view, cause, rows.path(row))) seen.push(row)
      const last = found[found.length - 1]
      return last === undefined || found.length < page.limit || seen.length === page.limit
        ? Effect.succeed(seen)
        : next(rows.position(last))
    })
  return next(page.after)
}

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
