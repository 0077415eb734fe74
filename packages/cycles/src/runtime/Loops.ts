/**
 * Noticing that an agent goes round in circles before its budget is gone. Reachable as `Budget.breakLoops`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Schema from "effect/Schema"
import type { Amount, Unit } from "../protocol/Amount.ts"
import { UnknownDenial } from "../protocol/CyclesError.ts"
import * as Budget from "./Guard.ts"

/**
 * Some work was ended because it seemed to go round in circles.
 *
 * - `because`: the same action came too often, or spend grew too fast
 * - `action`: what was about to be done
 * - `times`: how often it had been asked for, this time included; of a growth in spend, how many times as much it was
 *
 * @category errors
 * @since 0.1.0
 */
export class LoopDetected extends Schema.TaggedError<LoopDetected>("effect-cycles/LoopDetected")("LoopDetected", {
  because: Schema.Literals(["repetition", "acceleration"]),
  action: Schema.Struct({ kind: Schema.String, name: Schema.String }),
  fingerprint: Schema.optionalKey(Schema.String),
  times: Schema.Finite
}) {
  /** Whether the same request may succeed later, unchanged. */
  get isTransient(): boolean {
    return false
  }

  override get message(): string {
    const { because, times } = this
    const action = `${this.action.kind} ${this.action.name}`
    return because === "repetition"
      ? `A loop: ${action} with the same arguments for the ${times}th time. Look at what the agent is told of its last attempts.`
      : `A loop: with ${action} spend is ${times} times what it was in the window before. Look at what the agent is doing.`
  }
}

/**
 * When work counts as a loop.
 *
 * - `repeats`: the same action with the same arguments asked for this often; at least 2
 * - `window`: how far back repetitions count; as long as the work runs when not given. Also what `acceleration` compares, 1 minute
 *   when not given
 * - `acceleration`: more than this many times as much was asked for within the window as in the one before; not looked at when not
 *   given
 *
 * @category models
 * @since 0.1.0
 */
export interface LoopOptions {
  readonly repeats: number
  readonly window?: Duration.Input | undefined
  readonly acceleration?: number | undefined
}

const DEFAULT_WINDOW_MS = 60_000

/**
 * Ends work that does the same thing again and again, with `LoopDetected`, before the budget does.
 *
 * Every guard and reservation inside counts when it is asked for, those that are denied as well, in child fibers too. Two are the
 * same where their action's kind and name and their request's `fingerprint` are the same: give the arguments as the fingerprint,
 * or a digest of them; without one the action alone is compared. What is asked for is what `acceleration` compares, in each unit for
 * itself, once the work has run for two windows.
 *
 * The call that closes the loop is denied, its body does not run, and the whole work is interrupted, so code inside cannot
 * swallow the error. What was spent until then is settled as in any interruption.
 *
 * Throws a `RangeError` for fewer than 2 repeats, an acceleration that is not above 1, or a window that cannot be read.
 *
 * **Example** (The third search for the same words)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const search = (words: string) =>
 *   Budget.guard(
 *     { action: Action.make("tool.search", "web"), estimate: Amount.credits(1), fingerprint: words },
 *     (r) => Effect.succeed(r.commit(Amount.credits(1)))
 *   )
 *
 * const agent = Effect.forever(Effect.andThen(search("moss"), search("rain")))
 *
 * const program = agent.pipe(
 *   Budget.breakLoops({ repeats: 3 }),
 *   Effect.catchTag("LoopDetected", (loop) => Effect.succeed(`${loop.action.name} ${loop.fingerprint} ${loop.times}`)),
 *   Effect.provide(Budget.layer()),
 *   Effect.provide(Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.credits(1_000) }] }))
 * )
 *
 * console.log(await Effect.runPromise(program)) // => "web moss 3"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const breakLoops: {
  (
    options: LoopOptions
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | LoopDetected, R | Budget.Budget>
  <A, E, R>(self: Effect.Effect<A, E, R>, options: LoopOptions): Effect.Effect<A, E | LoopDetected, R | Budget.Budget>
} = dual(2, <A, E, R>(
  self: Effect.Effect<A, E, R>,
  options: LoopOptions
): Effect.Effect<A, E | LoopDetected, R | Budget.Budget> => {
  const { acceleration, repeats } = options
  const windowMs = options.window === undefined ? undefined : Duration.toMillis(options.window)
  if (!Number.isSafeInteger(repeats) || repeats < 2) throw new RangeError(`repeats must be at least 2; got ${repeats}`)
  if (acceleration !== undefined && !(acceleration > 1)) {
    throw new RangeError(`acceleration must be above 1; got ${acceleration}`)
  }
  return Effect.withFiber((fiber) => {
    const around = Context.getUnsafe(fiber.context, Budget.Budget)
    const clock = fiber.getRef(Clock.Clock)
    const now = (): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
    const repeated = repetitions(repeats, windowMs)
    const accelerated = acceleration === undefined
      ? undefined
      : accelerations(acceleration, windowMs ?? DEFAULT_WINDOW_MS, now())
    const broken = Deferred.makeUnsafe<never, LoopDetected>()
    let detected: LoopDetected | undefined

    const look = ({ action: { kind, name }, estimate, fingerprint }: Budget.Request<Unit>): void => {
      if (detected !== undefined) return
      const at = now()
      const times = repeated(`${kind}\n${name}\n${fingerprint ?? ""}`, at)
      const factor = accelerated?.(estimate.unit, estimate.amount, at)
      if (times === undefined && factor === undefined) return
      detected = new LoopDetected({
        because: times === undefined ? "acceleration" : "repetition",
        action: { kind, name },
        ...(fingerprint === undefined ? undefined : { fingerprint }),
        times: times ?? factor ?? 0
      })
      Deferred.doneUnsafe(broken, Effect.fail(detected))
    }
    const refused = (loop: LoopDetected, { amount, unit }: Amount<Unit>): UnknownDenial =>
      new UnknownDenial({ code: "LOOP_DETECTED", unit, requested: amount, reason: loop.message })

    const budget = Budget.Budget.of({
      ...around,
      complete: (request, spending) => {
        const task = around.complete(request, spending)
        look(request)
        // Work that does not ask for budget is ended by the interruption alone.
        return detected === undefined
          ? task
          : { ...task, request: { ...task.request, refused: refused(detected, request.estimate) } }
      }
    })
    const ended = Effect.exit(
      Effect.raceFirst(Effect.provideService(self, Budget.Budget, budget), Deferred.await(broken))
    )
    // The work may have come to an end of its own between the detection and the interruption.
    return Effect.flatMap(ended, (exit) => detected === undefined ? exit : Effect.fail(detected))
  })
})

/** How many different calls are told apart; an agent that makes more of them is not going round in circles. */
const MAX_KEYS = 10_000

const forgetOldest = (seen: Map<string, unknown>): void => {
  if (seen.size <= MAX_KEYS) return
  for (const key of seen.keys()) {
    seen.delete(key)
    return
  }
}

/** Counts what comes, and says how often the same has come once that is too often. */
const repetitions = (repeats: number, windowMs: number | undefined) => {
  const seen = new Map<string, Array<number>>()
  return (key: string, at: number): number | undefined => {
    // No more than the last few times of each need to be known.
    const times = seen.get(key) ?? []
    if (times.length === 0) {
      seen.set(key, times)
      forgetOldest(seen)
    }
    times.push(at)
    if (times.length > repeats) times.shift()
    const since = windowMs === undefined ? -Infinity : at - windowMs
    const recent = times.filter((time) => time > since).length
    return recent >= repeats ? recent : undefined
  }
}

/** Adds up what is asked for, and says how many times as much it was in the last window once that is too much. */
const accelerations = (factor: number, windowMs: number, startedAt: number) => {
  const asked = new Map<Unit, Array<{ readonly at: number; readonly amount: bigint }>>()
  return (unit: Unit, amount: bigint, at: number): number | undefined => {
    const kept = (asked.get(unit) ?? []).filter((one) => one.at > at - 2 * windowMs)
    kept.push({ at, amount })
    asked.set(unit, kept)
    if (at - startedAt < 2 * windowMs) return undefined
    let before = 0n
    let last = 0n
    for (const one of kept) {
      if (one.at > at - windowMs) last += one.amount
      else before += one.amount
    }
    // After a pause there is nothing to compare with.
    if (before === 0n) return undefined
    const grown = Number(last) / Number(before)
    return grown > factor ? Math.round(grown * 100) / 100 : undefined
  }
}
