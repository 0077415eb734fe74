/**
 * What a guarded call, and a reservation of a scope, tell of themselves to logs, traces and metrics.
 *
 * Every log line of a guarded body names its reservation, scope and action. A span is made for each guard, but only where a tracer
 * is installed that does something with it: Effect's own keeps spans to itself, and a span costs as much as half a guard.
 *
 * Counters: `cycles_denials`, `cycles_unguarded_runs` and `cycles_shadow_decisions`.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { Action } from "../protocol/Action.ts"
import type { Unit } from "../protocol/Amount.ts"
import type { Denied } from "../protocol/CyclesError.ts"
import { isDenied } from "../protocol/CyclesError.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type { Details } from "./Hold.ts"

// ---------------------------------------------------------------------------------------------------------------------
// spans
// ---------------------------------------------------------------------------------------------------------------------

const isTraced = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.getRef(Tracer.Tracer) !== Tracer.nativeTracer

const NAME = "Budget.guard"

/** The span that was made for the guard a fiber works for, where there is one. Inside of the body there may be others. */
export const spanOf = (fiber: Fiber.Fiber<unknown, unknown>): Tracer.Span | undefined => {
  if (!isTraced(fiber)) return undefined
  const span = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
  return span?._tag === "Span" && span.name === NAME ? span : undefined
}

/** A span around a whole guarded call, from before the reserve until its settlement was answered. */
export const spanned = <A, E, R>(action: Action, guarded: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    isTraced(fiber)
      ? Effect.useSpan(
        NAME,
        { attributes: { "cycles.action.kind": action.kind, "cycles.action.name": action.name } },
        (span) =>
          Effect.tapError(Effect.withParentSpan(guarded, span, { captureStackTrace: false }), (error) =>
            Effect.sync(() => {
              // A denial of a guard inside is not one of this one, which was decided already.
              if (isDenied(error) && !span.attributes.has("cycles.decision")) {
                span.attribute("cycles.decision", "DENY")
              }
            }))
      )
      : guarded
  )

/** A span that is ended by hand, since it lives as long as a reservation and not as long as an effect. */
export interface Lifetime {
  readonly span: Tracer.Span
  readonly end: (exit: Exit.Exit<unknown, unknown>) => void
}

/** Begins the span of a reservation that a scope will own. */
export const begin = (
  name: "Reservation.make" | "Reservation.adopt",
  action: Action
): Effect.Effect<Lifetime | undefined> =>
  Effect.withFiber((fiber) => {
    if (!isTraced(fiber)) return Effect.undefined
    const clock = fiber.getRef(Clock.Clock)
    return Effect.map(
      Effect.makeSpan(name, { attributes: { "cycles.action.kind": action.kind, "cycles.action.name": action.name } }),
      (span) => ({ span, end: (exit) => span.end(clock.currentTimeNanosUnsafe(), exit) })
    )
  })

/** Puts what is done for a reservation under its span. */
export const within = <A, E, R>(
  lifetime: Lifetime | undefined,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  lifetime === undefined ? effect : Effect.withParentSpan(effect, lifetime.span, { captureStackTrace: false })

/** Takes a hold under its span, which ends here where none was given. */
export const taking = <A, E, R>(
  lifetime: Lifetime | undefined,
  taken: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  lifetime === undefined ? taken : Effect.onExit(within(lifetime, taken), (exit) =>
    Effect.sync(() => {
      if (Exit.isSuccess(exit)) return
      const error = Exit.findErrorOption(exit)
      if (error._tag === "Some" && isDenied(error.value)) lifetime.span.attribute("cycles.decision", "DENY")
      lifetime.end(exit)
    }))

const scopeOf = <U extends Unit>({ affectedScopes, scopePath }: Details<U>): string | undefined =>
  scopePath ?? affectedScopes[affectedScopes.length - 1]

/** Says on the span what a guard was given. */
export const given = <U extends Unit>(span: Tracer.Span, details: Details<U>): void => {
  const scope = scopeOf(details)
  if (details.held) span.attribute("cycles.reservation_id", details.id)
  if (scope !== undefined) span.attribute("cycles.scope", scope)
  span.attribute("cycles.decision", details.decision)
}

/** Says on the span that the work goes on under another hold. */
export const renewed = (span: Tracer.Span, clock: Clock.Clock, id: ReservationId): void =>
  span.event("cycles.renewed", clock.currentTimeNanosUnsafe(), { "cycles.reservation_id": id })

// ---------------------------------------------------------------------------------------------------------------------
// logs
// ---------------------------------------------------------------------------------------------------------------------

const annotationsOf = <U extends Unit>(action: Action, details: Details<U>): Readonly<Record<string, unknown>> => {
  const name = `${action.kind} ${action.name}`
  return details.held
    ? { "cycles.reservation_id": details.id, "cycles.scope": scopeOf(details), "cycles.action": name }
    : { "cycles.action": name }
}

/** Adds what is logged with every line until the scope ends. */
export const annotatedScope = <U extends Unit>(
  action: Action,
  details: Details<U>
): Effect.Effect<void, never, Scope.Scope> => Effect.annotateLogsScoped(annotationsOf(action, details))

/** Adds what is logged with every line. */
export const annotated = <R, U extends Unit>(
  context: Context.Context<R>,
  action: Action,
  details: Details<U>
): Context.Context<R> => {
  const outer = Context.get(context, References.CurrentLogAnnotations)
  return Context.add(context, References.CurrentLogAnnotations, { ...outer, ...annotationsOf(action, details) })
}

// ---------------------------------------------------------------------------------------------------------------------
// counters
// ---------------------------------------------------------------------------------------------------------------------

const denials = Metric.counter("cycles_denials", {
  description: "Reserves that were denied, shadow mode apart",
  incremental: true
})

const unguardedRuns = Metric.counter("cycles_unguarded_runs", {
  description: "Work that ran without a budget because the authority could not be reached",
  incremental: true
})

const shadowDecisions = Metric.counter("cycles_shadow_decisions", {
  description: "What guards in shadow mode would have been answered",
  incremental: true
})

/** Counts a reserve that was denied. */
export const denied = (action: Action, error: Denied): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(denials, { error: error._tag, action_kind: action.kind }), 1)

/** Counts work that goes on although the authority cannot be reached. */
export const ranUnguarded = (action: Action): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(unguardedRuns, { action_kind: action.kind }), 1)

/** Counts what a guard in shadow mode would have been answered. */
export const rehearsed = (action: Action, decision: string, reason: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(shadowDecisions, { decision, reason, action_kind: action.kind }), 1)
