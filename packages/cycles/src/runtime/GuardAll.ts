/**
 * One piece of work under several reservations, for what costs in more than one unit. Reachable as `Budget.guardAll`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Unit } from "../protocol/Amount.ts"
import * as Budget from "./Guard.ts"
import type { Guarded } from "./Hold.ts"
import * as Lifecycle from "./Lifecycle.ts"
import type { Joined } from "./Settlement.ts"
import * as Settlements from "./Settlement.ts"
import * as Telemetry from "./Telemetry.ts"

/**
 * Runs a body under one reservation for each named request, of any units: tokens and money, say. All or nothing: where one is denied
 * the others are released and the body does not run.
 *
 * The body is given the reservations by name and returns a settlement of each, joined by `Settlement.all`. One that is missing, one
 * of another reservation, or two that are swapped do not type-check. What a body costs that failed or was interrupted is each
 * request's own `onUnsettled`.
 *
 * This is composed in the client: the protocol has no reservation in two units. The holds are taken one after the other, in the
 * order of their names, whatever order they are written in; two calls that name their budgets alike never wait for each other
 * crosswise. For a moment the first are held while the last is asked for, so another call can be denied a budget that is given
 * back right after. The settlements are separate too: where one has trouble, as a guard's can have, the others are carried out
 * all the same.
 *
 * **Example** (Tokens and risk points)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger, Settlement } from "effect-cycles"
 *
 * const action = Action.make("message.email", "newsletter")
 * const send = Budget.guardAll(
 *   { tokens: { action, estimate: Amount.tokens(500) }, risk: { action, estimate: Amount.riskPoints(10) } },
 *   function*({ risk, tokens }) {
 *     yield* Effect.sleep("1 millis")
 *     return Settlement.all({ tokens: tokens.commit(Amount.tokens(420)), risk: risk.commit(Amount.riskPoints(10)) }, "sent")
 *   }
 * )
 *
 * const program = send.pipe(
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({
 *     tenant: "acme",
 *     budgets: [
 *       { scope: "tenant:acme", allocated: Amount.tokens(5_000) },
 *       { scope: "tenant:acme", allocated: Amount.riskPoints(100) }
 *     ]
 *   }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "sent"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const guardAll = <
  const Units extends Readonly<Record<string, Unit>>,
  A = never,
  E2 = never,
  E = never,
  R = never,
  Eff extends Effect.Effect<unknown, unknown, unknown> = never
>(
  requests: { readonly [K in keyof Units]: Budget.Request<Units[K]> },
  body: <S>(
    reservations: { readonly [K in keyof Units]: Guarded<readonly [S, K], Units[K]> }
  ) =>
    | Effect.Effect<Joined<{ readonly [K in keyof Units]: readonly [S, K] }, keyof Units, A, E2>, E, R>
    | Generator<Eff, Joined<{ readonly [K in keyof Units]: readonly [S, K] }, keyof Units, A, E2>, never>
): Effect.Effect<A, E | E2 | Effect.Error<Eff> | Budget.GuardError, R | Effect.Services<Eff> | Budget.Budget> =>
  Effect.withFiber((fiber) => {
    type Given = Joined<{ readonly [K in keyof Units]: readonly [unknown, K] }, keyof Units, A, E2>
    const budget = Context.getUnsafe(fiber.context, Budget.Budget)
    const spending = fiber.getRef(Budget.Spender)
    // By name and unit they are what the type says; from here on they are walked through by name.
    const byName = requests as Readonly<Record<string, Budget.Request<Unit>>>
    const names = Object.keys(byName).sort()
    const reservations: Record<string, Guarded<unknown, Unit>> = {}
    let began = false
    let decided: Settlements.Decisions | undefined

    const work: Effect.Effect<unknown, unknown, unknown> = Effect.suspend(() => {
      began = true
      const given = body(reservations as never)
      const effect: Effect.Effect<Given, unknown, unknown> = Effect.isEffect(given) ? given : Effect.gen(() => given)
      return Effect.map(effect, (joined) => {
        decided = Settlements.decisionsOf(joined)
      })
    })
    const verdictOf = (name: string, exit: Exit.Exit<unknown, unknown>): Lifecycle.Verdict => {
      const reservation = reservations[name] as Guarded<unknown, Unit>
      // What the body has said stands, even where a settlement further in was not waited for or had its lease lost.
      if (decided !== undefined) return Budget.decidedOf(decided.parts[name], reservation)
      return began && Exit.isFailure(exit)
        ? Budget.unsettled(
          byName[name] as Budget.Request<Unit>,
          budget.onUnsettled,
          Exit.failCause(exit.cause),
          reservation
        )
        : { _tag: "Release", reason: "another budget was denied" }
    }
    const under = (at: number): Effect.Effect<unknown, unknown, unknown> => {
      const name = names[at]
      if (name === undefined) return work
      const task = budget.complete(byName[name] as Budget.Request<Unit>, spending)
      const ended = Effect.flatMap(
        Lifecycle.run(
          task,
          (reservation) => {
            reservations[name] = reservation
            return under(at + 1)
          },
          (exit) => verdictOf(name, exit)
        ),
        ({ exit }) => exit
      )
      return Telemetry.spanned(task.request.action, ended)
    }
    const settled = Effect.flatMap(under(0), () => {
      const failed = names.map((name) => decided?.parts[name]).find((part) => part?._tag === "CommitFail")
      return failed?._tag === "CommitFail" ? Effect.fail(failed.error) : Effect.succeed(decided?.value)
    })
    // Errors, services and value are those of the body, the joined settlements and the guards, as the signature has them.
    return settled as Effect.Effect<never, never, never>
  })
