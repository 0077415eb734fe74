/**
 * Waiting for budget instead of being denied. Reachable as `Budget.whenAvailable`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type { Operations } from "../protocol/BudgetAuthority.ts"
import { isDenied } from "../protocol/CyclesError.ts"
import * as Budget from "./Guard.ts"
import type { Ticket } from "./Line.ts"
import { wake } from "./Line.ts"

const FIRST_POLL_MS = 100
const LONGEST_POLL_MS = 5_000

/**
 * Waits for budget: where the first reservation of an effect is denied, the effect is run again once there may be budget, until the
 * timeout, and fails with the denial then.
 *
 * - Who came first is served first, per `Budget` layer: nobody who waits is overtaken by another that waits, even where the other
 *   asks for less. Guards without this combinator do not stand in line
 * - The first in line asks again whenever a guard of the same layer settles, and from time to time for the sake of everything
 *   that happens elsewhere; never sooner than the authority said
 * - Only the first reservation waits. Once one was given the work has begun, and a denial further on is the effect's own: put this
 *   around single guards
 * - Denials that no waiting can help (a closed budget or tenant, an action that is not allowed) fail at once. A request for more
 *   than the whole budget is not one of them: it waits for the timeout
 *
 * The timeout is for the waiting, not for the work.
 *
 * **Example** (Two calls, budget for one at a time)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const call = (name: string) =>
 *   Budget.guard(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(60) },
 *     (r) => Effect.as(Effect.sleep("5 millis"), r.commit(Amount.tokens(40), name))
 *   ).pipe(Budget.whenAvailable({ timeout: "1 minute" }))
 *
 * const program = Effect.forEach(["one", "two"], call, { concurrency: 2 }).pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(100) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => [ "one", "two" ]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const whenAvailable: {
  (
    options: { readonly timeout: Duration.Input }
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | Budget.Budget>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options: { readonly timeout: Duration.Input }
  ): Effect.Effect<A, E, R | Budget.Budget>
} = dual(2, <A, E, R>(
  self: Effect.Effect<A, E, R>,
  options: { readonly timeout: Duration.Input }
): Effect.Effect<A, E, R | Budget.Budget> =>
  Effect.withFiber((fiber) => {
    const budget = Context.getUnsafe(fiber.context, Budget.Budget)
    const { line } = budget
    const clock = fiber.getRef(Clock.Clock)
    const now = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
    const deadline = now() + Duration.toMillis(options.timeout)

    const ticket: Ticket = { signal: Deferred.makeUnsafe() }
    const join = (): void => {
      if (!line.tickets.includes(ticket)) line.tickets.push(ticket)
    }
    const leave = (): void => {
      const at = line.tickets.indexOf(ticket)
      if (at < 0) return
      line.tickets.splice(at, 1)
      if (at === 0) wake(line.tickets[0])
    }
    /** Until this one is woken or the time is up, whichever comes first. */
    const woken = (withinMs: number): Effect.Effect<void> =>
      Effect.suspend(() => {
        ticket.signal = Deferred.makeUnsafe()
        return Effect.asVoid(Effect.timeoutOption(Deferred.await(ticket.signal), Math.max(0, withinMs)))
      })
    const isFirst = (): boolean => line.tickets[0] === ticket
    const turn: Effect.Effect<void> = Effect.suspend(() =>
      line.tickets.length === 0 || isFirst() || now() >= deadline
        ? Effect.void
        : Effect.flatMap(
          Effect.sync(join),
          () => isFirst() ? Effect.void : Effect.andThen(woken(deadline - now()), turn)
        )
    )

    let admitted = false
    // The same budget, but for a look at what its reserves bring: with a hold given, the place in the line is the next one's.
    const looked = Effect.provideService(
      self,
      Budget.Budget,
      Budget.Budget.of({
        ...budget,
        complete: (request, spending) => {
          const task = budget.complete(request, spending)
          const { authority } = task.keeper
          const reserve: Operations["reserve"] = (wire) =>
            Effect.map(authority.reserve(wire), (reply) => {
              if (reply.decision !== "DENY") {
                admitted = true
                leave()
              }
              return reply
            })
          return { ...task, keeper: { ...task.keeper, authority: { ...authority, reserve } } }
        }
      })
    )

    const attempt = (poll: number): Effect.Effect<A, E, R> =>
      Effect.suspend(() => {
        const seen = line.settled
        return Effect.catch(looked, (error) => {
          const waitMs = admitted || now() >= deadline ? undefined : waitFor(error)
          if (waitMs === undefined) return Effect.fail(error)
          join()
          const until = deadline - now()
          const wait = waitMs > 0
            ? Effect.sleep(Math.min(waitMs, until))
            : isFirst() && line.settled === seen
            ? woken(Math.min(poll, until))
            : Effect.void
          return Effect.andThen(Effect.andThen(wait, turn), attempt(Math.min(2 * poll, LONGEST_POLL_MS)))
        })
      })

    return Effect.ensuring(Effect.andThen(turn, attempt(FIRST_POLL_MS)), Effect.sync(leave))
  }))

/** How long to wait at least before a refused reserve is tried again; nothing where waiting cannot help. */
const waitFor = (error: unknown): number | undefined => {
  const asked = typeof error === "object" && error !== null && "retryAfterMs" in error ? error.retryAfterMs : undefined
  const waitMs = typeof asked === "number" ? asked : 0
  if (typeof error === "object" && error !== null && "_tag" in error && error._tag === "RateLimited") {
    return Math.max(waitMs, FIRST_POLL_MS)
  }
  if (!isDenied(error)) return undefined
  switch (error._tag) {
    case "BudgetClosed":
    case "TenantClosed":
      return undefined
    case "ActionDenied":
      return error.code === "ACTION_QUOTA_EXCEEDED" ? waitMs : undefined
    case "UnknownDenial":
      return waitMs > 0 ? waitMs : undefined
    default:
      return waitMs
  }
}
