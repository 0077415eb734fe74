/**
 * What a guarded call, and a reservation of a scope, tell of themselves to logs, traces and metrics.
 *
 * Every log line of a guarded body names its reservation, scope and action. A span is made for each guard, but only where a tracer
 * is installed that does something with it: Effect's own keeps spans to itself, and a span costs as much as half a guard.
 *
 * What is asked of the authority is a span below it, `Budget.reserve`, `Budget.extend`, `Budget.commit` and so on.
 *
 * Counters: `cycles_decisions`, `cycles_denials`, `cycles_operations`, `cycles_overruns`, `cycles_recoveries`, `cycles_unguarded_runs` and
 * `cycles_shadow_decisions`. Histograms: `cycles_operation_duration` and `cycles_estimate_drift`.
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
import type { AnyAmount, Unit } from "../protocol/Amount.ts"
import type { Operations } from "../protocol/BudgetAuthority.ts"
import type { Denied } from "../protocol/CyclesError.ts"
import { isDenied } from "../protocol/CyclesError.ts"
import type { ReservationId } from "../protocol/Ids.ts"
import type { Details } from "./Hold.ts"
import type { Outcome } from "./Settlement.ts"

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
  span.attribute("cycles.unit", details.reserved.unit)
  span.attribute("cycles.estimate", numberOf(details.reserved.amount))
}

/** A tracer has no bigint; beyond 2^53 it is told a rounded number. */
const numberOf = (amount: bigint): number => Number(amount)

/** Says on the span what became of its settlement. */
export const ended = (span: Tracer.Span, outcome: Outcome): void => {
  span.attribute("cycles.outcome", outcome._tag)
  if ("charged" in outcome && outcome.charged !== undefined) {
    span.attribute("cycles.charged", numberOf(outcome.charged.amount))
  }
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

type Labels = { readonly [name: string]: string }

const denials = (attributes: Labels) =>
  Metric.counter("cycles_denials", {
    description: "Reserves that were denied, shadow mode apart",
    incremental: true,
    attributes
  })

const unguardedRuns = (attributes: Labels) =>
  Metric.counter("cycles_unguarded_runs", {
    description: "Work that ran without a budget because the authority could not be reached",
    incremental: true,
    attributes
  })

const shadowDecisions = (attributes: Labels) =>
  Metric.counter("cycles_shadow_decisions", {
    description: "What guards in shadow mode would have been answered",
    incremental: true,
    attributes
  })

const decisions = (attributes: Labels) =>
  Metric.counter("cycles_decisions", {
    description: "What reserves were answered, shadow mode apart",
    incremental: true,
    attributes
  })

const operations = (attributes: Labels) =>
  Metric.counter("cycles_operations", {
    description: "What was asked of the authority, and how it ended",
    incremental: true,
    attributes
  })

const durations = (attributes: Labels) =>
  Metric.histogram("cycles_operation_duration", {
    description: "How long the authority took to answer, in milliseconds",
    boundaries: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000],
    attributes
  })

const drifts = (attributes: Labels) =>
  Metric.histogram("cycles_estimate_drift", {
    description: "What was used as a share of what was estimated",
    boundaries: [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 4],
    attributes
  })

const overruns = (attributes: Labels) =>
  Metric.counter("cycles_overruns", {
    description: "Work that used more than was reserved for it",
    incremental: true,
    attributes
  })

const recoveries = (attributes: Labels) =>
  Metric.counter("cycles_recoveries", {
    description: "Charges that came late and were not lost: as an event, or from the journal",
    incremental: true,
    attributes
  })

type Series = Metric.Metric<number, unknown>

/**
 * A metric for each set of labels, made with them. Those that share one metric by `withAttributes` build the key of their series
 * anew whenever another of them was updated before.
 */
const labelled = (make: (attributes: Labels) => Series, ...names: ReadonlyArray<string>) => {
  const found = new Map<string, Series>()
  return (...values: ReadonlyArray<string>): Series => {
    const key = values.join("\n")
    let series = found.get(key)
    if (series === undefined) {
      series = make(Object.fromEntries(names.map((name, i) => [name, values[i] ?? ""])))
      found.set(key, series)
    }
    return series
  }
}

const decisionsOf = labelled(decisions, "decision", "action_kind")
const operationsOf = labelled(operations, "operation", "result")
const durationsOf = labelled(durations, "operation")
const driftsOf = labelled(drifts, "action_kind")
const overrunsOf = labelled(overruns, "action_kind")
const denialsOf = labelled(denials, "error", "action_kind")
const unguardedRunsOf = labelled(unguardedRuns, "action_kind")
const shadowDecisionsOf = labelled(shadowDecisions, "decision", "reason", "action_kind")
const recoveriesOf = labelled(recoveries, "how")

/** Counts a reserve that was denied. */
export const denied = (action: Action, error: Denied): Effect.Effect<void> =>
  Effect.andThen(
    Metric.update(denialsOf(error._tag, action.kind), 1),
    Metric.update(decisionsOf("DENY", action.kind), 1)
  )

/** Counts work that goes on although the authority cannot be reached. */
export const ranUnguarded = (action: Action): Effect.Effect<void> => Metric.update(unguardedRunsOf(action.kind), 1)

/** Counts what a guard in shadow mode would have been answered. */
export const rehearsed = (action: Action, decision: string, reason: string): Effect.Effect<void> =>
  Metric.update(shadowDecisionsOf(decision, reason, action.kind), 1)

/** Counts a charge that was made although its lease had ended, or the process that owed it. */
export const recovered = (how: "event" | "journal"): Effect.Effect<void> => Metric.update(recoveriesOf(how), 1)

/** Notes how far an estimate was from what was used, before that is settled. */
export const using = <A>(
  action: Action,
  estimate: AnyAmount,
  actual: AnyAmount,
  settling: Effect.Effect<A>
): Effect.Effect<A> =>
  Effect.withFiber(({ context }) => {
    if (estimate.amount > 0n) {
      driftsOf(action.kind).updateUnsafe(Number(actual.amount) / Number(estimate.amount), context)
    }
    if (actual.amount > estimate.amount) overrunsOf(action.kind).updateUnsafe(1, context)
    return settling
  })

const tagOf = (exit: Exit.Exit<unknown, { readonly _tag: string }>): string => {
  if (Exit.isSuccess(exit)) return "ok"
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" ? error.value._tag : Exit.hasInterrupts(exit) ? "Interrupted" : "Defect"
}

const asked = <A, E extends { readonly _tag: string }>(
  name: string,
  operation: Effect.Effect<A, E>,
  onReply?: (reply: A, context: Context.Context<never>) => void
): Effect.Effect<A, E> =>
  Effect.withFiber((fiber) => {
    const { context } = fiber
    const clock = fiber.getRef(Clock.Clock)
    const from = clock.monotonicTimeNanosUnsafe()
    const measured = Effect.onExit(operation, (exit) => {
      durationsOf(name).updateUnsafe(Number(clock.monotonicTimeNanosUnsafe() - from) / 1_000_000, context)
      operationsOf(name, tagOf(exit)).updateUnsafe(1, context)
      if (onReply !== undefined && Exit.isSuccess(exit)) onReply(exit.value, context)
      return Effect.void
    })
    return isTraced(fiber) ? Effect.withSpan(measured, `Budget.${name}`, { captureStackTrace: false }) : measured
  })

/** The authority, with what is asked of it measured, and traced where somebody traces. */
export const observe = (authority: Operations): Operations => ({
  decide: (request) => asked("decide", authority.decide(request)),
  reserve: (request) =>
    asked("reserve", authority.reserve(request), ({ decision }, context) => {
      // A denial is counted where its error is made, whichever way it was answered.
      if (request.dryRun === true || decision === "DENY") return
      decisionsOf(decision, request.action.kind).updateUnsafe(1, context)
    }),
  commit: (id, request) => asked("commit", authority.commit(id, request)),
  release: (id, request) => asked("release", authority.release(id, request)),
  extend: (id, request) => asked("extend", authority.extend(id, request)),
  event: (request) => asked("event", authority.event(request)),
  balances: (query) => authority.balances(query),
  reservation: (id) => authority.reservation(id),
  reservations: (query) => authority.reservations(query)
})
