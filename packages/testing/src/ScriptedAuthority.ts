/**
 * A `BudgetAuthority` that a test can make slow, forgetful and contrary, and that remembers what it was asked.
 *
 * It stands between the code under test and a real authority (usually the memory ledger's) and plays the network between
 * them: a request can be late or lost, a reply can be late or lost after the request took effect, and an error can come on
 * cue. Each operation has a script, a list of {@link Behaviour}s that its next calls take one by one; calls beyond the script,
 * and operations without one, pass straight through.
 *
 * What was sent stays sent: as on a network, the interruption of a caller does not call a scripted request back.
 *
 * **Example** (The reply to a reserve is lost; the repetition uses the same key)
 *
 * ```ts
 * import { ScriptedAuthority } from "@effect-cycles/testing"
 * import { Effect, Layer } from "effect"
 * import { Action, Amount, Budget, Ledger } from "effect-cycles"
 *
 * const layer = Budget.layer().pipe(
 *   Layer.provideMerge(ScriptedAuthority.layer()),
 *   Layer.provideMerge(
 *     Ledger.layerMemory({ tenant: "acme", budgets: [{ scope: "tenant:acme", allocated: Amount.tokens(5_000) }] })
 *   )
 * )
 *
 * const program = Effect.gen(function*() {
 *   const authority = yield* ScriptedAuthority.ScriptedAuthority
 *   yield* authority.on("reserve", ScriptedAuthority.loseReply("10 millis"))
 *   yield* Budget.guard(
 *     { action: Action.make("llm.completion", "gpt-4o"), estimate: Amount.tokens(1_000) },
 *     (r) => Effect.succeed(r.commit(Amount.tokens(420)))
 *   )
 *   const reserves = yield* authority.callsOf("reserve")
 *   return { reserves: reserves.length, keys: new Set(reserves.map(({ request }) => request.idempotencyKey)).size }
 * }).pipe(Effect.provide(layer))
 *
 * console.log(await Effect.runPromise(program)) // => { reserves: 2, keys: 1 }
 * ```
 *
 * @since 0.1.0
 */
import type { Operations } from "effect-cycles/protocol/BudgetAuthority"
import { BudgetAuthority } from "effect-cycles/protocol/BudgetAuthority"
import { AuthorityUnavailable, RateLimited } from "effect-cycles/protocol/CyclesError"
import type { ReservationId } from "effect-cycles/protocol/Ids"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

/**
 * The name of an operation of the port.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = keyof Operations

/**
 * What an operation replies.
 *
 * @category models
 * @since 0.1.0
 */
export type ReplyOf<O extends Operation> = Effect.Success<ReturnType<Operations[O]>>

/**
 * What an operation can fail with.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorOf<O extends Operation> = Effect.Error<ReturnType<Operations[O]>>

/**
 * What an operation is asked: its request, or its query; for `reservation`, which has neither, the id.
 *
 * @category models
 * @since 0.1.0
 */
export type RequestOf<O extends Operation> = Parameters<Operations[O]> extends [ReservationId, infer Request] ? Request
  : Parameters<Operations[O]>[0]

/**
 * One call of an operation. Times are Unix milliseconds by the caller's `Clock`.
 *
 * - `id`: the reservation it is about, for the operations by id
 * - `sentAtMs`: when it was made
 * - `arrivedAtMs`: when it reached the authority behind; absent as long as it has not, so for ever where it was lost
 * - `effect`: what the authority behind made of it; absent before
 * - `answeredAtMs`: when the caller got its answer, or gave up waiting; absent while it waits
 * - `outcome`: what the caller got, an interrupt where it gave up
 *
 * @category models
 * @since 0.1.0
 */
export interface Call<O extends Operation> {
  readonly operation: O
  readonly id: ReservationId | undefined
  readonly request: RequestOf<O>
  readonly sentAtMs: number
  readonly arrivedAtMs: number | undefined
  readonly effect: Exit.Exit<ReplyOf<O>, ErrorOf<O>> | undefined
  readonly answeredAtMs: number | undefined
  readonly outcome: Exit.Exit<ReplyOf<O>, ErrorOf<O>> | undefined
}

/**
 * A call of any operation.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyCall = { readonly [O in Operation]: Call<O> }[Operation]

/**
 * What happens to a call on its way there and back. `run` is given the sending of the request, and may delay it, leave it
 * out, or tamper with what comes of it; `calls` is how many calls in a row this happens to.
 *
 * Build one with {@link delayRequest}, {@link delayReply}, {@link loseRequest}, {@link loseReply}, {@link fail},
 * {@link rateLimit}, {@link reply}, {@link alter} and {@link pass}, repeated by {@link times} and {@link always}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Behaviour<A, E> {
  readonly calls: number
  // A method, so that a behaviour that says little (a delay, a denial) fits every operation that can do as much.
  run(send: Effect.Effect<A, E>): Effect.Effect<A, E>
}

/**
 * A behaviour for calls of one operation.
 *
 * @category models
 * @since 0.1.0
 */
export type BehaviourOf<O extends Operation> = Behaviour<ReplyOf<O>, ErrorOf<O>>

/**
 * Scripts by operation.
 *
 * @category models
 * @since 0.1.0
 */
export type Scripts = { readonly [O in Operation]?: ReadonlyArray<BehaviourOf<O>> }

/**
 * What a test does with a scripted authority.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** Adds behaviours to the end of an operation's script. */
  readonly on: <O extends Operation>(operation: O, ...script: ReadonlyArray<BehaviourOf<O>>) => Effect.Effect<void>
  /** Forgets an operation's script: its next calls pass. */
  readonly clear: (operation: Operation) => Effect.Effect<void>
  /** Every call so far, in the order they were made. */
  readonly calls: Effect.Effect<ReadonlyArray<AnyCall>>
  /** Every call of one operation so far, in the order they were made. */
  readonly callsOf: <O extends Operation>(operation: O) => Effect.Effect<ReadonlyArray<Call<O>>>
}

/**
 * The script and the record of a scripted authority.
 *
 * @category services
 * @since 0.1.0
 */
export class ScriptedAuthority extends Context.Service<ScriptedAuthority, Service>()(
  "@effect-cycles/testing/ScriptedAuthority"
) {}

// ---------------------------------------------------------------------------------------------------------------------
// behaviours
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The request arrives and is answered at once.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const pass = <A = never, E = never>(): Behaviour<A, E> => ({ calls: 1, run: (send) => send })

/**
 * The request is under way for a while before it arrives; what happens then is another behaviour, {@link pass} if not given.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const delayRequest = <A = never, E = never>(
  takes: Duration.Input,
  then: Behaviour<A, E> = pass()
): Behaviour<A, E> => ({ calls: then.calls, run: (send) => Effect.delay(then.run(send), takes) })

/**
 * The request takes effect at once, and its reply is under way for a while.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const delayReply = <A = never, E = never>(
  takes: Duration.Input,
  then: Behaviour<A, E> = pass()
): Behaviour<A, E> => ({
  calls: then.calls,
  run: (send) => Effect.flatMap(Effect.exit(then.run(send)), (exit) => Effect.delay(exit, takes))
})

const unanswered = (reason: string, noticedAfter: Duration.Input | undefined) =>
  noticedAfter === undefined
    ? Effect.never
    : Effect.delay(Effect.suspend(() => Effect.fail(new AuthorityUnavailable({ reason }))), noticedAfter)

/**
 * The request never arrives. The caller gets `AuthorityUnavailable` after a while, or no answer at all where none is given.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const loseRequest = <A = never>(noticedAfter?: Duration.Input): Behaviour<A, AuthorityUnavailable> => ({
  calls: 1,
  run: () => unanswered("the request was lost", noticedAfter)
})

/**
 * The request takes effect, and its reply is lost. The caller gets `AuthorityUnavailable` after a while, or no answer at all
 * where none is given.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const loseReply = <A = never>(noticedAfter?: Duration.Input): Behaviour<A, AuthorityUnavailable> => ({
  calls: 1,
  run: (send) => Effect.andThen(Effect.exit(send), unanswered("the reply was lost", noticedAfter))
})

/**
 * The request is refused with an error and has no effect: a denial, or trouble, on cue.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const fail = <E, A = never>(error: E): Behaviour<A, E> => ({ calls: 1, run: () => Effect.fail(error) })

/**
 * The request is refused for coming too soon. Without `retryAfterMs` the authority does not say when to come again.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const rateLimit = <A = never>(retryAfterMs?: number): Behaviour<A, RateLimited> => ({
  calls: 1,
  run: () => Effect.suspend(() => Effect.fail(new RateLimited(retryAfterMs === undefined ? {} : { retryAfterMs })))
})

/**
 * The request does not arrive and is answered all the same, with a reply made up by the test.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const reply = <A, E = never>(made: A): Behaviour<A, E> => ({ calls: 1, run: () => Effect.succeed(made) })

/**
 * The request arrives, and its reply is changed on the way back.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const alter = <A, E = never>(change: (reply: A) => A): Behaviour<A, E> => ({
  calls: 1,
  run: (send) => Effect.map(send, change)
})

/**
 * The same for so many calls in a row. Fail three times, then pass: `on("commit", times(3, fail(error)))`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const times = <A, E>(calls: number, behaviour: Behaviour<A, E>): Behaviour<A, E> => ({
  calls,
  run: (send) => behaviour.run(send)
})

/**
 * The same for every call from now on.
 *
 * @category combinators
 * @since 0.1.0
 */
export const always = <A, E>(behaviour: Behaviour<A, E>): Behaviour<A, E> => times(Infinity, behaviour)

// ---------------------------------------------------------------------------------------------------------------------
// the authority
// ---------------------------------------------------------------------------------------------------------------------

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/**
 * Puts a script in front of an authority. The scope owns the requests that are under way; its end drops them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(
  function*(
    inner: Operations,
    scripts?: Scripts
  ): Effect.fn.Return<{ readonly authority: Operations; readonly script: Service }, never, Scope.Scope> {
    const scope = yield* Effect.scope
    const pending = new Map<Operation, Array<{ left: number; readonly behaviour: Behaviour<unknown, unknown> }>>()
    const calls: Array<AnyCall> = []

    const add = (operation: Operation, script: ReadonlyArray<Behaviour<unknown, unknown>>): void => {
      const queue = pending.get(operation) ?? []
      for (const behaviour of script) queue.push({ left: behaviour.calls, behaviour })
      pending.set(operation, queue)
    }
    for (const [operation, script] of Object.entries(scripts ?? {})) add(operation as Operation, script)

    const next = (operation: Operation): Behaviour<unknown, unknown> | undefined => {
      const queue = pending.get(operation) ?? []
      for (let first = queue[0]; first !== undefined; first = queue[0]) {
        if (first.left-- > 0) return first.behaviour
        queue.shift()
      }
      return undefined
    }

    const call = <O extends Operation>(
      operation: O,
      id: ReservationId | undefined,
      request: RequestOf<O>,
      operate: Effect.Effect<ReplyOf<O>, ErrorOf<O>>
    ): Effect.Effect<ReplyOf<O>, ErrorOf<O>> =>
      Effect.withFiber((fiber) => {
        const clock = fiber.getRef(Clock.Clock)
        const now = (): number => clock.currentTimeMillisUnsafe()
        const record: Mutable<Call<O>> = {
          operation,
          id,
          request,
          sentAtMs: now(),
          arrivedAtMs: undefined,
          effect: undefined,
          answeredAtMs: undefined,
          outcome: undefined
        }
        // A call of the operation O is one of the union's members, which the checker cannot see while O is open.
        calls.push(record as AnyCall)
        const send = Effect.suspend(() => {
          record.arrivedAtMs = now()
          return Effect.onExit(operate, (exit) =>
            Effect.sync(() => {
              record.effect = exit
            }))
        })
        // `on` and `Scripts` let only behaviours of the operation into its script.
        const behaviour = next(operation) as BehaviourOf<O> | undefined
        const answer = behaviour === undefined
          ? send
          : Effect.flatMap(
            Effect.forkIn(behaviour.run(send), scope, { startImmediately: true }),
            Fiber.join
          )
        return Effect.onExit(answer, (exit) =>
          Effect.sync(() => {
            record.answeredAtMs = now()
            record.outcome = exit
          }))
      })

    return {
      authority: {
        decide: (request) => call("decide", undefined, request, inner.decide(request)),
        reserve: (request) => call("reserve", undefined, request, inner.reserve(request)),
        commit: (id, request) => call("commit", id, request, inner.commit(id, request)),
        release: (id, request) => call("release", id, request, inner.release(id, request)),
        extend: (id, request) => call("extend", id, request, inner.extend(id, request)),
        event: (request) => call("event", undefined, request, inner.event(request)),
        balances: (query) => call("balances", undefined, query, inner.balances(query)),
        reservation: (id) => call("reservation", id, id, inner.reservation(id)),
        reservations: (query) => call("reservations", undefined, query, inner.reservations(query))
      },
      script: {
        on: (operation, ...script) => Effect.sync(() => add(operation, script)),
        clear: (operation) =>
          Effect.sync(() => {
            pending.delete(operation)
          }),
        calls: Effect.sync(() => calls.map((call) => ({ ...call }))),
        callsOf: <O extends Operation>(operation: O) =>
          Effect.sync(() => calls.flatMap((call) => call.operation === operation ? [{ ...call } as Call<O>] : []))
      }
    }
  }
)

/**
 * Puts a script in front of the authority around it: code inside sees the scripted one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  scripts?: Scripts
): Layer.Layer<ScriptedAuthority | BudgetAuthority, never, BudgetAuthority> =>
  Layer.effectContext(Effect.gen(function*() {
    const { authority, script } = yield* make(yield* BudgetAuthority, scripts)
    return Context.make(BudgetAuthority, authority).pipe(Context.add(ScriptedAuthority, script))
  }))
