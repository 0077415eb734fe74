/**
 * What a guarded call tells of itself to logs and traces.
 *
 * Every log line of a guarded body names its reservation, scope and action. A span is made for each guard, but only where a tracer
 * is installed that does something with it: Effect's own keeps spans to itself, and a span costs as much as half a guard.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type { Action } from "../protocol/Action.ts"
import type { Unit } from "../protocol/Amount.ts"
import { isDenied } from "../protocol/CyclesError.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type { Details } from "./Hold.ts"

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

/** Adds what is logged with every line. */
export const annotated = <R, U extends Unit>(
  context: Context.Context<R>,
  action: Action,
  details: Details<U>
): Context.Context<R> => {
  const outer = Context.get(context, References.CurrentLogAnnotations)
  const name = `${action.kind} ${action.name}`
  return Context.add(
    context,
    References.CurrentLogAnnotations,
    details.held
      ? {
        ...outer,
        "cycles.reservation_id": details.id,
        "cycles.scope": scopeOf(details),
        "cycles.action": name
      }
      : { ...outer, "cycles.action": name }
  )
}
